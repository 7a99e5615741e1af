//! Sums, products, quotients and the larger of tensors.

use super::attributes::Attributes;
use super::constant::{Constant, Elements};
use super::context::Context;
use super::operators::{Operator, one, operator};
use super::sign::Sign;
use super::{ImportError, Importer, Known};
use crate::float::FloatOp;

pub(super) const OPERATORS: &[Operator] = &[
    operator("Add", "any two tensors; broadcast", |i, c, _| i.sum_of(c).map(one)),
    operator("Div", "any two tensors; broadcast; integers towards zero", |i, c, _| i.quotient(c).map(one)),
    operator("Max", "any number of tensors; broadcast", |i, c, _| i.extreme_of(c, true).map(one)),
    operator("Mean", "any number of tensors; broadcast", |i, c, _| i.sum_of(c).map(one)),
    operator("Min", "any number of tensors; broadcast", |i, c, _| i.extreme_of(c, false).map(one)),
    operator("Mod", "any two tensors; broadcast", |i, c, a| i.remainder(c, a).map(one)),
    operator("Mul", "any two tensors; broadcast", |i, c, _| {
        c.arity(2, 2)?;
        i.product(c, c.known(0)?, c.known(1)?).map(one)
    }),
    operator("Neg", "any tensor", |i, c, _| {
        c.arity(1, 1)?;
        i.negated(c, c.known(0)?).map(one)
    }),
    operator("Sub", "any two tensors; broadcast", |i, c, _| i.sum_of(c).map(one)),
    operator("Sum", "any number of tensors; broadcast", |i, c, _| i.sum_of(c).map(one)),
];

impl Importer<'_> {
    /// Add, Sub, Sum and Mean.
    fn sum_of(&mut self, c: &Context<'_>) -> Result<Known, ImportError> {
        let (least, most) = if matches!(c.operator, "Add" | "Sub") { (2, 2) } else { (1, usize::MAX) };
        c.arity(least, most)?;
        let all = c.all()?;
        if let [only] = all[..] {
            return Ok(only.clone());
        }
        let count = all.len() as f64;
        let factor = |index: usize| match c.operator {
            "Sub" if index == 1 => -1.0,
            "Mean" => 1.0 / count,
            _ => 1.0,
        };
        let terms: Vec<(&Known, f64)> = all.into_iter().enumerate().map(|(index, known)| (known, factor(index))).collect();
        self.sum(c, &terms, 0.0)
    }

    /// Max and Min.
    fn extreme_of(&mut self, c: &Context<'_>, largest: bool) -> Result<Known, ImportError> {
        c.arity(1, usize::MAX)?;
        let mut result = c.known(0)?.clone();
        for known in &c.all()?[1..] {
            result = self.extreme(c, &result, known, largest)?;
        }
        Ok(result)
    }

    /// Div. Of integers it is rounded towards zero.
    fn quotient(&mut self, c: &Context<'_>) -> Result<Known, ImportError> {
        c.arity(2, 2)?;
        let (x, y) = (c.known(0)?, c.known(1)?);
        if self.is_real(x) || self.is_real(y) { self.real_quotient(c, x, y) } else { self.whole_quotient(c, x, y, true) }
    }

    /// A quotient of reals; by a constant it is linear, and a constant's is a function of the divisor.
    pub(super) fn real_quotient(&mut self, c: &Context<'_>, x: &Known, y: &Known) -> Result<Known, ImportError> {
        check_divisor(c, y)?;
        match (x, y) {
            (_, Known::Constant(divisor)) => {
                let inverse = c.numbers(divisor)?.iter().map(|y| 1.0 / y).collect();
                self.product(c, x, &Known::Constant(Constant::floats(divisor.shape.clone(), inverse)))
            }
            (Known::Constant(_), Known::Value(_)) => {
                let inverse = self.map(c, y, "Reciprocal", Vec::new(), |x, _| 1.0 / x)?;
                self.product(c, x, &inverse)
            }
            (Known::Value(_), Known::Value(_)) => match self.flips(c, y)? {
                Some(sign) => {
                    let (x, y) = (self.product(c, x, &sign)?, self.product(c, y, &sign)?);
                    self.ratio(c, &x, &y, 0.0)
                }
                None => self.ratio(c, x, y, 0.0),
            },
        }
    }

    /// A quotient of integers, rounded down or towards zero.
    pub(super) fn whole_quotient(&mut self, c: &Context<'_>, x: &Known, y: &Known, to_zero: bool) -> Result<Known, ImportError> {
        check_divisor(c, y)?;
        let shape = self.common_shape(c, &[x, y])?;
        let (mut x, mut y) = (self.expanded(c, x, &shape)?, y.clone());
        if let Some(sign) = self.flips(c, &y)? {
            (x, y) = (self.product(c, &x, &sign)?, self.product(c, &y, &sign)?);
        }
        if to_zero && self.sign(&x) == Sign::Any {
            // Of a negative number the quotient is rounded up: `⌊(x + y − 1) / y⌋`.
            let step = self.step(c, &x)?;
            let negative = self.not(c, &step)?;
            let less = self.sum(c, &[(&y, 1.0)], -1.0)?;
            let more = self.product(c, &negative, &less)?;
            x = self.plus(c, &x, &more)?;
        }
        let y = self.expanded(c, &y, &shape)?;
        self.each(c, FloatOp::Divide { least_divisor: 0.0 }, &[&x, &y])
    }

    /// −1 where a divisor is negative, else 1; nothing where it never is.
    fn flips(&mut self, c: &Context<'_>, divisor: &Known) -> Result<Option<Known>, ImportError> {
        if self.sign(divisor) != Sign::Any {
            return Ok(None);
        }
        let step = self.step(c, divisor)?;
        self.sum(c, &[(&step, 2.0)], -1.0).map(Some)
    }

    /// Mod: the remainder has the divisor's sign, with `fmod` the dividend's.
    fn remainder(&mut self, c: &Context<'_>, a: &mut Attributes<'_>) -> Result<Known, ImportError> {
        c.since(10)?;
        c.arity(2, 2)?;
        let fmod = a.flag("fmod", false)?;
        let (x, y) = (c.known(0)?, c.known(1)?);
        let quotient = if !self.is_real(x) && !self.is_real(y) {
            self.whole_quotient(c, x, y, fmod)?
        } else if !fmod {
            return Err(a.wrong("fmod", "must be 1 for floating point"));
        } else if let Some(divisor) = y.constant().and_then(Constant::uniform).filter(|y| y.is_finite() && *y != 0.0)
            && self.common_shape(c, &[x, y])? == self.shape(x)
        {
            return self.map(c, x, "Mod", vec![divisor], |x, p| libm::fmod(x, p[0]));
        } else {
            let exact = self.real_quotient(c, x, y)?;
            self.truncated(c, &exact)?
        };
        let multiple = self.product(c, &quotient, y)?;
        self.minus(c, x, &multiple)
    }
}

fn check_divisor(c: &Context<'_>, divisor: &Known) -> Result<(), ImportError> {
    let is_zero = match divisor.constant().map(|constant| &constant.elements) {
        Some(Elements::Floats(list)) => list.contains(&0.0),
        Some(Elements::Ints(list)) => list.contains(&0),
        None => false,
    };
    if is_zero { Err(c.wrong("it divides by zero")) } else { Ok(()) }
}
