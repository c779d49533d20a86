-- What was said already of certificates that expire: each nearness of each certificate is one event, kept over restarts.
CREATE TABLE certificate_warnings (
    sha256  TEXT NOT NULL,  -- a certificate that replaces one is warned of anew
    urgency TEXT NOT NULL CHECK (urgency IN ('month', 'fortnight', 'days', 'expired')),
    at_us   INTEGER NOT NULL,
    PRIMARY KEY (sha256, urgency)
) STRICT;
