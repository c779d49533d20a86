-- Which attempts are letters by themselves: of alerts that went in one letter, the first. So many an hour are counted by it.
ALTER TABLE attempts ADD COLUMN letter INTEGER NOT NULL DEFAULT 0 CHECK (letter IN (0, 1));
UPDATE attempts SET letter = 1 WHERE outcome = 'delivered'
    AND delivery_id IN (SELECT MIN(d.id) FROM deliveries d JOIN attempts a ON a.delivery_id = d.id
        WHERE d.source_key = '' AND d.target = 'alert:mail' AND a.outcome = 'delivered' GROUP BY a.at_us);
