//! Rows of the database as what they are of.

use std::path::Path;

use alloy::primitives::{Address, B256};
use alloy::sol_types::SolValue as _;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::super::states::{AssignmentState, JobState};
use super::{JobKind, NewAssignment, NewJob, StoredAssignment, StoredJob};
use crate::StoreError;
use crate::identity::SIGNATURE;
use crate::messages::Assignment;

pub(super) fn job(row: &SqliteRow) -> sqlx::Result<StoredJob> {
    let (state, kind): (String, String) = (row.try_get("state")?, row.try_get("kind")?);
    let kind = [JobKind::Request, JobKind::Benchmark].into_iter().find(|known| known.as_str() == kind);
    let new = NewJob {
        id: word(row, "id")?,
        kind: kind.ok_or_else(|| broken("a job's kind"))?,
        model: word(row, "model")?,
        context: word(row, "context")?,
        owner: word(row, "owner")?,
        inputs: row.try_get("inputs")?,
        hand_over: row.try_get("hand_over")?,
        deadline_ms: unsigned(row, "deadline")?,
        caller: row.try_get("caller")?,
        idempotency: row.try_get("idempotency")?,
        content: row.try_get::<Option<&[u8]>, _>("content")?.map(|_| word(row, "content")).transpose()?,
    };
    Ok(StoredJob {
        new,
        state: JobState::parse(&state).ok_or_else(|| broken("a job's state"))?,
        reason: row.try_get("reason")?,
        created_ms: unsigned(row, "created")?,
        bundle: row.try_get("bundle")?,
    })
}

pub(super) fn assignment(row: &SqliteRow) -> sqlx::Result<StoredAssignment> {
    let state: String = row.try_get("state")?;
    let new = NewAssignment {
        hash: word(row, "hash")?,
        job: word(row, "job")?,
        slice: small(row, "slice")?,
        units: count(row, "units")?,
        epoch: unsigned(row, "epoch")?,
        miner: address(row, "miner")?,
        message: row.try_get("message")?,
        context: word(row, "context")?,
        candidates: addresses(row, "candidates")?,
        round: unsigned(row, "round")?,
        deadline_ms: unsigned(row, "deadline")?,
    };
    Ok(StoredAssignment {
        new,
        state: AssignmentState::parse(&state).ok_or_else(|| broken("an assignment's state"))?,
        hand_in: row.try_get("hand_in")?,
        ms: row.try_get::<Option<i64>, _>("ms")?.and_then(|ms| u64::try_from(ms).ok()),
    })
}

/// Which attempt a signed assignment is.
pub(super) fn attempt(message: &[u8]) -> Option<u8> {
    let (encoded, _) = message.split_last_chunk::<SIGNATURE>()?;
    Some(Assignment::abi_decode(encoded).ok()?.attempt)
}

pub(super) fn broken(what: &str) -> sqlx::Error {
    sqlx::Error::Protocol(format!("{what} is not as it was written; restore a copy"))
}

pub(super) fn error(path: &Path, error: &sqlx::Error) -> StoreError {
    let reason = match error {
        sqlx::Error::Database(e) if e.message().contains("full") => format!("{e}; free some space and start again, nothing is lost"),
        sqlx::Error::Protocol(reason) => reason.clone(),
        other => other.to_string(),
    };
    StoreError::Io { path: path.to_owned(), reason }
}

pub(in super::super) fn word(row: &SqliteRow, column: &'static str) -> sqlx::Result<B256> {
    let bytes: &[u8] = row.try_get(column)?;
    B256::try_from(bytes).map_err(|_| broken(column))
}

pub(in super::super) fn address(row: &SqliteRow, column: &'static str) -> sqlx::Result<Address> {
    let bytes: &[u8] = row.try_get(column)?;
    Address::try_from(bytes).map_err(|_| broken(column))
}

pub(super) fn addresses(row: &SqliteRow, column: &'static str) -> sqlx::Result<Vec<Address>> {
    let (addresses, rest) = row.try_get::<&[u8], _>(column)?.as_chunks::<20>();
    if rest.is_empty() { Ok(addresses.iter().map(Address::from).collect()) } else { Err(broken(column)) }
}

pub(in super::super) fn unsigned(row: &SqliteRow, column: &'static str) -> sqlx::Result<u64> {
    u64::try_from(row.try_get::<i64, _>(column)?).map_err(|_| broken(column))
}

pub(super) fn count(row: &SqliteRow, column: &'static str) -> sqlx::Result<u32> {
    u32::try_from(row.try_get::<i64, _>(column)?).map_err(|_| broken(column))
}

pub(super) fn small(row: &SqliteRow, column: &'static str) -> sqlx::Result<u16> {
    u16::try_from(row.try_get::<i64, _>(column)?).map_err(|_| broken(column))
}

/// SQLite's integers are signed; what is stored here is far below that limit, and a time that is not never comes.
pub(in super::super) fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
