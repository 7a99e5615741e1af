//! Random integer graphs with residual connections, for the tests of several crates.

// Each test uses its part.
#![allow(dead_code)]

use zkslice_graph::*;

/// A small generator, so that one seed makes one graph.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    /// A number below `n`.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 20) as usize % n
    }

    pub(crate) fn integer(&mut self, size: i64) -> i64 {
        self.below(2 * size as usize + 1) as i64 - size
    }

    pub(crate) fn integers(&mut self, count: usize, size: i64) -> Vec<i64> {
        (0..count).map(|_| self.integer(size)).collect()
    }

    pub(crate) fn window(&mut self, input: [usize; 3]) -> Window {
        let mut window = Window { input, output: [0; 2], kernel: [1; 2], strides: [1; 2], dilations: [1; 2], pads: [0; 2] };
        for axis in 0..2 {
            window.kernel[axis] = 1 + self.below(input[axis + 1].min(3));
            window.strides[axis] = 1 + self.below(2);
            window.pads[axis] = self.below(2).min(window.kernel[axis] - 1);
            window.output[axis] = (input[axis + 1] + window.pads[axis] - window.kernel[axis]) / window.strides[axis] + 1;
        }
        window
    }
}

/// Digits for integers in `[min, max]`.
pub(crate) fn encoding(min: i128, max: i128) -> Encoding {
    let offset = min.min(0).unsigned_abs() as i64;
    let bits = (i128::from(offset) + max.max(0)).max(1).ilog2() + 1;
    Encoding::uniform(bits, offset, Scale { mantissa: 1 })
}

/// A random graph over all operators: convolutions, pools, residual additions, concatenations, activations, functions, arithmetic and
/// comparisons over one input, or two.
pub(crate) fn network(random: &mut Random) -> Graph {
    let w = 5 + random.below(4) as u32;
    let mut shape = [1 + random.below(2), 2 + random.below(3), 2 + random.below(3)];
    let mut graph =
        Graph { table_bits: w, tensors: Vec::new(), nodes: Vec::new(), inputs: Vec::new(), outputs: Vec::new(), functions: Vec::new() };
    let mut same: Vec<(usize, [usize; 3])> = Vec::new();
    for i in 0..1 + random.below(2) {
        graph.tensors.push(Tensor { name: format!("x{i}"), shape: vec![1, shape[0], shape[1], shape[2]] });
        let bits = 3 + random.below(w as usize + 2) as u32;
        let offset = [0, 1 << (bits - 1), 5][random.below(3)];
        graph.inputs.push(Port { tensor: i, encoding: Encoding::uniform(bits, offset, Scale { mantissa: 1 }) });
        same.push((i, shape));
    }
    let mut at = 0;
    if graph.inputs.len() == 2 {
        at = push(&mut graph, Op::Affine(Affine { axis: 0, coefficients: vec![vec![1], vec![-1]], bias: vec![3] }), vec![0, 1], &shape);
        same.push((at, shape));
    }
    for _ in 0..3 + random.below(8) {
        let before = (graph.clone(), at, shape);
        let interval = intervals(&graph, at).unwrap()[at];
        let size = interval.min.abs().max(interval.max).max(1);
        let [channels, height, width] = shape;
        let mut inputs = vec![at];
        let op = match random.below(24) {
            12.. => match primitive(random, &mut graph, &mut inputs, &mut shape, &same) {
                Some(op) => op,
                None => {
                    (graph, at, shape) = before;
                    continue;
                }
            },
            0 | 1 => {
                let window = random.window(shape);
                let groups = if channels == 2 && random.below(3) == 0 { 2 } else { 1 };
                let out = groups * (1 + random.below(2));
                let row = channels / groups * window.kernel[0] * window.kernel[1];
                let most = ((1i128 << (2 * w - 1)) / size / row as i128).clamp(1, 1 << w) as i64;
                shape = [out, window.output[0], window.output[1]];
                Op::Conv(Conv { window, groups, weights: random.integers(out * row, most), bias: random.integers(out, 1 << w) })
            }
            2 | 3 => Op::Relu(Relu { shift: w }),
            4 => Op::Relu(Relu { shift: 0 }),
            5 => Op::Requant(Requant { shift: w }),
            6 => {
                let window = random.window(shape);
                shape = [channels, window.output[0], window.output[1]];
                Op::MaxPool(MaxPool { window, limbs: if size < 1 << (w - 1) { 1 } else { 2 } })
            }
            7 => {
                let window = random.window(shape);
                shape = [channels, window.output[0], window.output[1]];
                let multipliers = if random.below(2) == 0 { Vec::new() } else { random.integers(shape[1] * shape[2], 4) };
                Op::SumPool(SumPool { window, multipliers })
            }
            8 | 9 => match same.iter().rev().find(|(other, s)| *s == shape && *other != at) {
                Some((other, _)) => {
                    inputs.push(*other);
                    Op::Affine(Affine { axis: 1, coefficients: vec![random.integers(channels, 3), vec![random.integer(2)]], bias: vec![7] })
                }
                None => {
                    shape = [channels, width, height];
                    Op::Transpose(Transpose { perm: vec![0, 1, 3, 2] })
                }
            },
            10 => {
                let bound = size.min(1 << (2 * w - 1)) as i64;
                let (least, most) = (-random.integer(bound).abs(), random.integer(bound).abs());
                let limbs = (1..=3).find(|limbs| 2 * size < 1 << (limbs * w)).unwrap_or(3);
                match random.below(3) {
                    0 => Op::Clip(Clip { min: Some(least), max: None, limbs }),
                    1 => Op::Clip(Clip { min: None, max: Some(most), limbs }),
                    _ => Op::Clip(Clip { min: Some(least), max: Some(most), limbs }),
                }
            }
            _ => match same.iter().rev().find(|(_, s)| s[1..] == shape[1..] && s[0] + channels <= 4) {
                Some((other, joined)) => {
                    inputs.push(*other);
                    shape[0] += joined[0];
                    Op::Concat(Concat { axis: 1 })
                }
                None => Op::Relu(Relu { shift: w }),
            },
        };
        at = push(&mut graph, op, inputs, &shape);
        // Too wide for a digit, or refused for another reason: try something else.
        match intervals(&graph, at) {
            Some(intervals) if intervals[at].max - intervals[at].min < 1 << 30 => same.push((at, shape)),
            _ => (graph, at, shape) = before,
        }
    }
    let count: usize = shape.iter().product();
    let flat = graph.tensors.len();
    graph.tensors.push(Tensor { name: "flat".into(), shape: vec![1, count] });
    graph.nodes.push(Node { name: "flatten".into(), op: Op::Reshape(Reshape), inputs: vec![at], output: flat });
    graph.tensors.push(Tensor { name: "y".into(), shape: vec![1, 2] });
    let dense = Dense { rows: 1, k: count, n: 2, weights: random.integers(2 * count, 2), bias: vec![1, -1] };
    graph.nodes.push(Node { name: "dense".into(), op: Op::Dense(dense), inputs: vec![flat], output: flat + 1 });
    if intervals(&graph, flat + 1).is_none_or(|all| all[flat + 1].max - all[flat + 1].min >= 1 << 31) || random.below(2) == 0 {
        graph.tensors.push(Tensor { name: "z".into(), shape: vec![1, 2] });
        graph.nodes.push(Node { name: "requant".into(), op: Op::Requant(Requant { shift: w }), inputs: vec![flat + 1], output: flat + 2 });
    }
    let last = graph.tensors.len() - 1;
    let interval = intervals(&graph, last).unwrap()[last];
    graph.outputs = vec![Port { tensor: last, encoding: encoding(interval.min, interval.max) }];
    graph.validate().unwrap();
    graph
}

/// One of the operators that are neither linear nor activations, with what it reads besides; may add nodes that it reads.
fn primitive(
    random: &mut Random,
    graph: &mut Graph,
    inputs: &mut Vec<usize>,
    shape: &mut [usize; 3],
    same: &[(usize, [usize; 3])],
) -> Option<Op> {
    let (at, w) = (inputs[0], graph.table_bits);
    let before = *shape;
    let all = intervals(graph, at)?;
    let Interval { min, max } = all[at];
    let size = min.abs().max(max);
    // As many limbs as hold a distance, or now and then too few.
    let limbs = |random: &mut Random, distance: i128| match (1..=3).find(|limbs| distance < 1 << (limbs * w)) {
        Some(limbs) if limbs == 1 || random.below(8) > 0 => limbs,
        Some(limbs) => limbs - 1,
        None => 3,
    };
    let other = |random: &mut Random, wanted: [usize; 3]| {
        let all: Vec<usize> = same.iter().filter(|(_, s)| *s == wanted).map(|(tensor, _)| *tensor).collect();
        (!all.is_empty()).then(|| all[random.below(all.len())])
    };
    Some(match random.below(12) {
        0 | 1 => {
            let shift = if size < 40 { [0, w][random.below(2)] } else { w };
            let (least, most) =
                (zkslice_circuit::gadgets::requant(min as i64, shift), zkslice_circuit::gadgets::requant(max as i64, shift));
            let first = least.max(-200);
            let count = (most.min(200) - first - random.below(2) as i64).max(0) + 1;
            let (lowest, spread) = (random.integer(1 << (w - 1)), 1 + random.below(1 << w));
            let values: Vec<i64> = (0..count).map(|_| lowest + random.below(spread) as i64).collect();
            let farthest = first.abs().max((first + count - 1).abs());
            let reach = least.abs().max(most.abs());
            // Room for the values that a slice's digits may have besides those of the whole graph.
            let stride = (2 * reach + farthest + 8).max(2 * farthest + 1);
            let f = Function { first, values, stride };
            let function = graph.functions.iter().position(|other| *other == f).unwrap_or(graph.functions.len());
            if function == graph.functions.len() {
                graph.functions.push(f);
            }
            Op::Table(Table { function, shift })
        }
        2 => {
            inputs.push(other(random, before)?);
            Op::Product(Product)
        }
        3 => {
            let [batch, m, k] = before;
            let second = *same.iter().rev().find(|(_, s)| s[0] == batch && s[1] == k)?;
            inputs.push(second.0);
            *shape = [batch, m, second.1[2]];
            Op::MatMul(MatMul { batch, m, k, n: second.1[2] })
        }
        4 | 5 => {
            let divisor = match other(random, before).filter(|other| random.below(2) == 0 && all[*other].max < 1 << 20) {
                Some(other) => {
                    let lift = 1 - all[other].min.min(1) as i64;
                    let positive = Affine { axis: 0, coefficients: vec![vec![1]], bias: vec![lift] };
                    push(graph, Op::Affine(positive), vec![other], shape)
                }
                None => {
                    let count = if random.below(2) == 0 { 1 } else { before.iter().product() };
                    let values = (0..count).map(|_| 1 + random.below(1 + (size as usize >> (w - 1)).min(60)) as i64).collect();
                    push(graph, Op::Constant(Constant { values }), vec![], shape)
                }
            };
            inputs.push(divisor);
            let rounding = [Rounding::Nearest, Rounding::Down][random.below(2)];
            let (factor, widest) = (1 + random.below(2) as i64, intervals(graph, divisor)?[divisor].max);
            let least = if min < 0 { -(1 << (w - 1)) } else { 0 };
            let least_divisor = if random.below(4) == 0 { 1 + random.below(3) as i64 } else { 1 };
            Op::Divide(Divide { factor, rounding, least, limbs: limbs(random, 2 * widest), least_divisor })
        }
        6 => {
            if min < 0 && random.below(4) > 0 {
                return None;
            }
            Op::Sqrt(Sqrt { factor: 1 + random.below(3) as i64, least: if random.below(4) == 0 { random.below(3) as i64 } else { 0 } })
        }
        7 => {
            let second = other(random, before)?;
            inputs.push(second);
            let distance = (max - all[second].min).abs().max((all[second].max - min).abs());
            Op::Maximum(Maximum { limbs: limbs(random, distance) })
        }
        8 => Op::Step(Step { limbs: limbs(random, size) }),
        9 => {
            let count = usize::try_from(max).ok().filter(|max| min >= 0 && *max < 4)? + 1;
            let [channels, height, width] = before;
            graph.tensors.push(Tensor { name: "bits".into(), shape: vec![1, channels, height, width, count] });
            let bits = graph.tensors.len() - 1;
            graph.nodes.push(Node { name: "bits".into(), op: Op::OneHot(OneHot { count }), inputs: vec![at], output: bits });
            inputs[0] = bits;
            shape[2] *= count;
            Op::Reshape(Reshape)
        }
        10 => {
            // Each axis whole, reversed, every second one, or one element as often as it has elements.
            let mut view = View { dims: vec![1], strides: vec![7], first: 0 };
            let steps = [before[1] * before[2], before[2], 1];
            for (axis, step) in steps.into_iter().enumerate() {
                let (dim, step) = (before[axis], step as i64);
                let (dim, stride) = match random.below(4) {
                    0 => (dim, step),
                    1 => {
                        view.first += (dim - 1) * step as usize;
                        (dim, -step)
                    }
                    2 => (dim.div_ceil(2), 2 * step),
                    _ => (dim, 0),
                };
                view.dims.push(dim);
                view.strides.push(stride);
                shape[axis] = dim;
            }
            Op::View(view)
        }
        _ => {
            let axis = random.below(3);
            let indices: Vec<usize> = (0..1 + random.below(3)).map(|_| random.below(before[axis])).collect();
            shape[axis] = indices.len();
            Op::Gather(Gather { axis: axis + 1, indices })
        }
    })
}

fn push(graph: &mut Graph, op: Op, inputs: Vec<usize>, shape: &[usize; 3]) -> usize {
    let output = graph.tensors.len();
    graph.tensors.push(Tensor { name: format!("t{output}"), shape: vec![1, shape[0], shape[1], shape[2]] });
    graph.nodes.push(Node { name: format!("n{output}"), op, inputs, output });
    output
}

/// Intervals of a graph whose output would be `tensor`; none if it does not validate.
fn intervals(graph: &Graph, tensor: usize) -> Option<Vec<Interval>> {
    if graph.nodes.is_empty() {
        let of_port = |port: &Port| {
            let (min, max) = port.encoding.range();
            Interval { min: min.into(), max: max.into() }
        };
        return Some(graph.inputs.iter().map(of_port).collect());
    }
    let wide = Encoding::uniform(32, 1 << 31, Scale { mantissa: 1 });
    let probe = Graph { outputs: vec![Port { tensor, encoding: wide }], ..graph.clone() };
    probe.intervals().ok()
}

/// Integers for every input of a graph, within its digits.
pub(crate) fn inputs(random: &mut Random, graph: &Graph) -> Vec<Vec<i64>> {
    let of_port = |port: &Port| {
        let (min, max) = port.encoding.range();
        (0..graph.tensors[port.tensor].len()).map(|_| min + random.below((max - min + 1) as usize) as i64).collect()
    };
    graph.inputs.iter().map(of_port).collect()
}

/// Bindings at random: words, commitments, commitments with an owner.
pub(crate) fn bindings(random: &mut Random, graph: &Graph) -> (Vec<Binding>, Vec<Binding>) {
    let choices = [Binding::Words, Binding::Words, Binding::Commitment { owner: false }, Binding::Commitment { owner: true }];
    let inputs = graph.inputs.iter().map(|_| choices[random.below(4)]).collect();
    let outputs = graph.outputs.iter().map(|_| choices[random.below(3)]).collect();
    (inputs, outputs)
}

/// Values of a slice for given inputs.
pub(crate) fn values(shape: BoundGraph<'_>, inputs: &[Vec<i64>]) -> SliceValues {
    let committed = shape.inputs.iter().chain(shape.outputs).filter(|binding| **binding != Binding::Words).count();
    let salts = (0..committed as u64).map(|i| ark_bn254::Fr::from(1000 + i)).collect();
    let border = BorderValues { context: ark_bn254::Fr::from(5u64), owner: ark_bn254::Fr::from(777u64), salts };
    SliceValues { inputs: inputs.to_vec(), border }
}

/// What a slice's public inputs must be, commitments computed outside of the circuit.
pub(crate) fn publics(shape: BoundGraph<'_>, values: &SliceValues, outputs: &[Vec<i64>]) -> Vec<ark_bn254::Fr> {
    use zkslice_circuit::gadgets::{commitment_of, pack_values, tensor_tag};
    let mut publics = vec![values.border.context];
    publics.extend(shape.has_owner().then_some(values.border.owner));
    let mut salts = values.border.salts.iter();
    let ports = shape.graph.inputs.iter().zip(shape.inputs).zip(&values.inputs);
    for ((port, binding), integers) in ports.chain(shape.graph.outputs.iter().zip(shape.outputs).zip(outputs)) {
        let Binding::Commitment { owner: owned } = binding else { continue };
        let features = port.encoding.by_element(&shape.graph.tensors[port.tensor].shape);
        let digits: Vec<i64> = integers.iter().zip(features).map(|(v, feature)| v + feature.offset).collect();
        let words = pack_values(&digits, port.encoding.bits);
        let tag = tensor_tag(digits.len(), port.encoding.bits);
        publics.push(commitment_of(*salts.next().unwrap(), tag, owned.then_some(values.border.owner), &words).unwrap());
    }
    publics
}
