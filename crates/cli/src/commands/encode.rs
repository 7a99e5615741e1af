//! `zkslice encode`: what a request carries.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use ark_std::rand::rngs::OsRng;
use serde_json::{Value, json};
use zkslice_groth16::keccak;
use zkslice_prover::{Bound, Inference, encode_request};
use zkslice_slicer::Package;

use super::{field_word, integers, write};
use crate::error::CliError;
use crate::output::Output;

/// Encode an input as a request carries it: words and their hash, or a fresh commitment whose opening is written to a folder.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  zkslice encode pkg --input input.json\n  zkslice encode private-pkg --input input.json --owner 0x… --openings openings/")]
pub(crate) struct Args {
    /// The package.
    package: PathBuf,
    /// The input: {"input_data": [one list an input]}.
    #[arg(long)]
    input: PathBuf,
    /// Owner of a private input: keccak256(abi.encode(model digest, requester)) mod r.
    #[arg(long, value_parser = field_word, default_value = "0x0")]
    owner: [u8; 32],
    /// Folder for the openings of private inputs, one file a commitment: give them to the prover of your choice and to nobody else.
    #[arg(long)]
    openings: Option<PathBuf>,
}

pub(crate) fn run(args: Args, output: &Output) -> crate::CommandResult {
    let package = Package::open(&args.package)?;
    let mut inference = Inference::of_inputs(&package, integers(&package, &args.input)?)?;
    inference.owner = args.owner;
    let bound = encode_request(&package, &mut inference, &mut OsRng)?;
    let inputs: Vec<_> = package.manifest().tensors.iter().filter(|t| t.kind.is_input()).collect();
    let hex0x = |bytes: &[u8]| format!("0x{}", hex::encode(bytes));
    let (mut entries, mut lines): (Vec<Value>, Vec<String>) = (Vec::new(), Vec::new());
    for ((tensor, bound), opening) in inputs.iter().zip(&bound).zip(&inference.openings.tensors) {
        match bound {
            Bound::Words(words) => {
                let hash = hex0x(&keccak(&words.concat()));
                lines.push(format!("{}: {} words, hash {hash}", tensor.name, words.len()));
                lines.extend(words.iter().map(|w| format!("  {}", hex0x(w))));
                entries.push(json!({ "name": tensor.name, "words": words.iter().map(|w| hex0x(w)).collect::<Vec<_>>(), "hash": hash }));
            }
            Bound::Commitment(commitment) => {
                let folder = args.openings.as_ref().ok_or_else(|| {
                    CliError::input(format!("input '{}' is private: say with --openings where its opening goes; without it no proof can be made", tensor.name))
                })?;
                let path = write_opening(folder, commitment, Some(opening))?;
                lines.push(format!("{}: commitment {}, opening in {}", tensor.name, hex0x(commitment), path.display()));
                entries.push(json!({ "name": tensor.name, "commitment": hex0x(commitment), "opening": path }));
            }
        }
    }
    output.result(&json!({ "inputs": entries }), &lines);
    Ok(ExitCode::SUCCESS)
}

/// Writes the opening of a commitment where [`zkslice_prover::LocalProver`] looks for it.
pub(crate) fn write_opening<T: serde::Serialize>(folder: &Path, commitment: &[u8; 32], opening: Option<&T>) -> Result<PathBuf, CliError> {
    std::fs::create_dir_all(folder).map_err(|e| CliError::failed(format!("{}: {e}", folder.display())))?;
    let path = folder.join(format!("{}.json", hex::encode(commitment)));
    write(&path, &serde_json::to_vec(&opening).map_err(|e| CliError::failed(e.to_string()))?)?;
    Ok(path)
}
