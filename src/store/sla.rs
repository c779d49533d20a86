//! SLAs and the states of their windows (PRODUCT section 10). A notice is an event, committed with the state it
//! announces: exactly one for each state of a window.

use std::ops::ControlFlow;

use sqlx::sqlite::SqliteRow;
use sqlx::{Row, Sqlite, Transaction};

use super::connector::subject;
use super::event;
use super::open::{Db, StoreError};
use super::part::{self, Part};
use super::setting::{self, Change, SaveError};
use crate::base::clock::Timestamp;
use crate::domain::connector::ConnectorId;
use crate::domain::setting::Texts;
use crate::domain::sla::{Counted, Sla, SlaSettings, State, Window};
use crate::store::event::Event;

/// The most SLAs of one connector.
pub const SLAS_MAX: i64 = 20;
/// Files of a window read at a time.
const STEP: i64 = 1_000;

// What `decode` reads, in this order.
macro_rules! select {
    ($rest:literal) => {
        concat!("SELECT id, connector_key, texts, made_at_us, looked_at_us, version FROM slas ", $rest)
    };
}

const ALL: &str = select!("ORDER BY connector_key, made_at_us, id");
const OF_CONNECTOR: &str = select!("WHERE connector_key = $1 ORDER BY made_at_us, id");
const ONE: &str = select!("WHERE id = $1");
const STORED: &str = "SELECT texts, version, changed_at_us, changed_by FROM slas WHERE id = $1";
const COUNT: &str = "SELECT COUNT(*) FROM slas WHERE connector_key = $1";
const PUT: &str = "INSERT INTO slas (id, connector_key, texts, made_at_us, looked_at_us, version, changed_at_us, changed_by) \
     VALUES ($1, $2, $3, $4, $4, (SELECT version FROM configuration WHERE one = 1), $4, $5) \
     ON CONFLICT (id) DO UPDATE SET texts = excluded.texts, version = slas.version + 1, \
     changed_at_us = excluded.changed_at_us, changed_by = excluded.changed_by";
const FORGET_OPEN: &str = "DELETE FROM sla_windows WHERE sla_id = $1 AND state IN ('pending', 'at_risk')";
const REMOVE: &str = "DELETE FROM slas WHERE id = $1";
const WINDOWS: &str = "SELECT starts_us, ends_us, state, files, changed_us, afterwards FROM sla_windows \
     WHERE sla_id = $1 AND ends_us > $2 AND starts_us < $3 ORDER BY starts_us";
const SET_WINDOW: &str = "INSERT INTO sla_windows (sla_id, starts_us, ends_us, state, files, changed_us, afterwards) \
     VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (sla_id, starts_us) DO UPDATE SET state = excluded.state, \
     files = excluded.files, changed_us = excluded.changed_us, afterwards = excluded.afterwards";
const LOOKED: &str = "UPDATE slas SET looked_at_us = $2 WHERE id = $1";
const RECEIVED: &str = "SELECT id, client_path, size_bytes, completed_at_us, id FROM receipts WHERE connector_key = $1 \
     AND (completed_at_us, id) > ($2, $3) AND completed_at_us < $4 AND publishing = 0 AND status <> 'lost' \
     AND temporary_since_us IS NULL ORDER BY completed_at_us, id LIMIT $5";
// Each is told once by its event, when all of it has arrived (PRODUCT section 8). The download that it ended with is named by
// its session; the partner may have another name for Send.
const COLLECTED: &str = "SELECT COALESCE((SELECT t.id FROM transfers t WHERE t.connector = e.connector \
     AND t.ended_at_us <= e.at_us AND t.ended_at_us > e.at_us - 3600000000 AND t.session_id = e.session_id \
     AND t.direction || '' = 'send' AND t.complete = 1 \
     AND substr(t.path, 1 + instr(substr(t.path, 2), '/')) = substr(e.path, 6) \
     ORDER BY t.ended_at_us DESC LIMIT 1), ''), e.path, e.size_bytes, e.at_us, e.id FROM events e WHERE e.connector = $1 \
     AND (e.at_us, e.id) > ($2, $3) AND e.at_us < $4 AND e.kind = 'after_send' AND e.size_bytes IS NOT NULL \
     ORDER BY e.at_us, e.id LIMIT $5";
const BAD: &str = "SELECT s.id, s.connector_key, s.texts, w.starts_us, w.ends_us, w.state, w.files FROM sla_windows w \
     JOIN slas s ON s.id = w.sla_id WHERE w.state IN ('at_risk', 'violated') AND w.ends_us >= $1 \
     ORDER BY w.ends_us DESC LIMIT 20";

/// One SLA as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredSla {
    /// Its id.
    pub id: String,
    /// Its connector's id in lower case.
    pub connector_key: String,
    /// Its settings.
    pub texts: Texts,
    /// When it was made: windows that began before are not judged.
    pub made_at: Timestamp,
    /// When the states of its windows were last determined.
    pub looked_at: Timestamp,
    /// Changes with each save.
    pub version: i64,
}

/// The last known state of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stand {
    /// The window.
    pub window: Window,
    /// Its state.
    pub state: State,
    /// Files that counted.
    pub files: u64,
    /// When that state began.
    pub changed_at: Timestamp,
    /// Whether it was determined only after a time in which Waybill did not run.
    pub afterwards: bool,
}

/// A file that may count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    /// The id of its receipt or transfer; empty if that is no longer kept.
    pub id: String,
    /// Its path as the partner sees it.
    pub path: String,
    /// Its size.
    pub size_bytes: u64,
    /// When it was complete.
    pub at: Timestamp,
}

/// Every SLA.
pub async fn all(db: &Db) -> Result<Vec<StoredSla>, StoreError> {
    sqlx::query(ALL).fetch_all(db.reader()).await?.iter().map(decode).collect()
}

/// The same within a transaction.
pub(super) async fn all_in(tx: &mut Transaction<'_, Sqlite>) -> Result<Vec<StoredSla>, StoreError> {
    sqlx::query(ALL).fetch_all(&mut **tx).await?.iter().map(decode).collect()
}

/// The SLAs of one connector, by its id in lower case.
pub async fn of_connector(db: &Db, key: &str) -> Result<Vec<StoredSla>, StoreError> {
    sqlx::query(OF_CONNECTOR).bind(key).fetch_all(db.reader()).await?.iter().map(decode).collect()
}

/// The SLA of that id.
pub async fn find(db: &Db, id: &str) -> Result<Option<StoredSla>, StoreError> {
    sqlx::query(ONE).bind(id).fetch_optional(db.reader()).await?.as_ref().map(decode).transpose()
}

fn decode(row: &SqliteRow) -> Result<StoredSla, StoreError> {
    let (id, texts): (String, String) = (row.try_get(0)?, row.try_get(2)?);
    Ok(StoredSla {
        texts: read_texts(&id, &texts)?,
        connector_key: row.try_get(1)?,
        made_at: Timestamp::from_us(row.try_get(3)?),
        looked_at: Timestamp::from_us(row.try_get(4)?),
        version: row.try_get(5)?,
        id,
    })
}

fn read_texts(id: &str, texts: &str) -> Result<Texts, StoreError> {
    part::texts(texts).map_err(|error| StoreError::Unreadable(format!("SLA {id}: {error}")))
}

/// How many SLAs a connector has.
pub async fn count(db: &Db, key: &str) -> Result<i64, StoreError> {
    Ok(sqlx::query(COUNT).bind(key).fetch_one(db.reader()).await?.try_get(0)?)
}

/// Adds an SLA, or changes it whatever its version.
pub async fn put(
    db: &Db,
    id: &str,
    connector: &ConnectorId,
    texts: &Texts,
    change: &Change<'_>,
) -> Result<(), SaveError> {
    save(db, (id, None), connector, texts, change).await
}

/// Adds an SLA, or changes the one of the expected version. Open windows are judged anew by the new settings; past ones
/// stay as they were. Does nothing if nothing changes.
pub async fn save(
    db: &Db,
    which: (&str, Option<i64>),
    connector: &ConnectorId,
    texts: &Texts,
    change: &Change<'_>,
) -> Result<(), SaveError> {
    let mut tx = db.begin().await?;
    put_in(&mut tx, which, connector, texts, change).await?;
    Ok(tx.commit().await?)
}

/// The same within another transaction.
pub(super) async fn put_in(
    tx: &mut Transaction<'_, Sqlite>,
    (id, expected): (&str, Option<i64>),
    connector: &ConnectorId,
    texts: &Texts,
    change: &Change<'_>,
) -> Result<(), SaveError> {
    let before = part::read(tx, STORED, (id, expected)).await?.map(|stored| stored.texts);
    if !part(&subject(connector)).put(tx, before.as_ref(), texts, change).await? {
        return Ok(());
    }
    let put = sqlx::query(PUT).bind(id).bind(connector.key()).bind(part::json(texts)?);
    let put = put.bind(change.at.us()).bind(change.who);
    put.execute(&mut **tx).await?;
    sqlx::query(FORGET_OPEN).bind(id).execute(&mut **tx).await?;
    Ok(setting::bump(tx).await?)
}

const fn part(subject: &str) -> Part<'_> {
    Part { subject, what: "SLA", table: SlaSettings::SETTINGS, in_words }
}

fn in_words(texts: &Texts) -> String {
    SlaSettings::parse(texts).map(|(settings, _)| settings.in_words()).unwrap_or_default()
}

/// Removes one, with its windows.
pub async fn remove(db: &Db, sla: &StoredSla, connector: &ConnectorId, change: &Change<'_>) -> Result<(), StoreError> {
    let mut tx = db.begin().await?;
    sqlx::query(REMOVE).bind(&sla.id).execute(&mut *tx).await?;
    part(&subject(connector)).removed(&mut tx, &sla.texts, change).await?;
    setting::bump(&mut tx).await?;
    Ok(tx.commit().await?)
}

/// The connector is removed.
pub(super) async fn remove_of(
    tx: &mut Transaction<'_, Sqlite>,
    connector: &ConnectorId,
    change: &Change<'_>,
) -> Result<(), StoreError> {
    for row in sqlx::query(OF_CONNECTOR).bind(connector.key()).fetch_all(&mut **tx).await? {
        let stored = decode(&row)?;
        sqlx::query(REMOVE).bind(&stored.id).execute(&mut **tx).await?;
        part(&subject(connector)).removed(tx, &stored.texts, change).await?;
    }
    Ok(())
}

/// The known states of windows that overlap that time, earliest first.
pub async fn windows(db: &Db, id: &str, from: Timestamp, until: Timestamp) -> Result<Vec<Stand>, StoreError> {
    let rows = sqlx::query(WINDOWS).bind(id).bind(from.us()).bind(until.us()).fetch_all(db.reader()).await?;
    let stand = |row: &SqliteRow| -> Result<Stand, StoreError> {
        let state: String = row.try_get(2)?;
        let start = Timestamp::from_us(row.try_get(0)?);
        Ok(Stand {
            window: Window { start, end: Timestamp::from_us(row.try_get(1)?) },
            state: State::parse(&state).ok_or_else(|| StoreError::Unreadable(format!("a window that is {state}")))?,
            files: row.try_get::<i64, _>(3)?.unsigned_abs(),
            changed_at: Timestamp::from_us(row.try_get(4)?),
            afterwards: row.try_get::<i64, _>(5)? == 1,
        })
    };
    rows.iter().map(stand).collect()
}

/// Records the new states of windows, and the notices of them.
pub async fn looked(db: &Db, id: &str, stands: &[Stand], notices: &[Event], at: Timestamp) -> Result<(), StoreError> {
    let mut tx = db.begin().await?;
    for one in stands {
        let set = sqlx::query(SET_WINDOW).bind(id).bind(one.window.start.us()).bind(one.window.end.us());
        let set = set.bind(one.state.name()).bind(super::commit::signed(one.files)).bind(one.changed_at.us());
        set.bind(i64::from(one.afterwards)).execute(&mut *tx).await?;
    }
    for notice in notices {
        event::add(&mut tx, notice).await?;
    }
    sqlx::query(LOOKED).bind(id).bind(at.us()).execute(&mut *tx).await?;
    Ok(tx.commit().await?)
}

/// Passes `tell` every file that counts for an SLA within that time, earliest first, until it breaks off. The owner:
/// the connector's id in lower case, and as written.
pub async fn each_counting(
    db: &Db,
    (key, connector): (&str, &str),
    due: &Sla,
    within: Window,
    mut tell: impl FnMut(Moved) -> ControlFlow<()>,
) -> Result<(), StoreError> {
    let (sql, whose) = match due.counted {
        Counted::Received => (RECEIVED, key),
        Counted::Collected => (COLLECTED, connector),
    };
    // Each page begins behind the last row of the one before.
    let (mut reached, mut id) = (within.start.us(), String::new());
    loop {
        let page = sqlx::query(sql).bind(whose).bind(reached).bind(&id).bind(within.end.us()).bind(STEP);
        let page = page.fetch_all(db.reader()).await?;
        let Some(last) = page.last() else { return Ok(()) };
        (reached, id) = (last.try_get(3)?, last.try_get(4)?);
        for row in &page {
            let one = moved(row)?;
            let name = one.path.rsplit('/').next().unwrap_or_default();
            if due.counts(name, one.size_bytes) && tell(one).is_break() {
                return Ok(());
            }
        }
    }
}

fn moved(row: &SqliteRow) -> sqlx::Result<Moved> {
    Ok(Moved {
        id: row.try_get(0)?,
        path: row.try_get(1)?,
        size_bytes: row.try_get::<i64, _>(2)?.unsigned_abs(),
        at: Timestamp::from_us(row.try_get(3)?),
    })
}

/// A window that needs attention.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bad {
    /// The SLA.
    pub id: String,
    /// Its connector.
    pub connector_key: String,
    /// Its settings.
    pub texts: Texts,
    /// The window.
    pub window: Window,
    /// At risk or violated.
    pub state: State,
    /// Files that counted.
    pub files: u64,
}

/// Windows at risk, and violated ones that ended since then, latest first, at most 20.
pub async fn bad(db: &Db, since: Timestamp) -> Result<Vec<Bad>, StoreError> {
    let rows = sqlx::query(BAD).bind(since.us()).fetch_all(db.reader()).await?;
    let one = |row: &SqliteRow| -> Result<Bad, StoreError> {
        let (id, texts, state): (String, String, String) = (row.try_get(0)?, row.try_get(2)?, row.try_get(5)?);
        let start = Timestamp::from_us(row.try_get(3)?);
        Ok(Bad {
            texts: read_texts(&id, &texts)?,
            connector_key: row.try_get(1)?,
            window: Window { start, end: Timestamp::from_us(row.try_get(4)?) },
            state: State::parse(&state).unwrap_or(State::AtRisk),
            files: row.try_get::<i64, _>(6)?.unsigned_abs(),
            id,
        })
    };
    rows.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::Clock;
    use crate::base::id::{IdSource, TransferId};
    use crate::domain::event::EventKind;
    use crate::domain::receipt::Ending;
    use crate::domain::sla::SlaSettings;
    use crate::store::commit::Recorder;
    use crate::store::event::EventFile;
    use crate::store::transfer::{Direction, Transfer};

    /// All received in the same microsecond.
    const MANY: &str = "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < $1) \
         INSERT INTO receipts (id, connector, connector_key, name, client_path, stored_path, size_bytes, sha256, headers, \
         begun_at_us, completed_at_us, remote_address, tls, session_id, ending, resumed_from, ascii, proof, status, \
         publishing, inode, staged_name) SELECT printf('%05d', n), 'Acme', 'acme', 'a', '/Receive/a', '/Receive/a', 1, '', \
         '[]', 1, 1, '', '', '', 'closed', 0, 0, 'C', 'in_receive', 0, n, '' FROM n";

    #[tokio::test]
    async fn a_piece_and_a_download_of_ones_own_upload_are_not_collected_files() {
        let folder = tempfile::tempdir().unwrap();
        let db = Db::open(folder.path()).await.unwrap();
        let ids = IdSource::random(Clock::System);
        let (recorder, writer) = Recorder::new(db.clone());
        tokio::spawn(writer.run());
        let at = |second: i64| Timestamp::from_us(1_800_000_000_000_000 + second * 1_000_000);
        let mut sent = Vec::new();
        // The first half of a file, all of it by another name of Send, and a file in Receive.
        for (second, path) in [(1, "/Send/a/b.x12"), (2, "/outbox/a/b.x12"), (3, "/Receive/b.x12")] {
            let transfer = Transfer {
                id: TransferId::new(&ids),
                direction: Direction::Send,
                connector: "Acme".to_owned(),
                path: path.to_owned(),
                bytes_moved: 9,
                offset_bytes: 0,
                begun_at: at(second),
                ended_at: at(second),
                ending: Ending::Closed,
                complete: true,
                remote: String::new(),
                tls: String::new(),
                session_id: "session".to_owned(),
                receipt_id: None,
                reply: String::new(),
            };
            sent.push(transfer.id.to_string());
            recorder.transfer(transfer).await;
        }
        recorder.flush().await.unwrap();
        let mut told = Event::new(&ids, EventKind::AfterSend, at(4), "collected");
        (told.connector, told.session_id) = ("Acme".to_owned(), "session".to_owned());
        told.file = Some(EventFile { path: "/Send/a/b.x12".to_owned(), size_bytes: 18 });
        event::record(&db, &told).await.unwrap();

        let texts = [("counted", "collected"), ("names", "*.x12")];
        let texts = texts.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        let (_, due) = SlaSettings::parse(&texts).unwrap();
        let mut counted = Vec::new();
        let all = Window { start: at(0), end: at(9) };
        let tell = |one| {
            counted.push(one);
            ControlFlow::Continue(())
        };
        each_counting(&db, ("acme", "Acme"), &due, all, tell).await.unwrap();
        let path = "/Send/a/b.x12".to_owned();
        assert_eq!(counted, [Moved { id: sent[1].clone(), path, size_bytes: 18, at: at(4) }]);
    }

    #[tokio::test]
    async fn a_page_goes_on_behind_the_last_file_of_the_one_before_however_many_came_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let db = Db::open(folder.path()).await.unwrap();
        let files = STEP * 2 + 1;
        sqlx::query(MANY).bind(files).execute(db.writer()).await.unwrap();
        let (_, due) = SlaSettings::parse(&Texts::default()).unwrap();
        let mut counted = Vec::new();
        let within = |end| Window { start: Timestamp::from_us(1), end: Timestamp::from_us(end) };
        let tell = |one: Moved| {
            counted.push(one.id);
            ControlFlow::Continue(())
        };
        each_counting(&db, ("acme", "Acme"), &due, within(3), tell).await.unwrap();
        assert!(counted.len() == 2_001 && counted.is_sorted(), "{}", counted.len());
        each_counting(&db, ("acme", "Acme"), &due, within(1), |_| panic!("its end is no part of it")).await.unwrap();
        for (statement, from) in [(RECEIVED, "(completed_at_us,id)>(?,?)"), (COLLECTED, "(at_us,id)>(?,?)")] {
            let steps = db.plan(statement).await;
            assert!(steps.iter().any(|step| step.contains(from)), "{steps:?}");
        }
    }
}
