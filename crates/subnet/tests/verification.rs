//! Every proof has its verdict, in whatever company it comes.

use std::sync::Arc;
use std::time::Duration;

use alloy::primitives::Address;
use ark_bn254::Fr;
use ark_std::rand::{SeedableRng, rngs::StdRng};
use zkslice_circuit::gadgets::{self, DigitTables};
use zkslice_circuit::{Builder, ConstraintBuilder, Witness, WitnessBuilder};
use zkslice_groth16::{Proof, Setup, Statement, VerifyError, WordGroup, prove};
use zkslice_subnet::validator::{Counts, Key, Stopped, Verification};

type Item = (Statement, [[u8; 32]; Proof::WORDS]);

/// A digit of four bits is the public word.
fn digit<B: Builder>(builder: &mut B, value: Option<(Fr, i64)>) {
    builder.public(value.map(|(context, _)| context));
    let digit = gadgets::digit(builder, value.map(|(_, digit)| digit), 4, &DigitTables::default(), 6).unwrap();
    for word in gadgets::pack(builder, &[digit], 4).unwrap() {
        builder.public_word(&word);
    }
}

fn witness(context: u64, value: i64) -> Witness {
    let mut trace = WitnessBuilder::new();
    digit(&mut trace, Some((Fr::from(context), value)));
    trace.finish()
}

/// Keys of two slices, and for each proofs of some contexts.
fn keys_and_proofs(count: u64) -> Vec<(Arc<Key>, Vec<Item>)> {
    let mut rng = StdRng::seed_from_u64(1);
    let setup = Setup::dev(&mut rng);
    let circuit = || {
        let mut shape = ConstraintBuilder::new();
        digit(&mut shape, None);
        shape.finish()
    };
    let of_slice = |_| {
        let key = setup.key(&circuit(), &[WordGroup { count: 1, bits: 4 }], &mut rng).unwrap();
        let proofs = (0..count).map(|context| {
            let witness = witness(context, context as i64 % 16);
            let proof = prove(&key, &witness, || Ok(circuit()), &mut rng).unwrap();
            (Statement { publics: witness.publics.clone(), words: witness.words.clone() }, proof.to_words())
        });
        let proofs = proofs.collect();
        (Arc::new(Key::new(key.verifying_key().clone())), proofs)
    };
    (0..2).map(of_slice).collect()
}

fn miner(k: usize) -> Address {
    Address::repeat_byte(k as u8)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_proof_has_its_own_verdict() {
    let slices = keys_and_proofs(8);
    // Few may wait, many come: nobody is turned away.
    let verification = Verification::start(4);
    let mut asked = tokio::task::JoinSet::new();
    for k in 0..400usize {
        let (key, proofs) = &slices[k % 2];
        let (statement, mut words) = proofs[k % 8].clone();
        let is_bad = k % 50 == 7;
        if is_bad {
            words = proofs[(k + 1) % 8].1;
        }
        let (verification, key) = (verification.clone(), Arc::clone(key));
        // The bad ones are one miner's.
        let from = if is_bad { miner(9) } else { miner(k % 5) };
        asked.spawn(async move { (is_bad, verification.check(&key, from, statement, words).await.unwrap()) });
    }
    let mut answers = 0;
    while let Some(answer) = asked.join_next().await {
        let (is_bad, verdict) = answer.unwrap();
        assert_eq!(verdict, if is_bad { Err(VerifyError::Invalid) } else { Ok(()) });
        answers += 1;
    }
    let Counts { batches, proofs, invalid, .. } = verification.counts();
    assert_eq!((answers, proofs, invalid), (400, 400, 8));
    assert!(batches < 100, "{batches} batches");
}

/// Whoever handed in an invalid proof has batches of its own: the others' are searched once, and not again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attack_a_poisoner_is_kept_apart() {
    let slices = keys_and_proofs(4);
    let (key, proofs) = &slices[0];
    let verification = Verification::start(256);
    let (statement, mut words) = proofs[0].clone();
    words[9][31] ^= 1;
    // A word that is no point is as bad as a false proof.
    let verdict = verification.check(key, miner(9), statement, words).await.unwrap();
    assert!(matches!(verdict, Err(VerifyError::Encoding(_))), "{verdict:?}");
    assert_eq!(verification.counts(), Counts { batches: 1, proofs: 1, invalid: 1, of_suspects: 0 });
    // Honest proofs, one of them the suspect's.
    let checks = (0..40).map(|k| {
        let (statement, words) = proofs[k % 4].clone();
        let from = if k == 30 { miner(9) } else { miner(k % 5) };
        let (verification, key) = (verification.clone(), Arc::clone(key));
        tokio::spawn(async move { verification.check(&key, from, statement, words).await })
    });
    for check in checks.collect::<Vec<_>>() {
        assert_eq!(check.await.unwrap().unwrap(), Ok(()), "an honest proof of a suspect holds too");
    }
    let Counts { proofs: verified, invalid, of_suspects, .. } = verification.counts();
    assert_eq!((verified, invalid, of_suspects), (41, 1, 1));
    // A statement that is not the key's is the validator's own fault: nobody is suspect for it.
    let (mut statement, words) = proofs[0].clone();
    statement.publics.clear();
    let verdict = verification.check(key, miner(1), statement, words).await.unwrap();
    assert!(matches!(verdict, Err(VerifyError::Arity { .. })), "{verdict:?}");
    let (statement, words) = proofs[0].clone();
    assert_eq!(verification.check(key, miner(1), statement, words).await.unwrap(), Ok(()));
    let Counts { invalid, of_suspects, .. } = verification.counts();
    assert_eq!((invalid, of_suspects), (1, 1));
}

/// What was taken ends; a runtime that ends gives no verdict, and not a wrong one.
#[test]
fn ends_with_its_runtime() {
    let slices = keys_and_proofs(1);
    let (key, proofs) = &slices[0];
    let (statement, words) = proofs[0].clone();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let verification = runtime.block_on(async { Verification::start(1) });
    assert_eq!(runtime.block_on(verification.check(key, miner(1), statement.clone(), words)), Ok(Ok(())));
    runtime.shutdown_timeout(Duration::from_secs(5));
    let other = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    assert_eq!(other.block_on(verification.check(key, miner(1), statement, words)), Err(Stopped));
}
