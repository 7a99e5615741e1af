//! Many proofs of one key, verified together.
//!
//! Where all proofs hold,
//!
//! ```text
//! Π e(ρ_i·A_i, B_i) = e(Σρ_i·α, β) · e(Σρ_i·L_i, γ) · e(Σρ_i·C1_i, δ1) · e(Σρ_i·C2_i, δ2)
//! ```
//!
//! for any ρ_i; where one does not, for one in 2^127 of those that are drawn after the proofs are fixed, at most (small exponents: Bellare,
//! Garay and Rabin, EUROCRYPT 1998). Each proof brings its own B, so it costs a Miller loop; all else is shared. A search for culprits asks
//! the same of parts of the batch, each of which is as unlikely to deceive; that an honest proof is refused is impossible.

use ark_bn254::{Bn254, Fq12, Fr, G1Affine, G2Affine};
use ark_ec::CurveGroup;
use ark_ec::pairing::{MillerLoopOutput, Pairing};
use ark_ff::{One, Zero};
use rand_core::CryptoRngCore;
use rayon::prelude::*;
use zkslice_curve::in_subgroup;
use zkslice_formats::Word;

use crate::msm::full;
use crate::verify::{scalars, verify_under_any_key};
use crate::{Proof, Statement, VerifyError, VerifyingKey};

/// Verifies proofs of one key together, each of which is given by its words. Gives for each what reading and
/// [verifying](crate::verify) it alone gives.
///
/// Draw from the operating system's generator: whoever knows the coefficients beforehand makes two false proofs whose errors cancel out.
pub fn verify_batch(
    key: &VerifyingKey,
    proofs: &[(Statement, [Word; Proof::WORDS])],
    rng: &mut dyn CryptoRngCore,
) -> Vec<Result<(), VerifyError>> {
    let read = |(_, words): &(Statement, [Word; Proof::WORDS])| Proof::on_curves(words, key.form());
    let read: Vec<Result<Proof, VerifyError>> = proofs.par_iter().map(read).collect();
    let mut inside = in_subgroup(&read.iter().flatten().map(|proof| proof.b).collect::<Vec<G2Affine>>()).into_iter();
    let is_safe = key.check_points().map_err(|error| VerifyError::UnsafeKey(error.to_string()));
    let (mut verdicts, mut members) = (Vec::with_capacity(proofs.len()), Vec::with_capacity(proofs.len()));
    for (index, (read, (statement, _))) in read.into_iter().zip(proofs).enumerate() {
        // In the order in which one proof alone is looked at.
        let member = read.and_then(|proof| {
            if inside.next() != Some(true) {
                return Err(VerifyError::Encoding("B".into()));
            }
            is_safe.clone()?;
            let scalars = scalars(key, statement, &proof)?;
            let mut rho = [0; 16];
            rng.fill_bytes(&mut rho);
            // None is zero.
            rho[0] |= 1;
            Ok(Member { index, statement, proof, scalars, rho: Fr::from(u128::from_le_bytes(rho)), pairing: Fq12::one() })
        });
        verdicts.push(member.map(|member| members.push(member)));
    }
    members.par_iter_mut().for_each(|member| {
        member.pairing = Bn254::miller_loop((member.proof.a * member.rho).into_affine(), member.proof.b).0;
    });
    let mut search = Search::new(key, members.len());
    search.judge(&members, false);
    search.bad.into_iter().for_each(|index| verdicts[index] = Err(VerifyError::Invalid));
    verdicts
}

/// A proof that has the shape of the key, with its coefficient.
struct Member<'a> {
    index: usize,
    statement: &'a Statement,
    proof: Proof,
    scalars: Vec<Fr>,
    rho: Fr,
    /// The Miller loop of ρ·A and B.
    pairing: Fq12,
}

/// A search for those that do not hold.
struct Search<'a> {
    key: &'a VerifyingKey,
    /// The key's points in G2, ready for pairings.
    prepared: Vec<<Bn254 as Pairing>::G2Prepared>,
    /// Tests of parts that are left: where there are many culprits, looking at each proof costs less.
    tests: usize,
    bad: Vec<usize>,
}

impl<'a> Search<'a> {
    fn new(key: &'a VerifyingKey, members: usize) -> Self {
        let points = [key.beta, key.gamma, key.delta2].into_iter().chain(key.delta1);
        let tests = members / 8 + 2 * members.checked_ilog2().unwrap_or(0) as usize + 1;
        Self { key, prepared: points.map(Into::into).collect(), tests, bad: Vec::new() }
    }

    /// Finds those of some that do not hold; `fails` says that there is one.
    fn judge(&mut self, members: &[Member<'_>], fails: bool) {
        if !fails {
            if members.is_empty() {
                return;
            }
            if self.tests == 0 {
                let alone = |member: &&Member<'_>| verify_under_any_key(self.key, member.statement, &member.proof).is_err();
                let found: Vec<usize> = members.par_iter().filter(alone).map(|member| member.index).collect();
                self.bad.extend(found);
                return;
            }
            self.tests -= 1;
            if self.holds(members) {
                return;
            }
        }
        if let [member] = members {
            self.bad.push(member.index);
            return;
        }
        let (first, second) = members.split_at(members.len() / 2);
        let before = self.bad.len();
        self.judge(first, false);
        self.judge(second, self.bad.len() == before);
    }

    /// Whether all of them hold.
    fn holds(&self, members: &[Member<'_>]) -> bool {
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
