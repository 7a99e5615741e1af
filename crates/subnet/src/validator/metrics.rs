//! What is counted of a validator: what has happened, as it happens, and how things stand, when somebody asks.
//!
//! No label holds what a caller sends. Miners are named as far as their number is bounded.

use std::collections::BTreeMap;

use alloy::primitives::Address;
use metrics::{Counter, Gauge, Histogram};

use super::dispatch::Ticket;
use super::states::{AssignmentState, JobState, SliceState};
use super::store::{Change, JobKind};
use super::{Core, Validator};
use crate::metrics::{Family, Meter, SECONDS};
use crate::weights::Status;

/// Miners that have metrics of their own. Identities cost nothing, and each label is a series that Prometheus keeps.
const MOST_MINERS: usize = 64;

const JOBS: Family = Family("zkslice_validator_jobs_total", "Jobs that came to a state, requests and benchmarks");
const BENCHMARKS: Family = Family("zkslice_validator_benchmarks_total", "Jobs that were benchmarks");
const SLICES: Family = Family("zkslice_validator_slices_total", "Slices that came to a state");
const ASSIGNMENTS: Family =
    Family("zkslice_validator_assignments_total", "Assignments, which are attempts of a slice, that came to a state");
const HEDGES: Family = Family("zkslice_validator_hedges_total", "Slices that two had, by whose proof came first: won by the second one's");
const OWN_PROOFS: Family = Family("zkslice_validator_own_proofs_total", "Slices that the validator proved itself");
const OUTAGES: Family = Family("zkslice_validator_outages_total", "Times that the validator took itself to have been away");
const CREDIT: Family = Family("zkslice_validator_credit_total", "Credit in receipts, 256 for a unit in good time");
const DEBIT: Family = Family("zkslice_validator_debit_total", "Debit in receipts, 256 for a unit of an invalid proof");
const FRAMES: Family = Family("zkslice_validator_frames_refused_total", "What miners sent and should not have");
const HANDSHAKES: Family = Family("zkslice_validator_handshakes_refused_total", "Connections that were not let in");
const SEARCHED: Family = Family("zkslice_validator_batches_searched_total", "Batches that were searched for a proof that does not hold");
const ACCEPT: Family = Family("zkslice_validator_accept_seconds", "From an assignment to the miner's acceptance");
const HAND_IN: Family = Family("zkslice_validator_hand_in_seconds", "From an assignment to its proof, which is what credit depends on");
const RECEIPT: Family = Family("zkslice_validator_receipt_seconds", "From a proof to its receipt");
const BATCH: Family = Family("zkslice_validator_batch_proofs", "Proofs that were verified together");
const VERIFY: Family = Family("zkslice_validator_verify_seconds", "Time to verify a proof, as its share of its batch");

const STORE_ERRORS: Family = Family("zkslice_validator_store_errors_total", "Reads and writes of the store that failed");
const READY: Family = Family("zkslice_validator_ready", "Whether it takes jobs");
const JOBS_OPEN: Family = Family("zkslice_validator_jobs_open", "Jobs that are open, by state");
const SLICES_OPEN: Family = Family("zkslice_validator_slices_open", "Slices of open jobs, by state");
const QUEUE: Family = Family("zkslice_validator_queue_slices", "Slices of requests that wait for a miner");
const QUEUE_AGE: Family = Family("zkslice_validator_queue_age_seconds", "How long the oldest of them has waited");
const ASSIGNMENTS_OPEN: Family = Family("zkslice_validator_assignments_open", "Assignments that are open");
const WORK: Family = Family("zkslice_validator_work_in_flight_bytes", "Work that is on its way to miners");
const MINERS: Family = Family("zkslice_validator_miners_connected", "Miners that are connected");
const WINDOW: Family = Family("zkslice_validator_miner_window", "Slices that a miner may have at a time");
const IN_FLIGHT: Family = Family("zkslice_validator_miner_in_flight", "Slices that a miner has");
const EPOCH: Family = Family("zkslice_validator_epoch", "The epoch that it is");
const WEIGHTS_EPOCH: Family =
    Family("zkslice_validator_weights_epoch", "The epoch whose weights are on their way to the chain, or were last");
const WEIGHTS_STATE: Family =
    Family("zkslice_validator_weights_state", "Where they are: 0 computed, 1 committed, 2 revealable, 3 revealed; -1 before the first");
const WEIGHTS_ALARM: Family = Family("zkslice_validator_weights_alarm", "Whether they do not get on");
const EPOCH_LAG: Family = Family("zkslice_validator_epoch_lag", "Epochs that are over since the oldest one whose root is not signed");

/// What has happened.
#[derive(Debug)]
pub(crate) struct Metrics {
    meter: Meter,
    pub(crate) epoch_lag: Gauge,
    pub(crate) own_proofs: Counter,
    pub(crate) outages: Counter,
    pub(crate) accept: Histogram,
    hand_in: Histogram,
    pub(crate) receipt: Histogram,
}

/// What the verification tells of its batches; nobody listens by default.
#[derive(Clone, Debug)]
pub(crate) struct OfBatches {
    pub(crate) proofs: Histogram,
    pub(crate) seconds: Histogram,
    pub(crate) searched: Counter,
}

impl Default for OfBatches {
    fn default() -> Self {
        Self { proofs: Histogram::noop(), seconds: Histogram::noop(), searched: Counter::noop() }
    }
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let meter = Meter::new(&[
            (ACCEPT, SECONDS),
            (HAND_IN, SECONDS),
            (RECEIPT, SECONDS),
            (BATCH, &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0]),
            (VERIFY, &[0.0003, 0.0005, 0.001, 0.002, 0.003, 0.005, 0.01, 0.03, 0.1]),
        ]);
        let metrics = Self {
            epoch_lag: meter.gauge(EPOCH_LAG, &[]),
            own_proofs: meter.counter(OWN_PROOFS, &[]),
            outages: meter.counter(OUTAGES, &[]),
            accept: meter.histogram(ACCEPT),
            hand_in: meter.histogram(HAND_IN),
            receipt: meter.histogram(RECEIPT),
            meter,
        };
        // What has not happened yet is 0, and not unknown: a first time shows as an increase.
        let known = |family, label: &'static str, values: &[&'static str]| {
            values.iter().for_each(|value| metrics.meter.counter(family, &[(label, value)]).increment(0));
        };
        known(JOBS, "state", &JobState::ALL.iter().map(|state| state.as_str()).collect::<Vec<_>>());
        known(SLICES, "state", &SliceState::ALL.iter().map(|state| state.as_str()).collect::<Vec<_>>());
        known(ASSIGNMENTS, "state", &AssignmentState::ALL.iter().map(|state| state.as_str()).collect::<Vec<_>>());
        known(HEDGES, "result", &["won", "lost"]);
        known(FRAMES, "reason", &["malformed", "signature", "unknown assignment"]);
        known(HANDSHAKES, "reason", &["differs", "signature", "too often"]);
        [(WEIGHTS_EPOCH, 0.0), (WEIGHTS_STATE, -1.0), (WEIGHTS_ALARM, 0.0)]
            .into_iter()
            .for_each(|(family, none)| metrics.meter.gauge(family, &[]).set(none));
        [BENCHMARKS, CREDIT, DEBIT].iter().for_each(|family| metrics.meter.counter(*family, &[]).increment(0));
        metrics
    }

    fn add(&self, family: Family, label: (&'static str, &'static str), count: u64) {
        self.meter.add(family, &[label], count);
    }

    pub(crate) fn of_batches(&self) -> OfBatches {
        OfBatches {
            proofs: self.meter.histogram(BATCH),
            seconds: self.meter.histogram(VERIFY),
            searched: self.meter.counter(SEARCHED, &[]),
        }
    }

    /// Counts what is about to be kept.
    pub(crate) fn count(&self, changes: &[Change]) {
        for change in changes {
            match change {
                Change::NewJob(new) => {
                    self.add(JOBS, ("state", JobState::Received.as_str()), 1);
                    self.meter.add(BENCHMARKS, &[], u64::from(new.kind == JobKind::Benchmark));
                }
                Change::Job { to, .. } => self.add(JOBS, ("state", to.as_str()), 1),
                Change::Executed { slices, .. } => {
                    self.add(JOBS, ("state", JobState::Executed.as_str()), 1);
                    self.add(SLICES, ("state", SliceState::Pending.as_str()), u64::from(*slices));
                }
                Change::Slice { to, .. } => self.add(SLICES, ("state", to.as_str()), 1),
                Change::NewAssignment(_) => self.add(ASSIGNMENTS, ("state", AssignmentState::Offered.as_str()), 1),
                Change::Assignment { to, .. } => self.add(ASSIGNMENTS, ("state", to.as_str()), 1),
                Change::Accepted { .. } => self.add(ASSIGNMENTS, ("state", AssignmentState::Accepted.as_str()), 1),
                Change::HandedIn { ms, .. } => {
                    self.add(ASSIGNMENTS, ("state", AssignmentState::HandedIn.as_str()), 1);
                    self.hand_in.record(seconds(*ms));
                }
                Change::Receipt { credit, debit, .. } => {
                    self.meter.add(CREDIT, &[], u64::from(*credit));
                    self.meter.add(DEBIT, &[], u64::from(*debit));
                }
                Change::Bundle { .. }
                | Change::Miner { .. }
                | Change::Beacon { .. }
                | Change::Epoch { .. }
                | Change::Event { .. }
                | Change::Prune(_) => {}
            }
        }
    }

    /// A slice is proven that others had too, if there are any.
    pub(crate) fn hedge(&self, first: Ticket, others: &[Ticket]) {
        if let Some(other) = others.first() {
            // Tickets are numbered as they are given away.
            self.add(HEDGES, ("result", if first > *other { "won" } else { "lost" }), 1);
        }
    }

    /// Something came that should not have; `reason` is one of a few words.
    pub(crate) fn frame_refused(&self, reason: &'static str) {
        self.add(FRAMES, ("reason", reason), 1);
    }

    /// Weights are somewhere else on their way to a chain.
    pub(crate) fn weights_are(&self, status: &Status) {
        if let Some((epoch, state)) = status.weights {
            self.meter.gauge(WEIGHTS_EPOCH, &[]).set(epoch as f64);
            self.meter.gauge(WEIGHTS_STATE, &[]).set(f64::from(state as u8));
        }
        self.meter.gauge(WEIGHTS_ALARM, &[]).set(f64::from(u8::from(status.alarm.is_some())));
    }

    /// As [`Meter::sort`].
    pub(crate) fn sort(&self) {
        self.meter.sort();
    }
}

pub(crate) fn seconds(ms: u64) -> f64 {
    ms as f64 / 1e3
}

impl Validator {
    /// A connection is not let in; `reason` is one of a few words, which say nothing of who it was.
    pub fn handshake_refused(&self, reason: &'static str) {
        self.metrics.add(HANDSHAKES, ("reason", reason), 1);
    }

    /// Metrics, in Prometheus' text format.
    pub async fn metrics(&self) -> String {
        let is_ready = self.is_ready().await;
        // What stands now is put together anew each time, so that nothing of miners that have gone is left.
        let now = Meter::new(&[]);
        now.gauge(READY, &[]).set(f64::from(u8::from(is_ready)));
        now.gauge(WORK, &[]).set(self.options.work_bytes.saturating_sub(self.work_room.available_permits()) as f64);
        now.counter(STORE_ERRORS, &[]).absolute(self.store.errors());
        self.show(&now, &self.locked());
        self.metrics.meter.text() + &now.text()
    }

    fn show(&self, now: &Meter, core: &Core) {
        let clock = self.clock.now_ms();
        let set = |family, value: u64| now.gauge(family, &[]).set(value as f64);
        set(EPOCH, core.epoch.number);
        set(QUEUE, core.dispatch.waiting() as u64);
        now.gauge(QUEUE_AGE, &[]).set(seconds(core.dispatch.waiting_since().map_or(0, |since| clock.saturating_sub(since))));
        set(ASSIGNMENTS_OPEN, core.dispatch.open() as u64);
        set(MINERS, core.peers.len() as u64);
        let mut open: BTreeMap<(Family, &str, &str), u64> = BTreeMap::new();
        for kind in [JobKind::Request, JobKind::Benchmark] {
            open.extend([JobState::Executed, JobState::Dispatching].map(|state| ((JOBS_OPEN, kind.as_str(), state.as_str()), 0)));
            open.extend(SliceState::ALL.iter().map(|state| ((SLICES_OPEN, kind.as_str(), state.as_str()), 0)));
        }
        for job in core.jobs.values().filter(|job| job.state.is_open()) {
            *open.entry((JOBS_OPEN, job.kind.as_str(), job.state.as_str())).or_default() += 1;
            for slice in &job.slices {
                *open.entry((SLICES_OPEN, job.kind.as_str(), slice.state.as_str())).or_default() += 1;
            }
        }
        for ((family, kind, state), count) in open {
            now.gauge(family, &[("kind", kind.to_owned()), ("state", state.to_owned())]).set(count as f64);
        }
        // Those that have proven most are named, which changes as slowly as that does; strangers are not.
        let mut miners: Vec<(u32, Address)> = core.peers.keys().map(|miner| (core.dispatch.standing(*miner).0, *miner)).collect();
        miners.sort_by_key(|(valid, miner)| (std::cmp::Reverse(*valid), *miner));
        for (k, (valid, miner)) in miners.into_iter().enumerate() {
            let is_named = k < MOST_MINERS && valid >= self.options.settings.probation;
            let name = if is_named { miner.to_string() } else { "other".to_owned() };
            now.gauge(WINDOW, &[("miner", name.clone())]).increment(core.dispatch.window(miner));
            now.gauge(IN_FLIGHT, &[("miner", name)]).increment(core.dispatch.in_flight(miner));
        }
    }
}
