//! Uploads under way, by the client's name: a client that reconnects finds its dead session's upload still here, and takes
//! its part over once no byte has moved for a while (PRODUCT 5.7).

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::base::clock::Timestamp;
use crate::base::path::Name;

/// An upload that has moved no byte for this long may be ended by another one of its name.
pub const DEAD_AFTER: Duration = Duration::from_secs(10);
/// How long the new upload waits until the dead one's part is put aside.
const HAND_OVER_WITHIN: Duration = Duration::from_secs(5);

/// One upload under way.
#[derive(Debug)]
struct Running {
    /// When its last byte came, unix microseconds.
    moved_at: AtomicI64,
    end: CancellationToken,
    over: Notify,
}

/// By the client's name below the folder.
type ByName = HashMap<Vec<Name>, Vec<Arc<Running>>>;

/// The uploads under way in one folder.
#[derive(Clone, Debug, Default)]
pub struct Active {
    running: Arc<Mutex<ByName>>,
}

/// An upload's entry; it goes when dropped.
#[derive(Debug)]
pub struct Entry {
    active: Active,
    names: Vec<Name>,
    running: Arc<Running>,
}

impl Active {
    /// An upload under that name begins.
    pub fn enter(&self, names: &[Name], now: Timestamp) -> Entry {
        let running = Arc::new(Running {
            moved_at: AtomicI64::new(now.us()),
            end: CancellationToken::new(),
            over: Notify::new(),
        });
        self.lock().entry(names.to_vec()).or_default().push(Arc::clone(&running));
        Entry { active: self.clone(), names: names.to_vec(), running }
    }

    /// Whether an upload under that name is under way.
    pub fn is_running(&self, names: &[Name]) -> bool {
        self.lock().contains_key(names)
    }

    /// Ends the uploads of that name that have moved no byte for [`DEAD_AFTER`], and waits until their parts are put
    /// aside. Uploads that still move are left alone: both will be committed, the last one wins whole.
    pub async fn end_dead(&self, names: &[Name], now: Timestamp) {
        let dead: Vec<_> = {
            let running = self.lock();
            let of_name = running.get(names).into_iter().flatten();
            let is_dead =
                |one: &&Arc<Running>| now.since(Timestamp::from_us(one.moved_at.load(Ordering::Relaxed))) >= DEAD_AFTER;
            of_name.filter(is_dead).cloned().collect()
        };
        for one in dead {
            let over = one.over.notified();
            one.end.cancel();
            // A session that does not end in time keeps its part; the new upload begins without it.
            let _ = tokio::time::timeout(HAND_OVER_WITHIN, over).await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, ByName> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    /// A byte has come.
    pub fn moved(&self, now: Timestamp) {
        self.running.moved_at.store(now.us(), Ordering::Relaxed);
    }

    /// Cancelled when another upload of that name takes over.
    pub fn end(&self) -> &CancellationToken {
        &self.running.end
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut running = self.active.lock();
        if let Some(of_name) = running.get_mut(&self.names) {
            of_name.retain(|one| !Arc::ptr_eq(one, &self.running));
            if of_name.is_empty() {
                running.remove(&self.names);
            }
        }
        drop(running);
        self.running.over.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_a_dead_upload_is_ended_and_its_end_is_waited_for() {
        let active = Active::default();
        let names = [Name::parse("big.bin").unwrap()];
        let at = |seconds: i64| Timestamp::from_us(seconds * 1_000_000);
        let entry = active.enter(&names, at(0));
        assert!(active.is_running(&names));
        active.end_dead(&names, at(9)).await;
        assert!(!entry.end().is_cancelled());
        entry.moved(at(9));
        active.end_dead(&names, at(15)).await;
        assert!(!entry.end().is_cancelled());
        let ended = tokio::spawn({
            let end = entry.end().clone();
            async move {
                end.cancelled().await;
                drop(entry);
            }
        });
        active.end_dead(&names, at(19)).await;
        ended.await.unwrap();
        assert!(active.lock().is_empty() && !active.is_running(&names));
    }
}
