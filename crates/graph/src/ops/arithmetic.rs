//! Products, quotients and roots of computed integers.

use serde::{Deserialize, Serialize};
use zkslice_circuit::{Builder, CircuitError, gadgets};

use super::linear::bounded;
use super::{Checked, Part, Primitive, Site, Stretch};
use crate::check::Interval;
use crate::execute::ExecuteError;
use crate::matrix::{exact_as_floats, multiply_matrices};

/// `x·y`, element by element.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Product;

impl Interval {
    /// Interval of a product.
    fn times(self, other: Interval) -> Interval {
        let ends = [
            self.min.saturating_mul(other.min),
            self.min.saturating_mul(other.max),
            self.max.saturating_mul(other.min),
            self.max.saturating_mul(other.max),
        ];
        ends.iter().fold(Interval { min: ends[0], max: ends[0] }, |all, &end| Interval { min: all.min.min(end), max: all.max.max(end) })
    }
}

impl Primitive for Product {
    const INPUTS: Option<usize> = Some(2);

    fn check(&self, site: &Site<'_>, inputs: &[Interval]) -> Result<Checked, String> {
        site.inputs.iter().try_for_each(|tensor| site.output_is(&tensor.shape))?;
        let interval = inputs[0].times(inputs[1]);
        bounded(interval.magnitude())?;
        Ok(Checked { interval, work: site.output.len() as u128 })
    }

    fn products(&self, site: &Site<'_>) -> usize {
        site.output.len()
    }

    fn part(&self, site: &Site<'_>, of: &Stretch) -> Option<Part> {
        Some(Part::element_wise(self.clone().into(), site, of))
    }

    fn evaluate(&self, _: &Site<'_>, inputs: &[&[i64]]) -> Result<Vec<i64>, ExecuteError> {
        Ok(inputs[0].iter().zip(inputs[1]).map(|(x, y)| x.wrapping_mul(*y)).collect())
    }

    fn constrain<B: Builder>(&self, b: &mut B, _: &Site<'_>, inputs: &[&[B::Int]]) -> Result<Vec<B::Int>, CircuitError> {
        inputs[0].iter().zip(inputs[1]).map(|(x, y)| gadgets::multiply(b, x, y)).collect()
    }
}

/// `[batch, m, k] × [batch, k, n]`, whatever axes the tensors' elements are named by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MatMul {
    /// Number of products.
    pub batch: usize,
    /// Rows of the left factors.
    pub m: usize,
    /// Columns of the left factors, rows of the right ones.
    pub k: usize,
    /// Columns of the right factors.
    pub n: usize,
}

impl MatMul {
    /// For each output the pairs of elements whose products it sums.
    fn pairs(&self, e: usize) -> impl Iterator<Item = (usize, usize)> + '_ {
        let (column, row, matrix) = (e % self.n, e / self.n % self.m, e / (self.n * self.m));
        (0..self.k).map(move |i| ((matrix * self.m + row) * self.k + i, (matrix * self.k + i) * self.n + column))
    }
}

impl Primitive for MatMul {
    const INPUTS: Option<usize> = Some(2);

    fn check(&self, site: &Site<'_>, inputs: &[Interval]) -> Result<Checked, String> {
        let size = |a: usize, b: usize| self.batch.checked_mul(a).and_then(|n| n.checked_mul(b));
        let lengths = [site.inputs[0].len(), site.inputs[1].len(), site.output.len()];
        if [size(self.m, self.k), size(self.k, self.n), size(self.m, self.n)] != lengths.map(Some) {
            return Err(format!("{} products of [{}, {}] and [{}, {}] do not fit its tensors", self.batch, self.m, self.k, self.k, self.n));
        }
        let product = inputs[0].times(inputs[1]);
        bounded(product.magnitude().saturating_mul(self.k as i128))?;
        let times = |bound: i128| bound * self.k as i128;
        let interval = Interval { min: times(product.min), max: times(product.max) };
        Ok(Checked { interval, work: (site.output.len() as u128).saturating_mul(self.k as u128) })
    }

    fn products(&self, site: &Site<'_>) -> usize {
        site.output.len() * self.k
    }

    /// Some of the products, or the same products of some rows or some columns.
    fn part(&self, _: &Site<'_>, of: &Stretch) -> Option<Part> {
        let MatMul { batch, m, k, n } = *self;
        let (left, right) = ([batch, m, k], [batch, k, n]);
        let Stretch { axis, range, .. } = of.under(&[batch, m, n])?;
        let (count, of_axis) = (range.len(), |shape: &[usize], axis| Stretch::along(shape, axis, range.clone()));
        let (op, inputs) = match axis {
            0 => (MatMul { batch: count, ..*self }, [of_axis(&left, 0), of_axis(&right, 0)]),
            1 => (MatMul { m: count, ..*self }, [of_axis(&left, 1), Stretch::whole(&right)]),
            _ => (MatMul { n: count, ..*self }, [Stretch::whole(&left), of_axis(&right, 2)]),
        };
        Some(Part { op: op.into(), inputs: inputs.into_iter().enumerate().collect() })
    }

    fn evaluate(&self, site: &Site<'_>, inputs: &[&[i64]]) -> Result<Vec<i64>, ExecuteError> {
        let mut output = vec![0; site.output.len()];
        let factors = inputs[0].chunks_exact(self.m * self.k).zip(inputs[1].chunks_exact(self.k * self.n));
        for ((left, right), output) in factors.zip(output.chunks_exact_mut(self.m * self.n)) {
            let mut put = |row: usize, column: usize, sum: i64| output[row * self.n + column] = sum;
            if exact_as_floats(left, right, self.k) {
                let right: Vec<f64> = right.iter().map(|&x| x as f64).collect();
                multiply_matrices(left, &right, self.n, |row, column, sum: f64| put(row, column, sum as i64));
            } else {
                multiply_matrices(left, right, self.n, put);
            }
        }
        Ok(output)
    }

    fn constrain<B: Builder>(&self, b: &mut B, site: &Site<'_>, inputs: &[&[B::Int]]) -> Result<Vec<B::Int>, CircuitError> {
        let mut outputs = Vec::with_capacity(site.output.len());
        for e in 0..site.output.len() {
            let products = self.pairs(e).map(|(x, y)| gadgets::multiply(b, &inputs[0][x], &inputs[1][y])).collect::<Result<Vec<_>, _>>()?;
            let terms: Vec<_> = products.iter().map(|product| (1, product)).collect();
            outputs.push(b.combine(&terms, 0)?);
        }
        Ok(outputs)
    }
}

/// How a quotient becomes an integer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Rounding {
    /// To the nearest, halves up.
    Nearest,
    /// Down.
    Down,
}

/// `factor·x / y`, rounded; refused unless y is no less than the least divisor, the quotient in `[least, least + 2^w)`, and the remainder
/// and what it lacks to the divisor (to twice the divisor where the quotient is the nearest) below `2^(limbs·w)`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Divide {
    /// What x is multiplied by: at least 1.
    pub factor: i64,
    /// How the quotient is rounded.
    pub rounding: Rounding,
    /// Least quotient.
    pub least: i64,
    /// Table lookups that a remainder takes: 1 to 3.
    pub limbs: u32,
    /// Least divisor: at least 1. A divisor that is rounded itself says little where it is small.
    pub least_divisor: i64,
}

impl Divide {
    fn division(&self) -> gadgets::Division {
        let Divide { factor, rounding, least, limbs, least_divisor } = *self;
        gadgets::Division { factor, nearest: rounding == Rounding::Nearest, least, limbs, least_divisor }
    }
}

impl Primitive for Divide {
    const INPUTS: Option<usize> = Some(2);

    fn check(&self, site: &Site<'_>, inputs: &[Interval]) -> Result<Checked, String> {
        site.inputs.iter().try_for_each(|tensor| site.output_is(&tensor.shape))?;
        limbs(self.limbs, site.table_bits)?;
        if self.factor < 1 || self.least_divisor < 1 {
            return Err(format!("factor {} or least divisor {} where at least 1 is needed", self.factor, self.least_divisor));
        }
        let quotient = Interval { min: self.least.into(), max: i128::from(self.least) + (1 << site.table_bits) - 1 };
        // Everything that the circuit's row is made of: twice the numerator, the divisor and a remainder; twice the quotient times the
        // divisor; and, where a number is only ever 0, what it is multiplied by.
        let [numerator, divisor] = [inputs[0].scaled(self.factor), inputs[1]].map(Interval::magnitude);
        let remainder = 1 << (self.limbs * site.table_bits);
        bounded(numerator.saturating_mul(2).saturating_add(divisor.saturating_mul(3)).saturating_add(remainder))?;
        bounded(quotient.magnitude().saturating_mul(divisor.max(1)).saturating_mul(2))?;
        bounded(i128::from(self.factor) * 4)?;
        bounded(divisor.saturating_add(i128::from(self.least_divisor) * 2))?;
        Ok(Checked { interval: quotient, work: site.output.len() as u128 })
    }

    fn products(&self, site: &Site<'_>) -> usize {
        site.output.len()
    }

    /// The quotient, the remainder, what it lacks to the divisor, and how far that is above the least.
    fn lookups(&self, site: &Site<'_>) -> usize {
        let wide = if self.least_divisor > 1 { 3 } else { 2 };
        site.output.len() * (1 + wide * self.limbs as usize)
    }

    fn part(&self, site: &Site<'_>, of: &Stretch) -> Option<Part> {
        Some(Part::element_wise(self.clone().into(), site, of))
    }

    fn evaluate(&self, site: &Site<'_>, inputs: &[&[i64]]) -> Result<Vec<i64>, ExecuteError> {
        let (w, division) = (site.table_bits, self.division());
        let (min, max) = (self.least, self.least + (1 << w) - 1);
        let divide = |(element, (&x, &y)): (usize, (&i64, &i64))| {
            let max_remainder = 1_i64 << (self.limbs * w);
            let fits = |(_, remainder, lack): &(i64, i64, i64)| *remainder.max(lack) < max_remainder;
            let above_least = self.least_divisor == 1 || y.saturating_sub(self.least_divisor) < max_remainder;
            let Some((value, ..)) = division.quotient(x, y).filter(fits).filter(|_| above_least) else {
                let (node, min) = (site.node.to_owned(), self.least_divisor);
                return Err(ExecuteError::Divisor { node, element, value: y, min, max: max_remainder });
            };
            if value < min || value > max {
                return Err(ExecuteError::Saturated { node: site.node.to_owned(), element, value, min, max });
            }
            Ok(value)
        };
        inputs[0].iter().zip(inputs[1]).enumerate().map(divide).collect()
    }

    fn constrain<B: Builder>(&self, b: &mut B, site: &Site<'_>, inputs: &[&[B::Int]]) -> Result<Vec<B::Int>, CircuitError> {
        let division = self.division();
        inputs[0].iter().zip(inputs[1]).map(|(x, y)| gadgets::divide(b, x, y, &division, site.table_bits)).collect()
    }
}

/// `y = ⌊√(factor·x)⌋`, refused unless x is not negative and `y − least`, `factor·x − y²` and `y² + 2y − factor·x` are in `[0, 2^w)`, as
/// they are for roots from `least` to `2^(w−1)`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sqrt {
    /// What x is multiplied by: at least 1.
    pub factor: i64,
    /// Least root: at least 0. A root of what is rounded itself says little where it is small.
    pub least: i64,
}

impl Sqrt {
    fn root(&self) -> gadgets::Root {
        gadgets::Root { factor: self.factor, least: self.least }
    }
}

impl Primitive for Sqrt {
    fn check(&self, site: &Site<'_>, inputs: &[Interval]) -> Result<Checked, String> {
        site.output_is(&site.inputs[0].shape)?;
        if self.factor < 1 || !(0..=gadgets::Root::MOST).contains(&self.least) {
            let most = gadgets::Root::MOST;
            return Err(format!("factor {} is below 1, or least root {} outside [0, {most}]", self.factor, self.least));
        }
        bounded(inputs[0].scaled(self.factor).magnitude().max(self.factor.into()).saturating_add(1 << (2 * site.table_bits + 1)))?;
        let least = i128::from(self.least);
        Ok(Checked { interval: Interval { min: least, max: least + (1 << site.table_bits) - 1 }, work: site.output.len() as u128 })
    }

    fn products(&self, site: &Site<'_>) -> usize {
        site.output.len()
    }

    /// The root above the least; how far its square is below x, and how far x is below the next square.
    fn lookups(&self, site: &Site<'_>) -> usize {
        3 * site.output.len()
    }

    fn part(&self, site: &Site<'_>, of: &Stretch) -> Option<Part> {
        Some(Part::element_wise(self.clone().into(), site, of))
    }

    fn evaluate(&self, site: &Site<'_>, inputs: &[&[i64]]) -> Result<Vec<i64>, ExecuteError> {
        let size = 1_i64 << site.table_bits;
        let (min, max) = (self.least, self.least + size - 1);
        let root = |(element, &x): (usize, &i64)| {
            let (value, above, below) = self.root().root(x).unwrap_or((-1, 0, 0));
            if !(min..=max).contains(&value) || above.max(below) >= size {
                return Err(ExecuteError::Saturated { node: site.node.to_owned(), element, value, min, max });
            }
            Ok(value)
        };
        inputs[0].iter().enumerate().map(root).collect()
    }

    fn constrain<B: Builder>(&self, b: &mut B, site: &Site<'_>, inputs: &[&[B::Int]]) -> Result<Vec<B::Int>, CircuitError> {
        let root = self.root();
        inputs[0].iter().map(|x| gadgets::sqrt(b, x, &root, site.table_bits)).collect()
    }
}

/// Refuses numbers of limbs that together are too wide.
pub(super) fn limbs(limbs: u32, w: u32) -> Result<(), String> {
    if !(1..=3).contains(&limbs) || limbs * w > 60 {
        return Err(format!("{limbs} limbs of {w} bits; 1 to 3, of 60 bits together, are possible"));
    }
    Ok(())
}
