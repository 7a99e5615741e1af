//! Many products and sums of points at once.
//!
//! A scalar is x = x_0 + λ·x_1 with x_0, x_1 below 2^130, where λ·(x, y) is (β·x, y) (Gallant, Lambert and Vanstone, CRYPTO 2001). Each
//! part is written in digits 0, ±1, ±3, … ±(2^w − 1), of which w zeros follow each that is not (width-w non-adjacent form), so that a
//! product takes an addition for each w + 2 bits, and all terms of a sum share 128 doublings. The odd multiples of a point serve all of its
//! products.
//!
//! Points stay affine, for which many sums are made side by side ([`Adder`]): first the points of each sum's digits at one place are added
//! up, then the sums are doubled from place to place.

use std::marker::PhantomData;
use std::ops::Range;

use ark_bn254::Fr;
use ark_ec::short_weierstrass::Affine;
use ark_ff::{BigInt, BigInteger, FftField, Field, One, PrimeField};
use rayon::prelude::*;
use zeroize::Zeroize;
use zkslice_curve::{Adder, Curve};

/// Width of digits with a table: 16 points for each.
const WIDTH: u32 = 5;
/// Width of digits without: 0 and ±1.
const NARROW: u32 = 1;
/// Bits of a point's scalars together from which on a table is worth its additions: a bit takes a third of an addition without, a seventh
/// with it.
const WORTH: u32 = 16 * 21 / 4;
/// Bits from which on a scalar is split.
const SPLIT: u32 = 130;
/// Points that are multiplied together.
const BLOCK: usize = 1 << 10;
/// Digits and lanes that are summed up together.
const MOST_DIGITS: usize = 1 << 17;
const MOST_LANES: usize = 1 << 14;
/// Digits of a product with a table: two parts of 130 bits at most.
const MOST_OF_PRODUCT: usize = 2 * 22;

/// The digits of a number in the non-adjacent form of width `w` that are not zero: `put` is told place and digit, the lowest first.
fn digits(mut number: BigInt<4>, w: u32, mut put: impl FnMut(u32, i64)) {
    let (modulus, mask) = (1i64 << (w + 1), (1u64 << (w + 1)) - 1);
    let mut place = 0;
    while !number.is_zero() {
        let zeros = number.0.iter().position(|limb| *limb != 0).map_or(0, |at| 64 * at as u32 + number.0[at].trailing_zeros());
        number >>= zeros;
        place += zeros;
        let low = (number.0[0] & mask) as i64;
        let digit = if low >= modulus / 2 { low - modulus } else { low };
        // It ends in the same bits, so that w zeros follow. A scalar has bits to spare for the carry.
        if digit >= 0 {
            number.sub_with_borrow(&BigInt::from(digit as u64));
        } else {
            number.add_with_carry(&BigInt::from(digit.unsigned_abs()));
        }
        put(place, digit);
    }
}

/// A scalar in two parts, each with whether it is subtracted. Zeroized on drop.
#[derive(Zeroize)]
pub(crate) struct Scalar<C> {
    parts: [(bool, BigInt<4>); 2],
    #[zeroize(skip)]
    _of: PhantomData<C>,
}

impl<C> Drop for Scalar<C> {
    fn drop(&mut self) {
        self.parts.zeroize();
    }
}

/// ⌊2^256·n/r⌋, for n below 2^128.
const fn over_modulus(n: &BigInt<4>) -> BigInt<4> {
    const fn doubled(limbs: [u64; 4]) -> [u64; 4] {
        let [a, b, c, d] = limbs;
        [a << 1, b << 1 | a >> 63, c << 1 | b >> 63, d << 1 | c >> 63]
    }
    let (mut quotient, mut rest, mut step) = ([0; 4], n.0, 0);
    while step < 256 {
        (quotient, rest) = (doubled(quotient), doubled(rest));
        let (mut less, mut borrow, mut limb) = (rest, false, 0);
        while limb < 4 {
            let (first, one) = less[limb].overflowing_sub(<Fr as PrimeField>::MODULUS.0[limb]);
            let (second, other) = first.overflowing_sub(borrow as u64);
            (less[limb], borrow) = (second, one || other);
            limb += 1;
        }
        if !borrow {
            rest = less;
            quotient[0] |= 1;
        }
        step += 1;
    }
    BigInt(quotient)
}

/// Its sign, minus or not, and its magnitude.
fn signed(scalar: &Fr) -> (bool, BigInt<4>) {
    let (plus, minus) = (scalar.into_bigint(), (-*scalar).into_bigint());
    if minus < plus { (true, minus) } else { (false, plus) }
}

impl<C: Curve> Scalar<C> {
    /// What the lattice's second column, the other way round, is over r: to round with, no more.
    const OVER_MODULUS: [BigInt<4>; 2] = [over_modulus(&C::SCALAR_DECOMP_COEFFS[3].1), over_modulus(&C::SCALAR_DECOMP_COEFFS[1].1)];

    pub(crate) fn new(scalar: &Fr) -> Self {
        let short = signed(scalar);
        let parts = if short.1.num_bits() < SPLIT { [short, (false, BigInt::zero())] } else { Self::split(scalar) };
        Self { parts, _of: PhantomData }
    }

    /// x less the closest point of the lattice of all (a, b) with a + λ·b = 0, of which arkworks has a short basis. Its own routine leaves
    /// copies of a secret x on the heap.
    fn split(scalar: &Fr) -> [(bool, BigInt<4>); 2] {
        let [_, n12, _, n22] = C::SCALAR_DECOMP_COEFFS.map(|(is_plus, magnitude)| {
            let magnitude = Fr::from_bigint(magnitude).unwrap_or_default();
            if is_plus { magnitude } else { -magnitude }
        });
        let [along, across] = Self::OVER_MODULUS.map(|of| Fr::from_bigint(scalar.into_bigint().mul_high(&of)).unwrap_or_default());
        let [first, second] = [(C::SCALAR_DECOMP_COEFFS[3].0, along), (!C::SCALAR_DECOMP_COEFFS[1].0, across)]
            .map(|(is_plus, rounded)| if is_plus { rounded } else { -rounded });
        let of_lambda = -(first * n12 + second * n22);
        [signed(&(*scalar - C::LAMBDA * of_lambda)), signed(&of_lambda)]
    }

    /// Bits of its parts together, beyond the first.
    pub(crate) fn bits(&self) -> u32 {
        self.parts.iter().map(|(_, magnitude)| magnitude.num_bits()).sum::<u32>().saturating_sub(1)
    }

    /// As many digits as it can have at most.
    fn most_digits(&self, w: u32) -> usize {
        self.parts.iter().map(|(_, magnitude)| (magnitude.num_bits() + 1).div_ceil(w + 1) as usize).sum()
    }
}

/// Points, and of some of them the odd multiples, for scalars of any size.
pub(crate) struct Bases<C: Curve> {
    points: Vec<Affine<C>>,
    /// Where the multiples of a point begin.
    starts: Vec<Option<u32>>,
    /// 1, 3, 5, … 2^w − 1 times each of the chosen points, one point's after the other's.
    multiples: Vec<Affine<C>>,
}

impl<C: Curve> Bases<C> {
    const TABLE: usize = 1 << (WIDTH - 1);

    /// `bits` are those of all scalars of each point together.
    pub(crate) fn new(points: Vec<Affine<C>>, bits: impl IntoIterator<Item = u32>) -> Self {
        let (mut starts, mut chosen) = (vec![None; points.len()], Vec::new());
        for ((start, point), _) in starts.iter_mut().zip(&points).zip(bits).filter(|(_, bits)| *bits > WORTH) {
            *start = Some((chosen.len() * Self::TABLE) as u32);
            chosen.push(*point);
        }
        let multiples = chosen.par_chunks(BLOCK).flat_map_iter(Self::odd_multiples).collect();
        Self { points, starts, multiples }
    }

    fn odd_multiples(points: &[Affine<C>]) -> Vec<Affine<C>> {
        let mut adder = Adder::<C>::default();
        let (mut twice, mut last) = (points.to_vec(), points.to_vec());
        adder.double(&mut twice);
        let mut multiples = vec![Affine::identity(); points.len() * Self::TABLE];
        for k in 0..Self::TABLE {
            if k > 0 {
                adder.add(&mut last, &twice);
            }
            multiples.iter_mut().skip(k).step_by(Self::TABLE).zip(&last).for_each(|(multiple, point)| *multiple = *point);
        }
        multiples
    }

    fn width(&self, at: usize) -> u32 {
        if self.starts[at].is_some() { WIDTH } else { NARROW }
    }
}

/// A point times a scalar.
pub(crate) struct Term<'a, C: Curve> {
    pub(crate) bases: &'a Bases<C>,
    pub(crate) at: usize,
    pub(crate) scalar: &'a Scalar<C>,
}

impl<C: Curve> Term<'_, C> {
    fn most_digits(&self) -> usize {
        self.scalar.most_digits(self.bases.width(self.at))
    }

    /// Its digits: `put` is told places and points.
    fn digits(&self, mut put: impl FnMut(u32, Affine<C>)) {
        let Self { bases, at, scalar } = self;
        let start = bases.starts[*at].map(|start| start as usize);
        for (part, (minus, magnitude)) in scalar.parts.iter().enumerate() {
            digits(*magnitude, bases.width(*at), |place, digit| {
                let mut point = start.map_or_else(|| bases.points[*at], |start| bases.multiples[start + digit.unsigned_abs() as usize / 2]);
                if part == 1 {
                    point.x *= C::ENDO_COEFFS[0];
                }
                put(place, if (digit < 0) != *minus { -point } else { point });
            });
        }
    }
}

/// A place of digits and a lane.
type Key = (u32, u32);

/// Where sums are made: used again and again. Zeroized on drop if scalars are secret, which points in the order of digits tell.
struct Room<C: Curve> {
    secret: bool,
    adder: Adder<C>,
    /// Digits as they come, and by place.
    keys: [Vec<Key>; 2],
    points: [Vec<Affine<C>>; 2],
    /// Sums that have begun.
    sums: Vec<Affine<C>>,
}

impl<C: Curve> Drop for Room<C> {
    fn drop(&mut self) {
        if !self.secret {
            return;
        }
        self.adder.zeroize();
        self.keys.zeroize();
        self.points.zeroize();
        self.sums.zeroize();
    }
}

impl<C: Curve> Room<C> {
    /// For so many lanes and digits; with more, what it held is left behind in memory.
    fn new(lanes: usize, digits: usize, secret: bool) -> Self {
        Self {
            secret,
            adder: Adder::with_capacity(lanes.max(digits / 2)),
            keys: std::array::from_fn(|_| Vec::with_capacity(digits)),
            points: std::array::from_fn(|_| Vec::with_capacity(digits)),
            sums: Vec::with_capacity(lanes),
        }
    }

    /// For each lane the sum of its terms.
    fn sums<'a, T: Iterator<Item = Term<'a, C>>>(&mut self, lanes: Range<usize>, terms: &impl Fn(usize) -> T) -> Vec<Affine<C>>
    where
        C: 'a,
    {
        let count = lanes.len();
        self.keys[0].clear();
        self.points[0].clear();
        for (lane, of) in lanes.enumerate() {
            for term in terms(of) {
                term.digits(|place, point| {
                    self.keys[0].push((place, lane as u32));
                    self.points[0].push(point);
                });
            }
        }
        self.sort();
        let ([_, keys], [_, points]) = (&mut self.keys, &mut self.points);
        self.adder.merge(keys, points);
        // Which of the sums is a lane's.
        let mut slots = vec![None; count];
        self.sums.clear();
        let (mut start, mut last) = (0, 0);
        while let Some(&(place, _)) = keys.get(start) {
            let end = start + keys[start..].partition_point(|key| key.0 == place);
            (place..last).for_each(|_| self.adder.double(&mut self.sums));
            let begun = self.sums.len();
            let of_place = || keys[start..end].iter().zip(&points[start..end]);
            for ((_, lane), point) in of_place() {
                if slots[*lane as usize].is_none() {
                    slots[*lane as usize] = Some(self.sums.len());
                    self.sums.push(*point);
                }
            }
            let others = of_place().filter_map(|((_, lane), point)| Some((slots[*lane as usize].filter(|slot| *slot < begun)?, *point)));
            self.adder.add_at(&mut self.sums, others);
            (start, last) = (end, place);
        }
        (0..last).for_each(|_| self.adder.double(&mut self.sums));
        let of_lane = slots.iter().map(|slot| slot.map_or(Affine::identity(), |slot| self.sums[slot])).collect();
        slots.zeroize();
        of_lane
    }

    /// By places, the highest first; otherwise in the same order.
    fn sort(&mut self) {
        let ([keys, sorted_keys], [points, sorted_points]) = (&mut self.keys, &mut self.points);
        let places = keys.iter().map(|(place, _)| *place as usize + 1).max().unwrap_or(0);
        // Where the next one of each place goes, the highest place first.
        let mut next = vec![0usize; places + 1];
        keys.iter().for_each(|(place, _)| next[places - *place as usize] += 1);
        (1..next.len()).for_each(|at| next[at] += next[at - 1]);
        sorted_keys.clear();
        sorted_keys.resize(keys.len(), (0, 0));
        sorted_points.clear();
        sorted_points.resize(keys.len(), Affine::identity());
        for (key, point) in keys.iter().zip(points.iter()) {
            let at = &mut next[places - 1 - key.0 as usize];
            (sorted_keys[*at], sorted_points[*at]) = (*key, *point);
            *at += 1;
        }
        next.zeroize();
    }
}

/// For each lane the sum of its terms.
pub(crate) fn sums<'a, C: Curve, T: Iterator<Item = Term<'a, C>>>(lanes: usize, terms: &(impl Fn(usize) -> T + Sync)) -> Vec<Affine<C>> {
    let weights: Vec<usize> = (0..lanes).into_par_iter().map(|lane| terms(lane).map(|term| term.most_digits()).sum()).collect();
    let (mut blocks, mut start, mut weight) = (Vec::new(), 0, 0);
    for (lane, of_lane) in weights.iter().enumerate() {
        if (weight + of_lane > MOST_DIGITS || lane - start == MOST_LANES) && start < lane {
            blocks.push(start..lane);
            (start, weight) = (lane, 0);
        }
        weight += of_lane;
    }
    blocks.push(start..lanes);
    let room = || Room::new(MOST_LANES, MOST_DIGITS, false);
    let sums: Vec<Vec<_>> = blocks.into_par_iter().map_init(room, |room, lanes| room.sums(lanes, terms)).collect();
    sums.concat()
}

/// Each point times its scalar, which may be secret.
pub(crate) fn products<'a, C: Curve>(points: &[Affine<C>], scalar: &(impl Fn(usize) -> &'a Scalar<C> + Sync)) -> Vec<Affine<C>> {
    let of_block = |room: &mut Room<C>, (block, points): (usize, &[Affine<C>])| {
        let scalar = |lane: usize| scalar(block * BLOCK + lane);
        let bases = Bases::new(points.to_vec(), (0..points.len()).map(|lane| scalar(lane).bits()));
        room.sums(0..points.len(), &|at| std::iter::once(Term { bases: &bases, at, scalar: scalar(at) }))
    };
    let room = || Room::new(BLOCK, BLOCK * MOST_OF_PRODUCT, true);
    let products: Vec<Vec<_>> = points.par_chunks(BLOCK).enumerate().map_init(room, of_block).collect();
    products.concat()
}

/// Each sum and each difference.
fn butterflies<C: Curve>(low: &mut [Affine<C>], high: &mut [Affine<C>]) {
    low.par_chunks_mut(BLOCK).zip(high.par_chunks_mut(BLOCK)).for_each(|(low, high)| {
        let mut adder = Adder::default();
        let before = low.to_vec();
        adder.add(low, high);
        high.iter_mut().for_each(|point| *point = -*point);
        adder.add(high, &before);
    });
}

/// Coefficients of the polynomial whose values over the domain of 2^`level` these points are: for points that are powers, Lagrange points.
pub(crate) fn interpolated<C: Curve>(points: &[Affine<C>], level: u32) -> Option<Vec<Affine<C>>> {
    let n = 1usize << level;
    let root = Fr::get_root_of_unity(n as u64)?.inverse()?;
    let over = Scalar::<C>::new(&Fr::from(n as u64).inverse()?);
    let roots: Vec<Fr> = std::iter::successors(Some(Fr::one()), |last| Some(*last * root)).take((n / 2).max(1)).collect();
    let roots: Vec<Scalar<C>> = roots.par_iter().map(Scalar::new).collect();
    let reversed = |k: usize| if level == 0 { 0 } else { k.reverse_bits() >> (usize::BITS - level) };
    let mut values: Vec<Affine<C>> = (0..n).map(|k| points.get(reversed(k)).copied()).collect::<Option<_>>()?;
    for half in (0..level).map(|stage| 1usize << stage) {
        let stride = n / (2 * half);
        let (mut low, mut high) = (Vec::with_capacity(n / 2), Vec::with_capacity(n / 2));
        for block in values.chunks(2 * half) {
            low.extend_from_slice(&block[..half]);
            high.extend_from_slice(&block[half..]);
        }
        let mut high = products(&high, &|at| &roots[at % half * stride]);
        butterflies(&mut low, &mut high);
        for ((block, low), high) in values.chunks_mut(2 * half).zip(low.chunks(half)).zip(high.chunks(half)) {
            block[..half].copy_from_slice(low);
            block[half..].copy_from_slice(high);
        }
    }
    Some(products(&values, &|_| &over))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use ark_bn254::{G1Affine, G1Projective, G2Affine, G2Projective, g1, g2};
    use ark_ec::scalar_mul::glv::GLVConfig;
    use ark_ec::{AffineRepr, CurveGroup};
    use ark_ff::{UniformRand, Zero};
    use ark_poly::{EvaluationDomain, Radix2EvaluationDomain};
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    use super::*;

    fn scalars() -> Vec<Fr> {
        let mut rng = ChaCha20Rng::from_seed([1; 32]);
        let mut scalars: Vec<Fr> = [0u64, 1, 2, 3, 5, 127, 128, 1 << 24, u64::MAX].map(Fr::from).to_vec();
        scalars.extend((120..=253).step_by(3).map(|bit| Fr::from(2).pow([bit])));
        scalars.extend(scalars.clone().iter().map(|scalar| -*scalar));
        for lambda in [g1::Config::LAMBDA, g2::Config::LAMBDA] {
            scalars.extend([lambda, lambda + Fr::one(), -lambda, lambda - Fr::one()]);
        }
        scalars.extend((0..20).map(|_| Fr::rand(&mut rng)));
        scalars
    }

    /// Random points, and all that are not: infinity, equal ones, opposite ones.
    fn points<C: Curve>(seed: u8) -> Vec<Affine<C>> {
        let mut rng = ChaCha20Rng::from_seed([seed; 32]);
        let mut points: Vec<Affine<C>> = (0..5).map(|_| Affine::rand(&mut rng)).collect();
        points.extend([Affine::identity(), points[0], -points[0], points[1], -points[1], Affine::identity(), -points[1]]);
        points
    }

    #[test]
    fn digits_make_their_number() {
        for scalar in scalars() {
            for w in 1..=6 {
                let (mut value, mut next) = (Fr::zero(), 0);
                digits(scalar.into_bigint(), w, |place, digit| {
                    assert!(place >= next && digit % 2 != 0 && digit.abs() < 1 << w);
                    next = place + w + 1;
                    value += Fr::from(digit) * Fr::from(2).pow([u64::from(place)]);
                });
                assert_eq!(value, scalar);
            }
        }
    }

    fn scalars_are_sums_of_their_parts<C: Curve>() {
        for scalar in scalars() {
            let of = Scalar::<C>::new(&scalar);
            let signed = |(minus, magnitude): (bool, BigInt<4>)| {
                let value = Fr::from_bigint(magnitude).unwrap();
                if minus { -value } else { value }
            };
            assert_eq!(signed(of.parts[0]) + C::LAMBDA * signed(of.parts[1]), scalar);
            assert!(of.parts.iter().all(|(_, magnitude)| magnitude.num_bits() < SPLIT));
            for w in [NARROW, WIDTH] {
                let mut count = 0;
                of.parts.iter().for_each(|(_, magnitude)| digits(*magnitude, w, |_, _| count += 1));
                assert!(count <= of.most_digits(w));
            }
        }
    }

    #[test]
    fn scalars_of_both_groups_are_sums_of_their_parts() {
        scalars_are_sums_of_their_parts::<g1::Config>();
        scalars_are_sums_of_their_parts::<g2::Config>();
    }

    fn products_are_those_of_arkworks<C: Curve>() {
        let points = points::<C>(3);
        for scalar in scalars() {
            let expected: Vec<_> = points.iter().map(|point| (*point * scalar).into_affine()).collect();
            let scalar = Scalar::new(&scalar);
            assert_eq!(products(&points, &|_| &scalar), expected);
        }
        let (scalars, of) = (scalars(), scalars().iter().map(Scalar::new).collect::<Vec<_>>());
        let many: Vec<_> = points.iter().cycle().take(2 * BLOCK + 3).copied().collect();
        let expected: Vec<_> = many.iter().zip(scalars.iter().cycle()).map(|(point, scalar)| (*point * scalar).into_affine()).collect();
        assert_eq!(products(&many, &|at| &of[at % of.len()]), expected);
    }

    #[test]
    fn products_of_both_groups_are_those_of_arkworks() {
        products_are_those_of_arkworks::<g1::Config>();
        products_are_those_of_arkworks::<g2::Config>();
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

    fn sums_are_those_of_arkworks<C: Curve>() {
        let points = points::<C>(6);
        let (scalars, of) = (scalars(), scalars().iter().map(Scalar::new).collect::<Vec<_>>());
        let tables = [0, 85, 84, 1000].into_iter().cycle();
        let (bases, others) = (Bases::new(points.clone(), tables), Bases::new(points.clone(), std::iter::repeat(1000)));
        // Lanes of none to many terms; with 3,000 lanes there are several blocks.
        let pick = |lane: usize, k: usize| (lane * 7 + k * k) % scalars.len();
        let at = |lane: usize, k: usize| (lane + 5 * k) % points.len();
        let lanes = 3_000;
        let made = sums(lanes, &|lane| {
            let (bases, others, of) = (&bases, &others, &of);
            (0..lane % 9).map(move |k| Term { bases: if k % 2 == 0 { bases } else { others }, at: at(lane, k), scalar: &of[pick(lane, k)] })
        });
        assert_eq!(made.len(), lanes);
        for (lane, made) in made.iter().enumerate().step_by(17) {
            let expected =
                (0..lane % 9).map(|k| points[at(lane, k)] * scalars[pick(lane, k)]).sum::<ark_ec::short_weierstrass::Projective<C>>();
            assert_eq!(*made, expected.into_affine());
        }
        // One lane of more digits than are summed up together, between others.
        let long = 3_000;
        let made = sums(3, &|lane| {
            let (bases, of, count) = (&bases, &of, points.len());
            (0..if lane == 1 { long } else { 1 }).map(move |k| Term { bases, at: k % count, scalar: &of[k % of.len()] })
        });
        let expected = (0..long).map(|k| points[k % points.len()] * scalars[k % scalars.len()]);
        assert_eq!(made[1], expected.sum::<ark_ec::short_weierstrass::Projective<C>>().into_affine());
        assert_eq!((made[0], made[2]), ((points[0] * scalars[0]).into_affine(), (points[0] * scalars[0]).into_affine()));
        assert!(sums(0, &|_| std::iter::empty::<Term<'_, C>>()).is_empty());
        assert_eq!(sums(2, &|_| std::iter::empty::<Term<'_, C>>()), [Affine::identity(); 2]);
    }

    #[test]
    fn sums_of_both_groups_are_those_of_arkworks() {
        sums_are_those_of_arkworks::<g1::Config>();
        sums_are_those_of_arkworks::<g2::Config>();
    }
}
