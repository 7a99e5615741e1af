//! `zkslice miner`: prove slices for validators.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use zkslice_chain::signer;
use zkslice_relayer::cancel_on_signals;
use zkslice_slicer::Package;
use zkslice_subnet::blobs::{Limits, Shelf, Sources, Store};
use zkslice_subnet::config::{Bytes, Fetch, MinerConfig, default_memory, default_slots};
use zkslice_subnet::daemon::{Employer, Fetching, fetch, has_own_packages, keep_fetching, packages, show_metrics, work_for};
use zkslice_subnet::gateway::{Connections, listen, serve_blobs};
use zkslice_subnet::miner::{Miner, OnCores, Options};
use zkslice_subnet::score::Parameters;
use zkslice_subnet::{Clock, DaemonError, Network, Node};

use super::write;
use crate::error::CliError;
use crate::output::Output;

/// What `status` reads, in the miner's folder.
const STATUS: &str = "status.json";
/// Receipts, in the miner's folder.
const RECEIPTS: &str = "receipts.jsonl";
/// How often it is said how things are.
const PAUSE: Duration = Duration::from_secs(5);
/// How often a validator that is away at the start is asked again.
const AGAIN: Duration = Duration::from_secs(2);

/// Prove slices for validators, and keep their receipts. Stops on SIGTERM after what was accepted.
#[derive(Debug, clap::Args)]
#[command(
    subcommand_negates_reqs = true,
    args_conflicts_with_subcommands = true,
    after_help = "Examples:\n  zkslice miner --config miner.toml\n  zkslice miner --validator http://127.0.0.1:7655 --key-file miner.key --models models\n  zkslice miner status --folder miner"
)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    /// The configuration; `docs/network.md` has every key.
    #[arg(long)]
    config: Option<PathBuf>,
    /// HTTP address of a validator; `#0x…` behind it says who it has to be. May be given more than once.
    #[arg(long, value_name = "URL")]
    validator: Vec<String>,
    /// File with the private key that signs, mode 0600 or 0400.
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// Folder of packages with keys, or where they are fetched to.
    #[arg(long, value_name = "DIR")]
    models: Option<PathBuf>,
    /// Packages to fetch from the validators: all, none, or those of these models' digests. All unless DIR has a package that you made.
    #[arg(long, value_name = "WHICH", num_args = 0.., default_missing_value = "all")]
    fetch: Option<Vec<String>>,
    /// Slices whose keys are fetched, such as 0,2; all if it is not given.
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    slices: Vec<u16>,
    /// What fetched packages may take on the disk, such as 500MB; 20GB if it is not given.
    #[arg(long, value_name = "SIZE")]
    quota: Option<Bytes>,
    /// Address at which `/{sha256}` is a file, asked before validators; another miner's is `http://host:port/v1/blobs`. May be given more
    /// than once.
    #[arg(long, value_name = "URL")]
    mirror: Vec<String>,
    /// Serve the packages to other miners at this address, such as 0.0.0.0:7656.
    #[arg(long, value_name = "ADDR")]
    serve_blobs: Option<SocketAddr>,
    /// Folder for receipts and status.
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,
    /// Come by WebSocket alone, where UDP does not get through.
    #[arg(long)]
    no_quic: bool,
    /// Threads to prove on; all cores if it is not given.
    #[arg(long)]
    cores: Option<usize>,
    /// Slices to prove side by side.
    #[arg(long)]
    slots: Option<u16>,
    /// Memory for work that waits, in MiB.
    #[arg(long, value_name = "MIB")]
    memory: Option<u32>,
    /// Serve metrics for Prometheus at this address, such as 127.0.0.1:9655.
    #[arg(long, value_name = "ADDR")]
    metrics: Option<SocketAddr>,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Say what a miner is doing, and what its validators have signed for it.
    #[command(after_help = "Examples:\n  zkslice miner status --folder miner")]
    Status {
        /// The miner's folder.
        #[arg(long, value_name = "DIR", default_value = "miner")]
        folder: PathBuf,
    },
}

fn config(args: Args) -> Result<MinerConfig, CliError> {
    let mut config = match (&args.config, args.key_file, args.models) {
        (Some(path), key_file, models) => {
            let mut config = MinerConfig::load(path)?;
            config.key_file = key_file.unwrap_or(config.key_file);
            config.models = models.unwrap_or(config.models);
            config
        }
        (None, Some(key_file), Some(models)) => MinerConfig {
            version: 1,
            validators: Vec::new(),
            key_file,
            models,
            folder: PathBuf::from("miner"),
            cores: 0,
            slots: default_slots(),
            memory_mib: default_memory(),
            metrics: None,
            fetch: None,
            slices: None,
            quota: Bytes::default(),
            mirror: Vec::new(),
            serve_blobs: None,
        },
        _ => return Err(CliError::input("give --config, or --validator, --key-file and --models")),
    };
    config.validators.extend(args.validator);
    config.folder = args.folder.unwrap_or(config.folder);
    config.cores = args.cores.unwrap_or(config.cores);
    config.slots = args.slots.unwrap_or(config.slots).max(1);
    config.memory_mib = args.memory.unwrap_or(config.memory_mib);
    config.metrics = args.metrics.or(config.metrics);
    if let Some(words) = args.fetch {
        config.fetch = Some(Fetch::parse(&words).map_err(|reason| CliError::input(format!("--fetch: {reason}")))?);
    }
    if !args.slices.is_empty() {
        config.slices = Some(args.slices.into_iter().collect());
    }
    config.quota = args.quota.unwrap_or(config.quota);
    config.mirror.extend(args.mirror);
    config.serve_blobs = args.serve_blobs.or(config.serve_blobs);
    if config.validators.is_empty() {
        return Err(CliError::input("no validator is named: give --validator http://host:port, or `validators` in the configuration"));
    }
    Ok(config)
}

pub(crate) fn run(args: Args, output: &Output) -> crate::CommandResult {
    if let Some(Command::Status { folder }) = &args.command {
        return status(folder, output);
    }
    let no_quic = args.no_quic;
    let config = config(args)?;
    let employers = config.validators.iter().map(|text| Employer::parse(text)).collect::<Result<Vec<_>, _>>()?;
    let signer = signer::load(&config.key_file)?;
    let wanted = config.fetch.clone().unwrap_or(if has_own_packages(&config.models) { Fetch::None } else { Fetch::All });
    if wanted != Fetch::None && config.models.join("manifest.json").is_file() {
        return Err(CliError::input(format!(
            "{}: is a package itself; name the folder that it is in to fetch others",
            config.models.display()
        )));
    }
    // What can be said before a validator is there is said.
    let own = if wanted == Fetch::None { Some(packages(&config.models)?) } else { None };
    fs::create_dir_all(&config.folder).map_err(|e| CliError::failed(format!("{}: {e}", config.folder.display())))?;
    super::runtime()?.block_on(async {
        let cancel = cancel_on_signals().map_err(|e| CliError::failed(format!("signals cannot be listened to: {e}")))?;
        let Some(network) = network(&employers, &cancel).await? else { return Ok(()) };
        let shelf = Arc::new(Shelf::default());
        if let Some(at) = config.serve_blobs {
            serve_to_others(at, Arc::clone(&shelf), output).await?;
        }
        // The folder is this miner's as long as it runs: nobody else may make room in it.
        let (packages, fetching) = match own {
            Some(packages) => (packages, None),
            None => {
                let store =
                    Store::open(&config.models, config.quota.0, Limits::default(), Arc::clone(&shelf)).map_err(DaemonError::from)?;
                let nodes = employers.iter().map(|employer| employer.url().to_owned()).collect();
                let sources = Sources { nodes, mirrors: config.mirror.clone() };
                let said = |fetching: Fetching<'_>| output.line(&fetched(fetching));
                let none = BTreeSet::new();
                tokio::select! {
                    ended = fetch(&store, &config, &sources, &wanted, &none, &said) => drop(ended?),
                    () = cancel.cancelled() => return Ok(()),
                }
                (packages(&config.models)?, Some((store, sources)))
            }
        };
        if config.serve_blobs.is_some() {
            shelf.fill(packages.iter().filter_map(|package| Some((package.key_blob().ok()?.model_digest().into(), package))));
        }
        let options = Options {
            network,
            parameters: Parameters::default(),
            slots: config.slots,
            memory_mib: config.memory_mib,
            ledger: config.folder.join(RECEIPTS),
        };
        let prover = OnCores::new(config.cores).map_err(|e| CliError::failed(format!("no threads to prove on: {e}")))?;
        let miner = Miner::start(Node::new(signer), packages, options, Box::new(prover), Clock::system())?;
        let value = json!({ "miner": miner.address(), "models": miner.models() });
        output.result(&value, &[format!("miner {}: {} slices of {} models", miner.address(), miner.slices(), miner.models().len())]);
        let links = CancellationToken::new();
        if let Some(at) = config.metrics {
            show_metrics(Arc::clone(&miner), at, links.clone()).await?;
        }
        if let Some((store, sources)) = fetching {
            let (shelf, is_served) = (Arc::clone(&shelf), config.serve_blobs.is_some());
            let came = move |package: &Package| {
                tracing::info!(folder = %package.folder().display(), "a package has come");
                if let (true, Ok(keys)) = (is_served, package.key_blob()) {
                    shelf.fill([(keys.model_digest().into(), package)]);
                }
            };
            tokio::spawn(keep_fetching(Arc::clone(&miner), store, config.clone(), sources, wanted, came, links.clone()));
        }
        for employer in employers {
            tokio::spawn(work_for(Arc::clone(&miner), employer, network, no_quic, links.clone()));
        }
        let mut said = String::new();
        loop {
            let value = shown(&miner);
            write(&config.folder.join(STATUS), value.to_string().as_bytes())?;
            let line = line(&miner);
            if line != said {
                output.line(&line);
                said = line;
            }
            tokio::select! {
                () = cancel.cancelled() => break,
                () = tokio::time::sleep(PAUSE) => {}
            }
        }
        // What was accepted is ended, and its receipts are waited for.
        miner.stop().await;
        links.cancel();
        write(&config.folder.join(STATUS), shown(&miner).to_string().as_bytes())
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Serves packages, and what is being fetched, to other miners.
async fn serve_to_others(at: SocketAddr, shelf: Arc<Shelf>, output: &Output) -> Result<(), CliError> {
    let listener = TcpListener::bind(at).await.map_err(|error| DaemonError::Listen(at, error.to_string()))?;
    let at = listener.local_addr().map_err(|error| DaemonError::Listen(at, error.to_string()))?;
    output.line(&format!("packages at http://{at}/v1/blobs"));
    tokio::spawn(listen(listener, serve_blobs(shelf), Connections::default(), CancellationToken::new()));
    Ok(())
}

fn fetched(Fetching { model, progress, is_over }: Fetching<'_>) -> String {
    let [total, done, received] = [&progress.total, &progress.done, &progress.received].map(|n| n.load(Ordering::Relaxed));
    let mb = |bytes: u64| bytes as f64 / 1e6;
    match (is_over, total) {
        (true, _) => format!("model {model}: here, {:.1} MB of {:.1} MB fetched now", mb(received), mb(total)),
        (false, 0) => format!("model {model}: its list of files is awaited"),
        (false, _) => format!("model {model}: {:.1} of {:.1} MB, {} %", mb(done), mb(total), done * 100 / total),
    }
}

/// Of which network the validators are: the first that answers says it. None if the miner is stopped before.
async fn network(employers: &[Employer], cancel: &CancellationToken) -> Result<Option<Network>, CliError> {
    let mut has_said = false;
    loop {
        for employer in employers {
            match employer.about().await {
                Ok(about) => return Ok(Some(Network { chain_id: about.chain_id, registry: about.registry })),
                // It may not be up yet.
                Err(error @ DaemonError::Client(_)) if !has_said => tracing::warn!(%error, "waiting for a validator"),
                Err(DaemonError::Client(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        has_said = true;
        tokio::select! {
            () = cancel.cancelled() => return Ok(None),
            () = tokio::time::sleep(AGAIN) => {}
        }
    }
}

fn shown(miner: &Miner) -> Value {
    let accounts = miner.accounts();
    let accounts: Vec<Value> = accounts.iter().map(|(validator, account)| json!({ "validator": validator, "account": account })).collect();
    json!({ "miner": miner.address(), "connected": miner.connected(), "queued": miner.queued(), "accounts": accounts })
}

fn line(miner: &Miner) -> String {
    let sums = miner.accounts().into_iter().fold([0; 5], |[valid, invalid, missed, credit, debit], (_, account)| {
        [valid + account.valid, invalid + account.invalid, missed + account.missed, credit + account.credit, debit + account.debit]
    });
    let [valid, invalid, missed, credit, debit] = sums;
    let (connected, queued) = (miner.connected().len(), miner.queued());
    format!(
        "{connected} validators, {queued} slices queued; {valid} valid, {invalid} invalid, {missed} missed; credit {credit}, debit {debit}"
    )
}

fn status(folder: &Path, output: &Output) -> crate::CommandResult {
    let path = folder.join(STATUS);
    let bytes =
        fs::read(&path).map_err(|e| CliError::input(format!("{}: {e}; is this the folder of a miner that has run?", path.display())))?;
    let value: Value = serde_json::from_slice(&bytes).map_err(|_| CliError::input(format!("{}: not a miner's status", path.display())))?;
    let mut lines = vec![format!("miner {}", value["miner"].as_str().unwrap_or_default())];
    lines.push(format!("connected to {} validators, {} slices queued", value["connected"].as_array().map_or(0, Vec::len), value["queued"]));
    for account in value["accounts"].as_array().into_iter().flatten() {
        let of = &account["account"];
        lines.push(format!(
            "{}: {} receipts, {} valid, {} invalid, {} missed, {} late or superseded; credit {}, debit {}",
            account["validator"].as_str().unwrap_or_default(),
            of["receipts"],
            of["valid"],
            of["invalid"],
            of["missed"],
            of["late_or_superseded"],
            of["credit"],
            of["debit"]
        ));
    }
    output.result(&value, &lines);
    Ok(ExitCode::SUCCESS)
}
