//! The challenge: keccak256 over everything that precedes it; and the fingerprint at it.

use ark_bn254::{Fr, G1Affine};
use ark_ff::{PrimeField, Zero};
use zkslice_formats::{keccak, tag};

use crate::points::{fr_to_word, g1_to_words};

/// A hash reduced modulo r.
pub fn to_field(hash: &[u8; 32]) -> Fr {
    Fr::from_be_bytes_mod_order(hash)
}

/// `h0 = keccak256(tag ‖ vkHash ‖ p ‖ x_1…x_p ‖ n ‖ word_1…word_n ‖ C1.x ‖ C1.y)`, every part a 32-byte word; χ = h0 mod r.
///
/// Public inputs and words are hashed before χ is known, so that none of them can be chosen after it (rule A1).
pub fn challenge(vk_hash: &[u8; 32], publics: &[Fr], words: &[Fr], c1: &G1Affine) -> Fr {
    let mut bytes = Vec::with_capacity(32 * (6 + publics.len() + words.len()));
    let count = |n: usize| fr_to_word(Fr::from(n as u64));
    bytes.extend_from_slice(&tag("zkslice/challenge/v2"));
    bytes.extend_from_slice(vk_hash);
    bytes.extend_from_slice(&count(publics.len()));
    publics.iter().for_each(|x| bytes.extend_from_slice(&fr_to_word(*x)));
    bytes.extend_from_slice(&count(words.len()));
    words.iter().for_each(|word| bytes.extend_from_slice(&fr_to_word(*word)));
    g1_to_words(c1).iter().for_each(|word| bytes.extend_from_slice(word));
    to_field(&keccak(&bytes))
}

/// `F = Σ e_j · χ^(j+1)`, j from 0, over the public inputs and then the words.
pub fn fingerprint(publics: &[Fr], words: &[Fr], challenge: Fr) -> Fr {
    publics.iter().chain(words).rev().fold(Fr::zero(), |sum, element| (sum + element) * challenge)
}
