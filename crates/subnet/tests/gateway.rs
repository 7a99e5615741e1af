//! The HTTP API: who may ask for what, what is the same job, and what each wrong request is told.

use std::sync::Arc;
use std::time::Duration;

use alloy::primitives::B256;
use ark_std::rand::{RngCore, SeedableRng, rngs::StdRng};
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use zkslice_prover::{BundleSource, Job, JobInput, ProverError, Verifier};
use zkslice_subnet::client::NetworkProver;
use zkslice_subnet::gateway::{Connections, Settings, listen, serve};
use zkslice_subnet::validator::{self, Validator};

use crate::support::*;

pub(crate) const KEY: &str = "the key of the first caller";
const OTHER_KEY: &str = "the key of the second caller";

pub(crate) struct Api {
    pub(crate) url: String,
    pub(crate) client: Client,
    pub(crate) validator: Arc<Validator>,
}

pub(crate) async fn api(options: validator::Options, slices: usize, change: impl FnOnce(&mut Settings)) -> Api {
    api_of(validator(options, slices).await, change).await
}

pub(crate) async fn api_of(validator: Arc<Validator>, change: impl FnOnce(&mut Settings)) -> Api {
    let keys = [("first", KEY), ("second", OTHER_KEY)].map(|(name, key)| (name.to_owned(), key.to_owned()));
    let mut settings = Settings::new(keys, Arc::new(Semaphore::new(1 << 20)));
    settings.requests_per_second = settings.requests_per_second.saturating_add(100_000);
    settings.jobs_per_second = settings.jobs_per_second.saturating_add(100_000);
    change(&mut settings);
    let router = serve(Arc::clone(&validator), settings);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let most = Connections { of_an_address: 10_000, ..Connections::default() };
    tokio::spawn(listen(listener, router, most, CancellationToken::new()));
    let _ = rustls::crypto::ring::default_provider().install_default();
    Api { url, client: Client::new(), validator }
}

pub(crate) fn body(job: &Job) -> Value {
    let inputs: Vec<Vec<B256>> = job.inputs.iter().map(words).collect();
    json!({ "model": B256::from(job.model), "context": B256::from(job.context), "inputs": inputs })
}

pub(crate) fn words(input: &JobInput) -> Vec<B256> {
    match input {
        JobInput::Words(words) => words.iter().map(B256::from).collect(),
        JobInput::Commitment(_) => panic!("public models only"),
    }
}

impl Api {
    pub(crate) async fn get(&self, path: &str, key: &str) -> (StatusCode, Value) {
        let answer = self.client.get(format!("{}{path}", self.url)).bearer_auth(key).send().await.unwrap();
        let status = answer.status();
        let is_problem = answer.headers()["content-type"] == "application/problem+json";
        assert_eq!(is_problem, !status.is_success(), "{path}: {status}");
        (status, answer.json().await.unwrap_or_default())
    }

    pub(crate) async fn post(&self, body: &Value, key: &str, name: Option<&str>) -> (StatusCode, Value) {
        let mut request = self.client.post(format!("{}/v1/jobs", self.url)).bearer_auth(key).json(body);
        if let Some(name) = name {
            request = request.header("idempotency-key", name);
        }
        let answer = request.send().await.unwrap();
        (answer.status(), answer.json().await.unwrap())
    }

    pub(crate) async fn stop(self) {
        self.validator.stop();
        self.validator.ended().await;
    }
}

/// One name is one job, however often it is asked for, and at once; a name of another job is told so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_name_is_one_job() {
    let folder = tempfile::tempdir().unwrap();
    let api = api(options(folder.path()), 1, |_| ()).await;
    let package = package(1);
    // Without a context each would be a job of its own.
    let unbound = body(&Job { context: [0; 32], ..job(&package, 1) });
    let answers = futures_util::future::join_all((0..100).map(|_| api.post(&unbound, KEY, Some("one")))).await;
    if let Some((status, problem)) = answers.iter().find(|(status, _)| *status != StatusCode::ACCEPTED) {
        panic!("{status}: {problem}");
    }
    let ids: std::collections::BTreeSet<String> = answers.iter().map(|(_, job)| job["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(ids.len(), 1);
    let (status, problem) = api.post(&body(&job(&package, 2)), KEY, Some("one")).await;
    assert_eq!((status, problem["detail"].as_str().unwrap().contains("idempotency key 'one'")), (StatusCode::CONFLICT, true));
    // Another caller's name is another's.
    let (status, other) = api.post(&unbound, OTHER_KEY, Some("one")).await;
    assert_eq!(status, StatusCode::ACCEPTED);
    assert!(!ids.contains(other["id"].as_str().unwrap()));
    let (_, unnamed) = api.post(&unbound, KEY, None).await;
    assert!(!ids.contains(unnamed["id"].as_str().unwrap()));
    api.stop().await;
}

/// Each wrong request is told what is wrong, in one form.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let api = api(options(folder.path()), 1, |_| ()).await;
    let package = package(1);
    let good = body(&job(&package, 1));
    let with = |key: &str, value: Value| {
        let mut changed = good.clone();
        changed[key] = value;
        changed
    };
    let r = "0x30644e72e131a029b85045b68181585d2833e84879b9709143e1f593f0000001";
    for (body, status, named) in [
        (with("model", json!(B256::repeat_byte(5))), StatusCode::NOT_FOUND, "no package"),
        (with("model", json!("0x12")), StatusCode::UNPROCESSABLE_ENTITY, "model"),
        (with("inputs", json!([])), StatusCode::UNPROCESSABLE_ENTITY, "1 inputs"),
        (with("inputs", json!([[B256::repeat_byte(0xff)]])), StatusCode::UNPROCESSABLE_ENTITY, "number of words"),
        (with("inputs", json!([vec![r; words(&job(&package, 1).inputs[0]).len()]])), StatusCode::UNPROCESSABLE_ENTITY, "field element"),
        (with("deadline_ms", json!(1)), StatusCode::UNPROCESSABLE_ENTITY, "too soon"),
        (with("deadline", json!(1)), StatusCode::UNPROCESSABLE_ENTITY, "unknown field `deadline`"),
    ] {
        let (found, problem) = api.post(&body, KEY, None).await;
        assert_eq!(found, status, "{problem}");
        assert_eq!(problem["status"], status.as_u16());
        assert!(problem["detail"].as_str().unwrap().contains(named), "{named}: {problem}");
    }
    let (status, problem) = api.post(&good, "a key of nobody", None).await;
    assert_eq!((status, problem["status"].as_u64()), (StatusCode::UNAUTHORIZED, Some(401)));
    let (status, accepted) = api.post(&good, KEY, None).await;
    assert_eq!(status, StatusCode::ACCEPTED);
    let id = accepted["id"].as_str().unwrap();
    // Nobody sees another's job.
    for path in ["", "/bundle", "/events"] {
        assert_eq!(api.get(&format!("/v1/jobs/{id}{path}"), OTHER_KEY).await.0, StatusCode::NOT_FOUND);
        assert_eq!(api.get(&format!("/v1/jobs/{id}{path}"), "nobody").await.0, StatusCode::UNAUTHORIZED);
    }
    for (path, status) in [
        ("/v1/jobs/0x12", StatusCode::BAD_REQUEST),
        ("/v1/jobs/0x0000000000000000000000000000000000000000000000000000000000000012", StatusCode::NOT_FOUND),
        ("/v1/miners/0x12", StatusCode::BAD_REQUEST),
        ("/v1/miners/0x0000000000000000000000000000000000000012", StatusCode::NOT_FOUND),
        ("/v1/receipts/x", StatusCode::BAD_REQUEST),
        ("/v1/receipts/0x0000000000000000000000000000000000000000000000000000000000000012", StatusCode::NOT_FOUND),
        ("/v1/epochs/7", StatusCode::NOT_FOUND),
        ("/v1/epochs/x", StatusCode::BAD_REQUEST),
        ("/v1/epochs/7/draws", StatusCode::NOT_FOUND),
        ("/v1/epochs/7/draws?after=x", StatusCode::BAD_REQUEST),
        ("/v2", StatusCode::NOT_FOUND),
        ("/v1/about", StatusCode::OK),
        ("/v1/models", StatusCode::OK),
        ("/v1/openapi.json", StatusCode::OK),
    ] {
        assert_eq!(api.get(path, KEY).await.0, status, "{path}");
    }
    // Given up, it is gone, and says so.
    let gone = api.client.delete(format!("{}/v1/jobs/{id}", api.url)).bearer_auth(KEY).send().await.unwrap();
    assert_eq!(gone.json::<Value>().await.unwrap()["state"], "cancelled");
    let (status, problem) = api.get(&format!("/v1/jobs/{id}/bundle"), KEY).await;
    assert_eq!((status, problem["detail"].as_str().unwrap().contains("cancelled")), (StatusCode::GONE, true));
    // A body beyond the limit.
    let large = api.client.post(format!("{}/v1/jobs", api.url)).bearer_auth(KEY).header("content-type", "application/json");
    assert_eq!(large.body(vec![b' '; 9 << 20]).send().await.unwrap().status(), StatusCode::PAYLOAD_TOO_LARGE);
    api.stop().await;
}

/// Callers and addresses may send so much.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn floods_are_told_to_wait() {
    let folder = tempfile::tempdir().unwrap();
    let api = api(options(folder.path()), 1, |settings| settings.jobs_per_second = std::num::NonZeroU32::new(3).unwrap()).await;
    let package = package(1);
    let answers = futures_util::future::join_all((0..20).map(|k| {
        let (api, body) = (&api, body(&job(&package, k)));
        async move { api.post(&body, KEY, None).await.0 }
    }))
    .await;
    let refused = answers.iter().filter(|status| **status == StatusCode::TOO_MANY_REQUESTS).count();
    assert!((14..=17).contains(&refused), "{refused}");
    assert_eq!(api.post(&body(&job(&package, 30)), OTHER_KEY, None).await.0, StatusCode::ACCEPTED, "others are not held up");
    api.stop().await;
    let folder = tempfile::tempdir().unwrap();
    let api = self::api(options(folder.path()), 1, |settings| settings.requests_per_second = std::num::NonZeroU32::new(5).unwrap()).await;
    let answers = futures_util::future::join_all((0..20).map(|_| api.client.get(format!("{}/v1/models", api.url)).send())).await;
    let refused: Vec<_> =
        answers.into_iter().map(Result::unwrap).filter(|answer| answer.status() == StatusCode::TOO_MANY_REQUESTS).collect();
    assert!((14..=15).contains(&refused.len()), "{}", refused.len());
    assert_eq!(refused[0].headers()["retry-after"], "1");
    api.stop().await;
}

/// Whoever's connection breaks, at whatever byte, goes on where it broke: nothing is lost, nothing comes twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_go_on_after_a_cut() {
    const CUTS: usize = 200;
    let folder = tempfile::tempdir().unwrap();
    let api = api(options(folder.path()), 2, |_| ()).await;
    let package = package(2);
    let mut random = StdRng::seed_from_u64(5);
    let (mut cuts, mut context) = (0, 0);
    while cuts < CUTS {
        context += 1;
        let (_, accepted) = api.post(&body(&job(&package, context)), KEY, None).await;
        let path = format!("{}/v1/jobs/{}/events", api.url, accepted["id"].as_str().unwrap());
        let miners = (context == 1).then(|| {
            let (validator, folder) = (Arc::clone(&api.validator), folder.path().to_owned());
            tokio::spawn(async move {
                // The watcher is there before anything happens.
                tokio::time::sleep(Duration::from_millis(200)).await;
                for k in 1..=2 {
                    connect(&miner_with(k, &folder, 2, Slow(Duration::from_millis(20), honest())), &validator).await;
                }
            })
        });
        let mut seen: Vec<(u64, String)> = Vec::new();
        loop {
            let last = seen.last().map_or(0, |(id, _)| *id);
            let mut answer = api.client.get(&path).bearer_auth(KEY).header("last-event-id", last).send().await.unwrap();
            assert_eq!(answer.status(), StatusCode::OK);
            let most = 1 + random.next_u32() as usize % 240;
            let mut text = Vec::new();
            let mut is_over = false;
            while text.len() < most && !is_over {
                match answer.chunk().await.unwrap() {
                    Some(chunk) => text.extend_from_slice(&chunk),
                    None => is_over = true,
                }
            }
            // What came until it broke: of the last event a part only.
            is_over &= text.len() <= most;
            text.truncate(most);
            let text = String::from_utf8(text).unwrap();
            let whole = text.rfind("\n\n").map_or("", |end| &text[..end]);
            for event in whole.split("\n\n").filter(|event| !event.is_empty()) {
                let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name)).map(|value| value.trim().to_owned());
                if let (Some(id), Some(event)) = (field("id:"), field("event:")) {
                    seen.push((id.parse().unwrap(), event));
                }
            }
            if is_over {
                break;
            }
            cuts += 1;
        }
        if let Some(miners) = miners {
            miners.await.unwrap();
        }
        let count = |kind: &str| seen.iter().filter(|(_, event)| event == kind).count();
        assert_eq!(["executed", "dispatching", "proven", "complete"].map(count), [1, 1, 2, 1], "{seen:?}");
        // At once, from the beginning, the same.
        let all = api.client.get(&path).bearer_auth(KEY).send().await.unwrap().text().await.unwrap();
        let ids: Vec<u64> = all.lines().filter_map(|line| line.strip_prefix("id:")).map(|id| id.trim().parse().unwrap()).collect();
        let of_seen: Vec<u64> = seen.iter().map(|(id, _)| *id).collect();
        assert_eq!(ids, of_seen);
    }
    api.stop().await;
}

/// Until it is settled the same request is the same job, whoever lost the bundle; then it is a new one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bundle_is_given_out_until_it_is_settled() {
    let folder = tempfile::tempdir().unwrap();
    let mut alone = options(folder.path());
    (alone.proves_itself, alone.settings.starved_ms) = (true, 20);
    let api = api(alone, 1, |_| ()).await;
    let asked = body(&job(&package(1), 1));
    let (_, accepted) = api.post(&asked, KEY, None).await;
    let id = accepted["id"].as_str().unwrap().to_owned();
    let path = format!("/v1/jobs/{id}");
    let (status, bundle) = api.get(&format!("{path}/bundle"), KEY).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(api.get(&format!("{path}/bundle"), KEY).await, (StatusCode::OK, bundle));
    assert_eq!(api.get(&path, KEY).await.1["state"], "delivered");
    assert_eq!(api.post(&asked, KEY, None).await.1["id"], id.as_str());
    let delete = async |key: &str| {
        let answer = api.client.delete(format!("{}{path}", api.url)).bearer_auth(key).send().await.unwrap();
        (answer.status(), answer.json::<Value>().await.unwrap())
    };
    assert_eq!(delete(OTHER_KEY).await.0, StatusCode::NOT_FOUND);
    // However often, and at once.
    for (status, job) in futures_util::future::join_all((0..8).map(|_| delete(KEY))).await {
        assert_eq!((status, &job["state"]), (StatusCode::OK, &json!("settled")));
    }
    let (status, again) = api.post(&asked, KEY, None).await;
    assert_eq!(status, StatusCode::ACCEPTED);
    assert_ne!(again["id"], id.as_str());
    // Of one that nobody has fetched, too.
    let id = again["id"].as_str().unwrap().to_owned();
    while api.get(&format!("/v1/jobs/{id}"), KEY).await.1["state"] != "complete" {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let answer = api.client.delete(format!("{}/v1/jobs/{id}", api.url)).bearer_auth(KEY).send().await.unwrap();
    assert_eq!(answer.json::<Value>().await.unwrap()["state"], "settled");
    api.stop().await;
}

/// A relayer elsewhere gets its bundles from here; what it cannot get, it is told as by a prover of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relayer_elsewhere_is_served() {
    let folder = tempfile::tempdir().unwrap();
    let mut alone = options(folder.path());
    (alone.proves_itself, alone.settings.starved_ms) = (true, 20);
    let api = api(alone, 2, |_| ()).await;
    let package = package(2);
    let source = NetworkProver::connect(&api.url, KEY.to_owned().into()).await.unwrap();
    let verifier = Verifier::new(&package).unwrap();
    assert_eq!(source.models(), [verifier.model()]);
    let bundle = source.bundle(job(&package, 3)).await.unwrap();
    verifier.verify(&bundle).unwrap();
    assert_eq!(source.bundle(job(&package, 3)).await.unwrap(), bundle);
    let unknown = source.bundle(Job { model: [9; 32], ..job(&package, 1) }).await.unwrap_err();
    assert!(matches!(unknown, ProverError::Model { .. }), "{unknown}");
    let odd = source.bundle(Job { inputs: Vec::new(), ..job(&package, 1) }).await.unwrap_err();
    assert!(odd.is_permanent(), "{odd}");
    let private = source.bundle(Job { inputs: vec![JobInput::Commitment([1; 32])], ..job(&package, 1) }).await.unwrap_err();
    assert!(matches!(private, ProverError::Opening { .. }), "{private}");
    let stranger = NetworkProver::connect(&api.url, "another key".to_owned().into()).await.unwrap();
    let refused = stranger.bundle(job(&package, 4)).await.unwrap_err();
    assert!(refused.to_string().contains("the key that the operator gave you"), "{refused}");
    let away = NetworkProver::connect("http://127.0.0.1:9", KEY.to_owned().into()).await.unwrap_err();
    assert!(away.to_string().contains("does not answer"), "{away}");
    api.stop().await;
}

/// Nobody waits any more: the job is given up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relayer_that_goes_cancels() {
    let folder = tempfile::tempdir().unwrap();
    let api = api(options(folder.path()), 1, |_| ()).await;
    let package = package(1);
    let source = NetworkProver::connect(&api.url, KEY.to_owned().into()).await.unwrap();
    let waiting = tokio::time::timeout(Duration::from_millis(300), source.bundle(job(&package, 1))).await;
    assert!(waiting.is_err());
    // That it is given up is said by a request of its own.
    crate::metrics::shows(&api.validator, |text| text.contains("zkslice_validator_jobs_total{state=\"cancelled\"} 1\n")).await;
    let (_, accepted) = api.post(&body(&job(&package, 1)), KEY, Some("again")).await;
    // What was given up is not taken up again: this is another job.
    assert!(["executed", "dispatching"].contains(&accepted["state"].as_str().unwrap()), "{accepted}");
    api.stop().await;
}
