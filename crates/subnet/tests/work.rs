//! Work that is sent to a miner is what its assignment states, to the last bit, or it is declined.

use std::path::Path;

use alloy::primitives::{Address, B256, U256, keccak256};
use ark_std::rand::{SeedableRng, rngs::StdRng};
use serde_json::Value;
use zkslice_compiler::{Options, compile};
use zkslice_graph::{Input, Samples, encode};
use zkslice_prover::{Bound, Bundle, Inference, Verifier, execute, prove};
use zkslice_slicer::{InputMode, Package, PackageOptions, Strategy, setup};
use zkslice_subnet::messages::Assignment;
use zkslice_subnet::score::units;
use zkslice_subnet::wire::{Body, HEADER, Work};
use zkslice_subnet::work::{WorkError, coverage, statement};

const HASH: B256 = B256::repeat_byte(4);
const MINER: Address = Address::repeat_byte(2);

/// A model in slices with keys, and an executed inference.
struct World {
    _folder: tempfile::TempDir,
    package: Package,
    verifier: Verifier,
    inference: Inference,
    bound: Vec<Bound>,
}

fn world(model: &str, slices: usize, mode: InputMode) -> World {
    let folder = tempfile::tempdir().unwrap();
    let of_model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/models").join(model);
    let read = |name: &str| std::fs::read(of_model.join(name)).unwrap();
    let samples = Samples::from_json(&read("samples.json")).unwrap();
    let graph = compile(&of_model.join("model.onnx"), Some(&samples), &Options::default()).unwrap().0;
    let options = PackageOptions { name: model.into(), inputs: mode, strategy: Strategy::Slices(slices), coverage_policy: Vec::new() };
    let package = Package::create(&folder.path().join("pkg"), &graph, &options, Value::Null).unwrap();
    let mut rng = StdRng::seed_from_u64(3);
    setup(std::slice::from_ref(&package), &mut rng, |_, _| {}).unwrap();
    let inputs = encode(&graph, &Input::from_json(&read("input.json")).unwrap()).unwrap();
    let owner = if mode == InputMode::Private { [0x0a; 32] } else { [0; 32] };
    let mut inference = Inference { context: [0x0b; 32], owner, ..Inference::of_inputs(&package, inputs).unwrap() };
    let bound = execute(&package, &mut inference, &mut rng).unwrap();
    World { _folder: folder, verifier: Verifier::new(&package).unwrap(), package, inference, bound }
}

/// The statement of what the work lists, whoever changed it.
fn stated(model: B256, coverage: U256, work: &Work) -> B256 {
    statement(model, coverage, [work.context, work.owner], [work.words_hash, keccak256(work.commitments.concat())])
}

impl World {
    fn check(&self, work: &Work, assignment: &Assignment) -> Result<Inference, WorkError> {
        work.check(&self.package, self.model(), assignment, HASH, MINER)
    }

    fn model(&self) -> B256 {
        B256::from(self.verifier.model())
    }

    fn work(&self, k: u16, price: u128) -> (Work, Assignment) {
        let work = Work::of(&self.package, &self.inference, &self.bound, k, HASH, price > 0).unwrap();
        let rows = self.package.manifest().slices[usize::from(k)].constraints;
        let assignment = Assignment {
            job: B256::repeat_byte(1),
            model: self.model(),
            slice: k,
            attempt: 0,
            validator: Address::repeat_byte(3),
            miner: MINER,
            statement: stated(self.model(), coverage(self.package.slice_count(), k), &work),
            units: units(rows.next_power_of_two() as u64),
            price,
            issuedMs: 0,
            deadlineMs: 1,
            epoch: 0,
        };
        (work, assignment)
    }
}

/// What goes over the wire is enough to prove each slice, and the proofs of strangers make the bundle.
#[test]
fn slices_are_proven_from_their_work() {
    for (slices, mode) in [(2, InputMode::Private), (2, InputMode::Public), (1, InputMode::Public)] {
        let world = world("mlp_digits", slices, mode);
        let mut whole: Option<Bundle> = None;
        for k in (0..slices as u16).rev() {
            let (work, assignment) = world.work(k, u128::from(k));
            // Units are those of the key that it is proven with.
            let domain = world.package.proving_key(usize::from(k)).unwrap().domain_size();
            assert_eq!(assignment.units, units(domain as u64));
            let sent = Work::from_body(&work.to_frame().unwrap()[HEADER..]).unwrap();
            let inference = world.check(&sent, &assignment).unwrap();
            let slice = usize::from(k);
            // The miner knows what its slice touches, and nothing else.
            let entry = &world.package.manifest().slices[slice];
            let touched = |t: usize| entry.reads.contains(&t) || entry.writes.contains(&t);
            for (t, (known, all)) in inference.openings.tensors.iter().zip(&world.inference.openings.tensors).enumerate() {
                assert_eq!(known.is_some(), touched(t));
                assert!(known.is_none() || known == all);
            }
            let proven = prove(&world.package, inference, slice..slice + 1, &mut StdRng::from_entropy(), |_| ()).unwrap();
            match &mut whole {
                None => whole = Some(proven.bundle),
                Some(whole) => whole.join(proven.bundle).unwrap(),
            }
        }
        let whole = whole.unwrap();
        world.verifier.verify(&whole).unwrap();
        assert_eq!(whole.tensors, world.bound.iter().cloned().map(Some).collect::<Vec<_>>());
    }
    assert_eq!([coverage(1, 0), coverage(3, 0), coverage(3, 2)], [0, 1, 4].map(U256::from));
}

fn shorten<T>(list: &mut Vec<T>) {
    list.truncate(list.len() - 1);
}

/// One wrong value, salt, commitment or word, each: even where the assignment states the hash of what was changed.
#[test]
fn attack_work_that_is_not_what_is_stated() {
    for mode in [InputMode::Private, InputMode::Public] {
        let world = world("mlp_digits", 2, mode);
        for (k, price) in [(0u16, 0), (1, 0), (0, 9), (1, 9)] {
            let (work, assignment) = world.work(k, price);
            world.check(&work, &assignment).unwrap();
            let refused = |what: &str, change: &dyn Fn(&mut Work)| {
                let mut changed = work.clone();
                change(&mut changed);
                assert_ne!(changed, work, "{what}");
                assert!(world.check(&changed, &assignment).is_err(), "{what}");
                // The validator signs what it sends: the hash is of no help.
                let stated = stated(world.model(), coverage(2, k), &changed);
                let restated = Assignment { statement: stated, ..assignment.clone() };
                let result = world.check(&changed, &restated);
                assert!(result.is_err(), "{what}, stated so");
            };
            let flip = |word: &mut B256, byte: usize| word.0[byte] ^= 1;
            for (at, read) in work.reads.iter().enumerate() {
                for word in 0..read.words.len() {
                    for byte in [0, 1, 16, 31] {
                        refused("a value", &|work| flip(&mut work.reads[at].words[word], byte));
                    }
                }
                refused("a word too few", &|work| shorten(&mut work.reads[at].words));
                refused("a word too many", &|work| work.reads[at].words.push(B256::ZERO));
                match read.salt {
                    Some(_) => {
                        refused("a salt", &|work| flip(work.reads[at].salt.as_mut().unwrap(), 31));
                        refused("no salt", &|work| work.reads[at].salt = None);
                        refused("a salt beyond r", &|work| work.reads[at].salt = Some(B256::repeat_byte(0xff)));
                    }
                    None => refused("a salt of a public tensor", &|work| work.reads[at].salt = Some(B256::ZERO)),
                }
            }
            for at in 0..work.salts.len() {
                refused("a salt of what is written", &|work| flip(&mut work.salts[at], 31));
            }
            refused("a salt too many", &|work| work.salts.push(B256::ZERO));
            if !work.salts.is_empty() {
                refused("a salt too few", &|work| shorten(&mut work.salts));
            }
            refused("a tensor too many", &|work| work.reads.push(work.reads[0].clone()));
            refused("a tensor too few", &|work| shorten(&mut work.reads));
            refused("a commitment too many", &|work| work.commitments.push(B256::ZERO));
            refused("a commitment too few", &|work| shorten(&mut work.commitments));
            refused("a word too many", &|work| work.words.push(B256::ZERO));
            refused("an owner beyond r", &|work| work.owner = B256::repeat_byte(0xff));
            refused("a context beyond r", &|work| work.context = B256::repeat_byte(0xff));
            if price > 0 {
                refused("no context", &|work| work.context = B256::ZERO);
            }
            // What a contract refuses, though this slice has nothing to do with it.
            for at in 0..work.commitments.len() {
                refused("a commitment beyond r", &|work| work.commitments[at] = B256::repeat_byte(0xff));
            }
            for at in 0..work.words.len() {
                refused("a word with a bit to spare", &|work| {
                    work.words[at].0[0] |= 0x80;
                    work.words_hash = keccak256(work.words.concat());
                });
            }
            if !work.words.is_empty() {
                refused("no words", &|work| (work.words, work.words_hash) = (Vec::new(), keccak256([])));
            }
            for units in [0, assignment.units + 1, u32::MAX] {
                assert!(world.check(&work, &Assignment { units, ..assignment.clone() }).is_err());
            }
            let of_other = Assignment { miner: Address::repeat_byte(9), ..assignment.clone() };
            assert!(matches!(world.check(&work, &of_other), Err(WorkError::Parts(_))));
            assert!(work.check(&world.package, world.model(), &assignment, B256::ZERO, MINER).is_err());
            if mode == InputMode::Private && k == 0 {
                refused("another owner", &|work| flip(&mut work.owner, 31));
            }
            // Of the tensors that the slice touches; others' commitments are as they are stated.
            let committed: Vec<usize> = (0..world.bound.len()).filter(|t| !world.package.manifest().tensors[*t].kind.is_public()).collect();
            let entry = &world.package.manifest().slices[usize::from(k)];
            for (at, t) in committed.iter().enumerate().filter(|(_, t)| entry.reads.contains(t) || entry.writes.contains(t)) {
                refused(&format!("the commitment of tensor {t}"), &|work| flip(&mut work.commitments[at], 31));
            }
            for at in 0..work.words.len() {
                // As long as they are hashed, nobody's word can be moved.
                let mut changed = work.clone();
                flip(&mut changed.words[at], 31);
                assert!(matches!(world.check(&changed, &assignment), Err(WorkError::Parts("the words"))));
            }
            let other = Assignment { model: B256::repeat_byte(7), ..assignment.clone() };
            assert!(matches!(world.check(&work, &other), Err(WorkError::Model(..))));
            for slice in [1 - k, 2, u16::MAX] {
                assert!(world.check(&work, &Assignment { slice, ..assignment.clone() }).is_err());
            }
            assert!(world.check(&work, &Assignment { statement: B256::ZERO, ..assignment.clone() }).is_err());
        }
    }
}
