-- A validator's jobs, and everything that it has signed. Words, addresses and hashes are blobs; times are Unix time in milliseconds.

-- What this database belongs to: chain id, registry, validator.
CREATE TABLE meta (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;

CREATE TABLE jobs (
    id BLOB PRIMARY KEY CHECK (length(id) = 32),
    kind TEXT NOT NULL CHECK (kind IN ('request', 'benchmark')),
    model BLOB NOT NULL CHECK (length(model) = 32),
    context BLOB NOT NULL CHECK (length(context) = 32),
    owner BLOB NOT NULL CHECK (length(owner) = 32),
    -- packed words of the inputs, one tensor after the other, each private one's salt behind it; empty once they are executed
    inputs BLOB NOT NULL,
    -- what the owner of private inputs has signed, r, s and v behind it
    hand_over BLOB,
    state TEXT NOT NULL CHECK (state IN
        ('received', 'refused', 'executed', 'dispatching', 'complete', 'delivered', 'settled', 'cancelled', 'failed')),
    reason TEXT NOT NULL DEFAULT '',
    created INTEGER NOT NULL,
    deadline INTEGER NOT NULL,
    changed INTEGER NOT NULL,
    -- who asked, and by which key: the same one again is the same job
    caller TEXT NOT NULL DEFAULT '',
    idempotency TEXT,
    -- packed words and salts of all tensors; gone when nobody can need them any more
    executed BLOB,
    -- canonical JSON; without proofs until all slices are proven
    bundle BLOB
) STRICT;
CREATE INDEX jobs_by_state ON jobs (state, changed);
CREATE UNIQUE INDEX one_job_per_key ON jobs (caller, idempotency) WHERE idempotency IS NOT NULL;

CREATE TABLE slices (
    job BLOB NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    slice INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('pending', 'assigned', 'checking', 'proven')),
    proof BLOB,
    PRIMARY KEY (job, slice)
) STRICT, WITHOUT ROWID;

CREATE TABLE assignments (
    -- EIP-712 hash
    hash BLOB PRIMARY KEY CHECK (length(hash) = 32),
    job BLOB NOT NULL,
    slice INTEGER NOT NULL,
    units INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    miner BLOB NOT NULL CHECK (length(miner) = 20),
    -- ABI encoding and signature
    message BLOB NOT NULL,
    -- what its proof is bound to
    context BLOB NOT NULL CHECK (length(context) = 32),
    -- whom it was drawn from, 20 bytes each
    candidates BLOB NOT NULL,
    -- rounds that each of them had got in the epoch
    round INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN
        ('offered', 'accepted', 'handed in', 'declined', 'missed', 'cancelled', 'valid', 'invalid', 'late', 'superseded')),
    reason TEXT NOT NULL DEFAULT '',
    acceptance BLOB,
    hand_in BLOB,
    -- from assignment to hand-in
    ms INTEGER,
    deadline INTEGER NOT NULL
) STRICT;
CREATE INDEX assignments_by_slice ON assignments (job, slice);
CREATE INDEX draws_by_epoch ON assignments (epoch) WHERE candidates <> x'';
CREATE INDEX assignments_by_miner ON assignments (miner, deadline);
CREATE INDEX open_assignments ON assignments (state) WHERE state IN ('offered', 'accepted', 'handed in');
-- A slice pays once.
CREATE UNIQUE INDEX one_valid_assignment_per_slice ON assignments (job, slice) WHERE state = 'valid';

CREATE TABLE receipts (
    miner BLOB NOT NULL CHECK (length(miner) = 20),
    seq INTEGER NOT NULL,
    assignment BLOB NOT NULL,
    epoch INTEGER NOT NULL,
    credit INTEGER NOT NULL,
    debit INTEGER NOT NULL,
    -- ABI encoding and signature
    message BLOB NOT NULL,
    PRIMARY KEY (miner, seq)
) STRICT, WITHOUT ROWID;
CREATE INDEX receipts_by_assignment ON receipts (assignment);
CREATE INDEX receipts_by_epoch ON receipts (epoch);

-- Where miners stand: valid slices, invalid proofs that still count, and until when they are kept out.
CREATE TABLE miners (
    address BLOB PRIMARY KEY CHECK (length(address) = 20),
    valid INTEGER NOT NULL,
    invalid INTEGER NOT NULL,
    quarantined_until INTEGER NOT NULL
) STRICT;

-- What the draws of epochs are seeded with.
CREATE TABLE beacons (
    epoch INTEGER PRIMARY KEY,
    beacon BLOB NOT NULL CHECK (length(beacon) = 32)
) STRICT;

-- Epochs that are closed: ABI encoding and signature of each root, and what miners' scores were then.
CREATE TABLE epochs (
    epoch INTEGER PRIMARY KEY,
    root BLOB NOT NULL
) STRICT;

CREATE TABLE scores (
    epoch INTEGER NOT NULL REFERENCES epochs (epoch),
    miner BLOB NOT NULL CHECK (length(miner) = 20),
    score INTEGER NOT NULL,
    PRIMARY KEY (epoch, miner)
) STRICT, WITHOUT ROWID;

-- What happened to jobs, for those who watch.
CREATE TABLE events (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    job BLOB NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    at INTEGER NOT NULL,
    kind TEXT NOT NULL,
    slice INTEGER
) STRICT;
CREATE INDEX events_by_job ON events (job, id);
