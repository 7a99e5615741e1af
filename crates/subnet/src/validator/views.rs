//! What a validator shows.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use alloy::primitives::{Address, B256};
use tokio::time::Instant;

use super::Validator;
use super::assignments::PROOF;
use super::states::{JobState, SliceState};
use super::store::{Lost, Record, StoredEvent};
use crate::draws::Draw;
use crate::{JobError, StoreError};

/// How often those who watch a job look.
const LOOK: Duration = Duration::from_millis(100);
/// How soon miners' records are counted again.
const AGAIN: Duration = Duration::from_secs(1);

/// Draws that are shown at a time, and candidates after which no more are.
const MOST_DRAWS: u32 = 500;
const MOST_CANDIDATES: usize = 1 << 13;

/// What a job would cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuoteView {
    /// Slices of the model.
    pub slices: u16,
    /// Units of all of them.
    pub units: u64,
    /// In the smallest unit of the network's currency.
    pub price: u128,
    /// Milliseconds where a miner is free for each slice.
    pub estimate_ms: u64,
    /// Slices that wait before it.
    pub waiting: u64,
}

/// Where a job is.
#[derive(Clone, Debug)]
pub struct JobView {
    /// Its state.
    pub state: JobState,
    /// Why.
    pub reason: String,
    /// Its model.
    pub model: B256,
    /// When it came.
    pub created_ms: u64,
    /// Until when it is of use.
    pub deadline_ms: u64,
    /// Its slices, and who proved them by which assignment.
    pub slices: Vec<(SliceState, Option<(Address, B256)>)>,
}

/// What happened to a job.
#[derive(Clone, Debug)]
pub struct WatchedEvent {
    /// Later ones are greater.
    pub id: u64,
    /// When.
    pub at_ms: u64,
    /// What.
    pub kind: String,
    /// Of which slice.
    pub slice: Option<u16>,
}

/// A miner as it is known.
#[derive(Clone, Debug)]
pub struct MinerView {
    /// Who.
    pub address: Address,
    /// Whether it is connected.
    pub is_connected: bool,
    /// Slices that it may have at a time.
    pub window: u32,
    /// Slices that were valid, invalid, missed, declined.
    pub counts: [u64; 4],
    /// Units of the valid ones.
    pub units: u64,
    /// Of the last valid ones.
    pub median_ms: Option<u64>,
    /// Of all receipts.
    pub credit: u64,
    /// Of all receipts.
    pub debit: u64,
    /// After the last closed epoch.
    pub score: u64,
    /// Until when it gets nothing; 0 if it may.
    pub quarantined_until_ms: u64,
}

/// What was signed of an assignment.
#[derive(Clone, Debug)]
pub struct ReceiptsView {
    /// By the validator.
    pub assignment: Vec<u8>,
    /// By the miner, that the proof of a hash is its own; none where nothing came in time.
    pub hand_in: Option<Vec<u8>>,
    /// By the validator: one, or two where a proof came after it was missed.
    pub receipts: Vec<Vec<u8>>,
}

impl Validator {
    /// What a job of a model would cost.
    ///
    /// # Errors
    /// [`JobError::Model`].
    pub fn quote(&self, model: B256) -> Result<QuoteView, JobError> {
        let found = self.models.get(&model).ok_or_else(|| JobError::Model(model.to_string()))?;
        let units = found.units.iter().map(|units| u64::from(*units)).sum();
        let largest = found.units.iter().copied().max().unwrap_or(1);
        Ok(QuoteView {
            slices: found.slices(),
            units,
            price: self.options.price_per_unit * u128::from(units),
            estimate_ms: self.options.parameters.fast_at_ms(largest),
            waiting: self.locked().dispatch.waiting() as u64,
        })
    }

    /// The time, as the validator has it.
    pub(crate) fn now_ms(&self) -> u64 {
        self.clock.now_ms()
    }

    /// Slices that wait for a miner.
    pub fn waiting(&self) -> usize {
        self.locked().dispatch.waiting()
    }

    /// Each model's package, by digest.
    pub(crate) fn packages(&self) -> impl Iterator<Item = (B256, &zkslice_slicer::Package)> {
        self.models.iter().map(|(digest, model)| (*digest, &model.package))
    }

    /// Digest, name and units of each model.
    pub fn model_infos(&self) -> Vec<(B256, String, Vec<u32>)> {
        let info = |(digest, model): (&B256, &Arc<super::Model>)| (*digest, model.package.manifest().name.clone(), model.units.clone());
        self.models.iter().map(info).collect()
    }

    /// A job of a caller's.
    ///
    /// # Errors
    /// [`JobError::Unknown`] for none of that id, or another's.
    pub async fn view(&self, id: B256, caller: &str) -> Result<JobView, JobError> {
        let stored = self.stored(id).await?;
        if stored.new.caller != caller {
            return Err(JobError::Unknown(id));
        }
        Ok(JobView {
            state: stored.state,
            reason: stored.reason,
            model: stored.new.model,
            created_ms: stored.created_ms,
            deadline_ms: stored.new.deadline_ms,
            slices: self.store.slices_of(id).await?,
        })
    }

    /// What happened to a job after an event: waits for something, unless the job is over. Whether it is, comes with it.
    ///
    /// # Errors
    /// [`JobError`].
    pub async fn events_after(&self, id: B256, after: u64, most: u32) -> Result<(Vec<WatchedEvent>, bool), JobError> {
        loop {
            // In this order: what happened before the job was over is seen.
            let is_watched = self.locked().watched.contains_key(&id);
            let is_over = !is_watched && !self.stored(id).await?.state.is_open();
            let events = self.store.events_after(id, after, most).await?;
            let is_all = events.len() < most as usize;
            if !events.is_empty() || is_over {
                let watched = |StoredEvent { id, at, kind, slice }| WatchedEvent { id, at_ms: at, kind, slice };
                return Ok((events.into_iter().map(watched).collect(), is_over && is_all));
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                () = self.stop.cancelled() => return Err(JobError::Stopped),
            }
        }
    }

    /// What all miners have done: everything that was ever given away is counted, and so not for each who asks.
    async fn records(&self) -> Result<Arc<Vec<Record>>, StoreError> {
        let mut counted = self.counted.lock().await;
        let began = Instant::now();
        if let Some((until, records)) = &*counted
            && *until > began
        {
            return Ok(Arc::clone(records));
        }
        let records = Arc::new(self.store.records().await?);
        *counted = Some((Instant::now() + AGAIN.max(began.elapsed() * 10), Arc::clone(&records)));
        Ok(records)
    }

    /// All miners that were ever given something or are connected, or one of them.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn miners(&self, of: Option<Address>) -> Result<Vec<MinerView>, StoreError> {
        let mut records: Vec<Record> =
            self.records().await?.iter().filter(|record| of.is_none_or(|of| of == record.miner)).cloned().collect();
        let known: HashSet<Address> = records.iter().map(|record| record.miner).collect();
        let core = self.locked();
        let connected = core.peers.keys().filter(|miner| of.is_none_or(|of| of == **miner));
        let new: Vec<Address> = connected.filter(|miner| !known.contains(*miner)).copied().collect();
        records.extend(new.into_iter().map(|miner| Record { miner, ..Record::default() }));
        let view = |record: Record| MinerView {
            address: record.miner,
            is_connected: core.peers.contains_key(&record.miner),
            window: core.dispatch.window(record.miner),
            counts: record.counts,
            units: record.units,
            median_ms: record.median_ms,
            credit: record.credit,
            debit: record.debit,
            score: record.score,
            quarantined_until_ms: core.dispatch.standing(record.miner).2,
        };
        Ok(records.into_iter().map(view).collect())
    }

    /// A miner's last assignments that brought it nothing.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) async fn lost(&self, miner: Address, most: u32) -> Result<Vec<Lost>, StoreError> {
        self.store.lost(miner, most).await
    }

    /// An assignment, what its miner signed, and its receipts.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn receipts_of(&self, assignment: B256) -> Result<Option<ReceiptsView>, StoreError> {
        let Some(stored) = self.store.assignment(assignment).await? else { return Ok(None) };
        // Without the proof, which is its job's.
        let hand_in = stored.hand_in.and_then(|hand_in| Some(hand_in.split_last_chunk::<PROOF>()?.0.to_vec()));
        Ok(Some(ReceiptsView { assignment: stored.new.message, hand_in, receipts: self.store.receipts_of(assignment).await? }))
    }

    /// The signed root of a closed epoch.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn epoch_root(&self, epoch: u64) -> Result<Option<Vec<u8>>, StoreError> {
        self.store.epoch_root(Some(epoch)).await
    }

    /// Draws of a closed epoch after a number, in order; none of one that is not closed, so that nobody learns from them who else has a slice.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn draws(&self, epoch: u64, after: u64) -> Result<Option<Vec<Draw>>, StoreError> {
        if self.epoch_root(epoch).await?.is_none() {
            return Ok(None);
        }
        self.store.draws(epoch, after, MOST_DRAWS, MOST_CANDIDATES).await.map(Some)
    }

    /// Whether it takes jobs.
    pub async fn is_ready(&self) -> bool {
        !self.stop.is_cancelled() && !self.models.is_empty() && self.store.keep(self.clock.now_ms(), Vec::new()).await.is_ok()
    }
}
