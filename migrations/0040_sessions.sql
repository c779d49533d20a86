-- One row per session that has ended and in which somebody had signed in, as far as the connector's Log Level says.
CREATE TABLE sessions (
    id              TEXT PRIMARY KEY,
    connector       TEXT NOT NULL,     -- the connector's id as written then
    connector_key   TEXT NOT NULL,     -- in lower case
    remote          TEXT NOT NULL,
    client          TEXT NOT NULL,     -- what the client called itself (CLNT, CSID); may be empty
    tls             TEXT NOT NULL,     -- 'TLS 1.3 …'; empty in clear
    begun_at_us     INTEGER NOT NULL,
    ended_at_us     INTEGER NOT NULL,
    ending          TEXT NOT NULL,     -- 'quit', 'lost', 'not_ftp', or the rule that ended it
    received_files  INTEGER NOT NULL CHECK (received_files >= 0),
    received_bytes  INTEGER NOT NULL CHECK (received_bytes >= 0),
    sent_files      INTEGER NOT NULL CHECK (sent_files >= 0),
    sent_bytes      INTEGER NOT NULL CHECK (sent_bytes >= 0),
    failures        INTEGER NOT NULL CHECK (failures >= 0),  -- replies that said no
    transcript      TEXT NOT NULL      -- secrets masked; empty when it is not kept
) STRICT;
CREATE INDEX sessions_of_connector ON sessions (connector_key, ended_at_us, id);
CREATE INDEX sessions_ended ON sessions (ended_at_us);
CREATE INDEX audit_of_subject ON audit (subject, at_us, id);
