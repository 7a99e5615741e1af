//! `zkslice encode`: what a request carries.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use alloy::primitives::{Address, B256, Bytes, U256};
use alloy::sol_types::SolCall;
use ark_std::rand::rngs::OsRng;
use serde_json::{Value, json};
use zkslice_chain::bindings::{InferenceOracle, Request};
use zkslice_chain::constants::verifier_selector;
use zkslice_chain::{context, signer};
use zkslice_formats::key_blob::bitmap;
use zkslice_prover::{Bound, Inference, JobInput, encode_request, opening_file};
use zkslice_slicer::{Package, TensorKind};
use zkslice_subnet::daemon::Employer;
use zkslice_subnet::privacy::HandOver;
use zkslice_subnet::{Network, Node};

use super::request::{Deadline, deadline};
use super::{Reading, amount, integers, runtime, write_secret};
use crate::error::CliError;
use crate::output::Output;

/// Encode an input as a request carries it: words and their hash, or a fresh commitment whose opening is written to a folder.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  zkslice encode pkg --input input.json\n  zkslice encode private-pkg --input input.json --requester 0x… --openings openings/\n  zkslice encode pkg --input input.json --job > job.json\n  zkslice encode private-pkg --input input.json --job --validator http://… --private-key-file my.key > job.json\n  zkslice encode pkg --input input.json --deadline 1800000000 --fee '0.001 ether'\n  cast send $CONSUMER \"ask(uint256[])\" \"$(zkslice encode pkg --input input.json --words)\" --rpc-url … --private-key …"
)]
pub(crate) struct Args {
    /// The package.
    package: PathBuf,
    /// The input: JSON {"input_data": [one list per input]}, a .npy, .npz, .pb or .csv of one sample, a folder with input_0.pb and so on, or an image.
    #[arg(long)]
    input: PathBuf,
    #[command(flatten)]
    reading: Reading,
    /// Who will request: the commitment of a private input fits no other account's request.
    #[arg(long)]
    requester: Option<Address>,
    /// Folder for the openings of private inputs, one file per commitment: give them to the prover of your choice and to nobody else.
    #[arg(long)]
    openings: Option<PathBuf>,
    /// Print the words of the public inputs only, as one argument of type `uint256[]` that cast takes.
    #[arg(long, conflicts_with = "deadline")]
    words: bool,
    /// Print the job that a validator's `POST /v1/jobs` takes, as JSON. With private inputs it is for one validator alone, which sees them, as
    /// the miners do that prove the first slices: `--validator` and `--private-key-file` say that it may.
    #[arg(long, conflicts_with_all = ["deadline", "words"])]
    job: bool,
    /// HTTP address of the validator that may see private inputs; `#0x…` behind it says who it has to be.
    #[arg(long, value_name = "URL", requires_all = ["job", "private_key_file"])]
    validator: Option<String>,
    /// File with the private key of the inputs' owner, mode 0600 or 0400.
    #[arg(long, value_name = "FILE", requires = "validator", conflicts_with = "requester")]
    private_key_file: Option<PathBuf>,
    /// Also print calldata of `InferenceOracle.request`, open until this Unix time, or so many seconds from now: `+` and seconds.
    #[arg(long, value_parser = deadline)]
    deadline: Option<Deadline>,
    /// Chain of the request: Bittensor (964, 945) has another verifier than all others, which need no id.
    #[arg(long, default_value_t = 1, hide_default_value = true, requires = "deadline")]
    chain_id: u64,
    /// Fee, sent with the request: wei, or an amount such as `0.001 ether`.
    #[arg(long, default_value = "0", value_parser = amount, requires = "deadline")]
    fee: U256,
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
    let coverage = min_coverage(&package, &args.min_coverage)?;
    let integers = integers(&package, &args.input, args.reading.pixels())?;
    if args.job && package.manifest().tensors.iter().any(|tensor| tensor.kind == TensorKind::PrivateInput) {
        let job = private_job(&package, integers, args.validator.as_deref(), args.private_key_file.as_deref())?;
        output.result(&job, &[job.to_string()]);
        return Ok(ExitCode::SUCCESS);
    }
    let encoded = encode_inputs(&package, integers, args.requester, args.openings.as_deref())?;
    if args.words {
        if encoded.words.is_empty() {
            return Err(CliError::input("--words: the model has no public input; its commitments are printed without --words"));
        }
        output.result(&json!({ "words": encoded.words.iter().map(word_hex).collect::<Vec<_>>() }), &[word_list(&encoded.words)]);
        return Ok(ExitCode::SUCCESS);
    }
    if args.job {
        let inputs: Vec<&Value> = encoded.entries.iter().map(|entry| &entry["words"]).collect();
        let job = json!({ "model": B256::from(package.key_blob()?.model_digest()), "inputs": inputs });
        output.result(&job, &[job.to_string()]);
        return Ok(ExitCode::SUCCESS);
    }
    let mut lines = encoded.lines;
    let calldata = match args.deadline {
        None => None,
        Some(deadline) => {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
            let deadline = match deadline {
                Deadline::At(time) if time <= now => {
                    return Err(CliError::input(format!(
                        "--deadline {time} is over, it is {now} now; give a later time, or + and seconds"
                    )));
                }
                Deadline::At(time) => time,
                Deadline::In(seconds) => now.saturating_add(seconds),
            };
            let request = Request {
                modelDigest: B256::from(package.key_blob()?.model_digest()),
                inputs: encoded.inputs,
                verifier: verifier_selector(args.chain_id),
                minCoverage: coverage,
                feeToken: Address::ZERO,
                fee: args.fee,
                deadline,
                callback: args.callback,
                callbackGas: args.callback_gas,
            };
            Some(Bytes::from(InferenceOracle::requestCall { request_: request, words: encoded.words }.abi_encode()))
        }
    };
    lines.extend(calldata.iter().map(|bytes| format!("calldata of InferenceOracle.request: {bytes}")));
    output.result(&json!({ "inputs": encoded.entries, "calldata": calldata }), &lines);
    Ok(ExitCode::SUCCESS)
}

/// An input as a request carries it.
pub(crate) struct Encoded {
    /// Hashes of public inputs and commitments of private ones, in graph order.
    pub(crate) inputs: Vec<B256>,
    /// Words of the public inputs, one input's after the other's.
    pub(crate) words: Vec<U256>,
    /// As JSON, for each input.
    pub(crate) entries: Vec<Value>,
    /// As text.
    pub(crate) lines: Vec<String>,
}

/// Encodes an input; for private inputs it draws salts and writes the openings.
pub(crate) fn encode_inputs(
    package: &Package,
    integers: Vec<Vec<i64>>,
    requester: Option<Address>,
    openings: Option<&Path>,
) -> Result<Encoded, CliError> {
    let mut inference = Inference::of_inputs(package, integers)?;
    if package.manifest().tensors.iter().any(|t| t.kind == TensorKind::PrivateInput) {
        let requester = requester.filter(|requester| !requester.is_zero()).ok_or_else(|| {
            CliError::input(
                "the input is private: say with --requester which account or contract will call the oracle, such as --requester 0x…; a commitment fits nobody else",
            )
        })?;
        inference.owner = context::owner(B256::from(package.key_blob()?.model_digest()), requester).0;
    }
    let bound = encode_request(package, &mut inference, &mut OsRng)?;
    let tensors = package.manifest().tensors.iter().filter(|t| t.kind.is_input());
    let (inputs, words) = request_inputs(&bound);
    let mut encoded = Encoded { inputs, words, entries: Vec::new(), lines: Vec::new() };
    for ((tensor, bound), opening) in tensors.zip(&bound).zip(&inference.openings.tensors) {
        match bound {
            Bound::Words(words) => {
                let words: Vec<U256> = words.iter().map(|word| U256::from_be_bytes(*word)).collect();
                let hash = context::input_hash(&words);
                encoded.lines.push(format!("{}: {} words, hash {hash}", tensor.name, words.len()));
                encoded.lines.push(word_list(&words));
                encoded.entries.push(json!({ "name": tensor.name, "words": words.iter().map(word_hex).collect::<Vec<_>>(), "hash": hash }));
            }
            Bound::Commitment(commitment) => {
                let folder = openings.ok_or_else(|| {
                    CliError::input(format!(
                        "input '{}' is private: say with --openings where its opening goes; without it no proof can be made",
                        tensor.name
                    ))
                })?;
                let path = write_opening(folder, commitment, Some(opening))?;
                let commitment = B256::from(*commitment);
                encoded.lines.push(format!("{}: commitment {commitment}, opening in {}", tensor.name, path.display()));
                encoded.entries.push(json!({ "name": tensor.name, "commitment": commitment, "opening": path }));
            }
        }
    }
    Ok(encoded)
}

/// A job with private inputs, which nobody but a validator that their owner names may see, and those who prove for it. No contract reads its
/// bundle.
fn private_job(package: &Package, integers: Vec<Vec<i64>>, validator: Option<&str>, key: Option<&Path>) -> Result<Value, CliError> {
    let (Some(validator), Some(key)) = (validator, key) else {
        return Err(CliError::input(
            "--job: the model has a private input, which a network of others would see: say with --validator and --private-key-file who may, or prove it yourself, by `zkslice prove`",
        ));
    };
    let signer = signer::load(key)?;
    let about = runtime()?.block_on(Employer::parse(validator)?.about())?;
    let model = B256::from(package.key_blob()?.model_digest());
    let mut inference = Inference { owner: context::owner(model, signer.address()).0, ..Inference::of_inputs(package, integers)? };
    let bound = encode_request(package, &mut inference, &mut OsRng)?;
    let (mut inputs, mut shown, mut openings) = (Vec::new(), Vec::new(), Vec::new());
    for (bound, opening) in bound.into_iter().zip(inference.openings.tensors.iter().flatten()) {
        match bound {
            Bound::Words(words) => {
                shown.push(words.iter().map(|word| B256::from(*word)).collect::<Vec<_>>());
                inputs.push(JobInput::Words(words));
            }
            Bound::Commitment(commitment) => {
                shown.push(vec![B256::from(commitment)]);
                inputs.push(JobInput::Commitment(commitment));
                openings.push(json!(opening));
            }
        }
    }
    let network = Network { chain_id: about.chain_id, registry: about.registry };
    let hand_over = HandOver::new(about.validator, Default::default(), signer.address(), model, &inputs);
    let signature = Node::new(signer.clone()).sign(&network, hand_over).map_err(|e| CliError::failed(e.to_string()))?.signature();
    let private = json!({ "requester": signer.address(), "signature": Bytes::from(signature), "openings": openings });
    Ok(json!({ "model": model, "inputs": shown, "private": private }))
}

/// What a request has of its inputs, and the words beside it: the public inputs', one input's after the other's.
pub(crate) fn request_inputs(bound: &[Bound]) -> (Vec<B256>, Vec<U256>) {
    let mut words = Vec::new();
    let one = |bound: &Bound| match bound {
        Bound::Words(own) => {
            let own: Vec<U256> = own.iter().map(|word| U256::from_be_bytes(*word)).collect();
            let hash = context::input_hash(&own);
            words.extend(own);
            hash
        }
        Bound::Commitment(commitment) => B256::from(*commitment),
    };
    (bound.iter().map(one).collect(), words)
}

/// A word with all of its digits.
pub(crate) fn word_hex(word: &U256) -> B256 {
    B256::from(*word)
}

/// Words as one argument of type `uint256[]` that cast and forge take.
pub(crate) fn word_list(words: &[U256]) -> String {
    let words: Vec<String> = words.iter().map(|word| word_hex(word).to_string()).collect();
    format!("[{}]", words.join(","))
}

/// A request's least coverage, which the oracle takes if the model's policy is within it. 0 is all slices.
pub(crate) fn min_coverage(package: &Package, slices: &[usize]) -> Result<U256, CliError> {
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

/// Writes the opening of a commitment where [`zkslice_prover::LocalProver`] looks for it.
pub(crate) fn write_opening<T: serde::Serialize>(folder: &Path, commitment: &[u8; 32], opening: Option<&T>) -> Result<PathBuf, CliError> {
    std::fs::create_dir_all(folder).map_err(|e| CliError::failed(format!("{}: {e}", folder.display())))?;
    let path = folder.join(opening_file(commitment));
    write_secret(&path, &serde_json::to_vec(&opening).map_err(|e| CliError::failed(e.to_string()))?)?;
    Ok(path)
}
