//! Operators that compare: bounds and the largest of a window.

use serde::{Deserialize, Serialize};
use zkslice_circuit::{Builder, CircuitError, gadgets};

use super::arithmetic::limbs;
use super::linear::bounded;
use super::window::Window;
use super::{Checked, Part, Primitive, Site, Stretch};
use crate::check::Interval;
use crate::execute::ExecuteError;

/// A difference of compared values is shown to be below two to this power.
const MAX_COMPARED_BITS: u32 = 60;

/// `min(max(x, min), max)`, refused unless x is less than `2^(limbs·w)` away from either bound: what the circuit compares.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clip {
    /// Least value, if there is one.
    pub min: Option<i64>,
    /// Greatest value, if there is one.
    pub max: Option<i64>,
    /// Table lookups a comparison takes: 1 to 3.
    pub limbs: u32,
}

impl Primitive for Clip {
    fn check(&self, site: &Site<'_>, inputs: &[Interval]) -> Result<Checked, String> {
        let Clip { min, max, limbs } = self;
        site.output_is(&site.inputs[0].shape)?;
        let (least, most) = (i128::from(min.unwrap_or(i64::MIN)), i128::from(max.unwrap_or(i64::MAX)));
        if !(1..=3).contains(limbs) || limbs * site.table_bits > MAX_COMPARED_BITS {
            return Err(format!("comparisons of {limbs} limbs of {} bits are not possible", site.table_bits));
        }
        if min.is_none() && max.is_none() {
            return Err("it has no bound".into());
        }
        if least > most {
            return Err(format!("bounds {min:?} and {max:?} are not in order"));
        }
        for bound in [min, max].into_iter().flatten() {
            bounded(i128::from(*bound).abs())?;
        }
        bounded(inputs[0].magnitude())?;
        let interval = Interval { min: inputs[0].min.clamp(least, most), max: inputs[0].max.clamp(least, most) };
        Ok(Checked { interval, work: 2 * site.output.len() as u128 })
    }

    /// One comparison per bound.
    fn products(&self, site: &Site<'_>) -> usize {
        site.output.len() * [self.min, self.max].into_iter().flatten().count()
    }

    fn lookups(&self, site: &Site<'_>) -> usize {
        self.products(site) * self.limbs as usize
    }

    fn part(&self, site: &Site<'_>, of: &Stretch) -> Option<Part> {
        Some(Part::element_wise(self.clone().into(), site, of))
    }

    fn evaluate(&self, site: &Site<'_>, inputs: &[&[i64]]) -> Result<Vec<i64>, ExecuteError> {
        let far = farthest(site, self.limbs);
        let clip = |(element, &x): (usize, &i64)| {
            let mut value = x;
            for (bound, is_least) in [(self.min, true), (self.max, false)] {
                let Some(bound) = bound else {
                    continue;
                };
                let difference = value.saturating_sub(bound).saturating_abs();
                if difference > far {
                    return Err(ExecuteError::Apart { node: site.node.to_owned(), element, difference, max: far });
                }
                value = if is_least { value.max(bound) } else { value.min(bound) };
            }
            Ok(value)
        };
        inputs[0].iter().enumerate().map(clip).collect()
    }

    fn constrain<B: Builder>(&self, b: &mut B, site: &Site<'_>, inputs: &[&[B::Int]]) -> Result<Vec<B::Int>, CircuitError> {
        inputs[0].iter().map(|x| gadgets::clip(b, x, self.min, self.max, self.limbs, site.table_bits)).collect()
    }
}

/// Largest value of each window; padding never wins. Taps are compared in row-major order, each with the largest before it, and
/// refused unless they are less than `2^(limbs·w)` apart: what the circuit compares.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MaxPool {
    /// The windows.
    pub window: Window,
    /// Table lookups a comparison takes: 1 or 2.
    pub limbs: u32,
}

impl Primitive for MaxPool {
    fn check(&self, site: &Site<'_>, inputs: &[Interval]) -> Result<Checked, String> {
        self.window.check(site.inputs[0], site.output, self.window.input[0], true)?;
        if !(1..=2).contains(&self.limbs) {
            return Err(format!("{} limbs where 1 or 2 are possible", self.limbs));
        }
        Ok(Checked { interval: inputs[0], work: (site.output.len() as u128).saturating_mul(self.window.work(1)) })
    }

    /// One comparison per tap, but for the first of each window.
    fn products(&self, _: &Site<'_>) -> usize {
        let Window { input, output, .. } = &self.window;
        input[0] * (self.window.all_taps() - output[0] * output[1])
    }

    fn lookups(&self, site: &Site<'_>) -> usize {
        self.products(site) * self.limbs as usize
    }

    fn part(&self, site: &Site<'_>, of: &Stretch) -> Option<Part> {
        let (window, input) = self.window.part(site.inputs[0], of)?;
        Some(Part::reading(MaxPool { window, limbs: self.limbs }, input))
    }

    fn evaluate(&self, site: &Site<'_>, inputs: &[&[i64]]) -> Result<Vec<i64>, ExecuteError> {
        let max = farthest(site, self.limbs);
        let check = |(element, (difference, most)): (usize, (i64, i64))| {
            if difference > max {
                return Err(ExecuteError::Apart { node: site.node.to_owned(), element, difference, max });
            }
            Ok(most)
        };
        max_pool(&self.window, inputs[0]).into_iter().enumerate().map(check).collect()
    }

    fn constrain<B: Builder>(&self, b: &mut B, site: &Site<'_>, inputs: &[&[B::Int]]) -> Result<Vec<B::Int>, CircuitError> {
        let [channels, height, width] = self.window.input;
        let [out_height, out_width] = self.window.output;
        let mut outputs = Vec::with_capacity(channels * out_height * out_width);
        for (channel, y, x) in (0..channels).flat_map(|c| (0..out_height).flat_map(move |y| (0..out_width).map(move |x| (c, y, x)))) {
            let mut taps = self.window.taps(y, x).map(|(_, _, row, column)| &inputs[0][(channel * height + row) * width + column]);
            let start = taps.next().cloned().ok_or_else(|| CircuitError::Unsupported {
                gadget: "max pool".into(),
                reason: "a window lies wholly in the padding".into(),
            })?;
            outputs.push(taps.try_fold(start, |best, tap| gadgets::max(b, &best, tap, self.limbs, site.table_bits))?);
        }
        Ok(outputs)
    }
}

/// The larger of two, element by element; refused unless they are less than `2^(limbs·w)` apart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Maximum {
    /// Table lookups a comparison takes: 1 to 3.
    pub limbs: u32,
}

impl Primitive for Maximum {
    const INPUTS: Option<usize> = Some(2);

    fn check(&self, site: &Site<'_>, inputs: &[Interval]) -> Result<Checked, String> {
        site.inputs.iter().try_for_each(|tensor| site.output_is(&tensor.shape))?;
        limbs(self.limbs, site.table_bits)?;
        bounded(inputs[0].magnitude().saturating_add(inputs[1].magnitude()).saturating_mul(2))?;
        let interval = Interval { min: inputs[0].min.max(inputs[1].min), max: inputs[0].max.max(inputs[1].max) };
        Ok(Checked { interval, work: site.output.len() as u128 })
    }

    fn products(&self, site: &Site<'_>) -> usize {
        site.output.len()
    }

    fn lookups(&self, site: &Site<'_>) -> usize {
        self.products(site) * self.limbs as usize
    }

    fn part(&self, site: &Site<'_>, of: &Stretch) -> Option<Part> {
        Some(Part::element_wise(self.clone().into(), site, of))
    }

    fn evaluate(&self, site: &Site<'_>, inputs: &[&[i64]]) -> Result<Vec<i64>, ExecuteError> {
        let max = farthest(site, self.limbs);
        let larger = |(element, (&x, &y)): (usize, (&i64, &i64))| {
            let difference = x.saturating_sub(y).saturating_abs();
            if difference > max {
                return Err(ExecuteError::Apart { node: site.node.to_owned(), element, difference, max });
            }
            Ok(x.max(y))
        };
        inputs[0].iter().zip(inputs[1]).enumerate().map(larger).collect()
    }

    fn constrain<B: Builder>(&self, b: &mut B, site: &Site<'_>, inputs: &[&[B::Int]]) -> Result<Vec<B::Int>, CircuitError> {
        inputs[0].iter().zip(inputs[1]).map(|(x, y)| gadgets::max(b, x, y, self.limbs, site.table_bits)).collect()
    }
}

/// 1 where `x ≥ 0`, else 0; refused unless x is in `[−2^(limbs·w), 2^(limbs·w))`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Table lookups a comparison takes: 1 to 3.
    pub limbs: u32,
}

impl Primitive for Step {
    fn check(&self, site: &Site<'_>, inputs: &[Interval]) -> Result<Checked, String> {
        site.output_is(&site.inputs[0].shape)?;
        limbs(self.limbs, site.table_bits)?;
        bounded(inputs[0].magnitude().saturating_mul(3).saturating_add(1))?;
        Ok(Checked { interval: Interval { min: 0, max: 1 }, work: site.output.len() as u128 })
    }

    /// That it is a bit, and the bit times x.
    fn products(&self, site: &Site<'_>) -> usize {
        2 * site.output.len()
    }

    fn lookups(&self, site: &Site<'_>) -> usize {
        site.output.len() * self.limbs as usize
    }

    fn part(&self, site: &Site<'_>, of: &Stretch) -> Option<Part> {
        Some(Part::element_wise(self.clone().into(), site, of))
    }

    fn evaluate(&self, site: &Site<'_>, inputs: &[&[i64]]) -> Result<Vec<i64>, ExecuteError> {
        let max = farthest(site, self.limbs);
        let step = |(element, &x): (usize, &i64)| {
            if x > max || x < -max - 1 {
                return Err(ExecuteError::Apart { node: site.node.to_owned(), element, difference: x.saturating_abs(), max });
            }
            Ok(i64::from(x >= 0))
        };
        inputs[0].iter().enumerate().map(step).collect()
    }

    fn constrain<B: Builder>(&self, b: &mut B, site: &Site<'_>, inputs: &[&[B::Int]]) -> Result<Vec<B::Int>, CircuitError> {
        inputs[0].iter().map(|x| gadgets::step(b, x, self.limbs, site.table_bits)).collect()
    }
}

/// `out[e][i]` is 1 where `x_e = i`, else 0; refused unless x is in `[0, count)`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OneHot {
    /// Number of values.
    pub count: usize,
}

impl Primitive for OneHot {
    fn check(&self, site: &Site<'_>, inputs: &[Interval]) -> Result<Checked, String> {
        let mut shape = site.inputs[0].shape.clone();
        shape.push(self.count);
        site.output_is(&shape)?;
        // The bits' places are summed.
        bounded(inputs[0].magnitude().saturating_add((self.count as i128).saturating_mul(self.count as i128)))?;
        Ok(Checked { interval: Interval { min: 0, max: 1 }, work: site.output.len() as u128 })
    }

    /// That each is a bit; that one of them is set; that it stands at x.
    fn products(&self, site: &Site<'_>) -> usize {
        site.output.len() + 2 * site.inputs[0].len()
    }

    fn part(&self, site: &Site<'_>, of: &Stretch) -> Option<Part> {
        // The bits of one element stand together.
        let shape = &site.inputs[0].shape;
        (of.axis < shape.len()).then(|| Part::reading(self.clone(), Stretch::along(shape, of.axis, of.range.clone())))
    }

    fn evaluate(&self, site: &Site<'_>, inputs: &[&[i64]]) -> Result<Vec<i64>, ExecuteError> {
        let mut output = Vec::with_capacity(site.output.len());
        for (element, &value) in inputs[0].iter().enumerate() {
            let max = self.count as i64 - 1;
            if value < 0 || value > max {
                return Err(ExecuteError::Argument { node: site.node.to_owned(), element, value, min: 0, max });
            }
            output.extend((0..=max).map(|i| i64::from(i == value)));
        }
        Ok(output)
    }

    fn constrain<B: Builder>(&self, b: &mut B, site: &Site<'_>, inputs: &[&[B::Int]]) -> Result<Vec<B::Int>, CircuitError> {
        let mut output = Vec::with_capacity(site.output.len());
        for x in inputs[0] {
            output.extend(gadgets::one_hot(b, x, self.count)?);
        }
        Ok(output)
    }
}

/// How far compared values may be apart.
fn farthest(site: &Site<'_>, limbs: u32) -> i64 {
    (1 << (site.table_bits * limbs)) - 1
}

/// For each window the largest distance between a tap and the largest tap before it, and the largest value.
fn max_pool(window: &Window, input: &[i64]) -> Vec<(i64, i64)> {
    let [channels, height, width] = window.input;
    let [out_height, out_width] = window.output;
    let mut output = Vec::with_capacity(channels * out_height * out_width);
    for plane in input.chunks_exact(height * width) {
        for y in 0..out_height {
            for x in 0..out_width {
                let mut taps = window.taps(y, x).map(|(_, _, row, column)| plane[row * width + column]);
                let first = taps.next().unwrap_or(i64::MIN);
                let step =
                    |(distance, most): (i64, i64), value: i64| (distance.max(most.saturating_sub(value).saturating_abs()), most.max(value));
                output.push(taps.fold((0, first), step));
            }
        }
    }
    output
}
