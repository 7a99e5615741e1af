//! What a validator that runs for months forgets, and what it does not.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use alloy::primitives::{Address, B256};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Row};
use tokio::sync::watch;
use zkslice_subnet::messages::{EpochRoot, Receipt};
use zkslice_subnet::miner::Miner;
use zkslice_subnet::receipts::contradictions;
use zkslice_subnet::validator::{Epoch, MinerView, Validator};
use zkslice_subnet::{Clock, Signed};

use crate::network::{connected, submission, until};
use crate::support::*;

const DAY: u64 = 86_400_000;
const BEGIN: u64 = 1_800_000_000_000;

async fn open(folder: &Path) -> SqliteConnection {
    SqliteConnectOptions::new().filename(folder.join("validator.sqlite")).connect().await.unwrap()
}

async fn number(store: &mut SqliteConnection, sql: &str) -> i64 {
    sqlx::query(AssertSqlSafe(sql.to_owned())).fetch_one(store).await.unwrap().get(0)
}

async fn counts<const N: usize>(store: &mut SqliteConnection, tables: [&str; N]) -> [i64; N] {
    let mut counts = [0; N];
    for (count, table) in counts.iter_mut().zip(tables) {
        *count = number(store, &format!("SELECT count(*) FROM {table}")).await;
    }
    counts
}

/// The validator so many days after it began, in an epoch.
async fn at(folder: &Path, slices: usize, days: u64, epoch: u64) -> (Arc<Validator>, watch::Sender<Epoch>) {
    let (said, epochs) = watch::channel(Epoch { number: epoch, beacon: B256::repeat_byte(epoch as u8) });
    let mut options = options(folder);
    options.price_per_unit = 3;
    let clock = Clock::at(BEGIN + days * DAY);
    (Validator::start(node(0xaa), vec![package(slices)], options, clock, epochs).await.unwrap(), said)
}

async fn ended(validator: Arc<Validator>) {
    validator.stop();
    validator.ended().await;
}

/// Jobs of these contexts, by miners that work for whoever is there.
async fn run(validator: &Arc<Validator>, miners: &[Arc<Miner>], contexts: std::ops::Range<u8>) {
    connected(validator, miners).await;
    for context in contexts {
        let id = validator.submit(submission(&package(2), context)).await.unwrap();
        validator.bundle_of(id).await.unwrap();
    }
    until("each hand-in has its receipt", || miners.iter().all(|miner| miner.unanswered() == 0)).await;
}

/// Closes an epoch by beginning the next one; returns its root.
async fn close(validator: &Validator, said: &watch::Sender<Epoch>, epoch: u64) -> Vec<u8> {
    said.send(Epoch { number: epoch + 1, beacon: B256::repeat_byte(epoch as u8 + 1) }).unwrap();
    for _ in 0..500 {
        if let Some(root) = validator.epoch_root(epoch).await.unwrap() {
            return root;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("epoch {epoch} is never closed");
}

fn unsaid() -> Receipt {
    let zero = B256::ZERO;
    Receipt {
        validator: Address::ZERO,
        miner: Address::ZERO,
        assignment: zero,
        proofHash: zero,
        verdict: 1,
        ms: 0,
        credit: 0,
        debit: 0,
        epoch: 0,
        seq: 0,
        epochCredit: 0,
        epochDebit: 0,
        owed: 0,
    }
}

/// What is known of miners, but for how fast the last ones were.
async fn totals(validator: &Validator) -> BTreeMap<Address, ([u64; 4], [u64; 4])> {
    let of = |view: MinerView| (view.address, (view.counts, [view.units, view.credit, view.debit, view.score]));
    validator.miners(None).await.unwrap().into_iter().map(of).collect()
}

/// A month later roots, scores and totals are left; a miner's receipts go on where they were, and so do the roots.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_month_later_roots_and_totals_are_left() {
    let folder = tempfile::tempdir().unwrap();
    let miners: Vec<_> = (1..=2).map(|k| miner_with(k, folder.path(), 2, honest())).collect();
    let (validator, said) = at(folder.path(), 2, 0, 7).await;
    run(&validator, &miners, 1..4).await;
    let first_job = validator.submit(submission(&package(2), 1)).await.unwrap();
    let root = close(&validator, &said, 7).await;
    let before = totals(&validator).await;
    assert_eq!(before.values().map(|(counts, _)| counts[0]).sum::<u64>(), 6);
    ended(validator).await;
    let mut store = open(folder.path()).await;
    let all = counts(&mut store, ["jobs", "slices", "assignments", "receipts"]).await;
    assert_eq!(all, [3, 6, 6, 6]);
    let kept = "SELECT group_concat(hex(root) || closed) FROM epochs UNION ALL SELECT group_concat(hex(miner) || score) FROM scores";
    let roots = sqlx::query(kept).fetch_all(&mut store).await.unwrap();
    let roots: Vec<String> = roots.iter().map(|row| row.get(0)).collect();

    // After a day bundles are given out no more to whoever asks for the same again; nothing is deleted.
    let (validator, _said) = at(folder.path(), 2, 2, 8).await;
    while number(&mut store, "SELECT count(*) FROM jobs WHERE state = 'settled'").await < 3 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    validator.bundle_of(first_job).await.unwrap();
    ended(validator).await;
    assert_eq!(counts(&mut store, ["jobs", "slices", "assignments", "receipts"]).await, all);

    let (validator, said) = at(folder.path(), 2, 33, 9).await;
    while counts(&mut store, ["jobs", "slices", "events", "assignments", "receipts"]).await != [0, 0, 0, 0, 2] {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let after = sqlx::query(kept).fetch_all(&mut store).await.unwrap();
    assert_eq!(after.iter().map(|row| row.get(0)).collect::<Vec<String>>(), roots);
    assert_eq!(totals(&validator).await, before);
    assert!(validator.bundle_of(first_job).await.is_err());
    run(&validator, &miners, 1..4).await;
    let next = close(&validator, &said, 9).await;
    let [root, next] = [root, next].map(|root| Signed::<EpochRoot>::from_bytes(&root, &NETWORK, None).unwrap().message().clone());
    assert_eq!((next.previous, next.count), (NETWORK.hash(&root), 6));
    // What is shown to everybody is counted anew once a second.
    while totals(&validator).await.values().map(|(counts, _)| counts[0]).sum::<u64>() != 12 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    for k in 1..=2 {
        let text = std::fs::read_to_string(ledger(folder.path(), k)).unwrap();
        let receipt = |line: &str| {
            let hex = serde_json::from_str::<serde_json::Value>(line).unwrap()["receipt"].as_str().unwrap().to_owned();
            let bytes = alloy::hex::decode(hex).unwrap();
            Signed::<Receipt>::from_bytes(&bytes, &NETWORK, Some(validator.address())).unwrap().message().clone()
        };
        let receipts: Vec<Receipt> = text.lines().map(receipt).collect();
        assert!(receipts.iter().map(|receipt| receipt.seq).eq(1..=receipts.len() as u64));
        assert_eq!(contradictions(&receipts), []);
        let account = &miners[usize::from(k) - 1].accounts()[0].1;
        let totals = totals(&validator).await[&node(k).address()];
        assert_eq!((account.valid, account.credit, account.debit), (totals.0[0], totals.1[1], totals.1[2]));
    }
    ended(validator).await;
}

/// After a restart the chain's node is another one, which lags, or `epoch_blocks` is larger: an epoch that is closed stays as it was signed, and
/// what is proven now is in the one that goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attack_an_epoch_comes_a_second_time() {
    let folder = tempfile::tempdir().unwrap();
    let miner = miner_with(1, folder.path(), 2, honest());
    let (validator, said) = at(folder.path(), 2, 0, 7).await;
    run(&validator, std::slice::from_ref(&miner), 1..2).await;
    let signed = close(&validator, &said, 7).await;
    ended(validator).await;
    let (validator, said) = at(folder.path(), 2, 0, 7).await;
    run(&validator, std::slice::from_ref(&miner), 2..3).await;
    let mut store = open(folder.path()).await;
    let of = async |store: &mut SqliteConnection, epoch: u64| {
        number(store, &format!("SELECT count(*) FROM receipts WHERE epoch = {epoch}")).await
    };
    assert_eq!([of(&mut store, 7).await, of(&mut store, 8).await], [2, 2]);
    // Nor is another beacon taken for what was drawn by the one before.
    ended(validator).await;
    drop(said);
    let (said, epochs) = watch::channel(Epoch { number: 8, beacon: B256::repeat_byte(0x88) });
    let clock = Clock::at(BEGIN);
    let validator = Validator::start(node(0xaa), vec![package(2)], options(folder.path()), clock, epochs).await.unwrap();
    run(&validator, std::slice::from_ref(&miner), 3..4).await;
    let root = close(&validator, &said, 8).await;
    let root = Signed::<EpochRoot>::from_bytes(&root, &NETWORK, None).unwrap();
    assert_eq!((root.message().beacon, root.message().count), (B256::repeat_byte(8), 4));
    assert_eq!(validator.epoch_root(7).await.unwrap(), Some(signed));
    ended(validator).await;
}

/// Stopped at whatever point of it: what was counted and what is left are always all of it, and the file gets shorter.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_in_the_middle_of_it() {
    const ROWS: i64 = 6_000;
    let folder = tempfile::tempdir().unwrap();
    let (validator, _said) = at(folder.path(), 1, 0, 7).await;
    ended(validator).await;
    let mut store = open(folder.path()).await;
    // Of three miners in three epochs, the last of which is open; every tenth assignment was missed.
    for sql in [
        format!(
            "WITH RECURSIVE k(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM k WHERE n < {ROWS} - 1)
             INSERT INTO assignments (hash, job, slice, units, epoch, miner, message, context, candidates, round, state, deadline)
             SELECT randomblob(32), randomblob(32), 0, 5, n * 3 / {ROWS}, CAST(zeroblob(19) || unhex('0' || (1 + n % 3)) AS BLOB), randomblob(400),
                    zeroblob(32), randomblob(200), 0, iif(n % 10 = 0, 'missed', 'valid'), {BEGIN} + n FROM k"
        ),
        "INSERT INTO receipts SELECT miner, row_number() OVER (PARTITION BY miner ORDER BY rowid), hash, epoch,
             iif(state = 'valid', 7, 0), iif(state = 'valid', 0, 2), randomblob(400) FROM assignments"
            .to_owned(),
        format!(
            "WITH RECURSIVE k(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM k WHERE n < 200)
             INSERT INTO jobs (id, kind, model, context, owner, inputs, state, created, deadline, changed)
             SELECT randomblob(32), 'benchmark', zeroblob(32), zeroblob(32), zeroblob(32), randomblob(3000), 'settled', {BEGIN}, {BEGIN}, {BEGIN} FROM k"
        ),
        "INSERT INTO slices SELECT id, 0, 'proven', randomblob(320) FROM jobs".to_owned(),
        "INSERT INTO events (job, at, kind) SELECT id, created, 'complete' FROM jobs".to_owned(),
        format!("INSERT INTO epochs VALUES (0, x'00', {BEGIN}), (1, x'00', {BEGIN})"),
    ] {
        sqlx::query(AssertSqlSafe(sql)).execute(&mut store).await.unwrap();
    }
    // A start reads the newest of each miner.
    for k in 1..=3 {
        let miner = Address::with_last_byte(k);
        let receipt = Receipt { validator: node(0xaa).address(), miner, epoch: 2, seq: ROWS as u64 / 3, ..unsaid() };
        let message = node(0xaa).sign(&NETWORK, receipt).unwrap().to_bytes();
        let update = sqlx::query("UPDATE receipts SET message = ? WHERE miner = ? AND seq = ?").bind(message).bind(miner.to_vec());
        assert_eq!(update.bind(ROWS / 3).execute(&mut store).await.unwrap().rows_affected(), 1);
    }
    let pages = number(&mut store, "PRAGMA page_count").await;
    let sums = "SELECT ((SELECT count(*) FROM assignments WHERE state = 'valid') + coalesce((SELECT sum(valid) FROM pruned), 0))
        || ' ' || ((SELECT count(*) FROM assignments WHERE state = 'missed') + coalesce((SELECT sum(missed) FROM pruned), 0))
        || ' ' || ((SELECT sum(credit) FROM receipts) + coalesce((SELECT sum(credit) FROM pruned), 0))
        || ' ' || ((SELECT sum(debit) FROM receipts) + coalesce((SELECT sum(debit) FROM pruned), 0))";
    let sums = async |store: &mut SqliteConnection| sqlx::query(sums).fetch_one(store).await.unwrap().get::<String, _>(0);
    let expected = format!("{} {} {} {}", ROWS * 9 / 10, ROWS / 10, ROWS * 9 / 10 * 7, ROWS / 10 * 2);
    assert_eq!(sums(&mut store).await, expected);
    let (mut left, mut restarts) = (ROWS, 0);
    while left > 0 {
        let (validator, _said) = at(folder.path(), 1, 40, 7).await;
        tokio::time::sleep(Duration::from_millis(40 + 20 * restarts)).await;
        ended(validator).await;
        assert_eq!(sums(&mut store).await, expected);
        let now = number(&mut store, "SELECT count(*) FROM assignments").await;
        restarts += u64::from(now < left && now > 0);
        left = now;
    }
    assert!(restarts >= 3, "{restarts}");
    let (validator, _said) = at(folder.path(), 1, 40, 7).await;
    // Of the open epoch all are left.
    let open = ROWS / 3;
    while counts(&mut store, ["jobs", "slices", "events", "receipts"]).await != [0, 0, 0, open]
        || number(&mut store, "PRAGMA page_count").await > pages / 2
    {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(sums(&mut store).await, expected);
    ended(validator).await;
}

/// A proof that was handed in, of a model that is not served any more: it ends, and costs its miner nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_that_is_not_served_any_more() {
    let folder = tempfile::tempdir().unwrap();
    let miner = miner_with(1, folder.path(), 2, honest());
    let (validator, said) = at(folder.path(), 2, 0, 7).await;
    run(&validator, &[Arc::clone(&miner)], 1..2).await;
    ended(validator).await;
    let mut store = open(folder.path()).await;
    // As it was when the proofs had come, and one work was on its way.
    for sql in [
        "UPDATE jobs SET state = 'dispatching', bundle = NULL",
        "UPDATE assignments SET state = iif(slice = 0, 'handed in', 'accepted')",
        "DELETE FROM receipts",
    ] {
        sqlx::query(sql).execute(&mut store).await.unwrap();
    }
    drop(said);
    let (validator, said) = at(folder.path(), 1, 0, 7).await;
    validator.is_ready().await;
    let state = "SELECT group_concat(state) FROM (SELECT state FROM jobs UNION ALL SELECT state FROM assignments)";
    let found: String = sqlx::query(state).fetch_one(&mut store).await.unwrap().get(0);
    assert_eq!(found, "cancelled,cancelled,cancelled");
    // Nothing keeps the epoch open, and there is nothing to be seen in it.
    said.send(Epoch { number: 8, beacon: B256::repeat_byte(8) }).unwrap();
    assert_eq!(counts(&mut store, ["receipts"]).await, [0]);
    let view = &validator.miners(Some(miner.address())).await.unwrap()[0];
    assert_eq!((view.credit, view.debit), (0, 0));
    ended(validator).await;
}

/// Epochs may pass faster than the store writes: each is closed once, and the validator goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_epoch_is_closed_once_however_fast_they_pass() {
    let folder = tempfile::tempdir().unwrap();
    let (validator, said) = at(folder.path(), 2, 0, 1).await;
    let miners = [miner_with(1, folder.path(), 2, honest())];
    run(&validator, &miners, 1..2).await;
    for number in 2..200 {
        said.send(Epoch { number, beacon: B256::repeat_byte(number as u8) }).unwrap();
        tokio::time::sleep(Duration::from_micros(200)).await;
    }
    let mut store = open(folder.path()).await;
    while number(&mut store, "SELECT count(*) FROM epochs WHERE epoch = 1").await == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let id = validator.submit(submission(&package(2), 2)).await.unwrap();
    validator.bundle_of(id).await.unwrap();
    ended(validator).await;
}
