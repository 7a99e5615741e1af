//! What is counted of a miner.

use metrics::{Counter, Histogram};

use super::Miner;
use crate::metrics::{Family, Meter, SECONDS};

const PROOF: Family = Family("zkslice_miner_proof_seconds", "Time to prove a slice and to check the proof");
const FAILED: Family = Family("zkslice_miner_proofs_failed_total", "Slices that could not be proven");
const QUEUE: Family = Family("zkslice_miner_queue_slices", "Slices that are accepted and not handed in");
const UNANSWERED: Family = Family("zkslice_miner_unanswered_hand_ins", "Proofs that have no receipt yet");
const VALIDATORS: Family = Family("zkslice_miner_validators_connected", "Validators that it is connected to");
const RECEIPTS: Family = Family("zkslice_miner_receipts_total", "Receipts of all validators, by verdict");
const CREDIT: Family = Family("zkslice_miner_credit_total", "Credit in receipts, 256 for a unit in good time");
const DEBIT: Family = Family("zkslice_miner_debit_total", "Debit in receipts");

#[derive(Debug)]
pub(crate) struct Metrics {
    meter: Meter,
    proof: Histogram,
    failed: Counter,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let meter = Meter::new(&[(PROOF, SECONDS)]);
        Self { proof: meter.histogram(PROOF), failed: meter.counter(FAILED, &[]), meter }
    }

    /// A slice took so many milliseconds, and is proven or not.
    pub(crate) fn proven(&self, ms: u64, is_proven: bool) {
        if is_proven {
            self.proof.record(ms as f64 / 1e3);
            self.meter.sort();
        } else {
            self.failed.increment(1);
        }
    }
}

impl Miner {
    /// Metrics, in Prometheus' text format.
    pub fn metrics(&self) -> String {
        let now = Meter::new(&[]);
        let set = |family, value: usize| now.gauge(family, &[]).set(value as f64);
        set(QUEUE, self.queued());
        set(UNANSWERED, self.unanswered());
        set(VALIDATORS, self.connected().len());
        let accounts = self.accounts();
        let sum = |part: fn(&super::Account) -> u64| accounts.iter().map(|(_, account)| part(account)).sum();
        for (verdict, count) in [
            ("valid", sum(|account| account.valid)),
            ("invalid", sum(|account| account.invalid)),
            ("missed", sum(|account| account.missed)),
            ("late or superseded", sum(|account| account.late_or_superseded)),
        ] {
            now.counter(RECEIPTS, &[("verdict", verdict)]).absolute(count);
        }
        now.counter(CREDIT, &[]).absolute(sum(|account| account.credit));
        now.counter(DEBIT, &[]).absolute(sum(|account| account.debit));
        self.metrics.meter.text() + &now.text()
    }
}
