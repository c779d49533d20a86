//! What events set off: each new event is looked at once, in the order events were recorded, and the deliveries it makes are
//! committed together with how far that has come. SQLite numbers its rows in that order.

use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::event::{self, Event};
use super::open::{Db, StoreError};
use crate::base::clock::Timestamp;
use crate::base::id::{EventId, ReceiptId};
use crate::domain::flow::Target;

/// Events looked at in one step.
const STEP: i64 = 1_000;

const CURSOR: &str = "SELECT event_rowid FROM alert_cursor WHERE one = 1";
const NEWER: &str = "SELECT id, kind, at_us, connector, session_id, receipt_id, remote, summary, path, size_bytes, rowid \
     FROM events WHERE rowid > $1 ORDER BY rowid LIMIT $2";
const ADD: &str = "INSERT INTO deliveries (event_id, receipt_id, source_key, target, state, attempts, since_attempt, \
     next_at_us, created_at_us) VALUES ($1, $2, $3, $4, 'waiting', 0, 0, $5, $6)";
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
        let add = sqlx::query(ADD)
            .bind(one.event_id.as_str())
            .bind(one.receipt_id.as_ref().map(ReceiptId::as_str))
            .bind(&one.source_key)
            .bind(one.target.text())
            .bind(one.due.us())
            .bind(now.us());
        add.execute(&mut *tx).await?;
    }
    sqlx::query(MOVE).bind(step.last).execute(&mut *tx).await?;
    Ok(tx.commit().await?)
}
