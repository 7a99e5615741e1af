//! From a model file and samples to the integer graph and its accuracy.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;

use crate::calibrate::Statistics;
use crate::executor::{ExecuteError, execute};
use crate::float::FloatGraph;
use crate::import::{ImportError, ImportOptions, import, import_bytes};
use crate::model::{Encoding, Graph, Op};
use crate::passes::simplify;
use crate::quantise::{QuantiseError, Settings, TensorScale, quantise};
use crate::values::{Input, Samples, ValueError, decode_outputs, encode};

/// Table widths that are tried when none is given.
const AUTO_TABLE_BITS: std::ops::RangeInclusive<u32> = 10..=16;
/// An error that a wider table need not improve on, relative to the largest output on the samples.
const GOOD_ERROR: f64 = 0.01;
/// Samples made up from stated input ranges when there are none.
const MADE_UP_SAMPLES: usize = 64;

/// How to compile a model.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// Width of the range table; `None` chooses it by accuracy on the samples and by cost.
    pub table_bits: Option<u32>,
    /// Bits of an input's digit, 1 to 16.
    pub input_bits: u32,
    /// How far beyond what the samples show values may go, as a factor of at least 1.
    pub margin: f64,
    /// Drop a final Softmax.
    pub drop_final_softmax: bool,
    /// Fail when an output on a sample differs from the float model's by more than this.
    pub max_error: Option<f64>,
    /// Range of inputs by name, instead of what the samples show.
    pub input_ranges: BTreeMap<String, (f64, f64)>,
}

impl Default for Options {
    fn default() -> Self {
        Options { table_bits: None, input_bits: 8, margin: 2.0, drop_final_softmax: false, max_error: None, input_ranges: BTreeMap::new() }
    }
}

/// Why a model does not compile.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// The model cannot be imported.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// The samples do not fit the model.
    #[error(transparent)]
    Samples(#[from] ValueError),
    /// An option is out of range.
    #[error("{0}")]
    Option(String),
    /// The model cannot be quantised.
    #[error(transparent)]
    Quantise(#[from] QuantiseError),
    /// A sample cannot be executed on the integer graph.
    #[error("sample {sample}: {source}")]
    Execute {
        /// Index of the sample.
        sample: usize,
        /// What went wrong.
        source: ExecuteError,
    },
    /// A sample cannot be written in the input's digits.
    #[error("sample {sample}: {source}")]
    Encode {
        /// Index of the sample.
        sample: usize,
        /// What went wrong.
        source: ValueError,
    },
    /// The error is larger than allowed.
    #[error("the largest error on the samples is {error}, more than --max-error {allowed}; use a wider table or more input bits")]
    MaxError {
        /// Largest error.
        error: f64,
        /// Largest error allowed.
        allowed: f64,
    },
}

/// Cost of a graph in non-linear operators.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Sites {
    /// Elements that pass a ReLU.
    pub relus: usize,
    /// Elements requantised without a ReLU.
    pub requants: usize,
    /// Comparisons of max pools.
    pub comparisons: usize,
    /// Elements of inputs.
    pub inputs: usize,
    /// Lookups in the range table.
    pub lookups: usize,
}

impl Sites {
    /// Counts a validated graph's sites.
    pub fn count(graph: &Graph) -> Sites {
        let mut sites = Sites::default();
        for port in &graph.inputs {
            let count = graph.tensors[port.tensor].len();
            sites.inputs += count;
            sites.lookups += count * port.encoding.bits.div_ceil(graph.table_bits) as usize;
        }
        for node in &graph.nodes {
            let count = graph.tensors[node.output].len();
            match &node.op {
                Op::Relu { shift } => {
                    sites.relus += count;
                    sites.lookups += count * if *shift == 0 { 1 } else { 2 };
                }
                Op::Requant { .. } => {
                    sites.requants += count;
                    sites.lookups += 2 * count;
                }
                Op::MaxPool { window, limbs } => {
                    let positions = (0..window.output[0]).flat_map(|y| (0..window.output[1]).map(move |x| (y, x)));
                    let comparisons: usize = positions.map(|(y, x)| window.taps(y, x).count().saturating_sub(1)).sum();
                    sites.comparisons += window.input[0] * comparisons;
                    sites.lookups += window.input[0] * comparisons * *limbs as usize;
                }
                _ => {}
            }
        }
        sites
    }
}

/// What compiling found out: accuracy against the float model on the samples, and cost.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// Width of the range table.
    pub table_bits: u32,
    /// Samples used; 0 when there were none and made-up ones stood in.
    pub samples: usize,
    /// Largest difference between a decoded output and the float model's.
    pub largest_error: f64,
    /// Mean difference.
    pub mean_error: f64,
    /// Largest magnitude of the float model's outputs.
    pub largest_output: f64,
    /// Share of samples whose largest output is the same one, for a first output of more than one element.
    pub top1_agreement: Option<f64>,
    /// Non-linear sites.
    pub sites: Sites,
    /// Scales of inputs and requantised tensors.
    pub scales: Vec<TensorScale>,
}

/// Compiles a model file.
///
/// Without samples, every input needs a range in `options`; uniform made-up samples then calibrate, which suits few
/// models: give samples where you can.
///
/// # Errors
/// When the model, the samples or the options cannot be used, or `max_error` is missed.
pub fn compile(model: &Path, samples: Option<&Samples>, options: &Options) -> Result<(Graph, Report), CompileError> {
    let float = import(model, &ImportOptions { drop_final_softmax: options.drop_final_softmax })?;
    compile_float(float, samples, options)
}

/// Compiles a model given as bytes.
///
/// # Errors
/// As [`compile`].
pub fn compile_bytes(model: &[u8], samples: Option<&Samples>, options: &Options) -> Result<(Graph, Report), CompileError> {
    let float = import_bytes(model, &ImportOptions { drop_final_softmax: options.drop_final_softmax })?;
    compile_float(float, samples, options)
}

/// Compiles an imported model.
///
/// # Errors
/// As [`compile`].
pub fn compile_float(mut float: FloatGraph, samples: Option<&Samples>, options: &Options) -> Result<(Graph, Report), CompileError> {
    check_options(&float, options)?;
    let made_up;
    let (samples, count) = match samples {
        Some(samples) => (samples, samples.0.len()),
        None => {
            made_up = make_up(&float, options)?;
            (&made_up, 0)
        }
    };
    samples.check(&float)?;
    if samples.0.is_empty() {
        return Err(CompileError::Option("there is no sample; give at least one".into()));
    }
    simplify(&mut float);
    let lists: Vec<Vec<Vec<f64>>> = samples.0.iter().map(|Input(lists)| lists.clone()).collect();
    let statistics = Statistics::collect(&float, &lists);
    let expected: Vec<Vec<Vec<f64>>> = lists.iter().map(|lists| float.outputs(lists)).collect();
    let encodings = encodings(&float, &statistics, options)?;
    let attempt = |table_bits: u32| -> Result<(Graph, Report), CompileError> {
        let settings = Settings { table_bits, margin: options.margin, inputs: &encodings };
        let (graph, scales) = quantise(&float, &statistics, settings)?;
        let report = evaluate(&graph, samples, &expected, scales, count)?;
        Ok((graph, report))
    };
    let (graph, report) = match options.table_bits {
        Some(bits) => attempt(bits)?,
        None => choose(attempt, options)?,
    };
    if let Some(allowed) = options.max_error
        && report.largest_error > allowed
    {
        return Err(CompileError::MaxError { error: report.largest_error, allowed });
    }
    Ok((graph, report))
}

/// The narrowest table that is accurate enough, or the most accurate one.
fn choose(attempt: impl Fn(u32) -> Result<(Graph, Report), CompileError>, options: &Options) -> Result<(Graph, Report), CompileError> {
    let mut best: Option<(Graph, Report)> = None;
    let mut failure = None;
    for bits in AUTO_TABLE_BITS {
        match attempt(bits) {
            Ok((graph, report)) => {
                let wanted = options.max_error.unwrap_or(f64::INFINITY).min(GOOD_ERROR * report.largest_output);
                if report.largest_error <= wanted {
                    return Ok((graph, report));
                }
                if best.as_ref().is_none_or(|(_, best)| report.largest_error < best.largest_error) {
                    best = Some((graph, report));
                }
            }
            Err(error) => failure = failure.or(Some(error)),
        }
    }
    match (best, failure) {
        (Some(best), _) => Ok(best),
        (None, Some(error)) => Err(error),
        (None, None) => Err(CompileError::Option("no table width can be tried".into())),
    }
}

fn check_options(float: &FloatGraph, options: &Options) -> Result<(), CompileError> {
    let wrong = |text: String| Err(CompileError::Option(text));
    if let Some(bits) = options.table_bits
        && !(4..=crate::limits::MAX_TABLE_BITS).contains(&bits)
    {
        return wrong(format!("table width {bits} is outside 4 to {}", crate::limits::MAX_TABLE_BITS));
    }
    if !(1..=16).contains(&options.input_bits) {
        return wrong(format!("{} input bits are outside 1 to 16", options.input_bits));
    }
    if !(1.0..=1024.0).contains(&options.margin) {
        return wrong(format!("margin {} is outside 1 to 1024", options.margin));
    }
    if options.max_error.is_some_and(|error| error.is_nan() || error < 0.0) {
        return wrong("the largest error allowed must not be negative".into());
    }
    for (name, (min, max)) in &options.input_ranges {
        if !float.inputs.iter().any(|&id| &float.values[id].name == name) {
            let names: Vec<&str> = float.inputs.iter().map(|&id| float.values[id].name.as_str()).collect();
            return wrong(format!("there is no input `{name}` to give a range for; the model has {}", names.join(", ")));
        }
        if !(min.is_finite() && max.is_finite() && min < max) {
            return wrong(format!("input `{name}`: range [{min}, {max}] is empty or not finite"));
        }
    }
    Ok(())
}

fn encodings(float: &FloatGraph, statistics: &Statistics, options: &Options) -> Result<Vec<Encoding>, CompileError> {
    let one = |(&id, &seen): (&usize, &(f64, f64))| {
        let name = &float.values[id].name;
        let (min, max) = options.input_ranges.get(name).copied().unwrap_or(seen);
        Encoding::covering(min, max, options.input_bits)
            .ok_or_else(|| QuantiseError::Scale { side: "input", name: name.clone(), magnitude: min.abs().max(max.abs()) }.into())
    };
    float.inputs.iter().zip(&statistics.ranges).map(one).collect()
}

/// Uniform samples from the stated ranges, the same on every run: an xorshift generator with a fixed seed.
fn make_up(float: &FloatGraph, options: &Options) -> Result<Samples, CompileError> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut uniform = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as f64 / (1_u64 << 53) as f64
    };
    let mut samples = Vec::new();
    for _ in 0..MADE_UP_SAMPLES {
        let mut lists = Vec::new();
        for &id in &float.inputs {
            let value = &float.values[id];
            let Some(&(min, max)) = options.input_ranges.get(&value.name) else {
                return Err(CompileError::Option(format!(
                    "there are no samples and no range for input `{}`; give one of them",
                    value.name
                )));
            };
            lists.push((0..value.len()).map(|_| min + (max - min) * uniform()).collect());
        }
        samples.push(Input(lists));
    }
    Ok(Samples(samples))
}

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

fn evaluate(
    graph: &Graph,
    samples: &Samples,
    expected: &[Vec<Vec<f64>>],
    scales: Vec<TensorScale>,
    count: usize,
) -> Result<Report, CompileError> {
    let (mut largest_error, mut sum, mut terms, mut largest_output) = (0.0_f64, 0.0_f64, 0_usize, 0.0_f64);
    let (mut agreed, mut classified) = (0_usize, 0_usize);
    for (sample, (input, expected)) in samples.0.iter().zip(expected).enumerate() {
        let integers = encode(graph, input).map_err(|source| CompileError::Encode { sample, source })?;
        let values = execute(graph, &integers).map_err(|source| CompileError::Execute { sample, source })?;
        let outputs: Vec<Vec<i64>> = graph.outputs.iter().map(|port| values[port.tensor].clone()).collect();
        let outputs = decode_outputs(graph, &outputs);
        for (output, expected) in outputs.iter().zip(expected) {
            for (x, y) in output.iter().zip(expected) {
                let error = (x - y).abs();
                largest_error = largest_error.max(error);
                largest_output = largest_output.max(y.abs());
                sum += error;
                terms += 1;
            }
        }
        if let (Some(output), Some(expected)) = (outputs.first(), expected.first())
            && expected.len() > 1
        {
            classified += 1;
            agreed += usize::from(arg_max(output) == arg_max(expected));
        }
    }
    Ok(Report {
        table_bits: graph.table_bits,
        samples: count,
        largest_error,
        mean_error: if terms == 0 { 0.0 } else { sum / terms as f64 },
        largest_output,
        top1_agreement: (classified > 0).then(|| agreed as f64 / classified as f64),
        sites: Sites::count(graph),
        scales,
    })
}
