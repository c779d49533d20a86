//! Argon2id in a bounded pool: each hash takes 19 MiB and some 30 ms of a core, so at most one per core runs.

use std::sync::{Arc, Mutex};

use argon2::password_hash::PasswordHasher;
use argon2::password_hash::phc::{Output, PasswordHash};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use rand::seq::IndexedRandom;
use tokio::sync::Semaphore;

use crate::base::cores;
use crate::base::lock::lock;
use crate::base::secret::Secret;

/// Characters of a generated password: 24 out of 56, about 139 bits; no two look alike.
const GENERATED_CHARS: usize = 24;
/// Passwords of one name in force at a time: the present one, and for a while the previous one.
const HASHES_MAX: usize = 2;
/// The hash for unknown names, so that they take the same time as known ones. It is nobody's: nothing asks whether a
/// password matches it.
const DECOY: &str = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
const ALPHABET: &[u8] = b"abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789";

/// Hashing failed.
#[derive(Debug, thiserror::Error)]
#[error("could not hash the password: {0}")]
pub struct HashError(String);

/// Hashes and verifies, a bounded number at a time.
#[derive(Clone, Debug)]
pub struct Hasher {
    permits: Arc<Semaphore>,
    /// The working memory of verifications, one block each. Returned to the allocator it would long stay in the arena
    /// of the thread that asked for it, and wrong passwords alone would make the process hundreds of megabytes larger.
    memory: Arc<Mutex<Vec<Vec<Block>>>>,
}

impl Default for Hasher {
    /// At most one hash per core at a time.
    fn default() -> Self {
        Self { permits: Arc::new(Semaphore::new(cores::count())), memory: Arc::default() }
    }
}

impl Hasher {
    /// The hash to store, PHC form.
    pub async fn hash(&self, password: &Secret) -> Result<String, HashError> {
        let password = password.clone();
        self.run(move || hash_now(&password)).await?
    }

    /// Which of `hashes` the password matches. If none, as many verifications ran as for a full list: timing does not
    /// reveal how many there are.
    pub async fn verify(&self, password: &Secret, hashes: Vec<String>) -> Result<Option<usize>, HashError> {
        let (password, free) = (password.clone(), Arc::clone(&self.memory));
        self.run(move || {
            let mut memory = lock(&free).pop().unwrap_or_default();
            let found = hashes.iter().position(|hash| verify_in(&mut memory, &password, hash) == Some(true));
            if found.is_none() {
                for _ in hashes.len()..HASHES_MAX {
                    verify_in(&mut memory, &password, DECOY);
                }
            }
            lock(&free).push(memory);
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

/// Whether it is the password of that hash, computed in that memory; `None` if the hash is invalid.
fn verify_in(memory: &mut Vec<Block>, password: &Secret, hash: &str) -> Option<bool> {
    let stored = PasswordHash::new(hash).ok()?;
    let (salt, wanted) = (stored.salt.as_ref()?, stored.hash.as_ref()?);
    let algorithm = Algorithm::try_from(stored.algorithm.as_str()).ok()?;
    let version = stored.version.map_or(Ok(Version::default()), Version::try_from).ok()?;
    let argon2 = Argon2::new(algorithm, version, Params::try_from(&stored).ok()?);
    if memory.len() < argon2.params().block_count() {
        memory.resize(argon2.params().block_count(), Block::default());
    }
    let mut bytes = [0; Output::MAX_LENGTH];
    let bytes = bytes.get_mut(..wanted.len())?;
    argon2.hash_password_into_with_memory(password.reveal().as_bytes(), salt, bytes, memory).ok()?;
    // In a time that does not reveal how much of it was right.
    Some(*wanted == Output::new(bytes).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_name_takes_the_work_of_a_known_one() {
        let work = |hash: &str| {
            let hash = PasswordHash::new(hash).unwrap();
            let lengths = (hash.salt.unwrap().len(), hash.hash.unwrap().len());
            (hash.algorithm, hash.version, hash.params, lengths)
        };
        assert_eq!(work(DECOY), work(&hash_now(&generate()).unwrap()));
        assert_eq!(verify_in(&mut Vec::new(), &generate(), DECOY), Some(false), "it is hashed to the end");
    }

    #[tokio::test]
    async fn a_password_verifies_against_its_own_hash_only() {
        let hasher = Hasher::default();
        let (one, two) = (generate(), generate());
        let stored = vec![hasher.hash(&one).await.unwrap(), hasher.hash(&two).await.unwrap()];
        assert!(stored[0].starts_with("$argon2id$"));
        assert_eq!(hasher.verify(&two, stored.clone()).await.unwrap(), Some(1));
        assert_eq!(hasher.verify(&Secret::new("wrong"), stored).await.unwrap(), None);
        assert_eq!(hasher.verify(&one, Vec::new()).await.unwrap(), None);
        assert_eq!(one.len(), GENERATED_CHARS);
    }

    #[tokio::test]
    async fn what_was_hashed_before_in_the_same_memory_makes_no_difference() {
        let hasher = Hasher::default();
        let stored = |password: &str, params: Params| {
            Argon2::from(params).hash_password(password.as_bytes()).unwrap().to_string()
        };
        let small = stored("small", Params::new(64, 1, 2, Some(16)).unwrap());
        let large = stored("large", Params::new(40 * 1024, 1, 1, None).unwrap());
        for (password, right) in [("small", Some(0)), ("large", Some(1)), ("small", Some(0)), ("other", None)] {
            let both = vec![small.clone(), large.clone()];
            assert_eq!(hasher.verify(&Secret::new(password), both).await.unwrap(), right, "{password}");
        }
        assert_eq!(lock(&hasher.memory).len(), 1, "one after the other needs one");
        assert_eq!(hasher.verify(&Secret::new("x"), vec!["no hash".to_owned()]).await.unwrap(), None);
    }
}
