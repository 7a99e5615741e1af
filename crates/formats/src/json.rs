//! Files of JSON.

use serde::Serialize;

/// The bytes of a file of JSON: indented, for people who compare files, with a line's end at their end.
///
/// # Errors
/// Of the value's own serialiser.
pub fn to_json<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, serde_json::Error> {
    let mut bytes = serde_json::to_vec_pretty(value)?;
    bytes.push(b'\n');
    Ok(bytes)
}
