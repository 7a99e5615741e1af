//! Watches one oracle, gets bundles from a [`BundleSource`](zkslice_prover::BundleSource), and submits them durably.
//!
//! ```text
//!            fee too small, model unknown                        mined and reverted, or nonce lost
//!      ┌──────────────▶ skipped                          ┌───────────────────────────────┐
//!      │                                                 ▼                               │
//!    seen ───────── bundle ─────────────────────────▶ proved ──── written down, sent ─▶ submitted ── confirmed ─▶ done
//!      │                                                 │                               │
//!      └───────────── taken by others, too late ─────────┴──────▶ dropped ◀──────────────┘
//!      └───────────── can never pass ────────────────────┴──────▶ dead
//! ```
//!
//! Every state is in SQLite, and nothing that a restart needs is in memory. A signed transaction is written down before it is sent;
//! after a kill the same bytes are sent again, and there is never a second transaction for a request while the first may still
//! land. So no request is lost and none is paid for twice.
//!
//! What it does not do yet: replace a transaction that is stuck below the market's price, undo what was confirmed when the chain
//! reorganises deeper than `confirmations`, use several RPC endpoints or chains.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod config;
mod constants;
mod error;
mod relayer;
mod state;
mod store;

pub use config::{CircuitConfig, Config};
pub use error::RelayError;
pub use relayer::{RelayEvent, Relayer, Waiting, cancel_on_signals};
pub use state::{AttemptState, State};
pub use store::RequestSummary;
