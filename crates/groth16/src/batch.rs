//! Many proofs of one key, verified together.
//!
//! Where all proofs hold,
//!
//! ```text
//! Π e(ρ_i·A_i, B_i) = e(Σρ_i·α, β) · e(Σρ_i·L_i, γ) · e(Σρ_i·C1_i, δ1) · e(Σρ_i·C2_i, δ2)
//! ```
//!
//! for any ρ_i; where one does not, for one in 2^128 of those that are drawn after the proofs are fixed, at most (small exponents: Bellare,
//! Garay and Rabin, EUROCRYPT 1998). Each proof brings its own B, so it costs a Miller loop; all else is shared.

use ark_bn254::{Bn254, Fq12, Fr, G1Affine, G2Affine};
use ark_ec::CurveGroup;
use ark_ec::pairing::{MillerLoopOutput, Pairing};
use ark_ff::{One, Zero};
use rand_core::CryptoRngCore;
use rayon::prelude::*;
use zkslice_curve::in_subgroup;
use zkslice_formats::Word;

use crate::msm::full;
use crate::verify::scalars;
use crate::{Proof, Statement, VerifyError, VerifyingKey};

/// Bad proofs that are searched for by halves; beyond, each of the others is looked at alone.
const SEARCHED: usize = 2;

/// Verifies proofs of one key together, each of which is given by its words. Gives for each what reading and
/// [verifying](crate::verify) it alone gives.
///
/// Draw from the operating system's generator: whoever knows the coefficients beforehand makes two false proofs whose errors cancel out.
pub fn verify_batch(
    key: &VerifyingKey,
    proofs: &[(Statement, [Word; Proof::WORDS])],
    rng: &mut dyn CryptoRngCore,
) -> Vec<Result<(), VerifyError>> {
    if let Err(error) = key.check_points() {
        return proofs.iter().map(|_| Err(VerifyError::UnsafeKey(error.to_string()))).collect();
    }
    let read = |(statement, words): &(Statement, [Word; Proof::WORDS])| {
        let proof = Proof::on_curves(words, key.form())?;
        let scalars = scalars(key, statement, &proof)?;
        Ok((proof, scalars))
    };
    let (mut verdicts, mut shaped) = (Vec::with_capacity(proofs.len()), Vec::with_capacity(proofs.len()));
    for (index, read) in proofs.par_iter().map(read).collect::<Vec<_>>().into_iter().enumerate() {
        verdicts.push(read.map(|(proof, scalars)| shaped.push((index, proof, scalars))));
    }
    let inside = in_subgroup(&shaped.iter().map(|(_, proof, _)| proof.b).collect::<Vec<G2Affine>>());
    let mut batch = Vec::with_capacity(shaped.len());
    for ((index, proof, scalars), inside) in shaped.into_iter().zip(inside) {
        if inside {
            let mut rho = [0; 16];
            rng.fill_bytes(&mut rho);
            batch.push(Member { index, proof, scalars, rho: Fr::from(u128::from_le_bytes(rho)), pairing: Fq12::one() });
        } else {
            verdicts[index] = Err(VerifyError::Encoding("B".into()));
        }
    }
    batch.par_iter_mut().for_each(|member| {
        member.pairing = Bn254::miller_loop((member.proof.a * member.rho).into_affine(), member.proof.b).0;
    });
    let mut bad = Vec::new();
    Batch::new(key).judge(&batch, false, &mut bad);
    bad.into_iter().for_each(|index| verdicts[index] = Err(VerifyError::Invalid));
    verdicts
}

/// A proof that has the shape of the key, with its coefficient.
struct Member {
    index: usize,
    proof: Proof,
    scalars: Vec<Fr>,
    rho: Fr,
    /// The Miller loop of ρ·A and B.
    pairing: Fq12,
}

/// A key, its points in G2 made ready for pairings.
struct Batch<'a> {
    key: &'a VerifyingKey,
    prepared: Vec<<Bn254 as Pairing>::G2Prepared>,
}

impl<'a> Batch<'a> {
    fn new(key: &'a VerifyingKey) -> Self {
        let points = [key.beta, key.gamma, key.delta2].into_iter().chain(key.delta1);
        Self { key, prepared: points.map(Into::into).collect() }
    }

    /// Adds the indices of those that do not hold; `fails` says that one of them does not.
    fn judge(&self, members: &[Member], fails: bool, bad: &mut Vec<usize>) {
        if members.is_empty() || !fails && self.holds(members) {
            return;
        }
        if let [member] = members {
            bad.push(member.index);
        } else if bad.len() > SEARCHED {
            members.chunks(1).for_each(|member| self.judge(member, false, bad));
        } else {
            let (first, second) = members.split_at(members.len() / 2);
            let before = bad.len();
            self.judge(first, false, bad);
            self.judge(second, bad.len() == before, bad);
        }
    }

    /// Whether all of them hold.
    fn holds(&self, members: &[Member]) -> bool {
        let rho: Vec<Fr> = members.iter().map(|member| member.rho).collect();
        let sum: Fr = rho.iter().sum();
        let mut of_ic = vec![sum];
        of_ic.extend((0..self.key.ic.len() - 1).map(|k| members.iter().map(|member| member.rho * member.scalars[k]).sum::<Fr>()));
        let combined = |point: &dyn Fn(&Proof) -> G1Affine| {
            full(&members.iter().map(|member| point(&member.proof)).collect::<Vec<_>>(), &rho).into_affine()
        };
        let alpha = (self.key.alpha * sum).into_affine();
        let l = full(&self.key.ic, &of_ic).into_affine();
        let mut right = vec![alpha, l, combined(&|proof| proof.c2)];
        if self.key.delta1.is_some() {
            right.push(combined(&|proof| proof.c1.unwrap_or_default()));
        }
        let right = Bn254::multi_miller_loop(right.into_iter().map(|point| -point), self.prepared.iter().cloned());
        let all = members.iter().fold(right.0, |product, member| product * member.pairing);
        Bn254::final_exponentiation(MillerLoopOutput(all)).is_some_and(|output| output.is_zero())
    }
}
