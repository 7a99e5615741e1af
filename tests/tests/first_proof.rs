//! docs/first-proof.md as it stands, by the script beside this file: at most 12 commands and 5 minutes.

use std::process::Command;

use zkslice_tests::{repository, zkslice};

#[test]
fn the_page_leads_to_a_real_proof() {
    let script = repository().join("tests/tests/first_proof.mjs");
    let output = Command::new("node").arg(script).env("ZKSLICE_BIN", zkslice()).output().expect("node runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
}
