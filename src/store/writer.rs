//! The one writer of what the engine records: a batch of jobs is one commit.
//!
//! Always: what cannot be written now (another process has the database, the disk is full) is kept and written first as
//! soon as possible; only those who wait for it are told. A record that the database refuses takes no other down with
//! it.

use std::collections::HashMap;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::{Connection, Sqlite, SqliteConnection};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::commit::{Committed, NotRecorded, Place};
use super::group::Group;
use super::journal::Journal;
use super::open::{BEGIN, Db, primary_code};
use super::queue::{Job, Jobs};
use super::renaming::{self, Rename};
use super::{event, held, refusal, session};
use crate::base::clock::Timestamp;
use crate::base::id::ReceiptId;
use crate::domain::receipt::Status;

/// Failed logins of the same partner and address within this time are one event.
const LOGIN_FAILED_EVERY: Duration = Duration::from_mins(1);
/// Partners and addresses whose failed logins are remembered; beyond it none is recorded until the oldest are
/// forgotten.
const LOGINS_FAILED_REMEMBERED: usize = 10_000;
/// When to retry what could not be written, if nothing else comes before.
const AGAIN_AFTER: Duration = Duration::from_millis(500);
/// Records kept while the database cannot be written; beyond it new ones that merely inform (events, transfers,
/// sessions) are dropped. Those that say where a file is are as few as the uploads and downloads at work.
const KEPT_MAX: usize = 4_096;
/// The most commits of one connection before it is given back for other writers...
const COMMITS_MAX: u32 = 8;
/// ...and how long it waits for the next of them. Giving it back is two hops to its thread, which checks whether it is
/// still sound, and the next commit would wait for both.
const COMMIT_WITHIN: Duration = Duration::from_millis(1);
/// How often the rest is tried when the appliance stops.
const LAST_TRIES: usize = 3;
const SET_STATUS_AT: &str = "UPDATE receipts SET status = $3 WHERE connector_key = $1 AND stored_path = $2 \
     AND status IN ('in_receive', 'waiting')";

/// The one writer. It ends when every [`super::commit::Recorder`] is gone and the queue is empty.
#[derive(Debug)]
pub struct Writer {
    db: Db,
    jobs: Jobs,
    /// When the last failed login of a partner (or of nobody) from an address was recorded.
    failed: HashMap<(String, String), Timestamp>,
    /// What could not be written yet, in order.
    kept: Vec<Job>,
    /// The connection of the last commit, and how many commits it has made.
    connection: Option<(PoolConnection<Sqlite>, u32)>,
    /// Is told which of its receipts are written.
    journal: Option<Arc<Journal>>,
}

impl Writer {
    pub(super) fn new(db: Db, jobs: Jobs) -> Self {
        Self { db, jobs, failed: HashMap::new(), kept: Vec::new(), connection: None, journal: None }
    }

    pub(super) fn with_journal(self, journal: Arc<Journal>) -> Self {
        Self { journal: Some(journal), ..self }
    }

    /// Writes until the last recorder is gone.
    pub async fn run(self) {
        self.run_until(CancellationToken::new()).await;
    }

    /// Writes until the last recorder is gone, or until it must close: then only what was handed over before.
    pub async fn run_until(mut self, close: CancellationToken) {
        loop {
            let next = tokio::select! {
                next = self.next() => next,
                () = close.cancelled(), if !self.jobs.is_closed() => {
                    self.jobs.close();
                    continue;
                }
            };
            let Some(batch) = next else { break };
            self.settle(batch).await;
        }
        for _ in 0..LAST_TRIES {
            self.settle(Vec::new()).await;
        }
        if !self.kept.is_empty() {
            tracing::error!("{} records could not be written before the end", self.kept.len());
        }
    }

    /// The next jobs; none if it is only time to retry what is kept. `None` at the end.
    async fn next(&mut self) -> Option<Vec<Job>> {
        if self.connection.is_some() {
            match timeout(COMMIT_WITHIN, self.jobs.next()).await {
                Ok(batch) => return (!batch.is_empty()).then_some(batch),
                Err(_) => self.connection = None,
            }
        }
        let next = self.jobs.next();
        let batch = if self.kept.is_empty() {
            next.await
        } else {
            match timeout(AGAIN_AFTER, next).await {
                Ok(batch) => batch,
                Err(_) => return Some(Vec::new()),
            }
        };
        (!batch.is_empty()).then_some(batch)
    }

    /// Writes what is kept and then the batch.
    async fn settle(&mut self, mut batch: Vec<Job>) {
        batch.retain(|job| !matches!(job, Job::LoginFailed(event) if !self.is_news(event)));
        let kept = self.kept.len();
        batch.splice(0..0, self.kept.drain(..));
        match self.write(&batch).await {
            Ok(committed) => {
                if kept > 0 {
                    tracing::info!("{kept} records that had to wait are written");
                }
                self.settled(&batch);
                answer(batch, Ok(committed.as_slice()));
            }
            Err(error) if is_of_a_row(&error) => self.settle_each(batch).await,
            Err(error) => self.put_off(batch, &error),
        }
    }

    /// One by one: the database refuses one of them for its own sake.
    async fn settle_each(&mut self, batch: Vec<Job>) {
        let mut batch = batch.into_iter();
        while let Some(job) = batch.next() {
            let written = self.write(std::slice::from_ref(&job)).await;
            match written {
                Ok(committed) => {
                    self.settled(std::slice::from_ref(&job));
                    answer(vec![job], Ok(&committed));
                }
                Err(error) if is_of_a_row(&error) => {
                    tracing::error!(%error, "The database refuses a record: {}", job.what());
                    self.settled(std::slice::from_ref(&job));
                    answer(vec![job], Err(&NotRecorded(error.to_string())));
                }
                Err(error) => return self.put_off([job].into_iter().chain(batch).collect(), &error),
            }
        }
    }

    /// The journal no longer needs to keep them.
    fn settled(&self, batch: &[Job]) {
        if let Some(journal) = &self.journal {
            journal.follow(true);
            let count = batch.iter().filter(|job| matches!(job, Job::Journaled(_))).count();
            journal.written(count);
        }
    }

    /// Keeps unawaited jobs; those who wait are told that theirs was not written.
    fn put_off(&mut self, batch: Vec<Job>, error: &sqlx::Error) {
        let (told, mut kept): (Vec<_>, Vec<_>) = batch.into_iter().partition(Job::is_told_at_once);
        let before = kept.len();
        let mut room = KEPT_MAX;
        kept.retain(|job| {
            room = room.saturating_sub(1);
            room > 0 || job.says_where_a_file_is()
        });
        let dropped = before - kept.len();
        tracing::error!(%error, "The database cannot be written: {} records wait, {dropped} are dropped", kept.len());
        answer(told, Err(&NotRecorded(error.to_string())));
        self.kept = kept;
        if let Some(journal) = &self.journal {
            journal.follow(false);
        }
    }

    fn is_news(&mut self, event: &event::Event) -> bool {
        // A time in the future was recorded while the clock was ahead.
        let recent = |last: &Timestamp| *last <= event.at && event.at.since(*last) < LOGIN_FAILED_EVERY;
        if self.failed.len() >= LOGINS_FAILED_REMEMBERED {
            self.failed.retain(|_, last| recent(last));
        }
        if self.failed.len() >= LOGINS_FAILED_REMEMBERED {
            return false;
        }
        let whose = (event.connector.clone(), event.remote.clone());
        if self.failed.get(&whose).is_some_and(recent) {
            return false;
        }
        self.failed.insert(whose, event.at);
        true
    }

    async fn write(&mut self, batch: &[Job]) -> sqlx::Result<Vec<Committed>> {
        let steps = steps(batch);
        if steps.is_empty() {
            return Ok(Vec::new());
        }
        let (mut connection, commits) = match self.connection.take() {
            Some(held) => held,
            None => (self.db.writer().acquire().await?, 0),
        };
        // A failed connection goes back, where it is checked ([`Db::open`]).
        let committed = match <[Step<'_>; 1]>::try_from(steps) {
            Ok([Step::Group(group)]) if group.is_one_statement() => group.write(&mut connection).await?,
            Ok([one]) => write_together(&mut connection, vec![one]).await?,
            Err(steps) => write_together(&mut connection, steps).await?,
        };
        self.connection = (commits + 1 < COMMITS_MAX).then_some((connection, commits + 1));
        Ok(committed)
    }
}

/// The steps, written one after the other.
enum Step<'a> {
    Group(Group<'a>),
    Lost(&'a ReceiptId),
    Moved(&'a Place, Status),
    Refusal(&'a refusal::Refusal),
    Renamed(&'a Rename),
    Session(&'a session::Session),
}

/// Jobs in writing order: as they came, except that sessions and refusals, which depend on nothing, go first so that
/// they split no group.
fn steps(batch: &[Job]) -> Vec<Step<'_>> {
    let (mut steps, mut then, mut group) = (Vec::new(), Vec::new(), Group::default());
    for job in batch {
        match job {
            Job::Session(session) => steps.push(Step::Session(session)),
            Job::Refusal(refusal) => steps.push(Step::Refusal(refusal)),
            Job::Receive(received, _) => group.receipt(received),
            Job::Journaled(line) => group.journaled(line.row.clone(), line.number),
            Job::Collect(collected, _) => {
                let (collection, event) = &**collected;
                group.collection(collection);
                group.event(event);
            }
            Job::Publish(published) => group.publish(published),
            Job::Event(event) | Job::LoginFailed(event) => group.event(event),
            Job::Transfer(transfer) => group.transfer(transfer),
            Job::Moved(place, status) => then.extend(parted(&mut group, Step::Moved(place, *status))),
            Job::Lost(id) => then.extend(parted(&mut group, Step::Lost(id))),
            Job::Renamed(rename) => then.extend(parted(&mut group, Step::Renamed(rename))),
            Job::Flush(_) => {}
        }
    }
    steps.extend(then);
    steps.extend(ended(&mut group));
    steps
}

/// What was gathered, if anything was, and the step that it must not pass.
fn parted<'a>(group: &mut Group<'a>, step: Step<'a>) -> impl Iterator<Item = Step<'a>> {
    ended(group).into_iter().chain([step])
}

fn ended<'a>(group: &mut Group<'a>) -> Option<Step<'a>> {
    (!group.is_empty()).then(|| Step::Group(mem::take(group)))
}

async fn write_together(connection: &mut SqliteConnection, steps: Vec<Step<'_>>) -> sqlx::Result<Vec<Committed>> {
    let mut committed = Vec::new();
    let mut tx = connection.begin_with(BEGIN).await?;
    for step in steps {
        match step {
            Step::Group(group) => committed.extend(group.write(&mut tx).await?),
            Step::Moved(Place { connector_key, stored_path }, status) => {
                let moved = sqlx::query(SET_STATUS_AT).bind(connector_key).bind(stored_path).bind(status.name());
                moved.execute(&mut *tx).await?;
                renaming::left(&mut tx, connector_key, stored_path).await?;
            }
            Step::Lost(id) => held::lose(&mut tx, id).await?,
            Step::Refusal(refusal) => refusal::add(&mut tx, refusal).await?,
            Step::Renamed(rename) => rename.carry_over(&mut tx).await?,
            Step::Session(session) => session::add(&mut tx, session).await?,
        }
    }
    tx.commit().await?;
    Ok(committed)
}

/// Tells those who wait for one of them the outcome.
fn answer(batch: Vec<Job>, result: Result<&[Committed], &NotRecorded>) {
    let mut committed = result.map(<[Committed]>::iter);
    for job in batch {
        match job {
            Job::Receive(_, done) => {
                let own = match &mut committed {
                    Ok(committed) => committed.next().cloned().ok_or_else(|| NotRecorded("it is missing".into())),
                    Err(error) => Err((*error).clone()),
                };
                drop(done.send(own));
            }
            Job::Collect(_, then) => (then.0)(result.map(drop).map_err(Clone::clone)),
            Job::Flush(done) => drop(done.send(result.map(drop).map_err(Clone::clone))),
            _ => {}
        }
    }
}

/// Whether the database refuses the row itself, and would do so again. Otherwise the database cannot be written.
fn is_of_a_row(error: &sqlx::Error) -> bool {
    // SQLITE_ERROR, SQLITE_TOOBIG, SQLITE_CONSTRAINT, SQLITE_MISMATCH, SQLITE_RANGE.
    const OF_A_ROW: [u32; 5] = [1, 18, 19, 20, 25];
    match error {
        sqlx::Error::Database(_) => primary_code(error).is_some_and(|code| OF_A_ROW.contains(&code)),
        sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => false,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::Clock;
    use crate::base::id::{EventId, IdSource};
    use crate::domain::event::EventKind;
    use crate::store::commit::{Published, Received, Recorder};
    use crate::store::receipt::find;

    const AT: Timestamp = Timestamp::from_us(1_800_000_000_000_000);

    fn received(ids: &IdSource, path: &str) -> Received {
        Received::at(path, ids, AT)
    }

    async fn told(db: &Db) -> Vec<EventId> {
        let events = event::oldest_first(db, None, Timestamp::default(), None, 9).await.unwrap();
        events.into_iter().map(|event| event.id).collect()
    }

    #[tokio::test]
    async fn what_nobody_waits_for_is_kept_until_the_database_can_be_written() {
        let folder = tempfile::tempdir().unwrap();
        let db = Db::open(folder.path()).await.unwrap();
        let ids = IdSource::seeded(Clock::System, 7);
        let (recorder, writer) = Recorder::new(db.clone());
        let writing = tokio::spawn(writer.run());
        let one = received(&ids, "/Receive/a");
        recorder.receive(one.clone()).await.unwrap();
        db.set_read_only(true).await;
        recorder.publish(Published::of(&one.receipt, one.event_id.clone())).await;
        let other = received(&ids, "/Receive/b");
        recorder.receive(other.clone()).await.unwrap_err();
        recorder.flush().await.unwrap_err();
        assert_eq!(told(&db).await, []);
        db.set_read_only(false).await;
        // Nothing else comes: it is retried by itself.
        while told(&db).await.is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(told(&db).await, [one.event_id]);
        assert!(!find(&db, &one.receipt.id).await.unwrap().unwrap().publishing);
        assert_eq!(find(&db, &other.receipt.id).await.unwrap(), None, "its partner was told that it is not recorded");
        recorder.flush().await.unwrap();
        drop(recorder);
        writing.await.unwrap();
    }

    #[tokio::test]
    async fn a_record_that_is_refused_takes_no_other_down() {
        let folder = tempfile::tempdir().unwrap();
        let db = Db::open(folder.path()).await.unwrap();
        let ids = IdSource::seeded(Clock::System, 7);
        let (recorder, writer) = Recorder::new(db.clone());
        let (good, twice, other) =
            (received(&ids, "/Receive/a"), received(&ids, "/Receive/b"), received(&ids, "/Receive/c"));
        let event = event::Event::new(&ids, EventKind::Recovered, AT, "told".to_owned());
        // All of them are in the queue before the writer takes the first, so they are one batch.
        let mut answers = Vec::new();
        for one in [good, twice.clone(), twice, other] {
            let recorder = recorder.clone();
            answers.push(tokio::spawn(async move { recorder.receive(one).await.is_ok() }));
        }
        recorder.event(event.clone()).await;
        tokio::task::yield_now().await;
        let writing = tokio::spawn(writer.run());
        let mut went = Vec::new();
        for answer in answers {
            went.push(answer.await.unwrap());
        }
        assert_eq!(went, [true, true, false, true]);
        recorder.flush().await.unwrap();
        assert_eq!(told(&db).await, [event.id]);
        drop(recorder);
        writing.await.unwrap();
    }

    #[tokio::test]
    async fn the_connection_goes_back_after_so_many_commits_or_when_nothing_comes() {
        let folder = tempfile::tempdir().unwrap();
        let db = Db::open(folder.path()).await.unwrap();
        let ids = IdSource::seeded(Clock::System, 7);
        let (_recorder, mut writer) = Recorder::new(db);
        let event = || Job::Event(Box::new(event::Event::new(&ids, EventKind::Recovered, AT, String::new())));
        for nth in 1..=COMMITS_MAX {
            writer.settle(vec![event()]).await;
            assert_eq!(writer.connection.is_some(), nth < COMMITS_MAX, "{nth}");
        }
        writer.settle(vec![event()]).await;
        timeout(COMMIT_WITHIN * 100, writer.next()).await.unwrap_err();
        assert!(writer.connection.is_none());
    }

    #[tokio::test]
    async fn what_is_kept_has_a_limit_but_for_what_says_where_files_are() {
        let folder = tempfile::tempdir().unwrap();
        let db = Db::open(folder.path()).await.unwrap();
        let ids = IdSource::seeded(Clock::System, 7);
        let (_recorder, mut writer) = Recorder::new(db.clone());
        let event = || Job::Event(Box::new(event::Event::new(&ids, EventKind::Recovered, AT, String::new())));
        let mut batch: Vec<_> = (0..KEPT_MAX + 2).map(|_| event()).collect();
        let one = received(&ids, "/Receive/a");
        batch.push(Job::Publish(Box::new(Published::of(&one.receipt, one.event_id))));
        db.set_read_only(true).await;
        writer.settle(batch).await;
        assert_eq!(writer.kept.len(), KEPT_MAX);
        assert!(matches!(writer.kept.last(), Some(Job::Publish(_))));
    }
}
