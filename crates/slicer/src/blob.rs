//! A package's key blob: the header that `zkslice_formats::key_blob` describes, then the records of the model's verifying keys.

use zkslice_formats::key_blob::{SliceRecord, Slot, TensorKind, TensorRecord, bitmap, chunks};
use zkslice_formats::{KeyBlobHeader, hex, keccak, push_number, tag};
use zkslice_graph::Scale;
use zkslice_groth16::VerifyingKey;

use crate::manifest::{CircuitEntry, FeatureEntry, Manifest, SliceEntry, TensorEntry};

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

/// Digest of what a model's tensors are called, how they are shaped and what their integers mean: keccak256 of 32-byte words,
/// `tag("zkslice/layout/v1")`, then for each tensor of the wiring, in order,
///
/// ```text
/// keccak256(name), rank, each dimension, axis, F, F × (offset, scale)
/// ```
///
/// F features along `axis` have an offset and a scale each; where one stands for all values, F = 1 and the axis is 0. A boundary's
/// scale is 0. Where the package holds a circuit of others, its signals follow, so that no two packages of one digest read words in two
/// ways: `tag("zkslice/circuit/v1")`, keccak256 of the `.r1cs` file, then for each tensor
///
/// ```text
/// keccak256(type), rank of the signal, each dimension
/// ```
pub fn layout_digest(tensors: &[TensorEntry], circuit: Option<(&str, &CircuitEntry)>) -> [u8; 32] {
    let mut bytes = tag("zkslice/layout/v1").to_vec();
    for tensor in tensors {
        bytes.extend_from_slice(&keccak(tensor.name.as_bytes()));
        push_number(&mut bytes, tensor.shape.len() as u64);
        tensor.shape.iter().for_each(|n| push_number(&mut bytes, *n as u64));
        push_number(&mut bytes, tensor.axis as u64);
        push_number(&mut bytes, tensor.features.len() as u64);
        for feature in &tensor.features {
            push_number(&mut bytes, feature.offset.unsigned_abs());
            push_number(&mut bytes, feature.scale);
        }
    }
    if let Some((r1cs, circuit)) = circuit {
        bytes.extend_from_slice(&tag("zkslice/circuit/v1"));
        // A package is opened only if this is the file's hash.
        bytes.extend_from_slice(&hex::word(r1cs).unwrap_or_default());
        for signal in &circuit.signals {
            let of_values = signal.kind.map(|kind| kind.to_string()).unwrap_or_default();
            bytes.extend_from_slice(&keccak(of_values.as_bytes()));
            push_number(&mut bytes, signal.shape.len() as u64);
            signal.shape.iter().for_each(|n| push_number(&mut bytes, *n as u64));
        }
    }
    keccak(&bytes)
}

fn tensor_record(tensor: &TensorEntry) -> TensorRecord {
    // Where features differ, the layout digest alone has them.
    let feature = tensor.single().unwrap_or(FeatureEntry { offset: 0, scale: 0 });
    let mut offset = [0; 32];
    offset[24..].copy_from_slice(&feature.offset.unsigned_abs().to_be_bytes());
    TensorRecord {
        kind: tensor.kind,
        count: tensor.count(),
        bits: tensor.bits,
        offset,
        scale: feature.scale,
        decimals: if tensor.kind == TensorKind::Boundary { 0 } else { Scale::DECIMALS },
    }
}

fn slice_record(manifest: &Manifest, slice: &SliceEntry) -> SliceRecord {
    let words = slice.reads.iter().chain(&slice.writes).filter(|t| manifest.tensors[**t].kind.is_public());
    SliceRecord { slots: slots(manifest, slice), groups: words.copied().collect() }
}

/// A model's key blob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyBlob {
    bytes: Vec<u8>,
    header: KeyBlobHeader,
    keys: Vec<VerifyingKey>,
}

impl KeyBlob {
    pub(crate) fn new(manifest: &Manifest, keys: Vec<VerifyingKey>, dev: bool) -> Self {
        let header = KeyBlobHeader {
            coverage_policy: bitmap(&manifest.coverage_policy),
            setup_digest: keys.first().map(VerifyingKey::setup_digest).unwrap_or_default(),
            dev,
            layout_digest: layout_digest(
                &manifest.tensors,
                manifest.circuit.as_ref().map(|circuit| (manifest.slices[0].graph.as_str(), circuit)),
            ),
            vk_hashes: keys.iter().map(VerifyingKey::hash).collect(),
            tensors: manifest.tensors.iter().map(tensor_record).collect(),
            slices: manifest.slices.iter().map(|slice| slice_record(manifest, slice)).collect(),
        };
        let mut bytes = header.to_bytes();
        keys.iter().for_each(|key| bytes.extend_from_slice(&key.record()));
        Self { bytes, header, keys }
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
        chunks(&self.bytes)
    }

    /// The model's id.
    pub fn model_digest(&self) -> [u8; 32] {
        self.header.digest()
    }

    /// The records of inputs and outputs, which come before those of boundaries: all that a contract knows of how they are packed.
    pub fn layout(&self) -> &[u8] {
        &self.bytes[self.header.layout()]
    }

    /// Digest of the setup.
    pub fn setup_digest(&self) -> &[u8; 32] {
        &self.header.setup_digest
    }
}
