//! Salted commitments to packed tensors: a Poseidon chain of fixed length.
//!
//! `h_0 = Poseidon(salt, tag)`, for a private input `Poseidon(salt, tag, owner)`; then `h = Poseidon(h, next 11 words)`, the last
//! block filled with zeros. The tag fixes element count, digits a word and pitch, so chains of different tensors cannot
//! be read as one another (rule G7).

use ark_bn254::Fr;
use ark_ff::Zero;
use zkslice_formats::digits_per_word;

use super::{hash, poseidon::MAX_INPUTS};
use crate::{Builder, CircuitError, WitnessBuilder};

/// Words a permutation of the chain takes.
pub const CHAIN_WORDS: usize = MAX_INPUTS - 1;

/// `"zkslice/tensor/1"` in ASCII, then count (64 bits), digits a word (16 bits), pitch (16 bits), as one number.
pub fn tensor_tag(count: usize, bits: u32) -> Fr {
    let mut bytes = Vec::with_capacity(28);
    bytes.extend_from_slice(b"zkslice/tensor/1");
    bytes.extend_from_slice(&(count as u64).to_be_bytes());
    bytes.extend_from_slice(&(digits_per_word(bits) as u16).to_be_bytes());
    bytes.extend_from_slice(&(bits as u16).to_be_bytes());
    ark_ff::PrimeField::from_be_bytes_mod_order(&bytes)
}

/// The commitment to packed words: 243 rows (264 with an owner) and 507 for every eleven words.
///
/// # Errors
/// None for any number of words; the type is Poseidon's.
pub fn commitment<B: Builder>(
    b: &mut B,
    salt: &B::Field,
    tag: Fr,
    owner: Option<&B::Field>,
    words: &[B::Field],
) -> Result<B::Field, CircuitError> {
    let mut start = vec![salt.clone(), b.field_constant(tag)];
    start.extend(owner.cloned());
    let mut h = hash(b, &start)?;
    for block in words.chunks(CHAIN_WORDS) {
        let mut inputs = vec![h];
        inputs.extend_from_slice(block);
        inputs.resize(MAX_INPUTS, b.field_constant(Fr::zero()));
        h = hash(b, &inputs)?;
    }
    Ok(h)
}

/// [`commitment`] on plain values.
///
/// # Errors
/// As [`commitment`].
pub fn commitment_of(salt: Fr, tag: Fr, owner: Option<Fr>, words: &[Fr]) -> Result<Fr, CircuitError> {
    commitment(&mut WitnessBuilder::new(), &salt, tag, owner.as_ref(), words)
}
