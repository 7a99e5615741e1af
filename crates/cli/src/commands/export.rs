//! `zkslice export`: Solidity for a package.

use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::json;
use zkslice_slicer::Package;

use crate::output::Output;

/// Write a forge project: a verifier contract a slice, the model's key blob, a decoding library.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  zkslice export pkg -o out\n  cd out && forge build")]
pub(crate) struct Args {
    /// The package, with keys.
    package: PathBuf,
    /// The folder to write.
    #[arg(short, long)]
    output: PathBuf,
}

pub(crate) fn run(args: Args, output: &Output) -> crate::CommandResult {
    let package = Package::open(&args.package)?;
    zkslice_solidity::export(&package, &args.output)?;
    let model = package.keys()?.model;
    let line = format!("{}: {} verifiers, model {model}", args.output.display(), package.slices().len());
    output.result(&json!({ "folder": args.output, "model": model, "verifiers": package.slices().len() }), &[line]);
    Ok(ExitCode::SUCCESS)
}
