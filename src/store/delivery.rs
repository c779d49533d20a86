//! Deliveries: what an event sets off, one row for each target, and each attempt (PRODUCT section 10). Those of a
//! received file are made in its receipt's own commit (`group`). All deliveries from one source to one target are a
//! *lane*.

use std::sync::LazyLock;
use std::time::Duration;

use serde_json::{Value, json};
use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, Row, Sqlite, Transaction};

use super::event::{self, Event};
use super::open::{Db, StoreError};
use super::receipt;
use super::settle::{SETTLE, may_stop, settle};
use crate::base::clock::Timestamp;
use crate::base::id::{EventId, ReceiptId};
use crate::domain::flow::{DeliveryState, Target};

/// No wait is longer: settings allow up to a week between attempts, and up to an hour for a file to settle.
const WAIT_MAX: Duration = Duration::from_hours(8 * 24);

// What `pending` reads, in this order. Deliveries to event targets about a received file are in a lane of its
// connector, without a receipt of their own. Those held back although due by `$4` are skipped: else a batch full of
// them would block all others for ever.
macro_rules! select_pending {
    ($rest:literal) => {
        concat!(
            "SELECT d.id, d.event_id, d.receipt_id, d.attempts, d.since_attempt, d.next_at_us, \
             COALESCE(r.publishing = 1 OR r.temporary_since_us IS NOT NULL, 0) AS held, p.delivery_id IS NOT NULL \
             FROM deliveries d LEFT JOIN receipts r ON r.id = COALESCE(d.receipt_id, (SELECT receipt_id FROM events \
             WHERE id = d.event_id AND $1 <> '')) LEFT JOIN placements p ON p.delivery_id = d.id \
             WHERE d.source_key = $1 AND d.target = $2 AND d.ended_at_us IS NULL \
             AND (held = 0 OR d.next_at_us > $4) ",
            $rest
        )
    };
}

// What `read_placement` reads, in this order.
macro_rules! select_placements {
    ($rest:literal) => {
        concat!(
            "SELECT p.delivery_id, p.folder, p.staged_name, p.name, p.inode, d.receipt_id, p.staging_inode \
             FROM placements p JOIN deliveries d ON d.id = p.delivery_id ",
            $rest
        )
    };
}

// Jumps from lane to lane in the index, however many deliveries wait in each.
const LANES: &str = "WITH RECURSIVE lanes (source_key, target) AS ( \
     SELECT source_key, target FROM (SELECT source_key, target FROM deliveries WHERE ended_at_us IS NULL \
     ORDER BY source_key, target LIMIT 1) AS first UNION ALL \
     SELECT next.source_key, next.target FROM lanes CROSS JOIN deliveries AS next WHERE next.id = COALESCE( \
     (SELECT id FROM deliveries WHERE ended_at_us IS NULL AND source_key = lanes.source_key \
     AND target > lanes.target ORDER BY target, id LIMIT 1), \
     (SELECT id FROM deliveries WHERE ended_at_us IS NULL AND source_key > lanes.source_key \
     ORDER BY source_key, target, id LIMIT 1))) SELECT source_key, target FROM lanes";

const IN_ORDER: &str = select_pending!("ORDER BY d.id LIMIT $3");
const BY_TIME: &str = select_pending!("ORDER BY d.next_at_us LIMIT $3");
// For `record`: `$2` is an array of `Attempted::row`.
const ADD_ATTEMPTS: &str = "INSERT INTO attempts (delivery_id, number, at_us, duration_us, outcome, answer, letter) SELECT d.id, \
     d.attempts + 1, tried.value->>1, tried.value->>2, tried.value->>3, tried.value->>4, tried.value->>10 \
     FROM jsonb_each($2) AS tried CROSS JOIN deliveries d ON d.id = tried.value->>0";
// A delivery stopped during an attempt stays stopped, unless the target has it.
const AFTER_ATTEMPTS: &str = "UPDATE deliveries SET attempts = attempts + 1, since_attempt = since_attempt + (tried.value->>11), \
     next_at_us = tried.value->>6, \
     state = CASE WHEN ended_at_us IS NULL OR tried.value->>5 = 'delivered' THEN tried.value->>5 ELSE state END, \
     ended_at_us = CASE WHEN ended_at_us IS NULL OR tried.value->>5 = 'delivered' THEN tried.value->>7 \
     ELSE ended_at_us END FROM jsonb_each($2) AS tried WHERE deliveries.id = tried.value->>0";
const DUE_NOW: &str = "UPDATE deliveries SET next_at_us = $1 WHERE ended_at_us IS NULL AND next_at_us > $2";
// When its wait began: at its last attempt, or when it was made.
const WAIT_FROM_NOW: &str = "UPDATE deliveries SET next_at_us = $1 + next_at_us - begun.at_us \
     FROM (SELECT d.id, COALESCE(a.at_us, d.created_at_us) AS at_us FROM deliveries d LEFT JOIN attempts a \
     ON a.delivery_id = d.id AND a.number = d.attempts WHERE d.ended_at_us IS NULL AND d.next_at_us > $1) AS begun \
     WHERE deliveries.id = begun.id AND begun.at_us > $1 AND next_at_us >= begun.at_us";
const IS_GIVEN_UP: &str = "SELECT COUNT(*) FROM deliveries WHERE id = $1 AND state = 'failed'";
const FORGET_PLACEMENTS: &str = "DELETE FROM placements WHERE delivery_id IN (SELECT value->>0 FROM jsonb_each($2) \
     WHERE value->>7 IS NOT NULL)";
const FORGET_PLACEMENT: &str = "DELETE FROM placements WHERE delivery_id = $1";
const PLACE: &str = "INSERT INTO placements (delivery_id, folder, staged_name, name, inode, staging_inode) \
     SELECT value->>0, value->>1, value->>2, value->>3, value->>4, value->>5 FROM jsonb_each($1)";

const PLACEMENTS: &str = select_placements!("ORDER BY p.delivery_id");
const PLACEMENT: &str = select_placements!("WHERE p.delivery_id = $1");
// Files in a partner's Send are the partner's to collect; those in a Folder are kept for a time.
const KEEP_FILES: &str = "INSERT INTO kept_files (connector_key, name, inode, at_us) \
     SELECT t.owner, placed.value->>8, placed.value->>9, placed.value->>7 FROM jsonb_each($2) AS placed \
     CROSS JOIN deliveries d ON d.id = placed.value->>0 JOIN setting_values t ON t.scope = 'connector' \
     AND t.owner = substr(d.target, 11) AND t.key = 'type' AND t.value = 'folder' \
     WHERE placed.value->>8 IS NOT NULL AND substr(d.target, 1, 10) = 'connector:' ORDER BY placed.key \
     ON CONFLICT (connector_key, name) DO UPDATE SET inode = excluded.inode, at_us = excluded.at_us";
// What is passed along to a Folder continues along its arrows; each delivery once, however often it is recorded, even
// if a file came there twice in the same batch.
const PASS_ON: &str = "INSERT INTO deliveries (event_id, receipt_id, source_key, target, state, attempts, since_attempt, \
     next_at_us, created_at_us) SELECT d.event_id, d.receipt_id, a.from_key, 'connector:' || a.to_key, 'waiting', 0, 0, \
     placed.value->>7, placed.value->>7 FROM jsonb_each($2) AS placed CROSS JOIN deliveries d \
     ON d.id = placed.value->>0 JOIN arrows a ON a.from_key = substr(d.target, 11) AND a.on_error = 0 \
     JOIN setting_values t ON t.scope = 'connector' AND t.owner = a.from_key AND t.key = 'type' AND t.value = 'folder' \
     WHERE placed.value->>8 IS NOT NULL AND substr(d.target, 1, 10) = 'connector:' \
     AND NOT EXISTS (SELECT 1 FROM deliveries made WHERE made.receipt_id = d.receipt_id \
     AND made.event_id = d.event_id AND made.source_key = a.from_key) \
     GROUP BY d.receipt_id, d.event_id, a.from_key, a.to_key ORDER BY MIN(placed.key), a.added_at_us";
const LEAD_ELSEWHERE: &str = "INSERT INTO deliveries (event_id, receipt_id, source_key, target, state, attempts, \
     since_attempt, next_at_us, created_at_us, instead_of) SELECT d.event_id, d.receipt_id, d.source_key, \
     'connector:' || a.to_key, 'waiting', 0, 0, failed.value->>7, failed.value->>7, d.id FROM jsonb_each($2) AS failed \
     CROSS JOIN deliveries d ON d.id = failed.value->>0 JOIN arrows a \
     ON a.from_key = d.source_key AND a.on_error = 1 WHERE failed.value->>5 = 'failed' AND d.state = 'failed' \
     AND d.instead_of IS NULL AND substr(d.target, 1, 10) = 'connector:' AND NOT EXISTS (SELECT 1 FROM deliveries made \
     WHERE made.receipt_id = d.receipt_id AND made.instead_of = d.id) \
     ORDER BY failed.key";
/// Attempts, their consequences, and [`SETTLE`]: one call of the database however many there are (decision 0090).
static RECORD: LazyLock<String> = LazyLock::new(|| {
    let attempts = [ADD_ATTEMPTS, AFTER_ATTEMPTS, FORGET_PLACEMENTS, KEEP_FILES, PASS_ON, LEAD_ELSEWHERE];
    [&attempts.join(";\n"), SETTLE.as_str()].join(";\n")
});

const LANE_RECEIPTS: &str = concat!(
    "SELECT DISTINCT receipt_id FROM deliveries WHERE source_key = $1 AND target = $2 AND receipt_id IS NOT NULL AND ",
    may_stop!()
);
const STOP_LANE: &str = concat!(
    "UPDATE deliveries SET state = 'stopped', ended_at_us = $3 WHERE source_key = $1 AND target = $2 AND ",
    may_stop!()
);
const LANES_OF: &str = "SELECT source_key, target FROM deliveries WHERE ended_at_us IS NULL \
     AND (target = $2 OR source_key = $1 AND substr(target, 1, 7) <> 'events:') UNION \
     SELECT source_key, target FROM deliveries WHERE state = 'failed' AND substr(target, 1, 10) = 'connector:' \
     AND (target = $2 OR source_key = $1)";
/// All deliveries from one source to one target.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Lane {
    /// The connector they come from, by its id in lower case; empty for the appliance.
    pub source_key: String,
    /// Where they go.
    pub target: Target,
}

/// A delivery that has not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    /// Its number; smaller ones are older.
    pub id: i64,
    /// The event it delivers.
    pub event_id: EventId,
    /// The file, if it concerns one.
    pub receipt_id: Option<ReceiptId>,
    /// Attempts since it was made.
    pub attempts: u32,
    /// Failed attempts since it was last begun anew.
    pub failed: u32,
    /// When the next one is due.
    pub next_at: Timestamp,
    /// Its file does not have its final name yet, or has a temporary one again.
    pub held: bool,
    /// Its file was on its way into a folder, and may have arrived.
    pub placed: bool,
}

/// The outcome of one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempted {
    /// Which delivery.
    pub delivery: i64,
    /// The file it concerns.
    pub receipt_id: Option<ReceiptId>,
    /// When it began.
    pub at: Timestamp,
    /// How long it took.
    pub took: Duration,
    /// What the other side answered, or why it was not reached.
    pub answer: String,
    /// What follows.
    pub next: Next,
    /// For alerts sent in one letter, whether this is the first: it counts the letter.
    pub letter: bool,
}

/// What follows an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing: the target has it; in which place, if the target is a folder.
    Delivered(Option<Placed>),
    /// Another attempt, at that time.
    Retry(Timestamp),
    /// Another one at once: this side broke this one off, and it does not count.
    Again,
    /// It is given up, with the event that says so. An alert has none: that would be one more alert that cannot be
    /// sent.
    GiveUp(Option<Box<Event>>),
    /// The target declines it for good.
    Stop,
}

/// A file that was put into a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    /// The name it got.
    pub name: String,
    /// Its inode.
    pub inode: u64,
}

/// A file on its way into a folder: staged and synced, not yet known to have its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// The delivery.
    pub delivery: i64,
    /// The folder, as a path of this machine.
    pub folder: String,
    /// Its name in staging.
    pub staged_name: String,
    /// The name it gets.
    pub name: String,
    /// Its inode.
    pub inode: u64,
    /// The inode of its staging folder; `None` if it was not recorded yet.
    pub staging_inode: Option<u64>,
    /// The file.
    pub receipt_id: Option<ReceiptId>,
}

/// Lanes with deliveries still to be made.
pub async fn lanes(db: &Db) -> Result<Vec<Lane>, StoreError> {
    let rows = sqlx::query(LANES).fetch_all(db.reader()).await?;
    let lane = |row: &SqliteRow| -> Result<Option<Lane>, StoreError> {
        let target: String = row.try_get(1)?;
        Ok(Target::parse(&target).map(|target| Lane { target, source_key: row.get(0) }))
    };
    rows.iter().filter_map(|row| lane(row).transpose()).collect()
}

/// The next deliveries of a lane, at most `count`: the oldest, or with `by_time` the first due. Held-back ones are
/// included only without `by_time`, and only if due after `held_since`.
pub async fn next(
    db: &Db,
    lane: &Lane,
    by_time: bool,
    held_since: Timestamp,
    count: i64,
) -> Result<Vec<Pending>, StoreError> {
    let (sql, held_since) = if by_time { (BY_TIME, i64::MAX) } else { (IN_ORDER, held_since.us()) };
    let query = sqlx::query(sql).bind(&lane.source_key).bind(lane.target.text()).bind(count).bind(held_since);
    query.fetch_all(db.reader()).await?.iter().map(pending).collect()
}

fn pending(row: &SqliteRow) -> Result<Pending, StoreError> {
    let id: i64 = row.try_get(0)?;
    let event_id: String = row.try_get(1)?;
    let attempts = row.try_get::<u32, _>(3)?;
    Ok(Pending {
        id,
        event_id: EventId::parse(&event_id).ok_or_else(|| StoreError::Unreadable(format!("delivery {id}")))?,
        receipt_id: row.try_get::<Option<String>, _>(2)?.as_deref().and_then(ReceiptId::parse),
        attempts,
        failed: attempts.saturating_sub(row.try_get(4)?),
        next_at: Timestamp::from_us(row.try_get(5)?),
        held: row.try_get::<i64, _>(6)? == 1,
        placed: row.try_get::<i64, _>(7)? == 1,
    })
}

/// Files are staged and synced: from now on a staged file that has gone counts as delivered.
pub async fn place(db: &Db, placements: &[Placement]) -> Result<(), StoreError> {
    let row = |one: &Placement| {
        let inodes = (one.inode.cast_signed(), one.staging_inode.map(u64::cast_signed));
        json!([one.delivery, one.folder, one.staged_name, one.name, inodes.0, inodes.1])
    };
    let rows: Value = placements.iter().map(row).collect();
    sqlx::query(PLACE).bind(rows.to_string()).execute(db.writer()).await?;
    Ok(())
}

/// Every file that was on its way into a folder.
pub async fn placements(db: &Db) -> Result<Vec<Placement>, StoreError> {
    sqlx::query(PLACEMENTS).fetch_all(db.reader()).await?.iter().map(read_placement).collect()
}

/// The file of one delivery that was on its way into a folder.
pub async fn placement(db: &Db, delivery: i64) -> Result<Option<Placement>, StoreError> {
    sqlx::query(PLACEMENT).bind(delivery).fetch_optional(db.reader()).await?.as_ref().map(read_placement).transpose()
}

fn read_placement(row: &SqliteRow) -> Result<Placement, StoreError> {
    Ok(Placement {
        delivery: row.try_get(0)?,
        folder: row.try_get(1)?,
        staged_name: row.try_get(2)?,
        name: row.try_get(3)?,
        inode: row.try_get::<i64, _>(4)?.cast_unsigned(),
        receipt_id: row.try_get::<Option<String>, _>(5)?.as_deref().and_then(ReceiptId::parse),
        staging_inode: row.try_get::<Option<i64>, _>(6)?.map(i64::cast_unsigned),
    })
}

/// It did not get its name: it will be staged anew.
pub async fn forget_placement(db: &Db, delivery: i64) -> Result<(), StoreError> {
    sqlx::query(FORGET_PLACEMENT).bind(delivery).execute(db.writer()).await?;
    Ok(())
}

/// Records attempts and their consequences, all or nothing. Returns the receipts whose last target now has them: their
/// files leave Receive.
pub async fn record(db: &Db, attempts: &[Attempted]) -> Result<Vec<ReceiptId>, StoreError> {
    let rows: Value = attempts.iter().map(Attempted::row).collect();
    let ended = attempts.iter().filter(|one| !matches!(one.next, Next::Retry(_) | Next::Again));
    let ended = receipt::array(ended.filter_map(|one| one.receipt_id.as_ref()));
    let mut tx = db.begin().await?;
    let query = sqlx::query(AssertSqlSafe(RECORD.as_str())).bind(ended).bind(rows.to_string());
    let leaving = query.fetch_all(&mut *tx).await?;
    for one in attempts {
        if let Next::GiveUp(Some(event)) = &one.next
            && is_given_up(&mut tx, one.delivery).await?
        {
            event::add(&mut tx, event).await?;
        }
    }
    tx.commit().await?;
    leaving.iter().map(passed_along).collect()
}

async fn is_given_up(tx: &mut Transaction<'_, Sqlite>, delivery: i64) -> sqlx::Result<bool> {
    Ok(sqlx::query(IS_GIVEN_UP).bind(delivery).fetch_one(&mut **tx).await?.try_get::<i64, _>(0)? > 0)
}

impl Attempted {
    /// One row for [`RECORD`]: the delivery; time, duration, outcome and answer of the attempt; state, next attempt and
    /// end of the delivery; name and inode, if it was placed; whether it counts as a letter; whether it is not counted
    /// as an attempt.
    fn row(&self) -> Value {
        let ended = self.at.plus(self.took);
        let (state, outcome, next_at, ended_at) = match &self.next {
            Next::Delivered(_) => (DeliveryState::Delivered, "delivered", ended, Some(ended)),
            Next::Retry(at) => (DeliveryState::Retrying, "retry", *at, None),
            Next::Again => (DeliveryState::Retrying, "retry", ended, None),
            Next::GiveUp(_) => (DeliveryState::Failed, "retry", ended, Some(ended)),
            Next::Stop => (DeliveryState::Stopped, "stopped", ended, Some(ended)),
        };
        let placed = if let Next::Delivered(Some(placed)) = &self.next { Some(placed) } else { None };
        json!([
            self.delivery,
            self.at.us(),
            i64::try_from(self.took.as_micros()).unwrap_or(i64::MAX),
            outcome,
            self.answer,
            state.name(),
            next_at.us(),
            ended_at.map(Timestamp::us),
            placed.map(|placed| &placed.name),
            placed.map(|placed| placed.inode.cast_signed()),
            i64::from(self.letter),
            i64::from(matches!(self.next, Next::Again)),
        ])
    }
}

fn passed_along(row: &SqliteRow) -> Result<ReceiptId, StoreError> {
    let id: String = row.try_get(0)?;
    ReceiptId::parse(&id).ok_or_else(|| StoreError::Unreadable(format!("receipt {id}")))
}

/// The arrow is gone: its deliveries stop. Returns how many there were.
pub(super) async fn stop_lane(
    tx: &mut Transaction<'_, Sqlite>,
    from: &str,
    to: &str,
    at: Timestamp,
) -> sqlx::Result<u64> {
    stop(tx, from, &Target::Connector(to.to_owned()).text(), at).await
}

/// The connector is gone: deliveries from and to it stop. Events about it are still delivered.
pub(super) async fn stop_of(tx: &mut Transaction<'_, Sqlite>, key: &str, at: Timestamp) -> sqlx::Result<()> {
    stop_lanes(tx, (Some(key), &Target::Connector(key.to_owned())), at).await
}

/// The target is gone: deliveries to it stop, whatever their source.
pub(super) async fn stop_to(tx: &mut Transaction<'_, Sqlite>, target: &Target, at: Timestamp) -> sqlx::Result<()> {
    stop_lanes(tx, (None, target), at).await
}

async fn stop_lanes(
    tx: &mut Transaction<'_, Sqlite>,
    (source, target): (Option<&str>, &Target),
    at: Timestamp,
) -> sqlx::Result<()> {
    for row in sqlx::query(LANES_OF).bind(source).bind(target.text()).fetch_all(&mut **tx).await? {
        let (source, target): (String, String) = (row.try_get(0)?, row.try_get(1)?);
        stop(tx, &source, &target, at).await?;
    }
    Ok(())
}

/// Stops the deliveries of a lane. Returns how many there were.
pub(super) async fn stop(
    tx: &mut Transaction<'_, Sqlite>,
    source: &str,
    target: &str,
    at: Timestamp,
) -> sqlx::Result<u64> {
    let receipts = sqlx::query(LANE_RECEIPTS).bind(source).bind(target).fetch_all(&mut **tx).await?;
    let stopped = sqlx::query(STOP_LANE).bind(source).bind(target).bind(at.us()).execute(&mut **tx).await?;
    let receipts: Vec<_> = receipts.iter().filter_map(|row| ReceiptId::parse(row.get(0))).collect();
    settle(tx, &receipts).await?;
    Ok(stopped.rows_affected())
}

/// Deliveries made or tried while the clock was ahead wait from now on, for as long as they should have; those waiting
/// longer than any wait allowed are due now. Returns how many.
pub async fn catch_up(db: &Db, now: Timestamp) -> Result<u64, StoreError> {
    let mut tx = db.begin().await?;
    let put_off = sqlx::query(WAIT_FROM_NOW).bind(now.us()).execute(&mut *tx).await?.rows_affected();
    let due = sqlx::query(DUE_NOW).bind(now.us()).bind(now.plus(WAIT_MAX).us());
    let due = due.execute(&mut *tx).await?.rows_affected();
    tx.commit().await?;
    Ok(put_off + due)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::Clock;
    use crate::base::id::IdSource;
    use crate::domain::event::EventKind;
    use crate::domain::receipt::Status;
    use crate::store::commit::{Published, Received};
    use crate::store::group::Group;
    use crate::store::settle::{END_HOLDS, PASSED_ALONG, STAYS};
    use crate::store::{delivery_page, held};

    const FILL: &str = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $1) INSERT INTO deliveries \
         (event_id, receipt_id, source_key, target, state, attempts, since_attempt, next_at_us, created_at_us) \
         SELECT $2, NULL, 'acme', 'connector:' || CASE i % 4 WHEN 0 THEN 'b' ELSE 'archive' END, 'waiting', 0, 0, i, i FROM n";

    #[tokio::test]
    async fn what_was_put_off_while_the_clock_was_ahead_is_due() {
        let folder = tempfile::tempdir().unwrap();
        let db = Db::open(folder.path()).await.unwrap();
        let event = EventId::new(&IdSource::random(Clock::System));
        sqlx::query(FILL).bind(3).bind(event.as_str()).execute(db.writer()).await.unwrap();
        let now = Timestamp::from_us(1_800_000_000_000_000);
        let week = now.plus(Duration::from_hours(7 * 24));
        for (id, at) in [(1, now), (2, week), (3, now.plus(Duration::from_hours(400 * 24)))] {
            let put = sqlx::query("UPDATE deliveries SET next_at_us = $2 WHERE id = $1").bind(id).bind(at.us());
            put.execute(db.writer()).await.unwrap();
        }
        assert_eq!((catch_up(&db, now).await.unwrap(), catch_up(&db, now).await.unwrap()), (1, 0));
        let lane = Lane { source_key: "acme".to_owned(), target: Target::Connector("archive".to_owned()) };
        let next = next(&db, &lane, false, now, 9).await.unwrap();
        assert_eq!(next.iter().map(|one| one.next_at).collect::<Vec<_>>(), [now, week, now]);
    }

    #[tokio::test]
    async fn what_was_made_or_tried_while_the_clock_was_ahead_waits_as_long_as_it_was_to() {
        let folder = tempfile::tempdir().unwrap();
        let db = Db::open(folder.path()).await.unwrap();
        let event = EventId::new(&IdSource::random(Clock::System));
        sqlx::query(FILL).bind(3).bind(event.as_str()).execute(db.writer()).await.unwrap();
        let now = Timestamp::from_us(1_800_000_000_000_000);
        let [ahead, minute, settle] = [3_600, 60, 2].map(Duration::from_secs);
        let put = "UPDATE deliveries SET created_at_us = $2, attempts = $3, next_at_us = $4 WHERE id = $1";
        let tried = "INSERT INTO attempts (delivery_id, number, at_us, duration_us, outcome, answer) \
             VALUES ($1, $2, $3, 0, 'retry', '')";
        let later = now.plus(ahead);
        // One made later, one tried later, one neither: its retry is an hour away.
        let rows = [(1, later, 0, later.plus(settle)), (2, now, 2, later.plus(minute)), (3, now, 1, later)];
        for (id, made, attempts, next) in rows {
            let put = sqlx::query(put).bind(id).bind(made.us()).bind(attempts).bind(next.us());
            put.execute(db.writer()).await.unwrap();
        }
        for (id, number, at) in [(2, 1, now), (2, 2, later), (3, 1, now)] {
            let add = sqlx::query(tried).bind(id).bind(number).bind(at.us());
            add.execute(db.writer()).await.unwrap();
        }
        let lane = Lane { source_key: "acme".to_owned(), target: Target::Connector("archive".to_owned()) };
        for (looked, caught_up) in [(now, 2), (now.plus(minute), 0)] {
            assert_eq!(catch_up(&db, looked).await.unwrap(), caught_up);
            let next = next(&db, &lane, false, now, 9).await.unwrap();
            let expected = [now.plus(settle), now.plus(minute), later];
            assert_eq!(next.iter().map(|one| one.next_at).collect::<Vec<_>>(), expected);
        }
    }

    /// A target that is down for a week leaves this many deliveries waiting.
    const WAITING: i64 = 100_000;

    #[tokio::test]
    async fn a_hundred_thousand_waiting_deliveries_are_never_gone_through_to_find_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let db = Db::open(folder.path()).await.unwrap();
        let ids = IdSource::random(Clock::System);
        let event = EventId::new(&ids);
        sqlx::query(FILL).bind(WAITING).bind(event.as_str()).execute(db.writer()).await.unwrap();
        let lanes = lanes(&db).await.unwrap();
        let archive = Lane { source_key: "acme".to_owned(), target: Target::Connector("archive".to_owned()) };
        assert_eq!(lanes.len(), 2);
        assert_eq!(lanes[0], archive);
        let next = next(&db, &archive, false, Timestamp::default(), 64).await.unwrap();
        assert_eq!(next.iter().map(|one| one.id).take(4).collect::<Vec<_>>(), [1, 2, 3, 5]);
        let waiting = delivery_page::waiting(&db).await.unwrap();
        assert_eq!(waiting.iter().map(|lane| lane.count).collect::<Vec<_>>(), [75_000, 25_000]);
        // Statements that run for each file or many times a second find rows by an index, without scans.
        for statement in [
            LANES,
            IN_ORDER,
            BY_TIME,
            ADD_ATTEMPTS,
            AFTER_ATTEMPTS,
            KEEP_FILES,
            PASS_ON,
            LEAD_ELSEWHERE,
            END_HOLDS,
            PASSED_ALONG,
            STAYS,
        ] {
            let steps = db.plan(statement).await;
            let scans = steps.iter().filter(|step| step.starts_with("SCAN d") || step.starts_with("SCAN deliveries"));
            // The first lane is the first entry of an index.
            let scans: Vec<_> =
                scans.filter(|step| statement != LANES || !step.contains("INDEX deliveries_pending")).collect();
            assert!(scans.is_empty(), "{statement}\n{steps:?}");
            let by_status = steps.iter().any(|step| step.contains("receipts_of_status"));
            assert!(!by_status, "{statement}\n{steps:?}");
            let within_a_lane = steps.iter().any(|step| step.contains("(source_key=? AND target>?)"));
            assert!(statement != LANES || within_a_lane, "{steps:?}");
        }
    }

    const SET_UP: &str = "INSERT INTO arrows (from_key, to_key, on_error, added_at_us) VALUES ('acme', 'archive', 0, 1), \
         ('acme', 'errors', 1, 1), ('archive', 'beta', 0, 1); \
         INSERT INTO setting_groups (scope, owner, version, changed_at_us, changed_by) VALUES ('connector', 'archive', 1, 1, ''); \
         INSERT INTO setting_values (scope, owner, key, value) VALUES ('connector', 'archive', 'type', 'folder')";
    const AGAIN: &str = "INSERT INTO deliveries (event_id, receipt_id, source_key, target, state, attempts, since_attempt, \
         next_at_us, created_at_us) SELECT event_id, receipt_id, source_key, target, 'waiting', 0, 0, 1, 1 \
         FROM deliveries WHERE receipt_id = $1";
    /// Commits them; their files do not have their names yet.
    async fn receive(db: &Db, all: &[Received]) {
        let mut tx = db.begin().await.unwrap();
        let mut group = Group::default();
        for one in all {
            group.receipt(one);
        }
        group.write(&mut tx).await.unwrap();
        tx.commit().await.unwrap();
    }

    #[tokio::test]
    async fn a_batch_full_of_what_is_held_back_is_passed_over_in_time() {
        let folder = tempfile::tempdir().unwrap();
        let db = Db::open(folder.path()).await.unwrap();
        let ids = IdSource::random(Clock::System);
        let at = Timestamp::from_us(1_800_000_000_000_000);
        sqlx::raw_sql(SET_UP).execute(db.writer()).await.unwrap();
        let all: Vec<_> = (0..5).map(|n| Received::at(&format!("/Receive/{n}"), &ids, at)).collect();
        receive(&db, &all).await;
        let mut group = Group::default();
        group.publish(&Published::of(&all[4].receipt, all[4].event_id.clone()));
        let mut tx = db.begin().await.unwrap();
        group.write(&mut tx).await.unwrap();
        tx.commit().await.unwrap();
        let lane = Lane { source_key: "acme".to_owned(), target: Target::Connector("archive".to_owned()) };
        let next = async |by_time, held_since| {
            let next = next(&db, &lane, by_time, held_since, 4).await.unwrap();
            next.iter().map(|one| (one.id, one.held)).collect::<Vec<_>>()
        };
        let just_before = at.minus(Duration::from_micros(1));
        assert_eq!(next(false, just_before).await, [(1, true), (2, true), (3, true), (4, true)]);
        assert_eq!(next(false, at).await, [(5, false)]);
        assert_eq!(next(true, just_before).await, [(5, false)], "without order it holds up nothing");
    }

    const MADE: &str = "SELECT receipt_id, source_key, target, state, attempts FROM deliveries ORDER BY id";

    #[tokio::test]
    async fn a_batch_settles_each_file_by_itself_and_passes_it_on_once() {
        let folder = tempfile::tempdir().unwrap();
        let db = Db::open(folder.path()).await.unwrap();
        let ids = IdSource::random(Clock::System);
        let at = Timestamp::from_us(1_800_000_000_000_000);
        sqlx::raw_sql(SET_UP).execute(db.writer()).await.unwrap();
        let all = ["/Receive/there", "/Receive/later", "/Receive/never"].map(|name| Received::at(name, &ids, at));
        receive(&db, &all).await;
        let [there, later, never] = all.each_ref().map(|one| &one.receipt.id);
        // It came to the Folder twice, as if an error arrow of the same target led there.
        sqlx::query(AGAIN).bind(there.as_str()).execute(db.writer()).await.unwrap();

        let lane = Lane { source_key: "acme".to_owned(), target: Target::Connector("archive".to_owned()) };
        let pending = next(&db, &lane, false, Timestamp::default(), 64).await.unwrap();
        let placed = || Next::Delivered(Some(Placed { name: "there".to_owned(), inode: u64::MAX - 1 }));
        let nexts = [placed(), Next::Retry(at), Next::GiveUp(None), placed()];
        let attempts = pending.iter().zip(nexts).map(|(one, next)| Attempted {
            delivery: one.id,
            receipt_id: one.receipt_id.clone(),
            at,
            took: Duration::from_millis(5),
            answer: "it's \"there\"".to_owned(),
            next,
            letter: false,
        });
        let leaving = record(&db, &attempts.collect::<Vec<_>>()).await.unwrap();
        assert_eq!(leaving, std::slice::from_ref(there));

        let made = sqlx::query(MADE).fetch_all(db.reader()).await.unwrap();
        let made: Vec<(String, String, String, String, i64)> =
            made.iter().map(|row| (row.get(0), row.get(1), row.get(2), row.get(3), row.get(4))).collect();
        let row = |receipt: &ReceiptId, source: &str, target: &str, state: &str, attempts| {
            (receipt.to_string(), source.to_owned(), format!("connector:{target}"), state.to_owned(), attempts)
        };
        let expected = [
            row(there, "acme", "archive", "delivered", 1),
            row(later, "acme", "archive", "retrying", 1),
            row(never, "acme", "archive", "failed", 1),
            row(there, "acme", "archive", "delivered", 1),
            row(there, "archive", "beta", "waiting", 0),
            row(never, "acme", "errors", "waiting", 0),
        ];
        assert_eq!(made, expected);
        let mut ended: Vec<_> = held::all(&db).await.unwrap().into_iter().map(|hold| hold.ended).collect();
        ended.dedup();
        assert_eq!(ended, [false], "each is still needed: by beta, by a retry, by the error arrow");
        for (id, status) in [(there, Status::PassedAlong), (later, Status::Waiting), (never, Status::Waiting)] {
            assert_eq!(receipt::find(&db, id).await.unwrap().unwrap().status, status);
        }
    }

    #[tokio::test]
    async fn what_was_stopped_while_it_was_tried_stays_so_unless_the_target_has_it() {
        let folder = tempfile::tempdir().unwrap();
        let db = Db::open(folder.path()).await.unwrap();
        let ids = IdSource::random(Clock::System);
        let at = Timestamp::from_us(1_800_000_000_000_000);
        sqlx::raw_sql(SET_UP).execute(db.writer()).await.unwrap();
        sqlx::query(FILL).bind(12).bind(EventId::new(&ids).as_str()).execute(db.writer()).await.unwrap();
        let lane = Lane { source_key: "acme".to_owned(), target: Target::Connector("archive".to_owned()) };
        let pending = next(&db, &lane, false, Timestamp::default(), 4).await.unwrap();
        let mut tx = db.begin().await.unwrap();
        assert_eq!(stop_lane(&mut tx, "acme", "archive", at).await.unwrap(), 9);
        tx.commit().await.unwrap();
        let given_up = Event::new(&ids, EventKind::DeliveryFailed, at, "given up");
        let nexts = [Next::Retry(at), Next::GiveUp(Some(Box::new(given_up))), Next::Delivered(None), Next::Stop];
        let attempts = pending.iter().zip(nexts).map(|(one, next)| Attempted {
            delivery: one.id,
            receipt_id: None,
            at,
            took: Duration::from_millis(5),
            answer: String::new(),
            next,
            letter: false,
        });
        record(&db, &attempts.collect::<Vec<_>>()).await.unwrap();
        let mut states = Vec::new();
        for one in &pending {
            let one = delivery_page::find(&db, one.id).await.unwrap().unwrap();
            states.push((one.state, one.attempts, one.ended_at.is_some()));
        }
        let (stopped, delivered) = (DeliveryState::Stopped, DeliveryState::Delivered);
        assert_eq!(states, [(stopped, 1, true), (stopped, 1, true), (delivered, 1, true), (stopped, 1, true)]);
        let told = event::count_since(&db, EventKind::DeliveryFailed, Timestamp::default()).await.unwrap();
        assert_eq!(told, 0, "nothing was given up");
        assert_eq!(lanes(&db).await.unwrap().len(), 1, "no error arrow leads anywhere");
    }
}
