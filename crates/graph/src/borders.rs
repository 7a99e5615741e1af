//! A slice's circuit: its graph between borders, where integers are read from digits and bound to the outside.

use zkslice_circuit::gadgets::{self, Border, DigitTables};
pub use zkslice_circuit::gadgets::{Binding, BorderValues};
use zkslice_circuit::{Builder, Circuit, CircuitError, ConstraintBuilder, Witness, WitnessBuilder};

use crate::constrain::constrain;
use crate::model::{Graph, Tensor};

/// A graph with the bindings of its inputs and outputs: everything that fixes a slice's circuit.
#[derive(Clone, Copy, Debug)]
pub struct BoundGraph<'a> {
    /// The slice's graph.
    pub graph: &'a Graph,
    /// One binding per input.
    pub inputs: &'a [Binding],
    /// One binding per output.
    pub outputs: &'a [Binding],
}

impl BoundGraph<'_> {
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
    /// What binds it to the outside; salts of inputs come first.
    pub border: BorderValues,
}

/// The constraints of a slice.
///
/// # Errors
/// [`CircuitError`] where the graph does not validate, or a gadget's conditions on its arguments are not met.
pub fn build_circuit(slice: BoundGraph<'_>) -> Result<Circuit, CircuitError> {
    slice.graph.validate().map_err(|error| CircuitError::Unsupported { gadget: "graph".into(), reason: error.to_string() })?;
    let mut builder = ConstraintBuilder::new();
    build(&mut builder, slice, None)?;
    Ok(builder.finish())
}

/// The witness of a slice, whose public inputs are its commitments too, and its outputs.
///
/// # Errors
/// [`CircuitError::OutOfRange`] where the input saturates a node; [`CircuitError::Arity`]. The graph must validate.
pub fn build_witness(slice: BoundGraph<'_>, values: &SliceValues) -> Result<(Witness, Vec<Vec<i64>>), CircuitError> {
    let mut builder = WitnessBuilder::new();
    let outputs = build(&mut builder, slice, Some(values))?;
    Ok((builder.finish(), outputs))
}

/// Builds a slice over any builder; returns its outputs.
///
/// Its border is that of its inputs, then outputs, in the slice's order: see [`Border`].
///
/// # Errors
/// As [`build_circuit`] and [`build_witness`].
fn build<B: Builder>(b: &mut B, slice: BoundGraph<'_>, values: Option<&SliceValues>) -> Result<Vec<Vec<B::Int>>, CircuitError> {
    let graph = slice.graph;
    let bindings: Vec<Binding> = slice.inputs.iter().chain(slice.outputs).copied().collect();
    arity("input bindings", graph.inputs.len(), slice.inputs.len())?;
    arity("output bindings", graph.outputs.len(), slice.outputs.len())?;
    if let Some(values) = values {
        arity("inputs", graph.inputs.len(), values.inputs.len())?;
        for (port, input) in graph.inputs.iter().zip(&values.inputs) {
            arity("input values", graph.tensors[port.tensor].len(), input.len())?;
        }
    }

    let mut border = Border::open(b, &bindings, values.map(|values| &values.border))?;
    let w = graph.table_bits;
    let digits: Vec<_> = graph.inputs.iter().map(|port| (graph.tensors[port.tensor].len(), port.encoding.bits)).collect();
    let tables = DigitTables::choose(&digits, w);
    let mut inputs = Vec::with_capacity(graph.inputs.len());
    for (i, (port, binding)) in graph.inputs.iter().zip(slice.inputs).enumerate() {
        let Tensor { name, shape } = &graph.tensors[port.tensor];
        let digits = port
            .encoding
            .by_element(shape)
            .enumerate()
            .map(|(e, feature)| gadgets::digit(b, values.map(|v| feature.digit(v.inputs[i][e])), port.encoding.bits, &tables, w))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| error.at(name))?;
        border.bind(b, *binding, &digits, port.encoding.bits)?;
        let integers = digits.iter().zip(port.encoding.by_element(shape));
        inputs.push(integers.map(|(digit, feature)| b.combine(&[(1, digit)], -feature.offset)).collect::<Result<_, _>>()?);
    }
    let tensors = constrain(b, graph, inputs)?;
    let mut outputs = Vec::with_capacity(graph.outputs.len());
    for (port, binding) in graph.outputs.iter().zip(slice.outputs) {
        let integers = tensors[port.tensor].clone();
        let features = port.encoding.by_element(&graph.tensors[port.tensor].shape);
        let digits = integers.iter().zip(features).map(|(integer, feature)| b.combine(&[(1, integer)], feature.offset));
        let digits = digits.collect::<Result<Vec<_>, _>>()?;
        border.bind(b, *binding, &digits, port.encoding.bits)?;
        outputs.push(integers);
    }
    Ok(outputs)
}

fn arity(what: &'static str, expected: usize, got: usize) -> Result<(), CircuitError> {
    if expected == got { Ok(()) } else { Err(CircuitError::Arity { what, expected, got }) }
}
