//! `zkslice verify`: what the contract checks, off chain.

use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::json;
use zkslice_prover::{Bundle, BundleError, Verifier};
use zkslice_slicer::{Package, TensorKind};

use super::read;
use crate::error::CliError;
use crate::output::{Numbers, Output};

/// Verify a bundle: every slice, every word, the wiring. Exit code 1 for one that is not valid, 2 for a file that is no bundle.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  zkslice verify pkg bundle.json\n  zkslice verify pkg bundle.json --json")]
pub(crate) struct Args {
    /// The package, with keys (verifying keys suffice).
    package: PathBuf,
    /// The bundle.
    bundle: PathBuf,
}

pub(crate) fn run(args: Args, output: &Output) -> crate::CommandResult {
    let package = Package::open(&args.package)?;
    let verifier = Verifier::new(&package)?;
    let bundle = Bundle::from_json(&read(&args.bundle)?).map_err(|e| CliError::from(e).in_file(&args.bundle))?;
    let started = std::time::Instant::now();
    match verifier.verify(&bundle) {
        Ok(integers) => {
            let seconds = started.elapsed().as_secs_f64();
            let outputs = Numbers::of_outputs(&package, package.decode(&integers));
            let names = package.manifest().tensors.iter().filter(|t| t.kind == TensorKind::Output).map(|t| &t.name);
            let mut lines = vec![format!("{}: valid, {} slices in {:.1} ms", args.bundle.display(), bundle.proofs.len(), 1e3 * seconds)];
            lines.extend(outputs.iter().zip(names).map(|(values, name)| format!("  {name}: {values}")));
            output.result(&json!({ "valid": true, "outputs": outputs, "integers": integers, "seconds": seconds }), &lines);
            Ok(ExitCode::SUCCESS)
        }
        Err(error @ (BundleError::Proof { .. } | BundleError::Partial(_) | BundleError::Model { .. })) => {
            output.result(
                &json!({ "valid": false, "error": error.to_string() }),
                &[format!("{}: NOT VALID: {error}", args.bundle.display())],
            );
            Ok(ExitCode::from(1))
        }
        Err(error) => Err(CliError::from(error).in_file(&args.bundle)),
    }
}
