//! `zkslice verify`: what the contract checks, off chain.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::json;
use zkslice_prover::{Bundle, BundleError, Verifier};
use zkslice_slicer::{Package, TensorKind};

use super::plain::Tool;
use super::read;
use crate::error::CliError;
use crate::output::{Numbers, Output};

/// Verify a bundle: every slice, every word, the wiring. Exit code 1 for one that is not valid, 2 for a file that is no bundle.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  zkslice verify pkg bundle.json\n  zkslice verify pkg bundle.json --json\n  zkslice verify --snarkjs verification_key.json proof.json public.json\n  zkslice verify --gnark key.vk proof.proof public.wit"
)]
pub(crate) struct Args {
    /// The package, with keys (verifying keys suffice).
    #[arg(required_unless_present_any = ["snarkjs", "gnark"])]
    package: Option<PathBuf>,
    /// The bundle.
    #[arg(required_unless_present_any = ["snarkjs", "gnark"])]
    bundle: Option<PathBuf>,
    /// In place of a bundle: a plain proof as snarkjs writes it, with its verifying key and public signals.
    #[arg(long, num_args = 3, value_names = ["KEY", "PROOF", "PUBLIC"], conflicts_with_all = ["package", "bundle"])]
    snarkjs: Option<Vec<PathBuf>>,
    /// The same as gnark writes them, compressed or raw, its public witness in place of the signals.
    #[arg(long, num_args = 3, value_names = ["KEY", "PROOF", "PUBLIC"], conflicts_with_all = ["package", "bundle", "snarkjs"])]
    gnark: Option<Vec<PathBuf>>,
}

pub(crate) fn run(args: Args, output: &Output) -> crate::CommandResult {
    let (Some(package), Some(path)) = (&args.package, &args.bundle) else {
        let tool = if args.gnark.is_some() { Tool::Gnark } else { Tool::Snarkjs };
        let paths: Vec<&Path> = args.snarkjs.iter().chain(&args.gnark).flatten().map(PathBuf::as_path).collect();
        let [key, proof, public] = paths[..] else { return Err(CliError::input("name a key, a proof and public signals")) };
        let started = std::time::Instant::now();
        let (valid, said, code) = match tool.read([key, proof, public])?.verify() {
            Ok(()) => (true, "valid".to_owned(), 0),
            Err(reason) => (false, format!("NOT VALID: {reason}"), 1),
        };
        let seconds = started.elapsed().as_secs_f64();
        output.result(&json!({ "valid": valid, "seconds": seconds }), &[format!("{}: {said}", proof.display())]);
        return Ok(ExitCode::from(code));
    };
    let package = Package::open(package)?;
    let verifier = Verifier::new(&package)?;
    let bundle = Bundle::from_json(&read(path)?).map_err(|e| CliError::from(e).in_file(path))?;
    let started = std::time::Instant::now();
    match verifier.verify(&bundle) {
        Ok(integers) => {
            let seconds = started.elapsed().as_secs_f64();
            let outputs = Numbers::of_outputs(&package, &integers);
            let names = package.manifest().tensors.iter().filter(|t| t.kind == TensorKind::Output).map(|t| &t.name);
            let mut lines = vec![format!("{}: valid, {} slices in {:.1} ms", path.display(), bundle.proofs.len(), 1e3 * seconds)];
            lines.extend(outputs.iter().zip(names).map(|(values, name)| format!("  {name}: {values}")));
            output.result(&json!({ "valid": true, "outputs": outputs, "integers": integers, "seconds": seconds }), &lines);
            Ok(ExitCode::SUCCESS)
        }
        Err(error @ (BundleError::Proof { .. } | BundleError::Partial(_) | BundleError::Model { .. })) => {
            output.result(&json!({ "valid": false, "error": error.to_string() }), &[format!("{}: NOT VALID: {error}", path.display())]);
            Ok(ExitCode::from(1))
        }
        Err(error) => Err(CliError::from(error).in_file(path)),
    }
}
