//! Files of others, hostile ones among them; and a circuit of every type of signal, attacked wire by wire.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};

use ark_bn254::Fr;
use ark_ff::{PrimeField, UniformRand, Zero};
use num_bigint::BigUint;
use rand::{Rng, SeedableRng, rngs::StdRng};
use zkslice_circuit::gadgets::pack_values;
use zkslice_formats::key_blob::TensorKind;

use crate::binary::{element_bytes, field_header, write};
use crate::circuit::below_r;
use crate::*;

fn fr(value: i64) -> Fr {
    Fr::from(value)
}

/// product = x · y; sum = x + z, where product and x are public, y is committed and z seen by the prover only; wires 1 … 5.
fn sample() -> R1cs {
    let one = fr(1);
    R1cs {
        wires: 6,
        outputs: 2,
        public_inputs: 1,
        private_inputs: 2,
        rows: vec![
            [vec![(3, one)], vec![(4, one)], vec![(1, one)]],
            [vec![(3, one), (5, one)], vec![(0, one)], vec![(2, one)]],
            // z is 0 or 1.
            [vec![(5, one)], vec![(0, one), (5, -one)], vec![]],
        ],
    }
}

const SYM: &str = "1,1,0,main.product\n2,2,0,main.sum\n3,3,0,main.x\n4,4,0,main.y\n5,5,0,main.z\n6,-1,0,main.gone\n7,3,1,main.inner.x\n";

fn types(list: &[(&str, &str)]) -> BTreeMap<String, SignalType> {
    list.iter().map(|(name, of_values)| ((*name).to_owned(), of_values.parse().unwrap())).collect()
}

fn names(list: &[&str]) -> BTreeSet<String> {
    list.iter().map(|name| (*name).to_owned()).collect()
}

fn bound(list: &[(&str, &str)]) -> ForeignCircuit {
    let symbols = Symbols::read(SYM.as_bytes(), &sample()).unwrap();
    ForeignCircuit::bind(sample(), &symbols, &types(list), &names(&["y"])).unwrap()
}

fn wires(x: Fr, y: Fr, z: Fr) -> Vec<Fr> {
    vec![fr(1), x * y, x + z, x, y, z]
}

fn border() -> BorderValues {
    BorderValues { context: fr(11), owner: fr(12), salts: vec![fr(13)] }
}

#[test]
fn files_are_read_and_written() {
    let r1cs = sample();
    assert_eq!(R1cs::from_bytes(&r1cs.to_bytes()).unwrap(), r1cs);
    let values = wires(fr(-3), fr(5), fr(1));
    assert_eq!(read_wtns(&write_wtns(&values)).unwrap(), values);
    r1cs.check(&values).unwrap();
    let mut wrong = values.clone();
    wrong[1] += fr(1);
    assert!(r1cs.check(&wrong).unwrap_err().to_string().contains("row 0"));
    assert!(r1cs.check(&values[..5]).unwrap_err().to_string().contains("5 values"));
    assert!(r1cs.check(&[vec![fr(2)], values[1..].to_vec()].concat()).is_err());
}

#[test]
fn damaged_files_are_refused_or_read_whole() {
    let (r1cs, wtns) = (sample().to_bytes(), write_wtns(&wires(fr(2), fr(3), fr(0))));
    for end in 0..r1cs.len() {
        R1cs::from_bytes(&r1cs[..end]).unwrap_err();
    }
    for end in 0..wtns.len() {
        read_wtns(&wtns[..end]).unwrap_err();
    }
    R1cs::from_bytes(&[&r1cs[..], &[0]].concat()).unwrap_err();
    read_wtns(&[&wtns[..], &[0]].concat()).unwrap_err();
    let mut random = StdRng::seed_from_u64(1);
    for _ in 0..20_000 {
        let mut bytes = if random.r#gen() { r1cs.clone() } else { wtns.clone() };
        for _ in 0..random.gen_range(1..4) {
            let at = random.gen_range(0..bytes.len());
            bytes[at] = random.r#gen();
        }
        if let Ok(read) = R1cs::from_bytes(&bytes) {
            // Whatever is read names wires that exist.
            assert!(read.rows.iter().flatten().flatten().all(|(wire, _)| (*wire as usize) < read.wires));
        }
        let _ = read_wtns(&bytes);
    }
    let refused = |bytes: &[u8], says: &str| {
        let error = R1cs::from_bytes(bytes).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    };
    // Another prime.
    let mut other = r1cs.clone();
    other[4 + 4 + 4 + 12 + 4] ^= 1;
    refused(&other, "--prime bn128");
    // A custom gate, and sections of them that are empty.
    let frame = |sections: &[(u32, Vec<u8>)]| write(*b"r1cs", 1, sections);
    let header = [field_header(), [2u32, 1, 0, 0].map(u32::to_le_bytes).concat(), 2u64.to_le_bytes().to_vec(), 1u32.to_le_bytes().to_vec()];
    let row = [0u32.to_le_bytes(), 0u32.to_le_bytes(), 1u32.to_le_bytes(), 1u32.to_le_bytes()].concat();
    let row = [row, element_bytes(fr(1))].concat();
    let base = vec![(1, header.concat()), (2, row), (3, vec![0; 16])];
    let with = |more: &[(u32, Vec<u8>)]| frame(&[&base[..], more].concat());
    assert_eq!(R1cs::from_bytes(&with(&[(4, vec![0; 4]), (5, vec![0; 4])])).unwrap().rows.len(), 1);
    refused(&with(&[(4, vec![1, 0, 0, 0, 65])]), "custom gates");
    refused(&with(&[base[0].clone()]), "section 1 is there twice");
    refused(&frame(&[base[0].clone(), base[2].clone()]), "section 2 is missing");
    // More wires than the file has labels for.
    let mut many = base.clone();
    many[0].1[36..40].copy_from_slice(&u32::MAX.to_le_bytes());
    refused(&frame(&many), "a label for each of 4294967295 wires");
    // More terms than there are bytes.
    refused(&frame(&[base[0].clone(), (2, u32::MAX.to_le_bytes().to_vec()), base[2].clone()]), "ends early");
}

#[test]
fn names_are_those_of_the_circuit() {
    let symbols = Symbols::read(SYM.as_bytes(), &sample()).unwrap();
    let list = |symbols: &[Symbol]| symbols.iter().map(|s| (s.name.clone(), s.first_wire)).collect::<Vec<_>>();
    assert_eq!(list(&symbols.outputs), [("product".into(), 1), ("sum".into(), 2)]);
    assert_eq!(
        (list(&symbols.public_inputs), list(&symbols.private_inputs)),
        (vec![("x".into(), 3)], vec![("y".into(), 4), ("z".into(), 5)])
    );
    let shapes = |sym: &str, wires: usize| {
        let r1cs = R1cs { wires: wires + 1, outputs: 0, public_inputs: 0, private_inputs: wires, rows: Vec::new() };
        Symbols::read(sym.as_bytes(), &r1cs).map(|s| s.private_inputs.into_iter().map(|s| (s.name, s.shape)).collect::<Vec<_>>())
    };
    let array = "1,1,0,main.a[0][0]\n2,2,0,main.a[0][1]\n3,3,0,main.a[1][0]\n4,4,0,main.a[1][1]\n5,5,0,main.b.c[0]\n";
    assert_eq!(shapes(array, 5).unwrap(), [("a".into(), vec![2, 2]), ("b.c".into(), vec![1])]);
    for (sym, says) in [
        ("1,1,0,main.a[0]\n2,2,0,main.a[2]\n", "side by side"),
        ("1,1,0,main.a[1]\n2,2,0,main.a[0]\n", "side by side"),
        ("1,1,0,main.a[18446744073709551615]\n2,2,0,main.b\n", "side by side"),
        ("1,1,0,main.a\n2,2,0,main.a\n", "side by side"),
        ("1,1,0,main.a\n", "no name for wire 2"),
        ("1,1,0,main.a\n2,-1,0,main.b\n3,2,0,main.c\n", "'b': a private input that no row uses"),
        ("1,1,0,main.a]\n2,2,0,main.b\n", "cannot be read"),
        ("1,1,main.a\n", "line 1"),
        ("1,x,0,main.a\n", "line 1 has no wire"),
        ("1,1,0,main.\u{1b}[31m\n", "line 1"),
        (&format!("1,1,0,main.a{}\n2,2,0,main.b\n", "[0]".repeat(17)), "cannot be read"),
    ] {
        let error = shapes(sym, 2).unwrap_err().to_string();
        assert!(error.contains(says), "{sym:?}: {error}");
    }
    assert!(Symbols::read(&[255], &sample()).is_err());
}

#[test]
fn types_have_one_text_and_one_value_for_each_list_of_integers() {
    for text in ["u0", "u49", "u63", "u225", "u256", "i1", "i49", "i64", "u08", "Field", "", "u", "i", "u-1", "ü8"] {
        let error = text.parse::<SignalType>().unwrap_err();
        assert!(error.contains("i2 to i48"), "{error}");
    }
    let mut random = StdRng::seed_from_u64(2);
    for text in ["u1", "u8", "u48", "u64", "u160", "u224", "i2", "i32", "i48", "field"] {
        let of_values: SignalType = text.parse().unwrap();
        assert_eq!(of_values.to_string(), text);
        let bits = text[1..].parse().unwrap_or(254u32);
        let power = |bits: u32| Fr::from(BigUint::from(1u8) << bits);
        let (least, beyond) = match of_values {
            SignalType::Signed(_) => (-power(bits - 1), power(bits - 1)),
            SignalType::Unsigned(_) => (Fr::zero(), power(bits)),
            SignalType::Field => (Fr::zero(), Fr::zero()),
        };
        for value in [least, beyond - fr(1), fr(0), fr(1)] {
            let Some(integers) = of_values.integers(value) else { panic!("{text}: {value}") };
            assert_eq!((integers.len(), of_values.value(&integers)), (of_values.limbs(), Some(value)), "{text}");
            let digits = integers.iter().map(|integer| integer + of_values.offset());
            assert!(digits.into_iter().all(|digit| (0..1 << of_values.digit_bits()).contains(&digit)));
        }
        if of_values != SignalType::Field {
            assert_eq!((of_values.integers(beyond), of_values.integers(least - fr(1))), (None, None), "{text}");
            for _ in 0..100 {
                assert_eq!(of_values.integers(Fr::rand(&mut random)), None);
            }
        }
    }
}

#[test]
fn inputs_are_whole_numbers_by_name() {
    for (json, says) in [(r#"{"a": 1, "b": 2, "a": 1}"#, "'a': it is given twice"), ("[1]", "an object of names and values")] {
        let error = read_inputs(json.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
    let inputs = read_inputs(
        br#"{"a": 7, "b": ["-1", [2, "0007"]], "c": "21888242871839275222246405745257275088548364400416034343698204186575808495616"}"#,
    )
    .unwrap();
    assert_eq!((&inputs["a"], &inputs["b"], &inputs["c"]), (&vec![fr(7)], &vec![fr(-1), fr(2), fr(7)], &vec![fr(-1)]));
    for text in [
        r#"{"a": 0.5}"#,
        r#"{"a": 1e30}"#,
        r#"{"a": "0x10"}"#,
        r#"{"a": true}"#,
        r#"{"a": [null]}"#,
        r#"{"a": "--1"}"#,
        r#"{"a": ""}"#,
        r#"{"a": "21888242871839275222246405745257275088548364400416034343698204186575808495617"}"#,
        "[1]",
        "{",
    ] {
        read_inputs(text.as_bytes()).unwrap_err();
    }
    let circuit = bound(&[("x", "u16"), ("y", "i8")]);
    let given = |text: &str| circuit.encode(&read_inputs(text.as_bytes()).unwrap());
    assert_eq!(given(r#"{"x": 700, "y": -3}"#).unwrap(), [[700], [-3]]);
    for (text, says) in [
        (r#"{"x": 70000, "y": 0}"#, "no u16"),
        (r#"{"x": 1}"#, "'y': it is not given"),
        (r#"{"x": 1, "y": 2, "q": 3}"#, "it has x, y, z"),
        (r#"{"x": [1, 2], "y": 2}"#, "it has 1 values, 2 were given"),
    ] {
        let error = given(text).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
    let own = |text: &str| circuit.program_inputs(&[vec![700], vec![-3]], &read_inputs(text.as_bytes()).unwrap());
    let all = own(r#"{"z": 1}"#).unwrap();
    assert_eq!((&all["x"], &all["y"], &all["z"]), (&vec![fr(700)], &vec![fr(-3)], &vec![fr(1)]));
    assert!(own("{}").unwrap_err().to_string().contains("'z': it is private"));
    assert!(own(r#"{"z": 1, "x": 1}"#).unwrap_err().to_string().contains("'x': it is the request's"));
}

/// Every wire of a circuit with every type of signal, changed in several ways: no change completes, or it shows in the statement.
#[test]
fn a_changed_wire_is_no_witness_of_the_same_statement() {
    for list in [
        &[("product", "field"), ("sum", "u64"), ("x", "i32"), ("y", "u16")][..],
        &[("product", "u160"), ("sum", "i48"), ("x", "u48"), ("y", "field")],
        &[],
    ] {
        let circuit = bound(list);
        let (x, y) = if list.is_empty() { (fr(-5), fr(-1)) } else { (fr(5), fr(7)) };
        let values = wires(x, y, fr(1));
        let integers = circuit.integers(&values).unwrap();
        let built = circuit.circuit().unwrap();
        let witness = circuit.witness(&values, &integers, &border()).unwrap();
        let assignment = built.assignment(&witness, fr(999_999_999)).unwrap();
        built.check(&assignment).unwrap();
        assert_eq!(witness.publics[..2], [fr(11), fr(12)]);
        let small: Vec<Fr> = witness.small.iter().map(|v| fr(*v)).collect();
        assert!(built.completable(&witness.publics, &small, &witness.field));
        let words = built.words(&witness.publics, &small, &witness.field);
        assert_eq!(words, witness.words);
        let public = circuit.ports().iter().zip(&integers).filter(|(port, _)| port.kind != TensorKind::PrivateInput);
        let expected: Vec<Fr> = public
            .flat_map(|(port, integers)| {
                let of_values = port.signal.kind.unwrap();
                let digits: Vec<i64> = integers.iter().map(|integer| integer + of_values.offset()).collect();
                pack_values(&digits, of_values.digit_bits())
            })
            .collect();
        assert_eq!(words, expected);
        let mut random = StdRng::seed_from_u64(3);
        let changes = [fr(1), -fr(1 << 8), Fr::rand(&mut random)];
        for index in 0..small.len() + witness.field.len() {
            for change in changes {
                let (mut small, mut field) = (small.clone(), witness.field.clone());
                match index.checked_sub(small.len()) {
                    None => small[index] += change,
                    Some(index) => field[index] += change,
                }
                let same = built.words(&witness.publics, &small, &field) == words;
                assert!(!same || !built.completable(&witness.publics, &small, &field), "{list:?}: wire {index} by {change}");
            }
        }
        // Every public input is fixed by the others: another commitment is no witness.
        for index in 2..witness.publics.len() {
            let mut publics = witness.publics.clone();
            publics[index] += fr(1);
            assert!(!built.completable(&publics, &small, &witness.field));
        }
        // A wire of the circuit that its rows refuse.
        assert!(circuit.integers(&wires(x, y, fr(2))).unwrap_err().to_string().contains("row 2"));
    }
}

/// Limbs of v and of v + r, with whatever the prover may add: only the first are a field element's.
#[test]
fn limbs_from_r_on_are_refused() {
    use zkslice_circuit::gadgets::{DigitTables, digit};
    use zkslice_circuit::{Builder, ConstraintBuilder};
    let (w, tables) = (8, DigitTables::choose(&[(16, 32), (1, 1)], 8));
    let mut builder = ConstraintBuilder::new();
    let limbs: Vec<_> = (0..8).map(|_| digit(&mut builder, None, 32, &tables, w).unwrap()).collect();
    below_r(&mut builder, &limbs, None, (&tables, w)).unwrap();
    builder.public_word(&builder.field_constant(fr(1)));
    let circuit = builder.finish();
    let r = BigUint::from(Fr::MODULUS);
    let half = BigUint::from(1u8) << 128u8;
    let (low, high) = ((&r - 1u8) % &half, (&r - 1u8) / &half);
    let bytes = |number: &BigUint, count: usize| {
        let mut bytes = number.to_bytes_le();
        bytes.resize(count, 0);
        bytes.into_iter().map(|byte| fr(byte.into()))
    };
    // The best that a prover can do for a value and a carry: complements modulo 2^128.
    let completes = |value: &BigUint, carry: u8| {
        let (lower, upper) = (value % &half, value / &half);
        let rest_low = (&low + &half * carry + &half - lower) % &half;
        let rest_high = (&high + &half - carry - upper) % &half;
        let small: Vec<Fr> = bytes(value, 32).chain(bytes(&rest_low, 16)).chain(bytes(&rest_high, 16)).chain([fr(carry.into())]).collect();
        circuit.completable(&[], &small, &[])
    };
    let one = BigUint::from(1u8);
    let below =
        [BigUint::default(), one.clone(), &r - 1u8, &half - 1u8, half.clone(), &half * &high, &half * &high + &low, &half * &high - 1u8];
    for value in &below {
        assert_eq!(u8::from(completes(value, 0)) + u8::from(completes(value, 1)), 1, "{value}");
    }
    let most = (BigUint::from(1u8) << 256u16) - 1u8;
    for value in [r.clone(), &r + 1u8, &half * (&high + 1u8), &half * &high + &low + 1u8, &r * 2u8, &r * 5u8, most] {
        assert!(!completes(&value, 0) && !completes(&value, 1), "{value}");
    }
}

#[test]
fn circuits_that_bind_too_little_are_refused() {
    let symbols = Symbols::read(SYM.as_bytes(), &sample()).unwrap();
    let refused = |result: Result<ForeignCircuit, InteropError>, says: &str| {
        let error = result.unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    };
    let bind = |r1cs: R1cs| ForeignCircuit::bind(r1cs, &symbols, &BTreeMap::new(), &names(&["y"]));
    // No row uses an output, an input, or what is committed to.
    for (row, signal) in [(1, "'sum'"), (0, "'product'")] {
        let mut r1cs = sample();
        r1cs.rows[row][2] = Vec::new();
        refused(bind(r1cs), signal);
    }
    let mut r1cs = sample();
    r1cs.rows[0][1] = vec![(0, fr(1))];
    refused(bind(r1cs), "'y'");
    let mut twice = sample();
    twice.rows[1][0].push((3, fr(1)));
    refused(bind(twice), "names wire 3 twice");
    refused(ForeignCircuit::bind(sample(), &symbols, &types(&[("z", "u1")]), &names(&[])), "'z': it has a type");
    refused(ForeignCircuit::bind(sample(), &symbols, &BTreeMap::new(), &names(&["x"])), "'x': it cannot be committed");
    // What a package's manifest might claim.
    let good = bound(&[]);
    let with = |change: &dyn Fn(&mut Vec<Port>)| {
        let mut ports = good.ports().to_vec();
        change(&mut ports);
        ForeignCircuit::new(sample(), ports, good.private().to_vec())
    };
    refused(with(&|ports| drop(ports.remove(0))), "its wire 3, an input or output, is no signal's");
    refused(with(&|ports| ports.swap(0, 2)), "do not follow");
    refused(with(&|ports| ports[0].signal.first_wire = Some(4)), "not those of such a signal");
    refused(with(&|ports| ports[0].signal.first_wire = None), "not those of such a signal");
    refused(with(&|ports| ports[0].signal.first_wire = Some(usize::MAX)), "not those of such a signal");
    refused(with(&|ports| ports[0].kind = TensorKind::PrivateInput), "not those of such a signal");
    refused(with(&|ports| ports[0].kind = TensorKind::Boundary), "not those of such a signal");
    refused(with(&|ports| ports[0].signal.kind = None), "no type");
    refused(with(&|ports| ports[0].signal.shape = vec![0]), "or none");
    refused(with(&|ports| ports[0].signal.shape = vec![3, 12_297_829_382_473_034_411]), "or none");
    refused(with(&|ports| ports[2].signal.name = "x".into()), "two signals");
    refused(with(&|ports| ports[3].signal.first_wire = Some(1)), "another signal's too");
    refused(
        with(&|ports| {
            let mut tag = ports[0].clone();
            tag.signal = Signal { name: TAG.into(), shape: Vec::new(), first_wire: None, kind: Some(SignalType::Unsigned(32)) };
            ports.insert(0, tag);
        }),
        "'request-tag'",
    );
    // A private input with a bound signal's name would be published as that; others must be the circuit's own.
    let private = |change: &dyn Fn(&mut Signal)| {
        let mut private = good.private().to_vec();
        change(&mut private[0]);
        ForeignCircuit::new(sample(), good.ports().to_vec(), private)
    };
    refused(private(&|signal| signal.name = "x".into()), "'x': two signals");
    refused(private(&|signal| signal.first_wire = Some(4)), "'z': its wires");
    refused(private(&|signal| signal.first_wire = Some(1)), "'z': its wires");
    refused(private(&|signal| signal.first_wire = None), "'z': its wires");
    refused(private(&|signal| signal.shape = vec![1 << 40]), "'z': it has more elements");
    refused(private(&|signal| signal.shape = vec![0]), "'z': it has more elements");
    refused(ForeignCircuit::new(sample(), good.ports().to_vec(), Vec::new()), "its wire 5");
    // Rows that hold whatever their wires are do not count as use.
    for row in [
        [vec![(2, fr(1))], vec![], vec![]],
        [vec![(2, fr(3))], vec![(0, fr(2))], vec![(2, fr(6))]],
        [vec![(0, fr(2))], vec![(2, fr(3)), (0, fr(1))], vec![(0, fr(2)), (2, fr(6))]],
    ] {
        let mut vacuous = sample();
        vacuous.rows[1] = row;
        refused(bind(vacuous), "'sum'");
    }
}

/// A private input may have any name that Circom has: none is that of what is put beside it.
#[test]
fn a_private_tag_stays_private() {
    let one = fr(1);
    let row = [vec![(1, one)], vec![(2, one)], vec![(0, fr(15))]];
    let r1cs = R1cs { wires: 3, outputs: 0, public_inputs: 0, private_inputs: 2, rows: vec![row] };
    let symbols = Symbols::read(b"1,1,0,main.tag\n2,2,0,main.holds\n", &r1cs).unwrap();
    let circuit = ForeignCircuit::bind(r1cs, &symbols, &BTreeMap::new(), &BTreeSet::new()).unwrap();
    assert_eq!(circuit.encode(&read_inputs(br#"{"tag": 3, "holds": 5}"#).unwrap()).unwrap(), [[0]]);
}

#[test]
fn a_circuit_without_inputs_or_outputs_has_a_tag_and_holds() {
    let one = fr(1);
    // A secret bit, and nothing else.
    let r1cs =
        R1cs { wires: 2, outputs: 0, public_inputs: 0, private_inputs: 1, rows: vec![[vec![(1, one)], vec![(0, one), (1, -one)], vec![]]] };
    let symbols = Symbols::read(b"1,1,0,main.bit\n", &r1cs).unwrap();
    let circuit = ForeignCircuit::bind(r1cs, &symbols, &BTreeMap::new(), &BTreeSet::new()).unwrap();
    let names: Vec<_> = circuit.ports().iter().map(|port| (port.signal.name.as_str(), port.kind)).collect();
    assert_eq!(names, [(TAG, TensorKind::PublicInput), (HOLDS, TensorKind::Output)]);
    assert_eq!(circuit.encode(&read_inputs(br#"{"request-tag": 9}"#).unwrap()).unwrap(), [[9]]);
    assert_eq!(circuit.encode(&Inputs::new()).unwrap(), [[0]]);
    let border = BorderValues { context: fr(1), ..BorderValues::default() };
    let built = circuit.circuit().unwrap();
    for (tag, valid) in [(9, true), (1 << 32, false)] {
        let witness = circuit.witness(&[fr(1), fr(0)], &[vec![tag], vec![1]], &border);
        assert_eq!(witness.is_ok(), valid);
        let Ok(witness) = witness else { continue };
        built.check(&built.assignment(&witness, fr(12345)).unwrap()).unwrap();
        assert_eq!(witness.words, [fr(9), fr(1)]);
    }
}

#[cfg(unix)]
#[test]
fn a_program_makes_a_witness_or_says_why_not() {
    use std::sync::atomic::{AtomicBool, Ordering};
    let folder = tempfile::tempdir().unwrap();
    let values = wires(fr(2), fr(3), fr(0));
    std::fs::write(folder.path().join("w.wtns"), write_wtns(&values)).unwrap();
    let inputs = read_inputs(br#"{"x": 2, "z": ["-1"]}"#).unwrap();
    let cancelled = AtomicBool::new(false);
    let run = |body: &str| {
        std::fs::write(folder.path().join("program.sh"), body).unwrap();
        // Paths start at its folder.
        WitnessProgram::parse("sh program.sh").unwrap().in_folder(folder.path()).run(&inputs, values.len(), &cancelled)
    };
    let json = r#"{"x":["2"],"z":["21888242871839275222246405745257275088548364400416034343698204186575808495616"]}"#;
    assert_eq!(run(&format!("test \"$(cat $1)\" = '{json}' && cp w.wtns $2")).unwrap(), values);
    for (body, says) in [
        ("echo broken; exit 3", "it failed"),
        ("true", "wrote no witness"),
        ("echo no > $2", ".wtns file"),
        ("cat w.wtns w.wtns w.wtns w.wtns w.wtns w.wtns w.wtns w.wtns w.wtns > $2", "no witness of this circuit"),
        ("mkfifo $2", "wrote no witness"),
        ("ln -s w.wtns $2", "wrote no witness"),
    ] {
        let error = run(body).unwrap_err().to_string();
        assert!(error.contains(says) && !error.contains("broken"), "{body}: {error}");
    }
    // Nobody else sees the inputs; what it printed is told apart from the error, for it may be secret.
    let InteropError::Program { said, .. } = run("ls -ld $(dirname $1) $1; exit 1").unwrap_err() else { panic!() };
    assert!(said.starts_with("drwx------") && said.contains("-rw-------"), "{said}");
    assert!(
        WitnessProgram::parse("/no/such/program x").unwrap().run(&inputs, 6, &cancelled).unwrap_err().to_string().contains("cannot be run")
    );
    assert!(WitnessProgram::parse("  ").is_err());
    // Stopped, and with it what it started.
    let (started, alive) = (std::time::Instant::now(), folder.path().join("alive"));
    let stopper = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !alive.exists() {
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
            cancelled.store(true, Ordering::Relaxed);
        });
        run("sh -c 'echo $$ > pid; mv pid alive; sleep 300' & wait")
    });
    assert!(stopper.unwrap_err().to_string().contains("it was stopped"));
    assert!(started.elapsed() < std::time::Duration::from_secs(100));
    let pid = std::fs::read_to_string(&alive).unwrap();
    let gone = || {
        !std::path::Path::new(&format!("/proc/{}/cmdline", pid.trim())).exists()
            || std::fs::read(format!("/proc/{}/cmdline", pid.trim())).is_ok_and(|line| line.is_empty())
    };
    assert!(
        (0..200).any(|_| gone() || {
            std::thread::sleep(std::time::Duration::from_millis(10));
            false
        }),
        "{pid}"
    );
}

/// What no compiler writes, and what ark-circom would panic at or give zeros for.
#[cfg(feature = "wasm")]
#[test]
fn wasm_makes_a_witness_or_says_why_not() {
    const WAT: &str = include_str!("circuit.wat");
    let run = |from: &str, to: &str| {
        assert!(from.is_empty() || WAT.contains(from), "{from}");
        let text = WAT.replacen(from, to, 1);
        let bytes = wasmer::wat2wasm(text.as_bytes()).unwrap();
        CircuitWasm::load(&bytes).and_then(|circuit| circuit.witness(&Inputs::from([("x".to_owned(), vec![fr(-5)])])))
    };
    assert_eq!(run("", "").unwrap(), [fr(1), fr(-5)]);
    let copies = "(memory.copy (i32.const 160) (i32.const 0) (i32.const 32))";
    let second = "(global.set $calls (i32.add (global.get $calls) (i32.const 1)))
        (select (i32.const 8) (i32.const 0) (i32.lt_u (global.get $calls) (i32.const 3))))";
    for (from, to, says) in [
        (r#""getVersion") (result i32) (i32.const 2)"#, r#""getVersion") (result i32) (i32.const 1)"#, "of Circom 1"),
        (r#""getInputSize""#, r#""size""#, "no function getInputSize"),
        (r#""getWitness") (param i32)"#, r#""getWitness") (param i32 i32)"#, "no function getWitness"),
        (
            r#""getWitnessSize") (result i32) (i32.const 2)"#,
            r#""getWitnessSize") (result i64) (i64.const 2)"#,
            "no function getWitnessSize",
        ),
        (
            r#""getWitnessSize") (result i32) (i32.const 2)"#,
            r#""getWitnessSize") (result i32) (i32.const -1)"#,
            "it speaks of 4294967295 wires",
        ),
        (r#""getInputSize") (result i32) (i32.const 1)"#, r#""getInputSize") (result i32) (i32.const 3)"#, "needs 3 values, 1 were given"),
        ("(param i32 i32) (result i32) (i32.const 1)", "(param i32 i32) (result i32) (i32.const 2)", "'x': it has 2 values, 1 were given"),
        ("(param i32 i32) (result i32) (i32.const 1)", "(param i32 i32) (result i32) (i32.const -1)", "'x': the circuit has no such input"),
        (r"\01\00\00\f0", r"\03\00\00\f0", "--prime bn128"),
        ("(i32.const 8)", "(i32.const -1)", "--prime bn128"),
        (
            r#""\01")"#,
            r#""\ff\ff\ff\ff\ff\ff\ff\ff\ff\ff\ff\ff\ff\ff\ff\ff\ff\ff\ff\ff\ff\ff\ff\ff\ff\ff\ff\ff\ff\ff\ff\ff")"#,
            "not below r",
        ),
        (copies, "unreachable", "refuses them: RuntimeError: unreachable"),
        (copies, "(call $print) (call $exception (i32.const 4))", "an assertion does not hold AAA"),
        (r#""runtime" "printErrorMessage""#, r#""env" "exit""#, "cannot be run"),
        (r#"(export "init") (param i32))"#, r#"(export "init") (param i32) (call $init (i32.const 0)))"#, "stack"),
        // Another answer to the same question: ark-circom panics.
        ("(i32.const 8))", second, "does not do what Circom's do"),
    ] {
        let error = run(from, to).unwrap_err().to_string();
        assert!(error.contains(says) && error.lines().count() == 1 && error.len() < 2000, "{to}: {error}");
    }
    // Messages that ask for messages: the stack of the process would end.
    let reentrant = WAT.replacen(copies, "(call $print) (call $exception (i32.const 4))", 1).replacen(
        "(i32.const 65))",
        "(call $print) (i32.const 65))",
        1,
    );
    let circuit = CircuitWasm::load(&wasmer::wat2wasm(reentrant.as_bytes()).unwrap()).unwrap();
    let error = circuit.witness(&Inputs::from([("x".to_owned(), vec![fr(-5)])])).unwrap_err().to_string();
    assert!(error.contains("an assertion does not hold AAA") && error.len() < 2000, "{error}");
    for (bytes, says) in
        [(WAT.as_bytes(), "no wasm"), (b"", "no wasm"), (b"\0asm\x01\0\0\0", "no function getVersion"), (b"\0asm\x01", "compile")]
    {
        let error = CircuitWasm::load(bytes).unwrap_err().to_string();
        assert!(error.starts_with(".wasm file: ") && error.contains(says), "{error}");
    }
}
