-- The staging folder that a file on its way to its final name is in, by its number: in a folder that is not the same one any
-- more, such as the place of a disk that is away, a file that is not there tells nothing. NULL: from before it was noted.
ALTER TABLE receipts ADD COLUMN staging_inode INTEGER;
