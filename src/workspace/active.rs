//! Uploads under way, by the client's name: a client that reconnects finds its dead session's upload still here, and
//! takes over its part once no byte has moved for a while (PRODUCT 5.7).
//!
//! Always: an upload that began before a complete file of its name arrived is never continued.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::folder::Unfinished;
use crate::base::clock::Timestamp;
use crate::base::lock::lock;
use crate::base::path::Name;

/// An upload that has moved no byte for this long may be ended by another one of the same name.
pub const DEAD_AFTER: Duration = Duration::from_secs(10);
/// How long the new upload waits for the dead one's part to be put aside.
const HAND_OVER_WITHIN: Duration = Duration::from_secs(5);

/// One upload under way.
#[derive(Debug)]
struct Running {
    /// Its part's name in staging; later names are greater.
    part: String,
    /// Bytes in it.
    size_bytes: AtomicU64,
    /// When its last byte arrived, unix microseconds.
    moved_at: AtomicI64,
    /// Nobody may continue it: it would be a new version, or a complete file of its name is there by now.
    lapsed: AtomicBool,
    end: CancellationToken,
    over: Notify,
}

impl Running {
    fn is_dead(&self, now: Timestamp) -> bool {
        now.since(Timestamp::from_us(self.moved_at.load(Ordering::Relaxed))) >= DEAD_AFTER
    }

    /// What would be kept of it, if anything.
    fn left(&self) -> Option<Unfinished> {
        let size_bytes = self.size_bytes.load(Ordering::Relaxed);
        let since = Timestamp::from_us(self.moved_at.load(Ordering::Relaxed));
        let is_kept = size_bytes > 0 && !self.lapsed.load(Ordering::Acquire);
        is_kept.then(|| Unfinished { part: self.part.clone(), size_bytes, since })
    }
}

/// By the client's name below the folder.
type ByName = HashMap<Vec<Name>, Vec<Arc<Running>>>;

/// The uploads under way in one folder.
#[derive(Clone, Debug, Default)]
pub struct Active {
    running: Arc<Mutex<ByName>>,
}

/// An upload's entry, removed when dropped.
#[derive(Debug)]
pub struct Entry {
    active: Active,
    names: Vec<Name>,
    running: Arc<Running>,
}

impl Active {
    /// Begins an upload under that name; `part` is its part's name in staging. Until its first byte it does not count
    /// as dead: it may be copying what it continues. Also returns whether no other one of its name is under way.
    pub fn enter(&self, names: &[Name], part: &str) -> (Entry, bool) {
        let running = Arc::new(Running {
            part: part.to_owned(),
            size_bytes: AtomicU64::new(0),
            lapsed: AtomicBool::new(false),
            moved_at: AtomicI64::new(i64::MAX),
            end: CancellationToken::new(),
            over: Notify::new(),
        });
        let mut all = self.lock();
        let of_name = all.entry(names.to_vec()).or_default();
        of_name.push(Arc::clone(&running));
        let is_alone = of_name.len() == 1;
        drop(all);
        (Entry { active: self.clone(), names: names.to_vec(), running }, is_alone)
    }

    /// Whether an upload under that name is under way.
    pub fn is_running(&self, names: &[Name]) -> bool {
        self.lock().contains_key(names)
    }

    /// Ends the uploads of that name that have moved no byte for [`DEAD_AFTER`], and waits until their parts are put
    /// aside. Moving uploads are left alone: both will be committed, and the last one wins whole.
    pub async fn end_dead(&self, names: &[Name], now: Timestamp) {
        let dead: Vec<_> = {
            let running = self.lock();
            running.get(names).into_iter().flatten().filter(|one| one.is_dead(now)).cloned().collect()
        };
        for one in dead {
            let over = one.over.notified();
            one.end.cancel();
            // A session that does not end in time keeps its part; the new upload starts without it.
            let _ = tokio::time::timeout(HAND_OVER_WITHIN, over).await;
        }
    }

    /// What [`Self::end_dead`] would leave to continue, by name.
    pub fn dead(&self, now: Timestamp) -> Vec<(Vec<Name>, Unfinished)> {
        let running = self.lock();
        let last = |(names, of_name): (&Vec<Name>, &Vec<Arc<Running>>)| {
            let left = of_name.iter().filter(|one| one.is_dead(now)).filter_map(|one| one.left()).next_back()?;
            Some((names.clone(), left))
        };
        running.iter().filter_map(last).collect()
    }

    /// A complete file has that name, from an upload or a rename that began with `part`: earlier ones are over.
    pub(super) fn supersede(&self, names: &[Name], part: &str) {
        for one in self.lock().get(names).into_iter().flatten().filter(|one| one.part.as_str() < part) {
            one.lapsed.store(true, Ordering::Release);
        }
    }

    fn lock(&self) -> MutexGuard<'_, ByName> {
        lock(&self.running)
    }
}

impl Entry {
    /// A byte has arrived.
    pub fn moved(&self, now: Timestamp) {
        self.running.moved_at.store(now.us(), Ordering::Relaxed);
    }

    /// Its part contains this many bytes.
    pub fn holds(&self, size_bytes: u64) {
        self.running.size_bytes.store(size_bytes, Ordering::Relaxed);
    }

    /// Nobody may continue it.
    pub fn lapse(&self) {
        self.running.lapsed.store(true, Ordering::Release);
    }

    /// Whether nobody may continue it, whatever is left of it.
    pub fn has_lapsed(&self) -> bool {
        self.running.lapsed.load(Ordering::Acquire)
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
        let (entry, is_alone) = active.enter(&names, "part");
        assert!(is_alone && !active.enter(&names, "other").1);
        active.end_dead(&names, at(100)).await;
        assert!(!entry.end().is_cancelled(), "it copies what it goes on with");
        entry.moved(at(0));
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

    #[test]
    fn a_dead_upload_is_shown_as_what_it_would_leave_until_a_later_one_is_whole() {
        let active = Active::default();
        let names = [Name::parse("big.bin").unwrap()];
        let at = |seconds: i64| Timestamp::from_us(seconds * 1_000_000);
        let [older, later] = ["1", "2"].map(|part| active.enter(&names, part).0);
        for one in [&older, &later] {
            one.moved(at(0));
        }
        assert_eq!(active.dead(at(60)), [], "nothing came");
        older.holds(7);
        assert_eq!(active.dead(at(9)), [], "it may still move");
        let left = Unfinished { part: "1".to_owned(), size_bytes: 7, since: at(0) };
        assert_eq!(active.dead(at(10)), [(names.to_vec(), left)]);
        active.supersede(&names, "2");
        assert_eq!(active.dead(at(10)), []);
        assert!(older.has_lapsed() && !later.has_lapsed());
    }
}
