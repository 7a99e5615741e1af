//! Frames: `kind u8 ‖ length u32, little-endian ‖ body`. Each kind has a cap, which the length is held against before anything is allocated.
//!
//! A signed message's body is [`Signed::to_bytes`](crate::Signed::to_bytes); a hand-in's ten words of proof follow it. All others are
//! postcard. A body has one encoding: bytes that decode to what encodes otherwise are refused.

use alloy::primitives::{Address, B256};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use zeroize::Zeroize as _;

use crate::WireError;

/// Bytes before a body.
pub const HEADER: usize = 5;

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $cap:expr;)*) => {
        /// What a frame holds.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Kind {
            $($(#[$doc])* $name = $number,)*
        }

        impl Kind {
            /// All kinds.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// Bytes that a body may have.
            pub const fn cap(self) -> usize {
                match self {
                    $(Self::$name => $cap,)*
                }
            }

            const fn from_u8(kind: u8) -> Option<Self> {
                match kind {
                    $($number => Some(Self::$name),)*
                    _ => None,
                }
            }
        }
    };
}

kinds! {
    /// [`Hello`], by both.
    Hello = 1, 1 << 10;
    /// A signed [`Session`](crate::messages::Session), by both.
    Session = 2, 512;
    /// [`Capacity`], by a miner.
    Capacity = 3, 16 << 10;
    /// A signed [`Assignment`](crate::messages::Assignment), by a validator.
    Assignment = 4, 512;
    /// [`Work`], by a validator, after its assignment.
    Work = 5, 64 << 20;
    /// A signed [`Acceptance`](crate::messages::Acceptance), by a miner.
    Accept = 6, 256;
    /// [`Decline`], by a miner.
    Decline = 7, 256;
    /// A signed [`HandIn`](crate::messages::HandIn) and a proof, by a miner.
    HandIn = 8, 768;
    /// A signed [`Receipt`](crate::messages::Receipt), by a validator.
    Receipt = 9, 768;
    /// [`Cancel`], by a validator.
    Cancel = 10, 256;
    /// [`Progress`], by a miner.
    Progress = 11, 256;
    /// [`Ping`], by both.
    Ping = 12, 256;
    /// A signed [`EpochRoot`](crate::messages::EpochRoot), by a validator.
    EpochRoot = 13, 512;
}

/// What begins a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The kind.
    pub kind: Kind,
    /// Bytes of the body.
    pub length: usize,
}

impl Header {
    /// Reads the bytes before a body: only then is there room made for it. `due` are the kinds that the other end may send now.
    ///
    /// # Errors
    /// [`WireError::Kind`], [`WireError::NotDue`], [`WireError::Length`].
    pub fn read(bytes: &[u8; HEADER], due: &[Kind]) -> Result<Self, WireError> {
        let [kind, a, b, c, d] = *bytes;
        let kind = Kind::from_u8(kind).ok_or(WireError::Kind(kind))?;
        if !due.contains(&kind) {
            return Err(WireError::NotDue(kind));
        }
        let length = u32::from_le_bytes([a, b, c, d]) as usize;
        let header = Self { kind, length };
        header.check()?;
        Ok(header)
    }

    fn check(&self) -> Result<(), WireError> {
        let (kind, length, cap) = (self.kind, self.length, self.kind.cap());
        if length <= cap { Ok(()) } else { Err(WireError::Length { kind, length, cap }) }
    }
}

/// A whole frame.
///
/// # Errors
/// [`WireError::Length`] for a body beyond its kind's cap.
pub fn frame(kind: Kind, body: &[u8]) -> Result<Vec<u8>, WireError> {
    Header { kind, length: body.len() }.check()?;
    let mut bytes = Vec::with_capacity(HEADER + body.len());
    bytes.push(kind as u8);
    // Caps are far below 2^32.
    bytes.extend_from_slice(&(body.len() as u32).to_le_bytes());
    bytes.extend_from_slice(body);
    Ok(bytes)
}

/// A body by postcard.
pub trait Body: Serialize + DeserializeOwned {
    /// The kind of frame that it is in.
    const KIND: Kind;

    /// The frame.
    ///
    /// # Errors
    /// [`WireError::Length`] for more than its kind may have; [`WireError::Body`]: never in practice, the type is postcard's.
    fn to_frame(&self) -> Result<Vec<u8>, WireError> {
        frame(Self::KIND, &self.encode()?)
    }

    /// Reads a body.
    ///
    /// # Errors
    /// [`WireError::Body`] for bytes that are not the encoding of exactly one.
    fn from_body(bytes: &[u8]) -> Result<Self, WireError> {
        let body: Self = postcard::from_bytes(bytes).map_err(|_| WireError::Body(Self::KIND))?;
        if body.encode()? == bytes { Ok(body) } else { Err(WireError::Body(Self::KIND)) }
    }

    #[doc(hidden)]
    fn encode(&self) -> Result<Vec<u8>, WireError> {
        postcard::to_stdvec(self).map_err(|_| WireError::Body(Self::KIND))
    }
}

macro_rules! bodies {
    ($($name:ident),*) => {
        $(impl Body for $name {
            const KIND: Kind = Kind::$name;
        })*
    };
}

bodies!(Hello, Capacity, Work, Decline, Cancel, Progress, Ping);

/// What both say first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Who speaks, which its signed session proves.
    pub node: Address,
    /// Drawn for this connection.
    pub random: B256,
    /// Program and version, for logs.
    pub software: String,
    /// Where the network's nodes are registered.
    pub registry: Address,
    /// The chain that the registry is on.
    pub chain_id: u64,
    /// Bits of what the program can do beyond the first version; those that the other end does not know are ignored.
    pub features: u64,
    /// Hash of the constants that it scores by.
    pub parameters: B256,
}

/// What a miner can take on: a ceiling, which is never paid for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capacity {
    /// Slices that it proves side by side.
    pub slots: u16,
    /// Memory, in MiB.
    pub memory_mib: u32,
    /// Models whose keys it holds, and of each a bit for each slice, the first one in the lowest bit of the first byte.
    pub keys: Vec<(B256, Vec<u8>)>,
    /// Milliseconds until what it has accepted is done.
    pub queue_ms: u32,
    /// Number of the newest receipt of this validator that it has: it gets those that came after.
    pub receipts: u64,
}

/// What a slice reads and writes.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Work {
    /// EIP-712 hash of the assignment.
    pub assignment: B256,
    /// Context of the bundle.
    pub context: B256,
    /// Owner of private inputs; 0 where there are none.
    pub owner: B256,
    /// What the slice reads, in its order.
    #[serde(deserialize_with = "few")]
    pub reads: Vec<Read>,
    /// Salts of the committed tensors that it writes, in its order.
    pub salts: Vec<B256>,
    /// Commitments of the whole model, in wiring order.
    pub commitments: Vec<B256>,
    /// Public words of the whole model, in wiring order; none where the slice reads and writes no public tensor.
    pub words: Vec<B256>,
    /// keccak256 of all of them, in either case.
    pub words_hash: B256,
}

/// Tensors that a slice may read: an empty one takes two bytes of a frame and thirty times as many here.
const MOST_READS: usize = 1 << 10;

fn few<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<Read>, D::Error> {
    struct Few;

    impl<'de> serde::de::Visitor<'de> for Few {
        type Value = Vec<Read>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            write!(f, "at most {MOST_READS} tensors")
        }

        fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
            let mut reads = Vec::new();
            while let Some(read) = seq.next_element()? {
                if reads.len() == MOST_READS {
                    return Err(serde::de::Error::invalid_length(reads.len() + 1, &self));
                }
                reads.push(read);
            }
            Ok(reads)
        }
    }

    deserializer.deserialize_seq(Few)
}

/// A tensor that a slice reads.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Read {
    /// Its values, packed into words as public tensors are.
    pub words: Vec<B256>,
    /// The salt of its commitment; none of a public tensor.
    pub salt: Option<B256>,
}

// Values and salts are private: they stand in no log, and in memory as long as they are needed.
impl Drop for Work {
    fn drop(&mut self) {
        self.salts.iter_mut().for_each(|salt| salt.0.zeroize());
    }
}

impl Drop for Read {
    fn drop(&mut self) {
        self.words.iter_mut().chain(&mut self.salt).for_each(|word| word.0.zeroize());
    }
}

impl std::fmt::Debug for Work {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Work").field("assignment", &self.assignment).field("reads", &self.reads.len()).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Read {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Read").field("words", &self.words.len()).finish_non_exhaustive()
    }
}

/// The miner does not take on an assignment, which costs it nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decline {
    /// EIP-712 hash of the assignment.
    pub assignment: B256,
    /// Why.
    pub reason: Reason,
    /// Milliseconds after which it may be asked again.
    pub retry_ms: u32,
}

/// Why a miner declines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reason {
    /// It has other work until the deadline.
    Busy,
    /// It has not the slice's key.
    NoKey,
    /// It does not know the model.
    UnknownModel,
    /// The work is not what the assignment states.
    BadWork,
}

/// An assignment is not needed any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cancel {
    /// EIP-712 hash of the assignment.
    pub assignment: B256,
}

/// How far a miner is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// EIP-712 hash of the assignment.
    pub assignment: B256,
    /// The stage.
    pub stage: Stage,
}

/// Stages of a slice at its miner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stage {
    /// It waits for a prover.
    Queued,
    /// It is proven.
    Proving,
    /// The proof is checked.
    Checking,
}

/// Says that the other end is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ping {
    /// Any number: a ping is answered by the same one.
    pub nonce: u64,
}
