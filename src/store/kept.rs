//! Files in a Folder connector's folder until their retention ends.

use sqlx::Row;

use super::open::{Db, StoreError};
use crate::base::clock::Timestamp;

const COUNT: &str = "SELECT COUNT(*) FROM kept_files WHERE connector_key = $1 AND at_us < $2";
const OLDER: &str = "SELECT name, inode, at_us FROM kept_files WHERE connector_key = $1 AND at_us < $2 \
     AND (at_us, name) > ($3, $4) ORDER BY at_us, name LIMIT $5";
const FORGET: &str = "DELETE FROM kept_files WHERE connector_key = $1 AND name = $2 AND inode = $3";

/// A file that Waybill put there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptFile {
    /// Its name.
    pub name: String,
    /// Its inode: another file of that name is not Waybill's.
    pub inode: u64,
    /// When it was put there: a later file with that inode is not Waybill's either.
    pub at: Timestamp,
}

/// How many came before then.
pub async fn count(db: &Db, connector_key: &str, before: Timestamp) -> Result<u64, StoreError> {
    let query = sqlx::query(COUNT).bind(connector_key).bind(before.us());
    Ok(query.fetch_one(db.reader()).await?.try_get::<i64, _>(0)?.unsigned_abs())
}

/// The oldest of those that came before then, after `after`, at most `count`.
pub async fn older(
    db: &Db,
    connector_key: &str,
    (before, after): (Timestamp, Option<&KeptFile>),
    count: i64,
) -> Result<Vec<KeptFile>, StoreError> {
    let (at, name) = after.map_or((i64::MIN, ""), |file| (file.at.us(), file.name.as_str()));
    let query = sqlx::query(OLDER).bind(connector_key).bind(before.us()).bind(at).bind(name).bind(count);
    let one = |row: &sqlx::sqlite::SqliteRow| -> Result<KeptFile, StoreError> {
        Ok(KeptFile {
            name: row.try_get(0)?,
            inode: row.try_get::<i64, _>(1)?.cast_unsigned(),
            at: Timestamp::from_us(row.try_get(2)?),
        })
    };
    query.fetch_all(db.reader()).await?.iter().map(one).collect()
}

/// They are gone, or were taken by somebody.
pub async fn forget(db: &Db, connector_key: &str, files: &[KeptFile]) -> Result<(), StoreError> {
    let mut tx = db.begin().await?;
    for one in files {
        let query = sqlx::query(FORGET).bind(connector_key).bind(&one.name).bind(one.inode.cast_signed());
        query.execute(&mut *tx).await?;
    }
    Ok(tx.commit().await?)
}

/// As recording a delivery into a Folder does it.
#[cfg(test)]
pub async fn put_for_tests(db: &Db, connector_key: &str, file: &KeptFile) -> Result<(), StoreError> {
    let query = sqlx::query("INSERT INTO kept_files (connector_key, name, inode, at_us) VALUES ($1, $2, $3, $4)");
    let query = query.bind(connector_key).bind(&file.name).bind(file.inode.cast_signed()).bind(file.at.us());
    query.execute(db.writer()).await?;
    Ok(())
}
