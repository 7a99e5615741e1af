//! Functions of one number, by their tables.

use serde::{Deserialize, Serialize};
use zkslice_circuit::{Builder, CircuitError, gadgets};

use super::{Checked, Part, Primitive, Site, Stretch};
use crate::check::{Interval, limits};
use crate::execute::ExecuteError;
use crate::model::Function;

impl Function {
    /// Where its arguments lie.
    pub fn arguments(&self) -> (i64, i64) {
        (self.first, self.first.saturating_add(self.values.len() as i64 - 1))
    }

    /// Least and greatest value.
    pub fn range(&self) -> (i64, i64) {
        self.values.iter().fold((i64::MAX, i64::MIN), |(min, max), &value| (min.min(value), max.max(value)))
    }

    /// What circuits look up: arguments and values, packed.
    pub(crate) fn entries(&self) -> Vec<i64> {
        self.values.iter().zip(self.first..).map(|(value, argument)| argument + self.stride * value).collect()
    }

    /// Checks that a table of `w` bits can hold its values, and that circuits can pack its entries; gives where its values lie.
    pub(crate) fn check(&self, w: u32) -> Result<Interval, String> {
        if self.values.is_empty() || self.values.len() > 1 << limits::MAX_TABLE_BITS {
            return Err(format!("{} values; 1 to 2^{} are possible", self.values.len(), limits::MAX_TABLE_BITS));
        }
        let ((first, last), (min, max)) = (self.arguments(), self.range());
        if i128::from(max) - i128::from(min) >= 1 << w {
            return Err(format!("its values in [{min}, {max}] spread further than the range table's {w} bits"));
        }
        let farthest = first.unsigned_abs().max(last.unsigned_abs());
        let largest = min.unsigned_abs().max(max.unsigned_abs());
        let stride = u128::from(u64::try_from(self.stride).map_err(|_| format!("stride {} is negative", self.stride))?);
        if stride <= 2 * u128::from(farthest) || u128::from(farthest) + stride * (u128::from(largest) + (1 << w)) >= 1 << 61 {
            return Err(format!("stride {} does not fit arguments in [{first}, {last}] and values in [{min}, {max}]", self.stride));
        }
        Ok(Interval { min: min.into(), max: max.into() })
    }
}

/// `f(q)`, q being the argument divided by `2^shift` as [`super::Requant`] does; refused where f's table does not have q.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// Index of the function in [`crate::Graph::functions`].
    pub function: usize,
    /// Bits dropped: 0 or the range table's width.
    pub shift: u32,
}

impl Table {
    fn function<'a>(&self, site: &Site<'a>) -> &'a Function {
        &site.functions[self.function]
    }
}

impl Primitive for Table {
    fn check(&self, site: &Site<'_>, inputs: &[Interval]) -> Result<Checked, String> {
        site.output_is(&site.inputs[0].shape)?;
        if self.shift != site.table_bits && self.shift != 0 {
            return Err(format!("shift {} where 0 or the table's width {} is needed", self.shift, site.table_bits));
        }
        let function = site.functions.get(self.function).ok_or_else(|| format!("there is no function {}", self.function))?;
        let half = if self.shift == 0 { 0 } else { 1_i128 << (self.shift - 1) };
        let reach = [inputs[0].min, inputs[0].max].map(|x| (x.saturating_add(half) >> self.shift).abs());
        let (first, last) = function.arguments();
        let farthest = first.unsigned_abs().max(last.unsigned_abs());
        if reach[0].max(reach[1]).saturating_add(farthest.into()) >= function.stride.into() {
            return Err(format!("stride {} is too small for arguments up to {}", function.stride, reach[0].max(reach[1])));
        }
        let of_values = || {
            let (min, max) = function.range();
            Interval { min: min.into(), max: max.into() }
        };
        let interval = site.ranges.get(self.function).copied().unwrap_or_else(of_values);
        // A circuit states the table at each node.
        Ok(Checked { interval, work: (site.output.len() + function.values.len()) as u128 })
    }

    fn lookups(&self, site: &Site<'_>) -> usize {
        site.output.len() * if self.shift == 0 { 1 } else { 2 }
    }

    fn function(&self, site: &Site<'_>) -> Option<(usize, usize)> {
        Some((self.function, site.output.len()))
    }

    fn part(&self, site: &Site<'_>, of: &Stretch) -> Option<Part> {
        Some(Part::element_wise(self.clone().into(), site, of))
    }

    fn evaluate(&self, site: &Site<'_>, inputs: &[&[i64]]) -> Result<Vec<i64>, ExecuteError> {
        let function = Table::function(self, site);
        let (min, max) = function.arguments();
        let value = |(element, &x): (usize, &i64)| {
            let q = gadgets::requant(x, self.shift);
            if q < min || q > max {
                return Err(ExecuteError::Argument { node: site.node.to_owned(), element, value: q, min, max });
            }
            Ok(function.values[(q - min) as usize])
        };
        inputs[0].iter().enumerate().map(value).collect()
    }

    fn constrain<B: Builder>(&self, b: &mut B, site: &Site<'_>, inputs: &[&[B::Int]]) -> Result<Vec<B::Int>, CircuitError> {
        let function = Table::function(self, site);
        let table = gadgets::FunctionTable::new(b, function.first, &function.values, function.stride)?;
        inputs[0].iter().map(|x| gadgets::function(b, x, &table, self.shift, site.table_bits)).collect()
    }
}
