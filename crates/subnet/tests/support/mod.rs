//! A model with keys, validators and miners on links in memory.

pub(crate) mod trapdoor;

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use alloy::primitives::{Address, B256};
use alloy::signers::local::PrivateKeySigner;
use ark_std::rand::{SeedableRng, rngs::StdRng};
use serde_json::Value;
use tokio::sync::watch;
use zkslice_compiler::{Options, compile};
use zkslice_graph::{Graph, Input, Samples, encode};
use zkslice_prover::{Bound, Inference, Job, JobInput, ProverError, Verifier, Word, encode_request};
use zkslice_slicer::{InputMode, Package, PackageOptions, Strategy, setup};
use zkslice_subnet::miner::{self, Miner, OnCores, Prover};
use zkslice_subnet::score::Parameters;
use zkslice_subnet::transport::memory;
use zkslice_subnet::validator::{self, Epoch, Validator};
use zkslice_subnet::{Clock, Network, Node};

pub(crate) const NETWORK: Network = Network { chain_id: 31_337, registry: Address::repeat_byte(0x77) };

/// What keys are drawn from.
const SEED: u64 = 3;

/// A package of a model in slices, with keys: made once for all tests.
pub(crate) fn package(slices: usize) -> Package {
    static FOLDERS: [OnceLock<tempfile::TempDir>; 2] = [OnceLock::new(), OnceLock::new()];
    let folder = FOLDERS[usize::from(slices > 1)].get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        package_of(&graph("mlp_digits").0, if slices > 1 { 2 } else { 1 }, &folder.path().join("pkg"));
        folder
    });
    Package::open(&folder.path().join("pkg")).unwrap()
}

/// Makes a package with keys.
pub(crate) fn package_of(graph: &Graph, slices: usize, folder: &Path) -> Package {
    package_with(graph, slices, InputMode::Public, folder)
}

/// Makes a package with keys, of public or of private inputs.
pub(crate) fn package_with(graph: &Graph, slices: usize, inputs: InputMode, folder: &Path) -> Package {
    let (name, strategy) = ("model".into(), Strategy::Slices(slices));
    let options = PackageOptions { name, inputs, strategy, coverage_policy: Vec::new() };
    let package = Package::create(folder, graph, &options, Value::Null).unwrap();
    setup(std::slice::from_ref(&package), &mut StdRng::seed_from_u64(SEED), |_, _| {}).unwrap();
    package
}

/// A model of `tests/models`, and its input.
pub(crate) fn graph(model: &str) -> (Graph, Vec<Vec<i64>>) {
    let of_model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/models").join(model);
    let read = |name: &str| std::fs::read(of_model.join(name)).unwrap();
    let samples = Samples::from_json(&read("samples.json")).unwrap();
    let graph = compile(&of_model.join("model.onnx"), Some(&samples), &Options::default()).unwrap().0;
    let inputs = encode(&graph, &Input::from_json(&read("input.json")).unwrap()).unwrap();
    (graph, inputs)
}

/// A job for a context of its own.
pub(crate) fn job(package: &Package, context: u8) -> Job {
    static INPUTS: OnceLock<Vec<Vec<i64>>> = OnceLock::new();
    job_of(package, INPUTS.get_or_init(|| graph("mlp_digits").1).clone(), B256::with_last_byte(context))
}

/// A job of these inputs for a context.
pub(crate) fn job_of(package: &Package, inputs: Vec<Vec<i64>>, context: B256) -> Job {
    let mut inference = Inference::of_inputs(package, inputs).unwrap();
    let bound = encode_request(package, &mut inference, &mut StdRng::seed_from_u64(1)).unwrap();
    let inputs = bound.into_iter().map(|bound| match bound {
        Bound::Words(words) => JobInput::Words(words),
        Bound::Commitment(commitment) => JobInput::Commitment(commitment),
    });
    Job { model: Verifier::new(package).unwrap().model(), context: context.0, owner: [0; 32], inputs: inputs.collect() }
}

pub(crate) fn node(number: u8) -> Node {
    Node::new(PrivateKeySigner::from_bytes(&B256::repeat_byte(number)).unwrap())
}

/// What a validator of these tests is told.
pub(crate) fn options(folder: &Path) -> validator::Options {
    let mut options = validator::Options::new(NETWORK, folder.join("validator.sqlite"));
    options.settings.probation = 0;
    options.proves_itself = false;
    options.benchmark_units = 0;
    options
}

pub(crate) async fn validator(options: validator::Options, slices: usize) -> Arc<Validator> {
    let (_, epochs) = watch::channel(Epoch { number: 7, beacon: B256::repeat_byte(7) });
    Validator::start(node(0xaa), vec![package(slices)], options, Clock::system(), epochs).await.unwrap()
}

/// Proves after a while.
pub(crate) struct Slow(pub(crate) Duration, pub(crate) OnCores);

impl Prover for Slow {
    fn prove(&self, package: &Package, inference: Inference, slice: u16) -> Result<Vec<Word>, ProverError> {
        std::thread::sleep(self.0);
        self.1.prove(package, inference, slice)
    }
}

/// Hands in a proof of something else.
pub(crate) struct Liar(pub(crate) OnCores);

impl Prover for Liar {
    fn prove(&self, package: &Package, mut inference: Inference, slice: u16) -> Result<Vec<Word>, ProverError> {
        inference.context[31] ^= 1;
        self.0.prove(package, inference, slice)
    }
}

pub(crate) fn honest() -> OnCores {
    OnCores::new(2).unwrap()
}

pub(crate) fn miner_with(number: u8, folder: &Path, slices: usize, prover: impl Prover) -> Arc<Miner> {
    miner_of(number, folder, vec![package(slices)], prover)
}

pub(crate) fn miner_of(number: u8, folder: &Path, packages: Vec<Package>, prover: impl Prover) -> Arc<Miner> {
    let options =
        miner::Options { network: NETWORK, parameters: Parameters::default(), slots: 2, memory_mib: 64, ledger: ledger(folder, number) };
    Miner::start(node(number), packages, options, Box::new(prover), Clock::system()).unwrap()
}

pub(crate) fn ledger(folder: &Path, number: u8) -> PathBuf {
    folder.join(format!("{number}.jsonl"))
}

/// Puts a miner and a validator on a link.
pub(crate) async fn connect(miner: &Arc<Miner>, validator: &Arc<Validator>) {
    let (of_miner, of_validator) = memory::connect(&miner.identity(), &validator.identity(), 64 << 20).await.unwrap();
    validator.connect(of_validator);
    let miner = Arc::clone(miner);
    tokio::spawn(async move { miner.serve(of_miner).await });
}
