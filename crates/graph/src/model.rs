//! The integer graph: what the circuits prove, element by element.
//!
//! Every tensor is a flat row-major vector of `i64`. No floating-point number occurs in it; [`Scale`] says what an
//! input's or output's integers mean.

use serde::{Deserialize, Serialize};

use crate::ops::Op;

/// Index of a tensor in [`Graph::tensors`].
pub type TensorId = usize;

/// An integer graph: nodes in topological order, each defined by its operator.
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
    /// Functions that nodes look up.
    pub functions: Vec<Function>,
}

/// A function of integers, by its values: `f(first + i) = values[i]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Function {
    /// Least argument.
    pub first: i64,
    /// Values in the order of their arguments.
    pub values: Vec<i64>,
    /// Argument q and value y are looked up together, as `q + stride·y`: no argument that can reach the function, even
    /// one that it does not take, may be as far as this from any that it takes.
    pub stride: i64,
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

impl Feature {
    /// An integer's digit; no digit of any width where the sum leaves `i64`.
    pub fn digit(self, integer: i64) -> i64 {
        integer.saturating_add(self.offset)
    }

    /// A digit's integer.
    pub fn integer(self, digit: i64) -> i64 {
        digit.saturating_sub(self.offset)
    }
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
