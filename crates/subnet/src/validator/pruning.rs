//! What a validator that runs for months does not keep.
//!
//! A bundle is given out for a day after it was complete or fetched, so that a caller who was killed finds it again; then its job is settled,
//! and the same request would be a new job. What is at its end is kept for some days more, 30 where nothing else is said; then there are the
//! epochs' roots and scores, each miner's newest receipt, which has its totals, and what was counted of it. All that is deleted in one step is
//! one transaction with what is counted of it, and small: whoever waits for the store does not wait for long, and a kill between two steps
//! leaves nothing to mend.

use std::sync::Arc;
use std::time::Duration;

use alloy::primitives::{Address, B256};
use sqlx::Row;
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use tokio::time::Instant;

use super::Validator;
use super::states::JobState;
use super::store::{Change, Store, StoredJob, address, signed, unsigned, word};
use crate::StoreError;

/// How long a bundle is given out, at least: longer where jobs may take longer.
const GIVEN_OUT_MS: u64 = 86_400_000;
/// How often it is looked what is old.
const PAUSE: Duration = Duration::from_secs(60);
/// Between two steps, at least; and so many times as long as the last one took, so that the store is others' most of the time.
const BETWEEN: Duration = Duration::from_millis(25);
const SHARE: u32 = 4;
/// What a step takes at most: jobs, each with its slices and events; assignments, and as many receipts; pages that the file gets shorter by.
const MOST_JOBS: u32 = 4;
const MOST_ROWS: u32 = 128;
const MOST_PAGES: u32 = 64;
/// Bundles that are settled together.
const MOST_SETTLED: u32 = 256;
/// Nothing is deleted before a hand-in of it would be refused anyway, for so long: what was looked up a moment ago may still change.
const MARGIN_MS: u64 = 3_600_000;

/// What is old: a step's.
#[derive(Clone, Debug, Default)]
pub(crate) struct Old {
    jobs: Vec<B256>,
    /// Their rows' numbers.
    assignments: Vec<i64>,
    /// Of each miner, the first and the last one's number.
    receipts: Vec<(Address, u64, u64)>,
    /// Pages at the end of the file that nothing is on.
    pages: u32,
}

impl Old {
    const fn is_empty(&self) -> bool {
        self.jobs.is_empty() && self.assignments.is_empty() && self.receipts.is_empty() && self.pages == 0
    }
}

impl Store {
    /// What ended before `before`, at most a step of it: jobs by when they changed last, assignments by their deadline, receipts by when their
    /// epoch was closed.
    async fn old(&self, before: u64) -> Result<Old, StoreError> {
        self.show(move |connection, runtime| {
            let mut all = |sql: &'static str, most: u32| {
                runtime.block_on(sqlx::query(sql).bind(signed(before)).bind(most).fetch_all(&mut *connection))
            };
            let jobs = all(
                "SELECT id FROM jobs WHERE state IN ('refused', 'settled', 'cancelled', 'failed') AND changed <= ? LIMIT ?",
                MOST_JOBS,
            )?;
            // Rows are numbered as they are written: the oldest come first.
            let assignments = all(
                "SELECT number FROM (SELECT rowid AS number, state, deadline FROM assignments ORDER BY rowid LIMIT ?2)
                 WHERE deadline <= ?1 AND state NOT IN ('offered', 'accepted', 'handed in')",
                MOST_ROWS,
            )?;
            // The newest one has its miner's totals, on which the next one builds.
            let receipts = all(
                "SELECT miner, min(seq) AS first, max(seq) AS last FROM (
                     SELECT miner, seq FROM receipts AS r
                     WHERE epoch <= (SELECT epoch FROM epochs WHERE closed <= ?1 ORDER BY epoch DESC LIMIT 1)
                       AND seq < (SELECT max(seq) FROM receipts WHERE miner = r.miner)
                       AND EXISTS (SELECT 1 FROM epochs AS e WHERE e.epoch = r.epoch AND closed <= ?1)
                     ORDER BY epoch LIMIT ?2) GROUP BY miner",
                MOST_ROWS,
            )?;
            let free = runtime.block_on(sqlx::query("PRAGMA freelist_count").fetch_one(&mut *connection))?.try_get::<i64, _>(0)?;
            let is_shortened = runtime.block_on(sqlx::query("PRAGMA auto_vacuum").fetch_one(connection))?.try_get::<i64, _>(0)? != 0;
            // Some pages are left for what comes next.
            let spare = u32::try_from(free).unwrap_or(u32::MAX).saturating_sub(4 * MOST_PAGES);
            Ok(Old {
                jobs: jobs.iter().map(|row| word(row, "id")).collect::<sqlx::Result<_>>()?,
                assignments: assignments.iter().map(|row| row.try_get("number")).collect::<sqlx::Result<_>>()?,
                receipts: receipts
                    .iter()
                    .map(|row| Ok((address(row, "miner")?, unsigned(row, "first")?, unsigned(row, "last")?)))
                    .collect::<sqlx::Result<_>>()?,
                pages: if is_shortened { spare.min(MOST_PAGES) } else { 0 },
            })
        })
        .await
    }

    /// Jobs whose bundles have been there since before `before`, at most so many.
    async fn given_out(&self, before: u64) -> Result<Vec<B256>, StoreError> {
        self.show(move |connection, runtime| {
            let query = sqlx::query("SELECT id FROM jobs WHERE state IN ('complete', 'delivered') AND changed <= ? LIMIT ?");
            let rows = runtime.block_on(query.bind(signed(before)).bind(MOST_SETTLED).fetch_all(connection))?;
            rows.iter().map(|row: &SqliteRow| word(row, "id")).collect()
        })
        .await
    }
}

/// Deletes a step's, and counts what it was.
pub(crate) async fn delete(connection: &mut SqliteConnection, old: &Old) -> sqlx::Result<()> {
    for job in &old.jobs {
        // Its slices and events go with it.
        sqlx::query("DELETE FROM jobs WHERE id = ?").bind(job.to_vec()).execute(&mut *connection).await?;
    }
    if !old.assignments.is_empty() {
        let numbers = serde_json::json!(old.assignments).to_string();
        for sql in [
            "INSERT INTO pruned (miner, valid, invalid, missed, declined, units)
             SELECT miner, sum(state = 'valid'), sum(state = 'invalid'), sum(state IN ('missed', 'late')), sum(state = 'declined'),
                    sum(iif(state = 'valid', units, 0)) FROM assignments WHERE rowid IN (SELECT value FROM json_each(?)) GROUP BY miner
             ON CONFLICT (miner) DO UPDATE SET valid = valid + excluded.valid, invalid = invalid + excluded.invalid,
                    missed = missed + excluded.missed, declined = declined + excluded.declined, units = units + excluded.units",
            "DELETE FROM assignments WHERE rowid IN (SELECT value FROM json_each(?))",
        ] {
            sqlx::query(sql).bind(&numbers).execute(&mut *connection).await?;
        }
    }
    for (miner, first, last) in &old.receipts {
        for sql in [
            "INSERT INTO pruned (miner, credit, debit) SELECT miner, sum(credit), sum(debit) FROM receipts
             WHERE miner = ? AND seq BETWEEN ? AND ? AND +epoch IN (SELECT epoch FROM epochs) GROUP BY miner
             ON CONFLICT (miner) DO UPDATE SET credit = credit + excluded.credit, debit = debit + excluded.debit",
            "DELETE FROM receipts WHERE miner = ? AND seq BETWEEN ? AND ? AND +epoch IN (SELECT epoch FROM epochs)",
        ] {
            let query = sqlx::query(sql).bind(miner.to_vec()).bind(signed(*first)).bind(signed(*last));
            query.execute(&mut *connection).await?;
        }
    }
    if old.pages > 0 {
        let sql = format!("PRAGMA incremental_vacuum({})", old.pages);
        sqlx::query(sqlx::AssertSqlSafe(sql)).execute(connection).await?;
    }
    Ok(())
}

impl Validator {
    /// Until the validator stops.
    pub(crate) async fn run_pruning(self: Arc<Self>) {
        loop {
            let began = Instant::now();
            let pause = match self.prune().await {
                Ok(true) => BETWEEN.max(began.elapsed() * SHARE),
                Ok(false) => PAUSE,
                // The store says what is wrong with it elsewhere too.
                Err(error) => {
                    tracing::error!(%error, "what is old cannot be deleted");
                    PAUSE
                }
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.stop.cancelled() => return,
            }
        }
    }

    /// A step; returns whether there may be more to do.
    async fn prune(&self) -> Result<bool, StoreError> {
        let now = self.clock.now_ms();
        let settled = self.settle_jobs(self.store.given_out(now.saturating_sub(GIVEN_OUT_MS.max(self.options.job_ms)))).await?;
        let old = self.store.old(now.saturating_sub(self.options.keep_ms.saturating_add(MARGIN_MS))).await?;
        let is_idle = settled == 0 && old.is_empty();
        if !old.is_empty() {
            self.store.keep(now, vec![Change::Prune(old)]).await?;
        }
        Ok(!is_idle)
    }

    /// Until when it is remembered what an assignment of this deadline was.
    pub(crate) const fn kept_until(&self, deadline_ms: u64) -> u64 {
        deadline_ms.saturating_add(self.options.keep_ms)
    }

    /// Whoever wanted a job wants no more of it: one that is open is given up, one whose bundle is there is settled.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn close(&self, id: B256) -> Result<(), StoreError> {
        self.cancel(id);
        let of_it = async {
            let has_bundle = |stored: &StoredJob| matches!(stored.state, JobState::Complete | JobState::Delivered);
            Ok(self.store.job(id).await?.filter(has_bundle).map(|_| id).into_iter().collect())
        };
        self.settle_jobs(of_it).await.map(drop)
    }

    /// Settles the jobs that are found, whose bundles are there. Returns how many.
    async fn settle_jobs(&self, found: impl Future<Output = Result<Vec<B256>, StoreError>>) -> Result<usize, StoreError> {
        // One after the other, each when what was decided before is in the store: a job is settled once.
        let _one = self.settling.lock().await;
        self.store.keep(self.clock.now_ms(), Vec::new()).await?;
        let found = found.await?;
        self.quiet_turn(|core, turn| {
            for id in &found {
                // It may have been fetched since.
                let from = if core.complete.remove(id) { JobState::Complete } else { JobState::Delivered };
                turn.change(Change::Job { id: *id, from, to: JobState::Settled, reason: String::new() });
            }
        });
        Ok(found.len())
    }
}
