//! Scales: from requant points back to what their accumulators are made of.

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::emit::Builder;
use super::plan::{Consumer, Target, functions};
use super::{MOST_LOST, QuantiseError, Scales, at, common_count, compact, most};
use crate::calibrate::channels;
use crate::compile::{BITS, DEFAULT_MARGIN};
use crate::float::{FloatGraph, FloatNode, FloatOp, Kind, Pointwise, ValueId, pick};
use crate::goal::MOST_ERROR;
use crate::ranges::widening;
use zkslice_graph::Scale;

/// A channel's scale is no smaller than its tensor's divided by this.
const CHANNEL_SPREAD: f64 = 8.0;
/// Rounds of widening scales for max pools.
const MAX_ROUNDS: usize = 16;
/// Factor on the largest number of few observations, that of `widening`, up to which the margin follows.
const MAX_MARGIN: f64 = 4.0;

/// Part of a function's values on the samples that rounding its argument may lose: half of what a package may be off by.
const MOST_STEEPNESS: f64 = MOST_ERROR / 2.0;
/// Steps of a function's argument that leaps at whole numbers are no coarser than this, so that tenths and thirds of whole numbers stay
/// on their sides, where a table has so many.
const COARSEST_LEAP: f64 = 1.0 / 16.0;
/// Values of functions that are kept for the next setting: 32 MiB.
const MOST_KEPT: usize = 1 << 22;
/// Halvings after which what is left of a steep slope is none.
const LEAP_HALVINGS: usize = 20;

impl<'a> Builder<'a> {
    pub(super) fn limit(&self) -> f64 {
        (1_i64 << self.settings.table_bits) as f64
    }

    pub(super) fn float(&self) -> &'a FloatGraph {
        self.plan.float
    }

    pub(super) fn shape(&self, value: ValueId) -> &'a [usize] {
        &self.float().values[value].shape
    }

    /// How far beyond the largest of some numbers on the samples the range goes. `channels` of the value's are looked at apart.
    pub(super) fn margin(&self, value: ValueId, channels: usize) -> f64 {
        self.settings.inner_margin.unwrap_or_else(|| {
            let elements = self.float().values[value].len();
            // Neighbours in a plane go together: it shows as much as the root of its size of numbers that do not.
            let apart = if channels == 1 { elements } else { (elements / channels).isqrt() };
            let shown = widening(self.plan.statistics.samples * apart, elements).clamp(DEFAULT_MARGIN, MAX_MARGIN);
            // Inputs that go further take inner values along.
            self.settings.margin.map_or(shown, |margin| shown.max(margin))
        })
    }

    /// The largest magnitude that a value may have by what makes it, the model's own bounds.
    fn bound(&self, value: ValueId) -> Option<f64> {
        let node = &self.float().nodes[self.plan.producer[value]?];
        match &node.op {
            FloatOp::Clip { min, max } => Some(min.abs().max(max.abs())).filter(|bound| bound.is_finite()),
            FloatOp::Relu => match self.plan.producer[node.inputs[0]].map(|index| &self.float().nodes[index].op) {
                Some(FloatOp::Clip { max, .. }) if max.is_finite() => Some(max.max(0.0)),
                _ => self.bound(node.inputs[0]),
            },
            FloatOp::MaxPool { .. }
            | FloatOp::AveragePool { .. }
            | FloatOp::Reshape
            | FloatOp::Transpose { .. }
            | FloatOp::View { .. }
            | FloatOp::Gather { .. } => self.bound(node.inputs[0]),
            FloatOp::Concat { .. } | FloatOp::Maximum => {
                node.inputs.iter().map(|&id| self.bound(id)).try_fold(0.0, |most: f64, bound| Some(most.max(bound?)))
            }
            FloatOp::Constant { values } => Some(values.iter().fold(0.0, |most, x| most.max(x.abs()))),
            FloatOp::Map(_) => self.functions[self.plan.producer[value]?].as_ref().map(Tabulated::largest),
            FloatOp::Product => Some(self.bound(node.inputs[0])? * self.bound(node.inputs[1])?),
            FloatOp::Affine { coefficients, bias, .. } => {
                let largest = |list: &[f64]| list.iter().fold(0.0_f64, |most, x| most.max(x.abs()));
                let terms = node.inputs.iter().zip(coefficients).map(|(&id, list)| Some(self.bound(id)? * largest(list)));
                terms.sum::<Option<f64>>().map(|sum| sum + largest(bias))
            }
            FloatOp::Step | FloatOp::OneHot { .. } => Some(1.0),
            _ => None,
        }
    }

    /// The scale after a requant point on `value`, one for all or one an element: the largest magnitude on the samples,
    /// times the margin, reaches `levels`.
    pub(super) fn requant_scales(&self, value: ValueId, levels: f64, by_channel: bool) -> Scales {
        let statistics = self.plan.statistics;
        // A Clip's bounds are rounded in the integers of what it reads, by no more than that.
        let bound = self.bound(value).map_or(f64::INFINITY, |bound| bound * (1.0 + MOST_LOST));
        // A magnitude at the bound must not round to one level more than there are.
        let to_scale = |magnitude: f64, margin: f64| (magnitude * margin).min(bound * levels / (levels - 1.0)) / levels;
        let margin = self.margin(value, 1);
        let whole = to_scale(statistics.largest(value), margin);
        if whole <= 0.0 {
            // Never anything but zero on the samples: any scale is right for them.
            return vec![margin / levels];
        }
        let shape = self.shape(value);
        if !by_channel || channels(shape) == 1 {
            return vec![whole];
        }
        let inner: usize = shape[2..].iter().product();
        let margin = self.margin(value, channels(shape));
        let each = statistics.by_channel(value).iter();
        compact(each.flat_map(|&m| std::iter::repeat_n(to_scale(m, margin).max(whole / CHANNEL_SPREAD), inner)).collect())
    }

    /// Sets the accumulator scales of all linear values, from requant points back to producers. Where a max pool's
    /// windows spread too far to be compared, its requant point's scale grows, and all is done again.
    pub(super) fn set_targets(&mut self) -> Result<(), QuantiseError> {
        let mut growth: Vec<Vec<f64>> = self.float().values.iter().map(|value| vec![1.0; channels(&value.shape)]).collect();
        // The second round settles it unless a requant point has several max pools before it.
        for _ in 0..MAX_ROUNDS {
            let mut grew = false;
            for index in (0..self.float().nodes.len()).rev() {
                let node = &self.float().nodes[index];
                let output = node.output;
                let limit = self.limit();
                let scales = match self.plan.target[output] {
                    None | Some(Target::Fixed | Target::Through(_)) => None,
                    Some(Target::Output(position)) => {
                        let scale = self.output_scale(position, most(&growth[output]))?.value();
                        Some(vec![scale / limit])
                    }
                    Some(Target::Argument(reader)) => {
                        let scale = self.functions[reader].as_ref().map_or(1.0, |tabulated| tabulated.scale);
                        Some(vec![scale / limit])
                    }
                    Some(target @ (Target::Relu | Target::Own | Target::Sign)) => {
                        let (levels, reader) = match (target, self.plan.consumers[output].first()) {
                            (Target::Relu, Some(Consumer::Node(relu))) => (limit, self.float().nodes[*relu].output),
                            _ => (limit / 2.0, output),
                        };
                        let by_channel = self.plan.made_by_channel(output) && self.plan.foldable[reader][1];
                        let scales = self.requant_scales(output, levels, by_channel);
                        let count = self.float().values[output].len();
                        let inner = count / growth[output].len();
                        Some(if scales.len() == 1 {
                            vec![scales[0] * most(&growth[output]) / limit]
                        } else {
                            scales.iter().enumerate().map(|(e, s)| s * growth[output][e / inner] / limit).collect()
                        })
                    }
                };
                if scales.is_some() {
                    self.targets[output] = scales;
                }
                if let Some(scales) = self.targets[output].clone() {
                    self.pass_back(node, &scales);
                }
            }
            for (index, node) in self.float().nodes.iter().enumerate() {
                let Some(scales) = self.targets[node.output].as_ref().filter(|_| matches!(node.op, FloatOp::MaxPool { .. })) else {
                    continue;
                };
                let inner = self.float().values[node.output].len() / self.plan.statistics.spreads[index].len();
                let room = self.limit() * self.limit();
                let needs: Vec<f64> = self.plan.statistics.spreads[index]
                    .iter()
                    .enumerate()
                    .map(|(channel, spread)| spread * self.margin(node.output, 1) / (at(scales, channel * inner) * room))
                    .collect();
                if most(&needs) <= 1.0 + 1e-9 {
                    continue;
                }
                grew = true;
                let root = &mut growth[self.to_root(node.output).0];
                if root.len() == needs.len() {
                    root.iter_mut().zip(&needs).for_each(|(growth, need)| *growth *= need.max(1.0));
                } else {
                    root.iter_mut().for_each(|growth| *growth *= most(&needs));
                }
            }
            if !grew {
                break;
            }
        }
        Ok(())
    }

    pub(super) fn output_scale(&self, position: usize, growth: f64) -> Result<Scale, QuantiseError> {
        let (name, value) = &self.float().outputs[position];
        let scale = self.requant_scales(*value, self.limit() / 2.0, false)[0] * growth;
        Scale::at_least(scale).ok_or_else(|| QuantiseError::Scale {
            side: "output",
            name: name.clone(),
            magnitude: self.plan.statistics.largest(*value),
        })
    }

    /// Passes accumulator scales from a node's output to those of its inputs that flow through it.
    fn pass_back(&mut self, node: &FloatNode, scales: &[f64]) {
        for (position, &input) in node.inputs.iter().enumerate() {
            let count = self.float().values[input].len();
            if !matches!(self.plan.target[input], Some(Target::Through(_))) {
                continue;
            }
            let passed = match &node.op {
                FloatOp::MaxPool { window } | FloatOp::AveragePool { window, .. } => {
                    let factor = match &node.op {
                        FloatOp::AveragePool { counts, .. } => common_count(counts) as f64,
                        _ => 1.0,
                    };
                    if scales.len() == 1 {
                        vec![scales[0] * factor]
                    } else {
                        let inner = window.output[0] * window.output[1];
                        let area = window.input[1] * window.input[2];
                        scales.chunks_exact(inner).flat_map(|plane| std::iter::repeat_n(plane[0] * factor, area)).collect()
                    }
                }
                FloatOp::Affine { axis, coefficients, .. } => {
                    let list = &coefficients[position];
                    let shape = self.shape(input);
                    let inner: usize = shape[axis + 1..].iter().product();
                    let each = (0..count).map(|e| at(scales, e) / pick(list, e / inner % shape[*axis]).abs());
                    compact(each.collect())
                }
                // Moves: requant points behind them have one scale a tensor (see `made_by_channel`).
                _ => scales[..1].to_vec(),
            };
            self.targets[input] = Some(passed);
        }
    }

    /// The value at whose requant point the accumulators of `value` end, and what their rows are multiplied by until there: one
    /// factor for all or one per row.
    pub(super) fn to_root(&self, mut value: ValueId) -> (ValueId, Vec<f64>) {
        let mut grown = vec![1.0];
        while let Some(Target::Through(index)) = self.plan.target[value] {
            let node = &self.float().nodes[index];
            if let FloatOp::Affine { coefficients, .. } = &node.op
                && let Some(position) = node.inputs.iter().position(|&id| id == value)
            {
                let list: Vec<f64> = coefficients[position].iter().map(|c| c.abs()).collect();
                grown = match (grown.len(), list.len()) {
                    (_, 1) => grown.iter().map(|g| g * list[0]).collect(),
                    (1, _) => list.iter().map(|c| grown[0] * c).collect(),
                    (rows, count) if rows == count => grown.iter().zip(&list).map(|(g, c)| g * c).collect(),
                    _ => vec![most(&grown) * most(&list)],
                };
            }
            value = node.output;
        }
        (value, grown)
    }

    /// Tabulates every function, one table for all nodes that have the same one.
    pub(super) fn set_functions(&mut self) -> Result<(), QuantiseError> {
        for (group, bits) in functions(self.float()).into_iter().zip(self.settings.function_bits) {
            let argument = self.argument(&group);
            let tabulated = if self.kind(self.float().nodes[group[0]].inputs[0]) == Kind::Real {
                let entries = f64::from(1_u32 << bits) - 2.0;
                let step = |reach: f64| if leaps(argument.functions) { dyadic(reach / entries) } else { reach / entries };
                let coarsest = step(argument.reach.1 - argument.reach.0);
                if leaps(argument.functions) && coarsest > COARSEST_LEAP && bits < BITS.end() {
                    // What is near a leap would leap with it: a wider table may tell them apart.
                    let range = self.plan.statistics.largest(self.float().nodes[group[0]].output).max(f64::MIN_POSITIVE);
                    let node = self.float().nodes[group[0]].name.clone();
                    return Err(QuantiseError::Steep { node, lost: 0.5 * coarsest / range, table_bits: *bits });
                }
                let first = self.tabulate(&argument, coarsest)?;
                // What the function has no value for, or too large ones, is left out; the rest may be finer.
                let (least, most) = first.reach();
                self.tabulate(&argument, step((most - least).max(f64::MIN_POSITIVE)))?
            } else {
                self.tabulate(&argument, 1.0)?
            };
            for index in &group {
                self.functions[*index] = Some(Tabulated { shared: group.len() > 1, ..tabulated.clone() });
            }
        }
        Ok(())
    }

    /// What the samples show of the arguments of some nodes with one function.
    pub(super) fn argument(&self, group: &[usize]) -> Argument<'a> {
        let (mut seen, mut reach) = ((f64::INFINITY, f64::NEG_INFINITY), (f64::INFINITY, f64::NEG_INFINITY));
        let mut cap = 0.0_f64;
        for &index in group {
            let node = &self.float().nodes[index];
            let (min, max) = self.plan.statistics.extremes(node.inputs[0]);
            let beyond = (self.margin(node.inputs[0], 1) - 1.0) * min.abs().max(max.abs());
            seen = (seen.0.min(min), seen.1.max(max));
            reach = (reach.0.min(min - beyond), reach.1.max(max + beyond));
            cap = cap.max(self.margin(node.output, 1) * self.plan.statistics.largest(node.output));
        }
        if reach.0 >= reach.1 {
            reach = (reach.0 - 1.0, reach.1 + 1.0);
        }
        let node = &self.float().nodes[group[0]];
        let functions: &[Pointwise] = if let FloatOp::Map(functions) = &node.op { functions } else { &[] };
        let exact = self.kind(node.output) != Kind::Real;
        Argument { node, functions, seen, reach, cap: if cap == 0.0 || exact { f64::INFINITY } else { cap }, exact }
    }

    /// A function's table, of arguments that are multiples of `scale`.
    pub(super) fn tabulate(&self, argument: &Argument<'_>, scale: f64) -> Result<Tabulated, QuantiseError> {
        let &Argument { node, functions, exact, .. } = argument;
        let curve = self.settings.curves.get(self.key(argument, scale), || self.curve(argument, scale))?;
        let list = &curve.values;
        let (min, max) = list.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(min, max), &y| (min.min(y), max.max(y)));
        // Rounding at both ends may add a step.
        let steps = self.limit() - 2.0;
        let output_scale = match (exact, max - min) {
            (true, _) => 1.0,
            (_, spread) if leaps(functions) && spread > 0.0 => dyadic(spread / steps),
            (_, spread) if spread > 0.0 => spread / steps,
            _ => max.abs().max(f64::MIN_POSITIVE) / steps,
        };
        if exact && (max - min > steps || list.iter().any(|y| (y - y.round()).abs() > 1e-9)) {
            let reason = format!("its results from {min} to {max} are no integers of {} bits", self.settings.table_bits);
            return Err(QuantiseError::Exact { node: node.name.clone(), reason });
        }
        let values = super::integers(&node.name, list.iter().map(|y| y / output_scale))?;
        Ok(Tabulated { scale, first: curve.first, values, output_scale, shared: false })
    }

    /// What a curve hangs on, beside the model and the options.
    fn key(&self, argument: &Argument<'_>, scale: f64) -> CurveKey {
        let &Argument { node, seen, reach, cap, .. } = argument;
        let numbers = [scale, seen.0, seen.1, reach.0, reach.1, cap, self.plan.statistics.largest(node.output)];
        (node.output, numbers.map(f64::to_bits))
    }

    /// The function at multiples of `scale`, as far as its arguments reach and its values stay finite and below what is expected.
    fn curve(&self, argument: &Argument<'_>, scale: f64) -> Result<Curve, QuantiseError> {
        let &Argument { node, functions, seen, reach, cap, exact } = argument;
        let integer = |x: f64| (x / scale).round() as i64;
        let (least, greatest) = (integer(reach.0), integer(reach.1));
        let most_entries = 1_i64 << zkslice_graph::limits::MAX_TABLE_BITS;
        if greatest.saturating_sub(least) >= most_entries {
            let reason = format!("its arguments from {} to {} are more than a table of {most_entries} entries holds", reach.0, reach.1);
            return Err(QuantiseError::Exact { node: node.name.clone(), reason });
        }
        let apply = |x: f64| functions.iter().fold(x, |x, function| function.at(x));
        // A number that rounds to where the function has no value is not there itself.
        let value = |j: i64| {
            let (x, y) = (j as f64 * scale, apply(j as f64 * scale));
            let near = x.clamp(seen.0, seen.1);
            if y.is_finite() || (near - x).abs() > scale { y } else { apply(near) }
        };
        let (from, to) = (integer(seen.0).clamp(least, greatest), integer(seen.1).clamp(least, greatest));
        let mut list: Vec<f64> = (from..=to).map(value).collect();
        if let Some(position) = list.iter().position(|y| !y.is_finite()) {
            return Err(QuantiseError::Function {
                node: node.name.clone(),
                function: functions.first().map_or("", |function| function.name),
                at: (from + position as i64) as f64 * scale,
                min: seen.0,
                max: seen.1,
            });
        }
        // What rounding an argument to the table's steps may change, as a part of what the function gives on the samples.
        let range = self.plan.statistics.largest(node.output);
        let rounds = !exact && self.kind(node.inputs[0]) == Kind::Real && range > 0.0;
        // A neighbour's half step is this one's too.
        let halfway = [Cell::new((i64::MIN, 0.0)), Cell::new((i64::MIN, 0.0))];
        let after = |j: i64| {
            let kept = &halfway[j.rem_euclid(2) as usize];
            if kept.get().0 != j {
                kept.set((j, apply(j as f64 * scale + scale / 2.0)));
            }
            kept.get().1
        };
        let lost = |j: i64, y: f64| {
            if !rounds {
                return 0.0;
            }
            let moved = (after(j - 1) - y).abs().max((after(j) - y).abs());
            let allowed = MOST_STEEPNESS * range;
            if moved <= allowed { moved / range } else { steepness(apply, j as f64 * scale, scale / 2.0, allowed) / range }
        };
        let worst = (from..=to).zip(&list).map(|(j, &y)| lost(j, y)).fold(0.0, f64::max);
        if worst > MOST_STEEPNESS {
            return Err(QuantiseError::Steep { node: node.name.clone(), lost: worst, table_bits: self.settings.table_bits });
        }
        let fits = |&(j, y): &(i64, f64)| y.is_finite() && y.abs() <= cap && lost(j, y) <= MOST_STEEPNESS;
        let at = |j: i64| (j, value(j));
        let below: Vec<f64> = (least..from).rev().map(at).take_while(fits).map(|(_, y)| y).collect();
        let above = (to + 1..=greatest).map(at).take_while(fits).map(|(_, y)| y);
        let first = from - below.len() as i64;
        list = below.into_iter().rev().chain(list).chain(above).collect();
        Ok(Curve { first, values: list })
    }
}

/// Whether a function leaps at whole numbers, or at multiples of one. On which side of a leap it is at an argument that is one of these,
/// as integers make them, must not be a matter of rounding.
fn leaps(functions: &[Pointwise]) -> bool {
    functions.iter().any(|function| matches!(function.name, "Cast" | "Ceil" | "Floor" | "Mod" | "Round" | "Trunc"))
}

/// The least power of two that is not below a positive number: whole numbers are multiples of it where it is at most 1.
fn dyadic(x: f64) -> f64 {
    let x = x.max(f64::MIN_POSITIVE);
    let power = f64::from_bits(x.to_bits() >> 52 << 52);
    if power < x { 2.0 * power } else { power }
}

/// How far a function moves between `x` and half a step beside it. Leaps beyond `allowed` are left out: a finer table moves a leap, but takes
/// nothing off it.
fn steepness(f: impl Fn(f64) -> f64, x: f64, half: f64, allowed: f64) -> f64 {
    let beside = |side: f64| {
        let (mut a, mut b) = (x, x + side);
        let moved = (f(b) - f(a)).abs();
        if moved <= allowed {
            return moved;
        }
        for _ in 0..LEAP_HALVINGS {
            let middle = 0.5 * (a + b);
            if (f(middle) - f(a)).abs() > (f(b) - f(middle)).abs() { b = middle } else { a = middle }
        }
        let is_leap = (f(b) - f(a)).abs() > 0.5 * moved;
        if moved.is_finite() && !is_leap { moved } else { 0.0 }
    };
    beside(-half).max(beside(half))
}

/// What the samples show of a function's arguments and values.
pub(super) struct Argument<'a> {
    node: &'a FloatNode,
    functions: &'a [Pointwise],
    /// Least and greatest argument on the samples.
    seen: (f64, f64),
    /// The same with the margin.
    pub(super) reach: (f64, f64),
    /// Largest magnitude of a value, with the margin.
    cap: f64,
    /// Whether values are integers.
    exact: bool,
}

impl<'a> Argument<'a> {
    /// The same where arguments lie between bounds that something else sets.
    pub(super) fn within(self, min: f64, max: f64) -> Argument<'a> {
        Argument { reach: (min, max), seen: (self.seen.0.clamp(min, max), self.seen.1.clamp(min, max)), ..self }
    }
}

/// A function's values at whole multiples of a step.
#[derive(Debug)]
struct Curve {
    /// The least multiple.
    first: i64,
    values: Vec<f64>,
}

type CurveKey = (ValueId, [u64; 7]);

/// The curves of a model, which most settings that are tried share.
#[derive(Debug, Default)]
pub(crate) struct Curves(Mutex<HashMap<CurveKey, Arc<Curve>>>);

impl Curves {
    fn get(&self, key: CurveKey, make: impl FnOnce() -> Result<Curve, QuantiseError>) -> Result<Arc<Curve>, QuantiseError> {
        let lock = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(curve) = lock().get(&key) {
            return Ok(Arc::clone(curve));
        }
        let curve = Arc::new(make()?);
        let mut all = lock();
        if all.values().map(|curve| curve.values.len()).sum::<usize>() + curve.values.len() <= MOST_KEPT {
            all.insert(key, Arc::clone(&curve));
        }
        Ok(curve)
    }
}

/// A function's table.
#[derive(Clone, Debug)]
pub(super) struct Tabulated {
    /// What one unit of its argument means.
    pub(super) scale: f64,
    /// Least argument.
    pub(super) first: i64,
    /// Values in the order of their arguments.
    pub(super) values: Vec<i64>,
    /// What one unit of a value means.
    pub(super) output_scale: f64,
    /// Whether several nodes look it up.
    pub(super) shared: bool,
}

impl Tabulated {
    /// Largest magnitude of an argument.
    pub(super) fn farthest(&self) -> f64 {
        let (least, most) = self.reach();
        least.abs().max(most.abs())
    }

    /// Largest magnitude of a value.
    fn largest(&self) -> f64 {
        self.values.iter().fold(0, |most, value| most.max(value.unsigned_abs())) as f64 * self.output_scale
    }

    /// Between which real numbers its arguments lie.
    fn reach(&self) -> (f64, f64) {
        (self.first as f64 * self.scale, (self.first + self.values.len() as i64 - 1) as f64 * self.scale)
    }
}
