//! Laws of every operator, on cases of its own: what it evaluates is what its circuit proves and nothing else is, its values lie where its
//! check says, it costs what it states, and its bytes are read again.

use ark_bn254::Fr;
use ark_ff::{Field, One, UniformRand};
use rand::{SeedableRng, rngs::StdRng};
use zkslice_circuit::{Circuit, CircuitError, gadgets};

use crate::network::{Random, values};
use zkslice_graph::*;

/// An operator between tensors of these shapes and digits; `reads` are the inputs that it takes, which may come twice or not at all.
struct Case {
    op: Op,
    w: u32,
    inputs: Vec<(Vec<usize>, Encoding)>,
    reads: Vec<usize>,
    output: Vec<usize>,
    functions: Vec<Function>,
}

impl Case {
    fn of(op: Op, w: u32, input: (Vec<usize>, Encoding), output: Vec<usize>) -> Self {
        Self { op, w, inputs: vec![input], reads: vec![0], output, functions: Vec::new() }
    }

    /// The graph with output digits that just hold what the check says of its values.
    fn graph(&self) -> Result<Graph, String> {
        let tensor = |name: &str, shape: &[usize]| Tensor { name: name.into(), shape: shape.to_vec() };
        let mut tensors: Vec<Tensor> = self.inputs.iter().map(|(shape, _)| tensor("x", shape)).collect();
        let output = tensors.len();
        tensors.push(tensor("y", &self.output));
        let port = |(tensor, (_, encoding)): (usize, &(Vec<usize>, Encoding))| Port { tensor, encoding: encoding.clone() };
        let mut graph = Graph {
            table_bits: self.w,
            tensors,
            nodes: vec![Node { name: "op".into(), op: self.op.clone(), inputs: self.reads.clone(), output }],
            inputs: self.inputs.iter().enumerate().map(port).collect(),
            outputs: vec![Port { tensor: output, encoding: Encoding::uniform(32, 1 << 31, Scale { mantissa: 1 }) }],
            functions: self.functions.clone(),
        };
        let interval = graph.intervals().map_err(|error| error.to_string())?[output];
        // Values that are all far above or below zero still take digits from zero on.
        graph.outputs[0].encoding = crate::network::encoding(interval.min, interval.max);
        graph.validate().map_err(|error| error.to_string())?;
        Ok(graph)
    }
}

pub(crate) const NAMES: [&str; 22] = [
    "Conv",
    "Dense",
    "SumPool",
    "Affine",
    "Requant",
    "Relu",
    "Clip",
    "MaxPool",
    "Reshape",
    "Transpose",
    "Concat",
    "View",
    "Gather",
    "Constant",
    "Table",
    "Product",
    "MatMul",
    "Divide",
    "Sqrt",
    "Maximum",
    "Step",
    "OneHot",
];

/// At most so many axes, and not many more than 30 elements.
fn shape(random: &mut Random, axes: usize) -> Vec<usize> {
    let mut shape = Vec::new();
    for _ in 0..random.below(axes + 1) {
        shape.push(if length(&shape) > 10 { 1 } else { 1 + random.below(3) });
    }
    shape
}

/// Digits of one or two times w bits, unsigned, signed, negative, or uneven.
fn digits(random: &mut Random, w: u32) -> Encoding {
    let bits = w * (1 + random.below(2) as u32);
    let offset = [0, 1 << (bits - 1), (1 << bits) - 1, 3][random.below(4)];
    Encoding::uniform(bits, offset, Scale { mantissa: 1 })
}

fn length(shape: &[usize]) -> usize {
    shape.iter().product()
}

/// Least and greatest value of a case's input.
fn ends(encoding: &Encoding) -> (i64, i64) {
    encoding.range()
}

/// A case of the operator of that number.
fn case(code: usize, random: &mut Random) -> Case {
    let w = 3 + random.below(3) as u32;
    let encoding = digits(random, w);
    let axes = [0, 1, 2, 3, 4, 8][random.below(6)];
    let input = shape(random, axes);
    let same = |op: Op, input: Vec<usize>, encoding: Encoding| Case::of(op, w, (input.clone(), encoding), input);
    // Two inputs of one shape, or one that is read twice.
    let pair = |random: &mut Random, op: Op, input: Vec<usize>, encodings: [Encoding; 2]| {
        let [first, second] = encodings.map(|encoding| (input.clone(), encoding));
        let twice = random.below(4) == 0;
        let (inputs, reads) = if twice { (vec![first], vec![0, 0]) } else { (vec![first, second], vec![0, 1]) };
        Case { op, w, inputs, reads, output: input, functions: Vec::new() }
    };
    let image = [1 + random.below(3), 1 + random.below(4), 1 + random.below(4)];
    let plane = |[channels, height, width]: [usize; 3]| vec![1, channels, height, width];
    let limbs = 1 + random.below(3) as u32;
    match NAMES[code] {
        "Conv" => {
            let window = random.window(image);
            let groups = if image[0] == 2 { 1 + random.below(2) } else { 1 };
            let out = groups * (1 + random.below(2));
            let row = image[0] / groups * window.kernel[0] * window.kernel[1];
            let output = [out, window.output[0], window.output[1]];
            let conv = Conv { window, groups, weights: random.integers(out * row, 9), bias: random.integers(out, 99) };
            Case::of(Op::Conv(conv), w, (plane(image), encoding), plane(output))
        }
        "Dense" => {
            let (mut leading, k, n) = (shape(random, axes.min(3)), 1 + random.below(4), 1 + random.below(3));
            let dense = Dense { rows: length(&leading), k, n, weights: random.integers(k * n, 9), bias: random.integers(n, 99) };
            let mut output = leading.clone();
            leading.push(k);
            output.push(n);
            Case::of(Op::Dense(dense), w, (leading, encoding), output)
        }
        "SumPool" => {
            let window = random.window(image);
            let output = [image[0], window.output[0], window.output[1]];
            let multipliers = if random.below(2) == 0 { Vec::new() } else { random.integers(output[1] * output[2], 4) };
            Case::of(Op::SumPool(SumPool { window, multipliers }), w, (plane(image), encoding), plane(output))
        }
        "Affine" => {
            let mut input = shape(random, axes.min(7));
            input.push(1 + random.below(3));
            let axis = random.below(input.len());
            let list = |random: &mut Random, size: i64| {
                let count = if random.below(2) == 0 { 1 } else { input[axis] };
                random.integers(count, size)
            };
            let count = 1 + random.below(3);
            let affine = Affine { axis, coefficients: (0..count).map(|_| list(random, 9)).collect(), bias: list(random, 99) };
            let reads: Vec<usize> = (0..count).map(|i| i % 2).collect();
            let inputs = (0..count.min(2)).map(|_| (input.clone(), digits(random, w))).collect();
            Case { op: Op::Affine(affine), w, inputs, reads, output: input, functions: Vec::new() }
        }
        "Requant" => same(Op::Requant(Requant { shift: w }), input, encoding),
        "Relu" => same(Op::Relu(Relu { shift: [0, w][random.below(2)] }), input, encoding),
        "Clip" => {
            let size = 1 << w;
            let (a, b) = (random.integer(size), random.integer(size));
            let (min, max) = [(None, Some(a)), (Some(a), None), (Some(a.min(b)), Some(a.max(b)))][random.below(3)];
            same(Op::Clip(Clip { min, max, limbs }), input, encoding)
        }
        "MaxPool" => {
            let window = random.window(image);
            let output = [image[0], window.output[0], window.output[1]];
            Case::of(Op::MaxPool(MaxPool { window, limbs: 1 + random.below(2) as u32 }), w, (plane(image), encoding), plane(output))
        }
        "Reshape" => {
            let mut output = vec![length(&input)];
            if output[0] == 1 {
                output = vec![1; random.below(9)];
            }
            Case::of(Op::Reshape(Reshape), w, (input, encoding), output)
        }
        "Transpose" => {
            let mut perm: Vec<usize> = (0..input.len()).collect();
            (0..perm.len()).for_each(|i| perm.swap(i, random.below(i + 1)));
            let output = perm.iter().map(|&axis| input[axis]).collect();
            Case::of(Op::Transpose(Transpose { perm }), w, (input, encoding), output)
        }
        "Concat" => {
            let mut input = shape(random, axes.min(7));
            input.push(1);
            let axis = random.below(input.len());
            let count = 1 + random.below(3);
            let inputs: Vec<(Vec<usize>, Encoding)> = (0..count)
                .map(|_| {
                    let mut one = input.clone();
                    one[axis] = 1 + random.below(3);
                    (one, digits(random, w))
                })
                .collect();
            let reads: Vec<usize> = (0..count + random.below(2)).map(|i| i % count).collect();
            let mut output = input;
            output[axis] = reads.iter().map(|&i| inputs[i].0[axis]).sum();
            Case { op: Op::Concat(Concat { axis }), w, inputs, reads, output, functions: Vec::new() }
        }
        "View" => {
            let count = length(&input) as i64;
            let first = random.below(count as usize);
            let (mut least, mut most) = (first as i64, first as i64);
            let (mut dims, mut strides) = (Vec::new(), Vec::new());
            let most_axes = [3, 16][random.below(2)];
            for _ in 0..random.below(most_axes + 1) {
                let dim = if dims.iter().product::<usize>() > 20 { 1 } else { 1 + random.below(3) };
                let mut stride = [random.integer(2), random.integer(count), 1 << 26, -1 << 26][random.below(4)];
                let reach = stride * (dim as i64 - 1);
                if least + reach.min(0) < 0 || most + reach.max(0) >= count {
                    stride = 0;
                }
                let reach = stride * (dim as i64 - 1);
                (least, most) = (least + reach.min(0), most + reach.max(0));
                dims.push(dim);
                strides.push(stride);
            }
            let output = if dims.len() <= 8 { dims.clone() } else { vec![length(&dims)] };
            Case::of(Op::View(View { dims, strides, first }), w, (input, encoding), output)
        }
        "Gather" => {
            let mut input = shape(random, axes.min(7));
            input.push(1 + random.below(4));
            let axis = random.below(input.len());
            let indices: Vec<usize> = (0..1 + random.below(5)).map(|_| random.below(input[axis])).collect();
            let mut output = input.clone();
            output[axis] = indices.len();
            Case::of(Op::Gather(Gather { axis, indices }), w, (input, encoding), output)
        }
        "Constant" => {
            let output = shape(random, axes);
            let count = if random.below(2) == 0 { 1 } else { length(&output) };
            let size = [0, 1, 1 << 30][random.below(3)];
            let constant = Constant { values: random.integers(count, size) };
            Case { reads: vec![], ..Case::of(Op::Constant(constant), w, (input, encoding), output) }
        }
        "Table" => {
            let shift = [0, w][random.below(2)];
            let (min, max) = ends(&encoding);
            let (least, most) = (gadgets::requant(min, shift), gadgets::requant(max, shift));
            // All arguments, or some of them, or others.
            let first = least + [0, 0, random.integer(4)][random.below(3)];
            let count = 1 + [most - least, random.below(20) as i64, 0][random.below(3)];
            let values = {
                let (spread, lowest) = (1 + random.below(1 << w), random.integer(1 << w));
                (0..count).map(|_| lowest + random.below(spread) as i64).collect()
            };
            let farthest = first.abs().max((first + count - 1).abs());
            let reach = least.abs().max(most.abs());
            let stride = (reach + farthest + 1).max(2 * farthest + 1) + [0, 1, 99][random.below(3)];
            // Others stand beside the one that is looked up.
            let other = Function { first: 0, values: vec![0, 1], stride: 77 };
            let f = Function { first, values, stride };
            let (functions, function) =
                [(vec![f.clone()], 0), (vec![other.clone(), f.clone()], 1), (vec![f, other], 0)][random.below(3)].clone();
            Case { functions, ..same(Op::Table(Table { function, shift }), input, encoding) }
        }
        "Product" => {
            let encodings = [encoding, digits(random, w)];
            pair(random, Op::Product(Product), input, encodings)
        }
        "MatMul" => {
            let [batch, m, k, n] = [(); 4].map(|()| 1 + random.below(3));
            let spread = |random: &mut Random, shape: [usize; 3]| match random.below(3) {
                0 => shape.to_vec(),
                1 => vec![length(&shape)],
                _ => vec![1, shape[0], 1, shape[1] * shape[2]],
            };
            let inputs = vec![(spread(random, [batch, m, k]), encoding), (spread(random, [batch, k, n]), digits(random, w))];
            let output = spread(random, [batch, m, n]);
            Case { op: Op::MatMul(MatMul { batch, m, k, n }), w, inputs, reads: vec![0, 1], output, functions: Vec::new() }
        }
        "Divide" => {
            let bits = w * (1 + random.below(2) as u32);
            let divisor = Encoding::uniform(bits, random.below(3) as i64, Scale { mantissa: 1 });
            let rounding = [Rounding::Nearest, Rounding::Down][random.below(2)];
            let least = [0, -(1 << (w - 1)), random.integer(1 << w)][random.below(3)];
            let least_divisor = [1, 1, 1 + random.below(1 << w) as i64][random.below(3)];
            let divide = Divide { factor: 1 + random.below(3) as i64, rounding, least, limbs, least_divisor };
            pair(random, Op::Divide(divide), input, [encoding, divisor])
        }
        "Sqrt" => {
            let least = [0, 0, random.below(1 << w) as i64][random.below(3)];
            same(Op::Sqrt(Sqrt { factor: 1 + random.below(4) as i64, least }), input, encoding)
        }
        "Maximum" => {
            let encodings = [encoding, digits(random, w)];
            pair(random, Op::Maximum(Maximum { limbs }), input, encodings)
        }
        "Step" => same(Op::Step(Step { limbs }), input, encoding),
        _ => {
            let input = shape(random, axes.min(7));
            let count = 1 + random.below(6);
            let mut output = input.clone();
            output.push(count);
            let bits = w;
            let encoding = Encoding::uniform(bits, random.below(2) as i64, Scale { mantissa: 1 });
            Case::of(Op::OneHot(OneHot { count }), w, (input, encoding), output)
        }
    }
}

/// Integers at the edges of what the digits hold, around zero, anywhere, and now and then one that no digit holds.
fn inputs(random: &mut Random, graph: &Graph) -> Vec<Vec<i64>> {
    let beyond = random.below(12) == 0;
    let narrow = random.below(2) == 0;
    let of_port = |port: &Port| {
        let (min, max) = port.encoding.range();
        let element = |_| match random.below(10) {
            0 => min,
            1 => max,
            2 if beyond => [min - 1, max + 1, i64::MIN, i64::MAX][random.below(4)],
            3..6 => (random.below(7) as i64 - 3).clamp(min, max),
            _ if narrow => (random.below(40) as i64).clamp(min, max),
            _ => min + random.below((max - min + 1) as usize) as i64,
        };
        (0..graph.tensors[port.tensor].len()).map(element).collect()
    };
    graph.inputs.iter().map(of_port).collect()
}

/// What an adversary's wires prove is what the executor computes from the inputs that their words state, by the very wires of that witness.
fn judge(shape: BoundGraph<'_>, circuit: &Circuit, small: &[Fr], context: Fr, what: &str) -> bool {
    if !circuit.completable(&[context], small, &[]) {
        return false;
    }
    let words = circuit.words(&[context], small, &[]);
    let mut rest = &words[..];
    let mut inputs = Vec::new();
    for port in &shape.graph.inputs {
        let count = shape.graph.tensors[port.tensor].len();
        let (mine, more) = rest.split_at(zkslice_formats::words_of(count, port.encoding.bits));
        let digits = gadgets::unpack_values(mine, count, port.encoding.bits).unwrap_or_else(|| panic!("{what}: not digits"));
        let offset = port.encoding.features[0].offset;
        inputs.push(digits.iter().map(|digit| digit - offset).collect::<Vec<i64>>());
        rest = more;
    }
    let (witness, _) =
        build_witness(shape, &values(shape, &inputs)).unwrap_or_else(|error| panic!("{what}: proves what is refused: {error}"));
    assert_eq!(witness.words, words, "{what}: a false statement");
    assert_eq!(witness.small.iter().map(|v| Fr::from(*v)).collect::<Vec<_>>(), small, "{what}: a second witness");
    true
}

/// Whether executor and circuit agree on these inputs: both refuse them, or both give the same, within the intervals. Gives the wires.
pub(crate) fn agree(graph: &Graph, circuit: &Circuit, inputs: &[Vec<i64>], what: &str) -> Option<Vec<Fr>> {
    let (input_bindings, output_bindings) = (vec![Binding::Words; graph.inputs.len()], vec![Binding::Words; graph.outputs.len()]);
    let shape = BoundGraph { graph, inputs: &input_bindings, outputs: &output_bindings };
    let traced = build_witness(shape, &values(shape, inputs));
    let executed = match execute(graph, inputs) {
        Ok(executed) => executed,
        Err(error) => {
            assert!(matches!(traced, Err(CircuitError::OutOfRange { .. })), "{what}: {inputs:?}: {error}, but the trace is {traced:?}");
            return None;
        }
    };
    let (witness, outputs) = traced.unwrap_or_else(|error| panic!("{what}: {inputs:?}: {error}, but it is executed"));
    for (port, output) in graph.outputs.iter().zip(&outputs) {
        assert_eq!(output, &executed[port.tensor], "{what}: {inputs:?}");
    }
    for (tensor, interval) in graph.intervals().unwrap().iter().enumerate() {
        let inside = executed[tensor].iter().all(|&v| interval.min <= v.into() && interval.max >= v.into());
        assert!(inside, "{what}: {inputs:?}: tensor {tensor} leaves {interval:?}: {:?}", executed[tensor]);
    }
    let layout = circuit.layout();
    let tables: Vec<_> = witness.lookups.iter().map(|(entries, positions)| (entries.len(), positions.len())).collect();
    assert_eq!(tables, layout.tables.iter().map(|t| (t.entries, t.lookups)).collect::<Vec<_>>(), "{what}");
    assert_eq!((witness.small.len(), witness.products.len()), (layout.small, layout.products), "{what}");
    let small: Vec<Fr> = witness.small.iter().map(|v| Fr::from(*v)).collect();
    assert!(judge(shape, circuit, &small, witness.publics[0], what), "{what}: {inputs:?}: the honest witness is refused");
    Some(small)
}

pub(crate) fn circuit_of(graph: &Graph) -> Result<Circuit, CircuitError> {
    let (inputs, outputs) = (vec![Binding::Words; graph.inputs.len()], vec![Binding::Words; graph.outputs.len()]);
    build_circuit(BoundGraph { graph, inputs: &inputs, outputs: &outputs })
}

#[test]
fn every_operator_keeps_the_laws() {
    let mut rng = StdRng::seed_from_u64(31);
    for (code, name) in NAMES.iter().enumerate() {
        let mut random = Random(0x9e37_79b9_7f4a_7c15 ^ code as u64);
        let [mut accepted, mut refused, mut moved] = [0; 3];
        for number in 0..150 {
            let case = case(code, &mut random);
            let what = format!("{name} {number}: {:?} on {:?}", case.op, case.inputs);
            let graph = case.graph().unwrap_or_else(|error| panic!("{what}: {error}"));
            assert_eq!(usize::from(postcard::to_stdvec(&case.op).unwrap()[0]), code, "{what}: its code is its position");
            let bytes = graph.to_bytes().unwrap();
            let read = Graph::from_bytes(&bytes).unwrap();
            assert!(read == graph && read.to_bytes().unwrap() == bytes, "{what}: its bytes");

            let circuit = circuit_of(&graph).unwrap_or_else(|error| panic!("{what}: {error}"));
            let (site, layout) = (graph.site(&graph.nodes[0]), circuit.layout());
            let read: usize =
                graph.inputs.iter().map(|port| graph.tensors[port.tensor].len() * (port.encoding.bits / case.w) as usize).sum();
            assert_eq!(layout.products, case.op.products(&site), "{what}: its products");
            assert_eq!(layout.tables[0].lookups, read + case.op.lookups(&site), "{what}: its lookups");
            let looked_up = case.op.function(&site).map(|(f, lookups)| (graph.functions[f].values.len(), lookups));
            let tables = layout.tables[1..].iter().map(|table| (table.entries, table.lookups));
            assert_eq!(tables.collect::<Vec<_>>(), Vec::from_iter(looked_up), "{what}: its function");

            let mut wires = None;
            for _ in 0..12 {
                match agree(&graph, &circuit, &inputs(&mut random, &graph), &what) {
                    Some(small) => (accepted, wires) = (accepted + 1, Some(small)),
                    None => refused += 1,
                }
            }
            let Some(small) = wires else { continue };
            let bindings = [vec![Binding::Words; graph.inputs.len()], vec![Binding::Words]];
            let shape = BoundGraph { graph: &graph, inputs: &bindings[0], outputs: &bindings[1] };
            for i in 0..small.len() {
                let fraction = Fr::from(1u64 << case.w).inverse().unwrap();
                let by = [Fr::one(), -Fr::one(), fraction, -fraction, Fr::from(1u64 << case.w), Fr::rand(&mut rng)];
                for forged in by.map(|by| small[i] + by).into_iter().chain([-small[i], small[(i + 1) % small.len()]]) {
                    let mut wires = small.clone();
                    wires[i] = forged;
                    judge(shape, &circuit, &wires, Fr::from(5u64), &format!("{what}: wire {i} := {forged}"));
                    moved += 1;
                }
            }
        }
        assert!(accepted > 100 && moved > 100, "{name}: {accepted} accepted, {refused} refused, {moved} wires moved");
    }
}

/// Graph files with damage: what still validates has a circuit that agrees with the executor, for every operator.
#[test]
fn damaged_graphs_that_validate_keep_the_laws() {
    let mut unbuildable = 0;
    for (code, name) in NAMES.iter().enumerate() {
        let mut random = Random(0xd1b5_4a32_d192_ed03 ^ code as u64);
        let (mut accepted, mut agreed) = (0, 0);
        for number in 0..150 {
            let bytes = case(code, &mut random).graph().unwrap().to_bytes().unwrap();
            for _ in 0..60 {
                let mut damaged = bytes.clone();
                for _ in 0..=random.below(3) {
                    let at = 12 + random.below(damaged.len() - 12);
                    match random.below(4) {
                        0 => damaged[at] = random.below(256) as u8,
                        1 => damaged[at] ^= 1 << random.below(8),
                        // The widest numbers that a field may hold.
                        2 => drop(damaged.splice(at..at + 1, [[0xff; 9].as_slice(), &[1]].concat())),
                        _ => drop(damaged.splice(at..at + 1, [[0xfe; 9].as_slice(), &[1]].concat())),
                    }
                }
                let Ok(graph) = Graph::from_bytes(&damaged) else { continue };
                let node = &graph.nodes[0];
                let intervals = graph.intervals().unwrap();
                let read: Vec<Interval> = node.inputs.iter().map(|&tensor| intervals[tensor]).collect();
                let work = node.op.check(&graph.site(node), &read).unwrap().work;
                if work > 50_000 || graph.tensors.iter().map(Tensor::len).sum::<usize>() > 3_000 {
                    continue;
                }
                accepted += 1;
                let what = format!("{name} {number}: {graph:?}");
                let circuit = match circuit_of(&graph) {
                    Ok(circuit) => circuit,
                    // Sums at the very edge: there is no key for such a circuit.
                    Err(CircuitError::Overflow) => {
                        unbuildable += 1;
                        continue;
                    }
                    Err(error) => panic!("{what}: {error}"),
                };
                for _ in 0..4 {
                    agreed += usize::from(agree(&graph, &circuit, &inputs(&mut random, &graph), &what).is_some());
                }
            }
        }
        assert!(accepted > 20 && agreed > 0, "{name}: {accepted} damaged files are graphs, {agreed} inputs accepted");
    }
    assert!(unbuildable < 10, "{unbuildable}");
}

/// Random graphs over all operators: wires moved, alone and in pairs, prove nothing but what the executor says of other inputs.
#[test]
fn attack_g4_wires_of_random_graphs() {
    let mut rng = StdRng::seed_from_u64(32);
    let mut judged = 0;
    for seed in 1..=400_u64 {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let graph = crate::network::network(&mut random);
        let circuit = circuit_of(&graph).unwrap();
        let what = format!("network {seed}");
        let Some(small) = (0..6).find_map(|_| agree(&graph, &circuit, &crate::network::inputs(&mut random, &graph), &what)) else {
            continue;
        };
        let (inputs, outputs) = (vec![Binding::Words; graph.inputs.len()], vec![Binding::Words; graph.outputs.len()]);
        let shape = BoundGraph { graph: &graph, inputs: &inputs, outputs: &outputs };
        let sizes = [0, 1, graph.table_bits, graph.table_bits + 1, 2 * graph.table_bits].map(|bits| Fr::from(1u64 << bits));
        let by: Vec<Fr> = sizes.into_iter().chain(sizes.map(|size| size.inverse().unwrap())).flat_map(|by| [by, -by]).collect();
        for round in 0..400 {
            let mut wires = small.clone();
            let i = random.below(small.len());
            // Alone, beside a wire nearby, or beside any wire.
            for i in [i, [i, (i + 1 + random.below(3)) % small.len(), random.below(small.len())][round % 3]] {
                wires[i] += if random.below(8) == 0 { Fr::rand(&mut rng) } else { by[random.below(by.len())] };
            }
            judged += usize::from(judge(shape, &circuit, &wires, Fr::from(5u64), &what) && wires != small);
        }
    }
    assert!(judged > 50, "{judged} were witnesses of other inputs");
}

/// The graph of a case with its node in parts along an axis, ends of the stretches given; none where the operator has no such parts.
fn in_parts(graph: &Graph, axis: usize, ends: &[usize]) -> Option<Graph> {
    let node = &graph.nodes[0];
    let shape = graph.tensors[node.output].shape.clone();
    let mut parts = Graph { nodes: Vec::new(), ..graph.clone() };
    let mut joined = Vec::new();
    let mut start = 0;
    for &end in ends {
        let part = node.op.part(&graph.site(node), &Stretch { shape: shape.clone(), axis, range: start..end })?;
        let mut push = |op: Op, inputs: Vec<TensorId>, shape: Vec<usize>| {
            parts.tensors.push(Tensor { name: "part".into(), shape });
            let output = parts.tensors.len() - 1;
            parts.nodes.push(Node { name: "part".into(), op, inputs, output });
            output
        };
        let read = part.inputs.iter().map(|(input, stretch)| push(stretch.view().into(), vec![node.inputs[*input]], stretch.cut()));
        let read: Vec<TensorId> = read.collect();
        let mut cut = shape.clone();
        cut[axis] = end - start;
        joined.push(push(part.op, read, cut));
        start = end;
    }
    parts.nodes.push(Node { name: "join".into(), op: Concat { axis }.into(), inputs: joined, output: node.output });
    Some(parts)
}

/// Parts of an operator together are the operator: the same values or a refusal, the same interval, the same cost.
#[test]
fn parts_of_every_operator_are_the_whole() {
    for (code, name) in NAMES.iter().enumerate() {
        let mut random = Random(0x94d0_49bb_1331_11eb ^ code as u64);
        let (mut found, mut refused) = (0, 0);
        for number in 0..300 {
            let graph = case(code, &mut random).graph().unwrap();
            let shape = &graph.tensors[graph.nodes[0].output].shape;
            for (axis, &length) in shape.iter().enumerate() {
                let mut ends: Vec<usize> = (1..length).filter(|_| random.below(2) == 0).collect();
                ends.push(length);
                let Some(parts) = in_parts(&graph, axis, &ends) else { continue };
                let what = format!("{name} {number}: {:?} on {:?}, axis {axis}, ends {ends:?}", graph.nodes[0].op, graph.tensors);
                let output = graph.outputs[0].tensor;
                let (whole, joined) = (graph.intervals().unwrap(), parts.intervals().unwrap_or_else(|error| panic!("{what}: {error}")));
                assert_eq!(whole[output], joined[output], "{what}: its interval");
                let cost = |graph: &Graph| {
                    let of = |node: &Node| {
                        let site = graph.site(node);
                        let function = node.op.function(&site).map_or(0, |(_, lookups)| lookups);
                        [node.op.products(&site), node.op.lookups(&site), function]
                    };
                    graph.nodes.iter().map(of).fold([0; 3], |sum, cost| [0, 1, 2].map(|i| sum[i] + cost[i]))
                };
                assert_eq!(cost(&graph), cost(&parts), "{what}: its cost");
                for _ in 0..4 {
                    let given = inputs(&mut random, &graph);
                    match (execute(&graph, &given), execute(&parts, &given)) {
                        (Ok(whole), Ok(joined)) => assert_eq!(whole[output], joined[output], "{what}"),
                        (Err(_), Err(_)) => refused += 1,
                        (whole, joined) => panic!("{what}: {whole:?} as a whole, {joined:?} in parts"),
                    }
                }
                found += usize::from(ends.len() > 1);
            }
        }
        assert!(found > 20 || *name == "View", "{name}: {found} in parts, {refused} refused");
    }
}
