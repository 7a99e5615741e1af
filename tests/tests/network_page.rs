//! docs/network.md as it stands, by the script beside this file; and the network that `make network` runs.

use std::process::Command;

use zkslice_tests::{repository, zkslice};

#[test]
fn the_page_leads_to_a_credited_slice_and_a_bundle() {
    let script = repository().join("tests/tests/network_page.mjs");
    let output = Command::new("node").arg(script).env("ZKSLICE_BIN", zkslice()).output().expect("node runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
}

#[test]
fn a_network_on_one_machine() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["network", "--seconds", "12", "--miners", "5", "--folder"];
    let output = Command::new(zkslice()).current_dir(repository()).args(arguments).arg(folder.path()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let said = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap_or_default();
    let logs = || format!("{}\n{}", said("validator.log"), said("relayer.log"));
    assert!(output.status.success(), "{text}\n{}\n{}", String::from_utf8_lossy(&output.stderr), logs());
    let last = text.lines().last().unwrap();
    assert!(last.starts_with("network ok: ") && last.contains(" requests fulfilled by ") && last.ends_with(" ms"), "{last}");
}
