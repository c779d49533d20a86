-- The database's own file at the last start, by its number and when it was made: in a copy of the data folder it is another.
CREATE TABLE data_folder (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    inode INTEGER NOT NULL,
    born_us INTEGER NOT NULL
) STRICT;
