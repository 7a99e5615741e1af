//! Draws that anyone makes again: who got a slice follows from an epoch's beacon and from whom it was drawn.
//!
//! A validator gives a slice to one of its *candidates*, the miners that could take it and got the fewest rounds of 256 units in the epoch so
//! far: to the one with the smallest keccak256 of beacon (32 bytes), job (32), slice (2, big-endian), attempt (1) and address (20). It shows
//! each draw of a closed epoch at `/v1/epochs/{epoch}/draws`; the beacon is in the epoch's signed root, and is the hash of the epoch's first
//! final block.
//!
//! [`faults`] finds whoever was given what another had drawn, slices that were drawn until it suited, and candidates that had got more than is
//! said. It cannot find who was left out: that a miner was idle and is not among the candidates, it alone knows.

use std::collections::HashMap;

use alloy::primitives::{Address, B256, keccak256};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Units of a round.
pub const ROUND: u64 = 256;

/// A draw, as a validator shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Draw {
    /// Later draws have greater numbers.
    pub number: u64,
    /// EIP-712 hash of the assignment, whose signed text is at `/v1/receipts/{assignment}`.
    #[schema(value_type = String)]
    pub assignment: B256,
    /// The job.
    #[schema(value_type = String)]
    pub job: B256,
    /// The slice of it.
    pub slice: u16,
    /// How often the slice was given away before.
    pub attempt: u8,
    /// Its size.
    pub units: u32,
    /// Who got it.
    #[schema(value_type = String)]
    pub miner: Address,
    /// Rounds of 256 units that each candidate had got in the epoch, no other miner that could take it fewer.
    pub round: u64,
    /// Whom it was drawn from.
    #[schema(value_type = Vec<String>)]
    pub candidates: Vec<Address>,
}

/// What is wrong with a draw.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DrawFault {
    /// Somebody else was drawn.
    #[error("{drawn} was drawn, and {given} got it")]
    Another {
        /// Whom the beacon puts first; nobody where there are no candidates.
        drawn: Address,
        /// Who got it.
        given: Address,
    },
    /// The slice's draws do not follow each other: one was made again, or left out.
    #[error("it is attempt {found} of its slice, after which {expected} is due")]
    Attempt {
        /// Which is due.
        expected: u16,
        /// Which it says that it is.
        found: u8,
    },
    /// A candidate had got more.
    #[error("{miner} had got {units} units in the epoch, which are more than {round} rounds and the one that it is in")]
    Round {
        /// Who.
        miner: Address,
        /// What it was given in draws before.
        units: u64,
        /// Rounds that it is said to have got.
        round: u64,
    },
}

/// Who of the candidates has an attempt of a slice by the beacon.
pub fn drawn(beacon: B256, (job, slice): (B256, u16), attempt: u8, candidates: &[Address]) -> Option<Address> {
    let place = |miner: &Address| {
        let mut bytes = [0; 32 + 32 + 2 + 1 + 20];
        bytes[..32].copy_from_slice(beacon.as_slice());
        bytes[32..64].copy_from_slice(job.as_slice());
        bytes[64..66].copy_from_slice(&slice.to_be_bytes());
        bytes[66] = attempt;
        bytes[67..].copy_from_slice(miner.as_slice());
        keccak256(bytes)
    };
    candidates.iter().min_by_key(|miner| place(miner)).copied()
}

/// Makes all draws of an epoch again, in order: the number of each that is not as it should be, and why.
pub fn faults(beacon: B256, draws: &[Draw]) -> Vec<(u64, DrawFault)> {
    let mut units: HashMap<Address, u64> = HashMap::new();
    let mut due: HashMap<(B256, u16), u16> = HashMap::new();
    let mut faults = Vec::new();
    for draw in draws {
        let id = (draw.job, draw.slice);
        let first = drawn(beacon, id, draw.attempt, &draw.candidates);
        if first != Some(draw.miner) {
            faults.push((draw.number, DrawFault::Another { drawn: first.unwrap_or_default(), given: draw.miner }));
        }
        // Attempts before may be of the epoch before.
        let expected = due.insert(id, u16::from(draw.attempt) + 1).unwrap_or_else(|| u16::from(draw.attempt));
        if expected != u16::from(draw.attempt) {
            faults.push((draw.number, DrawFault::Attempt { expected, found: draw.attempt }));
        }
        let too_much = |miner: &Address| units.get(miner).copied().filter(|units| units / ROUND > draw.round).map(|units| (*miner, units));
        if let Some((miner, units)) = draw.candidates.iter().find_map(too_much) {
            faults.push((draw.number, DrawFault::Round { miner, units, round: draw.round }));
        }
        *units.entry(draw.miner).or_default() += u64::from(draw.units);
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draw_is_made_again() {
        let beacon = B256::repeat_byte(7);
        let candidates: Vec<Address> = (1..=9).map(Address::repeat_byte).collect();
        let mut others = candidates.clone();
        others.reverse();
        let draw = |number: u64| {
            let (job, slice, attempt) = (B256::with_last_byte(number as u8), 1, 0);
            let miner = drawn(beacon, (job, slice), attempt, &others).unwrap_or_default();
            let candidates = candidates.clone();
            Draw { number, assignment: B256::ZERO, job, slice, attempt, units: 200, miner, round: number / 9, candidates }
        };
        let draws: Vec<Draw> = (0..9).map(draw).collect();
        let honest: Vec<Draw> = draws.iter().cloned().map(|draw| Draw { round: 9, ..draw }).collect();
        assert_eq!(faults(beacon, &honest), []);
        let fault = |k: usize, change: fn(&mut Draw)| {
            let mut draws = honest.clone();
            change(&mut draws[k]);
            faults(beacon, &draws)
        };
        let other = |draw: &mut Draw| draw.miner = draw.candidates[usize::from(draw.candidates[0] == draw.miner)];
        let given = |k: usize| candidates[usize::from(candidates[0] == honest[k].miner)];
        assert_eq!(fault(3, other), [(3, DrawFault::Another { drawn: honest[3].miner, given: given(3) })]);
        assert!(matches!(fault(4, |draw| draw.candidates.clear())[..], [(4, DrawFault::Another { drawn: Address::ZERO, .. })]));
        // Drawn again until it suited.
        let mut again = honest.clone();
        again.push(Draw { number: 9, ..honest[8].clone() });
        assert_eq!(faults(beacon, &again), [(9, DrawFault::Attempt { expected: 1, found: 0 })]);
        // Nobody has got less than the favourite, it is said.
        let favourite = honest[0].miner;
        let alone = |number: u64| Draw { round: 0, miner: favourite, candidates: vec![favourite], ..draw(number) };
        let favoured: Vec<Draw> = (0..4).map(alone).collect();
        let expected = [2, 3].map(|number| (number, DrawFault::Round { miner: favourite, units: 200 * number, round: 0 }));
        assert_eq!(faults(beacon, &favoured), expected);
    }
}
