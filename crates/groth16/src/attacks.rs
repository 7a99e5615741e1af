//! Forgeries that need a broken setup, carried out: each must succeed where the setup is broken and fail where it is not.
//!
//! The prover here is naive: full-size scalars, the quotient by division. It is the second implementation that the fast one
//! is held against.

#![allow(clippy::unwrap_used)]

use ark_bn254::{Fr, G1Affine, G1Projective, G2Affine, G2Projective};
use ark_ec::{CurveGroup, PrimeGroup};
use ark_ff::{Field, One, UniformRand, Zero};
use ark_poly::univariate::DensePolynomial;
use ark_poly::{DenseUVPolynomial, EvaluationDomain, Polynomial, Radix2EvaluationDomain};
use ark_std::rand::{SeedableRng, rngs::StdRng};
use zkslice_circuit::gadgets;
use zkslice_circuit::{Builder, Circuit, Shape, Trace, Witness};

use crate::setup::Columns;
use crate::{Proof, Setup, Statement, VerifyError, VerifyingKey, WordGroup, challenge, prove, verify};

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
    let mut shape = Shape::new();
    build(&mut shape, None);
    shape.finish()
}

fn witness(x: i64) -> Witness {
    let mut trace = Trace::new();
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
        let c2 = (late + self.quotient(circuit, z)) * self.delta[1].inverse().unwrap() + s * a + r * b - r * s * self.delta[1] - blinding * self.delta[0];
        [a, b, c2]
    }

    /// A(τ)·B(τ) − Σ z_i·w̃_i(τ): what the H query spans, with w̃ folded over the double domain.
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
        assert_eq!(product - folded, odd);
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
    // Fingerprint of the false words.
    z[quotients + (1 << W)] = words[1] * chi;
    z[layout.fingerprint_wire()] = (words[1] * chi + words[0]) * chi;
    z
}

/// `proof-system.md` 1.6 and 8.16: with δ1 = δ2 the first round binds nothing, since (C1 + T, C2 − T) verifies. The forger commits to
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
        let verdict = verify(&vk, &statement, &forged);
        assert_eq!(verdict, if equal { Ok(()) } else { Err(VerifyError::Invalid) });
        // Without the move it fails in both, and an honest proof passes in both.
        let unmoved = Proof { c2: g1(c2), ..forged };
        assert_eq!(verify(&vk, &statement, &unmoved), Err(VerifyError::Invalid));
        let chi = challenge(&vk.hash(), &honest.publics, &honest.words, &g1(c1));
        let z = circuit.assignment(&honest, chi).unwrap();
        let [a, b, c2] = key.finish(&circuit, &z, blinding, &mut rng);
        let proof = Proof { a: g1(a), b: g2(b), c1: Some(g1(c1)), c2: g1(c2) };
        verify(&vk, &Statement { publics: honest.publics.clone(), words: honest.words.clone() }, &proof).unwrap();
    }
}

/// The challenge hashes public inputs and words: a statement chosen after χ does not verify (`proof-system.md` 1.6, x in the hash).
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
    assert_eq!(crate::fingerprint(&words, chi), crate::fingerprint(&honest.words, chi));
    let statement = Statement { publics: honest.publics.clone(), words };
    assert!(matches!(verify(&vk, &statement, &proof), Err(VerifyError::Word { .. })));
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
