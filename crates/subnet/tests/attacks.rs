//! Miners, callers and networks that mean no good, against whole validators; and validators that do, against miners.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use alloy::primitives::{Address, B256, keccak256};
use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore, SeedableRng};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Row};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Semaphore;
use zkslice_prover::{Bound, Bundle, BundleSource, Inference, JobInput, ProverError, Verifier, Word, execute, unpack};
use zkslice_slicer::Package;
use zkslice_subnet::client::NetworkProver;
use zkslice_subnet::gateway::{self, Settings};
use zkslice_subnet::messages::{Acceptance, Assignment, HandIn, Receipt, Role, Verdict};
use zkslice_subnet::miner::Prover;
use zkslice_subnet::receipts::contradict;
use zkslice_subnet::score::Parameters;
use zkslice_subnet::transport::{Identity, Link, memory};
use zkslice_subnet::validator::{Submission, Validator};
use zkslice_subnet::wire::{Body, Cancel, Capacity, Decline, Kind, Reason, Work, frame};
use zkslice_subnet::{JobError, Node, Signed};

use crate::support::*;

const TRUE: Duration = Duration::from_secs(12);

fn submission(package: &Package, context: u8, caller: &str) -> Submission {
    Submission { job: job(package, context), private: None, deadline_ms: None, caller: caller.to_owned(), idempotency: None }
}

/// A miner that does exactly what a test says.
struct Raw {
    node: Node,
    link: Link,
    package: Package,
    receipts: Vec<Receipt>,
}

/// What it was offered.
#[derive(Clone)]
struct Offered {
    hash: B256,
    assignment: Assignment,
    work: Work,
}

impl Raw {
    async fn connect(number: u8, validator: &Arc<Validator>, slices: usize, keys: &[u8]) -> Self {
        let node = node(number);
        let identity = Identity { node: node.clone(), role: Role::Miner, network: NETWORK, parameters: validator.identity().parameters };
        let (link, of_validator) = memory::connect(&identity, &validator.identity(), 64 << 20).await.unwrap();
        validator.connect(of_validator);
        let raw = Self { node, link, package: package(slices), receipts: Vec::new() };
        raw.say_capacity(keys);
        raw
    }

    fn say_capacity(&self, keys: &[u8]) {
        let model = B256::from(Verifier::new(&self.package).unwrap().model());
        let capacity = Capacity { slots: 4, memory_mib: 64, keys: vec![(model, keys.to_vec())], queue_ms: 0, receipts: 0 };
        self.link.outbox.send(capacity.to_frame().unwrap());
    }

    /// What it is offered next; receipts are kept on the way.
    async fn offered(&mut self) -> Option<Offered> {
        let mut of = HashMap::new();
        loop {
            let next = tokio::time::timeout(TRUE, self.link.inbox.recv()).await.ok()??;
            match next.kind {
                Kind::Assignment => {
                    let signed = Signed::<Assignment>::from_bytes(&next.body, &NETWORK, None).unwrap();
                    of.insert(NETWORK.hash(signed.message()), signed.message().clone());
                }
                Kind::Work => {
                    let work = Work::from_body(&next.body).unwrap();
                    let assignment = of.remove(&work.assignment).unwrap();
                    return Some(Offered { hash: work.assignment, assignment, work });
                }
                _ => self.note(&next.body, next.kind),
            }
        }
    }

    fn note(&mut self, body: &[u8], kind: Kind) {
        if kind == Kind::Receipt {
            self.receipts.push(Signed::<Receipt>::from_bytes(body, &NETWORK, None).unwrap().message().clone());
        }
    }

    /// The next receipt.
    async fn receipt(&mut self) -> Receipt {
        loop {
            let next = tokio::time::timeout(TRUE, self.link.inbox.recv()).await.unwrap().unwrap();
            self.note(&next.body, next.kind);
            if next.kind == Kind::Receipt {
                return self.receipts.last().unwrap().clone();
            }
        }
    }

    fn accept(&self, offered: &Offered) {
        let signed = self.node.sign(&NETWORK, Acceptance { assignment: offered.hash }).unwrap();
        self.link.outbox.send(frame(Kind::Accept, &signed.to_bytes()).unwrap());
    }

    fn decline(&self, offered: &Offered, reason: Reason) {
        self.link.outbox.send((Decline { assignment: offered.hash, reason, retry_ms: 0 }).to_frame().unwrap());
    }

    async fn prove(&self, offered: &Offered) -> Vec<u8> {
        let (package, own, offered) = (Package::open(self.package.folder()).unwrap(), self.node.address(), offered.clone());
        let proven = tokio::task::spawn_blocking(move || {
            let Offered { hash, assignment, work } = offered;
            let inference = work.check(&package, assignment.model, &assignment, hash, own).unwrap();
            honest().prove(&package, inference, assignment.slice).unwrap().concat()
        });
        proven.await.unwrap()
    }

    fn hand_in(&self, hash: B256, proof: &[u8]) {
        let signed = self.node.sign(&NETWORK, HandIn { assignment: hash, proofHash: keccak256(proof) }).unwrap();
        let mut body = signed.to_bytes();
        body.extend_from_slice(proof);
        self.link.outbox.send(frame(Kind::HandIn, &body).unwrap());
    }
}

/// The store's file, beside the validator.
async fn database(folder: &Path) -> SqliteConnection {
    SqliteConnectOptions::new().filename(folder.join("validator.sqlite")).connect().await.unwrap()
}

async fn run_sql(folder: &Path, statements: &[&str]) {
    let mut database = database(folder).await;
    for sql in statements {
        sqlx::query(AssertSqlSafe((*sql).to_owned())).execute(&mut database).await.unwrap();
    }
}

async fn count(folder: &Path, sql: &str) -> i64 {
    let mut database = database(folder).await;
    sqlx::query(AssertSqlSafe(sql.to_owned())).fetch_one(&mut database).await.unwrap().get(0)
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let began = std::time::Instant::now();
    while began.elapsed() < TRUE {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never: {what}");
}

async fn end(validator: Arc<Validator>) {
    validator.stop();
    validator.ended().await;
}

// ------------------------------------------------------------------------------------------------ a remote end that stops a validator

/// The same late proof twice in a row, over one connection: it is late once, and the validator goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attack_a_late_proof_twice() {
    let folder = tempfile::tempdir().unwrap();
    let hasty = || {
        let mut options = options(folder.path());
        options.parameters.most_ms = [400, 0];
        options.parameters.fast_ms = [100, 0];
        options
    };
    let first = validator(hasty(), 1).await;
    let mut miner = Raw::connect(1, &first, 1, &[1]).await;
    first.submit(submission(&package(1), 1, "a")).await.unwrap();
    let offered = miner.offered().await.unwrap();
    miner.accept(&offered);
    until("it is accepted", async || count(folder.path(), "SELECT count(*) FROM assignments WHERE state = 'accepted'").await == 1).await;
    end(first).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    // While it was away the deadline has passed.
    let second = validator(hasty(), 1).await;
    let mut miner = Raw::connect(1, &second, 1, &[0]).await;
    for _ in 0..20 {
        miner.hand_in(offered.hash, &[7; 320]);
    }
    for _ in 0..20 {
        let receipt = miner.receipt().await;
        assert_eq!((receipt.verdict, receipt.assignment, receipt.seq), (Verdict::Late as u8, offered.hash, 1));
    }
    assert!(second.is_ready().await);
    end(second).await;
}

/// One job a hundred times at once is one job, by name or by content.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attack_one_job_many_times_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let validator = validator(options(folder.path()), 1).await;
    let package = package(1);
    for name in [Some("one".to_owned()), None] {
        let context = if name.is_some() { 1 } else { 2 };
        let all = (0..100).map(|_| {
            let submission = Submission { idempotency: name.clone(), ..submission(&package, context, "a") };
            let validator = Arc::clone(&validator);
            tokio::spawn(async move { validator.submit(submission).await.unwrap() })
        });
        let all: Vec<_> = all.collect();
        let mut ids = Vec::new();
        for one in all {
            ids.push(one.await.unwrap());
        }
        ids.dedup();
        assert_eq!(ids.len(), 1);
    }
    assert!(validator.is_ready().await);
    assert_eq!(count(folder.path(), "SELECT count(*) FROM jobs").await, 2);
    end(validator).await;
}

/// A crash between a hand-in and its verdict, of a job that was over: the validator comes back, and says what became of the proof.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_before_the_verdict_of_what_is_over() {
    let crashes: [(&str, &[&str], &str); 2] = [
        (
            "cancelled",
            &[
                "UPDATE assignments SET state = 'handed in'",
                "UPDATE slices SET state = 'checking', proof = NULL",
                "UPDATE jobs SET state = 'cancelled', executed = NULL",
                "DELETE FROM receipts",
            ],
            "valid",
        ),
        (
            "another was first",
            &[
                "INSERT INTO assignments SELECT x'00000000000000000000000000000000000000000000000000000000000000aa', job, slice, units, epoch,
                 miner, message, context, candidates, round, 'handed in', reason, acceptance, hand_in, ms, deadline FROM assignments",
                "DELETE FROM receipts",
            ],
            "superseded",
        ),
    ];
    for (what, statements, ends) in crashes {
        let folder = tempfile::tempdir().unwrap();
        let first = validator(options(folder.path()), 1).await;
        let mut miner = Raw::connect(1, &first, 1, &[1]).await;
        let id = first.submit(submission(&package(1), 1, "a")).await.unwrap();
        let offered = miner.offered().await.unwrap();
        let proof = miner.prove(&offered).await;
        miner.hand_in(offered.hash, &proof);
        first.bundle_of(id).await.unwrap();
        end(first).await;
        run_sql(folder.path(), statements).await;
        let second = validator(options(folder.path()), 1).await;
        let sql = format!("SELECT count(*) FROM assignments WHERE state = '{ends}'");
        until(what, async || count(folder.path(), &sql).await == 1).await;
        assert!(second.is_ready().await, "{what}");
        assert_eq!(count(folder.path(), "SELECT count(*) FROM receipts").await, 1);
        end(second).await;
    }
}

// ------------------------------------------------------------------------------------------------ callers

/// Whoever hangs up while a job is executed keeps nobody from it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attack_a_caller_that_hangs_up() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = options(folder.path());
    (options.proves_itself, options.settings.starved_ms) = (true, 1);
    let validator = validator(options, 1).await;
    let package = package(1);
    for context in 1..=3u8 {
        // At other places each time.
        let submitting = validator.submit(submission(&package, context, "a"));
        let _ = tokio::time::timeout(Duration::from_micros(300 * u64::from(context)), submitting).await;
        let id = validator.submit(submission(&package, context, "a")).await.unwrap();
        let bundle = tokio::time::timeout(TRUE, validator.bundle_of(id)).await.unwrap().unwrap();
        assert_eq!(bundle.context[31], context);
    }
    end(validator).await;
}

/// Two callers with one job have a job each: none sees or cancels another's. What is given up is asked for anew, however often.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attack_another_callers_job() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = options(folder.path());
    options.most_jobs = 3;
    let validator = validator(options, 1).await;
    let package = package(1);
    let mut ids = std::collections::BTreeSet::new();
    let of_other = validator.submit(submission(&package, 1, "other")).await.unwrap();
    for _ in 0..40 {
        let id = validator.submit(submission(&package, 1, "a")).await.unwrap();
        assert_eq!(validator.submit(submission(&package, 1, "a")).await.unwrap(), id);
        assert!(matches!(validator.view(id, "other").await, Err(JobError::Unknown(_))));
        assert!(ids.insert(id) && id != of_other);
        validator.cancel(id);
    }
    assert!(validator.view(of_other, "other").await.unwrap().state.is_open());
    // A caller has so many jobs open, and others may still have theirs.
    for context in 2..=4 {
        validator.submit(submission(&package, context, "a")).await.unwrap();
    }
    assert!(matches!(validator.submit(submission(&package, 5, "a")).await, Err(JobError::Many(3))));
    validator.submit(submission(&package, 5, "other")).await.unwrap();
    end(validator).await;
}

async fn http(validator: &Arc<Validator>, settings: Settings) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let most = gateway::Connections { of_an_address: 10_000, ..gateway::Connections::default() };
    tokio::spawn(gateway::listen(
        listener,
        gateway::serve(Arc::clone(validator), settings),
        most,
        tokio_util::sync::CancellationToken::new(),
    ));
    at
}

async fn ask(at: SocketAddr, request: String) -> (tokio::net::TcpStream, String) {
    let mut stream = tokio::net::TcpStream::connect(at).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = vec![0; 4_096];
    let read = stream.read(&mut answer).await.unwrap();
    (stream, String::from_utf8_lossy(&answer[..read]).into_owned())
}

/// Strangers at the door for miners: not many at a time, and none is believed how long its message is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attack_the_door_for_miners() {
    let folder = tempfile::tempdir().unwrap();
    let validator = validator(options(folder.path()), 1).await;
    let settings = Settings::new([("a".to_owned(), "0123456789abcdef".to_owned())], Arc::new(Semaphore::new(1 << 20)));
    let at = http(&validator, Settings { handshakes_per_minute: NonZeroU32::new(3).unwrap(), ..settings }).await;
    let upgrade = "GET /v1/network HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
                   sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";
    for _ in 0..3 {
        let (mut stream, answer) = ask(at, upgrade.to_owned()).await;
        assert!(answer.starts_with("HTTP/1.1 101"), "{answer}");
        // The head of a frame of ten mebibytes: it is not waited for.
        let mut head = vec![0x82, 0xff];
        head.extend_from_slice(&(10u64 << 20).to_be_bytes());
        head.extend_from_slice(&[0; 4]);
        stream.write_all(&head).await.unwrap();
        let mut rest = Vec::new();
        let closed = tokio::time::timeout(Duration::from_secs(2), stream.read_to_end(&mut rest)).await;
        assert!(closed.is_ok(), "it waits for ten mebibytes");
    }
    let (_, answer) = ask(at, upgrade.to_owned()).await;
    assert!(answer.starts_with("HTTP/1.1 429"), "{answer}");
    // A question without a key has a short body.
    let long = format!("{{\"model\":\"{}\"}}", "0".repeat(5_000));
    let head = format!("POST /v1/quotes HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", long.len());
    let (_, answer) = ask(at, head + &long).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    end(validator).await;
}

/// A caller may wait for so much at a time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attack_watchers_without_end() {
    let folder = tempfile::tempdir().unwrap();
    let validator = validator(options(folder.path()), 1).await;
    let settings = Settings::new([("a".to_owned(), "0123456789abcdef".to_owned())], Arc::new(Semaphore::new(1 << 20)));
    let requests_per_second = NonZeroU32::new(10_000).unwrap();
    let at = http(&validator, Settings { requests_per_second, ..settings }).await;
    let id = validator.submit(submission(&package(1), 1, "a")).await.unwrap();
    let request = |path: &str| format!("GET {path} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer 0123456789abcdef\r\n\r\n");
    let mut kept = Vec::new();
    for _ in 0..256 {
        let (stream, answer) = ask(at, request(&format!("/v1/jobs/{id}/events"))).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        kept.push(stream);
    }
    for path in ["events", "bundle"] {
        let (_, answer) = ask(at, request(&format!("/v1/jobs/{id}/{path}"))).await;
        assert!(answer.starts_with("HTTP/1.1 429"), "{answer}");
    }
    kept.clear();
    until("their places are free", async || ask(at, request(&format!("/v1/jobs/{id}/events"))).await.1.starts_with("HTTP/1.1 200")).await;
    end(validator).await;
}

// ------------------------------------------------------------------------------------------------ miners

/// Whoever holds few keys, and declines all the same, makes the validator compute no more than the budget, and keeps nothing open.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attack_benchmarks_for_one_key() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = options(folder.path());
    options.settings.probation = 3;
    let package = package(2);
    let units: u32 =
        package.manifest().slices.iter().map(|slice| zkslice_subnet::score::units(slice.constraints.next_power_of_two() as u64)).sum();
    options.benchmark_units = u64::from(units) * 6;
    options.most_slices = 12;
    let validator = validator(options, 2).await;
    let mut miner = Raw::connect(1, &validator, 2, &[1]).await;
    let declining = tokio::spawn(async move {
        while let Some(offered) = miner.offered().await {
            miner.decline(&offered, Reason::Busy);
        }
    });
    tokio::time::sleep(Duration::from_secs(2)).await;
    let jobs = count(folder.path(), "SELECT count(*) FROM jobs").await;
    assert!((1..=14).contains(&jobs), "{jobs} within a minute or two");
    let open = count(folder.path(), "SELECT count(*) FROM jobs WHERE state IN ('received', 'executed', 'dispatching')").await;
    assert!(open <= 4, "{open}");
    // There is room for those who want something proven.
    validator.submit(submission(&package, 1, "a")).await.unwrap();
    declining.abort();
    end(validator).await;
}

/// What was accepted and missed stays so, although the validator then proves it itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attack_a_miss_is_not_forgiven() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = options(folder.path());
    (options.proves_itself, options.settings.attempts) = (true, 1);
    (options.parameters.fast_ms, options.parameters.most_ms) = ([100, 0], [300, 0]);
    let validator = validator(options, 1).await;
    let mut miner = Raw::connect(1, &validator, 1, &[1]).await;
    let id = validator.submit(submission(&package(1), 1, "a")).await.unwrap();
    let offered = miner.offered().await.unwrap();
    miner.accept(&offered);
    validator.bundle_of(id).await.unwrap();
    assert!(validator.is_ready().await);
    assert_eq!(count(folder.path(), "SELECT count(*) FROM assignments WHERE state = 'missed'").await, 1);
    assert_eq!(
        count(folder.path(), "SELECT count(*) FROM receipts").await,
        0,
        "that it was missed is signed when it is known who was away"
    );
    // A proof that comes now is late, and the miss is debited before.
    miner.hand_in(offered.hash, &[7; 320]);
    let [missed, late] = [miner.receipt().await, miner.receipt().await];
    assert_eq!([missed.verdict, late.verdict], [Verdict::Missed as u8, Verdict::Late as u8]);
    assert!(missed.debit > 0 && late.debit == 0 && !contradict(&missed, &late));
    end(validator).await;
}

/// After a restart a proof that was here counts for the slice that it is of: nobody else proves that again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_before_the_verdict() {
    let folder = tempfile::tempdir().unwrap();
    let first = validator(options(folder.path()), 2).await;
    // Of two slices it has the key of one.
    let mut miner = Raw::connect(1, &first, 2, &[1]).await;
    let id = first.submit(submission(&package(2), 1, "a")).await.unwrap();
    let offered = miner.offered().await.unwrap();
    let proof = miner.prove(&offered).await;
    miner.hand_in(offered.hash, &proof);
    assert_eq!(miner.receipt().await.verdict, Verdict::Valid as u8);
    end(first).await;
    run_sql(
        folder.path(),
        &[
            "UPDATE assignments SET state = 'handed in'",
            "UPDATE slices SET state = 'checking', proof = NULL WHERE state = 'proven'",
            "DELETE FROM receipts",
        ],
    )
    .await;
    let second = validator(options(folder.path()), 2).await;
    let mut other = Raw::connect(2, &second, 2, &[3]).await;
    let next = other.offered().await.unwrap();
    assert_eq!(next.assignment.slice, 1, "the first one is proven");
    let proof = other.prove(&next).await;
    other.hand_in(next.hash, &proof);
    second.bundle_of(id).await.unwrap();
    assert_eq!(count(folder.path(), "SELECT count(*) FROM assignments").await, 2);
    end(second).await;
}

/// Strangers take half of the places, and those who have shown something have theirs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attack_strangers_take_all_places() {
    let folder = tempfile::tempdir().unwrap();
    let few = || {
        let mut options = options(folder.path());
        (options.most_miners, options.settings.probation) = (4, 5);
        options
    };
    end(validator(few(), 1).await).await;
    let known = node(9).address();
    run_sql(folder.path(), &[&format!("INSERT INTO miners VALUES (x'{}', 5, 0, 0)", alloy::hex::encode(known))]).await;
    let validator = validator(few(), 1).await;
    let mut strangers = Vec::new();
    for number in 1..=6 {
        strangers.push(Raw::connect(number, &validator, 1, &[1]).await);
    }
    let _known = Raw::connect(9, &validator, 1, &[1]).await;
    let connected = async || {
        let miners = validator.miners(None).await.unwrap();
        miners.into_iter().filter(|miner| miner.is_connected).map(|miner| miner.address).collect::<Vec<_>>()
    };
    until("who is known is here", async || connected().await.contains(&known)).await;
    assert_eq!(connected().await.len(), 3);
    end(validator).await;
}

/// Receipts from before come once a connection, however often it is asked for them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attack_receipts_again_and_again() {
    let folder = tempfile::tempdir().unwrap();
    let validator = validator(options(folder.path()), 1).await;
    let mut miner = Raw::connect(1, &validator, 1, &[1]).await;
    let id = validator.submit(submission(&package(1), 1, "a")).await.unwrap();
    let offered = miner.offered().await.unwrap();
    let proof = miner.prove(&offered).await;
    miner.hand_in(offered.hash, &proof);
    validator.bundle_of(id).await.unwrap();
    let mut again = Raw::connect(1, &validator, 1, &[1]).await;
    (0..50).for_each(|_| again.say_capacity(&[1]));
    again.receipt().await;
    while let Ok(Some(next)) = tokio::time::timeout(Duration::from_millis(300), again.link.inbox.recv()).await {
        again.note(&next.body, next.kind);
    }
    assert_eq!(again.receipts.len(), 1);
    end(validator).await;
}

/// What nobody needs any more is not proven: whoever accepts it is told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_accepts_too_late_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let validator = validator(options(folder.path()), 1).await;
    let mut miner = Raw::connect(1, &validator, 1, &[1]).await;
    let id = validator.submit(submission(&package(1), 1, "a")).await.unwrap();
    let offered = miner.offered().await.unwrap();
    validator.cancel(id);
    let mut cancels = 0;
    miner.accept(&offered);
    while let Ok(Some(next)) = tokio::time::timeout(Duration::from_millis(300), miner.link.inbox.recv()).await {
        cancels += usize::from(next.kind == Kind::Cancel && Cancel::from_body(&next.body).unwrap().assignment == offered.hash);
    }
    assert_eq!(cancels, 2, "when its job was over, and when it was accepted all the same");
    end(validator).await;
}

// ------------------------------------------------------------------------------------------------ validators

/// A validator that hands out another's assignments, whose proofs would go there, is let go.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attack_an_assignment_in_anothers_name() {
    let folder = tempfile::tempdir().unwrap();
    let miner = miner_with(1, folder.path(), 1, honest());
    let own = node(0xab);
    let identity = Identity { node: own.clone(), role: Role::Validator, network: NETWORK, parameters: Parameters::default().hash() };
    let (of_miner, link) = memory::connect(&miner.identity(), &identity, 64 << 20).await.unwrap();
    let serving = tokio::spawn({
        let miner = Arc::clone(&miner);
        async move { miner.serve(of_miner).await }
    });
    let assignment = Assignment {
        job: B256::ZERO,
        model: miner.models()[0],
        slice: 0,
        attempt: 0,
        validator: node(0xaa).address(),
        miner: miner.address(),
        statement: B256::ZERO,
        units: 1,
        price: 0,
        issuedMs: 0,
        deadlineMs: u64::MAX,
        epoch: 0,
    };
    let signed = own.sign(&NETWORK, assignment).unwrap();
    link.outbox.send(frame(Kind::Assignment, &signed.to_bytes()).unwrap());
    let ended = tokio::time::timeout(TRUE, serving).await.unwrap().unwrap();
    assert!(ended.is_err());
}

/// Proves at once, and nothing.
struct Instant;

impl Prover for Instant {
    fn prove(&self, _package: &Package, _inference: Inference, _slice: u16) -> Result<Vec<Word>, ProverError> {
        Ok(vec![[7; 32]; 10])
    }
}

/// A validator that takes proofs and says nothing of them gets no more after a while.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attack_a_validator_that_owes_receipts() {
    let folder = tempfile::tempdir().unwrap();
    let miner = miner_with(1, folder.path(), 1, Instant);
    let package = package(1);
    let JobInput::Words(words) = job(&package, 1).inputs[0].clone() else { panic!() };
    let values = unpack(&package.manifest().tensors[0], &words).unwrap();
    let mut inference = Inference { context: [1; 32], ..Inference::of_inputs(&package, vec![values]).unwrap() };
    let bound = execute(&package, &mut inference, &mut ark_std::rand::rngs::OsRng).unwrap();
    let units = zkslice_subnet::score::units(package.manifest().slices[0].constraints.next_power_of_two() as u64);
    let link = async |number: u8| {
        let own = node(number);
        let identity = Identity { node: own.clone(), role: Role::Validator, network: NETWORK, parameters: Parameters::default().hash() };
        let (of_miner, link) = memory::connect(&miner.identity(), &identity, 64 << 20).await.unwrap();
        let miner = Arc::clone(&miner);
        tokio::spawn(async move { miner.serve(of_miner).await });
        (own, link)
    };
    let offer = |own: &Node, number: u64| {
        let mut assignment = Assignment {
            job: B256::from(alloy::primitives::U256::from(number)),
            model: miner.models()[0],
            slice: 0,
            attempt: 0,
            validator: own.address(),
            miner: miner.address(),
            statement: B256::ZERO,
            units,
            price: 0,
            issuedMs: 0,
            deadlineMs: u64::MAX,
            epoch: 0,
        };
        let hashes = zkslice_subnet::work::hashes(&bound);
        let context = [B256::from(inference.context), B256::ZERO];
        assignment.statement = zkslice_subnet::work::statement(assignment.model, zkslice_subnet::work::coverage(1, 0), context, hashes);
        let hash = NETWORK.hash(&assignment);
        let mut frames = frame(Kind::Assignment, &own.sign(&NETWORK, assignment).unwrap().to_bytes()).unwrap();
        frames.extend(Work::of(&package, &inference, &bound, 0, hash, false).unwrap().to_frame().unwrap());
        (hash, frames)
    };
    let answer = async |link: &mut Link, frames: Vec<u8>| {
        link.outbox.send_beside(frames).await.unwrap();
        let mut accepted = false;
        loop {
            match tokio::time::timeout(TRUE, link.inbox.recv()).await.unwrap().unwrap().kind {
                Kind::Accept => accepted = true,
                Kind::HandIn if accepted => return true,
                Kind::HandIn => accepted = true,
                Kind::Decline => return false,
                _ => {}
            }
        }
    };
    let (own, mut owes) = link(0xab).await;
    let mut taken = 0;
    for number in 0..520 {
        taken += usize::from(answer(&mut owes, offer(&own, number).1).await);
    }
    assert_eq!(taken, 512);
    // Others are worked for as before.
    let (other, mut honest) = link(0xac).await;
    assert!(answer(&mut honest, offer(&other, 1).1).await);
}

/// A validator elsewhere that answers with the bundle of other inputs, or tells one to wait for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attack_a_validator_answers_nonsense() {
    use axum::routing::{get, post};
    let package = package(1);
    let wanted = job(&package, 1);
    let mut bundle = Bundle {
        version: zkslice_prover::BUNDLE_VERSION,
        model: wanted.model,
        context: wanted.context,
        owner: [0; 32],
        tensors: vec![Some(Bound::Words(vec![[1; 32]])), Some(Bound::Words(vec![[2; 32]]))],
        proofs: Vec::new(),
    };
    let serve = async |bundle: &Bundle| {
        let json = bundle.to_json().unwrap();
        let models = format!("[{{\"digest\":\"{}\"}}]", B256::from(wanted.model));
        let busy = Arc::new(std::sync::atomic::AtomicBool::new(true));
        let submitted = move || {
            let is_busy = busy.swap(false, std::sync::atomic::Ordering::Relaxed);
            async move {
                let wait = [("retry-after", if is_busy { "0" } else { "1" })];
                let status = if is_busy { 503 } else { 202 };
                (axum::http::StatusCode::from_u16(status).unwrap(), wait, format!("{{\"id\":\"{}\"}}", B256::ZERO))
            }
        };
        let router = axum::Router::new()
            .route("/v1/models", get(move || async move { models }))
            .route("/v1/jobs", post(submitted))
            .route("/v1/jobs/{id}/bundle", get(move || async move { json }));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        NetworkProver::connect(&url, zeroize::Zeroizing::new("0123456789abcdef".to_owned())).await.unwrap()
    };
    let error = serve(&bundle).await.bundle(wanted.clone()).await.unwrap_err();
    assert!(error.to_string().contains("another job"), "{error}");
    let JobInput::Words(words) = wanted.inputs[0].clone() else { panic!() };
    bundle.tensors.insert(1, Some(Bound::Words(words)));
    assert_eq!(serve(&bundle).await.bundle(wanted.clone()).await.unwrap(), bundle);
    bundle.owner = [1; 32];
    assert!(serve(&bundle).await.bundle(wanted.clone()).await.is_err());
}

// ------------------------------------------------------------------------------------------------ everything at once

/// A miner that does anything, by chance: it proves, declines, is silent, breaks off, hands in twice, hands in others' proofs and garbage.
async fn misbehave(number: u8, validator: Arc<Validator>, stop: tokio_util::sync::CancellationToken) -> Vec<Receipt> {
    let mut rng = ChaCha8Rng::seed_from_u64(u64::from(number));
    let mut below = |below: u32| rng.next_u32() % below;
    let mut receipts = Vec::new();
    let mut before: Vec<(B256, Vec<u8>)> = Vec::new();
    while !stop.is_cancelled() {
        let mut raw = Raw::connect(number, &validator, 2, &[[3], [3], [1], [2]][below(4) as usize]).await;
        // What was handed in before, once more.
        for (hash, proof) in &before {
            raw.hand_in(*hash, proof);
            raw.hand_in(*hash, proof);
        }
        for _ in 0..1 + below(6) {
            let offered = tokio::select! {
                offered = raw.offered() => offered,
                () = tokio::time::sleep(Duration::from_millis(u64::from(50 + below(300)))) => None,
                () = stop.cancelled() => break,
            };
            let Some(offered) = offered else { break };
            let did = below(12);
            if did < 10 {
                raw.accept(&offered);
            }
            match did {
                0..=5 => {
                    let proof = raw.prove(&offered).await;
                    raw.hand_in(offered.hash, &proof);
                    if did == 0 {
                        raw.hand_in(offered.hash, &proof);
                        raw.decline(&offered, Reason::Busy);
                        raw.accept(&offered);
                    }
                    before.push((offered.hash, proof));
                }
                // Nothing comes of it, or later.
                6 => before.push((offered.hash, raw.prove(&offered).await)),
                7 => break,
                8 if number > 4 => raw.hand_in(offered.hash, &[9; 320]),
                9 if number > 4 => {
                    let other = before.first().map_or_else(|| vec![1; 320], |(_, proof)| proof.clone());
                    raw.hand_in(offered.hash, &other);
                }
                _ => raw.decline(&offered, [Reason::Busy, Reason::NoKey, Reason::UnknownModel, Reason::BadWork][below(4) as usize]),
            }
        }
        while let Ok(Some(next)) = tokio::time::timeout(Duration::from_millis(30), raw.link.inbox.recv()).await {
            raw.note(&next.body, next.kind);
        }
        receipts.append(&mut raw.receipts);
    }
    receipts
}

/// Six such miners, jobs that are waited for and jobs that are given up, and a restart in between: every job that is waited for has its
/// bundle, no slice pays twice, no two receipts contradict each other, and what has no proof has no credit.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attack_everything_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let chaotic = || {
        let mut options = options(folder.path());
        (options.proves_itself, options.price_per_unit) = (true, 3);
        (options.settings.answer_ms, options.settings.starved_ms) = (150, 200);
        (options.parameters.fast_ms, options.parameters.most_ms) = ([100, 0], [700, 0]);
        options.benchmark_units = 500;
        options
    };
    let package = package(2);
    let verifier = Verifier::new(&package).unwrap();
    let mut receipts: BTreeMap<(Address, u64), Receipt> = BTreeMap::new();
    for life in 0..2u8 {
        let validator = validator(chaotic(), 2).await;
        let stop = tokio_util::sync::CancellationToken::new();
        let miners: Vec<_> = (1..=6).map(|number| tokio::spawn(misbehave(number, Arc::clone(&validator), stop.clone()))).collect();
        let mut waiting = Vec::new();
        for k in 1..=12u8 {
            let id = validator.submit(submission(&package, life * 12 + k, "a")).await.unwrap();
            tokio::time::sleep(Duration::from_millis(60)).await;
            if k % 4 == 0 {
                validator.cancel(id);
            } else if life == 1 || k <= 8 {
                waiting.push(id);
            }
        }
        for id in waiting {
            let bundle = tokio::time::timeout(TRUE, validator.bundle_of(id)).await.unwrap().unwrap();
            verifier.verify(&bundle).unwrap();
        }
        assert!(validator.is_ready().await);
        stop.cancel();
        // Not in good order: what is open stays so.
        end(validator).await;
        for miner in miners {
            for receipt in miner.await.unwrap() {
                let known = receipts.entry((receipt.miner, receipt.seq)).or_insert_with(|| receipt.clone());
                assert_eq!(*known, receipt, "two receipts of one number");
            }
        }
    }
    let all: Vec<&Receipt> = receipts.values().collect();
    for (k, a) in all.iter().enumerate() {
        for b in &all[..k] {
            assert!(!contradict(a, b), "{a:?} {b:?}");
        }
        assert!(a.verdict == Verdict::Valid as u8 || a.credit == 0, "{a:?}");
        assert!(a.verdict != Verdict::Valid as u8 || a.ms <= 700, "{a:?}");
    }
    assert!(all.iter().any(|receipt| receipt.verdict == Verdict::Valid as u8));
    assert!(all.iter().any(|receipt| receipt.verdict == Verdict::Invalid as u8));
    let twice = "SELECT count(*) FROM (SELECT 1 FROM assignments WHERE state = 'valid' GROUP BY job, slice HAVING count(*) > 1)";
    assert_eq!(count(folder.path(), twice).await, 0);
    // Each valid assignment has one receipt, and what nobody proved has none that pays.
    let unpaid = "SELECT count(*) FROM assignments AS a WHERE state = 'valid' AND
                  (SELECT count(*) FROM receipts AS r WHERE r.assignment = a.hash) <> 1";
    assert_eq!(count(folder.path(), unpaid).await, 0);
    let paid =
        "SELECT count(*) FROM receipts AS r JOIN assignments AS a ON a.hash = r.assignment WHERE r.credit > 0 AND a.state <> 'valid'";
    assert_eq!(count(folder.path(), paid).await, 0);
}

/// Whoever waits for long for what nobody can prove has no claim to what others got meanwhile.
#[test]
fn attack_a_caller_saves_turns_up() {
    use zkslice_subnet::validator::dispatch::{self, Dispatch, Slice};
    const ROUND: usize = zkslice_subnet::draws::ROUND as usize / 10;
    let [patient, modest] = [1, 2].map(B256::with_last_byte);
    let [held, of_nobody] = [3, 4].map(B256::with_last_byte);
    let settings = dispatch::Settings { probation: 0, ..Default::default() };
    let mut dispatch = Dispatch::new(Parameters::default(), settings);
    let capacity = Capacity { slots: 1, memory_mib: 1, keys: vec![(held, vec![0xff])], queue_ms: 0, receipts: 0 };
    dispatch.join(Address::with_last_byte(1), None, &capacity);
    let mut callers = HashMap::new();
    let mut add = |dispatch: &mut Dispatch, caller: B256, model: B256| {
        let id = (keccak256(callers.len().to_be_bytes()), 0);
        dispatch.add(Slice { id, model, caller, units: 10, deadline_ms: 900_000 }, 0);
        callers.insert(id, caller);
    };
    let prove = |dispatch: &mut Dispatch, slices: usize| -> Vec<_> {
        let proven = (0..slices).map(|_| {
            let assigned = dispatch.assign(0, &mut |_| true).remove(0);
            dispatch.handed_in(assigned.ticket);
            dispatch.valid(assigned.ticket, 1);
            assigned.slice
        });
        proven.collect()
    };
    add(&mut dispatch, patient, of_nobody);
    (0..2_000).for_each(|_| add(&mut dispatch, modest, held));
    let before = prove(&mut dispatch, 1_000);
    (0..1_000).for_each(|_| add(&mut dispatch, patient, held));
    let proven = prove(&mut dispatch, 400);
    assert!(before.iter().all(|slice| callers[slice] == modest));
    let of_modest = proven.iter().filter(|slice| callers[*slice] == modest).count();
    assert!(of_modest.abs_diff(200) <= 2 * ROUND, "{of_modest} of 400");
}
