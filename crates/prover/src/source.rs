//! Where bundles come from.

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ark_bn254::Fr;
use ark_std::rand::rngs::OsRng;
use zkslice_formats::{Word, hex0x};
use zkslice_interop::{ForeignCircuit, Inputs, WitnessProgram};
use zkslice_slicer::{Package, TensorEntry, TensorKind};

use crate::bundle::Bound;
use crate::{Bundle, Inference, Opening, Openings, ProverError, encode_request, opening_file, prove, unpack};

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

impl<S: BundleSource> BundleSource for Arc<S> {
    fn models(&self) -> Vec<Word> {
        (**self).models()
    }

    async fn bundle(&self, job: Job) -> Result<Bundle, ProverError> {
        (**self).bundle(job).await
    }
}

/// Where witnesses of a circuit of others come from: what computes them, and the inputs that only the prover knows.
#[derive(Clone, Debug)]
pub struct WitnessSource {
    /// The program.
    pub program: WitnessProgram,
    /// Private inputs that no request carries.
    pub inputs: Inputs,
}

/// The prover in this process: packages by model digest, a folder with the openings of private inputs, and sources of witnesses.
#[derive(Clone, Debug)]
pub struct LocalProver {
    packages: Vec<(Word, Arc<Package>, Option<WitnessSource>)>,
    openings: Option<PathBuf>,
}

impl LocalProver {
    /// Serves packages that have keys, those that hold circuits of others with the sources of their witnesses. `openings` holds files named
    /// by [`opening_file`], as `zkslice encode` writes.
    ///
    /// # Errors
    /// [`ProverError::Package`] for one without keys; [`ProverError::NoWitness`] for a circuit without a source of witnesses;
    /// [`ProverError::Interop`] for one with private inputs that the source lacks; [`ProverError::Input`] for a model with a source.
    pub fn new(packages: Vec<(Package, Option<WitnessSource>)>, openings: Option<PathBuf>) -> Result<Self, ProverError> {
        let with_digest = |(package, witnesses): (Package, Option<WitnessSource>)| {
            match (package.foreign(), &witnesses) {
                (None, None) => {}
                (Some(circuit), Some(source)) => circuit.check_own_inputs(&source.inputs)?,
                (Some(_), None) => return Err(ProverError::NoWitness),
                (None, Some(_)) => {
                    let reason = "the package holds a model, which computes its own witness: list it among the models".into();
                    return Err(ProverError::Input { input: package.manifest().name.clone(), reason });
                }
            }
            Ok((package.key_blob()?.model_digest(), Arc::new(package), witnesses))
        };
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
                    let values = unpack(tensor, words).map_err(|error| wrong(tensor, &error.to_string()))?;
                    Opening { values, salt: None }
                }
                (JobInput::Commitment(commitment), TensorKind::PrivateInput) => self.opening(commitment)?,
                _ => return Err(wrong(tensor, "it is public where the job commits to it, or the reverse")),
            };
            *slot = Some(opening);
        }
        Ok(Inference { openings, context: job.context, owner: job.owner, ..Inference::default() })
    }

    fn opening(&self, commitment: &Word) -> Result<Opening, ProverError> {
        let unknown = || ProverError::Opening { commitment: hex0x(commitment) };
        let path = self.openings.as_ref().ok_or_else(unknown)?.join(opening_file(commitment));
        let bytes = std::fs::read(&path).map_err(|_| unknown())?;
        serde_json::from_slice(&bytes)
            .map_err(|e| ProverError::Malformed { what: path.display().to_string(), reason: format!("not an opening: {e}") })
    }

    fn prove(
        &self,
        package: &Package,
        witnesses: Option<&WitnessSource>,
        job: &Job,
        cancelled: &AtomicBool,
    ) -> Result<Bundle, ProverError> {
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
        if let (Some(circuit), Some(source)) = (package.foreign(), witnesses) {
            inference.witness = Some(witness(circuit, source, &inference.openings, cancelled)?);
        }
        Ok(prove(package, inference, 0..package.slice_count(), &mut OsRng, |_| ())?.bundle)
    }
}

/// The witness of a circuit of others for a job's inputs. What the program makes of them is the program's fault, which its operator can
/// mend, and not the job's.
fn witness(circuit: &ForeignCircuit, source: &WitnessSource, openings: &Openings, cancelled: &AtomicBool) -> Result<Vec<Fr>, ProverError> {
    let integers: Vec<Vec<i64>> = openings.tensors.iter().flatten().map(|opening| opening.values.clone()).collect();
    let inputs = circuit.program_inputs(&integers, &source.inputs)?;
    let wires = source.program.run(&inputs, circuit.r1cs().wires, cancelled)?;
    let found = circuit.integers(&wires).map_err(|error| source.program.failed(error.to_string()))?;
    let bound = circuit.ports().iter().zip(&found).zip(&integers);
    match bound.into_iter().find(|((port, found), asked)| port.signal.first_wire.is_some() && found != asked) {
        Some(((port, _), _)) => {
            let reason = format!("its witness has another value of '{}' than was asked for", port.signal.name);
            Err(source.program.failed(reason).into())
        }
        None => Ok(wires),
    }
}

/// Sets a flag when it goes.
struct SetOnDrop(Arc<AtomicBool>);

impl Drop for SetOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl BundleSource for LocalProver {
    fn models(&self) -> Vec<Word> {
        self.packages.iter().map(|(digest, ..)| *digest).collect()
    }

    async fn bundle(&self, job: Job) -> Result<Bundle, ProverError> {
        let unknown = || ProverError::Model { model: hex0x(&job.model) };
        let served = self.packages.iter().find(|(digest, ..)| *digest == job.model);
        let (package, witnesses) = served.map(|(_, package, witnesses)| (package.clone(), witnesses.clone())).ok_or_else(unknown)?;
        let prover = self.clone();
        // Whoever does not wait any more needs no witness either.
        let waited_for = SetOnDrop(Arc::default());
        let cancelled = waited_for.0.clone();
        tokio::task::spawn_blocking(move || prover.prove(&package, witnesses.as_ref(), &job, &cancelled))
            .await
            .map_err(|e| ProverError::Task(e.to_string()))?
    }
}
