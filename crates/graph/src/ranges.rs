//! From samples to the digits of inputs: how far values may go, and whether each feature has a scale of its own.
//!
//! # How far
//! Samples show less than what comes later: of n draws from one distribution the next is beyond the largest with chance
//! 1/(n + 1). So what the samples show is widened as for a normal distribution: from the quantile that so many numbers
//! reach to the one that all elements of 500 fresh inputs stay below. A side on which many samples meet in exactly one
//! number (white pixels, flags) is taken for the edge that it is, and stays. A range that is stated is taken as it is.
//!
//! # Scales per feature
//! A table of features in units of their own (dollars beside ratios) loses the small ones to one scale for all. Where one
//! scale would leave fewer than four steps to all samples of a feature whose middle half varies, every feature gets a scale
//! of its own. Pixels do not: one that is dark on the samples is so by chance, and few samples differ in it at all.

use crate::compile::{CompileError, InputRange, InputScales};
use crate::float::{FloatGraph, FloatOp, ValueId};
use crate::model::{Encoding, Feature};
use crate::quantise::QuantiseError;
use crate::values::Input;

/// Honest inputs of which at most one is refused.
const INPUTS_PER_REFUSAL: u64 = 500;
/// Share of the samples that meet in one extreme number, from which on it is an edge; at least [`MIN_EDGE`] of them.
const EDGE_SHARE: f64 = 0.1;
const MIN_EDGE: usize = 3;
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
    /// Features whose samples vary but become one integer.
    pub(crate) vanished: Vec<usize>,
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
        let is_edge = |edge: f64| {
            let meet = self.numbers.iter().filter(|x| **x == edge).count();
            meet >= MIN_EDGE && meet as f64 >= EDGE_SHARE * self.samples as f64
        };
        let side = |edge: f64| if margin.is_none() && is_edge(edge) { edge } else { middle + (edge - middle) * factor };
        (side(min), side(max))
    }
}

/// Chooses the digits of every input.
pub(crate) fn digits(
    float: &FloatGraph,
    samples: &[Input],
    ranges: &[InputRange],
    margin: Option<f64>,
    scales: InputScales,
    bits: u32,
) -> Result<Vec<InputDigits>, CompileError> {
    check(float, ranges)?;
    float.inputs.iter().enumerate().map(|(position, &id)| one_input(float, position, id, samples, ranges, margin, scales, bits)).collect()
}

fn check(float: &FloatGraph, ranges: &[InputRange]) -> Result<(), CompileError> {
    let wrong = |text: String| Err(CompileError::Option(text));
    for range in ranges {
        if let Some(name) = &range.input {
            let Some(&id) = float.inputs.iter().find(|&&id| &float.values[id].name == name) else {
                let names: Vec<&str> = float.inputs.iter().map(|&id| float.values[id].name.as_str()).collect();
                return wrong(format!("there is no input `{name}` to give a range for; the model has {}", names.join(", ")));
            };
            let features = float.values[id].shape[feature_axis(float, id)];
            if let Some(feature) = range.feature.filter(|&feature| feature >= features) {
                return wrong(format!("input `{name}` has no feature {feature}; it has {features}, from 0"));
            }
        }
        if !(range.min.is_finite() && range.max.is_finite() && range.min < range.max) {
            return wrong(format!("input range [{}, {}] is empty or not finite", range.min, range.max));
        }
    }
    Ok(())
}

/// The axis along which an input's features lie: its channels where a convolution, pool or norm reads it as planes, its last
/// axis otherwise.
pub(crate) fn feature_axis(float: &FloatGraph, id: ValueId) -> usize {
    fn channels(float: &FloatGraph, id: ValueId) -> Option<usize> {
        float.nodes.iter().filter(|node| node.inputs.contains(&id)).find_map(|node| match &node.op {
            FloatOp::Conv { .. } | FloatOp::MaxPool { .. } | FloatOp::AveragePool { .. } => Some(1),
            FloatOp::Affine { .. } | FloatOp::Relu | FloatOp::Clip { .. } => channels(float, node.output),
            FloatOp::Transpose { perm } => channels(float, node.output).map(|axis| perm[axis]),
            FloatOp::Dense { .. } | FloatOp::Reshape | FloatOp::Concat { .. } => None,
        })
    }
    channels(float, id).unwrap_or(float.values[id].shape.len().saturating_sub(1))
}

#[allow(clippy::too_many_arguments)]
fn one_input(
    float: &FloatGraph,
    position: usize,
    id: ValueId,
    samples: &[Input],
    ranges: &[InputRange],
    margin: Option<f64>,
    scales: InputScales,
    bits: u32,
) -> Result<InputDigits, CompileError> {
    let value = &float.values[id];
    let axis = feature_axis(float, id);
    let features = value.shape[axis];
    let inner: usize = value.shape[axis + 1..].iter().product();
    let seen = |numbers: Vec<f64>| Seen { numbers, samples: samples.len(), elements: value.len() };
    let mut by_feature: Vec<Seen> = (0..features).map(|_| seen(Vec::new())).collect();
    for Input(lists) in samples {
        for (element, &x) in lists[position].iter().enumerate() {
            by_feature[element / inner % features].numbers.push(x);
        }
    }
    for seen in &mut by_feature {
        seen.numbers.sort_by(f64::total_cmp);
    }
    let stated = |feature: Option<usize>| {
        let applies = |range: &&InputRange| range.input.as_ref().is_none_or(|name| name == &value.name) && range.feature == feature;
        // The most particular one: named before unnamed, the last of several.
        let found = ranges.iter().filter(applies);
        found.max_by_key(|range| range.input.is_some()).map(|range| (range.min, range.max))
    };
    let scale_error = |(min, max): (f64, f64)| -> CompileError {
        QuantiseError::Scale { side: "input", name: value.name.clone(), magnitude: min.abs().max(max.abs()) }.into()
    };
    let covering = |range: (f64, f64)| Feature::covering(range.0, range.1, bits).ok_or_else(|| scale_error(range));

    let mut all: Vec<f64> = by_feature.iter().flat_map(|seen| &seen.numbers).copied().collect();
    all.sort_by(f64::total_cmp);
    let all = seen(all);
    let whole = stated(None).unwrap_or_else(|| all.range(margin));
    let own_ranges = ranges.iter().any(|range| range.feature.is_some() && range.input.as_ref().is_none_or(|name| name == &value.name));
    let uniform = covering(whole)?;
    let step = uniform.scale.value();
    let is_lost = |seen: &Seen| seen.quantile(3, 4) > seen.quantile(1, 4) && seen.quantile(1, 1) - seen.quantile(0, 1) < 4.0 * step;
    let apart = features > 1
        && (own_ranges
            || match scales {
                InputScales::Input => false,
                InputScales::Feature => true,
                InputScales::Auto => stated(None).is_none() && by_feature.iter().any(is_lost),
            });
    let chosen: Vec<Feature> = if apart {
        let range = |(feature, seen): (usize, &Seen)| {
            let range = stated(Some(feature)).or(stated(None)).unwrap_or_else(|| seen.range(margin));
            // A feature that is zero in all samples says nothing of its size; it gets the whole input's.
            if range == (0.0, 0.0) { whole } else { range }
        };
        by_feature.iter().enumerate().map(|one| covering(range(one))).collect::<Result<_, _>>()?
    } else {
        vec![uniform]
    };
    let vanished = by_feature.iter().enumerate().filter(|(feature, seen)| {
        let scale = chosen[if apart { *feature } else { 0 }].scale.value();
        let integer = |x: f64| (x / scale).round();
        let (first, last) = (seen.numbers[0], seen.numbers[seen.numbers.len() - 1]);
        first != last && integer(first) == integer(last)
    });
    let vanished = vanished.map(|(feature, _)| feature).collect();
    let encoding = Encoding { bits, axis: if apart { axis } else { 0 }, features: chosen };
    Ok(InputDigits { encoding, vanished })
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
