//! `zkslice setup`: dev keys.

use std::path::PathBuf;
use std::process::ExitCode;

use ark_std::rand::rngs::OsRng;
use serde_json::json;
use zkslice_slicer::{Package, setup, setup_again};

use crate::error::CliError;
use crate::output::Output;

/// Make dev keys for packages. Several packages share one setup, so that their proofs can share pairings.
///
/// Dev keys are made by one process that could forge with them; contracts accept them on local chains only.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  zkslice setup pkg\n  zkslice setup pkg other-pkg")]
pub(crate) struct Args {
    /// The packages.
    #[arg(required = true)]
    packages: Vec<PathBuf>,
    /// Replace keys that are there: proofs for what was deployed with them end with them.
    #[arg(long)]
    force: bool,
}

pub(crate) fn run(args: Args, output: &Output) -> crate::CommandResult {
    let started = std::time::Instant::now();
    let packages = args.packages.iter().map(|path| Package::open(path)).collect::<Result<Vec<_>, _>>()?;
    let all = packages.iter().map(Package::slice_count).sum();
    let bar = output.bar(all, "making dev keys");
    let progress = |done, _| bar.set_position(done as u64);
    if args.force { setup_again(&packages, &mut OsRng, progress) } else { setup(&packages, &mut OsRng, progress) }?;
    bar.finish_and_clear();
    let seconds = started.elapsed().as_secs_f64();
    let mut entries = Vec::new();
    let mut lines = Vec::new();
    for package in &packages {
        let keys = package.keys()?;
        let bytes = (0..package.slice_count())
            .map(|k| Ok(package.proving_key(k).map_err(CliError::from)?.len()))
            .collect::<Result<Vec<_>, CliError>>()?;
        lines.push(format!("{}: model {} (dev keys, {} bytes)", package.folder().display(), keys.model, bytes.iter().sum::<usize>()));
        entries.push(
            json!({ "package": package.folder(), "model": keys.model, "setup": keys.setup, "dev": keys.is_dev(), "key_bytes": bytes }),
        );
    }
    output.result(&json!({ "seconds": seconds, "packages": entries, "peak_bytes": super::peak_bytes() }), &lines);
    Ok(ExitCode::SUCCESS)
}
