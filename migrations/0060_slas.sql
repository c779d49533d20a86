-- What is due from or to a partner in each window.
CREATE TABLE slas (
    id               TEXT PRIMARY KEY,
    connector_key    TEXT NOT NULL,     -- the connector's id in lower case
    texts            TEXT NOT NULL,     -- its settings as typed: a JSON object, key by key
    made_at_us       INTEGER NOT NULL,  -- windows that began before are not judged
    looked_at_us     INTEGER NOT NULL   -- how its windows stood was last told then
) STRICT;
CREATE INDEX slas_of_connector ON slas (connector_key, made_at_us);

-- How windows stood when last looked at; one that stands for good is never looked at again.
CREATE TABLE sla_windows (
    sla_id       TEXT NOT NULL REFERENCES slas (id) ON DELETE CASCADE,
    starts_us    INTEGER NOT NULL,
    ends_us      INTEGER NOT NULL,
    state        TEXT NOT NULL CHECK (state IN ('pending', 'met', 'at_risk', 'violated', 'late')),
    files        INTEGER NOT NULL,      -- that counted, those of the grace included
    changed_us   INTEGER NOT NULL,      -- since when it stands so
    afterwards   INTEGER NOT NULL CHECK (afterwards IN (0, 1)),  -- told after a time in which nobody looked
    PRIMARY KEY (sla_id, starts_us)
) STRICT;
CREATE INDEX sla_windows_open ON sla_windows (sla_id, ends_us) WHERE state IN ('pending', 'at_risk');
CREATE INDEX sla_windows_bad ON sla_windows (ends_us) WHERE state IN ('at_risk', 'violated');
