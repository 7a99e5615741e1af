//! Errors at the command line: what, where, how to mend; and the exit code.

use miette::Diagnostic;
use zkslice_chain::ChainError;
use zkslice_compiler::CompileError;
use zkslice_groth16::KeyError;
use zkslice_inputs::ReadError;
use zkslice_interop::InteropError;
use zkslice_prover::{BundleError, ProverError};
use zkslice_relayer::RelayError;
use zkslice_slicer::PackageError;
use zkslice_solidity::ExportError;
use zkslice_subnet::{ClientError, ConfigError, DaemonError, MinerError};

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
            CompileError::Error { .. } | CompileError::Agreement { .. } => Self::failed(error.to_string()),
            _ => Self::input(error.to_string()),
        }
    }
}

impl From<PackageError> for CliError {
    fn from(error: PackageError) -> Self {
        match &error {
            PackageError::Io { path, source } | PackageError::Key(KeyError::Io { path, source })
                if source.kind() == std::io::ErrorKind::NotFound =>
            {
                let mend = match path.extension().and_then(|e| e.to_str()) {
                    Some("key") => "the key is missing; run `zkslice setup` again",
                    Some("json") => "there is no package here; make one with `zkslice compile model.onnx --samples samples.json -o …`",
                    _ => "the file is missing; compile the package again",
                };
                Self::input(format!("{error}: {mend}"))
            }
            PackageError::Io { .. }
            | PackageError::Key(KeyError::Io { .. })
            | PackageError::Busy { .. }
            | PackageError::KeysReplaced { .. } => Self::failed(error.to_string()),
            _ => Self::input(error.to_string()),
        }
    }
}

impl From<ReadError> for CliError {
    fn from(error: ReadError) -> Self {
        Self::input(error.to_string())
    }
}

impl From<ProverError> for CliError {
    fn from(error: ProverError) -> Self {
        match error {
            ProverError::Package(error) => error.into(),
            // Whoever runs the command may see what the program printed.
            ProverError::Interop(InteropError::Program { ref said, .. }) if !said.is_empty() => {
                Self::failed(format!("{error}; it said: {said}"))
            }
            ProverError::Interop(InteropError::Program { .. }) => Self::failed(error.to_string()),
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

impl From<ChainError> for CliError {
    fn from(error: ChainError) -> Self {
        let input = matches!(
            error,
            ChainError::KeyMode { .. }
                | ChainError::KeyUnreadable { .. }
                | ChainError::KeyMalformed { .. }
                | ChainError::InvalidUrl { .. }
                | ChainError::MalformedBlob { .. }
                | ChainError::DevKeys { .. }
                | ChainError::Parameters { .. }
        );
        if input { Self::input(error.to_string()) } else { Self::failed(error.to_string()) }
    }
}

impl From<DaemonError> for CliError {
    fn from(error: DaemonError) -> Self {
        match error {
            DaemonError::Chain(error) => error.into(),
            DaemonError::Package(error) => error.into(),
            DaemonError::Config(_) | DaemonError::Models { .. } | DaemonError::Employer(_) | DaemonError::Listen(..) => {
                Self::input(error.to_string())
            }
            _ => Self::failed(error.to_string()),
        }
    }
}

impl From<ConfigError> for CliError {
    fn from(error: ConfigError) -> Self {
        Self::input(error.to_string())
    }
}

impl From<MinerError> for CliError {
    fn from(error: MinerError) -> Self {
        match error {
            MinerError::Package(error) => error.into(),
            other => Self::failed(other.to_string()),
        }
    }
}

impl From<ClientError> for CliError {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Chain(error) => error.into(),
            other => Self::failed(other.to_string()),
        }
    }
}

impl From<RelayError> for CliError {
    fn from(error: RelayError) -> Self {
        match error {
            RelayError::Config { .. } | RelayError::ConfigNewer { .. } => Self::input(error.to_string()),
            _ => Self::failed(error.to_string()),
        }
    }
}

impl From<ExportError> for CliError {
    fn from(error: ExportError) -> Self {
        match error {
            ExportError::NotAProject { .. }
            | ExportError::Manifest { .. }
            | ExportError::License { .. }
            | ExportError::Name { .. }
            | ExportError::DevKeys => Self::input(error.to_string()),
            _ => Self::failed(error.to_string()),
        }
    }
}
