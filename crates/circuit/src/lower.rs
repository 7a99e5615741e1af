//! From an integer graph to gadget calls.

use ark_bn254::Fr;
use zkslice_graph::{Graph, Node, Op, Port};

use crate::gadgets::{self, DigitTables};
use crate::{Builder, Circuit, CircuitError, Shape, Trace, Witness};

/// How a tensor at a slice's border is bound to the outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binding {
    /// Public words, bound by the fingerprint at the challenge.
    Words,
    /// A salted commitment: a public input.
    Commitment {
        /// Whether it starts from the owner too (a private input of the model).
        owner: bool,
    },
}

/// A graph with the bindings of its inputs and outputs: everything that fixes a slice's circuit.
#[derive(Clone, Copy, Debug)]
pub struct SliceShape<'a> {
    /// The slice's graph.
    pub graph: &'a Graph,
    /// A binding an input.
    pub inputs: &'a [Binding],
    /// A binding an output.
    pub outputs: &'a [Binding],
}

impl SliceShape<'_> {
    /// Whether the slice reads a private input, and so has the owner as its second public input.
    pub fn has_owner(&self) -> bool {
        self.inputs.iter().chain(self.outputs).any(|binding| matches!(binding, Binding::Commitment { owner: true }))
    }
}

/// The values of one inference of a slice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SliceValues {
    /// Integers of every input.
    pub inputs: Vec<Vec<i64>>,
    /// The context, x_1.
    pub context: Fr,
    /// The owner, where an input is private.
    pub owner: Fr,
    /// One salt for each commitment, inputs first.
    pub salts: Vec<Fr>,
    /// The commitments, inputs first.
    pub commitments: Vec<Fr>,
}

/// The constraints of a slice.
///
/// # Errors
/// [`CircuitError`] where a gadget's conditions on its arguments are not met: a graph that cannot be proven.
pub fn shape_of(slice: SliceShape<'_>) -> Result<Circuit, CircuitError> {
    let mut shape = Shape::new();
    lower(&mut shape, slice, None)?;
    Ok(shape.finish())
}

/// The witness of a slice, and its outputs.
///
/// # Errors
/// [`CircuitError::OutOfRange`] where the input saturates a node; [`CircuitError::Arity`].
pub fn trace_of(slice: SliceShape<'_>, values: &SliceValues) -> Result<(Witness, Vec<Vec<i64>>), CircuitError> {
    let mut trace = Trace::new();
    let outputs = lower(&mut trace, slice, Some(values))?;
    Ok((trace.finish(), outputs))
}

/// Lowers a slice over any builder; returns its outputs.
///
/// Public inputs, in this order: context; owner, if an input is private; one commitment for each committed input, then
/// output. Public words: inputs, then outputs, in the slice's order.
///
/// # Errors
/// As [`shape_of`] and [`trace_of`].
pub fn lower<B: Builder>(b: &mut B, slice: SliceShape<'_>, values: Option<&SliceValues>) -> Result<Vec<Vec<B::Int>>, CircuitError> {
    let graph = slice.graph;
    let bindings: Vec<Binding> = slice.inputs.iter().chain(slice.outputs).copied().collect();
    let committed = bindings.iter().filter(|binding| **binding != Binding::Words).count();
    arity("input bindings", graph.inputs.len(), slice.inputs.len())?;
    arity("output bindings", graph.outputs.len(), slice.outputs.len())?;
    if let Some(values) = values {
        arity("inputs", graph.inputs.len(), values.inputs.len())?;
        arity("salts", committed, values.salts.len())?;
        arity("commitments", committed, values.commitments.len())?;
        for (port, input) in graph.inputs.iter().zip(&values.inputs) {
            arity("input values", graph.tensors[port.tensor].len(), input.len())?;
        }
    }

    b.public(values.map(|v| v.context));
    let owner = slice.has_owner().then(|| b.public(values.map(|v| v.owner)));
    let mut commitments = (0..committed).map(|i| b.public(values.map(|v| v.commitments[i]))).collect::<Vec<_>>().into_iter();
    let mut salts = (0..committed).map(|i| values.map(|v| v.salts[i]));

    let w = graph.table_bits;
    let digits: Vec<_> = graph.inputs.iter().map(|port| (graph.tensors[port.tensor].len(), port.encoding.bits)).collect();
    let tables = DigitTables::choose(&digits, w);
    let mut tensors: Vec<Option<Vec<B::Int>>> = vec![None; graph.tensors.len()];
    let mut bind = |b: &mut B, binding: Binding, port: &Port, digits: &[B::Int]| -> Result<(), CircuitError> {
        let words = gadgets::pack(b, digits, port.encoding.bits)?;
        match binding {
            Binding::Words => words.iter().for_each(|word| b.public_word(word)),
            Binding::Commitment { owner: owned } => {
                let (Some(commitment), Some(salt)) = (commitments.next(), salts.next()) else {
                    return Err(CircuitError::Arity { what: "commitments", expected: committed, got: 0 });
                };
                let salt = b.field_given(salt);
                let tag = gadgets::tensor_tag(digits.len(), port.encoding.bits);
                let hash = gadgets::commitment(b, &salt, tag, owner.as_ref().filter(|_| owned), &words)?;
                b.field_equal(&hash, &commitment);
            }
        }
        Ok(())
    };

    for (i, (port, binding)) in graph.inputs.iter().zip(slice.inputs).enumerate() {
        let zkslice_graph::Tensor { name, shape } = &graph.tensors[port.tensor];
        let digits = port
            .encoding
            .by_element(shape)
            .enumerate()
            .map(|(e, feature)| gadgets::digit(b, values.map(|v| v.inputs[i][e] + feature.offset), port.encoding.bits, &tables, w))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| error.at(name))?;
        bind(b, *binding, port, &digits)?;
        let integers = digits.iter().zip(port.encoding.by_element(shape));
        let integers = integers.map(|(digit, feature)| b.combine(&[(1, digit)], -feature.offset)).collect::<Result<_, _>>()?;
        tensors[port.tensor] = Some(integers);
    }
    for node in &graph.nodes {
        let output = lower_node(b, graph, node, &tensors).map_err(|error| error.at(&node.name))?;
        tensors[node.output] = Some(output);
    }
    let mut outputs = Vec::with_capacity(graph.outputs.len());
    for (port, binding) in graph.outputs.iter().zip(slice.outputs) {
        let integers = tensors[port.tensor].clone().ok_or_else(|| missing(graph, port.tensor))?;
        let features = port.encoding.by_element(&graph.tensors[port.tensor].shape);
        let digits = integers.iter().zip(features).map(|(integer, feature)| b.combine(&[(1, integer)], feature.offset));
        let digits = digits.collect::<Result<Vec<_>, _>>()?;
        bind(b, *binding, port, &digits)?;
        outputs.push(integers);
    }
    Ok(outputs)
}

fn arity(what: &'static str, expected: usize, got: usize) -> Result<(), CircuitError> {
    if expected == got { Ok(()) } else { Err(CircuitError::Arity { what, expected, got }) }
}

fn missing(graph: &Graph, tensor: usize) -> CircuitError {
    CircuitError::Unsupported { gadget: graph.tensors[tensor].name.clone(), reason: "the tensor is read before it is written".into() }
}

fn lower_node<B: Builder>(b: &mut B, graph: &Graph, node: &Node, tensors: &[Option<Vec<B::Int>>]) -> Result<Vec<B::Int>, CircuitError> {
    let w = graph.table_bits;
    let inputs = node.inputs.iter().map(|t| tensors[*t].as_deref().ok_or_else(|| missing(graph, *t))).collect::<Result<Vec<_>, _>>()?;
    let first = *inputs.first().ok_or(CircuitError::Arity { what: "inputs of a node", expected: 1, got: 0 })?;
    match &node.op {
        Op::Conv(_) | Op::Dense(_) | Op::SumPool(_) | Op::Affine(_) => b.linear(graph, node, &inputs),
        Op::Requant { shift } => first.iter().map(|acc| gadgets::requantise(b, acc, *shift, w)).collect(),
        Op::Relu { shift } => first.iter().map(|acc| gadgets::relu(b, acc, *shift, w)).collect(),
        Op::Clip { min, max, limbs } => first.iter().map(|x| gadgets::clip(b, x, *min, *max, *limbs, w)).collect(),
        Op::MaxPool { window, limbs } => {
            let [channels, height, width] = window.input;
            let [out_height, out_width] = window.output;
            let mut outputs = Vec::with_capacity(channels * out_height * out_width);
            for (channel, y, x) in (0..channels).flat_map(|c| (0..out_height).flat_map(move |y| (0..out_width).map(move |x| (c, y, x)))) {
                let mut taps = window.taps(y, x).map(|(_, _, row, column)| &first[(channel * height + row) * width + column]);
                let start = taps.next().cloned().ok_or_else(|| CircuitError::Unsupported {
                    gadget: "max pool".into(),
                    reason: "a window lies wholly in the padding".into(),
                })?;
                outputs.push(taps.try_fold(start, |best, tap| gadgets::max(b, &best, tap, *limbs, w))?);
            }
            Ok(outputs)
        }
        Op::Reshape => Ok(first.to_vec()),
        Op::Transpose { perm } => Ok(zkslice_graph::transpose(perm, &graph.tensors[node.inputs[0]].shape, first)),
        Op::Concat { axis } => {
            let shapes: Vec<_> = node.inputs.iter().map(|t| graph.tensors[*t].shape.as_slice()).collect();
            Ok(zkslice_graph::concat(*axis, &shapes, &inputs))
        }
    }
}
