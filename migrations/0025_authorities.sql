-- Authorities that issue certificates to partners (client_certificate_match: ca:NAME subject:...). Public things only:
-- their keys are never here.
CREATE TABLE authorities (
    name       TEXT NOT NULL,
    name_key   TEXT PRIMARY KEY,  -- in lower case
    pem        TEXT NOT NULL,     -- the certificates that are trusted
    sha256     TEXT NOT NULL,     -- of the first
    added_at_us INTEGER NOT NULL
) STRICT;
