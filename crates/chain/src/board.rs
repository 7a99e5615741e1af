//! A `WeightBoard` as its owner sees it: it is made, takes miners and validators, and shows their weights.

use alloy::primitives::{Address, Bytes};
use alloy::providers::RootProvider;
use alloy::signers::local::PrivateKeySigner;
use alloy::sol_types::{SolCall, SolValue};

use crate::bindings::WeightBoard::{self, WeightBoardInstance, registerCall, setPermitCall};
pub use crate::bindings::board::IWeightBoard::Parameters;
use crate::transaction::{Draft, send};
use crate::{Chain, ChainError};

/// A board of a chain.
#[derive(Clone, Debug)]
pub struct Board {
    chain: Chain,
    contract: WeightBoardInstance<RootProvider>,
    netuid: u16,
}

/// Somebody with a uid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Neuron {
    /// Its number.
    pub uid: u16,
    /// Its address.
    pub address: Address,
    /// Whether it may set weights.
    pub permit: bool,
    /// What it gives to others, if it has set any: uids and weights.
    pub weights: Vec<(u16, u16)>,
}

impl Board {
    /// Makes a board, whose rules never change.
    ///
    /// # Errors
    /// [`ChainError::Reverted`] for rules that a board refuses; others as of [`send`].
    pub async fn deploy(
        chain: Chain,
        signer: &PrivateKeySigner,
        owner: Address,
        parameters: Parameters,
        max_fee: Option<u128>,
    ) -> Result<Self, ChainError> {
        let what = "WeightBoard";
        let data = Bytes::from([WeightBoard::BYTECODE.as_ref(), &(owner, parameters).abi_encode_params()].concat());
        let draft = Draft { to: None, data, value: Default::default() };
        let receipt = send(&chain, signer, what, &draft, max_fee).await?;
        let address = receipt.contract_address.ok_or_else(|| chain.nonsense(what, "its receipt names no contract"))?;
        Self::open(chain, address).await
    }

    /// Looks whether there is a board at an address.
    ///
    /// # Errors
    /// [`ChainError::NoBoard`]; others where the node is away or refuses.
    pub async fn open(chain: Chain, address: Address) -> Result<Self, ChainError> {
        let contract = WeightBoard::new(address, chain.provider().clone());
        let error = |error| chain.contract_error("WeightBoard.subnet", &error);
        match contract.subnet().call().await.map_err(error) {
            Ok(netuid) => Ok(Self { chain, contract, netuid }),
            Err(error) if error.is_transient() && !matches!(error, ChainError::InvalidAnswer { .. }) => Err(error),
            Err(_) => Err(ChainError::NoBoard { address, chain_id: chain.id() }),
        }
    }

    /// Where it is.
    pub const fn address(&self) -> Address {
        *self.contract.address()
    }

    /// Its subnet's number.
    pub const fn netuid(&self) -> u16 {
        self.netuid
    }

    /// Gives an address a uid, unless it has one, and lets it set weights, if that is wanted. Returns the uid, and how many transactions
    /// that took.
    ///
    /// # Errors
    /// [`ChainError::Reverted`] for whoever is not the owner; others as of [`send`].
    pub async fn register(
        &self,
        signer: &PrivateKeySigner,
        who: Address,
        permit: bool,
        max_fee: Option<u128>,
    ) -> Result<(u16, u32), ChainError> {
        let mut sent = 0;
        let uid = match self.uid(who).await? {
            Some(uid) => uid,
            None => {
                self.send(signer, "WeightBoard.register", registerCall { who }, max_fee).await?;
                sent += 1;
                let registered = self.uid(who).await?;
                registered.ok_or_else(|| self.chain.nonsense("WeightBoard.uidOf", "an address that was registered has no uid"))?
            }
        };
        if permit && !self.has_permit(uid).await? {
            self.send(signer, "WeightBoard.setPermit", setPermitCall { uid, permit }, max_fee).await?;
            sent += 1;
        }
        Ok((uid, sent))
    }

    /// Everybody with a uid.
    ///
    /// # Errors
    /// [`ChainError`].
    pub async fn neurons(&self) -> Result<Vec<Neuron>, ChainError> {
        let count = self.contract.getUidCount(self.netuid).call().await.map_err(self.failed("WeightBoard.getUidCount"))?;
        let mut neurons = Vec::new();
        for uid in 0..count {
            let key = self.contract.getHotkey(self.netuid, uid).call().await.map_err(self.failed("WeightBoard.getHotkey"))?;
            let weights = self.contract.weightsOf(uid).call().await.map_err(self.failed("WeightBoard.weightsOf"))?;
            neurons.push(Neuron {
                uid,
                address: Address::from_word(key),
                permit: self.has_permit(uid).await?,
                weights: weights.uids.into_iter().zip(weights.values).collect(),
            });
        }
        Ok(neurons)
    }

    async fn uid(&self, who: Address) -> Result<Option<u16>, ChainError> {
        match self.contract.uidOf(who).call().await.map_err(self.failed("WeightBoard.uidOf")) {
            Ok(uid) => Ok(Some(uid)),
            Err(ChainError::Reverted { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn has_permit(&self, uid: u16) -> Result<bool, ChainError> {
        self.contract.getValidatorStatus(self.netuid, uid).call().await.map_err(self.failed("WeightBoard.getValidatorStatus"))
    }

    async fn send(&self, signer: &PrivateKeySigner, what: &str, call: impl SolCall, max_fee: Option<u128>) -> Result<(), ChainError> {
        let draft = Draft::call(self.address(), call.abi_encode().into());
        send(&self.chain, signer, what, &draft, max_fee).await.map(drop)
    }

    fn failed(&self, what: &str) -> impl Fn(alloy::contract::Error) -> ChainError {
        move |error| self.chain.contract_error(what, &error)
    }
}
