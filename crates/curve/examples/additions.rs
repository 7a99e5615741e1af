//! Nanoseconds that an addition of affine points takes, by one thread: with vectors where the processor has them, without them under
//! `ZKSLICE_IFMA=off`, and arkworks' of an affine point to a Jacobian one.
//!
//! `cargo run --release -p zkslice-curve --example additions`

use std::time::Instant;

use ark_bn254::{Fr, g1, g2};
use ark_ec::short_weierstrass::{Affine, Projective};
use ark_ec::{AffineRepr, ScalarMul};
use ark_ff::UniformRand;
use ark_std::rand::{SeedableRng, rngs::StdRng};
use zkslice_curve::{Adder, Curve};

const POINTS: usize = 1 << 12;
const ROUNDS: usize = 20;

fn nanoseconds(mut round: impl FnMut()) -> f64 {
    let mut times: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            round();
            start.elapsed().as_nanos() as f64 / POINTS as f64
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[ROUNDS / 2]
}

fn measure<C: Curve>(group: &str) {
    let mut rng = StdRng::seed_from_u64(1);
    let scalars: Vec<Fr> = (0..2 * POINTS).map(|_| Fr::rand(&mut rng)).collect();
    let points: Vec<Affine<C>> = Affine::<C>::generator().into_group().batch_mul(&scalars);
    let (mut left, right) = (points[..POINTS].to_vec(), &points[POINTS..]);
    let mut adder = Adder::default();
    let pairs = nanoseconds(|| adder.add(&mut left, right));
    let double = nanoseconds(|| adder.double(&mut left));
    let mut sums: Vec<Projective<C>> = points[..POINTS].iter().map(|point| point.into_group()).collect();
    let mixed = nanoseconds(|| sums.iter_mut().zip(right).for_each(|(sum, point)| *sum += point));
    println!("{group}: addition {pairs:.1} ns, doubling {double:.1} ns; arkworks' mixed addition {mixed:.1} ns");
}

fn main() {
    measure::<g1::Config>("G1");
    measure::<g2::Config>("G2");
}
