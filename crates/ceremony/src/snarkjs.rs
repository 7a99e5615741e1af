//! What snarkjs and ffjavascript draw from a seed: a point of G2 that stands for a hash, and a beacon's secrets. And how snarkjs writes
//! who contributed.
//!
//! Both draw from the key stream of ChaCha20 (RFC 8439, with a block counter of 128 bits and no nonce), whose words are taken as they
//! come: two make 64 bits, the first of them the upper ones.

use ark_bn254::{Fq, Fq2, Fr, G1Affine, G2Affine};
use ark_ec::short_weierstrass::{Affine, SWCurveConfig};
use ark_ec::{AffineRepr, CurveGroup};
use ark_ff::{BigInt, Field, Fp, MontBackend, MontConfig, PrimeField, Zero};
use rand_chacha::ChaCha20Rng;
use rand_core::{RngCore, SeedableRng};
use sha2::{Digest, Sha256};
use zkslice_interop::Cursor;

/// Cofactor of G2: the twist's order over r (of `q² + … `, EIP-197's group).
const G2_COFACTOR: BigInt<4> = BigInt([0x345f_2299_c0f9_fa8d, 0x06ce_ecda_572a_2489, 0xb850_45b6_8181_585e, 0x3064_4e72_e131_a029]);

pub(crate) struct Stream(ChaCha20Rng);

impl Stream {
    /// A stream from eight big-endian words.
    pub(crate) fn new(seed: &[u8; 32]) -> Self {
        let mut key = [0; 32];
        for (word, out) in seed.chunks_exact(4).zip(key.chunks_exact_mut(4)) {
            out.copy_from_slice(word);
            out.reverse();
        }
        Self(ChaCha20Rng::from_seed(key))
    }

    /// A beacon's stream: SHA-256 of its value, 2^`exponent` times.
    pub(crate) fn of_beacon(value: &[u8], exponent: u32) -> Self {
        let mut hash: Vec<u8> = value.to_vec();
        for _ in 0..1_u64 << exponent {
            hash = Sha256::digest(&hash).to_vec();
        }
        let mut seed = [0; 32];
        seed.copy_from_slice(&hash[..32]);
        Self::new(&seed)
    }

    fn next_u64(&mut self) -> u64 {
        let high = u64::from(self.0.next_u32());
        high << 32 | u64::from(self.0.next_u32())
    }

    /// An element whose Montgomery form is the next number below the modulus.
    pub(crate) fn field<C: MontConfig<4>>(&mut self) -> Fp<MontBackend<C, 4>, 4> {
        let mask = u64::MAX >> (256 - Fp::<MontBackend<C, 4>, 4>::MODULUS_BIT_SIZE);
        loop {
            let mut limbs: [u64; 4] = std::array::from_fn(|_| self.next_u64());
            limbs[3] &= mask;
            if BigInt(limbs) < C::MODULUS {
                return Fp::new_unchecked(BigInt(limbs));
            }
        }
    }

    pub(crate) fn scalar(&mut self) -> Fr {
        self.field()
    }

    fn curve_point<C: SWCurveConfig>(
        &mut self,
        mut x: impl FnMut(&mut Self) -> C::BaseField,
        is_negative: impl Fn(&C::BaseField) -> bool,
    ) -> Affine<C> {
        loop {
            let x = x(self);
            let greatest = self.0.next_u32() & 1 == 1;
            let Some(mut y) = (x.square() * x + C::COEFF_B).sqrt() else { continue };
            if greatest != is_negative(&y) {
                y = -y;
            }
            return Affine::new_unchecked(x, y);
        }
    }

    pub(crate) fn g1(&mut self) -> G1Affine {
        self.curve_point(Self::field, is_negative)
    }

    pub(crate) fn g2(&mut self) -> G2Affine {
        let pair = |stream: &mut Self| Fq2::new(stream.field(), stream.field());
        let is_negative = |y: &Fq2| if y.c1.is_zero() { is_negative(&y.c0) } else { is_negative(&y.c1) };
        let point: G2Affine = self.curve_point(pair, is_negative);
        point.mul_bigint(G2_COFACTOR).into_affine()
    }
}

fn is_negative(y: &Fq) -> bool {
    y.into_bigint() > Fq::MODULUS_MINUS_ONE_DIV_TWO
}

/// The point of G2 that stands for a hash: nobody knows its logarithm.
pub(crate) fn hash_to_g2(hash: &[u8; 64]) -> G2Affine {
    let mut seed = [0; 32];
    seed.copy_from_slice(&hash[..32]);
    Stream::new(&seed).g2()
}

/// Value of a beacon, and the exponent of how often it is hashed.
pub(crate) type BeaconValue = (Vec<u8>, u8);

/// A contribution's parameters, in `.ptau` and in `.zkey` files: type 1 its name, 2 and 3 exponent and value of a beacon, in this order.
pub(crate) fn read_parameters(bytes: &[u8]) -> Option<(String, Option<BeaconValue>)> {
    fn byte(cursor: &mut Cursor<'_>) -> Option<u8> {
        cursor.take(1).ok().map(|bytes| bytes[0])
    }
    fn text<'a>(cursor: &mut Cursor<'a>) -> Option<&'a [u8]> {
        let length = byte(cursor)?;
        cursor.take(length.into()).ok()
    }
    let mut cursor = Cursor::new("parameters", bytes);
    let (mut name, mut exponent, mut value, mut last) = (String::new(), None, None, 0);
    while cursor.end().is_err() {
        let kind = byte(&mut cursor)?;
        if kind <= last {
            return None;
        }
        last = kind;
        match kind {
            1 => name = String::from_utf8(text(&mut cursor)?.to_vec()).ok()?,
            2 => exponent = Some(byte(&mut cursor)?),
            3 => value = Some(text(&mut cursor)?.to_vec()),
            _ => return None,
        }
    }
    match (exponent, value) {
        (None, None) => Some((name, None)),
        (Some(exponent), Some(value)) => Some((name, Some((value, exponent)))),
        _ => None,
    }
}
