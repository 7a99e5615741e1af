//! Proving keys on disk: a file of sections ([`zkslice_formats::Sections`]) of affine points as [`crate::raw`] has them.
//!
//! The prover reads the points where they lie. The digest of the header, which holds those of the sections, is the key's digest.

use std::path::Path;

use ark_bn254::{Bn254, G1Affine, G1Projective, G2Affine, G2Projective};
use ark_ec::pairing::Pairing;
use ark_ec::{AffineRepr, CurveGroup, PrimeGroup};
use ark_ff::Zero;
use serde::{Deserialize, Serialize};
use zkslice_circuit::Layout;
use zkslice_formats::{Sections, SectionsError, keccak};

use crate::challenge::to_field;
use crate::raw::{RawG1, RawG2, g1, g1_bytes, g2_bytes, is_canonical};
use crate::{Form, KeyError, VerifyingKey, WordGroup};

const MARK: [u8; 8] = *b"zkslicPK";
const VERSION: u32 = 4;

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
    /// None for keys that were made without a ceremony.
    transcript: Option<String>,
    layout: Layout,
    verifying_key: String,
}

/// A proving key, its verifying key and the layout of the circuit that it belongs to.
#[derive(Debug)]
pub struct ProvingKey {
    file: Sections,
    layout: Layout,
    transcript: Option<[u8; 32]>,
    verifying_key: VerifyingKey,
    verifying_key_hash: [u8; 32],
    blinding: Blinding,
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

/// Points of a key of the committed form.
#[derive(Clone, Debug)]
pub struct KeyPoints {
    /// α, β, δ1, δ2 in G1.
    pub single: [G1Affine; 4],
    /// β, δ1, δ2 in G2.
    pub single2: [G2Affine; 3],
    /// K_i of the constant, χ and F.
    pub ic: Vec<G1Affine>,
    /// u_i(τ) of every wire.
    pub a: Vec<G1Affine>,
    /// v_i(τ) of the public and committed wires, in G1.
    pub b1: Vec<G1Affine>,
    /// The same in G2.
    pub b2: Vec<G2Affine>,
    /// K_i/δ1 of the committed wires.
    pub k1: Vec<G1Affine>,
    /// K_i/δ2 of the second round's wires.
    pub k2: Vec<G1Affine>,
    /// Odd Lagrange points of the double domain over δ2.
    pub h: Vec<G1Affine>,
}

impl ProvingKey {
    /// A key of the committed form. `transcript` is the hash of the ceremony that it comes from; without one it is a development key.
    ///
    /// # Errors
    /// [`KeyError::Unsafe`]: see [`VerifyingKey::check`]. [`KeyError::Malformed`] for points that are not as many as the layout calls for.
    pub fn from_points(layout: Layout, groups: &[WordGroup], transcript: Option<[u8; 32]>, points: &KeyPoints) -> Result<Self, KeyError> {
        let [beta, delta1, delta2] = points.single2;
        let verifying_key = VerifyingKey {
            publics: layout.publics,
            groups: groups.to_vec(),
            alpha: points.single[0],
            beta,
            gamma: G2Affine::generator(),
            delta1: Some(delta1),
            delta2,
            ic: points.ic.clone(),
        };
        verifying_key.check()?;
        let sections = [
            g1_bytes(&points.single),
            g2_bytes(&[beta, delta2]),
            g1_bytes(&points.a),
            g1_bytes(&points.b1),
            g2_bytes(&points.b2),
            g1_bytes(&points.k1),
            g1_bytes(&points.k2),
            g1_bytes(&points.h),
            Vec::new(),
        ];
        Self::assemble(layout, transcript, verifying_key, sections)
    }

    pub(crate) fn assemble(
        layout: Layout,
        transcript: Option<[u8; 32]>,
        key: VerifyingKey,
        sections: [Vec<u8>; SECTIONS],
    ) -> Result<Self, KeyError> {
        let header = Header { transcript: transcript.map(hex::encode), layout, verifying_key: hex::encode(key.record()) };
        let name = "proving key";
        let file = Sections::new(MARK, VERSION, &header, &sections.each_ref().map(Vec::as_slice)).map_err(|error| error_in(name, error))?;
        Self::parse(file, name)
    }

    /// Opens a key file, memory-mapped, and checks every digest.
    ///
    /// # Errors
    /// [`KeyError`]: unreadable, of another format, of a newer version, or changed since it was made.
    pub fn open(path: &Path) -> Result<Self, KeyError> {
        let name = path.display().to_string();
        let file = Sections::open(path, MARK, VERSION).map_err(|error| match error {
            SectionsError::Io(source) => KeyError::Io { path: path.into(), source },
            error => error_in(&name, error),
        })?;
        Self::parse(file, &name)
    }

    /// Writes the key file, whole or not at all: see [`zkslice_formats::write`].
    ///
    /// # Errors
    /// [`KeyError::Io`].
    pub fn save(&self, path: &Path) -> Result<(), KeyError> {
        self.file.save(path).map_err(|source| KeyError::Io { path: path.into(), source })
    }

    fn parse(file: Sections, name: &str) -> Result<Self, KeyError> {
        let Header { transcript, layout, verifying_key } = file.header().map_err(|error| error_in(name, error))?;
        let record = hex::decode(&verifying_key).map_err(|e| malformed(name, &e.to_string()))?;
        let verifying_key = VerifyingKey::from_record(&record).map_err(|error| error.in_file(name))?;
        if file.count() != SECTIONS {
            return Err(malformed(name, "it has not the sections of version 4"));
        }
        let transcript = transcript.map(|hash| {
            let bytes = hex::decode(hash).ok().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
            bytes.ok_or_else(|| malformed(name, "its transcript hash is not 32 bytes in hexadecimal"))
        });
        let (transcript, verifying_key_hash) = (transcript.transpose()?, verifying_key.hash());
        let mut key = Self { file, layout, transcript, verifying_key, verifying_key_hash, blinding: Blinding::default() };
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
        let points = |at: usize| self.g1(Section::Points1).get(at).filter(|raw| is_canonical(*raw)).map(g1).filter(G1Affine::is_on_curve);
        let (Some(alpha), Some(beta), Some(delta1), Some(delta2), Some(first)) = (points(0), points(1), points(2), points(3), key.delta1)
        else {
            return Err(KeyError::unblinded(name));
        };
        let pairs = [(beta, key.beta), (delta1, first), (delta2, key.delta2)];
        let in_g2 = self.section(Section::Points2) == g2_bytes(&[key.beta, key.delta2]);
        if alpha == key.alpha && in_g2 && same_exponents(&pairs, &self.digest()) {
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

    /// Hash of the transcript of the ceremony that the key comes from; none for a development key.
    pub fn transcript(&self) -> Option<&[u8; 32]> {
        self.transcript.as_ref()
    }

    /// SHA-256 of the header, which holds the digests of all sections.
    pub fn digest(&self) -> [u8; 32] {
        self.file.digest()
    }

    /// Size in bytes.
    pub fn len(&self) -> usize {
        self.file.size()
    }

    /// Whether the key has no byte: never.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn section(&self, section: Section) -> &[u8] {
        self.file.section(section as usize)
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

fn error_in(name: &str, error: SectionsError) -> KeyError {
    match error {
        SectionsError::Version(error) => KeyError::Version { what: name.into(), error },
        SectionsError::Digest => KeyError::Digest { what: name.into() },
        error => malformed(name, &error.to_string()),
    }
}

fn malformed(what: &str, reason: &str) -> KeyError {
    KeyError::Malformed { what: what.into(), reason: reason.into() }
}
