//! Models that are small and ask for much, and models whose numbers hang on how exactly a runtime reads or rounds them.
#![allow(clippy::unwrap_used)]

use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension};
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, TensorShapeProto, TypeProto, ValueInfoProto,
    type_proto,
};

use super::{ImportError, ImportOptions, Importer};
use crate::float::FloatGraph;

fn node(operator: &str, inputs: &[&str], output: &str, attributes: Vec<AttributeProto>) -> NodeProto {
    NodeProto {
        op_type: operator.into(),
        input: inputs.iter().map(|&name| name.into()).collect(),
        output: vec![output.into()],
        attribute: attributes,
        ..NodeProto::default()
    }
}

fn int(name: &str, i: i64) -> AttributeProto {
    AttributeProto { name: name.into(), r#type: AttributeType::Int as i32, i, ..AttributeProto::default() }
}

fn graph(name: &str, graph: GraphProto) -> AttributeProto {
    AttributeProto { name: name.into(), r#type: AttributeType::Graph as i32, g: Some(graph), ..AttributeProto::default() }
}

fn floats(name: &str, list: &[f32]) -> TensorProto {
    let (data_type, dims) = (DataType::Float as i32, vec![list.len() as i64]);
    TensorProto { name: name.into(), data_type, dims, float_data: list.to_vec(), ..TensorProto::default() }
}

fn ints(name: &str, kind: DataType, list: &[i64]) -> TensorProto {
    let (data_type, dims) = (kind as i32, vec![list.len() as i64]);
    let narrow = if kind == DataType::Int64 { Vec::new() } else { list.iter().map(|&x| x as i32).collect() };
    let wide = if kind == DataType::Int64 { list.to_vec() } else { Vec::new() };
    TensorProto { name: name.into(), data_type, dims, int32_data: narrow, int64_data: wide, ..TensorProto::default() }
}

fn value(name: &str, kind: DataType, shape: &[i64]) -> ValueInfoProto {
    let dim = |&size: &i64| Dimension { value: Some(dimension::Value::DimValue(size)), ..Dimension::default() };
    let shape = Some(TensorShapeProto { dim: shape.iter().map(dim).collect() });
    let tensor = type_proto::Tensor { elem_type: kind as i32, shape };
    let kind = TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..TypeProto::default() };
    ValueInfoProto { name: name.into(), r#type: Some(kind), ..ValueInfoProto::default() }
}

/// The float graph of nodes on inputs; the last node makes the output.
fn import(
    opset: i64,
    inputs: Vec<ValueInfoProto>,
    nodes: Vec<NodeProto>,
    initialisers: Vec<TensorProto>,
) -> Result<FloatGraph, ImportError> {
    let output = ValueInfoProto { name: nodes.last().unwrap().output[0].clone(), ..ValueInfoProto::default() };
    let graph = GraphProto { node: nodes, initializer: initialisers, input: inputs, output: vec![output], ..GraphProto::default() };
    let opset_import = vec![OperatorSetIdProto { domain: String::new(), version: opset }];
    let model = ModelProto { ir_version: 8, opset_import, graph: Some(graph), ..ModelProto::default() };
    Importer::new(&model, None, &ImportOptions::default())?.run()
}

fn x(count: i64) -> Vec<ValueInfoProto> {
    vec![value("x", DataType::Float, &[count])]
}

/// A model of a few hundred bytes makes as many constants as it likes.
#[test]
fn constants_count_among_a_models_elements() {
    let named = |name: &str| ValueInfoProto { name: name.into(), ..ValueInfoProto::default() };
    let body = GraphProto {
        node: vec![
            node("ConstantOfShape", &["large"], "filled", Vec::new()),
            node("Gather", &["filled", "first"], "one", Vec::new()),
            node("Add", &["before", "one"], "after", Vec::new()),
            node("Identity", &["going"], "still", Vec::new()),
        ],
        input: vec![named("count"), named("going"), named("before")],
        output: vec![named("still"), named("after")],
        ..GraphProto::default()
    };
    let initialisers =
        vec![ints("large", DataType::Int64, &[1 << 24]), ints("first", DataType::Int64, &[0]), ints("times", DataType::Int64, &[40])];
    let loops = node("Loop", &["times", "", "x"], "y", vec![graph("body", body)]);
    let error = import(13, x(1), vec![loops], initialisers).unwrap_err().to_string();
    assert!(error.contains("elements in all its tensors"), "{error}");
}

/// A name of the model's scores that a subgraph uses for something else.
#[test]
fn a_subgraph_may_use_the_name_of_scores() {
    let branch = |operator: &str, output: &str| GraphProto {
        node: vec![node(operator, &["x", "low"], output, Vec::new())],
        output: vec![ValueInfoProto { name: output.into(), ..ValueInfoProto::default() }],
        ..GraphProto::default()
    };
    let nodes = vec![
        node("If", &["yes"], "q", vec![graph("then_branch", branch("Add", "s")), graph("else_branch", branch("Sub", "t"))]),
        node("Add", &["q", "q"], "s", Vec::new()),
        node("Softmax", &["s"], "p", Vec::new()),
        node("Add", &["p", "q"], "y", Vec::new()),
    ];
    let initialisers = vec![floats("low", &[-2000.0, 0.0]), ints("yes", DataType::Bool, &[1])];
    let graph = import(13, x(2), nodes, initialisers).unwrap();
    let output = graph.outputs(&[vec![1.0, -1.0]]).remove(0);
    assert!((output[0] + 1999.0).abs() < 1e-9 && output[1].abs() < 1e-9, "{output:?}");
}

/// `5·0.6` is 3 in floats of 32 bits and more than that in 64; integers and floats are cast as they are at run time.
#[test]
fn constants_are_rounded_as_runtimes_do() {
    let sum = |nodes: Vec<NodeProto>, initialisers: Vec<TensorProto>| -> f64 {
        let last = node("Add", &["x", "c"], "y", Vec::new());
        let graph = import(13, x(1), nodes.into_iter().chain([last]).collect(), initialisers).unwrap();
        graph.outputs(&[vec![0.0]])[0][0]
    };
    let cast = |from: &str, to: &str, kind: DataType| node("Cast", &[from], to, vec![int("to", kind as i64)]);
    let product = node("Mul", &["a", "b"], "m", Vec::new());
    assert_eq!(sum(vec![product, node("Ceil", &["m"], "c", Vec::new())], vec![floats("a", &[5.0]), floats("b", &[0.6])]), 3.0);
    let quotient = node("Div", &["a", "b"], "m", Vec::new());
    assert_eq!(sum(vec![quotient, node("Floor", &["m"], "c", Vec::new())], vec![floats("a", &[0.7]), floats("b", &[0.1])]), 7.0);
    let half = vec![cast("a", "h", DataType::Float16), cast("h", "c", DataType::Float)];
    assert_eq!(sum(half.clone(), vec![floats("a", &[1e-9])]), 0.0);
    assert_eq!(sum(half, vec![ints("a", DataType::Int64, &[2049])]), 2048.0);
    let narrow = vec![cast("a", "n", DataType::Int32), cast("n", "c", DataType::Float)];
    assert_eq!(sum(narrow, vec![ints("a", DataType::Int64, &[(1 << 32) + 5])]), 5.0);
}

/// A number that a type does not hold has no value, rather than one that some runtime gives.
#[test]
fn floats_beyond_an_integer_type_have_no_value() {
    let cast = node("Cast", &["x"], "y", vec![int("to", DataType::Uint8 as i64)]);
    let graph = import(13, x(4), vec![cast], Vec::new()).unwrap();
    let output = graph.outputs(&[vec![-0.5, 255.9, 256.0, -1.0]]).remove(0);
    assert!(output[0] == 0.0 && output[1] == 255.0 && output[2].is_nan() && output[3].is_nan(), "{output:?}");
}

/// Integers keep the lowest bits of a type of 32 bits too.
#[test]
fn integers_wrap_in_a_cast_to_32_bits() {
    for (kind, expected) in
        [(DataType::Int32, [-1.0, -(2_f64.powi(31)), 7.0]), (DataType::Uint32, [2_f64.powi(32) - 1.0, 2_f64.powi(31), 7.0])]
    {
        let cast = node("Cast", &["x"], "y", vec![int("to", kind as i64)]);
        let graph = import(13, vec![value("x", DataType::Int64, &[3])], vec![cast], Vec::new()).unwrap();
        assert_eq!(graph.outputs(&[vec![-1.0, 2_f64.powi(31), 7.0]]), [expected]);
    }
}

/// What ONNX Runtime and the standard read differently.
#[test]
fn what_runtimes_read_differently_is_refused() {
    let four = |name: &str| value(name, DataType::Float, &[1, 1, 2, 2]);
    let inputs = || vec![four("q"), four("k"), four("v")];
    let causal = node("Attention", &["q", "k", "v", "", "", "", "n"], "y", vec![int("is_causal", 1)]);
    let error = import(24, inputs(), vec![causal], vec![ints("n", DataType::Int64, &[2])]).unwrap_err().to_string();
    assert!(error.contains("`is_causal` beside lengths"), "{error}");
    let masked = node("Attention", &["q", "k", "v", "m"], "y", Vec::new());
    let error = import(23, inputs(), vec![masked.clone()], vec![ints("m", DataType::Int64, &[1, 0])]).unwrap_err().to_string();
    assert!(error.contains("mask is of integers"), "{error}");
    import(23, inputs(), vec![masked], vec![ints("m", DataType::Bool, &[1, 0])]).unwrap();
    let names = AttributeProto {
        name: "activations".into(),
        r#type: AttributeType::Strings as i32,
        strings: vec![b"ThresholdedRelu".to_vec()],
        ..AttributeProto::default()
    };
    let layer = node("RNN", &["x", "w", "r"], "y", vec![names]);
    let of = |name: &str| TensorProto { dims: vec![1, 1, 1], ..floats(name, &[0.5]) };
    let error = import(14, vec![value("x", DataType::Float, &[2, 1, 1])], vec![layer], vec![of("w"), of("r")]).unwrap_err().to_string();
    assert!(error.contains("`ThresholdedRelu`, which does not exist or lacks a parameter"), "{error}");
}
