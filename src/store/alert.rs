//! Alerts: events that somebody is told of. Each makes one delivery for `alert:mail`, in the order the events were
//! recorded; SQLite numbers its rows so.

use sqlx::Row;

use super::open::{Db, StoreError};
use crate::base::clock::Timestamp;
use crate::domain::event::EventKind;
use crate::domain::flow::Target;

/// Events looked at in one step.
const STEP: i64 = 1_000;

const CURSOR: &str = "SELECT event_rowid FROM alert_cursor WHERE one = 1";
const NEWER: &str = "SELECT rowid, id, kind, connector FROM events WHERE rowid > $1 ORDER BY rowid LIMIT $2";
const ADD: &str = "INSERT INTO deliveries (event_id, receipt_id, source_key, target, state, attempts, since_attempt, \
     next_at_us, created_at_us) VALUES ($1, NULL, '', $2, 'waiting', 0, 0, $3, $4)";
const MOVE: &str = "UPDATE alert_cursor SET event_rowid = $1 WHERE one = 1";
const SENT: &str = "SELECT COUNT(DISTINCT a.at_us) FROM attempts a JOIN deliveries d ON d.id = a.delivery_id \
     WHERE d.source_key = '' AND d.target = $1 AND d.state = 'delivered' AND d.ended_at_us IS NOT NULL \
     AND d.ended_at_us >= $2 AND a.outcome = 'delivered'";

/// Makes a delivery for each new event that `is_told`, given its kind and connector; due at `due`. How many were made.
pub async fn enqueue(
    db: &Db,
    is_told: impl Fn(EventKind, &str) -> bool,
    (now, due): (Timestamp, Timestamp),
) -> Result<u64, StoreError> {
    let mut made = 0;
    loop {
        let cursor: i64 = sqlx::query(CURSOR).fetch_one(db.reader()).await?.try_get(0)?;
        let rows = sqlx::query(NEWER).bind(cursor).bind(STEP).fetch_all(db.reader()).await?;
        let Some(last) = rows.last() else { return Ok(made) };
        let last: i64 = last.try_get(0)?;
        let mut tx = db.begin().await?;
        for row in &rows {
            let (id, kind, connector): (String, String, String) = (row.try_get(1)?, row.try_get(2)?, row.try_get(3)?);
            if EventKind::parse(&kind).is_some_and(|kind| is_told(kind, &connector)) {
                let add = sqlx::query(ADD).bind(id).bind(Target::AlertMail.text()).bind(due.us()).bind(now.us());
                add.execute(&mut *tx).await?;
                made += 1;
            }
        }
        sqlx::query(MOVE).bind(last).execute(&mut *tx).await?;
        tx.commit().await?;
    }
}

/// How many letters were sent since then.
pub async fn sent_since(db: &Db, since: Timestamp) -> Result<u64, StoreError> {
    let query = sqlx::query(SENT).bind(Target::AlertMail.text()).bind(since.us());
    Ok(query.fetch_one(db.reader()).await?.try_get::<i64, _>(0)?.unsigned_abs())
}
