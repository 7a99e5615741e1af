//! The prover of the committed form.
//!
//! Multi-scalar multiplications, by what their scalars are: S1 and B are small (signed buckets); inverses take one value
//! an entry of a table, so their points are first summed by entry; only H, the entries and the few wires of full size
//! meet full-size scalars. The quotient takes four FFTs and no division (`docs/proof-system.md` 6, prover).

use ark_bn254::{Fr, G1Affine, G1Projective, G2Affine};
use ark_ec::short_weierstrass::{Affine, Projective};
use ark_ec::{AffineRepr, CurveGroup};
use ark_ff::{FftField, One, UniformRand, Zero};
use ark_poly::{EvaluationDomain, Radix2EvaluationDomain};
use rand_core::CryptoRngCore;
use rayon::prelude::*;
use zkslice_circuit::{Circuit, Layout, SecondRound, Table, Witness};
use zkslice_curve::Curve;

use crate::challenge::challenge;
use crate::key_file::{Blinding, Section};
use crate::raw::{g1, g2};
use crate::{Form, ProveError, ProvingKey, Statement, VerifyError, VerifyingKey, msm, plain, points, verify};

/// A proof. `c1` is the first-round commitment; none in the plain form, whose C is `c2`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// A.
    pub a: G1Affine,
    /// B.
    pub b: G2Affine,
    /// C1.
    pub c1: Option<G1Affine>,
    /// C2 (plain: C).
    pub c2: G1Affine,
}

impl Proof {
    /// Words of a proof on chain: A (2), B (4), C1 (2, zeros in the plain form), C2 (2).
    pub const WORDS: usize = 10;

    /// The proof as words.
    pub fn to_words(&self) -> [[u8; 32]; Self::WORDS] {
        let mut words = [[0; 32]; Self::WORDS];
        words[..2].copy_from_slice(&points::g1_to_words(&self.a));
        words[2..6].copy_from_slice(&points::g2_to_words(&self.b));
        if let Some(c1) = &self.c1 {
            words[6..8].copy_from_slice(&points::g1_to_words(c1));
        }
        words[8..].copy_from_slice(&points::g1_to_words(&self.c2));
        words
    }

    /// Reads the words of a proof of the given form, checking every point.
    ///
    /// # Errors
    /// [`VerifyError::Encoding`]; [`VerifyError::Form`] for a plain proof with a C1.
    pub fn from_words(words: &[[u8; 32]; Self::WORDS], form: Form) -> Result<Self, VerifyError> {
        let proof = Self::on_curves(words, form)?;
        if proof.b.is_in_correct_subgroup_assuming_on_curve() { Ok(proof) } else { Err(VerifyError::Encoding("B".into())) }
    }

    /// The same of which the subgroup of B is not checked.
    pub(crate) fn on_curves(words: &[[u8; 32]; Self::WORDS], form: Form) -> Result<Self, VerifyError> {
        let [a0, a1, b0, b1, b2, b3, d0, d1, c0, c1] = *words;
        let committed = points::g1_from_words(&[d0, d1], "C1")?;
        if form == Form::Plain && !committed.is_zero() {
            return Err(VerifyError::Form);
        }
        Ok(Self {
            a: points::g1_from_words(&[a0, a1], "A")?,
            b: points::twist_from_words(&[b0, b1, b2, b3], "B")?,
            c1: (form == Form::Committed).then_some(committed),
            c2: points::g1_from_words(&[c0, c1], "C2")?,
        })
    }
}

/// Proves a witness under a key. What is returned was read back from its own words, points checked, and verified: a proof that failed
/// would leak (rule G6), and one that nobody reads would be of no use.
///
/// `circuit` is asked only by the plain form, whose prover reads the matrices.
///
/// # Errors
/// [`ProveError::WrongKey`] if key and witness differ in a count; [`ProveError::SelfCheck`] if the witness does not satisfy the
/// circuit that the key is for.
pub fn prove(
    key: &ProvingKey,
    witness: &Witness,
    circuit: impl FnOnce() -> Result<Circuit, zkslice_circuit::CircuitError>,
    rng: &mut dyn CryptoRngCore,
) -> Result<Proof, ProveError> {
    let circuit = if key.verifying_key().form() == Form::Plain { Some(circuit()?) } else { None };
    prove_on(key, witness, circuit.as_ref(), rng)
}

// Not generic, so that it is compiled here, with this crate's settings, and once.
fn prove_on(key: &ProvingKey, witness: &Witness, circuit: Option<&Circuit>, rng: &mut dyn CryptoRngCore) -> Result<Proof, ProveError> {
    fits(key.layout(), witness)?;
    let proof = match circuit {
        None => committed(key, witness, rng),
        Some(circuit) => {
            let assignment = circuit.assignment(witness, Fr::zero()).unwrap_or_default();
            circuit.check(&assignment).map_err(|_| ProveError::SelfCheck)?;
            let proof = plain::prove(key, circuit, &assignment, rng)?;
            Proof { a: proof.a, b: proof.b, c1: None, c2: proof.c }
        }
    };
    let statement = Statement { publics: witness.publics.clone(), words: witness.words.clone() };
    release(key.verifying_key(), &statement, &proof.to_words()).map_err(|_| ProveError::SelfCheck)
}

/// The proof in these words, if whoever reads them accepts it.
pub(crate) fn release(key: &VerifyingKey, statement: &Statement, words: &[[u8; 32]; Proof::WORDS]) -> Result<Proof, VerifyError> {
    let proof = Proof::from_words(words, key.form())?;
    verify(key, statement, &proof)?;
    Ok(proof)
}

fn fits(layout: &Layout, witness: &Witness) -> Result<(), ProveError> {
    let tables = witness.lookups.iter().map(|(entries, positions)| Table { entries: entries.len(), lookups: positions.len() });
    let counts = [
        ("public inputs", layout.publics, witness.publics.len()),
        ("public words", layout.words, witness.words.len()),
        ("small wires", layout.small, witness.small.len()),
        ("field wires", layout.field, witness.field.len()),
        ("products", layout.products, witness.products.len()),
        ("field products", layout.field_products, witness.field_products.len()),
    ];
    if let Some((what, expected, got)) = counts.iter().find(|(_, expected, got)| expected != got) {
        return Err(ProveError::WrongKey(format!("it expects {expected} {what}, the witness has {got}")));
    }
    if !tables.eq(layout.tables.iter().copied()) {
        return Err(ProveError::WrongKey("its tables are not the witness's".into()));
    }
    Ok(())
}

fn committed(key: &ProvingKey, witness: &Witness, rng: &mut dyn CryptoRngCore) -> Proof {
    let layout = key.layout();
    let multiplicities = witness.multiplicities();
    // Small wires and multiplicities lie side by side in S1.
    let mut small = witness.small.clone();
    small.extend(multiplicities.iter().flatten().map(|m| i64::from(*m)));
    let Blinding { alpha, beta: beta1, delta1, delta2 } = *key.blinding();

    let field: Vec<Fr> = witness.publics.iter().chain(&witness.field).copied().collect();

    let k1 = key.g1(Section::K1);
    let binding = msm::small(&small, |i| g1(&k1[i])) + msm::sparse(&field, |i| g1(&k1[small.len() + i]));
    let (blinding, c1, chi, second) = loop {
        let blinding = Fr::rand(rng);
        let c1 = (binding + delta2 * blinding).into_affine();
        let chi = challenge(key.verifying_key_hash(), &witness.publics, &witness.words, &c1);
        if let Some(second) = witness.second_round(&multiplicities, chi) {
            break (blinding, c1, chi, second);
        }
    };

    let publics = [Fr::one(), chi, second.fingerprint];
    let (r, s) = (Fr::rand(rng), Fr::rand(rng));
    let wires = Wires { layout, small: &witness.small, field: &field, publics };

    let (h, (late, (b1, b2))) = rayon::join(
        || quotient(key, witness, &second, chi, &publics),
        || {
            rayon::join(
                || second_round(key, witness, &second),
                || {
                    let (b1, b2) = (key.g1(Section::B1), key.g2(Section::B2));
                    rayon::join(|| wires.sum(|i| g1(&b1[i])), || wires.sum(|i| g2(&b2[i])))
                },
            )
        },
    );
    let a_query = key.g1(Section::A);
    let a = late.a + wires.sum(|i| g1(&a_query[i])) + alpha + delta2 * r;
    let b1 = b1 + beta1 + delta2 * s;
    let b = b2 + key.verifying_key().beta + key.verifying_key().delta2 * s;
    let c2 = late.c2 + h + a * s + b1 * r - delta2 * (r * s) - delta1 * blinding;
    Proof { a: a.into_affine(), b: b.into_affine(), c1: Some(c1), c2: c2.into_affine() }
}

fn full(points: &[[u64; 8]], scalars: &[Fr]) -> G1Projective {
    msm::full(&points.iter().map(g1).collect::<Vec<_>>(), scalars)
}

/// The public and committed wires, as A and B meet them. Multiplicities occur only in C.
struct Wires<'a> {
    layout: &'a Layout,
    small: &'a [i64],
    /// Public inputs, then field wires.
    field: &'a [Fr],
    publics: [Fr; 3],
}

impl Wires<'_> {
    fn sum<C: Curve>(&self, point: impl Fn(usize) -> Affine<C> + Sync) -> Projective<C> {
        let first_small = self.layout.public_wires();
        let first_field = self.layout.first_multiplicity() + self.layout.table_entries();
        let scalars: Vec<Fr> = self.publics.iter().chain(self.field).copied().collect();
        let others = |i: usize| if i < first_small { i } else { first_field + i - first_small };
        msm::sparse(&scalars, |i| point(others(i))) + msm::small(self.small, |i| point(first_small + i))
    }
}

struct Late {
    a: G1Projective,
    c2: G1Projective,
}

/// Contributions of the second round's wires to A and C2. Inverses are summed by table entry, then both sums meet the same
/// scalars: the entries' inverses.
fn second_round(key: &ProvingKey, witness: &Witness, second: &SecondRound) -> Late {
    let layout = key.layout();
    let first = layout.first_second_round();
    let sum = |points: &[[u64; 8]]| -> G1Projective {
        let mut bases: Vec<G1Affine> = Vec::new();
        let mut scalars: Vec<Fr> = Vec::new();
        let mut at = 0;
        for ((_, values), inverses) in witness.lookups.iter().zip(&second.inverses) {
            bases.extend(msm::by_entry(inverses.len(), values, |i| g1(&points[at + i])));
            scalars.extend(inverses);
            at += values.len();
        }
        bases.extend(points[at..].iter().map(g1));
        scalars.extend(second.quotients.iter().flatten().chain(&second.steps));
        msm::full(&bases, &scalars)
    };
    let (a, c2) = rayon::join(|| sum(&key.g1(Section::A)[first..]), || sum(key.g1(Section::K2)));
    Late { a, c2 }
}

/// `Σ a'_i·b'_i·[L^(2n)_{2i+1}(τ)/δ2]` with a', b' on the odd half of the double domain.
fn quotient(key: &ProvingKey, witness: &Witness, second: &SecondRound, chi: Fr, publics: &[Fr; 3]) -> G1Projective {
    let size = key.domain_size();
    let (mut a, mut b) = rows(witness, second, chi, publics, size);
    // Sizes are powers of two that fit: the setup refused others.
    let Some(domain) = Radix2EvaluationDomain::<Fr>::new(size) else { return G1Projective::zero() };
    let Some(root) = Fr::get_root_of_unity(2 * size as u64) else { return G1Projective::zero() };
    let Some(odd) = domain.get_coset(root) else { return G1Projective::zero() };
    rayon::join(
        || {
            domain.ifft_in_place(&mut a);
            odd.fft_in_place(&mut a);
        },
        || {
            domain.ifft_in_place(&mut b);
            odd.fft_in_place(&mut b);
        },
    );
    a.par_iter_mut().zip(&b).for_each(|(a, b)| *a *= b);
    full(key.g1(Section::H), &a)
}

/// Values of A and B in every row, in the order of [`Circuit`]'s rows, padded with zeros.
pub(crate) fn rows(witness: &Witness, second: &SecondRound, chi: Fr, publics: &[Fr], size: usize) -> (Vec<Fr>, Vec<Fr>) {
    let (mut a, mut b) = (Vec::with_capacity(size), Vec::with_capacity(size));
    let mut push = |left: Fr, right: Fr| {
        a.push(left);
        b.push(right);
    };
    for (left, right) in &witness.products {
        push(Fr::from(*left), Fr::from(*right));
    }
    for (left, right) in &witness.field_products {
        push(*left, *right);
    }
    let denominators: Vec<Vec<Fr>> = witness.lookups.iter().map(|(entries, _)| entries.denominators(chi)).collect();
    for ((_, values), (inverses, denominators)) in witness.lookups.iter().zip(second.inverses.iter().zip(&denominators)) {
        values.iter().for_each(|v| push(inverses[*v as usize], denominators[*v as usize]));
    }
    for (quotients, denominators) in second.quotients.iter().zip(&denominators) {
        quotients.iter().zip(denominators).for_each(|(quotient, denominator)| push(*quotient, *denominator));
    }
    second.inverses.iter().for_each(|_| push(Fr::zero(), Fr::one()));
    let mut accumulator = Fr::zero();
    for element in witness.elements().rev() {
        push(accumulator + element, chi);
        accumulator = (accumulator + element) * chi;
    }
    publics.iter().for_each(|z| push(*z, Fr::zero()));
    a.resize(size, Fr::zero());
    b.resize(size, Fr::zero());
    (a, b)
}
