//! The chain side of zkslice: contract bindings, contexts, signers, and deployment.
//!
//! | module | what it does |
//! |---|---|
//! | [`bindings`] | types of the contracts, generated from the committed ABIs; [`bindings::decode_revert`] names any of their errors |
//! | [`blob`] | reads the header of a model's key blob |
//! | [`context`] | request hash, request id, context and owner, exactly as the oracle computes them |
//! | [`deploy`] | deploys contracts and registers models; running it twice changes nothing, a killed run resumes |
//! | [`manifest`] | `deployments/<chain id>.json` |
//! | [`provider`] | connects to a chain over HTTP and checks that it is the expected one |
//! | [`signer`] | reads a private key file, and refuses one that others can read |
//! | [`transaction`] | fees, signing and sending, split so that a caller can persist a transaction before it is sent |
//!
//! Nothing here depends on the prover: a key blob is bytes and a digest.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod bindings;
pub mod blob;
pub mod constants;
pub mod context;
pub mod deploy;
mod error;
pub mod manifest;
pub mod provider;
pub mod signer;
pub mod transaction;

pub use blob::{KeyBlobHeader, TensorKind, TensorLayout};
pub use deploy::{ConsumerSpec, DeployEvent, DeployPlan, Deployer, Deployment, FeedSpec, ModelKeys};
pub use error::ChainError;
pub use manifest::Manifest;
pub use provider::Chain;
