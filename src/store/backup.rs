//! Copies the database at one moment, and inspects such a copy. Both use connections of their own: no reader or writer
//! waits for them.

use std::path::Path;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection, Row};

use super::audit;
use super::open::{DATABASE, Db, MIGRATIONS, StoreError};
use super::setting::Change;

const COPY: &str = "VACUUM INTO $1";
const CHECK: &str = "PRAGMA quick_check(1)";
const VERSION: &str = "SELECT MAX(version) FROM _sqlx_migrations";
const SIGN_OUT_ALL: &str = "DELETE FROM web_sessions";
const COUNTS: &str = "SELECT (SELECT COUNT(*) FROM connectors), (SELECT COUNT(*) FROM receipts), \
     (SELECT COUNT(*) FROM certificates), (SELECT COUNT(*) FROM administrators), \
     (SELECT MAX(at_us) FROM events)";

/// What a database contains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contents {
    /// Connectors.
    pub connectors: u64,
    /// Rows of the Receive table.
    pub receipts: u64,
    /// Certificates.
    pub certificates: u64,
    /// Administrators.
    pub administrators: u64,
}

/// Copies the database at one moment into a new file.
pub async fn copy_to(db: &Db, file: &Path) -> Result<(), StoreError> {
    let mut connection = SqliteConnectOptions::new().filename(db.folder().join(DATABASE)).connect().await?;
    sqlx::query(COPY).bind(file.to_string_lossy()).execute(&mut connection).await?;
    Ok(connection.close().await?)
}

/// Checks that a copy is intact and of a readable version, and counts what it contains.
pub async fn look(file: &Path) -> Result<Contents, StoreError> {
    let mut connection = SqliteConnectOptions::new().filename(file).read_only(true).connect().await?;
    let looked = look_into(&mut connection).await;
    connection.close().await?;
    looked
}

async fn look_into(connection: &mut SqliteConnection) -> Result<Contents, StoreError> {
    let check: String = sqlx::query(CHECK).fetch_one(&mut *connection).await?.try_get(0)?;
    if check != "ok" {
        return Err(StoreError::Unreadable(format!("the database in it is damaged: {check}")));
    }
    let version: i64 = sqlx::query(VERSION).fetch_one(&mut *connection).await?.try_get(0)?;
    if MIGRATIONS.iter().all(|(known, _, _)| *known < version) {
        return Err(StoreError::Unreadable("it was made by a newer Waybill than this one".to_owned()));
    }
    let row = sqlx::query(COUNTS).fetch_one(&mut *connection).await?;
    let count = |index: usize| row.try_get::<i64, _>(index).map(i64::unsigned_abs);
    Ok(Contents { connectors: count(0)?, receipts: count(1)?, certificates: count(2)?, administrators: count(3)? })
}

/// A copy that is put back keeps nobody signed in from the time it was made; its audit tells who put it back.
pub async fn take_over(db: &Db, name: &str, change: &Change<'_>) -> Result<(), StoreError> {
    sqlx::query(SIGN_OUT_ALL).execute(db.writer()).await?;
    let entry = audit::Entry { subject: "appliance", key: "restored", before: "", after: name };
    audit::note(db, change, &entry).await
}

/// The [`Contents`] of the database in use.
pub async fn contents(db: &Db) -> Result<Contents, StoreError> {
    look(&db.folder().join(DATABASE)).await
}
