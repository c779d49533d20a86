-- Arrows: files received by one connector are passed along to the next.
CREATE TABLE arrows (
    from_key    TEXT NOT NULL,     -- ids of connectors in lower case
    to_key      TEXT NOT NULL,
    on_error    INTEGER NOT NULL CHECK (on_error IN (0, 1)),  -- 1: taken by what another arrow of from_key gave up
    added_at_us INTEGER NOT NULL,
    PRIMARY KEY (from_key, to_key, on_error)
) STRICT;
CREATE INDEX arrows_to ON arrows (to_key);

-- What an event sets off: one row for each target. The order of ids is the order of events.
CREATE TABLE deliveries (
    id            INTEGER PRIMARY KEY,
    event_id      TEXT NOT NULL,
    receipt_id    TEXT,
    source_key    TEXT NOT NULL,   -- the connector it comes from, in lower case; empty for the appliance
    target        TEXT NOT NULL,   -- 'connector:KEY' and others
    state         TEXT NOT NULL CHECK (state IN ('waiting', 'retrying', 'delivered', 'failed', 'stopped')),
    attempts      INTEGER NOT NULL CHECK (attempts >= 0),
    since_attempt INTEGER NOT NULL CHECK (since_attempt >= 0),  -- attempts made before it was last begun anew
    next_at_us    INTEGER NOT NULL,
    created_at_us INTEGER NOT NULL,
    ended_at_us   INTEGER,
    instead_of    INTEGER          -- the delivery that was given up, where an error arrow leads on
) STRICT;
-- One lane for each source and target: its head is the oldest that has not ended.
CREATE INDEX deliveries_pending ON deliveries (source_key, target, id) WHERE ended_at_us IS NULL;
CREATE INDEX deliveries_due ON deliveries (source_key, target, next_at_us) WHERE ended_at_us IS NULL;
CREATE INDEX deliveries_of_receipt ON deliveries (receipt_id, id) WHERE receipt_id IS NOT NULL;
CREATE INDEX deliveries_of_event ON deliveries (event_id);
CREATE INDEX deliveries_failed ON deliveries (ended_at_us, id) WHERE state = 'failed';
CREATE INDEX deliveries_ended ON deliveries (source_key, target, state, ended_at_us) WHERE ended_at_us IS NOT NULL;

-- What became of each attempt. It goes with its delivery.
CREATE TABLE attempts (
    delivery_id INTEGER NOT NULL REFERENCES deliveries (id) ON DELETE CASCADE,
    number      INTEGER NOT NULL,  -- 1 is the first
    at_us       INTEGER NOT NULL,
    duration_us INTEGER NOT NULL,
    outcome     TEXT NOT NULL CHECK (outcome IN ('delivered', 'retry', 'stopped')),
    answer      TEXT NOT NULL,     -- what the other side said, or why it was not reached
    PRIMARY KEY (delivery_id, number)
) STRICT;

-- Files on their way into a folder: staged and synced, not known to have their names. A row whose staged file is not
-- there any more has been delivered.
CREATE TABLE placements (
    delivery_id INTEGER PRIMARY KEY REFERENCES deliveries (id) ON DELETE CASCADE,
    folder      TEXT NOT NULL,     -- as a path of this machine
    staged_name TEXT NOT NULL,
    name        TEXT NOT NULL,     -- the one it gets
    inode       INTEGER NOT NULL
) STRICT;

-- Files that lie in a Folder connector's folder, until they are older than it keeps them.
CREATE TABLE kept_files (
    connector_key TEXT NOT NULL,
    name          TEXT NOT NULL,
    inode         INTEGER NOT NULL,  -- another file of that name is none of Waybill's
    at_us         INTEGER NOT NULL,
    PRIMARY KEY (connector_key, name)
) STRICT;
CREATE INDEX kept_files_at ON kept_files (connector_key, at_us);
