//! The exact integer executor: the one definition of what every operator computes, which the circuits prove.
//!
//! All arithmetic is on `i64`. A graph that passed [`Graph::validate`] never overflows: every accumulator's magnitude,
//! summed over absolute values, stays below 2^62.

use crate::model::{Affine, Conv, Dense, Graph, Node, Op, SumPool, TensorId, Window};

/// Why an input cannot be executed (and so cannot be proven).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExecuteError {
    /// Too many or too few inputs.
    #[error("the graph takes {expected} inputs, {given} were given")]
    InputCount {
        /// Inputs of the graph.
        expected: usize,
        /// Inputs given.
        given: usize,
    },
    /// An input has the wrong number of elements.
    #[error("input `{input}` takes {expected} elements, {given} were given")]
    InputLength {
        /// Name of the input.
        input: String,
        /// Elements of the tensor.
        expected: usize,
        /// Elements given.
        given: usize,
    },
    /// An input's integer does not fit its digits.
    #[error("input `{input}`, element {element}: integer {value} is outside [{min}, {max}]; give a value inside the model's input range")]
    InputRange {
        /// Name of the input.
        input: String,
        /// Index in the flattened input.
        element: usize,
        /// The integer.
        value: i64,
        /// Smallest integer that fits.
        min: i64,
        /// Largest integer that fits.
        max: i64,
    },
    /// A requantised value leaves the range that the circuit can prove.
    #[error(
        "node `{node}`, element {element}: requantised value {value} is outside [{min}, {max}]; the input is outside the calibrated range (compile again with samples like it, or with a larger --margin)"
    )]
    Saturated {
        /// Name of the node.
        node: String,
        /// Index in the flattened output.
        element: usize,
        /// The requantised value.
        value: i64,
        /// Smallest value that can be proven.
        min: i64,
        /// Largest value that can be proven.
        max: i64,
    },
    /// Two values that are compared (of a pooling window, or one and a bound) lie too far apart.
    #[error(
        "node `{node}`, element {element}: compared values are {difference} apart, more than {max}; the input is outside the calibrated range (compile again with samples like it, or with a larger --margin)"
    )]
    Apart {
        /// Name of the node.
        node: String,
        /// Index in the flattened output.
        element: usize,
        /// Distance between a value of the window and the largest before it.
        difference: i64,
        /// Largest difference that can be proven.
        max: i64,
    },
}

/// `⌊(x + 2^(shift−1)) / 2^shift⌋`: division by a power of two, halves rounded up; the identity when `shift` is 0.
///
/// `shift` must be below 63. Wraps where `x + 2^(shift−1)` leaves `i64`, which no validated graph reaches.
pub fn requant(x: i64, shift: u32) -> i64 {
    if shift == 0 { x } else { x.wrapping_add(1 << (shift - 1)) >> shift }
}

/// Runs a validated graph on one list of integers an input, in the order of [`Graph::inputs`].
///
/// Gives the values of every tensor by [`TensorId`]; [`Graph::outputs`] says which of them are the results.
///
/// # Errors
/// When an input has the wrong length, an integer does not fit its digits, or a value leaves what the operator's
/// definition in [`Op`] accepts.
pub fn execute(graph: &Graph, inputs: &[Vec<i64>]) -> Result<Vec<Vec<i64>>, ExecuteError> {
    if inputs.len() != graph.inputs.len() {
        return Err(ExecuteError::InputCount { expected: graph.inputs.len(), given: inputs.len() });
    }
    let mut values: Vec<Vec<i64>> = vec![Vec::new(); graph.tensors.len()];
    for (port, given) in graph.inputs.iter().zip(inputs) {
        let tensor = &graph.tensors[port.tensor];
        if given.len() != tensor.len() {
            return Err(ExecuteError::InputLength { input: tensor.name.clone(), expected: tensor.len(), given: given.len() });
        }
        for (element, (&value, feature)) in given.iter().zip(port.encoding.by_element(&tensor.shape)).enumerate() {
            let (min, max) = feature.range(port.encoding.bits);
            if value < min || value > max {
                return Err(ExecuteError::InputRange { input: tensor.name.clone(), element, value, min, max });
            }
        }
        values[port.tensor] = given.clone();
    }
    for node in &graph.nodes {
        let inputs: Vec<&[i64]> = node.inputs.iter().map(|&id: &TensorId| values[id].as_slice()).collect();
        let output = apply(graph, node, &inputs)?;
        values[node.output] = output;
    }
    Ok(values)
}

/// Applies one node of a validated graph to the values of its inputs.
///
/// # Errors
/// When a value leaves what the operator's definition in [`Op`] accepts.
pub fn apply(graph: &Graph, node: &Node, inputs: &[&[i64]]) -> Result<Vec<i64>, ExecuteError> {
    let limit = 1_i64 << graph.table_bits;
    let checked = |shift: u32, min: i64, max: i64| {
        let mut output = Vec::with_capacity(inputs[0].len());
        for (element, &x) in inputs[0].iter().enumerate() {
            let value = requant(x, shift);
            if value < min || value > max {
                return Err(ExecuteError::Saturated { node: node.name.clone(), element, value, min, max });
            }
            output.push(value);
        }
        Ok(output)
    };
    match &node.op {
        Op::Requant { shift } => checked(*shift, -limit / 2, limit / 2 - 1),
        Op::Relu { shift } => {
            let mut output = checked(*shift, 1 - limit, limit - 1)?;
            for value in &mut output {
                *value = (*value).max(0);
            }
            Ok(output)
        }
        Op::Clip { min, max, limbs } => {
            let far = (1_i64 << (graph.table_bits * limbs)) - 1;
            let clip = |(element, &x): (usize, &i64)| {
                let mut value = x;
                for (bound, is_least) in [(min, true), (max, false)] {
                    let Some(bound) = *bound else {
                        continue;
                    };
                    let difference = value.saturating_sub(bound).saturating_abs();
                    if difference > far {
                        return Err(ExecuteError::Apart { node: node.name.clone(), element, difference, max: far });
                    }
                    value = if is_least { value.max(bound) } else { value.min(bound) };
                }
                Ok(value)
            };
            inputs[0].iter().enumerate().map(clip).collect()
        }
        Op::MaxPool { window, limbs } => {
            let max = (1_i64 << (graph.table_bits * limbs)) - 1;
            max_pool(window, inputs[0])
                .into_iter()
                .enumerate()
                .map(|(element, (difference, most))| {
                    if difference > max {
                        return Err(ExecuteError::Apart { node: node.name.clone(), element, difference, max });
                    }
                    Ok(most)
                })
                .collect()
        }
        op => Ok(linear(op, graph, node, inputs)),
    }
}

/// Applies an operator without range checks, one that costs no constraint: [`Op::Conv`], [`Op::Dense`],
/// [`Op::SumPool`], [`Op::Affine`], [`Op::Reshape`], [`Op::Transpose`] and [`Op::Concat`].
///
/// `op` is `node.op` or another operator with the same shapes; the shapes are those of the node's tensors in `graph`,
/// which must be validated. For the other operators the result is empty.
pub fn linear(op: &Op, graph: &Graph, node: &Node, inputs: &[&[i64]]) -> Vec<i64> {
    match op {
        Op::Conv(conv) => convolve(conv, inputs[0]),
        Op::Dense(dense) => multiply(dense, inputs[0]),
        Op::SumPool(pool) => sum_pool(pool, inputs[0]),
        Op::Affine(affine) => combine(affine, &graph.tensors[node.output].shape, inputs),
        Op::Reshape => inputs[0].to_vec(),
        Op::Transpose { perm } => transpose(perm, &graph.tensors[node.inputs[0]].shape, inputs[0]),
        Op::Concat { axis } => {
            let shapes: Vec<&[usize]> = node.inputs.iter().map(|&id| graph.tensors[id].shape.as_slice()).collect();
            concat(*axis, &shapes, inputs)
        }
        Op::Requant { .. } | Op::Relu { .. } | Op::Clip { .. } | Op::MaxPool { .. } => Vec::new(),
    }
}

/// Output positions `start..end` of one axis whose tap at `offset` (kernel index times dilation) lies inside the input.
pub(crate) fn inside(input: usize, output: usize, stride: usize, offset: usize, pad: usize) -> (usize, usize) {
    // position·stride + offset − pad in 0..input
    let start = pad.saturating_sub(offset).div_ceil(stride);
    let end = (input + pad).saturating_sub(offset).div_ceil(stride);
    (start.min(output), end.min(output).max(start.min(output)))
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

fn multiply(dense: &Dense, input: &[i64]) -> Vec<i64> {
    let mut output = Vec::with_capacity(dense.rows * dense.n);
    for row in input.chunks_exact(dense.k) {
        for (weights, &bias) in dense.weights.chunks_exact(dense.k).zip(&dense.bias) {
            output.push(weights.iter().zip(row).fold(bias, |sum, (&w, &x)| sum.wrapping_add(w.wrapping_mul(x))));
        }
    }
    output
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
                let multiplier = pool.multipliers.get(y * out_width + x).copied().unwrap_or(1);
                output.push(sum.wrapping_mul(multiplier));
            }
        }
    }
    output
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

fn combine(affine: &Affine, shape: &[usize], inputs: &[&[i64]]) -> Vec<i64> {
    let length = shape[affine.axis];
    let inner: usize = shape[affine.axis + 1..].iter().product();
    let mut output = vec![0_i64; shape.iter().product()];
    let pick = |list: &[i64], channel: usize| if list.len() == 1 { list[0] } else { list[channel] };
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

/// `out[.., i_axis, ..]` with axis a of the output being axis `perm[a]` of `input`, whose shape is `shape`.
pub fn transpose<T: Clone>(perm: &[usize], shape: &[usize], input: &[T]) -> Vec<T> {
    let mut strides = vec![1_usize; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis] * shape[axis];
    }
    let dims: Vec<usize> = perm.iter().map(|&axis| shape[axis]).collect();
    let steps: Vec<usize> = perm.iter().map(|&axis| strides[axis]).collect();
    let mut index = vec![0_usize; dims.len()];
    let mut from = 0_usize;
    let mut output = Vec::with_capacity(input.len());
    for _ in 0..input.len() {
        output.push(input[from].clone());
        for axis in (0..dims.len()).rev() {
            index[axis] += 1;
            from += steps[axis];
            if index[axis] < dims[axis] {
                break;
            }
            from -= steps[axis] * dims[axis];
            index[axis] = 0;
        }
    }
    output
}

/// Inputs of the given shapes joined along `axis`.
pub fn concat<T: Clone>(axis: usize, shapes: &[&[usize]], inputs: &[&[T]]) -> Vec<T> {
    let outer: usize = shapes[0][..axis].iter().product();
    let mut output = Vec::with_capacity(inputs.iter().map(|input| input.len()).sum());
    for block in 0..outer {
        for (shape, input) in shapes.iter().zip(inputs) {
            let inner: usize = shape[axis..].iter().product();
            output.extend_from_slice(&input[block * inner..(block + 1) * inner]);
        }
    }
    output
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requant_rounds_halves_up_for_both_signs() {
        for (x, expected) in [(7, 0), (8, 1), (-8, 0), (-9, -1), (23, 1), (24, 2), (-24, -1), (-25, -2), (0, 0)] {
            assert_eq!(requant(x, 4), expected, "{x}");
        }
        assert_eq!(requant(-5, 0), -5);
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
    fn transpose_moves_axes() {
        let input: Vec<i64> = (0..24).collect();
        let output = transpose(&[2, 0, 1], &[2, 3, 4], &input);
        for i in 0..4 {
            for j in 0..2 {
                for k in 0..3 {
                    assert_eq!(output[(i * 2 + j) * 3 + k], input[(j * 3 + k) * 4 + i]);
                }
            }
        }
    }
}
