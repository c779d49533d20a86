-- What is older than it is kept is found without looking at everything.
CREATE INDEX deliveries_over ON deliveries (ended_at_us) WHERE ended_at_us IS NOT NULL;
CREATE INDEX sla_windows_over ON sla_windows (ends_us);
