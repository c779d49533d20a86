-- What the pages of Activity ask for, each from an index, however many rows there are.
CREATE INDEX receipts_by_name ON receipts (client_path, id);
CREATE INDEX receipts_by_size ON receipts (size_bytes, id);
CREATE INDEX receipts_by_sha256 ON receipts (sha256);
CREATE INDEX receipts_of_status ON receipts (status, completed_at_us, id);
CREATE INDEX transfers_of_connector ON transfers (connector, ended_at_us, id);
CREATE INDEX transfers_of_direction ON transfers (direction, ended_at_us, id);
CREATE INDEX transfers_broken ON transfers (ended_at_us, id) WHERE complete = 0;
CREATE INDEX events_of_connector ON events (connector, at_us, id);
CREATE INDEX refusals_of_rule ON refusals (rule, last_at_us, id);
-- Once more with the id: it is part of the order of a page.
DROP INDEX refusals_of;
CREATE INDEX refusals_of ON refusals (connector, rule, last_at_us, id, times);
CREATE INDEX refusals_lately ON refusals (last_at_us, connector, rule, times, id);
