//! Values and salts of tensors: what a prover of the next slice needs, and what never goes on chain.

use ark_bn254::Fr;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop};
use zkslice_formats::{Word, check_version, hex, hex0x, json_version};
use zkslice_groth16::{fr_from_word, fr_to_word};

use crate::ProverError;

const VERSION: u32 = 1;

/// Openings of some tensors of a model's wiring. Whoever holds this file sees the activations in it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Openings {
    /// Format version.
    pub version: u32,
    /// One entry per tensor, in wiring order.
    pub tensors: Vec<Option<Opening>>,
}

/// A tensor's integers, and the salt of its commitment if it has one. Zeroized on drop.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
#[serde(deny_unknown_fields)]
pub struct Opening {
    /// Integers (digit − offset).
    pub values: Vec<i64>,
    /// Salt, below r; `None` for a public tensor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub salt: Option<Salt>,
}

/// A salt as a hexadecimal word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Zeroize)]
pub struct Salt(#[serde(with = "hex")] Word);

impl Salt {
    pub(crate) fn new(salt: Fr) -> Self {
        Self(fr_to_word(salt))
    }

    /// As a word, below r.
    pub const fn word(&self) -> Word {
        self.0
    }

    /// From a word.
    ///
    /// # Errors
    /// [`ProverError::Malformed`] for one that is not below r.
    pub fn from_word(word: Word) -> Result<Self, ProverError> {
        Self(word).field().map(Self::new)
    }

    pub(crate) fn field(&self) -> Result<Fr, ProverError> {
        fr_from_word(&self.0, "salt").map_err(|e| ProverError::Malformed { what: "salt".into(), reason: e.to_string() })
    }
}

impl Openings {
    /// Openings of none of `tensors` tensors.
    pub fn empty(tensors: usize) -> Self {
        Self { version: VERSION, tensors: vec![None; tensors] }
    }

    /// As JSON.
    ///
    /// # Errors
    /// Never in practice; the type is the serialiser's.
    pub fn to_json(&self) -> Result<Vec<u8>, ProverError> {
        serde_json::to_vec(self).map_err(|e| ProverError::Malformed { what: "openings".into(), reason: e.to_string() })
    }

    /// Reads a file of openings. `what` names it in errors.
    ///
    /// # Errors
    /// [`ProverError::Malformed`], [`ProverError::Version`].
    pub fn from_json(bytes: &[u8], what: &str) -> Result<Self, ProverError> {
        let malformed = |reason: String| ProverError::Malformed { what: what.into(), reason };
        let no_openings = |e: serde_json::Error| malformed(format!("not a file of openings: {e}"));
        let stated = json_version(bytes).map_err(no_openings)?;
        check_version(stated, VERSION).map_err(|error| ProverError::Version { what: what.into(), error })?;
        serde_json::from_slice(bytes).map_err(no_openings)
    }
}

/// Name of the file, in a folder of openings, of a commitment's opening.
pub fn opening_file(commitment: &Word) -> String {
    format!("{}.json", hex0x(commitment).trim_start_matches("0x"))
}
