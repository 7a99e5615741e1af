//! ONNX models as exact integer graphs: import, calibration, quantisation and the accuracy that they keep.
//!
//! ```text
//! model.onnx ─import─▶ FloatGraph ─passes, calibrate─▶ scales ─quantise─▶ Graph ─execute─▶ integers
//! ```
//!
//! ```text
//! compile    options, errors, and the steps from a model to its graph
//! onnx/      ONNX → float graph
//! float      the float graph and its executor
//! passes     exact rewrites that make it cheaper
//! calibrate  what the samples show of each value
//! ranges     the digits of inputs; made_up: inputs beside the samples
//! quantise/  scales, function tables, the integer graph
//! goal       what is accurate enough; search: which setting is taken
//! evaluate   the integer graph held against the float graph; report: what that found
//! ```
//!
//! [`operators`] lists the ONNX operators that are read; each is rewritten into the few of [`FloatOp`]. A [`Value`] holds real numbers,
//! which the integer graph approximates, or integers or truth values, which it computes exactly.
//!
//! [`compile`] does all of it up to the [`zkslice_graph::Graph`] and reports the accuracy. From there on nothing is floating point:
//! [`zkslice_graph::execute`] is the one definition of what each operator computes, and the circuits prove exactly that.
//!
//! What comes from outside is not trusted: models are read against a list of operators and attributes behind a panic
//! boundary, input and sample files are parsed strictly, and [`zkslice_graph::Graph::from_bytes`] checks a graph completely. What is
//! *not* guaranteed: a value outside of what the samples showed (times the margin) is refused by [`zkslice_graph::execute`], since it
//! cannot be proven. Someone who chooses inputs can provoke that refusal.
//!
//! ```
//! use zkslice_compiler::{FloatGraph, FloatNode, FloatOp, Options, Value, compile_float};
//! use zkslice_graph::{Input, Samples, decode_outputs, encode, execute};
//!
//! // y = relu([x0 − x1, x0 + x1]), as `import` would give it.
//! let value = |name: &str| Value::new(name, vec![1, 2]);
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

mod calibrate;
mod compile;
mod evaluate;
mod float;
mod goal;
mod made_up;
mod onnx;
mod passes;
mod quantise;
mod ranges;
mod report;
mod search;

pub use compile::{CompileError, InputRange, InputScales, Nearest, Options, compile, compile_bytes, compile_float};
pub use evaluate::arg_max;
pub use float::{FloatGraph, FloatNode, FloatOp, Kind, Pointwise, Value, ValueId};
pub use goal::MaxError;
pub use onnx::{ImportError, ImportOptions, Imported, Mismatch, OPSETS, Operator, Reference, import, import_bytes, operators};
pub use quantise::{QuantiseError, TensorScale};
pub use report::{FunctionReport, NodeReport, OutputError, Report, Sites};
