//! What compiling found out.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::onnx::Reference;
use crate::quantise::TensorScale;
use zkslice_graph::cost::{self, Work};
use zkslice_graph::{Binding, BoundGraph, Graph, Kind, Op};

/// Cost of a graph in non-linear operators.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Sites {
    /// Elements that pass a ReLU.
    pub relus: usize,
    /// Elements requantised without a ReLU.
    pub requants: usize,
    /// Comparisons of max pools and with bounds.
    pub comparisons: usize,
    /// Elements that pass a function's table.
    pub functions: usize,
    /// Products, quotients, roots and bits of computed numbers.
    pub products: usize,
    /// Elements of inputs.
    pub inputs: usize,
    /// Lookups in the range table.
    pub lookups: usize,
}

impl Sites {
    /// Counts a validated graph's sites.
    pub fn count(graph: &Graph) -> Sites {
        let mut sites = Sites::default();
        for port in &graph.inputs {
            let count = graph.tensors[port.tensor].len();
            sites.inputs += count;
            sites.lookups += count * port.encoding.bits.div_ceil(graph.table_bits) as usize;
        }
        for node in &graph.nodes {
            let site = graph.site(node);
            sites.lookups += node.op.lookups(&site);
            match &node.op {
                Op::Relu(_) => sites.relus += graph.tensors[node.output].len(),
                Op::Requant(_) => sites.requants += graph.tensors[node.output].len(),
                op @ (Op::Clip(_) | Op::MaxPool(_) | Op::Maximum(_)) => sites.comparisons += op.products(&site),
                Op::Step(_) => sites.comparisons += graph.tensors[node.output].len(),
                op @ (Op::Product(_) | Op::MatMul(_) | Op::Divide(_) | Op::Sqrt(_) | Op::OneHot(_)) => sites.products += op.products(&site),
                Op::Table(_) => sites.functions += graph.tensors[node.output].len(),
                Op::Conv(_) | Op::Dense(_) | Op::SumPool(_) | Op::Affine(_) => {}
                Op::Reshape(_) | Op::Transpose(_) | Op::Concat(_) | Op::View(_) | Op::Gather(_) | Op::Constant(_) => {}
            }
        }
        sites
    }
}

/// Rows of the whole graph's circuit, its inputs and outputs public words.
pub(crate) fn rows(graph: &Graph) -> usize {
    let (inputs, outputs) = (vec![Binding::Words; graph.inputs.len()], vec![Binding::Words; graph.outputs.len()]);
    cost::rows(BoundGraph { graph, inputs: &inputs, outputs: &outputs }).total()
}

/// Rows of some of its nodes, tables not counted.
pub(crate) fn rows_of(graph: &Graph, nodes: std::ops::Range<usize>) -> usize {
    graph.nodes[nodes].iter().map(|node| Work::of(graph, node).rows()).sum()
}

/// What compiling found out: accuracy against the float model, on the samples and beside them, and cost.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// What the float model itself was checked against.
    pub reference: Reference,
    /// Width of the range table.
    pub table_bits: u32,
    /// Bits of an input's digit.
    pub input_bits: u32,
    /// Samples used; 0 when there were none and made-up ones stood in.
    pub samples: usize,
    /// Made-up inputs, between the samples and beside them, that the integer model answers; none with a clamp.
    pub made_up: usize,
    /// The quantile at which inner values are clamped, if they are.
    pub clamp: Option<f64>,
    /// Whether a Softmax at the end was left out, if the model has one.
    pub drop_final_softmax: bool,
    /// Inputs and outputs whose numbers are exact, by name: the package reads back what they are.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub exact: BTreeMap<String, Kind>,
    /// Largest difference between a decoded output and the float model's, on the samples.
    pub largest_error: f64,
    /// The same on the made-up inputs.
    pub made_up_error: f64,
    /// Mean difference.
    pub mean_error: f64,
    /// Largest magnitude of the float model's outputs.
    pub largest_output: f64,
    /// Share of samples whose largest output is the same one, for a first output of more than one element.
    pub top1_agreement: Option<f64>,
    /// Each output by itself.
    pub outputs: Vec<OutputError>,
    /// The node at which most of the error arises, on the sample where the error is largest.
    pub dominant_node: String,
    /// What the user should know: features and outputs that the samples say too little of.
    pub warnings: Vec<String>,
    /// What each node of the model costs and how accurate its result is, on the sample where the error is largest; not in the manifest.
    #[serde(skip)]
    pub nodes: Vec<NodeReport>,
    /// Tables of functions.
    pub functions: Vec<FunctionReport>,
    /// Rows of the circuit if it is one slice with a public input.
    pub rows: usize,
    /// Non-linear sites.
    pub sites: Sites,
    /// Scales of inputs and requantised tensors.
    pub scales: Vec<TensorScale>,
}

/// A node of the model in the integer graph.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NodeReport {
    /// Its name; several that came from one node of the model are one. An output that costs rows by itself is a node too.
    pub node: String,
    /// Largest magnitude of its last result.
    pub range: f64,
    /// Bits of the integers that stand for it, sign included.
    pub bits: u32,
    /// Rows of its circuit, tables not counted.
    pub rows: usize,
    /// Largest error of its result, as a part of the range.
    pub error: f64,
}

/// A function's table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FunctionReport {
    /// Name of the function: of the first node that looks it up.
    pub name: String,
    /// Its entries, each of which is a row in every slice that looks it up.
    pub entries: usize,
}

/// Accuracy of one output.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OutputError {
    /// Name of the output.
    pub output: String,
    /// Largest magnitude of the float model's numbers on the samples: how far the output ranges.
    pub range: f64,
    /// Whether it only takes steps: what counts are then mean differences, over all elements and inputs, and not largest ones.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub steps: bool,
    /// Largest difference on the samples.
    pub largest_error: f64,
    /// The sample with the largest difference.
    pub sample: usize,
    /// The difference on the made-up inputs, or that a bound hides on any input, that is largest as a part of `made_up_range`.
    pub made_up_error: f64,
    /// `range`, or the largest magnitude on that input where that is larger.
    pub made_up_range: f64,
}

impl Report {
    /// Of so many samples those whose largest output is another one.
    pub(crate) fn disagreed(&self, samples: usize) -> usize {
        self.top1_agreement.map_or(0, |share| samples - (share * samples as f64).round() as usize)
    }

    /// The warnings as the end of an error.
    pub(crate) fn hint(&self) -> String {
        self.warnings.iter().map(|warning| format!("; {warning}")).collect()
    }
}

impl OutputError {
    /// The error on the samples as a part of the range.
    pub fn share(&self) -> f64 {
        share(self.largest_error, self.range)
    }

    /// The error on made-up inputs as a part of the range there.
    pub fn made_up_share(&self) -> f64 {
        share(self.made_up_error, self.made_up_range)
    }
}

/// An error as a part of a range.
pub(crate) fn share(error: f64, range: f64) -> f64 {
    if error == 0.0 { 0.0 } else { error / range }
}
