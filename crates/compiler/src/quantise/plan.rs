//! What is decided before any scale is known: where each linear value is requantised.

use super::common_count;
use crate::calibrate::Statistics;
use crate::float::{FloatGraph, FloatNode, FloatOp, Kind, ValueId};

/// Extra non-zeros in later layers that saving one requantised value may cost.
const MOST_EXTRA_NON_ZEROS: u128 = 1000;
/// Largest divisor of an average pool that is left to the next layer's constants; each factor of two costs them a bit.
const MOST_FOLDED_DIVISOR: u64 = 16;

/// Who reads a value.
#[derive(Clone, Copy, Debug)]
pub(super) enum Consumer {
    /// A node, by index.
    Node(usize),
    /// An output, by index.
    Output(usize),
}

/// Where a linear value is requantised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// By the ReLU that reads it.
    Relu,
    /// By the function that reads it.
    Argument(usize),
    /// Not at all: whoever reads it looks at its sign alone.
    Sign,
    /// By the requantisation of an output.
    Output(usize),
    /// At once, by a requantisation of its own.
    Own,
    /// By whatever requantises the result of the one node that reads it.
    Through(usize),
    /// Not at all: a move whose inputs are fixed once they are requantised themselves.
    Fixed,
}

/// What is decided before any scale is known.
pub(super) struct Plan<'a> {
    pub(super) float: &'a FloatGraph,
    pub(super) statistics: &'a Statistics,
    pub(super) producer: Vec<Option<usize>>,
    pub(super) consumers: Vec<Vec<Consumer>>,
    /// For each linear value where it is requantised; `None` for fixed values.
    pub(super) target: Vec<Option<Target>>,
    /// For each value whether every consumer of it, fixed, can fold scales that differ by channel: without and with spatial axes.
    pub(super) foldable: Vec<[bool; 2]>,
}

impl<'a> Plan<'a> {
    pub(super) fn new(float: &'a FloatGraph, statistics: &'a Statistics) -> Plan<'a> {
        let count = float.values.len();
        let mut producer = vec![None; count];
        let mut consumers: Vec<Vec<Consumer>> = vec![Vec::new(); count];
        for (index, node) in float.nodes.iter().enumerate() {
            producer[node.output] = Some(index);
            for &input in &node.inputs {
                consumers[input].push(Consumer::Node(index));
            }
        }
        for (index, (_, id)) in float.outputs.iter().enumerate() {
            consumers[*id].push(Consumer::Output(index));
        }
        let mut plan = Plan { float, statistics, producer, consumers, target: vec![None; count], foldable: foldable(float) };
        let linear = plan.linear();
        for node in float.nodes.iter().rev().filter(|node| linear[node.output]) {
            plan.target[node.output] = Some(plan.decide(node));
        }
        plan
    }

    /// Which values are linear by what makes them.
    fn linear(&self) -> Vec<bool> {
        let mut linear = vec![false; self.float.values.len()];
        let later = self.later_non_zeros();
        // Wires that an element of a fixed value is a sum of.
        let mut density = vec![1_u128; self.float.values.len()];
        // What the scale of a fixed value was divided by on its way.
        let mut divisor = vec![1_u64; self.float.values.len()];
        for node in &self.float.nodes {
            let output = node.output;
            let inherited = node.inputs.iter().any(|&id| linear[id]);
            density[output] = node.inputs.iter().map(|&id| density[id]).max().unwrap_or(1);
            divisor[output] = node.inputs.iter().map(|&id| divisor[id]).max().unwrap_or(1);
            linear[output] = match &node.op {
                _ if self.float.values[output].kind != Kind::Real => false,
                FloatOp::Conv { .. } | FloatOp::Dense { .. } | FloatOp::Affine { .. } => true,
                FloatOp::AveragePool { window, counts } => {
                    let taps = density[output].saturating_mul((window.kernel[0] * window.kernel[1]) as u128);
                    let extra = later[output].saturating_mul(taps.saturating_sub(1));
                    density[output] = taps;
                    divisor[output] = divisor[output].saturating_mul(common_count(counts));
                    inherited
                        || divisor[output] > MOST_FOLDED_DIVISOR
                        || extra > MOST_EXTRA_NON_ZEROS * self.float.values[output].len() as u128
                }
                FloatOp::Clip { .. }
                | FloatOp::MaxPool { .. }
                | FloatOp::Reshape
                | FloatOp::Transpose { .. }
                | FloatOp::Concat { .. }
                | FloatOp::View { .. }
                | FloatOp::Gather { .. } => inherited,
                FloatOp::Relu
                | FloatOp::Constant { .. }
                | FloatOp::Map(_)
                | FloatOp::Product
                | FloatOp::MatMul { .. }
                | FloatOp::Divide { .. }
                | FloatOp::Sqrt
                | FloatOp::Maximum
                | FloatOp::Step
                | FloatOp::Hold { .. }
                | FloatOp::OneHot { .. } => false,
            };
            if linear[output] || !(is_move(&node.op) || matches!(node.op, FloatOp::AveragePool { .. })) {
                density[output] = 1;
                divisor[output] = 1;
            }
        }
        linear
    }

    /// For each value the non-zeros of the linear layers that read it, directly or through moves and average pools.
    fn later_non_zeros(&self) -> Vec<u128> {
        let mut later = vec![0_u128; self.float.values.len()];
        for node in self.float.nodes.iter().rev() {
            let outputs = self.float.values[node.output].len() as u128;
            let more = match &node.op {
                FloatOp::Conv { weights, bias, .. } => outputs * (weights.len() / bias.len()) as u128,
                FloatOp::Dense { k, .. } => outputs * *k as u128,
                FloatOp::Reshape | FloatOp::Transpose { .. } | FloatOp::Concat { .. } | FloatOp::View { .. } | FloatOp::Gather { .. } => {
                    later[node.output]
                }
                FloatOp::AveragePool { window, .. } => later[node.output].saturating_mul((window.kernel[0] * window.kernel[1]) as u128),
                FloatOp::Affine { .. }
                | FloatOp::Relu
                | FloatOp::Clip { .. }
                | FloatOp::MaxPool { .. }
                | FloatOp::Constant { .. }
                | FloatOp::Map(_)
                | FloatOp::Product
                | FloatOp::MatMul { .. }
                | FloatOp::Divide { .. }
                | FloatOp::Sqrt
                | FloatOp::Maximum
                | FloatOp::Step
                | FloatOp::Hold { .. }
                | FloatOp::OneHot { .. } => outputs,
            };
            for &input in &node.inputs {
                later[input] = later[input].saturating_add(more);
            }
        }
        later
    }

    /// Where the linear value that `node` makes is requantised; its consumers are decided already.
    fn decide(&self, node: &FloatNode) -> Target {
        let here = if is_move(&node.op) { Target::Fixed } else { Target::Own };
        let readers = &self.consumers[node.output];
        let [consumer] = readers[..] else {
            // Moves that all end in one function want one scale of it.
            let functions: Option<Vec<_>> = readers.iter().map(|reader| self.function_behind(*reader)).collect();
            return match (functions.as_deref(), readers.first()) {
                (Some([(one, factor), others @ ..]), Some(Consumer::Node(first)))
                    if others.iter().all(|(other, by)| same_function(self.float, *one, *other) && factor == by) =>
                {
                    Target::Through(*first)
                }
                _ => here,
            };
        };
        match consumer {
            Consumer::Output(index) => Target::Output(index),
            Consumer::Node(index) => {
                let reader = &self.float.nodes[index];
                match &reader.op {
                    FloatOp::Conv { .. } | FloatOp::Dense { .. } => here,
                    FloatOp::Relu => Target::Relu,
                    FloatOp::Map(_) => Target::Argument(index),
                    FloatOp::Step => Target::Sign,
                    FloatOp::Affine { axis, coefficients, .. } => {
                        let mine = reader.inputs.iter().position(|&id| id == node.output);
                        let coefficients = mine.map_or(&[][..], |position| &coefficients[position]);
                        let even = coefficients.iter().all(|c| c.abs() == coefficients[0].abs() && *c != 0.0);
                        let by_row = match node.op {
                            FloatOp::Conv { .. } => *axis == 1,
                            FloatOp::Dense { n, .. } => self.float.values[node.output].shape.get(*axis..) == Some([n].as_slice()),
                            _ => false,
                        };
                        if even || (by_row && !coefficients.contains(&0.0)) { Target::Through(index) } else { here }
                    }
                    FloatOp::AveragePool { counts, .. } if common_count(counts) > MOST_FOLDED_DIVISOR => here,
                    FloatOp::Clip { .. } | FloatOp::MaxPool { .. } | FloatOp::AveragePool { .. } => Target::Through(index),
                    op if is_move(op) => {
                        if self.target[reader.output] == Some(Target::Fixed) {
                            here
                        } else {
                            Target::Through(index)
                        }
                    }
                    _ => here,
                }
            }
        }
    }

    /// The function that takes what a move gives, by way of moves and sums alone, and what the sums multiply it by.
    fn function_behind(&self, reader: Consumer) -> Option<(usize, f64)> {
        let Consumer::Node(mut index) = reader else { return None };
        if !is_move(&self.float.nodes[index].op) {
            return None;
        }
        let mut factor = 1.0;
        loop {
            index = match self.target[self.float.nodes[index].output]? {
                Target::Argument(function) => return Some((function, factor)),
                Target::Through(next) => next,
                _ => return None,
            };
            match &self.float.nodes[index].op {
                op if is_move(op) => {}
                FloatOp::Affine { coefficients, .. } => {
                    let first = coefficients[0][0].abs();
                    if coefficients.iter().flatten().any(|c| c.abs() != first) {
                        return None;
                    }
                    factor *= first;
                }
                _ => return None,
            }
        }
    }

    /// Whether a requant point on `value` may have one scale per channel: everything that it takes its accumulators from
    /// can write them by channel.
    pub(super) fn made_by_channel(&self, value: ValueId) -> bool {
        let Some(index) = self.producer[value] else {
            return true;
        };
        if self.target[value].is_none() {
            return true;
        }
        let node = &self.float.nodes[index];
        match &node.op {
            FloatOp::Conv { .. } => true,
            FloatOp::MaxPool { .. } | FloatOp::AveragePool { .. } | FloatOp::Affine { .. } => {
                node.inputs.iter().all(|&id| !matches!(self.target[id], Some(Target::Through(_))) || self.made_by_channel(id))
            }
            _ => false,
        }
    }
}

/// Whether two nodes look one function up.
fn same_function(float: &FloatGraph, a: usize, b: usize) -> bool {
    let (a, b) = (&float.nodes[a], &float.nodes[b]);
    let real = |id: ValueId| float.values[id].kind == Kind::Real;
    a.op == b.op && real(a.inputs[0]) == real(b.inputs[0]) && real(a.output) == real(b.output)
}

/// The nodes that look functions up, those of one function together.
pub(crate) fn functions(float: &FloatGraph) -> Vec<Vec<usize>> {
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for index in (0..float.nodes.len()).filter(|&index| matches!(float.nodes[index].op, FloatOp::Map(_))) {
        match groups.iter_mut().find(|group| same_function(float, group[0], index)) {
            Some(group) => group.push(index),
            None => groups.push(vec![index]),
        }
    }
    groups
}

/// See [`Plan::foldable`].
fn foldable(float: &FloatGraph) -> Vec<[bool; 2]> {
    let mut foldable = vec![[true; 2]; float.values.len()];
    for node in float.nodes.iter().rev() {
        let [flat, planar] = foldable[node.output];
        let here = match &node.op {
            FloatOp::Conv { .. } => [false, true],
            FloatOp::Dense { rows, .. } => [*rows == 1; 2],
            FloatOp::MaxPool { .. } | FloatOp::AveragePool { .. } => [false, planar],
            FloatOp::Reshape | FloatOp::Transpose { .. } | FloatOp::View { .. } | FloatOp::Gather { .. } => [flat; 2],
            FloatOp::Concat { axis } => [flat, if *axis == 1 { planar } else { flat }],
            FloatOp::Relu => [flat, planar],
            // One bound for all elements needs one scale for all.
            FloatOp::Clip { .. } => [false; 2],
            FloatOp::Affine { .. } => [true; 2],
            FloatOp::Constant { .. }
            | FloatOp::Map(_)
            | FloatOp::Product
            | FloatOp::MatMul { .. }
            | FloatOp::Divide { .. }
            | FloatOp::Sqrt
            | FloatOp::Maximum
            | FloatOp::Step
            | FloatOp::Hold { .. }
            | FloatOp::OneHot { .. } => [false; 2],
        };
        for &input in &node.inputs {
            foldable[input].iter_mut().zip(here).for_each(|(all, here)| *all &= here);
        }
    }
    foldable
}

/// Whether an operator only moves elements.
pub(super) fn is_move(op: &FloatOp) -> bool {
    matches!(op, FloatOp::Reshape | FloatOp::Transpose { .. } | FloatOp::Concat { .. } | FloatOp::View { .. } | FloatOp::Gather { .. })
}
