-- Bytes that a receipt owns beyond the name of its file: kept as `.waybill/held/<receipt>` of the Receive folder until its
-- deliveries have ended, whatever becomes of the name. The row is there before the link, and goes after it.
CREATE TABLE holds (
    receipt_id     TEXT PRIMARY KEY,
    connector_key  TEXT NOT NULL,     -- in lower case
    folder         TEXT NOT NULL,     -- the Receive folder of that moment; a later one does not take the bytes along
    size_bytes     INTEGER NOT NULL CHECK (size_bytes >= 0),
    since_us       INTEGER NOT NULL,
    ended          INTEGER NOT NULL CHECK (ended IN (0, 1))  -- no delivery needs it any more: it goes in time
) STRICT;
CREATE INDEX holds_ended ON holds (receipt_id) WHERE ended = 1;

-- hidden: the partner has deleted it by the name it gave; the file stays under the name it is stored with.
ALTER TABLE receipts ADD COLUMN hidden INTEGER NOT NULL DEFAULT 0 CHECK (hidden IN (0, 1));
-- taken_over: its delivery has begun; it cannot be renamed any more.
ALTER TABLE receipts ADD COLUMN taken_over INTEGER NOT NULL DEFAULT 0 CHECK (taken_over IN (0, 1));
CREATE INDEX receipts_hidden ON receipts (connector_key, stored_path) WHERE hidden = 1;
-- What the partner finds by its own name although nothing of that name lies in Receive.
CREATE INDEX receipts_elsewhere ON receipts (connector_key, completed_at_us)
    WHERE hidden = 0 AND (client_path <> stored_path OR status = 'passed_along');

-- What a received file was called before its partner renamed it.
CREATE TABLE receipt_names (
    receipt_id  TEXT NOT NULL,
    at_us       INTEGER NOT NULL,
    from_path   TEXT NOT NULL,   -- as the partner saw it
    to_path     TEXT NOT NULL
) STRICT;
CREATE INDEX receipt_names_of ON receipt_names (receipt_id, at_us);
