//! Gadgets and lowered graphs, and the adversaries who move their wires. One binary, since each would link everything again.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod common;
mod gadgets;
mod lowering;
