//! Rewrites every committed file that this crate makes: the golden verifiers, the example under `contracts/generated`,
//! and the bundles of the real prover that the Solidity tests verify. A test compares them byte for byte.
//!
//! ```text
//! cargo run --release -p zkslice-solidity --example generate
//! ```

#![allow(clippy::unwrap_used)]

use std::fs;

#[path = "../tests/common/mod.rs"]
mod common;

fn main() {
    for (path, bytes) in common::committed_files() {
        let target = common::root().join(&path);
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::write(target, bytes).unwrap();
        println!("{}", path.display());
    }
}
