-- Where the client stood when it was refused: its command may name a path from there.
ALTER TABLE refusals ADD COLUMN folder TEXT NOT NULL DEFAULT '';
