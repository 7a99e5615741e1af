//! ONNX models as float graphs.
//!
//! tract decodes the protobuf; everything after that is read here, from the protobuf alone. Each operator's attributes
//! are read by name, and one that was not read is refused, because ignoring it could change what the model computes.
//! tract's own shape inference is then held against ours. All of it runs behind a panic boundary.

mod attributes;
mod boundary;
mod constant;
mod operators;

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use tract_onnx::pb;
use tract_onnx::prelude::{DatumExt as _, Framework as _, InferenceModelExt as _};

use crate::float::{FloatGraph, FloatNode, FloatOp, Value, ValueId};
use crate::validate::{checked_elements, limits};
pub use boundary::guard;
use constant::Constant;
pub(crate) use operators::along;
pub use operators::{OPERATORS, Operator};

/// Oldest and newest version of the ONNX operator set whose operators are read as they are defined there.
pub const OPSETS: (i64, i64) = (7, 28);

/// How to import.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ImportOptions {
    /// Drop a Softmax that only makes an output: the output is then its input (the logits).
    pub drop_final_softmax: bool,
}

/// Why a model cannot be imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The file cannot be read.
    #[error("cannot read {path}: {source}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The bytes are not an ONNX model.
    #[error("this is not an ONNX model ({0}); give a .onnx file")]
    NotOnnx(String),
    /// The operator set is not one that can be read.
    #[error("the model uses version {0} of the ONNX operator set; versions {min} to {max} can be read: convert it with onnx.version_converter", min = OPSETS.0, max = OPSETS.1)]
    Opset(i64),
    /// The model uses a part of ONNX that is not supported.
    #[error("the model {0}")]
    Unsupported(String),
    /// An operator that does not exist here.
    #[error("node `{node}`: operator {operator} is not supported; supported are {}", operators::names())]
    UnknownOperator {
        /// Name of the node.
        node: String,
        /// The operator.
        operator: String,
    },
    /// An attribute that is unknown, malformed or has a value that is not supported.
    #[error("node `{node}` ({operator}): attribute `{attribute}` {reason}")]
    Attribute {
        /// Name of the node.
        node: String,
        /// The operator.
        operator: String,
        /// The attribute.
        attribute: String,
        /// What is wrong with it.
        reason: String,
    },
    /// An operator is used in a way that is not supported.
    #[error("node `{node}` ({operator}): {reason}")]
    Operator {
        /// Name of the node.
        node: String,
        /// The operator.
        operator: String,
        /// What is wrong.
        reason: String,
    },
    /// A constant cannot be used.
    #[error("constant `{name}`: {reason}")]
    Constant {
        /// Name of the initialiser or node.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// A shape is open.
    #[error("input `{input}`: axis {axis} is open (`{dimension}`); export the model with a fixed size there")]
    Dimension {
        /// Name of the input.
        input: String,
        /// The axis.
        axis: usize,
        /// Name of the dimension, `?` when it has none.
        dimension: String,
    },
    /// An input or output cannot be used.
    #[error("{side} `{name}`: {reason}")]
    Port {
        /// `input` or `output`.
        side: &'static str,
        /// Its name.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// The model ends in a Softmax.
    #[error(
        "node `{node}`: a final Softmax is not supported; pass --drop-final-softmax to prove the logits instead (the largest stays the largest)"
    )]
    FinalSoftmax {
        /// Name of the node.
        node: String,
    },
    /// The decoder panicked.
    #[error("the model cannot be read: the decoder stopped with `{0}`; check the file with onnx.checker")]
    Panic(String),
}

/// Imports a model from a file. External data is read from its folder.
///
/// An input whose leading axis is open and named like a batch (`N`, `batch`, `batch_size`, …) is taken with batch 1.
///
/// # Errors
/// When the file cannot be read, is no ONNX model, or holds anything that is not supported.
pub fn import(path: &Path, options: &ImportOptions) -> Result<FloatGraph, ImportError> {
    let bytes = std::fs::read(path).map_err(|source| ImportError::Read { path: path.to_owned(), source })?;
    let folder = path.parent().map(|folder| if folder.as_os_str().is_empty() { Path::new(".") } else { folder });
    import_from(&bytes, folder, options)
}

/// Imports a model from bytes. External data is refused.
///
/// # Errors
/// As [`import`].
pub fn import_bytes(bytes: &[u8], options: &ImportOptions) -> Result<FloatGraph, ImportError> {
    import_from(bytes, None, options)
}

fn import_from(bytes: &[u8], folder: Option<&Path>, options: &ImportOptions) -> Result<FloatGraph, ImportError> {
    boundary::guard(|| {
        let model =
            tract_onnx::onnx().proto_model_for_read(&mut &bytes[..]).map_err(|_| ImportError::NotOnnx("it does not decode".into()))?;
        let graph = Importer::new(&model, folder, options)?.run()?;
        compare_shapes(&model, folder, &graph)?;
        Ok(graph)
    })
    .unwrap_or_else(|message| Err(ImportError::Panic(message)))
}

/// Refuses a model whose output shapes tract infers differently. Where tract has no answer, ours stands.
fn compare_shapes(model: &pb::ModelProto, folder: Option<&Path>, graph: &FloatGraph) -> Result<(), ImportError> {
    let inferred = boundary::guard(|| -> Option<Vec<Vec<usize>>> {
        let mut inferred = tract_onnx::onnx().parse(model, folder.and_then(Path::to_str)).ok()?.model;
        for (position, &id) in graph.inputs.iter().enumerate() {
            inferred.set_input_fact(position, f32::fact(&graph.values[id].shape).into()).ok()?;
        }
        let typed = inferred.into_typed().ok()?;
        (0..graph.outputs.len()).map(|position| typed.output_fact(position).ok()?.shape.as_concrete().map(<[usize]>::to_vec)).collect()
    });
    let Ok(Some(inferred)) = inferred else {
        tracing::debug!("tract infers no output shapes for this model");
        return Ok(());
    };
    for ((name, id), shape) in graph.outputs.iter().zip(inferred) {
        if graph.values[*id].shape != shape {
            let ours = &graph.values[*id].shape;
            return Err(port(
                "output",
                name,
                format!("has shape {ours:?} by our reading and {shape:?} by tract's; please report this model"),
            ));
        }
    }
    Ok(())
}

/// What an ONNX value's name stands for.
#[derive(Clone)]
enum Known {
    Value(ValueId),
    Constant(Constant),
}

struct Importer<'a> {
    proto: &'a pb::GraphProto,
    options: ImportOptions,
    known: HashMap<String, Known>,
    graph: FloatGraph,
}

impl<'a> Importer<'a> {
    fn new(model: &'a pb::ModelProto, folder: Option<&Path>, options: &ImportOptions) -> Result<Self, ImportError> {
        let proto = model.graph.as_ref().ok_or_else(|| ImportError::NotOnnx("it holds no graph".into()))?;
        if model.ir_version <= 0 || model.opset_import.is_empty() {
            return Err(ImportError::NotOnnx("it states no version".into()));
        }
        let opset = model
            .opset_import
            .iter()
            .find(|set| set.domain.is_empty() || set.domain == "ai.onnx")
            .map(|set| set.version)
            .ok_or_else(|| ImportError::Unsupported("uses no operator of the ONNX domain".into()))?;
        if !(OPSETS.0..=OPSETS.1).contains(&opset) {
            return Err(ImportError::Opset(opset));
        }
        if !proto.sparse_initializer.is_empty() {
            return Err(ImportError::Unsupported("has sparse initialisers, which are not supported".into()));
        }
        if proto.node.len() > limits::MAX_NODES {
            return Err(ImportError::Unsupported("has too many nodes".into()));
        }
        let mut known = HashMap::new();
        for tensor in &proto.initializer {
            let constant = Constant::decode(&tensor.name, tensor, folder)?;
            if known.insert(tensor.name.clone(), Known::Constant(constant)).is_some() {
                return Err(ImportError::Constant { name: tensor.name.clone(), reason: "is there twice".into() });
            }
        }
        let graph = FloatGraph { values: Vec::new(), nodes: Vec::new(), inputs: Vec::new(), outputs: Vec::new() };
        Ok(Importer { proto, options: *options, known, graph })
    }

    fn run(mut self) -> Result<FloatGraph, ImportError> {
        for input in &self.proto.input {
            if matches!(self.known.get(&input.name), Some(Known::Constant(_))) {
                continue;
            }
            let shape = input_shape(input)?;
            let id = self.new_value(input.name.clone(), shape);
            if self.known.insert(input.name.clone(), Known::Value(id)).is_some() {
                return Err(port("input", &input.name, "is there twice"));
            }
            self.graph.inputs.push(id);
        }
        let uses: HashMap<&str, usize> = self.proto.node.iter().flat_map(|node| &node.input).fold(HashMap::new(), |mut uses, name| {
            *uses.entry(name.as_str()).or_default() += 1;
            uses
        });
        let outputs: HashSet<&str> = self.proto.output.iter().map(|output| output.name.as_str()).collect();
        let proto = self.proto;
        for node in &proto.node {
            let is_final = node.output.first().is_some_and(|name| outputs.contains(name.as_str()) && !uses.contains_key(name.as_str()));
            for name in node.output.iter().skip(1).filter(|name| !name.is_empty()) {
                if uses.contains_key(name.as_str()) || outputs.contains(name.as_str()) {
                    return Err(ImportError::Operator {
                        node: node_name(node),
                        operator: node.op_type.clone(),
                        reason: format!("its further output `{name}` is not supported"),
                    });
                }
            }
            let result = self.node(node, is_final)?;
            let Some(name) = node.output.first() else {
                continue;
            };
            if let Known::Value(id) = &result
                && let Some(value) = self.graph.values.get_mut(*id)
                && value.name.is_empty()
            {
                value.name.clone_from(name);
            }
            if self.known.insert(name.clone(), result).is_some() {
                return Err(ImportError::Operator {
                    node: node_name(node),
                    operator: node.op_type.clone(),
                    reason: format!("its output `{name}` is made twice"),
                });
            }
        }
        for output in &self.proto.output {
            match self.known.get(&output.name) {
                Some(&Known::Value(id)) => {
                    check_declared(output, &self.graph.values[id].shape)?;
                    self.graph.outputs.push((output.name.clone(), id));
                }
                Some(Known::Constant(_)) => return Err(port("output", &output.name, "does not depend on any input")),
                None => return Err(port("output", &output.name, "is made by no node")),
            }
        }
        if self.graph.inputs.is_empty() || self.graph.outputs.is_empty() {
            return Err(ImportError::Unsupported("has no input or no output".into()));
        }
        self.prune()
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
        self.graph.nodes = nodes;
        for &id in &self.graph.inputs {
            if !needed[id] {
                return Err(port("input", &self.graph.values[id].name, "is used by no output; remove it from the model"));
            }
        }
        Ok(self.graph)
    }

    fn new_value(&mut self, name: String, shape: Vec<usize>) -> ValueId {
        self.graph.values.push(Value { name, shape });
        self.graph.values.len() - 1
    }

    /// Appends a node; its output's shape must be within the limits.
    fn push(
        &mut self,
        context: &operators::Context<'_>,
        op: FloatOp,
        inputs: Vec<ValueId>,
        shape: Vec<usize>,
    ) -> Result<ValueId, ImportError> {
        checked_elements(&shape).map_err(|reason| context.wrong(format!("its output: {reason}")))?;
        let output = self.new_value(String::new(), shape);
        self.graph.nodes.push(FloatNode { name: context.name.clone(), op, inputs, output });
        Ok(output)
    }

    fn shape(&self, id: ValueId) -> &[usize] {
        &self.graph.values[id].shape
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

fn input_shape(input: &pb::ValueInfoProto) -> Result<Vec<usize>, ImportError> {
    let element = input.r#type.as_ref().and_then(|t| t.value.as_ref()).map(|pb::type_proto::Value::TensorType(tensor)| tensor.elem_type);
    let float = pb::tensor_proto::DataType::Float as i32;
    let double = pb::tensor_proto::DataType::Double as i32;
    if element != Some(float) && element != Some(double) {
        return Err(port("input", &input.name, "is not a tensor of float or double; export the model with float inputs"));
    }
    let Some(dims) = declared(input) else {
        return Err(port("input", &input.name, "has no shape; export the model with fixed shapes"));
    };
    let mut shape = Vec::with_capacity(dims.len());
    for (axis, dim) in dims.into_iter().enumerate() {
        match dim {
            Ok(size) => {
                shape.push(usize::try_from(size).map_err(|_| port("input", &input.name, format!("has dimension {size} at axis {axis}")))?)
            }
            Err(name) if axis == 0 && is_batch(&name) => shape.push(1),
            Err(name) => {
                let dimension = if name.is_empty() { "?".to_owned() } else { name };
                return Err(ImportError::Dimension { input: input.name.clone(), axis, dimension });
            }
        }
    }
    checked_elements(&shape).map_err(|reason| port("input", &input.name, reason))?;
    match shape.first() {
        None => Err(port("input", &input.name, "is a single number without axes; give it shape [1]")),
        Some(&batch) if batch != 1 && shape.len() > 1 => {
            Err(port("input", &input.name, format!("has batch {batch}; export the model with batch 1")))
        }
        Some(_) => Ok(shape),
    }
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
        Err(port("output", &output.name, format!("is declared with another shape than {shape:?}, which its operators give")))
    }
}
