//! Field elements and points as 32-byte big-endian words: G1 as (x, y), G2 as (x.c1, x.c0, y.c1, y.c0), infinity as zeros
//! (EIP-196, EIP-197).

use ark_bn254::{Fq, Fq2, Fr, G1Affine, G2Affine};
use ark_ec::AffineRepr;
use ark_ff::{BigInteger, PrimeField, Zero};
use zkslice_formats::Word;

use crate::VerifyError;

fn word<F: PrimeField>(value: F) -> Word {
    let mut word = [0; 32];
    word.copy_from_slice(&value.into_bigint().to_bytes_be());
    word
}

/// The element that a word is, if it is below the modulus.
pub(crate) fn element<F: PrimeField>(word: &Word, what: &str) -> Result<F, VerifyError> {
    let value = F::from_be_bytes_mod_order(word);
    if self::word(value) == *word { Ok(value) } else { Err(VerifyError::Encoding(what.into())) }
}

/// A scalar as a word.
pub fn fr_to_word(value: Fr) -> Word {
    word(value)
}

/// A scalar from a word.
///
/// # Errors
/// [`VerifyError::Encoding`] unless the word is below r.
pub fn fr_from_word(word: &Word, what: &str) -> Result<Fr, VerifyError> {
    element(word, what)
}

/// A G1 point as two words.
pub fn g1_to_words(point: &G1Affine) -> [Word; 2] {
    point.xy().map_or([[0; 32]; 2], |(x, y)| [word(x), word(y)])
}

/// A G2 point as four words.
pub fn g2_to_words(point: &G2Affine) -> [Word; 4] {
    point.xy().map_or([[0; 32]; 4], |(x, y)| [word(x.c1), word(x.c0), word(y.c1), word(y.c0)])
}

/// A G1 point from two words.
///
/// # Errors
/// [`VerifyError::Encoding`] for a coordinate not below q or a point off the curve.
pub fn g1_from_words(words: &[Word; 2], what: &str) -> Result<G1Affine, VerifyError> {
    let (x, y): (Fq, Fq) = (element(&words[0], what)?, element(&words[1], what)?);
    if x.is_zero() && y.is_zero() {
        return Ok(G1Affine::zero());
    }
    let point = G1Affine::new_unchecked(x, y);
    // G1 has cofactor one: on the curve is in the group.
    if point.is_on_curve() { Ok(point) } else { Err(VerifyError::Encoding(what.into())) }
}

/// A G2 point from four words.
///
/// # Errors
/// [`VerifyError::Encoding`] for a coordinate not below q, a point off the twist or outside the subgroup of order r.
pub fn g2_from_words(words: &[Word; 4], what: &str) -> Result<G2Affine, VerifyError> {
    let point = twist_from_words(words, what)?;
    if point.is_in_correct_subgroup_assuming_on_curve() { Ok(point) } else { Err(VerifyError::Encoding(what.into())) }
}

/// The same of which the subgroup is not checked.
pub(crate) fn twist_from_words(words: &[Word; 4], what: &str) -> Result<G2Affine, VerifyError> {
    let [x1, x0, y1, y0] = words;
    let x = Fq2::new(element(x0, what)?, element(x1, what)?);
    let y = Fq2::new(element(y0, what)?, element(y1, what)?);
    if x.is_zero() && y.is_zero() {
        return Ok(G2Affine::zero());
    }
    let point = G2Affine::new_unchecked(x, y);
    if point.is_on_curve() { Ok(point) } else { Err(VerifyError::Encoding(what.into())) }
}
