//! Where bundles come from.

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;

use ark_std::rand::rngs::OsRng;
use zkslice_circuit::gadgets::unpack_values;
use zkslice_formats::{Word, hex0x};
use zkslice_groth16::fr_from_word;
use zkslice_slicer::{Package, TensorEntry, TensorKind};

use crate::bundle::Bound;
use crate::{Bundle, Inference, Opening, Openings, ProverError, encode_request, opening_file, prove};

/// One inference to prove.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// Model digest.
    pub model: Word,
    /// Context: binds the proofs to chain, contract, request and beneficiary.
    pub context: Word,
    /// Owner of private inputs (`owner` of the contract); 0 where there are none.
    pub owner: Word,
    /// The model's inputs, in order.
    pub inputs: Vec<JobInput>,
}

/// An input as a request carries it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobInput {
    /// Public: packed words.
    Words(Vec<Word>),
    /// Private: the commitment, whose opening the source must hold.
    Commitment(Word),
}

/// Something that turns jobs into bundles: the prover in this process, or a validator over the network.
pub trait BundleSource: Send + Sync {
    /// Digests of the models that it can prove.
    fn models(&self) -> Vec<Word>;

    /// Proves a job. Cancel-safe: a dropped future leaves nothing behind.
    fn bundle(&self, job: Job) -> impl Future<Output = Result<Bundle, ProverError>> + Send;
}

/// The prover in this process: packages by model digest, and a folder with the openings of private inputs.
#[derive(Debug)]
pub struct LocalProver {
    packages: Vec<(Word, Arc<Package>)>,
    openings: Option<PathBuf>,
}

impl LocalProver {
    /// Serves packages that have keys. `openings` holds files named by [`opening_file`], as `zkslice encode` writes.
    ///
    /// # Errors
    /// [`ProverError::Package`] for one without keys.
    pub fn new(packages: Vec<Package>, openings: Option<PathBuf>) -> Result<Self, ProverError> {
        let with_digest = |package: Package| Ok((package.key_blob()?.model_digest(), Arc::new(package)));
        Ok(Self { packages: packages.into_iter().map(with_digest).collect::<Result<_, ProverError>>()?, openings })
    }

    fn inference(&self, package: &Package, job: &Job) -> Result<Inference, ProverError> {
        let tensors = &package.manifest().tensors;
        let inputs: Vec<&TensorEntry> = tensors.iter().filter(|t| t.kind.is_input()).collect();
        let wrong = |tensor: &TensorEntry, reason: &str| ProverError::Input { input: tensor.name.clone(), reason: reason.into() };
        if inputs.len() != job.inputs.len() {
            let reason = format!("the model has {} inputs, the job {}", inputs.len(), job.inputs.len());
            return Err(ProverError::Input { input: package.manifest().name.clone(), reason });
        }
        let mut openings = Openings::empty(tensors.len());
        for ((tensor, input), slot) in inputs.into_iter().zip(&job.inputs).zip(&mut openings.tensors) {
            let opening = match (input, tensor.kind) {
                (JobInput::Words(words), TensorKind::PublicInput) => {
                    let fields = words
                        .iter()
                        .map(|w| fr_from_word(w, "a word"))
                        .collect::<Result<Vec<_>, _>>()
                        .map_err(|e| wrong(tensor, &e.to_string()))?;
                    let digits = unpack_values(&fields, tensor.count(), tensor.bits)
                        .ok_or_else(|| wrong(tensor, "its words do not fit its digits"))?;
                    Opening { values: tensor.integers(&digits), salt: None }
                }
                (JobInput::Commitment(commitment), TensorKind::PrivateInput) => self.opening(commitment)?,
                _ => return Err(wrong(tensor, "it is public where the job commits to it, or the reverse")),
            };
            *slot = Some(opening);
        }
        Ok(Inference { openings, context: job.context, owner: job.owner })
    }

    fn opening(&self, commitment: &Word) -> Result<Opening, ProverError> {
        let unknown = || ProverError::Opening { commitment: hex0x(commitment) };
        let path = self.openings.as_ref().ok_or_else(unknown)?.join(opening_file(commitment));
        let bytes = std::fs::read(&path).map_err(|_| unknown())?;
        serde_json::from_slice(&bytes)
            .map_err(|e| ProverError::Malformed { what: path.display().to_string(), reason: format!("not an opening: {e}") })
    }

    fn prove(&self, package: &Package, job: &Job) -> Result<Bundle, ProverError> {
        let mut inference = self.inference(package, job)?;
        // The commitment binds model and requester: an opening shown for another use does not fit it (rule B8).
        let bound = encode_request(package, &mut inference, &mut OsRng)?;
        for (bound, input) in bound.iter().zip(&job.inputs) {
            if let (Bound::Commitment(found), JobInput::Commitment(expected)) = (bound, input)
                && found != expected
            {
                let reason = "the opening does not give the job's commitment for this model and requester";
                return Err(ProverError::Input { input: hex0x(expected), reason: reason.into() });
            }
        }
        Ok(prove(package, inference, 0..package.slices().len(), &mut OsRng, |_| ())?.bundle)
    }
}

impl BundleSource for Arc<LocalProver> {
    fn models(&self) -> Vec<Word> {
        self.packages.iter().map(|(digest, _)| *digest).collect()
    }

    async fn bundle(&self, job: Job) -> Result<Bundle, ProverError> {
        let unknown = || ProverError::Model { model: hex0x(&job.model) };
        let package = self.packages.iter().find(|(digest, _)| *digest == job.model).map(|(_, p)| p.clone()).ok_or_else(unknown)?;
        let prover = self.clone();
        tokio::task::spawn_blocking(move || prover.prove(&package, &job)).await.map_err(|e| ProverError::Task(e.to_string()))?
    }
}
