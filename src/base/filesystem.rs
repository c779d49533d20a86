//! The kind of file system an open file or folder is on, by the magic numbers of statfs(2).

use std::io;
use std::os::fd::AsFd;

use rustix::fs::FsWord;

const TMPFS_MAGIC: FsWord = 0x0102_1994;
const RAMFS_MAGIC: FsWord = 0x8584_58f6;
const NFS_MAGIC: FsWord = 0x6969;

/// Whether it is in memory, with no disk to wait for.
pub fn is_in_memory(what: impl AsFd) -> io::Result<bool> {
    kind(what).map(|kind| kind == TMPFS_MAGIC || kind == RAMFS_MAGIC)
}

/// Whether a file that is open when removed stays in its folder, under a name of the NFS client's own (`.nfs…`), until
/// it is closed: until then the folder cannot be removed.
pub fn keeps_names_of_held_files(what: impl AsFd) -> io::Result<bool> {
    kind(what).map(|kind| kind == NFS_MAGIC)
}

fn kind(what: impl AsFd) -> io::Result<FsWord> {
    Ok(rustix::fs::fstatfs(what)?.f_type)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_memory_file_system_is_told_and_no_network() {
        let memory = std::fs::File::open("/dev/shm").unwrap();
        assert!(is_in_memory(&memory).unwrap());
        assert!(!keeps_names_of_held_files(&memory).unwrap());
        let system = std::fs::File::open("/proc").unwrap();
        assert!(!is_in_memory(&system).unwrap());
    }
}
