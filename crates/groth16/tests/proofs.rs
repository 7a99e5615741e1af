//! Proofs of both forms: honest ones verify, everything else is refused; keys on disk; arkworks as the peer.

use ark_bn254::{Bn254, Fr, G1Affine, G1Projective, G2Affine};
use ark_ec::{AffineRepr, CurveGroup};
use ark_ff::{Field, One, UniformRand, Zero};
use ark_groth16::{Groth16, prepare_verifying_key};
use ark_std::rand::{SeedableRng, rngs::StdRng};
use zkslice_circuit::gadgets::{self, DigitTables};
use zkslice_circuit::{Builder, Circuit, ConstraintBuilder, Layout, Witness, WitnessBuilder};
use zkslice_formats::VersionError;
use zkslice_groth16::*;

const W: u32 = 6;

/// A circuit with lookups, words, a commitment and two public inputs: relu of a weighted sum of two digits.
fn committed<B: Builder>(b: &mut B, values: Option<([i64; 2], Fr, Fr)>) {
    b.public(values.map(|v| v.1));
    let commitment = b.public(values.map(|v| v.2));
    let tables = DigitTables::default();
    let x: Vec<_> = (0..2).map(|i| gadgets::digit(b, values.map(|v| v.0[i]), 4, &tables, W).unwrap()).collect();
    let acc = b.combine(&[(99, &x[0]), (-120, &x[1])], 31).unwrap();
    let y = gadgets::relu(b, &acc, W, W).unwrap();
    for word in gadgets::pack(b, &x, 4).unwrap() {
        b.public_word(&word);
    }
    let outputs = gadgets::pack(b, &[y], W).unwrap();
    b.public_word(&outputs[0]);
    let salt = b.field_given(values.map(|_| Fr::from(77)));
    let h = gadgets::commitment(b, &salt, gadgets::tensor_tag(1, W), None, &outputs).unwrap();
    b.field_equal(&h, &commitment);
}

fn relu(x: [i64; 2]) -> i64 {
    gadgets::requant(99 * x[0] - 120 * x[1] + 31, W).max(0)
}

pub(crate) fn committed_circuit() -> Circuit {
    let mut shape = ConstraintBuilder::new();
    committed(&mut shape, None);
    shape.finish()
}

fn committed_witness(x: [i64; 2], context: Fr) -> Witness {
    let commitment = gadgets::commitment_of(Fr::from(77), gadgets::tensor_tag(1, W), None, &[Fr::from(relu(x))]).unwrap();
    let mut trace = WitnessBuilder::new();
    committed(&mut trace, Some((x, context, commitment)));
    trace.finish()
}

const GROUPS: [WordGroup; 2] = [WordGroup { count: 2, bits: 4 }, WordGroup { count: 1, bits: W }];

/// A circuit without a challenge: the Poseidon hash of two secrets.
fn plain<B: Builder>(b: &mut B, values: Option<([Fr; 2], Fr)>) {
    let public = b.public(values.map(|v| v.1));
    let inputs: Vec<_> = (0..2).map(|i| b.field_given(values.map(|v| v.0[i]))).collect();
    let h = gadgets::hash(b, &inputs).unwrap();
    b.field_equal(&h, &public);
}

pub(crate) fn plain_circuit() -> Circuit {
    let mut shape = ConstraintBuilder::new();
    plain(&mut shape, None);
    shape.finish()
}

pub(crate) fn plain_witness() -> Witness {
    let secrets = [Fr::from(3), Fr::from(4)];
    let mut trace = WitnessBuilder::new();
    plain(&mut trace, Some((secrets, gadgets::hash_of(&secrets).unwrap())));
    trace.finish()
}

pub(crate) fn statement(witness: &Witness) -> Statement {
    Statement { publics: witness.publics.clone(), words: witness.words.clone() }
}

pub(crate) fn keys() -> (ProvingKey, ProvingKey, StdRng) {
    let mut rng = StdRng::seed_from_u64(11);
    let setup = Setup::dev(&mut rng);
    let first = setup.key(&committed_circuit(), &GROUPS, &mut rng).unwrap();
    let second = setup.key(&plain_circuit(), &[], &mut rng).unwrap();
    (first, second, rng)
}

pub(crate) fn prove_committed(key: &ProvingKey, x: [i64; 2], rng: &mut StdRng) -> (Proof, Statement) {
    let witness = committed_witness(x, Fr::from(5));
    (prove(key, &witness, || Ok(committed_circuit()), rng).unwrap(), statement(&witness))
}

#[test]
fn honest_proofs_verify() {
    let (key, plain_key, mut rng) = keys();
    for x in [[0, 0], [15, 0], [0, 9], [3, 2]] {
        let (proof, statement) = prove_committed(&key, x, &mut rng);
        verify(key.verifying_key(), &statement, &proof).unwrap();
    }
    let witness = plain_witness();
    let proof = prove(&plain_key, &witness, || Ok(plain_circuit()), &mut rng).unwrap();
    verify(plain_key.verifying_key(), &statement(&witness), &proof).unwrap();
    assert_eq!(key.verifying_key().form(), Form::Committed);
    assert_eq!(plain_key.verifying_key().form(), Form::Plain);
    check_deltas([key.verifying_key(), plain_key.verifying_key()]).unwrap();
    assert_eq!(key.verifying_key().setup_digest(), plain_key.verifying_key().setup_digest());
}

/// As many functions as there are values, of one accumulator, each in a table of as many entries as the range table has.
fn functions<B: Builder>(b: &mut B, functions: &[Vec<i64>], x: Option<i64>) {
    b.public(x.map(|_| Fr::from(5)));
    let x = gadgets::digit(b, x, W, &DigitTables::default(), W).unwrap();
    let acc = b.combine(&[(70, &x)], -3000).unwrap();
    let mut outputs = vec![x];
    for (i, values) in functions.iter().enumerate() {
        let f = gadgets::FunctionTable::new(b, -47, values, 200 + i as i64).unwrap();
        let y = gadgets::function(b, &acc, &f, W, W).unwrap();
        outputs.push(b.combine(&[(1, &y)], 30).unwrap());
    }
    let words = gadgets::pack(b, &outputs, W).unwrap();
    words.iter().for_each(|word| b.public_word(word));
}

/// Functions' tables beside a range table of the same size: keys on disk, proofs by the fast prover, all values of x.
#[test]
fn proofs_of_functions_verify() {
    let mut rng = StdRng::seed_from_u64(16);
    let setup = Setup::dev(&mut rng);
    let folder = tempfile::tempdir().unwrap();
    for count in 1..=2 {
        let values: Vec<Vec<i64>> = (0..count).map(|f| (0..1 << W).map(|i| (i * i + 11 * f) % 60 - 30).collect()).collect();
        let mut shape = ConstraintBuilder::new();
        functions(&mut shape, &values, None);
        let circuit = shape.finish();
        let tables: Vec<_> = circuit.layout().tables.iter().map(|table| (table.entries, table.lookups)).collect();
        assert_eq!(tables, [vec![(1 << W, 1 + 2 * count as usize)], vec![(1 << W, 1); count as usize]].concat());
        let groups = [WordGroup { count: 1 + count as usize, bits: W }];
        let path = folder.path().join("functions.key");
        setup.key(&circuit, &groups, &mut rng).unwrap().save(&path).unwrap();
        let key = ProvingKey::open(&path).unwrap();
        let witness = |x: i64| {
            let mut trace = WitnessBuilder::new();
            functions(&mut trace, &values, Some(x));
            trace.finish()
        };
        for x in [0, 1, 31, 42, 57] {
            let honest = witness(x);
            let q = gadgets::requant(70 * x - 3000, W);
            let digits = std::iter::once(x).chain(values.iter().map(|f| f[(q + 47) as usize] + 30));
            assert_eq!(honest.words, gadgets::pack_values(&digits.collect::<Vec<_>>(), W));
            let circuit = || Ok(circuit.clone());
            let proof = prove(&key, &honest, circuit, &mut rng).unwrap();
            verify(key.verifying_key(), &statement(&honest), &proof).unwrap();
            let mut other = statement(&honest);
            other.words[0] += Fr::from(1u64 << W);
            assert_eq!(verify(key.verifying_key(), &other, &proof), Err(VerifyError::Invalid));
            // A value, an argument, a position in the table, or another function's table: no proof leaves.
            let forgeries: [fn(&mut Witness); 5] = [
                |w| w.small[2] += 1,
                |w| w.small[1] += 1,
                |w| w.lookups[1].1[0] ^= 1,
                |w| w.lookups[0].1[1] ^= 1,
                |w| w.lookups[1].0 = w.lookups[0].0.clone(),
            ];
            for (i, forge) in forgeries.iter().enumerate() {
                let mut forged = honest.clone();
                forge(&mut forged);
                assert!(matches!(prove(&key, &forged, circuit, &mut rng), Err(ProveError::SelfCheck)), "forgery {i}");
            }
            let mut fewer = honest.clone();
            fewer.lookups.pop();
            assert!(matches!(prove(&key, &fewer, circuit, &mut rng), Err(ProveError::WrongKey(_))));
        }
    }
}

/// `docs/proof-system.md` 8.7: two proofs of one witness share no element.
#[test]
fn proofs_are_randomised() {
    let (key, _, mut rng) = keys();
    let ((first, _), (second, _)) = (prove_committed(&key, [3, 2], &mut rng), prove_committed(&key, [3, 2], &mut rng));
    assert!(first.a != second.a && first.b != second.b && first.c1 != second.c1 && first.c2 != second.c2);
}

#[test]
fn every_changed_part_is_refused() {
    let (key, _, mut rng) = keys();
    let vk = key.verifying_key();
    let (proof, honest) = prove_committed(&key, [3, 2], &mut rng);
    for i in 0..honest.publics.len() {
        let mut statement = honest.clone();
        statement.publics[i] += Fr::one();
        assert_eq!(verify(vk, &statement, &proof), Err(VerifyError::Invalid), "public input {i}");
    }
    for i in 0..honest.words.len() {
        let mut statement = honest.clone();
        statement.words[i] += Fr::one();
        assert_eq!(verify(vk, &statement, &proof), Err(VerifyError::Invalid), "word {i}");
        statement.words[i] = Fr::from(1u64 << 8);
        assert!(matches!(verify(vk, &statement, &proof), Err(VerifyError::Word { .. })), "word {i} (B4)");
    }
    let g = G1Affine::generator();
    let parts: [fn(&mut Proof, G1Affine); 6] = [
        |p, g| p.a = (p.a + g).into_affine(),
        |p, _| p.b = (p.b + G2Affine::generator()).into_affine(),
        |p, g| p.c1 = p.c1.map(|c| (c + g).into_affine()),
        |p, g| p.c2 = (p.c2 + g).into_affine(),
        |p, _| {
            let (c1, c2) = (p.c1.unwrap(), p.c2);
            p.c1 = Some(c2);
            p.c2 = c1;
        },
        |p, _| p.c1 = Some(G1Affine::zero()),
    ];
    for (i, part) in parts.iter().enumerate() {
        let mut forged = proof.clone();
        part(&mut forged, g);
        assert_eq!(verify(vk, &honest, &forged), Err(VerifyError::Invalid), "part {i}");
    }
    // (C1 + T, C2 − T) passes when δ1 = δ2; the challenge is then not bound.
    let mut moved = proof.clone();
    moved.c1 = moved.c1.map(|c| (c + g).into_affine());
    moved.c2 = (moved.c2 - g).into_affine();
    assert_eq!(verify(vk, &honest, &moved), Err(VerifyError::Invalid));
    let mut formless = proof.clone();
    formless.c1 = None;
    assert_eq!(verify(vk, &honest, &formless), Err(VerifyError::Form));
    let mut short = honest.clone();
    short.words.pop();
    assert!(matches!(verify(vk, &short, &proof), Err(VerifyError::Arity { .. })));
}

/// What is *not* promised (weak simulation extractability): anyone can re-randomise a proof of the same statement.
#[test]
fn proofs_can_be_rerandomised() {
    let (key, _, mut rng) = keys();
    let (proof, honest) = prove_committed(&key, [3, 2], &mut rng);
    let t = Fr::rand(&mut rng);
    let other = Proof { a: (proof.a * t).into_affine(), b: (proof.b * t.inverse().unwrap()).into_affine(), ..proof.clone() };
    assert_ne!(other.to_words(), proof.to_words());
    verify(key.verifying_key(), &honest, &other).unwrap();
}

#[test]
fn words_round_trip_and_refuse_other_encodings() {
    let (key, _, mut rng) = keys();
    let (proof, _) = prove_committed(&key, [3, 2], &mut rng);
    let words = proof.to_words();
    assert_eq!(Proof::from_words(&words, Form::Committed).unwrap(), proof);
    for word in 0..words.len() {
        for bit in [0usize, 100, 255] {
            let mut changed = words;
            changed[word][31 - bit / 8] ^= 1 << (bit % 8);
            if let Ok(other) = Proof::from_words(&changed, Form::Committed) {
                panic!("a changed coordinate lies on the curve: {other:?}");
            }
        }
    }
    assert_eq!(Proof::from_words(&words, Form::Plain), Err(VerifyError::Form));
}

#[test]
fn a_wrong_witness_gives_no_proof() {
    let (key, plain_key, mut rng) = keys();
    let mut witness = committed_witness([3, 2], Fr::from(5));
    witness.words[0] += Fr::one();
    assert!(matches!(prove(&key, &witness, || Ok(committed_circuit()), &mut rng), Err(ProveError::SelfCheck)));
    let mut witness = committed_witness([3, 2], Fr::from(5));
    witness.small[2] += 1;
    assert!(matches!(prove(&key, &witness, || Ok(committed_circuit()), &mut rng), Err(ProveError::SelfCheck)));
    let mut witness = plain_witness();
    witness.publics[0] += Fr::one();
    assert!(matches!(prove(&plain_key, &witness, || Ok(plain_circuit()), &mut rng), Err(ProveError::SelfCheck)));
    assert!(matches!(
        prove(&plain_key, &committed_witness([3, 2], Fr::one()), || Ok(plain_circuit()), &mut rng),
        Err(ProveError::WrongKey(_))
    ));
}

/// The pitfall of the three-pairing tweak (P2) has no foothold: the key holds α and β.
#[test]
fn attack_p2_three_pairing_triple() {
    let (key, _, mut rng) = keys();
    let vk = key.verifying_key();
    let (_, honest) = prove_committed(&key, [3, 2], &mut rng);
    let c1 = G1Affine::generator();
    let chi = challenge(&vk.hash(), &honest.publics, &honest.words, &c1);
    let xs = [chi, fingerprint(&honest.publics, &honest.words, chi)];
    let l: G1Projective = vk.ic[1..].iter().zip(&xs).fold(vk.ic[0].into_group(), |sum, (point, x)| sum + *point * x);
    for c1 in [G1Affine::zero(), c1] {
        let forged = Proof { a: l.into_affine(), b: vk.gamma, c1: Some(c1), c2: G1Affine::zero() };
        assert!(verify(vk, &honest, &forged).is_err());
    }
}

/// Rule B9: equal or related deltas are refused within a key and across the keys of a setup.
#[test]
fn attack_b9_deltas() {
    let (key, plain_key, _) = keys();
    let vk = key.verifying_key();
    let negated = |point: G2Affine| (-point.into_group()).into_affine();
    let (delta1, delta2) = (vk.delta1.unwrap(), vk.delta2);
    for bad in [delta2, negated(delta2), vk.gamma, negated(vk.gamma), vk.beta, G2Affine::generator(), G2Affine::zero()] {
        let mut forged = vk.clone();
        forged.delta1 = Some(bad);
        assert!(matches!(forged.check(), Err(KeyError::Unsafe(_))), "δ1 = {bad}");
        assert!(VerifyingKey::from_record(&forged.record()).is_err());
    }
    for bad in [delta1, delta2, negated(delta1)] {
        let mut other = plain_key.verifying_key().clone();
        other.delta2 = bad;
        assert!(other.check().is_ok(), "no test within one key sees it");
        assert!(matches!(check_deltas([vk, &other]), Err(KeyError::Unsafe(_))));
    }
    // P1, P21: points at infinity.
    let zero = G1Affine::zero();
    let mut forged = vk.clone();
    forged.alpha = zero;
    assert!(forged.check().is_err());
    for i in 0..vk.ic.len() {
        let mut forged = vk.clone();
        forged.ic[i] = zero;
        assert!(matches!(forged.check(), Err(KeyError::Unsafe(_))), "IC_{i}");
    }
}

/// Rule B10: form, counts and layout are in the hash; a committed key does not read as a plain one.
#[test]
fn attack_b10_the_hash_binds_form_and_layout() {
    let (key, _, _) = keys();
    let vk = key.verifying_key();
    assert_eq!(&VerifyingKey::from_record(&vk.record()).unwrap(), vk);
    let mut other = vk.clone();
    other.groups[0].bits = 5;
    assert_ne!(other.hash(), vk.hash());
    let mut other = vk.clone();
    other.groups.swap(0, 1);
    assert_ne!(other.hash(), vk.hash());
    let mut other = vk.clone();
    other.delta1 = None;
    assert_ne!(other.hash(), vk.hash());
    let record = vk.record();
    for at in (0..record.len()).step_by(7) {
        let mut changed = record.clone();
        changed[at] ^= 1;
        assert!(VerifyingKey::from_record(&changed).is_err() || VerifyingKey::from_record(&changed).unwrap().hash() != vk.hash());
    }
    for cut in [0, 1, 32, record.len() - 32, record.len() - 1] {
        assert!(VerifyingKey::from_record(&record[..cut]).is_err());
    }
}

/// A public input without a row of its own could be anything (rule G1); every public wire has one.
#[test]
fn attack_g1_every_public_wire_is_pinned() {
    for circuit in [committed_circuit(), plain_circuit()] {
        let layout = circuit.layout().clone();
        let mut pinned = vec![false; layout.public_wires()];
        let mut others = vec![false; layout.rows()];
        circuit.visit(|row, matrix, wire, c| {
            if row < layout.constraints() {
                return;
            }
            if matrix == zkslice_circuit::Matrix::A && wire == row - layout.constraints() && c.is_one() {
                pinned[wire] = true;
            } else {
                others[row] = true;
            }
        });
        assert!(pinned.iter().all(|p| *p) && !others.contains(&true));
    }
    // Public inputs of the committed form are wires of the fingerprint, each alone but for the step before it.
    let circuit = committed_circuit();
    let layout = circuit.layout().clone();
    let first = layout.constraints() - layout.elements();
    let mut elements = vec![Vec::new(); layout.elements()];
    circuit.visit(|row, matrix, wire, _| {
        if (first..layout.constraints()).contains(&row) && matrix == zkslice_circuit::Matrix::A {
            elements[row - first].push(wire);
        }
    });
    let last_step = layout.wires() - 1;
    let publics: Vec<Vec<usize>> = (0..layout.publics).rev().map(|j| vec![last_step - j, layout.first_public() + j]).collect();
    assert_eq!(elements[layout.words..], publics);
}

/// Public inputs that stand in no gadget, words of full-size wires or of looked-up digits.
fn shaped<B: Builder>(b: &mut B, [publics, words, digits]: [usize; 3], value: Option<Fr>) {
    (0..publics).for_each(|j| drop(b.public(value.map(|v| v + Fr::from(j as u64)))));
    let digits: Vec<_> = (0..digits).map(|_| gadgets::digit(b, value.map(|_| 7), W, &DigitTables::default(), W).unwrap()).collect();
    for j in 0..words {
        let word = match digits.get(j) {
            Some(digit) => b.to_field(digit),
            None => b.field_given(value.map(|_| Fr::from(50 - j as u64))),
        };
        b.public_word(&word);
    }
}

/// Whatever a circuit has of public inputs, words and tables: F of the verifier is that of the circuit's own wires, and no element can
/// be another, nor change its place.
#[test]
fn every_element_is_bound_in_every_shape() {
    let mut rng = StdRng::seed_from_u64(13);
    let setup = Setup::dev(&mut rng);
    let shapes = (0..3).flat_map(|p| (0..3).flat_map(move |n| (0..2).map(move |digits| [p, n, digits])));
    for shape @ [p, n, digits] in shapes.filter(|[_, n, digits]| n + digits > 0) {
        let circuit = || {
            let mut circuit = ConstraintBuilder::new();
            shaped(&mut circuit, shape, None);
            circuit.finish()
        };
        let mut trace = WitnessBuilder::new();
        shaped(&mut trace, shape, Some(Fr::rand(&mut rng)));
        let witness = trace.finish();
        let layout = circuit().layout().clone();
        assert_eq!((layout.publics, layout.words, layout.tables.len(), layout.elements()), (p, n, digits, p + n));
        let key = setup.key(&circuit(), &vec![WordGroup { count: 1, bits: W }; n], &mut rng).unwrap();
        let (vk, honest) = (key.verifying_key(), statement(&witness));
        assert_eq!(vk.ic.len(), 3);
        let proof = prove(&key, &witness, || Ok(circuit()), &mut rng).unwrap();
        verify(vk, &honest, &proof).unwrap();

        let chi = Fr::rand(&mut rng);
        let z = circuit().assignment(&witness, chi).unwrap();
        circuit().check(&z).unwrap();
        assert_eq!(z[Layout::FINGERPRINT_WIRE], fingerprint(&honest.publics, &honest.words, chi));
        let mut moved: Vec<usize> = (layout.first_public()..layout.first_public() + p).collect();
        // Without elements F is in no row: the verifier's is 0.
        moved.extend((p + n > 0).then_some(Layout::FINGERPRINT_WIRE));
        for wire in moved {
            let mut z = z.clone();
            z[wire] += Fr::one();
            assert!(circuit().check(&z).is_err(), "{shape:?}, wire {wire}");
        }
        for i in 0..p + n {
            let mut other = honest.clone();
            let element = if i < p { &mut other.publics[i] } else { &mut other.words[i - p] };
            *element += Fr::one();
            assert_eq!(verify(vk, &other, &proof), Err(VerifyError::Invalid), "{shape:?}, element {i}");
        }
        // The last public input as the first word: the same sum, another statement.
        if p > 0 && n > 0 {
            let mut split = honest.clone();
            split.words.insert(0, split.publics.pop().unwrap());
            assert_eq!(fingerprint(&split.publics, &split.words, chi), z[Layout::FINGERPRINT_WIRE]);
            assert!(matches!(verify(vk, &split, &proof), Err(VerifyError::Arity { .. })), "{shape:?}");
            let mut other = vk.clone();
            (other.publics, other.groups) = (p - 1, [&[WordGroup { count: 1, bits: 253 }], vk.groups.as_slice()].concat());
            split.words[0] = Fr::from(3);
            assert_eq!(verify(&other, &split, &proof), Err(VerifyError::Invalid), "{shape:?}");
        }
    }
}

#[test]
fn keys_survive_the_disk_and_refuse_damage() {
    let (key, plain_key, mut rng) = keys();
    let folder = tempfile::tempdir().unwrap();
    for (key, name) in [(&key, "committed.key"), (&plain_key, "plain.key")] {
        let path = folder.path().join(name);
        key.save(&path).unwrap();
        let opened = ProvingKey::open(&path).unwrap();
        assert_eq!(opened.verifying_key(), key.verifying_key());
        assert_eq!(opened.digest(), key.digest());
        assert_eq!(opened.transcript(), None);
        let bytes = std::fs::read(&path).unwrap();
        for at in (0..bytes.len()).step_by(bytes.len() / 61) {
            let mut changed = bytes.clone();
            changed[at] ^= 0x10;
            std::fs::write(&path, &changed).unwrap();
            let padding = ProvingKey::open(&path).is_ok_and(|k| k.digest() == key.digest());
            assert!(!padding || changed[at] == 0x10, "byte {at}");
        }
        for cut in [0, 7, 15, 16, 100, bytes.len() - 64, bytes.len() - 1] {
            std::fs::write(&path, &bytes[..cut]).unwrap();
            assert!(ProvingKey::open(&path).is_err());
        }
        let mut newer = bytes.clone();
        newer[8] += 1;
        std::fs::write(&path, &newer).unwrap();
        assert!(matches!(ProvingKey::open(&path), Err(KeyError::Version { error: VersionError::Newer { .. }, .. })));
        newer[8] -= 2;
        std::fs::write(&path, &newer).unwrap();
        assert!(matches!(ProvingKey::open(&path), Err(KeyError::Version { error: VersionError::Older { .. }, .. })));
    }
    assert!(matches!(ProvingKey::open(&folder.path().join("absent")), Err(KeyError::Io { .. })));
    assert!(matches!(key.save(&folder.path().join("no/such/folder")), Err(KeyError::Io { .. })));
    let path = folder.path().join("again.key");
    key.save(&path).unwrap();
    let (proof, statement) = prove_committed(&ProvingKey::open(&path).unwrap(), [1, 1], &mut rng);
    verify(key.verifying_key(), &statement, &proof).unwrap();
}

#[test]
fn plain_form_is_arkworks() {
    let (_, key, mut rng) = keys();
    let vk = key.verifying_key();
    let witness = plain_witness();
    let proof = prove(&key, &witness, || Ok(plain_circuit()), &mut rng).unwrap();
    let ark_vk = ark_groth16::VerifyingKey::<Bn254> {
        alpha_g1: vk.alpha,
        beta_g2: vk.beta,
        gamma_g2: vk.gamma,
        delta_g2: vk.delta2,
        gamma_abc_g1: vk.ic.clone(),
    };
    let prepared = prepare_verifying_key(&ark_vk);
    let ark_proof = ark_groth16::Proof { a: proof.a, b: proof.b, c: proof.c2 };
    assert!(Groth16::<Bn254>::verify_proof(&prepared, &ark_proof, &witness.publics).unwrap());
    assert!(!Groth16::<Bn254>::verify_proof(&prepared, &ark_proof, &[Fr::zero()]).unwrap());
    // And theirs in ours: arkworks re-randomises with its own code.
    let theirs = Groth16::<Bn254>::rerandomize_proof(&ark_vk, &ark_proof, &mut rng);
    verify(vk, &statement(&witness), &Proof { a: theirs.a, b: theirs.b, c1: None, c2: theirs.c }).unwrap();
    // JSON there and back.
    let json = snarkjs::verifying_key(vk).unwrap();
    assert_eq!(&snarkjs::read_verifying_key(&json).unwrap(), vk);
    assert_eq!(snarkjs::read_proof(&snarkjs::proof(&proof).unwrap()).unwrap(), proof);
    assert_eq!(snarkjs::read_publics(&snarkjs::publics(&witness.publics)).unwrap(), witness.publics);
}
