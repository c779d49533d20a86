-- What the pages tell of deliveries, each from an index alone, however many wait or were given up. None of these takes a
-- delivery that was just made for a received file: uploads pay nothing for them.
CREATE INDEX deliveries_retrying ON deliveries (source_key, target) WHERE state = 'retrying';
DROP INDEX deliveries_failed;
CREATE INDEX deliveries_failed ON deliveries (source_key, target, ended_at_us) WHERE state = 'failed';
-- Those that are about no file are found by their event; all others by their receipt.
CREATE INDEX deliveries_of_bare_event ON deliveries (event_id, id) WHERE receipt_id IS NULL;
