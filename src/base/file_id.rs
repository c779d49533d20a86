//! Which file, with which content: tells a file from another that took over its name or its inode.

use super::clock::Timestamp;

/// Two are equal only if nobody has written to the file in between.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FileId {
    /// Inode; that of a removed file is reused for a later one.
    pub inode: u64,
    /// Size in bytes.
    pub size_bytes: u64,
    /// Last change of its content: another program may write to it without changing its size.
    pub modified: Timestamp,
}
