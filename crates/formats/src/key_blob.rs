//! The key blob's header, written and read: what a deployer and a relayer need to know of a model.
//!
//! The model digest, its id, is keccak256 of the header, so whoever knows the digest need not trust where a header comes from. The
//! records of the model's verifying keys follow it, whose hashes it holds.
//!
//! ```text
//! header   tag, S slices, T tensors, coverage policy (0 = full), setup digest, dev flag, layout digest,
//!          S × vkHash,
//!          T × (kind, count, bits, offset, scale, decimals),
//!          for each slice: p, p × slot, G, G × tensor
//! slot     role·2^32 + tensor: role 1 context, 2 owner, 3 commitment read, 4 commitment written
//! ```
//!
//! All 32-byte words. Slot order is that of the circuit's public inputs. The layout digest binds what the circuits do not know and a
//! user of the model relies on: names and shapes. What is computed, the graphs, is bound by the verifying keys.
//!
//! The contracts' side is `contracts/libraries/KeyBlob.sol`; what makes a blob unsafe is for the registry to find.

use std::ops::{Range, RangeInclusive};

use serde::{Deserialize, Serialize};

use crate::{WORD_BITS, Word, hex0x, keccak, push_number, tag, words_of};

/// Largest content of an SSTORE2 contract: the code limit of EIP-170 (24,576 bytes) less the leading STOP.
/// `ModelRegistry.MAX_CHUNK_BYTES`.
const MAX_CHUNK_BYTES: usize = 24_575;

/// Most slices of a model: a coverage is a bitmap in one word. `KeyBlobValidation.MAX_SLICES`.
pub const MAX_SLICES: usize = 256;

const TAG: &str = "zkslice/model/v3";
/// Words of a header before its lists.
const HEADER_WORDS: usize = 7;
/// Words of a tensor's record.
const TENSOR_WORDS: usize = 6;
/// Powers of ten up to 10^77 fit a word. `KeyBlobValidation.MAX_DECIMALS`.
const MAX_DECIMALS: u128 = 77;

/// What a tensor at a slice's border is. The numbers are those of the blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TensorKind {
    /// A model input, public words.
    PublicInput = 1,
    /// A model input, committed.
    PrivateInput = 2,
    /// A model output, public words.
    Output = 3,
    /// Between slices, committed.
    Boundary = 4,
}

impl TensorKind {
    /// Whether it is an input of the model.
    pub fn is_input(self) -> bool {
        matches!(self, Self::PublicInput | Self::PrivateInput)
    }

    /// Whether it is bound by public words; by a commitment otherwise.
    pub fn is_public(self) -> bool {
        matches!(self, Self::PublicInput | Self::Output)
    }
}

/// What contracts know of a tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorRecord {
    /// What it is.
    pub kind: TensorKind,
    /// Number of elements.
    pub count: usize,
    /// Bits of one digit.
    pub bits: u32,
    /// Added to integers to make digits.
    pub offset: Word,
    /// One unit in 10^−`decimals`; 0 for a boundary, and where features have scales of their own.
    pub scale: u128,
    /// Decimals of the scale.
    pub decimals: u32,
}

impl TensorRecord {
    /// Number of packed words.
    pub fn words(&self) -> usize {
        words_of(self.count, self.bits)
    }
}

/// What a public input of a slice is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    /// The context; always first.
    Context,
    /// The owner of private inputs.
    Owner,
    /// Commitment to a tensor that the slice reads.
    Read(usize),
    /// Commitment to a tensor that the slice writes.
    Written(usize),
}

impl Slot {
    fn code(self) -> u64 {
        match self {
            Self::Context => 1 << 32,
            Self::Owner => 2 << 32,
            Self::Read(tensor) => (3 << 32) | tensor as u64,
            Self::Written(tensor) => (4 << 32) | tensor as u64,
        }
    }

    fn of(code: u64) -> Option<Self> {
        let tensor = usize::try_from(code & u64::from(u32::MAX)).ok()?;
        [Self::Context, Self::Owner, Self::Read(tensor), Self::Written(tensor)].into_iter().find(|slot| slot.code() == code)
    }
}

/// How a slice is wired.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SliceRecord {
    /// Its public inputs, in order.
    pub slots: Vec<Slot>,
    /// Tensors whose words it is given, in order.
    pub groups: Vec<usize>,
}

/// A key blob's header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyBlobHeader {
    /// Slices that every partial coverage must include, as [`bitmap`]; 0 where only full coverage is served.
    pub coverage_policy: Word,
    /// Digest of the α, β, γ that the keys share.
    pub setup_digest: Word,
    /// Whether the keys are development keys.
    pub dev: bool,
    /// Digest of what the tensors are called, how they are shaped and what their integers mean.
    pub layout_digest: Word,
    /// Hash of each slice's verifying key.
    pub vk_hashes: Vec<Word>,
    /// Tensors: inputs, outputs, boundaries.
    pub tensors: Vec<TensorRecord>,
    /// The slices, as many as there are keys.
    pub slices: Vec<SliceRecord>,
}

impl KeyBlobHeader {
    /// Its bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = tag(TAG).to_vec();
        push_number(&mut bytes, self.slices.len() as u64);
        push_number(&mut bytes, self.tensors.len() as u64);
        bytes.extend_from_slice(&self.coverage_policy);
        bytes.extend_from_slice(&self.setup_digest);
        push_number(&mut bytes, u64::from(self.dev));
        bytes.extend_from_slice(&self.layout_digest);
        bytes.extend_from_slice(self.vk_hashes.as_flattened());
        for tensor in &self.tensors {
            push_number(&mut bytes, tensor.kind as u64);
            push_number(&mut bytes, tensor.count as u64);
            push_number(&mut bytes, tensor.bits);
            bytes.extend_from_slice(&tensor.offset);
            push_number(&mut bytes, tensor.scale);
            push_number(&mut bytes, tensor.decimals);
        }
        for slice in &self.slices {
            push_number(&mut bytes, slice.slots.len() as u64);
            slice.slots.iter().for_each(|slot| push_number(&mut bytes, slot.code()));
            push_number(&mut bytes, slice.groups.len() as u64);
            slice.groups.iter().for_each(|tensor| push_number(&mut bytes, *tensor as u64));
        }
        bytes
    }

    /// The model's digest.
    pub fn digest(&self) -> Word {
        keccak(&self.to_bytes())
    }

    /// Where, in its bytes, the records of inputs and outputs are: all that a contract knows of how their words are packed.
    pub fn layout(&self) -> Range<usize> {
        let start = HEADER_WORDS + self.vk_hashes.len();
        let count = self.tensors.iter().filter(|tensor| tensor.kind != TensorKind::Boundary).count();
        32 * start..32 * (start + TENSOR_WORDS * count)
    }

    /// The model's inputs.
    pub fn inputs(&self) -> impl Iterator<Item = &TensorRecord> {
        self.tensors.iter().filter(|tensor| tensor.kind.is_input())
    }

    /// Reads the header that a blob begins with: one that gives the same bytes again. What follows it is not looked at.
    ///
    /// # Errors
    /// Says what is wrong.
    pub fn read(blob: &[u8]) -> Result<Self, String> {
        let (words, rest) = blob.as_chunks::<32>();
        if !rest.is_empty() {
            return Err(format!("its length, {} bytes, is no multiple of 32", blob.len()));
        }
        let mut words = Words { words, at: 0 };
        if words.next()? != tag(TAG) {
            return Err("it does not begin with the tag of a key blob of version 3".to_owned());
        }
        let slice_count = words.count("slices")?;
        let tensor_count = words.count("tensors")?;
        if !(1..=MAX_SLICES).contains(&slice_count) {
            return Err(format!("it has {slice_count} slices, expected 1 to {MAX_SLICES}"));
        }
        let coverage_policy = words.next()?;
        if !is_policy(&coverage_policy, slice_count) {
            return Err(format!("coverage policy {} is not of some of its {slice_count} slices", hex0x(&coverage_policy)));
        }
        let setup_digest = words.next()?;
        let dev = words.number(0..=1, |flag| format!("the dev flag is {flag}, neither 0 nor 1"))? == 1;
        let layout_digest = words.next()?;
        let vk_hashes = (0..slice_count).map(|_| words.next()).collect::<Result<_, _>>()?;
        let tensors = (0..tensor_count).map(|index| words.tensor(index)).collect::<Result<_, _>>()?;
        let slices = (0..slice_count).map(|index| words.slice(index)).collect::<Result<_, _>>()?;
        Ok(Self { coverage_policy, setup_digest, dev, layout_digest, vk_hashes, tensors, slices })
    }
}

/// A blob in chunks that fit a contract's code.
pub fn chunks(blob: &[u8]) -> impl Iterator<Item = &[u8]> {
    blob.chunks(MAX_CHUNK_BYTES)
}

/// Slices as a coverage: slice 0 is the lowest bit of the word.
pub fn bitmap(slices: &[usize]) -> Word {
    let mut word = [0; 32];
    slices.iter().for_each(|k| word[31 - k / 8] |= 1 << (k % 8));
    word
}

/// Whether a bitmap is of some of so many slices: of all of them is written 0.
fn is_policy(word: &Word, slices: usize) -> bool {
    let has = |k: usize| (word[31 - k / 8] >> (k % 8)) & 1 == 1;
    (slices..MAX_SLICES).all(|k| !has(k)) && !(0..slices).all(has)
}

struct Words<'a> {
    words: &'a [Word],
    at: usize,
}

impl Words<'_> {
    fn next(&mut self) -> Result<Word, String> {
        let word = self.words.get(self.at).ok_or_else(|| format!("it ends within its header, at word {}", self.at))?;
        self.at += 1;
        Ok(*word)
    }

    /// A number within a range; `wrong` says of any other what is wrong with it.
    fn number(&mut self, range: RangeInclusive<u128>, wrong: impl FnOnce(String) -> String) -> Result<u128, String> {
        let word = self.next()?;
        let (high, low) = word.split_at(16);
        let number = low.iter().fold(0, |number, byte| (number << 8) | u128::from(*byte));
        if high.iter().any(|byte| *byte != 0) {
            return Err(wrong(hex0x(&word)));
        }
        if range.contains(&number) { Ok(number) } else { Err(wrong(number.to_string())) }
    }

    /// A count of things that take at least a word each, so that nothing is allocated for what cannot be there.
    fn count(&mut self, what: &str) -> Result<usize, String> {
        let most = self.words.len() as u128;
        self.number(0..=most, |count| format!("it announces {count} {what}, more than it has words")).map(|count| count as usize)
    }

    fn tensor(&mut self, index: usize) -> Result<TensorRecord, String> {
        let wrong = |name: &'static str| move |value: String| format!("tensor {index} has {name} {value}, out of range");
        let kind = self.number(1..=4, wrong("kind"))?;
        Ok(TensorRecord {
            kind: match kind {
                1 => TensorKind::PublicInput,
                2 => TensorKind::PrivateInput,
                3 => TensorKind::Output,
                _ => TensorKind::Boundary,
            },
            count: self.number(1..=u32::MAX.into(), wrong("count"))? as usize,
            bits: self.number(1..=WORD_BITS.into(), wrong("bits"))? as u32,
            offset: self.next()?,
            scale: self.number(0..=u128::MAX, wrong("scale"))?,
            decimals: self.number(0..=MAX_DECIMALS, wrong("decimals"))? as u32,
        })
    }

    fn slice(&mut self, index: usize) -> Result<SliceRecord, String> {
        let mut slice = SliceRecord::default();
        for slot in 0..self.count("slots")? {
            let wrong = |code: String| format!("slot {slot} of slice {index} is {code}, which is none");
            let code = self.number(0..=u64::MAX.into(), wrong)?;
            slice.slots.push(Slot::of(code as u64).ok_or_else(|| wrong(code.to_string()))?);
        }
        for group in 0..self.count("word groups")? {
            let wrong = |tensor: String| format!("word group {group} of slice {index} is of tensor {tensor}, out of range");
            slice.groups.push(self.number(0..=u32::MAX.into(), wrong)? as usize);
        }
        Ok(slice)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// The key blob of a simulated model, written by code that shares nothing with this crate.
    fn fixture(name: &str) -> (Word, Word, Vec<u8>) {
        let path = format!("{}/../../tests/solidity/fixtures/{name}.json", env!("CARGO_MANIFEST_DIR"));
        let value: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let text = |key: &str| value[key].as_str().unwrap();
        let word = |key: &str| crate::hex::word(text(key)).unwrap();
        (word("modelDigest"), word("setupDigest"), hex::decode(&text("blob")[2..]).unwrap())
    }

    #[test]
    fn simulated_models_are_read_and_written() {
        use TensorKind::{Boundary, Output, PrivateInput, PublicInput};
        for name in ["chain", "mixed", "narrow", "other", "pair", "private", "single", "skip", "wide", "rust-chain", "rust-private"] {
            let (digest, setup, blob) = fixture(name);
            let header = KeyBlobHeader::read(&blob).unwrap();
            assert_eq!((header.digest(), header.setup_digest), (digest, setup), "{name}");
            assert!(blob.starts_with(&header.to_bytes()), "{name}");
        }
        let header = KeyBlobHeader::read(&fixture("mixed").2).unwrap();
        assert_eq!((header.dev, header.slices.len(), header.coverage_policy), (true, 3, [0; 32]));
        let kinds: Vec<_> = header.tensors.iter().map(|t| t.kind).collect();
        assert_eq!(kinds, [PublicInput, PrivateInput, PublicInput, Output, Output, Boundary, Boundary]);
        assert_eq!((header.inputs().count(), header.tensors[0].words()), (3, 2));
        assert_eq!(header.layout(), 32 * (7 + 3)..32 * (7 + 3 + 5 * 6));
        assert_eq!(KeyBlobHeader::read(&fixture("single").2).unwrap().tensors[0].words(), 26);
    }

    #[test]
    fn coverage_policies_are_of_some_slices() {
        let blob = fixture("mixed").2;
        let with = |policy: Word| {
            let mut changed = blob.clone();
            changed[96..128].copy_from_slice(&policy);
            KeyBlobHeader::read(&changed).map(|header| header.coverage_policy)
        };
        for policy in [&[][..], &[0], &[0, 2], &[1, 2]].map(bitmap) {
            assert_eq!(with(policy).unwrap(), policy);
        }
        for policy in [bitmap(&[0, 1, 2]), bitmap(&[3]), bitmap(&[0, 255]), [255; 32]] {
            assert!(with(policy).unwrap_err().contains("coverage policy"));
        }
    }

    #[test]
    fn every_changed_or_missing_byte_of_the_header_is_noticed() {
        let (digest, _, blob) = fixture("chain");
        let header_bytes = 32 * (7 + 3 + 4 * 6 + (1 + 2 + 1 + 1) + (1 + 3 + 1) + (1 + 2 + 1 + 1));
        let reads = |blob: &[u8]| KeyBlobHeader::read(blob).is_ok_and(|header| header.digest() == digest);
        for at in 0..header_bytes {
            let mut changed = blob.clone();
            changed[at] ^= 1;
            assert!(!reads(&changed), "byte {at}");
            assert!(!reads(&blob[..at]), "{at} bytes");
        }
        assert!(reads(&blob[..header_bytes]));
    }

    proptest::proptest! {
        /// Whatever is read is written as it was.
        #[test]
        fn a_header_has_one_form(words: Vec<[u8; 32]>, small: Vec<u8>, tagged: bool) {
            let mut blob = if tagged { tag(TAG).to_vec() } else { Vec::new() };
            small.iter().for_each(|number| push_number(&mut blob, *number));
            blob.extend(words.concat());
            if let Ok(header) = KeyBlobHeader::read(&blob) {
                assert!(blob.starts_with(&header.to_bytes()));
            }
        }

        #[test]
        fn a_changed_header_has_one_form(at: u16, byte: u8) {
            let mut blob = fixture("mixed").2;
            let at = usize::from(at) % blob.len();
            blob[at] = byte;
            if let Ok(header) = KeyBlobHeader::read(&blob) {
                assert!(blob.starts_with(&header.to_bytes()));
            }
        }
    }
}
