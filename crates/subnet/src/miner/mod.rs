//! A miner: takes work from the validators that it is connected to, proves it, hands it in, and keeps their receipts.
//!
//! What it knows of inputs is in memory alone, and gone when the proof is handed in.

mod ledger;
mod metrics;
mod queue;

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use alloy::primitives::{Address, B256, keccak256};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use zeroize::Zeroize as _;
use zkslice_formats::FileLock;
use zkslice_prover::{Inference, ProverError, Word, prove};
use zkslice_slicer::{Package, PackageError};

use crate::messages::{Acceptance, Assignment, EpochRoot, HandIn, Receipt, Role};
use crate::score::Parameters;
use crate::transport::{Frame, Identity, Link, Outbox};
use crate::wire::{Body, Cancel, Capacity, Decline, Kind, Progress, Reason, Stage, Work, frame};
use crate::{Clock, LedgerError, Network, Node, PeerError, Signed, WireError};
use ledger::Known;
pub use ledger::{Account, Ledger};
use metrics::Metrics;
use queue::Queue;

/// Assignments whose work has not come yet, of one validator.
const MOST_AWAITED: usize = 1_024;
/// Looks at work, beside the proofs.
const MOST_CHECKS: usize = 4;
/// How long it is remembered what an assignment was, after its deadline.
const REMEMBERED_MS: u64 = 600_000;
/// Assignments of which it is remembered what they were; what is declined beyond is not.
const MOST_KNOWN: usize = 1 << 15;
/// Proofs of which a validator has not said what became: with more it gets no other.
const MOST_UNANSWERED: usize = 512;
/// Bytes of memory for work that are left for frames that come.
const FOR_FRAMES: usize = 4;
/// When a busy miner wants to be asked again, at the earliest.
const RETRY_MS: u64 = 50;

/// Makes proofs: the prover, or in tests something that does not.
pub trait Prover: Send + Sync + 'static {
    /// Proves a slice of an executed inference: ten words.
    ///
    /// # Errors
    /// [`ProverError`].
    fn prove(&self, package: &Package, inference: Inference, slice: u16) -> Result<Vec<Word>, ProverError>;
}

/// The prover, on threads of its own.
#[derive(Debug)]
pub struct OnCores(rayon::ThreadPool);

impl OnCores {
    /// On so many threads; as many as there are cores, for 0.
    ///
    /// # Errors
    /// Where the system has no threads to give.
    pub fn new(cores: usize) -> Result<Self, std::io::Error> {
        let threads = rayon::ThreadPoolBuilder::new().num_threads(cores).thread_name(|k| format!("prove-{k}"));
        threads.build().map(Self).map_err(std::io::Error::other)
    }
}

impl Prover for OnCores {
    fn prove(&self, package: &Package, inference: Inference, slice: u16) -> Result<Vec<Word>, ProverError> {
        let k = usize::from(slice);
        let proven = self.0.install(|| prove(package, inference, k..k + 1, &mut rand_core::OsRng, |_| ()))?;
        proven.bundle.proofs.into_iter().next().map(|proof| proof.proof).ok_or_else(|| ProverError::Task("there is no proof".into()))
    }
}

/// What a miner is told.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where it is.
    pub network: Network,
    /// What it expects to be scored by.
    pub parameters: Parameters,
    /// Slices that it proves side by side.
    pub slots: u16,
    /// Memory for work that waits, in MiB.
    pub memory_mib: u32,
    /// Where its receipts are kept.
    pub ledger: PathBuf,
}

/// A miner.
pub struct Miner {
    node: Node,
    options: Options,
    clock: Clock,
    models: RwLock<BTreeMap<B256, Arc<Model>>>,
    prover: Box<dyn Prover>,
    state: Mutex<State>,
    ready: Notify,
    metrics: Metrics,
    checks: tokio::sync::Semaphore,
    stop: CancellationToken,
    /// Its ledger is nobody else's.
    _lock: FileLock,
    tasks: TaskTracker,
}

struct Model {
    package: Arc<Package>,
    /// A bit for each slice whose key is here.
    keys: Vec<u8>,
}

struct State {
    queue: Queue<Accepted>,
    /// By assignment: until its receipt, so that this can be checked.
    known: HashMap<B256, (Known, u64)>,
    /// Hand-ins without a receipt, by assignment: sent again on the next connection.
    unanswered: HashMap<B256, (Address, Vec<u8>)>,
    links: HashMap<Address, (u64, Outbox)>,
    ledger: Ledger,
    is_stopping: bool,
    numbers: u64,
}

/// Work that was accepted.
struct Accepted {
    assignment: Assignment,
    inference: Inference,
    /// Of its work, as it came.
    bytes: usize,
}

impl State {
    /// Remembers what an assignment was, until its receipt can be checked.
    fn remember(&mut self, hash: B256, assignment: Assignment, until: u64, now: u64) {
        let Self { known, unanswered, .. } = self;
        known.retain(|_, (_, until)| *until > now);
        unanswered.retain(|hash, _| known.contains_key(hash));
        if known.len() < MOST_KNOWN {
            known.insert(hash, (Known { assignment, handed_in: None }, until));
        }
    }
}

impl std::fmt::Debug for Miner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Miner").field("address", &self.node.address()).field("models", &self.models().len()).finish_non_exhaustive()
    }
}

impl Miner {
    /// A miner of these packages, each of which may hold the keys of some slices alone.
    ///
    /// # Errors
    /// [`MinerError`](crate::MinerError) for packages and ledgers that cannot be used.
    pub fn start(
        node: Node,
        packages: Vec<Package>,
        options: Options,
        prover: Box<dyn Prover>,
        clock: Clock,
    ) -> Result<Arc<Self>, crate::MinerError> {
        let io = |source| LedgerError::Io { path: options.ledger.clone(), source };
        let lock = FileLock::take(&options.ledger).map_err(io)?.ok_or_else(|| LedgerError::InUse { path: options.ledger.clone() })?;
        let ledger = Ledger::open(&options.ledger, options.network, node.address())?;
        let mut models = BTreeMap::new();
        for package in packages {
            let digest = B256::from(package.key_blob()?.model_digest());
            models.insert(digest, Arc::new(Model::new(package)?));
        }
        let state = State {
            queue: Queue::new(usize::from(options.slots)),
            known: HashMap::new(),
            unanswered: HashMap::new(),
            links: HashMap::new(),
            ledger,
            is_stopping: false,
            numbers: 0,
        };
        let slots = options.slots.max(1);
        let miner = Arc::new(Self {
            node,
            options,
            clock,
            models: RwLock::new(models),
            prover,
            state: Mutex::new(state),
            ready: Notify::new(),
            metrics: Metrics::new(),
            checks: tokio::sync::Semaphore::new(MOST_CHECKS),
            stop: CancellationToken::new(),
            _lock: lock,
            tasks: TaskTracker::new(),
        });
        for _ in 0..slots {
            miner.tasks.spawn(Self::work(Arc::clone(&miner)));
        }
        Ok(miner)
    }

    /// Its address.
    pub const fn address(&self) -> Address {
        self.node.address()
    }

    /// Who it is on its links.
    pub fn identity(&self) -> Identity {
        let Options { network, parameters, .. } = &self.options;
        Identity { node: self.node.clone(), role: Role::Miner, network: *network, parameters: parameters.hash() }
    }

    /// Bytes of frames that may be here at a time.
    pub const fn room(&self) -> usize {
        (self.options.memory_mib as usize) << 20
    }

    /// What each validator has signed.
    pub fn accounts(&self) -> Vec<(Address, Account)> {
        self.locked().ledger.accounts()
    }

    /// Works for a model more, or for more slices of one; its validators hear of it.
    ///
    /// # Errors
    /// [`PackageError`]: the package cannot be used.
    pub fn add(&self, package: Package) -> Result<(), PackageError> {
        let digest = B256::from(package.key_blob()?.model_digest());
        let model = Arc::new(Model::new(package)?);
        self.models.write().unwrap_or_else(PoisonError::into_inner).insert(digest, model);
        self.connected().into_iter().for_each(|validator| self.tell(validator, self.capacity(validator).to_frame()));
        Ok(())
    }

    fn model(&self, digest: B256) -> Option<Arc<Model>> {
        self.models.read().unwrap_or_else(PoisonError::into_inner).get(&digest).cloned()
    }

    /// A bit for each slice of each model whose key is here.
    fn keys(&self) -> Vec<(B256, Vec<u8>)> {
        let models = self.models.read().unwrap_or_else(PoisonError::into_inner);
        models.iter().map(|(model, held)| (*model, held.keys.clone())).collect()
    }

    /// Models that it has keys of.
    pub fn models(&self) -> Vec<B256> {
        self.keys().into_iter().map(|(model, _)| model).collect()
    }

    /// Slices that it has keys of.
    pub fn slices(&self) -> u32 {
        self.keys().into_iter().flat_map(|(_, keys)| keys).map(u8::count_ones).sum()
    }

    /// Slices that are accepted and not handed in.
    pub fn queued(&self) -> usize {
        self.locked().queue.len()
    }

    /// Hand-ins that have no receipt yet.
    pub fn unanswered(&self) -> usize {
        self.locked().unanswered.len()
    }

    /// Validators that it is connected to.
    pub fn connected(&self) -> Vec<Address> {
        self.locked().links.keys().copied().collect()
    }

    /// Accepts nothing more, ends what was accepted, and lets its validators go.
    pub async fn stop(&self) {
        self.locked().is_stopping = true;
        for validator in self.connected() {
            self.tell(validator, self.capacity(validator).to_frame());
        }
        while self.queued() > 0 {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        // The last receipts.
        for _ in 0..50 {
            if self.locked().unanswered.is_empty() {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        self.kill();
    }

    /// Stops at once.
    pub fn kill(&self) {
        self.stop.cancel();
        self.locked().links.values().for_each(|(_, outbox)| outbox.close());
        self.ready.notify_waiters();
    }

    fn locked(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // ---------------------------------------------------------------------------------------------- links

    /// Serves a validator over a link, until it ends.
    ///
    /// # Errors
    /// [`PeerError`]: what the validator sent that it should not have.
    pub async fn serve(self: &Arc<Self>, mut link: Link) -> Result<(), PeerError> {
        let (validator, outbox) = (link.peer.address, link.outbox.clone());
        let (number, again) = {
            let mut state = self.locked();
            state.numbers += 1;
            let number = state.numbers;
            if let Some((_, older)) = state.links.insert(validator, (number, outbox.clone())) {
                older.close();
            }
            let again: Vec<Vec<u8>> =
                state.unanswered.values().filter(|(of, _)| *of == validator).map(|(_, bytes)| bytes.clone()).collect();
            (number, again)
        };
        outbox.send(self.capacity(validator).to_frame()?);
        again.into_iter().for_each(|hand_in| outbox.send(hand_in));
        let mut awaited: HashMap<B256, Signed<Assignment>> = HashMap::new();
        let ended = loop {
            let Some(frame) = link.inbox.recv().await else { break Ok(()) };
            if let Err(error) = self.hear(validator, &outbox, &mut awaited, frame) {
                break Err(error);
            }
        };
        if let Some(error) = link.error() {
            tracing::debug!(%validator, %error, "a connection has broken");
        }
        outbox.close();
        let mut state = self.locked();
        if state.links.get(&validator).is_some_and(|(current, _)| *current == number) {
            state.links.remove(&validator);
        }
        ended
    }

    fn capacity(&self, validator: Address) -> Capacity {
        let state = self.locked();
        Capacity {
            slots: if state.is_stopping { 0 } else { self.options.slots },
            memory_mib: self.options.memory_mib,
            keys: self.keys(),
            queue_ms: u32::try_from(state.queue.busy_ms(self.clock.now_ms())).unwrap_or(u32::MAX),
            receipts: state.ledger.newest(validator),
        }
    }

    fn hear(
        self: &Arc<Self>,
        validator: Address,
        outbox: &Outbox,
        awaited: &mut HashMap<B256, Signed<Assignment>>,
        Frame { kind, mut body, room }: Frame,
    ) -> Result<(), PeerError> {
        match kind {
            Kind::Assignment => {
                let signed = Signed::<Assignment>::from_bytes(&body, &self.options.network, Some(validator))?;
                let hash = self.options.network.hash(signed.message());
                // A proof goes to whom the assignment names: to nobody else than who has signed it.
                if signed.message().validator != validator {
                    return Err(PeerError::Unknown(hash));
                }
                if awaited.len() >= MOST_AWAITED {
                    return Err(PeerError::Unknown(hash));
                }
                awaited.insert(hash, signed);
            }
            Kind::Work => {
                let (work, bytes) = (Work::from_body(&body), body.len());
                body.zeroize();
                drop(body);
                let work = work?;
                let assignment = awaited.remove(&work.assignment).ok_or(PeerError::Unknown(work.assignment))?;
                let (this, outbox) = (Arc::clone(self), outbox.clone());
                self.tasks.spawn(async move {
                    this.offered(validator, &outbox, assignment.message().clone(), work, bytes).await;
                    drop(room);
                });
            }
            Kind::Receipt => self.receipt(validator, &body)?,
            Kind::Cancel => {
                let Cancel { assignment } = Cancel::from_body(&body)?;
                awaited.remove(&assignment);
                let mut state = self.locked();
                if state.queue.get(assignment).is_some_and(|accepted| accepted.assignment.validator == validator) {
                    state.queue.remove(assignment);
                }
                // Nobody waits for a proof that was handed in already, or will say what became of it.
                if state.unanswered.get(&assignment).is_some_and(|(of, _)| *of == validator) {
                    state.unanswered.remove(&assignment);
                }
            }
            Kind::EpochRoot => {
                let signed = Signed::<EpochRoot>::from_bytes(&body, &self.options.network, Some(validator))?;
                if let Some(fault) = self.locked().ledger.take_root(validator, signed.message(), &body)? {
                    tracing::error!(%validator, epoch = signed.message().epoch, %fault, "a validator contradicts itself; both are kept");
                }
            }
            Kind::Ping => {}
            other => return Err(WireError::NotDue(other).into()),
        }
        Ok(())
    }

    /// Accepts what it can do in time, or says why not.
    async fn offered(self: &Arc<Self>, validator: Address, outbox: &Outbox, assignment: Assignment, work: Work, bytes: usize) {
        let (hash, job, slice) = (work.assignment, assignment.job, assignment.slice);
        // Clocks need not agree: the time runs from here. Nobody gives more than units have.
        let now = self.clock.now_ms();
        let given = assignment.deadlineMs.saturating_sub(assignment.issuedMs);
        let deadline = now + given.min(self.options.parameters.deadline_ms(assignment.units));
        let looked_at = self.look_at(validator, assignment.clone(), work, (deadline, bytes)).await;
        let accept = looked_at.and_then(|inference| {
            let accepted = self.node.sign(&self.options.network, Acceptance { assignment: hash }).map_err(|_| Reason::Busy)?;
            let accept = frame(Kind::Accept, &accepted.to_bytes()).map_err(|_| Reason::Busy)?;
            let mut state = self.locked();
            let key = (assignment.model, assignment.slice);
            // Others may have been accepted while this was looked at.
            if !self.fits(&state, validator, &key, deadline, bytes) {
                return Err(Reason::Busy);
            }
            state.remember(hash, assignment.clone(), deadline + REMEMBERED_MS, now);
            state.queue.push(hash, key, deadline, Accepted { assignment: assignment.clone(), inference, bytes });
            Ok(accept)
        });
        let answer = accept.or_else(|reason| {
            let mut state = self.locked();
            let retry_ms = state.queue.busy_ms(now).max(RETRY_MS);
            let retry_ms = u32::try_from(retry_ms).unwrap_or(u32::MAX);
            // A superseded offer has a receipt too.
            state.remember(hash, assignment, deadline + REMEMBERED_MS, now);
            tracing::debug!(%job, slice, assignment = %hash, %validator, ?reason, "declined");
            (Decline { assignment: hash, reason, retry_ms }).to_frame()
        });
        if let Ok(answer) = answer {
            outbox.send(answer);
        }
        self.ready.notify_one();
    }

    /// Whether there is time and memory for one more, of a validator that says what becomes of its proofs.
    fn fits(&self, state: &State, validator: Address, key: &(B256, u16), deadline: u64, bytes: usize) -> bool {
        let is_answered = state.unanswered.values().filter(|(of, _)| *of == validator).count() < MOST_UNANSWERED;
        let waiting: usize = state.queue.waiting().map(|accepted| accepted.bytes).sum();
        let has_memory = state.queue.len() == 0 || waiting + bytes <= self.room() - self.room() / FOR_FRAMES;
        !state.is_stopping && is_answered && has_memory && state.queue.fits(key, deadline, self.clock.now_ms())
    }

    async fn look_at(
        &self,
        validator: Address,
        assignment: Assignment,
        work: Work,
        (deadline, bytes): (u64, usize),
    ) -> Result<Inference, Reason> {
        let model = self.model(assignment.model).ok_or(Reason::UnknownModel)?;
        let (key, slice) = ((assignment.model, assignment.slice), assignment.slice);
        if model.keys.get(usize::from(slice / 8)).is_none_or(|byte| byte >> (slice % 8) & 1 == 0) {
            return Err(Reason::NoKey);
        }
        if !self.fits(&self.locked(), validator, &key, deadline, bytes) {
            return Err(Reason::Busy);
        }
        let permit = self.checks.acquire().await.map_err(|_| Reason::Busy)?;
        let (package, own, hash) = (Arc::clone(&model.package), self.address(), work.assignment);
        let checked = tokio::task::spawn_blocking(move || work.check(&package, assignment.model, &assignment, hash, own));
        let checked = checked.await.map_err(|_| Reason::BadWork)?;
        drop(permit);
        // Its errors name values that are none of a log's business.
        checked.map_err(|_| Reason::BadWork)
    }

    /// Proves one after the other, until it is stopped.
    async fn work(self: Arc<Self>) {
        loop {
            let next = self.locked().queue.pop(self.clock.now_ms());
            let Some((hash, deadline, accepted)) = next else {
                tokio::select! {
                    () = self.ready.notified() => continue,
                    () = self.stop.cancelled() => return,
                }
            };
            let began = self.clock.now_ms();
            if began > deadline {
                self.locked().queue.done(hash, None);
                continue;
            }
            let Assignment { validator, job, slice, .. } = accepted.assignment;
            self.tell(validator, (Progress { assignment: hash, stage: Stage::Proving }).to_frame());
            let this = Arc::clone(&self);
            let proven = tokio::task::spawn_blocking(move || {
                let Accepted { assignment, inference, .. } = accepted;
                let model = this.model(assignment.model)?;
                this.prover.prove(&model.package, inference, assignment.slice).ok()
            });
            let words = proven.await.ok().flatten();
            let took = self.clock.now_ms().saturating_sub(began);
            self.locked().queue.done(hash, words.as_ref().map(|_| took));
            self.metrics.proven(took, words.is_some());
            match words {
                Some(words) => self.hand_in(validator, hash, &words.concat()),
                None => tracing::error!(%job, slice, assignment = %hash, %validator, "a slice cannot be proven"),
            }
            // Another slot may have something to do.
            self.ready.notify_one();
        }
    }

    fn hand_in(&self, validator: Address, assignment: B256, proof: &[u8]) {
        let hand_in = HandIn { assignment, proofHash: keccak256(proof) };
        let proof_hash = hand_in.proofHash;
        let Ok(signed) = self.node.sign(&self.options.network, hand_in) else { return };
        let mut body = signed.to_bytes();
        body.extend_from_slice(proof);
        let Ok(frame) = frame(Kind::HandIn, &body) else { return };
        {
            let mut state = self.locked();
            if let Some((known, _)) = state.known.get_mut(&assignment) {
                known.handed_in = Some(proof_hash);
            }
            state.unanswered.insert(assignment, (validator, frame.clone()));
        }
        self.tell(validator, Ok(frame));
    }

    fn tell(&self, validator: Address, frame: Result<Vec<u8>, WireError>) {
        if let (Some((_, outbox)), Ok(frame)) = (self.locked().links.get(&validator), frame) {
            outbox.send(frame);
        }
    }

    fn receipt(&self, validator: Address, body: &[u8]) -> Result<(), PeerError> {
        let signed = Signed::<Receipt>::from_bytes(body, &self.options.network, Some(validator))?;
        let receipt = signed.message().clone();
        if (receipt.validator, receipt.miner) != (validator, self.address()) {
            return Err(PeerError::Unknown(receipt.assignment));
        }
        let mut state = self.locked();
        state.unanswered.remove(&receipt.assignment);
        let known = state.known.get(&receipt.assignment).map(|(known, _)| known.clone());
        let fault = state.ledger.take(&signed, body, &self.options.parameters, known.as_ref())?;
        drop(state);
        // Of what was assigned before a restart these are not known.
        let (job, slice) = known.map(|known| (known.assignment.job, known.assignment.slice)).unzip();
        let (job, assignment) = (job.map(tracing::field::display), receipt.assignment);
        match fault {
            Some(fault) => {
                tracing::error!(job, slice, %assignment, %validator, seq = receipt.seq, %fault, "a receipt is wrong; it is kept")
            }
            None => tracing::info!(
                job, slice, %assignment, %validator, verdict = receipt.verdict, ms = receipt.ms, credit = receipt.credit,
                debit = receipt.debit, "receipt"
            ),
        }
        Ok(())
    }
}

impl Model {
    fn new(package: Package) -> Result<Self, PackageError> {
        let mut keys = vec![0u8; package.slice_count().div_ceil(8)];
        for slice in 0..package.slice_count() {
            match package.proving_key(slice) {
                Ok(_) => keys[slice / 8] |= 1 << (slice % 8),
                Err(error) => tracing::warn!(folder = %package.folder().display(), slice, %error, "a slice is not served"),
            }
        }
        Ok(Self { package: Arc::new(package), keys })
    }
}

impl From<LedgerError> for PeerError {
    fn from(error: LedgerError) -> Self {
        Self::Ledger(error.to_string())
    }
}
