-- The few received files that have a temporary name, by the place they have or had.
CREATE INDEX receipts_temporary ON receipts (connector_key, stored_path) WHERE temporary_since_us IS NOT NULL;
