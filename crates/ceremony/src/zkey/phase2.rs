//! Phase 2 of plain keys, as snarkjs verifies it: one δ.
//!
//! ```text
//! h_i = BLAKE2b(hash of the circuit ‖ for each contribution before: δ ‖ s ‖ x·s ‖ x·p ‖ transcript)
//! p   = the point of G2 that stands for transcript_i = BLAKE2b(… ‖ s ‖ x·s)
//! ```

use std::path::Path;

use ark_bn254::{Fr, G1Affine, G2Affine, g1, g2};
use ark_ec::{AffineRepr, CurveGroup};
use ark_ff::{Field, One, UniformRand, Zero};
use blake2::{Blake2b512, Digest};
use rand_core::CryptoRngCore;
use zeroize::{Zeroize, ZeroizeOnDrop};
use zkslice_circuit::Matrix;
use zkslice_curve::Adder;
use zkslice_interop::R1cs;

use super::{Zkey, ZkeyContribution};
use crate::contribution::{MOST_ITERATIONS, check_name};
use crate::initial::{Columns, Entry};
use crate::multiply::{Scalar, products};
use crate::phase2::{check_value, is_over};
use crate::points::{Point, same_ratio};
use crate::powers::Domain;
use crate::ptau::{Ptau, section};
use crate::snarkjs::{BeaconValue, Stream, hash_to_g2};
use crate::{CeremonyError, Powers};

/// snarkjs hashes the points of H in runs of so many, the last run whole.
const RUN: usize = 1 << 14;

#[derive(Zeroize, ZeroizeOnDrop)]
struct Secret(Fr);

/// The length of a list and its points, infinity as zeros.
fn hash_list<P: Point>(hasher: &mut Blake2b512, points: &[P]) {
    hasher.update((points.len() as u32).to_be_bytes());
    points.iter().for_each(|point| hasher.update(point.words()));
}

impl Zkey {
    /// The key that a circuit begins with: δ = 1. `powers` are those of the file, for the circuit's domain: what
    /// [`Zkey::domain_of`] says.
    ///
    /// # Errors
    /// [`CeremonyError::Refused`] for a circuit that says nothing of one of its public signals; [`CeremonyError`].
    pub fn begin(r1cs: &R1cs, powers: &Powers, ptau: &Path) -> Result<Self, CeremonyError> {
        let (publics, rows) = (r1cs.publics(), r1cs.rows.len());
        let level = Self::domain_of(r1cs);
        let domain = 1 << level;
        let Domain { lagrange, lagrange2, alpha: of_alpha, beta: of_beta, double } = powers.domain(level)?;
        let mut coefficients = Vec::new();
        for (row, [a, b, _]) in r1cs.rows.iter().enumerate() {
            for (is_b, terms) in [(false, a), (true, b)] {
                coefficients.extend(terms.iter().map(|(wire, c)| (is_b, row as u32, *wire, *c)));
            }
        }
        let pins = (0..=publics).map(|wire| (false, (rows + wire) as u32, wire as u32, Fr::one()));
        coefficients.extend(pins);
        let c_entries = || r1cs.rows.iter().enumerate().flat_map(|(row, [.., c])| c.iter().map(move |term| (row, *term)));
        let mut used = vec![false; r1cs.wires];
        r1cs.rows.iter().flatten().flatten().for_each(|(wire, _)| used[*wire as usize] = true);
        if let Some(wire) = (1..=publics).find(|wire| !used[*wire]) {
            return Err(CeremonyError::Refused(format!("no row uses public wire {wire}: a proof would say nothing of it")));
        }
        let columns = Columns::new(r1cs.wires, &mut |visit| {
            for (is_b, row, wire, c) in &coefficients {
                visit(*row as usize, if *is_b { Matrix::B } else { Matrix::A }, *wire as usize, *c);
            }
            c_entries().for_each(|(row, (wire, c))| visit(row, Matrix::C, wire as usize, c));
        });
        let (of, at) = (|wanted: Matrix, entry: &Entry| entry.matrix == wanted, |entry: &Entry| entry.row as usize);
        let (first, second) = (columns.in_group::<g1::Config>(), columns.in_group::<g2::Config>());
        let lagrange = first.bases(lagrange, &[Matrix::A, Matrix::B, Matrix::C]);
        let a = first.sums(0..r1cs.wires, &|entry| of(Matrix::A, entry).then(|| (&lagrange, at(entry))));
        let b1 = first.sums(0..r1cs.wires, &|entry| of(Matrix::B, entry).then(|| (&lagrange, at(entry))));
        let lagrange2 = second.bases(lagrange2, &[Matrix::B]);
        let b2 = second.sums(0..r1cs.wires, &|entry| of(Matrix::B, entry).then(|| (&lagrange2, at(entry))));
        drop((lagrange2, second));
        let (of_a, of_b) = (first.bases(of_beta, &[Matrix::A]), first.bases(of_alpha, &[Matrix::B]));
        let mut ic = first.sums(0..r1cs.wires, &|entry| {
            let bases = match entry.matrix {
                Matrix::A => &of_a,
                Matrix::B => &of_b,
                Matrix::C => &lagrange,
            };
            Some((bases, at(entry)))
        });
        let c = ic.split_off(publics + 1);
        let h = double.iter().skip(1).step_by(2).copied().collect();
        let (alpha, beta, beta2) = powers.single();
        let (g1, g2) = (G1Affine::generator(), G2Affine::generator());
        let mut key = Self {
            wires: r1cs.wires,
            publics,
            domain,
            alpha,
            beta,
            beta2,
            gamma2: g2,
            delta: g1,
            delta2: g2,
            ic,
            coefficients,
            a,
            b1,
            b2,
            c,
            h,
            circuit_hash: [0; 64],
            contributions: Vec::new(),
        };
        key.circuit_hash = key.hash_circuit(powers, ptau)?;
        Ok(key)
    }

    /// The domain that a circuit takes, as a power of two: its rows, and one for each public wire.
    pub fn domain_of(r1cs: &R1cs) -> u32 {
        let rows = r1cs.rows.len() + r1cs.publics();
        usize::BITS - rows.leading_zeros()
    }

    /// What snarkjs calls the circuit's hash. Of H it takes the powers τ^(n+i) − τ^i, which stand in the file alone.
    fn hash_circuit(&self, powers: &Powers, ptau: &Path) -> Result<[u8; 64], CeremonyError> {
        let file = Ptau::open(ptau)?;
        if powers.source() != hex::encode(file.hash()) {
            return Err(CeremonyError::Refused(format!("{}: the powers were not imported from this file", ptau.display())));
        }
        let mut hasher = Blake2b512::new();
        [self.alpha, self.beta].iter().for_each(|point| hasher.update(point.words()));
        hasher.update(self.beta2.words());
        hasher.update(self.gamma2.words());
        hasher.update(G1Affine::generator().words());
        hasher.update(G2Affine::generator().words());
        hash_list(&mut hasher, &self.ic);
        let count = self.domain - 1;
        hasher.update((count as u32).to_be_bytes());
        for start in (0..count).step_by(RUN) {
            let length = count.min(RUN);
            let mut upper: Vec<G1Affine> = file.points(section::TAU_G1, start + self.domain..start + self.domain + length)?;
            let lower: Vec<G1Affine> = file.points(section::TAU_G1, start..start + length)?;
            Adder::default().add(&mut upper, &lower.into_iter().map(|point| -point).collect::<Vec<_>>());
            upper.iter().for_each(|point| hasher.update(point.words()));
        }
        hash_list(&mut hasher, &self.c);
        hash_list(&mut hasher, &self.a);
        hash_list(&mut hasher, &self.b1);
        hash_list(&mut hasher, &self.b2);
        Ok(hasher.finalize().into())
    }

    fn accumulated(&self) -> Blake2b512 {
        let mut hasher = Blake2b512::new().chain_update(self.circuit_hash);
        self.contributions.iter().for_each(|contribution| contribution.hash_into(&mut hasher));
        hasher
    }

    /// Whether a beacon has been applied: nothing may follow it.
    pub fn is_closed(&self) -> bool {
        self.contributions.last().is_some_and(|last| last.beacon.is_some())
    }

    /// Contributes: draws a secret, applies it and forgets it. Gives the hash to publish, which snarkjs prints too.
    ///
    /// # Errors
    /// [`CeremonyError::Refused`] after the beacon; as [`Zkey::check`]. The key is then as it was.
    pub fn contribute(&mut self, name: &str, initial: &Self, rng: &mut dyn CryptoRngCore) -> Result<[u8; 64], CeremonyError> {
        check_name(name)?;
        if self.is_closed() {
            return Err(CeremonyError::Refused("the key is closed: its beacon has been applied".into()));
        }
        self.check(initial, rng)?;
        let secret = loop {
            let x = Fr::rand(rng);
            if !x.is_zero() && !x.square().is_one() {
                break Secret(x);
            }
        };
        self.apply(name, None, &secret, G1Affine::rand(rng))
    }

    /// Closes the key with a beacon's value, hashed 2^`exponent` times. Gives the hash of it.
    ///
    /// # Errors
    /// [`CeremonyError::Refused`] before a contribution, after a beacon, and for a value or exponent that is out of range.
    pub fn close(&mut self, name: &str, value: &[u8], exponent: u8) -> Result<[u8; 64], CeremonyError> {
        check_name(name)?;
        check_value(value).map_err(CeremonyError::Refused)?;
        let fits = value.len() <= usize::from(u8::MAX) && u32::from(exponent) <= MOST_ITERATIONS;
        if self.contributions.is_empty() || !fits {
            return Err(CeremonyError::Refused("nobody has contributed yet, or the beacon is too long".into()));
        }
        let mut stream = Stream::of_beacon(value, exponent.into());
        let secret = Secret(stream.scalar());
        self.apply(name, Some((value.to_vec(), exponent)), &secret, stream.g1())
    }

    fn apply(&mut self, name: &str, beacon: Option<BeaconValue>, secret: &Secret, s: G1Affine) -> Result<[u8; 64], CeremonyError> {
        if self.is_closed() {
            return Err(CeremonyError::Refused("the key is closed: its beacon has been applied".into()));
        }
        let over = Secret(secret.0.inverse().ok_or_else(|| CeremonyError::Refused("the secret is zero".into()))?);
        let sx = (s * secret.0).into_affine();
        let transcript: [u8; 64] = self.accumulated().chain_update(s.words()).chain_update(sx.words()).finalize().into();
        let spx = (hash_to_g2(&transcript) * secret.0).into_affine();
        self.delta = (self.delta * secret.0).into_affine();
        self.delta2 = (self.delta2 * secret.0).into_affine();
        let over = Scalar::new(&over.0);
        for list in [&mut self.c, &mut self.h] {
            *list = products(list, &|_| &over);
        }
        let contribution = ZkeyContribution { delta: self.delta, s, sx, spx, transcript, name: name.into(), beacon };
        let hash = contribution.hash();
        self.contributions.push(contribution);
        Ok(hash)
    }

    /// Verifies a key that is in use, from the circuit and the powers on: `initial` is what [`Zkey::begin`] gives.
    ///
    /// # Errors
    /// [`CeremonyError::Invalid`] says what is wrong, also where nobody has contributed; [`CeremonyError::Key`] for a key that verifies
    /// anything.
    pub fn verify(&self, initial: &Self, rng: &mut dyn CryptoRngCore) -> Result<(), CeremonyError> {
        if self.contributions.is_empty() {
            return Err(CeremonyError::Invalid("nobody has contributed, so that everybody knows its δ".into()));
        }
        self.check(initial, rng)?;
        self.verifying_key()?;
        Ok(())
    }

    /// Checks what a contributor must know before a secret is drawn: whoever divides points that are not the key's divides what somebody
    /// else likes, and an IC point over δ proves any public signals.
    ///
    /// # Errors
    /// [`CeremonyError::Invalid`] says what is wrong.
    pub fn check(&self, initial: &Self, rng: &mut dyn CryptoRngCore) -> Result<(), CeremonyError> {
        let invalid = |reason: String| Err(CeremonyError::Invalid(reason));
        let mut hasher = Blake2b512::new().chain_update(self.circuit_hash);
        let (g1, g2) = (G1Affine::generator(), G2Affine::generator());
        let mut delta = g1;
        for (index, contribution) in self.contributions.iter().enumerate() {
            let wrong =
                |reason: &str| Err(CeremonyError::Invalid(format!("contribution {} ({:?}): {reason}", index + 1, contribution.name)));
            let ZkeyContribution { delta: after, s, sx, spx, transcript, .. } = contribution;
            let expected: [u8; 64] = hasher.clone().chain_update(s.words()).chain_update(sx.words()).finalize().into();
            if *transcript != expected {
                return wrong("its transcript is not that of what came before");
            }
            let p = hash_to_g2(transcript);
            if !same_ratio(*s, *sx, p, *spx) {
                return wrong("it does not prove that its secret was known");
            }
            if !same_ratio(delta, *after, p, *spx) || after.x == delta.x || after.x == g1.x {
                return wrong("δ is not the one before times its secret, or is ± the one before or ±1");
            }
            if let Some((value, exponent)) = &contribution.beacon {
                if index + 1 != self.contributions.len() || u32::from(*exponent) > MOST_ITERATIONS {
                    return wrong("a beacon is no last contribution, or is hashed too often");
                }
                check_value(value).map_err(CeremonyError::Invalid)?;
                let mut stream = Stream::of_beacon(value, (*exponent).into());
                let secret = stream.scalar();
                let point = stream.g1();
                if (*s, *sx) != (point, (point * secret).into_affine()) {
                    return wrong("it is not what the beacon's value gives");
                }
            }
            contribution.hash_into(&mut hasher);
            delta = *after;
        }
        if self.delta != delta || !same_ratio(g1, delta, g2, self.delta2) {
            return invalid("δ is not that of the last contribution, or not the same in G2".into());
        }
        // What contributions change is put back; everything else must then be the initial key.
        let mut begun = self.clone();
        begun.contributions.clear();
        (begun.delta, begun.delta2) = (g1, g2);
        begun.c.clone_from(&initial.c);
        begun.h.clone_from(&initial.h);
        if begun != *initial {
            return invalid("it does not begin with the key that its circuit and these powers of tau give".into());
        }
        for (what, points, first) in [("C", &self.c, &initial.c), ("H", &self.h, &initial.h)] {
            if !is_over(points, first, self.delta2, rng) {
                return invalid(format!("{what} is not what it began with over δ"));
            }
        }
        Ok(())
    }
}

impl ZkeyContribution {
    fn hash_into(&self, hasher: &mut Blake2b512) {
        [self.delta, self.s, self.sx].iter().for_each(|point| hasher.update(point.words()));
        hasher.update(self.spx.words());
        hasher.update(self.transcript);
    }

    /// The hash that its contributor should have published.
    pub fn hash(&self) -> [u8; 64] {
        let mut hasher = Blake2b512::new();
        self.hash_into(&mut hasher);
        hasher.finalize().into()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    use super::*;

    fn rng() -> ChaCha20Rng {
        ChaCha20Rng::from_seed([5; 32])
    }

    /// A key that nobody has contributed to: of no circuit, for the second phase does not look at one.
    fn initial() -> Zkey {
        let mut rng = rng();
        let mut points = |count: usize| (0..count).map(|_| G1Affine::rand(&mut rng)).collect::<Vec<_>>();
        let (single, ic, a, b1, c, h) = (points(2), points(2), points(4), points(4), points(2), points(2));
        Zkey {
            wires: 4,
            publics: 1,
            domain: 2,
            alpha: single[0],
            beta: single[1],
            beta2: G2Affine::rand(&mut rng),
            gamma2: G2Affine::generator(),
            delta: G1Affine::generator(),
            delta2: G2Affine::generator(),
            ic,
            coefficients: Vec::new(),
            a,
            b1,
            b2: (0..4).map(|_| G2Affine::rand(&mut rng)).collect(),
            c,
            h,
            circuit_hash: [9; 64],
            contributions: Vec::new(),
        }
    }

    fn applied(mut key: Zkey, secret: Fr, beacon: Option<BeaconValue>) -> Zkey {
        key.apply("Eve", beacon, &Secret(secret), G1Affine::rand(&mut rng())).unwrap();
        key
    }

    fn says(result: Result<impl std::fmt::Debug, CeremonyError>, what: &str) {
        let error = result.unwrap_err().to_string();
        assert!(error.contains(what), "{error}");
    }

    #[test]
    fn contributions_are_made_and_verified() {
        let (first, mut key) = (initial(), initial());
        for name in ["Ada", "Ben"] {
            key.check(&first, &mut rng()).unwrap();
            key.contribute(name, &first, &mut rng()).unwrap();
        }
        key.verify(&first, &mut rng()).unwrap();
        key.close("drand", &[7; 32], 4).unwrap();
        key.verify(&first, &mut rng()).unwrap();
        says(key.contribute("Cy", &first, &mut rng()), "closed");
        says(first.verify(&first, &mut rng()), "nobody has contributed");
    }

    /// An honest contributor divides what it is handed: a point of IC in C's place would come back as IC/δ, which proves any public signals.
    #[test]
    fn attack_a_contributor_with_other_points() {
        let first = initial();
        for change in [
            (|key: &mut Zkey| key.c[0] = key.ic[1]) as fn(&mut Zkey),
            |key| key.c.swap(0, 1),
            |key| key.h[1] = key.ic[0],
            |key| key.ic[1] = key.c[0],
            |key| key.delta = key.alpha,
            |key| key.delta2 = key.beta2,
            |key| key.gamma2 = key.beta2,
            |key| key.circuit_hash[3] ^= 1,
        ] {
            for contributed in [false, true] {
                let mut key = initial();
                if contributed {
                    key.contribute("Ada", &first, &mut rng()).unwrap();
                }
                change(&mut key);
                let before = key.clone();
                assert!(key.contribute("Ben", &first, &mut rng()).is_err());
                assert!(key == before, "a key that was refused has changed");
            }
        }
    }

    #[test]
    fn attack_deltas_that_come_back() {
        let first = initial();
        let x = Fr::from(12345u64);
        for second in [x.inverse().unwrap(), -x.inverse().unwrap()] {
            says(applied(applied(first.clone(), x, None), second, None).verify(&first, &mut rng()), "±1");
        }
        for second in [Fr::one(), -Fr::one()] {
            says(applied(applied(first.clone(), x, None), second, None).verify(&first, &mut rng()), "± the one before");
        }
        let mut stream = Stream::of_beacon(&[7; 3], 1);
        let secret = stream.scalar();
        let mut short = applied(first.clone(), x, None);
        short.apply("drand", Some((vec![7; 3], 1)), &Secret(secret), stream.g1()).unwrap();
        says(short.verify(&first, &mut rng()), "16 to 256 bytes");
        says(applied(applied(first.clone(), x, None), x, Some((vec![7; 32], 1))).verify(&first, &mut rng()), "beacon's value");
    }
}
