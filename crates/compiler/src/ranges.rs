//! From samples to the digits of inputs: how far values may go, and whether each feature has a scale of its own.
//!
//! # How far
//! Samples show less than what comes later: of n draws from one distribution the next is beyond the largest with chance
//! 1/(n + 1). So what the samples show is widened as for a normal distribution: from the quantile that so many numbers
//! reach to the one that all elements of 500 fresh inputs stay below. A side on which many samples meet in exactly one
//! number (white pixels, flags) is taken for the edge that it is, and stays: more of them than in the next number inwards, for
//! counts and rounded numbers meet too, but fewer the further out. A range that is stated is taken as it is.
//!
//! # Scales per feature
//! A table of features in units of their own (dollars beside ratios and flags) loses the small ones to one scale for all.
//! Every feature gets a scale of its own where one scale would leave fewer than four steps to all samples of a feature, and
//! the feature's middle half varies or the model hangs on it: half a step of it moves an output notably. Pixels do not: one
//! that is dark on the samples is so by chance, few samples differ in it, and no output hangs on a step of it.

use rayon::prelude::*;

use crate::compile::{CompileError, InputRange, InputScales, Options};
use crate::float::{FloatGraph, FloatOp, Kind, Value, held_range};
use crate::goal::MOST_ERROR;
use crate::quantise::QuantiseError;
use zkslice_graph::Input;
use zkslice_graph::{Encoding, Feature, Scale};

/// Honest inputs of which at most one is refused.
const INPUTS_PER_REFUSAL: u64 = 500;
/// Share of the samples that meet in one extreme number, from which on it is an edge; at least [`MIN_EDGE`] of them.
const EDGE_SHARE: f64 = 0.1;
const MIN_EDGE: usize = 3;
/// Share of an output's range that losing half a step of one feature may move: half of what a package may be off by.
const MOST_MOVED: f64 = MOST_ERROR / 2.0;
/// Samples about which a feature is moved.
const MOVED_SAMPLES: usize = 2;
/// Features beyond which an input has one scale unless it is told otherwise: asking what hangs on each takes a run of the model.
const MOST_FEATURES: usize = 1024;
/// Most that samples are widened by.
const MAX_WIDENING: f64 = 8.0;

/// Upper quantiles of the standard normal distribution: entry k − 1 is exceeded with chance 2^−k. A table, since the
/// logarithm's last bits differ between systems and a package must not.
const QUANTILES: [f64; 40] = [
    0.000, 0.674, 1.150, 1.534, 1.863, 2.154, 2.418, 2.660, 2.886, 3.097, 3.297, 3.487, 3.668, 3.842, 4.009, 4.170, 4.325, 4.475, 4.621,
    4.763, 4.901, 5.035, 5.167, 5.295, 5.420, 5.543, 5.663, 5.780, 5.896, 6.009, 6.121, 6.230, 6.338, 6.444, 6.548, 6.651, 6.752, 6.852,
    6.951, 7.048,
];

/// How much further than the largest of `observed` numbers the largest of `fresh` numbers per input may go, if at most one
/// input in [`INPUTS_PER_REFUSAL`] is to hold one that goes further still.
pub(crate) fn widening(observed: usize, fresh: usize) -> f64 {
    let quantile = |k: u32| QUANTILES[(k.max(1) as usize - 1).min(QUANTILES.len() - 1)];
    let seen = quantile(observed.max(1).ilog2());
    // Both sides of the range, and twice as rarely, since what so few numbers reach is itself uncertain.
    let chance = 4 * INPUTS_PER_REFUSAL * (fresh.max(1) as u64);
    let wanted = quantile(u64::BITS - (chance - 1).leading_zeros());
    if seen * MAX_WIDENING <= wanted { MAX_WIDENING } else { (wanted / seen).max(1.0) }
}

/// The digits of one input, and where its features are constant once quantised.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct InputDigits {
    pub(crate) encoding: Encoding,
    /// Smallest and largest number that each feature was given room for; one for all, as in the encoding.
    pub(crate) ranges: Vec<(f64, f64)>,
    /// Features whose samples vary but become one integer.
    pub(crate) vanished: Vec<usize>,
    /// Features with scales of their own that are the same in all samples.
    pub(crate) constant: Vec<usize>,
}

/// The numbers of one feature, or of a whole input, in all samples.
struct Seen {
    /// Ascending.
    numbers: Vec<f64>,
    /// Samples that they are from.
    samples: usize,
    /// Elements of an input, any of which may leave its range.
    elements: usize,
}

impl Seen {
    fn quantile(&self, numerator: usize, denominator: usize) -> f64 {
        self.numbers[(self.numbers.len() - 1) * numerator / denominator]
    }

    /// The range that the samples, widened, are taken to show.
    fn range(&self, margin: Option<f64>) -> (f64, f64) {
        let (min, max) = (self.numbers[0], self.numbers[self.numbers.len() - 1]);
        let factor = margin.unwrap_or_else(|| widening(self.numbers.len(), self.elements));
        let middle = self.quantile(1, 2);
        let meet = |number: f64| self.numbers.iter().filter(|x| **x == number).count();
        let is_edge = |edge: f64| {
            let count = meet(edge);
            let inwards =
                if edge == max { self.numbers.iter().rev().find(|x| **x < edge) } else { self.numbers.iter().find(|x| **x > edge) };
            // The other end says nothing of this one.
            let next = inwards.filter(|x| **x != min && **x != max).map_or(0, |x| meet(*x));
            count >= MIN_EDGE && count as f64 >= EDGE_SHARE * self.samples as f64 && count >= next
        };
        let side = |edge: f64| if margin.is_none() && is_edge(edge) { edge } else { middle + (edge - middle) * factor };
        (side(min), side(max))
    }
}

/// What the digits of inputs are chosen from.
pub(crate) struct Chooser<'a> {
    float: &'a FloatGraph,
    samples: &'a [Input],
    ranges: &'a [InputRange],
    margin: Option<f64>,
    scales: InputScales,
    /// Largest magnitude of each output on the samples.
    reach: Vec<f64>,
    /// The outputs on the samples about which features are moved. Not what is expected of the model: a clamp may stand in the graph.
    before: Vec<Vec<Vec<f64>>>,
    /// The axis of each input's features.
    axes: Vec<usize>,
}

impl<'a> Chooser<'a> {
    /// Checks the ranges that are stated.
    pub(crate) fn new(
        float: &'a FloatGraph,
        samples: &'a [Input],
        expected: &[Vec<Vec<f64>>],
        options: &'a Options,
    ) -> Result<Chooser<'a>, CompileError> {
        let axes = feature_axes(float);
        check(float, &axes, &options.input_ranges)?;
        let largest = |output: usize| expected.iter().flat_map(|lists| &lists[output]).fold(0.0_f64, |most, x| most.max(x.abs()));
        Ok(Chooser {
            float,
            samples,
            ranges: &options.input_ranges,
            margin: options.margin,
            scales: options.input_scales,
            reach: (0..float.outputs.len()).map(largest).collect(),
            before: samples.par_iter().take(MOVED_SAMPLES).map(|Input(lists)| float.outputs(lists)).collect(),
            axes,
        })
    }

    /// The digits of every input, of so many bits.
    pub(crate) fn digits(&self, bits: u32) -> Result<Vec<InputDigits>, CompileError> {
        (0..self.float.inputs.len()).map(|position| self.one_input(position, bits)).collect()
    }

    fn one_input(&self, position: usize, bits: u32) -> Result<InputDigits, CompileError> {
        let value = &self.float.values[self.float.inputs[position]];
        if value.kind != Kind::Real {
            return self.exact_input(position);
        }
        let axis = self.axes[position];
        let features = value.shape.get(axis).copied().unwrap_or(1);
        let inner: usize = value.shape.iter().skip(axis + 1).product();
        let seen = |numbers: Vec<f64>| Seen { numbers, samples: self.samples.len(), elements: value.len() };
        let mut by_feature: Vec<Seen> = (0..features).map(|_| seen(Vec::new())).collect();
        for Input(lists) in self.samples {
            for (element, &x) in lists[position].iter().enumerate() {
                by_feature[element / inner % features].numbers.push(x);
            }
        }
        for seen in &mut by_feature {
            seen.numbers.sort_by(f64::total_cmp);
        }
        let names = |range: &InputRange| range.input.as_ref().is_none_or(|name| name == &value.name);
        let stated = |feature: Option<usize>| {
            // The most particular one: named before unnamed, the last of several.
            let found = self.ranges.iter().filter(|range| names(range) && range.feature == feature);
            found.max_by_key(|range| range.input.is_some()).map(|range| (range.min, range.max))
        };
        let covering = |range: (f64, f64)| {
            let magnitude = range.0.abs().max(range.1.abs());
            let scale_error = || QuantiseError::Scale { side: "input", name: value.name.clone(), magnitude };
            Feature::covering(range.0, range.1, bits).ok_or_else(scale_error)
        };

        let mut all: Vec<f64> = by_feature.iter().flat_map(|seen| &seen.numbers).copied().collect();
        all.sort_by(f64::total_cmp);
        let whole = stated(None).unwrap_or_else(|| seen(all).range(self.margin));
        let own_ranges = self.ranges.iter().any(|range| range.feature.is_some_and(|feature| feature < features) && names(range));
        let uniform = covering(whole)?;
        let step = uniform.scale.value();
        let is_lost = |(feature, seen): (usize, &Seen)| {
            let few_steps = seen.quantile(1, 1) - seen.quantile(0, 1) < 4.0 * step;
            let varies = seen.quantile(3, 4) > seen.quantile(1, 4);
            few_steps && (varies || self.moves(position, |element| element / inner % features == feature, step / 2.0))
        };
        let apart = features > 1
            && (features <= MOST_FEATURES || own_ranges || self.scales == InputScales::Feature)
            && (own_ranges
                || match self.scales {
                    InputScales::Input => false,
                    InputScales::Feature => true,
                    InputScales::Auto => stated(None).is_none() && by_feature.par_iter().enumerate().any(is_lost),
                });
        let ranges: Vec<(f64, f64)> = if apart {
            let range = |(feature, seen): (usize, &Seen)| {
                let range = stated(Some(feature)).or(stated(None)).unwrap_or_else(|| seen.range(self.margin));
                // Zero in all samples says nothing of its size. A flag or a category that no sample has goes to one.
                if range == (0.0, 0.0) { (0.0, 1.0) } else { range }
            };
            by_feature.iter().enumerate().map(range).collect()
        } else {
            vec![whole]
        };
        let chosen: Vec<Feature> = ranges.iter().map(|range| covering(*range)).collect::<Result<_, _>>()?;
        let ends = |seen: &Seen| (seen.quantile(0, 1), seen.quantile(1, 1));
        let vanished = by_feature.iter().enumerate().filter(|(feature, seen)| {
            let scale = chosen[if apart { *feature } else { 0 }].scale.value();
            let ((first, last), integer) = (ends(seen), |x: f64| (x / scale).round());
            first != last && integer(first) == integer(last)
        });
        let vanished = vanished.map(|(feature, _)| feature).collect();
        let constant = by_feature.iter().enumerate().filter(|(feature, seen)| {
            let (first, last) = ends(seen);
            apart && first == last && stated(Some(*feature)).or(stated(None)).is_none()
        });
        let constant = constant.map(|(feature, _)| feature).collect();
        let encoding = Encoding { bits, axis: if apart { axis } else { 0 }, features: chosen };
        Ok(InputDigits { encoding, ranges, vanished, constant })
    }

    /// Digits of integers and truth values, which are themselves.
    fn exact_input(&self, position: usize) -> Result<InputDigits, CompileError> {
        let value = &self.float.values[self.float.inputs[position]];
        let mut numbers: Vec<f64> = self.samples.iter().flat_map(|Input(lists)| &lists[position]).copied().collect();
        numbers.sort_by(f64::total_cmp);
        let names = |range: &&InputRange| range.input.as_ref().is_none_or(|name| name == &value.name) && range.feature.is_none();
        let stated = self.ranges.iter().filter(names).max_by_key(|range| range.input.is_some()).map(|range| (range.min, range.max));
        let shown = || Seen { numbers: numbers.clone(), samples: self.samples.len(), elements: value.len() }.range(self.margin);
        let (min, max) = if value.kind == Kind::Boolean { (0.0, 1.0) } else { stated.unwrap_or_else(shown) };
        // What the samples show to be no negative number stays none: counts, indices.
        let least = if numbers.first().is_some_and(|least| *least >= 0.0) && stated.is_none() { min.floor().max(0.0) } else { min.floor() };
        let (mut least, mut most) = (least.min(0.0), max.ceil().max(0.0));
        if most - least >= 2_f64.powi(32) && stated.is_none() {
            // Not further than a type of 32 bits goes, if the samples do not either.
            let seen = (numbers.first().map_or(0.0, |x| x.min(0.0)), numbers.last().map_or(0.0, |x| x.max(0.0)));
            let half = 2_f64.powi(31);
            (least, most) = if seen.0 == 0.0 { (0.0, seen.1.max(2.0 * half - 1.0)) } else { (seen.0.min(-half), seen.1.max(half - 1.0)) };
        }
        // What its type does not hold is no input.
        let (bottom, top) = value.width.map_or((f64::NEG_INFINITY, f64::INFINITY), |(bits, signed)| {
            let (least, size) = held_range(bits, signed);
            (least, least + (size - 1.0))
        });
        if let Some(beyond) = numbers.iter().copied().chain(stated.into_iter().flat_map(|(a, b)| [a, b])).find(|x| *x < bottom || *x > top)
        {
            let reason = format!("input `{}` has type {}, which does not hold {beyond}", value.name, integer_type(value.width));
            return Err(CompileError::Option(reason));
        }
        (least, most) = (least.max(bottom), most.min(top));
        let bits = ((most - least) as u64).checked_ilog2().map_or(1, |log| log + 1);
        // Digits hold a power of two of numbers: those above the type's go below, where it has room for as many.
        least = least.min(top - (2_f64.powi(bits as i32) - 1.0));
        if bits > 32 {
            return Err(CompileError::Option(format!(
                "input `{}` goes from {least} to {most}, more than 32 bits; give samples or a range (--input-range) that is smaller",
                value.name
            )));
        }
        let feature = Feature { offset: -least as i64, scale: Scale { mantissa: 10_u128.pow(Scale::DECIMALS) } };
        let encoding = Encoding { bits, axis: 0, features: vec![feature] };
        Ok(InputDigits { encoding, ranges: vec![(least, most)], vanished: Vec::new(), constant: Vec::new() })
    }

    /// Whether some of an input's elements, moved by so much, move an output by more than [`MOST_MOVED`] of its range.
    fn moves(&self, position: usize, elements: impl Fn(usize) -> bool, by: f64) -> bool {
        self.samples.iter().zip(&self.before).any(|(Input(lists), before)| {
            let mut there = lists.clone();
            for (element, x) in there[position].iter_mut().enumerate().filter(|(element, _)| elements(*element)) {
                *x += if element % 2 == 0 { by } else { -by };
            }
            let after = self.float.outputs(&there);
            before
                .iter()
                .zip(&after)
                .zip(&self.reach)
                .any(|((before, after), reach)| before.iter().zip(after).any(|(x, y)| (x - y).abs() > MOST_MOVED * reach))
        })
    }
}

fn check(float: &FloatGraph, axes: &[usize], ranges: &[InputRange]) -> Result<(), CompileError> {
    let wrong = |text: String| Err(CompileError::Option(text));
    let values: Vec<&Value> = float.inputs.iter().map(|&id| &float.values[id]).collect();
    for range in ranges {
        let of = |value: &Value| range.input.as_ref().is_none_or(|name| &value.name == name);
        let meant: Vec<(&Value, usize)> = values
            .iter()
            .zip(axes)
            .map(|(value, axis)| (*value, value.shape.get(*axis).copied().unwrap_or(1)))
            .filter(|(v, _)| of(v))
            .collect();
        let Some((value, features)) = meant.iter().max_by_key(|(_, features)| features) else {
            let names: Vec<&str> = values.iter().map(|value| value.name.as_str()).collect();
            let name = range.input.as_deref().unwrap_or_default();
            return wrong(format!("there is no input `{name}` to give a range for; the model has {}", names.join(", ")));
        };
        if let Some(feature) = range.feature.filter(|feature| feature >= features) {
            return wrong(format!("input `{}` has no feature {feature}; it has {features}, from 0", value.name));
        }
        if !(range.min.is_finite() && range.max.is_finite() && range.min < range.max) {
            return wrong(format!("input range [{}, {}] is empty or not finite", range.min, range.max));
        }
    }
    Ok(())
}

/// The name of an integer type.
fn integer_type(width: Option<(u32, bool)>) -> String {
    width.map_or_else(|| "integer".to_owned(), |(bits, signed)| format!("{}int{bits}", if signed { "" } else { "u" }))
}

/// The axis along which each input's features lie: its channels where a convolution, pool or norm reads it as planes, its last
/// axis otherwise.
fn feature_axes(float: &FloatGraph) -> Vec<usize> {
    let mut channels: Vec<Option<usize>> = vec![None; float.values.len()];
    // Backwards, so that what a node's output is read as is known; the first reader that knows an axis decides.
    for node in float.nodes.iter().rev() {
        let axis = match &node.op {
            FloatOp::Conv { .. } | FloatOp::MaxPool { .. } | FloatOp::AveragePool { .. } => Some(1),
            FloatOp::Affine { .. } | FloatOp::Relu | FloatOp::Clip { .. } | FloatOp::Map(_) => channels[node.output],
            FloatOp::Transpose { perm } => channels[node.output].map(|axis| perm[axis]),
            FloatOp::Dense { .. }
            | FloatOp::Reshape
            | FloatOp::Concat { .. }
            | FloatOp::View { .. }
            | FloatOp::Gather { .. }
            | FloatOp::Constant { .. }
            | FloatOp::Product
            | FloatOp::MatMul { .. }
            | FloatOp::Divide { .. }
            | FloatOp::Sqrt
            | FloatOp::Maximum
            | FloatOp::Step
            | FloatOp::Hold { .. }
            | FloatOp::OneHot { .. } => None,
        };
        if axis.is_some() {
            node.inputs.iter().for_each(|&id| channels[id] = axis);
        }
    }
    float.inputs.iter().map(|&id| channels[id].unwrap_or(float.values[id].shape.len().saturating_sub(1))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_samples_are_widened_more_than_many() {
        assert!(widening(32, 1) > 1.7 && widening(32, 1) < 1.8);
        assert!(widening(32, 96) > widening(32, 1));
        assert!(widening(1 << 20, 1) < 1.0 + 1e-9);
        assert!(widening(1, 1) == MAX_WIDENING && widening(0, 0) == MAX_WIDENING);
        assert!((widening(1 << 11, 96) - 4.475 / 3.297).abs() < 1e-9);
    }

    /// The rule that the module states, on normal rows: of inputs of twelve elements, after 16 and after 64 samples of each.
    #[test]
    fn normal_rows_are_hardly_ever_refused() {
        let mut state = 7_u64;
        let mut uniform = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 11) as f64 / (1_u64 << 53) as f64
        };
        let mut normal = || (0..12).map(|_| uniform()).sum::<f64>() - 6.0;
        for samples in [16, 64] {
            let mut refused = 0;
            for _ in 0..200 {
                let mut numbers: Vec<f64> = (0..samples * 12).map(|_| 3.0 + normal()).collect();
                numbers.sort_by(f64::total_cmp);
                let (min, max) = Seen { numbers, samples, elements: 12 }.range(None);
                refused += (0..100).filter(|_| (0..12).any(|_| !(min..=max).contains(&(3.0 + normal())))).count();
            }
            assert!(refused * 500 <= 200 * 100, "{refused} of 20,000 after {samples} samples");
        }
    }
}
