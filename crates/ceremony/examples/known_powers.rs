//! Powers of a τ that this process knows, as `zkslice ceremony import` writes them: to time ceremonies of a size for which others' tools take
//! days. Keys made with them prove nothing.
//!
//! `cargo run --release -p zkslice-ceremony --example known_powers -- big.powers 20`, with the powers of two that are domains.

use ark_bn254::{Fr, G1Affine, G1Projective, G2Projective};
use ark_ec::{CurveGroup, PrimeGroup, ScalarMul};
use ark_ff::UniformRand;
use ark_poly::{EvaluationDomain, Radix2EvaluationDomain};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use zkslice_ceremony::Powers;
use zkslice_formats::Sections;
use zkslice_groth16::raw::{g1_bytes, g2_bytes};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or("name the file to write")?;
    let domains: Vec<u32> = arguments.map(|level| level.parse()).collect::<Result<_, _>>()?;
    let mut rng = ChaCha20Rng::from_seed([0; 32]);
    let [tau, alpha, beta]: [Fr; 3] = std::array::from_fn(|_| Fr::rand(&mut rng));
    let (one, two) = (G1Projective::generator(), G2Projective::generator());
    let times = |scalars: &[Fr], factor: Fr| -> Vec<G1Affine> { one.batch_mul(&scalars.iter().map(|x| *x * factor).collect::<Vec<_>>()) };
    let single = [alpha, beta].map(|secret| (one * secret).into_affine());
    let mut sections = vec![g1_bytes(&single), g2_bytes(&[(two * beta).into_affine()])];
    for level in &domains {
        let of = |level: u32| {
            let domain = Radix2EvaluationDomain::<Fr>::new(1 << level).ok_or("no domain is so large")?;
            Ok::<_, &str>(domain.evaluate_all_lagrange_coefficients(tau))
        };
        let (lagrange, double) = (of(*level)?, of(level + 1)?);
        sections.extend([
            g1_bytes(&times(&lagrange, Fr::from(1))),
            g2_bytes(&two.batch_mul(&lagrange)),
            g1_bytes(&times(&lagrange, alpha)),
            g1_bytes(&times(&lagrange, beta)),
            g1_bytes(&times(&double, Fr::from(1))),
        ]);
    }
    let header = serde_json::json!({ "source": "00".repeat(64), "contributions": [], "domains": domains });
    let sections: Vec<&[u8]> = sections.iter().map(Vec::as_slice).collect();
    Sections::new(Powers::MARK, 1, &header, &sections)?.save(path.as_ref())?;
    Ok(())
}
