-- Up to which event alerts were made; events that are older than this version make none.
CREATE TABLE alert_cursor (
    one         INTEGER PRIMARY KEY CHECK (one = 1),
    event_rowid INTEGER NOT NULL
) STRICT;
INSERT INTO alert_cursor (one, event_rowid) SELECT 1, COALESCE(MAX(rowid), 0) FROM events;
