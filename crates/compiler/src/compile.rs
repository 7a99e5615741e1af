//! From a model file and samples to the integer graph and its accuracy.

use std::path::Path;
use std::sync::Arc;

use rayon::prelude::*;
use serde::Serialize;

use crate::calibrate::Statistics;
use crate::float::{FloatGraph, FloatOp, Kind, Value};
use crate::made_up::{self, Uniform};
use crate::onnx::{ImportError, ImportOptions, Imported, Mismatch, Reference};
use crate::passes::simplify;
use crate::quantise::{QuantiseError, Quantised, Settings, TensorScale, clamp, quantise};
use crate::ranges::{Chooser, InputDigits};
use zkslice_graph::Op;
use zkslice_graph::limits;
use zkslice_graph::{Encoding, Graph, Node, Port, Tensor};
use zkslice_graph::{ExecuteError, execute, execute_outputs};
use zkslice_graph::{Input, Samples, ValueError, decode_outputs, encode};

/// Table widths that are tried when none is given.
const AUTO_TABLE_BITS: std::ops::RangeInclusive<u32> = 10..=16;
/// Bits by which arguments of functions are finer than the range table at most.
const MOST_FINER: u32 = 2;
/// Bits of an input's digit that are tried when none are given, and those that are tried where none of them is accurate enough: they
/// cost words on chain.
const AUTO_INPUT_BITS: [u32; 5] = [8, 10, 12, 16, 20];
const USUAL_INPUT_BITS: usize = 3;
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
/// Inputs that are answered before it is asked whether more need be.
const FIRST_BLOCK: usize = 4;
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
    /// Elements that pass a function's table.
    pub functions: usize,
    /// Products, quotients, roots and bits of computed numbers.
    pub products: usize,
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
                op @ (Op::Clip(_) | Op::MaxPool(_) | Op::Maximum(_)) => sites.comparisons += op.products(&site),
                Op::Step(_) => sites.comparisons += graph.tensors[node.output].len(),
                op @ (Op::Product(_) | Op::MatMul(_) | Op::Divide(_) | Op::Sqrt(_) | Op::OneHot(_)) => sites.products += op.products(&site),
                Op::Table(_) => sites.functions += graph.tensors[node.output].len(),
                Op::Conv(_) | Op::Dense(_) | Op::SumPool(_) | Op::Affine(_) => {}
                Op::Reshape(_) | Op::Transpose(_) | Op::Concat(_) | Op::View(_) | Op::Gather(_) | Op::Constant(_) => {}
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
    /// Whether a Softmax at the end was left out, if the model has one.
    pub drop_final_softmax: bool,
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
    /// What each node of the model costs and how accurate its result is, on the sample where the error is largest; not in the manifest.
    #[serde(skip)]
    pub nodes: Vec<NodeReport>,
    /// Non-linear sites.
    pub sites: Sites,
    /// Scales of inputs and requantised tensors.
    pub scales: Vec<TensorScale>,
}

/// A node of the model in the integer graph.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NodeReport {
    /// Its name; several that came from one node of the model are one.
    pub node: String,
    /// Largest magnitude of its last result.
    pub range: f64,
    /// Bits of the integers that stand for it, sign included.
    pub bits: u32,
    /// Rows of its circuit, tables not counted.
    pub rows: usize,
    /// Largest error of its result, as a part of the range.
    pub error: f64,
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
        share(self.largest_error, self.range)
    }

    fn made_up_share(&self) -> f64 {
        share(self.made_up_error, self.made_up_range)
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

/// The largest magnitude of each output on some inputs.
fn reach(outputs: usize, expected: &[Vec<Vec<f64>>]) -> Vec<f64> {
    (0..outputs).map(|output| expected.iter().flat_map(|lists| &lists[output]).fold(0.0, |most: f64, x| most.max(x.abs()))).collect()
}

/// What attempts with inputs of so many bits share.
struct Prepared {
    input_bits: u32,
    digits: Vec<InputDigits>,
    encodings: Vec<Encoding>,
    beside: Arc<Beside>,
}

/// What attempts share whose inputs have the same ranges.
struct Beside {
    /// For each input the smallest and the largest number of each element.
    ranges: Vec<Vec<(f64, f64)>>,
    made_up: Vec<Input>,
    /// The float model's outputs on each made-up input.
    expected: Vec<Vec<Vec<f64>>>,
    /// The largest magnitude of each output on the samples and on made-up inputs, refused or not.
    reach: Vec<f64>,
    /// What the samples show, filled up where they show nothing; `None` where they show something of every value.
    statistics: Option<Statistics>,
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

/// A graph at one setting.
struct Attempt {
    graph: Graph,
    report: Report,
}

/// The cheapest setting that is accurate enough, or the most accurate one. A bit of the table doubles its rows; a bit of the
/// inputs costs words and rows in proportion to their number, which is less for all but the largest.
///
/// A setting is looked at no further once it is not accurate enough. Only where none is are they looked at again, those that may be
/// the most accurate first, until none that is left can be.
fn choose(
    evaluation: &Evaluation<'_>,
    prepare: impl Fn(u32, &[Option<Prepared>]) -> Result<Option<Prepared>, CompileError>,
    quantised: impl Fn((u32, u32), &Prepared) -> Result<Quantised, CompileError>,
) -> Result<Attempt, CompileError> {
    let options = evaluation.options;
    let tables = table_settings(evaluation.float, options.table_bits);
    let inputs: Vec<u32> = options.input_bits.map_or(AUTO_INPUT_BITS.to_vec(), |bits| vec![bits]);
    let usual = inputs.len().min(USUAL_INPUT_BITS);
    let with = |inputs: std::ops::Range<usize>| tables.iter().flat_map(move |&table| inputs.clone().map(move |input| (table, input)));
    let settings: Vec<((u32, u32), usize)> = with(0..usual).chain(with(usual..inputs.len())).collect();
    // Made when they are first tried; `None` for bits that the inputs cannot have, or that change nothing.
    let mut prepared: Vec<Option<Prepared>> = Vec::new();
    // The made-up inputs, those first that showed an error before.
    let mut order: Vec<usize> = Vec::new();
    let mut failure = None;
    let mut fail = |setting: usize, error: CompileError| {
        // The one that counts is that of the widest setting.
        if failure.as_ref().is_none_or(|(last, _)| *last <= setting) {
            failure = Some((setting, error));
        }
    };
    // Settings that are not accurate enough: by how much they are off at least.
    let mut open: Vec<(f64, usize)> = Vec::new();
    let mut best: Option<(f64, usize, Quantised, Answers)> = None;
    for (setting, &(table, input)) in settings.iter().enumerate() {
        if prepared.len() == input {
            prepared.push(match prepare(inputs[input], &prepared) {
                Ok(made) => made,
                // A sample that has no digits is the sample's or the range's fault, whatever the setting.
                Err(error) if matches!(error, CompileError::Encode { .. }) => return Err(error),
                Err(error) => {
                    fail(setting, error);
                    None
                }
            });
        }
        let Some(prepared) = &prepared[input] else {
            continue;
        };
        let answers = quantised(table, prepared).and_then(|quantised| {
            let answers = evaluation.answers(&quantised, prepared, &mut order, |shown| !evaluation.is_good(shown))?;
            Ok((quantised, answers))
        });
        match answers {
            Ok((quantised, Ok(answers))) => {
                let report = evaluation.report(&quantised, prepared, &answers);
                let worst = report.share().max(report.made_up_share());
                if evaluation.is_good(&Shown::of(&report)) {
                    return evaluation.attempt(quantised, prepared, &answers, report);
                }
                if best.as_ref().is_none_or(|(least, ..)| worst < *least) {
                    best = Some((worst, setting, quantised, answers));
                }
            }
            Ok((_, Err(shown))) => open.push((shown.worst(), setting)),
            Err(error) => fail(setting, error),
        }
    }
    open.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    for (least, setting) in open {
        let (table, input) = settings[setting];
        // Of equals the first counts.
        let lost = |shown: f64| best.as_ref().is_some_and(|(worst, first, ..)| (shown, setting) > (*worst, *first));
        let Some(prepared) = prepared[input].as_ref().filter(|_| !lost(least)) else {
            continue;
        };
        let answers = quantised(table, prepared).and_then(|quantised| {
            let answers = evaluation.answers(&quantised, prepared, &mut order, |shown| lost(shown.worst()))?;
            Ok((quantised, answers))
        });
        match answers {
            Ok((quantised, Ok(answers))) => {
                let report = evaluation.report(&quantised, prepared, &answers);
                let worst = report.share().max(report.made_up_share());
                if !lost(worst) {
                    best = Some((worst, setting, quantised, answers));
                }
            }
            Ok((_, Err(_))) => {}
            Err(error) => fail(setting, error),
        }
    }
    let best = best.and_then(|(_, setting, quantised, answers)| Some((quantised, prepared[settings[setting].1].as_ref()?, answers)));
    match (best, failure) {
        (Some((quantised, prepared, answers)), _) => {
            let report = evaluation.report(&quantised, prepared, &answers);
            evaluation.attempt(quantised, prepared, &answers, report)
        }
        (None, Some((_, error))) => Err(error),
        (None, None) => Err(CompileError::Option("no table width can be tried".into())),
    }
}

/// Widths of the range table, and by how many bits the arguments of functions are finer, cheapest first: a table has a row per entry.
fn table_settings(float: &FloatGraph, table_bits: Option<u32>) -> Vec<(u32, u32)> {
    let mut functions: Vec<&FloatOp> = Vec::new();
    for node in float.nodes.iter().filter(|node| matches!(node.op, FloatOp::Map(_))) {
        if !functions.contains(&&node.op) {
            functions.push(&node.op);
        }
    }
    let widths: Vec<u32> = table_bits.map_or(AUTO_TABLE_BITS.collect(), |bits| vec![bits]);
    let finer = if functions.is_empty() { 0..=0 } else { 0..=MOST_FINER };
    let fits = |(width, finer): &(u32, u32)| width + finer <= limits::MAX_TABLE_BITS;
    let mut settings: Vec<(u32, u32)> =
        widths.iter().flat_map(|&width| finer.clone().map(move |finer| (width, finer))).filter(fits).collect();
    settings.sort_by_key(|(width, finer)| ((1_usize << width) + (functions.len() << (width + finer)), *width));
    settings
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
    /// Their largest magnitudes.
    ranges: Vec<f64>,
    /// Which outputs take steps: made of comparisons, indices or rounded numbers alone.
    steps: Vec<bool>,
    reference: Reference,
    /// Samples that were given.
    count: usize,
    options: &'a Options,
}

/// Which outputs of a graph only take steps. Whatever is near one may be on its other side in the integer model, wholly wrong: what counts
/// of such an output is how often it is.
fn steps(float: &FloatGraph) -> Vec<bool> {
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
type Outputs = Vec<Vec<f64>>;

/// What an integer graph answers.
struct Answers {
    samples: Vec<Outputs>,
    /// `None` where it refuses.
    made_up: Vec<Option<Outputs>>,
    /// For each output what bounds hide.
    hidden: Vec<f64>,
}

/// How wrong some answers are; all of them are at least so wrong.
#[derive(Clone, Copy, Debug, Default)]
struct Shown {
    /// Largest error on the samples.
    error: f64,
    /// The largest as a part of its output's range.
    share: f64,
    /// The same on made-up inputs.
    made_up_share: f64,
    /// Share of samples on which the largest output may still be the same one.
    agreement: Option<f64>,
}

impl Shown {
    fn of(report: &Report) -> Shown {
        let agreement = report.top1_agreement;
        Shown { error: report.largest_error, share: report.share(), made_up_share: report.made_up_share(), agreement }
    }

    fn worst(&self) -> f64 {
        self.share.max(self.made_up_share)
    }
}

/// The largest errors of outputs so far. Of one that takes steps it is the mean error, as a part of all inputs: it only grows.
struct Errors<'a> {
    steps: &'a [bool],
    inputs: usize,
    most: Vec<f64>,
}

impl Errors<'_> {
    fn new(steps: &[bool], inputs: usize) -> Errors<'_> {
        Errors { steps, inputs, most: vec![0.0; steps.len()] }
    }

    /// Adds the answers to one input; gives what they add to each output's error.
    fn add(&mut self, outputs: &[Vec<f64>], expected: &[Vec<f64>]) -> Vec<f64> {
        let mut added = Vec::with_capacity(outputs.len());
        for (index, (output, expected)) in outputs.iter().zip(expected).enumerate() {
            let apart = output.iter().zip(expected).map(|(x, y)| (x - y).abs());
            let most = &mut self.most[index];
            added.push(if self.steps[index] {
                let mean = apart.sum::<f64>() / (output.len() * self.inputs).max(1) as f64;
                *most += mean;
                mean
            } else {
                let largest = apart.fold(0.0, f64::max);
                *most = most.max(largest);
                largest
            });
        }
        added
    }
}

fn share(error: f64, range: f64) -> f64 {
    if error == 0.0 { 0.0 } else { error / range }
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
    fn is_good(&self, shown: &Shown) -> bool {
        shown.share <= GOOD_ERROR
            && shown.made_up_share <= GOOD_MADE_UP_ERROR
            && self.options.max_error.is_none_or(|allowed| shown.error <= allowed)
            && shown.agreement.is_none_or(|share| share >= LEAST_AGREEMENT)
    }

    /// What the graph answers to the samples and, in that order, to made-up inputs; or how wrong the first answers are, if that is
    /// enough to stop. What stopped it comes first in the order from then on.
    fn answers(
        &self,
        quantised: &Quantised,
        prepared: &Prepared,
        order: &mut Vec<usize>,
        stop: impl Fn(&Shown) -> bool,
    ) -> Result<Result<Answers, Shown>, CompileError> {
        let (graph, Beside { made_up, expected, reach, .. }) = (&quantised.graph, &*prepared.beside);
        let mut shown = Shown::default();
        let mut errors = Errors::new(&self.steps, self.samples.0.len());
        let mut disagreed = 0;
        let mut samples: Vec<Outputs> = Vec::with_capacity(self.samples.0.len());
        for block in blocks(self.samples.0.len()) {
            let answers: Vec<Result<Outputs, CompileError>> =
                block.clone().into_par_iter().map(|sample| answer(graph, sample, &self.samples.0[sample])).collect();
            for (sample, outputs) in block.zip(answers) {
                let (outputs, expected) = (outputs?, &self.expected[sample]);
                errors.add(&outputs, expected);
                for (&error, range) in errors.most.iter().zip(&self.ranges) {
                    shown.error = shown.error.max(error);
                    shown.share = shown.share.max(share(error, *range));
                }
                if let Some(agrees) = agrees(&outputs, expected) {
                    disagreed += usize::from(!agrees);
                    shown.agreement = Some((self.samples.0.len() - disagreed) as f64 / self.samples.0.len() as f64);
                }
                samples.push(outputs);
            }
            if stop(&shown) {
                return Ok(Err(shown));
            }
        }
        if order.len() != made_up.len() {
            *order = (0..made_up.len()).collect();
        }
        let mut answers: Vec<Option<Outputs>> = vec![None; made_up.len()];
        let mut errors = Errors::new(&self.steps, made_up.len());
        for block in blocks(made_up.len()) {
            let found: Vec<(usize, Option<Outputs>)> =
                order[block.clone()].par_iter().map(|&index| (index, answer(graph, index, &made_up[index]).ok())).collect();
            let mut worst = (0.0, block.start);
            for (position, (index, outputs)) in block.zip(found) {
                let added = outputs.as_ref().map(|outputs| errors.add(outputs, &expected[index])).unwrap_or_default();
                for (error, range) in added.into_iter().zip(reach) {
                    if share(error, *range) > worst.0 {
                        worst = (share(error, *range), position);
                    }
                }
                answers[index] = outputs;
            }
            shown.made_up_share = errors.most.iter().zip(reach).fold(0.0, |most, (error, range)| most.max(share(*error, *range)));
            if stop(&shown) {
                order[..=worst.1].rotate_right(1);
                return Ok(Err(shown));
            }
        }
        Ok(Ok(Answers { samples, made_up: answers, hidden: self.hidden_errors(quantised, prepared) }))
    }

    /// How accurate the answers are; it does not say yet where errors arise.
    fn report(&self, quantised: &Quantised, prepared: &Prepared, answers: &Answers) -> Report {
        let graph = &quantised.graph;
        let (mut largest_error, mut sum, mut terms) = (0.0_f64, 0.0_f64, 0_usize);
        let (mut agreed, mut classified) = (0_usize, 0_usize);
        let named = |((name, _), &range): (&(String, usize), &f64)| OutputError {
            output: name.clone(),
            range,
            largest_error: 0.0,
            sample: 0,
            made_up_range: range,
            made_up_error: 0.0,
        };
        let mut by_output: Vec<OutputError> = self.float.outputs.iter().zip(&self.ranges).map(named).collect();
        let mut errors = Errors::new(&self.steps, self.samples.0.len());
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
        let mut errors = Errors::new(&self.steps, answers.made_up.len());
        for (outputs, expected) in answers.made_up.iter().zip(&prepared.beside.expected) {
            let Some(outputs) = outputs else { continue };
            errors.add(outputs, expected);
            for (expected, of) in expected.iter().zip(&mut by_output) {
                of.made_up_range = expected.iter().fold(of.made_up_range, |most, y| most.max(y.abs()));
            }
        }
        for (of, error) in by_output.iter_mut().zip(&errors.most) {
            of.made_up_error = *error;
        }
        for (output, hidden) in by_output.iter_mut().zip(&answers.hidden) {
            output.made_up_error = output.made_up_error.max(*hidden);
        }
        Report {
            reference: self.reference,
            table_bits: graph.table_bits,
            input_bits: prepared.input_bits,
            samples: self.count,
            made_up: answers.made_up.iter().flatten().count(),
            clamp: self.options.clamp,
            drop_final_softmax: self.options.import.drop_final_softmax,
            largest_error,
            made_up_error: by_output.iter().fold(0.0, |most, output| most.max(output.made_up_error)),
            mean_error: if terms == 0 { 0.0 } else { sum / terms as f64 },
            largest_output: self.ranges.iter().fold(0.0, |most, range| most.max(*range)),
            top1_agreement: (classified > 0).then(|| agreed as f64 / classified as f64),
            warnings: self.warnings(prepared),
            outputs: by_output,
            dominant_node: String::new(),
            nodes: Vec::new(),
            sites: Sites::count(graph),
            scales: quantised.scales.clone(),
        }
    }

    /// The chosen graph, its report complete.
    fn attempt(&self, quantised: Quantised, prepared: &Prepared, answers: &Answers, mut report: Report) -> Result<Attempt, CompileError> {
        let Beside { made_up, expected, .. } = &*prepared.beside;
        let worst = report.outputs.iter().max_by(|a, b| a.share().total_cmp(&b.share()));
        let (of_samples, sample) = worst.map_or((0.0, 0), |output| (output.share(), output.sample));
        let mut ranges = self.ranges.clone();
        let mut worst = (0.0_f64, None);
        let mut errors = Errors::new(&self.steps, answers.made_up.len());
        for (index, outputs) in answers.made_up.iter().enumerate() {
            let added = outputs.as_ref().map(|outputs| errors.add(outputs, &expected[index])).unwrap_or_default();
            for ((error, expected), range) in added.into_iter().zip(&expected[index]).zip(&mut ranges) {
                *range = expected.iter().fold(*range, |most, y| most.max(y.abs()));
                if error > worst.0 * *range {
                    worst = (error / *range, Some(index));
                }
            }
        }
        let (input, expected) = match worst {
            (made_up_share, Some(index)) if made_up_share > 2.0 * of_samples => (&made_up[index], &expected[index]),
            _ => (&self.samples.0[sample], &self.expected[sample]),
        };
        (report.dominant_node, report.nodes) = self.by_node(&quantised, sample, input, expected)?;
        Ok(Attempt { graph: quantised.graph, report })
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
        if clips.is_empty() || self.options.clamp.is_some() {
            return hidden;
        }
        let graph = &quantised.graph;
        let inputs: Vec<&Input> =
            self.samples.0.iter().take(HIDDEN_INPUTS).chain(prepared.beside.made_up.iter().take(HIDDEN_INPUTS)).collect();
        let one = |input: &Input| -> Option<Vec<f64>> {
            let integers = encode(graph, input).ok().and_then(|integers| execute(graph, &integers).ok())?;
            let exact = self.float.run(&input.0);
            let mut hidden = vec![0.0_f64; self.float.outputs.len()];
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
            Some(hidden)
        };
        for block in inputs.chunks(self.float.runs_at_once()) {
            let found: Vec<Vec<f64>> = block.par_iter().filter_map(|input| one(input)).collect();
            for list in found {
                hidden.iter_mut().zip(list).for_each(|(most, x)| *most = most.max(x));
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
            let rows = |node: &Node| {
                let site = quantised.graph.site(node);
                node.op.products(&site) + node.op.lookups(&site) + node.op.function(&site).map_or(0, |(_, lookups)| lookups)
            };
            let rows = quantised.graph.nodes[emitted.clone()].iter().map(rows).sum();
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
        let apart = |outputs: &[Vec<f64>]| {
            let pairs = outputs.iter().flatten().zip(expected.iter().flatten());
            pairs.map(|(x, y)| (x - y).abs()).fold(0.0, f64::max)
        };
        let outputs: Vec<Vec<i64>> = quantised.graph.outputs.iter().map(|port| integers[port.tensor].clone()).collect();
        if 2.0 * apart(&from_digits) >= apart(&decode_outputs(&quantised.graph, &outputs)) {
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
