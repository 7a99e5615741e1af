//! The key blob: a header, then the records of a model's verifying keys. The model digest, its id, is keccak256 of the header, which
//! holds the hashes of the records.
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
//! user of the model relies on: names and shapes ([`layout_digest`]). What is computed, the graphs, is bound by the verifying keys.

use std::ops::Range;

use zkslice_groth16::{VerifyingKey, keccak, tag};

use crate::package::{FeatureEntry, Manifest, SliceEntry, TensorEntry, TensorKind};

/// Bytes of a chunk that fit one contract's code beside the STOP byte of SSTORE2.
pub const MAX_CHUNK_BYTES: usize = 24_575;

const DECIMALS: u64 = 18;

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
}

/// Public inputs of a slice, in order.
pub fn slots(manifest: &Manifest, slice: &SliceEntry) -> Vec<Slot> {
    let kind = |t: &usize| manifest.tensors[*t].kind;
    let mut slots = vec![Slot::Context];
    if slice.reads.iter().any(|t| kind(t) == TensorKind::PrivateInput) {
        slots.push(Slot::Owner);
    }
    slots.extend(slice.reads.iter().filter(|t| !kind(t).is_public()).map(|t| Slot::Read(*t)));
    slots.extend(slice.writes.iter().filter(|t| !kind(t).is_public()).map(|t| Slot::Written(*t)));
    slots
}

/// Slices as a coverage: slice 0 is the lowest bit of the word.
pub fn bitmap(slices: &[usize]) -> [u8; 32] {
    let mut word = [0; 32];
    slices.iter().for_each(|k| word[31 - k / 8] |= 1 << (k % 8));
    word
}

fn number(bytes: &mut Vec<u8>, n: impl Into<u128>) {
    bytes.extend_from_slice(&[0; 16]);
    bytes.extend_from_slice(&n.into().to_be_bytes());
}

/// Digest of what a model's tensors are called, how they are shaped and what their integers mean: keccak256 of 32-byte words,
/// `tag("zkslice/layout/v1")`, then for each tensor of the wiring, in order,
///
/// ```text
/// keccak256(name), rank, each dimension, axis, F, F × (offset, scale)
/// ```
///
/// F features along `axis` have an offset and a scale each; where one stands for all values, F = 1 and the axis is 0. A boundary's
/// scale is 0.
pub fn layout_digest(tensors: &[TensorEntry]) -> [u8; 32] {
    let mut bytes = tag("zkslice/layout/v1").to_vec();
    for tensor in tensors {
        bytes.extend_from_slice(&keccak(tensor.name.as_bytes()));
        number(&mut bytes, tensor.shape.len() as u64);
        tensor.shape.iter().for_each(|n| number(&mut bytes, *n as u64));
        number(&mut bytes, tensor.axis as u64);
        number(&mut bytes, tensor.features.len() as u64);
        for feature in &tensor.features {
            number(&mut bytes, feature.offset.unsigned_abs());
            number(&mut bytes, feature.scale);
        }
    }
    keccak(&bytes)
}

/// A model's key blob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyBlob {
    bytes: Vec<u8>,
    header: usize,
    layout: Range<usize>,
    setup: [u8; 32],
    keys: Vec<VerifyingKey>,
}

impl KeyBlob {
    pub(crate) fn new(manifest: &Manifest, keys: Vec<VerifyingKey>, dev: bool) -> Self {
        let setup = keys.first().map(VerifyingKey::setup_digest).unwrap_or_default();
        let mut bytes = tag("zkslice/model/v3").to_vec();
        number(&mut bytes, manifest.slices.len() as u64);
        number(&mut bytes, manifest.tensors.len() as u64);
        bytes.extend_from_slice(&bitmap(&manifest.coverage_policy));
        bytes.extend_from_slice(&setup);
        number(&mut bytes, u64::from(dev));
        bytes.extend_from_slice(&layout_digest(&manifest.tensors));
        keys.iter().for_each(|key| bytes.extend_from_slice(&key.hash()));
        let mut layout = bytes.len()..bytes.len();
        for tensor in &manifest.tensors {
            let boundary = tensor.kind == TensorKind::Boundary;
            number(&mut bytes, tensor.kind as u64);
            number(&mut bytes, tensor.count() as u64);
            number(&mut bytes, u64::from(tensor.bits));
            // Where features differ, the layout digest alone has them.
            let feature = tensor.single().unwrap_or(FeatureEntry { offset: 0, scale: 0 });
            number(&mut bytes, feature.offset.unsigned_abs());
            number(&mut bytes, feature.scale);
            number(&mut bytes, if boundary { 0 } else { DECIMALS });
            if !boundary {
                layout.end = bytes.len();
            }
        }
        for slice in &manifest.slices {
            let slots = slots(manifest, slice);
            number(&mut bytes, slots.len() as u64);
            slots.iter().for_each(|slot| number(&mut bytes, slot.code()));
            let words: Vec<usize> =
                slice.reads.iter().chain(&slice.writes).filter(|t| manifest.tensors[**t].kind.is_public()).copied().collect();
            number(&mut bytes, words.len() as u64);
            words.iter().for_each(|t| number(&mut bytes, *t as u64));
        }
        let header = bytes.len();
        keys.iter().for_each(|key| bytes.extend_from_slice(&key.record()));
        Self { bytes, header, layout, setup, keys }
    }

    /// The whole blob.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The verifying keys whose records it holds.
    pub fn keys(&self) -> &[VerifyingKey] {
        &self.keys
    }

    /// The blob in chunks that fit a contract's code.
    pub fn chunks(&self) -> impl Iterator<Item = &[u8]> {
        self.bytes.chunks(MAX_CHUNK_BYTES)
    }

    /// The model's id.
    pub fn model_digest(&self) -> [u8; 32] {
        keccak(&self.bytes[..self.header])
    }

    /// The records of inputs and outputs, which come before those of boundaries: all that a contract knows of how they are packed.
    pub fn layout(&self) -> &[u8] {
        &self.bytes[self.layout.clone()]
    }

    /// Digest of the setup.
    pub fn setup_digest(&self) -> &[u8; 32] {
        &self.setup
    }
}
