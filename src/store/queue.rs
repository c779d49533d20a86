//! Jobs on their way to the one writer: those that somebody waits for, and those that nobody waits for, which are
//! deferred until there are many. Handing in one of the latter wakes no thread.
//!
//! Always: a job that concerns a place is taken before a later receipt of the same place, and whatever was handed in
//! before a flush is taken before it.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit, mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

use super::commit::{Committed, NotRecorded, Place, Published, Received};
use super::journal::Line;
use super::renaming::Rename;
use super::{collected, event, refusal, session, transfer};
use crate::base::id::ReceiptId;
use crate::base::lock::lock;
use crate::domain::receipt::Status;

/// Unawaited jobs are deferred until there are this many; a batch has no more of them, unless order demands it.
const BATCH_MAX: usize = 128;
/// Jobs that may wait; a full queue slows the sessions down instead of growing.
const QUEUE_MAX: usize = 4_096;
/// How long unawaited records may wait for company. The runner and the pages see a file that much later.
const LINGER: Duration = Duration::from_millis(10);

/// What is done once a job is written, or refused for good; nothing if the writer ends before that.
pub(super) struct Then(pub(super) Box<dyn FnOnce(Result<(), NotRecorded>) + Send + Sync>);

impl fmt::Debug for Then {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Then")
    }
}

/// Something to be written.
#[derive(Debug)]
pub(super) enum Job {
    Receive(Box<Received>, oneshot::Sender<Result<Committed, NotRecorded>>),
    /// A receipt that is safe in the journal.
    Journaled(Box<Line>),
    Collect(Box<(collected::Collection, event::Event)>, Then),
    Publish(Box<Published>),
    Moved(Place, Status),
    /// The receipt's partner was not told 226.
    Lost(ReceiptId),
    Renamed(Box<Rename>),
    Event(Box<event::Event>),
    Transfer(Box<transfer::Transfer>),
    Session(Box<session::Session>),
    LoginFailed(Box<event::Event>),
    Refusal(Box<refusal::Refusal>),
    Flush(oneshot::Sender<Result<(), NotRecorded>>),
}

impl Job {
    /// Whether a partner waits for it. No reply waits for a collection: those of many downloads share one commit.
    fn is_awaited(&self) -> bool {
        matches!(self, Self::Receive(..) | Self::Flush(_))
    }

    /// Whether it should fail at once if it cannot be written, rather than be written later.
    pub(super) fn is_told_at_once(&self) -> bool {
        self.is_awaited() || matches!(self, Self::LoginFailed(_) | Self::Refusal(_))
    }

    /// Whether files would be lost track of without it.
    pub(super) fn says_where_a_file_is(&self) -> bool {
        matches!(
            self,
            Self::Receive(..)
                | Self::Journaled(_)
                | Self::Collect(..)
                | Self::Publish(_)
                | Self::Moved(..)
                | Self::Lost(_)
                | Self::Renamed(_)
        )
    }

    /// What it is, for the log.
    pub(super) fn what(&self) -> String {
        match self {
            Self::Receive(received, _) => format!("receipt {}", received.receipt.id),
            Self::Journaled(line) => format!("receipt {}", line.id),
            Self::Collect(collected, _) => format!("collection, event {}", collected.1.id),
            Self::Publish(published) => format!("receipt {} lies under its name", published.id),
            Self::Moved(place, status) => format!("{} is {}", place.stored_path, status.name()),
            Self::Lost(id) => format!("receipt {id} is lost"),
            Self::Renamed(rename) => format!("{} is {} now", rename.from, rename.to),
            Self::Event(event) | Self::LoginFailed(event) => format!("event {}", event.id),
            Self::Transfer(transfer) => format!("transfer {}", transfer.id),
            Self::Session(_) => "a session".to_owned(),
            Self::Refusal(_) => "a refusal".to_owned(),
            Self::Flush(_) => "a flush".to_owned(),
        }
    }

    /// The place it concerns: such a job must not be written after a later receipt of the same place.
    fn place(&self) -> Option<&Place> {
        match self {
            Self::Publish(published) => Some(&published.place),
            Self::Journaled(line) => Some(&line.place),
            Self::Moved(place, _) => Some(place),
            _ => None,
        }
    }
}

/// The writer has stopped.
#[derive(Debug)]
pub(super) struct Gone;

/// Where jobs are handed in. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Queue {
    shared: Arc<Shared>,
    /// Wakes the writer; when the last of these is gone, the writer ends.
    bell: mpsc::Sender<()>,
}

/// Where the writer takes them from.
#[derive(Debug)]
pub(super) struct Jobs {
    shared: Arc<Shared>,
    bell: mpsc::Receiver<()>,
}

#[derive(Debug)]
struct Shared {
    waiting: Mutex<Waiting>,
    room: Semaphore,
}

/// What was handed in but not taken.
#[derive(Debug)]
struct Waiting {
    awaited: Vec<Job>,
    /// Unawaited jobs, in order.
    others: Vec<Job>,
    /// The places concerned by the last batch, which may not be written yet.
    taken: Vec<Place>,
    /// When they must be written, however few there are.
    due: Instant,
    /// Nobody takes any more.
    gone: bool,
}

/// Both ends of a new queue.
pub(super) fn queue() -> (Queue, Jobs) {
    let (ring, bell) = mpsc::channel(1);
    let waiting =
        Waiting { awaited: Vec::new(), others: Vec::new(), taken: Vec::new(), due: Instant::now(), gone: false };
    let shared = Arc::new(Shared { waiting: Mutex::new(waiting), room: Semaphore::new(QUEUE_MAX) });
    (Queue { shared: Arc::clone(&shared), bell: ring }, Jobs { shared, bell })
}

impl Queue {
    /// Hands a job in, once there is room for it.
    pub(super) async fn push(&self, job: Job) -> Result<(), Gone> {
        let room = self.room().await?;
        self.put(room, job)
    }

    /// Waits for room for one job.
    pub(super) async fn room(&self) -> Result<SemaphorePermit<'_>, Gone> {
        self.shared.room.acquire().await.map_err(|_| Gone)
    }

    /// Whether a job concerning the place was handed in and may not be written yet.
    pub(super) fn says_of(&self, place: &Place) -> bool {
        self.shared.lock().says_of(place)
    }

    /// Hands in a job that may be dropped: only while half of the room is free.
    pub(super) fn push_if_room(&self, job: Job) {
        let room = &self.shared.room;
        if room.available_permits() > QUEUE_MAX / 2
            && let Ok(permit) = room.try_acquire()
        {
            // If nobody takes it, the appliance has stopped.
            let _ = self.put(permit, job);
        }
    }

    /// Hands a job in, at once.
    pub(super) fn put(&self, room: SemaphorePermit<'_>, job: Job) -> Result<(), Gone> {
        // The writer gives it back.
        room.forget();
        if self.shared.lock().put(job)? {
            // Full: the bell has been rung already.
            let _ = self.bell.try_send(());
        }
        Ok(())
    }
}

impl Jobs {
    /// From now on nobody takes any more; [`Self::next`] ends.
    pub(super) fn close(&mut self) {
        self.bell.close();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.bell.is_closed()
    }

    /// What to write next; nothing when the last [`Queue`] is gone and everything is taken.
    pub(super) async fn next(&mut self) -> Vec<Job> {
        loop {
            let (batch, due) = self.shared.lock().take(Instant::now());
            if !batch.is_empty() {
                self.shared.room.add_permits(batch.len());
                return batch;
            }
            let rung = match due {
                None => self.bell.recv().await,
                // Elapsed: the deferred jobs are due.
                Some(due) => timeout_at(due, self.bell.recv()).await.unwrap_or(Some(())),
            };
            if rung.is_none() {
                return self.shared.lock().take_all();
            }
        }
    }
}

impl Drop for Jobs {
    fn drop(&mut self) {
        self.shared.room.close();
        let mut waiting = self.shared.lock();
        waiting.gone = true;
        // Whoever waits for one of them is told.
        let left = waiting.take_all();
        drop(waiting);
        drop(left);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        lock(&self.waiting)
    }
}

impl Waiting {
    /// Whether it must wake the writer.
    fn put(&mut self, job: Job) -> Result<bool, Gone> {
        if self.gone {
            return Err(Gone);
        }
        if job.is_awaited() {
            self.awaited.push(job);
            return Ok(true);
        }
        if self.others.is_empty() {
            self.due = Instant::now() + LINGER;
        }
        self.others.push(job);
        Ok(self.others.len() == 1 || self.others.len() == BATCH_MAX)
    }

    /// What to write now, or else when the deferred jobs are due.
    fn take(&mut self, now: Instant) -> (Vec<Job>, Option<Instant>) {
        let others = if self.awaited.iter().any(|job| self.is_behind(job)) {
            self.others.len()
        } else if self.others.len() >= BATCH_MAX || now >= self.due {
            self.others.len().min(BATCH_MAX)
        } else {
            0
        };
        let mut batch: Vec<_> = self.others.drain(..others).collect();
        self.taken = batch.iter().filter_map(Job::place).cloned().collect();
        batch.append(&mut self.awaited);
        (batch, (!self.others.is_empty()).then_some(self.due))
    }

    /// Whether a job concerning the place may not be written yet.
    fn says_of(&self, place: &Place) -> bool {
        self.taken.contains(place) || self.others.iter().any(|other| other.place() == Some(place))
    }

    /// Whether an awaited job must follow the deferred ones.
    fn is_behind(&self, job: &Job) -> bool {
        match job {
            Job::Receive(received, _) => self.says_of(&Place::of(&received.receipt)),
            _ => true,
        }
    }

    fn take_all(&mut self) -> Vec<Job> {
        let mut all = std::mem::take(&mut self.others);
        all.append(&mut self.awaited);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::{Clock, Timestamp};
    use crate::base::id::IdSource;
    use crate::store::receipt::Receipt;

    fn received(path: &str) -> Received {
        let ids = IdSource::seeded(Clock::System, 7);
        let sample = Receipt::sample(&ids, "Acme", Timestamp::default());
        let receipt = Receipt { stored_path: path.to_owned(), ..sample };
        Received::of(receipt, &ids)
    }

    fn receive(path: &str) -> Job {
        Job::Receive(Box::new(received(path)), oneshot::channel().0)
    }

    fn publish(path: &str) -> Job {
        let received = received(path);
        Job::Publish(Box::new(Published::of(&received.receipt, received.event_id)))
    }

    fn flush() -> Job {
        Job::Flush(oneshot::channel().0)
    }

    #[tokio::test]
    async fn what_nobody_waits_for_is_put_off_until_there_is_much_of_it() {
        let (queue, mut jobs) = queue();
        for job in [publish("/Receive/b"), receive("/Receive/a"), publish("/Receive/c")] {
            queue.push(job).await.unwrap();
        }
        assert!(matches!(jobs.next().await[..], [Job::Receive(..)]));
        // Whoever flushes waits for all of it.
        for job in [receive("/Receive/a"), flush()] {
            queue.push(job).await.unwrap();
        }
        assert!(matches!(jobs.next().await[..], [Job::Publish(_), Job::Publish(_), Job::Receive(..), Job::Flush(_)]));
        // A receipt does not overtake a job that concerns its place.
        for job in [publish("/Receive/b"), publish("/Receive/a"), receive("/Receive/a")] {
            queue.push(job).await.unwrap();
        }
        assert!(matches!(jobs.next().await[..], [Job::Publish(_), Job::Publish(_), Job::Receive(..)]));

        for _ in 0..BATCH_MAX {
            queue.push(publish("/Receive/b")).await.unwrap();
        }
        assert_eq!(jobs.next().await.len(), BATCH_MAX);
        let begun = Instant::now();
        queue.push(publish("/Receive/b")).await.unwrap();
        assert_eq!(jobs.next().await.len(), 1);
        assert!(begun.elapsed() >= LINGER);
    }

    #[tokio::test]
    async fn a_full_queue_makes_wait_and_drops_what_may_be_dropped() {
        let (queue, mut jobs) = queue();
        for _ in 0..QUEUE_MAX / 2 {
            queue.push_if_room(publish("/Receive/a"));
        }
        queue.push_if_room(publish("/Receive/a"));
        assert_eq!(queue.shared.room.available_permits(), QUEUE_MAX / 2, "the other half is for the rest");
        for _ in 0..QUEUE_MAX / 2 {
            queue.push(publish("/Receive/a")).await.unwrap();
        }
        let more = tokio::spawn({
            let queue = queue.clone();
            async move { queue.push(flush()).await }
        });
        tokio::task::yield_now().await;
        assert!(!more.is_finished());
        assert_eq!(jobs.next().await.len(), BATCH_MAX);
        more.await.unwrap().unwrap();
        assert_eq!(jobs.next().await.len(), QUEUE_MAX - BATCH_MAX + 1);
    }

    #[tokio::test]
    async fn the_end_of_either_side_is_heard_by_the_other_and_nothing_is_left_behind() {
        let (first, mut jobs) = queue();
        first.push(publish("/Receive/a")).await.unwrap();
        drop(first);
        assert_eq!((jobs.next().await.len(), jobs.next().await.len()), (1, 0));

        let (second, jobs) = queue();
        let (done, answer) = oneshot::channel();
        second.push(Job::Flush(done)).await.unwrap();
        drop(jobs);
        answer.await.unwrap_err();
        second.push(flush()).await.unwrap_err();
    }
}
