//! What events set off: each new event is looked at once, in the order of recording, and its deliveries are committed
//! together with the progress. SQLite numbers its rows in that order.

use std::time::Duration;

use sqlx::sqlite::SqliteRow;
use sqlx::{Row, Sqlite, Transaction};

use super::event::{self, Event};
use super::open::{Db, StoreError};
use crate::base::clock::Timestamp;
use crate::base::id::{EventId, ReceiptId};
use crate::domain::flow::{DeliveryState, Target};

/// Events per step.
const STEP: i64 = 1_000;

const CURSOR: &str = "SELECT event_rowid FROM alert_cursor WHERE one = 1";
const NEWER: &str = "SELECT id, kind, at_us, connector, session_id, receipt_id, remote, summary, path, size_bytes, rowid \
     FROM events WHERE rowid > $1 ORDER BY rowid LIMIT $2";
const ADD: &str = "INSERT INTO deliveries (event_id, receipt_id, source_key, target, state, attempts, since_attempt, \
     next_at_us, created_at_us) VALUES ($1, $2, $3, $4, 'waiting', 0, 0, $5, $6)";
const ADD_ENDED: &str = "INSERT INTO deliveries (event_id, receipt_id, source_key, target, state, attempts, \
     since_attempt, next_at_us, created_at_us, ended_at_us) VALUES ($1, NULL, $2, $3, $4, 1, 0, $5, $5, $6) RETURNING id";
const ADD_ATTEMPT: &str = "INSERT INTO attempts (delivery_id, number, at_us, duration_us, outcome, answer) \
     VALUES ($1, 1, $2, $3, $4, $5)";
const MOVE: &str = "UPDATE alert_cursor SET event_rowid = $1 WHERE one = 1";
const MOVE_BACK: &str = "UPDATE alert_cursor SET event_rowid = (SELECT COALESCE(MAX(rowid), 0) FROM events) \
     WHERE event_rowid > (SELECT COALESCE(MAX(rowid), 0) FROM events)";

/// Events not looked at yet.
#[derive(Clone, Debug)]
pub struct Step {
    /// The events, oldest first.
    pub events: Vec<Event>,
    last: i64,
}

/// A delivery made by an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct New {
    /// The event.
    pub event_id: EventId,
    /// The file, if it concerns a received one.
    pub receipt_id: Option<ReceiptId>,
    /// The connector it comes from, by its id in lower case; empty for the appliance.
    pub source_key: String,
    /// Where it goes.
    pub target: Target,
    /// When its first attempt is due.
    pub due: Timestamp,
}

/// The answer of one action before a file is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// Which action.
    pub action_id: String,
    /// When it was asked.
    pub at: Timestamp,
    /// How long it took.
    pub took: Duration,
    /// Whether the file may be sent.
    pub agreed: bool,
    /// Its answer.
    pub answer: String,
}

/// Records a question with its answers: an event, and for each answer an ended delivery with one attempt.
pub async fn answered(db: &Db, event: &Event, answers: &[Answered]) -> Result<(), StoreError> {
    let mut tx = db.begin().await?;
    event::add(&mut tx, event).await?;
    for one in answers {
        let state = if one.agreed { DeliveryState::Delivered } else { DeliveryState::Stopped };
        let ended = one.at.plus(one.took);
        let row = sqlx::query(ADD_ENDED)
            .bind(event.id.as_str())
            .bind(event.connector.to_ascii_lowercase())
            .bind(Target::Action(one.action_id.clone()).text())
            .bind(state.name())
            .bind(one.at.us())
            .bind(ended.us())
            .fetch_one(&mut *tx)
            .await?;
        let attempt = sqlx::query(ADD_ATTEMPT)
            .bind(row.try_get::<i64, _>(0)?)
            .bind(one.at.us())
            .bind(i64::try_from(one.took.as_micros()).unwrap_or(i64::MAX))
            .bind(state.name())
            .bind(&one.answer);
        attempt.execute(&mut *tx).await?;
    }
    Ok(tx.commit().await?)
}

/// Records an event with its one delivery.
pub async fn begin(db: &Db, event: &Event, new: &New) -> Result<(), StoreError> {
    let mut tx = db.begin().await?;
    event::add(&mut tx, event).await?;
    add(&mut tx, new, event.at).await?;
    Ok(tx.commit().await?)
}

async fn add(tx: &mut Transaction<'_, Sqlite>, one: &New, now: Timestamp) -> sqlx::Result<()> {
    let add = sqlx::query(ADD)
        .bind(one.event_id.as_str())
        .bind(one.receipt_id.as_ref().map(ReceiptId::as_str))
        .bind(&one.source_key)
        .bind(one.target.text())
        .bind(one.due.us())
        .bind(now.us());
    add.execute(&mut **tx).await.map(drop)
}

/// The next events to look at; `None` if there is no new one.
pub async fn newer(db: &Db) -> Result<Option<Step>, StoreError> {
    let cursor: i64 = sqlx::query(CURSOR).fetch_one(db.reader()).await?.try_get(0)?;
    let rows = sqlx::query(NEWER).bind(cursor).bind(STEP).fetch_all(db.reader()).await?;
    let Some(last) = rows.last().map(|row: &SqliteRow| row.try_get(10)).transpose()? else { return Ok(None) };
    Ok(Some(Step { events: rows.iter().map(event::decode).collect::<Result<_, _>>()?, last }))
}

/// After events were removed, within the same transaction: SQLite reuses the number of a removed last row for the next
/// one, which would otherwise be skipped.
pub(super) async fn move_back(tx: &mut Transaction<'_, Sqlite>) -> sqlx::Result<()> {
    sqlx::query(MOVE_BACK).execute(&mut **tx).await.map(drop)
}

/// Records the deliveries of a step's events, which are then done with.
pub async fn record(db: &Db, step: &Step, made: &[New], now: Timestamp) -> Result<(), StoreError> {
    let mut tx = db.begin().await?;
    for one in made {
        add(&mut tx, one, now).await?;
    }
    sqlx::query(MOVE).bind(step.last).execute(&mut *tx).await?;
    Ok(tx.commit().await?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::Clock;
    use crate::base::id::IdSource;
    use crate::domain::event::EventKind;
    use crate::store::backup;
    use crate::store::retention::{self, Kept, Progress, Records};

    const NOW: Timestamp = Timestamp::from_us(1_800_000_000_000_000);

    struct Desk {
        folder: tempfile::TempDir,
        db: Db,
        ids: IdSource,
    }

    impl Desk {
        async fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let db = Db::open(folder.path()).await.unwrap();
            Self { folder, db, ids: IdSource::random(Clock::System) }
        }

        async fn happens(&self, summary: &str) -> EventId {
            let event = Event::new(&self.ids, EventKind::StorageFailing, NOW, summary);
            event::record(&self.db, &event).await.unwrap();
            event.id
        }

        /// Looks at what is new; returns it.
        async fn looks(&self) -> Vec<String> {
            let mut seen = Vec::new();
            while let Some(step) = newer(&self.db).await.unwrap() {
                record(&self.db, &step, &[], NOW).await.unwrap();
                seen.extend(step.events.into_iter().map(|event| event.summary));
            }
            seen
        }
    }

    /// SQLite reuses its number for the next event.
    #[tokio::test]
    async fn an_event_after_a_removed_one_is_looked_at_too() {
        let desk = Desk::new().await;
        desk.happens("first").await;
        desk.happens("second").await;
        assert_eq!(desk.looks().await, ["first", "second"]);

        let events = Kept::Generally(Records::Events);
        let mut progress = Progress::begin(NOW.plus(Duration::from_secs(1)));
        assert_eq!(retention::remove_some(&desk.db, &events, &mut progress).await.unwrap(), 2);
        desk.happens("after a quiet time").await;
        assert_eq!(desk.looks().await, ["after a quiet time"]);
    }

    #[tokio::test]
    async fn an_event_that_is_still_to_be_told_is_kept() {
        let desk = Desk::new().await;
        let told = desk.happens("told").await;
        desk.happens("nobody is told of it").await;
        let step = newer(&desk.db).await.unwrap().unwrap();
        let target = Target::Events("monitor".to_owned());
        let new = New { event_id: told.clone(), receipt_id: None, source_key: String::new(), target, due: NOW };
        record(&desk.db, &step, &[new], NOW).await.unwrap();
        let events = Kept::Generally(Records::Events);
        let later = NOW.plus(Duration::from_secs(1));
        assert_eq!(retention::count(&desk.db, &events, later).await.unwrap(), 1);
        assert_eq!(retention::remove_some(&desk.db, &events, &mut Progress::begin(later)).await.unwrap(), 1);
        assert!(event::find(&desk.db, &told).await.unwrap().is_some());
    }

    /// A copy that is put back continues where this one was, although its rows are rewritten.
    #[tokio::test]
    async fn a_copy_of_the_database_knows_what_was_looked_at() {
        let desk = Desk::new().await;
        for summary in ["a", "b", "c"] {
            desk.happens(summary).await;
        }
        sqlx::query("DELETE FROM events WHERE summary = 'b'").execute(desk.db.writer()).await.unwrap();
        desk.looks().await;
        desk.happens("d").await;
        let copied = desk.folder.path().join("copied");
        std::fs::create_dir(&copied).unwrap();
        backup::copy_to(&desk.db, &copied.join("waybill.db")).await.unwrap();
        let copy = Desk { db: Db::open(&copied).await.unwrap(), ..Desk::new().await };
        assert_eq!(copy.looks().await, ["d"]);
    }
}
