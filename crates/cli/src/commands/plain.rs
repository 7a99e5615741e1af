//! `zkslice plain`: circuits in plain Groth16, in the files of snarkjs and gnark.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use ark_std::rand::rngs::OsRng;
use serde_json::{Value, json};
use zkslice_ceremony::{CeremonyError, Powers, Zkey};
use zkslice_groth16::{KeyError, Proof, Statement, VerifyingKey, gnark, snarkjs};
use zkslice_interop::{R1cs, read_wtns};

use super::ceremony::{Entropy, describe, no_core_dumps};
use super::{check_replaceable, read, write};
use crate::error::CliError;
use crate::output::Output;

/// Keys and proofs of plain Groth16 in the files of snarkjs and gnark: what other tools read. Oracles take packages (`zkslice import`), not these.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  zkslice plain begin circuit.r1cs --powers powers.ptau -o 0.zkey\n  zkslice plain contribute 0.zkey --circuit circuit.r1cs --powers powers.ptau --name Ada -o 1.zkey\n  zkslice plain close 1.zkey --name \"drand, round 9\" --value 0x… -o final.zkey\n  zkslice plain verify final.zkey circuit.r1cs --powers powers.ptau\n  zkslice plain prove final.zkey witness.wtns -o proof.json --public public.json\n  zkslice plain convert --to gnark verification_key.json proof.json public.json -o gnark"
)]
pub(crate) struct Args {
    #[command(subcommand)]
    step: Step,
}

#[derive(Debug, clap::Subcommand)]
enum Step {
    Begin(BeginArgs),
    Contribute(ContributeArgs),
    Close(CloseArgs),
    Verify(VerifyArgs),
    Key(KeyArgs),
    Prove(ProveArgs),
    Calldata(CalldataArgs),
    Convert(ConvertArgs),
}

/// Make a circuit's first key, to which others contribute.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  zkslice plain begin circuit.r1cs --powers powers.ptau -o 0.zkey")]
struct BeginArgs {
    /// The circuit.
    r1cs: PathBuf,
    /// The `.ptau` file, of a power above the circuit's domain.
    #[arg(long)]
    powers: PathBuf,
    /// The key to write.
    #[arg(short, long)]
    output: PathBuf,
}

/// Multiply δ by a secret that nobody learns, once the key is checked from its circuit and the powers of tau on.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  zkslice plain contribute 0.zkey --circuit circuit.r1cs --powers powers.ptau --name Ada -o 1.zkey")]
struct ContributeArgs {
    /// The key so far.
    zkey: PathBuf,
    /// The circuit: an honest contributor to other points than its key's may be all that a forger needs.
    #[arg(long)]
    circuit: PathBuf,
    /// The `.ptau` file.
    #[arg(long)]
    powers: PathBuf,
    /// A file whose bytes go into the secret beside those of the operating system, if you do not trust these alone.
    #[arg(long)]
    entropy_file: Option<PathBuf>,
    /// What you are called.
    #[arg(long)]
    name: String,
    /// The key to write.
    #[arg(short, long)]
    output: PathBuf,
}

/// Close a key with a beacon, a value that nobody could know when the last contributor was done.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  zkslice plain close 1.zkey --name \"drand, round 9\" --value 0x… -o final.zkey")]
struct CloseArgs {
    /// The key so far.
    zkey: PathBuf,
    /// What the beacon is.
    #[arg(long)]
    name: String,
    /// Its value, in hexadecimal.
    #[arg(long)]
    value: String,
    /// The value is hashed two to this power times.
    #[arg(long, default_value_t = 10)]
    exponent: u8,
    /// The key to write.
    #[arg(short, long)]
    output: PathBuf,
}

/// Verify a key from its circuit and the powers of tau on.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  zkslice plain verify final.zkey circuit.r1cs --powers powers.ptau")]
struct VerifyArgs {
    /// The key.
    zkey: PathBuf,
    /// The circuit.
    r1cs: PathBuf,
    /// The `.ptau` file.
    #[arg(long)]
    powers: PathBuf,
}

/// Write a key's verifying key as snarkjs does.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  zkslice plain key final.zkey -o verification_key.json")]
struct KeyArgs {
    /// The key.
    zkey: PathBuf,
    /// The file to write.
    #[arg(short, long)]
    output: PathBuf,
}

/// Prove a witness.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  zkslice plain prove final.zkey witness.wtns -o proof.json --public public.json")]
struct ProveArgs {
    /// The key.
    zkey: PathBuf,
    /// The witness.
    witness: PathBuf,
    /// The proof to write.
    #[arg(short, long)]
    output: PathBuf,
    /// The public signals to write.
    #[arg(long)]
    public: PathBuf,
}

/// Print a proof as arguments of a verifier that snarkjs generated.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  zkslice plain calldata proof.json public.json")]
struct CalldataArgs {
    /// The proof.
    proof: PathBuf,
    /// The public signals.
    public: PathBuf,
}

/// Write a proof that holds, its verifying key and its public signals as the other tool has them.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  zkslice plain convert --to gnark verification_key.json proof.json public.json -o gnark\n  zkslice plain convert --to snarkjs key.vk proof.proof public.wit -o snarkjs"
)]
struct ConvertArgs {
    /// Whose files are written; the others' are read.
    #[arg(long)]
    to: Tool,
    /// The verifying key.
    key: PathBuf,
    /// The proof.
    proof: PathBuf,
    /// The public signals.
    public: PathBuf,
    /// The folder to write them to.
    #[arg(short, long)]
    output: PathBuf,
}

/// Whose files they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Tool {
    /// `verification_key.json`, `proof.json`, `public.json`.
    Snarkjs,
    /// `verifying_key.bin`, `proof.bin`, `public.bin`.
    Gnark,
}

/// A statement with its proof and its key.
pub(crate) struct Proven {
    key: VerifyingKey,
    proof: Proof,
    statement: Statement,
}

impl Tool {
    /// Files of a verifying key, a proof and public signals.
    pub(crate) fn read(self, [key, proof, public]: [&Path; 3]) -> Result<Proven, CliError> {
        fn of<T>(path: &Path, read: impl FnOnce(&[u8]) -> Result<T, KeyError>) -> Result<T, CliError> {
            read(&super::read(path)?).map_err(in_file(path))
        }
        Ok(match self {
            Self::Snarkjs => Proven {
                key: snarkjs::read_verifying_key(&json(key)?).map_err(in_file(key))?,
                proof: snarkjs::read_proof(&json(proof)?).map_err(in_file(proof))?,
                statement: Statement { publics: snarkjs::read_publics(&json(public)?).map_err(in_file(public))?, words: Vec::new() },
            },
            Self::Gnark => Proven {
                key: of(key, gnark::read_verifying_key)?,
                proof: of(proof, gnark::read_proof)?,
                statement: Statement { publics: of(public, gnark::read_publics)?, words: Vec::new() },
            },
        })
    }

    /// The same files, with their names.
    fn files(self, Proven { key, proof, statement }: &Proven) -> Result<[(&'static str, Vec<u8>); 3], CliError> {
        let text =
            |json: Option<Value>| zkslice_formats::to_json(&json.unwrap_or_default()).map_err(|error| CliError::failed(error.to_string()));
        Ok(match self {
            Self::Snarkjs => [
                ("verification_key.json", text(snarkjs::verifying_key(key))?),
                ("proof.json", text(snarkjs::proof(proof))?),
                ("public.json", text(Some(snarkjs::publics(&statement.publics)))?),
            ],
            Self::Gnark => [
                ("verifying_key.bin", gnark::verifying_key(key).unwrap_or_default()),
                ("proof.bin", gnark::proof(proof).unwrap_or_default()),
                ("public.bin", gnark::publics(&statement.publics)),
            ],
        })
    }
}

impl Proven {
    /// Whether the proof holds.
    pub(crate) fn verify(&self) -> Result<(), String> {
        zkslice_groth16::verify(&self.key, &self.statement, &self.proof).map_err(|error| error.to_string())
    }
}

fn failed(error: CeremonyError) -> CliError {
    match error {
        CeremonyError::Io { .. } | CeremonyError::Invalid(_) => CliError::failed(error.to_string()),
        _ => CliError::input(error.to_string()),
    }
}

fn check_output(path: &Path) -> Result<(), CliError> {
    check_replaceable(path, "key", |bytes| Zkey::from_bytes(bytes).is_ok_and(|key| key.contributions().is_empty()))
}

fn circuit(path: &Path) -> Result<R1cs, CliError> {
    R1cs::from_bytes(&read(path)?).map_err(|error| CliError::input(format!("{}: {error}", path.display())))
}

/// The first key of a circuit, and what is known of the powers.
fn begun(r1cs: &R1cs, powers: &Path, output: &Output) -> Result<(Zkey, String), CliError> {
    let bar = output.spinner("checking the powers");
    let domains = BTreeSet::from([Zkey::domain_of(r1cs)]);
    let checked = Powers::import(powers, &domains, &mut OsRng, &mut |step| bar.set_message(step.to_owned())).map_err(failed)?;
    bar.set_message("making the first key");
    let key = Zkey::begin(r1cs, &checked, powers).map_err(failed)?;
    bar.finish_and_clear();
    Ok((key, describe(&checked)))
}

fn json(path: &Path) -> Result<Value, CliError> {
    serde_json::from_slice(&read(path)?).map_err(|error| CliError::input(format!("{}: no JSON of snarkjs: {error}", path.display())))
}

fn in_file(path: &Path) -> impl FnOnce(KeyError) -> CliError + '_ {
    move |error| CliError::input(format!("{}: {error}", path.display()))
}

pub(crate) fn run(args: Args, output: &Output) -> crate::CommandResult {
    match args.step {
        Step::Begin(BeginArgs { r1cs, powers, output: path }) => {
            check_output(&path)?;
            let (key, said) = begun(&circuit(&r1cs)?, &powers, output)?;
            key.save(&path).map_err(failed)?;
            let line = format!("{}: {} wires, nobody has contributed yet; {said}", path.display(), key.wires());
            output.result(&json!({ "key": path, "powers": said }), &[line]);
        }
        Step::Contribute(ContributeArgs { zkey, circuit: r1cs, powers, entropy_file, name, output: path }) => {
            check_output(&path)?;
            no_core_dumps()?;
            let mut key = Zkey::open(&zkey).map_err(failed)?;
            let (initial, _) = begun(&circuit(&r1cs)?, &powers, output)?;
            let mut rng = Entropy::new(entropy_file.as_deref())?;
            let hash = hex::encode(key.contribute(&name, &initial, &mut rng).map_err(failed)?);
            key.save(&path).map_err(failed)?;
            let line = format!("{}: contribution {} of {name:?}; publish its hash: {hash}", path.display(), key.contributions().len());
            output.result(&json!({ "key": path, "hash": hash }), &[line]);
        }
        Step::Close(CloseArgs { zkey, name, value, exponent, output: path }) => {
            check_output(&path)?;
            let digits = value.strip_prefix("0x").unwrap_or(&value);
            let value = hex::decode(digits).map_err(|error| CliError::input(format!("--value: expected hexadecimal digits: {error}")))?;
            let mut key = Zkey::open(&zkey).map_err(failed)?;
            let hash = hex::encode(key.close(&name, &value, exponent).map_err(failed)?);
            key.save(&path).map_err(failed)?;
            output.result(&json!({ "key": path, "hash": hash }), &[format!("{}: closed with {name:?}", path.display())]);
        }
        Step::Verify(VerifyArgs { zkey, r1cs, powers }) => {
            let key = Zkey::open(&zkey).map_err(failed)?;
            let (initial, said) = begun(&circuit(&r1cs)?, &powers, output)?;
            key.verify(&initial, &mut OsRng).map_err(failed)?;
            let closed = if key.is_closed() { "closed" } else { "not closed yet: its last contributor chose the key" };
            let mut lines = vec![format!("{}: verified, {closed}", zkey.display()), said.clone()];
            let mut list = Vec::new();
            for contribution in key.contributions() {
                let (name, hash) = (&contribution.name, hex::encode(contribution.hash()));
                let beacon = contribution.beacon.as_ref().map(|(value, exponent)| (hex::encode(value), *exponent));
                lines.push(match &beacon {
                    None => format!("  contribution {name:?}: {hash}"),
                    Some((value, exponent)) => format!("  beacon {name:?}, 0x{value}, hashed 2^{exponent} times: {hash}"),
                });
                let beacon = beacon.map(|(value, exponent)| json!({ "value": value, "exponent": exponent }));
                list.push(json!({ "name": name, "beacon": beacon, "hash": hash }));
            }
            lines.push(
                "Left to you: that contributors published these hashes, for names are in none, and that the beacon was named beforehand."
                    .into(),
            );
            let value = json!({ "valid": true, "closed": key.is_closed(), "powers": said, "contributions": list });
            output.result(&value, &lines);
        }
        Step::Key(KeyArgs { zkey, output: path }) => {
            check_replaceable(&path, "verifying key", |bytes| {
                serde_json::from_slice(bytes).is_ok_and(|json| snarkjs::read_verifying_key(&json).is_ok())
            })?;
            let key = Zkey::open(&zkey).map_err(failed)?.verifying_key().map_err(|error| failed(error.into()))?;
            let json = snarkjs::verifying_key(&key).unwrap_or_default();
            write(&path, &zkslice_formats::to_json(&json).map_err(|error| CliError::failed(error.to_string()))?)?;
            output.result(&json!({ "key": path }), &[format!("{}: verifying key of {} public signals", path.display(), key.publics)]);
        }
        Step::Prove(ProveArgs { zkey, witness, output: path, public }) => {
            check_replaceable(&path, "proof", |bytes| serde_json::from_slice(bytes).is_ok_and(|json| snarkjs::read_proof(&json).is_ok()))?;
            check_replaceable(&public, "list of signals", |bytes| {
                serde_json::from_slice(bytes).is_ok_and(|json| snarkjs::read_publics(&json).is_ok())
            })?;
            let key = Zkey::open(&zkey).map_err(failed)?;
            let values = read_wtns(&read(&witness)?).map_err(|error| CliError::input(format!("{}: {error}", witness.display())))?;
            let started = std::time::Instant::now();
            let proof = key.prove(&values, &mut OsRng).map_err(failed)?;
            let seconds = started.elapsed().as_secs_f64();
            let signals = snarkjs::publics(&values[1..=key.publics()]);
            for (path, json) in [(&path, snarkjs::proof(&proof).unwrap_or_default()), (&public, signals)] {
                write(path, &zkslice_formats::to_json(&json).map_err(|error| CliError::failed(error.to_string()))?)?;
            }
            let line = format!("{}: proven in {seconds:.3} s; public signals in {}", path.display(), public.display());
            output.result(&json!({ "proof": path, "public": public, "seconds": seconds, "peak_bytes": super::peak_bytes() }), &[line]);
        }
        Step::Calldata(CalldataArgs { proof, public }) => {
            let text = snarkjs::calldata(
                &snarkjs::read_proof(&json(&proof)?).map_err(in_file(&proof))?,
                &snarkjs::read_publics(&json(&public)?).map_err(in_file(&public))?,
            );
            output.result(&json!({ "calldata": text }), &[text]);
        }
        Step::Convert(ConvertArgs { to, key, proof, public, output: folder }) => {
            let from = if to == Tool::Gnark { Tool::Snarkjs } else { Tool::Gnark };
            let proven = from.read([&key, &proof, &public])?;
            proven.verify().map_err(|reason| CliError::failed(format!("{}: NOT VALID: {reason}", proof.display())))?;
            let files = to.files(&proven)?.map(|(name, bytes)| (folder.join(name), bytes));
            if let Some((path, _)) = files.iter().find(|(path, _)| path.exists()) {
                return Err(CliError::input(format!("{}: it exists already: choose another folder", path.display())));
            }
            std::fs::create_dir_all(&folder).map_err(|error| CliError::failed(format!("{}: {error}", folder.display())))?;
            files.iter().try_for_each(|(path, bytes)| write(path, bytes)).inspect_err(|_| {
                files.iter().for_each(|(path, _)| drop(std::fs::remove_file(path)));
            })?;
            let [key, proof, public] = files.map(|(path, _)| path);
            let line =
                format!("{}: the proof holds; written for {}", folder.display(), if to == Tool::Gnark { "gnark" } else { "snarkjs" });
            output.result(&json!({ "key": key, "proof": proof, "public": public }), &[line]);
        }
    }
    Ok(ExitCode::SUCCESS)
}
