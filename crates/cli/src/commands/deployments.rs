//! `zkslice deployments`: chains against their manifests.

use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::json;
use zkslice_chain::{Chain, Difference, Manifest, check};

use crate::error::CliError;
use crate::output::Output;

/// Look at deployments.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Check(CheckArgs),
}

/// Compare chains with their manifests: code by hash and by running its creation code, owner, guardian, delay, verifier, models.
///
/// Exits with 1 if anything differs, and names each difference.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  zkslice deployments check\n  zkslice deployments check --rpc-url https://… deployments/1.json\n  zkslice deployments check --rpc-url http://127.0.0.1:8545 --rpc-url http://127.0.0.1:8546"
)]
struct CheckArgs {
    /// The manifests; without any, the one of each chain in the folder.
    manifests: Vec<PathBuf>,
    /// RPC address of a node; once for each chain.
    #[arg(long, default_value = "http://127.0.0.1:8545")]
    rpc_url: Vec<String>,
    /// Folder of the deployment manifests, `<chain id>.json`.
    #[arg(long, default_value = "deployments", conflicts_with = "manifests")]
    deployments: PathBuf,
}

pub(crate) fn run(args: Args, output: &Output) -> crate::CommandResult {
    let Command::Check(args) = args.command;
    let checked = super::runtime()?.block_on(check_all(&args))?;
    let mut lines = Vec::new();
    for Checked { path, chain_id, differences } in &checked {
        if differences.is_empty() {
            lines.push(format!("{}: chain {chain_id} is as it says", path.display()));
        } else {
            lines.push(format!("{}: chain {chain_id} is not as it says", path.display()));
            lines.extend(differences.iter().map(|difference| format!("  {difference}")));
        }
    }
    let ok = checked.iter().all(|checked| checked.differences.is_empty());
    let manifests: Vec<_> = checked
        .iter()
        .map(|Checked { path, chain_id, differences }| {
            let differences: Vec<_> = differences.iter().map(|d| json!({ "subject": d.subject, "what": d.what })).collect();
            json!({ "manifest": path, "chain_id": chain_id, "differences": differences })
        })
        .collect();
    output.result(&json!({ "ok": ok, "manifests": manifests }), &lines);
    Ok(if ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

struct Checked {
    path: PathBuf,
    chain_id: u64,
    differences: Vec<Difference>,
}

async fn check_all(args: &CheckArgs) -> Result<Vec<Checked>, CliError> {
    let mut chains = Vec::new();
    for url in &args.rpc_url {
        chains.push(Chain::connect(url, None).await?);
    }
    let of_chain = |chain: &Chain| Manifest::path(&args.deployments, chain.id());
    let paths = if args.manifests.is_empty() { chains.iter().map(of_chain).collect() } else { args.manifests.clone() };
    let mut checked = Vec::new();
    for path in paths {
        let manifest = Manifest::load(&path)?.ok_or_else(|| CliError::input(format!("{}: there is no such manifest", path.display())))?;
        let chain_id = manifest.chain_id;
        // A single node is what the manifest is to be compared with, whatever chain it is of.
        let chain = match &chains[..] {
            [only] => Some(only),
            several => several.iter().find(|chain| chain.id() == chain_id),
        };
        let differences = match chain {
            Some(chain) => check::differences(chain, &manifest).await?,
            None => vec![Difference { subject: "manifest".to_owned(), what: format!("no --rpc-url is of its chain, {chain_id}") }],
        };
        checked.push(Checked { path, chain_id, differences });
    }
    Ok(checked)
}
