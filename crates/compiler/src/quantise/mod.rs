//! From a calibrated float graph to the integer graph.
//!
//! # Scheme
//! Every value is either *fixed*: integers whose scale is known from what makes them (inputs, requantised values, and
//! moves and window sums of these); or an *accumulator*: a linear result whose scale is set by the requant point that
//! it flows into. A requant point divides by 2^w, w the table's width, so an accumulator's scale is `s / 2^w` where s is
//! the scale after it. All multipliers go into constants: a weight W that reads a fixed value of scale `a` and writes
//! an accumulator of scale `b` becomes `round(W·a/b)`.
//!
//! A linear value that one consumer reads passes that consumer's requant point on to its producer, through residual
//! adds, pools and moves. Where several read it, or a further linear layer does, it is requantised at once.
//!
//! # Scales
//! From the largest magnitude on the samples times a margin, since a requantised value that leaves its range cannot be
//! proven; where few numbers were seen the margin grows as that of an input's range does. A Clip bounds its result itself.
//! One per channel where spatial axes follow and every consumer can fold it, no smaller than 1/8 of the tensor's;
//! else one per tensor.
//!
//! # Computed by computed
//! A product of two fixed values is fixed too, at the product of their scales and as wide as both together. What reads it linearly
//! would round its factors to nothing, so it is requantised first, by a whole factor: then only its scale grows, by less than two.
//! Functions of one number share a table with all nodes of the same function, whose arguments then have one scale.
//! Integers and truth values have scale 1 and are never requantised.
//!
//! ```text
//! plan       where each linear value is requantised
//! scales     the scales of requant points and of what flows into them; functions' tables
//! emit       the integer graph, node by node, and its ports
//! layers     linear operators
//! moves      operators that only move elements
//! nonlinear  operators that cost rows
//! ```

mod emit;
mod layers;
mod moves;
mod nonlinear;
mod plan;
mod scales;

use crate::calibrate::Statistics;
use crate::float::{FloatGraph, FloatNode, FloatOp, Value, ValueId, pick};
use crate::goal::MOST_ERROR;
use emit::Builder;
pub(crate) use plan::functions;
use plan::{Plan, Target};
pub(crate) use scales::Curves;
use zkslice_graph::{Encoding, Graph, GraphError, TensorId};

/// Largest constant of the integer graph, in magnitude.
const MAX_CONSTANT: f64 = 1e15;
/// Largest factor that makes window sums of different counts comparable exactly.
const MAX_COMMON_COUNT: u64 = 1 << 16;
/// Rounding a node's constants to integers may lose at most this part of its result's range: a quarter of the error that a
/// package may have unless it is told otherwise.
const MOST_LOST: f64 = MOST_ERROR / 4.0;

/// Why a model cannot be quantised.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum QuantiseError {
    /// A scale cannot be written as a decimal.
    #[error("{side} `{name}`: its values up to {magnitude} need a scale outside 10^-15 to 3.4·10^20; rescale the model's {side}")]
    Scale {
        /// `input` or `output`.
        side: &'static str,
        /// Its name.
        name: String,
        /// Largest magnitude seen.
        magnitude: f64,
    },
    /// A constant becomes too large an integer.
    #[error("node `{node}`: a constant becomes {value}, which is too large; its weights and activations differ too much in size")]
    Constant {
        /// Name of the node.
        node: String,
        /// The scaled constant.
        value: f64,
    },
    /// Constants are lost when they become integers.
    #[error(
        "node `{node}`: rounding its constants to integers loses {:.1} % of its result, more than {:.2} %: its input is written finer than {table_bits} bits can follow; use more bits (--bits) or fewer input bits (--input-bits)",
        100.0 * lost,
        100.0 * MOST_LOST
    )]
    Lost {
        /// Name of the node.
        node: String,
        /// Share of the result's range that is lost.
        lost: f64,
        /// Width of the table.
        table_bits: u32,
    },
    /// A function is too steep for its table.
    #[error(
        "node `{node}`: its function is so steep where the samples go that a table of {table_bits} bits loses {:.1} % of its result, more than {:.1} %; use more bits (--bits) or samples that stay away from there",
        100.0 * lost,
        50.0 * MOST_ERROR
    )]
    Steep {
        /// Name of the node.
        node: String,
        /// Share of the function's range that is lost.
        lost: f64,
        /// Width of the table.
        table_bits: u32,
    },
    /// A function has no value where the samples go.
    #[error(
        "node `{node}`: {function} has no finite value at {at}, between the arguments {min} and {max} of the samples; keep its input away from there"
    )]
    Function {
        /// Name of the node.
        node: String,
        /// Name of the function.
        function: &'static str,
        /// Where it has none.
        at: f64,
        /// Least argument on the samples.
        min: f64,
        /// Greatest argument on the samples.
        max: f64,
    },
    /// Integers that are computed exactly outgrow what can be proven.
    #[error("node `{node}`: {reason}")]
    Exact {
        /// Name of the node.
        node: String,
        /// What is wrong.
        reason: String,
    },
    /// The integer graph breaks its own rules (an accumulator that could overflow, most likely).
    #[error(transparent)]
    Graph(#[from] GraphError),
}

/// What quantisation is told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings<'a> {
    pub(crate) table_bits: u32,
    /// Widths of functions' tables, in the order of [`functions`].
    pub(crate) function_bits: &'a [u32],
    /// How far beyond the samples inputs and inner values may go, where that was asked for.
    pub(crate) margin: Option<f64>,
    pub(crate) inner_margin: Option<f64>,
    pub(crate) inputs: &'a [Encoding],
    /// What functions give, of any setting of this model.
    pub(crate) curves: &'a Curves,
}

/// A quantised graph, and where the float model's values are in it.
pub(crate) struct Quantised {
    pub(crate) graph: Graph,
    pub(crate) scales: Vec<TensorScale>,
    /// For each node of the float graph, and then for each output, the nodes of the integer graph that it became.
    pub(crate) nodes: Vec<std::ops::Range<usize>>,
    /// For each value of the float graph its tensor, and its scales: one for all elements or one per element.
    pub(crate) values: Vec<Option<(TensorId, Vec<f64>)>>,
}

/// The scale of a tensor after quantisation: smallest and largest over its channels.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct TensorScale {
    /// Name of the tensor.
    pub tensor: String,
    /// Smallest scale of its elements.
    pub min: f64,
    /// Largest scale of its elements.
    pub max: f64,
}

/// Quantises a calibrated graph.
pub(crate) fn quantise(float: &FloatGraph, statistics: &Statistics, settings: Settings<'_>) -> Result<Quantised, QuantiseError> {
    let plan = Plan::new(float, statistics);
    let graph = Graph {
        table_bits: settings.table_bits,
        tensors: Vec::new(),
        nodes: Vec::new(),
        inputs: Vec::new(),
        outputs: Vec::new(),
        functions: Vec::new(),
    };
    let count = float.values.len();
    let mut builder = Builder {
        plan,
        settings,
        graph,
        targets: vec![None; count],
        values: vec![None; count],
        narrowed: vec![None; count],
        scales: Vec::new(),
        nodes: Vec::with_capacity(float.nodes.len()),
        functions: vec![None; float.nodes.len()],
    };
    builder.set_functions()?;
    builder.set_targets()?;
    builder.emit()?;
    builder.graph.validate()?;
    let values = builder.values.into_iter().map(|value| value.map(|value| (value.tensor, value.scales))).collect();
    Ok(Quantised { graph: builder.graph, scales: builder.scales, nodes: builder.nodes, values })
}

/// The graph with a Clip before every requant point, at the given quantile of the magnitudes on the samples: what goes beyond
/// is clamped there instead of being refused.
pub(crate) fn clamp(mut float: FloatGraph, statistics: &Statistics, samples: &[Vec<Vec<f64>>], quantile: f64) -> FloatGraph {
    let plan = Plan::new(&float, statistics);
    let points: Vec<ValueId> = (0..float.values.len())
        .filter(|&id| matches!(plan.target[id], Some(Target::Relu | Target::Own | Target::Output(_))))
        .filter(|&id| !plan.producer[id].is_some_and(|index| matches!(float.nodes[index].op, FloatOp::Clip { .. })))
        .collect();
    let mut magnitudes: Vec<Vec<f64>> = vec![Vec::new(); points.len()];
    for sample in samples {
        let values = float.run(sample);
        for (list, &id) in magnitudes.iter_mut().zip(&points) {
            list.extend(values[id].iter().map(|x| x.abs()));
        }
    }
    for (mut list, id) in magnitudes.into_iter().zip(points) {
        list.sort_by(f64::total_cmp);
        let bound = list[((list.len() - 1) as f64 * quantile).floor() as usize];
        let Some(index) = float.nodes.iter().position(|node| node.output == id).filter(|_| bound > 0.0) else {
            continue;
        };
        let value = float.values[id].clone();
        let unclamped = float.values.len();
        float.values.push(Value::new(format!("{}/unclamped", value.name), value.shape));
        float.nodes[index].output = unclamped;
        let name = format!("{}/clamp", float.nodes[index].name);
        let op = FloatOp::Clip { min: -bound, max: bound };
        float.nodes.insert(index + 1, FloatNode { name, op, inputs: vec![unclamped], output: id });
    }
    float
}

/// Scales of a tensor's elements: one for all, or one per element.
type Scales = Vec<f64>;

/// `list[index]` of scales that may be one for all.
fn at(scales: &[f64], index: usize) -> f64 {
    pick(scales, index)
}

/// The largest of some positive numbers.
fn most(list: &[f64]) -> f64 {
    list.iter().fold(0.0, |most, &x| most.max(x))
}

/// One scale per element.
fn spread(scales: &[f64], count: usize) -> Scales {
    if scales.len() == 1 { vec![scales[0]; count] } else { scales.to_vec() }
}

/// One scale for all where all are equal.
fn compact(scales: Scales) -> Scales {
    if scales.iter().all(|s| *s == scales[0]) { scales[..1].to_vec() } else { scales }
}

/// The scales by plane of `inner` elements, if they do not vary inside one.
fn by_plane(scales: &[f64], planes: usize, inner: usize) -> Option<Vec<f64>> {
    if scales.len() == 1 {
        return Some(vec![scales[0]; planes]);
    }
    scales.chunks_exact(inner).map(|plane| plane.iter().all(|s| *s == plane[0]).then_some(plane[0])).collect()
}

/// Least common multiple of counts, if it stays small; the multiplier of a window is this by its count.
fn common_count(counts: &[u32]) -> u64 {
    let gcd = |mut a: u64, mut b: u64| {
        while b != 0 {
            (a, b) = (b, a % b);
        }
        a
    };
    let lcm = counts.iter().fold(1_u64, |lcm, &count| (lcm / gcd(lcm, count.into())).saturating_mul(count.into()));
    if lcm <= MAX_COMMON_COUNT { lcm } else { MAX_COMMON_COUNT }
}

/// Rounds to integers; halves away from zero.
fn integers(node: &str, list: impl Iterator<Item = f64>) -> Result<Vec<i64>, QuantiseError> {
    list.map(|value| {
        let rounded = value.round();
        if rounded.abs() <= MAX_CONSTANT { Ok(rounded as i64) } else { Err(QuantiseError::Constant { node: node.to_owned(), value }) }
    })
    .collect()
}
