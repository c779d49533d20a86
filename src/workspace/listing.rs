//! Entries of a folder, one after the other: constant memory, no sort.

use std::io;
use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, Dir, FileType};
use tokio::task::{JoinHandle, spawn_blocking};

use super::download::Version;
use super::folder::OpenFolder;
use super::jail::STAGING;
use crate::base::path::Name;

/// Entries looked at by whoever asks for the first: most folders have no more.
const AT_HAND: usize = 64;
/// Entries looked at by another thread while those before them are listed.
const AHEAD: usize = 256;

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
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
    pub kind: Kind,
    /// Size and times.
    pub version: Version,
}

/// Walks a folder. Links, devices, names that no client can say and Waybill's own folder are left out.
#[derive(Debug)]
pub struct Entries {
    folder: OwnedFd,
    dir: Dir,
}

impl Entries {
    /// Opens the folder `names` leads to.
    pub fn open(folder: &OpenFolder, names: &[Name]) -> io::Result<Self> {
        let folder = folder.jail().folder(names)?;
        let dir = Dir::read_from(&folder)?;
        Ok(Self { folder, dir })
    }

    fn look(&self, name: &str) -> Option<Found> {
        let name = Name::parse(name).ok().filter(|name| name.as_str() != STAGING)?;
        // Gone since it was listed: not an entry any more.
        let stat = rustix::fs::statat(&self.folder, name.as_str(), AtFlags::SYMLINK_NOFOLLOW).ok()?;
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Kind::File,
            FileType::Directory => Kind::Folder,
            _ => return None,
        };
        Some(Found { name, kind, version: Version::of(&stat) })
    }
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
                Kind::File => {
                    if !each(names, entry.version) {
                        return Ok(false);
                    }
                }
                Kind::Folder if looked_into + folders.len() < folders_max => folders.push(names),
                Kind::Folder => all = false,
            }
        }
    }
    Ok(all)
}

impl Iterator for Entries {
    type Item = io::Result<Found>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let entry = match self.dir.read()? {
                Ok(entry) => entry,
                Err(errno) => return Some(Err(errno.into())),
            };
            if let Some(found) = entry.file_name().to_str().ok().and_then(|name| self.look(name)) {
                return Some(Ok(found));
            }
        }
    }
}

/// The entries of a folder, for whoever must not wait for a slow disk: of a large folder the next ones are looked at by
/// another thread meanwhile, which ends with them, however slowly they are listed.
#[derive(Debug)]
pub struct LookingAhead {
    batch: std::vec::IntoIter<io::Result<Found>>,
    next: Option<JoinHandle<(Vec<io::Result<Found>>, Entries)>>,
}

impl LookingAhead {
    /// Looks at the first few.
    pub fn of(mut entries: Entries) -> Self {
        let at_hand: Vec<_> = entries.by_ref().take(AT_HAND).collect();
        let next = (at_hand.len() == AT_HAND).then(|| look_on(entries));
        Self { batch: at_hand.into_iter(), next }
    }

    /// The next one, in the order of the disk.
    pub async fn next(&mut self) -> io::Result<Option<Found>> {
        while self.batch.len() == 0 {
            let Some(next) = self.next.take() else { return Ok(None) };
            let (batch, entries) = next.await.map_err(io::Error::other)?;
            if batch.len() == AHEAD {
                self.next = Some(look_on(entries));
            }
            self.batch = batch.into_iter();
        }
        self.batch.next().transpose()
    }
}

fn look_on(mut entries: Entries) -> JoinHandle<(Vec<io::Result<Found>>, Entries)> {
    spawn_blocking(move || (entries.by_ref().take(AHEAD).collect(), entries))
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
