//! What events set off: each new event is looked at once, in the order events were recorded, and the deliveries it makes are
//! committed together with how far that has come. SQLite numbers its rows in that order.

use std::time::Duration;

use sqlx::sqlite::SqliteRow;
use sqlx::{Row, Sqlite, Transaction};

use super::event::{self, Event};
use super::open::{Db, StoreError};
use crate::base::clock::Timestamp;
use crate::base::id::{EventId, ReceiptId};
use crate::domain::flow::{DeliveryState, Target};

/// Events looked at in one step.
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

/// Events that nobody has looked at yet.
#[derive(Clone, Debug)]
pub struct Step {
    /// The events, oldest first.
    pub events: Vec<Event>,
    last: i64,
}

/// A delivery that an event makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct New {
    /// The event.
    pub event_id: EventId,
    /// The file, if it is about a received one.
    pub receipt_id: Option<ReceiptId>,
    /// The connector it comes from, by its id in lower case; empty for the appliance.
    pub source_key: String,
    /// Where it goes.
    pub target: Target,
    /// When its first attempt is due.
    pub due: Timestamp,
}

/// What one action said before a file was sent.
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
    /// What it said.
    pub answer: String,
}

/// Records a question with its answers: as an event, and an ended delivery with one attempt for each.
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

/// Records an event with the one delivery that it is for.
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

/// The next events to look at; `None` when there is no new one.
pub async fn newer(db: &Db) -> Result<Option<Step>, StoreError> {
    let cursor: i64 = sqlx::query(CURSOR).fetch_one(db.reader()).await?.try_get(0)?;
    let rows = sqlx::query(NEWER).bind(cursor).bind(STEP).fetch_all(db.reader()).await?;
    let Some(last) = rows.last().map(|row: &SqliteRow| row.try_get(10)).transpose()? else { return Ok(None) };
    Ok(Some(Step { events: rows.iter().map(event::decode).collect::<Result<_, _>>()?, last }))
}

/// Records what a step's events make. It is looked at no more.
pub async fn record(db: &Db, step: &Step, made: &[New], now: Timestamp) -> Result<(), StoreError> {
    let mut tx = db.begin().await?;
    for one in made {
        add(&mut tx, one, now).await?;
    }
    sqlx::query(MOVE).bind(step.last).execute(&mut *tx).await?;
    Ok(tx.commit().await?)
}
