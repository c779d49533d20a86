//! Puts a backup back, into a data folder that no server uses. What was there goes aside as a whole; nothing is removed.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::{BackupError, KEY, archive};
use crate::base::clock::Timestamp;
use crate::base::secret::Secret;
use crate::store::backup::{self, Contents};
use crate::store::open::{DATABASE, Lock, SERVE_LOCK, make_private_folder};

/// What was put back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// What it holds.
    pub contents: Contents,
    /// Where what was there before lies now; `None`: there was nothing.
    pub before: Option<PathBuf>,
}

/// Reads a backup into `folder` and looks into it.
pub(super) async fn unpack(file: &Path, passphrase: &Secret, folder: &Path) -> Result<Contents, BackupError> {
    let (from, to, passphrase) = (file.to_owned(), folder.to_owned(), passphrase.clone());
    let read = move || archive::read(&from, &passphrase, &[DATABASE, KEY], &to);
    tokio::task::spawn_blocking(read).await.map_err(io::Error::other)??;
    Ok(backup::look(&folder.join(DATABASE)).await?)
}

/// Puts the backup in place of what the data folder holds. It is read and looked into first: one that is damaged changes
/// nothing.
pub async fn restore(data: &Path, file: &Path, passphrase: &Secret, now: Timestamp) -> Result<Restored, BackupError> {
    make_private_folder(data)?;
    let _nobody_else = Lock::try_take(&data.join(SERVE_LOCK)).map_err(|_| BackupError::InUse)?;
    let scratch = tempfile::Builder::new().prefix(".waybill-restore-").tempdir_in(data)?;
    let contents = unpack(file, passphrase, scratch.path()).await?;
    let aside = data.join(format!("before-restore-{}", now.to_string().replace(['-', ':'], "")));
    let mut before = None;
    let parts = [DATABASE.to_owned(), format!("{DATABASE}-wal"), format!("{DATABASE}-shm"), KEY.to_owned()];
    for part in &parts {
        if data.join(part).exists() {
            move_to(&data.join(part), &aside.join(part))?;
            before = Some(aside.clone());
        }
    }
    // The key goes first: a database without its key would make a new one.
    for part in [KEY, DATABASE] {
        move_to(&scratch.path().join(part), &data.join(part))?;
    }
    Ok(Restored { contents, before })
}

/// Moves a file, and syncs where it came to.
fn move_to(from: &Path, to: &Path) -> Result<(), BackupError> {
    if let Some(parent) = to.parent() {
        make_private_folder(parent)?;
        std::fs::rename(from, to)?;
        File::open(parent)?.sync_all()?;
    }
    Ok(())
}
