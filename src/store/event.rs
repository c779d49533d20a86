//! Events: what happened, and the outbox of the deliveries it sets off.

use sqlx::{AssertSqlSafe, Row, Sqlite, Transaction};

use super::cell::{Cell, cells};
use super::commit::signed;
use super::group::Group;
use super::open::{Db, StoreError};
use super::receipt::{Cursor, Receipt};
use crate::base::clock::Timestamp;
use crate::base::human;
use crate::base::id::{EventId, IdSource, ReceiptId};
use crate::domain::event::EventKind;

// What `decode` reads, in this order.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, kind, at_us, connector, session_id, receipt_id, remote, summary, path, size_bytes FROM events ",
            $rest
        )
    };
}

const OLDEST_FIRST: &str =
    select!("WHERE at_us >= $1 AND (at_us, id) > ($2, $3) AND ($4 = '' OR kind = $4) ORDER BY at_us, id LIMIT $5");
const SELECT: &str = select!("WHERE at_us >= $4");
const ONE: &str = select!("WHERE id = $1");
const COUNT_SINCE: &str = "SELECT COUNT(*) FROM events WHERE kind = $1 AND at_us >= $2";

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its id; the same however often it is delivered.
    pub id: EventId,
    /// What happened.
    pub kind: EventKind,
    /// When.
    pub at: Timestamp,
    /// The connector's id; empty if it concerns none.
    pub connector: String,
    /// The session; empty if there was none.
    pub session_id: String,
    /// The receipt it concerns.
    pub receipt_id: Option<ReceiptId>,
    /// The remote address; empty for this side.
    pub remote: String,
    /// One sentence for people.
    pub summary: String,
    /// The file it concerns if that has no receipt, such as a collected one.
    pub file: Option<EventFile>,
}

/// A file that an event concerns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventFile {
    /// As the partner sees it: `/Send/a`.
    pub path: String,
    /// Bytes.
    pub size_bytes: u64,
}

impl Event {
    /// An event of the appliance itself.
    pub fn new(ids: &IdSource, kind: EventKind, at: Timestamp, summary: impl Into<String>) -> Self {
        Self {
            id: EventId::new(ids),
            kind,
            at,
            connector: String::new(),
            session_id: String::new(),
            receipt_id: None,
            remote: String::new(),
            summary: summary.into(),
            file: None,
        }
    }

    /// The same for a connector, by its id as written.
    #[must_use]
    pub fn of(self, connector: &str) -> Self {
        Self { connector: connector.to_owned(), ..self }
    }

    /// The event of a received file.
    pub fn after_receive(receipt: &Receipt, id: EventId) -> Self {
        let size = human::size(receipt.size_bytes);
        Self {
            id,
            kind: EventKind::AfterReceive,
            at: receipt.completed_at,
            connector: receipt.connector.clone(),
            session_id: receipt.session_id.as_str().to_owned(),
            receipt_id: Some(receipt.id.clone()),
            remote: receipt.remote_address.clone(),
            summary: format!("Received {} from {}, {size}", receipt.client_path, receipt.connector),
            file: None,
        }
    }

    /// The same event with its received file's current name.
    #[must_use]
    pub fn as_of(self, receipt: &Receipt) -> Self {
        if self.kind == EventKind::AfterReceive { Self::after_receive(receipt, self.id) } else { self }
    }
}

/// The names of the cells of a [`row`].
pub(super) const CELLS: &str = "id kind at_us connector session_id receipt_id remote summary path size_bytes";

/// The cells of one for a group commit.
pub(super) fn row(event: &Event) -> Vec<Cell> {
    cells![
        event.id.as_str(),
        event.kind.name(),
        event.at.us(),
        &event.connector,
        &event.session_id,
        event.receipt_id.as_ref().map(ReceiptId::as_str),
        &event.remote,
        &event.summary,
        event.file.as_ref().map_or("", |file| &file.path),
        event.file.as_ref().map(|file| signed(file.size_bytes)),
    ]
}

/// Within another transaction.
pub(super) async fn add(tx: &mut Transaction<'_, Sqlite>, event: &Event) -> sqlx::Result<()> {
    let mut group = Group::default();
    group.event(event);
    group.write(tx).await.map(drop)
}

/// Records one event at once, for processes without a recorder.
pub async fn record(db: &Db, event: &Event) -> Result<(), StoreError> {
    let mut tx = db.begin().await?;
    add(&mut tx, event).await?;
    tx.commit().await?;
    Ok(())
}

/// Events at or after `since`, oldest first, after `after`: for exports in steps of `count`.
pub async fn oldest_first(
    db: &Db,
    kind: Option<EventKind>,
    since: Timestamp,
    after: Option<(Timestamp, &str)>,
    count: i64,
) -> Result<Vec<Event>, StoreError> {
    let (at, id) = after.map_or((i64::MIN, ""), |(at, id)| (at.us(), id));
    let query = sqlx::query(OLDEST_FIRST).bind(since.us()).bind(at).bind(id).bind(kind.map_or("", EventKind::name));
    query.bind(count).fetch_all(db.reader()).await?.iter().map(decode).collect()
}

/// The filter of [`page`]. Empty: everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// One kind.
    pub kind: Option<EventKind>,
    /// One connector, by its id as recorded.
    pub connector: Option<String>,
    /// Happened at or after.
    pub since: Option<Timestamp>,
}

/// Events before `before`, newest first.
pub async fn page(db: &Db, filter: &Filter, before: Option<&Cursor>, count: i64) -> Result<Vec<Event>, StoreError> {
    // Only constant pieces are joined here. A clause for every absent filter would keep the database from its indexes.
    let mut sql = String::from(SELECT);
    let clauses = [
        (filter.kind.is_some(), " AND kind = $1"),
        (filter.connector.is_some(), " AND connector = $2"),
        (before.is_some(), " AND (at_us, id) < ($5, $6)"),
    ];
    sql.extend(clauses.iter().filter(|(wanted, _)| *wanted).map(|(_, clause)| *clause));
    sql.push_str(" ORDER BY at_us DESC, id DESC LIMIT $3");
    let query = sqlx::query(AssertSqlSafe(sql))
        .bind(filter.kind.map_or("", EventKind::name))
        .bind(filter.connector.as_deref().unwrap_or_default())
        .bind(count)
        .bind(filter.since.map_or(i64::MIN, Timestamp::us))
        .bind(before.map_or(i64::MAX, |before| before.completed_at.us()))
        .bind(before.map_or("", |before| before.id.as_str()));
    query.fetch_all(db.reader()).await?.iter().map(decode).collect()
}

/// How many events of a kind there have been since then, from the index alone.
pub async fn count_since(db: &Db, kind: EventKind, since: Timestamp) -> Result<u64, StoreError> {
    let row = sqlx::query(COUNT_SINCE).bind(kind.name()).bind(since.us()).fetch_one(db.reader()).await?;
    Ok(row.try_get::<i64, _>(0)?.unsigned_abs())
}

/// The event of that id.
pub async fn find(db: &Db, id: &EventId) -> Result<Option<Event>, StoreError> {
    sqlx::query(ONE).bind(id.as_str()).fetch_optional(db.reader()).await?.as_ref().map(decode).transpose()
}

pub(super) fn decode(row: &sqlx::sqlite::SqliteRow) -> Result<Event, StoreError> {
    let (id, kind): (String, String) = (row.try_get(0)?, row.try_get(1)?);
    let unreadable = |what: &str| StoreError::Unreadable(format!("event with {what}"));
    Ok(Event {
        id: EventId::parse(&id).ok_or_else(|| unreadable(&id))?,
        kind: EventKind::parse(&kind).ok_or_else(|| unreadable(&kind))?,
        at: Timestamp::from_us(row.try_get(2)?),
        connector: row.try_get(3)?,
        session_id: row.try_get(4)?,
        receipt_id: row.try_get::<Option<String>, _>(5)?.as_deref().and_then(ReceiptId::parse),
        remote: row.try_get(6)?,
        summary: row.try_get(7)?,
        file: match (row.try_get::<String, _>(8)?, row.try_get::<Option<i64>, _>(9)?) {
            (path, Some(size)) => Some(EventFile { path, size_bytes: size.unsigned_abs() }),
            _ => None,
        },
    })
}
