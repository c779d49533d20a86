//! Entries of a folder, one after the other: constant memory, no sort.

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex};

use rustix::fs::{AtFlags, Dir, FileType};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, spawn_blocking};

use super::download::Version;
use super::folder::OpenFolder;
use super::jail::STAGING;
use crate::base::cores;
use crate::base::lock::lock;
use crate::base::path::Name;

/// Entries looked at by whoever asks for the first: most folders have no more.
const AT_HAND: usize = 64;
/// Entries that another thread looks at while those before them are listed.
const AHEAD: usize = 256;
/// Threads that look ahead in one listing: finding the size and time of each entry is half of its work.
const AHEAD_THREADS: usize = 2;
/// Second threads of all listings together, as many as there are cores: more would only take turns, and on a disk that
/// hangs they would take the threads that syncs need.
static SECOND_THREADS: LazyLock<Semaphore> = LazyLock::new(|| Semaphore::new(cores::count()));

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A folder.
    Folder,
}

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its name.
    pub name: Name,
    /// What it is.
    pub kind: EntryKind,
    /// Size and times.
    pub version: Version,
}

/// Walks a folder. Links, devices, names that no client can say and Waybill's own folder are left out.
#[derive(Debug)]
pub struct Entries {
    folder: Arc<OwnedFd>,
    names: Names,
}

/// The names in a folder, in the order of the disk.
#[derive(Debug)]
struct Names(Dir);

impl Iterator for Names {
    type Item = io::Result<Name>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let entry = match self.0.read()? {
                Ok(entry) => entry,
                Err(errno) => return Some(Err(errno.into())),
            };
            let name = entry.file_name().to_str().ok().and_then(|name| Name::parse(name).ok());
            if let Some(name) = name.filter(|name| name.as_str() != STAGING) {
                return Some(Ok(name));
            }
        }
    }
}

impl Entries {
    /// Opens the folder `names` leads to.
    pub fn open(folder: &OpenFolder, names: &[Name]) -> io::Result<Self> {
        let folder = folder.jail().folder(names)?;
        let names = Names(Dir::read_from(&folder)?);
        Ok(Self { folder, names })
    }
}

/// What lies under that name; `None` for what is not listed, and for what is gone since its name was read.
fn look(folder: &OwnedFd, name: io::Result<Name>) -> Option<io::Result<Found>> {
    let name = match name {
        Ok(name) => name,
        Err(error) => return Some(Err(error)),
    };
    let stat = rustix::fs::statat(folder, name.as_str(), AtFlags::SYMLINK_NOFOLLOW).ok()?;
    let kind = match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => EntryKind::File,
        FileType::Directory => EntryKind::Folder,
        _ => return None,
    };
    Some(Ok(Found { name, kind, version: Version::of(&stat) }))
}

/// Every file of a folder and of those below it, until `each` says that it is enough. At most `folders_max` folders are
/// looked into. Gives whether that was all of them.
pub fn files_below(
    folder: &OpenFolder,
    folders_max: usize,
    mut each: impl FnMut(Vec<Name>, Version) -> bool,
) -> io::Result<bool> {
    let (mut folders, mut looked_into, mut all) = (vec![Vec::new()], 0, true);
    while let Some(above) = folders.pop() {
        looked_into += 1;
        let entries = match Entries::open(folder, &above) {
            Ok(entries) => entries,
            // Gone since its parent was read.
            Err(error) if error.kind() == io::ErrorKind::NotFound && !above.is_empty() => continue,
            Err(error) => return Err(error),
        };
        for entry in entries {
            let entry = entry?;
            let mut names = above.clone();
            names.push(entry.name);
            match entry.kind {
                EntryKind::File => {
                    if !each(names, entry.version) {
                        return Ok(false);
                    }
                }
                EntryKind::Folder if looked_into + folders.len() < folders_max => folders.push(names),
                EntryKind::Folder => all = false,
            }
        }
    }
    Ok(all)
}

impl Iterator for Entries {
    type Item = io::Result<Found>;

    fn next(&mut self) -> Option<Self::Item> {
        let folder = &self.folder;
        self.names.find_map(|name| look(folder, name))
    }
}

/// The entries of a folder, for whoever must not wait for a slow disk: of a large folder the next ones are looked at by
/// other threads meanwhile, which end with them, however slowly they are listed.
#[derive(Debug)]
pub struct LookingAhead {
    batch: std::vec::IntoIter<io::Result<Found>>,
    ahead: VecDeque<JoinHandle<Vec<io::Result<Found>>>>,
    folder: Arc<Shared>,
}

/// A folder that several threads walk together.
#[derive(Debug)]
struct Shared {
    folder: Arc<OwnedFd>,
    names: Mutex<Names>,
    /// There are no more names: asked without waiting for who reads them.
    ended: AtomicBool,
}

impl LookingAhead {
    /// Looks at the first few.
    pub fn of(entries: Entries) -> Self {
        let Entries { folder, names } = entries;
        let folder = Arc::new(Shared { folder, names: Mutex::new(names), ended: AtomicBool::new(false) });
        let at_hand = folder.take(AT_HAND);
        let mut this = Self { batch: Vec::new().into_iter(), ahead: VecDeque::new(), folder };
        // The others begin before this thread looks at its own.
        this.look_on();
        this.batch = this.folder.look_at(at_hand).into_iter();
        this
    }

    /// The next one, about in the order of the disk.
    pub async fn next(&mut self) -> io::Result<Option<Found>> {
        while self.batch.len() == 0 {
            let Some(next) = self.ahead.pop_front() else { return Ok(None) };
            self.batch = next.await.map_err(io::Error::other)?.into_iter();
            self.look_on();
        }
        self.batch.next().transpose()
    }

    fn look_on(&mut self) {
        while self.ahead.len() < AHEAD_THREADS && !self.folder.ended.load(Ordering::Relaxed) {
            // One thread there is for each listing.
            let second = if self.ahead.is_empty() {
                None
            } else {
                let Ok(permit) = SECOND_THREADS.try_acquire() else { return };
                Some(permit)
            };
            let folder = Arc::clone(&self.folder);
            self.ahead.push_back(spawn_blocking(move || {
                let _second = second;
                folder.look_at(folder.take(AHEAD))
            }));
        }
    }
}

impl Shared {
    fn take(&self, most: usize) -> Vec<io::Result<Name>> {
        let mut names = lock(&self.names);
        let taken: Vec<_> = names.by_ref().take(most).collect();
        if taken.len() < most {
            self.ended.store(true, Ordering::Relaxed);
        }
        taken
    }

    fn look_at(&self, names: Vec<io::Result<Name>>) -> Vec<io::Result<Found>> {
        names.into_iter().filter_map(|name| look(&self.folder, name)).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[tokio::test]
    async fn every_entry_comes_once_however_many_there_are() {
        let root = tempfile::tempdir().unwrap();
        let mut expected = BTreeSet::new();
        for count in [0, 1, AT_HAND, AT_HAND + 1, AT_HAND + AHEAD, AT_HAND + AHEAD * 2 + 1] {
            for number in expected.len()..count {
                let name = format!("{number}.edi");
                std::fs::write(root.path().join(&name), "x").unwrap();
                expected.insert(name);
            }
            let folder = OpenFolder::open(root.path()).unwrap();
            let mut entries = LookingAhead::of(Entries::open(&folder, &[]).unwrap());
            let mut seen = Vec::new();
            while let Some(found) = entries.next().await.unwrap() {
                seen.push(found.name.as_str().to_owned());
            }
            assert_eq!((seen.len(), seen.into_iter().collect()), (count, expected.clone()));
        }
    }
}
