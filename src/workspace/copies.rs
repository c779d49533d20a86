//! Folders of copies, beside Send and Receive and out of a partner's reach: Sent contains what the partner collected,
//! Log what was received. A copy in Sent is made aside, synced, and only then named; one in Log is named by its
//! receipt, which is committed afterwards.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use rustix::io::Errno;

use super::copying::{copy_first, shares_blocks};
use super::download::Source;
use super::jail::{self, Replace};
use super::removal::remove_file_if_there;

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC).union(OFlags::NOFOLLOW);
const FOLDER_MODE: Mode = Mode::from_bits_truncate(0o750);
const FILE_MODE: Mode = Mode::from_bits_truncate(0o640);

/// One open folder of copies.
#[derive(Debug)]
pub struct CopiesFolder(OwnedFd);

impl CopiesFolder {
    /// Opens the folder `name` (Sent or Log), or the dated folder `sub` in it, beneath the connector's folder; made and
    /// synced if missing.
    pub fn open(connector: &Path, name: &str, sub: &str) -> io::Result<Self> {
        if !connector.is_dir() {
            std::fs::create_dir_all(connector)?;
            if let Some(parent) = connector.parent() {
                std::fs::File::open(parent)?.sync_all()?;
            }
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let top = child(&rustix::fs::openat(CWD, connector, flags, Mode::empty())?, name)?;
        Ok(Self(if sub.is_empty() { top } else { child(&top, sub)? }))
    }

    /// Makes a complete, synced copy named `aside`: shared blocks if the file system can, else a link or the bytes.
    /// `link` is the file's name, given only if that name is removed afterwards: a link beside a file that stays would
    /// change with it.
    pub fn make(&self, aside: &str, source: &Source, link: Option<(&OwnedFd, &str)>) -> io::Result<()> {
        remove_file_if_there(&self.0, aside)?;
        if let Err(error) = self.fill(aside, source, link) {
            // What was begun is useless; the first error is the one to report.
            let _ = remove_file_if_there(&self.0, aside);
            return Err(error);
        }
        Ok(rustix::fs::fsync(&self.0)?)
    }

    fn fill(&self, aside: &str, source: &Source, link: Option<(&OwnedFd, &str)>) -> io::Result<()> {
        let mut file = self.create(aside)?;
        if !shares_blocks(&**source.file(), &file) {
            if let Some(from) = link {
                remove_file_if_there(&self.0, aside)?;
                if self.link(aside, source, from)? {
                    return Ok(());
                }
                file = self.create(aside)?;
            }
            copy_whole(source, &file)?;
        }
        still_the_same(source)?;
        Ok(rustix::fs::fsync(&file)?)
    }

    fn create(&self, aside: &str) -> io::Result<OwnedFd> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        Ok(rustix::fs::openat(&self.0, aside, flags, FILE_MODE)?)
    }

    /// Tries to link the very file. Returns whether that worked.
    fn link(&self, aside: &str, source: &Source, (folder, name): (&OwnedFd, &str)) -> io::Result<bool> {
        if rustix::fs::linkat(folder, name, &self.0, aside, AtFlags::empty()).is_err() {
            return Ok(false);
        }
        let linked = rustix::fs::statat(&self.0, aside, AtFlags::SYMLINK_NOFOLLOW)?;
        if linked.st_ino != source.version().inode || !source.is_unchanged()? {
            remove_file_if_there(&self.0, aside)?;
            return Ok(false);
        }
        // Whoever put the file there may not have synced it; after its removal this is the only one.
        rustix::fs::fsync(&**source.file())?;
        Ok(true)
    }

    /// Gives the copy its name; `false` if the name is taken.
    pub fn name(&self, aside: &str, name: &str) -> io::Result<bool> {
        let folder = self.0.as_fd();
        match jail::rename((folder, aside), (folder, name), Replace::No) {
            Ok(()) => {
                rustix::fs::fsync(&self.0)?;
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whether that name exists.
    pub fn has(&self, name: &str) -> bool {
        rustix::fs::statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW).is_ok()
    }
}

fn child(folder: &OwnedFd, name: &str) -> io::Result<OwnedFd> {
    match rustix::fs::mkdirat(folder, name, FOLDER_MODE) {
        Ok(()) => rustix::fs::fsync(folder)?,
        Err(Errno::EXIST) => {}
        Err(errno) => return Err(errno.into()),
    }
    Ok(rustix::fs::openat(folder, name, FOLDER, Mode::empty())?)
}

/// Fills an empty file with the bytes of another: shared blocks if the file system can, else copied. Syncs nothing.
pub fn duplicate(source: &Source, to: impl AsFd) -> io::Result<()> {
    copy_whole(source, to)?;
    still_the_same(source)
}

fn copy_whole(source: &Source, to: impl AsFd) -> io::Result<()> {
    copy_first(&**source.file(), to, source.version().size_bytes, || true)
}

fn still_the_same(source: &Source) -> io::Result<()> {
    if source.is_unchanged()? {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::InvalidData, "the file changed while it was copied"))
}
