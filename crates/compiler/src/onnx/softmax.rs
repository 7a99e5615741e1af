//! Soft max, of rows of which a mask may leave a part.

use std::collections::BTreeMap;

use super::attributes::Attributes;
use super::build::inverse;
use super::context::Context;
use super::mask::{Empty, MASKED, Mask};
use super::operators::{Operator, one, operator};
use super::{ImportError, Importer, Known};
use crate::float::FloatOp;
use zkslice_graph::Window;

pub(super) const OPERATORS: &[Operator] = &[
    operator("LogSoftmax", "along any axis", |i, c, a| i.softmax(c, a, true).map(one)),
    operator("Softmax", "along any axis; dropped at the end by `--drop-final-softmax`", |i, c, a| i.softmax(c, a, false).map(one)),
];

/// Rows that follow each other in a list of elements, by their lengths.
struct Lengths(Vec<usize>);

impl Lengths {
    fn elements(&self) -> usize {
        self.0.iter().sum()
    }

    /// The length of all rows, if they have one.
    fn common(&self) -> Option<usize> {
        self.0.first().copied().filter(|first| self.0.iter().all(|length| length == first))
    }
}

impl Importer<'_> {
    /// One element for each row: what `f` gives of rows `[n, k]`.
    fn by_row(
        &mut self,
        c: &Context<'_>,
        x: &Known,
        rows: &Lengths,
        f: fn(&mut Self, &Context<'_>, &Known) -> Result<Known, ImportError>,
    ) -> Result<Known, ImportError> {
        if let Some(length) = rows.common() {
            let rows = self.reshaped(c, x, &[rows.0.len(), length])?;
            return f(self, c, &rows);
        }
        let mut by_length: BTreeMap<usize, Vec<(usize, usize)>> = BTreeMap::new();
        let mut start = 0;
        for (row, &length) in rows.0.iter().enumerate() {
            by_length.entry(length).or_default().push((row, start));
            start += length;
        }
        let flat = self.reshaped(c, x, &[start])?;
        let mut parts = Vec::with_capacity(by_length.len());
        let mut positions = vec![0; rows.0.len()];
        let mut done = 0;
        for (length, members) in by_length {
            let indices: Vec<usize> = members.iter().flat_map(|(_, start)| *start..start + length).collect();
            let part = self.gathered(c, &flat, 0, &indices)?;
            let part = self.reshaped(c, &part, &[members.len(), length])?;
            let part = f(self, c, &part)?;
            parts.push(self.reshaped(c, &part, &[members.len()])?);
            for (row, _) in members {
                positions[row] = done;
                done += 1;
            }
        }
        let joined = self.joined(c, &parts, 0)?;
        self.gathered(c, &joined, 0, &positions)
    }

    fn largest_by_row(&mut self, c: &Context<'_>, x: &Known, rows: &Lengths) -> Result<Known, ImportError> {
        self.by_row(c, x, rows, |i, c, rows| {
            let (n, k) = i.row_sizes(rows);
            let window = Window { input: [n, 1, k], output: [1, 1], kernel: [1, k], strides: [1, 1], dilations: [1, 1], pads: [0, 0] };
            let rows = i.reshaped(c, rows, &[1, n, k])?;
            i.push(c, FloatOp::MaxPool { window }, &[&rows], &[1, n, 1])
        })
    }

    fn sum_by_row(&mut self, c: &Context<'_>, x: &Known, rows: &Lengths) -> Result<Known, ImportError> {
        self.by_row(c, x, rows, |i, c, rows| i.row_sums(c, rows, 1.0))
    }

    /// One element per row, repeated for the row's elements; under `shape`.
    fn along_rows(&mut self, c: &Context<'_>, x: &Known, rows: &Lengths, shape: &[usize]) -> Result<Known, ImportError> {
        let count = rows.0.len();
        match rows.common() {
            Some(length) => self.strided(c, x, (&[count, length], &[1, 0], 0), shape),
            None => {
                let indices: Vec<usize> = rows.0.iter().enumerate().flat_map(|(row, &length)| std::iter::repeat_n(row, length)).collect();
                let output = self.gathered(c, x, 0, &indices)?;
                self.reshaped(c, &output, shape)
            }
        }
    }

    /// The soft max of rows of `length` elements, or its logarithm, under the input's shape.
    ///
    /// A score that a constant mask leaves out is in no operation, so that neither it nor the mask's number sets a scale. A row of which
    /// a mask leaves nothing gives what [`Mask::empty`] says.
    pub(super) fn soft_max(
        &mut self,
        c: &Context<'_>,
        x: &Known,
        length: usize,
        mask: &Mask,
        logarithm: bool,
    ) -> Result<Known, ImportError> {
        let shape = self.shape(x).to_vec();
        let count: usize = shape.iter().product();
        let mut indices = Vec::new();
        let mut bias = Vec::new();
        let mut lengths = Vec::with_capacity(count / length);
        for (row, added) in mask.bias.iter().flat_map(|bias| bias.chunks_exact(length)).enumerate() {
            let most = added.iter().fold(f64::NEG_INFINITY, |most, &x| most.max(x));
            if most == f64::NEG_INFINITY {
                continue;
            }
            let kept = (0..length).filter(|&e| added[e] - most >= MASKED);
            let before = indices.len();
            for element in kept {
                indices.push(row * length + element);
                bias.push(added[element] - most);
            }
            lengths.push(indices.len() - before);
        }
        let whole = mask.bias.is_none() || indices.len() == count;
        let zero = self.number_like(x, 0.0);
        if !whole && lengths.is_empty() {
            return self.expanded(c, &zero, &shape);
        }
        let rows = Lengths(if whole { vec![length; count / length] } else { lengths });
        let among = |i: &mut Self, known: &Known| {
            if whole {
                return i.reshaped(c, known, &[count / length, length]);
            }
            let all = i.reshaped(c, known, &[count])?;
            i.gathered(c, &all, 0, &indices)
        };
        let mut x = among(self, x)?;
        if bias.iter().any(|&b| b != 0.0) {
            x = self.weighted(c, &[(&x, vec![1.0])], &bias)?;
        }
        let keep = mask.keep.as_ref().map(|keep| among(self, keep)).transpose()?;
        let inner = self.shape(&x).to_vec();
        let mut kept = keep.clone();
        if let Some(keep) = keep.as_ref().filter(|_| matches!(mask.empty, Empty::Even { .. } | Empty::Whole)) {
            let count = self.sum_by_row(c, keep, &rows)?;
            let none = self.negated(c, &count)?;
            let none = self.step(c, &none)?;
            let none = self.along_rows(c, &none, &rows, &inner)?;
            kept = Some(self.plus(c, keep, &none)?);
        }
        if let Some(keep) = if mask.empty == Empty::Whole { &kept } else { &keep } {
            // What is left out becomes the row's least score, so that it is never the largest alone.
            let negative = self.negated(c, &x)?;
            let least = self.largest_by_row(c, &negative, &rows)?;
            let least = self.along_rows(c, &least, &rows, &inner)?;
            let above = self.plus(c, &x, &least)?;
            let above = self.product(c, &above, keep)?;
            x = self.minus(c, &above, &least)?;
        }
        let most = self.largest_by_row(c, &x, &rows)?;
        let most = self.along_rows(c, &most, &rows, &inner)?;
        let below = self.minus(c, &x, &most)?;
        let mut powers = self.exp(c, &below)?;
        if let Some(kept) = &kept {
            powers = self.product(c, &powers, kept)?;
        }
        let mut sum = self.sum_by_row(c, &powers, &rows)?;
        if keep.is_some() && mask.empty == Empty::Zeros {
            // A row of which nothing is kept gives zeros; the largest score of any other has the power 1.
            let ones = self.number_like(&sum, 1.0);
            let shape = self.shape(&sum).to_vec();
            let ones = self.expanded(c, &ones, &shape)?;
            sum = self.each(c, FloatOp::Maximum, &[&sum, &ones])?;
        }
        if logarithm && mask.empty == Empty::Refused {
            return Err(c.wrong("two masks hide its scores, one of them computed; join them before they are applied"));
        }
        let output = if logarithm {
            let sum = self.log(c, &sum)?;
            let sum = self.along_rows(c, &sum, &rows, &inner)?;
            self.minus(c, &below, &sum)?
        } else {
            let sum = self.along_rows(c, &sum, &rows, &inner)?;
            // The largest number's power is 1.
            self.ratio(c, &powers, &sum, 1.0)?
        };
        if whole {
            return self.reshaped(c, &output, &shape);
        }
        let nothing = rows.elements();
        let mut from = vec![nothing; count];
        for (position, &index) in indices.iter().enumerate() {
            from[index] = position;
        }
        self.moved(c, &[&output, &zero], &from, &shape)
    }

    /// A Softmax that only makes an output is dropped, where that is asked for and keeps each row's order of values.
    fn softmax(&mut self, c: &Context<'_>, a: &mut Attributes<'_>, logarithm: bool) -> Result<Known, ImportError> {
        c.arity(1, 1)?;
        let x = c.known(0)?;
        let shape = self.shape(x).to_vec();
        // Until operator set 12 everything from the axis on is one row.
        let rows_from_axis = c.opset < 13;
        let axis = a.int("axis")?.unwrap_or(if rows_from_axis { 1 } else { -1 });
        let axis = c.axis(axis, shape.len())?;
        let length: usize = if rows_from_axis { shape[axis..].iter().product() } else { shape[axis] };
        let last = shape[shape.len() - 1];
        let along_last = if rows_from_axis { length == last } else { axis + 1 == shape.len() };
        let mask = match x {
            Known::Value(id) => self.masks.get(id).cloned().unwrap_or_default(),
            Known::Constant(_) => Mask::default(),
        };
        let is_masked = mask.bias.is_some() || mask.keep.is_some();
        let drop = c.is_final && self.options.drop_final_softmax && !logarithm;
        if drop && length > 1 && along_last && !is_masked {
            return Ok(x.clone());
        }
        if is_masked {
            if !rows_from_axis && axis + 1 < shape.len() {
                return Err(c.wrong(format!(
                    "its input is masked and it runs along axis {axis}; transpose the scores so that it runs along the last"
                )));
            }
            let hidden = |row: &[f64]| row.iter().all(|&x| x == f64::NEG_INFINITY);
            if let Some(row) = mask.bias.as_ref().and_then(|bias| bias.chunks_exact(length).position(hidden)) {
                return Err(c.wrong(format!("its mask leaves nothing of row {row}, whose soft max is then not a number")));
            }
        }
        let mut perm: Vec<usize> = (0..shape.len()).collect();
        if !rows_from_axis {
            perm.remove(axis);
            perm.push(axis);
        }
        let rows = self.transposed(c, x, &perm)?;
        let output = self.soft_max(c, &rows, length, &mask, logarithm)?;
        self.transposed(c, &output, &inverse(&perm))
    }
}
