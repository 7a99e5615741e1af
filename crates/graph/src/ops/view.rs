//! Elements moved, none changed.

use serde::{Deserialize, Serialize};
use zkslice_circuit::{Builder, CircuitError};

use super::{Checked, Part, Primitive, Site, Stretch};
use crate::check::{Interval, limits};
use crate::execute::ExecuteError;

/// The same elements under another shape.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reshape;

impl Primitive for Reshape {
    fn check(&self, site: &Site<'_>, inputs: &[Interval]) -> Result<Checked, String> {
        if site.inputs[0].len() != site.output.len() {
            return Err(format!("{} elements cannot take shape {:?}", site.inputs[0].len(), site.output.shape));
        }
        Ok(Checked { interval: inputs[0], work: site.output.len() as u128 })
    }

    fn part(&self, _: &Site<'_>, of: &Stretch) -> Option<Part> {
        Some(Part::reading(Reshape, of.clone()))
    }

    fn evaluate(&self, _: &Site<'_>, inputs: &[&[i64]]) -> Result<Vec<i64>, ExecuteError> {
        Ok(inputs[0].to_vec())
    }

    fn constrain<B: Builder>(&self, _: &mut B, _: &Site<'_>, inputs: &[&[B::Int]]) -> Result<Vec<B::Int>, CircuitError> {
        Ok(inputs[0].to_vec())
    }
}

/// Output axis i is input axis `perm[i]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transpose {
    /// The permutation.
    pub perm: Vec<usize>,
}

impl Primitive for Transpose {
    fn check(&self, site: &Site<'_>, inputs: &[Interval]) -> Result<Checked, String> {
        let (perm, shape) = (&self.perm, &site.inputs[0].shape);
        let mut seen = vec![false; shape.len()];
        for &axis in perm {
            if seen.get(axis) != Some(&false) {
                return Err(format!("{perm:?} is not a permutation of the input's axes"));
            }
            seen[axis] = true;
        }
        if perm.len() != seen.len() {
            return Err(format!("{perm:?} is not a permutation of the input's axes"));
        }
        site.output_is(&perm.iter().map(|&axis| shape[axis]).collect::<Vec<_>>())?;
        Ok(Checked { interval: inputs[0], work: site.output.len() as u128 })
    }

    fn part(&self, site: &Site<'_>, of: &Stretch) -> Option<Part> {
        // The same axes, all but one of them whole.
        let input = Stretch::along(&site.inputs[0].shape, *self.perm.get(of.axis)?, of.range.clone());
        Some(Part::reading(self.clone(), input))
    }

    fn evaluate(&self, site: &Site<'_>, inputs: &[&[i64]]) -> Result<Vec<i64>, ExecuteError> {
        Ok(transpose(&self.perm, &site.inputs[0].shape, inputs[0]))
    }

    fn constrain<B: Builder>(&self, _: &mut B, site: &Site<'_>, inputs: &[&[B::Int]]) -> Result<Vec<B::Int>, CircuitError> {
        Ok(transpose(&self.perm, &site.inputs[0].shape, inputs[0]))
    }
}

/// Inputs joined along an axis.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Concat {
    /// The axis.
    pub axis: usize,
}

impl Primitive for Concat {
    const INPUTS: Option<usize> = None;

    fn check(&self, site: &Site<'_>, inputs: &[Interval]) -> Result<Checked, String> {
        let axis = self.axis;
        let first = site.inputs[0];
        let mut shape = first.shape.clone();
        if axis >= shape.len() {
            return Err(format!("there is no axis {axis}"));
        }
        let mut joined = inputs[0];
        for (tensor, interval) in site.inputs.iter().zip(inputs).skip(1) {
            let fits = tensor.shape.len() == shape.len()
                && tensor.shape.iter().zip(&first.shape).enumerate().all(|(a, (x, y))| a == axis || x == y);
            if !fits {
                return Err(format!("shapes {:?} and {:?} cannot be joined along axis {axis}", first.shape, tensor.shape));
            }
            shape[axis] += tensor.shape[axis];
            joined = joined.join(*interval);
        }
        site.output_is(&shape)?;
        Ok(Checked { interval: joined, work: site.output.len() as u128 })
    }

    /// Of each input what the stretch has of it.
    fn part(&self, site: &Site<'_>, of: &Stretch) -> Option<Part> {
        if of.axis != self.axis {
            let of_input = |(input, shape): (usize, &[usize])| (input, Stretch::along(shape, of.axis, of.range.clone()));
            return Some(Part { op: self.clone().into(), inputs: site.input_shapes().into_iter().enumerate().map(of_input).collect() });
        }
        let mut inputs = Vec::new();
        let mut first = 0;
        for (input, shape) in site.input_shapes().into_iter().enumerate() {
            let end = first + shape[self.axis];
            let range = of.range.start.max(first)..of.range.end.min(end);
            if range.start < range.end {
                inputs.push((input, Stretch::along(shape, self.axis, range.start - first..range.end - first)));
            }
            first = end;
        }
        Some(Part { op: self.clone().into(), inputs })
    }

    fn evaluate(&self, site: &Site<'_>, inputs: &[&[i64]]) -> Result<Vec<i64>, ExecuteError> {
        Ok(concat(self.axis, &site.input_shapes(), inputs))
    }

    fn constrain<B: Builder>(&self, _: &mut B, site: &Site<'_>, inputs: &[&[B::Int]]) -> Result<Vec<B::Int>, CircuitError> {
        Ok(concat(self.axis, &site.input_shapes(), inputs))
    }
}

/// Output element `(i_0, …, i_r)` of axes as long as `dims` says, in row-major order, is input element `first + Σ strides_k·i_k`:
/// slices, expansions, tiles, transpositions and what follows from several of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct View {
    /// Lengths of the axes that it walks; as many elements as the output has.
    pub dims: Vec<usize>,
    /// Steps in the input, by axis.
    pub strides: Vec<i64>,
    /// Input element of the first output element.
    pub first: usize,
}

impl Primitive for View {
    fn check(&self, site: &Site<'_>, inputs: &[Interval]) -> Result<Checked, String> {
        if self.dims.len() != self.strides.len() || self.dims.len() > 2 * limits::MAX_RANK {
            return Err(format!(
                "{} axes and {} strides; as many of each, and at most {}, are needed",
                self.dims.len(),
                self.strides.len(),
                2 * limits::MAX_RANK
            ));
        }
        let count = self.dims.iter().try_fold(1_usize, |product, &dim| product.checked_mul(dim));
        if count != Some(site.output.len()) {
            return Err(format!("axes {:?} have not as many elements as the output", self.dims));
        }
        // Along an axis of length 1 no step is taken, but the walk adds it up.
        if let Some(stride) = self.strides.iter().find(|stride| stride.unsigned_abs() > limits::MAX_ELEMENTS as u64) {
            return Err(format!("stride {stride} is longer than any tensor"));
        }
        let (mut least, mut most) = (self.first as i128, self.first as i128);
        for (&dim, &stride) in self.dims.iter().zip(&self.strides) {
            let end = i128::from(stride) * (dim as i128 - 1);
            (least, most) = (least + end.min(0), most + end.max(0));
        }
        if least < 0 || most >= site.inputs[0].len() as i128 {
            return Err(format!("it reads elements {least} to {most} of {}", site.inputs[0].len()));
        }
        Ok(Checked { interval: inputs[0], work: site.output.len() as u128 })
    }

    fn evaluate(&self, _: &Site<'_>, inputs: &[&[i64]]) -> Result<Vec<i64>, ExecuteError> {
        Ok(view(&self.dims, &self.strides, self.first, inputs[0]))
    }

    fn constrain<B: Builder>(&self, _: &mut B, _: &Site<'_>, inputs: &[&[B::Int]]) -> Result<Vec<B::Int>, CircuitError> {
        Ok(view(&self.dims, &self.strides, self.first, inputs[0]))
    }
}

/// `out[.., i, ..] = in[.., indices_i, ..]` along an axis.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gather {
    /// The axis.
    pub axis: usize,
    /// What each index along it reads.
    pub indices: Vec<usize>,
}

impl Primitive for Gather {
    fn check(&self, site: &Site<'_>, inputs: &[Interval]) -> Result<Checked, String> {
        let mut shape = site.inputs[0].shape.clone();
        let length = *shape.get(self.axis).ok_or_else(|| format!("there is no axis {}", self.axis))?;
        if let Some(index) = self.indices.iter().find(|&&index| index >= length) {
            return Err(format!("index {index} is beyond axis {} of length {length}", self.axis));
        }
        shape[self.axis] = self.indices.len();
        site.output_is(&shape)?;
        Ok(Checked { interval: inputs[0], work: site.output.len() as u128 })
    }

    fn part(&self, site: &Site<'_>, of: &Stretch) -> Option<Part> {
        let shape = &site.inputs[0].shape;
        Some(if of.axis == self.axis {
            Part::reading(Gather { axis: self.axis, indices: self.indices[of.range.clone()].to_vec() }, Stretch::whole(shape))
        } else {
            Part::reading(self.clone(), Stretch::along(shape, of.axis, of.range.clone()))
        })
    }

    fn evaluate(&self, site: &Site<'_>, inputs: &[&[i64]]) -> Result<Vec<i64>, ExecuteError> {
        Ok(gather(self.axis, &self.indices, &site.inputs[0].shape, inputs[0]))
    }

    fn constrain<B: Builder>(&self, _: &mut B, site: &Site<'_>, inputs: &[&[B::Int]]) -> Result<Vec<B::Int>, CircuitError> {
        Ok(gather(self.axis, &self.indices, &site.inputs[0].shape, inputs[0]))
    }
}

/// See [`View`]; everything that it reads must be there.
pub fn view<T: Clone>(dims: &[usize], strides: &[i64], first: usize, input: &[T]) -> Vec<T> {
    let count = dims.iter().product();
    let mut index = vec![0_usize; dims.len()];
    let mut from = first as i64;
    let mut output = Vec::with_capacity(count);
    for _ in 0..count {
        output.push(input[from as usize].clone());
        for axis in (0..dims.len()).rev() {
            index[axis] += 1;
            from += strides[axis];
            if index[axis] < dims[axis] {
                break;
            }
            from -= strides[axis] * dims[axis] as i64;
            index[axis] = 0;
        }
    }
    output
}

/// See [`Gather`].
pub fn gather<T: Clone>(axis: usize, indices: &[usize], shape: &[usize], input: &[T]) -> Vec<T> {
    let inner: usize = shape[axis + 1..].iter().product();
    let mut output = Vec::with_capacity(input.len() / shape[axis] * indices.len());
    for block in input.chunks_exact(shape[axis] * inner) {
        for &index in indices {
            output.extend_from_slice(&block[index * inner..(index + 1) * inner]);
        }
    }
    output
}

/// `out[.., i_axis, ..]` with axis a of the output being axis `perm[a]` of `input`, whose shape is `shape`.
pub fn transpose<T: Clone>(perm: &[usize], shape: &[usize], input: &[T]) -> Vec<T> {
    let mut strides = vec![1_usize; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis] * shape[axis];
    }
    let dims: Vec<usize> = perm.iter().map(|&axis| shape[axis]).collect();
    let steps: Vec<usize> = perm.iter().map(|&axis| strides[axis]).collect();
    let mut index = vec![0_usize; dims.len()];
    let mut from = 0_usize;
    let mut output = Vec::with_capacity(input.len());
    for _ in 0..input.len() {
        output.push(input[from].clone());
        for axis in (0..dims.len()).rev() {
            index[axis] += 1;
            from += steps[axis];
            if index[axis] < dims[axis] {
                break;
            }
            from -= steps[axis] * dims[axis];
            index[axis] = 0;
        }
    }
    output
}

/// Inputs of the given shapes joined along `axis`.
pub fn concat<T: Clone>(axis: usize, shapes: &[&[usize]], inputs: &[&[T]]) -> Vec<T> {
    let outer: usize = shapes[0][..axis].iter().product();
    let mut output = Vec::with_capacity(inputs.iter().map(|input| input.len()).sum());
    for block in 0..outer {
        for (shape, input) in shapes.iter().zip(inputs) {
            let inner: usize = shape[axis..].iter().product();
            output.extend_from_slice(&input[block * inner..(block + 1) * inner]);
        }
    }
    output
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transpose_moves_axes() {
        let input: Vec<i64> = (0..24).collect();
        let output = transpose(&[2, 0, 1], &[2, 3, 4], &input);
        for i in 0..4 {
            for j in 0..2 {
                for k in 0..3 {
                    assert_eq!(output[(i * 2 + j) * 3 + k], input[(j * 3 + k) * 4 + i]);
                }
            }
        }
    }
}
