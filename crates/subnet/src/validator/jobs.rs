//! Jobs: received, executed, dispatched, complete.

use std::collections::HashMap;
use std::sync::Arc;

use alloy::primitives::{B256, keccak256};
use tokio::sync::{OwnedSemaphorePermit, oneshot, watch};
use zkslice_formats::{Word, hex0x};
use zkslice_groth16::Statement;
use zkslice_prover::{Bundle, BundleSource, Job, ProverError, SliceProof, prove};

use super::assignments::{Given, Words};
use super::dispatch::{Restored, Slice, SliceId, Stage, Ticket};
use super::model::{Executed, Model};
use super::states::{AssignmentState, JobState, SliceState};
use super::store::{Change, JobKind, Loaded, NewJob, StoredAssignment, StoredJob};
use super::{Core, Stopped, Then, Turn, Validator};
use crate::error::for_log;
use crate::messages::{Assignment, Receipt};
use crate::privacy::Private;
use crate::receipts::Totals;
use crate::{JobError, Signed, ValidatorError};

/// Whose jobs are those that this process asks for itself: no caller of the API has this name.
const OWN: &str = "";

/// States and proofs of slices, as the store has them.
type Proofs = HashMap<SliceId, (SliceState, Option<Words>)>;

/// What proofs of a bundle state, and their words.
type Claims = Vec<(Statement, Words)>;

/// A job that a restart has interrupted.
struct Interrupted {
    stored: StoredJob,
    model: Arc<Model>,
    /// Without proofs.
    bundle: Bundle,
    /// Its assignments that are not closed.
    open: Vec<StoredAssignment>,
}

/// What somebody wants proven.
#[derive(Clone, Debug)]
pub struct Submission {
    /// The inference.
    pub job: Job,
    /// Openings of its private inputs, if it has any.
    pub private: Option<Private>,
    /// Until when the bundle is of use, Unix time in milliseconds; the validator's own limit where it is not said.
    pub deadline_ms: Option<u64>,
    /// Who asks.
    pub caller: String,
    /// The caller's name for it: the same one again is the same job.
    pub idempotency: Option<String>,
}

/// A job that is written down, and not executed yet.
#[derive(Debug)]
pub(crate) struct Received {
    caller: String,
    slices: usize,
    deadline_ms: u64,
}

/// What is to be executed, and who waits for that.
pub(crate) struct Execution {
    id: B256,
    model: Arc<Model>,
    /// Context and owner.
    binding: [B256; 2],
    words: Vec<Word>,
    done: Option<oneshot::Sender<Result<(), JobError>>>,
}

/// A job that has something left to do, or whose proofs are still looked at.
#[derive(Debug)]
pub(crate) struct OpenJob {
    id: B256,
    caller: String,
    pub(crate) kind: JobKind,
    pub(crate) model: Arc<Model>,
    /// Without proofs.
    pub(crate) bundle: Arc<Bundle>,
    /// Of its public words, and of its commitments.
    pub(crate) hashes: [B256; 2],
    pub(crate) state: JobState,
    pub(crate) slices: Vec<OpenSlice>,
    pub(crate) deadline_ms: u64,
    /// Of a benchmark, slices that have not ended.
    left: usize,
}

#[derive(Debug)]
pub(crate) struct OpenSlice {
    pub(crate) state: SliceState,
    pub(crate) proof: Option<Words>,
    /// Its assignments that are not forgotten.
    pub(crate) given: Vec<B256>,
}

impl OpenJob {
    pub(crate) fn new(id: B256, caller: String, kind: JobKind, model: Arc<Model>, bundle: Bundle, deadline_ms: u64) -> Self {
        let hashes = crate::work::hashes(bundle.tensors.iter().flatten());
        let slices: Vec<OpenSlice> =
            (0..model.slices()).map(|_| OpenSlice { state: SliceState::Pending, proof: None, given: Vec::new() }).collect();
        let left = slices.len();
        let (bundle, state) = (Arc::new(bundle), JobState::Executed);
        Self { id, caller, kind, model, bundle, hashes, state, slices, deadline_ms, left }
    }

    /// Its context, and the owner of its private inputs.
    pub(crate) fn binding(&self) -> [B256; 2] {
        [B256::from(self.bundle.context), B256::from(self.bundle.owner)]
    }

    /// A slice as it is dispatched.
    pub(crate) fn slice(&self, slice: u16) -> Slice {
        let units = self.model.units.get(usize::from(slice)).copied().unwrap_or(1);
        Slice { id: (self.id, slice), model: self.model.digest, caller: keccak256(&self.caller), units, deadline_ms: self.deadline_ms }
    }

    fn change(&mut self, turn: &mut Turn, to: JobState, reason: &str) {
        debug_assert!(self.state.can_become(to), "{:?} to {to:?}", self.state);
        turn.change(Change::Job { id: self.id, from: self.state, to, reason: reason.to_owned() });
        turn.change(Change::Event { job: self.id, kind: to.as_str(), slice: None });
        self.state = to;
    }

    /// A slice of it was given to somebody.
    pub(crate) fn begin(&mut self, turn: &mut Turn) {
        if self.state == JobState::Executed {
            self.change(turn, JobState::Dispatching, "");
        }
    }

    /// Notes a slice's new state. What is proven stays so.
    pub(crate) fn move_slice(&mut self, turn: &mut Turn, slice: u16, to: SliceState) {
        let Some(entry) = self.slices.get_mut(usize::from(slice)) else { return };
        if entry.state == to || entry.state == SliceState::Proven {
            return;
        }
        debug_assert!(entry.state.can_become(to), "{:?} to {to:?}", entry.state);
        turn.change(Change::Slice { job: self.id, slice, from: entry.state, to, proof: None });
        entry.state = to;
    }

    fn is_proven(&self) -> bool {
        self.slices.iter().all(|slice| slice.proof.is_some())
    }
}

impl Core {
    /// A job is written down: it counts as open while it is executed.
    fn receive(&mut self, id: B256, received: Received) {
        self.open_slices += received.slices;
        self.deadlines.insert((received.deadline_ms, id));
        self.received.insert(id, received);
    }

    /// A job is executed no more, or not needed. None if it was not.
    fn received(&mut self, id: B256) -> Option<Received> {
        let received = self.received.remove(&id)?;
        self.open_slices = self.open_slices.saturating_sub(received.slices);
        self.deadlines.remove(&(received.deadline_ms, id));
        Some(received)
    }

    /// Jobs of a caller that are not over.
    fn open_of(&self, caller: &str) -> usize {
        let received = self.received.values().filter(|job| job.caller == caller).count();
        received + self.jobs.values().filter(|job| job.state.is_open() && job.caller == caller).count()
    }

    /// A job has been executed: its slices can be given away, those of a benchmark to whom it is for.
    pub(crate) fn open_job(&mut self, turn: &Turn, job: OpenJob) {
        self.open_slices += job.slices.len();
        self.deadlines.insert((job.deadline_ms, job.id));
        if job.kind == JobKind::Request {
            (0..job.model.slices()).for_each(|k| self.dispatch.add(job.slice(k), turn.now));
        }
        self.jobs.insert(job.id, job);
    }

    /// The validator proves a slice itself, and nobody else gets it.
    fn keep(&mut self, turn: &mut Turn, (id, slice): SliceId) {
        self.dispatch.keep((id, slice));
        turn.then(Then::Prove(id, slice, None));
    }

    /// A job ends before it is complete: nobody is debited for what is open, and what is here already is still looked at.
    pub(crate) fn close_job(&mut self, turn: &mut Turn, id: B256, to: JobState, reason: &str) {
        if self.received(id).is_some() {
            let to = JobState::Cancelled;
            turn.change(Change::Job { id, from: JobState::Received, to, reason: reason.to_owned() });
            turn.change(Change::Event { job: id, kind: to.as_str(), slice: None });
            self.watched.remove(&id).map(|watched| watched.send_replace(true));
            return;
        }
        let Some(job) = self.jobs.get_mut(&id).filter(|job| job.state.is_open()) else { return };
        job.change(turn, to, reason);
        self.end_job(turn, id);
    }

    /// What is to be done when a job is over, in whatever way.
    fn end_job(&mut self, turn: &mut Turn, id: B256) {
        let Some(job) = self.jobs.get(&id) else { return };
        self.open_slices = self.open_slices.saturating_sub(job.slices.len());
        self.deadlines.remove(&(job.deadline_ms, id));
        let slices: Vec<SliceId> = (0..job.model.slices()).map(|k| (id, k)).collect();
        let given: Vec<B256> = job.slices.iter().flat_map(|slice| slice.given.iter().copied()).collect();
        self.watched.remove(&id).map(|watched| watched.send_replace(true));
        self.dispatch.remove(slices.into_iter());
        for hash in given {
            if self.given.get(&hash).is_some_and(|given| given.state.is_open() && given.state != AssignmentState::HandedIn) {
                self.end(turn, hash, AssignmentState::Cancelled, "its job is over");
                super::assignments::cancel(turn, self, hash);
                self.forget(hash);
            }
        }
        if self.jobs.get(&id).is_some_and(|job| job.slices.iter().all(|slice| slice.given.is_empty())) {
            self.jobs.remove(&id);
        }
    }

    /// So many slices of a benchmark have ended, in whatever way.
    pub(crate) fn benchmark_ended(&mut self, turn: &mut Turn, id: B256, slices: usize) {
        let Some(job) = self.jobs.get_mut(&id).filter(|job| job.state.is_open()) else { return };
        job.left = job.left.saturating_sub(slices);
        if job.left > 0 {
            return;
        }
        if job.is_proven() {
            job.change(turn, JobState::Complete, "");
            job.change(turn, JobState::Delivered, "");
            job.change(turn, JobState::Settled, "");
            self.end_job(turn, id);
        } else {
            self.close_job(turn, id, JobState::Cancelled, "not all of the benchmark was proven");
        }
    }
}

/// Locks by what is asked for: those who ask for different things seldom wait for each other.
#[derive(Debug)]
pub(crate) struct Stripes([tokio::sync::Mutex<()>; 64]);

impl Default for Stripes {
    fn default() -> Self {
        Self(std::array::from_fn(|_| tokio::sync::Mutex::new(())))
    }
}

impl Stripes {
    async fn lock(&self, of: &impl std::hash::Hash, is_needed: bool) -> Option<tokio::sync::MutexGuard<'_, ()>> {
        if !is_needed {
            return None;
        }
        let mut hasher = std::hash::DefaultHasher::new();
        std::hash::Hash::hash(of, &mut hasher);
        Some(self.0[(std::hash::Hasher::finish(&hasher) % 64) as usize].lock().await)
    }
}

impl Validator {
    /// Digests of the models that it serves.
    pub fn models(&self) -> Vec<B256> {
        self.models.keys().copied().collect()
    }

    /// Of each input of a model, whether it is private.
    ///
    /// # Errors
    /// [`JobError::Model`].
    pub fn private_inputs(&self, model: B256) -> Result<Vec<bool>, JobError> {
        self.models.get(&model).map(|model| model.private_inputs()).ok_or_else(|| JobError::Model(model.to_string()))
    }

    /// Takes a job: it is written down, executed, and its slices wait for miners. The same job again, by its caller's name for it or by its
    /// context, is the same one.
    ///
    /// # Errors
    /// [`JobError`]: what the input, the deadline or the caller's name is refused for.
    pub async fn submit(&self, submission: Submission) -> Result<B256, JobError> {
        let Submission { job, private, deadline_ms, caller, idempotency } = submission;
        let model = Arc::clone(self.models.get(&B256::from(job.model)).ok_or_else(|| JobError::Model(hex0x(&job.model)))?);
        let owner = B256::from(job.owner);
        let words = match &private {
            Some(private) => {
                private.check(&job, self.address())?;
                // To commit to a large input takes as long as to execute a model.
                let permit = Arc::clone(&self.executions).acquire_owned().await.map_err(|_| JobError::Stopped)?;
                let (of, inputs, openings) = (Arc::clone(&model), job.inputs.clone(), private.openings.clone());
                let words = self.clock.apart(move || {
                    let words = of.words(&inputs, &openings)?;
                    of.check_openings(&inputs, owner, &words).map(|()| words)
                });
                let words = words.await.map_err(|_| JobError::Stopped)??;
                drop(permit);
                words
            }
            None if owner.is_zero() => model.words(&job.inputs, &[])?,
            None => return Err(JobError::Owner),
        };
        let now = self.clock.now_ms();
        let deadline_ms = self.deadline(&model, deadline_ms, now)?;
        let context = B256::from(job.context);
        let inputs = words.concat();
        let content = content(&model, &caller, [context, owner], &inputs);
        // The same job twice at a time is one: those of one name or one content come one after the other.
        let of_name = self.submitting[0].lock(&(&caller, &idempotency), idempotency.is_some()).await;
        let of_content = self.submitting[1].lock(&content, !context.is_zero()).await;
        let submitting = (of_name, of_content);
        // What was taken before is in the store then, though whoever asked for it may have gone.
        self.store.keep(now, Vec::new()).await?;
        if let Some(name) = &idempotency
            && let Some(known) = self.store.job_named(caller.clone(), name.clone()).await?
        {
            return if known.new.content == Some(content) { Ok(known.new.id) } else { Err(JobError::Name(name.clone())) };
        }
        // What was given up, or settled, is asked for anew; salts of an inference are used once.
        if !context.is_zero()
            && let Some(newest) = self.store.job_of_content(content).await?
            && !matches!(newest.state, JobState::Cancelled | JobState::Failed | JobState::Settled)
        {
            return Ok(newest.new.id);
        }
        let id = self.random()?;
        let new = NewJob {
            id,
            kind: JobKind::Request,
            model: model.digest,
            context,
            owner,
            inputs,
            hand_over: private.map(|private| private.hand_over.to_bytes()),
            deadline_ms,
            caller: caller.clone(),
            idempotency,
            content: Some(content),
        };
        let (done, executed) = oneshot::channel();
        let execution = Execution { id, model, binding: [context, owner], words, done: Some(done) };
        self.quiet_turn(|core, turn| {
            let slices = usize::from(execution.model.slices());
            if core.open_slices + slices > self.options.most_slices {
                return Err(JobError::Full);
            }
            if caller != OWN && core.open_of(&caller) >= self.options.most_jobs {
                return Err(JobError::Many(self.options.most_jobs));
            }
            core.watched.insert(id, watch::Sender::new(false));
            core.receive(id, Received { caller, slices, deadline_ms });
            turn.change(Change::NewJob(Box::new(new)));
            // Apart from whoever asks, who may be gone before it is done.
            turn.then(Then::Execute(Box::new(execution)));
            Ok(())
        })?;
        drop(submitting);
        executed.await.map_err(|_| JobError::Stopped)??;
        Ok(id)
    }

    /// Until when a bundle is of use: neither past, nor sooner than the fastest could be.
    fn deadline(&self, model: &Model, asked: Option<u64>, now: u64) -> Result<u64, JobError> {
        let Some(deadline_ms) = asked else { return Ok(now + self.options.job_ms) };
        let largest = model.units.iter().copied().max().unwrap_or(1);
        let least = self.options.parameters.fast_at_ms(largest);
        if deadline_ms < now + least {
            return Err(JobError::Deadline { deadline_ms, least });
        }
        Ok(deadline_ms.min(now + self.options.job_ms))
    }

    /// Executes a job, and says how that went.
    pub(crate) async fn execute(&self, Execution { id, model, binding, words, done }: Execution) {
        let Ok(permit) = Arc::clone(&self.executions).acquire_owned().await else { return };
        let of = Arc::clone(&model);
        let is_wanted = self.locked().received.contains_key(&id);
        let executed = self.clock.apart(move || {
            let executed = if is_wanted { of.execute(binding, &words).map_err(JobError::from) } else { Err(JobError::Stopped) };
            let (executed, bundle) = executed?;
            let json = bundle.to_json().map_err(|e| JobError::Bundle(e.to_string()))?;
            Ok((executed.to_bytes()?, json, bundle))
        });
        let executed = executed.await.unwrap_or(Err(JobError::Stopped));
        drop(permit);
        let result = self.turn(|core, turn| {
            let Some(Received { caller, deadline_ms, .. }) = core.received(id) else {
                return Err(JobError::Over {
                    state: JobState::Cancelled.as_str(),
                    reason: "it was given up before it was executed".to_owned(),
                });
            };
            match executed {
                Ok((executed, json, bundle)) => {
                    turn.change(Change::Executed { id, executed, bundle: json, slices: model.slices() });
                    turn.change(Change::Event { job: id, kind: "executed", slice: None });
                    let job = OpenJob::new(id, caller, JobKind::Request, Arc::clone(&model), bundle, deadline_ms);
                    core.open_job(turn, job);
                    (0..model.slices().min(self.options.own_prefix)).for_each(|k| core.keep(turn, (id, k)));
                    Ok(())
                }
                Err(error) => {
                    core.watched.remove(&id).map(|watched| watched.send_replace(true));
                    turn.change(Change::Job { id, from: JobState::Received, to: JobState::Refused, reason: error.to_string() });
                    Err(error)
                }
            }
        });
        match (result, done) {
            // Whoever asked may be gone.
            (result, Some(done)) => drop(done.send(result)),
            (Err(error), None) => tracing::warn!(job = %id, error = for_log(&error), "a job from before is refused"),
            (Ok(()), None) => {}
        }
    }

    /// A job in the store, with everything that was decided before.
    pub(crate) async fn stored(&self, id: B256) -> Result<StoredJob, JobError> {
        self.store.keep(self.clock.now_ms(), Vec::new()).await?;
        self.store.job(id).await?.ok_or(JobError::Unknown(id))
    }

    /// The bundle of a job, when it is complete; the job is then delivered.
    ///
    /// # Errors
    /// [`JobError`]: why there will be none.
    pub async fn bundle_of(&self, id: B256) -> Result<Bundle, JobError> {
        loop {
            let watched = self.locked().watched.get(&id).map(watch::Sender::subscribe);
            if let Some(mut watched) = watched {
                // A sender that goes has said that the job is over.
                tokio::select! {
                    _ = watched.wait_for(|is_over| *is_over) => {}
                    () = self.stop.cancelled() => return Err(JobError::Stopped),
                }
            }
            let stored = self.stored(id).await?;
            match stored.state {
                JobState::Complete | JobState::Delivered | JobState::Settled => {
                    let bundle = stored.bundle.ok_or_else(|| JobError::Bundle("it is not in the store".to_owned()))?;
                    let bundle = Bundle::from_json(&bundle).map_err(|e| JobError::Bundle(e.to_string()))?;
                    if stored.state == JobState::Complete {
                        self.turn(|core, turn| {
                            // Two may have come for it.
                            if core.complete.remove(&id) {
                                turn.change(Change::Job { id, from: JobState::Complete, to: JobState::Delivered, reason: String::new() });
                            }
                        });
                    }
                    return Ok(bundle);
                }
                JobState::Refused | JobState::Cancelled | JobState::Failed => {
                    return Err(JobError::Over { state: stored.state.as_str(), reason: stored.reason });
                }
                JobState::Received | JobState::Executed | JobState::Dispatching => {
                    if self.stop.is_cancelled() {
                        return Err(JobError::Stopped);
                    }
                    tokio::task::yield_now().await;
                }
            }
        }
    }

    /// Nobody wants a job any more.
    pub fn cancel(&self, id: B256) {
        self.turn(|core, turn| core.close_job(turn, id, JobState::Cancelled, "whoever asked for it is gone"));
    }

    /// All slices are proven: the bundle is looked at once more, as contracts do.
    pub(crate) async fn assemble(&self, id: B256) {
        let found = self.locked().jobs.get(&id).map(|job| {
            let proofs = job.slices.iter().enumerate().filter_map(|(slice, open)| {
                let proof = open.proof.as_ref()?.to_vec();
                Some(SliceProof { slice, proof })
            });
            (Arc::clone(&job.model), Bundle { proofs: proofs.collect(), ..(*job.bundle).clone() })
        });
        let Some((model, bundle)) = found else { return };
        let of = Arc::clone(&model);
        let claimed = self.clock.apart(move || {
            let claims = of.verifier.claims(&bundle).map_err(|e| e.to_string())?;
            Ok((claims, bundle.to_json().map_err(|e| e.to_string())?))
        });
        let verified = match claimed.await.unwrap_or_else(|e| Err(e.to_string())) {
            Ok((claims, bundle)) => match self.hold(&model, claims).await {
                Ok(verdict) => verdict.map(|()| bundle),
                // It is assembled again after the restart.
                Err(Stopped) => return,
            },
            Err(error) => Err(error),
        };
        self.turn(|core, turn| match verified {
            Ok(bundle) => {
                let Some(job) = core.jobs.get_mut(&id).filter(|job| job.state == JobState::Dispatching) else { return };
                turn.change(Change::Bundle { id, bundle });
                job.change(turn, JobState::Complete, "");
                core.complete.insert(id);
                core.end_job(turn, id);
            }
            Err(error) => {
                tracing::error!(job = %id, %error, "each proof holds, and the bundle does not");
                core.close_job(turn, id, JobState::Failed, "its bundle does not verify");
            }
        });
    }

    /// Whether all proofs of a bundle hold. Each is verified together with others of its key, whosever they are, which
    /// costs a fraction of what it costs alone.
    async fn hold(&self, model: &Model, claims: Claims) -> Result<Result<(), String>, Stopped> {
        let check = |((statement, words), key)| self.verification.check(key, self.address(), statement, words);
        let verdicts = futures_util::future::try_join_all(claims.into_iter().zip(&model.keys).map(check)).await?;
        let bad = verdicts.into_iter().enumerate().find_map(|(slice, verdict)| Some((slice, verdict.err()?)));
        Ok(bad.map_or(Ok(()), |(slice, error)| Err(format!("slice {slice}: {error}"))))
    }

    /// Nobody is left to take a slice: it is proven here, or its job fails.
    pub(crate) fn exhausted(&self, core: &mut Core, turn: &mut Turn, (id, slice): SliceId) {
        if self.options.proves_itself {
            core.keep(turn, (id, slice));
        } else {
            let attempts = self.options.settings.attempts;
            core.close_job(turn, id, JobState::Failed, &format!("slice {slice} was given away {attempts} times, and nobody proved it"));
        }
    }

    /// For a while nobody took a slice: it is proven here, where nothing else is; if something is, miners may still be sooner.
    pub(crate) fn starved(&self, core: &mut Core, turn: &mut Turn, (id, slice): SliceId) {
        if self.options.proves_itself
            && let Ok(permit) = Arc::clone(&self.own_proofs).try_acquire_owned()
        {
            core.dispatch.keep((id, slice));
            turn.then(Then::Prove(id, slice, Some(permit)));
        }
    }

    pub(crate) async fn prove_itself(&self, id: B256, slice: u16, permit: Option<OwnedSemaphorePermit>) {
        let permit = match permit {
            Some(permit) => permit,
            None => {
                let Ok(permit) = Arc::clone(&self.own_proofs).acquire_owned().await else { return };
                permit
            }
        };
        let is_wanted = |job: &&OpenJob| {
            job.state.is_open() && job.slices.get(usize::from(slice)).is_some_and(|slice| slice.state != SliceState::Proven)
        };
        let found = self.locked().jobs.get(&id).filter(is_wanted).map(|job| (Arc::clone(&job.model), job.binding()));
        let (Some((model, binding)), Ok(Some(executed))) = (found, self.store.executed(id).await) else { return };
        let proven = self.clock.apart(move || {
            let _permit = permit;
            let inference = model.inference(&Executed::from_bytes(&executed)?, slice, binding).map_err(JobError::from)?;
            let k = usize::from(slice);
            let proven = prove(&model.package, inference, k..k + 1, &mut rand_core::OsRng, |_| ())?;
            let proof = proven.bundle.proofs.into_iter().next().map(|proof| proof.proof);
            proof.and_then(|proof| Words::try_from(proof.as_slice()).ok()).ok_or(JobError::Stopped)
        });
        let proven = proven.await.unwrap_or(Err(JobError::Stopped));
        self.turn(|core, turn| match proven {
            Ok(words) => {
                if core.jobs.get(&id).as_ref().is_some_and(is_wanted) {
                    // A miner's proof that is still looked at comes second now.
                    let others = core.dispatch.remove(std::iter::once((id, slice)));
                    self.metrics.own_proofs.increment(1);
                    self.supersede(core, turn, &others);
                    core.proven(turn, (id, slice), words);
                }
            }
            Err(error) => {
                tracing::error!(job = %id, slice, error = for_log(&error), "a slice cannot be proven");
                core.close_job(turn, id, JobState::Failed, &format!("slice {slice} cannot be proven"));
            }
        });
    }

    /// Takes up what the store has.
    pub(crate) async fn recover(self: &Arc<Self>) -> Result<(), ValidatorError> {
        let Loaded { jobs, slices, complete, assignments, attempts, receipts, miners, newest, served } = self.store.load().await?;
        let attempts: HashMap<SliceId, u8> = attempts.into_iter().map(|(job, slice, count)| ((job, slice), count)).collect();
        let mut of_job: HashMap<B256, Vec<StoredAssignment>> = HashMap::new();
        assignments.into_iter().for_each(|stored| of_job.entry(stored.new.job).or_default().push(stored));
        let mut proofs = Proofs::new();
        for (job, slice, state, proof) in slices {
            let proof = proof.and_then(|proof| read_words(&proof));
            if state == SliceState::Proven && proof.is_none() {
                return Err(ValidatorError::Job(job, format!("slice {slice} is proven, and its proof is not there")));
            }
            proofs.insert((job, slice), (state, proof));
        }
        let mut to_execute = Vec::new();
        self.quiet_turn(|core, turn| {
            core.complete.extend(complete);
            for message in receipts {
                let receipt = Signed::<Receipt>::from_bytes(&message, &self.options.network, Some(self.address()))?;
                core.totals.insert(receipt.message().miner, Totals::of(receipt.message()));
            }
            // What was drawn in this epoch before goes on.
            if let Some(newest) = newest.filter(|newest| newest.number >= core.epoch.number) {
                if newest != core.epoch {
                    let (said, newest) = (core.epoch.number, newest.number);
                    tracing::error!(
                        said,
                        newest,
                        "the chain says an epoch that is over: the newest one goes on; epoch_blocks must stay as it was"
                    );
                }
                core.epoch = newest;
                core.dispatch.begin_epoch(newest.beacon);
                for (miner, units) in served {
                    core.dispatch.resume(miner, units);
                }
            }
            for (miner, valid, invalid, until) in miners {
                core.dispatch.remember(miner, valid, invalid, until);
            }
            for stored in jobs {
                let id = stored.new.id;
                let Some(model) = self.models.get(&stored.new.model).map(Arc::clone) else {
                    if stored.state.is_open() {
                        let reason = "the validator does not serve its model any more".to_owned();
                        turn.change(Change::Job { id, from: stored.state, to: JobState::Cancelled, reason });
                    }
                    continue;
                };
                let open = of_job.remove(&id).unwrap_or_default();
                if stored.state.is_open() {
                    core.watched.insert(id, watch::Sender::new(false));
                }
                match stored.bundle.as_deref().map(Bundle::from_json) {
                    Some(Ok(bundle)) => {
                        let job = Interrupted { stored, model, bundle: Bundle { proofs: Vec::new(), ..bundle }, open };
                        self.restore(core, turn, job, &proofs, &attempts)?;
                    }
                    Some(Err(error)) => return Err(ValidatorError::Job(id, error.to_string())),
                    None if stored.state == JobState::Received => {
                        let (slices, deadline_ms) = (usize::from(model.slices()), stored.new.deadline_ms);
                        core.receive(id, Received { caller: stored.new.caller.clone(), slices, deadline_ms });
                        to_execute.push((model, stored));
                    }
                    None => return Err(ValidatorError::Job(id, "it has no bundle".to_owned())),
                }
            }
            // What came of these cannot be seen any more: their miners get nothing, and lose nothing.
            for StoredAssignment { new, state, .. } in of_job.into_values().flatten() {
                let reason = "when the validator came back, it did not serve its model any more".to_owned();
                turn.change(Change::Assignment { hash: new.hash, from: state, to: AssignmentState::Cancelled, reason });
            }
            Ok::<_, ValidatorError>(())
        })?;
        for (model, stored) in to_execute {
            let this = Arc::clone(self);
            let words = stored.new.inputs.chunks_exact(32).filter_map(|word| word.try_into().ok()).collect();
            let binding = [stored.new.context, stored.new.owner];
            let execution = Execution { id: stored.new.id, model, binding, words, done: None };
            self.spawn(async move { this.execute(execution).await });
        }
        Ok(())
    }

    /// Its slices are with those who have them still, or wait again.
    fn restore(
        &self,
        core: &mut Core,
        turn: &mut Turn,
        interrupted: Interrupted,
        proofs: &Proofs,
        attempts: &HashMap<SliceId, u8>,
    ) -> Result<(), ValidatorError> {
        let Interrupted { stored, model, bundle, open } = interrupted;
        let (id, kind) = (stored.new.id, stored.new.kind);
        let mut job = OpenJob::new(id, stored.new.caller, kind, Arc::clone(&model), bundle, stored.new.deadline_ms);
        job.state = stored.state;
        for (k, slice) in job.slices.iter_mut().enumerate() {
            if let Some((state, proof)) = proofs.get(&(id, k as u16)) {
                (slice.state, slice.proof) = (*state, *proof);
            }
        }
        let mut of_slice: HashMap<u16, Vec<(B256, Restored)>> = HashMap::new();
        let mut to_verify = Vec::new();
        for stored in open {
            let hash = stored.new.hash;
            let assignment =
                Signed::<Assignment>::from_bytes(&stored.new.message, &self.options.network, Some(self.address()))?.message().clone();
            let slice = stored.new.slice;
            let proof = stored.hand_in.as_deref().and_then(|hand_in| read_words(hand_in.get(hand_in.len().saturating_sub(320)..)?));
            let stage = match (stored.state, proof) {
                (AssignmentState::HandedIn, Some(_)) => Stage::HandedIn,
                (AssignmentState::HandedIn, None) => return Err(ValidatorError::Job(id, format!("the proof of {hash} is not there"))),
                (AssignmentState::Accepted, _) => Stage::Accepted,
                _ => Stage::Offered,
            };
            if stage != Stage::HandedIn && (stored.new.deadline_ms <= turn.now || !job.state.is_open()) {
                // Nobody is debited for what ended while the validator was away.
                let to = if stage == Stage::Accepted { AssignmentState::Missed } else { AssignmentState::Cancelled };
                turn.change(Change::Assignment { hash, from: stored.state, to, reason: "the validator was away".to_owned() });
                continue;
            }
            let restored = Restored { miner: assignment.miner, issued_ms: assignment.issuedMs, deadline_ms: assignment.deadlineMs, stage };
            let proof = proof.map(|words| (words, stored.ms.unwrap_or_default()));
            let given =
                Given { ticket: Ticket::NONE, assignment, state: stored.state, context: stored.new.context, is_restored: true, proof };
            core.given.insert(hash, given);
            if let Some(entry) = job.slices.get_mut(usize::from(slice)) {
                entry.given.push(hash);
            }
            if stage == Stage::HandedIn {
                to_verify.push(hash);
            }
            of_slice.entry(slice).or_default().push((hash, restored));
        }
        if job.state.is_open() {
            core.open_slices += job.slices.len();
            core.deadlines.insert((job.deadline_ms, id));
        }
        let mut left = 0;
        for k in 0..model.slices() {
            let Some(entry) = job.slices.get_mut(usize::from(k)).filter(|_| job.state.is_open()) else { continue };
            if entry.state == SliceState::Proven {
                continue;
            }
            let given = of_slice.remove(&k).unwrap_or_default();
            left += usize::from(!given.is_empty());
            if kind == JobKind::Request || !given.is_empty() {
                let open: Vec<Restored> = given.iter().map(|(_, restored)| *restored).collect();
                let count = attempts.get(&(id, k)).copied().unwrap_or_default();
                let tickets = core.dispatch.restore(job.slice(k), kind == JobKind::Benchmark, count, &open, turn.now);
                for (ticket, (hash, _)) in tickets.into_iter().zip(&given) {
                    core.tickets.insert(ticket, *hash);
                    if let Some(given) = core.given.get_mut(hash) {
                        given.ticket = ticket;
                    }
                }
            }
            if kind == JobKind::Request && k < self.options.own_prefix {
                core.keep(turn, (id, k));
            }
            let to = if given.iter().any(|(_, restored)| restored.stage == Stage::HandedIn) {
                SliceState::Checking
            } else if given.is_empty() {
                SliceState::Pending
            } else {
                SliceState::Assigned
            };
            job.move_slice(turn, k, to);
        }
        job.left = left;
        let (is_open, is_proven, is_idle) = (job.state.is_open(), job.is_proven(), left == 0);
        core.jobs.insert(id, job);
        to_verify.into_iter().for_each(|hash| turn.then(Then::Verify(hash)));
        match kind {
            JobKind::Request if is_open && is_proven => turn.then(Then::Assemble(id)),
            JobKind::Benchmark if is_open && is_idle => core.close_job(turn, id, JobState::Cancelled, "the validator was away"),
            _ => {}
        }
        Ok(())
    }
}

fn read_words(bytes: &[u8]) -> Option<Words> {
    let words: Vec<Word> = bytes.chunks_exact(32).filter_map(|word| word.try_into().ok()).collect();
    words.try_into().ok()
}

/// Two callers have a job each of one content, so that none can take, see or cancel another's; and so have two owners, whose bundles differ.
fn content(model: &Model, caller: &str, [context, owner]: [B256; 2], inputs: &[u8]) -> B256 {
    keccak256([keccak256("zkslice/network/job/v1"), model.digest, keccak256(caller), context, owner, keccak256(inputs)].concat())
}

/// Cancels a job that nobody waits for any more.
struct Wanted<'a> {
    validator: &'a Validator,
    id: B256,
    is_done: bool,
}

impl Drop for Wanted<'_> {
    fn drop(&mut self) {
        if !self.is_done {
            self.validator.cancel(self.id);
        }
    }
}

impl BundleSource for Validator {
    fn models(&self) -> Vec<Word> {
        Validator::models(self).into_iter().map(|model| model.0).collect()
    }

    async fn bundle(&self, job: Job) -> Result<Bundle, ProverError> {
        let submission = Submission { job, private: None, deadline_ms: None, caller: OWN.to_owned(), idempotency: None };
        let id = self.submit(submission).await.map_err(JobError::into_prover)?;
        let mut wanted = Wanted { validator: self, id, is_done: false };
        let bundle = self.bundle_of(id).await;
        wanted.is_done = true;
        bundle.map_err(JobError::into_prover)
    }
}
