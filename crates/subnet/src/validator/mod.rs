//! What a validator is made of.
//!
//! ```text
//! jobs         received, executed, delivered: what callers see
//! dispatch     who gets which slice (a state machine without clock, store or connection)
//! queue        whose turn it is
//! assignments  offered, accepted, handed in, settled by a receipt
//! verification every proof, in batches of one key
//! peers        miners' connections
//! epochs       scores, and the roots of what was signed
//! benchmarks   what idle miners show what they can on
//! store        what must not be forgotten
//! pruning      what need not be remembered for ever
//! metrics      what was counted
//! ```
//!
//! All state that decides is behind one lock. A *turn* changes it, hands the changes to the store in the same order, and says what is to be
//! done once they are kept: nothing leaves before what it follows from is on disk.

mod assignments;
mod benchmarks;
pub mod dispatch;
mod epochs;
mod jobs;
mod metrics;
mod model;
mod peers;
mod pruning;
mod queue;
pub mod states;
mod store;
mod verification;
mod views;
mod window;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use alloy::primitives::{Address, B256};
use rand_chacha::ChaCha20Rng;
use rand_core::{RngCore, SeedableRng};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use zkslice_slicer::Package;

use crate::messages::Role;
use crate::receipts::Totals;
use crate::score::Parameters;
use crate::transport::{Identity, Outbox, random};
use crate::{Clock, LinkError, Network, Node, StoreError, ValidatorError, weights};
use assignments::{Given, Offer};
use dispatch::{Dispatch, Settings, Ticket};
pub use jobs::Submission;
use jobs::{Execution, OpenJob, Received, Stripes};
use metrics::Metrics;
pub(crate) use model::Model;
pub use store::JobKind;
use store::{Change, Store};
pub use verification::{Counts, Key, Stopped, Verification};
pub use views::{JobView, MinerView, QuoteView, ReceiptsView, WatchedEvent};

/// Proofs that wait to be verified.
const WAITING_PROOFS: usize = 4_096;

/// An epoch, and what its draws are seeded with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Epoch {
    /// Its number.
    pub number: u64,
    /// A hash that nobody knew before it began.
    pub beacon: B256,
}

/// What a validator is told.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where it is.
    pub network: Network,
    /// What it scores by.
    pub parameters: Parameters,
    /// How it dispatches.
    pub settings: Settings,
    /// Its store.
    pub database: PathBuf,
    /// What a unit of requests pays, in the smallest unit of the network's currency.
    pub price_per_unit: u128,
    /// Whether it proves slices itself that nobody else does.
    pub proves_itself: bool,
    /// So many of each request's first slices are proven by the validator itself: no miner sees what is close to an input.
    pub own_prefix: u16,
    /// Bytes of work that are on their way to miners at a time.
    pub work_bytes: usize,
    /// Slices that are open at a time.
    pub most_slices: usize,
    /// Jobs that a caller of the API has open at a time.
    pub most_jobs: usize,
    /// Miners that are let in; all where none are named.
    pub miners: Option<BTreeSet<Address>>,
    /// Miners at a time.
    pub most_miners: usize,
    /// Units of benchmarks that are given away in a minute.
    pub benchmark_units: u64,
    /// How long a job may take, where its caller does not say, in milliseconds.
    pub job_ms: u64,
    /// How long jobs, proofs and receipts are kept after they have ended, in milliseconds; roots and scores for ever.
    pub keep_ms: u64,
    /// What the ids of jobs and the values of benchmarks follow from, so that a simulation can be run again; the system's randomness in
    /// earnest.
    pub seed: Option<B256>,
}

impl Options {
    /// For a network, with a store, and what suits a small one otherwise.
    pub fn new(network: Network, database: PathBuf) -> Self {
        Self {
            network,
            database,
            parameters: Parameters::default(),
            settings: Settings::default(),
            price_per_unit: 0,
            proves_itself: true,
            own_prefix: 0,
            work_bytes: 256 << 20,
            most_slices: 20_000,
            most_jobs: 64,
            miners: None,
            most_miners: 1_024,
            benchmark_units: 10_000,
            job_ms: 600_000,
            keep_ms: 30 * 86_400_000,
            seed: None,
        }
    }
}

/// Executes models, hands out their slices, verifies every proof, and signs what became of each.
#[derive(Debug)]
pub struct Validator {
    node: Node,
    options: Options,
    clock: Clock,
    models: BTreeMap<B256, Arc<Model>>,
    store: Store,
    verification: Verification,
    metrics: Metrics,
    core: Mutex<Core>,
    /// Something may be due, or can be given away.
    wake: Notify,
    errands: mpsc::UnboundedSender<Errand>,
    work_room: Arc<Semaphore>,
    submitting: [Stripes; 2],
    seeded: Option<Mutex<ChaCha20Rng>>,
    settling_late: tokio::sync::Mutex<()>,
    /// Weights on their way to a chain.
    on_chain: Mutex<Option<weights::Status>>,
    settling: tokio::sync::Mutex<()>,
    /// What miners have done, and until when that is new enough.
    counted: tokio::sync::Mutex<Option<(tokio::time::Instant, Arc<Vec<store::Record>>)>>,
    /// Jobs that are executed, or slices that are proven here, at a time.
    executions: Arc<Semaphore>,
    own_proofs: Arc<Semaphore>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

#[derive(Debug)]
pub(crate) struct Core {
    epoch: Epoch,
    /// The epoch that was written down last.
    noted: Option<Epoch>,
    dispatch: Dispatch,
    jobs: HashMap<B256, OpenJob>,
    /// Jobs that are not executed yet.
    received: HashMap<B256, Received>,
    deadlines: BTreeSet<(u64, B256)>,
    open_slices: usize,
    /// Assignments that are open, or were missed a moment ago.
    given: HashMap<B256, Given>,
    tickets: HashMap<Ticket, B256>,
    /// Misses for which nobody is debited until it is known that the validator itself was there.
    held: VecDeque<(u64, B256)>,
    peers: BTreeMap<Address, (u64, Outbox)>,
    totals: HashMap<Address, Totals>,
    /// Of each job that is not over: whether it is.
    watched: HashMap<B256, watch::Sender<bool>>,
    /// Jobs whose bundles nobody has fetched yet.
    complete: HashSet<B256>,
    numbers: u64,
}

/// What is to be done once changes are kept.
pub(crate) enum Then {
    /// A job is to be executed.
    Execute(Box<Execution>),
    /// A miner gets a frame.
    Send(Address, Vec<u8>),
    /// A miner gets work.
    Offer(Box<Offer>),
    /// All slices of a job are proven.
    Assemble(B256),
    /// Nobody takes a slice.
    Prove(B256, u16, Option<OwnedSemaphorePermit>),
    /// A proof is to be verified.
    Verify(B256),
}

struct Errand {
    kept: oneshot::Receiver<Result<(), StoreError>>,
    then: Vec<Then>,
}

/// Changes that belong together.
pub(crate) struct Turn {
    now: u64,
    changes: Vec<Change>,
    then: Vec<Then>,
}

impl Turn {
    fn change(&mut self, change: Change) {
        self.changes.push(change);
    }

    fn then(&mut self, then: Then) {
        self.then.push(then);
    }
}

impl Validator {
    /// Takes up what the store has, and begins. `epochs` says which epoch it is.
    ///
    /// # Errors
    /// [`ValidatorError`] for a store that cannot be used, and for packages without keys.
    pub async fn start(
        node: Node,
        packages: Vec<Package>,
        options: Options,
        clock: Clock,
        epochs: watch::Receiver<Epoch>,
    ) -> Result<Arc<Self>, ValidatorError> {
        let mut models = BTreeMap::new();
        for package in packages {
            if package.foreign().is_some() {
                return Err(ValidatorError::Foreign(package.folder().to_owned()));
            }
            // Without its key a slice that no miner gets would never be proven.
            (0..package.slice_count().min(usize::from(options.own_prefix))).try_for_each(|k| package.proving_key(k).map(drop))?;
            let model = Model::new(package)?;
            models.insert(model.digest, Arc::new(model));
        }
        let belongs_to = vec![
            ("chain", options.network.chain_id.to_string()),
            ("registry", options.network.registry.to_string()),
            ("validator", node.address().to_string()),
        ];
        let store = Store::open(&options.database, belongs_to, clock).await?;
        let (errands, incoming) = mpsc::unbounded_channel();
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let epoch = *epochs.borrow();
        let mut dispatch = Dispatch::new(options.parameters, options.settings);
        dispatch.begin_epoch(epoch.beacon);
        let core = Core {
            epoch,
            noted: None,
            dispatch,
            jobs: HashMap::new(),
            received: HashMap::new(),
            deadlines: BTreeSet::new(),
            open_slices: 0,
            given: HashMap::new(),
            tickets: HashMap::new(),
            held: VecDeque::new(),
            peers: BTreeMap::new(),
            totals: HashMap::new(),
            watched: HashMap::new(),
            complete: HashSet::new(),
            numbers: 0,
        };
        let metrics = Metrics::new();
        let validator = Arc::new(Self {
            models,
            store,
            verification: Verification::observed(WAITING_PROOFS, metrics.of_batches(), clock),
            metrics,
            core: Mutex::new(core),
            wake: Notify::new(),
            errands,
            work_room: Arc::new(Semaphore::new(options.work_bytes)),
            executions: Arc::new(Semaphore::new(cores)),
            submitting: Default::default(),
            seeded: options.seed.map(|seed| Mutex::new(ChaCha20Rng::from_seed(seed.0))),
            settling_late: tokio::sync::Mutex::new(()),
            on_chain: Mutex::new(None),
            settling: tokio::sync::Mutex::new(()),
            counted: tokio::sync::Mutex::new(None),
            own_proofs: Arc::new(Semaphore::new(1)),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
            node,
            options,
            clock,
        });
        validator.recover().await?;
        validator.spawn(Self::run_errands(Arc::clone(&validator), incoming));
        validator.spawn(Self::run_clock(Arc::clone(&validator)));
        validator.spawn(Self::run_epochs(Arc::clone(&validator), epochs));
        validator.spawn(Self::run_benchmarks(Arc::clone(&validator)));
        validator.spawn(Self::run_pruning(Arc::clone(&validator)));
        Ok(validator)
    }

    /// Its address.
    pub const fn address(&self) -> Address {
        self.node.address()
    }

    /// Who it is on its links.
    pub fn identity(&self) -> Identity {
        Identity {
            node: self.node.clone(),
            role: Role::Validator,
            network: self.options.network,
            parameters: self.options.parameters.hash(),
        }
    }

    /// Gives nothing away any more, and lets miners go. What was handed over to the store is kept.
    pub fn stop(&self) {
        self.stop.cancel();
        self.locked().peers.values().for_each(|(_, outbox)| outbox.close());
    }

    /// Waits until it is stopped, by [`Validator::stop`] or by an error that is logged, and everything has ended.
    pub async fn ended(&self) {
        self.stop.cancelled().await;
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// 32 bytes that nobody knows before.
    fn random(&self) -> Result<B256, LinkError> {
        let Some(seeded) = &self.seeded else { return random() };
        let mut bytes = B256::ZERO;
        seeded.lock().unwrap_or_else(PoisonError::into_inner).fill_bytes(bytes.as_mut_slice());
        Ok(bytes)
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(task);
    }

    fn locked(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was verified so far.
    pub fn verified(&self) -> Counts {
        self.verification.counts()
    }

    /// Changes the state; what is said is done when the changes are kept. Then something may be due, or can be given away.
    fn turn<R>(&self, act: impl FnOnce(&mut Core, &mut Turn) -> R) -> R {
        let result = self.quiet_turn(act);
        self.wake.notify_one();
        result
    }

    fn quiet_turn<R>(&self, act: impl FnOnce(&mut Core, &mut Turn) -> R) -> R {
        let mut core = self.locked();
        let mut turn = Turn { now: self.clock.now_ms(), changes: Vec::new(), then: Vec::new() };
        let result = act(&mut core, &mut turn);
        if !turn.changes.is_empty() || !turn.then.is_empty() {
            self.metrics.count(&turn.changes);
            // While the lock is held: the store gets changes in the order in which they were made.
            let kept = self.store.submit(turn.now, turn.changes);
            let _ = self.errands.send(Errand { kept, then: turn.then });
        }
        result
    }

    /// One errand after the other, so that each miner gets its frames in order.
    async fn run_errands(self: Arc<Self>, mut incoming: mpsc::UnboundedReceiver<Errand>) {
        loop {
            let Errand { kept, then } = tokio::select! {
                biased;
                Some(errand) = incoming.recv() => errand,
                () = self.stop.cancelled() => return,
            };
            if let Err(error) = kept.await.unwrap_or(Err(StoreError::Stopped)) {
                // What is not on disk must not leave.
                tracing::error!(%error, "the validator stops");
                self.stop();
                return;
            }
            then.into_iter().for_each(|then| self.run(then));
        }
    }

    fn run(self: &Arc<Self>, then: Then) {
        let this = Arc::clone(self);
        match then {
            Then::Execute(execution) => self.spawn(async move { this.execute(*execution).await }),
            Then::Send(miner, frame) => {
                if let Some((_, outbox)) = self.locked().peers.get(&miner) {
                    outbox.send(frame);
                }
            }
            Then::Offer(offer) => self.spawn(async move { this.offer(*offer).await }),
            Then::Assemble(job) => self.spawn(async move { this.assemble(job).await }),
            Then::Prove(job, slice, permit) => self.spawn(async move { this.prove_itself(job, slice, permit).await }),
            Then::Verify(assignment) => self.spawn(async move { this.verify(assignment).await }),
        }
    }

    /// What time brings, and what can be given away.
    async fn run_clock(self: Arc<Self>) {
        loop {
            let next = self.quiet_turn(|core, turn| {
                self.tick(core, turn);
                core.next_due(turn.now)
            });
            tokio::select! {
                biased;
                () = self.wake.notified() => {}
                () = self.clock.sleep_until(next.unwrap_or(u64::MAX)), if next.is_some() => {}
                () = self.stop.cancelled() => return,
            }
        }
    }
}
