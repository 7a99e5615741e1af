//! The list of a package's files, and what a list may say.

use std::collections::BTreeSet;
use std::fmt::{Display, Formatter};
use std::ops::Range;
use std::str::FromStr;

use alloy::hex;
use alloy::primitives::B256;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::ToSchema;

/// Bytes of a chunk.
pub const CHUNK: u64 = 4 << 20;
/// What a list may say instead.
const CHUNKS: [u64; 2] = [64 << 10, 16 << 20];
/// Files of a package: three of each of 256 slices, and two.
const MOST_FILES: usize = 770;
/// Bytes of what is read into memory whole, and of a proving key. The quota bounds their sum.
const MOST_SMALL: u64 = 64 << 20;
const MOST_GRAPH: u64 = 4 << 30;
const MOST_KEY: u64 = 1 << 40;

/// A SHA-256, written as `sha256sum` writes it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sha(pub [u8; 32]);

impl Display for Sha {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl std::fmt::Debug for Sha {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        Display::fmt(self, f)
    }
}

impl FromStr for Sha {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        // One hash has one name.
        let is_plain = text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        let bytes = is_plain.then(|| hex::decode(text).ok()).flatten();
        bytes.and_then(|bytes| bytes.try_into().ok()).map(Self).ok_or(())
    }
}

impl Serialize for Sha {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Sha {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|()| serde::de::Error::custom("a SHA-256 is 64 hexadecimal digits in lower case"))
    }
}

/// A package's files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Listing {
    /// Digest of the model with its keys.
    #[schema(value_type = String, example = "0x2a…")]
    pub model: B256,
    /// Bytes of each chunk but a file's last.
    pub chunk_bytes: u64,
    /// The files. Proving keys that are not here are left out.
    pub files: Vec<Listed>,
}

/// A file of a package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Listed {
    /// Where it is in the package.
    pub path: String,
    /// Its length.
    pub bytes: u64,
    /// SHA-256 of it: its name at `/v1/blobs`.
    #[schema(value_type = String)]
    pub sha256: Sha,
    /// SHA-256 of each of its chunks.
    #[schema(value_type = Vec<String>)]
    pub chunks: Vec<Sha>,
    /// Of which slice it is the proving key; none of other files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slice: Option<u16>,
}

impl Listed {
    /// Where chunk `k` is.
    pub(super) fn span(&self, k: usize, chunk_bytes: u64) -> Range<u64> {
        let from = k as u64 * chunk_bytes;
        from..(from + chunk_bytes).min(self.bytes)
    }
}

/// What a path names in a package of a model, and which slice's proving key it is. Whatever is not exactly one of these is no path at all:
/// so none leads out of the folder.
fn kind(path: &str) -> Option<(u64, Option<u16>)> {
    let number = |text: &str| text.parse::<u16>().ok().filter(|n| n.to_string() == text && *n < 256);
    let is_setup = |name: &str| name.len() == 16 && name.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    match path.split('/').collect::<Vec<_>>()[..] {
        ["manifest.json" | "keys.json"] => Some((MOST_SMALL, None)),
        ["slices", k, "graph.bin"] => number(k).map(|_| (MOST_GRAPH, None)),
        ["keys", setup, name] if is_setup(setup) => {
            let (k, kind) = name.split_once('.')?;
            match kind {
                "verifying.key" => number(k).map(|_| (MOST_SMALL, None)),
                "proving.key" => number(k).map(|k| (MOST_KEY, Some(k))),
                _ => None,
            }
        }
        _ => None,
    }
}

impl Listing {
    /// Checks that it can be the list of a model's package. Whether it is that is seen when the files are here.
    ///
    /// # Errors
    /// What is wrong.
    pub fn check(&self, model: B256) -> Result<(), String> {
        if self.model != model {
            return Err(format!("it is of {}", self.model));
        }
        if !self.chunk_bytes.is_power_of_two() || !(CHUNKS[0]..=CHUNKS[1]).contains(&self.chunk_bytes) {
            return Err(format!("its chunks have {} bytes", self.chunk_bytes));
        }
        if self.files.len() > MOST_FILES {
            return Err(format!("it has {} files, and a package {MOST_FILES} at most", self.files.len()));
        }
        let mut paths = BTreeSet::new();
        for file in &self.files {
            // A name that is no name is shown so that it does nothing to a terminal, and not whole.
            let shown: String = file.path.chars().take(80).flat_map(char::escape_default).collect();
            let (most, slice) = kind(&file.path).ok_or_else(|| format!("'{shown}' is no file of a package"))?;
            if slice != file.slice {
                return Err(format!("'{shown}' is not of slice {:?}", file.slice));
            }
            if file.bytes == 0 || file.bytes > most {
                return Err(format!("'{shown}' has {} bytes, and not 1 to {most}", file.bytes));
            }
            if file.chunks.len() as u64 != file.bytes.div_ceil(self.chunk_bytes) {
                return Err(format!("'{shown}' has {} bytes in {} chunks", file.bytes, file.chunks.len()));
            }
            if !paths.insert(&file.path) {
                return Err(format!("'{shown}' is in it twice"));
            }
        }
        Ok(())
    }
}
