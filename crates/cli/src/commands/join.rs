//! `zkslice join`: slices proven apart become one bundle.

use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::json;
use zkslice_prover::{Bundle, BundleError, Verifier};
use zkslice_slicer::Package;

use super::{check_replaceable, read, write};
use crate::error::CliError;
use crate::output::Output;

/// Join bundles of single slices, proven apart of one inference, into one bundle. It is written only if it verifies.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  zkslice join pkg slice0.json slice1.json slice2.json -o bundle.json")]
pub(crate) struct Args {
    /// The package, with keys (verifying keys suffice).
    package: PathBuf,
    /// The bundles, in any order.
    #[arg(required = true)]
    bundles: Vec<PathBuf>,
    /// The bundle to write.
    #[arg(short, long)]
    output: PathBuf,
}

pub(crate) fn run(args: Args, output: &Output) -> crate::CommandResult {
    check_replaceable(&args.output, "bundle", |bytes| Bundle::from_json(bytes).is_ok())?;
    let package = Package::open(&args.package)?;
    let verifier = Verifier::new(&package)?;
    let mut whole: Option<Bundle> = None;
    for path in &args.bundles {
        let in_file = |error: BundleError| CliError::from(error).in_file(path);
        let part = Bundle::from_json(&read(path)?).map_err(in_file)?;
        verifier.verify_slices(&part).map_err(in_file)?;
        match &mut whole {
            Some(whole) => whole.join(part).map_err(in_file)?,
            None => whole = Some(part),
        }
    }
    let Some(whole) = whole else { return Err(CliError::input("no bundle was given")) };
    verifier.verify_slices(&whole)?;
    let missing: Vec<usize> = (0..package.slice_count()).filter(|k| whole.proofs.iter().all(|proof| proof.slice != *k)).collect();
    write(&args.output, &whole.to_json()?)?;
    let slices = whole.proofs.len();
    let mut line = format!("{}: {slices} slice proofs", args.output.display());
    if !missing.is_empty() {
        line.push_str(&format!("; slices {missing:?} are missing"));
    }
    output.result(&json!({ "bundle": args.output, "slices": slices, "missing": missing }), &[line]);
    Ok(ExitCode::SUCCESS)
}
