//! Copies the bytes of one file into another: by sharing blocks if the file system can, else in the kernel, or by hand
//! between two file systems, where the kernel does not (`copy_file_range(2)`, EXDEV).

use std::io;
use std::os::fd::AsFd;

use rustix::io::Errno;

/// Bytes copied between two checks whether the copy is still wanted.
pub(super) const STEP_BYTES: u64 = 16 * 1024 * 1024;
/// Bytes read and written at a time by hand.
const BUFFER_BYTES: usize = 256 * 1024;

/// Makes an empty file share the blocks of another. Returns whether that worked.
pub(super) fn shares_blocks(from: impl AsFd, to: impl AsFd) -> bool {
    rustix::fs::ioctl_ficlone(to, from).is_ok()
}

/// Copies the first `length` bytes of `old` to `new`, which is empty: shared if possible, else copied as long as
/// `goes_on` says so; `Interrupted` once it does not.
pub(super) fn copy_first(old: impl AsFd, new: impl AsFd, length: u64, goes_on: impl Fn() -> bool) -> io::Result<()> {
    if shares_blocks(&old, &new) {
        return Ok(rustix::fs::ftruncate(new, length)?);
    }
    let (mut at, mut by_hand) = (0, None::<Vec<u8>>);
    while at < length {
        if !goes_on() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let end = (at + STEP_BYTES).min(length);
        let copied = match &mut by_hand {
            None => by_kernel(&old, &new, at, end),
            Some(buffer) => step_by_hand(&old, &new, (at, end), buffer),
        };
        match copied {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => at += count,
            Err(Errno::INTR) => {}
            // Two file systems, or one without support.
            Err(Errno::XDEV | Errno::NOSYS | Errno::OPNOTSUPP | Errno::INVAL | Errno::PERM) if by_hand.is_none() => {
                by_hand = Some(vec![0; BUFFER_BYTES]);
            }
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}

fn by_kernel(old: impl AsFd, new: impl AsFd, at: u64, end: u64) -> rustix::io::Result<u64> {
    let (mut from, mut to) = (at, at);
    let step = usize::try_from(end - at).unwrap_or(usize::MAX);
    let count = rustix::fs::copy_file_range(old, Some(&mut from), new, Some(&mut to), step)?;
    Ok(count as u64)
}

/// By position: other readers of the file do not matter.
fn step_by_hand(
    old: impl AsFd,
    new: impl AsFd,
    (begin, end): (u64, u64),
    buffer: &mut [u8],
) -> rustix::io::Result<u64> {
    let mut at = begin;
    while at < end {
        let want = usize::try_from(end - at).unwrap_or(usize::MAX).min(buffer.len());
        let count = rustix::io::retry_on_intr(|| rustix::io::pread(&old, &mut buffer[..want], at))?;
        if count == 0 {
            break;
        }
        let mut written = 0;
        while written < count {
            let rest = &buffer[written..count];
            match rustix::io::retry_on_intr(|| rustix::io::pwrite(&new, rest, at + written as u64))? {
                0 => return Err(Errno::NOSPC),
                more => written += more,
            }
        }
        at += count as u64;
    }
    Ok(at - begin)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::{Read as _, Seek as _, Write as _};

    use rustix::fs::MemfdFlags;

    /// A file on a file system of its own, in memory.
    fn elsewhere() -> File {
        rustix::fs::memfd_create("elsewhere", MemfdFlags::CLOEXEC).unwrap().into()
    }

    #[test]
    fn bytes_come_over_to_another_file_system() {
        let bytes: Vec<u8> = (0..STEP_BYTES + 300_000).map(|n| n.to_le_bytes()[1]).collect();
        let mut old = tempfile::tempfile().unwrap();
        old.write_all(&bytes).unwrap();
        for length in [0, 1, BUFFER_BYTES + 1, bytes.len() - 1, bytes.len()] {
            let mut new = elsewhere();
            copy_first(&old, &new, length as u64, || true).unwrap();
            let mut copied = Vec::new();
            new.rewind().unwrap();
            new.read_to_end(&mut copied).unwrap();
            assert!(copied == bytes[..length], "{length}");
        }
        let too_many = copy_first(&old, elsewhere(), bytes.len() as u64 + 1, || true);
        assert_eq!(too_many.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        let stopped = copy_first(&old, elsewhere(), 1, || false);
        assert_eq!(stopped.unwrap_err().kind(), io::ErrorKind::Interrupted);
    }

    #[test]
    fn what_cannot_be_written_is_an_error() {
        let mut old = tempfile::tempfile().unwrap();
        old.write_all(b"bytes").unwrap();
        let full = File::options().write(true).open("/dev/full").unwrap();
        assert_eq!(copy_first(&old, &full, 5, || true).unwrap_err().kind(), io::ErrorKind::StorageFull);
    }
}
