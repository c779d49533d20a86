-- Since when a received file has a temporary name: nothing is delivered until it has another.
ALTER TABLE receipts ADD COLUMN temporary_since_us INTEGER;
-- What a new name changes for the deliveries of its file: whether it is a temporary one; and the actions that it sets off, as a
-- list of their ids, with when they are due. Both are null where those are not judged anew.
ALTER TABLE renamings ADD COLUMN is_temporary INTEGER NOT NULL DEFAULT 0;
ALTER TABLE renamings ADD COLUMN actions TEXT;
ALTER TABLE renamings ADD COLUMN due_us INTEGER;
