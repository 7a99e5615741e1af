//! Random graphs: the integer graph against the float executor, the executor against the definition by taps, and
//! graph files with damage.
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use zkslice_compiler::{FloatGraph, FloatNode, FloatOp, InputRange, Options, Value, compile_float};
use zkslice_graph::{
    Affine, Conv, Dense, Encoding, Graph, Input, MaxPool, Node, Op, Port, Relu, Requant, Samples, Scale, SumPool, Tensor, Window,
    decode_outputs, encode, execute,
};

/// A small generator, so that one seed makes one graph.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 20) as usize % n
    }

    fn real(&mut self) -> f64 {
        self.below(20_001) as f64 / 10_000.0 - 1.0
    }

    fn reals(&mut self, count: usize, size: f64) -> Vec<f64> {
        (0..count).map(|_| self.real() * size).collect()
    }

    fn window(&mut self, input: [usize; 3], pooled: bool) -> Window {
        let mut window = Window { input, output: [0; 2], kernel: [1; 2], strides: [1; 2], dilations: [1; 2], pads: [0; 2] };
        for axis in 0..2 {
            window.kernel[axis] = 1 + self.below(input[axis + 1].min(3));
            window.strides[axis] = 1 + self.below(2);
            if window.kernel[axis] * 2 - 1 <= input[axis + 1] {
                window.dilations[axis] = 1 + self.below(2);
            }
            let most = if pooled { 1 + window.kernel[axis] / 2 } else { 3 };
            window.pads[axis] = self.below(most).min(window.kernel[axis] - usize::from(pooled));
            if pooled && window.dilations[axis] > 1 {
                window.pads[axis] = 0;
            }
            let extent = (window.kernel[axis] - 1) * window.dilations[axis] + 1;
            window.output[axis] = (input[axis + 1] + window.pads[axis] - extent) / window.strides[axis] + 1;
        }
        window
    }
}

/// A random network over NCHW values, with branches joined by addition or concatenation.
fn network(random: &mut Random) -> FloatGraph {
    let mut graph = FloatGraph { values: Vec::new(), nodes: Vec::new(), inputs: vec![0], outputs: Vec::new() };
    let mut shape = [1 + random.below(3), 3 + random.below(5), 3 + random.below(5)];
    graph.values.push(Value { name: "x".into(), shape: vec![1, shape[0], shape[1], shape[2]] });
    let mut at = 0;
    let mut same: Vec<(usize, [usize; 3])> = vec![(0, shape)];
    for _ in 0..3 + random.below(7) {
        let [channels, height, width] = shape;
        let mut inputs = vec![at];
        let op = match random.below(10) {
            0..=2 => {
                let groups = if channels % 2 == 0 && random.below(3) == 0 { 2 } else { 1 };
                let window = random.window(shape, false);
                let out = groups * (1 + random.below(3));
                let row = channels / groups * window.kernel[0] * window.kernel[1];
                shape = [out, window.output[0], window.output[1]];
                let size = 1.5 / (row as f64).sqrt();
                FloatOp::Conv { weights: random.reals(out * row, size), bias: random.reals(out, 0.3), window, groups }
            }
            3 | 4 => FloatOp::Relu,
            5 => {
                let window = random.window(shape, true);
                shape = [channels, window.output[0], window.output[1]];
                FloatOp::MaxPool { window }
            }
            6 => {
                let window = random.window(shape, true);
                shape = [channels, window.output[0], window.output[1]];
                let full = (window.kernel[0] * window.kernel[1]) as u32;
                let counts = if random.below(2) == 0 {
                    vec![full]
                } else {
                    let each = (0..shape[1]).flat_map(|y| (0..shape[2]).map(move |x| (y, x)));
                    each.map(|(y, x)| window.taps(y, x).count() as u32).collect()
                };
                FloatOp::AveragePool { window, counts }
            }
            7 => FloatOp::Affine {
                axis: 1,
                coefficients: vec![(0..channels).map(|_| 1.0 + random.real() * 0.5).collect()],
                bias: random.reals(channels, 0.3),
            },
            8 => {
                if let Some(&(other, _)) = same.iter().find(|(id, other)| *other == shape && *id != at) {
                    inputs.push(other);
                    FloatOp::Affine {
                        axis: 0,
                        coefficients: vec![vec![1.0], vec![if random.below(4) == 0 { -1.0 } else { 1.0 }]],
                        bias: vec![0.0],
                    }
                } else {
                    shape = [channels, width, height];
                    FloatOp::Transpose { perm: vec![0, 1, 3, 2] }
                }
            }
            _ => {
                let fits = |other: &[usize; 3]| other[1..] == shape[1..] && other[0] + channels <= 8;
                match same.iter().find(|(_, other)| fits(other)) {
                    Some(&(other, joined)) => {
                        inputs.push(other);
                        shape[0] += joined[0];
                        FloatOp::Concat { axis: 1 }
                    }
                    None => FloatOp::Relu,
                }
            }
        };
        let output = graph.values.len();
        graph.values.push(Value { name: format!("v{output}"), shape: vec![1, shape[0], shape[1], shape[2]] });
        graph.nodes.push(FloatNode { name: format!("n{output}"), op, inputs, output });
        at = output;
        same.push((at, shape));
    }
    let count = shape.iter().product();
    let flat = graph.values.len();
    graph.values.push(Value { name: "flat".into(), shape: vec![1, count] });
    graph.nodes.push(FloatNode { name: "flatten".into(), op: FloatOp::Reshape, inputs: vec![at], output: flat });
    graph.values.push(Value { name: "y".into(), shape: vec![1, 4] });
    let weights = random.reals(4 * count, 1.5 / (count as f64).sqrt());
    let dense = FloatOp::Dense { rows: 1, k: count, n: 4, weights, bias: random.reals(4, 0.3) };
    graph.nodes.push(FloatNode { name: "dense".into(), op: dense, inputs: vec![flat], output: flat + 1 });
    graph.outputs.push(("y".into(), flat + 1));
    graph
}

fn run(cases: u32, test: impl Fn(u64) -> Result<(), TestCaseError>) {
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    runner.run(&(1_u64..u64::MAX), test).unwrap();
}

/// With a 14-bit table and 14-bit inputs, samples and inputs unseen in calibration differ from the float model by at
/// most 1 % of the largest output (0.2 % of the inputs' size where outputs nearly cancel).
#[test]
fn random_networks_agree_with_the_float_executor() {
    run(300, |seed| {
        let mut random = Random(seed);
        let graph = network(&mut random);
        let count = graph.values[0].len();
        let draw = |random: &mut Random| Input(vec![random.reals(count, 1.0)]);
        let samples = Samples((0..16).map(|_| draw(&mut random)).collect());
        let options = Options {
            table_bits: Some(14),
            input_bits: Some(14),
            margin: Some(4.0),
            input_ranges: vec![InputRange { input: None, feature: None, min: -1.0, max: 1.0 }],
            allow_error: true,
            ..Options::default()
        };
        let (integer, report) =
            compile_float(graph.clone(), Some(&samples), &options).map_err(|error| TestCaseError::fail(error.to_string()))?;
        let allowed = 0.01 * report.largest_output.max(0.2);
        prop_assert!(report.largest_error <= allowed, "{} of {}", report.largest_error, report.largest_output);
        for _ in 0..4 {
            let input = draw(&mut random);
            let integers = encode(&integer, &input).unwrap();
            let values = execute(&integer, &integers).map_err(|error| TestCaseError::fail(error.to_string()))?;
            let output = decode_outputs(&integer, &[values[integer.outputs[0].tensor].clone()]);
            for (x, y) in output[0].iter().zip(&graph.outputs(&input.0)[0]) {
                prop_assert!((x - y).abs() <= allowed, "{x} {y} of {}", report.largest_output);
            }
        }
        let intervals = integer.intervals().unwrap();
        let values = execute(&integer, &encode(&integer, &samples.0[0]).unwrap()).unwrap();
        for (interval, values) in intervals.iter().zip(&values) {
            prop_assert!(values.iter().all(|&x| interval.min <= x.into() && i128::from(x) <= interval.max));
        }
        let bytes = integer.to_bytes().unwrap();
        prop_assert_eq!(Graph::from_bytes(&bytes).unwrap(), integer);
        Ok(())
    });
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
    Graph { table_bits: 12, tensors, nodes, inputs, outputs }
}

/// Conv and SumPool as loops over [`Window::taps`], the definition that circuits are lowered from.
#[test]
fn windows_agree_with_their_taps() {
    run(500, |seed| {
        let mut random = Random(seed);
        let input = [2 * (1 + random.below(2)), 1 + random.below(7), 1 + random.below(7)];
        let integers = |random: &mut Random, count: usize, size: usize| -> Vec<i64> {
            (0..count).map(|_| random.below(2 * size) as i64 - size as i64).collect()
        };
        let window = random.window(input, false);
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
                prop_assert_eq!(values[2][(o * oh + y) * ow + z], (sum + 2048) >> 12);
            }
        }
        let window = random.window(input, true);
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
        single(Op::Dense(Dense { rows: 1, k: 2, n: 1, weights: vec![weight, -weight], bias: vec![0] }), &[vec![1, 2]], vec![1, 1])
    };
    assert!(graph(1 << 53).validate().is_ok());
    assert!(graph((1 << 53) + 1).validate().is_err());
    assert!(graph(i64::MIN).validate().is_err());
}

#[test]
fn graph_files_are_checked_completely() {
    let mut random = Random(99);
    let network = network(&mut random);
    let count = network.values[0].len();
    let samples = Samples((0..4).map(|_| Input(vec![random.reals(count, 1.0)])).collect());
    let (graph, _) =
        compile_float(network, Some(&samples), &Options { margin: Some(4.0), allow_error: true, ..Options::default() }).unwrap();
    let bytes = graph.to_bytes().unwrap();
    let text = |bytes: &[u8]| Graph::from_bytes(bytes).unwrap_err().to_string();
    assert!(text(b"").contains("not a zkslice graph file"));
    let mut newer = bytes.clone();
    newer[8] = 3;
    assert!(text(&newer).contains("format version 3"));
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

/// `[a, b] ↦ magnitude·[a + b/2, a − b]`.
fn of_magnitude(magnitude: f64) -> FloatGraph {
    let value = |name: &str| Value { name: name.into(), shape: vec![1, 2] };
    let weights = [1.0, 0.5, 1.0, -1.0].map(|w| w * magnitude).to_vec();
    FloatGraph {
        values: vec![value("x"), value("y")],
        nodes: vec![FloatNode {
            name: "dense".into(),
            op: FloatOp::Dense { rows: 1, k: 2, n: 2, weights, bias: vec![0.0; 2] },
            inputs: vec![0],
            output: 1,
        }],
        inputs: vec![0],
        outputs: vec![("y".into(), 1)],
    }
}

/// Prices, counts, populations: outputs beyond 2^64 units of 10^−18 a step, up to where 2^128 ends.
#[test]
fn large_outputs_are_compiled_and_decoded() {
    let samples = Samples([[1.0, 1.0], [0.0, 1.0], [1.0, 0.0], [0.25, 0.75]].map(|x| Input(vec![x.to_vec()])).to_vec());
    let compile = |magnitude: f64, margin: f64| {
        let options =
            Options { table_bits: Some(10), input_bits: Some(8), margin: Some(margin), input_margin: Some(1.0), ..Options::default() };
        compile_float(of_magnitude(magnitude), Some(&samples), &options)
    };
    for magnitude in [1.0, 5_000.0, 5_100.0, 1e6, 3.7e9, 1e18, 9e22] {
        let (graph, report) = compile(magnitude, 1.25).unwrap();
        assert!(report.largest_error < magnitude / 200.0, "{magnitude}: {report:?}");
        assert_eq!(graph.outputs[0].encoding.features[0].scale.mantissa > u64::MAX.into(), magnitude > 5_050.0, "{magnitude}");
        assert_eq!(Graph::from_bytes(&graph.to_bytes().unwrap()).unwrap(), graph);
        for x in [[0.5, 0.25], [0.9, 0.1], [0.0, 0.0]] {
            let values = execute(&graph, &encode(&graph, &Input(vec![x.to_vec()])).unwrap()).unwrap();
            let outputs = decode_outputs(&graph, &[values[graph.outputs[0].tensor].clone()]);
            for (output, expected) in outputs[0].iter().zip([x[0] + x[1] / 2.0, x[0] - x[1]]) {
                assert!((output - expected * magnitude).abs() < magnitude / 100.0, "{magnitude} at {x:?}: {output}");
            }
        }
    }
    // 512 steps of at most 3.40282·10^20 each, for outputs up to 1.5 times the magnitude and a margin.
    let most = 3.40282e20 * 512.0 / 1.5 / 1.25;
    assert_eq!(compile(most * 0.999_999, 1.25).unwrap().0.outputs[0].encoding.features[0].scale.mantissa, 340_282 * 10_u128.pow(33));
    for (magnitude, margin) in [(most * 1.000_01, 1.25), (most * 0.6, 2.5), (1e30, 1.25)] {
        let error = compile(magnitude, margin).unwrap_err().to_string();
        for part in ["output `y`", "10^-15 to 3.4·10^20", "rescale the model's output"] {
            assert!(error.contains(part), "{magnitude}: {error}");
        }
    }
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
