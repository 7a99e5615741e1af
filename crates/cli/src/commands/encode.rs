//! `zkslice encode`: what a request carries.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use alloy::primitives::{Address, B256, Bytes, U256};
use alloy::sol_types::SolCall;
use ark_std::rand::rngs::OsRng;
use serde_json::{Value, json};
use zkslice_chain::bindings::{InferenceOracle, Request};
use zkslice_chain::constants::VERIFIER_SELECTOR;
use zkslice_chain::context;
use zkslice_groth16::keccak;
use zkslice_prover::{Bound, Inference, encode_request};
use zkslice_slicer::{Package, TensorKind, bitmap};

use super::{integers, write_secret};
use crate::error::CliError;
use crate::output::Output;

/// Encode an input as a request carries it: words and their hash, or a fresh commitment whose opening is written to a folder.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  zkslice encode pkg --input input.json\n  zkslice encode private-pkg --input input.json --requester 0x… --openings openings/\n  zkslice encode pkg --input input.json --deadline 1800000000 --fee 1000000000000000"
)]
pub(crate) struct Args {
    /// The package.
    package: PathBuf,
    /// The input: {"input_data": [one list an input]}.
    #[arg(long)]
    input: PathBuf,
    /// Who will request: the commitment of a private input fits no other account's request.
    #[arg(long, default_value_t = Address::ZERO)]
    requester: Address,
    /// Folder for the openings of private inputs, one file a commitment: give them to the prover of your choice and to nobody else.
    #[arg(long)]
    openings: Option<PathBuf>,
    /// Also print calldata of `InferenceOracle.request`, open until this Unix time.
    #[arg(long)]
    deadline: Option<u64>,
    /// Fee in wei, sent with the request.
    #[arg(long, default_value_t = 0, requires = "deadline")]
    fee: u128,
    /// Slices that must be proven at least, ascending; all by default. A partial result says nothing of how the output comes from the
    /// input, and only those who ask for one get it.
    #[arg(long, value_delimiter = ',', requires = "deadline")]
    min_coverage: Vec<usize>,
    /// Contract that is called back.
    #[arg(long, default_value_t = Address::ZERO, requires = "deadline")]
    callback: Address,
    /// Gas that the callback is given.
    #[arg(long, default_value_t = 0, requires = "callback")]
    callback_gas: u32,
}

pub(crate) fn run(args: Args, output: &Output) -> crate::CommandResult {
    let package = Package::open(&args.package)?;
    let mut inference = Inference::of_inputs(&package, integers(&package, &args.input)?)?;
    let private = package.manifest().tensors.iter().any(|t| t.kind == TensorKind::PrivateInput);
    if private && args.requester == Address::ZERO {
        return Err(CliError::input("the input is private: say with --requester who will request; a commitment fits nobody else"));
    }
    let model = if private || args.deadline.is_some() { B256::from(package.key_blob()?.model_digest()) } else { B256::ZERO };
    if private {
        inference.owner = context::owner(model, args.requester).0;
    }
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
                    CliError::input(format!(
                        "input '{}' is private: say with --openings where its opening goes; without it no proof can be made",
                        tensor.name
                    ))
                })?;
                let path = write_opening(folder, commitment, Some(opening))?;
                lines.push(format!("{}: commitment {}, opening in {}", tensor.name, hex0x(commitment), path.display()));
                entries.push(json!({ "name": tensor.name, "commitment": hex0x(commitment), "opening": path }));
            }
        }
    }
    let coverage = min_coverage(&package, &args.min_coverage)?;
    let calldata = args.deadline.map(|deadline| request_calldata(&args, model, deadline, coverage, &bound));
    lines.extend(calldata.iter().map(|bytes| format!("calldata of InferenceOracle.request: {bytes}")));
    output.result(&json!({ "inputs": entries, "calldata": calldata }), &lines);
    Ok(ExitCode::SUCCESS)
}

/// A request's least coverage, which the oracle takes if the model's policy is within it. 0 is all slices.
fn min_coverage(package: &Package, slices: &[usize]) -> Result<U256, CliError> {
    let manifest = package.manifest();
    let (policy, all) = (&manifest.coverage_policy, manifest.slices.len());
    let refused = |reason: String| Err(CliError::input(format!("--min-coverage: {reason}")));
    if slices.is_empty() || slices.iter().copied().eq(0..all) {
        return Ok(U256::ZERO);
    }
    if policy.is_empty() {
        return refused("the model serves whole bundles only; compile it with --coverage-policy".into());
    }
    if !slices.is_sorted_by(|a, b| a < b) || slices.last().is_some_and(|k| *k >= all) {
        return refused(format!("{slices:?} is not an ascending list of slices below {all}"));
    }
    match policy.iter().find(|k| !slices.contains(k)) {
        Some(k) => refused(format!("slice {k} is missing: the model's policy is {policy:?}")),
        None => Ok(U256::from_be_bytes(bitmap(slices))),
    }
}

fn request_calldata(args: &Args, model: B256, deadline: u64, min_coverage: U256, bound: &[Bound]) -> Bytes {
    let mut words = Vec::new();
    let inputs = bound
        .iter()
        .map(|bound| match bound {
            Bound::Words(of_input) => {
                let of_input: Vec<U256> = of_input.iter().map(|w| U256::from_be_bytes(*w)).collect();
                let hash = context::input_hash(&of_input);
                words.extend(of_input);
                hash
            }
            Bound::Commitment(commitment) => B256::from(*commitment),
        })
        .collect();
    let request = Request {
        modelDigest: model,
        inputs,
        verifier: VERIFIER_SELECTOR,
        minCoverage: min_coverage,
        feeToken: Address::ZERO,
        fee: U256::from(args.fee),
        deadline,
        callback: args.callback,
        callbackGas: args.callback_gas,
    };
    InferenceOracle::requestCall { request_: request, words }.abi_encode().into()
}

/// Writes the opening of a commitment where [`zkslice_prover::LocalProver`] looks for it.
pub(crate) fn write_opening<T: serde::Serialize>(folder: &Path, commitment: &[u8; 32], opening: Option<&T>) -> Result<PathBuf, CliError> {
    std::fs::create_dir_all(folder).map_err(|e| CliError::failed(format!("{}: {e}", folder.display())))?;
    let path = folder.join(format!("{}.json", hex::encode(commitment)));
    write_secret(&path, &serde_json::to_vec(&opening).map_err(|e| CliError::failed(e.to_string()))?)?;
    Ok(path)
}
