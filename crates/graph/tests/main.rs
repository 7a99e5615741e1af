//! The importer, the quantiser, the executor, and circuits of graphs. One binary, since each would link everything again.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod beside;
mod circuits;
mod fixtures;
mod inputs;
mod models;
mod network;
mod random;
