//! SHA-256 of large uploads on a few threads that all of them share. A thread that finds two uploads with bytes hashes
//! them in step, block by block: the processor's SHA instructions spend half of the time waiting for their own results,
//! and those of the other file fill the gaps (decision 0121).

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, LazyLock, Mutex, PoisonError};

use sha2::digest::array::Array;
use sha2::digest::block_api::{CoreProxy, UpdateCore};
use sha2::{Digest as _, Sha256};
use tokio::sync::{Semaphore, oneshot};

use super::copy::Buffers;
use crate::base::cores;
use crate::base::lock::lock;

/// Buffers waiting to be hashed, per upload.
const WAITING_MAX: usize = 4;
/// Bytes of one block (FIPS 180-4, section 5.2.1).
const BLOCK_BYTES: usize = 64;

/// The uploads with bytes to hash, and the threads that hash them.
static POOL: LazyLock<Pool> = LazyLock::new(Pool::start);

#[derive(Debug, Default)]
struct Pool {
    /// An upload is in here at most once, and not while a thread has it, so that its bytes keep their order.
    ready: Mutex<VecDeque<Arc<Upload>>>,
    added: Condvar,
    threads: usize,
}

/// One upload's digest being computed.
#[derive(Debug)]
struct Upload {
    work: Mutex<Work>,
    room: Semaphore,
    buffers: Buffers,
}

#[derive(Debug, Default)]
struct Work {
    hasher: Sha256,
    waiting: VecDeque<(Box<[u8]>, usize)>,
    /// It is in the pool, or a thread has it.
    is_ready: bool,
    /// Wants the digest once nothing is waiting.
    end: Option<oneshot::Sender<[u8; 32]>>,
}

/// An upload's next bytes, and their digest.
struct Turn {
    upload: Arc<Upload>,
    hasher: Sha256,
    buffer: Box<[u8]>,
    count: usize,
}

/// Hashes buffers in order, in parallel with receiving.
#[derive(Debug)]
pub struct Beside {
    upload: Arc<Upload>,
}

impl Beside {
    /// Continues what has been hashed so far; `None` if the system has no thread to give.
    pub fn begin(hasher: &Sha256, buffers: &Buffers) -> Option<Self> {
        if POOL.threads == 0 {
            return None;
        }
        let work = Mutex::new(Work { hasher: hasher.clone(), ..Work::default() });
        let upload = Upload { work, room: Semaphore::new(WAITING_MAX), buffers: buffers.clone() };
        Some(Self { upload: Arc::new(upload) })
    }

    /// The first `count` bytes of `buffer` are next. Waits while too many buffers are waiting.
    pub async fn update(&self, buffer: Box<[u8]>, count: usize) -> io::Result<()> {
        self.upload.room.acquire().await.map_err(io::Error::other)?.forget();
        let was_ready = {
            let mut work = lock(&self.upload.work);
            work.waiting.push_back((buffer, count));
            std::mem::replace(&mut work.is_ready, true)
        };
        if !was_ready {
            POOL.add(Arc::clone(&self.upload));
        }
        Ok(())
    }

    /// The digest of all of it.
    pub async fn finish(self) -> io::Result<[u8; 32]> {
        let digest = {
            let mut work = lock(&self.upload.work);
            if !work.is_ready {
                return Ok(std::mem::take(&mut work.hasher).finalize().into());
            }
            let (sender, digest) = oneshot::channel();
            work.end = Some(sender);
            digest
        };
        digest.await.map_err(io::Error::other)
    }
}

impl Pool {
    fn start() -> Self {
        let thread = |_: &usize| std::thread::Builder::new().name("digest".to_owned()).spawn(|| POOL.work()).is_ok();
        Self { threads: (0..cores::count()).filter(thread).count(), ..Self::default() }
    }

    fn add(&self, upload: Arc<Upload>) {
        lock(&self.ready).push_back(upload);
        self.added.notify_one();
    }

    fn work(&self) {
        loop {
            match self.next() {
                (one, None) => one.finish_from(0),
                (one, Some(other)) => hash_both(one, other),
            }
        }
    }

    /// Waits for an upload, and takes a second one if there is one.
    fn next(&self) -> (Turn, Option<Turn>) {
        let mut ready = lock(&self.ready);
        loop {
            if let Some(one) = ready.pop_front().and_then(Upload::turn) {
                return (one, ready.pop_front().and_then(Upload::turn));
            }
            ready = self.added.wait(ready).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Upload {
    fn turn(self: Arc<Self>) -> Option<Turn> {
        let mut work = lock(&self.work);
        let (buffer, count) = work.waiting.pop_front()?;
        let hasher = std::mem::take(&mut work.hasher);
        drop(work);
        Some(Turn { upload: self, hasher, buffer, count })
    }
}

impl Turn {
    /// Hashes the bytes from `at` on, and returns the digest to its upload.
    fn finish_from(mut self, at: usize) {
        self.hasher.update(&self.buffer[at..self.count]);
        let Self { upload, hasher, buffer, .. } = self;
        upload.buffers.put(buffer);
        let mut work = lock(&upload.work);
        work.hasher = hasher;
        work.is_ready = !work.waiting.is_empty();
        if work.is_ready {
            drop(work);
            POOL.add(Arc::clone(&upload));
        } else if let Some(end) = work.end.take() {
            // If the upload was given up, nobody wants it.
            let _ = end.send(std::mem::take(&mut work.hasher).finalize().into());
        }
        upload.room.add_permits(1);
    }

    /// Hashes the bytes that complete a partial block; returns how many.
    fn complete_block(&mut self) -> usize {
        let (core, begun) = std::mem::take(&mut self.hasher).decompose();
        let wanting = (BLOCK_BYTES - begun.get_pos()) % BLOCK_BYTES;
        self.hasher = Sha256::compose(core, begun);
        let count = wanting.min(self.count);
        self.hasher.update(&self.buffer[..count]);
        count
    }
}

/// Hashes two uploads' bytes, in step as far as both have any.
fn hash_both(mut one: Turn, mut other: Turn) {
    let (at_one, at_other) = (one.complete_block(), other.complete_block());
    let hashers = [&mut one.hasher, &mut other.hasher].map(std::mem::take);
    let (hashers, count) = in_step(hashers, [&one.buffer[at_one..one.count], &other.buffer[at_other..other.count]]);
    [one.hasher, other.hasher] = hashers;
    one.finish_from(at_one + count);
    other.finish_from(at_other + count);
}

/// Hashes as many whole blocks as both have; returns how many bytes of each. Neither hasher may contain a partial
/// block, unless there are no bytes for it.
fn in_step(hashers: [Sha256; 2], bytes: [&[u8]; 2]) -> ([Sha256; 2], usize) {
    let [(mut core_one, begun_one), (mut core_other, begun_other)] = hashers.map(CoreProxy::decompose);
    let [(blocks_one, _), (blocks_other, _)] = bytes.map(Array::slice_as_chunks);
    for (block_one, block_other) in blocks_one.iter().zip(blocks_other) {
        core_one.update_blocks(std::slice::from_ref(block_one));
        core_other.update_blocks(std::slice::from_ref(block_other));
    }
    let hashers = [Sha256::compose(core_one, begun_one), Sha256::compose(core_other, begun_other)];
    (hashers, blocks_one.len().min(blocks_other.len()) * BLOCK_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// An upload whose bytes come in pieces, each at the front of a buffer.
    fn turn(hasher: Sha256, piece: &[u8]) -> Turn {
        let buffer = [piece, &[0xAA; 100]].concat().into_boxed_slice();
        let upload = Upload { work: Mutex::default(), room: Semaphore::new(0), buffers: Buffers::default() };
        Turn { upload: Arc::new(upload), hasher, buffer, count: piece.len() }
    }

    fn pieces() -> impl Strategy<Value = Vec<Vec<u8>>> {
        prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 1..6)
    }

    proptest! {
        #[test]
        fn in_step_and_alone_agree(one in pieces(), other in pieces()) {
            let mut hashers = [Sha256::new(), Sha256::new()];
            for (piece_one, piece_other) in one.iter().zip(&other) {
                let turns = [turn(hashers[0].clone(), piece_one), turn(hashers[1].clone(), piece_other)];
                let uploads = [Arc::clone(&turns[0].upload), Arc::clone(&turns[1].upload)];
                let [first, second] = turns;
                hash_both(first, second);
                hashers = uploads.map(|upload| lock(&upload.work).hasher.clone());
            }
            let both = one.len().min(other.len());
            prop_assert_eq!(hashers[0].clone().finalize(), Sha256::digest(one[..both].concat()));
            prop_assert_eq!(hashers[1].clone().finalize(), Sha256::digest(other[..both].concat()));
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn many_uploads_at_once_each_get_their_own_digest() {
        let buffers = Buffers::default();
        let upload = |number: u8| {
            let buffers = buffers.clone();
            async move {
                let beside = Beside::begin(&Sha256::new(), &buffers).unwrap();
                let mut expected = Sha256::new();
                for round in 0..20_u8 {
                    let count = 1_000 + usize::from(number) * 131 + usize::from(round);
                    let mut buffer = buffers.take();
                    buffer[..count].fill(number ^ round);
                    expected.update(&buffer[..count]);
                    beside.update(buffer, count).await.unwrap();
                }
                (beside.finish().await.unwrap(), <[u8; 32]>::from(expected.finalize()))
            }
        };
        let uploads: Vec<_> = (0..16).map(|number| tokio::spawn(upload(number))).collect();
        for digest in uploads {
            let (hashed, expected) = digest.await.unwrap();
            assert_eq!(hashed, expected);
        }
    }

    #[tokio::test]
    async fn an_upload_without_bytes_or_given_up_is_no_trouble() {
        let buffers = Buffers::default();
        let begin = || Beside::begin(&Sha256::new(), &buffers).unwrap();
        assert_eq!(begin().finish().await.unwrap(), <[u8; 32]>::from(Sha256::digest(b"")));
        let given_up = begin();
        given_up.update(buffers.take(), 100_000).await.unwrap();
        drop(given_up);
        let next = begin();
        next.update(b"next".to_vec().into_boxed_slice(), 4).await.unwrap();
        assert_eq!(next.finish().await.unwrap(), <[u8; 32]>::from(Sha256::digest(b"next")));
    }
}
