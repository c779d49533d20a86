//! Transfer records: every upload and download, complete or broken off.

use sqlx::{AssertSqlSafe, Row};

use super::cell::{Cell, cells};
use super::commit::signed;
use super::open::{Db, StoreError};
use super::receipt::Cursor;
use crate::base::clock::Timestamp;
use crate::base::id::{ReceiptId, TransferId};
use crate::base::words::words;
use crate::domain::receipt::Ending;

const SELECT: &str = "SELECT id, direction, connector, path, bytes_moved, offset_bytes, begun_at_us, ended_at_us, ending, \
     complete, remote, tls, session_id, receipt_id, reply FROM transfers";
const SINCE: &str = " WHERE ended_at_us >= $4";
// `+ 0`: the search uses the few ids, not the time.
const WITH_IDS: &str = " WHERE id IN (SELECT value FROM json_each($7)) AND ended_at_us + 0 >= $4";

words! {
    /// Which way bytes go, from our side.
    pub enum Direction {
        /// From the partner.
        Receive = "receive";
        /// To the partner.
        Send = "send";
    }
}

/// One upload or download.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// Its id.
    pub id: TransferId,
    /// Which way.
    pub direction: Direction,
    /// The connector's id.
    pub connector: String,
    /// The client's path.
    pub path: String,
    /// Bytes that went over the data connection.
    pub bytes_moved: u64,
    /// The offset it began at.
    pub offset_bytes: u64,
    /// When it began.
    pub begun_at: Timestamp,
    /// When it ended.
    pub ended_at: Timestamp,
    /// How the data connection ended.
    pub ending: Ending,
    /// Whether all of it arrived.
    pub complete: bool,
    /// The partner's address.
    pub remote: String,
    /// TLS version and cipher; empty in clear.
    pub tls: String,
    /// The session.
    pub session_id: String,
    /// The receipt it led to.
    pub receipt_id: Option<ReceiptId>,
    /// What the client was told.
    pub reply: String,
}

/// The names of the cells of a [`row`].
pub(super) const CELLS: &str = "id direction connector path bytes_moved offset_bytes begun_at_us ended_at_us ending complete remote \
     tls session_id receipt_id reply";

/// The cells of one for a group commit.
pub(super) fn row(transfer: &Transfer) -> Vec<Cell> {
    cells![
        transfer.id.as_str(),
        transfer.direction.name(),
        &transfer.connector,
        &transfer.path,
        signed(transfer.bytes_moved),
        signed(transfer.offset_bytes),
        transfer.begun_at.us(),
        transfer.ended_at.us(),
        transfer.ending.name(),
        transfer.complete,
        &transfer.remote,
        &transfer.tls,
        &transfer.session_id,
        transfer.receipt_id.as_ref().map(ReceiptId::as_str),
        &transfer.reply,
    ]
}

/// The filter of [`page`]. Empty: everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// One connector, by its id as recorded.
    pub connector: Option<String>,
    /// One way.
    pub direction: Option<Direction>,
    /// Complete ones, or incomplete ones.
    pub complete: Option<bool>,
    /// Ended at or after.
    pub since: Option<Timestamp>,
    /// Only these, as a JSON array of their ids.
    pub ids: Option<String>,
}

/// Transfers that ended before `before`, newest first.
pub async fn page(db: &Db, filter: &Filter, before: Option<&Cursor>, count: i64) -> Result<Vec<Transfer>, StoreError> {
    // Only constant pieces are joined here. A clause for every absent filter would keep the database from its indexes.
    let mut sql = String::from(SELECT);
    let of_ids = filter.ids.is_some();
    let clauses = [
        (of_ids, WITH_IDS),
        (!of_ids, SINCE),
        (filter.connector.is_some() && !of_ids, " AND connector = $1"),
        (filter.connector.is_some() && of_ids, " AND connector || '' = $1"),
        (filter.direction.is_some(), " AND direction = $2"),
        (filter.complete == Some(true), " AND complete = 1"),
        (filter.complete == Some(false), " AND complete = 0"),
        (before.is_some(), " AND (ended_at_us, id) < ($5, $6)"),
    ];
    sql.extend(clauses.iter().filter(|(wanted, _)| *wanted).map(|(_, clause)| *clause));
    sql.push_str(" ORDER BY ended_at_us DESC, id DESC LIMIT $3");
    let query = sqlx::query(AssertSqlSafe(sql))
        .bind(filter.connector.as_deref().unwrap_or_default())
        .bind(filter.direction.map_or("", Direction::name))
        .bind(count)
        .bind(filter.since.map_or(i64::MIN, Timestamp::us))
        .bind(before.map_or(i64::MAX, |before| before.completed_at.us()))
        .bind(before.map_or("", |before| before.id.as_str()))
        .bind(filter.ids.as_deref());
    query.fetch_all(db.reader()).await?.iter().map(decode).collect()
}

fn decode(row: &sqlx::sqlite::SqliteRow) -> Result<Transfer, StoreError> {
    let (id, direction, ending): (String, String, String) = (row.try_get(0)?, row.try_get(1)?, row.try_get(8)?);
    let unreadable = |what: &str| StoreError::Unreadable(format!("transfer with {what}"));
    Ok(Transfer {
        id: TransferId::parse(&id).ok_or_else(|| unreadable(&id))?,
        direction: Direction::parse(&direction).ok_or_else(|| unreadable(&direction))?,
        connector: row.try_get(2)?,
        path: row.try_get(3)?,
        bytes_moved: row.try_get::<i64, _>(4)?.unsigned_abs(),
        offset_bytes: row.try_get::<i64, _>(5)?.unsigned_abs(),
        begun_at: Timestamp::from_us(row.try_get(6)?),
        ended_at: Timestamp::from_us(row.try_get(7)?),
        ending: Ending::parse(&ending).ok_or_else(|| unreadable(&ending))?,
        complete: row.try_get::<i64, _>(9)? == 1,
        remote: row.try_get(10)?,
        tls: row.try_get(11)?,
        session_id: row.try_get(12)?,
        receipt_id: row.try_get::<Option<String>, _>(13)?.as_deref().and_then(ReceiptId::parse),
        reply: row.try_get(14)?,
    })
}
