//! Operators that only move elements.

use super::emit::{Builder, Emitted};
use super::{QuantiseError, Scales, compact, spread};
use crate::float::{FloatNode, FloatOp};
use zkslice_graph::{Concat, Gather, Op, Reshape, TensorId, Transpose, View};

impl Builder<'_> {
    pub(super) fn emit_move(
        &mut self,
        name: &str,
        node: &FloatNode,
        tensor: String,
        shape: Vec<usize>,
        target: Option<Scales>,
    ) -> Result<Emitted, QuantiseError> {
        let mut inputs = Vec::with_capacity(node.inputs.len());
        // Constants take the scale of what stands beside them.
        let other = node.inputs.iter().find(|&&id| self.constant(id).is_none()).copied();
        let other = other.map(|id| self.value(id)).transpose()?.filter(|value| value.scales.len() == 1 && value.bounds.is_some());
        for &id in &node.inputs {
            inputs.push(match &other {
                Some(other) if self.constant(id).is_some() => self.constant_at(id, other.scales[0])?,
                _ => self.value(id)?,
            });
        }
        if inputs.windows(2).any(|pair| pair[0].scales != pair[1].scales) {
            // Products of several scales are narrow enough to be brought to one, later, one by one alone.
            for (position, input) in inputs.iter_mut().enumerate().filter(|(_, input)| input.product) {
                *input = self.narrow(node.inputs[position])?;
            }
        }
        let target = target.filter(|_| inputs.iter().any(|input| input.bounds.is_none()));
        if let Some(target) = &target {
            // Fixed inputs among accumulators take the accumulators' scale.
            for (position, input) in inputs.iter_mut().enumerate().filter(|(_, input)| input.bounds.is_some()) {
                let label = format!("{name}/scale{position}");
                if input.product {
                    *input = self.narrow(node.inputs[position])?;
                }
                *input = self.rescale(&label, input, &target[..1])?;
            }
        }
        let tensors: Vec<TensorId> = inputs.iter().map(|input| input.tensor).collect();
        let (op, scales) = match &node.op {
            FloatOp::Transpose { perm } => {
                let scales = &inputs[0].scales;
                let scales =
                    if scales.len() == 1 { scales.clone() } else { zkslice_graph::transpose(perm, self.shape(node.inputs[0]), scales) };
                (Op::Transpose(Transpose { perm: perm.clone() }), scales)
            }
            FloatOp::Concat { axis } => {
                let lists: Vec<Scales> =
                    inputs.iter().zip(&node.inputs).map(|(input, &id)| spread(&input.scales, self.float().values[id].len())).collect();
                let slices: Vec<&[f64]> = lists.iter().map(Vec::as_slice).collect();
                let shapes: Vec<&[usize]> = node.inputs.iter().map(|&id| self.shape(id)).collect();
                (Op::Concat(Concat { axis: *axis }), compact(zkslice_graph::concat(*axis, &shapes, &slices)))
            }
            FloatOp::View { dims, strides, first } => {
                let scales = &inputs[0].scales;
                let scales = if scales.len() == 1 { scales.clone() } else { compact(zkslice_graph::view(dims, strides, *first, scales)) };
                (Op::View(View { dims: dims.clone(), strides: strides.clone(), first: *first }), scales)
            }
            FloatOp::Gather { axis, indices } => {
                let scales = &inputs[0].scales;
                let scales = match scales.len() {
                    1 => scales.clone(),
                    _ => compact(zkslice_graph::gather(*axis, indices, self.shape(node.inputs[0]), scales)),
                };
                (Op::Gather(Gather { axis: *axis, indices: indices.clone() }), scales)
            }
            _ => (Op::Reshape(Reshape), inputs[0].scales.clone()),
        };
        let bounds = inputs.iter().map(|input| input.bounds).reduce(|a, b| Some((a?.0.min(b?.0), a?.1.max(b?.1)))).flatten();
        let product = bounds.is_some() && inputs.iter().any(|input| input.product);
        let scales = target.unwrap_or(scales);
        let tensor = self.node(name.to_owned(), op, tensors, tensor, shape);
        Ok(Emitted { tensor, scales, bounds, product })
    }
}
