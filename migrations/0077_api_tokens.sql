-- What a program signs in to the API with, in an administrator's name. A token is 32 random bytes; only its SHA-256 is here.
CREATE TABLE api_tokens (
    id                TEXT PRIMARY KEY,
    administrator_id  TEXT NOT NULL REFERENCES administrators (id) ON DELETE CASCADE,
    name              TEXT NOT NULL,
    name_key          TEXT NOT NULL,         -- in lower case
    scope             TEXT NOT NULL CHECK (scope IN ('read', 'connectors', 'activity', 'all')),
    token_sha256      TEXT NOT NULL UNIQUE,
    addresses         TEXT NOT NULL,         -- networks that it may be used from; empty: any
    created_at_us     INTEGER NOT NULL,
    expires_at_us     INTEGER,               -- NULL: never
    used_at_us        INTEGER,               -- NULL: not yet; exact to the minute
    used_from         TEXT NOT NULL,
    UNIQUE (administrator_id, name_key)
) STRICT;
