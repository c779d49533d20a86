//! One-time passes with which *Test connection* signs in without knowing a partner's password.
//!
//! Always: a pass opens one connector, once, within [`VALID_FOR`], and only for a client on this very host. It is kept
//! only in memory, as a digest; the partner's own password is not affected.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::password;
use crate::base::clock::Timestamp;
use crate::base::lock::lock;
use crate::base::secret::Secret;

/// How long a pass is valid.
pub const VALID_FOR: Duration = Duration::from_mins(1);
/// The most unused passes; no further one is made before others expire.
pub const PASSES_MAX: usize = 100;

/// Where a client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    /// On this host: it comes from loopback, or from the very address it connects to.
    Here,
    /// Anywhere else.
    Elsewhere,
}

#[derive(Debug)]
struct Waiting {
    digest: [u8; 32],
    until: Timestamp,
}

/// The unused passes, one for each connector.
#[derive(Clone, Debug, Default)]
pub struct TestPasses(Arc<Mutex<HashMap<String, Waiting>>>);

impl TestPasses {
    /// A pass for the connector (its id in lower case), replacing an unused one; `None` if there are too many.
    pub fn issue(&self, connector_key: &str, now: Timestamp) -> Option<Secret> {
        let pass = password::generate();
        let mut waiting = lock(&self.0);
        waiting.retain(|_, one| now < one.until);
        if waiting.len() >= PASSES_MAX && !waiting.contains_key(connector_key) {
            return None;
        }
        let one = Waiting { digest: digest(&pass), until: now.plus(VALID_FOR) };
        waiting.insert(connector_key.to_owned(), one);
        Some(pass)
    }

    /// Whether `password` is the pass of that connector, which is then used up.
    pub fn redeem(&self, connector_key: &str, password: &Secret, client: Client, now: Timestamp) -> bool {
        let mut waiting = lock(&self.0);
        let Some(one) = waiting.get(connector_key) else { return false };
        let right = bool::from(one.digest.ct_eq(&digest(password))) && client == Client::Here && now < one.until;
        if right {
            waiting.remove(connector_key);
        }
        right
    }
}

fn digest(pass: &Secret) -> [u8; 32] {
    Sha256::digest(pass.reveal().as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pass_opens_one_connector_once_from_here_within_a_minute() {
        let (passes, now) = (TestPasses::default(), Timestamp::from_us(0));
        let pass = passes.issue("acme", now).unwrap();
        assert!(!passes.redeem("globex", &pass, Client::Here, now), "another connector");
        assert!(!passes.redeem("acme", &Secret::new("guess"), Client::Here, now), "another word");
        assert!(!passes.redeem("acme", &pass, Client::Elsewhere, now), "from elsewhere");
        assert!(passes.redeem("acme", &pass, Client::Here, now));
        assert!(!passes.redeem("acme", &pass, Client::Here, now), "twice");
        let older = passes.issue("acme", now).unwrap();
        let newer = passes.issue("acme", now).unwrap();
        assert!(!passes.redeem("acme", &older, Client::Here, now), "replaced");
        assert!(!passes.redeem("acme", &newer, Client::Here, now.plus(VALID_FOR)), "too late");
    }

    #[test]
    fn only_so_many_wait() {
        let (passes, now) = (TestPasses::default(), Timestamp::from_us(0));
        for n in 0..PASSES_MAX {
            assert!(passes.issue(&n.to_string(), now).is_some());
        }
        assert!(passes.issue("one more", now).is_none() && passes.issue("7", now).is_some());
        assert!(passes.issue("one more", now.plus(VALID_FOR)).is_some());
    }
}
