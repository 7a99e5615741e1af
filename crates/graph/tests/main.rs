//! Operators, graph files, and circuits of graphs. One binary, since each would link everything again.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod circuits;
mod hostile;
mod laws;
mod network;
mod operators;
