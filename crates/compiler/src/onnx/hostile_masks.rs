//! Masks whose numbers are large, and rows that they hide whole.
#![allow(clippy::unwrap_used)]

use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{GraphProto, NodeProto, TensorProto, ValueInfoProto};

use super::hostile::{floats, graph, import, int, ints, node, value};

const SCORES: [f64; 4] = [0.9, -0.9, 0.5, -0.5];

/// The outputs of a model of truth values `m` and scores `x`, both of one row.
fn run(nodes: &[NodeProto], initialisers: Vec<TensorProto>, keep: [f64; 4]) -> Vec<f64> {
    let inputs = vec![value("m", DataType::Bool, &[1, 4]), value("x", DataType::Float, &[1, 4])];
    let graph = import(17, inputs, nodes.to_vec(), initialisers).unwrap();
    graph.outputs(&[keep.to_vec(), SCORES.to_vec()]).remove(0)
}

fn soft_max(scores: &[f64]) -> Vec<f64> {
    let sum: f64 = scores.iter().map(|x| x.exp()).sum();
    scores.iter().map(|x| x.exp() / sum).collect()
}

fn assert_near(output: &[f64], expected: &[f64], what: &str) {
    let near = |(x, y): (&f64, &f64)| (x - y).abs() < 1e-6 || x.is_nan() && y.is_nan();
    assert!(output.len() == expected.len() && output.iter().zip(expected).all(near), "{what}: {output:?}, not {expected:?}");
}

/// Beside a number that hides, `x − number` would keep nothing of x.
#[test]
fn attack_a_choice_beside_a_large_number() {
    let keep = [1.0, 1.0, 0.0, 1.0];
    for number in [-1e17, -1e20, -3.4e38_f32, 1e20] {
        let constant = || vec![floats("n", &[number])];
        let chosen = [node("Where", &["m", "x", "n"], "s", Vec::new()), node("Tanh", &["s"], "y", Vec::new())];
        let expected = [0.9_f64.tanh(), (-0.9_f64).tanh(), f64::from(number.signum()), (-0.5_f64).tanh()];
        assert_near(&run(&chosen, constant(), keep), &expected, "Where and Tanh");
        let other = [node("Where", &["m", "n", "x"], "s", Vec::new()), node("Tanh", &["s"], "y", Vec::new())];
        assert_near(&run(&other, constant(), [0.0, 0.0, 1.0, 0.0]), &expected, "Where of the other and Tanh");
    }
    // A soft max's masked scores are known in a subgraph, too, and in the model though a subgraph makes them.
    let named = |name: &str| ValueInfoProto { name: name.into(), ..ValueInfoProto::default() };
    let branch = |nodes: &[NodeProto]| GraphProto {
        node: nodes.to_vec(),
        output: vec![named(&nodes.last().unwrap().output[0])],
        ..GraphProto::default()
    };
    let masked = || node("Where", &["m", "x", "n"], "s", Vec::new());
    let either = |then: &[NodeProto], output: &str| {
        let otherwise = branch(&[node("Neg", &["x"], "q", Vec::new())]);
        node("If", &["yes"], output, vec![graph("then_branch", branch(then)), graph("else_branch", otherwise)])
    };
    let inside = [either(&[masked(), node("Softmax", &["s"], "p", Vec::new())], "y")];
    let outside = [either(&[masked()], "t"), node("Softmax", &["t"], "y", Vec::new())];
    for (nodes, what) in [(&inside[..], "inside"), (&outside[..], "outside")] {
        let constants = vec![floats("n", &[-3.4e38]), ints("yes", DataType::Bool, &[1])];
        let kept = soft_max(&[0.9, -0.9, -0.5]);
        assert_near(&run(nodes, constants, keep), &[kept[0], kept[1], 0.0, kept[2]], what);
    }
}

/// A row that a computed mask hides: floats of 32 bits keep its scores beside a small number, lose them beside a large one, and
/// round them between, where there is no proof.
#[test]
fn attack_rows_that_a_computed_mask_hides() {
    let (scores, none, even) = (soft_max(&SCORES), [f64::NAN; 4], [0.25; 4]);
    let bias = [0.0, 1.0, 2.0, 3.0];
    let add = |x: &str, y: &str, output: &str| node("Add", &[x, y], output, Vec::new());
    let choose = |x: &str, output: &str| node("Where", &["m", x, "n"], output, Vec::new());
    let last = || node("Softmax", &["s"], "y", Vec::new());
    // What is chosen takes the place of scores.
    let replaced = [choose("x", "s"), last()];
    // What is chosen is added.
    let lowered = [choose("zero", "b"), add("x", "b", "s"), last()];
    let written = [
        node("Cast", &["m"], "f", vec![int("to", 1)]),
        node("Sub", &["one", "f"], "g", Vec::new()),
        node("Mul", &["g", "n"], "b", Vec::new()),
        add("x", "b", "s"),
        last(),
    ];
    // Numbers are added to what is chosen.
    let raised = [choose("x", "t"), add("t", "c", "s"), last()];
    type Cases<'a> = &'a [(&'a [f32], &'a [f64])];
    let table: [(&str, &[NodeProto], Cases<'_>); 4] = [
        ("replaced", &replaced, &[(&[-1e4], &even), (&[-1e6], &even), (&[-3e38], &even), (&[-1e4, -2e4, -1e4, -1e4], &none)]),
        ("lowered", &lowered, &[(&[-1e4], &scores), (&[-65504.0], &scores), (&[-1e6], &none), (&[-1e9], &none), (&[-3e38], &even)]),
        ("written", &written, &[(&[-1e4], &scores), (&[-1e6], &none), (&[-5e7], &none), (&[-1.1e8], &none), (&[-3e38], &even)]),
        ("raised", &raised, &[(&[-1e4], &none), (&[-1e6], &none), (&[-3e38], &even)]),
    ];
    for (what, nodes, cases) in table {
        for (numbers, expected) in cases {
            let constants =
                || vec![floats("n", numbers), floats("zero", &[0.0]), floats("one", &[1.0]), floats("c", &bias.map(|x: f64| x as f32))];
            assert_near(&run(nodes, constants(), [0.0; 4]), expected, &format!("{what} {numbers:?}"));
            // A row that is shown has its scores, beside any number.
            let shown = if what == "raised" { soft_max(&[0.9, 0.1, 2.5, 2.5]) } else { scores.clone() };
            assert_near(&run(nodes, constants(), [1.0; 4]), &shown, &format!("{what} {numbers:?}, shown"));
        }
    }
    // In floats of 16 bits the same numbers keep less, and end earlier.
    let half = |numbers: f32| {
        let cast = node("Cast", &["t"], "s", vec![int("to", DataType::Float16 as i64)]);
        run(&[choose("x", "t"), cast, last()], vec![floats("n", &[numbers])], [0.0; 4])
    };
    assert_near(&half(-1e4), &even, "half");
    assert_near(&half(-1e9), &none, "half, beyond");
    let infinite = run(&replaced, vec![floats("n", &[f32::NEG_INFINITY])], [0.0; 4]);
    assert_near(&infinite, &none, "infinite");
}

/// A row that a constant mask hides: the same, as a sum and in Attention, beside a causal mask too.
#[test]
fn attack_rows_that_a_constant_mask_hides() {
    let inputs = || vec![value("x", DataType::Float, &[1, 4])];
    let sum = |number: f32| {
        let nodes = vec![node("Add", &["x", "b"], "s", Vec::new()), node("Softmax", &["s"], "y", Vec::new())];
        Ok::<_, super::ImportError>(import(17, inputs(), nodes, vec![floats("b", &[number; 4])])?.outputs(&[SCORES.to_vec()]).remove(0))
    };
    assert_near(&sum(-1e4).unwrap(), &soft_max(&SCORES), "-1e4");
    assert_near(&sum(-3.4e38).unwrap(), &[0.25; 4], "-3.4e38");
    // Beside -1e9 floats round a score of 40 to one of 64: how large scores are is not known here.
    for number in [-1e6, -1e9] {
        let error = sum(number).unwrap_err().to_string();
        assert!(error.contains("(Add)") && error.contains(&format!("its mask hides all of row 0 by {number}")), "{error}");
    }

    let four = |name: &str| value(name, DataType::Float, &[1, 1, 2, 2]);
    let attention = |rows: [[f32; 2]; 2], causal: i64| {
        let mask = TensorProto { dims: vec![2, 2], ..floats("b", &rows.concat()) };
        let nodes = vec![node("Attention", &["q", "k", "v", "b"], "y", vec![int("is_causal", causal)])];
        let graph = import(23, vec![four("q"), four("k"), four("v")], nodes, vec![mask])?;
        let one = vec![1.0, 2.0, -1.0, 0.5];
        Ok::<_, super::ImportError>(graph.outputs(&[one.clone(), one, vec![1.0, 0.0, 0.0, 1.0]]).remove(0))
    };
    // With these values the second row of the output is the second row of the soft max.
    assert_near(&attention([[0.0; 2], [-1e30; 2]], 0).unwrap()[2..], &[0.5, 0.5], "Attention");
    let error = attention([[0.0; 2], [-1e6; 2]], 0).unwrap_err().to_string();
    assert!(error.contains("(Attention)") && error.contains("hides all of row 1"), "{error}");
    // Here the causal mask hides what the other shows of the first row.
    assert_near(&attention([[-1e30, 0.0], [-1e30, -1e30]], 1).unwrap(), &[1.0, 0.0, 0.5, 0.5], "Attention, causal");
}

/// The mask of an Attention as exporters make it of truth values.
#[test]
fn an_attention_takes_a_computed_mask() {
    let four = |name: &str| value(name, DataType::Float, &[1, 1, 2, 2]);
    let one = vec![1.0, 2.0, -1.0, 0.5];
    // Scores of the two rows, scaled by 1/√2; the values make the output the soft max.
    let scores = [[5.0, 0.0], [0.0, 1.25]].map(|row| row.map(|x: f64| x / 2_f64.sqrt()));
    let run_with = |number: f32, written: bool, other: &str, keep: [f64; 4]| {
        let mut nodes = vec![node("Where", &["m", other, "n"], "b", Vec::new())];
        if written {
            nodes = vec![
                node("Cast", &["m"], "f", vec![int("to", 1)]),
                node("Sub", &["one", "f"], "g", Vec::new()),
                node("Mul", &["g", "n"], "b", Vec::new()),
            ];
        }
        nodes.push(node("Attention", &["q", "k", "v", "b"], "y", Vec::new()));
        let inputs = vec![four("q"), four("k"), four("v"), value("m", DataType::Bool, &[2, 2])];
        let initialisers = vec![floats("n", &[number]), floats("zero", &[0.0]), floats("one", &[1.0])];
        let graph = import(23, inputs, nodes, initialisers).unwrap();
        graph.outputs(&[one.clone(), one.clone(), vec![1.0, 0.0, 0.0, 1.0], keep.to_vec()]).remove(0)
    };
    let run = |number: f32, written: bool, keep: [f64; 4]| run_with(number, written, "zero", keep);
    let rows = [soft_max(&scores[0]), soft_max(&scores[1])];
    for (number, written) in [(-1e4, false), (-1e9, false), (-3.4e38, false), (f32::NEG_INFINITY, false), (-1e4, true), (-1e9, true)] {
        let what = format!("{number} {written}");
        assert_near(&run(number, written, [1.0; 4]), &rows.concat(), &what);
        assert_near(&run(number, written, [1.0, 0.0, 0.0, 1.0]), &[1.0, 0.0, 0.0, 1.0], &what);
    }
    let hidden = |number: f32| run(number, false, [1.0, 1.0, 0.0, 0.0])[2..].to_vec();
    assert_near(&hidden(-1e4), &rows[1], "-1e4");
    assert_near(&hidden(-1e9), &[f64::NAN; 2], "-1e9");
    assert_near(&hidden(-3.4e38), &[0.5; 2], "-3.4e38");
    assert_near(&hidden(f32::NEG_INFINITY), &[f64::NAN; 2], "-inf");
    // Numbers of the input that it hides are no scores yet: these are added.
    assert_near(&run_with(-1e4, false, "v", [1.0, 1.0, 0.0, 0.0])[2..], &[f64::NAN; 2], "a hidden bias");
    assert_near(&run_with(-3.4e38, false, "v", [1.0, 1.0, 0.0, 0.0])[2..], &[0.5; 2], "a lost bias");
    let biased = soft_max(&[scores[1][0], scores[1][1] + 1.0]);
    assert_near(&run_with(-1e4, false, "v", [1.0; 4])[2..], &biased, "a bias");
}
