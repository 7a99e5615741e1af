//! Accuracy and rows of the models that the project answers for: quantised against float on held-out data, whole and cut
//! into slices. What the operators do to single values is tested in `crates/compiler`.

use zkslice_compiler::{FloatGraph, ImportOptions, Options, Report, arg_max, compile, import};
use zkslice_graph::{Graph, Input, decode_outputs, encode, execute};
use zkslice_slicer::{InputMode, Package, PackageOptions, SliceModel, Strategy, TensorKind, partition, rows, slice};
use zkslice_tests::{heldout, model, repository, samples};

const MODELS: [&str; 8] = ["mlp_784", "lenet5_avg", "lenet5_max", "cnn_3x32", "lstm_s8h16", "gru_s8h16", "tblock_d64s8", "demo"];

fn compiled(name: &str) -> (FloatGraph, Graph, Report) {
    let path = model(name).join("model.onnx");
    let (graph, report) = compile(&path, Some(&samples(name)), &Options::default()).unwrap();
    (import(&path, &ImportOptions::default()).unwrap(), graph, report)
}

fn cut(graph: &Graph, slices: usize, mode: InputMode) -> SliceModel {
    let partition = partition(graph, Strategy::Slices(slices), mode).unwrap();
    slice(graph, &partition.cuts, mode).unwrap()
}

/// Executes the slices one after the other, each with nothing but the tensors that it reads.
fn execute_slices(model: &SliceModel, inputs: Vec<Vec<i64>>) -> Vec<Vec<i64>> {
    let mut tensors: Vec<Option<Vec<i64>>> = vec![None; model.wiring.tensors.len()];
    for (slot, values) in tensors.iter_mut().zip(inputs) {
        *slot = Some(values);
    }
    for slice in &model.slices {
        let read: Vec<Vec<i64>> = slice.reads.iter().map(|t| tensors[*t].clone().expect("written before it is read")).collect();
        let values = execute(&slice.graph, &read).expect("no slice saturates");
        for (t, port) in slice.writes.iter().zip(&slice.graph.outputs) {
            tensors[*t] = Some(values[port.tensor].clone());
        }
    }
    let outputs = model.wiring.tensors.iter().zip(tensors).filter(|(tensor, _)| tensor.kind == TensorKind::Output);
    outputs.map(|(_, values)| values.expect("written")).collect()
}

/// How many of held-out inputs the float model gets right, the quantised one gets right, and both agree on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Score {
    all: usize,
    float: usize,
    quantised: usize,
    agreed: usize,
}

fn score(float: &FloatGraph, graph: &Graph, data: &[(Input, usize)], infer: impl Fn(&Input) -> Vec<Vec<i64>>) -> Score {
    let mut score = Score { all: data.len(), ..Score::default() };
    for (input, label) in data {
        let expected = arg_max(&float.outputs(&input.0)[0]);
        let found = arg_max(&decode_outputs(graph, &infer(input))[0]);
        score.float += usize::from(expected == Some(*label));
        score.quantised += usize::from(found == Some(*label));
        score.agreed += usize::from(found == expected);
    }
    score
}

/// Calibrated on `samples.json` alone; no held-out input saturates a node (`execute` would refuse it).
#[test]
fn quantised_models_agree_with_float_ones_also_in_slices() {
    for name in MODELS {
        let (float, graph, report) = compiled(name);
        let data = heldout(name);
        let outputs = |input: &Input| {
            let values = execute(&graph, &encode(&graph, input).unwrap()).expect("no node saturates");
            graph.outputs.iter().map(|port| values[port.tensor].clone()).collect()
        };
        let whole = score(&float, &graph, &data, outputs);
        println!(
            "{name}: {} held-out inputs; float {:.4}, quantised {:.4} right; top-1 agreement {:.4}; table of {} bits",
            whole.all,
            whole.float as f64 / whole.all as f64,
            whole.quantised as f64 / whole.all as f64,
            whole.agreed as f64 / whole.all as f64,
            report.table_bits
        );
        assert!(whole.agreed * 100 >= whole.all * 99, "{name}: {whole:?}");
        // Quantising costs at most one percent of right answers.
        assert!((whole.float - whole.quantised.min(whole.float)) * 100 <= whole.all, "{name}: {whole:?}");
        if name == "demo" {
            let readme = std::fs::read_to_string(model(name).join("README.md")).unwrap();
            let line = |form: &str, right: usize| {
                let share = right as f64 / whole.all as f64;
                let figures = format!("{right} of {} = {share:.4}", whole.all);
                assert!(
                    readme.lines().any(|line| line.starts_with(form) && line.contains(&figures)),
                    "demo/model/README.md: {form} {figures}"
                );
            };
            line("Float accuracy", whole.float);
            line("Quantised accuracy", whole.quantised);
        }
        let slices = if name == "mlp_784" { 2 } else { 3 };
        for mode in [InputMode::Public, InputMode::Private] {
            let cut = cut(&graph, slices, mode);
            for (input, _) in &data {
                let integers = encode(&graph, input).unwrap();
                assert_eq!(execute_slices(&cut, integers), outputs(input), "{name} in {slices} slices");
            }
        }
    }
}

/// However a graph is cut, its slices compute what it computes.
#[test]
fn every_number_of_slices_computes_the_same() {
    for name in ["lenet5_avg", "cnn_3x32", "tblock_d64s8"] {
        let (_, graph, _) = compiled(name);
        let input = Input::from_json(&std::fs::read(model(name).join("input.json")).unwrap()).unwrap();
        let integers = encode(&graph, &input).unwrap();
        let values = execute(&graph, &integers).unwrap();
        let expected: Vec<Vec<i64>> = graph.outputs.iter().map(|port| values[port.tensor].clone()).collect();
        let most = (1..).take_while(|n| partition(&graph, Strategy::Slices(*n), InputMode::Public).is_ok()).last().unwrap();
        assert!(most >= 3, "{name}: at most {most} slices");
        for slices in 1..=most {
            let cut = cut(&graph, slices, InputMode::Public);
            assert_eq!(cut.slices.len(), slices);
            assert_eq!(execute_slices(&cut, integers.clone()), expected, "{name} in {slices} slices");
        }
        println!("{name}: 1 to {most} slices agree");
    }
}

/// The same through a package on disk, also where a residual connection crosses the cut.
#[test]
fn packages_compute_what_the_graph_computes() {
    let fixtures = repository().join("crates/compiler/tests/fixtures");
    let folder = tempfile::tempdir().unwrap();
    let cases =
        [("lenet5_avg", model("lenet5_avg").join("model.onnx"), 3), ("residual_two_convs", fixtures.join("residual_two_convs.onnx"), 2)];
    for (name, path, most) in cases {
        let samples = if name == "lenet5_avg" {
            samples(name)
        } else {
            let file: serde_json::Value = serde_json::from_slice(&std::fs::read(path.with_extension("json")).unwrap()).unwrap();
            zkslice_graph::Samples::from_json(serde_json::json!({ "samples": file["samples"] }).to_string().as_bytes()).unwrap()
        };
        let (graph, _) = compile(&path, Some(&samples), &Options::default()).unwrap();
        for slices in [1, most] {
            let options = PackageOptions {
                name: name.into(),
                inputs: InputMode::Public,
                strategy: Strategy::Slices(slices),
                coverage_policy: Vec::new(),
            };
            Package::create(&folder.path().join(name), &graph, &options, serde_json::Value::Null).unwrap();
            let package = Package::open(&folder.path().join(name)).unwrap();
            for input in &samples.0 {
                let integers = package.encode(input).unwrap();
                assert_eq!(integers, encode(&graph, input).unwrap());
                let values = execute(&graph, &integers).unwrap();
                let expected: Vec<Vec<i64>> = graph.outputs.iter().map(|port| values[port.tensor].clone()).collect();
                let mut tensors = vec![Vec::new(); package.manifest().tensors.len()];
                tensors[..integers.len()].clone_from_slice(&integers);
                for slice in package.slices() {
                    let read: Vec<Vec<i64>> = slice.reads.iter().map(|t| tensors[*t].clone()).collect();
                    let values = execute(&slice.graph, &read).unwrap();
                    slice.writes.iter().zip(&slice.graph.outputs).for_each(|(t, port)| tensors[*t] = values[port.tensor].clone());
                }
                let first = integers.len();
                assert_eq!(tensors[first..first + expected.len()], expected, "{name} in {slices} slices");
                assert_eq!(package.decode(&expected), decode_outputs(&graph, &expected));
            }
        }
    }
}

/// One slice, range table and exact input digits included. The figures of `docs/benchmarks.md`.
#[test]
fn rows_stay_within_their_bounds() {
    // Public input; with a private one the Poseidon commitment of the input comes on top.
    let bounds = [
        ("mlp_784", 12_000),
        ("lenet5_avg", 26_000),
        ("lenet5_max", 60_000),
        ("cnn_3x32", 120_000),
        ("lstm_s8h16", 20_000),
        ("gru_s8h16", 11_000),
        ("tblock_d64s8", 65_000),
    ];
    for (name, bound) in bounds {
        let (_, graph, report) = compiled(name);
        let counts: Vec<usize> = [InputMode::Public, InputMode::Private]
            .into_iter()
            .map(|mode| {
                let whole = cut(&graph, 1, mode);
                let estimated = rows(whole.slices[0].bound()).total();
                let built = zkslice_graph::build_circuit(whole.slices[0].bound()).unwrap().layout().constraints();
                assert_eq!(estimated, built, "{name}: the cost model counts what the circuit has");
                built
            })
            .collect();
        println!("{name}: {} rows with public input, {} with private; table of {} bits", counts[0], counts[1], report.table_bits);
        assert!(counts[0] <= bound, "{name}: {} rows", counts[0]);
        assert!(counts[1] > counts[0]);
    }
}
