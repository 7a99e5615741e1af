//! Functions by table, products of computed values, and integers that stay what they are.

use zkslice_compiler::{FloatGraph, FloatNode, FloatOp, Kind, Options, Pointwise, Value, compile_float};
use zkslice_graph::{Graph, Input, Op, Samples, decode_outputs, encode, execute};

fn function(name: &'static str, formula: fn(f64, &[f64]) -> f64) -> FloatOp {
    FloatOp::Map(vec![Pointwise { name, parameters: Vec::new(), formula }])
}

fn sigmoid() -> FloatOp {
    function("Sigmoid", |x, _| 1.0 / (1.0 + libm::exp(-x)))
}

/// A graph over one input of `[1, 4]`; each node reads the values of the given indices and makes the next one.
fn graph(kind: Kind, nodes: Vec<(FloatOp, Vec<usize>)>, exact: &[usize]) -> FloatGraph {
    let value = |index: usize| Value {
        kind: if exact.contains(&index) { Kind::Integer } else { Kind::Real },
        ..Value::new(format!("v{index}"), vec![1, 4])
    };
    let mut values: Vec<Value> = (0..=nodes.len()).map(value).collect();
    values[0].kind = kind;
    let last = nodes.len();
    let node =
        |(index, (op, inputs)): (usize, (FloatOp, Vec<usize>))| FloatNode { name: format!("n{index}"), op, inputs, output: index + 1 };
    FloatGraph { values, nodes: nodes.into_iter().enumerate().map(node).collect(), inputs: vec![0], outputs: vec![("y".into(), last)] }
}

fn samples(numbers: impl Fn(usize) -> f64) -> Samples {
    Samples((0..32).map(|sample| Input(vec![(0..4).map(|e| numbers(4 * sample + e)).collect()])).collect())
}

fn wave(i: usize) -> f64 {
    3.0 * libm::sin(i as f64 * 0.7)
}

fn run(graph: &Graph, input: &[f64]) -> Vec<f64> {
    let values = execute(graph, &encode(graph, &Input(vec![input.to_vec()])).unwrap()).unwrap();
    decode_outputs(graph, &[values[graph.outputs[0].tensor].clone()]).remove(0)
}

/// One table serves both, and two nodes of one function share it too.
#[test]
fn tanh_and_sigmoid_have_one_table() {
    let tanh = || function("Tanh", |x, _| libm::tanh(x));
    let float = graph(Kind::Real, vec![(sigmoid(), vec![0]), (tanh(), vec![0]), (FloatOp::Product, vec![1, 2]), (tanh(), vec![3])], &[]);
    let (compiled, report) = compile_float(float.clone(), Some(&samples(wave)), &Options::default()).unwrap();
    assert_eq!(compiled.functions.len(), 1);
    assert!(report.largest_error < 0.01, "{report:?}");
    for input in [[-2.5, -0.1, 0.0, 2.9], [1.0, 2.0, -1.0, 0.5]] {
        let expected = float.outputs(&[input.to_vec()]).remove(0);
        for (x, y) in run(&compiled, &input).iter().zip(&expected) {
            assert!((x - y).abs() < 0.01, "{x} {y}");
        }
    }
}

/// What the model names alike is told apart by what it computes.
#[test]
fn functions_of_one_name_are_told_apart() {
    let cube = function("Pow", |x, _| x * x * x);
    let root = function("Pow", |x, _| libm::cbrt(x));
    let float = graph(Kind::Real, vec![(cube, vec![0]), (root, vec![1])], &[]);
    let (compiled, _) = compile_float(float, Some(&samples(|i| 2.0 + libm::sin(i as f64))), &Options::default()).unwrap();
    assert_eq!(compiled.functions.len(), 2);
    for (x, y) in run(&compiled, &[1.5, 2.0, 2.5, 3.0]).iter().zip([1.5, 2.0, 2.5, 3.0]) {
        assert!((x - y).abs() < 0.06, "{x} {y}");
    }
}

/// A function is asked only where it has a value; where the samples go and it has none, the model is refused by its node.
#[test]
fn functions_end_where_they_have_no_value() {
    let log = || function("Log", |x, _| libm::log(x));
    let float = graph(Kind::Real, vec![(log(), vec![0])], &[]);
    let (compiled, _) = compile_float(float.clone(), Some(&samples(|i| 4.0 + wave(i))), &Options::default()).unwrap();
    let integers = encode(&compiled, &Input(vec![vec![-1.0, 2.0, 2.0, 2.0]]));
    assert!(integers.is_err() || execute(&compiled, &integers.unwrap()).is_err(), "a negative number has no logarithm");
    let error = compile_float(float, Some(&samples(wave)), &Options::default()).unwrap_err().to_string();
    assert!(error.contains("`n0`") && error.contains("Log has no finite value"), "{error}");
}

/// A slope that a table cannot follow takes a wider one, or is refused: samples that do not go there would not show it. A leap is
/// one whatever the table's width, and stays.
#[test]
fn steep_functions_take_wider_tables() {
    let root = function("Root", |x, _| libm::cbrt(x.max(0.0)));
    let float = graph(Kind::Real, vec![(root, vec![0])], &[]);
    let numbers = |i: usize| if i == 0 { 0.0 } else { 100.0 + (i % 28) as f64 };
    let (compiled, report) = compile_float(float.clone(), Some(&samples(numbers)), &Options::default()).unwrap();
    assert!(compiled.functions[0].values.len() > 1 << 13, "{report:?}");
    let narrow = Options { bits: Some(8), ..Options::default() };
    let error = compile_float(float, Some(&samples(numbers)), &narrow).unwrap_err().to_string();
    assert!(error.contains("`n0`") && error.contains("steep"), "{error}");

    let leap = function("Leap", |x, _| if x > 0.7 { x } else { 0.0 });
    let float = graph(Kind::Real, vec![(leap, vec![0])], &[]);
    let options = Options { allow_error: true, ..Options::default() };
    let (compiled, _) = compile_float(float, Some(&samples(wave)), &options).unwrap();
    assert_eq!(run(&compiled, &[0.5, -1.0, 0.0, -3.0]), [0.0; 4]);
}

/// A divisor that is a few units says little. One so far below the samples' is refused, and what is not refused is as accurate as
/// on the samples.
#[test]
fn divisors_that_say_too_little_are_refused() {
    let positive = |i: usize| 1.0 + (i % 31) as f64 / 10.0;
    let signed = |i: usize| if i.is_multiple_of(2) { positive(i) } else { -positive(i) };
    let by_root = graph(
        Kind::Real,
        vec![(FloatOp::Product, vec![0, 0]), (FloatOp::Sqrt, vec![1]), (FloatOp::Divide { least_divisor: 0.0 }, vec![0, 2])],
        &[],
    );
    let third = FloatOp::Affine { axis: 0, coefficients: vec![vec![1.0 / 3.0]], bias: vec![0.0] };
    let by_sum = graph(
        Kind::Real,
        vec![(third, vec![0]), (FloatOp::Product, vec![0, 0]), (sigmoid(), vec![2]), (FloatOp::Divide { least_divisor: 0.0 }, vec![3, 1])],
        &[],
    );
    for (float, numbers) in [(by_root, &signed as &dyn Fn(usize) -> f64), (by_sum, &positive)] {
        let (compiled, report) = compile_float(float.clone(), Some(&samples(numbers)), &Options::default()).unwrap();
        let (mut answered, mut refused) = (0, 0);
        for x in (1..=400).map(|x| f64::from(x) / 100.0) {
            let integers = encode(&compiled, &Input(vec![vec![x; 4]]));
            match integers.ok().and_then(|integers| execute(&compiled, &integers).ok()) {
                Some(values) => {
                    let y = decode_outputs(&compiled, &[values[compiled.outputs[0].tensor].clone()])[0][0];
                    // The digits' own rounding apart.
                    let unit = compiled.inputs[0].encoding.features[0].scale.value() / 2.0;
                    let near = [x - unit, x, x + unit].map(|x| float.outputs(&[vec![x; 4]])[0][0]);
                    let off = near.iter().map(|exact| (y - exact).abs()).fold(f64::INFINITY, f64::min);
                    let between = near[0].min(near[2]) <= y && y <= near[0].max(near[2]);
                    assert!(between || off < 0.05 * report.largest_output, "{x}: {y}, {near:?}");
                    answered += 1;
                }
                None => {
                    assert!(x < 1.0, "{x} is as on the samples");
                    refused += 1;
                }
            }
        }
        assert!(answered >= 300 && refused > 2, "{answered} answered, {refused} refused");
    }
}

/// What reads real numbers gives no exact integers: they were rounded on the way.
#[test]
fn integers_of_real_numbers_are_refused() {
    let float = graph(Kind::Real, vec![(FloatOp::Maximum, vec![0, 0])], &[1]);
    let error = compile_float(float, Some(&samples(wave)), &Options::default()).unwrap_err().to_string();
    assert!(error.contains("`n0`") && error.contains("real numbers for integers"), "{error}");
}

/// Sums, products, quotients and signs of integers are the very integers.
#[test]
fn integers_are_exact() {
    let affine = |coefficients: Vec<Vec<f64>>, bias: f64| FloatOp::Affine { axis: 0, coefficients, bias: vec![bias] };
    let nodes = vec![
        (affine(vec![vec![3.0]], -7.0), vec![0]),
        (FloatOp::Product, vec![0, 1]),
        (affine(vec![vec![1.0], vec![-1.0]], 0.0), vec![2, 0]),
        (FloatOp::Constant { values: vec![5.0] }, vec![]),
        (FloatOp::Divide { least_divisor: 0.0 }, vec![3, 4]),
        (FloatOp::Maximum, vec![5, 1]),
    ];
    let float = graph(Kind::Integer, nodes, &[1, 2, 3, 4, 5, 6]);
    let (compiled, report) = compile_float(float, Some(&samples(|i| (i % 23) as f64 - 11.0)), &Options::default()).unwrap();
    assert_eq!((report.largest_error, report.made_up_error), (0.0, 0.0));
    assert!(!compiled.nodes.iter().any(|node| matches!(node.op, Op::Requant(_))));
    for x in -11..=11_i64 {
        let expected = (x * (3 * x - 7) - x).div_euclid(5).max(3 * x - 7);
        assert_eq!(run(&compiled, &[x as f64; 4]), [expected as f64; 4], "{x}");
    }
}

/// Digits hold no number that an input's type does not.
#[test]
fn inputs_of_integers_stay_within_their_type() {
    let compiled = |width: (u32, bool), least: i64, most: i64| {
        let mut float =
            graph(Kind::Integer, vec![(FloatOp::Affine { axis: 0, coefficients: vec![vec![1.0]], bias: vec![1.0] }, vec![0])], &[1]);
        float.values[0].width = Some(width);
        let numbers = move |i: usize| ((i as i64 * 37) % (most - least + 1) + least) as f64;
        compile_float(float, Some(&samples(numbers)), &Options::default()).map(|(graph, _)| graph.inputs[0].encoding.range())
    };
    assert_eq!(compiled((8, true), -100, 100).unwrap(), (-128, 127));
    assert_eq!(compiled((8, true), -3, 3).unwrap(), (-3, 4));
    assert_eq!(compiled((8, false), 0, 250).unwrap(), (0, 255));
    assert_eq!(compiled((16, false), 60_000, 65_535).unwrap(), (0, 65_535));
    assert_eq!(compiled((32, true), -2_147_483_000, 2_147_483_000).unwrap(), (-2_147_483_648, 2_147_483_647));
    let error = compiled((8, true), -100, 140).unwrap_err().to_string();
    assert!(error.contains("input `v0` has type int8, which does not hold"), "{error}");
}

/// Integers wrap where their type ends, and cost nothing where they never reach it.
#[test]
fn integers_wrap_at_their_type() {
    let hold = |bits, signed, wraps| FloatOp::Hold { bits, signed, wraps };
    let held = |of: FloatOp, most: i64| {
        let float = graph(Kind::Integer, vec![(FloatOp::Product, vec![0, 0]), (of, vec![1])], &[1, 2]);
        let numbers = move |i: usize| ((i as i64 * 37) % (2 * most + 1) - most) as f64;
        compile_float(float, Some(&samples(numbers)), &Options::default()).map(|(graph, _)| graph)
    };
    let divisions = |graph: &Graph| graph.nodes.iter().filter(|node| matches!(node.op, Op::Divide(_))).count();
    let narrow = held(hold(8, true, true), 50).unwrap();
    assert_eq!(divisions(&narrow), 1);
    for x in -50..=50_i64 {
        assert_eq!(run(&narrow, &[x as f64; 4]), [f64::from((x * x) as i8); 4], "{x}");
    }
    let unsigned = held(hold(8, false, true), 50).unwrap();
    for x in -50..=50_i64 {
        assert_eq!(run(&unsigned, &[x as f64; 4]), [f64::from((x * x) as u8); 4], "{x}");
    }
    // What wraps all over 32 bits has no digits that hold it.
    let error = held(hold(32, true, true), 90_000).unwrap_err().to_string();
    assert!(error.contains("do not fit"), "{error}");
    // Within its type, a held integer is what it was.
    assert_eq!(divisions(&held(hold(32, true, true), 10_000).unwrap()), 0);
    assert_eq!(divisions(&held(hold(16, true, false), 20).unwrap()), 0);
    let error = held(hold(16, true, false), 300).unwrap_err().to_string();
    assert!(error.contains("their type holds -32768 to 32767; state how far its inputs go (--input-range)"), "{error}");
}

/// A product is as wide as both factors; what comes after it is as accurate as the table allows, and never wraps.
#[test]
fn products_of_products_stay_accurate() {
    let float = graph(
        Kind::Real,
        vec![
            (FloatOp::Product, vec![0, 0]),
            (FloatOp::Product, vec![1, 0]),
            (FloatOp::Affine { axis: 0, coefficients: vec![vec![1.0], vec![-0.5], vec![0.25]], bias: vec![0.125] }, vec![2, 1, 0]),
            (sigmoid(), vec![3]),
        ],
        &[],
    );
    let (compiled, report) = compile_float(float.clone(), Some(&samples(wave)), &Options::default()).unwrap();
    assert!(report.largest_error < 0.01 && report.made_up_error < 0.03, "{report:?}");
    let mut worst = 0.0_f64;
    for i in 0..60 {
        let x = -3.0 + 0.1 * f64::from(i);
        let expected = float.outputs(&[vec![x; 4]]).remove(0);
        worst = run(&compiled, &[x; 4]).iter().zip(&expected).fold(worst, |worst, (x, y)| worst.max((x - y).abs()));
    }
    assert!(worst < 0.03, "{worst}");
}

/// `y = factor·x + shift` of integers as real numbers.
fn affine(factor: f64, shift: f64) -> FloatOp {
    FloatOp::Affine { axis: 1, coefficients: vec![vec![factor]], bias: vec![shift] }
}

/// Holds a model of integers from 0 to `most`, cast to real numbers by its first node, against the float model on all of them.
fn exact_on_integers(most: i64, nodes: Vec<(FloatOp, Vec<usize>)>, exact: &[usize]) {
    let whole = |i: usize| ((i * 37) % (most as usize + 1)) as f64;
    let float = graph(Kind::Integer, nodes, exact);
    let (compiled, _) = compile_float(float.clone(), Some(&samples(whole)), &Options::default()).unwrap();
    for first in (0..=most - 3).step_by(4) {
        let input: Vec<f64> = (first..first + 4).map(|x| x as f64).collect();
        assert_eq!(run(&compiled, &input), float.outputs(std::slice::from_ref(&input)).remove(0), "{input:?}");
    }
}

/// Whole numbers that went through reals are compared with a whole bound, or with one between, as they are.
#[test]
fn integers_as_reals_compare_exactly() {
    for most in [37, 100, 255, 1000] {
        for bound in [3.0, 7.0, 31.0, 2.5] {
            for sign in [1.0, -1.0] {
                let nodes = vec![(FloatOp::Reshape, vec![0]), (affine(sign, -sign * bound), vec![1]), (FloatOp::Step, vec![2])];
                exact_on_integers(most, nodes, &[3]);
            }
        }
    }
}

/// A function that leaps at whole numbers is on the right side there: `⌊x / 10⌋`, and what is cast back after sums and products.
#[test]
fn functions_that_leap_take_whole_numbers_exactly() {
    let floor = || function("Floor", |x, _| libm::floor(x));
    let trunc = || function("Trunc", |x, _| libm::trunc(x));
    for most in [37, 100, 255] {
        for divisor in [2.0, 3.0, 10.0] {
            let nodes = vec![(FloatOp::Reshape, vec![0]), (affine(1.0 / divisor, 0.0), vec![1]), (trunc(), vec![2])];
            exact_on_integers(most, nodes, &[3]);
        }
    }
    let square = vec![(FloatOp::Reshape, vec![0]), (FloatOp::Product, vec![1, 1]), (trunc(), vec![2])];
    exact_on_integers(30, square, &[3]);
    // What it gives is a whole number too, that compares as one.
    let nodes = vec![
        (FloatOp::Reshape, vec![0]),
        (affine(0.25, 0.5), vec![1]),
        (floor(), vec![2]),
        (affine(1.0, -3.0), vec![3]),
        (FloatOp::Step, vec![4]),
    ];
    exact_on_integers(100, nodes, &[5]);
}
