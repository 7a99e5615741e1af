//! The exact integer executor: what every operator computes, node by node, which the circuits prove.
//!
//! All arithmetic is on `i64`. A graph that passed [`Graph::validate`] never overflows: every accumulator's magnitude,
//! summed over absolute values, stays below 2^62.

use crate::model::{Graph, TensorId};

/// Why an input cannot be executed (and so cannot be proven).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExecuteError {
    /// Too many or too few inputs.
    #[error("the graph takes {expected} inputs, {given} were given")]
    InputCount {
        /// Inputs of the graph.
        expected: usize,
        /// Inputs given.
        given: usize,
    },
    /// There is no graph: a circuit of others is what its rows say.
    #[error("there is no model to run: the package holds a circuit, whose outputs a witness has; prove it")]
    NoGraph,
    /// An input has the wrong number of elements.
    #[error("input `{input}` takes {expected} elements, {given} were given")]
    InputLength {
        /// Name of the input.
        input: String,
        /// Elements of the tensor.
        expected: usize,
        /// Elements given.
        given: usize,
    },
    /// An input's integer does not fit its digits.
    #[error("input `{input}`, element {element}: integer {value} is outside [{min}, {max}]; give a value inside the model's input range")]
    InputRange {
        /// Name of the input.
        input: String,
        /// Index in the flattened input.
        element: usize,
        /// The integer.
        value: i64,
        /// Smallest integer that fits.
        min: i64,
        /// Largest integer that fits.
        max: i64,
    },
    /// A requantised value leaves the range that the circuit can prove.
    #[error(
        "node `{node}`, element {element}: requantised value {value} is outside [{min}, {max}]; the input is outside the calibrated range (compile again with samples like it, or with a larger --inner-margin)"
    )]
    Saturated {
        /// Name of the node.
        node: String,
        /// Index in the flattened output.
        element: usize,
        /// The requantised value.
        value: i64,
        /// Smallest value that can be proven.
        min: i64,
        /// Largest value that can be proven.
        max: i64,
    },
    /// A function is asked for an argument that its table does not have.
    #[error(
        "node `{node}`, element {element}: argument {value} is outside [{min}, {max}], where its function's table ends; the input is outside the calibrated range (compile again with samples like it, or with a larger --inner-margin)"
    )]
    Argument {
        /// Name of the node.
        node: String,
        /// Index in the flattened output.
        element: usize,
        /// The argument.
        value: i64,
        /// Least argument of the table.
        min: i64,
        /// Greatest argument of the table.
        max: i64,
    },
    /// A divisor is too small for an accurate quotient, or too large to be proven.
    #[error(
        "node `{node}`, element {element}: divisor {value} is outside [{min}, {max}]; the input is outside the calibrated range (compile again with samples like it, or with a larger --inner-margin)"
    )]
    Divisor {
        /// Name of the node.
        node: String,
        /// Index in the flattened output.
        element: usize,
        /// The divisor.
        value: i64,
        /// Least divisor.
        min: i64,
        /// Greatest divisor that can be proven.
        max: i64,
    },
    /// Two values that are compared (of a pooling window, or one and a bound) lie too far apart.
    #[error(
        "node `{node}`, element {element}: compared values are {difference} apart, more than {max}; the input is outside the calibrated range (compile again with samples like it, or with a larger --inner-margin)"
    )]
    Apart {
        /// Name of the node.
        node: String,
        /// Index in the flattened output.
        element: usize,
        /// Distance between a value of the window and the largest before it.
        difference: i64,
        /// Largest difference that can be proven.
        max: i64,
    },
}

/// Runs a validated graph on one list of integers an input, in the order of [`Graph::inputs`].
///
/// Gives the values of every tensor by [`TensorId`]; [`Graph::outputs`] says which of them are the results.
///
/// # Errors
/// When an input has the wrong length, an integer does not fit its digits, or a value leaves what the operator's
/// definition in [`crate::Op`] accepts.
pub fn execute(graph: &Graph, inputs: &[Vec<i64>]) -> Result<Vec<Vec<i64>>, ExecuteError> {
    run(graph, inputs, &mut vec![usize::MAX; graph.tensors.len()])
}

/// [`execute`], but gives the values of [`Graph::outputs`] alone, in their order: others are dropped once nothing reads them any more.
///
/// # Errors
/// As [`execute`].
pub fn execute_outputs(graph: &Graph, inputs: &[Vec<i64>]) -> Result<Vec<Vec<i64>>, ExecuteError> {
    let mut readers = vec![0; graph.tensors.len()];
    let read = graph.nodes.iter().flat_map(|node| node.inputs.iter().copied());
    read.chain(graph.outputs.iter().map(|port| port.tensor)).for_each(|id: TensorId| readers[id] += 1);
    let mut values = run(graph, inputs, &mut readers)?;
    Ok(graph.outputs.iter().map(|port| std::mem::take(&mut values[port.tensor])).collect())
}

/// Runs the graph, and drops values once they were read as often as `readers` says.
fn run(graph: &Graph, inputs: &[Vec<i64>], readers: &mut [usize]) -> Result<Vec<Vec<i64>>, ExecuteError> {
    if inputs.len() != graph.inputs.len() {
        return Err(ExecuteError::InputCount { expected: graph.inputs.len(), given: inputs.len() });
    }
    let mut values: Vec<Vec<i64>> = vec![Vec::new(); graph.tensors.len()];
    for (port, given) in graph.inputs.iter().zip(inputs) {
        let tensor = &graph.tensors[port.tensor];
        if given.len() != tensor.len() {
            return Err(ExecuteError::InputLength { input: tensor.name.clone(), expected: tensor.len(), given: given.len() });
        }
        for (element, (&value, feature)) in given.iter().zip(port.encoding.by_element(&tensor.shape)).enumerate() {
            let (min, max) = feature.range(port.encoding.bits);
            if value < min || value > max {
                return Err(ExecuteError::InputRange { input: tensor.name.clone(), element, value, min, max });
            }
        }
        values[port.tensor] = given.clone();
    }
    for node in &graph.nodes {
        let inputs: Vec<&[i64]> = node.inputs.iter().map(|&id| values[id].as_slice()).collect();
        let output = node.op.evaluate(&graph.site(node), &inputs)?;
        for &id in &node.inputs {
            readers[id] -= 1;
            if readers[id] == 0 {
                values[id] = Vec::new();
            }
        }
        values[node.output] = output;
    }
    Ok(values)
}
