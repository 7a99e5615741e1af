//! Graphs and circuits of the committed models, byte for byte. A difference here is another package, other keys and another model
//! digest for everyone who compiles the same model: CHANGELOG.md says why.

use std::fmt::Write;

use ark_ff::{BigInteger, PrimeField};
use zkslice_formats::keccak;
use zkslice_graph::build_circuit;
use zkslice_slicer::{InputMode, Strategy, partition, slice};

use crate::common::graph;

const MODELS: [&str; 5] = ["mlp_digits", "mlp_784", "lenet5_avg", "lenet5_max", "cnn_3x32"];

/// Digests of all of them.
pub(crate) fn digests() -> String {
    MODELS.map(of_model).concat()
}

/// The graph's bytes and every circuit's matrices, hashed.
fn of_model(name: &str) -> String {
    let graph = graph(name);
    let mut lines = format!("{name}: graph {}\n", hex::encode(keccak(&graph.to_bytes().unwrap())));
    for (mode, count) in [(InputMode::Public, 1), (InputMode::Private, 2)] {
        let cuts = partition(&graph, Strategy::Slices(count), mode).unwrap().cuts;
        for (k, part) in slice(&graph, &cuts, mode).unwrap().slices.iter().enumerate() {
            let circuit = build_circuit(part.bound()).unwrap();
            let mut bytes = Vec::new();
            circuit.visit(|row, matrix, wire, coefficient| {
                bytes.extend((row as u64).to_le_bytes());
                bytes.push(matrix as u8);
                bytes.extend((wire as u64).to_le_bytes());
                bytes.extend(coefficient.into_bigint().to_bytes_le());
            });
            let rows = circuit.layout().rows();
            writeln!(lines, "{name}: {mode:?}, slice {k} of {count}: {rows} rows {}", hex::encode(keccak(&bytes))).unwrap();
        }
    }
    lines
}
