-- How often each version of a file was wholly collected: the Send page shows it beside the file.
ALTER TABLE collected ADD COLUMN times INTEGER NOT NULL DEFAULT 0 CHECK (times >= 0);
UPDATE collected SET times = 1 WHERE collected_at_us IS NOT NULL;
