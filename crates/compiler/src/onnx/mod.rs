//! ONNX models as float graphs.
//!
//! tract decodes the protobuf; everything after that is read here, from the protobuf alone. Each operator's attributes
//! are read by name, and one that was not read is refused, because ignoring it could change what the model computes.
//! tract's own shape inference is then held against ours. All of it runs behind a panic boundary.
//!
//! | file | what is in it |
//! |---|---|
//! | `mod` | models, their inputs and outputs, and what names stand for |
//! | `error` | why a model is refused, and what to do where an operator is missing |
//! | `operators` | the table of operators, and how a node finds its own |
//! | `context`, `attributes` | a node's inputs and attributes, and errors about them |
//! | `constant`, `broadcast` | tensors known when the model is read, and shapes that broadcast |
//! | `build` | the float graph's nodes, with constants folded: what all operators below are written in |
//! | `sign` | what is certain of a value's sign by what makes it |
//! | `arithmetic` | sums, products, quotients and the larger of tensors |
//! | `logic`, `bitwise` | comparisons, truth values and choices; integers bit by bit |
//! | `cast` | types that the model states, and casts between them |
//! | `pointwise` | functions of each element, clips and powers |
//! | `reduce` | rows and what is made of each: sums, extremes, positions of extremes |
//! | `linear`, `einsum` | matrix products, and Einsum in terms of them |
//! | `sort` | the first of a row in order: TopK |
//! | `norm`, `softmax` | normalisations, and soft max with what a mask leaves |
//! | `mask`, `attention` | masks of scores before a soft max, and Attention |
//! | `recurrent` | RNN, GRU and LSTM, unrolled |
//! | `window`, `conv`, `pool` | windows that slide over space, convolutions and pools |
//! | `resize` | space sampled at constant places: Resize, Upsample, GridSample |
//! | `shape` | moves of elements, whose places are constant |
//! | `index` | elements picked and set by index: Gather, Scatter, OneHot |
//! | `generator` | constants: ranges, fills, shapes of tensors |
//! | `control` | If, Loop and Scan, whose course is constant, and their subgraphs |
//! | `learned` | the domain `ai.onnx.ml`: linear models, support vectors, features |
//! | `reference` | tract's reading of the model, which ours is held against |

mod arithmetic;
mod attention;
mod attributes;
mod bitwise;
mod broadcast;
mod build;
mod cast;
mod constant;
mod context;
mod control;
mod conv;
mod einsum;
mod error;
mod generator;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod hostile_masks;
mod index;
mod learned;
mod linear;
mod logic;
mod mask;
mod norm;
mod operators;
mod pointwise;
mod pool;
mod recurrent;
mod reduce;
mod reference;
mod resize;
mod shape;
mod sign;
mod softmax;
mod sort;
mod types;
mod window;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use tract_onnx::pb;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::prelude::Framework as _;

use crate::float::{FloatGraph, FloatNode, FloatOp, Kind, Value, ValueId};
pub(crate) use build::along;
use constant::{Constant, Elements};
use context::Context;
pub use error::ImportError;
use mask::Mask;
use operators::is_standard;
pub use operators::{Operator, operators};
use reference::Runtime;
pub use reference::{Mismatch, Reference};
use zkslice_graph::{checked_elements, limits};

/// Oldest and newest version of the ONNX operator set whose operators are read as they are defined there.
pub const OPSETS: (i64, i64) = (7, 28);

/// Newest version of the operator set `ai.onnx.ml`.
const LEARNED_OPSET: i64 = 5;
/// Elements of constants that nodes may read, each counted as often as it is read: reading copies.
const MOST_READ: usize = 1 << 31;

/// How to import.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImportOptions {
    /// Drop a Softmax that only makes an output, where that keeps each row's order: the output is then its input (the logits).
    pub drop_final_softmax: bool,
    /// Shapes of inputs by name, where the model leaves axes open.
    pub shapes: BTreeMap<String, Vec<usize>>,
    /// Size of open leading axes, whatever their name.
    pub batch: Option<usize>,
}

/// Imports a model from a file. External data is read from its folder.
///
/// An input whose leading axis is open and named like a batch (`N`, `batch`, `batch_size`, …) is taken with batch 1.
///
/// # Errors
/// When the file cannot be read, is no ONNX model, or holds anything that is not supported.
pub fn import(path: &Path, options: &ImportOptions) -> Result<FloatGraph, ImportError> {
    Ok(Imported::read(path, options)?.graph)
}

/// Imports a model from bytes. External data is refused.
///
/// # Errors
/// As [`import`].
pub fn import_bytes(bytes: &[u8], options: &ImportOptions) -> Result<FloatGraph, ImportError> {
    Ok(Imported::new(bytes, None, options)?.graph)
}

/// A model as read here and, where it could be, by tract.
pub struct Imported {
    /// The model as read here, before any pass.
    pub graph: FloatGraph,
    runtime: Option<Runtime>,
}

impl std::fmt::Debug for Imported {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Imported").field("graph", &self.graph).field("tract", &self.runtime.is_some()).finish()
    }
}

impl From<FloatGraph> for Imported {
    fn from(graph: FloatGraph) -> Self {
        Imported { graph, runtime: None }
    }
}

impl Imported {
    /// As [`import`], and keeps tract's reading.
    ///
    /// # Errors
    /// As [`import`].
    pub fn read(path: &Path, options: &ImportOptions) -> Result<Imported, ImportError> {
        let bytes = std::fs::read(path).map_err(|source| ImportError::Read { path: path.to_owned(), source })?;
        let folder = path.parent().map(|folder| if folder.as_os_str().is_empty() { Path::new(".") } else { folder });
        Imported::new(&bytes, folder, options)
    }

    pub(crate) fn new(bytes: &[u8], folder: Option<&Path>, options: &ImportOptions) -> Result<Imported, ImportError> {
        zkslice_formats::guard(|| {
            let mut model = decode(bytes)?;
            drop_dead_nodes(&mut model);
            let graph = Importer::new(&model, folder, options)?.run()?;
            let runtime = Runtime::new(&model, folder, &graph);
            if let Some(runtime) = &runtime {
                runtime.compare_shapes(&graph)?;
            }
            Ok(Imported { graph, runtime })
        })
        .unwrap_or_else(|message| Err(ImportError::Panic(message)))
    }

    /// Holds the model's outputs on samples against tract's.
    ///
    /// # Errors
    /// At the first sample on which they differ by more than rounding, with the first node that does.
    pub fn compare(&self, samples: &[Vec<Vec<f64>>]) -> Result<Reference, Mismatch> {
        self.runtime.as_ref().map_or(Ok(Reference::Own), |runtime| runtime.compare(&self.graph, samples))
    }
}

fn decode(bytes: &[u8]) -> Result<pb::ModelProto, ImportError> {
    tract_onnx::onnx().proto_model_for_read(&mut &bytes[..]).map_err(|_| ImportError::NotOnnx("it does not decode".into()))
}

/// Drops nodes that no output depends on and initialisers that nothing reads: they may be of any operator or type.
fn drop_dead_nodes(model: &mut pb::ModelProto) {
    if let Some(graph) = &mut model.graph {
        drop_dead(graph);
    }
}

fn drop_dead(graph: &mut pb::GraphProto) {
    let mut needed: HashSet<String> = graph.output.iter().map(|output| output.name.clone()).collect();
    let mut live = Vec::with_capacity(graph.node.len());
    for mut node in std::mem::take(&mut graph.node).into_iter().rev() {
        if node.output.iter().any(|name| !name.is_empty() && needed.contains(name)) {
            node.attribute.iter_mut().filter_map(|attribute| attribute.g.as_mut()).for_each(drop_dead);
            needed.extend(reads(&node).into_iter().map(str::to_owned));
            live.push(node);
        }
    }
    live.reverse();
    graph.node = live;
    // An input that nothing reads stays, to be refused by name; its default goes with it.
    let inputs: HashSet<&str> = graph.input.iter().map(|input| input.name.as_str()).collect();
    graph.initializer.retain(|tensor| needed.contains(&tensor.name) || inputs.contains(tensor.name.as_str()));
}

/// The names that a node reads, in its subgraphs too.
fn reads(node: &pb::NodeProto) -> Vec<&str> {
    let mut names: Vec<&str> = node.input.iter().map(String::as_str).collect();
    for graph in node.attribute.iter().filter_map(|attribute| attribute.g.as_ref()) {
        names.extend(graph.node.iter().flat_map(reads));
        names.extend(graph.output.iter().map(|output| output.name.as_str()));
    }
    names
}

/// What an ONNX value's name stands for.
#[derive(Clone)]
enum Known {
    Value(ValueId),
    Constant(Constant),
}

/// What a name stands for, and the type of its elements where that is known.
#[derive(Clone)]
struct Named {
    known: Known,
    of: Option<DataType>,
}

impl Known {
    fn constant(&self) -> Option<&Constant> {
        match self {
            Known::Value(_) => None,
            Known::Constant(constant) => Some(constant),
        }
    }

    /// Rounds a constant's floats to 32 bits.
    fn round_to_single(&mut self) {
        if let Known::Constant(Constant { elements: Elements::Floats(list), .. }) = self {
            list.iter_mut().for_each(|x| *x = f64::from(*x as f32));
        }
    }
}

struct Importer<'a> {
    proto: &'a pb::GraphProto,
    folder: Option<&'a Path>,
    options: &'a ImportOptions,
    opset: i64,
    /// Initialisers, decoded when a node reads them: what nothing reads may be of any type.
    initialisers: HashMap<&'a str, &'a pb::TensorProto>,
    names: HashMap<String, Named>,
    graph: FloatGraph,
    /// Elements of all values, and of constants that nodes made, so far.
    elements: usize,
    /// Elements of constants that nodes have read so far.
    read: usize,
    /// Nodes imported so far.
    imported: usize,
    /// Names of scores on their way to a soft max: nothing else reads them, but Add and Where on that way.
    scores: HashSet<String>,
    /// Masks of such scores, which the soft max applies.
    masks: HashMap<ValueId, Mask>,
    /// Types of the outputs of the subgraph imported last.
    returned: Vec<Option<DataType>>,
}

impl<'a> Importer<'a> {
    fn new(model: &'a pb::ModelProto, folder: Option<&'a Path>, options: &'a ImportOptions) -> Result<Self, ImportError> {
        let proto = model.graph.as_ref().ok_or_else(|| ImportError::NotOnnx("it holds no graph".into()))?;
        if model.ir_version <= 0 || model.opset_import.is_empty() {
            return Err(ImportError::NotOnnx("it states no version".into()));
        }
        let version = |is: fn(&str) -> bool| model.opset_import.iter().find(|set| is(&set.domain)).map(|set| set.version);
        let opset = match version(is_standard) {
            Some(opset) => opset,
            // What states no version has no operator of it.
            None if proto.node.iter().any(|node| is_standard(&node.domain)) => {
                return Err(ImportError::NotOnnx("it states no version of the ONNX operator set".into()));
            }
            None => OPSETS.1,
        };
        if !(OPSETS.0..=OPSETS.1).contains(&opset) {
            return Err(ImportError::Opset(opset));
        }
        if let Some(learned) = version(|domain| domain == "ai.onnx.ml").filter(|learned| !(1..=LEARNED_OPSET).contains(learned)) {
            return Err(ImportError::Unsupported(format!(
                "uses version {learned} of the operator set ai.onnx.ml; versions 1 to {LEARNED_OPSET} can be read"
            )));
        }
        if !proto.sparse_initializer.is_empty() {
            return Err(ImportError::Unsupported("has sparse initialisers, which are not supported".into()));
        }
        if proto.node.len() > limits::MAX_NODES {
            return Err(ImportError::Unsupported("has too many nodes".into()));
        }
        let mut initialisers = HashMap::new();
        for tensor in &proto.initializer {
            if initialisers.insert(tensor.name.as_str(), tensor).is_some() {
                return Err(ImportError::Constant { name: tensor.name.clone(), reason: "is there twice".into() });
            }
        }
        let graph = FloatGraph { values: Vec::new(), nodes: Vec::new(), inputs: Vec::new(), outputs: Vec::new() };
        Ok(Importer {
            proto,
            folder,
            options,
            opset,
            initialisers,
            names: HashMap::new(),
            graph,
            elements: 0,
            read: 0,
            imported: 0,
            scores: mask::scores(proto),
            masks: HashMap::new(),
            returned: Vec::new(),
        })
    }

    /// What a name stands for, if anything made it yet.
    fn named(&mut self, name: &str) -> Result<Option<Named>, ImportError> {
        if let Some(named) = self.names.get(name).cloned() {
            self.count_read(named.known.constant().map_or(0, Constant::len))?;
            return Ok(Some(named));
        }
        let Some(tensor) = self.initialisers.get(name) else {
            return Ok(None);
        };
        let known = Known::Constant(Constant::decode(name, tensor, self.folder)?);
        let named = Named { known, of: types::tensor_type(tensor.data_type) };
        self.names.insert(name.to_owned(), named.clone());
        Ok(Some(named))
    }

    fn run(mut self) -> Result<FloatGraph, ImportError> {
        let inputs: Vec<&pb::ValueInfoProto> =
            self.proto.input.iter().filter(|input| !self.initialisers.contains_key(input.name.as_str())).collect();
        if let Some(name) = self.options.shapes.keys().find(|name| !inputs.iter().any(|input| &input.name == *name)) {
            let names: Vec<&str> = inputs.iter().map(|input| input.name.as_str()).collect();
            return Err(port("input", name, format!("is given a shape, but the model's inputs are {}", names.join(", "))));
        }
        for input in inputs {
            let (shape, kind) = input_shape(input, self.options)?;
            let id = self.new_value(input.name.clone(), shape, kind);
            self.graph.values[id].width = types::element_type(input).and_then(types::width);
            let named = Named { known: Known::Value(id), of: types::element_type(input) };
            if self.names.insert(input.name.clone(), named).is_some() {
                return Err(port("input", &input.name, "is there twice"));
            }
            self.graph.inputs.push(id);
        }
        let proto = self.proto;
        let outputs: HashSet<&str> = proto.output.iter().map(|output| output.name.as_str()).collect();
        if outputs.len() < proto.output.len() {
            return Err(ImportError::Unsupported("has two outputs of one name".into()));
        }
        self.nodes(&proto.node, &outputs, true)?;
        for output in &self.proto.output {
            let context = Context::output(&output.name);
            let Some(Named { known, .. }) = self.named(&output.name)? else {
                return Err(port("output", &output.name, "is made by no node"));
            };
            let mut id = self.value(&context, &known)?;
            // A node of the graph makes each output, and makes it alone.
            if self.graph.inputs.contains(&id) || self.graph.outputs.iter().any(|(_, other)| *other == id) {
                let Value { shape, kind, .. } = self.graph.values[id].clone();
                id = self.append(&context, FloatOp::Reshape, vec![id], shape, kind)?;
            }
            if self.graph.values[id].name.is_empty() {
                self.graph.values[id].name.clone_from(&output.name);
            }
            check_declared(output, &self.graph.values[id].shape)?;
            self.graph.outputs.push((output.name.clone(), id));
        }
        if self.graph.inputs.is_empty() || self.graph.outputs.is_empty() {
            return Err(ImportError::Unsupported("has no input or no output".into()));
        }
        self.prune()
    }

    /// Imports nodes in their order, those of the model itself or of a subgraph.
    fn nodes(&mut self, nodes: &[pb::NodeProto], outputs: &HashSet<&str>, is_model: bool) -> Result<(), ImportError> {
        let read: HashSet<&str> = nodes.iter().flat_map(reads).collect();
        for node in nodes {
            self.count_import()?;
            let is_final =
                is_model && node.output.first().is_some_and(|name| outputs.contains(name.as_str()) && !read.contains(name.as_str()));
            let is_read = |name: &String| !name.is_empty() && (read.contains(name.as_str()) || outputs.contains(name.as_str()));
            let results = self.node(node, is_final, node.output.iter().map(is_read).collect())?;
            for (name, result) in node.output.iter().zip(results).filter(|(name, _)| !name.is_empty()) {
                self.count_elements(result.known.constant().map_or(0, Constant::len))?;
                if let Known::Value(id) = &result.known
                    && let Some(value) = self.graph.values.get_mut(*id)
                    && value.name.is_empty()
                {
                    value.name.clone_from(name);
                }
                if self.initialisers.contains_key(name.as_str()) || self.names.insert(name.clone(), result).is_some() {
                    return Err(ImportError::Operator {
                        node: node_name(node),
                        operator: node.op_type.clone(),
                        reason: format!("its output `{name}` is made twice"),
                    });
                }
            }
        }
        Ok(())
    }

    /// Counts what subgraphs import again and again.
    fn count_import(&mut self) -> Result<(), ImportError> {
        self.imported += 1;
        if self.imported > limits::MAX_NODES {
            return Err(ImportError::Unsupported(format!(
                "takes more than {} nodes, those in its loops counted each time",
                limits::MAX_NODES
            )));
        }
        Ok(())
    }

    /// Counts the elements of all that nodes make.
    fn count_elements(&mut self, elements: usize) -> Result<(), ImportError> {
        self.elements = self.elements.saturating_add(elements);
        if self.elements > limits::MAX_TOTAL_ELEMENTS {
            return Err(ImportError::Unsupported(format!("has more than {} elements in all its tensors", limits::MAX_TOTAL_ELEMENTS)));
        }
        Ok(())
    }

    /// Counts the elements of a constant that is read.
    fn count_read(&mut self, elements: usize) -> Result<(), ImportError> {
        self.read = self.read.saturating_add(elements);
        if self.read > MOST_READ {
            return Err(ImportError::Unsupported(format!("reads more than {MOST_READ} elements of constants, each time counted")));
        }
        Ok(())
    }

    /// Drops nodes that no output depends on; an input that none depends on is refused.
    fn prune(mut self) -> Result<FloatGraph, ImportError> {
        let mut needed = vec![false; self.graph.values.len()];
        for (_, id) in &self.graph.outputs {
            needed[*id] = true;
        }
        let mut nodes = Vec::new();
        for node in self.graph.nodes.into_iter().rev() {
            if needed[node.output] {
                for &id in &node.inputs {
                    needed[id] = true;
                }
                nodes.push(node);
            }
        }
        nodes.reverse();
        // What an ONNX node takes several steps for has names of its own in between.
        for node in &nodes {
            let value = &mut self.graph.values[node.output];
            if value.name.is_empty() {
                value.name = format!("{}/{}", node.name, node.output);
            }
        }
        self.graph.nodes = nodes;
        for &id in &self.graph.inputs {
            if !needed[id] {
                return Err(port("input", &self.graph.values[id].name, "decides no output; remove it from the model"));
            }
        }
        Ok(self.graph)
    }

    fn new_value(&mut self, name: String, shape: Vec<usize>, kind: Kind) -> ValueId {
        self.graph.values.push(Value { kind, ..Value::new(name, shape) });
        self.graph.values.len() - 1
    }

    /// Appends a node; its output's shape must be within the limits.
    fn append(
        &mut self,
        c: &Context<'_>,
        op: FloatOp,
        inputs: Vec<ValueId>,
        shape: Vec<usize>,
        kind: Kind,
    ) -> Result<ValueId, ImportError> {
        let elements = c.checked(&shape, "output")?;
        if self.graph.nodes.len() >= limits::MAX_NODES {
            return Err(c.wrong(format!("it makes the model take more than {} steps", limits::MAX_NODES)));
        }
        self.count_elements(elements)?;
        let output = self.new_value(String::new(), shape, kind);
        self.graph.nodes.push(FloatNode { name: c.name.clone(), op, inputs, output });
        Ok(output)
    }
}

fn port(side: &'static str, name: &str, reason: impl Into<String>) -> ImportError {
    ImportError::Port { side, name: name.to_owned(), reason: reason.into() }
}

fn node_name(node: &pb::NodeProto) -> String {
    if node.name.is_empty() { node.output.first().cloned().unwrap_or_default() } else { node.name.clone() }
}

/// The declared dimensions of a value: its number, or its name where it is open.
fn declared(info: &pb::ValueInfoProto) -> Option<Vec<Result<i64, String>>> {
    let pb::type_proto::Value::TensorType(tensor) = info.r#type.as_ref()?.value.as_ref()?;
    let dims = tensor.shape.as_ref()?.dim.iter().map(|dim| match &dim.value {
        Some(pb::tensor_shape_proto::dimension::Value::DimValue(size)) => Ok(*size),
        Some(pb::tensor_shape_proto::dimension::Value::DimParam(name)) => Err(name.clone()),
        None => Err(String::new()),
    });
    Some(dims.collect())
}

fn input_shape(input: &pb::ValueInfoProto, options: &ImportOptions) -> Result<(Vec<usize>, Kind), ImportError> {
    let Some(kind) = types::element_type(input).and_then(types::kind_of) else {
        return Err(port("input", &input.name, "is not a tensor of numbers or truth values; export the model with such inputs"));
    };
    let given = options.shapes.get(&input.name);
    let dims = match (declared(input), given) {
        (Some(dims), _) => dims,
        (None, Some(given)) => vec![Err(String::new()); given.len()],
        (None, None) => return Err(port("input", &input.name, format!("has no shape; give it with --shape {}=…", input.name))),
    };
    if let Some(given) = given.filter(|given| given.len() != dims.len()) {
        return Err(port(
            "input",
            &input.name,
            format!("has {} axes in the model and {} in the shape given for it", dims.len(), given.len()),
        ));
    }
    let mut shape = Vec::with_capacity(dims.len());
    for (axis, dim) in dims.into_iter().enumerate() {
        let given = given.map(|given| given[axis]);
        let size = match (dim, given) {
            (Ok(size), given) => {
                let size = usize::try_from(size).map_err(|_| port("input", &input.name, format!("has dimension {size} at axis {axis}")))?;
                if let Some(given) = given.filter(|&given| given != size) {
                    return Err(port("input", &input.name, format!("has dimension {size} at axis {axis}, where {given} is given")));
                }
                size
            }
            (Err(_), Some(given)) => given,
            (Err(name), None) => match options.batch {
                Some(batch) if axis == 0 => batch,
                None if axis == 0 && is_batch(&name) => 1,
                _ => {
                    let dimension = if name.is_empty() { "?".to_owned() } else { name };
                    return Err(ImportError::Dimension { input: input.name.clone(), axis, dimension });
                }
            },
        };
        shape.push(size);
    }
    checked_elements(&shape).map_err(|reason| port("input", &input.name, reason))?;
    Ok((shape, kind))
}

/// Whether an open leading dimension is named like a batch.
fn is_batch(name: &str) -> bool {
    let name = name.to_lowercase();
    matches!(name.as_str(), "" | "n" | "b" | "bs" | "bsz" | "none" | "?") || name.contains("batch") || name.starts_with("unk__")
}

/// Refuses an output whose declared shape is not the one that follows from the operators.
fn check_declared(output: &pb::ValueInfoProto, shape: &[usize]) -> Result<(), ImportError> {
    let Some(dims) = declared(output) else {
        return Ok(());
    };
    let agrees = dims.len() == shape.len()
        && dims.iter().zip(shape).all(|(dim, &size)| dim.as_ref().map_or(true, |&d| usize::try_from(d) == Ok(size)));
    if agrees {
        Ok(())
    } else {
        let dims: Vec<String> = dims.iter().map(|dim| dim.as_ref().map_or_else(|name| name.clone(), i64::to_string)).collect();
        let reason = format!(
            "is declared with shape [{}], but its operators give {shape:?}; correct the declaration, or leave its shape out",
            dims.join(", ")
        );
        Err(port("output", &output.name, reason))
    }
}
