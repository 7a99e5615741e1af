//! Cuts of random acyclic graphs: slices compose to the whole, cost what their circuits cost, and are chosen the same every time.

use std::collections::HashSet;

use crate::network;
use crate::network::{Random, bindings, inputs};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use zkslice_graph::{
    Affine, BoundGraph, Constant, Conv, Dense, Function, Graph, GraphError, MaxPool, Maximum, Node, Op, Port, Product, Relu, Requant,
    Reshape, Table, Tensor, Window, build_circuit, execute,
};
use zkslice_slicer::{InputMode, PackageError, SliceModel, Strategy, TensorKind, fit, partition, rows, slice};

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
    let operators = std::cell::RefCell::new(HashSet::new());
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
        if cuts.len() > 1 {
            operators.borrow_mut().extend(graph.nodes.iter().map(|node| std::mem::discriminant(&node.op)));
        }
        Ok(())
    });
    assert!(composed.get() > 150, "{}", composed.get());
    assert_eq!(operators.borrow().len(), 22, "each operator in graphs of several slices");
}

/// The cost model counts what the circuits have, whatever the bindings.
#[test]
fn rows_are_those_of_the_circuits() {
    let with_functions = std::cell::Cell::new(0);
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
            with_functions.set(with_functions.get() + usize::from(slice.graph.nodes.iter().any(|node| matches!(node.op, Op::Table(_)))));
        }
        Ok(())
    });
    assert!(with_functions.get() > 20, "{} slices with functions", with_functions.get());
}

/// Rows of the slices of a cut that is possible and leaves no slice without work.
fn rows_of(graph: &Graph, cuts: &[usize]) -> Option<Vec<usize>> {
    let model = slice(graph, cuts, InputMode::Public).ok()?;
    model.slices.iter().map(|s| Some(rows(s.bound())).filter(|cost| cost.operators > 0).map(|cost| cost.total())).collect()
}

/// Whether a cut is refused for a stated reason: digits of whole bits would let values grow beyond the next port's digits, or a
/// tensor is too wide for a digit, or for the stride of a function; or a slice would have constants alone.
fn is_impossible(error: &GraphError) -> bool {
    let error = error.to_string();
    let reasons = ["do not fit its digits", "too wide to cross", "is too small for arguments", "at least one input"];
    reasons.iter().any(|reason| error.contains(reason))
}

/// The chosen cut is the same every time, and no other cut into as many slices has a smaller largest one.
#[test]
fn partitions_are_deterministic_and_balanced() {
    let chosen_cuts = std::cell::Cell::new(0);
    run(60, |seed| {
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
                chosen_cuts.set(chosen_cuts.get() + 1);
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
    assert!(chosen_cuts.get() > 20, "{}", chosen_cuts.get());
}

/// A slice has the table of each function that its nodes look up, once, however many they are; and none of the others.
#[test]
fn functions_are_counted_once_for_each_slice_that_uses_them() {
    const W: u32 = 5;
    let sizes = [40, 20, 30];
    let functions: Vec<Function> =
        sizes.iter().map(|&size| Function { first: -8, values: (0..size).map(|i| i * 5 % 16 - 8).collect(), stride: 100 + size }).collect();
    // The third is looked up by no node.
    let uses = [0, 0, 1, 0, 1, 1];
    let tensor = |i: usize| Tensor { name: format!("t{i}"), shape: vec![1, 3] };
    let node = |(i, &function): (usize, &usize)| Node {
        name: format!("n{i}"),
        op: Op::Table(Table { function, shift: 0 }),
        inputs: vec![i],
        output: i + 1,
    };
    let graph = Graph {
        table_bits: W,
        tensors: (0..=uses.len()).map(tensor).collect(),
        nodes: uses.iter().enumerate().map(node).collect(),
        inputs: vec![Port { tensor: 0, encoding: network::encoding(-8, 7) }],
        outputs: vec![Port { tensor: uses.len(), encoding: network::encoding(-8, 7) }],
        functions,
    };
    let mut seen = 0;
    for cuts in (0..1_usize << (uses.len() - 1)).map(|mask| (1..uses.len()).filter(|at| mask >> (at - 1) & 1 == 1).collect::<Vec<_>>()) {
        let model = slice(&graph, &cuts, InputMode::Private).unwrap();
        let bounds = [&[0], &cuts[..], &[uses.len()]].concat();
        for (slice, range) in model.slices.iter().zip(bounds.windows(2)) {
            let used = |function: &usize| uses[range[0]..range[1]].contains(function);
            let tables: Vec<usize> = (0..3).filter(used).map(|function| sizes[function] as usize).collect();
            let (cost, circuit) = (rows(slice.bound()), build_circuit(slice.bound()).unwrap());
            assert_eq!(cost.total(), circuit.layout().constraints());
            assert_eq!(cost.tables, (1 << W) + 1 + tables.iter().map(|size| size + 1).sum::<usize>(), "{range:?}");
            let others = circuit.layout().tables.iter().map(|table| table.entries).filter(|entries| *entries != 1 << W);
            let mut others: Vec<usize> = others.collect();
            others.sort_unstable_by(|a, b| b.cmp(a));
            assert_eq!(others, tables, "{range:?}");
            assert_eq!(cost.operators, 6 * (range[1] - range[0]), "two rows for each of three elements");
            seen += 1;
        }
        let x = vec![-8, 0, 7];
        let whole = execute(&graph, std::slice::from_ref(&x)).unwrap();
        let known = compose(&model, &[x]);
        assert!(model.wiring.tensors.iter().zip(known).all(|(tensor, values)| values.as_ref() == Some(&whole[tensor.tensor])));
    }
    assert_eq!(seen, 112);
    // The chooser counts as they do.
    for wanted in 1..=uses.len() {
        let chosen = partition(&graph, Strategy::Slices(wanted), InputMode::Public).unwrap();
        let model = slice(&graph, &chosen.cuts, InputMode::Public).unwrap();
        let built: Vec<usize> = model.slices.iter().map(|slice| build_circuit(slice.bound()).unwrap().layout().constraints()).collect();
        assert_eq!(chosen.rows, built);
    }
    // Two functions with one table would cost less than they count: no graph has them.
    let mut twice = graph.clone();
    twice.functions[2] = twice.functions[1].clone();
    assert!(slice(&twice, &[], InputMode::Public).unwrap_err().to_string().contains("function 2: its table is that of function 1"));
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
        functions: Vec::new(),
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
            functions: Vec::new(),
        };
        graph.validate().unwrap();
        let refused = partition(&graph, Strategy::Slices(2), InputMode::Public);
        assert!(matches!(refused, Err(PackageError::Slices { wanted: 2, possible: 1 })), "{dead} dead: {refused:?}");
    }
}

/// Integers that no input decides cost nothing wherever they stand: each slice that reads them has them, and they cross no border.
#[test]
fn constants_are_in_each_slice_that_reads_them() {
    let tensor = |name: &str| Tensor { name: name.into(), shape: vec![1, 4] };
    let node = |name: &str, op, inputs: &[usize], output| Node { name: name.into(), op, inputs: inputs.to_vec(), output };
    let constant = |values: &[i64]| Op::Constant(Constant { values: values.to_vec() });
    let maximum = || Op::Maximum(Maximum { limbs: 1 });
    let graph = Graph {
        table_bits: 6,
        tensors: ["x", "k", "a", "b", "unread", "c", "fixed"].map(tensor).to_vec(),
        nodes: vec![
            node("k", constant(&[3, 40, 5, 60]), &[], 1),
            node("a", maximum(), &[0, 1], 2),
            node("unread", constant(&[9]), &[], 4),
            node("fixed", constant(&[7]), &[], 6),
            node("b", maximum(), &[2, 6], 3),
            node("c", maximum(), &[3, 1], 5),
        ],
        inputs: vec![Port { tensor: 0, encoding: network::encoding(0, 63) }],
        outputs: vec![Port { tensor: 5, encoding: network::encoding(0, 63) }, Port { tensor: 6, encoding: network::encoding(0, 7) }],
        functions: Vec::new(),
    };
    let x = vec![0, 63, 4, 59];
    let whole = execute(&graph, std::slice::from_ref(&x)).unwrap();
    for wanted in 1..=3 {
        let cuts = partition(&graph, Strategy::Slices(wanted), InputMode::Public).unwrap();
        let model = slice(&graph, &cuts.cuts, InputMode::Public).unwrap();
        let kinds: Vec<TensorKind> = model.wiring.tensors.iter().map(|tensor| tensor.kind).collect();
        let mut expected = vec![TensorKind::PublicInput, TensorKind::Output, TensorKind::Output];
        expected.extend(vec![TensorKind::Boundary; wanted - 1]);
        assert_eq!(kinds, expected);
        let built: Vec<usize> = model.slices.iter().map(|s| build_circuit(s.bound()).unwrap().layout().constraints()).collect();
        assert_eq!(cuts.rows, built);
        let known = compose(&model, std::slice::from_ref(&x));
        assert!(model.wiring.tensors.iter().zip(known).all(|(tensor, values)| values.as_ref() == Some(&whole[tensor.tensor])));
        let reads = |slice: &zkslice_slicer::Slice| slice.graph.nodes.iter().any(|node| node.name == "k");
        assert_eq!(model.slices.iter().filter(|s| reads(s)).count(), wanted.min(2), "the first slice and the last read it");
    }
}

/// A product is as wide as its factors together, and its digits cost as much: cuts go where it is narrow again.
#[test]
fn cuts_go_around_wide_products() {
    let tensor = |name: &str| Tensor { name: name.into(), shape: vec![1, 8] };
    let node = |name: &str, op, inputs: &[usize], output| Node { name: name.into(), op, inputs: inputs.to_vec(), output };
    let mut nodes = Vec::new();
    let mut tensors = vec![tensor("x")];
    for layer in 0..4 {
        let at = tensors.len() - 1;
        tensors.extend(["square", "narrow"].map(tensor));
        nodes.push(node(&format!("square {layer}"), Op::Product(Product), &[at, at], at + 1));
        nodes.push(node(&format!("narrow {layer}"), Op::Requant(Requant { shift: 9 }), &[at + 1], at + 2));
    }
    let graph = Graph {
        table_bits: 9,
        inputs: vec![Port { tensor: 0, encoding: network::encoding(-256, 255) }],
        outputs: vec![Port { tensor: tensors.len() - 1, encoding: network::encoding(-256, 255) }],
        tensors,
        nodes,
        functions: Vec::new(),
    };
    let chosen = partition(&graph, Strategy::Slices(2), InputMode::Public).unwrap();
    assert_eq!(chosen.cuts, [4]);
}

/// An unrolled recurrent model has thousands of nodes: of so many places to cut some are tried, and the slices are of one size still.
#[test]
fn graphs_of_many_nodes_are_cut_evenly() {
    const NODES: usize = 6000;
    let graph = Graph {
        table_bits: 6,
        tensors: (0..=NODES).map(|i| Tensor { name: format!("t{i}"), shape: vec![1, 4] }).collect(),
        nodes: (0..NODES)
            .map(|i| Node { name: format!("n{i}"), op: Op::Relu(Relu { shift: 0 }), inputs: vec![i], output: i + 1 })
            .collect(),
        inputs: vec![Port { tensor: 0, encoding: network::encoding(0, 31) }],
        outputs: vec![Port { tensor: NODES, encoding: network::encoding(0, 63) }],
        functions: Vec::new(),
    };
    let chosen = partition(&graph, Strategy::Slices(4), InputMode::Public).unwrap();
    let (least, most) = (chosen.rows.iter().min().unwrap(), chosen.rows.iter().max().unwrap());
    assert!(most - least < most / 20, "{:?}", chosen.rows);
}

/// Two convolutions of eight channels, a max pool between them, and a dense layer.
fn convolutions() -> Graph {
    let random = &mut Random(77);
    let tensor = |name: &str, shape: &[usize]| Tensor { name: name.into(), shape: shape.to_vec() };
    let node = |name: &str, op: Op, input| Node { name: name.into(), op, inputs: vec![input], output: input + 1 };
    let window = |channels, size, output, kernel, stride| Window {
        input: [channels, size, size],
        output: [output; 2],
        kernel: [kernel; 2],
        strides: [stride; 2],
        dilations: [1; 2],
        pads: [kernel / 3; 2],
    };
    let mut conv = |channels: usize, size| {
        let (weights, bias) = (random.integers(8 * channels * 9, 40), random.integers(8, 500));
        Op::Conv(Conv { window: window(channels, size, size, 3, 1), groups: 1, weights, bias })
    };
    let (first, second) = (conv(2, 16), conv(8, 8));
    let dense = Dense { rows: 1, k: 512, n: 4, weights: random.integers(2048, 9), bias: vec![0; 4] };
    Graph {
        table_bits: 8,
        tensors: vec![
            tensor("x", &[1, 2, 16, 16]),
            tensor("conv1", &[1, 8, 16, 16]),
            tensor("relu1", &[1, 8, 16, 16]),
            tensor("pool", &[1, 8, 8, 8]),
            tensor("conv2", &[1, 8, 8, 8]),
            tensor("relu2", &[1, 8, 8, 8]),
            tensor("flat", &[1, 512]),
            tensor("dense", &[1, 4]),
            tensor("y", &[1, 4]),
        ],
        nodes: vec![
            node("conv1", first, 0),
            node("relu1", Op::Relu(Relu { shift: 8 }), 1),
            node("pool", Op::MaxPool(MaxPool { window: window(8, 16, 8, 2, 2), limbs: 1 }), 2),
            node("conv2", second, 3),
            node("relu2", Op::Relu(Relu { shift: 8 }), 4),
            node("flatten", Op::Reshape(Reshape), 5),
            node("dense", Op::Dense(dense), 6),
            node("y", Op::Requant(Requant { shift: 8 }), 7),
        ],
        inputs: vec![Port { tensor: 0, encoding: network::encoding(0, 127) }],
        outputs: vec![Port { tensor: 8, encoding: network::encoding(-128, 127) }],
        functions: Vec::new(),
    }
}

/// Nodes too large for any slice are computed in parts, as few of them as the limit asks for, and what the slices compute is what the
/// graph computes. A graph that can be cut is left as it is.
#[test]
fn limits_below_a_node_are_met_by_parts() {
    let graph = convolutions();
    graph.validate().unwrap();
    let whole = partition(&graph, Strategy::MaxConstraints(usize::MAX), InputMode::Public).unwrap().rows[0];
    let Err(PackageError::TooLarge { smallest, node, .. }) = partition(&graph, Strategy::MaxConstraints(4000), InputMode::Public) else {
        panic!("a slice holds the first activation");
    };
    assert_eq!(node, "relu1");
    for limit in [whole, smallest] {
        let (same, chosen) = fit(&graph, Strategy::MaxConstraints(limit), InputMode::Public).unwrap();
        assert!(std::ptr::eq(&*same, &raw const graph), "{limit}: {chosen:?}");
        assert!(chosen.rows.iter().all(|rows| *rows <= limit));
    }
    let given: Vec<i64> = Random(5).integers(512, 63).into_iter().map(|x| x + 64).collect();
    let executed = execute(&graph, std::slice::from_ref(&given)).unwrap();
    let mut slices = Vec::new();
    for mode in [InputMode::Public, InputMode::Private] {
        for limit in [7000, 6000, 5200] {
            let (parts, chosen) = fit(&graph, Strategy::MaxConstraints(limit), mode).unwrap();
            assert_eq!(fit(&graph, Strategy::MaxConstraints(limit), mode).unwrap().1, chosen, "the same every time");
            let model = slice(&parts, &chosen.cuts, mode).unwrap();
            let built: Vec<usize> = model.slices.iter().map(|s| build_circuit(s.bound()).unwrap().layout().constraints()).collect();
            assert_eq!(built, chosen.rows);
            assert!(built.iter().all(|rows| *rows <= limit), "{limit}: {built:?}");
            let known = compose(&model, std::slice::from_ref(&given));
            assert_eq!(known[1].as_ref(), Some(&executed[8]), "{limit}");
            slices.push(built.len());
        }
    }
    assert!(slices[0] > 1 && slices[..3].is_sorted() && slices[3..].is_sorted(), "{slices:?}");
}

/// What stands in the way of a limit is named, with a limit that does.
#[test]
fn limits_that_no_parts_meet_say_what_would_do() {
    let graph = convolutions();
    let Err(PackageError::TooLarge { limit: 600, smallest, node }) = fit(&graph, Strategy::MaxConstraints(600), InputMode::Public) else {
        panic!("a slice reads the input with less");
    };
    assert!(node.starts_with("relu1"), "{node}");
    let (_, chosen) = fit(&graph, Strategy::MaxConstraints(smallest), InputMode::Public).unwrap();
    assert!(chosen.rows.iter().all(|rows| *rows <= smallest));
    let refused = fit(&graph, Strategy::MaxConstraints(smallest * 97 / 100), InputMode::Public).map(|(_, chosen)| chosen);
    assert!(matches!(refused, Err(PackageError::TooLarge { .. })), "{smallest}: {refused:?}");
}
