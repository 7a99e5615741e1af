//! Circuits of others: what Circom compiles, in the committed form.
//!
//! ```text
//! binary    the frame of iden3's binary files: magic, version, sections
//! r1cs      rows of a circuit (.r1cs)
//! symbols   names of its signals (.sym)
//! wtns      values of its wires (.wtns)
//! signal    how a public or committed signal is written in digits
//! circuit   rows and signals → circuit and witness of the committed form
//! inputs    values of inputs by name
//! program   witnesses by a program that the user names
//! wasm      witnesses by the circuit's own wasm (feature `wasm`)
//! ```
//!
//! What such a circuit computes is what its rows say, and nothing else defines it: no executor stands beside them. A row that its author
//! forgot is missing here too.

mod binary;
mod circuit;
mod error;
mod inputs;
mod program;
mod r1cs;
mod signal;
mod symbols;
#[cfg(test)]
mod tests;
#[cfg(feature = "wasm")]
mod wasm;
mod wtns;

pub use binary::{Cursor, Sections, write as write_sections};
pub use circuit::{BorderValues, ForeignCircuit, HOLDS, Port, TAG};
pub use error::InteropError;
pub use inputs::{Inputs, read_inputs};
pub use program::WitnessProgram;
pub use r1cs::{Combination, R1cs, Row};
pub use signal::{Signal, SignalType};
pub use symbols::{Symbol, Symbols};
#[cfg(feature = "wasm")]
pub use wasm::CircuitWasm;
pub use wtns::{read_wtns, write_wtns};
