//! The executor against the definition by taps, what is refused, and graph files with damage.

use crate::network::{Random, network};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use zkslice_circuit::gadgets::requant;
use zkslice_graph::{
    Affine, Conv, Dense, Encoding, Graph, MaxPool, Node, Op, Port, Relu, Requant, Scale, SumPool, Tensor, VERSION, Window, execute,
};

/// A window at random; `pooled`: one that holds an element of the input wherever it stands.
fn any_window(random: &mut Random, input: [usize; 3], pooled: bool) -> Window {
    let mut window = Window { input, output: [0; 2], kernel: [1; 2], strides: [1; 2], dilations: [1; 2], pads: [0; 2] };
    for axis in 0..2 {
        window.kernel[axis] = 1 + random.below(input[axis + 1].min(3));
        window.strides[axis] = 1 + random.below(2);
        if window.kernel[axis] * 2 - 1 <= input[axis + 1] {
            window.dilations[axis] = 1 + random.below(2);
        }
        let most = if pooled { 1 + window.kernel[axis] / 2 } else { 3 };
        window.pads[axis] = random.below(most).min(window.kernel[axis] - usize::from(pooled));
        if pooled && window.dilations[axis] > 1 {
            window.pads[axis] = 0;
        }
        let extent = (window.kernel[axis] - 1) * window.dilations[axis] + 1;
        window.output[axis] = (input[axis + 1] + window.pads[axis] - extent) / window.strides[axis] + 1;
    }
    window
}

fn run(cases: u32, test: impl Fn(u64) -> Result<(), TestCaseError>) {
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    runner.run(&(1_u64..u64::MAX), test).unwrap();
}

fn single(op: Op, shapes: &[Vec<usize>], output: Vec<usize>) -> Graph {
    let mut tensors: Vec<Tensor> = shapes.iter().map(|shape| Tensor { name: "x".into(), shape: shape.clone() }).collect();
    let encoding = Encoding::uniform(9, 256, Scale { mantissa: 1 });
    let inputs: Vec<Port> = (0..shapes.len()).map(|tensor| Port { tensor, encoding: encoding.clone() }).collect();
    let made = tensors.len();
    tensors.push(Tensor { name: "a".into(), shape: output.clone() });
    tensors.push(Tensor { name: "y".into(), shape: output });
    let nodes = vec![
        Node { name: "op".into(), op, inputs: (0..made).collect(), output: made },
        Node { name: "out".into(), op: Op::Requant(Requant { shift: 12 }), inputs: vec![made], output: made + 1 },
    ];
    let outputs = vec![Port { tensor: made + 1, encoding: Encoding::uniform(12, 2048, Scale { mantissa: 1 }) }];
    Graph { table_bits: 12, tensors, nodes, inputs, outputs, functions: Vec::new() }
}

/// Conv and SumPool as loops over [`Window::taps`], the definition that circuits are made from.
#[test]
fn windows_agree_with_their_taps() {
    run(500, |seed| {
        let mut random = Random(seed);
        let input = [2 * (1 + random.below(2)), 1 + random.below(7), 1 + random.below(7)];
        let integers = |random: &mut Random, count: usize, size: usize| -> Vec<i64> {
            (0..count).map(|_| random.below(2 * size) as i64 - size as i64).collect()
        };
        let window = any_window(&mut random, input, false);
        let [oh, ow] = window.output;
        let groups = 1 + random.below(2);
        let (out, per_group) = (2 * groups, input[0] / groups);
        let taps = window.kernel[0] * window.kernel[1];
        let weights = integers(&mut random, out * per_group * taps, 100);
        let bias = integers(&mut random, out, 1000);
        let x = integers(&mut random, input.iter().product(), 256);
        let conv = Conv { window: window.clone(), groups, weights: weights.clone(), bias: bias.clone() };
        let graph = single(Op::Conv(conv), &[vec![1, input[0], input[1], input[2]]], vec![1, out, oh, ow]);
        graph.validate().unwrap();
        let values = execute(&graph, std::slice::from_ref(&x)).unwrap();
        let plane = input[1] * input[2];
        for o in 0..out {
            for (y, z) in (0..oh).flat_map(|y| (0..ow).map(move |z| (y, z))) {
                let mut sum = bias[o];
                for c in 0..per_group {
                    for (i, j, row, column) in window.taps(y, z) {
                        let source = o / (out / groups) * per_group + c;
                        sum += weights[(o * per_group + c) * taps + i * window.kernel[1] + j] * x[source * plane + row * input[2] + column];
                    }
                }
                prop_assert_eq!(values[1][(o * oh + y) * ow + z], sum);
                prop_assert_eq!(values[2][(o * oh + y) * ow + z], requant(sum, 12));
            }
        }
        let window = any_window(&mut random, input, true);
        let [oh, ow] = window.output;
        let multipliers = integers(&mut random, oh * ow, 9);
        let pool = SumPool { window: window.clone(), multipliers: multipliers.clone() };
        let graph = single(Op::SumPool(pool), &[vec![1, input[0], input[1], input[2]]], vec![1, input[0], oh, ow]);
        graph.validate().unwrap();
        let values = execute(&graph, std::slice::from_ref(&x)).unwrap();
        for c in 0..input[0] {
            for (y, z) in (0..oh).flat_map(|y| (0..ow).map(move |z| (y, z))) {
                let sum: i64 = window.taps(y, z).map(|(_, _, row, column)| x[c * plane + row * input[2] + column]).sum();
                prop_assert_eq!(values[1][(c * oh + y) * ow + z], sum * multipliers[y * ow + z]);
            }
        }
        Ok(())
    });
}

#[test]
fn affine_and_dense_are_what_they_say() {
    let affine = Affine { axis: 1, coefficients: vec![vec![2, 3], vec![-1]], bias: vec![10, 20] };
    let graph = single(Op::Affine(affine), &[vec![1, 2, 2], vec![1, 2, 2]], vec![1, 2, 2]);
    graph.validate().unwrap();
    assert_eq!(execute(&graph, &[vec![1, 2, 3, 4], vec![5, 6, 7, 8]]).unwrap()[2], [7, 8, 22, 24]);
    let dense = Dense { rows: 2, k: 3, n: 2, weights: vec![1, 2, 3, 4, 5, 6], bias: vec![1, -1] };
    let graph = single(Op::Dense(dense), &[vec![2, 3]], vec![2, 2]);
    graph.validate().unwrap();
    assert_eq!(execute(&graph, &[vec![1, 0, -1, 2, 2, 2]]).unwrap()[1], [-1, -3, 13, 29]);
}

/// Edges of what each operator accepts: the last value inside is accepted, the first outside refused.
#[test]
fn refusals_are_exact() {
    let through = |op: Op, factor: i64, bias: i64, x: i64| -> bool {
        let affine = Affine { axis: 0, coefficients: vec![vec![factor]], bias: vec![bias] };
        let mut graph = single(Op::Affine(affine), &[vec![1]], vec![1]);
        graph.nodes.insert(1, Node { name: "checked".into(), op, inputs: vec![1], output: 3 });
        graph.tensors.push(Tensor { name: "checked".into(), shape: vec![1] });
        graph.validate().unwrap();
        // The requantisation after it is not what is tested: keep its input small.
        graph.nodes.pop();
        graph.outputs.clear();
        execute(&graph, &[vec![x]]).is_ok()
    };
    let table = 1_i64 << 12;
    let half = table / 2;
    for (value, accepted) in [
        (half * table - table / 2 - 1, true),
        (half * table - table / 2, false),
        (-half * table - table / 2, true),
        (-half * table - table / 2 - 1, false),
    ] {
        assert_eq!(through(Op::Requant(Requant { shift: 12 }), 0, value, 0), accepted, "requant {value}");
    }
    for (value, accepted) in [
        (table * table - table / 2 - 1, true),
        (table * table - table / 2, false),
        (table / 2 - table * table, true),
        (table / 2 - table * table - 1, false),
    ] {
        assert_eq!(through(Op::Relu(Relu { shift: 12 }), 0, value, 0), accepted, "relu {value}");
    }
    for (value, accepted) in [(table - 1, true), (table, false), (1 - table, true), (-table, false)] {
        assert_eq!(through(Op::Relu(Relu { shift: 0 }), 0, value, 0), accepted, "relu without shift {value}");
    }
    let window = Window { input: [1, 1, 2], output: [1, 1], kernel: [1, 2], strides: [1, 1], dilations: [1, 1], pads: [0, 0] };
    for (limbs, limit) in [(1, table), (2, table * table)] {
        for (difference, accepted) in [(limit - 1, true), (limit, false)] {
            let affine = Affine { axis: 2, coefficients: vec![vec![0]], bias: vec![-5, difference - 5] };
            let mut graph = single(Op::Affine(affine), &[vec![1, 1, 2]], vec![1, 1, 2]);
            graph.nodes[1] =
                Node { name: "max".into(), op: Op::MaxPool(MaxPool { window: window.clone(), limbs }), inputs: vec![1], output: 2 };
            graph.tensors[2].shape = vec![1, 1, 1];
            graph.outputs.clear();
            assert_eq!(execute(&graph, &[vec![0, 0]]).is_ok(), accepted, "max {limbs} {difference}");
        }
    }
}

#[test]
fn accumulators_that_could_overflow_are_refused() {
    let graph = |weight: i64| {
        single(
            Op::Dense(Dense { rows: 1, k: 2, n: 1, weights: vec![weight, weight.wrapping_neg()], bias: vec![0] }),
            &[vec![1, 2]],
            vec![1, 1],
        )
    };
    assert!(graph((1 << 53) - 1).validate().is_ok());
    assert!(graph(1 << 53).validate().is_err());
    assert!(graph(i64::MIN).validate().is_err());
}

#[test]
fn graph_files_are_checked_completely() {
    let mut random = Random(99);
    let graph = network(&mut random);
    let bytes = graph.to_bytes().unwrap();
    let text = |bytes: &[u8]| Graph::from_bytes(bytes).unwrap_err().to_string();
    assert!(text(b"").contains("not a zkslice graph file"));
    let mut newer = bytes.clone();
    newer[8] = VERSION as u8 + 1;
    assert!(text(&newer).contains(&format!("format version {}", VERSION + 1)));
    assert!(text(&bytes[..bytes.len() - 1]).contains("damaged"));
    let mut longer = bytes.clone();
    longer.push(0);
    assert!(text(&longer).contains("too many"));
    let mut accepted = 0;
    for _ in 0..4000 {
        let mut damaged = bytes.clone();
        for _ in 0..=random.below(2) {
            let position = 12 + random.below(damaged.len() - 12);
            damaged[position] = random.below(256) as u8;
        }
        if let Ok(graph) = Graph::from_bytes(&damaged)
            && graph.tensors.iter().map(Tensor::len).sum::<usize>() < 100_000
        {
            accepted += 1;
            let zeros: Vec<Vec<i64>> = graph.inputs.iter().map(|port| vec![0; graph.tensors[port.tensor].len()]).collect();
            let _ = execute(&graph, &zeros);
        }
    }
    assert!(accepted > 100, "{accepted}");
}

/// What is written is read again byte for byte, whatever the scale.
#[test]
fn graph_files_are_read_and_written_again() {
    let corpus = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/corpus/graph");
    for name in ["mlp", "residual", "two_outputs"] {
        let bytes = std::fs::read(corpus.join(name)).unwrap();
        let graph = Graph::from_bytes(&bytes).unwrap();
        assert_eq!(graph.to_bytes().unwrap(), bytes, "{name}");
        for mantissa in [1, u64::MAX.into(), 1 << 64, u128::MAX] {
            let mut scaled = graph.clone();
            scaled.outputs[0].encoding.features[0].scale.mantissa = mantissa;
            assert_eq!(Graph::from_bytes(&scaled.to_bytes().unwrap()).unwrap(), scaled);
        }
    }
}
