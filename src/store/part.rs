//! What SLAs, actions and event targets have in common: settings with a version of their own, and an audit of each
//! change, in words and field by field.

use sqlx::{Row, Sqlite, Transaction};

use super::audit;
use super::open::StoreError;
use super::setting::{Change, SaveError, Stored};
use crate::base::clock::Timestamp;
use crate::domain::setting::{Setting, Texts};

/// One of them, for the audit.
#[derive(Clone, Copy)]
pub(super) struct Part<'a> {
    /// Its owner.
    pub subject: &'a str,
    /// What it is: `SLA`, `action`.
    pub what: &'static str,
    /// Its settings.
    pub table: &'static [Setting],
    /// Describes settings in words.
    pub in_words: fn(&Texts) -> String,
}

/// A changed value.
struct Changed<'a> {
    key: &'static str,
    before: &'a str,
    after: &'a str,
}

impl Part<'_> {
    /// Records that it was removed, and what it was.
    pub async fn removed(
        self,
        tx: &mut Transaction<'_, Sqlite>,
        texts: &Texts,
        change: &Change<'_>,
    ) -> sqlx::Result<()> {
        let was = (self.in_words)(texts);
        let entry = audit::Entry { subject: self.subject, key: self.what, before: &was, after: "" };
        audit::add(tx, change, &entry).await
    }

    /// Records what it was and is. Nothing, and `false`, if nothing changes.
    pub async fn put(
        self,
        tx: &mut Transaction<'_, Sqlite>,
        before: Option<&Texts>,
        after: &Texts,
        change: &Change<'_>,
    ) -> sqlx::Result<bool> {
        let none = Texts::new();
        let changed = self.changed(before.unwrap_or(&none), after);
        if before.is_some() && changed.is_empty() {
            return Ok(false);
        }
        // Even if the words stay the same: there may be several of a kind.
        let was = before.map(self.in_words).unwrap_or_default();
        let is = (self.in_words)(after);
        let entry = audit::Entry { subject: self.subject, key: self.what, before: &was, after: &is };
        audit::add(tx, change, &entry).await?;
        for Changed { key, before, after } in changed {
            let key = format!("{} {key}", self.what);
            audit::add(tx, change, &audit::Entry { subject: self.subject, key: &key, before, after }).await?;
        }
        Ok(true)
    }

    fn changed<'a>(self, before: &'a Texts, after: &'a Texts) -> Vec<Changed<'a>> {
        let text = |texts: &'a Texts, setting: &Setting| texts.get(setting.key).map_or(setting.default, String::as_str);
        let both = self.table.iter().map(|setting| Changed {
            key: setting.key,
            before: text(before, setting),
            after: text(after, setting),
        });
        both.filter(|one| one.before != one.after).collect()
    }
}

/// What is stored now; `sql` returns its texts, its version, and when and by whom it was saved. It must be of the
/// expected version; if it was removed, its version is 0.
pub(super) async fn read(
    tx: &mut Transaction<'_, Sqlite>,
    sql: &'static str,
    (id, expected): (&str, Option<i64>),
) -> Result<Option<Stored>, SaveError> {
    let Some(row) = sqlx::query(sql).bind(id).fetch_optional(&mut **tx).await? else {
        return if expected.is_some() { Err(SaveError::Stale(Box::default())) } else { Ok(None) };
    };
    let stored = Stored {
        texts: texts(row.try_get(0)?).map_err(|error| StoreError::Unreadable(format!("{id}: {error}")))?,
        version: row.try_get(1)?,
        changed_at: Timestamp::from_us(row.try_get(2)?),
        changed_by: row.try_get(3)?,
    };
    let is_stale = expected.is_some_and(|version| version != stored.version);
    if is_stale { Err(SaveError::Stale(Box::new(stored))) } else { Ok(Some(stored)) }
}

/// Settings as stored: a JSON object, key by key.
pub(super) fn texts(json: &str) -> Result<Texts, serde_json::Error> {
    serde_json::from_str(json)
}

/// The same for writing.
pub(super) fn json(texts: &Texts) -> Result<String, StoreError> {
    serde_json::to_string(texts).map_err(|error| StoreError::Unreadable(error.to_string()))
}
