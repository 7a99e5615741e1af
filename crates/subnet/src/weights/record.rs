//! What must not be forgotten on the way: one JSON file, written whole before anything that follows from it leaves. Only its owner may
//! read it: whoever knows a salt knows what was committed to.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use alloy::primitives::{Address, B256, Bytes};
use serde::{Deserialize, Serialize};
use zkslice_formats::{FileLock, Readers, VersionError, check_version, json_version, to_json, write};

use super::place::{Place, Subnet};
use super::vector::Vector;
use super::{Act, State};
use crate::StoreError;

/// Version of the file.
const VERSION: u32 = 1;

/// Whose weights, and for which subnet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Owner {
    chain_id: u64,
    place: Place,
    netuid: u16,
    account: Address,
}

/// Weights of an epoch of the validator's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Weights {
    pub(super) epoch: u64,
    pub(super) of: Vec<(Address, u16)>,
}

/// What was committed to, or is just being set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Commit {
    /// The account's own uid then.
    pub(super) uid: u16,
    pub(super) vector: Vector,
    pub(super) salt: Vec<u16>,
    pub(super) version_key: u64,
    /// Block of the account's last commit, or set of weights, before.
    pub(super) after: u64,
    /// Block of the commit, as the subnet counts them, once it is known.
    pub(super) block: Option<u64>,
}

/// A signed transaction without an outcome.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Pending {
    pub(super) act: Act,
    pub(super) nonce: u64,
    /// The last block of the epoch that it is for.
    pub(super) until: u64,
    pub(super) hash: B256,
    pub(super) raw: Bytes,
}

/// Weights on their way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Work {
    pub(super) state: State,
    pub(super) weights: Weights,
    pub(super) commit: Option<Commit>,
    pub(super) pending: Option<Pending>,
    /// In which epoch transactions of these weights were mined and failed, and how many.
    pub(super) failures: (u64, u32),
}

impl Work {
    pub(super) const fn new(weights: Weights) -> Self {
        Self { state: State::Computed, weights, commit: None, pending: None, failures: (0, 0) }
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    version: u32,
    owner: Owner,
    work: Option<Work>,
    /// Newer weights, which wait for those on their way.
    next: Option<Weights>,
}

/// The file, and its content as it was last written.
#[derive(Debug)]
pub(super) struct Record {
    path: PathBuf,
    _lock: FileLock,
    owner: Owner,
    pub(super) work: Option<Work>,
    pub(super) next: Option<Weights>,
}

impl Record {
    /// Opens the file, or begins one with nothing in it.
    pub(super) fn open(path: &Path, subnet: &Subnet) -> Result<Self, StoreError> {
        let io = |reason: String| StoreError::Io { path: path.to_owned(), reason };
        let lock = FileLock::take(path).map_err(|error| io(error.to_string()))?;
        let lock = lock.ok_or_else(|| StoreError::Locked { path: path.to_owned() })?;
        let owner = Owner { chain_id: subnet.chain.id(), place: subnet.place, netuid: subnet.netuid, account: subnet.account };
        let mut record = Self { path: path.to_owned(), _lock: lock, owner, work: None, next: None };
        let bytes = match std::fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(record),
            Err(error) => return Err(io(error.to_string())),
        };
        let malformed = |reason: String| io(format!("it holds no weights on their way: {reason}; restore a copy, or move it away"));
        let version = json_version(&bytes).map_err(|error| malformed(error.to_string()))?;
        check_version(version, VERSION).map_err(|error| match error {
            VersionError::Newer { .. } => StoreError::Newer { path: path.to_owned() },
            other => malformed(other.to_string()),
        })?;
        let content: Content = serde_json::from_slice(&bytes).map_err(|error| malformed(error.to_string()))?;
        if content.owner != record.owner {
            let said =
                |owner: &Owner| format!("{} in subnet {} of {:?} on chain {}", owner.account, owner.netuid, owner.place, owner.chain_id);
            return Err(StoreError::Foreign {
                path: path.to_owned(),
                what: "account".to_owned(),
                found: said(&content.owner),
                expected: said(&record.owner),
            });
        }
        (record.work, record.next) = (content.work, content.next);
        Ok(record)
    }

    /// Writes the file; once this returns, a power cut does not undo it.
    pub(super) fn save(&self) -> Result<(), StoreError> {
        let io = |reason: String| StoreError::Io { path: self.path.clone(), reason };
        let content = Content { version: VERSION, owner: self.owner.clone(), work: self.work.clone(), next: self.next.clone() };
        let bytes = to_json(&content).map_err(|error| io(error.to_string()))?;
        write(&self.path, Readers::Owner, &bytes).map_err(|error| io(error.to_string()))
    }
}
