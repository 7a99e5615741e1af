//! Weights as a chain takes them: of uids, as many as it asks for, none above the share that it allows.

use std::collections::BTreeMap;

/// What a share of everything is.
const WHOLE: u64 = u16::MAX as u64;

/// Uids and their values, as long as each other; no uid is in it twice.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vector {
    /// Uids, ascending.
    pub uids: Vec<u16>,
    /// The weight of each.
    pub values: Vec<u16>,
}

impl Vector {
    /// From weights of uids, all below `count`. Uids without a weight fill up to the least number; weights above the largest share are
    /// cut down to it. `None` where nobody has a weight, or so few that one of them must be above that share.
    pub fn new(weights: &[(u16, u16)], count: u16, least: u16, largest_share: u16) -> Option<Self> {
        let mut of: BTreeMap<u16, u16> = weights.iter().copied().filter(|(_, weight)| *weight > 0).collect();
        let greatest = of.values().copied().max()?;
        let mut cap = greatest;
        while !is_within(of.values().map(|weight| upscaled((*weight).min(cap), cap)), largest_share) {
            // A 256th at a time: what is lost is less than a weight's own rounding is worth.
            cap = cap.checked_sub(1 + cap / 256).filter(|cap| *cap > 0)?;
        }
        of.values_mut().for_each(|weight| *weight = upscaled((*weight).min(cap), cap));
        for uid in 0..count {
            if of.len() >= usize::from(least.min(count)) {
                break;
            }
            of.entry(uid).or_insert(0);
        }
        let (uids, values) = of.into_iter().unzip();
        Some(Self { uids, values })
    }
}

/// As Bittensor scales: the greatest becomes 65,535. So it moves no value any more.
fn upscaled(weight: u16, greatest: u16) -> u16 {
    let scaled = (u64::from(weight) * WHOLE + u64::from(greatest) / 2) / u64::from(greatest);
    u16::try_from(scaled).unwrap_or(u16::MAX)
}

/// Whether 65,535, the greatest of them, is within its share of the sum. The chain reckons in 32 binary places and rounds down: that
/// is off by less than what is left for it here.
fn is_within(values: impl Iterator<Item = u16>, largest_share: u16) -> bool {
    let (count, sum) = values.fold((0, 0), |(count, sum), value| (count + 1, sum + u64::from(value)));
    largest_share == u16::MAX || WHOLE * WHOLE + 4 * count <= u64::from(largest_share) * sum
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn of(weights: &[(u16, u16)], count: u16, least: u16, largest_share: u16) -> Option<(Vec<u16>, Vec<u16>)> {
        Vector::new(weights, count, least, largest_share).map(|Vector { uids, values }| (uids, values))
    }

    #[test]
    fn weights_keep_their_ratios() {
        assert_eq!(of(&[(3, 10), (1, 20), (2, 0)], 9, 0, u16::MAX), Some((vec![1, 3], vec![65_535, 32_768])));
        assert_eq!(of(&[(0, 1)], 1, 9, u16::MAX), Some((vec![0], vec![65_535])));
        assert_eq!(of(&[], 9, 0, u16::MAX), None);
        assert_eq!(of(&[(1, 0)], 9, 0, u16::MAX), None);
    }

    #[test]
    fn others_fill_up_to_the_least_number() {
        assert_eq!(of(&[(2, 7)], 4, 3, u16::MAX), Some((vec![0, 1, 2], vec![0, 0, 65_535])));
        assert_eq!(of(&[(2, 7)], 4, 100, u16::MAX).unwrap().0, [0, 1, 2, 3]);
    }

    #[test]
    fn no_share_is_above_the_largest() {
        // A quarter each at most: the two large ones are cut, and the small ones keep their ratio.
        let (uids, values) = of(&[(0, 60_000), (1, 50_000), (2, 1_000), (3, 1_000), (4, 800)], 9, 0, 26_214).unwrap();
        assert_eq!(uids, [0, 1, 2, 3, 4]);
        assert_eq!((values[0], values[1], values[2]), (65_535, 65_535, values[3]));
        let sum: u64 = values.iter().map(|value| u64::from(*value)).sum();
        assert!(65_535 * 65_535 <= 26_214 * sum && 65_535 * 65_535 * 100 > 26_214 * sum * 99);
        // Three cannot have a quarter each at most, four can, alike.
        assert_eq!(of(&[(0, 5), (1, 5), (2, 5)], 9, 0, 16_384), None);
        assert_eq!(of(&[(0, 9), (1, 5), (2, 5), (3, 4)], 9, 0, 16_385).unwrap().1, [65_535; 4]);
    }

    proptest::proptest! {
        #[test]
        fn what_is_made_passes_the_rules(
            weights in proptest::collection::vec((0u16..256, 0u16..), 0..300), least in 0u16..300, share in 1u16..,
        ) {
            let Some(vector) = Vector::new(&weights, 256, least, share) else { return Ok(()) };
            assert_eq!(vector.uids.len(), vector.values.len());
            assert!(vector.uids.is_sorted_by(|a, b| a < b) && vector.uids.iter().all(|uid| *uid < 256));
            assert!(vector.uids.len() >= least.min(256).into());
            assert_eq!(vector.values.iter().max(), Some(&u16::MAX));
            let sum: u64 = vector.values.iter().map(|value| u64::from(*value)).sum();
            assert!(share == u16::MAX || 65_535 * 65_535 <= u64::from(share) * sum);
            // Scaling again changes nothing.
            let again: Vec<(u16, u16)> = vector.uids.iter().copied().zip(vector.values.iter().copied()).collect();
            assert_eq!(Vector::new(&again, 256, least, u16::MAX).unwrap(), vector);
        }
    }
}
