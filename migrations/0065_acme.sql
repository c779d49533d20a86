-- What came of the last order at the authority that issues a certificate by ACME (RFC 8555): one row.
CREATE TABLE acme (
    id           INTEGER PRIMARY KEY CHECK (id = 1),
    wish         TEXT NOT NULL,
    issued_by    TEXT NOT NULL,
    failures     INTEGER NOT NULL,
    message      TEXT NOT NULL,
    tried_at_us  INTEGER NOT NULL,
    next_at_us   INTEGER NOT NULL
) STRICT;
