//! What a validator is made of. So far: the verification of every proof.

mod verification;

pub use verification::{Counts, Key, Stopped, Verification};
