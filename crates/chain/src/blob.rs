//! Header of a model's key blob: what a deployer and a relayer need to know of a model.
//!
//! The header's keccak256 is the model's digest, so whoever knows the digest need not trust where the header comes from. Only the
//! header is read here: the registry validates the whole blob when it registers it.

use alloy::primitives::{B256, U256, keccak256};

use crate::ChainError;
use crate::constants::{MAX_SLICES, MODEL_TAG, WORD_BITS};

/// Words of a header before its lists.
const HEADER_WORDS: usize = 7;
/// Words of a tensor's layout.
const TENSOR_WORDS: usize = 6;

/// What a tensor of a model is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TensorKind {
    /// An input given as public words.
    PublicInput,
    /// An input given as a commitment.
    PrivateInput,
    /// An output; outputs are always public words.
    Output,
    /// A tensor between slices, as a commitment.
    Boundary,
}

/// How a tensor is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TensorLayout {
    /// What it is.
    pub kind: TensorKind,
    /// Number of elements.
    pub count: u64,
    /// Bits of one digit.
    pub bits: u64,
}

impl TensorLayout {
    /// Number of packed words.
    pub const fn words(&self) -> u64 {
        self.count.div_ceil(WORD_BITS / self.bits)
    }
}

/// A key blob's header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyBlobHeader {
    /// The model's digest: keccak256 of the header.
    pub digest: B256,
    /// Digest of the α, β, γ that the keys share.
    pub setup_digest: B256,
    /// Whether the keys are development keys.
    pub dev: bool,
    /// Number of slices.
    pub slices: usize,
    /// Slices that every partial coverage must include; 0 where only full coverage is served.
    pub coverage_policy: U256,
    /// Tensors: inputs, outputs, boundaries.
    pub tensors: Vec<TensorLayout>,
}

impl KeyBlobHeader {
    /// Reads the header of a blob.
    ///
    /// # Errors
    /// [`ChainError::MalformedBlob`], also when the header does not hash to `digest`.
    pub fn parse(digest: B256, blob: &[u8]) -> Result<Self, ChainError> {
        let header = Self::read(blob).and_then(|header| match header.digest {
            computed if computed == digest => Ok(header),
            computed => Err(format!("its header hashes to {computed}")),
        });
        header.map_err(|reason| ChainError::MalformedBlob { digest, reason })
    }

    /// Reads the header of a blob that says itself which model it is of.
    ///
    /// # Errors
    /// [`ChainError::MalformedBlob`].
    pub fn of(blob: &[u8]) -> Result<Self, ChainError> {
        Self::read(blob).map_err(|reason| ChainError::MalformedBlob { digest: B256::ZERO, reason })
    }

    /// The model's inputs.
    pub fn inputs(&self) -> impl Iterator<Item = &TensorLayout> {
        self.tensors.iter().filter(|tensor| matches!(tensor.kind, TensorKind::PublicInput | TensorKind::PrivateInput))
    }

    fn read(blob: &[u8]) -> Result<Self, String> {
        if !blob.len().is_multiple_of(32) {
            return Err(format!("its length, {} bytes, is no multiple of 32", blob.len()));
        }
        let mut words = Words { blob, at: 0 };
        let head = words.take(HEADER_WORDS)?;
        if head[0] != U256::from_be_bytes(keccak256(MODEL_TAG).0) {
            return Err("it does not begin with the tag of a key blob of version 3".to_owned());
        }
        let slices = words.count(head[1], "slices")?;
        let tensor_count = words.count(head[2], "tensors")?;
        if !(1..=MAX_SLICES).contains(&slices) {
            return Err(format!("it has {slices} slices, expected 1 to {MAX_SLICES}"));
        }
        let coverage_policy = head[3];
        if coverage_policy >= U256::MAX >> (MAX_SLICES - slices) {
            return Err(format!("coverage policy {coverage_policy:#x} is not of some of its {slices} slices"));
        }
        let setup_digest = B256::from(head[4]);
        let dev = match head[5] {
            flag if flag.is_zero() => false,
            flag if flag == U256::from(1) => true,
            flag => return Err(format!("the dev flag is {flag}, neither 0 nor 1")),
        };
        words.take(slices)?;
        let tensors = (0..tensor_count).map(|index| tensor(index, &words.take(TENSOR_WORDS)?)).collect::<Result<Vec<_>, String>>()?;
        for _ in 0..slices {
            for _ in 0..2 {
                // Slots, then word groups.
                let count = words.take(1)?[0];
                let count = words.count(count, "slots or word groups")?;
                words.take(count)?;
            }
        }
        let digest = keccak256(&blob[..32 * words.at]);
        Ok(Self { digest, setup_digest, dev, slices, coverage_policy, tensors })
    }
}

fn tensor(index: usize, words: &[U256]) -> Result<TensorLayout, String> {
    let small = |position: usize, name: &str, most: u64| {
        u64::try_from(words[position])
            .ok()
            .filter(|value| (1..=most).contains(value))
            .ok_or_else(|| format!("tensor {index} has {name} {}, out of range", words[position]))
    };
    let kind = match small(0, "kind", 4)? {
        1 => TensorKind::PublicInput,
        2 => TensorKind::PrivateInput,
        3 => TensorKind::Output,
        _ => TensorKind::Boundary,
    };
    Ok(TensorLayout { kind, count: small(1, "count", u32::MAX.into())?, bits: small(2, "bits", WORD_BITS)? })
}

struct Words<'a> {
    blob: &'a [u8],
    at: usize,
}

impl Words<'_> {
    fn take(&mut self, count: usize) -> Result<Vec<U256>, String> {
        let available = self.blob.len() / 32 - self.at;
        if count > available {
            return Err(format!("it ends within its header, at word {}", self.at + available));
        }
        let bytes = &self.blob[32 * self.at..32 * (self.at + count)];
        self.at += count;
        Ok(bytes.chunks_exact(32).map(U256::from_be_slice).collect())
    }

    /// A count of things that take at least a word each, so that nothing is allocated for what cannot be there.
    fn count(&self, value: U256, what: &str) -> Result<usize, String> {
        usize::try_from(value)
            .ok()
            .filter(|count| *count <= self.blob.len() / 32)
            .ok_or_else(|| format!("it announces {value} {what}, more than it has words"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The key blob of a simulated model, written by code that shares nothing with this crate.
    fn fixture(name: &str) -> (B256, B256, Vec<u8>) {
        let path = format!("{}/../../tests/solidity/fixtures/{name}.json", env!("CARGO_MANIFEST_DIR"));
        let value: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let text = |key: &str| value[key].as_str().unwrap().to_owned();
        (text("modelDigest").parse().unwrap(), text("setupDigest").parse().unwrap(), hex::decode(&text("blob")[2..]).unwrap())
    }

    #[test]
    fn reads_simulated_models() {
        use TensorKind::{Boundary, Output, PrivateInput, PublicInput};
        let (digest, setup, blob) = fixture("mixed");
        let header = KeyBlobHeader::parse(digest, &blob).unwrap();
        assert_eq!((header.setup_digest, header.dev, header.slices), (setup, true, 3));
        let kinds: Vec<_> = header.tensors.iter().map(|t| t.kind).collect();
        assert_eq!(kinds, [PublicInput, PrivateInput, PublicInput, Output, Output, Boundary, Boundary]);
        assert_eq!(header.inputs().count(), 3);
        assert_eq!(header.tensors[0].words(), 2);
        let (digest, _, blob) = fixture("single");
        assert_eq!(KeyBlobHeader::parse(digest, &blob).unwrap().tensors[0].words(), 26);
        assert_eq!(header.coverage_policy, U256::ZERO);
    }

    #[test]
    fn coverage_policies_are_of_some_slices() {
        let (_, _, blob) = fixture("mixed");
        let with = |policy: U256| {
            let mut changed = blob.clone();
            changed[96..128].copy_from_slice(&policy.to_be_bytes::<32>());
            KeyBlobHeader::of(&changed).map(|header| header.coverage_policy).map_err(|e| e.to_string())
        };
        for policy in [0, 1, 5, 6] {
            assert_eq!(with(U256::from(policy)).unwrap(), U256::from(policy));
        }
        for policy in [U256::from(7), U256::from(8), U256::MAX] {
            assert!(with(policy).unwrap_err().contains("coverage policy"));
        }
    }

    #[test]
    fn every_changed_or_missing_byte_of_the_header_is_noticed() {
        let (digest, _, blob) = fixture("chain");
        let header_bytes = 32 * (7 + 3 + 4 * 6 + (1 + 2 + 1 + 1) + (1 + 3 + 1) + (1 + 2 + 1 + 1));
        for at in 0..header_bytes {
            let mut changed = blob.clone();
            changed[at] ^= 1;
            assert!(matches!(KeyBlobHeader::parse(digest, &changed), Err(ChainError::MalformedBlob { .. })), "byte {at}");
            assert!(KeyBlobHeader::parse(digest, &blob[..at]).is_err());
        }
        KeyBlobHeader::parse(digest, &blob[..header_bytes]).unwrap();
    }

    proptest::proptest! {
        #[test]
        fn parsing_never_panics(words: Vec<[u8; 32]>, small: Vec<u8>, tagged: bool) {
            let mut blob = if tagged { keccak256(MODEL_TAG).to_vec() } else { Vec::new() };
            for value in small {
                blob.extend(B256::with_last_byte(value));
            }
            blob.extend(words.concat());
            let _ = KeyBlobHeader::parse(B256::ZERO, &blob);
            let _ = KeyBlobHeader::of(&blob);
        }
    }
}
