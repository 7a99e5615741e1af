//! `zkslice demo`: the main job, end to end, on a chain of its own.

mod tamper;

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use alloy::network::EthereumWallet;
use alloy::primitives::{Address, B256, U256};
use alloy::providers::ProviderBuilder;
use ark_std::rand::rngs::OsRng;
use serde_json::json;
use zkslice_chain::bindings::{DigitConsumer, InferenceFeed, InferenceOracle, Status};
use zkslice_chain::{Chain, ConsumerSpec, DeployPlan, Deployer, FeedSpec, context, signer};
use zkslice_compiler::{Options, arg_max, compile};
use zkslice_inputs::Pixels;
use zkslice_prover::{Bound, Bundle, Inference, LocalProver, Openings, Verifier, encode_request, prove};
use zkslice_relayer::{Config, RelayEvent, Relayer};
use zkslice_slicer::{InputMode, Package, PackageOptions, Strategy, setup_again};
use zkslice_solidity::ExportOptions;

use super::anvil::Anvil;
use super::{ANVIL_KEYS, deploy, integers, write, write_secret};
use crate::error::CliError;
use crate::output::Output;

/// Take a trained LeNet-5 from its ONNX file to a contract that has read its answer, then show that tampering is refused.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  zkslice demo\n  zkslice demo --private")]
pub(crate) struct Args {
    /// Folder with model.onnx, samples.json and input.json.
    #[arg(long, default_value = "demo/model")]
    model: PathBuf,
    /// Where the demo keeps what it makes; a second run skips what is done.
    #[arg(long, default_value = ".demo")]
    folder: PathBuf,
    /// Slices to cut the model into.
    #[arg(long, default_value_t = 3)]
    slices: usize,
    /// Request by commitment: the image stays off the chain.
    #[arg(long)]
    private: bool,
}

/// 0.005 ether: more than the gas costs on a fresh anvil.
pub(crate) const FEE_WEI: u64 = 5_000_000_000_000_000;
const FEED_DECIMALS: u8 = 8;

pub(crate) fn run(args: Args, output: &Output) -> crate::CommandResult {
    let started = Instant::now();
    if !args.model.is_dir() {
        return Err(CliError::input(format!(
            "{}: no such folder; run the demo in a checkout of zkslice, or give a folder with model.onnx, samples.json and input.json by --model",
            args.model.display()
        )));
    }
    let narrator = Narrator { output, started };
    let inputs = if args.private { InputMode::Private } else { InputMode::Public };
    let package = package(&args.model, &args.folder, args.slices, inputs, &narrator)?;
    let summary = super::runtime()?.block_on(on_chain(&args, package, &narrator))?;
    let seconds = started.elapsed().as_secs_f64();
    let line = format!("demo ok: class {} for request {} in {seconds:.1} s, {} gas", summary.class, summary.request, summary.gas);
    let value = json!({ "ok": true, "class": summary.class, "request": summary.request, "seconds": seconds, "gas": summary.gas, "refused": summary.refused });
    output.result(&value, &[line]);
    Ok(ExitCode::SUCCESS)
}

/// Says what happens, as it happens.
pub(crate) struct Narrator<'a> {
    pub(crate) output: &'a Output,
    pub(crate) started: Instant,
}

impl Narrator<'_> {
    pub(crate) fn say(&self, line: impl std::fmt::Display) {
        self.output.line(&format!("[{:5.1} s] {line}", self.started.elapsed().as_secs_f64()));
    }
}

/// Compiles the model and makes dev keys, unless an earlier run did.
pub(crate) fn package(model: &Path, place: &Path, slices: usize, inputs: InputMode, narrator: &Narrator<'_>) -> Result<Package, CliError> {
    let name = model.file_name().map_or("model".into(), |n| n.to_string_lossy().into_owned());
    let (model, samples) = (model.join("model.onnx"), model.join("samples.json"));
    let samples = zkslice_inputs::samples(&samples, &[], Pixels::default())?;
    let (graph, report) = compile(&model, Some(&samples), &Options::default()).map_err(|e| CliError::from(e).in_file(&model))?;
    let folder = place.join(if inputs == InputMode::Private { "package-private" } else { "package" });
    fs::create_dir_all(place).map_err(|e| CliError::failed(format!("{}: {e}", place.display())))?;
    let options = PackageOptions { name: format!("demo-{name}"), inputs, strategy: Strategy::Slices(slices), coverage_policy: Vec::new() };
    let report = serde_json::to_value(&report).map_err(|e| CliError::failed(e.to_string()))?;
    let package = [Package::replace(&folder, &graph, &options, report)?];
    let constraints: Vec<usize> = package[0].manifest().slices.iter().map(|s| s.constraints).collect();
    narrator.say(format!("compiled {}: {} slices of {constraints:?} constraints", model.display(), constraints.len()));
    if package[0].key_blob().is_ok() {
        narrator.say("dev keys: there already");
    } else {
        let bar = narrator.output.bar(constraints.len(), "making dev keys");
        setup_again(&package, &mut OsRng, |done, _| bar.set_position(done as u64))?;
        bar.finish_and_clear();
        narrator.say(format!("dev keys: model digest {}", package[0].keys()?.model));
    }
    let [package] = package;
    Ok(package)
}

struct Summary {
    class: usize,
    request: B256,
    gas: u64,
    refused: Vec<String>,
}

async fn on_chain(args: &Args, package: Package, narrator: &Narrator<'_>) -> Result<Summary, CliError> {
    // What the contract should come to, proven and verified off chain first.
    let input = integers(&package, &args.model.join("input.json"), Pixels::default())?;
    let mut inference = Inference::of_inputs(&package, input)?;
    let bar = narrator.output.bar(package.slice_count(), "proving");
    let proven = prove(&package, inference.clone(), 0..package.slice_count(), &mut OsRng, |k| bar.set_position(k as u64))?;
    bar.finish_and_clear();
    let outputs = package.decode(&Verifier::new(&package)?.verify(&proven.bundle)?);
    let expected = outputs.first().and_then(|o| arg_max(o)).ok_or_else(|| CliError::input("the model has no output"))?;
    narrator.say(format!("proved and verified off chain: class {expected}"));
    let export = args.folder.join("solidity");
    let options = ExportOptions { replace: true, ..ExportOptions::default() };
    zkslice_solidity::export_with(&package, &export, &options)?;
    narrator.say(format!("Solidity verifiers: {}", export.display()));

    let anvil = Anvil::start()?;
    let chain = Chain::connect(&anvil.url, Some(31337)).await?;
    let keys = KeyFiles::write(&args.folder)?;
    let (deployer, relayer_key) = (signer::load(&keys.deployer)?, signer::load(&keys.relayer)?);
    let model = deploy::model_keys(&package)?;
    let digest = model.digest;
    let manifest = args.folder.join("deployments").join("31337.json");
    forget(&manifest)?;
    let plan = DeployPlan { models: vec![model], consumers: vec![ConsumerSpec { model: digest }], ..DeployPlan::default() };
    let deploy = Deployer::new(chain.clone(), deployer.clone(), manifest.clone());
    let mut silent = |_: &zkslice_chain::DeployEvent| ControlFlow::Continue(());
    let deployment = deploy.deploy(&plan, &mut silent).await?;
    let consumer = deployment.manifest.consumers.first().map(|c| c.contract.address).unwrap_or_default();
    let feed = FeedSpec {
        model: digest,
        source: consumer,
        output_index: expected as u64,
        decimals: FEED_DECIMALS,
        max_age: 3600,
        description: format!("digit classifier, score of class {expected}"),
        sequencer_uptime_feed: Address::ZERO,
        grace_period: 0,
    };
    let deployment = deploy.deploy(&DeployPlan { feeds: vec![feed], ..plan }, &mut silent).await?;
    let feed = deployment.manifest.feeds.first().map(|f| f.contract.address).unwrap_or_default();
    narrator.say(format!("deployed to a chain of our own: oracle {}, consumer {consumer}, feed {feed}", deployment.oracle));

    let openings = args.folder.join("openings");
    let config = relayer_config(&args.folder, &anvil.url, &deployment, &keys)?;
    let tree = Chain::provider(&chain);
    let oracle = InferenceOracle::new(deployment.oracle, tree);
    inference.owner = if args.private { context::owner(digest, consumer).0 } else { [0; 32] };
    let wallet = ProviderBuilder::new().wallet(EthereumWallet::from(deployer.clone())).connect_provider(tree.clone());
    let consumer = DigitConsumer::new(consumer, &wallet);
    let on = |what: &'static str| {
        let chain = chain.clone();
        move |e: alloy::contract::Error| CliError::from(chain.contract_error(what, &e))
    };

    // The first request, by the consumer contract; a relayer serves it.
    let first = request(&consumer, &package, &mut inference, &openings).await?;
    let source = Arc::new(LocalProver::new(vec![(Package::open(package.folder())?, None)], Some(openings.clone()))?);
    let mut relayer = Relayer::new(config, source, relayer_key.clone()).await?;
    narrator.say(format!("consumer requested {}, {}", first.id, if args.private { "by commitment" } else { "its image as public words" }));
    let gas = fulfilled(&relayer.run_until_idle().await?, first.id)?;
    narrator.say(format!("relayed: fulfilled for {gas} gas"));
    let answer = consumer.classOf(first.id).call().await.map_err(on("DigitConsumer.classOf"))?;
    if !answer.known || answer.class != U256::from(expected) {
        return Err(CliError::failed(format!("the consumer stored class {} (known: {}), expected {expected}", answer.class, answer.known)));
    }
    let round = InferenceFeed::new(feed, tree).latestRoundData().call().await.map_err(on("InferenceFeed.latestRoundData"))?;
    let score = outputs[0][expected];
    let shown = round.answer.to_string().parse::<f64>().unwrap_or(f64::NAN) / 10f64.powi(i32::from(FEED_DECIMALS));
    if (shown - score).abs() > 1e-6 {
        return Err(CliError::failed(format!("the feed answers {shown}, expected {score}")));
    }
    narrator.say(format!("consumer stored class {}; the feed answers {shown:.6} for its score", answer.class));

    // A second request stays open while bundles for it are tampered with.
    let second = request(&consumer, &package, &mut inference, &openings).await?;
    let beneficiary = relayer_key.address();
    let prove_for = |request: &Requested, openings: &Openings| -> Result<Bundle, CliError> {
        let context = context::context(31337, deployment.oracle, &request.request, request.requester, request.nonce, beneficiary);
        let inference = Inference { openings: openings.clone(), context: context.0, owner: inference.owner, ..Inference::default() };
        Ok(prove(&package, inference, 0..package.slice_count(), &mut OsRng, |_| ())?.bundle)
    };
    let cases = tamper::Cases {
        package: &package,
        first: prove_for(&first, &first.openings)?,
        second: prove_for(&second, &second.openings)?,
        requests: [&first, &second],
        beneficiary,
    };
    let refused = cases.run(&chain, deployment.oracle, narrator).await?;
    fulfilled(&relayer.run_until_idle().await?, second.id)?;
    narrator.say("the second request, untampered, was relayed too");
    let status = oracle.status(second.id).call().await.map_err(on("InferenceOracle.status"))?;
    if Status::from_u8(status) != Some(Status::Fulfilled) {
        return Err(CliError::failed(format!(
            "request {} has status {status}, expected {} (fulfilled)",
            second.id,
            Status::Fulfilled as u8
        )));
    }
    let class = expected;
    Ok(Summary { class, request: first.id, gas, refused })
}

/// Removes the traces of an earlier chain.
pub(crate) fn forget(path: &Path) -> Result<(), CliError> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(CliError::failed(format!("{}: {e}", path.display()))),
        _ => Ok(()),
    }
}

pub(crate) struct KeyFiles {
    pub(crate) deployer: PathBuf,
    pub(crate) relayer: PathBuf,
}

impl KeyFiles {
    pub(crate) fn write(folder: &Path) -> Result<Self, CliError> {
        let files = Self { deployer: folder.join("deployer.key"), relayer: folder.join("relayer.key") };
        for (path, key) in [(&files.deployer, ANVIL_KEYS[0]), (&files.relayer, ANVIL_KEYS[1])] {
            write_secret(path, key.as_bytes())?;
        }
        Ok(files)
    }
}

fn relayer_config(folder: &Path, url: &str, deployment: &zkslice_chain::Deployment, keys: &KeyFiles) -> Result<Config, CliError> {
    let path = folder.join("relayer.toml");
    let database = "relayer.sqlite";
    for suffix in ["", "-wal", "-shm", ".lock"] {
        forget(&folder.join(format!("{database}{suffix}")))?;
    }
    let key = keys.relayer.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let text = format!(
        "version = 1\nrpc_url = \"{url}\"\nchain_id = 31337\noracle = \"{}\"\nkey_file = \"{key}\"\ndatabase = \"{database}\"\nmodels = []\n\
         max_fee_per_gas = \"100 gwei\"\nmax_gas = 5_000_000\ndaily_spend_cap = \"1 ether\"\nmin_fee = \"{FEE_WEI} wei\"\nconfirmations = 0\npoll_interval_ms = 50\n",
        deployment.oracle
    );
    write(&path, text.as_bytes())?;
    Ok(Config::load(&path)?)
}

/// A request that is on chain.
pub(crate) struct Requested {
    pub(crate) id: B256,
    request: zkslice_chain::bindings::Request,
    requester: Address,
    nonce: U256,
    openings: Openings,
}

/// Has the consumer request an inference.
pub(crate) async fn request<P: alloy::providers::Provider>(
    consumer: &DigitConsumer::DigitConsumerInstance<P>,
    package: &Package,
    inference: &mut Inference,
    openings: &Path,
) -> Result<Requested, CliError> {
    // A salt of its own for each request.
    for opening in inference.openings.tensors.iter_mut().flatten() {
        opening.salt = None;
    }
    let bound = encode_request(package, inference, &mut OsRng)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let failed = |e: &dyn std::fmt::Display| CliError::failed(format!("the request failed: {e}"));
    let call = match &bound[..] {
        [Bound::Words(words)] => consumer.classify(words.iter().map(|w| U256::from_be_bytes(*w)).collect(), now + 3600).calldata().clone(),
        [Bound::Commitment(commitment)] => {
            super::encode::write_opening(openings, commitment, inference.openings.tensors.first())?;
            consumer.classifyCommitted(B256::from(*commitment), now + 3600).calldata().clone()
        }
        _ => return Err(CliError::input("the demo's consumer takes a model with one input")),
    };
    let transaction =
        alloy::rpc::types::TransactionRequest::default().to(*consumer.address()).input(call.into()).value(U256::from(FEE_WEI));
    let pending = consumer.provider().send_transaction(transaction).await.map_err(|e| failed(&e))?;
    let receipt = pending.get_receipt().await.map_err(|e| failed(&e))?;
    let event = receipt.decoded_log::<InferenceOracle::InferenceRequested>().ok_or_else(|| failed(&"no InferenceRequested event"))?;
    Ok(Requested {
        id: event.requestId,
        request: event.request.clone(),
        requester: event.requester,
        nonce: event.nonce,
        openings: inference.openings.clone(),
    })
}

/// Gas of the transaction that fulfilled a request.
fn fulfilled(events: &[RelayEvent], request: B256) -> Result<u64, CliError> {
    let done = events.iter().find_map(|event| match event {
        RelayEvent::Done { id, gas_used, .. } if *id == request => Some(*gas_used),
        _ => None,
    });
    done.ok_or_else(|| CliError::failed(format!("request {request} was not fulfilled; the relayer says: {events:?}")))
}
