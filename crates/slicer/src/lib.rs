//! Cost model, partition of an integer graph into slices, the model package and its manifest.
//!
//! ```text
//! cost       rows of a slice, boundaries included, without building its circuit
//! partition  where to cut: fewest rows in the largest slice
//! slices     sub-graphs, their borders and the wiring between them
//! package    the folder on disk: manifest, slices, keys
//! blob       key blob and model digest: what contracts read
//! ```

mod blob;
mod cost;
mod error;
mod package;
mod partition;
mod slices;

pub use blob::{KeyBlob, MAX_CHUNK_BYTES, Slot, bitmap, layout_digest, slots};
pub use cost::{Cost, key_bytes, prove_estimate, rows};
pub use error::PackageError;
pub use package::{
    FeatureEntry, InputMode, KeyManifest, Manifest, Package, PackageOptions, SliceEntry, SliceKeyEntry, TensorEntry, TensorKind, setup,
    setup_again,
};
pub use partition::{Partition, Strategy, partition};
pub use slices::{Slice, SliceModel, Wiring, WiringTensor, slice};
