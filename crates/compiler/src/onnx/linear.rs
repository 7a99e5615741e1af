//! Matrix products.

use super::attributes::Attributes;
use super::constant::Constant;
use super::context::Context;
use super::operators::{Operator, one, operator};
use super::{ImportError, Importer, Known, broadcast};
use crate::float::FloatOp;
use zkslice_graph::transpose;

pub(super) const OPERATORS: &[Operator] = &[
    operator("Gemm", "factors and a bias, constant or not; `alpha`, `beta`, `transA`, `transB`", |i, c, a| i.gemm(c, a).map(one)),
    operator("MatMul", "factors of any rank, constant or not; broadcast", |i, c, _| {
        c.arity(2, 2)?;
        i.matrix_product(c, c.known(0)?, c.known(1)?).map(one)
    }),
];

impl Importer<'_> {
    /// Matrices with rows and columns exchanged.
    fn flipped(&mut self, c: &Context<'_>, known: &Known) -> Result<Known, ImportError> {
        let rank = self.shape(known).len();
        let mut perm: Vec<usize> = (0..rank).collect();
        perm.swap(rank - 2, rank - 1);
        self.transposed(c, known, &perm)
    }

    /// A product as numpy's `matmul`: the last two axes are matrices, those before broadcast.
    pub(super) fn matrix_product(&mut self, c: &Context<'_>, x: &Known, y: &Known) -> Result<Known, ImportError> {
        let (from, with) = (self.shape(x).to_vec(), self.shape(y).to_vec());
        let wrong = || c.wrong(format!("its factors of shapes {from:?} and {with:?} cannot be multiplied"));
        // A vector is a row on the left and a column on the right; the product has no axis for it.
        let left = if let [k] = from[..] { vec![1, k] } else { from.clone() };
        let right = if let [k] = with[..] { vec![k, 1] } else { with.clone() };
        let ([batch_x @ .., m, k], [batch_y @ .., inner, n]) = (&left[..], &right[..]) else {
            return Err(wrong());
        };
        if k != inner {
            return Err(wrong());
        }
        let batch = broadcast::shape(batch_x, batch_y).ok_or_else(wrong)?;
        let full = [&batch[..], &[*m, *n]].concat();
        c.checked(&full, "output")?;
        c.check_work(&[&full[..], &[*k]].concat())?;
        let x = self.reshaped(c, x, &left)?;
        let y = self.reshaped(c, y, &right)?;
        let product = match (&x, &y) {
            (Known::Value(_), Known::Constant(constant)) => self.times_constant(c, &x, constant, &batch)?,
            (Known::Constant(_), Known::Value(_)) => {
                // xy = (yᵀxᵀ)ᵀ
                let (y, Known::Constant(x)) = (self.flipped(c, &y)?, self.flipped(c, &x)?) else {
                    return Err(wrong());
                };
                let product = self.times_constant(c, &y, &x, &batch)?;
                let product = self.reshaped(c, &product, &[&batch[..], &[*n, *m]].concat())?;
                self.flipped(c, &product)?
            }
            _ => {
                let count: usize = batch.iter().product();
                if batch_y.iter().all(|&n| n == 1) {
                    let op = FloatOp::MatMul { batch: 1, m: count * m, k: *k, n: *n };
                    self.push(c, op, &[&x, &y], &full)?
                } else {
                    let x = self.expanded(c, &x, &[&batch[..], &[*m, *k]].concat())?;
                    let y = self.expanded(c, &y, &[&batch[..], &[*k, *n]].concat())?;
                    self.push(c, FloatOp::MatMul { batch: count, m: *m, k: *k, n: *n }, &[&x, &y], &full)?
                }
            }
        };
        let mut shape = batch;
        shape.extend((from.len() > 1).then_some(*m));
        shape.extend((with.len() > 1).then_some(*n));
        self.reshaped(c, &product, &shape)
    }

    /// The products of a value's matrices and a constant's, in the order of the batch that both broadcast to.
    fn times_constant(&mut self, c: &Context<'_>, x: &Known, y: &Constant, batch: &[usize]) -> Result<Known, ImportError> {
        let (shape, list) = (self.shape(x).to_vec(), c.numbers(y)?);
        let ([before @ .., m, k], [batch_y @ .., _, n]) = (&shape[..], &y.shape[..]) else {
            return Err(c.wrong("its factors are no matrices"));
        };
        let by_output = |matrix: &[f64]| transpose(&[1, 0], &[*k, *n], matrix);
        let count = list.len() / (k * n);
        if count == 1 {
            return self.dense(c, x, by_output(&list), vec![0.0; *n], &[before, &[*m, *n]].concat());
        }
        // Each matrix of the constant multiplies those of the value that it meets.
        let total = batch.iter().product();
        let x = self.expanded(c, x, &[batch, &[*m, *k]].concat())?;
        let x = self.reshaped(c, &x, &[total, *m, *k])?;
        let which = broadcast::repeat(&(0..count).collect::<Vec<_>>(), batch_y, batch);
        let mut met = vec![Vec::new(); count];
        for (position, &matrix) in which.iter().enumerate() {
            met[matrix].push(position);
        }
        let mut parts = Vec::with_capacity(count);
        for (indices, matrix) in met.iter().zip(list.chunks_exact(k * n)) {
            let part = self.gathered(c, &x, 0, indices)?;
            parts.push(self.dense(c, &part, by_output(matrix), vec![0.0; *n], &[indices.len(), *m, *n])?);
        }
        let joined = self.joined(c, &parts, 0)?;
        let mut indices = vec![0; total];
        for (from, &to) in met.iter().flatten().enumerate() {
            indices[to] = from;
        }
        self.gathered(c, &joined, 0, &indices)
    }

    fn gemm(&mut self, c: &Context<'_>, a: &mut Attributes<'_>) -> Result<Known, ImportError> {
        c.arity(if c.opset < 11 { 3 } else { 2 }, 3)?;
        let mut alpha = a.float("alpha", 1.0)?;
        let beta = a.float("beta", 1.0)?;
        let mut factors = [c.known(0)?.clone(), c.known(1)?.clone()];
        for (factor, flag) in factors.iter_mut().zip(["transA", "transB"]) {
            let shape = self.shape(factor);
            if shape.len() != 2 {
                return Err(c.wrong(format!("its factor has shape {shape:?} where two axes are needed")));
            }
            if a.flag(flag, false)? {
                *factor = self.flipped(c, factor)?;
            }
        }
        let (left, right) = (self.shape(&factors[0]).to_vec(), self.shape(&factors[1]).to_vec());
        let ([m, k], [inner, n]) = (&left[..], &right[..]) else {
            return Err(c.wrong("its factors are no matrices"));
        };
        if k != inner {
            return Err(c.wrong(format!("its factors of shapes {left:?} and {right:?} cannot be multiplied")));
        }
        let shape = [*m, *n];
        c.checked(&shape, "output")?;
        if let Some(factor) = factors.iter_mut().find(|factor| factor.constant().is_some()).filter(|_| alpha != 1.0) {
            *factor = self.sum(c, &[(&factor.clone(), alpha)], 0.0)?;
            alpha = 1.0;
        }
        let added = c.optional(2);
        if let Some(added) = added {
            // Unidirectional: the bias broadcasts to the product's shape, never the other way round.
            let from = self.shape(added);
            if broadcast::shape(from, &shape).as_deref() != Some(&shape[..]) {
                return Err(c.wrong(format!("its bias of shape {from:?} does not fit a product of {shape:?}")));
            }
        }
        let [x, y] = &factors;
        if let (Known::Value(_), Some(weights), Some(Known::Constant(bias))) = (x, y.constant(), added)
            && alpha == 1.0
        {
            let full = broadcast::repeat(&c.numbers(bias)?, &bias.shape, &shape);
            let row: Vec<f64> = full[..*n].iter().map(|b| b * beta).collect();
            if full.chunks_exact(*n).all(|other| other == &full[..*n]) {
                let weights = transpose(&[1, 0], &[*k, *n], &c.numbers(weights)?);
                return self.dense(c, x, weights, row, &shape);
            }
        }
        let product = self.matrix_product(c, x, y)?;
        match added {
            Some(added) => self.sum(c, &[(&product, alpha), (added, beta)], 0.0),
            None if alpha == 1.0 => Ok(product),
            None => self.sum(c, &[(&product, alpha)], 0.0),
        }
    }
}
