//! The setting that a model is compiled with: the cheapest that is accurate enough.
//!
//! A setting is the width of the range table, the size of each function's table, and the bits of inputs' digits. What it costs are the
//! rows of the whole circuit, and the bits of inputs, which are on chain with every inference: a bit counts as a row. First all functions
//! have tables that are as fine, the same number of times finer or coarser than the range table. In the cheapest setting that is accurate
//! enough one function's table after the other is then halved as long as it stays so.

use std::cmp::Reverse;
use std::ops::Range;
use std::sync::Arc;

use rayon::prelude::*;

use crate::calibrate::Statistics;
use crate::compile::{BITS, CompileError};
use crate::evaluate::{Answers, Evaluation};
use crate::goal::{Allowance, Shown};
use crate::quantise::{Quantised, functions};
use crate::ranges::InputDigits;
use crate::report::{Report, rows};
use zkslice_graph::{Encoding, Graph, Input, limits};

/// Widths of the range table that are tried where none and no goal is given.
const USUAL_WIDTHS: std::ops::RangeInclusive<u32> = 10..=*BITS.end();
/// Bits by which functions' tables are wider than the range table, and the fewest that they have.
const FINER: std::ops::RangeInclusive<i32> = -2..=2;
const FEWEST_FUNCTION_BITS: u32 = 8;
/// A comparison takes at most so many lookups where a wider table needs one: rows beside tables fall no further with its width.
const MOST_LIMBS: usize = 3;
/// Bits of an input's digit that are tried when none are given, and those that are tried where none of them is accurate enough: they
/// cost words on chain.
const AUTO_INPUT_BITS: [u32; 5] = [8, 10, 12, 16, 20];
const USUAL_INPUT_BITS: usize = 3;

/// The largest magnitude of each output on some inputs.
pub(crate) fn reach(outputs: usize, expected: &[Vec<Vec<f64>>]) -> Vec<f64> {
    (0..outputs).map(|output| expected.iter().flat_map(|lists| &lists[output]).fold(0.0, |most: f64, x| most.max(x.abs()))).collect()
}

/// What a graph costs.
fn cost(graph: &Graph) -> usize {
    let bits = graph.inputs.iter().map(|port| graph.tensors[port.tensor].len() * port.encoding.bits as usize);
    rows(graph) + bits.sum::<usize>()
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
    /// What the samples show, filled up where they show nothing; `None` where they show something of every value.
    pub(crate) statistics: Option<Statistics>,
}

/// A graph at one setting.
pub(crate) struct Attempt {
    pub(crate) graph: Graph,
    pub(crate) report: Report,
}

/// Widths of tables.
#[derive(Clone, Debug)]
pub(crate) struct Tables {
    /// Of the range table.
    pub(crate) bits: u32,
    /// Of each function's.
    pub(crate) functions: Vec<u32>,
}

/// A setting that is not evaluated yet.
struct Setting {
    tables: Tables,
    /// Index of what is prepared for its inputs.
    input: usize,
    /// What it costs, as far as that is known without its tables.
    cost: usize,
}

/// A setting that was evaluated to the end.
struct Found {
    tables: Tables,
    input: usize,
    quantised: Quantised,
    answers: Answers,
    report: Report,
}

struct Search<'a, Q> {
    evaluation: &'a Evaluation<'a>,
    quantise: Q,
    /// Made when they are first tried; `None` for bits that the inputs cannot have, or that change nothing.
    prepared: Vec<Option<Prepared>>,
    /// The made-up inputs, those first that showed an error before.
    order: Vec<usize>,
    /// Why the widest setting that failed did.
    failure: Option<((u32, usize), CompileError)>,
}

/// The cheapest setting that is accurate enough, or the most accurate one.
///
/// A setting is looked at no further once it is not accurate enough. Only where none is are they looked at again, those that may be
/// the most accurate first, until none that is left can be.
pub(crate) fn choose(
    evaluation: &Evaluation<'_>,
    prepare: impl Fn(u32, &[Option<Prepared>]) -> Result<Option<Prepared>, CompileError>,
    quantise: impl Fn(&Tables, &Prepared) -> Result<Quantised, CompileError> + Sync,
) -> Result<Attempt, CompileError> {
    let options = evaluation.options;
    let stated = options.max_error.is_some() || options.min_agreement.is_some();
    let widths = if stated { BITS } else { USUAL_WIDTHS };
    let widths: Vec<u32> = options.bits.map_or(widths.collect(), |bits| vec![bits]);
    let functions = functions(evaluation.float).len();
    let inputs: Vec<u32> = options.input_bits.map_or(AUTO_INPUT_BITS.to_vec(), |bits| vec![bits]);
    let usual = inputs.len().min(USUAL_INPUT_BITS);
    let mut search = Search { evaluation, quantise, prepared: Vec::new(), order: Vec::new(), failure: None };
    // Settings that are not accurate enough: how far off they are at least.
    let mut open: Vec<(f64, Setting)> = Vec::new();
    for range in [0..usual, usual..inputs.len()] {
        for input in range.clone() {
            let made = prepare(inputs[input], &search.prepared);
            let made = match made {
                Ok(made) => made,
                // A sample that has no digits is the sample's or the range's fault, whatever the setting.
                Err(error) if matches!(error, CompileError::Encode { .. }) => return Err(error),
                Err(error) => {
                    search.fail((0, input), error);
                    None
                }
            };
            search.prepared.push(made);
        }
        let (mut queue, mut widths, mut least) = (Vec::new(), widths.iter().peekable(), usize::MAX);
        loop {
            // A width is looked at only where it may be cheaper than all that are waiting: its range table alone is not.
            while let Some(&width) =
                widths.next_if(|width| queue.first().is_none_or(|next: &Setting| (1 << **width) + least / MOST_LIMBS <= next.cost))
            {
                let (settings, others) = search.settings(width, functions, range.clone());
                least = least.min(others);
                queue.extend(settings);
                queue.sort_by_key(|setting: &Setting| (setting.cost, setting.input, setting.tables.bits));
            }
            if queue.is_empty() {
                break;
            }
            let setting = queue.remove(0);
            match search.found(&setting.tables, setting.input, &evaluation.goal.wanted) {
                Ok(Ok(found)) => {
                    let found = search.refined(found);
                    return search.attempt(found);
                }
                Ok(Err(shown)) => open.push((evaluation.goal.limits.miss(&shown), setting)),
                Err(error) => search.fail((setting.tables.bits, setting.input), error),
            }
        }
    }
    search.nearest(open)
}

impl<Q: Fn(&Tables, &Prepared) -> Result<Quantised, CompileError> + Sync> Search<'_, Q> {
    /// The failure that counts is that of the widest setting.
    fn fail(&mut self, setting: (u32, usize), error: CompileError) {
        if self.failure.as_ref().is_none_or(|(last, _)| *last <= setting) {
            self.failure = Some((setting, error));
        }
    }

    /// A width with inputs of these bits, and the least rows that any has without tables. What cannot be quantised even with the finest
    /// tables of functions is none.
    fn settings(&mut self, bits: u32, functions: usize, inputs: Range<usize>) -> (Vec<Setting>, usize) {
        let with = |width: u32| Tables { bits, functions: vec![width; functions] };
        let finer = if functions == 0 { 0..=0 } else { FINER };
        let widths = finer.filter_map(|finer| bits.checked_add_signed(finer));
        let widths: Vec<u32> = widths.filter(|width| (FEWEST_FUNCTION_BITS..=limits::MAX_TABLE_BITS).contains(width)).collect();
        let others = |input: usize| -> Option<Result<(usize, usize), CompileError>> {
            let prepared = self.prepared[input].as_ref()?;
            let finest = widths.last().copied().unwrap_or(bits);
            // The finest are the dearest to make, but may be the only ones that can be.
            let quantised = (self.quantise)(&with(bits), prepared).map(|quantised| (quantised, bits));
            let quantised = quantised.or_else(|error| match finest == bits {
                true => Err(error),
                false => (self.quantise)(&with(finest), prepared).map(|quantised| (quantised, finest)),
            });
            Some(quantised.map(|(Quantised { graph, .. }, width)| {
                let entries: usize = graph.functions.iter().map(|function| function.values.len()).sum();
                (cost(&graph).saturating_sub(entries), (entries << limits::MAX_TABLE_BITS) >> width)
            }))
        };
        let found: Vec<_> = inputs.clone().into_par_iter().map(others).collect();
        let (mut settings, mut least) = (Vec::new(), usize::MAX);
        for (input, found) in inputs.zip(found) {
            match found {
                Some(Ok((others, entries))) => {
                    least = least.min(others.saturating_sub(1 << bits));
                    let cost = |width: u32| others + ((entries << width) >> limits::MAX_TABLE_BITS);
                    settings.extend(widths.iter().map(|&width| Setting { tables: with(width), input, cost: cost(width) }));
                }
                Some(Err(error)) => self.fail((bits, input), error),
                None => {}
            }
        }
        (settings, least)
    }

    /// What a setting gives, or how wrong its first answers are once they miss what is allowed.
    fn found(&mut self, tables: &Tables, input: usize, allowed: &Allowance) -> Result<Result<Found, Shown>, CompileError> {
        let Some(prepared) = &self.prepared[input] else {
            return Err(CompileError::Option("no width of inputs can be tried".into()));
        };
        let quantised = (self.quantise)(tables, prepared)?;
        let evaluation = self.evaluation;
        match evaluation.answers(&quantised, prepared, &mut self.order, |shown| allowed.miss(shown) > 1.0)? {
            Ok(answers) => {
                let report = evaluation.report(&quantised, prepared, &answers);
                let shown = Shown::of(&report, evaluation.samples.0.len());
                if allowed.miss(&shown) > 1.0 {
                    return Ok(Err(shown));
                }
                Ok(Ok(Found { tables: tables.clone(), input, quantised, answers, report }))
            }
            Err(shown) => Ok(Err(shown)),
        }
    }

    /// The tables of functions halved, the largest first, as long as that costs less and stays accurate enough.
    fn refined(&mut self, mut found: Found) -> Found {
        let mut left: Vec<usize> = (0..found.tables.functions.len()).collect();
        while let Some(&function) = left.iter().max_by_key(|&&function| (found.tables.functions[function], Reverse(function))) {
            let mut tables = found.tables.clone();
            tables.functions[function] -= 1;
            let allowed = &self.evaluation.goal.wanted;
            let smaller = (tables.functions[function] >= FEWEST_FUNCTION_BITS).then(|| self.found(&tables, found.input, allowed));
            match smaller {
                Some(Ok(Ok(smaller))) if smaller.report.rows < found.report.rows => found = smaller,
                // What fails is the smaller table alone.
                _ => left.retain(|other| *other != function),
            }
        }
        found
    }

    /// Of settings that are not accurate enough the one that is least off.
    fn nearest(mut self, mut open: Vec<(f64, Setting)>) -> Result<Attempt, CompileError> {
        let limits = &self.evaluation.goal.limits;
        open.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut best: Option<(f64, Found)> = None;
        for (least, Setting { tables, input, .. }) in open {
            let lost = |miss: f64| best.as_ref().is_some_and(|(least, _)| miss >= *least);
            let Some(prepared) = self.prepared[input].as_ref().filter(|_| !lost(least)) else {
                continue;
            };
            let answers = (self.quantise)(&tables, prepared).and_then(|quantised| {
                let answers = self.evaluation.answers(&quantised, prepared, &mut self.order, |shown| lost(limits.miss(shown)))?;
                Ok((quantised, answers))
            });
            match answers {
                Ok((quantised, Ok(answers))) => {
                    let report = self.evaluation.report(&quantised, prepared, &answers);
                    let miss = limits.miss(&Shown::of(&report, self.evaluation.samples.0.len()));
                    if !lost(miss) {
                        best = Some((miss, Found { tables, input, quantised, answers, report }));
                    }
                }
                Ok((_, Err(_))) => {}
                Err(error) => self.fail((tables.bits, input), error),
            }
        }
        match (best, self.failure.take()) {
            (Some((_, found)), _) => self.attempt(found),
            (None, Some((_, error))) => Err(error),
            (None, None) => Err(CompileError::Option("no width of tables can be tried".into())),
        }
    }

    fn attempt(&self, found: Found) -> Result<Attempt, CompileError> {
        let Some(prepared) = &self.prepared[found.input] else {
            return Err(CompileError::Option("no width of inputs can be tried".into()));
        };
        self.evaluation.attempt(found.quantised, prepared, &found.answers, found.report)
    }
}
