//! What a miner has accepted: the earliest deadline first, and no more than can be done in time.

use std::collections::{BTreeMap, HashMap, VecDeque};

use alloy::primitives::B256;

/// Times that are remembered for each key.
const TIMES: usize = 9;

/// A slice of a model, which has a key of its own.
type KeyId = (B256, u16);

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Queue<T> {
    slots: usize,
    waiting: BTreeMap<(u64, B256), (KeyId, T)>,
    /// What is proven now, and when it is expected to be done.
    running: HashMap<B256, (KeyId, u64)>,
    times: HashMap<KeyId, VecDeque<u64>>,
}

impl<T> Queue<T> {
    pub(crate) fn new(slots: usize) -> Self {
        Self { slots: slots.max(1), waiting: BTreeMap::new(), running: HashMap::new(), times: HashMap::new() }
    }

    /// How long a slice of this key takes; nothing is known of the first.
    fn expected(&self, key: &KeyId) -> u64 {
        let mut times: Vec<u64> = self.times.get(key).into_iter().flatten().copied().collect();
        times.sort_unstable();
        times.get(times.len() / 2).copied().unwrap_or_default()
    }

    /// Milliseconds until everything is done.
    pub(crate) fn busy_ms(&self, now: u64) -> u64 {
        let waiting: u64 = self.waiting.values().map(|(key, _)| self.expected(key)).sum();
        let running: u64 = self.running.values().map(|(_, until)| until.saturating_sub(now)).sum();
        (waiting + running) / self.slots as u64
    }

    /// Whether one more would be done in time, and all that are later than it still would. Of a key that it knows no time of, it takes as many
    /// as it has slots.
    pub(crate) fn fits(&self, key: &KeyId, deadline: u64, now: u64) -> bool {
        if !self.times.contains_key(key) {
            let others = self.waiting.values().map(|(other, _)| other).chain(self.running.values().map(|(other, _)| other));
            if others.filter(|other| *other == key).count() >= self.slots {
                return false;
            }
        }
        let running: u64 = self.running.values().map(|(_, until)| until.saturating_sub(now)).sum();
        let mut ready = running;
        let mut is_counted = false;
        let own = self.expected(key);
        let slots = self.slots as u64;
        for ((at, _), (other, _)) in &self.waiting {
            if !is_counted && *at > deadline {
                ready += own;
                is_counted = true;
                if now + ready / slots > deadline {
                    return false;
                }
            }
            ready += self.expected(other);
            if is_counted && now + ready / slots > *at {
                return false;
            }
        }
        is_counted || now + (ready + own) / slots.max(1) <= deadline
    }

    pub(crate) fn push(&mut self, id: B256, key: KeyId, deadline: u64, item: T) {
        self.waiting.insert((deadline, id), (key, item));
    }

    /// The next one, and until when it is of use.
    pub(crate) fn pop(&mut self, now: u64) -> Option<(B256, u64, T)> {
        if self.running.len() >= self.slots {
            return None;
        }
        let ((deadline, id), (key, item)) = self.waiting.pop_first()?;
        self.running.insert(id, (key, now + self.expected(&key)));
        Some((id, deadline, item))
    }

    /// One is done, after so many milliseconds; none where it was not proven.
    pub(crate) fn done(&mut self, id: B256, took: Option<u64>) {
        let Some((key, _)) = self.running.remove(&id) else { return };
        if let Some(took) = took {
            let times = self.times.entry(key).or_default();
            times.push_back(took);
            if times.len() > TIMES {
                times.pop_front();
            }
        }
    }

    /// One is not wanted any more. False if it does not wait.
    pub(crate) fn remove(&mut self, id: B256) -> bool {
        let Some(at) = self.waiting.keys().find(|(_, other)| *other == id).copied() else { return false };
        self.waiting.remove(&at).is_some()
    }

    /// What waits.
    pub(crate) fn waiting(&self) -> impl Iterator<Item = &T> {
        self.waiting.values().map(|(_, item)| item)
    }

    /// One that waits.
    pub(crate) fn get(&self, id: B256) -> Option<&T> {
        self.waiting.iter().find(|((_, other), _)| *other == id).map(|(_, (_, item))| item)
    }

    pub(crate) fn len(&self) -> usize {
        self.waiting.len() + self.running.len()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// A miner that takes what fits, at constant speed, misses no deadline.
    #[test]
    fn what_is_accepted_is_done_in_time() {
        let mut seed = 1u64;
        let mut random = |below: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) % below
        };
        let key = |k: u64| (B256::ZERO, k as u16);
        let took = [200, 350, 800];
        let (mut accepted, mut refused) = (0, 0);
        let mut queue = Queue::new(1);
        for k in 0..3 {
            queue.push(B256::with_last_byte(k as u8), key(k), 1, k);
            queue.pop(0);
            queue.done(B256::with_last_byte(k as u8), Some(took[k as usize]));
        }
        let (mut now, mut running) = (0, None);
        for n in 0..1_000u64 {
            let until = now + random(400);
            // One after the other, each begun when the one before is done.
            loop {
                if let Some((id, ends, took)) = running.filter(|(_, ends, _)| *ends <= until) {
                    queue.done(id, Some(took));
                    (now, running) = (ends, None);
                }
                if running.is_some() {
                    break;
                }
                let Some((id, deadline, k)) = queue.pop(now) else { break };
                let ends = now + took[k as usize];
                assert!(ends <= deadline, "{ends} after {deadline}");
                running = Some((id, ends, took[k as usize]));
            }
            now = until;
            let (k, deadline) = (random(3), now + 300 + random(3_000));
            if queue.fits(&key(k), deadline, now) {
                queue.push(B256::from(alloy::primitives::U256::from(n + 10)), key(k), deadline, k);
                if running.is_none() {
                    let (id, deadline, k) = queue.pop(now).unwrap();
                    running = Some((id, now + took[k as usize], took[k as usize]));
                    assert!(now + took[k as usize] <= deadline);
                }
                accepted += 1;
            } else {
                refused += 1;
            }
        }
        assert!(accepted > 300 && refused > 100, "{accepted} {refused}");
    }

    /// Nobody knows how long a new key takes: not more than can be begun at once is taken on.
    #[test]
    fn attack_many_of_a_key_that_was_never_proven() {
        let mut queue = Queue::new(2);
        let (new, other) = ((B256::ZERO, 0), (B256::ZERO, 1));
        for k in 1..=2 {
            assert!(queue.fits(&new, 100, 0));
            queue.push(B256::with_last_byte(k), new, 100, ());
        }
        assert!(!queue.fits(&new, 100, 0) && queue.fits(&other, 100, 0));
        let (first, ..) = queue.pop(0).unwrap();
        assert!(!queue.fits(&new, 100, 0), "one runs, one waits");
        queue.done(first, Some(30));
        assert!(queue.fits(&new, 100, 0), "now its time is known");
    }

    #[test]
    fn it_refuses_what_others_would_be_late_for() {
        let mut queue = Queue::new(1);
        let (a, b) = ((B256::ZERO, 0), (B256::ZERO, 1));
        for key in [a, b] {
            queue.push(B256::ZERO, key, 9, ());
            queue.pop(0);
            queue.done(B256::ZERO, Some(100));
        }
        queue.push(B256::with_last_byte(1), a, 150, ());
        assert!(!queue.fits(&b, 140, 0), "it would be done, and the other one late");
        assert!(!queue.fits(&b, 190, 0));
        assert!(queue.fits(&b, 200, 0));
        assert!(queue.remove(B256::with_last_byte(1)) && !queue.remove(B256::with_last_byte(1)));
        assert!(queue.fits(&b, 140, 0));
        assert_eq!((queue.len(), queue.busy_ms(0)), (0, 0));
    }
}
