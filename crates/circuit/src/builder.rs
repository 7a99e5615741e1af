//! What gadgets are written against.

use std::collections::HashMap;
use std::sync::Arc;

use ark_bn254::Fr;

use crate::circuit::Entries;
use crate::constraints::MAX_TABLES;
use crate::{CircuitError, Interval};

/// A linear map of integers: each output is a constant and a weighted sum of input elements.
pub trait Linear: Sync {
    /// Number of outputs.
    fn outputs(&self) -> usize;

    /// States output `e`: calls `term(input, element, weight)` for each of its terms, and gives its constant.
    fn row(&self, e: usize, term: impl FnMut(usize, usize, i64)) -> i64;

    /// All outputs' values, as [`Linear::row`] states them; no sum of magnitudes may reach 2^63. A witness that differs from the
    /// rows satisfies no circuit.
    fn values(&self, inputs: &[&[i64]]) -> Vec<i64>;
}

/// A table of constants of the circuit under construction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableId(pub(crate) usize);

/// The tables of constants among a circuit's tables, by their entries: a graph may state many that differ late.
#[derive(Debug, Default)]
pub(crate) struct ConstantTables(HashMap<Arc<[i64]>, TableId>);

impl ConstantTables {
    /// The table of these entries, if there is one.
    pub(crate) fn get(&self, entries: &[i64]) -> Option<TableId> {
        self.0.get(entries).copied()
    }

    /// A new one among all tables.
    ///
    /// # Errors
    /// [`CircuitError::Unsupported`] where there are too many.
    pub(crate) fn add<T>(&mut self, tables: &mut Vec<(Entries, Vec<T>)>, entries: &[i64]) -> Result<TableId, CircuitError> {
        if tables.len() >= MAX_TABLES {
            return Err(CircuitError::Unsupported { gadget: "table".into(), reason: format!("more than {MAX_TABLES} tables") });
        }
        let (id, entries) = (TableId(tables.len()), Arc::from(entries));
        tables.push((Entries::Constants(Arc::clone(&entries)), Vec::new()));
        self.0.insert(entries, id);
        Ok(id)
    }
}

/// Builds constraints ([`crate::ConstraintBuilder`]) or values ([`crate::WitnessBuilder`]) from the same gadget code.
///
/// [`Builder::Int`] is a linear expression over small committed wires and constants: the only thing that may be looked
/// up, and that by type (rule G5). [`Builder::Field`] is a linear expression over public inputs and committed
/// wires of any size.
pub trait Builder {
    /// An integer expression.
    type Int: Clone + Send + Sync;
    /// A field expression.
    type Field: Clone;

    /// A constant.
    fn constant(&self, value: i64) -> Self::Int;

    /// `constant + Σ factor·term`.
    ///
    /// # Errors
    /// [`CircuitError::Overflow`] when the enforced interval leaves ±2^62.
    fn combine(&self, terms: &[(i64, &Self::Int)], constant: i64) -> Result<Self::Int, CircuitError>;

    /// All outputs of a linear map, without a row.
    ///
    /// # Errors
    /// As [`Builder::combine`].
    fn linear(&self, map: &impl Linear, inputs: &[&[Self::Int]]) -> Result<Vec<Self::Int>, CircuitError>;

    /// A fresh committed wire, not yet constrained. `value` computes it from the arguments' values.
    ///
    /// # Errors
    /// Whatever `value` returns: no witness exists.
    fn hint<const N: usize>(
        &mut self,
        of: [&Self::Int; N],
        value: impl FnOnce([i64; N]) -> Result<i64, CircuitError>,
    ) -> Result<Self::Int, CircuitError>;

    /// A fresh committed wire whose value comes from outside (a digit of an input).
    fn given(&mut self, value: Option<i64>) -> Self::Int;

    /// One row: `a · b = c`.
    ///
    /// # Errors
    /// Where there are values, when it does not hold.
    fn product(&mut self, a: &Self::Int, b: &Self::Int, c: &Self::Int) -> Result<(), CircuitError>;

    /// One row: `value ∈ [0, 2^bits)` as a field element, by a lookup in the table of that width.
    ///
    /// # Errors
    /// Where there are values, when it does not hold.
    fn lookup(&mut self, bits: u32, value: &Self::Int) -> Result<(), CircuitError>;

    /// A table of these entries, all different; the same one for the same entries.
    ///
    /// # Errors
    /// [`CircuitError::Unsupported`] where they are not all different, or too many.
    fn table(&mut self, entries: &[i64]) -> Result<TableId, CircuitError>;

    /// One row: `value` is an entry of the table, as a field element. `position` says which one to whoever computes values; no constraint
    /// holds it.
    ///
    /// # Errors
    /// Where there are values, when it is not.
    fn lookup_entry(&mut self, table: TableId, position: &Self::Int, value: &Self::Int) -> Result<(), CircuitError>;

    /// `value` with the statement, proven by the calling gadget, that it is an integer in `interval`.
    fn anchored(&self, value: &Self::Int, interval: Interval) -> Self::Int;

    /// Refuses an expression that is not proven integral.
    ///
    /// # Errors
    /// [`CircuitError::NotIntegral`].
    fn require_integral(&self, gadget: &'static str, value: &Self::Int) -> Result<(), CircuitError>;

    /// Refuses an expression that is not proven to be an integer within `limit`.
    ///
    /// # Errors
    /// [`CircuitError::NotIntegral`], [`CircuitError::TooWide`].
    fn require_within(&self, gadget: &'static str, value: &Self::Int, limit: Interval) -> Result<(), CircuitError>;

    /// `value` with the statement, proven by the calling gadget, that it is `a · b`.
    ///
    /// # Errors
    /// [`CircuitError::Overflow`] when that may leave ±2^62.
    fn times(&self, value: &Self::Int, a: &Self::Int, b: &Self::Int) -> Result<Self::Int, CircuitError>;

    /// `value` with the statement, proven by the calling gadget, that it is the larger of two: no less than either's least, no more
    /// than the greater of their greatest values.
    fn larger(&self, value: &Self::Int, a: &Self::Int, b: &Self::Int) -> Self::Int;

    /// The next public input x_j: hashed into the challenge and bound by the fingerprint, one row; a public wire where there is no challenge.
    fn public(&mut self, value: Option<Fr>) -> Self::Field;

    /// A constant field element.
    fn field_constant(&self, value: Fr) -> Self::Field;

    /// An integer expression as a field expression.
    fn to_field(&self, value: &Self::Int) -> Self::Field;

    /// `constant + Σ factor·term`.
    fn field_combine(&self, terms: &[(Fr, &Self::Field)], constant: Fr) -> Self::Field;

    /// A fresh committed wire of full size whose value comes from outside (a salt).
    fn field_given(&mut self, value: Option<Fr>) -> Self::Field;

    /// A fresh committed wire `a · b`: one row.
    fn field_product(&mut self, a: &Self::Field, b: &Self::Field) -> Self::Field;

    /// The value of an expression, where there are values.
    fn value(&self, expression: &Self::Field) -> Option<Fr>;

    /// One row: `a · b = c`. Where there are values and it does not hold, they are no witness, and the prover's own check says so.
    fn field_row(&mut self, a: &Self::Field, b: &Self::Field, c: &Self::Field);

    /// One row: `a = b`.
    fn field_equal(&mut self, a: &Self::Field, b: &Self::Field);

    /// The next public word: hashed into the challenge and bound by the fingerprint, one row.
    fn public_word(&mut self, word: &Self::Field);
}
