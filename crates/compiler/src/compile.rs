//! From a model file and samples to the integer graph and its accuracy.

use std::path::Path;

use serde::Serialize;

use crate::calibrate::Statistics;
use crate::float::{FloatGraph, FloatOp, Value};
use crate::made_up::{self, Uniform};
use crate::onnx::{ImportError, ImportOptions, Imported, Mismatch, Reference};
use crate::passes::simplify;
use crate::quantise::{QuantiseError, Quantised, Settings, TensorScale, clamp, quantise};
use crate::ranges::{Chooser, InputDigits};
use zkslice_graph::Op;
use zkslice_graph::limits;
use zkslice_graph::{Encoding, Graph, Port, Tensor};
use zkslice_graph::{ExecuteError, execute};
use zkslice_graph::{Input, Samples, ValueError, decode_outputs, encode};

/// Table widths that are tried when none is given.
const AUTO_TABLE_BITS: std::ops::RangeInclusive<u32> = 10..=16;
/// Bits of an input's digit that are tried when none are given.
const AUTO_INPUT_BITS: [u32; 3] = [8, 10, 12];
/// An error that a wider table need not improve on, relative to an output's range on the samples.
const GOOD_ERROR: f64 = 0.01;
/// The largest error that a package may have unless it is told otherwise, relative to an output's range on the samples.
pub(crate) const MOST_ERROR: f64 = 0.05;
/// The error on made-up inputs that a wider table need not improve on, relative to the output's range.
const GOOD_MADE_UP_ERROR: f64 = MOST_ERROR / 2.0;
/// The smallest share of samples on which a package and the float model must agree on the largest output.
const LEAST_AGREEMENT: f64 = 0.95;
/// How far beyond what many samples show values may go; few samples ask for more.
pub(crate) const DEFAULT_MARGIN: f64 = 2.0;
/// Samples, and made-up inputs, on which errors before bounds are looked at.
const HIDDEN_INPUTS: usize = 8;
/// Features that a warning names.
const MOST_NAMED: usize = 12;
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

/// Cost of a graph in non-linear operators.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Sites {
    /// Elements that pass a ReLU.
    pub relus: usize,
    /// Elements requantised without a ReLU.
    pub requants: usize,
    /// Comparisons of max pools and with bounds.
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
            let site = graph.site(node);
            sites.lookups += node.op.lookups(&site);
            match &node.op {
                Op::Relu(_) => sites.relus += graph.tensors[node.output].len(),
                Op::Requant(_) => sites.requants += graph.tensors[node.output].len(),
                op @ (Op::Clip(_) | Op::MaxPool(_)) => sites.comparisons += op.products(&site),
                Op::Conv(_) | Op::Dense(_) | Op::SumPool(_) | Op::Affine(_) | Op::Reshape(_) | Op::Transpose(_) | Op::Concat(_) => {}
            }
        }
        sites
    }
}

/// What compiling found out: accuracy against the float model, on the samples and beside them, and cost.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// What the float model itself was checked against.
    pub reference: Reference,
    /// Width of the range table.
    pub table_bits: u32,
    /// Bits of an input's digit.
    pub input_bits: u32,
    /// Samples used; 0 when there were none and made-up ones stood in.
    pub samples: usize,
    /// Made-up inputs, between the samples and beside them, that the integer model answers; none with a clamp.
    pub made_up: usize,
    /// The quantile at which inner values are clamped, if they are.
    pub clamp: Option<f64>,
    /// Largest difference between a decoded output and the float model's, on the samples.
    pub largest_error: f64,
    /// The same on the made-up inputs.
    pub made_up_error: f64,
    /// Mean difference.
    pub mean_error: f64,
    /// Largest magnitude of the float model's outputs.
    pub largest_output: f64,
    /// Share of samples whose largest output is the same one, for a first output of more than one element.
    pub top1_agreement: Option<f64>,
    /// Each output by itself.
    pub outputs: Vec<OutputError>,
    /// The node at which most of the error arises, on the sample where the error is largest.
    pub dominant_node: String,
    /// What the user should know: features and outputs that the samples say too little of.
    pub warnings: Vec<String>,
    /// Non-linear sites.
    pub sites: Sites,
    /// Scales of inputs and requantised tensors.
    pub scales: Vec<TensorScale>,
}

/// Accuracy of one output.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OutputError {
    /// Name of the output.
    pub output: String,
    /// Largest magnitude of the float model's numbers on the samples: how far the output ranges.
    pub range: f64,
    /// Largest difference on the samples.
    pub largest_error: f64,
    /// The sample with the largest difference.
    pub sample: usize,
    /// `range`, or the largest magnitude on the made-up inputs where that is larger.
    pub made_up_range: f64,
    /// Largest difference on the made-up inputs, or that a bound hides on any input.
    pub made_up_error: f64,
}

impl Report {
    /// The largest error on the samples as a part of its output's range.
    fn share(&self) -> f64 {
        self.outputs.iter().fold(0.0, |most, output| most.max(output.share()))
    }

    /// The same on made-up inputs.
    fn made_up_share(&self) -> f64 {
        self.outputs.iter().fold(0.0, |most, output| most.max(output.made_up_share()))
    }

    /// The warnings as the end of an error.
    fn hint(&self) -> String {
        self.warnings.iter().map(|warning| format!("; {warning}")).collect()
    }
}

impl OutputError {
    fn share(&self) -> f64 {
        if self.largest_error == 0.0 { 0.0 } else { self.largest_error / self.range }
    }

    fn made_up_share(&self) -> f64 {
        if self.made_up_error == 0.0 { 0.0 } else { self.made_up_error / self.made_up_range }
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
    let reference = model.compare(&lists)?;
    let mut float = model.graph;
    simplify(&mut float);
    let expected: Vec<Vec<Vec<f64>>> = lists.iter().map(|lists| float.outputs(lists)).collect();
    let mut statistics = Statistics::collect(&float, &lists);
    if let Some(quantile) = options.clamp {
        float = clamp(float, &statistics, &lists, quantile);
        statistics = Statistics::collect(&float, &lists);
    }
    let evaluation = Evaluation { float: &float, samples, expected: &expected, reference, count, clamp: options.clamp };
    let chooser = Chooser::new(&float, &samples.0, &expected, options)?;
    let middles = if options.clamp.is_some() { Vec::new() } else { made_up::middles(&float, &samples.0, &expected) };
    let prepare = |input_bits: u32| -> Result<Prepared, CompileError> {
        let digits = chooser.digits(input_bits)?;
        let encodings: Vec<Encoding> = digits.iter().map(|input| input.encoding.clone()).collect();
        check_digits(&float, &encodings, samples)?;
        let of_elements = |(input, &id): (&InputDigits, &usize)| {
            let Value { shape, .. } = &float.values[id];
            let inner: usize = shape.iter().skip(input.encoding.axis + 1).product();
            let feature = |element: usize| input.ranges[element / inner.max(1) % input.ranges.len()];
            (0..float.values[id].len()).map(feature).collect()
        };
        let ranges: Vec<Vec<(f64, f64)>> = digits.iter().zip(&float.inputs).map(of_elements).collect();
        // What a clamp takes away counts as no error.
        let mut made_up = Vec::new();
        if options.clamp.is_none() {
            made_up = made_up::inputs(&ranges, &samples.0);
            made_up.extend_from_slice(&middles);
        }
        let lists: Vec<Vec<Vec<f64>>> = made_up.iter().map(|Input(lists)| lists.clone()).collect();
        let expected = lists.iter().map(|lists| float.outputs(lists)).collect();
        let statistics = statistics.filled(&float, &lists);
        Ok(Prepared { input_bits, digits, encodings, made_up, expected, statistics })
    };
    let attempt = |table_bits: u32, prepared: &Prepared| -> Result<Attempt, CompileError> {
        let settings = Settings { table_bits, margin: options.margin, inputs: &prepared.encodings };
        let quantised = quantise(&float, prepared.statistics.as_ref().unwrap_or(&statistics), settings)?;
        let report = evaluation.report(&quantised, prepared)?;
        Ok(Attempt { graph: quantised.graph, report })
    };
    let Attempt { graph, report } = choose(prepare, attempt, options)?;
    check_accuracy(&report, options, samples.0.len())?;
    Ok((graph, report))
}

/// What attempts with inputs of so many bits share.
struct Prepared {
    input_bits: u32,
    digits: Vec<InputDigits>,
    encodings: Vec<Encoding>,
    made_up: Vec<Input>,
    /// The float model's outputs on each made-up input.
    expected: Vec<Vec<Vec<f64>>>,
    /// What the samples show, filled up where they show nothing; `None` where they show something of every value.
    statistics: Option<Statistics>,
}

/// Refuses a sample that the inputs' digits cannot hold.
fn check_digits(float: &FloatGraph, encodings: &[Encoding], samples: &Samples) -> Result<(), CompileError> {
    let tensor = |&id: &usize| Tensor { name: float.values[id].name.clone(), shape: float.values[id].shape.clone() };
    let port = |(tensor, encoding): (usize, &Encoding)| Port { tensor, encoding: encoding.clone() };
    let inputs: Vec<Port> = encodings.iter().enumerate().map(port).collect();
    let tensors = float.inputs.iter().map(tensor).collect();
    let ports = Graph { table_bits: limits::MIN_TABLE_BITS, tensors, nodes: Vec::new(), inputs, outputs: Vec::new() };
    for (sample, input) in samples.0.iter().enumerate() {
        encode(&ports, input).map_err(|source| CompileError::Encode { sample, source })?;
    }
    Ok(())
}

/// A graph at one setting.
struct Attempt {
    graph: Graph,
    report: Report,
}

/// The cheapest setting that is accurate enough, or the most accurate one. A bit of the table doubles its rows; a bit of the
/// inputs costs words and rows in proportion to their number, which is less for all but the largest.
fn choose(
    prepare: impl Fn(u32) -> Result<Prepared, CompileError>,
    attempt: impl Fn(u32, &Prepared) -> Result<Attempt, CompileError>,
    options: &Options,
) -> Result<Attempt, CompileError> {
    let tables: Vec<u32> = options.table_bits.map_or(AUTO_TABLE_BITS.collect(), |bits| vec![bits]);
    let inputs: Vec<u32> = options.input_bits.map_or(AUTO_INPUT_BITS.to_vec(), |bits| vec![bits]);
    // Made when they are first tried; `None` for bits that the inputs cannot have.
    let mut prepared: Vec<Option<Prepared>> = Vec::new();
    let mut best: Option<(f64, Attempt)> = None;
    let mut failure = None;
    for table_bits in tables {
        for (index, &input_bits) in inputs.iter().enumerate() {
            if prepared.len() == index {
                prepared.push(match prepare(input_bits) {
                    Ok(made) => Some(made),
                    // A sample that has no digits is the sample's or the range's fault, whatever the setting.
                    Err(error) if matches!(error, CompileError::Encode { .. }) => return Err(error),
                    Err(error) => {
                        failure = Some(error);
                        None
                    }
                });
            }
            let Some(prepared) = &prepared[index] else {
                continue;
            };
            match attempt(table_bits, prepared) {
                Ok(found) => {
                    let (share, made_up_share) = (found.report.share(), found.report.made_up_share());
                    let good = share <= GOOD_ERROR
                        && made_up_share <= GOOD_MADE_UP_ERROR
                        && options.max_error.is_none_or(|allowed| found.report.largest_error <= allowed)
                        && found.report.top1_agreement.is_none_or(|share| share >= LEAST_AGREEMENT);
                    if good {
                        return Ok(found);
                    }
                    let worst = share.max(made_up_share);
                    if best.as_ref().is_none_or(|(least, _)| worst < *least) {
                        best = Some((worst, found));
                    }
                }
                // The last one is that of the widest setting.
                Err(error) => failure = Some(error),
            }
        }
    }
    match (best, failure) {
        (Some((_, best)), _) => Ok(best),
        (None, Some(error)) => Err(error),
        (None, None) => Err(CompileError::Option("no table width can be tried".into())),
    }
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
struct Evaluation<'a> {
    float: &'a FloatGraph,
    samples: &'a Samples,
    /// The float model's outputs on each sample.
    expected: &'a [Vec<Vec<f64>>],
    reference: Reference,
    /// Samples that were given.
    count: usize,
    clamp: Option<f64>,
}

impl Evaluation<'_> {
    fn report(&self, quantised: &Quantised, prepared: &Prepared) -> Result<Report, CompileError> {
        let graph = &quantised.graph;
        let (mut largest_error, mut sum, mut terms, mut largest_output) = (0.0_f64, 0.0_f64, 0_usize, 0.0_f64);
        let (mut agreed, mut classified) = (0_usize, 0_usize);
        let named = |(name, _): &(String, usize)| OutputError {
            output: name.clone(),
            range: 0.0,
            largest_error: 0.0,
            sample: 0,
            made_up_range: 0.0,
            made_up_error: 0.0,
        };
        let mut by_output: Vec<OutputError> = self.float.outputs.iter().map(named).collect();
        let mut extremes = vec![(0.0_f64, 0.0_f64); by_output.len()];
        for (sample, (input, expected)) in self.samples.0.iter().zip(self.expected).enumerate() {
            let values = run(graph, sample, input)?;
            let outputs: Vec<Vec<i64>> = graph.outputs.iter().map(|port| values[port.tensor].clone()).collect();
            let outputs = decode_outputs(graph, &outputs);
            for (((output, expected), of), (min, max)) in outputs.iter().zip(expected).zip(&mut by_output).zip(&mut extremes) {
                for (x, y) in output.iter().zip(expected) {
                    let error = (x - y).abs();
                    if error > of.largest_error {
                        (of.largest_error, of.sample) = (error, sample);
                    }
                    (*min, *max) = (min.min(*y), max.max(*y));
                    largest_output = largest_output.max(y.abs());
                    sum += error;
                    terms += 1;
                }
                largest_error = largest_error.max(of.largest_error);
            }
            if let (Some(output), Some(expected)) = (outputs.first(), expected.first())
                && expected.len() > 1
            {
                classified += 1;
                agreed += usize::from(arg_max(output) == arg_max(expected));
            }
        }
        for (output, (min, max)) in by_output.iter_mut().zip(extremes) {
            output.range = max.max(-min);
            output.made_up_range = output.range;
        }
        // What is refused has no answer that could be wrong.
        let mut made_up = 0;
        let mut worst_made_up = (0.0_f64, None);
        for (input, expected) in prepared.made_up.iter().zip(&prepared.expected) {
            let Some(outputs) = encode(graph, input).ok().and_then(|integers| execute(graph, &integers).ok()) else {
                continue;
            };
            made_up += 1;
            let outputs: Vec<Vec<i64>> = graph.outputs.iter().map(|port| outputs[port.tensor].clone()).collect();
            for ((output, exact), of) in decode_outputs(graph, &outputs).iter().zip(expected).zip(&mut by_output) {
                let (mut error, mut largest) = (0.0_f64, of.made_up_range);
                for (x, y) in output.iter().zip(exact) {
                    error = error.max((x - y).abs());
                    largest = largest.max(y.abs());
                }
                of.made_up_range = largest;
                of.made_up_error = of.made_up_error.max(error);
                if error > worst_made_up.0 * largest {
                    worst_made_up = (error / largest, Some((input, expected)));
                }
            }
        }
        for (output, hidden) in by_output.iter_mut().zip(self.hidden_errors(quantised, prepared)) {
            output.made_up_error = output.made_up_error.max(hidden);
        }
        let worst = by_output.iter().max_by(|a, b| a.share().total_cmp(&b.share()));
        let (share, sample) = worst.map_or((0.0, 0), |output| (output.share(), output.sample));
        let dominant_node = match worst_made_up {
            (made_up, Some((input, expected))) if made_up > 2.0 * share => self.dominant_node(quantised, sample, input, expected)?,
            _ => self.dominant_node(quantised, sample, &self.samples.0[sample], &self.expected[sample])?,
        };
        Ok(Report {
            reference: self.reference,
            table_bits: graph.table_bits,
            input_bits: prepared.input_bits,
            samples: self.count,
            made_up,
            clamp: self.clamp,
            largest_error,
            made_up_error: by_output.iter().fold(0.0, |most, output| most.max(output.made_up_error)),
            mean_error: if terms == 0 { 0.0 } else { sum / terms as f64 },
            largest_output,
            top1_agreement: (classified > 0).then(|| agreed as f64 / classified as f64),
            warnings: self.warnings(prepared),
            outputs: by_output,
            dominant_node,
            sites: Sites::count(graph),
            scales: quantised.scales.clone(),
        })
    }

    /// What bounds hide: how far each output would be off if the element before a Clip that is off most were within the bounds.
    fn hidden_errors(&self, quantised: &Quantised, prepared: &Prepared) -> Vec<f64> {
        let mut hidden = vec![0.0_f64; self.float.outputs.len()];
        let clips: Vec<(usize, f64, f64)> = (0..self.float.nodes.len())
            .filter_map(|position| match self.float.nodes[position].op {
                FloatOp::Clip { min, max } => Some((position, min, max)),
                _ => None,
            })
            .collect();
        if clips.is_empty() || self.clamp.is_some() {
            return hidden;
        }
        let graph = &quantised.graph;
        for input in self.samples.0.iter().take(HIDDEN_INPUTS).chain(prepared.made_up.iter().take(HIDDEN_INPUTS)) {
            let Some(integers) = encode(graph, input).ok().and_then(|integers| execute(graph, &integers).ok()) else {
                continue;
            };
            let exact = self.float.run(&input.0);
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
                let largest = exact[after].iter().fold(0.0_f64, |most, x| most.max(x.abs()));
                if error <= GOOD_MADE_UP_ERROR * largest {
                    continue;
                }
                let mut values = exact.clone();
                let there = &mut values[after][element];
                *there += if *there + error <= max { error } else { -error };
                self.float.run_on(&mut values, position + 1);
                for ((_, id), hidden) in self.float.outputs.iter().zip(&mut hidden) {
                    let apart = values[*id].iter().zip(&exact[*id]).map(|(x, y)| (x - y).abs());
                    *hidden = apart.fold(*hidden, f64::max);
                }
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
    fn dominant_node(&self, quantised: &Quantised, sample: usize, input: &Input, expected: &[Vec<f64>]) -> Result<String, CompileError> {
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
        // The float model on the inputs that the digits stand for: what it is off by is the digits' alone.
        let written = quantised.graph.inputs.iter().map(|port| {
            let features = port.encoding.by_element(&quantised.graph.tensors[port.tensor].shape);
            integers[port.tensor].iter().zip(features).map(|(integer, feature)| *integer as f64 * feature.scale.value()).collect()
        });
        let from_digits = self.float.outputs(&written.collect::<Vec<Vec<f64>>>());
        let apart = |outputs: &[Vec<f64>]| {
            let pairs = outputs.iter().flatten().zip(expected.iter().flatten());
            pairs.map(|(x, y)| (x - y).abs()).fold(0.0, f64::max)
        };
        let outputs: Vec<Vec<i64>> = quantised.graph.outputs.iter().map(|port| integers[port.tensor].clone()).collect();
        if 2.0 * apart(&from_digits) >= apart(&decode_outputs(&quantised.graph, &outputs)) {
            return Ok("the input's digits".into());
        }
        let mut dominant = (0.0_f64, "the input's digits");
        for node in &self.float.nodes {
            let before = node.inputs.iter().map(|&id| error(id)).fold(0.0, f64::max);
            let grown = error(node.output) - before;
            if grown > dominant.0 {
                dominant = (grown, &node.name);
            }
        }
        Ok(dominant.1.to_owned())
    }
}

/// All tensors of the graph on a sample.
fn run(graph: &Graph, sample: usize, input: &Input) -> Result<Vec<Vec<i64>>, CompileError> {
    let integers = encode(graph, input).map_err(|source| CompileError::Encode { sample, source })?;
    execute(graph, &integers).map_err(|source| CompileError::Execute { sample, source })
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
