//! The operators of the integer graph: what is proven, each in a module of its own.
//!
//! An operator is a type that has [`Primitive`]: what it takes, what it computes, how circuits hold it to that, and what that
//! costs, on one page. `operators!` lists them all; whatever walks a graph goes through [`Op`]'s methods and names none.

mod affine;
mod arithmetic;
mod compare;
mod constant;
mod conv;
mod dense;
mod linear;
mod part;
mod requant;
mod sum_pool;
mod table;
mod view;
mod window;

use serde::{Deserialize, Serialize};
use zkslice_circuit::{Builder, CircuitError};

pub use affine::Affine;
pub use arithmetic::{Divide, MatMul, Product, Rounding, Sqrt};
pub use compare::{Clip, MaxPool, Maximum, OneHot, Step};
pub use constant::Constant;
pub use conv::{Conv, convolve};
pub use dense::{Dense, multiply_rows};
pub use part::{Part, Stretch};
pub use requant::{Relu, Requant};
pub use sum_pool::SumPool;
pub use table::Table;
pub use view::{Concat, Gather, Reshape, Transpose, View, concat, gather, transpose, view};
pub use window::{Window, inside};

use crate::check::Interval;
use crate::execute::ExecuteError;
use crate::model::{Function, Graph, Node, Tensor};

/// A node with the tensors it stands between.
#[derive(Debug)]
pub struct Site<'a> {
    /// Name of the node.
    pub(crate) node: &'a str,
    /// Width of the range table.
    pub(crate) table_bits: u32,
    /// What it reads.
    pub(crate) inputs: Vec<&'a Tensor>,
    /// What it writes.
    pub(crate) output: &'a Tensor,
    /// The graph's functions.
    pub(crate) functions: &'a [Function],
    /// Where the values of each of them lie, if that is known: to look for it at every node would take too long.
    pub(crate) ranges: &'a [Interval],
}

impl Site<'_> {
    fn output_is(&self, shape: &[usize]) -> Result<(), String> {
        if self.output.shape == shape { Ok(()) } else { Err(format!("output shape {:?} where {shape:?} is needed", self.output.shape)) }
    }

    fn input_shapes(&self) -> Vec<&[usize]> {
        self.inputs.iter().map(|tensor| tensor.shape.as_slice()).collect()
    }
}

impl Graph {
    /// A node of a validated graph with its tensors.
    pub fn site<'a>(&'a self, node: &'a Node) -> Site<'a> {
        let inputs = node.inputs.iter().map(|&id| &self.tensors[id]).collect();
        let output = &self.tensors[node.output];
        Site { node: &node.name, table_bits: self.table_bits, inputs, output, functions: &self.functions, ranges: &[] }
    }
}

/// What checking a node finds out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checked {
    /// Where the integers of its output lie, by what the constraints enforce.
    pub interval: Interval,
    /// Multiplications that evaluating it takes.
    pub work: u128,
}

/// An operator of the integer graph.
pub(crate) trait Primitive {
    /// Tensors it reads; `None` where it takes any number from one on.
    const INPUTS: Option<usize> = Some(1);

    /// Checks parameters and shapes from untrusted bytes, in time of the bytes, not of the sizes they state.
    fn check(&self, site: &Site<'_>, inputs: &[Interval]) -> Result<Checked, String>;

    /// Product rows of its circuit.
    fn products(&self, _: &Site<'_>) -> usize {
        0
    }

    /// Lookups of its circuit in the model's range table.
    fn lookups(&self, _: &Site<'_>) -> usize {
        0
    }

    /// The function that its circuit looks up, and how often.
    fn function(&self, _: &Site<'_>) -> Option<(usize, usize)> {
        None
    }

    /// The operator that computes a stretch of its output and nothing else, if there is one; the stretch's shape is the output's. All of
    /// them together look up and multiply what it does.
    fn part(&self, _: &Site<'_>, _: &Stretch) -> Option<Part> {
        None
    }

    /// The definition: its output's integers, or why no circuit proves them.
    fn evaluate(&self, site: &Site<'_>, inputs: &[&[i64]]) -> Result<Vec<i64>, ExecuteError>;

    /// The same as constraints: accepts exactly what [`Primitive::evaluate`] gives.
    fn constrain<B: Builder>(&self, b: &mut B, site: &Site<'_>, inputs: &[&[B::Int]]) -> Result<Vec<B::Int>, CircuitError>;
}

macro_rules! operators {
    ($($code:literal $name:ident: $doc:literal,)*) => {
        /// An operator of the integer graph. Those that are linear or only move elements cost no constraint.
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        pub enum Op {
            $(#[doc = $doc] $name($name),)*
        }

        $(
            impl From<$name> for Op {
                fn from(op: $name) -> Self {
                    Self::$name(op)
                }
            }
        )*

        /// Each operator's number in graph files: never reused, never changed.
        #[cfg(test)]
        const CODES: &[(u8, &str)] = &[$(($code, stringify!($name)),)*];

        impl Op {
            #[cfg(test)]
            fn name(&self) -> &'static str {
                match self { $(Self::$name(_) => stringify!($name),)* }
            }

            fn inputs(&self) -> Option<usize> {
                match self { $(Self::$name(_) => <$name as Primitive>::INPUTS,)* }
            }

            fn check_operator(&self, site: &Site<'_>, inputs: &[Interval]) -> Result<Checked, String> {
                match self { $(Self::$name(op) => Primitive::check(op, site, inputs),)* }
            }

            /// Product rows of its circuit at a node of a validated graph.
            pub fn products(&self, site: &Site<'_>) -> usize {
                match self { $(Self::$name(op) => Primitive::products(op, site),)* }
            }

            /// Lookups of its circuit in the model's range table.
            pub fn lookups(&self, site: &Site<'_>) -> usize {
                match self { $(Self::$name(op) => Primitive::lookups(op, site),)* }
            }

            /// The function that its circuit looks up, and how often.
            pub fn function(&self, site: &Site<'_>) -> Option<(usize, usize)> {
                match self { $(Self::$name(op) => Primitive::function(op, site),)* }
            }

            /// The operator that computes a stretch of its output and nothing else, if there is one; the stretch's shape is the output's.
            pub fn part(&self, site: &Site<'_>, of: &Stretch) -> Option<Part> {
                match self { $(Self::$name(op) => Primitive::part(op, site, of),)* }
            }

            /// Applies it at a node of a validated graph.
            ///
            /// # Errors
            /// When a value leaves what the operator's definition accepts.
            pub(crate) fn evaluate(&self, site: &Site<'_>, inputs: &[&[i64]]) -> Result<Vec<i64>, ExecuteError> {
                match self { $(Self::$name(op) => Primitive::evaluate(op, site, inputs),)* }
            }

            /// Its circuit at a node of a validated graph.
            ///
            /// # Errors
            /// As the gadgets it is made of.
            pub(crate) fn constrain<B: Builder>(&self, b: &mut B, site: &Site<'_>, inputs: &[&[B::Int]]) -> Result<Vec<B::Int>, CircuitError> {
                match self { $(Self::$name(op) => Primitive::constrain(op, b, site, inputs),)* }
            }
        }
    };
}

operators! {
    0 Conv: "Convolution with constant weights and bias (linear).",
    1 Dense: "Matrix product with a constant matrix, plus bias (linear).",
    2 SumPool: "Sums over windows (linear): average pooling without its division, which the scale carries.",
    3 Affine: "Weighted element-wise sum of the inputs, plus bias (linear): residual adds, batch norms, rescaling.",
    4 Requant: "Division by two to the table's width, with rounding.",
    5 Relu: "The same, then no less than zero.",
    6 Clip: "No less than a bound, no more than another.",
    7 MaxPool: "Largest value of each window.",
    8 Reshape: "The same elements under another shape.",
    9 Transpose: "Axes in another order.",
    10 Concat: "Inputs joined along an axis.",
    11 View: "Elements of the input in another order, some left out, some repeated: slices, expansions, tiles.",
    12 Gather: "Slices along an axis, picked by constant indices.",
    13 Constant: "Integers that no input decides.",
    14 Table: "A function of each element, by its table.",
    15 Product: "Element-wise product of two inputs.",
    16 MatMul: "Matrix products of two inputs.",
    17 Divide: "Element-wise quotient of two inputs, rounded.",
    18 Sqrt: "Square root, rounded down.",
    19 Maximum: "Element-wise larger one of two inputs.",
    20 Step: "One where an element is not negative, else zero.",
    21 OneHot: "For each element as many bits as it has values, the one at its value set.",
}

impl Op {
    /// Checks a node whose inputs lie in these intervals; the tensors' sizes must be within the limits.
    ///
    /// # Errors
    /// What is wrong with its arity, its parameters, its shapes, or that a value could leave ±2^62.
    pub fn check(&self, site: &Site<'_>, inputs: &[Interval]) -> Result<Checked, String> {
        let arity = self.inputs().unwrap_or(inputs.len().max(1));
        if inputs.len() != arity {
            return Err(format!("{} inputs where {arity} are needed", inputs.len()));
        }
        self.check_operator(site, inputs)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_those_of_the_files() {
        let positions: Vec<_> = CODES.iter().map(|(code, _)| usize::from(*code)).collect();
        assert_eq!(positions, (0..CODES.len()).collect::<Vec<_>>(), "the format numbers operators by their position");
        for op in [Op::Requant(Requant { shift: 8 }), Op::Reshape(Reshape), Op::Concat(Concat { axis: 1 })] {
            let code = CODES.iter().find(|(_, name)| *name == op.name()).unwrap().0;
            assert_eq!(postcard::to_stdvec(&op).unwrap()[0], code);
        }
    }
}
