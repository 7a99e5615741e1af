//! Slices that wait for a miner: callers in turn, a round of units each, and of a caller's the nearest deadline first. Whoever asks for much,
//! or says that it is urgent, keeps nobody else waiting for longer than a round.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{Excluded, Unbounded};

use alloy::primitives::B256;

use super::dispatch::SliceId;
use crate::draws::ROUND;

/// Hash of a caller's name.
pub(crate) type Caller = B256;
/// Deadline, number and slice: the order within a caller.
pub(crate) type Place = (u64, u64, SliceId);

#[derive(Debug, Default)]
struct Waiting {
    slices: BTreeSet<Place>,
    /// Units that were given away for this caller.
    served: u64,
}

/// See the [module](self).
#[derive(Debug, Default)]
pub(crate) struct Queue {
    callers: BTreeMap<Caller, Waiting>,
    /// What the caller that was served last had got by then: whoever comes begins there, and nobody catches up on the time that they asked
    /// for nothing.
    at: u64,
}

impl Queue {
    /// A slice waits. False if it does already.
    pub(crate) fn insert(&mut self, caller: Caller, place: Place) -> bool {
        if !self.callers.contains_key(&caller) {
            // As many as have been served beyond the others are remembered, and these wait for their turn.
            self.callers.retain(|_, waiting| !waiting.slices.is_empty() || waiting.served > self.at);
        }
        let waiting = self.callers.entry(caller).or_default();
        if waiting.slices.is_empty() {
            waiting.served = waiting.served.max(self.at);
        }
        waiting.slices.insert(place)
    }

    /// A slice waits no more.
    pub(crate) fn remove(&mut self, caller: Caller, place: &Place) {
        if let Some(waiting) = self.callers.get_mut(&caller) {
            waiting.slices.remove(place);
        }
    }

    /// So many units were given away for a caller.
    pub(crate) fn serve(&mut self, caller: Caller, units: u32) {
        if let Some(waiting) = self.callers.get_mut(&caller) {
            self.at = self.at.max(waiting.served);
            // Whoever waited for what nobody can take has its turn, and no more: the turns of others meanwhile are no debt to it.
            waiting.served = waiting.served.max(self.at.saturating_sub(ROUND)).saturating_add(u64::from(units));
        }
    }

    #[cfg(test)]
    pub(crate) fn contains(&self, caller: Caller, place: &Place) -> bool {
        self.callers.get(&caller).is_some_and(|waiting| waiting.slices.contains(place))
    }

    pub(crate) fn len(&self) -> usize {
        self.callers.values().map(|waiting| waiting.slices.len()).sum()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.callers.values().all(|waiting| waiting.slices.is_empty())
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &SliceId> {
        self.callers.values().flat_map(|waiting| &waiting.slices).map(|(_, _, id)| id)
    }

    /// All that waits, each once, in the order in which it is to be looked at.
    pub(crate) fn turns(&self) -> Turns {
        let first = |(caller, waiting): (&Caller, &Waiting)| Some((waiting.served / ROUND, 0, *waiting.slices.first()?, *caller));
        Turns { next: self.callers.iter().filter_map(first).collect(), last: None }
    }
}

/// Rounds that a caller has got, slices of its that were looked at in vain, and the next one.
type Turn = (u64, u32, Place, Caller);

/// See [`Queue::turns`].
pub(crate) struct Turns {
    next: BTreeSet<Turn>,
    last: Option<Turn>,
}

impl Turns {
    /// The next slice. What was taken out of the queue since the one before was given away.
    pub(crate) fn next(&mut self, queue: &Queue) -> Option<SliceId> {
        if let Some((_, passed, place, caller)) = self.last.take()
            && let Some(waiting) = queue.callers.get(&caller)
            && let Some(next) = waiting.slices.range((Excluded(place), Unbounded)).next()
        {
            // One whose slices nobody can take lets others go before.
            let passed = passed + u32::from(waiting.slices.contains(&place));
            self.next.insert((waiting.served / ROUND, passed, *next, caller));
        }
        self.last = self.next.pop_first();
        self.last.map(|(_, _, (_, _, id), _)| id)
    }
}
