//! The complete check of a graph that comes from outside, and the intervals that its checks enforce.
//!
//! After [`Graph::validate`] nothing that walks the graph can go out of bounds, overflow or run for ever. The check itself
//! takes time in proportion to the graph's bytes, not to the sizes they state: a few bytes can state 2^26 windows of 2^26 taps.

use std::collections::HashMap;

use crate::model::{Encoding, Feature, Function, Graph, Node, Tensor, TensorId};
use crate::ops::{Checked, Site};

/// Bounds on what a graph may ask for.
pub mod limits {
    /// Narrowest range table.
    pub const MIN_TABLE_BITS: u32 = 2;
    /// Widest range table (a table has 2^w rows).
    pub const MAX_TABLE_BITS: u32 = zkslice_circuit::MAX_TABLE_BITS;
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
    /// Most functions: with range tables as many tables as a circuit may have.
    pub const MAX_FUNCTIONS: usize = 1000;
    /// Most tensors, and most nodes.
    pub const MAX_NODES: usize = 1 << 20;
    /// Longest name, in bytes.
    pub const MAX_NAME: usize = 1 << 12;
    /// Above every magnitude of an accumulator, summed over absolute values.
    pub const MAX_MAGNITUDE: i128 = zkslice_circuit::Interval::LIMIT;
}

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
    /// A function's table is not one that can be built.
    #[error("function {index}: {reason}")]
    Function {
        /// Position among the functions.
        index: usize,
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
    /// The file was written by a newer program, or by an older one.
    #[error(
        "the graph file has format version {found}; this program reads version {supported}: {}",
        if found > supported { "use a newer zkslice" } else { "compile the model again" }
    )]
    Version {
        /// Version in the file.
        found: u32,
        /// The version that is read.
        supported: u32,
    },
    /// The bytes after the header cannot be decoded.
    #[error("the graph file is damaged: {0}")]
    Encoding(String),
}

/// A closed interval of integers, of which a graph's checks say that a tensor's values lie in it.
///
/// Not `zkslice_circuit::Interval`, which only constraints give. This one is computed while a graph may still be refused, and
/// saturates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interval {
    /// Smallest value.
    pub min: i128,
    /// Largest value.
    pub max: i128,
}

impl Interval {
    pub(crate) fn magnitude(self) -> i128 {
        self.min.abs().max(self.max.abs())
    }

    pub(crate) fn join(self, other: Interval) -> Interval {
        Interval { min: self.min.min(other.min), max: self.max.max(other.max) }
    }

    pub(crate) fn scaled(self, factor: i64) -> Interval {
        let (a, b) = (self.min.saturating_mul(factor.into()), self.max.saturating_mul(factor.into()));
        Interval { min: a.min(b), max: a.max(b) }
    }

    pub(crate) fn plus(self, other: Interval) -> Interval {
        Interval { min: self.min.saturating_add(other.min), max: self.max.saturating_add(other.max) }
    }

    pub(crate) fn point(value: i64) -> Interval {
        Interval { min: value.into(), max: value.into() }
    }

    pub(crate) const ZERO: Interval = Interval { min: 0, max: 0 };
}

impl Feature {
    /// Smallest and largest integer whose digit of `bits` bits fits.
    pub fn range(&self, bits: u32) -> (i64, i64) {
        (self.offset.saturating_neg(), ((1_i64 << bits.min(zkslice_circuit::gadgets::MAX_DIGIT_BITS)) - 1).saturating_sub(self.offset))
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
        let ranges = self.function_ranges()?;
        let given: Vec<bool> = intervals.iter().map(Option::is_some).collect();
        let mut work = 0_u128;
        for node in &self.nodes {
            let wrong = |reason: String| GraphError::Node { node: node.name.chars().take(200).collect(), reason };
            check_name(&node.name).map_err(wrong)?;
            let checked = self.check_node(node, &intervals, &ranges).map_err(wrong)?;
            work = work.saturating_add(checked.work);
            if work > limits::MAX_WORK {
                return Err(wrong("the graph needs more multiplications than are allowed".into()));
            }
            let slot = intervals.get_mut(node.output).ok_or_else(|| wrong(format!("there is no tensor {}", node.output)))?;
            if slot.is_some() {
                return Err(wrong(format!("tensor {} is written twice", node.output)));
            }
            *slot = Some(checked.interval);
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

    /// Checks the functions; gives where the values of each lie.
    fn function_ranges(&self) -> Result<Vec<Interval>, GraphError> {
        if self.functions.len() > limits::MAX_FUNCTIONS {
            return Err(GraphError::Size(format!("{} functions; at most {} are possible", self.functions.len(), limits::MAX_FUNCTIONS)));
        }
        let mut tables = HashMap::new();
        let check = |(index, function): (usize, &Function)| {
            let wrong = |reason: String| GraphError::Function { index, reason };
            let range = function.check(self.table_bits).map_err(wrong)?;
            // A circuit has one table for both, and would cost less than its graph says.
            match tables.insert(function.entries(), index) {
                Some(other) => Err(wrong(format!("its table is that of function {other}: use that one"))),
                None => Ok(range),
            }
        };
        self.functions.iter().enumerate().map(check).collect()
    }

    /// What a node's operator says of it, given the intervals of what was made before it and of functions' values.
    fn check_node(&self, node: &Node, intervals: &[Option<Interval>], ranges: &[Interval]) -> Result<Checked, String> {
        let mut tensors = Vec::with_capacity(node.inputs.len());
        let mut inputs = Vec::with_capacity(node.inputs.len());
        for &id in &node.inputs {
            tensors.push(self.tensors.get(id).ok_or_else(|| format!("there is no tensor {id}"))?);
            inputs.push(intervals.get(id).copied().flatten().ok_or_else(|| format!("tensor {id} is read before it is made"))?);
        }
        let output = self.tensors.get(node.output).ok_or_else(|| format!("there is no tensor {}", node.output))?;
        let site = Site { node: &node.name, table_bits: self.table_bits, inputs: tensors, output, functions: &self.functions, ranges };
        node.op.check(&site, &inputs)
    }
}

fn check_name(name: &str) -> Result<(), String> {
    if name.len() > limits::MAX_NAME { Err(format!("its name has {} bytes", name.len())) } else { Ok(()) }
}

/// The number of elements of a shape within the limits.
pub fn checked_elements(shape: &[usize]) -> Result<usize, String> {
    if shape.len() > limits::MAX_RANK {
        return Err(format!("it has {} axes; at most {} are possible", shape.len(), limits::MAX_RANK));
    }
    shape
        .iter()
        .try_fold(1_usize, |product, &dim| product.checked_mul(dim).filter(|&p| p > 0 && p <= limits::MAX_ELEMENTS))
        .ok_or_else(|| format!("shape {shape:?} is empty or has more than {} elements", limits::MAX_ELEMENTS))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::model::{Port, Scale};
    use crate::ops::{Affine, Clip, Conv, MaxPool, Op, SumPool, Window};

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
            functions: Vec::new(),
        }
    }

    fn read(graph: &Graph) -> Result<Graph, String> {
        Graph::from_bytes(&graph.to_bytes().unwrap()).map_err(|error| error.to_string())
    }

    /// A few bytes that state up to 2^52 taps or terms. A check that walks them never comes back.
    #[test]
    fn statements_of_huge_work_are_answered_without_doing_it() {
        const MOST: usize = limits::MAX_ELEMENTS;
        let (too_much, padding) = ("more multiplications than are allowed", "lies wholly in the padding");
        for (window, says) in [
            // Every window's first tap on the input is among its last.
            (Window::line(1, MOST, MOST, 1, 1, MOST - 1), Some(too_much)),
            // As before, but the last window is past the input.
            (Window::line(1, MOST, MOST, 1, 1, MOST - 2), Some(padding)),
            // Taps two apart that all meet the one element, or where only the last of them misses it.
            (Window::line(1, MOST / 2 + 1, MOST / 2 + 1, 2, 2, MOST), Some(too_much)),
            (Window::line(MOST - 1, MOST, 2, 1, MOST, MOST - 1), Some(padding)),
            (Window::line(MOST, MOST, MOST, 1, 1, MOST - 1), Some(too_much)),
            // Allowed: as much work as a graph may state, nearly all of it in the padding.
            (Window::line(1 << 19, 1 << 19, 1 << 18, 1, 1, (1 << 18) - 1), None),
        ] {
            let (input, output) = ([1, 1, window.input[2]], [1, 1, window.output[1]]);
            for op in [
                Op::MaxPool(MaxPool { window: window.clone(), limbs: 1 }),
                Op::SumPool(SumPool { window: window.clone(), multipliers: vec![] }),
            ] {
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
            let read = read(&one_node(Op::Clip(Clip { min, max, limbs: 1 }), &[3], 1, &[3]));
            match says {
                None => assert!(read.is_ok(), "{min:?} {max:?}: {read:?}"),
                Some(says) => assert!(read.unwrap_err().contains(says), "{min:?} {max:?}"),
            }
        }
    }

    /// A tensor without axes has one element and fits no window, whatever the window states.
    #[test]
    fn attack_windows_over_tensors_without_axes() {
        let window = |input: [usize; 3], output: [usize; 2]| Window { input, output, ..Window::line(1, 1, 1, 1, 1, 0) };
        let conv = |window: Window, weights: &[i64], bias: &[i64]| {
            Op::Conv(Conv { window, groups: 1, weights: weights.to_vec(), bias: bias.to_vec() })
        };
        let pool = |window: Window| Op::MaxPool(MaxPool { window, limbs: 1 });
        for op in [
            conv(window([0, 2, 2], [0, 0]), &[], &[]),
            conv(window([1, 0, 5], [0, 0]), &[1], &[0]),
            pool(window([1, 2, 2], [0, 2])),
            pool(window([1, 2, 2], [2, 2])),
            pool(window([1 << 60, 2, 2], [2, 2])),
            Op::SumPool(SumPool { window: window([1, 2, 2], [2, 2]), multipliers: vec![] }),
        ] {
            let error = read(&one_node(op, &[], 1, &[])).unwrap_err();
            assert!(error.contains("does not fit"), "{error}");
        }
    }
}
