//! ONNX models as exact integer graphs: import, calibration, quantisation and the integer executor.

mod bytes;
mod executor;
mod model;
mod validate;

pub use bytes::{MAGIC, VERSION};
pub use executor::{ExecuteError, apply, concat, execute, linear, requant, transpose};
pub use model::*;
pub use validate::{GraphError, Interval, limits};
