//! Errors of the chain side.

use std::path::PathBuf;

use alloy::primitives::{Address, B256, Bytes, Selector, U256};
use zkslice_formats::VersionError;

use crate::bindings::ServiceStatus;
use crate::check::Difference;
use crate::manifest::RegistryParameters;

/// A call that only the registry's owner may make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnerCall {
    /// What it does.
    pub what: String,
    /// Its calldata.
    pub data: Bytes,
}

impl std::fmt::Display for OwnerCall {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.what, self.data)
    }
}

fn lines(items: &[impl std::fmt::Display]) -> String {
    items.iter().map(|item| format!("\n  {item}")).collect()
}

/// What can go wrong between us and a chain: each says what, where, and how to mend it.
///
/// [`ChainError::code`] is stable: scripts and operators may rely on it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChainError {
    /// The RPC URL cannot be used.
    #[error("[ZKS-CHAIN-001] `{url}` is no RPC address: {reason}; give one such as http://127.0.0.1:8545 or https://rpc.example.org")]
    InvalidUrl {
        /// The URL.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Nothing answers at the RPC URL.
    #[error("[ZKS-CHAIN-002] no answer from {url}: {reason}; check that the node runs and that the address is right")]
    Unreachable {
        /// The URL.
        url: String,
        /// What the transport says.
        reason: String,
    },
    /// The node answers with another chain id.
    #[error("[ZKS-CHAIN-003] {url} is chain {found}, expected chain {expected}; correct the RPC address or the chain id")]
    WrongChain {
        /// The URL.
        url: String,
        /// The id expected.
        expected: u64,
        /// The id that the node gave.
        found: u64,
    },
    /// The node refused a call for a reason that is not a revert.
    #[error("[ZKS-CHAIN-004] {url} refused {what}: {reason}")]
    Refused {
        /// The URL.
        url: String,
        /// What was asked.
        what: String,
        /// What the node said.
        reason: String,
    },
    /// A contract call reverted.
    #[error("[ZKS-CHAIN-005] {what} reverts: {}", crate::bindings::decode_revert(.data))]
    Reverted {
        /// What was called.
        what: String,
        /// The revert data.
        data: Vec<u8>,
    },
    /// The node gave an answer that cannot be.
    #[error("[ZKS-CHAIN-006] {url} answered {what} with nonsense: {reason}; use another node")]
    InvalidAnswer {
        /// The URL.
        url: String,
        /// What was asked.
        what: String,
        /// What is wrong.
        reason: String,
    },
    /// The RPC server does not show a certificate that this machine trusts.
    #[error(
        "[ZKS-CHAIN-007] cannot trust the TLS certificate of {url}: {reason}; check that the address is right, that this machine's clock is, and that it has certificate authorities (the package ca-certificates, or a file of them named in SSL_CERT_FILE)"
    )]
    Untrusted {
        /// The URL.
        url: String,
        /// What is wrong with the certificate, or with what it is checked against.
        reason: String,
    },
    /// A key file cannot be read.
    #[error("[ZKS-CHAIN-010] cannot read the key file {}: {reason}", .path.display())]
    KeyUnreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        reason: String,
    },
    /// A key file can be read by others.
    #[error("[ZKS-CHAIN-011] the key file {} has mode {mode:04o}, so others may read it; run `chmod 600 {}`", .path.display(), .path.display())]
    KeyMode {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// A key file does not hold a key. Its content is not repeated here.
    #[error("[ZKS-CHAIN-012] the key file {} holds no private key: {reason}; it must hold 64 hexadecimal digits, with or without 0x, and nothing else", .path.display())]
    KeyMalformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: &'static str,
    },
    /// The signer refused.
    #[error("[ZKS-CHAIN-013] signing failed: {0}")]
    Signing(String),
    /// The account cannot pay.
    #[error("[ZKS-CHAIN-014] {account} has {balance} wei on chain {chain_id}, {needed} wei are needed; send it some")]
    InsufficientBalance {
        /// The account.
        account: Address,
        /// The chain.
        chain_id: u64,
        /// What it has, in wei.
        balance: U256,
        /// What it needs, in wei.
        needed: U256,
    },
    /// Gas costs more than the caller allowed.
    #[error(
        "[ZKS-CHAIN-015] chain {chain_id} asks {base_fee} wei for a unit of gas, above the limit of {limit} wei; wait, or raise the limit"
    )]
    FeeAboveLimit {
        /// The chain.
        chain_id: u64,
        /// Base fee, in wei.
        base_fee: u128,
        /// The limit, in wei.
        limit: u128,
    },
    /// The chain's EVM lacks instructions that the contracts have.
    #[error(
        "[ZKS-CHAIN-016] chain {chain_id} has an EVM older than Cancun, which lacks MCOPY and TLOAD: the contracts cannot run there, and nothing was sent; choose a chain that has Cancun (anvil: --hardfork cancun or later)"
    )]
    OldEvm {
        /// The chain.
        chain_id: u64,
    },
    /// A key blob is not one.
    #[error("[ZKS-CHAIN-020] the key blob of model {digest} is malformed: {reason}; make it again with `zkslice setup`")]
    MalformedBlob {
        /// Digest that the blob was given under.
        digest: B256,
        /// What is wrong.
        reason: String,
    },
    /// Development keys, on a chain that is not local.
    #[error(
        "[ZKS-CHAIN-021] model {digest} has development keys, whose secrets were known to whoever made them: chain {chain_id} is not local (1337, 31337 to 31346), and nothing was sent; use keys from a ceremony"
    )]
    DevKeys {
        /// The model.
        digest: B256,
        /// The chain.
        chain_id: u64,
    },
    /// A manifest cannot be read or written.
    #[error("[ZKS-CHAIN-030] manifest {}: {reason}", .path.display())]
    ManifestIo {
        /// The file.
        path: PathBuf,
        /// What the system says.
        reason: String,
    },
    /// A manifest is not one.
    #[error("[ZKS-CHAIN-031] manifest {} is malformed: {reason}; restore it from a copy, or move it away to deploy anew", .path.display())]
    ManifestMalformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A manifest of a newer version.
    #[error("[ZKS-CHAIN-032] manifest {} {error}", .path.display())]
    ManifestNewer {
        /// The file.
        path: PathBuf,
        /// Its version.
        error: VersionError,
    },
    /// A manifest of another chain.
    #[error("[ZKS-CHAIN-033] manifest {} is for chain {found}, not chain {expected}; give the right manifest or RPC address", .path.display())]
    ManifestChain {
        /// The file.
        path: PathBuf,
        /// Its chain id.
        found: u64,
        /// The chain connected to.
        expected: u64,
    },
    /// Another process is deploying with this manifest.
    #[error("[ZKS-CHAIN-034] manifest {} is in use by another process; wait for it to end", .path.display())]
    ManifestLocked {
        /// The file.
        path: PathBuf,
    },
    /// The chain is not as the manifest says.
    #[error(
        "[ZKS-CHAIN-035] chain {chain_id} is not as manifest {} says:{}\n  if this is a fresh local chain, move the manifest away and deploy anew; else find out who changed what", .path.display(), lines(.differences)
    )]
    ManifestDiffers {
        /// The manifest.
        path: PathBuf,
        /// The chain.
        chain_id: u64,
        /// Each difference.
        differences: Vec<Difference>,
    },
    /// A registry cannot be made so.
    #[error("[ZKS-CHAIN-036] no registry is made on chain {chain_id}: {reason}")]
    Parameters {
        /// The chain.
        chain_id: u64,
        /// What is wrong.
        reason: String,
    },
    /// The manifest's registry was made with other parameters than asked for.
    #[error(
        "[ZKS-CHAIN-037] the registry of manifest {} has owner {}, guardian {} and delay {} s, not {}, {} and {} s: with others it would be another contract; leave them out, or move the manifest away to deploy one more",
        .path.display(), .parameters.0.owner, .parameters.0.guardian, .parameters.0.delay,
        .parameters.1.owner, .parameters.1.guardian, .parameters.1.delay
    )]
    ManifestParameters {
        /// The manifest.
        path: PathBuf,
        /// Those recorded, and those asked for.
        parameters: Box<(RegistryParameters, RegistryParameters)>,
    },
    /// What is left to do only the registry's owner may do.
    #[error(
        "[ZKS-CHAIN-038] {signer} does not own the registry {registry}, {owner} does: sign with the owner's key, or have the owner send to the registry, then run this again:{}", lines(.calls)
    )]
    NotOwner {
        /// The registry.
        registry: Address,
        /// Its owner.
        owner: Address,
        /// The signer.
        signer: Address,
        /// What is left to the owner, in order.
        calls: Vec<OwnerCall>,
    },
    /// A deployment in progress was begun by another account.
    #[error("[ZKS-CHAIN-039] manifest {} has an unfinished transaction of {sender}, not of {signer}; run again with its key", .path.display())]
    PendingOfAnother {
        /// The manifest.
        path: PathBuf,
        /// Who sent it.
        sender: Address,
        /// Who signs now.
        signer: Address,
    },
    /// A transaction is not mined yet.
    #[error(
        "[ZKS-CHAIN-040] transaction {hash} ({what}) is not mined after {seconds} s; it is recorded, so run the command again to go on"
    )]
    NotMined {
        /// What it does.
        what: String,
        /// Its hash.
        hash: B256,
        /// How long was waited.
        seconds: u64,
    },
    /// A transaction was mined and failed.
    #[error("[ZKS-CHAIN-041] transaction {hash} ({what}) was mined and failed; run the command again for the reason")]
    Failed {
        /// What it was to do.
        what: String,
        /// Its hash.
        hash: B256,
    },
    /// A creation left no code.
    #[error("[ZKS-CHAIN-043] there is no code at {address} on chain {chain_id}, where {name} was created; use another node")]
    NoCode {
        /// The contract's name.
        name: String,
        /// Its address.
        address: Address,
        /// The chain.
        chain_id: u64,
    },
    /// The selector is another verifier's, or was stopped.
    #[error(
        "[ZKS-CHAIN-044] selector {selector} of the registry {registry} stands for verifier {verifier}, which is {status}; a selector cannot be used again: deploy another registry, or use the zkslice of that verifier"
    )]
    VerifierTaken {
        /// The registry.
        registry: Address,
        /// The selector.
        selector: Selector,
        /// The state of the verifier there.
        status: ServiceStatus,
        /// The verifier there.
        verifier: Address,
    },
    /// The model was stopped.
    #[error("[ZKS-CHAIN-045] model {digest} was stopped for ever in the registry {registry}; make new keys, which give another digest")]
    ModelStopped {
        /// The registry.
        registry: Address,
        /// The model.
        digest: B256,
    },
    /// The deterministic deployment proxy is not there, and cannot be put there.
    #[error(
        "[ZKS-CHAIN-046] chain {chain_id} has no deterministic deployment proxy (EIP-7997) at {}: {reason}; without it addresses would differ from chain to chain: ask the chain's operators for it",
        crate::factory::FACTORY
    )]
    NoFactory {
        /// The chain.
        chain_id: u64,
        /// Why not.
        reason: String,
    },
    /// There is no oracle at the address.
    #[error("[ZKS-CHAIN-050] there is no oracle at {address} on chain {chain_id}: {reason}; correct the address or the RPC address")]
    NoOracle {
        /// The address.
        address: Address,
        /// The chain.
        chain_id: u64,
        /// What was found instead.
        reason: String,
    },
    /// There is no `WeightBoard` at the address.
    #[error("[ZKS-CHAIN-054] there is no WeightBoard at {address} on chain {chain_id}; correct the address or the RPC address")]
    NoBoard {
        /// The address.
        address: Address,
        /// The chain.
        chain_id: u64,
    },
    /// The oracle's registry does not serve the model now.
    #[error(
        "[ZKS-CHAIN-051] model {digest} is {status} in the registry {registry} of chain {chain_id}: {}",
        match .status {
            ServiceStatus::Pending => "it serves once the registry's delay is over",
            ServiceStatus::Tombstoned => "it was stopped for ever; make new keys, which give another digest",
            _ => "register it with `zkslice deploy <package> --rpc-url … --private-key-file …`",
        }
    )]
    ModelNotServed {
        /// The model.
        digest: B256,
        /// The registry.
        registry: Address,
        /// The chain.
        chain_id: u64,
        /// Its state there.
        status: ServiceStatus,
    },
    /// A transaction that nothing records is not mined yet.
    #[error(
        "[ZKS-CHAIN-052] transaction {hash} ({what}) is not mined after {seconds} s, and may still be: look for it before you run the command again"
    )]
    Unconfirmed {
        /// What it does.
        what: String,
        /// Its hash.
        hash: B256,
        /// How long was waited.
        seconds: u64,
    },
    /// The oracle knows no such request.
    #[error("[ZKS-CHAIN-053] the oracle {oracle} of chain {chain_id} has no request {id}; check both")]
    NoRequest {
        /// The oracle.
        oracle: Address,
        /// The chain.
        chain_id: u64,
        /// The request.
        id: B256,
    },
    /// The observer asked to stop.
    #[error("[ZKS-CHAIN-042] stopped on request; run the command again to go on")]
    Stopped,
}

impl ChainError {
    /// The stable code, such as `ZKS-CHAIN-003`.
    pub fn code(&self) -> String {
        let text = self.to_string();
        text.strip_prefix('[').and_then(|rest| rest.split_once(']')).map(|(code, _)| code.to_owned()).unwrap_or_default()
    }

    /// Whether trying again later may help without anybody's doing: the node was away, busy or behind.
    pub const fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. }
                | Self::Refused { .. }
                | Self::InvalidAnswer { .. }
                | Self::FeeAboveLimit { .. }
                | Self::NotMined { .. }
        )
    }
}
