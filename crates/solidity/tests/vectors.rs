//! `tests/vectors/vectors.json`: what Rust computes, as `make generate` writes it, is what other implementations compute.

use crate::common;
use std::fs;
use std::process::Command;

use serde_json::Value;
use zkslice_circuit::gadgets::unpack_values;
use zkslice_formats::keccak;
use zkslice_groth16::{VerifyingKey, fr_from_word};

fn committed() -> Value {
    serde_json::from_slice(&fs::read(common::root().join(common::VECTORS)).unwrap()).unwrap()
}

fn bytes(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().unwrap().strip_prefix("0x").unwrap()).unwrap()
}

#[test]
fn circomlibjs_computes_the_poseidon_vectors() {
    let script = common::root().join("tests/vectors/poseidon.mjs");
    let output = Command::new("node").arg(script).output().expect("node");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn words_unpack_to_their_digits() {
    for vector in committed()["packing"].as_array().unwrap() {
        let words: Vec<_> =
            vector["words"].as_array().unwrap().iter().map(|w| fr_from_word(&bytes(w).try_into().unwrap(), "word").unwrap()).collect();
        let (count, bits) = (vector["count"].as_u64().unwrap() as usize, vector["bits"].as_u64().unwrap() as u32);
        let digits: Vec<i64> = vector["digits"].as_array().unwrap().iter().map(|d| d.as_i64().unwrap()).collect();
        assert_eq!(unpack_values(&words, count, bits), Some(digits));
    }
}

/// The preimages of challenges, byte by byte as rule A1 has them.
#[test]
fn challenges_hash_the_documented_bytes() {
    let number = |n: usize| [vec![0; 24], (n as u64).to_be_bytes().to_vec()].concat();
    for vector in committed()["challenges"].as_array().unwrap() {
        let list = |name: &str| vector[name].as_array().unwrap().iter().map(bytes).collect::<Vec<_>>();
        let (publics, words) = (list("publics"), list("words"));
        let preimage = [
            bytes(&committed()["tags"]["challenge"]),
            bytes(&vector["vkHash"]),
            number(publics.len()),
            publics.concat(),
            number(words.len()),
            words.concat(),
            list("c1").concat(),
        ]
        .concat();
        let reduced = zkslice_groth16::fr_to_word(zkslice_groth16::to_field(&keccak(&preimage)));
        assert_eq!(bytes(&vector["challenge"]), reduced);
    }
}

/// Digests of a model, from the bytes of its key blob alone.
#[test]
fn digests_are_those_of_the_blobs() {
    for vector in committed()["models"].as_array().unwrap() {
        let path = common::root().join(common::FIXTURES).join(format!("{}.json", vector["fixture"].as_str().unwrap()));
        let fixture: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
        let blob = bytes(&fixture["blob"]);
        let word = |i: usize| u64::from_be_bytes(blob[32 * i + 24..32 * (i + 1)].try_into().unwrap()) as usize;
        let (slices, tensors) = (word(1), word(2));
        let mut at = 7 + slices + 6 * tensors;
        for _ in 0..slices {
            at += 1 + word(at);
            at += 1 + word(at);
        }
        assert_eq!(bytes(&vector["modelDigest"]), keccak(&blob[..32 * at]));
        for (k, hash) in vector["vkHashes"].as_array().unwrap().iter().enumerate() {
            // Tag, form, p, n, G, groups, m, codes, α, β, γ, deltas, IC.
            let groups = word(at + 4);
            let codes = word(at + 5 + 2 * groups);
            assert_eq!((word(at + 1), codes), (1, 2));
            let points = at + 6 + 2 * groups + codes;
            let end = points + 10 + 4 * 2 + 2 * (1 + codes);
            let record = &blob[32 * at..32 * end];
            assert_eq!(bytes(hash), keccak(record));
            assert_eq!(bytes(hash), blob[32 * (7 + k)..][..32]);
            assert_eq!(VerifyingKey::from_record(record).unwrap().record(), record);
            let setup = [bytes(&committed()["tags"]["setup"]), blob[32 * points..32 * (points + 10)].to_vec()].concat();
            assert_eq!(bytes(&vector["setupDigest"]), keccak(&setup));
            at = end;
        }
        assert_eq!(32 * at, blob.len());
    }
}
