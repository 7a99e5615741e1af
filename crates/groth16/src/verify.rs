//! Verification of one proof.

use ark_bn254::{Bn254, Fr, G1Projective};
use ark_ec::CurveGroup;
use ark_ec::pairing::Pairing;
use ark_ff::{BigInteger, PrimeField, Zero};

use crate::challenge::{challenge, fingerprint};
use crate::{Form, Proof, VerifyError, VerifyingKey};

/// What a proof is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Statement {
    /// Public inputs x_1…x_p.
    pub publics: Vec<Fr>,
    /// Public words.
    pub words: Vec<Fr>,
}

/// Checks a key ([`VerifyingKey::check`]) and a proof under it: counts, word widths, then `e(A,B) = e(α,β)·e(L,γ)·e(C1,δ1)·e(C2,δ2)` with `L = IC_0 + χ·IC_χ + F·IC_F` (the plain
/// form without C1 and with `L = IC_0 + Σ x_j·IC_j`).
///
/// # Errors
/// [`VerifyError`] naming the first thing that is wrong.
pub fn verify(key: &VerifyingKey, statement: &Statement, proof: &Proof) -> Result<(), VerifyError> {
    // What costs pairings was looked at when the key was read or made.
    key.check_points().map_err(|error| VerifyError::UnsafeKey(error.to_string()))?;
    verify_under_any_key(key, statement, proof)
}

/// [`verify`] without a look at the key: the forgeries in `attacks` show what a key that is not safe takes.
pub(crate) fn verify_under_any_key(key: &VerifyingKey, statement: &Statement, proof: &Proof) -> Result<(), VerifyError> {
    let scalars = scalars(key, statement, proof)?;
    let l = key.ic[1..].iter().zip(&scalars).fold(G1Projective::from(key.ic[0]), |sum, (point, x)| sum + *point * x);
    let negated = (-G1Projective::from(proof.a)).into_affine();
    let mut g1 = vec![negated, key.alpha, l.into_affine(), proof.c2];
    let mut g2 = vec![proof.b, key.beta, key.gamma, key.delta2];
    if let (Some(c1), Some(delta1)) = (proof.c1, key.delta1) {
        g1.push(c1);
        g2.push(delta1);
    }
    if Bn254::multi_pairing(g1, g2).is_zero() { Ok(()) } else { Err(VerifyError::Invalid) }
}

/// What the points of IC after the first are multiplied with, of a statement and a proof that have the key's shape.
pub(crate) fn scalars(key: &VerifyingKey, statement: &Statement, proof: &Proof) -> Result<Vec<Fr>, VerifyError> {
    let arity = |what, expected, got| if expected == got { Ok(()) } else { Err(VerifyError::Arity { what, expected, got }) };
    arity("public inputs", key.publics, statement.publics.len())?;
    arity("public words", key.words(), statement.words.len())?;
    arity("points of the verifying key", key.ic_points(), key.ic.len())?;
    let widths = key.groups.iter().flat_map(|group| group.widths());
    for (index, (word, bits)) in statement.words.iter().zip(widths).enumerate() {
        if word.into_bigint().num_bits() > bits {
            return Err(VerifyError::Word { index, bits });
        }
    }
    if proof.c1.is_some() != (key.form() == Form::Committed) {
        return Err(VerifyError::Form);
    }
    let Statement { publics, words } = statement;
    let Some(c1) = &proof.c1 else { return Ok(publics.clone()) };
    let chi = challenge(&key.hash(), publics, words, c1);
    Ok(vec![chi, fingerprint(publics, words, chi)])
}
