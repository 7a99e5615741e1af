//! Comparisons, truth values and choices.

use super::constant::Constant;
use super::context::Context;
use super::operators::{Operator, one, operator};
use super::{ImportError, Importer, Known, broadcast};
use crate::float::Kind;

pub(super) const OPERATORS: &[Operator] = &[
    operator("And", "any two tensors; broadcast", |i, c, _| i.logic(c).map(one)),
    operator("Equal", "any two tensors; broadcast", |i, c, _| i.compare(c).map(one)),
    operator("Greater", "any two tensors; broadcast", |i, c, _| i.compare(c).map(one)),
    operator("GreaterOrEqual", "any two tensors; broadcast", |i, c, _| i.compare(c).map(one)),
    operator("Less", "any two tensors; broadcast", |i, c, _| i.compare(c).map(one)),
    operator("LessOrEqual", "any two tensors; broadcast", |i, c, _| i.compare(c).map(one)),
    operator("Not", "any tensor", |i, c, _| {
        c.arity(1, 1)?;
        i.not(c, c.known(0)?).map(one)
    }),
    operator("Or", "any two tensors; broadcast", |i, c, _| i.logic(c).map(one)),
    operator("Where", "any condition; broadcast", |i, c, _| i.select(c).map(one)),
    operator("Xor", "any two tensors; broadcast", |i, c, _| i.logic(c).map(one)),
];

impl Importer<'_> {
    /// Comparisons: signs of a difference, which is exact.
    fn compare(&mut self, c: &Context<'_>) -> Result<Known, ImportError> {
        if c.operator.ends_with("OrEqual") {
            c.since(12)?;
        }
        c.arity(2, 2)?;
        let (x, y) = (c.known(0)?, c.known(1)?);
        if c.operator == "Equal" && [x, y].iter().any(|known| self.kind(known) == Kind::Boolean) {
            let differ = self.differ(c, x, y)?;
            return self.not(c, &differ);
        }
        match c.operator {
            "GreaterOrEqual" => self.at_least(c, x, y),
            "LessOrEqual" => self.at_least(c, y, x),
            "Greater" => {
                let not_greater = self.at_least(c, y, x)?;
                self.not(c, &not_greater)
            }
            "Less" => {
                let not_less = self.at_least(c, x, y)?;
                self.not(c, &not_less)
            }
            _ => {
                let (first, second) = (self.at_least(c, x, y)?, self.at_least(c, y, x)?);
                let both = self.sum(c, &[(&first, 1.0), (&second, 1.0)], -1.0)?;
                Ok(self.of_kind(both, Kind::Boolean))
            }
        }
    }

    /// Whether `x ≥ y`.
    pub(super) fn at_least(&mut self, c: &Context<'_>, x: &Known, y: &Known) -> Result<Known, ImportError> {
        let difference = self.minus(c, x, y)?;
        self.step(c, &difference)
    }

    /// `x + y − 2xy` of truth values.
    fn differ(&mut self, c: &Context<'_>, x: &Known, y: &Known) -> Result<Known, ImportError> {
        let both = self.product(c, x, y)?;
        let output = self.sum(c, &[(x, 1.0), (y, 1.0), (&both, -2.0)], 0.0)?;
        Ok(self.of_kind(output, Kind::Boolean))
    }

    /// And, Or and Xor.
    fn logic(&mut self, c: &Context<'_>) -> Result<Known, ImportError> {
        c.arity(2, 2)?;
        let (x, y) = (c.known(0)?, c.known(1)?);
        let output = match c.operator {
            "Xor" => self.differ(c, x, y)?,
            "And" => self.product(c, x, y)?,
            _ => {
                let both = self.product(c, x, y)?;
                self.sum(c, &[(x, 1.0), (y, 1.0), (&both, -1.0)], 0.0)?
            }
        };
        Ok(self.of_kind(output, Kind::Boolean))
    }

    /// Where: of a computed choice, `y + condition·(x − y)`, or the one where the other is 0. A constant is added where it is chosen
    /// and nowhere else: beside a large one, a mask's, `x − y` would keep nothing of `x`.
    fn select(&mut self, c: &Context<'_>) -> Result<Known, ImportError> {
        c.since(9)?;
        c.arity(3, 3)?;
        let (condition, x, y) = (c.known(0)?, c.known(1)?, c.known(2)?);
        let shape = self.common_shape(c, &[condition, x, y])?;
        let kind = match [self.kind(x), self.kind(y)] {
            kinds if kinds.contains(&Kind::Real) => Kind::Real,
            kinds if kinds.contains(&Kind::Boolean) => Kind::Boolean,
            _ => Kind::Integer,
        };
        let is_zero = |known: &Known| known.constant().and_then(Constant::uniform) == Some(0.0);
        let output = match condition {
            Known::Constant(chosen) => {
                if let Some(chosen) = chosen.uniform() {
                    return self.expanded(c, if chosen != 0.0 { x } else { y }, &shape);
                }
                let chosen = broadcast::repeat(&c.numbers(chosen)?, &chosen.shape, &shape);
                let pick = |is_chosen: bool| chosen.iter().map(|&x| f64::from((x != 0.0) == is_chosen)).collect();
                let (x, y) = (self.expanded(c, x, &shape)?, self.expanded(c, y, &shape)?);
                self.weighted(c, &[(&x, pick(true)), (&y, pick(false))], &[0.0])?
            }
            Known::Value(_) if is_zero(y) => self.product(c, condition, x)?,
            Known::Value(_) if is_zero(x) => {
                let other = self.not(c, condition)?;
                self.product(c, &other, y)?
            }
            Known::Value(_) if let Some((x, y)) = two_numbers(x, y) => self.sum(c, &[(condition, x - y)], y)?,
            Known::Value(_) if x.constant().is_some() || y.constant().is_some() => {
                let other = self.not(c, condition)?;
                let (computed, keep, constant, choose) =
                    if y.constant().is_some() { (x, condition, y, &other) } else { (y, &other, x, condition) };
                let kept = self.product(c, keep, computed)?;
                let chosen = self.product(c, choose, constant)?;
                self.plus(c, &kept, &chosen)?
            }
            Known::Value(_) => {
                let difference = self.minus(c, x, y)?;
                let product = self.product(c, condition, &difference)?;
                self.plus(c, &product, y)?
            }
        };
        let output = self.expanded(c, &output, &shape)?;
        Ok(self.of_kind(output, kind))
    }
}

/// The numbers that two constants are, where `(x − y) + y` is x.
fn two_numbers(x: &Known, y: &Known) -> Option<(f64, f64)> {
    let number = |known: &Known| known.constant().and_then(Constant::uniform);
    let (x, y) = (number(x)?, number(y)?);
    ((x - y) + y == x).then_some((x, y))
}
