//! The durable queue: SQLite, in WAL mode, every commit on disk before it returns.

use std::path::{Path, PathBuf};
use std::time::Duration;

use alloy::primitives::{Address, B256, Bytes, U256};
use alloy::sol_types::SolValue;
use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteRow, SqliteSynchronous};
use sqlx::{Row, SqlSafeStr as _, SqlitePool};
use zkslice_chain::bindings::Request;
use zkslice_chain::transaction::SignedTransaction;
use zkslice_formats::FileLock;

use crate::RelayError;
use crate::state::{AttemptState, State};

/// The database's versions, oldest first: a version that was released is never changed.
const MIGRATIONS: [(&str, &str); 1] = [("queue", include_str!("../migrations/0001_queue.sql"))];

fn migrator() -> Migrator {
    let migration = |((name, sql), version): (&(&'static str, &'static str), i64)| {
        Migration::new(version, (*name).into(), MigrationType::Simple, sql.into_sql_str(), false)
    };
    Migrator::with_migrations(MIGRATIONS.iter().zip(1..).map(migration).collect())
}

/// A request as its event gave it.
#[derive(Clone, Debug)]
pub(crate) struct RequestEvent {
    pub(crate) request: Request,
    pub(crate) requester: Address,
    pub(crate) nonce: U256,
    pub(crate) words: Vec<U256>,
}

impl RequestEvent {
    fn encode(&self) -> Vec<u8> {
        (self.request.clone(), self.requester, self.nonce, self.words.clone()).abi_encode_params()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (request, requester, nonce, words) = <(Request, Address, U256, Vec<U256>)>::abi_decode_params(bytes).ok()?;
        Some(Self { request, requester, nonce, words })
    }
}

/// A request read from the chain, to be queued.
#[derive(Clone, Debug)]
pub(crate) struct NewRequest {
    pub(crate) id: B256,
    pub(crate) block: u64,
    pub(crate) log_index: u64,
    pub(crate) event: RequestEvent,
    pub(crate) beneficiary: Address,
}

/// A request in the queue.
#[derive(Clone, Debug)]
pub(crate) struct QueuedRequest {
    pub(crate) id: B256,
    pub(crate) event: RequestEvent,
    pub(crate) beneficiary: Address,
    pub(crate) state: State,
    pub(crate) tries: i64,
    pub(crate) bundle: Option<Vec<u8>>,
}

/// A transaction in the queue that may still land.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    pub(crate) id: i64,
    /// None: a withdrawal.
    pub(crate) request: Option<B256>,
    pub(crate) nonce: u64,
    pub(crate) tx_hash: B256,
    pub(crate) raw: Bytes,
    pub(crate) state: AttemptState,
}

/// A request, as an operator sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestSummary {
    /// Its id.
    pub id: B256,
    /// Where it is.
    pub state: State,
    /// Why it is there, where that is not plain.
    pub reason: String,
    /// Failures so far.
    pub tries: i64,
    /// Transactions written down for it.
    pub attempts: i64,
}

/// A change of a request's state.
#[derive(Clone, Debug)]
pub(crate) struct Change<'a> {
    pub(crate) to: State,
    pub(crate) reason: &'a str,
    /// Whether a failure is to be counted.
    pub(crate) failed: bool,
    /// Unix time in milliseconds.
    pub(crate) next_try: i64,
}

/// The queue; nobody else has it while this lives.
#[derive(Debug)]
pub(crate) struct Store {
    pool: SqlitePool,
    path: PathBuf,
    _lock: FileLock,
}

impl Store {
    /// Opens the queue, made where there is none, and locks it. `belongs_to` is checked, or noted when the queue is new.
    pub(crate) async fn open(path: &Path, belongs_to: &[(&str, String)]) -> Result<Self, RelayError> {
        let io = |reason: String| RelayError::Store { path: path.to_owned(), reason };
        let lock = FileLock::take(path).map_err(|e| io(format!("cannot be locked: {e}; its folder must exist and be writable")))?;
        let lock = lock.ok_or_else(|| RelayError::Locked { path: path.to_owned() })?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .foreign_keys(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(Duration::from_secs(10));
        let open = || io("cannot be opened; it must be a SQLite file that this account may write".to_owned());
        let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await.map_err(|e| {
            tracing::debug!(error = %e, "database");
            open()
        })?;
        match migrator().run(&pool).await {
            Ok(()) => {}
            Err(MigrateError::VersionMissing(_) | MigrateError::VersionMismatch(_) | MigrateError::VersionTooNew(..)) => {
                return Err(RelayError::StoreNewer { path: path.to_owned() });
            }
            Err(error) => return Err(io(format!("cannot be prepared: {error}"))),
        }
        let store = Self { pool, path: path.to_owned(), _lock: lock };
        for (what, expected) in belongs_to {
            store.check_belongs(what, expected).await?;
        }
        Ok(store)
    }

    async fn check_belongs(&self, what: &str, expected: &str) -> Result<(), RelayError> {
        sqlx::query("INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT DO NOTHING")
            .bind(what.to_owned())
            .bind(expected.to_owned())
            .execute(&self.pool)
            .await
            .map_err(|e| self.error(&e))?;
        let row = sqlx::query("SELECT value FROM meta WHERE key = ?")
            .bind(what.to_owned())
            .fetch_one(&self.pool)
            .await
            .map_err(|e| self.error(&e))?;
        let found: String = row.try_get(0).map_err(|e| self.error(&e))?;
        if found == expected {
            return Ok(());
        }
        Err(RelayError::StoreForeign { path: self.path.clone(), what: what.to_owned(), found, expected: expected.to_owned() })
    }

    pub(crate) async fn close(&self) {
        self.pool.close().await;
    }

    fn error(&self, error: &sqlx::Error) -> RelayError {
        let reason = match error {
            sqlx::Error::Database(e) if e.message().contains("full") => format!("{e}; free some space and start again, nothing is lost"),
            other => other.to_string(),
        };
        RelayError::Store { path: self.path.clone(), reason }
    }

    fn broken(&self, what: &str) -> RelayError {
        RelayError::Store { path: self.path.clone(), reason: format!("{what} is not as it was written; restore a copy") }
    }

    // ---------------------------------------------------------------------------------------------- reading the chain

    pub(crate) async fn next_block(&self) -> Result<Option<u64>, RelayError> {
        let row = sqlx::query("SELECT next_block FROM cursor").fetch_optional(&self.pool).await.map_err(|e| self.error(&e))?;
        row.map(|row| self.unsigned(&row, "next_block")).transpose()
    }

    /// Queues requests and moves the cursor, both or neither. Requests that are queued already stay as they are. Returns the new ones.
    pub(crate) async fn record(&self, requests: &[NewRequest], next_block: u64) -> Result<Vec<B256>, RelayError> {
        let mut new = Vec::new();
        let mut transaction = self.pool.begin().await.map_err(|e| self.error(&e))?;
        for request in requests {
            let done = sqlx::query(
                "INSERT INTO requests (id, block, log_index, event, beneficiary, state) VALUES (?, ?, ?, ?, ?, 'seen')
                 ON CONFLICT DO NOTHING",
            )
            .bind(request.id.to_vec())
            .bind(signed(request.block))
            .bind(signed(request.log_index))
            .bind(request.event.encode())
            .bind(request.beneficiary.to_vec())
            .execute(&mut *transaction)
            .await
            .map_err(|e| self.error(&e))?;
            if done.rows_affected() == 1 {
                new.push(request.id);
            }
        }
        sqlx::query("INSERT INTO cursor (id, next_block) VALUES (0, ?) ON CONFLICT DO UPDATE SET next_block = excluded.next_block")
            .bind(signed(next_block))
            .execute(&mut *transaction)
            .await
            .map_err(|e| self.error(&e))?;
        transaction.commit().await.map_err(|e| self.error(&e))?;
        Ok(new)
    }

    // ---------------------------------------------------------------------------------------------- requests

    /// Forgets pauses, and looks again at what was skipped: configuration or packages may have changed.
    pub(crate) async fn reconsider(&self) -> Result<(), RelayError> {
        sqlx::query("UPDATE requests SET next_try = 0 WHERE state IN ('seen', 'proved')")
            .execute(&self.pool)
            .await
            .map_err(|e| self.error(&e))?;
        sqlx::query("UPDATE requests SET next_try = 0, reason = '', state = iif(bundle IS NULL, 'seen', 'proved') WHERE state = 'skipped'")
            .execute(&self.pool)
            .await
            .map_err(|e| self.error(&e))?;
        Ok(())
    }

    /// The oldest request on which there is something to do now; those proved first, since they are nearer to their fee.
    pub(crate) async fn due(&self, now: i64) -> Result<Option<QueuedRequest>, RelayError> {
        let row = sqlx::query(
            "SELECT id, event, beneficiary, state, tries, bundle FROM requests
             WHERE state IN ('seen', 'proved') AND next_try <= ? ORDER BY state = 'seen', block, log_index LIMIT 1",
        )
        .bind(now)
        .fetch_optional(&self.pool)
        .await
        .map_err(|e| self.error(&e))?;
        row.map(|row| self.queued(&row)).transpose()
    }

    pub(crate) async fn request(&self, id: B256) -> Result<Option<QueuedRequest>, RelayError> {
        let row = sqlx::query("SELECT id, event, beneficiary, state, tries, bundle FROM requests WHERE id = ?")
            .bind(id.to_vec())
            .fetch_optional(&self.pool)
            .await
            .map_err(|e| self.error(&e))?;
        row.map(|row| self.queued(&row)).transpose()
    }

    pub(crate) async fn summaries(&self) -> Result<Vec<RequestSummary>, RelayError> {
        let rows = sqlx::query(
            "SELECT id, state, reason, tries, (SELECT count(*) FROM attempts WHERE request = requests.id) AS attempts
             FROM requests ORDER BY block, log_index",
        )
        .fetch_all(&self.pool)
        .await
        .map_err(|e| self.error(&e))?;
        rows.iter()
            .map(|row| {
                Ok(RequestSummary {
                    id: self.word(row, "id")?,
                    state: self.state(row)?,
                    reason: row.try_get("reason").map_err(|e| self.error(&e))?,
                    tries: row.try_get("tries").map_err(|e| self.error(&e))?,
                    attempts: row.try_get("attempts").map_err(|e| self.error(&e))?,
                })
            })
            .collect()
    }

    /// Keeps a bundle: the request is proved.
    pub(crate) async fn keep_bundle(&self, id: B256, bundle: &[u8]) -> Result<(), RelayError> {
        let done = sqlx::query(
            "UPDATE requests SET state = 'proved', bundle = ?, reason = '', tries = 0, next_try = 0 WHERE id = ? AND state = 'seen'",
        )
        .bind(bundle.to_vec())
        .bind(id.to_vec())
        .execute(&self.pool)
        .await
        .map_err(|e| self.error(&e))?;
        self.changed_one(done.rows_affected(), id)
    }

    /// Moves a request on.
    pub(crate) async fn change(&self, id: B256, from: State, change: &Change<'_>) -> Result<(), RelayError> {
        let mut transaction = self.pool.begin().await.map_err(|e| self.error(&e))?;
        self.change_in(&mut transaction, id, from, change).await?;
        transaction.commit().await.map_err(|e| self.error(&e))
    }

    async fn change_in(
        &self,
        connection: &mut sqlx::SqliteConnection,
        id: B256,
        from: State,
        change: &Change<'_>,
    ) -> Result<(), RelayError> {
        if !from.can_become(change.to) {
            return Err(RelayError::Transition { id, from, to: change.to });
        }
        let done = sqlx::query("UPDATE requests SET state = ?, reason = ?, tries = tries + ?, next_try = ? WHERE id = ? AND state = ?")
            .bind(change.to.as_str())
            .bind(change.reason.to_owned())
            .bind(i64::from(change.failed))
            .bind(change.next_try)
            .bind(id.to_vec())
            .bind(from.as_str())
            .execute(connection)
            .await
            .map_err(|e| self.error(&e))?;
        self.changed_one(done.rows_affected(), id)
    }

    fn changed_one(&self, rows: u64, id: B256) -> Result<(), RelayError> {
        if rows == 1 { Ok(()) } else { Err(self.broken(&format!("the state of request {id}"))) }
    }

    // ---------------------------------------------------------------------------------------------- attempts

    /// Writes a signed transaction down, its request as submitted, and the most it can cost as spent: all before it is sent.
    pub(crate) async fn prepare(&self, request: Option<B256>, signed_tx: &SignedTransaction, now: i64, day: u64) -> Result<(), RelayError> {
        let mut transaction = self.pool.begin().await.map_err(|e| self.error(&e))?;
        let done = sqlx::query(
            "INSERT INTO attempts (request, nonce, tx_hash, raw, gas_limit, max_fee_per_gas, state, created_at)
             VALUES (?, ?, ?, ?, ?, ?, 'live', ?)",
        )
        .bind(request.map(|id| id.to_vec()))
        .bind(signed(signed_tx.nonce))
        .bind(signed_tx.hash.to_vec())
        .bind(signed_tx.raw.to_vec())
        .bind(signed(signed_tx.gas_limit))
        .bind(signed_tx.fees.max_fee.to_string())
        .bind(now)
        .execute(&mut *transaction)
        .await
        .map_err(|e| self.error(&e))?;
        sqlx::query("INSERT INTO spending (attempt, day, wei, settled) VALUES (?, ?, ?, 0)")
            .bind(done.last_insert_rowid())
            .bind(signed(day))
            .bind(signed_tx.max_cost.to_string())
            .execute(&mut *transaction)
            .await
            .map_err(|e| self.error(&e))?;
        if let Some(id) = request {
            let change = Change { to: State::Submitted, reason: "", failed: false, next_try: 0 };
            self.change_in(&mut transaction, id, State::Proved, &change).await?;
        }
        transaction.commit().await.map_err(|e| self.error(&e))
    }

    /// Transactions that may still land, by nonce.
    pub(crate) async fn open_attempts(&self) -> Result<Vec<Attempt>, RelayError> {
        let rows = sqlx::query(
            "SELECT id, request, nonce, tx_hash, raw, state FROM attempts WHERE state IN ('live', 'abandoned') ORDER BY nonce, id",
        )
        .fetch_all(&self.pool)
        .await
        .map_err(|e| self.error(&e))?;
        rows.iter()
            .map(|row| {
                let request: Option<Vec<u8>> = row.try_get("request").map_err(|e| self.error(&e))?;
                let request =
                    request.map(|bytes| B256::try_from(bytes.as_slice()).map_err(|_| self.broken("an attempt's request"))).transpose()?;
                let raw: Vec<u8> = row.try_get("raw").map_err(|e| self.error(&e))?;
                let state: String = row.try_get("state").map_err(|e| self.error(&e))?;
                Ok(Attempt {
                    id: row.try_get("id").map_err(|e| self.error(&e))?,
                    request,
                    nonce: self.unsigned(row, "nonce")?,
                    tx_hash: self.word(row, "tx_hash")?,
                    raw: raw.into(),
                    state: AttemptState::parse(&state).ok_or_else(|| self.broken("an attempt's state"))?,
                })
            })
            .collect()
    }

    /// The nonce after the highest one of ours that was mined; 0 where there is none.
    pub(crate) async fn nonce_after_mined(&self) -> Result<u64, RelayError> {
        let row = sqlx::query("SELECT coalesce(max(nonce) + 1, 0) AS nonce FROM attempts WHERE state IN ('succeeded', 'reverted')")
            .fetch_one(&self.pool)
            .await
            .map_err(|e| self.error(&e))?;
        self.unsigned(&row, "nonce")
    }

    /// How often a transaction for a request was mined and reverted.
    pub(crate) async fn failures_on_chain(&self, id: B256) -> Result<i64, RelayError> {
        let row = sqlx::query("SELECT count(*) AS failures FROM attempts WHERE request = ? AND state = 'reverted'")
            .bind(id.to_vec())
            .fetch_one(&self.pool)
            .await
            .map_err(|e| self.error(&e))?;
        row.try_get("failures").map_err(|e| self.error(&e))
    }

    /// Records what became of a transaction, what it cost (where that is known), and what follows for its request.
    pub(crate) async fn settle(
        &self,
        attempt: &Attempt,
        outcome: AttemptState,
        cost: Option<U256>,
        change: Option<(State, Change<'_>)>,
    ) -> Result<(), RelayError> {
        let mut transaction = self.pool.begin().await.map_err(|e| self.error(&e))?;
        sqlx::query("UPDATE attempts SET state = ? WHERE id = ?")
            .bind(outcome.as_str())
            .bind(attempt.id)
            .execute(&mut *transaction)
            .await
            .map_err(|e| self.error(&e))?;
        if let Some(cost) = cost {
            sqlx::query("UPDATE spending SET wei = ?, settled = 1 WHERE attempt = ?")
                .bind(cost.to_string())
                .bind(attempt.id)
                .execute(&mut *transaction)
                .await
                .map_err(|e| self.error(&e))?;
        }
        if let (Some(id), Some((from, change))) = (attempt.request, change) {
            self.change_in(&mut transaction, id, from, &change).await?;
        }
        transaction.commit().await.map_err(|e| self.error(&e))
    }

    /// What was spent on a day, in wei: the most that it can cost for what is out.
    pub(crate) async fn spent(&self, day: u64) -> Result<U256, RelayError> {
        let rows = sqlx::query("SELECT wei FROM spending WHERE day = ?")
            .bind(signed(day))
            .fetch_all(&self.pool)
            .await
            .map_err(|e| self.error(&e))?;
        let mut total = U256::ZERO;
        for row in &rows {
            let text: String = row.try_get("wei").map_err(|e| self.error(&e))?;
            let wei: U256 = text.parse().map_err(|_| self.broken("an amount"))?;
            total = total.saturating_add(wei);
        }
        Ok(total)
    }

    // ---------------------------------------------------------------------------------------------- rows

    fn queued(&self, row: &SqliteRow) -> Result<QueuedRequest, RelayError> {
        let event: Vec<u8> = row.try_get("event").map_err(|e| self.error(&e))?;
        let beneficiary: Vec<u8> = row.try_get("beneficiary").map_err(|e| self.error(&e))?;
        Ok(QueuedRequest {
            id: self.word(row, "id")?,
            event: RequestEvent::decode(&event).ok_or_else(|| self.broken("a request's event"))?,
            beneficiary: Address::try_from(beneficiary.as_slice()).map_err(|_| self.broken("a beneficiary"))?,
            state: self.state(row)?,
            tries: row.try_get("tries").map_err(|e| self.error(&e))?,
            bundle: row.try_get("bundle").map_err(|e| self.error(&e))?,
        })
    }

    fn state(&self, row: &SqliteRow) -> Result<State, RelayError> {
        let state: String = row.try_get("state").map_err(|e| self.error(&e))?;
        State::parse(&state).ok_or_else(|| self.broken("a request's state"))
    }

    fn word(&self, row: &SqliteRow, column: &'static str) -> Result<B256, RelayError> {
        let bytes: Vec<u8> = row.try_get(column).map_err(|e| self.error(&e))?;
        B256::try_from(bytes.as_slice()).map_err(|_| self.broken(column))
    }

    fn unsigned(&self, row: &SqliteRow, column: &'static str) -> Result<u64, RelayError> {
        let value: i64 = row.try_get(column).map_err(|e| self.error(&e))?;
        u64::try_from(value).map_err(|_| self.broken(column))
    }
}

/// SQLite's integers are signed; block numbers, nonces, gas and days are far below that limit.
fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
