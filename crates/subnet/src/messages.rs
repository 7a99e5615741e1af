//! Signed messages, as `contracts/interfaces/INetworkMessages.sol` has them.

#[allow(missing_docs, missing_debug_implementations, unreachable_pub)]
mod bindings {
    alloy::sol!(
        #![sol(all_derives)]
        "../../contracts/interfaces/INetworkMessages.sol"
    );
}

pub use bindings::INetworkMessages::{Acceptance, Assignment, EpochRoot, HandIn, Receipt, Session};

/// Who signs a [`Session`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Role {
    /// Hands out slices.
    Validator = 1,
    /// Proves them.
    Miner = 2,
}

/// What became of an assignment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Verdict {
    /// Proven in time.
    Valid = 1,
    /// A proof that does not hold.
    Invalid = 2,
    /// Nothing came.
    Missed = 3,
    /// A proof came after the assignment was missed.
    Late = 4,
    /// Another one's proof of the same slice came first.
    Superseded = 5,
}

impl Verdict {
    /// From a receipt's number; `None` for one that this version does not know.
    pub const fn from_u8(value: u8) -> Option<Self> {
        match value {
            1 => Some(Self::Valid),
            2 => Some(Self::Invalid),
            3 => Some(Self::Missed),
            4 => Some(Self::Late),
            5 => Some(Self::Superseded),
            _ => None,
        }
    }
}
