//! An affine addition is a division in the field and three multiplications, and many divisions take one inversion and three multiplications
//! each (Montgomery's trick, Math. Comp. 48, 1987, section 10.3.1): six in all, where arkworks' buckets take ten and its Jacobian points eleven.

use std::sync::OnceLock;

use ark_bn254::{Fq, Fq2, Fr, g1, g2};
use ark_ec::AffineRepr;
use ark_ec::scalar_mul::glv::GLVConfig;
use ark_ec::short_weierstrass::Affine;
use ark_ff::{AdditiveGroup, Field, One, Zero};
use zeroize::Zeroize;

use crate::ifma::{self, Kept};

/// Divisions with one inversion, which is worth some hundred and fifty multiplications.
const BATCH: usize = 1 << 11;

/// A curve of BN254: a = 0, a group of odd order, and an endomorphism.
pub trait Curve: GLVConfig<ScalarField = Fr> {
    /// A product of coordinates.
    fn times(a: &Self::BaseField, b: &Self::BaseField) -> Self::BaseField;

    /// Adds to each point the other one at its place, with [`ifma`].
    #[doc(hidden)]
    fn add_by_vectors(kept: &mut [Kept], left: &mut [Affine<Self>], right: &[Affine<Self>]);
}

impl Curve for g1::Config {
    fn times(a: &Fq, b: &Fq) -> Fq {
        *a * b
    }

    fn add_by_vectors(kept: &mut [Kept], left: &mut [Affine<Self>], right: &[Affine<Self>]) {
        ifma::add::<_, 1>(kept, left, right);
    }
}

impl Curve for g2::Config {
    /// Three products in the base field (Karatsuba), which are faster here than arkworks' two sums of two products.
    fn times(a: &Fq2, b: &Fq2) -> Fq2 {
        let (low, high) = (a.c0 * b.c0, a.c1 * b.c1);
        Fq2::new(low - high, (a.c0 + a.c1) * (b.c0 + b.c1) - low - high)
    }

    fn add_by_vectors(kept: &mut [Kept], left: &mut [Affine<Self>], right: &[Affine<Self>]) {
        ifma::add::<_, 2>(kept, left, right);
    }
}

/// Whether additions are made by vectors. `ZKSLICE_IFMA=off` in the environment says no; results are the same.
fn by_vectors() -> bool {
    static BY_VECTORS: OnceLock<bool> = OnceLock::new();
    *BY_VECTORS.get_or_init(|| ifma::is_supported() && std::env::var_os("ZKSLICE_IFMA").is_none_or(|value| value != "off"))
}

/// Adds many pairs of points at once. Any points of the curve, infinity, equal and opposite ones among them. A point off the curve spoils
/// its own sum only; one whose coordinates are not reduced may spoil them all.
#[derive(Debug)]
pub struct Adder<C: Curve> {
    divisions: Divisions<C>,
    left: Vec<Affine<C>>,
    right: Vec<Affine<C>>,
    targets: Vec<usize>,
}

impl<C: Curve> Default for Adder<C> {
    fn default() -> Self {
        Self::with_capacity(0)
    }
}

impl<C: Curve> Zeroize for Adder<C> {
    fn zeroize(&mut self) {
        match &mut self.divisions {
            Divisions::Single { divisors, products } => {
                divisors.zeroize();
                products.zeroize();
            }
            Divisions::ByVectors(kept) => kept.zeroize(),
        }
        self.left.zeroize();
        self.right.zeroize();
        self.targets.zeroize();
    }
}

/// Where divisions are made.
#[derive(Debug)]
enum Divisions<C: Curve> {
    /// The divisors, and the products of those before each.
    Single {
        divisors: Vec<C::BaseField>,
        products: Vec<C::BaseField>,
    },
    ByVectors(Vec<Kept>),
}

impl<C: Curve> Divisions<C> {
    fn with_capacity(divisions: usize, by_vectors: bool) -> Self {
        let most = divisions.min(BATCH);
        if by_vectors {
            Self::ByVectors(Vec::with_capacity(most.div_ceil(ifma::LANES)))
        } else {
            Self::Single { divisors: Vec::with_capacity(most), products: Vec::with_capacity(most) }
        }
    }

    fn add(&mut self, left: &mut [Affine<C>], right: &[Affine<C>]) {
        for (left, right) in left.chunks_mut(BATCH).zip(right.chunks(BATCH)) {
            match self {
                Self::Single { divisors, products } => add::<C>(divisors, products, left, right),
                Self::ByVectors(kept) => {
                    kept.resize(left.len().div_ceil(ifma::LANES), Kept::EMPTY);
                    C::add_by_vectors(kept, left, right);
                }
            }
        }
    }
}

impl<C: Curve> Adder<C> {
    /// With room for so many pairs or points: [`Zeroize`] reaches what it held if there were never more.
    pub fn with_capacity(pairs: usize) -> Self {
        Self::new(pairs, by_vectors())
    }

    fn new(pairs: usize, by_vectors: bool) -> Self {
        Self {
            divisions: Divisions::with_capacity(pairs, by_vectors),
            left: Vec::with_capacity(pairs),
            right: Vec::with_capacity(pairs),
            targets: Vec::with_capacity(pairs),
        }
    }

    /// Adds to each point the other one at its place: lists of one length.
    pub fn add(&mut self, left: &mut [Affine<C>], right: &[Affine<C>]) {
        assert_eq!(left.len(), right.len(), "pairs of points");
        self.divisions.add(left, right);
    }

    /// Doubles each point.
    pub fn double(&mut self, points: &mut [Affine<C>]) {
        self.right.clear();
        self.right.extend_from_slice(points);
        self.divisions.add(points, &self.right);
    }

    /// Adds each point to the sum at its place; no place twice.
    pub fn add_at(&mut self, sums: &mut [Affine<C>], points: impl Iterator<Item = (usize, Affine<C>)>) {
        self.left.clear();
        self.right.clear();
        self.targets.clear();
        for (target, point) in points {
            self.targets.push(target);
            self.left.push(sums[target]);
            self.right.push(point);
        }
        self.divisions.add(&mut self.left, &self.right);
        self.targets.iter().zip(&self.left).for_each(|(target, sum)| sums[*target] = *sum);
    }

    /// Adds up neighbours of one key until no two neighbours have one key. Both lists are of one length.
    pub fn merge<K: Copy + PartialEq>(&mut self, keys: &mut Vec<K>, points: &mut Vec<Affine<C>>) {
        loop {
            self.left.clear();
            self.right.clear();
            self.targets.clear();
            let (mut at, mut kept) = (0, 0);
            while at < keys.len() {
                keys[kept] = keys[at];
                points[kept] = points[at];
                if keys.get(at + 1) == Some(&keys[kept]) {
                    self.targets.push(kept);
                    self.left.push(points[at]);
                    self.right.push(points[at + 1]);
                    at += 1;
                }
                (at, kept) = (at + 1, kept + 1);
            }
            if self.targets.is_empty() {
                return;
            }
            self.divisions.add(&mut self.left, &self.right);
            self.targets.iter().zip(&self.left).for_each(|(target, sum)| points[*target] = *sum);
            keys.truncate(kept);
            points.truncate(kept);
        }
    }
}

/// Inverts those that are not zero.
fn invert<C: Curve>(divisors: &mut [C::BaseField], products: &mut Vec<C::BaseField>) {
    products.clear();
    let mut product = C::BaseField::one();
    for divisor in divisors.iter().filter(|divisor| !divisor.is_zero()) {
        products.push(product);
        product = C::times(&product, divisor);
    }
    // A product of what is not zero, for coordinates that are reduced.
    let Some(mut inverse) = product.inverse() else { return };
    for divisor in divisors.iter_mut().rev().filter(|divisor| !divisor.is_zero()) {
        let Some(before) = products.pop() else { return };
        (*divisor, inverse) = (C::times(&inverse, &before), C::times(&inverse, divisor));
    }
}

fn add<C: Curve>(divisors: &mut Vec<C::BaseField>, products: &mut Vec<C::BaseField>, left: &mut [Affine<C>], right: &[Affine<C>]) {
    divisors.clear();
    divisors.extend(left.iter().zip(right).map(|(p, q)| {
        if p.is_zero() || q.is_zero() {
            C::BaseField::zero()
        } else if p.x != q.x {
            q.x - p.x
        } else if p.y == q.y {
            p.y.double()
        } else {
            C::BaseField::zero()
        }
    }));
    invert::<C>(divisors, products);
    for ((p, q), inverse) in left.iter_mut().zip(right).zip(divisors.iter()) {
        if q.is_zero() {
            continue;
        }
        if p.is_zero() {
            *p = *q;
        } else if inverse.is_zero() {
            *p = Affine::identity();
        } else {
            let rise = if p.x == q.x { three_squares(p) } else { q.y - p.y };
            follow(p, C::times(&rise, inverse), q.x);
        }
    }
}

/// The rise of the tangent, over 2y.
fn three_squares<C: Curve>(p: &Affine<C>) -> C::BaseField {
    let square = p.x.square();
    square.double() + square
}

/// The line of this slope through `p` and a point with `x` meets the curve a third time: there, mirrored.
fn follow<C: Curve>(p: &mut Affine<C>, slope: C::BaseField, x: C::BaseField) {
    let third = slope.square() - p.x - x;
    p.y = C::times(&slope, &(p.x - third)) - p.y;
    p.x = third;
}

#[cfg(test)]
mod tests {
    use ark_ec::CurveGroup;
    use ark_ff::UniformRand;
    use ark_std::rand::{SeedableRng, rngs::StdRng};

    use super::*;

    /// Random points, and all that are not: infinity, equal ones, opposite ones.
    fn points<C: Curve>() -> Vec<Affine<C>> {
        let mut rng = StdRng::seed_from_u64(2);
        let mut points: Vec<Affine<C>> = (0..5).map(|_| Affine::rand(&mut rng)).collect();
        points.extend([Affine::identity(), points[0], -points[0], points[1], -points[1], Affine::identity(), -points[1]]);
        points
    }

    /// With and without vectors, where there are any.
    fn adders<C: Curve>() -> Vec<Adder<C>> {
        [false, true]
            .into_iter()
            .filter(|by_vectors| !by_vectors || ifma::is_supported())
            .map(|by_vectors| Adder::new(0, by_vectors))
            .collect()
    }

    fn pairs_add_up_and_double<C: Curve>(mut adder: Adder<C>) {
        let points = points::<C>();
        for shift in 0..points.len() {
            let (mut left, mut right) = (points.clone(), points.clone());
            right.rotate_left(shift);
            adder.add(&mut left, &right);
            let expected: Vec<_> = points.iter().zip(&right).map(|(p, q)| (*p + *q).into_affine()).collect();
            assert_eq!(left, expected);
        }
        let mut doubled = points.clone();
        adder.double(&mut doubled);
        assert_eq!(doubled, points.iter().map(|p| (*p + *p).into_affine()).collect::<Vec<_>>());
        // More than one batch.
        let many: Vec<_> = points.iter().cycle().take(BATCH + 7).copied().collect();
        let mut sum = many.clone();
        adder.add(&mut sum, &many);
        adder.double(&mut sum);
        assert_eq!(sum, many.iter().map(|p| (*p * Fr::from(4)).into_affine()).collect::<Vec<_>>());
        let mut sums = points.clone();
        adder.add_at(&mut sums, [(7, points[1]), (0, points[0]), (5, points[2])].into_iter());
        for (at, sum) in sums.iter().enumerate() {
            let added = [(7, 1), (0, 0), (5, 2)].iter().find(|(target, _)| *target == at).map(|(_, point)| points[*point]);
            assert_eq!(*sum, (points[at] + added.unwrap_or(Affine::identity())).into_affine());
        }
    }

    /// A point off the curve, even one with y = 0, leaves its neighbours alone, and has the same sums with and without vectors.
    fn neighbours_are_left_alone<C: Curve>() {
        let (left, mut right) = (points::<C>().repeat(3), points::<C>().repeat(3));
        right.rotate_left(1);
        let expected: Vec<_> = left.iter().zip(&right).map(|(p, q)| (*p + *q).into_affine()).collect();
        let off = |y: C::BaseField| Affine::<C>::new_unchecked(left[0].x, y);
        let (zero, one) = (off(C::BaseField::zero()), off(C::BaseField::one()));
        let at = 17;
        for (p, q) in [(zero, zero), (one, one), (zero, one), (one, -one), (one, left[0]), (left[1], zero)] {
            let sums: Vec<Vec<Affine<C>>> = adders()
                .into_iter()
                .map(|mut adder| {
                    let (mut sums, mut right) = (left.clone(), right.clone());
                    (sums[at], right[at]) = (p, q);
                    adder.add(&mut sums, &right);
                    sums
                })
                .collect();
            for of_adder in &sums {
                assert_eq!((&of_adder[..at], &of_adder[at + 1..]), (&expected[..at], &expected[at + 1..]));
                assert_eq!(of_adder[at], sums[0][at]);
            }
        }
    }

    fn neighbours_are_merged<C: Curve>(mut adder: Adder<C>) {
        let points = points::<C>();
        for length in 0..40 {
            let keys: Vec<usize> = (0..length).map(|k| k / 7 + k % 7 / 6).collect();
            let list: Vec<_> = points.iter().cycle().take(length).copied().collect();
            let (mut merged, mut sums) = (keys.clone(), list.clone());
            adder.merge(&mut merged, &mut sums);
            let mut expected = keys.clone();
            expected.dedup();
            assert_eq!((&merged, merged.len()), (&expected, sums.len()));
            for (key, sum) in merged.iter().zip(&sums) {
                let of_key = keys.iter().zip(&list).filter(|(other, _)| *other == key).map(|(_, point)| point.into_group());
                assert_eq!(*sum, of_key.sum::<ark_ec::short_weierstrass::Projective<C>>().into_affine());
            }
        }
    }

    #[test]
    fn additions_in_both_groups_are_those_of_arkworks() {
        adders::<g1::Config>().into_iter().for_each(pairs_add_up_and_double);
        adders::<g2::Config>().into_iter().for_each(pairs_add_up_and_double);
        neighbours_are_left_alone::<g1::Config>();
        neighbours_are_left_alone::<g2::Config>();
        adders::<g1::Config>().into_iter().for_each(neighbours_are_merged);
        adders::<g2::Config>().into_iter().for_each(neighbours_are_merged);
    }
}
