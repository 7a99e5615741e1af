//! Matrix product with a constant matrix.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::linear::{Rows, linear_primitive, row_interval};
use super::{Checked, Part, Primitive, Site, Stretch};
use crate::check::Interval;
use crate::matrix::{Columns, Number, Weight, exact_as_floats, multiply};
use crate::model::Tensor;

/// `[rows, k] × [k, n] + bias`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dense {
    /// Rows of the left factor (the product of all leading axes).
    pub rows: usize,
    /// Inner dimension.
    pub k: usize,
    /// Columns.
    pub n: usize,
    /// Weights by output: `[n, k]`.
    pub weights: Vec<i64>,
    /// One bias per column.
    pub bias: Vec<i64>,
}

impl Rows for Dense {
    fn check(&self, site: &Site<'_>, inputs: &[Interval]) -> Result<Checked, String> {
        let interval = interval(self, site.inputs[0], site.output, inputs[0])?;
        Ok(Checked { interval, work: (self.rows as u128).saturating_mul(self.k as u128).saturating_mul(self.n as u128) })
    }

    /// Some of the rows, or some of the columns.
    fn part(&self, _: &Site<'_>, of: &Stretch) -> Option<Part> {
        let Dense { rows, k, n, weights, bias } = self;
        let input = [*rows, *k];
        let Stretch { axis, range, .. } = of.under(&[*rows, *n])?;
        Some(if axis == 0 {
            let dense = Dense { rows: range.len(), ..self.clone() };
            Part::reading(dense, Stretch::along(&input, 0, range))
        } else {
            let weights = weights[range.start * k..range.end * k].to_vec();
            let dense = Dense { rows: *rows, k: *k, n: range.len(), weights, bias: bias[range].to_vec() };
            Part::reading(dense, Stretch::whole(&input))
        })
    }

    fn row(&self, _: &Site<'_>, e: usize, mut term: impl FnMut(usize, usize, i64)) -> i64 {
        let (row, column) = (e / self.n, e % self.n);
        for (i, weight) in self.weights[column * self.k..][..self.k].iter().enumerate() {
            term(0, row * self.k + i, *weight);
        }
        self.bias[column]
    }

    fn values(&self, _: &Site<'_>, inputs: &[&[i64]]) -> Vec<i64> {
        values(self, inputs[0])
    }
}

linear_primitive!(Dense);

fn interval(dense: &Dense, first: &Tensor, output: &Tensor, input: Interval) -> Result<Interval, String> {
    let fits = dense.k > 0
        && dense.rows.checked_mul(dense.k) == Some(first.len())
        && dense.rows.checked_mul(dense.n) == Some(output.len())
        && dense.n.checked_mul(dense.k) == Some(dense.weights.len())
        && dense.bias.len() == dense.n;
    if !fits {
        return Err(format!(
            "a matrix {}×{} with {} weights and {} biases does not take {:?} to {:?}",
            dense.k,
            dense.n,
            dense.weights.len(),
            dense.bias.len(),
            first.shape,
            output.shape
        ));
    }
    let mut joined = Interval::ZERO;
    for (index, (weights, &bias)) in dense.weights.chunks_exact(dense.k).zip(&dense.bias).enumerate() {
        let interval = row_interval(weights, bias, input, false)?;
        joined = if index == 0 { interval } else { joined.join(interval) };
    }
    Ok(joined)
}

fn values(dense: &Dense, input: &[i64]) -> Vec<i64> {
    let Dense { rows, k, n, weights, bias } = dense;
    let mut output = vec![0_i64; rows * n];
    let mut put = |column: usize, row: usize, sum: i64| output[row * n + column] = sum.wrapping_add(bias[column]);
    if *rows > 1 && exact_as_floats(weights, input, *k) {
        let input: Vec<f64> = input.iter().map(|&x| x as f64).collect();
        multiply_rows(weights, *k, &input, |column, row, sum: f64| put(column, row, sum as i64));
    } else {
        multiply_rows(weights, *k, input, put);
    }
    output
}

/// `[rows, k] × [k, n]` by weights `[n, k]`. Every sum goes to `put`, by its column and its row; its terms were added in their order.
pub fn multiply_rows<W: Weight<T>, T: Number>(weights: &[W], k: usize, input: &[T], put: impl FnMut(usize, usize, T)) {
    let fill = |range: Range<usize>, columns: &mut Columns<'_, T>| {
        for row in range {
            input[row * k..][..k].iter().enumerate().for_each(|(i, &x)| columns.set(i, row, x));
        }
    };
    multiply(weights, k, input.len() / k, fill, put);
}
