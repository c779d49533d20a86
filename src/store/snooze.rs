//! Matters that need attention but were put off for a while.

use std::collections::HashMap;

use sqlx::Row;

use super::open::{Db, StoreError};
use crate::base::clock::Timestamp;

const PUT: &str = "INSERT INTO snoozed (item, until_us, who) VALUES ($1, $2, $3) \
     ON CONFLICT (item) DO UPDATE SET until_us = excluded.until_us, who = excluded.who";
const WAKE: &str = "DELETE FROM snoozed WHERE item = $1 OR until_us <= $2";
const ALL: &str = "SELECT item, until_us FROM snoozed WHERE until_us > $1";

/// Puts a matter off until then, and forgets those that are back.
pub async fn put(db: &Db, item: &str, until: Timestamp, (who, now): (&str, Timestamp)) -> Result<(), StoreError> {
    let mut tx = db.begin().await?;
    sqlx::query(WAKE).bind(item).bind(now.us()).execute(&mut *tx).await?;
    sqlx::query(PUT).bind(item).bind(until.us()).bind(who).execute(&mut *tx).await?;
    tx.commit().await?;
    Ok(())
}

/// Brings a matter back.
pub async fn wake(db: &Db, item: &str, now: Timestamp) -> Result<(), StoreError> {
    sqlx::query(WAKE).bind(item).bind(now.us()).execute(db.writer()).await?;
    Ok(())
}

/// Everything put off now, and until when.
pub async fn all(db: &Db, now: Timestamp) -> Result<HashMap<String, Timestamp>, StoreError> {
    let rows = sqlx::query(ALL).bind(now.us()).fetch_all(db.reader()).await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, Timestamp::from_us(row.try_get(1)?)))).collect()
}
