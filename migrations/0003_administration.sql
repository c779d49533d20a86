-- People in the web interface.
CREATE TABLE administrators (
    id             TEXT PRIMARY KEY,
    name           TEXT NOT NULL,
    name_key       TEXT NOT NULL UNIQUE,  -- in lower case
    role           TEXT NOT NULL CHECK (role IN ('viewer', 'editor', 'admin')),
    password_hash  TEXT NOT NULL,         -- argon2id, PHC form
    created_at_us  INTEGER NOT NULL
) STRICT;

-- Signed-in browsers. The cookie holds 32 random bytes; only their SHA-256 is here.
CREATE TABLE web_sessions (
    token_sha256      TEXT PRIMARY KEY,
    administrator_id  TEXT NOT NULL REFERENCES administrators (id) ON DELETE CASCADE,
    csrf_token        TEXT NOT NULL,
    created_at_us     INTEGER NOT NULL,
    seen_at_us        INTEGER NOT NULL,
    remote            TEXT NOT NULL
) STRICT;
CREATE INDEX web_sessions_of ON web_sessions (administrator_id);

-- What the engine made of the wish to listen: shown on every page and by the command line.
CREATE TABLE listener_states (
    listener          TEXT PRIMARY KEY CHECK (listener IN ('ftp', 'web')),
    state             TEXT NOT NULL CHECK (state IN ('listening', 'stopped', 'could_not_bind')),
    address           TEXT NOT NULL,     -- bound address, 'address:port'; empty when not bound
    message           TEXT NOT NULL,     -- in words, with the ways out
    since_us          INTEGER NOT NULL,
    followed_version  INTEGER NOT NULL   -- the profile's version that this answers
) STRICT;
