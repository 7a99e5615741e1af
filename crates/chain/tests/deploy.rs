//! Deployment on a real local chain: idempotent, resumable, and refusing what it must refuse.

use std::ops::ControlFlow;
use std::path::PathBuf;

use crate::support::{Anvil, model, signer};
use alloy::primitives::{Address, B256, U256};
use alloy::providers::Provider;
use tempfile::TempDir;
use zkslice_chain::bindings::{DigitConsumer, InferenceFeed, InferenceOracle, ModelRegistry};
use zkslice_chain::constants::{VERIFIER_SELECTOR, VERIFIER_SELECTOR_0X09, verifier_selector};
use zkslice_chain::{
    Chain, ChainError, ConsumerSpec, Contracts, DeployEvent, DeployPlan, Deployer, Deployment, FeedSpec, Manifest, Outcome, check,
};

struct Setup {
    anvil: Anvil,
    folder: TempDir,
}

impl Setup {
    fn new(chain_id: u64) -> Self {
        Self { anvil: Anvil::start(chain_id), folder: tempfile::tempdir().unwrap() }
    }

    fn manifest(&self) -> PathBuf {
        self.folder.path().join("deployments").join("chain.json")
    }

    async fn deployer(&self, index: usize) -> Deployer {
        Deployer::new(self.anvil.chain().await, signer(index), self.manifest())
    }

    async fn deploy(&self, plan: &DeployPlan) -> Result<Deployment, ChainError> {
        self.deployer(0).await.deploy(plan, &mut |_| ControlFlow::Continue(())).await
    }

    async fn transactions(&self) -> u64 {
        self.anvil.chain().await.nonce(signer(0).address()).await.unwrap()
    }
}

fn plan() -> DeployPlan {
    let single = model("single");
    let feed = FeedSpec {
        model: single.digest,
        source: Address::repeat_byte(7),
        output_index: 3,
        decimals: 8,
        max_age: 3600,
        description: "class 3".to_owned(),
        sequencer_uptime_feed: Address::ZERO,
        grace_period: 0,
    };
    let consumers = vec![ConsumerSpec { model: single.digest }];
    DeployPlan { models: vec![single, model("mixed")], consumers, feeds: vec![feed], ..Default::default() }
}

#[tokio::test]
async fn deploying_twice_is_a_no_op() {
    let setup = Setup::new(31337);
    let first = setup.deploy(&plan()).await.unwrap();
    // Three contracts, the verifier in the registry, two models of one chunk each, consumer and feed.
    assert_eq!(first.transactions, 3 + 1 + 2 * 2 + 2);
    let bytes = std::fs::read(setup.manifest()).unwrap();
    let sent = setup.transactions().await;

    let second = setup.deploy(&plan()).await.unwrap();
    assert_eq!((second.transactions, second.gas_used), (0, 0));
    assert_eq!(second.manifest, first.manifest);
    assert_eq!(std::fs::read(setup.manifest()).unwrap(), bytes);
    assert_eq!(setup.transactions().await, sent);

    let chain = setup.anvil.chain().await;
    let registry = ModelRegistry::new(first.registry, chain.provider());
    for keys in plan().models {
        assert_eq!(registry.blob(keys.digest).call().await.unwrap(), keys.blob);
        let record = &first.manifest.models[&keys.digest];
        assert!(record.dev && record.setup_digest == keys.setup_digest && record.tx_hash.is_some());
    }
    let oracle = InferenceOracle::new(first.oracle, chain.provider());
    assert_eq!(oracle.registry().call().await.unwrap(), first.registry);
    assert_eq!(registry.verifierOf(VERIFIER_SELECTOR).call().await.unwrap(), first.verifier);
    let consumer = DigitConsumer::new(first.manifest.consumers[0].contract.address, chain.provider());
    assert_eq!(consumer.oracle().call().await.unwrap(), first.oracle);
    let feed = InferenceFeed::new(first.manifest.feeds[0].contract.address, chain.provider());
    assert_eq!(feed.description().call().await.unwrap(), "class 3");
    assert_eq!(feed.outputIndex().call().await.unwrap(), U256::from(3));

    // A larger plan adds only what is new.
    let mut larger = plan();
    larger.models.push(model("private"));
    assert_eq!(setup.deploy(&larger).await.unwrap().transactions, 2);
}

#[tokio::test]
async fn a_stop_after_any_event_resumes_without_repeating_anything() {
    let whole = {
        let setup = Setup::new(31337);
        let mut events = 0;
        setup
            .deployer(0)
            .await
            .deploy(&plan(), &mut |_| {
                events += 1;
                ControlFlow::Continue(())
            })
            .await
            .unwrap();
        (events, setup.transactions().await)
    };
    // One run, stopped again and again: each time after one event more than there was to see again.
    let setup = Setup::new(31337);
    let mut stops = 0;
    let deployment = loop {
        let mut progress = false;
        let result = setup
            .deployer(0)
            .await
            .deploy(&plan(), &mut |event| {
                let old = matches!(event, DeployEvent::Kept { .. } | DeployEvent::Resumed { .. });
                // Stop at every other kind in turn: written down, sent, mined, recorded.
                let stop = !old && (stops % 4) == kind(event);
                progress |= stop;
                if stop { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })
            .await;
        match result {
            Ok(deployment) => break deployment,
            Err(ChainError::Stopped) => stops += 1,
            Err(error) => panic!("{error}"),
        }
        assert!(progress && stops < 200);
    };
    assert!(stops >= 9, "{stops} of {} events", whole.0);
    assert_eq!(setup.transactions().await, whole.1, "as many transactions as without stops");
    assert_eq!(deployment.manifest.pending, None);
    assert_eq!(setup.deploy(&plan()).await.unwrap().transactions, 0);
}

fn kind(event: &DeployEvent) -> usize {
    match event {
        DeployEvent::Prepared { .. } => 0,
        DeployEvent::Sent { .. } => 1,
        DeployEvent::Mined { .. } => 2,
        _ => 3,
    }
}

#[tokio::test]
async fn a_nonce_used_by_another_transaction_is_planned_anew() {
    let setup = Setup::new(31337);
    let stopped = setup
        .deployer(0)
        .await
        .deploy(&plan(), &mut |event| if kind(event) == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        .await;
    assert!(matches!(stopped, Err(ChainError::Stopped)));
    assert!(Manifest::load(&setup.manifest()).unwrap().unwrap().pending.is_some());
    // The account's owner sends something else in the meantime: anvil signs for its own accounts.
    let from = signer(0).address();
    setup.anvil.rpc("eth_sendTransaction", serde_json::json!([{ "from": from, "to": from, "value": "0x1" }])).await;
    let deployment = setup.deploy(&plan()).await.unwrap();
    assert_eq!(deployment.transactions, 10);
    assert_eq!(setup.transactions().await, 11);
}

#[tokio::test]
async fn another_account_does_not_finish_what_one_began() {
    let setup = Setup::new(31337);
    let mut stop = |event: &DeployEvent| if kind(event) == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
    let _ = setup.deployer(0).await.deploy(&plan(), &mut stop).await;
    let error = setup.deployer(1).await.deploy(&plan(), &mut |_| ControlFlow::Continue(())).await.unwrap_err();
    assert!(matches!(error, ChainError::PendingOfAnother { .. }), "{error}");

    // Once all is finished, another account may look, but not register.
    setup.deploy(&DeployPlan::default()).await.unwrap();
    let error = setup.deployer(1).await.deploy(&plan(), &mut |_| ControlFlow::Continue(())).await.unwrap_err();
    assert!(matches!(error, ChainError::NotOwner { .. }), "{error}");
}

#[tokio::test]
async fn an_old_manifest_before_a_fresh_chain_is_an_error_that_names_it() {
    let setup = Setup::new(31337);
    setup.deploy(&DeployPlan::default()).await.unwrap();
    let fresh = Anvil::start(31337);
    let deployer = Deployer::new(fresh.chain().await, signer(0), setup.manifest());
    let error = deployer.deploy(&DeployPlan::default(), &mut |_| ControlFlow::Continue(())).await.unwrap_err();
    assert_eq!(error.code(), "ZKS-CHAIN-035");
    assert!(error.to_string().contains("ModelRegistry: there is no code at"), "{error}");
    assert!(error.to_string().contains("chain.json") && error.to_string().contains("move the manifest away"), "{error}");
    assert_eq!(fresh.chain().await.nonce(signer(0).address()).await.unwrap(), 0);

    // Another code hash in the manifest.
    let mut manifest = Manifest::load(&setup.manifest()).unwrap().unwrap();
    let oracle = manifest.inference_oracle.as_mut().unwrap();
    oracle.code_hash = B256::repeat_byte(1);
    manifest.save(&setup.manifest()).unwrap();
    let error = setup.deploy(&DeployPlan::default()).await.unwrap_err();
    assert!(error.to_string().contains("InferenceOracle: its code hash is"), "{error}");
}

#[tokio::test]
async fn a_model_that_the_registry_does_not_have_is_an_error() {
    let setup = Setup::new(31337);
    let deployment = setup.deploy(&plan()).await.unwrap();
    let mut manifest = deployment.manifest;
    let record = manifest.models.values().next().unwrap().clone();
    manifest.models.insert(B256::repeat_byte(3), record);
    manifest.save(&setup.manifest()).unwrap();
    let error = setup.deploy(&plan()).await.unwrap_err();
    assert!(error.to_string().contains(&format!("model {}: the registry does not know it", B256::repeat_byte(3))), "{error}");
}

#[tokio::test]
async fn a_model_registered_already_is_only_recorded() {
    let setup = Setup::new(31337);
    setup.deploy(&plan()).await.unwrap();
    let mut manifest = Manifest::load(&setup.manifest()).unwrap().unwrap();
    manifest.models.clear();
    manifest.save(&setup.manifest()).unwrap();
    let again = setup.deploy(&plan()).await.unwrap();
    assert_eq!(again.transactions, 0);
    assert_eq!(again.manifest.models.len(), 2);
}

#[tokio::test]
async fn dev_keys_are_refused_on_a_foreign_chain_before_anything_is_sent() {
    for chain_id in [1, 31336, 31347] {
        let setup = Setup::new(chain_id);
        let error = setup.deploy(&plan()).await.unwrap_err();
        assert!(matches!(error, ChainError::DevKeys { chain_id: id, .. } if id == chain_id), "{error}");
        assert_eq!(setup.transactions().await, 0);
        assert!(!setup.manifest().exists());
    }
}

#[tokio::test]
async fn an_evm_older_than_cancun_is_refused_before_anything_is_sent() {
    let folder = tempfile::tempdir().unwrap();
    for fork in ["paris", "shanghai", "cancun"] {
        let anvil = Anvil::with(31337, &["--hardfork", fork]);
        let deployer = Deployer::new(anvil.chain().await, signer(0), folder.path().join("chain.json"));
        let dry = deployer.dry_run(&plan()).await;
        if fork == "cancun" {
            assert!(dry.unwrap().is_feasible());
            continue;
        }
        assert!(matches!(dry.unwrap_err(), ChainError::OldEvm { chain_id: 31337 }));
        let error = deployer.deploy(&plan(), &mut |_| ControlFlow::Continue(())).await.unwrap_err();
        assert!(matches!(error, ChainError::OldEvm { chain_id: 31337 }), "{error}");
        assert_eq!(anvil.chain().await.nonce(signer(0).address()).await.unwrap(), 0);
        assert!(!folder.path().join("chain.json").exists());
    }
}

#[tokio::test]
async fn a_foreign_chain_takes_contracts_without_models_and_with_a_guardian() {
    let setup = Setup::new(1);
    let guardian = Some(Address::repeat_byte(9));
    for (plan, reason) in [
        (DeployPlan::default(), "no guardian"),
        (DeployPlan { guardian, delay: Some(86_399), ..Default::default() }, "at least 86400 s"),
        (DeployPlan { guardian, delay: Some(1 << 32), ..Default::default() }, "room"),
        (DeployPlan { guardian: Some(Address::ZERO), ..Default::default() }, "zero address"),
        (DeployPlan { guardian, owner: Some(Address::ZERO), ..Default::default() }, "zero address"),
    ] {
        let error = setup.deploy(&plan).await.unwrap_err();
        assert!(matches!(error, ChainError::Parameters { chain_id: 1, .. }) && error.to_string().contains(reason), "{error}");
    }
    assert_eq!(setup.transactions().await, 0);
    let deployment = setup.deploy(&DeployPlan { guardian, ..Default::default() }).await.unwrap();
    assert_eq!((deployment.transactions, deployment.manifest.chain_id), (4, 1));
    let parameters = deployment.manifest.parameters.unwrap();
    assert_eq!((parameters.owner, parameters.guardian, parameters.delay), (signer(0).address(), Address::repeat_byte(9), 86_400));

    // Later runs need no parameters, and take no others.
    assert_eq!(setup.deploy(&DeployPlan::default()).await.unwrap().transactions, 0);
    let other = DeployPlan { guardian: Some(Address::repeat_byte(8)), ..Default::default() };
    let error = setup.deploy(&other).await.unwrap_err();
    assert!(matches!(error, ChainError::ManifestParameters { .. }), "{error}");
}

/// The verifier for Bittensor is chosen by the chain's id alone. anvil has another precompile at 0x09, which the verifier finds; revm runs it
/// with Bittensor's, see `crates/solidity/tests/bittensor.rs`.
#[tokio::test]
async fn bittensor_gets_the_verifier_that_adds_at_0x09() {
    let guardian = Some(Address::repeat_byte(9));
    let plan = DeployPlan { guardian, ..Default::default() };
    for chain_id in [964, 945] {
        let setup = Setup::new(chain_id);
        let run = setup.deployer(0).await.dry_run(&plan).await.unwrap();
        let steps: Vec<String> = run.steps.iter().map(|step| step.step.to_string()).filter(|step| step.contains("Verifier")).collect();
        assert_eq!(steps, ["create BundleVerifier0x09"]);
        // The proxy passes no reason on.
        assert!(matches!(run.steps[1].outcome, Outcome::Fails(_)), "{:?}", run.steps);
        assert!(run.steps.iter().any(|step| step.step.to_string().ends_with(&format!("as {VERIFIER_SELECTOR_0X09}"))));
        let error = setup.deploy(&plan).await.unwrap_err();
        assert!(error.to_string().contains("create BundleVerifier0x09 reverts"), "{error}");

        // Registry and oracle are where they are on every chain.
        let elsewhere = Contracts::new(run.parameters, 1);
        assert_eq!((run.contracts.registry, run.contracts.oracle), (elsewhere.registry, elsewhere.oracle));
        assert_ne!(run.contracts.verifier, elsewhere.verifier);
        assert_eq!(run.contracts, Contracts::new(run.parameters, 964));
    }
    assert_eq!([1, 946, 31_337].map(verifier_selector), [VERIFIER_SELECTOR; 3]);
}

/// Who takes one chain's manifest for another's is told which verifier is in it, and what to do.
#[tokio::test]
async fn the_wrong_verifier_in_a_manifest_is_named() {
    let setup = Setup::new(1);
    let guardian = Some(Address::repeat_byte(9));
    let deployment = setup.deploy(&DeployPlan { guardian, ..Default::default() }).await.unwrap();
    let mut manifest = deployment.manifest;
    manifest.chain_id = 964;
    manifest.save(&setup.manifest()).unwrap();
    setup.anvil.rpc("anvil_setChainId", serde_json::json!([964])).await;
    let chain = setup.anvil.chain().await;
    let found: Vec<String> = check::differences(&chain, &manifest).await.unwrap().iter().map(ToString::to_string).collect();
    let build = "BundleVerifier0x09: it is BundleVerifier in the manifest, and chain 964 has the addition of points at 0x09, and at 0x06 what \
                 runs calls in the caller's name: move the manifest away and deploy anew, which takes BundleVerifier0x09";
    let selector = "verifier 0x00000001: the verifier of chain 964 has selector 0x00000009: move the manifest away and deploy anew";
    assert!([build, selector].iter().all(|text| found.iter().any(|found| found == text)), "{found:?}");
    let error = setup.deploy(&DeployPlan::default()).await.unwrap_err();
    assert!(matches!(error, ChainError::ManifestDiffers { .. }) && error.to_string().contains(build), "{error}");
    let error = setup.deployer(0).await.dry_run(&DeployPlan::default()).await.unwrap_err();
    assert!(error.to_string().contains(selector), "{error}");

    // And the other way round: what this build makes of it for Bittensor, on another chain.
    let contract = manifest.bundle_verifier.as_mut().unwrap();
    let code = &zkslice_chain::bindings::BundleVerifier0x09::BYTECODE;
    contract.init_code_hash = alloy::primitives::keccak256([code.as_ref(), &contract.constructor_args].concat());
    manifest.chain_id = 1;
    setup.anvil.rpc("anvil_setChainId", serde_json::json!([1])).await;
    let found = check::differences(&setup.anvil.chain().await, &manifest).await.unwrap();
    assert!(found[0].to_string().starts_with("BundleVerifier: it is BundleVerifier0x09 in the manifest, and chain 1 has the addition"));
}

#[tokio::test]
async fn a_plan_that_lies_about_its_blob_is_refused() {
    let setup = Setup::new(31337);
    let honest = model("single");
    let mut cases = vec![honest.clone(); 5];
    cases[0].dev = false;
    cases[1].setup_digest = B256::repeat_byte(1);
    cases[2].digest = B256::repeat_byte(1);
    cases[3].blob[33] ^= 1;
    cases[4].transcript_hash = B256::repeat_byte(1);
    for keys in cases {
        let error = setup.deploy(&DeployPlan { models: vec![keys], ..Default::default() }).await.unwrap_err();
        assert!(matches!(error, ChainError::MalformedBlob { .. }), "{error}");
    }
    assert_eq!(setup.transactions().await, 0);

    // What only the registry can see: a changed key record. The error's name comes from the contract.
    let mut changed = honest;
    let last = changed.blob.len() - 1;
    changed.blob[last] ^= 1;
    let error = setup.deploy(&DeployPlan { models: vec![changed], ..Default::default() }).await.unwrap_err();
    assert!(error.to_string().contains("VkHashMismatch(slice: 0"), "{error}");
}

#[tokio::test]
async fn broken_newer_and_foreign_manifests_are_refused() {
    let setup = Setup::new(31337);
    setup.deploy(&DeployPlan::default()).await.unwrap();
    let text = std::fs::read_to_string(setup.manifest()).unwrap();
    let sent = setup.transactions().await;
    for (from, to, code) in [
        ("\"version\": 2", "\"version\": 3", "ZKS-CHAIN-032"),
        ("\"version\": 2", "\"version\": 1", "ZKS-CHAIN-031"),
        ("\"version\": 2", "\"version\": 2, \"more\": 1", "ZKS-CHAIN-031"),
        ("{", "", "ZKS-CHAIN-031"),
        ("31337", "1337", "ZKS-CHAIN-033"),
    ] {
        std::fs::write(setup.manifest(), text.replacen(from, to, 1)).unwrap();
        let error = setup.deploy(&DeployPlan::default()).await.unwrap_err();
        assert_eq!(error.code(), code, "{error}");
    }
    assert_eq!(setup.transactions().await, sent);
}

#[tokio::test]
async fn an_account_without_ether_is_told_so() {
    let setup = Setup::new(31337);
    setup.anvil.set_balance(signer(0).address(), U256::from(1000)).await;
    let error = setup.deploy(&DeployPlan::default()).await.unwrap_err();
    let text = error.to_string();
    assert!(text.to_lowercase().contains("insufficient") || matches!(error, ChainError::InsufficientBalance { .. }), "{text}");
}

#[tokio::test]
async fn a_gas_price_above_the_limit_is_refused() {
    let setup = Setup::new(31337);
    let deployer = setup.deployer(0).await.with_max_fee_per_gas(1);
    let error = deployer.deploy(&DeployPlan::default(), &mut |_| ControlFlow::Continue(())).await.unwrap_err();
    assert!(matches!(error, ChainError::FeeAboveLimit { limit: 1, .. }), "{error}");
    assert_eq!(setup.transactions().await, 0);
}

#[tokio::test]
async fn wrong_chain_and_dead_rpc_are_told_apart() {
    let anvil = Anvil::start(31338);
    let error = Chain::connect(&anvil.url, Some(31337)).await.unwrap_err();
    assert!(matches!(error, ChainError::WrongChain { expected: 31337, found: 31338, .. }), "{error}");
    assert_eq!(Chain::connect(&anvil.url, Some(31338)).await.unwrap().id(), 31338);

    let url = format!("{}/secret-token?key=hush", anvil.url);
    drop(anvil);
    let error = Chain::connect(&url, None).await.unwrap_err();
    assert!(matches!(error, ChainError::Unreachable { .. }) && error.is_transient(), "{error}");
    assert!(!error.to_string().contains("secret") && !error.to_string().contains("hush"), "{error}");
    for url in ["", "127.0.0.1:8545", "ws://127.0.0.1:1", "file:///etc/passwd"] {
        assert!(matches!(Chain::connect(url, None).await, Err(ChainError::InvalidUrl { .. })), "{url}");
    }
}

#[tokio::test]
async fn receipts_are_awaited_when_blocks_are_slow() {
    let folder = tempfile::tempdir().unwrap();
    let anvil = Anvil::with(31337, &["--block-time", "1"]);
    let deployer = Deployer::new(anvil.chain().await, signer(0), folder.path().join("31337.json"));
    let deployment = deployer.deploy(&DeployPlan::default(), &mut |_| ControlFlow::Continue(())).await.unwrap();
    assert_eq!(deployment.transactions, 4);
    assert!(!anvil.chain().await.provider().get_code_at(deployment.oracle).await.unwrap().is_empty());
}

/// What anvil says is final; on a chain that is too short for it, the first block.
#[tokio::test]
async fn the_final_block_is_the_nodes() {
    let anvil = Anvil::with(31337, &["--slots-in-an-epoch", "1"]);
    let chain = anvil.chain().await;
    assert_eq!(chain.final_block().await.unwrap(), 0);
    anvil.mine(9).await;
    assert_eq!((chain.head().await.unwrap().number, chain.final_block().await.unwrap()), (9, 7));
    let anvil = Anvil::start(31337);
    anvil.mine(9).await;
    assert_eq!(anvil.chain().await.final_block().await.unwrap(), 0);
}
