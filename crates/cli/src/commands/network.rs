//! `zkslice network`: a prover network on one machine, with miners that lie, are slow and die.

use std::fs::File;
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use alloy::network::EthereumWallet;
use alloy::primitives::{Address, B256, hex};
use alloy::providers::ProviderBuilder;
use alloy::signers::local::PrivateKeySigner;
use ark_std::rand::rngs::OsRng;
use rand_core::RngCore;
use serde::Deserialize;
use serde_json::json;
use tokio_util::sync::CancellationToken;
use zkslice_chain::bindings::{DigitConsumer, InferenceOracle, Status};
use zkslice_chain::{Chain, ConsumerSpec, DeployPlan, Deployer, Deployment, http_client, signer};
use zkslice_formats::Word;
use zkslice_inputs::Pixels;
use zkslice_prover::{Inference, ProverError};
use zkslice_slicer::{InputMode, Package};
use zkslice_subnet::client::about;
use zkslice_subnet::daemon::{Employer, work_for};
use zkslice_subnet::miner::{Miner, OnCores, Options, Prover};
use zkslice_subnet::score::Parameters;
use zkslice_subnet::{Clock, Network, Node};

use super::anvil::Anvil;
use super::demo::{FEE_WEI, KeyFiles, Narrator, forget, package, request};
use super::{deploy, integers, write, write_secret};
use crate::error::CliError;
use crate::output::Output;

/// Run a prover network on this machine: a chain, a validator, miners and a relayer, until requests of a contract are fulfilled. One of the
/// miners lies, one is slow, one dies.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  zkslice network\n  zkslice network --seconds 20 --miners 4")]
pub(crate) struct Args {
    /// Folder with model.onnx, samples.json and input.json.
    #[arg(long, default_value = "demo/model")]
    model: PathBuf,
    /// Where everything is kept, logs among it.
    #[arg(long, default_value = ".network")]
    folder: PathBuf,
    /// Slices to cut the model into.
    #[arg(long, default_value_t = 3)]
    slices: usize,
    /// Miners, the liar and the slow one among them.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u8).range(3..=64))]
    miners: u8,
    /// How long the contract makes requests.
    #[arg(long, default_value_t = 30)]
    seconds: u64,
}

/// Valid benchmarks before a miner gets requests: fewer than usual, since this does not run for long.
const PROBATION: u32 = 3;
/// Slices that the liar proves before it lies: it is let in first.
const HONEST_FIRST: u32 = 6;
/// How long the slow miner waits with each proof: longer than what has full credit, and not too long.
const SLOWNESS: Duration = Duration::from_millis(1_500);
/// How long anything may take here.
const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) fn run(args: Args, output: &Output) -> crate::CommandResult {
    let started = Instant::now();
    if !args.model.is_dir() {
        let place = args.model.display();
        return Err(CliError::input(format!(
            "{place}: no such folder; run this in a checkout of zkslice, or name a model's folder by --model"
        )));
    }
    let narrator = Narrator { output, started };
    let package = package(&args.model, &args.folder, args.slices, InputMode::Public, &narrator)?;
    let summary = super::runtime()?.block_on(on_machine(&args, package, &narrator))?;
    let Summary { requests, miners, refused, p50_ms } = summary;
    let line = format!("network ok: {requests} requests fulfilled by {miners} miners, {refused} bad proofs refused, p50 {p50_ms} ms");
    let value = json!({ "ok": true, "requests": requests, "miners": miners, "refused": refused, "p50_ms": p50_ms });
    output.result(&value, &[line]);
    Ok(ExitCode::SUCCESS)
}

struct Summary {
    requests: usize,
    miners: usize,
    refused: u64,
    p50_ms: u64,
}

/// Another process of this program, stopped when dropped.
struct Process(Child);

impl Process {
    fn start(log: &Path, arguments: &[&str]) -> Result<Self, CliError> {
        let failed = |e: std::io::Error| CliError::failed(format!("{}: {e}", log.display()));
        let file = File::options().create(true).append(true).open(log).map_err(failed)?;
        let program = std::env::current_exe().map_err(failed)?;
        let (out, err) = (file.try_clone().map_err(failed)?, file);
        let child = Command::new(program).args(arguments).stdin(Stdio::null()).stdout(out).stderr(err).spawn().map_err(failed)?;
        Ok(Self(child))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Best effort: one that is gone already is what we want.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Is honest until it is let in, and then hands in proofs of something else.
struct Liar {
    prover: OnCores,
    proofs: AtomicU32,
}

impl Prover for Liar {
    fn prove(&self, package: &Package, mut inference: Inference, slice: u16) -> Result<Vec<Word>, ProverError> {
        if self.proofs.fetch_add(1, Ordering::Relaxed) >= HONEST_FIRST {
            inference.context[31] ^= 1;
        }
        self.prover.prove(package, inference, slice)
    }
}

/// Takes its time.
struct Slow(OnCores);

impl Prover for Slow {
    fn prove(&self, package: &Package, inference: Inference, slice: u16) -> Result<Vec<Word>, ProverError> {
        std::thread::sleep(SLOWNESS);
        self.0.prove(package, inference, slice)
    }
}

/// A miner, as the validator shows it.
#[derive(Deserialize)]
struct MinerInfo {
    address: Address,
    units: u64,
    median_ms: Option<u64>,
    valid: u64,
    invalid: u64,
    missed: u64,
    score: u64,
}

/// Everything that runs.
struct World<'a> {
    args: &'a Args,
    url: String,
    names: Vec<(Address, &'static str)>,
    miners: Vec<Option<Process>>,
    _processes: Vec<Process>,
    in_process: Vec<Arc<Miner>>,
    stop: CancellationToken,
}

impl Drop for World<'_> {
    fn drop(&mut self) {
        self.stop.cancel();
        self.in_process.iter().for_each(|miner| miner.kill());
    }
}

fn secret_key() -> String {
    let mut key = [0; 32];
    OsRng.fill_bytes(&mut key);
    // Far below the curve's order.
    key[0] = 0;
    hex::encode(key)
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

impl<'a> World<'a> {
    async fn start(args: &'a Args, anvil: &Anvil, deployment: &Deployment, keys: &KeyFiles, package: &Package) -> Result<Self, CliError> {
        let folder = std::path::absolute(&args.folder).map_err(|e| CliError::failed(format!("{}: {e}", args.folder.display())))?;
        for name in ["validator.sqlite", "relayer.sqlite"] {
            for suffix in ["", "-wal", "-shm", ".lock"] {
                forget(&folder.join(format!("{name}{suffix}")))?;
            }
        }
        let (oracle, rpc) = (deployment.oracle, &anvil.url);
        let token = secret_key();
        write_secret(&folder.join("validator.key"), secret_key().as_bytes())?;
        write_secret(&folder.join("callers.txt"), format!("relayer {token}\n").as_bytes())?;
        write_secret(&folder.join("relayer.token"), token.as_bytes())?;
        let at = free_port().await?;
        let config = format!(
            "version = 1\nrpc_url = \"{rpc}\"\nchain_id = 31337\nregistry = \"{oracle}\"\nkey_file = \"validator.key\"\ndatabase = \"validator.sqlite\"\n\
             models = [\"{}\"]\nquic = \"127.0.0.1:0\"\nhttp = \"{at}\"\ncallers = \"callers.txt\"\nepoch_blocks = 10\nprice_per_unit = \"1 gwei\"\n\
             probation = {PROBATION}\nanswer_ms = 5_000\nhandshakes_per_minute = 1_000\nbenchmark_units_per_minute = 3_000\n",
            text(&std::path::absolute(package.folder()).unwrap_or_else(|_| package.folder().to_owned()))
        );
        write(&folder.join("validator.toml"), config.as_bytes())?;
        let validator = Process::start(&folder.join("validator.log"), &["validator", "--config", &text(&folder.join("validator.toml"))])?;
        let url = format!("http://{at}");
        wait("the validator", || async { about(&url).await.is_ok() }).await?;
        let config = format!(
            "version = 1\nrpc_url = \"{rpc}\"\nchain_id = 31337\noracle = \"{oracle}\"\nkey_file = \"{}\"\ndatabase = \"relayer.sqlite\"\n\
             source = \"{url}\"\nsource_key_file = \"relayer.token\"\nmax_fee_per_gas = \"100 gwei\"\nmax_gas = 5_000_000\n\
             daily_spend_cap = \"1 ether\"\nmin_fee = \"{FEE_WEI} wei\"\nconfirmations = 0\npoll_interval_ms = 50\n",
            keys.relayer.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default()
        );
        write(&folder.join("relayer.toml"), config.as_bytes())?;
        let relayer = Process::start(&folder.join("relayer.log"), &["relay", "--config", &text(&folder.join("relayer.toml"))])?;
        let mut world = Self {
            args,
            url,
            names: Vec::new(),
            miners: Vec::new(),
            _processes: vec![validator, relayer],
            in_process: Vec::new(),
            stop: CancellationToken::new(),
        };
        for k in 0..args.miners - 2 {
            let key = folder.join(format!("miner-{k}.key"));
            write_secret(&key, secret_key().as_bytes())?;
            forget(&folder.join(format!("miner-{k}")).join("receipts.jsonl"))?;
            world.names.push((signer::load(&key)?.address(), if k == 0 { "dies" } else { "" }));
            world.miners.push(None);
            world.start_miner(k)?;
        }
        let network = Network { chain_id: 31337, registry: oracle };
        let prover = || OnCores::new(1).map_err(|e| CliError::failed(format!("no threads: {e}")));
        let liar = Liar { prover: prover()?, proofs: AtomicU32::new(0) };
        let slow = Slow(prover()?);
        world.start_in_process("lies", Box::new(liar), network, package, &folder)?;
        world.start_in_process("is slow", Box::new(slow), network, package, &folder)?;
        Ok(world)
    }

    /// Every other one comes by WebSocket, as if it could not speak UDP.
    fn start_miner(&mut self, k: u8) -> Result<(), CliError> {
        let folder = &self.args.folder;
        let path = |name: String| text(&folder.join(name));
        let (key, models, own) = (path(format!("miner-{k}.key")), path("package".into()), path(format!("miner-{k}")));
        let mut arguments =
            vec!["miner", "--validator", &self.url, "--key-file", &key, "--models", &models, "--folder", &own, "--cores", "1"];
        if k % 2 == 1 {
            arguments.push("--no-quic");
        }
        self.miners[usize::from(k)] = Some(Process::start(&folder.join(format!("miner-{k}.log")), &arguments)?);
        Ok(())
    }

    fn start_in_process(
        &mut self,
        name: &'static str,
        prover: Box<dyn Prover>,
        network: Network,
        package: &Package,
        folder: &Path,
    ) -> Result<(), CliError> {
        let ledger = folder.join(format!("{}.jsonl", name.replace(' ', "-")));
        forget(&ledger)?;
        let options = Options { network, parameters: Parameters::default(), slots: 1, memory_mib: 256, ledger };
        let node = Node::new(PrivateKeySigner::random());
        let miner = Miner::start(node, vec![Package::open(package.folder())?], options, prover, Clock::system())?;
        self.names.push((miner.address(), name));
        tokio::spawn(work_for(Arc::clone(&miner), Employer::parse(&self.url)?, network, false, self.stop.clone()));
        self.in_process.push(miner);
        Ok(())
    }

    async fn infos(&self) -> Result<Vec<MinerInfo>, CliError> {
        let (client, _, _) = http_client(&self.url, Duration::from_secs(10))?;
        let answer = client.get(format!("{}/v1/miners", self.url)).send().await;
        let bytes = answer.map_err(|e| CliError::failed(format!("the validator: {e}")))?.bytes().await;
        let bytes = bytes.map_err(|e| CliError::failed(format!("the validator: {e}")))?;
        serde_json::from_slice(&bytes).map_err(|e| CliError::failed(format!("the validator's miners: {e}")))
    }

    fn name(&self, address: Address) -> &'static str {
        self.names.iter().find(|(other, _)| *other == address).map_or("", |(_, name)| name)
    }
}

async fn free_port() -> Result<SocketAddr, CliError> {
    let failed = |e: std::io::Error| CliError::failed(format!("no port is free: {e}"));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.map_err(failed)?;
    listener.local_addr().map_err(failed)
}

async fn wait<F: Future<Output = bool>>(what: &str, is_there: impl Fn() -> F) -> Result<(), CliError> {
    let until = Instant::now() + PATIENCE;
    while !is_there().await {
        if Instant::now() > until {
            return Err(CliError::failed(format!("{what} did not come about within {} s; the logs say more", PATIENCE.as_secs())));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

async fn on_machine(args: &Args, package: Package, narrator: &Narrator<'_>) -> Result<Summary, CliError> {
    let anvil = Anvil::start()?;
    let chain = Chain::connect(&anvil.url, Some(31337)).await?;
    let keys = KeyFiles::write(&args.folder)?;
    let deployer = signer::load(&keys.deployer)?;
    let model = deploy::model_keys(&package)?;
    let digest = model.digest;
    let manifest = args.folder.join("deployments").join("31337.json");
    forget(&manifest)?;
    let plan = DeployPlan { models: vec![model], consumers: vec![ConsumerSpec { model: digest }], ..DeployPlan::default() };
    let mut silent = |_: &zkslice_chain::DeployEvent| ControlFlow::Continue(());
    let deployment = Deployer::new(chain.clone(), deployer.clone(), manifest).deploy(&plan, &mut silent).await?;
    let consumer = deployment.manifest.consumers.first().map(|c| c.contract.address).unwrap_or_default();
    narrator.say(format!("a chain of our own: oracle {}, consumer {consumer}", deployment.oracle));

    let mut world = World::start(args, &anvil, &deployment, &keys, &package).await?;
    narrator.say(format!("a validator at {}, a relayer, {} miners: one lies, one is slow, one will die", world.url, args.miners));
    let is_let_in = || async {
        let infos = world.infos().await.unwrap_or_default();
        infos.iter().filter(|miner| miner.valid >= u64::from(PROBATION)).count() >= usize::from(args.miners) / 2
    };
    wait("half of the miners' benchmarks", is_let_in).await?;
    narrator.say("half of the miners have shown by benchmarks what they can");

    let tree = Chain::provider(&chain);
    let wallet = ProviderBuilder::new().wallet(EthereumWallet::from(deployer)).connect_provider(tree.clone());
    let consumer = DigitConsumer::new(consumer, &wallet);
    let oracle = InferenceOracle::new(deployment.oracle, tree);
    let mut inference = Inference::of_inputs(&package, integers(&package, &args.model.join("input.json"), Pixels::default())?)?;
    let openings = args.folder.join("openings");
    let (began, long) = (Instant::now(), Duration::from_secs(args.seconds));
    let mut times: Vec<(B256, u64)> = Vec::new();
    let mut died = 0;
    while began.elapsed() < long {
        let asked = Instant::now();
        let requested = request(&consumer, &package, &mut inference, &openings).await?;
        let is_fulfilled = || async {
            let status = oracle.status(requested.id).call().await;
            status.is_ok_and(|status| Status::from_u8(status) == Some(Status::Fulfilled))
        };
        wait("the fulfilment of a request", is_fulfilled).await?;
        times.push((requested.id, u64::try_from(asked.elapsed().as_millis()).unwrap_or(u64::MAX)));
        if died == 0 && began.elapsed() > long / 4 {
            world.miners[0] = None;
            died = 1;
            narrator.say(format!("{} requests fulfilled; a miner is killed", times.len()));
        } else if died == 1 && began.elapsed() > long / 2 {
            world.start_miner(0)?;
            died = 2;
            narrator.say(format!("{} requests fulfilled; the killed miner is back", times.len()));
        }
    }
    // Each was fulfilled, and once.
    for (id, _) in &times {
        let filter = oracle.InferenceFulfilled_filter().topic1(*id).from_block(0);
        let found = filter.query().await.map_err(|e| CliError::failed(format!("the chain's events: {e}")))?.len();
        if found != 1 {
            return Err(CliError::failed(format!("request {id} was fulfilled {found} times")));
        }
    }
    let mut infos = world.infos().await?;
    infos.sort_by_key(|miner| std::cmp::Reverse(miner.units));
    narrator
        .output
        .line(&format!("{:<12}{:>8}{:>12}{:>8}{:>9}{:>8}{:>9}  ", "miner", "units", "median ms", "valid", "invalid", "missed", "score"));
    for miner in &infos {
        let median = miner.median_ms.map_or("-".to_owned(), |ms| ms.to_string());
        let (short, name) = (&miner.address.to_string()[..10], world.name(miner.address));
        let line = format!(
            "{short:<12}{:>8}{median:>12}{:>8}{:>9}{:>8}{:>9}  {name}",
            miner.units, miner.valid, miner.invalid, miner.missed, miner.score
        );
        narrator.output.line(line.trim_end());
    }
    let liar = infos.iter().find(|miner| world.name(miner.address) == "lies");
    let refused: u64 = infos.iter().map(|miner| miner.invalid).sum();
    if let Some(liar) = liar.filter(|liar| liar.invalid == 0 && liar.valid >= u64::from(HONEST_FIRST)) {
        return Err(CliError::failed(format!("the liar lied, and nobody noticed: {} valid slices", liar.valid)));
    }
    if infos.iter().any(|miner| miner.invalid > 0 && world.name(miner.address) != "lies") {
        return Err(CliError::failed("an honest miner's proof was refused"));
    }
    let mut sorted: Vec<u64> = times.iter().map(|(_, ms)| *ms).collect();
    sorted.sort_unstable();
    let p50_ms = sorted.get(sorted.len() / 2).copied().unwrap_or_default();
    Ok(Summary { requests: times.len(), miners: infos.iter().filter(|miner| miner.valid > 0).count(), refused, p50_ms })
}
