//! `zkslice verify --receipt`: who proved what, by what a validator and a miner signed. Nothing is asked of anybody.

use std::path::Path;
use std::process::ExitCode;

use alloy::primitives::{Address, B256, U256, hex, keccak256};
use serde::Deserialize;
use serde_json::{Value, json};
use zkslice_prover::{Bound, Bundle, Verifier};
use zkslice_slicer::{Package, TensorKind};
use zkslice_subnet::messages::{Assignment, HandIn, Receipt, Verdict};
use zkslice_subnet::receipts::{check_alone, contradictions};
use zkslice_subnet::score::{Parameters, units};
use zkslice_subnet::work::{coverage, hashes, statement};
use zkslice_subnet::{Network, Signed};

use super::read;
use crate::error::CliError;
use crate::output::Output;

/// What is to be looked at, and against what it is held.
pub(crate) struct Asked<'a> {
    pub(crate) receipt: &'a Path,
    pub(crate) validator: Address,
    pub(crate) network: Option<Network>,
    pub(crate) package: Option<&'a Path>,
    pub(crate) bundle: Option<&'a Path>,
}

/// What `/v1/receipts/{assignment}` answers.
#[derive(Deserialize)]
struct File {
    chain_id: u64,
    registry: Address,
    assignment: Option<String>,
    hand_in: Option<String>,
    messages: Vec<String>,
}

/// A line of a miner's receipts.jsonl.
#[derive(Deserialize)]
struct Line {
    receipt: String,
}

/// Why there is nothing to show.
enum Refusal {
    /// The file is something else.
    Input(CliError),
    /// It is not what it says.
    NotValid(String),
}

impl From<CliError> for Refusal {
    fn from(error: CliError) -> Self {
        Self::Input(error)
    }
}

impl From<zkslice_subnet::SignatureError> for Refusal {
    fn from(error: zkslice_subnet::SignatureError) -> Self {
        Self::NotValid(error.to_string())
    }
}

fn wrong<T>(reason: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal::NotValid(reason.into()))
}

fn bytes(text: &str) -> Result<Vec<u8>, CliError> {
    hex::decode(text).map_err(|_| CliError::input("a message in it is not hexadecimal"))
}

const fn name(verdict: u8) -> &'static str {
    match Verdict::from_u8(verdict) {
        Some(Verdict::Valid) => "valid",
        Some(Verdict::Invalid) => "invalid",
        Some(Verdict::Missed) => "missed",
        Some(Verdict::Late) => "late",
        Some(Verdict::Superseded) => "superseded",
        None => "unknown",
    }
}

fn shown(receipt: &Receipt) -> Value {
    json!({
        "verdict": name(receipt.verdict), "ms": receipt.ms, "credit": receipt.credit, "debit": receipt.debit, "epoch": receipt.epoch,
        "seq": receipt.seq, "owed": receipt.owed.to_string(), "proof_hash": receipt.proofHash,
    })
}

pub(crate) fn run(asked: &Asked<'_>, output: &Output) -> crate::CommandResult {
    let at = asked.receipt.display();
    match check(asked) {
        Ok((mut value, lines)) => {
            value["valid"] = true.into();
            output.result(&value, &lines);
            Ok(ExitCode::SUCCESS)
        }
        Err(Refusal::NotValid(error)) => {
            output.result(&json!({ "valid": false, "error": error }), &[format!("{at}: NOT VALID: {error}")]);
            Ok(ExitCode::from(1))
        }
        Err(Refusal::Input(error)) => Err(error),
    }
}

fn check(asked: &Asked<'_>) -> Result<(Value, Vec<String>), Refusal> {
    let text = read(asked.receipt)?;
    let is_of_miner = |line: &[u8]| serde_json::from_slice::<Line>(line).is_ok();
    let checked = match serde_json::from_slice::<File>(&text) {
        Ok(file) => of_assignment(asked, &file),
        Err(_) if text.split(|byte| *byte == b'\n').next().is_some_and(is_of_miner) => of_miner(asked, &text),
        Err(error) => Err(CliError::input(format!("neither what `/v1/receipts` answers nor a miner's receipts.jsonl: {error}")).into()),
    };
    checked.map_err(|refusal| match refusal {
        Refusal::Input(error) => Refusal::Input(error.in_file(asked.receipt)),
        not_valid => not_valid,
    })
}

/// An assignment and everything that was signed of it.
fn of_assignment(asked: &Asked<'_>, file: &File) -> Result<(Value, Vec<String>), Refusal> {
    let network = Network { chain_id: file.chain_id, registry: file.registry };
    if let Some(expected) = asked.network.filter(|expected| *expected != network) {
        let [found, expected] = [network, expected].map(|network| format!("{} on chain {}", network.registry, network.chain_id));
        return wrong(format!("it is of network {found}, not of {expected}"));
    }
    let signed = file.assignment.as_deref().ok_or_else(|| CliError::input("it has no assignment: is it the root of an epoch?"))?;
    let signed = Signed::<Assignment>::from_bytes(&bytes(signed)?, &network, Some(asked.validator))?;
    let assignment = signed.message();
    if assignment.validator != asked.validator {
        return wrong(format!("the assignment names validator {}, not {}, who signed it", assignment.validator, asked.validator));
    }
    let hash = network.hash(assignment);
    let mut receipts = Vec::new();
    for message in &file.messages {
        let receipt = Signed::<Receipt>::from_bytes(&bytes(message)?, &network, Some(asked.validator))?.message().clone();
        if receipt.assignment != hash {
            return wrong(format!(
                "receipt {} is of assignment {}, not of {hash}: another slice, or another job",
                receipt.seq, receipt.assignment
            ));
        }
        if let Err(error) = check_alone(&Parameters::default(), assignment, hash, &receipt) {
            return wrong(format!("receipt {}: {error}", receipt.seq));
        }
        receipts.push(receipt);
    }
    consistent(&receipts)?;
    let Some(newest) = receipts.iter().max_by_key(|receipt| receipt.seq) else {
        return wrong("nothing is signed yet of what became of the assignment");
    };
    let is_signed_by_miner = match &file.hand_in {
        Some(message) => {
            let hand_in = Signed::<HandIn>::from_bytes(&bytes(message)?, &network, Some(assignment.miner))?.message().clone();
            if hand_in.assignment != hash {
                return wrong(format!("the miner's hand-in is of assignment {}, not of {hash}", hand_in.assignment));
            }
            // One that was superseded before it came in has none in its receipt.
            if !newest.proofHash.is_zero() && hand_in.proofHash != newest.proofHash {
                return wrong(format!("the miner handed in proof {}, and the receipt is of proof {}", hand_in.proofHash, newest.proofHash));
            }
            true
        }
        None => false,
    };
    let Assignment { job, model, slice, miner, validator, issuedMs: issued_ms, .. } = assignment.clone();
    let mut value = json!({
        "model": model, "slice": slice, "miner": miner, "validator": validator, "chain_id": network.chain_id, "registry": network.registry,
        "job": job, "assignment": hash, "statement": assignment.statement, "units": assignment.units, "price": assignment.price.to_string(),
        "issued_ms": issued_ms, "verdict": name(newest.verdict), "credit": newest.credit, "debit": newest.debit,
        "proof_hash": newest.proofHash, "signed_by_miner": is_signed_by_miner, "receipts": receipts.iter().map(shown).collect::<Vec<_>>(),
    });
    let said = if is_signed_by_miner { "signed by the miner too" } else { "of the validator's word alone" };
    let mut lines = vec![
        format!("{}: genuine, of slice {slice} of model {model}", asked.receipt.display()),
        format!("  miner      {miner}"),
        format!("  validator  {validator}, of {} on chain {}", network.registry, network.chain_id),
        format!("  job        {job}, assigned {issued_ms} ms of Unix time, {hash}"),
    ];
    lines.extend(receipts.iter().map(|receipt| {
        let Receipt { ms, credit, debit, seq, owed, .. } = receipt;
        format!(
            "  verdict    {} after {ms} ms: credit {credit}, debit {debit}; receipt {seq}, {owed} wei owed in all",
            name(receipt.verdict)
        )
    }));
    if !newest.proofHash.is_zero() {
        lines.push(format!("  proof      {}, {said}", newest.proofHash));
    }
    match asked.bundle {
        Some(path) => against_bundle(asked, path, assignment, newest, (&mut value, &mut lines))?,
        None => lines.push("  of which input and output: give the bundle, and it is looked at".to_owned()),
    }
    Ok((value, lines))
}

fn consistent(receipts: &[Receipt]) -> Result<(), Refusal> {
    let pairs = contradictions(receipts);
    let Some(first) = pairs.first() else { return Ok(()) };
    let number = |k: usize| receipts.get(k).map_or(0, |receipt| receipt.seq);
    let others = if pairs.len() > 1 { format!(", and {} more pairs do", pairs.len() - 1) } else { String::new() };
    let [a, b] = [number(first.0), number(first.1)];
    wrong(format!("the validator contradicts itself: receipts {a} and {b} cannot both be right{others}; keep the file, it shows that"))
}

/// The bundle is what the assignment states, and its proof of the slice the one that was handed in, or another.
fn against_bundle(
    asked: &Asked<'_>,
    path: &Path,
    assignment: &Assignment,
    receipt: &Receipt,
    (value, lines): (&mut Value, &mut Vec<String>),
) -> Result<(), Refusal> {
    let bundle = Bundle::from_json(&read(path)?).map_err(|error| CliError::from(error).in_file(path))?;
    let (k, model) = (assignment.slice, B256::from(bundle.model));
    if model != assignment.model {
        return wrong(format!("the bundle is of model {model}, the receipt of {}", assignment.model));
    }
    let package = asked.package.map(Package::open).transpose().map_err(CliError::from)?;
    // A model's digest says how many slices it has. Who has not the model takes either statement of its first slice.
    let coverages =
        package.as_ref().map_or_else(|| vec![U256::ZERO, U256::ONE << usize::from(k)], |package| vec![coverage(package.slice_count(), k)]);
    let [words, commitments] = hashes(bundle.tensors.iter().flatten());
    let bound = [B256::from(bundle.context), B256::from(bundle.owner)];
    if !coverages.into_iter().any(|coverage| statement(model, coverage, bound, [words, commitments]) == assignment.statement) {
        return wrong(
            "the receipt is of another job than the bundle: its assignment states other inputs, outputs, commitments or another context",
        );
    }
    value["words_hash"] = json!(words);
    value["commitments_hash"] = json!(commitments);
    let proof = bundle.proofs.iter().find(|proof| proof.slice == usize::from(k)).map(|proof| keccak256(proof.proof.concat()));
    value["proof_in_bundle"] = json!(proof.map(|proof| proof == receipt.proofHash));
    lines.push(match proof {
        Some(proof) if proof == receipt.proofHash => {
            "  bundle     what the assignment states, with the proof that was handed in".to_owned()
        }
        // A proof can be made anew from another one, and another miner's of the same slice is as good.
        Some(proof) => {
            format!("  bundle     what the assignment states, with another proof of the slice, {proof}: randomised again, or another's")
        }
        None => "  bundle     what the assignment states, without a proof of the slice".to_owned(),
    });
    let Some(package) = package else {
        lines.push(format!("  words      {words}, of all public inputs and outputs"));
        lines.push("  whether its proofs hold: give the package, and they are verified".to_owned());
        return Ok(());
    };
    if let Err(error) = Verifier::new(&package).map_err(CliError::from)?.verify(&bundle) {
        return wrong(format!("the bundle: {error}"));
    }
    let manifest = package.manifest();
    let of_key = manifest.slices.get(usize::from(k)).map_or(0, |slice| units(slice.constraints.next_power_of_two() as u64));
    if of_key != assignment.units {
        return wrong(format!("the assignment counts {} units, the slice has {of_key}", assignment.units));
    }
    for (is_input, key) in [(true, "inputs"), (false, "outputs")] {
        let is_one = |tensor: TensorKind| if is_input { tensor.is_input() } else { tensor == TensorKind::Output };
        let mut all = serde_json::Map::new();
        for (tensor, bound) in manifest.tensors.iter().zip(&bundle.tensors).filter(|(tensor, _)| is_one(tensor.kind)) {
            let hash = match bound {
                Some(Bound::Words(words)) => keccak256(words.concat()),
                Some(Bound::Commitment(commitment)) => B256::from(commitment),
                None => continue,
            };
            lines.push(format!("  {:<10} '{}' {hash}", key.trim_end_matches('s'), tensor.name));
            all.insert(tensor.name.clone(), json!(hash));
        }
        value[key] = all.into();
    }
    value["name"] = json!(manifest.name);
    Ok(())
}

/// A miner's receipts: of which slices is not in them, but what is owed, and whether their validator lied.
fn of_miner(asked: &Asked<'_>, text: &[u8]) -> Result<(Value, Vec<String>), Refusal> {
    let unnamed = || CliError::input("a miner's receipts do not name their network: give --chain-id and --registry");
    let network = asked.network.ok_or_else(unnamed)?;
    if asked.bundle.is_some() {
        return Err(CliError::input("a miner's receipts do not name what they are of: ask for `/v1/receipts/{assignment}`").into());
    }
    let (mut receipts, mut others) = (Vec::new(), 0);
    for (number, line) in text.split(|byte| *byte == b'\n').enumerate().filter(|(_, line)| !line.is_empty()) {
        let line: Line = serde_json::from_slice(line).map_err(|e| CliError::input(format!("line {}: {e}", number + 1)))?;
        let signed = Signed::<Receipt>::from_bytes(&bytes(&line.receipt)?, &network, None);
        let signed = signed.map_err(|error| Refusal::NotValid(format!("line {}: {error}", number + 1)))?;
        let receipt = signed.message().clone();
        if receipt.validator != signed.signer() {
            return wrong(format!("line {}: signed by {}, not by {}, whom it names", number + 1, signed.signer(), receipt.validator));
        }
        if receipt.validator == asked.validator { receipts.push(receipt) } else { others += 1 }
    }
    consistent(&receipts)?;
    let Some(newest) = receipts.iter().max_by_key(|receipt| receipt.seq) else {
        return wrong(format!("none of its {others} receipts is of validator {}", asked.validator));
    };
    if let Some(other) = receipts.iter().find(|receipt| receipt.miner != newest.miner) {
        return wrong(format!("receipts of two miners, {} and {}", newest.miner, other.miner));
    }
    let sum = |part: fn(&Receipt) -> u32| receipts.iter().map(|receipt| u64::from(part(receipt))).sum::<u64>();
    let [credit, debit] = [sum(|receipt| receipt.credit), sum(|receipt| receipt.debit)];
    let value = json!({
        "miner": newest.miner, "validator": newest.validator, "chain_id": network.chain_id, "registry": network.registry,
        "receipts": receipts.len(), "of_others": others, "credit": credit, "debit": debit, "seq": newest.seq, "owed": newest.owed.to_string(),
    });
    let lines = vec![
        format!("{}: genuine, {} receipts of validator {}, {others} of others", asked.receipt.display(), receipts.len(), newest.validator),
        format!("  miner      {}", newest.miner),
        format!("  in all     credit {credit}, debit {debit}; the newest is number {}, {} wei owed", newest.seq, newest.owed),
    ];
    Ok((value, lines))
}
