//! One module a subcommand: its arguments, its run.

pub(crate) mod anvil;
pub(crate) mod bench;
pub(crate) mod ceremony;
pub(crate) mod ceremony_serve;
pub(crate) mod compile;
pub(crate) mod completions;
pub(crate) mod demo;
pub(crate) mod deploy;
pub(crate) mod deployments;
pub(crate) mod doctor;
pub(crate) mod encode;
pub(crate) mod export;
pub(crate) mod fixture;
pub(crate) mod import;
pub(crate) mod inspect;
pub(crate) mod join;
pub(crate) mod man;
pub(crate) mod miner;
pub(crate) mod network;
pub(crate) mod plain;
pub(crate) mod prove;
pub(crate) mod receipt;
pub(crate) mod relay;
pub(crate) mod request;
pub(crate) mod result;
pub(crate) mod run;
pub(crate) mod setup;
pub(crate) mod validator;
pub(crate) mod verify;
pub(crate) mod weights;
#[cfg(feature = "wasm")]
pub(crate) mod witness;

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use alloy::primitives::U256;
use zkslice_formats::Readers;
use zkslice_inputs::{Pixels, Slot};
use zkslice_interop::{Inputs, WitnessProgram, read_inputs};
use zkslice_prover::WitnessSource;
use zkslice_relayer::cancel_on_signals;
use zkslice_slicer::Package;

use crate::error::CliError;

/// Reads a file that the user named.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, CliError> {
    std::fs::read(path).map_err(|error| CliError::input(format!("{}: {error}", path.display())))
}

/// Writes a result, whole or not at all.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), CliError> {
    write_for(Readers::Umask, path, bytes)
}

/// Refuses an output that would take the place of a file of another kind.
pub(crate) fn check_replaceable(path: &Path, what: &str, is_one: impl Fn(&[u8]) -> bool) -> Result<(), CliError> {
    // What else is wrong with the place shows when it is written; a pipe would never end.
    let found = if path.is_file() { std::fs::read(path).unwrap_or_default() } else { Vec::new() };
    if found.is_empty() || is_one(&found) {
        return Ok(());
    }
    Err(CliError::input(format!("{}: already exists and is not an earlier {what}; choose another file", path.display())))
}

/// [`write`] for what only its owner may read: openings, which show inputs, and keys.
pub(crate) fn write_secret(path: &Path, bytes: &[u8]) -> Result<(), CliError> {
    write_for(Readers::Owner, path, bytes)
}

fn write_for(readers: Readers, path: &Path, bytes: &[u8]) -> Result<(), CliError> {
    zkslice_formats::write(path, readers, bytes).map_err(|error| CliError::failed(format!("{}: {error}", path.display())))
}

/// How files of inputs are read.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Reading {
    /// What an image's darkest and brightest pixel become.
    #[arg(long, value_name = "RANGE", value_parser = ["0..1", "0..255", "-1..1"], default_value = "0..1", allow_hyphen_values = true)]
    pixels: String,
}

impl Reading {
    pub(crate) fn pixels(&self) -> Pixels {
        match self.pixels.as_str() {
            "0..255" => Pixels::Byte,
            "-1..1" => Pixels::Signed,
            _ => Pixels::Unit,
        }
    }
}

/// The inputs of a package, as files are read for them.
pub(crate) fn slots(package: &Package) -> Vec<Slot> {
    let inputs = package.manifest().tensors.iter().filter(|t| t.kind.is_input());
    inputs.map(|t| Slot { name: t.name.clone(), shape: t.shape.clone() }).collect()
}

/// Reads an input file and encodes it as the integers of a package's inputs.
pub(crate) fn integers(package: &Package, path: &Path, pixels: Pixels) -> Result<Vec<Vec<i64>>, CliError> {
    if let Some(circuit) = package.foreign() {
        return circuit.encode(&signals(path)?).map_err(|error| CliError::input(format!("{}: {error}", path.display())));
    }
    let input = zkslice_inputs::input(path, &slots(package), pixels)?;
    package.encode(&input).map_err(|error| CliError::input(format!("{}: {error}", path.display())))
}

/// Reads the inputs of a circuit of others: JSON of names and values.
pub(crate) fn signals(path: &Path) -> Result<Inputs, CliError> {
    read_inputs(&read(path)?).map_err(|error| CliError::input(format!("{}: {error}", path.display())))
}

/// What makes the witnesses of a circuit of others: a program, and a file of the inputs that only the prover knows.
pub(crate) fn witness_source(program: &str, inputs: Option<&Path>) -> Result<WitnessSource, CliError> {
    let program = WitnessProgram::parse(program).map_err(|error| CliError::input(error.to_string()))?;
    Ok(WitnessSource { program, inputs: inputs.map(signals).transpose()?.unwrap_or_default() })
}

/// What tells a running program that the command has been asked to stop. The command itself ends a moment later, wherever it is then.
pub(crate) struct Interrupted {
    pub(crate) flag: Arc<AtomicBool>,
    _runtime: tokio::runtime::Runtime,
}

impl Interrupted {
    /// Listens from now on.
    pub(crate) fn listen() -> Result<Self, CliError> {
        let (runtime, flag) = (runtime()?, Arc::new(AtomicBool::new(false)));
        let set = Arc::clone(&flag);
        let token = {
            let _entered = runtime.enter();
            cancel_on_signals().map_err(|e| CliError::failed(format!("signals cannot be listened to: {e}")))?
        };
        runtime.spawn(async move {
            token.cancelled().await;
            set.store(true, Ordering::Relaxed);
            // Longer than a program takes to be stopped.
            tokio::time::sleep(Duration::from_secs(1)).await;
            std::process::exit(130);
        });
        Ok(Self { flag, _runtime: runtime })
    }
}

/// A 32-byte word given as `0x…` with up to 64 digits.
pub(crate) fn word(text: &str) -> Result<[u8; 32], String> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    if digits.is_empty() || digits.len() > 64 {
        return Err("expected up to 64 hexadecimal digits".into());
    }
    let mut word = [0; 32];
    hex::decode_to_slice(format!("{digits:0>64}"), &mut word).map_err(|_| "expected hexadecimal digits".to_string())?;
    Ok(word)
}

/// A word below the order of the scalar field.
pub(crate) fn field_word(text: &str) -> Result<[u8; 32], String> {
    let word = word(text)?;
    zkslice_groth16::fr_from_word(&word, "it")
        .map_err(|_| "it is not below the order r of BN254's scalar field: reduce it modulo r".to_string())?;
    Ok(word)
}

/// An amount of ether: wei, or with a unit.
pub(crate) fn amount(text: &str) -> Result<U256, String> {
    zkslice_chain::amount::parse(text).ok_or_else(|| "expected wei, or an amount such as `0.001 ether` or `50 gwei`".into())
}

/// A count that is not 0.
pub(crate) fn at_least_one(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|n| *n > 0).ok_or_else(|| "expected a whole number of at least 1".into())
}

/// More threads than any machine has use for.
const MOST_THREADS: usize = 1024;

/// Limits the threads of all parallel work.
pub(crate) fn limit_threads(threads: Option<usize>) -> Result<(), CliError> {
    match threads {
        None => Ok(()),
        Some(n) if !(1..=MOST_THREADS).contains(&n) => Err(CliError::input(format!("--threads {n}: give 1 to {MOST_THREADS}"))),
        Some(n) => rayon::ThreadPoolBuilder::new().num_threads(n).build_global().map_err(|e| CliError::failed(e.to_string())),
    }
}

/// One of foundry's tools: in a checkout the one that npm brought for this machine, elsewhere the one on PATH.
pub(crate) fn foundry(tool: &str) -> Command {
    let script = Path::new("script/foundry");
    if !script.is_file() {
        return Command::new(tool);
    }
    let mut command = Command::new(script);
    command.arg(tool);
    command
}

/// The runtime of commands that talk to a chain.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, CliError> {
    tokio::runtime::Runtime::new().map_err(|e| CliError::failed(format!("no runtime: {e}")))
}

/// Keys of anvil's first accounts: everybody knows them, and they are worth nothing outside a local chain.
pub(crate) const ANVIL_KEYS: [&str; 2] = [
    "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80",
    "59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d",
];

/// Most memory that this process has held, in bytes; `None` where the system does not say.
pub(crate) fn peak_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find(|line| line.starts_with("VmHWM:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? << 10)
}
