//! The integer graph: what the circuits prove, element by element.
//!
//! Every tensor is a flat row-major vector of `i64`. No floating-point number occurs in it; [`Scale`] says what an
//! input's or output's integers mean.

use serde::{Deserialize, Serialize};

/// Index of a tensor in [`Graph::tensors`].
pub type TensorId = usize;

/// An integer graph: nodes in topological order, each defined by [`crate::execute`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Graph {
    /// Width w of the range table: requantised values and remainders live in w bits.
    pub table_bits: u32,
    /// Every tensor of the graph.
    pub tensors: Vec<Tensor>,
    /// Nodes, each after the producers of its inputs.
    pub nodes: Vec<Node>,
    /// Tensors given from outside, in the model's order.
    pub inputs: Vec<Port>,
    /// Tensors handed out, in the model's order.
    pub outputs: Vec<Port>,
}

/// Shape and name of a tensor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tensor {
    /// Name of the ONNX value it stands for (or of the node that made it).
    pub name: String,
    /// Dimensions, batch included.
    pub shape: Vec<usize>,
}

impl Tensor {
    /// Number of elements.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether the tensor has no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// One operator application.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Name of the ONNX node it comes from.
    pub name: String,
    /// The operator.
    pub op: Op,
    /// Tensors read.
    pub inputs: Vec<TensorId>,
    /// Tensor written.
    pub output: TensorId,
}

/// A tensor that crosses the border of a graph, and how its values are written as unsigned digits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Port {
    /// The tensor.
    pub tensor: TensorId,
    /// Digits of its values.
    pub encoding: Encoding,
}

/// Unsigned digits of `bits` bits: `digit = integer + offset`, `real ≈ integer · scale`, offset and scale being those of the
/// element's feature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Encoding {
    /// Width of a digit; the packing pitch.
    pub bits: u32,
    /// The axis along which features lie; 0 where one feature stands for all elements.
    pub axis: usize,
    /// One for all elements, or one per index of the axis.
    pub features: Vec<Feature>,
}

/// How the elements of one feature are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Feature {
    /// Added to an integer to make it unsigned.
    pub offset: i64,
    /// What one unit means.
    pub scale: Scale,
}

impl Encoding {
    /// Digits that all elements share.
    pub fn uniform(bits: u32, offset: i64, scale: Scale) -> Encoding {
        Encoding { bits, axis: 0, features: vec![Feature { offset, scale }] }
    }

    /// The feature of each element of a tensor of that shape, in row-major order.
    pub fn by_element(&self, shape: &[usize]) -> impl Iterator<Item = Feature> + '_ {
        let inner: usize = shape.iter().skip(self.axis + 1).product();
        let count: usize = shape.iter().product();
        (0..count).map(move |element| self.features[element / inner.max(1) % self.features.len()])
    }

    /// The feature of all elements, where there is one.
    pub fn single(&self) -> Option<Feature> {
        if let [feature] = self.features[..] { Some(feature) } else { None }
    }
}

/// A decimal scale: `mantissa · 10^−18`, exact on chain and off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scale {
    /// Units of 10^−18. The key blob's word has room for all of it.
    pub mantissa: u128,
}

impl Scale {
    /// Decimals of the mantissa.
    pub const DECIMALS: u32 = 18;
}

/// An operator of the integer graph. Linear operators give accumulators and cost no constraint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Op {
    /// Convolution with constant weights and bias (linear).
    Conv(Conv),
    /// Matrix product with a constant matrix, plus bias (linear).
    Dense(Dense),
    /// Sums over windows (linear): average pooling without its division, which the scale carries.
    SumPool(SumPool),
    /// Weighted element-wise sum of the inputs, plus bias (linear): residual adds, batch norms, rescaling.
    Affine(Affine),
    /// `q = ⌊(x + 2^(shift−1)) / 2^shift⌋`, refused outside `[−2^(w−1), 2^(w−1))`.
    Requant {
        /// Bits dropped; equal to the table's width.
        shift: u32,
    },
    /// `max(q, 0)` with q as in [`Op::Requant`] (q = x when shift is 0), refused unless `|q| < 2^w`.
    Relu {
        /// Bits dropped: 0 or the table's width.
        shift: u32,
    },
    /// `min(max(x, min), max)`, refused unless x is less than `2^(limbs·w)` away from either bound: what the circuit compares.
    Clip {
        /// Least value, if there is one.
        min: Option<i64>,
        /// Greatest value, if there is one.
        max: Option<i64>,
        /// Table lookups a comparison takes: 1 to 3.
        limbs: u32,
    },
    /// Largest value of each window; padding never wins. Taps are compared in row-major order, each with the largest before it, and
    /// refused unless they are less than `2^(limbs·w)` apart: what the circuit compares.
    MaxPool {
        /// The windows.
        window: Window,
        /// Table lookups a comparison takes: 1 or 2.
        limbs: u32,
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

/// Geometry of a sliding window over the two last axes of an NCHW tensor with N = 1 (one-dimensional: height 1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// Input channels, height, width.
    pub input: [usize; 3],
    /// Output height and width.
    pub output: [usize; 2],
    /// Kernel height and width.
    pub kernel: [usize; 2],
    /// Steps between windows.
    pub strides: [usize; 2],
    /// Steps between taps.
    pub dilations: [usize; 2],
    /// Padding before: top, left.
    pub pads: [usize; 2],
}

impl Window {
    /// Positions `(kernel row, kernel column, input row, input column)` of the taps of output `(y, x)` that fall inside the input.
    pub fn taps(&self, y: usize, x: usize) -> impl Iterator<Item = (usize, usize, usize, usize)> + '_ {
        let [kh, kw] = self.kernel;
        (0..kh).flat_map(move |i| (0..kw).map(move |j| (i, j))).filter_map(move |(i, j)| {
            let row = (y * self.strides[0] + i * self.dilations[0]).checked_sub(self.pads[0])?;
            let column = (x * self.strides[1] + j * self.dilations[1]).checked_sub(self.pads[1])?;
            (row < self.input[1] && column < self.input[2]).then_some((i, j, row, column))
        })
    }
}

/// A grouped convolution. Output `[1, weights.len() / (in_per_group·kh·kw), oh, ow]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conv {
    /// Geometry.
    pub window: Window,
    /// Number of groups.
    pub groups: usize,
    /// Weights `[out channels, in channels / groups, kh, kw]`.
    pub weights: Vec<i64>,
    /// One bias an output channel, at the accumulator's scale.
    pub bias: Vec<i64>,
}

/// `[rows, k] × [k, n] + bias`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dense {
    /// Rows of the left factor (the product of all leading axes).
    pub rows: usize,
    /// Inner dimension.
    pub k: usize,
    /// Columns.
    pub n: usize,
    /// Weights by output: `[n, k]`.
    pub weights: Vec<i64>,
    /// One bias a column.
    pub bias: Vec<i64>,
}

/// Window sums of each channel, times a constant for each output position.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SumPool {
    /// Geometry.
    pub window: Window,
    /// One factor an output position (row-major), or empty for all ones; they make up for windows cut short by padding.
    pub multipliers: Vec<i64>,
}

/// `out[e] = Σ_k coefficients[k][c(e)]·in_k[e] + bias[c(e)]`, c(e) being e's index along `axis`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Affine {
    /// The axis along which coefficients vary.
    pub axis: usize,
    /// For each input its factors: one for all, or one an index of the axis.
    pub coefficients: Vec<Vec<i64>>,
    /// One for all, or one an index of the axis.
    pub bias: Vec<i64>,
}
