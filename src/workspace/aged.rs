//! Copies and logs past their retention: counted, and removed a few at a time.
//!
//! Never: follows a link, or touches a copy that is still being made.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags};

use super::download::Version;
use super::removal::remove_file;
use crate::base::clock::Timestamp;

/// Levels of dated folders and their contents.
const DEPTH_MAX: usize = 2;
/// The prefix of names still being made.
const MAKING: &str = ".waybill-";

/// Files past their retention.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Aged {
    /// How many.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Aged {
    /// Adds these.
    pub fn add(&mut self, more: Self) {
        self.files += more.files;
        self.bytes += more.bytes;
    }
}

/// What to do with them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doing {
    Count,
    Remove { most: u64 },
}

/// Counts the files beneath `top` that arrived before `before`. A missing folder is not an error.
pub fn count(top: &Path, before: Timestamp) -> io::Result<Aged> {
    walk_from(top, before, Doing::Count)
}

/// Removes at most `most` of them, and the folders that become empty.
pub fn remove(top: &Path, before: Timestamp, most: u64) -> io::Result<Aged> {
    walk_from(top, before, Doing::Remove { most })
}

fn walk_from(top: &Path, before: Timestamp, doing: Doing) -> io::Result<Aged> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut aged = Aged::default();
    match rustix::fs::openat(CWD, top, flags, Mode::empty()) {
        Ok(folder) => walk(&folder, before, (doing, DEPTH_MAX), &mut aged)?,
        Err(rustix::io::Errno::NOENT) => {}
        Err(errno) => return Err(errno.into()),
    }
    Ok(aged)
}

fn walk(folder: &OwnedFd, before: Timestamp, (doing, depth): (Doing, usize), aged: &mut Aged) -> io::Result<()> {
    for entry in Dir::read_from(folder)? {
        if matches!(doing, Doing::Remove { most } if aged.files >= most) {
            return Ok(());
        }
        let entry = entry?;
        let Ok(name) = entry.file_name().to_str() else { continue };
        if name == "." || name == ".." || name.starts_with(MAKING) {
            continue;
        }
        let Ok(stat) = rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory if depth > 0 => {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
                let within = rustix::fs::openat(folder, name, flags, Mode::empty())?;
                let found = aged.files;
                walk(&within, before, (doing, depth - 1), aged)?;
                if doing != Doing::Count && aged.files > found {
                    // Not empty: it contains something younger.
                    let _ = rustix::fs::unlinkat(folder, name, AtFlags::REMOVEDIR);
                }
            }
            // By the time of the last change of any kind: a hard link counts from when it was made.
            FileType::RegularFile if Version::of(&stat).changed < before => {
                if doing != Doing::Count {
                    remove_file(folder, name)?;
                }
                aged.files += 1;
                aged.bytes += stat.st_size.cast_unsigned();
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::Clock;
    use std::time::Duration;

    #[test]
    fn only_what_is_old_goes_a_few_at_a_time_and_no_link_is_followed() {
        let root = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        std::fs::write(outside.path().join("secret"), "s").unwrap();
        let top = root.path().join("Sent");
        assert_eq!(count(&top, Timestamp::default()).unwrap(), Aged::default());
        std::fs::create_dir_all(top.join("2026-11")).unwrap();
        for name in ["a", "2026-11/b", "2026-11/c", "2026-11/.waybill-making"] {
            std::fs::write(top.join(name), "12345").unwrap();
        }
        std::os::unix::fs::symlink(outside.path(), top.join("link")).unwrap();
        let later = Clock::System.now().plus(Duration::from_mins(1));
        let earlier = later.minus(Duration::from_hours(1));
        assert_eq!(count(&top, earlier).unwrap(), Aged::default());
        assert_eq!(count(&top, later).unwrap(), Aged { files: 3, bytes: 15 });
        assert_eq!(remove(&top, later, 2).unwrap().files, 2);
        assert_eq!(remove(&top, later, 2).unwrap().files, 1);
        assert_eq!(count(&top, later).unwrap(), Aged::default());
        assert!(top.join("2026-11/.waybill-making").exists() && outside.path().join("secret").exists());
        std::fs::remove_file(top.join("2026-11/.waybill-making")).unwrap();
        std::fs::write(top.join("2026-11/d"), "1").unwrap();
        remove(&top, later, 2).unwrap();
        assert!(!top.join("2026-11").exists(), "an empty dated folder goes");
    }
}
