//! Solidity verifiers and model key blobs from templates.
