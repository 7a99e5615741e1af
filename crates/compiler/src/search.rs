//! The setting that a model is compiled with: the cheapest that is accurate enough.

use std::sync::Arc;

use crate::calibrate::Statistics;
use crate::compile::CompileError;
use crate::evaluate::{Answers, Evaluation, Shown};
use crate::float::{FloatGraph, FloatOp};
use crate::quantise::Quantised;
use crate::ranges::InputDigits;
use crate::report::Report;
use zkslice_graph::{Encoding, Graph, Input, limits};

/// Table widths that are tried when none is given.
const AUTO_TABLE_BITS: std::ops::RangeInclusive<u32> = 10..=16;
/// Bits by which arguments of functions are finer than the range table at most.
const MOST_FINER: u32 = 2;
/// Bits of an input's digit that are tried when none are given, and those that are tried where none of them is accurate enough: they
/// cost words on chain.
const AUTO_INPUT_BITS: [u32; 5] = [8, 10, 12, 16, 20];
const USUAL_INPUT_BITS: usize = 3;

/// The largest magnitude of each output on some inputs.
pub(crate) fn reach(outputs: usize, expected: &[Vec<Vec<f64>>]) -> Vec<f64> {
    (0..outputs).map(|output| expected.iter().flat_map(|lists| &lists[output]).fold(0.0, |most: f64, x| most.max(x.abs()))).collect()
}

/// What attempts with inputs of so many bits share.
pub(crate) struct Prepared {
    pub(crate) input_bits: u32,
    pub(crate) digits: Vec<InputDigits>,
    pub(crate) encodings: Vec<Encoding>,
    pub(crate) beside: Arc<Beside>,
}

/// What attempts share whose inputs have the same ranges.
pub(crate) struct Beside {
    /// For each input the smallest and the largest number of each element.
    pub(crate) ranges: Vec<Vec<(f64, f64)>>,
    pub(crate) made_up: Vec<Input>,
    /// The float model's outputs on each made-up input.
    pub(crate) expected: Vec<Vec<Vec<f64>>>,
    /// The largest magnitude of each output on the samples and on made-up inputs, refused or not.
    pub(crate) reach: Vec<f64>,
    /// What the samples show, filled up where they show nothing; `None` where they show something of every value.
    pub(crate) statistics: Option<Statistics>,
}

/// A graph at one setting.
pub(crate) struct Attempt {
    pub(crate) graph: Graph,
    pub(crate) report: Report,
}

/// The cheapest setting that is accurate enough, or the most accurate one. A bit of the table doubles its rows; a bit of the
/// inputs costs words and rows in proportion to their number, which is less for all but the largest.
///
/// A setting is looked at no further once it is not accurate enough. Only where none is are they looked at again, those that may be
/// the most accurate first, until none that is left can be.
pub(crate) fn choose(
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
