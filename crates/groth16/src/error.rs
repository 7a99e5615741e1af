//! Errors of keys, provers and verifiers.

use std::path::PathBuf;

use zkslice_circuit::CircuitError;
use zkslice_formats::VersionError;

/// A key that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file that is none of another tool's.
    #[error("no {what} of {tool}: {reason}")]
    Foreign {
        /// The tool.
        tool: &'static str,
        /// What the file should be.
        what: &'static str,
        /// Reason.
        reason: String,
    },
    /// Bytes that are not a key of this format.
    #[error("{what} is not a valid key: {reason}; run `zkslice setup` again")]
    Malformed {
        /// File or field.
        what: String,
        /// What is wrong.
        reason: String,
    },
    /// A format version that is not read.
    #[error("{what} {error}{}", if let VersionError::Newer { .. } = error { "" } else { "; run `zkslice setup` again" })]
    Version {
        /// File.
        what: String,
        /// Why.
        error: VersionError,
    },
    /// Digest mismatch.
    #[error("{what} does not match its digest: the file has changed or is damaged; run `zkslice setup` again")]
    Digest {
        /// File and section.
        what: String,
    },
    /// Trapdoors that coincide, within a key or across the keys of a setup.
    #[error("unsafe key: {0}; run the setup again")]
    Unsafe(String),
    /// A circuit whose keys would bind less than their statement.
    #[error("the circuit does not bind its statement: {0}; compile the package again")]
    Rows(String),
    /// ark-groth16 or ark-relations refused.
    #[error("{0}")]
    Arkworks(String),
}

impl KeyError {
    /// The same error, of a key within a file.
    pub(crate) fn in_file(self, file: &str) -> Self {
        match self {
            Self::Malformed { what, reason } => Self::Malformed { what: format!("{file}: {what}"), reason },
            Self::Unsafe(reason) => Self::Unsafe(format!("{file}: {reason}")),
            other => other,
        }
    }

    pub(crate) fn unblinded(file: &str) -> Self {
        Self::Unsafe(format!(
            "{file}: the points that blind a proof are not those of its verifying key, so proofs would give away what they commit to"
        ))
    }
}

/// Why no proof came out.
#[derive(Debug, thiserror::Error)]
pub enum ProveError {
    /// Witness and key belong to different circuits.
    #[error("the key is for another circuit: {0}; run `zkslice setup` for this package")]
    WrongKey(String),
    /// The key's file failed.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// There is no witness.
    #[error(transparent)]
    Circuit(#[from] CircuitError),
    /// The finished proof does not verify when its own words are read back: the witness does not satisfy the circuit, or the key is
    /// damaged. It is not released.
    #[error("the proof does not verify and was withheld: the witness does not satisfy the circuit, or the key file is damaged")]
    SelfCheck,
    /// The operating system gave no randomness.
    #[error("no randomness from the operating system: {0}")]
    Randomness(String),
}

/// Why a proof is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// Count of public inputs or words.
    #[error("expected {expected} {what}, got {got}")]
    Arity {
        /// What was counted.
        what: &'static str,
        /// What the key says.
        expected: usize,
        /// What was given.
        got: usize,
    },
    /// A word with bits beyond its digits.
    #[error("public word {index} is not below 2^{bits}")]
    Word {
        /// Which word.
        index: usize,
        /// Its width.
        bits: u32,
    },
    /// A commitment element missing or superfluous for the key's form.
    #[error("the proof has not the form of the key")]
    Form,
    /// A coordinate or scalar that is not reduced, or a point off its curve or subgroup.
    #[error("{0} is not a canonical, valid encoding")]
    Encoding(String),
    /// A key under which proofs can be forged.
    #[error("{0}")]
    UnsafeKey(String),
    /// The pairing equation does not hold.
    #[error("the proof is not valid for this statement")]
    Invalid,
}
