-- A receipt knows its After Receive event from its commit on; the event itself is written when the file lies under its final
-- name, and need not be held back until then.
ALTER TABLE receipts ADD COLUMN event_id TEXT;
UPDATE receipts SET event_id = (SELECT id FROM events WHERE receipt_id = receipts.id AND held = 1) WHERE publishing = 1;
DELETE FROM events WHERE held = 1 AND receipt_id IN (SELECT id FROM receipts WHERE publishing = 1);
-- Events were looked for by their receipt to be released only.
DROP INDEX events_of_receipt;
ALTER TABLE events DROP COLUMN held;
-- What events set off is found behind the last one looked at; the number of a removed one is given to the next.
UPDATE alert_cursor SET event_rowid = (SELECT COALESCE(MAX(rowid), 0) FROM events)
    WHERE event_rowid > (SELECT COALESCE(MAX(rowid), 0) FROM events);
