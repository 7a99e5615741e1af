//! `zkslice verify`: what the contract checks, off chain.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use alloy::primitives::Address;
use serde_json::json;
use zkslice_prover::{Bundle, BundleError, Verifier};
use zkslice_slicer::{Package, TensorKind};
use zkslice_subnet::Network;

use super::plain::Tool;
use super::{read, receipt};
use crate::error::CliError;
use crate::output::{Numbers, Output};

/// Verify a bundle: every slice, every word, the wiring. With `--receipt`, who proved it, by what was signed. Exit code 1 for what is not
/// valid, 2 for a file that is something else.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  zkslice verify pkg bundle.json\n  zkslice verify pkg bundle.json --json\n  zkslice verify --snarkjs verification_key.json proof.json public.json\n  zkslice verify --gnark key.vk proof.proof public.wit\n  zkslice verify --receipt receipt.json --validator 0x90F8…\n  zkslice verify pkg bundle.json --receipt receipt.json --validator 0x90F8…"
)]
pub(crate) struct Args {
    /// The package, with keys (verifying keys suffice).
    #[arg(required_unless_present_any = ["snarkjs", "gnark", "receipt"], requires = "bundle")]
    package: Option<PathBuf>,
    /// The bundle.
    #[arg(required_unless_present_any = ["snarkjs", "gnark", "receipt"])]
    bundle: Option<PathBuf>,
    /// In place of a bundle: a plain proof as snarkjs writes it, with its verifying key and public signals.
    #[arg(long, num_args = 3, value_names = ["KEY", "PROOF", "PUBLIC"], conflicts_with_all = ["package", "bundle"])]
    snarkjs: Option<Vec<PathBuf>>,
    /// The same as gnark writes them, compressed or raw, its public witness in place of the signals.
    #[arg(long, num_args = 3, value_names = ["KEY", "PROOF", "PUBLIC"], conflicts_with_all = ["package", "bundle", "snarkjs"])]
    gnark: Option<Vec<PathBuf>>,
    /// What was signed of a slice, as a validator's `/v1/receipts/{assignment}` has it, or a miner's receipts.jsonl. It is held against the
    /// bundle, if there is one.
    #[arg(long, value_name = "FILE", requires = "validator", conflicts_with_all = ["snarkjs", "gnark"])]
    receipt: Option<PathBuf>,
    /// The validator that has to have signed it.
    #[arg(long, value_name = "ADDRESS", requires = "receipt")]
    validator: Option<Address>,
    /// The bundle, where the package is not at hand.
    #[arg(long = "bundle", value_name = "FILE", requires = "receipt", conflicts_with_all = ["package", "bundle"])]
    bundle_alone: Option<PathBuf>,
    /// The network that the receipt has to be of; a miner's receipts.jsonl does not name it.
    #[arg(long, value_name = "ID", requires = "registry")]
    chain_id: Option<u64>,
    /// Where on that chain the network's nodes are registered.
    #[arg(long, value_name = "ADDRESS", requires = "receipt", requires = "chain_id")]
    registry: Option<Address>,
}

pub(crate) fn run(args: Args, output: &Output) -> crate::CommandResult {
    if let (Some(receipt), Some(validator)) = (&args.receipt, args.validator) {
        let network = args.chain_id.zip(args.registry).map(|(chain_id, registry)| Network { chain_id, registry });
        let bundle = args.bundle.as_deref().or(args.bundle_alone.as_deref());
        return receipt::run(&receipt::Asked { receipt, validator, network, package: args.package.as_deref(), bundle }, output);
    }
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
