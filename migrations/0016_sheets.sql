-- Partner sheets that were given out: which facts the partner of a connector knows.
CREATE TABLE sheets (
    connector_key  TEXT PRIMARY KEY REFERENCES connectors (id_key) ON DELETE CASCADE,
    number         INTEGER NOT NULL CHECK (number > 0),  -- counts those that were given out
    sha256         TEXT NOT NULL,    -- of the facts on it
    given_at_us    INTEGER NOT NULL,
    given_by       TEXT NOT NULL     -- the administrator's name
) STRICT;
