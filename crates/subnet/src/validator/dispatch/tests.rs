//! Attacks on the draw, one by one, and random walks through everything that can happen.

#![allow(clippy::unwrap_used, clippy::panic)]

use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore, SeedableRng};

use super::*;

const MODEL: B256 = B256::repeat_byte(1);
const OTHER: B256 = B256::repeat_byte(2);
const SETTINGS: Settings = Settings { attempts: 5, most_slots: 8, probation: 0, answer_ms: 2_000, starved_ms: 5_000, hedge_percent: 100 };

fn dispatch() -> Dispatch {
    Dispatch::new(Parameters::default(), SETTINGS)
}

fn miner(k: u8) -> Address {
    Address::repeat_byte(k)
}

fn ip(k: u8) -> Option<IpAddr> {
    Some(IpAddr::from([9, 9, k, 1]))
}

fn capacity(keys: &[B256]) -> Capacity {
    let keys = keys.iter().map(|model| (*model, vec![0xff])).collect();
    Capacity { slots: 4, memory_mib: 1, keys, queue_ms: 0, receipts: 0 }
}

fn slice(job: u32, model: B256, deadline_ms: u64) -> Slice {
    Slice { id: (B256::from(alloy::primitives::U256::from(job)), 0), model, caller: B256::ZERO, units: 10, deadline_ms }
}

fn assign(dispatch: &mut Dispatch, now: u64) -> Vec<Assigned> {
    dispatch.assign(now, &mut |_| true)
}

impl Dispatch {
    /// What holds at any time.
    fn check(&self) {
        for (address, miner) in &self.miners {
            let open = self.open.values().filter(|open| open.miner == *address && open.stage != Stage::HandedIn).count();
            assert_eq!(miner.in_flight as usize, open, "tickets of {address}");
            assert!(miner.window.size() >= 1);
            assert!(miner.accepted <= miner.offered && miner.offered < OFFERS);
        }
        for (id, entry) in &self.slices {
            let is_ready = self.ready.contains(entry.slice.caller, &(entry.order.0, entry.order.1, *id));
            assert!(is_ready || entry.is_kept || !entry.open.is_empty(), "a slice is nowhere");
            assert!(!(is_ready && entry.is_kept));
            if is_ready {
                // It is looked at again, whatever happens.
                assert!(self.timers.iter().any(|(_, timer)| *timer == Timer::Starved(*id)), "a slice waits for ever");
            }
            for ticket in &entry.open {
                assert_eq!(self.open.get(ticket).map(|open| open.slice), Some(*id));
            }
            for (k, (miner, at)) in entry.tried.iter().enumerate() {
                let others = &entry.tried[..k];
                assert!(others.iter().all(|(other, prefix)| other != miner && (at.is_none() || prefix != at)), "two attempts at one place");
            }
            let spent = usize::from(entry.attempts.saturating_sub(entry.excused));
            assert!(spent <= usize::from(self.settings.attempts).max(entry.tried.len()));
        }
        assert_eq!(self.open.len(), self.slices.values().map(|entry| entry.open.len()).sum::<usize>());
        for (ticket, open) in &self.open {
            assert!(self.slices[&open.slice].open.contains(ticket));
            if open.stage != Stage::HandedIn {
                assert!(self.timers.contains(&(open.deadline_ms, Timer::Deadline(*ticket))), "a ticket without a deadline");
            }
        }
        assert!(self.ready.iter().all(|id| self.slices.contains_key(id)));
        assert!(self.to_hedge.iter().all(|id| self.slices.contains_key(id)));
        let missing: HashMap<Address, u32> = self.misses.iter().fold(HashMap::new(), |mut counts, (_, miner)| {
            *counts.entry(*miner).or_default() += 1;
            counts
        });
        assert_eq!(self.missing, missing);
    }
}

/// Slices that nobody here has the key of, with near deadlines, keep no other waiting.
#[test]
fn attack_a_model_that_nobody_holds() {
    let mut dispatch = dispatch();
    dispatch.join(miner(1), ip(1), &capacity(&[OTHER]));
    (0..5_000).for_each(|job| dispatch.add(slice(job, MODEL, 1_000), 0));
    dispatch.add(slice(9_999, OTHER, 900_000), 0);
    assert_eq!(assign(&mut dispatch, 0).len(), 1);
    // Nor do those that whoever is here has declined.
    let mut dispatch = Dispatch::new(Parameters::default(), Settings { starved_ms: 1 << 40, ..SETTINGS });
    dispatch.join(miner(1), ip(1), &capacity(&[OTHER]));
    for job in 0..3_000 {
        dispatch.add(slice(job, OTHER, 1_000_000), 0);
        let assigned = assign(&mut dispatch, 0);
        dispatch.declined(assigned[0].ticket, Reason::Busy, 0, 0);
    }
    dispatch.add(slice(9_999, OTHER, 2_000_000), 0);
    assert_eq!(assign(&mut dispatch, 0).len(), 1);
    dispatch.check();
}

/// Whoever asks for much, and says that it is urgent, keeps nobody else waiting for longer than a round; nor does whoever asks again as soon
/// as there is an answer, or was away for long.
#[test]
fn attack_one_caller_asks_for_everything() {
    let [greedy, modest] = [1, 2].map(B256::with_last_byte);
    let mut dispatch = dispatch();
    dispatch.join(miner(1), ip(1), &Capacity { slots: 1, ..capacity(&[MODEL]) });
    let mut job = 0;
    let mut add = |dispatch: &mut Dispatch, caller: B256, deadline_ms: u64| {
        job += 1;
        dispatch.add(Slice { caller, ..slice(job, MODEL, deadline_ms) }, 0);
    };
    // One is proven after the other, of 10 units each. Which callers' they were:
    let prove = |dispatch: &mut Dispatch, slices: usize| -> Vec<B256> {
        let proven = (0..slices).map(|_| {
            let assigned = assign(dispatch, 0).remove(0);
            let caller = dispatch.slices[&assigned.slice].slice.caller;
            dispatch.handed_in(assigned.ticket);
            dispatch.valid(assigned.ticket, 1);
            caller
        });
        proven.collect()
    };
    let count = |proven: &[B256], of: B256| proven.iter().filter(|caller| **caller == of).count();
    (0..2_000).for_each(|_| add(&mut dispatch, greedy, 100_000));
    prove(&mut dispatch, 200);
    dispatch.check();
    // Having had 200 before is no debt, and having had none no claim.
    (0..300).for_each(|_| add(&mut dispatch, modest, 900_000));
    let proven = prove(&mut dispatch, 400);
    let round = ROUND as usize / 10 + 1;
    assert!(count(&proven, modest).abs_diff(200) <= round, "{} of 400", count(&proven, modest));
    assert!(proven.chunks(3 * round).all(|some| count(some, modest) > 0 || some.len() < 3 * round), "it waits for more than a round");
    // One at a time, each as soon as the one before is proven: no more than the other.
    let left: Vec<SliceId> = dispatch.ready.iter().filter(|id| dispatch.slices[*id].slice.caller == greedy).copied().collect();
    dispatch.remove(left.into_iter().skip(1_000));
    let mut proven = Vec::new();
    for _ in 0..200 {
        add(&mut dispatch, B256::with_last_byte(3), 50_000);
        proven.extend(prove(&mut dispatch, 1));
    }
    let third = count(&proven, B256::with_last_byte(3));
    assert!(third.abs_diff(67) <= 2 * round, "{third} of 200 between three");
    // Alone, whoever is left gets everything.
    let left = dispatch.ready.len();
    assert_eq!(prove(&mut dispatch, left).len(), left);
    assert!(dispatch.ready.is_empty());
}

/// Whoever has no room costs a slice no attempt, and is asked again after a while, and not before.
#[test]
fn declining_for_lack_of_room_is_no_attempt() {
    let mut dispatch = dispatch();
    (1..=8).for_each(|k| dispatch.join(miner(k), ip(k), &capacity(&[MODEL])));
    dispatch.add(slice(1, MODEL, 900_000), 0);
    for now in [0, 5_000, 10_000] {
        for due in dispatch.due(now) {
            assert!(matches!(due, Due::Starved(_)), "{due:?}");
        }
        for _ in 0..8 {
            let assigned = assign(&mut dispatch, now).remove(0);
            dispatch.declined(assigned.ticket, Reason::Busy, 0, now);
            dispatch.check();
        }
        assert!(assign(&mut dispatch, now).is_empty(), "all were asked");
    }
    // Declining for another reason is an attempt, and never asked for again.
    dispatch.due(15_000);
    for attempt in 24..29 {
        let assigned = assign(&mut dispatch, 15_000).remove(0);
        assert_eq!(assigned.attempt, attempt);
        dispatch.declined(assigned.ticket, Reason::BadWork, 0, 15_000);
    }
    assert!(assign(&mut dispatch, 15_000).is_empty());
    assert_eq!(dispatch.due(15_000), [Due::Exhausted(slice(1, MODEL, 0).id)]);
    dispatch.check();
}

/// Whoever comes and goes makes nobody prove what another is proving, and costs a slice one attempt.
#[test]
fn attack_coming_and_going() {
    let mut dispatch = dispatch();
    (1..=5).for_each(|k| dispatch.join(miner(k), ip(k), &capacity(&[MODEL])));
    dispatch.add(slice(1, MODEL, 900_000), 0);
    let first = assign(&mut dispatch, 0).remove(0);
    dispatch.accepted(first.ticket);
    dispatch.leave(first.miner, 10);
    let second = assign(&mut dispatch, 10).remove(0);
    dispatch.accepted(second.ticket);
    for now in 11..20 {
        dispatch.join(first.miner, ip(9), &capacity(&[MODEL]));
        dispatch.leave(first.miner, now);
        assert!(assign(&mut dispatch, now).is_empty());
        dispatch.check();
    }
    dispatch.leave(second.miner, 20);
    assert_eq!(assign(&mut dispatch, 20).len(), 1, "nobody who is here has it");
    assert!(dispatch.handed_in(second.ticket));
    assert_eq!(dispatch.valid(second.ticket, 5).len(), 2);
    dispatch.check();
}

/// The last attempt is over when it is over, and not when its miner's connection breaks.
#[test]
fn attack_the_last_attempt_breaks_off() {
    let mut dispatch = Dispatch::new(Parameters::default(), Settings { attempts: 1, ..SETTINGS });
    dispatch.join(miner(1), ip(1), &capacity(&[MODEL]));
    dispatch.add(slice(1, MODEL, 900_000), 0);
    let assigned = assign(&mut dispatch, 0).remove(0);
    dispatch.accepted(assigned.ticket);
    dispatch.leave(miner(1), 10);
    // The validator may prove it itself from now on, and need not.
    assert_eq!(dispatch.due(10), [Due::Starved(assigned.slice)]);
    dispatch.keep(assigned.slice);
    assert_eq!(dispatch.due(assigned.deadline_ms), [Due::Missed(assigned.ticket)], "kept or not, what was accepted is due");
    dispatch.missed(assigned.ticket, assigned.deadline_ms);
    assert!(dispatch.due(assigned.deadline_ms + 60_000).is_empty(), "it is proven here");
    dispatch.check();
}

/// A restart ends a rest once: then a proof has to come.
#[test]
fn attack_a_rest_is_not_shaken_off() {
    let mut dispatch = dispatch();
    let mut given = 0;
    for round in 0..30u32 {
        let now = u64::from(round) * 3_000;
        dispatch.join(miner(1), ip(1), &capacity(&[MODEL]));
        dispatch.add(slice(round, MODEL, 900_000), now);
        for assigned in assign(&mut dispatch, now) {
            given += 1;
            dispatch.sent(assigned.ticket, now);
            dispatch.unanswered(assigned.ticket, now + 2_000);
        }
        dispatch.leave(miner(1), now + 2_001);
        dispatch.check();
    }
    // Its rests double: 90 seconds hold few of them.
    assert!(given <= 8, "{given}");
}

/// An invalid proof keeps its miner out although nobody needs the slice any more.
#[test]
fn attack_a_bad_proof_of_what_is_over() {
    let mut dispatch = dispatch();
    dispatch.join(miner(1), ip(1), &capacity(&[MODEL]));
    dispatch.add(slice(1, MODEL, 900_000), 0);
    let assigned = assign(&mut dispatch, 0).remove(0);
    assert!(dispatch.handed_in(assigned.ticket) && !dispatch.handed_in(assigned.ticket));
    assert_eq!(dispatch.remove(std::iter::once(assigned.slice)), [assigned.ticket]);
    let until = dispatch.invalid(assigned.ticket, (miner(1), 0), 10);
    assert!(until >= 600_000, "{until}");
    dispatch.leave(miner(1), 11);
    dispatch.join(miner(1), ip(1), &capacity(&[MODEL]));
    dispatch.add(slice(2, MODEL, 900_000), 11);
    assert!(assign(&mut dispatch, 12).is_empty());
    dispatch.check();
}

/// Strangers that come and go are not remembered.
#[test]
fn attack_names_without_end() {
    let mut dispatch = dispatch();
    for k in 0..10_000u32 {
        let address = Address::left_padding_from(&k.to_be_bytes());
        dispatch.join(address, ip(1), &capacity(&[MODEL]));
        dispatch.leave(address, 0);
    }
    assert!(dispatch.miners.is_empty());
}

/// After a restart a proof that is here is waited for, and everybody who has something is counted.
#[test]
fn what_was_open_is_restored() {
    let mut dispatch = dispatch();
    let restored = |k, stage| Restored { miner: miner(k), issued_ms: 0, deadline_ms: 1_000, stage };
    let tickets = dispatch.restore(slice(1, MODEL, 900_000), false, 2, &[restored(1, Stage::HandedIn), restored(2, Stage::Accepted)], 10);
    dispatch.join(miner(3), ip(3), &capacity(&[MODEL]));
    assert!(assign(&mut dispatch, 10).is_empty());
    dispatch.check();
    let until = dispatch.invalid(tickets[0], (miner(1), 0), 20);
    assert!(until > 20);
    assert_eq!(dispatch.due(1_000), [Due::Missed(tickets[1])]);
    dispatch.missed(tickets[1], 1_000);
    assert_eq!(assign(&mut dispatch, 1_000).len(), 1);
    dispatch.check();
}

/// Everything that can happen, in any order.
struct Walk {
    rng: ChaCha8Rng,
    now: u64,
    dispatch: Dispatch,
    jobs: u32,
    tickets: Vec<Ticket>,
    known: HashMap<Ticket, (SliceId, Address, u64)>,
    ever: BTreeSet<Ticket>,
}

impl Walk {
    fn below(&mut self, below: u64) -> u64 {
        self.rng.next_u64() % below
    }

    fn ticket(&mut self) -> Option<Ticket> {
        let at = self.below(self.tickets.len().max(1) as u64) as usize;
        self.tickets.get(at).copied()
    }

    fn new_slice(&mut self) -> Slice {
        self.jobs += 1;
        let (model, deadline) = ([MODEL, OTHER][self.below(2) as usize], self.now + 500 + self.below(20_000));
        let caller = B256::with_last_byte(self.below(3) as u8);
        Slice { caller, units: 1 + self.below(100) as u32, ..slice(self.jobs, model, deadline) }
    }

    fn note(&mut self, assigned: Vec<Assigned>) {
        for Assigned { ticket, slice, miner, deadline_ms, .. } in assigned {
            assert!(self.ever.insert(ticket), "a ticket twice");
            assert!(deadline_ms > self.now || self.dispatch.slices[&slice].slice.deadline_ms <= self.now);
            let entry = &self.dispatch.miners[&miner];
            let slots = u32::from(entry.session.as_ref().unwrap().slots.min(SETTINGS.most_slots));
            assert!(entry.in_flight <= slots && entry.in_flight <= entry.window.size(), "more than its window");
            assert!(self.now >= entry.rests_until && self.now >= entry.quarantined_until);
            self.tickets.push(ticket);
            self.known.insert(ticket, (slice, miner, self.now));
        }
    }

    fn due(&mut self) {
        for due in self.dispatch.due(self.now) {
            match due {
                Due::Unanswered(ticket) => self.dispatch.unanswered(ticket, self.now),
                Due::Missed(ticket) => drop(self.dispatch.missed(ticket, self.now)),
                Due::Exhausted(id) => {
                    assert!(self.dispatch.slices.get(&id).is_none_or(|entry| entry.open.is_empty()));
                    if self.below(2) == 0 { self.dispatch.keep(id) } else { drop(self.dispatch.remove(std::iter::once(id))) }
                }
                Due::Starved(id) => {
                    if self.below(4) == 0 {
                        self.dispatch.keep(id);
                    }
                }
            }
        }
    }

    fn step(&mut self) {
        let k = 1 + self.below(6) as u8;
        let (who, now) = (miner(k), self.now);
        let event = self.below(20);
        match event {
            0 | 1 => {
                let keys: &[B256] = [&[MODEL][..], &[OTHER], &[MODEL, OTHER], &[]][self.below(4) as usize];
                let slots = [0, 1, 2, 5, u16::MAX][self.below(5) as usize];
                let at = ip(if self.below(4) == 0 { 0 } else { k });
                self.dispatch.join(who, at, &Capacity { slots, ..capacity(keys) });
            }
            2 => self.dispatch.leave(who, now),
            3 | 4 => {
                let slice = self.new_slice();
                self.dispatch.add(slice, now);
            }
            5 => {
                let slice = self.new_slice();
                let assigned = self.dispatch.assign_to(slice, who, now);
                self.note(assigned.into_iter().collect());
            }
            6 => {
                let slice = self.new_slice();
                let stages = [Stage::Offered, Stage::Accepted, Stage::HandedIn];
                let open: Vec<Restored> = (0..self.below(3) as u8)
                    .map(|k| Restored {
                        miner: miner(k + 1),
                        issued_ms: now,
                        deadline_ms: now + 900,
                        stage: stages[self.below(3) as usize],
                    })
                    .collect();
                let (is_for_one, attempts) = (open.len() == 1 && self.below(2) == 0, self.below(6) as u8);
                for ticket in self.dispatch.restore(slice, is_for_one, attempts, &open, now) {
                    assert!(self.ever.insert(ticket));
                    self.tickets.push(ticket);
                }
            }
            7 => {
                let job = self.below(u64::from(self.jobs) + 1) as u32;
                self.dispatch.remove(std::iter::once(slice(job, MODEL, 0).id));
            }
            8 => self.dispatch.begin_epoch(B256::repeat_byte(k)),
            9 => {
                let valid = self.dispatch.standing(who).0;
                self.dispatch.remember(who, valid, 0, now);
            }
            10 => self.now += self.below(3_000),
            11 => self.now += self.below(100),
            _ => {
                let Some(ticket) = self.ticket() else { return };
                let (_, whose, issued) = self.known.get(&ticket).copied().unwrap_or(((B256::ZERO, 0), who, now));
                match event {
                    12 => self.dispatch.sent(ticket, now),
                    13 | 14 => self.dispatch.accepted(ticket),
                    15 => {
                        let reason = [Reason::Busy, Reason::NoKey, Reason::UnknownModel, Reason::BadWork][self.below(4) as usize];
                        let retry_ms = self.rng.next_u32();
                        self.dispatch.declined(ticket, reason, retry_ms, now);
                    }
                    16 | 17 => drop(self.dispatch.handed_in(ticket)),
                    18 => {
                        let closed = self.dispatch.valid(ticket, 7);
                        assert!(!closed.contains(&ticket));
                    }
                    _ if self.below(2) == 0 => self.dispatch.withdrawn(ticket, now),
                    _ => drop(self.dispatch.invalid(ticket, (whose, issued), now)),
                }
            }
        }
        self.due();
        let room = self.below(8);
        let mut left = room;
        let assigned = self.dispatch.assign(self.now, &mut |_| {
            left = left.wrapping_sub(u64::from(room > 0));
            room == 0 || left < room
        });
        self.note(assigned);
    }
}

#[test]
fn random_walks_keep_what_holds() {
    for seed in 0..10_000 {
        let rng = ChaCha8Rng::seed_from_u64(seed);
        let (tickets, known, ever) = (Vec::new(), HashMap::new(), BTreeSet::new());
        let mut walk = Walk { rng, now: 1_000_000, dispatch: dispatch(), jobs: 0, tickets, known, ever };
        for step in 0..60 {
            walk.step();
            if step % 10 == 0 {
                walk.dispatch.check();
            }
        }
        walk.dispatch.check();
        // Everybody goes, and what is looked at has its verdict: nothing is left but what waits or is proven here.
        (1..=6).for_each(|k| walk.dispatch.leave(miner(k), walk.now));
        for ticket in walk.tickets.clone() {
            if walk.dispatch.open.get(&ticket).is_some_and(|open| open.stage == Stage::HandedIn) {
                walk.dispatch.valid(ticket, 1);
            }
        }
        walk.now += 60_000;
        walk.due();
        walk.dispatch.check();
        assert!(walk.dispatch.open.is_empty(), "seed {seed}");
        assert!(walk.dispatch.miners.values().all(|miner| miner.in_flight == 0), "seed {seed}");
        let ready = walk.dispatch.ready.len();
        let kept = walk.dispatch.slices.values().filter(|entry| entry.is_kept).count();
        assert_eq!(ready + kept, walk.dispatch.slices.len(), "seed {seed}");
    }
}
