//! Circuits of graphs: executor, trace and constraints agree on random graphs, and an adversary who moves several wires at
//! once proves nothing that the executor does not say.

use crate::network::{Random, bindings, inputs, network, publics, values};
use ark_bn254::Fr;
use ark_ff::{Field, One, UniformRand};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use rand::{Rng, SeedableRng, rngs::StdRng};
use zkslice_circuit::{Circuit, CircuitError, Witness};

use zkslice_graph::{
    Binding, BoundGraph, Conv, Dense, Encoding, Graph, MaxPool, Node, Op, Port, Relu, Requant, Reshape, Scale, Tensor, Window,
    build_circuit, build_witness, execute,
};

fn run(cases: u32, test: impl Fn(u64) -> Result<(), TestCaseError>) {
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    runner.run(&(1_u64..u64::MAX), test).unwrap();
}

/// Moves elements to the ends of what their digits hold, and now and then one beyond.
fn at_the_edges(random: &mut Random, graph: &Graph, inputs: &mut [Vec<i64>]) {
    for (port, values) in graph.inputs.iter().zip(inputs) {
        let (min, max) = port.encoding.range();
        for value in values {
            *value = [min, max, *value][random.below(3)] + i64::from(random.below(90) == 0) * [1, -1][random.below(2)];
        }
    }
}

/// Values of A and B in the rows before the second round's, as the matrices give them.
fn first_rows(circuit: &Circuit, z: &[Fr]) -> Vec<(Fr, Fr)> {
    let [a, b, _] = circuit.evaluate(z);
    let rows = circuit.layout().products + circuit.layout().field_products;
    a.into_iter().zip(b).take(rows).collect()
}

/// What the executor accepts has a witness with the same outputs that satisfies every row; what it refuses has none.
#[test]
fn executor_trace_and_constraints_agree() {
    let (accepted, met) = (std::cell::Cell::new(0), std::cell::RefCell::new(std::collections::BTreeSet::new()));
    run(300, |seed| {
        let mut random = Random(seed);
        let graph = network(&mut random);
        let (input_bindings, output_bindings) = bindings(&mut random, &graph);
        let shape = BoundGraph { graph: &graph, inputs: &input_bindings, outputs: &output_bindings };
        let circuit = build_circuit(shape).map_err(|e| TestCaseError::fail(e.to_string()))?;
        let intervals = graph.intervals().unwrap();
        for round in 0..5 {
            let mut inputs = inputs(&mut random, &graph);
            if round > 2 {
                at_the_edges(&mut random, &graph, &mut inputs);
            }
            let executed = execute(&graph, &inputs);
            let values = values(shape, &inputs);
            let traced = build_witness(shape, &values);
            let Ok(executed) = executed else {
                let refused = matches!(traced, Err(CircuitError::OutOfRange { .. }));
                prop_assert!(refused, "the executor refuses what the circuit proves");
                continue;
            };
            let expected: Vec<Vec<i64>> = graph.outputs.iter().map(|port| executed[port.tensor].clone()).collect();
            let (witness, outputs) = traced.map_err(|e| TestCaseError::fail(e.to_string()))?;
            prop_assert_eq!(&outputs, &expected);
            for (tensor, (values, interval)) in executed.iter().zip(&intervals).enumerate() {
                let inside = values.iter().all(|&v| interval.min <= v.into() && interval.max >= v.into());
                prop_assert!(inside, "tensor {tensor} leaves {interval:?}");
            }
            prop_assert_eq!(&witness.publics, &publics(shape, &values, &expected));
            accepted.set(accepted.get() + 1);
            met.borrow_mut().extend(graph.nodes.iter().map(|node| postcard::to_stdvec(&node.op).unwrap()[0]));
            let layout = circuit.layout();
            prop_assert_eq!(witness.small.len(), layout.small);
            prop_assert_eq!(witness.field.len(), layout.field);
            prop_assert_eq!(witness.words.len(), layout.words);
            let tables: Vec<_> = witness.lookups.iter().map(|(entries, positions)| (entries.len(), positions.len())).collect();
            prop_assert_eq!(tables, layout.tables.iter().map(|t| (t.entries, t.lookups)).collect::<Vec<_>>());
            let challenge = Fr::from(random.0).square();
            let z = circuit.assignment(&witness, challenge).unwrap();
            prop_assert_eq!(z.len(), layout.wires());
            prop_assert!(circuit.check(&z).is_ok());
            let small: Vec<Fr> = witness.small.iter().map(|v| Fr::from(*v)).collect();
            prop_assert!(circuit.completable(&witness.publics, &small, &witness.field));
            prop_assert_eq!(circuit.words(&witness.publics, &small, &witness.field), witness.words.clone());
            // What the prover evaluates without the matrices is what the matrices give.
            let integers = witness.products.iter().map(|(a, b)| (Fr::from(*a), Fr::from(*b)));
            let traced: Vec<(Fr, Fr)> = integers.chain(witness.field_products.iter().copied()).collect();
            prop_assert_eq!(traced, first_rows(&circuit, &z));
        }
        Ok(())
    });
    assert!(accepted.get() > 450, "{} of 1500 inputs were accepted", accepted.get());
    assert_eq!(met.borrow().len(), crate::laws::NAMES.len(), "operators in accepted graphs: {met:?}");
}

const BITS: u32 = 5;
const W: u32 = 6;

/// conv 3×3 → ReLU → max pool 2×2 → dense → requantise, on a 4×5 image of 5-bit pixels with a table of 6 bits.
fn small_network(seed: u64) -> Graph {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut weights = |count: usize, size: i64| (0..count).map(|_| rng.gen_range(-size..=size)).collect::<Vec<i64>>();
    let encoding = |bits: u32, offset: i64| Encoding::uniform(bits, offset, Scale { mantissa: 1 });
    let tensor = |name: &str, shape: &[usize]| Tensor { name: name.into(), shape: shape.into() };
    let window = |input, output, kernel, strides| Window { input, output, kernel, strides, dilations: [1; 2], pads: [0; 2] };
    let node = |name: &str, op, input, output| Node { name: name.into(), op, inputs: vec![input], output };
    let conv = Conv { window: window([1, 4, 5], [2, 3], [3, 3], [1, 1]), groups: 1, weights: weights(18, 12), bias: weights(2, 200) };
    let dense = Dense { rows: 1, k: 4, n: 3, weights: weights(12, 20), bias: weights(3, 90) };
    let graph = Graph {
        table_bits: W,
        tensors: vec![
            tensor("x", &[1, 1, 4, 5]),
            tensor("conv", &[1, 2, 2, 3]),
            tensor("relu", &[1, 2, 2, 3]),
            tensor("pool", &[1, 2, 1, 2]),
            tensor("flat", &[1, 4]),
            tensor("dense", &[1, 3]),
            tensor("y", &[1, 3]),
        ],
        nodes: vec![
            node("conv", Op::Conv(conv), 0, 1),
            node("relu", Op::Relu(Relu { shift: W }), 1, 2),
            node("pool", Op::MaxPool(MaxPool { window: window([2, 2, 3], [1, 2], [2, 2], [1, 1]), limbs: 1 }), 2, 3),
            node("flat", Op::Reshape(Reshape), 3, 4),
            node("dense", Op::Dense(dense), 4, 5),
            node("y", Op::Requant(Requant { shift: W }), 5, 6),
        ],
        inputs: vec![Port { tensor: 0, encoding: encoding(BITS, 16) }],
        outputs: vec![Port { tensor: 6, encoding: encoding(W, 32) }],
        functions: Vec::new(),
    };
    graph.validate().unwrap();
    graph
}

struct Target {
    graph: Graph,
    circuit: Circuit,
    bindings: [Binding; 1],
}

impl Target {
    fn new(seed: u64, binding: Binding) -> Self {
        let graph = small_network(seed);
        let bindings = [binding];
        let circuit = build_circuit(BoundGraph { graph: &graph, inputs: &bindings, outputs: &bindings }).unwrap();
        Self { graph, circuit, bindings }
    }

    fn witness(&self, pixels: &[i64]) -> Option<Witness> {
        let inputs = [pixels.to_vec()];
        execute(&self.graph, &inputs).ok()?;
        let shape = BoundGraph { graph: &self.graph, inputs: &self.bindings, outputs: &self.bindings };
        Some(build_witness(shape, &values(shape, &inputs)).unwrap().0)
    }

    /// An input that the network accepts.
    fn honest(&self, rng: &mut StdRng) -> Witness {
        loop {
            let pixels: Vec<i64> = (0..20).map(|_| rng.gen_range(-16..16)).collect();
            if let Some(witness) = self.witness(&pixels) {
                return witness;
            }
        }
    }

    /// Refuses a mutated assignment unless what it states is true: its own input words give its own output words.
    fn judge(&self, publics: &[Fr], small: &[Fr], field: &[Fr], what: impl Fn() -> String) {
        if !self.circuit.completable(publics, small, field) {
            return;
        }
        let words = self.circuit.words(publics, small, field);
        let (input, output) = words.split_at(words.len() - 1);
        let digits = zkslice_circuit::gadgets::unpack_values(input, 20, BITS).unwrap_or_else(|| panic!("{}: not digits", what()));
        let pixels: Vec<i64> = digits.iter().map(|d| d - 16).collect();
        let witness = self.witness(&pixels).unwrap_or_else(|| panic!("{}: proves what the executor refuses", what()));
        assert_eq!(witness.words.last(), output.first(), "{}: a false statement is accepted", what());
        assert_eq!(witness.small.iter().map(|v| Fr::from(*v)).collect::<Vec<_>>(), small, "{}: a second witness", what());
    }
}

fn wires(witness: &Witness) -> Vec<Fr> {
    witness.small.iter().map(|v| Fr::from(*v)).collect()
}

/// Moves that gadgets are weak against one by one: a unit, a table, a digit, and the fractions that a scaled lookup would admit.
fn moves() -> Vec<Fr> {
    let mut moves = Vec::new();
    for size in [1u64, 2, 16, 1 << BITS, 1 << W, (1 << W) - 1, 1 << (2 * W)] {
        let size = Fr::from(size);
        moves.extend([size, -size]);
        let inverse = size.inverse().unwrap();
        if !inverse.is_one() {
            moves.extend([inverse, -inverse]);
        }
    }
    moves
}

/// Two wires at a time, near each other: (q, y), the limbs of a value, digits that keep their packed word, neighbouring digits.
#[test]
fn attack_g4_pairs_of_wires_moved_together() {
    let mut rng = StdRng::seed_from_u64(1);
    let target = Target::new(3, Binding::Words);
    let honest = target.honest(&mut rng);
    let base = wires(&honest);
    let moves = moves();
    for i in 0..base.len() {
        for j in i + 1..base.len().min(i + 4) {
            for x in &moves {
                for y in &moves {
                    let mut small = base.clone();
                    small[i] += x;
                    small[j] += y;
                    target.judge(&honest.publics, &small, &[], || format!("wires {i} + {x}, {j} + {y}"));
                }
                // Both to the same, one to the other's opposite, and swapped.
                for forged in [[base[j], base[j]], [base[j], base[i]], [-base[i], -base[j]], [*x, *x], [*x, -*x]] {
                    let mut small = base.clone();
                    (small[i], small[j]) = (forged[0], forged[1]);
                    target.judge(&honest.publics, &small, &[], || format!("wires {i}, {j} := {forged:?}"));
                }
            }
        }
    }
    // The forged digits of B2: the packed word stays, the pixels change.
    for i in 0..19 {
        for (x, y) in [(Fr::from(1u64 << BITS), -Fr::one()), (Fr::from(3), -Fr::from(3) * Fr::from(1u64 << BITS).inverse().unwrap())] {
            for sign in [Fr::one(), -Fr::one()] {
                let mut small = base.clone();
                small[i] += sign * x;
                small[i + 1] += sign * y;
                assert_eq!(target.circuit.words(&[], &small, &[]), honest.words, "the word is kept");
                assert!(!target.circuit.completable(&honest.publics, &small, &[]), "digits {i} and {}", i + 1);
            }
        }
    }
}

/// Two or three wires anywhere, by structured and by random amounts.
#[test]
fn attack_g4_wires_anywhere_moved_together() {
    let mut rng = StdRng::seed_from_u64(2);
    let moves = moves();
    for seed in 0..4 {
        let target = Target::new(seed, Binding::Words);
        let honest = target.honest(&mut rng);
        let base = wires(&honest);
        for _ in 0..20_000 {
            let mut small = base.clone();
            let count = rng.gen_range(2..=3);
            let moved: Vec<(usize, Fr)> = (0..count)
                .map(|_| {
                    let by = if rng.gen_range(0..8) == 0 { Fr::rand(&mut rng) } else { moves[rng.gen_range(0..moves.len())] };
                    (rng.gen_range(0..small.len()), by)
                })
                .collect();
            moved.iter().for_each(|(i, by)| small[*i] += by);
            target.judge(&honest.publics, &small, &[], || format!("network {seed}: {moved:?}"));
        }
    }
}

/// Wires of two honest witnesses mixed: cut anywhere, or each wire from one of them.
#[test]
fn attack_g4_two_witnesses_mixed() {
    let mut rng = StdRng::seed_from_u64(3);
    for seed in 0..4 {
        let target = Target::new(seed, Binding::Words);
        for _ in 0..20 {
            let (first, second) = (target.honest(&mut rng), target.honest(&mut rng));
            let (a, b) = (wires(&first), wires(&second));
            for cut in 0..=a.len() {
                let mixed = [&a[..cut], &b[cut..]].concat();
                target.judge(&first.publics, &mixed, &[], || format!("network {seed}: cut at {cut}"));
            }
            for from in 0..a.len() {
                for to in [from + 1, from + 2, from + 3] {
                    let mut mixed = a.clone();
                    let to = to.min(a.len());
                    mixed[from..to].copy_from_slice(&b[from..to]);
                    target.judge(&first.publics, &mixed, &[], || format!("network {seed}: {from}..{to} of another"));
                }
            }
            let mask: Vec<Fr> = a.iter().zip(&b).map(|(x, y)| if rng.r#gen() { *x } else { *y }).collect();
            target.judge(&first.publics, &mask, &[], || format!("network {seed}: each wire of either"));
        }
    }
}

/// Under commitments: small wires, Poseidon's wires and salts moved together, and the second of two openings, never fit.
#[test]
fn attack_g4_committed_borders_moved_together() {
    let mut rng = StdRng::seed_from_u64(4);
    let moves = moves();
    let target = Target::new(1, Binding::Commitment { owner: false });
    let (honest, other) = (target.honest(&mut rng), target.honest(&mut rng));
    let (base, others) = (wires(&honest), wires(&other));
    assert!(target.circuit.completable(&honest.publics, &base, &honest.field));
    assert!(!target.circuit.completable(&honest.publics, &others, &other.field), "another opening of the commitments");
    for _ in 0..10_000 {
        let (mut small, mut field) = (base.clone(), honest.field.clone());
        let by = |rng: &mut StdRng| if rng.gen_range(0..4) == 0 { Fr::rand(rng) } else { moves[rng.gen_range(0..moves.len())] };
        let (i, j) = (rng.gen_range(0..small.len()), rng.gen_range(0..field.len()));
        small[i] += by(&mut rng);
        field[j] += by(&mut rng);
        if rng.r#gen() {
            let k = rng.gen_range(0..field.len());
            field[k] += by(&mut rng);
        }
        assert!(!target.circuit.completable(&honest.publics, &small, &field), "small {i}, field {j}");
    }
    // Either side of the border from another inference: input digits and hash of one, the rest of the other.
    for cut in 1..base.len() {
        let small = [&base[..cut], &others[cut..]].concat();
        for field in [&honest.field, &other.field] {
            for publics in [&honest.publics, &other.publics] {
                let whole = small == base && field == &honest.field && publics == &honest.publics;
                assert_eq!(target.circuit.completable(publics, &small, field), whole, "cut at {cut}");
            }
        }
    }
}
