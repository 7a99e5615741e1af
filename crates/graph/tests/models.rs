//! The models of `tests/models`: the float executor against ONNX Runtime, and the integer graph against the float model.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::PathBuf;

use zkslice_graph::{Graph, ImportOptions, Input, Options, Report, Samples, arg_max, compile, decode_outputs, encode, execute, import};

fn folder(model: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/models").join(model)
}

fn read(model: &str, file: &str) -> Vec<u8> {
    std::fs::read(folder(model).join(file)).unwrap()
}

fn compiled(model: &str) -> (Graph, Report) {
    let samples = Samples::from_json(&read(model, "samples.json")).unwrap();
    compile(&folder(model).join("model.onnx"), Some(&samples), &Options::default()).unwrap()
}

fn infer(graph: &Graph, input: &Input) -> Vec<Vec<f64>> {
    let integers = encode(graph, input).unwrap();
    let values = execute(graph, &integers).unwrap();
    let outputs: Vec<Vec<i64>> = graph.outputs.iter().map(|port| values[port.tensor].clone()).collect();
    decode_outputs(graph, &outputs)
}

fn heldout(model: &str) -> Vec<Input> {
    let file = std::fs::File::open(folder(model).join("heldout.npz")).unwrap();
    let mut archive = npyz::npz::NpzArchive::new(std::io::BufReader::new(file)).unwrap();
    let array = archive.by_name("x").unwrap().unwrap();
    let size: usize = array.shape()[1..].iter().map(|&n| n as usize).product();
    let flat: Vec<f32> = array.into_vec().unwrap();
    flat.chunks_exact(size).map(|chunk| Input(vec![chunk.iter().map(|&x| f64::from(x)).collect()])).collect()
}

#[test]
fn float_executor_agrees_with_onnx_runtime() {
    for model in ["mlp_digits", "mlp_784", "lenet5_avg", "lenet5_max", "cnn_3x32"] {
        let graph = import(&folder(model).join("model.onnx"), &ImportOptions::default()).unwrap();
        let input = Input::from_json(&read(model, "input.json")).unwrap();
        let expected: serde_json::Value = serde_json::from_slice(&read(model, "expected.json")).unwrap();
        let outputs = graph.outputs(&input.0);
        for (x, y) in outputs[0].iter().zip(expected["output_data"][0].as_array().unwrap()) {
            assert!((x - y.as_f64().unwrap()).abs() < 1e-4, "{model}: {x} {y}");
        }
    }
}

/// Top-1 agreement on held-out data and the largest logit error, without a refusal; calibrated on samples alone.
fn accuracy(model: &str) -> (f64, f64, Report) {
    let (graph, report) = compiled(model);
    let float = import(&folder(model).join("model.onnx"), &ImportOptions::default()).unwrap();
    let inputs = heldout(model);
    assert_eq!(inputs.len(), 168);
    let (mut agreed, mut error) = (0_usize, 0.0_f64);
    for input in &inputs {
        let outputs = infer(&graph, input);
        let expected = float.outputs(&input.0);
        agreed += usize::from(arg_max(&outputs[0]) == arg_max(&expected[0]));
        error = outputs[0].iter().zip(&expected[0]).map(|(x, y)| (x - y).abs()).fold(error, f64::max);
    }
    let agreement = agreed as f64 / inputs.len() as f64;
    println!(
        "{model}: w = {}, top-1 agreement {agreement:.4}, largest error {error:.4} (samples: {:.4}, mean {:.5}, largest output {:.1}), {:?}",
        report.table_bits, report.largest_error, report.mean_error, report.largest_output, report.sites
    );
    (agreement, error, report)
}

#[test]
fn quantised_models_agree_with_float_ones_on_held_out_data() {
    for (model, largest_error) in [("mlp_digits", 9.9), ("mlp_784", 9.9), ("lenet5_avg", 9.9), ("lenet5_max", 9.9), ("cnn_3x32", 9.9)] {
        let (agreement, error, _) = accuracy(model);
        assert!(agreement >= 0.99, "{model}: {agreement}");
        assert!(error <= largest_error, "{model}: {error}");
    }
}
