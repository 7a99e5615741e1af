//! What dispatch comes to in numbers: fleets of miners in virtual time, hours of it in seconds, each figure printed and held to its limit.

#![allow(clippy::unwrap_used, clippy::panic)]

use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore, SeedableRng};

use super::*;
use crate::messages::Verdict;
use crate::score::{FULL, weights};
use crate::weights::Vector;

const MODEL: B256 = B256::repeat_byte(1);
/// 32 units are fast within 1,064 ms, and late after 3,440.
const UNITS: u32 = 32;
const SECOND: u64 = 1_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Conduct {
    Honest,
    /// One in so many proofs takes ten times as long.
    Straggles(u64),
    /// Is connected, and does not answer.
    Silent,
    /// Accepts, and hands nothing in.
    Idle,
}

#[derive(Clone, Debug)]
struct Worker {
    conduct: Conduct,
    /// What it proves at a time; it declines what is more.
    able: usize,
    /// Of a proof, in milliseconds.
    takes: u64,
    running: usize,
    proven: u64,
    given: u64,
    credit: u64,
}

impl Worker {
    const fn new(conduct: Conduct, able: usize, takes: u64) -> Self {
        Self { conduct, able, takes, running: 0, proven: 0, given: 0, credit: 0 }
    }
}

struct Fleet {
    dispatch: Dispatch,
    workers: Vec<Worker>,
    now: u64,
    rng: ChaCha8Rng,
    /// Proofs that come: when, by whom, of what; and how long they took.
    coming: BTreeSet<(u64, usize, Ticket, u64)>,
    /// Of open tickets: whose, and when it was given.
    open: HashMap<Ticket, (usize, u64)>,
    /// Of jobs that are not over: when they came, and how many slices are left.
    jobs: HashMap<B256, (u64, usize)>,
    next_job: u64,
    /// How long each job took.
    took: Vec<u64>,
    /// Units that were given away, and of these for what another was sooner.
    given: u64,
    wasted: u64,
    exhausted: u64,
}

fn address(k: usize) -> Address {
    Address::left_padding_from(&(k as u64 + 1).to_be_bytes())
}

impl Fleet {
    fn new(settings: Settings, workers: Vec<Worker>) -> Self {
        let mut fleet = Self {
            dispatch: Dispatch::new(Parameters::default(), Settings { probation: 0, ..settings }),
            workers,
            now: SECOND,
            rng: ChaCha8Rng::seed_from_u64(7),
            coming: BTreeSet::new(),
            open: HashMap::new(),
            jobs: HashMap::new(),
            next_job: 0,
            took: Vec::new(),
            given: 0,
            wasted: 0,
            exhausted: 0,
        };
        fleet.dispatch.begin_epoch(B256::repeat_byte(9));
        (0..fleet.workers.len()).for_each(|k| fleet.join(k));
        fleet
    }

    fn join(&mut self, k: usize) {
        let keys = vec![(MODEL, vec![0xff])];
        self.dispatch.join(address(k), None, &Capacity { slots: u16::MAX, memory_mib: 1, keys, queue_ms: 0, receipts: 0 });
    }

    fn below(&mut self, below: u64) -> u64 {
        self.rng.next_u64() % below
    }

    fn submit(&mut self, slices: u16) {
        self.next_job += 1;
        let job = B256::left_padding_from(&self.next_job.to_be_bytes());
        self.jobs.insert(job, (self.now, usize::from(slices)));
        for k in 0..slices {
            let deadline_ms = self.now + 600 * SECOND;
            self.dispatch.add(Slice { id: (job, k), model: MODEL, caller: B256::ZERO, units: UNITS, deadline_ms }, self.now);
        }
    }

    fn begin(&mut self, Assigned { ticket, miner, .. }: Assigned) {
        let k = (0..self.workers.len()).find(|k| address(*k) == miner).unwrap();
        self.dispatch.sent(ticket, self.now);
        self.open.insert(ticket, (k, self.now));
        self.given += u64::from(UNITS);
        self.workers[k].given += u64::from(UNITS);
        let jitter = 95 + self.below(11);
        let luck = self.below(1 << 20);
        let worker = &mut self.workers[k];
        let takes = worker.takes * jitter / 100;
        let takes = match worker.conduct {
            Conduct::Honest => takes,
            Conduct::Straggles(of) => takes * if luck.is_multiple_of(of) { 10 } else { 1 },
            Conduct::Silent => return,
            Conduct::Idle => return self.dispatch.accepted(ticket),
        };
        if worker.running >= worker.able {
            self.open.remove(&ticket);
            return self.dispatch.declined(ticket, Reason::Busy, 50, self.now);
        }
        worker.running += 1;
        self.dispatch.accepted(ticket);
        self.coming.insert((self.now + takes, k, ticket, takes));
    }

    /// A ticket is closed, and its miner told so.
    fn close(&mut self, ticket: Ticket) {
        self.open.remove(&ticket);
        let found = self.coming.iter().find(|(_, _, other, _)| *other == ticket).copied();
        if let Some(found) = found {
            self.coming.remove(&found);
            self.workers[found.1].running -= 1;
        }
    }

    fn hand_in(&mut self, k: usize, ticket: Ticket, ms: u64) {
        self.workers[k].running -= 1;
        let Some(open) = self.dispatch.open.get(&ticket) else { return };
        let slice = open.slice;
        assert!(self.dispatch.handed_in(ticket));
        self.open.remove(&ticket);
        self.workers[k].proven += u64::from(UNITS);
        self.workers[k].credit += u64::from(Parameters::default().worth(Verdict::Valid, UNITS, ms, 320, FULL).credit);
        for other in self.dispatch.valid(ticket, ms) {
            self.wasted += u64::from(UNITS);
            self.close(other);
        }
        let Some((came, left)) = self.jobs.get_mut(&slice.0) else { return };
        *left -= 1;
        if *left == 0 {
            self.took.push(self.now - *came);
            self.jobs.remove(&slice.0);
        }
    }

    /// What happens at this time, and what can be given away then.
    fn tick(&mut self) {
        while let Some((_, k, ticket, ms)) = self.coming.first().copied().filter(|(at, ..)| *at <= self.now) {
            self.coming.pop_first();
            self.hand_in(k, ticket, ms);
        }
        for due in self.dispatch.due(self.now) {
            match due {
                Due::Unanswered(ticket) => {
                    self.dispatch.unanswered(ticket, self.now);
                    self.close(ticket);
                }
                Due::Missed(ticket) => {
                    self.dispatch.missed(ticket, self.now);
                    self.close(ticket);
                }
                Due::Exhausted((job, slice)) => {
                    self.exhausted += 1;
                    self.dispatch.remove(std::iter::once((job, slice)));
                    self.jobs.remove(&job);
                }
                Due::Starved(_) => {}
            }
        }
        loop {
            let assigned = self.dispatch.assign(self.now, &mut |_| true);
            if assigned.is_empty() {
                return;
            }
            assigned.into_iter().for_each(|assigned| self.begin(assigned));
        }
    }

    /// Until then, jobs of so many slices come so many milliseconds apart; as many as keep everybody busy where that is 0.
    fn run(&mut self, until: u64, slices: u16, apart: u64) {
        let mut next = self.now;
        while self.now < until {
            if apart == 0 {
                let able: usize = self.workers.iter().map(|worker| worker.able).sum();
                while self.dispatch.waiting() < 2 * able {
                    self.submit(slices);
                }
            }
            while apart > 0 && next <= self.now {
                self.submit(slices);
                // Between none and twice as long.
                next += self.below(2 * apart + 1);
            }
            self.tick();
            let coming = self.coming.first().map(|(at, ..)| *at);
            let (due, rested) = (self.dispatch.next_due(), self.dispatch.next_rested(self.now));
            let after = [coming, due, rested, Some(next).filter(|_| apart > 0), Some(self.now + SECOND)].into_iter().flatten().min();
            self.now = after.unwrap().max(self.now + 1);
        }
    }

    fn proven(&self) -> u64 {
        self.workers.iter().map(|worker| worker.proven).sum()
    }
}

fn percentile(values: &[u64], percent: usize) -> u64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    sorted[sorted.len() * percent / 100]
}

/// Jain's index: 1 where all get the same, 1/n where one gets everything.
fn jain(shares: &[f64]) -> f64 {
    let (sum, squares) = (shares.iter().sum::<f64>(), shares.iter().map(|x| x * x).sum::<f64>());
    sum * sum / (shares.len() as f64 * squares)
}

/// One in twenty proofs takes ten times as long: second copies make up for it, and cost little.
#[test]
fn hedging_cuts_the_tail() {
    for (slices, takes) in [(1, 300), (3, 700), (8, 700)] {
        let run = |hedge_percent| {
            let workers = vec![Worker::new(Conduct::Straggles(20), 2, takes); 60];
            let mut fleet = Fleet::new(Settings { hedge_percent, ..Settings::default() }, workers);
            // Half of what all can do.
            let apart = takes * u64::from(slices) * 2 / 120;
            fleet.run(300 * SECOND, slices, apart);
            (percentile(&fleet.took, 99), percentile(&fleet.took, 50), fleet.wasted as f64 / fleet.given as f64)
        };
        let ((without, ..), (with, median, wasted)) = (run(0), run(Settings::default().hedge_percent));
        println!(
            "{slices} slices of {takes} ms: p99 {without} ms, {with} ms with second copies; p50 {median} ms, wasted {:.1} %",
            100.0 * wasted
        );
        assert!(with * 10 <= without * 6, "{with} of {without}");
        assert!(wasted <= 0.06, "{wasted}");
    }
}

/// A fifth of the miners are dead: after five minutes they get next to nothing.
#[test]
fn the_dead_cost_little() {
    for conduct in [Conduct::Silent, Conduct::Idle] {
        let mut workers = vec![Worker::new(Conduct::Honest, 2, 700); 40];
        workers.extend(vec![Worker::new(conduct, 2, 700); 10]);
        let mut fleet = Fleet::new(Settings::default(), workers);
        fleet.run(300 * SECOND, 3, 40);
        let given = |fleet: &Fleet| -> [u64; 2] {
            let of =
                |dead: bool| fleet.workers.iter().filter(|worker| (worker.conduct == conduct) == dead).map(|worker| worker.given).sum();
            [of(false), of(true)]
        };
        let before = given(&fleet);
        fleet.run(600 * SECOND, 3, 40);
        let [living, dead] = given(&fleet);
        let share = (dead - before[1]) as f64 / (living + dead - before[0] - before[1]) as f64;
        println!("{conduct:?}: {:.2} % of attempts after five minutes, {} slices exhausted", 100.0 * share, fleet.exhausted);
        assert!(share < 0.03, "{share}");
        // What five dead ones had in a row is proven by the validator.
        assert!(fleet.exhausted * 1_000 <= fleet.took.len() as u64);
    }
}

/// Equals get equal shares, whether or not there is work for all.
#[test]
fn equals_get_the_same() {
    for apart in [0, 20, 200] {
        let mut fleet = Fleet::new(Settings::default(), vec![Worker::new(Conduct::Honest, 2, 700); 50]);
        fleet.run(200 * SECOND, 3, apart);
        let index = jain(&fleet.workers.iter().map(|worker| worker.proven as f64).collect::<Vec<_>>());
        println!("a job each {apart} ms: Jain index {index:.4} of {} slices", fleet.proven() / u64::from(UNITS));
        assert!(index >= 0.98, "{index}");
    }
}

/// A miner's window is what it can do, whatever it declares.
#[test]
fn windows_are_what_miners_can_do() {
    let mut worst = [0.0f64; 2];
    for able in 1..=64 {
        let mut fleet = Fleet::new(Settings::default(), vec![Worker::new(Conduct::Honest, able, 700); 6]);
        let proofs = |worker: &Worker| worker.proven / u64::from(UNITS);
        while fleet.workers.iter().any(|worker| proofs(worker) < 200) {
            let until = fleet.now + 1;
            fleet.run(until, 1, 0);
            for (k, worker) in fleet.workers.iter().enumerate() {
                let off = (f64::from(fleet.dispatch.window(address(k))) - able as f64).abs();
                for (at, (after, share)) in [(60, 0.25), (120, 0.1)].into_iter().enumerate() {
                    if proofs(worker) >= after {
                        worst[at] = worst[at].max((off - 1.0) / able as f64);
                        // Whoever looks whether there is room for one more has one more for a moment.
                        assert!(off <= (share * able as f64).max(1.0), "{able}: {off} off after {} proofs", proofs(worker));
                    }
                }
            }
        }
    }
    println!("windows are off by one, and at most {:.2} after 60 proofs, {:.2} after 120", worst[0], worst[1]);
}

/// After a restart, of the miners or of the validator, everything is as fast as before within a minute.
#[test]
fn a_restart_is_soon_over() {
    for of_validator in [false, true] {
        let workers: Vec<Worker> = (0..50).map(|k| Worker::new(Conduct::Honest, 1 + k % 16, 700)).collect();
        let mut fleet = Fleet::new(Settings::default(), workers);
        fleet.run(120 * SECOND, 3, 0);
        let before = fleet.proven();
        fleet.run(180 * SECOND, 3, 0);
        let rate = (fleet.proven() - before) / 60;
        let stopped = fleet.now;
        // What they had is gone.
        fleet.coming.clear();
        fleet.open.clear();
        for k in 0..fleet.workers.len() {
            fleet.dispatch.leave(address(k), stopped);
            fleet.workers[k].running = 0;
        }
        if of_validator {
            let standings: Vec<_> = (0..fleet.workers.len()).map(|k| fleet.dispatch.standing(address(k))).collect();
            fleet.dispatch = Dispatch::new(Parameters::default(), Settings { probation: 0, ..Settings::default() });
            for (k, (valid, invalid, until)) in standings.into_iter().enumerate() {
                fleet.dispatch.remember(address(k), valid, invalid, until);
            }
            fleet.jobs.clear();
        }
        (0..fleet.workers.len()).for_each(|k| fleet.join(k));
        let is_back = (1..=60).find(|second| {
            let before = fleet.proven();
            fleet.run(stopped + second * SECOND, 3, 0);
            (fleet.proven() - before) * 100 >= rate * 95
        });
        println!("restart of {}: 95 % of the rate after {is_back:?} s", if of_validator { "the validator" } else { "the miners" });
        assert!(is_back.is_some());
    }
}

const MINERS: usize = 20;

/// What a validator publishes after so many epochs of twenty seconds, of miners of different machines: those it lets in, with credits as it counts
/// them.
fn published(seed: u8, epochs: u64, lets_in: impl Fn(usize) -> bool, counts: impl Fn(u64, usize, u64) -> u64) -> Vec<f64> {
    let workers: Vec<Worker> = (0..MINERS).map(|k| Worker::new(Conduct::Honest, 1 + k % 4, 400 + 25 * (k as u64 % 7))).collect();
    let mut fleet = Fleet::new(Settings::default(), workers);
    fleet.rng = ChaCha8Rng::seed_from_u64(u64::from(seed));
    (0..MINERS).filter(|k| !lets_in(*k)).for_each(|k| fleet.dispatch.leave(address(k), fleet.now));
    let mut scores = [0; MINERS];
    for epoch in 0..epochs {
        fleet.dispatch.begin_epoch(B256::repeat_byte(seed ^ epoch as u8));
        let until = fleet.now + 20 * SECOND;
        fleet.run(until, 3, 0);
        for (k, worker) in fleet.workers.iter_mut().enumerate() {
            let credit = counts(epoch, k, std::mem::take(&mut worker.credit));
            scores[k] = Parameters::default().next(scores[k], credit, 0);
        }
    }
    let of_uids: Vec<(u16, u16)> = (0..).zip(weights(&scores)).collect();
    let vector = Vector::new(&of_uids, MINERS as u16, 0, u16::MAX).unwrap();
    let mut row = vec![0.0; MINERS];
    vector.uids.iter().zip(&vector.values).for_each(|(uid, value)| row[usize::from(*uid)] = f64::from(*value));
    shares(&row)
}

fn shares(row: &[f64]) -> Vec<f64> {
    let sum: f64 = row.iter().sum();
    row.iter().map(|weight| weight / sum).collect()
}

/// What miners get of validators' weights of equal stakes, as Bittensor's consensus has it: each weight is cut down to the median of its
/// miner's (`weighted_median_col` with a majority of one half, then `col_clip`, in subtensor's `epoch/math.rs`), then they are added up; what
/// miners get are the shares of that.
fn clipped(rows: &[Vec<f64>]) -> Vec<f64> {
    let sum = (0..MINERS).map(|k| {
        let mut of_miner: Vec<f64> = rows.iter().map(|row| row[k]).collect();
        of_miner.sort_by(f64::total_cmp);
        let consensus = of_miner[of_miner.len() / 2];
        of_miner.iter().map(|weight| weight.min(consensus)).sum()
    });
    sum.collect()
}

/// Of five validators one favours a clique: it lets nobody else in, or counts its credits thrice. What it gives beyond what the others give is
/// clipped; what it withholds from everybody else is not, and moves shares by its stake at most. Nor does one that copies what all had
/// published an epoch before keep a miner's fall from being seen.
#[test]
fn a_favouring_validator_is_clipped() {
    let is_in_clique = |k: usize| k < 4;
    let of_clique = |row: &[f64]| row.iter().enumerate().filter(|(k, _)| is_in_clique(*k)).map(|(_, weight)| weight).sum::<f64>();
    let honest: Vec<Vec<f64>> = (0..5).map(|seed| published(seed, 6, |_| true, |_, _, credit| credit)).collect();
    let [fair, fair_share] = [clipped(&honest), shares(&clipped(&honest))].map(|row| of_clique(&row));
    let only_it = published(4, 6, is_in_clique, |_, _, credit| credit);
    let more_for_it = published(4, 6, |_| true, |_, k, credit| if is_in_clique(k) { 3 * credit } else { credit });
    for (how, row) in [("lets in only it", only_it), ("counts it thrice", more_for_it)] {
        let withheld = (1.0 - row.iter().zip(&honest[4]).map(|(weight, fair)| weight.min(*fair)).sum::<f64>()) / 5.0;
        let rows = [&honest[..4], &[row]].concat();
        let unclipped: Vec<f64> = (0..MINERS).map(|k| rows.iter().map(|row| row[k]).sum()).collect();
        let unclipped = of_clique(&shares(&unclipped)) / fair_share - 1.0;
        let gain = of_clique(&clipped(&rows)) / fair - 1.0;
        let moved = of_clique(&shares(&clipped(&rows))) - fair_share;
        println!(
            "who {how}: the clique's clipped weight gains {:.2} %, its share {:.2} points of {:.1} ({:.1} % more; unclipped {:.1} %)",
            100.0 * gain,
            100.0 * moved,
            100.0 * fair_share,
            100.0 * moved / fair_share,
            100.0 * unclipped
        );
        assert!(unclipped > 0.2, "it favours nobody");
        assert!(gain < 0.02, "{gain}");
        // What is withheld is missing in the sum that shares are of.
        assert!(moved / fair_share < 1.0 / (1.0 - withheld) - 1.0 + 0.02, "{moved}");
    }
    // A miner stops; who copies does not know it.
    let stops = |epoch: u64, k: usize, credit: u64| if k == 7 && epoch >= 3 { 0 } else { credit };
    let after: Vec<Vec<f64>> = (0..5).map(|seed| published(seed, 6, |_| true, stops)).collect();
    let before: Vec<Vec<f64>> = (0..5).map(|seed| published(seed, 5, |_| true, stops)).collect();
    let rows = [&after[..4], &[shares(&clipped(&before))]].concat();
    let [with, without, all] = [&rows, &after, &honest].map(|rows| shares(&clipped(rows)));
    let off = with.iter().zip(&without).map(|(a, b)| (a / b - 1.0).abs()).fold(0.0, f64::max);
    println!("who copies moves no miner's share by more than {:.2} %", 100.0 * off);
    assert!(with[7] < 0.8 * all[7] && off < 0.02, "{off}");
}
