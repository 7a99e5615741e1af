//! The bundle: everything that one inference needs on chain, as canonical JSON.

use serde::{Deserialize, Serialize};
use zkslice_formats::{Word, check_version, hex, json_version, to_json};

use crate::error::BundleError;

/// Format version of bundles.
pub const BUNDLE_VERSION: u32 = 1;

/// Slice proofs with the statement that they share. Holds no floating-point number and no salt.
///
/// A bundle is *complete* when every slice has a proof; only complete bundles are worth anything on chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bundle {
    /// [`BUNDLE_VERSION`].
    pub version: u32,
    /// Model digest.
    #[serde(with = "hex")]
    pub model: Word,
    /// Context, the first public input of every slice; 0 off chain.
    #[serde(with = "hex")]
    pub context: Word,
    /// Owner of private inputs; 0 where there are none.
    #[serde(with = "hex")]
    pub owner: Word,
    /// How each tensor of the model's wiring is bound, in its order; `None` where no slice of this bundle touches it.
    pub tensors: Vec<Option<Bound>>,
    /// Proofs, slices strictly increasing.
    pub proofs: Vec<SliceProof>,
}

/// How a tensor is bound.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Bound {
    /// Public: its packed words.
    Words(#[serde(with = "hex::list")] Vec<Word>),
    /// Private or between slices: its commitment.
    Commitment(#[serde(with = "hex")] Word),
}

/// A slice's proof: A (2 words), B (4), C1 (2), C2 (2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SliceProof {
    /// Index of the slice.
    pub slice: usize,
    /// The ten words.
    #[serde(with = "hex::list")]
    pub proof: Vec<Word>,
}

impl Bundle {
    /// Takes in the proofs of another bundle of the same inference. What they prove is for a verifier to say.
    ///
    /// # Errors
    /// [`BundleError::Apart`] where they differ in model, context, owner or a tensor that both bind, or prove one slice twice; this
    /// bundle then stays as it was.
    pub fn join(&mut self, other: Bundle) -> Result<(), BundleError> {
        let apart = |reason: String| Err(BundleError::Apart(reason));
        let shared = [("model", self.model, other.model), ("context", self.context, other.context), ("owner", self.owner, other.owner)];
        if let Some((what, ..)) = shared.iter().find(|(_, a, b)| a != b) {
            return apart(format!("their {what} differs"));
        }
        if self.tensors.len() != other.tensors.len() {
            return apart("their numbers of tensors differ".into());
        }
        let differs = |(a, b): (&Option<Bound>, &Option<Bound>)| a.is_some() && b.is_some() && a != b;
        if let Some(tensor) = self.tensors.iter().zip(&other.tensors).position(differs) {
            return apart(format!("tensor {tensor} differs: pass each slice the openings of the one before it"));
        }
        if let Some(twice) = other.proofs.iter().find(|proof| self.proofs.iter().any(|own| own.slice == proof.slice)) {
            return apart(format!("slice {} is proven twice", twice.slice));
        }
        for (own, others) in self.tensors.iter_mut().zip(other.tensors) {
            *own = own.take().or(others);
        }
        self.proofs.extend(other.proofs);
        self.proofs.sort_by_key(|proof| proof.slice);
        Ok(())
    }

    /// Canonical bytes.
    ///
    /// # Errors
    /// Never for a bundle in memory; the type is the serialiser's.
    pub fn to_json(&self) -> Result<Vec<u8>, BundleError> {
        to_json(self).map_err(|e| BundleError::Malformed(e.to_string()))
    }

    /// Reads a bundle; accepted only if writing it again gives the same bytes.
    ///
    /// # Errors
    /// [`BundleError`]: not JSON, an unknown field, a newer version, or bytes that are not the canonical ones.
    pub fn from_json(bytes: &[u8]) -> Result<Self, BundleError> {
        let malformed = |e: serde_json::Error| BundleError::Malformed(e.to_string());
        check_version(json_version(bytes).map_err(malformed)?, BUNDLE_VERSION)?;
        let bundle: Self = serde_json::from_slice(bytes).map_err(malformed)?;
        if bundle.to_json()? != bytes {
            return Err(BundleError::NotCanonical);
        }
        Ok(bundle)
    }

    /// The words argument of the contracts: public tensors' words, in wiring order.
    pub fn words(&self) -> Vec<Word> {
        self.tensors.iter().flatten().filter_map(|b| if let Bound::Words(w) = b { Some(w) } else { None }).flatten().copied().collect()
    }

    /// The commitments argument of the contracts, in wiring order.
    pub fn commitments(&self) -> Vec<Word> {
        self.tensors.iter().flatten().filter_map(|b| if let Bound::Commitment(c) = b { Some(*c) } else { None }).collect()
    }

    /// The proofs argument of the contracts: ten words a slice.
    pub fn proof_words(&self) -> Vec<Word> {
        self.proofs.iter().flat_map(|p| p.proof.iter().copied()).collect()
    }
}
