//! Where all folders lie, as stored; and whether that is allowed, checked within the save that changes it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use sqlx::{Row, Sqlite, SqliteConnection, Transaction};

use super::open::{Db, StoreError};
use super::programs;
use super::setting::{self, SaveError, Scope};
use crate::domain::appliance::ApplianceSettings;
use crate::domain::connector::{Connector, ConnectorId, ConnectorSettings};
use crate::domain::folders::{Clash, Folders};
use crate::domain::profile::Profile;
use crate::domain::setting::{Mistake, Texts};

const CONNECTORS: &str = "SELECT id FROM connectors ORDER BY id_key";
const NAMED: &str = "SELECT owner, key, value FROM setting_values WHERE scope = 'connector' \
     AND key IN ('type', 'input_folder', 'output_folder', 'folder', 'save_to_sent_folder', 'log_messages')";
const HAD: &str = "SELECT DISTINCT key, after, subject FROM audit WHERE subject > 'connector ' AND subject < 'connector!' \
     AND (key = 'added' OR key IN ('input_folder', 'output_folder') AND after <> '')";
const ROOTS: &str = "SELECT DISTINCT before FROM audit WHERE subject = 'profile' AND key = 'root_directory'";

/// Every folder, as stored now.
pub async fn stored(db: &Db) -> Result<Folders, StoreError> {
    let mut tx = db.reader().begin().await?;
    read(&mut tx, db.folder()).await
}

/// Every folder that was ever a partner's Send or Receive according to the audit, with the connector: absolute, or
/// below the data folder.
pub async fn ever(db: &Db) -> Result<BTreeMap<PathBuf, String>, StoreError> {
    let mut tx = db.reader().begin().await?;
    let mut roots = vec![text(&setting::read(&mut tx, Scope::Profile).await?.texts, ROOT)];
    for row in sqlx::query(ROOTS).fetch_all(&mut *tx).await? {
        roots.push(row.try_get(0)?);
    }
    let mut ever = BTreeMap::new();
    for row in sqlx::query(HAD).fetch_all(&mut *tx).await? {
        let (key, after, subject): (String, String, String) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        let folders = if key == "added" {
            let id = ConnectorId::parse(&after).map_err(StoreError::Unreadable)?;
            let added = Connector { id, version: 0, settings: ConnectorSettings::default() };
            vec![added.input_folder_text(), added.output_folder_text()]
        } else {
            vec![after]
        };
        let whose = subject.trim_start_matches("connector ");
        let paths = roots.iter().flat_map(|root| folders.iter().map(|folder| Path::new(root).join(folder)));
        ever.extend(paths.map(|path| (path, whose.to_owned())));
    }
    Ok(ever)
}

pub(super) async fn read(connection: &mut SqliteConnection, data: &Path) -> Result<Folders, StoreError> {
    let root = text(&setting::read(&mut *connection, Scope::Profile).await?.texts, ROOT);
    let backups = text(&setting::read(&mut *connection, Scope::Settings).await?.texts, BACKUPS);
    let programs = programs::read(&mut *connection).await?;
    let mut folders = Folders::new(&data.to_string_lossy(), (&root, &backups), programs);
    let mut named: BTreeMap<String, Texts> = BTreeMap::new();
    for row in sqlx::query(NAMED).fetch_all(&mut *connection).await? {
        named.entry(row.try_get(0)?).or_default().insert(row.try_get(1)?, row.try_get(2)?);
    }
    for row in sqlx::query(CONNECTORS).fetch_all(&mut *connection).await? {
        let id = ConnectorId::parse(row.try_get(0)?).map_err(StoreError::Unreadable)?;
        let texts = named.remove(id.key()).unwrap_or_default();
        // Unreadable settings are not in force. Rules across values were checked when they were saved.
        let Ok(settings) = ConnectorSettings::read(&texts) else { continue };
        folders.put(&Connector { id, version: 0, settings });
    }
    Ok(folders)
}

/// A setting that names a folder, and its default.
pub(super) type Of = (&'static str, fn(&str) -> &'static str);

/// The folder above connectors' folders.
pub(super) const ROOT: Of = ("root_directory", |key| Profile::setting(key).map_or("", |setting| setting.default));
/// Where backups lie.
pub(super) const BACKUPS: Of =
    ("backup_folder", |key| ApplianceSettings::setting(key).map_or("", |setting| setting.default));

/// Its stored value, or its default.
pub(super) fn text(texts: &Texts, (key, default): Of) -> String {
    texts.get(key).map_or_else(|| default(key).to_owned(), Clone::clone)
}

/// Whether the folders of a connector lie in allowed places.
pub(super) async fn check(tx: &mut Transaction<'_, Sqlite>, db: &Db, id: &ConnectorId) -> Result<(), SaveError> {
    let folders = read(tx, db.folder()).await?;
    refused(folders.as_written().of_connector(id.key()).iter().map(Clash::mistake).collect())
}

/// The same for the Root Directory, and with it every connector's folder.
pub(super) async fn check_root(tx: &mut Transaction<'_, Sqlite>, db: &Db) -> Result<(), SaveError> {
    let folders = read(tx, db.folder()).await?;
    refused(folders.as_written().below_root().into_iter().collect())
}

/// The same for the folder of backups.
pub(super) async fn check_backups(tx: &mut Transaction<'_, Sqlite>, db: &Db) -> Result<(), SaveError> {
    let folders = read(tx, db.folder()).await?;
    refused(folders.as_written().of_backups().iter().map(Clash::mistake).collect())
}

fn refused(mistakes: Vec<Mistake>) -> Result<(), SaveError> {
    if mistakes.is_empty() { Ok(()) } else { Err(SaveError::Mistakes(mistakes)) }
}
