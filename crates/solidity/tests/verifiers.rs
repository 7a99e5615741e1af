//! Generated verifiers: each one compiled and run in an EVM on a real proof, and attacked.
//!
//! The compilers are npm's solc behind `script/solc`, the newest that is supported and the oldest; nothing is fetched.

use crate::common;
use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use alloy_primitives::{Address, Bytes, U256, address};
use alloy_sol_types::{SolError, sol};
use revm::context::result::{ExecutionResult, Output};
use revm::context::{CfgEnv, TxEnv};
use revm::database::{CacheDB, EmptyDB};
use revm::handler::EthPrecompiles;
use revm::precompile::{Precompile, PrecompileFn, PrecompileOutput, PrecompileSpecId, Precompiles};
use revm::primitives::TxKind;
use revm::primitives::hardfork::SpecId;
use revm::{Context, ExecuteCommitEvm, ExecuteEvm, MainBuilder, MainContext};
use zkslice_groth16::Form;

use crate::common::{CHAIN_ID, Call, Case, bittensor_cases, cases};

sol! {
    error CalldataLengthMismatch(uint256 expected, uint256 received);
    error PublicInputOutOfRange(uint256 index);
    error WordOutOfRange(uint256 index, uint256 bits);
    error CoordinateOutOfRange(uint256 index);
    error PrecompileFailed(address precompile);
    error ProofInvalid();
    error SelfTestFailed(address precompile);
    error DevKeysRefused(uint256 chainId);
}

pub(crate) const ECADD: Address = address!("0000000000000000000000000000000000000006");
const ECMUL: Address = address!("0000000000000000000000000000000000000007");
const PAIRING: Address = address!("0000000000000000000000000000000000000008");
const CALLER: Address = address!("00000000000000000000000000000000000ca11e");
const GAS_LIMIT: u64 = 16_000_000;

const R: &str = "21888242871839275222246405745257275088548364400416034343698204186575808495617";
const Q: &str = "21888242871839275222246405745257275088696311157297823662689037894645226208583";

// ------------------------------------------------------------------------------------------------ compiler and EVM

/// Names of `script/solc`'s compilers.
pub(crate) const COMPILERS: [&str; 2] = ["solc", "solc-oldest"];

/// Deployment bytecode of every case from every compiler, by the compiler's and the contract's name.
fn bytecode(compiler: &'static str, contract: &str) -> Vec<u8> {
    static COMPILED: OnceLock<BTreeMap<(&str, String), Vec<u8>>> = OnceLock::new();
    let compiled = COMPILED.get_or_init(|| COMPILERS.iter().flat_map(|compiler| compile(compiler)).collect());
    compiled[&(compiler, contract.to_owned())].clone()
}

fn compile(compiler: &'static str) -> Vec<((&'static str, String), Vec<u8>)> {
    let all = || cases().iter().chain(bittensor_cases());
    let sources: serde_json::Map<_, _> =
        all().map(|case| (format!("{}.sol", case.contract), serde_json::json!({ "content": case.source }))).collect();
    // The settings of the foundry.toml that is exported.
    let input = serde_json::json!({
        "language": "Solidity",
        "sources": sources,
        "settings": {
            "optimizer": { "enabled": true, "runs": 1_000_000 },
            "evmVersion": "cancun",
            "metadata": { "bytecodeHash": "none", "appendCBOR": false },
            "outputSelection": { "*": { "*": ["evm.bytecode.object"] } },
        },
    });
    let mut solc = Command::new("node")
        .arg(common::root().join("script/solc"))
        .env("ZKSLICE_SOLC", compiler)
        .arg("--standard-json")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("node, to run script/solc");
    solc.stdin.take().unwrap().write_all(input.to_string().as_bytes()).unwrap();
    let output: serde_json::Value = serde_json::from_slice(&solc.wait_with_output().unwrap().stdout).unwrap();
    assert!(output.get("errors").is_none(), "errors or warnings: {}", output["errors"]);
    all()
        .map(|case| {
            let object = &output["contracts"][format!("{}.sol", case.contract)][&case.contract]["evm"]["bytecode"]["object"];
            ((compiler, case.contract.clone()), hex::decode(object.as_str().unwrap()).unwrap())
        })
        .collect()
}

/// A chain: its id, its precompiles, and the compiler of what is deployed to it.
#[derive(Clone)]
pub(crate) struct Chain {
    pub(crate) id: u64,
    pub(crate) compiler: &'static str,
    pub(crate) precompiles: &'static Precompiles,
    pub(crate) time: u64,
    pub(crate) state: CacheDB<EmptyDB>,
}

impl Chain {
    pub(crate) fn local() -> Self {
        Self::with(CHAIN_ID, Precompiles::new(PrecompileSpecId::OSAKA))
    }

    pub(crate) fn with(id: u64, precompiles: &'static Precompiles) -> Self {
        Self { id, compiler: COMPILERS[0], precompiles, time: 1, state: CacheDB::default() }
    }

    pub(crate) fn run(&mut self, kind: TxKind, data: Vec<u8>, gas_limit: u64, commit: bool) -> ExecutionResult {
        self.run_from(CALLER, kind, data, gas_limit, commit)
    }

    pub(crate) fn run_from(&mut self, caller: Address, kind: TxKind, data: Vec<u8>, gas_limit: u64, commit: bool) -> ExecutionResult {
        let time = U256::from(self.time);
        let mut cfg = CfgEnv::new_with_spec(SpecId::OSAKA).with_chain_id(self.id);
        cfg.disable_nonce_check = true;
        let mut evm =
            Context::mainnet().with_db(&mut self.state).with_cfg(cfg).modify_block_chained(|block| block.timestamp = time).build_mainnet();
        evm.precompiles = EthPrecompiles { precompiles: self.precompiles, spec: SpecId::OSAKA };
        let builder = TxEnv::builder().caller(caller).kind(kind).data(Bytes::from(data)).gas_limit(gas_limit).gas_price(0);
        let tx = builder.chain_id(Some(self.id)).build().unwrap();
        if commit { evm.transact_commit(tx).unwrap() } else { evm.transact(tx).unwrap().result }
    }

    pub(crate) fn deploy(&mut self, case: &Case) -> Result<Address, Bytes> {
        self.create(bytecode(self.compiler, &case.contract))
    }

    pub(crate) fn create(&mut self, code: Vec<u8>) -> Result<Address, Bytes> {
        match self.run(TxKind::Create, code, GAS_LIMIT, true) {
            ExecutionResult::Success { output: Output::Create(_, Some(address)), .. } => Ok(address),
            ExecutionResult::Revert { output, .. } => Err(output),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn call(&mut self, to: Address, data: Vec<u8>) -> Result<u64, Bytes> {
        match self.run(TxKind::Call(to), data, GAS_LIMIT, false) {
            ExecutionResult::Success { output, gas, .. } => {
                assert!(output.data().is_empty(), "returns nothing");
                Ok(gas.tx_gas_used())
            }
            ExecutionResult::Revert { output, .. } => Err(output),
            other => panic!("{other:?}"),
        }
    }
}

/// Each case from each compiler, deployed.
fn each(mut test: impl FnMut(&Case, Chain, Address)) {
    for compiler in COMPILERS {
        for case in cases() {
            let mut chain = Chain { compiler, ..Chain::local() };
            let address = chain.deploy(case).unwrap_or_else(|revert| panic!("{compiler}, {}: {revert}", case.contract));
            test(case, chain, address);
        }
    }
}

fn add(word: &mut [u8; 32], value: U256) {
    *word = (U256::from_be_bytes(*word) + value).to_be_bytes();
}

fn modulus(decimal: &str) -> U256 {
    decimal.parse().unwrap()
}

fn widths(case: &Case) -> Vec<u32> {
    case.key.groups.iter().flat_map(|group| group.widths().collect::<Vec<_>>()).collect()
}

// ------------------------------------------------------------------------------------------------ sources

/// Of every form there is one case.
#[test]
fn cases_cover_the_forms() {
    let forms: Vec<(Form, bool, bool)> = cases().iter().map(|c| (c.key.form(), c.words.is_empty(), c.dev())).collect();
    use Form::{Committed, Plain};
    assert_eq!(
        forms,
        [
            (Committed, false, true),
            (Committed, true, true),
            (Committed, true, true),
            (Plain, true, false),
            (Plain, true, false),
            (Committed, false, false)
        ]
    );
    // A short last word, and one that is not the last of all.
    assert!(widths(&cases()[5]).windows(2).any(|pair| pair[0] < pair[1]) && widths(&cases()[5]).windows(2).any(|pair| pair[0] > pair[1]));
}

// ------------------------------------------------------------------------------------------------ accepted, and gas

/// Least gas of a transaction that verifies one proof: what any verifier pays.
///
/// Transaction and calldata; 45,000 and 34,000 a pair (EIP-1108); for each scalar, post-challenge ones included, ECMUL and
/// ECADD, their two calls of a warm address (EIP-2929) and 60 for stack and memory; 500 for the rest of the program. A
/// challenge is a keccak256. What the fingerprint is of, public inputs and words, takes two loads, a copy, a comparison with its jump,
/// MULMOD and ADD each.
fn floor(case: &Case, calldata: &[u8]) -> u64 {
    let committed = u64::from(case.key.form() == Form::Committed);
    let (p, n) = (case.publics.len() as u64, case.words.len() as u64);
    let scalars = case.key.ic_points() as u64 - 1;
    let transaction = 21_000 + calldata.iter().map(|byte| if *byte == 0 { 4 } else { 16 }).sum::<u64>();
    let pairing = 45_000 + 34_000 * (4 + committed);
    let linear_combination = (6_000 + 150 + 2 * 100 + 60) * scalars + 500;
    let challenge = committed * (30 + 6 * (6 + p + n) + (p + n) * (2 * 3 + 3 + 6 + 10 + 8 + 3));
    transaction + pairing + linear_combination + challenge
}

#[test]
fn valid_proofs_are_accepted_within_two_percent_of_the_floor() {
    each(|case, mut chain, address| {
        let calldata = case.call().calldata();
        let floor = floor(case, &calldata);
        let gas = chain.call(address, calldata).unwrap_or_else(|revert| panic!("{}: {revert}", case.contract));
        let over = 100.0 * (gas as f64 / floor as f64 - 1.0);
        let (p, n) = (case.publics.len(), case.words.len());
        let from = format!("{} from {}", case.contract, chain.compiler);
        println!("{from}: p = {p}, n = {n}: {gas} gas, floor {floor}, {over:.2} % over");
        assert!(gas * 100 <= floor * 102, "{from}: {gas} gas is more than 2 % over {floor}");
    });
}

/// P6: A·s, B/s is a proof too. It verifies, so nothing may be keyed on a proof's bytes.
#[test]
fn rerandomised_proofs_are_accepted() {
    use ark_bn254::Fr;
    use ark_ec::CurveGroup;
    use ark_ff::Field;
    use zkslice_groth16::{g1_from_words, g1_to_words, g2_from_words, g2_to_words};
    each(|case, mut chain, address| {
        let mut call = case.call();
        let s = Fr::from(12_345u64);
        let a = g1_from_words(&[call.proof[0], call.proof[1]], "A").unwrap();
        let b = g2_from_words(&std::array::from_fn(|i| call.proof[2 + i]), "B").unwrap();
        call.proof[..2].copy_from_slice(&g1_to_words(&(a * s).into_affine()));
        call.proof[2..6].copy_from_slice(&g2_to_words(&(b * s.inverse().unwrap()).into_affine()));
        assert_ne!(call.proof, case.proof);
        assert!(chain.call(address, call.calldata()).is_ok(), "{}", case.contract);
    });
}

// ------------------------------------------------------------------------------------------------ P10: mutations

pub(crate) fn arrays(call: &mut Call) -> [&mut Vec<[u8; 32]>; 3] {
    [&mut call.publics, &mut call.words, &mut call.proof]
}

/// Every word of the calldata, its lowest bit flipped, and one bit somewhere else.
#[test]
fn every_mutated_word_is_refused() {
    each(|case, mut chain, address| {
        for array in 0..3 {
            for i in 0..arrays(&mut case.call())[array].len() {
                for (byte, bit) in [(31, 1), (31 - (7 * i + array) % 32, 1 << (i % 8))] {
                    let mut call = case.call();
                    arrays(&mut call)[array][i][byte] ^= bit;
                    let result = chain.call(address, call.calldata());
                    assert!(result.is_err(), "{}: array {array}, word {i}, byte {byte}", case.contract);
                }
            }
        }
    });
}

/// Equal words in another order are another statement.
#[test]
fn swapped_words_are_refused() {
    each(|case, mut chain, address| {
        for array in 0..3 {
            for i in 1..arrays(&mut case.call())[array].len() {
                let mut call = case.call();
                let words = &mut arrays(&mut call)[array];
                if words[i - 1] == words[i] {
                    continue;
                }
                words.swap(i - 1, i);
                assert!(chain.call(address, call.calldata()).is_err(), "{}: array {array}, words {} and {i}", case.contract, i - 1);
            }
        }
    });
}

/// P2: A = L, B = γ and no commitment satisfies an equation without e(α, β); and points at infinity prove nothing (P16).
#[test]
fn forgeries_without_a_witness_are_refused() {
    use ark_bn254::{Fr, G1Projective};
    use ark_ec::CurveGroup;
    use zkslice_groth16::{challenge, fingerprint, fr_from_word, g1_from_words, g1_to_words, g2_to_words};
    each(|case, mut chain, address| {
        let field = |words: &[[u8; 32]]| words.iter().map(|w| fr_from_word(w, "word").unwrap()).collect::<Vec<Fr>>();
        let (publics, words) = (field(&case.publics), field(&case.words));
        let scalars = match case.key.form() {
            Form::Plain => publics,
            Form::Committed => {
                let infinity = g1_from_words(&[[0; 32]; 2], "C1").unwrap();
                let chi = challenge(&case.key.hash(), &publics, &words, &infinity);
                vec![chi, fingerprint(&publics, &words, chi)]
            }
        };
        let l = case.key.ic[1..].iter().zip(&scalars).fold(G1Projective::from(case.key.ic[0]), |sum, (point, x)| sum + *point * x);
        let mut call = case.call();
        call.proof.fill([0; 32]);
        assert_eq!(chain.call(address, call.calldata()), Err(ProofInvalid {}.abi_encode().into()), "{}: all infinity", case.contract);
        call.proof[..2].copy_from_slice(&g1_to_words(&l.into_affine()));
        call.proof[2..6].copy_from_slice(&g2_to_words(&case.key.gamma));
        assert_eq!(chain.call(address, call.calldata()), Err(ProofInvalid {}.abi_encode().into()), "{}: three pairings", case.contract);
        call.proof[..2].copy_from_slice(&g1_to_words(&case.key.alpha));
        call.proof[2..6].copy_from_slice(&g2_to_words(&case.key.beta));
        assert_eq!(chain.call(address, call.calldata()), Err(ProofInvalid {}.abi_encode().into()), "{}: α, β", case.contract);
        // A, B or a commitment at infinity in an honest proof.
        for range in [0..2, 2..6, 6..8, case.proof.len() - 2..case.proof.len()] {
            let mut call = case.call();
            call.proof[range.clone()].fill([0; 32]);
            assert_eq!(chain.call(address, call.calldata()), Err(ProofInvalid {}.abi_encode().into()), "{}: {range:?}", case.contract);
        }
    });
}

// ------------------------------------------------------------------------------------------------ P5: ranges

#[test]
fn public_inputs_beyond_r_are_refused() {
    each(|case, mut chain, address| {
        for i in 0..case.publics.len() {
            for multiple in 1..=3u64 {
                let mut call = case.call();
                add(&mut call.publics[i], modulus(R) * U256::from(multiple));
                let expected = PublicInputOutOfRange { index: U256::from(i) }.abi_encode();
                assert_eq!(chain.call(address, call.calldata()), Err(expected.into()), "{}: x_{i} + {multiple}·r", case.contract);
            }
        }
    });
}

/// B4: a word with a bit above its digits, short last words included; and a word + r, which has the same fingerprint.
#[test]
fn words_beyond_their_digits_are_refused() {
    each(|case, mut chain, address| {
        for (i, bits) in widths(case).into_iter().enumerate() {
            for more in [U256::from(1) << bits, U256::from(1) << 255, modulus(R)] {
                let mut call = case.call();
                add(&mut call.words[i], more);
                let expected = WordOutOfRange { index: U256::from(i), bits: U256::from(bits) }.abi_encode();
                assert_eq!(chain.call(address, call.calldata()), Err(expected.into()), "{}: word {i} + {more}", case.contract);
            }
        }
    });
}

#[test]
fn coordinates_beyond_q_are_refused() {
    each(|case, mut chain, address| {
        for i in 0..case.proof.len() {
            let mut call = case.call();
            add(&mut call.proof[i], modulus(Q));
            let expected = CoordinateOutOfRange { index: U256::from(i) }.abi_encode();
            assert_eq!(chain.call(address, call.calldata()), Err(expected.into()), "{}: proof word {i}", case.contract);
        }
    });
}

// ------------------------------------------------------------------------------------------------ P15: lengths

#[test]
fn calldata_of_another_length_is_refused() {
    each(|case, mut chain, address| {
        let calldata = case.call().calldata();
        let length = calldata.len();
        // Beyond the end, the check is ours; before it, the ABI decoder refuses first, without an error's name.
        for more in [1, 31, 32, 320] {
            let mut longer = calldata.clone();
            longer.resize(length + more, 0);
            let expected = CalldataLengthMismatch { expected: U256::from(length), received: U256::from(length + more) }.abi_encode();
            assert_eq!(chain.call(address, longer), Err(expected.into()), "{}: {more} bytes more", case.contract);
        }
        for shorter in [0, 3, 4, 36, length - 32, length - 1] {
            assert!(chain.call(address, calldata[..shorter].to_vec()).is_err(), "{}: {shorter} bytes", case.contract);
        }
        let mut other = calldata;
        other[0] ^= 1;
        assert!(chain.call(address, other).is_err(), "{}: another selector", case.contract);
    });
}

// ------------------------------------------------------------------------------------------------ P13: precompiles

/// The usual precompiles with one taken out or put in another's place.
fn precompiles(without: &[Address], with: Option<Precompile>) -> &'static Precompiles {
    let usual = Precompiles::new(PrecompileSpecId::OSAKA);
    let mut gone = Precompiles::default();
    gone.extend(without.iter().map(|address| usual.get(address).unwrap().clone()));
    let mut changed = usual.difference(&gone);
    changed.extend(with);
    Box::leak(Box::new(changed))
}

/// A chain that loses a precompile after deployment: calls to it succeed and answer nothing.
#[test]
fn missing_precompiles_prove_nothing() {
    each(|case, chain, address| {
        for precompile in [ECADD, ECMUL, PAIRING] {
            let mut chain = Chain { precompiles: precompiles(&[precompile], None), ..chain.clone() };
            let expected = PrecompileFailed { precompile }.abi_encode();
            assert_eq!(chain.call(address, case.call().calldata()), Err(expected.into()), "{}: {precompile}", case.contract);
        }
    });
}

#[test]
fn chains_without_precompiles_are_refused_at_deployment() {
    for case in cases() {
        for precompile in [ECADD, ECMUL, PAIRING] {
            let expected = SelfTestFailed { precompile }.abi_encode();
            let result = Chain::with(CHAIN_ID, precompiles(&[precompile], None)).deploy(case);
            assert_eq!(result, Err(expected.into()), "{}: {precompile}", case.contract);
        }
    }
}

fn answer(byte: u8, length: usize, reservoir: u64) -> PrecompileOutput {
    let mut bytes = vec![0; length];
    bytes.iter_mut().skip(length.min(32) - 1).take(1).for_each(|last| *last = byte);
    PrecompileOutput::new(100, bytes.into(), reservoir)
}

/// A pairing that says yes, or no, to everything, or answers in another length.
#[test]
fn lying_pairings_are_refused_at_deployment() {
    let usual = Precompiles::new(PrecompileSpecId::OSAKA).get(&PAIRING).unwrap();
    let lies: [PrecompileFn; 4] = [
        |_, _, reservoir| Ok(answer(1, 32, reservoir)),
        |_, _, reservoir| Ok(answer(0, 32, reservoir)),
        |_, _, reservoir| Ok(answer(1, 31, reservoir)),
        |_, _, reservoir| Ok(answer(1, 64, reservoir)),
    ];
    for case in cases() {
        for (i, lie) in lies.into_iter().enumerate() {
            let lying = Precompile::new(usual.id().clone(), PAIRING, lie);
            let expected = SelfTestFailed { precompile: PAIRING }.abi_encode();
            let result = Chain::with(CHAIN_ID, precompiles(&[], Some(lying))).deploy(case);
            assert_eq!(result, Err(expected.into()), "{}: lie {i}", case.contract);
        }
    }
}

/// A pairing that answers with the input's low bit after deployment, in another length, or with 2.
#[test]
fn strange_answers_prove_nothing() {
    let usual = Precompiles::new(PrecompileSpecId::OSAKA).get(&PAIRING).unwrap();
    let answers: [PrecompileFn; 4] = [
        |_, _, reservoir| Ok(answer(1, 31, reservoir)),
        |_, _, reservoir| Ok(answer(1, 64, reservoir)),
        |_, _, reservoir| Ok(answer(2, 32, reservoir)),
        |_, _, reservoir| Ok(answer(0, 32, reservoir)),
    ];
    each(|case, chain, address| {
        for (i, answer) in answers.into_iter().enumerate() {
            let strange = Precompile::new(usual.id().clone(), PAIRING, answer);
            let mut chain = Chain { precompiles: precompiles(&[], Some(strange)), ..chain.clone() };
            let expected = if i < 2 { PrecompileFailed { precompile: PAIRING }.abi_encode() } else { ProofInvalid {}.abi_encode() };
            assert_eq!(chain.call(address, case.call().calldata()), Err(expected.into()), "{}: answer {i}", case.contract);
        }
    });
}

/// P14: starved of gas at any point, the contract fails; it never answers.
#[test]
fn low_gas_never_succeeds() {
    each(|case, mut chain, address| {
        let calldata = case.call().calldata();
        let used = chain.call(address, calldata.clone()).unwrap();
        let mut invalid = case.call();
        *invalid.proof.last_mut().unwrap() = case.proof[1];
        let mut enough = 0;
        for gas in (40_000 + 16 * calldata.len() as u64..used + 40_000).step_by(1_009) {
            let succeeded = chain.run(TxKind::Call(address), calldata.clone(), gas, false).is_success();
            assert!(!succeeded || gas >= used, "{}: {gas} gas", case.contract);
            // Once enough is enough, more is enough too.
            assert!(succeeded || enough == 0, "{}: {gas} gas fails, {enough} did not", case.contract);
            enough = if succeeded && enough == 0 { gas } else { enough };
        }
        assert!(enough > 0);
        for gas in (used - 3_000..used + 3_000).step_by(97) {
            assert!(!chain.run(TxKind::Call(address), invalid.calldata(), gas, false).is_success());
        }
    });
}

/// A failing precompile burns what it is given: about twice its price, not what the caller has.
#[test]
fn a_malformed_point_does_not_burn_everything() {
    each(|case, mut chain, address| {
        let used = chain.call(address, case.call().calldata()).unwrap();
        let mut call = case.call();
        call.proof[0][31] ^= 1;
        let result = chain.run(TxKind::Call(address), call.calldata(), GAS_LIMIT, false);
        assert!(result.tx_gas_used() < 2 * used, "{}: {} gas of {GAS_LIMIT}", case.contract, result.tx_gas_used());
        assert_eq!(result.output().unwrap().as_ref(), PrecompileFailed { precompile: PAIRING }.abi_encode(), "{}", case.contract);
    });
}

// ------------------------------------------------------------------------------------------------ dev keys

#[test]
fn dev_keys_deploy_on_local_chains_only() {
    let usual = Precompiles::new(PrecompileSpecId::OSAKA);
    for case in cases() {
        for id in [1, 10, 1_336, 1_338, 8_453, 31_336, 31_347, 11_155_111] {
            let result = Chain::with(id, usual).deploy(case);
            if case.dev() {
                assert_eq!(result, Err(DevKeysRefused { chainId: U256::from(id) }.abi_encode().into()), "{} on {id}", case.contract);
            } else {
                assert!(result.is_ok(), "{} on {id}: {result:?}", case.contract);
            }
        }
        for id in [1_337, 31_337, 31_341, 31_346] {
            assert!(Chain::with(id, usual).deploy(case).is_ok(), "{} on {id}", case.contract);
        }
    }
}

/// A proof for one key is nothing to another: P9.
#[test]
fn proofs_for_another_key_are_refused() {
    let mut chain = Chain::local();
    let addresses: Vec<Address> = cases().iter().map(|case| chain.deploy(case).unwrap()).collect();
    for (i, address) in addresses.iter().enumerate() {
        for (j, case) in cases().iter().enumerate().filter(|(j, _)| *j != i) {
            // Same selector or not, it must not verify.
            assert!(chain.call(*address, case.call().calldata()).is_err(), "proof {j} by verifier {i}");
        }
    }
}
