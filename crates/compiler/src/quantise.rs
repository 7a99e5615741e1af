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
//! One a channel where spatial axes follow and every consumer can fold it, no smaller than 1/8 of the tensor's;
//! else one a tensor.

use crate::calibrate::{Statistics, channels};
use crate::compile::{DEFAULT_MARGIN, MOST_ERROR};
use crate::float::{FloatGraph, FloatNode, FloatOp, Value, ValueId, pick};
use crate::onnx::along;
use crate::ranges::widening;
use zkslice_graph::GraphError;
use zkslice_graph::{Affine, Clip, Concat, Conv, Dense, MaxPool, Op, Relu, Requant, Reshape, SumPool, Transpose, Window};
use zkslice_graph::{Encoding, Graph, Node, Port, Scale, Tensor, TensorId};

/// Extra non-zeros in later layers that saving one requantised value may cost.
const MOST_EXTRA_NON_ZEROS: u128 = 1000;
/// Largest divisor of an average pool that is left to the next layer's constants; each factor of two costs them a bit.
const MOST_FOLDED_DIVISOR: u64 = 16;
/// A channel's scale is no smaller than its tensor's divided by this.
const CHANNEL_SPREAD: f64 = 8.0;
/// Rounds of widening scales for max pools.
const MAX_ROUNDS: usize = 16;
/// Largest constant of the integer graph, in magnitude.
const MAX_CONSTANT: f64 = 1e15;
/// Largest factor that makes window sums of different counts comparable exactly.
const MAX_COMMON_COUNT: u64 = 1 << 16;
/// Rounding a node's constants to integers may lose at most this part of its result's range: a quarter of the error that a
/// package may have unless it is told otherwise.
const MOST_LOST: f64 = MOST_ERROR / 4.0;
/// Factor on the largest number of few observations, that of `widening`, up to which the margin follows.
const MAX_MARGIN: f64 = 4.0;

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
        "node `{node}`: rounding its constants to integers loses {:.1} % of its result, more than {:.2} %: its input is written finer than the table's {table_bits} bits can follow; use a wider table (--table-bits) or fewer input bits (--input-bits)",
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
    /// The integer graph breaks its own rules (an accumulator that could overflow, most likely).
    #[error(transparent)]
    Graph(#[from] GraphError),
}

/// What quantisation is told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings<'a> {
    pub(crate) table_bits: u32,
    /// What was asked for; `None` leaves it to what the samples show.
    pub(crate) margin: Option<f64>,
    pub(crate) inputs: &'a [Encoding],
}

/// A quantised graph, and where the float model's values are in it.
pub(crate) struct Quantised {
    pub(crate) graph: Graph,
    pub(crate) scales: Vec<TensorScale>,
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
    let graph = Graph { table_bits: settings.table_bits, tensors: Vec::new(), nodes: Vec::new(), inputs: Vec::new(), outputs: Vec::new() };
    let count = float.values.len();
    let mut builder = Builder { plan, settings, graph, targets: vec![None; count], values: vec![None; count], scales: Vec::new() };
    builder.set_targets()?;
    builder.emit()?;
    builder.graph.validate()?;
    let values = builder.values.into_iter().map(|value| value.map(|value| (value.tensor, value.scales))).collect();
    Ok(Quantised { graph: builder.graph, scales: builder.scales, values })
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
        float.values.push(Value { name: format!("{}/unclamped", value.name), shape: value.shape });
        float.nodes[index].output = unclamped;
        let name = format!("{}/clamp", float.nodes[index].name);
        let op = FloatOp::Clip { min: -bound, max: bound };
        float.nodes.insert(index + 1, FloatNode { name, op, inputs: vec![unclamped], output: id });
    }
    float
}

/// Scales of a tensor's elements: one for all, or one per element.
type Scales = Vec<f64>;

/// Who reads a value.
#[derive(Clone, Copy, Debug)]
enum Consumer {
    /// A node, by index.
    Node(usize),
    /// An output, by index.
    Output(usize),
}

/// Where a linear value is requantised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    /// By the ReLU that reads it.
    Relu,
    /// By the requantisation of an output.
    Output(usize),
    /// At once, by a requantisation of its own.
    Own,
    /// By whatever requantises the result of the one node that reads it.
    Through(usize),
    /// Not at all: a move whose inputs are fixed once they are requantised themselves.
    Fixed,
}

/// What is decided before any scale is known.
struct Plan<'a> {
    float: &'a FloatGraph,
    statistics: &'a Statistics,
    producer: Vec<Option<usize>>,
    consumers: Vec<Vec<Consumer>>,
    /// For each linear value where it is requantised; `None` for fixed values.
    target: Vec<Option<Target>>,
    /// For each value whether every consumer of it, fixed, can fold scales that differ by channel: without and with spatial axes.
    foldable: Vec<[bool; 2]>,
}

impl<'a> Plan<'a> {
    fn new(float: &'a FloatGraph, statistics: &'a Statistics) -> Plan<'a> {
        let count = float.values.len();
        let mut producer = vec![None; count];
        let mut consumers: Vec<Vec<Consumer>> = vec![Vec::new(); count];
        for (index, node) in float.nodes.iter().enumerate() {
            producer[node.output] = Some(index);
            for &input in &node.inputs {
                consumers[input].push(Consumer::Node(index));
            }
        }
        for (index, (_, id)) in float.outputs.iter().enumerate() {
            consumers[*id].push(Consumer::Output(index));
        }
        let mut plan = Plan { float, statistics, producer, consumers, target: vec![None; count], foldable: foldable(float) };
        let linear = plan.linear();
        for node in float.nodes.iter().rev().filter(|node| linear[node.output]) {
            plan.target[node.output] = Some(plan.decide(node));
        }
        plan
    }

    /// Which values are linear by what makes them.
    fn linear(&self) -> Vec<bool> {
        let mut linear = vec![false; self.float.values.len()];
        let later = self.later_non_zeros();
        // Wires that an element of a fixed value is a sum of.
        let mut density = vec![1_u128; self.float.values.len()];
        // What the scale of a fixed value was divided by on its way.
        let mut divisor = vec![1_u64; self.float.values.len()];
        for node in &self.float.nodes {
            let output = node.output;
            let inherited = node.inputs.iter().any(|&id| linear[id]);
            density[output] = node.inputs.iter().map(|&id| density[id]).max().unwrap_or(1);
            divisor[output] = node.inputs.iter().map(|&id| divisor[id]).max().unwrap_or(1);
            linear[output] = match &node.op {
                FloatOp::Conv { .. } | FloatOp::Dense { .. } | FloatOp::Affine { .. } => true,
                FloatOp::Relu => false,
                FloatOp::AveragePool { window, counts } => {
                    let taps = density[output].saturating_mul((window.kernel[0] * window.kernel[1]) as u128);
                    let extra = later[output].saturating_mul(taps.saturating_sub(1));
                    density[output] = taps;
                    divisor[output] = divisor[output].saturating_mul(common_count(counts));
                    inherited
                        || divisor[output] > MOST_FOLDED_DIVISOR
                        || extra > MOST_EXTRA_NON_ZEROS * self.float.values[output].len() as u128
                }
                FloatOp::Clip { .. } | FloatOp::MaxPool { .. } | FloatOp::Reshape | FloatOp::Transpose { .. } | FloatOp::Concat { .. } => {
                    inherited
                }
            };
            if linear[output] || matches!(node.op, FloatOp::Relu | FloatOp::Clip { .. } | FloatOp::MaxPool { .. }) {
                density[output] = 1;
                divisor[output] = 1;
            }
        }
        linear
    }

    /// For each value the non-zeros of the linear layers that read it, directly or through moves and average pools.
    fn later_non_zeros(&self) -> Vec<u128> {
        let mut later = vec![0_u128; self.float.values.len()];
        for node in self.float.nodes.iter().rev() {
            let outputs = self.float.values[node.output].len() as u128;
            let more = match &node.op {
                FloatOp::Conv { weights, bias, .. } => outputs * (weights.len() / bias.len()) as u128,
                FloatOp::Dense { k, .. } => outputs * *k as u128,
                FloatOp::Reshape | FloatOp::Transpose { .. } | FloatOp::Concat { .. } => later[node.output],
                FloatOp::AveragePool { window, .. } => later[node.output].saturating_mul((window.kernel[0] * window.kernel[1]) as u128),
                FloatOp::Affine { .. } | FloatOp::Relu | FloatOp::Clip { .. } | FloatOp::MaxPool { .. } => outputs,
            };
            for &input in &node.inputs {
                later[input] = later[input].saturating_add(more);
            }
        }
        later
    }

    /// Where the linear value that `node` makes is requantised; its consumers are decided already.
    fn decide(&self, node: &FloatNode) -> Target {
        let is_move = matches!(node.op, FloatOp::Reshape | FloatOp::Transpose { .. } | FloatOp::Concat { .. });
        let here = if is_move { Target::Fixed } else { Target::Own };
        let [consumer] = self.consumers[node.output][..] else {
            return here;
        };
        match consumer {
            Consumer::Output(index) => Target::Output(index),
            Consumer::Node(index) => {
                let reader = &self.float.nodes[index];
                match &reader.op {
                    FloatOp::Conv { .. } | FloatOp::Dense { .. } => here,
                    FloatOp::Relu => Target::Relu,
                    FloatOp::Affine { axis, coefficients, .. } => {
                        let mine = reader.inputs.iter().position(|&id| id == node.output);
                        let coefficients = mine.map_or(&[][..], |position| &coefficients[position]);
                        let even = coefficients.iter().all(|c| c.abs() == coefficients[0].abs() && *c != 0.0);
                        let rank = self.float.values[node.output].shape.len();
                        let by_row = match node.op {
                            FloatOp::Conv { .. } => *axis == 1,
                            FloatOp::Dense { .. } => axis + 1 == rank,
                            _ => false,
                        };
                        if even || (by_row && !coefficients.contains(&0.0)) { Target::Through(index) } else { here }
                    }
                    FloatOp::AveragePool { counts, .. } if common_count(counts) > MOST_FOLDED_DIVISOR => here,
                    FloatOp::Clip { .. } | FloatOp::MaxPool { .. } | FloatOp::AveragePool { .. } => Target::Through(index),
                    FloatOp::Reshape | FloatOp::Transpose { .. } | FloatOp::Concat { .. } => {
                        if self.target[reader.output] == Some(Target::Fixed) { here } else { Target::Through(index) }
                    }
                }
            }
        }
    }

    /// Whether a requant point on `value` may have one scale per channel: everything that it takes its accumulators from
    /// can write them by channel.
    fn made_by_channel(&self, value: ValueId) -> bool {
        let Some(index) = self.producer[value] else {
            return true;
        };
        if self.target[value].is_none() {
            return true;
        }
        let node = &self.float.nodes[index];
        match &node.op {
            FloatOp::Conv { .. } => true,
            FloatOp::MaxPool { .. } | FloatOp::AveragePool { .. } | FloatOp::Affine { .. } => {
                node.inputs.iter().all(|&id| !matches!(self.target[id], Some(Target::Through(_))) || self.made_by_channel(id))
            }
            _ => false,
        }
    }
}

/// See [`Plan::foldable`].
fn foldable(float: &FloatGraph) -> Vec<[bool; 2]> {
    let mut foldable = vec![[true; 2]; float.values.len()];
    for node in float.nodes.iter().rev() {
        let [flat, planar] = foldable[node.output];
        let here = match &node.op {
            FloatOp::Conv { .. } => [false, true],
            FloatOp::Dense { rows, .. } => [*rows == 1; 2],
            FloatOp::MaxPool { .. } | FloatOp::AveragePool { .. } => [false, planar],
            FloatOp::Reshape | FloatOp::Transpose { .. } => [flat; 2],
            FloatOp::Concat { axis } => [flat, if *axis == 1 { planar } else { flat }],
            FloatOp::Relu => [flat, planar],
            // One bound for all elements needs one scale for all.
            FloatOp::Clip { .. } => [false; 2],
            FloatOp::Affine { .. } => [true; 2],
        };
        for &input in &node.inputs {
            foldable[input].iter_mut().zip(here).for_each(|(all, here)| *all &= here);
        }
    }
    foldable
}

/// An emitted value.
#[derive(Clone, Debug)]
struct Emitted {
    tensor: TensorId,
    scales: Scales,
    /// Bounds of its integers; `None` for an accumulator.
    bounds: Option<(i64, i64)>,
}

struct Builder<'a> {
    plan: Plan<'a>,
    settings: Settings<'a>,
    graph: Graph,
    /// For each linear value the scales of its accumulators.
    targets: Vec<Option<Scales>>,
    /// What each value has become.
    values: Vec<Option<Emitted>>,
    scales: Vec<TensorScale>,
}

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

impl<'a> Builder<'a> {
    fn limit(&self) -> f64 {
        (1_i64 << self.settings.table_bits) as f64
    }

    fn float(&self) -> &'a FloatGraph {
        self.plan.float
    }

    fn shape(&self, value: ValueId) -> &'a [usize] {
        &self.float().values[value].shape
    }

    /// How far beyond the largest of some numbers on the samples the range goes. `channels` of the value's are looked at apart.
    fn margin(&self, value: ValueId, channels: usize) -> f64 {
        self.settings.margin.unwrap_or_else(|| {
            let elements = self.float().values[value].len();
            // Neighbours in a plane go together: it shows as much as the root of its size of numbers that do not.
            let apart = if channels == 1 { elements } else { (elements / channels).isqrt() };
            widening(self.plan.statistics.samples * apart, elements).clamp(DEFAULT_MARGIN, MAX_MARGIN)
        })
    }

    /// The largest magnitude that a value may have by what makes it, the model's own bounds.
    fn bound(&self, value: ValueId) -> Option<f64> {
        let node = &self.float().nodes[self.plan.producer[value]?];
        match &node.op {
            FloatOp::Clip { min, max } => Some(min.abs().max(max.abs())).filter(|bound| bound.is_finite()),
            FloatOp::Relu => match self.plan.producer[node.inputs[0]].map(|index| &self.float().nodes[index].op) {
                Some(FloatOp::Clip { max, .. }) if max.is_finite() => Some(max.max(0.0)),
                _ => self.bound(node.inputs[0]),
            },
            FloatOp::MaxPool { .. } | FloatOp::Reshape | FloatOp::Transpose { .. } => self.bound(node.inputs[0]),
            _ => None,
        }
    }

    /// The scale after a requant point on `value`, one for all or one an element: the largest magnitude on the samples,
    /// times the margin, reaches `levels`.
    fn requant_scales(&self, value: ValueId, levels: f64, by_channel: bool) -> Scales {
        let statistics = self.plan.statistics;
        // A Clip's bounds are rounded in the integers of what it reads, by no more than that.
        let bound = self.bound(value).map_or(f64::INFINITY, |bound| bound * (1.0 + MOST_LOST));
        // A magnitude at the bound must not round to one level more than there are.
        let to_scale = |magnitude: f64, margin: f64| (magnitude * margin).min(bound * levels / (levels - 1.0)) / levels;
        let margin = self.margin(value, 1);
        let whole = to_scale(statistics.largest(value), margin);
        if whole <= 0.0 {
            // Never anything but zero on the samples: any scale is right for them.
            return vec![margin / levels];
        }
        let shape = self.shape(value);
        if !by_channel || channels(shape) == 1 {
            return vec![whole];
        }
        let inner: usize = shape[2..].iter().product();
        let margin = self.margin(value, channels(shape));
        let each = statistics.by_channel(value).iter();
        compact(each.flat_map(|&m| std::iter::repeat_n(to_scale(m, margin).max(whole / CHANNEL_SPREAD), inner)).collect())
    }

    /// Sets the accumulator scales of all linear values, from requant points back to producers. Where a max pool's
    /// windows spread too far to be compared, its requant point's scale grows, and all is done again.
    fn set_targets(&mut self) -> Result<(), QuantiseError> {
        let mut growth: Vec<Vec<f64>> = self.float().values.iter().map(|value| vec![1.0; channels(&value.shape)]).collect();
        // The second round settles it unless a requant point has several max pools before it.
        for _ in 0..MAX_ROUNDS {
            let mut grew = false;
            for index in (0..self.float().nodes.len()).rev() {
                let node = &self.float().nodes[index];
                let output = node.output;
                let limit = self.limit();
                let scales = match self.plan.target[output] {
                    None | Some(Target::Fixed | Target::Through(_)) => None,
                    Some(Target::Output(position)) => {
                        let scale = self.output_scale(position, most(&growth[output]))?.value();
                        Some(vec![scale / limit])
                    }
                    Some(target @ (Target::Relu | Target::Own)) => {
                        let (levels, reader) = match (target, self.plan.consumers[output].first()) {
                            (Target::Relu, Some(Consumer::Node(relu))) => (limit, self.float().nodes[*relu].output),
                            _ => (limit / 2.0, output),
                        };
                        let by_channel = self.plan.made_by_channel(output) && self.plan.foldable[reader][1];
                        let scales = self.requant_scales(output, levels, by_channel);
                        let count = self.float().values[output].len();
                        let inner = count / growth[output].len();
                        Some(if scales.len() == 1 {
                            vec![scales[0] * most(&growth[output]) / limit]
                        } else {
                            scales.iter().enumerate().map(|(e, s)| s * growth[output][e / inner] / limit).collect()
                        })
                    }
                };
                if scales.is_some() {
                    self.targets[output] = scales;
                }
                if let Some(scales) = self.targets[output].clone() {
                    self.pass_back(node, &scales);
                }
            }
            for (index, node) in self.float().nodes.iter().enumerate() {
                let Some(scales) = self.targets[node.output].as_ref().filter(|_| matches!(node.op, FloatOp::MaxPool { .. })) else {
                    continue;
                };
                let inner = self.float().values[node.output].len() / self.plan.statistics.spreads[index].len();
                let room = self.limit() * self.limit();
                let needs: Vec<f64> = self.plan.statistics.spreads[index]
                    .iter()
                    .enumerate()
                    .map(|(channel, spread)| spread * self.margin(node.output, 1) / (at(scales, channel * inner) * room))
                    .collect();
                if most(&needs) <= 1.0 + 1e-9 {
                    continue;
                }
                grew = true;
                let root = &mut growth[self.to_root(node.output).0];
                if root.len() == needs.len() {
                    root.iter_mut().zip(&needs).for_each(|(growth, need)| *growth *= need.max(1.0));
                } else {
                    root.iter_mut().for_each(|growth| *growth *= most(&needs));
                }
            }
            if !grew {
                break;
            }
        }
        Ok(())
    }

    fn output_scale(&self, position: usize, growth: f64) -> Result<Scale, QuantiseError> {
        let (name, value) = &self.float().outputs[position];
        let scale = self.requant_scales(*value, self.limit() / 2.0, false)[0] * growth;
        Scale::at_least(scale).ok_or_else(|| QuantiseError::Scale {
            side: "output",
            name: name.clone(),
            magnitude: self.plan.statistics.largest(*value),
        })
    }

    /// Passes accumulator scales from a node's output to those of its inputs that flow through it.
    fn pass_back(&mut self, node: &FloatNode, scales: &[f64]) {
        for (position, &input) in node.inputs.iter().enumerate() {
            let count = self.float().values[input].len();
            if !matches!(self.plan.target[input], Some(Target::Through(_))) {
                continue;
            }
            let passed = match &node.op {
                FloatOp::MaxPool { window } | FloatOp::AveragePool { window, .. } => {
                    let factor = match &node.op {
                        FloatOp::AveragePool { counts, .. } => common_count(counts) as f64,
                        _ => 1.0,
                    };
                    if scales.len() == 1 {
                        vec![scales[0] * factor]
                    } else {
                        let inner = window.output[0] * window.output[1];
                        let area = window.input[1] * window.input[2];
                        scales.chunks_exact(inner).flat_map(|plane| std::iter::repeat_n(plane[0] * factor, area)).collect()
                    }
                }
                FloatOp::Affine { axis, coefficients, .. } => {
                    let list = &coefficients[position];
                    let shape = self.shape(input);
                    let inner: usize = shape[axis + 1..].iter().product();
                    let each = (0..count).map(|e| at(scales, e) / pick(list, e / inner % shape[*axis]).abs());
                    compact(each.collect())
                }
                // Moves: requant points behind them have one scale a tensor (see `made_by_channel`).
                _ => scales[..1].to_vec(),
            };
            self.targets[input] = Some(passed);
        }
    }

    fn tensor(&mut self, name: String, shape: Vec<usize>) -> TensorId {
        self.graph.tensors.push(Tensor { name, shape });
        self.graph.tensors.len() - 1
    }

    fn node(&mut self, name: String, op: Op, inputs: Vec<TensorId>, tensor: String, shape: Vec<usize>) -> TensorId {
        let output = self.tensor(tensor, shape);
        self.graph.nodes.push(Node { name, op, inputs, output });
        output
    }

    fn note(&mut self, tensor: TensorId, scales: &[f64]) {
        let (min, max) = scales.iter().fold((f64::INFINITY, 0.0), |(min, max): (f64, f64), &s| (min.min(s), max.max(s)));
        self.scales.push(TensorScale { tensor: self.graph.tensors[tensor].name.clone(), min, max });
    }

    fn emit(&mut self) -> Result<(), QuantiseError> {
        for (position, &id) in self.float().inputs.iter().enumerate() {
            let value = &self.float().values[id];
            let tensor = self.tensor(value.name.clone(), value.shape.clone());
            let encoding = self.settings.inputs[position].clone();
            let scales = match encoding.single() {
                Some(feature) => vec![feature.scale.value()],
                None => encoding.by_element(&value.shape).map(|feature| feature.scale.value()).collect(),
            };
            self.note(tensor, &scales);
            self.values[id] = Some(Emitted { tensor, scales, bounds: Some(encoding.range()) });
            self.graph.inputs.push(Port { tensor, encoding });
        }
        for index in 0..self.float().nodes.len() {
            let node = &self.float().nodes[index];
            let emitted = self.emit_node(node)?;
            // What turned out fixed after all (it reads moves of requantised values) needs no requantisation.
            let emitted = if self.plan.target[node.output] == Some(Target::Own) && emitted.bounds.is_none() {
                let name = format!("{}/requant", node.name);
                self.requantise(name, &self.float().values[node.output].name.clone(), &emitted)
            } else {
                emitted
            };
            self.values[node.output] = Some(emitted);
        }
        for position in 0..self.float().outputs.len() {
            let (name, id) = &self.float().outputs[position];
            let value = self.value(*id);
            let root = self.float().values[*id].name.clone();
            let (accumulator, scale) = if value.bounds.is_none() {
                // The accumulator's scale is the output's by 2^w exactly, so this is the same decimal again.
                let scale = Scale::at_least(value.scales[0] * self.limit());
                (value, scale)
            } else {
                let scale = self.output_scale(position, 1.0)?;
                (self.rescale(&format!("{root}/scale"), &value, &[scale.value() / self.limit()])?, Some(scale))
            };
            let scale = scale.ok_or_else(|| QuantiseError::Scale {
                side: "output",
                name: name.clone(),
                magnitude: self.plan.statistics.largest(*id),
            })?;
            let requantised = self.requantise(format!("{name}/requant"), name, &accumulator);
            let bits = self.settings.table_bits;
            let encoding = Encoding::uniform(bits, 1 << (bits - 1), scale);
            self.graph.outputs.push(Port { tensor: requantised.tensor, encoding });
        }
        Ok(())
    }

    /// What an emitted value has become; every value is emitted before it is read.
    fn value(&self, id: ValueId) -> Emitted {
        self.values[id].clone().unwrap_or(Emitted { tensor: 0, scales: vec![1.0], bounds: None })
    }

    fn requantise(&mut self, node: String, tensor: &str, accumulator: &Emitted) -> Emitted {
        let shift = self.settings.table_bits;
        let shape = self.graph.tensors[accumulator.tensor].shape.clone();
        let output = self.node(node, Op::Requant(Requant { shift }), vec![accumulator.tensor], tensor.to_owned(), shape);
        let scales: Scales = accumulator.scales.iter().map(|s| s * self.limit()).collect();
        self.note(output, &scales);
        let half = 1_i64 << (shift - 1);
        Emitted { tensor: output, scales, bounds: Some((-half, half - 1)) }
    }

    /// A fixed value as an accumulator of the given scales.
    fn rescale(&mut self, name: &str, value: &Emitted, scales: &[f64]) -> Result<Emitted, QuantiseError> {
        let count = self.graph.tensors[value.tensor].len();
        let factors: Vec<f64> = (0..count).map(|e| at(&value.scales, e) / at(scales, e)).collect();
        let lost = factors.iter().fold(0.0_f64, |lost, factor| lost.max((factor.round() / factor - 1.0).abs()));
        self.check_lost(name, lost)?;
        self.combine(name, name, &[value.tensor], &[factors], &vec![0.0; count], scales)
    }

    /// Refuses constants whose rounding loses more of the result's range than [`MOST_LOST`].
    fn check_lost(&self, node: &str, lost: f64) -> Result<(), QuantiseError> {
        if lost > MOST_LOST {
            return Err(QuantiseError::Lost { node: node.to_owned(), lost, table_bits: self.settings.table_bits });
        }
        Ok(())
    }

    /// What rounding the rows of a matrix product loses of its result's range, on the average of the samples: the errors of
    /// weights (exact, in accumulator units of the scale beside them) at inputs as large as `typical` says, in units of their scale.
    fn check_rows<'w>(
        &self,
        node: &FloatNode,
        rows: impl Iterator<Item = (&'w [f64], f64)>,
        typical: impl Fn(usize, usize) -> f64,
    ) -> Result<(), QuantiseError> {
        let (root, grown) = self.to_root(node.output);
        let largest = self.plan.statistics.largest(root);
        if largest <= 0.0 {
            return Ok(());
        }
        let lost = rows.enumerate().map(|(row, (weights, scale))| {
            let error = |(position, weight): (usize, &f64)| ((weight.round() - weight) * typical(row, position)).powi(2);
            weights.iter().enumerate().map(error).sum::<f64>().sqrt() * scale * grown.get(row).copied().unwrap_or(most(&grown)) / largest
        });
        self.check_lost(&node.name, lost.fold(0.0, f64::max))
    }

    /// The value at whose requant point the accumulators of `value` end, and what their rows are multiplied by until there: one
    /// factor for all or one per row.
    fn to_root(&self, mut value: ValueId) -> (ValueId, Vec<f64>) {
        let mut grown = vec![1.0];
        while let Some(Target::Through(index)) = self.plan.target[value] {
            let node = &self.float().nodes[index];
            if let FloatOp::Affine { coefficients, .. } = &node.op
                && let Some(position) = node.inputs.iter().position(|&id| id == value)
            {
                let list: Vec<f64> = coefficients[position].iter().map(|c| c.abs()).collect();
                grown = match (grown.len(), list.len()) {
                    (_, 1) => grown.iter().map(|g| g * list[0]).collect(),
                    (1, _) => list.iter().map(|c| grown[0] * c).collect(),
                    (rows, count) if rows == count => grown.iter().zip(&list).map(|(g, c)| g * c).collect(),
                    _ => vec![most(&grown) * most(&list)],
                };
            }
            value = node.output;
        }
        (value, grown)
    }

    /// The root of the mean square of some elements of a fixed value; of all of them where they have one scale, unless it is an
    /// input, whose features may be in units of their own all the same.
    fn typical(&self, id: ValueId, value: &Emitted, elements: impl Iterator<Item = usize>) -> f64 {
        if value.scales.len() > 1 || self.plan.producer[id].is_none() {
            self.plan.statistics.typical(id, elements)
        } else {
            self.plan.statistics.typical(id, 0..self.float().values[id].len())
        }
    }

    /// `Σ factors_k[e]·in_k[e] + bias[e]` as an accumulator, with the constants rounded and written as shortly as they allow.
    fn combine(
        &mut self,
        node: &str,
        tensor: &str,
        inputs: &[TensorId],
        factors: &[Vec<f64>],
        bias: &[f64],
        scales: &[f64],
    ) -> Result<Emitted, QuantiseError> {
        let shape = self.graph.tensors[inputs[0]].shape.clone();
        let factors = factors.iter().map(|list| integers(node, list.iter().copied())).collect::<Result<Vec<_>, _>>()?;
        let bias = integers(node, bias.iter().copied())?;
        let emitted = |tensor| Emitted { tensor, scales: scales.to_vec(), bounds: None };
        for axis in 0..shape.len() {
            let coefficients: Option<Vec<Vec<i64>>> = factors.iter().map(|list| along(list, &shape, axis)).collect();
            if let (Some(coefficients), Some(bias)) = (coefficients, along(&bias, &shape, axis)) {
                let op = Op::Affine(Affine { axis, coefficients, bias });
                return Ok(emitted(self.node(node.to_owned(), op, inputs.to_vec(), tensor.to_owned(), shape)));
            }
        }
        let flat = vec![bias.len()];
        let reshaped: Vec<TensorId> = inputs
            .iter()
            .map(|&input| self.node(format!("{node}/flatten"), Op::Reshape(Reshape), vec![input], format!("{tensor}/flat"), flat.clone()))
            .collect();
        let op = Op::Affine(Affine { axis: 0, coefficients: factors, bias });
        let output = self.node(node.to_owned(), op, reshaped, format!("{tensor}/flat"), flat);
        Ok(emitted(self.node(format!("{node}/shape"), Op::Reshape(Reshape), vec![output], tensor.to_owned(), shape)))
    }

    /// A fixed value whose scales are one a plane of `inner` elements; requantised to one scale where they are not.
    fn planar(&mut self, name: &str, id: ValueId, planes: usize, inner: usize) -> Result<(Emitted, Vec<f64>), QuantiseError> {
        let value = self.value(id);
        if let Some(scales) = by_plane(&value.scales, planes, inner) {
            return Ok((value, scales));
        }
        let scales = self.requant_scales(id, self.limit() / 2.0, false);
        let accumulator = self.rescale(&format!("{name}/scale"), &value, &[scales[0] / self.limit()])?;
        let value = self.requantise(format!("{name}/requant"), &format!("{name}/in"), &accumulator);
        Ok((value, vec![scales[0]; planes]))
    }

    fn emit_node(&mut self, node: &FloatNode) -> Result<Emitted, QuantiseError> {
        let name = &node.name;
        let tensor = self.float().values[node.output].name.clone();
        let shape = self.shape(node.output).to_vec();
        let count: usize = shape.iter().product();
        let target = self.targets[node.output].clone();
        // Set for every linear value.
        let scales = target.clone().unwrap_or_else(|| vec![1.0]);
        match &node.op {
            FloatOp::Conv { window, groups, weights, bias } => {
                let (input, from) = self.planar(name, node.inputs[0], window.input[0], window.input[1] * window.input[2])?;
                let plane = window.output[0] * window.output[1];
                let taps = window.kernel[0] * window.kernel[1];
                let (per_group, out_per_group) = (window.input[0] / groups, bias.len() / groups);
                let row = per_group * taps;
                let source = |channel: usize, position: usize| channel / out_per_group * per_group + position / taps;
                let scaled: Vec<f64> = weights
                    .iter()
                    .enumerate()
                    .map(|(position, weight)| {
                        let channel = position / row;
                        weight * from[source(channel, position % row)] / at(&scales, channel * plane)
                    })
                    .collect();
                let rows = scaled.chunks_exact(row).enumerate().map(|(channel, weights)| (weights, at(&scales, channel * plane)));
                let area = window.input[1] * window.input[2];
                let typical = |channel: usize| self.typical(node.inputs[0], &input, channel * area..(channel + 1) * area) / from[channel];
                let typical: Vec<f64> = (0..window.input[0]).map(typical).collect();
                self.check_rows(node, rows, |channel, position| typical[source(channel, position)])?;
                let weights = integers(name, scaled.into_iter())?;
                let bias = integers(name, bias.iter().enumerate().map(|(channel, b)| b / at(&scales, channel * plane)))?;
                let op = Op::Conv(Conv { window: window.clone(), groups: *groups, weights, bias });
                let tensor = self.node(name.clone(), op, vec![input.tensor], tensor, shape);
                Ok(Emitted { tensor, scales, bounds: None })
            }
            FloatOp::Dense { rows, k, n, weights, bias } => {
                let mut input = self.value(node.inputs[0]);
                let mut from = spread(&input.scales, rows * k);
                if from.chunks_exact(*k).any(|row| row != &from[..*k]) {
                    (input, _) = self.planar(name, node.inputs[0], 1, rows * k)?;
                    from = spread(&input.scales, rows * k);
                }
                let scaled: Vec<f64> =
                    weights.iter().enumerate().map(|(position, w)| w * from[position % k] / at(&scales, position / k)).collect();
                let matrix = scaled.chunks_exact(*k).enumerate().map(|(column, weights)| (weights, at(&scales, column)));
                let typical = |column: usize| self.typical(node.inputs[0], &input, (0..*rows).map(|row| row * k + column)) / from[column];
                let typical: Vec<f64> = (0..*k).map(typical).collect();
                self.check_rows(node, matrix, |_, position| typical[position])?;
                let weights = integers(name, scaled.into_iter())?;
                let bias = integers(name, bias.iter().enumerate().map(|(column, b)| b / at(&scales, column)))?;
                let op = Op::Dense(Dense { rows: *rows, k: *k, n: *n, weights, bias });
                let tensor = self.node(name.clone(), op, vec![input.tensor], tensor, shape);
                Ok(Emitted { tensor, scales, bounds: None })
            }
            FloatOp::Affine { axis, coefficients, bias } => {
                let inner: usize = shape[axis + 1..].iter().product();
                let channel = |e: usize| e / inner % shape[*axis];
                let mut inputs = Vec::new();
                let mut factors: Vec<Vec<f64>> = Vec::new();
                let (root, grown) = self.to_root(node.output);
                let largest = self.plan.statistics.largest(root) / most(&grown);
                let mut lost = 0.0_f64;
                for (&id, list) in node.inputs.iter().zip(coefficients) {
                    let value = self.value(id);
                    let factor = |e: usize| {
                        let c = pick(list, channel(e));
                        if value.bounds.is_none() { c.signum() } else { c * at(&value.scales, e) / at(&scales, e) }
                    };
                    let each: Vec<f64> = (0..count).map(factor).collect();
                    if value.bounds.is_some() && largest > 0.0 {
                        // Elements with scales of their own are in units of their own.
                        let statistics = self.plan.statistics;
                        let all = statistics.largest(id);
                        let magnitude = |e: usize| if value.scales.len() > 1 { statistics.typical(id, e..e + 1) } else { all };
                        let error = |(e, factor): (usize, &f64)| {
                            (factor.round() - factor).abs() * magnitude(e) / at(&value.scales, e) * at(&scales, e)
                        };
                        lost = each.iter().enumerate().map(error).fold(lost, |lost, error| lost.max(error / largest));
                    }
                    factors.push(each);
                    inputs.push(value.tensor);
                }
                self.check_lost(name, lost)?;
                let bias: Vec<f64> = (0..count).map(|e| pick(bias, channel(e)) / at(&scales, e)).collect();
                self.combine(name, &tensor, &inputs, &factors, &bias, &scales)
            }
            FloatOp::AveragePool { window, counts } => self.average(name, node, window, counts, target),
            FloatOp::Relu => {
                let mut input = self.value(node.inputs[0]);
                let top = (1_i64 << self.settings.table_bits) - 1;
                if let Some((min, max)) = input.bounds {
                    if min >= 0 {
                        return Ok(input);
                    }
                    if min < -top || max > top {
                        let scales = self.requant_scales(node.inputs[0], self.limit(), false);
                        input = self.rescale(&format!("{name}/scale"), &input, &[scales[0] / self.limit()])?;
                    }
                }
                let (shift, factor) = if input.bounds.is_some() { (0, 1.0) } else { (self.settings.table_bits, self.limit()) };
                let scales: Scales = input.scales.iter().map(|s| s * factor).collect();
                let output = self.node(name.clone(), Op::Relu(Relu { shift }), vec![input.tensor], tensor, shape);
                self.note(output, &scales);
                Ok(Emitted { tensor: output, scales, bounds: Some((0, top)) })
            }
            FloatOp::Clip { min, max } => self.clip(node, (*min, *max), tensor, shape),
            FloatOp::MaxPool { window } => {
                let value = self.value(node.inputs[0]);
                let (input, scales) = if value.bounds.is_none() {
                    (value, scales)
                } else {
                    let (value, from) = self.planar(name, node.inputs[0], window.input[0], window.input[1] * window.input[2])?;
                    let plane = window.output[0] * window.output[1];
                    let scales = from.iter().flat_map(|&s| std::iter::repeat_n(s, plane)).collect();
                    (value, compact(scales))
                };
                let limbs = match input.bounds {
                    Some((min, max)) if max - min < 1 << self.settings.table_bits => 1,
                    _ => 2,
                };
                let op = Op::MaxPool(MaxPool { window: window.clone(), limbs });
                let tensor = self.node(name.clone(), op, vec![input.tensor], tensor, shape);
                Ok(Emitted { tensor, scales, bounds: input.bounds })
            }
            FloatOp::Reshape | FloatOp::Transpose { .. } | FloatOp::Concat { .. } => self.emit_move(name, node, tensor, shape, target),
        }
    }

    fn average(
        &mut self,
        name: &str,
        node: &FloatNode,
        window: &Window,
        counts: &[u32],
        target: Option<Scales>,
    ) -> Result<Emitted, QuantiseError> {
        let tensor = self.float().values[node.output].name.clone();
        let shape = self.shape(node.output).to_vec();
        let common = common_count(counts);
        let multipliers: Vec<i64> = if counts.len() == 1 {
            Vec::new()
        } else {
            counts.iter().map(|&count| (common as f64 / f64::from(count)).round() as i64).collect()
        };
        let divisor = if counts.len() == 1 { u64::from(counts[0]) } else { common } as f64;
        let largest_multiplier = multipliers.iter().copied().max().unwrap_or(1);
        let pool = Op::SumPool(SumPool { window: window.clone(), multipliers });
        let value = self.value(node.inputs[0]);
        if value.bounds.is_none() {
            let output = self.node(name.to_owned(), pool, vec![value.tensor], tensor, shape);
            return Ok(Emitted { tensor: output, scales: target.unwrap_or_else(|| vec![1.0]), bounds: None });
        }
        let (mut input, mut from) = self.planar(name, node.inputs[0], window.input[0], window.input[1] * window.input[2])?;
        let plane = window.output[0] * window.output[1];
        let count = self.float().values[node.output].len();
        let Some(mut target) = target else {
            let scales = compact(from.iter().flat_map(|&s| std::iter::repeat_n(s / divisor, plane)).collect());
            let taps = (window.kernel[0] * window.kernel[1]) as i64;
            let bounds = input.bounds.map(|(min, max)| {
                (min.min(0).saturating_mul(taps * largest_multiplier), max.max(0).saturating_mul(taps * largest_multiplier))
            });
            let output = self.node(name.to_owned(), pool, vec![input.tensor], tensor, shape);
            return Ok(Emitted { tensor: output, scales, bounds });
        };
        // The sums take one factor each, which divides by the window's count too.
        let factors = |from: &[f64], target: &[f64]| -> Vec<f64> {
            (0..count)
                .map(|e| from[e / plane] / (f64::from(counts[if counts.len() == 1 { 0 } else { e % plane }]) * at(target, e)))
                .collect()
        };
        let lost = |factors: &[f64]| factors.iter().fold(0.0_f64, |lost, factor| lost.max((factor.round() / factor - 1.0).abs()));
        if counts.len() == 1 && self.plan.target[node.output] == Some(Target::Own) {
            // Its scale is free to grow: to where the factor is a whole number, and nothing is rounded.
            let exact = |(e, factor): (usize, f64)| at(&target, e) * factor / factor.floor().max(1.0);
            target = compact(factors(&from, &target).into_iter().enumerate().map(exact).collect());
        }
        if lost(&factors(&from, &target)) > MOST_LOST {
            // The input is written finer than the result can use: it is requantised first.
            let scales = self.requant_scales(node.inputs[0], self.limit() / 2.0, false);
            if scales[0] > most(&from) {
                let accumulator = self.rescale(&format!("{name}/scale"), &input, &[scales[0] / self.limit()])?;
                input = self.requantise(format!("{name}/requant"), &format!("{name}/in"), &accumulator);
                from = vec![scales[0]; from.len()];
            }
        }
        let factors = factors(&from, &target);
        self.check_lost(name, lost(&factors))?;
        let pool = Op::SumPool(SumPool { window: window.clone(), multipliers: Vec::new() });
        let sum = self.node(name.to_owned(), pool, vec![input.tensor], format!("{tensor}/sum"), shape);
        self.combine(&format!("{name}/scale"), &tensor, &[sum], &[factors], &vec![0.0; count], &target)
    }

    /// Bounds as integers of the value's scale; values that cannot reach them pass.
    fn clip(&mut self, node: &FloatNode, bounds: (f64, f64), tensor: String, shape: Vec<usize>) -> Result<Emitted, QuantiseError> {
        let name = &node.name;
        let mut value = self.value(node.inputs[0]);
        if value.scales.len() > 1 {
            // One bound for all elements needs one scale for all.
            let scales = self.requant_scales(node.inputs[0], self.limit() / 2.0, false);
            if value.bounds.is_none() {
                value = self.requantise(format!("{name}/requant"), &format!("{name}/in"), &value);
            }
            let accumulator = self.rescale(&format!("{name}/scale"), &value, &[scales[0] / self.limit()])?;
            value = self.requantise(format!("{name}/in"), &format!("{name}/in"), &accumulator);
        }
        let scale = value.scales[0];
        let integer = |bound: f64| -> Result<Option<i64>, QuantiseError> {
            if bound.is_infinite() { Ok(None) } else { integers(name, std::iter::once(bound / scale)).map(|list| list.first().copied()) }
        };
        let (mut min, mut max) = (integer(bounds.0)?, integer(bounds.1)?);
        let largest = self.plan.statistics.largest(node.output);
        let lost = [bounds.0, bounds.1].into_iter().filter(|bound| bound.is_finite() && largest > 0.0);
        self.check_lost(name, lost.map(|bound| ((bound / scale).round() * scale - bound).abs() / largest).fold(0.0, f64::max))?;
        let mut result = value.bounds;
        if let Some((least, most)) = value.bounds {
            min = min.filter(|min| *min > least);
            max = max.filter(|max| *max < most);
            let within = |x: i64| x.max(min.unwrap_or(x)).min(max.unwrap_or(x));
            result = Some((within(least), within(most)));
            if min.is_none() && max.is_none() {
                return Ok(value);
            }
        }
        let limbs = match value.bounds {
            Some((least, most)) => {
                // A bound may lie beyond what the value can be.
                let (least, most) = [min, max].into_iter().flatten().fold((least, most), |(a, b), bound| (a.min(bound), b.max(bound)));
                if most.saturating_sub(least) < 1 << self.settings.table_bits { 1 } else { 3 }
            }
            None => 3,
        };
        let output = self.node(name.clone(), Op::Clip(Clip { min, max, limbs }), vec![value.tensor], tensor, shape);
        Ok(Emitted { tensor: output, scales: value.scales, bounds: result })
    }

    fn emit_move(
        &mut self,
        name: &str,
        node: &FloatNode,
        tensor: String,
        shape: Vec<usize>,
        target: Option<Scales>,
    ) -> Result<Emitted, QuantiseError> {
        let mut inputs: Vec<Emitted> = node.inputs.iter().map(|&id| self.value(id)).collect();
        if let Some(target) = &target {
            // Fixed inputs among accumulators take the accumulators' scale.
            for (position, input) in inputs.iter_mut().enumerate().filter(|(_, input)| input.bounds.is_some()) {
                let label = format!("{name}/scale{position}");
                *input = self.rescale(&label, input, &target[..1])?;
            }
        }
        let tensors: Vec<TensorId> = inputs.iter().map(|input| input.tensor).collect();
        let (op, scales) = match &node.op {
            FloatOp::Transpose { perm } => {
                let scales = &inputs[0].scales;
                let scales =
                    if scales.len() == 1 { scales.clone() } else { zkslice_graph::transpose(perm, self.shape(node.inputs[0]), scales) };
                (Op::Transpose(Transpose { perm: perm.clone() }), scales)
            }
            FloatOp::Concat { axis } => {
                let lists: Vec<Scales> =
                    inputs.iter().zip(&node.inputs).map(|(input, &id)| spread(&input.scales, self.float().values[id].len())).collect();
                let slices: Vec<&[f64]> = lists.iter().map(Vec::as_slice).collect();
                let shapes: Vec<&[usize]> = node.inputs.iter().map(|&id| self.shape(id)).collect();
                (Op::Concat(Concat { axis: *axis }), compact(zkslice_graph::concat(*axis, &shapes, &slices)))
            }
            _ => (Op::Reshape(Reshape), inputs[0].scales.clone()),
        };
        let bounds = inputs.iter().map(|input| input.bounds).reduce(|a, b| Some((a?.0.min(b?.0), a?.1.max(b?.1)))).flatten();
        let scales = target.unwrap_or(scales);
        let tensor = self.node(name.to_owned(), op, tensors, tensor, shape);
        Ok(Emitted { tensor, scales, bounds })
    }
}

/// Rounds to integers; halves away from zero.
fn integers(node: &str, list: impl Iterator<Item = f64>) -> Result<Vec<i64>, QuantiseError> {
    list.map(|value| {
        let rounded = value.round();
        if rounded.abs() <= MAX_CONSTANT { Ok(rounded as i64) } else { Err(QuantiseError::Constant { node: node.to_owned(), value }) }
    })
    .collect()
}
