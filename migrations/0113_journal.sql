-- Up to which line of the journal receipts are in this database: what it has behind that is brought in at a start.
CREATE TABLE journal (
    one     INTEGER PRIMARY KEY CHECK (one = 1),
    written INTEGER NOT NULL
) STRICT;
INSERT INTO journal (one, written) VALUES (1, 0);
