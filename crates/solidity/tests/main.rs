//! Generated verifiers and exports. One binary, since each would link everything again.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod bittensor;
mod common;
mod export;
mod vectors;
mod verifiers;
