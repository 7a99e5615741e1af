//! The header of a model's key blob, and whether it is the one that a digest stands for.
//!
//! Whoever knows the digest need not trust where the blob comes from. Only the header is read: the registry validates the whole blob
//! when it registers it.

use alloy::primitives::B256;
use zkslice_formats::KeyBlobHeader;

use crate::ChainError;

/// Reads the header of a model's blob.
///
/// # Errors
/// [`ChainError::MalformedBlob`], also when the header does not hash to `digest`.
pub fn read_header(digest: B256, blob: &[u8]) -> Result<KeyBlobHeader, ChainError> {
    let header = KeyBlobHeader::read(blob).and_then(|header| match B256::from(header.digest()) {
        computed if computed == digest => Ok(header),
        computed => Err(format!("its header hashes to {computed}")),
    });
    header.map_err(|reason| ChainError::MalformedBlob { digest, reason })
}
