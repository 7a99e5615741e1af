//! Receipts: what a validator owes a miner, as running totals, so that the newest receipt alone says everything; and what shows that a
//! validator contradicts itself.

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
    /// It counts in an epoch before that of the receipt before.
    #[error("it counts in epoch {epoch}, before epoch {before} of the receipt before")]
    Epoch {
        /// Its epoch.
        epoch: u64,
        /// That of the receipt before.
        before: u64,
    },
    /// A number is not what parameters, assignment and the receipt before give.
    #[error("its {0} is not what parameters, assignment and the receipt before give")]
    Number(&'static str),
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

    /// With one receipt more.
    fn next(self, epoch: u64, worth: Worth, paid: u128) -> Result<Self, ReceiptError> {
        if epoch < self.epoch {
            return Err(ReceiptError::Epoch { epoch, before: self.epoch });
        }
        let [credit, debit] = if epoch == self.epoch { [self.epoch_credit, self.epoch_debit] } else { [0; 2] };
        Ok(Self {
            seq: self.seq.saturating_add(1),
            epoch,
            epoch_credit: credit.saturating_add(u64::from(worth.credit)),
            epoch_debit: debit.saturating_add(u64::from(worth.debit)),
            owed: self.owed.saturating_add(paid),
        })
    }

    /// The receipt of an assignment, of which `hash` is the EIP-712 hash. The totals are then its.
    ///
    /// # Errors
    /// [`ReceiptError::Epoch`] where the assignment's epoch is over; the totals are then as they were.
    pub fn receipt(
        &mut self,
        parameters: &Parameters,
        assignment: &Assignment,
        hash: B256,
        outcome: Outcome,
    ) -> Result<Receipt, ReceiptError> {
        let Outcome { verdict, proof_hash, ms } = outcome;
        let ms = u32::try_from(ms).unwrap_or(u32::MAX);
        let worth = parameters.worth(verdict, assignment.units, u64::from(ms), PROOF_BYTES, FULL);
        let paid = if verdict == Verdict::Valid { assignment.price } else { 0 };
        *self = self.next(assignment.epoch, worth, paid)?;
        Ok(Receipt {
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
        })
    }

    /// Whether a receipt of an assignment, of which `hash` is the EIP-712 hash, is the next one after these totals: every number in it but
    /// time and verdict follows.
    ///
    /// # Errors
    /// [`ReceiptError`] names what does not.
    pub fn check(mut self, parameters: &Parameters, assignment: &Assignment, hash: B256, receipt: &Receipt) -> Result<(), ReceiptError> {
        let verdict = Verdict::from_u8(receipt.verdict).ok_or(ReceiptError::Verdict(receipt.verdict))?;
        let outcome = Outcome { verdict, proof_hash: receipt.proofHash, ms: u64::from(receipt.ms) };
        let expected = self.receipt(parameters, assignment, hash, outcome)?;
        let numbers = [
            ("assignment", expected.assignment == receipt.assignment),
            ("epoch", expected.epoch == receipt.epoch),
            ("sequence number", expected.seq == receipt.seq),
            ("credit", expected.credit == receipt.credit),
            ("debit", expected.debit == receipt.debit),
            ("epoch's credit", expected.epochCredit == receipt.epochCredit),
            ("epoch's debit", expected.epochDebit == receipt.epochDebit),
            ("sum owed", expected.owed == receipt.owed),
        ];
        numbers.iter().find(|(_, is_right)| !is_right).map_or(Ok(()), |(what, _)| Err(ReceiptError::Number(what)))
    }
}

/// Whether one validator cannot honestly have signed both for one miner: two receipts of one number, or a later one that owes less.
pub fn contradict(a: &Receipt, b: &Receipt) -> bool {
    let (first, second) = if a.seq <= b.seq { (a, b) } else { (b, a) };
    if first.seq == second.seq { first != second } else { second.owed < first.owed || second.epoch < first.epoch }
}
