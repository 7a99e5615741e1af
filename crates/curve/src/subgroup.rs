//! Whether points of the twist are in the subgroup of order r: many at once.

use ark_bn254::{Config, G2Affine};
use ark_ec::bn::BnConfig;
use ark_ff::Field;
use ark_ff::biginteger::arithmetic::find_naf;
use rayon::prelude::*;

use crate::Adder;

/// Points side by side.
const BLOCK: usize = 1 << 11;

/// For each of these points of the twist whether it is in the subgroup of order r.
///
/// There P is one for which (x + 1)P + xψ(P) + xψ²(P) = 2xψ³(P), with the Frobenius endomorphism ψ and the curve's parameter x (Dai, Lin,
/// Zhao and Zhou, eprint 2022/348, section 5.1), and nowhere else: ψ² − tψ + q = 0 makes a number of the equation, and its greatest common
/// divisor with the order of the twist is r.
pub fn in_subgroup(points: &[G2Affine]) -> Vec<bool> {
    let of_block = |points: &[G2Affine]| {
        let mut adder = Adder::default();
        let mut times_x = times_x(&mut adder, points);
        let first: Vec<G2Affine> = times_x.iter().map(frobenius).collect();
        let second: Vec<G2Affine> = first.iter().map(frobenius).collect();
        let mut left = points.to_vec();
        [&times_x, &first, &second].into_iter().for_each(|others| adder.add(&mut left, others));
        adder.double(&mut times_x);
        let third = |point| frobenius(&frobenius(&frobenius(point)));
        times_x.iter().zip(left).map(|(twice, left)| third(twice) == left).collect()
    };
    let blocks: Vec<Vec<bool>> = points.par_chunks(BLOCK).map(of_block).collect();
    blocks.concat()
}

fn times_x(adder: &mut Adder<ark_bn254::g2::Config>, points: &[G2Affine]) -> Vec<G2Affine> {
    let negated: Vec<G2Affine> = points.iter().map(|point| -*point).collect();
    let mut product = points.to_vec();
    // The first digit is 1.
    for digit in find_naf(Config::X).into_iter().rev().skip_while(|digit| *digit == 0).skip(1) {
        adder.double(&mut product);
        match digit {
            1 => adder.add(&mut product, points),
            -1 => adder.add(&mut product, &negated),
            _ => {}
        }
    }
    product
}

/// ψ: to the curve over Fq12, Frobenius there, and back to the twist.
fn frobenius(point: &G2Affine) -> G2Affine {
    let mut mapped = *point;
    mapped.x.frobenius_map_in_place(1);
    mapped.y.frobenius_map_in_place(1);
    mapped.x *= Config::TWIST_MUL_BY_Q_X;
    mapped.y *= Config::TWIST_MUL_BY_Q_Y;
    mapped
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use ark_bn254::{Fq, Fq2, Fr, g2};
    use ark_ec::{AffineRepr, CurveConfig, CurveGroup, PrimeGroup};
    use ark_ff::{BigInteger, PrimeField, UniformRand};
    use ark_std::rand::{SeedableRng, rngs::StdRng};
    use num_bigint::BigInt;

    use super::*;

    /// Any point of the twist.
    fn on_the_twist(rng: &mut StdRng) -> G2Affine {
        loop {
            if let Some(point) = G2Affine::get_point_from_x_unchecked(Fq2::rand(rng), false) {
                return point;
            }
        }
    }

    /// A point of the order of one of the cofactor's small factors, 10,069, or what is left of a random point without r: of every kind that
    /// a check could confuse.
    fn of_other_orders(rng: &mut StdRng) -> Vec<G2Affine> {
        let cofactor = ark_ff::BigInt::<4>(g2::Config::COFACTOR.try_into().unwrap());
        let small = 10_069u64;
        let (mut over_small, mut rest) = (ark_ff::BigInt::<4>::zero(), 0u128);
        for bit in (0..256).rev() {
            over_small <<= 1;
            rest = rest << 1 | u128::from(cofactor.get_bit(bit));
            if rest >= u128::from(small) {
                rest -= u128::from(small);
                over_small.0[0] |= 1;
            }
        }
        assert_eq!(rest, 0, "the factor divides the cofactor");
        let point = on_the_twist(rng);
        let without_r = point.mul_bigint(Fr::MODULUS);
        let of_small_order = without_r.mul_bigint(over_small);
        let mixed = of_small_order + G2Affine::generator();
        [without_r, of_small_order, mixed].map(CurveGroup::into_affine).to_vec()
    }

    /// What the equation's endomorphism divides: a + bψ has the norm a² + abt + b²q, and a point that it kills has an order that divides it.
    #[test]
    fn the_equation_holds_in_the_subgroup_only() {
        let number = |limbs: &[u64]| limbs.iter().rev().fold(BigInt::ZERO, |sum, limb| (sum << 64u32) + limb);
        let (q, r, x) = (number(&Fq::MODULUS.0), number(&Fr::MODULUS.0), number(Config::X));
        let t: BigInt = &q + 1 - &r;
        // ψ² = tψ − q, ψ³ = (t² − q)ψ − tq.
        let (a, b) = (&x + 1 - &x * &q + 2 * &x * &t * &q, &x + &x * &t - 2 * &x * (&t * &t - &q));
        let norm = &a * &a + &a * &b * &t + &b * &b * &q;
        let (mut divisor, mut rest) = (norm, number(g2::Config::COFACTOR) * &r);
        while rest != BigInt::ZERO {
            (divisor, rest) = (rest.clone(), divisor % rest);
        }
        assert_eq!(divisor, r);
    }

    #[test]
    fn points_outside_the_subgroup_are_found_where_they_are() {
        let mut rng = StdRng::seed_from_u64(7);
        let mut points: Vec<G2Affine> = (0..20).map(|_| G2Affine::rand(&mut rng)).collect();
        points.extend([G2Affine::generator(), G2Affine::identity(), -points[0], points[0]]);
        let points: Vec<G2Affine> = points.iter().cycle().take(BLOCK + 40).copied().collect();
        assert_eq!(in_subgroup(&points), vec![true; points.len()]);
        assert_eq!(in_subgroup(&[]), []);
        let mut others: Vec<G2Affine> = (0..8).map(|_| on_the_twist(&mut rng)).collect();
        others.extend((0..3).flat_map(|_| of_other_orders(&mut rng)));
        for (k, other) in others.iter().filter(|other| !other.is_zero()).enumerate() {
            assert!(other.is_on_curve() && !other.is_in_correct_subgroup_assuming_on_curve());
            let at = [0, k, BLOCK - 1, BLOCK, BLOCK + 38][k % 5];
            let mut points = points.clone();
            (points[at], points[BLOCK + 39]) = (*other, *other);
            let expected: Vec<bool> = (0..points.len()).map(|point| point != at && point != BLOCK + 39).collect();
            assert_eq!(in_subgroup(&points), expected);
        }
        assert!(others.iter().filter(|other| !other.is_zero()).count() > 10);
    }
}
