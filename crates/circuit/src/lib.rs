//! Compact R1CS, gadgets with proven bounds, lowering of integer graphs and witness generation.
//!
//! A circuit is written once, as a function over a [`Builder`]. Run over a [`Shape`] it yields the constraints
//! ([`Circuit`]); run over a [`Trace`] it yields the values ([`Witness`]). Small integers and field elements are
//! different types, so that only integers over committed wires can ever be looked up.
//!
//! ```text
//! lower      integer graph → gadget calls
//! gadgets/   requant + ReLU, max, digits, packing, Poseidon, commitments: each with its equations and its cost
//! builder    the trait that gadgets are written against
//! shape      expressions with enforced intervals → Circuit
//! trace      values → Witness
//! circuit    the constraint system: layout of wires and rows, what each row says
//! ```

mod builder;
mod circuit;
mod error;
pub mod gadgets;
mod interval;
mod lower;
mod shape;
mod trace;

pub use builder::Builder;
pub use circuit::{Circuit, Layout, Matrix, SecondRound, Table, Violation};
pub use error::CircuitError;
pub use interval::Interval;
pub use lower::{Binding, SliceShape, SliceValues, lower, shape_of, trace_of};
pub use shape::{Int, Shape, Wire, WireKind};
pub use trace::{Trace, Witness};
