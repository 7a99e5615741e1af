//! Points as they lie in files that are mapped into memory: coordinates in Montgomery form, little-endian limbs. `.ptau` and `.zkey`
//! files of snarkjs have them so too.

use ark_bn254::{Fq, Fq2, G1Affine, G2Affine};
use ark_ec::AffineRepr;
use ark_ff::{BigInt, PrimeField, Zero};

/// A G1 point as it lies in a key: limbs of x, then of y.
pub type RawG1 = [u64; 8];
/// A G2 point as it lies in a key: limbs of x.c0, x.c1, y.c0, y.c1.
pub type RawG2 = [u64; 16];

fn fq(limbs: &[u64]) -> Fq {
    Fq::new_unchecked(BigInt([limbs[0], limbs[1], limbs[2], limbs[3]]))
}

/// The point, whose coordinates are not checked.
pub fn g1(raw: &RawG1) -> G1Affine {
    let (x, y) = (fq(&raw[..4]), fq(&raw[4..]));
    if x.is_zero() && y.is_zero() { G1Affine::zero() } else { G1Affine::new_unchecked(x, y) }
}

/// The point, whose coordinates are not checked.
pub fn g2(raw: &RawG2) -> G2Affine {
    let (x, y) = (Fq2::new(fq(&raw[..4]), fq(&raw[4..8])), Fq2::new(fq(&raw[8..12]), fq(&raw[12..])));
    if x.is_zero() && y.is_zero() { G2Affine::zero() } else { G2Affine::new_unchecked(x, y) }
}

/// Whether all coordinates are reduced.
pub fn is_canonical(raw: &[u64]) -> bool {
    raw.chunks_exact(4).all(|limbs| BigInt([limbs[0], limbs[1], limbs[2], limbs[3]]) < Fq::MODULUS)
}

fn push(bytes: &mut Vec<u8>, value: &Fq) {
    value.0.0.iter().for_each(|limb| bytes.extend_from_slice(&limb.to_le_bytes()));
}

/// Points as bytes, infinity as zeros.
pub fn g1_bytes(points: &[G1Affine]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(points.len() * 64);
    for point in points {
        let (x, y) = point.xy().unwrap_or_default();
        [x, y].iter().for_each(|c| push(&mut bytes, c));
    }
    bytes
}

/// Points as bytes, infinity as zeros.
pub fn g2_bytes(points: &[G2Affine]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(points.len() * 128);
    for point in points {
        let (x, y) = point.xy().unwrap_or_default();
        [x.c0, x.c1, y.c0, y.c1].iter().for_each(|c| push(&mut bytes, c));
    }
    bytes
}
