//! Slices and packages. One binary, since each would link everything again.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

#[path = "../../graph/tests/network/mod.rs"]
mod network;
mod packages;
mod slices;
mod split;
