//! Settings of any scope: one way to read and save them, with version, audit and configuration count.

use sqlx::{Row, Sqlite, Transaction};

use super::open::{Db, StoreError};
use crate::base::clock::Timestamp;
use crate::base::id::{AuditId, IdSource};
use crate::domain::setting::{Mistake, Texts, merged};

const VALUES: &str = "SELECT key, value FROM setting_values WHERE scope = $1 AND owner = $2";
const VERSION: &str = "SELECT version, changed_at_us, changed_by FROM setting_groups WHERE scope = $1 AND owner = $2";
/// A connector's first version is the configuration's, which counts every save: one that is removed and added again
/// gets another.
const ADD_GROUP: &str = "INSERT INTO setting_groups (scope, owner, version, changed_at_us, changed_by) \
     VALUES ($1, $2, CASE $1 WHEN 'connector' THEN (SELECT version FROM configuration WHERE one = 1) ELSE 1 END, $3, $4) \
     ON CONFLICT (scope, owner) DO UPDATE SET version = setting_groups.version + 1, \
     changed_at_us = excluded.changed_at_us, changed_by = excluded.changed_by";
const SET_VALUE: &str = "INSERT INTO setting_values (scope, owner, key, value) VALUES ($1, $2, $3, $4) \
     ON CONFLICT (scope, owner, key) DO UPDATE SET value = excluded.value";
const REMOVE_GROUP: &str = "DELETE FROM setting_groups WHERE scope = $1 AND owner = $2";
const BUMP: &str = "UPDATE configuration SET version = version + 1 WHERE one = 1";

/// Whose settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope<'a> {
    /// The appliance's own.
    Settings,
    /// The FTP server's.
    Profile,
    /// One connector's, by its id in lower case.
    Connector(&'a str),
}

impl<'a> Scope<'a> {
    fn parts(self) -> (&'static str, &'a str) {
        match self {
            Self::Settings => ("settings", ""),
            Self::Profile => ("profile", ""),
            Self::Connector(key) => ("connector", key),
        }
    }
}

/// Who changes something, and when: for the audit.
#[derive(Clone, Debug)]
pub struct Change<'a> {
    /// An administrator's name, or `command line`.
    pub who: &'a str,
    /// Where from; empty for the command line.
    pub remote: &'a str,
    /// When.
    pub at: Timestamp,
    /// Where new ids come from.
    pub ids: &'a IdSource,
}

/// What is stored, with its version.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// Values that differ from their defaults.
    pub texts: Texts,
    /// Changes with each save, even after removal and re-adding; 0 if never saved.
    pub version: i64,
    /// When it was last saved.
    pub changed_at: Timestamp,
    /// Who saved it last.
    pub changed_by: String,
}

/// Why a save failed. Nothing was saved.
#[derive(Debug, thiserror::Error)]
pub enum SaveError {
    /// Invalid values.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Mistakes(Vec<Mistake>),
    /// Somebody else saved in between.
    #[error("somebody else saved these settings in between: look at them again")]
    Stale(Box<Stored>),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl SaveError {
    /// One invalid value.
    pub fn mistake(key: &str, message: impl Into<String>) -> Self {
        Self::Mistakes(vec![Mistake::new(key, message)])
    }
}

impl From<sqlx::Error> for SaveError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

/// Reads what is stored in `scope`.
pub async fn load(db: &Db, scope: Scope<'_>) -> Result<Stored, StoreError> {
    let mut connection = db.reader().acquire().await?;
    read(&mut connection, scope).await
}

pub(super) async fn read(connection: &mut sqlx::SqliteConnection, scope: Scope<'_>) -> Result<Stored, StoreError> {
    let (scope, owner) = scope.parts();
    let mut stored = Stored::default();
    if let Some(row) = sqlx::query(VERSION).bind(scope).bind(owner).fetch_optional(&mut *connection).await? {
        stored.version = row.try_get(0)?;
        stored.changed_at = Timestamp::from_us(row.try_get(1)?);
        stored.changed_by = row.try_get(2)?;
    }
    for row in sqlx::query(VALUES).bind(scope).bind(owner).fetch_all(&mut *connection).await? {
        stored.texts.insert(row.try_get(0)?, row.try_get(1)?);
    }
    Ok(stored)
}

/// The request of a save.
pub(super) struct Save<'a> {
    pub scope: Scope<'a>,
    /// The audit's name for it.
    pub subject: String,
    /// New values by key; other keys stay.
    pub values: &'a Texts,
    /// The version the editor saw; `None`: whatever is there.
    pub expected_version: Option<i64>,
}

/// Saves within `tx`: values are merged over what is stored, `check`ed as a whole, and written with their audit.
/// Returns the new texts. A value that is already in force is neither stored nor recorded.
pub(super) async fn save(
    tx: &mut Transaction<'_, Sqlite>,
    save: Save<'_>,
    change: &Change<'_>,
    check: impl Fn(&Texts) -> Result<Texts, Vec<Mistake>>,
) -> Result<Texts, SaveError> {
    let before = read(&mut *tx, save.scope).await?;
    if save.expected_version.is_some_and(|version| version != before.version) {
        return Err(SaveError::Stale(Box::new(before)));
    }
    let canonical = check(&merged(&before.texts, save.values)).map_err(SaveError::Mistakes)?;
    let effective = check(&before.texts).unwrap_or_default();
    let (scope, owner) = save.scope.parts();
    let new = |key: &String| canonical.get(key).cloned().unwrap_or_default();
    let old = |key: &String| before.texts.get(key).or_else(|| effective.get(key)).map_or("", String::as_str);
    let changed: Vec<_> = save.values.keys().filter(|key| old(key) != new(key)).collect();
    // Saving what is already in force makes nobody's open form stale.
    if !changed.is_empty() || before.version == 0 {
        sqlx::query(ADD_GROUP).bind(scope).bind(owner).bind(change.at.us()).bind(change.who).execute(&mut **tx).await?;
    }
    for key in changed {
        let (old, value) = (old(key), new(key));
        sqlx::query(SET_VALUE).bind(scope).bind(owner).bind(key).bind(&value).execute(&mut **tx).await?;
        let entry = super::audit::Entry { subject: &save.subject, key, before: old, after: &value };
        super::audit::add(tx, change, &entry).await?;
    }
    bump(tx).await?;
    Ok(canonical)
}

pub(super) async fn remove(tx: &mut Transaction<'_, Sqlite>, scope: Scope<'_>) -> sqlx::Result<()> {
    let (scope, owner) = scope.parts();
    sqlx::query(REMOVE_GROUP).bind(scope).bind(owner).execute(&mut **tx).await?;
    Ok(())
}

/// Ends a change of the configuration: writes the audit, notifies every process, commits.
pub(super) async fn end(
    mut tx: Transaction<'_, Sqlite>,
    entry: &super::audit::Entry<'_>,
    change: &Change<'_>,
) -> sqlx::Result<()> {
    super::audit::add(&mut tx, change, entry).await?;
    bump(&mut tx).await?;
    tx.commit().await
}

/// Notifies every process that the configuration changed.
pub(super) async fn bump(tx: &mut Transaction<'_, Sqlite>) -> sqlx::Result<()> {
    sqlx::query(BUMP).execute(&mut **tx).await?;
    Ok(())
}

/// A new id for the audit.
pub(super) fn audit_id(change: &Change<'_>) -> AuditId {
    AuditId::new(change.ids)
}
