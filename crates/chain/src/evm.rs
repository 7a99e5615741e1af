//! Whether a chain's EVM has the instructions that the contracts are compiled to.

use alloy::primitives::{Bytes, TxKind, U256, bytes};
use alloy::providers::Provider;
use alloy::rpc::types::TransactionRequest;

use crate::{Chain, ChainError};

/// Creation code that returns a word, 1: PUSH1 1, PUSH1 0, MSTORE, PUSH1 32, PUSH1 0, RETURN.
const ANY_EVM: Bytes = bytes!("600160005260206000f3");

/// The same after PUSH0 (three times), MCOPY; PUSH0, TLOAD, POP: of Shanghai the first, of Cancun the others.
const CANCUN: Bytes = bytes!("5f5f5f5e5f5c50600160005260206000f3");

/// Has the node run them in a call, which costs nothing.
///
/// # Errors
/// [`ChainError::OldEvm`] where they are not known; others where the node is away.
pub(crate) async fn require_cancun(chain: &Chain) -> Result<(), ChainError> {
    if runs(chain, CANCUN).await? {
        return Ok(());
    }
    // Or does it refuse to run whatever creates a contract?
    if runs(chain, ANY_EVM).await? {
        return Err(ChainError::OldEvm { chain_id: chain.id() });
    }
    tracing::warn!("the node does not run creation code in a call; whether its EVM is new enough is not known");
    Ok(())
}

async fn runs(chain: &Chain, code: Bytes) -> Result<bool, ChainError> {
    let request = TransactionRequest { to: Some(TxKind::Create), ..TransactionRequest::default().input(code.into()) };
    match chain.provider().call(request).await.map_err(|e| chain.error("a call", &e)) {
        Ok(answer) => Ok(U256::try_from_be_slice(&answer) == Some(U256::ONE)),
        Err(ChainError::Refused { .. } | ChainError::Reverted { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}
