//! The relayer on a real local chain, with bundles that the real contracts verify.

use crate::support;
use std::ops::ControlFlow;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::support::{COVERAGE, FEE, MODELS, PARTIAL, Proxy, Simulator, World, has, name, signer, states};
use alloy::primitives::{Address, U256};
use tokio_util::sync::CancellationToken;
use zkslice_chain::ChainError;
use zkslice_chain::bindings::{InferenceOracle, Status};
use zkslice_prover::ProverError;
use zkslice_relayer::{Config, RelayError, RelayEvent, Relayer, State};

fn us() -> Address {
    signer(1).address()
}

/// A relayer that stops after the first event of this name.
async fn stop_at(world: &World, config: Config, event: &'static str) {
    let relayer = world.relayer(config).await;
    let mut relayer = relayer.with_observer(move |e| if name(e) == event { ControlFlow::Break(()) } else { ControlFlow::Continue(()) });
    let result = relayer.run_until_idle().await;
    assert!(matches!(result, Err(RelayError::Stopped)), "{event}: {result:?}");
}

// ------------------------------------------------------------------------------------------------------ being paid

#[tokio::test]
async fn requests_are_fulfilled_and_paid_for() {
    let world = World::new().await;
    let beneficiary = Address::repeat_byte(0xbe);
    let mut ids = Vec::new();
    for model in MODELS {
        ids.push(world.ask(model).await);
    }
    let mut relayer = world.relayer(Config { beneficiary: Some(beneficiary), ..world.config() }).await;
    let events = relayer.run_until_idle().await.unwrap();
    assert_eq!(states(&relayer).await, [State::Done; 3]);
    assert_eq!(world.credits(beneficiary).await, U256::from(3 * FEE));
    assert_eq!(world.fulfilments().await, ids.iter().map(|id| (*id, beneficiary)).collect::<Vec<_>>());
    let cost: U256 = events.iter().filter_map(|e| if let RelayEvent::Done { cost, .. } = e { Some(*cost) } else { None }).sum();
    assert!(cost > U256::ZERO);
    assert_eq!(relayer.spent_today().await.unwrap(), cost, "once all is settled, the ledger has what was paid");

    // The stored answer is the bundle's.
    let oracle = InferenceOracle::new(world.oracle, world.chain.provider());
    let outputs: Vec<U256> =
        support::words(&support::fixture("single.json")["words"]).last().map(|word| (*word).into()).into_iter().collect();
    oracle.requireOutputs(ids[0], outputs.clone(), U256::from(3600)).call().await.unwrap();
    assert!(oracle.requireOutputs(ids[0], vec![outputs[0] ^ U256::ONE], U256::from(3600)).call().await.is_err());

    assert_eq!(relayer.run_until_idle().await.unwrap(), []);
    drop(relayer);
    let mut again = world.relayer(world.config()).await;
    assert_eq!(again.run_until_idle().await.unwrap(), []);
    assert_eq!(world.mined().await, 3);
}

#[tokio::test]
async fn credits_are_withdrawn_once() {
    let world = World::new().await;
    world.ask("single").await;
    let mut relayer = world.relayer(world.config()).await;
    assert_eq!(relayer.withdraw().await.unwrap(), U256::ZERO);
    relayer.run_until_idle().await.unwrap();
    assert_eq!(relayer.withdraw().await.unwrap(), U256::from(FEE));
    assert_eq!(world.credits(us()).await, U256::ZERO);
    assert_eq!(relayer.withdraw().await.unwrap(), U256::ZERO);
    assert_eq!(world.mined().await, 2);
    world.ask("single").await;
    relayer.run_until_idle().await.unwrap();
    drop(relayer);
    let mut dry = world.relayer(Config { dry_run: true, ..world.config() }).await;
    assert!(matches!(dry.withdraw().await, Err(RelayError::Withdrawal { .. })));
}

#[tokio::test]
async fn nothing_is_relied_on_before_its_confirmations() {
    let world = World::new().await;
    let config = Config { confirmations: 3, ..world.config() };
    world.ask("single").await;
    let mut relayer = world.relayer(config).await;
    assert_eq!(relayer.run_until_idle().await.unwrap(), []);
    world.anvil.mine(2).await;
    assert_eq!(relayer.run_until_idle().await.unwrap(), []);
    world.anvil.mine(1).await;
    for _ in 0..10 {
        relayer.step().await.unwrap();
    }
    assert_eq!(states(&relayer).await, [State::Submitted]);
    world.anvil.mine(2).await;
    relayer.step().await.unwrap();
    assert_eq!(states(&relayer).await, [State::Submitted]);
    world.anvil.mine(1).await;
    assert!(has(&relayer.step().await.unwrap(), |e| name(e) == "Done"));
    assert_eq!(relayer.run_until_idle().await.unwrap(), []);
}

#[tokio::test]
async fn start_block_and_long_ranges() {
    let world = World::new().await;
    world.ask("single").await;
    let later = world.chain.head().await.unwrap().number + 1;
    world.anvil.mine(2500).await;
    world.ask("private").await;
    let mut relayer = world.relayer(Config { start_block: later, ..world.config() }).await;
    relayer.run_until_idle().await.unwrap();
    assert_eq!(world.fulfilments().await.len(), 1);
    assert_eq!(states(&relayer).await, [State::Done]);
}

// ------------------------------------------------------------------------------------------------------ crashes

#[tokio::test]
async fn a_stop_at_any_point_loses_nothing_and_pays_once() {
    for automine in [true, false] {
        let world = World::new().await;
        let ids = [world.ask("single").await, world.ask("mixed").await];
        world.anvil.automine(automine).await;
        for event in ["Seen", "Proving", "Proved", "Prepared", "Sent"] {
            stop_at(&world, world.config(), event).await;
        }
        world.anvil.automine(true).await;
        world.anvil.mine(1).await;
        stop_at(&world, world.config(), "Done").await;
        let mut relayer = world.relayer(world.config()).await;
        relayer.run_until_idle().await.unwrap();
        assert_eq!(states(&relayer).await, [State::Done; 2]);
        assert!(relayer.requests().await.unwrap().iter().all(|request| request.attempts == 1));
        assert_eq!(world.mined().await, 2);
        let mut fulfilled: Vec<_> = world.fulfilments().await.into_iter().map(|(id, _)| id).collect();
        fulfilled.sort();
        let mut expected = ids.to_vec();
        expected.sort();
        assert_eq!(fulfilled, expected);
        assert_eq!(world.credits(us()).await, U256::from(2 * FEE));
    }
}

#[tokio::test]
async fn a_transaction_that_the_node_forgot_is_sent_again() {
    let world = World::new().await;
    world.ask("single").await;
    world.anvil.automine(false).await;
    stop_at(&world, world.config(), "Sent").await;
    world.anvil.rpc("anvil_dropAllTransactions", serde_json::json!([])).await;
    world.anvil.automine(true).await;
    let mut relayer = world.relayer(world.config()).await;
    relayer.run_until_idle().await.unwrap();
    assert_eq!((states(&relayer).await, world.mined().await), (vec![State::Done], 1));
}

#[tokio::test]
async fn a_nonce_used_by_another_transaction_is_noticed() {
    let world = World::new().await;
    world.ask("single").await;
    stop_at(&world, world.config(), "Prepared").await;
    world.anvil.rpc("eth_sendTransaction", serde_json::json!([{ "from": us(), "to": us(), "value": "0x1" }])).await;
    let mut relayer = world.relayer(world.config()).await;
    let events = relayer.run_until_idle().await.unwrap();
    assert!(has(&events, |e| name(e) == "Lost"), "{events:?}");
    let requests = relayer.requests().await.unwrap();
    assert_eq!((requests[0].state, requests[0].attempts), (State::Done, 2));
    assert_eq!(world.mined().await, 2);
}

#[tokio::test]
async fn a_finished_transaction_that_was_reorganised_away_is_sent_again() {
    let world = World::new().await;
    world.ask("single").await;
    let mut relayer = world.relayer(Config { confirmations: 2, ..world.config() }).await;
    world.anvil.mine(2).await;
    for _ in 0..8 {
        relayer.step().await.unwrap();
    }
    assert_eq!((states(&relayer).await, world.mined().await), (vec![State::Submitted], 1));
    world.anvil.rpc("anvil_reorg", serde_json::json!([1, []])).await;
    assert_eq!(world.mined().await, 0);
    drop(relayer);
    let mut relayer = world.relayer(Config { confirmations: 2, ..world.config() }).await;
    relayer.step().await.unwrap();
    world.anvil.mine(3).await;
    relayer.run_until_idle().await.unwrap();
    assert_eq!((states(&relayer).await, world.mined().await, world.fulfilments().await.len()), (vec![State::Done], 1, 1));
}

// ------------------------------------------------------------------------------------------------------ competition

#[tokio::test]
async fn what_others_fulfilled_is_dropped() {
    let world = World::new().await;
    world.ask("single").await;
    // Proved by us, then fulfilled by them.
    stop_at(&world, world.config(), "Proved").await;
    world.competitor().await.run_until_idle().await.unwrap();
    // Never seen by us before.
    world.ask("private").await;
    let mut competitor = world.competitor().await;
    competitor.run_until_idle().await.unwrap();
    drop(competitor);
    let mut relayer = world.relayer(world.config()).await;
    let events = relayer.run_until_idle().await.unwrap();
    assert_eq!(states(&relayer).await, [State::Dropped; 2], "{events:?}");
    assert_eq!(world.mined().await, 0);
}

#[tokio::test]
async fn what_others_fulfilled_before_we_sent_is_not_sent_and_its_nonce_is_used_again() {
    let world = World::new().await;
    world.ask("single").await;
    stop_at(&world, world.config(), "Prepared").await;
    world.competitor().await.run_until_idle().await.unwrap();
    world.ask("private").await;
    let mut relayer = world.relayer(world.config()).await;
    relayer.run_until_idle().await.unwrap();
    assert_eq!(states(&relayer).await, [State::Dropped, State::Done]);
    assert_eq!(world.mined().await, 1, "nonce 0 went to the second request");
    assert_eq!(relayer.run_until_idle().await.unwrap(), []);
}

#[tokio::test]
async fn a_lost_race_reverts_once_and_is_dropped() {
    let world = World::with(&["--order", "fifo"]).await;
    world.ask("single").await;
    world.anvil.automine(false).await;
    let mut competitor = world.competitor().await;
    let mut relayer = world.relayer(world.config()).await;
    for _ in 0..4 {
        competitor.step().await.unwrap();
    }
    for _ in 0..4 {
        relayer.step().await.unwrap();
    }
    assert_eq!((states(&competitor).await, states(&relayer).await), (vec![State::Submitted], vec![State::Submitted]));
    world.anvil.automine(true).await;
    world.anvil.mine(1).await;
    let events = relayer.run_until_idle().await.unwrap();
    assert!(has(&events, |e| name(e) == "Reverted"), "{events:?}");
    assert_eq!(states(&relayer).await, [State::Dropped]);
    assert_eq!(world.fulfilments().await.len(), 1);
    assert!(relayer.spent_today().await.unwrap() > U256::ZERO, "a revert costs gas");
}

#[tokio::test]
async fn what_is_too_late_is_dropped() {
    let world = World::new().await;
    let now = world.timestamp().await;
    for event in ["Proved", "Prepared"] {
        world.ask_with("single", FEE, now + 500).await;
        stop_at(&world, world.config(), event).await;
    }
    world.anvil.rpc("evm_increaseTime", serde_json::json!([1000])).await;
    world.anvil.mine(1).await;
    let mut relayer = world.relayer(world.config()).await;
    let events = relayer.run_until_idle().await.unwrap();
    assert_eq!(states(&relayer).await, [State::Dropped; 2], "{events:?}");
    assert_eq!(world.mined().await, 0);
    assert!(relayer.requests().await.unwrap()[0].reason.contains("deadline"));
}

// ------------------------------------------------------------------------------------------------------ caps

#[tokio::test]
async fn small_fees_and_unknown_models_are_skipped_until_the_configuration_changes() {
    let world = World::new().await;
    world.ask_with("single", FEE - 1, 4_000_000_000).await;
    world.ask("private").await;
    let source = Simulator::new(&["single"]);
    let config = Config { min_fee: U256::from(FEE), ..world.config() };
    let mut relayer = world.try_relayer(config, source.clone()).await.unwrap();
    relayer.run_until_idle().await.unwrap();
    assert_eq!(states(&relayer).await, [State::Skipped; 2]);
    assert_eq!(source.calls.load(Ordering::SeqCst), 0);
    drop(relayer);
    let mut relayer = world.relayer(world.config()).await;
    relayer.run_until_idle().await.unwrap();
    assert_eq!(states(&relayer).await, [State::Done; 2]);
}

#[tokio::test]
async fn other_currencies_and_other_verifiers_are_skipped() {
    let world = World::new().await;
    let other = world.add_verifier([0, 0, 0, 2].into()).await;
    let token = world.token().await;
    world.ask_changed("single", |request| request.verifier = other).await;
    world.ask_changed("single", |request| (request.feeToken, request.fee) = (token, U256::from(FEE))).await;
    world.ask("single").await;
    let source = Simulator::new(&MODELS);
    let mut relayer = world.try_relayer(world.config(), source.clone()).await.unwrap();
    relayer.run_until_idle().await.unwrap();
    assert_eq!(states(&relayer).await, [State::Skipped, State::Skipped, State::Done]);
    assert_eq!(source.calls.load(Ordering::SeqCst), 1, "nothing is proven for them");
    let reasons: Vec<String> = relayer.requests().await.unwrap().into_iter().map(|request| request.reason).collect();
    assert!(reasons[0].contains("its verifier is 0x00000002"), "{reasons:?}");
    assert!(reasons[1].contains(&format!("its fee is in token {token}")), "{reasons:?}");
}

#[tokio::test]
async fn a_least_coverage_is_satisfied_by_all_slices() {
    let world = World::new().await;
    let id = world.ask_changed(PARTIAL, |request| request.minCoverage = U256::from(COVERAGE)).await;
    let mut relayer = world.try_relayer(world.config(), Simulator::new(&[PARTIAL])).await.unwrap();
    relayer.run_until_idle().await.unwrap();
    assert_eq!(world.fulfilments().await, [(id, us())]);
    let status = InferenceOracle::new(world.oracle, world.chain.provider()).status(id).call().await.unwrap();
    assert_eq!(Status::from_u8(status), Some(Status::Fulfilled));
}

#[tokio::test]
async fn what_was_stopped_is_dropped() {
    // Seen before, and proved before: nothing more is done, nothing is sent.
    for (event, what) in [("Seen", "its model"), ("Proved", "its model"), ("Seen", "its verifier"), ("Prepared", "its verifier")] {
        let world = World::new().await;
        let id = world.ask("single").await;
        stop_at(&world, world.config(), event).await;
        if what == "its model" {
            world.tombstone("single").await;
        } else {
            world.tombstone_verifier().await;
        }
        let mut relayer = world.relayer(world.config()).await;
        let events = relayer.run_until_idle().await.unwrap();
        let request = relayer.requests().await.unwrap().remove(0);
        assert_eq!(request.state, State::Dropped, "{events:?}");
        assert!(request.reason.contains(what) && request.reason.contains("stopped"), "{}", request.reason);
        assert_eq!((world.mined().await, world.fulfilments().await.len()), (0, 0));
        // The requester has its fee back before the deadline.
        world.refund(id, "single").await;
        assert_eq!(world.credits(signer(2).address()).await, U256::from(FEE));
        assert_eq!(relayer.run_until_idle().await.unwrap(), []);
    }
}

#[tokio::test]
async fn what_others_fulfilled_in_part_is_dropped() {
    let world = World::new().await;
    world.ask_changed(PARTIAL, |request| request.minCoverage = U256::from(COVERAGE)).await;
    let stopped = world.try_relayer(world.config(), Simulator::new(&[PARTIAL])).await.unwrap();
    let mut stopped = stopped.with_observer(|e| if name(e) == "Proved" { ControlFlow::Break(()) } else { ControlFlow::Continue(()) });
    assert!(matches!(stopped.run_until_idle().await, Err(RelayError::Stopped)));
    drop(stopped);
    let (mut request, words) = world.request_of(PARTIAL, FEE, 4_000_000_000);
    request.minCoverage = U256::from(COVERAGE);
    world.fulfil_in_part(request, words).await;
    let mut relayer = world.try_relayer(world.config(), Simulator::new(&[PARTIAL])).await.unwrap();
    relayer.run_until_idle().await.unwrap();
    let request = relayer.requests().await.unwrap().remove(0);
    assert_eq!(request.state, State::Dropped);
    assert!(request.reason.contains("in part"), "{}", request.reason);
    assert_eq!(world.mined().await, 0);
}

#[tokio::test]
async fn the_daily_cap_holds_what_is_proved() {
    let world = World::new().await;
    world.ask("single").await;
    world.ask("single").await;
    // What the first can cost at most, and a bit.
    let mut dry = world.relayer(Config { dry_run: true, ..world.config() }).await;
    let events = dry.run_until_idle().await.unwrap();
    let costs: Vec<U256> =
        events.iter().filter_map(|e| if let RelayEvent::WouldSend { max_cost, .. } = e { Some(*max_cost) } else { None }).collect();
    assert_eq!((costs.len(), states(&dry).await, world.mined().await), (2, vec![State::Proved; 2], 0));
    drop(dry);

    let tight = Config { daily_spend_cap: costs[0] * U256::from(11) / U256::from(10), ..world.config() };
    world.anvil.automine(false).await;
    let mut relayer = world.relayer(tight.clone()).await;
    for _ in 0..4 {
        relayer.step().await.unwrap();
    }
    let requests = relayer.requests().await.unwrap();
    assert_eq!((requests[0].state, requests[1].state), (State::Submitted, State::Proved));
    assert!(requests[1].reason.contains("today's cap"), "{}", requests[1].reason);
    drop(relayer);
    world.anvil.automine(true).await;
    world.anvil.mine(1).await;
    // A restart forgets nothing that was spent.
    let mut relayer = world.relayer(Config { daily_spend_cap: U256::from(1), ..world.config() }).await;
    let events = relayer.run_until_idle().await.unwrap();
    assert!(has(&events, |e| name(e) == "Held"), "{events:?}");
    assert_eq!(states(&relayer).await, [State::Done, State::Proved]);
    drop(relayer);
    let mut relayer = world.relayer(world.config()).await;
    relayer.run_until_idle().await.unwrap();
    assert_eq!(states(&relayer).await, [State::Done; 2]);
}

#[tokio::test]
async fn gas_caps_and_losses() {
    let world = World::new().await;
    world.ask_with("single", 1, 4_000_000_000).await;
    for (config, state, reason) in [
        (Config { max_gas: 100_000, ..world.config() }, State::Skipped, "max_gas"),
        (Config { max_fee_per_gas: U256::from(1), ..world.config() }, State::Proved, "above the limit"),
        (Config { require_profit: true, ..world.config() }, State::Proved, "its fee is 1 wei"),
    ] {
        let mut relayer = world.relayer(config).await;
        relayer.run_until_idle().await.unwrap();
        let request = relayer.requests().await.unwrap().remove(0);
        assert_eq!(request.state, state);
        assert!(request.reason.contains(reason), "{}", request.reason);
        assert_eq!(world.mined().await, 0);
    }
    // Not asked to profit, it warns and serves.
    let mut relayer = world.relayer(world.config()).await;
    relayer.run_until_idle().await.unwrap();
    assert_eq!(states(&relayer).await, [State::Done]);
}

#[tokio::test]
async fn an_empty_purse_holds_until_it_is_filled() {
    let world = World::new().await;
    world.ask("single").await;
    world.anvil.set_balance(us(), U256::from(1)).await;
    let mut relayer = world.relayer(world.config()).await;
    let events = relayer.run_until_idle().await.unwrap();
    assert!(has(&events, |e| matches!(e, RelayEvent::Held { reason, .. } if reason.contains("send it some"))), "{events:?}");
    drop(relayer);
    world.anvil.set_balance(us(), U256::from(10).pow(U256::from(18))).await;
    let mut relayer = world.relayer(world.config()).await;
    relayer.run_until_idle().await.unwrap();
    assert_eq!(states(&relayer).await, [State::Done]);
}

// ------------------------------------------------------------------------------------------------------ provers

#[tokio::test]
async fn a_prover_that_fails_is_asked_again_and_one_that_cannot_is_not() {
    let world = World::new().await;
    world.ask("single").await;
    let source = Simulator::new(&MODELS).failing(ProverError::Task("out of memory".to_owned()));
    let mut relayer = world.try_relayer(world.config(), source.clone()).await.unwrap();
    let events = relayer.run_until_idle().await.unwrap();
    assert!(has(&events, |e| matches!(e, RelayEvent::Retry { reason, .. } if reason.contains("out of memory"))));
    assert_eq!(states(&relayer).await, [State::Seen]);
    tokio::time::sleep(Duration::from_millis(2100)).await;
    relayer.run_until_idle().await.unwrap();
    assert_eq!(states(&relayer).await, [State::Done]);
    assert_eq!(source.calls.load(Ordering::SeqCst), 2);
    drop(relayer);

    world.ask("single").await;
    let source = Simulator::new(&MODELS).failing(ProverError::Input { input: "image".to_owned(), reason: "out of range".to_owned() });
    let mut relayer = world.try_relayer(world.config(), source.clone()).await.unwrap();
    let events = relayer.run_until_idle().await.unwrap();
    assert!(has(&events, |e| matches!(e, RelayEvent::Dead { reason, .. } if reason.contains("out of range"))));
    drop(relayer);
    let mut relayer = world.relayer(world.config()).await;
    assert_eq!(relayer.run_until_idle().await.unwrap(), []);
    assert_eq!(states(&relayer).await, [State::Done, State::Dead]);
}

#[tokio::test]
async fn a_bundle_that_does_not_verify_is_never_sent() {
    let world = World::new().await;
    world.ask("single").await;
    let mut source = Simulator::new(&MODELS);
    source.tamper = true;
    let mut relayer = world.try_relayer(world.config(), source).await.unwrap();
    relayer.run_until_idle().await.unwrap();
    let request = relayer.requests().await.unwrap().remove(0);
    assert_eq!((request.state, request.reason.as_str()), (State::Dead, "InvalidBundle()"));
    assert_eq!(world.mined().await, 0);
}

// ------------------------------------------------------------------------------------------------------ starting, stopping

#[tokio::test]
async fn what_is_wrong_at_the_start_is_said() {
    let world = World::new().await;
    let refuse = async |config: Config| world.try_relayer(config, Simulator::new(&MODELS)).await.map(|_| ()).unwrap_err();

    let error = refuse(Config { chain_id: 31338, ..world.config() }).await;
    assert!(matches!(error, RelayError::Chain(ChainError::WrongChain { expected: 31338, found: 31337, .. })), "{error}");
    let error = refuse(Config { rpc_url: "http://127.0.0.1:1".to_owned(), ..world.config() }).await;
    assert!(matches!(error, RelayError::Chain(ChainError::Unreachable { .. })) && error.is_transient(), "{error}");
    // Nothing, the registry, the verifier.
    for oracle in [Address::repeat_byte(1), world.contracts.registry, world.contracts.verifier] {
        let error = refuse(Config { oracle, ..world.config() }).await;
        assert!(matches!(error, RelayError::Chain(ChainError::NoOracle { .. })), "{error}");
    }
    let error = refuse(Config { database: world.path("no/such/folder/q.sqlite"), ..world.config() }).await;
    assert_eq!(error.code(), "ZKS-RELAY-020", "{error}");
    std::fs::write(world.path("garbage.sqlite"), vec![7; 8192]).unwrap();
    let error = refuse(Config { database: world.path("garbage.sqlite"), ..world.config() }).await;
    assert_eq!(error.code(), "ZKS-RELAY-020", "{error}");
    assert!(error.to_string().contains("garbage.sqlite"), "{error}");

    world.anvil.set_balance(us(), U256::ZERO).await;
    let error = refuse(world.config()).await;
    assert!(matches!(error, RelayError::NoBalance { .. }), "{error}");
    refuse_none(&world, Config { dry_run: true, ..world.config() }).await;
}

async fn refuse_none(world: &World, config: Config) {
    world.try_relayer(config, Simulator::new(&MODELS)).await.unwrap();
}

#[tokio::test]
async fn one_queue_has_one_relayer_one_chain_and_one_key() {
    let world = World::new().await;
    let first = world.relayer(world.config()).await;
    let error = world.try_relayer(world.config(), Simulator::new(&MODELS)).await.map(|_| ()).unwrap_err();
    assert!(matches!(error, RelayError::Locked { .. }), "{error}");
    drop(first);
    let other_key = Relayer::new(world.config(), Simulator::new(&MODELS), signer(3)).await.map(|_| ()).unwrap_err();
    assert!(matches!(other_key, RelayError::StoreForeign { ref what, .. } if what == "signer"), "{other_key}");

    // A fresh local chain behind an old queue: same id, another beginning.
    let mut other = World::new().await;
    while other.chain.block_hash(0).await.unwrap() == world.chain.block_hash(0).await.unwrap() {
        tokio::time::sleep(Duration::from_secs(1)).await;
        other = World::new().await;
    }
    let config = Config { rpc_url: other.anvil.url.clone(), ..world.config() };
    let error = world.try_relayer(config, Simulator::new(&MODELS)).await.map(|_| ()).unwrap_err();
    assert!(matches!(error, RelayError::StoreForeign { .. }), "{error}");
}

#[tokio::test]
async fn cancelling_breaks_proving_off_and_finishes_the_step() {
    let world = World::new().await;
    world.ask("single").await;
    let mut source = Simulator::new(&MODELS);
    source.delay = Duration::from_secs(3600);
    let cancel = CancellationToken::new();
    let on_proving = cancel.clone();
    let relayer = world.try_relayer(world.config(), source).await.unwrap();
    let mut relayer = relayer.with_observer(move |event| {
        if name(event) == "Proving" {
            on_proving.cancel();
        }
        ControlFlow::Continue(())
    });
    tokio::time::timeout(Duration::from_secs(10), relayer.run(cancel)).await.unwrap().unwrap();
    drop(relayer);

    // Cancelled between writing down and sending: it is sent all the same.
    let cancel = CancellationToken::new();
    let on_prepared = cancel.clone();
    let mut relayer = world.relayer(world.config()).await.with_observer(move |event| {
        if name(event) == "Prepared" {
            on_prepared.cancel();
        }
        ControlFlow::Continue(())
    });
    tokio::time::timeout(Duration::from_secs(10), relayer.run(cancel)).await.unwrap().unwrap();
    assert_eq!(world.mined_soon().await, 1);
}

#[tokio::test]
async fn a_node_that_goes_away_is_waited_for() {
    let world = World::new().await;
    let proxy = Proxy::new(world.anvil.port).await;
    let cancel = CancellationToken::new();
    let mut relayer = world.relayer(Config { rpc_url: proxy.url.clone(), ..world.config() }).await;
    let stop = cancel.clone();
    let run = tokio::spawn(async move { relayer.run(stop).await });
    proxy.set(false);
    tokio::time::sleep(Duration::from_millis(300)).await;
    world.ask("single").await;
    proxy.set(true);
    let fulfilled = async {
        while world.fulfilments().await.is_empty() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), fulfilled).await.unwrap();
    cancel.cancel();
    run.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_line_cut_again_and_again_costs_no_request_and_no_second_payment() {
    let world = World::new().await;
    for _ in 0..6 {
        world.ask("single").await;
    }
    let proxy = Proxy::new(world.anvil.port).await;
    let mut relayer = world.relayer(Config { rpc_url: proxy.url.clone(), ..world.config() }).await;
    for round in 0..400_u64 {
        proxy.set(false);
        proxy.set(true);
        let step = tokio::time::timeout(Duration::from_secs(20), relayer.step());
        let cut = async {
            tokio::time::sleep(Duration::from_millis(round % 13)).await;
            proxy.set(false);
            std::future::pending::<()>().await;
        };
        let result = tokio::select! { result = step => result.unwrap(), () = cut => continue };
        match result {
            Ok(_) => {}
            Err(error) => assert!(error.is_transient(), "{error}"),
        }
        proxy.set(true);
    }
    proxy.set(true);
    relayer.run_until_idle().await.unwrap();
    assert_eq!(states(&relayer).await, [State::Done; 6]);
    assert_eq!((world.fulfilments().await.len(), world.mined().await), (6, 6));
}
