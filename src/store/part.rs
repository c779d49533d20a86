//! What SLAs, actions and event targets have in common: settings of their own with a version, and an audit that tells what
//! one was and is, in words and field by field.

use sqlx::{Row, Sqlite, Transaction};

use super::audit;
use super::open::StoreError;
use super::setting::{Change, SaveError, Stored};
use crate::base::clock::Timestamp;
use crate::domain::setting::{Setting, Texts};

/// One of them, for the audit.
#[derive(Clone, Copy)]
pub(super) struct Part<'a> {
    /// Whose it is.
    pub subject: &'a str,
    /// What it is: `SLA`, `action`.
    pub what: &'static str,
    /// Its settings.
    pub table: &'static [Setting],
    /// What settings come to, in words.
    pub in_words: fn(&Texts) -> String,
}

/// A value that is to be another.
struct Changed<'a> {
    key: &'static str,
    before: &'a str,
    after: &'a str,
}

impl Part<'_> {
    /// Tells that it is removed, and what it was.
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

    /// Tells what it was and is. Nothing, and `false`, where it was so already.
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
        // Also where the words stay: there may be several of a kind.
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

/// What is stored of one now; `sql` gives its texts, version, and when and by whom it was saved. It must be of the version that
/// is expected; where that was removed, what is stored has version 0.
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

/// Settings as they are stored: a JSON object, key by key.
pub(super) fn texts(json: &str) -> Result<Texts, serde_json::Error> {
    serde_json::from_str(json)
}

/// The same for writing.
pub(super) fn json(texts: &Texts) -> Result<String, StoreError> {
    serde_json::to_string(texts).map_err(|error| StoreError::Unreadable(error.to_string()))
}
