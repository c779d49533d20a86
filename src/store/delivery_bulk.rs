//! What an administrator does to many deliveries at once: those of the events in a filter. It is done in pieces, each a
//! commit with its line in the audit, so that no upload waits for long.

use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{AssertSqlSafe, Row, Sqlite, Transaction};

use super::audit;
use super::event::Filter;
use super::open::{Db, StoreError};
use super::setting::Change;
use super::settle::{may_stop, settle};
use crate::base::clock::Timestamp;
use crate::base::id::ReceiptId;
use crate::domain::event::EventKind;

/// Deliveries per commit.
pub const PIECE_MAX: i64 = 500;
/// The most deliveries counted: more are *over* that many.
pub const COUNTED_MAX: u64 = 100_000;

// The filter is joined to these; typed text is bound. Each walks its index in the index's own order.
const PENDING: &str = "d.ended_at_us IS NULL AND d.created_at_us <= $4";
const ENDED: &str = "d.ended_at_us <= $4 AND d.ended_at_us IS NOT NULL AND d.state IN ('failed', 'stopped') \
     AND d.target IN (SELECT value FROM json_each($9))";
const DELIVERED: &str = "d.ended_at_us <= $4 AND d.ended_at_us IS NOT NULL AND d.state = 'delivered' \
     AND d.target IN (SELECT value FROM json_each($9))";
const BEHIND: &str =
    " AND (d.source_key, d.target, d.id) > ($5, $6, $7) ORDER BY d.source_key, d.target, d.id LIMIT $8";
const STOP: &str = concat!(
    "UPDATE deliveries SET state = 'stopped', ended_at_us = $2 WHERE id IN (SELECT value FROM json_each($1)) AND ",
    may_stop!()
);
const AGAIN: &str = "UPDATE deliveries SET state = 'waiting', ended_at_us = NULL, next_at_us = $2, \
     since_attempt = attempts WHERE id IN (SELECT value FROM json_each($1)) AND ended_at_us IS NOT NULL";
const WAIT_AGAIN: &str = "UPDATE receipts SET status = 'waiting' WHERE COALESCE(status, '') = 'in_receive' AND id IN \
     (SELECT receipt_id FROM deliveries WHERE substr(target, 1, 10) = 'connector:' \
     AND id IN (SELECT value FROM json_each($1)))";
// Those ahead in their lanes go first, so they become due too.
const FIRE: &str = "UPDATE deliveries SET next_at_us = $4 WHERE id IN (SELECT id FROM deliveries WHERE source_key = $1 \
     AND target = $2 AND id <= $3 AND ended_at_us IS NULL AND next_at_us > $4 LIMIT $5)";

/// Which deliveries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// Those that have not ended.
    Pending,
    /// Those given up or stopped.
    NotDelivered,
    /// Those that were delivered.
    Delivered,
}

/// The deliveries of the events in a filter.
#[derive(Clone, Debug)]
pub struct Chosen {
    /// Which events; empty: deliveries of every event, including events no longer kept.
    pub events: Filter,
    /// Which of their deliveries.
    pub which: Which,
    /// As of then: none that was made, or has ended, since.
    pub until: Timestamp,
    /// If they have ended, only those to these targets.
    pub targets: Vec<String>,
}

/// One delivery of a piece.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct One {
    /// Its number.
    pub id: i64,
    /// The file it concerns.
    pub receipt_id: Option<ReceiptId>,
    /// The connector it comes from, by its id in lower case.
    pub source_key: String,
    /// Where it goes.
    pub target: String,
}

type Query<'q> = sqlx::query::Query<'q, Sqlite, SqliteArguments>;

impl Chosen {
    fn source(&self) -> String {
        let which = match self.which {
            Which::Pending => PENDING,
            Which::NotDelivered => ENDED,
            Which::Delivered => DELIVERED,
        };
        let clauses = [
            (self.events.kind.is_some(), " AND e.kind = $1"),
            (self.events.connector.is_some(), " AND e.connector = $2"),
            (self.events.since.is_some(), " AND e.at_us >= $3"),
        ];
        let wanted: String = clauses.iter().filter(|(wanted, _)| *wanted).map(|(_, clause)| *clause).collect();
        let join = if wanted.is_empty() { "" } else { " JOIN events e ON e.id = d.event_id" };
        format!("FROM deliveries d{join} WHERE {which}{wanted}")
    }

    fn bind<'q>(&self, query: Query<'q>, after: &One, count: u64) -> Query<'q> {
        query
            .bind(self.events.kind.map_or("", EventKind::name))
            .bind(self.events.connector.clone().unwrap_or_default())
            .bind(self.events.since.map_or(i64::MIN, Timestamp::us))
            .bind(self.until.us())
            .bind(after.source_key.clone())
            .bind(after.target.clone())
            .bind(after.id)
            .bind(count.cast_signed())
            .bind(serde_json::json!(self.targets).to_string())
    }

    /// How many for each target, most first, counting up to [`COUNTED_MAX`] in all.
    pub async fn count(&self, db: &Db) -> Result<Vec<(String, u64)>, StoreError> {
        let chosen = self.source();
        let sql = format!(
            "SELECT target, COUNT(*) FROM (SELECT d.target AS target {chosen} LIMIT $8) AS chosen \
             GROUP BY target ORDER BY 2 DESC, 1"
        );
        let query = self.bind(sqlx::query(AssertSqlSafe(sql)), &One::default(), COUNTED_MAX);
        let rows = query.fetch_all(db.reader()).await?;
        rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get::<i64, _>(1)?.unsigned_abs()))).collect()
    }

    /// The next piece after `after`, lane by lane; the first begins after the default.
    pub async fn piece(&self, db: &Db, after: &One) -> Result<Vec<One>, StoreError> {
        let sql = format!("SELECT d.id, d.receipt_id, d.source_key, d.target {}{BEHIND}", self.source());
        let query = self.bind(sqlx::query(AssertSqlSafe(sql)), after, PIECE_MAX.unsigned_abs());
        query.fetch_all(db.reader()).await?.iter().map(one).collect()
    }
}

fn one(row: &SqliteRow) -> Result<One, StoreError> {
    Ok(One {
        id: row.try_get(0)?,
        receipt_id: row.try_get::<Option<String>, _>(1)?.as_deref().and_then(ReceiptId::parse),
        source_key: row.try_get(2)?,
        target: row.try_get(3)?,
    })
}

/// *Stop retrying*. Returns how many had not ended; `of` says in words whose they are.
pub async fn stop(db: &Db, piece: &[One], of: &str, change: &Change<'_>) -> Result<u64, StoreError> {
    let mut tx = db.begin().await?;
    let stopped = stop_in(&mut tx, piece, change.at).await?;
    record(&mut tx, "stopped", (stopped, of), change).await?;
    tx.commit().await?;
    Ok(stopped)
}

/// The same within a transaction, without the audit.
pub(super) async fn stop_in(tx: &mut Transaction<'_, Sqlite>, piece: &[One], at: Timestamp) -> Result<u64, StoreError> {
    let query = sqlx::query(STOP).bind(numbers(piece)).bind(at.us());
    let stopped = query.execute(&mut **tx).await?.rows_affected();
    if stopped > 0 {
        let receipts: Vec<_> = piece.iter().filter_map(|one| one.receipt_id.clone()).collect();
        settle(tx, &receipts).await?;
    }
    Ok(stopped)
}

/// *Pass along again*: begun anew, each with the same event id and a higher attempt. Their bytes must be held by then.
/// Returns how many had ended.
pub async fn again(db: &Db, piece: &[One], of: &str, change: &Change<'_>) -> Result<u64, StoreError> {
    let mut tx = db.begin().await?;
    let begun = again_in(&mut tx, piece, change.at).await?;
    record(&mut tx, "begun anew", (begun, of), change).await?;
    tx.commit().await?;
    Ok(begun)
}

/// The same within a transaction, without the audit. The deliveries of an action do not affect where the file is.
pub(super) async fn again_in(
    tx: &mut Transaction<'_, Sqlite>,
    piece: &[One],
    at: Timestamp,
) -> Result<u64, StoreError> {
    let begun = sqlx::query(AGAIN).bind(numbers(piece)).bind(at.us()).execute(&mut **tx).await?.rows_affected();
    if begun > 0 {
        sqlx::query(WAIT_AGAIN).bind(numbers(piece)).execute(&mut **tx).await?;
    }
    Ok(begun)
}

/// *Fire now*: all of a piece are due at once, and so are those ahead in their lanes. Returns how many were not due
/// yet.
pub async fn fire(db: &Db, piece: &[One], of: &str, change: &Change<'_>) -> Result<u64, StoreError> {
    let mut fired = 0;
    // A piece is sorted by lane, each in order: the last of a lane has all others ahead of it.
    for lane in piece.chunk_by(|a, b| (&a.source_key, &a.target) == (&b.source_key, &b.target)) {
        let Some(last) = lane.last() else { continue };
        loop {
            let mut tx = db.begin().await?;
            let query = sqlx::query(FIRE).bind(&last.source_key).bind(&last.target).bind(last.id);
            let query = query.bind(change.at.us()).bind(PIECE_MAX);
            let now_due = query.execute(&mut *tx).await?.rows_affected();
            if now_due == 0 {
                break;
            }
            record(&mut tx, "fired now", (now_due, of), change).await?;
            tx.commit().await?;
            fired += now_due;
        }
    }
    Ok(fired)
}

fn numbers(piece: &[One]) -> String {
    serde_json::json!(piece.iter().map(|one| one.id).collect::<Vec<_>>()).to_string()
}

async fn record(
    tx: &mut Transaction<'_, Sqlite>,
    key: &str,
    (count, of): (u64, &str),
    change: &Change<'_>,
) -> sqlx::Result<()> {
    if count == 0 {
        return Ok(());
    }
    let after = format!("{count} deliveries of {of}");
    audit::add(tx, change, &audit::Entry { subject: "deliveries", key, before: "", after: &after }).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::Clock;
    use crate::base::id::IdSource;
    use crate::store::event::{self, Event};

    const FILL: &str = "INSERT INTO deliveries (event_id, receipt_id, source_key, target, state, attempts, since_attempt, \
         next_at_us, created_at_us, ended_at_us) VALUES ($1, NULL, $2, $3, $4, 1, 0, $5, 1, $6)";

    struct Bench {
        db: Db,
        ids: IdSource,
        _folder: tempfile::TempDir,
    }

    const NOW: Timestamp = Timestamp::from_us(1_000_000);

    impl Bench {
        async fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let db = Db::open(folder.path()).await.unwrap();
            Self { db, ids: IdSource::random(Clock::System), _folder: folder }
        }

        async fn fill(&self, kind: EventKind, lane: (&str, &str), state: &str, count: usize) {
            let mut event = Event::new(&self.ids, kind, Timestamp::from_us(5), "");
            event.connector = lane.0.to_owned();
            event::record(&self.db, &event).await.unwrap();
            let ended = (!matches!(state, "waiting" | "retrying")).then_some(7_i64);
            for _ in 0..count {
                let query = sqlx::query(FILL).bind(event.id.as_str()).bind(lane.0).bind(lane.1).bind(state);
                query
                    .bind(NOW.plus(std::time::Duration::from_hours(1)).us())
                    .bind(ended)
                    .execute(self.db.writer())
                    .await
                    .unwrap();
            }
        }

        fn change(&self) -> Change<'_> {
            Change { who: "test", remote: "", at: NOW, ids: &self.ids }
        }

        async fn states(&self) -> Vec<(String, i64)> {
            let sql = "SELECT state, COUNT(*) FROM deliveries GROUP BY state ORDER BY state";
            let rows = sqlx::query(sql).fetch_all(self.db.reader()).await.unwrap();
            rows.iter().map(|row| (row.get(0), row.get(1))).collect()
        }
    }

    fn chosen(kind: Option<EventKind>, which: Which) -> Chosen {
        let events = Filter { kind, ..Filter::default() };
        Chosen { events, which, until: NOW, targets: vec!["connector:b".to_owned(), "connector:c".to_owned()] }
    }

    #[tokio::test]
    async fn what_a_filter_finds_is_stopped_piece_by_piece_and_nothing_else() {
        let bench = Bench::new().await;
        bench.fill(EventKind::AfterReceive, ("a", "connector:b"), "retrying", 700).await;
        bench.fill(EventKind::AfterReceive, ("a", "connector:c"), "waiting", 5).await;
        bench.fill(EventKind::AfterSend, ("a", "action:1"), "waiting", 3).await;
        let all = chosen(Some(EventKind::AfterReceive), Which::Pending);
        let expected = [("connector:b".to_owned(), 700), ("connector:c".to_owned(), 5)];
        assert_eq!(all.count(&bench.db).await.unwrap(), expected);
        let (mut after, mut sizes, mut stopped) = (One::default(), Vec::new(), 0);
        loop {
            let piece = all.piece(&bench.db, &after).await.unwrap();
            let Some(last) = piece.last() else { break };
            after = last.clone();
            sizes.push(piece.len());
            stopped += stop(&bench.db, &piece, "these", &bench.change()).await.unwrap();
        }
        assert_eq!((sizes, stopped), (vec![500, 205], 705));
        assert_eq!(bench.states().await, [("stopped".to_owned(), 705), ("waiting".to_owned(), 3)]);
        let told = audit::latest(&bench.db, Some("deliveries"), 10).await.unwrap();
        assert_eq!(
            told.iter().map(|one| one.after.as_str()).collect::<Vec<_>>(),
            ["205 deliveries of these", "500 deliveries of these"]
        );
    }

    #[tokio::test]
    async fn what_was_given_up_is_begun_anew_where_its_target_is_still_there() {
        let bench = Bench::new().await;
        bench.fill(EventKind::AfterReceive, ("a", "connector:b"), "failed", 2).await;
        bench.fill(EventKind::AfterReceive, ("a", "connector:gone"), "failed", 1).await;
        bench.fill(EventKind::AfterReceive, ("a", "connector:b"), "delivered", 4).await;
        let all = chosen(None, Which::NotDelivered);
        let piece = all.piece(&bench.db, &One::default()).await.unwrap();
        assert_eq!(again(&bench.db, &piece, "these", &bench.change()).await.unwrap(), 2);
        let expected = [("delivered".to_owned(), 4), ("failed".to_owned(), 1), ("waiting".to_owned(), 2)];
        assert_eq!(bench.states().await, expected);
        assert_eq!(chosen(None, Which::Delivered).count(&bench.db).await.unwrap(), [("connector:b".to_owned(), 4)]);
    }

    #[tokio::test]
    async fn firing_makes_due_what_is_before_it_in_its_lane_too() {
        let bench = Bench::new().await;
        bench.fill(EventKind::AfterReceive, ("a", "connector:b"), "retrying", 600).await;
        bench.fill(EventKind::AfterSend, ("a", "connector:b"), "waiting", 1).await;
        bench.fill(EventKind::AfterReceive, ("x", "connector:b"), "retrying", 2).await;
        let all = chosen(Some(EventKind::AfterSend), Which::Pending);
        let piece = all.piece(&bench.db, &One::default()).await.unwrap();
        assert_eq!(piece.len(), 1);
        assert_eq!(fire(&bench.db, &piece, "these", &bench.change()).await.unwrap(), 601);
    }
}
