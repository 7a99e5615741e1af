//! The key that a ceremony begins with: of a circuit and powers of tau, with δ1 = δ2 = 1. Anyone can make it again.
//!
//! Each wire's points are sums over the wire's entries in the matrices (`docs/proof-system.md` 6, setup):
//!
//! ```text
//! u_i = Σ A_ji·L_j    v_i = Σ B_ji·L_j    K_i = Σ A_ji·βL_j + Σ B_ji·αL_j + Σ C_ji·L^(2n)_2j
//! ```

use std::collections::HashMap;
use std::ops::Range;

use ark_bn254::{Fr, G1Affine, G2Affine, g1, g2};
use ark_ec::AffineRepr;
use ark_ec::short_weierstrass::Affine;
use ark_ff::One;
use rayon::prelude::*;
use sha2::{Digest, Sha256};
use zkslice_circuit::{Circuit, Layout, Matrix};
use zkslice_curve::Curve;
use zkslice_formats::{push_number, tag};
use zkslice_groth16::{KeyPoints, WordGroup, check_rows};

use crate::multiply::{Bases, Scalar, Term, sums};
use crate::points::Point;
use crate::powers::Domain;
use crate::{CeremonyError, Powers};

/// Entries of one wire that are added up together.
const BLOCK: usize = 1 << 12;

/// An initial key, and what states everything that it is made of.
pub(crate) struct Initial {
    pub(crate) layout: Layout,
    pub(crate) points: KeyPoints,
    pub(crate) statement: Vec<u8>,
}

/// A coefficient of a wire.
#[derive(Clone, Copy)]
pub(crate) struct Entry {
    pub(crate) matrix: Matrix,
    pub(crate) row: u32,
    /// Which of the coefficients it is.
    coefficient: u32,
}

/// Entries by wire.
pub(crate) struct Columns {
    starts: Vec<usize>,
    entries: Vec<Entry>,
    /// Each coefficient once: of few there are many.
    coefficients: Vec<Fr>,
}

/// What is called with row, matrix, wire and coefficient of each entry.
type Visit<'a> = dyn FnMut(usize, Matrix, usize, Fr) + 'a;

impl Columns {
    fn of(circuit: &Circuit) -> Self {
        Self::new(circuit.layout().wires(), &mut |visit| circuit.visit(visit))
    }

    /// `entries` visits all of them, the same each time.
    pub(crate) fn new(wires: usize, entries_of: &mut dyn FnMut(&mut Visit<'_>)) -> Self {
        let mut starts = vec![0; wires + 1];
        entries_of(&mut |_, _, wire, _| starts[wire + 1] += 1);
        for wire in 1..starts.len() {
            starts[wire] += starts[wire - 1];
        }
        let empty = Entry { matrix: Matrix::A, row: 0, coefficient: 0 };
        let mut entries = vec![empty; starts.last().copied().unwrap_or(0)];
        let (mut next, mut coefficients, mut known) = (starts.clone(), Vec::new(), HashMap::new());
        entries_of(&mut |row, matrix, wire, coefficient| {
            let coefficient = *known.entry(coefficient).or_insert_with(|| {
                coefficients.push(coefficient);
                coefficients.len() as u32 - 1
            });
            entries[next[wire]] = Entry { matrix, row: row as u32, coefficient };
            next[wire] += 1;
        });
        Self { starts, entries, coefficients }
    }

    /// What sums in one group are made with.
    pub(crate) fn in_group<C: Curve>(&self) -> Group<'_, C> {
        Group { columns: self, scalars: self.coefficients.par_iter().map(Scalar::new).collect() }
    }

    fn of_wire(&self, wire: usize) -> &[Entry] {
        &self.entries[self.starts[wire]..self.starts[wire + 1]]
    }
}

/// Entries by wire, and their coefficients as scalars of a group.
pub(crate) struct Group<'a, C: Curve> {
    columns: &'a Columns,
    scalars: Vec<Scalar<C>>,
}

/// Where an entry's coefficient has its point, if it has any.
pub(crate) type Base<'b, 'a, C> = dyn Fn(&Entry) -> Option<(&'a Bases<C>, usize)> + Sync + 'b;

impl<C: Curve> Group<'_, C> {
    fn scalar(&self, entry: &Entry) -> &Scalar<C> {
        &self.scalars[entry.coefficient as usize]
    }

    /// Points of a matrix with the multiples that save more additions than they take. Where matrices have the same points, all are named.
    pub(crate) fn bases(&self, points: Vec<Affine<C>>, matrices: &[Matrix]) -> Bases<C> {
        let mut bits = vec![0u32; points.len()];
        for entry in self.columns.entries.iter().filter(|entry| matrices.contains(&entry.matrix)) {
            bits[entry.row as usize] = bits[entry.row as usize].saturating_add(self.scalar(entry).bits());
        }
        Bases::new(points, bits)
    }

    /// For each of some wires Σ coefficient·base over the entries that have a base.
    pub(crate) fn sums<'a>(&self, wires: Range<usize>, base: &Base<'_, 'a, C>) -> Vec<Affine<C>>
    where
        C: 'a,
    {
        // Entries of a wire that has many are summed up in parts.
        let of_wire = |wire: usize| self.columns.of_wire(wire).chunks(BLOCK);
        let parts: Vec<&[Entry]> = wires.clone().flat_map(of_wire).collect();
        let of_parts = sums(parts.len(), &|part| {
            let term = |entry| base(entry).map(|(bases, at)| Term { bases, at, scalar: self.scalar(entry) });
            parts[part].iter().filter_map(term)
        });
        let mut next = 0;
        let ranges: Vec<Range<usize>> = wires
            .map(|wire| {
                let start = next;
                next += of_wire(wire).len();
                start..next
            })
            .collect();
        let (one, of_parts) = (Scalar::new(&Fr::one()), Bases::new(of_parts, std::iter::repeat(0)));
        sums(ranges.len(), &|wire| ranges[wire].clone().map(|at| Term { bases: &of_parts, at, scalar: &one }))
    }
}

impl Initial {
    /// # Errors
    /// [`CeremonyError::Refused`] for powers of other domains; [`CeremonyError::Key`] for a circuit that does not bind its statement.
    pub(crate) fn new(circuit: &Circuit, groups: &[WordGroup], powers: &Powers) -> Result<Self, CeremonyError> {
        let layout = circuit.layout().clone();
        if !layout.has_challenge() || groups.iter().map(WordGroup::words).sum::<usize>() != layout.words {
            return Err(CeremonyError::Refused("the circuit has no challenge, or other public words than its groups".into()));
        }
        check_rows(circuit)?;
        let level = layout.rows().next_power_of_two().trailing_zeros();
        let Domain { lagrange, lagrange2, alpha, beta, double } = powers.domain(level)?;
        let columns = Columns::of(circuit);
        let (p, early) = (layout.public_wires(), layout.first_second_round());
        let of = |wanted: Matrix, entry: &Entry| entry.matrix == wanted;
        let at = |entry: &Entry| entry.row as usize;
        if (early..layout.wires()).any(|wire| columns.of_wire(wire).iter().any(|entry| of(Matrix::B, entry))) {
            return Err(CeremonyError::Refused("a wire of the second round is on the B side".into()));
        }
        let (even, h): (Vec<_>, Vec<_>) = double.chunks(2).map(|pair| (pair[0], pair[1])).unzip();
        let (first, second) = (columns.in_group::<g1::Config>(), columns.in_group::<g2::Config>());
        let lagrange = first.bases(lagrange, &[Matrix::A, Matrix::B]);
        let a = first.sums(0..layout.wires(), &|entry| of(Matrix::A, entry).then(|| (&lagrange, at(entry))));
        let b1 = first.sums(0..early, &|entry| of(Matrix::B, entry).then(|| (&lagrange, at(entry))));
        drop(lagrange);
        let lagrange2 = second.bases(lagrange2, &[Matrix::B]);
        let b2 = second.sums(0..early, &|entry| of(Matrix::B, entry).then(|| (&lagrange2, at(entry))));
        drop((lagrange2, second));
        let (of_a, of_b) = (first.bases(beta, &[Matrix::A]), first.bases(alpha, &[Matrix::B]));
        let of_c = first.bases(even, &[Matrix::C]);
        let mut ic = first.sums(0..layout.wires(), &|entry| {
            let bases = match entry.matrix {
                Matrix::A => &of_a,
                Matrix::B => &of_b,
                Matrix::C => &of_c,
            };
            Some((bases, at(entry)))
        });
        let k2 = ic.split_off(early);
        let k1 = ic.split_off(p);
        let (alpha, beta, beta2) = powers.single();
        let (g1, g2) = (G1Affine::generator(), G2Affine::generator());
        let points = KeyPoints { single: [alpha, beta, g1, g1], single2: [beta2, g2, g2], ic, a, b1, b2, k1, k2, h };
        let statement = statement(&layout, groups, &points);
        Ok(Self { layout, points, statement })
    }
}

/// Tag, layout, groups, and the SHA-256 of each list of points, those that contributions change at the end: what a ceremony is about. Its
/// keccak256 opens the transcript.
fn statement(layout: &Layout, groups: &[WordGroup], points: &KeyPoints) -> Vec<u8> {
    let mut bytes = tag("zkslice/ceremony/circuit/v1").to_vec();
    let mut number = |n: usize| push_number(&mut bytes, n as u64);
    [layout.publics, layout.words, layout.small, layout.field, layout.products, layout.field_products].into_iter().for_each(&mut number);
    number(layout.tables.len());
    for table in &layout.tables {
        number(table.entries);
        number(table.lookups);
    }
    number(groups.len());
    for group in groups {
        number(group.count);
        number(group.bits as usize);
    }
    let of = |points: &[G1Affine]| Sha256::digest(Point::raw(points));
    let of2 = |points: &[G2Affine]| Sha256::digest(Point::raw(points));
    for digest in [
        of(&points.single),
        of2(&points.single2),
        of(&points.ic),
        of(&points.a),
        of(&points.b1),
        of2(&points.b2),
        of(&points.k1),
        of(&points.k2),
        of(&points.h),
    ] {
        bytes.extend_from_slice(&digest);
    }
    bytes
}

/// Whether these are the lists that contributions change of the key that is stated.
pub(crate) fn states(statement: &[u8], changed: &[Vec<u8>; 3]) -> bool {
    let digests: Vec<u8> = changed.iter().flat_map(|list| Sha256::digest(list).to_vec()).collect();
    statement.ends_with(&digests)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use ark_ec::CurveGroup;
    use ark_ff::UniformRand;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    use super::*;

    /// Wires of none, some, and more entries than are added up together; each matrix with its own points.
    #[test]
    fn sums_are_those_of_arkworks() {
        let mut rng = ChaCha20Rng::from_seed([8; 32]);
        let rows = 3 * BLOCK;
        let points: Vec<G1Affine> = (0..40).map(|_| G1Affine::rand(&mut rng)).collect();
        let points: Vec<G1Affine> = points.iter().cycle().take(rows).copied().collect();
        let coefficients: Vec<Fr> = [Fr::one(), -Fr::one(), Fr::from(5), Fr::rand(&mut rng)].to_vec();
        let mut entries = Vec::new();
        for row in 0..rows {
            entries.push((row, Matrix::A, 2, coefficients[row % 4]));
            if row % 1_000 == 0 {
                entries.push((row, Matrix::B, 1 + row % 3, coefficients[3]));
            }
        }
        let columns = Columns::new(4, &mut |visit| entries.iter().for_each(|(row, matrix, wire, c)| visit(*row, *matrix, *wire, *c)));
        let group = columns.in_group::<g1::Config>();
        let (of_a, of_b) = (group.bases(points.clone(), &[Matrix::A]), group.bases(points[..rows].to_vec(), &[Matrix::B]));
        for wanted in [Some(Matrix::A), Some(Matrix::B), None] {
            let is_wanted = |matrix: Matrix| wanted.is_none_or(|wanted| wanted == matrix);
            let sums = group.sums(0..4, &|entry| {
                let bases = if entry.matrix == Matrix::A { &of_a } else { &of_b };
                is_wanted(entry.matrix).then_some((bases, entry.row as usize))
            });
            for (wire, sum) in sums.iter().enumerate() {
                let of_wire = entries.iter().filter(|(_, matrix, other, _)| *other == wire && is_wanted(*matrix));
                let expected: ark_bn254::G1Projective = of_wire.map(|(row, .., c)| points[*row] * c).sum();
                assert_eq!(*sum, expected.into_affine(), "{wanted:?} of wire {wire}");
            }
        }
    }
}
