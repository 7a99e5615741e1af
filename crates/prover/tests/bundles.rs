//! Bundles of a model in three slices: what is not the bundle of this statement, byte for byte, is refused.

use std::sync::OnceLock;

use ark_std::rand::SeedableRng;
use ark_std::rand::rngs::{OsRng, StdRng};
use serde_json::{Value, json};
use zkslice_compiler::{FloatGraph, FloatNode, FloatOp, Options, Value as FloatValue, compile_float};
use zkslice_formats::{VersionError, hex0x, keccak};
use zkslice_graph::{Dense, Encoding, Function, Graph, Input, Node, Op, Port, Relu, Requant, Samples, Scale, Table, Tensor};
use zkslice_groth16::verify_batch;
use zkslice_prover::{
    Bound, Bundle, BundleError, Inference, Openings, Proven, ProverError, Verifier, Word, encode_request, execute, prove,
};
use zkslice_slicer::{InputMode, Package, PackageOptions, Strategy, TensorKind, setup, setup_again};

/// Three dense layers with ReLUs between them: 12 → 8 → 8 → 4, a table of 8 bits.
fn graph() -> Graph {
    let tensor = |name: &str, size: usize| Tensor { name: name.into(), shape: vec![1, size] };
    let dense = |k: usize, n: usize, seed: usize| {
        let weights = (0..k * n).map(|i| ((i * 37 + seed * 11) % 61) as i64 - 30).collect();
        Op::Dense(Dense { rows: 1, k, n, weights, bias: (0..n).map(|i| 50 * i as i64 - 100).collect() })
    };
    let node = |name: &str, op: Op, input: usize| Node { name: name.into(), op, inputs: vec![input], output: input + 1 };
    let encoding = |bits: u32, offset: i64| Encoding::uniform(bits, offset, Scale { mantissa: 1 << 40 });
    Graph {
        table_bits: 8,
        tensors: [("x", 12), ("a", 8), ("b", 8), ("c", 8), ("d", 8), ("e", 4), ("y", 4)].map(|(name, size)| tensor(name, size)).to_vec(),
        nodes: vec![
            node("a", dense(12, 8, 1), 0),
            node("b", Op::Relu(Relu { shift: 8 }), 1),
            node("c", dense(8, 8, 2), 2),
            node("d", Op::Relu(Relu { shift: 8 }), 3),
            node("e", dense(8, 4, 3), 4),
            node("y", Op::Requant(Requant { shift: 8 }), 5),
        ],
        inputs: vec![Port { tensor: 0, encoding: encoding(6, 32) }],
        outputs: vec![Port { tensor: 6, encoding: encoding(8, 128) }],
        functions: Vec::new(),
    }
}

fn word(n: u64) -> Word {
    let mut word = [0; 32];
    word[24..].copy_from_slice(&n.to_be_bytes());
    word
}

/// A model in three slices with keys, and its input; made once.
struct World {
    _folder: tempfile::TempDir,
    package: Package,
    verifier: Verifier,
    inputs: Vec<Vec<i64>>,
    /// Proven with context 7 and, where the input is private, owner 9.
    proven: Proven,
}

fn world(mode: InputMode) -> &'static World {
    static WORLDS: [OnceLock<World>; 2] = [const { OnceLock::new() }; 2];
    WORLDS[usize::from(mode == InputMode::Private)].get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let options = PackageOptions { name: "digits".into(), inputs: mode, strategy: Strategy::Slices(3), coverage_policy: Vec::new() };
        let package = Package::create(&folder.path().join("package"), &graph(), &options, Value::Null).unwrap();
        let mut rng = StdRng::seed_from_u64(1);
        setup(std::slice::from_ref(&package), &mut rng, |_, _| ()).unwrap();
        let verifier = Verifier::new(&package).unwrap();
        let inputs = vec![(0..12).map(|i| i * 5 - 28).collect()];
        let owner = if mode == InputMode::Private { word(9) } else { word(0) };
        let inference = Inference { context: word(7), owner, ..Inference::of_inputs(&package, inputs.clone()).unwrap() };
        let proven = prove(&package, inference, 0..3, &mut rng, |_| ()).unwrap();
        World { _folder: folder, package, verifier, inputs, proven }
    })
}

/// The same model on another input.
fn another(world: &World, seed: u64) -> Proven {
    let mut inputs = world.inputs.clone();
    inputs[0].swap(2, 9);
    let inference =
        Inference { context: word(7), owner: world.proven.bundle.owner, ..Inference::of_inputs(&world.package, inputs).unwrap() };
    prove(&world.package, inference, 0..3, &mut StdRng::seed_from_u64(seed), |_| ()).unwrap()
}

#[test]
fn honest_bundles_verify_and_agree_with_the_executor() {
    for mode in [InputMode::Public, InputMode::Private] {
        let world = world(mode);
        let outputs = world.verifier.verify(&world.proven.bundle).unwrap();
        let mut values = world.inputs.clone();
        for slice in world.package.slices() {
            let all = zkslice_graph::execute(&slice.graph, &values).unwrap();
            values = slice.graph.outputs.iter().map(|port| all[port.tensor].clone()).collect();
        }
        assert_eq!(outputs, values);
        let bytes = world.proven.bundle.to_json().unwrap();
        assert_eq!(Bundle::from_json(&bytes).unwrap(), world.proven.bundle);
        let text = String::from_utf8(bytes).unwrap();
        for opening in world.proven.openings.tensors.iter().flatten().filter(|o| o.salt.is_some()) {
            let salt = serde_json::to_value(opening.salt).unwrap();
            assert!(!text.contains(salt.as_str().unwrap()), "a salt is in the bundle");
        }
    }
}

/// A function that nodes of two slices look up: each slice has its table, and a proof of its own.
#[test]
fn slices_share_a_function() {
    let tensor = |name: &str| Tensor { name: name.into(), shape: vec![1, 4] };
    let table = |name: &str, input: usize| Node {
        name: name.into(),
        op: Op::Table(Table { function: 0, shift: 0 }),
        inputs: vec![input],
        output: input + 1,
    };
    let port = |tensor: usize| Port { tensor, encoding: Encoding::uniform(4, 8, Scale { mantissa: 1 << 40 }) };
    let graph = Graph {
        table_bits: 5,
        tensors: ["x", "a", "y"].map(tensor).to_vec(),
        nodes: vec![table("a", 0), table("y", 1)],
        inputs: vec![port(0)],
        outputs: vec![port(2)],
        functions: vec![Function { first: -8, values: (0..20).map(|i| i * 5 % 16 - 8).collect(), stride: 100 }],
    };
    let folder = tempfile::tempdir().unwrap();
    let options =
        PackageOptions { name: "twice".into(), inputs: InputMode::Private, strategy: Strategy::Slices(2), coverage_policy: Vec::new() };
    let package = Package::create(&folder.path().join("package"), &graph, &options, Value::Null).unwrap();
    assert!(package.slices().iter().all(|slice| slice.graph.functions == graph.functions && slice.graph.nodes.len() == 1));
    let mut rng = StdRng::seed_from_u64(1);
    setup(std::slice::from_ref(&package), &mut rng, |_, _| ()).unwrap();
    let inputs = vec![vec![-8, -1, 3, 7]];
    let inference = Inference { context: word(7), owner: word(9), ..Inference::of_inputs(&package, inputs.clone()).unwrap() };
    let proven = prove(&package, inference, 0..2, &mut rng, |_| ()).unwrap();
    let whole = zkslice_graph::execute(&graph, &inputs).unwrap();
    assert_eq!(Verifier::new(&package).unwrap().verify(&proven.bundle).unwrap(), [whole[2].clone()]);
}

/// Every byte of a bundle, moved: not a bundle, not canonical, or not valid.
#[test]
fn every_changed_byte_is_refused() {
    let world = world(InputMode::Private);
    let bytes = world.proven.bundle.to_json().unwrap();
    let mut parsed = 0;
    for at in 0..bytes.len() {
        for change in [1u8, 2, 0x20] {
            let mut changed = bytes.clone();
            changed[at] ^= change;
            let Ok(bundle) = Bundle::from_json(&changed) else { continue };
            parsed += 1;
            assert!(world.verifier.verify(&bundle).is_err(), "byte {at}: {} for {}", changed[at] as char, bytes[at] as char);
        }
    }
    assert!(parsed > 1000, "{parsed} changes are bundles");
    for more in [&b" "[..], b"\n", b"{}"] {
        assert!(Bundle::from_json(&[&bytes, more].concat()).is_err());
        assert!(Bundle::from_json(&[more, &bytes].concat()).is_err());
    }
    for cut in (0..bytes.len()).step_by(53) {
        assert!(Bundle::from_json(&bytes[..cut]).is_err());
    }
}

#[test]
fn other_forms_are_refused_by_name() {
    let bundle = &world(InputMode::Public).proven.bundle;
    let read = |edit: &dyn Fn(&mut Value)| {
        let mut value = serde_json::to_value(bundle).unwrap();
        edit(&mut value);
        let mut bytes = serde_json::to_vec_pretty(&value).unwrap();
        bytes.push(b'\n');
        Bundle::from_json(&bytes)
    };
    assert!(matches!(read(&|v| v["version"] = json!(2)), Err(BundleError::Version(VersionError::Newer { found: 2, .. }))));
    assert!(matches!(read(&|v| v["version"] = json!(0)), Err(BundleError::Version(VersionError::Zero))));
    assert!(matches!(read(&|v| v["salt"] = json!("0x00")), Err(BundleError::Malformed(_))));
    assert!(matches!(read(&|v| v["version"] = json!(1.0)), Err(BundleError::Malformed(_))));
    assert!(matches!(Bundle::from_json(&serde_json::to_vec(bundle).unwrap()), Err(BundleError::NotCanonical)));
    let openings = |version: u32| Openings::from_json(format!("{{\"version\":{version},\"tensors\":[]}}").as_bytes(), "o.json");
    assert!(openings(1).is_ok() && openings(2).is_err() && openings(0).is_err());
}

/// Rules B3, G1: a proof serves the tensors, the context and the slice that it was made for, in this inference.
#[test]
fn attack_b3_parts_of_other_bundles_are_refused() {
    let world = world(InputMode::Private);
    let (ours, theirs) = (&world.proven.bundle, another(world, 2).bundle);
    world.verifier.verify(&theirs).unwrap();
    let refused = |what: &str, edit: &dyn Fn(&mut Bundle)| {
        let mut bundle = ours.clone();
        edit(&mut bundle);
        assert!(world.verifier.verify(&bundle).is_err(), "{what}");
    };
    for k in 0..3 {
        refused("another inference's slice proof", &|b| b.proofs[k] = theirs.proofs[k].clone());
        refused("another slice's proof", &|b| b.proofs[k].proof = ours.proofs[(k + 1) % 3].proof.clone());
    }
    for t in 0..ours.tensors.len() {
        if theirs.tensors[t] != ours.tensors[t] {
            refused("another inference's tensor", &|b| b.tensors[t] = theirs.tensors[t].clone());
        }
        refused("no tensor", &|b| b.tensors[t] = None);
        refused("a tensor of another kind", &|b| {
            b.tensors[t] = Some(match &ours.tensors[t] {
                Some(Bound::Words(words)) => Bound::Commitment(words[0]),
                Some(Bound::Commitment(word)) => Bound::Words(vec![*word]),
                None => Bound::Words(vec![]),
            });
        });
    }
    refused("boundaries swapped", &|b| {
        let last = b.tensors.len() - 1;
        b.tensors.swap(last, last - 1);
    });
    refused("another context", &|b| b.context = word(8));
    refused("context 0", &|b| b.context = word(0));
    refused("another owner", &|b| b.owner = word(8));
    refused("another model", &|b| b.model[5] ^= 1);
    refused("slices in another order", &|b| b.proofs.swap(0, 1));
    refused("a tensor too many", &|b| b.tensors.push(None));
    let modulus = zkslice_formats::hex::word("0x30644e72e131a029b85045b68181585d2833e84879b9709143e1f593f0000001").unwrap();
    let plus_r = |word: &mut Word| {
        let mut carry = 0;
        for (byte, more) in word.iter_mut().zip(&modulus).rev() {
            let sum = u16::from(*byte) + u16::from(*more) + carry;
            (*byte, carry) = (sum as u8, sum >> 8);
        }
    };
    refused("a context beyond r (B4)", &|b| plus_r(&mut b.context));
    refused("an owner beyond r (B4)", &|b| plus_r(&mut b.owner));
    for t in 0..ours.tensors.len() {
        refused("a word or commitment beyond r (B4)", &|b| match &mut b.tensors[t] {
            Some(Bound::Words(words)) => plus_r(&mut words[0]),
            Some(Bound::Commitment(word)) => plus_r(word),
            None => b.proofs.clear(),
        });
    }
    let public = self::world(InputMode::Public);
    assert!(matches!(public.verifier.verify(ours), Err(BundleError::Model { .. })));
    let nothing = Bundle { proofs: Vec::new(), tensors: Vec::new(), ..ours.clone() };
    assert!(matches!(public.verifier.verify(&nothing), Err(BundleError::Model { .. })), "that it is another model's is said first");
    let mut owned = public.proven.bundle.clone();
    owned.owner = word(9);
    assert!(public.verifier.verify(&owned).is_err(), "an owner where no input is private binds nothing");
}

/// A bundle for no use, context 0, is valid off chain and nowhere else; an owner is stated only where a slice reads it. The page on the
/// contracts' security says where they differ: `test_RevertWhen_ContextIsZero`, `test_OwnerThatNoSliceReadsIsIgnored`.
#[test]
fn bundles_off_chain_have_context_0_and_no_unread_owner() {
    for mode in [InputMode::Public, InputMode::Private] {
        let world = world(mode);
        let inference = Inference::of_inputs(&world.package, world.inputs.clone()).unwrap();
        assert_eq!((inference.context, inference.owner), (word(0), word(0)));
        let bundle = prove(&world.package, inference, 0..3, &mut StdRng::seed_from_u64(6), |_| ()).unwrap().bundle;
        world.verifier.verify(&bundle).unwrap();
        let owned = Bundle { owner: word(9), ..bundle };
        let expected = if mode == InputMode::Public { "the owner of a model without private inputs must be 0" } else { "not valid" };
        let error = world.verifier.verify(&owned).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

/// Rule B6: a bundle without all slices is no bundle, and holds nothing that its proofs do not bind.
#[test]
fn attack_b6_partial_bundles() {
    let world = world(InputMode::Public);
    let ours = &world.proven.bundle;
    for missing in 0..3 {
        let mut partial = ours.clone();
        partial.proofs.remove(missing);
        assert_eq!(world.verifier.verify(&partial), Err(BundleError::Partial(vec![missing])));
    }
    let mut twice = ours.clone();
    twice.proofs[1] = twice.proofs[2].clone();
    assert!(world.verifier.verify(&twice).is_err());
    twice.proofs = vec![ours.proofs[0].clone(), ours.proofs[0].clone(), ours.proofs[1].clone(), ours.proofs[2].clone()];
    assert_eq!(world.verifier.verify(&twice), Err(BundleError::Slices));
    // A slice's bundle, with outputs of nobody's beside it.
    let mut first = ours.clone();
    first.proofs.truncate(1);
    let read: Vec<usize> =
        [&world.package.manifest().slices[0].reads, &world.package.manifest().slices[0].writes].into_iter().flatten().copied().collect();
    for t in 0..first.tensors.len() {
        if !read.contains(&t) {
            assert!(world.verifier.verify_slices(&first).is_err(), "tensor {t} is bound by no proof");
            first.tensors[t] = None;
        }
    }
    world.verifier.verify_slices(&first).unwrap();
    first.proofs.clear();
    first.tensors.fill(None);
    assert!(world.verifier.verify_slices(&first).is_err(), "no proof at all");
}

/// Rules B8, G6: a commitment of a private input is its owner's alone, and salts are fresh.
#[test]
fn attack_b8_commitments_are_their_owners() {
    let world = world(InputMode::Private);
    let input = world.package.manifest().tensors.iter().position(|t| t.kind == TensorKind::PrivateInput).unwrap();
    let mut rng = StdRng::seed_from_u64(3);
    let mut inference = Inference { owner: word(1), ..Inference::of_inputs(&world.package, world.inputs.clone()).unwrap() };
    let first = encode_request(&world.package, &mut inference, &mut rng).unwrap();
    assert_eq!(encode_request(&world.package, &mut inference, &mut rng).unwrap(), first, "the salt stays with the opening");
    let mut other = Inference { owner: word(2), ..inference.clone() };
    assert_ne!(encode_request(&world.package, &mut other, &mut rng).unwrap(), first, "another owner, the same opening");
    let mut fresh = Inference { owner: word(1), ..Inference::of_inputs(&world.package, world.inputs.clone()).unwrap() };
    assert_ne!(encode_request(&world.package, &mut fresh, &mut rng).unwrap(), first, "a fresh salt");
    // Proven under another owner, the commitment shown is another one.
    let proven = prove(&world.package, other, 0..3, &mut rng, |_| ()).unwrap();
    world.verifier.verify(&proven.bundle).unwrap();
    assert_ne!(proven.bundle.tensors[input].as_ref(), first.first());
    // Two proofs of one inference share no commitment and no proof element.
    let (a, b) = (&world.proven.bundle, another(world, 4).bundle);
    let c = prove(
        &world.package,
        Inference { context: word(7), owner: word(9), ..Inference::of_inputs(&world.package, world.inputs.clone()).unwrap() },
        0..3,
        &mut rng,
        |_| (),
    )
    .unwrap();
    for other in [&b, &c.bundle] {
        assert!(a.commitments().iter().all(|x| !other.commitments().contains(x)));
        assert!(a.proof_words().iter().all(|x| !other.proof_words().contains(x)));
    }
}

/// Slices proven one after another, each from the openings that the one before handed on, make up one bundle.
/// Two outputs of one shape and scale, `grant` and `deny`, each from a head of its own.
fn two_outputs() -> Graph {
    let mut graph = graph();
    let dense = |seed: usize| {
        let weights = (0..8).map(|i| ((i * 29 + seed * 13) % 61) as i64 - 30).collect();
        Op::Dense(Dense { rows: 1, k: 8, n: 1, weights, bias: vec![seed as i64] })
    };
    let tensor = |name: &str| Tensor { name: name.into(), shape: vec![1, 1] };
    let node = |name: &str, op: Op, input: usize, output: usize| Node { name: name.into(), op, inputs: vec![input], output };
    graph.tensors.truncate(5);
    graph.nodes.truncate(4);
    graph.tensors.extend(["e", "f", "grant", "deny"].map(tensor));
    graph.nodes.extend([
        node("e", dense(1), 4, 5),
        node("f", dense(2), 4, 6),
        node("grant", Op::Requant(Requant { shift: 8 }), 5, 7),
        node("deny", Op::Requant(Requant { shift: 8 }), 6, 8),
    ]);
    let encoding = graph.outputs[0].encoding.clone();
    graph.outputs = [7, 8].map(|tensor| Port { tensor, encoding: encoding.clone() }).to_vec();
    graph
}

/// `docs/proof-system.md` 6: names are in the model digest. A package whose outputs' names were swapped, all digests of its files made
/// again, is another model: with the old keys it is refused, and with keys of its own it has another digest.
#[test]
fn attack_b10_swapped_names_are_another_model() {
    let place = tempfile::tempdir().unwrap();
    let options =
        PackageOptions { name: "credit".into(), inputs: InputMode::Public, strategy: Strategy::Slices(2), coverage_policy: Vec::new() };
    let folder = place.path().join("package");
    let package = Package::create(&folder, &two_outputs(), &options, Value::Null).unwrap();
    setup(std::slice::from_ref(&package), &mut StdRng::seed_from_u64(1), |_, _| ()).unwrap();
    let verifier = Verifier::new(&package).unwrap();
    let inputs = vec![(0..12).map(|i| i * 5 - 28).collect()];
    let inference = Inference::of_inputs(&package, inputs).unwrap();
    let bundle = prove(&package, inference, 0..2, &mut StdRng::seed_from_u64(2), |_| ()).unwrap().bundle;
    verifier.verify(&bundle).unwrap();

    let read = |name: &str| -> Value { serde_json::from_slice(&std::fs::read(folder.join(name)).unwrap()).unwrap() };
    let mut manifest = read("manifest.json");
    let output = |manifest: &Value, name: &str| manifest["tensors"].as_array().unwrap().iter().position(|t| t["name"] == name).unwrap();
    let (grant, deny) = (output(&manifest, "grant"), output(&manifest, "deny"));
    let swap = |manifest: &mut Value| {
        manifest["tensors"][grant]["name"] = json!("deny");
        manifest["tensors"][deny]["name"] = json!("grant");
    };
    let save = |manifest: &Value| {
        let bytes = serde_json::to_vec_pretty(manifest).unwrap();
        let mut keys = read("keys.json");
        keys["package"] = json!(hex0x(&keccak(&bytes)));
        std::fs::write(folder.join("manifest.json"), bytes).unwrap();
        std::fs::write(folder.join("keys.json"), serde_json::to_vec_pretty(&keys).unwrap()).unwrap();
    };
    // In the manifest alone: the graphs say otherwise.
    swap(&mut manifest);
    save(&manifest);
    let error = Package::open(&folder).unwrap_err().to_string();
    assert!(error.contains("graph.bin") && error.contains("not the manifest's tensors"), "{error}");
    // In the graphs, too.
    for k in 0..2 {
        let path = folder.join(format!("slices/{k}/graph.bin"));
        let mut graph = Graph::from_bytes(&std::fs::read(&path).unwrap()).unwrap();
        for tensor in &mut graph.tensors {
            match tensor.name.as_str() {
                "grant" => tensor.name = "deny".into(),
                "deny" => tensor.name = "grant".into(),
                _ => {}
            }
        }
        let bytes = graph.to_bytes().unwrap();
        manifest["slices"][k]["graph"] = json!(hex0x(&keccak(&bytes)));
        std::fs::write(path, bytes).unwrap();
    }
    save(&manifest);
    let swapped = Package::open(&folder).unwrap();
    let error = Verifier::new(&swapped).unwrap_err().to_string();
    assert!(error.contains("keys.json") && error.contains("the model digest is not that of the keys"), "{error}");
    // The same keys, for the swapped package.
    setup_again(std::slice::from_ref(&swapped), &mut StdRng::seed_from_u64(1), |_, _| ()).unwrap();
    let other = Verifier::new(&swapped).unwrap();
    assert_eq!(swapped.verifying_keys().unwrap(), package.verifying_keys().unwrap());
    assert_ne!(other.model(), verifier.model());
    assert!(matches!(other.verify(&bundle), Err(BundleError::Model { .. })));
}

#[test]
fn slices_proven_apart_compose() {
    let world = world(InputMode::Private);
    let mut rng = StdRng::seed_from_u64(5);
    let start = Inference { context: word(7), owner: word(9), ..Inference::of_inputs(&world.package, world.inputs.clone()).unwrap() };
    let missing = prove(&world.package, start.clone(), 1..2, &mut rng, |_| ());
    assert!(matches!(missing, Err(ProverError::Missing { slice: 1, .. })));
    let mut whole: Option<Bundle> = None;
    let mut openings = start.openings.clone();
    for k in 0..3 {
        let proven = prove(&world.package, Inference { openings, ..start.clone() }, k..k + 1, &mut rng, |_| ()).unwrap();
        world.verifier.verify_slices(&proven.bundle).unwrap();
        openings = Openings::from_json(&proven.openings.to_json().unwrap(), "o.json").unwrap();
        match &mut whole {
            None => whole = Some(proven.bundle),
            // In any order.
            Some(whole) => {
                let mut joined = proven.bundle.clone();
                joined.join(whole.clone()).unwrap();
                whole.join(proven.bundle).unwrap();
                assert_eq!(*whole, joined);
            }
        }
    }
    let whole = whole.unwrap();
    // What verifies the bundle, for those who verify many: the same proofs of the same statements, and nothing of a part.
    let holds = |bundle: &Bundle| {
        let claims = world.verifier.claims(bundle).unwrap();
        let each =
            claims.into_iter().zip(world.verifier.keys()).map(|(claim, key)| verify_batch(key, &[claim], &mut OsRng).remove(0).is_ok());
        each.collect::<Vec<_>>()
    };
    world.verifier.verify(&whole).unwrap();
    assert_eq!(holds(&whole), [true; 3]);
    let mut elsewhere = whole.clone();
    elsewhere.context[31] ^= 1;
    assert_eq!((holds(&elsewhere), world.verifier.verify(&elsewhere).is_err()), (vec![false; 3], true));
    let part = Bundle { proofs: whole.proofs[1..].to_vec(), ..whole.clone() };
    assert!(matches!(world.verifier.claims(&part), Err(BundleError::Partial(missing)) if missing == [0]));
    let refused = |other: Bundle, reason: &str| {
        let mut joined = whole.clone();
        let error = joined.join(other).unwrap_err();
        assert!(error.to_string().contains(reason), "{error}");
        assert_eq!(joined, whole, "and nothing changed");
    };
    let nothing = Bundle { proofs: Vec::new(), ..whole.clone() };
    refused(whole.clone(), "slice 0 is proven twice");
    refused(Bundle { context: word(8), ..nothing.clone() }, "their context differs");
    refused(Bundle { owner: word(8), ..nothing.clone() }, "their owner differs");
    refused(Bundle { model: word(8), ..nothing.clone() }, "their model differs");
    refused(Bundle { tensors: Vec::new(), ..nothing.clone() }, "numbers of tensors");
    let first = world.package.manifest().slices[1].reads[0];
    let mut other = nothing;
    other.tensors[first] = Some(Bound::Commitment(word(8)));
    refused(other, &format!("tensor {first} differs"));
    assert_eq!(world.verifier.verify(&whole), world.verifier.verify(&world.proven.bundle));
    // A boundary changed on the way: the slice proves it, and the bundle falls apart.
    let boundary = world.package.manifest().slices[1].reads[0];
    let mut changed = openings.clone();
    changed.tensors[boundary].as_mut().unwrap().values[0] ^= 1;
    let executed = Inference { openings: changed.clone(), executed: true, ..start.clone() };
    let refused = prove(&world.package, executed, 1..2, &mut rng, |_| ());
    assert!(matches!(refused, Err(ProverError::Input { reason, .. }) if reason.contains("another inference")));
    let forged = prove(&world.package, Inference { openings: changed, ..start }, 1..2, &mut rng, |_| ()).unwrap();
    let mut bundle = whole.clone();
    bundle.proofs[1] = forged.bundle.proofs[0].clone();
    assert!(world.verifier.verify(&bundle).is_err());
    bundle.tensors[boundary] = forged.bundle.tensors[boundary].clone();
    assert!(world.verifier.verify(&bundle).is_err());
}

/// Executed once, an inference is proven by whoever has its openings, each slice apart and in any order.
#[test]
fn an_executed_inference_is_proven_in_any_order() {
    for mode in [InputMode::Public, InputMode::Private] {
        let world = world(mode);
        let mut rng = StdRng::seed_from_u64(6);
        let owner = world.proven.bundle.owner;
        let mut inference = Inference { context: word(7), owner, ..Inference::of_inputs(&world.package, world.inputs.clone()).unwrap() };
        let bound = execute(&world.package, &mut inference, &mut rng).unwrap();
        // Salts are drawn once; a second look changes nothing.
        let before = inference.clone();
        assert_eq!(execute(&world.package, &mut inference, &mut rng).unwrap(), bound);
        assert_eq!(inference, before);
        let mut whole: Option<Bundle> = None;
        for k in [2, 0, 1] {
            let proven = prove(&world.package, inference.clone(), k..k + 1, &mut rng, |_| ()).unwrap();
            assert_eq!(proven.openings, inference.openings);
            match &mut whole {
                None => whole = Some(proven.bundle),
                Some(whole) => whole.join(proven.bundle).unwrap(),
            }
        }
        let whole = whole.unwrap();
        assert_eq!(whole.tensors, bound.into_iter().map(Some).collect::<Vec<_>>());
        assert_eq!(world.verifier.verify(&whole).unwrap(), world.verifier.verify(&world.proven.bundle).unwrap());
        // Each inference has salts of its own (rule G6).
        let mut again = Inference { context: word(7), owner, ..Inference::of_inputs(&world.package, world.inputs.clone()).unwrap() };
        execute(&world.package, &mut again, &mut rng).unwrap();
        for (one, other) in again.openings.tensors.iter().flatten().zip(inference.openings.tensors.iter().flatten()) {
            assert!(one.values == other.values && (one.salt.is_none() || one.salt != other.salt));
        }
        // Openings of another inference are not mixed in.
        let mut mixed = inference.clone();
        mixed.openings.tensors[0].as_mut().unwrap().values[3] ^= 1;
        let before = mixed.clone();
        assert!(matches!(execute(&world.package, &mut mixed, &mut rng), Err(ProverError::Input { .. })));
        assert_eq!(mixed, before, "nothing of what failed stays");
        let mut nothing = Inference { openings: Openings::empty(1), ..inference.clone() };
        assert!(matches!(execute(&world.package, &mut nothing, &mut rng), Err(ProverError::Missing { slice: 0, .. })));
    }
}

/// Whoever hands on openings plants no salt for what the next prover writes: by a salt that he chose he would see on chain whether his guess
/// of the next one's own input was right (rule G6).
#[test]
fn attack_g6_planted_salts() {
    let world = world(InputMode::Private);
    let mut rng = StdRng::seed_from_u64(7);
    let start = Inference { context: word(7), owner: word(9), ..Inference::of_inputs(&world.package, world.inputs.clone()).unwrap() };
    let mut planted = start.clone();
    let bound = execute(&world.package, &mut planted, &mut rng).unwrap();
    let proven = prove(&world.package, Inference { executed: false, ..planted.clone() }, 1..2, &mut rng, |_| ()).unwrap();
    for t in &world.package.manifest().slices[1].writes {
        assert_ne!(proven.bundle.tensors[*t].as_ref(), Some(&bound[*t]));
    }
    // The openings of one proof, used for another: what slices write is committed to anew.
    let again = Inference { context: word(8), openings: proven.openings, ..start };
    let again = prove(&world.package, again, 0..3, &mut rng, |_| ()).unwrap();
    for slice in &world.package.manifest().slices[..2] {
        for t in &slice.writes {
            assert!(again.bundle.tensors[*t] != proven.bundle.tensors[*t] && again.bundle.tensors[*t].as_ref() != Some(&bound[*t]));
        }
    }
    let mut nothing = Inference { openings: Openings::empty(0), ..Inference::default() };
    assert!(matches!(encode_request(&world.package, &mut nothing, &mut rng), Err(ProverError::Input { .. })));
}

/// Outputs around a million, a step of which is more than 2^64 units of 10^−18: compiled, packed, proven and decoded.
#[test]
fn large_outputs_are_proven() {
    let value = |name: &str, size: usize| FloatValue::new(name, vec![1, size]);
    let dense = |k: usize, n: usize, size: f64| FloatOp::Dense {
        rows: 1,
        k,
        n,
        weights: (0..k * n).map(|i| size * (((i * 37) % 11) as f64 - 4.0) / 11.0).collect(),
        bias: vec![0.0; n],
    };
    let node = |name: &str, op: FloatOp, input: usize| FloatNode { name: name.into(), op, inputs: vec![input], output: input + 1 };
    let model = FloatGraph {
        values: vec![value("x", 4), value("a", 6), value("b", 6), value("y", 2)],
        nodes: vec![node("a", dense(4, 6, 1.0), 0), node("b", FloatOp::Relu, 1), node("y", dense(6, 2, 1e6), 2)],
        inputs: vec![0],
        outputs: vec![("y".into(), 3)],
    };
    let inputs: Vec<Input> = (0..16).map(|s| Input(vec![(0..4).map(|i| f64::from((s * 5 + i * 7) % 16) / 15.0).collect()])).collect();
    let options = Options { bits: Some(10), input_bits: Some(8), inner_margin: Some(2.0), ..Options::default() };
    let (graph, report) = compile_float(model.clone(), Some(&Samples(inputs.clone())), &options).unwrap();
    assert!((3e5..3e6).contains(&report.largest_output), "{report:?}");
    let scale = graph.outputs[0].encoding.features[0].scale.mantissa;
    assert!(scale > u64::MAX.into(), "{scale}");

    let folder = tempfile::tempdir().unwrap();
    let options =
        PackageOptions { name: "million".into(), inputs: InputMode::Public, strategy: Strategy::Slices(2), coverage_policy: Vec::new() };
    let package = Package::create(&folder.path().join("package"), &graph, &options, Value::Null).unwrap();
    let manifest: Value = serde_json::from_slice(&std::fs::read(folder.path().join("package/manifest.json")).unwrap()).unwrap();
    assert_eq!(manifest["tensors"][1]["features"][0]["scale"], json!(scale.to_string()));
    let mut rng = StdRng::seed_from_u64(6);
    setup(std::slice::from_ref(&package), &mut rng, |_, _| ()).unwrap();
    let verifier = Verifier::new(&package).unwrap();
    for input in &inputs[3..5] {
        let inference = Inference::of_inputs(&package, package.encode(input).unwrap()).unwrap();
        let bundle = prove(&package, inference, 0..2, &mut rng, |_| ()).unwrap().bundle;
        let outputs = package.decode(&verifier.verify(&bundle).unwrap());
        // The two layers again, as floats.
        let layer = |x: &[f64], op: &FloatOp| -> Vec<f64> {
            let FloatOp::Dense { k, weights, .. } = op else { panic!("{op:?}") };
            weights.chunks(*k).map(|row| row.iter().zip(x).map(|(w, x)| w * x).sum()).collect()
        };
        let hidden: Vec<f64> = layer(&input.0[0], &model.nodes[0].op).iter().map(|x| x.max(0.0)).collect();
        for (output, expected) in outputs[0].iter().zip(layer(&hidden, &model.nodes[2].op)) {
            assert!((output - expected).abs() < report.largest_output / 50.0, "{output} for {expected}");
        }
    }
}

/// A table of features in units of their own, as public words and by commitment: each has an offset and a scale of its own from
/// the manifest to the circuit, and a digit means what its own feature says.
#[test]
fn features_with_scales_of_their_own_are_proven() {
    let weights = vec![1e-3, 2.0, -0.5, -1e-3, 1.0, 0.25];
    let dense = FloatOp::Dense { rows: 1, k: 3, n: 2, weights, bias: vec![0.5, -1.0] };
    let value = |name: &str, n: usize| FloatValue::new(name, vec![1, n]);
    let model = FloatGraph {
        values: vec![value("x", 3), value("y", 2)],
        nodes: vec![FloatNode { name: "dense".into(), op: dense, inputs: vec![0], output: 1 }],
        inputs: vec![0],
        outputs: vec![("y".into(), 1)],
    };
    let row = |s: usize| vec![500.0 + 31.0 * (s * 7 % 16) as f64, -0.2 + 0.03 * (s * 5 % 16) as f64, 0.01 * (s * 3 % 16) as f64];
    let samples = Samples((0..16).map(|s| Input(vec![row(s)])).collect());
    let (graph, _) = compile_float(model.clone(), Some(&samples), &Options::default()).unwrap();
    assert_eq!((graph.inputs[0].encoding.axis, graph.inputs[0].encoding.features.len()), (1, 3));
    let offsets: Vec<i64> = graph.inputs[0].encoding.features.iter().map(|feature| feature.offset).collect();
    assert!(offsets.iter().any(|offset| *offset != offsets[0]), "{offsets:?}");
    for mode in [InputMode::Public, InputMode::Private] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("package");
        let options = PackageOptions { name: "table".into(), inputs: mode, strategy: Strategy::Slices(1), coverage_policy: Vec::new() };
        let package = Package::create(&path, &graph, &options, Value::Null).unwrap();
        let mut rng = StdRng::seed_from_u64(8);
        setup(std::slice::from_ref(&package), &mut rng, |_, _| ()).unwrap();
        let verifier = Verifier::new(&package).unwrap();
        for s in [0, 3, 11] {
            let owner = if mode == InputMode::Private { word(9) } else { word(0) };
            let integers = package.encode(&Input(vec![row(s)])).unwrap();
            let inference = Inference { owner, ..Inference::of_inputs(&package, integers).unwrap() };
            let bundle = prove(&package, inference, 0..1, &mut rng, |_| ()).unwrap().bundle;
            let outputs = package.decode(&verifier.verify(&bundle).unwrap());
            for (found, expected) in outputs[0].iter().zip(&model.outputs(&[row(s)])[0]) {
                assert!((found - expected).abs() < 0.05, "{found} {expected}");
            }
        }
        // A digit beyond a feature's own range is refused, though another feature's offset would take it.
        let range = graph.inputs[0].encoding.features[0].range(package.manifest().tensors[0].bits);
        let mut integers = package.encode(&Input(vec![row(0)])).unwrap();
        integers[0][0] = range.0 - 1;
        let error = prove(&package, Inference::of_inputs(&package, integers).unwrap(), 0..1, &mut rng, |_| ()).unwrap_err();
        assert!(error.to_string().contains("element 0"), "{error}");
        // One feature's scale changed by hand: the graph does not fit the manifest any more.
        let text = std::fs::read_to_string(path.join("manifest.json")).unwrap();
        let scale = graph.inputs[0].encoding.features[1].scale.mantissa;
        std::fs::write(path.join("manifest.json"), text.replace(&scale.to_string(), &(scale + 1).to_string())).unwrap();
        assert!(Package::open(&path).unwrap_err().to_string().contains("not the manifest's tensors"));
    }
}
