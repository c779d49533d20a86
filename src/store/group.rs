//! The rows of one group commit, written by one statement: every SQLite call is a hop to its thread and back, and so is
//! every statement's end; each costs more than the statement itself. This is specific to SQLite: see
//! docs/decisions/0091 and 0125.

use std::collections::HashMap;
use std::mem;
use std::sync::LazyLock;

use serde::{Serialize, Serializer};
use serde_json::json;
use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, Row, SqliteConnection};

use super::cell::{Cell, cells};
use super::collected::{self, ADD_COLLECTION, Collection};
use super::commit::{Committed, Place, Published, Received, signed};
use super::receipt::encode_headers;
use super::transfer::Transfer;
use super::{event, traffic, transfer};
use crate::base::id::ReceiptId;

/// Rows per statement. More rows take several statements in one transaction.
const ROWS_MAX: usize = 256;

// From here on they are visible, in this order and after all that became visible before.
const CLEAR_MARK: &str = "UPDATE receipts SET publishing = 0, shown_at_us = 1 + MAX(:completed_at_us, COALESCE( \
     (SELECT COALESCE(shown_at_us, completed_at_us) FROM receipts WHERE publishing = 0 \
     ORDER BY COALESCE(shown_at_us, completed_at_us) DESC LIMIT 1), 0)) WHERE id = :id AND publishing = 1";
const MARK_REPLACED: &str = "UPDATE receipts SET status = 'replaced' WHERE connector_key = :connector_key \
     AND stored_path = :stored_path AND status IN ('in_receive', 'waiting') AND id <> :id";
const MARK_OLDER: &str =
    "UPDATE receipts SET status = 'replaced' WHERE id = :in_place_of AND status IN ('in_receive', 'waiting')";
const ADD_TRANSFER: &str = "INSERT INTO transfers (id, direction, connector, path, bytes_moved, offset_bytes, begun_at_us, \
     ended_at_us, ending, complete, remote, tls, session_id, receipt_id, reply) VALUES (:id, :direction, :connector, \
     :path, :bytes_moved, :offset_bytes, :begun_at_us, :ended_at_us, :ending, :complete, :remote, :tls, :session_id, \
     :receipt_id, :reply)";
const ADD_TRAFFIC: &str = "INSERT INTO traffic (minute, direction, bytes, files) VALUES (:minute, :direction, :bytes, :files) \
     ON CONFLICT (minute, direction) DO UPDATE SET bytes = traffic.bytes + excluded.bytes, \
     files = traffic.files + excluded.files";
const ADD_EVENT: &str = "INSERT INTO events (id, kind, at_us, connector, session_id, receipt_id, remote, summary, \
     path, size_bytes) VALUES (:id, :kind, :at_us, :connector, :session_id, :receipt_id, :remote, :summary, :path, \
     :size_bytes)";
// Same connector, name and digest within a day is a duplicate.
const ADD_RECEIPT: &str = "INSERT INTO receipts (id, connector, connector_key, name, client_path, stored_path, \
     size_bytes, sha256, headers, begun_at_us, completed_at_us, remote_address, tls, session_id, ending, \
     resumed_from, ascii, proof, status, publishing, inode, staged_name, event_id, staging_inode, in_place_of, duplicate_of) \
     VALUES (:id, :connector, :connector_key, :name, :client_path, :stored_path, :size_bytes, :sha256, :headers, \
     :begun_at_us, :completed_at_us, :remote_address, :tls, :session_id, :ending, :resumed_from, :ascii, :proof, \
     :status, 1, :inode, :staged_name, :event_id, :staging_inode, :in_place_of, \
     (SELECT id FROM receipts WHERE connector_key = :connector_key AND client_path = :client_path \
     AND completed_at_us >= :completed_at_us - 86400000000 AND sha256 = :sha256 ORDER BY completed_at_us DESC LIMIT 1))";
// For journaled receipts the journal decides whether bytes are held and so whether anything is delivered; otherwise it
// is decided here.
const SET_WAITING: &str = "UPDATE receipts SET status = 'waiting' WHERE id = :id AND COALESCE(:held, 1) \
     AND EXISTS (SELECT 1 FROM arrows WHERE from_key = :connector_key AND on_error = 0)";
const SET_WRITTEN: &str = "UPDATE journal SET written = :number WHERE one = 1";
// Whatever has deliveries is held from the same moment on.
const ADD_DELIVERIES: &str = "INSERT INTO deliveries (event_id, receipt_id, source_key, target, state, attempts, \
     since_attempt, next_at_us, created_at_us) SELECT :event_id, :id, from_key, 'connector:' || to_key, 'waiting', 0, 0, \
     :deliver_at_us, :completed_at_us FROM arrows WHERE from_key = :connector_key AND on_error = 0 AND COALESCE(:held, 1) \
     ORDER BY added_at_us";
const ADD_ACTIONS: &str = "INSERT INTO deliveries (event_id, receipt_id, source_key, target, state, attempts, \
     since_attempt, next_at_us, created_at_us) SELECT :event_id, :id, :connector_key, 'action:' || value, 'waiting', 0, 0, \
     :deliver_at_us, :completed_at_us FROM json_each(:actions) ORDER BY key";
// Behind them: where an arrow has gone since the journal said that it is held, nothing is to be delivered.
const ADD_HOLD: &str = "INSERT INTO holds (receipt_id, connector_key, folder, size_bytes, since_us, ended) \
     SELECT :id, :connector_key, :folder, :size_bytes, :completed_at_us, \
     NOT EXISTS (SELECT 1 FROM deliveries WHERE receipt_id = :id) \
     WHERE COALESCE(:held, EXISTS (SELECT 1 FROM deliveries WHERE receipt_id = :id))";
const COMMITTED: &str = "SELECT duplicate_of, EXISTS (SELECT 1 FROM holds WHERE receipt_id = receipts.id) \
     FROM json_each(?) AS added CROSS JOIN receipts ON receipts.id = added.value ORDER BY added.key";

/// The kind of a row in a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Published,
    Transfer,
    Traffic,
    Receipt,
    /// A receipt from the journal: it was safe before.
    Journaled,
    Event,
    Collection,
}

/// The names of a receipt's cells.
macro_rules! receipt_cells {
    () => {
        "id connector connector_key name client_path stored_path size_bytes sha256 headers begun_at_us completed_at_us \
         remote_address tls session_id ending resumed_from ascii proof status inode staged_name event_id deliver_at_us \
         folder actions staging_inode in_place_of held"
    };
}

impl Kind {
    const ALL: [Self; 7] =
        [Self::Published, Self::Transfer, Self::Traffic, Self::Receipt, Self::Journaled, Self::Event, Self::Collection];

    /// Its number in the statement.
    const fn number(self) -> i64 {
        self as i64
    }

    /// The names of its cells, in their order.
    const fn cells(self) -> &'static str {
        match self {
            Self::Published => "id connector_key stored_path completed_at_us in_place_of",
            Self::Transfer => transfer::CELLS,
            Self::Traffic => traffic::CELLS,
            Self::Receipt => receipt_cells!(),
            Self::Journaled => concat!(receipt_cells!(), " number"),
            Self::Event => event::CELLS,
            Self::Collection => collected::CELLS,
        }
    }

    /// Its statements, where `:name` stands for one of its cells.
    const fn statements(self) -> &'static [&'static str] {
        match self {
            Self::Published => &[CLEAR_MARK, MARK_REPLACED, MARK_OLDER],
            Self::Transfer => &[ADD_TRANSFER],
            Self::Traffic => &[ADD_TRAFFIC],
            Self::Receipt => &[ADD_RECEIPT, SET_WAITING, ADD_DELIVERIES, ADD_ACTIONS, ADD_HOLD],
            Self::Journaled => &[ADD_RECEIPT, SET_WAITING, ADD_DELIVERIES, ADD_ACTIONS, ADD_HOLD, SET_WRITTEN],
            Self::Event => &[ADD_EVENT],
            Self::Collection => &[ADD_COLLECTION],
        }
    }

    /// The row of these cells; missing ones are null.
    pub(super) fn row_of(self, named: &HashMap<String, Cell>) -> Vec<Cell> {
        self.cells().split(' ').map(|name| named.get(name).cloned().unwrap_or_default()).collect()
    }

    /// The trigger that writes it.
    fn trigger(self) -> String {
        let cells: Vec<_> = self.cells().split(' ').collect();
        let written: String = self.statements().iter().map(|sql| with_cells(sql, &cells) + "; ").collect();
        let number = self.number();
        format!(
            "CREATE TEMP TRIGGER group_commit_{number} INSTEAD OF INSERT ON group_commit WHEN NEW.kind = {number} \
             BEGIN {written}END"
        )
    }
}

/// The statement with the view's columns in place of the cells' names.
fn with_cells(sql: &str, cells: &[&str]) -> String {
    let mut parts = sql.split(':');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(part.len());
        let column = cells.iter().position(|cell| *cell == &part[..end]);
        text += &column.map_or_else(|| format!(":{part}"), |nth| format!("NEW.v{nth}{}", &part[end..]));
    }
    text
}

/// As many cells as in the longest row.
static COLUMNS: LazyLock<usize> =
    LazyLock::new(|| Kind::ALL.iter().map(|kind| kind.cells().split(' ').count()).max().unwrap_or_default());

/// An empty view, with triggers instead of inserts: each row is written by the statements of its kind, all within one
/// statement that SQLite commits or undoes as a whole. They belong to the writer's connection, not to the database.
static WRITTEN: LazyLock<Vec<String>> = LazyLock::new(|| {
    let cells: Vec<_> = (0..*COLUMNS).map(|nth| format!("v{nth}")).collect();
    let nothing = vec!["NULL"; *COLUMNS + 1].join(", ");
    let view = format!("CREATE TEMP VIEW group_commit (kind, {}) AS SELECT {nothing}", cells.join(", "));
    [view].into_iter().chain(Kind::ALL.map(Kind::trigger)).collect()
});

/// How many rows the statement for so many has: rounded up, so that few texts must be prepared; surplus rows have no
/// kind.
fn rounded(rows: usize) -> usize {
    match rows {
        0..=16 => rows,
        17..=64 => rows.next_multiple_of(8),
        _ => rows.next_multiple_of(32),
    }
}

/// The parameters of one row.
static ROW: LazyLock<String> = LazyLock::new(|| format!("({})", vec!["?"; *COLUMNS + 1].join(", ")));

/// The insert of so many rows. The outcome of each receipt is queried afterwards: RETURNING would return rows, and wake
/// those waiting for them, before the commit.
fn statement(rows: usize, asks: bool) -> String {
    let insert = format!("INSERT INTO group_commit VALUES {}", vec![ROW.as_str(); rows].join(", "));
    if asks { [&insert, COMMITTED].join(";\n") } else { insert }
}

/// Prepares a connection for writing groups; the database must be up to date.
pub(super) async fn prepare(connection: &mut sqlx::SqliteConnection) -> sqlx::Result<()> {
    for made in WRITTEN.iter() {
        sqlx::query(AssertSqlSafe(made.as_str())).persistent(false).execute(&mut *connection).await?;
    }
    Ok(())
}

/// A row as JSON with named cells.
pub(super) struct Named<'a>(pub(super) Kind, pub(super) &'a [Cell]);

impl Serialize for Named<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let Self(kind, row) = self;
        to.collect_map(kind.cells().split(' ').zip(*row))
    }
}

/// The cells of a receipt, with its event's id; the event is recorded when the file is published. `held`: whether its
/// bytes are held, if decided before it is written.
pub(super) fn receipt_row(received: &Received, held: Option<bool>) -> Vec<Cell> {
    let Received { receipt, event_id, folder, staging_inode, deliver_at, actions, in_place_of } = received;
    cells![
        receipt.id.as_str(),
        &receipt.connector,
        receipt.connector_key(),
        &receipt.name,
        &receipt.client_path,
        &receipt.stored_path,
        signed(receipt.size_bytes),
        &receipt.sha256,
        encode_headers(&receipt.headers),
        receipt.begun_at.us(),
        receipt.completed_at.us(),
        &receipt.remote_address,
        &receipt.tls,
        receipt.session_id.as_str(),
        receipt.ending.name(),
        signed(receipt.resumed_from),
        receipt.ascii,
        receipt.proof.name(),
        receipt.status.name(),
        receipt.inode.cast_signed(),
        &receipt.staged_name,
        event_id.as_str(),
        deliver_at.us(),
        folder,
        (!actions.is_empty()).then(|| json!(actions).to_string()),
        staging_inode.cast_signed(),
        in_place_of.as_ref().map(ReceiptId::as_str),
        held,
    ]
}

/// The rows of one commit, in order.
#[derive(Debug, Default)]
pub(super) struct Group<'a> {
    rows: Vec<(Kind, Vec<Cell>)>,
    traffic: traffic::Sums,
    /// The ids of its receipts.
    receipts: Vec<&'a str>,
}

impl<'a> Group<'a> {
    /// A file that has its final name, with its event.
    pub(super) fn publish(&mut self, published: &Published) {
        let Published { id, place, in_place_of, event } = published;
        let in_place_of = in_place_of.as_ref().map(ReceiptId::as_str);
        let Place { connector_key, stored_path } = place;
        // The time of the event is when the file was complete.
        self.add(Kind::Published, cells![id.as_str(), connector_key, stored_path, event.at.us(), in_place_of]);
        self.event(event);
    }

    pub(super) fn transfer(&mut self, transfer: &Transfer) {
        self.add(Kind::Transfer, transfer::row(transfer));
        self.traffic.add(transfer);
    }

    pub(super) fn event(&mut self, event: &event::Event) {
        self.add(Kind::Event, event::row(event));
    }

    pub(super) fn collection(&mut self, collection: &Collection) {
        self.add(Kind::Collection, collected::row(collection));
    }

    /// A receipt, with its deliveries.
    pub(super) fn receipt(&mut self, received: &'a Received) {
        self.receipts.push(received.receipt.id.as_str());
        self.add(Kind::Receipt, receipt_row(received, None));
    }

    /// The row of a receipt that is in the journal, on the line of that number.
    pub(super) fn journaled(&mut self, mut row: Vec<Cell>, number: i64) {
        row.push(number.into());
        self.add(Kind::Journaled, row);
    }

    fn add(&mut self, kind: Kind, row: Vec<Cell>) {
        self.rows.push((kind, row));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Whether it can be written without an explicit transaction.
    pub(super) fn is_one_statement(&self) -> bool {
        self.rows.len() + self.traffic.len() <= ROWS_MAX
    }

    /// Writes them; returns the outcome of each receipt, in order. Large groups take several statements, which must be
    /// in one transaction ([`Self::is_one_statement`]).
    pub(super) async fn write(mut self, to: &mut SqliteConnection) -> sqlx::Result<Vec<Committed>> {
        let traffic = self.traffic.rows().into_iter().map(|row| (Kind::Traffic, row));
        let mut rows: Vec<_> = self.rows.into_iter().chain(traffic).map(|(kind, row)| (Some(kind), row)).collect();
        let mut committed = Vec::with_capacity(self.receipts.len());
        while !rows.is_empty() {
            let behind = rows.split_off(rows.len().min(ROWS_MAX));
            let asked = if behind.is_empty() { mem::take(&mut self.receipts) } else { Vec::new() };
            let full = rounded(rows.len());
            rows.resize_with(full, || (None, Vec::new()));
            let mut query = sqlx::query(AssertSqlSafe(statement(full, !asked.is_empty())));
            for (kind, mut row) in rows {
                row.resize(*COLUMNS, Cell::Null);
                query = row.into_iter().fold(query.bind(kind.map(Kind::number)), |query, cell| cell.bind(query));
            }
            if !asked.is_empty() {
                query = query.bind(json!(asked).to_string());
            }
            committed.extend(query.fetch_all(&mut *to).await?);
            rows = behind;
        }
        let decode = |row: &SqliteRow| {
            let duplicate_of = row.try_get::<Option<String>, _>(0)?;
            let duplicate_of = duplicate_of.as_deref().and_then(ReceiptId::parse);
            Ok(Committed { duplicate_of, held: row.try_get(1)? })
        };
        committed.iter().map(decode).collect()
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
        let committed = group.write(&mut tx).await.unwrap();
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
        group.write(&mut db.writer().acquire().await.unwrap()).await.unwrap_err();
        assert_eq!(find(&db, &good.receipt.id).await.unwrap(), None);
        let mut group = Group::default();
        group.receipt(&good);
        assert_eq!(
            group.write(&mut db.writer().acquire().await.unwrap()).await.unwrap(),
            [Committed { duplicate_of: None, held: false }]
        );
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
        // It continued another one of that name, too.
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

    /// It takes several statements, and the last ends with rows of no kind.
    #[tokio::test]
    async fn a_large_group_is_written_as_a_whole() {
        fn of(all: &[Received]) -> Group<'_> {
            let mut group = Group::default();
            for one in all {
                group.receipt(one);
            }
            group
        }
        let folder = tempfile::tempdir().unwrap();
        let db = Db::open(folder.path()).await.unwrap();
        let ids = IdSource::seeded(Clock::System, 7);
        let all: Vec<_> = (0..ROWS_MAX + 9).map(|nth| received(&ids, &format!("/Receive/{}", nth / 2), "11")).collect();
        assert!(of(&all[..ROWS_MAX]).is_one_statement() && !of(&all).is_one_statement());
        let mut bad = all.clone();
        bad.last_mut().unwrap().receipt.size_bytes = u64::MAX;
        let mut tx = db.begin().await.unwrap();
        of(&bad).write(&mut tx).await.unwrap_err();
        tx.rollback().await.unwrap();
        assert_eq!(find(&db, &all[0].receipt.id).await.unwrap(), None);

        let committed = write(&db, of(&all)).await;
        let known = |nth: usize| (nth % 2 == 1).then(|| all[nth - 1].receipt.id.clone());
        assert!(committed.into_iter().map(|one| one.duplicate_of).eq((0..all.len()).map(known)));
        let count = sqlx::query("SELECT COUNT(*) FROM receipts").fetch_one(db.reader()).await.unwrap();
        assert_eq!(count.get::<i64, _>(0), i64::try_from(all.len()).unwrap());
    }

    #[test]
    fn few_texts_serve_every_number_of_rows() {
        let texts: std::collections::BTreeSet<_> = (1..=ROWS_MAX).map(rounded).collect();
        assert!((1..=ROWS_MAX).all(|rows| (rows..=ROWS_MAX).contains(&rounded(rows))), "{texts:?}");
        assert!(texts.len() < 32, "each is prepared with and without its question: {texts:?}");
    }
}
