//! Errors of provers and bundles.

use zkslice_circuit::CircuitError;
use zkslice_formats::VersionError;
use zkslice_graph::ExecuteError;
use zkslice_groth16::{ProveError, VerifyError};
use zkslice_interop::InteropError;
use zkslice_slicer::PackageError;

/// Why there is no bundle.
#[derive(Debug, thiserror::Error)]
pub enum ProverError {
    /// The package cannot be used.
    #[error(transparent)]
    Package(#[from] PackageError),
    /// The input leaves the range in which the model can be proven.
    #[error("{0}; the input cannot be proven with this package")]
    Execute(#[from] ExecuteError),
    /// A circuit has no witness.
    #[error(transparent)]
    Circuit(#[from] CircuitError),
    /// A circuit of others, or its witness, is refused.
    #[error(transparent)]
    Interop(#[from] InteropError),
    /// A circuit of others has no executor that would compute its wires.
    #[error("the package holds a circuit, which is proven from a witness: `zkslice prove --witness` takes one, a relayer what makes them")]
    NoWitness,
    /// A slice has no proof.
    #[error("slice {slice}: {source}")]
    Slice {
        /// Index.
        slice: usize,
        /// Why.
        source: ProveError,
    },
    /// A tensor that a slice reads is not there.
    #[error("slice {slice} reads tensor '{tensor}', which was not given: pass the openings of the slice before with --boundary")]
    Missing {
        /// The slice.
        slice: usize,
        /// The tensor.
        tensor: String,
    },
    /// An input that is not of the model's form.
    #[error("input '{input}': {reason}")]
    Input {
        /// Name.
        input: String,
        /// What is wrong.
        reason: String,
    },
    /// The opening of a commitment is not known here.
    #[error("no opening of commitment {commitment} is known here: put the owner's opening file into the openings folder")]
    Opening {
        /// The commitment.
        commitment: String,
    },
    /// The source does not serve the model.
    #[error("no package with model digest {model} is loaded")]
    Model {
        /// The digest.
        model: String,
    },
    /// A file that is not an openings file.
    #[error("{what}: {reason}")]
    Malformed {
        /// File or field.
        what: String,
        /// What is wrong.
        reason: String,
    },
    /// A file of openings with a format version that is not read.
    #[error("{what} {error}")]
    Version {
        /// The file.
        what: String,
        /// Why.
        error: VersionError,
    },
    /// The task that proved was lost.
    #[error("the proving task stopped: {0}")]
    Task(String),
}

impl ProverError {
    /// Whether another try with the same statement must fail too.
    pub fn is_permanent(&self) -> bool {
        match self {
            Self::Interop(InteropError::Program { .. }) => false,
            Self::Execute(_) | Self::Circuit(_) | Self::Interop(_) | Self::Missing { .. } | Self::Input { .. } => true,
            Self::NoWitness
            | Self::Package(_)
            | Self::Slice { .. }
            | Self::Opening { .. }
            | Self::Model { .. }
            | Self::Malformed { .. }
            | Self::Version { .. }
            | Self::Task(_) => false,
        }
    }
}

/// Why a bundle is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    /// Not the JSON of a bundle.
    #[error("not a bundle: {0}")]
    Malformed(String),
    /// A format version that is not read.
    #[error("the bundle {0}")]
    Version(#[from] VersionError),
    /// The bytes are not the ones that zkslice writes.
    #[error("the bundle is not in canonical form: its bytes differ from what zkslice writes for the same content")]
    NotCanonical,
    /// For another model.
    #[error("the bundle is for model {found}, the package is {expected}")]
    Model {
        /// The package's.
        expected: String,
        /// The bundle's.
        found: String,
    },
    /// Slices without a proof.
    #[error("partial bundle: slices {0:?} have no proof; a subset proves nothing about input to output")]
    Partial(Vec<usize>),
    /// Bundles that are not of one inference.
    #[error("the bundles cannot be joined: {0}")]
    Apart(String),
    /// Slices out of order, twice, or unknown.
    #[error("the slice proofs are not those of slices 0, 1, … in order")]
    Slices,
    /// A tensor bound in another way than the wiring says.
    #[error("tensor '{tensor}': {reason}")]
    Tensor {
        /// The tensor.
        tensor: String,
        /// What is wrong.
        reason: String,
    },
    /// A word that is not below r.
    #[error("{0} is not a field element")]
    Field(&'static str),
    /// A slice's proof fails.
    #[error("slice {slice}: {source}")]
    Proof {
        /// Index.
        slice: usize,
        /// Why.
        source: VerifyError,
    },
}
