//! The folder whose programs Command connectors run, as the last start had it. Whoever could write to it could run what
//! they like: no folder of a connector may be, hold or lie in it, nor may the Root Directory.

use std::path::{Path, PathBuf};

use sqlx::{Row, Sqlite, Transaction};

use super::connector::{self, root};
use super::open::{Db, StoreError};
use super::setting::SaveError;
use crate::domain::connector::{Connector, ConnectorSettings};
use crate::domain::setting::Mistake;
use crate::domain::value::FolderText;

const PUT: &str =
    "INSERT INTO programs (one, folder) VALUES (1, $1) ON CONFLICT (one) DO UPDATE SET folder = excluded.folder";
const REMOVE: &str = "DELETE FROM programs";
const FOLDER: &str = "SELECT folder FROM programs WHERE one = 1";

/// The folder of the last start, if it had one.
pub async fn folder(db: &Db) -> Result<Option<PathBuf>, StoreError> {
    let found = sqlx::query(FOLDER).fetch_optional(db.reader()).await?;
    Ok(found.map(|row| row.try_get::<String, _>(0)).transpose()?.map(PathBuf::from))
}

/// This start has that folder, absolute and without links, or none. Refused where a connector writes to it.
pub async fn put(db: &Db, folder: Option<&Path>) -> Result<(), SaveError> {
    let all = connector::all(db).await?;
    let mut tx = db.begin().await?;
    let Some(folder) = folder else {
        sqlx::query(REMOVE).execute(&mut *tx).await?;
        tx.commit().await?;
        return Ok(());
    };
    sqlx::query(PUT).bind(folder.to_string_lossy()).execute(&mut *tx).await?;
    check_root(&mut tx, db.folder()).await?;
    let root = root(&mut tx, db.folder()).await?;
    for found in all {
        // One that cannot be read is not in force.
        let Ok(settings) = ConnectorSettings::read(&found.stored.texts) else { continue };
        check_apart(&mut tx, &Connector { id: found.id, version: 0, settings }, &root).await?;
    }
    tx.commit().await?;
    Ok(())
}

/// Whether the Root Directory as it is saved is apart from the programs.
pub(super) async fn check_root(tx: &mut Transaction<'_, Sqlite>, data: &Path) -> Result<(), SaveError> {
    let root = root(tx, data).await?;
    check(tx, "root_directory", &root, &root).await
}

/// Whether every folder of a connector is; relative ones lie below `root`.
pub(super) async fn check_apart(
    tx: &mut Transaction<'_, Sqlite>,
    own: &Connector,
    root: &str,
) -> Result<(), SaveError> {
    for (key, folder) in own.folders() {
        check(tx, key, &folder, root).await?;
    }
    Ok(())
}

async fn check(tx: &mut Transaction<'_, Sqlite>, key: &str, folder: &str, root: &str) -> Result<(), SaveError> {
    let Some(row) = sqlx::query(FOLDER).fetch_optional(&mut **tx).await? else { return Ok(()) };
    let programs: String = row.try_get(0)?;
    let absolute = if folder.starts_with('/') { folder.to_owned() } else { format!("{root}/{folder}") };
    if FolderText::overlap(&absolute, &programs) {
        let words = format!(
            "{folder} is, holds or lies in {programs}, whose programs are run; whoever writes there could run anything, \
             so choose a folder apart from it"
        );
        return Err(SaveError::Mistakes(vec![Mistake::new(key, words)]));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::{Clock, Timestamp};
    use crate::base::id::IdSource;
    use crate::domain::connector::ConnectorId;
    use crate::domain::setting::Texts;
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
