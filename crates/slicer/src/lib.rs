//! Partition of an integer graph into slices, the model package and its manifest.
//!
//! ```text
//! partition  where to cut: fewest rows in the largest slice
//! split      a node in parts, for graphs with nodes that no slice holds
//! fit        which nodes to compute in parts, so that slices stay below a limit
//! slices     sub-graphs, their borders and the wiring between them
//! manifest   tensors, slices, and what a wiring must be
//! package    the folder on disk: manifest, slices, keys
//! setup      keys of packages, made together
//! size       bytes of a key, time and memory of a proof
//! blob       key blob and model digest, of a package: what contracts read
//! ```

mod blob;
mod error;
mod fit;
mod manifest;
mod package;
mod partition;
mod setup;
mod size;
mod slices;
mod split;

pub use blob::{KeyBlob, layout_digest, slots};
pub use error::PackageError;
pub use fit::fit;
pub use manifest::{CircuitEntry, FeatureEntry, InputMode, Manifest, SliceEntry, TensorEntry};
pub use package::{KeyManifest, Package, PackageOptions, SliceKeyEntry};
pub use partition::{Partition, Strategy, partition};
pub use setup::{install, setup, setup_again};
pub use size::{key_bytes, prove_estimate};
pub use slices::{Slice, SliceModel, Wiring, WiringTensor, slice};
pub use split::{Split, split};
pub use zkslice_formats::key_blob::{Slot, TensorKind};
pub use zkslice_graph::cost::{Cost, rows};
