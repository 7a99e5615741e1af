//! The float graph: an ONNX model in the operators that [`zkslice_graph::Op`] has, and its scalar executor.
//!
//! The executor works in `f64`, element by element in a fixed order, without fused multiply-add and without
//! transcendental functions, so its results have the same bits on every CPU. Calibration and the accuracy report rest
//! on it.

use zkslice_graph::Window;
use zkslice_graph::{concat, inside, transpose};

/// Index of a value in [`FloatGraph::values`].
pub type ValueId = usize;

/// A model as imported: values, and nodes in topological order.
#[derive(Clone, Debug, PartialEq)]
pub struct FloatGraph {
    /// Every value.
    pub values: Vec<Value>,
    /// Nodes, each after the producers of its inputs.
    pub nodes: Vec<FloatNode>,
    /// Values given from outside, in the model's order.
    pub inputs: Vec<ValueId>,
    /// Values handed out, in the model's order, with their names.
    pub outputs: Vec<(String, ValueId)>,
}

/// Name and shape of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// The ONNX value's name.
    pub name: String,
    /// Dimensions, batch included.
    pub shape: Vec<usize>,
}

impl Value {
    /// Number of elements.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// One operator application.
#[derive(Clone, Debug, PartialEq)]
pub struct FloatNode {
    /// The ONNX node's name (its first output's where it has none).
    pub name: String,
    /// The operator.
    pub op: FloatOp,
    /// Values read.
    pub inputs: Vec<ValueId>,
    /// Value written.
    pub output: ValueId,
}

/// An operator, as in [`zkslice_graph::Op`] but over real numbers.
#[derive(Clone, Debug, PartialEq)]
pub enum FloatOp {
    /// Grouped convolution with constant weights `[out, in / groups, kh, kw]`.
    Conv {
        /// Geometry.
        window: Window,
        /// Number of groups.
        groups: usize,
        /// Weights.
        weights: Vec<f64>,
        /// One bias per output channel.
        bias: Vec<f64>,
    },
    /// `[rows, k] × [k, n] + bias` with constant weights `[n, k]`.
    Dense {
        /// Rows of the left factor.
        rows: usize,
        /// Inner dimension.
        k: usize,
        /// Columns.
        n: usize,
        /// Weights by output.
        weights: Vec<f64>,
        /// One bias per column.
        bias: Vec<f64>,
    },
    /// Window sums, divided by a count.
    AveragePool {
        /// Geometry.
        window: Window,
        /// Divisors: one for all, or one an output position (row-major).
        counts: Vec<u32>,
    },
    /// `Σ_k coefficients[k][c]·in_k + bias[c]`, c being the index along the axis.
    Affine {
        /// The axis along which coefficients vary.
        axis: usize,
        /// For each input its factors: one for all, or one an index of the axis.
        coefficients: Vec<Vec<f64>>,
        /// One for all, or one an index of the axis.
        bias: Vec<f64>,
    },
    /// `max(x, 0)`.
    Relu,
    /// `min(max(x, min), max)`; a bound may be infinite.
    Clip {
        /// Least value.
        min: f64,
        /// Greatest value.
        max: f64,
    },
    /// Largest value of each window; padding never wins.
    MaxPool {
        /// Geometry.
        window: Window,
    },
    /// The same elements under another shape.
    Reshape,
    /// Output axis i is input axis `perm[i]`.
    Transpose {
        /// The permutation.
        perm: Vec<usize>,
    },
    /// Inputs joined along an axis.
    Concat {
        /// The axis.
        axis: usize,
    },
}

/// `list[index]`, or the only element of a list of one.
pub(crate) fn pick(list: &[f64], index: usize) -> f64 {
    if list.len() == 1 { list[0] } else { list[index] }
}

impl FloatGraph {
    /// Runs the graph on one list of numbers per input; gives all values by [`ValueId`].
    ///
    /// The lists must have the inputs' lengths (missing elements count as zero, further ones are ignored).
    pub fn run(&self, inputs: &[Vec<f64>]) -> Vec<Vec<f64>> {
        let mut values: Vec<Vec<f64>> = vec![Vec::new(); self.values.len()];
        for (position, &id) in self.inputs.iter().enumerate() {
            let mut value = inputs.get(position).cloned().unwrap_or_default();
            value.resize(self.values[id].len(), 0.0);
            values[id] = value;
        }
        self.run_on(&mut values, 0);
        values
    }

    /// Computes all values again from a node on, by its position.
    pub(crate) fn run_on(&self, values: &mut [Vec<f64>], from: usize) {
        for node in &self.nodes[from..] {
            let inputs: Vec<&[f64]> = node.inputs.iter().map(|&id| values[id].as_slice()).collect();
            let output = self.apply(node, &inputs);
            values[node.output] = output;
        }
    }

    /// Runs the graph and gives its outputs alone.
    pub fn outputs(&self, inputs: &[Vec<f64>]) -> Vec<Vec<f64>> {
        let values = self.run(inputs);
        self.outputs.iter().map(|(_, id)| values[*id].clone()).collect()
    }

    fn apply(&self, node: &FloatNode, inputs: &[&[f64]]) -> Vec<f64> {
        let input = inputs[0];
        match &node.op {
            FloatOp::Conv { window, groups, weights, bias } => convolve(window, *groups, weights, bias, input),
            FloatOp::Dense { k, weights, bias, .. } => {
                let mut output = Vec::with_capacity(self.values[node.output].len());
                for row in input.chunks_exact(*k) {
                    for (weights, &bias) in weights.chunks_exact(*k).zip(bias) {
                        output.push(weights.iter().zip(row).fold(0.0, |sum, (&w, &x)| sum + w * x) + bias);
                    }
                }
                output
            }
            FloatOp::AveragePool { window, counts } => pool(
                window,
                input,
                0.0,
                |sum, x| sum + x,
                |sum, position| sum / f64::from(if counts.len() == 1 { counts[0] } else { counts[position] }),
            ),
            FloatOp::Affine { axis, coefficients, bias } => {
                let shape = &self.values[node.output].shape;
                let inner: usize = shape[axis + 1..].iter().product();
                let mut output = vec![0.0; shape.iter().product()];
                for (block, chunk) in output.chunks_exact_mut(inner).enumerate() {
                    let channel = block % shape[*axis];
                    for (list, input) in coefficients.iter().zip(inputs) {
                        let coefficient = pick(list, channel);
                        for (sum, &x) in chunk.iter_mut().zip(&input[block * inner..(block + 1) * inner]) {
                            *sum += coefficient * x;
                        }
                    }
                    let bias = pick(bias, channel);
                    for sum in chunk {
                        *sum += bias;
                    }
                }
                output
            }
            FloatOp::Relu => input.iter().map(|&x| if x > 0.0 { x } else { 0.0 }).collect(),
            FloatOp::Clip { min, max } => input.iter().map(|&x| x.max(*min).min(*max)).collect(),
            FloatOp::MaxPool { window } => {
                pool(window, input, f64::NEG_INFINITY, |most, x| if x > most { x } else { most }, |most, _| most)
            }
            FloatOp::Reshape => input.to_vec(),
            FloatOp::Transpose { perm } => transpose(perm, &self.values[node.inputs[0]].shape, input),
            FloatOp::Concat { axis } => {
                let shapes: Vec<&[usize]> = node.inputs.iter().map(|&id| self.values[id].shape.as_slice()).collect();
                concat(*axis, &shapes, inputs)
            }
        }
    }

    /// For each value the number of nodes and outputs that read it.
    pub(crate) fn uses(&self) -> Vec<usize> {
        let mut uses = vec![0; self.values.len()];
        for &id in self.nodes.iter().flat_map(|node| &node.inputs).chain(self.outputs.iter().map(|(_, id)| id)) {
            uses[id] += 1;
        }
        uses
    }
}

fn convolve(window: &Window, groups: usize, weights: &[f64], bias: &[f64], input: &[f64]) -> Vec<f64> {
    let [channels, height, width] = window.input;
    let [out_height, out_width] = window.output;
    let per_group = channels / groups;
    let out_per_group = bias.len() / groups;
    let out_plane = out_height * out_width;
    let mut output = vec![0.0; bias.len() * out_plane];
    let mut weights = weights.iter();
    for (channel, plane) in output.chunks_exact_mut(out_plane).enumerate() {
        let first = channel / out_per_group * per_group;
        for source in input[first * height * width..(first + per_group) * height * width].chunks_exact(height * width) {
            for i in 0..window.kernel[0] {
                let offset = i * window.dilations[0];
                let (top, bottom) = inside(height, out_height, window.strides[0], offset, window.pads[0]);
                for j in 0..window.kernel[1] {
                    let weight = weights.next().copied().unwrap_or(0.0);
                    let offset_x = j * window.dilations[1];
                    let (left, right) = inside(width, out_width, window.strides[1], offset_x, window.pads[1]);
                    for y in top..bottom {
                        let row = y * window.strides[0] + offset - window.pads[0];
                        for x in left..right {
                            let column = x * window.strides[1] + offset_x - window.pads[1];
                            plane[y * out_width + x] += weight * source[row * width + column];
                        }
                    }
                }
            }
        }
        for sum in plane {
            *sum += bias[channel];
        }
    }
    output
}

fn pool(window: &Window, input: &[f64], start: f64, step: impl Fn(f64, f64) -> f64, finish: impl Fn(f64, usize) -> f64) -> Vec<f64> {
    let [channels, height, width] = window.input;
    let [out_height, out_width] = window.output;
    let mut output = Vec::with_capacity(channels * out_height * out_width);
    for plane in input.chunks_exact(height * width) {
        for y in 0..out_height {
            for x in 0..out_width {
                let value = window.taps(y, x).fold(start, |value, (_, _, row, column)| step(value, plane[row * width + column]));
                output.push(finish(value, y * out_width + x));
            }
        }
    }
    output
}
