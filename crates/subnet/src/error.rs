//! Errors of messages.

use alloy::primitives::Address;

/// Why bytes are no signed message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// The bytes are not the one encoding of a message and its signature.
    #[error("the bytes are not the encoding of a signed {0}")]
    Encoding(&'static str),
    /// The signature is no signature, or not the one of two that is taken: the lower s, v of 27 or 28.
    #[error("the signature of the {0} is none, or not in its canonical form")]
    Signature(&'static str),
    /// Somebody else signed.
    #[error("the {what} is signed by {found}, not by {expected}")]
    Signer {
        /// The message.
        what: &'static str,
        /// Who should have.
        expected: Address,
        /// Who has.
        found: Address,
    },
}

/// Why bytes are no frame, or its body is not what its kind says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// A kind that this version does not know.
    #[error("frames of kind {0} are not known")]
    Kind(u8),
    /// A kind that the other end has not to send, or not yet.
    #[error("a frame of {0:?} is not due from the other end")]
    NotDue(crate::wire::Kind),
    /// A length beyond the kind's cap. Nothing was allocated.
    #[error("a frame of {kind:?} has {length} bytes, of which it may have {cap}")]
    Length {
        /// The kind.
        kind: crate::wire::Kind,
        /// Bytes that it states.
        length: usize,
        /// Bytes that it may have.
        cap: usize,
    },
    /// A body that is not the one encoding of its kind's content.
    #[error("the body of a frame of {0:?} is not its content's encoding")]
    Body(crate::wire::Kind),
}

/// Why a connection comes to nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    /// The other end is of another network, or scores otherwise.
    #[error("the other end has another {what}: {found}, not {expected}")]
    Differs {
        /// What differs.
        what: &'static str,
        /// What is here.
        expected: String,
        /// What is there.
        found: String,
    },
    /// The other end has this node's own address.
    #[error("the other end has this node's own address {0}: each process needs a key of its own")]
    Itself(Address),
    /// The other end is not who was to be there.
    #[error("{found} is at the other end, not {expected}")]
    Unexpected {
        /// Who was to be there.
        expected: Address,
        /// Who says to be.
        found: Address,
    },
    /// There is no keying material, without which a session could be of any connection.
    #[error("the connection has no keying material: something ends its TLS before this node")]
    NoExporter,
    /// Its signature is none of it.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// What it signed was for another connection, another peer or another role.
    #[error("the other end signed a session that is not this one")]
    AnotherSession,
}
