//! Who is who: a node is a secp256k1 address, and what it signs is bound to one network on one chain.

use alloy::primitives::{Address, B256, Signature};
use alloy::signers::SignerSync;
use alloy::signers::local::PrivateKeySigner;
use alloy::sol_types::{Eip712Domain, SolStruct, SolValue, eip712_domain};

use crate::SignatureError;

/// Bytes of a signature: r, s, v.
pub(crate) const SIGNATURE: usize = 65;

/// The network that messages are for: a contract's address on a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// EIP-155 id of the chain.
    pub chain_id: u64,
    /// Where its nodes are registered.
    pub registry: Address,
}

impl Network {
    fn domain(&self) -> Eip712Domain {
        eip712_domain! { name: "zkslice network", version: "1", chain_id: self.chain_id, verifying_contract: self.registry, }
    }

    /// The hash that is signed (EIP-712), which names a message everywhere: in hand-ins and receipts an assignment's.
    pub fn hash<M: SolStruct>(&self, message: &M) -> B256 {
        message.eip712_signing_hash(&self.domain())
    }
}

/// A node that can sign.
#[derive(Clone, Debug)]
pub struct Node {
    signer: PrivateKeySigner,
}

impl Node {
    /// With this key.
    pub const fn new(signer: PrivateKeySigner) -> Self {
        Self { signer }
    }

    /// Its address, which is its name.
    pub const fn address(&self) -> Address {
        self.signer.address()
    }

    /// Signs a message for a network.
    ///
    /// # Errors
    /// [`SignatureError::Signature`]: never in practice; the type is the signer's.
    pub fn sign<M: SolStruct>(&self, network: &Network, message: M) -> Result<Signed<M>, SignatureError> {
        let signature = self.signer.sign_hash_sync(&network.hash(&message)).map_err(|_| SignatureError::Signature(M::NAME))?;
        Ok(Signed { message, signature, signer: self.address() })
    }

    /// r, s and v over a hash that says what it is of.
    pub(crate) fn sign_hash(&self, hash: B256) -> Result<[u8; SIGNATURE], SignatureError> {
        Ok(self.signer.sign_hash_sync(&hash).map_err(|_| SignatureError::Signature("hash"))?.as_bytes())
    }
}

/// A signature that has this one encoding.
fn canonical(bytes: &[u8; SIGNATURE]) -> Option<Signature> {
    Signature::from_raw_array(bytes).ok().filter(|read| read.as_bytes() == *bytes && read.normalize_s().is_none())
}

/// Who signed a hash.
pub(crate) fn recover(signature: &[u8; SIGNATURE], hash: B256) -> Option<Address> {
    canonical(signature)?.recover_address_from_prehash(&hash).ok()
}

/// A message whose signature has been recovered: who holds one knows who signed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed<M> {
    message: M,
    signature: Signature,
    signer: Address,
}

impl<M> Signed<M> {
    /// What was signed.
    pub const fn message(&self) -> &M {
        &self.message
    }

    /// Who signed it.
    pub const fn signer(&self) -> Address {
        self.signer
    }
}

impl<M: SolStruct> Signed<M> {
    /// A message of a network whose r, s and v came apart from it.
    ///
    /// # Errors
    /// [`SignatureError::Signature`].
    pub fn from_parts(message: M, signature: &[u8; SIGNATURE], network: &Network) -> Result<Self, SignatureError> {
        let wrong = || SignatureError::Signature(M::NAME);
        let signature = canonical(signature).ok_or_else(wrong)?;
        let signer = signature.recover_address_from_prehash(&network.hash(&message)).map_err(|_| wrong())?;
        Ok(Self { message, signature, signer })
    }

    /// r, s and v.
    pub fn signature(&self) -> [u8; SIGNATURE] {
        self.signature.as_bytes()
    }
}

impl<M: SolStruct + SolValue + for<'a> From<<M::SolType as alloy::sol_types::SolType>::RustType>> Signed<M> {
    /// ABI encoding of the message, then r, s and v.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.message.abi_encode();
        bytes.extend_from_slice(&self.signature.as_bytes());
        bytes
    }

    /// Reads a message of a network that `signer` has signed, or anybody. It has one encoding only.
    ///
    /// # Errors
    /// [`SignatureError`] says what is wrong.
    pub fn from_bytes(bytes: &[u8], network: &Network, signer: Option<Address>) -> Result<Self, SignatureError> {
        let what = M::NAME;
        let (encoded, signature) = bytes.split_last_chunk::<SIGNATURE>().ok_or(SignatureError::Encoding(what))?;
        let message = M::from(<M::SolType as alloy::sol_types::SolType>::abi_decode(encoded).map_err(|_| SignatureError::Encoding(what))?);
        if message.abi_encode() != encoded {
            return Err(SignatureError::Encoding(what));
        }
        let signed = Self::from_parts(message, signature, network)?;
        match (signer, signed.signer) {
            (Some(expected), found) if expected != found => Err(SignatureError::Signer { what, expected, found }),
            _ => Ok(signed),
        }
    }
}
