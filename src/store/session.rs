//! Records of ended sessions.

use std::net::IpAddr;

use sqlx::{AssertSqlSafe, Row, Sqlite, Transaction};

use super::commit::signed;
use super::open::{Db, StoreError};
use super::receipt::Cursor;
use crate::base::clock::Timestamp;
use crate::base::id::SessionId;
use crate::domain::refusal::Rule;

const ADD: &str = "INSERT INTO sessions (id, connector, connector_key, remote, client, tls, begun_at_us, ended_at_us, \
     ending, received_files, received_bytes, sent_files, sent_bytes, failures, transcript) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)";
const LAST_TLS: &str = "SELECT id, (SELECT tls FROM sessions WHERE connector_key = connectors.id_key \
     AND ended_at_us >= $1 ORDER BY ended_at_us DESC, sessions.id DESC LIMIT 1) AS tls FROM connectors ORDER BY id_key";
const ONE: &str = "SELECT id, connector, remote, client, tls, begun_at_us, ended_at_us, ending, received_files, \
     received_bytes, sent_files, sent_bytes, failures, transcript FROM sessions WHERE id = $1";
const SELECT: &str = "SELECT id, connector, remote, client, tls, begun_at_us, ended_at_us, ending, received_files, \
     received_bytes, sent_files, sent_bytes, failures, '' FROM sessions WHERE ended_at_us >= $4";
// The latest of each: a session without a record, because it was not kept or a crash ended it, may have left transfers.
const CAME_FROM: &str = "SELECT remote, MAX(begun_at_us) FROM ( \
     SELECT * FROM (SELECT remote, begun_at_us FROM sessions WHERE ended_at_us >= $1 ORDER BY ended_at_us DESC LIMIT $2) \
     UNION ALL SELECT * FROM (SELECT remote, begun_at_us FROM transfers WHERE ended_at_us >= $1 \
     ORDER BY ended_at_us DESC LIMIT $2)) WHERE begun_at_us >= $1 GROUP BY remote";

/// The most sessions and transfers that [`came_from`] reads.
const LATEST_MAX: i64 = 50_000;

/// How a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionEnd {
    /// The client said QUIT.
    Quit,
    /// The connection was lost.
    Lost,
    /// We closed it because of commands that are not FTP.
    NotFtp,
    /// We ended it, by this rule.
    Rule(Rule),
}

impl SessionEnd {
    /// Every way for a session to end.
    pub const ALL: [Self; 9] = [
        Self::Quit,
        Self::Lost,
        Self::NotFtp,
        Self::Rule(Rule::Idle),
        Self::Rule(Rule::AbortedByAdministrator),
        Self::Rule(Rule::Draining),
        Self::Rule(Rule::ConnectorDisabled),
        Self::Rule(Rule::ConnectorExpired),
        Self::Rule(Rule::ConnectorNotYetValid),
    ];

    /// Its stable name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Quit => "quit",
            Self::Lost => "lost",
            Self::NotFtp => "not_ftp",
            Self::Rule(rule) => rule.name(),
        }
    }

    /// Its words.
    pub fn label(self) -> &'static str {
        match self {
            Self::Quit => "Signed out",
            Self::Lost => "Connection lost",
            Self::NotFtp => "Closed on commands that are not FTP",
            Self::Rule(rule) => rule.label(),
        }
    }

    /// Reads the stable name.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "quit" => Some(Self::Quit),
            "lost" => Some(Self::Lost),
            "not_ftp" => Some(Self::NotFtp),
            _ => Rule::parse(text).map(Self::Rule),
        }
    }
}

/// What a session has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Complete files received.
    pub received_files: u64,
    /// Bytes received, including broken uploads.
    pub received_bytes: u64,
    /// Complete files sent.
    pub sent_files: u64,
    /// Bytes sent, including broken downloads.
    pub sent_bytes: u64,
    /// Replies that said no.
    pub failures: u64,
}

/// An ended session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Its id.
    pub id: SessionId,
    /// The connector's id as written then.
    pub connector: String,
    /// The client's address.
    pub remote: String,
    /// The client's name for itself; may be empty.
    pub client: String,
    /// TLS version and cipher; empty in clear.
    pub tls: String,
    /// Connected.
    pub begun_at: Timestamp,
    /// Gone.
    pub ended_at: Timestamp,
    /// How.
    pub ending: SessionEnd,
    /// What it did.
    pub tally: Tally,
    /// The transcript, secrets masked; empty if it is not kept, and in [`page`].
    pub transcript: String,
}

pub(super) async fn add(tx: &mut Transaction<'_, Sqlite>, session: &Session) -> sqlx::Result<()> {
    let tally = session.tally;
    let query = sqlx::query(ADD)
        .bind(session.id.as_str())
        .bind(&session.connector)
        .bind(session.connector.to_ascii_lowercase())
        .bind(&session.remote)
        .bind(&session.client)
        .bind(&session.tls)
        .bind(session.begun_at.us())
        .bind(session.ended_at.us())
        .bind(session.ending.name())
        .bind(signed(tally.received_files))
        .bind(signed(tally.received_bytes))
        .bind(signed(tally.sent_files))
        .bind(signed(tally.sent_bytes))
        .bind(signed(tally.failures))
        .bind(&session.transcript);
    query.execute(&mut **tx).await.map(drop)
}

/// The addresses that partners have come from since then, each with the last time.
pub async fn came_from(db: &Db, since: Timestamp) -> Result<Vec<(IpAddr, Timestamp)>, StoreError> {
    let rows = sqlx::query(CAME_FROM).bind(since.us()).bind(LATEST_MAX).fetch_all(db.reader()).await?;
    let came = |row: &sqlx::sqlite::SqliteRow| -> Result<Option<(IpAddr, Timestamp)>, StoreError> {
        let address = row.try_get::<String, _>(0)?.parse().ok();
        Ok(address.zip(Some(Timestamp::from_us(row.try_get(1)?))))
    };
    rows.iter().filter_map(|row| came(row).transpose()).collect()
}

/// The session of that id, if it has ended and its record is kept.
pub async fn find(db: &Db, id: &SessionId) -> Result<Option<Session>, StoreError> {
    let row = sqlx::query(ONE).bind(id.as_str()).fetch_optional(db.reader()).await?;
    row.as_ref().map(decode).transpose()
}

/// The last sign-in of each connector with a session since then: its id, and its TLS, empty in clear.
pub async fn last_tls(db: &Db, since: Timestamp) -> Result<Vec<(String, String)>, StoreError> {
    let mut last = Vec::new();
    for row in sqlx::query(LAST_TLS).bind(since.us()).fetch_all(db.reader()).await? {
        if let Some(tls) = row.try_get::<Option<String>, _>(1)? {
            last.push((row.try_get(0)?, tls));
        }
    }
    Ok(last)
}

/// The filter of [`page`]. Empty: everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// One connector, by its id in lower case.
    pub connector: Option<String>,
    /// One address of a client.
    pub remote: Option<String>,
    /// One way to end.
    pub ending: Option<SessionEnd>,
    /// Ended at or after.
    pub since: Option<Timestamp>,
}

/// Sessions that ended before `before`, newest first, without their transcripts.
pub async fn page(db: &Db, filter: &Filter, before: Option<&Cursor>, count: i64) -> Result<Vec<Session>, StoreError> {
    // Only constant pieces are joined here. A clause for every absent filter would keep the database from its indexes.
    let mut sql = String::from(SELECT);
    let clauses = [
        (filter.connector.is_some(), " AND connector_key = $1"),
        (filter.remote.is_some(), " AND remote = $2"),
        (filter.ending.is_some(), " AND ending = $7"),
        (before.is_some(), " AND (ended_at_us, id) < ($5, $6)"),
    ];
    sql.extend(clauses.iter().filter(|(wanted, _)| *wanted).map(|(_, clause)| *clause));
    sql.push_str(" ORDER BY ended_at_us DESC, id DESC LIMIT $3");
    let query = sqlx::query(AssertSqlSafe(sql))
        .bind(filter.connector.as_deref())
        .bind(filter.remote.as_deref())
        .bind(count)
        .bind(filter.since.map_or(i64::MIN, Timestamp::us))
        .bind(before.map_or(i64::MAX, |before| before.completed_at.us()))
        .bind(before.map_or("", |before| before.id.as_str()))
        .bind(filter.ending.map(SessionEnd::name));
    query.fetch_all(db.reader()).await?.iter().map(decode).collect()
}

fn decode(row: &sqlx::sqlite::SqliteRow) -> Result<Session, StoreError> {
    let (id, ending): (String, String) = (row.try_get(0)?, row.try_get(7)?);
    let unreadable = |what: &str| StoreError::Unreadable(format!("session with {what}"));
    let count = |column: usize| row.try_get::<i64, _>(column).map(i64::unsigned_abs);
    Ok(Session {
        id: SessionId::parse(&id).ok_or_else(|| unreadable(&id))?,
        connector: row.try_get(1)?,
        remote: row.try_get(2)?,
        client: row.try_get(3)?,
        tls: row.try_get(4)?,
        begun_at: Timestamp::from_us(row.try_get(5)?),
        ended_at: Timestamp::from_us(row.try_get(6)?),
        ending: SessionEnd::parse(&ending).ok_or_else(|| unreadable(&ending))?,
        tally: Tally {
            received_files: count(8)?,
            received_bytes: count(9)?,
            sent_files: count(10)?,
            sent_bytes: count(11)?,
            failures: count(12)?,
        },
        transcript: row.try_get(13)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::Clock;
    use crate::base::id::IdSource;

    #[tokio::test]
    async fn where_partners_came_from_is_told_once_with_the_last_time() {
        let folder = tempfile::tempdir().unwrap();
        let db = Db::open(folder.path()).await.unwrap();
        let ids = IdSource::random(Clock::System);
        let at = |us: i64| Timestamp::from_us(1_800_000_000_000_000 + us);
        for (remote, begun) in [("192.0.2.1", 5), ("192.0.2.1", 9), ("2001:db8::1", 7), ("192.0.2.9", -1), ("", 8)] {
            let session = Session {
                id: SessionId::new(&ids),
                connector: "acme".to_owned(),
                remote: remote.to_owned(),
                client: String::new(),
                tls: String::new(),
                begun_at: at(begun),
                ended_at: at(begun + 100),
                ending: SessionEnd::Quit,
                tally: Tally::default(),
                transcript: String::new(),
            };
            let mut tx = db.begin().await.unwrap();
            add(&mut tx, &session).await.unwrap();
            tx.commit().await.unwrap();
        }
        let mut came = came_from(&db, at(0)).await.unwrap();
        came.sort();
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        assert_eq!(came, [(address("192.0.2.1"), at(9)), (address("2001:db8::1"), at(7))]);
    }
}
