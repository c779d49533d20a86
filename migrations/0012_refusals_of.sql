-- How often a rule said no to a connector over some time, from the index alone.
CREATE INDEX refusals_of ON refusals (connector, rule, last_at_us, times);
-- What happened of one kind.
CREATE INDEX events_of_kind ON events (kind, at_us, id);
