//! `.ptau` files of snarkjs: powers of τ, who contributed to them, and whether that can be believed.
//!
//! ```text
//! "ptau"  version u32 = 1  sections u32, each: type u32, bytes u64, content
//!  1  bytes of a coordinate u32, q, power k u32, power of the ceremony u32     2  τ^i in G1, i < 2^(k+1) − 1
//!  3  τ^i in G2, i < 2^k    4, 5  α·τ^i, β·τ^i in G1, i < 2^k                  6  β in G2
//!  7  contributions        12  Lagrange points in G1 of the domains 2^0 … 2^(k+1), one after the other
//! 13  the same in G2, and 14, 15 times α and β in G1, up to 2^k
//! ```
//!
//! The last domain of section 12 is made without τ^(2^(k+1) − 1), which the file has not: its points are not Lagrange points, and a key
//! from them lets false statements be proven (`docs/proof-system.md` 6). So a domain of 2^k, whose key needs the Lagrange points of
//! 2^(k+1) too, takes a file of power k + 1.

use std::fs::File;
use std::ops::Range;
use std::path::Path;

use ark_bn254::{Fq, Fr, G1Affine, G2Affine};
use ark_ec::{AffineRepr, CurveGroup};
use ark_ff::{BigInteger, PrimeField};
use blake2::{Blake2b512, Digest};
use zkslice_interop::{Cursor, InteropError, Sections};

use crate::points::{Point, next_point, read_all, same_ratio};
use crate::snarkjs::{Stream, hash_to_g2, read_parameters};
use crate::{CeremonyError, blake};

/// Sections of the file.
pub(crate) mod section {
    pub(crate) const HEADER: usize = 1;
    pub(crate) const TAU_G1: usize = 2;
    pub(crate) const TAU_G2: usize = 3;
    pub(crate) const ALPHA_G1: usize = 4;
    pub(crate) const BETA_G1: usize = 5;
    pub(crate) const BETA_G2: usize = 6;
    pub(crate) const CONTRIBUTIONS: usize = 7;
    pub(crate) const LAGRANGE_G1: usize = 12;
    pub(crate) const LAGRANGE_G2: usize = 13;
    pub(crate) const LAGRANGE_ALPHA: usize = 14;
    pub(crate) const LAGRANGE_BETA: usize = 15;
}

const WHAT: &str = ".ptau file";
const SECTIONS: usize = 16;
const MOST_POWER: u32 = 28;
/// Iterations of a beacon are two to this power at most.
const MOST_ITERATIONS: u32 = 26;
const MOST_BEACONS: usize = 4;
const MOST_CONTRIBUTIONS: usize = 10_000;

/// Secrets of a contribution: τ, α and β, in this order everywhere.
const SECRETS: [&str; 3] = ["τ", "α", "β"];

/// A contribution to powers of tau.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PowersContribution {
    /// What the contributor is called.
    pub name: String,
    /// The hash that the contributor published.
    pub response: [u8; 64],
    /// Value and exponent of the number of iterations of a beacon; none for a contributor.
    pub beacon: Option<(Vec<u8>, u32)>,
}

/// Proof that whoever contributed knew a secret x.
struct KnowledgeProof {
    s: G1Affine,
    sx: G1Affine,
    spx: G2Affine,
}

struct Contribution {
    tau: (G1Affine, G2Affine),
    alpha: G1Affine,
    beta: (G1Affine, G2Affine),
    proofs: [KnowledgeProof; 3],
    next_challenge: [u8; 64],
    shown: PowersContribution,
}

/// τ, α and β after a contribution.
type After = ((G1Affine, G2Affine), G1Affine, (G1Affine, G2Affine));

impl Contribution {
    fn after(&self) -> After {
        (self.tau, self.alpha, self.beta)
    }
}

/// A file, mapped.
pub(crate) struct Ptau {
    map: memmap2::Mmap,
    name: String,
    sections: [Option<Range<usize>>; SECTIONS],
    pub(crate) power: u32,
    ceremony_power: u32,
}

impl Ptau {
    pub(crate) fn open(path: &Path) -> Result<Self, CeremonyError> {
        let file = File::open(path).map_err(CeremonyError::io(path))?;
        // SAFETY: the map is read-only. Whoever changes the file meanwhile makes checks fail, or could have changed it before.
        #[allow(unsafe_code)]
        let map = unsafe { memmap2::Mmap::map(&file) }.map_err(CeremonyError::io(path))?;
        let name = path.display().to_string();
        let malformed = |reason: &str| CeremonyError::Malformed { file: name.clone(), reason: reason.into() };
        let sections = sections(&map).ok_or_else(|| malformed("it is no `.ptau` file of version 1, or it ends early"))?;
        let mut ptau = Self { map, name: name.clone(), sections, power: 0, ceremony_power: 0 };
        let mut header = Cursor::new(WHAT, ptau.section(section::HEADER)?);
        let read = |header: &mut Cursor<'_>| {
            let size = header.number()?;
            let q = header.take(32)?;
            Ok::<_, InteropError>((size, q.to_vec(), header.number()?, header.number()?, header.end().is_ok()))
        };
        let (size, q, power, ceremony_power, is_whole) = read(&mut header).map_err(|_| malformed("its header ends early"))?;
        if size != 32 || q != Fq::MODULUS.to_bytes_le() || !is_whole {
            return Err(ptau.unusable("they are of another curve than BN254"));
        }
        if power == 0 || power > MOST_POWER || ceremony_power < power || ceremony_power > MOST_POWER {
            return Err(malformed("its power is not between 1 and 28"));
        }
        (ptau.power, ptau.ceremony_power) = (power, ceremony_power);
        let n = 1 << power;
        for (section, points, bytes) in [
            (section::TAU_G1, 2 * n - 1, 64),
            (section::TAU_G2, n, 128),
            (section::ALPHA_G1, n, 64),
            (section::BETA_G1, n, 64),
            (section::BETA_G2, 1, 128),
        ] {
            if ptau.section(section)?.len() != points * bytes {
                return Err(malformed(&format!("section {section} has not the length that its power calls for")));
            }
        }
        let prepared = [
            (section::LAGRANGE_G1, 4 * n - 1, 64),
            (section::LAGRANGE_G2, 2 * n - 1, 128),
            (section::LAGRANGE_ALPHA, 2 * n - 1, 64),
            (section::LAGRANGE_BETA, 2 * n - 1, 64),
        ];
        if ptau.is_prepared() {
            for (section, points, bytes) in prepared {
                if ptau.section(section)?.len() != points * bytes {
                    return Err(malformed(&format!("section {section} has not the length that its power calls for")));
                }
            }
        }
        Ok(ptau)
    }

    /// Whether it has Lagrange points.
    pub(crate) fn is_prepared(&self) -> bool {
        self.sections[section::LAGRANGE_G1].is_some()
    }

    pub(crate) fn unusable(&self, reason: impl Into<String>) -> CeremonyError {
        CeremonyError::Powers { file: self.name.clone(), reason: reason.into() }
    }

    fn section(&self, index: usize) -> Result<&[u8], CeremonyError> {
        let range = self.sections[index].clone();
        let range =
            range.ok_or_else(|| CeremonyError::Malformed { file: self.name.clone(), reason: format!("it has no section {index}") })?;
        Ok(&self.map[range])
    }

    /// Points of a section.
    pub(crate) fn points<P: Point>(&self, section: usize, range: Range<usize>) -> Result<Vec<P>, CeremonyError> {
        let bytes = self.section(section)?.get(range.start * P::BYTES..range.end * P::BYTES);
        let bytes = bytes.ok_or_else(|| self.unusable(format!("section {section} is too short")))?;
        read_all(bytes, &format!("section {section}")).map_err(|error| self.unusable(error.to_string()))
    }

    /// Lagrange points of the domain of 2^`level`, of one of the sections that a prepared file has.
    pub(crate) fn lagrange<P: Point>(&self, section: usize, level: u32) -> Result<Vec<P>, CeremonyError> {
        let n = 1_usize << level;
        self.points(section, n - 1..2 * n - 1)
    }

    /// BLAKE2b of the whole file.
    pub(crate) fn hash(&self) -> [u8; 64] {
        Blake2b512::digest(&self.map[..]).into()
    }

    /// Checks that each contribution builds on the one before, that whoever made it knew its secrets, and that the powers are those of the
    /// last one.
    pub(crate) fn contributions(&self) -> Result<Vec<PowersContribution>, CeremonyError> {
        let all = self.read_contributions()?;
        let Some(last) = all.last() else {
            return Err(self.unusable("nobody contributed to them, so that everybody knows their secrets"));
        };
        if all.iter().filter(|contribution| contribution.shown.beacon.is_some()).count() > MOST_BEACONS {
            return Err(self.unusable(format!("they have more than {MOST_BEACONS} beacons")));
        }
        // What takes long comes last: the first challenge is a hash of as many points as the whole ceremony has, and beacons are slow to hash.
        for (index, (before, contribution)) in all.iter().zip(&all[1..]).enumerate() {
            self.check_contribution(index + 1, contribution, before.after(), &before.next_challenge)?;
        }
        let (g1, g2) = (G1Affine::generator(), G2Affine::generator());
        let first = first_challenge(self.ceremony_power);
        self.check_contribution(0, &all[0], ((g1, g2), g1, (g1, g2)), &first)?;
        let challenges = std::iter::once(&first).chain(all.iter().map(|contribution| &contribution.next_challenge));
        for ((index, contribution), challenge) in all.iter().enumerate().zip(challenges) {
            if let Some((value, exponent)) = &contribution.shown.beacon
                && !is_of_beacon(&contribution.proofs, value, *exponent, challenge)
            {
                let name = &contribution.shown.name;
                return Err(self.unusable(format!("contribution {} ({name:?}) is not made from the beacon that it states", index + 1)));
            }
        }
        self.check_last(last)?;
        Ok(all.into_iter().map(|contribution| contribution.shown).collect())
    }

    fn check_contribution(
        &self,
        index: usize,
        contribution: &Contribution,
        (tau, alpha, beta): After,
        challenge: &[u8; 64],
    ) -> Result<(), CeremonyError> {
        let of = || format!("contribution {} ({:?})", index + 1, contribution.shown.name);
        let hashed: Vec<G2Affine> =
            (0_u8..).zip(&contribution.proofs).map(|(secret, proof)| challenge_point(secret, challenge, proof)).collect();
        for ((proof, sp), name) in contribution.proofs.iter().zip(&hashed).zip(SECRETS) {
            if !same_ratio(proof.s, proof.sx, *sp, proof.spx) {
                return Err(self.unusable(format!("{} does not prove that its {name} is known", of())));
            }
        }
        let [of_tau, of_alpha, of_beta] = &contribution.proofs;
        let steps = [
            (same_ratio(tau.0, contribution.tau.0, hashed[0], of_tau.spx), "τ in G1"),
            (same_ratio(of_tau.s, of_tau.sx, tau.1, contribution.tau.1), "τ in G2"),
            (same_ratio(alpha, contribution.alpha, hashed[1], of_alpha.spx), "α"),
            (same_ratio(beta.0, contribution.beta.0, hashed[2], of_beta.spx), "β in G1"),
            (same_ratio(of_beta.s, of_beta.sx, beta.1, contribution.beta.1), "β in G2"),
        ];
        match steps.iter().find(|(holds, _)| !holds) {
            Some((_, name)) => Err(self.unusable(format!("{} does not build on the one before: {name}", of()))),
            None => Ok(()),
        }
    }

    /// Checks that the file's own points are those that the last contribution left.
    fn check_last(&self, last: &Contribution) -> Result<(), CeremonyError> {
        let tau1: Vec<G1Affine> = self.points(section::TAU_G1, 0..2)?;
        let tau2: Vec<G2Affine> = self.points(section::TAU_G2, 0..2)?;
        let alpha: Vec<G1Affine> = self.points(section::ALPHA_G1, 0..1)?;
        let beta: Vec<G1Affine> = self.points(section::BETA_G1, 0..1)?;
        let beta2: Vec<G2Affine> = self.points(section::BETA_G2, 0..1)?;
        let same =
            tau1[1] == last.tau.0 && tau2[1] == last.tau.1 && alpha == [last.alpha] && beta == [last.beta.0] && beta2 == [last.beta.1];
        if !same {
            return Err(self.unusable("they are not those of the last contribution"));
        }
        // A file of fewer powers than the ceremony has not all that the last challenge hashes.
        if self.power < self.ceremony_power {
            return Ok(());
        }
        let mut hasher = Blake2b512::new().chain_update(last.shown.response);
        let n = 1 << self.power;
        hash_points::<G1Affine>(&mut hasher, &self.points(section::TAU_G1, 0..2 * n - 1)?);
        hash_points::<G2Affine>(&mut hasher, &self.points(section::TAU_G2, 0..n)?);
        hash_points::<G1Affine>(&mut hasher, &self.points(section::ALPHA_G1, 0..n)?);
        hash_points::<G1Affine>(&mut hasher, &self.points(section::BETA_G1, 0..n)?);
        hash_points::<G2Affine>(&mut hasher, &beta2);
        if <[u8; 64]>::from(hasher.finalize()) != last.next_challenge {
            return Err(self.unusable("their hash is not the challenge that the last contribution states"));
        }
        Ok(())
    }

    fn read_contributions(&self) -> Result<Vec<Contribution>, CeremonyError> {
        let mut cursor = Cursor::new(WHAT, self.section(section::CONTRIBUTIONS)?);
        let damaged = || self.unusable("its contributions cannot be read, or one has a point that is infinite or no point of its group");
        let count = cursor.number().map_err(|_| damaged())? as usize;
        if count > MOST_CONTRIBUTIONS {
            return Err(damaged());
        }
        let all: Option<Vec<Contribution>> = (0..count).map(|_| read_contribution(&mut cursor)).collect();
        all.filter(|_| cursor.end().is_ok()).ok_or_else(damaged)
    }
}

fn sections(map: &[u8]) -> Option<[Option<Range<usize>>; SECTIONS]> {
    let mut sections = [const { None }; SECTIONS];
    for (kind, range) in Sections::read(WHAT, *b"ptau", 1, map).ok()?.ranges() {
        // Sections of a kind that is not known are skipped; none may be there twice.
        if let Some(section) = sections.get_mut(kind as usize)
            && section.replace(range).is_some()
        {
            return None;
        }
    }
    Some(sections)
}

fn read_contribution(cursor: &mut Cursor<'_>) -> Option<Contribution> {
    let (tau1, tau2) = (next_point(cursor)?, next_point(cursor)?);
    let (alpha, beta1, beta2) = (next_point(cursor)?, next_point(cursor)?, next_point(cursor)?);
    let mut pairs: Vec<(G1Affine, G1Affine)> = Vec::with_capacity(3);
    for _ in SECRETS {
        pairs.push((next_point(cursor)?, next_point(cursor)?));
    }
    let mut proofs = Vec::with_capacity(3);
    for (s, sx) in pairs {
        proofs.push(KnowledgeProof { s, sx, spx: next_point(cursor)? });
    }
    let proofs: [KnowledgeProof; 3] = proofs.try_into().ok()?;
    let state: [u8; blake::STATE] = cursor.take(blake::STATE).ok()?.try_into().ok()?;
    let next_challenge = cursor.take(64).ok()?.try_into().ok()?;
    let mut key = Vec::new();
    proofs.iter().flat_map(|proof| [proof.s, proof.sx]).for_each(|point| key.extend(point.words()));
    proofs.iter().for_each(|proof| key.extend(proof.spx.words()));
    let response = blake::finish(&state, &key)?;
    let kind = cursor.number().ok()?;
    let length = cursor.number().ok()? as usize;
    let (name, beacon) = read_parameters(cursor.take(length).ok()?)?;
    let beacon = beacon.map(|(value, exponent)| (value, u32::from(exponent)));
    if kind != u32::from(beacon.is_some()) || beacon.as_ref().is_some_and(|(_, exponent)| *exponent > MOST_ITERATIONS) {
        return None;
    }
    let shown = PowersContribution { name, response, beacon };
    Some(Contribution { tau: (tau1, tau2), alpha, beta: (beta1, beta2), proofs, next_challenge, shown })
}

fn hash_points<P: Point>(hasher: &mut Blake2b512, points: &[P]) {
    points.iter().for_each(|point| hasher.update(point.words()));
}

/// The challenge before the first contribution: a hash of powers of 1.
fn first_challenge(power: u32) -> [u8; 64] {
    let mut hasher = Blake2b512::new().chain_update(Blake2b512::digest([]));
    let (g1, g2) = (G1Affine::generator().words(), G2Affine::generator().words());
    let n = 1_usize << power;
    for (point, count) in [(&g1, 2 * n - 1), (&g2, n), (&g1, 2 * n), (&g2, 1)] {
        let block = point.repeat(1 << 12);
        for _ in 0..count >> 12 {
            hasher.update(&block);
        }
        hasher.update(&block[..(count % (1 << 12)) * point.len()]);
    }
    hasher.finalize().into()
}

/// The point of G2 to which a secret is applied, to prove that it is known.
fn challenge_point(secret: u8, challenge: &[u8; 64], proof: &KnowledgeProof) -> G2Affine {
    let hasher = Blake2b512::new().chain_update([secret]).chain_update(challenge);
    hash_to_g2(&hasher.chain_update(proof.s.words()).chain_update(proof.sx.words()).finalize().into())
}

/// Whether the proofs are those that a beacon gives.
fn is_of_beacon(proofs: &[KnowledgeProof; 3], value: &[u8], exponent: u32, challenge: &[u8; 64]) -> bool {
    let mut stream = Stream::of_beacon(value, exponent);
    let secrets: [Fr; 3] = std::array::from_fn(|_| stream.scalar());
    (0_u8..).zip(proofs).zip(secrets).all(|((index, proof), secret)| {
        let s = stream.g1();
        let spx = (challenge_point(index, challenge, proof) * secret).into_affine();
        proof.s == s && proof.sx == (s * secret).into_affine() && proof.spx == spx
    })
}
