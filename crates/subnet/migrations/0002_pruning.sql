-- What a validator that runs for months does not keep.

-- Hash of a request's model, caller, context and input: what makes it the same as another, unless its context is 0.
ALTER TABLE jobs ADD COLUMN content BLOB CHECK (content IS NULL OR length(content) = 32);
CREATE INDEX jobs_by_content ON jobs (content, created) WHERE content IS NOT NULL;

-- When an epoch was closed: its receipts are kept for a while after that.
ALTER TABLE epochs ADD COLUMN closed INTEGER NOT NULL DEFAULT 0;
UPDATE epochs SET closed = unixepoch() * 1000;

-- What miners' assignments and receipts came to that are deleted by now.
CREATE TABLE pruned (
    miner BLOB PRIMARY KEY CHECK (length(miner) = 20),
    valid INTEGER NOT NULL DEFAULT 0,
    invalid INTEGER NOT NULL DEFAULT 0,
    missed INTEGER NOT NULL DEFAULT 0,
    declined INTEGER NOT NULL DEFAULT 0,
    units INTEGER NOT NULL DEFAULT 0,
    credit INTEGER NOT NULL DEFAULT 0,
    debit INTEGER NOT NULL DEFAULT 0
) STRICT;
