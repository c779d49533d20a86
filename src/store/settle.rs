//! Where the files of receipts are once their deliveries have ended, and whether their bytes are still needed.

use std::sync::LazyLock;

use sqlx::{AssertSqlSafe, Sqlite, Transaction};

use super::open::{Db, StoreError};
use super::receipt;
use crate::base::id::ReceiptId;

/// Which deliveries an administrator can stop: those that have not ended, and those to a connector that were given up.
macro_rules! may_stop {
    () => {
        "(ended_at_us IS NULL OR state = 'failed' AND substr(target, 1, 10) = 'connector:')"
    };
}
pub(super) use may_stop;

// Whether the delivery `d` may still need its file: it has not ended, or no connector has what was given up, and nobody
// has decided that none will.
macro_rules! is_owed {
    () => {
        "(d.ended_at_us IS NULL OR d.state = 'failed' AND substr(d.target, 1, 10) = 'connector:' \
         AND NOT EXISTS (SELECT 1 FROM deliveries e WHERE e.receipt_id = d.receipt_id AND e.instead_of = d.id))"
    };
}

// `$1` is an array of receipt ids. COALESCE keeps the database from the index of statuses, where it would scan
// everything that waits.
pub(super) const END_HOLDS: &str = concat!(
    "UPDATE holds SET ended = 1 WHERE receipt_id IN (SELECT value FROM json_each($1)) \
     AND NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.receipt_id = holds.receipt_id AND ",
    is_owed!(),
    ")"
);
pub(super) const PASSED_ALONG: &str = "UPDATE receipts SET status = 'passed_along' WHERE id IN (SELECT value FROM json_each($1)) \
     AND COALESCE(status, '') IN ('in_receive', 'waiting') AND NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.receipt_id = receipts.id \
     AND d.source_key = receipts.connector_key AND substr(d.target, 1, 10) = 'connector:' AND d.state <> 'delivered' \
     AND NOT EXISTS (SELECT 1 FROM deliveries e WHERE e.receipt_id = d.receipt_id AND e.instead_of = d.id \
     AND e.state = 'delivered')) AND EXISTS (SELECT 1 FROM deliveries d WHERE d.receipt_id = receipts.id \
     AND d.source_key = receipts.connector_key AND substr(d.target, 1, 10) = 'connector:' AND d.state = 'delivered') \
     RETURNING id";
pub(super) const STAYS: &str = concat!(
    "UPDATE receipts SET status = 'in_receive' WHERE id IN (SELECT value FROM json_each($1)) \
     AND COALESCE(status, '') = 'waiting' AND NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.receipt_id = receipts.id \
     AND d.source_key = receipts.connector_key AND substr(d.target, 1, 10) = 'connector:' AND ",
    is_owed!(),
    ")"
);
const END_IDLE_HOLDS: &str = concat!(
    "UPDATE holds SET ended = 1 WHERE ended = 0 AND NOT EXISTS (SELECT 1 FROM deliveries d \
     WHERE d.receipt_id = holds.receipt_id AND ",
    is_owed!(),
    ")"
);

/// All of it. Returns the receipts that are passed along by this.
pub(super) static SETTLE: LazyLock<String> = LazyLock::new(|| [END_HOLDS, PASSED_ALONG, STAYS].join(";\n"));

/// After deliveries of these receipts have ended: sets where their files are, and whether their bytes are still needed.
pub(super) async fn settle(tx: &mut Transaction<'_, Sqlite>, receipts: &[ReceiptId]) -> sqlx::Result<()> {
    let query = sqlx::query(AssertSqlSafe(SETTLE.as_str())).bind(receipt::array(receipts));
    query.fetch_all(&mut **tx).await.map(drop)
}

/// At start: bytes that no delivery needs are not held for ever.
pub async fn end_idle_holds(db: &Db) -> Result<(), StoreError> {
    sqlx::query(END_IDLE_HOLDS).execute(db.writer()).await?;
    Ok(())
}
