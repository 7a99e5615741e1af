//! The frame of iden3's binary files: four bytes of magic, version u32, number of sections u32; each section type u32, bytes u64, content.

use std::ops::Range;

use ark_bn254::Fr;
use ark_ff::{BigInteger, PrimeField};

use crate::InteropError;

/// What is wrong with a circuit of another prime, and how to mend it.
pub(crate) const OTHER_FIELD: &str =
    "it is not over the scalar field of BN254: compile the circuit with `--prime bn128`, which is circom's default";

/// The sections of a file, in its order.
#[derive(Debug)]
pub struct Sections<'a> {
    what: &'static str,
    bytes: &'a [u8],
    list: Vec<(u32, Range<usize>)>,
}

impl<'a> Sections<'a> {
    /// Reads the frame. Nothing may follow the last section.
    ///
    /// # Errors
    /// [`InteropError::Malformed`].
    pub fn read(what: &'static str, magic: [u8; 4], version: u32, bytes: &'a [u8]) -> Result<Self, InteropError> {
        let mut cursor = Cursor { what, bytes };
        if cursor.take(4).ok() != Some(&magic[..]) {
            return Err(InteropError::malformed(what, format!("it does not begin with `{}`", magic.escape_ascii())));
        }
        let found = cursor.number()?;
        if found != version {
            return Err(InteropError::malformed(what, format!("it has version {found}, {version} is read")));
        }
        let count = cursor.number()?;
        let mut list = Vec::new();
        for _ in 0..count {
            let kind = cursor.number()?;
            let length = usize::try_from(cursor.long()?).map_err(|_| ends_early(what))?;
            let start = bytes.len() - cursor.bytes.len();
            cursor.take(length)?;
            list.push((kind, start..start + length));
        }
        cursor.end()?;
        Ok(Self { what, bytes, list })
    }

    /// Types of the sections, and where they are.
    pub fn ranges(&self) -> impl Iterator<Item = (u32, Range<usize>)> {
        self.list.iter().cloned()
    }

    /// The only section of a type.
    ///
    /// # Errors
    /// [`InteropError::Malformed`].
    pub fn one(&self, kind: u32) -> Result<Cursor<'a>, InteropError> {
        let mut of_kind = self.all(kind);
        match (of_kind.next(), of_kind.next()) {
            (Some(bytes), None) => Ok(Cursor { what: self.what, bytes }),
            (None, _) => Err(InteropError::malformed(self.what, format!("section {kind} is missing"))),
            _ => Err(InteropError::malformed(self.what, format!("section {kind} is there twice"))),
        }
    }

    /// All sections of a type.
    pub fn all(&self, kind: u32) -> impl Iterator<Item = &'a [u8]> + '_ {
        self.list.iter().filter(move |(found, _)| *found == kind).map(|(_, range)| &self.bytes[range.clone()])
    }
}

fn ends_early(what: &'static str) -> InteropError {
    InteropError::malformed(what, "it ends early")
}

/// Reads numbers one after the other.
#[derive(Debug)]
pub struct Cursor<'a> {
    what: &'static str,
    bytes: &'a [u8],
}

impl<'a> Cursor<'a> {
    /// Over bytes of a kind of file, which errors name.
    pub fn new(what: &'static str, bytes: &'a [u8]) -> Self {
        Self { what, bytes }
    }

    /// The next bytes.
    ///
    /// # Errors
    /// [`InteropError::Malformed`] where there are fewer; so with all others here.
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], InteropError> {
        let (taken, rest) = self.bytes.split_at_checked(count).ok_or_else(|| ends_early(self.what))?;
        self.bytes = rest;
        Ok(taken)
    }

    /// A number of 32 bits, the lowest byte first.
    ///
    /// # Errors
    /// As [`Cursor::take`].
    pub fn number(&mut self) -> Result<u32, InteropError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    /// A number of 64 bits, the lowest byte first.
    ///
    /// # Errors
    /// As [`Cursor::take`].
    pub fn long(&mut self) -> Result<u64, InteropError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], InteropError> {
        self.take(N)?.try_into().map_err(|_| ends_early(self.what))
    }

    /// A count of things that take at least `bytes` each, so that nothing is allocated for what cannot be there.
    ///
    /// # Errors
    /// [`InteropError::Malformed`].
    pub fn count(&mut self, bytes: usize) -> Result<usize, InteropError> {
        let count = self.number()? as usize;
        if count > self.bytes.len() / bytes { Err(ends_early(self.what)) } else { Ok(count) }
    }

    /// Length of an element, and the prime: only BN254's scalar field is taken.
    ///
    /// # Errors
    /// [`InteropError::Malformed`].
    pub fn field(&mut self) -> Result<(), InteropError> {
        let length = self.number()?;
        let modulus = self.take(length as usize)?;
        if modulus == Fr::MODULUS.to_bytes_le() { Ok(()) } else { Err(InteropError::malformed(self.what, OTHER_FIELD)) }
    }

    /// An element in 32 bytes, lowest first.
    ///
    /// # Errors
    /// [`InteropError::Malformed`].
    pub fn element(&mut self) -> Result<Fr, InteropError> {
        let bytes: [u8; 32] = self.array()?;
        let (limbs, _) = bytes.as_chunks::<8>();
        let limbs = [0, 1, 2, 3].map(|i| u64::from_le_bytes(limbs[i]));
        Fr::from_bigint(ark_ff::BigInt(limbs)).ok_or_else(|| InteropError::malformed(self.what, "a value in it is not below r"))
    }

    /// Refuses anything that is left.
    ///
    /// # Errors
    /// [`InteropError::Malformed`].
    pub fn end(&self) -> Result<(), InteropError> {
        if self.bytes.is_empty() { Ok(()) } else { Err(InteropError::malformed(self.what, "something follows its end")) }
    }
}

/// Writes a file of these sections.
pub fn write(magic: [u8; 4], version: u32, sections: &[(u32, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = magic.to_vec();
    bytes.extend(version.to_le_bytes());
    bytes.extend((sections.len() as u32).to_le_bytes());
    for (kind, content) in sections {
        bytes.extend(kind.to_le_bytes());
        bytes.extend((content.len() as u64).to_le_bytes());
        bytes.extend(content);
    }
    bytes
}

/// Length of an element and the prime, as [`Cursor::field`] reads them.
pub(crate) fn field_header() -> Vec<u8> {
    let mut bytes = 32u32.to_le_bytes().to_vec();
    bytes.extend(Fr::MODULUS.to_bytes_le());
    bytes
}

/// An element in 32 bytes, lowest first.
pub(crate) fn element_bytes(value: Fr) -> Vec<u8> {
    value.into_bigint().to_bytes_le()
}
