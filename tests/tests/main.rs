//! What crosses crates, or starts a chain. One binary, since each would link everything again.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod abi;
mod accuracy;
mod ceremony;
#[path = "../../crates/chain/tests/support/mod.rs"]
mod chain;
mod circuits;
mod cli;
mod cli_bad_input;
mod cli_exact;
mod cli_export;
mod contracts_page;
mod demo;
mod deployments;
mod first_proof;
mod fuzz;
mod https_rpc;
mod network_kill;
mod network_outages;
mod network_page;
mod network_receipt;
mod network_tls;
mod network_weights;
mod requests;
mod scene;
mod snarkjs;
mod sources;
