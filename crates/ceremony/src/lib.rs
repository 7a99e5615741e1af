//! Keys that nobody holds the trapdoors of: powers of tau from outside, and a second phase that anyone can verify.
//!
//! ```text
//! ptau      `.ptau` files of snarkjs: their points, who contributed, whether that holds
//! known     published files, by their hashes
//! powers    powers of tau, checked, as packages need them
//! initial   the key that a circuit begins with
//! contribution  secrets, proofs that they were known, and the transcript's hashes
//! phase2    a ceremony: begun, contributed to, closed, verified, finished
//! zkey      snarkjs' keys of plain circuits: their own second phase, and proofs
//! coordinator  who contributes next, and what they hand in
//! snarkjs   what snarkjs draws from a seed
//! blake     BLAKE2b from a state that a file holds
//! multiply  many products that have a factor in common
//! points    points in files, read with every check
//! ```

#[cfg(test)]
extern crate self as zkslice_ceremony;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod attacks;
mod blake;
mod contribution;
mod coordinator;
mod error;
mod initial;
mod known;
mod multiply;
mod phase2;
mod points;
mod powers;
mod ptau;
#[cfg(test)]
mod small;
mod snarkjs;
mod zkey;

pub use contribution::{Beacon, Contribution, Part};
pub use coordinator::{Coordinator, HandedIn, Place};
pub use error::CeremonyError;
pub use phase2::{Attestation, Ceremony, Subject};
pub use powers::{Domain, Powers};
pub use ptau::PowersContribution;
pub use zkey::{Zkey, ZkeyContribution};
