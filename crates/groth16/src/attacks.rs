//! Forgeries that need a broken setup, carried out: each must succeed where the setup is broken and fail where it is not.
//!
//! The prover here is naive: full-size scalars, the quotient by division. It is the second implementation that the fast one
//! is held against.

#![allow(clippy::unwrap_used, clippy::panic)]

use ark_bn254::{Fq, Fq2, Fr, G1Affine, G1Projective, G2Affine, G2Projective};
use ark_ec::{AffineRepr, CurveGroup, PrimeGroup};
use ark_ff::{Field, One, UniformRand, Zero};
use ark_poly::univariate::DensePolynomial;
use ark_poly::{DenseUVPolynomial, EvaluationDomain, Polynomial, Radix2EvaluationDomain};
use ark_serialize::CanonicalDeserialize;
use ark_std::rand::{SeedableRng, rngs::StdRng};
use zkslice_circuit::gadgets;
use zkslice_circuit::{Builder, Circuit, ConstraintBuilder, Entries, Layout, Matrix, Witness, WitnessBuilder};
use zkslice_graph::{BoundGraph, build_circuit, build_witness};

use crate::key_file::Section;
use crate::plain::ArkKey;
use crate::raw::{g1_bytes, g2_bytes};
use crate::setup::Columns;
use crate::verify::verify_under_any_key;
use crate::{
    Form, KeyError, Proof, ProveError, ProvingKey, Setup, Statement, VerifyError, VerifyingKey, WordGroup, challenge, prove, snarkjs,
    verify,
};

#[path = "../../graph/tests/network/mod.rs"]
mod network;

const W: u32 = 5;
const GROUPS: [WordGroup; 2] = [WordGroup { count: 1, bits: W }, WordGroup { count: 1, bits: W }];

/// y = relu(40·x − 300), x and y as public words.
fn build<B: Builder>(b: &mut B, x: Option<i64>) {
    b.public(x.map(|_| Fr::from(9)));
    let x = gadgets::digit(b, x, W, &gadgets::DigitTables::default(), W).unwrap();
    let acc = b.combine(&[(40, &x)], -300).unwrap();
    let y = gadgets::relu(b, &acc, W, W).unwrap();
    for value in [x, y] {
        let word = gadgets::pack(b, &[value], W).unwrap();
        b.public_word(&word[0]);
    }
}

fn circuit() -> Circuit {
    let mut shape = ConstraintBuilder::new();
    build(&mut shape, None);
    shape.finish()
}

fn witness(x: i64) -> Witness {
    let mut trace = WitnessBuilder::new();
    build(&mut trace, Some(x));
    trace.finish()
}

/// A key kept as exponents, with deltas of the caller's choice. Only `k1`, `k2`, `h` are used to forge: what a real key publishes.
struct Exponents {
    alpha: Fr,
    beta: Fr,
    delta: [Fr; 2],
    columns: Columns,
    tau: Fr,
}

impl Exponents {
    fn new(circuit: &Circuit, equal: bool, rng: &mut StdRng) -> Self {
        let tau = Fr::rand(rng);
        let delta1 = Fr::rand(rng);
        let delta = [delta1, if equal { delta1 } else { Fr::rand(rng) }];
        Self { alpha: Fr::rand(rng), beta: Fr::rand(rng), delta, columns: Columns::at(circuit, tau).unwrap(), tau }
    }

    fn k(&self, wire: usize) -> Fr {
        self.beta * self.columns.a[wire] + self.alpha * self.columns.b[wire] + self.columns.c[wire]
    }

    fn verifying_key(&self, circuit: &Circuit) -> VerifyingKey {
        let layout = circuit.layout();
        VerifyingKey {
            publics: layout.publics,
            groups: GROUPS.to_vec(),
            alpha: g1(self.alpha),
            beta: g2(self.beta),
            gamma: g2(Fr::one()),
            delta1: Some(g2(self.delta[0])),
            delta2: g2(self.delta[1]),
            ic: (0..layout.public_wires()).map(|i| g1(self.k(i))).collect(),
        }
    }

    /// The sum over S1 that C1 commits to.
    fn commitment(&self, circuit: &Circuit, z: &[Fr]) -> Fr {
        let layout = circuit.layout();
        let committed = layout.public_wires()..layout.first_second_round();
        committed.map(|i| z[i] * self.k(i)).sum::<Fr>() * self.delta[0].inverse().unwrap()
    }

    /// A, B and C2 for a full assignment whose first round was `c1 + blinding·δ2`, by division with remainder instead of
    /// the odd half of the double domain.
    fn finish(&self, circuit: &Circuit, z: &[Fr], blinding: Fr, rng: &mut StdRng) -> [Fr; 3] {
        let layout = circuit.layout();
        let (r, s) = (Fr::rand(rng), Fr::rand(rng));
        let sum = |column: &[Fr]| z.iter().zip(column).map(|(z, c)| *z * c).sum::<Fr>();
        let a = self.alpha + sum(&self.columns.a) + r * self.delta[1];
        let b = self.beta + sum(&self.columns.b) + s * self.delta[1];
        let late: Fr = (layout.first_second_round()..layout.wires()).map(|i| z[i] * self.k(i)).sum();
        let c2 = (late + self.quotient(circuit, z)) * self.delta[1].inverse().unwrap() + s * a + r * b
            - r * s * self.delta[1]
            - blinding * self.delta[0];
        [a, b, c2]
    }

    /// A(τ)·B(τ) − Σ z_i·w̃_i(τ): what the H query spans, with w̃ folded over the double domain. For an assignment that breaks a row, what
    /// the H query gives in place of it.
    fn quotient(&self, circuit: &Circuit, z: &[Fr]) -> Fr {
        let size = circuit.layout().rows().next_power_of_two();
        let domain = Radix2EvaluationDomain::<Fr>::new(size).unwrap();
        let [a, b, _] = circuit.evaluate(z).map(|values| DensePolynomial::from_coefficients_vec(domain.ifft(&values)));
        let product = a.evaluate(&self.tau) * b.evaluate(&self.tau);
        let folded: Fr = z.iter().zip(&self.columns.c).map(|(z, c)| *z * c).sum();
        // It is in the span of the H query: a combination of odd Lagrange points, with the values there.
        let double = Radix2EvaluationDomain::<Fr>::new(2 * size).unwrap();
        let odd: Fr = (0..size)
            .map(|i| {
                let point = double.element(2 * i + 1);
                a.evaluate(&point) * b.evaluate(&point) * self.columns.odd[i]
            })
            .sum();
        assert_eq!(product - folded == odd, circuit.check(z).is_ok());
        odd
    }
}

fn g1(exponent: Fr) -> G1Affine {
    (G1Projective::generator() * exponent).into_affine()
}

fn g2(exponent: Fr) -> G2Affine {
    (G2Projective::generator() * exponent).into_affine()
}

/// An assignment of a false statement that satisfies every row, possible to one who knows χ before he commits: y is moved,
/// q follows it, and the remainder that is then in no table is answered by a multiplicity fitted to χ.
fn false_assignment(circuit: &Circuit, honest: &Witness, words: &[Fr], chi: Fr) -> Vec<Fr> {
    let layout = circuit.layout();
    let mut z = circuit.assignment(honest, chi).unwrap();
    let small = layout.public_wires();
    // Small wires: x, q, y.
    z[small + 1] += Fr::one();
    z[small + 2] += Fr::one();
    let [_, b, _] = circuit.evaluate(&z);
    let first_lookup = layout.products + layout.field_products;
    let mut inverses = Fr::zero();
    for i in 0..layout.lookups() {
        let inverse = b[first_lookup + i].inverse().unwrap();
        z[layout.first_second_round() + i] = inverse;
        inverses += inverse;
    }
    let quotients = layout.first_second_round() + layout.lookups();
    let others: Fr = (1..1 << W).map(|t| z[quotients + t]).sum();
    z[quotients] = inverses - others;
    z[layout.first_multiplicity()] = z[quotients] * chi;
    // Fingerprint of the context and the false words.
    z[quotients + (1 << W)] = words[1] * chi;
    z[quotients + (1 << W) + 1] = (words[1] * chi + words[0]) * chi;
    z[Layout::FINGERPRINT_WIRE] = crate::fingerprint(&honest.publics, words, chi);
    z
}

/// The same for a public input: the committed wire is moved, and the fingerprint with it.
fn other_context(circuit: &Circuit, honest: &Witness, context: Fr, chi: Fr) -> Vec<Fr> {
    let mut z = circuit.assignment(honest, chi).unwrap();
    z[circuit.layout().first_public()] = context;
    z[Layout::FINGERPRINT_WIRE] = crate::fingerprint(&[context], &honest.words, chi);
    z
}

/// `docs/proof-system.md` 8.2: with δ1 = δ2 the first round binds nothing, since (C1 + T, C2 − T) verifies. The forger commits to
/// an honest witness, learns χ, and moves the difference to a false one into C2. With distinct deltas the same moves fail.
#[test]
fn equal_deltas_accept_a_false_output_and_distinct_ones_do_not() {
    let mut rng = StdRng::seed_from_u64(5);
    let circuit = circuit();
    let honest = witness(17);
    let mut words = honest.words.clone();
    words[1] += Fr::one();
    for equal in [true, false] {
        let key = Exponents::new(&circuit, equal, &mut rng);
        let vk = key.verifying_key(&circuit);
        assert_eq!(vk.check().is_err(), equal, "the key check sees it");
        let blinding = Fr::rand(&mut rng);
        let early = circuit.assignment(&honest, Fr::from(3).inverse().unwrap()).unwrap();
        let c1 = key.commitment(&circuit, &early) + blinding * key.delta[1];
        let chi = challenge(&vk.hash(), &honest.publics, &words, &g1(c1));
        let z = false_assignment(&circuit, &honest, &words, chi);
        circuit.check(&z).unwrap();
        let [a, b, c2] = key.finish(&circuit, &z, blinding, &mut rng);
        let moved = c2 + key.commitment(&circuit, &z) - key.commitment(&circuit, &early);
        let forged = Proof { a: g1(a), b: g2(b), c1: Some(g1(c1)), c2: g1(moved) };
        let statement = Statement { publics: honest.publics.clone(), words: words.clone() };
        let verdict = verify_under_any_key(&vk, &statement, &forged);
        assert_eq!(verdict, if equal { Ok(()) } else { Err(VerifyError::Invalid) });
        // Without the move it fails in both, and an honest proof passes in both.
        let unmoved = Proof { c2: g1(c2), ..forged };
        assert_eq!(verify_under_any_key(&vk, &statement, &unmoved), Err(VerifyError::Invalid));
        let chi = challenge(&vk.hash(), &honest.publics, &honest.words, &g1(c1));
        let z = circuit.assignment(&honest, chi).unwrap();
        let [a, b, c2] = key.finish(&circuit, &z, blinding, &mut rng);
        let proof = Proof { a: g1(a), b: g2(b), c1: Some(g1(c1)), c2: g1(c2) };
        verify_under_any_key(&vk, &Statement { publics: honest.publics.clone(), words: honest.words.clone() }, &proof).unwrap();
    }
}

/// Two functions' tables of as many entries as the range table has. At every argument the second is one more than the first, with the same
/// stride, so that a first value that is one too large is an entry of the other table.
const FIRST: i64 = -9;
const STRIDE: i64 = 64;
fn first_function() -> Vec<i64> {
    (0..1 << W).map(|i| i * 7 % 31).collect()
}

/// y = f(⌊(40·x − 284)/32⌋), z = g of the same, all public words.
fn functions<B: Builder>(b: &mut B, x: Option<i64>) {
    b.public(x.map(|_| Fr::from(9)));
    let x = gadgets::digit(b, x, W, &gadgets::DigitTables::default(), W).unwrap();
    let acc = b.combine(&[(40, &x)], -300).unwrap();
    let values = first_function();
    let more: Vec<i64> = values.iter().map(|y| y + 1).collect();
    let mut outputs = vec![x];
    for values in [&values, &more] {
        let f = gadgets::FunctionTable::new(b, FIRST, values, STRIDE).unwrap();
        outputs.push(gadgets::function(b, &acc, &f, W, W).unwrap());
    }
    for value in outputs {
        let word = gadgets::pack(b, &[value], W).unwrap();
        b.public_word(&word[0]);
    }
}

/// The best that an adversary does with committed wires of his choice, small ones and multiplicities: inverses, quotients and the
/// fingerprint as their rows want them.
fn best_effort(circuit: &Circuit, honest: &Witness, words: &[Fr], chi: Fr, forge: &impl Fn(&mut [Fr])) -> Vec<Fr> {
    let layout = circuit.layout();
    let mut z = circuit.assignment(honest, chi).unwrap();
    forge(&mut z);
    z[Layout::FINGERPRINT_WIRE] = crate::fingerprint(&honest.publics, words, chi);
    let [_, b, _] = circuit.evaluate(&z);
    let first_lookup = layout.products + layout.field_products;
    let denominators = &b[first_lookup..][..layout.lookups() + layout.table_entries()];
    for (i, denominator) in denominators.iter().enumerate() {
        let entry = i.checked_sub(layout.lookups());
        let numerator = entry.map_or(Fr::one(), |entry| z[layout.first_multiplicity() + entry]);
        z[layout.first_second_round() + i] = numerator * denominator.inverse().unwrap();
    }
    let mut accumulator = Fr::zero();
    let first_step = layout.first_second_round() + denominators.len();
    for (j, element) in honest.publics.iter().chain(words).rev().take(layout.elements() - 1).enumerate() {
        accumulator = (accumulator + element) * chi;
        z[first_step + j] = accumulator;
    }
    z
}

/// Rules B1 and G4 end to end: a forged value, a forged argument, multiplicities moved to another table, and an entry that is none each break
/// a table's sum or an entry's row, whatever the adversary fits after the challenge, and the proof fails. With δ1 = δ2, where he may fit the
/// multiplicities too, a forged value passes: the rows are what refuses it.
#[test]
fn attack_b1_forged_functions_are_refused() {
    let mut rng = StdRng::seed_from_u64(15);
    let mut shape = ConstraintBuilder::new();
    functions(&mut shape, None);
    let circuit = shape.finish();
    let layout = circuit.layout().clone();
    let mut trace = WitnessBuilder::new();
    functions(&mut trace, Some(17));
    let honest = trace.finish();
    let q = gadgets::requant(40 * 17 - 300, W);
    let f = |q: i64| first_function()[(q - FIRST) as usize];
    assert_eq!(honest.small, [17, q, f(q), q, f(q) + 1]);
    assert_eq!(layout.tables.iter().map(|table| (table.entries, table.lookups)).collect::<Vec<_>>(), [(32, 5), (32, 1), (32, 1)]);
    let (small, multiplicity, sums) = (layout.public_wires(), layout.first_multiplicity(), layout.constraints() - layout.elements() - 3);
    let place = move |table: usize, entry: i64| multiplicity + 32 * table + entry as usize;
    // A value's own lookup, moved in the range table; the second function's values start at 1.
    let moved = move |z: &mut [Fr], wire: usize, table: usize, from: i64, to: i64| {
        z[small + wire] += Fr::from(to - from);
        z[place(table, from)] -= Fr::one();
        z[place(table, to)] += Fr::one();
    };
    type Forge = Box<dyn Fn(&mut [Fr])>;
    let forgeries: [(&str, Forge, [i64; 2], Vec<usize>); 5] = [
        ("nothing", Box::new(|_| ()), [0, 0], vec![]),
        ("a value", Box::new(move |z| moved(z, 4, 0, f(q), f(q) + 1)), [0, 1], vec![sums + 2]),
        (
            "an argument with its own value",
            Box::new(move |z| {
                moved(z, 1, 1, q - FIRST, q + 1 - FIRST);
                z[small + 1] = Fr::from(q + 1);
                moved(z, 2, 0, f(q), f(q + 1));
            }),
            [f(q + 1) - f(q), 0],
            vec![sums],
        ),
        ("an argument with the old value", Box::new(move |z| z[small + 1] += Fr::one()), [0, 0], vec![sums, sums + 1]),
        (
            "a value of the other function, whose table takes it over",
            Box::new(move |z| {
                moved(z, 2, 0, f(q), f(q) + 1);
                z[place(1, q - FIRST)] -= Fr::one();
                z[place(2, q - FIRST)] += Fr::one();
            }),
            [1, 0],
            vec![sums + 1, sums + 2],
        ),
    ];
    for equal in [false, true] {
        let key = Exponents::new(&circuit, equal, &mut rng);
        let vk = VerifyingKey { groups: vec![WordGroup { count: 1, bits: W }; 3], ..key.verifying_key(&circuit) };
        for (name, forge, more, expected) in &forgeries {
            let words: Vec<Fr> = honest.words.iter().zip([0, more[0], more[1]]).map(|(word, more)| *word + Fr::from(more)).collect();
            let blinding = Fr::rand(&mut rng);
            let early = best_effort(&circuit, &honest, &words, Fr::from(3).inverse().unwrap(), forge);
            let c1 = key.commitment(&circuit, &early) + blinding * key.delta[1];
            let chi = challenge(&vk.hash(), &honest.publics, &words, &g1(c1));
            let mut z = best_effort(&circuit, &honest, &words, chi, forge);
            let broken = |z: &[Fr]| {
                let [a, b, c] = circuit.evaluate(z);
                (0..layout.rows()).filter(|row| a[*row] * b[*row] != c[*row]).collect::<Vec<_>>()
            };
            assert_eq!(broken(&z), *expected, "{name}");
            let statement = Statement { publics: honest.publics.clone(), words: words.clone() };
            let mut verdict = |z: &[Fr], more: Fr| {
                let [a, b, c2] = key.finish(&circuit, z, blinding, &mut rng);
                verify_under_any_key(&vk, &statement, &Proof { a: g1(a), b: g2(b), c1: Some(g1(c1)), c2: g1(c2 + more) })
            };
            let wanted = if expected.is_empty() { Ok(()) } else { Err(VerifyError::Invalid) };
            assert_eq!(verdict(&z, Fr::zero()), wanted, "{name}");
            if expected.is_empty() {
                continue;
            }
            // Quotients of entry 0 fitted to the sums: then the rows of these entries, whose multiplicities are committed, break.
            let [a, _, _] = circuit.evaluate(&z);
            let first_entry = layout.products + layout.field_products + layout.lookups();
            for row in expected {
                z[layout.first_second_round() + layout.lookups() + 32 * (row - sums)] += a[*row];
            }
            assert_eq!(broken(&z), expected.iter().map(|row| first_entry + 32 * (row - sums)).collect::<Vec<_>>(), "{name}");
            assert_eq!(verdict(&z, Fr::zero()), Err(VerifyError::Invalid), "{name}");
            // And these multiplicities fitted too: only where C1 binds nothing.
            let [a, b, _] = circuit.evaluate(&z);
            for row in expected {
                let entry = 32 * (row - sums);
                z[multiplicity + entry] = a[first_entry + entry] * b[first_entry + entry];
            }
            assert_eq!(broken(&z), [0; 0], "{name}");
            let difference = key.commitment(&circuit, &z) - key.commitment(&circuit, &early);
            assert_eq!(verdict(&z, difference), if equal { Ok(()) } else { Err(VerifyError::Invalid) }, "{name}");
        }
    }
}

/// Public inputs are committed wires, and a fingerprint at χ holds them to the hashed ones: a commitment to the wires of one context
/// gives no proof for another. Where δ1 = δ2 it does.
#[test]
fn a_public_input_other_than_the_committed_one_is_refused() {
    let mut rng = StdRng::seed_from_u64(12);
    let circuit = circuit();
    let honest = witness(17);
    let context = Fr::from(10);
    for equal in [true, false] {
        let key = Exponents::new(&circuit, equal, &mut rng);
        let vk = key.verifying_key(&circuit);
        let blinding = Fr::rand(&mut rng);
        let early = circuit.assignment(&honest, Fr::from(3).inverse().unwrap()).unwrap();
        let c1 = key.commitment(&circuit, &early) + blinding * key.delta[1];
        let chi = challenge(&vk.hash(), &[context], &honest.words, &g1(c1));
        let statement = Statement { publics: vec![context], words: honest.words.clone() };
        let z = other_context(&circuit, &honest, context, chi);
        circuit.check(&z).unwrap();
        let [a, b, c2] = key.finish(&circuit, &z, blinding, &mut rng);
        let moved = c2 + key.commitment(&circuit, &z) - key.commitment(&circuit, &early);
        let forged = Proof { a: g1(a), b: g2(b), c1: Some(g1(c1)), c2: g1(moved) };
        assert_eq!(verify_under_any_key(&vk, &statement, &forged), if equal { Ok(()) } else { Err(VerifyError::Invalid) });
        // The committed wires as they are, and a fingerprint of the other context: one row does not hold.
        let mut z = circuit.assignment(&honest, chi).unwrap();
        z[Layout::FINGERPRINT_WIRE] = crate::fingerprint(&[context], &honest.words, chi);
        assert!(circuit.check(&z).is_err());
    }
}

/// The point whose pairing with γ is the statement's part of the equation.
fn statement_point(key: &VerifyingKey, statement: &Statement, c1: Option<&G1Affine>) -> G1Affine {
    let Statement { publics, words } = statement;
    let scalars = match c1 {
        Some(c1) => {
            let chi = challenge(&key.hash(), publics, words, c1);
            vec![chi, crate::fingerprint(publics, words, chi)]
        }
        None => publics.clone(),
    };
    let l = key.ic[1..].iter().zip(&scalars).fold(G1Projective::from(key.ic[0]), |sum, (point, x)| sum + *point * x);
    l.into_affine()
}

/// `docs/proof-system.md` 8.2: with β = ±γ, or with a last δ that is ±γ, anybody proves any statement from the verifying key alone. The
/// forgeries verify where nobody looks at the key; whatever takes a key refuses these and every other relation that a setup without a
/// contribution has.
#[test]
fn attack_b9_keys_that_prove_anything_are_refused() {
    let mut rng = StdRng::seed_from_u64(13);
    let circuit = circuit();
    let setup = Setup::dev(&mut rng);
    let committed = setup.key(&circuit, &GROUPS, &mut rng).unwrap();
    let mut shape = ConstraintBuilder::new();
    let (public, x) = (shape.public(None), shape.field_given(None));
    let square = shape.field_product(&x, &x);
    shape.field_equal(&square, &public);
    let plain = setup.key(&shape.finish(), &[], &mut rng).unwrap();

    let another = g2(Fr::rand(&mut rng));
    for key in [&committed, &plain] {
        let good = key.verifying_key();
        good.check().unwrap();
        let (one, beta, delta) = (good.gamma, good.beta, good.delta2);
        let bent = |bend: &dyn Fn(&mut VerifyingKey)| {
            let mut key = good.clone();
            bend(&mut key);
            key
        };
        // Each with A = α + a·L, B = β, C2 = c·L where it is a forgery that anybody can make.
        let mut keys = vec![
            ("β = γ", bent(&|key| key.beta = one), Some((1, 0))),
            ("β = −γ", bent(&|key| key.beta = -one), Some((-1, 0))),
            ("β = γ, not the generator", bent(&|key| key.gamma = beta), Some((1, 0))),
            ("β = −γ, not the generator", bent(&|key| key.gamma = -beta), Some((-1, 0))),
            ("δ = γ", bent(&|key| key.delta2 = one), Some((0, -1))),
            ("δ = −γ", bent(&|key| key.delta2 = -one), Some((0, 1))),
            ("δ = γ, not the generator", bent(&|key| key.gamma = delta), Some((0, -1))),
            ("γ is not the generator", bent(&|key| key.gamma = another), None),
            ("γ = −G2", bent(&|key| key.gamma = -one), None),
            ("β = G2 with another γ", bent(&|key| (key.beta, key.gamma) = (one, another)), None),
            ("β = −G2 with another γ", bent(&|key| (key.beta, key.gamma) = (-one, another)), None),
            ("α = G1", bent(&|key| key.alpha = G1Affine::generator()), None),
            ("α = −G1", bent(&|key| key.alpha = -G1Affine::generator()), None),
            ("δ = G2 with another γ", bent(&|key| (key.delta2, key.gamma) = (one, another)), None),
            ("δ = β", bent(&|key| key.delta2 = beta), None),
            ("δ = −β", bent(&|key| key.delta2 = -beta), None),
        ];
        if good.delta1.is_some() {
            keys.extend([
                ("δ1 = δ2", bent(&|key| key.delta1 = Some(delta)), None),
                ("δ1 = −δ2", bent(&|key| key.delta1 = Some(-delta)), None),
                ("δ1 = γ", bent(&|key| key.delta1 = Some(one)), None),
                ("δ1 = β", bent(&|key| key.delta1 = Some(beta)), None),
            ]);
        }
        for (name, bad, forgery) in keys {
            if let Some((a, c)) = forgery {
                let statement = Statement { publics: vec![Fr::rand(&mut rng)], words: bad.groups.iter().map(|_| Fr::one()).collect() };
                let c1 = bad.delta1.map(|_| G1Affine::zero());
                let l = statement_point(&bad, &statement, c1.as_ref());
                let times = |n: i64| (l * Fr::from(n)).into_affine();
                let forged = Proof { a: (bad.alpha + times(a)).into_affine(), b: bad.beta, c1, c2: times(c) };
                assert_eq!(verify_under_any_key(&bad, &statement, &forged), Ok(()), "{name}: the forgery");
                assert!(matches!(verify(&bad, &statement, &forged), Err(VerifyError::UnsafeKey(_))), "{name}: the verifier");
            }
            assert!(matches!(bad.check(), Err(KeyError::Unsafe(_))), "{name}");
            assert!(matches!(VerifyingKey::from_record(&bad.record()), Err(KeyError::Unsafe(_))), "{name}: the record");
            let file = ProvingKey::assemble(key.layout().clone(), None, bad.clone(), sections(key));
            assert!(matches!(file, Err(KeyError::Unsafe(_))), "{name}: the key file");
            if bad.form() == Form::Plain {
                let json = snarkjs::verifying_key(&bad).unwrap();
                assert!(matches!(snarkjs::read_verifying_key(&json), Err(KeyError::Unsafe(_))), "{name}: snarkjs's JSON");
            }
        }
    }
}

/// The challenge hashes public inputs and words: a statement chosen after χ does not verify (`docs/proof-system.md` 6, challenge).
#[test]
fn a_word_chosen_after_the_challenge_is_refused() {
    let mut rng = StdRng::seed_from_u64(6);
    let circuit = circuit();
    let key = Exponents::new(&circuit, false, &mut rng);
    let vk = key.verifying_key(&circuit);
    let honest = witness(17);
    let blinding = Fr::rand(&mut rng);
    let early = circuit.assignment(&honest, Fr::from(3).inverse().unwrap()).unwrap();
    let c1 = key.commitment(&circuit, &early) + blinding * key.delta[1];
    let chi = challenge(&vk.hash(), &honest.publics, &honest.words, &g1(c1));
    let z = circuit.assignment(&honest, chi).unwrap();
    let [a, b, c2] = key.finish(&circuit, &z, blinding, &mut rng);
    let proof = Proof { a: g1(a), b: g2(b), c1: Some(g1(c1)), c2: g1(c2) };
    // The same fingerprint, other words: word_0 + χ, word_1 − 1 gives F unchanged at this χ.
    let words = vec![honest.words[0] + chi, honest.words[1] - Fr::one()];
    assert_eq!(crate::fingerprint(&honest.publics, &words, chi), crate::fingerprint(&honest.publics, &honest.words, chi));
    let statement = Statement { publics: honest.publics.clone(), words };
    assert!(matches!(verify(&vk, &statement, &proof), Err(VerifyError::Word { .. })));
    // A public input has the field's whole width, so the hash stands alone: x_1 − χ, word_1 + 1 gives F unchanged.
    let publics = vec![honest.publics[0] - chi];
    let words = vec![honest.words[0] + Fr::one(), honest.words[1]];
    assert_eq!(crate::fingerprint(&publics, &words, chi), crate::fingerprint(&honest.publics, &honest.words, chi));
    assert_eq!(verify(&vk, &Statement { publics, words }, &proof), Err(VerifyError::Invalid));
    // Word widths aside, the hash alone refuses it.
    let wide = VerifyingKey { groups: vec![WordGroup { count: 1, bits: 253 }; 2], ..vk };
    let narrow = Statement { words: vec![honest.words[0] + Fr::one(), honest.words[1]], ..statement };
    assert_eq!(verify(&wide, &narrow, &proof), Err(VerifyError::Invalid));
}

/// The fast prover and the naive one prove the same statements under keys of the same circuit.
#[test]
fn fast_and_naive_provers_agree() {
    let mut rng = StdRng::seed_from_u64(7);
    let circuit = circuit();
    let setup = Setup::dev(&mut rng);
    let key = setup.key(&circuit, &GROUPS, &mut rng).unwrap();
    for x in [0, 7, 8, 31] {
        let witness = witness(x);
        let proof = prove(&key, &witness, || Ok(self::circuit()), &mut rng).unwrap();
        let statement = Statement { publics: witness.publics.clone(), words: witness.words.clone() };
        verify(key.verifying_key(), &statement, &proof).unwrap();
        let naive = Exponents::new(&circuit, false, &mut rng);
        let vk = naive.verifying_key(&circuit);
        let blinding = Fr::rand(&mut rng);
        let early = circuit.assignment(&witness, Fr::from(3).inverse().unwrap()).unwrap();
        let c1 = naive.commitment(&circuit, &early) + blinding * naive.delta[1];
        let chi = challenge(&vk.hash(), &witness.publics, &witness.words, &g1(c1));
        let [a, b, c2] = naive.finish(&circuit, &circuit.assignment(&witness, chi).unwrap(), blinding, &mut rng);
        verify(&vk, &statement, &Proof { a: g1(a), b: g2(b), c1: Some(g1(c1)), c2: g1(c2) }).unwrap();
        assert!(verify(key.verifying_key(), &statement, &Proof { a: g1(a), b: g2(b), c1: Some(g1(c1)), c2: g1(c2) }).is_err());
    }
}

/// Sections of a key, to be changed and put together again.
fn sections(key: &ProvingKey) -> [Vec<u8>; 9] {
    Section::ALL.map(|section| key.section(section).to_vec())
}

/// Rule G6, subversion: a key whose δ1, δ2 and β in G1 are the point at infinity (and B1 with them) gives proofs that
/// verify, but blinds neither A nor C1: whoever made the key tests guesses for the committed activations against C1. Such a
/// key is refused when it is opened.
#[test]
fn attack_g6_a_key_that_does_not_blind_is_refused() {
    let mut rng = StdRng::seed_from_u64(8);
    let circuit = circuit();
    let key = Setup::dev(&mut rng).key(&circuit, &GROUPS, &mut rng).unwrap();
    let assemble = |sections| ProvingKey::assemble(key.layout().clone(), None, key.verifying_key().clone(), sections);
    assemble(sections(&key)).unwrap();
    let mut unblinded = sections(&key);
    unblinded[Section::Points1 as usize][64..].fill(0);
    unblinded[Section::B1 as usize].fill(0);
    if let Ok(key) = assemble(unblinded) {
        let witness = witness(17);
        let proofs = [(); 2].map(|()| prove(&key, &witness, || Ok(self::circuit()), &mut rng).unwrap());
        panic!(
            "accepted; its proofs verify, and C1 and A are the same in each: {}",
            proofs[0].c1 == proofs[1].c1 && proofs[0].a == proofs[1].a
        );
    }
    // Each blinding point on its own, in G1 and in G2: another group element, infinity, a point off the curve.
    for (section, point, size) in [
        (Section::Points1, 0, 64),
        (Section::Points1, 1, 64),
        (Section::Points1, 2, 64),
        (Section::Points1, 3, 64),
        (Section::Points2, 0, 128),
        (Section::Points2, 1, 128),
    ] {
        let at = point * size;
        for forge in [|bytes: &mut [u8]| bytes.fill(0), |bytes: &mut [u8]| bytes[0] ^= 1, |bytes: &mut [u8]| bytes.fill(0xff)] {
            let mut forged = sections(&key);
            forge(&mut forged[section as usize][at..at + size]);
            assert!(matches!(assemble(forged), Err(KeyError::Unsafe(_))), "{section:?}, point {point}");
        }
        let mut other = sections(&key);
        other[section as usize].rotate_left(size);
        assert!(matches!(assemble(other), Err(KeyError::Unsafe(_))), "{section:?} rotated");
    }
}

/// The same for the plain form, whose key is ark-groth16's.
#[test]
fn attack_g6_a_plain_key_that_does_not_blind_is_refused() {
    fn build<B: Builder>(b: &mut B, x: Option<Fr>) {
        let public = b.public(x.map(|x| x * x));
        let x = b.field_given(x);
        let square = b.field_product(&x, &x);
        b.field_equal(&square, &public);
    }
    let mut rng = StdRng::seed_from_u64(9);
    let mut shape = ConstraintBuilder::new();
    build(&mut shape, None);
    let circuit = shape.finish();
    let mut trace = WitnessBuilder::new();
    build(&mut trace, Some(Fr::from(3)));
    let witness = trace.finish();
    let key = Setup::dev(&mut rng).key(&circuit, &[], &mut rng).unwrap();
    let mut theirs = ArkKey::deserialize_uncompressed(key.plain()).unwrap();
    theirs.delta_g1 = G1Affine::zero();
    theirs.beta_g1 = G1Affine::zero();
    theirs.b_g1_query.iter_mut().for_each(|point| *point = G1Affine::zero());
    let mut unblinded = sections(&key);
    unblinded[Section::Plain as usize] = crate::plain::to_bytes(&theirs).unwrap();
    let key = ProvingKey::assemble(key.layout().clone(), None, key.verifying_key().clone(), unblinded);
    let prove = |rng: &mut StdRng| prove(key.as_ref().unwrap(), &witness, || Ok(circuit.clone()), rng);
    match prove(&mut rng) {
        Err(error) => assert!(matches!(error, ProveError::Key(KeyError::Unsafe(_))), "{error}"),
        Ok(proof) => panic!("accepted; A is the same in each proof: {}", proof.a == prove(&mut rng).unwrap().a),
    }
}

/// A key file whose layout is not one of its verifying key's form would be proven by the other form's prover, which its sections or
/// its challenge do not serve; counts that no circuit has would overflow. All are refused when the key is opened.
#[test]
fn keys_with_impossible_layouts_are_refused() {
    let mut rng = StdRng::seed_from_u64(10);
    let circuit = circuit();
    let key = Setup::dev(&mut rng).key(&circuit, &GROUPS, &mut rng).unwrap();
    let refused = |layout: Layout, vk: VerifyingKey, sections| {
        matches!(ProvingKey::assemble(layout, None, vk, sections), Err(KeyError::Malformed { .. }))
    };
    let vk = key.verifying_key();
    // A plain key for a circuit with lookups: χ would be 0, a table's entry.
    let plain = VerifyingKey { delta1: None, groups: Vec::new(), ic: vk.ic[..2].to_vec(), ..vk.clone() };
    let layout = Layout { words: 0, ..key.layout().clone() };
    assert!(refused(layout, plain, sections(&key)));
    // A committed key for a circuit without a challenge: none of the sections is looked at.
    let wordless = VerifyingKey { groups: Vec::new(), ic: vk.ic[..3].to_vec(), ..vk.clone() };
    let layout = Layout { words: 0, tables: Vec::new(), ..key.layout().clone() };
    assert!(refused(layout, wordless, [const { Vec::new() }; 9]));
    let absurd: [fn(&mut Layout); 8] = [
        |l| l.small = usize::MAX,
        |l| l.products = usize::MAX,
        |l| l.field = usize::MAX / 2,
        |l| l.tables[0].entries = 1 << 40,
        |l| l.tables[0].entries += 1,
        |l| l.tables[0].entries = 0,
        |l| l.tables[0].lookups = usize::MAX,
        |l| l.tables = vec![l.tables[0]; 2],
    ];
    for (i, forge) in absurd.iter().enumerate() {
        let mut layout = key.layout().clone();
        forge(&mut layout);
        assert!(refused(layout, vk.clone(), sections(&key)), "{i}");
    }
    // Too few points in the verifying key: the last public inputs would be bound to nothing.
    let short = VerifyingKey { ic: vk.ic[..vk.ic.len() - 1].to_vec(), ..vk.clone() };
    let witness = witness(17);
    let proof = prove(&key, &witness, || Ok(self::circuit()), &mut rng).unwrap();
    let statement = Statement { publics: witness.publics.clone(), words: witness.words };
    assert!(matches!(verify(&short, &statement, &proof), Err(VerifyError::Arity { .. })));
}

/// A proof leaves as words, so it is the words that are checked: a key whose points are off their curve or outside the subgroup gives none,
/// and no encoding but the canonical one of a valid proof comes out.
#[test]
fn a_proof_is_read_back_before_it_leaves() {
    let mut rng = StdRng::seed_from_u64(14);
    let key = Setup::dev(&mut rng).key(&circuit(), &GROUPS, &mut rng).unwrap();
    let witness = witness(17);
    let statement = Statement { publics: witness.publics.clone(), words: witness.words.clone() };
    let words = prove(&key, &witness, || Ok(circuit()), &mut rng).unwrap().to_words();
    let release = |words: &[[u8; 32]; Proof::WORDS]| crate::prove::release(key.verifying_key(), &statement, words);
    assert_eq!(release(&words).unwrap().to_words(), words);
    // On the twist, outside the subgroup: random x until there is a y. The cofactor is large, so any such point is.
    let outside = std::iter::repeat_with(|| G2Affine::get_point_from_x_unchecked(Fq2::rand(&mut rng), false)).flatten().next().unwrap();
    assert!(outside.is_on_curve() && !outside.is_in_correct_subgroup_assuming_on_curve());
    let honest = Proof::from_words(&words, Form::Committed).unwrap();
    let twisted = Proof { b: (honest.b + outside).into_affine(), ..honest.clone() };
    assert!(matches!(release(&twisted.to_words()), Err(VerifyError::Encoding(what)) if what == "B"));
    for (at, what) in [(0, "A"), (6, "C1"), (8, "C2")] {
        for change in [|word: &mut [u8; 32]| word[31] ^= 1, |word: &mut [u8; 32]| *word = [0xff; 32]] {
            let mut changed = words;
            change(&mut changed[at]);
            assert!(matches!(release(&changed), Err(VerifyError::Encoding(found)) if found == what), "{what}");
        }
    }
    // From the prover's side: every section of the key in turn, its first point off its curve, or in G2 outside the subgroup.
    for section in [Section::A, Section::B1, Section::B2, Section::K1, Section::K2, Section::H] {
        let mut damaged = sections(&key);
        match section {
            Section::B2 => damaged[section as usize][..128].copy_from_slice(&g2_bytes(&[outside])),
            _ => damaged[section as usize][..64].copy_from_slice(&g1_bytes(&[G1Affine::new_unchecked(Fq::from(5u64), Fq::from(6u64))])),
        }
        let damaged = ProvingKey::assemble(key.layout().clone(), None, key.verifying_key().clone(), damaged).unwrap();
        let result = prove(&damaged, &witness, || Ok(circuit()), &mut rng);
        assert!(matches!(result, Err(ProveError::SelfCheck)), "{section:?}: {result:?}");
    }
}

/// Which of the public wires but the constant can be moved in a copied proof, by rows `of` the circuit.
///
/// A copied proof is turned by differences d of wires with `Σ d_i·K_i + h·Z = 0` (`docs/proof-system.md` 8.4, step 4). Its parts in β and
/// α and the rest, each at a row, say `A·d = B·d = C·d = 0`, and the constant keeps its value. Here every other wire is the copier's,
/// those of C1 too, which the hash would hold.
fn movable(circuit: &Circuit, of: std::ops::Range<usize>) -> Vec<usize> {
    let layout = circuit.layout();
    let (public, wires) = (layout.public_wires(), layout.wires());
    let mut rows = vec![vec![Fr::zero(); wires]; 3 * layout.rows() + 1];
    circuit.visit(|row, matrix, wire, c| {
        if of.contains(&row) {
            rows[3 * row + matrix as usize][wire] += c;
        }
    });
    rows[3 * layout.rows()][0] = Fr::one();
    // Echelon form, the public wires last: what is left of the rows there says which of them are fixed.
    let mut rank = 0;
    for column in (0..wires).rev() {
        let Some(pivot) = (rank..rows.len()).find(|row| !rows[*row][column].is_zero()) else { continue };
        rows.swap(rank, pivot);
        let inverse = rows[rank][column].inverse().unwrap();
        let scaled: Vec<Fr> = rows[rank].iter().map(|c| *c * inverse).collect();
        for (_, row) in rows.iter_mut().enumerate().filter(|(at, row)| *at != rank && !row[column].is_zero()) {
            let factor = row[column];
            row.iter_mut().zip(&scaled).for_each(|(c, s)| *c -= factor * s);
        }
        rows[rank] = scaled;
        rank += 1;
    }
    let fixed = |wire: usize| rows[..rank].iter().any(|row| row.iter().enumerate().all(|(i, c)| c.is_zero() != (i == wire)));
    (1..public).filter(|wire| !fixed(*wire)).collect()
}

/// Rule G1: nothing moves a public wire of a copied proof. In the committed form χ also stands alone on the B side, so the
/// fingerprint would hold even without the rows of the public wires; in the plain form a context that occurs nowhere else would not.
#[test]
fn attack_g1_no_public_wire_of_a_copied_proof_moves() {
    let committed = circuit();
    let mut shape = ConstraintBuilder::new();
    let (_, public, x) = (shape.public(None), shape.public(None), shape.field_given(None));
    let square = shape.field_product(&x, &x);
    shape.field_equal(&square, &public);
    let plain = shape.finish();
    let mut shape = ConstraintBuilder::new();
    gadgets::digit(&mut shape, None, W, &gadgets::DigitTables::default(), W).unwrap();
    let without_elements = shape.finish();
    for (circuit, without_their_rows) in [(&committed, vec![]), (&plain, vec![1]), (&without_elements, vec![Layout::FINGERPRINT_WIRE])] {
        let layout = circuit.layout();
        assert_eq!(movable(circuit, 0..layout.rows()), Vec::<usize>::new());
        assert_eq!(movable(circuit, 0..layout.constraints()), without_their_rows);
    }
}

/// Rule G1 for the plain form: the reduction that ark-groth16 proves has, for every public wire, a row that holds
/// nothing else, so a copied proof cannot be turned to another statement.
#[test]
fn attack_g1_plain_public_wires_are_pinned() {
    let mut shape = ConstraintBuilder::new();
    // A context that occurs nowhere, beside a public input that does.
    shape.public(None);
    let public = shape.public(None);
    let x = shape.field_given(None);
    let square = shape.field_product(&x, &x);
    shape.field_equal(&square, &public);
    let circuit = shape.finish();
    let layout = circuit.layout().clone();
    let tau = Fr::rand(&mut StdRng::seed_from_u64(11));
    let [a, b, c] = crate::plain::columns(&circuit, tau).unwrap();
    let domain = Radix2EvaluationDomain::<Fr>::new(layout.rows()).unwrap();
    let rows = domain.evaluate_all_lagrange_coefficients(tau);
    let (mut expected_a, mut expected_b, mut expected_c) =
        (vec![Fr::zero(); layout.wires()], vec![Fr::zero(); layout.wires()], vec![Fr::zero(); layout.wires()]);
    circuit.visit(|row, matrix, wire, coefficient| match matrix {
        Matrix::A => expected_a[wire] += coefficient * rows[row],
        Matrix::B => expected_b[wire] += coefficient * rows[row],
        Matrix::C => expected_c[wire] += coefficient * rows[row],
    });
    assert_eq!(([a, b, c]), [expected_a, expected_b, expected_c], "ark-groth16 proves our rows, those of the public wires too");
}

/// What the fast prover evaluates row by row, without the matrices, is what the matrices give, on random graphs.
#[test]
fn rows_of_the_fast_prover_are_the_matrices() {
    let mut functions = 0;
    for seed in 1..60u64 {
        let mut random = network::Random(seed * 0x9e37_79b9_7f4a_7c15);
        let graph = network::network(&mut random);
        let (inputs, outputs) = network::bindings(&mut random, &graph);
        let shape = BoundGraph { graph: &graph, inputs: &inputs, outputs: &outputs };
        let circuit = build_circuit(shape).unwrap();
        let integers = network::inputs(&mut random, &graph);
        let Ok((witness, _)) = build_witness(shape, &network::values(shape, &integers)) else { continue };
        let chi = Fr::from(seed).inverse().unwrap() + Fr::from(u64::MAX);
        let second = witness.second_round(&witness.multiplicities(), chi).unwrap();
        let z = circuit.assignment(&witness, chi).unwrap();
        let layout = circuit.layout();
        let (a, b) = crate::prove::rows(&witness, &second, chi, &z[..layout.public_wires()], layout.rows());
        let [expected_a, expected_b, _] = circuit.evaluate(&z);
        assert_eq!((a, b), (expected_a, expected_b), "network {seed}");
        functions += witness.lookups.iter().filter(|(entries, _)| matches!(entries, Entries::Constants(_))).count();
    }
    assert!(functions > 10, "{functions} tables of functions");
}

/// The same with a δ that has α's exponent, in the other group, for whoever has `[β]₁`, which is in every proving key: a prover. Whatever
/// reads or makes a key refuses it, and α = ±β, where a row's two factors no longer come apart.
#[test]
fn attack_b9_keys_whose_alpha_has_another_exponent_are_refused() {
    let mut rng = StdRng::seed_from_u64(14);
    let [alpha, beta, delta] = [0; 3].map(|_| Fr::rand(&mut rng));
    let g1 = |x: Fr| (G1Projective::from(G1Affine::generator()) * x).into_affine();
    let key = |alpha: Fr, beta: Fr, delta1: Fr, delta2: Fr| VerifyingKey {
        publics: 1,
        groups: vec![WordGroup { count: 1, bits: 8 }],
        alpha: g1(alpha),
        beta: g2(beta),
        gamma: G2Affine::generator(),
        delta1: Some(g2(delta1)),
        delta2: g2(delta2),
        ic: (2..5_u64).map(|i| g1(Fr::from(i))).collect(),
    };
    let (beta1, none) = (g1(beta), G1Affine::zero());
    for (name, delta1, delta2, c1, c2) in [
        ("δ1 = α", alpha, delta, -beta1, none),
        ("δ1 = −α", -alpha, delta, beta1, none),
        ("δ2 = α", delta, alpha, none, -beta1),
        ("δ2 = −α", delta, -alpha, none, beta1),
    ] {
        let bad = key(alpha, beta, delta1, delta2);
        let statement = Statement { publics: vec![Fr::rand(&mut rng)], words: vec![Fr::from(42)] };
        let forged = Proof { a: statement_point(&bad, &statement, Some(&c1)), b: G2Affine::generator(), c1: Some(c1), c2 };
        assert_eq!(verify_under_any_key(&bad, &statement, &forged), Ok(()), "{name}: the forgery");
        assert!(matches!(bad.check(), Err(KeyError::Unsafe(_))), "{name}");
        assert!(matches!(VerifyingKey::from_record(&bad.record()), Err(KeyError::Unsafe(_))), "{name}: the record");
    }
    for other in [alpha, -alpha] {
        let bad = key(alpha, other, delta, beta);
        assert!(matches!(bad.check(), Err(KeyError::Unsafe(_))), "α = ±β");
        assert!(matches!(VerifyingKey::from_record(&bad.record()), Err(KeyError::Unsafe(_))), "α = ±β: the record");
    }
    key(alpha, beta, delta, Fr::rand(&mut rng)).check().unwrap();
}
