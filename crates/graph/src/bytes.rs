//! The file format of a graph: magic, format version, postcard.

use crate::check::GraphError;
use crate::model::Graph;

/// First bytes of a graph file.
pub const MAGIC: [u8; 8] = *b"zkslgrph";
/// The format version that is written, and the only one that is read.
pub const VERSION: u32 = 4;

impl Graph {
    /// The graph as bytes: [`MAGIC`], [`VERSION`] (little-endian), then postcard. Equal graphs give equal bytes.
    ///
    /// # Errors
    /// Only when memory runs out inside the encoder.
    pub fn to_bytes(&self) -> Result<Vec<u8>, GraphError> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        postcard::to_extend(self, bytes).map_err(|error| GraphError::Encoding(error.to_string()))
    }

    /// Reads and validates a graph from untrusted bytes.
    ///
    /// # Errors
    /// When the bytes are no graph file, of another version, damaged, or hold a graph that [`Graph::validate`] refuses.
    pub fn from_bytes(bytes: &[u8]) -> Result<Graph, GraphError> {
        let rest = bytes.strip_prefix(&MAGIC).ok_or(GraphError::Magic)?;
        let (version, rest) = rest.split_first_chunk::<4>().ok_or(GraphError::Magic)?;
        let found = u32::from_le_bytes(*version);
        if found != VERSION {
            return Err(GraphError::Version { found, supported: VERSION });
        }
        let (graph, left) = postcard::take_from_bytes::<Graph>(rest).map_err(|error| GraphError::Encoding(error.to_string()))?;
        if !left.is_empty() {
            return Err(GraphError::Encoding(format!("{} bytes too many at its end", left.len())));
        }
        graph.validate()?;
        Ok(graph)
    }
}
