//! The prover network: miners prove slices, validators hand them out, check every proof and score.
//!
//! ```text
//! messages   what is signed, so that a contract can judge it: EIP-712 structs
//! identity   who signed: secp256k1 addresses
//! wire       frames: a kind, a length within the kind's cap, a body
//! handshake  who is at the other end of a connection
//! transport  QUIC, one WebSocket, or memory
//! work       what a slice needs to be proven elsewhere, and its check
//! score      what a proof is worth
//! receipts   what is owed for it, as totals that anyone adds up again
//! draws      who got which slice, as draws that anyone makes again
//! weights    what miners earned, onto a chain: committed, then revealed
//! validator  hands out, verifies every proof, signs what became of it
//! gateway    the validator's HTTP API; client: whoever uses it
//! privacy    private inputs, and their owners' word that they may be seen
//! config     files of validators and miners; daemon: both as they run
//! miner      takes on, proves, hands in, keeps receipts
//! metrics    what a node has counted, for Prometheus
//! blobs      packages with their keys from validators, mirrors and other miners, each chunk checked
//! ```

pub mod blobs;
pub mod client;
mod clock;
pub mod config;
pub mod daemon;
pub mod draws;
mod error;
pub mod gateway;
mod handshake;
mod identity;
pub mod messages;
pub(crate) mod metrics;
pub mod miner;
pub mod privacy;
pub mod receipts;
mod request;
pub mod score;
pub mod transport;
pub mod validator;
pub mod weights;
pub mod wire;
pub mod work;

pub use clock::Clock;
pub use error::{
    BlobError, ClientError, ConfigError, DaemonError, HandshakeError, JobError, LedgerError, LinkError, MinerError, PeerError,
    SignatureError, StoreError, ValidatorError, WeightError, WireError,
};
pub use handshake::{Greeted, Handshake, Peer};
pub use identity::{Network, Node, Signed};
