-- The relayer's queue. Words, addresses and hashes are blobs; amounts of wei are decimal text, since they exceed 64 bits.

-- What this database belongs to: chain id, genesis block, oracle, sender.
CREATE TABLE meta (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;

-- The first block whose logs were not read yet.
CREATE TABLE cursor (
    id INTEGER PRIMARY KEY CHECK (id = 0),
    next_block INTEGER NOT NULL
) STRICT;

CREATE TABLE requests (
    id BLOB PRIMARY KEY CHECK (length(id) = 32),
    block INTEGER NOT NULL,
    log_index INTEGER NOT NULL,
    -- abi.encode(request, requester, nonce, words), as in the event
    event BLOB NOT NULL,
    beneficiary BLOB NOT NULL CHECK (length(beneficiary) = 20),
    state TEXT NOT NULL CHECK (state IN ('seen', 'proved', 'submitted', 'done', 'skipped', 'dropped', 'dead')),
    reason TEXT NOT NULL DEFAULT '',
    -- failures so far, and when to go on (Unix time in milliseconds)
    tries INTEGER NOT NULL DEFAULT 0,
    next_try INTEGER NOT NULL DEFAULT 0,
    -- canonical JSON; kept until the end, since proving is the expensive part
    bundle BLOB
) STRICT;
CREATE INDEX requests_by_state ON requests (state, next_try, block, log_index);

-- One signed transaction each, written before it is sent.
CREATE TABLE attempts (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    -- none: a withdrawal of credits
    request BLOB REFERENCES requests (id),
    nonce INTEGER NOT NULL,
    tx_hash BLOB NOT NULL UNIQUE,
    raw BLOB NOT NULL,
    gas_limit INTEGER NOT NULL,
    max_fee_per_gas TEXT NOT NULL,
    -- live: may land, and is sent again until it does; abandoned: may land, not sent again; the others are final
    state TEXT NOT NULL CHECK (state IN ('live', 'abandoned', 'succeeded', 'reverted', 'lost')),
    created_at INTEGER NOT NULL
) STRICT;
-- Never a second transaction for a request, or with a nonce, while the first may still land.
CREATE UNIQUE INDEX one_live_attempt_a_request ON attempts (coalesce(request, x'')) WHERE state = 'live';
CREATE UNIQUE INDEX one_live_attempt_a_nonce ON attempts (nonce) WHERE state = 'live';

-- What each attempt costs: at most, until it is final; then, what it did.
CREATE TABLE spending (
    attempt INTEGER PRIMARY KEY REFERENCES attempts (id),
    day INTEGER NOT NULL,
    wei TEXT NOT NULL,
    settled INTEGER NOT NULL CHECK (settled IN (0, 1))
) STRICT;
CREATE INDEX spending_by_day ON spending (day);
