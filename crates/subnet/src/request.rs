//! Requests to a validator's API that are signed, in place of showing a key: whoever reads one cannot send another, nor the same one twice,
//! nor send it to another validator.

use std::fmt::{Display, Formatter};

use alloy::hex;
use alloy::primitives::{Address, B256, keccak256};

use crate::identity::recover;
use crate::{Network, Node, SignatureError};

#[allow(missing_docs, missing_debug_implementations, unreachable_pub)]
mod bindings {
    // No contract ever judges one.
    alloy::sol! {
        struct Request {
            address validator;
            string method;
            string path;
            bytes32 body;
            uint64 expiresMs;
            bytes32 nonce;
        }
    }
}

use bindings::Request;

/// Of the header `Authorization`.
pub(crate) const SCHEME: &str = "EIP712";
/// How far ahead a request may expire, in milliseconds.
pub(crate) const MOST_AHEAD_MS: u64 = 300_000;

/// What is asked of whom.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    pub(crate) network: Network,
    pub(crate) validator: Address,
    pub(crate) method: &'a str,
    /// With the query, if there is one.
    pub(crate) path: &'a str,
}

/// What the header says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Authorization {
    /// keccak256 of the body.
    pub(crate) body: B256,
    /// Until when it is taken, Unix time in milliseconds.
    pub(crate) expires_ms: u64,
    /// Never used twice.
    pub(crate) nonce: B256,
    signature: [u8; 65],
}

impl Authorization {
    fn hash(asked: &Asked<'_>, body: B256, expires_ms: u64, nonce: B256) -> B256 {
        let Asked { network, validator, method, path } = *asked;
        network.hash(&Request { validator, method: method.to_owned(), path: path.to_owned(), body, expiresMs: expires_ms, nonce })
    }

    /// Signs a request.
    ///
    /// # Errors
    /// [`SignatureError::Signature`]: never in practice; the type is the signer's.
    pub(crate) fn sign(node: &Node, asked: &Asked<'_>, body: &[u8], expires_ms: u64, nonce: B256) -> Result<Self, SignatureError> {
        let body = keccak256(body);
        let signature = node.sign_hash(Self::hash(asked, body, expires_ms, nonce))?;
        Ok(Self { body, expires_ms, nonce, signature })
    }

    /// What follows the scheme: four parts in any order, each once.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let [mut body, mut expires, mut nonce, mut signature] = [None; 4];
        for part in text.split(',') {
            let (name, value) = part.trim().split_once('=')?;
            let place = match name {
                "body" => &mut body,
                "expires" => &mut expires,
                "nonce" => &mut nonce,
                "signature" => &mut signature,
                _ => return None,
            };
            if place.replace(value).is_some() {
                return None;
            }
        }
        let word = |text: &str| text.starts_with("0x").then(|| text.parse().ok()).flatten();
        Some(Self {
            body: word(body?)?,
            expires_ms: expires?.parse().ok()?,
            nonce: word(nonce?)?,
            signature: hex::decode(signature?.strip_prefix("0x")?).ok()?.try_into().ok()?,
        })
    }

    /// Who signed it for what is asked; somebody else, or nobody, where it was signed for something else.
    pub(crate) fn signer(&self, asked: &Asked<'_>) -> Option<Address> {
        recover(&self.signature, Self::hash(asked, self.body, self.expires_ms, self.nonce))
    }
}

impl Display for Authorization {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        let Self { body, expires_ms, nonce, signature } = self;
        write!(f, "{SCHEME} expires={expires_ms}, nonce={nonce}, body={body}, signature={}", hex::encode_prefixed(signature))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use alloy::signers::local::PrivateKeySigner;

    fn asked<'a>() -> Asked<'a> {
        let network = Network { chain_id: 1, registry: Address::repeat_byte(1) };
        Asked { network, validator: Address::repeat_byte(2), method: "POST", path: "/v1/jobs" }
    }

    #[test]
    fn a_request_is_signed_for_one_thing() {
        let node = Node::new(PrivateKeySigner::from_bytes(&B256::repeat_byte(7)).unwrap());
        let signed = Authorization::sign(&node, &asked(), b"{}", 5, B256::repeat_byte(9)).unwrap();
        let text = signed.to_string();
        let read = Authorization::parse(text.strip_prefix("EIP712 ").unwrap()).unwrap();
        assert_eq!((&read, read.signer(&asked())), (&signed, Some(node.address())));
        let other = |network| Asked { network, ..asked() };
        for asked in [
            Asked { method: "DELETE", ..asked() },
            Asked { path: "/v1/jobs?", ..asked() },
            Asked { validator: Address::repeat_byte(3), ..asked() },
            other(Network { chain_id: 2, ..asked().network }),
            other(Network { registry: Address::ZERO, ..asked().network }),
        ] {
            assert_ne!(read.signer(&asked), Some(node.address()), "{asked:?}");
        }
        for changed in [
            Authorization { body: keccak256(b"{ }"), ..read.clone() },
            Authorization { expires_ms: 6, ..read.clone() },
            Authorization { nonce: B256::ZERO, ..read.clone() },
        ] {
            assert_ne!(changed.signer(&asked()), Some(node.address()), "{changed}");
        }
        for text in
            ["", "expires=5", "expires=5, expires=5, nonce=0x00, body=0x00", &text, &text[7..text.len() - 2], &text[7..].replace("0x", "")]
        {
            assert_eq!(Authorization::parse(text), None, "{text}");
        }
    }
}
