//! Proofs of one key together: each has the verdict that it has alone, whoever is in the batch with it.

use ark_bn254::{Fq2, Fr, G1Affine, G2Affine};
use ark_ec::{AffineRepr, CurveGroup};
use ark_ff::{Field, One, UniformRand};
use ark_std::rand::{Rng, SeedableRng, rngs::StdRng};
use zkslice_formats::Word;
use zkslice_groth16::*;

use crate::proofs::{keys, plain_circuit, plain_witness, prove_committed, statement};

type Item = (Statement, [Word; Proof::WORDS]);

fn alone(key: &VerifyingKey, (statement, words): &Item) -> Result<(), VerifyError> {
    verify(key, statement, &Proof::from_words(words, key.form())?)
}

/// The verdicts of a batch, which are those of each proof alone.
fn verdicts(key: &VerifyingKey, items: &[Item]) -> Vec<Result<(), VerifyError>> {
    let verdicts = verify_batch(key, items, &mut StdRng::from_entropy());
    assert_eq!(verdicts, items.iter().map(|item| alone(key, item)).collect::<Vec<_>>());
    verdicts
}

fn bad(key: &VerifyingKey, items: &[Item]) -> Vec<usize> {
    verdicts(key, items).iter().enumerate().filter(|(_, verdict)| verdict.is_err()).map(|(index, _)| index).collect()
}

fn honest(key: &ProvingKey, count: i64, rng: &mut StdRng) -> Vec<Item> {
    let item = |x: i64| {
        let (proof, statement) = prove_committed(key, [x % 16, x * 7 % 16], rng);
        (statement, proof.to_words())
    };
    (0..count).map(item).collect()
}

/// The same words with one point moved by another.
fn moved(item: &Item, change: impl Fn(&mut Proof)) -> Item {
    let mut proof = Proof::from_words(&item.1, Form::Committed).unwrap();
    change(&mut proof);
    (item.0.clone(), proof.to_words())
}

fn plus(point: &mut G1Affine, other: G1Affine) {
    *point = (*point + other).into_affine();
}

#[test]
fn batches_of_honest_proofs_hold() {
    let (key, plain_key, mut rng) = keys();
    let items = honest(&key, 9, &mut rng);
    for count in 0..=9 {
        assert!(bad(key.verifying_key(), &items[..count]).is_empty(), "{count}");
    }
    let witness = plain_witness();
    let of_plain = |rng: &mut StdRng| {
        let proof = prove(&plain_key, &witness, || Ok(plain_circuit()), rng).unwrap();
        (statement(&witness), proof.to_words())
    };
    let mut items: Vec<Item> = (0..4).map(|_| of_plain(&mut rng)).collect();
    assert!(bad(plain_key.verifying_key(), &items).is_empty());
    items[2].0.publics[0] += Fr::one();
    assert_eq!(bad(plain_key.verifying_key(), &items), [2]);
    // A proof of the other form.
    let other = honest(&key, 1, &mut rng).remove(0);
    items[1].1 = other.1;
    assert_eq!(bad(plain_key.verifying_key(), &items), [1, 2]);
    assert_eq!(verdicts(plain_key.verifying_key(), &items)[1], Err(VerifyError::Form));
}

/// Errors that cancel out between two proofs, which is all that a sum without coefficients sees.
#[test]
fn attack_p3_errors_that_cancel_out() {
    let (key, _, mut rng) = keys();
    let honest = honest(&key, 6, &mut rng);
    let error = G1Affine::rand(&mut rng);
    fn a(proof: &mut Proof) -> &mut G1Affine {
        &mut proof.a
    }
    fn c1(proof: &mut Proof) -> &mut G1Affine {
        proof.c1.as_mut().unwrap()
    }
    fn c2(proof: &mut Proof) -> &mut G1Affine {
        &mut proof.c2
    }
    for (first, second) in [(0, 1), (2, 5), (4, 3)] {
        for point in [c2, c1, a] {
            let mut items = honest.clone();
            items[first] = moved(&honest[first], |proof| plus(point(proof), error));
            items[second] = moved(&honest[second], |proof| plus(point(proof), -error));
            let (least, most) = (first.min(second), first.max(second));
            assert_eq!(bad(key.verifying_key(), &items), [least, most]);
        }
    }
    // One proof's A for another's, both B too: each is true of the other statement.
    let mut items = honest.clone();
    items.swap(0, 1);
    (items[0].0, items[1].0) = (honest[0].0.clone(), honest[1].0.clone());
    assert_eq!(bad(key.verifying_key(), &items), [0, 1]);
}

/// A poisoner changes nobody's verdict but its own: each word of each proof, none to all of a batch.
#[test]
fn every_culprit_is_named() {
    let (key, _, mut rng) = keys();
    let honest = honest(&key, 8, &mut rng);
    let of = key.verifying_key();
    for index in 0..honest.len() {
        for word in 0..Proof::WORDS {
            let mut items = honest.clone();
            items[index].1[word][31] ^= 1;
            assert_eq!(bad(of, &items), [index], "word {word}");
        }
    }
    // A point of the twist outside the subgroup, to which the equation is blind where its order divides the coefficient's.
    let outside = loop {
        if let Some(point) = G2Affine::get_point_from_x_unchecked(Fq2::rand(&mut rng), false) {
            break point;
        }
    };
    let kinds: [&dyn Fn(&Item) -> Item; 10] = [
        &|item| moved(item, |proof| plus(&mut proof.c2, G1Affine::generator())),
        &|item| moved(item, |proof| proof.a = -proof.a),
        &|item| moved(item, |proof| proof.b = outside),
        &|item| moved(item, |proof| proof.b = (proof.b + outside).into_affine()),
        &|item| moved(item, |proof| (proof.a, proof.c2) = (G1Affine::identity(), G1Affine::identity())),
        &|item| (Statement { publics: vec![item.0.publics[0] + Fr::one(), item.0.publics[1]], ..item.0.clone() }, item.1),
        &|item| (Statement { words: vec![Fr::from(1u64 << 40); item.0.words.len()], ..item.0.clone() }, item.1),
        &|item| (Statement { publics: Vec::new(), ..item.0.clone() }, item.1),
        // Two things at once: the one is named that is named for a proof alone.
        &|item| (Statement { publics: Vec::new(), ..item.0.clone() }, moved(item, |proof| proof.b = outside).1),
        &|item| {
            let mut words = moved(item, |proof| proof.b = outside).1;
            words[9][31] ^= 1;
            (item.0.clone(), words)
        },
    ];
    for _ in 0..60 {
        let share = [0.1, 0.5, 0.95][rng.gen_range(0..3)];
        let wanted: Vec<usize> = (0..honest.len()).filter(|_| rng.gen_bool(share)).collect();
        let mut items = honest.clone();
        wanted.iter().for_each(|index| items[*index] = kinds[rng.gen_range(0..kinds.len())](&honest[*index]));
        assert_eq!(bad(of, &items), wanted);
    }
    // Honest proofs that somebody re-randomised hold, as they do alone.
    let t = Fr::from(7);
    let again = moved(&honest[3], |proof| {
        (proof.a, proof.b) = ((proof.a * t).into_affine(), (proof.b * t.inverse().unwrap()).into_affine());
    });
    assert!(bad(of, &[honest[3].clone(), again, honest[0].clone()]).is_empty());
}

/// More culprits than are worth a search: the others are looked at one by one.
#[test]
fn many_culprits_among_many_are_named() {
    let (key, _, mut rng) = keys();
    let honest = honest(&key, 8, &mut rng);
    let items: Vec<Item> = honest.iter().cycle().take(100).cloned().collect();
    for every in [1, 2, 3, 50] {
        let mut items = items.clone();
        let wanted: Vec<usize> = (0..items.len()).step_by(every).collect();
        wanted.iter().for_each(|index| items[*index].1 = honest[(index + 1) % 8].1);
        assert_eq!(bad(key.verifying_key(), &items), wanted);
    }
}

/// A generator that gives nothing but zeros makes no coefficient zero, which would take anything.
#[test]
fn coefficients_are_not_zero() {
    struct Zeros;
    impl rand_core::RngCore for Zeros {
        fn next_u32(&mut self) -> u32 {
            0
        }
        fn next_u64(&mut self) -> u64 {
            0
        }
        fn fill_bytes(&mut self, dest: &mut [u8]) {
            dest.fill(0);
        }
        fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), rand_core::Error> {
            dest.fill(0);
            Ok(())
        }
    }
    impl rand_core::CryptoRng for Zeros {}
    let (key, _, mut rng) = keys();
    let mut items = honest(&key, 3, &mut rng);
    items[1].1 = items[0].1;
    assert_eq!(verify_batch(key.verifying_key(), &items, &mut Zeros), [Ok(()), Err(VerifyError::Invalid), Ok(())]);
}

#[test]
fn a_key_that_is_not_safe_takes_no_batch() {
    let (key, _, mut rng) = keys();
    let mut items = honest(&key, 2, &mut rng);
    let mut unsafe_key = key.verifying_key().clone();
    unsafe_key.delta1 = Some(unsafe_key.delta2);
    assert!(verdicts(&unsafe_key, &items).iter().all(|verdict| matches!(verdict, Err(VerifyError::UnsafeKey(_)))));
    items[0].1[0][31] ^= 1;
    assert!(matches!(verdicts(&unsafe_key, &items)[..], [Err(VerifyError::Encoding(_)), Err(VerifyError::UnsafeKey(_))]));
}
