//! Argon2id in a bounded pool: hashing takes 19 MiB and some 30 ms of a core each, so at most one per core runs.

use std::sync::Arc;

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use rand::seq::IndexedRandom;
use tokio::sync::Semaphore;

use crate::base::cores;
use crate::base::secret::Secret;

/// Characters of a generated password: 24 of 56, about 139 bits, none that looks like another.
const GENERATED_CHARS: usize = 24;
/// Passwords of one name that may be in force: the present one, and for a while the one before.
const HASHES_MAX: usize = 2;
const ALPHABET: &[u8] = b"abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789";

/// Hashing could not be done.
#[derive(Debug, thiserror::Error)]
#[error("could not hash the password: {0}")]
pub struct HashError(String);

/// Hashes and verifies, a bounded number at a time.
#[derive(Clone, Debug)]
pub struct Hasher {
    permits: Arc<Semaphore>,
    /// What an unknown name is checked against, so that it takes the time of a known one.
    decoy: Arc<String>,
}

impl Hasher {
    /// At most one hash per core at a time.
    pub fn new() -> Result<Self, HashError> {
        let decoy = hash_now(&generate())?;
        Ok(Self { permits: Arc::new(Semaphore::new(cores::count())), decoy: Arc::new(decoy) })
    }

    /// The hash to store, PHC form.
    pub async fn hash(&self, password: &Secret) -> Result<String, HashError> {
        let password = password.clone();
        self.run(move || hash_now(&password)).await?
    }

    /// Which of `hashes` the password belongs to. Where it is none of them, as many verifications ran as for a full list:
    /// time does not tell who has how many.
    pub async fn verify(&self, password: &Secret, hashes: Vec<String>) -> Result<Option<usize>, HashError> {
        let (password, decoy) = (password.clone(), Arc::clone(&self.decoy));
        self.run(move || {
            let found = hashes.iter().position(|hash| verify_now(&password, hash));
            if found.is_none() {
                for _ in hashes.len()..HASHES_MAX {
                    verify_now(&password, &decoy);
                }
            }
            found
        })
        .await
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, HashError> {
        let stopped = |_| HashError("the appliance is stopping".to_owned());
        let _permit = self.permits.acquire().await.map_err(stopped)?;
        tokio::task::spawn_blocking(work).await.map_err(|error| HashError(error.to_string()))
    }
}

/// A password that nobody can guess.
pub fn generate() -> Secret {
    let mut random = rand::rng();
    let text: String =
        (0..GENERATED_CHARS).filter_map(|_| ALPHABET.choose(&mut random).copied().map(char::from)).collect();
    Secret::new(text)
}

/// Hashes on this thread, for the command line.
pub fn hash_now(password: &Secret) -> Result<String, HashError> {
    let made: argon2::password_hash::Result<PasswordHash> =
        Argon2::default().hash_password(password.reveal().as_bytes());
    made.map(|hash| hash.to_string()).map_err(|error| HashError(error.to_string()))
}

fn verify_now(password: &Secret, hash: &str) -> bool {
    let parsed = PasswordHash::new(hash);
    parsed.is_ok_and(|stored| Argon2::default().verify_password(password.reveal().as_bytes(), &stored).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_verifies_against_its_own_hash_only() {
        let hasher = Hasher::new().unwrap();
        let (one, two) = (generate(), generate());
        let stored = vec![hasher.hash(&one).await.unwrap(), hasher.hash(&two).await.unwrap()];
        assert!(stored[0].starts_with("$argon2id$"));
        assert_eq!(hasher.verify(&two, stored.clone()).await.unwrap(), Some(1));
        assert_eq!(hasher.verify(&Secret::new("wrong"), stored).await.unwrap(), None);
        assert_eq!(hasher.verify(&one, Vec::new()).await.unwrap(), None);
        assert_eq!(one.len(), GENERATED_CHARS);
    }
}
