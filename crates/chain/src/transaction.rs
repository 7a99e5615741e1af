//! Transactions in three acts: fees, signing, sending.
//!
//! They are apart so that a caller can write a signed transaction down before anybody else sees it. Whoever crashes between writing
//! and sending sends the same bytes again: the same nonce, so it is mined at most once.

use std::time::Instant;

use alloy::consensus::{SignableTransaction, TxEip1559, TxEnvelope};
use alloy::eips::eip2718::Encodable2718;
use alloy::network::TransactionBuilder;
use alloy::primitives::{Address, B256, Bytes, TxKind, U256};
use alloy::providers::Provider;
use alloy::rpc::types::{TransactionReceipt, TransactionRequest};
use alloy::signers::SignerSync;
use alloy::signers::local::PrivateKeySigner;
use alloy::transports::RpcError;
use tokio::time::sleep;

use crate::constants::{GAS_MARGIN_PERCENT, RECEIPT_POLL, RECEIPT_TIMEOUT};
use crate::{Chain, ChainError};

/// What a unit of gas may cost (EIP-1559), in wei.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fees {
    /// Base fee of the newest block.
    pub base_fee: u128,
    /// Most that is paid, all in all.
    pub max_fee: u128,
    /// Most that is paid to the block's builder.
    pub priority_fee: u128,
}

impl Fees {
    /// Fees by the chain's state: twice the base fee (six full blocks of rise) and the tip that the node suggests, capped.
    ///
    /// # Errors
    /// [`ChainError::FeeAboveLimit`] when even now the base fee is above the limit; others where the node is away or refuses.
    pub async fn now(chain: &Chain, limit: Option<u128>) -> Result<Self, ChainError> {
        let base_fee = chain.head().await?.base_fee;
        let limit = limit.unwrap_or(u128::MAX);
        if base_fee > limit {
            return Err(ChainError::FeeAboveLimit { chain_id: chain.id(), base_fee, limit });
        }
        let tip = match chain.provider().get_max_priority_fee_per_gas().await {
            Ok(tip) => tip,
            // Not every node suggests a tip.
            Err(RpcError::ErrorResp(_)) => 1_000_000_000,
            Err(error) => return Err(chain.error("the priority fee", &error)),
        };
        let max_fee = base_fee.saturating_mul(2).saturating_add(tip).min(limit);
        Ok(Self { base_fee, max_fee, priority_fee: tip.min(max_fee) })
    }

    /// What a unit of gas costs if the base fee stays, in wei.
    pub const fn expected(&self) -> u128 {
        let expected = self.base_fee.saturating_add(self.priority_fee);
        if expected < self.max_fee { expected } else { self.max_fee }
    }
}

/// A transaction to be signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// Target; `None` creates a contract.
    pub to: Option<Address>,
    /// Calldata, or creation code with its arguments.
    pub data: Bytes,
    /// Ether that is sent along, in wei.
    pub value: U256,
}

impl Draft {
    /// A call without ether.
    pub const fn call(to: Address, data: Bytes) -> Self {
        Self { to: Some(to), data, value: U256::ZERO }
    }

    /// As the node takes it for simulations.
    pub fn request(&self, from: Address, gas: Option<u64>) -> TransactionRequest {
        let mut request = TransactionRequest::default().with_from(from).with_input(self.data.clone()).with_value(self.value);
        request.to = Some(self.to.map_or(TxKind::Create, TxKind::Call));
        request.gas = gas;
        request
    }

    /// Signs with the given nonce, gas limit and fees.
    ///
    /// # Errors
    /// [`ChainError::Signing`].
    pub fn sign(
        &self,
        chain_id: u64,
        signer: &PrivateKeySigner,
        nonce: u64,
        gas_limit: u64,
        fees: &Fees,
    ) -> Result<SignedTransaction, ChainError> {
        let transaction = TxEip1559 {
            chain_id,
            nonce,
            gas_limit,
            max_fee_per_gas: fees.max_fee,
            max_priority_fee_per_gas: fees.priority_fee,
            to: self.to.map_or(TxKind::Create, TxKind::Call),
            value: self.value,
            access_list: Default::default(),
            input: self.data.clone(),
        };
        let signature = signer.sign_hash_sync(&transaction.signature_hash()).map_err(|e| ChainError::Signing(e.to_string()))?;
        let envelope = TxEnvelope::from(transaction.into_signed(signature));
        let max_cost = U256::from(gas_limit).saturating_mul(U256::from(fees.max_fee)).saturating_add(self.value);
        Ok(SignedTransaction { raw: envelope.encoded_2718().into(), hash: *envelope.hash(), nonce, gas_limit, fees: *fees, max_cost })
    }
}

/// A signed transaction: to be written down, then sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedTransaction {
    /// The bytes to send.
    pub raw: Bytes,
    /// Its hash.
    pub hash: B256,
    /// Its nonce.
    pub nonce: u64,
    /// Its gas limit.
    pub gas_limit: u64,
    /// Its fees.
    pub fees: Fees,
    /// Most that it can cost, in wei.
    pub max_cost: U256,
}

/// What became of sending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Broadcast {
    /// The node has it, now or before.
    Accepted,
    /// Its nonce is used: by itself, mined before, or by another transaction.
    NonceUsed,
    /// The node does not take it now, and says why.
    Refused(String),
}

/// Sends signed bytes; sending them again does no harm.
///
/// # Errors
/// [`ChainError::Unreachable`], [`ChainError::InvalidAnswer`]: it is not known whether the node has it.
pub async fn broadcast(chain: &Chain, raw: &[u8]) -> Result<Broadcast, ChainError> {
    match chain.provider().send_raw_transaction(raw).await {
        Ok(_) => Ok(Broadcast::Accepted),
        Err(RpcError::ErrorResp(payload)) => {
            // Nodes agree on no codes here, only more or less on these words.
            let message = payload.message.to_lowercase();
            Ok(if message.contains("already known") || message.contains("already imported") || message.contains("known transaction") {
                Broadcast::Accepted
            } else if message.contains("nonce too low") {
                Broadcast::NonceUsed
            } else {
                Broadcast::Refused(payload.message.to_string())
            })
        }
        Err(error) => Err(chain.error("a transaction", &error)),
    }
}

/// Signs and sends a transaction that nothing records, and waits until it is mined.
///
/// # Errors
/// [`ChainError::Reverted`] where it would fail, and nothing is sent; [`ChainError::InsufficientBalance`];
/// [`ChainError::Unconfirmed`]; others where the node is away or refuses.
pub async fn send(
    chain: &Chain,
    signer: &PrivateKeySigner,
    what: &str,
    draft: &Draft,
    max_fee: Option<u128>,
) -> Result<TransactionReceipt, ChainError> {
    let sender = signer.address();
    let fees = Fees::now(chain, max_fee).await?;
    let balance = chain.balance(sender).await?;
    let short = |needed| ChainError::InsufficientBalance { account: sender, chain_id: chain.id(), balance, needed };
    if balance < draft.value {
        return Err(short(draft.value));
    }
    let gas = with_margin(chain.estimate_gas(what, &draft.request(sender, None)).await?);
    let signed = draft.sign(chain.id(), signer, chain.pending_nonce(sender).await?, gas, &fees)?;
    if balance < signed.max_cost {
        return Err(short(signed.max_cost));
    }
    if let Broadcast::Refused(reason) = broadcast(chain, &signed.raw).await? {
        return Err(ChainError::Refused { url: chain.url().to_owned(), what: what.to_owned(), reason });
    }
    let begin = Instant::now();
    while begin.elapsed() < RECEIPT_TIMEOUT {
        match chain.receipt(signed.hash).await {
            Ok(Some(receipt)) if receipt.status() => return Ok(receipt),
            Ok(Some(_)) => return Err(ChainError::Failed { what: what.to_owned(), hash: signed.hash }),
            // It is out: a node that is away for a moment changes nothing about that.
            Ok(None) => {}
            Err(error) if error.is_transient() => {}
            Err(error) => return Err(error),
        }
        sleep(RECEIPT_POLL).await;
    }
    Err(ChainError::Unconfirmed { what: what.to_owned(), hash: signed.hash, seconds: begin.elapsed().as_secs() })
}

/// A gas estimate with its margin.
pub const fn with_margin(gas: u64) -> u64 {
    gas.saturating_add(gas / 100 * GAS_MARGIN_PERCENT)
}
