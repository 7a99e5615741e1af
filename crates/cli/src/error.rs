//! Errors at the command line: what, where, how to mend; and the exit code.

use miette::Diagnostic;
use zkslice_graph::CompileError;
use zkslice_prover::{BundleError, ProverError};
use zkslice_slicer::PackageError;

/// Why a command broke off. Exit code 1 for what failed, 2 for bad usage or input.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("{message}")]
pub(crate) struct CliError {
    message: String,
    code: u8,
}

impl CliError {
    /// Exit code 1.
    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self { message: message.into(), code: 1 }
    }

    /// Exit code 2.
    pub(crate) fn input(message: impl Into<String>) -> Self {
        Self { message: message.into(), code: 2 }
    }

    pub(crate) fn code(&self) -> u8 {
        self.code
    }

    /// The same error, with the file that it is about in front.
    pub(crate) fn in_file(self, path: &std::path::Path) -> Self {
        Self { message: format!("{}: {}", path.display(), self.message), ..self }
    }
}

impl From<CompileError> for CliError {
    fn from(error: CompileError) -> Self {
        match error {
            CompileError::MaxError { .. } => Self::failed(error.to_string()),
            _ => Self::input(error.to_string()),
        }
    }
}

impl From<PackageError> for CliError {
    fn from(error: PackageError) -> Self {
        match &error {
            PackageError::Io { source, .. } if source.kind() != std::io::ErrorKind::NotFound => Self::failed(error.to_string()),
            _ => Self::input(error.to_string()),
        }
    }
}

impl From<ProverError> for CliError {
    fn from(error: ProverError) -> Self {
        match error {
            ProverError::Package(error) => error.into(),
            ProverError::Slice { .. } | ProverError::Task(_) => Self::failed(error.to_string()),
            _ => Self::input(error.to_string()),
        }
    }
}

impl From<BundleError> for CliError {
    fn from(error: BundleError) -> Self {
        match error {
            BundleError::Proof { .. } | BundleError::Partial(_) | BundleError::Model { .. } => Self::failed(error.to_string()),
            _ => Self::input(error.to_string()),
        }
    }
}
