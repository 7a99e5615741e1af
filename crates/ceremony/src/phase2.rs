//! Phase 2: δ1 and δ2 of every circuit, each a product of secrets of which nobody knows more than their own.
//!
//! A ceremony's file goes from hand to hand. It holds the transcript, and for each circuit the points that a contribution changes:
//!
//! ```text
//! δ_d ← x·δ_d in G1 and G2     K1 ← K1/x of δ1     K2, H ← K2/x, H/x of δ2
//! ```
//!
//! Everything else of a key is as it begins, so it is in no file: whoever verifies or finishes makes it again, from the circuits and the
//! powers. The transcript has the deltas after each contribution, so that whole sections are checked once, at the end, however many
//! contributed:
//!
//! ```text
//! e(Σρ_i·K_i, δ) = e(Σρ_i·K_i at the beginning, [1]₂)     ρ drawn by whoever verifies
//! ```

use std::path::Path;

use ark_bn254::{Fr, G1Affine, G1Projective, G2Affine};
use ark_ec::AffineRepr;
use ark_ff::{Field, UniformRand};
use rand_core::CryptoRngCore;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use zkslice_circuit::Circuit;
use zkslice_formats::{Sections, Word};
use zkslice_groth16::{KeyPoints, ProvingKey, WordGroup, check_deltas, g1_from_words, g2_from_words};

use crate::contribution::{Beacon, Contribution, DELTAS, Deltas, MOST_ITERATIONS, Part, check_name, first_deltas, first_hash};
use crate::initial::{Initial, normalized};
use crate::points::{Point, read_key, same_ratio, sum};
use crate::{CeremonyError, Powers};

const MARK: [u8; 8] = *b"zkslicP2";
const VERSION: u32 = 1;
/// Sections of a circuit, by name and delta.
const CHANGED: [(&str, usize); 3] = [("K1", 0), ("K2", 1), ("H", 1)];
/// Points that one thread multiplies at a time.
const BLOCK: usize = 1 << 10;

/// A circuit that a ceremony makes a key for.
pub trait Subject: Sync {
    /// What it is called, in the transcript too.
    fn name(&self) -> &str;

    /// How its public words are laid out.
    fn groups(&self) -> Vec<WordGroup>;

    /// The circuit.
    ///
    /// # Errors
    /// Why there is none.
    fn circuit(&self) -> Result<Circuit, CeremonyError>;
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    beacon: Beacon,
    circuits: Vec<HeaderCircuit>,
    contributions: Vec<HeaderContribution>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct HeaderCircuit {
    name: String,
    initial: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct HeaderContribution {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    beacon: Option<String>,
    /// For each circuit and delta: δ in G1, in G2, s, x·s, x·p, as EIP-197 writes them.
    parts: Vec<[String; DELTAS]>,
    hash: String,
}

/// Who contributed, and the hash that they should have published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attestation {
    /// What the contributor is called.
    pub name: String,
    /// The beacon's value; none for a contributor.
    pub beacon: Option<Vec<u8>>,
    /// Hash of the transcript up to here.
    pub hash: [u8; 32],
}

/// A ceremony, as far as it has got.
#[derive(Clone, Debug)]
pub struct Ceremony {
    pub(crate) beacon: Beacon,
    names: Vec<String>,
    /// Hashes of the circuits' initial keys.
    pub(crate) initial: Vec<[u8; 32]>,
    pub(crate) contributions: Vec<Contribution>,
    /// The sections of each circuit.
    pub(crate) sections: Vec<[Vec<u8>; CHANGED.len()]>,
}

/// What becomes of a verified key.
type Take<'a> = dyn FnMut(Initial, KeyPoints, &[WordGroup]) -> Result<(), CeremonyError> + 'a;

fn sections_of(points: &KeyPoints) -> [&[G1Affine]; CHANGED.len()] {
    [&points.k1, &points.k2, &points.h]
}

impl Ceremony {
    /// Begins a ceremony for these circuits.
    ///
    /// # Errors
    /// [`CeremonyError::Refused`] for names that are there twice or a beacon without a source; [`CeremonyError`].
    pub fn begin(
        subjects: &[&dyn Subject],
        powers: &Powers,
        beacon: Beacon,
        progress: &mut dyn FnMut(&str),
    ) -> Result<Self, CeremonyError> {
        check_beacon(&beacon)?;
        let names: Vec<String> = subjects.iter().map(|subject| subject.name().to_owned()).collect();
        check_names(&names)?;
        let (mut initial, mut sections) = (Vec::new(), Vec::new());
        for subject in subjects {
            progress(subject.name());
            let made = Initial::new(&subject.circuit()?, &subject.groups(), powers)?;
            sections.push(sections_of(&made.points).map(Point::raw));
            initial.push(made.hash);
        }
        Ok(Self { beacon, names, initial, contributions: Vec::new(), sections })
    }

    /// Opens a ceremony's file. What it says of itself is consistent then; whether it is true [`Ceremony::verify`] tells.
    ///
    /// # Errors
    /// [`CeremonyError::Malformed`]; [`CeremonyError::Invalid`] for a transcript whose hashes are not those of its contributions.
    pub fn open(path: &Path) -> Result<Self, CeremonyError> {
        let file = Sections::open(path, MARK, VERSION).map_err(CeremonyError::in_file(path))?;
        let malformed = |reason: String| CeremonyError::Malformed { file: path.display().to_string(), reason };
        let header: Header = file.header().map_err(CeremonyError::in_file(path))?;
        if file.count() != CHANGED.len() * header.circuits.len() {
            return Err(malformed("it has not the sections that its circuits call for".into()));
        }
        check_beacon(&header.beacon)?;
        let (mut names, mut initial) = (Vec::new(), Vec::new());
        for circuit in header.circuits {
            initial.push(hash(&circuit.initial).ok_or_else(|| malformed(format!("the hash of {} is not 32 bytes", circuit.name)))?);
            names.push(circuit.name);
        }
        check_names(&names)?;
        let sections = (0..names.len()).map(|i| std::array::from_fn(|s| file.section(CHANGED.len() * i + s).to_vec())).collect();
        let mut ceremony = Self { beacon: header.beacon, names, initial, contributions: Vec::new(), sections };
        for (index, read) in header.contributions.into_iter().enumerate() {
            let of = format!("contribution {} ({:?})", index + 1, read.name);
            check_name(&read.name)?;
            let parts = read.parts.iter().map(|pair| Some([part(&pair[0])?, part(&pair[1])?])).collect::<Option<Vec<_>>>();
            let beacon = read.beacon.as_ref().map(hex::decode).transpose().map_err(|error| malformed(format!("{of}: {error}")))?;
            let parts = parts.ok_or_else(|| CeremonyError::Invalid(format!("{of}: a point is infinite or no point of its group")))?;
            let before = ceremony.hash();
            let contribution = Contribution { name: read.name, beacon, parts };
            if hash(&read.hash) != Some(contribution.hash(&before)) {
                return Err(CeremonyError::Invalid(format!("{of}: its hash is not that of what it states and of what came before")));
            }
            ceremony.contributions.push(contribution);
        }
        Ok(ceremony)
    }

    /// Writes the file, whole or not at all.
    ///
    /// # Errors
    /// [`CeremonyError::Io`].
    pub fn save(&self, path: &Path) -> Result<(), CeremonyError> {
        let circuits = self.names.iter().zip(&self.initial);
        let mut before = self.first_hash();
        let mut contributions = Vec::with_capacity(self.contributions.len());
        for contribution in &self.contributions {
            before = contribution.hash(&before);
            contributions.push(HeaderContribution {
                name: contribution.name.clone(),
                beacon: contribution.beacon.as_ref().map(hex::encode),
                parts: contribution.parts.iter().map(|pair| pair.each_ref().map(text)).collect(),
                hash: hex::encode(before),
            });
        }
        let header = Header {
            beacon: self.beacon.clone(),
            circuits: circuits.map(|(name, hash)| HeaderCircuit { name: name.clone(), initial: hex::encode(hash) }).collect(),
            contributions,
        };
        let sections: Vec<&[u8]> = self.sections.iter().flatten().map(Vec::as_slice).collect();
        let file = Sections::new(MARK, VERSION, &header, &sections).map_err(CeremonyError::in_file(path))?;
        file.save(path).map_err(CeremonyError::io(path))
    }

    fn first_hash(&self) -> [u8; 32] {
        first_hash(&self.beacon, self.names.iter().map(String::as_str).zip(&self.initial))
    }

    /// Hash of the transcript so far.
    pub fn hash(&self) -> [u8; 32] {
        self.contributions.iter().fold(self.first_hash(), |before, contribution| contribution.hash(&before))
    }

    /// The circuits' names.
    pub fn circuits(&self) -> impl ExactSizeIterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    /// The beacon that it is to end with.
    pub fn beacon_plan(&self) -> &Beacon {
        &self.beacon
    }

    /// Who contributed so far.
    pub fn attestations(&self) -> Vec<Attestation> {
        let mut hash = self.first_hash();
        let attest = |contribution: &Contribution| {
            hash = contribution.hash(&hash);
            Attestation { name: contribution.name.clone(), beacon: contribution.beacon.clone(), hash }
        };
        self.contributions.iter().map(attest).collect()
    }

    /// Whether the beacon has been applied: nothing may follow it.
    pub fn is_closed(&self) -> bool {
        self.contributions.last().is_some_and(|last| last.beacon.is_some())
    }

    pub(crate) fn deltas(&self) -> Deltas {
        self.contributions.last().map_or_else(|| first_deltas(self.names.len()), Contribution::deltas)
    }

    /// Points that a contribution changes.
    pub fn points(&self) -> usize {
        self.sections.iter().flatten().map(Vec::len).sum::<usize>() / G1Affine::BYTES
    }

    /// Contributes: draws secrets, applies them and forgets them. `progress(done, all)` counts points. Gives the hash to publish.
    ///
    /// # Errors
    /// [`CeremonyError::Refused`] after the beacon; [`CeremonyError::Invalid`] for a transcript or points that are not valid. The ceremony is
    /// then as it was.
    pub fn contribute(
        &mut self,
        name: &str,
        rng: &mut dyn CryptoRngCore,
        progress: &(dyn Fn(usize, usize) + Sync),
    ) -> Result<[u8; 32], CeremonyError> {
        check_name(name)?;
        if self.is_closed() {
            return Err(CeremonyError::Refused("the ceremony is closed: its beacon has been applied".into()));
        }
        self.check_transcript()?;
        let (contribution, secrets) = Contribution::draw(name, &self.hash(), &self.deltas(), rng);
        self.apply(contribution, |circuit, delta| secrets.of(circuit)[delta], progress)
    }

    /// Closes the ceremony with the beacon's value. Gives the hash of the whole transcript.
    ///
    /// # Errors
    /// As [`Ceremony::contribute`]; [`CeremonyError::Refused`] where nobody has contributed yet.
    pub fn close(&mut self, value: &[u8], progress: &(dyn Fn(usize, usize) + Sync)) -> Result<[u8; 32], CeremonyError> {
        if value.len() < 16 {
            return Err(CeremonyError::Refused("a beacon's value has at least 16 bytes".into()));
        }
        if self.is_closed() || self.contributions.is_empty() {
            let why = if self.contributions.is_empty() { "nobody has contributed yet" } else { "the beacon has been applied already" };
            return Err(CeremonyError::Refused(format!("the ceremony cannot be closed: {why}")));
        }
        self.check_transcript()?;
        let (contribution, secrets) = Contribution::of_beacon(&self.beacon, value, &self.hash(), &self.deltas());
        self.apply(contribution, |circuit, delta| secrets.of(circuit)[delta], progress)
    }

    fn apply(
        &mut self,
        contribution: Contribution,
        secret: impl Fn(usize, usize) -> Fr,
        progress: &(dyn Fn(usize, usize) + Sync),
    ) -> Result<[u8; 32], CeremonyError> {
        let names: Vec<&str> = self.names.iter().map(String::as_str).collect();
        contribution.check(&self.hash(), &self.deltas(), &names)?;
        let all = self.points();
        let done = std::sync::atomic::AtomicUsize::new(0);
        let mut changed = Vec::with_capacity(self.sections.len());
        for (circuit, sections) in self.sections.iter().enumerate() {
            let mut new: [Vec<u8>; CHANGED.len()] = Default::default();
            for ((new, old), (name, delta)) in new.iter_mut().zip(sections).zip(CHANGED) {
                let points: Vec<G1Affine> = read_key(old, &format!("{name} of {}", names[circuit]))?;
                let factor = secret(circuit, delta).inverse().ok_or_else(|| CeremonyError::Refused("a secret is zero".into()))?;
                let scaled = points.par_chunks(BLOCK).map(|block| {
                    let scaled: Vec<G1Projective> = block.iter().map(|point| *point * factor).collect();
                    let done = done.fetch_add(block.len(), std::sync::atomic::Ordering::Relaxed) + block.len();
                    progress(done, all);
                    Point::raw(&normalized::<G1Affine>(&scaled))
                });
                *new = scaled.collect::<Vec<_>>().concat();
            }
            changed.push(new);
        }
        self.sections = changed;
        self.contributions.push(contribution);
        Ok(self.hash())
    }

    /// Checks that each contribution builds on the one before and proves that its secrets were known, and that a beacon's are the beacon's.
    ///
    /// # Errors
    /// [`CeremonyError::Invalid`] naming the contribution, the circuit and the delta.
    pub fn check_transcript(&self) -> Result<(), CeremonyError> {
        let names: Vec<&str> = self.names.iter().map(String::as_str).collect();
        let (mut before, mut deltas) = (self.first_hash(), first_deltas(self.names.len()));
        for (index, contribution) in self.contributions.iter().enumerate() {
            let checked = match &contribution.beacon {
                Some(_) if index + 1 != self.contributions.len() => Err(CeremonyError::Invalid("something follows the beacon".into())),
                Some(_) if index == 0 => Err(CeremonyError::Invalid("nobody contributed before the beacon".into())),
                Some(value) => contribution.check_beacon(&self.beacon, value, &before, &deltas),
                None => Ok(()),
            };
            let checked = checked.and_then(|()| contribution.check(&before, &deltas, &names));
            checked.map_err(|error| match error {
                CeremonyError::Invalid(reason) => {
                    CeremonyError::Invalid(format!("contribution {} ({:?}): {reason}", index + 1, contribution.name))
                }
                error => error,
            })?;
            (before, deltas) = (contribution.hash(&before), contribution.deltas());
        }
        Ok(())
    }

    /// Verifies everything, from the circuits and the powers on.
    ///
    /// # Errors
    /// [`CeremonyError::Invalid`] says what is wrong.
    pub fn verify(
        &self,
        subjects: &[&dyn Subject],
        powers: &Powers,
        rng: &mut dyn CryptoRngCore,
        progress: &mut dyn FnMut(&str),
    ) -> Result<(), CeremonyError> {
        self.keys(subjects, powers, rng, progress, &mut |_, _, _| Ok(()))
    }

    /// Verifies everything and gives the finished keys, which carry the transcript's hash.
    ///
    /// # Errors
    /// As [`Ceremony::verify`]; [`CeremonyError::Refused`] before the beacon.
    pub fn finish(
        &self,
        subjects: &[&dyn Subject],
        powers: &Powers,
        rng: &mut dyn CryptoRngCore,
        progress: &mut dyn FnMut(&str),
    ) -> Result<Vec<ProvingKey>, CeremonyError> {
        if !self.is_closed() {
            return Err(CeremonyError::Refused(format!(
                "the ceremony is not closed: apply its beacon ({}) first, so that the last contributor cannot choose the keys",
                self.beacon.source
            )));
        }
        let (mut keys, transcript) = (Vec::new(), self.hash());
        self.keys(subjects, powers, rng, progress, &mut |initial, points, groups| {
            keys.push(ProvingKey::from_points(initial.layout, groups, Some(transcript), &points)?);
            Ok(())
        })?;
        check_deltas(keys.iter().map(ProvingKey::verifying_key))?;
        Ok(keys)
    }

    fn keys(
        &self,
        subjects: &[&dyn Subject],
        powers: &Powers,
        rng: &mut dyn CryptoRngCore,
        progress: &mut dyn FnMut(&str),
        take: &mut Take<'_>,
    ) -> Result<(), CeremonyError> {
        let invalid = |reason: String| Err(CeremonyError::Invalid(reason));
        let names: Vec<&str> = subjects.iter().map(|subject| subject.name()).collect();
        if names != self.names {
            return invalid(format!("it is for {}, not for {}", self.names.join(", "), names.join(", ")));
        }
        progress("the transcript");
        self.check_transcript()?;
        let deltas = self.deltas();
        for (circuit, subject) in subjects.iter().enumerate() {
            let name = subject.name();
            progress(name);
            let groups = subject.groups();
            let initial = Initial::new(&subject.circuit()?, &groups, powers)?;
            if initial.hash != self.initial[circuit] {
                return invalid(format!("{name} does not begin with the key that its circuit and these powers of tau give"));
            }
            let mut points = initial.points.clone();
            for (section, (label, delta)) in CHANGED.into_iter().enumerate() {
                let what = format!("{label} of {name}");
                let made: Vec<G1Affine> = read_key(&self.sections[circuit][section], &what)?;
                if !is_over(&made, sections_of(&initial.points)[section], deltas[circuit][delta].1, rng) {
                    return invalid(format!("{what} is not what it began with over δ{}", delta + 1));
                }
                match section {
                    0 => points.k1 = made,
                    1 => points.k2 = made,
                    _ => points.h = made,
                }
            }
            let [first, second] = deltas[circuit];
            points.single[2..].copy_from_slice(&[first.0, second.0]);
            points.single2[1..].copy_from_slice(&[first.1, second.1]);
            take(initial, points, &groups)?;
        }
        Ok(())
    }
}

/// Whether each of these points is that of the other list over δ.
fn is_over(points: &[G1Affine], initial: &[G1Affine], delta: G2Affine, rng: &mut dyn CryptoRngCore) -> bool {
    let infinite = |(a, b): (&G1Affine, &G1Affine)| a.is_zero() == b.is_zero();
    if points.len() != initial.len() || !points.iter().zip(initial).all(infinite) {
        return false;
    }
    if initial.iter().all(AffineRepr::is_zero) {
        return true;
    }
    let rho: Vec<Fr> = points.iter().map(|_| Fr::rand(rng)).collect();
    same_ratio(sum(points, &rho), sum(initial, &rho), G2Affine::generator(), delta)
}

fn check_beacon(beacon: &Beacon) -> Result<(), CeremonyError> {
    check_name(&beacon.source)?;
    if beacon.exponent > MOST_ITERATIONS {
        return Err(CeremonyError::Refused(format!("a beacon is hashed 2^{MOST_ITERATIONS} times at most, not 2^{}", beacon.exponent)));
    }
    Ok(())
}

fn check_names(names: &[String]) -> Result<(), CeremonyError> {
    if names.is_empty() {
        return Err(CeremonyError::Refused("a ceremony has at least one circuit".into()));
    }
    for (index, name) in names.iter().enumerate() {
        check_name(name)?;
        if names[..index].contains(name) {
            return Err(CeremonyError::Refused(format!("two circuits are called {name:?}")));
        }
    }
    Ok(())
}

fn hash(text: &str) -> Option<[u8; 32]> {
    hex::decode(text).ok()?.try_into().ok()
}

fn text(part: &Part) -> String {
    let Part { delta, s, spx } = part;
    hex::encode([delta.0.words(), delta.1.words(), s.0.words(), s.1.words(), spx.words()].concat())
}

fn part(text: &str) -> Option<Part> {
    let bytes = hex::decode(text).ok()?;
    let (words, rest) = bytes.as_chunks::<32>();
    let words: &[Word; 14] = words.try_into().ok().filter(|_| rest.is_empty())?;
    let g1 = |at: usize| g1_from_words(&[words[at], words[at + 1]], "").ok().filter(|point| !point.is_zero());
    let g2 = |at: usize| g2_from_words(&std::array::from_fn(|i| words[at + i]), "").ok().filter(|point| !point.is_zero());
    Some(Part { delta: (g1(0)?, g2(2)?), s: (g1(6)?, g1(8)?), spx: g2(10)? })
}
