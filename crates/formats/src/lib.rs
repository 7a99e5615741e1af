//! What more than one crate writes or reads, and how it gets to disk.
//!
//! | module | what it knows |
//! |---|---|
//! | `files` | a file is written whole and durably, or not at all: [`write`] |
//! | `folder` | so is a folder: [`NewFolder`] |
//! | `lock` | one process at a time writes a file or a folder: [`FileLock`], [`FolderLock`] |
//! | `sections` | files of large sections, mapped into memory, with digests: [`Sections`] |
//! | `version` | the version that a format states: read first, and refused if this build does not read it |
//! | `json` | files of JSON as they are written: [`to_json`] |
//! | [`hex`](mod@hex) | bytes and words as hexadecimal text |
//! | `words` | 32-byte words: numbers, hashes, and how many digits fit |
//! | `chains` | what follows from a chain's id: where it adds points ([`Addition`]), whether it is local |
//! | [`key_blob`] | the header of a model's key blob, written and read |
//! | `panics` | a boundary for what others' libraries may do to others' files: [`guard`] |

mod chains;
mod files;
mod folder;
pub mod hex;
mod json;
pub mod key_blob;
mod lock;
mod panics;
mod sections;
mod version;
mod words;

pub use crate::hex::hex0x;
pub use chains::{Addition, is_local_chain};
pub use files::{Readers, write};
pub use folder::{NewFolder, Replaced};
pub use json::to_json;
pub use key_blob::KeyBlobHeader;
pub use lock::{FileLock, FolderLock};
pub use panics::guard;
pub use sections::{Sections, SectionsError};
pub use version::{VersionError, check_version, json_version};
pub use words::{WORD_BITS, Word, digits_per_word, keccak, push_number, tag, words_of};
