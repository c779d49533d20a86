//! How busy each connector is and was: what the Flows page shows of all of them, in one statement for partners and one
//! for arrows, from indexes alone. A file about to get its name counts already.

use std::collections::HashMap;

use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::open::{Db, StoreError};
use crate::base::clock::Timestamp;

/// The most files counted for a connector or arrow: more are *over* that many.
pub const COUNTED_MAX: u64 = 100_000;
const DAY_US: i64 = 24 * 3_600 * 1_000_000;

const RECEIVED: &str = "SELECT c.id_key, (SELECT COUNT(*) FROM (SELECT 1 FROM receipts r WHERE r.connector_key = c.id_key \
     AND r.completed_at_us >= $1 LIMIT $2) AS lately), \
     (SELECT MAX(completed_at_us) FROM receipts r WHERE r.connector_key = c.id_key) FROM connectors c";
const DELIVERED: &str = "SELECT a.from_key, a.to_key, (SELECT COUNT(*) FROM (SELECT 1 FROM deliveries d \
     WHERE d.source_key = a.from_key AND d.target = 'connector:' || a.to_key AND d.state = 'delivered' \
     AND d.ended_at_us >= $1 AND d.ended_at_us IS NOT NULL LIMIT $2) AS lately), (SELECT MAX(d.ended_at_us) \
     FROM deliveries d WHERE d.source_key = a.from_key AND d.target = 'connector:' || a.to_key \
     AND d.state = 'delivered' AND d.ended_at_us IS NOT NULL) FROM arrows a";

// `$1`: the beginning of each day, as an array.
const RECEIVED_BY_DAY: &str = "SELECT c.id_key, days.key, (SELECT COUNT(*) FROM (SELECT 1 FROM receipts r \
     WHERE r.connector_key = c.id_key AND r.completed_at_us >= days.value AND r.completed_at_us < days.value + $2 LIMIT $3) \
     AS of_day) FROM connectors c CROSS JOIN json_each($1) AS days";
const DELIVERED_BY_DAY: &str = "SELECT a.to_key, days.key, CAST(SUM((SELECT COUNT(*) FROM (SELECT 1 FROM deliveries d \
     WHERE d.source_key = a.from_key AND d.target = 'connector:' || a.to_key AND d.state = 'delivered' \
     AND d.ended_at_us >= days.value AND d.ended_at_us < days.value + $2 AND d.ended_at_us IS NOT NULL LIMIT $3) AS of_day)) \
     AS BIGINT) FROM arrows a CROSS JOIN json_each($1) AS days GROUP BY a.to_key, days.key";

/// Files on each of several days, by a connector's id in lower case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Days {
    /// Received from its partner.
    pub received: HashMap<String, Vec<u64>>,
    /// Passed along to it.
    pub delivered: HashMap<String, Vec<u64>>,
}

/// Files of every connector on the days with these beginnings.
pub async fn by_day(db: &Db, begins: &[Timestamp]) -> Result<Days, StoreError> {
    let (received, delivered) = (of_days(db, RECEIVED_BY_DAY, begins), of_days(db, DELIVERED_BY_DAY, begins));
    Ok(Days { received: received.await?, delivered: delivered.await? })
}

async fn of_days(
    db: &Db,
    statement: &'static str,
    begins: &[Timestamp],
) -> Result<HashMap<String, Vec<u64>>, StoreError> {
    let begins: Vec<_> = begins.iter().map(|begin| begin.us()).collect();
    let query = sqlx::query(statement).bind(serde_json::json!(begins).to_string()).bind(DAY_US);
    let mut days: HashMap<String, Vec<u64>> = HashMap::new();
    for row in query.bind(COUNTED_MAX.cast_signed()).fetch_all(db.reader()).await? {
        let (key, day): (String, i64) = (row.try_get(0)?, row.try_get(1)?);
        let days = days.entry(key).or_insert_with(|| vec![0; begins.len()]);
        if let Some(files) = usize::try_from(day).ok().and_then(|day| days.get_mut(day)) {
            *files = row.try_get::<i64, _>(2)?.unsigned_abs();
        }
    }
    Ok(days)
}

/// Recent files, and when the last one was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Busy {
    /// Files since the requested time, at most [`COUNTED_MAX`].
    pub files: u64,
    /// The last file ever, as far as records are kept.
    pub last: Option<Timestamp>,
}

/// What every connector received since then, by its id in lower case.
pub async fn received(db: &Db, since: Timestamp) -> Result<HashMap<String, Busy>, StoreError> {
    let rows = ask(db, RECEIVED, since).await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, busy(row, 1)?))).collect()
}

/// What every arrow delivered since then, by the ids of its ends in lower case.
pub async fn delivered(db: &Db, since: Timestamp) -> Result<HashMap<(String, String), Busy>, StoreError> {
    let rows = ask(db, DELIVERED, since).await?;
    rows.iter().map(|row| Ok(((row.try_get(0)?, row.try_get(1)?), busy(row, 2)?))).collect()
}

async fn ask(db: &Db, statement: &'static str, since: Timestamp) -> Result<Vec<SqliteRow>, StoreError> {
    let query = sqlx::query(statement).bind(since.us()).bind(COUNTED_MAX.cast_signed());
    Ok(query.fetch_all(db.reader()).await?)
}

fn busy(row: &SqliteRow, files: usize) -> Result<Busy, StoreError> {
    let last = row.try_get::<Option<i64>, _>(files + 1)?.map(Timestamp::from_us);
    Ok(Busy { files: row.try_get::<i64, _>(files)?.unsigned_abs(), last })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SET_UP: &str = "INSERT INTO connectors (id_key, id, created_at_us) VALUES ('acme', 'Acme', 1), ('b', 'b', 1); \
         INSERT INTO arrows (from_key, to_key, on_error, added_at_us) VALUES ('acme', 'b', 0, 1)";
    const DELIVER: &str = "INSERT INTO deliveries (event_id, source_key, target, state, attempts, since_attempt, \
         next_at_us, created_at_us, ended_at_us) VALUES ('e', 'acme', 'connector:b', $1, 1, 0, 0, 0, $2)";

    #[tokio::test]
    async fn deliveries_are_counted_by_day_and_lately_from_indexes_alone() {
        let folder = tempfile::tempdir().unwrap();
        let db = Db::open(folder.path()).await.unwrap();
        sqlx::raw_sql(SET_UP).execute(db.writer()).await.unwrap();
        let days = [10, 11, 12].map(|day| Timestamp::from_us(day * DAY_US));
        let ended = [("delivered", 0, 0), ("delivered", 0, DAY_US - 1), ("failed", 1, 5), ("delivered", 2, 7)];
        for (state, day, after) in ended {
            let query = sqlx::query(DELIVER).bind(state).bind(days[day].us() + after);
            query.execute(db.writer()).await.unwrap();
        }
        let found = by_day(&db, &days).await.unwrap();
        assert_eq!((&found.delivered["b"], &found.received["acme"]), (&vec![2, 0, 1], &vec![0, 0, 0]));
        let lately = delivered(&db, days[1]).await.unwrap();
        let last = Some(Timestamp::from_us(days[2].us() + 7));
        assert_eq!(lately[&("acme".to_owned(), "b".to_owned())], Busy { files: 1, last });
        for statement in [RECEIVED, DELIVERED, RECEIVED_BY_DAY, DELIVERED_BY_DAY] {
            let steps = db.plan(statement).await;
            let looked_up = |step: &&String| step.contains(" d ") || step.contains(" r ");
            assert!(steps.iter().filter(looked_up).all(|step| step.contains("COVERING INDEX")), "{steps:?}");
        }
    }
}
