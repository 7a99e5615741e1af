//! Assignments: offered, accepted, handed in, settled.

use std::sync::Arc;

use alloy::primitives::{Address, B256, keccak256};
use tokio::sync::OwnedSemaphorePermit;
use zkslice_groth16::{Proof, Statement, VerifyError};

use super::dispatch::{Assigned, Due, Ticket};
use super::jobs::OpenSlice;
use super::metrics::seconds;
use super::model::Executed;
use super::states::{AssignmentState, JobState, SliceState};
use super::store::{Change, JobKind, NewAssignment};
use super::{Core, Then, Turn, Validator};
use crate::error::for_log;
use crate::messages::{Acceptance, Assignment, HandIn, Receipt, Verdict};
use crate::receipts::Outcome;
use crate::wire::{Body, Cancel, Decline, Kind, frame};
use crate::work::{coverage, statement};
use crate::{PeerError, Signed};

/// Bytes of a proof.
pub(crate) const PROOF: usize = 32 * Proof::WORDS;
/// How long nobody is debited for a miss: until then it is seen whether the validator itself was away.
const HELD_MS: u64 = 30_000;

pub(crate) type Words = [[u8; 32]; Proof::WORDS];

/// An assignment that is open, or was missed a moment ago.
#[derive(Debug)]
pub(crate) struct Given {
    pub(crate) ticket: Ticket,
    pub(crate) assignment: Assignment,
    pub(crate) state: AssignmentState,
    /// What its proof is bound to.
    pub(crate) context: B256,
    /// Whether it was made before the validator's last start: nobody is debited for the time that it was away.
    pub(crate) is_restored: bool,
    /// What came, and after how many milliseconds.
    pub(crate) proof: Option<(Words, u64)>,
}

/// An assignment that is on its way.
pub(crate) struct Offer {
    hash: B256,
    miner: Address,
    job: B256,
    slice: u16,
    context: B256,
    is_paid: bool,
    signed: Vec<u8>,
    _room: Option<OwnedSemaphorePermit>,
}

/// What benchmarks' proofs are bound to: nobody else's.
fn benchmark_context(own: Address, assignment: &Assignment, network: &crate::Network) -> B256 {
    let mut bytes = keccak256("zkslice/network/benchmark/v1").to_vec();
    bytes.extend_from_slice(&network.chain_id.to_be_bytes());
    bytes.extend_from_slice(network.registry.as_slice());
    bytes.extend_from_slice(own.as_slice());
    bytes.extend_from_slice(&assignment.epoch.to_be_bytes());
    bytes.extend_from_slice(assignment.job.as_slice());
    bytes.extend_from_slice(&assignment.slice.to_be_bytes());
    bytes.push(assignment.attempt);
    bytes.extend_from_slice(assignment.miner.as_slice());
    let mut context = keccak256(bytes);
    // Below r, which has 254 bits.
    context.0[0] &= 0x1f;
    context
}

impl Validator {
    /// What time has brought, and what can be given away.
    pub(crate) fn tick(&self, core: &mut Core, turn: &mut Turn) {
        for due in core.dispatch.due(turn.now) {
            match due {
                Due::Unanswered(ticket) => {
                    if let Some(hash) = core.tickets.get(&ticket).copied() {
                        core.end(turn, hash, AssignmentState::Declined, "no answer");
                        cancel(turn, core, hash);
                        core.dispatch.unanswered(ticket, turn.now);
                        core.untaken(turn, hash);
                        core.forget(hash);
                    }
                }
                Due::Missed(ticket) => {
                    if let Some(hash) = core.tickets.get(&ticket).copied() {
                        let was_away = core.given.get(&hash).is_some_and(|given| given.is_restored);
                        let reason = if was_away { "the validator was away" } else { "nothing came in time" };
                        core.end(turn, hash, AssignmentState::Missed, reason);
                        cancel(turn, core, hash);
                        core.untaken(turn, hash);
                        if was_away {
                            core.forget(hash);
                        } else {
                            core.held.push_back((turn.now + HELD_MS, hash));
                        }
                    }
                    if core.dispatch.missed(ticket, turn.now) && !core.held.is_empty() {
                        tracing::error!("more than half of the miners missed something: this validator was away, and debits nobody for it");
                        self.metrics.outages.increment(1);
                        let held: Vec<B256> = core.held.drain(..).map(|(_, hash)| hash).collect();
                        for hash in held {
                            core.end(turn, hash, AssignmentState::Cancelled, "the validator was away");
                            core.forget(hash);
                        }
                    }
                }
                Due::Exhausted(slice) => self.exhausted(core, turn, slice),
                Due::Starved(slice) => self.starved(core, turn, slice),
            }
        }
        while let Some((_, hash)) = core.held.front().copied().filter(|(until, _)| *until <= turn.now) {
            core.held.pop_front();
            self.receipt(core, turn, hash, Verdict::Missed);
            // What comes now is looked up in the store.
            core.forget(hash);
        }
        while let Some((_, job)) = core.deadlines.first().copied().filter(|(at, _)| *at <= turn.now) {
            core.deadlines.pop_first();
            core.close_job(turn, job, JobState::Cancelled, "its deadline has passed");
        }
        self.give(core, turn);
    }

    /// Gives away what can be.
    fn give(&self, core: &mut Core, turn: &mut Turn) {
        if self.stop.is_cancelled() {
            return;
        }
        let mut rooms = std::collections::VecDeque::new();
        let assigned = {
            let (models, room) = (&self.models, &self.work_room);
            core.dispatch.assign(turn.now, &mut |(model, slice)| {
                let bytes = models.get(&model).and_then(|model| model.work_bytes.get(usize::from(slice)));
                // One that alone is more than all room there is takes all of it.
                let bytes = bytes.map_or(0, |bytes| (*bytes).min(self.options.work_bytes));
                let permit = Arc::clone(room).try_acquire_many_owned(u32::try_from(bytes).unwrap_or(u32::MAX));
                permit.map(|permit| rooms.push_back(permit)).is_ok()
            })
        };
        for assigned in assigned {
            self.assign(core, turn, assigned, rooms.pop_front());
        }
    }

    /// Signs an assignment and notes it; its work leaves when that is kept.
    pub(crate) fn assign(&self, core: &mut Core, turn: &mut Turn, assigned: Assigned, room: Option<OwnedSemaphorePermit>) {
        let Assigned { ticket, slice: (id, slice), miner, attempt, deadline_ms, candidates, round } = assigned;
        let Some(job) = core.jobs.get_mut(&id) else { return };
        let model = Arc::clone(&job.model);
        let units = model.units[usize::from(slice)];
        let is_request = job.kind == JobKind::Request;
        let mut assignment = Assignment {
            job: id,
            model: model.digest,
            slice,
            attempt,
            validator: self.address(),
            miner,
            statement: B256::ZERO,
            units,
            price: if is_request { self.options.price_per_unit.saturating_mul(u128::from(units)) } else { 0 },
            issuedMs: turn.now,
            deadlineMs: deadline_ms,
            epoch: core.epoch.number,
        };
        let [context, owner] = job.binding();
        let context = if is_request { context } else { benchmark_context(self.address(), &assignment, &self.options.network) };
        assignment.statement = statement(model.digest, coverage(model.units.len(), slice), [context, owner], job.hashes);
        let signed = match self.node.sign(&self.options.network, assignment.clone()) {
            Ok(signed) => signed.to_bytes(),
            Err(error) => return tracing::error!(job = %id, slice, %error, "an assignment cannot be signed"),
        };
        let hash = self.options.network.hash(&assignment);
        turn.change(Change::NewAssignment(Box::new(NewAssignment {
            hash,
            job: id,
            slice,
            units,
            epoch: core.epoch.number,
            miner,
            message: signed.clone(),
            context,
            candidates,
            round,
            deadline_ms,
        })));
        job.begin(turn);
        job.move_slice(turn, slice, SliceState::Assigned);
        if let Some(slice) = job.slices.get_mut(usize::from(slice)) {
            slice.given.push(hash);
        }
        turn.change(Change::Event { job: id, kind: "assigned", slice: Some(slice) });
        let is_paid = assignment.price > 0;
        core.tickets.insert(ticket, hash);
        core.given.insert(hash, Given { ticket, assignment, state: AssignmentState::Offered, context, is_restored: false, proof: None });
        turn.then(Then::Offer(Box::new(Offer { hash, miner, job: id, slice, context, is_paid, signed, _room: room })));
    }

    /// Sends an assignment with its work.
    pub(crate) async fn offer(&self, offer: Offer) {
        let link = self.locked().peers.get(&offer.miner).map(|(_, outbox)| outbox.clone());
        let Some(outbox) = link else { return };
        let frames = match self.frames(&offer).await {
            Ok(Some(frames)) => frames,
            Ok(None) => return,
            // This validator's own fault: the miner hears nothing of it, and the slice is given away again.
            Err(error) => {
                let Offer { hash, job, slice, .. } = offer;
                tracing::error!(%job, slice, assignment = %hash, error = for_log(&*error), "work cannot be sent");
                return self.turn(|core, turn| core.withdraw(turn, hash, AssignmentState::Offered));
            }
        };
        // Its job may be over by now: nobody should prove for nothing.
        if !self.locked().given.get(&offer.hash).is_some_and(|given| given.state == AssignmentState::Offered) {
            return;
        }
        if outbox.send_beside(frames).await.is_ok() {
            self.turn(|core, turn| {
                if let Some(given) = core.given.get(&offer.hash) {
                    core.dispatch.sent(given.ticket, turn.now);
                }
            });
        }
    }

    async fn frames(&self, offer: &Offer) -> Result<Option<Vec<u8>>, Box<dyn std::error::Error + Send + Sync>> {
        let found = self.locked().jobs.get(&offer.job).map(|job| (Arc::clone(&job.model), Arc::clone(&job.bundle)));
        let (Some((model, bundle)), Some(executed)) = (found, self.store.executed(offer.job).await?) else { return Ok(None) };
        let (hash, slice, context, is_paid) = (offer.hash, offer.slice, offer.context, offer.is_paid);
        let work = self.clock.apart(move || {
            let executed = Executed::from_bytes(&executed)?;
            let work = model.work(&executed, &bundle, slice, context, hash, is_paid)?;
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>(work.to_frame()?)
        });
        let mut frames = frame(Kind::Assignment, &offer.signed)?;
        frames.extend_from_slice(&work.await??);
        Ok(Some(frames))
    }

    // ---------------------------------------------------------------------------------------------- what miners say

    /// A miner takes an assignment on.
    pub(crate) fn accepted(&self, miner: Address, body: &[u8]) -> Result<(), PeerError> {
        let signed = Signed::<Acceptance>::from_bytes(body, &self.options.network, Some(miner))?;
        let hash = signed.message().assignment;
        self.turn(|core, turn| {
            let given = core.given.get_mut(&hash).filter(|given| given.assignment.miner == miner).ok_or(PeerError::Unknown(hash))?;
            if given.state == AssignmentState::Offered {
                given.state = AssignmentState::Accepted;
                self.metrics.accept.record(seconds(turn.now.saturating_sub(given.assignment.issuedMs)));
                core.dispatch.accepted(given.ticket);
                turn.change(Change::Accepted { hash, acceptance: body.to_vec() });
            }
            Ok(())
        })
    }

    /// A miner does not take an assignment on.
    pub(crate) fn declined(&self, miner: Address, decline: &Decline) -> Result<(), PeerError> {
        let hash = decline.assignment;
        self.turn(|core, turn| {
            let given = core.given.get(&hash).filter(|given| given.assignment.miner == miner).ok_or(PeerError::Unknown(hash))?;
            if given.state == AssignmentState::Offered {
                let ticket = given.ticket;
                core.end(turn, hash, AssignmentState::Declined, &format!("{:?}", decline.reason));
                core.dispatch.declined(ticket, decline.reason, decline.retry_ms, turn.now);
                core.untaken(turn, hash);
                core.forget(hash);
            }
            Ok(())
        })
    }

    /// A miner hands in a proof, over whatever connection: it is noted, and then verified.
    pub(crate) async fn handed_in(&self, miner: Address, body: &[u8]) -> Result<(), PeerError> {
        let (message, proof) = body.split_last_chunk::<PROOF>().ok_or(PeerError::HandIn)?;
        let signed = Signed::<HandIn>::from_bytes(message, &self.options.network, Some(miner))?;
        let hash = signed.message().assignment;
        if signed.message().proofHash != keccak256(proof) {
            return Err(PeerError::HandIn);
        }
        let known = self.turn(|core, turn| {
            // What was missed by now is.
            self.tick(core, turn);
            let Some(given) = core.given.get_mut(&hash).filter(|given| given.assignment.miner == miner) else { return false };
            match given.state {
                AssignmentState::Offered | AssignmentState::Accepted => {
                    let ms = turn.now.saturating_sub(given.assignment.issuedMs);
                    turn.change(Change::HandedIn { hash, from: given.state, hand_in: body.to_vec(), ms });
                    given.state = AssignmentState::HandedIn;
                    given.proof = Some((words(proof), ms));
                    core.dispatch.handed_in(given.ticket);
                    let (job, slice) = (given.assignment.job, given.assignment.slice);
                    if let Some(job) = core.jobs.get_mut(&job) {
                        job.move_slice(turn, slice, SliceState::Checking);
                    }
                    turn.then(Then::Verify(hash));
                }
                // Nobody was debited yet: the receipt that it was missed comes before the one that it is late.
                AssignmentState::Missed => {
                    self.receipt(core, turn, hash, Verdict::Missed);
                    core.held.retain(|(_, held)| *held != hash);
                    if let Some(given) = core.given.get_mut(&hash) {
                        given.proof = Some((words(proof), turn.now.saturating_sub(given.assignment.issuedMs)));
                    }
                    self.settle(core, turn, hash, Verdict::Late);
                }
                // It is here already.
                _ => {}
            }
            true
        });
        if !known {
            self.handed_in_before(miner, hash, words(proof)).await?;
        }
        Ok(())
    }

    /// A hand-in of an assignment that is closed: the miner may not have got the receipt.
    async fn handed_in_before(&self, miner: Address, hash: B256, proof: Words) -> Result<(), PeerError> {
        let stored = self.store.assignment(hash).await?.filter(|stored| stored.new.miner == miner).ok_or(PeerError::Unknown(hash))?;
        if !stored.state.is_open() && stored.state != AssignmentState::Missed {
            return self.receipts_again(miner, hash).await;
        }
        // What is deleted any moment does not change any more.
        if self.kept_until(stored.new.deadline_ms) <= self.clock.now_ms() {
            return Err(PeerError::Unknown(hash));
        }
        // One after the other, each when what was decided before is in the store: the same hand-in twice at a time is late once.
        let _one = self.settling_late.lock().await;
        self.store.keep(self.clock.now_ms(), Vec::new()).await?;
        let stored = self.store.assignment(hash).await?.filter(|stored| stored.new.miner == miner).ok_or(PeerError::Unknown(hash))?;
        let epoch = stored.new.epoch.max(self.locked().totals.get(&miner).map_or(0, |totals| totals.epoch));
        // The root of a closed epoch has all of its receipts: there are none after it.
        let is_closed = self.store.epoch_root(Some(epoch)).await?.is_some();
        if stored.state != AssignmentState::Missed || is_closed {
            return self.receipts_again(miner, hash).await;
        }
        let signed = Signed::<Assignment>::from_bytes(&stored.new.message, &self.options.network, Some(self.address()))?;
        self.turn(|core, turn| {
            let assignment = signed.message().clone();
            let ms = turn.now.saturating_sub(assignment.issuedMs);
            let given = Given {
                ticket: Ticket::NONE,
                assignment,
                state: AssignmentState::Missed,
                context: stored.new.context,
                is_restored: true,
                proof: Some((proof, ms)),
            };
            core.given.insert(hash, given);
            self.settle(core, turn, hash, Verdict::Late);
        });
        Ok(())
    }

    async fn receipts_again(&self, miner: Address, hash: B256) -> Result<(), PeerError> {
        let receipts = self.store.receipts_of(hash).await?;
        let mut frames = receipts.iter().map(|receipt| frame(Kind::Receipt, receipt)).collect::<Result<Vec<_>, _>>()?;
        if frames.is_empty() {
            // It ended without fault of the miner's, who need not ask again.
            frames.push((Cancel { assignment: hash }).to_frame()?);
        }
        self.quiet_turn(|_, turn| frames.into_iter().for_each(|frame| turn.then(Then::Send(miner, frame))));
        Ok(())
    }

    // ---------------------------------------------------------------------------------------------- verdicts

    /// What a proof of an assignment states, by what this validator keeps.
    fn statement(&self, core: &Core, hash: B256) -> Option<(Arc<super::Key>, Address, Statement, Words)> {
        let given = core.given.get(&hash)?;
        let (words, _) = given.proof?;
        let job = core.jobs.get(&given.assignment.job)?;
        let slice = usize::from(given.assignment.slice);
        let statement = if given.context.0 == job.bundle.context {
            job.model.verifier.statement(&job.bundle, slice)
        } else {
            let mut bundle = (*job.bundle).clone();
            bundle.context = given.context.0;
            job.model.verifier.statement(&bundle, slice)
        };
        Some((Arc::clone(job.model.keys.get(slice)?), given.assignment.miner, statement.ok()?, words))
    }

    /// Verifies what was handed in, and settles it.
    pub(crate) async fn verify(&self, hash: B256) {
        let (found, of) = {
            let core = self.locked();
            (self.statement(&core, hash), core.given.get(&hash).map(|given| (given.assignment.job, given.assignment.slice)))
        };
        let (job, slice) = of.unwrap_or_default();
        let Some((key, miner, statement, words)) = found else {
            tracing::error!(%job, slice, assignment = %hash, "a proof cannot be verified: its job is gone");
            return self.turn(|core, turn| core.withdraw(turn, hash, AssignmentState::HandedIn));
        };
        let Ok(verdict) = self.verification.check(&key, miner, statement, words).await else { return };
        let verdict = match verdict {
            Ok(()) => Verdict::Valid,
            Err(VerifyError::Invalid | VerifyError::Encoding(_) | VerifyError::Form) => Verdict::Invalid,
            // This validator's own fault, for which nobody is debited.
            Err(error) => {
                tracing::error!(%job, slice, assignment = %hash, %error, "a proof cannot be verified");
                return self.turn(|core, turn| core.withdraw(turn, hash, AssignmentState::HandedIn));
            }
        };
        self.turn(|core, turn| self.settle(core, turn, hash, verdict));
    }

    /// An assignment gets its verdict, and its slice what follows.
    fn settle(&self, core: &mut Core, turn: &mut Turn, hash: B256, verdict: Verdict) {
        let Some(given) = core.given.get(&hash) else { return };
        let (ticket, miner, issued_ms) = (given.ticket, given.assignment.miner, given.assignment.issuedMs);
        let id = (given.assignment.job, given.assignment.slice);
        let Some((words, ms)) = given.proof else { return };
        let slice = core.jobs.get(&id.0).and_then(|job| job.slices.get(usize::from(id.1)));
        let is_proven = slice.is_some_and(|slice| slice.state == SliceState::Proven);
        match verdict {
            Verdict::Valid if is_proven => {
                core.end(turn, hash, AssignmentState::Superseded, "another proof came first");
                self.receipt(core, turn, hash, Verdict::Superseded);
            }
            Verdict::Valid => {
                core.end(turn, hash, AssignmentState::Valid, "");
                self.receipt(core, turn, hash, Verdict::Valid);
                let mut others = core.dispatch.valid(ticket, ms);
                // Where its own ticket was closed before, the slice may be with others all the same.
                others.extend(core.dispatch.remove(std::iter::once(id)));
                self.metrics.hedge(ticket, &others);
                self.supersede(core, turn, &others);
                core.standing(turn, miner);
                core.proven(turn, id, words);
            }
            Verdict::Invalid => {
                core.end(turn, hash, AssignmentState::Invalid, "its proof does not hold");
                self.receipt(core, turn, hash, Verdict::Invalid);
                let until = core.dispatch.invalid(ticket, (miner, issued_ms), turn.now);
                tracing::warn!(job = %id.0, slice = id.1, assignment = %hash, %miner, until, "an invalid proof");
                core.standing(turn, miner);
                core.untaken(turn, hash);
            }
            Verdict::Late => {
                core.end(turn, hash, AssignmentState::Late, "it came after its deadline");
                self.receipt(core, turn, hash, Verdict::Late);
            }
            Verdict::Missed | Verdict::Superseded => {}
        }
        core.forget(hash);
    }

    /// Others have proven the slice: these are closed, so that no proof of theirs counts once the first one is seen.
    pub(crate) fn supersede(&self, core: &mut Core, turn: &mut Turn, tickets: &[Ticket]) {
        for ticket in tickets {
            let Some(hash) = core.tickets.get(ticket).copied() else { continue };
            // One that is here already is looked at, and then superseded; one that was missed stays so.
            let is_waited_for = |given: &Given| given.state.is_open() && given.state != AssignmentState::HandedIn;
            if !core.given.get(&hash).is_some_and(is_waited_for) {
                continue;
            }
            core.end(turn, hash, AssignmentState::Superseded, "another proof came first");
            self.receipt(core, turn, hash, Verdict::Superseded);
            cancel(turn, core, hash);
            core.forget(hash);
        }
    }

    /// Signs what became of an assignment.
    pub(crate) fn receipt(&self, core: &mut Core, turn: &mut Turn, hash: B256, verdict: Verdict) {
        let Some(given) = core.given.get(&hash) else { return };
        let miner = given.assignment.miner;
        let (proof_hash, ms) = match (&given.proof, verdict) {
            (Some((words, ms)), Verdict::Valid | Verdict::Invalid | Verdict::Late | Verdict::Superseded) => {
                (keccak256(words.concat()), *ms)
            }
            _ => (B256::ZERO, turn.now.saturating_sub(given.assignment.issuedMs)),
        };
        if given.proof.is_some() {
            self.metrics.receipt.record(seconds(turn.now.saturating_sub(given.assignment.issuedMs.saturating_add(ms))));
        }
        let totals = core.totals.entry(miner).or_default();
        let outcome = Outcome { verdict, proof_hash, ms };
        let receipt: Receipt = totals.receipt(&self.options.parameters, &given.assignment, hash, outcome);
        let (seq, epoch, credit, debit) = (receipt.seq, receipt.epoch, receipt.credit, receipt.debit);
        let (job, slice) = (given.assignment.job, given.assignment.slice);
        let message = match self.node.sign(&self.options.network, receipt) {
            Ok(signed) => signed.to_bytes(),
            Err(error) => return tracing::error!(%job, slice, assignment = %hash, %error, "a receipt cannot be signed"),
        };
        if let Ok(frame) = frame(Kind::Receipt, &message) {
            turn.then(Then::Send(miner, frame));
        }
        turn.change(Change::Receipt { miner, seq, assignment: hash, epoch, credit, debit, message });
    }
}

/// The miner need not go on.
pub(crate) fn cancel(turn: &mut Turn, core: &Core, hash: B256) {
    let miner = core.given.get(&hash).map(|given| given.assignment.miner);
    if let (Some(miner), Ok(frame)) = (miner, (Cancel { assignment: hash }).to_frame()) {
        turn.then(Then::Send(miner, frame));
    }
}

impl Core {
    /// When something is due next.
    pub(crate) fn next_due(&self, now: u64) -> Option<u64> {
        let held = self.held.front().map(|(until, _)| *until);
        let deadline = self.deadlines.first().map(|(at, _)| *at);
        [self.dispatch.next_due(), self.dispatch.next_rested(now), held, deadline].into_iter().flatten().min()
    }

    /// Notes an assignment's new state.
    pub(crate) fn end(&mut self, turn: &mut Turn, hash: B256, to: AssignmentState, reason: &str) {
        let Some(given) = self.given.get_mut(&hash) else { return };
        debug_assert!(given.state.can_become(to), "{:?} to {to:?}", given.state);
        turn.change(Change::Assignment { hash, from: given.state, to, reason: reason.to_owned() });
        given.state = to;
    }

    /// The validator could not send the work of an assignment, or verify its proof: it ends without fault of the miner's.
    fn withdraw(&mut self, turn: &mut Turn, hash: B256, from: AssignmentState) {
        let Some(given) = self.given.get(&hash).filter(|given| given.state == from) else { return };
        let ticket = given.ticket;
        self.end(turn, hash, AssignmentState::Cancelled, "the validator has failed");
        self.dispatch.withdrawn(ticket, turn.now);
        self.untaken(turn, hash);
        self.forget(hash);
    }

    /// An assignment is closed, and is in the store alone.
    pub(crate) fn forget(&mut self, hash: B256) {
        let Some(given) = self.given.remove(&hash) else { return };
        self.tickets.remove(&given.ticket);
        let id = given.assignment.job;
        let Some(job) = self.jobs.get_mut(&id) else { return };
        if let Some(slice) = job.slices.get_mut(usize::from(given.assignment.slice)) {
            slice.given.retain(|other| *other != hash);
        }
        // Of a job that is over, what was handed in was still looked at.
        if !job.state.is_open() && job.slices.iter().all(|slice| slice.given.is_empty()) {
            self.jobs.remove(&id);
        }
    }

    /// Where a miner stands is kept.
    fn standing(&self, turn: &mut Turn, miner: Address) {
        let (valid, invalid, quarantined_until) = self.dispatch.standing(miner);
        turn.change(Change::Miner { address: miner, valid, invalid, quarantined_until });
    }

    /// An assignment has come to nothing: unless its slice is open with another, the slice waits.
    pub(crate) fn untaken(&mut self, turn: &mut Turn, hash: B256) {
        let Some(Assignment { job: id, slice, .. }) = self.given.get(&hash).map(|given| given.assignment.clone()) else { return };
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let others = job.slices.get(usize::from(slice)).map(|slice| slice.given.as_slice()).unwrap_or_default();
        let state = |other: &B256| self.given.get(other).filter(|_| *other != hash).map(|given| given.state);
        let states: Vec<AssignmentState> = others.iter().filter_map(state).collect();
        let to = if states.contains(&AssignmentState::HandedIn) {
            SliceState::Checking
        } else if states.iter().any(|state| state.is_open()) {
            SliceState::Assigned
        } else {
            SliceState::Pending
        };
        job.move_slice(turn, slice, to);
        if job.kind == JobKind::Benchmark && to == SliceState::Pending {
            self.benchmark_ended(turn, id, 1);
        }
    }

    /// A slice is proven.
    pub(crate) fn proven(&mut self, turn: &mut Turn, (id, slice): (B256, u16), words: Words) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        // The validator may have been the first to have one.
        job.begin(turn);
        let Some(OpenSlice { state, proof, .. }) = job.slices.get_mut(usize::from(slice)) else { return };
        turn.change(Change::Slice { job: id, slice, from: *state, to: SliceState::Proven, proof: Some(words.concat()) });
        (*state, *proof) = (SliceState::Proven, Some(words));
        turn.change(Change::Event { job: id, kind: "proven", slice: Some(slice) });
        match job.kind {
            JobKind::Request => {
                if job.state.is_open() && job.slices.iter().all(|slice| slice.proof.is_some()) {
                    turn.then(Then::Assemble(id));
                }
            }
            JobKind::Benchmark => self.benchmark_ended(turn, id, 1),
        }
    }
}

fn words(proof: &[u8; PROOF]) -> Words {
    let mut words = Words::default();
    for (word, bytes) in words.iter_mut().zip(proof.chunks_exact(32)) {
        word.copy_from_slice(bytes);
    }
    words
}
