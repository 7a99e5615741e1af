//! `zkslice deploy`: contracts and models to a chain.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::process::ExitCode;

use alloy::primitives::{Address, B256, U256, utils::format_ether};
use serde_json::json;
use zkslice_chain::{
    Chain, ConsumerSpec, DeployEvent, DeployPlan, Deployer, Deployment, DryRun, FeedSpec, Manifest, ModelKeys, Outcome, RegistryParameters,
    signer,
};
use zkslice_slicer::{Package, TensorKind};

use super::amount;
use crate::error::CliError;
use crate::output::Output;

/// Deploy registry, verifier and oracle to a chain and register models; what is there already stays.
///
/// Nothing needs a compiler: creation code is embedded. Running it twice sends nothing; a run that was killed goes on. The same
/// --owner, --guardian and --delay give the same addresses on every chain. Try --dry-run first.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  zkslice deploy pkg --rpc-url http://127.0.0.1:8545 --private-key-file deployer.key\n  zkslice deploy pkg --rpc-url … --private-key-file … --consumer --feed 0xSource,0,8,3600"
)]
pub(crate) struct Args {
    /// Packages whose models to register.
    packages: Vec<PathBuf>,
    /// RPC address of a node.
    #[arg(long)]
    rpc_url: String,
    /// File with the private key, mode 0600 or 0400.
    #[arg(long)]
    private_key_file: PathBuf,
    /// Refuse any other chain.
    #[arg(long)]
    chain_id: Option<u64>,
    /// Folder of the deployment manifests, `<chain id>.json`.
    #[arg(long, default_value = "deployments")]
    deployments: PathBuf,
    /// Owner of the registry: registers models and adds verifiers. Without it the signer, or who the manifest says.
    ///
    /// Addresses follow from owner, guardian and delay: the same three, the same addresses on every chain.
    #[arg(long)]
    owner: Option<Address>,
    /// Guardian of the registry: may stop things, beside the owner. Without it who the manifest says; on a local chain the owner.
    #[arg(long)]
    guardian: Option<Address>,
    /// Seconds between adding and serving: at least a day (86400, which it is without this), 0 on a local chain.
    #[arg(long)]
    delay: Option<u64>,
    /// Also deploy the example consumer for each model.
    #[arg(long)]
    consumer: bool,
    /// Also deploy a feed for the first model: source of its rounds, output element, decimals, maximum age in seconds.
    #[arg(long, value_name = "SOURCE,OUTPUT,DECIMALS,MAX_AGE")]
    feed: Option<String>,
    /// On a rollup: the feed that says whether its sequencer is up.
    #[arg(long, default_value_t = Address::ZERO, requires = "feed")]
    sequencer_uptime_feed: Address,
    /// Seconds after the sequencer's return in which the feed serves nothing yet.
    #[arg(long, default_value_t = 0, requires = "sequencer_uptime_feed")]
    grace_period: u64,
    /// Most that a unit of gas may cost: wei, or an amount such as `50 gwei`.
    #[arg(long, value_parser = amount)]
    max_fee_per_gas: Option<U256>,
    /// Print what would be done, with addresses, gas and cost, and send nothing.
    #[arg(long)]
    dry_run: bool,
}

pub(crate) fn run(args: Args, output: &Output) -> crate::CommandResult {
    let packages = args.packages.iter().map(|path| Package::open(path)).collect::<Result<Vec<_>, _>>()?;
    let models = packages.iter().map(model_keys).collect::<Result<Vec<_>, _>>()?;
    let consumers = models.iter().filter(|_| args.consumer).map(|m| ConsumerSpec { model: m.digest }).collect();
    let feeds = match (&args.feed, models.first()) {
        (None, _) => Vec::new(),
        (Some(_), None) => return Err(CliError::input("--feed needs a package")),
        (Some(text), Some(model)) => vec![feed(text, &packages[0], model.digest, &args)?],
    };
    let plan = DeployPlan { owner: args.owner, guardian: args.guardian, delay: args.delay, models, consumers, feeds };
    let signer = signer::load(&args.private_key_file)?;
    let bar = output.spinner(if args.dry_run { "looking" } else { "deploying" });
    let (value, lines, ok) = super::runtime()?.block_on(async {
        let chain = Chain::connect(&args.rpc_url, args.chain_id).await?;
        let path = Manifest::path(&args.deployments, chain.id());
        let mut deployer = Deployer::new(chain, signer, path);
        if let Some(wei) = args.max_fee_per_gas {
            deployer = deployer.with_max_fee_per_gas(wei.saturating_to());
        }
        if args.dry_run {
            return deployer.dry_run(&plan).await.map(|run| dry_report(&run));
        }
        let mut observer = |event: &DeployEvent| {
            bar.set_message(describe(event));
            ControlFlow::Continue(())
        };
        deployer.deploy(&plan, &mut observer).await.map(|deployment| report(&deployment))
    })?;
    bar.finish_and_clear();
    output.result(&value, &lines);
    Ok(if ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A package's model, ready to register.
pub(crate) fn model_keys(package: &Package) -> Result<ModelKeys, CliError> {
    let blob = package.key_blob()?;
    let transcript_hash = package.keys()?.transcript_hash().map(B256::from).unwrap_or_default();
    Ok(ModelKeys { transcript_hash, ..ModelKeys::from_blob(B256::from(blob.model_digest()), blob.bytes().to_vec())? })
}

fn feed(text: &str, package: &Package, model: B256, args: &Args) -> Result<FeedSpec, CliError> {
    let wrong = || CliError::input(format!("--feed {text}: expected SOURCE,OUTPUT,DECIMALS,MAX_AGE, such as 0x…,0,8,3600"));
    let parts: Vec<&str> = text.split(',').collect();
    let [source, output_index, decimals, max_age] = parts[..] else { return Err(wrong()) };
    let index: u64 = output_index.parse().map_err(|_| wrong())?;
    let (mut first, mut there) = (0, Vec::new());
    for tensor in package.manifest().tensors.iter().filter(|t| t.kind == TensorKind::Output) {
        let next = first + tensor.count() as u64;
        there.push(format!("{first} to {} are output '{}'", next - 1, tensor.name));
        first = next;
    }
    if index >= first {
        let there = there.join(", ");
        return Err(CliError::input(format!("--feed {text}: the model has no output element {index}; its elements {there}")));
    }
    Ok(FeedSpec {
        model,
        source: source.parse::<Address>().map_err(|_| wrong())?,
        output_index: index,
        decimals: decimals.parse().map_err(|_| wrong())?,
        max_age: max_age.parse().map_err(|_| wrong())?,
        description: format!("zkslice {model}, output {output_index}"),
        sequencer_uptime_feed: args.sequencer_uptime_feed,
        grace_period: args.grace_period,
    })
}

fn describe(event: &DeployEvent) -> String {
    match event {
        DeployEvent::Kept { name, address } => format!("kept {name} at {address}"),
        DeployEvent::Resumed { step, .. } => format!("resuming: {step}"),
        DeployEvent::Prepared { step, .. } | DeployEvent::Sent { step, .. } => format!("sending: {step}"),
        DeployEvent::Mined { step, .. } | DeployEvent::Recorded { step } => format!("done: {step}"),
    }
}

/// A dry run, as JSON and as text, and whether all of it could be done.
fn dry_report(run: &DryRun) -> (serde_json::Value, Vec<String>, bool) {
    let RegistryParameters { owner, guardian, delay } = run.parameters;
    let mut lines = vec![
        format!("chain {}, dry run: nothing was sent", run.chain_id),
        format!("  registry of owner {owner}, guardian {guardian}, delay {delay} s"),
    ];
    lines.extend(run.pending.iter().map(|hash| format!("  transaction {hash} of an earlier run would be looked after first")));
    let ether = |wei: U256| format!("{} ether", format_ether(wei));
    let mut steps = Vec::new();
    for step in &run.steps {
        let at = step.address.map(|address| format!(" at {address}")).unwrap_or_default();
        let (text, outcome) = match &step.outcome {
            Outcome::Done => ("there already".to_owned(), json!({ "outcome": "done" })),
            Outcome::Gas(gas) => (format!("{gas} gas"), json!({ "outcome": "sent", "gas": gas })),
            Outcome::Owner(data, gas) => {
                (format!("left to the owner, {gas} gas: {data}"), json!({ "outcome": "owner", "gas": gas, "data": data }))
            }
            Outcome::Fails(reason) => (format!("WOULD FAIL: {reason}"), json!({ "outcome": "fails", "reason": reason })),
            Outcome::Unknown => ("gas not known: the node does not simulate".to_owned(), json!({ "outcome": "unknown" })),
        };
        lines.push(format!("  {}{at}: {text}", step.step));
        steps.push(json!({ "step": step.step.to_string(), "address": step.address, "outcome": outcome }));
    }
    if let (Some(gas), Some(cost), Some(max_cost)) = (run.gas, run.cost, run.max_cost) {
        lines.push(format!("  {gas} gas, {} at today's price, at most {}", ether(cost), ether(max_cost)));
    }
    lines.push(format!("  the signer has {}", ether(run.balance)));
    let value = json!({
        "dry_run": true, "ok": run.is_feasible(), "chain_id": run.chain_id, "parameters": run.parameters,
        "registry": run.contracts.registry, "verifier": run.contracts.verifier, "oracle": run.contracts.oracle,
        "steps": steps, "pending": run.pending, "gas": run.gas, "cost_wei": run.cost.map(|wei| wei.to_string()),
        "max_cost_wei": run.max_cost.map(|wei| wei.to_string()), "balance_wei": run.balance.to_string(),
    });
    (value, lines, run.is_feasible())
}

fn report(deployment: &Deployment) -> (serde_json::Value, Vec<String>, bool) {
    let manifest = &deployment.manifest;
    let mut lines = vec![
        format!("chain {}: {} transactions, {} gas", manifest.chain_id, deployment.transactions, deployment.gas_used),
        format!("  registry {}", deployment.registry),
        format!("  verifier {}", deployment.verifier),
        format!("  oracle   {}", deployment.oracle),
    ];
    lines.extend(manifest.models.keys().map(|digest| format!("  model    {digest}")));
    lines.extend(manifest.consumers.iter().map(|c| format!("  consumer {} of {}", c.contract.address, c.model)));
    lines.extend(manifest.feeds.iter().map(|f| format!("  feed     {} of {}", f.contract.address, f.spec.model)));
    let value = json!({
        "chain_id": manifest.chain_id, "registry": deployment.registry, "verifier": deployment.verifier, "oracle": deployment.oracle,
        "parameters": manifest.parameters, "transactions": deployment.transactions, "gas": deployment.gas_used, "models": manifest.models.keys().collect::<Vec<_>>(),
        "consumers": manifest.consumers, "feeds": manifest.feeds,
    });
    (value, lines, true)
}
