//! Which file, with which content: what it is told by from another that came to its name or its inode.

use super::clock::Timestamp;

/// Two of them are equal when nobody has written to the file in between.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FileId {
    /// Inode; that of a removed file is given to the next.
    pub inode: u64,
    /// Size in bytes.
    pub size_bytes: u64,
    /// Last change of its content: another program may write to it, and leave its size as it is.
    pub modified: Timestamp,
}
