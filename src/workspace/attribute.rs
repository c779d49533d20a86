//! Waybill's own extended attributes. On file systems without them, what they say is known only until the next start.
//! A full disk is no such file system: what it cannot keep now would be forgotten at the next start.

use std::io;
use std::os::fd::AsFd;

use rustix::fs::XattrFlags;
use rustix::io::Errno;

/// Sets it, if the file system can.
pub(super) fn set(file: impl AsFd, name: &str, text: &str) -> io::Result<()> {
    match rustix::fs::fsetxattr(&file, name, text.as_bytes(), XattrFlags::empty()) {
        Ok(()) | Err(Errno::NOTSUP | Errno::PERM) => Ok(()),
        // Or the file has no room for it: in ext4 all attributes of a file share one block (xattr(7)).
        Err(Errno::NOSPC) if has_room(&rustix::fs::fstatvfs(&file)?) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// Whether a file system has blocks and inodes left. One that makes inodes as it needs them counts none.
fn has_room(told: &rustix::fs::StatVfs) -> bool {
    told.f_bavail > 0 && (told.f_files == 0 || told.f_favail > 0)
}

/// Removes it; a missing one is fine.
pub(super) fn remove(file: impl AsFd, name: &str) -> io::Result<()> {
    match rustix::fs::fremovexattr(file, name) {
        Ok(()) | Err(Errno::NODATA | Errno::NOTSUP | Errno::PERM) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// Its value, if it fits into `buffer`.
pub(super) fn get<'a>(file: impl AsFd, name: &str, buffer: &'a mut [u8]) -> Option<&'a str> {
    let length = rustix::fs::fgetxattr(file, name, &mut *buffer).ok()?;
    std::str::from_utf8(buffer.get(..length)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_on_the_disk_but_not_beside_a_file_is_left_out_and_a_full_disk_is_told() {
        let file = tempfile::tempfile().unwrap();
        // Too long for ext4; others keep it or have no attributes.
        set(&file, "user.waybill.test", &"x".repeat(20_000)).unwrap();
        let told = rustix::fs::fstatvfs(&file).unwrap();
        let with = |f_bavail, f_files, f_favail| rustix::fs::StatVfs { f_bavail, f_files, f_favail, ..told };
        assert!(has_room(&with(1, 0, 0)) && has_room(&with(1, 9, 1)));
        assert!(!has_room(&with(0, 9, 9)) && !has_room(&with(1, 9, 0)));
    }
}
