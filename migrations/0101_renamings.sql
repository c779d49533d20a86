-- A rename of something in Receive is written down before it is done on disk: what comes of it is settled at the next start
-- where the appliance ended in between. `receipt_id` is the renamed file's; a folder has none.
CREATE TABLE renamings (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    connector_key TEXT NOT NULL,
    receipt_id TEXT,
    from_path TEXT NOT NULL,
    to_path TEXT NOT NULL,
    at_us INTEGER NOT NULL
) STRICT;
