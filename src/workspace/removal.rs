//! Removes and replaces files. The system frees a file's blocks within the call that removes its last name or closes
//! its last handle: 0.15 s for 1 GiB in memory, more on a disk. A large file is held open until a separate thread
//! closes it, so that neither the command nor the sessions beside it wait for that.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard};

use rustix::fs::{AtFlags, Mode, OFlags};

use crate::base::filesystem::keeps_names_of_held_files;
use crate::base::lock::lock;

/// Files from this size on are freed by a separate thread: below, the hop costs more.
pub(super) const FREED_ASIDE_BYTES: u64 = 1024 * 1024;

/// Removes a file's name.
pub fn remove_file(folder: impl AsFd, name: &str) -> io::Result<()> {
    let _held = LastHold::of((folder.as_fd(), name));
    Ok(rustix::fs::unlinkat(folder, name, AtFlags::empty())?)
}

/// The same; it may be gone already.
pub fn remove_file_if_there(folder: impl AsFd, name: &str) -> io::Result<()> {
    match remove_file(folder, name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Bytes that other threads are freeing now, by device.
static FREEING: LazyLock<Freeing> = LazyLock::new(Freeing::default);

/// Bytes being freed on the file system of an open folder count as free: a partner that makes room and then uploads is
/// not refused in between.
pub(super) fn being_freed(folder: impl AsFd) -> u64 {
    FREEING.on(|| rustix::fs::fstat(folder).map(|stat| stat.st_dev))
}

#[derive(Debug, Default)]
struct Freeing(Mutex<HashMap<u64, u64>>);

impl Freeing {
    fn begin(&self, device: u64, bytes: u64) {
        *self.lock().entry(device).or_default() += bytes;
    }

    fn end(&self, device: u64, bytes: u64) {
        let mut all = self.lock();
        let left = all.get(&device).map_or(0, |now| now.saturating_sub(bytes));
        if left > 0 {
            all.insert(device, left);
        } else {
            all.remove(&device);
        }
    }

    /// For that device, which is looked up only if any bytes are being freed.
    fn on(&self, device: impl FnOnce() -> rustix::io::Result<u64>) -> u64 {
        let all = self.lock();
        if all.is_empty() {
            return 0;
        }
        device().ok().and_then(|device| all.get(&device).copied()).unwrap_or(0)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, u64>> {
        lock(&self.0)
    }
}

/// Keeps a file's blocks after the loss of its last name; frees them on another thread.
#[derive(Debug)]
pub(super) struct LastHold(Option<Held>);

#[derive(Debug)]
struct Held {
    file: Arc<OwnedFd>,
    device: u64,
    bytes: u64,
}

impl LastHold {
    /// Holds the file of that name before it loses it, if it is large and has no other name. Opens nothing: `O_PATH`
    /// (open(2)).
    pub(super) fn of((folder, name): (BorrowedFd<'_>, &str)) -> Self {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(folder, name, flags, Mode::empty()).ok();
        let held = file.and_then(|file| Held::of(Arc::new(file), 1));
        Self(held.filter(|held| keeps_names_of_held_files(&*held.file).is_ok_and(|keeps| !keeps)))
    }

    /// Holds an open file without a name before it is closed; otherwise nothing.
    pub(super) fn on(file: &Arc<OwnedFd>) -> Self {
        Self(Held::of(Arc::clone(file), 0))
    }
}

impl Held {
    /// A large file with that many names.
    fn of(file: Arc<OwnedFd>, names: u64) -> Option<Self> {
        let stat = rustix::fs::fstat(&*file).ok()?;
        let is_it = stat.st_nlink == names && stat.st_size.cast_unsigned() >= FREED_ASIDE_BYTES;
        // Blocks of 512 bytes, whatever the file system's block size (stat(2)).
        is_it.then(|| Self { file, device: stat.st_dev, bytes: stat.st_blocks.cast_unsigned() * 512 })
    }
}

impl Drop for LastHold {
    fn drop(&mut self) {
        // Without a runtime nobody waits.
        let (Some(held), Ok(runtime)) = (self.0.take(), tokio::runtime::Handle::try_current()) else { return };
        FREEING.begin(held.device, held.bytes);
        runtime.spawn_blocking(move || {
            drop(held.file);
            FREEING.end(held.device, held.bytes);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::download::Source;
    use crate::workspace::jail::{self, Replace};
    use std::sync::mpsc;

    /// Whether this process still holds the file that had that name.
    fn is_held(name: &str) -> bool {
        let gone = format!("{name} (deleted)");
        std::fs::read_dir("/proc/self/fd")
            .unwrap()
            .flatten()
            .any(|entry| std::fs::read_link(entry.path()).is_ok_and(|target| target.to_string_lossy().ends_with(&gone)))
    }

    /// Applies `leave` to a file of `bytes` bytes on a runtime whose other threads are busy: whether it was held
    /// meanwhile but not afterwards.
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
        // The runtime ends after its threads.
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
    fn one_with_another_name_is_not_held() {
        assert!(!held_by("linked-large", FREED_ASIDE_BYTES, |folder| {
            rustix::fs::linkat(folder, "linked-large", folder, "other", AtFlags::empty()).unwrap();
            remove_file(folder, "linked-large").unwrap();
        }));
    }

    #[test]
    fn what_is_being_freed_counts_as_free() {
        held_by("counted-large", FREED_ASIDE_BYTES, |folder| {
            let file = rustix::fs::openat(folder, "counted-large", OFlags::WRONLY, Mode::empty()).unwrap();
            rustix::io::pwrite(&file, &vec![7; 65_536], 0).unwrap();
            rustix::fs::fsync(&file).unwrap();
            drop(file);
            remove_file(folder, "counted-large").unwrap();
            assert!(being_freed(folder) >= 65_536);
        });
        let freeing = Freeing::default();
        let on = |device| freeing.on(|| Ok(device));
        freeing.begin(1, 10);
        freeing.begin(1, 5);
        assert_eq!((on(1), on(2)), (15, 0));
        freeing.end(1, 10);
        assert_eq!(on(1), 5);
        freeing.end(1, 5);
        assert_eq!(freeing.on(|| unreachable!("nothing is being freed")), 0);
    }

    #[test]
    fn what_is_not_there_is_said_or_fine() {
        let folder = tempfile::tempdir().unwrap();
        let open = std::fs::File::open(folder.path()).unwrap();
        assert_eq!(remove_file(&open, "nothing").unwrap_err().kind(), io::ErrorKind::NotFound);
        remove_file_if_there(&open, "nothing").unwrap();
    }
}
