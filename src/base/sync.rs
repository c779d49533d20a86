//! Syncs: run in a small pool of their own, so that they starve nothing else, and shared: whoever waits for the same
//! folder or file shares one sync.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{Mutex, Semaphore};

use super::fault::{self, Point};
use super::filesystem::is_in_memory;

/// Syncs in flight: disks do 4 to 16 at once at 3 to 10 times the rate of one.
pub const SYNCS_MAX: usize = 16;

/// Runs syncs, a bounded number at a time.
#[derive(Clone, Debug)]
pub struct Syncer {
    permits: Arc<Semaphore>,
}

impl Default for Syncer {
    fn default() -> Self {
        Self { permits: Arc::new(Semaphore::new(SYNCS_MAX)) }
    }
}

impl Syncer {
    /// Waits until a file's bytes and size are on disk.
    pub async fn file(&self, file: Arc<OwnedFd>) -> io::Result<()> {
        fault::pass(Point::SyncPart)?;
        self.run(file, |file| rustix::fs::fdatasync(file)).await
    }

    /// Waits until the lines of the journal are on disk.
    pub async fn journal(&self, file: Arc<OwnedFd>) -> io::Result<()> {
        fault::pass(Point::SyncJournal)?;
        self.run(file, |file| rustix::fs::fdatasync(file)).await
    }

    /// Waits until a folder's entries are on disk.
    pub async fn folder(&self, folder: Arc<OwnedFd>) -> io::Result<()> {
        fault::pass(Point::SyncFolder)?;
        self.run(folder, |folder| rustix::fs::fsync(folder)).await
    }

    async fn run(&self, what: Arc<OwnedFd>, sync: fn(&OwnedFd) -> rustix::io::Result<()>) -> io::Result<()> {
        // There a sync returns at once, and the hop to another thread would cost more than the rest of a small upload.
        if is_in_memory(&what)? {
            return Ok(sync(&what)?);
        }
        let _permit = self.permits.acquire().await.map_err(io::Error::other)?;
        tokio::task::spawn_blocking(move || Ok(sync(&what)?)).await.map_err(io::Error::other)?
    }
}

/// The syncs of one folder or file: whoever asks while one is running waits for the next, which serves all who have
/// asked by then.
#[derive(Debug, Default)]
pub struct SharedSync {
    asked: AtomicU64,
    done: Mutex<Done>,
}

#[derive(Debug, Default)]
struct Done {
    up_to: u64,
    /// Everybody who asked up to here was told that the sync failed; it is never retried for them.
    failed: Option<(u64, io::ErrorKind)>,
}

impl SharedSync {
    /// Waits until everything that happened there before this call is on disk; runs `sync` unless another caller's sync
    /// covers it.
    pub async fn wait(&self, sync: impl Future<Output = io::Result<()>>) -> io::Result<()> {
        let mine = self.asked.fetch_add(1, Ordering::SeqCst) + 1;
        let mut done = self.done.lock().await;
        if done.up_to < mine {
            let all = self.asked.load(Ordering::SeqCst);
            let result = sync.await;
            done.up_to = all;
            if let Err(error) = result {
                done.failed = Some((all, error.kind()));
                return Err(error);
            }
        }
        match done.failed {
            Some((up_to, kind)) if mine <= up_to => Err(kind.into()),
            _ => Ok(()),
        }
    }
}
