//! The contracts on a chain with Bittensor's precompiles: the multiplication and the pairing where EIP-196 and EIP-197 have them, the
//! addition at 0x09, and at 0x06 what runs calls of the chain's runtime in the caller's name, within a static call too. There it is a
//! recorder: nothing of ours may call it.

use std::cell::RefCell;
use std::sync::OnceLock;

use alloy_primitives::{Address, B256, Bytes, Selector, U256, address, fixed_bytes, keccak256};
use alloy_sol_types::{SolCall, SolError, SolValue, sol};
use revm::context::result::ExecutionResult;
use revm::precompile::{Precompile, PrecompileId, PrecompileOutput, PrecompileResult, PrecompileSpecId, Precompiles};
use revm::primitives::TxKind;
use revm::state::{AccountInfo, Bytecode};
use zkslice_formats::{Addition, KeyBlobHeader, key_blob};
use zkslice_prover::{Bound, Bundle as Proven, Inference, encode_request, prove};
use zkslice_slicer::Package;
use zkslice_solidity::{ExportError, ExportOptions, export_with};

use crate::common::{Job, bittensor_cases, cases, jobs, rng, root};
use crate::verifiers::{COMPILERS, Chain, ECADD, arrays};

sol! {
    error AdditionIsAt0x06(uint256 chainId);
    error AdditionIsAt0x09(uint256 chainId);
    error DevKeysRefused(uint256 chainId);
    error SelfTestFailed(address precompile);

    struct Bundle {
        bytes32 modelDigest;
        uint256 context;
        uint256 owner;
        uint256 coverage;
        uint256[] words;
        uint256[] commitments;
        uint256[] proofs;
    }
    function verifyBundle(Bundle calldata bundle) external view;
    function verifyBatch(Bundle[] calldata bundles) external view;

    function writeChunk(bytes calldata chunk) external returns (bytes32 chunkHash, address pointer);
    function register(bytes32[] calldata chunkHashes, bytes32 transcriptHash) external returns (bytes32 modelDigest);
    function addVerifier(bytes4 selector, address verifier) external;

    struct Request {
        bytes32 modelDigest;
        bytes32[] inputs;
        bytes4 verifier;
        uint256 minCoverage;
        address feeToken;
        uint256 fee;
        uint64 deadline;
        address callback;
        uint32 callbackGas;
    }
    struct Fulfilment {
        Request request;
        address requester;
        uint256 nonce;
        address beneficiary;
        uint256 coverage;
        uint256[] words;
        uint256[] commitments;
        uint256[] proofs;
    }
    error InvalidCallback(address callback);
    function request(Request calldata request_, uint256[] calldata words) external payable returns (bytes32 requestId);
    function fulfil(Fulfilment calldata fulfilment) external;
    function contextOf(Request calldata request_, address requester, uint256 nonce, address beneficiary) external view returns (uint256);
}

const DISPATCH: Address = ECADD;
const ADDITION: Address = address!("0000000000000000000000000000000000000009");
/// Of `BundleVerifier0x09` in the registry.
const SELECTOR: Selector = fixed_bytes!("00000009");
const OWNER: Address = address!("000000000000000000000000000000000000a11e");
const REQUESTER: Address = address!("00000000000000000000000000000000000a5ce5");
const PROVER: Address = address!("000000000000000000000000000000000000ca5b");
const GAS: u64 = 16_000_000;
const DAY: u64 = 86_400;

// ------------------------------------------------------------------------------------------------ the chain

thread_local! {
    /// What was called at [`DISPATCH`], or at [`ADDITION`] where that is watched.
    static RECORDED: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

fn recorded() -> Vec<Vec<u8>> {
    RECORDED.take()
}

/// As a call that was dispatched: it succeeds and answers nothing.
fn record(input: &[u8], _: u64, reservoir: u64) -> PrecompileResult {
    RECORDED.with_borrow_mut(|recorded| recorded.push(input.to_vec()));
    Ok(PrecompileOutput::new(100, Bytes::new(), reservoir))
}

fn usual() -> &'static Precompiles {
    Precompiles::new(PrecompileSpecId::OSAKA)
}

fn add(input: &[u8], gas: u64, reservoir: u64) -> PrecompileResult {
    usual().get(&ECADD).unwrap().execute(input, gas, reservoir)
}

fn recorder(address: Address) -> Precompile {
    Precompile::new(PrecompileId::Custom("recorder".into()), address, record)
}

fn bittensor() -> &'static Precompiles {
    static PRECOMPILES: OnceLock<Precompiles> = OnceLock::new();
    PRECOMPILES.get_or_init(|| {
        let mut precompiles = Precompiles::default();
        let at = |byte: u8| Address::with_last_byte(byte);
        precompiles.extend([1, 2, 3, 4, 5, 7, 8].map(|byte| usual().get(&at(byte)).unwrap().clone()));
        precompiles.extend([recorder(DISPATCH), Precompile::new(PrecompileId::Bn254Add, ADDITION, add)]);
        precompiles
    })
}

/// The usual precompiles, with a recorder where Bittensor has the addition.
fn usual_watched() -> &'static Precompiles {
    static PRECOMPILES: OnceLock<Precompiles> = OnceLock::new();
    PRECOMPILES.get_or_init(|| {
        let mut precompiles = usual().clone();
        precompiles.extend([recorder(ADDITION)]);
        precompiles
    })
}

/// Creation code, as it is committed.
fn code(contract: &str, arguments: &[u8]) -> Vec<u8> {
    let file = std::fs::read(root().join(format!("contracts/abi/{contract}.json"))).unwrap();
    let file: serde_json::Value = serde_json::from_slice(&file).unwrap();
    [&hex::decode(&file["bytecode"].as_str().unwrap()[2..]).unwrap(), arguments].concat()
}

/// A job's model, its keys as if from a ceremony: with development keys no contract of a public chain works. The model's digest binds
/// the flag, proofs do not.
fn blob_of(job: &Job) -> (B256, Vec<u8>) {
    let mut blob = job.model.package.key_blob().unwrap().bytes().to_vec();
    let mut header = KeyBlobHeader::read(&blob).unwrap();
    assert!(header.dev);
    header.dev = false;
    let bytes = header.to_bytes();
    blob[..bytes.len()].copy_from_slice(&bytes);
    (header.digest().into(), blob)
}

/// Registry, verifier, oracle and the jobs' models, as `zkslice deploy` puts them there, and all delays over.
#[derive(Clone)]
struct World {
    chain: Chain,
    verifier: Address,
    oracle: Address,
}

impl World {
    fn on_bittensor(chain_id: u64) -> Self {
        Self::new(Chain::with(chain_id, bittensor()), "BundleVerifier0x09")
    }

    fn new(mut chain: Chain, verifier: &str) -> Self {
        chain.time = 1_800_000_000;
        let registry = chain.create(code("ModelRegistry", &(OWNER, OWNER, U256::from(DAY)).abi_encode_params())).unwrap();
        let verifier = chain.create(code(verifier, &(registry, SELECTOR).abi_encode_params())).unwrap();
        let oracle = chain.create(code("InferenceOracle", &registry.abi_encode())).unwrap();
        let mut world = Self { chain, verifier, oracle };
        world.send(OWNER, registry, &addVerifierCall { selector: SELECTOR, verifier }).unwrap();
        for (_, job) in jobs() {
            let (digest, blob) = blob_of(job);
            let mut hashes = Vec::new();
            for chunk in key_blob::chunks(&blob) {
                hashes.push(keccak256(chunk));
                world.send(OWNER, registry, &writeChunkCall { chunk: chunk.to_vec().into() }).unwrap();
            }
            let call = registerCall { chunkHashes: hashes, transcriptHash: B256::repeat_byte(1) };
            assert_eq!(world.send(OWNER, registry, &call).unwrap(), digest);
        }
        world.chain.time += DAY;
        world
    }

    fn run<C: SolCall>(&mut self, from: Address, to: Address, call: &C, commit: bool) -> Result<C::Return, Bytes> {
        match self.chain.run_from(from, TxKind::Call(to), call.abi_encode(), GAS, commit) {
            ExecutionResult::Success { output, .. } => Ok(C::abi_decode_returns(output.data()).unwrap()),
            ExecutionResult::Revert { output, .. } => Err(output),
            other => panic!("{other:?}"),
        }
    }

    fn send<C: SolCall>(&mut self, from: Address, to: Address, call: &C) -> Result<C::Return, Bytes> {
        self.run(from, to, call, true)
    }

    fn ask<C: SolCall>(&mut self, to: Address, call: &C) -> C::Return {
        self.run(OWNER, to, call, false).unwrap()
    }

    /// Gas of a bundle's verification.
    fn verify(&mut self, bundle: &Bundle) -> Result<u64, Bytes> {
        self.chain.call(self.verifier, verifyBundleCall { bundle: bundle.clone() }.abi_encode())
    }
}

fn numbers(words: &[[u8; 32]]) -> Vec<U256> {
    words.iter().map(|word| U256::from_be_bytes(*word)).collect()
}

fn bundle_of(job: &Job) -> Bundle {
    let Job { bundle, .. } = job;
    Bundle {
        modelDigest: blob_of(job).0,
        context: U256::from_be_bytes(bundle.context),
        owner: U256::from_be_bytes(bundle.owner),
        coverage: U256::ZERO,
        words: numbers(&bundle.words()),
        commitments: numbers(&bundle.commitments()),
        proofs: numbers(&bundle.proof_words()),
    }
}

// ------------------------------------------------------------------------------------------------ the verifier

/// The builds are one code but for the address of each addition.
#[test]
fn the_builds_differ_in_one_address_alone() {
    let [usual, other] = ["BundleVerifier", "BundleVerifier0x09"].map(|name| code(name, &[]));
    assert_eq!(usual.len(), other.len());
    let differences: Vec<usize> = (0..usual.len()).filter(|i| usual[*i] != other[*i]).collect();
    // PUSH1 6 and PUSH1 9: five additions, and what the constructor is told.
    assert!(differences.iter().all(|i| (usual[i - 1], usual[*i], other[*i]) == (0x60, 6, 9)), "{differences:?}");
    assert_eq!(differences.len(), 6);
}

#[test]
fn bundles_verify_on_bittensor_for_the_same_gas() {
    recorded();
    let mut elsewhere = World::new(Chain::with(1, usual()), "BundleVerifier");
    for chain_id in Addition::BITTENSOR {
        let mut world = World::on_bittensor(chain_id);
        let bundles: Vec<Bundle> = jobs().iter().map(|(_, job)| bundle_of(job)).collect();
        for (bundle, (name, _)) in bundles.iter().zip(jobs()) {
            let gas = world.verify(bundle).unwrap();
            assert_eq!(elsewhere.verify(bundle).unwrap(), gas, "{name}");
            println!("{name} on {chain_id}: {gas} gas");
        }
        // Neighbours of one model share pairings, by additions of their own.
        let bundles: Vec<Bundle> = bundles.into_iter().flat_map(|bundle| [bundle.clone(), bundle]).collect();
        let calldata = verifyBatchCall { bundles }.abi_encode();
        let gas = world.chain.call(world.verifier, calldata.clone()).unwrap();
        assert_eq!(elsewhere.chain.call(elsewhere.verifier, calldata).unwrap(), gas);
    }
    assert!(recorded().is_empty());
}

#[test]
fn every_changed_word_is_refused_on_bittensor() {
    recorded();
    let mut world = World::on_bittensor(964);
    for (name, job) in jobs() {
        let honest = bundle_of(job);
        assert!(world.verify(&honest).is_ok(), "{name}");
        for list in 0..3 {
            let count = [&honest.words, &honest.commitments, &honest.proofs][list].len();
            for i in 0..count {
                for bit in [0, (7 * i + list) % 256] {
                    let mut bundle = honest.clone();
                    let Bundle { words, commitments, proofs, .. } = &mut bundle;
                    [words, commitments, proofs][list][i] ^= U256::ONE << bit;
                    assert!(world.verify(&bundle).is_err(), "{name}: list {list}, word {i}, bit {bit}");
                }
            }
        }
        for bit in 0..8 {
            let mut bundle = honest.clone();
            bundle.context ^= U256::ONE << (31 * bit);
            assert!(world.verify(&bundle).is_err(), "{name}: the context's bit {}", 31 * bit);
            let mut bundle = honest.clone();
            bundle.modelDigest.0[31 - bit] ^= 1;
            assert!(world.verify(&bundle).is_err(), "{name}: the model's byte {bit}");
        }
    }
    // A slice left out, and two proofs swapped.
    let chain = bundle_of(&jobs()[1].1);
    let mut short = chain.clone();
    short.proofs.truncate(20);
    assert!(world.verify(&short).is_err());
    let mut swapped = chain;
    swapped.proofs.rotate_left(10);
    assert!(world.verify(&swapped).is_err());
    assert!(recorded().is_empty());
}

/// Before it calls anything: what is at 0x06 there may act on what it is given.
#[test]
fn the_usual_verifier_refuses_bittensor() {
    recorded();
    for chain_id in Addition::BITTENSOR {
        let expected = AdditionIsAt0x09 { chainId: U256::from(chain_id) }.abi_encode();
        for precompiles in [bittensor(), usual()] {
            let mut chain = Chain::with(chain_id, precompiles);
            let registry = chain.create(code("ModelRegistry", &(OWNER, OWNER, U256::from(DAY)).abi_encode_params())).unwrap();
            let result = chain.create(code("BundleVerifier", &(registry, SELECTOR).abi_encode_params()));
            assert_eq!(result, Err(expected.clone().into()), "{chain_id}");
        }
    }
    assert!(recorded().is_empty());
}

#[test]
fn the_verifier_for_bittensor_refuses_other_chains() {
    recorded();
    let at = |chain_id: u64, precompiles| {
        let mut chain = Chain::with(chain_id, precompiles);
        let registry = chain.create(code("ModelRegistry", &(OWNER, OWNER, U256::from(DAY)).abi_encode_params())).unwrap();
        chain.create(code("BundleVerifier0x09", &(registry, SELECTOR).abi_encode_params()))
    };
    for chain_id in [1, 10, 42, 944, 946, 963, 965, 1_337, 8_453, 31_337, 11_155_111] {
        let expected = AdditionIsAt0x06 { chainId: U256::from(chain_id) }.abi_encode();
        assert_eq!(at(chain_id, usual_watched()), Err(expected.into()), "{chain_id}");
    }
    assert!(recorded().is_empty(), "it calls nothing there");
    // A chain that says that it is Bittensor, and has something else at 0x09.
    assert_eq!(at(964, usual()), Err(SelfTestFailed { precompile: ADDITION }.abi_encode().into()));
    assert_eq!(at(964, usual_watched()), Err(SelfTestFailed { precompile: ADDITION }.abi_encode().into()));
    assert_eq!(recorded().len(), 1);
}

// ------------------------------------------------------------------------------------------------ the oracle

fn ask_for(package: &Package, digest: B256) -> (Request, Vec<U256>, Inference) {
    let mut inference = Inference::of_inputs(package, jobs()[0].1.model.inputs.clone()).unwrap();
    let bound = encode_request(package, &mut inference, &mut rng(1)).unwrap();
    let mut words = Vec::new();
    let mut inputs = Vec::new();
    for bound in bound {
        let Bound::Words(of_input) = bound else { panic!("a public input") };
        inputs.push(keccak256(of_input.concat()));
        words.extend(numbers(&of_input));
    }
    let request = Request {
        modelDigest: digest,
        inputs,
        verifier: SELECTOR,
        minCoverage: U256::ZERO,
        feeToken: Address::ZERO,
        fee: U256::ZERO,
        deadline: u64::MAX,
        callback: Address::ZERO,
        callbackGas: 0,
    };
    (request, words, inference)
}

/// From the request to the result, by a real proof, through the oracle as it is on every chain.
#[test]
fn a_request_is_fulfilled_on_bittensor() {
    recorded();
    let mut world = World::on_bittensor(964);
    let job = &jobs()[0].1;
    let package = &job.model.package;
    let (request_, words, mut inference) = ask_for(package, blob_of(job).0);
    let oracle = world.oracle;
    world.send(REQUESTER, oracle, &requestCall { request_: request_.clone(), words }).unwrap();
    let call = contextOfCall { request_: request_.clone(), requester: REQUESTER, nonce: U256::ZERO, beneficiary: PROVER };
    inference.context = world.ask(oracle, &call).to_be_bytes();
    let bundle: Proven = prove(package, inference, 0..1, &mut rng(2), |_| {}).unwrap().bundle;
    let honest = Fulfilment {
        request: request_,
        requester: REQUESTER,
        nonce: U256::ZERO,
        beneficiary: PROVER,
        coverage: U256::ZERO,
        words: numbers(&bundle.words()),
        commitments: numbers(&bundle.commitments()),
        proofs: numbers(&bundle.proof_words()),
    };
    // An output, a proof, another's fee, another verifier.
    let last = honest.words.len() - 1;
    let changes: [fn(&mut Fulfilment, usize); 4] = [
        |f, last| f.words[last] ^= U256::ONE,
        |f, _| f.proofs.swap(0, 6),
        |f, _| f.beneficiary = REQUESTER,
        |f, _| f.request.verifier = fixed_bytes!("00000001"),
    ];
    for (i, change) in changes.into_iter().enumerate() {
        let mut fulfilment = honest.clone();
        change(&mut fulfilment, last);
        assert!(world.send(PROVER, oracle, &fulfilCall { fulfilment }).is_err(), "change {i}");
    }
    world.send(PROVER, oracle, &fulfilCall { fulfilment: honest.clone() }).unwrap();
    assert!(world.send(PROVER, oracle, &fulfilCall { fulfilment: honest }).is_err(), "once only");
    assert!(recorded().is_empty());
}

/// Requests name addresses that the oracle calls. A callback is at none that may be a precompile's. A token at 0x06 is first asked for a
/// balance, by a selector whose first byte, 0x70, is no pallet of Bittensor's, and answers no word: the request reverts.
#[test]
fn no_request_makes_the_oracle_dispatch() {
    recorded();
    let mut world = World::on_bittensor(964);
    let oracle = world.oracle;
    // As chains do that want their precompiles to pass for contracts.
    world.chain.state.insert_account_info(DISPATCH, AccountInfo::default().with_code(Bytecode::new_raw(vec![0].into())));
    let (request_, words, _) = ask_for(&jobs()[0].1.model.package, blob_of(&jobs()[0].1).0);
    let call = |request_: Request| requestCall { request_, words: words.clone() };
    let refused = world.send(REQUESTER, oracle, &call(Request { callback: DISPATCH, callbackGas: 1, ..request_.clone() }));
    assert_eq!(refused, Err(InvalidCallback { callback: DISPATCH }.abi_encode().into()));
    assert!(recorded().is_empty());

    let with_token = Request { feeToken: DISPATCH, fee: U256::ONE, ..request_.clone() };
    assert!(world.send(REQUESTER, oracle, &call(with_token)).is_err());
    let calls = recorded();
    assert_eq!(calls.iter().map(|call| call[..4].to_vec()).collect::<Vec<_>>(), [hex::decode("70a08231").unwrap()]);
    world.send(REQUESTER, oracle, &call(request_)).unwrap();
    assert!(recorded().is_empty());
}

// ------------------------------------------------------------------------------------------------ a slice's verifier

#[test]
fn slices_verify_on_bittensor_for_the_same_gas_and_tampered_ones_do_not() {
    recorded();
    for compiler in COMPILERS {
        for (case, same) in bittensor_cases().iter().zip(cases()) {
            let mut chain = Chain { compiler, ..Chain::with(964, bittensor()) };
            let address = chain.deploy(case).unwrap_or_else(|revert| panic!("{compiler}, {}: {revert}", case.contract));
            let gas = chain.call(address, case.call().calldata()).unwrap();
            let mut local = Chain { compiler, ..Chain::local() };
            let elsewhere = local.deploy(same).unwrap();
            assert_eq!(local.call(elsewhere, same.call().calldata()).unwrap(), gas, "{compiler}, {}", case.contract);
            for list in 0..3 {
                for i in 0..arrays(&mut case.call())[list].len() {
                    let mut call = case.call();
                    arrays(&mut call)[list][i][31] ^= 1;
                    assert!(chain.call(address, call.calldata()).is_err(), "{}: list {list}, word {i}", case.contract);
                }
            }
        }
    }
    assert!(recorded().is_empty());
}

#[test]
fn slices_verifiers_refuse_the_other_chains() {
    recorded();
    for (usual_one, other) in cases().iter().zip(bittensor_cases()) {
        for chain_id in Addition::BITTENSOR {
            let expected = match usual_one.dev() {
                true => DevKeysRefused { chainId: U256::from(chain_id) }.abi_encode(),
                false => AdditionIsAt0x09 { chainId: U256::from(chain_id) }.abi_encode(),
            };
            assert_eq!(Chain::with(chain_id, bittensor()).deploy(usual_one), Err(expected.into()), "{}", usual_one.contract);
            assert!(Chain::with(chain_id, bittensor()).deploy(other).is_ok());
        }
        for chain_id in [1, 946, 965, 31_337] {
            let expected = AdditionIsAt0x06 { chainId: U256::from(chain_id) }.abi_encode();
            assert_eq!(Chain::with(chain_id, usual_watched()).deploy(other), Err(expected.into()), "{}", other.contract);
        }
    }
    assert!(recorded().is_empty());
}

#[test]
fn development_keys_are_not_exported_for_bittensor() {
    let folder = tempfile::tempdir().unwrap();
    let options = ExportOptions { addition: Addition::At0x09, ..ExportOptions::default() };
    let result = export_with(&jobs()[0].1.model.package, &folder.path().join("out"), &options);
    assert!(matches!(result, Err(ExportError::DevKeys)));
    assert!(!folder.path().join("out").exists());
}
