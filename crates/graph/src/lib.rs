//! ONNX models as exact integer graphs: import, calibration, quantisation and the integer executor.
//!
//! ```text
//! model.onnx ─import─▶ FloatGraph ─passes, calibrate─▶ scales ─quantise─▶ Graph ─execute─▶ integers
//! ```
//!
//! [`compile`] does all of it up to the [`Graph`] and reports the accuracy. From there on nothing is floating point:
//! [`execute`] is the one definition of what each operator of [`Op`] computes, and the circuits prove exactly that.
//! [`encode`] and [`decode_outputs`] go between real numbers and the graph's integers.
//!
//! What comes from outside is not trusted: models are read against a list of operators and attributes behind a panic
//! boundary, input and sample files are parsed strictly, and [`Graph::from_bytes`] checks a graph completely. What is
//! *not* guaranteed: a value outside of what the samples showed (times the margin) is refused by [`execute`], since it
//! cannot be proven. Someone who chooses inputs can provoke that refusal.
//!
//! ```
//! use zkslice_graph::{FloatGraph, FloatNode, FloatOp, Input, Options, Samples, Value};
//! use zkslice_graph::{compile_float, decode_outputs, encode, execute};
//!
//! // y = relu([x0 − x1, x0 + x1]), as `import` would give it.
//! let value = |name: &str| Value { name: name.into(), shape: vec![1, 2] };
//! let dense = FloatOp::Dense { rows: 1, k: 2, n: 2, weights: vec![1.0, -1.0, 1.0, 1.0], bias: vec![0.0; 2] };
//! let model = FloatGraph {
//!     values: vec![value("x"), value("z"), value("y")],
//!     nodes: vec![
//!         FloatNode { name: "dense".into(), op: dense, inputs: vec![0], output: 1 },
//!         FloatNode { name: "relu".into(), op: FloatOp::Relu, inputs: vec![1], output: 2 },
//!     ],
//!     inputs: vec![0],
//!     outputs: vec![("y".into(), 2)],
//! };
//! let samples = Samples(vec![Input(vec![vec![1.0, 1.0]]), Input(vec![vec![0.0, 0.5]])]);
//! let (graph, report) = compile_float(model, Some(&samples), &Options::default())?;
//! assert!(report.largest_error < 0.02);
//!
//! let values = execute(&graph, &encode(&graph, &Input(vec![vec![1.0, 0.25]]))?)?;
//! let outputs = decode_outputs(&graph, &[values[graph.outputs[0].tensor].clone()]);
//! assert!((outputs[0][0] - 0.75).abs() < 0.02 && (outputs[0][1] - 1.25).abs() < 0.02);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod borders;
mod bytes;
mod calibrate;
mod check;
mod compile;
mod constrain;
mod execute;
mod float;
mod import;
mod made_up;
mod model;
mod ops;
mod passes;
mod quantise;
mod ranges;
mod values;

pub use borders::{Binding, BoundGraph, SliceValues, build_circuit, build_witness};
pub use bytes::{MAGIC, VERSION};
pub use check::{GraphError, Interval, limits};
pub use compile::{
    CompileError, InputRange, InputScales, Options, OutputError, Report, Sites, arg_max, compile, compile_bytes, compile_float,
};
pub use constrain::constrain;
pub use execute::{ExecuteError, execute};
pub use float::{FloatGraph, FloatNode, FloatOp, Value, ValueId};
pub use import::{ImportError, ImportOptions, Imported, Mismatch, OPERATORS, OPSETS, Operator, Reference, guard, import, import_bytes};
pub use model::*;
pub use ops::{
    Affine, Checked, Clip, Concat, Conv, Dense, MaxPool, Op, Relu, Requant, Reshape, Site, SumPool, Transpose, Window, concat, transpose,
};
pub use quantise::{QuantiseError, TensorScale};
pub use values::{Input, Samples, ValueError, decode_outputs, encode, text};
