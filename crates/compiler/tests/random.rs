//! Random graphs: the integer graph against the float executor.
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use zkslice_compiler::{FloatGraph, FloatNode, FloatOp, InputRange, Options, Value, compile_float};
use zkslice_graph::{Graph, Input, Samples, Window, decode_outputs, encode, execute};

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
    graph.values.push(Value::new("x", vec![1, shape[0], shape[1], shape[2]]));
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
        graph.values.push(Value::new(format!("v{output}"), vec![1, shape[0], shape[1], shape[2]]));
        graph.nodes.push(FloatNode { name: format!("n{output}"), op, inputs, output });
        at = output;
        same.push((at, shape));
    }
    let count = shape.iter().product();
    let flat = graph.values.len();
    graph.values.push(Value::new("flat", vec![1, count]));
    graph.nodes.push(FloatNode { name: "flatten".into(), op: FloatOp::Reshape, inputs: vec![at], output: flat });
    graph.values.push(Value::new("y", vec![1, 4]));
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
            bits: Some(14),
            input_bits: Some(14),
            inner_margin: Some(4.0),
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

/// `[a, b] ↦ magnitude·[a + b/2, a − b]`.
fn of_magnitude(magnitude: f64) -> FloatGraph {
    let value = |name: &str| Value::new(name, vec![1, 2]);
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
        let options = Options { bits: Some(10), input_bits: Some(8), inner_margin: Some(margin), margin: Some(1.0), ..Options::default() };
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
