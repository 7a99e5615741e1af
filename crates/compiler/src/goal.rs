//! What is accurate enough: what a setting is looked for, and beyond what a package is refused.

use crate::compile::Options;
use crate::report::Report;

/// The largest error that a package may have unless it is told otherwise, relative to an output's range on the samples or beside them.
pub(crate) const MOST_ERROR: f64 = 0.05;
/// The smallest share of samples on which a package and the float model must agree on the largest output.
const LEAST_AGREEMENT: f64 = 0.95;
/// What is looked for unless something else is asked for: the error on the samples relative to an output's range, half of it where the
/// first output is one number: no class stays the same there though the number is off, and new inputs fare worse than the samples;
const GOOD_ERROR: f64 = 0.01;
/// the same on made-up inputs,
pub(crate) const GOOD_MADE_UP_ERROR: f64 = MOST_ERROR / 2.0;
/// and the agreement.
const GOOD_AGREEMENT: f64 = 0.99;

/// A limit on the error of every output.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum MaxError {
    /// In an output's own unit.
    Absolute(f64),
    /// As a part of the output's largest magnitude on the samples.
    Share(f64),
}

impl MaxError {
    /// The number, whatever it counts.
    pub(crate) fn number(self) -> f64 {
        match self {
            MaxError::Absolute(number) | MaxError::Share(number) => number,
        }
    }

    /// The limit for an output of this range.
    fn of(self, range: f64) -> f64 {
        match self {
            MaxError::Absolute(error) => error,
            MaxError::Share(share) => share * range,
        }
    }
}

/// How wrong some answers are.
#[derive(Clone, Debug)]
pub(crate) struct Shown {
    /// Largest error of each output on the samples.
    pub(crate) errors: Vec<f64>,
    /// The same on made-up inputs, and how far the output ranges there.
    pub(crate) made_up: Vec<(f64, f64)>,
    /// Samples on which the largest output is another one.
    pub(crate) disagreed: usize,
}

impl Shown {
    pub(crate) fn of(report: &Report, samples: usize) -> Shown {
        Shown {
            errors: report.outputs.iter().map(|output| output.largest_error).collect(),
            made_up: report.outputs.iter().map(|output| (output.made_up_error, output.made_up_range)).collect(),
            disagreed: report.disagreed(samples),
        }
    }
}

/// What may be wrong.
#[derive(Clone, Debug)]
pub(crate) struct Allowance {
    /// The largest error of each output on the samples.
    pub(crate) errors: Vec<f64>,
    /// The largest error on made-up inputs as a part of the output's range there; what is allowed on the samples is allowed there too.
    made_up: f64,
    /// Samples on which the largest output may be another one.
    pub(crate) disagreed: usize,
}

impl Allowance {
    /// The largest error of an output on made-up inputs.
    pub(crate) fn on_made_up(&self, output: usize, range: f64) -> f64 {
        (self.made_up * range).max(self.errors[output])
    }

    /// By how much answers are too wrong: at most 1 for those that are not, and growing with every answer that is looked at.
    pub(crate) fn miss(&self, shown: &Shown) -> f64 {
        let part = |error: f64, allowed: f64| if error == 0.0 { 0.0 } else { error / allowed };
        let on_samples = shown.errors.iter().zip(&self.errors).map(|(error, allowed)| part(*error, *allowed));
        let made_up = shown.made_up.iter().enumerate().map(|(output, (error, range))| part(*error, self.on_made_up(output, *range)));
        let disagreed = if shown.disagreed == 0 { 0.0 } else { (1 + shown.disagreed) as f64 / (1 + self.disagreed) as f64 };
        on_samples.chain(made_up).fold(disagreed, f64::max)
    }
}

/// What is looked for, and what is taken.
#[derive(Clone, Debug)]
pub(crate) struct Goal {
    /// The cheapest setting that keeps to this is taken.
    pub(crate) wanted: Allowance,
    /// Where none does, the nearest to this is, if it keeps to it.
    pub(crate) limits: Allowance,
}

impl Goal {
    /// Of a model whose outputs have these ranges on so many samples, the first with classes or not. What is asked for is both goal and
    /// limit; what is not asked for beside it is left to its limit.
    pub(crate) fn new(options: &Options, ranges: &[f64], samples: usize, classes: bool) -> Goal {
        let asked = options.max_error.is_some() || options.min_agreement.is_some();
        let allowance = |error: f64, made_up: f64, agreement: f64| {
            let agreement = options.min_agreement.unwrap_or(agreement);
            Allowance {
                errors: ranges.iter().map(|range| options.max_error.unwrap_or(MaxError::Share(error)).of(*range)).collect(),
                made_up,
                disagreed: ((1.0 - agreement) * samples as f64 + 1e-9).floor() as usize,
            }
        };
        let limits = allowance(MOST_ERROR, MOST_ERROR, LEAST_AGREEMENT);
        let wanted = match (asked, options.max_error) {
            (false, _) => allowance(if classes { GOOD_ERROR } else { GOOD_ERROR / 2.0 }, GOOD_MADE_UP_ERROR, GOOD_AGREEMENT),
            (true, Some(_)) => allowance(MOST_ERROR, GOOD_MADE_UP_ERROR, LEAST_AGREEMENT),
            (true, None) => limits.clone(),
        };
        Goal { wanted, limits }
    }
}
