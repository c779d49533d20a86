-- What partners collected from Send, one row for each version of a file: how far it was covered by downloads, when all of
-- it was, and what is still to be done with it. Copy and removal are steps that a crash may come between.
CREATE TABLE collected (
    connector_key    TEXT NOT NULL,     -- in lower case
    path             TEXT NOT NULL,     -- as the partner sees it: /Send/a
    inode            INTEGER NOT NULL,
    size_bytes       INTEGER NOT NULL CHECK (size_bytes >= 0),
    modified_us      INTEGER NOT NULL,
    covered_to       INTEGER NOT NULL CHECK (covered_to >= 0),  -- bytes from the beginning that downloads have moved
    collected_at_us  INTEGER,           -- NULL: not all of it yet
    gone_at_us       INTEGER,           -- when Waybill removed it
    seen_at_us       INTEGER NOT NULL,  -- the last download; old rows are forgotten by it
    copy             TEXT NOT NULL CHECK (copy IN ('none', 'wanted', 'done')),
    copy_id          TEXT NOT NULL,     -- the download the copy is of; names the copy while it is made
    copy_folder      TEXT NOT NULL,     -- the dated folder below Sent; empty: Sent itself
    copy_name        TEXT NOT NULL,     -- chosen once the copy is whole and synced; empty before
    remove           INTEGER NOT NULL CHECK (remove IN (0, 1)),  -- to be removed
    PRIMARY KEY (connector_key, path, inode, size_bytes, modified_us)
) STRICT;
CREATE INDEX collected_pending ON collected (seen_at_us) WHERE copy = 'wanted' OR remove = 1;
