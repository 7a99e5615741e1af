//! A model package and an input become a bundle of slice proofs.
//!
//! ```text
//! bundle     what goes on chain, as canonical JSON
//! openings   what does not: values and salts of committed tensors
//! inference  inputs → all tensors → slice proofs → bundle
//! verifier   bundle → outputs, or why not
//! source     where relayers get bundles from; the prover in this process
//! ```

mod bundle;
mod error;
mod inference;
mod openings;
mod source;
mod verifier;

pub use bundle::{BUNDLE_VERSION, Bound, Bundle, SliceProof};
pub use error::{BundleError, ProverError};
pub use inference::{Inference, Proven, encode_request, execute, execute_slice, pack, prove};
pub use openings::{Opening, Openings, Salt, opening_file};
pub use source::{BundleSource, Job, JobInput, LocalProver, WitnessSource};
pub use verifier::{Verifier, unpack, unpack_outputs};
pub use zkslice_formats::Word;
