//! The float graph's nodes, with constants folded: the blocks that every operator is written in.
//!
//! A block takes and gives what is [`Known`]. What it makes of constants alone is a constant again, a sum takes constants into its bias
//! and a product into its factors, and what would move nothing adds no node.

use super::constant::{Constant, Elements};
use super::context::Context;
use super::sign::Sign;
use super::{ImportError, Importer, Known, broadcast};
use crate::float::{FloatGraph, FloatNode, FloatOp, Kind, Pointwise, Value, ValueId};
use zkslice_graph::{concat, gather, limits, transpose, view};

/// For each axis how far apart two neighbours along it are in row-major order.
pub(super) fn steps(shape: &[usize]) -> Vec<usize> {
    let mut steps = vec![1; shape.len()];
    for axis in (1..shape.len()).rev() {
        steps[axis - 1] = steps[axis] * shape[axis];
    }
    steps
}

/// Visits every index of a shape in row-major order.
pub(super) fn each_index(shape: &[usize], mut visit: impl FnMut(&[usize]) -> Result<(), ImportError>) -> Result<(), ImportError> {
    let count: usize = shape.iter().product();
    let mut at = vec![0_usize; shape.len()];
    for _ in 0..count {
        visit(&at)?;
        for axis in (0..shape.len()).rev() {
            at[axis] += 1;
            if at[axis] < shape[axis] {
                break;
            }
            at[axis] = 0;
        }
    }
    Ok(())
}

/// The permutation that undoes another.
pub(super) fn inverse(perm: &[usize]) -> Vec<usize> {
    let mut back = vec![0; perm.len()];
    for (position, &axis) in perm.iter().enumerate() {
        back[axis] = position;
    }
    back
}

/// The list by index of `axis` (one element when all are equal), if the elements vary along that axis alone.
pub(crate) fn along<T: Copy + PartialEq>(list: &[T], shape: &[usize], axis: usize) -> Option<Vec<T>> {
    let first = *list.first()?;
    if list.iter().all(|&x| x == first) {
        return Some(vec![first]);
    }
    let inner: usize = shape[axis + 1..].iter().product();
    let picked: Vec<T> = (0..shape[axis]).map(|index| list[index * inner]).collect();
    list.chunks_exact(inner).enumerate().all(|(block, chunk)| chunk.iter().all(|&x| x == picked[block % shape[axis]])).then_some(picked)
}

/// Axes of one element dropped, and axes that are walked as one joined.
fn simplest(dims: &[usize], strides: &[i64]) -> (Vec<usize>, Vec<i64>) {
    let mut walk: Vec<(usize, i64)> = Vec::with_capacity(dims.len());
    for (&dim, &stride) in dims.iter().zip(strides).filter(|(dim, _)| **dim != 1) {
        match walk.last_mut() {
            Some(outer) if outer.1 == stride * dim as i64 => *outer = (outer.0 * dim, stride),
            _ => walk.push((dim, stride)),
        }
    }
    walk.into_iter().unzip()
}

/// The axes and steps of a walk that reads these indices, if there is one.
fn walk(indices: &[usize]) -> Option<(Vec<usize>, Vec<i64>)> {
    let (mut dims, mut strides) = (Vec::new(), Vec::new());
    let mut heads = indices.to_vec();
    while heads.len() > 1 {
        let step = heads[1] as i64 - heads[0] as i64;
        let steady = |pair: &[usize]| pair[1] as i64 - pair[0] as i64 == step;
        // The innermost axis is as long as its step stays: a longer one would join the next axis.
        let run = 1 + heads.windows(2).take_while(|pair| steady(pair)).count();
        if !heads.len().is_multiple_of(run) || !heads.chunks_exact(run).all(|chunk| chunk.windows(2).all(steady)) {
            return None;
        }
        dims.push(run);
        strides.push(step);
        heads = heads.into_iter().step_by(run).collect();
    }
    dims.reverse();
    strides.reverse();
    (dims.len() <= 2 * limits::MAX_RANK).then_some((dims, strides))
}

/// The largest size of blocks that stay together, each beginning at a multiple of that size; it divides `length`.
fn block(indices: &[usize], length: usize) -> usize {
    let gcd = |mut a: usize, mut b: usize| {
        while b > 0 {
            (a, b) = (b, a % b);
        }
        a
    };
    let mut size = gcd(length, indices[0]);
    let mut start = 0;
    for (position, pair) in indices.windows(2).enumerate() {
        if pair[1] != pair[0] + 1 {
            size = gcd(gcd(size, position + 1 - start), pair[1]);
            start = position + 1;
            if size == 1 {
                return 1;
            }
        }
    }
    gcd(size, indices.len() - start)
}

fn are_whole(list: &[f64]) -> bool {
    list.iter().all(|x| x.fract() == 0.0)
}

/// A constant's numbers at each element of a shape that it broadcasts to; one where all are one.
fn spread(c: &Context<'_>, constant: &Constant, shape: &[usize]) -> Result<Vec<f64>, ImportError> {
    let list = c.numbers(constant)?;
    Ok(if list.len() == 1 { list } else { broadcast::repeat(&list, &constant.shape, shape) })
}

/// What an operator gives of constants.
fn folded(c: &Context<'_>, op: FloatOp, constants: &[&Constant], shape: &[usize], kind: Kind) -> Result<Known, ImportError> {
    c.checked(shape, "output")?;
    let lists = constants.iter().map(|constant| c.numbers(constant)).collect::<Result<Vec<_>, _>>()?;
    let mut values: Vec<Value> = constants.iter().map(|constant| Value::new("", constant.shape.clone())).collect();
    values.push(Value { kind, ..Value::new("", shape.to_vec()) });
    let node = FloatNode { name: String::new(), op, inputs: (0..lists.len()).collect(), output: lists.len() };
    let graph = FloatGraph { values, nodes: Vec::new(), inputs: Vec::new(), outputs: Vec::new() };
    let list = graph.apply(&node, &lists.iter().map(Vec::as_slice).collect::<Vec<_>>());
    let elements = match kind {
        Kind::Real => Elements::Floats(list),
        Kind::Integer | Kind::Boolean if list.iter().all(|x| x.abs() < 2_f64.powi(53)) => {
            Elements::Ints(list.iter().map(|&x| x as i64).collect())
        }
        _ => return Err(c.wrong("its constants give integers beyond 2^53 or beyond their type, or none")),
    };
    Ok(Known::Constant(Constant { shape: shape.to_vec(), elements }))
}

/// What is known, and nodes of it.
impl Importer<'_> {
    pub(super) fn shape<'k>(&'k self, known: &'k Known) -> &'k [usize] {
        match known {
            &Known::Value(id) => &self.graph.values[id].shape,
            Known::Constant(constant) => &constant.shape,
        }
    }

    /// Number of elements.
    pub(super) fn count(&self, known: &Known) -> usize {
        self.shape(known).iter().product()
    }

    /// What the numbers are; a constant's truth values cannot be told from integers.
    pub(super) fn kind(&self, known: &Known) -> Kind {
        match known {
            &Known::Value(id) => self.graph.values[id].kind,
            Known::Constant(Constant { elements: Elements::Floats(_), .. }) => Kind::Real,
            Known::Constant(Constant { elements: Elements::Ints(_), .. }) => Kind::Integer,
        }
    }

    pub(super) fn is_real(&self, known: &Known) -> bool {
        self.kind(known) == Kind::Real
    }

    /// The same under a kind that the caller knows, where a block could not tell. It is a block's result, which nothing else reads yet.
    pub(super) fn of_kind(&mut self, known: Known, kind: Kind) -> Known {
        match known {
            Known::Value(id) => {
                self.graph.values[id].kind = kind;
                Known::Value(id)
            }
            Known::Constant(Constant { shape, elements }) => Known::Constant(match (elements, kind) {
                (Elements::Ints(list), Kind::Real) => Constant::floats(shape, list.into_iter().map(|x| x as f64).collect()),
                (Elements::Floats(list), Kind::Integer | Kind::Boolean) => {
                    Constant::ints(shape, list.into_iter().map(|x| x as i64).collect())
                }
                (elements, _) => Constant { shape, elements },
            }),
        }
    }

    /// One number, of real numbers or integers as `known` is.
    pub(super) fn number_like(&self, known: &Known, number: f64) -> Known {
        Known::Constant(if self.is_real(known) {
            Constant::floats(Vec::new(), vec![number])
        } else {
            Constant::ints(Vec::new(), vec![number as i64])
        })
    }

    /// No element, of the kind of `known`.
    fn empty_like(&self, known: &Known, shape: &[usize]) -> Known {
        let elements = if self.is_real(known) { Elements::Floats(Vec::new()) } else { Elements::Ints(Vec::new()) };
        Known::Constant(Constant { shape: shape.to_vec(), elements })
    }

    /// The value of the float graph; a constant becomes one.
    pub(super) fn value(&mut self, c: &Context<'_>, known: &Known) -> Result<ValueId, ImportError> {
        match known {
            &Known::Value(id) => Ok(id),
            Known::Constant(constant) => {
                let mut values = c.numbers(constant)?;
                if constant.uniform().is_some() {
                    values.truncate(1);
                }
                let kind = self.kind(known);
                self.append(c, FloatOp::Constant { values }, Vec::new(), constant.shape.clone(), kind)
            }
        }
    }

    /// What an operator gives of its inputs: a node, but of constants alone a constant.
    pub(super) fn push(&mut self, c: &Context<'_>, op: FloatOp, inputs: &[&Known], shape: &[usize]) -> Result<Known, ImportError> {
        let is_exact = inputs.iter().all(|known| !self.is_real(known));
        // Of integers come integers; where a block knows better it says so.
        let kind = match &op {
            FloatOp::OneHot { .. } | FloatOp::Step => Kind::Boolean,
            FloatOp::Map(_) | FloatOp::Sqrt => Kind::Real,
            _ if !is_exact => Kind::Real,
            FloatOp::Affine { coefficients, bias, .. } if !coefficients.iter().all(|list| are_whole(list)) || !are_whole(bias) => {
                Kind::Real
            }
            FloatOp::Dense { weights, bias, .. } if !are_whole(weights) || !are_whole(bias) => Kind::Real,
            FloatOp::View { .. } | FloatOp::Gather { .. } | FloatOp::Reshape | FloatOp::Transpose { .. } | FloatOp::Concat { .. } => {
                inputs.first().map_or(Kind::Real, |known| self.kind(known))
            }
            _ => Kind::Integer,
        };
        self.push_as(c, op, inputs, shape, kind)
    }

    /// As [`Importer::push`], of a kind that the caller knows.
    pub(super) fn push_as(
        &mut self,
        c: &Context<'_>,
        op: FloatOp,
        inputs: &[&Known],
        shape: &[usize],
        kind: Kind,
    ) -> Result<Known, ImportError> {
        if let Some(constants) = inputs.iter().map(|known| known.constant()).collect::<Option<Vec<_>>>() {
            return folded(c, op, &constants, shape, kind);
        }
        let inputs = inputs.iter().map(|known| self.value(c, known)).collect::<Result<_, _>>()?;
        self.append(c, op, inputs, shape.to_vec(), kind).map(Known::Value)
    }

    /// An operator that works element by element on inputs of one shape.
    pub(super) fn each(&mut self, c: &Context<'_>, op: FloatOp, inputs: &[&Known]) -> Result<Known, ImportError> {
        let shape = self.shape(inputs[0]).to_vec();
        self.push(c, op, inputs, &shape)
    }

    /// A function of each element.
    pub(super) fn map(
        &mut self,
        c: &Context<'_>,
        x: &Known,
        name: &'static str,
        parameters: Vec<f64>,
        formula: fn(f64, &[f64]) -> f64,
    ) -> Result<Known, ImportError> {
        self.each(c, FloatOp::Map(vec![Pointwise { name, parameters, formula }]), &[x])
    }
}

/// Moves: the same elements elsewhere.
impl Importer<'_> {
    /// The same elements under another shape of as many.
    pub(super) fn reshaped(&mut self, c: &Context<'_>, known: &Known, shape: &[usize]) -> Result<Known, ImportError> {
        if self.shape(known) == shape {
            return Ok(known.clone());
        }
        match known {
            Known::Value(_) => self.push(c, FloatOp::Reshape, &[known], shape),
            Known::Constant(constant) => {
                let wrong = || c.wrong(format!("its shape {:?} cannot become {shape:?}", constant.shape));
                if c.elements(shape)? != constant.len() {
                    return Err(wrong());
                }
                Ok(Known::Constant(Constant { shape: shape.to_vec(), elements: constant.elements.clone() }))
            }
        }
    }

    /// Axes in another order: axis i is what axis `perm[i]` was.
    pub(super) fn transposed(&mut self, c: &Context<'_>, known: &Known, perm: &[usize]) -> Result<Known, ImportError> {
        if perm.is_sorted() {
            return Ok(known.clone());
        }
        let from = self.shape(known).to_vec();
        let shape: Vec<usize> = perm.iter().map(|&axis| from[axis]).collect();
        match known {
            Known::Value(_) => self.push(c, FloatOp::Transpose { perm: perm.to_vec() }, &[known], &shape),
            Known::Constant(constant) => Ok(Known::Constant(constant.moved(shape, |places| transpose(perm, &from, places)))),
        }
    }

    /// As [`Importer::transposed`], of axes `from` that what is known is first split or joined into, under a shape of as many elements.
    pub(super) fn rearranged(
        &mut self,
        c: &Context<'_>,
        known: &Known,
        from: &[usize],
        perm: &[usize],
        shape: &[usize],
    ) -> Result<Known, ImportError> {
        let (dims, steps) = (perm.iter().map(|&axis| from[axis]).collect::<Vec<_>>(), steps(from));
        let strides: Vec<i64> = perm.iter().map(|&axis| steps[axis] as i64).collect();
        self.strided(c, known, (&dims, &strides, 0), shape)
    }

    /// What a walk over axes `dims` in `strides` from element `first` on reads, under a shape.
    pub(super) fn strided(
        &mut self,
        c: &Context<'_>,
        known: &Known,
        (dims, strides, first): (&[usize], &[i64], usize),
        shape: &[usize],
    ) -> Result<Known, ImportError> {
        if c.elements(shape)? == 0 {
            return Ok(self.empty_like(known, shape));
        }
        let (dims, strides) = simplest(dims, strides);
        let length = self.count(known);
        if (dims.is_empty() && length == 1) || (dims == [length] && strides == [1]) {
            return self.reshaped(c, known, shape);
        }
        match known {
            Known::Value(_) => self.push(c, FloatOp::View { dims, strides, first }, &[known], shape),
            Known::Constant(constant) => Ok(Known::Constant(constant.moved(shape.to_vec(), |places| view(&dims, &strides, first, places)))),
        }
    }

    /// From `starts` on `lengths` elements along each axis, `step` apart.
    pub(super) fn sliced(
        &mut self,
        c: &Context<'_>,
        known: &Known,
        starts: &[usize],
        lengths: &[usize],
        step: &[i64],
    ) -> Result<Known, ImportError> {
        let steps = steps(self.shape(known));
        let first = starts.iter().zip(&steps).map(|(start, step)| start * step).sum();
        let strides: Vec<i64> = step.iter().zip(&steps).map(|(&step, &size)| step.saturating_mul(size as i64)).collect();
        self.strided(c, known, (lengths, &strides, first), lengths)
    }

    /// Repeated to a shape that its own broadcasts to.
    pub(super) fn expanded(&mut self, c: &Context<'_>, known: &Known, shape: &[usize]) -> Result<Known, ImportError> {
        let from = self.shape(known).to_vec();
        let extra = shape.len() - from.len();
        let steps = steps(&from);
        let stride = |axis: usize| match axis.checked_sub(extra) {
            Some(axis) if from[axis] != 1 => steps[axis] as i64,
            _ => 0,
        };
        let strides: Vec<i64> = (0..shape.len()).map(stride).collect();
        self.strided(c, known, (shape, &strides, 0), shape)
    }

    /// What `indices` along an axis read.
    pub(super) fn gathered(&mut self, c: &Context<'_>, known: &Known, axis: usize, indices: &[usize]) -> Result<Known, ImportError> {
        let from = self.shape(known).to_vec();
        let mut shape = from.clone();
        shape[axis] = indices.len();
        if c.elements(&shape)? == 0 {
            return Ok(self.empty_like(known, &shape));
        }
        if indices.len() == from[axis] && indices.iter().enumerate().all(|(position, &index)| position == index) {
            return Ok(known.clone());
        }
        match known {
            Known::Value(_) => self.push(c, FloatOp::Gather { axis, indices: indices.to_vec() }, &[known], &shape),
            Known::Constant(constant) => Ok(Known::Constant(constant.moved(shape, |places| gather(axis, indices, &from, places)))),
        }
    }

    /// The elements at `indices`, one per element of `shape`, counted through all the parts. It is a View where a walk says it, else a
    /// Gather of the largest blocks that stay together.
    pub(super) fn moved(&mut self, c: &Context<'_>, parts: &[&Known], indices: &[usize], shape: &[usize]) -> Result<Known, ImportError> {
        if c.elements(shape)? == 0 {
            return Ok(self.empty_like(parts[0], shape));
        }
        // Of several parts the first alone is often all that is read.
        let first = self.count(parts[0]);
        let parts = if indices.iter().all(|&index| index < first) { &parts[..1] } else { parts };
        let mut flat = Vec::with_capacity(parts.len());
        for part in parts {
            let count = self.count(part);
            flat.push(self.reshaped(c, part, &[count])?);
        }
        let source = self.joined(c, &flat, 0)?;
        if let Known::Constant(constant) = &source {
            return Ok(Known::Constant(constant.moved(shape.to_vec(), |places| indices.iter().map(|&index| places[index]).collect())));
        }
        if let Some((dims, strides)) = walk(indices) {
            return self.strided(c, &source, (&dims, &strides, indices[0]), shape);
        }
        let length = self.count(&source);
        let size = block(indices, length);
        let blocks = if size == 1 { source } else { self.reshaped(c, &source, &[length / size, size])? };
        let indices: Vec<usize> = indices.iter().step_by(size).map(|index| index / size).collect();
        let picked = self.gathered(c, &blocks, 0, &indices)?;
        self.reshaped(c, &picked, shape)
    }

    /// Joined along an axis. What has no element is left out.
    pub(super) fn joined(&mut self, c: &Context<'_>, parts: &[Known], axis: usize) -> Result<Known, ImportError> {
        let shapes: Vec<Vec<usize>> = parts.iter().map(|known| self.shape(known).to_vec()).collect();
        let mut shape = shapes[0].clone();
        for other in &shapes[1..] {
            if other.len() != shape.len() || (0..shape.len()).any(|i| i != axis && other[i] != shape[i]) {
                return Err(c.wrong(format!("its shapes {:?} and {other:?} cannot be joined along axis {axis}", shapes[0])));
            }
            shape[axis] = shape[axis].checked_add(other[axis]).ok_or_else(|| c.wrong("its output is too large"))?;
        }
        let (filled, shapes): (Vec<&Known>, Vec<&[usize]>) =
            parts.iter().zip(&shapes).filter(|(_, shape)| !shape.contains(&0)).map(|(known, shape)| (known, shape.as_slice())).unzip();
        if let [] | [_] = filled[..] {
            return Ok(filled.first().map_or_else(|| self.empty_like(&parts[0], &shape), |&known| known.clone()));
        }
        c.elements(&shape)?;
        // Constants stay what they are: integers of 64 bits, and a mask's infinite numbers.
        let constants: Option<Vec<&Constant>> = filled.iter().map(|known| known.constant()).collect();
        if let Some(constants) = constants {
            let ints: Option<Vec<&[i64]>> = constants.iter().map(|constant| constant.elements.ints()).collect();
            if let Some(ints) = ints {
                return Ok(Known::Constant(Constant::ints(shape, concat(axis, &shapes, &ints))));
            }
            let floats: Option<Vec<&[f64]>> = constants.iter().map(|constant| constant.elements.floats()).collect();
            if let Some(floats) = floats {
                return Ok(Known::Constant(Constant::floats(shape, concat(axis, &shapes, &floats))));
            }
        }
        self.push(c, FloatOp::Concat { axis }, &filled, &shape)
    }
}

/// Arithmetic, with broadcasting.
impl Importer<'_> {
    /// The shape that several broadcast to.
    pub(super) fn common_shape(&self, c: &Context<'_>, all: &[&Known]) -> Result<Vec<usize>, ImportError> {
        let mut shape = Vec::new();
        for known in all {
            let other = self.shape(known);
            shape =
                broadcast::shape(&shape, other).ok_or_else(|| c.wrong(format!("its shapes {shape:?} and {other:?} do not broadcast")))?;
        }
        c.checked(&shape, "output")?;
        Ok(shape)
    }

    /// `Σ factor·term + bias`.
    pub(super) fn sum(&mut self, c: &Context<'_>, terms: &[(&Known, f64)], bias: f64) -> Result<Known, ImportError> {
        let all: Vec<&Known> = terms.iter().map(|(known, _)| *known).collect();
        let shape = self.common_shape(c, &all)?;
        let is_real = all.iter().any(|known| self.is_real(known));
        let mut biases = vec![bias];
        let mut values: Vec<(Known, f64)> = Vec::new();
        for (index, &(known, factor)) in terms.iter().enumerate() {
            match known {
                // Constants are the bias, but a sum is of one thing at least.
                Known::Constant(constant)
                    if !values.is_empty() || terms[index + 1..].iter().any(|(known, _)| known.constant().is_none()) =>
                {
                    let list = spread(c, constant, &shape)?;
                    if biases.len() < list.len() {
                        biases = vec![biases[0]; list.len()];
                    }
                    for (element, sum) in biases.iter_mut().enumerate() {
                        *sum += factor * if list.len() == 1 { list[0] } else { list[element] };
                    }
                }
                _ => values.push((self.expanded(c, known, &shape)?, factor)),
            }
        }
        let values: Vec<(&Known, Vec<f64>)> = values.iter().map(|(known, factor)| (known, vec![*factor])).collect();
        let output = self.weighted(c, &values, &biases)?;
        Ok(if is_real { self.of_kind(output, Kind::Real) } else { output })
    }

    pub(super) fn plus(&mut self, c: &Context<'_>, x: &Known, y: &Known) -> Result<Known, ImportError> {
        self.sum(c, &[(x, 1.0), (y, 1.0)], 0.0)
    }

    pub(super) fn minus(&mut self, c: &Context<'_>, x: &Known, y: &Known) -> Result<Known, ImportError> {
        self.sum(c, &[(x, 1.0), (y, -1.0)], 0.0)
    }

    pub(super) fn negated(&mut self, c: &Context<'_>, x: &Known) -> Result<Known, ImportError> {
        self.sum(c, &[(x, -1.0)], 0.0)
    }

    /// `Σ factors·term + bias` of terms of one shape; each list is one number for all elements or one per element.
    pub(super) fn weighted(&mut self, c: &Context<'_>, terms: &[(&Known, Vec<f64>)], bias: &[f64]) -> Result<Known, ImportError> {
        let shape = self.shape(terms[0].0).to_vec();
        let by_index = |list: &[f64], axis: usize| if list.len() == 1 { Some(list.to_vec()) } else { along(list, &shape, axis) };
        for axis in 0..shape.len() {
            let all: Option<Vec<_>> = terms.iter().map(|(known, list)| Some((*known, by_index(list, axis)?))).collect();
            if let (Some(terms), Some(bias)) = (all, by_index(bias, axis)) {
                return self.weighted_along(c, axis, &terms, bias);
            }
        }
        // Numbers that vary along several axes, or no axis to write the sum along.
        let flat = [shape.iter().product()];
        let mut all = Vec::with_capacity(terms.len());
        for (known, list) in terms {
            all.push((self.reshaped(c, known, &flat)?, list.clone()));
        }
        let all: Vec<(&Known, Vec<f64>)> = all.iter().map(|(known, list)| (known, list.clone())).collect();
        let output = self.weighted_along(c, 0, &all, bias.to_vec())?;
        self.reshaped(c, &output, &shape)
    }

    /// As [`Importer::weighted`], each list being one number for all elements or one per index of an axis.
    pub(super) fn weighted_along(
        &mut self,
        c: &Context<'_>,
        axis: usize,
        terms: &[(&Known, Vec<f64>)],
        bias: Vec<f64>,
    ) -> Result<Known, ImportError> {
        let (inputs, coefficients): (Vec<&Known>, Vec<Vec<f64>>) = terms.iter().map(|(known, list)| (*known, list.clone())).unzip();
        self.each(c, FloatOp::Affine { axis, coefficients, bias }, &inputs)
    }

    /// Element-wise product; one by a constant is linear.
    pub(super) fn product(&mut self, c: &Context<'_>, x: &Known, y: &Known) -> Result<Known, ImportError> {
        let shape = self.common_shape(c, &[x, y])?;
        let is_real = self.is_real(x) || self.is_real(y);
        let output = match (x, y) {
            (factor, Known::Constant(constant)) | (Known::Constant(constant), factor) => {
                let factor = self.expanded(c, factor, &shape)?;
                self.weighted(c, &[(&factor, spread(c, constant, &shape)?)], &[0.0])?
            }
            _ => {
                let (x, y) = (self.expanded(c, x, &shape)?, self.expanded(c, y, &shape)?);
                self.each(c, FloatOp::Product, &[&x, &y])?
            }
        };
        Ok(if is_real { self.of_kind(output, Kind::Real) } else { output })
    }

    /// `x / y` of real numbers, y being positive, and no less than `least` by the way it is made.
    pub(super) fn ratio(&mut self, c: &Context<'_>, x: &Known, y: &Known, least: f64) -> Result<Known, ImportError> {
        let shape = self.common_shape(c, &[x, y])?;
        let (x, y) = (self.expanded(c, x, &shape)?, self.expanded(c, y, &shape)?);
        self.push_as(c, FloatOp::Divide { least_divisor: least }, &[&x, &y], &shape, Kind::Real)
    }

    /// Element-wise larger one. By one real number for all elements it is a bound.
    pub(super) fn maximum(&mut self, c: &Context<'_>, x: &Known, y: &Known) -> Result<Known, ImportError> {
        self.extreme(c, x, y, true)
    }

    /// Element-wise larger or smaller one.
    pub(super) fn extreme(&mut self, c: &Context<'_>, x: &Known, y: &Known, largest: bool) -> Result<Known, ImportError> {
        let shape = self.common_shape(c, &[x, y])?;
        for (value, bound) in [(x, y), (y, x)] {
            if value.constant().is_none()
                && self.is_real(value)
                && let Some(bound) = bound.constant().and_then(Constant::uniform).filter(|bound| bound.is_finite())
            {
                let value = self.expanded(c, value, &shape)?;
                let op = match largest {
                    true if bound == 0.0 => FloatOp::Relu,
                    true => FloatOp::Clip { min: bound, max: f64::INFINITY },
                    false => FloatOp::Clip { min: f64::NEG_INFINITY, max: bound },
                };
                return self.each(c, op, &[&value]);
            }
        }
        let are_boolean = [x, y].iter().all(|known| self.kind(known) == Kind::Boolean);
        let (mut x, mut y) = (self.expanded(c, x, &shape)?, self.expanded(c, y, &shape)?);
        if !largest {
            (x, y) = (self.negated(c, &x)?, self.negated(c, &y)?);
        }
        let mut output = self.each(c, FloatOp::Maximum, &[&x, &y])?;
        if !largest {
            output = self.negated(c, &output)?;
        }
        Ok(if are_boolean { self.of_kind(output, Kind::Boolean) } else { output })
    }

    /// `max(x, 0)`.
    pub(super) fn relu(&mut self, c: &Context<'_>, x: &Known) -> Result<Known, ImportError> {
        let zero = self.number_like(x, 0.0);
        self.maximum(c, x, &zero)
    }

    /// `|x|`, the larger one of x and −x.
    pub(super) fn magnitude(&mut self, c: &Context<'_>, x: &Known) -> Result<Known, ImportError> {
        if self.sign(x) >= Sign::NonNegative {
            return Ok(x.clone());
        }
        let opposite = self.negated(c, x)?;
        self.maximum(c, x, &opposite)
    }

    /// 1 where an element is not negative, else 0.
    pub(super) fn step(&mut self, c: &Context<'_>, x: &Known) -> Result<Known, ImportError> {
        self.each(c, FloatOp::Step, &[x])
    }

    /// `1 − x` of truth values.
    pub(super) fn not(&mut self, c: &Context<'_>, x: &Known) -> Result<Known, ImportError> {
        let output = self.sum(c, &[(x, -1.0)], 1.0)?;
        Ok(self.of_kind(output, Kind::Boolean))
    }

    /// Each row of as many numbers as there are weights per bias, times the weights by output.
    pub(super) fn dense(
        &mut self,
        c: &Context<'_>,
        x: &Known,
        weights: Vec<f64>,
        bias: Vec<f64>,
        shape: &[usize],
    ) -> Result<Known, ImportError> {
        let n = bias.len();
        let k = weights.len() / n;
        let rows = self.count(x) / k;
        c.check_work(&[rows, k, n])?;
        self.push(c, FloatOp::Dense { rows, k, n, weights, bias }, &[x], shape)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn walks_are_found_where_there_is_one() {
        let all: Vec<usize> = (0..120).collect();
        let tiled: Vec<usize> = [0, 1, 2, 0, 1, 2, 3, 4, 5, 3, 4, 5].into();
        let reversed: Vec<usize> = all.iter().rev().copied().collect();
        let turned = transpose(&[3, 0, 2, 1], &[2, 3, 4, 5], &all);
        for list in [all[7..8].to_vec(), all.clone(), vec![5; 6], tiled, reversed, turned] {
            let (dims, strides) = walk(&list).unwrap();
            assert_eq!(view(&dims, &strides, list[0], &all), list, "{dims:?} {strides:?}");
            assert_eq!(simplest(&dims, &strides), (dims, strides));
        }
        for list in [vec![0, 1, 3], vec![0, 1, 2, 4, 5], vec![0, 1, 5, 6, 9, 10]] {
            assert_eq!(walk(&list), None, "{list:?}");
        }
    }

    #[test]
    fn axes_of_a_walk_join_and_lone_ones_go() {
        assert_eq!(simplest(&[2, 1, 3, 4], &[12, 99, 4, 1]), (vec![24], vec![1]));
        assert_eq!(simplest(&[2, 3], &[0, 1]), (vec![2, 3], vec![0, 1]));
        assert_eq!(simplest(&[1, 1], &[i64::MIN, 7]), (vec![], vec![]));
    }

    #[test]
    fn blocks_are_the_largest_that_stay_together() {
        for (list, length, size) in [
            (vec![4, 5, 6, 7, 0, 1, 2, 3], 8, 4),
            (vec![4, 5, 6, 7, 2, 3], 8, 2),
            (vec![4, 5, 6, 7, 1, 2], 8, 1),
            (vec![4, 5, 6, 7, 0, 1, 2, 3], 9, 1),
            (vec![0, 1, 2, 3], 8, 4),
            (vec![3, 3], 4, 1),
        ] {
            assert_eq!(block(&list, length), size, "{list:?}");
        }
    }
}
