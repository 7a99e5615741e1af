//! The first of a row in order.
//!
//! An element's place is how many others come before it: a comparison for each pair, and sums. A one-hot of the place then picks value
//! and position. Of long rows the first of each block are picked, until one block is left.

use super::attributes::Attributes;
use super::constant::Constant;
use super::context::Context;
use super::operators::{Operator, operator};
use super::{ImportError, Importer, Known};
use crate::float::FloatOp;

pub(super) const OPERATORS: &[Operator] =
    &[operator("TopK", "a constant number along any axis; of equal ones the first; always in order", |i, c, a| i.top(c, a))];

/// How many elements are compared with each other at a time, per element that is wanted of them: fewer take more rounds, more take more
/// comparisons.
const BLOCK: usize = 4;

/// Rows of numbers, and where in the first row each stood.
struct Ranked {
    values: Known,
    positions: Known,
}

impl Importer<'_> {
    /// TopK: the largest or smallest along an axis, and their positions.
    fn top(&mut self, c: &Context<'_>, a: &mut Attributes<'_>) -> Result<Vec<Known>, ImportError> {
        c.arity(1, if c.opset < 10 { 1 } else { 2 })?;
        a.exists("k", 1..=9)?;
        a.exists("largest", 11..=i64::MAX)?;
        a.exists("sorted", 11..=i64::MAX)?;
        let (largest, axis) = (a.flag("largest", true)?, a.int("axis")?.unwrap_or(-1));
        // Sorted elements are in an order that is as good as any.
        a.flag("sorted", true)?;
        let x = c.known(0)?;
        let mut shape = self.shape(x).to_vec();
        let axis = c.axis(axis, shape.len())?;
        let count = match a.int("k")? {
            Some(count) => count,
            None => match c.ints(c.constant(1)?)? {
                &[count] => count,
                list => return Err(c.wrong(format!("its number of elements is {list:?}, which is not one number"))),
            },
        };
        let Some(count) = usize::try_from(count).ok().filter(|count| (1..=shape[axis]).contains(count)) else {
            return Err(c.wrong(format!("it takes {count} of {} elements", shape[axis])));
        };
        shape[axis] = count;
        let mut of = self.rows(c, x, &[axis])?;
        let (n, k) = self.row_sizes(&of.rows);
        let positions = Known::Constant(Constant::ints(vec![1, k], (0..k as i64).collect()));
        let found = if count == 1 {
            let ordered = if largest { of.rows.clone() } else { self.negated(c, &of.rows)? };
            let positions = if c.is_read(1) { self.row_winners(c, &ordered, false)? } else { positions };
            Ranked { values: self.row_extremes(c, &of.rows, largest)?, positions }
        } else {
            let positions = self.expanded(c, &positions, &[n, k])?;
            self.first_of(c, Ranked { values: of.rows.clone(), positions }, count, largest)?
        };
        of.resize(axis, count);
        let values = self.restored(c, &of, &found.values)?;
        let positions = if c.is_read(1) { self.restored(c, &of, &found.positions)? } else { found.positions };
        Ok(vec![values, positions])
    }

    /// The first `count` of each row, in order.
    fn first_of(&mut self, c: &Context<'_>, mut rows: Ranked, count: usize, largest: bool) -> Result<Ranked, ImportError> {
        loop {
            let (n, k) = self.row_sizes(&rows.values);
            let size = BLOCK * count;
            let blocks = k / size;
            if blocks < 2 {
                return self.first_of_block(c, &rows, count, largest);
            }
            // Blocks and what is left after them stay in the order of the row, so that of equal elements the first still comes first.
            let mut parts = [Vec::new(), Vec::new()];
            let whole = self.columns(c, &rows, 0, blocks * size)?;
            let flat = Ranked {
                values: self.reshaped(c, &whole.values, &[n * blocks, size])?,
                positions: self.reshaped(c, &whole.positions, &[n * blocks, size])?,
            };
            let first = self.first_of_block(c, &flat, count, largest)?;
            parts[0].push(self.reshaped(c, &first.values, &[n, blocks * count])?);
            parts[1].push(self.reshaped(c, &first.positions, &[n, blocks * count])?);
            if blocks * size < k {
                let left = self.columns(c, &rows, blocks * size, k - blocks * size)?;
                parts[0].push(left.values);
                parts[1].push(left.positions);
            }
            rows = Ranked { values: self.joined(c, &parts[0], 1)?, positions: self.joined(c, &parts[1], 1)? };
        }
    }

    fn columns(&mut self, c: &Context<'_>, rows: &Ranked, first: usize, count: usize) -> Result<Ranked, ImportError> {
        let (n, k) = self.row_sizes(&rows.values);
        let mut part = |known: &Known| self.strided(c, known, (&[n, count], &[k as i64, 1], first), &[n, count]);
        Ok(Ranked { values: part(&rows.values)?, positions: part(&rows.positions)? })
    }

    /// As [`Importer::first_of`], by comparing all elements of a row with each other.
    fn first_of_block(&mut self, c: &Context<'_>, rows: &Ranked, count: usize, largest: bool) -> Result<Ranked, ImportError> {
        let (n, k) = self.row_sizes(&rows.values);
        c.checked(&[n, k, k], "comparisons of all its elements with each other")?;
        // Of each pair, whether the one that stands first in the row comes first in order.
        let pairs: Vec<(usize, usize)> = (0..k).flat_map(|first| (first + 1..k).map(move |second| (first, second))).collect();
        let (first, second): (Vec<usize>, Vec<usize>) = pairs.iter().copied().unzip();
        let (first, second) = (self.gathered(c, &rows.values, 1, &first)?, self.gathered(c, &rows.values, 1, &second)?);
        let before = if largest { self.at_least(c, &first, &second)? } else { self.at_least(c, &second, &first)? };
        // How many come before each: of an element's pairs those where it is the second and the first comes first, or the reverse.
        let mut weights = vec![0.0; k * pairs.len()];
        let mut bias = vec![0.0; k];
        for (pair, &(first, second)) in pairs.iter().enumerate() {
            weights[second * pairs.len() + pair] = 1.0;
            weights[first * pairs.len() + pair] = -1.0;
            bias[first] += 1.0;
        }
        let places = self.dense(c, &before, weights, bias, &[n, k])?;
        let places = self.reshaped(c, &places, &[n * k])?;
        let hot = self.push(c, FloatOp::OneHot { count: k }, &[&places], &[n * k, k])?;
        // For each place wanted the element that stands there.
        let chosen = self.strided(c, &hot, (&[n, count, k], &[(k * k) as i64, 1, k as i64], 0), &[n, count, k])?;
        let mut picked = |known: &Known| self.push(c, FloatOp::MatMul { batch: n, m: count, k, n: 1 }, &[&chosen, known], &[n, count]);
        let values = picked(&rows.values)?;
        let positions = match &rows.positions {
            // Neighbours, counted on from where each row begins.
            Known::Constant(_) => {
                let start = self.strided(c, &rows.positions, (&[n, 1], &[k as i64, 0], 0), &[n, 1])?;
                let steps = self.dense(c, &chosen, (0..k).map(|step| step as f64).collect(), vec![0.0], &[n, count])?;
                self.plus(c, &steps, &start)?
            }
            Known::Value(_) => picked(&rows.positions)?,
        };
        Ok(Ranked { values, positions })
    }
}
