//! Models that a validator serves.

use std::sync::Arc;

use alloy::primitives::B256;
use rand_chacha::ChaCha20Rng;
use rand_core::{RngCore, SeedableRng};
use serde::{Deserialize, Serialize};
use zkslice_prover::{
    Bound, Bundle, Inference, JobInput, Opening, Openings, ProverError, Salt, Verifier, Word, encode_request, execute, pack, unpack,
};
use zkslice_slicer::{Package, PackageError, TensorEntry, TensorKind};

use super::verification::Key;
use crate::score::units;
use crate::wire::{Read, Work};
use crate::work::WorkError;

/// Bytes of a word in a frame, and of what stands beside the words in it.
const WORD: usize = 33;
const BESIDE: usize = 1 << 10;

/// A package with keys, and what follows from it for each slice.
#[derive(Debug)]
pub(crate) struct Model {
    pub(crate) digest: B256,
    pub(crate) package: Package,
    pub(crate) verifier: Verifier,
    pub(crate) keys: Vec<Arc<Key>>,
    pub(crate) units: Vec<u32>,
    /// Bytes that the work of each slice takes at most.
    pub(crate) work_bytes: Vec<usize>,
}

/// All tensors of a job, as the store keeps them: packed words, and salts.
#[derive(Serialize, Deserialize)]
pub(crate) struct Executed(Vec<Read>);

impl Executed {
    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>, ProverError> {
        postcard::to_stdvec(self).map_err(|e| ProverError::Malformed { what: "the tensors".into(), reason: e.to_string() })
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, ProverError> {
        postcard::from_bytes(bytes).map_err(|e| ProverError::Malformed { what: "the tensors in the store".into(), reason: e.to_string() })
    }
}

impl Model {
    pub(crate) fn new(package: Package) -> Result<Self, PackageError> {
        let verifier = Verifier::new(&package)?;
        let manifest = package.manifest();
        let words = |t: &usize| manifest.tensors[*t].group().words();
        let all: usize = (0..manifest.tensors.len()).map(|t| if manifest.tensors[t].kind.is_public() { words(&t) } else { 1 }).sum();
        let bytes = |slice: &zkslice_slicer::SliceEntry| {
            let own: usize = slice.reads.iter().map(words).sum::<usize>() + slice.reads.len() + slice.writes.len();
            (own + all) * WORD + BESIDE
        };
        Ok(Self {
            digest: B256::from(verifier.model()),
            keys: verifier.keys().iter().map(|key| Arc::new(Key::new(key.clone()))).collect(),
            units: manifest.slices.iter().map(|slice| units(slice.constraints.next_power_of_two() as u64)).collect(),
            work_bytes: manifest.slices.iter().map(bytes).collect(),
            verifier,
            package,
        })
    }

    pub(crate) fn slices(&self) -> u16 {
        // A coverage has a bit for each, in 256.
        self.units.len() as u16
    }

    fn tensors(&self) -> &[TensorEntry] {
        &self.package.manifest().tensors
    }

    fn inputs(&self) -> impl Iterator<Item = &TensorEntry> {
        self.tensors().iter().filter(|tensor| tensor.kind.is_input())
    }

    /// Of each input, whether it is private.
    pub(crate) fn private_inputs(&self) -> Vec<bool> {
        self.inputs().map(|tensor| tensor.kind == TensorKind::PrivateInput).collect()
    }

    /// The inputs of a job as their words, one tensor after the other, and behind a private one its salt. The openings of private ones may be
    /// seen.
    pub(crate) fn words(&self, inputs: &[JobInput], openings: &[Opening]) -> Result<Vec<Word>, ProverError> {
        let (expected, found) = (self.inputs().count(), inputs.len());
        if expected != found {
            let reason = format!("the model has {expected} inputs, the job {found}");
            return Err(ProverError::Input { input: self.package.manifest().name.clone(), reason });
        }
        let (mut all, mut openings) = (Vec::new(), openings.iter());
        for (tensor, input) in self.inputs().zip(inputs) {
            match input {
                JobInput::Words(words) if tensor.kind == TensorKind::PublicInput => {
                    unpack(tensor, words).map_err(|error| input_error(tensor, &error))?;
                    all.extend_from_slice(words);
                }
                JobInput::Words(_) => return Err(input_error(tensor, &"it is private, and the job shows it")),
                JobInput::Commitment(_) if tensor.kind != TensorKind::PrivateInput => {
                    return Err(input_error(tensor, &"it is public, and the job commits to it"));
                }
                JobInput::Commitment(_) => {
                    let reason = "a network of others would see it: bring its owner's hand-over, or prove it by a prover of your own";
                    let opening = openings.next().ok_or_else(|| input_error(tensor, &reason))?;
                    let salt = opening.salt.ok_or_else(|| input_error(tensor, &"its opening has no salt"))?;
                    all.extend(pack(tensor, &opening.values).map_err(|error| input_error(tensor, &error))?);
                    all.push(salt.word());
                }
            }
        }
        Ok(all)
    }

    /// Whether the commitments of a job are to what these words are of, for this owner.
    pub(crate) fn check_openings(&self, inputs: &[JobInput], owner: B256, words: &[Word]) -> Result<(), ProverError> {
        let mut inference = self.inference_of([B256::ZERO, owner], words)?;
        let bound = encode_request(&self.package, &mut inference, &mut rand_core::OsRng)?;
        for ((tensor, input), bound) in self.inputs().zip(inputs).zip(&bound) {
            if let (JobInput::Commitment(asked), Bound::Commitment(found)) = (input, bound)
                && asked != found
            {
                return Err(input_error(tensor, &"its opening is not that of the commitment, or is another owner's"));
            }
        }
        Ok(())
    }

    /// Computes a job from the words of its inputs, for a context and an owner: all tensors, and the bundle without proofs.
    pub(crate) fn execute(&self, binding: [B256; 2], words: &[Word]) -> Result<(Executed, Bundle), ProverError> {
        self.execute_inference(self.inference_of(binding, words)?)
    }

    /// The inference of words as [`Self::words`] has them.
    fn inference_of(&self, [context, owner]: [B256; 2], words: &[Word]) -> Result<Inference, ProverError> {
        let mut rest = words;
        let mut openings = Openings::empty(self.tensors().len());
        for (t, tensor) in self.tensors().iter().enumerate().filter(|(_, tensor)| tensor.kind.is_input()) {
            let short = || input_error(tensor, &"its words are missing");
            let (own, others) = rest.split_at_checked(tensor.group().words()).ok_or_else(short)?;
            let values = unpack(tensor, own).map_err(|error| input_error(tensor, &error))?;
            rest = others;
            let salt = match tensor.kind {
                TensorKind::PrivateInput => {
                    let (salt, others) = rest.split_first().ok_or_else(short)?;
                    rest = others;
                    Some(Salt::from_word(*salt)?)
                }
                _ => None,
            };
            openings.tensors[t] = Some(Opening { values, salt });
        }
        Ok(Inference { openings, context: context.0, owner: owner.0, ..Inference::default() })
    }

    fn execute_inference(&self, mut inference: Inference) -> Result<(Executed, Bundle), ProverError> {
        let bound = execute(&self.package, &mut inference, &mut rand_core::OsRng)?;
        let mut reads = Vec::with_capacity(bound.len());
        for (tensor, opening) in self.tensors().iter().zip(inference.openings.tensors.iter().flatten()) {
            let words = pack(tensor, &opening.values)?.into_iter().map(B256::from).collect();
            reads.push(Read { words, salt: opening.salt.map(|salt| B256::from(salt.word())) });
        }
        let bundle = Bundle {
            version: zkslice_prover::BUNDLE_VERSION,
            model: self.digest.0,
            context: inference.context,
            owner: inference.owner,
            tensors: bound.into_iter().map(Some).collect(),
            proofs: Vec::new(),
        };
        Ok((Executed(reads), bundle))
    }

    /// Computes the model on values that the seed draws, each within what its tensor can be. Where those saturate, on others.
    pub(crate) fn execute_random(&self, seed: B256) -> Result<(Executed, Bundle), ProverError> {
        let mut rng = ChaCha20Rng::from_seed(seed.0);
        // Large values saturate models that small ones do not.
        let mut shift = 0;
        loop {
            let mut values = Vec::new();
            for tensor in self.inputs() {
                let bits = tensor.bits.saturating_sub(shift).max(1);
                let digits: Vec<i64> = (0..tensor.count()).map(|_| (rng.next_u64() >> (64 - bits.min(62))) as i64).collect();
                values.push(tensor.integers(&centred(&digits, tensor.bits, bits)));
            }
            match self.execute_inference(Inference::of_inputs(&self.package, values)?) {
                Err(ProverError::Execute(_)) if shift < 62 => shift += 1,
                other => return other,
            }
        }
    }

    /// What slice `k` of a job needs, from what the store keeps.
    pub(crate) fn inference(&self, executed: &Executed, k: u16, [context, owner]: [B256; 2]) -> Result<Inference, ProverError> {
        let slice = &self.package.manifest().slices[usize::from(k)];
        let mut openings = Openings::empty(self.tensors().len());
        for t in slice.reads.iter().chain(&slice.writes) {
            let tensor = &self.tensors()[*t];
            let read = executed.0.get(*t).ok_or_else(|| input_error(tensor, &"it was not kept"))?;
            let words: Vec<Word> = read.words.iter().map(|word| word.0).collect();
            let values = unpack(tensor, &words).map_err(|error| input_error(tensor, &error))?;
            openings.tensors[*t] = Some(Opening { values, salt: read.salt.map(|salt| Salt::from_word(salt.0)).transpose()? });
        }
        Ok(Inference { openings, context: context.0, owner: owner.0, executed: true, ..Inference::default() })
    }

    pub(crate) fn work(
        &self,
        executed: &Executed,
        bundle: &Bundle,
        k: u16,
        context: B256,
        assignment: B256,
        is_paid: bool,
    ) -> Result<Work, WorkError> {
        let inference = self.inference(executed, k, [context, B256::from(bundle.owner)])?;
        Work::of(&self.package, &inference, bundle.tensors.iter().flatten(), k, assignment, is_paid)
    }
}

/// Digits of fewer bits, about the middle of what more bits can hold.
fn centred(digits: &[i64], bits: u32, of: u32) -> Vec<i64> {
    let shift = if of < bits { (1i64 << (bits - 1)) - (1i64 << (of - 1)) } else { 0 };
    digits.iter().map(|digit| digit + shift).collect()
}

fn input_error(tensor: &TensorEntry, reason: &dyn std::fmt::Display) -> ProverError {
    ProverError::Input { input: tensor.name.clone(), reason: reason.to_string() }
}
