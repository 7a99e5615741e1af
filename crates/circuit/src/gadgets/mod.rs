//! Gadgets: small functions over a [`crate::Builder`], each with the equations it enforces and what they cost.
//!
//! Every gadget is a *function*: for each input that has a witness at all, exactly one output satisfies the constraints.

mod arithmetic;
mod border;
mod commit;
mod digits;
mod function;
mod max;
mod poseidon;
mod requant;

pub use arithmetic::{Division, Root, divide, multiply, sqrt};
pub use border::{Binding, Border, BorderValues};
pub use commit::{CHAIN_WORDS, commitment, commitment_of, tensor_tag};
pub use digits::{DigitTables, MAX_DIGIT_BITS, digit, pack, pack_values, unpack_values};
pub use function::{FunctionTable, function};
pub use max::{clip, max, one_hot, step};
pub use poseidon::{hash, hash_of};
pub use requant::{relu, requant, requantise};
