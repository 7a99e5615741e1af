//! A forge test with a real bundle.

use serde::Serialize;
use tera::Context;
use zkslice_formats::hex0x;

use crate::ExportError;
use crate::export::is_license;
use crate::names::{comment, number};
use crate::type_name;
use crate::verifier::render;

const FIXTURE: &str = include_str!("../../../templates/Fixture.t.sol.tera");
/// What the second line of a fixture says: a file without it is somebody's own.
pub const FIXTURE_MARK: &str = "// Written by `zkslice fixture`";
/// Bytes of a literal that fit into a line.
const LINE_BYTES: usize = 50;

/// What a fixture holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fixture {
    /// Name of the model.
    pub model: String,
    /// SPDX expression of the file.
    pub license: String,
    /// The model's digest.
    pub digest: [u8; 32],
    /// Whether its keys are development keys.
    pub dev: bool,
    /// The verifier's selector, as a literal.
    pub verifier: String,
    /// Chain whose proof it is.
    pub chain_id: u64,
    /// Time of the request.
    pub time: u64,
    /// Its fee, in wei.
    pub fee: u128,
    /// Its deadline.
    pub deadline: u64,
    /// Gas of its callback.
    pub callback_gas: u32,
    /// Checksummed addresses: who makes the consumer, the consumer, who is paid, who makes the oracle.
    pub deployer: String,
    /// See `deployer`.
    pub consumer: String,
    /// See `deployer`.
    pub prover: String,
    /// See `deployer`.
    pub oracle_deployer: String,
    /// Hash or commitment of each input.
    pub inputs: Vec<[u8; 32]>,
    /// Words of the public inputs.
    pub input_words: Vec<[u8; 32]>,
    /// Words of the outputs.
    pub output_words: Vec<[u8; 32]>,
    /// Commitments.
    pub commitments: Vec<[u8; 32]>,
    /// Proofs.
    pub proofs: Vec<[u8; 32]>,
    /// Chunks of the key blob.
    pub chunks: Vec<Vec<u8>>,
    /// Creation code of registry, verifier and oracle.
    pub codes: [Vec<u8>; 3],
    /// Name and index of the largest value of each output that has more than one.
    pub outputs: Vec<(String, Option<usize>)>,
}

#[derive(Serialize)]
struct Data {
    name: String,
    lines: Vec<String>,
}

#[derive(Serialize)]
struct Output {
    name: String,
    constant: String,
    arg_max: usize,
}

/// Name of the fixture of a model.
pub fn fixture_name(model: &str) -> String {
    format!("{}Fixture", type_name(model))
}

/// Source of a forge test that deploys registry, verifier and oracle, registers the model and fulfils a request of the consumer's by
/// the bundle.
///
/// # Errors
/// [`ExportError::License`].
pub fn fixture(fixture: &Fixture) -> Result<String, ExportError> {
    if !is_license(&fixture.license) {
        return Err(ExportError::License { license: fixture.license.clone() });
    }
    let data = |name: &str, bytes: &[u8]| Data { name: name.to_owned(), lines: bytes.chunks(LINE_BYTES).map(hex::encode).collect() };
    let [registry, verifier, oracle] = &fixture.codes;
    let mut all = vec![
        data("_inputWords", &fixture.input_words.concat()),
        data("_outputWords", &fixture.output_words.concat()),
        data("_commitments", &fixture.commitments.concat()),
        data("_proofs", &fixture.proofs.concat()),
    ];
    all.extend(fixture.chunks.iter().enumerate().map(|(k, chunk)| data(&format!("_chunk{k}"), chunk)));
    all.extend([data("_registryCode", registry), data("_verifierCode", verifier), data("_oracleCode", oracle)]);
    let largest = fixture.outputs.iter().enumerate().filter_map(|(k, (name, arg_max))| {
        Some(Output { name: comment(name), constant: format!("OUTPUT_{k}_ARG_MAX"), arg_max: (*arg_max)? })
    });
    let mut context = Context::new();
    context.insert("license", &fixture.license);
    context.insert("model", &comment(&fixture.model));
    context.insert("fixture", &fixture_name(&fixture.model));
    context.insert("digest", &hex0x(&fixture.digest));
    context.insert("verifier", &fixture.verifier);
    context.insert("chain_id", &number(fixture.chain_id));
    context.insert("time", &number(fixture.time));
    context.insert("fee", &number(fixture.fee));
    context.insert("deadline", &number(fixture.deadline));
    context.insert("callback_gas", &number(fixture.callback_gas));
    for (name, address) in [
        ("deployer", &fixture.deployer),
        ("consumer", &fixture.consumer),
        ("prover", &fixture.prover),
        ("oracle_deployer", &fixture.oracle_deployer),
    ] {
        context.insert(name, address);
    }
    context.insert("outputs", &largest.collect::<Vec<_>>());
    context.insert("inputs", &fixture.inputs.iter().map(|input| hex0x(input)).collect::<Vec<_>>());
    context.insert("chunks", &fixture.chunks.iter().map(Vec::len).collect::<Vec<_>>());
    // What a registry asks of keys that are no development keys.
    context.insert("transcript", if fixture.dev { "0" } else { "keccak256(\"transcript\")" });
    context.insert("data", &all);
    Ok(render(FIXTURE, &context)?)
}
