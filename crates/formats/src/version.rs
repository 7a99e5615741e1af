//! The version that a format states. It is read before anything else is: another version has other fields.

use serde::Deserialize;

/// Why a format is not read. What each says follows the format's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VersionError {
    /// A newer zkslice wrote it.
    #[error("has format version {found}, this build reads up to {known}: upgrade zkslice")]
    Newer {
        /// The version that it states.
        found: u64,
        /// The newest version that is read.
        known: u32,
    },
    /// An earlier zkslice wrote it. Who says so adds how to make it again.
    #[error("has format version {found}, which is no longer read")]
    Older {
        /// The version that it states.
        found: u64,
    },
    /// No zkslice wrote it.
    #[error("has format version 0, and there is no such version")]
    Zero,
}

/// Refuses every version but the one that is written.
///
/// # Errors
/// [`VersionError`].
pub fn check_version(found: u64, known: u32) -> Result<(), VersionError> {
    match found {
        0 => Err(VersionError::Zero),
        _ if found > known.into() => Err(VersionError::Newer { found, known }),
        _ if found < known.into() => Err(VersionError::Older { found }),
        _ => Ok(()),
    }
}

/// The field `version` of a JSON object, whose other fields may be any.
///
/// # Errors
/// Of the JSON, where there is no such number.
pub fn json_version(bytes: &[u8]) -> Result<u64, serde_json::Error> {
    #[derive(Deserialize)]
    struct Stated {
        version: u64,
    }
    serde_json::from_slice(bytes).map(|Stated { version }| version)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn one_version_is_read() {
        for (text, says) in [
            (r#"{"version": 2, "new": true}"#, ""),
            (r#"{"version": 0}"#, "version 0"),
            (r#"{"version": 1}"#, "format version 1, which is no longer read"),
            (r#"{"new": [], "version": 3}"#, "format version 3, this build reads up to 2: upgrade zkslice"),
            (r#"{"version": 18446744073709551615}"#, "upgrade zkslice"),
        ] {
            let error = check_version(json_version(text.as_bytes()).unwrap(), 2).err();
            match error {
                None => assert_eq!(says, ""),
                Some(error) => assert!(!says.is_empty() && error.to_string().contains(says), "{text}: {error}"),
            }
        }
        for text in ["", "[]", "{}", r#"{"version": "2"}"#, r#"{"version": -1}"#, r#"{"version": 2.0}"#] {
            json_version(text.as_bytes()).unwrap_err();
        }
    }
}
