//! The binary itself. What it does is tested in `tests/tests`, which needs it built: cargo builds it for this file.

#![allow(clippy::unwrap_used, missing_docs)]

use std::process::Command;

#[test]
fn version_and_bad_usage() {
    let run = |argument: &str| Command::new(env!("CARGO_BIN_EXE_zkslice")).arg(argument).output().unwrap();
    let version = run("--version");
    assert!(version.status.success());
    assert_eq!(String::from_utf8(version.stdout).unwrap().trim(), concat!("zkslice ", env!("CARGO_PKG_VERSION")));
    assert_eq!(run("no-such-command").status.code(), Some(2));
}
