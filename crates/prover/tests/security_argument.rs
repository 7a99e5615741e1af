//! `docs/proof-system.md` names, for every rule, the tests that attack it: each of them exists.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::path::Path;

#[test]
fn every_test_that_the_document_names_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let text = std::fs::read_to_string(root.join("docs/proof-system.md")).unwrap();
    let (_, table) = text.split_once("| rule | tests |").unwrap();
    let named: Vec<(&str, &str)> = table.split('`').filter_map(|quoted| quoted.split_once("::")).collect();
    for (path, test) in &named {
        let source = std::fs::read_to_string(root.join(path)).unwrap_or_else(|e| panic!("{path}: {e}"));
        // A Rust test, not a helper, or a forge test of its contract.
        let exists = match path.ends_with(".rs") {
            true => source.contains(&format!("#[test]\nfn {test}()")),
            false => source.contains(&format!("function {test}(")),
        };
        assert!(exists, "{path} has no test {test}");
    }
    assert!(named.len() > 60, "{}", named.len());
    for rule in (1..=11).map(|i| format!("| B{i} ")).chain((1..=9).map(|i| format!("| G{i} "))) {
        assert!(table.contains(&rule), "no row for{}", rule.trim_start_matches('|'));
    }
}
