//! The FTP server's settings and the appliance's own.

use sqlx::{Sqlite, Transaction};

use super::open::{Db, StoreError};
use super::setting::{self, Change, Save, SaveError, Scope, Stored};
use super::{certificate, folders};
use crate::domain::appliance::ApplianceSettings;
use crate::domain::profile::Profile;
use crate::domain::setting::{Mistake, Texts, Value};
use crate::domain::value::CertificateNames;

/// The stored profile.
pub async fn load(db: &Db) -> Result<Stored, StoreError> {
    setting::load(db, Scope::Profile).await
}

/// The stored settings of the appliance.
pub async fn load_appliance(db: &Db) -> Result<Stored, StoreError> {
    setting::load(db, Scope::Settings).await
}

/// Saves profile settings: all or nothing. `expected_version` is what the editor saw. Certificates it newly names must
/// be in the store.
pub async fn save(
    db: &Db,
    values: &Texts,
    expected_version: Option<i64>,
    change: &Change<'_>,
) -> Result<(), SaveError> {
    let mut tx = db.begin().await?;
    if save_in(&mut tx, (values, expected_version), change).await? {
        folders::check_root(&mut tx, db).await?;
    }
    tx.commit().await?;
    Ok(())
}

/// The same within another transaction. Returns whether the Root Directory changed: then the places of folders must
/// still be checked.
pub(super) async fn save_in(
    tx: &mut Transaction<'_, Sqlite>,
    (values, expected_version): (&Texts, Option<i64>),
    change: &Change<'_>,
) -> Result<bool, SaveError> {
    let save = Save { scope: Scope::Profile, subject: "profile".to_owned(), values, expected_version };
    let missing = missing(tx, values, "certificates").await?;
    let parse = |texts: &Texts| all_mistakes(Profile::parse(texts).map(|profile| profile.texts()), &missing);
    save_with(tx, (save, folders::ROOT), change, parse).await
}

/// Saves settings of which one names a folder. Returns whether that one changed.
async fn save_with(
    tx: &mut Transaction<'_, Sqlite>,
    (save, folder): (Save<'_>, folders::Of),
    change: &Change<'_>,
    parse: impl Fn(&Texts) -> Result<Texts, Vec<Mistake>>,
) -> Result<bool, SaveError> {
    let before = folders::text(&setting::read(&mut *tx, save.scope).await?.texts, folder);
    let after = setting::save(tx, save, change, parse).await?;
    Ok(folders::text(&after, folder) != before)
}

/// Certificates that `key` newly names but the store lacks.
async fn missing(
    tx: &mut Transaction<'_, Sqlite>,
    values: &Texts,
    key: &'static str,
) -> Result<Vec<Mistake>, StoreError> {
    match values.get(key).map(|text| CertificateNames::parse(text)) {
        Some(Ok(names)) => certificate::missing(&mut *tx, &names, key).await,
        _ => Ok(Vec::new()),
    }
}

/// The parsed texts, unless there is a mistake in them or a missing certificate.
fn all_mistakes(parsed: Result<Texts, Vec<Mistake>>, missing: &[Mistake]) -> Result<Texts, Vec<Mistake>> {
    match parsed {
        Ok(texts) if missing.is_empty() => Ok(texts),
        parsed => Err(parsed.err().into_iter().flatten().chain(missing.iter().cloned()).collect()),
    }
}

/// Saves settings of the appliance: all or nothing. Certificates it newly names must be in the store.
pub async fn save_appliance(
    db: &Db,
    values: &Texts,
    expected_version: Option<i64>,
    change: &Change<'_>,
) -> Result<(), SaveError> {
    let mut tx = db.begin().await?;
    if save_appliance_in(&mut tx, values, expected_version, change).await? {
        folders::check_backups(&mut tx, db).await?;
    }
    tx.commit().await?;
    Ok(())
}

/// The same within another transaction. Returns whether the folder of backups changed: then its place must still be
/// checked.
pub(super) async fn save_appliance_in(
    tx: &mut Transaction<'_, Sqlite>,
    values: &Texts,
    expected_version: Option<i64>,
    change: &Change<'_>,
) -> Result<bool, SaveError> {
    let save = Save { scope: Scope::Settings, subject: "settings".to_owned(), values, expected_version };
    let missing = missing(tx, values, "web_certificates").await?;
    let parse =
        |texts: &Texts| all_mistakes(ApplianceSettings::parse(texts).map(|settings| settings.texts()), &missing);
    save_with(tx, (save, folders::BACKUPS), change, parse).await
}
