//! The model in tract: an independent reading of it, which ours is held against.
//!
//! tract has no say in what is proven; it is asked whether it reads the same shapes and, on samples, computes the same
//! numbers. Where it has no answer (an operator or a form that it does not know), ours stands alone, and the report says so.

use std::path::Path;

use rayon::prelude::*;
use serde::Serialize;
use tract_onnx::pb;
use tract_onnx::prelude::*;

use super::{ImportError, port};
use crate::float::{FloatGraph, Value};
use zkslice_formats::guard;

/// Difference of two readings that rounding explains, relative to the largest element of the tensor.
const ROUNDING: f64 = 1e-3;
/// The same relative to the largest number anywhere in the model, from which the tensor may be a small difference.
const CANCELLATION: f64 = 1e-6;
/// At most so much of an output may be what is left of such a difference, relative to its largest element on all samples.
const MOST_ROUNDED: f64 = 1e-2;
/// An output so small may be nothing else.
const LEAST_ROUNDED: f64 = 1e-5;

/// What a model's accuracy was measured against.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reference {
    /// The float model, whose outputs on the samples tract computes too, up to rounding.
    Tract,
    /// The float model as read here; tract had no answer.
    Own,
}

/// A tensor that tract computes differently.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error(
    "sample {sample}: node `{node}` gives {ours} at element {element} by our reading of the model and {theirs} by tract's; {}", self.advice()
)]
pub struct Mismatch {
    /// Index of the sample.
    pub sample: usize,
    /// The first node, in the model's order, whose result differs.
    pub node: String,
    /// Index in its flattened result.
    pub element: usize,
    /// Our number.
    pub ours: f64,
    /// tract's number.
    pub theirs: f64,
}

impl Mismatch {
    fn advice(&self) -> &'static str {
        if self.ours.is_finite() && self.theirs.is_finite() {
            "the model means different things to different runtimes, please report it"
        } else {
            "what has no finite value, such as a row of scores that a mask hides or a number beyond the type that it is cast to, runtimes \
             make different things of; leave such samples out"
        }
    }
}

/// A model that tract could read.
pub(super) struct Runtime {
    model: TypedModel,
}

impl Runtime {
    /// `None` where tract cannot read the model.
    pub(super) fn new(model: &pb::ModelProto, folder: Option<&Path>, graph: &FloatGraph) -> Option<Runtime> {
        let proto = model.graph.as_ref()?;
        if let Some(node) = misread(proto, false) {
            tracing::debug!("tract misreads node `{}` ({})", node.name, node.op_type);
            return None;
        }
        let read = || -> Option<TypedModel> {
            let mut inferred = tract_onnx::onnx().parse(model, folder.and_then(Path::to_str)).ok()?.model;
            for (position, &id) in graph.inputs.iter().enumerate() {
                let kind = datum_type(model, &graph.values[id].name)?;
                inferred.set_input_fact(position, kind.fact(&graph.values[id].shape).into()).ok()?;
            }
            // Windows are given the shapes that we read: where tract finds others before them, it stops there.
            let inputs = proto.node.iter().filter(|node| has_channels(node)).filter_map(|node| node.input.first());
            for name in inputs.filter(|name| graph.inputs.iter().all(|&id| graph.values[id].name != **name)) {
                let value = graph.values.iter().find(|value| value.name == *name)?;
                let shape = InferenceFact::shape(value.shape.iter().map(|&size| TDim::from(size)).collect::<TVec<_>>());
                inferred.set_outlet_fact(inferred.find_outlet_label(name)?, shape).ok()?;
            }
            inferred.into_typed().ok()
        };
        let model = guard(read).ok().flatten();
        if model.is_none() {
            tracing::debug!("tract does not read this model");
        }
        model.map(|model| Runtime { model })
    }

    /// Refuses a model whose output shapes tract infers differently.
    pub(super) fn compare_shapes(&self, graph: &FloatGraph) -> Result<(), ImportError> {
        for (position, (name, id)) in graph.outputs.iter().enumerate() {
            let fact = self.model.output_fact(position).ok();
            let Some(shape) = fact.and_then(|fact| fact.shape.as_concrete()) else {
                continue;
            };
            let ours = &graph.values[*id].shape;
            if ours != shape {
                return Err(port(
                    "output",
                    name,
                    format!("has shape {ours:?} by our reading and {shape:?} by tract's; please report this model"),
                ));
            }
        }
        Ok(())
    }

    /// Holds the outputs on the samples against tract's. `graph` is as imported, before any pass.
    pub(super) fn compare(&self, graph: &FloatGraph, samples: &[Vec<Vec<f64>>]) -> Result<Reference, Mismatch> {
        // A dropped Softmax makes another value the output: values are found by their names in the model.
        let outlet = |value: &Value| self.model.find_outlet_label(&value.name);
        let outlets: Option<Vec<OutletId>> = graph
            .outputs
            .iter()
            .enumerate()
            .map(|(position, (name, id))| {
                let value = &graph.values[*id];
                outlet(value).or_else(|| (*name == value.name).then(|| self.model.outputs.get(position).copied()).flatten())
            })
            .collect();
        let Some(outlets) = outlets else {
            return Ok(Reference::Own);
        };
        let Some(theirs) = self.run(graph, &outlets, samples) else {
            return Ok(Reference::Own);
        };
        let caps: Vec<f64> = (0..outlets.len()).map(|output| cap(theirs.iter().map(|lists| &lists[output][..]))).collect();
        let differs = |sample: &usize| {
            let values = graph.run(&samples[*sample]);
            let outputs = graph.outputs.iter().zip(&theirs[*sample]).zip(&caps);
            outputs.into_iter().any(|(((_, id), theirs), cap)| difference(&values, *id, theirs, *cap).is_some())
        };
        let all: Vec<usize> = (0..samples.len()).collect();
        let found = all.chunks(graph.runs_at_once()).find_map(|block| block.par_iter().find_first(|sample| differs(sample)));
        found.map_or(Ok(Reference::Tract), |&sample| {
            let input = &samples[sample];
            Err(self.first_difference(graph, sample, input, &graph.run(input), &outlets, &caps))
        })
    }

    /// The first node whose result differs on a sample on which an output does.
    fn first_difference(
        &self,
        graph: &FloatGraph,
        sample: usize,
        input: &[Vec<f64>],
        values: &[Vec<f64>],
        outputs: &[OutletId],
        caps: &[f64],
    ) -> Mismatch {
        let nodes =
            graph.nodes.iter().filter_map(|node| Some((node.output, self.model.find_outlet_label(&graph.values[node.output].name)?)));
        let all: Vec<(usize, OutletId)> = nodes.chain(graph.outputs.iter().map(|(_, id)| *id).zip(outputs.iter().copied())).collect();
        let outlets: Vec<OutletId> = all.iter().map(|(_, outlet)| *outlet).collect();
        let theirs = self.run(graph, &outlets, &[input.to_vec()]).and_then(|mut all| all.pop()).unwrap_or_default();
        // Inside the model, numbers that cancel out may be of any size.
        let inside = all.len() - outputs.len();
        let caps = std::iter::repeat_n(&f64::INFINITY, inside).chain(caps);
        let found =
            all.iter().zip(&theirs).zip(caps).find_map(|(((id, _), theirs), cap)| Some((*id, difference(values, *id, theirs, *cap)?)));
        let (id, (element, ours, theirs)) = found.unwrap_or((graph.outputs[0].1, (0, f64::NAN, f64::NAN)));
        let node = graph.nodes.iter().find(|node| node.output == id).map_or(&graph.values[id].name, |node| &node.name);
        Mismatch { sample, node: node.clone(), element, ours, theirs }
    }

    /// The values at some outlets on each sample; `None` where tract cannot run the model.
    fn run(&self, graph: &FloatGraph, outlets: &[OutletId], samples: &[Vec<Vec<f64>>]) -> Option<Vec<Vec<Vec<f64>>>> {
        let run = || -> TractResult<Vec<Vec<Vec<f64>>>> {
            let plan = self.model.clone().with_output_outlets(outlets)?.into_runnable()?;
            let mut all = Vec::with_capacity(samples.len());
            for sample in samples {
                let mut inputs = TVec::new();
                for (position, (list, &id)) in sample.iter().zip(&graph.inputs).enumerate() {
                    let kind = self.model.input_fact(position)?.datum_type;
                    let tensor = Tensor::from_shape(&graph.values[id].shape, list)?;
                    inputs.push(tensor.cast_to_dt(kind)?.into_owned().into());
                }
                let outputs = plan.run(inputs)?;
                let lists = outputs.iter().map(|output| Ok(output.cast_to::<f64>()?.try_as_plain_ram()?.as_slice::<f64>()?.to_vec()));
                all.push(lists.collect::<TractResult<_>>()?);
            }
            Ok(all)
        };
        match guard(run) {
            Ok(Ok(all)) => Some(all),
            Ok(Err(error)) => {
                tracing::debug!("tract does not run this model: {error}");
                None
            }
            Err(message) => {
                tracing::debug!("tract stopped on this model: {message}");
                None
            }
        }
    }
}

/// A node that tract is known to read wrongly, or in a subgraph one of whose data nobody says the shape.
fn misread(graph: &pb::GraphProto, inner: bool) -> Option<&pb::NodeProto> {
    graph.node.iter().find_map(|node| {
        let below = node.attribute.iter().filter_map(|attribute| attribute.g.as_ref()).find_map(|graph| misread(graph, true));
        below.or_else(|| (is_misread(node) || inner && has_channels(node)).then_some(node))
    })
}

/// Whether tract looks for channels in a node's data: along axis 1, without asking whether there is one. Of data of fewer axes it reads
/// beyond the shape's memory, which no one can catch; we refuse such data, and tract must not come to other shapes than we did.
fn has_channels(node: &pb::NodeProto) -> bool {
    let operator = node.op_type.as_str();
    operator == "BatchNormalization" || operator.contains("Conv") || operator.contains("Pool")
}

/// What tract is known to compute wrongly; the ONNX node tests stand in for it there. It drops directions, functions, clips and lengths
/// of recurrent layers without a word, and has formulas or shapes of its own for some operators.
fn is_misread(node: &pb::NodeProto) -> bool {
    let forward = |attribute: &pb::AttributeProto| match attribute.name.as_str() {
        "direction" => attribute.s == b"forward",
        "hidden_size" | "linear_before_reset" => true,
        _ => false,
    };
    match node.op_type.as_str() {
        "LSTM" | "GRU" | "RNN" => !node.attribute.iter().all(forward) || node.input.get(4).is_some_and(|lengths| !lengths.is_empty()),
        "ArrayFeatureExtractor" | "Celu" | "GlobalLpPool" | "Normalizer" => true,
        _ => false,
    }
}

/// tract's name of an input's element type.
fn datum_type(model: &pb::ModelProto, input: &str) -> Option<DatumType> {
    use pb::tensor_proto::DataType;
    let info = model.graph.iter().flat_map(|graph| &graph.input).find(|info| info.name == input);
    let kind = info.and_then(|info| info.r#type.as_ref()).and_then(|kind| kind.value.as_ref());
    let pb::type_proto::Value::TensorType(tensor) = kind?;
    Some(match DataType::try_from(tensor.elem_type).ok()? {
        DataType::Float => DatumType::F32,
        DataType::Double => DatumType::F64,
        DataType::Float16 => DatumType::F16,
        DataType::Int8 => DatumType::I8,
        DataType::Int16 => DatumType::I16,
        DataType::Int32 => DatumType::I32,
        DataType::Int64 => DatumType::I64,
        DataType::Uint8 => DatumType::U8,
        DataType::Uint16 => DatumType::U16,
        DataType::Uint32 => DatumType::U32,
        DataType::Uint64 => DatumType::U64,
        DataType::Bool => DatumType::Bool,
        _ => return None,
    })
}

fn largest(list: &[f64]) -> f64 {
    list.iter().fold(0.0_f64, |most, x| most.max(x.abs()))
}

/// How much of an output may be what rounding leaves of larger numbers, given it on all samples: beyond that runtimes disagree.
fn cap<'a>(lists: impl Iterator<Item = &'a [f64]>) -> f64 {
    (MOST_ROUNDED * lists.fold(0.0, |most, list| largest(list).max(most))).max(LEAST_ROUNDED)
}

/// The element at which a value differs most from tract's by more than rounding: its index, ours, theirs.
/// What larger numbers leave by rounding is at most `cap`.
fn difference(values: &[Vec<f64>], id: usize, theirs: &[f64], cap: f64) -> Option<(usize, f64, f64)> {
    let ours = &values[id];
    if ours.len() != theirs.len() {
        return Some((ours.len().min(theirs.len()), f64::NAN, f64::NAN));
    }
    // What is infinite is so for both: no rounding reaches it.
    let infinite = |index: &usize| (ours[*index] - theirs[*index]).is_infinite();
    if let Some(index) = (0..ours.len()).find(infinite) {
        return Some((index, ours[index], theirs[index]));
    }
    let anywhere = values.iter().fold(0.0_f64, |most, value| most.max(largest(value)));
    let allowed = ROUNDING * largest(ours).max(largest(theirs)) + (CANCELLATION * anywhere).min(cap);
    let apart = |index: usize| (ours[index] - theirs[index]).abs();
    // NaN is beyond any rounding.
    let beyond = (0..ours.len()).filter(|&index| apart(index) > allowed || apart(index).is_nan());
    beyond.max_by(|&a, &b| apart(a).total_cmp(&apart(b))).map(|index| (index, ours[index], theirs[index]))
}
