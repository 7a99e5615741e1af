//! From a model file and samples to the integer graph and its accuracy.

use std::path::Path;
use std::sync::Arc;

use rayon::prelude::*;

use crate::calibrate::Statistics;
use crate::evaluate::{Evaluation, steps};
use crate::float::{FloatGraph, Kind, Value};
use crate::made_up::{self, Uniform};
use crate::onnx::{ImportError, ImportOptions, Imported, Mismatch};
use crate::passes::simplify;
use crate::quantise::{QuantiseError, Quantised, Settings, clamp, quantise};
use crate::ranges::{Chooser, InputDigits};
use crate::report::Report;
use crate::search::{Attempt, Beside, Prepared, choose, reach};
use zkslice_graph::{Encoding, ExecuteError, Graph, Input, Port, Samples, Tensor, ValueError, encode, limits};

/// The largest error that a package may have unless it is told otherwise, relative to an output's range on the samples.
pub(crate) const MOST_ERROR: f64 = 0.05;
/// The smallest share of samples on which a package and the float model must agree on the largest output.
pub(crate) const LEAST_AGREEMENT: f64 = 0.95;
/// How far beyond what many samples show values may go; few samples ask for more.
pub(crate) const DEFAULT_MARGIN: f64 = 2.0;
/// Samples made up from stated input ranges when there are none.
const MADE_UP_SAMPLES: usize = 64;

/// A range of inputs, instead of what the samples show.
#[derive(Clone, Debug, PartialEq)]
pub struct InputRange {
    /// Name of the input; every input where there is none.
    pub input: Option<String>,
    /// Index of the feature (column of the last axis, or channel); the whole input where there is none.
    pub feature: Option<usize>,
    /// Smallest number.
    pub min: f64,
    /// Largest number.
    pub max: f64,
}

/// Whether features of an input have scales of their own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum InputScales {
    /// Where one scale for all would lose some feature.
    #[default]
    Auto,
    /// Never: one per input.
    Input,
    /// Always: one per column of the last axis, or per channel.
    Feature,
}

/// How to compile a model.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Options {
    /// How the model is imported.
    pub import: ImportOptions,
    /// Width of the range table; `None` chooses it by accuracy on the samples and by cost.
    pub table_bits: Option<u32>,
    /// Bits of an input's digit, 1 to 16; `None` chooses them with the table's width.
    pub input_bits: Option<u32>,
    /// How far beyond what the samples show inner values may go, as a factor of at least 1; `None` chooses by the number of samples.
    pub margin: Option<f64>,
    /// The same for inputs, about the middle of what the samples show.
    pub input_margin: Option<f64>,
    /// Clamp inner values at this quantile of their magnitudes on the samples, 0.9 to 1, instead of refusing what goes beyond.
    pub clamp: Option<f64>,
    /// Ranges of inputs, instead of what the samples show; the most particular one counts.
    pub input_ranges: Vec<InputRange>,
    /// Whether features have scales of their own.
    pub input_scales: InputScales,
    /// Fail when an output on a sample differs from the float model's by more than this, instead of by 5 % of the output's range.
    pub max_error: Option<f64>,
    /// Do not fail for any error or disagreement.
    pub allow_error: bool,
}

/// Why a model does not compile.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// The model cannot be imported.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// Another runtime computes something else.
    #[error(transparent)]
    Mismatch(#[from] Mismatch),
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
    #[error(
        "output `{output}` is off by {error} on sample {sample}, {:.1} % of its range; allowed is {allowed}. Most of it arises at node `{node}` (table of {table_bits} bits, inputs of {input_bits}). Try a wider table (--table-bits), more input bits (--input-bits) or other samples; --max-error states another limit, --allow-error none{hint}",
        100.0 * share
    )]
    Error {
        /// Name of the output.
        output: String,
        /// Index of the sample.
        sample: usize,
        /// Largest error.
        error: f64,
        /// The same as a part of the output's range.
        share: f64,
        /// Largest error allowed.
        allowed: f64,
        /// The node at which most of the error arises.
        node: String,
        /// Width of the table.
        table_bits: u32,
        /// Bits of an input's digit.
        input_bits: u32,
        /// What else the user should know, `; …` or nothing.
        hint: String,
    },
    /// The error is larger than allowed where no sample is.
    #[error(
        "output `{output}` is off by {error}, {:.1} % of its range, on a made-up input between the samples or beside them; the largest error on the samples themselves is {on_samples}, but they do not show where the model is steep. Allowed is {allowed}. Most of it arises at node `{node}` (table of {table_bits} bits, inputs of {input_bits}). Try a wider table (--table-bits), more input bits (--input-bits) or more samples; --max-error states another limit, --allow-error none{hint}",
        100.0 * share
    )]
    MadeUpError {
        /// Name of the output.
        output: String,
        /// Largest error.
        error: f64,
        /// The same as a part of the output's range.
        share: f64,
        /// Largest error on the samples.
        on_samples: f64,
        /// Largest error allowed.
        allowed: f64,
        /// The node at which most of the error arises.
        node: String,
        /// Width of the table.
        table_bits: u32,
        /// Bits of an input's digit.
        input_bits: u32,
        /// What else the user should know, `; …` or nothing.
        hint: String,
    },
    /// The classes differ on too many samples.
    #[error(
        "the largest output is another one than the float model's on {disagreed} of {samples} samples, more than {:.0} % of them. Most of the error arises at node `{node}` (table of {table_bits} bits, inputs of {input_bits}). Try a wider table (--table-bits), more input bits (--input-bits) or other samples; --allow-error takes it as it is{hint}",
        100.0 * (1.0 - LEAST_AGREEMENT)
    )]
    Agreement {
        /// Samples on which the largest output differs.
        disagreed: usize,
        /// All samples.
        samples: usize,
        /// The node at which most of the error arises.
        node: String,
        /// Width of the table.
        table_bits: u32,
        /// Bits of an input's digit.
        input_bits: u32,
        /// What else the user should know, `; …` or nothing.
        hint: String,
    },
}

/// Compiles a model file.
///
/// The model is held against tract on the samples first. Without samples, every input needs a range in `options`; uniform
/// made-up samples then calibrate, which suits few models: give samples where you can.
///
/// # Errors
/// When the model, the samples or the options cannot be used, or the integer model is not accurate enough.
pub fn compile(model: &Path, samples: Option<&Samples>, options: &Options) -> Result<(Graph, Report), CompileError> {
    compile_imported(Imported::read(model, &options.import)?, samples, options)
}

/// Compiles a model given as bytes.
///
/// # Errors
/// As [`compile`].
pub fn compile_bytes(model: &[u8], samples: Option<&Samples>, options: &Options) -> Result<(Graph, Report), CompileError> {
    compile_imported(Imported::new(model, None, &options.import)?, samples, options)
}

/// Compiles an imported model. There is no file to hold against tract: the reference is the float graph itself.
///
/// # Errors
/// As [`compile`].
pub fn compile_float(float: FloatGraph, samples: Option<&Samples>, options: &Options) -> Result<(Graph, Report), CompileError> {
    compile_imported(Imported::from(float), samples, options)
}

fn compile_imported(model: Imported, samples: Option<&Samples>, options: &Options) -> Result<(Graph, Report), CompileError> {
    check_options(options)?;
    let made_up;
    let (samples, count) = match samples {
        Some(samples) => (samples, samples.0.len()),
        None => {
            made_up = make_up(&model.graph, options)?;
            (&made_up, 0)
        }
    };
    check_samples(samples, &model.graph)?;
    if samples.0.is_empty() {
        return Err(CompileError::Option("there is no sample; give at least one".into()));
    }
    let lists: Vec<Vec<Vec<f64>>> = samples.0.iter().map(|Input(lists)| lists.clone()).collect();
    let reference = model.compare(&lists)?;
    let mut float = model.graph;
    simplify(&mut float);
    let (mut statistics, expected) = Statistics::collect(&float, &lists);
    if let Some(quantile) = options.clamp {
        float = clamp(float, &statistics, &lists, quantile);
        (statistics, _) = Statistics::collect(&float, &lists);
    }
    let ranges = reach(float.outputs.len(), &expected);
    let evaluation = Evaluation { float: &float, samples, expected: &expected, ranges, steps: steps(&float), reference, count, options };
    let chooser = Chooser::new(&float, &samples.0, &expected, options)?;
    let middles = if options.clamp.is_some() { Vec::new() } else { made_up::middles(&float, &samples.0, &expected) };
    let prepare = |input_bits: u32, others: &[Option<Prepared>]| -> Result<Option<Prepared>, CompileError> {
        let digits = chooser.digits(input_bits)?;
        let encodings: Vec<Encoding> = digits.iter().map(|input| input.encoding.clone()).collect();
        check_digits(&float, &encodings, samples)?;
        if others.iter().flatten().any(|other| other.encodings == encodings) {
            // Integers are written in as many bits as they need, whatever is asked for.
            return Ok(None);
        }
        let of_elements = |(input, &id): (&InputDigits, &usize)| {
            let Value { shape, .. } = &float.values[id];
            let inner: usize = shape.iter().skip(input.encoding.axis + 1).product();
            let feature = |element: usize| input.ranges[element / inner.max(1) % input.ranges.len()];
            (0..float.values[id].len()).map(feature).collect()
        };
        let ranges: Vec<Vec<(f64, f64)>> = digits.iter().zip(&float.inputs).map(of_elements).collect();
        if let Some(other) = others.iter().flatten().find(|other| other.beside.ranges == ranges) {
            return Ok(Some(Prepared { input_bits, digits, encodings, beside: Arc::clone(&other.beside) }));
        }
        // What a clamp takes away counts as no error.
        let mut made_up = Vec::new();
        if options.clamp.is_none() {
            made_up = made_up::inputs(&ranges, &samples.0);
            made_up.extend_from_slice(&middles);
            for Input(lists) in &mut made_up {
                let exact = lists.iter_mut().zip(&float.inputs).filter(|(_, id)| float.values[**id].kind != Kind::Real);
                exact.flat_map(|(list, _)| list).for_each(|x| *x = x.round());
            }
        }
        let expected: Vec<Vec<Vec<f64>>> = made_up.par_iter().map(|Input(lists)| float.outputs(lists)).collect();
        let lists: Vec<Vec<Vec<f64>>> = made_up.iter().map(|Input(lists)| lists.clone()).collect();
        let statistics = statistics.filled(&float, &lists);
        let reach = reach(float.outputs.len(), &expected).into_iter().zip(&evaluation.ranges).map(|(x, y)| x.max(*y)).collect();
        let beside = Arc::new(Beside { ranges, made_up, expected, reach, statistics });
        Ok(Some(Prepared { input_bits, digits, encodings, beside }))
    };
    let quantised = |(table_bits, function_bits): (u32, u32), prepared: &Prepared| -> Result<Quantised, CompileError> {
        let settings = Settings { table_bits, function_bits, margin: options.margin, inputs: &prepared.encodings };
        Ok(quantise(&float, prepared.beside.statistics.as_ref().unwrap_or(&statistics), settings)?)
    };
    let Attempt { graph, report } = choose(&evaluation, prepare, quantised)?;
    check_accuracy(&report, options, samples.0.len())?;
    Ok((graph, report))
}

/// Refuses a sample that the inputs' digits cannot hold.
fn check_digits(float: &FloatGraph, encodings: &[Encoding], samples: &Samples) -> Result<(), CompileError> {
    let tensor = |&id: &usize| Tensor { name: float.values[id].name.clone(), shape: float.values[id].shape.clone() };
    let port = |(tensor, encoding): (usize, &Encoding)| Port { tensor, encoding: encoding.clone() };
    let inputs: Vec<Port> = encodings.iter().enumerate().map(port).collect();
    let tensors = float.inputs.iter().map(tensor).collect();
    let ports =
        Graph { table_bits: limits::MIN_TABLE_BITS, tensors, nodes: Vec::new(), inputs, outputs: Vec::new(), functions: Vec::new() };
    for (sample, input) in samples.0.iter().enumerate() {
        encode(&ports, input).map_err(|source| CompileError::Encode { sample, source })?;
    }
    Ok(())
}

/// Refuses an integer model that is not the float model for practical purposes.
fn check_accuracy(report: &Report, options: &Options, samples: usize) -> Result<(), CompileError> {
    if options.allow_error && options.max_error.is_none() {
        return Ok(());
    }
    for output in &report.outputs {
        let allowed = options.max_error.unwrap_or(MOST_ERROR * output.range);
        if output.largest_error > allowed {
            return Err(CompileError::Error {
                output: output.output.clone(),
                sample: output.sample,
                error: output.largest_error,
                share: output.share(),
                allowed,
                node: report.dominant_node.clone(),
                table_bits: report.table_bits,
                input_bits: report.input_bits,
                hint: report.hint(),
            });
        }
        let allowed = options.max_error.unwrap_or(0.0).max(MOST_ERROR * output.made_up_range);
        if output.made_up_error > allowed && !options.allow_error {
            return Err(CompileError::MadeUpError {
                output: output.output.clone(),
                error: output.made_up_error,
                share: output.made_up_share(),
                on_samples: output.largest_error,
                allowed,
                node: report.dominant_node.clone(),
                table_bits: report.table_bits,
                input_bits: report.input_bits,
                hint: report.hint(),
            });
        }
    }
    match report.top1_agreement {
        Some(share) if share < LEAST_AGREEMENT && !options.allow_error => Err(CompileError::Agreement {
            disagreed: samples - (share * samples as f64).round() as usize,
            samples,
            node: report.dominant_node.clone(),
            table_bits: report.table_bits,
            input_bits: report.input_bits,
            hint: report.hint(),
        }),
        _ => Ok(()),
    }
}

fn check_options(options: &Options) -> Result<(), CompileError> {
    let wrong = |text: String| Err(CompileError::Option(text));
    if let Some(bits) = options.table_bits.filter(|bits| !(4..=limits::MAX_TABLE_BITS).contains(bits)) {
        return wrong(format!("table width {bits} is outside 4 to {}", limits::MAX_TABLE_BITS));
    }
    if let Some(bits) = options.input_bits.filter(|bits| !(1..=16).contains(bits)) {
        return wrong(format!("{bits} input bits are outside 1 to 16"));
    }
    for (name, margin) in [("margin", options.margin), ("input margin", options.input_margin)] {
        if let Some(margin) = margin.filter(|margin| !(1.0..=1024.0).contains(margin)) {
            return wrong(format!("{name} {margin} is outside 1 to 1024"));
        }
    }
    if let Some(quantile) = options.clamp.filter(|quantile| !(0.9..=1.0).contains(quantile)) {
        return wrong(format!("clamp {quantile} is outside 0.9 to 1"));
    }
    if options.max_error.is_some_and(|error| error.is_nan() || error < 0.0) {
        return wrong("the largest error allowed must not be negative".into());
    }
    Ok(())
}

/// Uniform samples from the stated ranges, the same on every run.
fn make_up(float: &FloatGraph, options: &Options) -> Result<Samples, CompileError> {
    let mut uniform = Uniform::new();
    let mut samples = Vec::new();
    for _ in 0..MADE_UP_SAMPLES {
        let mut lists = Vec::new();
        for &id in &float.inputs {
            let value = &float.values[id];
            let applies = |range: &&InputRange| range.input.as_ref().is_none_or(|name| name == &value.name) && range.feature.is_none();
            let Some(InputRange { min, max, .. }) = options.input_ranges.iter().filter(applies).max_by_key(|range| range.input.is_some())
            else {
                return Err(CompileError::Option(format!(
                    "there are no samples and no range for input `{}`; give --samples or --input-range",
                    value.name
                )));
            };
            lists.push((0..value.len()).map(|_| min + (max - min) * uniform.next()).collect());
        }
        samples.push(Input(lists));
    }
    Ok(Samples(samples))
}

/// Checks counts, lengths and finiteness against a model's inputs.
fn check_samples(samples: &Samples, graph: &FloatGraph) -> Result<(), ValueError> {
    for (index, Input(lists)) in samples.0.iter().enumerate() {
        let place = || format!("sample {index}");
        if lists.len() != graph.inputs.len() {
            return Err(ValueError::Count { place: place(), given: lists.len(), expected: graph.inputs.len() });
        }
        for (&id, list) in graph.inputs.iter().zip(lists) {
            let value = &graph.values[id];
            if list.len() != value.len() {
                return Err(ValueError::Length { place: place(), input: value.name.clone(), given: list.len(), expected: value.len() });
            }
            if let Some(element) = list.iter().position(|x| !x.is_finite()) {
                return Err(ValueError::NotFinite { place: place(), input: value.name.clone(), element, value: list[element] });
            }
        }
    }
    Ok(())
}
