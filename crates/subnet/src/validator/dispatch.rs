//! Who gets which slice: a state machine without clock, store or connection, so that its rules can be tested by the thousand.
//!
//! * **Draw**: of the miners that could take a slice, those that got the least so far, and of these the one that the epoch's beacon puts
//!   first. Anyone who has the beacon and the candidates draws again ([`draws`](crate::draws)).
//! * **Callers** have turns of as many units each, and within a turn the nearest deadline is first.
//! * **Elsewhere**: no two attempts of a slice go to one miner, or to one network address prefix.
//! * **One outcome**: whatever kept a proof from coming, the miner's window shrinks and the miner rests. Declining costs nothing but the
//!   share of draws that goes to those who accept.
//! * **Hedge**: a slice that takes much longer than its miner usually takes goes to an idle one too, within a budget.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::net::IpAddr;

use alloy::primitives::{Address, B256};

use super::queue::{Caller, Queue};
use super::window::Window;
use crate::draws::{ROUND, drawn};
use crate::score::Parameters;
use crate::wire::{Capacity, Reason};

/// A slice of a job.
pub type SliceId = (B256, u16);
/// A slice of a model, which has a key of its own.
pub type KeyId = (B256, u16);

/// What an operator may set.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// How often a slice is given away before the validator proves it itself. Miners that have no room do not count.
    pub attempts: u8,
    /// Slices that one miner has at a time, whatever it declares.
    pub most_slots: u16,
    /// Valid slices of benchmarks before a miner gets others.
    pub probation: u32,
    /// How long a miner may look at work before it accepts or declines, in milliseconds.
    pub answer_ms: u64,
    /// How long a slice waits while nobody can take it, before the validator proves it itself, in milliseconds.
    pub starved_ms: u64,
    /// Of the last minute's units, how many hundredths may be given away twice.
    pub hedge_percent: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { attempts: 5, most_slots: 256, probation: 20, answer_ms: 2_000, starved_ms: 5_000, hedge_percent: 5 }
    }
}

/// A miner rests so long after the first proof that did not come, and at most so long.
const REST_MS: [u64; 2] = [1_000, 300_000];
/// So long after the first invalid proof, and at most so long.
const QUARANTINE_MS: [u64; 2] = [600_000, 86_400_000];
/// Valid units that take back one doubling of a quarantine.
const REDEEMING_UNITS: u64 = 1_000;
/// A miner that asks to be left alone is, but not for longer.
const MOST_RETRY_MS: u64 = 10_000;
/// Offers that are remembered for the share that is declined.
const OFFERS: u64 = 256;
/// Times that are remembered for each key.
const TIMES: usize = 9;
/// Ready slices times miners that are looked at before the others are left for later. Slices that nobody is free for count as one.
const MOST_LOOKS: usize = 1 << 17;
/// Misses of so many milliseconds are looked at together: where more than half of the miners missed something, the validator was away.
const OUTAGE_MS: u64 = 30_000;
const MINUTE_MS: u64 = 60_000;

/// An assignment while it is open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(u64);

impl Ticket {
    /// Of what is closed.
    pub(crate) const NONE: Self = Self(0);
}

/// A slice that is to be proven.
#[derive(Clone, Copy, Debug)]
pub struct Slice {
    /// Which one.
    pub id: SliceId,
    /// Its model.
    pub model: B256,
    /// Who asks for it.
    pub caller: Caller,
    /// Its size.
    pub units: u32,
    /// Unix time in milliseconds until which a proof is of use.
    pub deadline_ms: u64,
}

/// What has been decided: a slice goes to a miner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assigned {
    /// Names it from now on.
    pub ticket: Ticket,
    /// The slice.
    pub slice: SliceId,
    /// Whose it is.
    pub miner: Address,
    /// How often it was given away before.
    pub attempt: u8,
    /// Until when a proof counts, Unix time in milliseconds.
    pub deadline_ms: u64,
    /// Whom it was drawn from; nobody where it was not drawn.
    pub candidates: Vec<Address>,
    /// Rounds that each of them had got.
    pub round: u64,
}

/// What time has brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Due {
    /// The miner did not say whether it takes it on.
    Unanswered(Ticket),
    /// The miner accepted, and handed nothing in.
    Missed(Ticket),
    /// It was given away often enough.
    Exhausted(SliceId),
    /// For long nobody could take it, or nobody else can, and whoever has it is gone.
    Starved(SliceId),
}

/// Miners of one address prefix are taken for one, but on one machine or in one private network.
fn prefix(ip: IpAddr) -> Option<[u8; 6]> {
    match ip.to_canonical() {
        IpAddr::V4(v4) if v4.is_loopback() || v4.is_private() || v4.is_link_local() => None,
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            Some([4, a, b, c, 0, 0])
        }
        IpAddr::V6(v6) if v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local() => None,
        IpAddr::V6(v6) => v6.octets().first_chunk().copied(),
    }
}

#[derive(Debug)]
struct Session {
    slots: u16,
    keys: HashMap<B256, Vec<u8>>,
    prefix: Option<[u8; 6]>,
}

impl Session {
    fn holds(&self, (model, slice): KeyId) -> bool {
        let bits = self.keys.get(&model);
        bits.and_then(|bits| bits.get(usize::from(slice / 8))).is_some_and(|byte| byte >> (slice % 8) & 1 == 1)
    }
}

#[derive(Debug, Default)]
struct Miner {
    session: Option<Session>,
    window: Window,
    /// The last ticket that filled it: those before were with the miner then.
    filled_at: Ticket,
    /// Tickets that have no proof yet.
    in_flight: u32,
    misses: u32,
    rests_until: u64,
    /// Whether a new session has ended its rest, since it last proved something.
    is_back: bool,
    invalid: u32,
    quarantined_until: u64,
    redeemed: u64,
    /// Units that it got this epoch.
    served: u64,
    offered: u64,
    accepted: u64,
    /// Valid slices so far.
    valid: u32,
    times: HashMap<KeyId, VecDeque<u64>>,
}

impl Miner {
    fn has_room(&self, now: u64, settings: &Settings) -> bool {
        let slots = self.session.as_ref().map_or(0, |session| u32::from(session.slots.min(settings.most_slots)));
        let window = if self.valid < settings.probation { 1 } else { self.window.size() };
        self.in_flight < window.min(slots) && now >= self.rests_until && now >= self.quarantined_until
    }

    /// Units count for more with whoever declines more than a tenth.
    fn serve(&mut self, units: u32) {
        let declines = self.offered >= 16 && self.accepted * 10 < self.offered * 9;
        let [offered, accepted] = if declines { [self.offered, self.accepted.max(1)] } else { [1, 1] };
        self.served = self.served.saturating_add(u64::from(units) * offered / accepted);
    }

    fn answered(&mut self, has_accepted: bool) {
        self.offered += 1;
        self.accepted += u64::from(has_accepted);
        if self.offered >= OFFERS {
            (self.offered, self.accepted) = (self.offered / 2, self.accepted / 2);
        }
    }

    fn rest(&mut self, now: u64) {
        let rest = REST_MS[0] << self.misses.min(20);
        self.misses += 1;
        self.rests_until = self.rests_until.max(now + rest.min(REST_MS[1]));
    }

    /// What is much longer than it usually takes, and than what is fast.
    fn long(&self, key: &KeyId, fast_ms: u64) -> u64 {
        let mut times: Vec<u64> = self.times.get(key).into_iter().flatten().copied().collect();
        times.sort_unstable();
        times.get(times.len() / 2).map_or(fast_ms, |median| fast_ms.max(median * 3 / 2))
    }
}

#[derive(Debug)]
struct Entry {
    slice: Slice,
    /// Order among those that wait.
    order: (u64, u64),
    /// For this miner alone, which is asked once.
    only: Option<Address>,
    attempts: u8,
    /// Attempts that were declined for lack of room, which count for nothing: whoever is asked for one more than it can do has to say so.
    excused: u8,
    tried: Vec<(Address, Option<[u8; 6]>)>,
    /// Of those the ones that had no room: after a while they are asked again.
    busy: Vec<Address>,
    open: Vec<Ticket>,
    is_hedged: bool,
    /// The validator proves it itself: whoever has it may still be first, and nobody else gets it.
    is_kept: bool,
    waits_since: u64,
    /// Since when it is among those that wait.
    queued_at: u64,
}

impl Entry {
    /// Whether it was given away often enough.
    fn is_spent(&self, settings: &Settings) -> bool {
        self.attempts == u8::MAX || self.attempts.saturating_sub(self.excused) >= settings.attempts
    }
}

/// How far a ticket is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The miner has not answered.
    Offered,
    /// It has taken the slice on.
    Accepted,
    /// Its proof is here, and is looked at.
    HandedIn,
}

/// An assignment that is still open after a restart.
#[derive(Clone, Copy, Debug)]
pub struct Restored {
    /// Whose it is.
    pub miner: Address,
    /// When it was made.
    pub issued_ms: u64,
    /// Until when a proof counts.
    pub deadline_ms: u64,
    /// How far it is.
    pub stage: Stage,
}

#[derive(Debug)]
struct Open {
    slice: SliceId,
    miner: Address,
    key: KeyId,
    units: u32,
    issued_ms: u64,
    deadline_ms: u64,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    Answer(Ticket),
    Deadline(Ticket),
    Hedge(Ticket),
    Starved(SliceId),
}

/// See the [module](self).
#[derive(Debug)]
pub struct Dispatch {
    parameters: Parameters,
    settings: Settings,
    beacon: B256,
    miners: BTreeMap<Address, Miner>,
    slices: HashMap<SliceId, Entry>,
    ready: Queue,
    /// Slices that wait for an idle miner beside the one that has them.
    to_hedge: BTreeSet<SliceId>,
    open: HashMap<Ticket, Open>,
    timers: BTreeSet<(u64, Timer)>,
    next: u64,
    /// Units given away in the last minute, and of these a second time.
    given: VecDeque<(u64, u32, bool)>,
    misses: VecDeque<(u64, Address)>,
    /// How often each miner is among those.
    missing: HashMap<Address, u32>,
}

impl Dispatch {
    /// Nobody is there yet.
    pub fn new(parameters: Parameters, settings: Settings) -> Self {
        Self {
            parameters,
            settings,
            beacon: B256::ZERO,
            miners: BTreeMap::new(),
            slices: HashMap::new(),
            ready: Queue::default(),
            to_hedge: BTreeSet::new(),
            open: HashMap::new(),
            timers: BTreeSet::new(),
            next: 0,
            given: VecDeque::new(),
            misses: VecDeque::new(),
            missing: HashMap::new(),
        }
    }

    /// A new epoch: everybody begins at nothing.
    pub fn begin_epoch(&mut self, beacon: B256) {
        self.beacon = beacon;
        self.miners.values_mut().for_each(|miner| miner.served = 0);
        self.miners.retain(|_, miner| miner.session.is_some() || miner.in_flight > 0 || miner.invalid > 0 || miner.valid > 0);
    }

    // ---------------------------------------------------------------------------------------------- miners

    /// What is known of a miner from before: valid slices, invalid proofs that still count, and until when it is kept out.
    pub fn remember(&mut self, miner: Address, valid: u32, invalid: u32, quarantined_until: u64) {
        let miner = self.miners.entry(miner).or_default();
        (miner.valid, miner.invalid, miner.quarantined_until) = (valid, invalid, quarantined_until);
    }

    /// What a miner got this epoch before a restart, in units.
    pub fn resume(&mut self, miner: Address, served: u64) {
        self.miners.entry(miner).or_default().served = served;
    }

    /// A miner is connected, and says what it can do. Its rest ends, but not again before it has proven something; its window it keeps.
    pub fn join(&mut self, miner: Address, ip: Option<IpAddr>, capacity: &Capacity) {
        let least = self.miners.values().filter(|miner| miner.session.is_some()).map(|miner| miner.served).min().unwrap_or(0);
        let entry = self.miners.entry(miner).or_default();
        let is_new = entry.session.is_none();
        let keys = capacity.keys.iter().cloned().collect();
        entry.session = Some(Session { slots: capacity.slots, keys, prefix: ip.and_then(prefix) });
        if is_new {
            if !entry.is_back {
                (entry.rests_until, entry.is_back) = (0, entry.misses > 0);
            }
            // Nobody catches up on the time that they were away.
            entry.served = entry.served.max(least);
        }
    }

    /// A miner's connection is gone. What it has may still come by another one, until its deadline; others are asked at once, where nobody
    /// who is here has it.
    pub fn leave(&mut self, miner: Address, now: u64) {
        let Some(entry) = self.miners.get_mut(&miner) else { return };
        entry.session = None;
        // A stranger that was given nothing leaves nothing behind.
        if entry.in_flight == 0 && entry.offered == 0 && entry.valid == 0 && entry.invalid == 0 {
            self.miners.remove(&miner);
        }
        let of_miner = self.open.values().filter(|open| open.miner == miner && open.stage != Stage::HandedIn);
        let slices: Vec<SliceId> = of_miner.map(|open| open.slice).collect();
        for slice in slices {
            if !self.is_with_somebody(slice) {
                self.wait(slice, now);
            }
        }
    }

    /// Whether a proof of a slice is looked at, or somebody who is connected has it.
    fn is_with_somebody(&self, slice: SliceId) -> bool {
        let tickets = self.slices.get(&slice).map(|entry| entry.open.as_slice()).unwrap_or_default();
        let is_here =
            |open: &Open| open.stage == Stage::HandedIn || self.miners.get(&open.miner).is_some_and(|miner| miner.session.is_some());
        tickets.iter().filter_map(|ticket| self.open.get(ticket)).any(is_here)
    }

    /// Miners that could take something now: address, and whether they are on probation.
    pub fn idle(&self, now: u64) -> Vec<(Address, bool)> {
        let idle = self.miners.iter().filter(|(_, miner)| miner.has_room(now, &self.settings));
        idle.map(|(address, miner)| (*address, miner.valid < self.settings.probation)).collect()
    }

    /// Whether a connected miner has said that it holds a key.
    pub fn holds(&self, miner: Address, key: KeyId) -> bool {
        self.miners.get(&miner).and_then(|miner| miner.session.as_ref()).is_some_and(|session| session.holds(key))
    }

    /// Valid slices of a miner, invalid proofs that still count, and until when it is kept out.
    pub fn standing(&self, miner: Address) -> (u32, u32, u64) {
        self.miners.get(&miner).map_or((0, 0, 0), |miner| (miner.valid, miner.invalid, miner.quarantined_until))
    }

    /// Slices that a miner has and has not handed in.
    pub fn in_flight(&self, miner: Address) -> u32 {
        self.miners.get(&miner).map_or(0, |miner| miner.in_flight)
    }

    /// A miner's window.
    pub fn window(&self, miner: Address) -> u32 {
        self.miners.get(&miner).map_or(0, |miner| miner.window.size())
    }

    // ---------------------------------------------------------------------------------------------- slices

    /// A slice waits to be given away.
    pub fn add(&mut self, slice: Slice, now: u64) {
        self.insert(slice, None, 0, now);
        self.wait(slice.id, now);
    }

    /// A slice that was given away so often before a restart, of which these assignments are still open. Their tickets, in order. What was for
    /// one miner alone is not for others now.
    pub fn restore(&mut self, slice: Slice, is_for_one: bool, attempts: u8, open: &[Restored], now: u64) -> Vec<Ticket> {
        let only = open.first().filter(|_| is_for_one).map(|open| open.miner);
        self.insert(slice, only, attempts, now);
        let (id, units) = (slice.id, slice.units);
        let key = (slice.model, id.1);
        let mut tickets = Vec::new();
        for Restored { miner, issued_ms, deadline_ms, stage } in open.iter().copied() {
            self.next += 1;
            let ticket = Ticket(self.next);
            self.timers.insert((deadline_ms, Timer::Deadline(ticket)));
            self.miners.entry(miner).or_default().in_flight += u32::from(stage != Stage::HandedIn);
            if let Some(entry) = self.slices.get_mut(&id) {
                entry.open.push(ticket);
                entry.tried.push((miner, None));
                // Whose offer may have been lost with the validator may have it again.
                entry.busy.extend((stage == Stage::Offered).then_some(miner));
            }
            self.open.insert(ticket, Open { slice: id, miner, key, units, issued_ms, deadline_ms, stage });
            tickets.push(ticket);
        }
        // Whoever has it may be gone: others are asked at once, unless a proof is here.
        if !self.is_with_somebody(id) {
            self.wait(id, now);
        }
        tickets
    }

    fn insert(&mut self, slice: Slice, only: Option<Address>, attempts: u8, now: u64) {
        self.next += 1;
        let order = (slice.deadline_ms, self.next);
        let (tried, open, waits_since) = (Vec::new(), Vec::new(), now);
        let entry = Entry {
            slice,
            order,
            only,
            attempts,
            excused: 0,
            tried,
            busy: Vec::new(),
            open,
            is_hedged: false,
            is_kept: false,
            waits_since,
            queued_at: now,
        };
        self.slices.insert(slice.id, entry);
    }

    /// Takes a slice that only this miner may have, as benchmarks are. None if it has no room, or not the key.
    pub fn assign_to(&mut self, slice: Slice, miner: Address, now: u64) -> Option<Assigned> {
        let key = (slice.model, slice.id.1);
        let has_room = self.miners.get(&miner).is_some_and(|entry| entry.has_room(now, &self.settings));
        if !has_room || !self.holds(miner, key) || self.slices.contains_key(&slice.id) {
            return None;
        }
        self.insert(slice, Some(miner), 0, now);
        self.give(slice.id, miner, (0, Vec::new()), now)
    }

    /// Nobody needs these slices any more. Returns the tickets that were open.
    pub fn remove(&mut self, slices: impl Iterator<Item = SliceId>) -> Vec<Ticket> {
        let mut closed = Vec::new();
        for id in slices {
            if let Some(entry) = self.slices.remove(&id) {
                self.ready.remove(entry.slice.caller, &(entry.order.0, entry.order.1, id));
                self.timers.remove(&(entry.waits_since + self.settings.starved_ms, Timer::Starved(id)));
                self.to_hedge.remove(&id);
                closed.extend(entry.open);
            }
        }
        closed.iter().for_each(|ticket| self.close(*ticket));
        closed
    }

    /// The validator proves a slice itself: nobody gets it any more. Whoever has it may still hand in until its deadline.
    pub fn keep(&mut self, id: SliceId) {
        let Some(entry) = self.slices.get_mut(&id) else { return };
        (entry.is_kept, entry.is_hedged) = (true, true);
        self.ready.remove(entry.slice.caller, &(entry.order.0, entry.order.1, id));
        self.timers.remove(&(entry.waits_since + self.settings.starved_ms, Timer::Starved(id)));
        self.to_hedge.remove(&id);
    }

    /// The slice waits, unless the validator proves it itself.
    fn wait(&mut self, id: SliceId, now: u64) {
        let Some(entry) = self.slices.get_mut(&id).filter(|entry| !entry.is_kept) else { return };
        if entry.only.is_some() {
            if entry.open.is_empty() {
                self.slices.remove(&id);
            }
            return;
        }
        let starved_ms = self.settings.starved_ms;
        self.timers.remove(&(entry.waits_since + starved_ms, Timer::Starved(id)));
        entry.waits_since = now;
        self.to_hedge.remove(&id);
        if self.ready.insert(entry.slice.caller, (entry.order.0, entry.order.1, id)) {
            entry.queued_at = now;
        }
        // Looked at now if there is no attempt left.
        let is_spent = entry.is_spent(&self.settings);
        let at = if is_spent { now } else { now + starved_ms };
        if is_spent {
            entry.waits_since = now.saturating_sub(starved_ms);
        }
        self.timers.insert((at, Timer::Starved(id)));
    }

    /// Gives away what can be. `fits` says whether there is room for the bytes of a slice's work.
    pub fn assign(&mut self, now: u64, fits: &mut dyn FnMut(KeyId) -> bool) -> Vec<Assigned> {
        let mut assigned = Vec::new();
        let settings = self.settings;
        let is_free = |miner: &Miner| miner.has_room(now, &settings) && miner.valid >= settings.probation;
        let mut free: Vec<Address> = self.miners.iter().filter(|(_, miner)| is_free(miner)).map(|(address, _)| *address).collect();
        // Slices that nobody has the key of, or has had already, must not keep those behind them waiting.
        let mut held: HashMap<KeyId, bool> = HashMap::new();
        let mut looks = 0;
        let mut turns = self.ready.turns();
        while looks < MOST_LOOKS {
            if free.is_empty() {
                return assigned;
            }
            let Some(id) = turns.next(&self.ready) else { break };
            looks += 1;
            let Some(entry) = self.slices.get(&id) else { continue };
            let key = (entry.slice.model, id.1);
            let is_held = *held.entry(key).or_insert_with(|| free.iter().any(|miner| self.holds(*miner, key)));
            if entry.is_spent(&settings) || !is_held {
                continue;
            }
            looks += free.len();
            let (round, candidates) = self.candidates(entry, &free);
            let Some(miner) = drawn(self.beacon, id, entry.attempts, &candidates) else { continue };
            if !fits((entry.slice.model, id.1)) {
                return assigned;
            }
            let (caller, units) = (entry.slice.caller, entry.slice.units);
            assigned.extend(self.give(id, miner, (round, candidates), now));
            self.ready.serve(caller, units);
            if !self.miners.get(&miner).is_some_and(is_free) {
                free.retain(|other| *other != miner);
            }
        }
        self.hedge(now, &free, fits, &mut assigned);
        assigned
    }

    /// Of those with room the ones that may have a slice and got the fewest rounds, and how many.
    fn candidates(&self, entry: &Entry, free: &[Address]) -> (u64, Vec<Address>) {
        let key = (entry.slice.model, entry.slice.id.1);
        let mut least = u64::MAX;
        let mut candidates = Vec::new();
        for address in free {
            let Some(miner) = self.miners.get(address) else { continue };
            let Some(session) = miner.session.as_ref().filter(|session| session.holds(key)) else { continue };
            let is_tried = |(tried, at): &(Address, Option<[u8; 6]>)| tried == address || at.is_some() && *at == session.prefix;
            if entry.tried.iter().any(is_tried) {
                continue;
            }
            let rounds = miner.served / ROUND;
            if rounds < least {
                (least, candidates) = (rounds, Vec::new());
            }
            if rounds == least {
                candidates.push(*address);
            }
        }
        (least, candidates)
    }

    /// Second copies, to miners that have nothing else.
    fn hedge(&mut self, now: u64, free: &[Address], fits: &mut dyn FnMut(KeyId) -> bool, assigned: &mut Vec<Assigned>) {
        while self.given.front().is_some_and(|(at, ..)| at + MINUTE_MS < now) {
            self.given.pop_front();
        }
        let [mut all, mut twice] = [0u64; 2];
        for (_, units, is_second) in &self.given {
            all += u64::from(*units);
            twice += if *is_second { u64::from(*units) } else { 0 };
        }
        let mut idle: Vec<Address> =
            free.iter().copied().filter(|address| self.miners.get(address).is_some_and(|miner| miner.in_flight == 0)).collect();
        for id in self.to_hedge.clone() {
            if idle.is_empty() {
                return;
            }
            let Some(entry) = self.slices.get(&id).filter(|entry| entry.open.len() == 1 && !entry.is_spent(&self.settings)) else {
                self.to_hedge.remove(&id);
                continue;
            };
            let units = u64::from(entry.slice.units);
            // One is always within the budget, or small networks would have none.
            if twice > 0 && (twice + units) * 100 > all * self.settings.hedge_percent {
                return;
            }
            let (round, candidates) = self.candidates(entry, &idle);
            let Some(miner) = drawn(self.beacon, id, entry.attempts, &candidates) else { continue };
            if !fits((entry.slice.model, id.1)) {
                return;
            }
            self.to_hedge.remove(&id);
            idle.retain(|other| *other != miner);
            (all, twice) = (all + units, twice + units);
            assigned.extend(self.give(id, miner, (round, candidates), now));
        }
    }

    fn give(&mut self, id: SliceId, address: Address, (round, candidates): (u64, Vec<Address>), now: u64) -> Option<Assigned> {
        let entry = self.slices.get_mut(&id)?;
        let miner = self.miners.get_mut(&address)?;
        self.next += 1;
        let ticket = Ticket(self.next);
        let attempt = entry.attempts;
        let Slice { units, model, .. } = entry.slice;
        let key = (model, id.1);
        let deadline_ms = entry.slice.deadline_ms.min(now + self.parameters.deadline_ms(units));
        let is_second = !entry.open.is_empty();
        entry.is_hedged |= is_second;
        entry.attempts += 1;
        entry.tried.push((address, miner.session.as_ref().and_then(|session| session.prefix)));
        entry.open.push(ticket);
        self.ready.remove(entry.slice.caller, &(entry.order.0, entry.order.1, id));
        self.timers.remove(&(entry.waits_since + self.settings.starved_ms, Timer::Starved(id)));
        miner.in_flight += 1;
        if entry.only.is_none() {
            miner.serve(units);
            self.given.push_back((now, units, is_second));
        }
        if !entry.is_hedged && entry.only.is_none() {
            self.timers.insert((now + miner.long(&key, self.parameters.fast_at_ms(units)), Timer::Hedge(ticket)));
        }
        if miner.in_flight >= miner.window.size() {
            miner.filled_at = ticket;
        }
        self.timers.insert((deadline_ms, Timer::Deadline(ticket)));
        let open = Open { slice: id, miner: address, key, units, issued_ms: now, deadline_ms, stage: Stage::Offered };
        self.open.insert(ticket, open);
        Some(Assigned { ticket, slice: id, miner: address, attempt, deadline_ms, candidates, round })
    }

    // ---------------------------------------------------------------------------------------------- tickets

    /// The work has left: from now on an answer is waited for.
    pub fn sent(&mut self, ticket: Ticket, now: u64) {
        if self.open.get(&ticket).is_some_and(|open| open.stage == Stage::Offered) {
            self.timers.insert((now + self.settings.answer_ms, Timer::Answer(ticket)));
        }
    }

    /// The miner takes it on.
    pub fn accepted(&mut self, ticket: Ticket) {
        let Some(open) = self.open.get_mut(&ticket).filter(|open| open.stage == Stage::Offered) else { return };
        open.stage = Stage::Accepted;
        if let Some(miner) = self.miners.get_mut(&open.miner) {
            miner.answered(true);
        }
    }

    /// The miner does not take it on.
    pub fn declined(&mut self, ticket: Ticket, reason: Reason, retry_ms: u32, now: u64) {
        let Some(open) = self.open.get(&ticket).filter(|open| open.stage == Stage::Offered) else { return };
        let (id, address, key) = (open.slice, open.miner, open.key);
        self.close(ticket);
        if let Some(entry) = self.slices.get_mut(&id).filter(|_| reason == Reason::Busy) {
            entry.excused = entry.excused.saturating_add(1);
            entry.busy.push(address);
        }
        if let Some(miner) = self.miners.get_mut(&address) {
            miner.answered(false);
            match (reason, miner.session.as_mut()) {
                (Reason::Busy, _) => {
                    miner.window.too_much(miner.in_flight);
                    miner.rests_until = miner.rests_until.max(now + u64::from(retry_ms).min(MOST_RETRY_MS));
                }
                (Reason::NoKey, Some(session)) => {
                    if let Some(byte) = session.keys.get_mut(&key.0).and_then(|bits| bits.get_mut(usize::from(key.1 / 8))) {
                        *byte &= !(1 << (key.1 % 8));
                    }
                }
                (Reason::UnknownModel, Some(session)) => drop(session.keys.remove(&key.0)),
                _ => miner.rest(now),
            }
        }
        self.untaken(id, ticket, now);
    }

    /// The validator could not send the work: none of its miner's faults.
    pub fn withdrawn(&mut self, ticket: Ticket, now: u64) {
        let Some(id) = self.open.get(&ticket).map(|open| open.slice) else { return };
        self.close(ticket);
        self.untaken(id, ticket, now);
    }

    /// No answer came: [`Due::Unanswered`]. The miner rests.
    pub fn unanswered(&mut self, ticket: Ticket, now: u64) {
        let Some(open) = self.open.get(&ticket) else { return };
        let (id, address, issued_ms) = (open.slice, open.miner, open.issued_ms);
        self.close(ticket);
        if let Some(miner) = self.miners.get_mut(&address) {
            miner.answered(false);
            miner.window.missed(issued_ms, now);
            miner.rest(now);
        }
        self.untaken(id, ticket, now);
    }

    /// Nothing came in time: [`Due::Missed`]. Returns whether so many miners miss something that it must be the validator who was away: then
    /// their rests are over, and nobody should be debited for the last half minute.
    pub fn missed(&mut self, ticket: Ticket, now: u64) -> bool {
        let Some(open) = self.open.get(&ticket) else { return false };
        let (id, address, issued_ms) = (open.slice, open.miner, open.issued_ms);
        self.close(ticket);
        if let Some(miner) = self.miners.get_mut(&address) {
            miner.window.missed(issued_ms, now);
            miner.rest(now);
        }
        self.misses.push_back((now, address));
        *self.missing.entry(address).or_default() += 1;
        while let Some((_, miner)) = self.misses.front().copied().filter(|(at, _)| at + OUTAGE_MS < now) {
            self.misses.pop_front();
            if let Some(count) = self.missing.get_mut(&miner) {
                *count -= 1;
                if *count == 0 {
                    self.missing.remove(&miner);
                }
            }
        }
        self.untaken(id, ticket, now);
        let missing = self.missing.len();
        let known = self.miners.values().filter(|miner| miner.session.is_some()).count().max(missing);
        let is_outage = missing >= 3 && missing * 2 > known;
        if is_outage {
            for miner in self.miners.values_mut() {
                (miner.rests_until, miner.misses) = (0, 0);
            }
        }
        is_outage
    }

    /// A ticket's proof is here, and its miner has room again. False for one that is not open, or has one already.
    pub fn handed_in(&mut self, ticket: Ticket) -> bool {
        let Some(open) = self.open.get_mut(&ticket).filter(|open| open.stage != Stage::HandedIn) else { return false };
        let was_offered = open.stage == Stage::Offered;
        open.stage = Stage::HandedIn;
        if let Some(miner) = self.miners.get_mut(&open.miner) {
            miner.in_flight = miner.in_flight.saturating_sub(1);
            if was_offered {
                miner.answered(true);
            }
        }
        true
    }

    /// A ticket's proof holds. Returns the other tickets of the slice, which are closed.
    pub fn valid(&mut self, ticket: Ticket, ms: u64) -> Vec<Ticket> {
        let Some(open) = self.open.get(&ticket) else { return Vec::new() };
        let (id, address, key, units) = (open.slice, open.miner, open.key, open.units);
        if let Some(miner) = self.miners.get_mut(&address) {
            (miner.misses, miner.is_back) = (0, false);
            miner.valid = miner.valid.saturating_add(1);
            miner.redeemed += u64::from(units);
            if miner.redeemed >= REDEEMING_UNITS {
                miner.redeemed = 0;
                miner.invalid = miner.invalid.saturating_sub(1);
            }
            if ticket <= miner.filled_at {
                miner.window.filled_and_proven();
            }
            let times = miner.times.entry(key).or_default();
            times.push_back(ms);
            if times.len() > TIMES {
                times.pop_front();
            }
        }
        self.close(ticket);
        let others: Vec<Ticket> = self.remove(std::iter::once(id));
        others.into_iter().filter(|other| *other != ticket).collect()
    }

    /// The proof of an assignment that was made then does not hold: its miner is kept out for a while, whether or not anybody still needs the
    /// slice. Returns until when.
    pub fn invalid(&mut self, ticket: Ticket, (address, issued_ms): (Address, u64), now: u64) -> u64 {
        let id = self.open.get(&ticket).map(|open| open.slice);
        self.close(ticket);
        let miner = self.miners.entry(address).or_default();
        miner.window.missed(issued_ms, now);
        let quarantine = QUARANTINE_MS[0] << miner.invalid.min(20);
        miner.invalid = miner.invalid.saturating_add(1);
        miner.redeemed = 0;
        miner.quarantined_until = miner.quarantined_until.max(now + quarantine.min(QUARANTINE_MS[1]));
        let until = miner.quarantined_until;
        if let Some(id) = id {
            self.untaken(id, ticket, now);
        }
        until
    }

    /// Tickets that are open.
    pub fn open(&self) -> usize {
        self.open.len()
    }

    /// Slices that wait.
    pub fn waiting(&self) -> usize {
        self.ready.len()
    }

    /// Since when the oldest of them has waited, Unix time in milliseconds.
    pub fn waiting_since(&self) -> Option<u64> {
        self.ready.iter().filter_map(|id| self.slices.get(id)).map(|entry| entry.queued_at).min()
    }

    fn close(&mut self, ticket: Ticket) {
        let Some(open) = self.open.remove(&ticket) else { return };
        if open.stage != Stage::HandedIn
            && let Some(miner) = self.miners.get_mut(&open.miner)
        {
            miner.in_flight = miner.in_flight.saturating_sub(1);
        }
        self.timers.remove(&(open.deadline_ms, Timer::Deadline(ticket)));
    }

    /// A ticket is closed without a proof: its slice waits again, unless another has it, who is then alone and may be long over its time.
    fn untaken(&mut self, id: SliceId, ticket: Ticket, now: u64) {
        let Some(entry) = self.slices.get_mut(&id) else { return };
        entry.open.retain(|other| *other != ticket);
        match entry.open[..] {
            [] => self.wait(id, now),
            [other] if !entry.is_kept && entry.only.is_none() => {
                entry.is_hedged = false;
                if let Some(Open { miner, key, units, issued_ms, .. }) = self.open.get(&other) {
                    let fast = self.parameters.fast_at_ms(*units);
                    let long = self.miners.get(miner).map_or(fast, |miner| miner.long(key, fast));
                    self.timers.insert((now.max(issued_ms + long), Timer::Hedge(other)));
                }
            }
            _ => {}
        }
    }

    // ---------------------------------------------------------------------------------------------- time

    /// When something is due next, Unix time in milliseconds.
    pub fn next_due(&self) -> Option<u64> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// When a miner that rests has rested.
    pub fn next_rested(&self, now: u64) -> Option<u64> {
        if self.ready.is_empty() {
            return None;
        }
        let resting = self.miners.values().filter(|miner| miner.session.is_some());
        resting.map(|miner| miner.rests_until.max(miner.quarantined_until)).filter(|until| *until > now).min()
    }

    /// What is due.
    pub fn due(&mut self, now: u64) -> Vec<Due> {
        let mut due = Vec::new();
        while let Some((_, timer)) = self.timers.first().copied().filter(|(at, _)| *at <= now) {
            self.timers.pop_first();
            match timer {
                Timer::Answer(ticket) => {
                    if self.open.get(&ticket).is_some_and(|open| open.stage == Stage::Offered) {
                        due.push(Due::Unanswered(ticket));
                    }
                }
                Timer::Deadline(ticket) => match self.open.get(&ticket).map(|open| &open.stage) {
                    Some(Stage::Offered) => due.push(Due::Unanswered(ticket)),
                    Some(Stage::Accepted) => due.push(Due::Missed(ticket)),
                    // It is looked at.
                    Some(Stage::HandedIn) | None => {}
                },
                Timer::Hedge(ticket) => {
                    let slice = self.open.get(&ticket).filter(|open| open.stage != Stage::HandedIn).map(|open| open.slice);
                    self.to_hedge.extend(slice.filter(|id| self.slices.get(id).is_some_and(|entry| !entry.is_hedged)));
                }
                Timer::Starved(id) => {
                    if let Some(entry) = self.slices.get_mut(&id) {
                        entry.waits_since = now;
                        self.timers.insert((now + self.settings.starved_ms.max(1), Timer::Starved(id)));
                        // Whoever has it still may be in time.
                        let is_exhausted = entry.is_spent(&self.settings) && entry.open.is_empty();
                        let Entry { tried, busy, .. } = entry;
                        tried.retain(|(miner, _)| !busy.contains(miner));
                        busy.clear();
                        due.push(if is_exhausted { Due::Exhausted(id) } else { Due::Starved(id) });
                    }
                }
            }
        }
        due
    }
}

#[cfg(test)]
mod figures;
#[cfg(test)]
mod tests;
