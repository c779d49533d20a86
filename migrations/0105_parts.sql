-- SLAs, actions and event targets tell a stale form by their version, as settings do. It begins with the configuration's, so
-- that no version comes twice, whatever is removed and added again.
ALTER TABLE slas ADD COLUMN version INTEGER NOT NULL DEFAULT 1;
ALTER TABLE slas ADD COLUMN changed_at_us INTEGER NOT NULL DEFAULT 0;
ALTER TABLE slas ADD COLUMN changed_by TEXT NOT NULL DEFAULT '';
ALTER TABLE actions ADD COLUMN version INTEGER NOT NULL DEFAULT 1;
ALTER TABLE actions ADD COLUMN changed_at_us INTEGER NOT NULL DEFAULT 0;
ALTER TABLE actions ADD COLUMN changed_by TEXT NOT NULL DEFAULT '';
ALTER TABLE event_targets ADD COLUMN version INTEGER NOT NULL DEFAULT 1;
ALTER TABLE event_targets ADD COLUMN changed_at_us INTEGER NOT NULL DEFAULT 0;
ALTER TABLE event_targets ADD COLUMN changed_by TEXT NOT NULL DEFAULT '';
