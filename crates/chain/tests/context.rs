//! Hashes, ids, contexts and owners against the contract's own functions, and against the fixtures' independent encoder.

use crate::support;
use std::ops::ControlFlow;

use crate::support::{Anvil, fixture, signer, word};
use alloy::primitives::{Address, B256, U256};
use zkslice_chain::bindings::{InferenceOracle, Request};
use zkslice_chain::constants::VERIFIER_SELECTOR;
use zkslice_chain::{DeployPlan, Deployer, context};

fn requests() -> Vec<Request> {
    let plain = Request {
        modelDigest: B256::repeat_byte(0xd1),
        inputs: vec![B256::repeat_byte(1)],
        verifier: VERIFIER_SELECTOR,
        minCoverage: U256::ZERO,
        feeToken: Address::ZERO,
        fee: U256::from(10).pow(U256::from(15)),
        deadline: 2_000_000_000,
        callback: Address::ZERO,
        callbackGas: 0,
    };
    let full = Request {
        inputs: vec![B256::repeat_byte(0xff), B256::ZERO, B256::repeat_byte(3)],
        verifier: [0xff; 4].into(),
        minCoverage: U256::MAX,
        feeToken: Address::repeat_byte(4),
        fee: U256::MAX,
        deadline: u64::MAX,
        callback: Address::repeat_byte(5),
        callbackGas: u32::MAX,
        ..plain.clone()
    };
    vec![Request { inputs: Vec::new(), ..plain.clone() }, plain, full]
}

#[tokio::test]
async fn all_as_the_contract_computes_them() {
    let anvil = Anvil::start(31340);
    let folder = tempfile::tempdir().unwrap();
    let chain = anvil.chain().await;
    let deployer = Deployer::new(chain.clone(), signer(0), folder.path().join("31340.json"));
    let address = deployer.deploy(&DeployPlan::default(), &mut |_| ControlFlow::Continue(())).await.unwrap().oracle;
    let oracle = InferenceOracle::new(address, chain.provider());
    let (requester, beneficiary) = (Address::repeat_byte(0xaa), Address::repeat_byte(0xbb));
    for request in requests() {
        assert_eq!(oracle.requestHashOf(request.clone()).call().await.unwrap(), context::request_hash(&request));
        for nonce in [U256::ZERO, U256::MAX] {
            let id = oracle.requestIdOf(request.clone(), requester, nonce).call().await.unwrap();
            assert_eq!(id, context::request_id(&request, requester, nonce));
            let expected = oracle.contextOf(request.clone(), requester, nonce, beneficiary).call().await.unwrap();
            let computed = context::context(31340, address, &request, requester, nonce, beneficiary);
            assert_eq!(B256::from(expected), computed);
        }
        let owner = oracle.inputOwnerOf(request.modelDigest, requester).call().await.unwrap();
        assert_eq!(B256::from(owner), context::owner(request.modelDigest, requester));
    }
}

#[test]
fn all_as_the_fixtures_have_them() {
    for name in ["single", "private", "mixed"] {
        let value = fixture(&format!("{name}.json"));
        let request = Request {
            modelDigest: word(&value["modelDigest"]),
            inputs: support::words(&value["request"]["inputs"]),
            verifier: value["request"]["verifier"].as_str().unwrap().parse().unwrap(),
            minCoverage: U256::ZERO,
            feeToken: Address::ZERO,
            fee: word(&value["request"]["fee"]).into(),
            deadline: U256::from_be_bytes(word(&value["request"]["deadline"]).0).to(),
            callback: Address::ZERO,
            callbackGas: 0,
        };
        let address = |key: &str| -> Address { value[key].as_str().unwrap().parse().unwrap() };
        assert_eq!(context::request_hash(&request), word(&value["requestHash"]));
        assert_eq!(context::request_id(&request, address("requester"), U256::ZERO), word(&value["requestId"]));
        let computed = context::context(31337, address("oracle"), &request, address("requester"), U256::ZERO, address("beneficiary"));
        assert_eq!(computed, word(&value["context"]));
        assert_eq!(context::owner(request.modelDigest, address("requester")), word(&value["owner"]));
    }
}
