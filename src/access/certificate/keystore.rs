//! Seals private keys: XChaCha20-Poly1305 with a master key that is stored beside the database, never in it. A sealed
//! key is bound to the id of its certificate. Neither key can be printed.

use std::fmt;
use std::fs::{File, OpenOptions, Permissions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use zeroize::Zeroizing;

use crate::base::id::CertificateId;
use crate::store::open::make_private_folder;
use crate::store::{Db, StoreError, secret};

/// Beneath the data folder.
const FOLDER: &str = "keys";
/// Beneath that.
const FILE: &str = "master.key";
const MASTER_BYTES: usize = 32;
const NONCE_BYTES: usize = 24;
/// First byte of sealed data: the format.
const FORM: u8 = 1;
/// Also bound to a sealed key, before its certificate's id.
const PURPOSE: &[u8] = b"waybill certificate key ";

/// A private key in one of the DER forms that TLS libraries read; wiped when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyDer(Zeroizing<Vec<u8>>);

impl KeyDer {
    /// Takes the bytes.
    pub fn new(der: Vec<u8>) -> Self {
        Self(Zeroizing::new(der))
    }

    /// The bytes, for signing and sealing.
    pub(super) fn reveal(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for KeyDer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyDer(..)")
    }
}

/// Why keys cannot be sealed or opened.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The master key's file.
    #[error("could not use {path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// There is none, but the database has what was sealed with one.
    #[error(
        "{0} is missing, and the keys of certificates and the secrets in the database open only with it. Put it back \
         from a backup: the file itself, or all of it with 'waybill restore'. To go on without it, make a new one, for \
         example with: head -c {MASTER_BYTES} /dev/urandom > {0}. Certificates must then be added and secrets be set anew"
    )]
    Lost(PathBuf),
    /// Whether there is anything sealed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Not a valid master key.
    #[error("{0} is damaged: it doesn't hold 32 bytes. Put it back from a backup")]
    Damaged(PathBuf),
    /// Not sealed with this key for this certificate.
    #[error(
        "its private key can't be opened with keys/master.key. Put that file back from a backup, or add the \
         certificate anew"
    )]
    Foreign,
}

/// Seals and opens private keys; cheap to clone.
#[derive(Clone)]
pub struct Sealer(Zeroizing<[u8; MASTER_BYTES]>);

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealer(..)")
    }
}

impl Sealer {
    /// Reads the master key of the data folder; makes it at first use, never in place of one that something was sealed
    /// with. Readable only by this user.
    pub async fn open(db: &Db, data: &Path) -> Result<Self, SealError> {
        // Asked first: another process may be making the first key, and seals with it after that.
        let is_needed = secret::any_sealed(db).await?;
        Self::read_or_make(data, is_needed)
    }

    fn read_or_make(data: &Path, is_needed: bool) -> Result<Self, SealError> {
        let folder = data.join(FOLDER);
        let path = folder.join(FILE);
        let failed = |source| SealError::File { path: path.clone(), source };
        make_private_folder(&folder).map_err(|error| failed(std::io::Error::other(error.to_string())))?;
        tighten(&folder, 0o700);
        match read(&path) {
            Err(SealError::File { source, .. }) if source.kind() == ErrorKind::NotFound => {
                if is_needed {
                    return Err(SealError::Lost(path));
                }
                make(&folder, &path).map_err(failed)?;
                read(&path)
            }
            found => {
                tighten(&path, 0o600);
                found
            }
        }
    }

    /// Seals `key` for the certificate `id`.
    pub fn seal(&self, id: &CertificateId, key: &KeyDer) -> Result<Vec<u8>, SealError> {
        self.seal_for(&bound_to(id), key.reveal())
    }

    /// Seals bytes that open only for the same purpose.
    pub(in crate::access) fn seal_for(&self, purpose: &[u8], bytes: &[u8]) -> Result<Vec<u8>, SealError> {
        let nonce: [u8; NONCE_BYTES] = rand::random();
        let payload = Payload { msg: bytes, aad: purpose };
        // The cipher fails only for texts of more than 256 GiB.
        let sealed = self.cipher().encrypt(&XNonce::from(nonce), payload).map_err(|_| SealError::Foreign)?;
        Ok([&[FORM], nonce.as_slice(), &sealed].concat())
    }

    /// Opens what [`Sealer::seal`] returned for the same certificate.
    pub fn unseal(&self, id: &CertificateId, sealed: &[u8]) -> Result<KeyDer, SealError> {
        Ok(KeyDer::new(self.unseal_for(&bound_to(id), sealed)?))
    }

    /// Opens what [`Sealer::seal_for`] returned for the same purpose.
    pub(in crate::access) fn unseal_for(&self, purpose: &[u8], sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        let (form, rest) = sealed.split_first().ok_or(SealError::Foreign)?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_BYTES>().ok_or(SealError::Foreign)?;
        if *form != FORM {
            return Err(SealError::Foreign);
        }
        let payload = Payload { msg: sealed, aad: purpose };
        self.cipher().decrypt(&XNonce::from(*nonce), payload).map_err(|_| SealError::Foreign)
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new(&Key::from(*self.0))
    }
}

fn bound_to(id: &CertificateId) -> Vec<u8> {
    [PURPOSE, id.as_str().as_bytes()].concat()
}

fn read(path: &Path) -> Result<Sealer, SealError> {
    let failed = |source| SealError::File { path: path.to_owned(), source };
    let mut found = Zeroizing::new(Vec::with_capacity(MASTER_BYTES + 1));
    let file = File::open(path).map_err(failed)?;
    // Reads one byte more than expected, to see that there is none.
    file.take(MASTER_BYTES as u64 + 1).read_to_end(&mut found).map_err(failed)?;
    let master = <[u8; MASTER_BYTES]>::try_from(found.as_slice()).map_err(|_| SealError::Damaged(path.to_owned()))?;
    Ok(Sealer(Zeroizing::new(master)))
}

/// Makes the master key aside and links it into place: whoever comes second uses the first one's.
fn make(folder: &Path, path: &Path) -> std::io::Result<()> {
    let aside = folder.join(format!("{FILE}.{:016x}", rand::random::<u64>()));
    let linked = write_new(&aside).and_then(|()| match std::fs::hard_link(&aside, path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        result => result,
    });
    let _ = std::fs::remove_file(&aside);
    linked?;
    File::open(folder)?.sync_all()
}

fn write_new(path: &Path) -> std::io::Result<()> {
    let master: Zeroizing<[u8; MASTER_BYTES]> = Zeroizing::new(rand::random());
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(master.as_slice())?;
    file.sync_all()
}

/// Removes the permissions of others. A folder that belongs to somebody else stays as it is, which is logged.
fn tighten(path: &Path, mode: u32) {
    let Ok(found) = std::fs::metadata(path) else { return };
    if found.permissions().mode() & 0o077 != 0
        && let Err(error) = std::fs::set_permissions(path, Permissions::from_mode(mode))
    {
        tracing::warn!(path = %path.display(), %error, "Others may read the master key of the certificate store");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::Clock;
    use crate::base::id::IdSource;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn what_is_sealed_opens_for_its_certificate_only() {
        let folder = tempfile::tempdir().unwrap();
        let ids = IdSource::random(Clock::System);
        let (id, other) = (CertificateId::new(&ids), CertificateId::new(&ids));
        let sealer = Sealer::read_or_make(folder.path(), false).unwrap();
        let key = KeyDer::new(b"not a key at all".to_vec());
        let closed = sealer.seal(&id, &key).unwrap();
        assert!(!closed.windows(5).any(|part| part == b"a key"));
        assert_ne!(closed, sealer.seal(&id, &key).unwrap());
        assert_eq!(Sealer::read_or_make(folder.path(), false).unwrap().unseal(&id, &closed).unwrap(), key);
        assert!(matches!(sealer.unseal(&other, &closed), Err(SealError::Foreign)));
        for at in 0..closed.len() {
            let mut changed = closed.clone();
            changed[at] ^= 1;
            assert!(sealer.unseal(&id, &changed).is_err(), "byte {at}");
            assert!(sealer.unseal(&id, &closed[..at]).is_err(), "{at} bytes");
        }
        assert_eq!(format!("{sealer:?} {key:?}"), "Sealer(..) KeyDer(..)");
    }

    #[test]
    fn only_this_user_may_read_the_master_key() {
        let folder = tempfile::tempdir().unwrap();
        Sealer::read_or_make(folder.path(), false).unwrap();
        let (keys, file) = (folder.path().join("keys"), folder.path().join("keys/master.key"));
        assert_eq!((mode(&keys), mode(&file)), (0o700, 0o600));
        assert_eq!(std::fs::read_dir(&keys).unwrap().count(), 1, "nothing is left aside");
        std::fs::set_permissions(&keys, Permissions::from_mode(0o755)).unwrap();
        std::fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
        Sealer::read_or_make(folder.path(), false).unwrap();
        assert_eq!((mode(&keys), mode(&file)), (0o700, 0o600));
    }

    #[test]
    fn whoever_comes_second_keeps_the_first_ones_key() {
        let folder = tempfile::tempdir().unwrap();
        let open = || *Sealer::read_or_make(folder.path(), false).unwrap().0;
        let keys: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(open)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(keys.iter().all(|key| *key == keys[0]));
    }

    #[test]
    fn a_damaged_master_key_is_said_and_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        Sealer::read_or_make(folder.path(), false).unwrap();
        let file = folder.path().join("keys/master.key");
        for wrong in [0, 31, 33] {
            std::fs::write(&file, vec![7; wrong]).unwrap();
            assert!(matches!(Sealer::read_or_make(folder.path(), false), Err(SealError::Damaged(_))), "{wrong} bytes");
            assert_eq!(std::fs::read(&file).unwrap().len(), wrong);
        }
    }

    #[test]
    fn a_lost_master_key_is_not_replaced_but_by_hand() {
        let folder = tempfile::tempdir().unwrap();
        let lost = Sealer::read_or_make(folder.path(), true).unwrap_err().to_string();
        let file = folder.path().join("keys/master.key");
        assert!(lost.starts_with(&format!("{} is missing, ", file.display())), "{lost}");
        assert!(lost.contains(&format!("head -c 32 /dev/urandom > {}. ", file.display())), "{lost}");
        assert!(!file.exists());
        std::fs::write(&file, [7; 32]).unwrap();
        assert_eq!(*Sealer::read_or_make(folder.path(), true).unwrap().0, [7; 32]);
        assert_eq!(mode(&file), 0o600);
    }
}
