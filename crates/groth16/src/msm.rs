//! Multi-scalar multiplications by buckets (Pippenger, 1976): scalars in signed digits, for each digit's magnitude the sum of its points, by
//! [`Adder`].
//!
//! Most wires of a witness fit 13 bits, and the wires of the second round take only as many values as a table has entries.

use ark_bn254::Fr;
use ark_ec::AffineRepr;
use ark_ec::short_weierstrass::{Affine, Projective};
use ark_ff::{AdditiveGroup, BigInteger, PrimeField, Zero};
use rayon::prelude::*;
use zkslice_curve::{Adder, Curve};

/// Points that are put into buckets together.
const CHUNK: usize = 1 << 15;

/// Window that minimises additions for `points` signed scalars of `bits` bits: each window costs an addition for each point, and two for each
/// bucket. At least two bits: a single one has the signed digits −1 and 0, which reach no positive number.
fn window(points: usize, bits: u32) -> u32 {
    (2..=bits.clamp(2, 16)).min_by_key(|c| u64::from(bits.div_ceil(*c)) * (points as u64 + (2 << (c - 1)))).unwrap_or(2)
}

/// Where points are put into buckets: used again and again.
struct Room<C: Curve> {
    adder: Adder<C>,
    /// Each entry has a bucket's number, whether the point is negated, and which one it is.
    entries: Vec<(u32, bool, usize)>,
    keys: Vec<u32>,
    order: Vec<(bool, usize)>,
    points: Vec<Affine<C>>,
}

impl<C: Curve> Room<C> {
    fn new() -> Self {
        Self { adder: Adder::default(), entries: Vec::new(), keys: Vec::new(), order: Vec::new(), points: Vec::new() }
    }

    /// For each of `count` buckets the sum of its points.
    fn buckets(
        &mut self,
        count: usize,
        mut entries: impl Iterator<Item = (u32, bool, usize)>,
        point: &impl Fn(usize) -> Affine<C>,
    ) -> Vec<Affine<C>> {
        let mut sums = vec![Affine::identity(); count];
        loop {
            self.entries.clear();
            self.entries.extend(entries.by_ref().take(CHUNK));
            if self.entries.is_empty() {
                return sums;
            }
            // Those of one bucket come beside each other.
            let mut next = vec![0usize; count + 1];
            self.entries.iter().for_each(|(bucket, ..)| next[*bucket as usize + 1] += 1);
            (1..next.len()).for_each(|at| next[at] += next[at - 1]);
            self.keys.resize(self.entries.len(), 0);
            self.order.resize(self.entries.len(), (false, 0));
            for (bucket, minus, which) in &self.entries {
                let at = &mut next[*bucket as usize];
                (self.keys[*at], self.order[*at]) = (*bucket, (*minus, *which));
                *at += 1;
            }
            self.points.clear();
            self.points.extend(self.order.iter().map(|(minus, which)| if *minus { -point(*which) } else { point(*which) }));
            self.adder.merge(&mut self.keys, &mut self.points);
            let merged = self.keys.iter().zip(&self.points);
            self.adder.add_at(&mut sums, merged.map(|(bucket, point)| (*bucket as usize, *point)));
        }
    }

    /// The buckets of a window of `c` bits: for each magnitude from 1 on the sum of the points with that digit, those with negative ones
    /// negated.
    fn of_digits(&mut self, c: u32, digits: impl Iterator<Item = i64>, point: &impl Fn(usize) -> Affine<C>) -> Vec<Affine<C>> {
        let others = digits.enumerate().filter(|(_, digit)| *digit != 0);
        self.buckets(1 << (c - 1), others.map(|(which, digit)| (digit.unsigned_abs() as u32 - 1, digit < 0, which)), point)
    }
}

/// For each of some windows Σ magnitude·sum, as `c` points that stand for their multiples by 1, 2, 4, ….
///
/// All windows at once: the sum is that of the odd magnitudes' sums, and twice the same of the halved magnitudes, which two have in common.
fn by_bits<C: Curve>(adder: &mut Adder<C>, windows: &[Vec<Affine<C>>], c: u32) -> Vec<Affine<C>> {
    // From magnitude 0 on, which counts nothing.
    let mut sums: Vec<Affine<C>> =
        windows.iter().flat_map(|sums| std::iter::once(Affine::identity()).chain(sums.iter().copied())).collect();
    let (mut places, mut odd) = (Vec::new(), Vec::new());
    for bit in 0..c {
        let length = (1 << (c - 1 - bit)) + 1;
        let (mut halved, mut others) = (Vec::with_capacity(sums.len()), Vec::with_capacity(sums.len()));
        for (window, sums) in sums.chunks(length).enumerate() {
            halved.extend(sums.iter().step_by(2));
            others.extend(sums.iter().skip(1).step_by(2));
            odd.extend(sums.iter().skip(1).step_by(2));
            places.resize(odd.len(), window * c as usize + bit as usize);
            // The last magnitude is even, or 1.
            others.resize(halved.len(), Affine::identity());
        }
        adder.add(&mut halved, &others);
        sums = halved;
    }
    adder.merge(&mut places, &mut odd);
    let mut by_bits = vec![Affine::identity(); windows.len() * c as usize];
    places.into_iter().zip(odd).for_each(|(place, point)| by_bits[place] = point);
    by_bits
}

/// Σ 2^i·points_i.
fn horner<C: Curve>(points: &[Affine<C>]) -> Projective<C> {
    points.iter().rev().fold(Projective::zero(), |sum, point| sum.double() + point)
}

/// `Σ scalar_i · point_i`.
///
/// With h = Σ 2^(c·i + c − 1) added, the digits of c bits of a scalar are its signed digits plus 2^(c−1): no carries.
pub fn full<C: Curve>(points: &[Affine<C>], scalars: &[Fr]) -> Projective<C> {
    // Checks of keys rely on sums: nothing may be left out.
    assert_eq!(points.len(), scalars.len(), "as many points as scalars");
    let largest = scalars.iter().map(|scalar| scalar.into_bigint().num_bits()).max().unwrap_or(0);
    if largest == 0 {
        return Projective::zero();
    }
    // So many that a scalar and h together reach no further digit.
    let bits = largest + 3;
    let c = window(points.len(), bits);
    let windows = bits.div_ceil(c);
    let mut h = [0u64; 5];
    (0..windows).map(|i| c * i + c - 1).for_each(|bit| h[bit as usize / 64] |= 1 << (bit % 64));
    let moved: Vec<[u64; 5]> = scalars
        .iter()
        .map(|scalar| {
            let (mut sum, mut carry) = (h, false);
            for (limb, other) in sum.iter_mut().zip(scalar.into_bigint().0.into_iter().chain([0])) {
                let (low, first) = limb.overflowing_add(other);
                let (low, second) = low.overflowing_add(u64::from(carry));
                (*limb, carry) = (low, first || second);
            }
            sum
        })
        .collect();
    let of_window = |room: &mut Room<C>, i: u32| {
        let (at, shift) = ((c * i / 64) as usize, c * i % 64);
        let digit = |moved: &[u64; 5]| {
            let above = moved.get(at + 1).copied().unwrap_or(0);
            let pair = u128::from(moved[at]) | u128::from(above) << 64;
            ((pair >> shift) as u64 & ((1 << c) - 1)) as i64 - (1 << (c - 1))
        };
        room.of_digits(c, moved.iter().map(digit), &|which| points[which])
    };
    let group = windows.div_ceil(rayon::current_num_threads() as u32) as usize;
    let windows: Vec<u32> = (0..windows).collect();
    let of_group = |group: &[u32]| {
        let mut room = Room::new();
        let windows: Vec<_> = group.iter().map(|i| of_window(&mut room, *i)).collect();
        by_bits(&mut room.adder, &windows, c)
    };
    horner(&windows.par_chunks(group).map(of_group).collect::<Vec<_>>().concat())
}

/// `Σ scalar_i · point(i)` for signed scalars; `point` is asked only where the scalar is not zero.
pub(crate) fn small<C: Curve>(scalars: &[i64], point: impl Fn(usize) -> Affine<C> + Sync) -> Projective<C> {
    let chunk = scalars.len().div_ceil(rayon::current_num_threads()).max(256);
    let parts = scalars.par_chunks(chunk).enumerate().map(|(k, part)| serial(part, |i| point(k * chunk + i)));
    parts.reduce(Projective::zero, |a, b| a + b)
}

fn serial<C: Curve>(scalars: &[i64], point: impl Fn(usize) -> Affine<C>) -> Projective<C> {
    let largest = scalars.iter().map(|s| s.unsigned_abs()).max().unwrap_or(0);
    if largest == 0 {
        return Projective::zero();
    }
    // h is at least half of 2^(ck) and at most two thirds of it, and a magnitude below a quarter of it.
    let bits = u64::BITS - largest.leading_zeros() + 2;
    let c = window(scalars.len(), bits);
    let windows = bits.div_ceil(c);
    let h: i128 = (0..windows).map(|i| 1 << (c * i + c - 1)).sum();
    let mut room = Room::new();
    let of_window = |i: u32| {
        let digit = |scalar: i64| (((i128::from(scalar) + h) >> (c * i)) & ((1 << c) - 1)) as i64 - (1 << (c - 1));
        room.of_digits(c, scalars.iter().map(|scalar| digit(*scalar)), &point)
    };
    let windows: Vec<_> = (0..windows).map(of_window).collect();
    horner(&by_bits(&mut room.adder, &windows, c))
}

/// A scalar as an integer of at most 20 bits, if it is one.
fn integer(scalar: &Fr) -> Option<i64> {
    let small = |scalar: Fr| match scalar.into_bigint().0 {
        [low, 0, 0, 0] if low < 1 << 20 => Some(low as i64),
        _ => None,
    };
    small(*scalar).or_else(|| small(-*scalar).map(|magnitude| -magnitude))
}

/// `Σ scalar_i · point(i)` for scalars of which many are short and points of which many are infinite: wires of circuits that were compiled
/// elsewhere are bits, mostly, and stand in few of the matrices.
pub fn sparse<C: Curve>(scalars: &[Fr], point: impl Fn(usize) -> Affine<C> + Sync) -> Projective<C> {
    let (mut short_points, mut short, mut long_points, mut long) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (i, scalar) in scalars.iter().enumerate().filter(|(_, scalar)| !scalar.is_zero()) {
        let point = point(i);
        if point.is_zero() {
            continue;
        }
        match integer(scalar) {
            Some(integer) => {
                short_points.push(point);
                short.push(integer);
            }
            None => {
                long_points.push(point);
                long.push(*scalar);
            }
        }
    }
    full(&long_points, &long) + small(&short, |i| short_points[i])
}

/// For each entry of a table the sum of the points that looked it up: `point(i)` goes to entry `values[i]`.
pub(crate) fn by_entry<C: Curve>(entries: usize, values: &[u32], point: impl Fn(usize) -> Affine<C>) -> Vec<Affine<C>> {
    Room::new().buckets(entries, values.iter().enumerate().map(|(i, value)| (*value, false, i)), &point)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use ark_bn254::{Fr, G1Affine, G1Projective, G2Affine, G2Projective};
    use ark_ec::{AffineRepr, CurveGroup};
    use ark_ff::{Field, UniformRand};
    use ark_std::rand::{Rng, SeedableRng, rngs::StdRng};

    use super::*;

    #[test]
    fn small_scalars_agree_with_arkworks() {
        let mut rng = StdRng::seed_from_u64(1);
        for (count, limit) in
            [(0, 1i64), (1, 2), (5, 1 << 13), (700, 2), (700, 1 << 8), (2000, 1 << 13), (300, 1 << 40), (3, i64::MAX >> 2)]
        {
            let scalars: Vec<i64> = (0..count).map(|_| rng.gen_range(-limit..=limit)).collect();
            let g1: Vec<G1Affine> = (0..count).map(|_| G1Projective::rand(&mut rng).into_affine()).collect();
            let expected: G1Projective = g1.iter().zip(&scalars).map(|(p, s)| *p * Fr::from(*s)).sum();
            assert_eq!(small(&scalars, |i| g1[i]), expected);
            let g2: Vec<G2Affine> = g1.iter().map(|_| (G2Affine::generator() * Fr::rand(&mut rng)).into_affine()).collect();
            let expected: G2Projective = g2.iter().zip(&scalars).map(|(p, s)| *p * Fr::from(*s)).sum();
            assert_eq!(small(&scalars, |i| g2[i]), expected);
        }
    }

    fn full_agrees_with_arkworks<C: Curve>() {
        let mut rng = StdRng::seed_from_u64(4);
        // Equal and opposite points, infinity, and scalars of every kind of digit.
        let mut points: Vec<Affine<C>> = (0..300).map(|_| Affine::rand(&mut rng)).collect();
        (0..300).step_by(7).for_each(|k| points[k] = [points[1], -points[1], Affine::identity()][k % 3]);
        for (count, bits) in [(0, 254), (1, 254), (2, 1), (3, 254), (40, 64), (300, 254), (300, 7), (299, 130)] {
            let mut scalars: Vec<Fr> = (0..count).map(|_| Fr::rand(&mut rng)).collect();
            for (k, scalar) in scalars.iter_mut().enumerate() {
                *scalar = Fr::from_bigint(scalar.into_bigint() >> (254 - bits)).unwrap();
                if bits == 254 {
                    let edges = [Fr::from(0), Fr::from(1), -Fr::from(1), Fr::from(2).pow([253]), Fr::from(1u64 << 63), -Fr::from(u64::MAX)];
                    *scalar = edges.get(k % 11).copied().unwrap_or(*scalar);
                }
            }
            let expected: Projective<C> = points.iter().zip(&scalars).map(|(point, scalar)| *point * scalar).sum();
            assert_eq!(full(&points[..count], &scalars), expected, "{count} of {bits} bits");
        }
    }

    #[test]
    fn full_scalars_agree_with_arkworks() {
        full_agrees_with_arkworks::<ark_bn254::g1::Config>();
        full_agrees_with_arkworks::<ark_bn254::g2::Config>();
    }

    /// Every window that a product can have, with the largest and the least digits.
    #[test]
    fn every_window_reaches_its_scalars() {
        let point = G1Affine::generator();
        for bits in 1..=62u32 {
            for scalar in [1i64 << (bits - 1), (1 << bits) - 1, -(1 << (bits - 1)), 1 - (1 << bits)] {
                for count in [1usize, 40, 5_000] {
                    let mut scalars = vec![0; count];
                    scalars[count - 1] = scalar;
                    assert_eq!(small(&scalars, |_| point), point * Fr::from(scalar), "{scalar} among {count}");
                }
            }
        }
    }

    #[test]
    fn more_points_than_a_chunk_have_agree_with_arkworks() {
        let points: Vec<G1Affine> = {
            let mut rng = StdRng::seed_from_u64(5);
            (0..64).map(|_| G1Affine::rand(&mut rng)).collect()
        };
        let values: Vec<u32> = (0..CHUNK as u32 + 1_000).map(|k| k % 37).collect();
        let sums = by_entry(37, &values, |i| points[i % 64]);
        for (entry, sum) in sums.iter().enumerate() {
            let of_entry =
                values.iter().enumerate().filter(|(_, value)| **value as usize == entry).map(|(i, _)| points[i % 64].into_group());
            assert_eq!(*sum, of_entry.sum::<G1Projective>().into_affine());
        }
    }

    #[test]
    fn sparse_products_agree_with_arkworks() {
        let mut rng = StdRng::seed_from_u64(3);
        let mut points: Vec<G1Affine> = (0..400).map(|_| G1Projective::rand(&mut rng).into_affine()).collect();
        points.iter_mut().step_by(3).for_each(|point| *point = G1Affine::zero());
        let kinds = |k: usize, rng: &mut StdRng| match k % 5 {
            0 => Fr::from(0u8),
            1 => Fr::from(rng.gen_range(0..2u8)),
            2 => -Fr::from(rng.gen_range(0..1u32 << 20)),
            3 => Fr::from(1u64 << rng.gen_range(18..64)),
            _ => Fr::rand(rng),
        };
        let scalars: Vec<Fr> = (0..400).map(|k| kinds(k, &mut rng)).collect();
        let expected: G1Projective = points.iter().zip(&scalars).map(|(p, s)| *p * s).sum();
        assert_eq!(sparse(&scalars, |i| points[i]), expected);
        assert_eq!(sparse(&[], |i| points[i]), G1Projective::zero());
    }

    #[test]
    fn entries_collect_their_points() {
        let mut rng = StdRng::seed_from_u64(2);
        let points: Vec<G1Affine> = (0..100).map(|_| G1Projective::rand(&mut rng).into_affine()).collect();
        let values: Vec<u32> = (0..100).map(|_| rng.gen_range(0..16)).collect();
        let sums = by_entry(16, &values, |i| points[i]);
        for (entry, sum) in sums.iter().enumerate() {
            let expected: G1Projective =
                points.iter().zip(&values).filter(|(_, v)| **v as usize == entry).map(|(p, _)| G1Projective::from(*p)).sum();
            assert_eq!(G1Projective::from(*sum), expected);
        }
    }
}
