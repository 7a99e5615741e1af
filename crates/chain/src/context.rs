//! Request hash, request id, context and owner, exactly as `InferenceOracle` computes them.
//!
//! A context binds a proof to chain, contract, request and beneficiary, so whoever copies a proof pays the one who made it. A
//! relayer computes contexts itself: a node that lies about one only wastes its caller's work, but why ask.

use alloy::primitives::{Address, B256, U256, keccak256};
use alloy::sol_types::SolValue;

use crate::bindings::Request;
use crate::constants::{CONTEXT_TAG, FIELD_ORDER};

/// `requestHashOf`: keccak256 of the request's ABI encoding.
pub fn request_hash(request: &Request) -> B256 {
    keccak256(request.abi_encode())
}

/// `requestIdOf`: keccak256 of requester, nonce and request hash.
pub fn request_id(request: &Request, requester: Address, nonce: U256) -> B256 {
    keccak256((requester, nonce, request_hash(request)).abi_encode_params())
}

/// `contextOf`: what the contract places in every slice. Below the field order.
pub fn context(chain_id: u64, oracle: Address, request: &Request, requester: Address, nonce: U256, beneficiary: Address) -> B256 {
    context_of(U256::from(chain_id), oracle, requester, nonce, request_hash(request), beneficiary)
}

/// [`context`] of a request that is known by its hash.
pub fn context_of(chain_id: U256, oracle: Address, requester: Address, nonce: U256, request_hash: B256, beneficiary: Address) -> B256 {
    let request_id = keccak256((requester, nonce, request_hash).abi_encode_params());
    let preimage = (keccak256(CONTEXT_TAG), chain_id, oracle, request_id, request_hash, beneficiary);
    reduce(keccak256(preimage.abi_encode_params()))
}

/// `inputOwnerOf`: the owner in commitments to private inputs. Below the field order.
pub fn owner(model: B256, requester: Address) -> B256 {
    reduce(keccak256((model, requester).abi_encode_params()))
}

/// Hash of a public input: keccak256 of its packed words.
pub fn input_hash(words: &[U256]) -> B256 {
    let bytes: Vec<u8> = words.iter().flat_map(U256::to_be_bytes::<32>).collect();
    keccak256(bytes)
}

fn reduce(hash: B256) -> B256 {
    B256::from(U256::from_be_bytes(hash.0) % U256::from_be_bytes(FIELD_ORDER))
}
