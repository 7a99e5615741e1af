//! The complete check of a graph that comes from outside, and the intervals that its checks enforce.
//!
//! After [`Graph::validate`] nothing that walks the graph can go out of bounds, overflow or run for ever. The check itself
//! takes time in proportion to the graph's bytes, not to the sizes they state: a few bytes can state 2^26 windows of 2^26 taps.

use crate::model::{Affine, Conv, Dense, Encoding, Feature, Graph, Node, Op, SumPool, Tensor, TensorId, Window};

/// Bounds on what a graph may ask for.
pub mod limits {
    /// Narrowest range table.
    pub const MIN_TABLE_BITS: u32 = 2;
    /// Widest range table (a table has 2^w rows).
    pub const MAX_TABLE_BITS: u32 = 20;
    /// Widest digit of an input or output.
    pub const MAX_DIGIT_BITS: u32 = 32;
    /// Most axes of a tensor.
    pub const MAX_RANK: usize = 8;
    /// Most elements of one tensor, and largest single dimension.
    pub const MAX_ELEMENTS: usize = 1 << 26;
    /// Most elements of all tensors together.
    pub const MAX_TOTAL_ELEMENTS: usize = 1 << 29;
    /// Most multiplications of one run of the graph.
    pub const MAX_WORK: u128 = 1 << 37;
    /// Most tensors, and most nodes.
    pub const MAX_NODES: usize = 1 << 20;
    /// Longest name, in bytes.
    pub const MAX_NAME: usize = 1 << 12;
    /// Largest magnitude of an accumulator, summed over absolute values.
    pub const MAX_MAGNITUDE: i128 = 1 << 62;
}

/// A difference of compared values is shown to be below two to this power.
const MAX_COMPARED_BITS: u32 = 60;

/// What is wrong with a graph.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GraphError {
    /// The table's width is not one that can be built.
    #[error("table width {0} is outside [{min}, {max}]", min = limits::MIN_TABLE_BITS, max = limits::MAX_TABLE_BITS)]
    TableBits(u32),
    /// A tensor's name, shape or size is not allowed, or nothing produces it.
    #[error("tensor {tensor}: {reason}")]
    Tensor {
        /// Index of the tensor.
        tensor: TensorId,
        /// What is wrong.
        reason: String,
    },
    /// A node does not fit its tensors.
    #[error("node `{node}`: {reason}")]
    Node {
        /// Name of the node.
        node: String,
        /// What is wrong.
        reason: String,
    },
    /// An input or output is not usable.
    #[error("{side} {index}: {reason}")]
    Port {
        /// `input` or `output`.
        side: &'static str,
        /// Position among the inputs or outputs.
        index: usize,
        /// What is wrong.
        reason: String,
    },
    /// The graph is too large.
    #[error("the graph is too large: {0}")]
    Size(String),
    /// The bytes are not a graph file.
    #[error("this is not a zkslice graph file")]
    Magic,
    /// The file was written by a newer program.
    #[error("the graph file has format version {found}; this program reads up to version {supported}: use a newer zkslice")]
    Version {
        /// Version in the file.
        found: u32,
        /// Newest version that can be read.
        supported: u32,
    },
    /// The bytes after the header cannot be decoded.
    #[error("the graph file is damaged: {0}")]
    Encoding(String),
}

/// A closed interval of integers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interval {
    /// Smallest value.
    pub min: i128,
    /// Largest value.
    pub max: i128,
}

impl Interval {
    fn magnitude(self) -> i128 {
        self.min.abs().max(self.max.abs())
    }

    fn join(self, other: Interval) -> Interval {
        Interval { min: self.min.min(other.min), max: self.max.max(other.max) }
    }

    fn scaled(self, factor: i64) -> Interval {
        let (a, b) = (self.min.saturating_mul(factor.into()), self.max.saturating_mul(factor.into()));
        Interval { min: a.min(b), max: a.max(b) }
    }

    fn plus(self, other: Interval) -> Interval {
        Interval { min: self.min.saturating_add(other.min), max: self.max.saturating_add(other.max) }
    }

    fn point(value: i64) -> Interval {
        Interval { min: value.into(), max: value.into() }
    }

    const ZERO: Interval = Interval { min: 0, max: 0 };
}

impl Feature {
    /// Smallest and largest integer whose digit of `bits` bits fits.
    pub fn range(&self, bits: u32) -> (i64, i64) {
        (self.offset.saturating_neg(), ((1_i64 << bits.min(limits::MAX_DIGIT_BITS)) - 1).saturating_sub(self.offset))
    }
}

impl Encoding {
    /// Smallest and largest integer that the digits of some feature hold.
    pub fn range(&self) -> (i64, i64) {
        let ranges = self.features.iter().map(|feature| feature.range(self.bits));
        ranges.reduce(|(min, max), (least, most)| (min.min(least), max.max(most))).unwrap_or((0, 0))
    }

    /// Checks the digits of a tensor of that shape, if it exists.
    fn check(&self, tensor: Option<&Tensor>, features: bool) -> Result<(), String> {
        if self.bits == 0 || self.bits > limits::MAX_DIGIT_BITS {
            return Err(format!("digits of {} bits; 1 to {} are possible", self.bits, limits::MAX_DIGIT_BITS));
        }
        let along = tensor.and_then(|tensor| tensor.shape.get(self.axis)).copied();
        let fits = match self.features.len() {
            1 => self.axis == 0,
            count => features && along == Some(count),
        };
        if !fits {
            return Err(format!("{} features along axis {} do not fit the tensor", self.features.len(), self.axis));
        }
        for feature in &self.features {
            if feature.offset < 0 || feature.offset >= 1 << self.bits {
                return Err(format!("offset {} does not fit {} bits", feature.offset, self.bits));
            }
            if feature.scale.mantissa == 0 {
                return Err("its scale is zero".into());
            }
        }
        Ok(())
    }
}

impl Graph {
    /// Checks everything: shapes, indices, order, lengths, ranges and sizes.
    ///
    /// # Errors
    /// Names the first tensor, node or port that is wrong.
    pub fn validate(&self) -> Result<(), GraphError> {
        self.intervals().map(drop)
    }

    /// Checks the graph as [`Graph::validate`] does, and gives for each tensor the interval its integers lie in.
    ///
    /// The intervals follow from what range checks enforce (digits of inputs, requantised values), never from
    /// calibration.
    ///
    /// # Errors
    /// As [`Graph::validate`].
    pub fn intervals(&self) -> Result<Vec<Interval>, GraphError> {
        if !(limits::MIN_TABLE_BITS..=limits::MAX_TABLE_BITS).contains(&self.table_bits) {
            return Err(GraphError::TableBits(self.table_bits));
        }
        if self.tensors.len() > limits::MAX_NODES || self.nodes.len() > limits::MAX_NODES {
            return Err(GraphError::Size(format!("{} tensors, {} nodes", self.tensors.len(), self.nodes.len())));
        }
        let mut total = 0_usize;
        for (id, tensor) in self.tensors.iter().enumerate() {
            let elements = checked_elements(&tensor.shape).map_err(|reason| GraphError::Tensor { tensor: id, reason })?;
            check_name(&tensor.name).map_err(|reason| GraphError::Tensor { tensor: id, reason })?;
            total = total.saturating_add(elements);
        }
        if total > limits::MAX_TOTAL_ELEMENTS {
            return Err(GraphError::Size(format!("its tensors have {total} elements")));
        }
        let mut intervals: Vec<Option<Interval>> = vec![None; self.tensors.len()];
        if self.inputs.is_empty() || self.outputs.is_empty() {
            return Err(GraphError::Size("a graph has at least one input and one output".into()));
        }
        for (index, port) in self.inputs.iter().enumerate() {
            let wrong = |reason: String| GraphError::Port { side: "input", index, reason };
            port.encoding.check(self.tensors.get(port.tensor), true).map_err(wrong)?;
            let slot = intervals.get_mut(port.tensor).ok_or_else(|| wrong(format!("there is no tensor {}", port.tensor)))?;
            if slot.is_some() {
                return Err(wrong(format!("tensor {} is an input twice", port.tensor)));
            }
            let (min, max) = port.encoding.range();
            *slot = Some(Interval { min: min.into(), max: max.into() });
        }
        let given: Vec<bool> = intervals.iter().map(Option::is_some).collect();
        let mut work = 0_u128;
        for node in &self.nodes {
            let wrong = |reason: String| GraphError::Node { node: node.name.chars().take(200).collect(), reason };
            check_name(&node.name).map_err(wrong)?;
            let (interval, cost) = self.check_node(node, &intervals).map_err(wrong)?;
            work = work.saturating_add(cost);
            if work > limits::MAX_WORK {
                return Err(wrong("the graph needs more multiplications than are allowed".into()));
            }
            let slot = intervals.get_mut(node.output).ok_or_else(|| wrong(format!("there is no tensor {}", node.output)))?;
            if slot.is_some() {
                return Err(wrong(format!("tensor {} is written twice", node.output)));
            }
            *slot = Some(interval);
        }
        let mut handed_out = vec![false; self.tensors.len()];
        for (index, port) in self.outputs.iter().enumerate() {
            let wrong = |reason: String| GraphError::Port { side: "output", index, reason };
            port.encoding.check(self.tensors.get(port.tensor), false).map_err(wrong)?;
            let interval =
                intervals.get(port.tensor).copied().flatten().ok_or_else(|| wrong(format!("nothing produces tensor {}", port.tensor)))?;
            if given[port.tensor] {
                return Err(wrong("it is an input as it stands".into()));
            }
            if std::mem::replace(&mut handed_out[port.tensor], true) {
                return Err(wrong(format!("tensor {} is an output twice", port.tensor)));
            }
            let (min, max) = port.encoding.range();
            if interval.min < min.into() || interval.max > max.into() {
                return Err(wrong(format!("values in [{}, {}] do not fit its digits", interval.min, interval.max)));
            }
        }
        intervals
            .into_iter()
            .enumerate()
            .map(|(tensor, interval)| interval.ok_or(GraphError::Tensor { tensor, reason: "nothing produces it".into() }))
            .collect()
    }

    /// The interval of a node's output and the multiplications it takes.
    fn check_node(&self, node: &Node, intervals: &[Option<Interval>]) -> Result<(Interval, u128), String> {
        let mut inputs = Vec::with_capacity(node.inputs.len());
        for &id in &node.inputs {
            let tensor = self.tensors.get(id).ok_or_else(|| format!("there is no tensor {id}"))?;
            let interval = intervals.get(id).copied().flatten().ok_or_else(|| format!("tensor {id} is read before it is made"))?;
            inputs.push((tensor, interval));
        }
        let output = self.tensors.get(node.output).ok_or_else(|| format!("there is no tensor {}", node.output))?;
        let arity = match node.op {
            Op::Affine(_) | Op::Concat { .. } => node.inputs.len().max(1),
            _ => 1,
        };
        if node.inputs.len() != arity {
            return Err(format!("{} inputs where {arity} are needed", node.inputs.len()));
        }
        let (first, interval) = inputs[0];
        let limit = 1_i128 << self.table_bits;
        let elements = output.len() as u128;
        let same = |shape: &[usize]| {
            if output.shape == shape { Ok(()) } else { Err(format!("output shape {:?} where {shape:?} is needed", output.shape)) }
        };
        match &node.op {
            Op::Conv(conv) => {
                check_window(&conv.window, first, output, conv.bias.len(), false)?;
                Ok((conv_interval(conv, interval)?, elements.saturating_mul(taps_work(&conv.window, conv.window.input[0] / conv.groups))))
            }
            Op::Dense(dense) => Ok((
                dense_interval(dense, first, output, interval)?,
                (dense.rows as u128).saturating_mul(dense.k as u128).saturating_mul(dense.n as u128),
            )),
            Op::SumPool(pool) => {
                check_window(&pool.window, first, output, pool.window.input[0], true)?;
                Ok((sum_interval(pool, interval)?, elements.saturating_mul(taps_work(&pool.window, 1))))
            }
            Op::Affine(affine) => {
                for (tensor, _) in &inputs {
                    same(&tensor.shape)?;
                }
                let intervals: Vec<Interval> = inputs.iter().map(|(_, interval)| *interval).collect();
                Ok((affine_interval(affine, &output.shape, &intervals)?, elements.saturating_mul(inputs.len() as u128)))
            }
            Op::Requant { shift } => {
                same(&first.shape)?;
                if *shift != self.table_bits {
                    return Err(format!("shift {shift} where the table's width {} is needed", self.table_bits));
                }
                Ok((Interval { min: -limit / 2, max: limit / 2 - 1 }, elements))
            }
            Op::Relu { shift } => {
                same(&first.shape)?;
                if *shift != self.table_bits && *shift != 0 {
                    return Err(format!("shift {shift} where 0 or the table's width {} is needed", self.table_bits));
                }
                Ok((Interval { min: 0, max: limit - 1 }, elements))
            }
            Op::Clip { min, max, limbs } => {
                same(&first.shape)?;
                let (least, most) = (i128::from(min.unwrap_or(i64::MIN)), i128::from(max.unwrap_or(i64::MAX)));
                if !(1..=3).contains(limbs) || limbs * self.table_bits > MAX_COMPARED_BITS {
                    return Err(format!("comparisons of {limbs} limbs of {} bits are not possible", self.table_bits));
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
                bounded(interval.magnitude())?;
                Ok((Interval { min: interval.min.clamp(least, most), max: interval.max.clamp(least, most) }, 2 * elements))
            }
            Op::MaxPool { window, limbs } => {
                check_window(window, first, output, window.input[0], true)?;
                if !(1..=2).contains(limbs) {
                    return Err(format!("{limbs} limbs where 1 or 2 are possible"));
                }
                Ok((interval, elements.saturating_mul(taps_work(window, 1))))
            }
            Op::Reshape => {
                if first.len() != output.len() {
                    return Err(format!("{} elements cannot take shape {:?}", first.len(), output.shape));
                }
                Ok((interval, elements))
            }
            Op::Transpose { perm } => {
                let mut seen = vec![false; first.shape.len()];
                for &axis in perm {
                    if seen.get(axis) != Some(&false) {
                        return Err(format!("{perm:?} is not a permutation of the input's axes"));
                    }
                    seen[axis] = true;
                }
                if perm.len() != seen.len() {
                    return Err(format!("{perm:?} is not a permutation of the input's axes"));
                }
                same(&perm.iter().map(|&axis| first.shape[axis]).collect::<Vec<_>>())?;
                Ok((interval, elements))
            }
            Op::Concat { axis } => {
                let mut shape = first.shape.clone();
                if *axis >= shape.len() {
                    return Err(format!("there is no axis {axis}"));
                }
                let mut joined = interval;
                for (tensor, interval) in &inputs[1..] {
                    let fits = tensor.shape.len() == shape.len()
                        && tensor.shape.iter().zip(&first.shape).enumerate().all(|(a, (x, y))| a == *axis || x == y);
                    if !fits {
                        return Err(format!("shapes {:?} and {:?} cannot be joined along axis {axis}", first.shape, tensor.shape));
                    }
                    shape[*axis] += tensor.shape[*axis];
                    joined = joined.join(*interval);
                }
                same(&shape)?;
                Ok((joined, elements))
            }
        }
    }
}

fn check_name(name: &str) -> Result<(), String> {
    if name.len() > limits::MAX_NAME { Err(format!("its name has {} bytes", name.len())) } else { Ok(()) }
}

/// The number of elements of a shape within the limits.
pub(crate) fn checked_elements(shape: &[usize]) -> Result<usize, String> {
    if shape.len() > limits::MAX_RANK {
        return Err(format!("it has {} axes; at most {} are possible", shape.len(), limits::MAX_RANK));
    }
    shape
        .iter()
        .try_fold(1_usize, |product, &dim| product.checked_mul(dim).filter(|&p| p > 0 && p <= limits::MAX_ELEMENTS))
        .ok_or_else(|| format!("shape {shape:?} is empty or has more than {} elements", limits::MAX_ELEMENTS))
}

fn taps_work(window: &Window, channels: usize) -> u128 {
    (window.kernel[0] as u128).saturating_mul(window.kernel[1] as u128).saturating_mul(channels as u128)
}

/// Checks a window against the tensors it moves over; `covered` asks that every window holds an element of the input.
fn check_window(window: &Window, input: &Tensor, output: &Tensor, out_channels: usize, covered: bool) -> Result<(), String> {
    let numbers = [window.kernel, window.strides, window.dilations];
    if numbers.iter().flatten().any(|&n| n == 0 || n > limits::MAX_ELEMENTS) || window.pads.iter().any(|&n| n > limits::MAX_ELEMENTS) {
        return Err(format!(
            "kernel {:?}, strides {:?}, dilations {:?} or pads {:?} out of range",
            window.kernel, window.strides, window.dilations, window.pads
        ));
    }
    let axes = |channels: usize, size: &[usize; 2]| -> [Vec<usize>; 2] {
        [vec![1, channels, size[0], size[1]], if size[0] == 1 { vec![1, channels, size[1]] } else { Vec::new() }]
    };
    let [channels, height, width] = window.input;
    if !axes(channels, &[height, width]).contains(&input.shape) {
        return Err(format!("input shape {:?} does not fit the window's {:?}", input.shape, window.input));
    }
    if !axes(out_channels, &window.output).contains(&output.shape) || input.shape.len() != output.shape.len() {
        return Err(format!("output shape {:?} does not fit {out_channels} channels of {:?}", output.shape, window.output));
    }
    if taps_work(window, 1) > limits::MAX_ELEMENTS as u128 {
        return Err("the kernel is too large".into());
    }
    if covered && !(0..2).all(|axis| every_window_holds_an_element(window, axis)) {
        return Err("a window lies wholly in the padding".into());
    }
    Ok(())
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

/// The interval of `Σ weights·x + bias`, refused where the sum of magnitudes could leave 2^62.
fn row_interval(weights: &[i64], bias: i64, input: Interval, padded: bool) -> Result<Interval, String> {
    let input = if padded { input.join(Interval::ZERO) } else { input };
    let magnitude =
        weights.iter().fold(i128::from(bias).abs(), |sum, &w| sum.saturating_add(i128::from(w).abs().saturating_mul(input.magnitude())));
    bounded(magnitude)?;
    Ok(weights.iter().fold(Interval::point(bias), |sum, &w| sum.plus(input.scaled(w))))
}

fn bounded(magnitude: i128) -> Result<(), String> {
    if magnitude > limits::MAX_MAGNITUDE {
        return Err("its accumulator could exceed 2^62: use a narrower table or fewer input bits".into());
    }
    Ok(())
}

fn conv_interval(conv: &Conv, input: Interval) -> Result<Interval, String> {
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

fn dense_interval(dense: &Dense, first: &Tensor, output: &Tensor, input: Interval) -> Result<Interval, String> {
    let fits = dense.k > 0
        && dense.rows.checked_mul(dense.k) == Some(first.len())
        && dense.rows.checked_mul(dense.n) == Some(output.len())
        && dense.n.checked_mul(dense.k) == Some(dense.weights.len())
        && dense.bias.len() == dense.n
        && first.shape.last() == Some(&dense.k)
        && output.shape.last() == Some(&dense.n)
        && first.shape.split_last().map(|(_, leading)| leading) == output.shape.split_last().map(|(_, leading)| leading);
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

fn sum_interval(pool: &SumPool, input: Interval) -> Result<Interval, String> {
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

fn affine_interval(affine: &Affine, shape: &[usize], inputs: &[Interval]) -> Result<Interval, String> {
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::model::{Port, Scale};

    fn line(size: usize, windows: usize, kernel: usize, stride: usize, dilation: usize, pad: usize) -> Window {
        let pair = |n: usize| [1, n];
        Window {
            input: [1, 1, size],
            output: pair(windows),
            kernel: pair(kernel),
            strides: pair(stride),
            dilations: pair(dilation),
            pads: [0, pad],
        }
    }

    /// One node that reads a tensor of `input` elements as often as `reads` says, and writes `output`.
    fn one_node(op: Op, input: &[usize], reads: usize, output: &[usize]) -> Graph {
        let tensor = |name: &str, shape: &[usize]| Tensor { name: name.into(), shape: shape.to_vec() };
        let port = |tensor: TensorId| Port { tensor, encoding: Encoding::uniform(8, 128, Scale { mantissa: 1 }) };
        Graph {
            table_bits: 8,
            tensors: vec![tensor("x", input), tensor("y", output)],
            nodes: vec![Node { name: "node".into(), op, inputs: vec![0; reads], output: 1 }],
            inputs: vec![port(0)],
            outputs: vec![port(1)],
        }
    }

    fn read(graph: &Graph) -> Result<Graph, String> {
        Graph::from_bytes(&graph.to_bytes().unwrap()).map_err(|error| error.to_string())
    }

    #[test]
    fn windows_in_the_padding_are_found_as_a_scan_of_all_taps_finds_them() {
        let mut found = [0, 0];
        for (size, windows, kernel) in (1..=5).flat_map(|a| (1..=7).flat_map(move |b| (1..=5).map(move |c| (a, b, c)))) {
            for (stride, dilation, pad) in (1..=5).flat_map(|a| (1..=8).flat_map(move |b| (0..=14).map(move |c| (a, b, c)))) {
                let window = line(size, windows, kernel, stride, dilation, pad);
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

    /// A few bytes that state up to 2^52 taps or terms. A check that walks them never comes back.
    #[test]
    fn statements_of_huge_work_are_answered_without_doing_it() {
        const MOST: usize = limits::MAX_ELEMENTS;
        let (too_much, padding) = ("more multiplications than are allowed", "lies wholly in the padding");
        for (window, says) in [
            // Every window's first tap on the input is among its last.
            (line(1, MOST, MOST, 1, 1, MOST - 1), Some(too_much)),
            // As before, but the last window is past the input.
            (line(1, MOST, MOST, 1, 1, MOST - 2), Some(padding)),
            // Taps two apart that all meet the one element, or where only the last of them misses it.
            (line(1, MOST / 2 + 1, MOST / 2 + 1, 2, 2, MOST), Some(too_much)),
            (line(MOST - 1, MOST, 2, 1, MOST, MOST - 1), Some(padding)),
            (line(MOST, MOST, MOST, 1, 1, MOST - 1), Some(too_much)),
            // Allowed: as much work as a graph may state, nearly all of it in the padding.
            (line(1 << 19, 1 << 19, 1 << 18, 1, 1, (1 << 18) - 1), None),
        ] {
            let (input, output) = ([1, 1, window.input[2]], [1, 1, window.output[1]]);
            for op in
                [Op::MaxPool { window: window.clone(), limbs: 1 }, Op::SumPool(SumPool { window: window.clone(), multipliers: vec![] })]
            {
                let graph = one_node(op, &input, 1, &output);
                match (says, read(&graph)) {
                    (Some(says), Err(error)) => assert!(error.contains(says), "{window:?}: {error}"),
                    // A sum of so many does not fit the output's digits; a maximum does.
                    (None, Err(error)) => assert!(error.contains("do not fit its digits"), "{window:?}: {error}"),
                    (None, Ok(read)) => assert_eq!(read, graph),
                    (Some(_), Ok(_)) => unreachable!("{window:?} is accepted"),
                }
            }
        }
        for (reads, says) in [(1 << 12, Some(too_much)), (1 << 11, None)] {
            let affine = Affine { axis: 0, coefficients: vec![vec![0]; reads], bias: vec![1] };
            let graph = one_node(Op::Affine(affine), &[MOST], reads, &[MOST]);
            assert!(graph.to_bytes().unwrap().len() < 1 << 14);
            assert_eq!(read(&graph).err().is_some_and(|error| error.contains(too_much)), says.is_some());
            assert_eq!(read(&graph).is_ok(), says.is_none());
        }
    }

    #[test]
    fn a_clip_has_bounds_in_order() {
        for (min, max, says) in [
            (None, None, Some("it has no bound")),
            (Some(3), Some(2), Some("not in order")),
            (Some(2), Some(2), None),
            (Some(-128), None, None),
            (None, Some(127), None),
        ] {
            let read = read(&one_node(Op::Clip { min, max, limbs: 1 }, &[3], 1, &[3]));
            match says {
                None => assert!(read.is_ok(), "{min:?} {max:?}: {read:?}"),
                Some(says) => assert!(read.unwrap_err().contains(says), "{min:?} {max:?}"),
            }
        }
    }

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
            let pick = |list: &[i64], channel: usize| list[channel.min(list.len() - 1)];
            let element = |c: usize| {
                let terms = inputs[0].scaled(pick(&first, c)).plus(inputs[1].scaled(pick(&second, c)));
                terms.plus(Interval::point(pick(&bias, c)))
            };
            let walked = element(0).join(element(1)).join(element(2));
            let affine = Affine { axis: 1, coefficients: vec![first.clone(), second.clone()], bias: bias.clone() };
            assert_eq!(affine_interval(&affine, &[1, 3], &inputs), Ok(walked));
        }
        let edge = |coefficient: i64| {
            let affine = Affine { axis: 1, coefficients: vec![vec![1], vec![0, coefficient]], bias: vec![-1] };
            affine_interval(&affine, &[1, 2], &[Interval { min: -1, max: 0 }, Interval { min: -1, max: 1 }])
        };
        assert!(edge((1 << 62) - 2).is_ok() && edge((1 << 62) - 1).is_err() && edge(i64::MIN).is_err());
    }
}
