//! Linear operators: each output is a constant and a weighted sum of input elements, and costs no row.

use zkslice_circuit::Linear;

use super::{Checked, Part, Site, Stretch};
use crate::check::{Interval, limits};

/// A linear operator, stated once: evaluation and constraints follow from its rows.
pub(crate) trait Rows: Sync {
    /// See [`super::Primitive::check`].
    fn check(&self, site: &Site<'_>, inputs: &[Interval]) -> Result<Checked, String>;

    /// See [`super::Primitive::part`].
    fn part(&self, site: &Site<'_>, of: &Stretch) -> Option<Part>;

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

            fn part(&self, site: &Site<'_>, of: &super::Stretch) -> Option<super::Part> {
                Rows::part(self, site, of)
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
    if magnitude >= limits::MAX_MAGNITUDE {
        return Err("its accumulator could exceed 2^62: use a narrower table or fewer input bits".into());
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::model::Tensor;
    use crate::ops::{Affine, Conv, Dense, SumPool, Window};

    /// Numbers without a pattern.
    fn numbers(count: usize, seed: u64) -> Vec<i64> {
        (0..count as u64).map(|i| ((i + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15 ^ seed) >> 54) as i64 - 512).collect()
    }

    fn rows_are_values(operator: &impl Rows, inputs: &[&[usize]], output: &[usize]) {
        let tensor = |shape: &[usize]| Tensor { name: String::new(), shape: shape.to_vec() };
        let (tensors, output): (Vec<Tensor>, Tensor) = (inputs.iter().map(|shape| tensor(shape)).collect(), tensor(output));
        let site = Site { node: "", table_bits: 12, inputs: tensors.iter().collect(), output: &output, functions: &[], ranges: &[] };
        operator.check(&site, &vec![Interval { min: -512, max: 511 }; inputs.len()]).unwrap();
        let data: Vec<Vec<i64>> = tensors.iter().zip(7..).map(|(tensor, seed)| numbers(tensor.len(), seed)).collect();
        let data: Vec<&[i64]> = data.iter().map(Vec::as_slice).collect();
        let by_rows = (0..output.len()).map(|e| {
            let mut sum = 0;
            let constant = operator.row(&site, e, |input, element, weight| sum += weight * data[input][element]);
            sum + constant
        });
        assert_eq!(by_rows.collect::<Vec<_>>(), operator.values(&site, &data));
    }

    /// What constraints say is what evaluation computes, for kernels with strides, dilations, pads, groups, and several rows.
    #[test]
    fn rows_and_values_are_the_same() {
        for (dilation, stride, pad) in [(1, 1, 0), (2, 1, 2), (1, 2, 1), (3, 2, 3)] {
            let size = |input: usize| (input + 2 * pad - 2 * dilation - 1) / stride + 1;
            let window = Window {
                input: [4, 9, 7],
                output: [size(9), size(7)],
                kernel: [3, 3],
                strides: [stride; 2],
                dilations: [dilation; 2],
                pads: [pad; 2],
            };
            let [height, width] = window.output;
            for groups in [1, 2, 4] {
                let conv = Conv { window: window.clone(), groups, weights: numbers(8 * 4 / groups * 9, 1), bias: numbers(8, 2) };
                rows_are_values(&conv, &[&[1, 4, 9, 7]], &[1, 8, height, width]);
            }
            for multipliers in [Vec::new(), numbers(height * width, 3)] {
                rows_are_values(&SumPool { window: window.clone(), multipliers }, &[&[1, 4, 9, 7]], &[1, 4, height, width]);
            }
        }
        let dense = Dense { rows: 3, k: 5, n: 4, weights: numbers(20, 4), bias: numbers(4, 5) };
        rows_are_values(&dense, &[&[3, 5]], &[3, 4]);
        let affine = Affine { axis: 1, coefficients: vec![numbers(3, 6), numbers(1, 8)], bias: numbers(3, 9) };
        rows_are_values(&affine, &[&[2, 3, 4], &[2, 3, 4]], &[2, 3, 4]);
    }
}
