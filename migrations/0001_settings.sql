-- What administrators set. Values are text as typed, one row a setting; a setting without a row has its default.
-- scope and owner say whose: ('settings', ''), ('profile', ''), ('connector', the id in lower case).
CREATE TABLE setting_groups (
    scope          TEXT NOT NULL CHECK (scope IN ('settings', 'profile', 'connector')),
    owner          TEXT NOT NULL,
    version        INTEGER NOT NULL,  -- counts the saves; a stale form is told by it
    changed_at_us  INTEGER NOT NULL,  -- unix microseconds, UTC
    changed_by     TEXT NOT NULL,
    PRIMARY KEY (scope, owner)
) STRICT;

CREATE TABLE setting_values (
    scope  TEXT NOT NULL,
    owner  TEXT NOT NULL,
    key    TEXT NOT NULL,
    value  TEXT NOT NULL,
    PRIMARY KEY (scope, owner, key),
    FOREIGN KEY (scope, owner) REFERENCES setting_groups (scope, owner) ON DELETE CASCADE
) STRICT;

-- One row per connector. id_key is the id in lower case: ids are unique without regard to case.
CREATE TABLE connectors (
    id_key         TEXT PRIMARY KEY,
    id             TEXT NOT NULL,
    created_at_us  INTEGER NOT NULL
) STRICT;

-- Up to two valid at a time, so that a partner can change over.
CREATE TABLE connector_passwords (
    id_key          TEXT NOT NULL REFERENCES connectors (id_key) ON DELETE CASCADE,
    hash            TEXT NOT NULL,     -- argon2id, PHC form
    set_at_us       INTEGER NOT NULL,
    valid_until_us  INTEGER            -- NULL: until replaced
) STRICT;
CREATE INDEX connector_passwords_of ON connector_passwords (id_key, set_at_us);

-- Counts every change of configuration, so that another process's change is noticed by reading one number.
CREATE TABLE configuration (
    one      INTEGER PRIMARY KEY CHECK (one = 1),
    version  INTEGER NOT NULL
) STRICT;
INSERT INTO configuration (one, version) VALUES (1, 1);

-- Who changed what; never changed, never deleted by a program.
CREATE TABLE audit (
    id       TEXT PRIMARY KEY,
    at_us    INTEGER NOT NULL,
    who      TEXT NOT NULL,   -- an administrator's name, or 'command line'
    remote   TEXT NOT NULL,   -- where from; empty for the command line
    subject  TEXT NOT NULL,   -- 'profile', 'connector acme-edi', 'administrator mira'
    key      TEXT NOT NULL,   -- the setting, or what was done: 'added', 'removed'
    before   TEXT NOT NULL,   -- secrets read 'changed'
    after    TEXT NOT NULL
) STRICT;
CREATE INDEX audit_newest ON audit (at_us, id);
