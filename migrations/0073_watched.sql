-- What is looked at from time to time and told once until it is over: 'refusals:KEY', 'not_seen:KEY'; and when a partner was
-- last seen, 'seen:KEY', since sessions are not kept for ever.
CREATE TABLE watched (
    item  TEXT PRIMARY KEY,
    at_us INTEGER NOT NULL
) STRICT;
