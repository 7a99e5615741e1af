//! Groth16 over BN254 with one commitment round: setup, prove, verify, key and proof formats.
//!
//! A circuit with a challenge (lookups or public words) is proven in the separate-trapdoor form of MIRAGE (eprint
//! 2020/278): proof A, B, C1, C2; private wires that precede the challenge over δ1, the rest over δ2; five pairings. A
//! circuit without one is plain Groth16, and ark-groth16's. `docs/proof-system.md` has the equations and the argument.
//!
//! ```text
//! setup      toxic waste → keys
//! key        verifying key: record, hash, checks; delta distinctness over a setup
//! key_file   proving key: sections on disk, memory-mapped, with digests
//! rows       what a circuit's matrices must have
//! prove      witness → proof
//! msm        multi-scalar multiplications: any scalars, small ones, table entries
//! verify     one proof
//! batch      many proofs of one key together
//! challenge  the bytes that χ is hashed from
//! plain      circuits without a challenge, by ark-groth16
//! raw        points as they lie in key files
//! points     32-byte words of points, as EIP-196 and EIP-197 have them
//! snarkjs    JSON of plain keys and proofs
//! gnark      binary files of plain keys and proofs
//! ```

#[cfg(test)]
mod attacks;
mod batch;
mod challenge;
mod error;
pub mod gnark;
mod key;
mod key_file;
mod msm;
mod plain;
mod points;
mod prove;
pub mod raw;
mod rows;
mod setup;
pub mod snarkjs;
mod verify;

pub use batch::verify_batch;
pub use challenge::{challenge, fingerprint, to_field};
pub use error::{KeyError, ProveError, VerifyError};
pub use key::{Form, VerifyingKey, WordGroup, check_deltas};
pub use key_file::{KeyPoints, ProvingKey};
pub use msm::{full, sparse};
pub use points::{fr_from_word, fr_to_word, g1_from_words, g1_to_words, g2_from_words, g2_to_words};
pub use prove::{Proof, prove};
pub use rows::check_rows;
pub use setup::Setup;
pub use verify::{Statement, verify};
