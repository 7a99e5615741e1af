//! What a validator must not forget: SQLite, in WAL mode. One writer takes what comes while the disk is busy together, so that thousands of
//! changes a second cost a few commits, and each is on disk before anything that follows from it leaves.

mod changes;
mod rows;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use alloy::primitives::{Address, B256};
use futures_util::TryStreamExt as _;
use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::sqlite::{SqliteAutoVacuum, SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteRow, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _, Row, SqlSafeStr as _};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use zkslice_formats::FileLock;

use super::Epoch;
use super::pruning::delete;
use super::states::{AssignmentState, JobState, SliceState};
use crate::draws::Draw;
use crate::{Clock, StoreError};
pub use changes::JobKind;
pub(crate) use changes::{Change, NewAssignment, NewJob};
use changes::{Script, Scripts};
pub(super) use rows::{address, signed, unsigned, word};
use rows::{addresses, assignment, attempt, broken, count, error, job, small};

/// The database's versions, oldest first: a version that was released is never changed.
const MIGRATIONS: [(&str, &str); 2] =
    [("network", include_str!("../../migrations/0001_network.sql")), ("pruning", include_str!("../../migrations/0002_pruning.sql"))];
/// Transitions that one commit takes.
const MOST_TOGETHER: usize = 512;

fn migrator() -> Migrator {
    let migration = |((name, sql), version): (&(&'static str, &'static str), i64)| {
        Migration::new(version, (*name).into(), MigrationType::Simple, sql.into_sql_str(), false)
    };
    Migrator::with_migrations(MIGRATIONS.iter().zip(1..).map(migration).collect())
}

/// A job in the store.
#[derive(Clone, Debug)]
pub(crate) struct StoredJob {
    pub(crate) new: NewJob,
    pub(crate) state: JobState,
    pub(crate) reason: String,
    pub(crate) created_ms: u64,
    pub(crate) bundle: Option<Vec<u8>>,
}

/// An assignment in the store.
#[derive(Clone, Debug)]
pub(crate) struct StoredAssignment {
    pub(crate) new: NewAssignment,
    pub(crate) state: AssignmentState,
    pub(crate) hand_in: Option<Vec<u8>>,
    pub(crate) ms: Option<u64>,
}

/// What a miner has done so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) miner: Address,
    /// Slices that were valid, invalid, missed, declined.
    pub(crate) counts: [u64; 4],
    /// Units of valid slices.
    pub(crate) units: u64,
    pub(crate) credit: u64,
    pub(crate) debit: u64,
    /// Of the last valid slices.
    pub(crate) median_ms: Option<u64>,
    pub(crate) score: u64,
}

/// An assignment that brought its miner nothing, and why.
#[derive(Clone, Debug)]
pub(crate) struct Lost {
    pub(crate) assignment: B256,
    pub(crate) job: B256,
    pub(crate) slice: u16,
    pub(crate) units: u32,
    pub(crate) state: AssignmentState,
    pub(crate) reason: String,
    pub(crate) deadline_ms: u64,
}

/// What an epoch comes to.
#[derive(Clone, Debug, Default)]
pub(crate) struct EpochSums {
    pub(crate) beacon: B256,
    pub(crate) receipts: Vec<Vec<u8>>,
    pub(crate) sums: BTreeMap<Address, (u64, u64)>,
    pub(crate) scores: BTreeMap<Address, u64>,
}

/// What happened to a job.
#[derive(Clone, Debug)]
pub(crate) struct StoredEvent {
    pub(crate) id: u64,
    pub(crate) at: u64,
    pub(crate) kind: String,
    pub(crate) slice: Option<u16>,
}

struct Batch {
    at: u64,
    changes: Vec<Change>,
    done: oneshot::Sender<Result<(), StoreError>>,
}

/// The store; nobody else has it while this lives.
#[derive(Debug)]
pub(crate) struct Store {
    clock: Clock,
    batches: mpsc::UnboundedSender<Batch>,
    reader: Arc<Mutex<SqliteConnection>>,
    /// For what anybody may ask: dispatch does not wait behind it.
    shower: Arc<Mutex<SqliteConnection>>,
    path: PathBuf,
    errors: Arc<AtomicU64>,
    _lock: FileLock,
}

/// Everything that a validator has to take up again.
#[derive(Debug, Default)]
pub(crate) struct Loaded {
    pub(crate) jobs: Vec<StoredJob>,
    pub(crate) slices: Vec<(B256, u16, SliceState, Option<Vec<u8>>)>,
    /// Jobs whose bundles nobody has fetched yet.
    pub(crate) complete: Vec<B256>,
    pub(crate) assignments: Vec<StoredAssignment>,
    pub(crate) attempts: Vec<(B256, u16, u8)>,
    pub(crate) receipts: Vec<Vec<u8>>,
    pub(crate) miners: Vec<(Address, u32, u32, u64)>,
    /// The newest epoch that was begun.
    pub(crate) newest: Option<Epoch>,
    /// Units that miners were given by draws in it.
    pub(crate) served: Vec<(Address, u64)>,
}

/// Work on a connection, on a thread that may wait. A paused clock waits with it, as it would not for SQLite's own thread.
async fn on<T: Send + 'static>(
    clock: Clock,
    connection: &Arc<Mutex<SqliteConnection>>,
    work: impl FnOnce(&mut SqliteConnection, &Handle) -> T + Send + 'static,
) -> Result<T, StoreError> {
    let (connection, runtime) = (Arc::clone(connection), Handle::current());
    let run = move || work(&mut connection.lock().unwrap_or_else(PoisonError::into_inner), &runtime);
    clock.apart(run).await.map_err(|_| StoreError::Stopped)
}

impl Store {
    /// Opens the store, made where there is none, and locks it. `belongs_to` is checked, or noted when the store is new.
    pub(crate) async fn open(path: &Path, belongs_to: Vec<(&'static str, String)>, clock: Clock) -> Result<Self, StoreError> {
        let io = |reason: String| StoreError::Io { path: path.to_owned(), reason };
        let lock = FileLock::take(path).map_err(|e| io(format!("cannot be locked: {e}; its folder must exist and be writable")))?;
        let lock = lock.ok_or_else(|| StoreError::Locked { path: path.to_owned() })?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .foreign_keys(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            // What is deleted makes the file shorter; one that was made without this is filled up again instead.
            .auto_vacuum(SqliteAutoVacuum::Incremental)
            // Salts that are deleted are gone from the file.
            .pragma("secure_delete", "ON")
            .busy_timeout(Duration::from_secs(10))
            .disable_statement_logging();
        let (owned, runtime) = (path.to_owned(), Handle::current());
        let opened = tokio::task::spawn_blocking(move || runtime.block_on(connect(&owned, &options, &belongs_to)));
        let (writer, reader, shower) = opened.await.map_err(|_| StoreError::Stopped)??;
        let (batches, incoming) = mpsc::unbounded_channel();
        let errors = Arc::new(AtomicU64::new(0));
        tokio::spawn(write(clock, Arc::new(Mutex::new(writer)), incoming, path.to_owned(), Arc::clone(&errors)));
        let [reader, shower] = [reader, shower].map(|connection| Arc::new(Mutex::new(connection)));
        Ok(Self { clock, batches, reader, shower, path: path.to_owned(), errors, _lock: lock })
    }

    /// Hands changes to the writer, all or none of which are then kept, after those that were handed over before. Where one cannot be kept,
    /// the store stops: what follows from it must not leave.
    pub(crate) fn submit(&self, at: u64, changes: Vec<Change>) -> oneshot::Receiver<Result<(), StoreError>> {
        let (done, kept) = oneshot::channel();
        // Where the writer has stopped, nobody sends an answer, which says so.
        let _ = self.batches.send(Batch { at, changes, done });
        kept
    }

    /// As [`Store::submit`], and waits.
    pub(crate) async fn keep(&self, at: u64, changes: Vec<Change>) -> Result<(), StoreError> {
        self.submit(at, changes).await.map_err(|_| StoreError::Stopped)?
    }

    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut SqliteConnection, &Handle) -> sqlx::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        on(self.clock, &self.reader, work).await?.map_err(|e| {
            self.errors.fetch_add(1, Ordering::Relaxed);
            error(&self.path, &e)
        })
    }

    /// Reads and writes that failed.
    pub(crate) fn errors(&self) -> u64 {
        self.errors.load(Ordering::Relaxed)
    }

    /// As [`Store::read`], for what is only shown, and what nobody waits for.
    pub(super) async fn show<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut SqliteConnection, &Handle) -> sqlx::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        on(self.clock, &self.shower, work).await?.map_err(|e| error(&self.path, &e))
    }

    /// Everything that is not at its end.
    pub(crate) async fn load(&self) -> Result<Loaded, StoreError> {
        self.read(|connection, runtime| {
            let mut all = |sql: &'static str| runtime.block_on(sqlx::query(sql).fetch_all(&mut *connection));
            Ok(Loaded {
                // What was computed of them is read when it is needed.
                jobs: all("SELECT id, kind, model, context, owner, inputs, hand_over, state,
                     reason, created, deadline, caller, idempotency, content, bundle FROM jobs WHERE state IN ('received', 'executed', 'dispatching')
                     OR id IN (SELECT job FROM assignments WHERE state = 'handed in') ORDER BY created")?
                .iter()
                .map(job)
                .collect::<sqlx::Result<_>>()?,
                slices: all(
                    "SELECT slices.* FROM slices JOIN jobs ON jobs.id = slices.job WHERE jobs.state IN ('executed', 'dispatching')
                     OR jobs.id IN (SELECT job FROM assignments WHERE state = 'handed in')",
                )?
                .iter()
                .map(|row| {
                    let state: String = row.try_get("state")?;
                    let state = SliceState::parse(&state).ok_or_else(|| broken("a slice's state"))?;
                    Ok((word(row, "job")?, small(row, "slice")?, state, row.try_get("proof")?))
                })
                .collect::<sqlx::Result<_>>()?,
                complete: all("SELECT id FROM jobs WHERE state = 'complete'")?
                    .iter()
                    .map(|row| word(row, "id"))
                    .collect::<sqlx::Result<_>>()?,
                assignments: all("SELECT * FROM assignments WHERE state IN ('offered', 'accepted', 'handed in')")?
                    .iter()
                    .map(assignment)
                    .collect::<sqlx::Result<_>>()?,
                attempts: all("SELECT job, slice, count(*) AS attempts FROM assignments WHERE job IN
                     (SELECT id FROM jobs WHERE state IN ('executed', 'dispatching')) GROUP BY job, slice")?
                .iter()
                .map(|row| Ok((word(row, "job")?, small(row, "slice")?, u8::try_from(small(row, "attempts")?).unwrap_or(u8::MAX))))
                .collect::<sqlx::Result<_>>()?,
                // From miner to miner by the index: there may be millions of receipts.
                receipts: all("WITH RECURSIVE m (miner) AS (SELECT min(miner) FROM receipts UNION ALL
                     SELECT (SELECT min(miner) FROM receipts WHERE miner > m.miner) FROM m WHERE m.miner IS NOT NULL)
                     SELECT r.message FROM m JOIN receipts AS r ON r.miner = m.miner
                     AND r.seq = (SELECT max(seq) FROM receipts WHERE miner = m.miner)")?
                .iter()
                .map(|row| row.try_get("message"))
                .collect::<sqlx::Result<_>>()?,
                miners: all("SELECT * FROM miners")?
                    .iter()
                    .map(|row| {
                        Ok((address(row, "address")?, count(row, "valid")?, count(row, "invalid")?, unsigned(row, "quarantined_until")?))
                    })
                    .collect::<sqlx::Result<_>>()?,
                newest: all("SELECT epoch, beacon FROM beacons ORDER BY epoch DESC LIMIT 1")?
                    .first()
                    .map(|row| Ok::<_, sqlx::Error>(Epoch { number: unsigned(row, "epoch")?, beacon: word(row, "beacon")? }))
                    .transpose()?,
                served: all("SELECT miner, sum(units) AS units FROM assignments
                     WHERE epoch = (SELECT max(epoch) FROM beacons) AND candidates <> x'' GROUP BY miner")?
                .iter()
                .map(|row| Ok((address(row, "miner")?, unsigned(row, "units")?)))
                .collect::<sqlx::Result<_>>()?,
            })
        })
        .await
    }

    /// A job.
    pub(crate) async fn job(&self, id: B256) -> Result<Option<StoredJob>, StoreError> {
        self.read(move |connection, runtime| {
            let row = runtime.block_on(sqlx::query("SELECT * FROM jobs WHERE id = ?").bind(id.to_vec()).fetch_optional(connection))?;
            row.as_ref().map(job).transpose()
        })
        .await
    }

    /// The job that a caller has this name for.
    pub(crate) async fn job_named(&self, caller: String, name: String) -> Result<Option<StoredJob>, StoreError> {
        self.read(move |connection, runtime| {
            let query = sqlx::query("SELECT * FROM jobs WHERE caller = ? AND idempotency = ?").bind(caller).bind(name);
            runtime.block_on(query.fetch_optional(connection))?.as_ref().map(job).transpose()
        })
        .await
    }

    /// The newest job of a content.
    pub(crate) async fn job_of_content(&self, content: B256) -> Result<Option<StoredJob>, StoreError> {
        self.read(move |connection, runtime| {
            let query = sqlx::query("SELECT * FROM jobs WHERE content = ? ORDER BY created DESC, rowid DESC LIMIT 1");
            runtime.block_on(query.bind(content.to_vec()).fetch_optional(connection))?.as_ref().map(job).transpose()
        })
        .await
    }

    /// The packed words and salts of a job's tensors.
    pub(crate) async fn executed(&self, id: B256) -> Result<Option<Vec<u8>>, StoreError> {
        self.read(move |connection, runtime| {
            let query = sqlx::query("SELECT executed FROM jobs WHERE id = ?").bind(id.to_vec());
            runtime.block_on(query.fetch_optional(connection))?.map_or(Ok(None), |row| row.try_get("executed"))
        })
        .await
    }

    /// An assignment.
    pub(crate) async fn assignment(&self, hash: B256) -> Result<Option<StoredAssignment>, StoreError> {
        self.read(move |connection, runtime| {
            let query = sqlx::query("SELECT * FROM assignments WHERE hash = ?").bind(hash.to_vec());
            runtime.block_on(query.fetch_optional(connection))?.as_ref().map(assignment).transpose()
        })
        .await
    }

    /// What happened to a job after an event, at most so much.
    pub(crate) async fn events_after(&self, job: B256, id: u64, most: u32) -> Result<Vec<StoredEvent>, StoreError> {
        self.show(move |connection, runtime| {
            let query = sqlx::query("SELECT * FROM events WHERE job = ? AND id > ? ORDER BY id LIMIT ?");
            let rows = runtime.block_on(query.bind(job.to_vec()).bind(signed(id)).bind(most).fetch_all(connection))?;
            let event = |row: &SqliteRow| {
                let slice: Option<i64> = row.try_get("slice")?;
                let slice = slice.map(u16::try_from).transpose().map_err(|_| broken("an event's slice"))?;
                Ok(StoredEvent { id: unsigned(row, "id")?, at: unsigned(row, "at")?, kind: row.try_get("kind")?, slice })
            };
            rows.iter().map(event).collect()
        })
        .await
    }

    /// States of a job's slices, and who proved each by which assignment.
    pub(crate) async fn slices_of(&self, job: B256) -> Result<Vec<(SliceState, Option<(Address, B256)>)>, StoreError> {
        self.show(move |connection, runtime| {
            let query = sqlx::query(
                "SELECT s.state AS state, a.miner AS miner, a.hash AS hash FROM slices AS s
                 LEFT JOIN assignments AS a ON a.job = s.job AND a.slice = s.slice AND a.state = 'valid' WHERE s.job = ? ORDER BY s.slice",
            );
            let rows = runtime.block_on(query.bind(job.to_vec()).fetch_all(connection))?;
            let slice = |row: &SqliteRow| {
                let (state, miner): (String, Option<&[u8]>) = (row.try_get("state")?, row.try_get("miner")?);
                let by = miner.map(|_| Ok::<_, sqlx::Error>((address(row, "miner")?, word(row, "hash")?))).transpose()?;
                Ok((SliceState::parse(&state).ok_or_else(|| broken("a slice's state"))?, by))
            };
            rows.iter().map(slice).collect()
        })
        .await
    }

    /// What all miners have done.
    pub(crate) async fn records(&self) -> Result<Vec<Record>, StoreError> {
        self.show(move |connection, runtime| {
            let query = sqlx::query(
                "SELECT miner, sum(valid) AS valid, sum(invalid) AS invalid, sum(missed) AS missed, sum(declined) AS declined,
                        sum(units) AS units, sum(credit) AS credit, sum(debit) AS debit,
                        (SELECT score FROM scores AS s WHERE s.miner = a.miner ORDER BY epoch DESC LIMIT 1) AS score
                 FROM (SELECT miner, sum(state = 'valid') AS valid, sum(state = 'invalid') AS invalid,
                              sum(state IN ('missed', 'late')) AS missed, sum(state = 'declined') AS declined,
                              sum(iif(state = 'valid', units, 0)) AS units, 0 AS credit, 0 AS debit FROM assignments GROUP BY miner
                       UNION ALL SELECT miner, 0, 0, 0, 0, 0, sum(credit), sum(debit) FROM receipts GROUP BY miner
                       UNION ALL SELECT * FROM pruned) AS a
                 GROUP BY miner ORDER BY miner",
            );
            let rows = runtime.block_on(query.fetch_all(&mut *connection))?;
            let mut records = Vec::new();
            for row in &rows {
                let miner = address(row, "miner")?;
                let times = sqlx::query("SELECT ms FROM assignments WHERE miner = ? AND state = 'valid' ORDER BY deadline DESC LIMIT 101");
                let times = runtime.block_on(times.bind(miner.to_vec()).fetch_all(&mut *connection))?;
                let mut times = times.iter().map(|row| unsigned(row, "ms")).collect::<sqlx::Result<Vec<u64>>>()?;
                times.sort_unstable();
                records.push(Record {
                    miner,
                    counts: [unsigned(row, "valid")?, unsigned(row, "invalid")?, unsigned(row, "missed")?, unsigned(row, "declined")?],
                    units: unsigned(row, "units")?,
                    credit: unsigned(row, "credit")?,
                    debit: unsigned(row, "debit")?,
                    median_ms: times.get(times.len() / 2).copied(),
                    score: row.try_get::<Option<i64>, _>("score")?.and_then(|score| u64::try_from(score).ok()).unwrap_or_default(),
                });
            }
            Ok(records)
        })
        .await
    }

    /// A miner's last assignments that brought it nothing, the newest first.
    pub(crate) async fn lost(&self, miner: Address, most: u32) -> Result<Vec<Lost>, StoreError> {
        self.show(move |connection, runtime| {
            let query = sqlx::query(
                "SELECT hash, job, slice, units, state, reason, deadline FROM assignments WHERE miner = ?
                 AND state NOT IN ('valid', 'offered', 'accepted', 'handed in') ORDER BY deadline DESC LIMIT ?",
            );
            let rows = runtime.block_on(query.bind(miner.to_vec()).bind(most).fetch_all(connection))?;
            let lost = |row: &SqliteRow| {
                let state: String = row.try_get("state")?;
                Ok(Lost {
                    assignment: word(row, "hash")?,
                    job: word(row, "job")?,
                    slice: small(row, "slice")?,
                    units: count(row, "units")?,
                    state: AssignmentState::parse(&state).ok_or_else(|| broken("an assignment's state"))?,
                    reason: row.try_get("reason")?,
                    deadline_ms: unsigned(row, "deadline")?,
                })
            };
            rows.iter().map(lost).collect()
        })
        .await
    }

    /// The root of a closed epoch, or of the last one.
    pub(crate) async fn epoch_root(&self, epoch: Option<u64>) -> Result<Option<Vec<u8>>, StoreError> {
        self.read(move |connection, runtime| {
            let query = sqlx::query("SELECT root FROM epochs WHERE ?1 IS NULL OR epoch = ?1 ORDER BY epoch DESC LIMIT 1");
            runtime.block_on(query.bind(epoch.map(signed)).fetch_optional(connection))?.map(|row| row.try_get("root")).transpose()
        })
        .await
    }

    /// Scores after the epoch that was closed last.
    pub(crate) async fn scores(&self) -> Result<Option<(u64, Vec<(Address, u64)>)>, StoreError> {
        self.read(|connection, runtime| {
            let last = runtime.block_on(sqlx::query("SELECT max(epoch) AS epoch FROM epochs").fetch_one(&mut *connection))?;
            let Some(epoch) = last.try_get::<Option<i64>, _>("epoch")? else { return Ok(None) };
            let query = sqlx::query("SELECT miner, score FROM scores WHERE epoch = ? ORDER BY miner").bind(epoch);
            let rows = runtime.block_on(query.fetch_all(connection))?;
            let scores = rows.iter().map(|row| Ok((address(row, "miner")?, unsigned(row, "score")?))).collect::<sqlx::Result<_>>()?;
            Ok(Some((unsigned(&last, "epoch")?, scores)))
        })
        .await
    }

    /// Draws of an epoch after a number, in order: at most so many, and no more once they have so many candidates.
    pub(crate) async fn draws(&self, epoch: u64, after: u64, most: u32, most_candidates: usize) -> Result<Vec<Draw>, StoreError> {
        self.show(move |connection, runtime| {
            let query = sqlx::query(
                "SELECT rowid, hash, job, slice, units, miner, message, candidates, round FROM assignments
                 WHERE epoch = ? AND rowid > ? AND candidates <> x'' ORDER BY rowid LIMIT ?",
            );
            let mut rows = query.bind(signed(epoch)).bind(signed(after)).bind(most).fetch(connection);
            let (mut draws, mut candidates) = (Vec::new(), 0);
            while let Some(row) = runtime.block_on(rows.try_next())? {
                let draw = Draw {
                    number: unsigned(&row, "rowid")?,
                    assignment: word(&row, "hash")?,
                    job: word(&row, "job")?,
                    slice: small(&row, "slice")?,
                    attempt: attempt(row.try_get("message")?).ok_or_else(|| broken("an assignment's message"))?,
                    units: count(&row, "units")?,
                    miner: address(&row, "miner")?,
                    round: unsigned(&row, "round")?,
                    candidates: addresses(&row, "candidates")?,
                };
                candidates += draw.candidates.len();
                draws.push(draw);
                if candidates >= most_candidates {
                    break;
                }
            }
            Ok(draws)
        })
        .await
    }

    /// Receipts of an epoch in order, its sums of credits and debits by miner, and the scores of the last epoch before it.
    pub(crate) async fn epoch(&self, epoch: u64) -> Result<EpochSums, StoreError> {
        self.read(move |connection, runtime| {
            let mut all = |sql: &'static str| runtime.block_on(sqlx::query(sql).bind(signed(epoch)).fetch_all(&mut *connection));
            let receipts = all("SELECT message FROM receipts WHERE epoch = ? ORDER BY miner, seq")?;
            let sums = all("SELECT miner, sum(credit) AS credit, sum(debit) AS debit FROM receipts WHERE epoch = ? GROUP BY miner")?;
            let scores = all("SELECT miner, score FROM scores WHERE epoch = (SELECT max(epoch) FROM epochs WHERE epoch < ?)")?;
            let beacon = all("SELECT beacon FROM beacons WHERE epoch = ?")?;
            Ok(EpochSums {
                beacon: beacon.first().map(|row| word(row, "beacon")).transpose()?.unwrap_or_default(),
                receipts: receipts.iter().map(|row| row.try_get("message")).collect::<sqlx::Result<_>>()?,
                sums: sums
                    .iter()
                    .map(|row| Ok((address(row, "miner")?, (unsigned(row, "credit")?, unsigned(row, "debit")?))))
                    .collect::<sqlx::Result<_>>()?,
                scores: scores.iter().map(|row| Ok((address(row, "miner")?, unsigned(row, "score")?))).collect::<sqlx::Result<_>>()?,
            })
        })
        .await
    }

    /// Epochs with receipts that are not closed, the oldest first.
    pub(crate) async fn open_epochs(&self) -> Result<Vec<u64>, StoreError> {
        self.read(|connection, runtime| {
            // From epoch to epoch by the index.
            let query = sqlx::query(
                "WITH RECURSIVE e (epoch) AS (SELECT min(epoch) FROM receipts UNION ALL
                 SELECT (SELECT min(epoch) FROM receipts WHERE epoch > e.epoch) FROM e WHERE e.epoch IS NOT NULL)
                 SELECT epoch FROM e WHERE epoch IS NOT NULL AND epoch NOT IN (SELECT epoch FROM epochs) ORDER BY epoch",
            );
            runtime.block_on(query.fetch_all(connection))?.iter().map(|row| unsigned(row, "epoch")).collect()
        })
        .await
    }

    /// Receipts of a miner after a number, the oldest first, at most so many.
    pub(crate) async fn receipts_after(&self, miner: Address, seq: u64, most: u32) -> Result<Vec<Vec<u8>>, StoreError> {
        self.read(move |connection, runtime| {
            let query = sqlx::query("SELECT message FROM receipts WHERE miner = ? AND seq > ? ORDER BY seq LIMIT ?");
            let rows = runtime.block_on(query.bind(miner.to_vec()).bind(signed(seq)).bind(most).fetch_all(connection))?;
            rows.iter().map(|row| row.try_get("message")).collect()
        })
        .await
    }

    /// Receipts of an assignment: of one that was missed and came late, both.
    pub(crate) async fn receipts_of(&self, assignment: B256) -> Result<Vec<Vec<u8>>, StoreError> {
        self.read(move |connection, runtime| {
            let query = sqlx::query("SELECT message FROM receipts WHERE assignment = ? ORDER BY seq").bind(assignment.to_vec());
            let rows = runtime.block_on(query.fetch_all(connection))?;
            rows.iter().map(|row| row.try_get("message")).collect()
        })
        .await
    }
}

async fn connect(
    path: &Path,
    options: &SqliteConnectOptions,
    belongs_to: &[(&'static str, String)],
) -> Result<(SqliteConnection, SqliteConnection, SqliteConnection), StoreError> {
    let io = |reason: String| StoreError::Io { path: path.to_owned(), reason };
    let connect = async || {
        options.connect().await.map_err(|e| {
            tracing::debug!(error = %e, "database");
            io("cannot be opened; it must be a SQLite file that this account may write".to_owned())
        })
    };
    let mut writer = connect().await?;
    match migrator().run(&mut writer).await {
        Ok(()) => {}
        Err(MigrateError::VersionMissing(_) | MigrateError::VersionMismatch(_) | MigrateError::VersionTooNew(..)) => {
            return Err(StoreError::Newer { path: path.to_owned() });
        }
        Err(error) => return Err(io(format!("cannot be prepared: {error}"))),
    }
    for (what, expected) in belongs_to {
        let wrong = |e: sqlx::Error| error(path, &e);
        let insert = sqlx::query("INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT DO NOTHING").bind(*what).bind(expected.clone());
        insert.execute(&mut writer).await.map_err(wrong)?;
        let row = sqlx::query("SELECT value FROM meta WHERE key = ?").bind(*what).fetch_one(&mut writer).await.map_err(wrong)?;
        let found: String = row.try_get(0).map_err(wrong)?;
        if found != *expected {
            return Err(StoreError::Foreign { path: path.to_owned(), what: (*what).to_owned(), found, expected: expected.clone() });
        }
    }
    Ok((writer, connect().await?, connect().await?))
}

/// Until nobody can hand over anything any more. After an error nothing is kept any more, and everybody is told so.
async fn write(
    clock: Clock,
    writer: Arc<Mutex<SqliteConnection>>,
    mut incoming: mpsc::UnboundedReceiver<Batch>,
    path: PathBuf,
    errors: Arc<AtomicU64>,
) {
    let mut together = Vec::new();
    while incoming.recv_many(&mut together, MOST_TOGETHER).await > 0 {
        let batches = std::mem::take(&mut together);
        let path_of = path.clone();
        let kept = on(clock, &writer, move |connection, runtime| {
            let kept = runtime.block_on(apply(connection, &batches)).map_err(|e| error(&path_of, &e));
            (kept, batches)
        });
        let Ok((kept, batches)) = kept.await else { return };
        for batch in batches {
            let _ = batch.done.send(kept.clone());
        }
        if let Err(error) = kept {
            errors.fetch_add(1, Ordering::Relaxed);
            tracing::error!(%error, "the store has stopped");
            return;
        }
    }
}

async fn apply(connection: &mut SqliteConnection, batches: &[Batch]) -> sqlx::Result<()> {
    // Whoever only waits for what was before costs no commit.
    if batches.iter().all(|batch| batch.changes.is_empty()) {
        return Ok(());
    }
    let (mut scripts, mut olds) = (Scripts::default(), Vec::new());
    for batch in batches {
        scripts.is_open = false;
        for change in &batch.changes {
            match change {
                // No transition starts from what has ended, whatever comes first.
                Change::Prune(old) => olds.push(old),
                change => scripts.add(batch.at, change),
            }
        }
    }
    let mut transaction = connection.begin().await?;
    for Script { sql, values, rows, of } in scripts.all {
        let query = sqlx::query_with(sqlx::AssertSqlSafe(sql), values.map_err(sqlx::Error::Encode)?);
        // No statement is about more than one row: each has found its own.
        if query.execute(&mut *transaction).await?.rows_affected() != rows {
            return Err(broken(&format!("a row that one of these starts from ({})", of.join(", "))));
        }
    }
    for old in olds {
        delete(&mut transaction, old).await?;
    }
    transaction.commit().await
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::changes::MOST_IN_SCRIPT;
    use super::*;

    /// All of what belongs together is kept, in order, however much it is; where one part starts from what is not so, nothing is, and the
    /// store stops.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn what_belongs_together_is_kept_together() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.sqlite");
        let id = B256::repeat_byte(1);
        let new = NewJob {
            id,
            kind: JobKind::Request,
            model: B256::ZERO,
            context: B256::ZERO,
            owner: B256::ZERO,
            inputs: vec![7; 32],
            hand_over: None,
            deadline_ms: 9,
            caller: String::new(),
            idempotency: None,
            content: None,
        };
        let event = |k: u16| Change::Event { job: id, kind: "assigned", slice: Some(k) };
        let become_ = |from, to| Change::Job { id, from, to, reason: String::new() };
        let store = Store::open(&path, Vec::new(), Clock::system()).await.unwrap();
        let many = u16::try_from(3 * MOST_IN_SCRIPT).unwrap();
        let mut changes = vec![Change::NewJob(Box::new(new))];
        changes.extend((0..many).map(event));
        changes.push(Change::Executed { id, executed: vec![1], bundle: vec![2], slices: 40 });
        changes.push(become_(JobState::Executed, JobState::Dispatching));
        store.keep(5, changes).await.unwrap();
        let slices = async |store: &Store| store.events_after(id, 0, 1_000).await.unwrap().iter().map(|e| e.slice).collect::<Vec<_>>();
        let expected: Vec<_> = (0..many).map(Some).collect();
        assert_eq!(slices(&store).await, expected);
        assert_eq!(store.slices_of(id).await.unwrap().len(), 40);
        let wrong = vec![event(500), become_(JobState::Executed, JobState::Cancelled), event(501)];
        let error = store.keep(6, wrong).await.unwrap_err().to_string();
        assert!(error.contains("an event, a change of a job, an event") && error.contains("restore a copy"), "{error}");
        assert!(store.keep(7, vec![event(502)]).await.is_err(), "it has stopped");
        assert_eq!(slices(&store).await, expected);
        assert_eq!(store.job(id).await.unwrap().unwrap().state, JobState::Dispatching);
    }
}
