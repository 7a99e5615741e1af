//! Convolution with constant weights and bias.

use serde::{Deserialize, Serialize};

use super::linear::{Rows, linear_primitive, row_interval};
use super::window::{Window, inside};
use super::{Checked, Primitive, Site};
use crate::check::Interval;

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
        convolve(self, inputs[0])
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

fn convolve(conv: &Conv, input: &[i64]) -> Vec<i64> {
    let window = &conv.window;
    let [channels, height, width] = window.input;
    let [out_height, out_width] = window.output;
    let [kernel_height, kernel_width] = window.kernel;
    let [stride_y, stride_x] = window.strides;
    let out_channels = conv.bias.len();
    let per_group = channels / conv.groups;
    let out_per_group = out_channels / conv.groups;
    let out_plane = out_height * out_width;
    let mut output = Vec::with_capacity(out_channels * out_plane);
    let mut weights = conv.weights.iter();
    for (channel, &bias) in conv.bias.iter().enumerate() {
        output.resize((channel + 1) * out_plane, bias);
        let plane = &mut output[channel * out_plane..];
        let first = channel / out_per_group * per_group;
        for source in input[first * height * width..(first + per_group) * height * width].chunks_exact(height * width) {
            for i in 0..kernel_height {
                let (top, bottom) = inside(height, out_height, stride_y, i * window.dilations[0], window.pads[0]);
                for j in 0..kernel_width {
                    let weight = weights.next().copied().unwrap_or(0);
                    if weight == 0 {
                        continue;
                    }
                    let (left, right) = inside(width, out_width, stride_x, j * window.dilations[1], window.pads[1]);
                    if left == right {
                        continue;
                    }
                    let column = left * stride_x + j * window.dilations[1] - window.pads[1];
                    for y in top..bottom {
                        let row = y * stride_y + i * window.dilations[0] - window.pads[0];
                        let from = &source[row * width + column..(row + 1) * width];
                        let to = &mut plane[y * out_width + left..y * out_width + right];
                        if stride_x == 1 {
                            for (sum, &x) in to.iter_mut().zip(from) {
                                *sum = sum.wrapping_add(weight.wrapping_mul(x));
                            }
                        } else {
                            for (sum, &x) in to.iter_mut().zip(from.iter().step_by(stride_x)) {
                                *sum = sum.wrapping_add(weight.wrapping_mul(x));
                            }
                        }
                    }
                }
            }
        }
    }
    output
}
