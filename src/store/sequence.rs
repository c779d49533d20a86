//! A counter per connector, for the `%Seq%` macro.

use sqlx::Row;

use super::open::{Db, StoreError};

const NEXT: &str = "INSERT INTO sequences (connector_key, last) VALUES ($1, 1) \
     ON CONFLICT (connector_key) DO UPDATE SET last = sequences.last + 1 RETURNING last";

/// The connector's next number, beginning with 1. No number is given twice; some may be skipped.
pub async fn next(db: &Db, connector_key: &str) -> Result<u64, StoreError> {
    let row = sqlx::query(NEXT).bind(connector_key).fetch_one(db.writer()).await?;
    Ok(row.try_get::<i64, _>(0)?.unsigned_abs())
}
