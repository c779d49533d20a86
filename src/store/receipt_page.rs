//! Pages of the Receive table that its plain order does not give: by file, connector or size, and of a search that has
//! to look at rows one by one.
//!
//! Always: a page looks at a bounded number of rows, however many there are.

use sqlx::{AssertSqlSafe, Row};

use super::open::{Db, StoreError};
use super::receipt::{Cursor, Direction, Receipt, SELECT, Search, decode};
use crate::base::clock::Timestamp;

/// What a table is ordered by; each order has its index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Column {
    /// The connector, then the time.
    Connector,
    /// The client's path.
    File,
    /// The time.
    Received,
    /// The size.
    Size,
}

impl Column {
    const fn keys(self) -> &'static str {
        match self {
            Self::Connector => "connector_key, completed_at_us, id",
            Self::File => "client_path, id",
            Self::Received => "completed_at_us, id",
            Self::Size => "size_bytes, id",
        }
    }

    const fn keys_descending(self) -> &'static str {
        match self {
            Self::Connector => "connector_key DESC, completed_at_us DESC, id DESC",
            Self::File => "client_path DESC, id DESC",
            Self::Received => "completed_at_us DESC, id DESC",
            Self::Size => "size_bytes DESC, id DESC",
        }
    }

    const fn places(self) -> &'static str {
        match self {
            Self::Connector => "$1, $2, $4",
            Self::File => "$1, $4",
            Self::Received => "$2, $4",
            Self::Size => "$3, $4",
        }
    }
}

/// Which end comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The smallest, or the oldest.
    Ascending,
    /// The largest, or the newest.
    Descending,
}

/// One page of all receipts in another order; `from` is the row beside it and the way from there: `Older` is onwards.
pub async fn sorted(
    db: &Db,
    (column, order): (Column, Order),
    from: Option<(Direction, &Receipt)>,
    count: i64,
) -> Result<Vec<Receipt>, StoreError> {
    let back = matches!(from, Some((Direction::Newer, _)));
    let rising = (order == Order::Ascending) != back;
    let (keys, places) = (column.keys(), column.places());
    // Only constant pieces are joined here.
    let beyond = match (from.is_some(), rising) {
        (false, _) => String::new(),
        (true, true) => format!(" AND ({keys}) > ({places})"),
        (true, false) => format!(" AND ({keys}) < ({places})"),
    };
    let by = if rising { keys } else { column.keys_descending() };
    let sql = format!("{SELECT}WHERE publishing = 0{beyond} ORDER BY {by} LIMIT $5");
    let beside = from.map(|(_, receipt)| receipt);
    let text = match (column, beside) {
        (Column::Connector, Some(receipt)) => receipt.connector.to_ascii_lowercase(),
        (_, Some(receipt)) => receipt.client_path.clone(),
        (_, None) => String::new(),
    };
    let query = sqlx::query(AssertSqlSafe(sql))
        .bind(text)
        .bind(beside.map_or(0, |receipt| receipt.completed_at.us()))
        .bind(beside.map_or(0, |receipt| i64::try_from(receipt.size_bytes).unwrap_or(i64::MAX)))
        .bind(beside.map_or("", |receipt| receipt.id.as_str()))
        .bind(count);
    let mut receipts = query.fetch_all(db.reader()).await?.iter().map(decode).collect::<Result<Vec<_>, _>>()?;
    if back {
        receipts.reverse();
    }
    Ok(receipts)
}

/// What a search found, and how far it looked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Looked {
    /// What it found, newest first.
    pub receipts: Vec<Receipt>,
    /// The row it stopped at; `None`: it looked at everything.
    pub stopped_at: Option<Cursor>,
}

/// Looks at no more than `rows_max` receipts older than `from` and gives those that match, no more than `count`.
pub async fn look(
    db: &Db,
    search: &Search,
    from: Option<&Cursor>,
    (rows_max, count): (i64, i64),
) -> Result<Looked, StoreError> {
    let connector = if search.connector_key.is_some() { " AND connector_key = $1" } else { "" };
    let since = if search.since.is_some() { " AND completed_at_us >= $4" } else { "" };
    let older = if from.is_some() { " AND (completed_at_us, id) < ($6, $7)" } else { "" };
    // The index alone tells where so many rows end.
    let end = format!(
        "SELECT completed_at_us, id FROM receipts WHERE TRUE{since}{connector}{older} \
         ORDER BY completed_at_us DESC, id DESC LIMIT 1 OFFSET $8"
    );
    let query = search.bind(sqlx::query(AssertSqlSafe(end)));
    let query =
        query.bind(from.map_or(0, |from| from.completed_at.us())).bind(from.map_or("", |from| from.id.as_str()));
    let end = query.bind(rows_max - 1).fetch_optional(db.reader()).await?;
    let end = match end {
        Some(row) => Some(Cursor { completed_at: Timestamp::from_us(row.try_get(0)?), id: row.try_get(1)? }),
        None => None,
    };
    // One lower bound is taken to the index; where the rows end is the later one.
    let lower = if end.is_some() { " AND (completed_at_us, id) >= ($8, $9)" } else { since };
    let mut sql = format!("{SELECT}WHERE publishing = 0{}{older}{lower}", search.clauses_but_since());
    sql.push_str(" ORDER BY completed_at_us DESC, id DESC LIMIT $10");
    let query = search.bind(sqlx::query(AssertSqlSafe(sql)));
    let query =
        query.bind(from.map_or(0, |from| from.completed_at.us())).bind(from.map_or("", |from| from.id.as_str()));
    let query = query
        .bind(end.as_ref().map_or(0, |end| end.completed_at.us()))
        .bind(end.as_ref().map_or("", |end| end.id.as_str()))
        .bind(count);
    let receipts = query.fetch_all(db.reader()).await?.iter().map(decode).collect::<Result<Vec<_>, _>>()?;
    Ok(Looked { receipts, stopped_at: end })
}
