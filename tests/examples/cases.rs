//! Runs cases that script/conformance.py and script/hunt.py write, for the two to compare.
//!
//! A case is a folder with `model.onnx` and `case.json`: `samples` to compile on and `checks` to infer, each a flat list per
//! input. Per case one line of JSON: the outputs on each check and the inputs as their digits have them, or why it is refused, or what
//! is wrong in itself (`fault`).
//!
//! ```text
//! cases run <folder>             every case of a folder
//! cases prove <folder> <case>…   these cases, with a proof of the first check
//! cases operators                the operators that a model may use
//! ```

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // What fails here is a fault of the scripts.

use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::time::Instant;

use ark_bn254::Fr;
use ark_std::rand::{SeedableRng, rngs::StdRng};
use rayon::prelude::*;
use serde_json::{Value, json};
use zkslice_compiler::{Options, compile_bytes, operators};
use zkslice_graph::{Binding, BoundGraph, Graph, Input, Port, Samples, SliceValues};
use zkslice_graph::{build_circuit, build_witness, encode, execute};
use zkslice_groth16::{Setup, Statement, WordGroup, prove, verify};

/// Checks of a case that are held against the circuit too.
const WITNESSES: usize = 2;

fn inputs(value: &Value) -> Vec<Input> {
    let numbers = |list: &Value| list.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect();
    let lists = |lists: &Value| Input(lists.as_array().unwrap().iter().map(numbers).collect());
    value.as_array().unwrap().iter().map(lists).collect()
}

/// The integers of one inference.
struct Answer {
    inputs: Vec<Vec<i64>>,
    outputs: Vec<Vec<i64>>,
}

fn infer(graph: &Graph, check: &Input) -> Result<Answer, String> {
    let inputs = encode(graph, check).map_err(|error| error.to_string())?;
    let values = execute(graph, &inputs).map_err(|error| error.to_string())?;
    Ok(Answer { inputs, outputs: graph.outputs.iter().map(|port| values[port.tensor].clone()).collect() })
}

/// Holds answers against the graph's circuit, and proves the first where that is asked for; gives the number of constraints.
fn constrain(graph: &Graph, answers: &[&Answer], proven: bool) -> Result<usize, String> {
    let (reads, writes) = (vec![Binding::Words; graph.inputs.len()], vec![Binding::Words; graph.outputs.len()]);
    let slice = BoundGraph { graph, inputs: &reads, outputs: &writes };
    let circuit = build_circuit(slice).map_err(|error| format!("no circuit: {error}"))?;
    let constraints = circuit.layout().constraints();
    let mut witnesses = Vec::new();
    for answer in answers {
        let values = SliceValues { inputs: answer.inputs.clone(), ..SliceValues::default() };
        let (witness, outputs) = build_witness(slice, &values).map_err(|error| format!("no witness: {error}"))?;
        if outputs != answer.outputs {
            return Err("the witness has other outputs than the executor".into());
        }
        let assignment = circuit.assignment(&witness, Fr::from(1_u64 << 60)).ok_or("the challenge is an entry of a table")?;
        circuit.check(&assignment).map_err(|error| format!("the witness does not satisfy the circuit: {error}"))?;
        witnesses.push(witness);
    }
    if proven {
        let witness = witnesses.first().ok_or("no check is answered, so nothing is proven")?;
        let group = |port: &Port| WordGroup { count: graph.tensors[port.tensor].len(), bits: port.encoding.bits };
        let groups: Vec<WordGroup> = graph.inputs.iter().chain(&graph.outputs).map(group).collect();
        let mut rng = StdRng::seed_from_u64(9);
        let key = Setup::dev(&mut rng).key(&circuit, &groups, &mut rng).map_err(|error| format!("no key: {error}"))?;
        let proof = prove(&key, witness, || Ok(circuit), &mut rng).map_err(|error| format!("no proof: {error}"))?;
        let mut statement = Statement { publics: witness.publics.clone(), words: witness.words.clone() };
        verify(key.verifying_key(), &statement, &proof).map_err(|error| format!("the proof is refused: {error}"))?;
        let last = statement.words.last_mut().ok_or("the circuit has no word")?;
        *last += Fr::from(1);
        if verify(key.verifying_key(), &statement, &proof).is_ok() {
            return Err("the proof is taken for another output".into());
        }
    }
    Ok(constraints)
}

fn run(folder: &Path, proven: bool) -> Value {
    let model = std::fs::read(folder.join("model.onnx")).unwrap();
    let case: Value = serde_json::from_slice(&std::fs::read(folder.join("case.json")).unwrap()).unwrap();
    let (samples, checks) = (Samples(inputs(&case["samples"])), inputs(&case["checks"]));
    let (graph, report) = match compile_bytes(&model, Some(&samples), &Options::default()) {
        Ok(compiled) => compiled,
        Err(error) => return json!({ "refused": error.to_string() }),
    };
    let answers: Vec<Result<Answer, String>> = checks.iter().map(|check| infer(&graph, check)).collect();
    let good: Vec<&Answer> = answers.iter().flatten().collect();
    let held: Vec<&Answer> = good.iter().take(1).chain(good.iter().skip(1).rev().take(WITNESSES - 1)).copied().collect();
    let constraints = match constrain(&graph, &held, proven) {
        Ok(constraints) => constraints,
        Err(fault) => return json!({ "fault": fault }),
    };
    let decode = |ports: &[Port], lists: &[Vec<i64>]| -> Vec<Vec<f64>> {
        ports.iter().zip(lists).map(|(port, list)| port.encoding.decode(&graph.tensors[port.tensor].shape, list)).collect()
    };
    let outputs: Vec<Value> = answers
        .iter()
        .map(|answer| match answer {
            Ok(answer) => json!({ "inputs": decode(&graph.inputs, &answer.inputs), "outputs": decode(&graph.outputs, &answer.outputs) }),
            Err(reason) => json!({ "refused": reason }),
        })
        .collect();
    let shapes: Vec<&[usize]> = graph.outputs.iter().map(|port| &graph.tensors[port.tensor].shape[..]).collect();
    let steps: Vec<bool> = report.outputs.iter().map(|output| output.steps).collect();
    json!({ "answers": outputs, "shapes": shapes, "steps": steps, "constraints": constraints, "table_bits": report.table_bits })
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (folders, proven): (Vec<PathBuf>, bool) = match &arguments[..] {
        [command] if command == "operators" => {
            operators().iter().for_each(|operator| println!("{}", operator.name));
            return;
        }
        [command, folder] if command == "run" => {
            let mut folders: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
            folders.sort();
            (folders, false)
        }
        [command, folder, cases @ ..] if command == "prove" => (cases.iter().map(|case| Path::new(folder).join(case)).collect(), true),
        _ => panic!("usage: cases run <folder> | cases prove <folder> <case>… | cases operators"),
    };
    let show = |folder: &PathBuf| {
        let start = Instant::now();
        let mut result = catch_unwind(|| run(folder, proven)).unwrap_or_else(|_| json!({ "fault": "it panics" }));
        result["case"] = json!(folder.file_name().unwrap().to_string_lossy());
        result["seconds"] = json!(start.elapsed().as_secs_f64());
        println!("{result}");
    };
    // A proof is made on all cores itself.
    if proven { folders.iter().for_each(show) } else { folders.par_iter().with_max_len(1).for_each(show) }
}
