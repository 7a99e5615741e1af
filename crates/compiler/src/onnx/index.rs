//! Elements picked and set by index.

use super::attributes::Attributes;
use super::build::{each_index, steps};
use super::constant::Elements;
use super::context::Context;
use super::operators::{Operator, one, operator};
use super::{ImportError, Importer, Known};
use crate::float::{FloatOp, Kind};
use zkslice_graph::{limits, transpose};

pub(super) const OPERATORS: &[Operator] = &[
    operator("Gather", "constant or computed indices, along any axis", |i, c, a| i.gather(c, a).map(one)),
    operator("GatherElements", "constant or computed indices, along any axis", |i, c, a| i.gather_elements(c, a).map(one)),
    operator("GatherND", "constant indices; computed ones without `batch_dims`", |i, c, a| i.gather_nd(c, a).map(one)),
    operator("OneHot", "a constant depth and constant values, along any axis", |i, c, a| i.one_hot(c, a).map(one)),
    operator("Scatter", "constant or computed indices", |i, c, a| i.scatter_elements(c, a).map(one)),
    operator("ScatterElements", "constant indices and all reductions; computed indices alone or with `add`", |i, c, a| {
        i.scatter_elements(c, a).map(one)
    }),
    operator("ScatterND", "constant indices and all reductions; computed indices alone or with `add`", |i, c, a| {
        i.scatter_nd(c, a).map(one)
    }),
    operator("TensorScatter", "constant places", |i, c, a| i.tensor_scatter(c, a).map(one)),
];

impl Importer<'_> {
    /// Truth values of computed indices, along a new last axis; a negative index counts from the end.
    fn selectors(&mut self, c: &Context<'_>, indices: &Known, count: usize) -> Result<Known, ImportError> {
        let indices = self.integers(c, indices)?;
        let length = self.count(&indices);
        let shape = [self.shape(&indices), &[count]].concat();
        let indices = self.reshaped(c, &indices, &[length])?;
        let wrapped = self.wrapped(c, &indices, &[count as f64])?;
        let hot = self.push(c, FloatOp::OneHot { count }, &[&wrapped], &[length, count])?;
        self.reshaped(c, &hot, &shape)
    }

    /// Indices from 0 on, by column of `[.., columns]` of an axis of so many elements: a negative one counts from the end.
    fn wrapped(&mut self, c: &Context<'_>, indices: &Known, sizes: &[f64]) -> Result<Known, ImportError> {
        let not_negative = self.step(c, indices)?;
        let less = sizes.iter().map(|n| -n).collect();
        let last = self.shape(indices).len() - 1;
        self.weighted_along(c, last, &[(indices, vec![1.0]), (&not_negative, less)], sizes.to_vec())
    }

    /// Integers: what is of real numbers is cut to them, as runtimes do with indices.
    fn integers(&mut self, c: &Context<'_>, indices: &Known) -> Result<Known, ImportError> {
        if !self.is_real(indices) {
            return Ok(indices.clone());
        }
        let cut = self.truncated(c, indices)?;
        Ok(self.of_kind(cut, Kind::Integer))
    }

    /// The places `[count, 1]` in row-major order that so many tuples of computed indices name under a shape.
    fn flat_positions(&mut self, c: &Context<'_>, indices: &Known, shape: &[usize], count: usize) -> Result<Known, ImportError> {
        let indices = self.integers(c, indices)?;
        let flat = self.reshaped(c, &indices, &[count, shape.len()])?;
        // Each index on its own may be negative.
        let sizes: Vec<f64> = shape.iter().map(|&n| n as f64).collect();
        let wrapped = self.wrapped(c, &flat, &sizes)?;
        let weights = steps(shape).into_iter().map(|n| n as f64).collect();
        self.dense(c, &wrapped, weights, vec![0.0], &[count, 1])
    }

    /// Rows of a table `[count, rest]` at computed indices: `[indices.., rest]`.
    pub(super) fn table_rows(&mut self, c: &Context<'_>, table: &Known, indices: &Known) -> Result<Known, ImportError> {
        let [count, rest] = *self.shape(table) else {
            return Err(c.wrong("its table has not two axes"));
        };
        if count * rest == 0 {
            return Err(c.wrong("its table has nothing to pick from"));
        }
        let shape = [self.shape(indices), &[rest]].concat();
        let rows = self.count(indices);
        let hot = self.selectors(c, indices, count)?;
        match table {
            Known::Constant(constant) => {
                let weights = transpose(&[1, 0], &[count, rest], &c.numbers(constant)?);
                let output = self.dense(c, &hot, weights, vec![0.0; rest], &shape)?;
                Ok(if self.is_real(table) { self.of_kind(output, Kind::Real) } else { output })
            }
            Known::Value(_) => self.push(c, FloatOp::MatMul { batch: 1, m: rows, k: count, n: rest }, &[&hot, table], &shape),
        }
    }

    fn gather(&mut self, c: &Context<'_>, a: &mut Attributes<'_>) -> Result<Known, ImportError> {
        c.arity(2, 2)?;
        let (data, indices) = (c.known(0)?, c.known(1)?);
        let from = self.shape(data).to_vec();
        let axis = c.axis(a.int("axis")?.unwrap_or(0), from.len())?;
        let picked = self.shape(indices).to_vec();
        let shape = [&from[..axis], &picked, &from[axis + 1..]].concat();
        c.elements(&shape)?;
        match indices {
            Known::Constant(constant) => {
                let list = c.ints(constant)?.iter().map(|&index| c.index(index, from[axis])).collect::<Result<Vec<_>, _>>()?;
                let along = self.gathered(c, data, axis, &list)?;
                self.reshaped(c, &along, &shape)
            }
            Known::Value(_) => {
                let (outer, inner): (usize, usize) = (from[..axis].iter().product(), from[axis + 1..].iter().product());
                let table = self.rearranged(c, data, &[outer, from[axis], inner], &[1, 0, 2], &[from[axis], outer * inner])?;
                let rows = self.table_rows(c, &table, indices)?;
                self.rearranged(c, &rows, &[picked.iter().product(), outer, inner], &[1, 0, 2], &shape)
            }
        }
    }

    fn gather_elements(&mut self, c: &Context<'_>, a: &mut Attributes<'_>) -> Result<Known, ImportError> {
        c.arity(2, 2)?;
        let (data, indices) = (c.known(0)?, c.known(1)?);
        let from = self.shape(data).to_vec();
        let axis = c.axis(a.int("axis")?.unwrap_or(0), from.len())?;
        let shape = self.shape(indices).to_vec();
        if shape.len() != from.len() || (0..from.len()).any(|i| i != axis && shape[i] > from[i]) {
            return Err(c.wrong(format!("its indices of shape {shape:?} do not fit data of shape {from:?}")));
        }
        match indices {
            Known::Constant(constant) => {
                let list = positions_along(c, &from, &shape, axis, c.ints(constant)?)?;
                self.moved(c, &[data], &list, &shape)
            }
            Known::Value(_) => {
                // Each index picks from the line of data that it stands in.
                let count = from[axis];
                let outputs = c.checked(&[shape.iter().product(), count], "lines of data")? / count;
                let steps = steps(&from);
                let (mut dims, mut strides) = (shape.clone(), steps.iter().map(|&step| step as i64).collect::<Vec<_>>());
                strides[axis] = 0;
                dims.push(count);
                strides.push(steps[axis] as i64);
                let lines = self.strided(c, data, (&dims, &strides, 0), &[outputs, count])?;
                let hot = self.selectors(c, indices, count)?;
                self.push(c, FloatOp::MatMul { batch: outputs, m: 1, k: count, n: 1 }, &[&hot, &lines], &shape)
            }
        }
    }

    fn gather_nd(&mut self, c: &Context<'_>, a: &mut Attributes<'_>) -> Result<Known, ImportError> {
        c.arity(2, 2)?;
        a.exists("batch_dims", 12..=i64::MAX)?;
        let (data, indices) = (c.known(0)?, c.known(1)?);
        let (from, at) = (self.shape(data).to_vec(), self.shape(indices).to_vec());
        let batch = a.int("batch_dims")?.unwrap_or(0);
        let fits = |batch: &usize| *batch < from.len().min(at.len()) && from[..*batch] == at[..*batch];
        let batch = usize::try_from(batch)
            .ok()
            .filter(fits)
            .ok_or_else(|| a.wrong("batch_dims", format!("is {batch}, which does not fit the shapes {from:?} and {at:?}")))?;
        let Some((&depth, rows)) = at.split_last().filter(|(depth, _)| **depth > 0 && batch + **depth <= from.len()) else {
            return Err(c.wrong(format!("its indices of shape {at:?} do not fit data of shape {from:?}")));
        };
        let rest = &from[batch + depth..];
        let shape = [rows, rest].concat();
        let inner: usize = rest.iter().product();
        match indices {
            Known::Constant(constant) => {
                let list = c.ints(constant)?;
                let count = c.elements(&shape)?;
                let steps = steps(&from);
                let per_batch = rows[batch..].iter().product::<usize>().max(1);
                let mut positions = Vec::with_capacity(count);
                for (row, tuple) in list.chunks_exact(depth).enumerate() {
                    let mut start = row / per_batch * from[batch..].iter().product::<usize>();
                    for (i, &index) in tuple.iter().enumerate() {
                        start += c.index(index, from[batch + i])? * steps[batch + i];
                    }
                    positions.extend(start..start + inner);
                }
                self.moved(c, &[data], &positions, &shape)
            }
            Known::Value(_) if batch == 0 => {
                let position = self.flat_positions(c, indices, &from[..depth], rows.iter().product())?;
                let table = self.reshaped(c, data, &[from[..depth].iter().product(), inner])?;
                let picked = self.table_rows(c, &table, &position)?;
                self.reshaped(c, &picked, &shape)
            }
            Known::Value(_) => Err(c.wrong("its computed indices beside batch_dims are not supported")),
        }
    }

    fn scatter_elements(&mut self, c: &Context<'_>, a: &mut Attributes<'_>) -> Result<Known, ImportError> {
        c.arity(3, 3)?;
        a.exists("reduction", 16..=i64::MAX)?;
        let from = self.shape(c.known(0)?).to_vec();
        let axis = c.axis(a.int("axis")?.unwrap_or(0), from.len())?;
        let indices = c.known(1)?;
        let (shape, updates) = (self.shape(indices).to_vec(), self.shape(c.known(2)?));
        if shape != updates || shape.len() != from.len() || (0..from.len()).any(|i| i != axis && shape[i] > from[i]) {
            return Err(c.wrong(format!("its indices of shape {shape:?} and updates of {updates:?} do not fit data of {from:?}")));
        }
        match indices {
            Known::Constant(constant) => {
                let targets = positions_along(c, &from, &shape, axis, c.ints(constant)?)?;
                self.scattered(c, a, &targets)
            }
            Known::Value(_) => self.scatter_lines(c, a, axis),
        }
    }

    /// ScatterElements of computed indices: each line along the axis by itself.
    fn scatter_lines(&mut self, c: &Context<'_>, a: &mut Attributes<'_>, axis: usize) -> Result<Known, ImportError> {
        let (data, updates) = (c.known(0)?, c.known(2)?);
        let (from, shape) = (self.shape(data).to_vec(), self.shape(updates).to_vec());
        // Lines beyond those of the indices stay as they are.
        let mut part = shape.clone();
        part[axis] = from[axis];
        let rank = from.len();
        let reached = self.sliced(c, data, &vec![0; rank], &part, &vec![1; rank])?;
        let of = self.rows(c, &reached, &[axis])?;
        let (lines, count) = self.row_sizes(&of.rows);
        let indices = self.rows(c, c.known(1)?, &[axis])?.rows;
        let updates = self.rows(c, updates, &[axis])?.rows;
        let length = shape[axis];
        c.checked(&[lines, length, count], "places of its updates")?;
        let hot = self.selectors(c, &indices, count)?;
        let table = self.reshaped(c, &of.rows, &[lines, count, 1])?;
        let updates = self.reshaped(c, &updates, &[lines, length, 1])?;
        let written = self.written(c, a, &table, &updates, &hot)?;
        let written = self.reshaped(c, &written, &[lines, count])?;
        let written = self.restored(c, &of, &written)?;
        let (steps, mut sources) = (steps(&from), (0..from.iter().product()).collect::<Vec<usize>>());
        let mut next = sources.len();
        each_index(&part, |at| {
            sources[at.iter().zip(&steps).map(|(i, step)| i * step).sum::<usize>()] = next;
            next += 1;
            Ok(())
        })?;
        self.moved(c, &[data, &written], &sources, &from)
    }

    /// Data `[batch, count, inner]` with updates `[batch, length, inner]` at the places of which truth values `[batch, length, count]`
    /// say which; of several at one place the last one stays, or they are added.
    fn written(
        &mut self,
        c: &Context<'_>,
        a: &mut Attributes<'_>,
        data: &Known,
        updates: &Known,
        hot: &Known,
    ) -> Result<Known, ImportError> {
        let reduction = a.string("reduction")?.unwrap_or_else(|| "none".into());
        let (shape, kind) = (self.shape(data).to_vec(), self.kind(data));
        let [batch, count, inner] = shape[..] else { return Err(c.missing(0)) };
        let length = self.shape(updates)[1];
        let by_place = self.rearranged(c, hot, &[batch, length, count], &[0, 2, 1], &[batch, count, length])?;
        let op = FloatOp::MatMul { batch, m: count, k: length, n: inner };
        let output = match reduction.as_str() {
            "add" => {
                let added = self.push(c, op, &[&by_place, updates], &shape)?;
                self.plus(c, data, &added)?
            }
            "none" => {
                let column = |i: &mut Self, update: usize| i.sliced(c, &by_place, &[0, 0, update], &[batch, count, 1], &[1, 1, 1]);
                // From the last one on: an update stays where no later one stands.
                let mut taken = column(self, length - 1)?;
                let mut kept = vec![taken.clone()];
                for update in (0..length - 1).rev() {
                    let (own, free) = (column(self, update)?, self.not(c, &taken)?);
                    let own = self.product(c, &own, &free)?;
                    let own = self.of_kind(own, Kind::Boolean);
                    taken = self.plus(c, &taken, &own)?;
                    taken = self.of_kind(taken, Kind::Boolean);
                    kept.push(own);
                }
                kept.reverse();
                let kept = self.joined(c, &kept, 2)?;
                let new = self.push(c, op, &[&kept, updates], &shape)?;
                let free = self.not(c, &taken)?;
                let old = self.product(c, &free, data)?;
                self.plus(c, &old, &new)?
            }
            other => {
                let reason = format!("is `{other}`, and its indices are computed: for these, `none` and `add` are supported");
                return Err(a.wrong("reduction", reason));
            }
        };
        Ok(self.of_kind(output, kind))
    }

    /// A cache with new elements written along an axis, from each batch's own place on.
    fn tensor_scatter(&mut self, c: &Context<'_>, a: &mut Attributes<'_>) -> Result<Known, ImportError> {
        c.arity(2, 3)?;
        c.since(24)?;
        let parts = [c.known(0)?, c.known(1)?];
        let (cache, update) = (self.shape(parts[0]).to_vec(), self.shape(parts[1]).to_vec());
        let axis = c.axis(a.int("axis")?.unwrap_or(-2), cache.len())?;
        let mode = a.string("mode")?.unwrap_or_else(|| "linear".into());
        let circular = match mode.as_str() {
            "linear" => false,
            "circular" => true,
            _ => return Err(a.wrong("mode", format!("is `{mode}`, which does not exist"))),
        };
        let starts = match c.optional_constant(2)? {
            Some(constant) => c.sizes(c.ints(constant)?)?,
            None => vec![0; cache[0]],
        };
        let fits = cache.len() == update.len() && (0..cache.len()).all(|i| i == axis || cache[i] == update[i]);
        if axis == 0 || !fits || update[axis] > cache[axis] || starts.len() != cache[0] {
            return Err(c.wrong(format!("its update of shape {update:?} at {} places does not fit a cache of {cache:?}", starts.len())));
        }
        if let Some(start) = starts.iter().find(|&&start| !circular && start > cache[axis] - update[axis]) {
            return Err(c.wrong(format!("its update of {} elements at {start} leaves a cache of {}", update[axis], cache[axis])));
        }
        let (steps, length) = (steps(&cache), c.elements(&cache)?);
        let mut indices: Vec<usize> = (0..length).collect();
        let mut written = length;
        each_index(&update, |index| {
            let place = (starts[index[0]] % cache[axis] + index[axis]) % cache[axis];
            let target: usize = (0..cache.len()).map(|i| steps[i] * if i == axis { place } else { index[i] }).sum();
            indices[target] = written;
            written += 1;
            Ok(())
        })?;
        self.moved(c, &parts, &indices, &cache)
    }

    fn scatter_nd(&mut self, c: &Context<'_>, a: &mut Attributes<'_>) -> Result<Known, ImportError> {
        c.arity(3, 3)?;
        a.exists("reduction", 16..=i64::MAX)?;
        let from = self.shape(c.known(0)?).to_vec();
        let known = c.known(1)?;
        let (shape, updates) = (self.shape(known).to_vec(), self.shape(c.known(2)?));
        let Some((&depth, rows)) =
            shape.split_last().filter(|(depth, rows)| (1..=from.len()).contains(*depth) && updates == [rows, &from[**depth..]].concat())
        else {
            return Err(c.wrong(format!("its indices of shape {shape:?} and updates of {updates:?} do not fit data of {from:?}")));
        };
        let inner: usize = from[depth..].iter().product();
        let Known::Constant(indices) = known else {
            let (count, length): (usize, usize) = (from[..depth].iter().product(), rows.iter().product());
            c.checked(&[length, count], "places of its updates")?;
            let position = self.flat_positions(c, known, &from[..depth], length)?;
            let hot = self.selectors(c, &position, count)?;
            let hot = self.reshaped(c, &hot, &[1, length, count])?;
            let table = self.reshaped(c, c.known(0)?, &[1, count, inner])?;
            let updates = self.reshaped(c, c.known(2)?, &[1, length, inner])?;
            let written = self.written(c, a, &table, &updates, &hot)?;
            return self.reshaped(c, &written, &from);
        };
        let steps = steps(&from);
        let mut targets = Vec::with_capacity(rows.iter().product::<usize>() * inner);
        for tuple in c.ints(indices)?.chunks_exact(depth) {
            let mut start = 0;
            for (i, &index) in tuple.iter().enumerate() {
                start += c.index(index, from[i])? * steps[i];
            }
            targets.extend(start..start + inner);
        }
        self.scattered(c, a, &targets)
    }

    /// Input 0 with each element of input 2 set, or joined by a reduction, at its target.
    fn scattered(&mut self, c: &Context<'_>, a: &mut Attributes<'_>, targets: &[usize]) -> Result<Known, ImportError> {
        let reduction = a.string("reduction")?.unwrap_or_else(|| "none".into());
        let (mut data, updates) = (c.known(0)?.clone(), c.known(2)?);
        let shape = self.shape(&data).to_vec();
        let length = c.elements(&shape)?;
        if !matches!(reduction.as_str(), "none" | "add" | "mul" | "max" | "min") {
            return Err(a.wrong("reduction", format!("is `{reduction}`, which does not exist")));
        }
        // Rounds in which no element is updated twice; without a reduction the last update stays.
        let mut rounds: Vec<Vec<(usize, usize)>> = Vec::new();
        if reduction == "none" {
            rounds.push(targets.iter().enumerate().map(|(update, &target)| (target, update)).collect());
        } else {
            let mut seen = vec![0; length];
            for (update, &target) in targets.iter().enumerate() {
                if rounds.len() == seen[target] {
                    rounds.push(Vec::new());
                }
                rounds[seen[target]].push((target, update));
                seen[target] += 1;
            }
        }
        for round in rounds {
            let mut sources: Vec<usize> = (0..length).collect();
            let updates = if reduction == "none" {
                round.iter().for_each(|&(target, update)| sources[target] = length + update);
                updates.clone()
            } else {
                let (at, of): (Vec<usize>, Vec<usize>) = round.into_iter().unzip();
                let old = self.moved(c, &[&data], &at, &[at.len()])?;
                let new = self.moved(c, &[updates], &of, &[of.len()])?;
                at.iter().enumerate().for_each(|(update, &target)| sources[target] = length + update);
                match reduction.as_str() {
                    "add" => self.plus(c, &old, &new)?,
                    "mul" => self.product(c, &old, &new)?,
                    "max" => self.extreme(c, &old, &new, true)?,
                    _ => self.extreme(c, &old, &new, false)?,
                }
            };
            data = self.moved(c, &[&data, &updates], &sources, &shape)?;
        }
        Ok(data)
    }

    fn one_hot(&mut self, c: &Context<'_>, a: &mut Attributes<'_>) -> Result<Known, ImportError> {
        c.arity(3, 3)?;
        let depth = match &c.constant(1)?.elements {
            Elements::Ints(list) if list.len() == 1 => list[0],
            Elements::Floats(list) if list.len() == 1 => list[0] as i64,
            _ => return Err(c.wrong("its depth is not one number")),
        };
        let depth = usize::try_from(depth)
            .ok()
            .filter(|n| (1..=limits::MAX_ELEMENTS).contains(n))
            .ok_or_else(|| c.wrong(format!("its depth is {depth}")))?;
        let values = c.constant(2)?;
        let [off, on] = c.numbers(values)?[..] else {
            return Err(c.wrong("its values are not two numbers"));
        };
        let kind = if matches!(values.elements, Elements::Ints(_)) { Kind::Integer } else { Kind::Real };
        let indices = c.known(0)?;
        let rank = self.shape(indices).len();
        let axis = c.axis(a.int("axis")?.unwrap_or(-1), rank + 1)?;
        let hot = self.selectors(c, indices, depth)?;
        let shape = self.shape(&hot).to_vec();
        let scaled = self.sum(c, &[(&hot, on - off)], off)?;
        let scaled = self.of_kind(scaled, kind);
        let mut perm: Vec<usize> = (0..rank).collect();
        perm.insert(axis, rank);
        let turned: Vec<usize> = perm.iter().map(|&axis| shape[axis]).collect();
        self.rearranged(c, &scaled, &shape, &perm, &turned)
    }
}

/// For each index the element of data that it names along an axis, in the place where it stands itself.
fn positions_along(c: &Context<'_>, from: &[usize], shape: &[usize], axis: usize, list: &[i64]) -> Result<Vec<usize>, ImportError> {
    let steps = steps(from);
    let mut positions = Vec::with_capacity(list.len());
    each_index(shape, |at| {
        let place: usize = at.iter().zip(&steps).map(|(i, step)| i * step).sum();
        let index = c.index(list[positions.len()], from[axis])?;
        positions.push(place + index * steps[axis] - at[axis] * steps[axis]);
        Ok(())
    })?;
    Ok(positions)
}
