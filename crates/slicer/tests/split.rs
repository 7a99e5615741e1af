//! Nodes in parts.

use std::collections::HashSet;

use crate::network::{Random, inputs, network};
use zkslice_graph::{Binding, BoundGraph, Encoding, Graph, Node, Op, Port, Product, Requant, Scale, Tensor, execute};
use zkslice_slicer::{Split, split};

fn rows(graph: &Graph) -> usize {
    let bindings = |ports: &[Port]| vec![Binding::Words; ports.len()];
    zkslice_slicer::rows(BoundGraph { graph, inputs: &bindings(&graph.inputs), outputs: &bindings(&graph.outputs) }).operators
}

/// Any node of any graph in parts along any axis: the same values and refusals, the same rows, no wider intervals.
#[test]
fn parts_keep_the_function() {
    let mut found = HashSet::new();
    let (mut refused, mut compared) = (0, 0);
    for seed in 1..=250_u64 {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let graph = network(&mut random);
        let intervals = graph.intervals().unwrap();
        for (position, node) in graph.nodes.iter().enumerate() {
            let shape = &graph.tensors[node.output].shape;
            for axis in (0..shape.len()).filter(|axis| shape[*axis] > 1) {
                let parts = 2 + random.below(shape[axis] - 1);
                let Some(Split { graph: split, join }) = split(&graph, &intervals, position, axis, parts) else { continue };
                assert_eq!(rows(&split), rows(&graph), "{node:?} of {graph:?}");
                assert_eq!(split.nodes[join].inputs.len(), parts);
                // What is left of the graph is known by its name; one-hots share theirs.
                let names: HashSet<&str> = split.tensors.iter().map(|tensor| tensor.name.as_str()).collect();
                assert!(graph.outputs.iter().all(|port| names.contains(graph.tensors[port.tensor].name.as_str())));
                let others = split.intervals().unwrap();
                for (tensor, other) in split.tensors.iter().zip(&others) {
                    let own: Vec<usize> = (0..intervals.len()).filter(|id| graph.tensors[*id].name == tensor.name).collect();
                    if let [id] = own[..] {
                        let whole = intervals[id];
                        assert!(whole.min <= other.min && whole.max >= other.max, "{}: {other:?} in {graph:?}", tensor.name);
                    }
                }
                for _ in 0..3 {
                    let given = inputs(&mut random, &graph);
                    match (execute(&graph, &given), execute(&split, &given)) {
                        (Ok(whole), Ok(parts)) => {
                            for (port, other) in graph.outputs.iter().zip(&split.outputs) {
                                assert_eq!(whole[port.tensor], parts[other.tensor], "{node:?} of {graph:?}");
                            }
                            compared += 1;
                        }
                        (Err(_), Err(_)) => refused += 1,
                        (whole, parts) => unreachable!("{whole:?} as a whole, {parts:?} in parts: {node:?} of {graph:?}"),
                    }
                }
                found.insert(std::mem::discriminant(&node.op));
            }
        }
    }
    assert!(compared > 1000 && refused > 100, "{compared} compared, {refused} refused");
    assert_eq!(found.len(), 21, "every operator but View: {found:?}");
}

/// A product is too wide to cross a border: its own parts stand before those of its requantisation. Where it is read twice it stays.
#[test]
fn wide_values_are_computed_in_parts_too() {
    let tensor = |name: &str| Tensor { name: name.into(), shape: vec![1, 8] };
    let node = |name: &str, op: Op, inputs: &[usize], output| Node { name: name.into(), op, inputs: inputs.to_vec(), output };
    let encoding = |bits: u32| Encoding::uniform(bits, 1 << (bits - 1), Scale { mantissa: 1 });
    let mut graph = Graph {
        table_bits: 20,
        tensors: ["x", "square", "narrow", "again"].map(tensor).to_vec(),
        nodes: vec![
            node("square", Product.into(), &[0, 0], 1),
            node("narrow", Requant { shift: 20 }.into(), &[1], 2),
            node("again", Requant { shift: 20 }.into(), &[2], 3),
        ],
        inputs: vec![Port { tensor: 0, encoding: encoding(20) }],
        outputs: vec![Port { tensor: 3, encoding: encoding(20) }],
        functions: Vec::new(),
    };
    let names = |graph: &Graph| {
        let Split { graph, .. } = split(graph, &graph.intervals().unwrap(), 1, 1, 2)?;
        Some(graph.nodes.iter().map(|node| node.name.clone()).collect::<Vec<_>>())
    };
    let expected = ["x/part0", "x/part1", "square/part0", "narrow/part0", "square/part1", "narrow/part1", "narrow", "again"];
    assert_eq!(names(&graph).unwrap(), expected);
    graph.nodes[2].inputs[0] = 1;
    graph.outputs.push(Port { tensor: 2, encoding: encoding(20) });
    let expected = ["square", "square/part0", "square/part1", "narrow/part0", "narrow/part1", "narrow", "again"];
    assert_eq!(names(&graph).unwrap(), expected);
}
