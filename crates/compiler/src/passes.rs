//! Exact rewrites of the float graph that make it cheaper to prove.

use crate::float::{FloatGraph, FloatNode, FloatOp, Value, pick};

/// Folds batch norms and scales into the layers before them, and moves pooling before ReLU where that is cheaper.
pub(crate) fn simplify(graph: &mut FloatGraph) {
    fold_constants(graph);
    share_sigmoid(graph);
    fold_affine(graph);
    while swap_relu_and_max(graph) {}
}

/// Writes tanh as a sigmoid where the graph has both: `tanh x = 2·σ(2x) − 1`. They then have one table, and what stands around it is
/// linear.
fn share_sigmoid(graph: &mut FloatGraph) {
    let is = |op: &FloatOp, name: &str| matches!(op, FloatOp::Map(list) if matches!(&list[..], [function] if function.name == name));
    let Some(sigmoid) = graph.nodes.iter().map(|node| &node.op).find(|op| is(op, "Sigmoid")).cloned() else { return };
    if !graph.nodes.iter().any(|node| is(&node.op, "Tanh")) {
        return;
    }
    let mut nodes = Vec::with_capacity(graph.nodes.len());
    for node in std::mem::take(&mut graph.nodes) {
        if !is(&node.op, "Tanh") {
            nodes.push(node);
            continue;
        }
        // A tensor without axes has none along which an Affine could go.
        let shape = graph.values[node.output].shape.clone();
        let flat = if shape.is_empty() { vec![1] } else { shape.clone() };
        let mut from = node.inputs[0];
        let mut step = |graph: &mut FloatGraph, op: FloatOp, part: &str, shape: &[usize], to: Option<usize>| {
            let output = to.unwrap_or_else(|| {
                let name = format!("{}/{part}", graph.values[node.output].name);
                graph.values.push(Value::new(name, shape.to_vec()));
                graph.values.len() - 1
            });
            nodes.push(FloatNode { name: node.name.clone(), op, inputs: vec![from], output });
            from = output;
        };
        let affine = |factor: f64, bias: f64| FloatOp::Affine { axis: 0, coefficients: vec![vec![factor]], bias: vec![bias] };
        if shape.is_empty() {
            step(graph, FloatOp::Reshape, "flat", &flat, None);
        }
        step(graph, affine(2.0, 0.0), "twice", &flat, None);
        step(graph, sigmoid.clone(), "sigmoid", &flat, None);
        step(graph, affine(2.0, -1.0), "tanh", &flat, (!shape.is_empty()).then_some(node.output));
        if shape.is_empty() {
            step(graph, FloatOp::Reshape, "shape", &shape, Some(node.output));
        }
    }
    graph.nodes = nodes;
}

/// Works out what no input decides, and puts constants into the operators that have room for them.
fn fold_constants(graph: &mut FloatGraph) {
    let mut constants: Vec<Option<Vec<f64>>> = vec![None; graph.values.len()];
    let mut nodes = Vec::with_capacity(graph.nodes.len());
    let handed_out: Vec<bool> = (0..graph.values.len()).map(|id| graph.outputs.iter().any(|(_, output)| *output == id)).collect();
    for mut node in std::mem::take(&mut graph.nodes) {
        if node.inputs.iter().all(|&id| constants[id].is_some()) {
            let inputs: Vec<&[f64]> = node.inputs.iter().filter_map(|&id| constants[id].as_deref()).collect();
            let values = graph.apply(&node, &inputs);
            constants[node.output] = Some(values.clone());
            let one = values.iter().all(|x| *x == values[0]);
            node.op = FloatOp::Constant { values: if one { values[..1].to_vec() } else { values } };
            node.inputs.clear();
            nodes.push(node);
            continue;
        }
        absorb_constants(graph, &mut node, &constants);
        nodes.push(node);
    }
    graph.nodes = nodes;
    let uses = graph.uses();
    graph.nodes.retain(|node| handed_out[node.output] || uses[node.output] > 0 || !matches!(node.op, FloatOp::Constant { .. }));
}

/// Writes a product with a constant, and a sum with one, as an Affine of what is not.
fn absorb_constants(graph: &FloatGraph, node: &mut FloatNode, constants: &[Option<Vec<f64>>]) {
    let shape = &graph.values[node.output].shape;
    let along = |list: &[f64]| {
        (0..shape.len().max(1)).find_map(|axis| Some((axis, crate::onnx::along(list, if shape.is_empty() { &[1] } else { shape }, axis)?)))
    };
    match &mut node.op {
        FloatOp::Product if !shape.is_empty() => {
            let Some(position) = node.inputs.iter().position(|&id| constants[id].is_some()) else { return };
            let list = constants[node.inputs[position]].as_deref().unwrap_or_default();
            if let Some((axis, coefficients)) = along(list) {
                node.op = FloatOp::Affine { axis, coefficients: vec![coefficients], bias: vec![0.0] };
                node.inputs.remove(position);
            }
        }
        FloatOp::Affine { axis, coefficients, bias } => {
            while let Some(position) = node.inputs.iter().position(|&id| constants[id].is_some()).filter(|_| node.inputs.len() > 1) {
                let list = constants[node.inputs[position]].as_deref().unwrap_or_default();
                let inner: usize = shape[*axis + 1..].iter().product();
                let channel = |e: usize| e / inner % shape[*axis];
                let sum: Vec<f64> =
                    list.iter().enumerate().map(|(e, x)| pick(bias, channel(e)) + pick(&coefficients[position], channel(e)) * x).collect();
                let mut others = coefficients.clone();
                others.remove(position);
                let uniform = others.iter().all(|list| list.len() == 1);
                let Some((at, sum)) = along(&sum).filter(|(at, sum)| sum.len() == 1 || at == axis || uniform) else { return };
                if sum.len() > 1 {
                    *axis = at;
                }
                (*coefficients, *bias) = (others, sum);
                node.inputs.remove(position);
            }
        }
        _ => {}
    }
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
        FloatOp::Dense { weights, bias, .. } if value.shape.get(axis..) == Some(&[bias.len()]) || constant => {
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
        graph.values[pooled] = Value::new(name, shape);
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
        Value::new("", shape.to_vec())
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
