//! The prover network: miners prove slices, validators hand them out, check every proof and score. So far what its nodes say to each
//! other.
//!
//! ```text
//! messages   what is signed, so that a contract can judge it: EIP-712 structs
//! identity   who signed: secp256k1 addresses
//! wire       frames: a kind, a length within the kind's cap, a body
//! score      what a proof is worth
//! ```

mod error;
mod identity;
pub mod messages;
pub mod score;
pub mod wire;

pub use error::{SignatureError, WireError};
pub use identity::{Network, Node, Signed};
