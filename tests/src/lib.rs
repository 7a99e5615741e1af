//! Shared helpers of the tests that cross crates: where things lie, how the command is run, a seeded generator.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A helper that fails is a test that fails.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use serde_json::Value;
use zkslice_graph::{Input, Samples};

/// The repository's root.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests lie in the repository")
}

/// Folder of a model: `demo` is the demo's, the others lie in `tests/models`.
pub fn model(name: &str) -> PathBuf {
    if name == "demo" { repository().join("demo/model") } else { repository().join("tests/models").join(name) }
}

/// Calibration samples of a model.
pub fn samples(name: &str) -> Samples {
    Samples::from_json(&std::fs::read(model(name).join("samples.json")).unwrap()).unwrap()
}

/// Held-out inputs of a model and their labels.
pub fn heldout(name: &str) -> Vec<(Input, usize)> {
    let file = std::fs::File::open(model(name).join("heldout.npz")).unwrap();
    let mut archive = zip::ZipArchive::new(std::io::BufReader::new(file)).unwrap();
    let array = npyz::NpyFile::new(archive.by_name("x.npy").unwrap()).unwrap();
    let size = array.shape()[1..].iter().product::<u64>() as usize;
    let values: Vec<f32> = array.into_vec().unwrap();
    let labels: Vec<i64> = npyz::NpyFile::new(archive.by_name("y.npy").unwrap()).unwrap().into_vec().unwrap();
    assert_eq!(values.len(), labels.len() * size);
    let input = |chunk: &[f32]| Input(vec![chunk.iter().map(|x| f64::from(*x)).collect()]);
    values.chunks_exact(size).map(input).zip(labels.into_iter().map(|label| label as usize)).collect()
}

/// The `zkslice` command of this build.
///
/// Cargo hands a binary's path to its own package's tests only. So it is looked for where this test's profile put it, beside
/// the `deps` folder of the running test, after cargo was asked to bring it up to date; that takes a moment when it is. With the features of the whole workspace, so
/// that it is the one that `make` builds.
/// `ZKSLICE_BIN` names another binary, which is then taken as it is.
pub fn zkslice() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        if let Some(path) = std::env::var_os("ZKSLICE_BIN") {
            return path.into();
        }
        let test = std::env::current_exe().unwrap();
        let folder = test.ancestors().find(|path| path.ends_with("deps")).and_then(Path::parent).expect("cargo runs tests from `deps`");
        // The cargo that runs this test: another toolchain's would build everything again.
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| env!("CARGO").into()));
        cargo.current_dir(repository()).args(["build", "--quiet", "--workspace", "--bin", "zkslice"]);
        cargo.arg("--target-dir").arg(folder.parent().expect("a profile's folder has a parent"));
        if folder.ends_with("release") {
            cargo.arg("--release");
        }
        assert!(cargo.status().unwrap().success(), "the command does not build");
        folder.join("zkslice")
    })
}

/// What a command did.
#[derive(Debug)]
pub struct Ran {
    /// Exit code; none where a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("output is UTF-8");
        Self { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}

impl Ran {
    /// The one JSON object on standard output.
    pub fn json(&self) -> Value {
        assert_eq!(self.stdout.lines().count(), 1, "one line with one object, not:\n{}\n{}", self.stdout, self.stderr);
        let value: Value = serde_json::from_str(&self.stdout).unwrap();
        assert!(value.is_object(), "{value}");
        value
    }
}

/// Runs the command.
pub fn run<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Ran {
    Command::new(zkslice()).args(args).output().unwrap().into()
}

/// A generator (splitmix64) that gives the same numbers on every run.
#[derive(Clone, Debug)]
pub struct Random(pub u64);

impl Random {
    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `limit`; 0 where that is 0.
    pub fn below(&mut self, limit: usize) -> usize {
        (self.number() % (limit.max(1) as u64)) as usize
    }
}
