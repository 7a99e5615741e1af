//! The float graph: an ONNX model in the operators that [`zkslice_graph::Op`] has, and its scalar executor.
//!
//! The executor works in `f64`, element by element in a fixed order, without fused multiply-add and with the functions of
//! `libm`, which are made of the same operations everywhere, so its results have the same bits on every CPU. Calibration, function
//! tables and the accuracy report rest on it.

pub use zkslice_graph::Kind;
use zkslice_graph::Window;
use zkslice_graph::{concat, convolve, gather, multiply_matrices, multiply_rows, transpose, view};

/// Most elements that runs hold together, whatever the number of threads: 512 MB.
const MOST_HELD: usize = 1 << 26;

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

/// Name, shape and kind of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// The ONNX value's name.
    pub name: String,
    /// Dimensions, batch included.
    pub shape: Vec<usize>,
    /// What its numbers are.
    pub kind: Kind,
    /// Of an input of integers the bits of its type, and whether that has a sign, where they are stated.
    pub width: Option<(u32, bool)>,
}

/// A function of one number.
#[derive(Clone, Debug)]
pub struct Pointwise {
    /// Its name in ONNX.
    pub name: &'static str,
    /// The operator's attributes, in the order that the formula takes them.
    pub parameters: Vec<f64>,
    /// The function; what is not finite has no value.
    pub formula: fn(f64, &[f64]) -> f64,
}

impl Pointwise {
    /// Its value.
    pub fn at(&self, x: f64) -> f64 {
        (self.formula)(x, &self.parameters)
    }
}

impl PartialEq for Pointwise {
    fn eq(&self, other: &Self) -> bool {
        // A name should say which formula it is; where two share one by mistake, what they compute tells them apart.
        let same = |x: f64| self.at(x).to_bits() == other.at(x).to_bits();
        self.name == other.name && self.parameters == other.parameters && [-2.75, -0.625, 0.375, 1.5, 40.0].into_iter().all(same)
    }
}

impl Value {
    /// A value of real numbers.
    pub fn new(name: impl Into<String>, shape: Vec<usize>) -> Value {
        Value { name: name.into(), shape, kind: Kind::Real, width: None }
    }

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
    /// Elements in another order, some left out, some repeated; see [`zkslice_graph::View`].
    View {
        /// Lengths of the axes that it walks; as many elements as the output has.
        dims: Vec<usize>,
        /// Steps in the input, by axis.
        strides: Vec<i64>,
        /// Input element of the first output element.
        first: usize,
    },
    /// `out[.., i, ..] = in[.., indices_i, ..]` along an axis.
    Gather {
        /// The axis.
        axis: usize,
        /// What each index along it reads.
        indices: Vec<usize>,
    },
    /// Numbers that no input decides: no input, one number for all elements or one per element.
    Constant {
        /// The numbers.
        values: Vec<f64>,
    },
    /// Functions of each element, one after the other.
    Map(Vec<Pointwise>),
    /// Element-wise product of two values of one shape.
    Product,
    /// `[batch, m, k] × [batch, k, n]`, whatever axes the elements are named by; both factors are computed.
    MatMul {
        /// Number of products.
        batch: usize,
        /// Rows of the left factors.
        m: usize,
        /// Columns of the left factors, rows of the right ones.
        k: usize,
        /// Columns of the right factors.
        n: usize,
    },
    /// Element-wise quotient of two values of one shape; the divisor is positive. Of integers, rounded down.
    Divide {
        /// What the divisor is no less than by the way it is made; 0 where nothing is known.
        least_divisor: f64,
    },
    /// Square root of what is not negative.
    Sqrt,
    /// Element-wise larger one of two values of one shape.
    Maximum,
    /// 1 where an element is not negative, else 0.
    Step,
    /// Integers of so many bits, in two's complement where they have a sign.
    Hold {
        /// Number of bits, at most 64.
        bits: u32,
        /// Whether there are negative ones.
        signed: bool,
        /// Whether what is beyond them wraps; it has no value otherwise.
        wraps: bool,
    },
    /// For each element (an integer from 0) `count` truth values along a new last axis, the one at its value set.
    OneHot {
        /// Number of values.
        count: usize,
    },
}

/// The least integer of so many bits, and how many integers there are.
pub(crate) fn held_range(bits: u32, signed: bool) -> (f64, f64) {
    let size = 2_f64.powi(bits as i32);
    (if signed { -size / 2.0 } else { 0.0 }, size)
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
        let mut values = self.given(inputs);
        self.run_on(&mut values, 0);
        values
    }

    /// The inputs' values, and none of the others.
    fn given(&self, inputs: &[Vec<f64>]) -> Vec<Vec<f64>> {
        let mut values: Vec<Vec<f64>> = vec![Vec::new(); self.values.len()];
        for (position, &id) in self.inputs.iter().enumerate() {
            let mut value = inputs.get(position).cloned().unwrap_or_default();
            value.resize(self.values[id].len(), 0.0);
            values[id] = value;
        }
        values
    }

    /// How many runs may hold all their values at a time.
    pub(crate) fn runs_at_once(&self) -> usize {
        let elements: usize = self.values.iter().map(Value::len).sum();
        (MOST_HELD / elements.max(1)).clamp(1, rayon::current_num_threads())
    }

    /// Computes all values again from a node on, by its position.
    pub(crate) fn run_on(&self, values: &mut [Vec<f64>], from: usize) {
        for node in &self.nodes[from..] {
            values[node.output] = self.compute(node, values);
        }
    }

    /// Runs the graph and gives its outputs alone: other values are dropped once nothing reads them any more.
    pub fn outputs(&self, inputs: &[Vec<f64>]) -> Vec<Vec<f64>> {
        let mut uses = self.uses();
        let mut values = self.given(inputs);
        for node in &self.nodes {
            values[node.output] = self.compute(node, &values);
            for &id in &node.inputs {
                uses[id] -= 1;
                if uses[id] == 0 {
                    values[id] = Vec::new();
                }
            }
        }
        self.outputs.iter().map(|(_, id)| values[*id].clone()).collect()
    }

    fn compute(&self, node: &FloatNode, values: &[Vec<f64>]) -> Vec<f64> {
        let inputs: Vec<&[f64]> = node.inputs.iter().map(|&id| values[id].as_slice()).collect();
        self.apply(node, &inputs)
    }

    /// What a node makes of its inputs.
    pub(crate) fn apply(&self, node: &FloatNode, inputs: &[&[f64]]) -> Vec<f64> {
        let input = inputs.first().copied().unwrap_or_default();
        match &node.op {
            FloatOp::Conv { window, groups, weights, bias } => {
                let positions = window.output[0] * window.output[1];
                let mut output = vec![0.0; bias.len() * positions];
                let put = |channel: usize, position: usize, sum: f64| output[channel * positions + position] = sum + bias[channel];
                convolve(window, *groups, weights, input, put);
                output
            }
            FloatOp::Dense { k, n, weights, bias, .. } => {
                let mut output = vec![0.0; self.values[node.output].len()];
                multiply_rows(weights, *k, input, |column, row, sum: f64| output[row * n + column] = sum + bias[column]);
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
            FloatOp::View { dims, strides, first } => view(dims, strides, *first, input),
            FloatOp::Gather { axis, indices } => gather(*axis, indices, &self.values[node.inputs[0]].shape, input),
            FloatOp::Constant { values } => {
                let count = self.values[node.output].len();
                (0..count).map(|e| pick(values, e)).collect()
            }
            FloatOp::Map(functions) => input.iter().map(|&x| functions.iter().fold(x, |x, function| function.at(x))).collect(),
            FloatOp::Product => input.iter().zip(inputs[1]).map(|(x, y)| x * y).collect(),
            FloatOp::MatMul { m, k, n, .. } => {
                let mut output = vec![0.0; self.values[node.output].len()];
                let factors = input.chunks_exact(m * k).zip(inputs[1].chunks_exact(k * n));
                for ((left, right), output) in factors.zip(output.chunks_exact_mut(m * n)) {
                    multiply_matrices(left, right, *n, |row, column, sum: f64| output[row * n + column] = sum);
                }
                output
            }
            FloatOp::Divide { .. } => {
                let exact = self.values[node.output].kind != Kind::Real;
                input.iter().zip(inputs[1]).map(|(x, y)| if exact { (x / y).floor() } else { x / y }).collect()
            }
            FloatOp::Sqrt => input.iter().map(|x| x.sqrt()).collect(),
            FloatOp::Maximum => input.iter().zip(inputs[1]).map(|(&x, &y)| if y > x { y } else { x }).collect(),
            FloatOp::Step => input.iter().map(|&x| if x >= 0.0 { 1.0 } else { 0.0 }).collect(),
            &FloatOp::Hold { bits, signed, wraps } => {
                let (least, size) = held_range(bits, signed);
                let hold = |x: f64| match ((x - least) / size).floor() {
                    0.0 => x,
                    turns if wraps => x - turns * size,
                    _ => f64::NAN,
                };
                input.iter().map(|&x| hold(x)).collect()
            }
            FloatOp::OneHot { count } => {
                input.iter().flat_map(|&x| (0..*count).map(move |i| if x == i as f64 { 1.0 } else { 0.0 })).collect()
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
