-- The staging folder of the Send that a file was collected from, by its number: in a folder that is not the same one any more,
-- such as the place of a disk that is away, a file that is not there tells nothing. NULL: it was not noted.
ALTER TABLE collected ADD COLUMN staging_inode INTEGER;
