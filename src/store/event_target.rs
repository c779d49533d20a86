//! Event targets: who is told of events by webhook.

use std::sync::Arc;

use sqlx::sqlite::SqliteRow;
use sqlx::{Row, Sqlite, Transaction};

use super::open::{Db, StoreError};
use super::part::{self, Part};
use super::setting::{self, Change, SaveError};
use super::{delivery, secret};
use crate::domain::event_target::{EventTarget, EventTargetSettings};
use crate::domain::flow::Target;
use crate::domain::setting::Texts;

/// Event targets there can be.
pub const TARGETS_MAX: i64 = 20;

const ALL: &str = "SELECT id, texts, version FROM event_targets ORDER BY made_at_us, id";
const STORED: &str = "SELECT texts, version, changed_at_us, changed_by FROM event_targets WHERE id = $1";
const COUNT: &str = "SELECT COUNT(*) FROM event_targets WHERE id <> $1";
const PUT: &str = "INSERT INTO event_targets (id, texts, made_at_us, version, changed_at_us, changed_by) \
     VALUES ($1, $2, $3, (SELECT version FROM configuration WHERE one = 1), $3, $4) \
     ON CONFLICT (id) DO UPDATE SET texts = excluded.texts, version = event_targets.version + 1, \
     changed_at_us = excluded.changed_at_us, changed_by = excluded.changed_by";
const REMOVE: &str = "DELETE FROM event_targets WHERE id = $1";

/// One as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredTarget {
    /// Its id.
    pub id: String,
    /// Its settings.
    pub texts: Texts,
    /// Another with each save. What is saved has the version it was made from; 0: whatever is there, or nothing.
    pub version: i64,
}

/// Every event target, in the order they were made.
pub async fn all(db: &Db) -> Result<Vec<StoredTarget>, StoreError> {
    sqlx::query(ALL).fetch_all(db.reader()).await?.iter().map(decode).collect()
}

/// The same within a transaction.
pub(super) async fn all_in(tx: &mut Transaction<'_, Sqlite>) -> Result<Vec<StoredTarget>, StoreError> {
    sqlx::query(ALL).fetch_all(&mut **tx).await?.iter().map(decode).collect()
}

/// Every one that can be read. One that this version cannot read is said aloud and left out.
pub(super) async fn readable(db: &Db) -> Result<Vec<Arc<EventTarget>>, StoreError> {
    let read = |StoredTarget { id, texts, .. }: StoredTarget| match EventTargetSettings::parse(&texts) {
        Ok(settings) => Some(Arc::new(EventTarget { id, settings })),
        Err(mistakes) => {
            let all: Vec<_> = mistakes.iter().map(ToString::to_string).collect();
            tracing::error!(event_target.id = id, "Event target left out: {}", all.join("; "));
            None
        }
    };
    Ok(all(db).await?.into_iter().filter_map(read).collect())
}

fn decode(row: &SqliteRow) -> Result<StoredTarget, StoreError> {
    let (id, texts): (String, String) = (row.try_get(0)?, row.try_get(1)?);
    let texts = part::texts(&texts).map_err(|error| StoreError::Unreadable(format!("event target {id}: {error}")))?;
    Ok(StoredTarget { id, texts, version: row.try_get(2)? })
}

/// Adds one or changes it. Nothing is done where it was so already.
pub async fn put(db: &Db, target: &StoredTarget, change: &Change<'_>) -> Result<(), SaveError> {
    let mut tx = db.begin().await?;
    put_in(&mut tx, target, change).await?;
    tx.commit().await?;
    Ok(())
}

/// The same within another transaction.
pub(super) async fn put_in(
    tx: &mut Transaction<'_, Sqlite>,
    target: &StoredTarget,
    change: &Change<'_>,
) -> Result<(), SaveError> {
    let StoredTarget { id, texts, version } = target;
    let before = part::read(tx, STORED, (id, Some(*version).filter(|version| *version != 0))).await?;
    let before = before.map(|stored| stored.texts);
    if sqlx::query(COUNT).bind(id).fetch_one(&mut **tx).await?.try_get::<i64, _>(0)? >= TARGETS_MAX {
        let words = format!("There are {TARGETS_MAX} event targets, the most there can be; remove one");
        return Err(SaveError::mistake("url", words));
    }
    if !PART.put(tx, before.as_ref(), texts, change).await? {
        return Ok(());
    }
    let put = sqlx::query(PUT).bind(id).bind(part::json(texts)?).bind(change.at.us()).bind(change.who);
    put.execute(&mut **tx).await?;
    Ok(setting::bump(tx).await?)
}

const PART: Part<'_> =
    Part { subject: "settings", what: "event target", table: EventTargetSettings::SETTINGS, in_words };

fn in_words(texts: &Texts) -> String {
    EventTargetSettings::parse(texts).map(|settings| settings.in_words()).unwrap_or_default()
}

/// Removes one; what waits for it stops.
pub async fn remove(db: &Db, target: &StoredTarget, change: &Change<'_>) -> Result<(), StoreError> {
    let StoredTarget { id, texts, .. } = target;
    let mut tx = db.begin().await?;
    sqlx::query(REMOVE).bind(id).execute(&mut *tx).await?;
    secret::remove(&mut tx, &webhook_secret(id)).await?;
    delivery::stop(&mut tx, "", &Target::Events(id.clone()).text(), change.at).await?;
    setting::bump(&mut tx).await?;
    PART.removed(&mut tx, texts, change).await?;
    Ok(tx.commit().await?)
}

/// The name of what an event target signs with.
pub fn webhook_secret(id: &str) -> String {
    format!("events {id}")
}
