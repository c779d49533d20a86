//! Group commit: everything the engine records goes through one queue and one writer, many rows to a transaction.
//!
//! Always: [`Recorder::receive`] returns only after its receipt, with its event, is committed with a full sync, or is
//! as safe in the [`Journal`]. Records that nobody waits for are deferred by a few milliseconds: while uploads come,
//! those of many share one commit. While the database cannot be written they are kept ([`Writer`]).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::oneshot;

use super::journal::Journal;
use super::live::Live;
use super::open::Db;
use super::queue::{Gone, Job, Queue, Then, queue};
use super::receipt::Receipt;
use super::renaming::Rename;
use super::writer::Writer;
use super::{collected, event, refusal, session, transfer};
use crate::base::clock::Timestamp;
use crate::base::id::{EventId, ReceiptId};
use crate::domain::receipt::Status;

/// The database did not accept it; nothing of it is promised.
#[derive(Clone, Debug, thiserror::Error)]
#[error("could not record it: {0}")]
pub struct NotRecorded(pub String);

impl From<Gone> for NotRecorded {
    fn from(Gone: Gone) -> Self {
        Self("the writer has stopped".to_owned())
    }
}

/// A receipt and its event's id, to be committed together.
#[derive(Clone, Debug)]
pub struct Received {
    /// The receipt; its mark and `duplicate_of` are set here.
    pub receipt: Receipt,
    /// Its After Receive event's id.
    pub event_id: EventId,
    /// The Receive folder it goes to, as a path of this machine: where its bytes are held if a delivery needs them.
    pub folder: String,
    /// The inode of that folder's staging folder: in any other, nothing can be said about the file.
    pub staging_inode: u64,
    /// When its deliveries may begin, because it has settled.
    pub deliver_at: Timestamp,
    /// The actions it sets off, by their ids.
    pub actions: Vec<String>,
    /// The receipt whose file, under another name, leaves Receive when this one gets its name.
    pub in_place_of: Option<ReceiptId>,
}

#[cfg(test)]
impl Received {
    /// A receipt to be committed, for tests that ignore deliveries.
    pub(crate) fn of(receipt: Receipt, ids: &crate::base::id::IdSource) -> Self {
        let (event_id, deliver_at) = (EventId::new(ids), receipt.completed_at);
        Self {
            receipt,
            event_id,
            folder: String::new(),
            staging_inode: 0,
            deliver_at,
            actions: Vec::new(),
            in_place_of: None,
        }
    }

    /// The same for a file at that path.
    pub(crate) fn at(path: &str, ids: &crate::base::id::IdSource, at: Timestamp) -> Self {
        let (client_path, stored_path) = (path.to_owned(), path.to_owned());
        Self::of(Receipt { client_path, stored_path, ..Receipt::sample(ids, "Acme", at) }, ids)
    }
}

/// The outcome of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The receipt of the same connector, name and digest within 24 hours, if already looked up.
    pub duplicate_of: Option<ReceiptId>,
    /// Whether a delivery needs its bytes: they must be held before the file gets its final name.
    pub held: bool,
}

/// A file that now has its final name: its mark is cleared and its event released.
#[derive(Clone, Debug)]
pub struct Published {
    /// The receipt.
    pub id: ReceiptId,
    /// Where it lies: an older receipt of that place becomes *replaced*.
    pub place: Place,
    /// Another receipt that is replaced, though its file had another name.
    pub in_place_of: Option<ReceiptId>,
    /// Its After Receive event.
    pub event: event::Event,
}

impl Published {
    /// What to record once a receipt's file has its final name.
    pub fn of(receipt: &Receipt, event_id: EventId) -> Self {
        let event = event::Event::after_receive(receipt, event_id);
        Self { id: receipt.id.clone(), place: Place::of(receipt), in_place_of: None, event }
    }
}

/// The place of a received file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The connector's id in lower case.
    pub connector_key: String,
    /// As the partner would see it: `/Receive/a`.
    pub stored_path: String,
}

impl Place {
    /// The place of the receipt's file, now or soon.
    pub fn of(receipt: &Receipt) -> Self {
        Self { connector_key: receipt.connector_key(), stored_path: receipt.stored_path.clone() }
    }
}

/// Hands records to the one writer.
#[derive(Clone, Debug)]
pub struct Recorder {
    queue: Queue,
    received: Arc<AtomicU64>,
    /// Where receipts are safe sooner than in the database, and the configuration that tells whether they are passed
    /// along.
    journal: Option<(Arc<Journal>, Live)>,
}

impl Recorder {
    /// A recorder, and its writer, which must be run.
    pub fn new(db: Db) -> (Self, Writer) {
        let (queue, jobs) = queue();
        (Self { queue, received: Arc::default(), journal: None }, Writer::new(db, jobs))
    }

    /// The same, with receipts written to a journal first.
    pub fn with_journal(db: Db, journal: Arc<Journal>, live: Live) -> (Self, Writer) {
        let (recorder, writer) = Self::new(db);
        (Self { journal: Some((Arc::clone(&journal), live)), ..recorder }, writer.with_journal(journal))
    }

    /// Commits a receipt and its event; returns the outcome when both are on disk.
    pub async fn receive(&self, received: Received) -> Result<Committed, NotRecorded> {
        self.received.fetch_add(1, Ordering::Relaxed);
        if let Some((journal, live)) = &self.journal
            // What was recorded of this place before is not in the journal: it must reach the database no later than
            // the receipt.
            && !self.queue.says_of(&Place::of(&received.receipt))
        {
            let passes_along = live.snapshot().passing_along.contains(&received.receipt.connector_key());
            let held = passes_along || !received.actions.is_empty();
            let room = self.queue.room().await?;
            let hand_in = |line| self.queue.put(room, Job::Journaled(Box::new(line)));
            if journal.append((&received, held), hand_in)? {
                // It was handed in: safe with the next commit.
                if journal.synced().await.is_err()
                    && let Err(error) = self.flush().await
                {
                    // It may be written later all the same; but its partner sends it again.
                    self.send(Job::Lost(received.receipt.id)).await;
                    return Err(error);
                }
                return Ok(Committed { duplicate_of: None, held });
            }
        }
        let (done, answer) = oneshot::channel();
        self.queue.push(Job::Receive(Box::new(received), done)).await?;
        answer.await.map_err(|_| Gone)?
    }

    /// Waits until the database has every receipt that [`Self::receive`] has returned.
    pub async fn catch_up(&self) -> Result<(), NotRecorded> {
        match &self.journal {
            Some((journal, _)) if journal.is_ahead() => self.flush().await,
            _ => Ok(()),
        }
    }

    /// How many receipts were handed over since the start: a change shows that uploads are coming.
    pub fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// Commits that a file was collected, with its event and everything handed over before; returns when it is on disk.
    pub async fn collect(&self, collection: collected::Collection, event: event::Event) -> Result<(), NotRecorded> {
        let (done, answer) = oneshot::channel();
        self.collect_then(collection, event, move |recorded| drop(done.send(recorded))).await?;
        answer.await.map_err(|_| Gone)?
    }

    /// Hands in that a file was collected; the writer does `then`, which must be short, once it is on disk or refused
    /// for good.
    pub async fn collect_then(
        &self,
        collection: collected::Collection,
        event: event::Event,
        then: impl FnOnce(Result<(), NotRecorded>) + Send + Sync + 'static,
    ) -> Result<(), NotRecorded> {
        Ok(self.queue.push(Job::Collect(Box::new((collection, event)), Then(Box::new(then)))).await?)
    }

    /// Clears the mark and releases the event within a few milliseconds.
    pub async fn publish(&self, published: Published) {
        self.send(Job::Publish(Box::new(published))).await;
    }

    /// The received file at `stored_path` now has this status.
    pub async fn moved(&self, connector_key: &str, stored_path: &str, status: Status) {
        let (connector_key, stored_path) = (connector_key.to_owned(), stored_path.to_owned());
        self.send(Job::Moved(Place { connector_key, stored_path }, status)).await;
    }

    /// Something in Receive was renamed on disk: its receipts follow.
    pub async fn renamed(&self, rename: Rename) {
        self.send(Job::Renamed(Box::new(rename))).await;
    }

    /// Records an event.
    pub async fn event(&self, event: event::Event) {
        self.send(Job::Event(Box::new(event))).await;
    }

    /// Records a transfer.
    pub async fn transfer(&self, transfer: transfer::Transfer) {
        self.send(Job::Transfer(Box::new(transfer))).await;
    }

    /// Records a session that has ended.
    pub async fn session(&self, session: session::Session) {
        self.send(Job::Session(Box::new(session))).await;
    }

    /// Records a refusal if there is room: nobody waits for it, and a flood cannot slow a session down.
    pub fn refusal(&self, refusal: refusal::Refusal) {
        self.queue.push_if_room(Job::Refusal(Box::new(refusal)));
    }

    /// Records a failed login if there is room. Further ones of the same partner and address within a minute are
    /// dropped: refusals count them.
    pub fn login_failed(&self, event: event::Event) {
        self.queue.push_if_room(Job::LoginFailed(Box::new(event)));
    }

    /// Waits until everything handed over before is committed: before a received file is renamed or removed, so that
    /// recovery never looks for it in its old place. After an error nothing may rely on it.
    pub async fn flush(&self) -> Result<(), NotRecorded> {
        let (done, answer) = oneshot::channel();
        self.queue.push(Job::Flush(done)).await?;
        answer.await.map_err(|_| Gone)?
    }

    async fn send(&self, job: Job) {
        if self.queue.push(job).await.is_err() {
            tracing::warn!("A record came after the writer had stopped");
        }
    }
}

/// Outside numbers are far below 2^63; the table's CHECK refuses any other.
pub(super) fn signed(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(-1)
}

#[cfg(test)]
mod tests {
    use tokio::task::JoinHandle;

    use super::*;
    use crate::base::clock::Clock;
    use crate::base::id::IdSource;
    use crate::store::receipt::find;

    const AT: Timestamp = Timestamp::from_us(1_800_000_000_000_000);

    /// A database with its writer at work.
    struct Desk {
        _folder: tempfile::TempDir,
        db: Db,
        ids: IdSource,
        recorder: Recorder,
        writing: JoinHandle<()>,
    }

    impl Desk {
        async fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let db = Db::open(folder.path()).await.unwrap();
            let (recorder, writer) = Recorder::new(db.clone());
            let (ids, writing) = (IdSource::seeded(Clock::System, 7), tokio::spawn(writer.run()));
            Self { _folder: folder, db, ids, recorder, writing }
        }
    }

    fn received(ids: &IdSource, path: &str) -> Received {
        Received::at(path, ids, AT)
    }

    fn published(received: &Received) -> Published {
        Published::of(&received.receipt, received.event_id.clone())
    }

    async fn state(db: &Db, received: &Received) -> (Status, bool) {
        let found = find(db, &received.receipt.id).await.unwrap().unwrap();
        (found.status, found.publishing)
    }

    async fn told(db: &Db) -> Vec<EventId> {
        let events = event::oldest_first(db, None, Timestamp::default(), None, 9).await.unwrap();
        events.into_iter().map(|event| event.id).collect()
    }

    #[tokio::test]
    async fn an_event_is_told_of_when_its_file_lies_under_its_name_and_nothing_is_left_behind_at_the_end() {
        let Desk { _folder, db, ids, recorder, writing } = Desk::new().await;
        let one = received(&ids, "/Receive/a");
        recorder.receive(one.clone()).await.unwrap();
        assert_eq!((state(&db, &one).await, told(&db).await), ((Status::InReceive, true), vec![]));
        recorder.publish(published(&one)).await;
        drop(recorder);
        writing.await.unwrap();
        assert_eq!((state(&db, &one).await, told(&db).await), ((Status::InReceive, false), vec![one.event_id]));
    }

    #[tokio::test]
    async fn a_receipt_does_not_overtake_what_is_said_of_its_place() {
        let Desk { _folder, db, ids, recorder, writing } = Desk::new().await;
        let (first, second, third) =
            (received(&ids, "/Receive/a"), received(&ids, "/Receive/a"), received(&ids, "/Receive/a"));
        recorder.receive(first.clone()).await.unwrap();
        recorder.publish(published(&first)).await;
        recorder.receive(second.clone()).await.unwrap();
        // The first was written before the second came: it has not replaced what followed.
        assert_eq!(state(&db, &first).await, (Status::InReceive, false));
        assert_eq!(state(&db, &second).await, (Status::InReceive, true));
        recorder.moved("acme", "/Receive/a", Status::Removed).await;
        recorder.receive(third.clone()).await.unwrap();
        assert_eq!(state(&db, &second).await.0, Status::Removed);
        assert_eq!(state(&db, &third).await.0, Status::InReceive);
        drop(recorder);
        writing.await.unwrap();
    }
}
