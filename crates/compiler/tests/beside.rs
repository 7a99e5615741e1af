//! What the samples do not show: flags that none of them has, models that are steep or silent on them, units that differ. Either
//! the integer model follows the float model there too, or the model or the input is refused.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use crate::inputs::Random;

use zkslice_compiler::{CompileError, FloatGraph, FloatNode, FloatOp, Options, Report, Value, compile_float};
use zkslice_graph::{Graph, Input, Samples, Window, decode_outputs, encode, execute};

fn flag(random: &mut Random, share: f64) -> f64 {
    f64::from(u8::from(random.uniform() < share))
}

/// A chain of nodes on one input, each with the shape of what it makes.
fn chain(input: &[usize], nodes: Vec<(FloatOp, Vec<usize>)>) -> FloatGraph {
    let mut graph = FloatGraph {
        values: vec![Value::new("x", input.to_vec())],
        nodes: Vec::new(),
        inputs: vec![0],
        outputs: vec![("y".into(), nodes.len())],
    };
    for (index, (op, shape)) in nodes.into_iter().enumerate() {
        graph.values.push(Value::new(format!("v{index}"), shape));
        graph.nodes.push(FloatNode { name: format!("n{index}"), op, inputs: vec![index], output: index + 1 });
    }
    graph
}

fn dense(weights: &[f64], bias: &[f64]) -> FloatOp {
    let (k, n) = (weights.len() / bias.len(), bias.len());
    FloatOp::Dense { rows: 1, k, n, weights: weights.to_vec(), bias: bias.to_vec() }
}

fn compiled(model: &FloatGraph, samples: &[Vec<f64>]) -> Result<(Graph, Report), CompileError> {
    let samples = Samples(samples.iter().map(|list| Input(vec![list.clone()])).collect());
    compile_float(model.clone(), Some(&samples), &Options::default())
}

/// The integer model's outputs; `None` where it refuses.
fn infer(graph: &Graph, list: &[f64]) -> Option<Vec<f64>> {
    let values = execute(graph, &encode(graph, &Input(vec![list.to_vec()])).ok()?).ok()?;
    Some(decode_outputs(graph, &[values[graph.outputs[0].tensor].clone()]).remove(0))
}

/// The share of fresh inputs that is refused, and the largest error on the others, in parts of the largest output.
fn held_out(model: &FloatGraph, graph: &Graph, mut draw: impl FnMut() -> Vec<f64>) -> (f64, f64) {
    let (mut refused, mut error, mut largest) = (0, 0.0_f64, f64::MIN_POSITIVE);
    for _ in 0..1000 {
        let list = draw();
        let exact = model.outputs(std::slice::from_ref(&list)).remove(0);
        let Some(answer) = infer(graph, &list) else {
            refused += 1;
            continue;
        };
        for (x, y) in answer.iter().zip(&exact) {
            error = error.max((x - y).abs());
            largest = largest.max(y.abs());
        }
    }
    (f64::from(refused) / 1000.0, error / largest)
}

/// A flag that no sample has, beside dollars: it counts once an applicant has it.
#[test]
fn a_flag_that_no_sample_has_is_not_lost() {
    let model = chain(&[1, 2], vec![(dense(&[1e-5, 5.0], &[0.0]), vec![1, 1])]);
    let mut random = Random(1);
    let samples: Vec<Vec<f64>> = (0..64).map(|_| vec![1e5 * random.uniform(), 0.0]).collect();
    let (graph, report) = compiled(&model, &samples).unwrap();
    assert!(report.warnings.iter().any(|warning| warning.contains("feature 1 is the same in all samples")), "{:?}", report.warnings);
    for flag in [0.0, 1.0] {
        if let Some(answer) = infer(&graph, &[26_491.0, flag]) {
            assert!((answer[0] - (0.26491 + 5.0 * flag)).abs() < 0.05 * 5.3, "flag {flag}: {answer:?}");
        }
    }
    assert!(infer(&graph, &[26_491.0, 0.0]).is_some());
}

/// Flags and categories that are rarer than one in four, beside dollars.
#[test]
fn rare_flags_beside_dollars_keep_their_weight() {
    let weights = [1e-5, 0.9, -0.6, 0.4, 0.8, -0.7];
    let model = chain(&[1, 6], vec![(dense(&weights, &[0.1]), vec![1, 1])]);
    let mut random = Random(2);
    let mut draw = || {
        let mut list = vec![60_000.0 + 15_000.0 * random.normal()];
        list.extend((0..5).map(|_| flag(&mut random, 0.2)));
        list
    };
    let samples: Vec<Vec<f64>> = (0..64).map(|_| draw()).collect();
    let (graph, report) = compiled(&model, &samples).unwrap();
    assert_eq!(graph.inputs[0].encoding.features.len(), 6);
    assert!(report.table_bits <= 12, "{}", report.table_bits);
    let (refused, error) = held_out(&model, &graph, draw);
    assert!(refused <= 0.01 && error < 0.03, "{refused} {error}");
}

/// A model that scales its own features, whose units differ by a million.
#[test]
fn features_are_scaled_within_the_model() {
    let units = [1e6, 1.0, 1e-3];
    let scaler = FloatOp::Affine { axis: 1, coefficients: vec![units.iter().map(|u| 1.0 / u).collect()], bias: vec![-2.0; 3] };
    for between in [vec![], vec![(FloatOp::Relu, vec![1, 3])], vec![(FloatOp::Reshape, vec![3]), (FloatOp::Reshape, vec![1, 3])]] {
        let mut nodes = vec![(scaler.clone(), vec![1, 3])];
        nodes.extend(between);
        nodes.push((dense(&[1.0, -2.0, 0.5, 0.3, 0.8, -1.0], &[0.0, 0.1]), vec![1, 2]));
        let model = chain(&[1, 3], nodes);
        let mut random = Random(3);
        let mut draw = || units.iter().map(|unit| unit * (2.0 + random.normal())).collect::<Vec<f64>>();
        let samples: Vec<Vec<f64>> = (0..64).map(|_| draw()).collect();
        let (graph, report) = compiled(&model, &samples).unwrap();
        assert!(report.table_bits <= 12, "{}", report.table_bits);
        let (refused, error) = held_out(&model, &graph, draw);
        assert!(refused <= 0.005 && error < 0.03, "{refused} {error}");
    }
    // Without a scaler, through a move that forgets which feature is which.
    let nodes = vec![(FloatOp::Reshape, vec![1, 3]), (dense(&[1e-6, 1.0, 1e3], &[0.0]), vec![1, 1])];
    let mut random = Random(4);
    let samples: Vec<Vec<f64>> = (0..64).map(|_| units.iter().map(|unit| unit * random.normal()).collect()).collect();
    assert!(compiled(&chain(&[1, 1, 3], nodes), &samples).unwrap().1.table_bits <= 12);
}

/// A bound that nearly every sample is at hides how coarse what comes before it is.
#[test]
fn saturated_samples_do_not_hide_an_error() {
    let mut random = Random(5);
    let mut accepted = 0;
    for (seed, factor, count) in [(1, 1.0, 8), (2, 1.0, 16), (3, 1.0, 64), (4, 10.0, 16), (5, 10.0, 64)] {
        let mut weights = Random(seed);
        let weights: Vec<f64> = (0..8).map(|_| 1.6 * factor * weights.normal()).collect();
        let model = chain(&[1, 8], vec![(dense(&weights, &[0.5]), vec![1, 1]), (FloatOp::Clip { min: 0.0, max: 1.0 }, vec![1, 1])]);
        let mut draw = || (0..8).map(|_| random.normal()).collect::<Vec<f64>>();
        let samples: Vec<Vec<f64>> = (0..count).map(|_| draw()).collect();
        match compiled(&model, &samples) {
            Ok((graph, report)) => {
                accepted += 1;
                let (_, error) = held_out(&model, &graph, draw);
                assert!(error < 0.05_f64.max(1.5 * report.made_up_error), "factor {factor}, {count} samples: {error}, {report:?}");
            }
            Err(error) => assert!(matches!(error, CompileError::Error { .. } | CompileError::MadeUpError { .. }), "{error}"),
        }
    }
    assert!(accepted >= 2, "only {accepted} compile: refusing everything hides nothing either");
}

/// A bound that no value reaches from its side: the comparison must reach as far as the bound.
#[test]
fn a_bound_beyond_the_values_is_kept() {
    for (min, max, expected) in [(1.2, f64::INFINITY, 1.2), (f64::NEG_INFINITY, -3.0, -3.0), (-9.0, 9.0, 0.5)] {
        let model = chain(&[1, 1], vec![(FloatOp::Clip { min, max }, vec![1, 1])]);
        let samples: Vec<Vec<f64>> = (0..=20).map(|i| vec![f64::from(i) / 10.0 - 1.0]).collect();
        let (graph, _) = compiled(&model, &samples).unwrap();
        assert!((infer(&graph, &[0.5]).unwrap()[0] - expected).abs() < 0.02 * expected.abs());
    }
}

/// A bound that rounds upwards in the digits of what is clipped still has room in the result.
#[test]
fn a_bound_that_rounds_upwards_has_room() {
    for step in 1..60 {
        let max = f64::from(step) * 0.0155;
        let model = chain(&[1, 1], vec![(FloatOp::Clip { min: -2.0, max }, vec![1, 1])]);
        let samples: Vec<Vec<f64>> = (0..=20).map(|i| vec![f64::from(i) / 10.0 - 1.0]).collect();
        match compiled(&model, &samples) {
            Ok((graph, _)) => assert!((infer(&graph, &[1.0]).unwrap()[0] - max).abs() < 0.05),
            Err(error) => assert!(!matches!(error, CompileError::Execute { .. }), "{max}: {error}"),
        }
    }
}

/// What is zero on all samples is not zero everywhere, and its size is not any size.
#[test]
fn an_output_that_the_samples_do_not_show_is_said_to_be_one() {
    for (shift, base) in [(-3.0, 0.1), (-4.5, 0.0)] {
        let model = chain(
            &[1, 2],
            vec![
                (dense(&[1e-3, 1e-3], &[1e-3 * shift]), vec![1, 1]),
                (FloatOp::Relu, vec![1, 1]),
                (FloatOp::Affine { axis: 1, coefficients: vec![vec![1.0]], bias: vec![base * 1e-3] }, vec![1, 1]),
            ],
        );
        let mut random = Random(6);
        let mut draw = || vec![random.normal(), random.normal()];
        let samples: Vec<Vec<f64>> = std::iter::repeat_with(&mut draw).filter(|x| x[0] + x[1] < 2.5).take(16).collect();
        match compiled(&model, &samples) {
            Ok((graph, report)) => {
                assert!(report.warnings.iter().any(|warning| warning.contains("`y` is the same on all samples")), "{:?}", report.warnings);
                let (_, error) = held_out(&model, &graph, || vec![1.5 * draw()[0], 1.5 * draw()[1]]);
                assert!(error < 0.05, "{error}");
            }
            Err(error) => assert!(matches!(error, CompileError::MadeUpError { .. }), "{error}"),
        }
    }
}

/// Counts and rounded numbers meet at their extremes too, without ending there.
#[test]
fn counts_and_rounded_numbers_go_beyond_the_samples() {
    let model = chain(&[1, 12], vec![(dense(&[0.3; 12], &[0.1]), vec![1, 1])]);
    let mut random = Random(7);
    let half = |x: f64| (2.0 * x).round() / 2.0;
    let mut counts = || (0..12).map(|_| (0..12).filter(|_| random.uniform() < 0.25).count() as f64).collect::<Vec<f64>>();
    let mut other = Random(8);
    let mut rounded = || (0..12).map(|_| half(other.normal())).collect::<Vec<f64>>();
    for draw in [&mut counts as &mut dyn FnMut() -> Vec<f64>, &mut rounded] {
        for count in [16, 64] {
            let mut refused = 0.0;
            for _ in 0..5 {
                let samples: Vec<Vec<f64>> = (0..count).map(|_| draw()).collect();
                let (graph, _) = compiled(&model, &samples).unwrap();
                refused += held_out(&model, &graph, &mut *draw).0 / 5.0;
            }
            assert!(refused <= 0.004, "{refused} refused after {count} samples");
        }
    }
}

/// Graphs in which everything is read twice, over and over: no pass may follow every path.
#[test]
fn paths_are_not_counted_one_by_one() {
    let value = |shape: &[usize]| Value::new("", shape.to_vec());
    let pool = FloatOp::AveragePool {
        window: Window { input: [1, 2, 2], output: [1, 1], kernel: [2, 2], strides: [2, 2], dilations: [1, 1], pads: [0, 0] },
        counts: vec![4],
    };
    let mut pools = FloatGraph { values: vec![value(&[1, 1, 1, 1])], nodes: vec![], inputs: vec![0], outputs: vec![("y".into(), 0)] };
    let mut sums = FloatGraph { values: vec![value(&[1, 1])], nodes: vec![], inputs: vec![0], outputs: vec![("y".into(), 0)] };
    let push = |graph: &mut FloatGraph, op, inputs: Vec<usize>, shape: &[usize]| {
        let output = graph.values.len();
        graph.values.push(Value::new(format!("v{output}"), shape.to_vec()));
        graph.nodes.push(FloatNode { name: format!("n{output}"), op, inputs, output });
        graph.outputs[0].1 = output;
        output
    };
    let (mut pooled, mut sum) = (0, 0);
    for _ in 0..60 {
        let pair = push(&mut pools, FloatOp::Concat { axis: 2 }, vec![pooled, pooled], &[1, 1, 2, 1]);
        let square = push(&mut pools, FloatOp::Concat { axis: 3 }, vec![pair, pair], &[1, 1, 2, 2]);
        pooled = push(&mut pools, pool.clone(), vec![square], &[1, 1, 1, 1]);
        let relu = push(&mut sums, FloatOp::Relu, vec![sum], &[1, 1]);
        let op = FloatOp::Affine { axis: 1, coefficients: vec![vec![1.0], vec![-0.5]], bias: vec![0.1] };
        sum = push(&mut sums, op, vec![relu, sum], &[1, 1]);
    }
    for graph in [pools, sums] {
        // That it ends is the test.
        let _ = compiled(&graph, &[vec![0.5], vec![1.0]]);
    }
}

/// Inputs so small that their scale cannot be written with more than eight bits.
#[test]
fn bits_that_an_input_cannot_have_are_passed_over() {
    let model = chain(&[1, 1], vec![(dense(&[1e12], &[0.25]), vec![1, 1])]);
    let samples: Vec<Vec<f64>> = (0..=20).map(|i| vec![1e-13 * f64::from(i)]).collect();
    let (_, report) = compiled(&model, &samples).unwrap();
    assert_eq!(report.input_bits, 8);
}
