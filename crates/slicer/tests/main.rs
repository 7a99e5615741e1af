//! Slices and packages. One binary, since each would link everything again.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

#[path = "../../circuit/tests/common/mod.rs"]
mod network;
mod packages;
mod slices;
