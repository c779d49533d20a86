//! One open partner folder: its jail, its staging folder with the unfinished uploads, and locks for what must be done
//! one at a time.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, Mode, OFlags};
use tokio::sync::{RwLockReadGuard, RwLockWriteGuard};

use super::active::Active;
use super::download::Version;
use super::jail::{Jail, STAGING};
use super::removal::{being_freed, remove_file_if_there};
use super::temporary::Temporaries;
use crate::base::clock::Timestamp;
use crate::base::file_id::FileId;
use crate::base::lock::lock;
use crate::base::path::Name;
use crate::base::sync::{SharedSync, Syncer};

/// The most unfinished uploads of one folder; beyond it a new one drops the oldest.
pub const UNFINISHED_MAX: usize = 1_000;
/// Folders above a new one that are synced: the connector's, the root, and its parent.
const PARENTS_SYNCED: usize = 3;
/// The most remembered files that Waybill put there itself, recently enough to matter.
const PUBLISHED_MAX: usize = 10_000;
/// The most remembered files with a time in the future.
const TO_COME_MAX: usize = 100_000;
/// The most remembered digests of files without a receipt.
const DIGESTS_MAX: usize = 1_000;

/// An upload that was broken off and can be resumed under the client's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfinished {
    /// The part's name in staging; a receipt id.
    pub part: String,
    /// Bytes that arrived.
    pub size_bytes: u64,
    /// When the last of them arrived.
    pub since: Timestamp,
}

/// What is remembered of a file without a receipt.
#[derive(Clone, Copy, Debug)]
struct Remembered {
    sha256: [u8; 32],
    /// Its ctime, which nobody can set: for its name, when that was on disk.
    changed: Timestamp,
}

/// What is known of a file without a receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// Its digest.
    pub sha256: [u8; 32],
    /// Whether its bytes are on disk: Waybill synced them, and nobody has touched the file since it got its name.
    pub is_synced: bool,
}

/// An open Send or Receive folder.
#[derive(Debug)]
pub struct OpenFolder {
    jail: Jail,
    /// Device and inode.
    which: (u64, u64),
    /// File systems entered on the way to it.
    mounts: usize,
    staging: Arc<OwnedFd>,
    staging_inode: u64,
    unfinished: Mutex<HashMap<Vec<Name>, Unfinished>>,
    temporaries: Temporaries,
    naming: Mutex<HashMap<Vec<Name>, Weak<tokio::sync::Mutex<()>>>>,
    ways: tokio::sync::RwLock<()>,
    syncs: Mutex<HashMap<(u64, u64), Weak<SharedSync>>>,
    published: Mutex<HashMap<u64, Timestamp>>,
    /// Files with a time in the future, by inode: that time, and since when they are known to be unchanged.
    to_come: Mutex<HashMap<u64, (Timestamp, Instant)>>,
    digests: Mutex<HashMap<FileId, Remembered>>,
    failing: AtomicBool,
    probing: tokio::sync::Mutex<()>,
    active: Active,
}

/// How many file systems a path enters, as far as it leads.
pub(super) fn mounts(path: &Path) -> usize {
    let devices = path.ancestors().filter_map(|folder| rustix::fs::stat(folder).ok().map(|stat| stat.st_dev));
    let devices: Vec<_> = devices.collect();
    devices.windows(2).filter(|pair| pair[0] != pair[1]).count()
}

/// The turns at one or two names, held until dropped.
#[derive(Debug)]
pub struct Turns {
    _first: tokio::sync::OwnedMutexGuard<()>,
    _second: Option<tokio::sync::OwnedMutexGuard<()>>,
}

impl OpenFolder {
    /// Opens the folder, made if missing, and its staging folder.
    pub fn open(path: &Path) -> io::Result<Self> {
        if !path.is_dir() {
            std::fs::create_dir_all(path)?;
            // A file is safe only if the folders above it are.
            for folder in path.ancestors().skip(1).take(PARENTS_SYNCED) {
                std::fs::File::open(folder)?.sync_all()?;
            }
        }
        let jail = Jail::open(path)?;
        match rustix::fs::mkdirat(jail.root(), STAGING, Mode::RWXU) {
            Ok(()) => rustix::fs::fsync(jail.root())?,
            Err(rustix::io::Errno::EXIST) => {}
            Err(errno) => return Err(errno.into()),
        }
        Self::with_staging(jail, path)
    }

    /// The same for a folder that has its staging folder; makes nothing.
    pub fn existing(path: &Path) -> io::Result<Self> {
        Self::with_staging(Jail::open(path)?, path)
    }

    fn with_staging(jail: Jail, path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let staging = Arc::new(rustix::fs::openat(jail.root(), STAGING, flags, Mode::empty())?);
        Ok(Self {
            which: key_of(jail.root())?,
            mounts: mounts(path),
            staging_inode: rustix::fs::fstat(&*staging)?.st_ino,
            jail,
            staging,
            unfinished: Mutex::default(),
            temporaries: Temporaries::default(),
            naming: Mutex::default(),
            ways: tokio::sync::RwLock::default(),
            syncs: Mutex::default(),
            published: Mutex::default(),
            to_come: Mutex::default(),
            digests: Mutex::default(),
            failing: AtomicBool::new(false),
            probing: tokio::sync::Mutex::default(),
            active: Active::default(),
        })
    }

    /// Which folder it is: its device and inode.
    pub const fn which(&self) -> (u64, u64) {
        self.which
    }

    /// Whether the path still leads to it and parts can be written: not if another folder has taken its place, nor if a
    /// file system was mounted over it or its own was unmounted.
    pub fn is_at(&self, path: &Path) -> bool {
        let found = rustix::fs::stat(path).is_ok_and(|stat| (stat.st_dev, stat.st_ino) == self.which);
        found && rustix::fs::fstat(&self.staging).is_ok_and(|staging| staging.st_nlink > 0)
    }

    /// Whether its disk was taken away: its path enters fewer file systems than it did.
    pub fn is_unmounted(&self, path: &Path) -> bool {
        mounts(path) < self.mounts
    }

    /// Access to its files.
    pub fn jail(&self) -> &Jail {
        &self.jail
    }

    /// Where parts are written.
    pub fn staging(&self) -> &Arc<OwnedFd> {
        &self.staging
    }

    /// The inode of the staging folder: if a disk is away, another one is in its place.
    pub const fn staging_inode(&self) -> u64 {
        self.staging_inode
    }

    /// The uploads under way.
    pub fn active(&self) -> &Active {
        &self.active
    }

    /// Complete uploads under temporary names.
    pub fn temporaries(&self) -> &Temporaries {
        &self.temporaries
    }

    /// The unfinished upload under that name.
    pub fn unfinished(&self, names: &[Name]) -> Option<Unfinished> {
        lock(&self.unfinished).get(names).cloned()
    }

    /// Every upload that can be continued, by the client's name below this folder: the unfinished ones, and those of
    /// dead sessions, which continuing ends (PRODUCT 5.7).
    pub fn all_resumable(&self, now: Timestamp) -> HashMap<Vec<Name>, Unfinished> {
        let mut all = lock(&self.unfinished).clone();
        all.extend(self.active.dead(now));
        all
    }

    /// The resumable upload of that name.
    pub fn resumable(&self, names: &[Name], now: Timestamp) -> Option<Unfinished> {
        let dead = if self.active.is_running(names) { self.active.dead(now) } else { Vec::new() };
        let of_name = dead.into_iter().find(|(running, _)| running == names).map(|(_, left)| left);
        of_name.or_else(|| self.unfinished(names))
    }

    /// A complete file has that name, from an upload or a rename that began with `part`. What was broken off earlier is
    /// no longer continued: an old beginning with a new end would make a file that nobody has.
    pub fn supersede(&self, names: &[Name], part: &str) {
        // Those under way come first, and check for this once they are kept: so one of the two sees the other.
        self.active.supersede(names, part);
        self.drop_unfinished(names, |one| one < part);
    }

    /// A folder was renamed: what can be continued below it has another name now. Returns the names with their parts.
    pub fn folder_renamed(&self, from: &[Name], to: &[Name]) -> Vec<(Vec<Name>, String)> {
        let mut all = lock(&self.unfinished);
        let below: Vec<_> = all.keys().filter(|names| names.starts_with(from)).cloned().collect();
        let follow = |names: Vec<Name>| {
            let one = all.remove(&names)?;
            let now = [to, names.get(from.len()..)?].concat();
            let part = one.part.clone();
            all.insert(now.clone(), one);
            Some((now, part))
        };
        below.into_iter().filter_map(follow).collect()
    }

    /// Drops this unfinished upload.
    pub fn forget(&self, names: &[Name], part: &str) {
        self.drop_unfinished(names, |one| one == part);
    }

    fn drop_unfinished(&self, names: &[Name], is_it: impl Fn(&str) -> bool) {
        let mut all = lock(&self.unfinished);
        let dropped = if all.get(names).is_some_and(|one| is_it(&one.part)) { all.remove(names) } else { None };
        drop(all);
        if let Some(dropped) = dropped {
            self.remove_part(&dropped.part);
        }
    }

    /// Every unfinished upload, by the client's name below this folder.
    pub fn all_unfinished(&self) -> Vec<(Vec<Name>, Unfinished)> {
        lock(&self.unfinished).iter().map(|(names, unfinished)| (names.clone(), unfinished.clone())).collect()
    }

    /// Remembers an upload that was broken off; an older one of that name is dropped. Returns the one of another name
    /// that was dropped to make room, if there were too many.
    pub fn keep_unfinished(&self, names: Vec<Name>, unfinished: Unfinished) -> Option<(Vec<Name>, Unfinished)> {
        let (oldest, replaced) = {
            let mut all = lock(&self.unfinished);
            let is_full = all.len() >= UNFINISHED_MAX && !all.contains_key(&names);
            let oldest = if is_full { take_oldest(&mut all, &names) } else { None };
            let part = unfinished.part.clone();
            (oldest, all.insert(names, unfinished).filter(|older| older.part != part))
        };
        for dropped in oldest.iter().map(|(_, one)| one).chain(&replaced) {
            self.remove_part(&dropped.part);
        }
        oldest
    }

    /// Drops the oldest while all together are larger than that, except the one of that name. Returns those dropped.
    pub fn bound_unfinished(&self, most_bytes: u64, kept: &[Name]) -> Vec<(Vec<Name>, Unfinished)> {
        let mut dropped = Vec::new();
        let mut all = lock(&self.unfinished);
        while all.values().fold(0_u64, |sum, one| sum.saturating_add(one.size_bytes)) > most_bytes {
            let Some(oldest) = take_oldest(&mut all, kept) else { break };
            dropped.push(oldest);
        }
        drop(all);
        for (_, one) in &dropped {
            self.remove_part(&one.part);
        }
        dropped
    }

    /// Takes an unfinished upload over, to continue or drop it. Nobody else can have it then.
    pub fn take_unfinished(&self, names: &[Name]) -> Option<Unfinished> {
        lock(&self.unfinished).remove(names)
    }

    /// Takes over just this one; `false` if that name no longer leads to it.
    pub fn take_this(&self, names: &[Name], wanted: &Unfinished) -> bool {
        let mut all = lock(&self.unfinished);
        let is_it = all.get(names) == Some(wanted);
        if is_it {
            all.remove(names);
        }
        is_it
    }

    /// Returns an upload that was taken over but could not be continued, unless a later one has its name by now.
    pub fn put_back(&self, names: &[Name], unfinished: Unfinished) {
        let part = unfinished.part.clone();
        let is_back = *lock(&self.unfinished).entry(names.to_vec()).or_insert(unfinished).part == part;
        if !is_back {
            self.remove_part(&part);
        }
    }

    /// Removes a part from staging. It may be gone already.
    pub fn remove_part(&self, part: &str) {
        if let Err(error) = remove_file_if_there(&*self.staging, part) {
            tracing::warn!(part, %error, "Could not remove an unfinished upload");
        }
    }

    /// While held, no partner renames a folder below this one: from looking up the way to a file until its place is
    /// recorded. Take it before any turn at a name, and only once: behind a waiting rename, a second one would wait for
    /// the first.
    pub async fn ways_stay(&self) -> RwLockReadGuard<'_, ()> {
        self.ways.read().await
    }

    /// The turn to rename a folder: meanwhile nobody is on the way to a file.
    pub async fn ways_change(&self) -> RwLockWriteGuard<'_, ()> {
        self.ways.write().await
    }

    /// One at a time for each final name: from choosing it until the file has it. Different names never wait for each
    /// other.
    pub async fn naming(&self, names: &[Name]) -> tokio::sync::OwnedMutexGuard<()> {
        let turn = {
            let mut naming = lock(&self.naming);
            naming.retain(|_, turn| turn.strong_count() > 0);
            let known = naming.get(names).and_then(Weak::upgrade);
            known.unwrap_or_else(|| {
                let turn = Arc::default();
                naming.insert(names.to_vec(), Arc::downgrade(&turn));
                turn
            })
        };
        turn.lock_owned().await
    }

    /// The turns at two names, always taken in the same order, so that nobody deadlocks.
    pub async fn naming_both(&self, one: &[Name], other: &[Name]) -> Turns {
        let (first, second) = if one <= other { (one, other) } else { (other, one) };
        let first = self.naming(first).await;
        let second = if one == other { None } else { Some(self.naming(second).await) };
        Turns { _first: first, _second: second }
    }

    /// Waits until the entries of `folder`, below this one, are on disk; shared with others who wait for the same.
    pub async fn sync_folder(&self, syncer: &Syncer, folder: Arc<OwnedFd>) -> io::Result<()> {
        let key = key_of(&folder)?;
        let shared = {
            let mut syncs = lock(&self.syncs);
            let known = syncs.get(&key).and_then(Weak::upgrade);
            known.unwrap_or_else(|| {
                syncs.retain(|_, shared| shared.strong_count() > 0);
                let shared = Arc::default();
                syncs.insert(key, Arc::downgrade(&shared));
                shared
            })
        };
        shared.wait(syncer.folder(folder)).await
    }

    /// The same for the folder that a file moved to and the one it left, once if they are the same. In this order, so
    /// that one of them always has it.
    pub async fn sync_both(&self, syncer: &Syncer, came_to: Arc<OwnedFd>, left: Arc<OwnedFd>) -> io::Result<()> {
        let is_one = key_of(&came_to)? == key_of(&left)?;
        self.sync_folder(syncer, came_to).await?;
        if is_one { Ok(()) } else { self.sync_folder(syncer, left).await }
    }

    /// Waybill put this complete file there: it need not rest before it is served.
    pub fn published(&self, inode: u64, at: Timestamp) {
        let mut published = lock(&self.published);
        if published.len() >= PUBLISHED_MAX {
            published.retain(|_, then| at.since(*then) < Duration::from_hours(1));
        }
        published.insert(inode, at);
    }

    /// Whether such a file may be served: it has rested for `settle`, or is Waybill's own.
    pub fn is_settled(&self, file: &Version, settle: Duration, now: Timestamp) -> bool {
        let is_own = || lock(&self.published).get(&file.inode).is_some_and(|at| *at >= file.changed.minus(SLACK));
        now.since(file.changed) >= settle || is_own() || (file.changed > now && self.has_rested(file, settle, now))
    }

    /// Whether a file has been unchanged for `settle` since it was first looked at: its time is in the future because
    /// the clock was set back since, or is another machine's.
    fn has_rested(&self, file: &Version, settle: Duration, now: Timestamp) -> bool {
        let mut to_come = lock(&self.to_come);
        if to_come.len() >= TO_COME_MAX && !to_come.contains_key(&file.inode) {
            to_come.retain(|_, (changed, _)| *changed > now);
            if to_come.len() >= TO_COME_MAX {
                return false;
            }
        }
        let (changed, since) = to_come.entry(file.inode).or_insert_with(|| (file.changed, Instant::now()));
        if *changed != file.changed {
            (*changed, *since) = (file.changed, Instant::now());
        }
        since.elapsed() >= settle
    }

    /// Remembers a file without a receipt whose bytes are on disk: its digest, and its state before and after it got
    /// its name.
    pub fn remember(&self, sha256: [u8; 32], synced: Version, named: Version) {
        let file = synced.id();
        // Otherwise another program has written to it in between.
        if file != named.id() {
            return;
        }
        let mut digests = lock(&self.digests);
        if digests.len() >= DIGESTS_MAX {
            digests.clear();
        }
        digests.insert(file, Remembered { sha256, changed: named.changed });
    }

    /// What is remembered of a file in its present state.
    pub fn known(&self, file: Version) -> Option<Known> {
        let Remembered { sha256, changed } = *lock(&self.digests).get(&file.id())?;
        Some(Known { sha256, is_synced: changed == file.changed })
    }

    /// Whether a write or sync failed here and no probe has succeeded since.
    pub fn is_failing(&self) -> bool {
        self.failing.load(Ordering::Relaxed)
    }

    /// A write or sync failed: uploads are refused until [`Self::probe`] succeeds. Returns whether that is new.
    pub fn set_failing(&self) -> bool {
        !self.failing.swap(true, Ordering::Relaxed)
    }

    /// After a failure: writes, syncs, renames and removes a small file. One at a time, and the result holds for those
    /// who waited for it.
    pub async fn probe(&self, syncer: &Syncer) -> io::Result<()> {
        let _turn = self.probing.lock().await;
        if !self.is_failing() {
            return Ok(());
        }
        let (one, two) = ("probe", "probe.renamed");
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let file = rustix::fs::openat(&*self.staging, one, flags, Mode::RUSR | Mode::WUSR)?;
        rustix::io::write(&file, b"probe")?;
        syncer.file(Arc::new(file)).await?;
        rustix::fs::renameat(&*self.staging, one, &*self.staging, two)?;
        syncer.folder(Arc::clone(&self.staging)).await?;
        rustix::fs::unlinkat(&*self.staging, two, AtFlags::empty())?;
        self.failing.store(false, Ordering::Relaxed);
        Ok(())
    }

    /// Free bytes and all bytes of the file system. Space that is being freed counts as free.
    pub fn room(&self) -> io::Result<(u64, u64)> {
        let freed = being_freed(&*self.staging);
        let stat = rustix::fs::fstatvfs(self.staging.as_fd())?;
        let free = stat.f_bavail.saturating_mul(stat.f_frsize).saturating_add(freed);
        Ok((free, stat.f_blocks.saturating_mul(stat.f_frsize)))
    }
}

/// A file's change time may be slightly later than the moment recorded for its publication, because the kernel's clock
/// for files ticks coarsely.
const SLACK: Duration = Duration::from_millis(50);

/// The identity of a folder.
fn key_of(folder: impl AsFd) -> io::Result<(u64, u64)> {
    let stat = rustix::fs::fstat(folder)?;
    Ok((stat.st_dev, stat.st_ino))
}

fn take_oldest(all: &mut HashMap<Vec<Name>, Unfinished>, but: &[Name]) -> Option<(Vec<Name>, Unfinished)> {
    let others = all.iter().filter(|(names, _)| names.as_slice() != but);
    let oldest = others.min_by_key(|(_, one)| one.since).map(|(names, _)| names.clone())?;
    all.remove_entry(&oldest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn probes_at_once_do_not_spoil_each_other() {
        let root = tempfile::tempdir().unwrap();
        let folder = OpenFolder::open(root.path()).unwrap();
        let syncer = Syncer::default();
        for _ in 0..10 {
            assert!(folder.set_failing());
            let probes = futures_util::future::join_all((0..4).map(|_| folder.probe(&syncer))).await;
            assert!(probes.iter().all(Result::is_ok), "{probes:?}");
            assert!(!folder.is_failing());
        }
    }

    #[tokio::test]
    async fn a_file_that_somebody_touched_is_not_known_to_be_on_disk() {
        let root = tempfile::tempdir().unwrap();
        let folder = OpenFolder::open(root.path()).unwrap();
        let file = std::fs::File::create_new(root.path().join("a.tmp")).unwrap();
        let version = || Version::of(&rustix::fs::fstat(&file).unwrap());
        let (sha256, synced) = ([7; 32], version());
        // The kernel's clock for files ticks coarsely.
        let tick = || tokio::time::sleep(SLACK);
        tick().await;
        rustix::fs::fchmod(&file, Mode::RUSR).unwrap();
        folder.remember(sha256, synced, version());
        assert_eq!(folder.known(version()), Some(Known { sha256, is_synced: true }));
        tick().await;
        rustix::fs::fchmod(&file, Mode::RUSR | Mode::WUSR).unwrap();
        assert_eq!(folder.known(version()), Some(Known { sha256, is_synced: false }));
        tick().await;
        let before = version();
        rustix::io::pwrite(&file, b"theirs", 0).unwrap();
        assert_eq!(folder.known(version()), None);
        folder.remember(sha256, before, version());
        assert_eq!(folder.known(version()), None, "it was written to before it had its name");
    }

    /// A clock that was set back leaves times in the future; the times of some network file systems always are.
    #[tokio::test]
    async fn what_is_from_a_time_to_come_has_rested_as_long_as_it_is_known_unchanged() {
        let root = tempfile::tempdir().unwrap();
        let folder = OpenFolder::open(root.path()).unwrap();
        let file = std::fs::File::create_new(root.path().join("a.edi")).unwrap();
        let version = || Version::of(&rustix::fs::fstat(&file).unwrap());
        let settle = Duration::from_millis(100);
        let an_hour_before = || version().changed.minus(Duration::from_hours(1));
        let is_settled = || folder.is_settled(&version(), settle, an_hour_before());
        assert!(!is_settled());
        tokio::time::sleep(settle).await;
        assert!(is_settled());
        rustix::fs::fchmod(&file, Mode::RUSR).unwrap();
        assert!(!is_settled(), "somebody has touched it");
        tokio::time::sleep(settle).await;
        assert!(is_settled());
    }
}
