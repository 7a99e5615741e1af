//! `zkslice validator`: hand out slices, verify every proof, score.

use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::json;
use zkslice_chain::signer;
use zkslice_relayer::cancel_on_signals;
use zkslice_subnet::config::ValidatorConfig;
use zkslice_subnet::daemon::Running;

use crate::error::CliError;
use crate::output::Output;

/// Run a validator: gateway, dispatcher, verifier and scorer in one process. Stops on SIGTERM.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  zkslice validator --config validator.toml\n  zkslice validator --openapi > openapi.json")]
pub(crate) struct Args {
    /// The configuration; `docs/network.md` has every key.
    #[arg(long, required_unless_present = "openapi")]
    config: Option<PathBuf>,
    /// Print the description of the HTTP API, and do nothing else.
    #[arg(long, conflicts_with = "config")]
    openapi: bool,
}

pub(crate) fn run(args: Args, output: &Output) -> crate::CommandResult {
    let Some(config) = args.config else {
        let api = zkslice_subnet::gateway::openapi().map_err(|e| CliError::failed(e.to_string()))?;
        let value = serde_json::from_str(&api).map_err(|e| CliError::failed(e.to_string()))?;
        output.result(&value, &[api.trim_end().to_owned()]);
        return Ok(ExitCode::SUCCESS);
    };
    let config = ValidatorConfig::load(&config)?;
    let signer = signer::load(&config.key_file)?;
    super::runtime()?.block_on(async {
        let running = Running::start(&config, signer).await?;
        let address = running.validator.address();
        let value = json!({ "validator": address, "http": running.http, "quic": running.quic });
        output.result(&value, &[format!("validator {address}: http://{} for callers and miners, QUIC at {}", running.http, running.quic)]);
        let cancel = cancel_on_signals().map_err(|e| CliError::failed(format!("signals cannot be listened to: {e}")))?;
        let has_failed = tokio::select! {
            () = cancel.cancelled() => false,
            () = running.validator.ended() => true,
        };
        running.stop().await;
        if has_failed { Err(CliError::failed("the validator has stopped after an error, which is in its log")) } else { Ok(()) }
    })?;
    Ok(ExitCode::SUCCESS)
}
