//! Receipts on their way into the database. A line in a file of Waybill's own is on disk sooner than a commit, in which
//! one receipt changes a dozen pages; the database takes over the lines of many receipts in one commit some
//! milliseconds later. See docs/decisions/0134.
//!
//! Always: a line is overwritten only when the database has its receipt, and a start brings in whatever it lacks. If
//! the journal is full or fails, or the database cannot be written, a receipt is committed as if there were no journal.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex};

use sqlx::Row;

use super::StoreError;
use super::cell::Cell;
use super::commit::{Place, Received};
use super::group::{Group, Kind, Named, receipt_row};
use super::open::Db;
use super::queue::Gone;
use crate::base::human;
use crate::base::lock::lock;
use crate::base::sync::{SharedSync, Syncer};

/// The journal, beneath the data folder.
pub const JOURNAL: &str = "receipts.journal";
/// Its fixed length in bytes: some 1,300 receipts. It is written in full before use, so that a sync writes no new size
/// or block of it.
const JOURNAL_BYTES: usize = 1 << 20;
/// Numbers skipped by each start: more than the journal has lines. They distinguish lines that a crash left behind a
/// broken line.
const LEFT_OUT: i64 = 1_000_000;

const WRITTEN: &str = "SELECT written FROM journal WHERE one = 1";
const SET_WRITTEN: &str = "UPDATE journal SET written = $1 WHERE one = 1";

/// A receipt that is in the journal and on its way into the database.
#[derive(Debug)]
pub(super) struct Line {
    /// Its line number; each is greater than the one before.
    pub(super) number: i64,
    /// The cells of [`Kind::Receipt`].
    pub(super) row: Vec<Cell>,
    /// The place of its file, now or soon.
    pub(super) place: Place,
    /// The receipt's id, for the log.
    pub(super) id: String,
}

/// The journal of a running server. Only one process has it, the holder of the data folder's lock.
#[derive(Debug)]
pub struct Journal {
    file: Arc<OwnedFd>,
    syncer: Syncer,
    syncs: SharedSync,
    lines: Mutex<Lines>,
}

#[derive(Debug)]
struct Lines {
    /// The number of the next line.
    next: i64,
    /// Its position, in bytes.
    end: usize,
    /// Lines that the database does not have yet.
    waiting: usize,
    /// It has its full length.
    is_made: bool,
    /// A write or sync failed: nobody knows what is on disk.
    has_failed: bool,
    /// The database cannot be written: lines would only pile up.
    rests: bool,
}

impl Journal {
    /// Opens or makes the journal of a data folder, and brings into the database what it lacks.
    ///
    /// # Errors
    /// The file or the database cannot be read or written.
    pub async fn open(db: &Db) -> Result<Arc<Self>, StoreError> {
        let unusable = |source| StoreError::Folder { path: db.folder().join(JOURNAL), source };
        let (file, text) = read(db.folder()).map_err(unusable)?;
        let row = sqlx::query(WRITTEN).fetch_one(db.reader()).await?;
        let written = row.try_get::<i64, _>(0)?;
        let missing: Vec<_> = lines(&text).filter(|(number, _)| *number > written).collect();
        let last = missing.last().map_or(written, |(number, _)| *number);
        let mut tx = db.begin().await?;
        let mut group = Group::default();
        for (number, cells) in &missing {
            group.journaled(Kind::Receipt.row_of(cells), *number);
        }
        group.write(&mut tx).await?;
        let next = last + LEFT_OUT;
        sqlx::query(SET_WRITTEN).bind(next).execute(&mut *tx).await?;
        tx.commit().await?;
        if !missing.is_empty() {
            let receipts = human::count(missing.len() as u64, "receipt", "receipts");
            tracing::info!("Brought {receipts} from the journal into the database");
        }
        let is_made = text.len() == JOURNAL_BYTES;
        let lines = Lines { next: next + 1, end: 0, waiting: 0, is_made, has_failed: false, rests: false };
        let (syncer, syncs) = (Syncer::default(), SharedSync::default());
        let journal = Arc::new(Self { file: Arc::new(file.into()), syncer, syncs, lines: Mutex::new(lines) });
        if !is_made {
            // A first start does not wait for it.
            let (made, folder) = (Arc::clone(&journal), db.folder().to_owned());
            tokio::task::spawn_blocking(move || made.make(&folder));
        }
        Ok(journal)
    }

    /// Writes it in full: a journal that was never used is empty.
    fn make(&self, folder: &Path) {
        let made = write_at(&self.file, &vec![0; JOURNAL_BYTES], 0).and_then(|()| sync(&self.file, folder));
        let mut lines = lock(&self.lines);
        match made {
            Ok(()) => lines.is_made = true,
            Err(error) => lines.fail(&error),
        }
    }

    /// Appends a receipt, and hands it in to be brought into the database in the same order. It is safe once
    /// [`Self::synced`] has returned. `held`: whether its bytes will be. `false`: there is no room now, and nothing was
    /// handed in.
    pub(super) fn append(
        &self,
        (received, held): (&Received, bool),
        hand_in: impl FnOnce(Line) -> Result<(), Gone>,
    ) -> Result<bool, Gone> {
        let row = receipt_row(received, Some(held));
        // Rows contain only what JSON can express.
        let Ok(json) = serde_json::to_string(&Named(Kind::Receipt, &row)) else { return Ok(false) };
        let mut lines = lock(&self.lines);
        let text = line(lines.next, &json);
        if !lines.is_made || lines.has_failed || lines.rests || lines.end + text.len() > JOURNAL_BYTES {
            return Ok(false);
        }
        // First, because a line must not exist for a receipt that nobody takes.
        let receipt = &received.receipt;
        hand_in(Line { number: lines.next, row, place: Place::of(receipt), id: receipt.id.to_string() })?;
        if let Err(error) = write_at(&self.file, text.as_bytes(), lines.end) {
            lines.fail(&error);
        }
        lines.next += 1;
        lines.end += text.len();
        lines.waiting += 1;
        Ok(true)
    }

    /// Waits until every earlier line is on disk.
    ///
    /// # Errors
    /// They may not be on disk; what was handed in is on its way into the database all the same.
    pub(super) async fn synced(&self) -> io::Result<()> {
        if lock(&self.lines).has_failed {
            return Err(io::Error::other("it has failed before"));
        }
        let synced = self.syncs.wait(self.syncer.journal(Arc::clone(&self.file))).await;
        if let Err(error) = &synced {
            lock(&self.lines).fail(error);
        }
        synced
    }

    /// The database now has that many more of them.
    pub(super) fn written(&self, count: usize) {
        let mut lines = lock(&self.lines);
        lines.waiting -= count;
        if lines.waiting == 0 {
            lines.end = 0;
        }
    }

    /// Whether the database can be written.
    pub(super) fn follow(&self, is_writable: bool) {
        lock(&self.lines).rests = !is_writable;
    }

    /// Whether the journal has a receipt that the database lacks.
    pub(super) fn is_ahead(&self) -> bool {
        lock(&self.lines).waiting > 0
    }
}

impl Lines {
    fn fail(&mut self, error: &io::Error) {
        if !self.has_failed {
            self.has_failed = true;
            tracing::error!(%error, "The journal of receipts cannot be written: each is committed by itself until the next start");
        }
    }
}

#[cfg(test)]
impl Journal {
    /// One that can be written to.
    pub(crate) async fn made(db: &Db) -> Arc<Self> {
        let journal = Self::open(db).await.unwrap();
        while !lock(&journal.lines).is_made {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        journal
    }
}

/// The file, and what is in it; that is shorter than [`JOURNAL_BYTES`] where it has never been used.
fn read(folder: &Path) -> io::Result<(File, Vec<u8>)> {
    let path = folder.join(JOURNAL);
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
    let mut text = Vec::new();
    (&file).take(JOURNAL_BYTES as u64).read_to_end(&mut text)?;
    if text.len() == JOURNAL_BYTES {
        // A crash may have come after a write, before its sync.
        sync(&file, folder)?;
    }
    Ok((file, text))
}

/// Syncs the file and its name.
fn sync(file: impl AsFd, folder: &Path) -> io::Result<()> {
    rustix::fs::fsync(file)?;
    File::open(folder)?.sync_all()
}

fn write_at(file: &OwnedFd, mut bytes: &[u8], mut at: usize) -> io::Result<()> {
    while !bytes.is_empty() {
        let count = rustix::io::retry_on_intr(|| rustix::io::pwrite(file, bytes, at as u64))?;
        at += count;
        bytes = &bytes[count..];
    }
    Ok(())
}

/// A line: the checksum of the rest (CRC-32, eight digits), its number, and the receipt's cells by name, as JSON.
fn line(number: i64, json: &str) -> String {
    let text = format!("{number} {json}");
    format!("{:08x} {text}\n", crc32fast::hash(text.as_bytes()))
}

/// The lines from the beginning to the first that is missing or broken.
fn lines(text: &[u8]) -> impl Iterator<Item = (i64, HashMap<String, Cell>)> {
    text.split(|byte| *byte == b'\n').map_while(|line| {
        let (sum, text) = std::str::from_utf8(line).ok()?.split_once(' ')?;
        let is_whole = u32::from_str_radix(sum, 16).ok()? == crc32fast::hash(text.as_bytes());
        let (number, json) = text.split_once(' ').filter(|_| is_whole)?;
        Some((number.parse().ok()?, serde_json::from_str(json).ok()?))
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::base::clock::{Clock, Timestamp};
    use crate::base::id::IdSource;
    use crate::domain::connector::ConnectorId;
    use crate::domain::receipt::Status;
    use crate::domain::setting::Texts;
    use crate::store::commit::{Committed, Published, Recorder};
    use crate::store::live::Live;
    use crate::store::receipt::{Receipt, find};
    use crate::store::setting::Change;
    use crate::store::{arrow, connector, delivery_page, held as holds};

    const AT: Timestamp = Timestamp::from_us(1_800_000_000_000_000);

    fn received(ids: &IdSource, path: &str) -> Received {
        Received::at(path, ids, AT)
    }

    /// As where the process is killed before the writer takes it.
    async fn keep(journal: &Journal, received: &Received) {
        assert!(journal.append((received, false), |_| Ok(())).unwrap());
        journal.synced().await.unwrap();
    }

    async fn there(db: &Db, received: &Received) -> Option<(Status, bool)> {
        let found = find(db, &received.receipt.id).await.unwrap();
        found.map(|receipt| (receipt.status, receipt.publishing))
    }

    #[tokio::test]
    async fn what_the_database_has_not_got_is_brought_in_once() {
        let folder = tempfile::tempdir().unwrap();
        let db = Db::open(folder.path()).await.unwrap();
        let ids = IdSource::seeded(Clock::System, 7);
        let (one, two) = (received(&ids, "/Receive/a\n\"ä"), received(&ids, "/Receive/b"));
        let journal = Journal::made(&db).await;
        for received in [&one, &two] {
            keep(&journal, received).await;
        }
        assert_eq!(there(&db, &one).await, None);
        drop(journal);
        for _ in 0..2 {
            drop(Journal::made(&db).await);
            for received in [&one, &two] {
                let found = find(&db, &received.receipt.id).await.unwrap().unwrap();
                assert_eq!(found, Receipt { publishing: true, ..received.receipt.clone() });
            }
        }
    }

    #[tokio::test]
    async fn what_a_crash_tore_is_none_and_what_lies_behind_it_never_becomes_one() {
        let folder = tempfile::tempdir().unwrap();
        let db = Db::open(folder.path()).await.unwrap();
        let ids = IdSource::seeded(Clock::System, 7);
        let all = ["/Receive/a", "/Receive/b", "/Receive/c"].map(|path| received(&ids, path));
        let [whole, torn, behind] = &all;
        let journal = Journal::made(&db).await;
        let mut ends = Vec::new();
        for received in &all {
            keep(&journal, received).await;
            ends.push(lock(&journal.lines).end as u64);
        }
        let file = OpenOptions::new().read(true).write(true).open(folder.path().join(JOURNAL)).unwrap();
        let mut byte = [0];
        file.read_exact_at(&mut byte, ends[0] + 40).unwrap();
        file.write_all_at(b"~", ends[0] + 40).unwrap();
        let journal = Journal::made(&db).await;
        assert!(there(&db, whole).await.is_some());
        assert_eq!((there(&db, torn).await, there(&db, behind).await), (None, None));
        // The next lines end where the torn one began, and that one is repaired, as if it had reached the disk late.
        let next = received(&ids, "/Receive/d");
        keep(&journal, &next).await;
        assert_eq!(lock(&journal.lines).end as u64, ends[0]);
        file.write_all_at(&byte, ends[0] + 40).unwrap();
        drop(Journal::made(&db).await);
        assert!(there(&db, &next).await.is_some());
        assert_eq!((there(&db, torn).await, there(&db, behind).await), (None, None));
    }

    #[tokio::test]
    async fn a_full_one_takes_no_more_until_the_database_has_all_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let db = Db::open(folder.path()).await.unwrap();
        let ids = IdSource::seeded(Clock::System, 7);
        let journal = Journal::made(&db).await;
        let mut count = 0;
        let append = |path| journal.append((&received(&ids, path), false), |_| Ok(())).unwrap();
        while append("/Receive/a") {
            count += 1;
        }
        assert!((500..5_000).contains(&count), "{count}");
        assert!(journal.is_ahead());
        journal.written(count - 1);
        assert!(!append("/Receive/a"));
        journal.written(1);
        assert!(!journal.is_ahead());
        keep(&journal, &received(&ids, "/Receive/a")).await;
    }

    /// A recorder with a journal, whose writer is at work; `b` passes along to `c`.
    struct Desk {
        folder: tempfile::TempDir,
        db: Db,
        ids: IdSource,
        recorder: Recorder,
    }

    impl Desk {
        async fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let db = Db::open(folder.path()).await.unwrap();
            let ids = IdSource::seeded(Clock::System, 7);
            let change = Change { who: "test", remote: "", at: AT, ids: &ids };
            for id in ["acme", "b", "c"] {
                connector::add(&db, &ConnectorId::parse(id).unwrap(), &Texts::new(), None, &change).await.unwrap();
            }
            arrow::connect(&db, ("b", "c"), false, &change).await.unwrap();
            let live = Live::open(db.clone(), Clock::System).await.unwrap();
            let (recorder, writer) = Recorder::with_journal(db.clone(), Journal::made(&db).await, live);
            tokio::spawn(writer.run());
            Self { folder, db, ids, recorder }
        }

        /// What the journal has on disk and the database lacks.
        fn ahead(&self) -> usize {
            lines(&std::fs::read(self.folder.path().join(JOURNAL)).unwrap()).count()
        }
    }

    #[tokio::test]
    async fn who_waits_for_a_receipt_does_not_wait_for_the_database() {
        let Desk { db, ids, recorder, .. } = &Desk::new().await;
        let busy = db.keep_busy().await;
        let one = received(ids, "/Receive/a");
        recorder.receive(one.clone()).await.unwrap();
        assert_eq!(there(db, &one).await, None);
        drop(busy);
        recorder.catch_up().await.unwrap();
        assert_eq!(there(db, &one).await, Some((Status::InReceive, true)));
    }

    #[tokio::test]
    async fn what_is_said_of_a_receipt_is_written_behind_it() {
        let Desk { db, ids, recorder, .. } = &Desk::new().await;
        let busy = db.keep_busy().await;
        let one = received(ids, "/Receive/a");
        recorder.receive(one.clone()).await.unwrap();
        recorder.publish(Published::of(&one.receipt, one.event_id.clone())).await;
        let gone = received(ids, "/Receive/b");
        recorder.receive(gone.clone()).await.unwrap();
        recorder.moved("acme", "/Receive/b", Status::Removed).await;
        recorder.publish(Published::of(&gone.receipt, gone.event_id.clone())).await;
        drop(busy);
        recorder.flush().await.unwrap();
        assert_eq!(there(db, &one).await, Some((Status::InReceive, false)));
        assert_eq!(there(db, &gone).await, Some((Status::Removed, false)));
    }

    #[tokio::test]
    async fn what_replaces_a_file_whose_receipt_is_not_finished_yet_is_committed_behind_it() {
        let desk = Desk::new().await;
        let Desk { db, ids, recorder, .. } = &desk;
        let (one, two) = (received(ids, "/Receive/a"), received(ids, "/Receive/a"));
        recorder.receive(one.clone()).await.unwrap();
        recorder.publish(Published::of(&one.receipt, one.event_id.clone())).await;
        recorder.receive(two.clone()).await.unwrap();
        // Otherwise a crash would leave two on their way, and the first would count as lost.
        assert_eq!(there(db, &one).await, Some((Status::InReceive, false)));
        assert_eq!((there(db, &two).await, desk.ahead()), (Some((Status::InReceive, true)), 1));
    }

    #[tokio::test]
    async fn what_follows_from_a_receipt_is_settled_when_it_is_safe() {
        let Desk { db, ids, recorder, .. } = &Desk::new().await;
        let busy = db.keep_busy().await;
        let of = |connector: &str, actions: &[&str]| {
            let one = received(ids, &format!("/Receive/{connector}"));
            let actions = actions.iter().map(|id| (*id).to_owned()).collect();
            Received { receipt: Receipt { connector: connector.to_owned(), ..one.receipt.clone() }, actions, ..one }
        };
        let all = [(of("acme", &[]), false), (of("B", &[]), true), (of("c", &["x"]), true)];
        for (received, held) in &all {
            let committed = recorder.receive(received.clone()).await.unwrap();
            assert_eq!(committed, Committed { duplicate_of: None, held: *held });
        }
        drop(busy);
        // The arrows have changed since.
        let change = Change { who: "test", remote: "", at: AT, ids };
        arrow::connect(db, ("acme", "c"), false, &change).await.unwrap();
        recorder.flush().await.unwrap();
        let [none, passed, set_off] = all.map(|(received, _)| received);
        assert_eq!(there(db, &none).await, Some((Status::InReceive, true)));
        assert_eq!(there(db, &passed).await, Some((Status::Waiting, true)));
        assert_eq!(there(db, &set_off).await, Some((Status::InReceive, true)));
        let held: Vec<_> = holds::all(db).await.unwrap().into_iter().map(|hold| hold.receipt).collect();
        assert_eq!(held, [passed.receipt.id, set_off.receipt.id]);
    }

    #[tokio::test]
    async fn what_is_held_for_an_arrow_that_is_gone_by_then_has_ended() {
        let Desk { db, ids, .. } = &Desk::new().await;
        let of_b = received(ids, "/Receive/a");
        let of_b = Received { receipt: Receipt { connector: "b".to_owned(), ..of_b.receipt.clone() }, ..of_b };
        let journal = Journal::made(db).await;
        assert!(journal.append((&of_b, true), |_| Ok(())).unwrap());
        let change = Change { who: "test", remote: "", at: AT, ids };
        arrow::disconnect(db, "b", "c", &change).await.unwrap();
        Journal::open(db).await.unwrap();
        assert_eq!(there(db, &of_b).await, Some((Status::InReceive, true)));
        let holds: Vec<_> = holds::all(db).await.unwrap().into_iter().map(|hold| (hold.receipt, hold.ended)).collect();
        assert_eq!(holds, [(of_b.receipt.id, true)]);
    }

    #[tokio::test]
    async fn what_its_partner_was_told_is_not_recorded_is_lost_once_the_database_can_be_written() {
        let Desk { db, ids, folder, .. } = &Desk::new().await;
        let mut journal = Journal::made(db).await;
        // As where it is on a full disk: nothing can be written to it.
        let unwritable = File::open(folder.path().join(JOURNAL)).unwrap();
        Arc::get_mut(&mut journal).unwrap().file = Arc::new(unwritable.into());
        let live = Live::open(db.clone(), Clock::System).await.unwrap();
        let (recorder, writer) = Recorder::with_journal(db.clone(), journal, live);
        tokio::spawn(writer.run());
        let one = received(ids, "/Receive/a");
        let receipt = Receipt { connector: "b".to_owned(), ..one.receipt.clone() };
        let one = Received { receipt, ..one };
        db.set_read_only(true).await;
        recorder.receive(one.clone()).await.unwrap_err();
        db.set_read_only(false).await;
        while recorder.flush().await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(there(db, &one).await, Some((Status::Lost, false)));
        assert!(holds::all(db).await.unwrap().into_iter().all(|hold| hold.ended));
        assert_eq!(delivery_page::of_receipt(db, &one.receipt.id).await.unwrap(), []);
    }

    #[tokio::test]
    async fn while_the_database_cannot_be_written_no_more_is_taken_and_nothing_of_before_is_lost() {
        let Desk { db, ids, recorder, .. } = &Desk::new().await;
        db.set_read_only(true).await;
        let [safe, refused, after] = ["/Receive/a", "/Receive/b", "/Receive/c"].map(|path| received(ids, path));
        recorder.receive(safe.clone()).await.unwrap();
        recorder.catch_up().await.unwrap_err();
        recorder.receive(refused.clone()).await.unwrap_err();
        db.set_read_only(false).await;
        while there(db, &safe).await.is_none() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(there(db, &refused).await, None, "its partner was told that it is not recorded");
        let busy = db.keep_busy().await;
        recorder.receive(after).await.unwrap();
        drop(busy);
    }

    proptest! {
        #[test]
        fn of_lines_cut_anywhere_those_before_are_read(
            texts in proptest::collection::vec(proptest::collection::vec(any::<(String, i64)>(), 0..4), 0..5),
            cut: proptest::sample::Index,
        ) {
            let cells: Vec<HashMap<String, Cell>> =
                texts.into_iter().map(|cells| cells.into_iter().map(|(name, n)| (name.clone(), if n % 2 == 0 { Cell::Text(name) } else { Cell::Number(n) })).collect()).collect();
            let (mut text, mut ends) = (String::new(), Vec::new());
            for (number, cells) in (1..).zip(&cells) {
                text += &line(number, &serde_json::to_string(cells).unwrap());
                ends.push(text.len());
            }
            let cut = cut.index(text.len() + 1);
            let whole = ends.iter().filter(|end| **end <= cut + 1).count();
            let mut bytes = text.into_bytes()[..cut].to_vec();
            bytes.resize(cut + 9, 0);
            // The end of the last line may be missing.
            let read: Vec<_> = lines(&bytes).collect();
            prop_assert!(read.len() == whole || read.len() + 1 == whole);
            prop_assert!(read.iter().map(|(number, _)| *number).eq((1..).take(read.len())));
            prop_assert!(read.iter().map(|(_, cells)| cells).eq(&cells[..read.len()]));
        }
    }
}
