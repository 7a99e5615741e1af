//! Contracts at the same address on every chain, by the deterministic deployment proxy (EIP-7997).
//!
//! The proxy is a contract that creates another by CREATE2 from calldata, salt and creation code. Its own address follows from a
//! transaction that nobody holds a key for, so it is the same wherever that was sent. What it creates has an address that follows from
//! salt and creation code alone: not from the chain, nor from who sent the transaction. So code at that address was made by running
//! that creation code, whoever asked for it.

use alloy::primitives::{Address, B256, Bytes, TxKind, U256, address, b256, bytes, keccak256};
use alloy::providers::Provider;
use alloy::rpc::types::TransactionRequest;
use alloy::rpc::types::state::{AccountOverride, StateOverride};

use crate::manifest::Creation;
use crate::{Chain, ChainError};

/// The proxy.
pub const FACTORY: Address = address!("4e59b44847b379578588920cA78FbF26c0B4956C");

/// keccak256 of the proxy's code.
pub const FACTORY_CODE_HASH: B256 = b256!("2fa86add0aed31f33a762c9d88e807c475bd51d0f52bd0955754b2608f7e4989");

/// The proxy's code, for a simulation of what comes after its creation.
pub const FACTORY_CODE: Bytes = bytes!(
    "7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffe03601600081602082378035828234f58015156039578182fd5b8082525050506014600cf3"
);

/// The transaction that creates the proxy, the same for every chain: its signature was made up, so nobody has the key of the account
/// that it recovers to, and it cannot be replaced by another. It has no chain id, which some nodes refuse.
pub const CREATION_TRANSACTION: Bytes = bytes!(
    "f8a58085174876e800830186a08080b853604580600e600039806000f350fe7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffe03601600081602082378035828234f58015156039578182fd5b8082525050506014600cf31ba02222222222222222222222222222222222222222222222222222222222222222a02222222222222222222222222222222222222222222222222222222222222222"
);

/// The account that it recovers to.
pub const CREATOR: Address = address!("3fab184622dc19b6109349b94811493bf45362a2");

/// The proxy's creation code, which that transaction carries.
pub const CREATION_CODE: Bytes = bytes!(
    "604580600e600039806000f350fe7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffe03601600081602082378035828234f58015156039578182fd5b8082525050506014600cf3"
);

/// The gas that it may take.
pub const CREATION_GAS: u64 = 100_000;

/// What that costs, in wei: its gas price is 100 gwei.
pub const CREATION_COST: U256 = U256::from_limbs([10_000_000_000_000_000, 0, 0, 0]);

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

/// Whether the proxy is on a chain; if not, whether it can be put there by [`CREATION_TRANSACTION`].
///
/// # Errors
/// [`ChainError::NoFactory`] where it cannot; others where the node is away or refuses.
pub async fn exists(chain: &Chain) -> Result<bool, ChainError> {
    let no_factory = |reason: &str| ChainError::NoFactory { chain_id: chain.id(), reason: reason.to_owned() };
    match chain.code_hash(FACTORY).await? {
        Some(FACTORY_CODE_HASH) => return Ok(true),
        Some(_) => return Err(no_factory("the code there is another contract's")),
        None => {}
    }
    if chain.nonce(CREATOR).await? != 0 {
        return Err(no_factory("the transaction that creates it was mined there, and failed"));
    }
    // Failing would use the transaction up for ever.
    let request = TransactionRequest::default().from(CREATOR).input(CREATION_CODE.into()).gas_limit(CREATION_GAS);
    let request = TransactionRequest { to: Some(TxKind::Create), ..request };
    match chain.simulate("the proxy's creation", &request).await {
        Ok(()) => Ok(false),
        Err(ChainError::Reverted { .. } | ChainError::Refused { .. }) => {
            Err(no_factory("its creation would not pass with the gas that its transaction has"))
        }
        Err(error) => Err(error),
    }
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

#[cfg(test)]
mod tests {
    use alloy::consensus::{Transaction, TxEnvelope};
    use alloy::eips::eip2718::Decodable2718;
    use alloy::primitives::TxKind;

    use super::*;

    #[test]
    fn the_creation_transaction_makes_the_proxy() {
        let transaction = TxEnvelope::decode_2718_exact(&CREATION_TRANSACTION).unwrap();
        let recovered = transaction.signature().recover_address_from_prehash(&transaction.signature_hash()).unwrap();
        assert_eq!(recovered, CREATOR);
        assert_eq!((transaction.nonce(), transaction.kind(), transaction.chain_id()), (0, TxKind::Create, None));
        assert_eq!((transaction.gas_limit(), transaction.input()), (CREATION_GAS, &CREATION_CODE));
        assert_eq!(U256::from(transaction.gas_limit()) * U256::from(transaction.max_fee_per_gas()), CREATION_COST);
        assert_eq!(CREATOR.create(0), FACTORY);
        assert_eq!(keccak256(&FACTORY_CODE), FACTORY_CODE_HASH);
        assert!(CREATION_CODE.ends_with(&FACTORY_CODE));
    }

    #[test]
    fn addresses_follow_from_code_and_arguments_alone() {
        let one = creation(&[1, 2], &[3]);
        assert_eq!(one.address, FACTORY.create2(SALT, keccak256([1, 2, 3])));
        assert_ne!(one.address, creation(&[1, 2], &[4]).address);
        assert_eq!(calldata(&[1, 2, 3]), [SALT.as_slice(), &[1, 2, 3]].concat());
    }
}
