//! Sealed secrets, which must be readable (`access::secrets`).

use std::collections::BTreeSet;

use sqlx::{Row, Sqlite, Transaction};

use super::audit;
use super::open::{Db, StoreError};
use super::setting::{self, Change};

const PUT: &str = "INSERT INTO secrets (name, sealed, set_at_us) VALUES ($1, $2, $3) \
     ON CONFLICT (name) DO UPDATE SET sealed = excluded.sealed, set_at_us = excluded.set_at_us";
const GET: &str = "SELECT sealed FROM secrets WHERE name = $1";
const NAMES: &str = "SELECT name FROM secrets";
const ANY_SEALED: &str = "SELECT EXISTS (SELECT 1 FROM secrets) OR EXISTS (SELECT 1 FROM certificates)";
const REMOVE: &str = "DELETE FROM secrets WHERE name = $1";

/// Stores or replaces a sealed secret. `subject` is its owner, for the audit.
pub async fn put(db: &Db, name: &str, sealed: &[u8], subject: &str, change: &Change<'_>) -> Result<(), StoreError> {
    let mut tx = db.begin().await?;
    sqlx::query(PUT).bind(name).bind(sealed).bind(change.at.us()).execute(&mut *tx).await?;
    let entry = audit::Entry { subject, key: "secret", before: "", after: "changed" };
    Ok(setting::end(tx, &entry, change).await?)
}

/// The sealed secret of that name.
pub async fn get(db: &Db, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
    let row = sqlx::query(GET).bind(name).fetch_optional(db.reader()).await?;
    Ok(row.map(|row| row.try_get(0)).transpose()?)
}

/// The names of all sealed secrets.
pub async fn names(db: &Db) -> Result<BTreeSet<String>, StoreError> {
    let rows = sqlx::query(NAMES).fetch_all(db.reader()).await?;
    Ok(rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?)
}

/// Whether there is anything that opens only with the master key.
pub async fn any_sealed(db: &Db) -> Result<bool, StoreError> {
    Ok(sqlx::query(ANY_SEALED).fetch_one(db.reader()).await?.try_get(0)?)
}

/// Its owner is removed.
pub(super) async fn remove(tx: &mut Transaction<'_, Sqlite>, name: &str) -> sqlx::Result<()> {
    sqlx::query(REMOVE).bind(name).execute(&mut **tx).await?;
    Ok(())
}
