//! Windows that slide over the two last axes of a tensor.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::Stretch;
use crate::check::limits;
use crate::model::Tensor;

/// Geometry of a sliding window over the two last axes of an NCHW tensor with N = 1 (one-dimensional: height 1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// Input channels, height, width.
    pub input: [usize; 3],
    /// Output height and width.
    pub output: [usize; 2],
    /// Kernel height and width.
    pub kernel: [usize; 2],
    /// Steps between windows.
    pub strides: [usize; 2],
    /// Steps between taps.
    pub dilations: [usize; 2],
    /// Padding before: top, left.
    pub pads: [usize; 2],
}

impl Window {
    /// Positions `(kernel row, kernel column, input row, input column)` of the taps of output `(y, x)` that fall inside the input.
    pub fn taps(&self, y: usize, x: usize) -> impl Iterator<Item = (usize, usize, usize, usize)> + '_ {
        let [kh, kw] = self.kernel;
        (0..kh).flat_map(move |i| (0..kw).map(move |j| (i, j))).filter_map(move |(i, j)| {
            let row = (y * self.strides[0] + i * self.dilations[0]).checked_sub(self.pads[0])?;
            let column = (x * self.strides[1] + j * self.dilations[1]).checked_sub(self.pads[1])?;
            (row < self.input[1] && column < self.input[2]).then_some((i, j, row, column))
        })
    }

    /// Taps that lie inside the input, summed over all windows of one channel.
    pub(crate) fn all_taps(&self) -> usize {
        let along = |axis: usize| -> usize {
            let taps = (0..self.kernel[axis]).map(|tap| {
                let offset = tap * self.dilations[axis];
                let (start, end) = inside(self.input[axis + 1], self.output[axis], self.strides[axis], offset, self.pads[axis]);
                end - start
            });
            taps.sum()
        };
        along(0) * along(1)
    }

    /// Multiplications of one output element that reads so many channels.
    pub(crate) fn work(&self, channels: usize) -> u128 {
        (self.kernel[0] as u128).saturating_mul(self.kernel[1] as u128).saturating_mul(channels as u128)
    }

    /// The windows of some input channels, with what they read.
    pub(crate) fn channels(&self, input: &Tensor, range: Range<usize>) -> (Window, Stretch) {
        let [_, height, width] = self.input;
        (Window { input: [range.len(), height, width], ..self.clone() }, Stretch::along(&input.shape, 1, range))
    }

    /// The windows of some output rows, with the input rows that they read; none where they read none.
    pub(crate) fn rows(&self, input: &Tensor, range: Range<usize>) -> Option<(Window, Stretch)> {
        // A tensor may leave out the axis of height 1: then there is one row.
        let [channels, height, width] = self.input;
        if input.shape.len() < 4 {
            return None;
        }
        let top = range.start * self.strides[0];
        let first = top.saturating_sub(self.pads[0]);
        let end =
            ((range.end - 1) * self.strides[0] + (self.kernel[0] - 1) * self.dilations[0] + 1).saturating_sub(self.pads[0]).min(height);
        let window = Window {
            input: [channels, end.checked_sub(first).filter(|rows| *rows > 0)?, width],
            output: [range.len(), self.output[1]],
            pads: [self.pads[0] + first - top, self.pads[1]],
            ..self.clone()
        };
        Some((window, Stretch::along(&input.shape, 2, first..end)))
    }

    /// The windows of a stretch of a pool's output, with what they read: some channels, or some rows.
    pub(crate) fn part(&self, input: &Tensor, of: &Stretch) -> Option<(Window, Stretch)> {
        let Stretch { axis, range, .. } = of.under(&[self.input[0], self.output[0], self.output[1]])?;
        match axis {
            0 => Some(self.channels(input, range)),
            1 => self.rows(input, range),
            _ => None,
        }
    }

    /// Checks it against the tensors it moves over; `covered` asks that every window holds an element of the input.
    pub(crate) fn check(&self, input: &Tensor, output: &Tensor, out_channels: usize, covered: bool) -> Result<(), String> {
        let numbers = [self.kernel, self.strides, self.dilations];
        if numbers.iter().flatten().any(|&n| n == 0 || n > limits::MAX_ELEMENTS) || self.pads.iter().any(|&n| n > limits::MAX_ELEMENTS) {
            return Err(format!(
                "kernel {:?}, strides {:?}, dilations {:?} or pads {:?} out of range",
                self.kernel, self.strides, self.dilations, self.pads
            ));
        }
        // A window over a line may leave out the axis of height 1. Sizes are then those of tensors: none is 0 or out of bounds.
        let fits = |tensor: &Tensor, [channels, height, width]: [usize; 3]| match tensor.shape[..] {
            [1, c, h, w] => [c, h, w] == [channels, height, width],
            [1, c, w] => height == 1 && [c, w] == [channels, width],
            _ => false,
        };
        if !fits(input, self.input) {
            return Err(format!("input shape {:?} does not fit the window's {:?}", input.shape, self.input));
        }
        let [out_height, out_width] = self.output;
        if !fits(output, [out_channels, out_height, out_width]) || input.shape.len() != output.shape.len() {
            return Err(format!("output shape {:?} does not fit {out_channels} channels of {:?}", output.shape, self.output));
        }
        if self.work(1) > limits::MAX_ELEMENTS as u128 {
            return Err("the kernel is too large".into());
        }
        if covered && !(0..2).all(|axis| every_window_holds_an_element(self, axis)) {
            return Err("a window lies wholly in the padding".into());
        }
        Ok(())
    }
}

/// Output positions `start..end` of one axis whose tap at `offset` (kernel index times dilation) lies inside the input.
pub fn inside(input: usize, output: usize, stride: usize, offset: usize, pad: usize) -> (usize, usize) {
    // position·stride + offset − pad in 0..input
    let start = pad.saturating_sub(offset).div_ceil(stride);
    let end = (input + pad).saturating_sub(offset).div_ceil(stride);
    (start.min(output), end.min(output).max(start.min(output)))
}

/// Whether every window of an axis holds an element of the input: for each position some tap t with
/// `0 ≤ position·stride + t·dilation − pad < size`.
///
/// A window that starts at the input or after it is decided by its start, and the last starts last. One that starts before
/// the input, at `position·stride − pad < 0`, is decided by its first tap that is not before it: there must be one, which is
/// hardest for the first window, and it lands at `(position·stride − pad) mod dilation`, which must be below the size.
fn every_window_holds_an_element(window: &Window, axis: usize) -> bool {
    let size = window.input[axis + 1] as u128;
    let [windows, kernel, stride, dilation, pad] =
        [window.output[axis], window.kernel[axis], window.strides[axis], window.dilations[axis], window.pads[axis]].map(|n| n as u128);
    if (windows - 1) * stride >= pad + size || (kernel - 1) * dilation < pad {
        return false;
    }
    let before = windows.min(pad.div_ceil(stride));
    if before == 0 || dilation <= size {
        return true;
    }
    // x mod m ≥ s where ⌊(x + m − s) / m⌋ is one more than ⌊x / m⌋.
    let first = (dilation - pad % dilation) % dilation;
    floor_sum(before, dilation, stride, first + dilation - size) == floor_sum(before, dilation, stride, first)
}

/// `Σ_{i < n} ⌊(a·i + b) / m⌋` for n and m from 1 on, by Euclid's algorithm on m and a: in every round the sum counts points
/// of a lattice below a line, and axes are swapped.
fn floor_sum(mut n: u128, mut m: u128, mut a: u128, mut b: u128) -> u128 {
    let mut sum = 0;
    loop {
        sum += n * (n - 1) / 2 * (a / m) + n * (b / m);
        (a, b) = (a % m, b % m);
        let top = a * n + b;
        if top < m {
            return sum;
        }
        (n, b) = (top / m, top % m);
        (m, a) = (a, m);
    }
}

#[cfg(test)]
impl Window {
    /// Over a line of one channel.
    pub(crate) fn line(size: usize, windows: usize, kernel: usize, stride: usize, dilation: usize, pad: usize) -> Window {
        Window {
            input: [1, 1, size],
            output: [1, windows],
            kernel: [1, kernel],
            strides: [1, stride],
            dilations: [1, dilation],
            pads: [0, pad],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_in_the_padding_are_found_as_a_scan_of_all_taps_finds_them() {
        let mut found = [0, 0];
        for (size, windows, kernel) in (1..=5).flat_map(|a| (1..=7).flat_map(move |b| (1..=5).map(move |c| (a, b, c)))) {
            for (stride, dilation, pad) in (1..=5).flat_map(|a| (1..=8).flat_map(move |b| (0..=14).map(move |c| (a, b, c)))) {
                let window = Window::line(size, windows, kernel, stride, dilation, pad);
                let scanned = (0..windows).all(|x| window.taps(0, x).next().is_some());
                assert_eq!(every_window_holds_an_element(&window, 1), scanned, "{window:?}");
                assert!(every_window_holds_an_element(&window, 0), "the other axis has one window of one tap, on the element");
                found[usize::from(scanned && dilation > size && pad > 0)] += 1;
            }
        }
        assert!(found[1] > 1000, "the case that needs a sum is hardly met: {found:?}");
    }

    #[test]
    fn floor_sums_are_the_sums_they_say() {
        for (n, m) in (1..=12_u128).flat_map(|n| (1..=10_u128).map(move |m| (n, m))) {
            for (a, b) in (0..=14_u128).flat_map(|a| (0..=22_u128).map(move |b| (a, b))) {
                assert_eq!(floor_sum(n, m, a, b), (0..n).map(|i| (a * i + b) / m).sum(), "{n} {m} {a} {b}");
            }
        }
    }

    #[test]
    fn inside_agrees_with_the_taps() {
        for input in 1..6 {
            for stride in 1..4 {
                for dilation in 1..3 {
                    for pad in 0..4 {
                        let window = Window {
                            input: [1, 1, input],
                            output: [1, 5],
                            kernel: [1, 3],
                            strides: [1, stride],
                            dilations: [1, dilation],
                            pads: [0, pad],
                        };
                        for j in 0..3 {
                            let (start, end) = inside(input, 5, stride, j * dilation, pad);
                            for x in 0..5 {
                                let tapped = window.taps(0, x).any(|(_, tap, _, _)| tap == j);
                                assert_eq!(tapped, (start..end).contains(&x), "{window:?} tap {j} at {x}");
                            }
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn taps_of_all_windows_are_those_of_each() {
        for (size, windows, kernel) in (1..=4).flat_map(|a| (1..=5).flat_map(move |b| (1..=4).map(move |c| (a, b, c)))) {
            for (stride, dilation, pad) in (1..=3).flat_map(|a| (1..=3).flat_map(move |b| (0..=4).map(move |c| (a, b, c)))) {
                let window = Window {
                    input: [2, 3, size],
                    output: [2, windows],
                    kernel: [2, kernel],
                    strides: [1, stride],
                    dilations: [1, dilation],
                    pads: [0, pad],
                };
                let each: usize = (0..2).flat_map(|y| (0..windows).map(move |x| (y, x))).map(|(y, x)| window.taps(y, x).count()).sum();
                assert_eq!(window.all_taps(), each, "{window:?}");
            }
        }
    }
}
