//! Errors of messages.

use std::path::PathBuf;

use alloy::primitives::{Address, B256};
use zkslice_groth16::ProveError;
use zkslice_prover::ProverError;
use zkslice_slicer::PackageError;

use crate::work::WorkError;

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

/// Why a store cannot be used.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// Reading or writing failed.
    #[error("{}: {reason}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// Another process has it.
    #[error("{} is in use by another process: stop it, or give this one a database of its own", path.display())]
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// Written by a later version.
    #[error("{} was written by a newer version of zkslice: upgrade zkslice", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
    },
    /// It is of another network or node.
    #[error("{} is of {what} {found}, and not of {expected}: give each its own database", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What differs.
        what: String,
        /// What the file says.
        found: String,
        /// What it should say.
        expected: String,
    },
    /// It has stopped after an error that was logged.
    #[error("the store has stopped after an error before this one")]
    Stopped,
}

/// Why there is no link to a peer, or no longer.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The other end is not whom one talks to.
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
    /// What came is no frame that may come.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// A signature cannot be made.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// A message without the other end's signature over its place.
    #[error("a message is not signed for its place in the session")]
    Unsigned,
    /// What carries the frames.
    #[error("{what}: {reason}")]
    Transport {
        /// Which part.
        what: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// Reading or writing failed.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// The other end does not let one in, and says why.
    #[error("the validator refuses: {0}")]
    Refused(String),
    /// The other end takes too long.
    #[error("the other end takes too long")]
    Slow,
    /// The link has ended.
    #[error("the link has ended")]
    Closed,
    /// The operating system gives no random bytes.
    #[error("the operating system gives no random bytes")]
    NoRandomness,
}

/// Why a validator does not begin.
#[derive(Debug, thiserror::Error)]
pub enum ValidatorError {
    /// Its store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A package that cannot be used.
    #[error(transparent)]
    Package(#[from] PackageError),
    /// A package that no network can prove.
    #[error("{}: the package holds a circuit of others, whose witness only its owner can make: serve it by a relayer of your own", .0.display())]
    Foreign(PathBuf),
    /// What it signed before cannot be read.
    #[error("the store holds what this validator did not sign: {0}; restore a copy")]
    Signature(#[from] SignatureError),
    /// A job from before cannot be read.
    #[error("job {0} in the store cannot be read: {1}; restore a copy")]
    Job(B256, String),
}

/// Why a job is not taken, or has no bundle.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// Its input.
    #[error(transparent)]
    Prover(#[from] ProverError),
    /// A model that is not served.
    #[error("no package with model digest {0} is loaded")]
    Model(String),
    /// An owner, and nothing that the owner has signed.
    #[error("the job names an owner of private inputs, and has no hand-over by that owner: prove it by a prover of your own")]
    Owner,
    /// Private inputs that this validator must not see, or not for this job.
    #[error("the hand-over of the private inputs: {0}")]
    HandOver(&'static str),
    /// It cannot be done so soon.
    #[error("the deadline, {deadline_ms} ms of Unix time, is too soon: the largest slice takes {least} ms at least")]
    Deadline {
        /// What was asked for.
        deadline_ms: u64,
        /// What it takes at least.
        least: u64,
    },
    /// The caller has another job of that name.
    #[error("the idempotency key '{0}' is of another job: use a new one")]
    Name(String),
    /// Too much is open.
    #[error("the validator has as many open slices as it takes: ask again later")]
    Full,
    /// The caller has too much open.
    #[error("you have {0} open jobs, as many as a caller may have: ask again when one is over")]
    Many(usize),
    /// No job of that id.
    #[error("there is no job {0}")]
    Unknown(B256),
    /// It has ended without a bundle.
    #[error("the job is {state}: {reason}")]
    Over {
        /// How.
        state: &'static str,
        /// Why.
        reason: String,
    },
    /// Its bundle cannot be read or written.
    #[error("the job's bundle: {0}")]
    Bundle(String),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Randomness.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The validator stops.
    #[error("the validator stops")]
    Stopped,
}

impl JobError {
    /// As a source of bundles says it.
    pub fn into_prover(self) -> ProverError {
        match self {
            Self::Prover(error) => error,
            Self::Model(model) => ProverError::Model { model },
            other => ProverError::Task(other.to_string()),
        }
    }
}

/// What a peer did that it should not have.
#[derive(Debug, thiserror::Error)]
pub enum PeerError {
    /// A frame that cannot be read.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// A message that it did not sign.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// An assignment that it does not have.
    #[error("assignment {0} is not this miner's")]
    Unknown(B256),
    /// A hand-in that is none.
    #[error("the proof is not the one whose hash was signed")]
    HandIn,
    /// The validator's own store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The miner's own ledger.
    #[error("{0}")]
    Ledger(String),
}

/// Why a miner's receipts cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// Reading or writing failed.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Another miner's receipts.
    #[error("{} has the receipts of miner {found}, and the key is of {expected}: give each key a folder of its own", path.display())]
    Another {
        /// The file.
        path: PathBuf,
        /// Whose they are.
        found: alloy::primitives::Address,
        /// Who asks.
        expected: alloy::primitives::Address,
    },
    /// A miner that runs has it.
    #[error("{} is in use: a miner runs with this folder", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// A line that is no receipt.
    #[error("{}: line {line} is no receipt of this network; move the file away, the validators send what they have again", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
}

/// Why a miner does not begin.
#[derive(Debug, thiserror::Error)]
pub enum MinerError {
    /// Its receipts.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// A package that cannot be used.
    #[error(transparent)]
    Package(#[from] PackageError),
}

/// Why a validator elsewhere is of no use.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Its address.
    #[error(transparent)]
    Chain(#[from] zkslice_chain::ChainError),
    /// It does not answer.
    #[error(
        "{0} does not answer: is the validator running, is this its HTTP address, and does this system trust its certificate, if it has https?"
    )]
    Away(String),
    /// Its answer makes no sense.
    #[error("{0}: {1}")]
    Answer(String, String),
    /// It refuses.
    #[error("{url} refuses: {detail} (status {status})")]
    Refused {
        /// Where.
        url: String,
        /// HTTP status.
        status: u16,
        /// Why.
        detail: String,
    },
}

/// Why weights do not get on, beside what the subnet itself refuses, which is an alarm.
#[derive(Debug, thiserror::Error)]
pub enum WeightError {
    /// Nothing that takes weights is at the address.
    #[error("{address} on chain {chain_id} is no WeightBoard of subnet {netuid}; correct `board` or `netuid` under [weights]")]
    NoBoard {
        /// The address.
        address: alloy::primitives::Address,
        /// The chain.
        chain_id: u64,
        /// The subnet's number.
        netuid: u16,
    },
    /// The validator's epochs are numbered otherwise than when the file was written.
    #[error(
        "the file has weights of epoch {known}, and the validator's last one is {epoch}: none are brought until that is past; where the \
         validator's store is a new one, or epoch_blocks another number, stop it and move the file away"
    )]
    Behind {
        /// In the file.
        known: u64,
        /// In the store.
        epoch: u64,
    },
    /// The chain.
    #[error(transparent)]
    Chain(#[from] zkslice_chain::ChainError),
    /// The file of what was committed to.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Randomness.
    #[error(transparent)]
    Link(#[from] LinkError),
}

/// Why a package is not fetched.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// A validator that says nothing of use.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// A list of files that cannot be that of the model.
    #[error("{from}: its list of files of model {model} is refused: {reason}")]
    List {
        /// Who gave it.
        from: String,
        /// The model.
        model: B256,
        /// What is wrong with it.
        reason: String,
    },
    /// Nobody who has a file is left.
    #[error("nobody gives {path}: {reasons}")]
    Nobody {
        /// The file.
        path: String,
        /// What became of each source.
        reasons: String,
    },
    /// It does not fit.
    #[error(
        "{needed} bytes of keys do not fit the quota of {quota}, even without all models that are not in use: raise it, or name fewer slices"
    )]
    Quota {
        /// Bytes that everything in use takes.
        needed: u64,
        /// Bytes that it may take.
        quota: u64,
    },
    /// A package that was fetched, and is not what it was.
    #[error("{}: {reason}; move it away, and it is fetched again", folder.display())]
    Broken {
        /// Its folder.
        folder: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Another process has the folder.
    #[error("{}: another miner fetches into it; give each a folder of its own, or fetch nothing (`--fetch none`)", .0.display())]
    Busy(PathBuf),
    /// A symbolic link where a file is to be written: it may lead out of the folder.
    #[error("{}: is a symbolic link, which is not written through; remove it", .0.display())]
    Link(PathBuf),
    /// Reading or writing failed.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A package that is there and cannot be used.
    #[error(transparent)]
    Package(#[from] PackageError),
}

/// A configuration that cannot be used.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{}: {reason}", path.display())]
pub struct ConfigError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong, and what to do.
    pub reason: String,
}

/// Why a validator or a miner does not run.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// Its configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The chain.
    #[error(transparent)]
    Chain(#[from] zkslice_chain::ChainError),
    /// A package.
    #[error(transparent)]
    Package(#[from] PackageError),
    /// The validator.
    #[error(transparent)]
    Validator(#[from] ValidatorError),
    /// Weights.
    #[error(transparent)]
    Weights(#[from] WeightError),
    /// A link.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// What the other end sent.
    #[error(transparent)]
    Peer(#[from] PeerError),
    /// The validator's API.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// Packages that were to be fetched.
    #[error(transparent)]
    Blob(#[from] BlobError),
    /// An address that cannot be listened at.
    #[error("{0} cannot be listened at: {1}; name another address, or stop what listens there")]
    Listen(std::net::SocketAddr, String),
    /// No folder of packages.
    #[error("{}: {reason}", folder.display())]
    Models {
        /// The folder.
        folder: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// No address of a validator.
    #[error("'{0}' is no validator's address: write http://host:port, and #0x… behind it if you know who it has to be")]
    Employer(String),
    /// Another validator than the one that was named.
    #[error("{url} is validator {found}, and not {expected}")]
    Another {
        /// Where.
        url: String,
        /// Who was named.
        expected: Address,
        /// Who is there.
        found: Address,
    },
    /// Another network than the miner's other validators are of.
    #[error("{url} is of network {} on chain {}, and not of {} on chain {}", found.registry, found.chain_id, expected.registry, expected.chain_id)]
    Network {
        /// Where.
        url: String,
        /// Its network.
        found: crate::Network,
        /// The miner's.
        expected: crate::Network,
    },
}

// What is counted is counted by a word, of few: no part of it is a peer's.

impl WireError {
    const fn kind(&self) -> &'static str {
        match self {
            Self::Kind(_) => "unknown kind",
            Self::NotDue(_) => "not due",
            Self::Length { .. } => "too long",
            Self::Body(_) => "malformed",
        }
    }
}

impl HandshakeError {
    const fn kind(&self) -> &'static str {
        match self {
            Self::Differs { .. } => "differs",
            Self::Itself(_) | Self::Unexpected { .. } => "unexpected",
            Self::NoExporter | Self::AnotherSession => "another session",
            Self::Signature(_) => "signature",
        }
    }
}

impl LinkError {
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::Handshake(error) => error.kind(),
            Self::Wire(error) => error.kind(),
            Self::Signature(_) | Self::Unsigned => "signature",
            Self::Slow => "slow",
            Self::Refused(_) => "refused",
            Self::Transport { .. } | Self::Io(_) | Self::Closed | Self::NoRandomness => "broken off",
        }
    }

    /// Whether something came that should not have, or not so slowly: connections that break off are nobody's fault.
    pub(crate) const fn is_the_peers(&self) -> bool {
        matches!(self, Self::Wire(_) | Self::Unsigned | Self::Slow)
    }
}

impl PeerError {
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::Wire(error) => error.kind(),
            Self::Signature(_) => "signature",
            Self::Unknown(_) => "unknown assignment",
            Self::HandIn => "another proof",
            Self::Store(_) | Self::Ledger(_) => "own store",
        }
    }
}

/// An error as logs may show it: those of executors and circuits name values, which are none of a log's business.
pub(crate) fn for_log(error: &(dyn std::error::Error + 'static)) -> String {
    let of_prover = match (error.downcast_ref::<JobError>(), error.downcast_ref::<WorkError>()) {
        (Some(JobError::Prover(error)), _) | (_, Some(WorkError::Slice(error))) => Some(error),
        _ => error.downcast_ref::<ProverError>(),
    };
    match of_prover {
        Some(ProverError::Execute(_) | ProverError::Circuit(_) | ProverError::Slice { source: ProveError::Circuit(_), .. }) => {
            "a value is outside of what the model can prove".to_owned()
        }
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_show_no_values() {
        let error = || {
            let (input, element, value) = ("x".to_owned(), 3, 1_234_567);
            ProverError::Execute(zkslice_graph::ExecuteError::InputRange { input, element, value, min: 0, max: 255 })
        };
        assert!(error().to_string().contains("1234567"));
        for shown in [for_log(&error()), for_log(&JobError::from(error())), for_log(&WorkError::from(error()))] {
            assert!(!shown.contains("1234567") && shown.contains("outside"), "{shown}");
        }
        assert_eq!(for_log(&JobError::Full), JobError::Full.to_string());
    }
}
