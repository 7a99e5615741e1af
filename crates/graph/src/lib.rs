//! ONNX models as exact integer graphs: import, calibration, quantisation and the integer executor.

mod bytes;
mod calibrate;
mod compile;
mod executor;
mod float;
mod import;
mod model;
mod passes;
mod quantise;
mod validate;
mod values;

pub use bytes::{MAGIC, VERSION};
pub use compile::{CompileError, Options, Report, Sites, arg_max, compile, compile_bytes, compile_float};
pub use executor::{ExecuteError, apply, concat, execute, linear, requant, transpose};
pub use float::{FloatGraph, FloatNode, FloatOp, Value, ValueId};
pub use import::{ImportError, ImportOptions, OPERATORS, OPSETS, import, import_bytes};
pub use model::*;
pub use quantise::{QuantiseError, TensorScale};
pub use validate::{GraphError, Interval, limits};
pub use values::{Input, Samples, ValueError, decode_outputs, encode};
