-- Secrets that are used as they are, such as what webhooks are signed with: sealed with keys/master.key, each for its name.
CREATE TABLE secrets (
    name      TEXT PRIMARY KEY,   -- 'webhook CONNECTOR', the connector's id in lower case
    sealed    BLOB NOT NULL,
    set_at_us INTEGER NOT NULL
) STRICT;
