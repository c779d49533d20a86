//! Records past their retention: counted for a preview, and removed in small steps. A reader finds what may go, and the
//! one writer only removes it by id, so that no 226 waits while rows that stay are skipped. The audit is exempt:
//! nothing is ever removed from it.

use sqlx::Row;

use super::open::{Db, StoreError};
use super::set_off;
use crate::base::clock::Timestamp;
use crate::domain::connector::ConnectorId;

/// Rows removed in one transaction.
pub const STEP_ROWS: i64 = 200;

const COUNT_RECEIPTS: &str = "SELECT COUNT(*) FROM receipts WHERE completed_at_us < $1 AND publishing = 0 \
     AND status <> 'waiting' AND NOT EXISTS (SELECT 1 FROM holds WHERE receipt_id = receipts.id) \
     AND connector_key NOT IN (SELECT owner FROM setting_values WHERE scope = 'connector' \
     AND key = 'receipts_keep_days' AND value <> '')";
const OLD_RECEIPTS: &str = "SELECT id, completed_at_us FROM receipts WHERE completed_at_us < $1 AND publishing = 0 \
     AND status <> 'waiting' AND NOT EXISTS (SELECT 1 FROM holds WHERE receipt_id = receipts.id) \
     AND completed_at_us >= $2 AND connector_key NOT IN (SELECT owner FROM setting_values WHERE scope = 'connector' \
     AND key = 'receipts_keep_days' AND value <> '') ORDER BY completed_at_us LIMIT $3";
const COUNT_RECEIPTS_OF: &str = "SELECT COUNT(*) FROM receipts WHERE completed_at_us < $1 AND connector_key = $2 \
     AND publishing = 0 AND status <> 'waiting' AND NOT EXISTS (SELECT 1 FROM holds WHERE receipt_id = receipts.id)";
const OLD_RECEIPTS_OF: &str = "SELECT id, completed_at_us FROM receipts WHERE completed_at_us < $1 \
     AND completed_at_us >= $2 AND connector_key = $4 AND publishing = 0 AND status <> 'waiting' \
     AND NOT EXISTS (SELECT 1 FROM holds WHERE receipt_id = receipts.id) ORDER BY completed_at_us LIMIT $3";
const REMOVE_RECEIPT: &str = "DELETE FROM receipts WHERE id = $1 AND publishing = 0 AND status <> 'waiting' \
     AND NOT EXISTS (SELECT 1 FROM holds WHERE receipt_id = receipts.id)";
const REMOVE_NAMES: &str = "DELETE FROM receipt_names WHERE receipt_id = $1";

const COUNT_TRANSFERS: &str = "SELECT COUNT(*) FROM transfers WHERE ended_at_us < $1 AND connector NOT IN \
     (SELECT c.id FROM connectors c JOIN setting_values v ON v.owner = c.id_key WHERE v.scope = 'connector' \
     AND v.key = 'transfers_keep_days' AND v.value <> '')";
const OLD_TRANSFERS: &str = "SELECT id, ended_at_us FROM transfers WHERE ended_at_us < $1 AND ended_at_us >= $2 \
     AND connector NOT IN (SELECT c.id FROM connectors c JOIN setting_values v ON v.owner = c.id_key \
     WHERE v.scope = 'connector' AND v.key = 'transfers_keep_days' AND v.value <> '') ORDER BY ended_at_us LIMIT $3";
const COUNT_TRANSFERS_OF: &str = "SELECT COUNT(*) FROM transfers WHERE ended_at_us < $1 AND connector = $2";
const OLD_TRANSFERS_OF: &str = "SELECT id, ended_at_us FROM transfers WHERE ended_at_us < $1 AND ended_at_us >= $2 \
     AND connector = $4 ORDER BY ended_at_us LIMIT $3";
const REMOVE_TRANSFER: &str = "DELETE FROM transfers WHERE id = $1";

const COUNT_EVENTS: &str = "SELECT COUNT(*) FROM events WHERE at_us < $1 \
     AND NOT EXISTS (SELECT 1 FROM holds WHERE receipt_id = events.receipt_id) \
     AND NOT EXISTS (SELECT 1 FROM deliveries WHERE receipt_id IS NULL AND event_id = events.id AND ended_at_us IS NULL)";
const OLD_EVENTS: &str = "SELECT id, at_us FROM events WHERE at_us < $1 AND at_us >= $2 \
     AND NOT EXISTS (SELECT 1 FROM holds WHERE receipt_id = events.receipt_id) \
     AND NOT EXISTS (SELECT 1 FROM deliveries WHERE receipt_id IS NULL AND event_id = events.id AND ended_at_us IS NULL) \
     ORDER BY at_us LIMIT $3";
const REMOVE_EVENT: &str = "DELETE FROM events WHERE id = $1 \
     AND NOT EXISTS (SELECT 1 FROM holds WHERE receipt_id = events.receipt_id) \
     AND NOT EXISTS (SELECT 1 FROM deliveries WHERE receipt_id IS NULL AND event_id = events.id AND ended_at_us IS NULL)";

const COUNT_REFUSALS: &str = "SELECT COUNT(*) FROM refusals WHERE last_at_us < $1";
const OLD_REFUSALS: &str = "SELECT id, last_at_us FROM refusals WHERE last_at_us < $1 AND last_at_us >= $2 \
     ORDER BY last_at_us LIMIT $3";
const REMOVE_REFUSAL: &str = "DELETE FROM refusals WHERE id = $1";

const COUNT_TRANSCRIPTS: &str = "SELECT COUNT(*) FROM refusals WHERE last_at_us < $1 AND transcript <> ''";
const OLD_TRANSCRIPTS: &str = "SELECT id, last_at_us FROM refusals WHERE last_at_us < $1 AND last_at_us >= $2 \
     AND transcript <> '' ORDER BY last_at_us LIMIT $3";
const REMOVE_TRANSCRIPT: &str = "UPDATE refusals SET transcript = '' WHERE id = $1";

const COUNT_SESSIONS: &str = "SELECT COUNT(*) FROM sessions WHERE ended_at_us < $1";
const OLD_SESSIONS: &str = "SELECT id, ended_at_us FROM sessions WHERE ended_at_us < $1 AND ended_at_us >= $2 \
     ORDER BY ended_at_us LIMIT $3";
const REMOVE_SESSION: &str = "DELETE FROM sessions WHERE id = $1";

const COUNT_DELIVERIES: &str = "SELECT COUNT(*) FROM deliveries WHERE ended_at_us < $1 AND ended_at_us IS NOT NULL \
     AND NOT EXISTS (SELECT 1 FROM holds WHERE receipt_id = deliveries.receipt_id)";
const OLD_DELIVERIES: &str = "SELECT CAST(id AS TEXT), ended_at_us FROM deliveries WHERE ended_at_us < $1 AND ended_at_us >= $2 \
     AND ended_at_us IS NOT NULL AND NOT EXISTS (SELECT 1 FROM holds WHERE receipt_id = deliveries.receipt_id) ORDER BY ended_at_us LIMIT $3";
const REMOVE_DELIVERY: &str = "DELETE FROM deliveries WHERE id = CAST($1 AS BIGINT) AND ended_at_us IS NOT NULL \
     AND NOT EXISTS (SELECT 1 FROM holds WHERE receipt_id = deliveries.receipt_id)";

const COUNT_WINDOWS: &str =
    "SELECT COUNT(*) FROM sla_windows WHERE ends_us < $1 AND state NOT IN ('pending', 'at_risk')";
const OLD_WINDOWS: &str = "SELECT CAST(rowid AS TEXT), ends_us FROM sla_windows WHERE ends_us < $1 \
     AND ends_us >= $2 AND state NOT IN ('pending', 'at_risk') ORDER BY ends_us LIMIT $3";
const REMOVE_WINDOW: &str = "DELETE FROM sla_windows WHERE rowid = CAST($1 AS BIGINT) \
     AND state NOT IN ('pending', 'at_risk')";

/// A kind of record with a retention.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Records {
    /// Rows of the Receive table. Those that a delivery still needs stay.
    Receipts,
    /// Records of uploads and downloads.
    Transfers,
    /// Events. Those that a delivery still needs stay.
    Events,
    /// Refusals.
    Refusals,
    /// The transcripts of refusals; the refusals stay.
    Transcripts,
    /// Records of ended sessions, with their transcripts.
    Sessions,
    /// Ended deliveries, with their attempts. Those needed by another delivery of the same file stay.
    Deliveries,
    /// States of the windows of SLAs.
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

    const fn statements(self) -> Statements {
        let (count, oldest, remove) = match self {
            Self::Receipts => (COUNT_RECEIPTS, OLD_RECEIPTS, REMOVE_RECEIPT),
            Self::Transfers => (COUNT_TRANSFERS, OLD_TRANSFERS, REMOVE_TRANSFER),
            Self::Events => (COUNT_EVENTS, OLD_EVENTS, REMOVE_EVENT),
            Self::Refusals => (COUNT_REFUSALS, OLD_REFUSALS, REMOVE_REFUSAL),
            Self::Transcripts => (COUNT_TRANSCRIPTS, OLD_TRANSCRIPTS, REMOVE_TRANSCRIPT),
            Self::Sessions => (COUNT_SESSIONS, OLD_SESSIONS, REMOVE_SESSION),
            Self::Deliveries => (COUNT_DELIVERIES, OLD_DELIVERIES, REMOVE_DELIVERY),
            Self::Windows => (COUNT_WINDOWS, OLD_WINDOWS, REMOVE_WINDOW),
        };
        Statements { count, oldest, remove }
    }
}

/// The statements that count, find and remove records of a kind.
struct Statements {
    count: &'static str,
    oldest: &'static str,
    remove: &'static str,
}

/// Which records are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    /// All of a kind, except receipts and transfers of connectors with a retention of their own.
    Generally(Records),
    /// Receipts of one connector.
    ReceiptsOf(ConnectorId),
    /// Records of uploads and downloads of one connector.
    TransfersOf(ConnectorId),
}

impl Kept {
    /// Their kind.
    pub const fn records(&self) -> Records {
        match self {
            Self::Generally(records) => *records,
            Self::ReceiptsOf(_) => Records::Receipts,
            Self::TransfersOf(_) => Records::Transfers,
        }
    }

    const fn statements(&self) -> Statements {
        let all = self.records().statements();
        match self {
            Self::Generally(_) => all,
            Self::ReceiptsOf(_) => Statements { count: COUNT_RECEIPTS_OF, oldest: OLD_RECEIPTS_OF, ..all },
            Self::TransfersOf(_) => Statements { count: COUNT_TRANSFERS_OF, oldest: OLD_TRANSFERS_OF, ..all },
        }
    }

    /// The connector, in the form of its column.
    fn owner(&self) -> Option<&str> {
        match self {
            Self::Generally(_) => None,
            Self::ReceiptsOf(id) => Some(id.key()),
            Self::TransfersOf(id) => Some(id.as_str()),
        }
    }
}

/// How many of them are older than `before`.
pub async fn count(db: &Db, kept: &Kept, before: Timestamp) -> Result<u64, StoreError> {
    let mut query = sqlx::query(kept.statements().count).bind(before.us());
    if let Some(owner) = kept.owner() {
        query = query.bind(owner);
    }
    Ok(query.fetch_one(db.reader()).await?.try_get::<i64, _>(0)?.unsigned_abs())
}

/// The progress of a removal.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    before: Timestamp,
    reached: i64,
}

impl Progress {
    /// Nothing older than `before` is removed yet.
    pub const fn begin(before: Timestamp) -> Self {
        Self { before, reached: i64::MIN }
    }
}

/// Removes the oldest of them, at most [`STEP_ROWS`]; returns how many. One that came into use since it was found
/// stays.
pub async fn remove_some(db: &Db, kept: &Kept, progress: &mut Progress) -> Result<u64, StoreError> {
    let statements = kept.statements();
    let mut query = sqlx::query(statements.oldest).bind(progress.before.us()).bind(progress.reached).bind(STEP_ROWS);
    if let Some(owner) = kept.owner() {
        query = query.bind(owner);
    }
    let found = query.fetch_all(db.reader()).await?;
    if found.is_empty() {
        return Ok(0);
    }
    let mut removed = 0;
    let mut tx = db.begin().await?;
    for row in &found {
        let id: String = row.try_get(0)?;
        let gone = sqlx::query(statements.remove).bind(&id).execute(&mut *tx).await?.rows_affected();
        if gone > 0 && kept.records() == Records::Receipts {
            sqlx::query(REMOVE_NAMES).bind(&id).execute(&mut *tx).await?;
        }
        removed += gone;
        progress.reached = row.try_get(1)?;
    }
    if removed > 0 && kept.records() == Records::Events {
        set_off::move_back(&mut tx).await?;
    }
    tx.commit().await?;
    Ok(removed)
}
