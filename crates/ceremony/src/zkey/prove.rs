//! Plain Groth16 from a `.zkey`: a witness → a proof (Groth, eprint 2016/260, section 3.2).

use ark_bn254::{Fr, G1Affine, G2Affine};
use ark_ec::CurveGroup;
use ark_ff::{FftField, One, UniformRand, Zero};
use ark_poly::{EvaluationDomain, Radix2EvaluationDomain};
use rand_core::CryptoRngCore;
use rayon::prelude::*;
use zkslice_groth16::{Proof, Statement, full, sparse, verify};

use super::Zkey;
use crate::CeremonyError;

impl Zkey {
    /// Proves a witness, the values of all wires. The proof was verified before it is given.
    ///
    /// # Errors
    /// [`CeremonyError::Refused`] for a witness of another circuit, or one that does not satisfy it; [`CeremonyError::Key`] for a key that
    /// verifies anything.
    pub fn prove(&self, witness: &[Fr], rng: &mut dyn CryptoRngCore) -> Result<Proof, CeremonyError> {
        let refused = |reason: &str| CeremonyError::Refused(reason.into());
        if witness.len() != self.wires || witness.first() != Some(&Fr::one()) {
            return Err(refused("the witness is of another circuit than the key"));
        }
        let key = self.verifying_key()?;
        let h = self.quotient(witness).ok_or_else(|| refused("the key's domain is too large"))?;
        let (r, s) = (Fr::rand(rng), Fr::rand(rng));
        let sum = |points: &[G1Affine], scalars: &[Fr]| sparse(scalars, |i| points[i]);
        let (a, (b1, (b2, c))) = rayon::join(
            || sum(&self.a, witness),
            || {
                rayon::join(
                    || sum(&self.b1, witness),
                    || rayon::join(|| sparse(witness, |i| self.b2[i]), || sum(&self.c, &witness[self.publics + 1..]) + full(&self.h, &h)),
                )
            },
        );
        let a = a + self.alpha + self.delta * r;
        let b1 = b1 + self.beta + self.delta * s;
        let b: G2Affine = (b2 + self.beta2 + self.delta2 * s).into_affine();
        let c2 = (c + a * s + b1 * r - self.delta * (r * s)).into_affine();
        let proof = Proof { a: a.into_affine(), b, c1: None, c2 };
        let statement = Statement { publics: witness[1..=self.publics].to_vec(), words: Vec::new() };
        // A proof that fails would leak, and says that the witness or the key is wrong.
        verify(&key, &statement, &proof).map_err(|_| refused("the witness does not satisfy the circuit that the key is for"))?;
        Ok(proof)
    }

    /// a·b − c on the odd half of the double domain, where the key's H has Lagrange points; it vanishes on the even half.
    fn quotient(&self, witness: &[Fr]) -> Option<Vec<Fr>> {
        let (mut a, mut b) = (vec![Fr::zero(); self.domain], vec![Fr::zero(); self.domain]);
        for (is_b, row, wire, c) in &self.coefficients {
            let rows = if *is_b { &mut b } else { &mut a };
            rows[*row as usize] += *c * witness[*wire as usize];
        }
        let mut c: Vec<Fr> = a.iter().zip(&b).map(|(a, b)| *a * b).collect();
        let domain = Radix2EvaluationDomain::<Fr>::new(self.domain)?;
        let odd = domain.get_coset(Fr::get_root_of_unity(2 * self.domain as u64)?)?;
        for values in [&mut a, &mut b, &mut c] {
            domain.ifft_in_place(values);
            odd.fft_in_place(values);
        }
        a.par_iter_mut().zip(&b).zip(&c).for_each(|((a, b), c)| *a = *a * b - c);
        Some(a)
    }
}
