//! How busy each connector is and was: what the Flows page tells of all of them, in one statement for partners and one for
//! arrows, from indexes alone. A file that is just getting its name counts already.

use std::collections::HashMap;

use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::open::{Db, StoreError};
use crate::base::clock::Timestamp;

/// Files of a connector or an arrow that are counted: more are *over* that many.
pub const COUNTED_MAX: u64 = 100_000;

const RECEIVED: &str = "SELECT c.id_key, (SELECT COUNT(*) FROM (SELECT 1 FROM receipts r WHERE r.connector_key = c.id_key \
     AND r.completed_at_us >= $1 LIMIT $2) AS lately), \
     (SELECT MAX(completed_at_us) FROM receipts r WHERE r.connector_key = c.id_key) FROM connectors c";
const DELIVERED: &str = "SELECT a.from_key, a.to_key, (SELECT COUNT(*) FROM (SELECT 1 FROM deliveries d \
     WHERE d.source_key = a.from_key AND d.target = 'connector:' || a.to_key AND d.state = 'delivered' \
     AND d.ended_at_us >= $1 AND d.ended_at_us IS NOT NULL LIMIT $2) AS lately), (SELECT MAX(d.ended_at_us) \
     FROM deliveries d WHERE d.source_key = a.from_key AND d.target = 'connector:' || a.to_key \
     AND d.state = 'delivered' AND d.ended_at_us IS NOT NULL) FROM arrows a";

/// How many files lately, and when the last was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Busy {
    /// Files since the time that was asked for, at most [`COUNTED_MAX`].
    pub files: u64,
    /// The last file ever, as far as records are kept.
    pub last: Option<Timestamp>,
}

/// What every connector received since then, by its id in lower case.
pub async fn received(db: &Db, since: Timestamp) -> Result<HashMap<String, Busy>, StoreError> {
    let rows = ask(db, RECEIVED, since).await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, busy(row, 1)?))).collect()
}

/// What every arrow delivered since then, by the ids it leads from and to in lower case.
pub async fn delivered(db: &Db, since: Timestamp) -> Result<HashMap<(String, String), Busy>, StoreError> {
    let rows = ask(db, DELIVERED, since).await?;
    rows.iter().map(|row| Ok(((row.try_get(0)?, row.try_get(1)?), busy(row, 2)?))).collect()
}

async fn ask(db: &Db, statement: &'static str, since: Timestamp) -> Result<Vec<SqliteRow>, StoreError> {
    let query = sqlx::query(statement).bind(since.us()).bind(COUNTED_MAX.cast_signed());
    Ok(query.fetch_all(db.reader()).await?)
}

fn busy(row: &SqliteRow, files: usize) -> Result<Busy, StoreError> {
    let last = row.try_get::<Option<i64>, _>(files + 1)?.map(Timestamp::from_us);
    Ok(Busy { files: row.try_get::<i64, _>(files)?.unsigned_abs(), last })
}
