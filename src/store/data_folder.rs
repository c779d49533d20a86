//! Whether the data folder is still the one of the last start. In a copy of it every file has a new inode and birth
//! time.

use std::os::unix::fs::MetadataExt;
use std::time::UNIX_EPOCH;

use sqlx::Row;

use super::StoreError;
use super::open::{DATABASE, Db};

const NOTED: &str = "SELECT inode, born_us FROM data_folder WHERE one = 1";
const NOTE: &str = "INSERT INTO data_folder (one, inode, born_us) VALUES (1, $1, $2) \
     ON CONFLICT (one) DO UPDATE SET inode = excluded.inode, born_us = excluded.born_us";

/// Whether it is the very folder that [`note`] recorded last. `false` if none was recorded.
pub async fn is_the_same(db: &Db) -> Result<bool, StoreError> {
    let noted = sqlx::query(NOTED).fetch_optional(db.reader()).await?;
    let noted = noted.map(|row| Ok::<_, sqlx::Error>((row.try_get(0)?, row.try_get(1)?))).transpose()?;
    Ok(noted == Some(told_by(db)?))
}

/// Records its identity.
pub async fn note(db: &Db) -> Result<(), StoreError> {
    let (inode, born_us) = told_by(db)?;
    sqlx::query(NOTE).bind(inode).bind(born_us).execute(db.writer()).await?;
    Ok(())
}

/// The inode and birth time of the database's file: 0 if the file system does not tell.
fn told_by(db: &Db) -> Result<(i64, i64), StoreError> {
    let path = db.folder().join(DATABASE);
    let found = std::fs::metadata(&path).map_err(|source| StoreError::Folder { path, source })?;
    let born = found.created().ok().and_then(|born| born.duration_since(UNIX_EPOCH).ok());
    let born_us = born.and_then(|born| i64::try_from(born.as_micros()).ok()).unwrap_or_default();
    Ok((found.ino().cast_signed(), born_us))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_copy_of_the_data_folder_is_another() {
        let (folder, copied) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let db = Db::open(folder.path()).await.unwrap();
        assert!(!is_the_same(&db).await.unwrap(), "nothing was noted yet");
        note(&db).await.unwrap();
        assert!(is_the_same(&db).await.unwrap());
        db.close().await;
        std::fs::copy(folder.path().join(DATABASE), copied.path().join(DATABASE)).unwrap();
        let copy = Db::open(copied.path()).await.unwrap();
        assert!(!is_the_same(&copy).await.unwrap());
        note(&copy).await.unwrap();
        assert!(is_the_same(&copy).await.unwrap());
    }
}
