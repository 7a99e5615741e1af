//! What is certain of a value's numbers by what makes them.

use super::constant::Elements;
use super::{Importer, Known};
use crate::float::{FloatOp, Kind, Pointwise, ValueId};

/// Values that are looked at to find a sign.
const MOST_SIGNS: usize = 256;

/// What is certain of all numbers of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Sign {
    Any,
    NonNegative,
    Positive,
}

impl Sign {
    fn of_number(x: f64) -> Sign {
        match x {
            _ if x > 0.0 => Sign::Positive,
            0.0 => Sign::NonNegative,
            _ => Sign::Any,
        }
    }

    fn of_list(list: &[f64]) -> Sign {
        list.iter().map(|&x| Sign::of_number(x)).min().unwrap_or(Sign::Any)
    }

    /// A sum of what is not negative is positive where a part of it is.
    fn of_sum(parts: &[Sign]) -> Sign {
        let least = parts.iter().min().copied().unwrap_or(Sign::Any);
        if least == Sign::Any { least } else { parts.iter().max().copied().unwrap_or(least) }
    }
}

impl Importer<'_> {
    /// What the numbers are for certain.
    pub(super) fn sign(&self, known: &Known) -> Sign {
        match known.constant().map(|constant| &constant.elements) {
            Some(Elements::Floats(list)) => Sign::of_list(list),
            Some(Elements::Ints(list)) => list.iter().map(|&x| Sign::of_number(x as f64)).min().unwrap_or(Sign::Any),
            None => match known {
                &Known::Value(id) => self.sign_within(id, &mut MOST_SIGNS.clone()),
                Known::Constant(_) => Sign::Any,
            },
        }
    }

    fn sign_within(&self, id: ValueId, budget: &mut usize) -> Sign {
        // A value that many paths lead to is looked at along few of them.
        let Some(left) = budget.checked_sub(1) else {
            return Sign::Any;
        };
        *budget = left;
        let value = &self.graph.values[id];
        let least = if value.kind == Kind::Boolean { Sign::NonNegative } else { Sign::Any };
        // Values are numbered as nodes make them.
        let Ok(position) = self.graph.nodes.binary_search_by_key(&id, |node| node.output) else {
            let is_unsigned = value.width.is_some_and(|(_, signed)| !signed);
            return if is_unsigned { Sign::NonNegative } else { least };
        };
        let node = &self.graph.nodes[position];
        let input = |index: usize, budget: &mut usize| node.inputs.get(index).map_or(Sign::Any, |&id| self.sign_within(id, budget));
        let found = match &node.op {
            FloatOp::Constant { values } => Sign::of_list(values),
            FloatOp::Relu | FloatOp::Sqrt => match input(0, budget) {
                Sign::Positive => Sign::Positive,
                _ => Sign::NonNegative,
            },
            FloatOp::Step | FloatOp::OneHot { .. } => Sign::NonNegative,
            FloatOp::Hold { signed, .. } => {
                if *signed {
                    Sign::Any
                } else {
                    Sign::NonNegative
                }
            }
            FloatOp::Clip { min, max } => Sign::of_number(*min).max(input(0, budget)).min(Sign::of_number(*max)),
            FloatOp::Affine { coefficients, bias, .. } => {
                let mut parts = vec![Sign::of_list(bias)];
                for (index, list) in coefficients.iter().enumerate() {
                    parts.push(Sign::of_list(list).min(input(index, budget)));
                }
                Sign::of_sum(&parts)
            }
            FloatOp::Dense { weights, bias, k, .. } => {
                let rows: Vec<Sign> = weights
                    .chunks_exact(*k)
                    .map(|row| {
                        if Sign::of_list(row) >= Sign::NonNegative && row.iter().any(|&w| w > 0.0) {
                            Sign::Positive
                        } else {
                            Sign::of_list(row)
                        }
                    })
                    .collect();
                let rows = rows.into_iter().min().unwrap_or(Sign::Any).min(input(0, budget));
                Sign::of_sum(&[rows, Sign::of_list(bias)])
            }
            FloatOp::Conv { weights, bias, .. } => {
                // A window may lie in the padding, where it sums nothing.
                let taps = Sign::of_list(weights).min(input(0, budget)).min(Sign::NonNegative);
                Sign::of_sum(&[taps, Sign::of_list(bias)])
            }
            FloatOp::Product if node.inputs[0] == node.inputs[1] => input(0, budget).max(Sign::NonNegative),
            FloatOp::Product | FloatOp::MatMul { .. } => input(0, budget).min(input(1, budget)),
            FloatOp::Divide { .. } => match value.kind {
                Kind::Real => input(0, budget),
                _ => input(0, budget).min(Sign::NonNegative),
            },
            FloatOp::Maximum => input(0, budget).max(input(1, budget)),
            FloatOp::Map(functions) => functions.iter().fold(input(0, budget), |sign, function| of_function(function, sign)),
            FloatOp::AveragePool { .. }
            | FloatOp::MaxPool { .. }
            | FloatOp::Reshape
            | FloatOp::Transpose { .. }
            | FloatOp::Concat { .. }
            | FloatOp::View { .. }
            | FloatOp::Gather { .. } => {
                // One value joined to itself is one to look at.
                let mut seen: Vec<ValueId> = node.inputs.clone();
                seen.dedup();
                seen.iter().map(|&id| self.sign_within(id, budget)).min().unwrap_or(Sign::Any)
            }
        };
        found.max(least)
    }
}

/// What a function makes of a number whose sign is known.
fn of_function(function: &Pointwise, sign: Sign) -> Sign {
    match function.name {
        "Exp" | "Sigmoid" | "Softplus" | "Cosh" => Sign::Positive,
        "Abs" | "HardSigmoid" => Sign::NonNegative,
        "Pow" if function.parameters.first().is_some_and(|p| p % 2.0 == 0.0) => Sign::NonNegative,
        "Pow" | "Reciprocal" if sign == Sign::Positive => Sign::Positive,
        _ => Sign::Any,
    }
}
