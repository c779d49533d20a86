-- Certificates that servers present. Keys are sealed with keys/master.key of the data folder, each to its row's id: a
-- copy of the database alone opens nothing.
CREATE TABLE certificates (
    id                  TEXT PRIMARY KEY,
    name                TEXT NOT NULL,
    name_key            TEXT NOT NULL UNIQUE,  -- in lower case
    origin              TEXT NOT NULL CHECK (origin IN ('self_signed', 'uploaded', 'acme')),
    chain_pem           TEXT NOT NULL,         -- its own certificate first, then its issuers
    sealed_key          BLOB NOT NULL,
    sha256              TEXT NOT NULL,         -- of its own certificate
    made_at_us          INTEGER NOT NULL,      -- when this one took its place
    -- The one before, for a roll-back; forgotten after 7 days.
    previous_origin     TEXT CHECK (previous_origin IN ('self_signed', 'uploaded', 'acme')),
    previous_chain_pem  TEXT,
    previous_key        BLOB,
    previous_sha256     TEXT,
    replaced_at_us      INTEGER,
    CHECK ((replaced_at_us IS NULL) = (previous_key IS NULL))
) STRICT;
