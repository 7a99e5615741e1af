//! What is asked for is what is looked for: the cheapest setting that meets it, or by how much it is missed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::PathBuf;

use zkslice_compiler::{FloatGraph, FloatNode, FloatOp, MaxError, Options, Pointwise, Report, Value, compile, compile_float};
use zkslice_graph::cost::rows;
use zkslice_graph::{Binding, BoundGraph, Graph, Input, Samples, build_circuit, encode, execute};

fn model(name: &str) -> (PathBuf, Samples) {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/models").join(name);
    (folder.join("model.onnx"), Samples::from_json(&std::fs::read(folder.join("samples.json")).unwrap()).unwrap())
}

fn within(error: MaxError) -> Options {
    Options { max_error: Some(error), ..Options::default() }
}

/// A chain of nodes from an input of so many elements, each node with as many as it makes.
fn chain(size: usize, nodes: Vec<(FloatOp, usize)>) -> FloatGraph {
    let mut graph = FloatGraph {
        values: vec![Value::new("x", vec![1, size])],
        nodes: Vec::new(),
        inputs: vec![0],
        outputs: vec![("y".into(), nodes.len())],
    };
    for (index, (op, size)) in nodes.into_iter().enumerate() {
        graph.values.push(Value::new(format!("v{index}"), vec![1, size]));
        graph.nodes.push(FloatNode { name: format!("n{index}"), op, inputs: vec![index], output: index + 1 });
    }
    graph
}

fn dense(weights: Vec<f64>, n: usize) -> FloatOp {
    FloatOp::Dense { rows: 1, k: weights.len() / n, n, weights, bias: vec![0.0; n] }
}

fn function(name: &'static str, formula: fn(f64, &[f64]) -> f64) -> FloatOp {
    FloatOp::Map(vec![Pointwise { name, parameters: Vec::new(), formula }])
}

/// Each setting by itself: the cheapest of those that meet the goal is the one that is found, at or above the default and below it.
#[test]
fn the_cheapest_setting_that_meets_the_goal_is_found() {
    let (path, samples) = model("mlp_digits");
    let fixed = |bits, input_bits| {
        let options = Options { bits: Some(bits), input_bits: Some(input_bits), allow_error: true, ..Options::default() };
        compile(&path, Some(&samples), &options).ok().map(|(_, report)| report)
    };
    let all: Vec<Report> =
        (8..=16).flat_map(|bits| [8, 10, 12].map(|input_bits| (bits, input_bits))).filter_map(|(b, i)| fixed(b, i)).collect();
    assert!(all.len() > 20, "{}", all.len());
    let mut before = usize::MAX;
    for goal in [0.001, 0.003, 0.02, 0.2] {
        let (_, report) = compile(&path, Some(&samples), &within(MaxError::Share(goal))).unwrap();
        let meets = |report: &&Report| {
            let output = &report.outputs[0];
            let made_up = goal.max(0.025) * output.made_up_range;
            output.largest_error <= goal * output.range && output.made_up_error <= made_up && report.top1_agreement.unwrap() >= 0.95
        };
        assert!(meets(&&report), "{goal}: {report:?}");
        // A bit of the 64 inputs counts as a row.
        let cost = |report: &Report| report.rows + 64 * report.input_bits as usize;
        assert_eq!(Some(cost(&report)), all.iter().filter(meets).map(cost).min(), "{goal}");
        assert!(cost(&report) <= before, "{goal}: {} rows, {before} before", report.rows);
        before = cost(&report);
    }
    let (_, default) = compile(&path, Some(&samples), &Options::default()).unwrap();
    assert!(before < default.rows, "{before} rows and bits at 20 %, {} rows by default", default.rows);
    // The same limit in the output's own unit is the same package.
    let range = default.outputs[0].range;
    let (share, absolute) = (within(MaxError::Share(0.02)), within(MaxError::Absolute(0.02 * range)));
    let graph = |options: &Options| compile(&path, Some(&samples), options).unwrap().0;
    assert_eq!(graph(&share), graph(&absolute));
}

/// Each function's table is as small as the goal allows, whatever the others need.
#[test]
fn tables_of_functions_are_no_larger_than_the_goal_needs() {
    // A steep function whose result is the output's most, and a flat one beside it.
    let mix = |by: f64| dense((0..16).map(|i| if i % 5 == 0 { 1.0 } else { by * f64::from(i % 3) }).collect(), 4);
    let sine = (function("Sine", |x, _| libm::sin(4.0 * x)), 4);
    let slow = (function("Slow", |x, _| 0.1 * libm::tanh(x)), 4);
    let mut float = chain(4, vec![(mix(0.1), 4), sine, (mix(-0.1), 4), slow]);
    float.nodes[2].inputs = vec![0];
    float.values.push(Value::new("sum", vec![1, 4]));
    let op = FloatOp::Affine { axis: 1, coefficients: vec![vec![1.0], vec![1.0]], bias: vec![0.0] };
    float.nodes.push(FloatNode { name: "sum".into(), op, inputs: vec![2, 4], output: 5 });
    float.outputs[0].1 = 5;
    let samples = Samples((0..32).map(|s| Input(vec![(0..4).map(|e| libm::sin(f64::from(4 * s + e))).collect()])).collect());
    let of = |goal: f64| compile_float(float.clone(), Some(&samples), &within(MaxError::Share(goal))).unwrap();
    let (graph, report) = of(0.005);
    let entries = |report: &Report, name: &str| report.functions.iter().find(|function| function.name == name).unwrap().entries;
    assert!(2 * entries(&report, "Slow") <= entries(&report, "Sine"), "{:?}", report.functions);
    let (bindings, outputs) = ([Binding::Words], [Binding::Words]);
    let slice = BoundGraph { graph: &graph, inputs: &bindings, outputs: &outputs };
    assert_eq!((report.rows, rows(slice).total()), (build_circuit(slice).unwrap().layout().constraints(), report.rows));
    assert!(of(0.03).1.rows < report.rows && report.rows < of(0.001).1.rows);
}

/// Two numbers of which the first is larger by little on two samples in twenty.
fn close(by: f64) -> (FloatGraph, Samples) {
    let float = chain(2, vec![(dense(vec![1.0, 0.0, 0.0, 1.0], 2), 2)]);
    let sample = |k: usize| {
        let x = 0.05 * k as f64;
        let apart = if k % 10 == 3 { by } else { 0.4 };
        Input(vec![vec![x, x + apart]])
    };
    (float, Samples((0..20).map(sample).collect()))
}

#[test]
fn agreement_is_looked_for_where_it_is_asked_for() {
    let (float, samples) = close(0.004);
    let of = |share: f64| compile_float(float.clone(), Some(&samples), &Options { min_agreement: Some(share), ..Options::default() });
    let (some, all) = (of(0.9).unwrap().1, of(1.0).unwrap().1);
    assert!(some.top1_agreement.unwrap() >= 0.9 && all.top1_agreement == Some(1.0));
    assert!(some.rows < all.rows, "{} {}", some.rows, all.rows);
    // Both goals at once.
    let both = Options { min_agreement: Some(1.0), max_error: Some(MaxError::Share(0.0005)), ..Options::default() };
    let both = compile_float(float.clone(), Some(&samples), &both).unwrap().1;
    assert!(both.top1_agreement == Some(1.0) && both.largest_error <= 0.0005 * both.largest_output && both.rows >= all.rows, "{both:?}");

    let (float, samples) = close(1e-9);
    let options = Options { min_agreement: Some(1.0), allow_error: true, ..Options::default() };
    let text = compile_float(float, Some(&samples), &options).unwrap_err().to_string();
    for part in ["on 2 of 20 samples; allowed are 0", "bits with inputs of", "arises at node `", "--min-agreement"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let one = chain(2, vec![(dense(vec![1.0, 1.0], 1), 1)]);
    let options = Options { min_agreement: Some(0.9), ..Options::default() };
    let text = compile_float(one, Some(&samples), &options).unwrap_err().to_string();
    assert!(text.contains("output `y` has one number") && text.contains("--min-agreement"), "{text}");
}

/// What no setting meets is refused with what is missing, at the nearest one; what is lifted is not.
#[test]
fn a_goal_that_is_missed_says_by_how_much() {
    let (path, samples) = model("mlp_digits");
    let text = compile(&path, Some(&samples), &within(MaxError::Absolute(1e-7))).unwrap_err().to_string();
    for part in ["allowed is 0.0000001, which is missed by ", "comes nearer than 16 bits with inputs of", "arises at", "--max-error"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let fixed = Options { bits: Some(8), input_bits: Some(8), ..within(MaxError::Share(0.001)) };
    let text = compile(&path, Some(&samples), &Options { allow_error: true, ..fixed }).unwrap_err().to_string();
    assert!(
        text.contains("comes nearer than 8 bits with inputs of 8") && text.contains("Try more bits (--bits), more input bits"),
        "{text}"
    );
    let most = Options { bits: Some(16), input_bits: Some(16), ..within(MaxError::Absolute(1e-9)) };
    let text = compile(&path, Some(&samples), &most).unwrap_err().to_string();
    assert!(text.contains("Try other samples") && !text.contains("--input-bits"), "{text}");
}

#[test]
fn the_search_is_the_same_on_any_number_of_threads() {
    let (path, samples) = model("gru_s8h16");
    let compiled = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| compile(&path, Some(&samples), &within(MaxError::Share(0.02)))).unwrap()
    };
    let (first, report) = compiled(1);
    for threads in [2, 5] {
        let (graph, again) = compiled(threads);
        assert!(graph == first && again == report, "{threads} threads");
    }
}

/// Inputs may go as far as the margin says, and inner values with them.
#[test]
fn the_margin_is_that_of_inputs_and_inner_values_follow() {
    let float = chain(2, vec![(dense(vec![1.0, -0.5, 0.3, 0.7], 2), 2), (FloatOp::Relu, 2), (dense(vec![0.8, -0.4, 0.6, 0.2], 2), 2)]);
    let samples = Samples((0..64).map(|s| Input(vec![(0..2).map(|e| libm::sin(f64::from(2 * s + e))).collect()])).collect());
    let takes = |options: &Options, by: f64| {
        let (graph, _) = compile_float(float.clone(), Some(&samples), options).unwrap();
        let takes = |graph: &Graph, Input(lists): &Input| {
            let input = Input(vec![lists[0].iter().map(|x| by * x).collect()]);
            encode(graph, &input)
                .map_err(|error| error.to_string())
                .map(|integers| execute(graph, &integers).map_err(|error| error.to_string()))
        };
        samples.0.iter().map(|sample| takes(&graph, sample)).collect::<Result<Result<Vec<_>, _>, _>>().map(|inner| inner.is_ok())
    };
    let margin = |margin: f64| Options { margin: Some(margin), ..Options::default() };
    assert_eq!(takes(&margin(6.0), 5.5), Ok(true));
    assert!(takes(&margin(6.0), 7.0).unwrap_err().contains("larger --margin"));
    assert!(takes(&margin(1.1), 1.3).is_err());
    // Inputs that may go far do so in vain where inner values may not.
    assert_eq!(takes(&Options { inner_margin: Some(1.1), ..margin(6.0) }, 5.5), Ok(false));
}
