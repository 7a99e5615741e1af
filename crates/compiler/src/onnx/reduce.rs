//! Rows, and what is made of each: sums, extremes, positions of extremes.

use super::attributes::Attributes;
use super::build::inverse;
use super::constant::Constant;
use super::context::Context;
use super::operators::{Operator, one, operator};
use super::types::UNTYPED;
use super::{ImportError, Importer, Known};
use crate::float::{FloatOp, Kind};

pub(super) const OPERATORS: &[Operator] = &[
    operator("ArgMax", "along any axis; of equal ones the first or last", |i, c, a| i.arg_extreme(c, a, true).map(one)),
    operator("ArgMin", "along any axis; of equal ones the first or last", |i, c, a| i.arg_extreme(c, a, false).map(one)),
    operator("CumSum", "along a constant axis; `exclusive`, `reverse`", |i, c, a| i.cumulative_sum(c, a).map(one)),
    operator("Hardmax", "along any axis", |i, c, a| i.hardmax(c, a).map(one)),
    operator("ReduceL1", "constant axes", |i, c, a| i.reduce(c, a).map(one)),
    operator("ReduceL2", "of floats; constant axes", |i, c, a| i.reduce(c, a).map(one)),
    operator("ReduceLogSum", "of floats; constant axes", |i, c, a| i.reduce(c, a).map(one)),
    operator("ReduceLogSumExp", "of floats; constant axes", |i, c, a| i.reduce(c, a).map(one)),
    operator("ReduceMax", "constant axes", |i, c, a| i.reduce(c, a).map(one)),
    operator("ReduceMean", "constant axes", |i, c, a| i.reduce(c, a).map(one)),
    operator("ReduceMin", "constant axes", |i, c, a| i.reduce(c, a).map(one)),
    operator("ReduceProd", "constant axes", |i, c, a| i.reduce(c, a).map(one)),
    operator("ReduceSum", "constant axes", |i, c, a| i.reduce(c, a).map(one)),
    operator("ReduceSumSquare", "constant axes", |i, c, a| i.reduce(c, a).map(one)),
];

/// Rows `[n, k]` of a tensor along some of its axes, and how they came to be.
pub(super) struct Rows {
    pub(super) rows: Known,
    perm: Vec<usize>,
    shape: Vec<usize>,
}

impl Rows {
    /// Says that rows of another length are put back: of an axis that they were taken along.
    pub(super) fn resize(&mut self, axis: usize, length: usize) {
        self.shape[axis] = length;
    }
}

/// What is made of rows `[n, k]`.
impl Importer<'_> {
    /// A tensor as rows along some axes (ascending), the other axes before them.
    pub(super) fn rows(&mut self, c: &Context<'_>, x: &Known, axes: &[usize]) -> Result<Rows, ImportError> {
        let shape = self.shape(x).to_vec();
        let kept: Vec<usize> = (0..shape.len()).filter(|axis| !axes.contains(axis)).collect();
        let perm: Vec<usize> = kept.iter().chain(axes).copied().collect();
        let moved = self.transposed(c, x, &perm)?;
        let [n, k] = [&kept, axes].map(|list| list.iter().map(|&axis| shape[axis]).product());
        Ok(Rows { rows: self.reshaped(c, &moved, &[n, k])?, perm, shape })
    }

    /// Rows of as many elements where they were taken from.
    pub(super) fn restored(&mut self, c: &Context<'_>, of: &Rows, rows: &Known) -> Result<Known, ImportError> {
        let shape: Vec<usize> = of.perm.iter().map(|&axis| of.shape[axis]).collect();
        let moved = self.reshaped(c, rows, &shape)?;
        self.transposed(c, &moved, &inverse(&of.perm))
    }

    /// How many rows there are, and how long they are.
    pub(super) fn row_sizes(&self, rows: &Known) -> (usize, usize) {
        match *self.shape(rows) {
            [n, k] => (n, k),
            ref shape => (shape.iter().product(), 1),
        }
    }

    /// `scale·Σ` of each row: `[n, 1]`.
    pub(super) fn row_sums(&mut self, c: &Context<'_>, rows: &Known, scale: f64) -> Result<Known, ImportError> {
        let (n, k) = self.row_sizes(rows);
        if k == 1 && scale == 1.0 {
            return Ok(rows.clone());
        }
        self.dense(c, rows, vec![scale; k], vec![0.0], &[n, 1])
    }

    /// The sum of squares of each row: `[n, 1]`.
    pub(super) fn row_squares(&mut self, c: &Context<'_>, rows: &Known) -> Result<Known, ImportError> {
        let (n, k) = self.row_sizes(rows);
        self.push(c, FloatOp::MatMul { batch: n, m: 1, k, n: 1 }, &[rows, rows], &[n, 1])
    }

    /// The largest (or smallest) element of each row: `[n, 1]`.
    pub(super) fn row_extremes(&mut self, c: &Context<'_>, rows: &Known, largest: bool) -> Result<Known, ImportError> {
        if largest {
            return self.row_tree(c, rows, |i, x, y| i.maximum(c, x, y));
        }
        let opposite = self.negated(c, rows)?;
        let most = self.row_extremes(c, &opposite, true)?;
        self.negated(c, &most)
    }

    /// Neighbours of each row combined until one is left: `[n, 1]`.
    fn row_tree(
        &mut self,
        c: &Context<'_>,
        rows: &Known,
        combine: impl Fn(&mut Self, &Known, &Known) -> Result<Known, ImportError>,
    ) -> Result<Known, ImportError> {
        let mut rows = rows.clone();
        while self.row_sizes(&rows).1 > 1 {
            let (first, second, left) = self.neighbours(c, &rows)?;
            let paired = combine(self, &first, &second)?;
            rows = self.beside(c, paired, left)?;
        }
        Ok(rows)
    }

    /// The elements of each row at even and at odd positions, as many of each, and the last one where the row's length is odd.
    fn neighbours(&mut self, c: &Context<'_>, rows: &Known) -> Result<(Known, Known, Option<Known>), ImportError> {
        let (n, k) = self.row_sizes(rows);
        let mut columns = |count: usize, first: usize| self.strided(c, rows, (&[n, count], &[k as i64, 2], first), &[n, count]);
        let left = if k.is_multiple_of(2) { None } else { Some(columns(1, k - 1)?) };
        Ok((columns(k / 2, 0)?, columns(k / 2, 1)?, left))
    }

    /// Rows with a column more, where there is one.
    fn beside(&mut self, c: &Context<'_>, rows: Known, column: Option<Known>) -> Result<Known, ImportError> {
        match column {
            Some(column) => self.joined(c, &[rows, column], 1),
            None => Ok(rows),
        }
    }

    /// The position of each row's largest element, `[n, 1]`; of equal ones the first or the last.
    ///
    /// A tournament: each round keeps of two neighbours the larger one and its position, so that there is always exactly one winner.
    pub(super) fn row_winners(&mut self, c: &Context<'_>, rows: &Known, last: bool) -> Result<Known, ImportError> {
        let (n, k) = self.row_sizes(rows);
        let mut rows = rows.clone();
        // The same for all rows, until a round has decided.
        let mut positions = Known::Constant(Constant::ints(vec![1, k], (0..k as i64).collect()));
        while self.row_sizes(&rows).1 > 1 {
            let (first, second, left) = self.neighbours(c, &rows)?;
            // Whether the first one of each two wins; it does where they are equal, unless the last is wanted.
            let wins = if last {
                let step = self.at_least(c, &second, &first)?;
                self.not(c, &step)?
            } else {
                self.at_least(c, &first, &second)?
            };
            let (own, other, unpaired) = self.neighbours(c, &positions)?;
            let difference = self.minus(c, &own, &other)?;
            let chosen = self.product(c, &wins, &difference)?;
            let chosen = self.plus(c, &chosen, &other)?;
            let unpaired = unpaired.map(|known| self.expanded(c, &known, &[n, 1])).transpose()?;
            positions = self.beside(c, chosen, unpaired)?;
            if self.row_sizes(&first).1 == 1 && left.is_none() {
                break;
            }
            let larger = self.maximum(c, &first, &second)?;
            rows = self.beside(c, larger, left)?;
        }
        self.expanded(c, &positions, &[n, 1])
    }
}

impl Importer<'_> {
    fn reduce(&mut self, c: &Context<'_>, a: &mut Attributes<'_>) -> Result<Known, ImportError> {
        let x = c.known(0)?;
        let axes = reduced_axes(c, a, self.shape(x).len())?;
        let keep = a.flag("keepdims", true)?;
        let kind = self.kind(x);
        if kind != Kind::Real && matches!(c.operator, "ReduceL2" | "ReduceLogSum" | "ReduceLogSumExp") {
            return Err(c.wrong("its input is of integers, which is not supported; cast them to floats before"));
        }
        let shape = reduced(self.shape(x), &axes, keep);
        let rows = self.rows(c, x, &axes)?.rows;
        let k = self.row_sizes(&rows).1;
        let output = match c.operator {
            "ReduceSum" => self.row_sums(c, &rows, 1.0)?,
            "ReduceMean" if kind == Kind::Real => self.row_sums(c, &rows, 1.0 / k as f64)?,
            "ReduceMean" => {
                let sum = self.row_sums(c, &rows, 1.0)?;
                let of = c.element(0).ok_or_else(|| c.wrong(UNTYPED))?;
                let sum = self.held(c, &sum, of, false)?;
                let count = self.number_like(&sum, k as f64);
                self.whole_quotient(c, &sum, &count, true)?
            }
            "ReduceMax" | "ReduceMin" => {
                let most = self.row_extremes(c, &rows, c.operator == "ReduceMax")?;
                self.of_kind(most, kind)
            }
            "ReduceProd" => self.row_tree(c, &rows, |i, x, y| i.each(c, FloatOp::Product, &[x, y]))?,
            "ReduceL1" => {
                let magnitudes = self.magnitude(c, &rows)?;
                self.row_sums(c, &magnitudes, 1.0)?
            }
            "ReduceSumSquare" => self.row_squares(c, &rows)?,
            "ReduceL2" => {
                let squares = self.row_squares(c, &rows)?;
                self.each(c, FloatOp::Sqrt, &[&squares])?
            }
            "ReduceLogSum" => {
                let sum = self.row_sums(c, &rows, 1.0)?;
                self.log(c, &sum)?
            }
            _ => {
                let most = self.row_extremes(c, &rows, true)?;
                let less = self.minus(c, &rows, &most)?;
                let powers = self.exp(c, &less)?;
                let sum = self.row_sums(c, &powers, 1.0)?;
                let logarithm = self.log(c, &sum)?;
                self.plus(c, &logarithm, &most)?
            }
        };
        self.reshaped(c, &output, &shape)
    }

    /// ArgMax and ArgMin.
    fn arg_extreme(&mut self, c: &Context<'_>, a: &mut Attributes<'_>, largest: bool) -> Result<Known, ImportError> {
        c.arity(1, 1)?;
        a.exists("select_last_index", 12..=i64::MAX)?;
        let last = a.flag("select_last_index", false)?;
        let keep = a.flag("keepdims", true)?;
        let axis = a.int("axis")?.unwrap_or(0);
        let x = c.known(0)?;
        let axis = c.axis(axis, self.shape(x).len())?;
        let shape = reduced(self.shape(x), &[axis], keep);
        let x = if largest { x.clone() } else { self.negated(c, x)? };
        let rows = self.rows(c, &x, &[axis])?.rows;
        let positions = self.row_winners(c, &rows, last)?;
        self.reshaped(c, &positions, &shape)
    }

    /// 1 at the first largest element, else 0. Until operator set 12 everything from the axis on is one row.
    fn hardmax(&mut self, c: &Context<'_>, a: &mut Attributes<'_>) -> Result<Known, ImportError> {
        c.arity(1, 1)?;
        let x = c.known(0)?;
        let rank = self.shape(x).len();
        let axis = a.int("axis")?.unwrap_or(if c.opset < 13 { 1 } else { -1 });
        let axis = c.axis(axis, rank)?;
        let axes: Vec<usize> = if c.opset < 13 { (axis..rank).collect() } else { vec![axis] };
        let rows = self.rows(c, x, &axes)?;
        let (n, k) = self.row_sizes(&rows.rows);
        let winners = self.row_winners(c, &rows.rows, false)?;
        let winners = self.reshaped(c, &winners, &[n])?;
        let bits = self.push_as(c, FloatOp::OneHot { count: k }, &[&winners], &[n, k], Kind::Boolean)?;
        // The same numbers, which are real.
        let bits = self.push_as(c, FloatOp::Reshape, &[&bits], &[n, k], Kind::Real)?;
        self.restored(c, &rows, &bits)
    }

    /// Running sums along an axis: a product with a triangle of ones.
    fn cumulative_sum(&mut self, c: &Context<'_>, a: &mut Attributes<'_>) -> Result<Known, ImportError> {
        c.since(11)?;
        c.arity(2, 2)?;
        let (exclusive, reverse) = (a.flag("exclusive", false)?, a.flag("reverse", false)?);
        let &[axis] = c.ints(c.constant(1)?)? else {
            return Err(c.wrong("its axis is not one number"));
        };
        let x = c.known(0)?;
        let axis = c.axis(axis, self.shape(x).len())?;
        let rows = self.rows(c, x, &[axis])?;
        let (n, k) = self.row_sizes(&rows.rows);
        c.checked(&[k, k], "sums along its axis")?;
        let is_summed = |output: usize, input: usize| match (exclusive, reverse) {
            (false, false) => input <= output,
            (true, false) => input < output,
            (false, true) => input >= output,
            (true, true) => input > output,
        };
        let weights = (0..k * k).map(|e| f64::from(is_summed(e / k, e % k))).collect();
        let sums = self.dense(c, &rows.rows, weights, vec![0.0; k], &[n, k])?;
        self.restored(c, &rows, &sums)
    }
}

/// The axes to reduce, ascending; none for all of them. They are an attribute or an input, by operator set.
fn reduced_axes(c: &Context<'_>, a: &mut Attributes<'_>, rank: usize) -> Result<Vec<usize>, ImportError> {
    let input_since = if c.operator == "ReduceSum" { 13 } else { 18 };
    c.arity(1, if c.opset < input_since { 1 } else { 2 })?;
    a.exists("noop_with_empty_axes", input_since..=i64::MAX)?;
    let keep_all = a.flag("noop_with_empty_axes", false)?;
    let mut axes = c.axes(&c.list(a, "axes", 1, input_since - 1)?.unwrap_or_default(), rank)?;
    if axes.is_empty() && !keep_all {
        axes = (0..rank).collect();
    }
    axes.sort_unstable();
    Ok(axes)
}

/// A shape with some axes reduced to one, or dropped.
fn reduced(shape: &[usize], axes: &[usize], keep: bool) -> Vec<usize> {
    let size = |axis: usize| match axes.contains(&axis) {
        true => keep.then_some(1),
        false => Some(shape[axis]),
    };
    (0..shape.len()).filter_map(size).collect()
}
