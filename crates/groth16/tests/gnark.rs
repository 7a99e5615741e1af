//! gnark's files: those that gnark wrote verify here, ours verify there, and nothing else is read. `gnark/README.md` says who made them.

use std::path::{Path, PathBuf};

use ark_bn254::{Fq, Fq2, Fr, G1Affine, G2Affine};
use ark_ec::AffineRepr;
use ark_ff::{BigInteger, One, PrimeField, Zero};
use ark_std::rand::{SeedableRng, rngs::StdRng};
use rayon::prelude::*;
use zkslice_circuit::{Builder, ConstraintBuilder, WitnessBuilder};
use zkslice_groth16::gnark::{self, read_proof, read_publics, read_verifying_key};
use zkslice_groth16::*;

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/gnark").join(name)
}

fn file(name: &str) -> Vec<u8> {
    std::fs::read(path(name)).unwrap()
}

/// Whether three files are read and the proof verifies.
fn accepts(key: &[u8], proof: &[u8], publics: &[u8]) -> bool {
    let (Ok(key), Ok(proof), Ok(publics)) = (read_verifying_key(key), read_proof(proof), read_publics(publics)) else { return false };
    verify(&key, &Statement { publics, words: Vec::new() }, &proof).is_ok()
}

fn reason<T: std::fmt::Debug>(result: Result<T, KeyError>) -> String {
    match result {
        Err(KeyError::Foreign { tool, what, reason }) => format!("{tool} {what}: {reason}"),
        other => panic!("{other:?}"),
    }
}

const INFINITY: [u8; 32] = {
    let mut bytes = [0; 32];
    bytes[0] = 0x40;
    bytes
};
/// Where β and δ in G1 lie in a compressed key.
const UNUSED: [usize; 2] = [32, 192];

#[test]
fn files_of_gnark_verify() {
    let publics = read_publics(&file("ceremony.public")).unwrap();
    assert_eq!(publics, [3u64 << 40, (1 << 40) + 3, 35].map(Fr::from));
    let key = read_verifying_key(&file("ceremony.vk")).unwrap();
    assert_eq!(read_verifying_key(&file("ceremony.raw.vk")).unwrap(), key);
    let proof = read_proof(&file("ceremony.proof")).unwrap();
    assert_eq!(read_proof(&file("ceremony.raw.proof")).unwrap(), proof);
    // What gnark before 0.9 wrote, and what a contract takes.
    assert_eq!(read_proof(&file("ceremony.proof")[..128]).unwrap(), proof);
    assert_eq!(read_proof(&file("ceremony.raw.proof")[..256]).unwrap(), proof);
    verify(&key, &Statement { publics: publics.clone(), words: Vec::new() }, &proof).unwrap();
    for i in 0..publics.len() {
        let mut publics = publics.clone();
        publics[i] += Fr::one();
        assert_eq!(verify(&key, &Statement { publics, words: Vec::new() }, &proof), Err(VerifyError::Invalid), "public input {i}");
    }
}

#[test]
fn files_of_gnark_are_written_again_as_they_were() {
    let (key, proof, publics) = (file("ceremony.vk"), file("ceremony.proof"), file("ceremony.public"));
    assert_eq!(gnark::proof(&read_proof(&proof).unwrap()).unwrap(), proof);
    assert_eq!(gnark::publics(&read_publics(&publics).unwrap()), publics);
    // All but the two points that a verifying key of ours does not hold.
    let mut expected = key.clone();
    UNUSED.iter().for_each(|at| expected[*at..*at + 32].copy_from_slice(&INFINITY));
    let written = gnark::verifying_key(&read_verifying_key(&key).unwrap()).unwrap();
    assert_eq!(written, expected);
    assert!(accepts(&written, &proof, &publics));
    let other = read_proof(&proof).unwrap();
    assert_eq!(gnark::proof(&Proof { c1: Some(other.a), ..other }), None);
    let other = read_verifying_key(&key).unwrap();
    assert_eq!(gnark::verifying_key(&VerifyingKey { delta1: Some(other.beta), ..other }), None);
}

/// No file is read, with one bit changed, as one that a proof verifies with.
#[test]
fn every_changed_bit_is_refused() {
    let valid = |key: &VerifyingKey, proof: &Proof, publics: &[Fr]| {
        verify(key, &Statement { publics: publics.to_vec(), words: Vec::new() }, proof).is_ok()
    };
    let each = |name: &str, accepts: &(dyn Fn(&[u8]) -> bool + Sync)| {
        let bytes = file(name);
        assert!(accepts(&bytes));
        (0..8 * bytes.len()).into_par_iter().for_each(|bit| {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(!accepts(&changed), "{name}, bit {} of byte {}", bit % 8, bit / 8);
        });
    };
    let key = read_verifying_key(&file("ceremony.vk")).unwrap();
    let proof = read_proof(&file("ceremony.proof")).unwrap();
    let publics = read_publics(&file("ceremony.public")).unwrap();
    for kind in ["", ".raw"] {
        each(&format!("ceremony{kind}.vk"), &|bytes| read_verifying_key(bytes).is_ok_and(|key| valid(&key, &proof, &publics)));
        each(&format!("ceremony{kind}.proof"), &|bytes| read_proof(bytes).is_ok_and(|proof| valid(&key, &proof, &publics)));
    }
    each("ceremony.public", &|bytes| read_publics(bytes).is_ok_and(|publics| valid(&key, &proof, &publics)));
}

#[test]
fn every_other_length_is_refused() {
    let (compressed, raw) = (128, 256);
    for name in ["ceremony.vk", "ceremony.raw.vk", "committed.vk", "committed.raw.vk"] {
        let bytes = file(name);
        (0..bytes.len()).for_each(|n| assert!(read_verifying_key(&bytes[..n]).is_err(), "{name}, {n} bytes"));
        assert!(read_verifying_key(&[&bytes[..], &[0]].concat()).is_err());
    }
    for (name, whole) in [("ceremony.proof", compressed), ("ceremony.raw.proof", raw)] {
        let bytes = file(name);
        (0..bytes.len()).for_each(|n| assert_eq!(read_proof(&bytes[..n]).is_ok(), n == whole, "{name}, {n} bytes"));
        assert_eq!(reason(read_proof(&[&bytes[..], &[0]].concat())), "gnark proof: bytes follow its end");
    }
    let bytes = file("ceremony.public");
    (0..bytes.len()).for_each(|n| assert!(read_publics(&bytes[..n]).is_err(), "{n} bytes"));
    assert_eq!(reason(read_publics(&[&bytes[..], &[0]].concat())), "gnark public inputs: bytes follow its end");
    assert_eq!(reason(read_verifying_key(&[&file("ceremony.vk")[..], &[0]].concat())), "gnark verifying key: bytes follow its end");
}

#[test]
fn counts_that_no_file_has_are_refused() {
    let key = file("ceremony.vk");
    for n in [0u32, 3, 5, 1 << 28, u32::MAX] {
        let mut changed = key.clone();
        changed[288..292].copy_from_slice(&n.to_be_bytes());
        assert!(read_verifying_key(&changed).is_err(), "{n} IC points");
        changed.truncate(292);
        assert!(read_verifying_key(&changed).is_err(), "{n} IC points");
    }
    let publics = file("ceremony.public");
    let with = |counts: [u32; 3]| [&counts.map(u32::to_be_bytes).concat(), &publics[12..]].concat();
    assert_eq!(with([3, 0, 3]), publics);
    for counts in [[2, 0, 3], [3, 0, 2], [2, 0, 2], [4, 0, 4], [3, 1, 3], [2, 1, 3], [0, 3, 3], [0, 0, 0], [u32::MAX, 0, u32::MAX]] {
        assert!(read_publics(&with(counts)).is_err(), "{counts:?}");
    }
    assert_eq!(read_publics(&[0; 12]).unwrap(), []);
    assert_eq!(reason(read_publics(&with([2, 1, 3]))), "gnark public inputs: secret values are among them");
}

/// A number as a word, with flags.
fn word(n: impl BigInteger, flags: u8) -> Vec<u8> {
    let mut bytes = n.to_bytes_be();
    bytes[0] |= flags << 6;
    bytes
}

#[test]
fn every_other_encoding_is_refused() {
    let sum = |mut a: <Fq as PrimeField>::BigInt, b: u64| {
        a.add_with_carry(&b.into());
        a
    };
    let (small, q) = (|n: u64| Fq::from(n).into_bigint(), Fq::MODULUS);
    // A proof with the generator, (1, 2), for its A.
    let (rest, raw_rest) = (file("ceremony.proof").split_off(32), file("ceremony.raw.proof").split_off(64));
    let read = |a: Vec<u8>| read_proof(&[&a[..], &rest].concat());
    let read_raw = |x: Vec<u8>, y: Vec<u8>| read_proof(&[&x[..], &y, &raw_rest].concat());
    assert_eq!(read(word(small(1), 2)).unwrap().a, G1Affine::generator());
    assert_eq!(read(word(small(1), 3)).unwrap().a, -G1Affine::generator());
    assert_eq!(read_raw(word(small(1), 0), word(small(2), 0)).unwrap().a, G1Affine::generator());
    assert_eq!(read(INFINITY.to_vec()).unwrap().a, G1Affine::zero());
    assert_eq!(read_raw(vec![0; 32], vec![0; 32]).unwrap().a, G1Affine::zero());
    assert_eq!(reason(read(word(sum(q, 1), 2))), "gnark proof: A is not a canonical, valid encoding");
    assert_eq!(reason(read(word(small(4), 2))), "gnark proof: A is not on its curve");
    assert_eq!(reason(read(word(small(1), 1))), "gnark proof: A is infinity with other bits set");
    let bad = "gnark proof: A is not a canonical, valid encoding";
    for (x, y) in [(sum(q, 1), small(2)), (small(1), sum(q, 2)), (small(1), small(3)), (q, q), (small(0), q)] {
        assert_eq!(reason(read_raw(word(x, 0), word(y, 0))), bad);
    }
    assert_eq!(reason(read_raw(word(small(1), 0), word(small(2), 2))), bad);

    // Points of one kind within files of the other.
    let (proof, raw) = (file("ceremony.proof"), file("ceremony.raw.proof"));
    let mixed = [&proof[..32], &raw[64..192], &proof[96..]].concat();
    assert_eq!(reason(read_proof(&mixed)), "gnark proof: B is raw, but the first point is compressed");
    let mixed = [&raw[..64], &proof[32..96], &raw[192..]].concat();
    assert_eq!(reason(read_proof(&mixed)), "gnark proof: B is not a canonical, valid encoding");

    // B on the twist, outside the subgroup.
    let outside = (1u64..)
        .filter_map(|n| G2Affine::get_point_from_x_unchecked(Fq2::new(n.into(), Fq::zero()), false))
        .find(|point| !point.is_in_correct_subgroup_assuming_on_curve())
        .unwrap();
    let mut words = g2_to_words(&outside);
    assert_eq!(reason(read_proof(&[&raw[..64], &words.concat(), &raw[192..]].concat())), bad.replace('A', "B"));
    words[0][0] |= 0x80;
    let compressed = [&proof[..32], &words[..2].concat(), &proof[96..]].concat();
    assert_eq!(reason(read_proof(&compressed)), "gnark proof: B is not in the subgroup of order r");

    // A public input that is not below r.
    let mut publics = file("ceremony.public");
    publics[12..44].copy_from_slice(&Fr::MODULUS.to_bytes_be());
    assert_eq!(reason(read_publics(&publics)), "gnark public inputs: public input 0 is not a canonical, valid encoding");
}

#[test]
fn points_in_g1_that_are_not_those_of_g2_are_refused() {
    let key = file("ceremony.vk");
    for at in UNUSED {
        let mut changed = key.clone();
        changed[at..at + 32].copy_from_slice(&INFINITY);
        read_verifying_key(&changed).unwrap();
        changed[at..at + 32].copy_from_slice(&key[..32]);
        assert_eq!(reason(read_verifying_key(&changed)), "gnark verifying key: β or δ in G1 is not that of G2");
    }
    let mut swapped = key.clone();
    swapped[32..64].copy_from_slice(&key[192..224]);
    swapped[192..224].copy_from_slice(&key[32..64]);
    assert_eq!(reason(read_verifying_key(&swapped)), "gnark verifying key: β or δ in G1 is not that of G2");
}

#[test]
fn commitments_are_refused() {
    for kind in ["", ".raw"] {
        let key = read_verifying_key(&file(&format!("committed{kind}.vk")));
        assert_eq!(reason(key), "gnark verifying key: it has commitments, which are not supported");
        let proof = read_proof(&file(&format!("committed{kind}.proof")));
        assert_eq!(reason(proof), "gnark proof: it has commitments, which are not supported");
    }
    // A proof of knowledge without a commitment.
    let mut proof = file("ceremony.proof");
    let a = proof[..32].to_vec();
    proof[132..].copy_from_slice(&a);
    assert_eq!(reason(read_proof(&proof)), "gnark proof: it has a proof of knowledge of no commitment");
    // The end of keys before gnark 0.11: two points in G2 in place of the count of keys.
    let key = file("ceremony.vk");
    let old = [&key[..key.len() - 4], &key[64..192]].concat();
    let expected = "gnark verifying key: it has keys of commitments, which are not supported, or gnark before 0.11 wrote it";
    assert_eq!(reason(read_verifying_key(&old)), expected);
}

#[test]
fn unsafe_keys_of_gnark_are_refused() {
    // A public input that no constraint has.
    let Err(KeyError::Unsafe(unbound)) = read_verifying_key(&file("unused.vk")) else { panic!() };
    assert_eq!(unbound, "IC point 4 is the point at infinity: a public wire is bound to nothing");
    // A key of one party, whose γ is random.
    assert!(reason(read_verifying_key(&file("setup.vk"))).contains("keys of `mpcsetup` are read"));
}

/// Two factors and their product; all but the second factor is public.
fn product<B: Builder>(b: &mut B, values: Option<[u64; 2]>) {
    let x = b.public(values.map(|[x, _]| x.into()));
    let product = b.public(values.map(|[x, y]| (x * y).into()));
    let y = b.field_given(values.map(|[_, y]| y.into()));
    let xy = b.field_product(&x, &y);
    b.field_equal(&xy, &product);
}

/// A key, a proof and public inputs of ours, in gnark's form. They are the same in every run.
fn ours() -> [(&'static str, Vec<u8>); 3] {
    let mut rng = StdRng::seed_from_u64(17);
    let mut shape = ConstraintBuilder::new();
    product(&mut shape, None);
    let circuit = shape.finish();
    let mut trace = WitnessBuilder::new();
    product(&mut trace, Some([7, 11]));
    let witness = trace.finish();
    let key = Setup::dev(&mut rng).key(&circuit, &[], &mut rng).unwrap();
    let proof = prove(&key, &witness, || Ok(circuit), &mut rng).unwrap();
    [
        ("ours.vk", gnark::verifying_key(key.verifying_key()).unwrap()),
        ("ours.proof", gnark::proof(&proof).unwrap()),
        ("ours.public", gnark::publics(&witness.publics)),
    ]
}

/// gnark was given the committed files and accepted them.
#[test]
fn files_of_ours_are_those_that_gnark_accepted() {
    let files = ours();
    for (name, bytes) in &files {
        let written = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::write(&written, bytes).unwrap();
        assert_eq!(*bytes, file(name), "have gnark verify {}, as gnark/README.md says", written.display());
    }
    assert!(accepts(&files[0].1, &files[1].1, &files[2].1));
}
