//! ONNX models as exact integer graphs: import, calibration, quantisation and the integer executor.

mod model;

pub use model::*;
