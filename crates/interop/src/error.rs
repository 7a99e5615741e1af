//! Why a circuit or a witness of others cannot be used.

use zkslice_circuit::CircuitError;

/// What is wrong with a circuit, its names or a witness.
#[derive(Debug, thiserror::Error)]
pub enum InteropError {
    /// A file is not what it should be.
    #[error("{what}: {reason}")]
    Malformed {
        /// Kind of file.
        what: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// A signal cannot be bound as asked.
    #[error("signal '{signal}': {reason}")]
    Signal {
        /// Its name.
        signal: String,
        /// What is wrong and how to mend it.
        reason: String,
    },
    /// A witness that the circuit refuses.
    #[error("the witness does not satisfy row {row} of the circuit: it is of another circuit, or what it claims is false")]
    Row {
        /// Index of the row.
        row: usize,
    },
    /// A program that gave no witness.
    #[error("witness program `{program}`: {reason}")]
    Program {
        /// The program.
        program: String,
        /// What is wrong.
        reason: String,
        /// The end of what it printed, which may be secret: for whoever ran it, and in no log.
        said: String,
    },
    /// A gadget that refuses its arguments.
    #[error(transparent)]
    Circuit(#[from] CircuitError),
}

impl InteropError {
    pub(crate) fn malformed(what: &'static str, reason: impl Into<String>) -> Self {
        Self::Malformed { what, reason: reason.into() }
    }

    pub(crate) fn signal(signal: &str, reason: impl Into<String>) -> Self {
        Self::Signal { signal: signal.into(), reason: reason.into() }
    }
}
