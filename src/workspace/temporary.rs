//! Whole files under names that clients use while they upload (PRODUCT section 7). Until they are renamed they are no
//! receipt's. An attribute tells those that a partner uploaded from what somebody else put there.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Mutex, MutexGuard};

use rustix::fs::{Dir, FileType};

use super::attribute;
use super::download::Version;
use super::jail::{Jail, STAGING};
use crate::base::clock::Timestamp;
use crate::base::lock::lock;
use crate::base::path::Name;

/// The extended attribute of a partner's upload that has no final name yet.
const UPLOADED: &str = "user.waybill.temporary";
/// Bytes that may be said of how it came.
const HOW_BYTES_MAX: usize = 256;
/// Folders within folders that are looked into.
const DEPTH_MAX: usize = 32;
/// Files known of one folder; others are found when these have gone.
const KNOWN_MAX: usize = 10_000;

/// A whole file under a temporary name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Temporary {
    /// Its name below the folder.
    pub names: Vec<Name>,
    /// Its inode.
    pub inode: u64,
    /// Its size.
    pub size_bytes: u64,
    /// Since when it is there as it is.
    pub since: Timestamp,
}

/// Those of one Receive folder.
#[derive(Debug, Default)]
pub struct Temporaries {
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    inodes: HashMap<Vec<Name>, u64>,
    /// Whether the folder was looked through for those of before.
    is_complete: bool,
}

/// The file, still in staging, is a partner's upload that will have a temporary name. `how`: how its bytes came, in words that
/// only the caller reads. Where the file system has no attributes that is known until the next start.
pub fn mark(file: impl AsFd, how: &str) -> io::Result<()> {
    attribute::set(file, UPLOADED, how)
}

/// What was said of it; `None`: it is no partner's upload, or it has a receipt.
pub fn marked(file: impl AsFd) -> Option<String> {
    let mut buffer = [0_u8; HOW_BYTES_MAX];
    attribute::get(file, UPLOADED, &mut buffer).map(str::to_owned)
}

/// The file has its final name, and a receipt.
pub fn unmark(file: impl AsFd) -> io::Result<()> {
    attribute::remove(file, UPLOADED)
}

impl Temporaries {
    /// A partner's upload lies there.
    pub fn add(&self, names: &[Name], inode: u64) {
        self.lock().add(names.to_vec(), inode);
    }

    /// Takes it, to remove it; `false` when it is none any more.
    pub fn take(&self, file: &Temporary) -> bool {
        let mut known = self.lock();
        let is_known = known.inodes.get(&file.names) == Some(&file.inode);
        known.forget(&file.names, file.inode);
        is_known
    }

    /// It has got its final name: from now on it is no temporary file.
    pub fn leave(&self, names: &[Name], file: impl AsFd) -> io::Result<()> {
        self.lock().inodes.remove(names);
        unmark(file)
    }

    /// It has another temporary name.
    pub fn renamed(&self, from: &[Name], to: &[Name]) {
        let mut known = self.lock();
        known.inodes.remove(to);
        if let Some(inode) = known.inodes.remove(from) {
            known.add(to.to_vec(), inode);
        }
    }

    /// A folder above some of them may have another name: they are looked for again.
    pub fn folder_renamed(&self) {
        self.lock().is_complete = false;
    }

    /// Every one whose name is temporary. Looks through the folder the first time, which may take a while.
    pub fn all(&self, jail: &Jail, is_temporary: &dyn Fn(&str) -> bool) -> io::Result<Vec<Temporary>> {
        let was_complete = std::mem::replace(&mut self.lock().is_complete, true);
        if !was_complete {
            let mut found = Vec::new();
            let walked = walk(jail, &mut Vec::new(), is_temporary, &mut found);
            let mut known = self.lock();
            for (names, inode) in found {
                known.add(names, inode);
            }
            if let Err(error) = walked {
                known.is_complete = false;
                return Err(error);
            }
        }
        let known: Vec<_> = self.lock().inodes.iter().map(|(names, inode)| (names.clone(), *inode)).collect();
        let mut all = Vec::with_capacity(known.len());
        for (names, inode) in known {
            match look(jail, &names, inode)? {
                Some(one) => all.push(one),
                None => self.lock().forget(&names, inode),
            }
        }
        all.retain(|one| one.names.last().is_some_and(|name| is_temporary(name.as_str())));
        Ok(all)
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        lock(&self.known)
    }
}

impl Known {
    fn add(&mut self, names: Vec<Name>, inode: u64) {
        if self.inodes.len() < KNOWN_MAX || self.inodes.contains_key(&names) {
            self.inodes.insert(names, inode);
        } else {
            self.is_complete = false;
        }
    }

    fn forget(&mut self, names: &[Name], inode: u64) {
        if self.inodes.get(names) == Some(&inode) {
            self.inodes.remove(names);
        }
    }
}

/// What lies there, if it is still that file.
pub fn look(jail: &Jail, names: &[Name], inode: u64) -> io::Result<Option<Temporary>> {
    let stat = match jail.stat(names) {
        Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile && stat.st_ino == inode => stat,
        Ok(_) => return Ok(None),
        Err(error) if is_not_ours(&error) => return Ok(None),
        Err(error) => return Err(error),
    };
    let version = Version::of(&stat);
    // Its own time is what its partner says it is.
    Ok(Some(Temporary { names: names.to_vec(), inode, size_bytes: version.size_bytes, since: version.changed }))
}

fn walk(
    jail: &Jail,
    above: &mut Vec<Name>,
    is_temporary: &dyn Fn(&str) -> bool,
    found: &mut Vec<(Vec<Name>, u64)>,
) -> io::Result<()> {
    let folder = match jail.folder(above) {
        Ok(folder) => folder,
        // It went meanwhile, or is somebody else's: no partner has uploaded into it.
        Err(error) if is_not_ours(&error) && !above.is_empty() => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in Dir::read_from(&folder)? {
        let entry = entry?;
        let Some(name) = entry.file_name().to_str().ok().and_then(|name| Name::parse(name).ok()) else { continue };
        if name.as_str() == STAGING {
            continue;
        }
        match kind(folder.as_fd(), &name, entry.file_type()) {
            FileType::Directory if above.len() < DEPTH_MAX => {
                above.push(name);
                let walked = walk(jail, above, is_temporary, found);
                above.pop();
                walked?;
            }
            FileType::RegularFile if is_temporary(name.as_str()) => {
                let mut names = above.clone();
                names.push(name);
                if let Ok(file) = jail.file(&names)
                    && rustix::fs::fgetxattr(&file, UPLOADED, &mut [0_u8; 0]).is_ok()
                {
                    found.push((names, rustix::fs::fstat(&file)?.st_ino));
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn is_not_ours(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::PermissionDenied)
}

/// Not every file system tells it with the name.
fn kind(folder: BorrowedFd<'_>, name: &Name, told: FileType) -> FileType {
    if told != FileType::Unknown {
        return told;
    }
    let stat = rustix::fs::statat(folder, name.as_str(), rustix::fs::AtFlags::SYMLINK_NOFOLLOW);
    stat.map_or(FileType::Unknown, |stat| FileType::from_raw_mode(stat.st_mode))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(path: &str) -> Vec<Name> {
        path.split('/').map(|name| Name::parse(name).unwrap()).collect()
    }

    #[test]
    fn a_folder_that_is_not_ours_hides_no_other() {
        let hidden = |kind: io::ErrorKind| is_not_ours(&kind.into());
        assert!(hidden(io::ErrorKind::PermissionDenied) && hidden(io::ErrorKind::NotFound));
        assert!(!hidden(io::ErrorKind::Other), "a disk that fails is told");
    }

    #[test]
    fn uploads_are_found_after_a_start_and_what_others_put_there_is_not() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("sub")).unwrap();
        for name in ["own.tmp", "sub/own.tmp", "theirs.tmp", "own.edi"] {
            std::fs::write(root.path().join(name), "bytes").unwrap();
            if name != "theirs.tmp" {
                mark(std::fs::File::open(root.path().join(name)).unwrap(), "").unwrap();
            }
        }
        let jail = Jail::open(root.path()).unwrap();
        let all = |these: &Temporaries| {
            let all = these.all(&jail, &|name| name.contains(".tmp")).unwrap();
            let mut paths: Vec<_> =
                all.iter().map(|one| one.names.iter().map(Name::as_str).collect::<Vec<_>>().join("/")).collect();
            paths.sort();
            paths
        };
        let these = Temporaries::default();
        assert_eq!(all(&these), ["own.tmp", "sub/own.tmp"]);
        std::fs::rename(root.path().join("own.tmp"), root.path().join("other.tmp")).unwrap();
        these.renamed(&names("own.tmp"), &names("other.tmp"));
        assert_eq!(all(&these), ["other.tmp", "sub/own.tmp"]);
        std::fs::rename(root.path().join("sub"), root.path().join("dir")).unwrap();
        these.folder_renamed();
        assert_eq!(all(&these), ["dir/own.tmp", "other.tmp"]);
        let file = std::fs::File::open(root.path().join("other.tmp")).unwrap();
        these.leave(&names("other.tmp"), &file).unwrap();
        assert_eq!(all(&these), ["dir/own.tmp"]);
        assert_eq!(marked(&file), None);
        these.leave(&names("other.tmp"), &file).unwrap();
        // As after a start.
        assert_eq!(all(&Temporaries::default()), ["dir/own.tmp"]);
        // Another file of that name is none of those.
        std::fs::write(root.path().join("new"), "new").unwrap();
        std::fs::rename(root.path().join("new"), root.path().join("dir/own.tmp")).unwrap();
        assert_eq!(all(&these), [""; 0]);
    }
}
