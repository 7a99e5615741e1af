//! Phase 2: δ1 and δ2 of every circuit, each a product of secrets of which nobody knows more than their own.
//!
//! A ceremony's file goes from hand to hand. It holds the transcript, and for each circuit the points that a contribution changes, as they
//! began and as they are:
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
//!
//! A contributor checks that too, before any secret is drawn: whoever divides points that are not the key's divides what somebody
//! else likes, and an IC point over δ2 proves every statement. The points as they began are in the file for that; the transcript's first
//! hash binds them.

use std::collections::BTreeSet;
use std::path::Path;

use ark_bn254::{Fr, G1Affine, G2Affine};
use ark_ec::AffineRepr;
use ark_ff::{Field, UniformRand};
use rand_core::CryptoRngCore;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;
use zkslice_circuit::Circuit;
use zkslice_formats::{Sections, Word, keccak};
use zkslice_groth16::{KeyPoints, ProvingKey, WordGroup, check_deltas, g1_from_words, g2_from_words};

use crate::contribution::{Beacon, Contribution, DELTAS, Deltas, MOST_ITERATIONS, Part, check_name, check_text, first_deltas, first_hash};
use crate::initial::{Initial, states};
use crate::multiply::{Scalar, products};
use crate::points::{Point, read_key, same_ratio, sum};
use crate::{CeremonyError, Powers};

const VERSION: u32 = 1;
/// Sections of a circuit, by name and delta.
const CHANGED: [(&str, usize); 3] = [("K1", 0), ("K2", 1), ("H", 1)];
/// Sections of a circuit in the file: as they began, and as they are.
const OF_CIRCUIT: usize = 2 * CHANGED.len();
const MOST_CONTRIBUTIONS: usize = 10_000;
const MOST_CIRCUITS: usize = 1_000;
/// Bytes of a circuit's name, of a beacon's source and of its value.
const MOST_TEXT: usize = 256;
const LEAST_VALUE: usize = 16;
/// Points that are multiplied between two signs of progress.
const BLOCK: usize = 1 << 13;

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
    pub(crate) circuits: Vec<CircuitState>,
    pub(crate) contributions: Vec<Contribution>,
}

#[derive(Clone, Debug)]
pub(crate) struct CircuitState {
    pub(crate) name: String,
    /// What states its first key.
    pub(crate) statement: Vec<u8>,
    /// What contributions change, as it began.
    pub(crate) first: [Vec<u8>; CHANGED.len()],
    /// The same as it is.
    pub(crate) sections: [Vec<u8>; CHANGED.len()],
}

fn sections_of(points: &KeyPoints) -> [&[G1Affine]; CHANGED.len()] {
    [&points.k1, &points.k2, &points.h]
}

impl Ceremony {
    /// How its files begin.
    pub const MARK: [u8; 8] = *b"zkslicP2";

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
        let mut circuits = Vec::with_capacity(subjects.len());
        check_names(subjects.iter().map(|subject| subject.name()))?;
        for subject in subjects {
            progress(subject.name());
            let Initial { points, statement, .. } = Initial::new(&subject.circuit()?, &subject.groups(), powers)?;
            let first = sections_of(&points).map(Point::raw);
            circuits.push(CircuitState { name: subject.name().to_owned(), statement, sections: first.clone(), first });
        }
        Ok(Self { beacon, circuits, contributions: Vec::new() })
    }

    /// Opens a ceremony's file. What it says of itself is consistent then; whether it is true [`Ceremony::verify`] tells.
    ///
    /// # Errors
    /// [`CeremonyError::Malformed`]; [`CeremonyError::Invalid`] for a transcript whose hashes are not those of its contributions.
    pub fn open(path: &Path) -> Result<Self, CeremonyError> {
        let file = Sections::open(path, Self::MARK, VERSION).map_err(CeremonyError::in_file(path))?;
        let malformed = |reason: String| CeremonyError::Malformed { file: path.display().to_string(), reason };
        let header: Header = file.header().map_err(CeremonyError::in_file(path))?;
        if file.count() != OF_CIRCUIT * header.circuits.len() || header.circuits.len() > MOST_CIRCUITS {
            return Err(malformed("it has not the sections that its circuits call for".into()));
        }
        if header.contributions.len() > MOST_CONTRIBUTIONS {
            return Err(malformed(format!("it has more than {MOST_CONTRIBUTIONS} contributions")));
        }
        check_beacon(&header.beacon)?;
        check_names(header.circuits.iter().map(|circuit| circuit.name.as_str()))?;
        let mut circuits = Vec::with_capacity(header.circuits.len());
        for (index, HeaderCircuit { name, initial }) in header.circuits.into_iter().enumerate() {
            let section = |at: usize| file.section(OF_CIRCUIT * index + at).to_vec();
            let (first, sections) = (std::array::from_fn(section), std::array::from_fn(|at| section(CHANGED.len() + at)));
            let statement = hex::decode(initial).map_err(|error| malformed(format!("what states {name:?}: {error}")))?;
            if !states(&statement, &first) {
                return Err(CeremonyError::Invalid(format!("{name:?} does not begin with the points that it states")));
            }
            circuits.push(CircuitState { name, statement, first, sections });
        }
        let mut ceremony = Self { beacon: header.beacon, circuits, contributions: Vec::new() };
        let mut before = ceremony.first_hash();
        for (index, read) in header.contributions.into_iter().enumerate() {
            let of = format!("contribution {} ({:?})", index + 1, read.name);
            match &read.beacon {
                None => check_name(&read.name)?,
                Some(_) => check_text("what the beacon was", &read.name, MOST_TEXT)?,
            }
            let parts = read.parts.iter().map(|pair| Some([part(&pair[0])?, part(&pair[1])?])).collect::<Option<Vec<_>>>();
            let beacon = read.beacon.as_ref().map(hex::decode).transpose().map_err(|error| malformed(format!("{of}: {error}")))?;
            let parts = parts.ok_or_else(|| CeremonyError::Invalid(format!("{of}: a point is infinite or no point of its group")))?;
            let contribution = Contribution { name: read.name, beacon, parts };
            before = contribution.hash(&before);
            if hash(&read.hash) != Some(before) {
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
        let circuit = |circuit: &CircuitState| HeaderCircuit { name: circuit.name.clone(), initial: hex::encode(&circuit.statement) };
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
        let header = Header { beacon: self.beacon.clone(), circuits: self.circuits.iter().map(circuit).collect(), contributions };
        let sections = self.circuits.iter().flat_map(|circuit| circuit.first.iter().chain(&circuit.sections));
        let sections: Vec<&[u8]> = sections.map(Vec::as_slice).collect();
        let file = Sections::new(Self::MARK, VERSION, &header, &sections).map_err(CeremonyError::in_file(path))?;
        file.save(path).map_err(CeremonyError::io(path))
    }

    fn first_hash(&self) -> [u8; 32] {
        let hashes: Vec<[u8; 32]> = self.circuits.iter().map(|circuit| keccak(&circuit.statement)).collect();
        first_hash(&self.beacon, self.circuits.iter().map(|circuit| circuit.name.as_str()).zip(&hashes))
    }

    /// Hash of the transcript so far.
    pub fn hash(&self) -> [u8; 32] {
        self.contributions.iter().fold(self.first_hash(), |before, contribution| contribution.hash(&before))
    }

    /// The circuits' names.
    pub fn circuits(&self) -> impl ExactSizeIterator<Item = &str> {
        self.circuits.iter().map(|circuit| circuit.name.as_str())
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

    /// Whether it began as another did.
    pub fn is_of(&self, begun: &Self) -> bool {
        self.first_hash() == begun.first_hash()
    }

    /// Checks that it is another with one contribution more, under this name. Whether that is good [`Ceremony::check`] tells.
    ///
    /// # Errors
    /// [`CeremonyError::Refused`] where it is not.
    pub fn follows(&self, before: &Self, name: &str) -> Result<(), CeremonyError> {
        if !self.is_of(before) {
            return Err(CeremonyError::Refused("it is another ceremony".into()));
        }
        let added = self.contributions.strip_prefix(&before.contributions[..]);
        let Some([contribution]) = added.filter(|_| !self.is_closed()) else {
            return Err(CeremonyError::Refused(
                "it is not the ceremony with one contribution more: get it again and contribute to that".into(),
            ));
        };
        if contribution.name != name {
            return Err(CeremonyError::Refused(format!("the contribution is {:?}'s, and it is the turn of {name:?}", contribution.name)));
        }
        Ok(())
    }

    /// Whether the beacon has been applied: nothing may follow it.
    pub fn is_closed(&self) -> bool {
        self.contributions.last().is_some_and(|last| last.beacon.is_some())
    }

    pub(crate) fn deltas(&self) -> Deltas {
        self.contributions.last().map_or_else(|| first_deltas(self.circuits.len()), Contribution::deltas)
    }

    /// Points that a contribution changes.
    pub fn points(&self) -> usize {
        self.circuits.iter().flat_map(|circuit| &circuit.sections).map(Vec::len).sum::<usize>() / G1Affine::BYTES
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
        self.check(rng)?;
        let (contribution, secrets) = Contribution::draw(name, &self.hash(), &self.deltas(), rng);
        self.apply(contribution, |circuit, delta| secrets.of(circuit)[delta], progress)
    }

    /// Closes the ceremony with the beacon's value. Gives the hash of the whole transcript.
    ///
    /// # Errors
    /// As [`Ceremony::contribute`]; [`CeremonyError::Refused`] where nobody has contributed yet.
    pub fn close(
        &mut self,
        value: &[u8],
        rng: &mut dyn CryptoRngCore,
        progress: &(dyn Fn(usize, usize) + Sync),
    ) -> Result<[u8; 32], CeremonyError> {
        check_value(value).map_err(CeremonyError::Refused)?;
        if self.is_closed() || self.contributions.is_empty() {
            let why = if self.contributions.is_empty() { "nobody has contributed yet" } else { "the beacon has been applied already" };
            return Err(CeremonyError::Refused(format!("the ceremony cannot be closed: {why}")));
        }
        self.check(rng)?;
        let (contribution, secrets) = Contribution::of_beacon(&self.beacon, value, &self.hash(), &self.deltas());
        self.apply(contribution, |circuit, delta| secrets.of(circuit)[delta], progress)
    }

    fn apply(
        &mut self,
        contribution: Contribution,
        secret: impl Fn(usize, usize) -> Fr,
        progress: &(dyn Fn(usize, usize) + Sync),
    ) -> Result<[u8; 32], CeremonyError> {
        let names: Vec<&str> = self.circuits().collect();
        contribution.check(&self.hash(), &self.deltas(), &names)?;
        let all = self.points();
        let done = std::sync::atomic::AtomicUsize::new(0);
        let mut changed = Vec::with_capacity(self.circuits.len());
        for (circuit, CircuitState { sections, .. }) in self.circuits.iter().enumerate() {
            let mut new: [Vec<u8>; CHANGED.len()] = Default::default();
            for ((new, old), (name, delta)) in new.iter_mut().zip(sections).zip(CHANGED) {
                let points: Vec<G1Affine> = read_key(old, &format!("{name} of {}", names[circuit]))?;
                let factor = secret(circuit, delta).inverse().ok_or_else(|| CeremonyError::Refused("a secret is zero".into()))?;
                let factor = Scalar::new(&Zeroizing::new(factor));
                let scaled = points.chunks(BLOCK).map(|block| {
                    let scaled = products(block, &|_| &factor);
                    let done = done.fetch_add(block.len(), std::sync::atomic::Ordering::Relaxed) + block.len();
                    progress(done, all);
                    Point::raw(&scaled)
                });
                *new = scaled.collect::<Vec<_>>().concat();
            }
            changed.push(new);
        }
        for (circuit, sections) in self.circuits.iter_mut().zip(changed) {
            circuit.sections = sections;
        }
        self.contributions.push(contribution);
        Ok(self.hash())
    }

    /// Checks the transcript, and that the points are those that it began with over its deltas. Whether it began with the right ones
    /// [`Ceremony::verify`] tells.
    ///
    /// # Errors
    /// [`CeremonyError::Invalid`] says what is wrong.
    pub fn check(&self, rng: &mut dyn CryptoRngCore) -> Result<(), CeremonyError> {
        self.check_transcript()?;
        for (circuit, deltas) in self.circuits.iter().zip(self.deltas()) {
            let mut first = [const { Vec::new() }; CHANGED.len()];
            for ((first, bytes), (label, _)) in first.iter_mut().zip(&circuit.first).zip(CHANGED) {
                *first = read_key(bytes, &format!("{label} of {}", circuit.name))?;
            }
            circuit.checked(first.each_ref().map(Vec::as_slice), &deltas, rng)?;
        }
        Ok(())
    }

    /// Checks that each contribution builds on the one before and proves that its secrets were known, and that a beacon's are the beacon's.
    ///
    /// # Errors
    /// [`CeremonyError::Invalid`] naming the contribution, the circuit and the delta.
    pub fn check_transcript(&self) -> Result<(), CeremonyError> {
        let names: Vec<&str> = self.circuits().collect();
        let (mut before, mut deltas) = (self.first_hash(), first_deltas(self.circuits.len()));
        for (index, contribution) in self.contributions.iter().enumerate() {
            let checked = match &contribution.beacon {
                Some(_) if index + 1 != self.contributions.len() => Err(CeremonyError::Invalid("something follows the beacon".into())),
                Some(_) if index == 0 => Err(CeremonyError::Invalid("nobody contributed before the beacon".into())),
                Some(value) => check_value(value).map_err(CeremonyError::Invalid),
                None => Ok(()),
            };
            let checked = checked.and_then(|()| contribution.check(&before, &deltas, &names));
            // Hashing takes long, so it comes last.
            let checked = checked.and_then(|()| match &contribution.beacon {
                Some(value) => contribution.check_beacon(&self.beacon, value, &before, &deltas),
                None => Ok(()),
            });
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

    /// Verifies everything, from the circuits and the powers on. Gives the keys as they are now, which carry the transcript's hash; they
    /// are finished if the ceremony is closed: see [`Ceremony::check_closed`].
    ///
    /// # Errors
    /// [`CeremonyError::Invalid`] says what is wrong.
    pub fn verify(
        &self,
        subjects: &[&dyn Subject],
        powers: &Powers,
        rng: &mut dyn CryptoRngCore,
        progress: &mut dyn FnMut(&str),
    ) -> Result<Vec<ProvingKey>, CeremonyError> {
        if self.contributions.is_empty() {
            return Err(CeremonyError::Invalid("nobody has contributed, so that everybody knows its secrets".into()));
        }
        let invalid = |reason: String| Err(CeremonyError::Invalid(reason));
        let names: Vec<&str> = subjects.iter().map(|subject| subject.name()).collect();
        let own: Vec<&str> = self.circuits().collect();
        if names != own {
            return invalid(format!("it is for {}, not for {}", own.join(", "), names.join(", ")));
        }
        progress("the transcript");
        self.check_transcript()?;
        let (mut keys, transcript) = (Vec::with_capacity(names.len()), self.hash());
        for ((subject, circuit), deltas) in subjects.iter().zip(&self.circuits).zip(self.deltas()) {
            let name = subject.name();
            progress(name);
            let groups = subject.groups();
            let Initial { layout, mut points, statement } = Initial::new(&subject.circuit()?, &groups, powers)?;
            if statement != circuit.statement {
                return invalid(format!("{name} does not begin with the key that its circuit and these powers of tau give"));
            }
            [points.k1, points.k2, points.h] = circuit.checked(sections_of(&points), &deltas, rng)?;
            points.single[2..].copy_from_slice(&deltas.map(|delta| delta.0));
            points.single2[1..].copy_from_slice(&deltas.map(|delta| delta.1));
            keys.push(ProvingKey::from_points(layout, &groups, Some(transcript), &points)?);
        }
        check_deltas(keys.iter().map(ProvingKey::verifying_key))?;
        Ok(keys)
    }

    /// Refuses a ceremony whose last contributor could still choose the keys.
    ///
    /// # Errors
    /// [`CeremonyError::Refused`] before the beacon.
    pub fn check_closed(&self) -> Result<(), CeremonyError> {
        if self.is_closed() {
            return Ok(());
        }
        let source = &self.beacon.source;
        Err(CeremonyError::Refused(format!(
            "the ceremony is not closed: apply its beacon ({source}) first, so that no contributor can choose the keys"
        )))
    }
}

impl CircuitState {
    /// The points as they are, once they are those of `first` over these deltas.
    fn checked(
        &self,
        first: [&[G1Affine]; CHANGED.len()],
        deltas: &[(G1Affine, G2Affine); DELTAS],
        rng: &mut dyn CryptoRngCore,
    ) -> Result<[Vec<G1Affine>; CHANGED.len()], CeremonyError> {
        let mut points = [const { Vec::new() }; CHANGED.len()];
        for (section, (label, delta)) in CHANGED.into_iter().enumerate() {
            let what = format!("{label} of {}", self.name);
            points[section] = read_key(&self.sections[section], &what)?;
            if !is_over(&points[section], first[section], deltas[delta].1, rng) {
                return Err(CeremonyError::Invalid(format!("{what} is not what it began with over δ{}", delta + 1)));
            }
        }
        Ok(points)
    }
}

/// Whether each of these points is that of the other list over δ.
pub(crate) fn is_over(points: &[G1Affine], initial: &[G1Affine], delta: G2Affine, rng: &mut dyn CryptoRngCore) -> bool {
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
    check_text("what the beacon will be", &beacon.source, MOST_TEXT)?;
    if beacon.exponent > MOST_ITERATIONS {
        return Err(CeremonyError::Refused(format!("a beacon is hashed 2^{MOST_ITERATIONS} times at most, not 2^{}", beacon.exponent)));
    }
    Ok(())
}

pub(crate) fn check_value(value: &[u8]) -> Result<(), String> {
    if (LEAST_VALUE..=MOST_TEXT).contains(&value.len()) {
        Ok(())
    } else {
        Err(format!("a beacon's value has {LEAST_VALUE} to {MOST_TEXT} bytes"))
    }
}

fn check_names<'a>(names: impl Iterator<Item = &'a str>) -> Result<(), CeremonyError> {
    let mut seen = BTreeSet::new();
    for name in names {
        check_text("a circuit's name", name, MOST_TEXT)?;
        if !seen.insert(name) {
            return Err(CeremonyError::Refused(format!("two circuits are called {name:?}")));
        }
    }
    if seen.is_empty() { Err(CeremonyError::Refused("a ceremony has at least one circuit".into())) } else { Ok(()) }
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
