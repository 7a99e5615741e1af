//! Receipts: totals that anyone adds up again, and a validator that signs two histories is shown to.

use alloy::primitives::{Address, B256};
use proptest::prelude::*;
use zkslice_subnet::messages::{Assignment, Receipt, Verdict};
use zkslice_subnet::receipts::{Outcome, ReceiptError, Totals, contradict};
use zkslice_subnet::score::Parameters;

fn assignment(units: u32, price: u128, epoch: u64) -> Assignment {
    Assignment {
        job: B256::repeat_byte(1),
        model: B256::repeat_byte(2),
        slice: 0,
        attempt: 0,
        miner: Address::repeat_byte(3),
        statement: B256::repeat_byte(4),
        units,
        price,
        issuedMs: 0,
        deadlineMs: 9_000,
        epoch,
    }
}

fn outcome(verdict: Verdict, ms: u64) -> Outcome {
    Outcome { verdict, proof_hash: B256::repeat_byte(5), ms }
}

const HASH: B256 = B256::repeat_byte(6);

#[test]
fn totals_add_up_and_begin_anew_each_epoch() {
    let (of, mut totals) = (Parameters::default(), Totals::default());
    let mut receipt = |units, price, epoch, verdict, ms| {
        let given = assignment(units, price, epoch);
        let before = totals;
        let receipt = totals.receipt(&of, &given, HASH, outcome(verdict, ms)).unwrap();
        before.check(&of, &given, HASH, &receipt).unwrap();
        assert_eq!(Totals::of(&receipt), totals);
        receipt
    };
    let first = receipt(2, 10, 1, Verdict::Valid, 100);
    assert_eq!((first.credit, first.debit, first.seq, first.owed), (512, 0, 1, 10));
    let second = receipt(1, 10, 1, Verdict::Missed, 5_000);
    assert_eq!((second.epochCredit, second.epochDebit, second.seq, second.owed), (512, 128, 2, 10));
    // What is not valid is not paid for, and an epoch's sums are its own; what is owed goes on.
    let third = receipt(1, 10, 2, Verdict::Invalid, 0);
    assert_eq!((third.epochCredit, third.epochDebit, third.seq, third.owed), (0, 256, 3, 10));
    let fourth = receipt(1, 7, 2, Verdict::Valid, u64::MAX);
    assert_eq!((fourth.ms, fourth.credit, fourth.owed), (u32::MAX, 0, 17));
    let late = totals.receipt(&of, &assignment(1, 1, 1), HASH, outcome(Verdict::Valid, 0));
    assert_eq!(late, Err(ReceiptError::Epoch { epoch: 1, before: 2 }));
    assert_eq!(Totals::of(&fourth), totals, "as they were");
}

/// Every number of a receipt is checked by its miner.
#[test]
fn attack_a_receipt_that_does_not_add_up() {
    let of = Parameters::default();
    let before = Totals { seq: 4, epoch: 2, epoch_credit: 100, epoch_debit: 50, owed: 1_000 };
    let given = assignment(3, 10, 2);
    let honest = { before }.receipt(&of, &given, HASH, outcome(Verdict::Valid, 200)).unwrap();
    before.check(&of, &given, HASH, &honest).unwrap();
    type Change = fn(&mut Receipt);
    let changes: [(&str, Change); 12] = [
        ("assignment", |receipt| receipt.assignment = B256::ZERO),
        ("epoch", |receipt| receipt.epoch += 1),
        ("sequence number", |receipt| receipt.seq += 1),
        ("sequence number", |receipt| receipt.seq -= 1),
        ("credit", |receipt| receipt.credit -= 1),
        ("debit", |receipt| receipt.debit += 1),
        ("epoch's credit", |receipt| receipt.epochCredit -= 1),
        ("epoch's debit", |receipt| receipt.epochDebit += 1),
        ("sum owed", |receipt| receipt.owed -= 1),
        // With a time that pays less the credit is another one; so it is with another verdict.
        ("credit", |receipt| receipt.ms = 3_000),
        ("credit", |receipt| receipt.verdict = Verdict::Superseded as u8),
        ("credit", |receipt| receipt.verdict = Verdict::Missed as u8),
    ];
    for (what, change) in changes {
        let mut receipt = honest.clone();
        change(&mut receipt);
        assert_eq!(before.check(&of, &given, HASH, &receipt), Err(ReceiptError::Number(what)));
    }
    assert_eq!(before.check(&of, &given, HASH, &Receipt { verdict: 6, ..honest.clone() }), Err(ReceiptError::Verdict(6)));
    let of_old = assignment(3, 10, 1);
    assert_eq!(before.check(&of, &of_old, HASH, &honest), Err(ReceiptError::Epoch { epoch: 1, before: 2 }));
}

/// Two histories of one validator and miner: whichever two receipts of one number meet contradict each other, as do totals that shrink.
#[test]
fn attack_a_validator_with_two_histories() {
    let of = Parameters::default();
    let history = |prices: [u128; 3]| -> Vec<Receipt> {
        let mut totals = Totals::default();
        prices.map(|price| totals.receipt(&of, &assignment(1, price, 1), HASH, outcome(Verdict::Valid, 9)).unwrap()).to_vec()
    };
    let (one, other) = (history([5, 5, 5]), history([5, 1, 1]));
    assert!(!contradict(&one[0], &other[0]), "the same receipt");
    assert!(contradict(&one[1], &other[1]) && contradict(&other[1], &one[1]));
    assert!(contradict(&one[1], &other[2]) && contradict(&other[2], &one[1]), "a later one that owes less");
    assert!(contradict(&Receipt { epoch: 2, ..one[0].clone() }, &one[1]), "a later one of an epoch before");
    for (a, b) in [(0, 1), (0, 2), (1, 2), (2, 0), (1, 1)] {
        assert!(!contradict(&one[a], &one[b]), "an honest history");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]
    /// An honest history never contradicts itself, and each receipt follows the one before and no other.
    #[test]
    fn honest_histories_hold(steps in proptest::collection::vec((1u32..64, 0u128..100, 0u64..2, 1u8..6, 0u64..6_000), 2..12)) {
        let of = Parameters::default();
        let (mut totals, mut epoch) = (Totals::default(), 0);
        let (mut receipts, mut before) = (Vec::new(), Vec::new());
        for (units, price, later, verdict, ms) in steps {
            epoch += later;
            let given = assignment(units, price, epoch);
            before.push((totals, given.clone()));
            receipts.push(totals.receipt(&of, &given, HASH, outcome(Verdict::from_u8(verdict).unwrap(), ms)).unwrap());
        }
        for (k, receipt) in receipts.iter().enumerate() {
            for (j, (totals, given)) in before.iter().enumerate() {
                prop_assert_eq!(totals.check(&of, given, HASH, receipt).is_ok(), j == k);
            }
            prop_assert!(receipts.iter().all(|other| !contradict(receipt, other)));
        }
    }
}
