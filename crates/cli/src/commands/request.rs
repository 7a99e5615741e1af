//! `zkslice request`: an inference is asked for.

use std::path::PathBuf;
use std::process::ExitCode;

use alloy::primitives::{Address, B256, U256};
use serde_json::json;
use zkslice_chain::bindings::Request;
use zkslice_chain::constants::verifier_selector;
use zkslice_chain::{Chain, Oracle, signer};
use zkslice_slicer::Package;

use super::encode::{encode_inputs, min_coverage};
use super::{Reading, amount, integers, runtime};
use crate::error::CliError;
use crate::output::Output;

/// Request an inference from an oracle, and wait until the request is mined. A relayer then proves it.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  zkslice request 0xOracle --model pkg --input input.json --rpc-url http://127.0.0.1:8545 --private-key-file my.key --fee '0.005 ether'\n  zkslice request 0xOracle --model private-pkg --input input.json --openings openings --rpc-url … --private-key-file …"
)]
pub(crate) struct Args {
    /// The oracle: `zkslice deploy` prints it.
    oracle: Address,
    /// The model's package, with keys.
    #[arg(long, value_name = "PACKAGE")]
    model: PathBuf,
    /// The input: JSON {"input_data": [one list per input]}, a .npy, .npz, .pb or .csv of one sample, a folder with input_0.pb and so on, or an image.
    #[arg(long)]
    input: PathBuf,
    #[command(flatten)]
    reading: Reading,
    /// RPC address of a node.
    #[arg(long)]
    rpc_url: String,
    /// File with the requester's private key, mode 0600 or 0400.
    #[arg(long)]
    private_key_file: PathBuf,
    /// Refuse any other chain.
    #[arg(long)]
    chain_id: Option<u64>,
    /// Fee for the prover: wei, or an amount such as `0.005 ether`. Relayers skip what does not pay for its gas.
    #[arg(long, default_value = "0", value_parser = amount)]
    fee: U256,
    /// Last second (Unix time) at which it can be fulfilled, or `+` and seconds from the newest block.
    #[arg(long, default_value = "+3600", value_parser = deadline)]
    deadline: Deadline,
    /// Slices that must be proven at least, ascending; all by default.
    #[arg(long, value_delimiter = ',')]
    min_coverage: Vec<usize>,
    /// Contract that is called back, which must take answers to requests that it did not make itself.
    #[arg(long, default_value_t = Address::ZERO)]
    callback: Address,
    /// Gas that the callback is given.
    #[arg(long, default_value_t = 0, requires = "callback")]
    callback_gas: u32,
    /// Folder for the openings of private inputs, one file per commitment: the relayer needs them, and nobody else.
    #[arg(long)]
    openings: Option<PathBuf>,
    /// Most that a unit of gas may cost: wei, or an amount such as `50 gwei`.
    #[arg(long, value_parser = amount)]
    max_fee_per_gas: Option<U256>,
}

/// Until when a request can be fulfilled.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Deadline {
    /// Unix time.
    At(u64),
    /// Seconds after the newest block.
    In(u64),
}

pub(crate) fn deadline(text: &str) -> Result<Deadline, String> {
    let parsed = match text.strip_prefix('+') {
        Some(seconds) => seconds.parse().map(Deadline::In),
        None => text.parse().map(Deadline::At),
    };
    parsed.map_err(|_| "expected a Unix time such as 1800000000, or +3600 for an hour from now".into())
}

pub(crate) fn run(args: Args, output: &Output) -> crate::CommandResult {
    let package = Package::open(&args.model)?;
    let model = B256::from(package.key_blob()?.model_digest());
    let coverage = min_coverage(&package, &args.min_coverage)?;
    let integers = integers(&package, &args.input, args.reading.pixels())?;
    let signer = signer::load(&args.private_key_file)?;
    let max_fee = args.max_fee_per_gas.map(|wei| u128::try_from(wei).unwrap_or(u128::MAX));
    let spinner = output.spinner("requesting");
    let (made, encoded, deadline) = runtime()?.block_on(async {
        let oracle = Oracle::open(Chain::connect(&args.rpc_url, args.chain_id).await?, args.oracle).await?;
        oracle.require_served(model).await?;
        let encoded = encode_inputs(&package, integers, Some(signer.address()), args.openings.as_deref())?;
        let deadline = match args.deadline {
            Deadline::At(time) => time,
            Deadline::In(seconds) => oracle.chain().head().await?.timestamp.saturating_add(seconds),
        };
        let request = Request {
            modelDigest: model,
            inputs: encoded.inputs.clone(),
            verifier: verifier_selector(oracle.chain().id()),
            minCoverage: coverage,
            feeToken: Address::ZERO,
            fee: args.fee,
            deadline,
            callback: args.callback,
            callbackGas: args.callback_gas,
        };
        let made = oracle.request(&signer, request, encoded.words.clone(), max_fee).await?;
        Ok::<_, CliError>((made, encoded, deadline))
    })?;
    spinner.finish_and_clear();
    let mut lines = vec![
        format!("request {} of {} is in block {}, for {} gas", made.id, signer.address(), made.block, made.gas_used),
        format!("  it can be fulfilled until {deadline} (Unix time); zkslice result {} {} --rpc-url … has its state", args.oracle, made.id),
    ];
    lines.extend(encoded.lines.into_iter().filter(|line| line.contains("opening in")).map(|line| format!("  {line}")));
    let value = json!({
        "request": made.id, "requester": signer.address(), "nonce": made.nonce.to_string(), "model": model, "deadline": deadline,
        "transaction": made.tx_hash, "block": made.block, "gas": made.gas_used, "inputs": encoded.entries,
    });
    output.result(&value, &lines);
    Ok(ExitCode::SUCCESS)
}
