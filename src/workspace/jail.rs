//! Turns names into open handles beneath one folder, never into a string. Symbolic links are never followed, whatever
//! is swapped meanwhile; FIFOs and devices are never opened.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RenameFlags, ResolveFlags, Stat, StatxFlags};
use rustix::io::Errno;

use super::removal::LastHold;
use crate::base::clock::Timestamp;
use crate::base::path::Name;

/// Waybill's own folder in each partner folder; no client path reaches it.
pub const STAGING: &str = ".waybill";

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC).union(OFlags::NOFOLLOW);

/// Set once the kernel has reported that it lacks `openat2`.
static WITHOUT_OPENAT2: AtomicBool = AtomicBool::new(false);

/// The birth time of `name` in `folder`, without following links; of the folder itself, or an open file, if the name is
/// empty.
pub fn born(folder: BorrowedFd<'_>, name: &str) -> Option<Timestamp> {
    let flags = AtFlags::SYMLINK_NOFOLLOW.union(AtFlags::EMPTY_PATH);
    let told = rustix::fs::statx(folder, name, flags, StatxFlags::BTIME).ok()?;
    let is_told = told.stx_mask & StatxFlags::BTIME.bits() != 0;
    let us = told.stx_btime.tv_sec.checked_mul(1_000_000)? + i64::from(told.stx_btime.tv_nsec / 1_000);
    is_told.then_some(Timestamp::from_us(us))
}

/// A folder and everything beneath it.
#[derive(Debug)]
pub struct Jail {
    root: Arc<OwnedFd>,
}

impl Jail {
    /// Opens the folder itself; it is the administrator's choice, so links on its path are followed.
    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self { root: Arc::new(rustix::fs::openat(CWD, path, flags, Mode::empty())?) })
    }

    /// The folder itself.
    pub fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// The folder `names` leads to.
    pub fn folder(&self, names: &[Name]) -> io::Result<Arc<OwnedFd>> {
        if names.is_empty() {
            return Ok(Arc::clone(&self.root));
        }
        Ok(Arc::new(self.open_beneath(names, FOLDER)?))
    }

    /// The folder that contains the last of `names`, and that name. `names` must not be empty.
    pub fn parent<'n>(&self, names: &'n [Name]) -> io::Result<(Arc<OwnedFd>, &'n str)> {
        let (last, above) = names.split_last().ok_or(Errno::INVAL)?;
        Ok((self.folder(above)?, last.as_str()))
    }

    /// What is at `names`, without following links.
    pub fn stat(&self, names: &[Name]) -> io::Result<Stat> {
        if names.is_empty() {
            return Ok(rustix::fs::fstat(&*self.root)?);
        }
        refuse_staging(names)?;
        if let [name] = names {
            return Ok(rustix::fs::statat(&*self.root, name.as_str(), AtFlags::SYMLINK_NOFOLLOW)?);
        }
        let (folder, name) = self.parent(names)?;
        Ok(rustix::fs::statat(&*folder, name, AtFlags::SYMLINK_NOFOLLOW)?)
    }

    /// The birth time of what is at `names`, if the file system tells.
    pub fn born(&self, names: &[Name]) -> Option<Timestamp> {
        let (folder, name) = self.parent(names).ok()?;
        born(folder.as_fd(), name)
    }

    /// Opens a regular file for reading. Anything else is "no such file".
    pub fn file(&self, names: &[Name]) -> io::Result<OwnedFd> {
        // Checked first, because opening a device can have effects; then again on the open handle.
        regular(&self.stat(names)?)?;
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let file = self.open_beneath(names, flags)?;
        regular(&rustix::fs::fstat(&file)?)?;
        Ok(file)
    }

    fn open_beneath(&self, names: &[Name], flags: OFlags) -> io::Result<OwnedFd> {
        refuse_staging(names)?;
        if !WITHOUT_OPENAT2.load(Ordering::Relaxed) {
            let path = names.iter().map(Name::as_str).collect::<Vec<_>>().join("/");
            let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
            match rustix::fs::openat2(&*self.root, path, flags, Mode::empty(), resolve) {
                // A container's filter answers EPERM where an old kernel answers ENOSYS.
                Err(Errno::NOSYS | Errno::PERM) => WITHOUT_OPENAT2.store(true, Ordering::Relaxed),
                Err(Errno::LOOP | Errno::XDEV) => return Err(Errno::NOENT.into()),
                other => return Ok(other?),
            }
        }
        self.open_step_by_step(names, flags)
    }

    fn open_step_by_step(&self, names: &[Name], flags: OFlags) -> io::Result<OwnedFd> {
        let (last, above) = names.split_last().ok_or(Errno::INVAL)?;
        let mut folder = rustix::fs::openat(&*self.root, ".", FOLDER, Mode::empty())?;
        for name in above {
            folder = rustix::fs::openat(&folder, name.as_str(), FOLDER, Mode::empty()).map_err(hide_link)?;
        }
        rustix::fs::openat(&folder, last.as_str(), flags, Mode::empty()).map_err(|errno| hide_link(errno).into())
    }
}

/// A partner cannot see links.
fn hide_link(errno: Errno) -> Errno {
    if errno == Errno::LOOP { Errno::NOENT } else { errno }
}

/// Whether they lead to or through Waybill's own folder.
pub fn are_own(names: &[Name]) -> bool {
    names.iter().any(|name| name.as_str() == STAGING)
}

fn refuse_staging(names: &[Name]) -> io::Result<()> {
    if are_own(names) { Err(Errno::NOENT.into()) } else { Ok(()) }
}

fn regular(stat: &Stat) -> io::Result<()> {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Ok(()),
        FileType::Directory => Err(Errno::ISDIR.into()),
        _ => Err(Errno::NOENT.into()),
    }
}

/// Renames between two open folders. `replace`: an existing target is replaced; otherwise it is an error
/// (`AlreadyExists`).
pub fn rename(from: (BorrowedFd<'_>, &str), to: (BorrowedFd<'_>, &str), replace: Replace) -> io::Result<()> {
    match replace {
        Replace::Yes => {
            let _replaced = LastHold::of(to);
            Ok(rustix::fs::renameat(from.0, from.1, to.0, to.1)?)
        }
        Replace::No => match rustix::fs::renameat_with(from.0, from.1, to.0, to.1, RenameFlags::NOREPLACE) {
            // An old kernel, or a file system without support (NFS, older OpenZFS).
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => Ok(rename_to_free(from, to)?),
            renamed => Ok(renamed?),
        },
    }
}

/// The same by a link, which never replaces a name. For what cannot have a second name, such as a folder, the target is
/// checked first: within Waybill the caller has the turn at the name. After a crash in between a file has both names.
fn rename_to_free(from: (BorrowedFd<'_>, &str), to: (BorrowedFd<'_>, &str)) -> rustix::io::Result<()> {
    match rustix::fs::linkat(from.0, from.1, to.0, to.1, AtFlags::empty()) {
        Ok(()) => rustix::fs::unlinkat(from.0, from.1, AtFlags::empty()).inspect_err(|_| {
            // It was not renamed; this error is the one to report.
            let _ = rustix::fs::unlinkat(to.0, to.1, AtFlags::empty());
        }),
        Err(Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS | Errno::MLINK) => {
            match rustix::fs::statat(to.0, to.1, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(_) => Err(Errno::EXIST),
                Err(Errno::NOENT) => rustix::fs::renameat(from.0, from.1, to.0, to.1),
                Err(errno) => Err(errno),
            }
        }
        Err(errno) => Err(errno),
    }
}

/// Whether a rename may replace an existing target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replace {
    /// The target is replaced atomically.
    Yes,
    /// The target stays, and the rename fails.
    No,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn names(path: &str) -> Vec<Name> {
        path.split('/').map(|name| Name::parse(name).unwrap()).collect()
    }

    #[test]
    fn links_are_nothing_wherever_they_stand() {
        let outside = tempfile::tempdir().unwrap();
        std::fs::write(outside.path().join("secret"), "s").unwrap();
        let inside = tempfile::tempdir().unwrap();
        std::fs::create_dir(inside.path().join("sub")).unwrap();
        std::fs::write(inside.path().join("sub/file"), "f").unwrap();
        symlink(outside.path(), inside.path().join("folder")).unwrap();
        symlink(outside.path().join("secret"), inside.path().join("file")).unwrap();
        symlink("sub", inside.path().join("within")).unwrap();
        let jail = Jail::open(inside.path()).unwrap();
        for (label, open) in [
            ("openat2", Jail::open_beneath as fn(&Jail, &[Name], OFlags) -> io::Result<OwnedFd>),
            ("step by step", Jail::open_step_by_step),
        ] {
            let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
            assert!(open(&jail, &names("sub/file"), flags).is_ok(), "{label}");
            for path in ["folder/secret", "file", "within/file"] {
                assert!(open(&jail, &names(path), flags).is_err(), "{label} followed {path}");
            }
        }
        assert!(jail.file(&names("sub")).is_err());
        assert_eq!(jail.file(&names("file")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn without_a_rename_that_replaces_nothing_a_name_is_taken_from_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let jail = Jail::open(folder.path()).unwrap();
        let (at, read) = (jail.root(), |name: &str| std::fs::read_to_string(folder.path().join(name)).ok());
        for name in ["a", "b"] {
            std::fs::write(folder.path().join(name), name).unwrap();
        }
        assert_eq!(rename_to_free((at, "a"), (at, "b")), Err(Errno::EXIST));
        assert_eq!((read("a").as_deref(), read("b").as_deref()), (Some("a"), Some("b")));
        rename_to_free((at, "a"), (at, "c")).unwrap();
        assert_eq!((read("a"), read("c").as_deref()), (None, Some("a")));
        assert_eq!(rename_to_free((at, "a"), (at, "d")), Err(Errno::NOENT));
        // A folder.
        std::fs::create_dir_all(folder.path().join("e/inner")).unwrap();
        std::fs::create_dir(folder.path().join("empty")).unwrap();
        assert_eq!(rename_to_free((at, "e"), (at, "empty")), Err(Errno::EXIST));
        rename_to_free((at, "e"), (at, "f")).unwrap();
        assert!(folder.path().join("f/inner").is_dir() && !folder.path().join("e").exists());
    }

    #[test]
    fn a_fifo_and_the_staging_folder_are_nothing() {
        let inside = tempfile::tempdir().unwrap();
        let jail = Jail::open(inside.path()).unwrap();
        rustix::fs::mknodat(jail.root(), "pipe", FileType::Fifo, Mode::RWXU, 0).unwrap();
        std::fs::create_dir(inside.path().join(STAGING)).unwrap();
        std::fs::write(inside.path().join(STAGING).join("part"), "p").unwrap();
        assert!(jail.file(&names("pipe")).is_err());
        assert!(jail.stat(&names(".waybill")).is_err());
        assert!(jail.file(&names(".waybill/part")).is_err());
        assert!(jail.folder(&names(".waybill")).is_err());
    }
}
