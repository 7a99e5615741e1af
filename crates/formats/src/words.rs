//! 32-byte words, big-endian: what contracts, hashes and proofs are made of.

use sha3::{Digest, Keccak256};

/// A 32-byte word, big-endian.
pub type Word = [u8; 32];

/// Bits of a word that digits may fill: the order r of BN254's scalar field is above 2^253.
pub const WORD_BITS: u32 = 253;

/// Digits that a word holds at a pitch of `bits`.
pub fn digits_per_word(bits: u32) -> usize {
    (WORD_BITS / bits.clamp(1, WORD_BITS)) as usize
}

/// Words that `count` digits of `bits` bits take.
pub fn words_of(count: usize, bits: u32) -> usize {
    count.div_ceil(digits_per_word(bits))
}

/// Appends a number as a word.
pub fn push_number(bytes: &mut Vec<u8>, number: impl Into<u128>) {
    bytes.extend_from_slice(&[0; 16]);
    bytes.extend_from_slice(&number.into().to_be_bytes());
}

/// keccak256.
pub fn keccak(bytes: &[u8]) -> Word {
    Keccak256::digest(bytes).into()
}

/// keccak256 of an ASCII domain tag.
pub fn tag(name: &str) -> Word {
    keccak(name.as_bytes())
}
