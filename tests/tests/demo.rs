//! The main job on a real chain: the demo, for one slice and for three, with public and with private input.

use std::path::Path;
use std::process::{Command, Output};

use zkslice_tests::{repository, zkslice};

/// Runs the demo on a model of the tree, in a folder of its own.
fn demo(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(zkslice()).current_dir(repository()).arg("demo").arg("--folder").arg(folder).args(arguments).output().unwrap()
}

fn succeeds(folder: &Path, arguments: &[&str], refusals: &[&str]) -> String {
    let out = demo(folder, arguments);
    let text = String::from_utf8(out.stdout).unwrap();
    assert!(out.status.success(), "{text}\n{}", String::from_utf8_lossy(&out.stderr));
    let last = text.lines().last().unwrap();
    assert!(last.starts_with("demo ok: class ") && last.ends_with(" gas"), "{last}");
    for refusal in refusals {
        assert!(text.contains(refusal), "'{refusal}' is missing in\n{text}");
    }
    text
}

const REFUSALS: [&str; 7] = [
    "refused, an output changed: InvalidBundle",
    "refused, two slices swapped: InvalidBundle",
    "refused, a point moved off the curve: PointNotOnCurve",
    "refused, a slice left out: ProofLengthMismatch",
    "refused, a slice left out, as its coverage says: CoverageTooLow",
    "refused, a request fulfilled twice: NotOpen",
    "refused, a copied bundle that pays another: InvalidBundle",
];

/// Text without times, numbers, hashes and addresses, which differ from run to run.
fn shape(text: &str) -> Vec<String> {
    let word = |word: &str| match word.trim_start_matches('[').starts_with(|c: char| c.is_ascii_digit()) {
        true => word.chars().filter(|c| ",;:".contains(*c)).collect(),
        false => word.to_owned(),
    };
    let said = |line: &str| line.strip_prefix('[').and_then(|rest| rest.split_once(" s] ")).map_or(line, |(_, said)| said).to_owned();
    text.lines().map(|line| said(line).split_whitespace().map(word).collect::<Vec<_>>().join(" ")).collect()
}

#[test]
fn three_slices_public_input_and_again() {
    let folder = tempfile::tempdir().unwrap();
    let arguments: [&str; 0] = [];
    let text = succeeds(folder.path(), &arguments, &REFUSALS);
    assert!(text.contains("refused, an input changed: InputHashMismatch"));
    assert!(text.contains("refused, another request's bundle: InvalidBundle"));
    let readme = std::fs::read_to_string(repository().join("README.md")).unwrap();
    let printed = readme.split("\n```\n").find(|block| block.contains("demo ok: class")).unwrap();
    let real = text.trim_end().replace(&folder.path().display().to_string(), ".demo");
    assert_eq!(shape(printed), shape(&real), "README.md must show what `make demo` prints:\n{real}");
    let again = succeeds(folder.path(), &arguments, &REFUSALS);
    assert!(again.contains("dev keys: there already"), "a second run skips what is done:\n{again}");
}

#[test]
fn two_slices_private_input() {
    let folder = tempfile::tempdir().unwrap();
    let text = succeeds(folder.path(), &["--model", "tests/models/mlp_digits", "--slices", "2", "--private"], &REFUSALS);
    assert!(text.contains("refused, an input changed: InputCommitmentMismatch"));
}

#[test]
fn one_slice() {
    let folder = tempfile::tempdir().unwrap();
    succeeds(folder.path(), &["--model", "tests/models/mlp_digits", "--slices", "1"], &["refused, a slice left out: ProofLengthMismatch"]);
}

#[test]
fn a_demo_that_cannot_run_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let out = demo(folder.path(), &["--model", "no/such/model"]);
    assert_eq!(out.status.code(), Some(2));
    let error = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(error.contains("no/such/model") && error.contains("in a checkout of zkslice") && error.contains("--model"), "{error}");
}
