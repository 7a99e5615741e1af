//! Dev setup: keys from toxic waste that this process draws and forgets.

use ark_bn254::{Bn254, Fr, G1Projective, G2Affine, G2Projective};
use ark_ec::scalar_mul::BatchMulPreprocessing;
use ark_ec::{CurveGroup, PrimeGroup};
use ark_ff::{Field, One, UniformRand, Zero};
use ark_groth16::ProvingKey as ArkProvingKey;
use ark_poly::{EvaluationDomain, Radix2EvaluationDomain};
use rand_core::CryptoRngCore;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};
use zkslice_circuit::{Circuit, Layout, Matrix};

use crate::{KeyError, KeyPoints, ProvingKey, WordGroup, check_rows, plain};

/// τ, α and β of one setup; γ is the generator, as in every key that grows from a powers-of-tau ceremony. Zeroized on drop.
///
/// All keys of one setup share α, β, γ, so that their proofs share pairings; each key draws its own deltas.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Setup {
    tau: Fr,
    alpha: Fr,
    beta: Fr,
}

impl std::fmt::Debug for Setup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Setup(secret)")
    }
}

#[derive(Zeroize, ZeroizeOnDrop)]
struct Deltas {
    first: Fr,
    second: Fr,
}

/// A secret that is neither 0, 1 nor −1.
fn secret(rng: &mut dyn CryptoRngCore) -> Fr {
    loop {
        let value = Fr::rand(rng);
        if !value.is_zero() && !value.square().is_one() {
            return value;
        }
    }
}

impl Setup {
    /// Draws a setup. Pass the operating system's generator; anything else is for tests.
    pub fn dev(rng: &mut dyn CryptoRngCore) -> Self {
        Self { tau: secret(rng), alpha: secret(rng), beta: secret(rng) }
    }

    /// Makes a key for a circuit, with deltas of its own. `groups` lays out the circuit's public words.
    ///
    /// # Errors
    /// [`KeyError::Rows`] for a circuit that does not bind each of its public wires, public inputs and words.
    /// [`KeyError::Malformed`] if the groups have not as many words as the circuit.
    pub fn key(&self, circuit: &Circuit, groups: &[WordGroup], rng: &mut dyn CryptoRngCore) -> Result<ProvingKey, KeyError> {
        let layout = circuit.layout().clone();
        if groups.iter().map(WordGroup::words).sum::<usize>() != layout.words {
            return Err(KeyError::Malformed {
                what: "word layout".into(),
                reason: format!("the circuit has {} public words", layout.words),
            });
        }
        check_rows(circuit)?;
        let deltas = Deltas { first: secret(rng), second: secret(rng) };
        if !layout.has_challenge() {
            let key = plain::setup(circuit, [self.alpha, self.beta, deltas.second], rng)?;
            let verifying_key = plain::verifying_key(&key.vk, layout.publics);
            verifying_key.check()?;
            return ProvingKey::assemble(layout, None, verifying_key, sections_of_plain(&key)?);
        }
        self.committed(circuit, layout, groups, &deltas)
    }

    fn committed(&self, circuit: &Circuit, layout: Layout, groups: &[WordGroup], deltas: &Deltas) -> Result<ProvingKey, KeyError> {
        let columns = Columns::at(circuit, self.tau)?;
        let (p, early) = (layout.public_wires(), layout.public_wires() + layout.committed_wires());
        let inverse = |delta: &Fr| delta.inverse().ok_or_else(|| KeyError::Unsafe("δ is zero".into()));
        let (over_first, over_second) = (inverse(&deltas.first)?, inverse(&deltas.second)?);
        let combined = |range: std::ops::Range<usize>, over: Fr| -> Zeroizing<Vec<Fr>> {
            range.map(|i| (self.beta * columns.a[i] + self.alpha * columns.b[i] + columns.c[i]) * over).collect::<Vec<_>>().into()
        };
        let h: Zeroizing<Vec<Fr>> = columns.odd.iter().map(|l| *l * over_second).collect::<Vec<_>>().into();
        let (k1, k2) = (combined(p..early, over_first), combined(early..layout.wires(), over_second));
        let points = layout.wires() + early + k1.len() + k2.len() + h.len();
        let g1 = BatchMulPreprocessing::new(G1Projective::generator(), points);
        let g2 = BatchMulPreprocessing::new(G2Projective::generator(), early);
        let beta: G2Affine = (G2Projective::generator() * self.beta).into_affine();
        let delta1: G2Affine = (G2Projective::generator() * deltas.first).into_affine();
        let delta2: G2Affine = (G2Projective::generator() * deltas.second).into_affine();
        if columns.b[early..].iter().any(|v| !v.is_zero()) {
            return Err(KeyError::Malformed { what: "circuit".into(), reason: "a second-round wire is on the B side".into() });
        }
        let single = g1.batch_mul(&[self.alpha, self.beta, deltas.first, deltas.second]);
        let points = KeyPoints {
            single: [single[0], single[1], single[2], single[3]],
            single2: [beta, delta1, delta2],
            ic: g1.batch_mul(&combined(0..p, Fr::one())),
            a: g1.batch_mul(&columns.a),
            b1: g1.batch_mul(&columns.b[..early]),
            b2: g2.batch_mul(&columns.b[..early]),
            k1: g1.batch_mul(&k1),
            k2: g1.batch_mul(&k2),
            h: g1.batch_mul(&h),
        };
        ProvingKey::from_points(layout, groups, None, &points)
    }
}

fn sections_of_plain(key: &ArkProvingKey<Bn254>) -> Result<[Vec<u8>; 9], KeyError> {
    let mut sections = [const { Vec::new() }; 9];
    sections[8] = plain::to_bytes(key)?;
    Ok(sections)
}

/// Columns of the three matrices at τ, O folded over the double domain (`docs/proof-system.md` 6, setup). They give τ away, so they
/// are zeroized on drop.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(crate) struct Columns {
    /// u_i(τ).
    pub(crate) a: Vec<Fr>,
    /// v_i(τ).
    pub(crate) b: Vec<Fr>,
    /// w̃_i(τ) = Σ_j O_ji · L^(2n)_{2j}(τ).
    pub(crate) c: Vec<Fr>,
    /// L^(2n)_{2i+1}(τ).
    pub(crate) odd: Vec<Fr>,
}

impl Columns {
    pub(crate) fn at(circuit: &Circuit, tau: Fr) -> Result<Self, KeyError> {
        let layout = circuit.layout();
        let size = layout.rows().next_power_of_two();
        let domain = |n: usize| Radix2EvaluationDomain::<Fr>::new(n).filter(|d| d.size() == n);
        let too_large = || KeyError::Malformed {
            what: "circuit".into(),
            reason: format!("{} rows are more than BN254 has roots of unity for", layout.rows()),
        };
        let lagrange = Zeroizing::new(domain(size).ok_or_else(too_large)?.evaluate_all_lagrange_coefficients(tau));
        let double = Zeroizing::new(domain(2 * size).ok_or_else(too_large)?.evaluate_all_lagrange_coefficients(tau));
        let wires = layout.wires();
        let (mut a, mut b, mut c) = (vec![Fr::zero(); wires], vec![Fr::zero(); wires], vec![Fr::zero(); wires]);
        circuit.visit(|row, matrix, wire, coefficient| match matrix {
            Matrix::A => a[wire] += coefficient * lagrange[row],
            Matrix::B => b[wire] += coefficient * lagrange[row],
            Matrix::C => c[wire] += coefficient * double[2 * row],
        });
        Ok(Self { a, b, c, odd: double.iter().skip(1).step_by(2).copied().collect() })
    }
}
