//! Held bytes: a received file under its receipt's id, whatever happens to its name. They are in `.waybill/held` of the
//! Receive folder, out of the partner's reach.
//!
//! Never: writes to a held file. It is the received file itself if the file system has links, else a copy.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use rustix::io::Errno;

use super::copying::copy_first;
use super::download::{Source, Version};
use super::folder::OpenFolder;
use super::jail::STAGING;
use super::removal::remove_file_if_there;
use crate::base::sync::Syncer;

const HELD: &str = "held";
const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC).union(OFlags::NOFOLLOW);

/// The open folder of held bytes.
#[derive(Clone, Debug)]
pub struct HeldFolder(Arc<OwnedFd>);

impl HeldFolder {
    /// In an open Receive folder; made if missing.
    pub fn of(folder: &OpenFolder) -> io::Result<Self> {
        match Self::within(folder.staging()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                match rustix::fs::mkdirat(&**folder.staging(), HELD, Mode::RWXU) {
                    Ok(()) => rustix::fs::fsync(&**folder.staging())?,
                    Err(Errno::EXIST) => {}
                    Err(errno) => return Err(errno.into()),
                }
                Self::within(folder.staging())
            }
            held => held,
        }
    }

    /// In an open Receive folder; `None` if nothing was ever held there.
    pub fn existing(folder: &OpenFolder) -> io::Result<Option<Self>> {
        there(Self::within(folder.staging()))
    }

    /// In the Receive folder at that path; `NotFound` if nothing was ever held there.
    pub fn at(receive: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let receive = rustix::fs::openat(CWD, receive, flags, Mode::empty())?;
        Self::within(&rustix::fs::openat(receive, STAGING, FOLDER, Mode::empty())?)
    }

    fn within(staging: &OwnedFd) -> io::Result<Self> {
        Ok(Self(Arc::new(rustix::fs::openat(staging, HELD, FOLDER, Mode::empty())?)))
    }

    /// Holds the file `name` of `from` for that receipt: a link, which is on disk only after [`Self::sync`], or,
    /// without links, a synced copy. It may be held already.
    pub async fn hold(&self, from: (BorrowedFd<'_>, &str), receipt: &str) -> io::Result<()> {
        match rustix::fs::linkat(from.0, from.1, &*self.0, receipt, AtFlags::empty()) {
            Ok(()) | Err(Errno::EXIST) => Ok(()),
            // No links there, not to others' files, or too many of this one.
            Err(Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS | Errno::MLINK | Errno::XDEV) => {
                let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
                let file = rustix::fs::openat(from.0, from.1, flags, Mode::empty())?;
                let (held, receipt) = (Arc::clone(&self.0), receipt.to_owned());
                tokio::task::spawn_blocking(move || copy(&file, &held, &receipt)).await.map_err(io::Error::other)?
            }
            Err(errno) => Err(errno.into()),
        }
    }

    /// Waits until every hold is on disk: before a name is unlinked or replaced.
    pub async fn sync(&self, syncer: &Syncer) -> io::Result<()> {
        syncer.folder(Arc::clone(&self.0)).await
    }

    /// The receipt's bytes.
    pub fn open(&self, receipt: &str) -> io::Result<Source> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        Source::from_file(rustix::fs::openat(&*self.0, receipt, flags, Mode::empty())?)
    }

    /// What is held for the receipt: the file itself, or a copy with another inode; `None` if nothing is.
    pub fn version(&self, receipt: &str) -> io::Result<Option<Version>> {
        let stat = rustix::fs::statat(&*self.0, receipt, AtFlags::SYMLINK_NOFOLLOW);
        there(stat.map(|stat| Version::of(&stat)).map_err(io::Error::from))
    }

    /// Whether the receipt's bytes are held.
    pub fn has(&self, receipt: &str) -> bool {
        self.version(receipt).is_ok_and(|held| held.is_some())
    }

    /// Frees them. They may be gone already.
    pub fn free(&self, receipt: &str) -> io::Result<()> {
        remove_file_if_there(&*self.0, receipt)
    }
}

/// Before a name in that folder is unlinked or replaced: makes sure that what its receipt holds is on disk.
pub async fn secure(folder: &OpenFolder, syncer: &Syncer) -> io::Result<()> {
    match HeldFolder::existing(folder)? {
        Some(held) => held.sync(syncer).await,
        None => Ok(()),
    }
}

fn there<T>(found: io::Result<T>) -> io::Result<Option<T>> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// A complete, synced copy, named only at the end.
fn copy(file: &OwnedFd, held: &OwnedFd, receipt: &str) -> io::Result<()> {
    let making = format!("{receipt}.making");
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let to = rustix::fs::openat(held, &*making, flags, Mode::RUSR | Mode::WUSR)?;
    copy_first(file, &to, rustix::fs::fstat(file)?.st_size.cast_unsigned(), || true)?;
    rustix::fs::fsync(&to)?;
    Ok(rustix::fs::renameat(held, &*making, held.as_fd(), receipt)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn held_bytes_outlive_the_name_and_are_freed() {
        let root = tempfile::tempdir().unwrap();
        let folder = OpenFolder::open(root.path()).unwrap();
        let syncer = Syncer::default();
        secure(&folder, &syncer).await.unwrap();
        assert_eq!(HeldFolder::at(root.path()).unwrap_err().kind(), io::ErrorKind::NotFound);
        std::fs::write(root.path().join("a.edi"), b"bytes").unwrap();
        let held = HeldFolder::of(&folder).unwrap();
        for _ in 0..2 {
            held.hold((folder.jail().root(), "a.edi"), "r1").await.unwrap();
        }
        secure(&folder, &syncer).await.unwrap();
        std::fs::remove_file(root.path().join("a.edi")).unwrap();
        let held = HeldFolder::at(root.path()).unwrap();
        let source = held.open("r1").unwrap();
        let mut bytes = [0; 8];
        let count = source.read_at(&mut bytes, 0).unwrap();
        assert_eq!(&bytes[..count], b"bytes");
        for _ in 0..2 {
            held.free("r1").unwrap();
        }
        assert!(!held.has("r1") && held.open("r1").is_err());
    }

    #[test]
    fn a_copy_is_whole_before_it_has_its_name() {
        let root = tempfile::tempdir().unwrap();
        let folder = OpenFolder::open(root.path()).unwrap();
        std::fs::write(root.path().join("a.edi"), b"bytes").unwrap();
        let held = HeldFolder::of(&folder).unwrap();
        let file = folder.jail().file(&[crate::base::path::Name::parse("a.edi").unwrap()]).unwrap();
        copy(&file, &held.0, "r1").unwrap();
        std::fs::write(root.path().join("a.edi"), b"others").unwrap();
        assert_eq!(std::fs::read(root.path().join(".waybill/held/r1")).unwrap(), b"bytes");
        assert!(!held.has("r1.making"));
    }
}
