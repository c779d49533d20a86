//! The folder of programs for Command connectors, as given at the last start. Anyone who can write to it can run
//! anything: no folder of a connector may be, contain or lie in it, nor may the Root Directory.

use std::path::{Path, PathBuf};

use sqlx::{Row, SqliteConnection};

use super::folders;
use super::open::{Db, StoreError};
use super::setting::SaveError;

const PUT: &str =
    "INSERT INTO programs (one, folder) VALUES (1, $1) ON CONFLICT (one) DO UPDATE SET folder = excluded.folder";
const REMOVE: &str = "DELETE FROM programs";
const FOLDER: &str = "SELECT folder FROM programs WHERE one = 1";

/// The folder of the last start, if it had one.
pub async fn folder(db: &Db) -> Result<Option<PathBuf>, StoreError> {
    let mut connection = db.reader().acquire().await?;
    Ok(read(&mut connection).await?.map(PathBuf::from))
}

pub(super) async fn read(connection: &mut SqliteConnection) -> Result<Option<String>, StoreError> {
    let found = sqlx::query(FOLDER).fetch_optional(connection).await?;
    Ok(found.map(|row| row.try_get(0)).transpose()?)
}

/// Sets the folder for this start, absolute and without links, or none. Refused if a connector writes to it.
pub async fn put(db: &Db, folder: Option<&Path>) -> Result<(), SaveError> {
    let mut tx = db.begin().await?;
    match folder {
        None => sqlx::query(REMOVE).execute(&mut *tx).await?,
        Some(folder) => sqlx::query(PUT).bind(folder.to_string_lossy()).execute(&mut *tx).await?,
    };
    // Nothing else is checked: other mistakes must not keep the server from starting.
    let folders = folders::read(&mut tx, db.folder()).await?;
    if let Some(clash) = folders.as_written().with_programs() {
        return Err(SaveError::Mistakes(vec![clash.mistake()]));
    }
    tx.commit().await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::{Clock, Timestamp};
    use crate::base::id::IdSource;
    use crate::domain::connector::ConnectorId;
    use crate::domain::setting::Texts;
    use crate::store::connector;
    use crate::store::profile;
    use crate::store::setting::Change;

    #[tokio::test]
    async fn nothing_that_is_received_lands_among_the_programs() {
        let data = tempfile::tempdir().unwrap();
        let db = Db::open(data.path()).await.unwrap();
        let ids = IdSource::random(Clock::System);
        let change = Change { who: "test", remote: "", at: Timestamp::default(), ids: &ids };
        let texts = |pairs: &[(&str, &str)]| -> Texts {
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
        };
        let id = |text: &str| ConnectorId::parse(text).unwrap();
        let said = |refused: Result<(), SaveError>| {
            let Err(SaveError::Mistakes(mistakes)) = refused else { panic!("{refused:?}") };
            mistakes[0].to_string()
        };
        put(&db, Some(Path::new("/opt/programs"))).await.unwrap();
        assert_eq!(folder(&db).await.unwrap(), Some(PathBuf::from("/opt/programs")));
        for wrong in ["/opt/programs", "/opt/programs/deeper", "/opt"] {
            let values = texts(&[("type", "folder"), ("folder", wrong)]);
            let refused = connector::add(&db, &id("evil"), &values, None, &change).await;
            assert!(said(refused).starts_with(&format!("folder: {wrong} is, holds or lies in /opt/programs")));
            let values = texts(&[("root_directory", wrong)]);
            assert!(said(profile::save(&db, &values, None, &change).await).starts_with("root_directory: "));
        }
        let values = texts(&[("type", "folder"), ("folder", "/opt/other")]);
        connector::add(&db, &id("other"), &values, None, &change).await.unwrap();
        assert!(said(put(&db, Some(Path::new("/opt/other/bin"))).await).starts_with("folder: /opt/other is"));
        assert_eq!(folder(&db).await.unwrap(), Some(PathBuf::from("/opt/programs")), "a refused start changes nothing");
        put(&db, None).await.unwrap();
        assert_eq!(folder(&db).await.unwrap(), None);
    }
}
