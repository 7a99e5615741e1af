//! Weighted element-wise sums.

use serde::{Deserialize, Serialize};

use super::linear::{Rows, bounded, linear_primitive};
use super::{Checked, Part, Primitive, Site, Stretch};
use crate::check::Interval;

/// `out[e] = Σ_k coefficients[k][c(e)]·in_k[e] + bias[c(e)]`, c(e) being e's index along `axis`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Affine {
    /// The axis along which coefficients vary.
    pub axis: usize,
    /// For each input its factors: one for all, or one an index of the axis.
    pub coefficients: Vec<Vec<i64>>,
    /// One for all, or one an index of the axis.
    pub bias: Vec<i64>,
}

impl Rows for Affine {
    fn check(&self, site: &Site<'_>, inputs: &[Interval]) -> Result<Checked, String> {
        for tensor in &site.inputs {
            site.output_is(&tensor.shape)?;
        }
        let work = (site.output.len() as u128).saturating_mul(inputs.len() as u128);
        Ok(Checked { interval: interval(self, &site.output.shape, inputs)?, work })
    }

    fn part(&self, site: &Site<'_>, of: &Stretch) -> Option<Part> {
        let of_list = |list: &Vec<i64>| {
            if list.len() > 1 && of.axis == self.axis { list[of.range.clone()].to_vec() } else { list.clone() }
        };
        let affine = Affine { axis: self.axis, coefficients: self.coefficients.iter().map(of_list).collect(), bias: of_list(&self.bias) };
        Some(Part::element_wise(affine.into(), site, of))
    }

    fn row(&self, site: &Site<'_>, e: usize, mut term: impl FnMut(usize, usize, i64)) -> i64 {
        let shape = &site.output.shape;
        let inner: usize = shape[self.axis + 1..].iter().product();
        let channel = e / inner % shape[self.axis];
        for (input, coefficients) in self.coefficients.iter().enumerate() {
            term(input, e, pick(coefficients, channel));
        }
        pick(&self.bias, channel)
    }

    fn values(&self, site: &Site<'_>, inputs: &[&[i64]]) -> Vec<i64> {
        combine(self, &site.output.shape, inputs)
    }
}

linear_primitive!(Affine, any);

/// The one that stands for all, or that of the channel.
fn pick(list: &[i64], channel: usize) -> i64 {
    if list.len() == 1 { list[0] } else { list[channel] }
}

fn interval(affine: &Affine, shape: &[usize], inputs: &[Interval]) -> Result<Interval, String> {
    let Some(&length) = shape.get(affine.axis) else {
        return Err(format!("there is no axis {}", affine.axis));
    };
    if affine.coefficients.len() != inputs.len() {
        return Err(format!("{} lists of coefficients for {} inputs", affine.coefficients.len(), inputs.len()));
    }
    for list in affine.coefficients.iter().chain([&affine.bias]) {
        if list.len() != 1 && list.len() != length {
            return Err(format!("{} coefficients where 1 or {length} are needed", list.len()));
        }
    }
    // Factors for all elements are summed once; where there are no others, one element stands for all.
    let terms = affine.coefficients.iter().zip(inputs.iter().copied()).chain([(&affine.bias, Interval::point(1))]);
    let (common, varying): (Vec<_>, Vec<_>) = terms.partition(|(list, _)| list.len() == 1);
    let add = |(magnitude, sum): (i128, Interval), factor: i64, input: Interval| {
        let scaled = input.scaled(factor);
        (magnitude.saturating_add(scaled.magnitude()), sum.plus(scaled))
    };
    let base = common.iter().fold((0, Interval::ZERO), |sum, (list, input)| add(sum, list[0], *input));
    let mut joined = None;
    for channel in 0..if varying.is_empty() { 1 } else { length } {
        let (magnitude, sum) = varying.iter().fold(base, |sum, (list, input)| add(sum, list[channel], *input));
        bounded(magnitude)?;
        joined = Some(joined.map_or(sum, |other: Interval| other.join(sum)));
    }
    joined.ok_or_else(|| "it has no element".into())
}

fn combine(affine: &Affine, shape: &[usize], inputs: &[&[i64]]) -> Vec<i64> {
    let length = shape[affine.axis];
    let inner: usize = shape[affine.axis + 1..].iter().product();
    let mut output = vec![0_i64; shape.iter().product()];
    for (block, chunk) in output.chunks_exact_mut(inner).enumerate() {
        let channel = block % length;
        chunk.fill(pick(&affine.bias, channel));
        for (coefficients, input) in affine.coefficients.iter().zip(inputs) {
            let coefficient = pick(coefficients, channel);
            for (sum, &x) in chunk.iter_mut().zip(&input[block * inner..(block + 1) * inner]) {
                *sum = sum.wrapping_add(coefficient.wrapping_mul(x));
            }
        }
    }
    output
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Factors for all elements and factors for one are summed apart; what comes out is what a walk over elements gives.
    #[test]
    fn affine_intervals_are_those_of_their_elements() {
        let inputs = [Interval { min: -3, max: 5 }, Interval { min: 0, max: 7 }];
        for (first, second, bias) in [
            (vec![2], vec![-1], vec![10]),
            (vec![2, -4, 0], vec![-1], vec![10]),
            (vec![2], vec![3, 0, -3], vec![1, -2, 3]),
            (vec![1, 2, 3], vec![-3, -2, -1], vec![0, 50, -50]),
        ] {
            let element = |c: usize| {
                let terms = inputs[0].scaled(pick(&first, c)).plus(inputs[1].scaled(pick(&second, c)));
                terms.plus(Interval::point(pick(&bias, c)))
            };
            let walked = element(0).join(element(1)).join(element(2));
            let affine = Affine { axis: 1, coefficients: vec![first.clone(), second.clone()], bias: bias.clone() };
            assert_eq!(interval(&affine, &[1, 3], &inputs), Ok(walked));
        }
        let edge = |coefficient: i64| {
            let affine = Affine { axis: 1, coefficients: vec![vec![1], vec![0, coefficient]], bias: vec![-1] };
            interval(&affine, &[1, 2], &[Interval { min: -1, max: 0 }, Interval { min: -1, max: 1 }])
        };
        assert!(edge((1 << 62) - 3).is_ok() && edge((1 << 62) - 2).is_err() && edge(i64::MIN).is_err());
    }
}
