//! Graphs that nobody would compile, operator by operator: numbers at the ends of their types, sizes that overflow, nothing where
//! something must be. Each is refused with a reason, or is a graph whose circuit agrees with the executor.

use zkslice_circuit::CircuitError;

use crate::laws::{agree, circuit_of};
use zkslice_graph::*;

/// Table width of the graphs here.
const W: u32 = 8;
const MOST: usize = limits::MAX_ELEMENTS;

/// What an operator reads: digits of 8 bits from −128 on, or a constant.
#[derive(Clone, Copy)]
enum Given {
    Digits,
    Constant(i64),
}
use Given::{Constant as Of, Digits};

fn graph(op: Op, reads: &[(&[usize], Given)], output: &[usize], functions: &[Function]) -> Graph {
    let tensor = |name: &str, shape: &[usize]| Tensor { name: name.into(), shape: shape.to_vec() };
    let port = |tensor: usize| Port { tensor, encoding: Encoding::uniform(8, 128, Scale { mantissa: 1 }) };
    // A graph has an input, even if the operator reads none.
    let mut graph = Graph {
        table_bits: W,
        tensors: vec![tensor("x", &[1])],
        nodes: vec![],
        inputs: vec![port(0)],
        outputs: vec![],
        functions: functions.to_vec(),
    };
    for (shape, from) in reads {
        let id = graph.tensors.len();
        graph.tensors.push(tensor("x", shape));
        match from {
            Digits => graph.inputs.push(port(id)),
            Of(value) => {
                let constant = Op::Constant(Constant { values: vec![*value] });
                graph.nodes.push(Node { name: "constant".into(), op: constant, inputs: vec![], output: id });
            }
        }
    }
    let made = graph.tensors.len();
    graph.tensors.push(tensor("y", output));
    graph.nodes.push(Node { name: "op".into(), op, inputs: (1..made).collect(), output: made });
    let wide = Encoding::uniform(32, 1 << 31, Scale { mantissa: 1 });
    graph.outputs.push(Port { tensor: made, encoding: wide });
    graph
}

fn read(graph: &Graph) -> Result<Graph, String> {
    Graph::from_bytes(&graph.to_bytes().unwrap()).map_err(|error| error.to_string())
}

fn refused(graph: &Graph, says: &str) {
    let error = read(graph).expect_err(says);
    assert!(error.contains(says), "{error}, where `{says}` is expected: {:?}", graph.nodes);
}

/// Both agree on zeros, ones, and the ends of digits.
fn accepted(graph: &Graph) {
    let graph = read(graph).unwrap();
    let circuit = circuit_of(&graph).unwrap();
    for value in [0, 1, -1, -128, 127] {
        let inputs: Vec<Vec<i64>> = graph.inputs.iter().map(|port| vec![value; graph.tensors[port.tensor].len()]).collect();
        agree(&graph, &circuit, &inputs, "hostile");
    }
}

#[test]
fn attack_views() {
    let view = |dims: &[usize], strides: &[i64], first: usize| Op::View(View { dims: dims.to_vec(), strides: strides.to_vec(), first });
    let one = |op: Op, input: &[usize], output: &[usize]| graph(op, &[(input, Digits)], output, &[]);
    for (dims, strides, first, says) in [
        (&[usize::MAX, 2][..], &[0, 0][..], 0, "have not as many elements"),
        (&[1 << 32, 1 << 32], &[0, 0], 0, "have not as many elements"),
        (&[usize::MAX, usize::MAX, 0], &[0, 0, 0], 0, "have not as many elements"),
        (&[0, 4], &[1, 1], 0, "have not as many elements"),
        (&[5], &[1], 0, "have not as many elements"),
        (&[4], &[], 0, "as many of each"),
        (&[4], &[1, 1], 0, "as many of each"),
        (&[1; 17], &[0; 17], 0, "at most 16"),
        (&[4], &[i64::MIN], 0, "longer than any tensor"),
        (&[4], &[i64::MAX], 0, "longer than any tensor"),
        // No step is taken along these axes, but a walk would add it up and overflow.
        (&[4, 1], &[1, i64::MAX], 0, "longer than any tensor"),
        (&[1, 4], &[i64::MIN, 1], 0, "longer than any tensor"),
        (&[4], &[1], 1, "it reads elements 1 to 4"),
        (&[4], &[-1], 2, "it reads elements -1 to 2"),
        (&[2, 2], &[3, -2], 0, "it reads elements -2 to 3"),
        (&[4], &[0], usize::MAX, "it reads elements"),
        (&[4], &[0], 4, "it reads elements 4 to 4"),
    ] {
        refused(&one(view(dims, strides, first), &[4], &[4]), says);
    }
    accepted(&one(view(&[4, 1, 1], &[-1, 1 << 26, -1 << 26], 3), &[4], &[4]));
    accepted(&one(view(&[], &[], 3), &[4], &[]));
    accepted(&one(view(&[1; 16], &[9; 16], 0), &[], &[1; 8]));
    accepted(&one(view(&[2, 2], &[0, 0], 0), &[], &[4]));
    // A few bytes that state as many elements as there may be.
    read(&one(view(&[MOST], &[0], 0), &[], &[MOST])).unwrap();
    refused(&one(view(&[4], &[1], 0), &[4], &[2, 2, 0]), "is empty");
}

#[test]
fn attack_gathers() {
    let gather = |axis: usize, indices: &[usize]| Op::Gather(Gather { axis, indices: indices.to_vec() });
    let one = |op: Op, input: &[usize], output: &[usize]| graph(op, &[(input, Digits)], output, &[]);
    refused(&one(gather(0, &[]), &[4], &[0]), "is empty");
    refused(&one(gather(0, &[]), &[4], &[4]), "output shape");
    refused(&one(gather(0, &[0]), &[], &[1]), "there is no axis 0");
    refused(&one(gather(1, &[0]), &[4], &[1]), "there is no axis 1");
    refused(&one(gather(usize::MAX, &[0]), &[4], &[1]), "there is no axis");
    refused(&one(gather(0, &[4]), &[4], &[1]), "index 4 is beyond");
    refused(&one(gather(0, &[usize::MAX]), &[4], &[1]), "is beyond");
    refused(&one(gather(0, &[0, 1]), &[4], &[1]), "output shape");
    accepted(&one(gather(1, &[2, 0, 0, 2, 1]), &[2, 3, 1], &[2, 5, 1]));
}

#[test]
fn attack_matrix_products() {
    let product = |[batch, m, k, n]: [usize; 4]| Op::MatMul(MatMul { batch, m, k, n });
    let pair = |op: Op, x: &[usize], y: &[usize], output: &[usize]| graph(op, &[(x, Digits), (y, Digits)], output, &[]);
    let large = 1 << 32;
    for sizes in [
        [large, large, large, large],
        [usize::MAX; 4],
        [0, 1, 1, 1],
        [1, 0, 1, 1],
        [1, 1, 0, 1],
        [1, 1, 1, 0],
        [usize::MAX, usize::MAX, 0, 1],
        [1, 2, 1, 1],
        [2, 1, 1, 1],
    ] {
        refused(&pair(product(sizes), &[1], &[1], &[1]), "do not fit its tensors");
        refused(&pair(product(sizes), &[], &[], &[]), "do not fit its tensors");
    }
    let side = 1 << 13;
    refused(&pair(product([1, side, side, side]), &[MOST], &[MOST], &[MOST]), "more multiplications than are allowed");
    accepted(&pair(product([1, 1, 1, 1]), &[], &[1, 1], &[]));
    accepted(&pair(product([2, 1, 3, 1]), &[6], &[3, 2], &[1, 2]));
    refused(&graph(product([1, 1, 1, 1]), &[(&[1], Digits)], &[1], &[]), "1 inputs where 2 are needed");
    refused(&graph(product([1, 1, 1, 1]), &[(&[1][..], Digits); 3], &[1], &[]), "3 inputs where 2 are needed");
}

/// Sums at the edge of 2^62, one below it and one at it.
#[test]
fn attack_products_at_the_edge() {
    for (x, y, possible) in
        [(1 << 31, (1 << 31) - 1, true), (1 << 31, 1 << 31, false), (i64::MAX, 0, false), (-1 << 61, 1, true), (-1 << 61, 2, false)]
    {
        let mut graph = graph(Op::Product(Product), &[(&[1], Of(x)), (&[1], Of(y))], &[1], &[]);
        // An output whose digits hold what is left of it.
        let id = graph.tensors.len();
        graph.tensors.push(Tensor { name: "zero".into(), shape: vec![1] });
        let zero = Op::Affine(Affine { axis: 0, coefficients: vec![vec![0]], bias: vec![0] });
        graph.nodes.push(Node { name: "zero".into(), op: zero, inputs: vec![id - 1], output: id });
        graph.outputs[0].tensor = id;
        if possible { accepted(&graph) } else { refused(&graph, "could exceed 2^62") }
    }
}

#[test]
fn attack_quotients() {
    let divide =
        |factor: i64, least: i64, limbs: u32| Op::Divide(Divide { factor, rounding: Rounding::Nearest, least, limbs, least_divisor: 1 });
    let of = |op: Op, x: Given, y: Given| graph(op, &[(&[1], x), (&[1], y)], &[1], &[]);
    for factor in [0, -1, i64::MIN] {
        refused(&of(divide(factor, 0, 1), Digits, Digits), "at least 1 is needed");
    }
    for limbs in [0, 4, 8, u32::MAX] {
        refused(&of(divide(1, 0, limbs), Digits, Digits), "limbs of 8 bits");
    }
    // A number that is only ever 0 hides what it is multiplied by.
    for (x, y) in [(Of(0), Digits), (Of(0), Of(0)), (Digits, Digits)] {
        for factor in [i64::MAX, 1 << 62, (1 << 60) + 1] {
            refused(&of(divide(factor, 0, 1), x, y), "could exceed 2^62");
        }
        for least in [i64::MIN, i64::MIN + 1, i64::MAX, i64::MAX - 200, 1 << 61, -1 << 61] {
            refused(&of(divide(1, least, 1), x, y), "could exceed 2^62");
        }
    }
    for y in [-1, 0, 1, 2, 127, 128, 255, 1 << 20] {
        for limbs in 1..=3 {
            accepted(&of(divide(1, -128, limbs), Digits, Of(y)));
            accepted(&of(divide((1 << 50) - 1, -128, limbs), Of(0), Of(y)));
        }
    }
    refused(&of(divide(1, 0, 1), Of(1 << 61), Digits), "could exceed 2^62");
    let above = |least_divisor: i64| Op::Divide(Divide { factor: 1, rounding: Rounding::Nearest, least: 0, limbs: 1, least_divisor });
    for least in [0, -1, i64::MIN] {
        refused(&of(above(least), Digits, Digits), "at least 1 is needed");
    }
    for least in [i64::MAX, 1 << 61] {
        refused(&of(above(least), Digits, Of(0)), "could exceed 2^62");
    }
    accepted(&of(above(255), Digits, Digits));
    accepted(&of(above((1 << 61) - 1), Digits, Of(0)));
    // Three limbs of twenty bits have 60 together.
    let mut wide = of(divide(1, 0, 3), Of((1 << 60) - 2), Of(3));
    wide.table_bits = 20;
    assert!(read(&wide).is_ok());
    wide.nodes[0].op = Op::Constant(Constant { values: vec![1 << 61] });
    refused(&wide, "could exceed 2^62");
}

#[test]
fn attack_roots() {
    let root = |factor: i64| Op::Sqrt(Sqrt { factor, least: 0 });
    let above = |least: i64| Op::Sqrt(Sqrt { factor: 1, least });
    let of = |op: Op, x: Given| graph(op, &[(&[1], x)], &[1], &[]);
    for factor in [0, -1, i64::MIN] {
        refused(&of(root(factor), Digits), "is below 1");
    }
    for least in [-1, i64::MIN, (1 << 31) + 1, i64::MAX] {
        refused(&of(above(least), Digits), "outside [0, 2147483648]");
    }
    for (factor, x) in [(i64::MAX, Of(0)), (i64::MAX, Digits), (1 << 62, Of(0)), (1 << 55, Digits), (1, Of(i64::MIN)), (3, Of(1 << 61))] {
        refused(&of(root(factor), x), "could exceed 2^62");
    }
    accepted(&of(root(1), Of(65_535)));
    accepted(&of(root(1), Of(65_536)));
    accepted(&of(root((1 << 54) - 1), Digits));
    accepted(&of(root((1 << 61) - 1), Of(0)));
    accepted(&of(root(3), Of(-1 << 59)));
    accepted(&of(above(15), Digits));
}

#[test]
fn attack_comparisons() {
    let of = |op: Op, x: Given, y: Given| graph(op, &[(&[1], x), (&[1], y)], &[1], &[]);
    for limbs in [0, 4, u32::MAX] {
        refused(&of(Op::Maximum(Maximum { limbs }), Digits, Digits), "limbs of 8 bits");
        refused(&graph(Op::Step(Step { limbs }), &[(&[1], Digits)], &[1], &[]), "limbs of 8 bits");
    }
    refused(&of(Op::Maximum(Maximum { limbs: 3 }), Of(1 << 60), Of(-1 << 60)), "could exceed 2^62");
    refused(&graph(Op::Step(Step { limbs: 3 }), &[(&[1], Of(1 << 61))], &[1], &[]), "could exceed 2^62");
    accepted(&of(Op::Maximum(Maximum { limbs: 2 }), Of(1 << 16), Digits));
    accepted(&graph(Op::Step(Step { limbs: 1 }), &[(&[], Digits)], &[], &[]));
    for x in [255, 256, -256, -257] {
        accepted(&graph(Op::Step(Step { limbs: 1 }), &[(&[], Of(x))], &[], &[]));
    }
}

#[test]
fn attack_one_hots() {
    let one = |count: usize, input: &[usize], output: &[usize]| graph(Op::OneHot(OneHot { count }), &[(input, Digits)], output, &[]);
    refused(&one(0, &[1], &[1, 0]), "is empty");
    refused(&one(0, &[1], &[1, 1]), "output shape");
    refused(&one(usize::MAX, &[1], &[1, usize::MAX]), "has more than");
    refused(&one(usize::MAX, &[1], &[1, 1]), "output shape");
    refused(&one(3, &[1; 8], &[1; 8]), "output shape");
    refused(&one(2, &[3], &[6]), "output shape");
    refused(&graph(Op::OneHot(OneHot { count: 2 }), &[(&[], Of((1 << 62) - 4))], &[2], &[]), "could exceed 2^62");
    accepted(&one(1, &[], &[1]));
    accepted(&one(128, &[2], &[2, 128]));
    read(&one(MOST, &[], &[MOST])).unwrap();
}

#[test]
fn attack_constants() {
    let constant = |values: &[i64], output: &[usize]| graph(Op::Constant(Constant { values: values.to_vec() }), &[], output, &[]);
    refused(&constant(&[], &[1]), "0 integers where 1 or 1");
    refused(&constant(&[1, 2], &[3]), "2 integers where 1 or 3");
    for value in [i64::MIN, i64::MAX, 1 << 62, -1 << 62] {
        refused(&constant(&[value], &[3]), "could exceed 2^62");
    }
    refused(&constant(&[1 << 31], &[1]), "do not fit its digits");
    accepted(&constant(&[(1 << 31) - 1, -1 << 31], &[2]));
    accepted(&constant(&[-7], &[]));
    refused(&graph(Op::Constant(Constant { values: vec![1] }), &[(&[1], Digits)], &[1], &[]), "1 inputs where 0 are needed");
    read(&constant(&[3], &[MOST])).unwrap();
}

#[test]
fn attack_functions() {
    let table = |function: usize, shift: u32| Op::Table(Table { function, shift });
    let of = |first: i64, values: &[i64], stride: i64| {
        graph(table(0, 0), &[(&[1], Digits)], &[1], &[Function { first, values: values.to_vec(), stride }])
    };
    refused(&of(0, &[], 999), "0 values");
    refused(&of(0, &vec![1; (1 << 20) + 1], 1 << 30), "values; 1 to 2^20");
    for (first, values) in [(i64::MIN, vec![0]), (i64::MAX, vec![0, 0]), (0, vec![i64::MIN]), (0, vec![i64::MAX]), (1 << 61, vec![0])] {
        for stride in [i64::MAX, 1 << 62, 300] {
            refused(&of(first, &values, stride), "function 0: stride");
        }
    }
    refused(&of(0, &[i64::MIN, i64::MAX], 999), "spread further");
    refused(&of(0, &[0, 256], 999), "spread further");
    for stride in [i64::MIN, -1] {
        refused(&of(0, &[0], stride), "is negative");
    }
    refused(&of(-128, &[0; 256], 256), "function 0: stride 256 does not fit");
    // Digits reach to −128, and f to 127.
    refused(&of(0, &[0; 128], 255), "stride 255 is too small for arguments up to 128");
    accepted(&of(0, &[0; 128], 256));
    accepted(&of(-128, &(0..256).collect::<Vec<_>>(), 257));
    accepted(&of(1000, &[5], 2001));
    accepted(&of(0, &[-1 << 31, (-1 << 31) + 255], 1 << 20));
    let ok = Function { first: 0, values: vec![1], stride: 201 };
    for function in [1, usize::MAX] {
        refused(&graph(table(function, 0), &[(&[1], Digits)], &[1], std::slice::from_ref(&ok)), "there is no function");
    }
    for shift in [1, 7, 9, 63, 64, 128, u32::MAX] {
        refused(&graph(table(0, shift), &[(&[1], Digits)], &[1], std::slice::from_ref(&ok)), "where 0 or the table's width");
    }
    // The same table twice, under one name or two.
    let twin = Function { first: 1, values: vec![1], stride: 200 };
    for other in [&ok, &twin] {
        let both = [ok.clone(), other.clone()];
        refused(&graph(table(0, 0), &[(&[1], Digits)], &[1], &both), "function 1: its table is that of function 0");
    }
    let many = |count: i64| -> Vec<Function> { (0..count).map(|i| Function { first: 0, values: vec![i], stride: 300 }).collect() };
    refused(&graph(table(0, 0), &[(&[1], Digits)], &[1], &many(1001)), "1001 functions");
    accepted(&graph(table(999, 0), &[(&[1], Digits)], &[1], &many(1000)));
}

/// The stride that a check takes is enough for the circuit, to the last accumulator that rounds to an argument in reach.
#[test]
fn strides_that_validate_have_circuits() {
    for reach in 1..40 {
        for (most, least) in [(256 * reach + 127, 0), (256 * reach + 127, -256 * reach - 128), (256 * reach, -256 * reach)] {
            let second = Affine { axis: 0, coefficients: vec![vec![0], vec![1]], bias: vec![0] };
            let mut graph = graph(Op::Affine(second), &[(&[2], Digits), (&[2], Of(0))], &[2], &[]);
            // Exactly these two accumulators.
            graph.nodes[0].op = Op::Constant(Constant { values: vec![most, least] });
            let values: Vec<i64> = (-reach..=reach).map(|j| j * j % 7).collect();
            for (stride, possible) in [(2 * reach, false), (2 * reach + 1, true)] {
                let mut graph = graph.clone();
                graph.functions.push(Function { first: -reach, values: values.clone(), stride });
                let id = graph.tensors.len();
                graph.tensors.push(Tensor { name: "f".into(), shape: vec![2] });
                graph.nodes.push(Node {
                    name: "f".into(),
                    op: Op::Table(Table { function: 0, shift: W }),
                    inputs: vec![id - 1],
                    output: id,
                });
                graph.outputs[0].tensor = id;
                if !possible {
                    refused(&graph, "stride");
                    continue;
                }
                let circuit = circuit_of(&read(&graph).unwrap()).unwrap();
                let inputs: Vec<Vec<i64>> = graph.inputs.iter().map(|port| vec![0; graph.tensors[port.tensor].len()]).collect();
                assert!(agree(&graph, &circuit, &inputs, "reach").is_some(), "the function has all of them");
            }
        }
    }
}

/// A large function at many nodes: looking through its values at each of them would take minutes, and so would a circuit that states it
/// at each.
#[test]
fn functions_at_many_nodes_are_checked_once() {
    let many = |nodes: usize| {
        let f = Function { first: 0, values: vec![1; 1 << 20], stride: 1 << 22 };
        let mut graph = graph(Op::Table(Table { function: 0, shift: 0 }), &[(&[], Digits)], &[], &[f]);
        let node = graph.nodes[0].clone();
        for _ in 1..nodes {
            let output = graph.tensors.len();
            graph.tensors.push(Tensor { name: String::new(), shape: vec![] });
            graph.nodes.push(Node { name: String::new(), output, ..node.clone() });
        }
        graph
    };
    read(&many((1 << 17) - 1)).unwrap();
    refused(&many(1 << 17), "more multiplications than are allowed");
}

/// Functions that differ in their last value only are told apart by their digests: one circuit names each of them many times.
#[test]
fn tables_that_differ_late_are_told_apart() {
    let mut graph = graph(Op::Table(Table { function: 0, shift: 0 }), &[(&[], Digits)], &[], &[]);
    let node = graph.nodes[0].clone();
    for function in 0..200 {
        let mut values = vec![0; 1 << 12];
        values[(1 << 12) - 1] = function as i64;
        graph.functions.push(Function { first: -128, values, stride: 1 << 13 });
        for _ in 0..20 {
            let output = graph.tensors.len();
            graph.tensors.push(Tensor { name: String::new(), shape: vec![] });
            graph.nodes.push(Node { op: Op::Table(Table { function, shift: 0 }), output, ..node.clone() });
        }
    }
    graph.nodes.remove(0);
    graph.tensors.remove(2);
    graph.nodes.iter_mut().for_each(|node| node.output -= 1);
    let graph = read(&graph).unwrap();
    let circuit = circuit_of(&graph).unwrap();
    let tables: Vec<_> = circuit.layout().tables.iter().map(|table| (table.entries, table.lookups)).collect();
    assert_eq!(tables[1..], [(1 << 12, 20); 200]);
    assert!(agree(&graph, &circuit, &[vec![0], vec![7]], "many functions").is_some());
}

/// What a coefficient and an interval of width zero hide from the check, building the circuit finds: an error, and no panic.
#[test]
fn coefficients_that_intervals_hide_are_refused_when_the_circuit_is_built() {
    let mut graph = graph(Op::Clip(Clip { min: Some(5), max: Some(5), limbs: 2 }), &[(&[1], Digits)], &[1], &[]);
    for bias in [-5, 0, 0] {
        let (id, factor) = (graph.tensors.len(), if bias == 0 { 1 << 40 } else { 1 });
        graph.tensors.push(Tensor { name: "z".into(), shape: vec![1] });
        let scaled = Op::Affine(Affine { axis: 0, coefficients: vec![vec![factor]], bias: vec![bias] });
        graph.nodes.push(Node { name: "scaled".into(), op: scaled, inputs: vec![id - 1], output: id });
        graph.outputs[0].tensor = id;
    }
    assert_eq!(circuit_of(&read(&graph).unwrap()).unwrap_err(), CircuitError::Overflow);
}
