-- When a receipt came to be seen: later than that of every receipt that was seen before it, whatever the clock says. Its
-- completion is earlier, and those that complete at the same time come to be seen in any order. Older receipts have none: for
-- them it is their completion.
ALTER TABLE receipts ADD COLUMN shown_at_us INTEGER;
CREATE INDEX receipts_shown ON receipts (COALESCE(shown_at_us, completed_at_us), id) WHERE publishing = 0;
