//! Entries of a folder, one after the other: constant memory, no sort.

use std::io;
use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, Dir, FileType};

use super::download::Version;
use super::folder::OpenFolder;
use super::jail::STAGING;
use crate::base::path::Name;

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
