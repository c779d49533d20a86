-- Bytes moved and files completed, for charts: by the minute for two days, by the hour for a year.
CREATE TABLE traffic (
    minute     INTEGER NOT NULL,  -- unix minutes, UTC; where an hour is one row, its first
    direction  TEXT NOT NULL CHECK (direction IN ('receive', 'send')),
    bytes      INTEGER NOT NULL CHECK (bytes >= 0),
    files      INTEGER NOT NULL CHECK (files >= 0),
    PRIMARY KEY (minute, direction)
) STRICT, WITHOUT ROWID;
INSERT INTO traffic (minute, direction, bytes, files)
    SELECT ended_at_us / 60000000, direction, SUM(bytes_moved), SUM(complete) FROM transfers GROUP BY 1, 2;
