//! Integers that no input decides.

use serde::{Deserialize, Serialize};
use zkslice_circuit::{Builder, CircuitError};

use super::linear::bounded;
use super::view::view;
use super::{Checked, Part, Primitive, Site, Stretch, View};
use crate::check::Interval;
use crate::execute::ExecuteError;

/// One integer for all elements, or one per element.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Constant {
    /// The integers.
    pub values: Vec<i64>,
}

impl Constant {
    fn spread(&self, site: &Site<'_>) -> Vec<i64> {
        if let [value] = self.values[..] { vec![value; site.output.len()] } else { self.values.clone() }
    }
}

impl Primitive for Constant {
    const INPUTS: Option<usize> = Some(0);

    fn check(&self, site: &Site<'_>, _: &[Interval]) -> Result<Checked, String> {
        if self.values.len() != 1 && self.values.len() != site.output.len() {
            return Err(format!("{} integers where 1 or {} are needed", self.values.len(), site.output.len()));
        }
        let intervals = self.values.iter().map(|&value| Interval::point(value));
        let interval = intervals.reduce(Interval::join).ok_or("it has no element")?;
        bounded(interval.magnitude())?;
        Ok(Checked { interval, work: site.output.len() as u128 })
    }

    fn part(&self, _: &Site<'_>, of: &Stretch) -> Option<Part> {
        let View { dims, strides, first } = of.view();
        let values = if self.values.len() == 1 { self.values.clone() } else { view(&dims, &strides, first, &self.values) };
        Some(Part { op: Constant { values }.into(), inputs: Vec::new() })
    }

    fn evaluate(&self, site: &Site<'_>, _: &[&[i64]]) -> Result<Vec<i64>, ExecuteError> {
        Ok(self.spread(site))
    }

    fn constrain<B: Builder>(&self, b: &mut B, site: &Site<'_>, _: &[&[B::Int]]) -> Result<Vec<B::Int>, CircuitError> {
        Ok(self.spread(site).into_iter().map(|value| b.constant(value)).collect())
    }
}
