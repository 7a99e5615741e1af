//! Contributions: a secret factor for each delta of each circuit, and a proof that it was known.
//!
//! ```text
//! h_0 = keccak256(tag ‖ keccak256(beacon) ‖ exponent ‖ circuits ‖ for each: keccak256(name) ‖ hash of its initial key)
//! h_i = keccak256(tag ‖ h_(i−1) ‖ kind ‖ keccak256(name) ‖ keccak256(beacon's value)
//!                 ‖ for each delta: δ in G1 ‖ δ in G2 ‖ s ‖ x·s ‖ x·p)
//! p   = the point of G2 that stands for BLAKE2b(tag ‖ h_(i−1) ‖ keccak256(name) ‖ circuit ‖ delta ‖ s ‖ x·s)
//! ```
//!
//! x·p with nobody knowing the logarithm of p shows that x was known (Bowe, Gabizon, Miers, eprint 2017/1050, section 3); p depends on
//! everything before, on the name and on the place, so that no proof can be used again.

use std::collections::BTreeMap;

use ark_bn254::{Fr, G1Affine, G2Affine};
use ark_ec::{AffineRepr, CurveGroup};
use ark_ff::{UniformRand, Zero};
use blake2::{Blake2b512, Digest};
use rand_core::CryptoRngCore;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop};
use zkslice_formats::{keccak, push_number, tag};

use crate::CeremonyError;
use crate::points::{Point, same_ratio};
use crate::snarkjs::{Stream, hash_to_g2};

/// Deltas of a circuit.
pub(crate) const DELTAS: usize = 2;
const MOST_NAME: usize = 64;
/// Iterations of a beacon are two to this power at most: everyone who verifies hashes them.
pub(crate) const MOST_ITERATIONS: u32 = 26;

/// What a ceremony ends with: a value that nobody can know yet when it begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Beacon {
    /// What the value will be, for people to look it up: a drand round or the hash of a block.
    pub source: String,
    /// The value is hashed 2^exponent times.
    pub exponent: u32,
}

/// What a contribution did to one delta.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The new δ in both groups.
    pub delta: (G1Affine, G2Affine),
    /// A random point, and x times it.
    pub s: (G1Affine, G1Affine),
    /// x·p.
    pub spx: G2Affine,
}

/// One contributor's work, or the beacon's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contribution {
    /// What the contributor is called.
    pub name: String,
    /// The beacon's value; none for a contributor.
    pub beacon: Option<Vec<u8>>,
    /// For each circuit what became of δ1 and δ2.
    pub parts: Vec<[Part; DELTAS]>,
}

/// Secrets of one contribution. Zeroized on drop.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(crate) struct Secrets(pub(crate) Vec<[Fr; DELTAS]>);

impl Secrets {
    /// One secret for each delta of each circuit: neither 0 nor ±1.
    fn draw(circuits: usize, mut next: impl FnMut() -> Fr) -> Self {
        let mut secret = || {
            loop {
                let x = next();
                if !x.is_zero() && x * x != Fr::from(1) {
                    return x;
                }
            }
        };
        Self((0..circuits).map(|_| std::array::from_fn(|_| secret())).collect())
    }

    pub(crate) fn of(&self, circuit: usize) -> &[Fr; DELTAS] {
        &self.0[circuit]
    }
}

/// A place in a ceremony: what a proof of knowledge is bound to.
struct Place<'a> {
    before: &'a [u8; 32],
    name: &'a str,
    circuit: usize,
    delta: usize,
}

impl Place<'_> {
    /// p: the point of G2 to which the secret is applied.
    fn point(&self, s: &(G1Affine, G1Affine)) -> G2Affine {
        let mut bytes = tag("zkslice/ceremony/knowledge/v1").to_vec();
        bytes.extend_from_slice(self.before);
        bytes.extend_from_slice(&keccak(self.name.as_bytes()));
        push_number(&mut bytes, self.circuit as u64);
        push_number(&mut bytes, self.delta as u64);
        bytes.extend(s.0.words());
        bytes.extend(s.1.words());
        hash_to_g2(&Blake2b512::digest(&bytes).into())
    }
}

/// Deltas of all circuits.
pub(crate) type Deltas = Vec<[(G1Affine, G2Affine); DELTAS]>;

pub(crate) fn first_deltas(circuits: usize) -> Deltas {
    vec![[(G1Affine::generator(), G2Affine::generator()); DELTAS]; circuits]
}

/// h_0.
pub(crate) fn first_hash<'a>(beacon: &Beacon, circuits: impl ExactSizeIterator<Item = (&'a str, &'a [u8; 32])>) -> [u8; 32] {
    let mut bytes = tag("zkslice/ceremony/v1").to_vec();
    bytes.extend_from_slice(&keccak(beacon.source.as_bytes()));
    push_number(&mut bytes, beacon.exponent);
    push_number(&mut bytes, circuits.len() as u64);
    for (name, hash) in circuits {
        bytes.extend_from_slice(&keccak(name.as_bytes()));
        bytes.extend_from_slice(hash);
    }
    keccak(&bytes)
}

/// A contributor's name.
pub(crate) fn check_name(name: &str) -> Result<(), CeremonyError> {
    check_text("a contributor's name", name, MOST_NAME)
}

/// Text that can stand in one line of a transcript, and looks like what it is.
pub(crate) fn check_text(what: &str, text: &str, most: usize) -> Result<(), CeremonyError> {
    let hides = |c: char| {
        let is_invisible = matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
        c.is_control() || is_invisible
    };
    if text.trim().is_empty() || text.len() > most || text.chars().any(hides) {
        return Err(CeremonyError::Refused(format!(
            "{what} has 1 to {most} bytes, and nothing that breaks or turns a line; {text:?} is not so"
        )));
    }
    Ok(())
}

impl Contribution {
    /// A contributor's, with secrets of the generator.
    pub(crate) fn draw(name: &str, before: &[u8; 32], deltas: &Deltas, rng: &mut dyn CryptoRngCore) -> (Self, Secrets) {
        let secrets = Secrets::draw(deltas.len(), || Fr::rand(rng));
        let contribution = Self::make(name, None, before, deltas, &secrets, || G1Affine::rand(rng));
        (contribution, secrets)
    }

    /// The beacon's.
    pub(crate) fn of_beacon(beacon: &Beacon, value: &[u8], before: &[u8; 32], deltas: &Deltas) -> (Self, Secrets) {
        let mut stream = Stream::of_beacon(value, beacon.exponent);
        let secrets = Secrets::draw(deltas.len(), || stream.scalar());
        let contribution = Self::make(&beacon.source, Some(value.to_vec()), before, deltas, &secrets, || stream.g1());
        (contribution, secrets)
    }

    pub(crate) fn make(
        name: &str,
        beacon: Option<Vec<u8>>,
        before: &[u8; 32],
        deltas: &Deltas,
        secrets: &Secrets,
        mut random: impl FnMut() -> G1Affine,
    ) -> Self {
        let mut parts = Vec::with_capacity(deltas.len());
        for (circuit, deltas) in deltas.iter().enumerate() {
            parts.push(std::array::from_fn(|delta| {
                let x = &secrets.of(circuit)[delta];
                let s = random();
                let s = (s, (s * x).into_affine());
                let place = Place { before, name, circuit, delta };
                let (first, second) = deltas[delta];
                Part { delta: ((first * x).into_affine(), (second * x).into_affine()), s, spx: (place.point(&s) * x).into_affine() }
            }));
        }
        Self { name: name.into(), beacon, parts }
    }

    /// h_i.
    pub(crate) fn hash(&self, before: &[u8; 32]) -> [u8; 32] {
        let mut bytes = tag("zkslice/ceremony/contribution/v1").to_vec();
        bytes.extend_from_slice(before);
        push_number(&mut bytes, u64::from(self.beacon.is_some()));
        bytes.extend_from_slice(&keccak(self.name.as_bytes()));
        bytes.extend_from_slice(&keccak(self.beacon.as_deref().unwrap_or_default()));
        for part in self.parts.iter().flatten() {
            let Part { delta, s, spx } = part;
            [delta.0.words(), delta.1.words(), s.0.words(), s.1.words(), spx.words()].iter().for_each(|words| bytes.extend(words));
        }
        keccak(&bytes)
    }

    /// Checks that it builds on these deltas, and that its secrets were known. `names` are the circuits'.
    pub(crate) fn check(&self, before: &[u8; 32], deltas: &Deltas, names: &[&str]) -> Result<(), CeremonyError> {
        let wrong = |what: String| Err(CeremonyError::Invalid(what));
        if self.parts.len() != deltas.len() {
            return wrong(format!("it has {} circuits, not {}", self.parts.len(), deltas.len()));
        }
        let (g1, g2) = (G1Affine::generator(), G2Affine::generator());
        for (circuit, (parts, deltas)) in self.parts.iter().zip(deltas).enumerate() {
            for (delta, (part, old)) in parts.iter().zip(deltas).enumerate() {
                let of = || format!("δ{} of {}", delta + 1, names.get(circuit).copied().unwrap_or_default());
                let place = Place { before, name: &self.name, circuit, delta };
                let p = place.point(&part.s);
                if !same_ratio(part.s.0, part.s.1, p, part.spx) {
                    return wrong(format!("it does not prove that its secret for {} was known, in this place and under this name", of()));
                }
                if !same_ratio(old.0, part.delta.0, p, part.spx) {
                    return wrong(format!("{} in G1 is not the one before times its secret", of()));
                }
                if !same_ratio(g1, part.delta.0, g2, part.delta.1) {
                    return wrong(format!("{} in G2 is not that in G1", of()));
                }
                if part.delta.0 == old.0 || part.delta.0 == -old.0 {
                    return wrong(format!("{} is what it was: the secret is ±1", of()));
                }
            }
        }
        distinct(&self.deltas(), names)
    }

    /// Checks that it is what the beacon gives.
    pub(crate) fn check_beacon(&self, beacon: &Beacon, value: &[u8], before: &[u8; 32], deltas: &Deltas) -> Result<(), CeremonyError> {
        let (made, _secrets) = Self::of_beacon(beacon, value, before, deltas);
        if made == *self { Ok(()) } else { Err(CeremonyError::Invalid("it is not what the beacon's value gives".into())) }
    }

    /// The deltas after it.
    pub(crate) fn deltas(&self) -> Deltas {
        self.parts.iter().map(|parts| std::array::from_fn(|delta| parts[delta].delta)).collect()
    }
}

/// Checks that no delta is ± another or ± the generator: one equal pair lets proofs of one circuit be used for another (rule B9).
fn distinct(deltas: &Deltas, names: &[&str]) -> Result<(), CeremonyError> {
    // By x alone: the same for a point and its negative.
    let mut seen = BTreeMap::from([(G1Affine::generator().x, "the generator".to_string())]);
    for (circuit, deltas) in deltas.iter().enumerate() {
        for (delta, (point, _)) in deltas.iter().enumerate() {
            let name = format!("δ{} of {}", delta + 1, names.get(circuit).copied().unwrap_or_default());
            if let Some(other) = seen.insert(point.x, name.clone()) {
                return Err(CeremonyError::Invalid(format!("{name} equals ±{other}")));
            }
        }
    }
    Ok(())
}
