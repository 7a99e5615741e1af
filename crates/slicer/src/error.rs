//! Errors of packages.

use std::path::{Path, PathBuf};

use zkslice_circuit::CircuitError;
use zkslice_formats::VersionError;
use zkslice_graph::GraphError;
use zkslice_groth16::KeyError;
use zkslice_interop::InteropError;

/// A package that cannot be made or used.
#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file is not what it should be.
    #[error("{}: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong and how to mend it.
        reason: String,
    },
    /// A file has changed since it was written.
    #[error("{} does not match its digest: the file has changed; compile the package again, or for a key run `zkslice setup`", path.display())]
    Digest {
        /// The file.
        path: PathBuf,
    },
    /// A format version that is not read.
    #[error(
        "{} {error}{}", path.display(),
        if let VersionError::Older { .. } = error { ": make it again, with zkslice compile or zkslice setup --force" } else { "" }
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// Why.
        error: VersionError,
    },
    /// The coverage policy is none of this model.
    #[error("{0}")]
    CoveragePolicy(String),
    /// The package has no keys.
    #[error("{}: the package has no keys; run `zkslice setup {}`", path.display(), path.display())]
    NoKeys {
        /// The package.
        path: PathBuf,
    },
    /// The package has keys, which would be lost.
    #[error(
        "{}: it holds the keys of model {model}, which would be lost, and with them every proof for what was deployed with it; \
         choose another folder, or --force to lose them",
        path.display()
    )]
    HasKeys {
        /// The package.
        path: PathBuf,
        /// The model's id.
        model: String,
    },
    /// Another process writes the package.
    #[error("{}: another zkslice is writing this package; run this again when it is done", path.display())]
    Busy {
        /// The package.
        path: PathBuf,
    },
    /// The keys that were being used are gone.
    #[error("{}: its keys were replaced meanwhile, by another `zkslice setup`; run this again", path.display())]
    KeysReplaced {
        /// The package.
        path: PathBuf,
    },
    /// The graph cannot be cut as asked.
    #[error("cannot cut into {wanted} slices: the graph allows at most {possible}; ask for fewer")]
    Slices {
        /// Slices asked for.
        wanted: usize,
        /// Most that are possible.
        possible: usize,
    },
    /// One slice would exceed the limit whatever the cut.
    #[error(
        "no cut keeps every slice at or below {limit} constraints: node `{node}` stands in the way, in parts too; \
         raise --max-constraints, {smallest} would do"
    )]
    TooLarge {
        /// The limit.
        limit: usize,
        /// A limit that would do; not much less would.
        smallest: usize,
        /// The node that fits no slice, behind those that do.
        node: String,
    },
    /// The output folder is in the way.
    #[error("{}: already exists and is not an earlier package or part of one; choose another folder, or move it away", path.display())]
    Exists {
        /// The folder.
        path: PathBuf,
    },
    /// A graph that is not sound.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// A slice that has no circuit.
    #[error(transparent)]
    Circuit(#[from] CircuitError),
    /// A circuit of others that cannot be used.
    #[error(transparent)]
    Interop(#[from] InteropError),
    /// A key that cannot be made or used.
    #[error(transparent)]
    Key(#[from] KeyError),
}

impl PackageError {
    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self + '_ {
        |source| Self::Io { path: path.into(), source }
    }

    pub(crate) fn malformed(path: &Path, reason: impl std::fmt::Display) -> Self {
        Self::Malformed { path: path.into(), reason: reason.to_string() }
    }
}
