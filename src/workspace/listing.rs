//! Entries of a folder, one after the other, in constant memory and unsorted.

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex};

use rustix::fs::{AtFlags, Dir, DirEntry, FileType};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, spawn_blocking};

use super::download::Version;
use super::folder::OpenFolder;
use super::jail::STAGING;
use crate::base::cores;
use crate::base::lock::lock;
use crate::base::path::Name;
use crate::base::unseen;

/// Entries that the first request reads itself: most folders have no more.
const AT_HAND: usize = 64;
/// Entries that another thread reads while those before them are listed.
const AHEAD: usize = 256;
/// Threads that read ahead in one listing: getting the size and time of each entry is half of its work.
const AHEAD_THREADS: usize = 2;
/// Second threads of all listings together, as many as cores: more would only take turns, and with a hanging disk they
/// would take the threads that syncs need.
static SECOND_THREADS: LazyLock<Semaphore> = LazyLock::new(|| Semaphore::new(cores::count()));

/// The kind of an entry.
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
    /// Its kind.
    pub kind: EntryKind,
    /// Size and times.
    pub version: Version,
}

/// Walks a folder. Skips links, devices, names that no client can express and Waybill's own folder.
#[derive(Debug)]
pub struct Entries {
    folder: Arc<OwnedFd>,
    names: Names,
}

/// The names in a folder, in disk order.
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

/// The entry of that name; `None` if it is not listed, or has gone since its name was read.
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

/// Visits every file of a folder and those below it, until `each` says that it is enough. Visits at most `folders_max`
/// folders. Returns whether that was all of them.
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

/// Why something that lies in a folder is not listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotListed {
    /// Its name is not UTF-8.
    Encoding,
    /// Its name contains a control character.
    ControlCharacter,
    /// It is a symbolic link.
    Link,
    /// It is neither a file nor a folder.
    Special,
}

/// Something that lies in a folder and is not listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unlisted {
    /// Where it is below the folder, for reading only: bytes that are not UTF-8 as `\xE9`, characters that nobody sees
    /// as `[U+000A]`.
    pub below: String,
    /// Why.
    pub why: NotListed,
}

/// What [`unlisted_below`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllUnlisted {
    /// The first of them.
    pub first: Vec<Unlisted>,
    /// How many there are, as far as it looked.
    pub count: usize,
}

/// Searches a folder and those below it, `folders_max` at most, for what [`Entries`] skips; keeps the first `most`. It
/// reads names and no more, so that a large folder costs little.
pub fn unlisted_below(folder: &OpenFolder, folders_max: usize, most: usize) -> io::Result<AllUnlisted> {
    let (mut folders, mut looked_into, mut all) = (vec![Vec::new()], 0, AllUnlisted::default());
    while let Some(above) = folders.pop() {
        looked_into += 1;
        let opened = folder.jail().folder(&above).and_then(|open| Ok((Dir::read_from(&open)?, open)));
        let (dir, open) = match opened {
            Ok(opened) => opened,
            // Gone since its parent was read, or it may not be read.
            Err(_) if !above.is_empty() => continue,
            Err(error) => return Err(error),
        };
        for entry in dir {
            let entry = entry?;
            let bytes = entry.file_name().to_bytes();
            if matches!(bytes, b"." | b"..") || bytes == STAGING.as_bytes() {
                continue;
            }
            let why = match name_of(bytes) {
                Err(why) => why,
                Ok(name) => match type_of(&open, &entry) {
                    FileType::Directory => {
                        if looked_into + folders.len() < folders_max {
                            folders.push(above.iter().cloned().chain([name]).collect());
                        }
                        continue;
                    }
                    FileType::RegularFile | FileType::Unknown => continue,
                    FileType::Symlink => NotListed::Link,
                    _ => NotListed::Special,
                },
            };
            all.count += 1;
            if all.first.len() < most {
                let folders = above.iter().map(|name| format!("{}/", unseen::marked(name.as_str())));
                all.first.push(Unlisted { below: folders.chain([legible(bytes)]).collect(), why });
            }
        }
    }
    Ok(all)
}

fn name_of(bytes: &[u8]) -> Result<Name, NotListed> {
    let text = std::str::from_utf8(bytes).map_err(|_| NotListed::Encoding)?;
    Name::parse(text).map_err(|_| NotListed::ControlCharacter)
}

/// What the folder says it is; some file systems leave that to be asked.
fn type_of(folder: &OwnedFd, entry: &DirEntry) -> FileType {
    match entry.file_type() {
        FileType::Unknown => rustix::fs::statat(folder, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW)
            .map_or(FileType::Unknown, |stat| FileType::from_raw_mode(stat.st_mode)),
        known => known,
    }
}

/// A name in characters that can be read, whatever its bytes are.
fn legible(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.utf8_chunks() {
        text.push_str(&unseen::marked(chunk.valid()));
        text.extend(chunk.invalid().iter().map(|byte| format!("\\x{byte:02X}")));
    }
    text
}

impl Iterator for Entries {
    type Item = io::Result<Found>;

    fn next(&mut self) -> Option<Self::Item> {
        let folder = &self.folder;
        self.names.find_map(|name| look(folder, name))
    }
}

/// The entries of a folder, for callers that must not wait for a slow disk: in a large folder other threads read ahead,
/// and end once they are done, however slowly the entries are listed.
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
    /// There are no more names; can be checked without waiting for the reader.
    ended: AtomicBool,
}

impl LookingAhead {
    /// Reads the first few.
    pub fn of(entries: Entries) -> Self {
        let Entries { folder, names } = entries;
        let folder = Arc::new(Shared { folder, names: Mutex::new(names), ended: AtomicBool::new(false) });
        let at_hand = folder.take(AT_HAND);
        let mut this = Self { batch: Vec::new().into_iter(), ahead: VecDeque::new(), folder };
        // The others start before this thread reads its own.
        this.look_on();
        this.batch = this.folder.look_at(at_hand).into_iter();
        this
    }

    /// The next one, roughly in disk order.
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
            // Each listing may have one thread.
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

    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    #[test]
    fn what_is_skipped_is_found_with_its_reason_and_a_name_that_can_be_read() {
        let root = tempfile::tempdir().unwrap();
        let folder = OpenFolder::open(root.path()).unwrap();
        assert_eq!(unlisted_below(&folder, 10, 10).unwrap(), AllUnlisted::default());
        let below = root.path().join("below");
        std::fs::create_dir(&below).unwrap();
        for name in [&b"caf\xe9.csv"[..], b"a\nb", "gr\u{fc}n.csv".as_bytes(), b".waybill.csv"] {
            std::fs::write(below.join(OsStr::from_bytes(name)), "x").unwrap();
        }
        std::os::unix::fs::symlink("below", root.path().join("link")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(root.path().join("socket")).unwrap();
        let mut all = unlisted_below(&folder, 10, 10).unwrap();
        all.first.sort_by(|a, b| a.below.cmp(&b.below));
        let told: Vec<_> = all.first.iter().map(|one| (one.below.as_str(), one.why)).collect();
        let expected = [
            ("below/a[U+000A]b", NotListed::ControlCharacter),
            ("below/caf\\xE9.csv", NotListed::Encoding),
            ("link", NotListed::Link),
            ("socket", NotListed::Special),
        ];
        assert_eq!((told.as_slice(), all.count), (&expected[..], 4));
        let some = unlisted_below(&folder, 10, 1).unwrap();
        assert_eq!((some.first.len(), some.count), (1, 4));
        assert_eq!(unlisted_below(&folder, 1, 10).unwrap().count, 2, "no more folders than were asked for");
    }

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
