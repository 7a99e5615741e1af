//! Receipts: what a validator owes a miner, as running totals, so that the newest receipt alone says everything; and what shows that a
//! validator contradicts itself. Where the validator itself was away, it signs none: nothing is debited for that time.

use alloy::primitives::B256;

use crate::messages::{Assignment, Receipt, Verdict};
use crate::score::{FULL, Parameters, Worth};

/// Bytes of a Groth16 proof: ten words.
const PROOF_BYTES: u32 = 320;

/// What a validator has signed of a miner so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Receipts.
    pub seq: u64,
    /// Epoch of the newest one.
    pub epoch: u64,
    /// Credits in that epoch.
    pub epoch_credit: u64,
    /// Debits in that epoch.
    pub epoch_debit: u64,
    /// What was ever owed.
    pub owed: u128,
}

/// Why a receipt does not follow the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptError {
    /// A verdict that this version does not know.
    #[error("verdict {0} is not known")]
    Verdict(u8),
    /// A part is not what parameters, assignment, proof and the receipt before give.
    #[error("its {0} is not what parameters, assignment, proof and the receipt before give")]
    Part(&'static str),
}

/// What became of an assignment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The verdict.
    pub verdict: Verdict,
    /// keccak256 of the proof's words; 0 without one.
    pub proof_hash: B256,
    /// Milliseconds from assignment to hand-in.
    pub ms: u64,
}

impl Totals {
    /// Those that a receipt states.
    pub const fn of(receipt: &Receipt) -> Self {
        Self {
            seq: receipt.seq,
            epoch: receipt.epoch,
            epoch_credit: receipt.epochCredit,
            epoch_debit: receipt.epochDebit,
            owed: receipt.owed,
        }
    }

    /// With one receipt more. What ends in a later epoch than it was assigned in counts there.
    fn next(self, epoch: u64, worth: Worth, paid: u128) -> Self {
        let epoch = epoch.max(self.epoch);
        let [credit, debit] = if epoch == self.epoch { [self.epoch_credit, self.epoch_debit] } else { [0; 2] };
        Self {
            seq: self.seq.saturating_add(1),
            epoch,
            epoch_credit: credit.saturating_add(u64::from(worth.credit)),
            epoch_debit: debit.saturating_add(u64::from(worth.debit)),
            owed: self.owed.saturating_add(paid),
        }
    }

    /// The receipt of an assignment, of which `hash` is the EIP-712 hash. The totals are then its. Each assignment has one, and one more if
    /// a proof comes after it was missed.
    pub fn receipt(&mut self, parameters: &Parameters, assignment: &Assignment, hash: B256, outcome: Outcome) -> Receipt {
        let Outcome { verdict, proof_hash, ms } = outcome;
        let ms = u32::try_from(ms).unwrap_or(u32::MAX);
        let worth = parameters.worth(verdict, assignment.units, u64::from(ms), PROOF_BYTES, FULL);
        let paid = if verdict == Verdict::Valid { assignment.price } else { 0 };
        *self = self.next(assignment.epoch, worth, paid);
        Receipt {
            validator: assignment.validator,
            miner: assignment.miner,
            assignment: hash,
            proofHash: proof_hash,
            verdict: verdict as u8,
            ms,
            credit: worth.credit,
            debit: worth.debit,
            epoch: self.epoch,
            seq: self.seq,
            epochCredit: self.epoch_credit,
            epochDebit: self.epoch_debit,
            owed: self.owed,
        }
    }

    /// Whether a receipt of an assignment, of which `hash` is the EIP-712 hash, is the next one after these totals, for a miner that handed in
    /// a proof of this hash, or none. What a miner cannot know is the time within its bounds, and whether another's proof was first.
    ///
    /// # Errors
    /// [`ReceiptError`] names what does not follow.
    pub fn check(
        mut self,
        parameters: &Parameters,
        assignment: &Assignment,
        hash: B256,
        handed_in: Option<B256>,
        receipt: &Receipt,
    ) -> Result<(), ReceiptError> {
        let verdict = Verdict::from_u8(receipt.verdict).ok_or(ReceiptError::Verdict(receipt.verdict))?;
        // A proof may have been on its way when another's came first.
        let is_unseen = verdict == Verdict::Missed || verdict == Verdict::Superseded && receipt.proofHash.is_zero();
        let proof_hash = handed_in.filter(|_| !is_unseen).unwrap_or_default();
        let expected = self.receipt(parameters, assignment, hash, Outcome { verdict, proof_hash, ms: u64::from(receipt.ms) });
        let limit = parameters.deadline_ms(assignment.units).min(assignment.deadlineMs.saturating_sub(assignment.issuedMs));
        let has_proof = matches!(verdict, Verdict::Valid | Verdict::Invalid | Verdict::Late);
        let parts = [
            ("validator", expected.validator == receipt.validator),
            ("miner", expected.miner == receipt.miner),
            ("assignment", expected.assignment == receipt.assignment),
            ("proof", expected.proofHash == receipt.proofHash && (handed_in.is_some() || !has_proof)),
            ("time", verdict != Verdict::Valid || u64::from(receipt.ms) <= limit),
            ("epoch", expected.epoch == receipt.epoch),
            ("sequence number", expected.seq == receipt.seq),
            ("credit", expected.credit == receipt.credit),
            ("debit", expected.debit == receipt.debit),
            ("epoch's credit", expected.epochCredit == receipt.epochCredit),
            ("epoch's debit", expected.epochDebit == receipt.epochDebit),
            ("sum owed", expected.owed == receipt.owed),
        ];
        parts.iter().find(|(_, is_right)| !is_right).map_or(Ok(()), |(what, _)| Err(ReceiptError::Part(what)))
    }
}

/// Whether an honest validator cannot have signed both: for one miner two receipts of one number; a later one with less owed, an epoch before,
/// or less credit or debit in the same epoch; or two of one assignment, but that it was missed and came late.
pub fn contradict(a: &Receipt, b: &Receipt) -> bool {
    if (a.validator, a.miner) != (b.validator, b.miner) {
        return false;
    }
    let (first, second) = if a.seq <= b.seq { (a, b) } else { (b, a) };
    if first.seq == second.seq {
        return first != second;
    }
    let shrinks = second.epoch == first.epoch && (second.epochCredit < first.epochCredit || second.epochDebit < first.epochDebit);
    let came_late = (first.verdict, second.verdict) == (Verdict::Missed as u8, Verdict::Late as u8);
    second.owed < first.owed || second.epoch < first.epoch || shrinks || first.assignment == second.assignment && !came_late
}

/// Whether a receipt can be one of an assignment, of which `hash` is the EIP-712 hash: what of it can be known without the receipt before.
///
/// # Errors
/// [`ReceiptError`] names what cannot be so.
pub fn check_alone(parameters: &Parameters, assignment: &Assignment, hash: B256, receipt: &Receipt) -> Result<(), ReceiptError> {
    let verdict = Verdict::from_u8(receipt.verdict).ok_or(ReceiptError::Verdict(receipt.verdict))?;
    let worth = parameters.worth(verdict, assignment.units, u64::from(receipt.ms), PROOF_BYTES, FULL);
    let has_proof = !receipt.proofHash.is_zero();
    let parts = [
        ("validator", receipt.validator == assignment.validator),
        ("miner", receipt.miner == assignment.miner),
        ("assignment", receipt.assignment == hash),
        // Whoever is superseded may have handed in, or not.
        ("proof", verdict == Verdict::Superseded || has_proof == (verdict != Verdict::Missed)),
        ("epoch", receipt.epoch >= assignment.epoch),
        ("sequence number", receipt.seq > 0),
        ("credit", receipt.credit == worth.credit),
        ("debit", receipt.debit == worth.debit),
        ("epoch's credit", receipt.epochCredit >= u64::from(worth.credit)),
        ("epoch's debit", receipt.epochDebit >= u64::from(worth.debit)),
        ("sum owed", verdict != Verdict::Valid || receipt.owed >= assignment.price),
    ];
    parts.iter().find(|(_, is_right)| !is_right).map_or(Ok(()), |(what, _)| Err(ReceiptError::Part(what)))
}

/// Pairs of receipts, by their places, of which an honest validator cannot have signed both; none only where no two of them contradict each
/// other. What holds of each and the next in order holds of all, so that a long list takes no longer to look through than to sort.
pub fn contradictions(receipts: &[Receipt]) -> Vec<(usize, usize)> {
    let mut order: Vec<usize> = (0..receipts.len()).collect();
    let mut pairs = Vec::new();
    let mut look = |order: &[usize]| {
        for pair in order.windows(2) {
            let pair = (pair[0].min(pair[1]), pair[0].max(pair[1]));
            if contradict(&receipts[pair.0], &receipts[pair.1]) && !pairs.contains(&pair) {
                pairs.push(pair);
            }
        }
    };
    order.sort_by_key(|k| (receipts[*k].validator, receipts[*k].miner, receipts[*k].seq));
    look(&order);
    order.sort_by_key(|k| (receipts[*k].validator, receipts[*k].miner, receipts[*k].assignment, receipts[*k].seq));
    look(&order);
    pairs.sort_unstable();
    pairs
}
