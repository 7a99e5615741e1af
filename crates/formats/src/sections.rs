//! Files of large sections, memory-mapped, each with a SHA-256 digest, after a header of JSON.
//!
//! ```text
//! mark (8 bytes)  version u32  header length u32  header  padding to 64 bytes  sections, each padded to 64 bytes
//! ```
//!
//! Numbers are little-endian. The header holds the digests of the sections; its own is the file's.

use std::fs::File;
use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{Readers, VersionError, check_version, write};

const ALIGN: usize = 64;
const FIXED: usize = 16;

/// Why a file is not read. What each says follows the file's name.
#[derive(Debug, thiserror::Error)]
pub enum SectionsError {
    /// Of the system.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// Another version.
    #[error(transparent)]
    Version(#[from] VersionError),
    /// Not of this format.
    #[error("{0}")]
    Malformed(String),
    /// A section has another digest than the header says.
    #[error("does not match its digest")]
    Digest,
}

fn malformed(reason: impl ToString) -> SectionsError {
    SectionsError::Malformed(reason.to_string())
}

#[derive(Serialize)]
struct WrittenHeader<'a, H> {
    header: &'a H,
    sections: Vec<Section>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReadHeader {
    header: serde_json::Value,
    sections: Vec<Section>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Section {
    bytes: usize,
    sha256: String,
}

#[derive(Debug)]
enum Bytes {
    Mapped(memmap2::Mmap),
    Owned(Vec<u64>),
}

/// A file of sections, in memory or mapped into it. Sections begin at multiples of 64 bytes, the whole at one of 8 or more.
#[derive(Debug)]
pub struct Sections {
    bytes: Bytes,
    offsets: Vec<(usize, usize)>,
    header: serde_json::Value,
    digest: [u8; 32],
}

fn padded(length: usize) -> usize {
    length.div_ceil(ALIGN) * ALIGN
}

impl Sections {
    /// The file in memory.
    ///
    /// # Errors
    /// [`SectionsError::Malformed`] where the header is no JSON.
    pub fn new(mark: [u8; 8], version: u32, header: &impl Serialize, sections: &[&[u8]]) -> Result<Self, SectionsError> {
        let digest = |section: &&[u8]| Section { bytes: section.len(), sha256: hex::encode(Sha256::digest(section)) };
        let header = WrittenHeader { header, sections: sections.iter().map(digest).collect() };
        let header = serde_json::to_vec(&header).map_err(malformed)?;
        let size = padded(FIXED + header.len()) + sections.iter().map(|section| padded(section.len())).sum::<usize>();
        let mut words = vec![0_u64; size / 8];
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut words);
        bytes[..8].copy_from_slice(&mark);
        bytes[8..12].copy_from_slice(&version.to_le_bytes());
        bytes[12..FIXED].copy_from_slice(&(header.len() as u32).to_le_bytes());
        bytes[FIXED..FIXED + header.len()].copy_from_slice(&header);
        let mut at = padded(FIXED + header.len());
        for section in sections {
            bytes[at..at + section.len()].copy_from_slice(section);
            at += padded(section.len());
        }
        Self::parse(Bytes::Owned(words), mark, version, false)
    }

    /// Maps a file and checks every digest.
    ///
    /// # Errors
    /// [`SectionsError`].
    pub fn open(path: &Path, mark: [u8; 8], version: u32) -> Result<Self, SectionsError> {
        let file = File::open(path)?;
        // SAFETY: the map is read-only. Another process that changes the file meanwhile can make what is computed from it fail or be
        // wrong, as it could before the file was opened: whoever releases a result checks it.
        #[allow(unsafe_code)]
        let map = unsafe { memmap2::Mmap::map(&file) }?;
        Self::parse(Bytes::Mapped(map), mark, version, true)
    }

    fn parse(bytes: Bytes, mark: [u8; 8], version: u32, checked: bool) -> Result<Self, SectionsError> {
        let data = match &bytes {
            Bytes::Mapped(map) => &map[..],
            Bytes::Owned(words) => bytemuck::cast_slice(words),
        };
        let number = |at: usize| {
            let chunk = data.get(at..at + 4).ok_or_else(|| malformed("it is too short"))?;
            Ok::<_, SectionsError>(u32::from_le_bytes([chunk[0], chunk[1], chunk[2], chunk[3]]))
        };
        if data.get(..8) != Some(&mark) {
            return Err(malformed(format!("it does not start with the mark {}", String::from_utf8_lossy(&mark))));
        }
        check_version(number(8)?.into(), version)?;
        let length = number(12)? as usize;
        let header_bytes = data.get(FIXED..FIXED + length).ok_or_else(|| malformed("it ends in its header"))?;
        let ReadHeader { header, sections } = serde_json::from_slice(header_bytes).map_err(malformed)?;
        let mut at = padded(FIXED + length);
        let mut offsets = Vec::with_capacity(sections.len());
        for section in &sections {
            let end = at.checked_add(section.bytes).ok_or_else(|| malformed("a section is too long"))?;
            let content = data.get(at..end).ok_or_else(|| malformed("it ends in a section"))?;
            if checked && hex::encode(Sha256::digest(content)) != section.sha256 {
                return Err(SectionsError::Digest);
            }
            offsets.push((at, end));
            at = padded(end);
        }
        if data.len() != at {
            return Err(malformed("it is longer than its sections"));
        }
        let digest = Sha256::digest(header_bytes).into();
        Ok(Self { bytes, offsets, header, digest })
    }

    /// Writes the file, whole or not at all: see [`write`].
    ///
    /// # Errors
    /// Of the system.
    pub fn save(&self, path: &Path) -> std::io::Result<()> {
        write(path, Readers::Umask, self.bytes())
    }

    fn bytes(&self) -> &[u8] {
        match &self.bytes {
            Bytes::Mapped(map) => map,
            Bytes::Owned(words) => bytemuck::cast_slice(words),
        }
    }

    /// The header.
    ///
    /// # Errors
    /// [`SectionsError::Malformed`] where it has other fields.
    pub fn header<H: DeserializeOwned>(&self) -> Result<H, SectionsError> {
        H::deserialize(&self.header).map_err(malformed)
    }

    /// How many sections there are.
    pub fn count(&self) -> usize {
        self.offsets.len()
    }

    /// A section; empty where there is none.
    pub fn section(&self, index: usize) -> &[u8] {
        self.offsets.get(index).map_or(&[], |(start, end)| &self.bytes()[*start..*end])
    }

    /// SHA-256 of the header, which holds the digests of all sections.
    pub fn digest(&self) -> [u8; 32] {
        self.digest
    }

    /// Size in bytes.
    pub fn size(&self) -> usize {
        self.bytes().len()
    }
}
