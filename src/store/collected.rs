//! What partners collected from Send: how much of each version of a file was covered, and the steps still to be done
//! with it.

use serde_json::json;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, Sqlite};

use super::cell::{Cell, cells};
use super::commit::signed;
use super::open::{Db, StoreError};
use super::retention::STEP_ROWS;
use crate::base::clock::Timestamp;
use crate::base::file_id::FileId;

// What `decode` reads, in this order.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT connector_key, path, inode, size_bytes, modified_us, covered_to, collected_at_us, copy, copy_id, \
             copy_folder, copy_name, remove, seen_at_us, times, staging_inode FROM collected ",
            $rest
        )
    };
}

const COVER: &str = "INSERT INTO collected (connector_key, path, inode, size_bytes, modified_us, covered_to, seen_at_us, \
     copy, copy_id, copy_folder, copy_name, remove) VALUES ($1, $2, $3, $4, $5, $6, $7, 'none', '', '', '', 0) \
     ON CONFLICT (connector_key, path, inode, size_bytes, modified_us) DO UPDATE SET \
     covered_to = CASE WHEN collected.gone_at_us IS NULL AND collected.covered_to > excluded.covered_to \
     THEN collected.covered_to ELSE excluded.covered_to END, \
     collected_at_us = CASE WHEN collected.gone_at_us IS NULL THEN collected.collected_at_us END, \
     copy = CASE WHEN collected.gone_at_us IS NULL THEN collected.copy ELSE 'none' END, \
     times = CASE WHEN collected.gone_at_us IS NULL THEN collected.times ELSE 0 END, \
     gone_at_us = NULL, seen_at_us = excluded.seen_at_us";
/// Part of a group commit. If a version is collected twice it is copied once: an existing copy stays.
pub(super) const ADD_COLLECTION: &str = "INSERT INTO collected (connector_key, path, inode, size_bytes, modified_us, covered_to, \
     seen_at_us, collected_at_us, copy, copy_id, copy_folder, copy_name, remove, staging_inode, times) \
     VALUES (:connector_key, :path, :inode, :size_bytes, :modified_us, :size_bytes, :at_us, :at_us, :copy, :copy_id, \
     :copy_folder, '', :remove, :staging_inode, 1) \
     ON CONFLICT (connector_key, path, inode, size_bytes, modified_us) DO UPDATE SET \
     covered_to = excluded.covered_to, collected_at_us = excluded.collected_at_us, seen_at_us = excluded.seen_at_us, \
     times = CASE WHEN collected.gone_at_us IS NULL THEN collected.times ELSE 0 END + 1, \
     copy = CASE WHEN collected.gone_at_us IS NULL AND collected.copy <> 'none' THEN collected.copy ELSE excluded.copy END, \
     copy_id = CASE WHEN collected.gone_at_us IS NULL AND collected.copy <> 'none' THEN collected.copy_id \
     ELSE excluded.copy_id END, \
     copy_folder = CASE WHEN collected.gone_at_us IS NULL AND collected.copy <> 'none' THEN collected.copy_folder \
     ELSE excluded.copy_folder END, \
     copy_name = CASE WHEN collected.gone_at_us IS NULL AND collected.copy <> 'none' THEN collected.copy_name \
     ELSE excluded.copy_name END, gone_at_us = NULL, remove = excluded.remove, \
     staging_inode = excluded.staging_inode";

const ONE: &str = select!(
    "WHERE connector_key = $1 AND path = $2 AND inode = $3 AND size_bytes = $4 AND modified_us = $5 \
     AND gone_at_us IS NULL"
);
const PENDING: &str = select!("WHERE copy = 'wanted' OR remove = 1 ORDER BY seen_at_us");
const OF_CONNECTOR: &str = select!("WHERE connector_key = $1 AND gone_at_us IS NULL ORDER BY seen_at_us DESC LIMIT $2");
const LATELY_GONE: &str = "SELECT connector_key, path, inode, size_bytes, modified_us FROM collected \
     WHERE connector_key = $1 AND path = $2 AND collected_at_us IS NOT NULL AND gone_at_us >= $3 \
     ORDER BY gone_at_us DESC LIMIT 1";
const NAME_COPY: &str = "UPDATE collected SET copy_name = $6 \
     WHERE connector_key = $1 AND path = $2 AND inode = $3 AND size_bytes = $4 AND modified_us = $5";
const END_COPY: &str = "UPDATE collected SET copy = $6 \
     WHERE connector_key = $1 AND path = $2 AND inode = $3 AND size_bytes = $4 AND modified_us = $5";
const GONE: &str = "UPDATE collected SET gone_at_us = $6, remove = 0 \
     WHERE connector_key = $1 AND path = $2 AND inode = $3 AND size_bytes = $4 AND modified_us = $5";
// No index leads to them: a reader finds them, so that the writer goes through nothing.
const OLD: &str = "SELECT rowid FROM collected WHERE rowid > $1 AND seen_at_us < $2 AND copy <> 'wanted' AND remove = 0 \
     ORDER BY rowid LIMIT $3";
const FORGET: &str = "DELETE FROM collected WHERE rowid IN (SELECT value FROM json_each($1)) AND seen_at_us < $2 \
     AND copy <> 'wanted' AND remove = 0";

/// Rows read for one connector; files beyond them are shown as never downloaded.
const OF_CONNECTOR_MAX: i64 = 20_000;

/// One version of one file in a partner's Send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileInSend {
    /// The connector's id in lower case.
    pub connector_key: String,
    /// The file as the partner sees it: `/Send/a`.
    pub path: String,
    /// Which version.
    pub id: FileId,
}

/// What is known of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collected {
    /// Which.
    pub file: FileInSend,
    /// Leading bytes that downloads have moved.
    pub covered_to: u64,
    /// When all of it was collected.
    pub collected_at: Option<Timestamp>,
    /// The copy still to be made.
    pub copy: Option<SentCopy>,
    /// Whether it still has to be removed.
    pub remove: bool,
    /// When it was last downloaded, completely or in part.
    pub seen_at: Timestamp,
    /// How often all of it was collected.
    pub times: u64,
    /// The number of the staging folder of the Send it was collected from, where that was noted.
    pub staging_inode: Option<u64>,
}

impl Collected {
    /// Whether the file is to be removed and its copy, if wanted, exists.
    pub fn is_removal_due(&self) -> bool {
        self.remove && self.copy.is_none()
    }
}

/// A copy on its way into the Sent folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentCopy {
    /// The download it belongs to; its name while it is made.
    pub id: String,
    /// The dated folder below Sent; empty: Sent itself.
    pub folder: String,
    /// Its name, chosen once it is complete and synced; empty before.
    pub name: String,
}

/// A file that was completely collected, and what the connector's settings do with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collection {
    /// Which.
    pub file: FileInSend,
    /// When.
    pub at: Timestamp,
    /// Keep a copy.
    pub copy: Option<SentCopy>,
    /// Remove it from Send.
    pub remove: bool,
    /// The number of that Send's staging folder: where that is another, nothing can be told of the file.
    pub staging_inode: Option<u64>,
}

type Query<'q> = sqlx::query::Query<'q, Sqlite, <Sqlite as sqlx::Database>::Arguments>;

fn of(sql: &'static str, file: &FileInSend) -> Query<'static> {
    sqlx::query(sql)
        .bind(file.connector_key.clone())
        .bind(file.path.clone())
        .bind(file.id.inode.cast_signed())
        .bind(signed(file.id.size_bytes))
        .bind(file.id.modified.us())
}

/// Downloads have moved the first `covered_to` bytes of it.
pub async fn cover(db: &Db, file: &FileInSend, covered_to: u64, at: Timestamp) -> Result<(), StoreError> {
    of(COVER, file).bind(signed(covered_to)).bind(at.us()).execute(db.writer()).await?;
    Ok(())
}

/// The names of a [`row`]'s cells, as [`ADD_COLLECTION`] has them.
pub(super) const CELLS: &str = "connector_key path inode size_bytes modified_us at_us copy copy_id copy_folder remove \
     staging_inode";

/// The cells of one for a group commit.
pub(super) fn row(collection: &Collection) -> Vec<Cell> {
    let Collection { file, at, copy, remove, staging_inode } = collection;
    cells![
        &file.connector_key,
        &file.path,
        file.id.inode.cast_signed(),
        signed(file.id.size_bytes),
        file.id.modified.us(),
        at.us(),
        if copy.is_some() { "wanted" } else { "none" },
        copy.as_ref().map_or("", |copy| &copy.id),
        copy.as_ref().map_or("", |copy| &copy.folder),
        *remove,
        staging_inode.map(u64::cast_signed),
    ]
}

/// What is known of a file in Send.
pub async fn one(db: &Db, file: &FileInSend) -> Result<Option<Collected>, StoreError> {
    of(ONE, file).fetch_optional(db.reader()).await?.as_ref().map(decode).transpose()
}

/// What is known of the files of one connector that are still there, last downloaded first.
pub async fn of_connector(db: &Db, connector_key: &str) -> Result<Vec<Collected>, StoreError> {
    let query = sqlx::query(OF_CONNECTOR).bind(connector_key).bind(OF_CONNECTOR_MAX);
    query.fetch_all(db.reader()).await?.iter().map(decode).collect()
}

/// Every file still to be copied or removed, oldest first.
pub async fn pending(db: &Db) -> Result<Vec<Collected>, StoreError> {
    sqlx::query(PENDING).fetch_all(db.reader()).await?.iter().map(decode).collect()
}

/// The file collected from that path and removed at or after `since`.
pub async fn lately_gone(
    db: &Db,
    connector_key: &str,
    path: &str,
    since: Timestamp,
) -> Result<Option<FileInSend>, StoreError> {
    let row =
        sqlx::query(LATELY_GONE).bind(connector_key).bind(path).bind(since.us()).fetch_optional(db.reader()).await?;
    row.as_ref().map(decode_file).transpose()
}

/// The copy is complete and synced, and gets this name.
pub async fn name_copy(db: &Db, file: &FileInSend, name: &str) -> Result<(), StoreError> {
    of(NAME_COPY, file).bind(name).execute(db.writer()).await?;
    Ok(())
}

/// The copy has its name (`kept`), or can no longer be made.
pub async fn end_copy(db: &Db, file: &FileInSend, kept: bool) -> Result<(), StoreError> {
    of(END_COPY, file).bind(if kept { "done" } else { "none" }).execute(db.writer()).await?;
    Ok(())
}

/// It is no longer in Send.
pub async fn gone(db: &Db, file: &FileInSend, at: Timestamp) -> Result<(), StoreError> {
    of(GONE, file).bind(at.us()).execute(db.writer()).await?;
    Ok(())
}

/// Forgets files last downloaded before `before`, unless a step is still to be done.
pub async fn forget(db: &Db, before: Timestamp) -> Result<(), StoreError> {
    let mut reached = i64::MIN;
    loop {
        let found = sqlx::query(OLD).bind(reached).bind(before.us()).bind(STEP_ROWS).fetch_all(db.reader()).await?;
        let rows = found.iter().map(|row| row.try_get(0)).collect::<Result<Vec<i64>, _>>()?;
        let Some(last) = rows.last() else { return Ok(()) };
        reached = *last;
        sqlx::query(FORGET).bind(json!(rows).to_string()).bind(before.us()).execute(db.writer()).await?;
    }
}

fn decode_file(row: &SqliteRow) -> Result<FileInSend, StoreError> {
    let id = FileId {
        inode: row.try_get::<i64, _>(2)?.cast_unsigned(),
        size_bytes: row.try_get::<i64, _>(3)?.unsigned_abs(),
        modified: Timestamp::from_us(row.try_get(4)?),
    };
    Ok(FileInSend { connector_key: row.try_get(0)?, path: row.try_get(1)?, id })
}

fn decode(row: &SqliteRow) -> Result<Collected, StoreError> {
    let wanted = row.try_get::<String, _>(7)? == "wanted";
    let copy = SentCopy { id: row.try_get(8)?, folder: row.try_get(9)?, name: row.try_get(10)? };
    Ok(Collected {
        file: decode_file(row)?,
        covered_to: row.try_get::<i64, _>(5)?.unsigned_abs(),
        collected_at: row.try_get::<Option<i64>, _>(6)?.map(Timestamp::from_us),
        copy: wanted.then_some(copy),
        remove: row.try_get::<i64, _>(11)? == 1,
        seen_at: Timestamp::from_us(row.try_get(12)?),
        times: row.try_get::<i64, _>(13)?.unsigned_abs(),
        staging_inode: row.try_get::<Option<i64>, _>(14)?.map(i64::cast_unsigned),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANY: &str = "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < $1) \
         INSERT INTO collected (connector_key, path, inode, size_bytes, modified_us, covered_to, seen_at_us, copy, copy_id, \
         copy_folder, copy_name, remove) SELECT 'acme', '/Send/a', n, 1, 1, 1, $1 + 1 - n, 'none', '', '', '', n = 2 FROM n";

    #[tokio::test]
    async fn the_writer_goes_through_nothing_to_forget_what_is_old() {
        let folder = tempfile::tempdir().unwrap();
        let db = Db::open(folder.path()).await.unwrap();
        let steps = db.plan(FORGET).await;
        assert!(steps[0].contains("(rowid=?)"), "{steps:?}");
        // The first was seen last, and something is still to be done with the second.
        let files = STEP_ROWS * 2 + 3;
        sqlx::query(MANY).bind(files).execute(db.writer()).await.unwrap();
        forget(&db, Timestamp::from_us(files)).await.unwrap();
        let left = of_connector(&db, "acme").await.unwrap();
        assert_eq!(left.iter().map(|one| one.seen_at.us()).collect::<Vec<_>>(), [files, files - 1]);
    }
}
