//! Where weights go: Bittensor's precompiles, or a `WeightBoard`, which has the same functions.

use std::collections::HashMap;

use alloy::primitives::{Address, B256, Bytes, address, keccak256};
use alloy::providers::RootProvider;
use alloy::sol_types::{Revert, SolCall as _, SolError as _, SolValue as _};
use blake2::digest::consts::U32;
use blake2::{Blake2b, Digest as _};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use zkslice_chain::bindings::{WeightBoard, revert_name};
use zkslice_chain::{Chain, ChainError};

use super::vector::Vector;

/// The precompile that says who is registered.
const METAGRAPH: Address = address!("0x0000000000000000000000000000000000000802");
/// The one that says what the rules are.
const SUBNET: Address = address!("0x0000000000000000000000000000000000000803");
/// The one that takes weights.
const NEURON: Address = address!("0x0000000000000000000000000000000000000804");
/// Uids that are asked for at once.
const TOGETHER: usize = 16;

/// Where a subnet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Place {
    /// On a chain of Bittensor's.
    Precompiles {
        /// Blocks of an epoch, less one. None of the precompiles used here says it.
        tempo: u16,
    },
    /// On another, in a `WeightBoard`.
    Board(Address),
}

/// Epochs by block number, the same in both places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Epochs {
    /// Blocks of one.
    pub(super) length: u64,
    shift: u64,
}

impl Epochs {
    fn new(netuid: u16, tempo: u16) -> Self {
        Self { length: u64::from(tempo) + 1, shift: u64::from(netuid) + 1 }
    }

    /// That of a block.
    pub(super) const fn of(&self, block: u64) -> u64 {
        block.saturating_add(self.shift) / self.length
    }

    /// Its first block.
    pub(super) const fn first(&self, epoch: u64) -> u64 {
        epoch.saturating_mul(self.length).saturating_sub(self.shift)
    }

    /// How many blocks of its epoch are before a block.
    pub(super) const fn position(&self, block: u64) -> u64 {
        block.saturating_add(self.shift) % self.length
    }
}

/// The subnet's switches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rules {
    pub(super) commit_reveal: bool,
    pub(super) reveal_period: u64,
    pub(super) rate_limit: u64,
    pub(super) version_key: u64,
    pub(super) least: u16,
    pub(super) largest_share: u16,
}

/// A subnet as one account sees it.
#[derive(Debug)]
pub(super) struct Subnet {
    pub(super) chain: Chain,
    pub(super) place: Place,
    pub(super) netuid: u16,
    pub(super) account: Address,
    epochs: Option<Epochs>,
}

type Contract = WeightBoard::WeightBoardInstance<RootProvider>;

impl Subnet {
    pub(super) const fn new(chain: Chain, place: Place, netuid: u16, account: Address) -> Self {
        Self { chain, place, netuid, account, epochs: None }
    }

    fn at(&self, precompile: Address) -> Contract {
        let address = match self.place {
            Place::Precompiles { .. } => precompile,
            Place::Board(address) => address,
        };
        WeightBoard::new(address, self.chain.provider().clone())
    }

    /// What transactions go to.
    pub(super) fn target(&self) -> Address {
        *self.at(NEURON).address()
    }

    fn failed(&self, what: &str) -> impl Fn(alloy::contract::Error) -> ChainError {
        move |error| self.chain.contract_error(what, &error)
    }

    /// The newest block, as the subnet counts them.
    pub(super) async fn head(&self) -> Result<u64, ChainError> {
        match self.place {
            Place::Precompiles { .. } => Ok(self.chain.head().await?.number),
            Place::Board(_) => self.at(NEURON).blockNumber().call().await.map_err(self.failed("the board's block")),
        }
    }

    pub(super) async fn epochs(&mut self) -> Result<Epochs, ChainError> {
        if let Some(epochs) = self.epochs {
            return Ok(epochs);
        }
        let tempo = match self.place {
            Place::Precompiles { tempo } => tempo,
            // It never changes.
            Place::Board(_) => self.at(SUBNET).getTempo(self.netuid).call().await.map_err(self.failed("the board's tempo"))?,
        };
        Ok(*self.epochs.insert(Epochs::new(self.netuid, tempo)))
    }

    pub(super) async fn rules(&self) -> Result<Rules, ChainError> {
        let (subnet, failed) = (self.at(SUBNET), self.failed("the subnet's rules"));
        Ok(Rules {
            commit_reveal: subnet.getCommitRevealWeightsEnabled(self.netuid).call().await.map_err(&failed)?,
            reveal_period: subnet.getCommitRevealWeightsInterval(self.netuid).call().await.map_err(&failed)?,
            rate_limit: subnet.getWeightsSetRateLimit(self.netuid).call().await.map_err(&failed)?,
            version_key: subnet.getWeightsVersionKey(self.netuid).call().await.map_err(&failed)?,
            least: subnet.getMinAllowedWeights(self.netuid).call().await.map_err(&failed)?,
            largest_share: subnet.getMaxWeightLimit(self.netuid).call().await.map_err(&failed)?,
        })
    }

    pub(super) async fn uid_count(&self) -> Result<u16, ChainError> {
        self.at(METAGRAPH).getUidCount(self.netuid).call().await.map_err(self.failed("the number of uids"))
    }

    /// Whether an account has a uid, still.
    pub(super) async fn is_of(&self, uid: u16, account: Address) -> Result<bool, ChainError> {
        let key = self.at(METAGRAPH).getHotkey(self.netuid, uid).call().await.map_err(self.failed("a uid's key"))?;
        Ok(key == self.key(account))
    }

    /// Block of the last commit or set of weights of a uid; 0 if there was none.
    pub(super) async fn last_update(&self, uid: u16) -> Result<u64, ChainError> {
        self.at(METAGRAPH).getLastUpdate(self.netuid, uid).call().await.map_err(self.failed("a uid's last update"))
    }

    /// The uids of accounts, of those that have one.
    pub(super) async fn uids(&self, accounts: &[Address]) -> Result<HashMap<Address, u16>, ChainError> {
        match self.place {
            Place::Precompiles { .. } => {
                let of_key: HashMap<B256, Address> = accounts.iter().map(|account| (self.key(*account), *account)).collect();
                let metagraph = &self.at(METAGRAPH);
                let keys = stream::iter(0..self.uid_count().await?).map(|uid| async move {
                    let key = metagraph.getHotkey(self.netuid, uid).call().await;
                    key.map(|key| (key, uid)).map_err(self.failed("a uid's key"))
                });
                let keys: Vec<(B256, u16)> = keys.buffered(TOGETHER).try_collect().await?;
                Ok(keys.into_iter().filter_map(|(key, uid)| of_key.get(&key).map(|account| (*account, uid))).collect())
            }
            // A board never takes a uid away, and may have more than anybody wants to go through.
            Place::Board(_) => {
                let board = &self.at(METAGRAPH);
                let uids = stream::iter(accounts.iter().copied()).map(|account| async move {
                    match board.uidOf(account).call().await.map_err(self.failed("an address's uid")) {
                        Ok(uid) => Ok(Some((account, uid))),
                        Err(error) if refusal(&error).as_deref() == Some(UNREGISTERED) => Ok(None),
                        Err(error) => Err(error),
                    }
                });
                let uids: Vec<Option<(Address, u16)>> = uids.buffered(TOGETHER).try_collect().await?;
                Ok(uids.into_iter().flatten().collect())
            }
        }
    }

    /// Under which key an account is registered: on Bittensor its mirror, the account by which it acts there.
    fn key(&self, account: Address) -> B256 {
        match self.place {
            Place::Precompiles { .. } => mirror(account),
            Place::Board(_) => account.into_word(),
        }
    }

    /// The hash by which the account commits to weights.
    pub(super) fn commit_hash(&self, vector: &Vector, salt: &[u16], version_key: u64) -> B256 {
        match self.place {
            Place::Precompiles { .. } => scale_hash(mirror(self.account), self.netuid, vector, salt, version_key),
            Place::Board(board) => {
                let Vector { uids, values } = vector;
                let of = (self.chain.id(), board, self.account, self.netuid, uids.clone(), values.clone(), salt.to_vec(), version_key);
                keccak256(of.abi_encode_params())
            }
        }
    }

    pub(super) fn set_call(&self, Vector { uids, values }: &Vector, version_key: u64) -> Bytes {
        let call = WeightBoard::setWeightsCall { netuid: self.netuid, uids: uids.clone(), values: values.clone(), versionKey: version_key };
        call.abi_encode().into()
    }

    pub(super) fn commit_call(&self, hash: B256) -> Bytes {
        WeightBoard::commitWeightsCall { netuid: self.netuid, commitHash: hash }.abi_encode().into()
    }

    pub(super) fn reveal_call(&self, Vector { uids, values }: &Vector, salt: &[u16], version_key: u64) -> Bytes {
        let call = WeightBoard::revealWeightsCall {
            netuid: self.netuid,
            uids: uids.clone(),
            values: values.clone(),
            salt: salt.to_vec(),
            versionKey: version_key,
        };
        call.abi_encode().into()
    }
}

/// BLAKE2b with 32 bytes of output.
fn blake2_256(bytes: &[u8]) -> B256 {
    B256::from_slice(&Blake2b::<U32>::digest(bytes))
}

/// The account of Bittensor's that an address acts as.
pub fn mirror(address: Address) -> B256 {
    blake2_256(&[b"evm:".as_slice(), address.as_slice()].concat())
}

/// What Bittensor takes for a commit to weights: the hash of key, subnet, weights, salt and version, encoded by SCALE.
pub fn scale_hash(key: B256, netuid: u16, vector: &Vector, salt: &[u16], version_key: u64) -> B256 {
    let mut bytes = key.to_vec();
    bytes.extend(netuid.to_le_bytes());
    for list in [&vector.uids, &vector.values, salt] {
        // A length has one byte, two or four, as the lowest two bits say.
        let length = list.len() as u32;
        match length {
            0..0x40 => bytes.push((length << 2) as u8),
            0x40..0x4000 => bytes.extend((((length << 2) | 1) as u16).to_le_bytes()),
            _ => bytes.extend(((length << 2) | 2).to_le_bytes()),
        }
        bytes.extend(list.iter().flat_map(|value| value.to_le_bytes()));
    }
    bytes.extend(version_key.to_le_bytes());
    blake2_256(&bytes)
}

/// The error of somebody without a uid.
pub(super) const UNREGISTERED: &str = "HotKeyNotRegisteredInSubNet";

/// The name of the error by which a subnet refuses a call. A board reverts with it; Bittensor's node has it in a sentence of its answer,
/// without data.
pub fn refusal(error: &ChainError) -> Option<String> {
    match error {
        ChainError::Reverted { data, .. } => match revert_name(data) {
            Some(name) => Some(name.to_owned()),
            None => named(&Revert::abi_decode(data).ok()?.reason),
        },
        ChainError::Refused { reason, .. } => named(reason),
        _ => None,
    }
}

fn named(text: &str) -> Option<String> {
    if let Some((_, rest)) = text.split_once("dispatch execution failed: ") {
        let name: String = rest.chars().take_while(char::is_ascii_alphanumeric).collect();
        return Some(name).filter(|name| !name.is_empty());
    }
    let (_, rest) = text.split_once("Precompile ")?;
    rest.contains(" is disabled").then(|| "PrecompileDisabled".to_owned())
}
