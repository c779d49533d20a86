//! Actions: what a partner's files set off besides being passed along (PRODUCT section 10).

use std::collections::HashMap;
use std::sync::Arc;

use sqlx::sqlite::SqliteRow;
use sqlx::{Row, Sqlite, Transaction};

use super::connector::subject;
use super::open::{Db, StoreError};
use super::part::{self, Part};
use super::setting::{self, Change, SaveError};
use super::{delivery, secret};
use crate::base::clock::Timestamp;
use crate::domain::action::{Action, ActionSettings};
use crate::domain::connector::ConnectorId;
use crate::domain::flow::Target;
use crate::domain::setting::Texts;

/// The most actions of one connector.
pub const ACTIONS_MAX: i64 = 20;

const ALL: &str = "SELECT id, connector_key, texts, version FROM actions ORDER BY connector_key, made_at_us, id";
const ONE: &str = "SELECT id, connector_key, texts, version FROM actions WHERE id = $1";
const OF_CONNECTOR: &str =
    "SELECT id, connector_key, texts, version FROM actions WHERE connector_key = $1 ORDER BY made_at_us, id";
const STORED: &str = "SELECT texts, version, changed_at_us, changed_by FROM actions WHERE id = $1";
const COUNT: &str = "SELECT COUNT(*) FROM actions WHERE connector_key = $1 AND id <> $2";
const PUT: &str = "INSERT INTO actions (id, connector_key, texts, made_at_us, version, changed_at_us, changed_by) \
     VALUES ($1, $2, $3, $4, (SELECT version FROM configuration WHERE one = 1), $4, $5) \
     ON CONFLICT (id) DO UPDATE SET texts = excluded.texts, version = actions.version + 1, \
     changed_at_us = excluded.changed_at_us, changed_by = excluded.changed_by";
const REMOVE: &str = "DELETE FROM actions WHERE id = $1";

/// One action as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredAction {
    /// Its id.
    pub id: String,
    /// Whose files it concerns: the connector's id in lower case.
    pub connector_key: String,
    /// Its settings.
    pub texts: Texts,
    /// Changes with each save. A save carries the version it was made from; 0: whatever is there, or nothing.
    pub version: i64,
}

/// The actions of one connector, by its id in lower case, in the order they were made.
pub async fn of_connector(db: &Db, key: &str) -> Result<Vec<StoredAction>, StoreError> {
    sqlx::query(OF_CONNECTOR).bind(key).fetch_all(db.reader()).await?.iter().map(decode).collect()
}

/// The action of that id.
pub async fn find(db: &Db, id: &str) -> Result<Option<StoredAction>, StoreError> {
    sqlx::query(ONE).bind(id).fetch_optional(db.reader()).await?.as_ref().map(decode).transpose()
}

/// Every action as it is stored.
pub async fn stored(db: &Db) -> Result<Vec<StoredAction>, StoreError> {
    sqlx::query(ALL).fetch_all(db.reader()).await?.iter().map(decode).collect()
}

/// The same within a transaction.
pub(super) async fn all_in(tx: &mut Transaction<'_, Sqlite>) -> Result<Vec<StoredAction>, StoreError> {
    sqlx::query(ALL).fetch_all(&mut **tx).await?.iter().map(decode).collect()
}

/// Every readable action, by the connector's id in lower case. One that this version cannot read is logged and left
/// out.
pub(super) async fn all(db: &Db) -> Result<HashMap<String, Vec<Arc<Action>>>, StoreError> {
    let mut by_key: HashMap<String, Vec<Arc<Action>>> = HashMap::new();
    for row in sqlx::query(ALL).fetch_all(db.reader()).await? {
        let StoredAction { id, connector_key, texts, .. } = decode(&row)?;
        match ActionSettings::parse(&texts) {
            Ok(settings) => {
                let action = Action { id, connector_key: connector_key.clone(), settings };
                by_key.entry(connector_key).or_default().push(Arc::new(action));
            }
            Err(mistakes) => {
                let all: Vec<_> = mistakes.iter().map(ToString::to_string).collect();
                tracing::error!(connector.id = connector_key, action.id = id, "Action left out: {}", all.join("; "));
            }
        }
    }
    Ok(by_key)
}

fn decode(row: &SqliteRow) -> Result<StoredAction, StoreError> {
    let (id, texts): (String, String) = (row.try_get(0)?, row.try_get(2)?);
    let texts = part::texts(&texts).map_err(|error| StoreError::Unreadable(format!("action {id}: {error}")))?;
    Ok(StoredAction { id, connector_key: row.try_get(1)?, texts, version: row.try_get(3)? })
}

/// Adds or changes an action of that connector. Does nothing if nothing changes.
pub async fn put(
    db: &Db,
    action: &StoredAction,
    connector: &ConnectorId,
    change: &Change<'_>,
) -> Result<(), SaveError> {
    let mut tx = db.begin().await?;
    put_in(&mut tx, action, connector, change).await?;
    tx.commit().await?;
    Ok(())
}

/// The same within another transaction.
pub(super) async fn put_in(
    tx: &mut Transaction<'_, Sqlite>,
    action: &StoredAction,
    connector: &ConnectorId,
    change: &Change<'_>,
) -> Result<(), SaveError> {
    let StoredAction { id, connector_key, texts, version } = action;
    let before = part::read(tx, STORED, (id, Some(*version).filter(|version| *version != 0))).await?;
    let before = before.map(|stored| stored.texts);
    let others: i64 = sqlx::query(COUNT).bind(connector_key).bind(id).fetch_one(&mut **tx).await?.try_get(0)?;
    if others >= ACTIONS_MAX {
        let words = format!("There are {ACTIONS_MAX} actions, the most a connector can have; remove one");
        return Err(SaveError::mistake("moment", words));
    }
    if !part(&subject(connector)).put(tx, before.as_ref(), texts, change).await? {
        return Ok(());
    }
    let json = part::json(texts)?;
    let put = sqlx::query(PUT).bind(id).bind(connector_key).bind(json).bind(change.at.us()).bind(change.who);
    put.execute(&mut **tx).await?;
    Ok(setting::bump(tx).await?)
}

const fn part(subject: &str) -> Part<'_> {
    Part { subject, what: "action", table: ActionSettings::SETTINGS, in_words }
}

fn in_words(texts: &Texts) -> String {
    ActionSettings::parse(texts).map(|settings| settings.in_words()).unwrap_or_default()
}

/// Removes one; its waiting deliveries stop.
pub async fn remove(
    db: &Db,
    action: &StoredAction,
    connector: &ConnectorId,
    change: &Change<'_>,
) -> Result<(), StoreError> {
    let mut tx = db.begin().await?;
    remove_one(&mut tx, (&action.connector_key, &action.id), change.at).await?;
    setting::bump(&mut tx).await?;
    part(&subject(connector)).removed(&mut tx, &action.texts, change).await?;
    Ok(tx.commit().await?)
}

/// The connector is removed.
pub(super) async fn remove_of(
    tx: &mut Transaction<'_, Sqlite>,
    connector: &ConnectorId,
    change: &Change<'_>,
) -> Result<(), StoreError> {
    for row in sqlx::query(OF_CONNECTOR).bind(connector.key()).fetch_all(&mut **tx).await? {
        let stored = decode(&row)?;
        remove_one(tx, (connector.key(), &stored.id), change.at).await?;
        part(&subject(connector)).removed(tx, &stored.texts, change).await?;
    }
    Ok(())
}

async fn remove_one(tx: &mut Transaction<'_, Sqlite>, (key, id): (&str, &str), at: Timestamp) -> sqlx::Result<()> {
    sqlx::query(REMOVE).bind(id).execute(&mut **tx).await?;
    secret::remove(tx, &webhook_secret(id)).await?;
    delivery::stop(tx, key, &Target::Action(id.to_owned()).text(), at).await.map(drop)
}

/// The name of the secret that a webhook action signs with.
pub fn webhook_secret(id: &str) -> String {
    format!("action {id}")
}
