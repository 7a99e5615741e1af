//! Exact rewrites of the float graph that make it cheaper to prove.

use crate::float::{FloatGraph, FloatNode, FloatOp, Value, pick};

/// Folds batch norms and scales into the layers before them, and moves pooling before ReLU where that is cheaper.
pub(crate) fn simplify(graph: &mut FloatGraph) {
    fold_affine(graph);
    while swap_relu_and_max(graph) {}
}

/// Folds an Affine of one input into the Conv, Dense or Affine that makes its input, where nothing else reads that.
fn fold_affine(graph: &mut FloatGraph) {
    let uses = graph.uses();
    let mut nodes: Vec<FloatNode> = Vec::with_capacity(graph.nodes.len());
    let mut producer: Vec<Option<usize>> = vec![None; graph.values.len()];
    for node in std::mem::take(&mut graph.nodes) {
        if let FloatOp::Affine { axis, coefficients, bias } = &node.op
            && let [input] = node.inputs[..]
            && uses[input] == 1
            && let Some(position) = producer[input]
            && absorb(&mut nodes[position].op, &graph.values[input], *axis, &coefficients[0], bias)
        {
            nodes[position].output = node.output;
            producer[node.output] = Some(position);
            continue;
        }
        producer[node.output] = Some(nodes.len());
        nodes.push(node);
    }
    graph.nodes = nodes;
}

/// Makes `op` compute `scale·op(x) + shift`; whether it could. `value` is what `op` makes.
fn absorb(op: &mut FloatOp, value: &Value, axis: usize, scale: &[f64], shift: &[f64]) -> bool {
    let constant = scale.len() == 1 && shift.len() == 1;
    match op {
        FloatOp::Conv { weights, bias, .. } if axis == 1 || constant => {
            scale_rows(weights, bias, scale, shift);
            true
        }
        FloatOp::Dense { weights, bias, .. } if axis + 1 == value.shape.len() || constant => {
            scale_rows(weights, bias, scale, shift);
            true
        }
        FloatOp::Affine { axis: inner, coefficients, bias } => {
            let inner_constant = bias.len() == 1 && coefficients.iter().all(|list| list.len() == 1);
            if !constant && !inner_constant && axis != *inner {
                return false;
            }
            if !constant {
                *inner = axis;
            }
            let length = value.shape.get(*inner).copied().unwrap_or(1);
            let combine = |list: &[f64], other: &[f64], f: &dyn Fn(f64, f64) -> f64| -> Vec<f64> {
                let count = if list.len() == 1 && other.len() == 1 { 1 } else { length };
                (0..count).map(|i| f(pick(list, i), pick(other, i))).collect()
            };
            for list in coefficients.iter_mut() {
                *list = combine(list, scale, &|c, s| c * s);
            }
            *bias = combine(&combine(bias, scale, &|b, s| b * s), shift, &|b, t| b + t);
            true
        }
        _ => false,
    }
}

fn scale_rows(weights: &mut [f64], bias: &mut [f64], scale: &[f64], shift: &[f64]) {
    let rows = weights.len() / bias.len();
    for (row, (weights, bias)) in weights.chunks_exact_mut(rows).zip(bias).enumerate() {
        let factor = pick(scale, row);
        for weight in weights {
            *weight *= factor;
        }
        *bias = *bias * factor + pick(shift, row);
    }
}

/// Turns one ReLU → MaxPool into MaxPool → ReLU (they commute: both keep the order of values, and padding never wins).
///
/// Constraints decide: a ReLU takes 3 rows, a comparison of requantised values 2, of accumulators 3. Windows that
/// overlap much are cheaper after the ReLU.
fn swap_relu_and_max(graph: &mut FloatGraph) -> bool {
    let uses = graph.uses();
    for position in 0..graph.nodes.len() {
        let FloatOp::MaxPool { window } = &graph.nodes[position].op else {
            continue;
        };
        let pooled = graph.nodes[position].inputs[0];
        let Some(relu) = graph.nodes[..position].iter().position(|node| node.output == pooled && node.op == FloatOp::Relu) else {
            continue;
        };
        let outputs = graph.values[graph.nodes[position].output].len();
        let comparisons = outputs * (window.kernel[0] * window.kernel[1] - 1);
        let after = 3 * graph.values[pooled].len() + 2 * comparisons;
        if uses[pooled] != 1 || 3 * comparisons + 3 * outputs > after {
            continue;
        }
        let shape = graph.values[graph.nodes[position].output].shape.clone();
        let name = format!("{}/max", graph.values[graph.nodes[position].output].name);
        graph.values[pooled] = Value { name, shape };
        let mut relu = graph.nodes.remove(relu);
        let max = &mut graph.nodes[position - 1];
        std::mem::swap(&mut relu.inputs, &mut max.inputs);
        std::mem::swap(&mut relu.output, &mut max.output);
        graph.nodes.insert(position, relu);
        return true;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use zkslice_graph::Window;

    fn value(shape: &[usize]) -> Value {
        Value { name: String::new(), shape: shape.to_vec() }
    }

    #[test]
    fn pooling_moves_before_relu_and_results_stay() {
        let window = Window { input: [1, 4, 4], output: [2, 2], kernel: [2, 2], strides: [2, 2], dilations: [1, 1], pads: [0, 0] };
        let node = |op, input, output| FloatNode { name: String::new(), op, inputs: vec![input], output };
        let mut graph = FloatGraph {
            values: vec![value(&[1, 1, 4, 4]), value(&[1, 1, 4, 4]), value(&[1, 1, 2, 2])],
            nodes: vec![node(FloatOp::Relu, 0, 1), node(FloatOp::MaxPool { window }, 1, 2)],
            inputs: vec![0],
            outputs: vec![("y".into(), 2)],
        };
        let input = vec![(0..16).map(|i| f64::from((i * 7) % 16) - 9.0).collect::<Vec<f64>>()];
        let before = graph.outputs(&input);
        simplify(&mut graph);
        assert_eq!(graph.nodes[1].op, FloatOp::Relu);
        assert_eq!(graph.outputs(&input), before);
    }

    #[test]
    fn scales_fold_into_the_layer_before() {
        let node = |op, input, output| FloatNode { name: String::new(), op, inputs: vec![input], output };
        let dense = FloatOp::Dense { rows: 1, k: 2, n: 2, weights: vec![1.0, 2.0, 3.0, 4.0], bias: vec![0.5, -0.5] };
        let norm = FloatOp::Affine { axis: 1, coefficients: vec![vec![2.0, 4.0]], bias: vec![1.0, 2.0] };
        let mut graph = FloatGraph {
            values: vec![value(&[1, 2]), value(&[1, 2]), value(&[1, 2])],
            nodes: vec![node(dense, 0, 1), node(norm, 1, 2)],
            inputs: vec![0],
            outputs: vec![("y".into(), 2)],
        };
        let input = vec![vec![1.5, -2.0]];
        let before = graph.outputs(&input);
        simplify(&mut graph);
        assert_eq!(graph.nodes.len(), 1);
        assert_eq!(graph.outputs(&input), before);
    }
}
