//! Idempotent deployment, from embedded creation code: no compiler is needed.
//!
//! A deployment is a list of steps that follow from the plan alone, each one transaction. Contracts are made by the deterministic
//! deployment proxy ([`crate::factory`]), so their addresses are known before and are the same on every chain; only the example
//! consumer, which belongs to whoever creates it, is created by a transaction of its own.
//!
//! Each step looks at the chain first: what is there already is recorded and stays. Before a transaction is sent, it is in the manifest
//! with its nonce, hash and bytes; after it is mined, its outcome replaces it. So a run that was killed knows on its next start what
//! may be out: it looks for the receipt, sends the same bytes again where there is none, and only goes on with the steps when that
//! nonce is used by something else.
//!
//! What the manifest says is compared with the chain first, see [`crate::check`]. A difference is an error, never mended silently.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use alloy::primitives::{Address, B256, keccak256};
use alloy::rpc::types::TransactionReceipt;
use alloy::signers::local::PrivateKeySigner;
use tokio::time::{Instant, sleep};

use crate::bindings::{ModelRegistry, ServiceStatus};
use crate::check::{self, Difference, model_status, verifier_status};
use crate::constants::{LOST_GRACE, RECEIPT_POLL, RECEIPT_TIMEOUT};
use crate::evm;
use crate::factory::{self, CREATION_COST, CREATION_TRANSACTION, CREATOR};
use crate::manifest::{
    self, ConsumerRecord, ContractRecord, Creation, FeedRecord, Manifest, ModelRecord, PendingTransaction, RegistryParameters, Step,
    VerifierRecord,
};
use crate::plan::{Contracts, Planned, creation_code, records};
use crate::transaction::{Broadcast, Draft, Fees, broadcast, with_margin};
use crate::{Chain, ChainError, OwnerCall};

pub use crate::plan::{ConsumerSpec, DeployPlan, FeedSpec, ModelKeys};

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
    /// `BundleVerifier`, or `BundleVerifier0x09` on Bittensor.
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
    /// local; [`ChainError::OldEvm`]; [`ChainError::Parameters`]; a manifest that is broken, newer, locked, or differs from the chain. Once all is done that
    /// anybody may do: [`ChainError::NotOwner`], with what the owner has to send. Later: reverts, lack of ether, a node that is away.
    /// After any error the next run goes on.
    pub async fn deploy(&self, plan: &DeployPlan, observer: &mut DeployObserver<'_>) -> Result<Deployment, ChainError> {
        plan.check(self.chain.id())?;
        let lock = manifest::lock(&self.path)?;
        let (manifest, parameters) = self.prepare(plan).await?;
        let contracts = Contracts::new(parameters, self.chain.id());
        let mut run = Run { deployer: self, manifest, parameters, contracts, observer, transactions: 0, gas_used: 0 };
        run.check_manifest().await?;
        if let Some(pending) = run.manifest.pending.clone() {
            run.resume(pending).await?;
        }
        write_standard_input(&self.path)?;
        run.ensure_factory().await?;
        let steps = plan.steps(parameters, self.chain.id());
        for (index, step) in steps.iter().enumerate() {
            // Again where the nonce of its transaction went to another.
            while !run.is_done(step).await? {
                if step.is_owners() {
                    run.require_owner(&steps[index..]).await?;
                }
                run.execute(step).await?;
            }
        }
        let Run { manifest, transactions, gas_used, .. } = run;
        drop(lock);
        let Contracts { registry, verifier, oracle } = contracts;
        Ok(Deployment { registry, verifier, oracle, manifest, transactions, gas_used })
    }

    /// The manifest, or an empty one, and what the registry is made with.
    pub(crate) async fn prepare(&self, plan: &DeployPlan) -> Result<(Manifest, RegistryParameters), ChainError> {
        plan.check(self.chain.id())?;
        let manifest = Manifest::load(&self.path)?.unwrap_or_else(|| Manifest::new(self.chain.id()));
        if manifest.chain_id != self.chain.id() {
            return Err(ChainError::ManifestChain { path: self.path.clone(), found: manifest.chain_id, expected: self.chain.id() });
        }
        let parameters = plan.parameters(&self.path, self.chain.id(), self.signer.address(), manifest.parameters)?;
        evm::require_cancun(&self.chain).await?;
        Ok((manifest, parameters))
    }

    pub(crate) const fn chain(&self) -> &Chain {
        &self.chain
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) const fn signer(&self) -> Address {
        self.signer.address()
    }

    pub(crate) const fn max_fee_per_gas(&self) -> Option<u128> {
        self.max_fee_per_gas
    }
}

/// The contracts' sources and compiler settings, from which explorers verify that they make the deployed code: solc's standard JSON
/// input. A contract's arguments are in the manifest.
pub const STANDARD_INPUT: &str = include_str!("../../../contracts/standard-input.json");

/// Where a manifest's standard JSON input is: beside it.
pub fn standard_input_path(manifest: &Path) -> PathBuf {
    manifest.with_extension("standard-input.json")
}

fn write_standard_input(manifest: &Path) -> Result<(), ChainError> {
    let path = standard_input_path(manifest);
    if std::fs::read(&path).is_ok_and(|bytes| bytes == STANDARD_INPUT.as_bytes()) {
        return Ok(());
    }
    let written = zkslice_formats::write(&path, zkslice_formats::Readers::Umask, STANDARD_INPUT.as_bytes());
    written.map_err(|error| ChainError::ManifestIo { path, reason: error.to_string() })
}

/// A deployment on its way.
struct Run<'a, 'b> {
    deployer: &'a Deployer,
    manifest: Manifest,
    parameters: RegistryParameters,
    contracts: Contracts,
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
    async fn check_manifest(&mut self) -> Result<(), ChainError> {
        let mut differences = check::code_differences(self.chain(), &self.manifest).await?;
        if differences.is_empty()
            && let Some(registry) = &self.manifest.model_registry
        {
            // Whether it serves is for `check`: what was stopped since is no reason not to go on.
            for digest in self.manifest.models.keys() {
                if model_status(self.chain(), registry.address, *digest, None).await? == ServiceStatus::None {
                    let what = "the registry does not know it".to_owned();
                    differences.push(Difference { subject: format!("model {digest}"), what });
                }
            }
        }
        if !differences.is_empty() {
            let path = self.path().to_owned();
            return Err(ChainError::ManifestDiffers { path, chain_id: self.chain().id(), differences });
        }
        let kept: Vec<_> = records(&self.manifest).iter().map(|(step, record)| (step.subject(), record.address)).collect();
        kept.into_iter().try_for_each(|(name, address)| self.report(DeployEvent::Kept { name, address }))
    }

    /// Whether there is nothing to send for a step; what is on the chain already, and not in the manifest, is recorded.
    async fn is_done(&mut self, planned: &Planned) -> Result<bool, ChainError> {
        let state = state_of(self.chain(), &self.manifest, self.contracts.registry, planned).await?;
        if state == StepState::Missing {
            return Ok(false);
        }
        if state == StepState::OnChain {
            match (&planned.step, &planned.creates) {
                (step, Some(creation)) => self.record_contract(step, creation.clone(), None, None).await?,
                (step, None) => self.record_call(step, None),
            }
            self.save()?;
        }
        Ok(true)
    }

    /// Has the chain have the deterministic deployment proxy, by the transaction that nobody has to sign.
    async fn ensure_factory(&mut self) -> Result<(), ChainError> {
        if factory::exists(self.chain()).await? {
            return Ok(());
        }
        let missing = CREATION_COST.saturating_sub(self.chain().balance(CREATOR).await?);
        if !missing.is_zero() {
            self.execute(&Planned::fund_factory(missing)).await?;
        }
        let chain_id = self.chain().id();
        let no_factory = |reason: String| ChainError::NoFactory { chain_id, reason };
        let (step, tx_hash) = (Step::Factory, keccak256(&CREATION_TRANSACTION));
        if let Broadcast::Refused(reason) = broadcast(self.chain(), &CREATION_TRANSACTION).await? {
            return Err(no_factory(format!("the node does not take the transaction that creates it: {reason}")));
        }
        self.report(DeployEvent::Sent { step: step.clone(), tx_hash })?;
        let begin = Instant::now();
        while begin.elapsed() < RECEIPT_TIMEOUT {
            if let Some(receipt) = self.chain().receipt(tx_hash).await? {
                self.report(DeployEvent::Mined { step: step.clone(), tx_hash, gas_used: receipt.gas_used })?;
                if !factory::exists(self.chain()).await? {
                    return Err(no_factory("the transaction that creates it was mined, and failed".to_owned()));
                }
                return self.report(DeployEvent::Recorded { step });
            }
            sleep(RECEIPT_POLL).await;
        }
        Err(ChainError::NotMined { what: step.to_string(), hash: tx_hash, seconds: begin.elapsed().as_secs() })
    }

    /// Passes if the signer owns the registry; else says what the owner has to send.
    async fn require_owner(&mut self, rest: &[Planned]) -> Result<(), ChainError> {
        let registry = self.contracts.registry;
        let contract = ModelRegistry::new(registry, self.chain().provider());
        let owner = contract.owner().call().await.map_err(|e| self.chain().contract_error("ModelRegistry.owner", &e))?;
        let signer = self.deployer.signer.address();
        if owner == signer {
            return Ok(());
        }
        let mut calls = Vec::new();
        for planned in rest.iter().filter(|planned| planned.is_owners()) {
            if !self.is_done(planned).await? {
                calls.push(OwnerCall { what: planned.step.to_string(), data: planned.draft.data.clone() });
            }
        }
        Err(ChainError::NotOwner { registry, owner, signer, calls })
    }

    // ---------------------------------------------------------------------------------------------- doing

    async fn execute(&mut self, planned: &Planned) -> Result<(), ChainError> {
        let Planned { step, draft, .. } = planned;
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
            creates: planned.creates.clone().or_else(|| created_by_nonce(step, draft, sender, nonce)),
            raw: signed.raw,
        };
        self.manifest.pending = Some(pending.clone());
        self.save()?;
        self.report(DeployEvent::Prepared { step: step.clone(), tx_hash: pending.tx_hash })?;
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
        let tx_hash = Some(pending.tx_hash);
        if let Some(creation) = &pending.creates {
            return self.record_contract(&pending.step, creation.clone(), receipt.block_number, tx_hash).await;
        }
        self.record_call(&pending.step, tx_hash);
        Ok(())
    }

    /// Records what a call did.
    fn record_call(&mut self, step: &Step, tx_hash: Option<B256>) {
        match step.clone() {
            Step::AddVerifier { selector, verifier } => {
                self.manifest.verifier = Some(VerifierRecord { selector, address: verifier, tx_hash });
            }
            Step::Register { model, setup_digest, dev, transcript_hash, chunks } => {
                self.manifest.models.insert(model, ModelRecord { setup_digest, dev, transcript_hash, chunks, tx_hash });
            }
            _ => {}
        }
    }

    /// Records a contract, once the code there is what its creation code makes.
    async fn record_contract(
        &mut self,
        step: &Step,
        creation: Creation,
        block: Option<u64>,
        tx_hash: Option<B256>,
    ) -> Result<(), ChainError> {
        let (name, address, chain_id) = (step.subject(), creation.address, self.chain().id());
        let Some(code_hash) = self.chain().code_hash(address).await? else {
            return Err(ChainError::NoCode { name, address, chain_id });
        };
        let record = ContractRecord::new(creation, code_hash, block, tx_hash);
        let differences = check::contract_differences(self.chain(), step, &record).await?;
        if !differences.is_empty() {
            return Err(ChainError::ManifestDiffers { path: self.path().to_owned(), chain_id, differences });
        }
        match step {
            Step::ModelRegistry { .. } => {
                self.manifest.parameters = Some(self.parameters);
                self.manifest.model_registry = Some(record);
            }
            Step::BundleVerifier | Step::BundleVerifier0x09 => self.manifest.bundle_verifier = Some(record),
            Step::InferenceOracle => self.manifest.inference_oracle = Some(record),
            Step::Consumer { model } => self.manifest.consumers.push(ConsumerRecord { model: *model, contract: record }),
            Step::Feed { spec } => self.manifest.feeds.push(FeedRecord { spec: spec.clone(), contract: record }),
            Step::FundFactory | Step::Factory | Step::AddVerifier { .. } | Step::Chunk { .. } | Step::Register { .. } => {}
        }
        Ok(())
    }
}

/// Where a step is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StepState {
    /// Its transaction is to be sent.
    Missing,
    /// Done, and in the manifest or of nothing that a manifest has.
    Recorded,
    /// Done, and not in the manifest.
    OnChain,
}

/// Where a step is, by manifest and chain.
///
/// # Errors
/// [`ChainError::VerifierTaken`], [`ChainError::ModelStopped`]: it can never be done. Others where the node is away or refuses.
pub(crate) async fn state_of(chain: &Chain, manifest: &Manifest, registry: Address, planned: &Planned) -> Result<StepState, ChainError> {
    use StepState::{Missing, OnChain, Recorded};

    if let Some(creation) = &planned.creates {
        if records(manifest).iter().any(|(_, record)| record.address == creation.address) {
            return Ok(Recorded);
        }
        return Ok(if chain.code_hash(creation.address).await?.is_some() { OnChain } else { Missing });
    }
    let recorded = match &planned.step {
        Step::Consumer { model } => manifest.consumers.iter().any(|record| record.model == *model),
        Step::AddVerifier { .. } => manifest.verifier.is_some(),
        Step::Chunk { model, .. } | Step::Register { model, .. } => manifest.models.contains_key(model),
        _ => false,
    };
    if recorded {
        return Ok(Recorded);
    }
    // Before there is a registry, it knows nothing.
    if manifest.model_registry.is_none() && chain.code_hash(registry).await?.is_none() {
        return Ok(Missing);
    }
    match &planned.step {
        Step::AddVerifier { selector, verifier } => {
            let (status, found) = verifier_status(chain, registry, *selector, None).await?;
            match status {
                ServiceStatus::None => Ok(Missing),
                ServiceStatus::Pending | ServiceStatus::Active if found == *verifier => Ok(OnChain),
                _ => Err(ChainError::VerifierTaken { registry, selector: *selector, status, verifier: found }),
            }
        }
        Step::Chunk { hash, .. } => {
            let contract = ModelRegistry::new(registry, chain.provider());
            let pointer = contract.chunkPointer(*hash).call().await;
            let pointer = pointer.map_err(|e| chain.contract_error("ModelRegistry.chunkPointer", &e))?;
            Ok(if pointer.is_zero() { Missing } else { Recorded })
        }
        Step::Register { model, .. } => match model_status(chain, registry, *model, None).await? {
            ServiceStatus::None => Ok(Missing),
            ServiceStatus::Tombstoned => Err(ChainError::ModelStopped { registry, digest: *model }),
            ServiceStatus::Pending | ServiceStatus::Active => Ok(OnChain),
        },
        _ => Ok(Missing),
    }
}

/// The contract that a creation transaction makes: by the nonce, since the address is a fact of the transaction.
fn created_by_nonce(step: &Step, draft: &Draft, sender: Address, nonce: u64) -> Option<Creation> {
    let code = creation_code(step).filter(|_| draft.to.is_none())?;
    Some(Creation {
        address: sender.create(nonce),
        salt: None,
        init_code_hash: keccak256(&draft.data),
        constructor_args: draft.data.slice(code.len()..),
    })
}
