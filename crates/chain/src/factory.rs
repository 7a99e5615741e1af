//! Contracts at the same address on every chain, by the deterministic deployment proxy (EIP-7997).
//!
//! The proxy is a contract that creates another by CREATE2 from calldata, salt and creation code. Its own address follows from a
//! transaction that nobody holds a key for, so it is the same wherever that was sent. What it creates has an address that follows from
//! salt and creation code alone: not from the chain, nor from who sent the transaction. So code at that address was made by running
//! that creation code, whoever asked for it.

use alloy::primitives::{Address, B256, Bytes, address, keccak256};
use alloy::providers::Provider;
use alloy::rpc::types::TransactionRequest;
use alloy::rpc::types::state::{AccountOverride, StateOverride};

use crate::manifest::Creation;
use crate::{Chain, ChainError};

/// The proxy.
pub const FACTORY: Address = address!("4e59b44847b379578588920cA78FbF26c0B4956C");

/// Salt of all our contracts: creation code and arguments tell them apart.
pub const SALT: B256 = B256::ZERO;

/// What the proxy is to create from creation code with its arguments appended.
pub fn creation(code: &[u8], arguments: &[u8]) -> Creation {
    let init_code_hash = keccak256([code, arguments].concat());
    Creation {
        address: FACTORY.create2(SALT, init_code_hash),
        salt: Some(SALT),
        init_code_hash,
        constructor_args: Bytes::copy_from_slice(arguments),
    }
}

/// The proxy's calldata.
pub fn calldata(init_code: &[u8]) -> Bytes {
    [SALT.as_slice(), init_code].concat().into()
}

/// The code that creation code makes at an address on this chain, immutables and all: the chain runs it there, as a call that nobody
/// sends, in place of whatever is there.
///
/// # Errors
/// [`ChainError::Reverted`] where it makes nothing; others where the node is away or refuses.
pub async fn made_code(chain: &Chain, what: &str, address: Address, init_code: Bytes) -> Result<Bytes, ChainError> {
    let account = AccountOverride { code: Some(init_code), state: Some(Default::default()), ..Default::default() };
    let request = TransactionRequest::default().from(FACTORY).to(address);
    chain
        .provider()
        .call(request)
        .overrides(StateOverride::from_iter([(address, account)]))
        .await
        .map_err(|e| chain.error(&format!("the creation of {what}"), &e))
}
