//! Refusals: every no, by the rule that said it. Equal ones within a minute are one row with a count.

use sqlx::{AssertSqlSafe, Row, Sqlite, Transaction};

use super::open::{Db, StoreError};
use super::receipt::Cursor;
use crate::base::clock::Timestamp;
use crate::base::id::RefusalId;
use crate::domain::refusal::Rule;

/// Refusals of the same connector, address and rule within this time of the first are one row.
const EQUAL_WITHIN_US: i64 = 60 * 1_000_000;

// What `decode` reads, in this order.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, rule, connector, remote, command, reply, detail, transcript, session_id, first_at_us, \
             last_at_us, times, folder FROM refusals ",
            $rest
        )
    };
}

const COUNT_ON: &str = "UPDATE refusals SET times = times + 1, last_at_us = $4 WHERE id = (SELECT id FROM refusals \
     WHERE connector = $1 AND remote = $2 AND rule = $3 AND last_at_us >= $5 AND first_at_us > $5 AND first_at_us <= $4 \
     ORDER BY last_at_us DESC LIMIT 1)";
const ADD: &str = "INSERT INTO refusals (id, rule, connector, remote, command, reply, detail, transcript, session_id, \
     first_at_us, last_at_us, times, folder) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10, 1, $11)";

const SELECT: &str = select!("WHERE last_at_us >= $4");
const FREQUENT: &str = "SELECT connector, rule, SUM(times), MAX(id) FROM refusals WHERE last_at_us >= $1 \
     GROUP BY connector, rule ORDER BY 3 DESC, connector, rule LIMIT $2";
const TIMES: &str = "SELECT CAST(COALESCE(SUM(times), 0) AS BIGINT) FROM refusals \
     WHERE connector = $1 AND rule = $2 AND last_at_us >= $3 AND last_at_us < $4";
const ONE: &str = select!("WHERE id = $1");

/// One refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Its id.
    pub id: RefusalId,
    /// The rule that said no.
    pub rule: Rule,
    /// The connector's id; the first 3 characters of an unknown name.
    pub connector: String,
    /// The client's address.
    pub remote: String,
    /// The command, secrets masked.
    pub command: String,
    /// What the client was told.
    pub reply: String,
    /// What the administrator should know beyond the rule's own words.
    pub detail: String,
    /// The session's last lines, secrets masked.
    pub transcript: String,
    /// The session.
    pub session_id: String,
    /// When first.
    pub first_at: Timestamp,
    /// When last.
    pub last_at: Timestamp,
    /// How often.
    pub times: u64,
    /// The client's current folder; the root before its login.
    pub folder: String,
}

pub(super) async fn add(tx: &mut Transaction<'_, Sqlite>, refusal: &Refusal) -> sqlx::Result<()> {
    let counted = sqlx::query(COUNT_ON)
        .bind(&refusal.connector)
        .bind(&refusal.remote)
        .bind(refusal.rule.name())
        .bind(refusal.last_at.us())
        .bind(refusal.last_at.us() - EQUAL_WITHIN_US)
        .execute(&mut **tx)
        .await?;
    if counted.rows_affected() > 0 {
        return Ok(());
    }
    sqlx::query(ADD)
        .bind(refusal.id.as_str())
        .bind(refusal.rule.name())
        .bind(&refusal.connector)
        .bind(&refusal.remote)
        .bind(&refusal.command)
        .bind(&refusal.reply)
        .bind(&refusal.detail)
        .bind(&refusal.transcript)
        .bind(&refusal.session_id)
        .bind(refusal.last_at.us())
        .bind(&refusal.folder)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// The filter of [`page`]. Empty: everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// One connector, by its id as recorded.
    pub connector: Option<String>,
    /// One rule.
    pub rule: Option<Rule>,
    /// Last occurred at or after.
    pub since: Option<Timestamp>,
}

/// Refusals before `before`, newest first.
pub async fn page(db: &Db, filter: &Filter, before: Option<&Cursor>, count: i64) -> Result<Vec<Refusal>, StoreError> {
    // Only constant pieces are joined here. A clause for every absent filter would keep the database from its indexes.
    let mut sql = String::from(SELECT);
    let clauses = [
        (filter.connector.is_some(), " AND connector = $1"),
        (filter.rule.is_some(), " AND rule = $2"),
        (before.is_some(), " AND (last_at_us, id) < ($5, $6)"),
    ];
    sql.extend(clauses.iter().filter(|(wanted, _)| *wanted).map(|(_, clause)| *clause));
    sql.push_str(" ORDER BY last_at_us DESC, id DESC LIMIT $3");
    let query = sqlx::query(AssertSqlSafe(sql))
        .bind(filter.connector.as_deref().unwrap_or_default())
        .bind(filter.rule.map_or("", Rule::name))
        .bind(count)
        .bind(filter.since.map_or(i64::MIN, Timestamp::us))
        .bind(before.map_or(i64::MAX, |before| before.completed_at.us()))
        .bind(before.map_or("", |before| before.id.as_str()));
    query.fetch_all(db.reader()).await?.iter().map(decode).collect()
}

/// How often one rule said no to one connector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frequency {
    /// The connector's id as recorded.
    pub connector: String,
    /// The rule.
    pub rule: Rule,
    /// How often.
    pub times: u64,
    /// The latest of them.
    pub latest: RefusalId,
}

/// How often each rule has said no to each connector since then, most frequent first.
pub async fn frequent(db: &Db, since: Timestamp, count: i64) -> Result<Vec<Frequency>, StoreError> {
    let rows = sqlx::query(FREQUENT).bind(since.us()).bind(count).fetch_all(db.reader()).await?;
    let decode = |row: &sqlx::sqlite::SqliteRow| -> Result<Frequency, StoreError> {
        let (rule, id): (String, String) = (row.try_get(1)?, row.try_get(3)?);
        let unreadable = |what: &str| StoreError::Unreadable(format!("refusal with {what}"));
        Ok(Frequency {
            connector: row.try_get(0)?,
            rule: Rule::parse(&rule).ok_or_else(|| unreadable(&rule))?,
            times: row.try_get::<i64, _>(2)?.unsigned_abs(),
            latest: RefusalId::parse(&id).ok_or_else(|| unreadable(&id))?,
        })
    };
    rows.iter().map(decode).collect()
}

/// How often `rule` said no to `connector` from one moment until another.
pub async fn times(
    db: &Db,
    connector: &str,
    rule: Rule,
    (from, to): (Timestamp, Timestamp),
) -> Result<u64, StoreError> {
    let query = sqlx::query(TIMES).bind(connector).bind(rule.name()).bind(from.us()).bind(to.us());
    Ok(query.fetch_one(db.reader()).await?.try_get::<i64, _>(0)?.unsigned_abs())
}

/// The refusal of that id, if there is one.
pub async fn find(db: &Db, id: &RefusalId) -> Result<Option<Refusal>, StoreError> {
    sqlx::query(ONE).bind(id.as_str()).fetch_optional(db.reader()).await?.as_ref().map(decode).transpose()
}

fn decode(row: &sqlx::sqlite::SqliteRow) -> Result<Refusal, StoreError> {
    let (id, rule): (String, String) = (row.try_get(0)?, row.try_get(1)?);
    let unreadable = |what: &str| StoreError::Unreadable(format!("refusal with {what}"));
    Ok(Refusal {
        id: RefusalId::parse(&id).ok_or_else(|| unreadable(&id))?,
        rule: Rule::parse(&rule).ok_or_else(|| unreadable(&rule))?,
        connector: row.try_get(2)?,
        remote: row.try_get(3)?,
        command: row.try_get(4)?,
        reply: row.try_get(5)?,
        detail: row.try_get(6)?,
        transcript: row.try_get(7)?,
        session_id: row.try_get(8)?,
        first_at: Timestamp::from_us(row.try_get(9)?),
        last_at: Timestamp::from_us(row.try_get(10)?),
        times: row.try_get::<i64, _>(11)?.unsigned_abs(),
        folder: row.try_get(12)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::Clock;
    use crate::base::id::IdSource;

    #[tokio::test]
    async fn equal_ones_within_a_minute_of_the_first_are_one_row_however_long_they_go_on() {
        let folder = tempfile::tempdir().unwrap();
        let db = Db::open(folder.path()).await.unwrap();
        let ids = IdSource::random(Clock::System);
        let said = async |second: i64| {
            let at = Timestamp::from_us(1_800_000_000_000_000 + second * 1_000_000);
            let refusal = Refusal {
                id: RefusalId::new(&ids),
                rule: Rule::WrongPassword,
                connector: "acme".to_owned(),
                remote: "192.0.2.1".to_owned(),
                command: String::new(),
                reply: String::new(),
                detail: String::new(),
                transcript: String::new(),
                session_id: String::new(),
                first_at: at,
                last_at: at,
                times: 1,
                folder: "/".to_owned(),
            };
            let mut tx = db.begin().await.unwrap();
            add(&mut tx, &refusal).await.unwrap();
            tx.commit().await.unwrap();
        };
        for second in [0, 50, 59, 100, 150, 160] {
            said(second).await;
        }
        // The clock was set back.
        said(-3_600).await;
        said(-3_590).await;
        let rows = page(&db, &Filter::default(), None, 9).await.unwrap();
        let rows: Vec<_> = rows.iter().map(|one| (one.last_at.seconds() - 1_800_000_000, one.times)).collect();
        assert_eq!(rows, [(160, 1), (150, 2), (59, 3), (-3_590, 2)]);
    }
}
