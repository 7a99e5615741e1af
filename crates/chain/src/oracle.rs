//! An oracle as those see it who ask: a request is made, and what became of it is read.

use alloy::primitives::{Address, B256, U256};
use alloy::providers::Provider;
use alloy::rpc::types::{Filter, Log};
use alloy::signers::local::PrivateKeySigner;
use alloy::sol_types::{SolCall, SolEvent};

use crate::bindings::InferenceOracle::{InferenceFulfilled, InferenceOracleInstance, InferenceRequested, requestCall};
use crate::bindings::{InferenceOracle, Request, ServiceStatus, Status};
use crate::check::model_status;
use crate::constants::LOG_RANGE_BLOCKS;
use crate::context::request_id;
use crate::transaction::{Draft, send};
use crate::{Chain, ChainError};

/// An oracle of a chain.
#[derive(Clone, Debug)]
pub struct Oracle {
    chain: Chain,
    address: Address,
    registry: Address,
}

/// A request that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// Its id.
    pub id: B256,
    /// Its requester's nonce.
    pub nonce: U256,
    /// The transaction that made it.
    pub tx_hash: B256,
    /// That transaction's block.
    pub block: u64,
    /// Gas that it took.
    pub gas_used: u64,
}

/// What became of a request.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// Its state.
    pub status: Status,
    /// Unix time at which it was made.
    pub requested_at: u64,
    /// Whether its callback failed, with no successful retry since.
    pub callback_failed: bool,
    /// What was asked for, by whom.
    pub requested: InferenceRequested,
    /// The newest result, where there is one.
    pub result: Option<Fulfilled>,
}

/// A result of a request.
#[derive(Clone, Debug, PartialEq)]
pub struct Fulfilled {
    /// The event that tells of it.
    pub event: InferenceFulfilled,
    /// The transaction that brought it.
    pub tx_hash: B256,
    /// That transaction's block.
    pub block: u64,
}

impl Oracle {
    /// Looks whether there is an oracle at an address, and which registry it has.
    ///
    /// # Errors
    /// [`ChainError::NoOracle`]; others where the node is away or refuses.
    pub async fn open(chain: Chain, address: Address) -> Result<Self, ChainError> {
        let chain_id = chain.id();
        let no_oracle = |reason: &str| ChainError::NoOracle { address, chain_id, reason: reason.to_owned() };
        if chain.code_hash(address).await?.is_none() {
            return Err(no_oracle("there is no code"));
        }
        let contract = InferenceOracle::new(address, chain.provider());
        // `BundleVerifier` has a registry too; only an oracle calls back.
        let registry = match (contract.registry().call().await, contract.MAX_CALLBACK_GAS().call().await) {
            (Ok(registry), Ok(_)) => registry,
            (Err(error), _) | (_, Err(error)) => {
                let error = chain.contract_error("InferenceOracle.registry", &error);
                return Err(if error.is_transient() && !matches!(error, ChainError::InvalidAnswer { .. }) {
                    error
                } else {
                    no_oracle("the code there is another contract's")
                });
            }
        };
        Ok(Self { chain, address, registry })
    }

    /// The registry of the models and verifiers that it serves.
    pub const fn registry(&self) -> Address {
        self.registry
    }

    /// The chain.
    pub const fn chain(&self) -> &Chain {
        &self.chain
    }

    /// Makes sure that the registry serves a model.
    ///
    /// # Errors
    /// [`ChainError::ModelNotServed`]; others where the node is away or refuses.
    pub async fn require_served(&self, digest: B256) -> Result<(), ChainError> {
        match model_status(&self.chain, self.registry, digest, None).await? {
            ServiceStatus::Active => Ok(()),
            status => Err(ChainError::ModelNotServed { digest, registry: self.registry, chain_id: self.chain.id(), status }),
        }
    }

    /// Makes a request and waits until it is mined. Its fee, in ether, comes from the signer.
    ///
    /// # Errors
    /// [`ChainError::ModelNotServed`]; [`ChainError::Reverted`] where the oracle would refuse, and nothing is sent; others as of
    /// [`send`].
    pub async fn request(
        &self,
        signer: &PrivateKeySigner,
        request: Request,
        words: Vec<U256>,
        max_fee: Option<u128>,
    ) -> Result<Made, ChainError> {
        self.require_served(request.modelDigest).await?;
        let what = "InferenceOracle.request";
        let value = if request.feeToken.is_zero() { request.fee } else { U256::ZERO };
        let data = requestCall { request_: request, words }.abi_encode().into();
        let receipt = send(&self.chain, signer, what, &Draft { to: Some(self.address), data, value }, max_fee).await?;
        let event = receipt
            .logs()
            .iter()
            .filter(|log| log.address() == self.address)
            .find_map(|log| InferenceRequested::decode_log_data(log.data()).ok())
            .ok_or_else(|| self.chain.nonsense(what, "its receipt has no InferenceRequested event"))?;
        Ok(Made {
            id: event.requestId,
            nonce: event.nonce,
            tx_hash: receipt.transaction_hash,
            block: receipt.block_number.unwrap_or_default(),
            gas_used: receipt.gas_used,
        })
    }

    /// Reads a request's state and, from the oracle's events, what was asked and answered.
    ///
    /// The oracle stores when a request was made: its block is found by that time, so that nodes which limit the range of logs serve too.
    ///
    /// # Errors
    /// [`ChainError::NoRequest`]; others where the node is away, refuses, or lacks the events.
    pub async fn outcome(&self, id: B256) -> Result<Outcome, ChainError> {
        let contract = self.contract();
        let what = "InferenceOracle.result";
        let state = contract.result(id).call().await.map_err(|e| self.chain.contract_error(what, &e))?;
        let (status, requested_at) = match Status::from_u8(state.status_) {
            Some(Status::None) => return Err(ChainError::NoRequest { oracle: self.address, chain_id: self.chain.id(), id }),
            Some(status) => (status, state.requestedAt),
            None => return Err(self.chain.nonsense(what, &format!("there is no status {}", state.status_))),
        };
        let callback_failed =
            contract.callbackFailed(id).call().await.map_err(|e| self.chain.contract_error("InferenceOracle.callbackFailed", &e))?;
        let head = self.chain.head().await?;
        let first = self.first_block_at(requested_at, head.number).await?;
        let last = (first.saturating_add(LOG_RANGE_BLOCKS - 1)).min(head.number);
        let requested = self.logs(InferenceRequested::SIGNATURE_HASH, id, first, last).await?;
        let missing = |event: &str| self.chain.nonsense("logs", &format!("there is no {event} event of request {id}"));
        let requested = requested
            .iter()
            .find_map(|log| InferenceRequested::decode_log_data(log.data()).ok())
            .filter(|event| request_id(&event.request, event.requester, event.nonce) == id)
            .ok_or_else(|| missing("InferenceRequested"))?;
        let result = match status {
            Status::Fulfilled | Status::PartiallyFulfilled => {
                let found = self.newest_result(id, first, head.number, requested.request.deadline).await?;
                Some(found.ok_or_else(|| missing("InferenceFulfilled"))?)
            }
            Status::None | Status::Open | Status::Refunded => None,
        };
        Ok(Outcome { status, requested_at, callback_failed, requested, result })
    }

    /// A partial result may be replaced until the deadline: the newest counts.
    async fn newest_result(&self, id: B256, first: u64, head: u64, deadline: u64) -> Result<Option<Fulfilled>, ChainError> {
        let mut newest = None;
        let mut from = first;
        while from <= head && self.chain.timestamp(from).await? <= deadline {
            let to = from.saturating_add(LOG_RANGE_BLOCKS - 1).min(head);
            for log in self.logs(InferenceFulfilled::SIGNATURE_HASH, id, from, to).await? {
                if let (Ok(event), Some(tx_hash), Some(block)) =
                    (InferenceFulfilled::decode_log_data(log.data()), log.transaction_hash, log.block_number)
                {
                    newest = Some(Fulfilled { event, tx_hash, block });
                }
            }
            from = to + 1;
        }
        Ok(newest)
    }

    /// The first block whose time is not before `time`; `head` where there is none.
    async fn first_block_at(&self, time: u64, head: u64) -> Result<u64, ChainError> {
        let (mut low, mut high) = (0, head);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.chain.timestamp(middle).await? < time { low = middle + 1 } else { high = middle }
        }
        Ok(low)
    }

    async fn logs(&self, event: B256, id: B256, from: u64, to: u64) -> Result<Vec<Log>, ChainError> {
        let filter = Filter::new().address(self.address).event_signature(event).topic1(id).from_block(from).to_block(to);
        self.chain.provider().get_logs(&filter).await.map_err(|e| self.chain.error("logs", &e))
    }

    fn contract(&self) -> InferenceOracleInstance<&alloy::providers::RootProvider> {
        InferenceOracle::new(self.address, self.chain.provider())
    }
}
