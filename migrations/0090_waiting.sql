-- What the pages tell of deliveries, each from an index alone, however many wait or were given up. Uploads pay nothing for
-- them: an index holds what its own condition tells too, so that SQLite need not look it up, and those that are new take no delivery that
-- was just made for a received file.
DROP INDEX deliveries_pending;
CREATE INDEX deliveries_pending ON deliveries (source_key, target, id, ended_at_us) WHERE ended_at_us IS NULL;
CREATE INDEX deliveries_retrying ON deliveries (source_key, target, state) WHERE state = 'retrying';
DROP INDEX deliveries_failed;
CREATE INDEX deliveries_failed ON deliveries (source_key, target, ended_at_us, state) WHERE state = 'failed';
-- Those that are about no file are found by their event; all others by their receipt.
CREATE INDEX deliveries_of_bare_event ON deliveries (event_id, id) WHERE receipt_id IS NULL;
