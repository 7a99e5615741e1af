//! `zkslice export`: Solidity for a package.

use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::json;
use zkslice_formats::Addition;
use zkslice_slicer::Package;
use zkslice_solidity::{DEFAULT_LICENSE, ExportOptions, Layout, export_with, folder_in};

use crate::output::Output;

/// Write Solidity: one verifier contract per slice, the model's key blob, a decoding library.
///
/// As a forge project of its own, or into an existing one, in a folder named after the model among its sources. Files of an
/// earlier export of the model are replaced unless they were edited; no other file is touched.
#[derive(Debug, clap::Args)]
#[command(
    group = clap::ArgGroup::new("place").args(["output", "into"]).required(true),
    after_help = "Examples:\n  zkslice export pkg -o out && cd out && npm install --ignore-scripts && forge build\n  zkslice export pkg --into my-project --license MIT"
)]
pub(crate) struct Args {
    /// The package, with keys.
    package: PathBuf,
    /// The folder to write: a forge project.
    #[arg(short, long)]
    output: Option<PathBuf>,
    /// An existing forge project to write into.
    #[arg(long, value_name = "PROJECT")]
    into: Option<PathBuf>,
    /// SPDX expression for the sources; the default asks nothing of whoever uses them.
    #[arg(long, value_name = "SPDX", default_value = DEFAULT_LICENSE)]
    license: String,
    /// Name contracts and their folder after this, instead of the model.
    #[arg(long)]
    name: Option<String>,
    /// The chain that the verifiers are for: Bittensor (964, 945) has a precompile elsewhere than all others, which need no id.
    #[arg(long)]
    chain_id: Option<u64>,
    /// Replace an earlier export of another model.
    #[arg(long)]
    force: bool,
}

pub(crate) fn run(args: Args, output: &Output) -> crate::CommandResult {
    let package = Package::open(&args.package)?;
    let (folder, layout) = match (&args.into, args.output) {
        (Some(project), _) => (folder_in(project, &package, args.name.as_deref())?, Layout::Sources),
        (None, folder) => (folder.unwrap_or_default(), Layout::Project),
    };
    let addition = args.chain_id.map(Addition::of_chain).unwrap_or_default();
    export_with(&package, &folder, &ExportOptions { layout, license: args.license, name: args.name, replace: args.force, addition })?;
    let model = package.keys()?.model;
    let line = format!("{}: {} verifiers, model {model}", folder.display(), package.slice_count());
    output.result(&json!({ "folder": folder, "model": model, "verifiers": package.slice_count() }), &[line]);
    Ok(ExitCode::SUCCESS)
}
