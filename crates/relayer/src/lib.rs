//! Watches an oracle, gets bundles, submits them durably.
