//! Made-up inputs: what an integer model answers where the samples do not go.
//!
//! An error that only the samples are asked for is as good as the samples: a bound that all of them reach hides how coarse
//! what comes before it is. So the model is also held against itself on inputs between the samples, on mixes of them, anywhere
//! in the ranges that it accepts and at their ends, and where outputs are on the way from their least to their greatest; what it refuses there is
//! no answer and does not count.

use rayon::prelude::*;

use crate::float::FloatGraph;
use zkslice_graph::Input;

/// Made-up inputs of each kind: as many as make up so many elements, within these bounds. Few elements take few steps to try, and
/// have few others that could be as wrong.
const ELEMENTS: usize = 2048;
const EACH: std::ops::RangeInclusive<usize> = 16..=64;
/// Kinds of made-up inputs.
const KINDS: usize = 4;
/// Outputs whose middles are looked for, and pairs of samples between which they are.
const MIDDLES: (usize, usize) = (4, 4);
/// Halvings of the way between two samples: steep models have their middle in a small part of it.
const HALVINGS: usize = 14;

/// Uniform numbers, the same on every run: an xorshift generator with a fixed seed.
#[derive(Debug)]
pub(crate) struct Uniform(u64);

impl Uniform {
    pub(crate) fn new() -> Uniform {
        Uniform(0x9e37_79b9_7f4a_7c15)
    }

    /// The next one, in [0, 1).
    pub(crate) fn next(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn below(&mut self, n: usize) -> usize {
        ((self.next() * n as f64) as usize).min(n - 1)
    }
}

/// Inputs within `ranges` (of each input's elements): between two samples or a little beyond them, with each element from a
/// sample of its own, uniform, and with each element at an end of its range.
pub(crate) fn inputs(ranges: &[Vec<(f64, f64)>], samples: &[Input]) -> Vec<Input> {
    let mut uniform = Uniform::new();
    let elements: usize = ranges.iter().map(Vec::len).sum();
    let count = KINDS * (ELEMENTS / elements.max(1)).clamp(*EACH.start(), *EACH.end());
    let mut made = Vec::with_capacity(count);
    for index in 0..count {
        let (a, b) = (&samples[uniform.below(samples.len())].0, &samples[uniform.below(samples.len())].0);
        let t = 1.5 * uniform.next() - 0.25;
        let lists = ranges.iter().enumerate().map(|(input, ranges)| {
            let element = |(element, &(min, max)): (usize, &(f64, f64))| {
                let x = match index % KINDS {
                    0 => a[input][element] + t * (b[input][element] - a[input][element]),
                    1 => samples[uniform.below(samples.len())].0[input][element],
                    2 => min + (max - min) * uniform.next(),
                    _ if uniform.next() < 0.5 => min,
                    _ => max,
                };
                x.clamp(min, max)
            };
            ranges.iter().enumerate().map(element).collect()
        });
        made.push(Input(lists.collect()));
    }
    made
}

/// Inputs between a sample on which an output is low and one on which it is high, where it is halfway. Models that tell classes
/// apart sharply are there, and nowhere else, as wrong as they can be.
pub(crate) fn middles(float: &FloatGraph, samples: &[Input], expected: &[Vec<Vec<f64>>]) -> Vec<Input> {
    let mut ways = Vec::new();
    for output in 0..float.outputs.len().min(MIDDLES.0) {
        let values = |element: usize| expected.iter().map(move |lists| lists[output][element]);
        let spread = |element: usize| values(element).fold(f64::NEG_INFINITY, f64::max) - values(element).fold(f64::INFINITY, f64::min);
        let elements = 0..expected.first().map_or(0, |lists| lists[output].len());
        let Some(element) = elements.max_by(|a, b| spread(*a).total_cmp(&spread(*b))).filter(|element| spread(*element) > 0.0) else {
            continue;
        };
        let mut order: Vec<usize> = (0..samples.len()).collect();
        order.sort_by(|a, b| expected[*a][output][element].total_cmp(&expected[*b][output][element]));
        for (&low, &high) in order.iter().zip(order.iter().rev()).take(MIDDLES.1.min(samples.len() / 2)) {
            ways.push((output, element, low, high));
        }
    }
    let middle = |&(output, element, low, high): &(usize, usize, usize, usize)| {
        let half = 0.5 * (expected[low][output][element] + expected[high][output][element]);
        let at = |t: f64| -> Vec<Vec<f64>> {
            let between = |(low, high): (&Vec<f64>, &Vec<f64>)| low.iter().zip(high).map(|(a, b)| a + t * (b - a)).collect();
            samples[low].0.iter().zip(&samples[high].0).map(between).collect()
        };
        let (mut before, mut after) = (0.0, 1.0);
        for _ in 0..HALVINGS {
            let t = 0.5 * (before + after);
            if float.outputs(&at(t))[output][element] < half { before = t } else { after = t }
        }
        Input(at(0.5 * (before + after)))
    };
    ways.par_iter().map(middle).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_of_ranges_are_among_them_and_small_inputs_have_more() {
        for (elements, each) in [(1, 64), (32, 64), (64, 32), (128, 16), (1000, 16)] {
            let ranges = vec![vec![(-3.0, 5.0); elements]];
            let samples = [Input(vec![vec![0.0; elements]]), Input(vec![vec![1.0; elements]])];
            let made = inputs(&ranges, &samples);
            assert_eq!(made.len(), KINDS * each, "{elements} elements");
            assert!(made.iter().all(|Input(lists)| lists[0].iter().all(|x| (-3.0..=5.0).contains(x))));
            let corners: Vec<&f64> = made.iter().skip(3).step_by(KINDS).flat_map(|Input(lists)| &lists[0]).collect();
            assert!(corners.iter().all(|x| **x == -3.0 || **x == 5.0));
            assert!(corners.iter().any(|x| **x == -3.0) && corners.iter().any(|x| **x == 5.0));
        }
    }
}
