//! Digits of inputs: ranges beyond the samples, scales per feature, what is refused and what is warned of.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use zkslice_compiler::{CompileError, FloatGraph, FloatNode, FloatOp, InputRange, InputScales, Options, Report, Value, compile_float};
use zkslice_graph::{Graph, Input, Samples, Window, decode_outputs, encode, execute};

/// Uniform and about normal numbers, the same on every run.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }

    pub(crate) fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.uniform()).sum::<f64>() - 6.0
    }
}

/// A score of an applicant: income in dollars, then eleven ratios about 0.3.
fn applicant(random: &mut Random) -> Vec<f64> {
    let income = 60_000.0 + 15_000.0 * random.normal();
    std::iter::once(income).chain((0..11).map(|_| 0.3 + 0.05 * random.normal())).collect()
}

fn score() -> FloatGraph {
    let value = |name: &str, n: usize| Value::new(name, vec![1, n]);
    let mut weights = vec![1e-5];
    weights.extend((0..11).map(|i| if i % 2 == 0 { 1.0 } else { -0.7 }));
    let mut second = weights.iter().map(|w| -w / 2.0).collect::<Vec<f64>>();
    second[3] = 2.0;
    let dense = FloatOp::Dense { rows: 1, k: 12, n: 2, weights: [weights, second].concat(), bias: vec![0.1, -0.2] };
    FloatGraph {
        values: vec![value("applicant", 12), value("score", 2)],
        nodes: vec![FloatNode { name: "dense".into(), op: dense, inputs: vec![0], output: 1 }],
        inputs: vec![0],
        outputs: vec![("score".into(), 1)],
    }
}

fn samples(count: usize, draw: impl FnMut() -> Vec<f64>) -> Samples {
    Samples(std::iter::repeat_with(draw).take(count).map(|list| Input(vec![list])).collect())
}

fn infer(graph: &Graph, list: Vec<f64>) -> Result<Vec<f64>, String> {
    let integers = encode(graph, &Input(vec![list])).map_err(|error| error.to_string())?;
    let values = execute(graph, &integers).map_err(|error| error.to_string())?;
    Ok(decode_outputs(graph, &[values[graph.outputs[0].tensor].clone()]).remove(0))
}

fn compiled(count: usize, options: &Options) -> Result<(Graph, Report), CompileError> {
    let mut random = Random(5);
    let samples = samples(count, || applicant(&mut random));
    compile_float(score(), Some(&samples), options)
}

/// Two applicants who differ in one ratio alone become different integers, and the score follows each feature.
#[test]
fn a_table_of_dollars_and_ratios_keeps_its_ratios() {
    let (graph, report) = compiled(32, &Options::default()).unwrap();
    let encoding = &graph.inputs[0].encoding;
    assert_eq!((encoding.axis, encoding.features.len()), (1, 12));
    assert!(report.warnings.is_empty(), "{:?}", report.warnings);
    assert_eq!(Graph::from_bytes(&graph.to_bytes().unwrap()).unwrap(), graph);
    let mut random = Random(6);
    for _ in 0..50 {
        let one = applicant(&mut random);
        for feature in 0..12 {
            let mut other = one.clone();
            other[feature] *= 1.1;
            let of = |list: &[f64]| encode(&graph, &Input(vec![list.to_vec()]));
            if let (Ok(a), Ok(b)) = (of(&one), of(&other)) {
                assert_ne!(a, b, "feature {feature}");
            }
        }
        let expected = score().outputs(std::slice::from_ref(&one)).remove(0);
        for (found, expected) in infer(&graph, one).unwrap().iter().zip(expected) {
            assert!((found - expected).abs() < 0.02, "{found} {expected}");
        }
    }
}

#[test]
fn one_scale_for_all_is_warned_of_or_refused() {
    let one_scale = Options { input_scales: InputScales::Input, input_bits: Some(8), allow_error: true, ..Options::default() };
    let (graph, report) = compiled(32, &one_scale).unwrap();
    assert_eq!(graph.inputs[0].encoding.features.len(), 1);
    let warning = report.warnings.join("\n");
    for part in ["`applicant`", "feature 1, 2, 3", "--input-scales feature"] {
        assert!(warning.contains(part), "{warning}");
    }
    let error = compiled(32, &Options { allow_error: false, ..one_scale }).unwrap_err().to_string();
    assert!(error.contains("the input's digits") && error.contains("--allow-error"), "{error}");
}

/// At default settings at most one honest input in 500 is refused, also after few samples.
#[test]
fn honest_rows_are_hardly_ever_refused() {
    for count in [16, 32, 128] {
        let (graph, _) = compiled(count, &Options::default()).unwrap();
        let mut random = Random(7);
        let refused = (0..4000).filter(|_| infer(&graph, applicant(&mut random)).is_err()).count();
        assert!(refused <= 8, "{refused} of 4,000 after {count} samples");
    }
}

#[test]
fn ranges_are_stated_for_all_for_one_and_for_a_feature() {
    let range =
        |input: Option<&str>, feature: Option<usize>, min: f64, max: f64| InputRange { input: input.map(str::to_owned), feature, min, max };
    let with = |input_ranges: Vec<InputRange>| compiled(32, &Options { input_ranges, allow_error: true, ..Options::default() });
    let limits = |graph: &Graph, feature: usize| {
        let encoding = &graph.inputs[0].encoding;
        let one = encoding.features[feature];
        let (min, max) = one.range(encoding.bits);
        (min as f64 * one.scale.value(), max as f64 * one.scale.value())
    };
    let (graph, _) = with(vec![range(None, None, 0.0, 1e6)]).unwrap();
    assert_eq!(graph.inputs[0].encoding.features.len(), 1, "one range for all is one scale for all");
    let (graph, _) = with(vec![range(Some("applicant"), Some(0), 0.0, 1e6), range(None, Some(5), -1.0, 1.0)]).unwrap();
    assert_eq!(graph.inputs[0].encoding.features.len(), 12);
    let (min, max) = limits(&graph, 0);
    assert!(min == 0.0 && (1e6..1.02e6).contains(&max), "{min} {max}");
    let (min, max) = limits(&graph, 5);
    assert!((-1.02..=-0.99).contains(&min) && (0.99..1.02).contains(&max), "{min} {max}");
    let error = |input_ranges: Vec<InputRange>| with(input_ranges).unwrap_err().to_string();
    assert!(error(vec![range(Some("income"), None, 0.0, 1.0)]).contains("no input `income`"));
    assert!(error(vec![range(Some("applicant"), Some(12), 0.0, 1.0)]).contains("no feature 12; it has 12"));
    assert!(error(vec![range(None, None, 1.0, 1.0)]).contains("empty"));
    assert!(error(vec![range(None, None, f64::NAN, 1.0)]).contains("not finite"));
    // A range that the samples do not fit is refused with the sample and the element.
    let text = error(vec![range(None, Some(0), 0.0, 60_000.0)]);
    assert!(text.contains("sample ") && text.contains("element 0") && text.contains("--input-range"), "{text}");
}

/// Channels of an image in units of their own, read by a convolution: features are its channels, and padding stays zero.
#[test]
fn channels_have_scales_of_their_own() {
    let value = |name: &str, shape: &[usize]| Value::new(name, shape.to_vec());
    let window = Window { input: [2, 4, 4], output: [4, 4], kernel: [3, 3], strides: [1, 1], dilations: [1, 1], pads: [1, 1] };
    let weights = (0..18).map(|i| if i < 9 { 1e-4 } else { 0.1 } * f64::from(i % 5 - 2)).collect();
    let conv = FloatOp::Conv { window, groups: 1, weights, bias: vec![0.5] };
    let float = FloatGraph {
        values: vec![value("image", &[1, 2, 4, 4]), value("c", &[1, 1, 4, 4]), value("y", &[1, 1, 4, 4])],
        nodes: vec![
            FloatNode { name: "conv".into(), op: conv, inputs: vec![0], output: 1 },
            FloatNode { name: "relu".into(), op: FloatOp::Relu, inputs: vec![1], output: 2 },
        ],
        inputs: vec![0],
        outputs: vec![("y".into(), 2)],
    };
    let mut random = Random(8);
    let mut image = || (0..32).map(|i| if i < 16 { 1000.0 + 200.0 * random.normal() } else { 0.5 + 0.2 * random.normal() }).collect();
    let samples = samples(24, &mut image);
    let (graph, _) = compile_float(float.clone(), Some(&samples), &Options::default()).unwrap();
    let encoding = &graph.inputs[0].encoding;
    assert_eq!((encoding.axis, encoding.features.len()), (1, 2));
    for _ in 0..20 {
        let list = image();
        let expected = float.outputs(std::slice::from_ref(&list)).remove(0);
        for (found, expected) in infer(&graph, list).unwrap().iter().zip(expected) {
            assert!((found - expected).abs() < 0.03, "{found} {expected}");
        }
    }
}
