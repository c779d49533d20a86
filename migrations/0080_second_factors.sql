-- The second factor of an administrator (RFC 6238). Its key is sealed in the table secrets, as 'totp ' and the id.
CREATE TABLE second_factors (
    administrator_id  TEXT PRIMARY KEY REFERENCES administrators (id) ON DELETE CASCADE,
    since_us          INTEGER NOT NULL,
    last_step         INTEGER NOT NULL  -- of the last code taken: none of it or before is taken again (RFC 6238 5.2)
) STRICT;

-- Codes for whoever has lost the device; each is good once. Random enough that a plain digest hides them.
CREATE TABLE recovery_codes (
    administrator_id  TEXT NOT NULL REFERENCES second_factors (administrator_id) ON DELETE CASCADE,
    code_sha256       TEXT NOT NULL,
    PRIMARY KEY (administrator_id, code_sha256)
) STRICT;

-- What the browser calls itself, so that its owner knows it again in the list.
ALTER TABLE web_sessions ADD COLUMN agent TEXT NOT NULL DEFAULT '';
