//! `deployments/<chain id>.json`: what was deployed to a chain.
//!
//! The manifest is written after each step, atomically, and *before* each transaction is sent, with the transaction in it: a
//! deployment that is killed at any point goes on from there. While a process deploys, it holds a lock on `<manifest>.lock`.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use alloy::primitives::{Address, B256, Bytes, Selector};
use alloy::sol_types::SolValue;
use serde::{Deserialize, Serialize};
use zkslice_formats::{FileLock, Readers, VersionError, check_version, json_version, to_json};

use crate::ChainError;

/// Format version of manifests. Version 1 was of contracts that this version does not deploy.
pub const MANIFEST_VERSION: u32 = 2;

/// A deployment manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// [`MANIFEST_VERSION`].
    pub version: u32,
    /// The chain.
    pub chain_id: u64,
    /// What the registry was made with.
    pub parameters: Option<RegistryParameters>,
    /// `ModelRegistry`.
    pub model_registry: Option<ContractRecord>,
    /// `BundleVerifier`, or `BundleVerifier0x09` on Bittensor.
    pub bundle_verifier: Option<ContractRecord>,
    /// `InferenceOracle`.
    pub inference_oracle: Option<ContractRecord>,
    /// The verifier in the registry.
    pub verifier: Option<VerifierRecord>,
    /// Registered models by digest.
    pub models: BTreeMap<B256, ModelRecord>,
    /// Example consumers.
    pub consumers: Vec<ConsumerRecord>,
    /// Feeds.
    pub feeds: Vec<FeedRecord>,
    /// A transaction that may have been sent and whose outcome is not recorded yet.
    pub pending: Option<PendingTransaction>,
}

/// What a registry is made with. All addresses follow from it: the same parameters, the same addresses on every chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegistryParameters {
    /// Who registers models and adds verifiers.
    pub owner: Address,
    /// Who may stop things, beside the owner.
    pub guardian: Address,
    /// Seconds between adding and serving.
    pub delay: u64,
}

impl RegistryParameters {
    /// As the registry's constructor takes them.
    pub fn encode(&self) -> Bytes {
        (self.owner, self.guardian, alloy::primitives::U256::from(self.delay)).abi_encode_params().into()
    }
}

/// A contract to be created, or created.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Creation {
    /// Where.
    pub address: Address,
    /// Salt of the deterministic deployment; none for one whose address follows from its creator's nonce.
    pub salt: Option<B256>,
    /// keccak256 of its creation code and arguments: which build it is.
    pub init_code_hash: B256,
    /// The arguments of its constructor, encoded.
    pub constructor_args: Bytes,
}

/// A deployed contract.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContractRecord {
    /// Where.
    pub address: Address,
    /// Salt of the deterministic deployment; none for one whose address follows from its creator's nonce.
    pub salt: Option<B256>,
    /// keccak256 of its creation code and arguments: which build it is.
    pub init_code_hash: B256,
    /// The arguments of its constructor, encoded.
    pub constructor_args: Bytes,
    /// keccak256 of its code.
    pub code_hash: B256,
    /// The block that created it; none where it was there already.
    pub block: Option<u64>,
    /// The transaction that created it; none where it was there already.
    pub tx_hash: Option<B256>,
}

impl ContractRecord {
    /// Once it is created.
    pub fn new(creation: Creation, code_hash: B256, block: Option<u64>, tx_hash: Option<B256>) -> Self {
        let Creation { address, salt, init_code_hash, constructor_args } = creation;
        Self { address, salt, init_code_hash, constructor_args, code_hash, block, tx_hash }
    }
}

/// A verifier in the registry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VerifierRecord {
    /// Its selector.
    pub selector: Selector,
    /// Where it is.
    pub address: Address,
    /// The transaction that added it; none where it was added already.
    pub tx_hash: Option<B256>,
}

/// A registered model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelRecord {
    /// Digest of the α, β, γ that its keys share.
    pub setup_digest: B256,
    /// Whether its keys are development keys.
    pub dev: bool,
    /// Hash of its ceremony's transcript; zero for development keys.
    pub transcript_hash: B256,
    /// Hashes of its key blob's chunks, in order.
    pub chunks: Vec<B256>,
    /// The transaction that registered it; none where it was registered already.
    pub tx_hash: Option<B256>,
}

/// An example consumer, `DigitConsumer`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConsumerRecord {
    /// Its model.
    pub model: B256,
    /// Where it is.
    pub contract: ContractRecord,
}

/// A feed, `InferenceFeed`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeedRecord {
    /// What it serves.
    pub spec: FeedSpec,
    /// Where it is.
    pub contract: ContractRecord,
}

/// What a feed serves: `IInferenceFeed.Config`, oracle and verifier excepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeedSpec {
    /// The model.
    pub model: B256,
    /// The one account whose rounds are served.
    pub source: Address,
    /// Index of the element, over all outputs.
    pub output_index: u64,
    /// Decimals of the answers.
    pub decimals: u8,
    /// Greatest age of an answer, in seconds.
    pub max_age: u64,
    /// What the feed says of itself.
    pub description: String,
    /// On a rollup, the feed that says whether its sequencer is up; zero elsewhere.
    pub sequencer_uptime_feed: Address,
    /// Seconds after the sequencer's return in which nothing is served yet.
    pub grace_period: u64,
}

/// One step of a deployment: one transaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case", deny_unknown_fields)]
pub enum Step {
    /// Pay for the transaction that creates the deterministic deployment proxy.
    FundFactory,
    /// Create the deterministic deployment proxy, by a transaction that nobody has to sign.
    Factory,
    /// Create `ModelRegistry`.
    ModelRegistry {
        /// What it is made with.
        parameters: RegistryParameters,
    },
    /// Create `BundleVerifier`.
    BundleVerifier,
    /// Create `BundleVerifier0x09`.
    BundleVerifier0x09,
    /// Create `InferenceOracle`.
    InferenceOracle,
    /// Add the verifier to the registry.
    AddVerifier {
        /// Under which selector.
        selector: Selector,
        /// Where it is.
        verifier: Address,
    },
    /// Write a chunk of a key blob.
    Chunk {
        /// The model.
        model: B256,
        /// keccak256 of the chunk.
        hash: B256,
    },
    /// Register a model.
    Register {
        /// The model.
        model: B256,
        /// Digest of the setup.
        setup_digest: B256,
        /// Whether the keys are development keys.
        dev: bool,
        /// Hash of the ceremony's transcript.
        transcript_hash: B256,
        /// Hashes of the chunks, in order.
        chunks: Vec<B256>,
    },
    /// Create a `DigitConsumer`.
    Consumer {
        /// Its model.
        model: B256,
    },
    /// Create an `InferenceFeed`.
    Feed {
        /// What it serves.
        spec: FeedSpec,
    },
}

impl Step {
    /// The contract or model that it is about, as messages call it.
    pub fn subject(&self) -> String {
        match self {
            Self::FundFactory | Self::Factory => "deterministic deployment proxy".to_owned(),
            Self::ModelRegistry { .. } => "ModelRegistry".to_owned(),
            Self::BundleVerifier => "BundleVerifier".to_owned(),
            Self::BundleVerifier0x09 => "BundleVerifier0x09".to_owned(),
            Self::InferenceOracle => "InferenceOracle".to_owned(),
            Self::AddVerifier { selector, .. } => format!("verifier {selector}"),
            Self::Chunk { hash, .. } => format!("key chunk {hash}"),
            Self::Register { model, .. } => format!("model {model}"),
            Self::Consumer { model } => format!("DigitConsumer of {model}"),
            Self::Feed { spec } => format!("InferenceFeed `{}`", spec.description),
        }
    }
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::FundFactory => f.write_str("pay for the deterministic deployment proxy"),
            Self::Factory => f.write_str("create the deterministic deployment proxy"),
            Self::ModelRegistry { .. } => f.write_str("create ModelRegistry"),
            Self::BundleVerifier => f.write_str("create BundleVerifier"),
            Self::BundleVerifier0x09 => f.write_str("create BundleVerifier0x09"),
            Self::InferenceOracle => f.write_str("create InferenceOracle"),
            Self::AddVerifier { selector, verifier } => write!(f, "add verifier {verifier} as {selector}"),
            Self::Chunk { hash, .. } => write!(f, "write key chunk {hash}"),
            Self::Register { model, .. } => write!(f, "register model {model}"),
            Self::Consumer { model } => write!(f, "create DigitConsumer for model {model}"),
            Self::Feed { spec } => write!(f, "create InferenceFeed `{}`", spec.description),
        }
    }
}

/// A transaction written down before it was sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PendingTransaction {
    /// What it does.
    pub step: Step,
    /// Who signed it.
    pub sender: Address,
    /// Its nonce.
    pub nonce: u64,
    /// Its hash.
    pub tx_hash: B256,
    /// The contract that it creates, if it creates one.
    pub creates: Option<Creation>,
    /// The signed bytes.
    pub raw: Bytes,
}

impl Manifest {
    /// An empty manifest.
    pub const fn new(chain_id: u64) -> Self {
        Self {
            version: MANIFEST_VERSION,
            chain_id,
            parameters: None,
            model_registry: None,
            bundle_verifier: None,
            inference_oracle: None,
            verifier: None,
            models: BTreeMap::new(),
            consumers: Vec::new(),
            feeds: Vec::new(),
            pending: None,
        }
    }

    /// Where a chain's manifest is, in a folder of deployments.
    pub fn path(folder: &Path, chain_id: u64) -> PathBuf {
        folder.join(format!("{chain_id}.json"))
    }

    /// Reads a manifest from bytes; `path` is for messages.
    ///
    /// # Errors
    /// [`ChainError::ManifestMalformed`], [`ChainError::ManifestNewer`].
    pub fn parse(path: &Path, bytes: &[u8]) -> Result<Self, ChainError> {
        let malformed = |e: serde_json::Error| ChainError::ManifestMalformed { path: path.to_owned(), reason: e.to_string() };
        match check_version(json_version(bytes).map_err(malformed)?, MANIFEST_VERSION) {
            Ok(()) => {}
            Err(error @ VersionError::Newer { .. }) => return Err(ChainError::ManifestNewer { path: path.to_owned(), error }),
            Err(error) => {
                let reason = format!("it {error}; its contracts are not those that this zkslice deploys");
                return Err(ChainError::ManifestMalformed { path: path.to_owned(), reason });
            }
        }
        serde_json::from_slice(bytes).map_err(malformed)
    }

    /// Reads a manifest; `None` where there is no such file.
    ///
    /// # Errors
    /// As [`Manifest::parse`], and [`ChainError::ManifestIo`].
    pub fn load(path: &Path) -> Result<Option<Self>, ChainError> {
        match std::fs::read(path) {
            Ok(bytes) => Self::parse(path, &bytes).map(Some),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(io(path, &error)),
        }
    }

    /// Writes the manifest: whole or not at all, and durably.
    ///
    /// # Errors
    /// [`ChainError::ManifestIo`].
    pub fn save(&self, path: &Path) -> Result<(), ChainError> {
        let bytes = to_json(self).map_err(|e| ChainError::ManifestMalformed { path: path.to_owned(), reason: e.to_string() })?;
        zkslice_formats::write(path, Readers::Umask, &bytes).map_err(|e| io(path, &e))
    }
}

/// The lock of a manifest: while it lives, no other process works on it. Makes the manifest's folder where it is missing.
///
/// # Errors
/// [`ChainError::ManifestLocked`], [`ChainError::ManifestIo`].
pub fn lock(path: &Path) -> Result<FileLock, ChainError> {
    std::fs::create_dir_all(folder_of(path)).map_err(|e| io(path, &e))?;
    let lock = FileLock::take(path).map_err(|e| io(&FileLock::file(path), &e))?;
    lock.ok_or_else(|| ChainError::ManifestLocked { path: path.to_owned() })
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

fn io(path: &Path, error: &std::io::Error) -> ChainError {
    ChainError::ManifestIo { path: path.to_owned(), reason: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Manifest {
        let creation = Creation {
            address: Address::repeat_byte(1),
            salt: Some(B256::ZERO),
            init_code_hash: B256::repeat_byte(3),
            constructor_args: Bytes::from_static(&[1]),
        };
        let contract = ContractRecord::new(creation.clone(), B256::repeat_byte(2), Some(12), Some(B256::repeat_byte(4)));
        let spec = FeedSpec {
            model: B256::repeat_byte(5),
            source: Address::repeat_byte(6),
            output_index: 3,
            decimals: 8,
            max_age: 3600,
            description: "three".to_owned(),
            sequencer_uptime_feed: Address::ZERO,
            grace_period: 0,
        };
        let mut manifest = Manifest::new(31337);
        manifest.parameters = Some(RegistryParameters { owner: Address::repeat_byte(12), guardian: Address::repeat_byte(13), delay: 0 });
        manifest.model_registry = Some(contract.clone());
        manifest.verifier =
            Some(VerifierRecord { selector: [0, 0, 0, 1].into(), address: Address::repeat_byte(14), tx_hash: Some(B256::repeat_byte(15)) });
        let record = ModelRecord {
            setup_digest: B256::repeat_byte(7),
            dev: true,
            transcript_hash: B256::ZERO,
            chunks: vec![B256::repeat_byte(8)],
            tx_hash: None,
        };
        manifest.models.insert(B256::repeat_byte(5), record);
        manifest.consumers.push(ConsumerRecord { model: B256::repeat_byte(5), contract: contract.clone() });
        manifest.feeds.push(FeedRecord { spec: spec.clone(), contract });
        manifest.pending = Some(PendingTransaction {
            step: Step::Feed { spec },
            sender: Address::repeat_byte(9),
            nonce: 7,
            tx_hash: B256::repeat_byte(10),
            creates: Some(creation),
            raw: Bytes::from_static(&[2, 3]),
        });
        manifest
    }

    #[test]
    fn what_is_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = Manifest::path(folder.path(), 31337);
        assert_eq!(Manifest::load(&path).unwrap(), None);
        sample().save(&path).unwrap();
        assert_eq!(Manifest::load(&path).unwrap(), Some(sample()));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing temporary stays");
    }

    #[test]
    fn newer_older_unknown_and_broken_manifests_are_refused() {
        let path = Path::new("31337.json");
        let text = serde_json::to_string(&sample()).unwrap();
        let newer = text.replacen("\"version\":2", "\"version\":3,\"invention\":{}", 1);
        let error = Manifest::parse(path, newer.as_bytes()).unwrap_err();
        assert!(matches!(error, ChainError::ManifestNewer { error: VersionError::Newer { found: 3, known: 2 }, .. }), "{error}");
        for (from, to) in [
            ("\"version\":2", "\"version\":1"),
            ("\"version\":2", "\"version\":0"),
            ("\"version\":2", "\"version\":-1"),
            ("\"version\":2", "\"version\":2,\"surprise\":1"),
            ("\"decimals\":8", "\"decimals\":256"),
            ("\"decimals\":8", "\"decimals\":8,\"surprise\":1"),
            ("\"nonce\":7", "\"nonce\":\"x\""),
            ("\"models\"", "\"modells\""),
            ("\"feed\"", "\"food\""),
        ] {
            assert!(text.contains(from), "{from}");
            let error = Manifest::parse(path, text.replace(from, to).as_bytes()).unwrap_err();
            assert!(matches!(error, ChainError::ManifestMalformed { .. }), "{to}: {error}");
        }
        for length in 0..text.len() {
            assert!(Manifest::parse(path, &text.as_bytes()[..length]).is_err());
        }
    }

    #[test]
    fn only_one_holds_the_lock() {
        let folder = tempfile::tempdir().unwrap();
        let path = Manifest::path(&folder.path().join("new"), 1337);
        let held = lock(&path).unwrap();
        assert!(matches!(lock(&path), Err(ChainError::ManifestLocked { .. })));
        drop(held);
        lock(&path).unwrap();
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, "x").unwrap();
        let error = sample().save(&path.join("1.json")).unwrap_err();
        assert!(matches!(error, ChainError::ManifestIo { .. }), "{error}");
    }

    proptest::proptest! {
        #[test]
        fn parsing_never_panics(bytes: Vec<u8>, at: proptest::sample::Index, byte: u8) {
            let path = Path::new("1.json");
            let _ = Manifest::parse(path, &bytes);
            let mut changed = serde_json::to_vec(&sample()).unwrap();
            let at = at.index(changed.len());
            changed[at] = byte;
            let _ = Manifest::parse(path, &changed);
        }
    }
}
