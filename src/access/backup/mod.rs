//! Backups: the database at one moment and the master key, in one encrypted file; tried, and put back. They do not
//! include partners' files.

mod archive;
mod restore;

use std::cmp::Reverse;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

pub use self::restore::{Restored, Wanted, put_in_place, restore};
use super::secrets::{SecretError, Secrets};
use crate::base::clock::{Clock, Timestamp};
use crate::base::human;
use crate::base::secret::Secret;
use crate::domain::appliance::ApplianceSettings;
use crate::domain::event::EventKind;
use crate::store::backup::{self, Contents};
use crate::store::event::Event;
use crate::store::open::{DATABASE, make_private_folder};
use crate::store::{Db, StoreError, watched};

/// The name under which the passphrase is sealed.
pub const PASSPHRASE: &str = "backup passphrase";
/// What is told once until it is over.
const FAILED: &str = "backup_failed";
/// The master key beneath the data folder, and in a backup.
const KEY: &str = "keys/master.key";
/// The prefix of folders for work in progress.
const SCRATCH: &str = ".waybill-backup-";
/// After this time nobody works in one any longer, not even another process.
const SCRATCH_AGE_MAX: Duration = Duration::from_hours(12);
/// The name of a backup's file, around its time.
const NAME: (&str, &str) = ("waybill-", ".tar.gz.age");

/// Why there is no backup, or why one is unreadable.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// Nobody could open it.
    #[error("no passphrase is set: set one in Settings, Backup, or with waybill backup passphrase --passphrase-stdin")]
    NoPassphrase,
    /// It does not open.
    #[error("the passphrase doesn't open it: it is the one that was set when the backup was made")]
    WrongPassphrase,
    /// It is not there, or not for this process to read.
    #[error("it cannot be read ({0})")]
    Unreadable(String),
    /// It is something else.
    #[error("it is no backup of Waybill")]
    NotABackup,
    /// It is damaged.
    #[error("it is damaged: it was cut short or changed since it was made. Take another one, or a copy of it")]
    Damaged,
    /// A part is missing.
    #[error("{0} is missing in it")]
    Incomplete(String),
    /// A server uses the data folder.
    #[error("a server runs on this data folder: stop it first")]
    InUse,
    /// Reading or writing failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The sealed passphrase.
    #[error(transparent)]
    Secret(#[from] SecretError),
}

/// A backup in the folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backup {
    /// The name of its file.
    pub name: String,
    /// Its bytes.
    pub size_bytes: u64,
    /// When it was made.
    pub made_at: Timestamp,
}

/// The result of a try, which changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tried {
    /// In the backup.
    pub backup: Contents,
    /// In use now.
    pub now: Contents,
}

/// Makes and reads backups; cheap to clone.
#[derive(Clone, Debug)]
pub struct Backups {
    db: Db,
    data: PathBuf,
    secrets: Secrets,
    clock: Clock,
    /// One at a time.
    turn: Arc<tokio::sync::Mutex<()>>,
}

impl Backups {
    /// Of the appliance with this data folder.
    pub fn new(db: Db, data: PathBuf, secrets: Secrets, clock: Clock) -> Self {
        Self { db, data, secrets, clock, turn: Arc::default() }
    }

    /// Their folder.
    pub fn folder(&self, settings: &ApplianceSettings) -> PathBuf {
        self.data.join(settings.backup_folder.as_str())
    }

    /// Whether a passphrase is set.
    pub async fn has_passphrase(&self) -> Result<bool, BackupError> {
        Ok(self.secrets.get(PASSPHRASE).await?.is_some())
    }

    /// The existing backups, newest first; none if there is no folder.
    pub fn list(&self, settings: &ApplianceSettings) -> io::Result<Vec<Backup>> {
        let entries = match std::fs::read_dir(self.folder(settings)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut backups = Vec::new();
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if let (Some(made_at), true) = (time_of(&name), entry.file_type()?.is_file()) {
                backups.push(Backup { size_bytes: entry.metadata()?.len(), made_at, name });
            }
        }
        backups.sort_by(|one, other| other.name.cmp(&one.name));
        Ok(backups)
    }

    /// When the newest of them was made, up to now: a later one was made while the clock was ahead, and proves nothing.
    pub fn newest(&self, settings: &ApplianceSettings) -> io::Result<Option<Timestamp>> {
        let now = self.clock.now();
        Ok(self.list(settings)?.into_iter().map(|backup| backup.made_at).find(|made_at| *made_at <= now))
    }

    /// The file of a backup by its name, if it is in the folder.
    pub fn file(&self, settings: &ApplianceSettings, name: &str) -> Option<PathBuf> {
        let there = self.list(settings).ok()?.into_iter().any(|backup| backup.name == name);
        there.then(|| self.folder(settings).join(name))
    }

    /// Makes one and removes the oldest beyond `backup_keep`. A failed backup leaves nothing behind.
    pub async fn make(&self, settings: &ApplianceSettings) -> Result<Backup, BackupError> {
        let _turn = self.turn.lock().await;
        let passphrase = self.secrets.get(PASSPHRASE).await?.ok_or(BackupError::NoPassphrase)?;
        let folder = self.folder(settings);
        make_private_folder(&folder)?;
        let scratch = self.scratch()?;
        let copy = scratch.path().join(DATABASE);
        backup::copy_to(&self.db, &copy).await?;
        let (key, made_at) = (self.data.join(KEY), self.clock.now());
        let name = name_at(made_at);
        let file = folder.join(&name);
        let write = move || -> io::Result<u64> {
            // Plaintext never leaves the data folder: backups may lie on another machine's disk.
            let part = tempfile::Builder::new().prefix(SCRATCH).tempdir_in(&folder)?;
            let written = part.path().join("part");
            archive::write(&written, &[(DATABASE, &copy), (KEY, &key)], &passphrase)?;
            let size = std::fs::metadata(&written)?.len();
            std::fs::rename(&written, &file)?;
            std::fs::File::open(&folder)?.sync_all()?;
            drop((scratch, part));
            Ok(size)
        };
        let size_bytes = tokio::task::spawn_blocking(write).await.map_err(io::Error::other)??;
        // Those named by a clock that was ahead are older than they say.
        let mut others = self.list(settings)?;
        others.retain(|backup| backup.name != name);
        others.sort_by_key(|backup| Reverse((backup.made_at <= made_at, backup.made_at)));
        for old in others.into_iter().skip(settings.backup_keep.count() - 1) {
            std::fs::remove_file(self.folder(settings).join(old.name))?;
        }
        if let Err(error) = self.forget_failed().await {
            tracing::error!(%error, "Could not record that backups are made again; the next one records it");
        }
        Ok(Backup { name, size_bytes, made_at })
    }

    /// Tells that none could be made in a night: once until one is made, also over restarts.
    pub async fn tell_failed(&self, event: &Event) -> Result<(), StoreError> {
        if watched::all(&self.db).await?.contains_key(FAILED) {
            return Ok(());
        }
        watched::tell(&self.db, FAILED, event).await
    }

    /// The next one that fails is told again.
    pub async fn forget_failed(&self) -> Result<(), StoreError> {
        watched::end(&self.db, FAILED).await
    }

    /// A folder for what is in clear, which goes when it is dropped.
    fn scratch(&self) -> io::Result<tempfile::TempDir> {
        tempfile::Builder::new().prefix(SCRATCH).tempdir_in(&self.data)
    }

    /// Removes what a crash left while a backup was made or tried.
    pub fn sweep(&self, settings: &ApplianceSettings) -> io::Result<()> {
        for folder in [self.data.clone(), self.folder(settings)] {
            let entries = match std::fs::read_dir(&folder) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                entries => entries?,
            };
            for entry in entries {
                let entry = entry?;
                let since = Timestamp::from_us(entry.metadata()?.mtime().saturating_mul(1_000_000));
                let is_old = self.clock.now().since(since) > SCRATCH_AGE_MAX;
                if entry.file_name().to_string_lossy().starts_with(SCRATCH) && is_old {
                    std::fs::remove_dir_all(entry.path())?;
                }
            }
        }
        Ok(())
    }

    /// Reads a backup and compares it with the data in use; changes nothing.
    pub async fn try_one(&self, file: &Path, passphrase: Option<Secret>) -> Result<Tried, BackupError> {
        let passphrase = self.passphrase(passphrase.unwrap_or_else(|| Secret::new(""))).await?;
        let scratch = self.scratch()?;
        let backup = restore::unpack(file, &passphrase, scratch.path()).await?;
        Ok(Tried { backup, now: backup::contents(&self.db).await? })
    }

    /// Lays a backup beside the data in use; it replaces them when the appliance starts again.
    pub async fn prepare(&self, wanted: Wanted<'_>) -> Result<Contents, BackupError> {
        let _turn = self.turn.lock().await;
        let (data, clock) = (self.data.clone(), self.clock.clone());
        let (file, passphrase) = (wanted.file.to_owned(), wanted.passphrase.clone());
        let (who, remote) = (wanted.who.to_owned(), wanted.remote.to_owned());
        let runtime = tokio::runtime::Handle::current();
        // A database is opened on one thread: migrations cannot move to another.
        let prepared = tokio::task::spawn_blocking(move || {
            let wanted = Wanted { file: &file, passphrase: &passphrase, who: &who, remote: &remote };
            runtime.block_on(restore::prepare(&data, wanted, &clock))
        });
        prepared.await.map_err(io::Error::other)?
    }

    /// The passphrase to open it with: the typed one, otherwise the one that is set.
    ///
    /// # Errors
    /// [`BackupError::NoPassphrase`]: neither.
    pub async fn passphrase(&self, typed: Secret) -> Result<Secret, BackupError> {
        if !typed.is_empty() {
            return Ok(typed);
        }
        self.secrets.get(PASSPHRASE).await?.ok_or(BackupError::NoPassphrase)
    }
}

/// The outcome, for an event.
pub fn told(made: &Result<Backup, BackupError>) -> (EventKind, String) {
    match made {
        Ok(backup) => {
            let size = human::size(backup.size_bytes);
            (EventKind::BackupMade, format!("The backup {} was made: {size}", backup.name))
        }
        Err(error) => (EventKind::BackupFailed, format!("A backup could not be made: {error}")),
    }
}

/// `waybill-20261128T020000.000000Z.tar.gz.age`: names sort by time.
fn name_at(at: Timestamp) -> String {
    let time = at.to_string().replace(['-', ':'], "");
    format!("{}{time}{}", NAME.0, NAME.1)
}

fn time_of(name: &str) -> Option<Timestamp> {
    let time = name.strip_prefix(NAME.0)?.strip_suffix(NAME.1)?;
    let (date, clock) = (time.get(..8)?, time.get(9..15)?);
    let rest = time.get(15..)?;
    let text = format!(
        "{}-{}-{}T{}:{}:{}{rest}",
        date.get(..4)?,
        date.get(4..6)?,
        date.get(6..)?,
        clock.get(..2)?,
        clock.get(2..4)?,
        clock.get(4..)?
    );
    Timestamp::parse_rfc3339(&text)
}

/// Whether one is due: the newest was made before the last occurrence of the time `at`, on a clock that is `offset_s`
/// seconds ahead of UTC.
pub fn is_due(newest: Option<Timestamp>, at_minutes: u16, (now, offset_s): (Timestamp, i32)) -> bool {
    const DAY_US: i64 = 86_400_000_000;
    let ahead_us = i64::from(offset_s) * 1_000_000;
    let local = now.us() + ahead_us;
    let today = local.div_euclid(DAY_US) * DAY_US + i64::from(at_minutes) * 60_000_000;
    let last = if today <= local { today } else { today - DAY_US };
    newest.is_none_or(|newest| newest.us() + ahead_us < last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::id::IdSource;
    use crate::domain::connector::ConnectorId;
    use crate::domain::setting::Texts;
    use crate::store::setting::Change;
    use crate::store::{connector, event};

    fn at(text: &str) -> Timestamp {
        Timestamp::parse_rfc3339(text).unwrap()
    }

    #[test]
    fn names_tell_the_time_and_a_backup_is_due_once_a_day() {
        let made = at("2026-11-28T02:00:00.5Z");
        let name = name_at(made);
        assert_eq!(name, "waybill-20261128T020000.500000Z.tar.gz.age");
        assert_eq!(time_of(&name), Some(made));
        for foreign in
            ["waybill-.tar.gz.age", "notes.txt", "waybill-20261128T020000.500000Z.tar.gz.age.part", "waybill-ä"]
        {
            assert_eq!(time_of(foreign), None, "{foreign}");
        }
        let half_past_two = 2 * 60 + 30;
        for (newest, now, due) in [
            (None, "2026-11-28T12:00:00Z", true),
            (Some("2026-11-27T02:30:00Z"), "2026-11-28T02:29:59Z", false),
            (Some("2026-11-27T02:30:00Z"), "2026-11-28T02:30:00Z", true),
            (Some("2026-11-28T02:30:05Z"), "2026-11-28T23:59:59Z", false),
            (Some("2026-11-20T00:00:00Z"), "2026-11-28T01:00:00Z", true),
        ] {
            assert_eq!(is_due(newest.map(at), half_past_two, (at(now), 0)), due, "{newest:?} {now}");
        }
        // 02:30 in Berlin is 01:30 in UTC.
        assert!(is_due(Some(at("2026-11-28T01:29:59Z")), half_past_two, (at("2026-11-28T01:30:00Z"), 3_600)));
    }

    /// An appliance that keeps two backups: its data folder, its backups, its settings.
    async fn appliance() -> (tempfile::TempDir, Backups, ApplianceSettings) {
        let folder = tempfile::tempdir().unwrap();
        let db = Db::open(folder.path()).await.unwrap();
        let secrets = Secrets::open(db.clone(), folder.path()).await.unwrap();
        let backups = Backups::new(db, folder.path().to_owned(), secrets, Clock::fixed(at("2026-11-28T02:00:00Z")));
        let texts = Texts::from([("backup_keep".to_owned(), "2".to_owned())]);
        (folder, backups, ApplianceSettings::parse(&texts).unwrap())
    }

    #[tokio::test]
    async fn a_backup_is_made_tried_kept_in_count_and_put_back() {
        let (folder, backups, settings) = appliance().await;
        let Backups { db, secrets, clock, .. } = &backups;
        let ids = IdSource::random(clock.clone());
        let change = Change { who: "test", remote: "", at: clock.now(), ids: &ids };
        assert!(matches!(backups.make(&settings).await, Err(BackupError::NoPassphrase)));
        let passphrase = Secret::new("a long passphrase");
        secrets.put(PASSPHRASE, &passphrase, "backups", &change).await.unwrap();
        connector::add(db, &ConnectorId::parse("acme").unwrap(), &Texts::new(), None, &change).await.unwrap();
        let first = backups.make(&settings).await.unwrap();
        assert_eq!(backups.list(&settings).unwrap(), std::slice::from_ref(&first));
        let file = backups.file(&settings, &first.name).unwrap();
        let bytes = std::fs::read(&file).unwrap();
        assert!(bytes.starts_with(b"age-encryption.org/v1\n-> scrypt ") && bytes.len() > 1_000);
        assert!(backups.file(&settings, "../keys/master.key").is_none());

        connector::add(db, &ConnectorId::parse("later").unwrap(), &Texts::new(), None, &change).await.unwrap();
        let tried = backups.try_one(&file, None).await.unwrap();
        assert_eq!((tried.backup.connectors, tried.now.connectors), (1, 2));
        let wrong = backups.try_one(&file, Some(Secret::new("another"))).await;
        assert!(matches!(wrong, Err(BackupError::WrongPassphrase)), "{wrong:?}");
        let damaged = folder.path().join("damaged");
        let mut changed = bytes.clone();
        changed[bytes.len() / 2] ^= 1;
        let cut = [bytes.len() / 2, bytes.len() - 100, bytes.len() - 1].map(|size| bytes[..size].to_vec());
        for bytes in [changed].into_iter().chain(cut) {
            std::fs::write(&damaged, &bytes).unwrap();
            let tried = backups.try_one(&damaged, None).await;
            assert!(matches!(tried, Err(BackupError::Damaged)), "{tried:?} of {} bytes", bytes.len());
        }
        std::fs::write(&damaged, "hello").unwrap();
        assert!(matches!(backups.try_one(&damaged, None).await, Err(BackupError::NotABackup)));

        for _ in 0..2 {
            clock.advance(Duration::from_hours(24));
            backups.make(&settings).await.unwrap();
        }
        let kept = backups.list(&settings).unwrap();
        assert!(kept.len() == 2 && !kept.contains(&first), "{kept:?}");
        let left: Vec<_> = std::fs::read_dir(backups.folder(&settings)).unwrap().collect();
        assert_eq!(left.len(), 2, "nothing else stays there: {left:?}");

        // What a crash left is removed; what another process works in stays.
        for (name, hours) in [(".waybill-backup-left", 13), (".waybill-backup-busy", 1), ("kept", 99)] {
            let scratch = folder.path().join(name);
            std::fs::create_dir(&scratch).unwrap();
            std::fs::write(scratch.join(DATABASE), "in clear").unwrap();
            let now = Duration::from_micros(clock.now().us().unsigned_abs());
            let since = std::time::UNIX_EPOCH + now - Duration::from_hours(hours);
            std::fs::File::open(&scratch).unwrap().set_modified(since).unwrap();
        }
        backups.sweep(&settings).unwrap();
        let there = |name: &str| folder.path().join(name).exists();
        assert!(!there(".waybill-backup-left") && there(".waybill-backup-busy") && there("kept"));

        // Put back into another data folder, and over this one.
        std::fs::write(&damaged, &bytes).unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        let wanted = |passphrase| Wanted { file: &damaged, passphrase, who: "mira", remote: "" };
        let restored = restore(elsewhere.path(), wanted(&passphrase), clock).await.unwrap();
        assert_eq!((restored.contents.connectors, restored.before), (1, None));
        let fresh = Db::open(elsewhere.path()).await.unwrap();
        assert_eq!(connector::all(&fresh).await.unwrap().len(), 1);
        let opened = Secrets::open(fresh, elsewhere.path()).await.unwrap().get(PASSPHRASE).await.unwrap();
        assert_eq!(opened, Some(passphrase.clone()), "the keys came along");
        db.close().await;
        let restored = restore(folder.path(), wanted(&passphrase), clock).await.unwrap();
        let before = restored.before.unwrap();
        assert!(before.join(DATABASE).exists() && before.join("keys/master.key").exists(), "nothing is lost");
        let db = Db::open(folder.path()).await.unwrap();
        assert_eq!(connector::all(&db).await.unwrap().len(), 1);
        let wrong = restore(folder.path(), wanted(&Secret::new("no")), clock).await;
        assert!(matches!(wrong, Err(BackupError::WrongPassphrase)));
    }

    #[tokio::test]
    async fn what_was_made_while_the_clock_was_ahead_tells_no_day_and_goes_first() {
        let (_folder, backups, settings) = appliance().await;
        let Backups { secrets, clock, .. } = &backups;
        let ids = IdSource::random(clock.clone());
        let change = Change { who: "test", remote: "", at: clock.now(), ids: &ids };
        secrets.put(PASSPHRASE, &Secret::new("a long passphrase"), "backups", &change).await.unwrap();
        let later = Clock::fixed(clock.now().plus(Duration::from_hours(400 * 24)));
        let ahead = Backups { clock: later, ..backups.clone() };
        for _ in 0..2 {
            ahead.make(&settings).await.unwrap();
            ahead.clock.advance(Duration::from_secs(1));
        }
        assert_eq!(backups.newest(&settings).unwrap(), None, "none of them tells when one was made last");
        let now = backups.make(&settings).await.unwrap();
        assert_eq!(backups.newest(&settings).unwrap(), Some(now.made_at));
        let kept = backups.list(&settings).unwrap();
        assert!(kept.len() == 2 && kept.contains(&now), "{kept:?}");
        clock.advance(Duration::from_hours(24));
        let next = backups.make(&settings).await.unwrap();
        assert_eq!(backups.list(&settings).unwrap(), [next, now], "those of then go first");
    }

    #[tokio::test]
    async fn a_night_without_a_backup_is_told_once_until_one_is_made_or_none_is_wanted() {
        let (_folder, backups, settings) = appliance().await;
        let Backups { db, secrets, clock, .. } = &backups;
        let ids = IdSource::random(clock.clone());
        let change = Change { who: "test", remote: "", at: clock.now(), ids: &ids };
        let fail = async || {
            let (kind, summary) = told(&Err(BackupError::NoPassphrase));
            backups.tell_failed(&Event::new(&ids, kind, clock.now(), summary)).await.unwrap();
            event::count_since(db, EventKind::BackupFailed, Timestamp::default()).await.unwrap()
        };
        assert_eq!([fail().await, fail().await], [1, 1]);
        secrets.put(PASSPHRASE, &Secret::new("a long passphrase"), "backups", &change).await.unwrap();
        backups.make(&settings).await.unwrap();
        assert_eq!([fail().await, fail().await], [2, 2]);
        backups.forget_failed().await.unwrap();
        assert_eq!([fail().await, fail().await], [3, 3]);
    }
}
