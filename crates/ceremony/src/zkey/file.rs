//! The file's sections.

use std::path::Path;

use ark_bn254::{Fq, Fr, G1Affine, G2Affine};
use ark_ff::{BigInt, BigInteger, MontConfig, PrimeField};
use zkslice_formats::Readers;
use zkslice_interop::{Cursor, InteropError, Sections, write_sections};

use super::{Coefficient, Zkey, ZkeyContribution};
use crate::CeremonyError;
use crate::points::{Point, next_point, read_key};
use crate::snarkjs::read_parameters;

const WHAT: &str = ".zkey file";
const MAGIC: [u8; 4] = *b"zkey";
const VERSION: u32 = 1;
const GROTH16: u32 = 1;
const MOST_POWER: u32 = 27;
const COEFFICIENT: usize = 12 + 32;
/// Bytes of a contribution without its parameters.
const CONTRIBUTION: usize = 3 * 64 + 128 + 64 + 8;

/// A coefficient as the file has it: times R², so that one Montgomery multiplication with a plain number gives a plain product in
/// Montgomery form. Its limbs are those of c·R in Montgomery form.
fn to_file(c: Fr) -> [u8; 32] {
    let times_r = c * Fr::new_unchecked(ark_bn254::FrConfig::R2);
    let limbs = times_r.0.0.map(u64::to_le_bytes);
    let mut bytes = [0; 32];
    bytes.copy_from_slice(limbs.as_flattened());
    bytes
}

fn from_file(bytes: &[u8]) -> Option<Fr> {
    let (limbs, _) = bytes.as_chunks::<8>();
    let limbs = BigInt([0, 1, 2, 3].map(|i| u64::from_le_bytes(limbs[i])));
    // Reading the limbs as c·R² and not as a Montgomery form: c·R² / R².
    (limbs < Fr::MODULUS).then(|| Fr::new_unchecked(limbs) * Fr::new_unchecked(BigInt::one()))
}

fn invalid(reason: impl Into<String>) -> CeremonyError {
    CeremonyError::Invalid(reason.into())
}

fn in_file(error: InteropError) -> CeremonyError {
    CeremonyError::Refused(error.to_string())
}

fn point<P: Point>(cursor: &mut Cursor<'_>, what: &str) -> Result<P, CeremonyError> {
    next_point(cursor).ok_or_else(|| invalid(format!("{what} is missing, infinite or no point of its group")))
}

impl Zkey {
    /// Opens a file.
    ///
    /// # Errors
    /// As [`Zkey::from_bytes`]; [`CeremonyError::Io`].
    pub fn open(path: &Path) -> Result<Self, CeremonyError> {
        Self::from_bytes(&std::fs::read(path).map_err(CeremonyError::io(path))?)
            .map_err(|error| CeremonyError::Refused(format!("{}: {error}", path.display())))
    }

    /// Writes the file, whole or not at all.
    ///
    /// # Errors
    /// [`CeremonyError::Io`].
    pub fn save(&self, path: &Path) -> Result<(), CeremonyError> {
        zkslice_formats::write(path, Readers::Umask, &self.to_bytes()).map_err(CeremonyError::io(path))
    }

    /// Reads a file: every count, every point of a group, every coefficient reduced. Whether its points are those of a circuit
    /// [`Zkey::verify`] tells.
    ///
    /// # Errors
    /// [`CeremonyError::Invalid`], [`CeremonyError::Refused`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CeremonyError> {
        let sections = Sections::read(WHAT, MAGIC, VERSION, bytes).map_err(in_file)?;
        let section = |kind: u32| sections.one(kind).map_err(in_file);
        if section(1)?.number().map_err(in_file)? != GROTH16 {
            return Err(invalid("it is a key of another proof system than Groth16"));
        }
        let mut header = section(2)?;
        let base = header.number().and_then(|length| header.take(length as usize)).map_err(in_file)?;
        if base != Fq::MODULUS.to_bytes_le() {
            return Err(invalid("it is of another curve than BN254"));
        }
        header.field().map_err(in_file)?;
        let [wires, publics, domain] = [header.number(), header.number(), header.number()].map(|n| n.map(|n| n as usize));
        let (wires, publics, domain) = (wires.map_err(in_file)?, publics.map_err(in_file)?, domain.map_err(in_file)?);
        let (alpha, beta) = (point(&mut header, "α")?, point(&mut header, "β")?);
        let (beta2, gamma2) = (point(&mut header, "β in G2")?, point(&mut header, "γ")?);
        let (delta, delta2) = (point(&mut header, "δ")?, point(&mut header, "δ in G2")?);
        header.end().map_err(in_file)?;
        if publics >= wires || !domain.is_power_of_two() || domain > 1 << MOST_POWER {
            return Err(invalid("its numbers of wires and rows are not those of a circuit"));
        }
        let points = |kind: u32, count: usize, what: &str| -> Result<Vec<G1Affine>, CeremonyError> { list(section(kind)?, count, what) };
        let ic = points(3, publics + 1, "IC")?;
        let a = points(5, wires, "A")?;
        let b1 = points(6, wires, "B in G1")?;
        let b2: Vec<G2Affine> = list(section(7)?, wires, "B in G2")?;
        let c = points(8, wires - publics - 1, "C")?;
        let h = points(9, domain, "H")?;
        let coefficients = read_coefficients(section(4)?, wires, domain)?;
        let (circuit_hash, contributions) = read_contributions(section(10)?)?;
        Ok(Self {
            wires,
            publics,
            domain,
            alpha,
            beta,
            beta2,
            gamma2,
            delta,
            delta2,
            ic,
            coefficients,
            a,
            b1,
            b2,
            c,
            h,
            circuit_hash,
            contributions,
        })
    }

    /// The file's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut header = 32u32.to_le_bytes().to_vec();
        header.extend(Fq::MODULUS.to_bytes_le());
        header.extend(32u32.to_le_bytes());
        header.extend(Fr::MODULUS.to_bytes_le());
        for count in [self.wires, self.publics, self.domain] {
            header.extend((count as u32).to_le_bytes());
        }
        header.extend(G1Affine::raw(&[self.alpha, self.beta]));
        header.extend(G2Affine::raw(&[self.beta2, self.gamma2]));
        header.extend(G1Affine::raw(&[self.delta]));
        header.extend(G2Affine::raw(&[self.delta2]));
        let mut coefficients = (self.coefficients.len() as u32).to_le_bytes().to_vec();
        for (is_b, row, wire, c) in &self.coefficients {
            [u32::from(*is_b), *row, *wire].iter().for_each(|n| coefficients.extend(n.to_le_bytes()));
            coefficients.extend(to_file(*c));
        }
        let mut transcript = self.circuit_hash.to_vec();
        transcript.extend((self.contributions.len() as u32).to_le_bytes());
        self.contributions.iter().for_each(|contribution| transcript.extend(contribution.to_bytes()));
        let sections = [
            (1, GROTH16.to_le_bytes().to_vec()),
            (2, header),
            (3, G1Affine::raw(&self.ic)),
            (4, coefficients),
            (5, G1Affine::raw(&self.a)),
            (6, G1Affine::raw(&self.b1)),
            (7, G2Affine::raw(&self.b2)),
            (8, G1Affine::raw(&self.c)),
            (9, G1Affine::raw(&self.h)),
            (10, transcript),
        ];
        write_sections(MAGIC, VERSION, &sections)
    }
}

fn list<P: Point>(mut cursor: Cursor<'_>, count: usize, what: &str) -> Result<Vec<P>, CeremonyError> {
    let bytes = count.checked_mul(P::BYTES).and_then(|length| cursor.take(length).ok());
    let bytes = bytes.filter(|_| cursor.end().is_ok()).ok_or_else(|| invalid(format!("{what} has not {count} points")))?;
    read_key(bytes, what)
}

fn read_coefficients(mut cursor: Cursor<'_>, wires: usize, domain: usize) -> Result<Vec<Coefficient>, CeremonyError> {
    let count = cursor.count(COEFFICIENT).map_err(in_file)?;
    let mut list = Vec::with_capacity(count);
    for _ in 0..count {
        let mut number = || cursor.number().map_err(in_file);
        let (matrix, row, wire) = (number()?, number()?, number()?);
        let value =
            from_file(cursor.take(32).map_err(in_file)?).filter(|_| matrix < 2 && (row as usize) < domain && (wire as usize) < wires);
        list.push((matrix == 1, row, wire, value.ok_or_else(|| invalid("a coefficient is none of its matrices"))?));
    }
    cursor.end().map_err(in_file)?;
    Ok(list)
}

fn read_contributions(mut cursor: Cursor<'_>) -> Result<([u8; 64], Vec<ZkeyContribution>), CeremonyError> {
    let hash = |cursor: &mut Cursor<'_>| -> Result<[u8; 64], CeremonyError> {
        cursor.take(64).map_err(in_file)?.try_into().map_err(|_| invalid("a hash ends early"))
    };
    let circuit_hash = hash(&mut cursor)?;
    let count = cursor.count(CONTRIBUTION).map_err(in_file)?;
    let mut contributions = Vec::with_capacity(count);
    for index in 0..count {
        let what = format!("a point of contribution {}", index + 1);
        let (delta, s, sx) = (point(&mut cursor, &what)?, point(&mut cursor, &what)?, point(&mut cursor, &what)?);
        let spx = point(&mut cursor, &what)?;
        let transcript = hash(&mut cursor)?;
        let kind = cursor.number().map_err(in_file)?;
        let length = cursor.number().map_err(in_file)? as usize;
        let parameters = cursor.take(length).map_err(in_file)?;
        let wrong = || invalid(format!("contribution {}: its parameters cannot be read", index + 1));
        let (name, beacon) = read_parameters(parameters).ok_or_else(wrong)?;
        if kind != u32::from(beacon.is_some()) {
            return Err(wrong());
        }
        contributions.push(ZkeyContribution { delta, s, sx, spx, transcript, name, beacon });
    }
    cursor.end().map_err(in_file)?;
    Ok((circuit_hash, contributions))
}

impl ZkeyContribution {
    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = G1Affine::raw(&[self.delta, self.s, self.sx]);
        bytes.extend(G2Affine::raw(&[self.spx]));
        bytes.extend(self.transcript);
        bytes.extend(u32::from(self.beacon.is_some()).to_le_bytes());
        let mut parameters = Vec::new();
        if !self.name.is_empty() {
            parameters.extend([1, self.name.len() as u8]);
            parameters.extend(self.name.as_bytes());
        }
        if let Some((value, exponent)) = &self.beacon {
            parameters.extend([2, *exponent, 3, value.len() as u8]);
            parameters.extend(value);
        }
        bytes.extend((parameters.len() as u32).to_le_bytes());
        bytes.extend(parameters);
        bytes
    }
}
