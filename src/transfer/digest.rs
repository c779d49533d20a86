//! SHA-256 of a stored file. For a new upload the bytes are hashed as they come; for one that goes on with bytes on
//! disk a follower reads the file from its beginning while the rest still arrives, so that the end is not delayed.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use tokio::sync::watch;

/// Bytes a follower reads at a time.
const STEP_BYTES: usize = 1024 * 1024;

/// A digest in the making.
#[derive(Debug)]
pub enum Digest {
    /// Hashed as bytes come.
    Inline(Box<Sha256>),
    /// Read back from the file, always a little behind.
    Following(Follower),
}

/// Reads a growing file.
#[derive(Debug)]
pub struct Follower {
    length: watch::Sender<(u64, Grows)>,
    result: tokio::task::JoinHandle<io::Result<[u8; 32]>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Grows {
    Yes,
    No,
}

impl Default for Digest {
    fn default() -> Self {
        Self::Inline(Box::default())
    }
}

impl Digest {
    /// Follows `file`, which has `length` bytes now.
    pub fn follow(file: Arc<OwnedFd>, length: u64) -> Self {
        let (sender, receiver) = watch::channel((length, Grows::Yes));
        let runtime = tokio::runtime::Handle::current();
        let result = tokio::task::spawn_blocking(move || follow(&file, receiver, &runtime));
        Self::Following(Follower { length: sender, result })
    }

    /// `bytes` have been written; the file has `length` bytes now.
    pub fn update(&mut self, bytes: &[u8], length: u64) {
        match self {
            Self::Inline(hasher) => hasher.update(bytes),
            Self::Following(follower) => {
                follower.length.send_replace((length, Grows::Yes));
            }
        }
    }

    /// The digest of all of it.
    pub async fn finish(self) -> io::Result<[u8; 32]> {
        match self {
            Self::Inline(hasher) => Ok(hasher.finalize().into()),
            Self::Following(Follower { length, result }) => {
                length.send_modify(|(_, grows)| *grows = Grows::No);
                result.await.map_err(io::Error::other)?
            }
        }
    }
}

fn follow(
    file: &OwnedFd,
    mut length: watch::Receiver<(u64, Grows)>,
    runtime: &tokio::runtime::Handle,
) -> io::Result<[u8; 32]> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; STEP_BYTES];
    let mut at = 0;
    loop {
        let (end, grows) = *length.borrow_and_update();
        while at < end {
            let want = usize::try_from(end - at).unwrap_or(STEP_BYTES).min(STEP_BYTES);
            match rustix::io::pread(file, &mut buffer[..want], at)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => {
                    hasher.update(&buffer[..count]);
                    at += count as u64;
                }
            }
        }
        // The sender goes with a transfer that was given up: nobody wants the digest then.
        if grows == Grows::No || runtime.block_on(length.changed()).is_err() {
            return Ok(hasher.finalize().into());
        }
    }
}

/// The digest of a whole file, read in the background.
pub async fn of_file(file: Arc<OwnedFd>) -> io::Result<[u8; 32]> {
    let length = rustix::fs::fstat(&*file)?.st_size.cast_unsigned();
    Digest::follow(file, length).finish().await
}

/// Lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut hex, byte| {
        // Writing to a String cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[tokio::test]
    async fn a_follower_and_an_inline_digest_agree() {
        let mut file = tempfile::tempfile().unwrap();
        let first = vec![7_u8; 3_000_000];
        file.write_all(&first).unwrap();
        let handle = Arc::new(OwnedFd::from(file.try_clone().unwrap()));
        let mut following = Digest::follow(handle, first.len() as u64);
        let mut inline = Digest::default();
        inline.update(&first, 0);
        for round in 1..20_u8 {
            let more = vec![round; 100_000];
            file.write_all(&more).unwrap();
            following.update(&more, 3_000_000 + u64::from(round) * 100_000);
            inline.update(&more, 0);
        }
        assert_eq!(following.finish().await.unwrap(), inline.finish().await.unwrap());
    }
}
