//! Idempotent deployment, from embedded creation code: no compiler is needed.
//!
//! A deployment is a list of steps, each one transaction. Before a transaction is sent, it is in the manifest with its nonce, hash
//! and bytes; after it is mined, its outcome replaces it. So a run that was killed knows on its next start what may be out: it looks
//! for the receipt, sends the same bytes again where there is none, and only plans anew when that nonce is used by something else.
//!
//! What the manifest says is compared with the chain first: each contract's code by hash, each model by the registry. A difference is
//! an error, never mended silently.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use alloy::primitives::{Address, B256, Bytes, U256, keccak256};
use alloy::rpc::types::TransactionReceipt;
use alloy::signers::local::PrivateKeySigner;
use alloy::sol_types::{SolCall, SolValue};
use tokio::time::{Instant, sleep};

use crate::bindings::{BundleVerifier, DigitConsumer, InferenceFeed, InferenceOracle, ModelRegistry};
use crate::constants::{LOST_GRACE, MAX_CHUNK_BYTES, RECEIPT_POLL, RECEIPT_TIMEOUT, is_local_chain};
use crate::manifest::{ConsumerRecord, ContractRecord, FeedRecord, Manifest, ManifestLock, ModelRecord, PendingTransaction, Step};
use crate::transaction::{Broadcast, Draft, Fees, broadcast, with_margin};
use crate::{Chain, ChainError, KeyBlobHeader};

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
}

impl ModelKeys {
    /// From a key blob alone; digest, dev flag and setup digest are read from its header.
    ///
    /// # Errors
    /// [`ChainError::MalformedBlob`].
    pub fn from_blob(digest: B256, blob: Vec<u8>) -> Result<Self, ChainError> {
        let header = KeyBlobHeader::parse(digest, &blob)?;
        Ok(Self { digest, blob, dev: header.dev, setup_digest: header.setup_digest })
    }

    fn chunks(&self) -> impl Iterator<Item = &[u8]> {
        self.blob.chunks(MAX_CHUNK_BYTES)
    }

    fn chunk_hashes(&self) -> Vec<B256> {
        self.chunks().map(keccak256).collect()
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
    /// Models to register.
    pub models: Vec<ModelKeys>,
    /// Consumers to create: at most one a model is kept.
    pub consumers: Vec<ConsumerSpec>,
    /// Feeds to create: one for each distinct specification.
    pub feeds: Vec<FeedSpec>,
}

/// What happens in a deployment, as it happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeployEvent {
    /// A contract of the manifest is on the chain as recorded.
    Kept {
        /// Its name.
        name: String,
        /// Where it is.
        address: Address,
    },
    /// The manifest had a transaction without an outcome, which is looked after first.
    Resumed {
        /// What it does.
        step: Step,
        /// Its hash.
        tx_hash: B256,
    },
    /// A transaction is signed and in the manifest, not sent yet.
    Prepared {
        /// What it does.
        step: Step,
        /// Its hash.
        tx_hash: B256,
    },
    /// It is sent.
    Sent {
        /// What it does.
        step: Step,
        /// Its hash.
        tx_hash: B256,
    },
    /// It is mined, not recorded yet.
    Mined {
        /// What it does.
        step: Step,
        /// Its hash.
        tx_hash: B256,
        /// Gas that it took.
        gas_used: u64,
    },
    /// Its outcome is in the manifest.
    Recorded {
        /// What it does.
        step: Step,
    },
}

/// The result of a deployment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deployment {
    /// `ModelRegistry`.
    pub registry: Address,
    /// `BundleVerifier`.
    pub verifier: Address,
    /// `InferenceOracle`.
    pub oracle: Address,
    /// The manifest as it is on disk now.
    pub manifest: Manifest,
    /// Transactions that this run saw mined; 0 when everything was there.
    pub transactions: usize,
    /// Gas that they took.
    pub gas_used: u64,
}

/// Sees each event; `Break` stops the deployment after it, as a kill would, and the next run goes on.
pub type DeployObserver<'a> = dyn FnMut(&DeployEvent) -> ControlFlow<()> + Send + 'a;

/// Deploys to one chain by one account.
#[derive(Debug)]
pub struct Deployer {
    chain: Chain,
    signer: PrivateKeySigner,
    path: PathBuf,
    max_fee_per_gas: Option<u128>,
}

impl Deployer {
    /// A deployer that records in the manifest at `path`.
    pub const fn new(chain: Chain, signer: PrivateKeySigner, path: PathBuf) -> Self {
        Self { chain, signer, path, max_fee_per_gas: None }
    }

    /// Most that a unit of gas may cost, in wei.
    #[must_use]
    pub const fn with_max_fee_per_gas(mut self, wei: u128) -> Self {
        self.max_fee_per_gas = Some(wei);
        self
    }

    /// Brings the chain to what the plan says; what is there already stays.
    ///
    /// # Errors
    /// Before anything is sent: [`ChainError::MalformedBlob`]; [`ChainError::DevKeys`] for development keys on a chain that is not
    /// local; a manifest that is broken, newer, locked, or differs from the chain. Later: reverts, lack of ether, a node that is away.
    /// After any error the next run goes on.
    pub async fn deploy(&self, plan: &DeployPlan, observer: &mut DeployObserver<'_>) -> Result<Deployment, ChainError> {
        self.check_plan(plan)?;
        let lock = ManifestLock::take(&self.path)?;
        let manifest = Manifest::load(&self.path)?.unwrap_or_else(|| Manifest::new(self.chain.id()));
        if manifest.chain_id != self.chain.id() {
            return Err(ChainError::ManifestChain { path: self.path.clone(), found: manifest.chain_id, expected: self.chain.id() });
        }
        let mut run = Run { deployer: self, manifest, observer, transactions: 0, gas_used: 0 };
        run.check_chain().await?;
        if let Some(pending) = run.manifest.pending.clone() {
            run.resume(pending).await?;
        }
        while let Some((step, draft)) = run.next_step(plan).await? {
            run.execute(step, draft).await?;
        }
        let Run { manifest, transactions, gas_used, .. } = run;
        drop(lock);
        let address = |record: &Option<ContractRecord>| record.as_ref().map(|record| record.address).unwrap_or_default();
        Ok(Deployment {
            registry: address(&manifest.model_registry),
            verifier: address(&manifest.bundle_verifier),
            oracle: address(&manifest.inference_oracle),
            manifest,
            transactions,
            gas_used,
        })
    }

    /// What can be refused without a look at the chain, beyond its id.
    fn check_plan(&self, plan: &DeployPlan) -> Result<(), ChainError> {
        for model in &plan.models {
            let header = KeyBlobHeader::parse(model.digest, &model.blob)?;
            let malformed = |reason: String| ChainError::MalformedBlob { digest: model.digest, reason };
            if header.setup_digest != model.setup_digest {
                return Err(malformed(format!("its setup digest is {}, expected {}", header.setup_digest, model.setup_digest)));
            }
            if header.dev != model.dev {
                return Err(malformed(format!("its dev flag is {}, expected {}", header.dev, model.dev)));
            }
            if header.dev && !is_local_chain(self.chain.id()) {
                return Err(ChainError::DevKeys { digest: model.digest, chain_id: self.chain.id() });
            }
        }
        Ok(())
    }
}

/// A deployment on its way.
struct Run<'a, 'b> {
    deployer: &'a Deployer,
    manifest: Manifest,
    observer: &'a mut DeployObserver<'b>,
    transactions: usize,
    gas_used: u64,
}

impl Run<'_, '_> {
    fn chain(&self) -> &Chain {
        &self.deployer.chain
    }

    fn path(&self) -> &Path {
        &self.deployer.path
    }

    fn save(&self) -> Result<(), ChainError> {
        self.manifest.save(self.path())
    }

    fn report(&mut self, event: DeployEvent) -> Result<(), ChainError> {
        tracing::debug!(?event, "deploy");
        match (self.observer)(&event) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(ChainError::Stopped),
        }
    }

    // ---------------------------------------------------------------------------------------------- checking

    /// Compares everything in the manifest with the chain.
    async fn check_chain(&mut self) -> Result<(), ChainError> {
        let manifest = self.manifest.clone();
        let own = [
            ("ModelRegistry", &manifest.model_registry),
            ("BundleVerifier", &manifest.bundle_verifier),
            ("InferenceOracle", &manifest.inference_oracle),
        ];
        let own = own.into_iter().filter_map(|(name, record)| Some((name.to_owned(), record.as_ref()?)));
        let consumers = manifest.consumers.iter().map(|record| (format!("DigitConsumer of {}", record.model), &record.contract));
        let feeds = manifest.feeds.iter().map(|record| (format!("InferenceFeed `{}`", record.spec.description), &record.contract));
        for (name, record) in own.chain(consumers).chain(feeds) {
            self.check_code(name, record).await?;
        }
        for (digest, _) in manifest.models {
            if !self.is_registered(digest).await? {
                let reason = "the manifest says that it is registered, the registry says that it is not".to_owned();
                return Err(ChainError::ModelMismatch { path: self.path().to_owned(), digest, reason });
            }
        }
        Ok(())
    }

    async fn check_code(&mut self, name: String, record: &ContractRecord) -> Result<(), ChainError> {
        let (path, address, chain_id) = (self.path().to_owned(), record.address, self.chain().id());
        match self.chain().code_hash(address).await? {
            None => Err(ChainError::CodeMissing { path, name, address, chain_id }),
            Some(found) if found != record.code_hash => {
                Err(ChainError::CodeMismatch { path, name, address, hashes: Box::new((record.code_hash, found)), chain_id })
            }
            Some(_) => self.report(DeployEvent::Kept { name, address }),
        }
    }

    fn registry(&self) -> Result<Address, ChainError> {
        self.required(&self.manifest.model_registry, "ModelRegistry")
    }

    fn oracle(&self) -> Result<Address, ChainError> {
        self.required(&self.manifest.inference_oracle, "InferenceOracle")
    }

    /// A contract that the steps before this one made, so its absence means that the manifest contradicts itself.
    fn required(&self, record: &Option<ContractRecord>, name: &str) -> Result<Address, ChainError> {
        record.as_ref().map(|record| record.address).ok_or_else(|| ChainError::ManifestMalformed {
            path: self.path().to_owned(),
            reason: format!("it has no {name}, on which other entries rely"),
        })
    }

    async fn is_registered(&self, digest: B256) -> Result<bool, ChainError> {
        let registry = ModelRegistry::new(self.registry()?, self.chain().provider());
        registry.isRegistered(digest).call().await.map_err(|e| self.chain().contract_error("ModelRegistry.isRegistered", &e))
    }

    async fn require_owner(&self) -> Result<(), ChainError> {
        let address = self.registry()?;
        let owner = ModelRegistry::new(address, self.chain().provider())
            .owner()
            .call()
            .await
            .map_err(|e| self.chain().contract_error("ModelRegistry.owner", &e))?;
        let signer = self.deployer.signer.address();
        if owner == signer { Ok(()) } else { Err(ChainError::NotOwner { registry: address, owner, signer }) }
    }

    // ---------------------------------------------------------------------------------------------- planning

    /// The first thing that the plan wants and that is not there.
    async fn next_step(&mut self, plan: &DeployPlan) -> Result<Option<(Step, Draft)>, ChainError> {
        let signer = self.deployer.signer.address();
        if self.manifest.model_registry.is_none() {
            return Ok(Some((Step::ModelRegistry, creation(&ModelRegistry::BYTECODE, (signer,).abi_encode_params()))));
        }
        let registry = self.registry()?;
        let Some(verifier) = &self.manifest.bundle_verifier else {
            return Ok(Some((Step::BundleVerifier, creation(&BundleVerifier::BYTECODE, (registry,).abi_encode_params()))));
        };
        if self.manifest.inference_oracle.is_none() {
            let arguments = (registry, verifier.address).abi_encode_params();
            return Ok(Some((Step::InferenceOracle, creation(&InferenceOracle::BYTECODE, arguments))));
        }
        let oracle = self.oracle()?;
        for model in &plan.models {
            if let Some(next) = self.next_model_step(model, registry).await? {
                return Ok(Some(next));
            }
        }
        for &ConsumerSpec { model } in &plan.consumers {
            if !self.manifest.consumers.iter().any(|record| record.model == model) {
                let arguments = (oracle, model).abi_encode_params();
                return Ok(Some((Step::Consumer { model }, creation(&DigitConsumer::BYTECODE, arguments))));
            }
        }
        for spec in &plan.feeds {
            if !self.manifest.feeds.iter().any(|record| record.spec == *spec) {
                let arguments = (
                    oracle,
                    spec.model,
                    spec.requester,
                    U256::from(spec.output_index),
                    U256::from(spec.decimals),
                    U256::from(spec.max_age),
                    spec.description.clone(),
                );
                return Ok(Some((Step::Feed { spec: spec.clone() }, creation(&InferenceFeed::BYTECODE, arguments.abi_encode_params()))));
            }
        }
        Ok(None)
    }

    async fn next_model_step(&mut self, model: &ModelKeys, registry: Address) -> Result<Option<(Step, Draft)>, ChainError> {
        if self.manifest.models.contains_key(&model.digest) {
            return Ok(None);
        }
        let chunks = model.chunk_hashes();
        if self.is_registered(model.digest).await? {
            let record = ModelRecord { setup_digest: model.setup_digest, dev: model.dev, chunks, tx_hash: None };
            self.manifest.models.insert(model.digest, record);
            self.save()?;
            return Ok(None);
        }
        self.require_owner().await?;
        let contract = ModelRegistry::new(registry, self.chain().provider());
        for (&hash, chunk) in chunks.iter().zip(model.chunks()) {
            let pointer =
                contract.chunkPointer(hash).call().await.map_err(|e| self.chain().contract_error("ModelRegistry.chunkPointer", &e))?;
            if pointer.is_zero() {
                let call = ModelRegistry::writeChunkCall { chunk: Bytes::copy_from_slice(chunk) };
                let draft = Draft { to: Some(registry), data: call.abi_encode().into() };
                return Ok(Some((Step::Chunk { model: model.digest, hash }, draft)));
            }
        }
        let call = ModelRegistry::registerCall { chunkHashes: chunks.clone() };
        let draft = Draft { to: Some(registry), data: call.abi_encode().into() };
        let step = Step::Register { model: model.digest, setup_digest: model.setup_digest, dev: model.dev, chunks };
        Ok(Some((step, draft)))
    }

    // ---------------------------------------------------------------------------------------------- doing

    async fn execute(&mut self, step: Step, draft: Draft) -> Result<(), ChainError> {
        let signer = &self.deployer.signer;
        let sender = signer.address();
        let what = step.to_string();
        let fees = Fees::now(self.chain(), self.deployer.max_fee_per_gas).await?;
        let gas_limit = with_margin(self.chain().estimate_gas(&what, &draft.request(sender, None)).await?);
        let nonce = self.chain().pending_nonce(sender).await?;
        let signed = draft.sign(self.chain().id(), signer, nonce, gas_limit, &fees)?;
        let balance = self.chain().balance(sender).await?;
        if balance < signed.max_cost {
            return Err(ChainError::InsufficientBalance { account: sender, chain_id: self.chain().id(), balance, needed: signed.max_cost });
        }
        let pending = PendingTransaction {
            step: step.clone(),
            sender,
            nonce,
            tx_hash: signed.hash,
            init_code_hash: keccak256(&draft.data),
            raw: signed.raw,
        };
        self.manifest.pending = Some(pending.clone());
        self.save()?;
        self.report(DeployEvent::Prepared { step, tx_hash: pending.tx_hash })?;
        self.finish(pending).await
    }

    async fn resume(&mut self, pending: PendingTransaction) -> Result<(), ChainError> {
        let signer = self.deployer.signer.address();
        if pending.sender != signer {
            return Err(ChainError::PendingOfAnother { path: self.path().to_owned(), sender: pending.sender, signer });
        }
        self.report(DeployEvent::Resumed { step: pending.step.clone(), tx_hash: pending.tx_hash })?;
        self.finish(pending).await
    }

    /// Sees a written-down transaction to its outcome, and records that. Returns without an outcome recorded, and nothing pending, if
    /// its nonce went to another transaction.
    async fn finish(&mut self, pending: PendingTransaction) -> Result<(), ChainError> {
        let step = pending.step.clone();
        let Some(receipt) = self.await_receipt(&pending).await? else {
            tracing::warn!(step = %step, tx_hash = %pending.tx_hash, nonce = pending.nonce, "nonce went to another transaction; planning anew");
            self.manifest.pending = None;
            return self.save();
        };
        self.report(DeployEvent::Mined { step: step.clone(), tx_hash: pending.tx_hash, gas_used: receipt.gas_used })?;
        if !receipt.status() {
            self.manifest.pending = None;
            self.save()?;
            return Err(ChainError::Failed { what: step.to_string(), hash: pending.tx_hash });
        }
        self.record(&pending, &receipt).await?;
        self.manifest.pending = None;
        self.save()?;
        self.transactions += 1;
        self.gas_used += receipt.gas_used;
        self.report(DeployEvent::Recorded { step })
    }

    /// The receipt, or `None` once the nonce is used and there is none.
    async fn await_receipt(&mut self, pending: &PendingTransaction) -> Result<Option<TransactionReceipt>, ChainError> {
        let begin = Instant::now();
        let mut sent = false;
        let mut refusal = None;
        let mut lost_since = None;
        while begin.elapsed() < RECEIPT_TIMEOUT {
            // In this order: if the nonce was used before we looked for the receipt, and there is no receipt, there never will be. That is
            // believed only when it stays so, since nodes behind one address need not agree at once.
            let used = self.chain().nonce(pending.sender).await? > pending.nonce;
            if let Some(receipt) = self.chain().receipt(pending.tx_hash).await? {
                return Ok(Some(receipt));
            }
            if used {
                if lost_since.get_or_insert_with(Instant::now).elapsed() >= LOST_GRACE {
                    return Ok(None);
                }
                sleep(RECEIPT_POLL).await;
                continue;
            }
            match broadcast(self.chain(), &pending.raw).await? {
                Broadcast::Accepted | Broadcast::NonceUsed => {}
                Broadcast::Refused(reason) => {
                    // Not taken now, perhaps later: it stays pending, and the reason is told if it never is.
                    tracing::warn!(step = %pending.step, %reason, "the node does not take the transaction");
                    refusal = Some(reason);
                    if begin.elapsed() > RECEIPT_TIMEOUT / 10 {
                        break;
                    }
                }
            }
            if !sent {
                sent = true;
                self.report(DeployEvent::Sent { step: pending.step.clone(), tx_hash: pending.tx_hash })?;
            }
            sleep(RECEIPT_POLL).await;
        }
        let what = pending.step.to_string();
        Err(match refusal {
            Some(reason) => ChainError::Refused { url: self.chain().url().to_owned(), what, reason },
            None => ChainError::NotMined { what, hash: pending.tx_hash, seconds: begin.elapsed().as_secs() },
        })
    }

    async fn record(&mut self, pending: &PendingTransaction, receipt: &TransactionReceipt) -> Result<(), ChainError> {
        let created = async |what: &str| {
            let invalid = |reason: &str| ChainError::InvalidAnswer {
                url: self.chain().url().to_owned(),
                what: what.to_owned(),
                reason: reason.to_owned(),
            };
            // By the nonce, not by the receipt: the address is a fact of the transaction.
            let address = pending.sender.create(pending.nonce);
            if receipt.contract_address != Some(address) {
                return Err(invalid("the receipt names another address than the transaction creates"));
            }
            let code_hash = self.chain().code_hash(address).await?.ok_or_else(|| invalid("there is no code after creation"))?;
            Ok(ContractRecord { address, code_hash, init_code_hash: pending.init_code_hash, tx_hash: pending.tx_hash })
        };
        match pending.step.clone() {
            Step::ModelRegistry => self.manifest.model_registry = Some(created("ModelRegistry").await?),
            Step::BundleVerifier => self.manifest.bundle_verifier = Some(created("BundleVerifier").await?),
            Step::InferenceOracle => self.manifest.inference_oracle = Some(created("InferenceOracle").await?),
            Step::Chunk { .. } => {}
            Step::Register { model, setup_digest, dev, chunks } => {
                let record = ModelRecord { setup_digest, dev, chunks, tx_hash: Some(pending.tx_hash) };
                self.manifest.models.insert(model, record);
            }
            Step::Consumer { model } => {
                let contract = created("DigitConsumer").await?;
                self.manifest.consumers.push(ConsumerRecord { model, contract });
            }
            Step::Feed { spec } => {
                let contract = created("InferenceFeed").await?;
                self.manifest.feeds.push(FeedRecord { spec, contract });
            }
        }
        Ok(())
    }
}

fn creation(code: &Bytes, arguments: Vec<u8>) -> Draft {
    let mut data = code.to_vec();
    data.extend(arguments);
    Draft { to: None, data: data.into() }
}
