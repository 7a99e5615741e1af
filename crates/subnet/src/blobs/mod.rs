//! Packages with their keys over HTTP: from validators, mirrors and other miners, in chunks that are checked on arrival.
//!
//! Nobody who serves is trusted. What ties what:
//!
//! ```text
//! model digest    what the miner works for: names tensors, wiring and the hash of each slice's verifying key (the key blob's header)
//! verifying key   by its hash; names circuit and setup, so that a proof which it accepts is one, whatever made it
//! keys.json       says the same digest, or is refused; holds the digest of each proving key's header, which holds those of its sections
//! proving key     its header has its verifying key's hash; a proof is made with it, on random values, before anything is accepted with it
//! graph.bin       by its hash in manifest.json; a graph of something else makes no proof that the verifying key accepts
//! file            by its SHA-256, and each chunk of it by its own, in the list of files
//! ```
//!
//! The list is a validator's word, which the rest makes good: a list that lies costs bytes within the quota, and its model is not worked for.
//! The prover verifies every proof before it leaves, so that what a bad key makes stays here.

mod fetch;
mod listing;
mod shelf;

pub use fetch::{Limits, Progress, Sources, Store, models_of};
pub use listing::{CHUNK, Listed, Listing, Sha};
pub use shelf::Shelf;
pub(crate) use shelf::{Held, pump};
