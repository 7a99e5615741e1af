//! Cuts of random acyclic graphs: slices compose to the whole, cost what their circuits cost, and are chosen the same every time.

use crate::network;
use crate::network::{Random, bindings, inputs};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use zkslice_graph::{Affine, BoundGraph, Graph, GraphError, Node, Op, Port, Relu, Requant, Tensor, build_circuit, execute};
use zkslice_slicer::{InputMode, PackageError, SliceModel, Strategy, TensorKind, partition, rows, slice};

fn run(cases: u32, test: impl Fn(u64) -> Result<(), TestCaseError>) {
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    runner.run(&(1_u64..u64::MAX), test).unwrap();
}

/// Values of all wiring tensors, slice by slice.
fn compose(model: &SliceModel, inputs: &[Vec<i64>]) -> Vec<Option<Vec<i64>>> {
    let mut known: Vec<Option<Vec<i64>>> = vec![None; model.wiring.tensors.len()];
    inputs.iter().enumerate().for_each(|(i, values)| known[i] = Some(values.clone()));
    for slice in &model.slices {
        let read: Vec<Vec<i64>> = slice.reads.iter().map(|t| known[*t].clone().unwrap()).collect();
        let values = execute(&slice.graph, &read).unwrap();
        for (t, port) in slice.writes.iter().zip(&slice.graph.outputs) {
            assert!(known[*t].replace(values[port.tensor].clone()).is_none(), "written twice");
        }
    }
    known
}

/// Any possible cut through any graph, skip connections and all: what the slices compute one after another is what the graph
/// computes.
#[test]
fn any_cut_composes_to_the_whole() {
    let composed = std::cell::Cell::new(0);
    run(400, |seed| {
        let mut random = Random(seed);
        let graph = network::network(&mut random);
        let integers = inputs(&mut random, &graph);
        let Ok(whole) = execute(&graph, &integers) else { return Ok(()) };
        let cuts: Vec<usize> = (1..graph.nodes.len()).filter(|_| random.below(3) == 0).collect();
        let mode = if random.below(2) == 0 { InputMode::Public } else { InputMode::Private };
        let model = match slice(&graph, &cuts, mode) {
            Ok(model) => model,
            Err(error) if is_impossible(&error) => return Ok(()),
            Err(error) => return Err(TestCaseError::fail(error.to_string())),
        };
        prop_assert_eq!(model.slices.len(), cuts.len() + 1);
        let known = compose(&model, &integers);
        for (tensor, values) in model.wiring.tensors.iter().zip(known) {
            prop_assert_eq!(values.as_ref(), Some(&whole[tensor.tensor]), "{}", tensor.name);
        }
        let used = |t: usize| model.slices.iter().filter(|s| s.reads.contains(&t)).count();
        for (t, tensor) in model.wiring.tensors.iter().enumerate() {
            prop_assert!(tensor.kind == TensorKind::Output || used(t) > 0, "nobody reads {}", tensor.name);
        }
        composed.set(composed.get() + 1);
        Ok(())
    });
    assert!(composed.get() > 150, "{}", composed.get());
}

/// The cost model counts what the circuits have, whatever the bindings.
#[test]
fn rows_are_those_of_the_circuits() {
    run(150, |seed| {
        let mut random = Random(seed);
        let graph = network::network(&mut random);
        let (input_bindings, output_bindings) = bindings(&mut random, &graph);
        let shape = BoundGraph { graph: &graph, inputs: &input_bindings, outputs: &output_bindings };
        prop_assert_eq!(rows(shape).total(), build_circuit(shape).unwrap().layout().constraints());
        let cuts: Vec<usize> = (1..graph.nodes.len()).filter(|_| random.below(3) == 0).collect();
        for slice in slice(&graph, &cuts, InputMode::Private).map(|model| model.slices).unwrap_or_default() {
            let circuit = build_circuit(slice.bound()).map_err(|e| TestCaseError::fail(e.to_string()))?;
            prop_assert_eq!(rows(slice.bound()).total(), circuit.layout().constraints());
            prop_assert!(circuit.layout().has_challenge(), "every slice looks up the digits that it reads");
        }
        Ok(())
    });
}

/// Rows of the slices of a cut that is possible and leaves no slice without work.
fn rows_of(graph: &Graph, cuts: &[usize]) -> Option<Vec<usize>> {
    let model = slice(graph, cuts, InputMode::Public).ok()?;
    model.slices.iter().map(|s| Some(rows(s.bound())).filter(|cost| cost.operators > 0).map(|cost| cost.total())).collect()
}

/// Whether a cut is refused for a stated reason: digits of whole bits would let values grow beyond the next port's digits, or a
/// tensor is too wide for a digit.
fn is_impossible(error: &GraphError) -> bool {
    let error = error.to_string();
    error.contains("do not fit its digits") || error.contains("too wide to cross")
}

/// The chosen cut is the same every time, and no other cut into as many slices has a smaller largest one.
#[test]
fn partitions_are_deterministic_and_balanced() {
    run(30, |seed| {
        let graph = network::network(&mut Random(seed));
        let last = graph.nodes.len();
        for wanted in 1..=3 {
            let chosen = match partition(&graph, Strategy::Slices(wanted), InputMode::Public) {
                Ok(chosen) => chosen,
                Err(PackageError::Slices { wanted: asked, possible }) => {
                    prop_assert!(asked == wanted && possible < wanted);
                    continue;
                }
                Err(error) => return Err(TestCaseError::fail(error.to_string())),
            };
            prop_assert_eq!(&chosen, &partition(&graph, Strategy::Slices(wanted), InputMode::Public).unwrap());
            if wanted > 1 {
                prop_assert_eq!(Some(chosen.rows.clone()), rows_of(&graph, &chosen.cuts));
            }
            prop_assert_eq!(chosen.rows.len(), wanted);
            let largest = *chosen.rows.iter().max().unwrap();
            let others: Vec<Vec<usize>> = match wanted {
                2 => (1..last).map(|a| vec![a]).collect(),
                3 => (1..last).flat_map(|a| (a + 1..last).map(move |b| vec![a, b])).collect(),
                _ => vec![],
            };
            for cuts in others {
                let other = rows_of(&graph, &cuts).and_then(|rows| rows.into_iter().max());
                prop_assert!(other.is_none_or(|other| other >= largest), "{cuts:?} beats {:?}", chosen.cuts);
            }
            let limited = partition(&graph, Strategy::MaxConstraints(largest), InputMode::Public).unwrap();
            prop_assert!(limited.rows.len() <= wanted && limited.rows.iter().all(|rows| *rows <= largest));
        }
        let refused = partition(&graph, Strategy::MaxConstraints(10), InputMode::Public);
        prop_assert!(matches!(refused, Err(PackageError::TooLarge { limit: 10, .. })), "{refused:?}");
        Ok(())
    });
}

/// A model output that later nodes read is no boundary: cuts go elsewhere.
#[test]
fn outputs_that_are_read_on_are_not_cut_through() {
    let tensor = |name: &str| Tensor { name: name.into(), shape: vec![1, 4] };
    let node = |name: &str, op, input, output| Node { name: name.into(), op, inputs: vec![input], output };
    let scaled = || Op::Affine(Affine { axis: 0, coefficients: vec![vec![3]], bias: vec![1] });
    let graph = Graph {
        table_bits: 6,
        tensors: ["x", "a", "early", "b", "c", "d", "late"].map(tensor).to_vec(),
        nodes: vec![
            node("a", scaled(), 0, 1),
            node("early", Op::Relu(Relu { shift: 6 }), 1, 2),
            node("b", scaled(), 2, 3),
            node("c", Op::Relu(Relu { shift: 6 }), 3, 4),
            node("d", scaled(), 4, 5),
            node("late", Op::Requant(Requant { shift: 6 }), 5, 6),
        ],
        inputs: vec![Port { tensor: 0, encoding: network::encoding(-32, 31) }],
        outputs: vec![Port { tensor: 2, encoding: network::encoding(0, 63) }, Port { tensor: 6, encoding: network::encoding(-32, 31) }],
    };
    graph.validate().unwrap();
    let chosen = partition(&graph, Strategy::Slices(2), InputMode::Public).unwrap();
    assert!(chosen.cuts[0] > 2, "{chosen:?}");
    let model = slice(&graph, &chosen.cuts, InputMode::Public).unwrap();
    let known = compose(&model, &[vec![1, 2, 3, 4]]);
    assert!(known.iter().all(Option::is_some));
    let error = slice(&graph, &[2], InputMode::Public).unwrap_err().to_string();
    assert!(error.contains("output"), "{error}");
}

/// A node that nobody reads makes no slice: one that writes nothing proves nothing.
#[test]
fn a_dead_node_is_no_slice() {
    let tensor = |name: &str| Tensor { name: name.into(), shape: vec![1, 4] };
    for (dead, alive) in [(1, 2), (2, 1)] {
        let node = |output| Node { name: format!("n{output}"), op: Op::Relu(Relu { shift: 6 }), inputs: vec![0], output };
        let graph = Graph {
            table_bits: 6,
            tensors: ["x", "a", "b"].map(tensor).to_vec(),
            nodes: vec![node(1), node(2)],
            inputs: vec![Port { tensor: 0, encoding: network::encoding(-32, 31) }],
            outputs: vec![Port { tensor: alive, encoding: network::encoding(0, 63) }],
        };
        graph.validate().unwrap();
        let refused = partition(&graph, Strategy::Slices(2), InputMode::Public);
        assert!(matches!(refused, Err(PackageError::Slices { wanted: 2, possible: 1 })), "{dead} dead: {refused:?}");
    }
}
