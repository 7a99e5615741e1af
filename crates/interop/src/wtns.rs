//! Values of a circuit's wires: iden3's `.wtns`.
//!
//! ```text
//! 1  bytes of an element u32, prime, values u32        2  the values
//! ```

use ark_bn254::Fr;

use crate::InteropError;
use crate::binary::{Sections, element_bytes, field_header, write};

const WHAT: &str = ".wtns file";
const MAGIC: [u8; 4] = *b"wtns";

/// Reads the values of all wires, the constant first.
///
/// # Errors
/// [`InteropError::Malformed`]: another prime, a value that is not below r, a file that ends early or late.
pub fn read_wtns(bytes: &[u8]) -> Result<Vec<Fr>, InteropError> {
    let sections = Sections::read(WHAT, MAGIC, 2, bytes)?;
    let mut header = sections.one(1)?;
    header.field()?;
    let count = header.number()? as usize;
    header.end()?;
    let mut cursor = sections.one(2)?;
    let mut values = Vec::new();
    for _ in 0..count {
        values.push(cursor.element()?);
    }
    cursor.end()?;
    Ok(values)
}

/// The bytes of such a file.
pub fn write_wtns(values: &[Fr]) -> Vec<u8> {
    let mut header = field_header();
    header.extend((values.len() as u32).to_le_bytes());
    write(MAGIC, 2, &[(1, header), (2, values.iter().flat_map(|value| element_bytes(*value)).collect())])
}
