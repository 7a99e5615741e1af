//! Sums over windows.

use serde::{Deserialize, Serialize};

use super::linear::{Rows, bounded, linear_primitive};
use super::window::Window;
use super::{Checked, Part, Primitive, Site, Stretch};
use crate::check::Interval;

/// Window sums of each channel, times a constant for each output position.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SumPool {
    /// Geometry.
    pub window: Window,
    /// One factor an output position (row-major), or empty for all ones; they make up for windows cut short by padding.
    pub multipliers: Vec<i64>,
}

impl SumPool {
    fn multiplier(&self, y: usize, x: usize) -> i64 {
        self.multipliers.get(y * self.window.output[1] + x).copied().unwrap_or(1)
    }
}

impl Rows for SumPool {
    fn check(&self, site: &Site<'_>, inputs: &[Interval]) -> Result<Checked, String> {
        self.window.check(site.inputs[0], site.output, self.window.input[0], true)?;
        Ok(Checked { interval: interval(self, inputs[0])?, work: (site.output.len() as u128).saturating_mul(self.window.work(1)) })
    }

    fn part(&self, site: &Site<'_>, of: &Stretch) -> Option<Part> {
        let (window, input) = self.window.part(site.inputs[0], of)?;
        let [height, width] = self.window.output;
        let rows = match of.under(&[self.window.input[0], height, width])? {
            Stretch { axis: 1, range, .. } => range,
            _ => 0..height,
        };
        let multipliers = self.multipliers.get(rows.start * width..rows.end * width).unwrap_or_default().to_vec();
        Some(Part::reading(SumPool { window, multipliers }, input))
    }

    fn row(&self, _: &Site<'_>, e: usize, mut term: impl FnMut(usize, usize, i64)) -> i64 {
        let [_, height, width] = self.window.input;
        let [out_height, out_width] = self.window.output;
        let (x, y, channel) = (e % out_width, e / out_width % out_height, e / (out_width * out_height));
        for (_, _, row, column) in self.window.taps(y, x) {
            term(0, (channel * height + row) * width + column, self.multiplier(y, x));
        }
        0
    }

    fn values(&self, _: &Site<'_>, inputs: &[&[i64]]) -> Vec<i64> {
        sum_pool(self, inputs[0])
    }
}

linear_primitive!(SumPool);

fn interval(pool: &SumPool, input: Interval) -> Result<Interval, String> {
    let window = &pool.window;
    if !pool.multipliers.is_empty() && pool.multipliers.len() != window.output[0] * window.output[1] {
        return Err(format!("{} multipliers for {:?} output positions", pool.multipliers.len(), window.output));
    }
    let taps = (window.kernel[0] * window.kernel[1]) as i64;
    let sum = input.join(Interval::ZERO).scaled(taps);
    bounded(sum.magnitude())?;
    let mut joined = if pool.multipliers.is_empty() { sum } else { Interval::ZERO };
    for &multiplier in &pool.multipliers {
        let scaled = sum.scaled(multiplier);
        bounded(scaled.magnitude())?;
        joined = joined.join(scaled);
    }
    Ok(joined)
}

fn sum_pool(pool: &SumPool, input: &[i64]) -> Vec<i64> {
    let window = &pool.window;
    let [channels, height, width] = window.input;
    let [out_height, out_width] = window.output;
    let mut output = Vec::with_capacity(channels * out_height * out_width);
    for plane in input.chunks_exact(height * width) {
        for y in 0..out_height {
            for x in 0..out_width {
                let sum = window.taps(y, x).fold(0_i64, |sum, (_, _, row, column)| sum.wrapping_add(plane[row * width + column]));
                output.push(sum.wrapping_mul(pool.multiplier(y, x)));
            }
        }
    }
    output
}
