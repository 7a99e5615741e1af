//! Keys and proofs. One binary, since each would link everything again.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod batch;
mod gnark;
mod proofs;
