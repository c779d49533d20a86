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

/// The most event targets.
pub const TARGETS_MAX: i64 = 20;

const ALL: &str = "SELECT id, texts, version FROM event_targets ORDER BY made_at_us, id";
const ONE: &str = "SELECT id, texts, version FROM event_targets WHERE id = $1";
const STORED: &str = "SELECT texts, version, changed_at_us, changed_by FROM event_targets WHERE id = $1";
const COUNT: &str = "SELECT COUNT(*) FROM event_targets WHERE id <> $1";
const PUT: &str = "INSERT INTO event_targets (id, texts, made_at_us, version, changed_at_us, changed_by) \
     VALUES ($1, $2, $3, (SELECT version FROM configuration WHERE one = 1), $3, $4) \
     ON CONFLICT (id) DO UPDATE SET texts = excluded.texts, version = event_targets.version + 1, \
     changed_at_us = excluded.changed_at_us, changed_by = excluded.changed_by";
const REMOVE: &str = "DELETE FROM event_targets WHERE id = $1";

/// One as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredTarget {
    /// Its id.
    pub id: String,
    /// Its settings.
    pub texts: Texts,
    /// Changes with each save. A save carries the version it was made from; 0: whatever is there, or nothing.
    pub version: i64,
}

/// Every event target, in the order they were made.
pub async fn all(db: &Db) -> Result<Vec<StoredTarget>, StoreError> {
    sqlx::query(ALL).fetch_all(db.reader()).await?.iter().map(decode).collect()
}

/// The event target of that id.
pub async fn find(db: &Db, id: &str) -> Result<Option<StoredTarget>, StoreError> {
    sqlx::query(ONE).bind(id).fetch_optional(db.reader()).await?.as_ref().map(decode).transpose()
}

/// The same within a transaction.
pub(super) async fn all_in(tx: &mut Transaction<'_, Sqlite>) -> Result<Vec<StoredTarget>, StoreError> {
    sqlx::query(ALL).fetch_all(&mut **tx).await?.iter().map(decode).collect()
}

/// Every readable one. One that this version cannot read is logged and left out.
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

/// Adds or changes one. Does nothing if nothing changes.
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

/// Removes one; its waiting deliveries stop.
pub async fn remove(db: &Db, target: &StoredTarget, change: &Change<'_>) -> Result<(), StoreError> {
    let StoredTarget { id, texts, .. } = target;
    let mut tx = db.begin().await?;
    sqlx::query(REMOVE).bind(id).execute(&mut *tx).await?;
    secret::remove(&mut tx, &webhook_secret(id)).await?;
    delivery::stop_to(&mut tx, &Target::Events(id.clone()), change.at).await?;
    setting::bump(&mut tx).await?;
    PART.removed(&mut tx, texts, change).await?;
    Ok(tx.commit().await?)
}

/// The name of the secret that an event target signs with.
pub fn webhook_secret(id: &str) -> String {
    format!("events {id}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::{Clock, Timestamp};
    use crate::base::id::IdSource;
    use crate::store::commit::{Published, Received};
    use crate::store::delivery::Lane;
    use crate::store::group::Group;
    use crate::store::renaming::{NewName, Rename};
    use crate::store::set_off::{self, New};
    use crate::store::{delivery_page, setting};

    const NOW: Timestamp = Timestamp::from_us(1_800_000_000_000_000);

    struct Desk {
        _folder: tempfile::TempDir,
        db: Db,
        received: Received,
    }

    impl Desk {
        /// Event targets to be told of a received file: by its partner, by globex, and by the appliance.
        async fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let db = Db::open(folder.path()).await.unwrap();
            let received = Received::at("/Receive/a", &IdSource::random(Clock::System), NOW);
            let mut group = Group::default();
            group.receipt(&received);
            group.write(&mut db.writer().acquire().await.unwrap()).await.unwrap();
            let mut group = Group::default();
            group.publish(&Published::of(&received.receipt, received.event_id.clone()));
            group.write(&mut db.writer().acquire().await.unwrap()).await.unwrap();
            let step = set_off::newer(&db).await.unwrap().unwrap();
            let new = |source: &str| New {
                event_id: received.event_id.clone(),
                receipt_id: None,
                source_key: source.to_owned(),
                target: Target::Events("monitor".to_owned()),
                due: NOW,
            };
            set_off::record(&db, &step, &["acme", "globex", ""].map(new), NOW).await.unwrap();
            Self { _folder: folder, db, received }
        }

        /// What is due there, and what of that is held back.
        async fn due(&self, source: &str, held_since: Timestamp) -> (usize, usize) {
            let lane = Lane { source_key: source.to_owned(), target: Target::Events("monitor".to_owned()) };
            let due = delivery::next(&self.db, &lane, false, held_since, 9).await.unwrap();
            (due.len(), due.iter().filter(|one| one.held).count())
        }

        async fn renamed(&self, to: &str, is_temporary: bool) {
            let whose = (self.received.receipt.id.clone(), NewName { is_temporary, sets_off: None });
            let way = ("/Receive/a".to_owned(), to.to_owned());
            Rename::begin(&self.db, ("acme", Some(whose)), way, NOW).await.unwrap().settle(&self.db).await.unwrap();
        }
    }

    #[tokio::test]
    async fn nobody_is_told_of_a_file_under_a_temporary_name_and_the_appliance_tells_whatever_its_name() {
        let desk = Desk::new().await;
        let later = NOW.plus(std::time::Duration::from_secs(1));
        assert_eq!(desk.due("acme", later).await, (1, 0));
        desk.renamed("/Receive/a.tmp", true).await;
        assert_eq!((desk.due("acme", NOW.minus(std::time::Duration::from_secs(1))).await), (1, 1));
        assert_eq!(desk.due("acme", later).await, (0, 0), "it holds up those behind it no longer");
        assert_eq!(desk.due("", later).await, (1, 0));
        desk.renamed("/Receive/b", false).await;
        assert_eq!(desk.due("acme", later).await, (1, 0));
    }

    #[tokio::test]
    async fn what_is_told_of_a_connector_is_no_file_that_waits_to_leave_it_and_outlives_it() {
        let desk = Desk::new().await;
        assert_eq!(delivery_page::waiting_of(&desk.db, "acme").await.unwrap(), 0);
        let mut tx = desk.db.begin().await.unwrap();
        delivery::stop_of(&mut tx, "acme", NOW).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(desk.due("acme", NOW).await, (1, 0));
        let ids = IdSource::random(Clock::System);
        let change = setting::Change { who: "test", remote: "", at: NOW, ids: &ids };
        let monitor = StoredTarget { id: "monitor".to_owned(), texts: Texts::new(), version: 0 };
        remove(&desk.db, &monitor, &change).await.unwrap();
        for source in ["acme", "globex", ""] {
            assert_eq!(desk.due(source, NOW).await, (0, 0), "{source}");
        }
    }
}
