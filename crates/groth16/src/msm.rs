//! Multi-scalar multiplication where the scalars are small, or are entries of a table.
//!
//! arkworks' routines serve for full-size scalars. A witness has few of those: most wires fit 13 bits, and the wires of the
//! second round take only as many values as a table has entries.

use ark_bn254::Fr;
use ark_ec::scalar_mul::variable_base::VariableBaseMSM;
use ark_ec::{AffineRepr, CurveGroup};
use ark_ff::{PrimeField, Zero};
use rayon::prelude::*;

/// Window that minimises additions for `points` signed scalars of `bits` bits: each window costs an addition a point
/// and two a bucket. At least two bits: a single one has the signed digits −1 and 0, which reach no positive number.
fn window(points: usize, bits: u32) -> u32 {
    (2..=bits.clamp(2, 14)).min_by_key(|c| u64::from(bits.div_ceil(*c)) * (points as u64 + (2 << (c - 1)))).unwrap_or(2)
}

/// `Σ scalar_i · point(i)` for signed scalars, by signed buckets; `point` is asked only where the scalar is not zero.
pub(crate) fn small<G, P>(scalars: &[i64], point: P) -> G
where
    G: VariableBaseMSM + Send,
    P: Fn(usize) -> G::MulBase + Sync,
{
    let chunk = scalars.len().div_ceil(rayon::current_num_threads()).max(256);
    let parts = scalars.par_chunks(chunk).enumerate().map(|(k, part)| serial(part, |i| point(k * chunk + i)));
    parts.reduce(G::zero, |a, b| a + b)
}

fn serial<G: VariableBaseMSM>(scalars: &[i64], point: impl Fn(usize) -> G::MulBase) -> G {
    let largest = scalars.iter().map(|s| s.unsigned_abs()).max().unwrap_or(0);
    if largest == 0 {
        return G::zero();
    }
    // k signed digits of c bits reach at least a third of 2^(ck), so a magnitude below a quarter of it never carries out.
    let bits = u64::BITS - largest.leading_zeros() + 2;
    let c = window(scalars.len(), bits);
    let half = 1i64 << (c - 1);
    let windows = bits.div_ceil(c) as usize;
    let mut buckets = vec![vec![G::ZERO_BUCKET; half as usize]; windows];
    for (i, scalar) in scalars.iter().enumerate().filter(|(_, s)| **s != 0) {
        let base = point(i);
        let mut rest = *scalar;
        for buckets in &mut buckets {
            // The digit of rest in [−2^(c−1), 2^(c−1)).
            let digit = ((rest + half) & ((half << 1) - 1)) - half;
            rest = (rest - digit) >> c;
            match digit {
                0 => {}
                d if d > 0 => buckets[d as usize - 1] += &base,
                d => buckets[d.unsigned_abs() as usize - 1] -= &base,
            }
        }
        debug_assert_eq!(rest, 0);
    }
    let mut total = G::zero();
    for buckets in buckets.iter().rev() {
        (0..c).for_each(|_| {
            total.double_in_place();
        });
        let (mut running, mut sum) = (G::zero(), G::zero());
        for bucket in buckets.iter().rev() {
            running += bucket;
            sum += &running;
        }
        total += &sum;
    }
    total
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
pub fn sparse<G>(scalars: &[Fr], point: impl Fn(usize) -> G::Affine + Sync) -> G
where
    G: VariableBaseMSM<ScalarField = Fr, MulBase = <G as CurveGroup>::Affine> + CurveGroup + Send,
{
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
    G::msm_unchecked(&long_points, &long) + small::<G, _>(&short, |i| short_points[i])
}

/// For each entry of a table the sum of the points that looked it up: `point(i)` goes to entry `values[i]`.
pub(crate) fn by_entry<G, P>(entries: usize, values: &[u32], point: P) -> Vec<G::MulBase>
where
    G: VariableBaseMSM,
    P: Fn(usize) -> G::MulBase + Sync,
{
    let mut buckets = vec![G::ZERO_BUCKET; entries];
    for (i, value) in values.iter().enumerate() {
        buckets[*value as usize] += &point(i);
    }
    let sums: Vec<G> = buckets.into_iter().map(Into::into).collect();
    G::batch_convert_to_mul_base(&sums)
}

#[cfg(test)]
mod tests {
    use ark_bn254::{Fr, G1Affine, G1Projective, G2Affine, G2Projective};
    use ark_ec::{AffineRepr, CurveGroup};
    use ark_ff::UniformRand;
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
            assert_eq!(small::<G1Projective, _>(&scalars, |i| g1[i]), expected);
            let g2: Vec<G2Affine> = g1.iter().map(|_| (G2Affine::generator() * Fr::rand(&mut rng)).into_affine()).collect();
            let expected: G2Projective = g2.iter().zip(&scalars).map(|(p, s)| *p * Fr::from(*s)).sum();
            assert_eq!(small::<G2Projective, _>(&scalars, |i| g2[i]), expected);
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
        assert_eq!(sparse::<G1Projective>(&scalars, |i| points[i]), expected);
        assert_eq!(sparse::<G1Projective>(&[], |i| points[i]), G1Projective::zero());
    }

    #[test]
    fn entries_collect_their_points() {
        let mut rng = StdRng::seed_from_u64(2);
        let points: Vec<G1Affine> = (0..100).map(|_| G1Projective::rand(&mut rng).into_affine()).collect();
        let values: Vec<u32> = (0..100).map(|_| rng.gen_range(0..16)).collect();
        let sums = by_entry::<G1Projective, _>(16, &values, |i| points[i]);
        for (entry, sum) in sums.iter().enumerate() {
            let expected: G1Projective =
                points.iter().zip(&values).filter(|(_, v)| **v as usize == entry).map(|(p, _)| G1Projective::from(*p)).sum();
            assert_eq!(G1Projective::from(*sum), expected);
        }
    }
}
