//! A folder with a model, its packages and bundles, and the command run in it.

#![allow(unreachable_pub)]

use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;
use zkslice_tests::Ran;

/// Runs the command.
macro_rules! run {
    ($($arg:expr),* $(,)?) => { zkslice_tests::run([$(AsRef::<std::ffi::OsStr>::as_ref(&$arg)),*]) };
}

/// Runs the command with `--json` and gives the one object that it printed; it must have succeeded.
macro_rules! ok {
    ($($arg:expr),* $(,)?) => { crate::scene::succeeded($crate::scene::run!($($arg,)* "--json")) };
}

/// Runs the command with `--json`: it must refuse with that exit code, in words that hold all of those given.
macro_rules! refused {
    ($code:expr, $words:expr, $($arg:expr),* $(,)?) => { crate::scene::refusal($crate::scene::run!($($arg,)* "--json"), $code, &$words) };
}

pub(crate) use {ok, refused, run};

/// A temporary folder and the model that is used in it.
#[derive(Debug)]
pub struct Scene {
    folder: TempDir,
    model: PathBuf,
}

impl Scene {
    /// With the smallest model.
    pub fn new() -> Self {
        Self::of("mlp_digits")
    }

    /// With another model.
    pub fn of(name: &str) -> Self {
        Self { folder: tempfile::tempdir().unwrap(), model: zkslice_tests::model(name) }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// A file that only its owner can read.
    pub fn secret(&self, name: &str, text: &str) -> PathBuf {
        use std::os::unix::fs::PermissionsExt;
        let path = self.write(name, text.as_bytes());
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    pub fn model(&self) -> PathBuf {
        self.model.join("model.onnx")
    }

    pub fn samples(&self) -> PathBuf {
        self.model.join("samples.json")
    }

    pub fn input(&self) -> PathBuf {
        self.model.join("input.json")
    }

    pub fn compile(&self, name: &str, slices: usize, input: &str) -> Value {
        ok!("compile", self.model(), "--samples", self.samples(), "--slices", slices.to_string(), "--input", input, "-o", self.path(name))
    }

    pub fn prove(&self, package: &str, bundle: &str) -> Value {
        ok!("prove", self.path(package), "--input", self.input(), "-o", self.path(bundle))
    }
}

pub fn succeeded(ran: Ran) -> Value {
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    ran.json()
}

pub fn refusal(ran: Ran, code: i32, words: &[&str]) -> String {
    assert_eq!(ran.code, Some(code), "{ran:?}");
    let object = ran.json();
    let error = object["error"].as_str().unwrap_or_else(|| panic!("no error in {object}")).to_owned();
    for word in words {
        assert!(error.contains(word), "`{word}` is not in: {error}");
    }
    assert!(!ran.stderr.contains("panicked"), "{}", ran.stderr);
    // `verify` reports what is not valid as its result.
    if object["valid"] != false {
        assert_eq!(object["exit_code"], code);
        assert!(ran.stderr.contains(error.lines().next().unwrap()), "{} is not on standard error: {}", error, ran.stderr);
    }
    error
}

/// All files below a folder, sorted.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

/// A key file of a package, within it.
pub fn key(package: &Path, slice: usize, kind: &str) -> String {
    let keys: Value = serde_json::from_slice(&std::fs::read(package.join("keys.json")).unwrap()).unwrap();
    format!("keys/{}/{slice}.{kind}.key", &keys["slices"][0]["verifying_key"].as_str().unwrap()[2..18])
}

/// Whatever looks half-written below a folder.
pub fn leftovers(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "partial" || e == "old") {
            found.push(path.display().to_string());
        }
        if path.is_dir() {
            found.extend(leftovers(&path));
        }
    }
    found
}
