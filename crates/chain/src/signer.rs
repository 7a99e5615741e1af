//! Private keys from files.
//!
//! A key is read once, from a file that only its owner can read, and is never printed: of a signer, only the address is shown.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use alloy::primitives::B256;
use alloy::signers::local::PrivateKeySigner;
use zeroize::Zeroizing;

use crate::ChainError;

/// `0x`, 64 digits and a line end, and one byte more to notice what is longer.
const MAX_KEY_FILE_BYTES: u64 = 69;

/// Bytes of a file of secrets.
const MAX_SECRET_FILE_BYTES: u64 = 1 << 16;

/// Reads a private key: 64 hexadecimal digits, with or without `0x`, white space around them allowed.
///
/// # Errors
/// [`ChainError::KeyMode`] unless the file's mode is 0600 or 0400 (Unix); [`ChainError::KeyUnreadable`],
/// [`ChainError::KeyMalformed`].
pub fn load(path: &Path) -> Result<PrivateKeySigner, ChainError> {
    let bytes = read(path, MAX_KEY_FILE_BYTES)?;
    let malformed = |reason| ChainError::KeyMalformed { path: path.to_owned(), reason };
    let text = bytes.trim_ascii();
    let text = text.strip_prefix(b"0x").unwrap_or(text);
    if text.len() != 64 {
        return Err(malformed("it has another length"));
    }
    let mut key = Zeroizing::new([0; 32]);
    hex::decode_to_slice(text, key.as_mut_slice()).map_err(|_| malformed("it has other characters than hexadecimal digits"))?;
    let mut word = Zeroizing::new(B256::ZERO.0);
    word.copy_from_slice(key.as_slice());
    PrivateKeySigner::from_slice(word.as_slice()).map_err(|_| malformed("it is zero or not below the curve's order"))
}

/// Reads a text that only its owner may read, such as a key of a service.
///
/// # Errors
/// As [`load`]; [`ChainError::KeyMalformed`] for what is no text.
pub fn secret(path: &Path) -> Result<Zeroizing<String>, ChainError> {
    let bytes = read(path, MAX_SECRET_FILE_BYTES)?;
    let text = std::str::from_utf8(bytes.trim_ascii());
    let malformed = |_| ChainError::KeyMalformed { path: path.to_owned(), reason: "it is not text" };
    Ok(Zeroizing::new(text.map_err(malformed)?.to_owned()))
}

/// A file that only its owner can read, up to so many bytes.
fn read(path: &Path, most: u64) -> Result<Zeroizing<Vec<u8>>, ChainError> {
    let unreadable = |reason: String| ChainError::KeyUnreadable { path: path.to_owned(), reason };
    let mut file = File::open(path).map_err(|e| unreadable(e.to_string()))?;
    let metadata = file.metadata().map_err(|e| unreadable(e.to_string()))?;
    if !metadata.is_file() {
        return Err(unreadable("it is not a file".to_owned()));
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = metadata.permissions().mode() & 0o7777;
        if mode != 0o600 && mode != 0o400 {
            return Err(ChainError::KeyMode { path: path.to_owned(), mode });
        }
    }
    // Allocated once and whole, so that no copy stays behind when it grows.
    let mut bytes = Zeroizing::new(Vec::with_capacity(2 * most as usize));
    (&mut file).take(most).read_to_end(&mut bytes).map_err(|e| unreadable(e.to_string()))?;
    Ok(bytes)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    const KEY: &str = "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";

    fn with(content: &str, mode: u32) -> Result<PrivateKeySigner, ChainError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        load(&path)
    }

    #[test]
    fn accepts_keys_with_and_without_prefix() {
        for content in [KEY.to_owned(), format!("0x{KEY}"), format!("0x{KEY}\n"), format!("{}\r\n", KEY.to_uppercase())] {
            let signer = with(&content, 0o600).unwrap();
            assert_eq!(signer.address().to_string(), "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266");
        }
        with(KEY, 0o400).unwrap();
    }

    #[test]
    fn refuses_other_modes() {
        for mode in [0o644, 0o640, 0o604, 0o660, 0o700, 0o666] {
            let error = with(KEY, mode).unwrap_err();
            assert!(matches!(error, ChainError::KeyMode { mode: m, .. } if m == mode));
            assert!(error.to_string().contains("chmod 600"), "{error}");
            assert_eq!(error.code(), "ZKS-CHAIN-011");
        }
    }

    #[test]
    fn refuses_what_is_no_key_without_repeating_it() {
        let zero = "0".repeat(64);
        let order = "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141";
        let longer = format!("{KEY}{KEY}");
        for content in ["", "0x", &KEY[1..], &KEY.replace('a', "g"), &zero, order, &longer, &format!("{KEY} {KEY}")] {
            let error = with(content, 0o600).unwrap_err();
            assert!(matches!(error, ChainError::KeyMalformed { .. }), "{content:?}: {error}");
            assert!(!error.to_string().contains("ac0974"));
        }
        assert!(matches!(load(Path::new("/nonexistent/key")), Err(ChainError::KeyUnreadable { .. })));
        assert!(matches!(load(tempfile::tempdir().unwrap().path()), Err(ChainError::KeyUnreadable { .. })));
    }
}
