//! Compact R1CS, gadgets with proven bounds, and witness generation.
//!
//! A circuit is written once, as a function over a [`Builder`]. Run over a [`ConstraintBuilder`] it yields the constraints
//! ([`Circuit`]); run over a [`WitnessBuilder`] it yields the values ([`Witness`]). Small integers and field elements are
//! different types, so that only integers over committed wires can ever be looked up.
//!
//! ```text
//! gadgets/     requant + ReLU, functions, arithmetic, comparisons, digits, packing, Poseidon: each with its equations and its cost
//! builder      the trait that gadgets are written against
//! constraints  expressions with enforced intervals → Circuit
//! witness      values → Witness
//! circuit      the constraint system: layout of wires and rows, what each row says
//! ```

mod builder;
mod circuit;
mod constraints;
mod error;
pub mod gadgets;
mod interval;
mod witness;

pub use builder::{Builder, Linear, TableId};
pub use circuit::{Circuit, Entries, Layout, Matrix, SecondRound, Table, Violation};
pub use constraints::{ConstraintBuilder, Int, MAX_TABLE_BITS, Wire, WireKind};
pub use error::CircuitError;
pub use interval::Interval;
pub use witness::{Witness, WitnessBuilder};
