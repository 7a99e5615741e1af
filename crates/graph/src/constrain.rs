//! The circuit of a graph, node by node.

use zkslice_circuit::{Builder, CircuitError};

use crate::model::Graph;

/// Builds the circuit of a validated graph on integers of its inputs, in order; gives the integers of every tensor.
///
/// # Errors
/// [`CircuitError`] where a gadget's conditions on its arguments are not met, or a value cannot be proven; it names the node.
pub(crate) fn constrain<B: Builder>(b: &mut B, graph: &Graph, inputs: Vec<Vec<B::Int>>) -> Result<Vec<Vec<B::Int>>, CircuitError> {
    let mut tensors = vec![Vec::new(); graph.tensors.len()];
    for (port, integers) in graph.inputs.iter().zip(inputs) {
        tensors[port.tensor] = integers;
    }
    for node in &graph.nodes {
        let inputs: Vec<&[B::Int]> = node.inputs.iter().map(|&id| tensors[id].as_slice()).collect();
        let output = node.op.constrain(b, &graph.site(node), &inputs).map_err(|error| error.at(&node.name))?;
        tensors[node.output] = output;
    }
    Ok(tensors)
}
