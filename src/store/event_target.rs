//! Event targets: who is told of events by webhook.

use std::collections::BTreeMap;
use std::sync::Arc;

use sqlx::sqlite::SqliteRow;
use sqlx::{Row, Sqlite, Transaction};

use super::open::{Db, StoreError};
use super::setting::{self, Change, SaveError};
use super::{audit, delivery, secret};
use crate::domain::event_target::{EventTarget, EventTargetSettings};
use crate::domain::flow::Target;
use crate::domain::setting::{Mistake, Texts};

/// Event targets there can be.
pub const TARGETS_MAX: i64 = 20;

const ALL: &str = "SELECT id, texts FROM event_targets ORDER BY made_at_us, id";
const COUNT: &str = "SELECT COUNT(*) FROM event_targets WHERE id <> $1";
const PUT: &str = "INSERT INTO event_targets (id, texts, made_at_us) VALUES ($1, $2, $3) \
     ON CONFLICT (id) DO UPDATE SET texts = excluded.texts";
const REMOVE: &str = "DELETE FROM event_targets WHERE id = $1";

/// One as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredTarget {
    /// Its id.
    pub id: String,
    /// Its settings.
    pub texts: Texts,
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
    let read = |StoredTarget { id, texts }: StoredTarget| match EventTargetSettings::parse(&texts) {
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
    let texts: BTreeMap<String, String> =
        serde_json::from_str(&texts).map_err(|error| StoreError::Unreadable(format!("event target {id}: {error}")))?;
    Ok(StoredTarget { id, texts })
}

/// Adds one or changes it. `words` say what it is, for the audit.
pub async fn put(db: &Db, target: &StoredTarget, words: &str, change: &Change<'_>) -> Result<(), SaveError> {
    let mut tx = db.begin().await?;
    put_in(&mut tx, target, words, change).await?;
    tx.commit().await?;
    Ok(())
}

/// The same within another transaction.
pub(super) async fn put_in(
    tx: &mut Transaction<'_, Sqlite>,
    target: &StoredTarget,
    words: &str,
    change: &Change<'_>,
) -> Result<(), SaveError> {
    let json = serde_json::to_string(&target.texts).map_err(|error| StoreError::Unreadable(error.to_string()))?;
    if sqlx::query(COUNT).bind(&target.id).fetch_one(&mut **tx).await?.try_get::<i64, _>(0)? >= TARGETS_MAX {
        let words = format!("There are {TARGETS_MAX} event targets, the most there can be; remove one");
        return Err(SaveError::Mistakes(vec![Mistake::new("url", words)]));
    }
    sqlx::query(PUT).bind(&target.id).bind(json).bind(change.at.us()).execute(&mut **tx).await?;
    setting::bump(tx).await?;
    let entry = audit::Entry { subject: "settings", key: "event target", before: "", after: words };
    audit::add(tx, change, &entry).await?;
    Ok(())
}

/// Removes one; what waits for it stops.
pub async fn remove(db: &Db, id: &str, words: &str, change: &Change<'_>) -> Result<(), StoreError> {
    let mut tx = db.begin().await?;
    sqlx::query(REMOVE).bind(id).execute(&mut *tx).await?;
    secret::remove(&mut tx, &webhook_secret(id)).await?;
    delivery::stop(&mut tx, "", &Target::Events(id.to_owned()).text(), change.at).await?;
    setting::bump(&mut tx).await?;
    let entry = audit::Entry { subject: "settings", key: "event target", before: words, after: "" };
    audit::add(&mut tx, change, &entry).await?;
    Ok(tx.commit().await?)
}

/// The name of what an event target signs with.
pub fn webhook_secret(id: &str) -> String {
    format!("events {id}")
}
