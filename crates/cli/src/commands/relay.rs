//! `zkslice relay`: watch an oracle, prove, submit.

use std::path::PathBuf;
use std::process::ExitCode;

use alloy::primitives::B256;
use alloy::signers::local::PrivateKeySigner;
use serde_json::json;
use zkslice_chain::{Chain, ChainError, Oracle, signer};
use zkslice_prover::{BundleSource, LocalProver};
use zkslice_relayer::{Config, Relayer, Waiting, cancel_on_signals};
use zkslice_slicer::Package;
use zkslice_subnet::Node;
use zkslice_subnet::client::NetworkProver;

use super::witness_source;
use crate::error::CliError;
use crate::output::Output;

/// Watch one oracle, prove its requests in this process or have a validator's network prove them, and submit the bundles. Stops on SIGTERM after the step at hand.
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
    /// Stop when there is nothing left to do; requests that are there but not confirmed yet are waited for.
    #[arg(long)]
    once: bool,
    /// Withdraw the signer's credits, then stop.
    #[arg(long, conflicts_with = "once")]
    withdraw: bool,
}

pub(crate) fn run(args: Args, output: &Output) -> crate::CommandResult {
    let mut config = Config::load(&args.config)?;
    config.dry_run |= args.dry_run;
    let is_served = config.source.is_some() || !config.models.is_empty() || !config.circuits.is_empty();
    if !is_served && !args.withdraw {
        return Err(CliError::input(
            "`models` is empty, so that nothing could be proven: name the folders of packages that have keys, such as models = [\"pkg\"], or a \
             validator as `source`",
        )
        .in_file(&args.config));
    }
    let signer = signer::load(&config.key_file)?;
    if let Some(source) = config.source.clone() {
        let url = source.split('#').next().unwrap_or_default().to_owned();
        return super::runtime()?.block_on(async {
            let source = match (&config.source_key_file, &config.source_signer_key_file, config.source_validator()) {
                (None, Some(file), Some(validator)) => {
                    NetworkProver::connect_signing(&url, validator, Node::new(signer::load(file)?)).await?
                }
                (Some(file), ..) => NetworkProver::connect(&url, signer::secret(file)?).await?,
                _ => return Err(CliError::input("`source` needs `source_key_file` or `source_signer_key_file`").in_file(&args.config)),
            };
            let digests = source.models().into_iter().map(|model| (B256::from(model), url.clone())).collect();
            relay(config, source, signer, digests, &args, output).await
        });
    }
    let mut packages = config.models.iter().map(|path| Ok((Package::open(path)?, None))).collect::<Result<Vec<_>, CliError>>()?;
    for circuit in &config.circuits {
        let mut source = witness_source(&circuit.witness_program, circuit.inputs.as_deref())?;
        source.program = source.program.in_folder(&config.folder);
        packages.push((Package::open(&circuit.package)?, Some(source)));
    }
    let mut digests = Vec::new();
    for (package, _) in &packages {
        digests.push((B256::from(package.key_blob()?.model_digest()), package.folder().display().to_string()));
    }
    let source = LocalProver::new(packages, config.openings.clone())?;
    super::runtime()?.block_on(relay(config, source, signer, digests, &args, output))
}

/// With models by digest, and where each is from.
async fn relay(
    config: Config,
    source: impl BundleSource,
    signer: PrivateKeySigner,
    digests: Vec<(B256, String)>,
    args: &Args,
    output: &Output,
) -> crate::CommandResult {
    let oracle = Oracle::open(Chain::connect(&config.rpc_url, Some(config.chain_id)).await?, config.oracle).await?;
    for (digest, place) in &digests {
        match oracle.require_served(*digest).await {
            // It may be registered while the relayer runs.
            Err(error @ ChainError::ModelNotServed { .. }) => tracing::warn!(target: "zkslice_relayer", "{place}: {error}"),
            other => other?,
        }
    }
    let mut relayer = Relayer::new(config, source, signer).await?;
    let value = if args.withdraw {
        let wei = relayer.withdraw().await?;
        json!({ "withdrawn_wei": wei.to_string() })
    } else if args.once {
        let spinner = output.spinner("relaying");
        let mut last = None;
        let waits = |waiting: Waiting| {
            spinner.set_message(waiting.to_string());
            // The spinner shows on a terminal only; a log has each change once.
            if last.replace(waiting) != Some(waiting) {
                tracing::info!(target: "zkslice_relayer", "{waiting}");
            }
        };
        let events = relayer.run_until_confirmed(waits).await?;
        spinner.finish_and_clear();
        json!({ "events": events.iter().map(|e| format!("{e:?}")).collect::<Vec<_>>() })
    } else {
        let cancel = cancel_on_signals().map_err(|e| CliError::failed(format!("signals cannot be listened to: {e}")))?;
        relayer.run(cancel).await?;
        json!({ "stopped": true })
    };
    output.result(&value, &[value.to_string()]);
    Ok(ExitCode::SUCCESS)
}
