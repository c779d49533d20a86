//! Partner sheets that were handed out: the newest of each connector.

use sqlx::Row;

use super::audit;
use super::open::{Db, StoreError};
use super::setting::Change;
use crate::base::clock::Timestamp;
use crate::domain::connector::ConnectorId;

const ONE: &str = "SELECT number, sha256, given_at_us, given_by FROM sheets WHERE connector_key = $1";
const GIVE: &str = "INSERT INTO sheets (connector_key, number, sha256, given_at_us, given_by) VALUES ($1, 1, $2, $3, $4) \
     ON CONFLICT (connector_key) DO UPDATE SET number = sheets.number + 1, sha256 = excluded.sha256, \
     given_at_us = excluded.given_at_us, given_by = excluded.given_by RETURNING number";

/// A sheet that a partner has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// Counts the sheets of this partner.
    pub number: u64,
    /// Digest of its facts, hex.
    pub sha256: String,
    /// When.
    pub at: Timestamp,
    /// The administrator's name.
    pub by: String,
}

/// The newest sheet of this connector's partner.
pub async fn last(db: &Db, id: &ConnectorId) -> Result<Option<Given>, StoreError> {
    let Some(row) = sqlx::query(ONE).bind(id.key()).fetch_optional(db.reader()).await? else { return Ok(None) };
    Ok(Some(Given {
        number: row.try_get::<i64, _>(0)?.unsigned_abs(),
        sha256: row.try_get(1)?,
        at: Timestamp::from_us(row.try_get(2)?),
        by: row.try_get(3)?,
    }))
}

/// The partner was given a sheet with these facts. Returns its number.
pub async fn give(db: &Db, id: &ConnectorId, sha256: &str, change: &Change<'_>) -> Result<u64, StoreError> {
    let mut tx = db.begin().await?;
    let query = sqlx::query(GIVE).bind(id.key()).bind(sha256).bind(change.at.us()).bind(change.who);
    let number: i64 = query.fetch_one(&mut *tx).await?.try_get(0)?;
    let (subject, after) = (format!("connector {id}"), format!("sheet {number}"));
    let entry = audit::Entry { subject: &subject, key: "sheet given to the partner", before: "", after: &after };
    audit::add(&mut tx, change, &entry).await?;
    tx.commit().await?;
    Ok(number.unsigned_abs())
}
