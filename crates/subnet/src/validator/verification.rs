//! Every proof is verified, in batches of one key.
//!
//! A batch goes when it is full or when its first proof has waited long enough. A miner with an invalid proof has batches of its own for a
//! day, in a queue beside the others' of which one batch at a time is verified: nobody else waits behind it, or pays for the search for its
//! culprits, with more than that share of the cores. Where more comes than can be verified, whoever asks waits: no proof is taken unseen.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use alloy::primitives::{Address, B256};
use ark_std::rand::rngs::OsRng;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::{Instant, sleep_until};
use zkslice_groth16::{Proof, Statement, VerifyError, VerifyingKey, verify_batch};

use super::metrics::OfBatches;
use crate::Clock;

/// Proofs of a full batch: beyond, each proof's own pairing is all of its cost.
const FULL: usize = 64;
/// How long the first proof of a batch waits for others.
const WAIT: Duration = Duration::from_millis(10);
/// How long a miner that handed in an invalid proof has batches of its own.
const SUSPECT: Duration = Duration::from_secs(24 * 60 * 60);
/// Miners that are remembered so; beyond, those whose time is up first are forgotten.
const MOST_SUSPECTS: usize = 1 << 16;
/// Batches that are verified side by side, each on all cores: while one is read the other computes. Of suspects one.
const SIDE_BY_SIDE: usize = 2;
const OF_SUSPECTS: usize = 1;

/// A verifying key, and the hash that its proofs are collected by.
#[derive(Debug)]
pub struct Key {
    hash: B256,
    key: VerifyingKey,
}

impl Key {
    /// Of a slice.
    pub fn new(key: VerifyingKey) -> Self {
        Self { hash: B256::from(key.hash()), key }
    }
}

/// The verification has ended, and there is no verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the verification has been stopped")]
pub struct Stopped;

/// What was verified so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Batches.
    pub batches: u64,
    /// Proofs in them.
    pub proofs: u64,
    /// Proofs that do not hold.
    pub invalid: u64,
    /// Proofs that went through the suspects' queue.
    pub of_suspects: u64,
}

#[derive(Debug)]
struct Shared {
    /// Threads that nothing else computes on: a prover in this process keeps those of all for seconds. Where none can be had, those of all
    /// do it later.
    threads: Option<rayon::ThreadPool>,
    /// Until when a miner is suspect.
    suspects: Mutex<HashMap<Address, Instant>>,
    batches: AtomicU64,
    proofs: AtomicU64,
    invalid: AtomicU64,
    of_suspects: AtomicU64,
    metrics: OfBatches,
}

impl Shared {
    fn new(metrics: OfBatches) -> Self {
        let zero = || AtomicU64::new(0);
        let threads = rayon::ThreadPoolBuilder::new().thread_name(|k| format!("verify-{k}")).build().ok();
        Self { threads, suspects: Mutex::default(), batches: zero(), proofs: zero(), invalid: zero(), of_suspects: zero(), metrics }
    }

    fn is_suspect(&self, miner: Address, now: Instant) -> bool {
        self.suspects.lock().unwrap_or_else(PoisonError::into_inner).get(&miner).is_some_and(|until| *until > now)
    }

    fn suspect(&self, miner: Address, now: Instant) {
        let mut suspects = self.suspects.lock().unwrap_or_else(PoisonError::into_inner);
        suspects.insert(miner, now + SUSPECT);
        if suspects.len() > MOST_SUSPECTS {
            suspects.retain(|_, until| *until > now);
        }
        if suspects.len() > MOST_SUSPECTS
            && let Some(first) = suspects.iter().min_by_key(|(_, until)| **until).map(|(miner, _)| *miner)
        {
            suspects.remove(&first);
        }
    }
}

/// One proof to be verified.
struct Check {
    key: Arc<Key>,
    miner: Address,
    item: (Statement, [[u8; 32]; Proof::WORDS]),
    verdict: Answer,
}

type Answer = oneshot::Sender<Result<(), VerifyError>>;

/// What proofs are collected by: the key, and a suspect miner.
type Lane = (B256, Option<Address>);

/// Verifies proofs as they come. Dropping it, and every clone, lets what was taken end and takes no more.
#[derive(Clone, Debug)]
pub struct Verification {
    checks: mpsc::Sender<Check>,
    of_suspects: mpsc::Sender<Check>,
    shared: Arc<Shared>,
}

impl Verification {
    /// Begins on the current runtime; so many proofs may wait, and as many of suspects.
    pub fn start(waiting: usize) -> Self {
        Self::observed(waiting, OfBatches::default(), Clock::system())
    }

    pub(crate) fn observed(waiting: usize, metrics: OfBatches, clock: Clock) -> Self {
        let shared = Arc::new(Shared::new(metrics));
        let queue = |lane: fn(&Check) -> Lane, side_by_side| {
            let (checks, incoming) = mpsc::channel(waiting.max(1));
            tokio::spawn(collect(incoming, Arc::clone(&shared), lane, side_by_side, clock));
            checks
        };
        let checks = queue(|check| (check.key.hash, None), SIDE_BY_SIDE);
        let of_suspects = queue(|check| (check.key.hash, Some(check.miner)), OF_SUSPECTS);
        Self { checks, of_suspects, shared }
    }

    /// The verdict on a miner's proof: what reading its words and verifying it alone gives. Waits where too many are waiting. Await it apart
    /// from the miner's connection: whoever hangs up is verified too.
    ///
    /// # Errors
    /// [`Stopped`] if the runtime ends before there is a verdict.
    pub async fn check(
        &self,
        key: &Arc<Key>,
        miner: Address,
        statement: Statement,
        proof: [[u8; 32]; Proof::WORDS],
    ) -> Result<Result<(), VerifyError>, Stopped> {
        let (verdict, answer) = oneshot::channel();
        let check = Check { key: Arc::clone(key), miner, item: (statement, proof), verdict };
        let queue = if self.shared.is_suspect(miner, Instant::now()) { &self.of_suspects } else { &self.checks };
        queue.send(check).await.map_err(|_| Stopped)?;
        answer.await.map_err(|_| Stopped)
    }

    /// What was verified so far.
    pub fn counts(&self) -> Counts {
        let Shared { batches, proofs, invalid, of_suspects, .. } = &*self.shared;
        let [batches, proofs, invalid, of_suspects] = [batches, proofs, invalid, of_suspects].map(|count| count.load(Ordering::Relaxed));
        Counts { batches, proofs, invalid, of_suspects }
    }
}

async fn collect(mut incoming: mpsc::Receiver<Check>, shared: Arc<Shared>, lane_of: fn(&Check) -> Lane, side_by_side: usize, clock: Clock) {
    let mut lanes: HashMap<Lane, (Instant, Vec<Check>)> = HashMap::new();
    let free = Arc::new(Semaphore::new(side_by_side));
    loop {
        let due = lanes.iter().min_by_key(|(lane, (due, _))| (*due, **lane)).map(|(lane, (due, _))| (*lane, *due));
        let full = tokio::select! {
            // What is due goes first.
            biased;
            () = async { sleep_until(due.map_or_else(Instant::now, |(_, due)| due)).await }, if due.is_some() => due.map(|(lane, _)| lane),
            check = incoming.recv() => match check {
                Some(check) => {
                    let lane = lane_of(&check);
                    let (_, checks) = lanes.entry(lane).or_insert_with(|| (Instant::now() + WAIT, Vec::new()));
                    checks.push(check);
                    Some(lane).filter(|_| checks.len() >= FULL)
                }
                None if lanes.is_empty() => return,
                // Nobody asks any more: what was taken ends.
                None => due.map(|(lane, _)| lane),
            },
        };
        if let Some(((_, suspect), (_, checks))) = full.and_then(|lane| lanes.remove_entry(&lane)) {
            if suspect.is_some() {
                shared.of_suspects.fetch_add(checks.len() as u64, Ordering::Relaxed);
            }
            let Ok(permit) = Arc::clone(&free).acquire_owned().await else { return };
            let shared = Arc::clone(&shared);
            tokio::spawn(async move {
                let verdicts = clock.apart(move || verify(&shared, checks)).await;
                drop(permit);
                // Whoever asked may have gone.
                verdicts.into_iter().flatten().for_each(|(answer, verdict)| drop(answer.send(verdict)));
            });
        }
    }
}

/// Whether an error is the prover's. Number and width of words, and the key, are the validator's own.
const fn is_the_provers(error: &VerifyError) -> bool {
    matches!(error, VerifyError::Invalid | VerifyError::Encoding(_) | VerifyError::Form)
}

fn verify(shared: &Shared, checks: Vec<Check>) -> Vec<(Answer, Result<(), VerifyError>)> {
    let Some(key) = checks.first().map(|check| Arc::clone(&check.key)) else { return Vec::new() };
    let (items, answers): (Vec<_>, Vec<_>) = checks.into_iter().map(|check| (check.item, (check.miner, check.verdict))).unzip();
    let batch = || verify_batch(&key.key, &items, &mut OsRng);
    let began = std::time::Instant::now();
    let verdicts = shared.threads.as_ref().map_or_else(batch, |threads| threads.install(batch));
    shared.metrics.proofs.record(items.len() as f64);
    shared.metrics.seconds.record(began.elapsed().as_secs_f64() / items.len() as f64);
    // One that cannot be read at all is found without a search.
    let is_searched = items.len() > 1 && verdicts.contains(&Err(VerifyError::Invalid));
    shared.metrics.searched.increment(u64::from(is_searched));
    shared.batches.fetch_add(1, Ordering::Relaxed);
    shared.proofs.fetch_add(items.len() as u64, Ordering::Relaxed);
    let judge = |((miner, answer), verdict): ((Address, Answer), Result<(), VerifyError>)| {
        if verdict.as_ref().is_err_and(is_the_provers) {
            shared.invalid.fetch_add(1, Ordering::Relaxed);
            shared.suspect(miner, Instant::now());
        }
        (answer, verdict)
    };
    answers.into_iter().zip(verdicts).map(judge).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A day later a suspect is one among others, and there is an end to how many are remembered.
    #[test]
    fn suspicion_ends_and_has_bounds() {
        let (shared, now) = (Shared::new(OfBatches::default()), Instant::now());
        let miner = |k: usize| Address::left_padding_from(&k.to_be_bytes());
        shared.suspect(miner(0), now);
        assert!(shared.is_suspect(miner(0), now + SUSPECT / 2));
        assert!(!shared.is_suspect(miner(0), now + SUSPECT) && !shared.is_suspect(miner(1), now));
        let later = now + SUSPECT / 2;
        (1..=MOST_SUSPECTS).for_each(|k| shared.suspect(miner(k), later));
        assert_eq!(shared.suspects.lock().map(|suspects| suspects.len()).ok(), Some(MOST_SUSPECTS));
        assert!(!shared.is_suspect(miner(0), later), "the one whose time would have been up first");
        assert!((1..=MOST_SUSPECTS).all(|k| shared.is_suspect(miner(k), later)));
    }
}
