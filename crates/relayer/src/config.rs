//! The relayer's configuration, a TOML file.

use std::path::{Path, PathBuf};
use std::time::Duration;

use alloy::primitives::{Address, U256};
use serde::{Deserialize, Deserializer, de::Error as _};
use zkslice_chain::amount;
use zkslice_formats::{VersionError, check_version};

use crate::RelayError;
use crate::constants::{MAX_CONFIRMATIONS, TRANSACTION_GAS_CAP};

/// Format version of configurations.
const CONFIG_VERSION: u32 = 1;

/// What a relayer is told.
///
/// ```toml
/// version = 1
/// rpc_url = "http://127.0.0.1:8545"
/// chain_id = 31337
/// oracle = "0x5fbdb2315678afecb367f032d93f642f64180aa3"
/// key_file = "relayer.key"          # mode 0600 or 0400
/// database = "relayer.sqlite"
/// models = ["../models/lenet5"]     # packages with keys
///
/// max_fee_per_gas = "50 gwei"
/// max_gas = 5_000_000               # per transaction
/// daily_spend_cap = "0.1 ether"
/// min_fee = "0.0005 ether"
/// ```
///
/// A package that holds a circuit of others in place of a model is served with what makes its witnesses:
///
/// ```toml
/// [[circuits]]
/// package = "../circuits/merkle"
/// witness_program = "zkslice witness merkle.wasm"
/// inputs = "mine.json"              # private inputs that no request carries
/// ```
///
/// In place of `models`, a validator of a prover network has requests proven:
///
/// ```toml
/// source = "http://127.0.0.1:7655"
/// source_key_file = "validator.token"   # the key that its operator gave, mode 0600 or 0400
/// ```
///
/// or, signing each request by a key whose address the operator lists, for the validator behind `#`:
///
/// ```toml
/// source = "http://127.0.0.1:7655#0x…"
/// source_signer_key_file = "caller.key"
/// ```
///
/// Amounts are text with a unit (`wei`, `gwei`, `ether`), or an integer of wei. Relative paths start at the file's folder.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Format version, 1.
    pub version: u32,
    /// RPC address of the chain, `http://…` or `https://…`.
    pub rpc_url: String,
    /// The chain's id; the relayer starts on no other.
    pub chain_id: u64,
    /// The oracle watched.
    pub oracle: Address,
    /// File with the private key that signs.
    pub key_file: PathBuf,
    /// The queue, a SQLite file; made where there is none.
    pub database: PathBuf,
    /// Model packages that can be proven.
    #[serde(default)]
    pub models: Vec<PathBuf>,
    /// Packages with circuits of others that can be proven.
    #[serde(default)]
    pub circuits: Vec<CircuitConfig>,
    /// A validator that has requests proven, `http://…` or `https://…`, in place of the prover in this process; `#` and its address behind
    /// it where requests are signed.
    #[serde(default)]
    pub source: Option<String>,
    /// File with the key that the validator's operator gave, mode 0600 or 0400.
    #[serde(default)]
    pub source_key_file: Option<PathBuf>,
    /// File with a private key that signs requests to the validator, which lists its address; mode 0600 or 0400.
    #[serde(default)]
    pub source_signer_key_file: Option<PathBuf>,
    /// Folder with the openings of private inputs, `<commitment>.json`.
    #[serde(default)]
    pub openings: Option<PathBuf>,
    /// Most that a unit of gas may cost, in wei.
    #[serde(deserialize_with = "wei")]
    pub max_fee_per_gas: U256,
    /// Most gas that a transaction may take.
    pub max_gas: u64,
    /// Most that may be spent on gas in a day (UTC), in wei; a transaction that is out counts with the most that it can cost.
    #[serde(deserialize_with = "wei")]
    pub daily_spend_cap: U256,
    /// Requests that pay less are skipped, in wei.
    #[serde(deserialize_with = "wei")]
    pub min_fee: U256,
    /// Whether requests wait while their gas would cost more than their fee.
    #[serde(default = "default_require_profit")]
    pub require_profit: bool,
    /// Blocks on top of one before it is relied on; 0 relies on the newest.
    #[serde(default = "default_confirmations")]
    pub confirmations: u64,
    /// Pause between two looks at the chain, in milliseconds.
    #[serde(default = "default_poll_interval")]
    pub poll_interval_ms: u64,
    /// First block whose requests are served, when the database is new.
    #[serde(default)]
    pub start_block: u64,
    /// Whom fees are credited to; the signer where it is not given.
    #[serde(default)]
    pub beneficiary: Option<Address>,
    /// Does everything but send.
    #[serde(default)]
    pub dry_run: bool,
    /// The file's folder.
    #[serde(skip)]
    pub folder: PathBuf,
}

/// A circuit of others, and what makes its witnesses.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CircuitConfig {
    /// The package, with keys.
    pub package: PathBuf,
    /// Program and first arguments, split at spaces, which is called with a JSON file of inputs and the `.wtns` file to write. It runs in
    /// the file's folder.
    pub witness_program: String,
    /// JSON file of the private inputs that no request carries.
    #[serde(default)]
    pub inputs: Option<PathBuf>,
}

const fn default_confirmations() -> u64 {
    2
}

const fn default_require_profit() -> bool {
    true
}

const fn default_poll_interval() -> u64 {
    2000
}

impl Config {
    /// Reads a configuration file.
    ///
    /// # Errors
    /// [`RelayError::Config`], [`RelayError::ConfigNewer`].
    pub fn load(path: &Path) -> Result<Self, RelayError> {
        let text = std::fs::read_to_string(path)
            .map_err(|e| RelayError::Config { path: path.to_owned(), reason: format!("cannot be read: {e}") })?;
        Self::parse(path, &text)
    }

    /// Reads a configuration from text; relative paths in it start at the folder of `path`.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn parse(path: &Path, text: &str) -> Result<Self, RelayError> {
        #[derive(Deserialize)]
        struct Version {
            version: u64,
        }
        let error = |reason: String| RelayError::Config { path: path.to_owned(), reason };
        let Version { version } = toml::from_str(text).map_err(|e| error(e.to_string()))?;
        match check_version(version, CONFIG_VERSION) {
            Ok(()) => {}
            Err(newer @ VersionError::Newer { .. }) => return Err(RelayError::ConfigNewer { path: path.to_owned(), error: newer }),
            Err(other) => return Err(error(format!("it {other}; write version = {CONFIG_VERSION}"))),
        }
        let mut config: Self = toml::from_str(text).map_err(|e| error(e.to_string()))?;
        let folder = path.parent().unwrap_or(Path::new(""));
        config.folder = folder.to_owned();
        let of_circuits = config.circuits.iter_mut().flat_map(|circuit| [Some(&mut circuit.package), circuit.inputs.as_mut()]).flatten();
        let paths = [&mut config.key_file, &mut config.database].into_iter().chain(&mut config.models).chain(&mut config.openings);
        let paths = paths.chain(&mut config.source_key_file).chain(&mut config.source_signer_key_file);
        let paths = paths.chain(of_circuits);
        for relative in paths {
            *relative = folder.join(&*relative);
        }
        config.check().map_err(error)?;
        Ok(config)
    }

    /// Who the validator has to be, where `source` says it.
    pub fn source_validator(&self) -> Option<Address> {
        self.source.as_ref()?.split_once('#')?.1.parse().ok()
    }

    /// What types cannot say.
    fn check(&self) -> Result<(), String> {
        let keys = usize::from(self.source_key_file.is_some()) + usize::from(self.source_signer_key_file.is_some());
        if keys != usize::from(self.source.is_some()) {
            return Err("`source` is a validator, and needs one of `source_key_file`, the key that its operator gave, and \
                 `source_signer_key_file`, a key that signs, whose address the operator lists"
                .to_owned());
        }
        if self.source_signer_key_file.is_some() && self.source_validator().is_none() {
            return Err(
                "`source` does not say for whom requests are signed: write the validator's address behind it, \"http://…#0x…\"".to_owned()
            );
        }
        if self.source.is_some() && !(self.models.is_empty() && self.circuits.is_empty()) {
            return Err("`source` has requests proven elsewhere: leave out `models` and `circuits`, or `source`".to_owned());
        }
        if self.beneficiary == Some(Address::ZERO) {
            return Err("`beneficiary` is the zero address, which no oracle credits; leave it out to credit the signer".to_owned());
        }
        if self.confirmations > MAX_CONFIRMATIONS {
            return Err(format!("`confirmations` is {}, at most {MAX_CONFIRMATIONS} are supported", self.confirmations));
        }
        if self.poll_interval_ms == 0 {
            return Err("`poll_interval_ms` is 0, which would only load the node; 2000 is usual".to_owned());
        }
        if self.max_gas == 0 || self.max_gas > TRANSACTION_GAS_CAP {
            return Err(format!(
                "`max_gas` is {}; it must be between 1 and {TRANSACTION_GAS_CAP}, the most of a transaction",
                self.max_gas
            ));
        }
        if u128::try_from(self.max_fee_per_gas).is_err() {
            return Err("`max_fee_per_gas` is beyond any price; 50 gwei is usual".to_owned());
        }
        Ok(())
    }

    pub(crate) fn max_fee(&self) -> u128 {
        self.max_fee_per_gas.saturating_to()
    }

    pub(crate) const fn poll_interval(&self) -> Duration {
        Duration::from_millis(self.poll_interval_ms)
    }
}

fn wei<'de, D: Deserializer<'de>>(deserializer: D) -> Result<U256, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Amount {
        Wei(u64),
        Text(String),
    }
    let advice = "expected an amount such as \"30 gwei\", \"0.1 ether\", or an integer of wei";
    match Amount::deserialize(deserializer).map_err(|_| D::Error::custom(advice))? {
        Amount::Wei(wei) => Ok(U256::from(wei)),
        Amount::Text(text) => {
            let wei = amount::parse(&text).ok_or_else(|| D::Error::custom(format!("`{text}`: {advice}")))?;
            // `"50"` where 50 gwei is meant would be a price that no chain ever has.
            if !wei.is_zero() && !amount::has_unit(&text) {
                let text = text.trim();
                return Err(D::Error::custom(format!("`{text}` has no unit: write \"{text} gwei\", \"{text} ether\" or \"{text} wei\"")));
            }
            Ok(wei)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &str = r#"
version = 1
rpc_url = "http://127.0.0.1:8545"
chain_id = 31337
oracle = "0x5fbdb2315678afecb367f032d93f642f64180aa3"
key_file = "relayer.key"
database = "/var/lib/relayer.sqlite"
models = ["a", "/b"]
max_fee_per_gas = "50 gwei"
max_gas = 5_000_000
daily_spend_cap = "0.1 ether"
min_fee = 7
"#;

    fn parse(text: &str) -> Result<Config, RelayError> {
        Config::parse(Path::new("/etc/zkslice/relayer.toml"), text)
    }

    #[test]
    fn a_sample_is_read() {
        let config = parse(SAMPLE).unwrap();
        assert_eq!(config.key_file, Path::new("/etc/zkslice/relayer.key"));
        assert_eq!(config.database, Path::new("/var/lib/relayer.sqlite"));
        assert_eq!(config.models, [Path::new("/etc/zkslice/a"), Path::new("/b")]);
        let with = format!("{SAMPLE}\n[[circuits]]\npackage = \"c\"\nwitness_program = \"w x.wasm\"\ninputs = \"/i.json\"\n");
        let CircuitConfig { package, witness_program, inputs } = parse(&with).unwrap().circuits.remove(0);
        assert_eq!((package.as_path(), witness_program.as_str()), (Path::new("/etc/zkslice/c"), "w x.wasm"));
        assert_eq!(inputs.unwrap(), Path::new("/i.json"));
        assert_eq!(config.max_fee(), 50_000_000_000);
        assert_eq!(config.daily_spend_cap, U256::from(10).pow(U256::from(17)));
        assert_eq!(config.min_fee, U256::from(7));
        assert_eq!((config.confirmations, config.dry_run, config.require_profit, config.start_block), (2, false, true, 0));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (from, to, named) in [
            ("version = 1", "version = 2\nnew = 1", "upgrade zkslice"),
            ("version = 1", "version = 0", "version 0"),
            ("version = 1", "", "version"),
            ("max_gas", "max_gaz", "max_gaz"),
            ("50 gwei", "50 gwey", "30 gwei"),
            ("50 gwei", "-50 gwei", "30 gwei"),
            ("50 gwei", "50", "`50` has no unit: write \"50 gwei\""),
            ("0.1 ether", "0.1 wei", "0.1 wei"),
            ("0.1 ether", "1..1 ether", "1..1 ether"),
            ("5_000_000", "0", "max_gas"),
            ("5_000_000", "20_000_000", "max_gas"),
            ("0x5fbdb", "0x5fbd", "oracle"),
            ("min_fee = 7", "min_fee = 7\nconfirmations = 101", "confirmations"),
            ("min_fee = 7", "min_fee = 7\npoll_interval_ms = 0", "poll_interval_ms"),
            ("min_fee = 7", "min_fee = 7\nbeneficiary = \"0x0000000000000000000000000000000000000000\"", "beneficiary"),
            ("min_fee = 7", "min_fee = 7\nsource = \"http://v\"", "source_key_file"),
            ("min_fee = 7", "min_fee = 7\nsource = \"http://v\"\nsource_key_file = \"k\"", "leave out `models`"),
            ("min_fee = 7", "min_fee = 7\nsource = \"http://v\"\nsource_key_file = \"k\"\nsource_signer_key_file = \"k\"", "needs one of"),
            ("min_fee = 7", "min_fee = 7\nsource = \"http://v\"\nsource_signer_key_file = \"k\"", "http://…#0x…"),
            ("min_fee = 7", "min_fee = -7", "min_fee"),
            ("min_fee = 7", "min_fee = {}", "min_fee"),
            ("chain_id = 31337", "chain_id = -1", "chain_id"),
        ] {
            assert!(SAMPLE.contains(from), "{from}");
            let text = parse(&SAMPLE.replace(from, to)).unwrap_err().to_string();
            assert!(text.contains(named) && text.contains("relayer.toml"), "{to}: {text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn parsing_never_panics(text: String) {
            let _ = parse(&text);
        }
    }
}
