//! The file of a backup: a gzipped tar archive, encrypted with a passphrase by age. `age -d FILE | tar xz` opens it
//! too.

use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::Path;

use age::secrecy::SecretString;
use age::{DecryptError, Decryptor, Encryptor, scrypt};
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;

use super::BackupError;
use crate::base::secret::Secret;

/// Base-2 logarithm of scrypt's cost (RFC 7914): some tenths of a second.
const WORK_FACTOR: u8 = 16;
/// Above that a file demands more work than any made here or by the usual tools.
const WORK_FACTOR_MAX: u8 = 20;

/// Writes `parts`, each with its name in the archive, to `file`, synced.
pub(super) fn write(file: &Path, parts: &[(&str, &Path)], passphrase: &Secret) -> io::Result<()> {
    let mut recipient = scrypt::Recipient::new(SecretString::from(passphrase.reveal().to_owned()));
    recipient.set_work_factor(WORK_FACTOR);
    let encryptor = Encryptor::with_recipients(std::iter::once(&recipient as &dyn age::Recipient));
    let output = encryptor.map_err(io::Error::other)?.wrap_output(private(file)?)?;
    let mut archive = tar::Builder::new(GzEncoder::new(output, Compression::fast()));
    for (name, path) in parts {
        archive.append_path_with_name(path, name)?;
    }
    let written = archive.into_inner()?.finish()?.finish()?;
    written.sync_all()
}

/// A new file that only this user may read.
fn private(file: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    File::options().write(true).create_new(true).mode(0o600).open(file)
}

/// Reads the parts of those names into files of the same names below `folder`; each must exist. Others are skipped.
pub(super) fn read(file: &Path, passphrase: &Secret, names: &[&str], folder: &Path) -> Result<(), BackupError> {
    let unread = |error: io::Error| {
        let words = error.to_string();
        BackupError::Unreadable(words.split(" (os error").next().unwrap_or_default().to_owned())
    };
    let input = BufReader::new(File::open(file).map_err(unread)?);
    let decryptor = Decryptor::new_buffered(input).map_err(|_| BackupError::NotABackup)?;
    if !decryptor.is_scrypt() {
        return Err(BackupError::NotABackup);
    }
    let mut identity = scrypt::Identity::new(SecretString::from(passphrase.reveal().to_owned()));
    identity.set_max_work_factor(WORK_FACTOR_MAX);
    let opened = decryptor.decrypt(std::iter::once(&identity as &dyn age::Identity));
    let opened = opened.map_err(|error| match error {
        DecryptError::InvalidHeader | DecryptError::InvalidMac => BackupError::Damaged,
        DecryptError::Io(error) => unreadable(error),
        _ => BackupError::WrongPassphrase,
    })?;
    take_out(&mut tar::Archive::new(GzDecoder::new(opened)), names, folder)
}

/// Encryption authenticates the contents by itself.
fn unreadable(error: io::Error) -> BackupError {
    match error.kind() {
        io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => BackupError::Damaged,
        _ => error.into(),
    }
}

fn take_out(archive: &mut tar::Archive<impl Read>, names: &[&str], folder: &Path) -> Result<(), BackupError> {
    let mut missing: Vec<_> = names.to_vec();
    for entry in archive.entries().map_err(unreadable)? {
        let mut entry = entry.map_err(unreadable)?;
        let path = entry.path()?.into_owned();
        let Some(at) = missing.iter().position(|name| Path::new(name) == path) else { continue };
        let to = folder.join(missing.swap_remove(at));
        if let Some(parent) = to.parent() {
            crate::store::open::make_private_folder(parent)?;
        }
        let mut written = private(&to)?;
        io::copy(&mut entry, &mut written).map_err(unreadable)?;
        written.flush()?;
        written.sync_all()?;
    }
    match missing.first() {
        None => Ok(()),
        Some(name) => Err(BackupError::Incomplete((*name).to_owned())),
    }
}
