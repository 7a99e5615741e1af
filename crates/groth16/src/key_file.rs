//! Proving keys on disk: sections of affine points in Montgomery form, memory-mapped, each with a SHA-256 digest.
//!
//! ```text
//! "zkslicPK"  version u32  header length u32  header (JSON)  padding to 64 bytes  sections, each padded to 64 bytes
//! ```
//!
//! Points are 8 (G1) or 16 (G2) little-endian limbs, x then y, infinity as zeros: the prover reads them where they lie.
//! The digest of the header, which holds those of the sections, is the key's digest.

use std::fs::File;
use std::path::Path;

use ark_bn254::{Bn254, Fq, Fq2, G1Affine, G1Projective, G2Affine, G2Projective};
use ark_ec::pairing::Pairing;
use ark_ec::{AffineRepr, CurveGroup, PrimeGroup};
use ark_ff::{BigInt, PrimeField, Zero};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use zkslice_circuit::Layout;
use zkslice_formats::{Readers, check_version, keccak};

use crate::challenge::to_field;
use crate::{Form, KeyError, VerifyingKey};

const MAGIC: &[u8; 8] = b"zkslicPK";
const VERSION: u32 = 3;
const ALIGN: usize = 64;

/// Parts of a proving key. The basis of `K1`, `K2` is folded (`docs/proof-system.md` 6, prover); a plain key has only `Plain`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Section {
    /// α, β, δ1, δ2 in G1.
    Points1,
    /// β, δ2 in G2.
    Points2,
    /// u_i(τ) of every wire.
    A,
    /// v_i(τ) of the public and committed wires, in G1.
    B1,
    /// The same in G2.
    B2,
    /// K_i/δ1 of the committed wires.
    K1,
    /// K_i/δ2 of the second round's wires.
    K2,
    /// Odd Lagrange points of the double domain over δ2.
    H,
    /// ark-groth16's proving key, serialised uncompressed.
    Plain,
}

impl Section {
    #[cfg(test)]
    pub(crate) const ALL: [Self; SECTIONS] =
        [Self::Points1, Self::Points2, Self::A, Self::B1, Self::B2, Self::K1, Self::K2, Self::H, Self::Plain];
}

const SECTIONS: usize = 9;

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    dev: bool,
    layout: Layout,
    verifying_key: String,
    sections: Vec<SectionHeader>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SectionHeader {
    bytes: usize,
    sha256: String,
}

#[derive(Debug)]
enum Bytes {
    Mapped(memmap2::Mmap),
    Owned(Vec<u64>),
}

impl Bytes {
    fn get(&self) -> &[u8] {
        match self {
            Self::Mapped(map) => map,
            Self::Owned(words) => bytemuck::cast_slice(words),
        }
    }
}

/// A proving key, its verifying key and the layout of the circuit that it belongs to.
#[derive(Debug)]
pub struct ProvingKey {
    bytes: Bytes,
    offsets: [(usize, usize); SECTIONS],
    layout: Layout,
    dev: bool,
    verifying_key: VerifyingKey,
    verifying_key_hash: [u8; 32],
    blinding: Blinding,
    digest: [u8; 32],
}

/// α, β, δ1, δ2 in G1, proven to be those of the verifying key.
///
/// A proof that verifies hides its witness whatever the other points are: A, B and C1 are uniform by r·δ2, s·δ2 and κ·δ2, and the
/// equation fixes C2. With other points here a proof can verify and hide nothing (`docs/proof-system.md` 8.7).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Blinding {
    pub(crate) alpha: G1Affine,
    pub(crate) beta: G1Affine,
    pub(crate) delta1: G1Affine,
    pub(crate) delta2: G1Affine,
}

/// Whether each pair of points has one exponent: one pairing check of a combination with coefficients hashed from `seed`, which must
/// bind the points.
pub(crate) fn same_exponents(pairs: &[(G1Affine, G2Affine)], seed: &[u8; 32]) -> bool {
    let rho = to_field(&keccak(seed));
    let (mut left, mut right) = (G1Projective::zero(), G2Projective::zero());
    for (g1, g2) in pairs {
        left = left * rho + g1;
        right = right * rho + g2;
    }
    let generator = -G1Projective::generator();
    Bn254::multi_pairing([left.into_affine(), generator.into_affine()], [G2Affine::generator(), right.into_affine()]).is_zero()
}

fn padded(length: usize) -> usize {
    length.div_ceil(ALIGN) * ALIGN
}

impl ProvingKey {
    pub(crate) fn assemble(layout: Layout, dev: bool, key: VerifyingKey, sections: [Vec<u8>; SECTIONS]) -> Result<Self, KeyError> {
        let header = Header {
            dev,
            layout,
            verifying_key: hex::encode(key.record()),
            sections: sections.iter().map(|s| SectionHeader { bytes: s.len(), sha256: hex::encode(Sha256::digest(s)) }).collect(),
        };
        let header = serde_json::to_vec(&header).map_err(|e| malformed("proving key", &e.to_string()))?;
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&(header.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&header);
        bytes.resize(padded(bytes.len()), 0);
        for section in &sections {
            bytes.extend_from_slice(section);
            bytes.resize(padded(bytes.len()), 0);
        }
        let words = bytes.chunks_exact(8).map(|chunk| u64::from_le_bytes(std::array::from_fn(|i| chunk[i]))).collect();
        Self::parse(Bytes::Owned(words), "proving key")
    }

    /// Opens a key file, memory-mapped, and checks every digest.
    ///
    /// # Errors
    /// [`KeyError`]: unreadable, of another format, of a newer version, or changed since it was made.
    pub fn open(path: &Path) -> Result<Self, KeyError> {
        let io = |source| KeyError::Io { path: path.into(), source };
        let file = File::open(path).map_err(io)?;
        // SAFETY: the map is read-only. Another process that changes the file meanwhile can make a proof fail, which the
        // prover's own check catches; it cannot make one wrong.
        #[allow(unsafe_code)]
        let map = unsafe { memmap2::Mmap::map(&file) }.map_err(io)?;
        Self::parse(Bytes::Mapped(map), &path.display().to_string())
    }

    /// Writes the key file, whole or not at all: see [`zkslice_formats::write`].
    ///
    /// # Errors
    /// [`KeyError::Io`].
    pub fn save(&self, path: &Path) -> Result<(), KeyError> {
        zkslice_formats::write(path, Readers::Umask, self.bytes.get()).map_err(|source| KeyError::Io { path: path.into(), source })
    }

    fn parse(bytes: Bytes, name: &str) -> Result<Self, KeyError> {
        let data = bytes.get();
        let number = |at: usize| {
            let chunk = data.get(at..at + 4).ok_or_else(|| malformed(name, "it is too short"))?;
            Ok(u32::from_le_bytes([chunk[0], chunk[1], chunk[2], chunk[3]]))
        };
        if data.get(..8) != Some(MAGIC.as_slice()) {
            return Err(malformed(name, "it does not start with the mark of a proving key"));
        }
        check_version(number(8)?.into(), VERSION).map_err(|error| KeyError::Version { what: name.into(), error })?;
        let length = number(12)? as usize;
        let header_bytes = data.get(16..16 + length).ok_or_else(|| malformed(name, "it ends in its header"))?;
        let header: Header = serde_json::from_slice(header_bytes).map_err(|e| malformed(name, &e.to_string()))?;
        let record = hex::decode(&header.verifying_key).map_err(|e| malformed(name, &e.to_string()))?;
        let verifying_key = VerifyingKey::from_record(&record).map_err(|error| error.in_file(name))?;
        let sections: [SectionHeader; SECTIONS] =
            header.sections.try_into().map_err(|_| malformed(name, "it has not the sections of version 3"))?;
        let mut offset = padded(16 + length);
        let mut offsets = [(0, 0); SECTIONS];
        for (i, section) in sections.iter().enumerate() {
            let end = offset.checked_add(section.bytes).ok_or_else(|| malformed(name, "a section is too long"))?;
            let content = data.get(offset..end).ok_or_else(|| malformed(name, "it ends in a section"))?;
            if hex::encode(Sha256::digest(content)) != section.sha256 {
                return Err(KeyError::Digest { what: name.into() });
            }
            offsets[i] = (offset, end);
            offset = padded(end);
        }
        if data.len() != offset {
            return Err(malformed(name, "it is longer than its sections"));
        }
        let digest = Sha256::digest(header_bytes).into();
        let verifying_key_hash = verifying_key.hash();
        let (layout, dev, blinding) = (header.layout, header.dev, Blinding::default());
        let mut key = Self { bytes, offsets, layout, dev, verifying_key, verifying_key_hash, blinding, digest };
        key.check_lengths(name)?;
        if key.verifying_key.form() == Form::Committed {
            key.blinding = key.read_blinding(name)?;
        }
        Ok(key)
    }

    fn check_lengths(&self, name: &str) -> Result<(), KeyError> {
        let layout = &self.layout;
        if !layout.is_plausible() || layout.has_challenge() != (self.verifying_key.form() == Form::Committed) {
            return Err(malformed(name, "its layout is not one of a circuit of its form"));
        }
        if layout.publics != self.verifying_key.publics || layout.words != self.verifying_key.words() {
            return Err(malformed(name, "its layout is not that of its verifying key"));
        }
        if !layout.has_challenge() {
            return Ok(());
        }
        let early = layout.public_wires() + layout.committed_wires();
        let expected = [
            (Section::Points1, 4),
            (Section::A, layout.wires()),
            (Section::B1, early),
            (Section::K1, layout.committed_wires()),
            (Section::K2, layout.second_round_wires()),
            (Section::H, self.domain_size()),
        ];
        let g1 = expected.iter().all(|(section, count)| self.g1(*section).len() == *count);
        let g2 = self.g2(Section::Points2).len() == 2 && self.g2(Section::B2).len() == early;
        if g1 && g2 { Ok(()) } else { Err(malformed(name, "a section has not the length that its layout calls for")) }
    }

    /// Reads the points that blind a proof, and checks them against the verifying key.
    fn read_blinding(&self, name: &str) -> Result<Blinding, KeyError> {
        let key = &self.verifying_key;
        let points = |at: usize| self.g1(Section::Points1).get(at).filter(|raw| is_canonical(raw)).map(g1).filter(G1Affine::is_on_curve);
        let (Some(alpha), Some(beta), Some(delta1), Some(delta2), Some(first)) = (points(0), points(1), points(2), points(3), key.delta1)
        else {
            return Err(KeyError::unblinded(name));
        };
        let pairs = [(beta, key.beta), (delta1, first), (delta2, key.delta2)];
        let in_g2 = self.section(Section::Points2) == g2_bytes(&[key.beta, key.delta2]);
        if alpha == key.alpha && in_g2 && same_exponents(&pairs, &self.digest) {
            return Ok(Blinding { alpha, beta, delta1, delta2 });
        }
        Err(KeyError::unblinded(name))
    }

    pub(crate) fn blinding(&self) -> &Blinding {
        &self.blinding
    }

    /// Size of the evaluation domain: the power of two at or above the number of rows.
    pub fn domain_size(&self) -> usize {
        self.layout.rows().next_power_of_two()
    }

    /// The verifying key.
    pub fn verifying_key(&self) -> &VerifyingKey {
        &self.verifying_key
    }

    /// Hash of the verifying key.
    pub fn verifying_key_hash(&self) -> &[u8; 32] {
        &self.verifying_key_hash
    }

    /// Layout of the circuit.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Whether the key was made without a ceremony.
    pub fn is_dev(&self) -> bool {
        self.dev
    }

    /// SHA-256 of the header, which holds the digests of all sections.
    pub fn digest(&self) -> [u8; 32] {
        self.digest
    }

    /// Size in bytes.
    pub fn len(&self) -> usize {
        self.bytes.get().len()
    }

    /// Whether the key has no byte: never.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn section(&self, section: Section) -> &[u8] {
        let (start, end) = self.offsets[section as usize];
        &self.bytes.get()[start..end]
    }

    pub(crate) fn plain(&self) -> &[u8] {
        self.section(Section::Plain)
    }

    pub(crate) fn g1(&self, section: Section) -> &[RawG1] {
        // Sections are aligned to 64 bytes in a page-aligned map or a vector of words; a length that is no multiple of a
        // point's gives the empty slice, which the length checks refuse.
        bytemuck::try_cast_slice(self.section(section)).unwrap_or_default()
    }

    pub(crate) fn g2(&self, section: Section) -> &[RawG2] {
        bytemuck::try_cast_slice(self.section(section)).unwrap_or_default()
    }
}

fn malformed(what: &str, reason: &str) -> KeyError {
    KeyError::Malformed { what: what.into(), reason: reason.into() }
}

/// A G1 point as it lies in a key: limbs of x, then of y.
pub(crate) type RawG1 = [u64; 8];
/// A G2 point as it lies in a key: limbs of x.c0, x.c1, y.c0, y.c1.
pub(crate) type RawG2 = [u64; 16];

fn fq(limbs: &[u64]) -> Fq {
    Fq::new_unchecked(BigInt([limbs[0], limbs[1], limbs[2], limbs[3]]))
}

pub(crate) fn g1(raw: &RawG1) -> G1Affine {
    let (x, y) = (fq(&raw[..4]), fq(&raw[4..]));
    if x.is_zero() && y.is_zero() { G1Affine::zero() } else { G1Affine::new_unchecked(x, y) }
}

pub(crate) fn g2(raw: &RawG2) -> G2Affine {
    let (x, y) = (Fq2::new(fq(&raw[..4]), fq(&raw[4..8])), Fq2::new(fq(&raw[8..12]), fq(&raw[12..])));
    if x.is_zero() && y.is_zero() { G2Affine::zero() } else { G2Affine::new_unchecked(x, y) }
}

/// Whether both coordinates are reduced.
fn is_canonical(raw: &RawG1) -> bool {
    raw.chunks_exact(4).all(|limbs| BigInt([limbs[0], limbs[1], limbs[2], limbs[3]]) < Fq::MODULUS)
}

fn push(bytes: &mut Vec<u8>, value: &Fq) {
    value.0.0.iter().for_each(|limb| bytes.extend_from_slice(&limb.to_le_bytes()));
}

pub(crate) fn g1_bytes(points: &[G1Affine]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(points.len() * 64);
    for point in points {
        let (x, y) = point.xy().unwrap_or_default();
        [x, y].iter().for_each(|c| push(&mut bytes, c));
    }
    bytes
}

pub(crate) fn g2_bytes(points: &[G2Affine]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(points.len() * 128);
    for point in points {
        let (x, y) = point.xy().unwrap_or_default();
        [x.c0, x.c1, y.c0, y.c1].iter().for_each(|c| push(&mut bytes, c));
    }
    bytes
}
