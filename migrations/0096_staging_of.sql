-- The staging folder that a file on its way is in, by its number: in a folder that is not the same one any more, such as the
-- place of a disk that is away, a staged file that is not there tells nothing. NULL: from before it was noted.
ALTER TABLE placements ADD COLUMN staging_inode INTEGER;
