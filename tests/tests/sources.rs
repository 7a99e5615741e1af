//! No test is left out: every file with tests is part of a binary that runs.

use std::fs;
use std::path::{Path, PathBuf};

use zkslice_tests::repository;

fn packages() -> Vec<PathBuf> {
    let crates = fs::read_dir(repository().join("crates")).unwrap().map(|entry| entry.unwrap().path());
    crates.chain([repository().join("tests")]).collect()
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] })
        .filter(|path| path.extension().is_some_and(|e| e == "rs"))
        .collect()
}

#[test]
fn every_file_of_tests_is_a_module_of_its_binary() {
    let mut modules = 0;
    for package in packages() {
        let manifest: toml::Table = fs::read_to_string(package.join("Cargo.toml")).unwrap().parse().unwrap();
        if manifest["package"].get("autotests").is_none_or(|value| value.as_bool() == Some(true)) {
            continue;
        }
        let root = fs::read_to_string(package.join("tests/main.rs")).unwrap();
        for entry in fs::read_dir(package.join("tests")).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_str().unwrap();
            if path.extension().is_some_and(|e| e == "rs") && name != "main" {
                assert!(
                    root.lines().any(|line| line == format!("mod {name};")),
                    "{}: tests/main.rs lacks `mod {name};`",
                    package.display()
                );
                modules += 1;
            }
        }
    }
    assert!(modules > 20, "{modules}");
}

/// Harnesses that would be empty are not built; so nobody writes a test for one.
#[test]
fn targets_without_tests_have_none() {
    for package in packages() {
        let manifest: toml::Table = fs::read_to_string(package.join("Cargo.toml")).unwrap().parse().unwrap();
        let off = |target: &toml::Value, key| target.get(key).and_then(toml::Value::as_bool) == Some(false);
        let targets = ["lib", "bin"].iter().filter_map(|kind| manifest.get(*kind)).flat_map(|target| match target {
            toml::Value::Array(all) => all.iter().collect(),
            one => vec![one],
        });
        let targets: Vec<&toml::Value> = targets.collect();
        for path in sources(&package.join("src")) {
            let text = fs::read_to_string(&path).unwrap();
            if targets.iter().any(|target| off(target, "test")) {
                let tests = ["#[test]", "#[tokio::test", "proptest! {"];
                assert!(!tests.iter().any(|test| text.contains(test)), "{}: Cargo.toml has `test = false`", path.display());
            }
            if targets.iter().any(|target| off(target, "doctest")) {
                // Every second fence opens a block; one without a language is Rust.
                let fences = text
                    .lines()
                    .filter_map(|line| line.trim_start().strip_prefix("//")?.strip_prefix(['/', '!'])?.trim_start().strip_prefix("```"));
                let opened: Vec<&str> = fences.step_by(2).collect();
                let rust = |language: &&&str| !["text", "toml", "json", "sh", "solidity"].contains(language);
                assert_eq!(opened.iter().find(rust), None, "{}: Cargo.toml has `doctest = false`", path.display());
            }
        }
    }
}
