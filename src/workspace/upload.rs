//! Parts: an upload is written aside in staging, and gets its final name only when it is complete, synced and recorded.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::attribute;
use super::copying::copy_first;
use super::folder::{OpenFolder, Unfinished};
use super::jail::{self, Replace};
use super::removal::{FREED_ASIDE_BYTES, LastHold};
use crate::base::clock::Timestamp;
use crate::base::fault::{self, Point};
use crate::base::path::{Name, VirtualPath};
use crate::base::sync::Syncer;
use crate::domain::connector::Connector;
use crate::domain::place::{Folder, Place};

/// The extended attribute of a part that preserves the client's name over a crash.
const CLIENT_PATH: &str = "user.waybill.path";
/// Bytes between two write-backs, so that the sync at the end is short.
const WRITE_BACK_BYTES: u64 = 32 * 1024 * 1024;

/// The most bytes copied inline: below this, the hop to another thread costs more.
const COPIED_INLINE_BYTES: u64 = 256 * 1024;

/// A part being written.
#[derive(Debug)]
pub struct Part {
    file: Arc<OwnedFd>,
    name: String,
    written: u64,
    written_back: u64,
    write_back: Option<tokio::task::JoinHandle<io::Result<()>>>,
}

impl Part {
    /// A new, empty part. `client_path` is kept with it, so that it can be resumed after a crash.
    pub fn create(folder: &OpenFolder, name: &str, client_path: &VirtualPath) -> io::Result<Self> {
        let part = Self::create_nameless(folder, name)?;
        fault::pass(Point::PartMade)?;
        match part.tell_client_path(client_path) {
            Ok(()) => Ok(part),
            Err(error) => {
                part.discard(folder);
                Err(error)
            }
        }
    }

    /// On a file system without such attributes the part can be resumed until the next start.
    fn tell_client_path(&self, client_path: &VirtualPath) -> io::Result<()> {
        attribute::set(&*self.file, CLIENT_PATH, &client_path.to_string())
    }

    /// A new, empty part that cannot be resumed: after a crash it is dropped.
    pub fn create_nameless(folder: &OpenFolder, name: &str) -> io::Result<Self> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let file = rustix::fs::openat(&**folder.staging(), name, flags, Mode::RUSR | Mode::WUSR)?;
        Ok(Self { file: Arc::new(file), name: name.to_owned(), written: 0, written_back: 0, write_back: None })
    }

    /// Continues an unfinished part at `offset`; bytes after it are cut off, on a separate thread if there are many.
    pub async fn resume(folder: &OpenFolder, unfinished: &Unfinished, offset: u64) -> io::Result<Self> {
        let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let file = Arc::new(rustix::fs::openat(&**folder.staging(), unfinished.part.as_str(), flags, Mode::empty())?);
        let behind = rustix::fs::fstat(&*file)?.st_size.cast_unsigned().checked_sub(offset).ok_or(Errno::INVAL)?;
        if behind < FREED_ASIDE_BYTES {
            rustix::fs::ftruncate(&*file, offset)?;
        } else {
            let cut = Arc::clone(&file);
            let cutting = tokio::task::spawn_blocking(move || rustix::fs::ftruncate(&*cut, offset));
            cutting.await.map_err(io::Error::other)??;
        }
        let name = unfinished.part.clone();
        Ok(Self { file, name, written: offset, written_back: offset, write_back: None })
    }

    /// Fills a new part with the first `length` bytes of `old`: shared blocks if the file system can, else copied.
    /// Large copies run on a separate thread, since they take seconds; `Interrupted` once `goes_on` says no.
    pub async fn copy_from(
        &mut self,
        old: &Arc<OwnedFd>,
        length: u64,
        goes_on: impl Fn() -> bool + Send + 'static,
    ) -> io::Result<()> {
        if length <= COPIED_INLINE_BYTES {
            copy_first(old, &self.file, length, goes_on)?;
        } else {
            let (old, new) = (Arc::clone(old), Arc::clone(&self.file));
            let copying = tokio::task::spawn_blocking(move || copy_first(&old, &new, length, goes_on));
            copying.await.map_err(io::Error::other)??;
        }
        self.written = length;
        Ok(())
    }

    /// Appends all of `bytes`.
    pub fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        fault::pass(Point::WritePart)?;
        while !bytes.is_empty() {
            let most = fault::taken(Point::WritePart, bytes.len());
            match rustix::io::pwrite(&*self.file, &bytes[..most], self.written) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => {
                    self.written += count as u64;
                    bytes = bytes.get(count..).unwrap_or_default();
                }
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(())
    }

    /// Starts writing back what was written recently. A failure of the previous write-back is an error here.
    pub async fn write_back(&mut self, syncer: &Syncer) -> io::Result<()> {
        if self.written - self.written_back < WRITE_BACK_BYTES {
            return Ok(());
        }
        self.written_back = self.written;
        self.wait_for_write_back().await?;
        let (syncer, file) = (syncer.clone(), Arc::clone(&self.file));
        self.write_back = Some(tokio::spawn(async move { syncer.file(file).await }));
        Ok(())
    }

    /// Waits until everything being written back is on disk; nothing of a part is kept before that is known.
    pub async fn wait_for_write_back(&mut self) -> io::Result<()> {
        match self.write_back.take() {
            Some(running) => running.await.map_err(io::Error::other)?,
            None => Ok(()),
        }
    }

    /// Waits until all of it is on disk. A failure is final: the kernel reports it once and forgets it.
    pub async fn sync(&mut self, syncer: &Syncer) -> io::Result<()> {
        self.wait_for_write_back().await?;
        syncer.file(Arc::clone(&self.file)).await?;
        fault::pass(Point::PartSynced)
    }

    /// The open file, for a digest that follows the writes.
    pub fn file(&self) -> &Arc<OwnedFd> {
        &self.file
    }

    /// Bytes in it.
    pub fn size_bytes(&self) -> u64 {
        self.written
    }

    /// Its name in staging.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its inode.
    pub fn inode(&self) -> io::Result<u64> {
        Ok(rustix::fs::fstat(&*self.file)?.st_ino)
    }

    /// Sets the mode for its final name.
    pub fn dress(&self, mode: u32) -> io::Result<()> {
        Ok(rustix::fs::fchmod(&*self.file, Mode::from_raw_mode(mode))?)
    }

    /// Drops Waybill's own attribute. Only right before the rename: without it a part without a receipt belongs to
    /// nobody.
    pub fn forget_client_path(&self) -> io::Result<()> {
        attribute::remove(&*self.file, CLIENT_PATH)
    }

    /// Whether it is still in staging.
    pub fn is_staged(&self, folder: &OpenFolder) -> bool {
        let there = rustix::fs::statat(&**folder.staging(), self.name.as_str(), AtFlags::SYMLINK_NOFOLLOW);
        there.is_ok_and(|there| self.inode().is_ok_and(|inode| inode == there.st_ino))
    }

    /// An upload that could not be published continues under another id: its part can be resumed as before.
    pub fn begin_anew(&mut self, folder: &OpenFolder, id: &str, client_path: &VirtualPath) -> io::Result<()> {
        let staging = folder.staging().as_fd();
        jail::rename((staging, &self.name), (staging, id), Replace::No)?;
        id.clone_into(&mut self.name);
        rustix::fs::fchmod(&*self.file, Mode::RUSR | Mode::WUSR)?;
        self.tell_client_path(client_path)
    }

    /// Gives the part its final name in `to`.
    pub fn publish(&self, folder: &OpenFolder, to: &OwnedFd, name: &Name, replace: Replace) -> io::Result<()> {
        jail::rename((folder.staging().as_fd(), &self.name), (to.as_fd(), name.as_str()), replace)?;
        fault::pass(Point::Renamed)
    }

    /// Keeps what arrived, to be resumed under the client's name. Returns what was dropped to make room, if anything.
    pub fn keep(self, folder: &OpenFolder, names: Vec<Name>, now: Timestamp) -> Option<(Vec<Name>, Unfinished)> {
        let unfinished = Unfinished { part: self.name, size_bytes: self.written, since: now };
        folder.keep_unfinished(names, unfinished)
    }

    /// Drops it.
    pub fn discard(self, folder: &OpenFolder) {
        folder.remove_part(&self.name);
        drop(LastHold::on(&self.file));
    }
}

/// A part found in staging at start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundPart {
    /// Its name; a receipt id.
    pub name: String,
    /// Its inode.
    pub inode: u64,
    /// The client's path, if it is known and the file has no other name: a part that has been published already, or is
    /// held, is never written again.
    pub client_path: Option<VirtualPath>,
    /// Bytes in it.
    pub size_bytes: u64,
    /// When it was last written.
    pub since: Timestamp,
}

impl FoundPart {
    /// The unfinished upload it belongs to, by the client's name below that folder of the connector, if it can be
    /// resumed. `None`: it has no client's name there, or nothing arrived.
    pub fn unfinished(&self, connector: &Connector, side: Folder) -> Option<(Vec<Name>, Unfinished)> {
        match Place::of(&connector.settings, self.client_path.as_ref()?) {
            Place::Within(of, names) if of == side && !names.is_empty() && self.size_bytes > 0 => {
                let Self { name, size_bytes, since, .. } = self;
                Some((names, Unfinished { part: name.clone(), size_bytes: *size_bytes, since: *since }))
            }
            _ => None,
        }
    }
}

/// Every part in staging.
pub fn parts(folder: &OpenFolder) -> io::Result<Vec<FoundPart>> {
    let mut found = Vec::new();
    for entry in rustix::fs::Dir::read_from(&**folder.staging())? {
        let entry = entry?;
        let Ok(name) = entry.file_name().to_str() else { continue };
        if name == "." || name == ".." {
            continue;
        }
        let stat = rustix::fs::statat(&**folder.staging(), name, AtFlags::SYMLINK_NOFOLLOW)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            continue;
        }
        found.push(FoundPart {
            name: name.to_owned(),
            inode: stat.st_ino,
            client_path: if stat.st_nlink > 1 { None } else { client_path(folder, name) },
            size_bytes: stat.st_size.cast_unsigned(),
            since: Timestamp::from_us(stat.st_mtime.saturating_mul(1_000_000)),
        });
    }
    Ok(found)
}

/// The client's name for what was broken off changes.
pub fn rename_client_path(folder: &OpenFolder, part: &str, client_path: &VirtualPath) -> io::Result<()> {
    attribute::set(&open_to_read(folder, part)?, CLIENT_PATH, &client_path.to_string())
}

fn client_path(folder: &OpenFolder, part: &str) -> Option<VirtualPath> {
    let file = open_to_read(folder, part).ok()?;
    let mut buffer = [0_u8; crate::base::path::PATH_BYTES_MAX];
    VirtualPath::root().resolve(attribute::get(&file, CLIENT_PATH, &mut buffer)?).ok()
}

/// Opens a part in staging, only for its attributes.
fn open_to_read(folder: &OpenFolder, part: &str) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    Ok(rustix::fs::openat(&**folder.staging(), part, flags, Mode::empty())?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::copying::{STEP_BYTES, shares_blocks};
    use std::sync::mpsc;

    /// A new part in a new folder, and an older file of that many bytes.
    fn part_and_file(bytes: u64) -> (tempfile::TempDir, Part, Arc<OwnedFd>) {
        let root = tempfile::tempdir().unwrap();
        let folder = OpenFolder::open(root.path()).unwrap();
        let part = Part::create_nameless(&folder, "new").unwrap();
        let old = std::fs::File::create_new(root.path().join("old")).unwrap();
        old.set_len(bytes).unwrap();
        let old = OwnedFd::from(std::fs::File::open(root.path().join("old")).unwrap());
        (root, part, Arc::new(old))
    }

    #[test]
    fn many_bytes_are_copied_by_another_thread() {
        let runtime = tokio::runtime::Builder::new_current_thread().max_blocking_threads(1).build().unwrap();
        let (go, wait) = mpsc::channel::<()>();
        runtime.spawn_blocking(move || wait.recv());
        runtime.block_on(async {
            let (_root, mut few, old) = part_and_file(COPIED_INLINE_BYTES);
            few.copy_from(&old, COPIED_INLINE_BYTES, || true).await.unwrap();
            let (_root, mut many, old) = part_and_file(COPIED_INLINE_BYTES + 1);
            {
                let mut copying = std::pin::pin!(many.copy_from(&old, COPIED_INLINE_BYTES + 1, || true));
                tokio::select! {
                    biased;
                    _ = &mut copying => panic!("it was copied here"),
                    () = tokio::task::yield_now() => {}
                }
                drop(go);
                copying.await.unwrap();
            }
            assert_eq!(many.size_bytes(), COPIED_INLINE_BYTES + 1);
        });
    }

    #[tokio::test]
    async fn a_resumed_part_is_cut_where_it_goes_on() {
        let root = tempfile::tempdir().unwrap();
        let folder = OpenFolder::open(root.path()).unwrap();
        for behind in [0, 7, FREED_ASIDE_BYTES] {
            let mut part = Part::create_nameless(&folder, "unfinished").unwrap();
            part.write(b"arrived").unwrap();
            rustix::fs::ftruncate(part.file(), 7 + behind).unwrap();
            let unfinished =
                Unfinished { part: "unfinished".to_owned(), size_bytes: 7 + behind, since: Timestamp::from_us(0) };
            let mut part = Part::resume(&folder, &unfinished, 7).await.unwrap();
            assert_eq!(rustix::fs::fstat(part.file()).unwrap().st_size, 7);
            part.write(b" whole").unwrap();
            assert_eq!(part.size_bytes(), 13);
            assert!(Part::resume(&folder, &unfinished, 14).await.is_err(), "there are no 14 bytes");
            part.discard(&folder);
        }
    }

    #[test]
    fn a_part_is_the_clients_until_right_before_its_rename() {
        let root = tempfile::tempdir().unwrap();
        let folder = OpenFolder::open(root.path()).unwrap();
        let path = VirtualPath::root().resolve("/Receive/a").unwrap();
        let part = Part::create(&folder, "new", &path).unwrap();
        part.dress(0o640).unwrap();
        assert_eq!(parts(&folder).unwrap()[0].client_path, Some(path), "a crash here leaves what can be gone on with");
        part.forget_client_path().unwrap();
        assert_eq!(parts(&folder).unwrap()[0].client_path, None);
        assert!(part.is_staged(&folder));
        std::fs::rename(root.path().join(".waybill/new"), root.path().join("a")).unwrap();
        assert!(!part.is_staged(&folder));
    }

    #[test]
    fn a_part_that_has_its_name_already_is_not_resumed() {
        let root = tempfile::tempdir().unwrap();
        let folder = OpenFolder::open(root.path()).unwrap();
        let path = VirtualPath::root().resolve("/Receive/a").unwrap();
        Part::create(&folder, "part", &path).unwrap();
        assert_eq!(parts(&folder).unwrap()[0].client_path, Some(path));
        std::fs::hard_link(root.path().join(".waybill/part"), root.path().join("a")).unwrap();
        assert_eq!(parts(&folder).unwrap()[0].client_path, None);
    }

    #[tokio::test]
    async fn a_copy_that_nobody_wants_any_more_ends() {
        let (_root, mut part, old) = part_and_file(2 * STEP_BYTES);
        // The file system may share the blocks, which takes no time: such a copy cannot be stopped, and need not be.
        if !shares_blocks(&*old, &*part.file) {
            let stopped = part.copy_from(&old, 2 * STEP_BYTES, || false).await;
            assert_eq!(stopped.unwrap_err().kind(), io::ErrorKind::Interrupted);
            assert_eq!(part.size_bytes(), 0);
        }
    }
}
