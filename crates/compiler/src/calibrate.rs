//! What sample inputs show about a float graph's values.

use rayon::prelude::*;

use crate::float::{FloatGraph, FloatOp, ValueId};

/// Magnitudes seen on the samples.
#[derive(Clone, Debug)]
pub(crate) struct Statistics {
    /// For each value the largest magnitude by channel (axis 1; one for all in a value of fewer than three axes).
    magnitudes: Vec<Vec<f64>>,
    /// For each value the least and the greatest number.
    extremes: Vec<(f64, f64)>,
    /// For each value the sum of each element's squares over all samples: elements may be in units of their own.
    squares: Vec<Vec<f64>>,
    /// Samples seen.
    pub(crate) samples: usize,
    /// For each node that is a MaxPool the largest spread inside a window, by channel.
    pub(crate) spreads: Vec<Vec<f64>>,
}

/// The channels that scales of a value may differ by: axis 1 where spatial axes follow.
pub(crate) fn channels(shape: &[usize]) -> usize {
    if shape.len() >= 3 && shape[0] == 1 { shape[1] } else { 1 }
}

impl Statistics {
    /// Runs the graph on every sample. Gives its outputs too.
    pub(crate) fn collect(graph: &FloatGraph, samples: &[Vec<Vec<f64>>]) -> (Statistics, Vec<Vec<Vec<f64>>>) {
        let mut statistics = Statistics {
            magnitudes: graph.values.iter().map(|value| vec![0.0; channels(&value.shape)]).collect(),
            spreads: graph.nodes.iter().map(|node| vec![0.0; channels(&graph.values[node.output].shape)]).collect(),
            extremes: vec![(f64::INFINITY, f64::NEG_INFINITY); graph.values.len()],
            squares: graph.values.iter().map(|value| vec![0.0; value.len()]).collect(),
            samples: samples.len(),
        };
        let mut outputs = Vec::with_capacity(samples.len());
        for block in samples.chunks(graph.runs_at_once()) {
            let runs: Vec<Vec<Vec<f64>>> = block.par_iter().map(|sample| graph.run(sample)).collect();
            // In the order of the samples: sums depend on it.
            for values in runs {
                statistics.add(graph, &values);
                outputs.push(graph.outputs.iter().map(|(_, id)| values[*id].clone()).collect());
            }
        }
        (statistics, outputs)
    }

    fn add(&mut self, graph: &FloatGraph, values: &[Vec<f64>]) {
        for ((min, max), value) in self.extremes.iter_mut().zip(values) {
            (*min, *max) = value.iter().fold((*min, *max), |(min, max), &x| (min.min(x), max.max(x)));
        }
        for (sums, value) in self.squares.iter_mut().zip(values) {
            sums.iter_mut().zip(value).for_each(|(sum, x)| *sum += x * x);
        }
        for ((most, value), description) in self.magnitudes.iter_mut().zip(values).zip(&graph.values) {
            let channels = most.len();
            let inner = description.shape.iter().skip(2).product::<usize>();
            let inner = if channels == 1 { value.len().max(1) } else { inner };
            for (block, chunk) in value.chunks_exact(inner).enumerate() {
                let most = &mut most[block % channels];
                *most = chunk.iter().fold(*most, |most, x| most.max(x.abs()));
            }
        }
        for (spread, node) in self.spreads.iter_mut().zip(&graph.nodes) {
            let FloatOp::MaxPool { window } = &node.op else {
                continue;
            };
            let [_, height, width] = window.input;
            for (spread, plane) in spread.iter_mut().zip(values[node.inputs[0]].chunks_exact(height * width)) {
                for y in 0..window.output[0] {
                    for x in 0..window.output[1] {
                        let (least, most) =
                            window.taps(y, x).fold((f64::INFINITY, f64::NEG_INFINITY), |(least, most), (_, _, row, column)| {
                                let value = plane[row * width + column];
                                (least.min(value), most.max(value))
                            });
                        *spread = spread.max(most - least);
                    }
                }
            }
        }
    }

    /// The largest magnitude of a value by channel.
    pub(crate) fn by_channel(&self, value: ValueId) -> &[f64] {
        &self.magnitudes[value]
    }

    /// The root of the mean square of some of a value's elements.
    pub(crate) fn typical(&self, value: ValueId, elements: impl Iterator<Item = usize>) -> f64 {
        let (sum, count) = elements.fold((0.0, 0), |(sum, count), element| (sum + self.squares[value][element], count + self.samples));
        (sum / count.max(1) as f64).sqrt()
    }

    /// The same statistics, but where a value is zero in all samples those of other inputs: `None` if there is no such value.
    pub(crate) fn filled(&self, graph: &FloatGraph, made_up: &[Vec<Vec<f64>>]) -> Option<Statistics> {
        let silent: Vec<ValueId> = (0..graph.values.len()).filter(|&id| self.largest(id) == 0.0).collect();
        if silent.is_empty() {
            return None;
        }
        let (other, _) = Statistics::collect(graph, made_up);
        let mut filled = self.clone();
        for id in silent {
            filled.magnitudes[id].clone_from(&other.magnitudes[id]);
            filled.extremes[id] = other.extremes[id];
        }
        for (index, node) in graph.nodes.iter().enumerate() {
            if self.largest(node.output) == 0.0 {
                filled.spreads[index].clone_from(&other.spreads[index]);
            }
        }
        Some(filled)
    }

    /// The least and the greatest number of a value.
    pub(crate) fn extremes(&self, value: ValueId) -> (f64, f64) {
        let (min, max) = self.extremes[value];
        if min <= max { (min, max) } else { (0.0, 0.0) }
    }

    /// The largest magnitude of a value.
    pub(crate) fn largest(&self, value: ValueId) -> f64 {
        self.magnitudes[value].iter().fold(0.0, |most, &x| most.max(x))
    }
}
