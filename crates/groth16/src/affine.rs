//! Many additions of affine points with one inversion.
//!
//! An affine addition is a division in the field and three multiplications, and many divisions take one inversion and three multiplications
//! each (Montgomery's trick, Math. Comp. 48, 1987, section 10.3.1): six in all, where arkworks' buckets take ten and its Jacobian points eleven.

use ark_bn254::{Fq, Fq2, Fr, g1, g2};
use ark_ec::AffineRepr;
use ark_ec::scalar_mul::glv::GLVConfig;
use ark_ec::short_weierstrass::Affine;
use ark_ff::{AdditiveGroup, Field, One, Zero};
use zeroize::Zeroize;

/// Divisions with one inversion, which is worth some hundred and fifty multiplications.
const BATCH: usize = 1 << 10;

/// A curve of BN254: a = 0, a group of odd order, and an endomorphism.
pub trait Curve: GLVConfig<ScalarField = Fr> {
    /// A product of coordinates.
    fn times(a: &Self::BaseField, b: &Self::BaseField) -> Self::BaseField;
}

impl Curve for g1::Config {
    fn times(a: &Fq, b: &Fq) -> Fq {
        *a * b
    }
}

impl Curve for g2::Config {
    /// Three products in the base field (Karatsuba), which are faster here than arkworks' two sums of two products.
    fn times(a: &Fq2, b: &Fq2) -> Fq2 {
        let (low, high) = (a.c0 * b.c0, a.c1 * b.c1);
        Fq2::new(low - high, (a.c0 + a.c1) * (b.c0 + b.c1) - low - high)
    }
}

/// Adds many pairs of points at once. Any points of the curve, infinity, equal and opposite ones among them.
#[derive(Debug)]
pub struct Adder<C: Curve> {
    divisors: Vec<C::BaseField>,
    /// Products of the divisors before each.
    products: Vec<C::BaseField>,
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
        self.divisors.zeroize();
        self.products.zeroize();
        self.left.zeroize();
        self.right.zeroize();
        self.targets.zeroize();
    }
}

impl<C: Curve> Adder<C> {
    /// With room for so many pairs: [`Zeroize`] reaches what it held if there were never more.
    pub fn with_capacity(pairs: usize) -> Self {
        Self {
            divisors: Vec::with_capacity(BATCH),
            products: Vec::with_capacity(BATCH),
            left: Vec::with_capacity(pairs),
            right: Vec::with_capacity(pairs),
            targets: Vec::with_capacity(pairs),
        }
    }

    /// Adds to each point the other one at its place.
    pub fn add(&mut self, left: &mut [Affine<C>], right: &[Affine<C>]) {
        add(&mut self.divisors, &mut self.products, left, right);
    }

    /// Doubles each point.
    pub fn double(&mut self, points: &mut [Affine<C>]) {
        for points in points.chunks_mut(BATCH) {
            self.divisors.clear();
            self.divisors.extend(points.iter().map(|p| p.y.double()));
            invert::<C>(&mut self.divisors, &mut self.products);
            for (p, inverse) in points.iter_mut().zip(&self.divisors) {
                if inverse.is_zero() {
                    *p = Affine::identity();
                } else {
                    let (slope, x) = (C::times(&three_squares(p), inverse), p.x);
                    follow(p, slope, x);
                }
            }
        }
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
        add(&mut self.divisors, &mut self.products, &mut self.left, &self.right);
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
            add(&mut self.divisors, &mut self.products, &mut self.left, &self.right);
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
    // A product of what is not zero.
    let Some(mut inverse) = product.inverse() else { return };
    for divisor in divisors.iter_mut().rev().filter(|divisor| !divisor.is_zero()) {
        let Some(before) = products.pop() else { return };
        (*divisor, inverse) = (C::times(&inverse, &before), C::times(&inverse, divisor));
    }
}

fn add<C: Curve>(divisors: &mut Vec<C::BaseField>, products: &mut Vec<C::BaseField>, left: &mut [Affine<C>], right: &[Affine<C>]) {
    for (left, right) in left.chunks_mut(BATCH).zip(right.chunks(BATCH)) {
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

    fn pairs_add_up_and_double<C: Curve>() {
        let points = points::<C>();
        let mut adder = Adder::default();
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

    fn neighbours_are_merged<C: Curve>() {
        let points = points::<C>();
        let mut adder = Adder::default();
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
        pairs_add_up_and_double::<g1::Config>();
        pairs_add_up_and_double::<g2::Config>();
        neighbours_are_merged::<g1::Config>();
        neighbours_are_merged::<g2::Config>();
    }
}
