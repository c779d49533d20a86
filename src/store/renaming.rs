//! Renames in Receive: recorded before they are done on disk, carried over into the receipts afterwards.

use std::slice;

use serde_json::Value;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, Sqlite, Transaction};

use super::StoreError;
use super::open::Db;
use super::settle::settle;
use crate::base::clock::Timestamp;
use crate::base::id::ReceiptId;

const ADD: &str = "INSERT INTO renamings (connector_key, receipt_id, from_path, to_path, at_us, is_temporary, actions, due_us) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
const ALL: &str = "SELECT id, connector_key, receipt_id, from_path, to_path, at_us, is_temporary, actions, due_us \
     FROM renamings ORDER BY id";
const FORGET: &str = "DELETE FROM renamings WHERE id = $1";
const ADD_NAME: &str = "INSERT INTO receipt_names (receipt_id, at_us, from_path, to_path) \
     SELECT id, $2, client_path, $3 FROM receipts WHERE id = $1";
const NAMES: &str = "SELECT at_us, from_path, to_path FROM receipt_names WHERE receipt_id = $1 ORDER BY at_us";
const REPLACE: &str = "UPDATE receipts SET status = 'replaced' WHERE connector_key = $1 AND stored_path = $2 \
     AND status IN ('in_receive', 'waiting') AND publishing = 0 AND id <> $3";
const FOLLOW: &str = "UPDATE receipts SET name = $2, client_path = $3, stored_path = $3, \
     temporary_since_us = CASE WHEN $4 = 1 THEN COALESCE(temporary_since_us, $5) END WHERE id = $1";
// What an administrator has stopped stays stopped.
const NOT_SET_OFF: &str = "DELETE FROM deliveries WHERE receipt_id = $1 \
     AND event_id = (SELECT event_id FROM receipts WHERE id = $1) AND attempts = 0 AND ended_at_us IS NULL \
     AND substr(target, 1, 7) = 'action:' AND substr(target, 8) NOT IN (SELECT value FROM json_each($2))";
const SET_OFF: &str = "INSERT INTO deliveries (event_id, receipt_id, source_key, target, state, attempts, since_attempt, \
     next_at_us, created_at_us) SELECT r.event_id, r.id, r.connector_key, 'action:' || wanted.value, 'waiting', 0, 0, $3, $4 \
     FROM json_each($2) AS wanted CROSS JOIN receipts r ON r.id = $1 WHERE NOT EXISTS (SELECT 1 FROM deliveries made \
     WHERE made.receipt_id = r.id AND made.event_id = r.event_id AND made.target = 'action:' || wanted.value) \
     ORDER BY wanted.key";
const TEMPORARY: &str = "SELECT id, connector_key, name FROM receipts WHERE temporary_since_us IS NOT NULL";
// Unless it was renamed meanwhile.
const RELEASE: &str = "UPDATE receipts SET temporary_since_us = NULL FROM json_each($1) AS found \
     WHERE receipts.id = found.value->>0 AND receipts.name = found.value->>1";
// What is no longer in Receive, of what was called so there last, and what it was called before it was held back. `|| ''`: all
// that ever lay at that place are more than those that had temporary names.
const LEFT: &str = "SELECT r.id, n.from_path FROM receipts r CROSS JOIN receipt_names n ON n.receipt_id = r.id \
     AND n.at_us = r.temporary_since_us WHERE r.connector_key = $1 AND r.stored_path = $2 \
     AND r.temporary_since_us IS NOT NULL AND r.status || '' IN ('removed', 'replaced', 'gone')";
const TEMPORARY_SINCE: &str = "SELECT temporary_since_us FROM receipts WHERE id = $1";
// A SubFolder header, a receipt's only header, follows too.
const FOLLOW_HEADER: &str = "UPDATE receipts SET headers = json_array(json_array('SubFolder', $2)) \
     WHERE id = $1 AND json_extract(headers, '$[0][0]') = 'SubFolder'";
// What is passed along may still be about to leave, as long as its bytes are held. `0` is the character behind `/`.
const FOLLOW_BELOW: &str = "UPDATE receipts SET stored_path = $3 || substr(stored_path, $4), \
     client_path = $3 || substr(client_path, $4), \
     headers = CASE WHEN json_extract(headers, '$[0][0]') = 'SubFolder' \
     THEN json_array(json_array('SubFolder', $5 || substr(json_extract(headers, '$[0][1]'), $6))) ELSE headers END \
     WHERE connector_key = $1 AND (status IN ('in_receive', 'waiting') \
     OR status = 'passed_along' AND EXISTS (SELECT 1 FROM holds WHERE receipt_id = receipts.id)) \
     AND stored_path > $2 || '/' AND stored_path < $2 || '0'";

/// One rename: of a received file, or of a folder with everything below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rename {
    /// The number it is recorded under.
    id: i64,
    /// The connector's id in lower case.
    pub connector_key: String,
    /// The file's receipt; `None`: a folder.
    pub receipt_id: Option<ReceiptId>,
    /// The effects of the file's new name.
    new_name: NewName,
    /// Its old name, as the partner sees it: `/Receive/a`.
    pub from: String,
    /// Its new name.
    pub to: String,
    /// When.
    pub at: Timestamp,
}

/// One renaming of a received file by its partner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Renaming {
    /// When.
    pub at: Timestamp,
    /// Its name until then, as the partner saw it.
    pub from: String,
    /// Its name from then on.
    pub to: String,
}

/// How the receipt's file was renamed, oldest first.
pub async fn names(db: &Db, id: &ReceiptId) -> Result<Vec<Renaming>, StoreError> {
    let rows = sqlx::query(NAMES).bind(id.as_str()).fetch_all(db.reader()).await?;
    rows.iter()
        .map(|row| {
            let at = Timestamp::from_us(row.try_get(0)?);
            Ok(Renaming { at, from: row.try_get(1)?, to: row.try_get(2)? })
        })
        .collect()
}

/// The effects of a received file's new name on pending deliveries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewName {
    /// It is temporary: nothing is delivered under it.
    pub is_temporary: bool,
    /// The actions that the file sets off, by their ids, and when they are due. `None`: the same as before.
    pub sets_off: Option<(Vec<String>, Timestamp)>,
}

impl Rename {
    /// Records that this is about to be done. Afterwards it must be [`Self::give_up`] or handed to
    /// [`super::commit::Recorder::renamed`]; one that is interrupted in between is settled at the next start.
    pub async fn begin(
        db: &Db,
        (connector_key, whose): (&str, Option<(ReceiptId, NewName)>),
        (from, to): (String, String),
        at: Timestamp,
    ) -> Result<Self, StoreError> {
        let (receipt_id, new_name) = whose.map_or_else(Default::default, |(id, new_name)| (Some(id), new_name));
        let sets_off = new_name.sets_off.as_ref();
        let added = sqlx::query(ADD)
            .bind(connector_key)
            .bind(receipt_id.as_ref().map(ReceiptId::as_str))
            .bind(&from)
            .bind(&to)
            .bind(at.us())
            .bind(i64::from(new_name.is_temporary))
            .bind(sets_off.map(|(actions, _)| array(actions)))
            .bind(sets_off.map(|(_, due)| due.us()))
            .execute(db.writer())
            .await?;
        let (id, connector_key) = (added.last_insert_rowid(), connector_key.to_owned());
        Ok(Self { id, connector_key, receipt_id, new_name, from, to, at })
    }

    /// It was not done.
    pub async fn give_up(self, db: &Db) -> Result<(), StoreError> {
        let mut tx = db.begin().await?;
        sqlx::query(FORGET).bind(self.id).execute(&mut *tx).await?;
        // Its bytes may be held for actions that come to nothing.
        if let Some(id) = &self.receipt_id {
            settle(&mut tx, slice::from_ref(id)).await?;
        }
        Ok(tx.commit().await?)
    }

    /// It was done: receipts follow. The file's earlier name is kept, and older receipts of its new place are replaced.
    pub(super) async fn carry_over(&self, tx: &mut Transaction<'_, Sqlite>) -> sqlx::Result<()> {
        if let Some(id) = &self.receipt_id {
            sqlx::query(ADD_NAME).bind(id.as_str()).bind(self.at.us()).bind(&self.to).execute(&mut **tx).await?;
            follow(tx, id.as_str(), &self.to, self.new_name.is_temporary.then_some(self.at)).await?;
            let replaced = sqlx::query(REPLACE).bind(&self.connector_key).bind(&self.to).bind(id.as_str());
            replaced.execute(&mut **tx).await?;
            left(tx, &self.connector_key, &self.to).await?;
            self.set_off(tx, id).await?;
        } else {
            let beyond = |path: &str| i64::try_from(path.chars().count()).unwrap_or(i64::MAX).saturating_add(1);
            let below = sqlx::query(FOLLOW_BELOW).bind(&self.connector_key).bind(&self.from).bind(&self.to);
            let below = below.bind(beyond(&self.from)).bind(below_receive(&self.to));
            below.bind(beyond(below_receive(&self.from))).execute(&mut **tx).await?;
        }
        sqlx::query(FORGET).bind(self.id).execute(&mut **tx).await?;
        Ok(())
    }

    /// The file's actions are determined by its new name.
    async fn set_off(&self, tx: &mut Transaction<'_, Sqlite>, id: &ReceiptId) -> sqlx::Result<()> {
        let Some((actions, due)) = &self.new_name.sets_off else { return Ok(()) };
        let actions = array(actions);
        sqlx::query(NOT_SET_OFF).bind(id.as_str()).bind(&actions).execute(&mut **tx).await?;
        let set_off = sqlx::query(SET_OFF).bind(id.as_str()).bind(&actions).bind(due.us()).bind(self.at.us());
        set_off.execute(&mut **tx).await?;
        settle(tx, slice::from_ref(id)).await
    }

    /// The same at start, before there is a writer.
    pub async fn settle(self, db: &Db) -> Result<(), StoreError> {
        let mut tx = db.begin().await?;
        self.carry_over(&mut tx).await?;
        Ok(tx.commit().await?)
    }
}

/// The receipt has this name from now on; `temporary_at`: temporary since then, unless it was so before.
async fn follow(
    tx: &mut Transaction<'_, Sqlite>,
    id: &str,
    to: &str,
    temporary_at: Option<Timestamp>,
) -> sqlx::Result<()> {
    let name = to.rsplit('/').next().unwrap_or_default();
    let follow = sqlx::query(FOLLOW).bind(id).bind(name).bind(to);
    follow.bind(i64::from(temporary_at.is_some())).bind(temporary_at.map(Timestamp::us)).execute(&mut **tx).await?;
    let above = below_receive(to).rsplit_once('/').map_or("", |(above, _)| above);
    sqlx::query(FOLLOW_HEADER).bind(id).bind(above).execute(&mut **tx).await?;
    Ok(())
}

/// The files at that path have left Receive, and their receipts say so: removing one with a temporary name recalls
/// nothing (PRODUCT 5.8). It is no longer held back, and is announced under its last other name.
pub(super) async fn left(tx: &mut Transaction<'_, Sqlite>, connector_key: &str, stored_path: &str) -> sqlx::Result<()> {
    for row in sqlx::query(LEFT).bind(connector_key).bind(stored_path).fetch_all(&mut **tx).await? {
        let (id, before): (String, String) = (row.try_get(0)?, row.try_get(1)?);
        follow(tx, &id, &before, None).await?;
    }
    Ok(())
}

/// `orders/2026` of `/Receive/orders/2026`.
fn below_receive(path: &str) -> &str {
    path.trim_start_matches('/').split_once('/').map_or("", |(_, below)| below)
}

fn array(actions: &[String]) -> String {
    actions.iter().map(String::as_str).collect::<Value>().to_string()
}

/// Renames begun with unknown outcome, oldest first.
pub async fn begun(db: &Db) -> Result<Vec<Rename>, StoreError> {
    sqlx::query(ALL).fetch_all(db.reader()).await?.iter().map(decode).collect()
}

fn decode(row: &SqliteRow) -> Result<Rename, StoreError> {
    let id = row.try_get(0)?;
    let actions = row.try_get::<Option<String>, _>(7)?.map(|actions| serde_json::from_str(&actions)).transpose();
    let actions = actions.map_err(|error| StoreError::Unreadable(format!("renaming {id}: {error}")))?;
    let due = row.try_get::<Option<i64>, _>(8)?.map(Timestamp::from_us);
    Ok(Rename {
        id,
        connector_key: row.try_get(1)?,
        receipt_id: row.try_get::<Option<String>, _>(2)?.as_deref().and_then(ReceiptId::parse),
        new_name: NewName { is_temporary: row.try_get::<i64, _>(6)? == 1, sets_off: actions.zip(due) },
        from: row.try_get(3)?,
        to: row.try_get(4)?,
        at: Timestamp::from_us(row.try_get(5)?),
    })
}

/// A received file held back because of its temporary name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldBack {
    /// Its receipt.
    pub id: String,
    /// The connector's id in lower case.
    pub connector_key: String,
    /// Its name.
    pub name: String,
}

/// Every received file that is held back.
pub async fn held_back(db: &Db) -> Result<Vec<HeldBack>, StoreError> {
    let rows = sqlx::query(TEMPORARY).fetch_all(db.reader()).await?;
    let one =
        |row: &SqliteRow| Ok(HeldBack { id: row.try_get(0)?, connector_key: row.try_get(1)?, name: row.try_get(2)? });
    rows.iter().map(one).collect()
}

/// Their names are not temporary under the present settings: they are no longer held back.
pub async fn release(db: &Db, released: &[HeldBack]) -> Result<(), StoreError> {
    let rows: Value = released.iter().map(|one| serde_json::json!([one.id, one.name])).collect();
    sqlx::query(RELEASE).bind(rows.to_string()).execute(db.writer()).await?;
    Ok(())
}

/// Since when a received file has had only temporary names; `None` while it has another.
pub async fn temporary_since(db: &Db, id: &ReceiptId) -> Result<Option<Timestamp>, StoreError> {
    let row = sqlx::query(TEMPORARY_SINCE).bind(id.as_str()).fetch_optional(db.reader()).await?;
    let since = row.map(|row| row.try_get::<Option<i64>, _>(0)).transpose()?;
    Ok(since.flatten().map(Timestamp::from_us))
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;

    use super::*;
    use crate::base::clock::Clock;
    use crate::base::id::IdSource;
    use crate::domain::receipt::Status;
    use crate::domain::setting::Texts;
    use crate::domain::sla::{SlaSettings, Window};
    use crate::store::commit::Received;
    use crate::store::group::Group;
    use crate::store::{held, receipt, sla};

    const TARGETS: &str = "SELECT target FROM deliveries ORDER BY id";

    #[tokio::test]
    async fn a_new_name_sets_off_what_it_is_about_and_nothing_else_and_a_temporary_one_is_not_taken_over() {
        let folder = tempfile::tempdir().unwrap();
        let db = Db::open(folder.path()).await.unwrap();
        let ids = IdSource::random(Clock::System);
        let at = Timestamp::from_us(1_800_000_000_000_000);
        let actions = vec!["1".to_owned(), "2".to_owned()];
        let received = Received { actions, ..Received::at("/Receive/a.new", &ids, at) };
        let mut group = Group::default();
        group.receipt(&received);
        group.write(&mut db.writer().acquire().await.unwrap()).await.unwrap();
        let id = &received.receipt.id;
        let renamed = async |to: &str, new_name: NewName| {
            let way = ("/Receive/a.new".to_owned(), to.to_owned());
            let rename = Rename::begin(&db, ("acme", Some((id.clone(), new_name))), way, at).await.unwrap();
            assert_eq!(begun(&db).await.unwrap(), std::slice::from_ref(&rename));
            rename.settle(&db).await.unwrap();
            let targets = sqlx::query(TARGETS).fetch_all(db.reader()).await.unwrap();
            let is_held = held::one(&db, id).await.unwrap().is_some_and(|hold| !hold.ended);
            (targets.iter().map(|row| row.get(0)).collect::<Vec<String>>(), is_held)
        };
        let set_off =
            |actions: &[&str]| Some((actions.iter().map(|action| (*action).to_owned()).collect::<Vec<_>>(), at));
        let new_name = NewName { is_temporary: false, sets_off: set_off(&["2", "3"]) };
        let both = vec!["action:2".to_owned(), "action:3".to_owned()];
        assert_eq!(renamed("/Receive/a.edi", new_name).await, (both.clone(), true));

        let temporary = NewName { is_temporary: true, sets_off: None };
        for _ in 0..2 {
            assert_eq!(renamed("/Receive/a.tmp", temporary.clone()).await, (both.clone(), true));
        }
        assert_eq!(temporary_since(&db, id).await.unwrap(), Some(at));
        assert!(!receipt::take_over(&db, std::slice::from_ref(id)).await.unwrap()[0].taken_over);
        receipt::set_status(&db, id, Status::Waiting).await.unwrap();
        assert_eq!(counting(&db).await, 0, "no SLA counts it meanwhile");

        let none = NewName { is_temporary: false, sets_off: set_off(&[]) };
        assert_eq!(renamed("/Receive/a.bin", none).await, (vec![], false));
        assert_eq!(temporary_since(&db, id).await.unwrap(), None);
        assert_eq!(counting(&db).await, 1);
        assert!(receipt::take_over(&db, std::slice::from_ref(id)).await.unwrap()[0].taken_over);
    }

    #[tokio::test]
    async fn what_lies_below_a_folder_is_found_by_its_path_however_many_its_connector_has() {
        let folder = tempfile::tempdir().unwrap();
        let db = Db::open(folder.path()).await.unwrap();
        for statement in [LEFT, TEMPORARY] {
            let steps = db.plan(statement).await;
            assert!(steps[0].contains("receipts_temporary"), "{statement}\n{steps:?}");
        }
        let steps = db.plan(FOLLOW_BELOW).await;
        assert!(steps[0].contains("(connector_key=? AND stored_path>? AND stored_path<?)"), "{steps:?}");
    }

    /// How many files an SLA of received ones counts.
    async fn counting(db: &Db) -> u64 {
        let (_, due) = SlaSettings::parse(&Texts::default()).unwrap();
        let all = Window { start: Timestamp::from_us(i64::MIN), end: Timestamp::from_us(i64::MAX) };
        let mut count = 0;
        let each = |_| {
            count += 1;
            ControlFlow::Continue(())
        };
        sla::each_counting(db, ("acme", "acme"), &due, all, each).await.unwrap();
        count
    }
}
