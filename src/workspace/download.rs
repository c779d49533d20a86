//! Reads a partner's files: opened once, read by position; their state at the start is remembered.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::Stat;

use super::folder::OpenFolder;
use super::jail;
use super::removal::{FREED_ASIDE_BYTES, LastHold};
use crate::base::clock::Timestamp;
use crate::base::file_id::FileId;
use crate::base::path::Name;

/// A file opened for reading.
#[derive(Clone, Debug)]
pub struct Source {
    file: Arc<OwnedFd>,
    stat: Version,
}

impl Drop for Source {
    fn drop(&mut self) {
        if self.stat.size_bytes >= FREED_ASIDE_BYTES {
            drop(LastHold::on(&self.file));
        }
    }
}

/// The state of a file at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version {
    /// Inode.
    pub inode: u64,
    /// Size in bytes.
    pub size_bytes: u64,
    /// Last change of the content.
    pub modified: Timestamp,
    /// Last change of the file or its metadata.
    pub changed: Timestamp,
}

impl Version {
    /// From the file system's `stat`.
    pub fn of(stat: &Stat) -> Self {
        let time = |seconds: i64, nanoseconds: u64| {
            let us = i64::try_from(nanoseconds / 1_000).unwrap_or(0);
            Timestamp::from_us(seconds.saturating_mul(1_000_000).saturating_add(us))
        };
        Self {
            inode: stat.st_ino,
            size_bytes: stat.st_size.cast_unsigned(),
            modified: time(stat.st_mtime, stat.st_mtime_nsec),
            changed: time(stat.st_ctime, stat.st_ctime_nsec),
        }
    }

    /// Which content it has, whatever its name and mode.
    pub const fn id(&self) -> FileId {
        FileId { inode: self.inode, size_bytes: self.size_bytes, modified: self.modified }
    }
}

impl Source {
    /// Opens the file `names` leads to.
    pub fn open(folder: &OpenFolder, names: &[Name]) -> io::Result<Self> {
        Self::from_file(folder.jail().file(names)?)
    }

    /// From an open file.
    pub(super) fn from_file(file: OwnedFd) -> io::Result<Self> {
        Self::shared(Arc::new(file))
    }

    /// From a file that somebody else has open as well.
    pub fn shared(file: Arc<OwnedFd>) -> io::Result<Self> {
        let stat = Version::of(&rustix::fs::fstat(&file)?);
        Ok(Self { file, stat })
    }

    /// Its state when it was opened.
    pub fn version(&self) -> Version {
        self.stat
    }

    /// Its birth time, if the file system tells.
    pub fn born(&self) -> Option<Timestamp> {
        jail::born(self.file.as_fd(), "")
    }

    /// Whether its content is unchanged.
    pub fn is_unchanged(&self) -> io::Result<bool> {
        let now = Version::of(&rustix::fs::fstat(&*self.file)?);
        Ok(now.size_bytes == self.stat.size_bytes && now.modified == self.stat.modified)
    }

    /// The open file.
    pub fn file(&self) -> &Arc<OwnedFd> {
        &self.file
    }

    /// Reads at `offset`; fewer bytes than asked for only at the end.
    pub fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            match rustix::io::pread(&*self.file, &mut buffer[filled..], offset + filled as u64) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(filled)
    }
}
