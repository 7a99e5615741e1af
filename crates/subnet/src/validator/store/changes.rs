//! What changes, and how it is written: what belongs together as one script.

use alloy::primitives::{Address, B256};
use sqlx::error::BoxDynError;
use sqlx::sqlite::SqliteArguments;
use sqlx::{Arguments as _, Sqlite};

use super::super::pruning::Old;
use super::super::states::{AssignmentState, JobState, SliceState};
use super::rows::signed;

/// Statements of a script.
pub(super) const MOST_IN_SCRIPT: u64 = 32;

/// Why a job is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum JobKind {
    /// Somebody wants the bundle.
    Request,
    /// Miners show what they can.
    Benchmark,
}

impl JobKind {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Benchmark => "benchmark",
        }
    }
}

/// A job as it was received.
#[derive(Clone, Debug)]
pub(crate) struct NewJob {
    pub(crate) id: B256,
    pub(crate) kind: JobKind,
    pub(crate) model: B256,
    pub(crate) context: B256,
    pub(crate) owner: B256,
    pub(crate) inputs: Vec<u8>,
    pub(crate) hand_over: Option<Vec<u8>>,
    pub(crate) deadline_ms: u64,
    pub(crate) caller: String,
    pub(crate) idempotency: Option<String>,
    /// What makes the same request the same job; none where each is one of its own.
    pub(crate) content: Option<B256>,
}

/// An assignment as it is signed.
#[derive(Clone, Debug)]
pub(crate) struct NewAssignment {
    pub(crate) hash: B256,
    pub(crate) job: B256,
    pub(crate) slice: u16,
    pub(crate) units: u32,
    pub(crate) epoch: u64,
    pub(crate) miner: Address,
    pub(crate) message: Vec<u8>,
    pub(crate) context: B256,
    pub(crate) candidates: Vec<Address>,
    pub(crate) round: u64,
    pub(crate) deadline_ms: u64,
}

/// A change of what is kept. Each names the state that it starts from, which has to be that of the store.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    NewJob(Box<NewJob>),
    Job { id: B256, from: JobState, to: JobState, reason: String },
    Executed { id: B256, executed: Vec<u8>, bundle: Vec<u8>, slices: u16 },
    Bundle { id: B256, bundle: Vec<u8> },
    Slice { job: B256, slice: u16, from: SliceState, to: SliceState, proof: Option<Vec<u8>> },
    NewAssignment(Box<NewAssignment>),
    Assignment { hash: B256, from: AssignmentState, to: AssignmentState, reason: String },
    Accepted { hash: B256, acceptance: Vec<u8> },
    HandedIn { hash: B256, from: AssignmentState, hand_in: Vec<u8>, ms: u64 },
    Receipt { miner: Address, seq: u64, assignment: B256, epoch: u64, credit: u32, debit: u32, message: Vec<u8> },
    Miner { address: Address, valid: u32, invalid: u32, quarantined_until: u64 },
    Beacon { epoch: u64, beacon: B256 },
    Epoch { epoch: u64, root: Vec<u8>, scores: Vec<(Address, u64)> },
    Event { job: B256, kind: &'static str, slice: Option<u16> },
    Prune(Old),
}

impl Change {
    /// For errors.
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::NewJob(_) => "a new job",
            Self::Job { .. } | Self::Executed { .. } | Self::Bundle { .. } => "a change of a job",
            Self::Slice { .. } => "a change of a slice",
            Self::NewAssignment(_) => "a new assignment",
            Self::Assignment { .. } | Self::Accepted { .. } | Self::HandedIn { .. } => "a change of an assignment",
            Self::Receipt { .. } => "a receipt",
            Self::Miner { .. } => "a miner's standing",
            Self::Beacon { .. } | Self::Epoch { .. } => "an epoch",
            Self::Event { .. } => "an event",
            Self::Prune(_) => "what is old",
        }
    }
}

/// Statements that run in one go: SQLite has a thread of its own, and to go there and back takes longer than most of them.
pub(super) struct Script {
    pub(super) sql: String,
    pub(super) values: Result<SqliteArguments, BoxDynError>,
    /// Rows that are as the changes have it then.
    pub(super) rows: u64,
    pub(super) of: Vec<&'static str>,
}

/// Changes as statements, in order. What belongs to one assignment or job is a script of its own: so there are few kinds of them, and each
/// is prepared once.
#[derive(Default)]
pub(super) struct Scripts {
    pub(super) all: Vec<Script>,
    /// Whether the last one takes more.
    pub(super) is_open: bool,
}

impl Scripts {
    /// A statement that changes one row.
    fn query(&mut self, sql: &str) -> &mut Self {
        match self.all.last_mut().filter(|script| self.is_open && script.rows < MOST_IN_SCRIPT) {
            Some(script) => {
                script.sql.push(';');
                script.sql.push_str(sql);
                script.rows += 1;
            }
            None => self.all.push(Script { sql: sql.to_owned(), values: Ok(SqliteArguments::default()), rows: 1, of: Vec::new() }),
        }
        self.is_open = true;
        self
    }

    /// The statement's next value.
    fn bind<'a, T: sqlx::Encode<'a, Sqlite> + sqlx::Type<Sqlite>>(&mut self, value: T) -> &mut Self {
        if let Some(script) = self.all.last_mut()
            && let Ok(values) = &mut script.values
            && let Err(error) = values.add(value)
        {
            script.values = Err(error);
        }
        self
    }

    pub(super) fn add(&mut self, at: u64, change: &Change) {
        if matches!(change, Change::NewJob(_) | Change::NewAssignment(_) | Change::Epoch { .. }) {
            self.is_open = false;
        }
        let query = match change {
            Change::NewJob(new) => self
                .query(
                    "INSERT INTO jobs (id, kind, model, context, owner, inputs, hand_over, state, created, deadline, changed, caller, idempotency, content)
             VALUES (?, ?, ?, ?, ?, ?, ?, 'received', ?, ?, ?, ?, ?, ?)",
                )
                .bind(new.id.to_vec())
                .bind(new.kind.as_str())
                .bind(new.model.to_vec())
                .bind(new.context.to_vec())
                .bind(new.owner.to_vec())
                .bind(&new.inputs)
                .bind(new.hand_over.as_ref())
                .bind(signed(at))
                .bind(signed(new.deadline_ms))
                .bind(signed(at))
                .bind(&new.caller)
                .bind(new.idempotency.as_ref())
                .bind(new.content.map(|content| content.to_vec())),
            Change::Job { id, from, to, reason } => {
                // Nobody needs the inputs and salts of what is over, or complete; they may be private.
                let gone = if to.is_open() { "" } else { "inputs = x'', executed = NULL, " };
                let sql = format!("UPDATE jobs SET {gone}state = ?, reason = ?, changed = ? WHERE id = ? AND state = ?");
                self.query(&sql).bind(to.as_str()).bind(reason).bind(signed(at)).bind(id.to_vec()).bind(from.as_str())
            }
            Change::Executed { id, executed, bundle, slices } => {
                for slice in 0..*slices {
                    let insert = self.query("INSERT INTO slices (job, slice, state) VALUES (?, ?, 'pending')");
                    insert.bind(id.to_vec()).bind(i64::from(slice));
                }
                self.query("UPDATE jobs SET state = 'executed', inputs = x'', executed = ?, bundle = ?, changed = ? WHERE id = ? AND state = 'received'")
                    .bind(executed)
                    .bind(bundle)
                    .bind(signed(at))
                    .bind(id.to_vec())
            }
            Change::Bundle { id, bundle } => self.query("UPDATE jobs SET bundle = ? WHERE id = ?").bind(bundle).bind(id.to_vec()),
            Change::Slice { job, slice, from, to, proof } => self
                .query("UPDATE slices SET state = ?, proof = ? WHERE job = ? AND slice = ? AND state = ?")
                .bind(to.as_str())
                .bind(proof.as_ref())
                .bind(job.to_vec())
                .bind(i64::from(*slice))
                .bind(from.as_str()),
            Change::NewAssignment(new) => self
                .query(
                    "INSERT INTO assignments (hash, job, slice, units, epoch, miner, message, context, candidates, round, state, deadline)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'offered', ?)",
                )
                .bind(new.hash.to_vec())
                .bind(new.job.to_vec())
                .bind(i64::from(new.slice))
                .bind(i64::from(new.units))
                .bind(signed(new.epoch))
                .bind(new.miner.to_vec())
                .bind(&new.message)
                .bind(new.context.to_vec())
                .bind(new.candidates.concat())
                .bind(signed(new.round))
                .bind(signed(new.deadline_ms)),
            Change::Assignment { hash, from, to, reason } => self
                .query("UPDATE assignments SET state = ?, reason = ? WHERE hash = ? AND state = ?")
                .bind(to.as_str())
                .bind(reason)
                .bind(hash.to_vec())
                .bind(from.as_str()),
            Change::Accepted { hash, acceptance } => self
                .query("UPDATE assignments SET state = 'accepted', acceptance = ? WHERE hash = ? AND state = 'offered'")
                .bind(acceptance)
                .bind(hash.to_vec()),
            Change::HandedIn { hash, from, hand_in, ms } => self
                .query("UPDATE assignments SET state = 'handed in', hand_in = ?, ms = ? WHERE hash = ? AND state = ?")
                .bind(hand_in)
                .bind(signed(*ms))
                .bind(hash.to_vec())
                .bind(from.as_str()),
            Change::Receipt { miner, seq, assignment, epoch, credit, debit, message } => self
                .query("INSERT INTO receipts (miner, seq, assignment, epoch, credit, debit, message) VALUES (?, ?, ?, ?, ?, ?, ?)")
                .bind(miner.to_vec())
                .bind(signed(*seq))
                .bind(assignment.to_vec())
                .bind(signed(*epoch))
                .bind(i64::from(*credit))
                .bind(i64::from(*debit))
                .bind(message),
            Change::Miner { address, valid, invalid, quarantined_until } => self
                .query(
                    "INSERT INTO miners (address, valid, invalid, quarantined_until) VALUES (?, ?, ?, ?) ON CONFLICT (address) DO UPDATE
             SET valid = excluded.valid, invalid = excluded.invalid, quarantined_until = excluded.quarantined_until",
                )
                .bind(address.to_vec())
                .bind(i64::from(*valid))
                .bind(i64::from(*invalid))
                .bind(signed(*quarantined_until)),
            Change::Beacon { epoch, beacon } => self
                .query("INSERT INTO beacons (epoch, beacon) VALUES (?, ?) ON CONFLICT (epoch) DO UPDATE SET beacon = excluded.beacon")
                .bind(signed(*epoch))
                .bind(beacon.to_vec()),
            Change::Epoch { epoch, root, scores } => {
                self.query("INSERT INTO epochs (epoch, root, closed) VALUES (?, ?, ?)").bind(signed(*epoch)).bind(root).bind(signed(at));
                for (miner, score) in scores {
                    let insert = self.query("INSERT INTO scores (epoch, miner, score) VALUES (?, ?, ?)");
                    insert.bind(signed(*epoch)).bind(miner.to_vec()).bind(signed(*score));
                }
                self
            }
            Change::Event { job, kind, slice } => self
                .query("INSERT INTO events (job, at, kind, slice) VALUES (?, ?, ?, ?)")
                .bind(job.to_vec())
                .bind(signed(at))
                .bind(*kind)
                .bind(slice.map(i64::from)),
            Change::Prune(_) => return,
        };
        if let Some(script) = query.all.last_mut() {
            script.of.push(change.name());
        }
    }
}
