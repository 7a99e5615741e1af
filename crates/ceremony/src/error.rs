//! Errors of a ceremony.

use std::path::{Path, PathBuf};

use zkslice_formats::{SectionsError, VersionError};
use zkslice_groth16::KeyError;

/// Why a file of a ceremony is not taken.
#[derive(Debug, thiserror::Error)]
pub enum CeremonyError {
    /// The file could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A format version that is not read.
    #[error("{file} {error}")]
    Version {
        /// The file.
        file: String,
        /// Why.
        error: VersionError,
    },
    /// Bytes that are not of the format, or that have changed since they were written.
    #[error("{file} is damaged or no such file: {reason}")]
    Malformed {
        /// The file.
        file: String,
        /// What is wrong.
        reason: String,
    },
    /// Powers of tau that are not what they say, or not enough.
    #[error("{file}: these powers of tau cannot be used: {reason}")]
    Powers {
        /// The file.
        file: String,
        /// What is wrong, and what would do.
        reason: String,
    },
    /// A ceremony that does not verify.
    #[error("the ceremony does not verify: {0}")]
    Invalid(String),
    /// What was asked for cannot be.
    #[error("{0}")]
    Refused(String),
    /// A circuit or a key.
    #[error(transparent)]
    Key(#[from] KeyError),
}

impl CeremonyError {
    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self + '_ {
        move |source| Self::Io { path: path.into(), source }
    }

    pub(crate) fn in_file(path: &Path) -> impl FnOnce(SectionsError) -> Self + '_ {
        move |error| match error {
            SectionsError::Io(source) => Self::Io { path: path.into(), source },
            SectionsError::Version(error) => Self::Version { file: path.display().to_string(), error },
            error => Self::Malformed { file: path.display().to_string(), reason: error.to_string() },
        }
    }
}
