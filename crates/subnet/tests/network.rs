//! Validators and miners together: every slice is proven by somebody, no bad proof counts, each is told what became of its work.

use std::sync::Arc;
use std::time::Duration;

use alloy::primitives::B256;
use zkslice_prover::{BundleSource, JobInput, ProverError, Verifier};
use zkslice_subnet::miner::Miner;
use zkslice_subnet::validator::Validator;

use crate::support::*;

pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..600 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("never: {what}");
}

pub(crate) fn account(miner: &Miner) -> miner::Account {
    miner.accounts().first().map(|(_, account)| *account).unwrap_or_default()
}

use zkslice_subnet::miner;

pub(crate) async fn connected(validator: &Arc<Validator>, miners: &[Arc<Miner>]) {
    for miner in miners {
        connect(miner, validator).await;
    }
    until("all are connected", || miners.iter().all(|miner| !miner.connected().is_empty())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slices_are_proven_by_miners() {
    let folder = tempfile::tempdir().unwrap();
    let validator = validator(options(folder.path()), 2).await;
    let miners: Vec<_> = (1..=2).map(|k| miner_with(k, folder.path(), 2, honest())).collect();
    connected(&validator, &miners).await;
    let package = package(2);
    let verifier = Verifier::new(&package).unwrap();
    for context in 1..=3 {
        let bundle = validator.bundle(job(&package, context)).await.unwrap();
        verifier.verify(&bundle).unwrap();
        assert_eq!(bundle.context[31], context);
    }
    until("all receipts are here", || miners.iter().map(|miner| account(miner).valid).sum::<u64>() == 6).await;
    // Both had their share, and were credited for each.
    for miner in &miners {
        let account = account(miner);
        assert!(account.valid >= 1 && account.credit > 0 && account.debit == 0, "{account:?}");
    }
    // The same request again is the same bundle; another context is proven anew.
    let again = validator.bundle(job(&package, 1)).await.unwrap();
    assert_eq!(again, validator.bundle(job(&package, 1)).await.unwrap());
    // Each as it came, and as a part of its bundle.
    assert_eq!(validator.verified().proofs, 12);
    validator.stop();
    validator.ended().await;
}

/// A liar is found out by its first proof, and its slice is proven by another.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attack_a_liar_is_not_paid() {
    let folder = tempfile::tempdir().unwrap();
    let validator = validator(options(folder.path()), 2).await;
    let liar = miner_with(9, folder.path(), 2, Liar(honest()));
    connected(&validator, &[Arc::clone(&liar)]).await;
    let package = package(2);
    let waiting = tokio::spawn({
        let (validator, job) = (Arc::clone(&validator), job(&package, 1));
        async move { validator.bundle(job).await }
    });
    until("the liar is found out", || account(&liar).invalid > 0).await;
    let honest_one = miner_with(1, folder.path(), 2, honest());
    connected(&validator, &[Arc::clone(&honest_one)]).await;
    let bundle = waiting.await.unwrap().unwrap();
    Verifier::new(&package).unwrap().verify(&bundle).unwrap();
    until("all receipts are here", || account(&honest_one).valid == 2).await;
    let of_liar = account(&liar);
    // It had one at a time, the window of a stranger, and perhaps the next one before the first was looked at.
    assert_eq!((of_liar.valid, of_liar.credit), (0, 0));
    assert!((1..=2).contains(&of_liar.invalid), "{of_liar:?}");
    assert!(of_liar.debit > 0);
    validator.stop();
    validator.ended().await;
}

/// What nobody takes, the validator proves itself, where it may; where it may not, the job ends with its deadline.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let mut alone = options(folder.path());
    alone.proves_itself = true;
    alone.settings.starved_ms = 50;
    let package = package(2);
    let validator_alone = validator(alone, 2).await;
    let bundle = validator_alone.bundle(job(&package, 1)).await.unwrap();
    Verifier::new(&package).unwrap().verify(&bundle).unwrap();
    validator_alone.stop();
    validator_alone.ended().await;
    drop(validator_alone);

    let folder = tempfile::tempdir().unwrap();
    let mut helpless = options(folder.path());
    helpless.job_ms = 300;
    let validator = validator(helpless, 2).await;
    let error = validator.bundle(job(&package, 1)).await.unwrap_err();
    assert!(error.to_string().contains("deadline has passed"), "{error}");
    let unknown = job(&package, 2);
    let error = validator.bundle(zkslice_prover::Job { model: [5; 32], ..unknown.clone() }).await.unwrap_err();
    assert!(matches!(error, ProverError::Model { .. }));
    let error = validator.bundle(zkslice_prover::Job { owner: [1; 32], ..unknown.clone() }).await.unwrap_err();
    assert!(error.to_string().contains("owner"), "{error}");
    let error = validator.bundle(zkslice_prover::Job { inputs: vec![JobInput::Commitment([1; 32])], ..unknown }).await.unwrap_err();
    assert!(error.to_string().contains("it is public, and the job commits to it"), "{error}");
    validator.stop();
    validator.ended().await;
}

/// A miner that dies with an accepted slice: another has it at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_miner_dies() {
    let folder = tempfile::tempdir().unwrap();
    let validator = validator(options(folder.path()), 1).await;
    let package = package(1);
    let slow = miner_with(1, folder.path(), 1, Slow(Duration::from_secs(3), honest()));
    connected(&validator, &[Arc::clone(&slow)]).await;
    let waiting = tokio::spawn({
        let (validator, job) = (Arc::clone(&validator), job(&package, 1));
        async move { validator.bundle(job).await }
    });
    until("it is accepted", || slow.queued() == 1).await;
    let other = miner_with(2, folder.path(), 1, honest());
    connected(&validator, &[Arc::clone(&other)]).await;
    slow.kill();
    let began = std::time::Instant::now();
    let bundle = waiting.await.unwrap().unwrap();
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    Verifier::new(&package).unwrap().verify(&bundle).unwrap();
    validator.stop();
    validator.ended().await;
}

/// What is close to an input no miner sees: the first slices are the validator's own, also after a restart.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_slices_stay_with_the_validator() {
    let folder = tempfile::tempdir().unwrap();
    let package = package(2);
    let mut private = options(folder.path());
    private.own_prefix = 1;
    let first = validator(private.clone(), 2).await;
    let miner = miner_with(1, folder.path(), 2, honest());
    connected(&first, &[Arc::clone(&miner)]).await;
    let by_whom = async |validator: &Arc<Validator>, id| {
        Verifier::new(&package).unwrap().verify(&validator.bundle_of(id).await.unwrap()).unwrap();
        let slices = validator.view(id, "test").await.unwrap().slices;
        slices.into_iter().map(|(_, by)| by.map(|(miner, _)| miner)).collect::<Vec<_>>()
    };
    let id = first.submit(submission(&package, 1)).await.unwrap();
    assert_eq!(by_whom(&first, id).await, [None, Some(miner.address())]);
    // Stopped before anything is proven.
    let id = first.submit(submission(&package, 2)).await.unwrap();
    first.stop();
    first.ended().await;
    drop(first);
    let second = validator(private, 2).await;
    until("the miner knows", || miner.connected().is_empty()).await;
    connected(&second, &[Arc::clone(&miner)]).await;
    assert_eq!(by_whom(&second, id).await, [None, Some(miner.address())]);
    assert!(miner.accounts().iter().all(|(_, account)| account.receipts <= 2), "it was never asked for the first slice");
    second.stop();
    second.ended().await;
}

/// A caller that goes takes its job along.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_goes_cancels() {
    let folder = tempfile::tempdir().unwrap();
    let validator = validator(options(folder.path()), 1).await;
    let package = package(1);
    let slow = miner_with(1, folder.path(), 1, Slow(Duration::from_millis(300), honest()));
    connected(&validator, &[Arc::clone(&slow)]).await;
    let waiting = tokio::spawn({
        let (validator, job) = (Arc::clone(&validator), job(&package, 1));
        async move { validator.bundle(job).await }
    });
    until("it is accepted", || slow.queued() == 1).await;
    waiting.abort();
    until("the miner has nothing left", || slow.queued() == 0).await;
    // It may ask again: that is another job, with salts of its own.
    let bundle = validator.bundle(job(&package, 1)).await.unwrap();
    Verifier::new(&package).unwrap().verify(&bundle).unwrap();
    // The proof of what was cancelled is nobody's fault.
    assert_eq!((account(&slow).invalid, account(&slow).missed), (0, 0));
    validator.stop();
    validator.ended().await;
}

/// Benchmarks let strangers in: with enough valid slices they get what is paid for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn probation_is_passed_by_benchmarks() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = options(folder.path());
    (options.settings.probation, options.benchmark_units) = (3, 1_000_000);
    let validator = validator(options, 2).await;
    let miner = miner_with(1, folder.path(), 2, honest());
    connected(&validator, &[Arc::clone(&miner)]).await;
    let package = package(2);
    let bundle = validator.bundle(job(&package, 1)).await.unwrap();
    Verifier::new(&package).unwrap().verify(&bundle).unwrap();
    until("three benchmarks and two slices", || account(&miner).valid >= 5).await;
    assert_eq!(account(&miner).invalid, 0);
    validator.stop();
    validator.ended().await;
}

/// After a restart everything goes on: what was handed in and what is still to come.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_validator_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let package = package(1);
    let slow = miner_with(1, folder.path(), 1, Slow(Duration::from_millis(700), honest()));
    let first = validator(options(folder.path()), 1).await;
    connected(&first, &[Arc::clone(&slow)]).await;
    let id = first.submit(submission(&package, 1)).await.unwrap();
    until("it is accepted", || slow.queued() == 1).await;
    first.stop();
    first.ended().await;
    drop(first);
    until("the miner knows", || slow.connected().is_empty()).await;
    let second = validator(options(folder.path()), 1).await;
    // Proven while nobody listened: it hands in when it is back.
    until("it is proven", || slow.queued() == 0).await;
    connected(&second, &[Arc::clone(&slow)]).await;
    let bundle = second.bundle_of(id).await.unwrap();
    Verifier::new(&package).unwrap().verify(&bundle).unwrap();
    until("the receipt is here", || account(&slow).receipts >= 1).await;
    assert_eq!((account(&slow).valid, account(&slow).missed), (1, 0));
    second.stop();
    second.ended().await;
    assert_eq!(B256::from(bundle.context), B256::with_last_byte(1));
}

pub(crate) fn submission(package: &zkslice_slicer::Package, context: u8) -> zkslice_subnet::validator::Submission {
    zkslice_subnet::validator::Submission {
        job: job(package, context),
        private: None,
        deadline_ms: None,
        caller: "test".into(),
        idempotency: None,
    }
}
