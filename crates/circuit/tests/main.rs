//! Gadgets, and the adversaries who move their wires.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod gadgets;
