-- Filters of the lists under Activity that an administrator gave a name.
CREATE TABLE saved_views (
    administrator_id  TEXT NOT NULL REFERENCES administrators (id) ON DELETE CASCADE,
    page              TEXT NOT NULL,  -- the path of the list
    name_key          TEXT NOT NULL,  -- without regard to case
    name              TEXT NOT NULL,
    query             TEXT NOT NULL,  -- of its address
    PRIMARY KEY (administrator_id, page, name_key)
) STRICT;
