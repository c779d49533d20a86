//! Who changed what: append-only.

use sqlx::sqlite::SqliteRow;
use sqlx::{Row, Sqlite, Transaction};

use super::open::{Db, StoreError};
use super::receipt::Cursor;
use super::setting::{Change, audit_id};
use crate::base::clock::Timestamp;

// What `decode` reads, in this order.
macro_rules! select {
    ($rest:literal) => {
        concat!("SELECT id, at_us, who, remote, subject, key, before, after FROM audit ", $rest)
    };
}

const ADD: &str = "INSERT INTO audit (id, at_us, who, remote, subject, key, before, after) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";

const LATEST: &str = select!("WHERE ($1 IS NULL OR subject = $1) ORDER BY at_us DESC, id DESC LIMIT $2");
const OF_SUBJECT: &str = select!("WHERE subject = $1 AND (at_us, id) < ($2, $3) ORDER BY at_us DESC, id DESC LIMIT $4");
const NEWEST_FIRST: &str = select!(
    "WHERE (at_us, id) < ($1, $2) AND ($3 = '' OR LOWER(subject) LIKE $3 ESCAPE '\\') \
     ORDER BY at_us DESC, id DESC LIMIT $4"
);
const SINCE: &str = select!("WHERE id > $1 ORDER BY id");

/// One change, to be written.
pub struct Entry<'a> {
    /// `profile`, `connector acme-edi`, `administrator mira`.
    pub subject: &'a str,
    /// The setting, or the action taken.
    pub key: &'a str,
    /// The value before; secrets read `changed`.
    pub before: &'a str,
    /// The value after.
    pub after: &'a str,
}

/// One change, as read.
#[derive(Clone, Debug)]
pub struct Entered {
    /// Its id.
    pub id: String,
    /// When.
    pub at: Timestamp,
    /// Who.
    pub who: String,
    /// Where from.
    pub remote: String,
    /// What it concerns.
    pub subject: String,
    /// The setting, or the action taken.
    pub key: String,
    /// The value before.
    pub before: String,
    /// The value after.
    pub after: String,
}

pub(super) async fn add(tx: &mut Transaction<'_, Sqlite>, change: &Change<'_>, entry: &Entry<'_>) -> sqlx::Result<()> {
    sqlx::query(ADD)
        .bind(audit_id(change).as_str())
        .bind(change.at.us())
        .bind(change.who)
        .bind(change.remote)
        .bind(entry.subject)
        .bind(entry.key)
        .bind(entry.before)
        .bind(entry.after)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Records an action that is not a change of a setting.
pub async fn note(db: &Db, change: &Change<'_>, entry: &Entry<'_>) -> Result<(), StoreError> {
    note_all(db, change, std::slice::from_ref(entry)).await
}

/// Writes several at once.
pub async fn note_all(db: &Db, change: &Change<'_>, entries: &[Entry<'_>]) -> Result<(), StoreError> {
    let mut tx = db.begin().await?;
    for entry in entries {
        add(&mut tx, change, entry).await?;
    }
    tx.commit().await?;
    Ok(())
}

/// What was recorded after the id `first` was made, in order.
pub(super) async fn since(tx: &mut Transaction<'_, Sqlite>, first: &str) -> Result<Vec<Entered>, StoreError> {
    sqlx::query(SINCE).bind(first).fetch_all(&mut **tx).await?.iter().map(decode).collect()
}

/// The newest changes first; for one subject or all.
pub async fn latest(db: &Db, subject: Option<&str>, count: i64) -> Result<Vec<Entered>, StoreError> {
    let rows = sqlx::query(LATEST).bind(subject).bind(count).fetch_all(db.reader()).await?;
    rows.iter().map(decode).collect()
}

/// Changes of one subject before `before`, newest first.
pub async fn of_subject(
    db: &Db,
    subject: &str,
    before: Option<&Cursor>,
    count: i64,
) -> Result<Vec<Entered>, StoreError> {
    let query = sqlx::query(OF_SUBJECT)
        .bind(subject)
        .bind(before.map_or(i64::MAX, |before| before.completed_at.us()))
        .bind(before.map_or("", |before| before.id.as_str()))
        .bind(count);
    query.fetch_all(db.reader()).await?.iter().map(decode).collect()
}

/// Changes before `before`, newest first, of subjects that contain `subject` (in any case).
pub async fn newest_first(
    db: &Db,
    subject: &str,
    before: Option<&Cursor>,
    count: i64,
) -> Result<Vec<Entered>, StoreError> {
    let (at, id) = before.map_or((i64::MAX, ""), |before| (before.completed_at.us(), &before.id));
    let mut like = String::new();
    for c in subject.trim().to_lowercase().chars() {
        if matches!(c, '%' | '_' | '\\') {
            like.push('\\');
        }
        like.push(c);
    }
    let like = if like.is_empty() { like } else { format!("%{like}%") };
    let query = sqlx::query(NEWEST_FIRST).bind(at).bind(id).bind(like).bind(count);
    query.fetch_all(db.reader()).await?.iter().map(decode).collect()
}

fn decode(row: &SqliteRow) -> Result<Entered, StoreError> {
    Ok(Entered {
        id: row.try_get(0)?,
        at: Timestamp::from_us(row.try_get(1)?),
        who: row.try_get(2)?,
        remote: row.try_get(3)?,
        subject: row.try_get(4)?,
        key: row.try_get(5)?,
        before: row.try_get(6)?,
        after: row.try_get(7)?,
    })
}
