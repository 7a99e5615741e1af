//! What is to be deployed, as a list of steps that follow from the plan alone.

use std::path::Path;

use alloy::primitives::{Address, B256, Bytes, U256, keccak256};
use alloy::sol_types::{SolCall, SolValue};
use zkslice_formats::Addition;
use zkslice_formats::key_blob::chunks;

use crate::ChainError;
use crate::bindings::{BundleVerifier, BundleVerifier0x09, DigitConsumer, InferenceFeed, InferenceOracle, ModelRegistry};
use crate::blob::read_header;
use crate::constants::{MIN_DELAY, is_local_chain, verifier_selector};
use crate::factory::{self, FACTORY};
use crate::manifest::{Creation, Manifest, RegistryParameters, Step};
use crate::transaction::Draft;

pub use crate::manifest::FeedSpec;

/// A model to register.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelKeys {
    /// The model's digest.
    pub digest: B256,
    /// The key blob: header and key records.
    pub blob: Vec<u8>,
    /// Whether the keys are development keys.
    pub dev: bool,
    /// Digest of the setup.
    pub setup_digest: B256,
    /// Hash of the ceremony's transcript; zero for development keys.
    pub transcript_hash: B256,
}

impl ModelKeys {
    /// From a key blob alone; digest, dev flag and setup digest are read from its header. Keys of a ceremony need their transcript's
    /// hash besides.
    ///
    /// # Errors
    /// [`ChainError::MalformedBlob`].
    pub fn from_blob(digest: B256, blob: Vec<u8>) -> Result<Self, ChainError> {
        let header = read_header(digest, &blob)?;
        Ok(Self { digest, blob, dev: header.dev, setup_digest: header.setup_digest.into(), transcript_hash: B256::ZERO })
    }

    fn chunks(&self) -> impl Iterator<Item = &[u8]> {
        chunks(&self.blob)
    }

    /// Hashes of the chunks that the registry keeps, in order.
    pub fn chunk_hashes(&self) -> Vec<B256> {
        self.chunks().map(keccak256).collect()
    }

    /// What can be refused without a look at the chain, beyond its id.
    fn check(&self, chain_id: u64) -> Result<(), ChainError> {
        let header = read_header(self.digest, &self.blob)?;
        let malformed = |reason: String| ChainError::MalformedBlob { digest: self.digest, reason };
        if self.setup_digest != header.setup_digest {
            return Err(malformed(format!("its setup digest is {}, expected {}", B256::from(header.setup_digest), self.setup_digest)));
        }
        if header.dev != self.dev {
            return Err(malformed(format!("its dev flag is {}, expected {}", header.dev, self.dev)));
        }
        if header.dev != self.transcript_hash.is_zero() {
            return Err(malformed("keys of a ceremony have a transcript, development keys have none".to_owned()));
        }
        if header.dev && !is_local_chain(chain_id) {
            return Err(ChainError::DevKeys { digest: self.digest, chain_id });
        }
        Ok(())
    }
}

/// An example consumer to create.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerSpec {
    /// Its model: a classifier with one input and one output.
    pub model: B256,
}

/// What is to be on the chain in the end, besides registry, verifier and oracle.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeployPlan {
    /// The registry's owner; the manifest's where it is not given, the signer where there is none.
    pub owner: Option<Address>,
    /// The registry's guardian; the manifest's where it is not given, the owner where there is none and the chain is local.
    pub guardian: Option<Address>,
    /// Seconds between adding and serving; the manifest's where it is not given, else the least that the chain's registry takes.
    pub delay: Option<u64>,
    /// Models to register.
    pub models: Vec<ModelKeys>,
    /// Consumers to create: at most one a model is kept.
    pub consumers: Vec<ConsumerSpec>,
    /// Feeds to create: one for each distinct specification.
    pub feeds: Vec<FeedSpec>,
}

impl DeployPlan {
    /// Refuses what can be refused without a look at the chain, beyond its id.
    pub(crate) fn check(&self, chain_id: u64) -> Result<(), ChainError> {
        self.models.iter().try_for_each(|model| model.check(chain_id))
    }

    /// What the registry is, or will be, made with.
    pub(crate) fn parameters(
        &self,
        path: &Path,
        chain_id: u64,
        signer: Address,
        recorded: Option<RegistryParameters>,
    ) -> Result<RegistryParameters, ChainError> {
        let wrong = |reason: String| ChainError::Parameters { chain_id, reason };
        let local = is_local_chain(chain_id);
        let owner = self.owner.or(recorded.map(|r| r.owner)).unwrap_or(signer);
        let guardian = self.guardian.or(recorded.map(|r| r.guardian)).or(local.then_some(owner)).ok_or_else(|| {
            wrong("it has no guardian, who may stop things: give an account whose key is kept elsewhere than the owner's".to_owned())
        })?;
        let delay = self.delay.or(recorded.map(|r| r.delay)).unwrap_or(if local { 0 } else { MIN_DELAY });
        if owner.is_zero() || guardian.is_zero() {
            return Err(wrong("owner and guardian cannot be the zero address".to_owned()));
        }
        if delay < MIN_DELAY && !local {
            return Err(wrong(format!("its delay is {delay} s, and must be at least {MIN_DELAY} s: the chain is not local")));
        }
        if delay > u64::from(u32::MAX) {
            return Err(wrong(format!("its delay is {delay} s, more than the {} s that there is room for", u32::MAX)));
        }
        let parameters = RegistryParameters { owner, guardian, delay };
        match recorded {
            Some(recorded) if recorded != parameters => {
                Err(ChainError::ManifestParameters { path: path.to_owned(), parameters: Box::new((recorded, parameters)) })
            }
            _ => Ok(parameters),
        }
    }

    /// All steps, in order. What is done already is among them.
    pub(crate) fn steps(&self, parameters: RegistryParameters, chain_id: u64) -> Vec<Planned> {
        let registry = Planned::deterministic(Step::ModelRegistry { parameters }, &parameters.encode());
        let contracts = Contracts::new(parameters, chain_id);
        let selector = verifier_selector(chain_id);
        let of_registry = contracts.registry.abi_encode();
        let verifier = Planned::deterministic(verifier_step(chain_id), &Contracts::verifier_arguments(contracts.registry, chain_id));
        let oracle = Planned::deterministic(Step::InferenceOracle, &of_registry);
        let mut steps = vec![registry, verifier, oracle];
        // What anybody may do comes before what only the owner may.
        for model in &self.models {
            steps.extend(model.chunks().map(|chunk| {
                let call = ModelRegistry::writeChunkCall { chunk: Bytes::copy_from_slice(chunk) };
                Planned::call(Step::Chunk { model: model.digest, hash: keccak256(chunk) }, contracts.registry, &call)
            }));
        }
        let call = ModelRegistry::addVerifierCall { selector, verifier: contracts.verifier };
        let step = Step::AddVerifier { selector, verifier: contracts.verifier };
        steps.push(Planned::call(step, contracts.registry, &call));
        steps.extend(self.models.iter().map(|model| {
            let chunks = model.chunk_hashes();
            let call = ModelRegistry::registerCall { chunkHashes: chunks.clone(), transcriptHash: model.transcript_hash };
            let (setup_digest, dev, transcript_hash) = (model.setup_digest, model.dev, model.transcript_hash);
            Planned::call(Step::Register { model: model.digest, setup_digest, dev, transcript_hash, chunks }, contracts.registry, &call)
        }));
        steps.extend(self.consumers.iter().map(|&ConsumerSpec { model }| Planned {
            step: Step::Consumer { model },
            creates: None,
            draft: Draft {
                to: None,
                value: U256::ZERO,
                data: [DigitConsumer::BYTECODE.as_ref(), &(contracts.oracle, model, selector).abi_encode_params()].concat().into(),
            },
        }));
        steps.extend(self.feeds.iter().map(|spec| {
            let config = crate::bindings::feed::IInferenceFeed::Config {
                oracle: contracts.oracle,
                modelDigest: spec.model,
                source: spec.source,
                verifier: selector,
                outputIndex: U256::from(spec.output_index),
                decimals: spec.decimals,
                maxAge: U256::from(spec.max_age),
                description: spec.description.clone(),
                sequencerUptimeFeed: spec.sequencer_uptime_feed,
                gracePeriod: U256::from(spec.grace_period),
            };
            Planned::deterministic(Step::Feed { spec: spec.clone() }, &config.abi_encode())
        }));
        steps
    }
}

/// Where the contracts are that everything hangs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contracts {
    /// `ModelRegistry`.
    pub registry: Address,
    /// `BundleVerifier`, or `BundleVerifier0x09` on Bittensor.
    pub verifier: Address,
    /// `InferenceOracle`.
    pub oracle: Address,
}

impl Contracts {
    /// The addresses on a chain, for a registry made with these parameters: the same on all but Bittensor, which has another verifier.
    pub fn new(parameters: RegistryParameters, chain_id: u64) -> Self {
        let registry = factory::creation(&ModelRegistry::BYTECODE, &parameters.encode()).address;
        let at = |code: &[u8], arguments: &[u8]| factory::creation(code, arguments).address;
        let verifier = at(
            creation_code(&verifier_step(chain_id)).map(|code| code.as_ref()).unwrap_or_default(),
            &Self::verifier_arguments(registry, chain_id),
        );
        Self { registry, verifier, oracle: at(&InferenceOracle::BYTECODE, &registry.abi_encode()) }
    }

    fn verifier_arguments(registry: Address, chain_id: u64) -> Vec<u8> {
        (registry, verifier_selector(chain_id)).abi_encode_params()
    }
}

/// The step that creates a chain's verifier: the build that calls the addition of points where the chain has it.
const fn verifier_step(chain_id: u64) -> Step {
    match Addition::of_chain(chain_id) {
        Addition::At0x06 => Step::BundleVerifier,
        Addition::At0x09 => Step::BundleVerifier0x09,
    }
}

/// The creation code of a step that creates a contract.
pub(crate) fn creation_code(step: &Step) -> Option<&'static Bytes> {
    Some(match step {
        Step::ModelRegistry { .. } => &ModelRegistry::BYTECODE,
        Step::BundleVerifier => &BundleVerifier::BYTECODE,
        Step::BundleVerifier0x09 => &BundleVerifier0x09::BYTECODE,
        Step::InferenceOracle => &InferenceOracle::BYTECODE,
        Step::Consumer { .. } => &DigitConsumer::BYTECODE,
        Step::Feed { .. } => &InferenceFeed::BYTECODE,
        Step::FundFactory | Step::Factory | Step::AddVerifier { .. } | Step::Chunk { .. } | Step::Register { .. } => return None,
    })
}

/// A step and the transaction that does it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Planned {
    pub(crate) step: Step,
    /// The contract that it creates, if its address follows from the plan.
    pub(crate) creates: Option<Creation>,
    pub(crate) draft: Draft,
}

impl Planned {
    fn deterministic(step: Step, arguments: &[u8]) -> Self {
        let code = creation_code(&step).map(|code| code.as_ref()).unwrap_or_default();
        let creates = Some(factory::creation(code, arguments));
        Self { step, creates, draft: Draft::call(FACTORY, factory::calldata(&[code, arguments].concat())) }
    }

    fn call(step: Step, to: Address, call: &impl SolCall) -> Self {
        Self { step, creates: None, draft: Draft::call(to, call.abi_encode().into()) }
    }

    /// Pays for the transaction that creates the proxy.
    pub(crate) fn fund_factory(wei: U256) -> Self {
        let draft = Draft { to: Some(factory::CREATOR), data: Bytes::new(), value: wei };
        Self { step: Step::FundFactory, creates: None, draft }
    }

    /// Whether only the registry's owner may do it.
    pub(crate) const fn is_owners(&self) -> bool {
        matches!(self.step, Step::AddVerifier { .. } | Step::Register { .. })
    }
}

/// What a manifest's record of a contract is compared with: which step made it.
pub(crate) fn records(manifest: &Manifest) -> Vec<(Step, &crate::manifest::ContractRecord)> {
    let mut records = Vec::new();
    if let (Some(record), Some(parameters)) = (&manifest.model_registry, manifest.parameters) {
        records.push((Step::ModelRegistry { parameters }, record));
    }
    records.extend(manifest.bundle_verifier.as_ref().map(|record| (verifier_step(manifest.chain_id), record)));
    records.extend(manifest.inference_oracle.as_ref().map(|record| (Step::InferenceOracle, record)));
    records.extend(manifest.consumers.iter().map(|record| (Step::Consumer { model: record.model }, &record.contract)));
    records.extend(manifest.feeds.iter().map(|record| (Step::Feed { spec: record.spec.clone() }, &record.contract)));
    records
}
