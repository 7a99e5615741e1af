//! `zkslice relay`: watch an oracle, prove, submit.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use serde_json::json;
use zkslice_chain::signer;
use zkslice_prover::LocalProver;
use zkslice_relayer::{Config, Relayer, cancel_on_signals};
use zkslice_slicer::Package;

use crate::output::Output;

/// Watch one oracle, prove its requests in this process, and submit the bundles. Stops on SIGTERM after the step at hand.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  zkslice relay --config relayer.toml\n  zkslice relay --config relayer.toml --dry-run\n  zkslice relay --config relayer.toml --once"
)]
pub(crate) struct Args {
    /// The configuration; `docs/relayer.md` has every key.
    #[arg(long)]
    config: PathBuf,
    /// Do everything but send.
    #[arg(long)]
    dry_run: bool,
    /// Stop when there is nothing left to do.
    #[arg(long)]
    once: bool,
    /// Withdraw the signer's credits, then stop.
    #[arg(long, conflicts_with = "once")]
    withdraw: bool,
}

pub(crate) fn run(args: Args, output: &Output) -> crate::CommandResult {
    let mut config = Config::load(&args.config)?;
    config.dry_run |= args.dry_run;
    let signer = signer::load(&config.key_file)?;
    let packages = config.models.iter().map(|path| Package::open(path)).collect::<Result<Vec<_>, _>>()?;
    let source = Arc::new(LocalProver::new(packages, config.openings.clone())?);
    let value = super::runtime()?.block_on(async {
        let mut relayer = Relayer::new(config, source, signer).await?;
        if args.withdraw {
            let wei = relayer.withdraw().await?;
            return Ok(json!({ "withdrawn_wei": wei.to_string() }));
        }
        if args.once {
            let events = relayer.run_until_idle().await?;
            return Ok(json!({ "events": events.iter().map(|e| format!("{e:?}")).collect::<Vec<_>>() }));
        }
        let cancel = cancel_on_signals().map_err(|e| crate::CliError::failed(format!("signals cannot be listened to: {e}")))?;
        relayer.run(cancel).await?;
        Ok::<_, crate::CliError>(json!({ "stopped": true }))
    })?;
    output.result(&value, &[value.to_string()]);
    Ok(ExitCode::SUCCESS)
}
