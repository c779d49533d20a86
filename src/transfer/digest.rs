//! SHA-256 of a stored file. A small upload is hashed as its bytes come; a large one on another core, in parallel with
//! receiving. For an upload that continues bytes on disk, a follower reads the file from its beginning while the rest
//! still arrives, so that the end is not delayed.

use std::io;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::sync::{Arc, LazyLock};

use sha2::{Digest as _, Sha256};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::copy::Buffers;
use super::hashing::Beside;
use crate::base::cores;

/// Bytes that a follower reads at a time.
const READ_BYTES: usize = 1024 * 1024;
/// Bytes that a follower hashes before another has its turn.
const STEP_BYTES: u64 = 4 * 1024 * 1024;

/// Bytes hashed inline before another core takes over: for fewer, the hop costs more than it saves.
const INLINE_BYTES: u64 = 2 * 1024 * 1024;
/// Uploads per core that are hashed in parallel with receiving; further ones are hashed inline, which bounds the
/// waiting buffers.
const BESIDE_EACH_CORE: usize = 4;
static BESIDE: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(cores::count() * BESIDE_EACH_CORE)));

/// As many followers as cores hash at a time; one that waits, for bytes or for its turn, has no thread. An upload syncs
/// before its follower can end, so syncs must never wait for followers.
static FOLLOWING: LazyLock<Semaphore> = LazyLock::new(|| Semaphore::new(cores::count()));

/// A digest being computed.
#[derive(Debug)]
pub enum Digest {
    /// Hashed as bytes come.
    Inline(Box<Sha256>),
    /// Hashed on another core.
    Beside(Beside, OwnedSemaphorePermit),
    /// Read back from the file, slightly behind the writes.
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
    /// Follows `file`, which now has `length` bytes.
    pub fn follow(file: Arc<OwnedFd>, length: u64) -> Self {
        let (sender, receiver) = watch::channel((length, Grows::Yes));
        let result = tokio::spawn(follow(file, receiver));
        Self::Following(Follower { length: sender, result })
    }

    /// `bytes` were written; the file now has `length` bytes.
    pub fn update(&mut self, bytes: &[u8], length: u64) {
        match self {
            Self::Inline(hasher) => hasher.update(bytes),
            Self::Beside(..) => debug_assert!(false, "bytes that are hashed beside come in their own buffers"),
            Self::Following(follower) => {
                follower.length.send_replace((length, Grows::Yes));
            }
        }
    }

    /// The first `count` bytes of `buffer` were written; the file now has `length` bytes. Returns a buffer to continue
    /// with: the same, or another while that one is hashed.
    pub async fn update_owned(
        &mut self,
        buffer: Box<[u8]>,
        (count, length): (usize, u64),
        buffers: &Buffers,
    ) -> io::Result<Box<[u8]>> {
        if let Self::Inline(hasher) = self
            && length > INLINE_BYTES
            && let Ok(permit) = Arc::clone(&BESIDE).try_acquire_owned()
            && let Some(beside) = Beside::begin(hasher, buffers)
        {
            *self = Self::Beside(beside, permit);
        }
        if let Self::Beside(beside, _) = self {
            beside.update(buffer, count).await?;
            return Ok(buffers.take());
        }
        self.update(&buffer[..count], length);
        Ok(buffer)
    }

    /// The digest of all of it.
    pub async fn finish(self) -> io::Result<[u8; 32]> {
        match self {
            Self::Inline(hasher) => Ok(hasher.finalize().into()),
            Self::Beside(beside, _permit) => beside.finish().await,
            Self::Following(Follower { length, result }) => {
                length.send_modify(|(_, grows)| *grows = Grows::No);
                result.await.map_err(io::Error::other)?
            }
        }
    }
}

async fn follow(file: Arc<OwnedFd>, mut length: watch::Receiver<(u64, Grows)>) -> io::Result<[u8; 32]> {
    let (mut hasher, mut at) = (Sha256::new(), 0);
    loop {
        let (end, grows) = *length.borrow_and_update();
        // The sender goes away when its transfer is given up: nobody wants the digest then.
        if length.has_changed().is_err() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        if at < end {
            let _turn = FOLLOWING.acquire().await.map_err(io::Error::other)?;
            let (file, step) = (Arc::clone(&file), at..end.min(at + STEP_BYTES));
            at = step.end;
            let hashing = tokio::task::spawn_blocking(move || hash(&file, hasher, step));
            hasher = hashing.await.map_err(io::Error::other)??;
        } else if grows == Grows::No {
            return Ok(hasher.finalize().into());
        } else {
            // The check above notices that the sender is gone.
            let _ = length.changed().await;
        }
    }
}

fn hash(file: &OwnedFd, mut hasher: Sha256, Range { start: mut at, end }: Range<u64>) -> io::Result<Sha256> {
    let mut buffer = vec![0; usize::try_from(end - at).unwrap_or(READ_BYTES).min(READ_BYTES)];
    while at < end {
        let want = usize::try_from(end - at).unwrap_or(READ_BYTES).min(buffer.len());
        match rustix::io::pread(file, &mut buffer[..want], at)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => {
                hasher.update(&buffer[..count]);
                at += count as u64;
            }
        }
    }
    Ok(hasher)
}

/// The digest of a whole file, read in the background.
pub async fn of_file(file: Arc<OwnedFd>) -> io::Result<[u8; 32]> {
    let length = rustix::fs::fstat(&*file)?.st_size.cast_unsigned();
    Digest::follow(file, length).finish().await
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;
    use std::time::Duration;

    #[tokio::test]
    async fn a_digest_beside_and_an_inline_one_agree() {
        let buffers = Buffers::default();
        let (mut beside, mut inline) = (Digest::default(), Digest::default());
        let (mut buffer, mut length) = (buffers.take(), 0);
        for round in 0..40_u8 {
            let count = 200_000 + usize::from(round);
            buffer[..count].fill(round);
            length += count as u64;
            inline.update(&buffer[..count], length);
            buffer = beside.update_owned(buffer, (count, length), &buffers).await.unwrap();
        }
        assert!(matches!(beside, Digest::Beside(..)), "8 MB were hashed inline");
        assert_eq!(beside.finish().await.unwrap(), inline.finish().await.unwrap());
    }

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

    #[test]
    fn followers_that_wait_for_bytes_leave_their_threads_to_syncs() {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().max_blocking_threads(4).build().unwrap();
        runtime.block_on(async {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(b"some").unwrap();
            let file = Arc::new(OwnedFd::from(file));
            let following: Vec<_> = (0..16).map(|_| Digest::follow(Arc::clone(&file), 4)).collect();
            for _ in 0..16 {
                // Like a sync on a file system that is not in memory.
                let synced = tokio::time::timeout(Duration::from_mins(1), tokio::task::spawn_blocking(|| ()));
                synced.await.expect("it has its thread").unwrap();
            }
            for digest in following {
                assert_eq!(digest.finish().await.unwrap(), <[u8; 32]>::from(Sha256::digest(b"some")));
            }
            // Given up: nothing remains that would wait for bytes.
            drop(Digest::follow(Arc::clone(&file), 4));
        });
    }
}
