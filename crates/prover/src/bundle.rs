//! The bundle: everything that one inference needs on chain, as canonical JSON.

use serde::{Deserialize, Serialize};

use crate::error::BundleError;

/// A 32-byte word, big-endian.
pub type Word = [u8; 32];

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
    #[serde(with = "hex_word")]
    pub model: Word,
    /// Context, the first public input of every slice; 0 off chain.
    #[serde(with = "hex_word")]
    pub context: Word,
    /// Owner of private inputs; 0 where there are none.
    #[serde(with = "hex_word")]
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
    Words(#[serde(with = "hex_words")] Vec<Word>),
    /// Private or between slices: its commitment.
    Commitment(#[serde(with = "hex_word")] Word),
}

/// A slice's proof: A (2 words), B (4), C1 (2), C2 (2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SliceProof {
    /// Index of the slice.
    pub slice: usize,
    /// The ten words.
    #[serde(with = "hex_words")]
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
        let mut bytes = serde_json::to_vec_pretty(self).map_err(|e| BundleError::Malformed(e.to_string()))?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// Reads a bundle; accepted only if writing it again gives the same bytes.
    ///
    /// # Errors
    /// [`BundleError`]: not JSON, an unknown field, a newer version, or bytes that are not the canonical ones.
    pub fn from_json(bytes: &[u8]) -> Result<Self, BundleError> {
        #[derive(Deserialize)]
        struct Version {
            version: u32,
        }
        let malformed = |e: serde_json::Error| BundleError::Malformed(e.to_string());
        let Version { version } = serde_json::from_slice(bytes).map_err(malformed)?;
        if version > BUNDLE_VERSION {
            return Err(BundleError::NewerVersion { found: version, known: BUNDLE_VERSION });
        }
        if version != BUNDLE_VERSION {
            return Err(BundleError::Malformed(format!("there is no format version {version}")));
        }
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

/// `0x` and 64 lower-case hexadecimal digits.
pub(crate) mod hex_word {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(crate) fn parse(text: &str) -> Option<super::Word> {
        let mut word = [0; 32];
        hex::decode_to_slice(text.strip_prefix("0x")?, &mut word).ok()?;
        Some(word)
    }

    pub(crate) fn serialize<S: Serializer>(word: &super::Word, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format!("0x{}", hex::encode(word)))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<super::Word, D::Error> {
        let text = String::deserialize(deserializer)?;
        parse(&text).ok_or_else(|| D::Error::custom("expected 0x and 64 hexadecimal digits"))
    }
}

mod hex_words {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    struct One(#[serde(with = "super::hex_word")] super::Word);

    pub(crate) fn serialize<S: Serializer>(words: &[super::Word], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(words.iter().map(|word| One(*word)))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<super::Word>, D::Error> {
        Ok(Vec::<One>::deserialize(deserializer)?.into_iter().map(|One(word)| word).collect())
    }
}
