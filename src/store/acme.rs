//! The outcome of the last order at an authority (`domain::acme`).

use sqlx::Row;

use super::event::{self, Event};
use super::open::{Db, StoreError};
use super::setting;
use crate::base::clock::Timestamp;
use crate::domain::acme::Tried;

const GET: &str = "SELECT wish, issued_by, failures, message, tried_at_us, next_at_us FROM acme WHERE id = 1";
const PUT: &str = "INSERT INTO acme (id, wish, issued_by, failures, message, tried_at_us, next_at_us) \
     VALUES (1, $1, $2, $3, $4, $5, $6) ON CONFLICT (id) DO UPDATE SET wish = excluded.wish, \
     issued_by = excluded.issued_by, failures = excluded.failures, message = excluded.message, \
     tried_at_us = excluded.tried_at_us, next_at_us = excluded.next_at_us";
const AT_ONCE: &str = "UPDATE acme SET next_at_us = 0 WHERE id = 1";

/// The last order, if there was one.
pub async fn last(db: &Db) -> Result<Option<Tried>, StoreError> {
    let Some(row) = sqlx::query(GET).fetch_optional(db.reader()).await? else { return Ok(None) };
    Ok(Some(Tried {
        wish: row.try_get(0)?,
        issued_by: row.try_get(1)?,
        failures: u32::try_from(row.try_get::<i64, _>(2)?).unwrap_or(u32::MAX),
        message: row.try_get(3)?,
        at: Timestamp::from_us(row.try_get(4)?),
        next_at: Timestamp::from_us(row.try_get(5)?),
    }))
}

/// Keeps what came of an order, and tells of it by that event.
pub async fn put(db: &Db, tried: &Tried, event: Option<&Event>) -> Result<(), StoreError> {
    let mut tx = db.begin().await?;
    sqlx::query(PUT)
        .bind(&tried.wish)
        .bind(&tried.issued_by)
        .bind(i64::from(tried.failures))
        .bind(&tried.message)
        .bind(tried.at.us())
        .bind(tried.next_at.us())
        .execute(&mut *tx)
        .await?;
    if let Some(event) = event {
        event::add(&mut tx, event).await?;
    }
    Ok(tx.commit().await?)
}

/// Lets the next order begin at once: whoever follows the configuration looks immediately.
pub async fn at_once(db: &Db) -> Result<(), StoreError> {
    let mut tx = db.begin().await?;
    sqlx::query(AT_ONCE).execute(&mut *tx).await?;
    setting::bump(&mut tx).await?;
    Ok(tx.commit().await?)
}
