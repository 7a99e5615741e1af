//! Writes every committed file that Rust makes, by its path from the repository's root, under the folder that it is given:
//!
//! ```text
//! crates/solidity/tests/golden   a verifier of each form, and one for Bittensor
//! contracts/generated            an export
//! tests/solidity/fixtures        bundles of the real prover, and the vectors
//! tests/vectors/circuits.txt     digests of the committed models' graphs and circuits
//! docs/operators.md              the table of operators
//! ```
//!
//! `make generate` runs it and puts the files in their places.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use common::{FIXTURES, GENERATED, GOLDEN, VECTORS, bittensor_cases, cases, jobs, root};
use tempfile::TempDir;
use zkslice_formats::to_json;
use zkslice_solidity::export;

mod circuits;
#[path = "../../tests/common/mod.rs"]
mod common;
mod vectors;

type Files = BTreeMap<PathBuf, Vec<u8>>;

fn main() {
    let folder = PathBuf::from(std::env::args_os().nth(1).expect("give the folder to write under; `make generate` runs this"));
    let mut files = Files::from([
        (VECTORS.into(), to_json(&vectors::vectors()).unwrap()),
        ("tests/vectors/circuits.txt".into(), circuits::digests().into_bytes()),
        ("docs/operators.md".into(), operators().into_bytes()),
    ]);
    // The last has words, and keys as if from a ceremony.
    for case in cases().iter().chain(bittensor_cases().last()) {
        files.insert(Path::new(GOLDEN).join(format!("{}.sol", case.contract)), case.source.clone().into_bytes());
    }
    for (name, job) in jobs() {
        files.insert(Path::new(FIXTURES).join(format!("{name}.json")), to_json(&job.json).unwrap());
        if *name == "rust-single" {
            let out = TempDir::new().unwrap();
            let exported = out.path().join("export");
            export(&job.model.package, &exported).unwrap();
            read_folder(&exported, Path::new(GENERATED), &mut files);
        }
    }
    for (path, bytes) in files {
        let target = folder.join(&path);
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::write(target, bytes).unwrap();
    }
}

fn read_folder(folder: &Path, prefix: &Path, files: &mut Files) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = prefix.join(entry.file_name());
        if entry.path().is_dir() {
            read_folder(&entry.path(), &name, files);
        } else {
            files.insert(name, fs::read(entry.path()).unwrap());
        }
    }
}

/// The page that ends in the table of operators.
fn operators() -> String {
    let page = fs::read_to_string(root().join("docs/operators.md")).unwrap();
    let head = "| operator | in which form |\n|---|---|\n";
    let (text, _) = page.split_once(head).expect("docs/operators.md has the table's head");
    let rows: String =
        zkslice_compiler::operators().iter().map(|operator| format!("| {} | {} |\n", operator.name, operator.form)).collect();
    format!("{text}{head}{rows}")
}
