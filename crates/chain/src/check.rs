//! Compares a chain with what a manifest says of it.

use std::fmt;

use alloy::eips::BlockId;
use alloy::primitives::{Address, B256, Selector, keccak256};

use crate::bindings::{ModelRegistry, ServiceStatus};
use crate::constants::{VERIFIER_SELECTOR, VERIFIER_SELECTOR_0X09, verifier_selector};
use crate::factory::{FACTORY, made_code};
use crate::manifest::{ContractRecord, Manifest, ModelRecord, RegistryParameters, Step};
use crate::plan::{creation_code, records};
use crate::{Chain, ChainError, ModelKeys};

/// Something that is not as the manifest says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The contract, model or parameter.
    pub subject: String,
    /// What is wrong with it.
    pub what: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.subject, self.what)
    }
}

/// The differences of one subject.
struct Differences<'a> {
    subject: &'a str,
    found: Vec<Difference>,
}

impl<'a> Differences<'a> {
    const fn of(subject: &'a str) -> Self {
        Self { subject, found: Vec::new() }
    }

    fn add(&mut self, what: impl Into<String>) {
        self.found.push(Difference { subject: self.subject.to_owned(), what: what.into() });
    }

    fn compare<T: PartialEq + fmt::Display>(&mut self, what: &str, recorded: &T, found: &T) {
        if recorded != found {
            self.add(format!("{what} is {found} on the chain, {recorded} in the manifest"));
        }
    }
}

/// Everything in which a chain is not as a manifest says, each by name. Empty where all is well.
///
/// # Errors
/// The node is away, refuses, or cannot do what is asked: then nothing is known.
pub async fn differences(chain: &Chain, manifest: &Manifest) -> Result<Vec<Difference>, ChainError> {
    let mut found = code_differences(chain, manifest).await?;
    // Only of a contract that is what it should be does it mean anything what it answers.
    let (Some(registry), Some(parameters), true) = (&manifest.model_registry, manifest.parameters, found.is_empty()) else {
        return Ok(found);
    };
    found.extend(registry_differences(chain, registry, parameters).await?);
    if let Some(record) = &manifest.verifier {
        let (status, address) = verifier_status(chain, registry.address, record.selector, None).await?;
        let subject = format!("verifier {}", record.selector);
        let mut differences = Differences::of(&subject);
        differences.compare("its address", &record.address, &address);
        if matches!(status, ServiceStatus::None | ServiceStatus::Tombstoned) {
            differences.add(format!("it is {status} in the registry"));
        }
        if manifest.bundle_verifier.as_ref().is_none_or(|contract| contract.address != record.address) {
            differences.add("the manifest has another BundleVerifier");
        }
        found.extend(differences.found);
    }
    for (digest, record) in &manifest.models {
        found.extend(model_differences(chain, registry.address, *digest, record).await?);
    }
    if let Some(pending) = &manifest.pending {
        let subject = pending.step.subject();
        let mut differences = Differences::of(&subject);
        differences.add(format!("transaction {} ({}) is not finished: run the deployment again", pending.tx_hash, pending.step));
        found.extend(differences.found);
    }
    Ok(found)
}

/// As [`differences`], of what can never change: chain, contracts' code, and that there are contracts to rely on.
pub(crate) async fn code_differences(chain: &Chain, manifest: &Manifest) -> Result<Vec<Difference>, ChainError> {
    let mut broken = Differences::of("manifest");
    if manifest.chain_id != chain.id() {
        broken.add(format!("it is of chain {}, the node of chain {}", manifest.chain_id, chain.id()));
        return Ok(broken.found);
    }
    let has_registry = manifest.model_registry.is_some() && manifest.parameters.is_some();
    let relies = !records(manifest).is_empty() || manifest.model_registry.is_some() || !manifest.models.is_empty();
    if !has_registry && (relies || manifest.verifier.is_some()) {
        broken.add("it has entries that rely on a registry, and no registry with its parameters");
        return Ok(broken.found);
    }
    let mut found = Vec::new();
    for (step, record) in records(manifest) {
        found.extend(contract_differences(chain, &step, record).await?);
    }
    if let Some(record) = &manifest.verifier {
        let selector = verifier_selector(manifest.chain_id);
        let subject = format!("verifier {}", record.selector);
        let mut differences = Differences::of(&subject);
        // One that no zkslice gives is for the registry to know.
        if record.selector != selector && [VERIFIER_SELECTOR, VERIFIER_SELECTOR_0X09].contains(&record.selector) {
            differences
                .add(format!("the verifier of chain {} has selector {selector}: move the manifest away and deploy anew", chain.id()));
        }
        found.extend(differences.found);
    }
    Ok(found)
}

/// In what a contract is not as its record says, and its record not as this build says.
pub(crate) async fn contract_differences(chain: &Chain, step: &Step, record: &ContractRecord) -> Result<Vec<Difference>, ChainError> {
    let subject = step.subject();
    let mut differences = Differences::of(&subject);
    let init_code = [creation_code(step).map(|code| code.as_ref()).unwrap_or_default(), &record.constructor_args].concat();
    let is_this_build = keccak256(&init_code) == record.init_code_hash;
    if let Some((other, why)) = other_layout(step, record) {
        differences.add(format!(
            "it is {other} in the manifest, and chain {} {why}: move the manifest away and deploy anew, which takes {subject}",
            chain.id()
        ));
    } else if !is_this_build {
        differences.add("it is of another build of the contracts than this zkslice's: use the zkslice that deployed it");
    }
    if let Step::ModelRegistry { parameters } = step
        && parameters.encode() != record.constructor_args
    {
        differences.add("the manifest's parameters are not its constructor's arguments");
    }
    if let Some(salt) = record.salt
        && FACTORY.create2(salt, record.init_code_hash) != record.address
    {
        differences.add(format!("{} is not the address that its salt and creation code give", record.address));
    }
    match chain.code_hash(record.address).await? {
        None => differences.add(format!("there is no code at {}", record.address)),
        Some(code_hash) => {
            differences.compare("its code hash", &record.code_hash, &code_hash);
            // A consumer opens its feed when it is created, which it can do but once.
            if is_this_build && !matches!(step, Step::Consumer { .. }) {
                match made_code(chain, &subject, record.address, init_code.into()).await {
                    Ok(made) if keccak256(&made) == code_hash => {}
                    Ok(made) => {
                        differences.add(format!("its creation code makes code {} here, the chain has {code_hash}", keccak256(&made)));
                    }
                    Err(ChainError::Reverted { data, .. }) => {
                        differences.add(format!("its creation code makes nothing here: {}", crate::bindings::decode_revert(&data)));
                    }
                    Err(error) => return Err(error),
                }
            }
        }
    }
    Ok(differences.found)
}

/// The verifier's build for the other kind of chains, where a record is of that one, and what this chain has instead.
fn other_layout(step: &Step, record: &ContractRecord) -> Option<(String, &'static str)> {
    let (other, why) = match step {
        Step::BundleVerifier => (Step::BundleVerifier0x09, "has the addition of points at 0x06, not at 0x09"),
        Step::BundleVerifier0x09 => {
            (Step::BundleVerifier, "has the addition of points at 0x09, and at 0x06 what runs calls in the caller's name")
        }
        _ => return None,
    };
    let init_code = [creation_code(&other)?.as_ref(), &record.constructor_args].concat();
    (keccak256(&init_code) == record.init_code_hash).then(|| (other.subject(), why))
}

async fn registry_differences(
    chain: &Chain,
    record: &ContractRecord,
    parameters: RegistryParameters,
) -> Result<Vec<Difference>, ChainError> {
    let contract = ModelRegistry::new(record.address, chain.provider());
    let at = |what: &'static str| move |e: alloy::contract::Error| chain.contract_error(what, &e);
    let mut differences = Differences::of("ModelRegistry");
    differences.compare("its owner", &parameters.owner, &contract.owner().call().await.map_err(at("ModelRegistry.owner"))?);
    differences.compare("its guardian", &parameters.guardian, &contract.guardian().call().await.map_err(at("ModelRegistry.guardian"))?);
    let delay = contract.delay().call().await.map_err(at("ModelRegistry.delay"))?;
    differences.compare("its delay", &parameters.delay.to_string(), &delay.to_string());
    if contract.frozen().call().await.map_err(at("ModelRegistry.frozen"))? {
        differences.add("it was frozen");
    }
    Ok(differences.found)
}

/// What a registry has of a model that is not as these keys, and their ceremony's transcript, say.
///
/// # Errors
/// The node is away, refuses, or answers what cannot be.
pub async fn registered_differences(chain: &Chain, registry: Address, keys: &ModelKeys) -> Result<Vec<Difference>, ChainError> {
    let ModelKeys { digest, dev, setup_digest, transcript_hash, .. } = *keys;
    let record = ModelRecord { setup_digest, dev, transcript_hash, chunks: keys.chunk_hashes(), tx_hash: None };
    model_differences(chain, registry, digest, &record).await
}

async fn model_differences(chain: &Chain, registry: Address, digest: B256, record: &ModelRecord) -> Result<Vec<Difference>, ChainError> {
    let subject = format!("model {digest}");
    let mut differences = Differences::of(&subject);
    let status = model_status(chain, registry, digest, None).await?;
    if matches!(status, ServiceStatus::None | ServiceStatus::Tombstoned) {
        differences.add(format!("it is {status} in the registry"));
    }
    let contract = ModelRegistry::new(registry, chain.provider());
    let (info, blob) = match (contract.modelInfo(digest).call().await, contract.blob(digest).call().await) {
        (Ok(info), Ok(blob)) => (info, blob),
        (Err(error), _) | (_, Err(error)) => {
            return match chain.contract_error("ModelRegistry.blob", &error) {
                // Not registered, as its status says.
                ChainError::Reverted { .. } => Ok(differences.found),
                error => Err(error),
            };
        }
    };
    differences.compare("its setup digest", &record.setup_digest, &info.setupDigest);
    differences.compare("its dev flag", &record.dev, &info.dev);
    differences.compare("its transcript's hash", &record.transcript_hash, &info.transcriptHash);
    match ModelKeys::from_blob(digest, blob.to_vec()) {
        Ok(keys) if keys.chunk_hashes() == record.chunks => {}
        Ok(_) => differences.add("its key blob has other chunks than the manifest says"),
        Err(error) => differences.add(error.to_string()),
    }
    Ok(differences.found)
}

/// A model's state in a registry, now or as of a block.
///
/// # Errors
/// The node is away, refuses, or answers what cannot be.
pub async fn model_status(chain: &Chain, registry: Address, digest: B256, block: Option<u64>) -> Result<ServiceStatus, ChainError> {
    let what = "ModelRegistry.modelStatus";
    let contract = ModelRegistry::new(registry, chain.provider());
    let value = contract.modelStatus(digest).block(at(block)).call().await.map_err(|e| chain.contract_error(what, &e))?;
    ServiceStatus::from_u8(value).ok_or_else(|| chain.nonsense(what, &format!("there is no status {value}")))
}

/// A verifier's state in a registry, and its address, now or as of a block.
///
/// # Errors
/// The node is away, refuses, or answers what cannot be.
pub async fn verifier_status(
    chain: &Chain,
    registry: Address,
    selector: Selector,
    block: Option<u64>,
) -> Result<(ServiceStatus, Address), ChainError> {
    let what = "ModelRegistry.verifierStatus";
    let contract = ModelRegistry::new(registry, chain.provider());
    let found = contract.verifierStatus(selector).block(at(block)).call().await.map_err(|e| chain.contract_error(what, &e))?;
    let status =
        ServiceStatus::from_u8(found.status).ok_or_else(|| chain.nonsense(what, &format!("there is no status {}", found.status)))?;
    Ok((status, found.verifier))
}

fn at(block: Option<u64>) -> BlockId {
    block.map_or(BlockId::latest(), BlockId::from)
}
