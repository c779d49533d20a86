//! Secrets that must be readable: sealed in the database, opened here, never printed.

use super::certificate::{SealError, Sealer};
use crate::base::secret::Secret;
use crate::store::setting::Change;
use crate::store::{Db, StoreError, secret};

/// Seals and opens secrets; cheap to clone.
#[derive(Clone, Debug)]
pub struct Secrets {
    db: Db,
    sealer: Sealer,
}

/// Why a secret is not available.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The master key.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Secrets {
    /// From the database and the master key of the data folder.
    pub async fn open(db: Db, data: &std::path::Path) -> Result<Self, SealError> {
        let sealer = Sealer::open(&db, data).await?;
        Ok(Self { db, sealer })
    }

    /// Replaces the secret of that name. `subject` is its owner, for the audit.
    pub async fn put(
        &self,
        name: &str,
        secret: &Secret,
        subject: &str,
        change: &Change<'_>,
    ) -> Result<(), SecretError> {
        let sealed = self.sealer.seal_for(&bound_to(name), secret.reveal().as_bytes())?;
        Ok(secret::put(&self.db, name, &sealed, subject, change).await?)
    }

    /// The secret of that name, if there is one that this appliance can open.
    pub async fn get(&self, name: &str) -> Result<Option<Secret>, SecretError> {
        let Some(sealed) = secret::get(&self.db, name).await? else { return Ok(None) };
        let opened = self.sealer.unseal_for(&bound_to(name), &sealed)?;
        let text = String::from_utf8(opened).map_err(|_| SealError::Foreign)?;
        Ok(Some(Secret::new(text)))
    }
}

fn bound_to(name: &str) -> Vec<u8> {
    [b"waybill secret ".as_slice(), name.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::{Clock, Timestamp};
    use crate::base::id::IdSource;

    #[tokio::test]
    async fn a_secret_comes_back_for_its_name_and_is_nowhere_in_clear() {
        let folder = tempfile::tempdir().unwrap();
        let db = Db::open(folder.path()).await.unwrap();
        let secrets = Secrets::open(db.clone(), folder.path()).await.unwrap();
        let ids = IdSource::random(Clock::System);
        let change = Change { who: "test", remote: "", at: Timestamp::default(), ids: &ids };
        assert!(secrets.get("webhook erp").await.unwrap().is_none());
        for text in ["first", "very secret words"] {
            secrets.put("webhook erp", &Secret::new(text), "connector erp", &change).await.unwrap();
        }
        assert_eq!(secrets.get("webhook erp").await.unwrap().unwrap().reveal(), "very secret words");
        let sealed = secret::get(&db, "webhook erp").await.unwrap().unwrap();
        assert!(!sealed.windows(6).any(|part| part == b"secret"));
        secret::put(&db, "webhook other", &sealed, "connector other", &change).await.unwrap();
        assert!(secrets.get("webhook other").await.is_err(), "what is sealed for one name opens for no other");
    }
}
