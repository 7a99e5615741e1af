//! Linear operators: each output is a constant and a weighted sum of input elements, and costs no row.

use zkslice_circuit::Linear;

use super::{Checked, Site};
use crate::check::{Interval, limits};

/// A linear operator, stated once: evaluation and constraints follow from its rows.
pub(crate) trait Rows: Sync {
    /// See [`super::Primitive::check`].
    fn check(&self, site: &Site<'_>, inputs: &[Interval]) -> Result<Checked, String>;

    /// States output `e`: calls `term(input, element, weight)` for each of its terms, and gives its constant.
    fn row(&self, site: &Site<'_>, e: usize, term: impl FnMut(usize, usize, i64)) -> i64;

    /// What the rows say, faster; tests hold the two against each other.
    fn values(&self, site: &Site<'_>, inputs: &[&[i64]]) -> Vec<i64>;
}

/// An operator at its node, as circuits take it.
pub(crate) struct Stated<'a, R> {
    pub(crate) operator: &'a R,
    pub(crate) site: &'a Site<'a>,
}

impl<R: Rows> Linear for Stated<'_, R> {
    fn outputs(&self) -> usize {
        self.site.output.len()
    }

    fn row(&self, e: usize, term: impl FnMut(usize, usize, i64)) -> i64 {
        self.operator.row(self.site, e, term)
    }

    fn values(&self, inputs: &[&[i64]]) -> Vec<i64> {
        self.operator.values(self.site, inputs)
    }
}

/// Makes a type that has [`Rows`] a primitive, of one input, or of `any` number of them.
macro_rules! linear_primitive {
    ($name:ident) => {
        linear_primitive!($name, Some(1),);
    };
    ($name:ident, any) => {
        linear_primitive!($name, None,);
    };
    ($name:ident, $inputs:expr, ) => {
        impl Primitive for $name {
            const INPUTS: Option<usize> = $inputs;

            fn check(&self, site: &Site<'_>, inputs: &[Interval]) -> Result<Checked, String> {
                Rows::check(self, site, inputs)
            }

            fn evaluate(&self, site: &Site<'_>, inputs: &[&[i64]]) -> Result<Vec<i64>, crate::execute::ExecuteError> {
                Ok(self.values(site, inputs))
            }

            fn constrain<B: zkslice_circuit::Builder>(
                &self,
                b: &mut B,
                site: &Site<'_>,
                inputs: &[&[B::Int]],
            ) -> Result<Vec<B::Int>, zkslice_circuit::CircuitError> {
                b.linear(&super::linear::Stated { operator: self, site }, inputs)
            }
        }
    };
}
pub(crate) use linear_primitive;

/// The interval of `Σ weights·x + bias`, refused where the sum of magnitudes could leave 2^62.
pub(crate) fn row_interval(weights: &[i64], bias: i64, input: Interval, padded: bool) -> Result<Interval, String> {
    let input = if padded { input.join(Interval::ZERO) } else { input };
    let magnitude =
        weights.iter().fold(i128::from(bias).abs(), |sum, &w| sum.saturating_add(i128::from(w).abs().saturating_mul(input.magnitude())));
    bounded(magnitude)?;
    Ok(weights.iter().fold(Interval::point(bias), |sum, &w| sum.plus(input.scaled(w))))
}

/// Refuses an accumulator whose magnitude, summed over absolute values, could leave 2^62.
pub(crate) fn bounded(magnitude: i128) -> Result<(), String> {
    if magnitude > limits::MAX_MAGNITUDE {
        return Err("its accumulator could exceed 2^62: use a narrower table or fewer input bits".into());
    }
    Ok(())
}
