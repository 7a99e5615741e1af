//! Receipts: totals that anyone adds up again, and a validator that signs two histories is shown to; an honest one never.

use alloy::primitives::{Address, B256};
use proptest::prelude::*;
use zkslice_subnet::messages::{Assignment, Receipt, Verdict};
use zkslice_subnet::receipts::{Outcome, ReceiptError, Totals, check_alone, contradict, contradictions};
use zkslice_subnet::score::Parameters;

const PROOF: B256 = B256::repeat_byte(5);

fn assignment(units: u32, price: u128, epoch: u64) -> Assignment {
    Assignment {
        job: B256::repeat_byte(1),
        model: B256::repeat_byte(2),
        slice: 0,
        attempt: 0,
        validator: Address::repeat_byte(7),
        miner: Address::repeat_byte(3),
        statement: B256::repeat_byte(4),
        units,
        price,
        issuedMs: 0,
        deadlineMs: 9_000,
        epoch,
    }
}

/// A hash for each assignment.
fn hash(k: u8) -> B256 {
    B256::repeat_byte(k)
}

fn outcome(verdict: Verdict, ms: u64) -> Outcome {
    let proof_hash = if verdict == Verdict::Missed { B256::ZERO } else { PROOF };
    Outcome { verdict, proof_hash, ms }
}

#[test]
fn totals_add_up_and_begin_anew_each_epoch() {
    let (of, mut totals, mut k) = (Parameters::default(), Totals::default(), 0);
    let mut receipt = |units, price, epoch, verdict, ms| {
        let given = assignment(units, price, epoch);
        let before = totals;
        k += 1;
        let receipt = totals.receipt(&of, &given, hash(k), outcome(verdict, ms));
        before.check(&of, &given, hash(k), Some(PROOF), &receipt).unwrap();
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
    // A slice of the epoch before that ends now counts now: nothing is lost between epochs.
    let fourth = receipt(1, 7, 1, Verdict::Valid, 0);
    assert_eq!((fourth.epoch, fourth.epochCredit, fourth.epochDebit, fourth.owed), (2, 256, 256, 17));
}

/// Every part of a receipt is checked by its miner.
#[test]
fn attack_a_receipt_that_does_not_add_up() {
    let of = Parameters::default();
    let before = Totals { seq: 4, epoch: 2, epoch_credit: 100, epoch_debit: 50, owed: 1_000 };
    let given = assignment(3, 10, 2);
    let honest = { before }.receipt(&of, &given, hash(1), outcome(Verdict::Valid, 200));
    let check = |receipt: &Receipt| before.check(&of, &given, hash(1), Some(PROOF), receipt);
    check(&honest).unwrap();
    type Change = fn(&mut Receipt);
    let changes: [(&str, Change); 16] = [
        ("validator", |receipt| receipt.validator = Address::ZERO),
        ("miner", |receipt| receipt.miner = Address::ZERO),
        ("assignment", |receipt| receipt.assignment = B256::ZERO),
        ("proof", |receipt| receipt.proofHash = B256::repeat_byte(6)),
        ("epoch", |receipt| receipt.epoch += 1),
        ("sequence number", |receipt| receipt.seq += 1),
        ("sequence number", |receipt| receipt.seq -= 1),
        ("credit", |receipt| receipt.credit -= 1),
        ("debit", |receipt| receipt.debit += 1),
        ("epoch's credit", |receipt| receipt.epochCredit -= 1),
        ("epoch's debit", |receipt| receipt.epochDebit += 1),
        ("sum owed", |receipt| receipt.owed -= 1),
        // With a time that pays less the credit is another one, and a valid proof cannot have come too late.
        ("credit", |receipt| receipt.ms = 2_000),
        ("time", |receipt| receipt.ms = 9_001),
        ("credit", |receipt| receipt.verdict = Verdict::Superseded as u8),
        // Missed, it says, of a proof that it names.
        ("proof", |receipt| receipt.verdict = Verdict::Missed as u8),
    ];
    for (what, change) in changes {
        let mut receipt = honest.clone();
        change(&mut receipt);
        assert_eq!(check(&receipt), Err(ReceiptError::Part(what)));
    }
    assert_eq!(check(&Receipt { verdict: 6, ..honest.clone() }), Err(ReceiptError::Verdict(6)));
    // Whoever handed nothing in has no valid, invalid or late proof.
    for verdict in [Verdict::Valid, Verdict::Invalid, Verdict::Late] {
        for proof_hash in [PROOF, B256::ZERO] {
            let receipt = { before }.receipt(&of, &given, hash(1), Outcome { verdict, proof_hash, ms: 5 });
            assert_eq!(before.check(&of, &given, hash(1), None, &receipt), Err(ReceiptError::Part("proof")));
        }
    }
    // An assignment whose epoch is over counts in the epoch that it is.
    let of_old = assignment(3, 10, 1);
    assert_eq!(before.check(&of, &of_old, hash(1), Some(PROOF), &honest), Ok(()));
}

/// Two histories of one validator and miner: whichever two receipts of one number meet contradict each other, as do totals that shrink.
#[test]
fn attack_a_validator_with_two_histories() {
    let of = Parameters::default();
    let history = |prices: [u128; 3]| -> Vec<Receipt> {
        let (mut totals, mut k) = (Totals::default(), 0);
        let receipts = prices.map(|price| {
            k += 1;
            totals.receipt(&of, &assignment(1, price, 1), hash(k), outcome(Verdict::Valid, 9))
        });
        receipts.to_vec()
    };
    let (one, other) = (history([5, 5, 5]), history([5, 1, 1]));
    assert!(!contradict(&one[0], &other[0]), "the same receipt");
    assert!(contradict(&one[1], &other[1]) && contradict(&other[1], &one[1]));
    assert!(contradict(&one[1], &other[2]) && contradict(&other[2], &one[1]), "a later one that owes less");
    assert!(contradict(&Receipt { epoch: 2, ..one[0].clone() }, &one[1]), "a later one of an epoch before");
    for shrunk in [Receipt { epochCredit: 1, ..one[2].clone() }, Receipt { epochCredit: 0, ..one[1].clone() }] {
        assert!(contradict(&one[0], &shrunk), "a score that shrinks within an epoch");
    }
    for (a, b) in [(0, 1), (0, 2), (1, 2), (2, 0), (1, 1)] {
        assert!(!contradict(&one[a], &one[b]), "an honest history");
    }
    // Other people's receipts are other histories.
    for stranger in [Receipt { miner: Address::ZERO, ..other[1].clone() }, Receipt { validator: Address::ZERO, ..other[1].clone() }] {
        assert!(!contradict(&one[1], &stranger));
    }
}

/// An assignment is settled once. What was missed may come late, which changes nothing.
#[test]
fn attack_an_assignment_that_is_settled_twice() {
    let of = Parameters::default();
    const VERDICTS: [Verdict; 5] = [Verdict::Valid, Verdict::Invalid, Verdict::Missed, Verdict::Late, Verdict::Superseded];
    for first in VERDICTS {
        for second in VERDICTS {
            let (mut totals, given) = (Totals::default(), assignment(1, 10, 1));
            let one = totals.receipt(&of, &given, hash(1), outcome(first, 9));
            let other = totals.receipt(&of, &given, hash(1), outcome(second, 9));
            let is_late = (first, second) == (Verdict::Missed, Verdict::Late);
            assert_eq!(contradict(&one, &other), !is_late, "{first:?}, then {second:?}");
            if is_late {
                assert_eq!((other.credit, other.debit, other.epochDebit), (0, 0, one.epochDebit), "not debited twice");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]
    /// An honest history never contradicts itself, and each receipt follows the one before and no other.
    #[test]
    fn honest_histories_hold(steps in proptest::collection::vec((1u32..64, 0u128..100, 0u64..4, 1u8..6, 0u64..3_000), 2..12)) {
        let of = Parameters::default();
        let mut totals = Totals::default();
        let (mut receipts, mut before) = (Vec::new(), Vec::new());
        for (k, (units, price, epoch, verdict, ms)) in steps.into_iter().enumerate() {
            let (given, hash) = (assignment(units, price, epoch), hash(k as u8));
            let ms = ms.min(of.deadline_ms(units));
            before.push((totals, given.clone(), hash));
            receipts.push(totals.receipt(&of, &given, hash, outcome(Verdict::from_u8(verdict).unwrap(), ms)));
        }
        for (k, receipt) in receipts.iter().enumerate() {
            for (j, (totals, given, hash)) in before.iter().enumerate() {
                prop_assert_eq!(totals.check(&of, given, *hash, Some(PROOF), receipt).is_ok(), j == k);
            }
            prop_assert!(receipts.iter().all(|other| !contradict(receipt, other)));
        }
    }
}

/// What is signed of one assignment is held against it without the receipt before.
#[test]
fn one_receipt_alone_is_checked() {
    let of = Parameters::default();
    let given = assignment(2, 10, 1);
    let verdicts = [Verdict::Valid, Verdict::Invalid, Verdict::Missed, Verdict::Late, Verdict::Superseded];
    for verdict in verdicts {
        let mut totals = Totals { seq: 4, epoch: 1, epoch_credit: 100, epoch_debit: 100, owed: 30 };
        let receipt = totals.receipt(&of, &given, hash(1), outcome(verdict, 100));
        check_alone(&of, &given, hash(1), &receipt).unwrap();
        type Change = fn(&mut Receipt);
        let changes: [(&str, Change); 8] = [
            ("validator", |receipt| receipt.validator = Address::ZERO),
            ("miner", |receipt| receipt.miner = Address::ZERO),
            ("assignment", |receipt| receipt.assignment = hash(2)),
            ("epoch", |receipt| receipt.epoch = 0),
            ("sequence number", |receipt| receipt.seq = 0),
            ("credit", |receipt| receipt.credit += 1),
            ("debit", |receipt| receipt.debit += 1),
            ("proof", |receipt| receipt.proofHash = if receipt.proofHash.is_zero() { PROOF } else { B256::ZERO }),
        ];
        for (what, change) in changes {
            let mut changed = receipt.clone();
            change(&mut changed);
            let expected = if what == "proof" && verdict == Verdict::Superseded { Ok(()) } else { Err(ReceiptError::Part(what)) };
            assert_eq!(check_alone(&of, &given, hash(1), &changed), expected, "{verdict:?}");
        }
        let unknown = Receipt { verdict: 9, ..receipt };
        assert_eq!(check_alone(&of, &given, hash(1), &unknown), Err(ReceiptError::Verdict(9)));
    }
}

/// Of any list, what neighbours show is what all pairs show: whether its validator contradicts itself.
#[test]
fn contradictions_are_found_among_many() {
    let of = Parameters::default();
    let mut totals = Totals::default();
    let honest: Vec<Receipt> =
        (1..=6).map(|k| totals.receipt(&of, &assignment(1, 5, u64::from(k / 3)), hash(k), outcome(Verdict::Valid, 10))).collect();
    assert_eq!(contradictions(&honest), []);
    let mut seed = 7u64;
    let mut random = |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    };
    for _ in 0..20_000 {
        let mut receipts: Vec<Receipt> = (0..5).map(|_| honest[random(6) as usize].clone()).collect();
        for receipt in &mut receipts {
            match random(12) {
                0 => receipt.seq = random(8),
                1 => receipt.owed = u128::from(random(40)),
                2 => receipt.epoch = random(4),
                3 => receipt.epochCredit = random(1_000),
                4 => receipt.assignment = hash(random(7) as u8),
                5 => receipt.verdict = Verdict::Missed as u8,
                6 => receipt.verdict = Verdict::Late as u8,
                7 => receipt.miner = Address::repeat_byte(random(3) as u8),
                _ => {}
            }
        }
        let pairs = contradictions(&receipts);
        assert!(pairs.iter().all(|(a, b)| a < b && contradict(&receipts[*a], &receipts[*b])));
        let any = (0..5).any(|a| (a + 1..5).any(|b| contradict(&receipts[a], &receipts[b])));
        assert_eq!(!pairs.is_empty(), any, "{receipts:?}");
    }
}
