//! Convolution with constant weights and bias.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::linear::{Rows, linear_primitive, row_interval};
use super::window::{Window, inside};
use super::{Checked, Part, Primitive, Site, Stretch};
use crate::check::Interval;
use crate::matrix::{Columns, Number, Weight, exact_as_floats, multiply};

/// A grouped convolution. Output `[1, weights.len() / (in_per_group·kh·kw), oh, ow]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conv {
    /// Geometry.
    pub window: Window,
    /// Number of groups.
    pub groups: usize,
    /// Weights `[out channels, in channels / groups, kh, kw]`.
    pub weights: Vec<i64>,
    /// One bias per output channel, at the accumulator's scale.
    pub bias: Vec<i64>,
}

impl Conv {
    /// Input channels that one output channel reads.
    fn channels(&self) -> usize {
        self.window.input[0] / self.groups
    }
}

impl Rows for Conv {
    fn check(&self, site: &Site<'_>, inputs: &[Interval]) -> Result<Checked, String> {
        self.window.check(site.inputs[0], site.output, self.bias.len(), false)?;
        let interval = interval(self, inputs[0])?;
        Ok(Checked { interval, work: (site.output.len() as u128).saturating_mul(self.window.work(self.channels())) })
    }

    /// Some of the rows of every channel, whole groups, or channels of one group.
    fn part(&self, site: &Site<'_>, of: &Stretch) -> Option<Part> {
        let input = site.inputs[0];
        let [out_height, out_width] = self.window.output;
        let Stretch { axis, range, .. } = of.under(&[self.bias.len(), out_height, out_width])?;
        if axis > 0 {
            let (window, input) = if axis == 1 { self.window.rows(input, range)? } else { return None };
            return Some(Part::reading(Conv { window, ..self.clone() }, input));
        }
        let (of_group, channels) = (self.bias.len() / self.groups, self.channels());
        let first = range.start / of_group;
        let groups = if range.start.is_multiple_of(of_group) && range.end.is_multiple_of(of_group) {
            range.len() / of_group
        } else {
            (range.end <= (first + 1) * of_group).then_some(1)?
        };
        let weights = self.weights.len() / self.bias.len();
        let (window, input) = self.window.channels(input, first * channels..(first + groups) * channels);
        let weights = self.weights[range.start * weights..range.end * weights].to_vec();
        Some(Part::reading(Conv { window, groups, weights, bias: self.bias[range].to_vec() }, input))
    }

    fn row(&self, _: &Site<'_>, e: usize, mut term: impl FnMut(usize, usize, i64)) -> i64 {
        let [_, height, width] = self.window.input;
        let [out_height, out_width] = self.window.output;
        let [kh, kw] = self.window.kernel;
        let (x, y, out) = (e % out_width, e / out_width % out_height, e / (out_width * out_height));
        let channels = self.channels();
        let group = out / (self.bias.len() / self.groups);
        let taps: Vec<_> = self.window.taps(y, x).collect();
        for i in 0..channels {
            let plane = (group * channels + i) * height;
            for &(ky, kx, row, column) in &taps {
                term(0, (plane + row) * width + column, self.weights[((out * channels + i) * kh + ky) * kw + kx]);
            }
        }
        self.bias[out]
    }

    fn values(&self, _: &Site<'_>, inputs: &[&[i64]]) -> Vec<i64> {
        values(self, inputs[0])
    }
}

linear_primitive!(Conv);

fn interval(conv: &Conv, input: Interval) -> Result<Interval, String> {
    let channels = conv.window.input[0];
    let out_channels = conv.bias.len();
    if conv.groups == 0 || !channels.is_multiple_of(conv.groups) || !out_channels.is_multiple_of(conv.groups) {
        return Err(format!("{} groups do not divide {channels} input and {out_channels} output channels", conv.groups));
    }
    let per_channel = channels / conv.groups * conv.window.kernel[0] * conv.window.kernel[1];
    if per_channel.checked_mul(out_channels) != Some(conv.weights.len()) {
        return Err(format!("{} weights where {out_channels}·{per_channel} are needed", conv.weights.len()));
    }
    let mut joined = Interval::ZERO;
    for (index, (weights, &bias)) in conv.weights.chunks_exact(per_channel).zip(&conv.bias).enumerate() {
        let interval = row_interval(weights, bias, input, true)?;
        joined = if index == 0 { interval } else { joined.join(interval) };
    }
    Ok(joined)
}

/// A grouped convolution, without its bias. Every sum goes to `put`, by its output channel and its position in the
/// plane; its terms were added in the order of channels and taps, what is padded as zero.
pub fn convolve<W: Weight<T>, T: Number>(window: &Window, groups: usize, weights: &[W], input: &[T], mut put: impl FnMut(usize, usize, T)) {
    let [channels, height, width] = window.input;
    let [out_height, out_width] = window.output;
    let [kernel_height, kernel_width] = window.kernel;
    let (per_group, area) = (channels / groups, height * width);
    // Taps that are padding wherever the window stands are left out: of a large kernel on a small plane these are most.
    let along = |axis: usize, tap: usize| {
        let offset = tap * window.dilations[axis];
        inside(window.input[axis + 1], window.output[axis], window.strides[axis], offset, window.pads[axis])
    };
    let taps: Vec<_> = (0..kernel_height)
        .flat_map(|i| (0..kernel_width).map(move |j| (i, j)))
        .map(|(i, j)| (i, j, along(0, i), along(1, j)))
        .filter(|(_, _, rows, columns)| rows.0 < rows.1 && columns.0 < columns.1)
        .collect();
    let all = kernel_height * kernel_width;
    let depth = per_group * taps.len();
    let rows = weights.len() / (groups * per_group * all);
    let positions = out_height * out_width;
    if depth == 0 {
        (0..groups * rows).for_each(|channel| (0..positions).for_each(|position| put(channel, position, T::default())));
        return;
    }
    let used = |weights: &[W]| -> Vec<W> {
        weights.chunks_exact(all).flat_map(|kernel| taps.iter().map(|(i, j, ..)| kernel[i * kernel_width + j])).collect()
    };
    for (group, (weights, input)) in weights.chunks_exact(rows * per_group * all).zip(input.chunks_exact(per_group * area)).enumerate() {
        let some;
        let weights = if taps.len() == all {
            weights
        } else {
            some = used(weights);
            &some
        };
        let fill = |range: Range<usize>, columns: &mut Columns<'_, T>| {
            for (channel, plane) in input.chunks_exact(area).enumerate() {
                for (tap, &(i, j, (top, bottom), (left, right))) in taps.iter().enumerate() {
                    for y in top.max(range.start / out_width)..bottom.min(range.end.div_ceil(out_width)) {
                        let row = &plane[(y * window.strides[0] + i * window.dilations[0] - window.pads[0]) * width..][..width];
                        let first = y * out_width;
                        for x in left.max(range.start.saturating_sub(first))..right.min(range.end - first) {
                            let value = row[x * window.strides[1] + j * window.dilations[1] - window.pads[1]];
                            columns.set(channel * taps.len() + tap, first + x, value);
                        }
                    }
                }
            }
        };
        multiply(weights, depth, positions, fill, |row, position, sum| put(group * rows + row, position, sum));
    }
}

fn values(conv: &Conv, input: &[i64]) -> Vec<i64> {
    let Conv { window, groups, weights, bias } = conv;
    let positions = window.output[0] * window.output[1];
    let mut output = vec![0_i64; bias.len() * positions];
    let mut put = |channel: usize, position: usize, sum: i64| output[channel * positions + position] = sum.wrapping_add(bias[channel]);
    if positions > 1 && exact_as_floats(weights, input, weights.len() / bias.len()) {
        let input: Vec<f64> = input.iter().map(|&x| x as f64).collect();
        convolve(window, *groups, weights, &input, |channel, position, sum: f64| put(channel, position, sum as i64));
    } else {
        convolve(window, *groups, weights, input, put);
    }
    output
}
