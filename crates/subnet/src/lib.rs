//! The prover network: miners prove slices, validators hand them out, check every proof and score. So far what its nodes say to each
//! other.
//!
//! ```text
//! messages   what is signed, so that a contract can judge it: EIP-712 structs
//! identity   who signed: secp256k1 addresses
//! wire       frames: a kind, a length within the kind's cap, a body
//! handshake  who is at the other end of a connection
//! work       what a slice needs to be proven elsewhere, and its check
//! score      what a proof is worth
//! receipts   what is owed for it, as totals that anyone adds up again
//! validator  verifies every proof
//! ```

mod error;
mod handshake;
mod identity;
pub mod messages;
pub mod receipts;
pub mod score;
pub mod validator;
pub mod wire;
pub mod work;

pub use error::{HandshakeError, SignatureError, WireError};
pub use handshake::{Greeted, Handshake, Peer};
pub use identity::{Network, Node, Signed};
