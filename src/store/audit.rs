//! Who changed what: added to, never changed.

use sqlx::{Row, Sqlite, Transaction};

use super::open::{Db, StoreError};
use super::setting::{Change, audit_id};
use crate::base::clock::Timestamp;

const ADD: &str = "INSERT INTO audit (id, at_us, who, remote, subject, key, before, after) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
const LATEST: &str = "SELECT at_us, who, remote, subject, key, before, after FROM audit \
     WHERE ($1 IS NULL OR subject = $1) ORDER BY at_us DESC, id DESC LIMIT $2";

/// One change, as it is written.
pub struct Entry<'a> {
    /// `profile`, `connector acme-edi`, `administrator mira`.
    pub subject: &'a str,
    /// The setting, or what was done.
    pub key: &'a str,
    /// The value before; secrets read `changed`.
    pub before: &'a str,
    /// The value after.
    pub after: &'a str,
}

/// One change, as it is read.
#[derive(Clone, Debug)]
pub struct Entered {
    /// When.
    pub at: Timestamp,
    /// Who.
    pub who: String,
    /// Where from.
    pub remote: String,
    /// What it concerns.
    pub subject: String,
    /// The setting, or what was done.
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

/// The newest changes first; of one subject or of all.
pub async fn latest(db: &Db, subject: Option<&str>, count: i64) -> Result<Vec<Entered>, StoreError> {
    let rows = sqlx::query(LATEST).bind(subject).bind(count).fetch_all(db.reader()).await?;
    rows.iter()
        .map(|row| {
            Ok(Entered {
                at: Timestamp::from_us(row.try_get(0)?),
                who: row.try_get(1)?,
                remote: row.try_get(2)?,
                subject: row.try_get(3)?,
                key: row.try_get(4)?,
                before: row.try_get(5)?,
                after: row.try_get(6)?,
            })
        })
        .collect::<sqlx::Result<_>>()
        .map_err(StoreError::from)
}
