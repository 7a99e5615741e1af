//! Models that are small and ask for much, and models whose numbers hang on how exactly a runtime reads or rounds them.
#![allow(clippy::unwrap_used)]

use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension};
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, TensorShapeProto, TypeProto, ValueInfoProto,
    type_proto,
};

use prost::Message;

use super::{ImportError, ImportOptions, Imported, Importer, MOST_READ, Reference};
use crate::float::FloatGraph;
use zkslice_graph::{Input, Samples, decode_outputs, encode, execute};

pub(super) fn node(operator: &str, inputs: &[&str], output: &str, attributes: Vec<AttributeProto>) -> NodeProto {
    NodeProto {
        op_type: operator.into(),
        input: inputs.iter().map(|&name| name.into()).collect(),
        output: vec![output.into()],
        attribute: attributes,
        ..NodeProto::default()
    }
}

pub(super) fn int(name: &str, i: i64) -> AttributeProto {
    AttributeProto { name: name.into(), r#type: AttributeType::Int as i32, i, ..AttributeProto::default() }
}

pub(super) fn graph(name: &str, graph: GraphProto) -> AttributeProto {
    AttributeProto { name: name.into(), r#type: AttributeType::Graph as i32, g: Some(graph), ..AttributeProto::default() }
}

pub(super) fn floats(name: &str, list: &[f32]) -> TensorProto {
    let (data_type, dims) = (DataType::Float as i32, vec![list.len() as i64]);
    TensorProto { name: name.into(), data_type, dims, float_data: list.to_vec(), ..TensorProto::default() }
}

pub(super) fn ints(name: &str, kind: DataType, list: &[i64]) -> TensorProto {
    let (data_type, dims) = (kind as i32, vec![list.len() as i64]);
    let mut tensor = TensorProto { name: name.into(), data_type, dims, ..TensorProto::default() };
    match kind {
        DataType::Int64 => tensor.int64_data = list.to_vec(),
        DataType::Uint64 => tensor.uint64_data = list.iter().map(|&x| x as u64).collect(),
        _ => tensor.int32_data = list.iter().map(|&x| x as i32).collect(),
    }
    tensor
}

pub(super) fn value(name: &str, kind: DataType, shape: &[i64]) -> ValueInfoProto {
    let dim = |&size: &i64| Dimension { value: Some(dimension::Value::DimValue(size)), ..Dimension::default() };
    let shape = Some(TensorShapeProto { dim: shape.iter().map(dim).collect() });
    let tensor = type_proto::Tensor { elem_type: kind as i32, shape };
    let kind = TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..TypeProto::default() };
    ValueInfoProto { name: name.into(), r#type: Some(kind), ..ValueInfoProto::default() }
}

/// The float graph of nodes on inputs; the last node makes the output.
pub(super) fn import(
    opset: i64,
    inputs: Vec<ValueInfoProto>,
    nodes: Vec<NodeProto>,
    initialisers: Vec<TensorProto>,
) -> Result<FloatGraph, ImportError> {
    Importer::new(&model(opset, inputs, nodes, initialisers), None, &ImportOptions::default())?.run()
}

/// A model of nodes on inputs; the last node makes the output.
fn model(opset: i64, inputs: Vec<ValueInfoProto>, nodes: Vec<NodeProto>, initialisers: Vec<TensorProto>) -> ModelProto {
    let output = ValueInfoProto { name: nodes.last().unwrap().output[0].clone(), ..ValueInfoProto::default() };
    let graph = GraphProto { node: nodes, initializer: initialisers, input: inputs, output: vec![output], ..GraphProto::default() };
    let set = |domain: &str, version: i64| OperatorSetIdProto { domain: domain.into(), version };
    let opset_import = vec![set("", opset), set("ai.onnx.ml", 3)];
    ModelProto { ir_version: 8, opset_import, graph: Some(graph), ..ModelProto::default() }
}

pub(super) fn x(count: i64) -> Vec<ValueInfoProto> {
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

/// Reading copies: what nodes read of constants is counted each time, however few elements there are.
#[test]
fn what_is_read_of_constants_is_counted() {
    let add = |from: &'static str, to: &str| node("Add", &[from, "w"], to, Vec::new());
    let model = model(17, x(3), vec![add("x", "a"), add("a", "y")], vec![floats("w", &[1.0, 2.0, 3.0])]);
    let options = ImportOptions::default();
    let read_so_far = |read: usize| {
        let mut importer = Importer::new(&model, None, &options).unwrap();
        importer.read = read;
        importer.run()
    };
    // The first node decodes the constant, the second one reads it.
    read_so_far(MOST_READ - 3).unwrap();
    let error = read_so_far(MOST_READ - 2).unwrap_err().to_string();
    assert!(error.contains("elements of constants, each time counted"), "{error}");
}

/// tract reads the channels of a shape without asking whether it has some: beyond its memory where it has none.
#[test]
fn what_has_no_channels_is_not_shown_to_tract() {
    let reference = |model: ModelProto| {
        let imported = Imported::new(&model.encode_to_vec(), None, &ImportOptions::default()).unwrap();
        imported.compare(&[vec![vec![0.5, -1.5]]]).unwrap()
    };
    // What it makes of this is a row to us, and a list to tract.
    let picked = NodeProto { domain: "ai.onnx.ml".into(), ..node("ArrayFeatureExtractor", &["x", "first"], "row", Vec::new()) };
    let names = ["scale", "shift", "mean", "variance"];
    let norm = |x: &str| node("BatchNormalization", &[x, names[0], names[1], names[2], names[3]], "y", Vec::new());
    let mut initialisers = names.map(|name| floats(name, &[1.5, 2.5])).to_vec();
    initialisers.push(ints("first", DataType::Int64, &[1, 0]));
    assert_eq!(reference(model(15, x(2), vec![picked, norm("row")], initialisers.clone())), Reference::Own);
    // Where both read the same shape tract answers.
    let matrix = || vec![value("x", DataType::Float, &[1, 2])];
    assert_eq!(reference(model(15, matrix(), vec![norm("x")], initialisers.clone())), Reference::Tract);
    let negated = node("Neg", &["x"], "row", Vec::new());
    assert_eq!(reference(model(15, matrix(), vec![negated, norm("row")], initialisers)), Reference::Tract);
    // A branch that is never taken we do not look at, but tract does.
    let branch = |of: NodeProto| {
        let output = vec![ValueInfoProto { name: of.output[0].clone(), ..ValueInfoProto::default() }];
        GraphProto { node: vec![of], output, ..GraphProto::default() }
    };
    let pool = branch(node("GlobalMaxPool", &["x"], "s", Vec::new()));
    let taken = branch(node("Neg", &["x"], "t", Vec::new()));
    let decided = node("If", &["yes"], "y", vec![graph("then_branch", taken), graph("else_branch", pool)]);
    assert_eq!(reference(model(15, x(2), vec![decided], vec![ints("yes", DataType::Bool, &[1])])), Reference::Own);
}

/// Models of `ai.onnx.ml` that say one thing twice, or what runtimes leave out.
#[test]
fn learned_models_mean_one_thing() {
    let list = |name: &str, ints: &[i64]| AttributeProto {
        name: name.into(),
        r#type: AttributeType::Ints as i32,
        ints: ints.to_vec(),
        ..AttributeProto::default()
    };
    let numbers = |name: &str, floats: &[f32]| AttributeProto {
        name: name.into(),
        r#type: AttributeType::Floats as i32,
        floats: floats.to_vec(),
        ..AttributeProto::default()
    };
    let text = |name: &str, s: &str| AttributeProto {
        name: name.into(),
        r#type: AttributeType::String as i32,
        s: s.into(),
        ..AttributeProto::default()
    };
    let of = |input: ValueInfoProto, operator: &str, attributes: Vec<AttributeProto>| {
        let learned = NodeProto { domain: "ai.onnx.ml".into(), ..node(operator, &["x"], "y", attributes) };
        import(17, vec![input], vec![learned], Vec::new())
    };
    let refused = |result: Result<FloatGraph, ImportError>, reason: &str| {
        let error = result.unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    };
    let integers = || value("x", DataType::Int64, &[3]);
    // Both values of a key that is there twice would be added.
    let labels = |keys: &[i64]| of(integers(), "LabelEncoder", vec![list("keys_int64s", keys), list("values_int64s", &[5, 6, 7])]);
    assert_eq!(labels(&[1, 4, 2]).unwrap().outputs(&[vec![1.0, 2.0, 3.0]]), [[5.0, 7.0, -1.0]]);
    refused(labels(&[1, 1, 2]), "`keys_int64s` has 1 twice");
    refused(of(integers(), "OneHotEncoder", vec![list("cats_int64s", &[3, 9, 3])]), "`cats_int64s` has 3 twice");
    // A float is the category that it has without its fraction.
    let hot = of(value("x", DataType::Float, &[2]), "OneHotEncoder", vec![list("cats_int64s", &[0, 1, 2])]).unwrap();
    assert_eq!(hot.outputs(&[vec![1.9, -0.5]]), [[0.0, 1.0, 0.0, 1.0, 0.0, 0.0]]);
    let row = || value("x", DataType::Float, &[1, 2]);
    let classes = |labels: &[i64]| {
        let attributes = vec![numbers("coefficients", &[1.0, 2.0]), numbers("intercepts", &[-5.5]), list("classlabels_ints", labels)];
        of(row(), "LinearClassifier", attributes)
    };
    assert_eq!(classes(&[3, -7]).unwrap().outputs(&[vec![1.0, 2.0]]), [[3.0]]);
    assert_eq!(classes(&[3, -7]).unwrap().outputs(&[vec![1.0, 3.0]]), [[-7.0]]);
    refused(classes(&[i64::MIN, i64::MAX]), "which 32 bits do not hold");
    let regressor = |weights: &[f32]| {
        let attributes = vec![
            numbers("coefficients", weights),
            AttributeProto { i: weights.len() as i64 / 2, ..int("targets", 0) },
            text("post_transform", "LOGISTIC"),
        ];
        of(row(), "LinearRegressor", attributes)
    };
    let outputs = regressor(&[1.0, 2.0, 0.5, -1.0]).unwrap().outputs(&[vec![1.0, 2.0]]);
    assert!((outputs[0][0] - 0.993_307).abs() < 1e-6 && (outputs[0][1] - 0.182_426).abs() < 1e-6, "{outputs:?}");
    refused(regressor(&[1.0, 2.0]), "read differently for one number");
    let vectors = vec![
        numbers("coefficients", &[1.0]),
        numbers("support_vectors", &[1.0, 2.0]),
        numbers("rho", &[0.5]),
        int("n_supports", 1),
        text("post_transform", "SOFTMAX"),
    ];
    refused(of(row(), "SVMRegressor", vectors), "read differently for one number");
    // One pair of classes has a score for each of the two.
    let pair = |weights: &[f32]| {
        let attributes = vec![
            numbers("coefficients", weights),
            numbers("support_vectors", &[1.0, 2.0, 3.0, -1.0]),
            numbers("rho", &[0.25]),
            list("vectors_per_class", &[1, 1]),
            list("classlabels_ints", &[7, 3]),
        ];
        let outputs = vec!["label".into(), "scores".into()];
        let machine = NodeProto { domain: "ai.onnx.ml".into(), output: outputs, ..node("SVMClassifier", &["x"], "", attributes) };
        import(17, vec![row()], vec![machine, node("Identity", &["scores"], "y", Vec::new())], Vec::new())
    };
    assert_eq!(pair(&[1.0, -0.5]).unwrap().outputs(&[vec![1.0, 1.0]]), [[-2.25, 2.25]]);
    refused(pair(&[1.0, 0.5]), "has no negative number");
}

/// What leaves an integer's type wraps as in a processor, where all runtimes agree; elsewhere it has no value.
#[test]
fn integers_leave_their_types_as_in_runtimes() {
    let typed = |kind: DataType| value("x", kind, &[2]);
    let run = |kind: DataType, nodes: Vec<NodeProto>, initialisers: Vec<TensorProto>, x: [f64; 2]| {
        let graph = import(17, vec![typed(kind)], nodes, initialisers).unwrap();
        graph.outputs(&[x.to_vec()]).remove(0)
    };
    let binary = |operator: &str| vec![node(operator, &["x", "x"], "y", Vec::new())];
    assert_eq!(run(DataType::Int8, binary("Add"), Vec::new(), [100.0, -100.0]), [-56.0, 56.0]);
    assert_eq!(run(DataType::Int32, binary("Mul"), Vec::new(), [65_537.0, -46_341.0]), [131_073.0, -2_147_479_015.0]);
    assert_eq!(run(DataType::Uint16, binary("Mul"), Vec::new(), [300.0, 2.0]), [24_464.0, 4.0]);
    assert_eq!(run(DataType::Int64, binary("Mul"), Vec::new(), [65_537.0, -46_341.0]), [4_295_098_369.0, 2_147_488_281.0]);
    let unary = |operator: &str| vec![node(operator, &["x"], "y", Vec::new())];
    assert_eq!(run(DataType::Int8, unary("Neg"), Vec::new(), [-128.0, 127.0]), [-128.0, -127.0]);
    assert_eq!(run(DataType::Int8, unary("Abs"), Vec::new(), [-128.0, -127.0]), [-128.0, 127.0]);
    // NumPy's reductions wrap, those of ONNX Runtime stop at the largest number. A hunted model folded one.
    for operator in ["ReduceSum", "ReduceSumSquare", "ReduceL1", "ReduceProd"] {
        assert!(run(DataType::Int32, unary(operator), Vec::new(), [2_147_483_647.0, 2.0])[0].is_nan(), "{operator}");
        let node = vec![node(operator, &["k"], "sum", vec![int("keepdims", 0)]), node("Add", &["x", "sum"], "y", Vec::new())];
        let error = import(13, vec![typed(DataType::Int32)], node, vec![ints("k", DataType::Int32, &[2_147_483_647, 2])]).unwrap_err();
        assert!(error.to_string().contains("beyond"), "{operator}: {error}");
    }
    assert_eq!(run(DataType::Int32, unary("ReduceSum"), Vec::new(), [2_147_483_646.0, 1.0]), [2_147_483_647.0]);
    // A type is known of what is in between too, and of constants.
    let cast = |to: DataType| int("to", i64::from(to as i32));
    let chain = vec![node("Cast", &["x"], "narrow", vec![cast(DataType::Int8)]), node("Add", &["narrow", "k"], "y", Vec::new())];
    let constant = vec![ints("k", DataType::Int8, &[100])];
    assert_eq!(run(DataType::Int64, chain.clone(), constant.clone(), [100.0, 300.0]), [-56.0, -112.0]);
    let shifted = vec![node("Cast", &["x"], "narrow", vec![cast(DataType::Uint8)]), node("BitwiseNot", &["narrow"], "y", Vec::new())];
    assert_eq!(import(18, vec![typed(DataType::Int64)], shifted, Vec::new()).unwrap().outputs(&[vec![256.0, 7.0]]), [[255.0, 248.0]]);
    let folded = vec![node("Add", &["k", "k"], "twice", Vec::new()), node("Add", &["x", "twice"], "y", Vec::new())];
    assert_eq!(run(DataType::Int8, folded, constant, [0.0, 1.0]), [-56.0, -55.0]);
    // Neither a sum below 0 of 64 bits without a sign nor a power beyond its type has a value.
    let below = vec![node("Sub", &["k", "x"], "y", Vec::new())];
    let one = vec![ints("k", DataType::Uint64, &[1])];
    let answer = run(DataType::Uint64, below, one, [2.0, 1.0]);
    assert!(answer[0].is_nan() && answer[1] == 0.0, "{answer:?}");
    let power = vec![node("Pow", &["x", "k"], "y", Vec::new())];
    let answer = run(DataType::Int32, power, vec![ints("k", DataType::Int32, &[2])], [46_341.0, 46_340.0]);
    assert!(answer[0].is_nan() && answer[1] == 2_147_395_600.0, "{answer:?}");
}

/// A subgraph that states another type than comes in or goes out would have integers wrap elsewhere.
#[test]
fn attack_subgraphs_that_state_other_types() {
    let body = |given: DataType, made: DataType| GraphProto {
        node: vec![node("Identity", &["goes"], "on", Vec::new()), node("Add", &["state", "state"], "next", Vec::new())],
        input: vec![value("i", DataType::Int64, &[]), value("goes", DataType::Bool, &[]), value("state", given, &[2])],
        output: vec![value("on", DataType::Bool, &[]), value("next", made, &[2])],
        ..GraphProto::default()
    };
    let looped = |given: DataType, made: DataType| {
        let node = node("Loop", &["twice", "", "x"], "y", vec![graph("body", body(given, made))]);
        import(17, vec![value("x", DataType::Int8, &[2])], vec![node], vec![ints("twice", DataType::Int64, &[2])])
    };
    assert_eq!(looped(DataType::Int8, DataType::Int8).unwrap().outputs(&[vec![50.0, -3.0]]), [[-56.0, -12.0]]);
    for (given, made) in [(DataType::Int64, DataType::Int64), (DataType::Int8, DataType::Int64), (DataType::Int64, DataType::Int8)] {
        let error = looped(given, made).unwrap_err().to_string();
        assert!(error.contains("is of type INT"), "{error}");
    }
}

/// An input of indices or a shape says nothing of the type of what is moved, and a subgraph need not state its own.
#[test]
fn attack_types_that_nothing_states() {
    let named = |name: &str| ValueInfoProto { name: name.into(), ..ValueInfoProto::default() };
    let branch = |operator: &str, name: &str| GraphProto {
        node: vec![node(operator, &["x"], name, Vec::new())],
        output: vec![named(name)],
        ..GraphProto::default()
    };
    let body = GraphProto {
        node: vec![node("Identity", &["goes"], "on", Vec::new()), node("Identity", &["state"], "next", Vec::new())],
        input: vec![named("i"), named("goes"), named("state")],
        output: vec![named("on"), named("next")],
        ..GraphProto::default()
    };
    let scanned = GraphProto {
        node: vec![node("Identity", &["one"], "same", Vec::new())],
        input: vec![named("one")],
        output: vec![named("same")],
        ..GraphProto::default()
    };
    let sources = [
        node("If", &["yes"], "a", vec![graph("then_branch", branch("Identity", "p")), graph("else_branch", branch("Neg", "q"))]),
        node("Loop", &["twice", "", "x"], "a", vec![graph("body", body.clone())]),
        node("Loop", &["never", "", "x"], "a", vec![graph("body", body)]),
        node("Scan", &["x"], "a", vec![graph("body", scanned), int("num_scan_inputs", 1)]),
    ];
    let moves = [("Reshape", "shape"), ("Expand", "shape"), ("Gather", "picked"), ("Tile", "once"), ("Unsqueeze", "axis")];
    for source in &sources {
        for (operator, how) in moves {
            let nodes = vec![source.clone(), node(operator, &["a", how], "b", Vec::new()), node("Add", &["b", "b"], "y", Vec::new())];
            let initialisers = vec![
                ints("yes", DataType::Bool, &[1]),
                ints("twice", DataType::Int64, &[2]),
                ints("never", DataType::Int64, &[0]),
                ints("shape", DataType::Int64, &[2]),
                ints("picked", DataType::Int64, &[0, 1]),
                ints("once", DataType::Int64, &[1]),
                ints("axis", DataType::Int64, &[0]),
            ];
            let graph = import(17, vec![value("x", DataType::Int8, &[2])], nodes, initialisers).unwrap();
            assert_eq!(graph.outputs(&[vec![100.0, -100.0]]), [[-56.0, 56.0]], "{} {operator}", source.op_type);
        }
    }
}

/// What is worked out in real numbers rounds integers in its own way: it takes none.
#[test]
fn integers_are_not_worked_out_as_real_numbers() {
    let error = import(17, vec![value("x", DataType::Int8, &[2])], vec![node("Shrink", &["x"], "y", Vec::new())], Vec::new());
    let error = error.unwrap_err().to_string();
    assert!(error.contains("(Shrink)") && error.contains("cast them to float before it"), "{error}");
    let linear =
        AttributeProto { name: "mode".into(), r#type: AttributeType::String as i32, s: "linear".into(), ..AttributeProto::default() };
    let resized = |kind: DataType, attributes: Vec<AttributeProto>| {
        let resize = node("Resize", &["x", "", "scales"], "y", attributes);
        import(17, vec![value("x", kind, &[4])], vec![resize], vec![floats("scales", &[2.0])])
    };
    let error = resized(DataType::Int32, vec![linear.clone()]).unwrap_err().to_string();
    assert!(error.contains("(Resize)") && error.contains("cast them to float before it"), "{error}");
    resized(DataType::Int32, Vec::new()).unwrap();
    resized(DataType::Float, vec![linear]).unwrap();
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

/// Outputs that are what rounding leaves of larger numbers, and numbers beyond a type's end, are no answers to compare with.
#[test]
fn attack_answers_that_runtimes_do_not_share() {
    let compared = |nodes: Vec<NodeProto>, initialisers: Vec<TensorProto>, number: f64| {
        let mut model = model(17, x(1), nodes, initialisers);
        let graph = model.graph.as_mut().unwrap();
        let name = graph.output[0].name.clone();
        graph.output[0] = value(&name, DataType::Float, &[1]);
        Imported::new(&model.encode_to_vec(), None, &ImportOptions::default()).unwrap().compare(&[vec![vec![number]]])
    };
    let around = |number: f32| {
        let nodes = vec![node("Add", &["x", "b"], "t", Vec::new()), node("Sub", &["t", "b"], "y", Vec::new())];
        compared(nodes, vec![floats("b", &[number])], 0.75)
    };
    assert_eq!(around(100.0).unwrap(), Reference::Tract);
    assert!(around(1e9).unwrap_err().to_string().contains("means different things"));
    let half = |x: f64| {
        let cast = |from: &str, to: &str, kind: DataType| node("Cast", &[from], to, vec![int("to", kind as i64)]);
        compared(vec![cast("x", "h", DataType::Float16), cast("h", "y", DataType::Float)], Vec::new(), x)
    };
    assert_eq!(half(60_000.0).unwrap(), Reference::Tract);
    assert!(half(70_000.0).unwrap_err().to_string().contains("leave such samples out"));
}

/// The length of a short row rounds to 0, as that of a row of zeros does: it is refused, and no row of zeros.
#[test]
fn attack_a_short_row_is_no_row_of_zeros() {
    for power in [1, 2] {
        let nodes = vec![node("LpNormalization", &["x"], "y", vec![int("p", power)])];
        let graph = import(17, vec![value("x", DataType::Float, &[1, 4])], nodes, Vec::new()).unwrap();
        let row = |k: usize| Input((0..1).map(|_| (0..4).map(|i| ((7 * k + 3 * i) % 11) as f64 / 11.0).collect()).collect());
        let (graph, _) = crate::compile_float(graph, Some(&Samples((0..40).map(row).collect())), &crate::Options::default()).unwrap();
        let answer = |x: f64| {
            let integers = execute(&graph, &encode(&graph, &Input(vec![vec![0.0, 0.0, 0.0, x]])).unwrap()).ok()?;
            Some(decode_outputs(&graph, &[integers[graph.outputs[0].tensor].clone()]).remove(0)[3])
        };
        assert_eq!(answer(0.0), Some(0.0));
        let mut answered = 0;
        for step in 1..200 {
            let x = f64::from(step) / 200.0;
            let y = answer(x);
            // What is nearest to 0 may have the digits of 0.
            let digit = encode(&graph, &Input(vec![vec![0.0, 0.0, 0.0, x]])).unwrap()[0][3];
            let zero = encode(&graph, &Input(vec![vec![0.0; 4]])).unwrap()[0][3];
            assert!(y.is_none_or(|y| (y - 1.0).abs() < 0.05 || digit == zero), "p = {power}, x = {x}: {y:?}");
            answered += u32::from(y.is_some());
        }
        assert!(answered > 50, "p = {power}: {answered}");
    }
}

/// An input whose digits reach four times as far as its samples: what counts is the error beside the samples, and not beside what may come.
#[test]
fn errors_count_against_what_the_samples_show() {
    let inputs = vec![value("a", DataType::Float, &[1]), value("b", DataType::Float, &[1, 4])];
    let nodes = vec![node("Tanh", &["a"], "y", Vec::new()), node("Sigmoid", &["b"], "z", Vec::new())];
    let mut proto = model(17, inputs, nodes, Vec::new());
    if let Some(graph) = &mut proto.graph {
        graph.output = vec![value("y", DataType::Float, &[1]), value("z", DataType::Float, &[1, 4])];
    }
    let sample = |k: usize| {
        let a = 9.4e-4 * [0.0, -1.0, -0.57, 0.58, -0.48, -0.45][k];
        Input(vec![vec![a], (0..4).map(|i| ((5 * k + 3 * i) % 14) as f64).collect()])
    };
    let samples = Samples((0..6).map(sample).collect());
    // Refused for that error, or right wherever the samples reach.
    let graph = match crate::compile_bytes(&proto.encode_to_vec(), Some(&samples), &crate::Options::default()) {
        Ok((graph, _)) => graph,
        Err(error) => return assert!(error.to_string().contains("output `y` is off by"), "{error}"),
    };
    for step in 0..=200 {
        let a = 9.4e-4 * (f64::from(step) / 200.0 * 1.58 - 1.0);
        let integers = execute(&graph, &encode(&graph, &Input(vec![vec![a], vec![3.0; 4]])).unwrap()).unwrap();
        let y = decode_outputs(&graph, &[integers[graph.outputs[0].tensor].clone(), integers[graph.outputs[1].tensor].clone()])[0][0];
        assert!((y - a.tanh()).abs() <= 0.05 * 9.4e-4, "{a}: {y}");
    }
}
