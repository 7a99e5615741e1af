//! An integer graph held against the float model, on the samples and beside them.

use std::collections::BTreeMap;

use rayon::prelude::*;

use crate::compile::{CompileError, Options};
use crate::float::{FloatGraph, FloatOp, Kind};
use crate::goal::{GOOD_MADE_UP_ERROR, Goal, Shown};
use crate::onnx::Reference;
use crate::quantise::Quantised;
use crate::report::{FunctionReport, NodeReport, OutputError, Report, Sites, rows, rows_of, share};
use crate::search::{Attempt, Beside, Prepared};
use zkslice_graph::{Function, Graph, Input, Node, Op, Samples, decode_outputs, encode, execute, execute_outputs};

/// Samples, and made-up inputs, on which errors before bounds are looked at.
const HIDDEN_INPUTS: usize = 8;
/// Inputs that are answered before it is asked whether more need be.
const FIRST_BLOCK: usize = 4;
/// Features that a warning names.
const MOST_NAMED: usize = 12;

/// Position of the largest element, the first of equals.
pub fn arg_max(list: &[f64]) -> Option<usize> {
    let mut best: Option<usize> = None;
    for (index, x) in list.iter().enumerate() {
        if best.is_none_or(|best| *x > list[best]) {
            best = Some(index);
        }
    }
    best
}

/// What a quantised graph is held against.
pub(crate) struct Evaluation<'a> {
    pub(crate) float: &'a FloatGraph,
    pub(crate) samples: &'a Samples,
    /// The float model's outputs on each sample.
    pub(crate) expected: &'a [Vec<Vec<f64>>],
    /// Their largest magnitudes.
    pub(crate) ranges: Vec<f64>,
    /// Which outputs take steps: made of comparisons, indices or rounded numbers alone.
    pub(crate) steps: Vec<bool>,
    pub(crate) reference: Reference,
    /// Samples that were given.
    pub(crate) count: usize,
    pub(crate) goal: Goal,
    pub(crate) options: &'a Options,
}

/// Which outputs of a graph only take steps. Whatever is near one may be on its other side in the integer model, wholly wrong: what counts
/// of such an output is how often it is.
pub(crate) fn steps(float: &FloatGraph) -> Vec<bool> {
    #[derive(Clone, Copy, PartialEq)]
    enum Values {
        Exact,
        Steps,
        Real,
    }
    let mut values: Vec<Values> =
        float.values.iter().map(|value| if value.kind == Kind::Real { Values::Real } else { Values::Exact }).collect();
    for node in &float.nodes {
        let inputs = || node.inputs.iter().map(|&id| values[id]);
        let rounds = matches!(node.op, FloatOp::Step | FloatOp::OneHot { .. }) || float.values[node.output].kind != Kind::Real;
        values[node.output] = match () {
            () if inputs().all(|input| input == Values::Exact) => Values::Exact,
            () if rounds || inputs().all(|input| input != Values::Real) => Values::Steps,
            () => Values::Real,
        };
    }
    float.outputs.iter().map(|(_, id)| values[*id] == Values::Steps).collect()
}

/// Numbers by output.
pub(crate) type Outputs = Vec<Vec<f64>>;

/// What an integer graph answers.
pub(crate) struct Answers {
    pub(crate) samples: Vec<Outputs>,
    /// `None` where it refuses.
    pub(crate) made_up: Vec<Option<Outputs>>,
    /// For each output what bounds hide, and the range that it is a part of.
    pub(crate) hidden: Vec<(f64, f64)>,
}

/// The largest errors of outputs so far. Of one that takes steps it is the mean error, as a part of all inputs: it only grows.
struct Errors<'a> {
    steps: &'a [bool],
    /// How far each output ranges on the samples.
    ranges: &'a [f64],
    inputs: usize,
    most: Vec<f64>,
    /// The error that is largest as a part of the output's range, and that range: where an input's own outputs are larger than on the
    /// samples it is theirs.
    parts: Vec<(f64, f64)>,
}

impl Errors<'_> {
    fn new<'a>(evaluation: &'a Evaluation<'_>, inputs: usize) -> Errors<'a> {
        let Evaluation { steps, ranges, .. } = evaluation;
        Errors { steps, ranges, inputs, most: vec![0.0; ranges.len()], parts: ranges.iter().map(|range| (0.0, *range)).collect() }
    }

    /// Adds the answers to one input; gives what each output's error is of its range there, or adds to it.
    fn add(&mut self, outputs: &[Vec<f64>], expected: &[Vec<f64>]) -> Vec<f64> {
        let mut added = Vec::with_capacity(outputs.len());
        for (index, (output, expected)) in outputs.iter().zip(expected).enumerate() {
            let apart = output.iter().zip(expected).map(|(x, y)| (x - y).abs());
            let range = expected.iter().fold(self.ranges[index], |most, y| most.max(y.abs()));
            let (most, part) = (&mut self.most[index], &mut self.parts[index]);
            let error = if self.steps[index] {
                let mean = apart.sum::<f64>() / (output.len() * self.inputs).max(1) as f64;
                *most += mean;
                *part = (*most, range.max(part.1));
                mean
            } else {
                let largest = apart.fold(0.0, f64::max);
                *most = most.max(largest);
                if share(largest, range) > share(part.0, part.1) {
                    *part = (largest, range);
                }
                largest
            };
            added.push(share(error, range));
        }
        added
    }
}

/// Positions in blocks, each as long as all before it: what the first ones show may make the others needless.
fn blocks(count: usize) -> impl Iterator<Item = std::ops::Range<usize>> {
    std::iter::successors(Some(FIRST_BLOCK), |end| Some(2 * end)).scan(0, move |first, end| {
        let block = *first..end.min(count);
        *first = end;
        (block.start < count).then_some(block)
    })
}

impl Evaluation<'_> {
    /// What the graph answers to the samples and, in that order, to made-up inputs; or how wrong the first answers are, if that is
    /// enough to stop. What stopped it comes first in the order from then on.
    pub(crate) fn answers(
        &self,
        quantised: &Quantised,
        prepared: &Prepared,
        order: &mut Vec<usize>,
        stop: impl Fn(&Shown) -> bool,
    ) -> Result<Result<Answers, Shown>, CompileError> {
        let (graph, Beside { made_up, expected, .. }) = (&quantised.graph, &*prepared.beside);
        let mut shown = Shown { errors: Vec::new(), made_up: Vec::new(), disagreed: 0 };
        let mut errors = Errors::new(self, self.samples.0.len());
        let mut samples: Vec<Outputs> = Vec::with_capacity(self.samples.0.len());
        for block in blocks(self.samples.0.len()) {
            let answers: Vec<Result<Outputs, CompileError>> =
                block.clone().into_par_iter().map(|sample| answer(graph, sample, &self.samples.0[sample])).collect();
            for (sample, outputs) in block.zip(answers) {
                let (outputs, expected) = (outputs?, &self.expected[sample]);
                errors.add(&outputs, expected);
                shown.disagreed += usize::from(agrees(&outputs, expected) == Some(false));
                samples.push(outputs);
            }
            shown.errors.clone_from(&errors.most);
            if stop(&shown) {
                return Ok(Err(shown));
            }
        }
        if order.len() != made_up.len() {
            *order = (0..made_up.len()).collect();
        }
        let mut answers: Vec<Option<Outputs>> = vec![None; made_up.len()];
        let mut errors = Errors::new(self, made_up.len());
        for block in blocks(made_up.len()) {
            let found: Vec<(usize, Option<Outputs>)> =
                order[block.clone()].par_iter().map(|&index| (index, answer(graph, index, &made_up[index]).ok())).collect();
            let mut worst = (0.0, block.start);
            for (position, (index, outputs)) in block.zip(found) {
                let added = outputs.as_ref().map(|outputs| errors.add(outputs, &expected[index])).unwrap_or_default();
                let added = added.into_iter().fold(0.0, f64::max);
                if added > worst.0 {
                    worst = (added, position);
                }
                answers[index] = outputs;
            }
            shown.made_up.clone_from(&errors.parts);
            if stop(&shown) {
                order[..=worst.1].rotate_right(1);
                return Ok(Err(shown));
            }
        }
        Ok(Ok(Answers { samples, made_up: answers, hidden: self.hidden_errors(quantised, prepared) }))
    }

    /// How accurate the answers are; it does not say yet where errors arise.
    pub(crate) fn report(&self, quantised: &Quantised, prepared: &Prepared, answers: &Answers) -> Report {
        let graph = &quantised.graph;
        let (mut largest_error, mut sum, mut terms) = (0.0_f64, 0.0_f64, 0_usize);
        let (mut agreed, mut classified) = (0_usize, 0_usize);
        let named = |(((name, _), &range), &steps): ((&(String, usize), &f64), &bool)| OutputError {
            output: name.clone(),
            range,
            steps,
            largest_error: 0.0,
            sample: 0,
            made_up_range: range,
            made_up_error: 0.0,
        };
        let mut by_output: Vec<OutputError> = self.float.outputs.iter().zip(&self.ranges).zip(&self.steps).map(named).collect();
        let mut errors = Errors::new(self, self.samples.0.len());
        let mut worst = vec![0.0; by_output.len()];
        for (sample, (outputs, expected)) in answers.samples.iter().zip(self.expected).enumerate() {
            for ((added, of), worst) in errors.add(outputs, expected).into_iter().zip(&mut by_output).zip(&mut worst) {
                if added > *worst {
                    (*worst, of.sample) = (added, sample);
                }
            }
            for (x, y) in outputs.iter().flatten().zip(expected.iter().flatten()) {
                sum += (x - y).abs();
                terms += 1;
            }
            if let Some(agrees) = agrees(outputs, expected) {
                classified += 1;
                agreed += usize::from(agrees);
            }
        }
        for (of, error) in by_output.iter_mut().zip(&errors.most) {
            of.largest_error = *error;
            largest_error = largest_error.max(*error);
        }
        // What is refused has no answer that could be wrong.
        let mut errors = Errors::new(self, answers.made_up.len());
        for (outputs, expected) in answers.made_up.iter().zip(&prepared.beside.expected) {
            let Some(outputs) = outputs else { continue };
            errors.add(outputs, expected);
        }
        for ((of, part), hidden) in by_output.iter_mut().zip(&errors.parts).zip(&answers.hidden) {
            let larger = if share(hidden.0, hidden.1) > share(part.0, part.1) { hidden } else { part };
            (of.made_up_error, of.made_up_range) = *larger;
        }
        Report {
            reference: self.reference,
            table_bits: graph.table_bits,
            input_bits: prepared.input_bits,
            samples: self.count,
            made_up: answers.made_up.iter().flatten().count(),
            clamp: self.options.clamp,
            drop_final_softmax: self.options.import.drop_final_softmax,
            exact: exact(self.float),
            largest_error,
            made_up_error: by_output.iter().fold(0.0, |most, output| most.max(output.made_up_error)),
            mean_error: if terms == 0 { 0.0 } else { sum / terms as f64 },
            largest_output: self.ranges.iter().fold(0.0, |most, range| most.max(*range)),
            top1_agreement: (classified > 0).then(|| agreed as f64 / classified as f64),
            warnings: self.warnings(prepared),
            outputs: by_output,
            dominant_node: String::new(),
            nodes: Vec::new(),
            functions: self.functions(graph),
            rows: rows(graph),
            sites: Sites::count(graph),
            scales: quantised.scales.clone(),
        }
    }

    /// The chosen graph, its report complete.
    pub(crate) fn attempt(
        &self,
        quantised: Quantised,
        prepared: &Prepared,
        answers: &Answers,
        mut report: Report,
    ) -> Result<Attempt, CompileError> {
        let Beside { made_up, expected, .. } = &*prepared.beside;
        let worst = report.outputs.iter().max_by(|a, b| a.share().total_cmp(&b.share()));
        let (of_samples, sample) = worst.map_or((0.0, 0), |output| (output.share(), output.sample));
        let mut worst = (0.0_f64, None);
        let mut errors = Errors::new(self, answers.made_up.len());
        for (index, outputs) in answers.made_up.iter().enumerate() {
            let added = outputs.as_ref().map(|outputs| errors.add(outputs, &expected[index])).unwrap_or_default();
            let added = added.into_iter().fold(0.0, f64::max);
            if added > worst.0 {
                worst = (added, Some(index));
            }
        }
        let (input, expected) = match worst {
            (made_up_share, Some(index)) if made_up_share > 2.0 * of_samples => (&made_up[index], &expected[index]),
            _ => (&self.samples.0[sample], &self.expected[sample]),
        };
        (report.dominant_node, report.nodes) = self.by_node(&quantised, sample, input, expected)?;
        Ok(Attempt { graph: quantised.graph, report })
    }

    /// The graph's functions, each named after the first node that looks it up.
    fn functions(&self, graph: &Graph) -> Vec<FunctionReport> {
        let name = |function: usize| {
            let looks_up = |node: &&Node| matches!(&node.op, Op::Table(table) if table.function == function);
            let node = graph.nodes.iter().find(looks_up);
            let float = node.and_then(|node| self.float.nodes.iter().find(|float| float.name == node.name));
            match float.map(|float| &float.op) {
                Some(FloatOp::Map(functions)) => functions.iter().map(|function| function.name).collect::<Vec<_>>().join("·"),
                _ => node.map_or(String::new(), |node| node.name.clone()),
            }
        };
        let report = |(index, function): (usize, &Function)| FunctionReport { name: name(index), entries: function.values.len() };
        graph.functions.iter().enumerate().map(report).collect()
    }

    /// What bounds hide: how far each output would be off if the element before a Clip that is off most were within the bounds.
    fn hidden_errors(&self, quantised: &Quantised, prepared: &Prepared) -> Vec<(f64, f64)> {
        let mut hidden: Vec<(f64, f64)> = self.ranges.iter().map(|range| (0.0, *range)).collect();
        let clips: Vec<(usize, f64, f64)> = (0..self.float.nodes.len())
            .filter_map(|position| match self.float.nodes[position].op {
                FloatOp::Clip { min, max } => Some((position, min, max)),
                _ => None,
            })
            .collect();
        if clips.is_empty() || self.options.clamp.is_some() {
            return hidden;
        }
        let graph = &quantised.graph;
        let inputs: Vec<&Input> =
            self.samples.0.iter().take(HIDDEN_INPUTS).chain(prepared.beside.made_up.iter().take(HIDDEN_INPUTS)).collect();
        let one = |input: &Input| -> Option<Vec<(f64, f64)>> {
            let integers = encode(graph, input).ok().and_then(|integers| execute(graph, &integers).ok())?;
            let exact = self.float.run(&input.0);
            let largest = |id: usize| exact[id].iter().fold(0.0_f64, |most, x| most.max(x.abs()));
            let range = |((_, id), range): (&(String, usize), &f64)| (0.0, largest(*id).max(*range));
            let mut hidden: Vec<(f64, f64)> = self.float.outputs.iter().zip(&self.ranges).map(range).collect();
            for &(position, min, max) in &clips {
                let node = &self.float.nodes[position];
                let (before, after) = (node.inputs[0], node.output);
                let Some((tensor, scales)) = &quantised.values[before] else {
                    continue;
                };
                let scale = |element: usize| if scales.len() == 1 { scales[0] } else { scales[element] };
                let errors = integers[*tensor].iter().zip(&exact[before]).enumerate();
                let errors = errors.map(|(element, (&integer, &x))| ((integer as f64 * scale(element) - x).abs().min(max - min), element));
                let Some((error, element)) = errors.max_by(|a, b| a.0.total_cmp(&b.0)) else {
                    continue;
                };
                if error <= GOOD_MADE_UP_ERROR * largest(after) {
                    continue;
                }
                let mut values = exact.clone();
                let there = &mut values[after][element];
                *there += if *there + error <= max { error } else { -error };
                self.float.run_on(&mut values, position + 1);
                for ((_, id), hidden) in self.float.outputs.iter().zip(&mut hidden) {
                    let apart = values[*id].iter().zip(&exact[*id]).map(|(x, y)| (x - y).abs());
                    hidden.0 = apart.fold(hidden.0, f64::max);
                }
            }
            Some(hidden)
        };
        for block in inputs.chunks(self.float.runs_at_once()) {
            let found: Vec<Vec<(f64, f64)>> = block.par_iter().filter_map(|input| one(input)).collect();
            for list in found {
                let larger = |(most, one): (&mut (f64, f64), (f64, f64))| {
                    if share(one.0, one.1) > share(most.0, most.1) {
                        *most = one;
                    }
                };
                hidden.iter_mut().zip(list).for_each(larger);
            }
        }
        hidden
    }

    /// What the samples say too little of.
    fn warnings(&self, prepared: &Prepared) -> Vec<String> {
        let list = |features: &[usize]| {
            let first: Vec<String> = features.iter().take(MOST_NAMED).map(ToString::to_string).collect();
            let more = if features.len() > MOST_NAMED { format!(" and {} more", features.len() - MOST_NAMED) } else { String::new() };
            format!("{}{more}", first.join(", "))
        };
        let mut warnings = Vec::new();
        for (input, &id) in prepared.digits.iter().zip(&self.float.inputs) {
            let name = &self.float.values[id].name;
            if !input.vanished.is_empty() {
                warnings.push(format!(
                    "input `{name}`: the samples of feature {} vary, but all become one integer; give it a range (--input-range), its own scale (--input-scales feature) or more bits (--input-bits)",
                    list(&input.vanished)
                ));
            }
            if !input.constant.is_empty() {
                warnings.push(format!(
                    "input `{name}`: feature {} is the same in all samples, so little beyond that is accepted (0 to 1 where it is zero); give it a range (--input-range) or samples that show it",
                    list(&input.constant)
                ));
            }
        }
        for (index, (name, _)) in self.float.outputs.iter().enumerate() {
            let mut numbers = self.expected.iter().map(|lists| &lists[index]);
            if let Some(first) = numbers.next()
                && self.expected.len() > 1
                && numbers.all(|list| list == first)
            {
                warnings.push(format!(
                    "output `{name}` is the same on all samples: they do not show what the model does; give samples that do"
                ));
            }
        }
        warnings
    }

    /// The node at which the error, relative to its result's range, grows most over that of its inputs.
    /// Also what each node costs, and how wrong and how large its result is.
    fn by_node(
        &self,
        quantised: &Quantised,
        sample: usize,
        input: &Input,
        expected: &[Vec<f64>],
    ) -> Result<(String, Vec<NodeReport>), CompileError> {
        let Input(lists) = input;
        let integers = run(&quantised.graph, sample, input)?;
        let exact = self.float.run(lists);
        let error = |id: usize| -> f64 {
            let Some((tensor, scales)) = &quantised.values[id] else {
                return 0.0;
            };
            let scale = |element: usize| if scales.len() == 1 { scales[0] } else { scales[element] };
            let (mut most, mut largest) = (0.0_f64, 0.0_f64);
            for (element, (&integer, &x)) in integers[*tensor].iter().zip(&exact[id]).enumerate() {
                most = most.max((integer as f64 * scale(element) - x).abs());
                largest = largest.max(x.abs());
            }
            if most == 0.0 { 0.0 } else { most / largest.max(f64::MIN_POSITIVE) }
        };
        let mut nodes: Vec<NodeReport> = Vec::new();
        for (node, emitted) in self.float.nodes.iter().zip(&quantised.nodes) {
            let rows = rows_of(&quantised.graph, emitted.clone());
            let range = exact[node.output].iter().fold(0.0_f64, |most, x| most.max(x.abs()));
            let integer = |(tensor, _): &(usize, Vec<f64>)| integers[*tensor].iter().fold(0, |most, x| x.unsigned_abs().max(most));
            let largest = quantised.values[node.output].as_ref().map_or(0, integer);
            let bits = largest.checked_ilog2().map_or(1, |log| log + 2);
            let (name, error) = (node.name.clone(), error(node.output));
            match nodes.last_mut().filter(|last| last.node == name) {
                Some(last) => *last = NodeReport { node: name, range, bits, rows: last.rows + rows, error },
                None => nodes.push(NodeReport { node: name, range, bits, rows, error }),
            }
        }
        // The float model on the inputs that the digits stand for: what it is off by is the digits' alone.
        let written = quantised.graph.inputs.iter().map(|port| {
            let features = port.encoding.by_element(&quantised.graph.tensors[port.tensor].shape);
            integers[port.tensor].iter().zip(features).map(|(integer, feature)| *integer as f64 * feature.scale.value()).collect()
        });
        let from_digits = self.float.outputs(&written.collect::<Vec<Vec<f64>>>());
        let largest = |pairs: &mut dyn Iterator<Item = (&f64, &f64)>| pairs.map(|(x, y)| (x - y).abs()).fold(0.0, f64::max);
        let apart = |outputs: &[Vec<f64>]| largest(&mut outputs.iter().flatten().zip(expected.iter().flatten()));
        let outputs: Vec<Vec<i64>> = quantised.graph.outputs.iter().map(|port| integers[port.tensor].clone()).collect();
        let decoded = decode_outputs(&quantised.graph, &outputs);
        // What outputs cost beside the nodes that make them.
        for (position, emitted) in quantised.nodes.iter().skip(self.float.nodes.len()).enumerate() {
            let rows = rows_of(&quantised.graph, emitted.clone());
            if rows > 0 {
                let range = expected[position].iter().fold(0.0_f64, |most, x| most.max(x.abs()));
                let error = largest(&mut decoded[position].iter().zip(&expected[position])) / range.max(f64::MIN_POSITIVE);
                let bits = quantised.graph.outputs[position].encoding.bits;
                nodes.push(NodeReport { node: format!("output `{}`", self.float.outputs[position].0), range, bits, rows, error });
            }
        }
        if 2.0 * apart(&from_digits) >= apart(&decoded) {
            return Ok(("the input's digits".into(), nodes));
        }
        let mut dominant = (0.0_f64, "the input's digits");
        for node in &self.float.nodes {
            let before = node.inputs.iter().map(|&id| error(id)).fold(0.0, f64::max);
            let grown = error(node.output) - before;
            if grown > dominant.0 {
                dominant = (grown, &node.name);
            }
        }
        Ok((dominant.1.to_owned(), nodes))
    }
}

/// Inputs and outputs whose numbers are no real ones.
fn exact(float: &FloatGraph) -> BTreeMap<String, Kind> {
    let inputs = float.inputs.iter().map(|&id| (&float.values[id].name, id));
    let all = inputs.chain(float.outputs.iter().map(|(name, id)| (name, *id)));
    let kinds = all.map(|(name, id)| (name.clone(), float.values[id].kind));
    kinds.filter(|(_, kind)| *kind != Kind::Real).collect()
}

/// Whether the largest element of the first output is the one that is expected, if there are several.
fn agrees(outputs: &[Vec<f64>], expected: &[Vec<f64>]) -> Option<bool> {
    let (output, expected) = (outputs.first()?, expected.first()?);
    (expected.len() > 1).then(|| arg_max(output) == arg_max(expected))
}

/// The numbers that the graph gives.
fn answer(graph: &Graph, sample: usize, input: &Input) -> Result<Outputs, CompileError> {
    let integers = encode(graph, input).map_err(|source| CompileError::Encode { sample, source })?;
    let outputs = execute_outputs(graph, &integers).map_err(|source| CompileError::Execute { sample, source })?;
    Ok(decode_outputs(graph, &outputs))
}

/// All tensors of the graph on a sample.
fn run(graph: &Graph, sample: usize, input: &Input) -> Result<Vec<Vec<i64>>, CompileError> {
    let integers = encode(graph, input).map_err(|source| CompileError::Encode { sample, source })?;
    execute(graph, &integers).map_err(|source| CompileError::Execute { sample, source })
}
