//! Holds: which receipts own bytes beyond the name of their file (PRODUCT 5.8). A row is written before the bytes are
//! held and removed after they are freed: without a row nothing is held.

use sqlx::sqlite::SqliteRow;
use sqlx::{Row, Sqlite, Transaction};

use super::commit::signed;
use super::open::{Db, StoreError};
use super::receipt::{Receipt, array, put_status};
use crate::base::clock::Timestamp;
use crate::base::id::ReceiptId;
use crate::domain::receipt::Status;

// What `decode` reads, in this order.
macro_rules! select {
    ($rest:literal) => {
        concat!("SELECT receipt_id, connector_key, folder, size_bytes, since_us, ended FROM holds ", $rest)
    };
}

const ADD: &str = "INSERT INTO holds (receipt_id, connector_key, folder, size_bytes, since_us, ended) \
     VALUES ($1, $2, $3, $4, $5, 0) ON CONFLICT (receipt_id) DO UPDATE SET ended = 0";

const ONE: &str = select!("WHERE receipt_id = $1");
const SOME: &str = select!("WHERE receipt_id IN (SELECT value FROM json_each($1))");
const ALL: &str = select!("ORDER BY receipt_id");
const ENDED: &str = select!("WHERE ended = 1 AND receipt_id > $1 ORDER BY receipt_id LIMIT 1000");
const PASSED_ALONG: &str = "SELECT h.receipt_id FROM holds h CROSS JOIN receipts r ON r.id = h.receipt_id \
     WHERE r.status = 'passed_along' ORDER BY h.receipt_id";
const USAGE: &str = "SELECT COUNT(*), CAST(COALESCE(SUM(size_bytes), 0) AS BIGINT) FROM holds";
const END: &str = "UPDATE holds SET ended = 1 WHERE receipt_id = $1";
const DROP_DELIVERIES: &str = "DELETE FROM deliveries WHERE receipt_id = $1 AND attempts = 0";
const FORGET: &str = "DELETE FROM holds WHERE receipt_id IN (SELECT value FROM json_each($1))";

/// Bytes that a receipt owns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// Whose they are.
    pub receipt: ReceiptId,
    /// The connector's id in lower case.
    pub connector_key: String,
    /// The Receive folder they are held in, as a path of this machine.
    pub folder: String,
    /// Their number.
    pub size_bytes: u64,
    /// Since when.
    pub since: Timestamp,
    /// Whether no delivery needs them any longer.
    pub ended: bool,
}

/// From now on the receipt owns its bytes. `folder` is the Receive folder of its file. The commit of an upload with
/// deliveries adds its hold in its own statement (`store::group`).
pub async fn record(db: &Db, receipt: &Receipt, folder: &str) -> Result<(), StoreError> {
    let mut tx = db.begin().await?;
    sqlx::query(ADD)
        .bind(receipt.id.as_str())
        .bind(receipt.connector_key())
        .bind(folder)
        .bind(signed(receipt.size_bytes))
        .bind(receipt.completed_at.us())
        .execute(&mut *tx)
        .await?;
    Ok(tx.commit().await?)
}

/// The receipt's hold.
pub async fn one(db: &Db, receipt: &ReceiptId) -> Result<Option<Hold>, StoreError> {
    sqlx::query(ONE).bind(receipt.as_str()).fetch_optional(db.reader()).await?.as_ref().map(decode).transpose()
}

/// The holds of these receipts, in no order.
pub async fn some(db: &Db, receipts: &[ReceiptId]) -> Result<Vec<Hold>, StoreError> {
    sqlx::query(SOME).bind(array(receipts)).fetch_all(db.reader()).await?.iter().map(decode).collect()
}

/// Every hold, oldest receipt first.
pub async fn all(db: &Db) -> Result<Vec<Hold>, StoreError> {
    sqlx::query(ALL).fetch_all(db.reader()).await?.iter().map(decode).collect()
}

/// Holds that no delivery needs any longer, after that receipt, at most 1,000.
pub async fn ended(db: &Db, after: &str) -> Result<Vec<Hold>, StoreError> {
    sqlx::query(ENDED).bind(after).fetch_all(db.reader()).await?.iter().map(decode).collect()
}

/// Receipts that are passed along and hold bytes: their files may still be in Receive.
pub async fn passed_along(db: &Db) -> Result<Vec<ReceiptId>, StoreError> {
    let rows = sqlx::query(PASSED_ALONG).fetch_all(db.reader()).await?;
    rows.iter().map(read_id).collect()
}

/// How many receipts hold bytes, and how many bytes in all.
pub async fn usage(db: &Db) -> Result<(u64, u64), StoreError> {
    let row = sqlx::query(USAGE).fetch_one(db.reader()).await?;
    Ok((row.try_get::<i64, _>(0)?.unsigned_abs(), row.try_get::<i64, _>(1)?.unsigned_abs()))
}

/// The last delivery has ended.
pub async fn end(db: &Db, receipt: &ReceiptId) -> Result<(), StoreError> {
    sqlx::query(END).bind(receipt.as_str()).execute(db.writer()).await?;
    Ok(())
}

/// The receipt's bytes were lost before 226: nobody is told of it, nothing is delivered, and nothing is held for that.
pub async fn lost(db: &Db, receipt: &ReceiptId) -> Result<(), StoreError> {
    let mut tx = db.begin().await?;
    lose(&mut tx, receipt).await?;
    Ok(tx.commit().await?)
}

/// The same within another transaction.
pub(super) async fn lose(tx: &mut Transaction<'_, Sqlite>, receipt: &ReceiptId) -> sqlx::Result<()> {
    for statement in [DROP_DELIVERIES, END] {
        sqlx::query(statement).bind(receipt.as_str()).execute(&mut **tx).await?;
    }
    put_status(tx, receipt, Status::Lost).await
}

/// It could not be held: what [`record`] added goes again, or is ended as it was `before`.
pub async fn take_back(db: &Db, receipt: &ReceiptId, before: Option<&Hold>) -> Result<(), StoreError> {
    match before {
        None => forget(db, std::slice::from_ref(receipt)).await,
        Some(before) if before.ended => end(db, receipt).await,
        Some(_) => Ok(()),
    }
}

/// Their bytes are freed.
pub async fn forget(db: &Db, receipts: &[ReceiptId]) -> Result<(), StoreError> {
    sqlx::query(FORGET).bind(array(receipts)).execute(db.writer()).await?;
    Ok(())
}

fn decode(row: &SqliteRow) -> Result<Hold, StoreError> {
    Ok(Hold {
        receipt: read_id(row)?,
        connector_key: row.try_get(1)?,
        folder: row.try_get(2)?,
        size_bytes: row.try_get::<i64, _>(3)?.unsigned_abs(),
        since: Timestamp::from_us(row.try_get(4)?),
        ended: row.try_get::<i64, _>(5)? == 1,
    })
}

fn read_id(row: &SqliteRow) -> Result<ReceiptId, StoreError> {
    let id: String = row.try_get(0)?;
    ReceiptId::parse(&id).ok_or_else(|| StoreError::Unreadable(format!("hold of {id}")))
}
