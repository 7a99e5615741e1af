//! Proofs made with the trapdoor of development keys: a few hundredths of a prover's work each, so that thousands fit into seconds. Whoever
//! verifies them cannot tell.

use ark_bn254::{Fr, G1Affine, G1Projective, G2Affine, G2Projective};
use ark_ec::{CurveGroup, PrimeGroup};
use ark_ff::{Field, One, UniformRand, Zero};
use ark_std::rand::SeedableRng;
use ark_std::rand::rngs::StdRng;
use zkslice_groth16::{Proof, Statement, challenge, fingerprint};
use zkslice_prover::{Bound, Bundle, Verifier};
use zkslice_slicer::Package;
use zkslice_subnet::wire::Work;

/// The trapdoor of development keys, drawn again from the seed that they were drawn from.
pub(crate) struct Trapdoor {
    pub(crate) verifier: Verifier,
    package: Package,
    alpha_beta: Fr,
    first: Fr,
    over_second: Fr,
    /// A, B, C1 and their exponents, used again and again: nobody is to be convinced of anything.
    drawn: Vec<(Fr, G1Affine, G2Affine, Fr, G1Affine)>,
}

impl Trapdoor {
    /// Of a package with one slice, as this folder's are made.
    pub(crate) fn new(package: Package) -> Self {
        let verifier = Verifier::new(&package).unwrap();
        let mut rng = StdRng::seed_from_u64(super::SEED);
        let mut secret = || loop {
            let value = Fr::rand(&mut rng);
            if !value.is_zero() && !value.square().is_one() {
                return value;
            }
        };
        let [_tau, alpha, beta, first, second] = std::array::from_fn(|_| secret());
        let key = &verifier.keys()[0];
        let at = |exponent: Fr| (G2Projective::generator() * exponent).into_affine();
        assert_eq!((key.beta, key.delta1, key.delta2), (at(beta), Some(at(first)), at(second)), "the setup draws in another order");
        let drawn = (0..16).map(|_| {
            let [a, b, c1] = std::array::from_fn(|_| secret());
            let g1 = |exponent: Fr| (G1Projective::generator() * exponent).into_affine();
            (a * b, g1(a), at(b), c1, g1(c1))
        });
        let drawn = drawn.collect();
        Self { package, alpha_beta: alpha * beta, first, over_second: second.inverse().unwrap(), drawn, verifier }
    }

    /// A proof of any statement, true or not.
    pub(crate) fn proof(&self, statement: &Statement, number: usize) -> Vec<u8> {
        let key = &self.verifier.keys()[0];
        let (ab, a, b, c1_exponent, c1) = self.drawn[number % self.drawn.len()];
        let chi = challenge(&key.hash(), &statement.publics, &statement.words, &c1);
        let l = key.ic[1] * chi + key.ic[2] * fingerprint(&statement.publics, &statement.words, chi) + key.ic[0];
        let rest = ab - self.alpha_beta - self.first * c1_exponent;
        let c2 = ((G1Projective::generator() * rest - l) * self.over_second).into_affine();
        Proof { a, b, c1: Some(c1), c2 }.to_words().concat()
    }

    /// What work states.
    pub(crate) fn statement(&self, work: &Work) -> Statement {
        let mut words = work.words.iter().map(|word| word.0);
        let tensors = self.package.manifest().tensors.iter();
        let tensors = tensors.map(|tensor| Some(Bound::Words(words.by_ref().take(tensor.group().words()).collect()))).collect();
        let bundle =
            Bundle { version: 1, model: self.verifier.model(), context: work.context.0, owner: [0; 32], tensors, proofs: Vec::new() };
        self.verifier.statement(&bundle, 0).unwrap()
    }
}
