//! Every operator, on small models made by `fixtures/make.py`: the float executor against ONNX Runtime, the integer
//! graph against the float executor on inputs that calibration has not seen; and every model that must be refused.
use std::path::{Path, PathBuf};

use zkslice_compiler::{ImportError, ImportOptions, InputRange, Options, compile, import, import_bytes};
use zkslice_graph::{Graph, Input, Samples, decode_outputs, encode, execute};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

struct Fixture {
    name: String,
    path: PathBuf,
    samples: Samples,
    expected: Vec<Vec<Vec<f64>>>,
}

fn all() -> Vec<Fixture> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(fixtures()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "onnx") {
            continue;
        }
        let text = std::fs::read(path.with_extension("json")).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&text).unwrap();
        let samples = serde_json::json!({ "samples": json["samples"] }).to_string();
        all.push(Fixture {
            name: path.file_stem().unwrap().to_str().unwrap().to_owned(),
            samples: Samples::from_json(samples.as_bytes()).unwrap(),
            expected: serde_json::from_value(json["outputs"].clone()).unwrap(),
            path,
        });
    }
    all.sort_by(|a, b| a.name.cmp(&b.name));
    assert!(all.len() > 40);
    all
}

fn options() -> Options {
    Options { import: dropping_softmax(), ..Options::default() }
}

fn dropping_softmax() -> ImportOptions {
    ImportOptions { drop_final_softmax: true, ..ImportOptions::default() }
}

fn infer(graph: &Graph, input: &Input) -> Vec<Vec<f64>> {
    let values = execute(graph, &encode(graph, input).unwrap()).unwrap();
    let outputs: Vec<Vec<i64>> = graph.outputs.iter().map(|port| values[port.tensor].clone()).collect();
    decode_outputs(graph, &outputs)
}

fn softmax(list: &[f64]) -> Vec<f64> {
    let sum: f64 = list.iter().map(|x| x.exp()).sum();
    list.iter().map(|x| x.exp() / sum).collect()
}

#[test]
fn float_executor_agrees_with_onnx_runtime() {
    for fixture in all() {
        let graph = import(&fixture.path, &dropping_softmax()).unwrap();
        for (Input(input), expected) in fixture.samples.0.iter().zip(&fixture.expected) {
            let mut outputs = graph.outputs(input);
            if fixture.name.starts_with("softmax") {
                outputs[0] = softmax(&outputs[0]);
            }
            assert_eq!(outputs.len(), expected.len());
            for (output, expected) in outputs.iter().zip(expected) {
                assert_eq!(output.len(), expected.len(), "{}", fixture.name);
                for (x, y) in output.iter().zip(expected) {
                    assert!((x - y).abs() < 1e-5 * (1.0 + y.abs()), "{}: {x} where ONNX Runtime gives {y}", fixture.name);
                }
            }
        }
    }
}

/// Calibrated on eight inputs with a 12-bit table and 12-bit inputs; the four others differ from the float model by at
/// most 1 % of its largest output.
#[test]
fn integer_graph_agrees_with_float_executor() {
    for fixture in all() {
        let calibration = Samples(fixture.samples.0[..8].to_vec());
        let ranges = import(&fixture.path, &dropping_softmax()).unwrap();
        let low = if fixture.name == "only_positive" { 0.0 } else { -1.0 };
        let input_ranges = vec![InputRange { input: None, feature: None, min: low, max: 1.0 }];
        let options =
            Options { bits: Some(12), input_bits: Some(12), inner_margin: Some(4.0), input_ranges, allow_error: true, ..options() };
        let (graph, report) =
            compile(&fixture.path, Some(&calibration), &options).unwrap_or_else(|error| panic!("{}: {error}", fixture.name));
        let mut largest = 0.0_f64;
        for input in &fixture.samples.0[8..] {
            for (output, expected) in infer(&graph, input).iter().zip(ranges.outputs(&input.0)) {
                largest = output.iter().zip(&expected).map(|(x, y)| (x - y).abs()).fold(largest, f64::max);
            }
        }
        println!("{}: largest error {:.3} % of {:.2}", fixture.name, 100.0 * largest / report.largest_output, report.largest_output);
        assert!(largest <= 0.01 * report.largest_output, "{}: {largest} of {}", fixture.name, report.largest_output);
    }
}

#[test]
fn files_round_trip_and_compiling_is_deterministic() {
    for fixture in all() {
        let (graph, report) = compile(&fixture.path, Some(&fixture.samples), &options()).unwrap();
        let (again, report_again) = compile(&fixture.path, Some(&fixture.samples), &options()).unwrap();
        let bytes = graph.to_bytes().unwrap();
        assert_eq!(bytes, again.to_bytes().unwrap());
        assert_eq!(report, report_again);
        assert_eq!(Graph::from_bytes(&bytes).unwrap(), graph);
    }
}

#[test]
fn a_final_softmax_is_computed_or_dropped() {
    let fixture = fixtures().join("softmax.onnx");
    let computed = import(&fixture, &ImportOptions::default()).unwrap();
    let dropped = import(&fixture, &dropping_softmax()).unwrap();
    let input: Vec<Vec<f64>> =
        dropped.inputs.iter().map(|&id| (0..dropped.values[id].len()).map(|e| (e % 7) as f64 - 3.0).collect()).collect();
    let parts = softmax(&dropped.outputs(&input)[0]);
    assert!(computed.outputs(&input)[0].iter().zip(&parts).all(|(x, y)| (x - y).abs() < 1e-12));
}

#[test]
fn models_are_refused_with_what_where_and_how() {
    let cases: &[(&str, &[&str])] = &[
        ("operator", &["`n_y`", "RandomNormalLike", "random numbers an input", "docs/operators.md"]),
        ("domain", &["`n_y`", "com.example.Relu"]),
        ("attribute", &["`n_y`", "Conv", "`sparsity`"]),
        ("attribute_type", &["`group`", "INT"]),
        ("auto_pad", &["`auto_pad`", "DIAGONAL"]),
        ("zero_stride", &["`strides`"]),
        ("huge_pads", &["`pads`"]),
        ("storage_order", &["`n_y`", "`storage_order`", "is 2 where 0 or 1 is needed"]),
        ("indices", &["`n_y`", "AveragePool", "further output `z`"]),
        ("training", &["`n_y`", "training mode"]),
        ("computed_shape", &["`n_y`", "Reshape", "input `s` must be a constant"]),
        ("open_axis", &["`x`", "axis 2", "`height`"]),
        ("open_sequence", &["`x`", "axis 0", "`sequence`"]),
        ("text_input", &["`x`", "numbers or truth values"]),
        ("nan", &["`w`", "element 0", "NaN"]),
        ("nan_product", &["`n_y`", "`w`", "element 2", "NaN"]),
        ("infinite", &["`w`", "inf"]),
        ("opset", &["version 6"]),
        ("future_opset", &["version 99"]),
        ("missing_input", &["`n_y`", "`q`"]),
        ("unused_input", &["input `z`"]),
        ("declared_shape", &["output `y`"]),
        ("reshape", &["`n_y`", "[1, 5]"]),
        ("perm", &["`perm`"]),
        ("kernel_too_large", &["`n_y`", "kernel"]),
        ("average_of_padding", &["`n_y`", "AveragePool", "wholly in the padding"]),
        ("external_parent", &["`w`", "outside the model's folder"]),
        ("external_absolute", &["`w`", "outside the model's folder"]),
        ("external_missing", &["`w`", "nothing.bin"]),
        ("short_weights", &["`w`", "36 elements"]),
        ("negative_dimension", &["`w`", "-2"]),
        ("training_outputs", &["`n_y`", "training mode"]),
        ("training_9", &["`n_y`", "training mode"]),
        ("training_mode_13", &["`training_mode`", "from operator set 14 on", "uses 13"]),
        ("same_stride", &["`n_y`", "`auto_pad`", "stride 3", "kernel of 1"]),
        ("same_stride_conv", &["`n_y`", "`auto_pad`", "stride 4", "kernel of 1"]),
        ("valid_ceil", &["`n_y`", "`auto_pad`", "ceil_mode"]),
        ("pool_pads", &["`n_y`", "padding [2, 2]", "kernel 2"]),
        ("average_dilations", &["`dilations`", "from operator set 19 on"]),
        ("ceil_9", &["`ceil_mode`", "from operator set 10 on"]),
        ("split_uneven", &["`n_y`", "Split", "not divisible into 2 equal parts"]),
        ("infinite_constant", &["`n_y`", "element 1", "`c`", "-inf"]),
        ("clip_nan", &["`n_y`", "bounds NaN and 0"]),
        ("fold_shapes", &["`n_c`", "[2]", "[3]", "broadcast"]),
        ("same_dilations", &["`n_y`", "SAME beside dilations"]),
        ("squeeze_none", &["`n_s`", "axes is empty"]),
        ("weights_empty", &["`n_y`", "[1, 0] is empty"]),
        ("learned_text", &["`n_index`", "LinearClassifier", "`classlabels_strings`", "are text", "integers in their place"]),
        ("learned_version", &["version 99", "ai.onnx.ml"]),
        ("top_many", &["`n_y`", "TopK", "4 of 3"]),
    ];
    let files = std::fs::read_dir(fixtures().join("bad")).unwrap().count();
    assert_eq!(files, cases.len(), "every file of bad/ has its case");
    for (name, words) in cases {
        let error = import(&fixtures().join("bad").join(format!("{name}.onnx")), &ImportOptions::default()).expect_err(name);
        let text = error.to_string();
        for word in *words {
            assert!(text.contains(word), "{name}: {text}");
        }
        assert!(!matches!(error, ImportError::Panic(_)), "{name}: {text}");
    }
}

#[test]
fn files_that_are_no_models_are_refused() {
    assert!(matches!(import(Path::new("nowhere/model.onnx"), &ImportOptions::default()), Err(ImportError::Read { .. })));
    for bytes in [&b""[..], b"hello, this is text", b"\x89PNG\r\n\x1a\n", &[0xff; 64], b"{\"samples\": []}"] {
        assert!(matches!(import_bytes(bytes, &ImportOptions::default()), Err(ImportError::NotOnnx(_))), "{bytes:?}");
    }
}

/// Damaged models give an error or a model, never a panic, and what is accepted compiles or is refused likewise.
#[test]
fn damaged_models_never_panic() {
    let mut state = 1_u64;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as usize
    };
    let mut accepted = 0;
    for fixture in all() {
        let bytes = std::fs::read(&fixture.path).unwrap();
        for round in 0..60 {
            let mut damaged = bytes.clone();
            for _ in 0..=next() % 3 {
                let position = next() % damaged.len();
                damaged[position] = if round % 2 == 0 { next() as u8 } else { damaged[position] ^ (1 << (next() % 8)) };
            }
            if round % 10 == 0 {
                damaged.truncate(next() % bytes.len());
            }
            match import_bytes(&damaged, &dropping_softmax()) {
                Ok(_) => {
                    accepted += 1;
                    let _ = zkslice_compiler::compile_bytes(&damaged, Some(&fixture.samples), &Options { bits: Some(10), ..options() });
                }
                Err(ImportError::Panic(text)) => panic!("{}: {text}", fixture.name),
                Err(_) => {}
            }
        }
    }
    assert!(accepted > 100);
}
