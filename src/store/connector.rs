//! Connectors: their settings and the hashes of their passwords.

use std::collections::BTreeMap;

use sqlx::{Row, Sqlite, Transaction};

use super::open::{Db, StoreError};
use super::setting::{self, Change, Save, SaveError, Scope, Stored};
use super::{action, arrow, audit, authority, folders, secret, sla};
use crate::base::clock::Timestamp;
use crate::domain::connector::{Connector, ConnectorId, ConnectorSettings, type_of};
use crate::domain::setting::{Texts, Value};
use crate::domain::value::ConnectorType;

/// The most connectors of one appliance.
pub const CONNECTORS_MAX: i64 = 10_000;

const ALL: &str = "SELECT id, created_at_us FROM connectors ORDER BY id_key";
const ONE: &str = "SELECT id, created_at_us FROM connectors WHERE id_key = $1";
const ALL_VALUES: &str = "SELECT owner, key, value FROM setting_values WHERE scope = 'connector'";
const ALL_VERSIONS: &str =
    "SELECT owner, version, changed_at_us, changed_by FROM setting_groups WHERE scope = 'connector'";
const COUNT: &str = "SELECT COUNT(*) FROM connectors";
const ADD: &str =
    "INSERT INTO connectors (id_key, id, created_at_us) VALUES ($1, $2, $3) ON CONFLICT (id_key) DO NOTHING";
const EXISTS: &str = "SELECT id FROM connectors WHERE id_key = $1";
const REMOVE: &str = "DELETE FROM connectors WHERE id_key = $1";
const PASSWORDS: &str = "SELECT id_key, hash, set_at_us, valid_until_us FROM connector_passwords \
     WHERE valid_until_us IS NULL OR valid_until_us > $1 ORDER BY id_key, set_at_us DESC";
const ADD_PASSWORD: &str =
    "INSERT INTO connector_passwords (id_key, hash, set_at_us, valid_until_us) VALUES ($1, $2, $3, NULL)";
const RETIRE_PASSWORDS: &str =
    "UPDATE connector_passwords SET valid_until_us = $2 WHERE id_key = $1 AND valid_until_us IS NULL";
const DROP_PASSWORDS: &str = "DELETE FROM connector_passwords WHERE id_key = $1 AND valid_until_us <= $2";

/// A connector as stored.
#[derive(Clone, Debug)]
pub struct StoredConnector {
    /// Its id as written.
    pub id: ConnectorId,
    /// When it was made.
    pub created_at: Timestamp,
    /// Its settings and their version.
    pub stored: Stored,
}

/// One password that is valid now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PasswordHash {
    /// Argon2id, PHC form.
    pub hash: String,
    /// When it was set.
    pub set_at: Timestamp,
    /// Until when it is valid; `None`: until replaced.
    pub valid_until: Option<Timestamp>,
}

/// Every connector, by id in any case.
pub async fn all(db: &Db) -> Result<Vec<StoredConnector>, StoreError> {
    let mut tx = db.reader().begin().await?;
    let mut texts: BTreeMap<String, Texts> = BTreeMap::new();
    for row in sqlx::query(ALL_VALUES).fetch_all(&mut *tx).await? {
        texts.entry(row.try_get(0)?).or_default().insert(row.try_get(1)?, row.try_get(2)?);
    }
    let mut stored = BTreeMap::new();
    for row in sqlx::query(ALL_VERSIONS).fetch_all(&mut *tx).await? {
        let owner: String = row.try_get(0)?;
        let entry = Stored {
            texts: texts.remove(&owner).unwrap_or_default(),
            version: row.try_get(1)?,
            changed_at: Timestamp::from_us(row.try_get(2)?),
            changed_by: row.try_get(3)?,
        };
        stored.insert(owner, entry);
    }
    let mut all = Vec::new();
    for row in sqlx::query(ALL).fetch_all(&mut *tx).await? {
        let id = ConnectorId::parse(row.try_get(0)?).map_err(StoreError::Unreadable)?;
        let created_at = Timestamp::from_us(row.try_get(1)?);
        let stored = stored.remove(id.key()).unwrap_or_default();
        all.push(StoredConnector { id, created_at, stored });
    }
    Ok(all)
}

/// The connector of that id in lower case.
pub async fn find(db: &Db, key: &str) -> Result<Option<StoredConnector>, StoreError> {
    let mut tx = db.reader().begin().await?;
    let Some(row) = sqlx::query(ONE).bind(key).fetch_optional(&mut *tx).await? else { return Ok(None) };
    let id = ConnectorId::parse(row.try_get(0)?).map_err(StoreError::Unreadable)?;
    let created_at = Timestamp::from_us(row.try_get(1)?);
    Ok(Some(StoredConnector { id, created_at, stored: setting::read(&mut tx, Scope::Connector(key)).await? }))
}

/// The passwords valid at `now`, newest first, by the connector's id in lower case.
pub async fn passwords(db: &Db, now: Timestamp) -> Result<BTreeMap<String, Vec<PasswordHash>>, StoreError> {
    let mut by_key: BTreeMap<String, Vec<PasswordHash>> = BTreeMap::new();
    for row in sqlx::query(PASSWORDS).bind(now.us()).fetch_all(db.reader()).await? {
        let hash = PasswordHash {
            hash: row.try_get(1)?,
            set_at: Timestamp::from_us(row.try_get(2)?),
            valid_until: row.try_get::<Option<i64>, _>(3)?.map(Timestamp::from_us),
        };
        by_key.entry(row.try_get(0)?).or_default().push(hash);
    }
    Ok(by_key)
}

/// Adds a connector with its settings and its first password, all or nothing.
pub async fn add(
    db: &Db,
    id: &ConnectorId,
    values: &Texts,
    password_hash: Option<&str>,
    change: &Change<'_>,
) -> Result<(), SaveError> {
    let mut tx = db.begin().await?;
    add_in(&mut tx, (id, values, password_hash), change).await?;
    folders::check(&mut tx, db, id).await?;
    tx.commit().await?;
    Ok(())
}

/// The same within another transaction, which must not be committed if this fails. Does not check where its folders
/// lie.
pub(super) async fn add_in(
    tx: &mut Transaction<'_, Sqlite>,
    (id, values, password_hash): (&ConnectorId, &Texts, Option<&str>),
    change: &Change<'_>,
) -> Result<(), SaveError> {
    if let Some(row) = sqlx::query(EXISTS).bind(id.key()).fetch_optional(&mut **tx).await? {
        let there: String = row.try_get(0)?;
        let words = format!("There is a connector {there} already; ids differ by more than case");
        return Err(SaveError::mistake("id", words));
    }
    if sqlx::query(COUNT).fetch_one(&mut **tx).await?.try_get::<i64, _>(0)? >= CONNECTORS_MAX {
        let words = format!("There are {CONNECTORS_MAX} connectors, the most one appliance holds");
        return Err(SaveError::mistake("id", words));
    }
    sqlx::query(ADD).bind(id.key()).bind(id.as_str()).bind(change.at.us()).execute(&mut **tx).await?;
    let entry = audit::Entry { subject: &subject(id), key: "added", before: "", after: id.as_str() };
    audit::add(tx, change, &entry).await?;
    save_values(tx, id, values, None, change).await?;
    if let Some(hash) = password_hash {
        put_password(tx, id, hash, None, change).await?;
    }
    Ok(())
}

/// The changes of one save.
#[derive(Clone, Debug, Default)]
pub struct Edit<'a> {
    /// New values by key; other keys stay.
    pub values: Texts,
    /// The version the editor saw; `None`: whatever is there.
    pub expected_version: Option<i64>,
    /// A new password's hash.
    pub password_hash: Option<&'a str>,
    /// Until when the older password stays valid; `None`: it ends now.
    pub older_until: Option<Timestamp>,
}

/// Saves settings and, if given, a new password: all or nothing.
pub async fn save(db: &Db, id: &ConnectorId, edit: &Edit<'_>, change: &Change<'_>) -> Result<(), SaveError> {
    let mut tx = db.begin().await?;
    if save_in(&mut tx, (id, edit), change).await? == Reached::Folders {
        folders::check(&mut tx, db, id).await?;
    }
    tx.commit().await?;
    Ok(())
}

/// What a save affected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reached {
    /// Its folders changed or came into use: their places must still be checked.
    Folders,
    /// Its folders did not change.
    Others,
}

/// The same within another transaction, which must not be committed if this fails.
pub(super) async fn save_in(
    tx: &mut Transaction<'_, Sqlite>,
    (id, edit): (&ConnectorId, &Edit<'_>),
    change: &Change<'_>,
) -> Result<Reached, SaveError> {
    if sqlx::query(EXISTS).bind(id.key()).fetch_optional(&mut **tx).await?.is_none() {
        return Err(SaveError::mistake("id", format!("There is no connector {id}")));
    }
    let before = setting::read(&mut *tx, Scope::Connector(id.key())).await?.texts;
    check_type(id, &before, &edit.values)?;
    let own = save_values(tx, id, &edit.values, edit.expected_version, change).await?;
    if let Some(hash) = edit.password_hash {
        put_password(tx, id, hash, edit.older_until, change).await?;
    }
    // Whatever is already wrong can be switched off, but not on again.
    let before = connector(id.clone(), &before).ok();
    let same = |before: Connector| before.folders() == own.folders() && before.settings.enabled >= own.settings.enabled;
    Ok(if before.is_some_and(same) { Reached::Others } else { Reached::Folders })
}

/// The type of a connector is fixed when it is made: files, arrows and a partner's password depend on it.
fn check_type(id: &ConnectorId, before: &Texts, values: &Texts) -> Result<(), SaveError> {
    let Some(wanted) = values.get("type").and_then(|text| ConnectorType::parse(text).ok()) else { return Ok(()) };
    let is = type_of(before);
    if is == wanted {
        return Ok(());
    }
    let words = format!("{id} is {}, for good; add another connector for {}", is.one(), wanted.one());
    Err(SaveError::mistake("type", words))
}

/// Removes a connector with its settings, passwords and arrows; what waits on these stops. Files, receipts and events
/// stay. Returns whether it was there.
pub async fn remove(db: &Db, id: &ConnectorId, change: &Change<'_>) -> Result<bool, StoreError> {
    let mut tx = db.begin().await?;
    let there: Option<String> =
        sqlx::query(EXISTS).bind(id.key()).fetch_optional(&mut *tx).await?.map(|row| row.try_get(0)).transpose()?;
    if let Some(written) = &there {
        let written = ConnectorId::parse(written).map_err(StoreError::Unreadable)?;
        arrow::remove_of(&mut tx, &written, change).await?;
        action::remove_of(&mut tx, &written, change).await?;
        sla::remove_of(&mut tx, &written, change).await?;
        sqlx::query(REMOVE).bind(id.key()).execute(&mut *tx).await?;
        setting::remove(&mut tx, Scope::Connector(id.key())).await?;
        secret::remove(&mut tx, &webhook_secret(id)).await?;
        setting::bump(&mut tx).await?;
        let entry = audit::Entry { subject: &subject(id), key: "removed", before: id.as_str(), after: "" };
        audit::add(&mut tx, change, &entry).await?;
    }
    tx.commit().await?;
    Ok(there.is_some())
}

/// The name of the secret that a Webhook connector signs with.
pub fn webhook_secret(id: &ConnectorId) -> String {
    format!("webhook {}", id.key())
}

/// Its name in the audit.
pub(super) fn subject(id: &ConnectorId) -> String {
    format!("connector {id}")
}

async fn save_values(
    tx: &mut Transaction<'_, Sqlite>,
    id: &ConnectorId,
    values: &Texts,
    expected_version: Option<i64>,
    change: &Change<'_>,
) -> Result<Connector, SaveError> {
    let save = Save { scope: Scope::Connector(id.key()), subject: subject(id), values, expected_version };
    let texts = setting::save(tx, save, change, |texts| ConnectorSettings::parse(texts).map(|s| s.texts())).await?;
    let own = connector(id.clone(), &texts)?;
    if let Some(wanted) = &own.settings.client_certificate_match
        && let Some(mistake) = authority::missing(&mut *tx, wanted).await?
    {
        return Err(SaveError::Mistakes(vec![mistake]));
    }
    Ok(own)
}

fn connector(id: ConnectorId, texts: &Texts) -> Result<Connector, SaveError> {
    let settings = ConnectorSettings::parse(texts).map_err(SaveError::Mistakes)?;
    Ok(Connector { id, version: 0, settings })
}

async fn put_password(
    tx: &mut Transaction<'_, Sqlite>,
    id: &ConnectorId,
    hash: &str,
    older_until: Option<Timestamp>,
    change: &Change<'_>,
) -> Result<(), SaveError> {
    let until = older_until.unwrap_or(change.at);
    // An older password that was still valid ends now: at most two are valid.
    sqlx::query(DROP_PASSWORDS).bind(id.key()).bind(i64::MAX).execute(&mut **tx).await?;
    sqlx::query(RETIRE_PASSWORDS).bind(id.key()).bind(until.us()).execute(&mut **tx).await?;
    sqlx::query(DROP_PASSWORDS).bind(id.key()).bind(change.at.us()).execute(&mut **tx).await?;
    sqlx::query(ADD_PASSWORD).bind(id.key()).bind(hash).bind(change.at.us()).execute(&mut **tx).await?;
    setting::bump(tx).await?;
    let entry = audit::Entry { subject: &subject(id), key: "password", before: "", after: "changed" };
    audit::add(tx, change, &entry).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::Clock;
    use crate::base::id::IdSource;

    #[tokio::test]
    async fn no_two_connectors_share_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        let db = Db::open(folder.path()).await.unwrap();
        let ids = IdSource::random(Clock::System);
        let change = Change { who: "test", remote: "", at: Timestamp::default(), ids: &ids };
        let id = |text: &str| ConnectorId::parse(text).unwrap();
        let texts = |key: &str, value: &str| Texts::from([(key.to_owned(), value.to_owned())]);
        add(&db, &id("acme"), &Texts::new(), None, &change).await.unwrap();
        let inside = folder.path().canonicalize().unwrap().join("partners/acme/Send");
        for value in ["acme/Receive", "acme", "acme/Send/deeper", inside.to_str().unwrap()] {
            let refused = add(&db, &id("globex"), &texts("output_folder", value), None, &change).await;
            let Err(SaveError::Mistakes(mistakes)) = refused else { panic!("{value}: {refused:?}") };
            assert_eq!(mistakes[0].key, "output_folder");
            assert!(mistakes[0].message.contains("a folder of acme"), "{}", mistakes[0].message);
        }
        assert_eq!(all(&db).await.unwrap().len(), 1, "a refused connector was kept");
        add(&db, &id("globex"), &texts("output_folder", "acme-too/Receive"), None, &change).await.unwrap();
    }

    #[tokio::test]
    async fn what_is_removed_with_a_connector_is_told_and_no_version_comes_again() {
        let folder = tempfile::tempdir().unwrap();
        let db = Db::open(folder.path()).await.unwrap();
        let ids = IdSource::random(Clock::System);
        let change = Change { who: "test", remote: "", at: Timestamp::default(), ids: &ids };
        let texts = |pairs: &[(&str, &str)]| -> Texts {
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
        };
        let acme = ConnectorId::parse("Acme").unwrap();
        add(&db, &acme, &Texts::new(), None, &change).await.unwrap();
        let archive = ConnectorId::parse("archive").unwrap();
        add(&db, &archive, &texts(&[("type", "folder")]), None, &change).await.unwrap();
        arrow::connect(&db, ("acme", "archive"), false, &change).await.unwrap();
        sla::put(&db, "s1", &acme, &Texts::new(), &change).await.unwrap();
        let mail = texts(&[("kind", "mail"), ("mail_to", "a@b")]);
        let mail =
            action::StoredAction { id: "a1".to_owned(), connector_key: "acme".to_owned(), texts: mail, version: 0 };
        action::put(&db, &mail, &acme, &change).await.unwrap();
        let version = async || setting::load(&db, Scope::Connector("acme")).await.unwrap().version;
        let before = version().await;
        assert!(remove(&db, &acme, &change).await.unwrap());
        let mut told = audit::latest(&db, Some("connector Acme"), 4).await.unwrap();
        told.reverse();
        let told: Vec<_> = told.iter().map(|one| format!("{}: {} -> {}", one.key, one.before, one.after)).collect();
        let expected = [
            "passes along to: archive -> ",
            "action: After a file is received: mail to a@b -> ",
            "SLA: At least 1 file received by 09:00, Mon–Fri, UTC -> ",
            "removed: Acme -> ",
        ];
        assert_eq!(told, expected);
        add(&db, &acme, &Texts::new(), None, &change).await.unwrap();
        assert_ne!(version().await, before);
        let edit = Edit { values: texts(&[("settle_s", "9")]), expected_version: Some(before), ..Edit::default() };
        let stale = save(&db, &acme, &edit, &change).await;
        assert!(matches!(stale, Err(SaveError::Stale(_))), "{stale:?}");
    }

    #[tokio::test]
    async fn sent_copies_are_out_of_every_partners_reach() {
        let folder = tempfile::tempdir().unwrap();
        let db = Db::open(folder.path()).await.unwrap();
        let ids = IdSource::random(Clock::System);
        let change = Change { who: "test", remote: "", at: Timestamp::default(), ids: &ids };
        let id = |text: &str| ConnectorId::parse(text).unwrap();
        let texts = |pairs: &[(&str, &str)]| -> Texts {
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
        };
        let own = texts(&[("save_to_sent_folder", "on"), ("output_folder", "acme/Sent/in")]);
        let refused = add(&db, &id("acme"), &own, None, &change).await;
        let Err(SaveError::Mistakes(mistakes)) = refused else { panic!("{refused:?}") };
        assert_eq!(mistakes[0].key, "save_to_sent_folder");
        assert!(
            mistakes[0].message.starts_with("acme/Sent is, holds or lies in acme/Sent/in"),
            "{}",
            mistakes[0].message
        );
        add(&db, &id("acme"), &texts(&[("save_to_sent_folder", "on")]), None, &change).await.unwrap();
        let refused = add(&db, &id("globex"), &texts(&[("input_folder", "acme/Sent/2026")]), None, &change).await;
        let Err(SaveError::Mistakes(mistakes)) = refused else { panic!("{refused:?}") };
        assert!(mistakes[0].message.contains("acme/Sent, a folder of acme"), "{}", mistakes[0].message);
    }
}
