//! The rows of one group commit, written by one statement: every call of SQLite is a hop to its thread and back, and so is
//! every statement's end; each costs more than the statement itself. Rows go in as JSON arrays, so that the text is the
//! same however many there are. This is SQLite's own: see docs/decisions/0090 and 0091.

use std::collections::HashMap;
use std::sync::LazyLock;

use serde_json::{Value, json};
use sqlx::sqlite::{SqliteExecutor, SqliteRow};
use sqlx::{AssertSqlSafe, Row};

use super::collected::{self, ADD_COLLECTIONS, Collection};
use super::commit::{Committed, Place, Published, Received, signed};
use super::receipt::encode_headers;
use super::transfer::Transfer;
use super::{event, traffic, transfer};
use crate::base::id::ReceiptId;

/// Same connector, name and digest within this time is a duplicate.
const DUPLICATE_WITHIN_US: i64 = 24 * 3_600 * 1_000_000;

// `$2`: an array of id, connector_key, stored_path, completed_at_us, in_place_of. From here on they are seen, in this order and behind all
// that were seen before.
const CLEAR_MARK: &str = "UPDATE receipts SET publishing = 0, shown_at_us = published.key + 1 + MAX( \
     (SELECT MAX(value->>3) FROM jsonb_each($2)), COALESCE((SELECT COALESCE(shown_at_us, completed_at_us) \
     FROM receipts WHERE publishing = 0 ORDER BY COALESCE(shown_at_us, completed_at_us) DESC LIMIT 1), 0)) \
     FROM jsonb_each($2) AS published WHERE receipts.id = published.value->>0 AND receipts.publishing = 1";
const MARK_REPLACED: &str = "UPDATE receipts SET status = 'replaced' WHERE rowid IN (SELECT older.rowid \
     FROM jsonb_each($2) AS published CROSS JOIN receipts AS older ON older.connector_key = published.value->>1 \
     AND older.stored_path = published.value->>2 AND older.status IN ('in_receive', 'waiting') \
     AND older.id <> published.value->>0 UNION ALL SELECT older.rowid FROM jsonb_each($2) AS published \
     CROSS JOIN receipts AS older ON older.id = published.value->>4 AND older.status IN ('in_receive', 'waiting'))";
// `$3`: an array of `transfer::row`.
const ADD_TRANSFERS: &str = "INSERT INTO transfers (id, direction, connector, path, bytes_moved, offset_bytes, begun_at_us, \
     ended_at_us, ending, complete, remote, tls, session_id, receipt_id, reply) SELECT value->>0, value->>1, value->>2, \
     value->>3, value->>4, value->>5, value->>6, value->>7, value->>8, value->>9, value->>10, value->>11, value->>12, \
     value->>13, value->>14 FROM jsonb_each($3)";
// `$4`: `traffic::rows`.
const ADD_TRAFFIC: &str = "INSERT INTO traffic (minute, direction, bytes, files) \
     SELECT value->>0, value->>1, value->>2, value->>3 FROM jsonb_each($4) WHERE true ON CONFLICT (minute, direction) DO UPDATE SET bytes = traffic.bytes + excluded.bytes, \
     files = traffic.files + excluded.files";
// `$1`: an array of `event::row`.
const ADD_EVENTS: &str = "INSERT INTO events (id, kind, at_us, connector, session_id, receipt_id, remote, summary, \
     path, size_bytes) SELECT value->>0, value->>1, value->>2, value->>3, value->>4, value->>5, value->>6, value->>7, \
     value->>8, value->>9 FROM jsonb_each($1)";
// `$5`: an array of `Group::receipt`'s rows; `$6`: how long a duplicate is one.
const ADD_RECEIPTS: &str = "INSERT INTO receipts (id, connector, connector_key, name, client_path, stored_path, \
     size_bytes, sha256, headers, begun_at_us, completed_at_us, remote_address, tls, session_id, ending, \
     resumed_from, ascii, proof, status, publishing, inode, staged_name, event_id, staging_inode, in_place_of, duplicate_of) \
     SELECT value->>0, value->>1, value->>2, value->>3, value->>4, value->>5, value->>6, value->>7, value->>8, \
     value->>9, value->>10, value->>11, value->>12, value->>13, value->>14, value->>15, value->>16, value->>17, \
     CASE WHEN EXISTS (SELECT 1 FROM arrows WHERE from_key = value->>2 AND on_error = 0) THEN 'waiting' \
     ELSE value->>18 END, 1, value->>19, value->>20, value->>22, value->>26, value->>27, COALESCE(value->>21, (SELECT id FROM receipts \
     WHERE connector_key = value->>2 AND client_path = value->>4 AND completed_at_us >= (value->>10) - $6 \
     AND sha256 = value->>7 ORDER BY completed_at_us DESC LIMIT 1)) FROM jsonb_each($5)";
// What is to be delivered is held from the same moment on.
const ADD_DELIVERIES: &str = "INSERT INTO deliveries (event_id, receipt_id, source_key, target, state, attempts, \
     since_attempt, next_at_us, created_at_us) SELECT value->>22, value->>0, from_key, 'connector:' || to_key, 'waiting', \
     0, 0, value->>23, value->>10 FROM jsonb_each($5) AS added CROSS JOIN arrows ON from_key = added.value->>2 \
     WHERE on_error = 0 ORDER BY added.key, added_at_us";
const ADD_ACTIONS: &str = "INSERT INTO deliveries (event_id, receipt_id, source_key, target, state, attempts, \
     since_attempt, next_at_us, created_at_us) SELECT added.value->>22, added.value->>0, added.value->>2, \
     'action:' || wanted.value, 'waiting', 0, 0, added.value->>23, added.value->>10 FROM jsonb_each($5) AS added \
     CROSS JOIN jsonb_each(added.value, '$[25]') AS wanted ORDER BY added.key, wanted.key";
const ADD_HOLDS: &str = "INSERT INTO holds (receipt_id, connector_key, folder, size_bytes, since_us, ended) \
     SELECT value->>0, value->>2, value->>24, value->>6, value->>10, 0 FROM jsonb_each($5) \
     WHERE EXISTS (SELECT 1 FROM deliveries WHERE receipt_id = value->>0)";
const WRITE: &str = "INSERT INTO group_commit (events, published, transfers, traffic, receipts, duplicate_within_us, \
     collections) VALUES ($1, $2, $3, $4, $5, $6, $7)";
const COMMITTED: &str = "SELECT duplicate_of, EXISTS (SELECT 1 FROM holds WHERE receipt_id = receipts.id) \
     FROM jsonb_each($5) AS added CROSS JOIN receipts ON receipts.id = added.value->>0 ORDER BY added.key";

/// What came of each receipt is asked behind the insert: with RETURNING the row would come, and wake whoever waits for it,
/// before the commit.
static WRITE_RECEIPTS: LazyLock<String> = LazyLock::new(|| [WRITE, COMMITTED].join(";\n"));

/// What `$1` to `$7` of the statements above are to the trigger, in their order.
const COLUMNS: [&str; 7] =
    ["events", "published", "transfers", "traffic", "receipts", "duplicate_within_us", "collections"];

/// A view of nothing, and what an insert into it does instead: all of a group, within one statement that SQLite commits or
/// undoes as a whole. They belong to the writer's connection and are not part of the database.
///
/// What was published goes first: a receipt of the same place that is in the same group came after it, and is not what
/// it replaced.
static WRITTEN: LazyLock<[String; 2]> = LazyLock::new(|| {
    let published = [CLEAR_MARK, MARK_REPLACED];
    let added =
        [ADD_TRANSFERS, ADD_TRAFFIC, ADD_RECEIPTS, ADD_EVENTS, ADD_DELIVERIES, ADD_ACTIONS, ADD_HOLDS, ADD_COLLECTIONS];
    let mut script = [&published[..], &added[..]].concat().join(";\n");
    for (column, number) in COLUMNS.iter().zip(1..) {
        script = script.replace(&format!("${number}"), &format!("NEW.{column}"));
    }
    let columns = COLUMNS.join(", ");
    let nothing = COLUMNS.map(|_| "NULL").join(", ");
    [
        format!("CREATE TEMP VIEW group_commit ({columns}) AS SELECT {nothing}"),
        format!("CREATE TEMP TRIGGER group_commit_written INSTEAD OF INSERT ON group_commit BEGIN {script}; END"),
    ]
});

/// Makes a connection one that groups can be written by; the database must be up to date.
pub(super) async fn prepare(connection: &mut sqlx::SqliteConnection) -> sqlx::Result<()> {
    for made in WRITTEN.iter() {
        sqlx::query(AssertSqlSafe(made.as_str())).persistent(false).execute(&mut *connection).await?;
    }
    Ok(())
}

/// The rows of one commit.
#[derive(Debug, Default)]
pub(super) struct Group<'a> {
    published: Vec<Value>,
    transfers: Vec<&'a Transfer>,
    receipts: Vec<Value>,
    events: Vec<Value>,
    collections: Vec<Value>,
    /// The receipts of this group by connector, name and digest: the database does not know them yet.
    latest: HashMap<(String, &'a str, &'a str), &'a ReceiptId>,
}

impl<'a> Group<'a> {
    /// A file that lies under its final name, with its event.
    pub(super) fn publish(&mut self, published: &Published) {
        let Published { id, place, in_place_of, event } = published;
        let in_place_of = in_place_of.as_ref().map(ReceiptId::as_str);
        // The event tells when the file was complete.
        let Place { connector_key, stored_path } = place;
        self.published.push(json!([id.as_str(), connector_key, stored_path, event.at.us(), in_place_of]));
        self.event(event);
    }

    pub(super) fn transfer(&mut self, transfer: &'a Transfer) {
        self.transfers.push(transfer);
    }

    pub(super) fn event(&mut self, event: &event::Event) {
        self.events.push(event::row(event));
    }

    pub(super) fn collection(&mut self, collection: &Collection) {
        self.collections.push(collected::row(collection));
    }

    /// A receipt with its event's id; the event is told of when the file is published.
    pub(super) fn receipt(&mut self, received: &'a Received) {
        let Received { receipt, event_id, folder, staging_inode, deliver_at, actions, in_place_of } = received;
        let connector_key = receipt.connector.to_ascii_lowercase();
        let alike = (connector_key.clone(), receipt.client_path.as_str(), receipt.sha256.as_str());
        let duplicate_of = self.latest.insert(alike, &receipt.id).map(ReceiptId::as_str);
        self.receipts.push(json!([
            receipt.id.as_str(),
            receipt.connector,
            connector_key,
            receipt.name,
            receipt.client_path,
            receipt.stored_path,
            signed(receipt.size_bytes),
            receipt.sha256,
            encode_headers(&receipt.headers),
            receipt.begun_at.us(),
            receipt.completed_at.us(),
            receipt.remote_address,
            receipt.tls,
            receipt.session_id.as_str(),
            receipt.ending.name(),
            signed(receipt.resumed_from),
            i64::from(receipt.ascii),
            receipt.proof.name(),
            receipt.status.name(),
            receipt.inode.cast_signed(),
            receipt.staged_name,
            duplicate_of,
            event_id.as_str(),
            deliver_at.us(),
            folder,
            actions,
            staging_inode.cast_signed(),
            in_place_of.as_ref().map(ReceiptId::as_str),
        ]));
    }

    fn is_empty(&self) -> bool {
        let rows = [&self.published, &self.receipts, &self.events, &self.collections];
        rows.iter().all(|rows| rows.is_empty()) && self.transfers.is_empty()
    }

    /// Writes them, in a transaction of their own unless `to` is in one; gives what came of each receipt, in their order.
    pub(super) async fn write(self, to: impl SqliteExecutor<'_>) -> sqlx::Result<Vec<Committed>> {
        if self.is_empty() {
            return Ok(Vec::new());
        }
        let receipts = self.receipts.len();
        let transfers: Value = self.transfers.iter().map(|transfer| transfer::row(transfer)).collect();
        let rows =
            sqlx::query(if receipts == 0 { AssertSqlSafe(WRITE) } else { AssertSqlSafe(WRITE_RECEIPTS.as_str()) })
                .bind(Value::from(self.events).to_string())
                .bind(Value::from(self.published).to_string())
                .bind(transfers.to_string())
                .bind(traffic::rows(self.transfers.iter().copied()).to_string())
                .bind(Value::from(self.receipts).to_string())
                .bind(DUPLICATE_WITHIN_US)
                .bind(Value::from(self.collections).to_string())
                .fetch_all(to)
                .await?;
        if rows.len() != receipts {
            return Err(sqlx::Error::RowNotFound);
        }
        let decode = |row: &SqliteRow| {
            let duplicate_of = row.try_get::<Option<String>, _>(0)?;
            let duplicate_of = duplicate_of.as_deref().and_then(ReceiptId::parse);
            Ok(Committed { duplicate_of, held: row.try_get(1)? })
        };
        rows.iter().map(decode).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::{Clock, Timestamp};
    use crate::base::id::{IdSource, TransferId};
    use crate::domain::receipt::{Ending, Status};
    use crate::store::open::Db;
    use crate::store::receipt::{Receipt, find};
    use crate::store::traffic::sums;
    use crate::store::transfer::Direction;

    const AT: Timestamp = Timestamp::from_us(1_800_000_000_000_000);

    fn received(ids: &IdSource, path: &str, sha256: &str) -> Received {
        Received::of(receipt(ids, path, sha256), ids)
    }

    fn receipt(ids: &IdSource, path: &str, sha256: &str) -> Receipt {
        Receipt {
            name: "o'brien \"1\".edi".to_owned(),
            client_path: path.to_owned(),
            stored_path: path.to_owned(),
            sha256: sha256.to_owned(),
            headers: vec![("SubFolder".to_owned(), "a\\b\u{e9}".to_owned())],
            remote_address: "192.0.2.1".to_owned(),
            inode: u64::MAX - 1,
            staged_name: "part".to_owned(),
            ..Receipt::sample(ids, "Acme", AT)
        }
    }

    async fn write(db: &Db, group: Group<'_>) -> Vec<Committed> {
        let mut tx = db.begin().await.unwrap();
        let committed = group.write(&mut *tx).await.unwrap();
        tx.commit().await.unwrap();
        committed
    }

    #[tokio::test]
    async fn a_group_that_cannot_be_written_leaves_nothing_of_itself() {
        let folder = tempfile::tempdir().unwrap();
        let db = Db::open(folder.path()).await.unwrap();
        let ids = IdSource::seeded(Clock::System, 7);
        let (good, mut bad) = (received(&ids, "/Receive/a", "11"), received(&ids, "/Receive/b", "22"));
        bad.receipt.size_bytes = u64::MAX;
        let mut group = Group::default();
        group.receipt(&good);
        group.receipt(&bad);
        group.write(db.writer()).await.unwrap_err();
        assert_eq!(find(&db, &good.receipt.id).await.unwrap(), None);
        let mut group = Group::default();
        group.receipt(&good);
        assert_eq!(group.write(db.writer()).await.unwrap(), [Committed { duplicate_of: None, held: false }]);
        assert!(find(&db, &good.receipt.id).await.unwrap().is_some(), "it is committed without anybody's COMMIT");
    }

    #[tokio::test]
    async fn a_group_knows_its_own_duplicates_and_those_before_it_and_what_it_replaces() {
        let folder = tempfile::tempdir().unwrap();
        let db = Db::open(folder.path()).await.unwrap();
        let ids = IdSource::seeded(Clock::System, 7);
        let [first, second, third, other] =
            [("/Receive/a", "11"), ("/Receive/a", "11"), ("/Receive/a", "11"), ("/Receive/b", "11")]
                .map(|(path, sha256)| received(&ids, path, sha256));
        let mut group = Group::default();
        for one in [&first, &second, &other] {
            group.receipt(one);
        }
        let committed = write(&db, group).await;
        let duplicates: Vec<_> = committed.iter().map(|one| one.duplicate_of.clone()).collect();
        assert_eq!(duplicates, [None, Some(first.receipt.id.clone()), None]);
        assert_eq!(
            find(&db, &first.receipt.id).await.unwrap().unwrap(),
            first.receipt,
            "every column comes back as it went in"
        );

        // The second was published over the first; the third came after it, to the same place.
        let mut group = Group::default();
        // It went on with another of that name, too.
        let in_place_of = Some(other.receipt.id.clone());
        let published = Published::of(&second.receipt, second.event_id.clone());
        group.publish(&Published { in_place_of, ..published });
        group.receipt(&third);
        let transfer = Transfer {
            id: TransferId::new(&ids),
            direction: Direction::Receive,
            connector: "Acme".to_owned(),
            path: "/Receive/a".to_owned(),
            bytes_moved: 7,
            offset_bytes: 0,
            begun_at: AT,
            ended_at: AT,
            ending: Ending::Closed,
            complete: true,
            remote: String::new(),
            tls: String::new(),
            session_id: String::new(),
            receipt_id: None,
            reply: "226 ok".to_owned(),
        };
        let broken = Transfer { id: TransferId::new(&ids), complete: false, ..transfer.clone() };
        group.transfer(&transfer);
        group.transfer(&broken);
        let committed = write(&db, group).await;
        assert_eq!(committed[0].duplicate_of.as_ref(), Some(&second.receipt.id), "the latest before it");
        let mut now = Vec::new();
        for id in [&first.receipt.id, &second.receipt.id, &third.receipt.id, &other.receipt.id] {
            let found = find(&db, id).await.unwrap().unwrap();
            now.push((found.status, found.publishing));
        }
        let (here, replaced) = (Status::InReceive, Status::Replaced);
        assert_eq!(now, [(replaced, true), (here, false), (here, true), (replaced, true)]);
        let moved = sums(&db, 0, i64::MAX).await.unwrap();
        assert_eq!(moved.iter().map(|one| (one.bytes, one.files)).collect::<Vec<_>>(), [(14, 1)]);
    }
}
