//! Calldata and hashes against an ABI encoder that shares nothing with alloy: ethabi, the one inside ethers.

use alloy::primitives::{Address, B256, Bytes, U256, keccak256};
use alloy::sol_types::SolCall;
use ethabi::{Contract, Token, Uint, encode};
use zkslice_chain::bindings::oracle::InferenceOracle::{fulfilBatchCall, fulfilCall, publishCall, requestCall};
use zkslice_chain::bindings::verifier::BundleVerifier::{verifyBatchCall, verifyBundleCall};
use zkslice_chain::bindings::{Bundle, Fulfilment, Publication, Request};
use zkslice_chain::{RegistryParameters, context};
use zkslice_tests::{Random, repository};

/// A contract's committed interface.
fn contract(name: &str) -> Contract {
    let bytes = std::fs::read(repository().join(format!("contracts/abi/{name}.json"))).unwrap();
    let value: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    serde_json::from_value(value["abi"].clone()).unwrap()
}

// ---------------------------------------------------------------------------------------------------- values

/// Random values, small and large, and lists of up to five.
struct Values(Random);

impl Values {
    fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = std::array::from_fn(|_| self.0.below(256) as u8);
        match self.0.below(4) {
            0 => bytes = [0; N],
            1 => bytes = [0xff; N],
            _ => {}
        }
        bytes
    }

    fn word(&mut self) -> U256 {
        U256::from_be_bytes(self.bytes::<32>())
    }

    fn words(&mut self) -> Vec<U256> {
        (0..self.0.below(6)).map(|_| self.word()).collect()
    }

    fn hashes(&mut self) -> Vec<B256> {
        self.words().into_iter().map(B256::from).collect()
    }

    fn address(&mut self) -> Address {
        self.bytes::<20>().into()
    }

    fn request(&mut self) -> Request {
        Request {
            modelDigest: self.bytes().into(),
            inputs: self.hashes(),
            verifier: self.bytes().into(),
            minCoverage: self.word(),
            feeToken: self.address(),
            fee: self.word(),
            deadline: u64::from_be_bytes(self.bytes()),
            callback: self.address(),
            callbackGas: u32::from_be_bytes(self.bytes()),
        }
    }

    fn fulfilment(&mut self) -> Fulfilment {
        Fulfilment {
            request: self.request(),
            requester: self.address(),
            nonce: self.word(),
            beneficiary: self.address(),
            coverage: self.word(),
            words: self.words(),
            commitments: self.words(),
            proofs: self.words(),
        }
    }

    fn publication(&mut self) -> Publication {
        Publication {
            source: self.address(),
            modelDigest: self.bytes().into(),
            inputs: self.hashes(),
            verifier: self.bytes().into(),
            round: u64::from_be_bytes(self.bytes()),
            observedAt: u64::from_be_bytes(self.bytes()),
            beneficiary: self.address(),
            words: self.words(),
            commitments: self.words(),
            proofs: self.words(),
        }
    }

    fn bundle(&mut self) -> Bundle {
        Bundle {
            modelDigest: self.bytes().into(),
            context: self.word(),
            owner: self.word(),
            coverage: self.word(),
            words: self.words(),
            commitments: self.words(),
            proofs: self.words(),
        }
    }
}

// ---------------------------------------------------------------------------------------------------- tokens

fn uint(value: U256) -> Token {
    Token::Uint(Uint::from_big_endian(&value.to_be_bytes::<32>()))
}

fn small(value: u64) -> Token {
    Token::Uint(value.into())
}

fn uints(values: &[U256]) -> Token {
    Token::Array(values.iter().copied().map(uint).collect())
}

fn fixed(bytes: &[u8]) -> Token {
    Token::FixedBytes(bytes.to_vec())
}

fn hashes(values: &[B256]) -> Token {
    Token::Array(values.iter().map(|value| fixed(value.as_slice())).collect())
}

fn address(value: Address) -> Token {
    Token::Address(value.into_array().into())
}

fn request(r: &Request) -> Token {
    Token::Tuple(vec![
        fixed(r.modelDigest.as_slice()),
        hashes(&r.inputs),
        fixed(r.verifier.as_slice()),
        uint(r.minCoverage),
        address(r.feeToken),
        uint(r.fee),
        small(r.deadline),
        address(r.callback),
        small(r.callbackGas.into()),
    ])
}

fn fulfilment(f: &Fulfilment) -> Token {
    Token::Tuple(vec![
        request(&f.request),
        address(f.requester),
        uint(f.nonce),
        address(f.beneficiary),
        uint(f.coverage),
        uints(&f.words),
        uints(&f.commitments),
        uints(&f.proofs),
    ])
}

fn publication(p: &Publication) -> Token {
    Token::Tuple(vec![
        address(p.source),
        fixed(p.modelDigest.as_slice()),
        hashes(&p.inputs),
        fixed(p.verifier.as_slice()),
        small(p.round),
        small(p.observedAt),
        address(p.beneficiary),
        uints(&p.words),
        uints(&p.commitments),
        uints(&p.proofs),
    ])
}

fn bundle(b: &Bundle) -> Token {
    Token::Tuple(vec![
        fixed(b.modelDigest.as_slice()),
        uint(b.context),
        uint(b.owner),
        uint(b.coverage),
        uints(&b.words),
        uints(&b.commitments),
        uints(&b.proofs),
    ])
}

// ---------------------------------------------------------------------------------------------------- tests

const CASES: usize = 200;

fn assert_encodes(contract: &Contract, function: &str, call: &impl SolCall, tokens: &[Token]) {
    // Checks the tokens against the interface's types too.
    assert_eq!(call.abi_encode(), contract.function(function).unwrap().encode_input(tokens).unwrap(), "{function}");
}

#[test]
fn calls_of_the_oracle() {
    let oracle = contract("InferenceOracle");
    let mut values = Values(Random(1));
    for _ in 0..CASES {
        let (asked, words) = (values.request(), values.words());
        let tokens = [request(&asked), uints(&words)];
        assert_encodes(&oracle, "request", &requestCall { request_: asked, words }, &tokens);

        let one = values.fulfilment();
        assert_encodes(&oracle, "fulfil", &fulfilCall { fulfilment: one.clone() }, &[fulfilment(&one)]);

        let count = values.0.below(4);
        let several: Vec<Fulfilment> = (0..count).map(|_| values.fulfilment()).collect();
        let tokens = [Token::Array(several.iter().map(fulfilment).collect())];
        assert_encodes(&oracle, "fulfilBatch", &fulfilBatchCall { fulfilments: several }, &tokens);

        let (published, signature) = (values.publication(), values.bytes::<65>());
        let tokens = [publication(&published), Token::Bytes(signature.to_vec())];
        let call = publishCall { publication: published, signature: Bytes::copy_from_slice(&signature) };
        assert_encodes(&oracle, "publish", &call, &tokens);
    }
}

#[test]
fn calls_of_the_verifier() {
    let verifier = contract("BundleVerifier");
    let mut values = Values(Random(2));
    for _ in 0..CASES {
        let one = values.bundle();
        assert_encodes(&verifier, "verifyBundle", &verifyBundleCall(one.clone()), &[bundle(&one)]);
        let count = values.0.below(4);
        let several: Vec<Bundle> = (0..count).map(|_| values.bundle()).collect();
        let tokens = [Token::Array(several.iter().map(bundle).collect())];
        assert_encodes(&verifier, "verifyBatch", &verifyBatchCall { bundles: several }, &tokens);
    }
}

#[test]
fn arguments_of_the_registry() {
    let mut values = Values(Random(3));
    for _ in 0..CASES {
        let parameters =
            RegistryParameters { owner: values.address(), guardian: values.address(), delay: u64::from_be_bytes(values.bytes()) };
        let tokens = [address(parameters.owner), address(parameters.guardian), small(parameters.delay)];
        assert_eq!(parameters.encode(), encode(&tokens));
    }
}

/// The order of BN254's scalar field, in decimal, as EIP-196 has it.
const FIELD_ORDER: &str = "21888242871839275222246405745257275088548364400416034343698204186575808495617";

#[test]
fn hashes_and_contexts_are_of_the_encoding() {
    let mut values = Values(Random(4));
    let order: U256 = FIELD_ORDER.parse().unwrap();
    let reduced = |tokens: &[Token]| B256::from(U256::from_be_bytes(keccak256(encode(tokens)).0) % order);
    for _ in 0..CASES {
        let asked = values.request();
        let (requester, beneficiary, oracle, nonce) = (values.address(), values.address(), values.address(), values.word());
        let chain_id = u64::from_be_bytes(values.bytes());
        let hash = keccak256(encode(&[request(&asked)]));
        assert_eq!(context::request_hash(&asked), hash);
        let id = keccak256(encode(&[address(requester), uint(nonce), fixed(hash.as_slice())]));
        assert_eq!(context::request_id(&asked, requester, nonce), id);
        let preimage = [
            fixed(keccak256("zkslice/context/v1").as_slice()),
            small(chain_id),
            address(oracle),
            fixed(id.as_slice()),
            fixed(hash.as_slice()),
            address(beneficiary),
        ];
        assert_eq!(context::context(chain_id, oracle, &asked, requester, nonce, beneficiary), reduced(&preimage));
        let owner = reduced(&[fixed(asked.modelDigest.as_slice()), address(requester)]);
        assert_eq!(context::owner(asked.modelDigest, requester), owner);
    }
}
