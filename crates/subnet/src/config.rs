//! Files of validators and miners, in TOML. Relative paths in them start at the file's folder.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::num::{NonZeroU16, NonZeroU32};
use std::path::{Path, PathBuf};

use alloy::primitives::{Address, B256, U256};
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};
use zkslice_chain::constants::is_bittensor;
use zkslice_chain::{amount, signer};
use zkslice_formats::check_version;

use crate::ConfigError;
use crate::score::Parameters;
use crate::validator::{Options, dispatch};
use crate::weights::{self, Place};

/// Format version of both.
const VERSION: u32 = 1;

/// What a validator is told.
///
/// ```toml
/// version = 1
/// rpc_url = "http://127.0.0.1:8545"   # the home chain, which gives epochs and beacons
/// chain_id = 31337
/// registry = "0x5fbdb2315678afecb367f032d93f642f64180aa3"
/// key_file = "validator.key"          # mode 0600 or 0400
/// database = "validator.sqlite"
/// models = ["../models/lenet5"]       # packages with keys
/// quic = "0.0.0.0:7654"
/// http = "127.0.0.1:7655"
/// callers = "callers.txt"             # "name key" on each line, mode 0600 or 0400
/// ```
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ValidatorConfig {
    /// Format version, 1.
    pub version: u32,
    /// RPC address of the home chain.
    pub rpc_url: String,
    /// Its id.
    pub chain_id: u64,
    /// Address on it that names the network.
    pub registry: Address,
    /// File with the private key that signs.
    pub key_file: PathBuf,
    /// The store, a SQLite file; made where there is none.
    pub database: PathBuf,
    /// Packages that are served.
    pub models: Vec<PathBuf>,
    /// Where to listen for miners by QUIC.
    #[serde(default = "default_quic")]
    pub quic: SocketAddr,
    /// Where to listen for HTTP.
    #[serde(default = "default_http")]
    pub http: SocketAddr,
    /// File with the names and keys of those who may send jobs.
    #[serde(default)]
    pub callers: Option<PathBuf>,
    /// Blocks of an epoch.
    #[serde(default = "default_epoch_blocks")]
    pub epoch_blocks: u64,
    /// What a unit of requests pays, in wei.
    #[serde(default, deserialize_with = "wei")]
    pub price_per_unit: U256,
    /// Whether the validator proves itself what nobody else does.
    #[serde(default = "default_true")]
    pub proves_itself: bool,
    /// First slices of each request that the validator proves itself, so that no miner sees what is close to an input.
    #[serde(default)]
    pub own_prefix: u16,
    /// Units of benchmarks in a minute.
    #[serde(default = "default_benchmark_units")]
    pub benchmark_units_per_minute: u64,
    /// Valid benchmarks before a miner gets requests.
    #[serde(default = "default_probation")]
    pub probation: u32,
    /// How long a miner may look at work before it answers, in milliseconds.
    #[serde(default = "default_answer_ms")]
    pub answer_ms: u64,
    /// Longest time for a job, in milliseconds.
    #[serde(default = "default_job_ms")]
    pub job_ms: u64,
    /// Days that jobs, proofs and receipts are kept after they have ended.
    #[serde(default = "default_keep_days")]
    pub keep_days: NonZeroU32,
    /// Miners that are let in; all where none are named.
    #[serde(default)]
    pub miners: Option<BTreeSet<Address>>,
    /// How often an address may knock in a minute.
    #[serde(default = "default_knocks")]
    pub handshakes_per_minute: NonZeroU32,
    /// HTTP connections that an address may have: a proxy in front has all of them.
    #[serde(default = "default_connections")]
    pub connections_per_address: NonZeroU32,
    /// Where weights go; nowhere if it is not said.
    #[serde(default)]
    pub weights: Option<WeightsConfig>,
}

/// Where a validator's weights go.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WeightsConfig {
    /// The subnet's number.
    pub netuid: u16,
    /// The `WeightBoard`: on every chain but Bittensor's.
    #[serde(default)]
    pub board: Option<Address>,
    /// Blocks of the subnet's epoch less one: on Bittensor's chains, whose precompiles do not say it.
    #[serde(default)]
    pub tempo: Option<NonZeroU16>,
    /// What is on its way.
    #[serde(default = "default_weights_file")]
    pub file: PathBuf,
    /// Most that a unit of gas may cost.
    #[serde(default, deserialize_with = "some_wei")]
    pub max_fee_per_gas: Option<U256>,
}

/// What a miner is told.
///
/// ```toml
/// version = 1
/// validators = ["http://validator.example:7655"]
/// key_file = "miner.key"      # mode 0600 or 0400
/// models = "packages"         # a folder of packages with keys, or where they are fetched to
/// folder = "state"            # receipts, and what `zkslice miner status` reads
/// ```
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MinerConfig {
    /// Format version, 1.
    pub version: u32,
    /// HTTP addresses of validators; `#` and an address after one says who it has to be.
    pub validators: Vec<String>,
    /// File with the private key that signs.
    pub key_file: PathBuf,
    /// Folder of packages.
    pub models: PathBuf,
    /// Where receipts are kept.
    #[serde(default = "default_folder")]
    pub folder: PathBuf,
    /// Threads to prove on; all cores for 0.
    #[serde(default)]
    pub cores: usize,
    /// Slices to prove side by side.
    #[serde(default = "default_slots")]
    pub slots: u16,
    /// Memory for work that waits, in MiB.
    #[serde(default = "default_memory")]
    pub memory_mib: u32,
    /// Where to serve metrics; nowhere if it is not said.
    #[serde(default)]
    pub metrics: Option<SocketAddr>,
    /// Models whose packages are fetched. Where nothing is said, all, unless there is a package in `models` that was not fetched.
    #[serde(default)]
    pub fetch: Option<Fetch>,
    /// Slices whose proving keys are fetched; all where none are named.
    #[serde(default)]
    pub slices: Option<BTreeSet<u16>>,
    /// What fetched packages may take on the disk.
    #[serde(default)]
    pub quota: Bytes,
    /// Addresses at which `/{sha256}` is a file, such as other miners' `…/v1/blobs`: asked before validators.
    #[serde(default)]
    pub mirror: Vec<String>,
    /// Where to serve the packages to other miners.
    #[serde(default)]
    pub serve_blobs: Option<SocketAddr>,
}

/// Which models a miner fetches: "all", "none", or a list of digests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fetch {
    /// What its validators serve.
    All,
    /// Nothing.
    None,
    /// These.
    Models(BTreeSet<B256>),
}

impl Fetch {
    /// From what is written; nothing at all is all.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(words: &[String]) -> Result<Self, String> {
        match words {
            [] => Ok(Self::All),
            [one] if one == "all" => Ok(Self::All),
            [one] if one == "none" => Ok(Self::None),
            digests => {
                let digest = |text: &String| {
                    let parsed = text.starts_with("0x").then(|| text.parse().ok()).flatten();
                    parsed.ok_or_else(|| format!("'{text}' is neither all nor none, nor a model's digest of 0x and 64 hexadecimal digits"))
                };
                digests.iter().map(digest).collect::<Result<_, _>>().map(Self::Models)
            }
        }
    }
}

impl<'de> Deserialize<'de> for Fetch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Word(String),
            List(Vec<String>),
        }
        let words = match Written::deserialize(deserializer)? {
            Written::Word(word) => vec![word],
            Written::List(list) if list.is_empty() => vec!["none".to_owned()],
            Written::List(list) => list,
        };
        Self::parse(&words).map_err(D::Error::custom)
    }
}

/// A number of bytes, written as "20GB", "1.5 TB" or "512MiB".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bytes(pub u64);

impl Default for Bytes {
    fn default() -> Self {
        Self(20_000_000_000)
    }
}

impl std::str::FromStr for Bytes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("'{text}' is no size such as 20GB, 500MB or 512MiB");
        let unit_at = text.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(wrong)?;
        let (number, unit) = text.split_at(unit_at);
        let one: u64 = match unit.trim() {
            "kB" => 1_000,
            "MB" => 1_000_000,
            "GB" => 1_000_000_000,
            "TB" => 1_000_000_000_000,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            "TiB" => 1 << 40,
            _ => return Err(wrong()),
        };
        let number: f64 = number.parse().map_err(|_| wrong())?;
        Ok(Self((number * one as f64) as u64))
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

fn default_quic() -> SocketAddr {
    SocketAddr::from(([0, 0, 0, 0], 7_654))
}

fn default_http() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 7_655))
}

const fn default_epoch_blocks() -> u64 {
    360
}

const fn default_true() -> bool {
    true
}

const fn default_benchmark_units() -> u64 {
    2_000
}

fn default_probation() -> u32 {
    dispatch::Settings::default().probation
}

fn default_answer_ms() -> u64 {
    dispatch::Settings::default().answer_ms
}

const fn default_job_ms() -> u64 {
    600_000
}

const fn default_keep_days() -> NonZeroU32 {
    NonZeroU32::MIN.saturating_add(29)
}

const fn default_knocks() -> NonZeroU32 {
    NonZeroU32::MIN.saturating_add(9)
}

fn default_weights_file() -> PathBuf {
    PathBuf::from("weights.json")
}

const fn default_connections() -> NonZeroU32 {
    NonZeroU32::MIN.saturating_add(255)
}

fn default_folder() -> PathBuf {
    PathBuf::from("miner")
}

/// Slices side by side where nothing is said.
pub const fn default_slots() -> u16 {
    1
}

/// Memory where nothing is said, in MiB.
pub const fn default_memory() -> u32 {
    1_024
}

fn wei<'de, D: Deserializer<'de>>(deserializer: D) -> Result<U256, D::Error> {
    let text = String::deserialize(deserializer)?;
    let read = amount::parse(&text).filter(|wei| wei.is_zero() || amount::has_unit(&text));
    read.ok_or_else(|| D::Error::custom(format!("`{text}`: expected an amount such as \"30 gwei\" or \"0.1 ether\"")))
}

fn some_wei<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<U256>, D::Error> {
    wei(deserializer).map(Some)
}

fn load<T: DeserializeOwned>(path: &Path) -> Result<T, ConfigError> {
    #[derive(Deserialize)]
    struct Version {
        version: u64,
    }
    let error = |reason: String| ConfigError { path: path.to_owned(), reason };
    let text = std::fs::read_to_string(path).map_err(|e| error(format!("cannot be read: {e}")))?;
    let Version { version } = toml::from_str(&text).map_err(|e| error(e.to_string()))?;
    check_version(version, VERSION).map_err(|e| error(format!("it {e}")))?;
    toml::from_str(&text).map_err(|e| error(e.to_string()))
}

fn folder(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new(""))
}

impl ValidatorConfig {
    /// Reads a file.
    ///
    /// # Errors
    /// [`ConfigError`] names the file and what is wrong.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let mut config: Self = load(path)?;
        let paths = [&mut config.key_file, &mut config.database].into_iter().chain(&mut config.models).chain(&mut config.callers);
        paths.for_each(|relative| *relative = folder(path).join(&*relative));
        let error = |reason: &str| ConfigError { path: path.to_owned(), reason: reason.to_owned() };
        if config.models.is_empty() {
            return Err(error("`models` is empty: name the folders of packages that have keys, such as models = [\"pkg\"]"));
        }
        if config.epoch_blocks == 0 {
            return Err(error("`epoch_blocks` is 0; 360 is usual"));
        }
        if u128::try_from(config.price_per_unit).is_err() {
            return Err(error("`price_per_unit` is beyond any price"));
        }
        if let Some(weights) = &mut config.weights {
            weights.file = folder(path).join(&weights.file);
            weights.place(config.chain_id).map_err(|reason| error(&reason))?;
        }
        Ok(config)
    }

    /// For the validator itself.
    pub fn options(&self) -> Options {
        let network = crate::Network { chain_id: self.chain_id, registry: self.registry };
        let (probation, answer_ms) = (self.probation, self.answer_ms);
        Options {
            price_per_unit: self.price_per_unit.saturating_to(),
            proves_itself: self.proves_itself,
            own_prefix: self.own_prefix,
            benchmark_units: self.benchmark_units_per_minute,
            job_ms: self.job_ms,
            keep_ms: u64::from(self.keep_days.get()) * 86_400_000,
            miners: self.miners.clone(),
            settings: dispatch::Settings { probation, answer_ms, ..dispatch::Settings::default() },
            parameters: Parameters::default(),
            ..Options::new(network, self.database.clone())
        }
    }
}

impl WeightsConfig {
    fn place(&self, chain_id: u64) -> Result<Place, String> {
        match (is_bittensor(chain_id), self.board, self.tempo) {
            (true, None, Some(tempo)) => Ok(Place::Precompiles { tempo: tempo.get() }),
            (true, _, None) => {
                Err(format!("`tempo` is missing under [weights]: precompiles of chain {chain_id} do not say it; 360 is usual"))
            }
            (true, Some(_), _) => Err(format!("`board` under [weights] is not for chain {chain_id}, which has precompiles for weights")),
            (false, Some(board), None) => Ok(Place::Board(board)),
            (false, None, _) => Err(format!(
                "`board` is missing under [weights]: chain {chain_id} has no precompiles for weights; `zkslice weights deploy` makes one"
            )),
            (false, _, Some(_)) => Err("`tempo` under [weights] is for Bittensor's chains; a board says its own".to_owned()),
        }
    }

    /// For the setter.
    ///
    /// # Errors
    /// What is wrong with it on this chain.
    pub fn options(&self, chain_id: u64) -> Result<weights::Options, String> {
        let max_fee_per_gas = self.max_fee_per_gas.map(|wei| wei.saturating_to());
        Ok(weights::Options { max_fee_per_gas, ..weights::Options::new(self.file.clone(), self.place(chain_id)?, self.netuid) })
    }
}

impl MinerConfig {
    /// Reads a file.
    ///
    /// # Errors
    /// [`ConfigError`] names the file and what is wrong.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let mut config: Self = load(path)?;
        for relative in [&mut config.key_file, &mut config.models, &mut config.folder] {
            *relative = folder(path).join(&*relative);
        }
        Ok(config)
    }
}

/// Names and keys of callers, from a file that only its owner can read: "name key" on each line, where the key of who signs is an address.
///
/// # Errors
/// [`ConfigError`] for a file that others can read, and for lines of another form.
pub fn callers(path: &Path) -> Result<Vec<(String, String)>, ConfigError> {
    let error = |reason: String| ConfigError { path: path.to_owned(), reason };
    // Its message names the file.
    let text = signer::secret(path).map_err(|e| error(e.to_string()))?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'));
    lines
        .map(|(number, line)| match line.split_whitespace().collect::<Vec<_>>()[..] {
            [name, key] if address(key).is_some() => Ok((name.to_owned(), key.to_owned())),
            // Somebody's address with a mistake is no secret that anybody may have.
            [_, key] if key.starts_with("0x") && key.len() == 42 => {
                Err(error(format!("line {}: the address has digits or a checksum that are wrong", number + 1)))
            }
            [name, key] if key.len() >= MOST_GUESSABLE => Ok((name.to_owned(), key.to_owned())),
            [_, _] => Err(error(format!("line {}: the key has fewer than {MOST_GUESSABLE} characters, which can be guessed", number + 1))),
            _ => Err(error(format!("line {} is not a name and a key, or a name and an address", number + 1))),
        })
        .collect()
}

/// An address of `0x` and 40 digits, whose checksum is right where it has one.
pub(crate) fn address(text: &str) -> Option<Address> {
    let address: Address = text.strip_prefix("0x").and_then(|digits| digits.parse().ok())?;
    let is_plain = text[2..].chars().all(|digit| !digit.is_ascii_uppercase()) || text[2..].chars().all(|digit| !digit.is_ascii_lowercase());
    (is_plain || address.to_string() == text).then_some(address)
}

/// Characters below which a key can be guessed.
const MOST_GUESSABLE: usize = 16;
