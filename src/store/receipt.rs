//! Receipts: rows of the Receive table. Only `commit` adds them.

use std::collections::HashMap;
use std::fmt::Write;

use serde_json::Value;
use sqlx::sqlite::{SqliteExecutor, SqliteRow};
use sqlx::{AssertSqlSafe, Row, Sqlite, Transaction};

use super::commit::signed;
use super::event;
use super::open::{Db, StoreError};
use crate::base::clock::Timestamp;
use crate::base::id::{EventId, IdSource, ReceiptId, SessionId};
use crate::domain::receipt::{Ending, Proof, Status};

/// One row of the Receive table.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "columns of a row, independent of each other")]
pub struct Receipt {
    /// Its id; also names the part while it is written.
    pub id: ReceiptId,
    /// The connector's id as written.
    pub connector: String,
    /// The client's name for the file.
    pub name: String,
    /// As the partner sees it: `/Receive/a`.
    pub client_path: String,
    /// Its path on disk: differs if the scheme or *keep both* renamed it.
    pub stored_path: String,
    /// Bytes.
    pub size_bytes: u64,
    /// Lower-case hex.
    pub sha256: String,
    /// Header names and values.
    pub headers: Vec<(String, String)>,
    /// When its first byte was expected.
    pub begun_at: Timestamp,
    /// When it was complete and synced.
    pub completed_at: Timestamp,
    /// The partner's address.
    pub remote_address: String,
    /// TLS version and cipher; empty in clear.
    pub tls: String,
    /// The session that brought it.
    pub session_id: SessionId,
    /// How the data connection ended.
    pub ending: Ending,
    /// The offset of the last part of a resumed upload; 0 when sent in one go.
    pub resumed_from: u64,
    /// Whether TYPE A was in force.
    pub ascii: bool,
    /// How sure it is that this is what the partner meant to send.
    pub proof: Proof,
    /// The receipt of the same connector, name and digest within 24 hours.
    pub duplicate_of: Option<ReceiptId>,
    /// Where the file is now.
    pub status: Status,
    /// Committed, but not yet known to have its final name.
    pub publishing: bool,
    /// The file's inode, for recovery.
    pub inode: u64,
    /// The part's name in staging, for recovery.
    pub staged_name: String,
    /// Whether the partner deleted it by its own name; the file stays under its stored name.
    pub hidden: bool,
    /// Whether its delivery has begun: it can no longer be renamed.
    pub taken_over: bool,
}

impl Receipt {
    /// The connector's id as indexed: in lower case.
    pub fn connector_key(&self) -> String {
        self.connector.to_ascii_lowercase()
    }
}

#[cfg(test)]
impl Receipt {
    /// A small, just committed file; tests change what they need.
    pub(crate) fn sample(ids: &crate::base::id::IdSource, connector: &str, at: Timestamp) -> Self {
        Self {
            id: ReceiptId::new(ids),
            connector: connector.to_owned(),
            name: "a.edi".to_owned(),
            client_path: "/Receive/a.edi".to_owned(),
            stored_path: "/Receive/a.edi".to_owned(),
            size_bytes: 7,
            sha256: String::new(),
            headers: Vec::new(),
            begun_at: at,
            completed_at: at,
            remote_address: String::new(),
            tls: String::new(),
            session_id: SessionId::new(ids),
            ending: Ending::Closed,
            resumed_from: 0,
            ascii: false,
            proof: Proof::C,
            duplicate_of: None,
            status: Status::InReceive,
            publishing: true,
            inode: 0,
            staged_name: String::new(),
            hidden: false,
            taken_over: false,
        }
    }
}

macro_rules! columns {
    () => {
        "id, connector, name, client_path, stored_path, size_bytes, sha256, headers, begun_at_us, completed_at_us, \
         remote_address, tls, session_id, ending, resumed_from, ascii, proof, duplicate_of, status, publishing, inode, \
         staged_name, hidden, taken_over"
    };
}

macro_rules! select {
    ($rest:literal) => {
        concat!("SELECT ", columns!(), " FROM receipts ", $rest)
    };
}

/// What [`decode`] reads.
pub(super) const COLUMNS: &str = columns!();

pub(super) const SELECT: &str = select!("");

/// The filter of [`page`]. Empty: everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Search {
    /// One connector, by its id in lower case.
    pub connector_key: Option<String>,
    /// One status.
    pub status: Option<Status>,
    /// Part of the name or path, without regard to case, or a whole id or SHA-256.
    pub text: Option<String>,
    /// Completed at or after.
    pub since: Option<Timestamp>,
    /// Only these, as written by [`array`].
    pub ids: Option<String>,
}

/// Where a page begins: the completion time and id of the row beside it; in the order of visibility, the time it became
/// visible.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// Its completion.
    pub completed_at: Timestamp,
    /// Its id.
    pub id: String,
}

/// Which rows a page has: those on one side of a given row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beside<T> {
    /// Rows before that one in time.
    Older(T),
    /// Rows after it in time.
    Newer(T),
}

impl<T> Beside<T> {
    /// The row beside the page.
    pub fn row(self) -> T {
        match self {
            Self::Older(row) | Self::Newer(row) => row,
        }
    }

    /// The same by reference.
    pub const fn as_ref(&self) -> Beside<&T> {
        match self {
            Self::Older(row) => Beside::Older(row),
            Self::Newer(row) => Beside::Newer(row),
        }
    }
}

/// One page, newest first, of receipts whose files have their final names.
pub async fn page(
    db: &Db,
    search: &Search,
    from: Option<Beside<&Cursor>>,
    count: i64,
) -> Result<Vec<Receipt>, StoreError> {
    // Only constant pieces are joined here; typed text is bound.
    let mut sql = String::from(select!("WHERE publishing = 0"));
    let newer = matches!(from, Some(Beside::Newer(_)));
    match from {
        Some(Beside::Newer(cursor)) => sql.push_str(&search.clauses_behind(cursor)),
        Some(Beside::Older(_)) => {
            sql.push_str(&search.clauses());
            sql.push_str(" AND (completed_at_us, id) < ($6, $7)");
        }
        None => sql.push_str(&search.clauses()),
    }
    let newer_order = " ORDER BY completed_at_us ASC, id ASC LIMIT $8";
    sql.push_str(if newer { newer_order } else { " ORDER BY completed_at_us DESC, id DESC LIMIT $8" });
    let query = search.bind(sqlx::query(AssertSqlSafe(sql)));
    let cursor = from.map(Beside::row);
    let rows = query
        .bind(cursor.map_or(0, |cursor| cursor.completed_at.us()))
        .bind(cursor.map_or("", |cursor| cursor.id.as_str()))
        .bind(count)
        .fetch_all(db.reader())
        .await?;
    let mut receipts = rows.iter().map(decode).collect::<Result<Vec<_>, _>>()?;
    if newer {
        receipts.reverse();
    }
    Ok(receipts)
}

/// Far more than the receipts on their way at a time.
const PUBLISHING_MAX: i64 = 100_000;

/// How many receipts match, counting up to `most`.
pub async fn count(db: &Db, search: &Search, most: i64) -> Result<u64, StoreError> {
    let clauses = search.clauses();
    // All of them from an index alone, minus the few on their way, which their own index finds; the limit makes sure of
    // that.
    let sql = format!(
        "SELECT (SELECT COUNT(*) FROM (SELECT 1 FROM receipts WHERE TRUE{clauses} LIMIT $6)) \
         - (SELECT COUNT(*) FROM (SELECT * FROM receipts WHERE publishing = 1 LIMIT $7) AS p WHERE TRUE{clauses})"
    );
    let query = search.bind(sqlx::query(AssertSqlSafe(sql))).bind(most).bind(PUBLISHING_MAX);
    Ok(u64::try_from(query.fetch_one(db.reader()).await?.try_get::<i64, _>(0)?).unwrap_or(0))
}

/// How many files were received since then, from indexes alone.
pub async fn count_since(db: &Db, since: Timestamp) -> Result<u64, StoreError> {
    let row = sqlx::query(COUNT_SINCE).bind(since.us()).fetch_one(db.reader()).await?;
    Ok(row.try_get::<i64, _>(0)?.unsigned_abs())
}

/// How many receipts match and are newer than `from`, counting up to `most`.
pub async fn count_newer(db: &Db, search: &Search, from: &Cursor, most: i64) -> Result<u64, StoreError> {
    let sql = format!(
        "SELECT COUNT(*) FROM (SELECT 1 FROM receipts WHERE publishing = 0{} LIMIT $8)",
        search.clauses_behind(from)
    );
    let query = search.bind(sqlx::query(AssertSqlSafe(sql))).bind(from.completed_at.us()).bind(&from.id).bind(most);
    Ok(query.fetch_one(db.reader()).await?.try_get::<i64, _>(0)?.unsigned_abs())
}

/// Whether a text is a whole SHA-256.
fn is_digest(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

type Query<'q> = sqlx::query::Query<'q, sqlx::Sqlite, sqlx::sqlite::SqliteArguments>;

impl Search {
    /// Whether rows must be inspected one by one, because no index leads to them.
    pub fn is_looking(&self) -> bool {
        let by_text = self.text.as_deref().is_some_and(|text| !is_digest(text));
        self.ids.is_none() && (by_text || (self.connector_key.is_some() && self.status.is_some()))
    }

    /// Only constant pieces: typed text is bound. A clause for every absent filter would keep the database from using
    /// its indexes.
    pub(super) fn clauses(&self) -> String {
        let since = if self.since.is_some() { " AND completed_at_us >= $4" } else { "" };
        format!("{since}{}", self.clauses_but_since())
    }

    /// The same for rows newer than a given one. The database applies one lower bound to its index and checks others
    /// row by row: it gets only the later one.
    fn clauses_behind(&self, from: &Cursor) -> String {
        let behind = if self.since.is_some_and(|since| since > from.completed_at) {
            " AND completed_at_us >= $4"
        } else {
            " AND (completed_at_us, id) > ($6, $7)"
        };
        format!("{behind}{}", self.clauses_but_since())
    }

    /// The same without a lower bound in time.
    pub(super) fn clauses_but_since(&self) -> String {
        let mut sql = String::new();
        // With ids no other index may be used: it would lead to more rows.
        let any = if self.ids.is_some() { " || ''" } else { "" };
        if self.connector_key.is_some() {
            let _ = write!(sql, " AND connector_key{any} = $1");
        }
        if self.status.is_some() {
            let _ = write!(sql, " AND status{any} = $2");
        }
        if self.ids.is_some() {
            sql.push_str(" AND id IN (SELECT value FROM json_each($5))");
        }
        match &self.text {
            Some(text) if is_digest(text) => sql.push_str(" AND sha256 = $3"),
            Some(_) => {
                sql.push_str(
                    " AND (id = $3 OR instr(LOWER(client_path), $3) > 0 OR instr(LOWER(stored_path), $3) > 0)",
                );
            }
            None => {}
        }
        sql
    }

    pub(super) fn bind<'q>(&self, query: Query<'q>) -> Query<'q> {
        query
            .bind(self.connector_key.clone().unwrap_or_default())
            .bind(self.status.map_or("", Status::name))
            .bind(self.text.as_deref().unwrap_or_default().to_lowercase())
            .bind(self.since.map_or(i64::MIN, Timestamp::us))
            .bind(self.ids.clone())
    }
}

// `+ 0`: the few on their way are found by their own index.
const COUNT_SINCE: &str = "SELECT (SELECT COUNT(*) FROM receipts WHERE completed_at_us >= $1) \
     - (SELECT COUNT(*) FROM receipts WHERE publishing = 1 AND completed_at_us + 0 >= $1)";
const ONE: &str = select!("WHERE id = $1");
const OLDEST_FIRST: &str =
    select!("WHERE completed_at_us >= $1 AND (completed_at_us, id) > ($2, $3) ORDER BY completed_at_us, id LIMIT $4");
const OLDEST_FIRST_OF: &str = select!(
    "WHERE connector_key = $5 AND completed_at_us >= $1 AND (completed_at_us, id) > ($2, $3) \
     ORDER BY completed_at_us, id LIMIT $4"
);
// The few of one path are found by it and then sorted: `+ 0` keeps the database from scanning all of a connector's in
// the requested order.
const LATEST_OF_PATH: &str = select!(
    "WHERE connector_key = $1 AND client_path = $2 AND completed_at_us >= $3 \
     ORDER BY status = 'replaced', completed_at_us + 0 DESC, id DESC LIMIT 1"
);
const LATEST_STORED_AT: &str = select!(
    "WHERE connector_key = $1 AND stored_path = $2 AND status IN ('in_receive', 'waiting') \
     ORDER BY completed_at_us + 0 DESC, id DESC LIMIT 1"
);
const PASSED_ALONG_FROM: &str = select!(
    "WHERE connector_key = $1 AND stored_path = $2 AND status = 'passed_along' \
     ORDER BY completed_at_us + 0 DESC, id DESC LIMIT 1"
);
const RECENT_OF_PATH: &str = select!(
    "WHERE connector_key = $1 AND client_path = $2 AND completed_at_us >= $3 AND hidden = 0 \
     AND status IN ('in_receive', 'waiting', 'passed_along') ORDER BY completed_at_us + 0 DESC, id DESC LIMIT 1"
);
const RECENT_ELSEWHERE: &str = select!(
    "WHERE connector_key = $1 AND completed_at_us >= $2 AND hidden = 0 \
     AND (client_path <> stored_path OR status = 'passed_along') \
     AND status IN ('in_receive', 'waiting', 'passed_along') ORDER BY completed_at_us DESC, id DESC LIMIT 1000"
);
// `|| ''`: all that lie there are more than those that are hidden.
const HIDDEN: &str = "SELECT stored_path FROM receipts WHERE connector_key = $1 AND hidden = 1 \
     AND status || '' IN ('in_receive', 'waiting')";
const HIDDEN_AT: &str = "SELECT COUNT(*) FROM receipts WHERE connector_key = $1 AND stored_path = $2 AND hidden = 1 \
     AND inode = $3 AND size_bytes = $4 AND status || '' IN ('in_receive', 'waiting')";
const HIDE: &str = "UPDATE receipts SET hidden = 1 WHERE connector_key = $1 AND client_path = $2 AND id <> $4 \
     AND (completed_at_us >= $3 OR (client_path = stored_path AND status <> 'passed_along')) \
     AND hidden = 0 AND status IN ('in_receive', 'waiting', 'passed_along')";
const ALL_OF: &str = select!("WHERE id IN (SELECT value FROM json_each($1))");
const TAKE_OVER: &str = "UPDATE receipts SET taken_over = 1 WHERE id IN (SELECT value FROM json_each($1)) \
     AND taken_over = 0 AND temporary_since_us IS NULL";
const USAGE: &str = "SELECT COUNT(*), CAST(COALESCE(SUM(size_bytes), 0) AS BIGINT) FROM receipts \
     WHERE connector_key = $1 AND status IN ('in_receive', 'waiting')";
const USAGE_AT: &str = "SELECT stored_path, COUNT(*), CAST(SUM(size_bytes) AS BIGINT) FROM receipts \
     WHERE connector_key = $1 AND stored_path IN (SELECT value FROM json_each($2)) \
     AND status IN ('in_receive', 'waiting') GROUP BY stored_path";
const IS_FOLLOWED: &str = "SELECT EXISTS (SELECT 1 FROM receipts WHERE connector_key = $1 AND stored_path = $2 \
     AND id <> $3 AND completed_at_us + 0 >= $4)";
const PUBLISHING: &str = select!("WHERE publishing = 1 ORDER BY id");
const LATEST_SHOWN: &str = "SELECT COALESCE(shown_at_us, completed_at_us), id FROM receipts WHERE publishing = 0 \
     ORDER BY COALESCE(shown_at_us, completed_at_us) DESC, id DESC LIMIT 1";
const CLEAR_MARK: &str = "UPDATE receipts SET publishing = 0, \
     shown_at_us = 1 + CASE WHEN completed_at_us > $2 THEN completed_at_us ELSE $2 END WHERE id = $1 AND publishing = 1";
const IN_PLACE_OF: &str =
    select!("WHERE id = (SELECT in_place_of FROM receipts WHERE id = $1) AND status IN ('in_receive', 'waiting')");
const STAGING_INODE: &str = "SELECT staging_inode FROM receipts WHERE id = $1";
const EVENT_ID: &str = "SELECT event_id FROM receipts WHERE id = $1";
const SET_STATUS: &str = "UPDATE receipts SET status = $2 WHERE id = $1";
const MARK_REPLACED: &str = "UPDATE receipts SET status = 'replaced' WHERE connector_key = $1 AND stored_path = $2 \
     AND status IN ('in_receive', 'waiting') AND publishing = 0 AND id <> $3 AND completed_at_us + 0 <= $4";
const MARK_OLDER_REPLACED: &str = "UPDATE receipts SET status = 'replaced' WHERE id = (SELECT in_place_of FROM receipts \
     WHERE id = $1) AND status IN ('in_receive', 'waiting')";
const SET_PROOF: &str = "UPDATE receipts SET proof = $2 WHERE id = $1";

/// The receipt of that id, if there is one.
pub async fn find(db: &Db, id: &ReceiptId) -> Result<Option<Receipt>, StoreError> {
    sqlx::query(ONE).bind(id.as_str()).fetch_optional(db.reader()).await?.as_ref().map(decode).transpose()
}

/// Receipts completed at or after `since`, oldest first, after `after`: for exports in steps of `count`.
pub async fn oldest_first(
    db: &Db,
    connector_key: Option<&str>,
    since: Timestamp,
    after: Option<&Cursor>,
    count: i64,
) -> Result<Vec<Receipt>, StoreError> {
    let (at, id) = after.map_or((i64::MIN, ""), |cursor| (cursor.completed_at.us(), cursor.id.as_str()));
    let sql = if connector_key.is_some() { OLDEST_FIRST_OF } else { OLDEST_FIRST };
    let query = sqlx::query(sql).bind(since.us()).bind(at).bind(id).bind(count);
    let query = if let Some(key) = connector_key { query.bind(key) } else { query };
    query.fetch_all(db.reader()).await?.iter().map(decode).collect()
}

/// The partner's latest upload under that name, completed at or after `since`.
pub async fn latest_of_path(
    db: &Db,
    connector_key: &str,
    client_path: &str,
    since: Timestamp,
) -> Result<Option<Receipt>, StoreError> {
    let row = sqlx::query(LATEST_OF_PATH)
        .bind(connector_key)
        .bind(client_path)
        .bind(since.us())
        .fetch_optional(db.reader())
        .await?;
    row.as_ref().map(decode).transpose()
}

/// The receipt of the file now at `stored_path`.
pub async fn latest_stored_at(db: &Db, connector_key: &str, stored_path: &str) -> Result<Option<Receipt>, StoreError> {
    let row = sqlx::query(LATEST_STORED_AT).bind(connector_key).bind(stored_path).fetch_optional(db.reader()).await?;
    row.as_ref().map(decode).transpose()
}

/// The receipt of the file last passed along from `stored_path`: it is still there until it has left.
pub async fn passed_along_from(db: &Db, connector_key: &str, stored_path: &str) -> Result<Option<Receipt>, StoreError> {
    let row = sqlx::query(PASSED_ALONG_FROM).bind(connector_key).bind(stored_path).fetch_optional(db.reader()).await?;
    row.as_ref().map(decode).transpose()
}

/// The partner's latest upload under that name that it still sees, completed at or after `since`.
pub async fn recent_of_path(
    db: &Db,
    connector_key: &str,
    client_path: &str,
    since: Timestamp,
) -> Result<Option<Receipt>, StoreError> {
    let query = sqlx::query(RECENT_OF_PATH).bind(connector_key).bind(client_path).bind(since.us());
    query.fetch_optional(db.reader()).await?.as_ref().map(decode).transpose()
}

/// The partner's uploads since `since` that are not stored under the names it gave them, newest first, at most 1,000.
pub async fn recent_elsewhere(db: &Db, connector_key: &str, since: Timestamp) -> Result<Vec<Receipt>, StoreError> {
    let query = sqlx::query(RECENT_ELSEWHERE).bind(connector_key).bind(since.us());
    query.fetch_all(db.reader()).await?.iter().map(decode).collect()
}

/// The paths of files that the partner has removed from its view.
pub async fn hidden(db: &Db, connector_key: &str) -> Result<Vec<String>, StoreError> {
    let rows = sqlx::query(HIDDEN).bind(connector_key).fetch_all(db.reader()).await?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

/// Whether the file of that inode and size at `stored_path` is one of them.
pub async fn is_hidden(
    db: &Db,
    connector_key: &str,
    stored_path: &str,
    (inode, size_bytes): (u64, u64),
) -> Result<bool, StoreError> {
    let query = sqlx::query(HIDDEN_AT).bind(connector_key).bind(stored_path);
    let query = query.bind(inode.cast_signed()).bind(signed(size_bytes));
    Ok(query.fetch_one(db.reader()).await?.try_get::<i64, _>(0)? > 0)
}

/// The partner deleted what it had uploaded under that name: it no longer sees what it finds by it, of `since` or lying
/// there, but the files stay. Not so `but`.
pub async fn hide(
    db: &Db,
    (connector_key, client_path): (&str, &str),
    since: Timestamp,
    but: Option<&ReceiptId>,
) -> Result<(), StoreError> {
    let query = sqlx::query(HIDE).bind(connector_key).bind(client_path).bind(since.us());
    query.bind(but.map_or("", ReceiptId::as_str)).execute(db.writer()).await?;
    Ok(())
}

/// Their deliveries begin, except for files with a temporary name. Returns those that exist.
pub async fn take_over(db: &Db, ids: &[ReceiptId]) -> Result<Vec<Receipt>, StoreError> {
    sqlx::query(TAKE_OVER).bind(array(ids)).execute(db.writer()).await?;
    all_of(db, ids).await
}

/// Those of these receipts that exist, in no order.
pub async fn all_of(db: &Db, ids: &[ReceiptId]) -> Result<Vec<Receipt>, StoreError> {
    sqlx::query(ALL_OF).bind(array(ids)).fetch_all(db.reader()).await?.iter().map(decode).collect()
}

/// Ids for a statement that takes many: a JSON array (decision 0090).
pub(super) fn array<'a>(ids: impl IntoIterator<Item = &'a ReceiptId>) -> String {
    ids.into_iter().map(ReceiptId::as_str).collect::<Value>().to_string()
}

/// Files and bytes of a connector in Receive, as its quota counts them.
pub async fn usage(db: &Db, connector_key: &str) -> Result<(u64, u64), StoreError> {
    let row = sqlx::query(USAGE).bind(connector_key).fetch_one(db.reader()).await?;
    Ok((row.try_get::<i64, _>(0)?.unsigned_abs(), row.try_get::<i64, _>(1)?.unsigned_abs()))
}

/// The same for some places, by their stored paths.
pub async fn usage_at(
    db: &Db,
    connector_key: &str,
    paths: &[String],
) -> Result<HashMap<String, (u64, u64)>, StoreError> {
    let paths = paths.iter().map(String::as_str).collect::<Value>().to_string();
    let rows = sqlx::query(USAGE_AT).bind(connector_key).bind(paths).fetch_all(db.reader()).await?;
    let one = |row: &SqliteRow| {
        let usage = (row.try_get::<i64, _>(1)?.unsigned_abs(), row.try_get::<i64, _>(2)?.unsigned_abs());
        Ok((row.try_get(0)?, usage))
    };
    rows.iter().map(one).collect()
}

/// Receipts that a crash left between commit and publication.
pub async fn publishing(db: &Db) -> Result<Vec<Receipt>, StoreError> {
    sqlx::query(PUBLISHING).fetch_all(db.reader()).await?.iter().map(decode).collect()
}

/// Whether another file was received at its place since. Then a receipt still on its way never got its 226: the next
/// one of a place is committed after everything recorded of that place.
pub async fn is_followed(db: &Db, receipt: &Receipt) -> Result<bool, StoreError> {
    let query = sqlx::query(IS_FOLLOWED).bind(receipt.connector_key()).bind(&receipt.stored_path);
    let query = query.bind(receipt.id.as_str()).bind(receipt.completed_at.us());
    Ok(query.fetch_one(db.reader()).await?.try_get::<i64, _>(0)? > 0)
}

/// The inode of its file's staging folder at the commit; `None` if it was not recorded.
pub async fn staging_inode(db: &Db, id: &ReceiptId) -> Result<Option<u64>, StoreError> {
    let row = sqlx::query(STAGING_INODE).bind(id.as_str()).fetch_one(db.reader()).await?;
    Ok(row.try_get::<Option<i64>, _>(0)?.map(i64::cast_unsigned))
}

/// The other receipt whose file, under another name, leaves Receive when this one's gets its name.
pub async fn in_place_of(db: &Db, id: &ReceiptId) -> Result<Option<Receipt>, StoreError> {
    sqlx::query(IN_PLACE_OF).bind(id.as_str()).fetch_optional(db.reader()).await?.as_ref().map(decode).transpose()
}

/// Recovery found its file under its final name. Its event is released, and older receipts of its place are replaced.
/// `ids` make an event id for a receipt without one.
pub async fn published(db: &Db, receipt: &Receipt, ids: &IdSource) -> Result<(), StoreError> {
    let mut tx = db.begin().await?;
    let row = sqlx::query(EVENT_ID).bind(receipt.id.as_str()).fetch_one(&mut *tx).await?;
    let known = row.try_get::<Option<String>, _>(0)?.as_deref().and_then(EventId::parse);
    let event_id = known.unwrap_or_else(|| EventId::new(ids));
    event::add(&mut tx, &event::Event::after_receive(receipt, event_id)).await?;
    clear_mark(&mut tx, &receipt.id).await?;
    mark_replaced(&mut tx, receipt).await?;
    Ok(tx.commit().await?)
}

/// Sets where the file is now.
pub async fn set_status(db: &Db, id: &ReceiptId, status: Status) -> Result<(), StoreError> {
    let mut tx = db.begin().await?;
    put_status(&mut tx, id, status).await?;
    Ok(tx.commit().await?)
}

pub(super) async fn put_status(tx: &mut Transaction<'_, Sqlite>, id: &ReceiptId, status: Status) -> sqlx::Result<()> {
    sqlx::query(SET_STATUS).bind(id.as_str()).bind(status.name()).execute(&mut **tx).await?;
    clear_mark(tx, id).await
}

/// From here on it is seen, behind all that were seen before.
async fn clear_mark(tx: &mut Transaction<'_, Sqlite>, id: &ReceiptId) -> sqlx::Result<()> {
    let latest = latest_shown(&mut **tx).await?.map_or(0, |latest| latest.completed_at.us());
    sqlx::query(CLEAR_MARK).bind(id.as_str()).bind(latest).execute(&mut **tx).await.map(drop)
}

/// The receipt that became visible last, with the time; never one that became visible before another.
pub(super) async fn latest_shown(from: impl SqliteExecutor<'_>) -> sqlx::Result<Option<Cursor>> {
    let row = sqlx::query(LATEST_SHOWN).fetch_optional(from).await?;
    row.as_ref().map(place_shown).transpose()
}

/// Reads when a receipt became visible, and its id.
pub(super) fn place_shown(row: &SqliteRow) -> sqlx::Result<Cursor> {
    Ok(Cursor { completed_at: Timestamp::from_us(row.try_get(0)?), id: row.try_get(1)? })
}

/// The client confirmed digest or size.
pub async fn set_proof(db: &Db, id: &ReceiptId, proof: Proof) -> Result<(), StoreError> {
    sqlx::query(SET_PROOF).bind(id.as_str()).bind(proof.name()).execute(db.writer()).await?;
    Ok(())
}

/// Marks older receipts of the place of `receipt`'s file as replaced, and the one whose place it took.
async fn mark_replaced(tx: &mut Transaction<'_, Sqlite>, receipt: &Receipt) -> sqlx::Result<()> {
    let query = sqlx::query(MARK_REPLACED).bind(receipt.connector_key()).bind(&receipt.stored_path);
    query.bind(receipt.id.as_str()).bind(receipt.completed_at.us()).execute(&mut **tx).await?;
    sqlx::query(MARK_OLDER_REPLACED).bind(receipt.id.as_str()).execute(&mut **tx).await.map(drop)
}

pub(super) fn decode(row: &SqliteRow) -> Result<Receipt, StoreError> {
    let text = |index: usize| row.try_get::<String, _>(index);
    let number = |index: usize| row.try_get::<i64, _>(index).map(i64::unsigned_abs);
    let unreadable = |what: &str, value: &str| StoreError::Unreadable(format!("receipt with {what} {value}"));
    let id = text(0)?;
    let (session, ending, proof, status) = (text(12)?, text(13)?, text(16)?, text(18)?);
    Ok(Receipt {
        id: ReceiptId::parse(&id).ok_or_else(|| unreadable("id", &id))?,
        connector: text(1)?,
        name: text(2)?,
        client_path: text(3)?,
        stored_path: text(4)?,
        size_bytes: number(5)?,
        sha256: text(6)?,
        headers: decode_headers(&text(7)?),
        begun_at: Timestamp::from_us(row.try_get(8)?),
        completed_at: Timestamp::from_us(row.try_get(9)?),
        remote_address: text(10)?,
        tls: text(11)?,
        session_id: SessionId::parse(&session).ok_or_else(|| unreadable("session", &session))?,
        ending: Ending::parse(&ending).ok_or_else(|| unreadable("ending", &ending))?,
        resumed_from: number(14)?,
        ascii: row.try_get::<i64, _>(15)? == 1,
        proof: Proof::parse(&proof).ok_or_else(|| unreadable("proof", &proof))?,
        duplicate_of: row.try_get::<Option<String>, _>(17)?.as_deref().and_then(ReceiptId::parse),
        status: Status::parse(&status).ok_or_else(|| unreadable("status", &status))?,
        publishing: row.try_get::<i64, _>(19)? == 1,
        // Stored as the same 64 bits.
        inode: row.try_get::<i64, _>(20)?.cast_unsigned(),
        staged_name: text(21)?,
        hidden: row.try_get::<i64, _>(22)? == 1,
        taken_over: row.try_get::<i64, _>(23)? == 1,
    })
}

/// Headers are stored in order, as a JSON list of pairs.
pub(super) fn encode_headers(headers: &[(String, String)]) -> String {
    serde_json::to_string(headers).unwrap_or_default()
}

fn decode_headers(text: &str) -> Vec<(String, String)> {
    serde_json::from_str(text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_receipt_is_found_by_its_path_however_many_its_connector_has() {
        let folder = tempfile::tempdir().unwrap();
        let db = Db::open(folder.path()).await.unwrap();
        for statement in [LATEST_OF_PATH, LATEST_STORED_AT, RECENT_OF_PATH, HIDE, MARK_REPLACED, USAGE_AT, IS_FOLLOWED]
        {
            let steps = db.plan(statement).await;
            assert!(steps.iter().any(|step| step.contains("_path=?")), "{statement}\n{steps:?}");
        }
        // Those that lie there, however many a connector had.
        let steps = db.plan(USAGE).await;
        assert!(steps[0].contains("COVERING INDEX receipts_lying"), "{steps:?}");
        for statement in [HIDDEN, HIDDEN_AT] {
            let steps = db.plan(statement).await;
            assert!(steps[0].contains("receipts_hidden"), "{statement}\n{steps:?}");
        }
        let steps = db.plan(COUNT_SINCE).await;
        assert!(steps.iter().any(|step| step.contains("receipts_publishing")), "{steps:?}");
    }

    #[tokio::test]
    async fn chosen_receipts_are_found_by_their_ids_whatever_else_is_asked() {
        let folder = tempfile::tempdir().unwrap();
        let db = Db::open(folder.path()).await.unwrap();
        let search = Search {
            connector_key: Some("acme".to_owned()),
            status: Some(Status::InReceive),
            since: Some(Timestamp::default()),
            ids: Some("[]".to_owned()),
            ..Search::default()
        };
        let clauses = search.clauses();
        let sql =
            format!("EXPLAIN QUERY PLAN {SELECT}WHERE publishing = 0{clauses} ORDER BY completed_at_us DESC LIMIT 9");
        let plan = search.bind(sqlx::query(AssertSqlSafe(sql))).fetch_all(db.reader()).await.unwrap();
        let steps: Vec<String> = plan.iter().map(|row| row.get(3)).collect();
        assert!(steps.iter().any(|step| step.contains("sqlite_autoindex_receipts_1 (id=?)")), "{steps:?}");
    }
}
