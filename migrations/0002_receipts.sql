-- One row per file that has fully arrived (the Receive table).
CREATE TABLE receipts (
    id               TEXT PRIMARY KEY,
    connector        TEXT NOT NULL,     -- the connector's id as written then
    connector_key    TEXT NOT NULL,     -- in lower case
    name             TEXT NOT NULL,     -- the client's name for the file
    client_path      TEXT NOT NULL,     -- as the partner sees it: /Receive/a
    stored_path      TEXT NOT NULL,     -- where it lies: differs when the scheme or 'keep both' renamed it
    size_bytes       INTEGER NOT NULL CHECK (size_bytes >= 0),
    sha256           TEXT NOT NULL,
    headers          TEXT NOT NULL,     -- JSON object, for reading only
    begun_at_us      INTEGER NOT NULL,
    completed_at_us  INTEGER NOT NULL,
    remote_address   TEXT NOT NULL,
    tls              TEXT NOT NULL,     -- 'TLS 1.3 …'; empty in clear
    session_id       TEXT NOT NULL,
    ending           TEXT NOT NULL,
    resumed_from     INTEGER NOT NULL CHECK (resumed_from >= 0),
    ascii            INTEGER NOT NULL CHECK (ascii IN (0, 1)),
    proof            TEXT NOT NULL CHECK (proof IN ('A', 'B', 'C', 'D')),
    duplicate_of     TEXT,
    status           TEXT NOT NULL,
    -- The mark: committed, not yet known to lie under its final name. Recovery at start finishes such rows.
    publishing       INTEGER NOT NULL CHECK (publishing IN (0, 1)),
    inode            INTEGER NOT NULL,
    staged_name      TEXT NOT NULL
) STRICT;
CREATE INDEX receipts_newest ON receipts (completed_at_us, id);
CREATE INDEX receipts_of_connector ON receipts (connector_key, completed_at_us, id);
CREATE INDEX receipts_by_path ON receipts (connector_key, client_path, completed_at_us);
CREATE INDEX receipts_by_stored_path ON receipts (connector_key, stored_path, status);
CREATE INDEX receipts_publishing ON receipts (id) WHERE publishing = 1;

-- What happened; also the outbox of what events set off.
CREATE TABLE events (
    id          TEXT PRIMARY KEY,
    kind        TEXT NOT NULL,
    at_us       INTEGER NOT NULL,
    connector   TEXT NOT NULL,   -- empty when it concerns none
    session_id  TEXT NOT NULL,
    receipt_id  TEXT,
    remote      TEXT NOT NULL,
    summary     TEXT NOT NULL,   -- one sentence for people
    held        INTEGER NOT NULL CHECK (held IN (0, 1))  -- held back until its file lies under its final name
) STRICT;
CREATE INDEX events_newest ON events (at_us, id);
CREATE INDEX events_of_receipt ON events (receipt_id) WHERE receipt_id IS NOT NULL;

-- Every upload and download, complete or broken off.
CREATE TABLE transfers (
    id            TEXT PRIMARY KEY,
    direction     TEXT NOT NULL CHECK (direction IN ('receive', 'send')),
    connector     TEXT NOT NULL,
    path          TEXT NOT NULL,
    bytes_moved   INTEGER NOT NULL CHECK (bytes_moved >= 0),
    offset_bytes  INTEGER NOT NULL CHECK (offset_bytes >= 0),
    begun_at_us   INTEGER NOT NULL,
    ended_at_us   INTEGER NOT NULL,
    ending        TEXT NOT NULL,
    complete      INTEGER NOT NULL CHECK (complete IN (0, 1)),
    remote        TEXT NOT NULL,
    tls           TEXT NOT NULL,
    session_id    TEXT NOT NULL,
    receipt_id    TEXT,
    reply         TEXT NOT NULL
) STRICT;
CREATE INDEX transfers_newest ON transfers (ended_at_us, id);

-- Every no, by the rule that said it. Equal ones within a minute are one row with a count.
CREATE TABLE refusals (
    id           TEXT PRIMARY KEY,
    rule         TEXT NOT NULL,
    connector    TEXT NOT NULL,   -- for unknown names the first 3 characters only
    remote       TEXT NOT NULL,
    command      TEXT NOT NULL,   -- secrets masked
    reply        TEXT NOT NULL,
    detail       TEXT NOT NULL,
    transcript   TEXT NOT NULL,
    session_id   TEXT NOT NULL,
    first_at_us  INTEGER NOT NULL,
    last_at_us   INTEGER NOT NULL,
    times        INTEGER NOT NULL CHECK (times > 0)
) STRICT;
CREATE INDEX refusals_newest ON refusals (last_at_us, id);
CREATE INDEX refusals_equal ON refusals (connector, remote, rule, last_at_us);

-- A counter per connector, for the %Seq% macro.
CREATE TABLE sequences (
    connector_key  TEXT PRIMARY KEY,
    last           INTEGER NOT NULL
) STRICT;
