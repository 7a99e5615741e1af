//! A model with a node that is too large for its slice.

use ark_std::rand::{SeedableRng, rngs::StdRng};
use serde_json::Value;
use zkslice_graph::{Conv, Dense, Encoding, Graph, MaxPool, Node, Op, Port, Relu, Requant, Scale, Tensor, Window, execute};
use zkslice_prover::{BundleError, Inference, Verifier, prove};
use zkslice_slicer::{InputMode, Package, PackageError, PackageOptions, Strategy, partition, setup};

/// A convolution of eight channels over a plane of 12 by 12, its activation, a max pool and a dense layer.
fn graph() -> Graph {
    let tensor = |name: &str, shape: &[usize]| Tensor { name: name.into(), shape: shape.to_vec() };
    let node = |name: &str, op: Op, input: usize| Node { name: name.into(), op, inputs: vec![input], output: input + 1 };
    let encoding = |bits: u32, offset: i64| Encoding::uniform(bits, offset, Scale { mantissa: 1 << 40 });
    let numbers = |count: usize, factor: usize| (0..count).map(|i| (i * factor % 61) as i64 - 30).collect::<Vec<i64>>();
    let window = Window { input: [1, 12, 12], output: [12; 2], kernel: [3; 2], strides: [1; 2], dilations: [1; 2], pads: [1; 2] };
    let conv = Conv { window: window.clone(), groups: 1, weights: numbers(72, 37), bias: numbers(8, 11) };
    let pool = MaxPool {
        window: Window { input: [8, 12, 12], output: [6; 2], kernel: [2; 2], strides: [2; 2], pads: [0; 2], ..window },
        limbs: 1,
    };
    let dense = Dense { rows: 1, k: 288, n: 4, weights: numbers(1152, 17), bias: numbers(4, 5) };
    Graph {
        table_bits: 8,
        tensors: vec![
            tensor("x", &[1, 1, 12, 12]),
            tensor("sums", &[1, 8, 12, 12]),
            tensor("active", &[1, 8, 12, 12]),
            tensor("pooled", &[1, 8, 6, 6]),
            tensor("scores", &[1, 4]),
            tensor("y", &[1, 4]),
        ],
        nodes: vec![
            node("conv", conv.into(), 0),
            node("relu", Relu { shift: 8 }.into(), 1),
            node("pool", pool.into(), 2),
            node("dense", dense.into(), 3),
            node("y", Requant { shift: 8 }.into(), 4),
        ],
        inputs: vec![Port { tensor: 0, encoding: encoding(7, 64) }],
        outputs: vec![Port { tensor: 5, encoding: encoding(8, 128) }],
        functions: Vec::new(),
    }
}

/// The activation alone has more rows than a slice may: its parts are proven apart, compose, and verify as one bundle.
#[test]
fn a_node_too_large_for_a_slice_is_proven_in_parts() {
    let graph = graph();
    let strategy = Strategy::MaxConstraints(4000);
    let refused = partition(&graph, strategy, InputMode::Private);
    assert!(matches!(refused, Err(PackageError::TooLarge { limit: 4000, ref node, .. }) if node == "relu"), "{refused:?}");
    let folder = tempfile::tempdir().unwrap();
    let options = PackageOptions { name: "wide".into(), inputs: InputMode::Private, strategy, coverage_policy: Vec::new() };
    let package = Package::create(&folder.path().join("package"), &graph, &options, Value::Null).unwrap();
    let slices = package.slice_count();
    assert!(slices > 1 && package.manifest().slices.iter().all(|slice| slice.constraints <= 4000), "{:?}", package.manifest().slices);
    let mut rng = StdRng::seed_from_u64(12);
    setup(std::slice::from_ref(&package), &mut rng, |_, _| ()).unwrap();
    let verifier = Verifier::new(&package).unwrap();
    let mut owner = [0; 32];
    owner[31] = 9;
    let input: Vec<i64> = (0..144).map(|i| i * 29 % 23 - 11).collect();
    let expected = execute(&graph, std::slice::from_ref(&input)).unwrap().swap_remove(5);
    let inference = Inference { owner, ..Inference::of_inputs(&package, vec![input]).unwrap() };
    let proven = prove(&package, inference.clone(), 0..slices, &mut rng, |_| ()).unwrap();
    assert_eq!(verifier.verify(&proven.bundle).unwrap(), [expected]);
    // Each slice counts.
    let other = prove(&package, inference, 0..slices, &mut rng, |_| ()).unwrap().bundle;
    for slice in 0..slices {
        let mut bundle = proven.bundle.clone();
        bundle.proofs[slice] = other.proofs[slice].clone();
        assert!(matches!(verifier.verify(&bundle), Err(BundleError::Proof { .. })), "slice {slice} of another inference");
    }
}
