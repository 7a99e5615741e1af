//! Every gadget: an honest witness is accepted, every mutated wire is refused, and over a small field every assignment is
//! tried: each input has exactly one output, the one that the executor defines.

use ark_bn254::Fr;
use ark_ff::{Field, One, UniformRand, Zero};
use rand::{SeedableRng, rngs::StdRng};
use zkslice_circuit::gadgets::{self, DigitTables};
use zkslice_circuit::{Builder, Circuit, CircuitError, ConstraintBuilder, Int, Interval, WitnessBuilder};

/// The constraints of a gadget whose arguments are wires 0.. proven to lie in `intervals`.
fn shape(intervals: &[Interval], gadget: impl FnOnce(&mut ConstraintBuilder, &[Int]) -> Result<(), CircuitError>) -> Circuit {
    let mut shape = ConstraintBuilder::new();
    let arguments: Vec<Int> = intervals
        .iter()
        .map(|interval| {
            let wire = shape.given(None);
            shape.anchored(&wire, *interval)
        })
        .collect();
    gadget(&mut shape, &arguments).unwrap();
    shape.finish()
}

/// Calls `visit` with every assignment modulo `prime` of the wires after `fixed` that the constraints accept.
fn solutions(circuit: &Circuit, fixed: &[i64], prime: u64) -> Vec<Vec<u64>> {
    let start: Vec<u64> = fixed.iter().map(|v| v.rem_euclid(prime as i64) as u64).collect();
    let free = circuit.layout().small - fixed.len();
    let mut found = Vec::new();
    for code in 0..prime.pow(free as u32) {
        let mut wires = start.clone();
        let mut rest = code;
        for _ in 0..free {
            wires.push(rest % prime);
            rest /= prime;
        }
        if circuit.holds_modulo(&wires, prime) {
            found.push(wires);
        }
    }
    found
}

fn signed(value: u64, prime: u64) -> i64 {
    if value > prime / 2 { value as i64 - prime as i64 } else { value as i64 }
}

#[test]
fn relu_is_a_function() {
    for w in [2u32, 3] {
        let prime = 257;
        let limit = (1 << (2 * w)) - 1;
        let circuit = shape(&[Interval { lo: -limit, hi: limit }], |b, args| gadgets::relu(b, &args[0], w, w).map(drop));
        for acc in -limit..=limit {
            let q = gadgets::requant(acc, w);
            let expected: Vec<(i64, i64)> = if q.abs() < 1 << w { vec![(q, q.max(0))] } else { vec![] };
            let found: Vec<_> = solutions(&circuit, &[acc], prime).iter().map(|s| (signed(s[1], prime), signed(s[2], prime))).collect();
            assert_eq!(found, expected, "w = {w}, acc = {acc}");
        }
    }
}

#[test]
fn relu_without_shift_is_a_function() {
    let (w, prime) = (4, 257);
    let circuit = shape(&[Interval { lo: -40, hi: 40 }], |b, args| gadgets::relu(b, &args[0], 0, w).map(drop));
    for x in -40..=40i64 {
        let expected: Vec<i64> = if x.abs() < 16 { vec![x.max(0)] } else { vec![] };
        let found: Vec<_> = solutions(&circuit, &[x], prime).iter().map(|s| signed(s[1], prime)).collect();
        assert_eq!(found, expected, "x = {x}");
    }
}

#[test]
fn requantise_is_a_function() {
    for shift in [0u32, 3] {
        let (w, prime) = (3, 1009);
        let circuit = shape(&[Interval { lo: -100, hi: 100 }], |b, args| gadgets::requantise(b, &args[0], shift, w).map(drop));
        for acc in -100..=100i64 {
            let q = gadgets::requant(acc, shift);
            let expected: Vec<i64> = if (-4..4).contains(&q) { vec![q] } else { vec![] };
            let found: Vec<_> = solutions(&circuit, &[acc], prime).iter().map(|s| signed(s[1], prime)).collect();
            assert_eq!(found, expected, "shift = {shift}, acc = {acc}");
        }
    }
}

#[test]
fn max_is_a_function() {
    for limbs in [1u32, 2] {
        let (w, prime) = (2, 131);
        let interval = Interval { lo: -20, hi: 20 };
        let circuit = shape(&[interval, interval], |b, args| gadgets::max(b, &args[0], &args[1], limbs, w).map(drop));
        for (x, y) in (-20..=20i64).step_by(3).flat_map(|x| (-20..=20i64).map(move |y| (x, y))) {
            let expected: Vec<i64> = if (x - y).abs() < 1 << (w * limbs) { vec![x.max(y)] } else { vec![] };
            let found: Vec<_> = solutions(&circuit, &[x, y], prime).iter().map(|s| signed(s[2], prime)).collect();
            assert_eq!(found, expected, "limbs = {limbs}, max({x}, {y})");
        }
    }
}

/// A bound on one side, on both, as narrow as a point, and none; up to three limbs.
#[test]
fn clip_is_a_function() {
    let bounds = [(None, Some(3)), (Some(-2), None), (Some(-2), Some(3)), (Some(1), Some(1)), (None, None)];
    for (limbs, w, prime, size) in [(1u32, 2u32, 67, 12i64), (2, 1, 23, 5), (3, 1, 31, 7)] {
        let circuit_of = |least: Option<i64>, most: Option<i64>| {
            shape(&[Interval { lo: -size, hi: size }], |b, args| gadgets::clip(b, &args[0], least, most, limbs, w).map(drop))
        };
        // Six wires are too many to try.
        for (least, most) in bounds.into_iter().filter(|(least, most)| limbs < 3 || least.is_none() || most.is_none()) {
            let circuit = circuit_of(least, most);
            for x in -size..=size {
                let far = |bound: Option<i64>, x: i64| bound.is_some_and(|bound| (x - bound).abs() >= 1 << (w * limbs));
                let raised = least.map_or(x, |least| x.max(least));
                let provable = !far(least, x) && !far(most, raised);
                let found = solutions(&circuit, &[x], prime);
                assert_eq!(found.len(), usize::from(provable), "{limbs} limbs, {x} in {least:?}, {most:?}");
                let (Some(wires), Some(most), None) = (found.first(), most, least) else {
                    continue;
                };
                // The wire is the larger of the negated numbers.
                assert_eq!(-signed(wires[1], prime), x.min(most));
            }
        }
    }
}

#[test]
fn digits_are_exact() {
    let prime = 521;
    for (bits, w, own) in [(3, 3, false), (2, 4, false), (2, 4, true), (1, 4, false)] {
        let tables = DigitTables::choose(&[(if own { 1000 } else { 1 }, bits)], w);
        let circuit = shape(&[], |b, _| gadgets::digit(b, None, bits, &tables, w).map(drop));
        let found: Vec<u64> = solutions(&circuit, &[], prime).iter().map(|s| s[0]).collect();
        assert_eq!(found, (0..1u64 << bits).collect::<Vec<_>>(), "bits = {bits}, w = {w}");
    }
    // Wider than the table: limbs, whose sum is the digit.
    for (bits, w) in [(5, 3), (6, 3), (4, 3)] {
        let circuit = shape(&[], |b, _| gadgets::digit(b, None, bits, &DigitTables::default(), w).map(drop));
        let mut found: Vec<u64> =
            solutions(&circuit, &[], prime).iter().map(|s| s.iter().rev().fold(0, |sum, limb| (sum << w) + limb)).collect();
        found.sort_unstable();
        assert_eq!(found, (0..1u64 << bits).collect::<Vec<_>>(), "bits = {bits}, w = {w}");
    }
}

/// Rule B2: one unscaled lookup in a wider table, or one scaled one, would admit other digits of the same word.
#[test]
fn attack_b2_digits_wider_or_fractional() {
    let (bits, w) = (8, 12);
    let circuit = shape(&[], |b, _| {
        let tables = DigitTables::default();
        let digits = [gadgets::digit(b, None, bits, &tables, w)?, gadgets::digit(b, None, bits, &tables, w)?];
        gadgets::pack(b, &digits, bits)?.iter().for_each(|word| b.public_word(word));
        Ok(())
    });
    let honest = [Fr::from(5), Fr::from(7)];
    assert!(circuit.completable(&[], &honest, &[]));
    let wide = [Fr::from(5 + 256), Fr::from(6)];
    let fractional = [Fr::from(5 + 16), Fr::from(7) - Fr::from(16).inverse().unwrap()];
    for forged in [wide, fractional] {
        assert_eq!(circuit.words(&[], &forged, &[]), circuit.words(&[], &honest, &[]), "the forgery shows the same word");
        assert!(!circuit.completable(&[], &forged, &[]));
    }
    // A digit whose interval is not within the pitch does not compile.
    let mut shape = ConstraintBuilder::new();
    let wire = shape.given(None);
    let wide = shape.anchored(&wire, Interval::unsigned(12));
    assert!(matches!(gadgets::pack(&shape, &[wide], 8), Err(CircuitError::TooWide { .. })));
    assert!(matches!(gadgets::pack(&shape, &[wire], 8), Err(CircuitError::NotIntegral { .. })));
}

/// Rule G3: integrality is tracked; a fresh wire is any field element until a gadget anchors it.
#[test]
fn attack_g3_unanchored_wires_do_not_compile() {
    let mut b = ConstraintBuilder::new();
    let fresh = b.given(None);
    let refused = |result: Result<Int, CircuitError>| assert!(matches!(result, Err(CircuitError::NotIntegral { .. })));
    refused(gadgets::relu(&mut b, &fresh, 8, 8));
    refused(gadgets::relu(&mut b, &fresh, 0, 8));
    refused(gadgets::requantise(&mut b, &fresh, 8, 8));
    let integer = b.constant(3);
    refused(gadgets::max(&mut b, &fresh, &integer, 1, 8));
    let sum = b.combine(&[(3, &fresh), (5, &integer)], 1).unwrap();
    assert_eq!(sum.range(), None);
    let near = b.anchored(&fresh, Interval { lo: 0, hi: 1 << 40 });
    assert_eq!(b.combine(&[(1 << 30, &near)], 0).unwrap_err(), CircuitError::Overflow);
}

#[test]
fn attack_g4_shift_other_than_the_table_is_refused() {
    let mut b = ConstraintBuilder::new();
    let wire = b.given(None);
    let acc = b.anchored(&wire, Interval::unsigned(10));
    assert!(matches!(gadgets::relu(&mut b, &acc, 4, 8), Err(CircuitError::Unsupported { .. })));
    assert!(matches!(gadgets::requantise(&mut b, &acc, 9, 8), Err(CircuitError::Unsupported { .. })));
}

/// All gadgets in one circuit over the real field: every wire, small and full-size, moved by ±1 and by a random element.
#[test]
fn every_mutated_wire_is_refused() {
    let w = 8;
    fn build<B: Builder>(b: &mut B, w: u32, digits: Option<&[i64]>, salt: Option<Fr>, commitment: Option<Fr>) {
        let public = b.public(commitment);
        let tables = DigitTables::default();
        let x: Vec<_> = (0..4).map(|i| gadgets::digit(b, digits.map(|d| d[i]), [8, 5, 14, 8][i], &tables, w).unwrap()).collect();
        let acc = b.combine(&[(37, &x[0]), (-90, &x[1]), (1, &x[2])], -300).unwrap();
        let y = gadgets::relu(b, &acc, w, w).unwrap();
        let z = gadgets::requantise(b, &acc, w, w).unwrap();
        let m = gadgets::max(b, &x[0], &x[3], 1, w).unwrap();
        let n = gadgets::max(b, &acc, &x[2], 2, w).unwrap();
        let v = gadgets::relu(b, &z, 0, w).unwrap();
        let n = gadgets::requantise(b, &n, w, w).unwrap();
        let outputs = [y, b.combine(&[(1, &z)], 128).unwrap(), m, b.combine(&[(1, &n)], 128).unwrap(), v];
        let mut words = gadgets::pack(b, &outputs, w).unwrap();
        words.extend(gadgets::pack(b, &x, 14).unwrap());
        words.iter().for_each(|word| b.public_word(word));
        let salt = b.field_given(salt);
        let h = gadgets::commitment(b, &salt, gadgets::tensor_tag(5, w), None, &words).unwrap();
        b.field_equal(&h, &public);
    }
    let mut shape = ConstraintBuilder::new();
    build(&mut shape, w, None, None, None);
    let circuit = shape.finish();
    let mut rng = StdRng::seed_from_u64(7);
    let (digits, salt) = ([200, 17, 9000, 45], Fr::rand(&mut rng));
    let words = {
        let mut probe = WitnessBuilder::new();
        build(&mut probe, w, Some(&digits), Some(salt), None);
        probe.finish().words
    };
    let commitment = gadgets::commitment_of(salt, gadgets::tensor_tag(5, w), None, &words).unwrap();
    let mut trace = WitnessBuilder::new();
    build(&mut trace, w, Some(&digits), Some(salt), Some(commitment));
    let witness = trace.finish();
    let small: Vec<Fr> = witness.small.iter().map(|v| Fr::from(*v)).collect();
    assert!(circuit.completable(&witness.publics, &small, &witness.field));
    let challenge = Fr::rand(&mut rng);
    let assignment = circuit.assignment(&witness, challenge).unwrap();
    circuit.check(&assignment).unwrap();

    let moves =
        |rng: &mut StdRng, value: Fr| [value + Fr::one(), value - Fr::one(), Fr::rand(rng), value + Fr::from(16).inverse().unwrap()];
    let honest_words = circuit.words(&witness.publics, &small, &witness.field);
    for i in 0..small.len() {
        for forged in moves(&mut rng, small[i]) {
            let mut wires = small.clone();
            wires[i] = forged;
            assert!(!circuit.completable(&witness.publics, &wires, &witness.field), "small wire {i} moved to {forged}");
        }
    }
    for i in 0..witness.field.len() {
        for forged in moves(&mut rng, witness.field[i]) {
            let mut wires = witness.field.clone();
            wires[i] = forged;
            assert!(!circuit.completable(&witness.publics, &small, &wires), "field wire {i} moved");
        }
    }
    assert!(!circuit.completable(&[commitment + Fr::one()], &small, &witness.field));
    // Every wire of the full assignment: multiplicities, inverses, quotients, fingerprint steps, χ and F too.
    for wire in 0..assignment.len() {
        for forged in moves(&mut rng, assignment[wire]) {
            let mut z = assignment.clone();
            z[wire] = forged;
            assert!(circuit.check(&z).is_err(), "wire {wire} of {}", assignment.len());
        }
    }
    assert_eq!(honest_words, witness.words);
}

/// Rule B1: one logUp sum a table. A value of one table cannot be answered by another, whatever the multiplicities.
#[test]
fn attack_b1_tables_have_sums_of_their_own() {
    let circuit = shape(&[], |b, _| {
        let (narrow, wide) = (b.given(None), b.given(None));
        b.lookup(2, &narrow)?;
        b.lookup(5, &wide)
    });
    let mut trace = WitnessBuilder::new();
    let (narrow, wide) = (trace.given(Some(3)), trace.given(Some(3)));
    trace.lookup(2, &narrow).unwrap();
    trace.lookup(5, &wide).unwrap();
    let witness = trace.finish();
    let challenge = Fr::from(987_654_321u64);
    let layout = circuit.layout().clone();
    let mut z = circuit.assignment(&witness, challenge).unwrap();
    circuit.check(&z).unwrap();
    // The narrow value becomes 20; the adversary answers it from the wide table: inverse right, multiplicity moved there.
    let forged = Fr::from(20);
    let small = layout.public_wires();
    let multiplicity = |table: usize, t: usize| layout.first_multiplicity() + if table == 0 { t } else { 4 + t };
    let (inverse, quotient) = (layout.first_second_round(), layout.first_second_round() + 2);
    z[small] = forged;
    z[inverse] = (challenge - forged).inverse().unwrap();
    for (table, t, m) in [(0, 3, 0u64), (1, 20, 1)] {
        z[multiplicity(table, t)] = Fr::from(m);
        let entry = if table == 0 { t } else { 4 + t };
        z[quotient + entry] = Fr::from(m) * (challenge - Fr::from(t as u64)).inverse().unwrap();
    }
    let sums = layout.products + layout.field_products + layout.lookups() + layout.table_entries();
    let [a, b, c] = circuit.evaluate(&z);
    let broken: Vec<usize> = (0..layout.rows()).filter(|row| a[*row] * b[*row] != c[*row]).collect();
    assert_eq!(broken, [sums, sums + 1], "each table's own sum refuses it");
    assert!((a[sums] + a[sums + 1]).is_zero(), "one sum over both tables would have accepted it");
}

#[test]
fn costs() {
    let rows = |circuit: &Circuit| circuit.layout().products + circuit.layout().field_products + circuit.layout().lookups();
    let acc = Interval { lo: -1000, hi: 1000 };
    assert_eq!(rows(&shape(&[acc], |b, a| gadgets::relu(b, &a[0], 8, 8).map(drop))), 3);
    assert_eq!(rows(&shape(&[acc], |b, a| gadgets::relu(b, &a[0], 0, 8).map(drop))), 2);
    assert_eq!(rows(&shape(&[acc], |b, a| gadgets::requantise(b, &a[0], 8, 8).map(drop))), 2);
    assert_eq!(rows(&shape(&[acc, acc], |b, a| gadgets::max(b, &a[0], &a[1], 1, 8).map(drop))), 2);
    assert_eq!(rows(&shape(&[acc, acc], |b, a| gadgets::max(b, &a[0], &a[1], 2, 8).map(drop))), 3);
    let hash = |inputs: usize| {
        shape(&[], |b, _| {
            let inputs: Vec<_> = (0..inputs).map(|_| b.field_given(None)).collect();
            gadgets::hash(b, &inputs).map(drop)
        })
    };
    assert_eq!(rows(&hash(2)), 3 * (8 * 3 + 57));
    assert_eq!(rows(&hash(12)), 3 * (8 * 13 + 65));
}

#[test]
fn packing_round_trips() {
    let mut rng = StdRng::seed_from_u64(3);
    for bits in [1u32, 7, 8, 12, 13, 31] {
        for count in [1usize, 20, 21, 22, 100] {
            let digits: Vec<i64> = (0..count).map(|_| rand::Rng::gen_range(&mut rng, 0..1i64 << bits)).collect();
            let words = gadgets::pack_values(&digits, bits);
            assert_eq!(words.len(), gadgets::words_of(count, bits));
            assert_eq!(gadgets::unpack_values(&words, count, bits), Some(digits));
            assert_eq!(gadgets::unpack_values(&words, count + 300, bits), None);
        }
    }
    assert_eq!(gadgets::unpack_values(&[Fr::from(256)], 1, 8), None);
}

/// Rule G7: Poseidon and the chain of a commitment, as circomlibjs 0.1.7 computes them; circuit and native hash agree.
#[test]
fn hashes_are_those_of_circomlibjs() {
    let decimal = |text: &str| text.parse::<Fr>().unwrap();
    for (count, expected) in [
        (2u64, "7853200120776062878684798364095072458815029376092732009249414926327459813530"),
        (3, "6542985608222806190361240322586112750744169038454362455181422643027100751666"),
        (12, "2501997477381648492950318384533644783248002172679259592360114615426357826485"),
    ] {
        let inputs: Vec<Fr> = (1..=count).map(Fr::from).collect();
        assert_eq!(gadgets::hash_of(&inputs).unwrap(), decimal(expected), "{count} inputs");
        let mut shape = ConstraintBuilder::new();
        let wires: Vec<_> = inputs.iter().map(|_| shape.field_given(None)).collect();
        let hash = gadgets::hash(&mut shape, &wires).unwrap();
        shape.public_word(&hash);
        let circuit = shape.finish();
        let mut trace = WitnessBuilder::new();
        let values: Vec<Fr> = inputs.iter().map(|x| trace.field_given(Some(*x))).collect();
        let hash = gadgets::hash(&mut trace, &values).unwrap();
        trace.public_word(&hash);
        let witness = trace.finish();
        assert!(circuit.completable(&[], &[], &witness.field));
        assert_eq!(circuit.words(&[], &[], &witness.field), [decimal(expected)]);
    }
    assert!(gadgets::hash_of(&[]).is_err() && gadgets::hash_of(&[Fr::one(); 13]).is_err());
    // 300 digits of 12 bits: 15 words, two blocks, the second filled with zeros.
    let digits: Vec<i64> = (0..300).map(|i| i * 13 % 4096).collect();
    let words = gadgets::pack_values(&digits, 12);
    let tag = gadgets::tensor_tag(300, 12);
    let commitment = |owner| gadgets::commitment_of(Fr::from(7), tag, owner, &words).unwrap();
    assert_eq!(commitment(None), decimal("5828928933780215658953734645405019670307827296749617164332392552538880650413"));
    assert_eq!(commitment(Some(Fr::from(99))), decimal("8811169554134862289477013120620159527449835826670754474539209681585697468600"));
}

/// Rule G7: a chain's value is no salt of a shorter chain, since the tag names the element count; nor do other pitches,
/// owners or zero-filled tails give the same commitment.
#[test]
fn attack_g7_chains_cannot_be_read_as_others() {
    let (salt, words) = (Fr::from(7), vec![Fr::from(3); 22]);
    let whole = gadgets::commitment_of(salt, gadgets::tensor_tag(22, 253), None, &words).unwrap();
    let prefix = gadgets::commitment_of(salt, gadgets::tensor_tag(22, 253), None, &words[..11]).unwrap();
    // The chain continued from its own middle is the whole chain, but no commitment opens from there: those start with a tag.
    let mut block = vec![prefix];
    block.extend_from_slice(&words[11..]);
    assert_eq!(gadgets::hash_of(&block).unwrap(), whole);
    assert_ne!(gadgets::commitment_of(prefix, gadgets::tensor_tag(11, 253), None, &words[11..]).unwrap(), whole);
    let mut others = vec![whole];
    for (count, bits) in [(21, 253), (22, 252), (23, 253)] {
        others.push(gadgets::commitment_of(salt, gadgets::tensor_tag(count, bits), None, &words).unwrap());
    }
    for owner in [Fr::zero(), Fr::one()] {
        others.push(gadgets::commitment_of(salt, gadgets::tensor_tag(22, 253), Some(owner), &words).unwrap());
    }
    others.sort_unstable();
    others.dedup();
    assert_eq!(others.len(), 6);
}

#[test]
fn requant_rounds_halves_up_for_both_signs() {
    for (x, expected) in [(7, 0), (8, 1), (-8, 0), (-9, -1), (23, 1), (24, 2), (-24, -1), (-25, -2), (0, 0)] {
        assert_eq!(gadgets::requant(x, 4), expected, "{x}");
    }
    assert_eq!(gadgets::requant(-5, 0), -5);
}
