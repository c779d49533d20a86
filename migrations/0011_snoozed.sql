-- What needs attention and was put off for a while, by the name of the matter.
CREATE TABLE snoozed (
    item      TEXT PRIMARY KEY,
    until_us  INTEGER NOT NULL,
    who       TEXT NOT NULL
) STRICT;
