//! Pages of the Receive table beyond its plain order: by file, connector or size, and of a search that has to inspect
//! rows one by one.
//!
//! Always: a page inspects a bounded number of rows, however many there are.

use sqlx::{AssertSqlSafe, Row};

use super::open::{Db, StoreError};
use super::receipt::{self, Beside, COLUMNS, Cursor, Receipt, SELECT, Search, decode, place_shown};
use crate::base::clock::Timestamp;

/// The order of the table; each has its index.
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

/// One page of all receipts in another order; `Older` goes onwards from the row beside it.
pub async fn sorted(
    db: &Db,
    (column, order): (Column, Order),
    from: Option<Beside<&Receipt>>,
    count: i64,
) -> Result<Vec<Receipt>, StoreError> {
    let back = matches!(from, Some(Beside::Newer(_)));
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
    let beside = from.map(Beside::row);
    let text = match (column, beside) {
        (Column::Connector, Some(receipt)) => receipt.connector_key(),
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

// The bounds once more without the id: on an expression the database applies only such bounds to its index.
const SHOWN_BEHIND: &str = "SELECT COALESCE(shown_at_us, completed_at_us), id FROM receipts WHERE publishing = 0 \
     AND COALESCE(shown_at_us, completed_at_us) >= $1 AND (COALESCE(shown_at_us, completed_at_us), id) > ($1, $2) \
     ORDER BY COALESCE(shown_at_us, completed_at_us), id LIMIT 1 OFFSET $3";
// The limit limits nothing: it keeps the database from considering anything but the order.
const SHOWN_BETWEEN: &str = "FROM (SELECT *, COALESCE(shown_at_us, completed_at_us) AS shown_us FROM receipts \
     WHERE publishing = 0 AND COALESCE(shown_at_us, completed_at_us) >= $6 \
     AND COALESCE(shown_at_us, completed_at_us) <= $8 AND (COALESCE(shown_at_us, completed_at_us), id) > ($6, $7) \
     AND (COALESCE(shown_at_us, completed_at_us), id) <= ($8, $9) \
     ORDER BY COALESCE(shown_at_us, completed_at_us), id LIMIT $10) AS shown";

/// What a search found, and how far it got.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Looked {
    /// What it found, newest first.
    pub receipts: Vec<Receipt>,
    /// The row it stopped at; `None`: it inspected everything.
    pub stopped_at: Option<Cursor>,
}

/// Inspects at most `rows_max` receipts older than `from` and returns those that match, at most `count`.
pub async fn look(
    db: &Db,
    search: &Search,
    from: Option<&Cursor>,
    (rows_max, count): (i64, i64),
) -> Result<Looked, StoreError> {
    let connector = if search.connector_key.is_some() { " AND connector_key = $1" } else { "" };
    let since = if search.since.is_some() { " AND completed_at_us >= $4" } else { "" };
    let older = if from.is_some() { " AND (completed_at_us, id) < ($6, $7)" } else { "" };
    // The index alone tells where that many rows end.
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
    // The index uses one lower bound: the later one, where the rows end.
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

/// The place after which everything is still invisible; `None`: nothing was ever visible.
pub async fn latest_shown(db: &Db) -> Result<Option<Cursor>, StoreError> {
    Ok(receipt::latest_shown(db.reader()).await?)
}

/// What became visible after `from`, the earliest `count` of at most `rows_max`, with the place to continue from:
/// nothing becomes visible before it. Completion times would not do: of two uploads the first to complete may become
/// visible last, and clocks are set back.
pub async fn shown_since(
    db: &Db,
    search: &Search,
    from: &Cursor,
    (rows_max, count): (i64, i64),
) -> Result<Looked, StoreError> {
    let query = sqlx::query(SHOWN_BEHIND).bind(from.completed_at.us()).bind(&from.id).bind(rows_max - 1);
    let end = match query.fetch_optional(db.reader()).await? {
        Some(row) => Some(place_shown(&row)?),
        None => receipt::latest_shown(db.reader()).await?,
    };
    let Some(end) = end else { return Ok(Looked::default()) };
    let sql = format!(
        "SELECT {COLUMNS}, shown_us {SHOWN_BETWEEN} WHERE TRUE{} ORDER BY shown_us, id LIMIT $11",
        search.clauses()
    );
    let query = search.bind(sqlx::query(AssertSqlSafe(sql))).bind(from.completed_at.us()).bind(&from.id);
    let query = query.bind(end.completed_at.us()).bind(&end.id).bind(i64::MAX).bind(count);
    let rows = query.fetch_all(db.reader()).await?;
    let mut receipts = rows.iter().map(decode).collect::<Result<Vec<_>, _>>()?;
    let is_full = i64::try_from(rows.len()).is_ok_and(|len| len == count);
    let stopped_at = match rows.last().filter(|_| is_full) {
        Some(row) => Cursor { completed_at: Timestamp::from_us(row.try_get("shown_us")?), id: row.try_get("id")? },
        None => end,
    };
    receipts.reverse();
    Ok(Looked { receipts, stopped_at: Some(stopped_at) })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::base::clock::Clock;
    use crate::base::id::IdSource;
    use crate::domain::receipt::Status;
    use crate::store::commit::{Published, Received, Recorder};

    const AT: Timestamp = Timestamp::from_us(1_800_000_000_000_000);

    fn paths(receipts: &[Receipt]) -> Vec<&str> {
        receipts.iter().map(|receipt| receipt.client_path.as_str()).collect()
    }

    #[tokio::test]
    async fn what_comes_to_be_seen_later_is_behind_whatever_its_completion() {
        let folder = tempfile::tempdir().unwrap();
        let db = Db::open(folder.path()).await.unwrap();
        let ids = IdSource::seeded(Clock::System, 7);
        let (recorder, writer) = Recorder::new(db.clone());
        let writing = tokio::spawn(writer.run());
        let all = Search::default();
        assert_eq!(latest_shown(&db).await.unwrap(), None);
        let second = Duration::from_secs(1);
        // Completed in this order; the clock is set back before the last.
        let times = [AT, AT.plus(second), AT.plus(second * 2), AT.minus(Duration::from_hours(1))];
        let mut received = Vec::new();
        for (name, at) in ["/Receive/a", "/Receive/b", "/Receive/c", "/Receive/d"].into_iter().zip(times) {
            let one = Received::at(name, &ids, at);
            recorder.receive(one.clone()).await.unwrap();
            received.push(one);
        }
        let publish = async |which: usize| {
            let one = &received[which];
            recorder.publish(Published::of(&one.receipt, one.event_id.clone())).await;
            recorder.flush().await.unwrap();
        };
        publish(1).await;
        let mut place = latest_shown(&db).await.unwrap().unwrap();
        // An older cursor: the row with its completion time is returned once more, and nothing is skipped.
        let old = Cursor { completed_at: times[1], id: received[1].receipt.id.to_string() };
        for (which, name) in [(0, "/Receive/a"), (3, "/Receive/d")] {
            publish(which).await;
            let since = shown_since(&db, &all, &place, (9, 9)).await.unwrap();
            assert_eq!(paths(&since.receipts), [name]);
            place = since.stopped_at.unwrap();
        }
        assert_eq!(Some(&place), latest_shown(&db).await.unwrap().as_ref());
        // A receipt whose bytes were lost becomes visible as such; a change of status is not reported again.
        receipt::set_status(&db, &received[2].receipt.id, Status::Lost).await.unwrap();
        receipt::set_status(&db, &received[0].receipt.id, Status::Removed).await.unwrap();
        let since = shown_since(&db, &all, &place, (9, 9)).await.unwrap();
        assert_eq!(paths(&since.receipts), ["/Receive/c"]);
        let from_old = shown_since(&db, &all, &old, (9, 9)).await.unwrap();
        assert_eq!(paths(&from_old.receipts), ["/Receive/c", "/Receive/d", "/Receive/a", "/Receive/b"]);
        // In steps: as many as wanted, or as far as inspected.
        let other = Search { connector_key: Some("globex".to_owned()), ..Search::default() };
        for (search, limits, names) in [(&all, (9, 2), &["/Receive/a", "/Receive/b"][..]), (&other, (2, 9), &[])] {
            let step = shown_since(&db, search, &old, limits).await.unwrap();
            assert_eq!(paths(&step.receipts), names);
            let rest = shown_since(&db, &all, &step.stopped_at.unwrap(), (9, 9)).await.unwrap();
            assert_eq!(paths(&rest.receipts), ["/Receive/c", "/Receive/d"]);
        }
        drop(recorder);
        writing.await.unwrap();
    }

    #[tokio::test]
    async fn what_came_to_be_seen_is_found_by_its_own_order_and_nothing_else_is() {
        let folder = tempfile::tempdir().unwrap();
        let db = Db::open(folder.path()).await.unwrap();
        let plan = async |sql: &str| db.plan(sql).await.join("\n");
        let between = format!("SELECT {COLUMNS} {SHOWN_BETWEEN} WHERE TRUE AND connector_key = $1");
        for sql in [SHOWN_BEHIND, &between] {
            let steps = plan(sql).await;
            assert!(steps.contains("USING INDEX receipts_shown (<expr>>"), "{steps}");
        }
        for (keys, index) in [
            ("completed_at_us DESC, id DESC", "receipts_newest"),
            ("client_path, id", "receipts_by_name"),
            ("size_bytes, id", "receipts_by_size"),
        ] {
            let steps = plan(&format!("{SELECT}WHERE publishing = 0 ORDER BY {keys} LIMIT 50")).await;
            assert!(steps.contains(index) && !steps.contains("TEMP B-TREE"), "{steps}");
        }
        let steps =
            plan("SELECT COUNT(*) FROM receipts WHERE publishing = 0 AND (completed_at_us, id) > (1, 'a')").await;
        assert!(steps.contains("receipts_newest ((completed_at_us,id)>"), "{steps}");
    }
}
