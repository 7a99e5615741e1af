//! What a deployment would do, without doing it: the node runs its transactions one after the other, and nothing is sent or written.

use alloy::primitives::{Address, B256, Bytes, U256};
use alloy::providers::Provider;
use alloy::rpc::types::TransactionRequest;
use alloy::rpc::types::simulate::{SimBlock, SimCallResult, SimulatePayload};
use alloy::rpc::types::state::{AccountOverride, StateOverride};

use crate::bindings::{ModelRegistry, decode_revert};
use crate::check;
use crate::deploy::{Deployer, StepState, state_of};
use crate::factory::{self, CREATION_COST, CREATION_GAS, CREATOR, FACTORY, FACTORY_CODE};
use crate::manifest::{RegistryParameters, Step};
use crate::plan::{Contracts, DeployPlan, Planned};
use crate::transaction::{Draft, Fees, with_margin};
use crate::{Chain, ChainError};

/// What a deployment would do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DryRun {
    /// The chain.
    pub chain_id: u64,
    /// What the registry is, or would be, made with.
    pub parameters: RegistryParameters,
    /// Where the contracts are, or would be.
    pub contracts: Contracts,
    /// All steps in order, those done too.
    pub steps: Vec<DryStep>,
    /// A transaction of an earlier run, which would be looked after first.
    pub pending: Option<B256>,
    /// Gas of all that the signer would send; `None` if the node cannot say.
    pub gas: Option<u64>,
    /// What a unit of gas may cost.
    pub fees: Fees,
    /// What the signer would pay if the base fee stays, in wei.
    pub cost: Option<U256>,
    /// The most that the signer could pay, in wei.
    pub max_cost: Option<U256>,
    /// What the signer has, in wei.
    pub balance: U256,
}

/// A step of a deployment, not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DryStep {
    /// What it does.
    pub step: Step,
    /// The contract that it makes, if its address follows from the plan.
    pub address: Option<Address>,
    /// What would come of it.
    pub outcome: Outcome,
}

/// What would come of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing is to be done.
    Done,
    /// It would take so much gas.
    Gas(u64),
    /// It is left to the registry's owner, who would send this to the registry; it would take so much gas.
    Owner(Bytes, u64),
    /// It would fail, with this reason.
    Fails(String),
    /// The node cannot say.
    Unknown,
}

impl Deployer {
    /// What [`Deployer::deploy`] would do. Sends nothing and writes nothing.
    ///
    /// # Errors
    /// As [`Deployer::deploy`] before anything is sent.
    pub async fn dry_run(&self, plan: &DeployPlan) -> Result<DryRun, ChainError> {
        let chain = self.chain();
        let (manifest, parameters) = self.prepare(plan).await?;
        let contracts = Contracts::new(parameters, chain.id());
        let differences = check::code_differences(chain, &manifest).await?;
        if !differences.is_empty() {
            return Err(ChainError::ManifestDiffers { path: self.path().to_owned(), chain_id: chain.id(), differences });
        }
        let mut planned = plan.steps(parameters, chain.id());
        let has_factory = factory::exists(chain).await?;
        let missing = CREATION_COST.saturating_sub(chain.balance(CREATOR).await?);
        if !has_factory {
            planned.insert(0, Planned { step: Step::Factory, creates: None, draft: Draft::call(CREATOR, Bytes::new()) });
            planned.insert(0, Planned::fund_factory(missing));
        }
        let mut states = Vec::new();
        for step in &planned {
            states.push(match step.step {
                Step::FundFactory if missing.is_zero() => StepState::Recorded,
                _ => state_of(chain, &manifest, contracts.registry, step).await?,
            });
        }
        let owner = owner(chain, &contracts, parameters).await?;
        let outcomes = self.outcomes(&planned, &states, has_factory, owner).await?;
        let steps: Vec<DryStep> = planned
            .into_iter()
            .zip(outcomes)
            .map(|(planned, outcome)| DryStep {
                address: planned.creates.as_ref().map(|creation| creation.address),
                step: planned.step,
                outcome,
            })
            .collect();
        let fees = Fees::now(chain, self.max_fee_per_gas()).await?;
        let of_signer = |step: &DryStep| match (&step.step, &step.outcome) {
            // Paid for by its own account.
            (Step::Factory, _) | (_, Outcome::Done | Outcome::Owner(..)) => Some(0),
            (_, Outcome::Gas(gas)) => Some(*gas),
            (_, Outcome::Fails(_) | Outcome::Unknown) => None,
        };
        let gas: Option<Vec<u64>> = steps.iter().map(of_signer).collect();
        let funds = if has_factory { U256::ZERO } else { missing };
        let cost = |gas: u64, price: u128| U256::from(gas).saturating_mul(U256::from(price)).saturating_add(funds);
        Ok(DryRun {
            chain_id: chain.id(),
            parameters,
            contracts,
            steps,
            pending: manifest.pending.as_ref().map(|pending| pending.tx_hash),
            gas: gas.as_ref().map(|gas| gas.iter().sum()),
            cost: gas.as_ref().map(|gas| cost(gas.iter().sum(), fees.expected())),
            max_cost: gas.as_ref().map(|gas| cost(gas.iter().map(|gas| with_margin(*gas)).sum(), fees.max_fee)),
            fees,
            balance: chain.balance(self.signer()).await?,
        })
    }

    /// Runs what is missing, each step on the state that those before it leave.
    async fn outcomes(
        &self,
        planned: &[Planned],
        states: &[StepState],
        has_factory: bool,
        owner: Address,
    ) -> Result<Vec<Outcome>, ChainError> {
        let is_run = |(planned, state): &(&Planned, &StepState)| **state == StepState::Missing && planned.step != Step::Factory;
        let runs: Vec<&Planned> = planned.iter().zip(states).filter(is_run).map(|(planned, _)| planned).collect();
        // A block each, so that no block's gas limit is in the way.
        let mut blocks: Vec<SimBlock> = runs
            .iter()
            .map(|planned| {
                let from = if planned.is_owners() { owner } else { self.signer() };
                SimBlock { calls: vec![simulable(&planned.draft).request(from, None)], ..SimBlock::<TransactionRequest>::default() }
            })
            .collect();
        if let (Some(first), false) = (blocks.first_mut(), has_factory) {
            let account = AccountOverride { code: Some(FACTORY_CODE), ..Default::default() };
            first.state_overrides = Some(StateOverride::from_iter([(FACTORY, account)]));
        }
        let payload = SimulatePayload { block_state_calls: blocks, ..Default::default() };
        let results = if runs.is_empty() {
            Some(Vec::new())
        } else {
            match self.chain().provider().simulate(&payload).await {
                Ok(blocks) => Some(blocks.into_iter().flat_map(|block| block.calls).collect::<Vec<_>>()),
                Err(error) => match self.chain().error("a simulation", &error) {
                    // Not every node has the method, and those that have it limit it.
                    ChainError::Refused { reason, .. } => {
                        tracing::warn!(%reason, "the node does not simulate; gas is not known");
                        None
                    }
                    error => return Err(error),
                },
            }
        };
        let mut results = results.map(Vec::into_iter);
        Ok(planned
            .iter()
            .zip(states)
            .map(|(planned, state)| match (&planned.step, state, &mut results) {
                (_, StepState::Recorded | StepState::OnChain, _) => Outcome::Done,
                (Step::Factory, ..) => Outcome::Gas(CREATION_GAS),
                (_, _, Some(results)) => match results.next() {
                    Some(result) if !result.status => Outcome::Fails(reason(&result)),
                    Some(result) if planned.is_owners() && owner != self.signer() => {
                        Outcome::Owner(planned.draft.data.clone(), result.gas_used)
                    }
                    Some(result) => Outcome::Gas(result.gas_used),
                    None => Outcome::Unknown,
                },
                (_, _, None) => Outcome::Unknown,
            })
            .collect())
    }
}

/// The registry's owner, now or once there is one.
async fn owner(chain: &Chain, contracts: &Contracts, parameters: RegistryParameters) -> Result<Address, ChainError> {
    if chain.code_hash(contracts.registry).await?.is_none() {
        return Ok(parameters.owner);
    }
    let registry = ModelRegistry::new(contracts.registry, chain.provider());
    registry.owner().call().await.map_err(|e| chain.contract_error("ModelRegistry.owner", &e))
}

/// A transaction as every node simulates it. Not every one takes a creation here: run by the proxy it is the same code, for the same gas to
/// a few thousand.
fn simulable(draft: &Draft) -> Draft {
    match draft.to {
        Some(_) => draft.clone(),
        None => Draft::call(FACTORY, factory::calldata(&draft.data)),
    }
}

fn reason(result: &SimCallResult) -> String {
    match &result.error {
        _ if !result.return_data.is_empty() => decode_revert(&result.return_data),
        Some(error) => error.message.clone(),
        None => decode_revert(&[]),
    }
}

impl DryRun {
    /// Whether every step is done, or can be done by the signer with what it has.
    pub fn is_feasible(&self) -> bool {
        let can = |step: &DryStep| matches!(step.outcome, Outcome::Done | Outcome::Gas(_));
        self.steps.iter().all(can) && self.max_cost.is_some_and(|cost| cost <= self.balance)
    }
}
