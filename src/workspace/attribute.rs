//! Waybill's own extended attributes. On file systems without them, what they say is known only until the next start.

use std::io;
use std::os::fd::AsFd;

use rustix::fs::XattrFlags;
use rustix::io::Errno;

/// Sets it, if the file system can.
pub(super) fn set(file: impl AsFd, name: &str, text: &str) -> io::Result<()> {
    match rustix::fs::fsetxattr(file, name, text.as_bytes(), XattrFlags::empty()) {
        Ok(()) | Err(Errno::NOTSUP | Errno::NOSPC | Errno::PERM) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
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
