//! Files of large sections, memory-mapped, each with a SHA-256 digest, after a header of JSON.
//!
//! ```text
//! mark (8 bytes)  version u32  header length u32  header  padding to 64 bytes  sections, each padded to 64 bytes
//! ```
//!
//! Numbers are little-endian. The header holds the digests of the sections; its own is the file's.

use std::fs::File;
use std::path::Path;

use serde::de::{DeserializeOwned, IgnoredAny};
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
struct ReadHeader<H, S> {
    header: H,
    sections: S,
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
    /// Where the header ends.
    header: usize,
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
        // What a file does not say in so many bytes takes no more of them here: a tree of JSON would take a hundred times as many.
        let ReadHeader { header: IgnoredAny, sections } =
            serde_json::from_slice::<ReadHeader<IgnoredAny, Vec<Section>>>(header_bytes).map_err(malformed)?;
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
        Ok(Self { bytes, offsets, header: FIXED + length, digest })
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
        let read = serde_json::from_slice::<ReadHeader<H, IgnoredAny>>(&self.bytes()[FIXED..self.header]).map_err(malformed)?;
        let ReadHeader { header, sections: IgnoredAny } = read;
        Ok(header)
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const MARK: [u8; 8] = *b"testmark";

    fn written(folder: &Path) -> (std::path::PathBuf, Vec<u8>) {
        let path = folder.join("file");
        let file = Sections::new(MARK, 2, &[1, 2, 3], &[&[7; 100], &[], &[9; 64]]).unwrap();
        file.save(&path).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        (path, bytes)
    }

    /// A tree of JSON takes a hundred times the bytes that state it, and would refuse this number.
    #[test]
    fn attack_a_header_is_not_read_before_it_is_asked_for() {
        let header = br#"{"header":[1e999],"sections":[]}"#;
        let mut bytes = [&MARK[..], &2u32.to_le_bytes(), &(header.len() as u32).to_le_bytes(), header].concat();
        bytes.resize(padded(bytes.len()), 0);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, bytes).unwrap();
        let file = Sections::open(&path, MARK, 2).unwrap();
        assert!(matches!(file.header::<Vec<u32>>(), Err(SectionsError::Malformed(_))));
        assert!(file.header::<IgnoredAny>().is_ok());
    }

    #[test]
    fn a_file_is_read_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let (path, bytes) = written(folder.path());
        let file = Sections::open(&path, MARK, 2).unwrap();
        assert_eq!((file.header::<[u8; 3]>().unwrap(), file.count(), file.size()), ([1, 2, 3], 3, bytes.len()));
        assert_eq!((file.section(0), file.section(1), file.section(2), file.section(3)), (&[7; 100][..], &[][..], &[9; 64][..], &[][..]));
        assert!((0..3).all(|section| (file.section(section).as_ptr() as usize).is_multiple_of(ALIGN) || section == 1));
        assert!(matches!(file.header::<[u8; 2]>(), Err(SectionsError::Malformed(_))));
    }

    #[test]
    fn what_is_damaged_or_something_else_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (path, bytes) = written(folder.path());
        let opened = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            Sections::open(&path, MARK, 2)
        };
        let length = 16 + u32::from_le_bytes(bytes[12..16].try_into().unwrap()) as usize;
        let first = length.div_ceil(ALIGN) * ALIGN;
        for at in 0..bytes.len() {
            let mut wrong = bytes.clone();
            wrong[at] ^= 1;
            // Between sections is nobody's; of the header some other JSON may be left, whose digest is another.
            let is_read = at < length || (first..first + 100).contains(&at) || (first + 128..first + 192).contains(&at);
            match opened(&wrong) {
                Ok(file) => assert!(!is_read || file.digest() != opened(&bytes).unwrap().digest(), "byte {at}"),
                Err(_) => assert!(is_read, "byte {at}"),
            }
        }
        for cut in [0, 8, 15, 16, length, first, bytes.len() - 1] {
            assert!(opened(&bytes[..cut]).is_err(), "cut to {cut} bytes");
        }
        assert!(matches!(opened(&[&bytes[..], &[0; 64]].concat()), Err(SectionsError::Malformed(_))));
        let header = |text: &str| {
            let mut file = bytes[..12].to_vec();
            file.extend_from_slice(&(text.len() as u32).to_le_bytes());
            file.extend_from_slice(text.as_bytes());
            file.resize(file.len().div_ceil(ALIGN) * ALIGN, 0);
            opened(&file)
        };
        header(r#"{"header":0,"sections":[]}"#).unwrap();
        for text in [
            r#"{"header":0,"sections":[{"bytes":18446744073709551615,"sha256":""}]}"#,
            r#"{"header":0,"sections":[{"bytes":1000,"sha256":""}]}"#,
            r#"{"header":0,"sections":[],"more":1}"#,
            r#"{"sections":[]}"#,
            "",
        ] {
            assert!(matches!(header(text), Err(SectionsError::Malformed(_))), "{text}");
        }
        std::fs::write(&path, &bytes).unwrap();
        assert!(matches!(Sections::open(&path, *b"anything", 2), Err(SectionsError::Malformed(_))));
        assert!(matches!(Sections::open(&path, MARK, 1), Err(SectionsError::Version(VersionError::Newer { .. }))));
        assert!(matches!(Sections::open(&path, MARK, 3), Err(SectionsError::Version(VersionError::Older { .. }))));
    }
}
