-- The folder whose programs Command connectors run, as the last start had it; no row: there is none. No folder that
-- partners or the pages write to may be, hold or lie in it.
CREATE TABLE programs (
    one    INTEGER PRIMARY KEY CHECK (one = 1),
    folder TEXT NOT NULL
) STRICT;
