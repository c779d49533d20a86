//! Certificates with their sealed keys, and the contents that each replaced. Nothing here reads a key.

use std::time::Duration;

use sqlx::sqlite::SqliteRow;
use sqlx::{Row, Sqlite, SqliteConnection, Transaction};

use super::audit;
use super::event::{self, Event};
use super::open::{Db, StoreError};
use super::setting::{self, Change, SaveError, Scope};
use crate::base::clock::Timestamp;
use crate::base::id::CertificateId;
use crate::base::words::words;
use crate::domain::setting::{Mistake, Value};
use crate::domain::value::{CertificateName, CertificateNames};

/// The most certificates of one appliance.
pub const CERTIFICATES_MAX: i64 = 1_000;
/// How long a replaced certificate can be rolled back to.
pub const ROLL_BACK_WITHIN: Duration = Duration::from_hours(7 * 24);

// What `decode` reads, in this order.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, name, origin, chain_pem, sealed_key, sha256, made_at_us, previous_origin, previous_chain_pem, \
             previous_key, previous_sha256, replaced_at_us FROM certificates ",
            $rest
        )
    };
}

const ALL: &str = select!("ORDER BY name_key");
const ONE: &str = select!("WHERE name_key = $1");
const NAMES: &str = "SELECT name FROM certificates ORDER BY name_key";
const ADD: &str = "INSERT INTO certificates (id, name, name_key, origin, chain_pem, sealed_key, sha256, made_at_us) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
const REPLACE: &str = "UPDATE certificates SET previous_origin = origin, previous_chain_pem = chain_pem, \
     previous_key = sealed_key, previous_sha256 = sha256, replaced_at_us = $6, origin = $2, chain_pem = $3, \
     sealed_key = $4, sha256 = $5, made_at_us = $6 WHERE id = $1";
const FORGET_PREVIOUS: &str = "UPDATE certificates SET previous_origin = NULL, previous_chain_pem = NULL, \
     previous_key = NULL, previous_sha256 = NULL, replaced_at_us = NULL WHERE replaced_at_us < $1";
// A warning dated later than now comes from a clock that was ahead: it is repeated.
const WARN: &str = "INSERT INTO certificate_warnings (sha256, urgency, at_us) VALUES ($1, $2, $3) \
     ON CONFLICT (sha256, urgency) DO UPDATE SET at_us = excluded.at_us WHERE certificate_warnings.at_us > excluded.at_us";
const REMOVE: &str = "DELETE FROM certificates WHERE id = $1";

words! {
    /// Where a certificate came from.
    pub enum Origin {
        /// Waybill made and signed it.
        SelfSigned = "self_signed";
        /// An administrator uploaded it.
        Uploaded = "uploaded";
        /// An authority issued it to Waybill by ACME.
        Acme = "acme";
    }
}

/// A certificate, its issuers and its sealed key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contents {
    /// Where it came from.
    pub origin: Origin,
    /// PEM, the certificate itself first.
    pub chain_pem: String,
    /// The key, sealed to the certificate's id.
    pub sealed_key: Vec<u8>,
    /// SHA-256 of the certificate itself, as shown on pages.
    pub sha256: String,
}

/// A certificate as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredCertificate {
    /// Its id; it stays when the contents are replaced.
    pub id: CertificateId,
    /// Its name.
    pub name: CertificateName,
    /// What is presented.
    pub contents: Contents,
    /// When these contents were put in place.
    pub made_at: Timestamp,
    /// The previous contents and when they were replaced.
    pub previous: Option<(Contents, Timestamp)>,
}

impl StoredCertificate {
    /// Until when the previous contents can come back; `None` if there are none or it is too late.
    pub fn roll_back_until(&self, now: Timestamp) -> Option<Timestamp> {
        let until = self.previous.as_ref()?.1.plus(ROLL_BACK_WITHIN);
        (until >= now).then_some(until)
    }
}

/// Every certificate, by name.
pub async fn all(db: &Db) -> Result<Vec<StoredCertificate>, StoreError> {
    sqlx::query(ALL).fetch_all(db.reader()).await?.iter().map(decode).collect()
}

/// The certificate of that name, in any case.
pub async fn find(db: &Db, name: &CertificateName) -> Result<Option<StoredCertificate>, StoreError> {
    sqlx::query(ONE).bind(name.key()).fetch_optional(db.reader()).await?.as_ref().map(decode).transpose()
}

/// Adds a certificate. Its key was sealed to `id`.
pub async fn add(
    db: &Db,
    id: &CertificateId,
    name: &CertificateName,
    contents: &Contents,
    change: &Change<'_>,
) -> Result<(), SaveError> {
    let mut tx = db.begin().await?;
    let names = names(&mut tx).await?;
    if let Some(there) = names.iter().find(|there| there.to_lowercase() == name.key()) {
        let words = format!("There is a certificate {there} already; replace it, or take another name");
        return Err(SaveError::mistake("name", words));
    }
    if i64::try_from(names.len()).unwrap_or(i64::MAX) >= CERTIFICATES_MAX {
        let words = format!("There are {CERTIFICATES_MAX} certificates, the most one appliance holds");
        return Err(SaveError::mistake("name", words));
    }
    sqlx::query(ADD)
        .bind(id.as_str())
        .bind(name.as_str())
        .bind(name.key())
        .bind(contents.origin.name())
        .bind(&contents.chain_pem)
        .bind(&contents.sealed_key)
        .bind(&contents.sha256)
        .bind(change.at.us())
        .execute(&mut *tx)
        .await?;
    done(tx, name, ("added", "", &contents.sha256), change).await
}

/// Replaces the contents of `name`, which are kept for [`ROLL_BACK_WITHIN`]. The new key is sealed to `id`.
pub async fn replace(
    db: &Db,
    id: &CertificateId,
    name: &CertificateName,
    contents: &Contents,
    change: &Change<'_>,
) -> Result<(), SaveError> {
    let mut tx = db.begin().await?;
    let there = one(&mut tx, name).await?;
    if there.id != *id {
        // Removed and added again since the key was sealed.
        let words = format!("Somebody else changed the certificate {name} in between: look again");
        return Err(SaveError::mistake("name", words));
    }
    put(&mut tx, id, contents, change).await?;
    done(tx, &there.name, ("replaced", &there.contents.sha256, &contents.sha256), change).await
}

/// Swaps the current contents with the previous ones.
pub async fn roll_back(db: &Db, name: &CertificateName, change: &Change<'_>) -> Result<(), SaveError> {
    let mut tx = db.begin().await?;
    let there = one(&mut tx, name).await?;
    let in_time = there.roll_back_until(change.at).is_some();
    let Some((before, _)) = there.previous.filter(|_| in_time) else {
        let words = format!("There is nothing to roll {} back to: it wasn't replaced in the last 7 days", there.name);
        return Err(SaveError::mistake("name", words));
    };
    put(&mut tx, &there.id, &before, change).await?;
    done(tx, &there.name, ("rolled back", &there.contents.sha256, &before.sha256), change).await
}

/// Removes a certificate with its previous contents; refused while the profile names it, while it is presented without
/// being named (`is_presented`), and if it is the last one.
pub async fn remove(db: &Db, name: &CertificateName, is_presented: bool, change: &Change<'_>) -> Result<(), SaveError> {
    let mut tx = db.begin().await?;
    let there = one(&mut tx, name).await?;
    for (scope, key, words) in [
        (
            Scope::Profile,
            "certificates",
            "The FTP server presents {}: take it out of its profile's Server TLS Certificate first",
        ),
        (
            Scope::Settings,
            "web_certificates",
            "The web interface presents {}: take it out of its certificates in Settings first",
        ),
    ] {
        let stored = setting::read(&mut tx, scope).await?;
        let named = stored.texts.get(key).and_then(|text| CertificateNames::parse(text).ok());
        if named.is_some_and(|names| names.iter().any(|named| named.to_lowercase() == there.name.key())) {
            return Err(SaveError::mistake("name", words.replace("{}", there.name.as_str())));
        }
    }
    if names(&mut tx).await?.len() < 2 {
        let words = format!("{} is the only certificate, and TLS needs one: add another first", there.name);
        return Err(SaveError::mistake("name", words));
    }
    if is_presented {
        let words = format!(
            "The FTP server presents {} while its profile names no other: name another there as Server TLS Certificate first",
            there.name
        );
        return Err(SaveError::mistake("name", words));
    }
    sqlx::query(REMOVE).bind(there.id.as_str()).execute(&mut *tx).await?;
    done(tx, &there.name, ("removed", &there.contents.sha256, ""), change).await
}

/// Forgets replaced certificates that can no longer come back.
pub async fn forget_previous(db: &Db, now: Timestamp) -> Result<(), StoreError> {
    sqlx::query(FORGET_PREVIOUS).bind(now.minus(ROLL_BACK_WITHIN).us()).execute(db.writer()).await?;
    Ok(())
}

/// Records `event` unless that warning was given already. Returns whether it was new.
pub async fn warn_once(db: &Db, (sha256, urgency): (&str, &str), event: &Event) -> Result<bool, StoreError> {
    let mut tx = db.begin().await?;
    let said = sqlx::query(WARN).bind(sha256).bind(urgency).bind(event.at.us()).execute(&mut *tx).await?;
    let is_news = said.rows_affected() > 0;
    if is_news {
        event::add(&mut tx, event).await?;
    }
    tx.commit().await?;
    Ok(is_news)
}

/// What is wrong with naming these: one mistake for each that is not in the store.
pub(super) async fn missing(
    connection: &mut SqliteConnection,
    wanted: &CertificateNames,
    key: &'static str,
) -> Result<Vec<Mistake>, StoreError> {
    let there = names(connection).await?;
    let known = |name: &str| there.iter().any(|there| there.to_lowercase() == name.to_lowercase());
    let say = |name| Mistake::new(key, none_such(name, &there));
    Ok(wanted.iter().filter(|name| !known(name)).map(say).collect())
}

fn none_such(name: &str, there: &[String]) -> String {
    if there.is_empty() {
        format!("There is no certificate {name}; there are none yet")
    } else {
        format!("There is no certificate {name}; there are: {}", there.join(", "))
    }
}

async fn names(connection: &mut SqliteConnection) -> sqlx::Result<Vec<String>> {
    sqlx::query(NAMES).fetch_all(connection).await?.iter().map(|row| row.try_get(0)).collect()
}

async fn one(tx: &mut Transaction<'_, Sqlite>, name: &CertificateName) -> Result<StoredCertificate, SaveError> {
    match sqlx::query(ONE).bind(name.key()).fetch_optional(&mut **tx).await? {
        Some(row) => Ok(decode(&row)?),
        None => Err(SaveError::mistake("name", none_such(name.as_str(), &names(tx).await?))),
    }
}

async fn put(
    tx: &mut Transaction<'_, Sqlite>,
    id: &CertificateId,
    contents: &Contents,
    change: &Change<'_>,
) -> sqlx::Result<()> {
    sqlx::query(REPLACE)
        .bind(id.as_str())
        .bind(contents.origin.name())
        .bind(&contents.chain_pem)
        .bind(&contents.sealed_key)
        .bind(&contents.sha256)
        .bind(change.at.us())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

async fn done(
    tx: Transaction<'_, Sqlite>,
    name: &CertificateName,
    (key, before, after): (&str, &str, &str),
    change: &Change<'_>,
) -> Result<(), SaveError> {
    let entry = audit::Entry { subject: &format!("certificate {name}"), key, before, after };
    Ok(setting::end(tx, &entry, change).await?)
}

fn decode(row: &SqliteRow) -> Result<StoredCertificate, StoreError> {
    let (id, name): (String, String) = (row.try_get(0)?, row.try_get(1)?);
    let unreadable = |what: &str| StoreError::Unreadable(format!("certificate {name}: {what}"));
    let origin = |text: &str| Origin::parse(text).ok_or_else(|| unreadable(text));
    let contents = Contents {
        origin: origin(row.try_get(2)?)?,
        chain_pem: row.try_get(3)?,
        sealed_key: row.try_get(4)?,
        sha256: row.try_get(5)?,
    };
    let previous = match row.try_get::<Option<i64>, _>(11)? {
        None => None,
        Some(replaced_at) => {
            let before = Contents {
                origin: origin(row.try_get(7)?)?,
                chain_pem: row.try_get(8)?,
                sealed_key: row.try_get(9)?,
                sha256: row.try_get(10)?,
            };
            Some((before, Timestamp::from_us(replaced_at)))
        }
    };
    Ok(StoredCertificate {
        id: CertificateId::parse(&id).ok_or_else(|| unreadable(&id))?,
        name: CertificateName::parse(&name).map_err(StoreError::Unreadable)?,
        contents,
        made_at: Timestamp::from_us(row.try_get(6)?),
        previous,
    })
}
