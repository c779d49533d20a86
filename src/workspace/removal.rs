//! Removing and replacing. The system gives a file's blocks back within the call that takes its last name, or closes its
//! last handle: 0.1 s for 1 GiB in memory, more on a disk. A large file is held until a thread of its own lets it go, so
//! that neither the command nor the sessions beside it wait for that.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::{AtFlags, Mode, OFlags, Stat};

use super::filesystem::keeps_names_of_held_files;

/// Bytes of a file from which on a thread of its own frees it: below, the hop costs more.
pub(super) const FREED_ASIDE_BYTES: u64 = 1024 * 1024;

/// Removes a file's name.
pub fn remove_file(folder: impl AsFd, name: &str) -> io::Result<()> {
    let _held = LastHold::of((folder.as_fd(), name));
    Ok(rustix::fs::unlinkat(folder, name, AtFlags::empty())?)
}

/// The same; that it is gone already is fine.
pub fn remove_file_if_there(folder: impl AsFd, name: &str) -> io::Result<()> {
    match remove_file(folder, name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// What keeps a file's blocks over the loss of its name; gives them back on another thread.
#[derive(Debug)]
pub(super) struct LastHold(Option<Arc<OwnedFd>>);

impl LastHold {
    /// Of whatever has that name, before it loses it; of nothing when it is small. Nothing is opened for it: `O_PATH`
    /// (open(2)).
    pub(super) fn of((folder, name): (BorrowedFd<'_>, &str)) -> Self {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(folder, name, flags, Mode::empty()).ok();
        let is_large = |file: &OwnedFd| rustix::fs::fstat(file).is_ok_and(|stat| is_large(&stat));
        let may_be_held = |file: &OwnedFd| keeps_names_of_held_files(file).is_ok_and(|keeps| !keeps);
        Self(file.filter(|file| is_large(file) && may_be_held(file)).map(Arc::new))
    }

    /// Of an open file that has no name any more, before it is closed; of nothing otherwise.
    pub(super) fn on(file: &Arc<OwnedFd>) -> Self {
        let is_it = rustix::fs::fstat(&**file).is_ok_and(|stat| stat.st_nlink == 0 && is_large(&stat));
        Self(is_it.then(|| Arc::clone(file)))
    }
}

fn is_large(stat: &Stat) -> bool {
    stat.st_size.cast_unsigned() >= FREED_ASIDE_BYTES
}

impl Drop for LastHold {
    fn drop(&mut self) {
        // Without a runtime nobody waits.
        if let (Some(file), Ok(runtime)) = (self.0.take(), tokio::runtime::Handle::try_current()) {
            runtime.spawn_blocking(move || drop(file));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::download::Source;
    use crate::workspace::jail::{self, Replace};
    use std::sync::mpsc;

    /// Whether this process still holds what had that name.
    fn is_held(name: &str) -> bool {
        let gone = format!("{name} (deleted)");
        std::fs::read_dir("/proc/self/fd")
            .unwrap()
            .flatten()
            .any(|entry| std::fs::read_link(entry.path()).is_ok_and(|target| target.to_string_lossy().ends_with(&gone)))
    }

    /// Does `leave` to a file of `bytes` bytes on a runtime whose other threads are busy: whether it was held meanwhile,
    /// and that it is not afterwards.
    fn held_by(name: &str, bytes: u64, leave: impl FnOnce(BorrowedFd<'_>)) -> bool {
        let folder = tempfile::tempdir().unwrap();
        std::fs::File::create(folder.path().join(name)).unwrap().set_len(bytes).unwrap();
        let open = std::fs::File::open(folder.path()).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().max_blocking_threads(1).build().unwrap();
        let (go, wait) = mpsc::channel::<()>();
        runtime.spawn_blocking(move || wait.recv());
        let held = runtime.block_on(async {
            leave(open.as_fd());
            is_held(name)
        });
        drop(go);
        // The runtime ends once its threads have.
        drop(runtime);
        assert!(!is_held(name), "{name} is held for good");
        held
    }

    #[test]
    fn a_large_file_is_freed_by_another_thread_and_a_small_one_at_once() {
        let leave = |name: &'static str| move |folder: BorrowedFd<'_>| remove_file(folder, name).unwrap();
        assert!(held_by("removed-large", FREED_ASIDE_BYTES, leave("removed-large")));
        assert!(!held_by("removed-small", FREED_ASIDE_BYTES - 1, leave("removed-small")));
    }

    #[test]
    fn so_is_one_that_another_takes_the_name_of() {
        let replaced = held_by("replaced-large", FREED_ASIDE_BYTES, |folder| {
            rustix::fs::openat(folder, "new", OFlags::CREATE | OFlags::WRONLY, Mode::RWXU).unwrap();
            jail::rename((folder, "new"), (folder, "replaced-large"), Replace::Yes).unwrap();
            assert_eq!(rustix::fs::statat(folder, "replaced-large", AtFlags::empty()).unwrap().st_size, 0);
        });
        assert!(replaced);
    }

    #[test]
    fn so_is_one_that_was_still_being_read() {
        assert!(held_by("read-large", FREED_ASIDE_BYTES, |folder| {
            let file = rustix::fs::openat(folder, "read-large", OFlags::RDONLY, Mode::empty()).unwrap();
            let source = Source::shared(Arc::new(file)).unwrap();
            rustix::fs::unlinkat(folder, "read-large", AtFlags::empty()).unwrap();
            drop(source);
        }));
    }

    #[test]
    fn what_is_not_there_is_said_or_fine() {
        let folder = tempfile::tempdir().unwrap();
        let open = std::fs::File::open(folder.path()).unwrap();
        assert_eq!(remove_file(&open, "nothing").unwrap_err().kind(), io::ErrorKind::NotFound);
        remove_file_if_there(&open, "nothing").unwrap();
    }
}
