//! Points in files from outside, read with every check: coordinates reduced, on the curve, in the subgroup, finite.

use ark_bn254::{Bn254, Fr, G1Affine, G2Affine};
use ark_ec::pairing::Pairing;
use ark_ec::short_weierstrass::Affine;
use ark_ec::{AffineRepr, CurveGroup};
use ark_ff::Zero;
use rayon::prelude::*;
use zkslice_curve::{Curve, in_subgroup};
use zkslice_groth16::{full, g1_to_words, g2_to_words, raw};
use zkslice_interop::Cursor;

use crate::CeremonyError;

/// A point of G1 or G2.
pub(crate) trait Point: AffineRepr<ScalarField = Fr> {
    /// Bytes of its two coordinates.
    const BYTES: usize;

    /// The point whose coordinates are these, in Montgomery form; `None` where they are not those of a finite point of the group.
    fn read(bytes: &[u8]) -> Option<Self>;

    /// The same for any finite point of the curve.
    fn read_on_curve(bytes: &[u8]) -> Option<Self>;

    /// The first of these points of the curve that is not in the group.
    fn outside(points: &[Self]) -> Option<usize>;

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

    fn read_on_curve(bytes: &[u8]) -> Option<Self> {
        Self::read(bytes)
    }

    fn outside(_: &[Self]) -> Option<usize> {
        None
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
        Self::read_on_curve(bytes).filter(Self::is_in_correct_subgroup_assuming_on_curve)
    }

    fn outside(points: &[Self]) -> Option<usize> {
        in_subgroup(points).iter().position(|inside| !inside)
    }

    fn read_on_curve(bytes: &[u8]) -> Option<Self> {
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
    let is_infinite = |chunk: &[u8]| chunk.len() == P::BYTES && chunk.iter().all(|byte| *byte == 0);
    let read = |chunk: &[u8]| if is_infinite(chunk) { Some(P::zero()) } else { P::read_on_curve(chunk) };
    let points = list(bytes, read).and_then(in_group);
    points.map_err(|index| CeremonyError::Invalid(format!("point {index} of {what} is no point of its group")))
}

/// All points of a section. `what` names it in the error.
pub(crate) fn read_all<P: Point>(bytes: &[u8], what: &str) -> Result<Vec<P>, CeremonyError> {
    let points = list(bytes, P::read_on_curve).and_then(in_group);
    points.map_err(|index| CeremonyError::Invalid(format!("point {index} of {what} is infinite or no point of its group")))
}

/// All points of a section that this program wrote, which were of their group then. `what` names it in the error.
pub(crate) fn read_curve<P: Point>(bytes: &[u8], what: &str) -> Result<Vec<P>, CeremonyError> {
    list(bytes, P::read_on_curve)
        .map_err(|index| CeremonyError::Invalid(format!("point {index} of {what} is infinite or not on the curve")))
}

/// All points, or the index of one outside the group.
fn in_group<P: Point>(points: Vec<P>) -> Result<Vec<P>, usize> {
    P::outside(&points).map_or(Ok(points), Err)
}

/// All points, or the index of one that cannot be read.
fn list<P: Point>(bytes: &[u8], read: impl Fn(&[u8]) -> Option<P> + Sync) -> Result<Vec<P>, usize> {
    bytes.par_chunks(P::BYTES).enumerate().map(|(index, chunk)| read(chunk).ok_or(index)).collect()
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
