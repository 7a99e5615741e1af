//! `zkslice result`: what became of a request.

use std::path::PathBuf;
use std::process::ExitCode;

use alloy::primitives::{Address, B256, U256, utils::format_ether};
use serde_json::{Value, json};
use zkslice_chain::bindings::Status;
use zkslice_chain::{Chain, Oracle};
use zkslice_prover::unpack_outputs;
use zkslice_slicer::{Package, TensorKind};

use super::encode::{word_hex, word_list};
use super::runtime;
use crate::error::CliError;
use crate::output::{Numbers, Output};

/// Say what became of a request: its state, and its outputs once it is fulfilled.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  zkslice result 0xOracle 0xRequest --model pkg --rpc-url http://127.0.0.1:8545\n  zkslice result 0xOracle 0xRequest --rpc-url … --json"
)]
pub(crate) struct Args {
    /// The oracle.
    oracle: Address,
    /// The request's id, as `zkslice request` prints it.
    request: B256,
    /// RPC address of a node.
    #[arg(long)]
    rpc_url: String,
    /// Refuse any other chain.
    #[arg(long)]
    chain_id: Option<u64>,
    /// The model's package, with keys: the outputs are then decoded.
    #[arg(long, value_name = "PACKAGE")]
    model: Option<PathBuf>,
}

pub(crate) fn run(args: Args, output: &Output) -> crate::CommandResult {
    let package = args.model.as_deref().map(Package::open).transpose()?;
    let (outcome, now) = runtime()?.block_on(async {
        let oracle = Oracle::open(Chain::connect(&args.rpc_url, args.chain_id).await?, args.oracle).await?;
        let outcome = oracle.outcome(args.request).await?;
        Ok::<_, CliError>((outcome, oracle.chain().head().await?.timestamp))
    })?;
    let asked = &outcome.requested.request;
    if let (Some(package), Some(path)) = (&package, &args.model) {
        let digest = B256::from(package.key_blob()?.model_digest());
        if digest != asked.modelDigest {
            let asked = asked.modelDigest;
            return Err(CliError::input(format!("{}: it is model {digest}, the request is of model {asked}", path.display())));
        }
    }
    let overdue = outcome.status == Status::Open && now > asked.deadline;
    let (name, meaning) = match outcome.status {
        Status::Fulfilled => ("fulfilled", "fulfilled"),
        Status::PartiallyFulfilled => ("partially_fulfilled", "fulfilled in part: its outputs are proven only as far as its coverage goes"),
        Status::Refunded => {
            ("refunded", "refunded: nobody answered in time, or its model was stopped; the fee is credited to its requester")
        }
        Status::Open | Status::None if overdue => ("open", "open, and past its deadline: nobody can fulfil it, anyone may refund it"),
        Status::Open | Status::None => ("open", "open: it waits for a relayer"),
    };
    let mut lines = vec![
        format!("request {}: {meaning}", args.request),
        format!(
            "  model {}, by {}, fee {} ether, deadline {} (Unix time)",
            asked.modelDigest,
            outcome.requested.requester,
            format_ether(asked.fee),
            asked.deadline
        ),
    ];
    if outcome.callback_failed {
        lines.push(format!("  its callback to {} failed; anyone may retry it with InferenceOracle.retryCallback", asked.callback));
    }
    let (mut words, mut outputs) = (None, None);
    if let Some(result) = &outcome.result {
        let event = &result.event;
        lines.push(format!("  answered in block {} by transaction {}, for {}", result.block, result.tx_hash, event.beneficiary));
        if let Some(package) = &package {
            let raw: Vec<[u8; 32]> = event.outputWords.iter().map(U256::to_be_bytes).collect();
            let decoded = Numbers::of_outputs(package, &unpack_outputs(package, &raw)?);
            let names = package.manifest().tensors.iter().filter(|t| t.kind == TensorKind::Output).map(|t| &t.name);
            lines.extend(decoded.iter().zip(names).map(|(values, name)| format!("  {name}: {values}")));
            outputs = Some(decoded);
        } else {
            lines.push(format!("  output words (--model decodes them): {}", word_list(&event.outputWords)));
        }
        words = Some(event.outputWords.iter().map(word_hex).collect::<Vec<_>>());
    }
    let answer = outcome.result.as_ref().map_or(Value::Null, |result| {
        json!({
            "beneficiary": result.event.beneficiary, "coverage": result.event.coverage, "transaction": result.tx_hash, "block": result.block,
        })
    });
    let value = json!({
        "request": args.request, "status": name, "overdue": overdue, "requested_at": outcome.requested_at, "deadline": asked.deadline,
        "model": asked.modelDigest, "requester": outcome.requested.requester, "nonce": outcome.requested.nonce.to_string(),
        "fee_wei": asked.fee.to_string(), "callback": asked.callback, "callback_failed": outcome.callback_failed,
        "answer": answer, "output_words": words, "outputs": outputs,
    });
    output.result(&value, &lines);
    Ok(ExitCode::SUCCESS)
}
