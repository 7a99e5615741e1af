//! Requantisation and ReLU.

use serde::{Deserialize, Serialize};
use zkslice_circuit::{Builder, CircuitError, gadgets};

use super::{Checked, Part, Primitive, Site, Stretch};
use crate::check::Interval;
use crate::execute::ExecuteError;

/// `q = ⌊(x + 2^(shift−1)) / 2^shift⌋`, refused outside `[−2^(w−1), 2^(w−1))`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requant {
    /// Bits dropped; equal to the table's width.
    pub shift: u32,
}

impl Primitive for Requant {
    fn check(&self, site: &Site<'_>, _: &[Interval]) -> Result<Checked, String> {
        site.output_is(&site.inputs[0].shape)?;
        if self.shift != site.table_bits {
            return Err(format!("shift {} where the table's width {} is needed", self.shift, site.table_bits));
        }
        let limit = 1_i128 << site.table_bits;
        Ok(Checked { interval: Interval { min: -limit / 2, max: limit / 2 - 1 }, work: site.output.len() as u128 })
    }

    fn lookups(&self, site: &Site<'_>) -> usize {
        2 * site.output.len()
    }

    fn part(&self, site: &Site<'_>, of: &Stretch) -> Option<Part> {
        Some(Part::element_wise(self.clone().into(), site, of))
    }

    fn evaluate(&self, site: &Site<'_>, inputs: &[&[i64]]) -> Result<Vec<i64>, ExecuteError> {
        let limit = 1_i64 << site.table_bits;
        within(site, inputs[0], self.shift, -limit / 2, limit / 2 - 1)
    }

    fn constrain<B: Builder>(&self, b: &mut B, site: &Site<'_>, inputs: &[&[B::Int]]) -> Result<Vec<B::Int>, CircuitError> {
        inputs[0].iter().map(|acc| gadgets::requantise(b, acc, self.shift, site.table_bits)).collect()
    }
}

/// `max(q, 0)` with q as in [`Requant`] (q = x when shift is 0), refused unless `|q| < 2^w`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Relu {
    /// Bits dropped: 0 or the table's width.
    pub shift: u32,
}

impl Primitive for Relu {
    fn check(&self, site: &Site<'_>, _: &[Interval]) -> Result<Checked, String> {
        site.output_is(&site.inputs[0].shape)?;
        if self.shift != site.table_bits && self.shift != 0 {
            return Err(format!("shift {} where 0 or the table's width {} is needed", self.shift, site.table_bits));
        }
        Ok(Checked { interval: Interval { min: 0, max: (1_i128 << site.table_bits) - 1 }, work: site.output.len() as u128 })
    }

    fn products(&self, site: &Site<'_>) -> usize {
        site.output.len()
    }

    fn lookups(&self, site: &Site<'_>) -> usize {
        site.output.len() * if self.shift == 0 { 1 } else { 2 }
    }

    fn part(&self, site: &Site<'_>, of: &Stretch) -> Option<Part> {
        Some(Part::element_wise(self.clone().into(), site, of))
    }

    fn evaluate(&self, site: &Site<'_>, inputs: &[&[i64]]) -> Result<Vec<i64>, ExecuteError> {
        let limit = 1_i64 << site.table_bits;
        let mut output = within(site, inputs[0], self.shift, 1 - limit, limit - 1)?;
        output.iter_mut().for_each(|value| *value = (*value).max(0));
        Ok(output)
    }

    fn constrain<B: Builder>(&self, b: &mut B, site: &Site<'_>, inputs: &[&[B::Int]]) -> Result<Vec<B::Int>, CircuitError> {
        inputs[0].iter().map(|acc| gadgets::relu(b, acc, self.shift, site.table_bits)).collect()
    }
}

/// Requantises, and refuses what leaves `[min, max]`.
fn within(site: &Site<'_>, input: &[i64], shift: u32, min: i64, max: i64) -> Result<Vec<i64>, ExecuteError> {
    let check = |(element, &x): (usize, &i64)| {
        let value = gadgets::requant(x, shift);
        if value < min || value > max {
            return Err(ExecuteError::Saturated { node: site.node.to_owned(), element, value, min, max });
        }
        Ok(value)
    };
    input.iter().enumerate().map(check).collect()
}
