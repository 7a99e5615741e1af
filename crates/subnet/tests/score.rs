//! Scores: no receipt is worth more than it should be, and nobody gains by splitting, merging, waiting or padding. Edges first, then a
//! million cases of each rule.

use zkslice_subnet::messages::Verdict;
use zkslice_subnet::score::{FULL, Parameters, Worth, units, weights};

const CASES: u64 = 1_000_000;
const VERDICTS: [Verdict; 5] = [Verdict::Valid, Verdict::Invalid, Verdict::Missed, Verdict::Late, Verdict::Superseded];

/// SplitMix64.
struct Draw(u64);

impl Draw {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }

    fn units(&mut self) -> u32 {
        1 << self.below(19) as u32
    }
}

fn valid(units: u32, ms: u64) -> u32 {
    Parameters::default().worth(Verdict::Valid, units, ms, 320, FULL).credit
}

#[test]
fn worth_at_its_edges() {
    let of = Parameters::default();
    // 32 units: fast within 1,064 ms, late after 3,440.
    assert_eq!(of.deadline_ms(32), 3_440);
    assert_eq!([0, 1_064, 1_065, 3_440, 3_441, u64::MAX].map(|ms| valid(32, ms)), [8_192, 8_192, 8_160, 4_096, 0, 0]);
    let sized = |bytes: u32| of.worth(Verdict::Valid, 32, 0, bytes, FULL).credit;
    assert_eq!([0, 320, 321, 640, 81_920, 81_921, u32::MAX].map(sized), [8_192, 8_192, 8_160, 4_096, 32, 0, 0]);
    assert_eq!([0, 128, 256, u32::MAX].map(|quality| of.worth(Verdict::Valid, 32, 0, 320, quality).credit), [0, 4_096, 8_192, 8_192]);
    let worth = |verdict| of.worth(verdict, 32, 0, 320, FULL);
    assert_eq!(worth(Verdict::Invalid), Worth { credit: 0, debit: 8_192 });
    assert_eq!(worth(Verdict::Missed), Worth { credit: 0, debit: 4_096 });
    assert_eq!([Verdict::Late, Verdict::Superseded].map(worth), [Worth::default(); 2]);
    // Nothing overflows.
    for verdict in VERDICTS {
        for units in [0, 1, u32::MAX] {
            of.worth(verdict, units, u64::MAX, u32::MAX, u32::MAX);
            of.worth(verdict, units, 0, 0, u32::MAX);
        }
    }
    assert_eq!([0, 1, 1_024, 1_025, 1 << 15, 1 << 28, u64::MAX].map(units), [1, 1, 1, 2, 32, 1 << 18, u32::MAX]);
    assert_eq!([of.next(0, 0, 0), of.next(8, 1, 0), of.next(9, 0, 0), of.next(8, 0, 9)], [0, 8, 7, 0]);
    assert_eq!(of.next(u64::MAX, u64::MAX, 0), u64::MAX);
    assert_eq!(of.next(u64::MAX, 0, u64::MAX), 0);
    assert_eq!(weights(&[]), [0u16; 0]);
    assert_eq!(weights(&[0, 0]), [0, 0]);
    assert_eq!(weights(&[u64::MAX, 0, u64::MAX / 2, 1]), [65_535, 0, 32_767, 0]);
}

#[test]
fn earlier_smaller_and_better_never_pay_less() {
    let (of, mut draw) = (Parameters::default(), Draw(1));
    for _ in 0..CASES {
        let units = draw.units();
        let of_one = |ms: u64, bytes: u32, quality: u32| of.worth(Verdict::Valid, units, ms, bytes, quality).credit;
        let (ms, bytes, quality) = (draw.below(2 * of.deadline_ms(units)), draw.below(2_000) as u32, draw.below(300) as u32);
        let (later, more, less) = (draw.below(1_000), draw.below(1_000) as u32, draw.below(u64::from(quality) + 1) as u32);
        let best = of_one(ms, bytes, quality);
        assert!(of_one(ms + later, bytes + more, quality - less) <= best);
        assert!(best <= 256 * units);
    }
}

/// A proof that is worth less than nothing to send: no receipt of a valid one lowers a score, and no other raises one.
#[test]
fn receipts_move_scores_the_right_way() {
    let (of, mut draw) = (Parameters::default(), Draw(2));
    for _ in 0..CASES {
        let (score, credits, debits) = (draw.below(1 << 40), draw.below(1 << 30), draw.below(1 << 30));
        let verdict = VERDICTS[draw.below(5) as usize];
        let worth = of.worth(verdict, draw.units(), draw.below(10_000), 320, FULL);
        let before = of.next(score, credits, debits);
        let after = of.next(score, credits + u64::from(worth.credit), debits + u64::from(worth.debit));
        match verdict {
            Verdict::Valid => assert!(after >= before && worth.debit == 0),
            _ => assert!(after <= before && worth.credit == 0),
        }
    }
}

/// One machine's valid receipts among several identities, over several epochs, come to no more than with one.
#[test]
fn attack_identities_earn_nothing_together() {
    let (of, mut draw) = (Parameters::default(), Draw(3));
    for _ in 0..CASES / 20 {
        let identities = 2 + draw.below(6) as usize;
        let (mut whole, mut parts) = (0, vec![0u64; identities]);
        for _ in 0..4 {
            let mut credits = vec![0u64; identities];
            for _ in 0..5 {
                let units = draw.units();
                credits[draw.below(identities as u64) as usize] += u64::from(valid(units, draw.below(of.deadline_ms(units))));
            }
            whole = of.next(whole, credits.iter().sum(), 0);
            parts.iter_mut().zip(&credits).for_each(|(score, credits)| *score = of.next(*score, *credits, 0));
            assert!(parts.iter().sum::<u64>() <= whole);
        }
        // Nor do their weights beside another miner's.
        let other = 1 + draw.below(1 << 24);
        let share = |mine: &[u64]| {
            let all = weights(&[mine, &[other]].concat());
            let of_other = u64::from(*all.last().unwrap());
            (all[..mine.len()].iter().map(|weight| u64::from(*weight)).sum::<u64>(), of_other)
        };
        let ((split, beside_split), (one, beside_one)) = (share(&parts), share(&[whole]));
        // Weights are rounded down, by less than one each.
        assert!(split * beside_one < (one + 1) * (beside_split + 1), "{split}:{beside_split} against {one}:{beside_one}");
    }
}

/// Receipts count alike in any order.
#[test]
fn the_order_of_receipts_is_irrelevant() {
    let (of, mut draw) = (Parameters::default(), Draw(4));
    for _ in 0..CASES / 20 {
        let mut worth: Vec<Worth> =
            (0..20).map(|_| of.worth(VERDICTS[draw.below(5) as usize], draw.units(), draw.below(9_000), 320, FULL)).collect();
        let total = |worth: &[Worth]| {
            let sum = |of: fn(&Worth) -> u32| worth.iter().map(|worth| u64::from(of(worth))).sum::<u64>();
            of.next(5_000, sum(|worth| worth.credit), sum(|worth| worth.debit))
        };
        let before = total(&worth);
        for at in (1..worth.len()).rev() {
            worth.swap(at, draw.below(at as u64 + 1) as usize);
        }
        assert_eq!(total(&worth), before);
    }
}

#[test]
fn every_parameter_is_in_their_hash() {
    let of = Parameters::default();
    let others = [
        Parameters { fast_ms: [1_001, 2], ..of },
        Parameters { fast_ms: [1_000, 3], ..of },
        Parameters { most_ms: [2_001, 45], ..of },
        Parameters { most_ms: [2_000, 46], ..of },
        Parameters { proof_bytes: 321, ..of },
        Parameters { kept_eighths: 6, ..of },
        Parameters { debits: [257, 128], ..of },
        Parameters { debits: [256, 129], ..of },
    ];
    for (k, other) in others.iter().enumerate() {
        assert_ne!(other.hash(), of.hash());
        assert!(others[..k].iter().all(|before| before.hash() != other.hash()));
    }
}
