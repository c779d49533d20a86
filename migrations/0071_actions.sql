-- What a partner's files set off besides being passed along. Deliveries name it 'action:ID'.
CREATE TABLE actions (
    id            TEXT PRIMARY KEY,
    connector_key TEXT NOT NULL,     -- the connector's id in lower case
    texts         TEXT NOT NULL,     -- its settings as typed: a JSON object, key by key
    made_at_us    INTEGER NOT NULL
) STRICT;
CREATE INDEX actions_of_connector ON actions (connector_key, made_at_us);

-- The file that an event without a receipt is about, as the partner sees it: one that was collected.
ALTER TABLE events ADD COLUMN path TEXT NOT NULL DEFAULT '';
ALTER TABLE events ADD COLUMN size_bytes INTEGER;
