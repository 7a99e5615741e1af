//! Gadgets: small functions over a [`crate::Builder`], each with the equations it enforces and what they cost.
//!
//! Every gadget is a *function*: for each input that has a witness at all, exactly one output satisfies the constraints.

mod commit;
mod digits;
mod max;
mod poseidon;
mod requant;

pub use commit::{CHAIN_WORDS, commitment, commitment_of, tensor_tag};
pub use digits::{DigitTables, digit, digits_per_word, pack, pack_values, unpack_values, words_of};
pub use max::{clip, max};
pub use poseidon::{hash, hash_of};
pub use requant::{relu, requant, requantise};
