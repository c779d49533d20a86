//! Matters that are checked from time to time and announced once until they are over, and when partners were last seen.

use std::collections::HashMap;

use sqlx::{Row, Sqlite, Transaction};

use super::event::{self, Event};
use super::open::{Db, StoreError};
use crate::base::clock::Timestamp;

const ALL: &str = "SELECT item, at_us FROM watched";
const PUT: &str =
    "INSERT INTO watched (item, at_us) VALUES ($1, $2) ON CONFLICT (item) DO UPDATE SET at_us = excluded.at_us";
const REMOVE: &str = "DELETE FROM watched WHERE item = $1";
const SEEN: &str = "SELECT id_key, created_at_us, (SELECT MAX(ended_at_us) FROM sessions \
     WHERE connector_key = id_key AND ended_at_us <= $1) FROM connectors";

/// When a partner was last seen in a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The connector's id in lower case.
    pub connector_key: String,
    /// When the connector was made.
    pub made_at: Timestamp,
    /// The end of its last recorded session, of those that have ended by now.
    pub last: Option<Timestamp>,
}

/// When each connector's partner was last seen.
pub async fn seen(db: &Db, now: Timestamp) -> Result<Vec<Seen>, StoreError> {
    let rows = sqlx::query(SEEN).bind(now.us()).fetch_all(db.reader()).await?;
    let seen = |row: &sqlx::sqlite::SqliteRow| -> Result<Seen, StoreError> {
        Ok(Seen {
            connector_key: row.try_get(0)?,
            made_at: Timestamp::from_us(row.try_get(1)?),
            last: row.try_get::<Option<i64>, _>(2)?.map(Timestamp::from_us),
        })
    };
    rows.iter().map(seen).collect()
}

/// Every matter, and when it began.
pub async fn all(db: &Db) -> Result<HashMap<String, Timestamp>, StoreError> {
    let rows = sqlx::query(ALL).fetch_all(db.reader()).await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, Timestamp::from_us(row.try_get(1)?)))).collect()
}

/// It is so from now on: announced by that event, once.
pub async fn tell(db: &Db, item: &str, event: &Event) -> Result<(), StoreError> {
    let mut tx = db.begin().await?;
    put_in(&mut tx, item, event.at).await?;
    event::add(&mut tx, event).await?;
    Ok(tx.commit().await?)
}

/// It has been so since then; nobody is told.
pub async fn put(db: &Db, item: &str, at: Timestamp) -> Result<(), StoreError> {
    let mut tx = db.begin().await?;
    put_in(&mut tx, item, at).await?;
    Ok(tx.commit().await?)
}

async fn put_in(tx: &mut Transaction<'_, Sqlite>, item: &str, at: Timestamp) -> sqlx::Result<()> {
    sqlx::query(PUT).bind(item).bind(at.us()).execute(&mut **tx).await.map(drop)
}

/// It is over.
pub async fn end(db: &Db, item: &str) -> Result<(), StoreError> {
    sqlx::query(REMOVE).bind(item).execute(db.writer()).await?;
    Ok(())
}
