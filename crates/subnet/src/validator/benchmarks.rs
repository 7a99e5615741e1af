//! What idle miners show what they can on: models computed on random values, each slice for one miner, once.
//!
//! A benchmark's values follow from the epoch's beacon, the validator and the job, so nobody knows them before; its price of 0 tells it from
//! what is paid for, and nothing is gained by telling, since both are verified and scored alike.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use alloy::primitives::{Address, B256, keccak256};

use super::Validator;
use super::jobs::OpenJob;
use super::model::Model;
use super::store::{Change, JobKind, NewJob};
use crate::JobError;
use crate::error::for_log;

/// How often idle miners are looked for.
const PAUSE: Duration = Duration::from_millis(100);
/// Benchmarks of a model that are kept for those who come: whoever has few of its keys would leave the others of many.
const MOST_KEPT: usize = 4;
/// How long a benchmark may be kept for those who come.
const KEPT_MS: u64 = 600_000;
const MINUTE_MS: u64 = 60_000;

/// A benchmark of which some slices were not given away yet.
struct Stock {
    id: B256,
    model: Arc<Model>,
    slices: Vec<u16>,
    until_ms: u64,
}

impl Validator {
    /// Until the validator stops.
    pub(crate) async fn run_benchmarks(self: Arc<Self>) {
        let mut stock: Vec<Stock> = Vec::new();
        let (mut spent, mut minute) = (0u64, 0);
        let mut spent_on: HashMap<Address, u64> = HashMap::new();
        let mut last = Address::ZERO;
        let mut turn = 0usize;
        loop {
            tokio::select! {
                () = tokio::time::sleep(PAUSE) => {}
                () = self.stop.cancelled() => return,
            }
            let now = self.clock.now_ms();
            if now / MINUTE_MS != minute {
                (minute, spent) = (now / MINUTE_MS, 0);
                spent_on.clear();
            }
            let (old, kept): (Vec<_>, Vec<_>) = stock.drain(..).partition(|benchmark| benchmark.until_ms <= now);
            old.iter().for_each(|benchmark| self.let_go(benchmark));
            stock.extend(kept.into_iter().filter(|benchmark| !benchmark.slices.is_empty()));
            let (mut idle, is_busy) = {
                let core = self.locked();
                (core.dispatch.idle(now), core.dispatch.waiting() > 0)
            };
            // Everybody in turn, and nobody more than a share: the budget is for all who are new.
            let share = self.options.benchmark_units / (idle.len() as u64).max(1);
            let next = idle.partition_point(|(miner, _)| *miner <= last);
            idle.rotate_left(next);
            for (miner, is_on_probation) in idle {
                let of_miner = spent_on.get(&miner).copied().unwrap_or_default();
                // Real work goes first, but to those who are on probation nothing else goes.
                if spent >= self.options.benchmark_units || of_miner > share || is_busy && !is_on_probation {
                    continue;
                }
                last = miner;
                match self.benchmark(&mut stock, miner, turn, now).await {
                    Ok(units) => {
                        spent += units;
                        *spent_on.entry(miner).or_default() += units;
                    }
                    Err(error) => tracing::error!(%miner, error = for_log(&error), "a benchmark cannot be made"),
                }
                turn = turn.wrapping_add(1);
            }
        }
    }

    /// Nobody gets the rest of a benchmark.
    fn let_go(&self, benchmark: &Stock) {
        self.turn(|core, turn| core.benchmark_ended(turn, benchmark.id, benchmark.slices.len()));
    }

    /// Gives a miner a slice that it has the key of. Returns the units that were computed for it: all of a model's with the first slice.
    async fn benchmark(self: &Arc<Self>, stock: &mut Vec<Stock>, miner: Address, turn: usize, now: u64) -> Result<u64, JobError> {
        let mut units = 0;
        let fits = |benchmark: &Stock| {
            let core = self.locked();
            benchmark.slices.iter().position(|slice| core.dispatch.holds(miner, (benchmark.model.digest, *slice)))
        };
        if stock.iter().all(|benchmark| fits(benchmark).is_none()) {
            let models: Vec<&Arc<Model>> = self.models.values().collect();
            let held = models.iter().cycle().skip(turn % models.len().max(1)).take(models.len()).find(|model| {
                let core = self.locked();
                (0..model.slices()).any(|slice| core.dispatch.holds(miner, (model.digest, slice)))
            });
            let Some(model) = held else { return Ok(0) };
            let is_of_model = |benchmark: &Stock| benchmark.model.digest == model.digest;
            if stock.iter().filter(|benchmark| is_of_model(benchmark)).count() >= MOST_KEPT
                && let Some(oldest) = stock.iter().position(is_of_model)
            {
                self.let_go(&stock.remove(oldest));
            }
            stock.push(self.new_benchmark(Arc::clone(model), now).await?);
            units = model.units.iter().copied().map(u64::from).sum();
        }
        for benchmark in stock.iter_mut() {
            let Some(at) = fits(benchmark) else { continue };
            let slice = benchmark.slices.swap_remove(at);
            let bytes = benchmark.model.work_bytes[usize::from(slice)].min(self.options.work_bytes);
            let room = Arc::clone(&self.work_room).try_acquire_many_owned(u32::try_from(bytes).unwrap_or(u32::MAX));
            let is_given = self.turn(|core, turn| {
                let (Some(job), Ok(room)) = (core.jobs.get(&benchmark.id), room) else { return false };
                let Some(assigned) = core.dispatch.assign_to(job.slice(slice), miner, turn.now) else { return false };
                self.assign(core, turn, assigned, Some(room));
                true
            });
            if !is_given {
                benchmark.slices.push(slice);
            }
            return Ok(units);
        }
        Ok(units)
    }

    async fn new_benchmark(&self, model: Arc<Model>, now: u64) -> Result<Stock, JobError> {
        let id = self.random()?;
        let beacon = self.locked().epoch.beacon;
        let mut seed = keccak256("zkslice/network/benchmark-input/v1").to_vec();
        [beacon.as_slice(), self.address().as_slice(), id.as_slice()].iter().for_each(|part| seed.extend_from_slice(part));
        let (of, seed) = (Arc::clone(&model), keccak256(seed));
        let executed = self.clock.apart(move || of.execute_random(seed));
        let (executed, bundle) = executed.await.map_err(|_| JobError::Stopped)??;
        let json = bundle.to_json().map_err(|e| JobError::Bundle(e.to_string()))?;
        let (executed, until_ms) = (executed.to_bytes()?, now + KEPT_MS);
        self.turn(|core, turn| {
            turn.change(Change::NewJob(Box::new(NewJob {
                id,
                kind: JobKind::Benchmark,
                model: model.digest,
                context: B256::ZERO,
                owner: B256::ZERO,
                inputs: Vec::new(),
                hand_over: None,
                deadline_ms: until_ms,
                caller: String::new(),
                idempotency: None,
                content: None,
            })));
            turn.change(Change::Executed { id, executed, bundle: json, slices: model.slices() });
            core.open_job(turn, OpenJob::new(id, String::new(), JobKind::Benchmark, Arc::clone(&model), bundle, until_ms));
        });
        let slices = (0..model.slices()).collect();
        Ok(Stock { id, model, slices, until_ms: until_ms - KEPT_MS / 2 })
    }
}
