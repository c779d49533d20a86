//! Complete files under names that clients use while they upload (PRODUCT section 7). They have no receipt until they
//! are renamed. An attribute distinguishes a partner's uploads from files that somebody else put there.

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

/// The extended attribute of a partner's upload without a final name.
const UPLOADED: &str = "user.waybill.temporary";
/// The most bytes describing how it came.
const HOW_BYTES_MAX: usize = 256;
/// Levels of folders that are searched.
const DEPTH_MAX: usize = 32;
/// The most files remembered in one folder; others are found when these have gone.
const KNOWN_MAX: usize = 10_000;

/// A complete file under a temporary name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Temporary {
    /// Its name below the folder.
    pub names: Vec<Name>,
    /// Its inode.
    pub inode: u64,
    /// Its size.
    pub size_bytes: u64,
    /// Since when it has been there unchanged.
    pub since: Timestamp,
}

/// The temporary files of one Receive folder.
#[derive(Debug, Default)]
pub struct Temporaries {
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    inodes: HashMap<Vec<Name>, u64>,
    /// Whether the folder was searched for earlier ones.
    is_complete: bool,
}

/// The file, still in staging, is a partner's upload that will get a temporary name. `how`: how its bytes came, in
/// words that only the caller reads. Without attributes on the file system this is known until the next start.
pub fn mark(file: impl AsFd, how: &str) -> io::Result<()> {
    attribute::set(file, UPLOADED, how)
}

/// The words for it; `None`: it is not a partner's upload, or it has a receipt.
pub fn marked(file: impl AsFd) -> Option<String> {
    let mut buffer = [0_u8; HOW_BYTES_MAX];
    attribute::get(file, UPLOADED, &mut buffer).map(str::to_owned)
}

/// The file has its final name, and a receipt.
pub fn unmark(file: impl AsFd) -> io::Result<()> {
    attribute::remove(file, UPLOADED)
}

impl Temporaries {
    /// A partner's upload is there.
    pub fn add(&self, names: &[Name], inode: u64) {
        self.lock().add(names.to_vec(), inode);
    }

    /// Takes it, to remove it; `false` if it is no longer temporary.
    pub fn take(&self, file: &Temporary) -> bool {
        let mut known = self.lock();
        let is_known = known.inodes.get(&file.names) == Some(&file.inode);
        known.forget(&file.names, file.inode);
        is_known
    }

    /// It has its final name: from now on it is not temporary.
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

    /// A folder above some of them may have been renamed: search again.
    pub fn folder_renamed(&self) {
        self.lock().is_complete = false;
    }

    /// Every one with a temporary name. Searches the folder the first time, which may take a while.
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

/// The file there, if it is still the same one.
pub fn look(jail: &Jail, names: &[Name], inode: u64) -> io::Result<Option<Temporary>> {
    let stat = match jail.stat(names) {
        Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile && stat.st_ino == inode => stat,
        Ok(_) => return Ok(None),
        Err(error) if is_not_ours(&error) => return Ok(None),
        Err(error) => return Err(error),
    };
    let version = Version::of(&stat);
    // Its own mtime is whatever its partner says.
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
        // It has gone meanwhile, or belongs to somebody else: no partner has uploaded into it.
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

/// Not every file system returns the type with the name.
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
        // As after a restart.
        assert_eq!(all(&Temporaries::default()), ["dir/own.tmp"]);
        // Another file of that name does not count.
        std::fs::write(root.path().join("new"), "new").unwrap();
        std::fs::rename(root.path().join("new"), root.path().join("dir/own.tmp")).unwrap();
        assert_eq!(all(&these), [""; 0]);
    }
}
