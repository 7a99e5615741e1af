//! Points in files from outside, read with every check: coordinates reduced, on the curve, in the subgroup, finite.

use ark_bn254::{Bn254, Fr, G1Affine, G2Affine};
use ark_ec::pairing::Pairing;
use ark_ec::short_weierstrass::Affine;
use ark_ec::{AffineRepr, CurveGroup};
use ark_ff::Zero;
use rayon::prelude::*;
use zkslice_groth16::affine::Curve;
use zkslice_groth16::{full, g1_to_words, g2_to_words, raw};
use zkslice_interop::Cursor;

use crate::CeremonyError;

/// A point of G1 or G2.
pub(crate) trait Point: AffineRepr<ScalarField = Fr> {
    /// Bytes of its two coordinates.
    const BYTES: usize;

    /// The point whose coordinates are these, in Montgomery form; `None` where they are not those of a finite point of the group.
    fn read(bytes: &[u8]) -> Option<Self>;

    /// The same for points that were of the group when they were written: only that they are still on the curve is checked.
    fn read_own(bytes: &[u8]) -> Option<Self>;

    /// Its coordinates in Montgomery form, as files have them.
    fn raw(points: &[Self]) -> Vec<u8>;

    /// Its coordinates as big-endian numbers, of G2 the imaginary part first: what is hashed.
    fn words(&self) -> Vec<u8>;
}

impl Point for Affine<ark_bn254::g1::Config> {
    const BYTES: usize = 64;

    fn read(bytes: &[u8]) -> Option<Self> {
        let limbs: [u64; 8] = limbs(bytes)?;
        let point = raw::g1(&limbs);
        // G1 has cofactor one: on the curve is in the group.
        (raw::is_canonical(&limbs) && !point.is_zero() && point.is_on_curve()).then_some(point)
    }

    fn read_own(bytes: &[u8]) -> Option<Self> {
        Self::read(bytes)
    }

    fn raw(points: &[Self]) -> Vec<u8> {
        raw::g1_bytes(points)
    }

    fn words(&self) -> Vec<u8> {
        g1_to_words(self).concat()
    }
}

impl Point for Affine<ark_bn254::g2::Config> {
    const BYTES: usize = 128;

    fn read(bytes: &[u8]) -> Option<Self> {
        Self::read_own(bytes).filter(Self::is_in_correct_subgroup_assuming_on_curve)
    }

    fn read_own(bytes: &[u8]) -> Option<Self> {
        let limbs: [u64; 16] = limbs(bytes)?;
        let point = raw::g2(&limbs);
        (raw::is_canonical(&limbs) && !point.is_zero() && point.is_on_curve()).then_some(point)
    }

    fn raw(points: &[Self]) -> Vec<u8> {
        raw::g2_bytes(points)
    }

    fn words(&self) -> Vec<u8> {
        g2_to_words(self).concat()
    }
}

fn limbs<const N: usize>(bytes: &[u8]) -> Option<[u64; N]> {
    let (chunks, rest) = bytes.as_chunks::<8>();
    let limbs: Vec<u64> = chunks.iter().map(|chunk| u64::from_le_bytes(*chunk)).collect();
    if rest.is_empty() { limbs.try_into().ok() } else { None }
}

/// The next point, which is finite and of its group.
pub(crate) fn next_point<P: Point>(cursor: &mut Cursor<'_>) -> Option<P> {
    P::read(cursor.take(P::BYTES).ok()?)
}

/// All points of a section of a key, which may be infinite. `what` names it in the error.
pub(crate) fn read_key<P: Point>(bytes: &[u8], what: &str) -> Result<Vec<P>, CeremonyError> {
    let read = |(index, chunk): (usize, &[u8])| {
        let point = if chunk.iter().all(|byte| *byte == 0) && chunk.len() == P::BYTES { Some(P::zero()) } else { P::read(chunk) };
        point.ok_or_else(|| CeremonyError::Invalid(format!("point {index} of {what} is no point of its group")))
    };
    bytes.par_chunks(P::BYTES).enumerate().map(read).collect()
}

/// All points of a section. `what` names it in the error.
pub(crate) fn read_all<P: Point>(bytes: &[u8], what: &str) -> Result<Vec<P>, CeremonyError> {
    let read = |(index, chunk): (usize, &[u8])| {
        P::read(chunk).ok_or_else(|| CeremonyError::Invalid(format!("point {index} of {what} is infinite or no point of its group")))
    };
    bytes.par_chunks(P::BYTES).enumerate().map(read).collect()
}

/// All points of a section that this program wrote, which were of their group then. `what` names it in the error.
pub(crate) fn read_curve<P: Point>(bytes: &[u8], what: &str) -> Result<Vec<P>, CeremonyError> {
    let read = |(index, chunk): (usize, &[u8])| {
        P::read_own(chunk).ok_or_else(|| CeremonyError::Invalid(format!("point {index} of {what} is infinite or not on the curve")))
    };
    bytes.par_chunks(P::BYTES).enumerate().map(read).collect()
}

/// Whether `b` is to `a` in G1 what `d` is to `c` in G2.
pub(crate) fn same_ratio(a: G1Affine, b: G1Affine, c: G2Affine, d: G2Affine) -> bool {
    let finite = ![a, b].iter().any(AffineRepr::is_zero) && ![c, d].iter().any(AffineRepr::is_zero);
    finite && Bn254::multi_pairing([a, -b], [d, c]).is_zero()
}

/// Σ scalar·point.
pub(crate) fn sum<C: Curve>(points: &[Affine<C>], scalars: &[Fr]) -> Affine<C> {
    full(points, scalars).into_affine()
}
