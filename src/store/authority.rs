//! Authorities that issue client certificates to partners. Nothing here reads the contents of a certificate.

use sqlx::{Row, Sqlite, SqliteConnection, Transaction};

use super::audit;
use super::open::{Db, StoreError};
use super::setting::{self, Change, SaveError};
use crate::base::clock::Timestamp;
use crate::domain::setting::{Mistake, Value};
use crate::domain::value::{CertificateMatch, CertificateName};

/// The most authorities of one appliance.
pub const AUTHORITIES_MAX: i64 = 1_000;

const ALL: &str = "SELECT name, pem, sha256, added_at_us FROM authorities ORDER BY name_key";
const NAMES: &str = "SELECT name FROM authorities ORDER BY name_key";
const COUNT: &str = "SELECT COUNT(*) FROM authorities";
const PUT: &str = "INSERT INTO authorities (name, name_key, pem, sha256, added_at_us) VALUES ($1, $2, $3, $4, $5) \
     ON CONFLICT (name_key) DO UPDATE SET pem = excluded.pem, sha256 = excluded.sha256, \
     added_at_us = excluded.added_at_us";
const DIGEST: &str = "SELECT name, sha256 FROM authorities WHERE name_key = $1";
const REMOVE: &str = "DELETE FROM authorities WHERE name_key = $1";
const MATCHES: &str = "SELECT c.id, v.value FROM setting_values v JOIN connectors c ON c.id_key = v.owner \
     WHERE v.scope = 'connector' AND v.key = 'client_certificate_match' ORDER BY c.id_key";

/// An authority as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredAuthority {
    /// Its name here.
    pub name: CertificateName,
    /// The trusted certificates, PEM.
    pub pem: String,
    /// SHA-256 of the first, as pages show it.
    pub sha256: String,
    /// When it was added, or replaced.
    pub added_at: Timestamp,
}

/// Every authority, by name.
pub async fn all(db: &Db) -> Result<Vec<StoredAuthority>, StoreError> {
    let rows = sqlx::query(ALL).fetch_all(db.reader()).await?;
    rows.iter()
        .map(|row| {
            Ok(StoredAuthority {
                name: CertificateName::parse(row.try_get(0)?).map_err(StoreError::Unreadable)?,
                pem: row.try_get(1)?,
                sha256: row.try_get(2)?,
                added_at: Timestamp::from_us(row.try_get(3)?),
            })
        })
        .collect()
}

/// Adds an authority, or replaces its certificates.
pub async fn put(db: &Db, authority: &StoredAuthority, change: &Change<'_>) -> Result<(), SaveError> {
    let mut tx = db.begin().await?;
    let before = sqlx::query(DIGEST).bind(authority.name.key()).fetch_optional(&mut *tx).await?;
    let before: Option<String> = before.map(|row| row.try_get(1)).transpose()?;
    if before.is_none() && sqlx::query(COUNT).fetch_one(&mut *tx).await?.try_get::<i64, _>(0)? >= AUTHORITIES_MAX {
        let words = format!("There are {AUTHORITIES_MAX} authorities, the most one appliance holds");
        return Err(SaveError::mistake("name", words));
    }
    sqlx::query(PUT)
        .bind(authority.name.as_str())
        .bind(authority.name.key())
        .bind(&authority.pem)
        .bind(&authority.sha256)
        .bind(authority.added_at.us())
        .execute(&mut *tx)
        .await?;
    let key = if before.is_some() { "replaced" } else { "added" };
    done(tx, &authority.name, (key, &before.unwrap_or_default(), &authority.sha256), change).await
}

/// Removes an authority; refused while a connector names it.
pub async fn remove(db: &Db, name: &CertificateName, change: &Change<'_>) -> Result<(), SaveError> {
    let mut tx = db.begin().await?;
    let Some(row) = sqlx::query(DIGEST).bind(name.key()).fetch_optional(&mut *tx).await? else {
        return Err(SaveError::mistake("name", none_such(name.as_str(), &names(&mut tx).await?)));
    };
    let (name, sha256) = (CertificateName::parse(row.try_get(0)?).map_err(StoreError::Unreadable)?, row.try_get(1)?);
    for row in sqlx::query(MATCHES).fetch_all(&mut *tx).await? {
        let (connector, text): (String, String) = (row.try_get(0)?, row.try_get(1)?);
        if let Ok(CertificateMatch::Subject { ca, .. }) = CertificateMatch::parse(&text)
            && ca.to_lowercase() == name.key()
        {
            let words = format!("{connector} signs in with certificates of {name}: change its match first");
            return Err(SaveError::mistake("name", words));
        }
    }
    sqlx::query(REMOVE).bind(name.key()).execute(&mut *tx).await?;
    let sha256: String = sha256;
    done(tx, &name, ("removed", &sha256, ""), change).await
}

/// The mistake in a match that names an unknown authority.
pub(super) async fn missing(
    connection: &mut SqliteConnection,
    wanted: &CertificateMatch,
) -> Result<Option<Mistake>, StoreError> {
    let CertificateMatch::Subject { ca, .. } = wanted else { return Ok(None) };
    let there = names(connection).await?;
    let known = there.iter().any(|there| there.to_lowercase() == ca.to_lowercase());
    Ok((!known).then(|| Mistake::new("client_certificate_match", none_such(ca, &there))))
}

fn none_such(name: &str, there: &[String]) -> String {
    if there.is_empty() {
        format!("There is no authority {name}; add its certificate on the Certificates page first")
    } else {
        format!("There is no authority {name}; there are: {}", there.join(", "))
    }
}

async fn names(connection: &mut SqliteConnection) -> sqlx::Result<Vec<String>> {
    sqlx::query(NAMES).fetch_all(connection).await?.iter().map(|row| row.try_get(0)).collect()
}

async fn done(
    tx: Transaction<'_, Sqlite>,
    name: &CertificateName,
    (key, before, after): (&str, &str, &str),
    change: &Change<'_>,
) -> Result<(), SaveError> {
    let entry = audit::Entry { subject: &format!("authority {name}"), key, before, after };
    Ok(setting::end(tx, &entry, change).await?)
}
