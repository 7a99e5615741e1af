//! The integer graph: what is proven.
//!
//! ```text
//! model      tensors, nodes, functions, borders; bytes: the file
//! ops/       every operator: what it takes, computes, costs, and its circuit
//! check      untrusted bytes → a graph in which nothing overflows, with the interval of each tensor
//! execute    integers of every tensor: the definition
//! matrix     products of matrices, fast and in a fixed order
//! constrain  the same as constraints
//! cost       rows of a slice, borders included, without building its circuit
//! borders    a slice's circuit: digits read, bound to words or commitments
//! values     numbers ↔ integers
//! ```
//!
//! Nothing here is floating point but [`values`](encode), which goes between real numbers and the graph's integers, and sums that
//! are exact in floating point and faster.
//! [`execute`] is the one definition of what each operator of [`Op`] computes, and the circuits prove exactly that.
//!
//! What comes from outside is not trusted: input files are parsed strictly, and [`Graph::from_bytes`] checks a graph completely.
//! A value outside of what a graph's operators accept is refused by [`execute`], since it cannot be proven. Someone who chooses
//! inputs can provoke that refusal.

mod borders;
mod bytes;
mod check;
mod constrain;
pub mod cost;
mod execute;
mod matrix;
mod model;
mod ops;
mod values;

pub use borders::{Binding, BorderValues, BoundGraph, SliceValues, build_circuit, build_witness};
pub use bytes::{MAGIC, VERSION};
pub use check::{GraphError, Interval, checked_elements, limits};
pub use execute::{ExecuteError, execute, execute_outputs};
pub use matrix::{Number, Weight, multiply_matrices};
pub use model::*;
pub use ops::{
    Affine, Checked, Clip, Concat, Constant, Conv, Dense, Divide, Gather, MatMul, MaxPool, Maximum, OneHot, Op, Part, Product, Relu,
    Requant, Reshape, Rounding, Site, Sqrt, Step, Stretch, SumPool, Table, Transpose, View, Window, concat, convolve, gather, inside,
    multiply_rows, transpose, view,
};
pub use values::{Input, InputSlot, Kind, Samples, ValueError, decode_outputs, encode, encode_tensors, text};
