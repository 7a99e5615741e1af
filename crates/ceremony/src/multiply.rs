//! Many products on the curve that have one factor in common: a point, or a scalar.
//!
//! A scalar is written in digits 0, ±1, ±3, … ±(2^w − 1), of which w zeros follow each that is not (width-w non-adjacent form, w + 1
//! bits to a digit on average), so that a product takes an addition for each w + 2 bits. The odd multiples of a point serve all of its
//! products. A product of many points with one scalar takes half the doublings too: x = k_1 + λ·k_2 with k_1, k_2 below 2^128, where λ·(x, y)
//! is (β·x, y) (Gallant, Lambert and Vanstone, CRYPTO 2001).

use std::marker::PhantomData;

use ark_bn254::{Fr, G1Projective, G2Projective, g1::Config};
use ark_ec::CurveGroup;
use ark_ec::scalar_mul::glv::GLVConfig;
use ark_ec::short_weierstrass::Affine;
use ark_ff::{AdditiveGroup, BigInt, BigInteger, FftField, Field, One, PrimeField, Zero};
use rayon::prelude::*;
use zeroize::Zeroizing;

use crate::initial::normalized;
use crate::points::Point;

/// Points whose multiples are made together.
const BLOCK: usize = 1 << 8;

/// Digits of a number in the non-adjacent form of width `w`, the lowest first.
pub(crate) fn digits(mut number: BigInt<4>, w: u32) -> Vec<i8> {
    let mut digits = Vec::with_capacity(256);
    let (modulus, mask) = (1i64 << (w + 1), (1u64 << (w + 1)) - 1);
    while !number.is_zero() {
        let mut digit = 0;
        if number.is_odd() {
            let low = (number.0[0] & mask) as i64;
            digit = if low >= modulus / 2 { low - modulus } else { low };
            // It ends in the same bits, so that w zeros follow. A scalar has bits to spare for the carry.
            if digit >= 0 {
                number.sub_with_borrow(&BigInt::from(digit as u64));
            } else {
                number.add_with_carry(&BigInt::from(digit.unsigned_abs()));
            }
        }
        digits.push(digit as i8);
        number.div2();
    }
    digits
}

/// 1, 3, 5, … 2^w − 1 times each point, one point's after the other's.
pub(crate) fn odd_multiples<P: Point>(points: &[P], w: u32) -> Vec<P> {
    let count = 1usize << (w - 1);
    let of_block = |block: &[P]| {
        let mut multiples = Vec::with_capacity(block.len() * count);
        for point in block {
            let first = point.into_group();
            let twice = first.double();
            let list = std::iter::successors(Some(first), |last| Some(*last + twice));
            multiples.extend(list.take(count));
        }
        P::Group::normalize_batch(&multiples)
    };
    points.par_chunks(BLOCK).map(of_block).collect::<Vec<_>>().concat()
}

/// How a group splits a scalar: x = Σ x_i·λ^i, with λ times a point for next to nothing.
pub(crate) trait Split: Point {
    /// The parts x_i, with their signs.
    fn parts(scalar: &Fr) -> Zeroizing<Vec<(bool, Fr)>>;

    /// λ times a point.
    fn endomorphism(point: Self::Group) -> Self::Group;
}

impl Split for Affine<ark_bn254::g1::Config> {
    fn parts(scalar: &Fr) -> Zeroizing<Vec<(bool, Fr)>> {
        let (first, second) = Config::scalar_decomposition(*scalar);
        Zeroizing::new(vec![first, second])
    }

    fn endomorphism(mut point: G1Projective) -> G1Projective {
        point.x *= Config::ENDO_COEFFS[0];
        point
    }
}

impl Split for Affine<ark_bn254::g2::Config> {
    fn parts(scalar: &Fr) -> Zeroizing<Vec<(bool, Fr)>> {
        Zeroizing::new(vec![(true, *scalar)])
    }

    fn endomorphism(point: G2Projective) -> G2Projective {
        point
    }
}

/// A scalar that many points are multiplied with. Zeroized on drop.
pub(crate) struct Factor<P> {
    /// Digits of its parts, with their signs.
    parts: Vec<Zeroizing<Vec<i8>>>,
    _of: PhantomData<P>,
}

impl<P: Split> Factor<P> {
    /// Width of its digits: a table of 8 points for each.
    const WIDTH: u32 = 4;
    const TABLE: usize = 1 << (Self::WIDTH - 1);

    pub(crate) fn new(scalar: &Fr) -> Self {
        let part = |(is_positive, magnitude): &(bool, Fr)| {
            let mut digits = digits(magnitude.into_bigint(), Self::WIDTH);
            if !*is_positive {
                digits.iter_mut().for_each(|digit| *digit = -*digit);
            }
            Zeroizing::new(digits)
        };
        Self { parts: P::parts(scalar).iter().map(part).collect(), _of: PhantomData }
    }

    /// Σ digit·2^i·λ^part: `add` adds an odd multiple, of which it is told the index, whether it is subtracted, and the part.
    fn sum(&self, mut add: impl FnMut(&mut P::Group, usize, bool, usize)) -> P::Group {
        let length = self.parts.iter().map(|part| part.len()).max().unwrap_or(0);
        let mut sum = P::Group::zero();
        for at in (0..length).rev() {
            sum.double_in_place();
            for (part, digits) in self.parts.iter().enumerate() {
                if let Some(digit) = digits.get(at).filter(|digit| **digit != 0) {
                    add(&mut sum, usize::from(digit.unsigned_abs()) / 2, *digit < 0, part);
                }
            }
        }
        sum
    }

    /// Each point times the scalar.
    pub(crate) fn times(&self, points: &[P]) -> Vec<P> {
        let multiples = odd_multiples(points, Self::WIDTH);
        let product = |multiples: &[P]| {
            self.sum(|sum, index, minus, part| {
                let point = if minus { -multiples[index] } else { multiples[index] };
                if part == 0 { *sum += point } else { *sum += P::endomorphism(point.into_group()) }
            })
        };
        let products: Vec<P::Group> = multiples.par_chunks(Self::TABLE).map(product).collect();
        normalized(&products)
    }

    /// A point times the scalar.
    fn times_one(&self, point: P::Group) -> P::Group {
        let twice = point.double();
        let mut multiples = [point; 8];
        (1..Self::TABLE).for_each(|k| multiples[k] = multiples[k - 1] + twice);
        self.sum(|sum, index, minus, part| {
            let point = if part == 0 { multiples[index] } else { P::endomorphism(multiples[index]) };
            if minus { *sum -= point } else { *sum += point }
        })
    }
}

/// Coefficients of the polynomial whose values over the domain of 2^`level` these points are: for points that are powers, Lagrange points.
pub(crate) fn interpolated<P: Split>(points: &[P], level: u32) -> Option<Vec<P>> {
    let n = 1usize << level;
    let root = Fr::get_root_of_unity(n as u64)?.inverse()?;
    let over = Factor::<P>::new(&Fr::from(n as u64).inverse()?);
    let roots: Vec<Fr> = std::iter::successors(Some(Fr::one()), |last| Some(*last * root)).take((n / 2).max(1)).collect();
    let factors: Vec<Factor<P>> = roots.par_iter().map(Factor::new).collect();
    let reversed = |k: usize| if level == 0 { 0 } else { k.reverse_bits() >> (usize::BITS - level) };
    let mut values: Vec<P::Group> = (0..n).map(|k| points.get(reversed(k)).map(|point| point.into_group())).collect::<Option<_>>()?;
    for half in (0..level).map(|stage| 1usize << stage) {
        let stride = n / (2 * half);
        values.par_chunks_mut(2 * half).for_each(|block| {
            let (low, high) = block.split_at_mut(half);
            low.par_iter_mut().zip(high).with_min_len(1 << 4).enumerate().for_each(|(k, (low, high))| {
                let product = if k == 0 { *high } else { factors[k * stride].times_one(*high) };
                *high = *low - product;
                *low += product;
            });
        });
    }
    Some(over.times(&normalized(&values)))
}

/// Points, and of some of them the odd multiples, for scalars of any size.
pub(crate) struct Bases<P> {
    points: Vec<P>,
    /// Where the multiples of a point begin.
    starts: Vec<Option<u32>>,
    multiples: Vec<P>,
}

impl<P: Point> Bases<P> {
    /// Width of digits with a table: 16 points for each.
    const WIDTH: u32 = 5;
    /// Width of digits without: 0 and ±1.
    const NARROW: u32 = 1;
    /// Bits of a point's scalars together from which on a table is worth its additions: a bit takes a third of an addition without, a
    /// seventh with it.
    const WORTH: u32 = 16 * 21 / 4;

    /// `bits` are those of all scalars of each point together.
    pub(crate) fn new(points: Vec<P>, bits: &[u32]) -> Self {
        let (mut starts, mut chosen) = (vec![None; points.len()], Vec::new());
        for ((start, point), _) in starts.iter_mut().zip(&points).zip(bits).filter(|(_, bits)| **bits > Self::WORTH) {
            *start = Some((chosen.len() << (Self::WIDTH - 1)) as u32);
            chosen.push(*point);
        }
        Self { multiples: odd_multiples(&chosen, Self::WIDTH), points, starts }
    }

    /// Σ ± scalar·point, over positions, magnitudes and whether they are subtracted.
    pub(crate) fn sum(terms: &[(&Self, usize, BigInt<4>, bool)]) -> P::Group {
        let of_term = |(bases, at, magnitude, minus): &(&Self, usize, BigInt<4>, bool)| {
            let start = bases.starts[*at];
            let mut digits = digits(*magnitude, if start.is_some() { Self::WIDTH } else { Self::NARROW });
            if *minus {
                digits.iter_mut().for_each(|digit| *digit = -*digit);
            }
            (digits, start)
        };
        let digits: Vec<(Vec<i8>, Option<u32>)> = terms.iter().map(of_term).collect();
        let length = digits.iter().map(|(digits, _)| digits.len()).max().unwrap_or(0);
        let mut sum = P::Group::zero();
        for at in (0..length).rev() {
            sum.double_in_place();
            for ((digits, start), (bases, position, ..)) in digits.iter().zip(terms) {
                let Some(digit) = digits.get(at).filter(|digit| **digit != 0) else { continue };
                let point = match start {
                    Some(start) => &bases.multiples[*start as usize + usize::from(digit.unsigned_abs()) / 2],
                    None => &bases.points[*position],
                };
                if *digit < 0 { sum -= *point } else { sum += *point }
            }
        }
        sum
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use ark_bn254::{G1Affine, G2Affine};
    use ark_ec::AffineRepr;
    use ark_ff::UniformRand;
    use ark_poly::{EvaluationDomain, Radix2EvaluationDomain};
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    use super::*;

    fn scalars() -> Vec<Fr> {
        let mut rng = ChaCha20Rng::from_seed([1; 32]);
        let mut scalars: Vec<Fr> = [0u64, 1, 2, 3, 5, 127, 128, 1 << 24, u64::MAX].map(Fr::from).to_vec();
        scalars.extend(scalars.clone().iter().map(|scalar| -*scalar));
        scalars.extend([Config::LAMBDA, Config::LAMBDA + Fr::one(), -Config::LAMBDA]);
        scalars.extend((0..20).map(|_| Fr::rand(&mut rng)));
        scalars
    }

    #[test]
    fn digits_make_their_number() {
        for scalar in scalars() {
            for w in 1..=6 {
                let digits = digits(scalar.into_bigint(), w);
                let value = digits.iter().rev().fold(Fr::zero(), |value, digit| value.double() + Fr::from(i64::from(*digit)));
                assert_eq!(value, scalar);
                assert!(digits.iter().all(|digit| *digit == 0 || (digit % 2 != 0 && i32::from(*digit).abs() < 1 << w)));
            }
        }
    }

    #[test]
    fn products_are_those_of_arkworks() {
        let mut rng = ChaCha20Rng::from_seed([2; 32]);
        let mut points: Vec<G1Affine> = (0..5).map(|_| G1Affine::rand(&mut rng)).collect();
        points.push(G1Affine::zero());
        for scalar in scalars() {
            let expected: Vec<G1Affine> = points.iter().map(|point| (*point * scalar).into_affine()).collect();
            assert_eq!(Factor::new(&scalar).times(&points), expected);
            let one = Factor::<G1Affine>::new(&scalar).times_one(points[0].into_group());
            assert_eq!(one.into_affine(), expected[0]);
            let point = G2Affine::rand(&mut rng);
            assert_eq!(Factor::new(&scalar).times(&[point]), [(point * scalar).into_affine()]);
        }
    }

    #[test]
    fn lagrange_points_are_those_of_arkworks() {
        let mut rng = ChaCha20Rng::from_seed([4; 32]);
        for level in 0..6 {
            let powers: Vec<G1Affine> = (0..1 << level).map(|_| G1Affine::rand(&mut rng)).collect();
            let mut expected: Vec<G1Projective> = powers.iter().map(|point| point.into_group()).collect();
            Radix2EvaluationDomain::<Fr>::new(1 << level).unwrap().ifft_in_place(&mut expected);
            assert_eq!(interpolated(&powers, level).unwrap(), G1Projective::normalize_batch(&expected));
        }
        let powers: Vec<G2Affine> = (0..8).map(|_| G2Affine::rand(&mut rng)).collect();
        let mut expected: Vec<G2Projective> = powers.iter().map(|point| point.into_group()).collect();
        Radix2EvaluationDomain::<Fr>::new(8).unwrap().ifft_in_place(&mut expected);
        assert_eq!(interpolated(&powers, 3).unwrap(), G2Projective::normalize_batch(&expected));
        assert!(interpolated(&powers, 4).is_none());
    }

    #[test]
    fn sums_are_those_of_arkworks() {
        let mut rng = ChaCha20Rng::from_seed([3; 32]);
        let points: Vec<G2Affine> = (0..8).map(|_| G2Affine::rand(&mut rng)).collect();
        let bases = Bases::new(points.clone(), &[1000, 0, 1000, 85, 84, 1000, 0, 1000]);
        let scalars = scalars();
        for chunk in scalars.chunks(7) {
            let terms: Vec<_> = chunk.iter().enumerate().map(|(k, scalar)| (&bases, k, scalar.into_bigint(), k % 3 == 0)).collect();
            let signed = chunk.iter().enumerate().map(|(k, scalar)| points[k] * if k % 3 == 0 { -*scalar } else { *scalar });
            assert_eq!(Bases::sum(&terms), signed.sum::<G2Projective>());
        }
        assert_eq!(Bases::<G2Affine>::sum(&[]), G2Projective::zero());
    }
}
