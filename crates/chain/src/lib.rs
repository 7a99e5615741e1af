//! The chain side of zkslice: contract bindings, contexts, signers, and deployment.
//!
//! | module | what it does |
//! |---|---|
//! | [`amount`] | amounts of ether as people write them |
//! | [`bindings`] | types of the contracts, generated from the committed ABIs; [`bindings::decode_revert`] names any of their errors |
//! | [`blob`] | reads the header of a model's key blob, and holds it to the digest |
//! | [`board`] | makes a `WeightBoard`, gives out its uids, and shows its weights |
//! | [`check`] | compares a chain with a manifest, and names each difference |
//! | [`context`] | request hash, request id, context and owner, exactly as the oracle computes them |
//! | [`deploy`] | deploys contracts and registers models; running it twice changes nothing, a killed run resumes |
//! | [`factory`] | the deterministic deployment proxy: the same addresses on every chain |
//! | [`manifest`] | `deployments/<chain id>.json` |
//! | [`oracle`] | makes requests, and reads what became of them |
//! | [`provider`] | connects to a chain over HTTP and checks that it is the expected one |
//! | [`signer`] | reads a private key file, and refuses one that others can read |
//! | [`transaction`] | fees, signing and sending, split so that a caller can persist a transaction before it is sent |
//!
//! Nothing here depends on the prover: a key blob is bytes and a digest.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod amount;
pub mod bindings;
pub mod blob;
pub mod board;
pub mod check;
pub mod constants;
pub mod context;
pub mod deploy;
mod dry_run;
mod error;
mod evm;
pub mod factory;
pub mod manifest;
pub mod oracle;
mod plan;
pub mod provider;
pub mod signer;
pub mod transaction;

pub use check::Difference;
pub use deploy::{ConsumerSpec, DeployEvent, DeployPlan, Deployer, Deployment, FeedSpec, ModelKeys};
pub use dry_run::{DryRun, DryStep, Outcome};
pub use error::{ChainError, OwnerCall};
pub use manifest::{Manifest, RegistryParameters};
pub use oracle::Oracle;
pub use plan::Contracts;
pub use provider::{Chain, http_client, tls};
