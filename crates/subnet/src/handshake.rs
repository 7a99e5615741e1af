//! Who is at the other end of a connection.
//!
//! Both say hello with an address and 32 bytes drawn for the connection. Then both sign a [`Session`]: role, both addresses, both draws and
//! keying material that only the two ends of this TLS connection have. So what is signed is worth nothing on any other connection: there
//! are no clocks to agree, no table of what was seen, and nobody in between.

use alloy::primitives::{Address, B256};

use crate::messages::{Role, Session};
use crate::wire::Hello;
use crate::{HandshakeError, Network, Node, Signed};

/// One side of a connection before the other has spoken.
#[derive(Debug)]
pub struct Handshake<'a> {
    node: &'a Node,
    role: Role,
    network: Network,
    hello: Hello,
}

/// One side that knows who the other says to be.
#[derive(Debug)]
pub struct Greeted<'a> {
    node: &'a Node,
    network: Network,
    own: Session,
    other: Session,
    peer: Peer,
}

/// Who is at the other end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its address.
    pub address: Address,
    /// What both ends can do.
    pub features: u64,
    /// What it calls its program; shown, never relied on.
    pub software: String,
}

impl<'a> Handshake<'a> {
    /// `random` is drawn for this connection alone.
    pub fn new(node: &'a Node, role: Role, network: Network, parameters: B256, random: B256, features: u64) -> Self {
        let hello = Hello {
            node: node.address(),
            random,
            software: concat!("zkslice ", env!("CARGO_PKG_VERSION")).to_owned(),
            registry: network.registry,
            chain_id: network.chain_id,
            features,
            parameters,
        };
        Self { node, role, network, hello }
    }

    /// What to say first.
    pub const fn hello(&self) -> &Hello {
        &self.hello
    }

    /// Takes the other's hello. `expected` is who it has to be, if that is known; `exporter` the connection's keying material.
    ///
    /// # Errors
    /// [`HandshakeError`] for another network, other parameters, somebody else, or oneself.
    pub fn greeted(self, other: &Hello, expected: Option<Address>, exporter: B256) -> Result<Greeted<'a>, HandshakeError> {
        let Self { node, role, network, hello } = self;
        let differs = |what, expected: String, found: String| Err(HandshakeError::Differs { what, expected, found });
        if other.chain_id != hello.chain_id {
            return differs("chain", hello.chain_id.to_string(), other.chain_id.to_string());
        }
        if other.registry != hello.registry {
            return differs("registry", hello.registry.to_string(), other.registry.to_string());
        }
        if other.parameters != hello.parameters {
            return differs("hash of parameters", hello.parameters.to_string(), other.parameters.to_string());
        }
        if exporter.is_zero() {
            return Err(HandshakeError::NoExporter);
        }
        if other.node == hello.node {
            return Err(HandshakeError::Itself(hello.node));
        }
        if let Some(expected) = expected.filter(|expected| *expected != other.node) {
            return Err(HandshakeError::Unexpected { expected, found: other.node });
        }
        let (validator, miner, other_role) = match role {
            Role::Validator => (&hello, other, Role::Miner),
            Role::Miner => (other, &hello, Role::Validator),
        };
        let session = |role: Role, signer, peer| Session {
            role: role as u8,
            signer,
            peer,
            challenge: validator.random,
            nonce: miner.random,
            exporter,
        };
        let (own, theirs) = (session(role, hello.node, other.node), session(other_role, other.node, hello.node));
        let peer = Peer { address: other.node, features: hello.features & other.features, software: shown(&other.software) };
        Ok(Greeted { node, network, own, other: theirs, peer })
    }
}

/// A stranger's text for logs: no line breaks, no escapes, not long.
fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(64).collect()
}

impl Greeted<'_> {
    /// This end's signed session, for the other.
    ///
    /// # Errors
    /// As [`Node::sign`].
    pub fn session(&self) -> Result<Vec<u8>, HandshakeError> {
        Ok(self.node.sign(&self.network, self.own.clone())?.to_bytes())
    }

    /// Takes the other's signed session: now it is known who is there.
    ///
    /// # Errors
    /// [`HandshakeError::Signature`], [`HandshakeError::AnotherSession`].
    pub fn confirmed(self, session: &[u8]) -> Result<Peer, HandshakeError> {
        let signed = Signed::<Session>::from_bytes(session, &self.network, Some(self.peer.address))?;
        if *signed.message() == self.other { Ok(self.peer) } else { Err(HandshakeError::AnotherSession) }
    }
}
