//! What the tests and `examples/generate` share: packages, keys and proofs from fixed seeds.

#![allow(dead_code, unreachable_pub, missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use alloy_primitives::{Address, B256, Selector, U256, address, fixed_bytes, keccak256};
use alloy_sol_types::SolValue;
use ark_bn254::Fr;
use ark_std::rand::{SeedableRng, rngs::StdRng};
use serde_json::{Value, json};
use tempfile::TempDir;
use zkslice_circuit::gadgets::{self, DigitTables};
use zkslice_circuit::{Builder, Circuit, ConstraintBuilder, Witness, WitnessBuilder};
use zkslice_compiler::{Options, compile};
use zkslice_formats::{Addition, Word, hex0x};
use zkslice_graph::{Graph, Input, Samples, encode};
use zkslice_groth16::{Form, Setup, VerifyingKey, WordGroup, fr_to_word, prove as prove_circuit, to_field};
use zkslice_prover::{Bundle, Inference, Verifier, encode_request, prove};
use zkslice_slicer::{InputMode, Package, PackageOptions, Slot, Strategy, setup, slots};
use zkslice_solidity::{SliceVerifier, slice_verifier, verifier_name};

pub const CHAIN_ID: u64 = 31_337;

/// Where generated files are, from the repository's root.
pub const GENERATED: &str = "contracts/generated/mlp_digits";
pub const GOLDEN: &str = "crates/solidity/tests/golden";
/// What a link at `tests/vectors/vectors.json` leads to: forge reads fixtures only.
pub const VECTORS: &str = "tests/solidity/fixtures/rust-vectors.json";
pub const FIXTURES: &str = "tests/solidity/fixtures";

pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Keys from a fixed seed: for reproducible files, never for anything else.
pub fn rng(seed: u64) -> StdRng {
    StdRng::seed_from_u64(seed)
}

/// Two layers of work: at most two slices.
pub const SMALL: &str = "mlp_digits";
/// Enough layers for three slices, the middle one without words.
pub const DEEP: &str = "lenet5_avg";

pub fn graph(name: &str) -> Graph {
    let folder = root().join("tests/models").join(name);
    let samples = Samples::from_json(&fs::read(folder.join("samples.json")).unwrap()).unwrap();
    compile(&folder.join("model.onnx"), Some(&samples), &Options::default()).unwrap().0
}

/// A model with keys, in a folder of its own, and an input for it.
pub struct Model {
    pub package: Package,
    pub inputs: Vec<Vec<i64>>,
    _folder: TempDir,
}

pub fn model(name: &str, slices: usize, mode: InputMode) -> Model {
    let (folder, graph) = (TempDir::new().unwrap(), graph(name));
    let options = PackageOptions { name: name.into(), inputs: mode, strategy: Strategy::Slices(slices), coverage_policy: Vec::new() };
    let package = Package::create(&folder.path().join("pkg"), &graph, &options, Value::Null).unwrap();
    setup(std::slice::from_ref(&package), &mut rng(slices as u64), |_, _| {}).unwrap();
    let input = fs::read(root().join("tests/models").join(name).join("input.json")).unwrap();
    let inputs = encode(&graph, &Input::from_json(&input).unwrap()).unwrap();
    Model { package, inputs, _folder: folder }
}

// ------------------------------------------------------------------------------------------------ verifiers

/// A verifier contract with a statement and a proof for it.
pub struct Case {
    pub contract: String,
    pub source: String,
    pub key: VerifyingKey,
    pub publics: Vec<Word>,
    pub words: Vec<Word>,
    pub proof: Vec<Word>,
}

impl Case {
    fn of_bundle(package: &Package, bundle: &Bundle, k: usize) -> Self {
        let (manifest, key) = (package.manifest(), package.verifying_keys().unwrap().remove(k));
        let entry = &manifest.slices[k];
        let hidden: Vec<usize> = (0..manifest.tensors.len()).filter(|t| !manifest.tensors[*t].kind.is_public()).collect();
        let commitments = bundle.commitments();
        let commitment = |t: usize| commitments[hidden.iter().position(|h| *h == t).unwrap()];
        let publics = slots(manifest, entry)
            .into_iter()
            .map(|slot| match slot {
                Slot::Context => bundle.context,
                Slot::Owner => bundle.owner,
                Slot::Read(t) | Slot::Written(t) => commitment(t),
            })
            .collect();
        let mut words = Vec::new();
        for t in entry.reads.iter().chain(&entry.writes).filter(|t| manifest.tensors[**t].kind.is_public()) {
            let before = manifest.tensors[..*t].iter().filter(|t| t.kind.is_public()).map(|t| t.group().words()).sum::<usize>();
            words.extend_from_slice(&bundle.words()[before..][..manifest.tensors[*t].group().words()]);
        }
        Self {
            contract: verifier_name(&manifest.name, k),
            source: slice_verifier(package, k).unwrap(),
            key,
            publics,
            words,
            proof: bundle.proofs[k].proof.clone(),
        }
    }

    fn of_circuit(contract: &str, circuit: Circuit, witness: &Witness, groups: &[WordGroup], seed: u64) -> Self {
        let mut rng = rng(seed);
        let key = Setup::dev(&mut rng).key(&circuit, groups, &mut rng).unwrap();
        let verifying_key = key.verifying_key().clone();
        let proof = prove_circuit(&key, witness, || Ok(circuit), &mut rng).unwrap();
        let mut proof = proof.to_words().to_vec();
        if verifying_key.form() == Form::Plain {
            proof.drain(6..8);
        }
        let verifier = SliceVerifier {
            contract: contract.into(),
            model: "a circuit made for tests",
            slice: 0,
            slices: 1,
            key: &verifying_key,
            publics: (0..verifying_key.publics).map(|j| format!("public input {j}")).collect(),
            groups: (0..groups.len()).map(|g| format!("group {g}")).collect(),
            // As if from a ceremony: deploys anywhere.
            dev: false,
            addition: Addition::At0x06,
        };
        Self {
            contract: contract.into(),
            source: verifier.source().unwrap(),
            publics: witness.publics.iter().map(|x| fr_to_word(*x)).collect(),
            words: witness.words.iter().map(|x| fr_to_word(*x)).collect(),
            proof,
            key: verifying_key,
        }
    }

    /// The same for Bittensor, as if from a ceremony.
    pub fn of_bittensor(&self) -> Self {
        let contract = format!("{}0x09", self.contract);
        let verifier = SliceVerifier {
            contract: contract.clone(),
            model: "a circuit made for tests",
            slice: 0,
            slices: 1,
            key: &self.key,
            publics: (0..self.key.publics).map(|j| format!("public input {j}")).collect(),
            groups: (0..self.key.groups.len()).map(|g| format!("group {g}")).collect(),
            dev: false,
            addition: Addition::At0x09,
        };
        let source = verifier.source().unwrap();
        let (publics, words, proof) = (self.publics.clone(), self.words.clone(), self.proof.clone());
        Self { contract, source, key: self.key.clone(), publics, words, proof }
    }

    pub fn dev(&self) -> bool {
        self.source.contains("DevKeysRefused")
    }

    pub fn call(&self) -> Call {
        Call { publics: self.publics.clone(), words: self.words.clone(), proof: self.proof.clone() }
    }
}

/// Arguments of `verifyProof`.
#[derive(Clone)]
pub struct Call {
    pub publics: Vec<Word>,
    pub words: Vec<Word>,
    pub proof: Vec<Word>,
}

impl Call {
    pub fn calldata(&self) -> Vec<u8> {
        let (p, n, a) = (self.publics.len(), self.words.len(), self.proof.len());
        let words = if n > 0 { format!("uint256[{n}],") } else { String::new() };
        let mut data = keccak256(format!("verifyProof(uint256[{p}],{words}uint256[{a}])"))[..4].to_vec();
        [&self.publics, &self.words, &self.proof].into_iter().for_each(|array| data.extend(array.concat()));
        data
    }
}

/// The hash of two secrets: no lookup and no word, so plain Groth16.
fn plain<B: Builder>(b: &mut B, values: Option<([Fr; 2], Fr, Fr)>) {
    b.public(values.map(|v| v.1));
    let public = b.public(values.map(|v| v.2));
    let inputs: Vec<_> = (0..2).map(|i| b.field_given(values.map(|v| v.0[i]))).collect();
    let h = gadgets::hash(b, &inputs).unwrap();
    b.field_equal(&h, &public);
}

fn plain_case() -> Case {
    let mut shape = ConstraintBuilder::new();
    plain(&mut shape, None);
    let (secrets, mut trace) = ([Fr::from(3), Fr::from(4)], WitnessBuilder::new());
    plain(&mut trace, Some((secrets, Fr::from(99), gadgets::hash_of(&secrets).unwrap())));
    Case::of_circuit("PlainVerifier", shape.finish(), &trace.finish(), &[], 21)
}

const MANY: u64 = 24;

/// Public inputs that are secrets: plain Groth16 with more of them than have constants of their own.
fn many<B: Builder>(b: &mut B, values: Option<u64>) {
    for j in 0..MANY {
        let value = values.map(|v| Fr::from(v + j));
        let public = b.public(value);
        let secret = b.field_given(value);
        b.field_equal(&public, &secret);
    }
}

fn many_case() -> Case {
    let mut shape = ConstraintBuilder::new();
    many(&mut shape, None);
    let mut trace = WitnessBuilder::new();
    many(&mut trace, Some(1000));
    Case::of_circuit("ManyPublicInputsVerifier", shape.finish(), &trace.finish(), &[], 22)
}

/// Words of two groups whose last words are short.
fn short_words<B: Builder>(b: &mut B, values: Option<i64>) {
    b.public(values.map(Fr::from));
    let tables = DigitTables::default();
    for count in [3, 70] {
        let digits: Vec<_> = (0..count).map(|i| gadgets::digit(b, values.map(|v| (v + i) % 64), 6, &tables, 6).unwrap()).collect();
        for word in gadgets::pack(b, &digits, 6).unwrap() {
            b.public_word(&word);
        }
    }
}

fn short_words_case() -> Case {
    let mut shape = ConstraintBuilder::new();
    short_words(&mut shape, None);
    let mut trace = WitnessBuilder::new();
    short_words(&mut trace, Some(1000));
    let groups = [WordGroup { count: 3, bits: 6 }, WordGroup { count: 70, bits: 6 }];
    Case::of_circuit("ShortWordsVerifier", shape.finish(), &trace.finish(), &groups, 23)
}

/// One of each form.
pub fn cases() -> &'static [Case] {
    static CASES: OnceLock<Vec<Case>> = OnceLock::new();
    CASES.get_or_init(|| {
        let of_job = |job: &Job, k: usize, contract: &str| {
            let mut case = Case::of_bundle(&job.model.package, &job.bundle, k);
            case.source = case.source.replace(&case.contract, contract);
            case.contract = contract.into();
            case
        };
        vec![
            of_job(&jobs()[0].1, 0, "WordsVerifier"),
            of_job(&jobs()[1].1, 1, "CommitmentsVerifier"),
            of_job(&jobs()[2].1, 0, "PrivateInputVerifier"),
            plain_case(),
            many_case(),
            short_words_case(),
        ]
    })
}

/// The same for Bittensor.
pub fn bittensor_cases() -> &'static [Case] {
    static CASES: OnceLock<Vec<Case>> = OnceLock::new();
    CASES.get_or_init(|| cases().iter().map(Case::of_bittensor).collect())
}

// ------------------------------------------------------------------------------------------------ bundles

/// A request on chain and the bundle for it.
pub struct Job {
    pub model: Model,
    pub bundle: Bundle,
    pub json: Value,
}

/// As in `tests/solidity/simulate.mjs`, whose fixtures the Solidity tests' oracle address comes from.
pub const ORACLE: Address = address!("0xE240a5da91a321a154e2fb3585f1f29fA205d6Ab");
pub const REQUESTER: Address = address!("0x7EFd08eE1F4F55464845390d7e4D7702215035B5");
/// Selector of the verifier, in the registry.
pub const VERIFIER: Selector = fixed_bytes!("00000001");
pub const BENEFICIARY: Address = address!("0x65AE5E692862Fd740456B70AeDF6bAeCcaF066A4");

pub fn word(value: impl Into<U256>) -> String {
    B256::from(value.into()).to_string()
}

fn reduced(hash: B256) -> Word {
    fr_to_word(to_field(&hash.0))
}

/// Request hash, request id, context and owner by their definitions.
pub struct Ids {
    pub request_hash: B256,
    pub request_id: B256,
    pub context: Word,
    pub owner: Word,
}

/// `IInferenceOracle.Request`, member by member.
pub type Request = (B256, Vec<B256>, Selector, U256, Address, U256, u64, Address, u32);

pub fn ids(model: B256, inputs: &[B256], fee: U256, deadline: u64, nonce: U256) -> Ids {
    let request = (model, inputs.to_vec(), VERIFIER, U256::ZERO, Address::ZERO, fee, deadline, Address::ZERO, 0);
    ids_on(CHAIN_ID, &request, nonce)
}

pub fn ids_on(chain_id: u64, request: &Request, nonce: U256) -> Ids {
    let request_hash = keccak256(request.abi_encode());
    let request_id = keccak256((REQUESTER, nonce, request_hash).abi_encode_params());
    let context =
        (keccak256("zkslice/context/v1"), U256::from(chain_id), ORACLE, request_id, request_hash, BENEFICIARY).abi_encode_params();
    let owner = (request.0, REQUESTER).abi_encode_params();
    Ids { request_hash, request_id, context: reduced(keccak256(context)), owner: reduced(keccak256(owner)) }
}

pub fn job(name: &str, slices: usize, mode: InputMode) -> Job {
    let model = model(name, slices, mode);
    let package = &model.package;
    let mut rng = rng(7);
    let digest = B256::from(package.key_blob().unwrap().model_digest());
    let (fee, deadline, nonce) = (U256::from(1_000_000_000_000_000u64), 2_000_000_000u64, U256::ZERO);

    let mut inference = Inference::of_inputs(package, model.inputs.clone()).unwrap();
    if mode == InputMode::Private {
        inference.owner = ids(digest, &[], fee, deadline, nonce).owner;
    }
    let bound = encode_request(package, &mut inference, &mut rng).unwrap();
    let inputs: Vec<B256> = bound
        .iter()
        .map(|bound| match bound {
            zkslice_prover::Bound::Words(words) => keccak256(words.concat()),
            zkslice_prover::Bound::Commitment(commitment) => B256::from(*commitment),
        })
        .collect();
    let Ids { request_hash, request_id, context, owner } = ids(digest, &inputs, fee, deadline, nonce);
    inference.context = context;
    let bundle = prove(package, inference, 0..slices, &mut rng, |_| {}).unwrap().bundle;
    Verifier::new(package).unwrap().verify(&bundle).unwrap();

    let strings = |words: &[Word]| words.iter().map(|w| B256::from(*w).to_string()).collect::<Vec<_>>();
    let json = json!({
        "chainId": word(U256::from(CHAIN_ID)),
        "oracle": ORACLE.to_string(),
        "requester": REQUESTER.to_string(),
        "nonce": word(nonce),
        "beneficiary": BENEFICIARY.to_string(),
        "modelDigest": digest.to_string(),
        "setupDigest": B256::from(*package.key_blob().unwrap().setup_digest()).to_string(),
        "blob": hex0x(package.key_blob().unwrap().bytes()),
        "request": {
            "modelDigest": digest.to_string(),
            "inputs": inputs.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "verifier": VERIFIER.to_string(),
            "minCoverage": word(U256::ZERO),
            "feeToken": Address::ZERO.to_string(),
            "fee": word(fee),
            "deadline": word(U256::from(deadline)),
            "callback": Address::ZERO.to_string(),
            "callbackGas": word(U256::ZERO),
        },
        "requestHash": request_hash.to_string(),
        "requestId": request_id.to_string(),
        "context": B256::from(bundle.context).to_string(),
        // The oracle hands its requester's owner to the verifier whether a slice reads it or not.
        "owner": B256::from(owner).to_string(),
        "words": strings(&bundle.words()),
        "commitments": strings(&bundle.commitments()),
        "proofs": strings(&bundle.proof_words()),
    });
    Job { model, bundle, json }
}

/// The bundles that are committed as fixtures.
pub fn jobs() -> &'static [(&'static str, Job); 3] {
    static JOBS: OnceLock<[(&str, Job); 3]> = OnceLock::new();
    JOBS.get_or_init(|| {
        [
            ("rust-single", job(SMALL, 1, InputMode::Public)),
            ("rust-chain", job(DEEP, 3, InputMode::Public)),
            ("rust-private", job(SMALL, 2, InputMode::Private)),
        ]
    })
}
