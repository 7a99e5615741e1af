//! From a model file and samples to the integer graph and its accuracy.

use std::path::Path;
use std::sync::Arc;

use rayon::prelude::*;

use crate::calibrate::Statistics;
use crate::evaluate::{Evaluation, steps};
use crate::float::{FloatGraph, Kind, Value};
use crate::goal::{Goal, MaxError};
use crate::made_up::{self, Uniform};
use crate::onnx::{ImportError, ImportOptions, Imported, Mismatch};
use crate::passes::simplify;
use crate::quantise::{Curves, QuantiseError, Quantised, Settings, clamp, quantise};
use crate::ranges::{Chooser, InputDigits};
use crate::report::Report;
use crate::search::{Attempt, Beside, Prepared, Tables, choose, reach};
use zkslice_graph::{Encoding, ExecuteError, Graph, Input, Port, Samples, Tensor, ValueError, encode, limits};

/// How far beyond what many samples show values may go; few samples ask for more.
pub(crate) const DEFAULT_MARGIN: f64 = 2.0;
/// Bits that the precision of inner values may be asked for in.
pub(crate) const BITS: std::ops::RangeInclusive<u32> = 8..=16;
/// Most bits that an input's digit may be asked for in.
const MOST_INPUT_BITS: u32 = 16;
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
    /// Bits of inner values, 8 to 16, which are the range table's width; `None` chooses them by accuracy on the samples and by cost.
    pub bits: Option<u32>,
    /// Bits of an input's digit, 1 to 16; `None` chooses them with those of inner values.
    pub input_bits: Option<u32>,
    /// How far beyond what the samples show inputs may go, as a factor of at least 1 about the middle; `None` chooses by the number of
    /// samples.
    pub margin: Option<f64>,
    /// The same for the largest magnitudes of inner values; `None` chooses by the number of samples, and no less than `margin`.
    pub inner_margin: Option<f64>,
    /// Clamp inner values at this quantile of their magnitudes on the samples, 0.9 to 1, instead of refusing what goes beyond.
    pub clamp: Option<f64>,
    /// Ranges of inputs, instead of what the samples show; the most particular one counts.
    pub input_ranges: Vec<InputRange>,
    /// Whether features have scales of their own.
    pub input_scales: InputScales,
    /// The largest error on the samples that is looked for, instead of 1 % of the output's range, and beyond which compiling fails, instead
    /// of 5 %.
    pub max_error: Option<MaxError>,
    /// The share of samples on which the largest element of the first output must be the float model's: looked for, instead of 99 %, and
    /// below which compiling fails, instead of 95 %.
    pub min_agreement: Option<f64>,
    /// Do not fail for any error or disagreement that no option limits.
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
        "output `{output}` is off by {error} on sample {sample}, {:.1} % of its range; allowed is {allowed}, which is missed by {:.3e}. {nearest}; --max-error states another limit, --allow-error none{hint}",
        100.0 * share,
        error - allowed
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
        /// The setting.
        nearest: Box<Nearest>,
        /// What else the user should know, `; …` or nothing.
        hint: String,
    },
    /// The error is larger than allowed where no sample is.
    #[error(
        "output `{output}` is off by {error}, {:.1} % of its range, on a made-up input between the samples or beside them; the largest error on the samples themselves is {on_samples}, but they do not show where the model is steep. Allowed is {allowed}, which is missed by {:.3e}. {nearest}; --max-error states another limit, --allow-error none{hint}",
        100.0 * share,
        error - allowed
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
        /// The setting.
        nearest: Box<Nearest>,
        /// What else the user should know, `; …` or nothing.
        hint: String,
    },
    /// The classes differ on too many samples.
    #[error(
        "the largest output is another one than the float model's on {disagreed} of {samples} samples; allowed are {allowed}. {nearest}; --min-agreement states another limit, --allow-error takes it as it is{hint}"
    )]
    Agreement {
        /// Samples on which the largest output differs.
        disagreed: usize,
        /// All samples.
        samples: usize,
        /// Samples on which it may.
        allowed: usize,
        /// The setting.
        nearest: Box<Nearest>,
        /// What else the user should know, `; …` or nothing.
        hint: String,
    },
}

/// The setting that comes nearest to what is asked for, of those that may be taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nearest {
    /// Bits of inner values.
    pub bits: u32,
    /// Bits of an input's digit.
    pub input_bits: u32,
    /// The node at which most of the error arises.
    pub node: String,
    /// What may help.
    pub advice: &'static str,
}

impl std::fmt::Display for Nearest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { bits, input_bits, node, advice } = self;
        write!(
            f,
            "No setting that may be taken comes nearer than {bits} bits with inputs of {input_bits}. Most of the error arises at node `{node}`. {advice}"
        )
    }
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
    let first = model.graph.outputs.first();
    let classes = first.is_some_and(|(_, id)| model.graph.values[*id].len() > 1);
    if let Some((name, _)) = first.filter(|_| options.min_agreement.is_some() && !classes) {
        let reason = format!("output `{name}` has one number, so that its largest one is always the same (--min-agreement)");
        return Err(CompileError::Option(reason));
    }
    let reference = model.compare(&lists)?;
    let mut float = model.graph;
    simplify(&mut float);
    let (mut statistics, expected) = Statistics::collect(&float, &lists);
    if let Some(quantile) = options.clamp {
        float = clamp(float, &statistics, &lists, quantile);
        (statistics, _) = Statistics::collect(&float, &lists);
    }
    let ranges = reach(float.outputs.len(), &expected);
    let goal = Goal::new(options, &ranges, samples.0.len(), classes);
    let evaluation =
        Evaluation { float: &float, samples, expected: &expected, ranges, steps: steps(&float), reference, count, goal, options };
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
        let beside = Arc::new(Beside { ranges, made_up, expected, statistics });
        Ok(Some(Prepared { input_bits, digits, encodings, beside }))
    };
    let curves = Curves::default();
    let quantised = |tables: &Tables, prepared: &Prepared| -> Result<Quantised, CompileError> {
        let settings = Settings {
            table_bits: tables.bits,
            function_bits: &tables.functions,
            margin: options.margin,
            inner_margin: options.inner_margin,
            inputs: &prepared.encodings,
            curves: &curves,
        };
        Ok(quantise(&float, prepared.beside.statistics.as_ref().unwrap_or(&statistics), settings)?)
    };
    let Attempt { graph, report } = choose(&evaluation, prepare, quantised)?;
    check_accuracy(&report, &evaluation.goal, options, samples.0.len())?;
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

/// Refuses an integer model that is not the float model for practical purposes, or not what was asked for.
fn check_accuracy(report: &Report, goal: &Goal, options: &Options, samples: usize) -> Result<(), CompileError> {
    let limits = &goal.limits;
    let nearest = || {
        Box::new(Nearest {
            bits: report.table_bits,
            input_bits: report.input_bits,
            node: report.dominant_node.clone(),
            // What was left open, or stated at its most, has nothing more to give.
            advice: match (
                options.bits.is_some_and(|bits| bits < *BITS.end()),
                options.input_bits.is_some_and(|bits| bits < MOST_INPUT_BITS),
            ) {
                (true, false) => "Try more bits (--bits) or other samples",
                (true, true) => "Try more bits (--bits), more input bits (--input-bits) or other samples",
                (false, true) => "Try more input bits (--input-bits) or other samples",
                (false, false) => "Try other samples",
            },
        })
    };
    for (index, output) in report.outputs.iter().enumerate() {
        let allowed = limits.errors[index];
        if output.largest_error > allowed && (options.max_error.is_some() || !options.allow_error) {
            return Err(CompileError::Error {
                output: output.output.clone(),
                sample: output.sample,
                error: output.largest_error,
                share: output.share(),
                allowed,
                nearest: nearest(),
                hint: report.hint(),
            });
        }
        let allowed = limits.on_made_up(index, output.made_up_range);
        if output.made_up_error > allowed && !options.allow_error {
            return Err(CompileError::MadeUpError {
                output: output.output.clone(),
                error: output.made_up_error,
                share: output.made_up_share(),
                on_samples: output.largest_error,
                allowed,
                nearest: nearest(),
                hint: report.hint(),
            });
        }
    }
    let disagreed = report.disagreed(samples);
    if disagreed > limits.disagreed && (options.min_agreement.is_some() || !options.allow_error) {
        return Err(CompileError::Agreement { disagreed, samples, allowed: limits.disagreed, nearest: nearest(), hint: report.hint() });
    }
    Ok(())
}

fn check_options(options: &Options) -> Result<(), CompileError> {
    let wrong = |text: String| Err(CompileError::Option(text));
    if let Some(bits) = options.bits.filter(|bits| !BITS.contains(bits)) {
        return wrong(format!("{bits} bits of inner values (--bits) are outside {} to {}", BITS.start(), BITS.end()));
    }
    if let Some(bits) = options.input_bits.filter(|bits| !(1..=MOST_INPUT_BITS).contains(bits)) {
        return wrong(format!("{bits} input bits are outside 1 to {MOST_INPUT_BITS}"));
    }
    for (name, margin) in [("margin", options.margin), ("inner margin", options.inner_margin)] {
        if let Some(margin) = margin.filter(|margin| !(1.0..=1024.0).contains(margin)) {
            return wrong(format!("{name} {margin} is outside 1 to 1024"));
        }
    }
    if let Some(quantile) = options.clamp.filter(|quantile| !(0.9..=1.0).contains(quantile)) {
        return wrong(format!("clamp {quantile} is outside 0.9 to 1"));
    }
    if options.max_error.is_some_and(|error| error.number().is_nan() || error.number() < 0.0) {
        return wrong("the largest error allowed (--max-error) must not be negative".into());
    }
    if let Some(share) = options.min_agreement.filter(|share| !(0.0..=1.0).contains(share)) {
        return wrong(format!("an agreement (--min-agreement) of {share} is outside 0 to 1"));
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
            let exact = value.kind != Kind::Real;
            let number = |x: f64| if exact { x.round() } else { x };
            lists.push((0..value.len()).map(|_| number(min + (max - min) * uniform.next())).collect());
        }
        samples.push(Input(lists));
    }
    Ok(Samples(samples))
}

/// Checks counts, lengths, finiteness and kinds against a model's inputs.
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
            let refused = |(element, &x): (usize, &f64)| value.kind.refusal(x).map(|reason| (element, x, reason));
            if let Some((element, x, reason)) = list.iter().enumerate().find_map(refused) {
                return Err(ValueError::Kind { place: place(), input: value.name.clone(), element, value: x, reason });
            }
        }
    }
    Ok(())
}
