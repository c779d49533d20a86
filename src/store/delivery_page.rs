//! Deliveries as the pages show them, and an administrator's actions on them.

use sqlx::sqlite::SqliteRow;
use sqlx::{Row, Sqlite, Transaction};

use super::audit;
use super::delivery_bulk::{One, again_in, stop_in};
use super::open::{Db, StoreError};
use super::receipt::array;
use super::setting::Change;
use crate::base::clock::Timestamp;
use crate::base::human;
use crate::base::id::{EventId, ReceiptId};
use crate::domain::connector::ConnectorId;
use crate::domain::flow::{DeliveryState, Target};
use crate::domain::setting::{Texts, Value};

// What `decode` reads, in this order.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, receipt_id, source_key, target, state, attempts, next_at_us, ended_at_us, instead_of, \
             event_id FROM ",
            $rest
        )
    };
}

const OF_RECEIPT: &str = select!("deliveries WHERE receipt_id = $1 ORDER BY id");
const OF_RECEIPTS: &str =
    select!("deliveries WHERE receipt_id IN (SELECT value FROM json_each($1)) ORDER BY id LIMIT $2");
const ONE: &str = select!("deliveries WHERE id = $1");
// `$2` is the event's receipt: only deliveries without a receipt have an index by event.
const OF_EVENT: &str = select!(
    "(SELECT * FROM deliveries WHERE receipt_id = $2 AND event_id = $1 UNION ALL \
     SELECT * FROM deliveries WHERE receipt_id IS NULL AND event_id = $1) AS of_event ORDER BY id LIMIT $3"
);
const TRIES: &str = "SELECT number, at_us, duration_us, outcome, answer FROM attempts WHERE delivery_id = $1 \
     ORDER BY number DESC LIMIT 50";
// Counted from indexes alone. Ids grow with time, so the first of a lane has waited longest.
const PENDING: &str = "SELECT source_key, target, pending, (SELECT COUNT(*) FROM deliveries r \
     WHERE r.source_key = lanes.source_key AND r.target = lanes.target AND r.state = 'retrying'), \
     (SELECT created_at_us FROM deliveries WHERE id = lanes.oldest) FROM (SELECT source_key, target, \
     COUNT(*) AS pending, MIN(id) AS oldest FROM deliveries WHERE ended_at_us IS NULL GROUP BY source_key, target) AS lanes";
// An event target counts once, however many connectors' files its deliveries concern.
const FAILED: &str = "SELECT CASE WHEN substr(target, 1, 7) = 'events:' THEN '' ELSE source_key END AS source, target, \
     SUM(failed), MIN(since) FROM (SELECT source_key, target, COUNT(*) AS failed, MIN(ended_at_us) AS since \
     FROM deliveries WHERE state = 'failed' GROUP BY source_key, target) AS lanes GROUP BY source, target \
     ORDER BY 3 DESC LIMIT 100";
// Those ahead in its lane go first, so they become due too.
const FIRE: &str = "UPDATE deliveries SET next_at_us = $2 WHERE ended_at_us IS NULL AND next_at_us > $2 AND id <= $1 \
     AND source_key = (SELECT source_key FROM deliveries WHERE id = $1) \
     AND target = (SELECT target FROM deliveries WHERE id = $1)";

/// The most deliveries shown for one event.
const OF_EVENT_MAX: i64 = 1_000;

/// One delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Its number.
    pub id: i64,
    /// The file it concerns.
    pub receipt_id: Option<ReceiptId>,
    /// The event it delivers.
    pub event_id: String,
    /// The connector it comes from, by its id in lower case.
    pub source_key: String,
    /// Where it goes: `connector:KEY` and others.
    pub target: String,
    /// Its state.
    pub state: DeliveryState,
    /// Attempts made.
    pub attempts: u32,
    /// When the next one is due.
    pub next_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// Whether it came over an error arrow.
    pub on_error: bool,
}

impl Delivery {
    /// Whether it can be stopped: it has not ended, or it was to a connector and was given up.
    pub fn may_stop(&self) -> bool {
        let is_to_connector = matches!(Target::parse(&self.target), Some(Target::Connector(_)));
        !self.state.has_ended() || self.state == DeliveryState::Failed && is_to_connector
    }

    /// As one of a piece.
    fn as_one(&self) -> One {
        One {
            id: self.id,
            receipt_id: self.receipt_id.clone(),
            source_key: self.source_key.clone(),
            target: self.target.clone(),
        }
    }
}

/// One attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Try {
    /// 1 is the first.
    pub number: u32,
    /// When it began.
    pub at: Timestamp,
    /// Microseconds it took.
    pub took_us: u64,
    /// `delivered`, `retry` or `stopped`.
    pub outcome: String,
    /// What the other side answered, or why it was not reached.
    pub answer: String,
}

/// What waits in one lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// The connector it comes from, by its id in lower case.
    pub source_key: String,
    /// Where it goes.
    pub target: String,
    /// How many.
    pub count: u64,
    /// How many of them have already failed.
    pub retrying: u64,
    /// Since when the oldest has waited.
    pub since: Timestamp,
}

/// Deliveries given up in one lane, or by one event target in all its lanes, and not begun anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// The connector it comes from, by its id in lower case.
    pub source_key: String,
    /// Where it goes.
    pub target: String,
    /// How many.
    pub count: u64,
    /// When the first of them was given up.
    pub since: Timestamp,
}

/// The deliveries of a received file, in the order they were made.
pub async fn of_receipt(db: &Db, receipt: &ReceiptId) -> Result<Vec<Delivery>, StoreError> {
    sqlx::query(OF_RECEIPT).bind(receipt.as_str()).fetch_all(db.reader()).await?.iter().map(decode).collect()
}

/// The deliveries of several received files, in the order they were made, at most `most`.
pub async fn of_receipts(db: &Db, receipts: &[ReceiptId], most: i64) -> Result<Vec<Delivery>, StoreError> {
    let query = sqlx::query(OF_RECEIPTS).bind(array(receipts)).bind(most);
    query.fetch_all(db.reader()).await?.iter().map(decode).collect()
}

/// The deliveries of an event with that receipt, if it concerns one: in the order they were made, at most
/// [`OF_EVENT_MAX`].
pub async fn of_event(db: &Db, event: &EventId, receipt: Option<&ReceiptId>) -> Result<Vec<Delivery>, StoreError> {
    let query = sqlx::query(OF_EVENT).bind(event.as_str()).bind(receipt.map(ReceiptId::as_str)).bind(OF_EVENT_MAX);
    query.fetch_all(db.reader()).await?.iter().map(decode).collect()
}

/// One delivery.
pub async fn find(db: &Db, id: i64) -> Result<Option<Delivery>, StoreError> {
    sqlx::query(ONE).bind(id).fetch_optional(db.reader()).await?.as_ref().map(decode).transpose()
}

fn decode(row: &SqliteRow) -> Result<Delivery, StoreError> {
    let (id, state): (i64, String) = (row.try_get(0)?, row.try_get(4)?);
    Ok(Delivery {
        id,
        receipt_id: row.try_get::<Option<String>, _>(1)?.as_deref().and_then(ReceiptId::parse),
        source_key: row.try_get(2)?,
        target: row.try_get(3)?,
        state: DeliveryState::parse(&state)
            .ok_or_else(|| StoreError::Unreadable(format!("delivery {id}, which is {state}")))?,
        attempts: row.try_get(5)?,
        next_at: Timestamp::from_us(row.try_get(6)?),
        ended_at: row.try_get::<Option<i64>, _>(7)?.map(Timestamp::from_us),
        on_error: row.try_get::<Option<i64>, _>(8)?.is_some(),
        event_id: row.try_get(9)?,
    })
}

/// Its attempts, latest first, at most 50.
pub async fn tries(db: &Db, delivery: i64) -> Result<Vec<Try>, StoreError> {
    let rows = sqlx::query(TRIES).bind(delivery).fetch_all(db.reader()).await?;
    let one = |row: &SqliteRow| -> Result<Try, StoreError> {
        Ok(Try {
            number: row.try_get(0)?,
            at: Timestamp::from_us(row.try_get(1)?),
            took_us: row.try_get::<i64, _>(2)?.unsigned_abs(),
            outcome: row.try_get(3)?,
            answer: row.try_get(4)?,
        })
    };
    rows.iter().map(one).collect()
}

/// What waits, lane by lane.
pub async fn waiting(db: &Db) -> Result<Vec<Waiting>, StoreError> {
    let rows = sqlx::query(PENDING).fetch_all(db.reader()).await?;
    let lane = |row: &SqliteRow| -> Result<Waiting, StoreError> {
        Ok(Waiting {
            source_key: row.try_get(0)?,
            target: row.try_get(1)?,
            count: row.try_get::<i64, _>(2)?.unsigned_abs(),
            retrying: row.try_get::<i64, _>(3)?.unsigned_abs(),
            since: Timestamp::from_us(row.try_get(4)?),
        })
    };
    rows.iter().map(lane).collect()
}

/// How many wait to leave a connector or to come to it. Deliveries to event targets do not count.
pub async fn waiting_of(db: &Db, key: &str) -> Result<u64, StoreError> {
    let to = Some(Target::Connector(key.to_owned()));
    let is_of = |lane: &&Waiting| match Target::parse(&lane.target) {
        Some(Target::Events(_)) => false,
        target => lane.source_key == key || target == to,
    };
    Ok(waiting(db).await?.iter().filter(is_of).map(|lane| lane.count).sum())
}

/// How many of these go to a connector.
pub fn for_connector(lanes: &[Waiting], key: &str) -> u64 {
    let target = Target::Connector(key.to_owned()).text();
    lanes.iter().filter(|lane| lane.target == target).map(|lane| lane.count).sum()
}

/// Why disabling a connector needs confirmation, if `values` disable it: what waits for it.
pub async fn before_disabling(
    db: &Db,
    id: &ConnectorId,
    (stored, values): (&Texts, &Texts),
) -> Result<Option<String>, StoreError> {
    let waits = before_disabling_each(db, [(id, (stored, values))]).await?;
    Ok(waits.into_iter().next())
}

/// The same for several connectors: what waits for each of those that are disabled while files wait for them.
pub async fn before_disabling_each<'a>(
    db: &Db,
    changes: impl IntoIterator<Item = (&'a ConnectorId, (&'a Texts, &'a Texts))>,
) -> Result<Vec<String>, StoreError> {
    let is_off = |texts: &Texts| texts.get("enabled").is_some_and(|text| <bool as Value>::parse(text) == Ok(false));
    let disabled = changes.into_iter().filter(|(_, (stored, values))| is_off(values) && !is_off(stored));
    let disabled: Vec<_> = disabled.map(|(id, _)| id).collect();
    if disabled.is_empty() {
        return Ok(Vec::new());
    }
    let lanes = waiting(db).await?;
    let words = |id: &ConnectorId| {
        let count = for_connector(&lanes, id.key());
        let files = human::count(count, "file waits", "files wait");
        (count > 0).then(|| format!("{files} for {id}, and would wait until it is enabled again"))
    };
    Ok(disabled.into_iter().filter_map(words).collect())
}

/// Why removing a connector needs confirmation: what waits to leave it or to come to it.
pub async fn before_removing(db: &Db, id: &ConnectorId) -> Result<Option<String>, StoreError> {
    let count = waiting_of(db, id.key()).await?;
    let files = human::count(count, "file waits", "files wait");
    Ok((count > 0).then(|| format!("{files} to leave {id} or to come to it, and would not be passed along any more")))
}

/// Deliveries given up, lane by lane, most first, at most 100 lanes.
pub async fn failed(db: &Db) -> Result<Vec<Failed>, StoreError> {
    let rows = sqlx::query(FAILED).fetch_all(db.reader()).await?;
    let lane = |row: &SqliteRow| -> Result<Failed, StoreError> {
        Ok(Failed {
            source_key: row.try_get(0)?,
            target: row.try_get(1)?,
            count: row.try_get::<i64, _>(2)?.unsigned_abs(),
            since: Timestamp::from_us(row.try_get(3)?),
        })
    };
    rows.iter().map(lane).collect()
}

/// *Fire now*: it is due at once, and so are those ahead in its lane. Returns how many were not due yet.
pub async fn fire(db: &Db, delivery: &Delivery, change: &Change<'_>) -> Result<u64, StoreError> {
    let mut tx = db.begin().await?;
    let fired = sqlx::query(FIRE).bind(delivery.id).bind(change.at.us()).execute(&mut *tx).await?.rows_affected();
    record(&mut tx, delivery, "fired now", change).await?;
    tx.commit().await?;
    Ok(fired)
}

/// *Stop retrying*. Returns whether it was stopped by this.
pub async fn stop(db: &Db, delivery: &Delivery, change: &Change<'_>) -> Result<bool, StoreError> {
    let mut tx = db.begin().await?;
    let stopped = stop_in(&mut tx, &[delivery.as_one()], change.at).await? > 0;
    record(&mut tx, delivery, "stopped", change).await?;
    tx.commit().await?;
    Ok(stopped)
}

/// *Pass along again*: begun anew, with the same event id and a higher attempt. Its bytes must be held by then. Returns
/// whether it had ended.
pub async fn again(db: &Db, delivery: &Delivery, change: &Change<'_>) -> Result<bool, StoreError> {
    let mut tx = db.begin().await?;
    let begun = again_in(&mut tx, &[delivery.as_one()], change.at).await? > 0;
    record(&mut tx, delivery, "begun anew", change).await?;
    tx.commit().await?;
    Ok(begun)
}

async fn record(
    tx: &mut Transaction<'_, Sqlite>,
    delivery: &Delivery,
    key: &str,
    change: &Change<'_>,
) -> sqlx::Result<()> {
    let subject =
        delivery.receipt_id.as_ref().map_or_else(|| format!("delivery {}", delivery.id), |id| format!("receipt {id}"));
    let entry = audit::Entry { subject: &subject, key, before: "", after: &delivery.target };
    audit::add(tx, change, &entry).await
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The queries of the pages scan no table, however much waits or was given up.
    #[tokio::test]
    async fn what_waits_and_what_was_given_up_is_counted_from_indexes_alone() {
        let folder = tempfile::tempdir().unwrap();
        let db = Db::open(folder.path()).await.unwrap();
        let asked = [(PENDING, "deliveries_pending"), (PENDING, "deliveries_retrying"), (FAILED, "deliveries_failed")];
        for (statement, index) in asked {
            let steps = db.plan(statement).await;
            let covers = format!("USING COVERING INDEX {index}");
            assert!(steps.iter().any(|step| step.contains(&covers)), "{statement}\n{steps:?}");
        }
        let steps = db.plan(OF_EVENT).await;
        assert!(!steps.iter().any(|step| step.starts_with("SCAN deliveries")), "{steps:?}");
    }
}
