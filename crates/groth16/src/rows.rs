//! What the matrices of a circuit must have, or its keys bind less than their statement.
//!
//! ```text
//! public wires   each has a row of its own, wire·0 = 0: it keeps a copied proof from being turned to another value of the wire, and
//!                the wire's point in the verifying key from vanishing (docs/proof-system.md 8.4)
//! fingerprint    each public input and word stands in its row, (step + e)·χ = step before, and nothing else does (section 5)
//! ```
//!
//! A circuit from this workspace has them by the way it is built. They are looked for where keys are made and where a verifier contract is
//! written, on the matrices themselves: no point of a verifying key tells of them.

use std::collections::BTreeMap;
use std::ops::Range;

use ark_bn254::Fr;
use zkslice_circuit::{Circuit, Layout};

use crate::KeyError;

/// Checks that a circuit binds its public wires, public inputs and words.
///
/// # Errors
/// [`KeyError::Rows`] naming the first that it does not.
pub fn check_rows(circuit: &Circuit) -> Result<(), KeyError> {
    let layout = circuit.layout();
    let entries = |entry: &mut dyn FnMut(usize, usize, usize)| circuit.visit(|row, matrix, wire, _| entry(row, matrix as usize, wire));
    if let Some(wire) = first_unpinned(layout.rows(), layout.public_wires(), entries) {
        return Err(KeyError::Rows(format!("no row pins public wire {wire}")));
    }
    if !layout.has_challenge() {
        return Ok(());
    }
    let wires = FingerprintWires {
        publics: layout.first_public()..layout.first_public() + layout.publics,
        committed: layout.public_wires()..layout.first_second_round(),
        elements: layout.publics + layout.words,
    };
    match first_unbound(&wires, |entry| circuit.visit(|row, matrix, wire, c| entry(row, matrix as usize, wire, c))) {
        Some(element) => Err(KeyError::Rows(format!("the fingerprint does not bind element {element} of its public inputs and words"))),
        None => Ok(()),
    }
}

/// The first of `public_wires` without a row of its own, `wire·0 = 0` with nothing else on it.
///
/// `entries` calls back with row, matrix (0, 1, 2 for A, B, C) and wire of everything in the matrices.
fn first_unpinned(rows: usize, public_wires: usize, entries: impl FnOnce(&mut dyn FnMut(usize, usize, usize))) -> Option<usize> {
    let mut alone: Vec<Option<usize>> = vec![None; rows];
    let mut shared = vec![false; rows];
    entries(&mut |row, matrix, wire| {
        if matrix == 0 && alone[row].is_none() {
            alone[row] = Some(wire);
        } else {
            shared[row] = true;
        }
    });
    let mut pinned = vec![false; public_wires];
    for wire in alone.iter().zip(&shared).filter(|(_, shared)| !**shared).filter_map(|(wire, _)| *wire) {
        if let Some(pinned) = pinned.get_mut(wire) {
            *pinned = true;
        }
    }
    pinned.iter().position(|pinned| !pinned)
}

/// The wires that a fingerprint is made of. Wires from `committed.end` on are of the second round.
struct FingerprintWires {
    publics: Range<usize>,
    committed: Range<usize>,
    /// How many public inputs and words there are.
    elements: usize,
}

/// The first element that the fingerprint does not bind. From F on, the rows `(step + e)·χ = wire before` must follow one another, with
/// e the public inputs, each alone, and then the words, which are of committed wires; the last row has no step. A step that no row ties
/// to committed wires would be chosen to fit, and F would say nothing.
///
/// `entries` is as above, with coefficients, and is called twice.
fn first_unbound(wires: &FingerprintWires, entries: impl Fn(&mut dyn FnMut(usize, usize, usize, Fr))) -> Option<usize> {
    const CHALLENGE: usize = Layout::CHALLENGE_WIRE;
    const FINGERPRINT: usize = Layout::FINGERPRINT_WIRE;
    let one = Fr::from(1u64);
    let alone = |wire| BTreeMap::from([(wire, one)]);
    let mut rows: BTreeMap<usize, [BTreeMap<usize, Fr>; 3]> = BTreeMap::new();
    entries(&mut |row, matrix, wire, _| {
        if matrix == 2 && (wire == FINGERPRINT || wire >= wires.committed.end) {
            rows.entry(row).or_default();
        }
    });
    entries(&mut |row, matrix, wire, coefficient| {
        if let Some(row) = rows.get_mut(&row) {
            *row[matrix].entry(wire).or_default() += coefficient;
        }
    });
    // A of each such row, by the wire before.
    let mut links = BTreeMap::new();
    for [a, _, c] in rows.into_values().filter(|[_, b, _]| *b == alone(CHALLENGE)) {
        if let Some((before, _)) = c.first_key_value().filter(|(before, _)| c == alone(**before)) {
            links.insert(*before, a);
        }
    }
    let mut before = FINGERPRINT;
    for j in 0..wires.elements {
        let Some(mut element) = links.remove(&before) else { return Some(j) };
        let mut steps = element.split_off(&wires.committed.end).into_iter();
        let step = steps.next();
        let ends = if j + 1 == wires.elements { step.is_none() } else { step.is_some_and(|(_, coefficient)| coefficient == one) };
        let is_element = match wires.publics.clone().nth(j) {
            Some(public) => element == alone(public),
            None => element.keys().all(|wire| *wire == 0 || wires.committed.contains(wire)),
        };
        if !ends || !is_element || steps.next().is_some() {
            return Some(j);
        }
        before = step.map_or(0, |(wire, _)| wire);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unpinned(entries: &[(usize, usize, usize)]) -> Option<usize> {
        first_unpinned(4, 2, |entry| entries.iter().for_each(|(row, matrix, wire)| entry(*row, *matrix, *wire)))
    }

    /// G1: a public wire that only occurs beside others, or in B or C, is not pinned.
    #[test]
    fn public_wires_need_rows_of_their_own() {
        assert_eq!(unpinned(&[(0, 0, 0), (1, 0, 1), (2, 0, 5), (2, 1, 1), (2, 2, 0)]), None);
        assert_eq!(unpinned(&[(0, 0, 0)]), Some(1));
        assert_eq!(unpinned(&[(0, 0, 0), (1, 0, 1), (1, 0, 5)]), Some(1));
        assert_eq!(unpinned(&[(0, 0, 0), (1, 0, 1), (1, 1, 0)]), Some(1));
        assert_eq!(unpinned(&[(0, 0, 0), (1, 1, 1)]), Some(1));
        assert_eq!(unpinned(&[(0, 2, 0), (1, 0, 1)]), Some(0));
    }

    type Entry = (usize, usize, usize, i64);

    /// Two public inputs, wires 5 and 6, and two words, wire 3 and 1 + 2·(wire 4), with steps 7, 8 and 9; before them the rows of a table
    /// of two entries, wires 10 and 11, whose first also has χ alone in B.
    const FINGERPRINT_ROWS: [Entry; 24] = [
        (0, 0, 10, 1),
        (0, 1, 1, 1),
        (0, 2, 3, 1),
        (1, 0, 11, 1),
        (1, 1, 1, 1),
        (1, 1, 0, -1),
        (1, 2, 4, 1),
        (2, 0, 0, 1),
        (2, 0, 4, 2),
        (2, 1, 1, 1),
        (2, 2, 9, 1),
        (3, 0, 9, 1),
        (3, 0, 3, 1),
        (3, 1, 1, 1),
        (3, 2, 8, 1),
        (4, 0, 8, 1),
        (4, 0, 6, 1),
        (4, 1, 1, 1),
        (4, 2, 7, 1),
        (5, 0, 7, 1),
        (5, 0, 5, 1),
        (5, 1, 1, 1),
        (5, 2, 2, 1),
        (6, 0, 2, 1),
    ];

    fn unbound(entries: &[Entry]) -> Option<usize> {
        let wires = FingerprintWires { publics: 5..7, committed: 3..7, elements: 4 };
        first_unbound(&wires, |entry| entries.iter().for_each(|(row, matrix, wire, c)| entry(*row, *matrix, *wire, Fr::from(*c))))
    }

    /// B5: a public input that no row of the fingerprint holds, or not it alone, could be any.
    #[test]
    fn public_inputs_need_the_fingerprint() {
        let rows = FINGERPRINT_ROWS;
        assert_eq!(unbound(&rows), None);
        let instead = |at: usize, entry: Entry| {
            let mut rows = rows.to_vec();
            rows[at] = entry;
            unbound(&rows)
        };
        let beside = |entry: Entry| unbound(&[rows.as_slice(), &[entry]].concat());
        // x_1: missing, another wire, scaled, beside another; x_1 in the place of x_2.
        assert_eq!(unbound(&rows.iter().filter(|entry| **entry != (5, 0, 5, 1)).copied().collect::<Vec<_>>()), Some(0));
        assert_eq!(instead(20, (5, 0, 4, 1)), Some(0));
        assert_eq!(instead(20, (5, 0, 5, 2)), Some(0));
        assert_eq!(beside((5, 0, 3, 1)), Some(0));
        assert_eq!(beside((5, 0, 0, 1)), Some(0));
        assert_eq!(instead(16, (4, 0, 5, 1)), Some(1));
        // Steps: another coefficient, a second one, one at the end, one that leads nowhere, or back.
        assert_eq!(instead(19, (5, 0, 7, 2)), Some(0));
        assert_eq!(beside((5, 0, 11, 1)), Some(0));
        assert_eq!(beside((2, 0, 10, 1)), Some(3));
        assert_eq!(instead(15, (4, 0, 11, 1)), Some(2));
        assert_eq!(instead(15, (4, 0, 7, 1)), Some(2));
        // Not times χ, or not χ alone; not F, or not F alone.
        assert_eq!(instead(21, (5, 1, 0, 1)), Some(0));
        assert_eq!(beside((5, 1, 5, 1)), Some(0));
        assert_eq!(instead(22, (5, 2, 2, 2)), Some(0));
        assert_eq!(beside((5, 2, 0, 1)), Some(0));
        // Words of χ or F.
        assert_eq!(instead(12, (3, 0, 1, 1)), Some(2));
        assert_eq!(instead(8, (2, 0, 2, 1)), Some(3));
    }
}
