//! The database: pragmas, migrations, one pool of readers and exactly one writer.

use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::Access;
use sqlx::SqlitePool;
use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, Row, SqlSafeStr, Sqlite, SqliteConnection, Transaction};

use super::group;

/// Oldest SQLite without the WAL-reset corruption.
const SQLITE_VERSION_MIN: (u32, u32, u32) = (3, 51, 3);
/// The database, beneath the data folder.
pub const DATABASE: &str = "waybill.db";
/// Held by the running server of a data folder, beneath it.
pub const SERVE_LOCK: &str = "serve.lock";
/// Held by whoever brings the database up to date.
const MIGRATE_LOCK: &str = "migrate.lock";
/// What a new data folder may hold beside the database and what SQLite keeps beside that. The last is of a new disk.
const OF_A_NEW_FOLDER: [&str; 3] = [SERVE_LOCK, MIGRATE_LOCK, "lost+found"];
/// Reading connections, beside the writer.
const READERS_MAX: u32 = 4;
/// The longest path of a file that SQLite takes, less what it appends for the write-ahead log.
const PATH_BYTES_MAX: usize = 500;
/// How long a statement waits for another process's write.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Prepared statements kept by each connection.
const STATEMENTS_CACHED: usize = 200;

pub(super) const MIGRATIONS: &[(i64, &str, &str)] = &[
    (1, "settings", include_str!("../../migrations/0001_settings.sql")),
    (2, "receipts", include_str!("../../migrations/0002_receipts.sql")),
    (3, "administration", include_str!("../../migrations/0003_administration.sql")),
    (4, "certificates", include_str!("../../migrations/0004_certificates.sql")),
    (5, "collected", include_str!("../../migrations/0005_collected.sql")),
    (10, "traffic", include_str!("../../migrations/0010_traffic.sql")),
    (11, "snoozed", include_str!("../../migrations/0011_snoozed.sql")),
    (12, "refusals of", include_str!("../../migrations/0012_refusals_of.sql")),
    (13, "pages", include_str!("../../migrations/0013_pages.sql")),
    (15, "collected times", include_str!("../../migrations/0015_collected_times.sql")),
    (16, "sheets", include_str!("../../migrations/0016_sheets.sql")),
    (25, "authorities", include_str!("../../migrations/0025_authorities.sql")),
    (26, "certificate warnings", include_str!("../../migrations/0026_certificate_warnings.sql")),
    (30, "held", include_str!("../../migrations/0030_held.sql")),
    (40, "sessions", include_str!("../../migrations/0040_sessions.sql")),
    (50, "flows", include_str!("../../migrations/0050_flows.sql")),
    (55, "secrets", include_str!("../../migrations/0055_secrets.sql")),
    (60, "slas", include_str!("../../migrations/0060_slas.sql")),
    (62, "alerts", include_str!("../../migrations/0062_alerts.sql")),
    (63, "kept", include_str!("../../migrations/0063_kept.sql")),
    (65, "acme", include_str!("../../migrations/0065_acme.sql")),
    (66, "no event index", include_str!("../../migrations/0066_no_event_index.sql")),
    (70, "programs", include_str!("../../migrations/0070_programs.sql")),
    (71, "actions", include_str!("../../migrations/0071_actions.sql")),
    (72, "event targets", include_str!("../../migrations/0072_event_targets.sql")),
    (73, "watched", include_str!("../../migrations/0073_watched.sql")),
    (77, "api tokens", include_str!("../../migrations/0077_api_tokens.sql")),
    (80, "second factors", include_str!("../../migrations/0080_second_factors.sql")),
    (85, "saved views", include_str!("../../migrations/0085_saved_views.sql")),
    (86, "refused in", include_str!("../../migrations/0086_refused_in.sql")),
    (90, "waiting", include_str!("../../migrations/0090_waiting.sql")),
    (91, "own alerts", include_str!("../../migrations/0091_own_alerts.sql")),
    (95, "letters", include_str!("../../migrations/0095_letters.sql")),
    (96, "staging of", include_str!("../../migrations/0096_staging_of.sql")),
    (100, "event of a receipt", include_str!("../../migrations/0100_event_of_a_receipt.sql")),
    (101, "renamings", include_str!("../../migrations/0101_renamings.sql")),
    (102, "staged in", include_str!("../../migrations/0102_staged_in.sql")),
    (105, "parts", include_str!("../../migrations/0105_parts.sql")),
    (106, "data folder", include_str!("../../migrations/0106_data_folder.sql")),
    (107, "shown", include_str!("../../migrations/0107_shown.sql")),
    (111, "renamed within settle", include_str!("../../migrations/0111_renamed_within_settle.sql")),
    (112, "in place of", include_str!("../../migrations/0112_in_place_of.sql")),
    (113, "journal", include_str!("../../migrations/0113_journal.sql")),
    (114, "receipts lying", include_str!("../../migrations/0114_receipts_lying.sql")),
    (115, "collected in", include_str!("../../migrations/0115_collected_in.sql")),
    (116, "receipts temporary", include_str!("../../migrations/0116_receipts_temporary.sql")),
    (117, "spent steps", include_str!("../../migrations/0117_spent_steps.sql")),
];

const LATEST: i64 = MIGRATIONS[MIGRATIONS.len() - 1].0;

/// Why the store could not do something.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database failed.
    #[error("could not use the database: {0}")]
    Database(#[from] sqlx::Error),
    /// The data folder or its lock.
    #[error("could not use {path}: {source}")]
    Folder {
        /// Which folder or file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The database file cannot be opened.
    #[error("could not open {path}: {why}")]
    Unopened {
        /// The database.
        path: PathBuf,
        /// Why, and what would be right.
        why: String,
    },
    /// Migrations failed.
    #[error("could not bring the database up to date: {0}")]
    Migrate(MigrateError),
    /// It has a migration that this version lacks.
    #[error(
        "the database was changed by a newer version of Waybill (migration {0}; this version has those up to {latest}): \
         start that version again, or restore a backup made before the change",
        latest = LATEST
    )]
    Newer(i64),
    /// A library too old to be trusted with receipts.
    #[error("SQLite {0} is too old: at least 3.51.3 is needed, older ones can corrupt the database")]
    SqliteTooOld(String),
    /// A stored value that this version cannot read.
    #[error("could not read what is stored: {0}")]
    Unreadable(String),
}

impl From<MigrateError> for StoreError {
    fn from(error: MigrateError) -> Self {
        match error {
            MigrateError::VersionMissing(version) => Self::Newer(version),
            error => Self::Migrate(error),
        }
    }
}

/// How a writing transaction begins: it takes the write lock at once, so it cannot fail half way for lack of it.
pub(super) const BEGIN: &str = "BEGIN IMMEDIATE";

/// The embedded database of one appliance.
#[derive(Clone, Debug)]
pub struct Db {
    read: SqlitePool,
    write: SqlitePool,
    folder: Arc<Path>,
}

impl Db {
    /// Opens `waybill.db` in `folder`; makes and migrates folder and database if needed.
    pub async fn open(folder: &Path) -> Result<Self, StoreError> {
        make_private_folder(folder)?;
        may_be_written(folder)?;
        let file = folder.join(DATABASE);
        not_emptied(folder, &file)?;
        if !file.exists() {
            OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .open(&file)
                .map_err(|source| StoreError::Folder { path: file.clone(), source })?;
        }
        let options = SqliteConnectOptions::new()
            .filename(&file)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT)
            .statement_cache_capacity(STATEMENTS_CACHED);
        // A power cut may take migrations back, in order, and the next start makes them again. The writer's first commit
        // syncs what came before it.
        let migrating = options.clone().synchronous(SqliteSynchronous::Normal);
        let mut first = migrating.connect().await.map_err(|error| unopened(&file, error))?;
        check_version(&mut first).await?;
        let lock = Lock::wait(&folder.join(MIGRATE_LOCK))?;
        migrator().run(&mut first).await?;
        drop(lock);
        // The rollback journal of a statement is kept in memory: a group commit changes more pages than SQLite keeps
        // there by default, and each would create, write and remove a temporary file.
        let prepared = pool(1)
            .after_connect(|connection, _| Box::pin(group::prepare(connection)))
            .after_release(|connection, _| Box::pin(is_fit_to_begin(connection)));
        let write = prepared.connect_with(options.clone().pragma("temp_store", "MEMORY")).await?;
        // Not earlier: closing the last connection would fold in the write-ahead log.
        first.close().await?;
        let read = pool(READERS_MAX).connect_with(options.read_only(true)).await?;
        let folder = folder.canonicalize().map_err(|source| StoreError::Folder { path: folder.to_owned(), source })?;
        Ok(Self { read, write, folder: folder.into() })
    }

    /// The data folder, absolute.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Readers; a query here never waits for a writer.
    pub(super) fn reader(&self) -> &SqlitePool {
        &self.read
    }

    /// The one writer, for a single statement.
    pub(super) fn writer(&self) -> &SqlitePool {
        &self.write
    }

    /// As if the disk had become read-only.
    #[cfg(test)]
    pub(crate) async fn set_read_only(&self, yes: bool) {
        let pragma = if yes { "PRAGMA query_only = ON" } else { "PRAGMA query_only = OFF" };
        sqlx::query(pragma).execute(self.writer()).await.unwrap();
    }

    /// As if another program were writing to it: nothing is committed until the returned value is dropped.
    #[cfg(test)]
    pub(crate) async fn keep_busy(&self) -> impl Sized {
        self.begin().await.unwrap()
    }

    /// The steps of the plan that a statement is carried out by.
    #[cfg(test)]
    pub(super) async fn plan(&self, statement: &str) -> Vec<String> {
        let explained = sqlx::query(sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {statement}")));
        let steps = explained.fetch_all(self.reader()).await.unwrap();
        steps.iter().map(|step| step.get(3)).collect()
    }

    /// A transaction of the one writer.
    pub(super) async fn begin(&self) -> sqlx::Result<Transaction<'static, Sqlite>> {
        self.write.begin_with(BEGIN).await
    }

    /// The size of the database, without its write-ahead log.
    pub async fn size_bytes(&self) -> Result<u64, StoreError> {
        let row = sqlx::query("SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()");
        Ok(row.fetch_one(&self.read).await?.try_get::<i64, _>(0)?.unsigned_abs())
    }

    /// Closes both pools; the write-ahead log is folded in.
    pub async fn close(&self) {
        self.read.close().await;
        self.write.close().await;
    }
}

fn pool(connections_max: u32) -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .max_connections(connections_max)
        .min_connections(1)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
        .acquire_timeout(Duration::from_secs(30))
}

/// Whether a returning connection can begin another transaction; if not, it is replaced by a new one.
///
/// If the disk is full or fails, `SQLite` rolls a transaction back by itself
/// (<https://sqlite.org/lang_transaction.html>). The ROLLBACK that follows fails, and the connection would count as
/// within a transaction for ever.
async fn is_fit_to_begin(connection: &mut SqliteConnection) -> sqlx::Result<bool> {
    if connection.is_in_transaction() {
        // The ROLLBACK of a dropped transaction may still be queued: this is answered after it.
        connection.ping().await?;
    }
    Ok(!connection.is_in_transaction())
}

/// SQLite's primary result code, if the error has one: <https://sqlite.org/rescode.html>.
pub(super) fn primary_code(error: &sqlx::Error) -> Option<u32> {
    const PRIMARY: u32 = 0xff;
    let code: u32 = error.as_database_error()?.code()?.parse().ok()?;
    Some(code & PRIMARY)
}

/// Whoever only reads needs that, too: for the lock of the migrations and for SQLite's index of the write-ahead log
/// (<https://sqlite.org/wal.html>, "Read-Only Databases").
fn may_be_written(folder: &Path) -> Result<(), StoreError> {
    rustix::fs::access(folder, Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK).map_err(|errno| {
        let why = format!(
            "its folder cannot be written ({errno}), which commands that only show something need, too. Run it as the \
             user that Waybill runs as, or on a copy of the folder: --data"
        );
        StoreError::Unopened { path: folder.join(DATABASE), why }
    })
}

/// An empty database is that of a first start that got no further, or has lost all that it held: then there is more in
/// the folder.
fn not_emptied(folder: &Path, file: &Path) -> Result<(), StoreError> {
    let is_empty = || std::fs::metadata(file).is_ok_and(|found| found.is_file() && found.len() == 0);
    if !is_empty() {
        return Ok(());
    }
    let failed = |source| StoreError::Folder { path: folder.to_owned(), source };
    let names = std::fs::read_dir(folder).map_err(failed)?.flatten().map(|entry| entry.file_name());
    let mut names = names.map(|name| name.to_string_lossy().into_owned());
    match names.find(|name| !name.starts_with(DATABASE) && !OF_A_NEW_FOLDER.contains(&name.as_str())) {
        // Another process may have got on with its first start meanwhile.
        Some(more) if is_empty() => {
            let why = format!(
                "it is empty, but this is no new data folder: it holds {more}. Put the database back from a backup with \
                 'waybill restore', or remove the empty file to begin with nothing set and nothing recorded"
            );
            Err(StoreError::Unopened { path: file.to_owned(), why })
        }
        _ => Ok(()),
    }
}

/// SQLite says only that it was unable to open the file (`SQLITE_CANTOPEN`).
fn unopened(file: &Path, error: sqlx::Error) -> StoreError {
    const CANTOPEN: u32 = 14;
    if primary_code(&error) != Some(CANTOPEN) {
        return error.into();
    }
    let why = if file.is_dir() {
        "it is a folder; Waybill keeps its database in a file of that name".to_owned()
    } else if file.as_os_str().len() > PATH_BYTES_MAX {
        format!("its path is too long; choose a data folder so that it has {PATH_BYTES_MAX} bytes at most")
    } else if let Err(errno) = rustix::fs::access(file, Access::READ_OK | Access::WRITE_OK) {
        format!("{errno}; it must belong to the user that Waybill runs as")
    } else {
        error.to_string()
    };
    StoreError::Unopened { path: file.to_owned(), why }
}

async fn check_version(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    let text: String = sqlx::query("SELECT sqlite_version()").fetch_one(connection).await?.try_get(0)?;
    let mut numbers = text.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    let mut next = || numbers.next().unwrap_or(0);
    if (next(), next(), next()) < SQLITE_VERSION_MIN { Err(StoreError::SqliteTooOld(text)) } else { Ok(()) }
}

fn migrator() -> Migrator {
    Migrator::with_migrations(
        MIGRATIONS
            .iter()
            .map(|(version, name, sql)| {
                Migration::new(*version, (*name).into(), MigrationType::Simple, sql.into_sql_str(), false)
            })
            .collect(),
    )
}

/// Makes a folder that only this user can enter.
pub fn make_private_folder(folder: &Path) -> Result<(), StoreError> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|source| StoreError::Folder { path: folder.to_owned(), source })
}

/// A lock between processes; released when dropped, or by a crash.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "holding the file is holding the lock")] File);

impl Lock {
    /// Waits until no other process holds it.
    pub fn wait(path: &Path) -> Result<Self, StoreError> {
        Self::take(path, rustix::fs::FlockOperation::LockExclusive)
    }

    /// Takes it; `None`: another process holds it.
    pub fn try_take(path: &Path) -> Result<Option<Self>, StoreError> {
        match Self::take(path, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
            Err(StoreError::Folder { source, .. }) if source.kind() == ErrorKind::WouldBlock => Ok(None),
            taken => taken.map(Some),
        }
    }

    fn take(path: &Path, how: rustix::fs::FlockOperation) -> Result<Self, StoreError> {
        let failed = |source| StoreError::Folder { path: path.to_owned(), source };
        let file =
            OpenOptions::new().create(true).write(true).truncate(false).mode(0o600).open(path).map_err(failed)?;
        rustix::fs::flock(&file, how).map_err(|errno| failed(errno.into()))?;
        Ok(Self(file))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    #[tokio::test]
    async fn a_database_of_a_newer_version_is_left_alone_and_that_is_said() {
        const NEWER: &str = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
             VALUES (999999, 'of a newer version', 1, x'00', 1)";
        let folder = tempfile::tempdir().unwrap();
        let db = Db::open(folder.path()).await.unwrap();
        sqlx::query(NEWER).execute(db.writer()).await.unwrap();
        drop(db);
        let error = Db::open(folder.path()).await.unwrap_err().to_string();
        assert!(error.contains("newer version of Waybill (migration 999999;"), "{error}");
        assert!(error.ends_with("restore a backup made before the change"), "{error}");
    }

    #[tokio::test]
    async fn a_database_that_cannot_be_opened_says_why() {
        let folder = tempfile::tempdir().unwrap();
        let said = async |folder: &Path| Db::open(folder).await.unwrap_err().to_string();
        std::fs::create_dir(folder.path().join(DATABASE)).unwrap();
        let error = said(folder.path()).await;
        assert!(error.contains("waybill.db: it is a folder"), "{error}");
        let mut long = folder.path().to_owned();
        long.extend(["n".repeat(200), "n".repeat(200), "n".repeat(200)]);
        let error = said(&long).await;
        assert!(error.contains("waybill.db: its path is too long"), "{error}");
    }

    #[tokio::test]
    async fn an_emptied_database_is_no_first_start() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(DATABASE);
        // A first start that a crash ended.
        for left in [DATABASE, SERVE_LOCK, MIGRATE_LOCK] {
            std::fs::write(folder.path().join(left), "").unwrap();
        }
        Db::open(folder.path()).await.unwrap().close().await;
        std::fs::create_dir(folder.path().join("partners")).unwrap();
        Db::open(folder.path()).await.unwrap().close().await;
        std::fs::write(&file, "").unwrap();
        let error = Db::open(folder.path()).await.unwrap_err().to_string();
        assert!(
            error.contains("waybill.db: it is empty, but this is no new data folder: it holds partners. "),
            "{error}"
        );
        assert_eq!(std::fs::metadata(&file).unwrap().len(), 0);
        // As the error says.
        std::fs::remove_file(&file).unwrap();
        Db::open(folder.path()).await.unwrap().close().await;
    }

    /// Prepares every `const NAME: &str = "…SQL…";` of this folder, and every one that a macro of its file begins,
    /// against a migrated database: what `query!` would check, without its second build of SQLite.
    #[tokio::test]
    async fn every_statement_prepares() {
        let folder = tempfile::tempdir().unwrap();
        let db = Db::open(folder.path()).await.unwrap();
        let literal = r#""((?:[^"\\]|\\.)*)""#;
        let pattern = |text: String| regex::Regex::new(&format!("(?s){text}")).unwrap();
        let constant = pattern(format!(r"const ([A-Z0-9_]+): &str =\s*(?:(\w+)!\(\s*)?{literal}\s*\)?;"));
        let beginning =
            pattern(format!(r"macro_rules! (\w+) \{{\s*\(\$rest:literal\) => \{{\s*concat!\(\s*{literal},\s*\$rest"));
        let continued = pattern(r"\\\n\s*".to_owned());
        let cell = pattern(r":[a-z]\w*".to_owned());
        let mut prepared = 0;
        for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src/store")).unwrap() {
            let path = entry.unwrap().path();
            let text = std::fs::read_to_string(&path).unwrap();
            let text = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
            let beginnings: HashMap<_, _> =
                beginning.captures_iter(text).map(|found| (found[1].to_owned(), found[2].to_owned())).collect();
            for found in constant.captures_iter(text) {
                let begins = found.get(2).and_then(|name| beginnings.get(name.as_str())).map_or("", String::as_str);
                let written = format!("{begins}{}", &found[3]);
                let sql = continued.replace_all(&written, "").replace(r"\\", r"\");
                // In a group commit: values of a row by name.
                let sql = cell.replace_all(&sql, "?");
                if !["SELECT", "INSERT", "UPDATE", "DELETE"].iter().any(|verb| sql.starts_with(verb)) {
                    continue;
                }
                let explained = sqlx::query(sqlx::AssertSqlSafe(format!("EXPLAIN {sql}")));
                if let Err(error) = explained.fetch_all(db.writer()).await {
                    panic!("{} {}: {error}", path.display(), &found[1]);
                }
                prepared += 1;
            }
        }
        assert!(prepared > 200, "only {prepared} statements were found: the pattern no longer fits");
    }

    /// 2 means memory in SQLite's pragma.
    #[tokio::test]
    async fn the_writer_keeps_what_it_would_undo_in_memory_and_syncs_every_commit() {
        let folder = tempfile::tempdir().unwrap();
        let db = Db::open(folder.path()).await.unwrap();
        for (pragma, expected) in [("PRAGMA temp_store", 2), ("PRAGMA synchronous", 2)] {
            let row = sqlx::query(pragma).fetch_one(db.writer()).await.unwrap();
            assert_eq!(row.get::<i64, _>(0), expected, "{pragma}");
        }
    }

    #[tokio::test]
    async fn after_a_full_disk_the_writer_begins_again() {
        use crate::base::clock::{Clock, Timestamp};
        use crate::base::id::IdSource;
        use crate::domain::event::EventKind;
        use crate::store::event::{self, Event};

        const LARGE: &str = "INSERT INTO watched (item, at_us) VALUES (hex(zeroblob(100000)), 1)";
        let folder = tempfile::tempdir().unwrap();
        let db = Db::open(folder.path()).await.unwrap();
        // No page may be added: to SQLite the disk is full. The limit belongs to the connection.
        sqlx::query("PRAGMA max_page_count = 1").execute(db.writer()).await.unwrap();
        let mut tx = db.begin().await.unwrap();
        let error = sqlx::query(LARGE).execute(&mut *tx).await.unwrap_err();
        assert!(error.to_string().contains("full"), "{error}");
        drop(tx);
        // Dropping a transaction leaves the writer as it was.
        drop(db.begin().await.unwrap());
        let ids = IdSource::seeded(Clock::System, 7);
        let told = Event::new(&ids, EventKind::Recovered, Timestamp::from_us(1), "room was made");
        event::record(&db, &told).await.unwrap();
        assert_eq!(event::find(&db, &told.id).await.unwrap(), Some(told));
    }

    #[tokio::test]
    async fn a_second_start_finds_the_database_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        Db::open(folder.path()).await.unwrap().close().await;
        Db::open(folder.path()).await.unwrap().close().await;
        assert!(Lock::try_take(&folder.path().join("serve.lock")).unwrap().is_some());
    }

    #[test]
    fn a_lock_that_cannot_be_made_is_not_one_that_is_held() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("serve.lock");
        let held = Lock::try_take(&path).unwrap();
        assert!(held.is_some() && Lock::try_take(&path).unwrap().is_none());
        // As if the folder could not be written.
        let error = Lock::try_take(&folder.path().join("none").join("serve.lock")).unwrap_err();
        assert!(error.to_string().contains("No such file"), "{error}");
    }
}
