//! Errors of the relayer.

use std::path::PathBuf;

use alloy::primitives::{Address, B256, U256};
use zkslice_chain::ChainError;
use zkslice_formats::VersionError;

use crate::state::State;

/// Why the relayer does not start, or stops: each says what, where, and how to mend it. Codes are stable.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RelayError {
    /// The configuration cannot be used.
    #[error("[ZKS-RELAY-001] configuration {}: {reason}", .path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong and how to mend it.
        reason: String,
    },
    /// A configuration of a newer version.
    #[error("[ZKS-RELAY-002] configuration {} {error}", .path.display())]
    ConfigNewer {
        /// The file.
        path: PathBuf,
        /// Its version.
        error: VersionError,
    },
    /// The chain.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// The signer has no ether to pay gas with.
    #[error("[ZKS-RELAY-011] {account} has no ether on chain {chain_id} to pay gas with; send it some, or use --dry-run")]
    NoBalance {
        /// The signer.
        account: Address,
        /// The chain.
        chain_id: u64,
    },
    /// The database cannot be used.
    #[error("[ZKS-RELAY-020] database {}: {reason}", .path.display())]
    Store {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A database of a newer version.
    #[error("[ZKS-RELAY-021] database {} was written by a newer zkslice; use that one", .path.display())]
    StoreNewer {
        /// The file.
        path: PathBuf,
    },
    /// A database of another chain, oracle or key.
    #[error("[ZKS-RELAY-022] database {} belongs to {what} {found}, not {expected}; give each chain, oracle and key a database of its own", .path.display())]
    StoreForeign {
        /// The file.
        path: PathBuf,
        /// What differs.
        what: String,
        /// In the database.
        found: String,
        /// Now.
        expected: String,
    },
    /// Another relayer uses the database.
    #[error("[ZKS-RELAY-023] database {} is in use by another relayer; stop that one first", .path.display())]
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// A request was to change state in a way that is not foreseen: a defect, and nothing was changed.
    #[error("[ZKS-RELAY-030] request {id} cannot go from {from:?} to {to:?}; please report this")]
    Transition {
        /// The request.
        id: B256,
        /// Its state.
        from: State,
        /// The state it was to go to.
        to: State,
    },
    /// A withdrawal is not sent.
    #[error("[ZKS-RELAY-040] the credits of {account}, {amount} wei, are not withdrawn: {reason}")]
    Withdrawal {
        /// The signer.
        account: Address,
        /// The credits.
        amount: U256,
        /// Why not.
        reason: String,
    },
    /// The observer asked to stop.
    #[error("[ZKS-RELAY-050] stopped on request")]
    Stopped,
}

impl RelayError {
    /// The stable code, such as `ZKS-RELAY-023`.
    pub fn code(&self) -> String {
        let text = self.to_string();
        text.strip_prefix('[').and_then(|rest| rest.split_once(']')).map(|(code, _)| code.to_owned()).unwrap_or_default()
    }

    /// Whether trying again later may help without anybody's doing.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Chain(error) => error.is_transient(),
            _ => false,
        }
    }
}
