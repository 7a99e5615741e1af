//! The importer, the quantiser, and both against the integer executor. One binary, since each would link everything again.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod beside;
mod fixtures;
mod functions;
mod goals;
mod inputs;
mod models;
mod random;
