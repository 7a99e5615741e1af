//! The models of `tests/models`: the float executor against ONNX Runtime, and the integer graph against the float model.
use std::path::PathBuf;

use zkslice_compiler::{ImportOptions, InputRange, MaxError, Options, Report, arg_max, compile, import};
use zkslice_graph::{Graph, Input, Samples, decode_outputs, encode, execute};

/// Largest logit error on held-out data that is accepted, with options as they stand; logits reach 16 to 35.
const MODELS: [(&str, f64); 8] = [
    ("mlp_digits", 0.15),
    ("mlp_784", 0.3),
    ("lenet5_avg", 0.3),
    ("lenet5_max", 0.3),
    ("cnn_3x32", 0.35),
    ("lstm_s8h16", 0.3),
    ("gru_s8h16", 0.3),
    ("tblock_d64s8", 0.6),
];

fn folder(model: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/models").join(model)
}

fn read(model: &str, file: &str) -> Vec<u8> {
    std::fs::read(folder(model).join(file)).unwrap()
}

fn range(input: &str, min: f64, max: f64) -> Vec<InputRange> {
    vec![InputRange { input: Some(input.into()), feature: None, min, max }]
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
    let mut archive = zip::ZipArchive::new(std::io::BufReader::new(file)).unwrap();
    let array = npyz::NpyFile::new(archive.by_name("x.npy").unwrap()).unwrap();
    let size: usize = array.shape()[1..].iter().map(|&n| n as usize).product();
    let flat: Vec<f32> = array.into_vec().unwrap();
    flat.chunks_exact(size).map(|chunk| Input(vec![chunk.iter().map(|&x| f64::from(x)).collect()])).collect()
}

#[test]
fn float_executor_agrees_with_onnx_runtime() {
    for (model, _) in MODELS {
        let graph = import(&folder(model).join("model.onnx"), &ImportOptions::default()).unwrap();
        let input = Input::from_json(&read(model, "input.json")).unwrap();
        let expected: serde_json::Value = serde_json::from_slice(&read(model, "expected.json")).unwrap();
        let outputs = graph.outputs(&input.0);
        for (x, y) in outputs[0].iter().zip(expected["output_data"][0].as_array().unwrap()) {
            assert!((x - y.as_f64().unwrap()).abs() < 1e-4, "{model}: {x} {y}");
        }
    }
}

#[test]
fn lenet_runs_in_milliseconds() {
    let (graph, _) = compiled("lenet5_avg");
    let input = encode(&graph, &Input::from_json(&read("lenet5_avg", "input.json")).unwrap()).unwrap();
    let start = std::time::Instant::now();
    for _ in 0..20 {
        execute(&graph, &input).unwrap();
    }
    let each = start.elapsed() / 20;
    println!("lenet5_avg: {each:?} a run");
    assert!(each.as_millis() < 50, "{each:?}");
}

#[test]
fn inputs_are_refused_with_what_where_and_how() {
    let (graph, _) = compiled("mlp_digits");
    let error = |list: Vec<f64>| encode(&graph, &Input(vec![list])).unwrap_err().to_string();
    let mut list = vec![0.5; 64];
    assert!(encode(&graph, &Input(vec![list.clone()])).is_ok());
    list[7] = 1.5;
    let text = error(list.clone());
    assert!(text.contains("`input`") && text.contains("element 7") && text.contains("1.5 is outside") && text.contains("[0, 1"), "{text}");
    list[7] = f64::NAN;
    assert!(error(list.clone()).contains("not a finite number"));
    assert!(error(vec![0.0; 63]).contains("takes 64 values, 63 were given"));
    assert!(encode(&graph, &Input(vec![])).unwrap_err().to_string().contains("0 lists where the model has 1"));
    let mut integers = vec![vec![0_i64; 64]];
    integers[0][3] = 256;
    let text = execute(&graph, &integers).unwrap_err().to_string();
    assert!(text.contains("`input`, element 3: integer 256 is outside [0, 255]"), "{text}");
    assert!(execute(&graph, &[]).is_err());
    assert!(execute(&graph, &[vec![0; 63]]).is_err());
}

#[test]
fn values_beyond_calibration_are_refused_by_node() {
    let samples = Samples::from_json(&read("mlp_digits", "samples.json")).unwrap();
    let dim = Samples(samples.0.iter().map(|Input(lists)| Input(vec![lists[0].iter().map(|x| x * 0.1).collect()])).collect());
    let options = Options { input_ranges: range("input", 0.0, 1.0), ..Options::default() };
    let (graph, _) = compile(&folder("mlp_digits").join("model.onnx"), Some(&dim), &options).unwrap();
    let input = encode(&graph, &samples.0[0]).unwrap();
    let text = execute(&graph, &input).unwrap_err().to_string();
    assert!(text.contains("node `/Relu`") && text.contains("outside the calibrated range"), "{text}");
}

#[test]
fn options_are_checked_and_max_error_is_kept() {
    let path = folder("mlp_digits").join("model.onnx");
    let samples = Samples::from_json(&read("mlp_digits", "samples.json")).unwrap();
    let refused = |samples: Option<&Samples>, options: Options| compile(&path, samples, &options).unwrap_err().to_string();
    let standard = Options::default;
    assert!(refused(Some(&samples), Options { max_error: Some(MaxError::Absolute(1e-9)), ..standard() }).contains("--max-error"));
    assert!(
        compile(&path, Some(&samples), &Options { max_error: Some(MaxError::Absolute(0.02)), input_bits: Some(12), ..standard() }).is_ok()
    );
    for bits in [7, 17] {
        let text = refused(Some(&samples), Options { bits: Some(bits), ..standard() });
        assert!(text.contains(&format!("{bits} bits of inner values (--bits) are outside 8 to 16")), "{text}");
    }
    assert!(refused(Some(&samples), Options { input_bits: Some(0), ..standard() }).contains("input bits"));
    assert!(refused(Some(&samples), Options { margin: Some(0.5), ..standard() }).contains("margin 0.5 is outside"));
    assert!(refused(Some(&samples), Options { inner_margin: Some(0.5), ..standard() }).contains("inner margin 0.5 is outside"));
    for share in [-0.1, 1.1, f64::NAN] {
        let text = refused(Some(&samples), Options { min_agreement: Some(share), ..standard() });
        assert!(text.contains("(--min-agreement)") && text.contains("outside 0 to 1"), "{text}");
    }
    assert!(refused(Some(&samples), Options { input_ranges: range("x", 0.0, 1.0), ..standard() }).contains("`x`"));
    assert!(refused(None, standard()).contains("no samples and no range for input `input`"));
    let ranged = Options { input_ranges: range("input", 0.0, 1.0), ..standard() };
    assert_eq!(compile(&path, None, &ranged).unwrap().1.samples, 0);
    let short = Samples(vec![Input(vec![vec![0.0; 63]])]);
    assert!(refused(Some(&short), standard()).contains("sample 0: input `input` takes 64 values"));
    let narrow = Options { input_ranges: range("input", 0.0, 0.5), ..standard() };
    assert!(refused(Some(&samples), narrow).contains("outside the calibrated range"));
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
    for (model, largest_error) in MODELS {
        let (agreement, error, _) = accuracy(model);
        assert!(agreement >= 0.99, "{model}: {agreement}");
        assert!(error <= largest_error, "{model}: {error}");
    }
}

/// A trained ResNet-20, whose last pool sees few numbers per channel: at default settings it takes images that nothing was
/// calibrated on (all 1,000 where `ZKSLICE_HELDOUT` says so), with the classes of the float model.
#[test]
fn a_residual_network_takes_honest_images() {
    let (graph, report) = compiled("resnet20");
    assert!(report.largest_error <= 0.01 * report.largest_output, "{report:?}");
    let file = std::fs::File::open(folder("resnet20").join("heldout.npz")).unwrap();
    let mut archive = zip::ZipArchive::new(std::io::BufReader::new(file)).unwrap();
    // 128 times the pixels, as whole numbers.
    let flat: Vec<i16> = npyz::NpyFile::new(archive.by_name("x.npy").unwrap()).unwrap().into_vec().unwrap();
    let labels: Vec<i64> = npyz::NpyFile::new(archive.by_name("y.npy").unwrap()).unwrap().into_vec().unwrap();
    let count = std::env::var("ZKSLICE_HELDOUT").map_or(100, |_| labels.len());
    let (mut refused, mut right) = (0, 0);
    for (image, label) in flat.chunks_exact(3 * 32 * 32).zip(&labels).take(count) {
        let input = Input(vec![image.iter().map(|&x| f64::from(x) / 128.0).collect()]);
        match encode(&graph, &input).map_err(|_| ()).and_then(|integers| execute(&graph, &integers).map_err(|_| ())) {
            Ok(values) => {
                let outputs = decode_outputs(&graph, &[values[graph.outputs[0].tensor].clone()]);
                right += usize::from(arg_max(&outputs[0]) == Some(*label as usize));
            }
            Err(()) => refused += 1,
        }
    }
    println!("resnet20: {refused} of {count} refused, {right} right");
    assert!(refused * 500 <= count, "{refused} of {count} refused");
    assert!(right * 100 >= count * 98, "{right} of {count} right");
}

/// Values beyond the calibrated range are clamped where that was asked for, as the report states.
#[test]
fn clamped_models_take_what_others_refuse() {
    let samples = Samples::from_json(&read("mlp_digits", "samples.json")).unwrap();
    let dim = Samples(samples.0.iter().map(|Input(lists)| Input(vec![lists[0].iter().map(|x| x * 0.3).collect()])).collect());
    let path = folder("mlp_digits").join("model.onnx");
    let options = |clamp| Options { clamp, input_ranges: range("input", 0.0, 1.0), allow_error: true, ..Options::default() };
    let (strict, _) = compile(&path, Some(&dim), &options(None)).unwrap();
    let (clamped, report) = compile(&path, Some(&dim), &options(Some(0.999))).unwrap();
    assert_eq!(report.clamp, Some(0.999));
    assert_eq!(Graph::from_bytes(&clamped.to_bytes().unwrap()).unwrap(), clamped);
    let refuses = |graph: &Graph, input: &Input| execute(graph, &encode(graph, input).unwrap()).is_err();
    assert!(samples.0.iter().filter(|input| refuses(&strict, input)).count() > 8);
    assert_eq!(samples.0.iter().filter(|input| refuses(&clamped, input)).count(), 0);
    let text = compile(&path, Some(&dim), &options(Some(0.5))).unwrap_err().to_string();
    assert!(text.contains("clamp 0.5"), "{text}");
}
