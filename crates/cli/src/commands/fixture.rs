//! `zkslice fixture`: a forge test with a real bundle.

use std::path::PathBuf;
use std::process::ExitCode;

use alloy::primitives::{Address, B256, U256, keccak256};
use ark_std::rand::rngs::OsRng;
use serde_json::json;
use zkslice_chain::bindings::{BundleVerifier, InferenceOracle, ModelRegistry, Request};
use zkslice_chain::constants::VERIFIER_SELECTOR;
use zkslice_chain::context;
use zkslice_compiler::arg_max;
use zkslice_prover::{Inference, Verifier, encode_request, prove};
use zkslice_slicer::{Package, TensorKind};
use zkslice_solidity::{DEFAULT_LICENSE, FIXTURE_MARK, Fixture, fixture, fixture_name};

use super::encode::request_inputs;
use super::request::{Deadline, deadline};
use super::{Reading, amount, integers, write};
use crate::error::CliError;
use crate::output::Output;

/// Chain of forge's tests.
const CHAIN_ID: u64 = 31_337;
/// Time in the test: in 2027, so that no deadline is over.
const TIME: u64 = 1_800_000_000;

/// Write a forge test in which your consumer gets a real proof: the deployed contracts, the registered model, one proven request.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  zkslice fixture pkg --input input.json -o my-project/test\n  zkslice fixture pkg --input input.json --fee '0.01 ether' --callback-gas 200000 -o my-project/test/Digits.t.sol"
)]
pub(crate) struct Args {
    /// The package, with keys.
    package: PathBuf,
    /// The input: JSON {"input_data": [one list per input]}, a .npy, .npz, .pb or .csv of one sample, a folder with input_0.pb and so on, or an image.
    #[arg(long)]
    input: PathBuf,
    #[command(flatten)]
    reading: Reading,
    /// Fee that the consumer pays: wei, or an amount such as `0.001 ether`.
    #[arg(long, default_value = "0.001 ether", value_parser = amount)]
    fee: U256,
    /// Deadline that the consumer gives: Unix time, or `+` and seconds from the request.
    #[arg(long, default_value = "+3600", value_parser = deadline)]
    deadline: Deadline,
    /// Gas that the consumer's callback asks for.
    #[arg(long, default_value_t = 100_000)]
    callback_gas: u32,
    /// SPDX expression for the file.
    #[arg(long, value_name = "SPDX", default_value = DEFAULT_LICENSE)]
    license: String,
    /// The file to write, or the folder for `<Model>Fixture.t.sol`.
    #[arg(short, long, default_value = "test")]
    output: PathBuf,
}

pub(crate) fn run(args: Args, output: &Output) -> crate::CommandResult {
    let package = Package::open(&args.package)?;
    let blob = package.key_blob()?;
    let (model, dev) = (B256::from(blob.model_digest()), package.keys()?.is_dev());
    let fee = u128::try_from(args.fee).map_err(|_| CliError::input("--fee: it is more ether than there is"))?;
    let is_folder = args.output.extension().is_none_or(|extension| extension != "sol");
    let path = if is_folder { args.output.join(format!("{}.t.sol", fixture_name(&package.manifest().name))) } else { args.output };
    replaceable(&path)?;

    // Who makes what is fixed, so that the addresses are, which the proof is bound to.
    let account = |name: &str| Address::from_word(keccak256(format!("zkslice fixture: {name}")));
    let (deployer, oracle_deployer, prover) = (account("deployer"), account("oracle deployer"), account("prover"));
    let (consumer, oracle) = (deployer.create(0), oracle_deployer.create(0));
    let mut inference = Inference::of_inputs(&package, integers(&package, &args.input, args.reading.pixels())?)?;
    if package.manifest().tensors.iter().any(|t| t.kind == TensorKind::PrivateInput) {
        inference.owner = context::owner(model, consumer).0;
    }
    let bound = encode_request(&package, &mut inference, &mut OsRng)?;
    let (inputs, input_words) = request_inputs(&bound);
    let deadline = match args.deadline {
        Deadline::At(time) => time,
        Deadline::In(seconds) => TIME.saturating_add(seconds),
    };
    if deadline < TIME {
        return Err(CliError::input(format!("--deadline {deadline} is before the time of the request, {TIME}; give + and seconds")));
    }
    let request = Request {
        modelDigest: model,
        inputs: inputs.clone(),
        verifier: VERIFIER_SELECTOR,
        minCoverage: U256::ZERO,
        feeToken: Address::ZERO,
        fee: args.fee,
        deadline,
        callback: consumer,
        callbackGas: args.callback_gas,
    };
    inference.context = context::context(CHAIN_ID, oracle, &request, consumer, U256::ZERO, prover).0;
    let bar = output.bar(package.slice_count(), "proving");
    let bundle = prove(&package, inference, 0..package.slice_count(), &mut OsRng, |k| bar.set_position(k as u64))?.bundle;
    bar.finish_and_clear();
    let outputs = package.decode(&Verifier::new(&package)?.verify(&bundle)?);
    let names = package.manifest().tensors.iter().filter(|t| t.kind == TensorKind::Output).map(|t| t.name.clone());
    let largest = names.zip(&outputs).map(|(name, values)| (name, arg_max(values).filter(|_| values.len() > 1))).collect();
    let words = bundle.words();
    let source = fixture(&Fixture {
        model: package.manifest().name.clone(),
        license: args.license,
        digest: model.0,
        dev,
        verifier: VERIFIER_SELECTOR.to_string(),
        chain_id: CHAIN_ID,
        time: TIME,
        fee,
        deadline,
        callback_gas: args.callback_gas,
        deployer: deployer.to_string(),
        consumer: consumer.to_string(),
        prover: prover.to_string(),
        oracle_deployer: oracle_deployer.to_string(),
        inputs: inputs.iter().map(|input| input.0).collect(),
        output_words: words[input_words.len()..].to_vec(),
        input_words: input_words.iter().map(U256::to_be_bytes).collect(),
        commitments: bundle.commitments(),
        proofs: bundle.proof_words(),
        chunks: blob.chunks().map(<[u8]>::to_vec).collect(),
        codes: [&ModelRegistry::BYTECODE, &BundleVerifier::BYTECODE, &InferenceOracle::BYTECODE].map(|code| code.to_vec()),
        outputs: largest,
    })?;
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(|e| CliError::failed(format!("{}: {e}", folder.display())))?;
    }
    write(&path, source.as_bytes())?;
    let name = fixture_name(&package.manifest().name);
    let lines = [
        format!("{}: {name}, a real proof for forge tests; its comment says how to use it", path.display()),
        format!("  try it: forge test --match-contract {name}Test"),
    ];
    output.result(&json!({ "file": path, "contract": name, "model": model, "outputs": outputs, "consumer": consumer }), &lines);
    Ok(ExitCode::SUCCESS)
}

/// Refuses to replace what is no earlier fixture.
fn replaceable(path: &std::path::Path) -> Result<(), CliError> {
    match std::fs::read_to_string(path) {
        Ok(text) if text.lines().nth(1).is_some_and(|line| line.starts_with(FIXTURE_MARK)) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() != std::io::ErrorKind::InvalidData => Err(CliError::failed(format!("{}: {error}", path.display()))),
        _ => Err(CliError::input(format!("{}: already exists and is not an earlier fixture; choose another file", path.display()))),
    }
}
