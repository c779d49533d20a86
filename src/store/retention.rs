//! What is older than it is kept: counted for a preview, and removed in small steps, so that the one writer is never held
//! for long. The audit is no part of it: nothing removes from that.

use sqlx::Row;

use super::open::{Db, StoreError};
use crate::base::clock::Timestamp;

/// Rows removed in one transaction.
pub const STEP_ROWS: i64 = 200;

const COUNT_RECEIPTS: &str = "SELECT COUNT(*) FROM receipts WHERE completed_at_us < $1 AND publishing = 0 \
     AND status <> 'waiting' AND id NOT IN (SELECT receipt_id FROM holds)";
const REMOVE_RECEIPTS: &str = "DELETE FROM receipts WHERE id IN (SELECT id FROM receipts WHERE completed_at_us < $1 \
     AND publishing = 0 AND status <> 'waiting' AND id NOT IN (SELECT receipt_id FROM holds) \
     ORDER BY completed_at_us LIMIT $2)";
const REMOVE_NAMES: &str = "DELETE FROM receipt_names WHERE receipt_id IN (SELECT receipt_id FROM receipt_names \
     WHERE receipt_id NOT IN (SELECT id FROM receipts) LIMIT $1)";
const COUNT_TRANSFERS: &str = "SELECT COUNT(*) FROM transfers WHERE ended_at_us < $1";
const REMOVE_TRANSFERS: &str = "DELETE FROM transfers WHERE id IN (SELECT id FROM transfers WHERE ended_at_us < $1 \
     ORDER BY ended_at_us LIMIT $2)";
const COUNT_EVENTS: &str = "SELECT COUNT(*) FROM events WHERE at_us < $1 AND held = 0 \
     AND (receipt_id IS NULL OR receipt_id NOT IN (SELECT receipt_id FROM holds))";
const REMOVE_EVENTS: &str = "DELETE FROM events WHERE id IN (SELECT id FROM events WHERE at_us < $1 AND held = 0 \
     AND (receipt_id IS NULL OR receipt_id NOT IN (SELECT receipt_id FROM holds)) ORDER BY at_us LIMIT $2)";
const COUNT_REFUSALS: &str = "SELECT COUNT(*) FROM refusals WHERE last_at_us < $1";
const REMOVE_REFUSALS: &str = "DELETE FROM refusals WHERE id IN (SELECT id FROM refusals WHERE last_at_us < $1 \
     ORDER BY last_at_us LIMIT $2)";
const COUNT_TRANSCRIPTS: &str = "SELECT COUNT(*) FROM refusals WHERE last_at_us < $1 AND transcript <> ''";
const REMOVE_TRANSCRIPTS: &str = "UPDATE refusals SET transcript = '' WHERE id IN (SELECT id FROM refusals \
     WHERE last_at_us < $1 AND transcript <> '' ORDER BY last_at_us LIMIT $2)";
const COUNT_SESSIONS: &str = "SELECT COUNT(*) FROM sessions WHERE ended_at_us < $1";
const REMOVE_SESSIONS: &str = "DELETE FROM sessions WHERE id IN (SELECT id FROM sessions WHERE ended_at_us < $1 \
     ORDER BY ended_at_us LIMIT $2)";

const COUNT_DELIVERIES: &str = "SELECT COUNT(*) FROM deliveries WHERE ended_at_us < $1 AND ended_at_us IS NOT NULL \
     AND (receipt_id IS NULL OR receipt_id NOT IN (SELECT receipt_id FROM holds))";
const REMOVE_DELIVERIES: &str = "DELETE FROM deliveries WHERE id IN (SELECT id FROM deliveries WHERE ended_at_us < $1 \
     AND ended_at_us IS NOT NULL AND (receipt_id IS NULL OR receipt_id NOT IN (SELECT receipt_id FROM holds)) \
     ORDER BY ended_at_us LIMIT $2)";
const COUNT_WINDOWS: &str =
    "SELECT COUNT(*) FROM sla_windows WHERE ends_us < $1 AND state NOT IN ('pending', 'at_risk')";
const REMOVE_WINDOWS: &str = "DELETE FROM sla_windows WHERE rowid IN (SELECT rowid FROM sla_windows WHERE ends_us < $1 \
     AND state NOT IN ('pending', 'at_risk') ORDER BY ends_us LIMIT $2)";

/// A kind of record that is kept for a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Records {
    /// Rows of the Receive table. What a delivery still needs stays.
    Receipts,
    /// Records of uploads and downloads.
    Transfers,
    /// Events. What a delivery still needs stays.
    Events,
    /// Refusals.
    Refusals,
    /// The transcripts within refusals, which stay.
    Transcripts,
    /// Records of sessions that have ended, with what was said in them.
    Sessions,
    /// Deliveries that have ended, with their attempts. What another delivery of the same file still needs stays.
    Deliveries,
    /// How windows of SLAs stood.
    Windows,
}

impl Records {
    /// Every kind.
    pub const ALL: [Self; 8] = [
        Self::Receipts,
        Self::Transfers,
        Self::Events,
        Self::Refusals,
        Self::Transcripts,
        Self::Sessions,
        Self::Deliveries,
        Self::Windows,
    ];

    const fn count(self) -> &'static str {
        match self {
            Self::Receipts => COUNT_RECEIPTS,
            Self::Transfers => COUNT_TRANSFERS,
            Self::Events => COUNT_EVENTS,
            Self::Refusals => COUNT_REFUSALS,
            Self::Transcripts => COUNT_TRANSCRIPTS,
            Self::Sessions => COUNT_SESSIONS,
            Self::Deliveries => COUNT_DELIVERIES,
            Self::Windows => COUNT_WINDOWS,
        }
    }

    const fn remove(self) -> &'static str {
        match self {
            Self::Receipts => REMOVE_RECEIPTS,
            Self::Transfers => REMOVE_TRANSFERS,
            Self::Events => REMOVE_EVENTS,
            Self::Refusals => REMOVE_REFUSALS,
            Self::Transcripts => REMOVE_TRANSCRIPTS,
            Self::Sessions => REMOVE_SESSIONS,
            Self::Deliveries => REMOVE_DELIVERIES,
            Self::Windows => REMOVE_WINDOWS,
        }
    }
}

/// How many records are older than `before`.
pub async fn count(db: &Db, records: Records, before: Timestamp) -> Result<u64, StoreError> {
    let row = sqlx::query(records.count()).bind(before.us()).fetch_one(db.reader()).await?;
    Ok(row.try_get::<i64, _>(0)?.unsigned_abs())
}

/// Removes the oldest of them, at most [`STEP_ROWS`]; how many.
pub async fn remove_some(db: &Db, records: Records, before: Timestamp) -> Result<u64, StoreError> {
    let mut tx = db.begin().await?;
    let removed = sqlx::query(records.remove()).bind(before.us()).bind(STEP_ROWS).execute(&mut *tx).await?;
    if records == Records::Receipts {
        sqlx::query(REMOVE_NAMES).bind(STEP_ROWS).execute(&mut *tx).await?;
    }
    tx.commit().await?;
    Ok(removed.rows_affected())
}
