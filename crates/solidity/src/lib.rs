//! Solidity verifiers and model key blobs from templates.
//!
//! [`export`] turns a package with keys into a forge project; [`slice_verifier`] gives one contract of it. The templates
//! are in `templates/`, and what they give for each form of key, and of one for Bittensor, is committed under `tests/golden`.
//!
//! What is generated refuses what cannot be right: keys with coinciding trapdoors or points at infinity, keys for another
//! circuit, public inputs that no row of the circuit pins. It does not know whether a setup was honest; it only keeps
//! development keys, which say so themselves, off public chains.

mod error;
mod export;
mod fixture;
mod names;
mod verifier;

pub use error::ExportError;
pub use export::{
    DEFAULT_LICENSE, ExportOptions, Exported, KeyBlobIndex, Layout, export, export_with, folder_in, slice_verifier, verifier_name,
};
pub use fixture::{FIXTURE_MARK, Fixture, fixture, fixture_name};
pub use names::type_name;
pub use verifier::SliceVerifier;
