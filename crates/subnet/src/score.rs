//! What a proof is worth: integers that anyone recomputes from signed receipts and the package, none of which another miner can move.
//!
//! ```text
//! u   units: the slice's domain over 1,024, which the model's digest fixes
//! c   ⌊u·τ·σ·q / 2^16⌋   credit of a proof: τ for its time, σ for its size, q for its quality, each 256 at best
//! d   256·u invalid, 128·u accepted and missed, 0 otherwise
//! S'  max(0, ⌊7·S/8⌋ + Σc − Σd)   an epoch later
//! W   ⌊65,535·S / max S⌋
//! ```
//!
//! Credit is linear in units: splitting a machine's valid work between identities gains nothing, merging neither; one that fails loses its
//! registration and its probation rather than another's score. There is a time that is fast
//! enough, so nobody races for the rack beside the validator, and no time on the way is taken off, which a peer could stretch.

use alloy::primitives::{B256, keccak256};

use crate::messages::Verdict;

/// A full factor.
pub const FULL: u32 = 256;
/// The most that a weight can be.
const MOST_WEIGHT: u128 = u16::MAX as u128;
/// Rows of a unit.
const ROWS: u64 = 1_024;

/// What peers must agree on to get the same scores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameters {
    /// A proof within so many milliseconds, and so many for each unit, has full credit.
    pub fast_ms: [u32; 2],
    /// A proof within so many has half; after that it is late.
    pub most_ms: [u32; 2],
    /// Bytes of a proof with full credit.
    pub proof_bytes: u32,
    /// Of a score that many eighths stay each epoch.
    pub kept_eighths: u32,
    /// Debit for each unit of an invalid proof, and of one that was accepted and missed.
    pub debits: [u32; 2],
}

impl Default for Parameters {
    /// Half of a score is gone after 5.2 epochs. The longest time is ten times what two cores of 2026 take for the slices that were
    /// measured, and two seconds.
    fn default() -> Self {
        Self { fast_ms: [1_000, 2], most_ms: [2_000, 45], proof_bytes: 320, kept_eighths: 7, debits: [256, 128] }
    }
}

/// What a receipt says of an assignment's worth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Worth {
    /// Credit.
    pub credit: u32,
    /// Debit.
    pub debit: u32,
}

impl Parameters {
    /// keccak256 of tag and numbers, each in 32 bytes: what peers compare.
    pub fn hash(&self) -> B256 {
        let Self { fast_ms, most_ms, proof_bytes, kept_eighths, debits } = self;
        let numbers = fast_ms.iter().chain(most_ms).chain([proof_bytes, kept_eighths]).chain(debits);
        let mut bytes = keccak256("zkslice/network/parameters/v1").to_vec();
        for number in numbers {
            bytes.extend_from_slice(&[0; 28]);
            bytes.extend_from_slice(&number.to_be_bytes());
        }
        keccak256(bytes)
    }

    /// Milliseconds until which a proof of so many units counts.
    pub fn deadline_ms(&self, units: u32) -> u64 {
        linear(self.most_ms, units)
    }

    /// Milliseconds within which a proof of so many units has full credit.
    pub fn fast_at_ms(&self, units: u32) -> u64 {
        linear(self.fast_ms, units)
    }

    /// What an assignment of so many units comes to. `ms` runs from assignment to hand-in; `quality` is [`FULL`] for slices, whose outputs
    /// are exact.
    pub fn worth(&self, verdict: Verdict, units: u32, ms: u64, proof_bytes: u32, quality: u32) -> Worth {
        let [invalid, missed] = self.debits;
        match verdict {
            Verdict::Valid => Worth { credit: self.credit(units, ms, proof_bytes, quality), debit: 0 },
            Verdict::Invalid => Worth { credit: 0, debit: invalid.saturating_mul(units) },
            Verdict::Missed => Worth { credit: 0, debit: missed.saturating_mul(units) },
            // What came too late was missed before: that is in a receipt of its own.
            Verdict::Late | Verdict::Superseded => Worth::default(),
        }
    }

    fn credit(&self, units: u32, ms: u64, proof_bytes: u32, quality: u32) -> u32 {
        let size = u64::from(FULL) * u64::from(self.proof_bytes) / u64::from(proof_bytes.max(1));
        let factors = [self.promptness(units, ms), size.min(u64::from(FULL)), u64::from(quality.min(FULL))];
        let credit = factors.iter().fold(u128::from(units), |product, factor| product * u128::from(*factor)) >> 16;
        u32::try_from(credit).unwrap_or(u32::MAX)
    }

    /// τ: full to the fast time, half at the deadline, nothing after it.
    fn promptness(&self, units: u32, ms: u64) -> u64 {
        let (fast, most, full) = (self.fast_at_ms(units), self.deadline_ms(units), u64::from(FULL));
        if ms <= fast {
            full
        } else if ms <= most {
            full - (full / 2 * (ms - fast)).div_ceil(most - fast)
        } else {
            0
        }
    }

    /// A score an epoch later.
    pub fn next(&self, score: u64, credits: u64, debits: u64) -> u64 {
        let kept = u128::from(score) * u128::from(self.kept_eighths) / 8;
        let sum = (kept + u128::from(credits)).saturating_sub(u128::from(debits));
        u64::try_from(sum).unwrap_or(u64::MAX)
    }
}

fn linear([base, each]: [u32; 2], units: u32) -> u64 {
    u64::from(base) + u64::from(each) * u64::from(units)
}

/// Units of a slice whose domain has so many rows: at least one.
pub fn units(domain: u64) -> u32 {
    u32::try_from(domain.div_ceil(ROWS)).unwrap_or(u32::MAX).max(1)
}

/// Weights of scores: that of the greatest is 65,535.
pub fn weights(scores: &[u64]) -> Vec<u16> {
    let greatest = scores.iter().copied().max().unwrap_or(0).max(1);
    // Below 2^16, since no score is above the greatest.
    scores.iter().map(|score| (MOST_WEIGHT * u128::from(*score) / u128::from(greatest)) as u16).collect()
}
