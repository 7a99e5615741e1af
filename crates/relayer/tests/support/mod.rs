//! A chain with everything deployed, and a source of bundles that verify: made with the simulated models' trapdoors, so in no time.

#![allow(unreachable_pub)]

#[path = "../../../chain/tests/support/mod.rs"]
mod chain;

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use alloy::primitives::{Address, B256, Selector, U256, keccak256};
use alloy::providers::Provider;
use alloy::rpc::types::Filter;
use alloy::sol_types::SolEvent;
use ark_bn254::{Fr, G1Affine};
use ark_ec::{AffineRepr, CurveGroup};
use ark_ff::{BigInteger, Field, One, PrimeField, Zero};
use tempfile::TempDir;
use zkslice_chain::bindings::{BundleVerifier, Fulfilment, InferenceOracle, ModelRegistry, Request};
use zkslice_chain::constants::VERIFIER_SELECTOR;
use zkslice_chain::{Chain, Contracts, DeployPlan, Deployer, ModelKeys, context};
use zkslice_formats::KeyBlobHeader;
use zkslice_formats::key_blob::TensorKind;
use zkslice_prover::{BUNDLE_VERSION, Bound, Bundle, BundleSource, Job, JobInput, ProverError, SliceProof, Word};
use zkslice_relayer::{Config, RelayError, RelayEvent, Relayer, State};

pub use chain::{Anvil, fixture, model, signer, word, words};

// ---------------------------------------------------------------------------------------------------- simulated proofs

#[derive(Debug)]
struct Model {
    header: KeyBlobHeader,
    blob: Vec<u8>,
    fixture: serde_json::Value,
    trapdoor: serde_json::Value,
}

/// Proves any statement of the simulated models: whoever knows the trapdoor can choose A, B, C1 and solve for C2.
#[derive(Clone, Debug)]
pub struct Simulator {
    models: Arc<Vec<Model>>,
    /// Bundles asked for.
    pub calls: Arc<AtomicUsize>,
    /// What to fail with first.
    pub failures: Arc<Mutex<VecDeque<ProverError>>>,
    pub delay: Duration,
    pub tamper: bool,
}

impl Simulator {
    pub fn new(names: &[&str]) -> Self {
        let models = names.iter().map(|name| Model::new(name));
        Self { models: Arc::new(models.collect()), calls: Arc::default(), failures: Arc::default(), delay: Duration::ZERO, tamper: false }
    }

    pub fn failing(self, error: ProverError) -> Self {
        self.failures.lock().unwrap().push_back(error);
        self
    }
}

impl BundleSource for Simulator {
    fn models(&self) -> Vec<Word> {
        self.models.iter().map(|model| model.header.digest()).collect()
    }

    async fn bundle(&self, job: Job) -> Result<Bundle, ProverError> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        tokio::time::sleep(self.delay).await;
        if let Some(error) = self.failures.lock().unwrap().pop_front() {
            return Err(error);
        }
        let model = self.models.iter().find(|model| model.header.digest() == job.model).unwrap();
        let mut bundle = model.simulate(&job);
        if self.tamper {
            // Another output.
            let output = model.header.tensors.iter().position(|t| t.kind == TensorKind::Output).unwrap();
            if let Some(Some(Bound::Words(words))) = bundle.tensors.get_mut(output) {
                words[0][31] ^= 1;
            }
        }
        Ok(bundle)
    }
}

/// The model that serves partial coverage: a simulated one with another policy, so another digest. All else of its blob stays.
pub const PARTIAL: &str = "chain";
/// The slices that a partial proof of it must have.
const POLICY: u64 = 0b100;
/// Some of its slices, those among them.
pub const COVERAGE: u64 = 0b110;

/// The keys of a simulated model, with the policy of [`PARTIAL`] where it is that one.
pub fn keys(name: &str) -> ModelKeys {
    if name != PARTIAL {
        return model(name);
    }
    let mut blob = model(name).blob;
    blob[96..128].copy_from_slice(&U256::from(POLICY).to_be_bytes::<32>());
    ModelKeys::from_blob(KeyBlobHeader::read(&blob).unwrap().digest().into(), blob).unwrap()
}

impl Model {
    fn new(name: &str) -> Self {
        let keys = keys(name);
        Self {
            header: KeyBlobHeader::read(&keys.blob).unwrap(),
            blob: keys.blob,
            fixture: fixture(&format!("{name}.json")),
            trapdoor: fixture(&format!("{name}.trapdoor.json")),
        }
    }

    fn simulate(&self, job: &Job) -> Bundle {
        let mut inputs = job.inputs.iter();
        let mut outputs = {
            let inputs: usize = self.header.inputs().filter(|t| t.kind == TensorKind::PublicInput).map(|t| t.words()).sum();
            words(&self.fixture["words"]).into_iter().skip(inputs)
        };
        let mut boundaries = {
            let private = self.header.inputs().filter(|t| t.kind == TensorKind::PrivateInput).count();
            words(&self.fixture["commitments"]).into_iter().skip(private)
        };
        let tensors: Vec<Bound> = self
            .header
            .tensors
            .iter()
            .map(|tensor| match tensor.kind {
                TensorKind::PublicInput | TensorKind::PrivateInput => match inputs.next().unwrap() {
                    JobInput::Words(words) => Bound::Words(words.clone()),
                    JobInput::Commitment(commitment) => Bound::Commitment(*commitment),
                },
                TensorKind::Output => Bound::Words((&mut outputs).take(tensor.words()).map(|w| w.0).collect()),
                TensorKind::Boundary => Bound::Commitment(boundaries.next().unwrap().0),
            })
            .collect();
        let proofs = self.trapdoor["slices"].as_array().unwrap().iter().enumerate();
        let proofs = proofs.map(|(index, slice)| SliceProof { slice: index, proof: self.prove(index, slice, job, &tensors) }).collect();
        let (model, context, owner) = (job.model, job.context, job.owner);
        Bundle { version: BUNDLE_VERSION, model, context, owner, tensors: tensors.into_iter().map(Some).collect(), proofs }
    }

    fn prove(&self, index: usize, slice: &serde_json::Value, job: &Job, tensors: &[Bound]) -> Vec<Word> {
        let number = |value: &serde_json::Value| fr(&word(value).0);
        let numbers = |value: &serde_json::Value| value.as_array().unwrap().iter().map(number).collect::<Vec<_>>();
        let xs: Vec<Word> = words(&slice["slots"])
            .into_iter()
            .map(|slot| {
                let (role, tensor) = (slot[27], usize::from(slot[31]));
                match (role, tensors.get(tensor)) {
                    (1, _) => job.context,
                    (2, _) => job.owner,
                    (_, Some(Bound::Commitment(commitment))) => *commitment,
                    _ => panic!("slot {slot}"),
                }
            })
            .collect();
        let own: Vec<Word> = words(&slice["groups"])
            .into_iter()
            .flat_map(|group| match &tensors[usize::from(group[31])] {
                Bound::Words(words) => words.clone(),
                Bound::Commitment(_) => panic!("group {group}"),
            })
            .collect();
        let random = |name: u8| fr(&keccak256([job.context.as_slice(), &[name, index as u8]].concat()).0);
        let (a, c1) = (random(0), random(1));
        let c1_point = g1(c1);
        let vk_hash: Word = self.blob[32 * (7 + index)..][..32].try_into().unwrap();
        let count = |n: usize| U256::from(n).to_be_bytes::<32>();
        let tag = keccak256("zkslice/challenge/v2").0;
        let transcript: Vec<Word> =
            [vec![tag, vk_hash, count(xs.len())], xs.clone(), vec![count(own.len())], own.clone(), c1_point.clone()].concat();
        let chi = fr(&keccak256(transcript.concat()).0);
        let mut power = chi;
        let mut fingerprint = Fr::zero();
        for element in xs.iter().chain(&own) {
            fingerprint += fr(element) * power;
            power *= chi;
        }
        let scalars = [Fr::one(), chi, fingerprint];
        let l: Fr = scalars.iter().zip(numbers(&slice["ic"])).map(|(scalar, ic)| *scalar * ic).sum();
        let deltas = numbers(&slice["deltas"]);
        let first = c1 * deltas[0];
        let (alpha, beta, b) = (number(&self.trapdoor["alpha"]), number(&self.trapdoor["beta"]), number(&slice["b"]));
        let c2 = (a * b - alpha * beta - l - first) * deltas.last().unwrap().inverse().unwrap();
        let b_point: Vec<Word> = words(&slice["B"]).into_iter().map(|w| w.0).collect();
        [g1(a), b_point, c1_point, g1(c2)].concat()
    }
}

fn fr(word: &Word) -> Fr {
    Fr::from_be_bytes_mod_order(word)
}

fn g1(exponent: Fr) -> Vec<Word> {
    let point = (G1Affine::generator() * exponent).into_affine();
    [point.x, point.y].map(|c| c.into_bigint().to_bytes_be().try_into().unwrap()).to_vec()
}

// ---------------------------------------------------------------------------------------------------- a bad line

/// A line to the node that can be cut.
#[derive(Debug)]
pub struct Proxy {
    pub url: String,
    up: tokio::sync::watch::Sender<bool>,
}

impl Proxy {
    pub async fn new(port: u16) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (up, line) = tokio::sync::watch::channel(true);
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let mut line = line.clone();
                tokio::spawn(async move {
                    if !*line.borrow_and_update() {
                        return;
                    }
                    let mut server = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut client, &mut server) => {}
                        _ = line.changed() => {}
                    }
                });
            }
        });
        Self { url, up }
    }

    pub fn set(&self, up: bool) {
        self.up.send(up).unwrap();
    }
}

// ---------------------------------------------------------------------------------------------------- a world

pub const MODELS: [&str; 3] = ["single", "private", "mixed"];
pub const FEE: u64 = 10_000_000_000_000_000;

/// A chain with everything deployed by account 0. Account 1 relays, account 2 asks, account 3 competes.
pub struct World {
    pub anvil: Anvil,
    pub folder: TempDir,
    pub chain: Chain,
    pub oracle: Address,
    pub contracts: Contracts,
}

impl World {
    pub async fn new() -> Self {
        Self::with(&[]).await
    }

    pub async fn with(anvil_arguments: &[&str]) -> Self {
        let anvil = Anvil::with(31337, anvil_arguments);
        let folder = tempfile::tempdir().unwrap();
        let chain = anvil.chain().await;
        let deployer = Deployer::new(chain.clone(), signer(0), folder.path().join("31337.json"));
        let models = MODELS.iter().chain(&[PARTIAL]).map(|name| keys(name)).collect();
        let plan = DeployPlan { models, ..Default::default() };
        let deployment = deployer.deploy(&plan, &mut |_| ControlFlow::Continue(())).await.unwrap();
        let contracts = Contracts::new(deployment.manifest.parameters.unwrap(), deployment.manifest.chain_id);
        Self { anvil, folder, chain, oracle: contracts.oracle, contracts }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn config(&self) -> Config {
        config(&self.anvil.url, self.oracle, &self.path("relayer.sqlite"))
    }

    pub async fn relayer(&self, config: Config) -> Relayer<Simulator> {
        self.try_relayer(config, Simulator::new(&MODELS)).await.unwrap()
    }

    pub async fn try_relayer(&self, config: Config, source: Simulator) -> Result<Relayer<Simulator>, RelayError> {
        Relayer::new(config, source, signer(1)).await
    }

    /// A relayer of another account, with a queue of its own.
    pub async fn competitor(&self) -> Relayer<Simulator> {
        let config = Config { database: self.path("competitor.sqlite"), ..self.config() };
        Relayer::new(config, Simulator::new(&MODELS), signer(3)).await.unwrap()
    }

    pub fn request_of(&self, name: &str, fee: u64, deadline: u64) -> (Request, Vec<U256>) {
        let value = fixture(&format!("{name}.json"));
        let header = KeyBlobHeader::read(&keys(name).blob).unwrap();
        let count: usize = header.inputs().filter(|t| t.kind == TensorKind::PublicInput).map(|t| t.words()).sum();
        let request = Request {
            modelDigest: header.digest().into(),
            inputs: words(&value["request"]["inputs"]),
            verifier: VERIFIER_SELECTOR,
            minCoverage: U256::ZERO,
            feeToken: Address::ZERO,
            fee: U256::from(fee),
            deadline,
            callback: Address::ZERO,
            callbackGas: 0,
        };
        (request, words(&value["words"]).into_iter().take(count).map(Into::into).collect())
    }

    /// Account 2 asks; returns the request's id.
    pub async fn ask(&self, name: &str) -> B256 {
        self.ask_with(name, FEE, 4_000_000_000).await
    }

    pub async fn ask_with(&self, name: &str, fee: u64, deadline: u64) -> B256 {
        self.ask_changed(name, |request| (request.fee, request.deadline) = (U256::from(fee), deadline)).await
    }

    /// As [`World::ask`], with a change to the request.
    pub async fn ask_changed(&self, name: &str, change: impl FnOnce(&mut Request)) -> B256 {
        let (mut request, words) = self.request_of(name, FEE, 4_000_000_000);
        change(&mut request);
        let value = if request.feeToken.is_zero() { request.fee } else { U256::ZERO };
        let oracle = InferenceOracle::new(self.oracle, self.chain.provider());
        let requester = signer(2).address();
        let nonce = oracle.nonces(requester).call().await.unwrap();
        self.send(oracle.request(request.clone(), words).from(requester).value(value)).await;
        context::request_id(&request, requester, nonce)
    }

    /// Sends a call of one of the node's own accounts, for which it signs, and waits until it is mined.
    async fn send<P: Provider, D: alloy::contract::CallDecoder>(&self, call: alloy::contract::CallBuilder<P, D>) {
        let hash = *call.gas(6_000_000).send().await.unwrap().tx_hash();
        let receipt = loop {
            if let Some(receipt) = self.chain.receipt(hash).await.unwrap() {
                break receipt;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        };
        assert!(receipt.status());
    }

    fn registry(&self) -> ModelRegistry::ModelRegistryInstance<impl Provider + '_> {
        ModelRegistry::new(self.contracts.registry, self.chain.provider())
    }

    /// The owner stops a model.
    pub async fn tombstone(&self, name: &str) {
        self.send(self.registry().tombstone(keys(name).digest).from(signer(0).address())).await;
    }

    /// The owner stops the verifier.
    pub async fn tombstone_verifier(&self) {
        self.send(self.registry().tombstoneVerifier(VERIFIER_SELECTOR).from(signer(0).address())).await;
    }

    /// The owner adds one more verifier; returns its selector.
    pub async fn add_verifier(&self, selector: Selector) -> Selector {
        let owner = signer(0).address();
        let created = owner.create(self.chain.nonce(owner).await.unwrap());
        self.send(BundleVerifier::deploy_builder(self.chain.provider(), self.contracts.registry, selector).from(owner)).await;
        self.send(self.registry().addVerifier(selector, created).from(owner)).await;
        selector
    }

    /// A token that everybody has enough of.
    pub async fn token(&self) -> Address {
        // balanceOf: what was transferred so far; anything else: adds the third argument to that and answers true.
        let code = "60003560e01c6370a08231146023576044356000540160005560016000526020".to_owned() + "6000f35b60005460005260206000f3";
        let token = Address::repeat_byte(0x70);
        self.anvil.rpc("anvil_setCode", serde_json::json!([token, format!("0x{code}")])).await;
        token
    }

    /// Account 2 takes its first request back.
    pub async fn refund(&self, id: B256, name: &str) {
        let (request, _) = self.request_of(name, FEE, 4_000_000_000);
        let requester = signer(2).address();
        assert_eq!(context::request_id(&request, requester, U256::ZERO), id);
        let oracle = InferenceOracle::new(self.oracle, self.chain.provider());
        self.send(oracle.refund(request, requester, U256::ZERO).from(requester)).await;
    }

    /// Account 3 fulfils account 2's first request of [`PARTIAL`] in part.
    pub async fn fulfil_in_part(&self, request: Request, words: Vec<U256>) {
        let (requester, beneficiary) = (signer(2).address(), signer(3).address());
        let context = context::context(31337, self.oracle, &request, requester, U256::ZERO, beneficiary);
        let inputs = vec![JobInput::Words(words.iter().map(U256::to_be_bytes).collect())];
        let job = Job { model: request.modelDigest.0, context: context.0, owner: [0; 32], inputs };
        let mut bundle = Model::new(PARTIAL).simulate(&job);
        bundle.proofs.retain(|proof| COVERAGE >> proof.slice & 1 == 1);
        let numbers = |words: Vec<Word>| words.into_iter().map(U256::from_be_bytes).collect::<Vec<_>>();
        let fulfilment = Fulfilment {
            request,
            requester,
            nonce: U256::ZERO,
            beneficiary,
            coverage: U256::from(COVERAGE),
            words: numbers(bundle.words()),
            commitments: numbers(bundle.commitments()),
            proofs: numbers(bundle.proof_words()),
        };
        let oracle = InferenceOracle::new(self.oracle, self.chain.provider());
        self.send(oracle.fulfil(fulfilment).from(beneficiary)).await;
    }

    pub async fn credits(&self, account: Address) -> U256 {
        InferenceOracle::new(self.oracle, self.chain.provider()).balanceOf(account, Address::ZERO).call().await.unwrap()
    }

    /// Transactions of the relayer that were mined.
    pub async fn mined(&self) -> u64 {
        self.chain.nonce(signer(1).address()).await.unwrap()
    }

    /// The same once something is mined: a node mines what it was sent a moment later.
    pub async fn mined_soon(&self) -> u64 {
        let mined = async {
            loop {
                match self.mined().await {
                    0 => tokio::time::sleep(Duration::from_millis(50)).await,
                    mined => return mined,
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(10), mined).await.unwrap_or_default()
    }

    /// Who fulfilled, in order.
    pub async fn fulfilments(&self) -> Vec<(B256, Address)> {
        let filter = Filter::new().address(self.oracle).event_signature(InferenceOracle::InferenceFulfilled::SIGNATURE_HASH).from_block(0);
        let logs = self.chain.provider().get_logs(&filter).await.unwrap();
        logs.iter()
            .map(|log| {
                let event = InferenceOracle::InferenceFulfilled::decode_log(&log.inner).unwrap();
                (event.requestId, event.beneficiary)
            })
            .collect()
    }

    pub async fn timestamp(&self) -> u64 {
        self.chain.head().await.unwrap().timestamp
    }
}

pub fn config(url: &str, oracle: Address, database: &std::path::Path) -> Config {
    let text = format!(
        r#"
version = 1
rpc_url = "{url}"
chain_id = 31337
oracle = "{oracle}"
key_file = "unused.key"
database = "{}"
max_fee_per_gas = "100 gwei"
max_gas = 5_000_000
daily_spend_cap = "10 ether"
min_fee = 1
require_profit = false
confirmations = 0
poll_interval_ms = 50
"#,
        database.display()
    );
    Config::parse(std::path::Path::new("relayer.toml"), &text).unwrap()
}

pub async fn states<S: BundleSource>(relayer: &Relayer<S>) -> Vec<State> {
    relayer.requests().await.unwrap().into_iter().map(|request| request.state).collect()
}

pub fn has(events: &[RelayEvent], test: impl Fn(&RelayEvent) -> bool) -> bool {
    events.iter().any(test)
}

/// An event's name.
pub fn name(event: &RelayEvent) -> String {
    format!("{event:?}").split([' ', '{']).next().unwrap_or_default().to_owned()
}
