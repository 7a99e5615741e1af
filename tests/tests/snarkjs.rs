//! snarkjs as the peer of the plain form: what we prove it verifies, what it proves we verify, and both refuse the rest.
//!
//! Needs Node and the toolchain of `make toolchain`; the script beside this file drives snarkjs.

use std::path::{Path, PathBuf};
use std::process::Command;

use ark_bn254::Fr;
use ark_ff::One;
use ark_std::rand::rngs::OsRng;
use serde_json::Value;
use zkslice_circuit::{Builder, Circuit, ConstraintBuilder, Witness, WitnessBuilder, gadgets};
use zkslice_groth16::{KeyError, Proof, ProvingKey, Setup, Statement, VerifyError, prove, snarkjs, verify};
use zkslice_tests::repository;

/// Runs the script; gives what it printed.
fn script(command: &str, folder: &Path) -> String {
    let path = repository().join("tests/tests/snarkjs.mjs");
    assert!(repository().join("node_modules/snarkjs").is_dir(), "snarkjs is missing: run `make toolchain`");
    let output = Command::new("node").arg(path).arg(command).arg(folder).output().expect("node runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn read(folder: &Path, name: &str) -> Value {
    serde_json::from_slice(&std::fs::read(folder.join(name)).unwrap()).unwrap()
}

/// The Poseidon hash of two secrets is public, and so is one of them.
fn circuit<B: Builder>(b: &mut B, values: Option<([Fr; 2], Fr)>) {
    let digest = b.public(values.map(|v| v.1));
    let shown = b.public(values.map(|v| v.0[1]));
    let secrets: Vec<_> = (0..2).map(|i| b.field_given(values.map(|v| v.0[i]))).collect();
    let hash = gadgets::hash(b, &secrets).unwrap();
    b.field_equal(&hash, &digest);
    b.field_equal(&secrets[1], &shown);
}

fn shape() -> Circuit {
    let mut shape = ConstraintBuilder::new();
    circuit(&mut shape, None);
    shape.finish()
}

fn witness(secrets: [u64; 2]) -> Witness {
    let secrets = secrets.map(Fr::from);
    let mut trace = WitnessBuilder::new();
    circuit(&mut trace, Some((secrets, gadgets::hash_of(&secrets).unwrap())));
    trace.finish()
}

fn proven(key: &ProvingKey, witness: &Witness) -> Proof {
    prove(key, witness, || Ok(shape()), &mut OsRng).unwrap()
}

fn save(folder: &Path, key: &ProvingKey, proof: &Proof, publics: &[Fr]) {
    let write = |name: &str, value: &Value| std::fs::write(folder.join(name), value.to_string()).unwrap();
    write("verifying_key.json", &snarkjs::verifying_key(key.verifying_key()).unwrap());
    write("proof.json", &snarkjs::proof(proof).unwrap());
    write("publics.json", &snarkjs::publics(publics));
}

#[test]
fn snarkjs_verifies_our_proofs() {
    let folder = tempfile::tempdir().unwrap();
    let setup = Setup::dev(&mut OsRng);
    let key = setup.key(&shape(), &[], &mut OsRng).unwrap();
    for secrets in [[3, 4], [0, 0]] {
        let witness = witness(secrets);
        let proof = proven(&key, &witness);
        save(folder.path(), &key, &proof, &witness.publics);
        assert_eq!(script("verify", folder.path()), "true");
        // Another statement, another proof's part, another key of the same setup.
        let mut publics = witness.publics.clone();
        publics[1] += Fr::one();
        save(folder.path(), &key, &proof, &publics);
        assert_eq!(script("verify", folder.path()), "false");
    }
    let witness = witness([5, 6]);
    let (proof, other) = (proven(&key, &witness), proven(&key, &witness));
    save(folder.path(), &key, &Proof { c2: other.c2, ..proof.clone() }, &witness.publics);
    assert_eq!(script("verify", folder.path()), "false");
    let second = setup.key(&shape(), &[], &mut OsRng).unwrap();
    save(folder.path(), &second, &proof, &witness.publics);
    assert_eq!(script("verify", folder.path()), "false");
}

/// A circuit of snarkjs alone, from the powers of tau to the proof.
fn theirs() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    script("make", folder.path());
    let path = folder.path().to_owned();
    (folder, path)
}

#[test]
fn we_verify_proofs_of_snarkjs() {
    let (_keep, folder) = theirs();
    assert_eq!(script("verify", &folder), "true");
    let key = snarkjs::read_verifying_key(&read(&folder, "verifying_key.json")).unwrap();
    let proof = snarkjs::read_proof(&read(&folder, "proof.json")).unwrap();
    let publics = snarkjs::read_publics(&read(&folder, "publics.json")).unwrap();
    assert_eq!(publics, [Fr::from(114), Fr::from(5)], "(3·11 + 5)·3, and 5");
    let statement = Statement { publics, words: Vec::new() };
    verify(&key, &statement, &proof).unwrap();
    for i in 0..2 {
        let mut other = statement.clone();
        other.publics[i] += Fr::one();
        assert_eq!(verify(&key, &other, &proof), Err(VerifyError::Invalid), "public input {i}");
    }
    assert_eq!(verify(&key, &statement, &Proof { c2: proof.a, ..proof.clone() }), Err(VerifyError::Invalid));
    // Written again it is what they wrote.
    let same = |ours: &Value, name: &str, fields: &[&str]| {
        fields.iter().for_each(|field| assert_eq!(ours[field], read(&folder, name)[field], "{field}"))
    };
    let fields = ["protocol", "curve", "nPublic", "vk_alpha_1", "vk_beta_2", "vk_gamma_2", "vk_delta_2", "IC"];
    same(&snarkjs::verifying_key(&key).unwrap(), "verifying_key.json", &fields);
    same(&snarkjs::proof(&proof).unwrap(), "proof.json", &["protocol", "curve", "pi_a", "pi_b", "pi_c"]);
    assert_eq!(snarkjs::publics(&statement.publics), read(&folder, "publics.json"));
}

/// snarkjs writes keys whose second phase nobody has contributed to: δ is γ, the generator, and anyone can forge.
#[test]
fn a_key_without_a_second_phase_is_refused() {
    let (_keep, folder) = theirs();
    let error = snarkjs::read_verifying_key(&read(&folder, "unfinished_key.json")).unwrap_err();
    assert!(matches!(&error, KeyError::Unsafe(reason) if reason.contains("δ2 of key 0 equals ±γ")), "{error}");
}

/// Whether a path leads to the third, projective coordinate of a point.
fn is_third_coordinate(pointer: &str) -> bool {
    let parts: Vec<&str> = pointer.split('/').skip(1).collect();
    matches!(
        parts[..],
        ["IC", _, "2"] | ["vk_alpha_1" | "pi_a" | "pi_c", "2"] | ["vk_beta_2" | "vk_gamma_2" | "vk_delta_2" | "pi_b", "2", _]
    )
}

/// Every number of a key and of a proof counts.
#[test]
fn changed_json_of_snarkjs_is_refused() {
    every_leaf_counts(&|pointer| !is_third_coordinate(pointer), 150);
}

/// Points are affine: their third coordinate is 1, or 0 at infinity, where the first two are 0 and 1.
#[test]
fn changed_third_coordinates_are_refused() {
    every_leaf_counts(&is_third_coordinate, 40);
}

fn every_leaf_counts(wanted: &dyn Fn(&str) -> bool, least: usize) {
    let (_keep, folder) = theirs();
    let [key, proof, publics] = ["verifying_key.json", "proof.json", "publics.json"].map(|name| read(&folder, name));
    let accepted = |key: &Value, proof: &Value, publics: &Value| {
        let Ok(key) = snarkjs::read_verifying_key(key) else { return false };
        let Ok(proof) = snarkjs::read_proof(proof) else { return false };
        let Ok(publics) = snarkjs::read_publics(publics) else { return false };
        verify(&key, &Statement { publics, words: Vec::new() }, &proof).is_ok()
    };
    assert!(accepted(&key, &proof, &publics));
    let mut cases = 0;
    let mut try_all = |value: &Value, skip: &[&str], accepted: &dyn Fn(&Value) -> bool| {
        for pointer in leaves(value, "") {
            // Precomputed by snarkjs for itself; not read.
            if skip.iter().any(|name| pointer.starts_with(name)) || !wanted(&pointer) {
                continue;
            }
            let leaf = value.pointer(&pointer).unwrap();
            let replacements = match leaf {
                Value::String(text) => {
                    vec![changed_digit(text), format!("0{text}"), String::new(), "-1".into(), "1e5".into(), "9".repeat(77)]
                }
                _ => vec!["3".into()],
            };
            for replacement in replacements.into_iter().filter(|r| Some(r.as_str()) != leaf.as_str()) {
                let mut other = value.clone();
                *other.pointer_mut(&pointer).unwrap() = replacement.clone().into();
                assert!(!accepted(&other), "{pointer} = {replacement}");
                cases += 1;
            }
        }
    };
    try_all(&key, &["/vk_alphabeta_12"], &|key| accepted(key, &proof, &publics));
    try_all(&proof, &[], &|proof| accepted(&key, proof, &publics));
    try_all(&publics, &[], &|publics| accepted(&key, &proof, publics));
    assert!(cases > least, "{cases}");
}

fn leaves(value: &Value, at: &str) -> Vec<String> {
    match value {
        Value::Array(list) => list.iter().enumerate().flat_map(|(i, value)| leaves(value, &format!("{at}/{i}"))).collect(),
        Value::Object(map) => map.iter().flat_map(|(name, value)| leaves(value, &format!("{at}/{name}"))).collect(),
        _ => vec![at.to_owned()],
    }
}

fn changed_digit(text: &str) -> String {
    let last = if text.ends_with('7') { '8' } else { '7' };
    text.chars().take(text.chars().count() - 1).chain([last]).collect()
}
