//! Which Send files are being downloaded, and for which it is still unknown whether they were collected. In memory
//! only: after a restart there are no downloads.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::base::lock::lock;

/// Shared by all sessions. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Collections {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    counts: Mutex<HashMap<Key, usize>>,
    changed: Notify,
    closing: CancellationToken,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    /// Somebody reads the file: a connector's, by inode.
    Reading(String, u64),
    /// It is still unknown whether the file was collected: a connector's, by path.
    Undecided(String, String),
}

/// Counts until dropped.
#[derive(Debug)]
pub struct Counted {
    shared: Arc<Shared>,
    key: Key,
}

impl Collections {
    /// Somebody begins to read that file.
    pub fn reading(&self, connector_key: &str, inode: u64) -> Counted {
        self.count(Key::Reading(connector_key.to_owned(), inode))
    }

    /// All of that file was sent; whether it arrived will be known soon.
    pub fn undecided(&self, connector_key: &str, path: &str) -> Counted {
        self.count(Key::Undecided(connector_key.to_owned(), path.to_owned()))
    }

    /// Waits until nobody reads that file; `false` if the appliance stops first.
    pub async fn unread(&self, connector_key: &str, inode: u64) -> bool {
        let key = Key::Reading(connector_key.to_owned(), inode);
        tokio::select! {
            biased;
            () = self.none(&key) => true,
            () = self.shared.closing.cancelled() => false,
        }
    }

    /// Whether somebody reads that file now.
    pub fn is_read(&self, connector_key: &str, inode: u64) -> bool {
        self.shared.lock().contains_key(&Key::Reading(connector_key.to_owned(), inode))
    }

    /// Waits until it is known for every download of that path whether it was collected, for at most `most`.
    pub async fn decided(&self, connector_key: &str, path: &str, most: Duration) {
        let key = Key::Undecided(connector_key.to_owned(), path.to_owned());
        // If still unknown after that, the caller uses what is known.
        let _ = tokio::time::timeout(most, self.none(&key)).await;
    }

    /// Cancelled when the appliance stops: waits end.
    pub fn closing(&self) -> &CancellationToken {
        &self.shared.closing
    }

    fn count(&self, key: Key) -> Counted {
        *self.shared.lock().entry(key.clone()).or_default() += 1;
        Counted { shared: Arc::clone(&self.shared), key }
    }

    async fn none(&self, key: &Key) {
        loop {
            let mut changed = std::pin::pin!(self.shared.changed.notified());
            // Before checking, so that no change in between is missed.
            changed.as_mut().enable();
            if !self.shared.lock().contains_key(key) {
                return;
            }
            changed.await;
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, HashMap<Key, usize>> {
        lock(&self.counts)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut counts = self.shared.lock();
        if let Some(count) = counts.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.key);
            }
        }
        drop(counts);
        self.shared.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_last_reader_lets_the_file_go() {
        let collections = Collections::default();
        let (one, two) = (collections.reading("acme", 1), collections.reading("acme", 1));
        assert!(collections.unread("acme", 2).await && collections.unread("other", 1).await);
        assert!(collections.is_read("acme", 1) && !collections.is_read("acme", 2));
        let waiting = tokio::spawn({
            let collections = collections.clone();
            async move { collections.unread("acme", 1).await }
        });
        drop(one);
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(two);
        assert!(waiting.await.unwrap());
        let _three = collections.reading("acme", 1);
        collections.closing().cancel();
        assert!(!collections.unread("acme", 1).await);
    }
}
