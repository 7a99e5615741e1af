//! Why nothing was generated.

use std::path::{Path, PathBuf};

use zkslice_groth16::KeyError;
use zkslice_slicer::PackageError;

/// Why nothing was generated.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The package cannot be used: among others, it has no keys, or keys of another circuit.
    #[error(transparent)]
    Package(#[from] PackageError),
    /// A key that a proof can be forged against, or one of a circuit that does not bind its statement.
    #[error("slice {slice}: {source}")]
    UnsafeKey {
        /// The slice.
        slice: usize,
        /// Why.
        source: KeyError,
    },
    /// The key has not as many public inputs as the circuit or the wiring.
    #[error("slice {slice}: the key has {key} public inputs, its {what} {expected}; run `zkslice setup` again")]
    PublicInputs {
        /// The slice.
        slice: usize,
        /// Those of the key.
        key: usize,
        /// What they were compared with.
        what: &'static str,
        /// Those it has.
        expected: usize,
    },
    /// There is no such slice.
    #[error("slice {slice} does not exist, the package has {slices}")]
    NoSuchSlice {
        /// The slice.
        slice: usize,
        /// How many there are.
        slices: usize,
    },
    /// Not a name for a contract.
    #[error("'{name}' cannot name a contract: ASCII letters, digits and underscores only, a letter first, at most 64")]
    Name {
        /// The name.
        name: String,
    },
    /// The output folder is in the way.
    #[error("{}: already exists and is not an earlier export; choose another folder, or give a forge project with --into", path.display())]
    Exists {
        /// The folder.
        path: PathBuf,
    },
    /// Another process exports to the same place.
    #[error("{}: another process is writing it; wait for that, then start again", path.display())]
    Busy {
        /// The folder.
        path: PathBuf,
    },
    /// The output folder has another model's export.
    #[error(
        "{}: it holds the export of model '{name}', {digest}; give this one another name with --name, or another folder, \
         or replace that one with --force",
        path.display()
    )]
    OtherModel {
        /// The folder.
        path: PathBuf,
        /// Name of the model that is there.
        name: String,
        /// Its digest.
        digest: String,
    },
    /// A file of an earlier export was edited.
    #[error("{}: edited since it was exported, and would be lost; move it away or choose another folder", path.display())]
    Edited {
        /// The file.
        path: PathBuf,
    },
    /// What was to be exported into is no forge project.
    #[error("{}: {source}; give the folder of a forge project, or export a project of its own with -o", path.display())]
    NotAProject {
        /// Its `foundry.toml`.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A forge project's settings cannot be read.
    #[error("{}: {source}", path.display())]
    Manifest {
        /// Its `foundry.toml`.
        path: PathBuf,
        /// Why.
        source: Box<toml::de::Error>,
    },
    /// Development keys, for Bittensor.
    #[error(
        "these are development keys, whose contracts deploy on local chains only, and Bittensor's (964, 945) are not local; \
         use keys of a ceremony, or leave --chain-id out"
    )]
    DevKeys,
    /// Not an SPDX expression.
    #[error("'{license}' is no SPDX licence expression, such as MIT or \"MIT OR Apache-2.0\"")]
    License {
        /// What was given.
        license: String,
    },
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A template does not render: a fault of this crate.
    #[error("template: {0}")]
    Template(#[from] tera::Error),
    /// A file does not serialise: a fault of this crate.
    #[error("json: {0}")]
    Json(#[from] serde_json::Error),
}

impl ExportError {
    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self + '_ {
        |source| Self::Io { path: path.into(), source }
    }
}
