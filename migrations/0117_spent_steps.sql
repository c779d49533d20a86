-- Codes of second factors that were taken, by their time step: none is taken twice (RFC 6238 section 5.2). One row each,
-- not the latest alone: a step spent while the clock was ahead would keep every code out until then.
CREATE TABLE spent_steps (
    id                INTEGER PRIMARY KEY,  -- in the order in which they were taken
    administrator_id  TEXT NOT NULL REFERENCES second_factors (administrator_id) ON DELETE CASCADE,
    step              INTEGER NOT NULL,
    UNIQUE (administrator_id, step)
) STRICT;
INSERT INTO spent_steps (administrator_id, step) SELECT administrator_id, last_step FROM second_factors;
ALTER TABLE second_factors DROP COLUMN last_step;
