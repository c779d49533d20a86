-- The receipt whose file leaves Receive when this one's lies under its final name: it goes on with that file (APPE, or REST and
-- STOR), and a Local File Scheme gives each its own name. Null where nothing is taken the place of, or under one name.
ALTER TABLE receipts ADD COLUMN in_place_of TEXT;
