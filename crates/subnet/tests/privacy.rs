//! Private inputs: proven where their owner has signed that this validator may see them, and refused by name everywhere else.

use std::sync::Arc;

use alloy::primitives::{Address, B256, Bytes, U256};
use ark_std::rand::{SeedableRng, rngs::StdRng};
use reqwest::StatusCode;
use serde_json::json;
use sqlx::{Connection, Row};
use zkslice_chain::context::{context_of, owner};
use zkslice_prover::{Bound, Inference, Job, JobInput, Opening, Verifier, encode_request};
use zkslice_slicer::{InputMode, Package};
use zkslice_subnet::privacy::{HandOver, Private, Request};
use zkslice_subnet::validator::{Submission, Validator};
use zkslice_subnet::{Clock, Node, Signed};

use crate::gateway::{KEY, api_of};
use crate::network::{connected, until};
use crate::support::*;

const ALICE: u8 = 0x0a;
const MALLORY: u8 = 0x0b;

fn private_package(folder: &std::path::Path) -> Package {
    package_with(&graph("mlp_digits").0, 2, InputMode::Private, &folder.join("private"))
}

async fn start(folder: &std::path::Path, package: Package) -> Arc<Validator> {
    let mut options = options(folder);
    options.own_prefix = 1;
    let (_, epochs) = tokio::sync::watch::channel(zkslice_subnet::validator::Epoch { number: 7, beacon: B256::repeat_byte(7) });
    Validator::start(node(0xaa), vec![package], options, Clock::system(), epochs).await.unwrap()
}

/// Alice's input, committed to for her requests.
struct Secret {
    model: B256,
    inputs: Vec<JobInput>,
    openings: Vec<Opening>,
}

fn secret(package: &Package) -> Secret {
    secret_of(package, ALICE)
}

fn secret_of(package: &Package, by: u8) -> Secret {
    let model = B256::from(Verifier::new(package).unwrap().model());
    let owner = owner(model, node(by).address()).0;
    let mut inference = Inference { owner, ..Inference::of_inputs(package, graph("mlp_digits").1).unwrap() };
    let bound = encode_request(package, &mut inference, &mut StdRng::seed_from_u64(1)).unwrap();
    let inputs = bound.into_iter().map(|bound| match bound {
        Bound::Commitment(commitment) => JobInput::Commitment(commitment),
        Bound::Words(_) => panic!("a private model"),
    });
    Secret { model, inputs: inputs.collect(), openings: inference.openings.tensors.iter().flatten().take(1).cloned().collect() }
}

const PLACE: (u64, Address) = (5, Address::repeat_byte(0x0c));
const REQUEST: Request =
    Request { nonce: U256::from_limbs([3, 0, 0, 0]), hash: B256::repeat_byte(4), beneficiary: Address::repeat_byte(0x0d) };

impl Secret {
    fn signed(&self, by: &Node, hand_over: HandOver) -> Signed<HandOver> {
        by.sign(&NETWORK, hand_over).unwrap()
    }

    fn hand_over(&self, validator: Address) -> HandOver {
        HandOver::new(validator, PLACE, node(ALICE).address(), self.model, &self.inputs)
    }

    fn submission(&self, validator: Address) -> Submission {
        let alice = node(ALICE);
        let context = context_of(U256::from(PLACE.0), PLACE.1, alice.address(), REQUEST.nonce, REQUEST.hash, REQUEST.beneficiary);
        let job = Job { model: self.model.0, context: context.0, owner: owner(self.model, alice.address()).0, inputs: self.inputs.clone() };
        let hand_over = self.signed(&alice, self.hand_over(validator));
        let private = Private { hand_over, request: REQUEST, openings: self.openings.clone() };
        Submission { job, private: Some(private), deadline_ms: None, caller: "test".to_owned(), idempotency: Some("one".to_owned()) }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attack_private_inputs_are_for_whom_and_what_their_owner_has_signed() {
    let folder = tempfile::tempdir().unwrap();
    let package = private_package(folder.path());
    let secret = secret(&package);
    let verifier = Verifier::new(&package).unwrap();
    let validator = start(folder.path(), Package::open(package.folder()).unwrap()).await;
    let right = || secret.submission(validator.address());
    let refused = async |what: &str, change: &dyn Fn(&mut Submission)| {
        let mut submission = right();
        change(&mut submission);
        submission.idempotency = None;
        let error = validator.submit(submission).await.expect_err(what).to_string();
        assert!(error.contains(what), "{what}: {error}");
    };
    let private = |submission: &mut Submission| submission.private.take().unwrap();
    let with = |submission: &mut Submission, hand_over: HandOver, by: u8| {
        let hand_over = secret.signed(&node(by), hand_over);
        submission.private = Some(Private { hand_over, ..private(submission) });
    };
    let own = secret.hand_over(validator.address());
    let stranger = Address::repeat_byte(9);
    refused("it is not signed by the requester", &|s| with(s, own.clone(), MALLORY)).await;
    refused("it is for another validator", &|s| with(s, HandOver { validator: stranger, ..own.clone() }, ALICE)).await;
    refused("it is for another model", &|s| with(s, HandOver { model: B256::ZERO, ..own.clone() }, ALICE)).await;
    refused("it is for other commitments", &|s| with(s, HandOver { commitments: B256::ZERO, ..own.clone() }, ALICE)).await;
    for other in [HandOver { chainId: U256::ONE, ..own.clone() }, HandOver { oracle: stranger, ..own.clone() }] {
        refused("of another chain, oracle or request", &|s| with(s, other.clone(), ALICE)).await;
    }
    // Nor does what is handed over for no contract answer one.
    refused("of another chain", &|s| with(s, HandOver { chainId: U256::ZERO, oracle: Address::ZERO, ..own.clone() }, ALICE)).await;
    for other in
        [Request { nonce: U256::ZERO, ..REQUEST }, Request { hash: B256::ZERO, ..REQUEST }, Request { beneficiary: stranger, ..REQUEST }]
    {
        refused("of another chain, oracle or request", &|s| s.private.as_mut().unwrap().request = other).await;
    }
    refused("of another chain", &|s| s.job.context = [1; 32]).await;
    refused("another owner", &|s| s.job.owner = [1; 32]).await;
    refused("one opening for each", &|s| s.private.as_mut().unwrap().openings.clear()).await;
    refused("one opening for each", &|s| s.private.as_mut().unwrap().openings.extend(secret.openings.clone())).await;
    refused("not that of the commitment", &|s| s.private.as_mut().unwrap().openings[0].values[0] ^= 1).await;
    refused("has no salt", &|s| s.private.as_mut().unwrap().openings[0].salt = None).await;
    refused("no hand-over by that owner", &|s| drop(private(s))).await;
    refused("bring its owner's hand-over", &|s| {
        drop(private(s));
        s.job.owner = [0; 32];
    })
    .await;
    // Mallory knows the opening, and asks in her own name: the commitment is to what is Alice's.
    let mallory = node(MALLORY).address();
    refused("or is another owner's", &|s| {
        with(s, HandOver { requester: mallory, ..own.clone() }, MALLORY);
        s.job.owner = owner(secret.model, mallory).0;
        s.job.context = context_of(U256::from(PLACE.0), PLACE.1, mallory, REQUEST.nonce, REQUEST.hash, REQUEST.beneficiary).0;
    })
    .await;

    // As it was signed. The first slice, which reads the input, no miner sees.
    let miner = miner_of(1, folder.path(), vec![Package::open(package.folder()).unwrap()], honest());
    connected(&validator, &[Arc::clone(&miner)]).await;
    let id = validator.submit(right()).await.unwrap();
    let bundle = validator.bundle_of(id).await.unwrap();
    verifier.verify(&bundle).unwrap();
    assert_eq!((bundle.context, bundle.owner), (right().job.context, right().job.owner));
    let by = validator.view(id, "test").await.unwrap().slices.into_iter().map(|(_, by)| by.map(|(miner, _)| miner));
    assert_eq!(by.collect::<Vec<_>>(), [None, Some(miner.address())]);
    assert_eq!(validator.submit(right()).await.unwrap(), id, "the same one again");
    until("the receipt is here", || miner.accounts().iter().any(|(_, account)| account.valid == 1)).await;
    validator.stop();
    validator.ended().await;

    // What is left of it is what the owner has signed.
    let store = folder.path().join("validator.sqlite");
    let mut store = sqlx::SqliteConnection::connect(&format!("sqlite://{}", store.display())).await.unwrap();
    let row = sqlx::query("SELECT length(inputs) AS inputs, executed IS NULL AS gone, length(hand_over) AS signed FROM jobs WHERE id = ?");
    let row = row.bind(id.to_vec()).fetch_one(&mut store).await.unwrap();
    assert_eq!((row.get::<i64, _>("inputs"), row.get::<bool, _>("gone"), row.get::<i64, _>("signed")), (0, true, 6 * 32 + 65));
}

/// What ends before it is executed leaves no input behind either.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attack_a_private_input_that_is_never_executed_is_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let private = private_package(folder.path());
    let secret = secret(&private);
    let validator = start(folder.path(), Package::open(private.folder()).unwrap()).await;
    let id = validator.submit(secret.submission(validator.address())).await.unwrap();
    validator.stop();
    validator.ended().await;
    drop(validator);
    // As a kill leaves a job that was received: the model is gone then, or the input cannot be computed.
    for (served, state) in [(package(1), "cancelled"), (Package::open(private.folder()).unwrap(), "refused")] {
        let store = format!("sqlite://{}", folder.path().join("validator.sqlite").display());
        let mut store = sqlx::SqliteConnection::connect(&store).await.unwrap();
        let killed = "UPDATE jobs SET state = 'received', inputs = randomblob(31), executed = NULL, bundle = NULL";
        for sql in ["DELETE FROM slices", killed] {
            sqlx::query(sql).execute(&mut store).await.unwrap();
        }
        let validator = start(folder.path(), served).await;
        let found = async || validator.view(id, "test").await.unwrap().state.as_str() == state;
        for _ in 0..500 {
            if found().await {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        let row = sqlx::query("SELECT state, length(inputs) AS inputs FROM jobs").fetch_one(&mut store).await.unwrap();
        assert_eq!((row.get::<&str, _>("state"), row.get::<i64, _>("inputs")), (state, 0));
        validator.stop();
        validator.ended().await;
    }
}

/// A job of a requester's that no contract reads, by a caller's name.
fn named(validator: &Validator, package: &Package, by: u8, Secret { model, inputs, openings }: Secret) -> Submission {
    let requester = node(by).address();
    let hand_over = HandOver::new(validator.address(), Default::default(), requester, model, &inputs);
    let private = Private { hand_over: node(by).sign(&NETWORK, hand_over).unwrap(), request: Request::default(), openings };
    let job = Job { owner: owner(model, requester).0, inputs, ..job(package, 0) };
    let idempotency = Some("one".to_owned());
    Submission { job, private: Some(private), deadline_ms: None, caller: "test".to_owned(), idempotency }
}

/// One caller's name for a job is for one owner's: another's request of the same values and salts is not answered with its bundle.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attack_one_name_for_two_owners() {
    let folder = tempfile::tempdir().unwrap();
    let package = private_package(folder.path());
    let validator = start(folder.path(), Package::open(package.folder()).unwrap()).await;
    let submission = |by: u8| named(&validator, &package, by, secret_of(&package, by));
    assert_eq!(secret_of(&package, ALICE).openings, secret_of(&package, MALLORY).openings);
    let id = validator.submit(submission(ALICE)).await.unwrap();
    assert_eq!(validator.submit(submission(ALICE)).await.unwrap(), id);
    let error = validator.submit(submission(MALLORY)).await.expect_err("of another owner");
    assert!(matches!(error, zkslice_subnet::JobError::Name(_)), "{error}");
    validator.stop();
    validator.ended().await;
}

/// No bundle of a public model names an owner: miners would prove one in vain.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attack_a_hand_over_of_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let package = package(1);
    let validator = start(folder.path(), Package::open(package.folder()).unwrap()).await;
    let Job { model, inputs, .. } = job(&package, 0);
    let submission = named(&validator, &package, ALICE, Secret { model: B256::from(model), inputs, openings: Vec::new() });
    let error = validator.submit(submission).await.expect_err("it hands nothing over").to_string();
    assert!(error.contains("the job has no private input"), "{error}");
    validator.stop();
    validator.ended().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn private_inputs_come_by_the_api() {
    let folder = tempfile::tempdir().unwrap();
    let package = private_package(folder.path());
    let secret = secret(&package);
    let api = api_of(start(folder.path(), Package::open(package.folder()).unwrap()).await, |_| ()).await;
    let miner = miner_of(1, folder.path(), vec![Package::open(package.folder()).unwrap()], honest());
    connected(&api.validator, &[miner]).await;
    let alice = node(ALICE);
    let JobInput::Commitment(commitment) = secret.inputs[0] else { panic!("it is private") };
    let opening = json!(secret.openings[0]);
    let body = |place: (u64, Address), request: serde_json::Value, context: B256| {
        let hand_over = HandOver::new(api.validator.address(), place, alice.address(), secret.model, &secret.inputs);
        let signature = Bytes::from(secret.signed(&alice, hand_over).signature());
        let private = json!({ "requester": alice.address(), "signature": signature, "openings": [opening], "request": request });
        json!({ "model": secret.model, "context": context, "inputs": [[B256::from(commitment)]], "private": private })
    };
    let context = context_of(U256::from(PLACE.0), PLACE.1, alice.address(), REQUEST.nonce, REQUEST.hash, REQUEST.beneficiary);
    let request = json!({
        "chain_id": PLACE.0, "oracle": PLACE.1, "nonce": REQUEST.nonce, "hash": REQUEST.hash, "beneficiary": REQUEST.beneficiary,
    });
    for body in [body(Default::default(), json!(null), B256::ZERO), body(PLACE, request.clone(), context)] {
        let (status, job) = api.post(&body, KEY, None).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{job}");
        let bundle = api.client.get(format!("{}/v1/jobs/{}/bundle", api.url, job["id"].as_str().unwrap())).bearer_auth(KEY);
        let bundle = bundle.send().await.unwrap().error_for_status().unwrap().bytes().await.unwrap();
        let bundle = zkslice_prover::Bundle::from_json(&bundle).unwrap();
        Verifier::new(&package).unwrap().verify(&bundle).unwrap();
    }
    let mut forged = body(PLACE, request, context);
    forged["private"]["requester"] = json!(node(MALLORY).address());
    for (body, words) in [
        (forged, "not signed by the requester"),
        (body(PLACE, json!(null), B256::ZERO), "not signed by the requester"),
        (json!({ "model": secret.model, "inputs": [[B256::from(commitment)]] }), "bring its owner's hand-over"),
    ] {
        let (status, problem) = api.post(&body, KEY, None).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{problem}");
        assert!(problem["detail"].as_str().unwrap().contains(words), "{problem}");
    }
    api.stop().await;
}
