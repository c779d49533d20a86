//! Puts a backup back, in two steps. First it is read to its end, inspected and laid beside the data in use; then,
//! while no server uses the data folder, it replaces them. The old data is moved aside as a whole; nothing is removed.
//!
//! Always: after a crash between any two moves the next start continues.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::{BackupError, KEY, archive};
use crate::base::clock::Clock;
use crate::base::id::IdSource;
use crate::base::secret::Secret;
use crate::store::Db;
use crate::store::backup::{self, Contents};
use crate::store::journal::JOURNAL;
use crate::store::open::{DATABASE, Lock, SERVE_LOCK, make_private_folder};
use crate::store::setting::Change;

/// Beneath the data folder: an inspected backup that takes its place at the next start.
const WANTED: &str = ".waybill-restore-wanted";
/// Within: the name of the folder that the data in use are moved to.
const ASIDE: &str = "aside";

/// What was put back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// Its contents.
    pub contents: Contents,
    /// Where the old data lie now; `None`: there were none.
    pub before: Option<PathBuf>,
}

/// A backup to put back, and who asked for it.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// Its file.
    pub file: &'a Path,
    /// What it opens with.
    pub passphrase: &'a Secret,
    /// The name of whoever wants it, for the audit.
    pub who: &'a str,
    /// Where they are.
    pub remote: &'a str,
}

/// Reads a backup into `folder` and inspects it.
pub(super) async fn unpack(file: &Path, passphrase: &Secret, folder: &Path) -> Result<Contents, BackupError> {
    let (from, to, passphrase) = (file.to_owned(), folder.to_owned(), passphrase.clone());
    let read = move || archive::read(&from, &passphrase, &[DATABASE, KEY], &to);
    tokio::task::spawn_blocking(read).await.map_err(io::Error::other)??;
    Ok(backup::look(&folder.join(DATABASE)).await?)
}

/// Replaces the contents of the data folder with the backup. It is read and inspected first: a damaged one changes
/// nothing.
pub async fn restore(data: &Path, wanted: Wanted<'_>, clock: &Clock) -> Result<Restored, BackupError> {
    make_private_folder(data)?;
    let _nobody_else = Lock::try_take(&data.join(SERVE_LOCK))?.ok_or(BackupError::InUse)?;
    let contents = prepare(data, wanted, clock).await?;
    Ok(Restored { contents, before: put_in_place(data)? })
}

/// Lays the backup beside the data in use, for [`put_in_place`]. Nobody stays signed in from the time it was made, and
/// its audit tells who put it back.
pub(super) async fn prepare(data: &Path, wanted: Wanted<'_>, clock: &Clock) -> Result<Contents, BackupError> {
    let scratch = tempfile::Builder::new().prefix(super::SCRATCH).tempdir_in(data)?;
    let contents = unpack(wanted.file, wanted.passphrase, scratch.path()).await?;
    let (now, ids) = (clock.now(), IdSource::random(clock.clone()));
    let change = Change { who: wanted.who, remote: wanted.remote, at: now, ids: &ids };
    let name = wanted.file.file_name().unwrap_or_default().to_string_lossy();
    let db = Db::open(scratch.path()).await?;
    let taken_over = backup::take_over(&db, &name, &change).await;
    db.close().await;
    taken_over?;
    if scratch.path().join(format!("{DATABASE}-wal")).exists() {
        return Err(io::Error::other("its database could not be closed").into());
    }
    let mut aside = File::create_new(scratch.path().join(ASIDE))?;
    aside.write_all(format!("before-restore-{}", now.to_string().replace(['-', ':'], "")).as_bytes())?;
    aside.sync_all()?;
    File::open(scratch.path().join(DATABASE))?.sync_all()?;
    File::open(scratch.path())?.sync_all()?;
    let place = data.join(WANTED);
    if place.exists() {
        std::fs::remove_dir_all(&place)?;
    }
    std::fs::rename(scratch.keep(), &place)?;
    File::open(data)?.sync_all()?;
    Ok(contents)
}

/// Puts in place what [`prepare`] has laid there; nobody uses the data folder. Returns where the old data lie now;
/// `None`: there was nothing to put back, or no old data.
///
/// # Errors
/// A file could not be moved; the next call continues where this one stopped.
pub fn put_in_place(data: &Path) -> Result<Option<PathBuf>, BackupError> {
    let wanted = data.join(WANTED);
    let Ok(aside) = std::fs::read_to_string(wanted.join(ASIDE)) else { return Ok(None) };
    let aside = data.join(aside);
    // The key goes first: a database without its key would make a new one. Whatever is no longer in the backup is in
    // place.
    let with_it = [DATABASE.to_owned(), format!("{DATABASE}-wal"), format!("{DATABASE}-shm"), JOURNAL.to_owned()];
    for (part, old) in [(KEY, &[KEY.to_owned()][..]), (DATABASE, &with_it[..])] {
        if !wanted.join(part).exists() {
            continue;
        }
        for one in old.iter().filter(|one| data.join(one).exists()) {
            move_to(&data.join(one), &aside.join(one))?;
        }
        move_to(&wanted.join(part), &data.join(part))?;
    }
    std::fs::remove_dir_all(&wanted)?;
    File::open(data)?.sync_all()?;
    Ok(aside.exists().then_some(aside))
}

/// Moves a file, and syncs its destination.
fn move_to(from: &Path, to: &Path) -> Result<(), BackupError> {
    if let Some(parent) = to.parent() {
        make_private_folder(parent)?;
        std::fs::rename(from, to)?;
        File::open(parent)?.sync_all()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A data folder with a backup laid beside the data in use.
    fn laid_out() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        for (name, text) in [(DATABASE, "old"), ("waybill.db-wal", "old log"), (KEY, "old key")] {
            write(name, text);
        }
        for (name, text) in [(DATABASE, "new"), (KEY, "new key"), (ASIDE, "before")] {
            write(&format!("{WANTED}/{name}"), text);
        }
        folder
    }

    fn read(folder: &Path, name: &str) -> String {
        std::fs::read_to_string(folder.join(name)).unwrap_or_default()
    }

    /// The moves that [`put_in_place`] makes, in order.
    const MOVES: [(&str, &str); 5] = [
        (KEY, "before/keys/master.key"),
        (".waybill-restore-wanted/keys/master.key", KEY),
        (DATABASE, "before/waybill.db"),
        ("waybill.db-wal", "before/waybill.db-wal"),
        (".waybill-restore-wanted/waybill.db", DATABASE),
    ];

    #[test]
    fn a_crash_after_any_move_is_gone_on_with_and_loses_nothing() {
        for done in 0..=MOVES.len() {
            let folder = laid_out();
            for (from, to) in &MOVES[..done] {
                let to = folder.path().join(to);
                std::fs::create_dir_all(to.parent().unwrap()).unwrap();
                std::fs::rename(folder.path().join(from), to).unwrap();
            }
            let before = put_in_place(folder.path()).unwrap();
            assert_eq!(before, Some(folder.path().join("before")), "after {done} moves");
            let (data, aside) = (folder.path(), folder.path().join("before"));
            assert_eq!((read(data, DATABASE), read(data, KEY)), ("new".to_owned(), "new key".to_owned()), "{done}");
            assert_eq!((read(&aside, DATABASE), read(&aside, KEY)), ("old".to_owned(), "old key".to_owned()), "{done}");
            assert_eq!(read(&aside, "waybill.db-wal"), "old log", "after {done} moves");
            assert!(!data.join("waybill.db-wal").exists() && !data.join(WANTED).exists(), "after {done} moves");
            assert_eq!(put_in_place(data).unwrap(), None, "once is enough");
        }
    }
}
