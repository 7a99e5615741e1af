//! What nodes say to each other. One binary, since each would link everything again.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod access;
mod attacks;
mod blobs;
mod gateway;
mod handshake;
mod messages;
mod metrics;
mod network;
mod privacy;
mod pruning;
mod receipts;
mod score;
mod simulation;
mod support;
mod transport;
mod verification;
mod weights;
mod wire;
mod work;
