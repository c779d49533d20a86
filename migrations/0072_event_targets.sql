-- Who is told of events by webhook, whatever connector they are about. Deliveries name it 'events:ID'.
CREATE TABLE event_targets (
    id         TEXT PRIMARY KEY,
    texts      TEXT NOT NULL,     -- its settings as typed: a JSON object, key by key
    made_at_us INTEGER NOT NULL
) STRICT;
