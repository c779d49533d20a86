//! The one password gate of FTP and web. A right password costs argon2 once and microseconds afterwards; a wrong one is
//! delayed; unknown names get the same work and words as known ones; nobody can lock a partner out from elsewhere.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::guard::{Block, Caller, Guard, Limits};
use super::password::{HashError, Hasher};
use super::test_pass::TestPasses;
use crate::base::clock::{Clock, Timestamp};
use crate::base::lock::lock;
use crate::base::secret::Secret;
use crate::domain::administrator::PASSWORD_BYTES_MAX;

/// Verified logins remembered.
pub const VERIFIED_MAX: usize = 4_096;
/// How long a verified login saves argon2.
pub const VERIFIED_FOR: Duration = Duration::from_mins(10);
/// Addresses whose passwords are being hashed or wait for hashing.
pub const HASHING_ADDRESSES_MAX: usize = 4_096;

/// The gate's answer.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The password is right.
    Accepted,
    /// It is wrong, or there is no such name: answer after this delay.
    Wrong(Duration),
    /// Blocked until then; the password was not checked.
    Blocked(Timestamp),
}

/// Checks passwords for both FTP and web.
#[derive(Clone, Debug)]
pub struct Gate {
    hasher: Hasher,
    clock: Clock,
    key: [u8; 32],
    guard: Arc<Mutex<Guard>>,
    test_passes: TestPasses,
    verified: Arc<Mutex<HashMap<[u8; 32], Timestamp>>>,
    /// One password at a time per address, so that one address cannot fill the queue.
    hashing: Arc<Mutex<HashMap<IpAddr, Arc<tokio::sync::Mutex<()>>>>>,
}

impl Gate {
    /// A gate that remembers nothing yet.
    pub fn new(hasher: Hasher, clock: Clock) -> Self {
        Self {
            hasher,
            clock,
            key: rand::random(),
            guard: Arc::default(),
            test_passes: TestPasses::default(),
            verified: Arc::default(),
            hashing: Arc::default(),
        }
    }

    /// Hashes new passwords.
    pub fn hasher(&self) -> &Hasher {
        &self.hasher
    }

    /// The one-time passes of *Test connection*.
    pub fn test_passes(&self) -> &TestPasses {
        &self.test_passes
    }

    /// Whether `password` is one of `hashes`. `limits`: `None` exempts this caller from the guard.
    pub async fn check(
        &self,
        caller: &Caller<'_>,
        password: &Secret,
        hashes: Vec<String>,
        limits: Option<&Limits>,
    ) -> Result<Verdict, HashError> {
        let tags: Vec<_> = hashes.iter().map(|hash| self.tag(caller.name, password, hash)).collect();
        if let Some(known) = self.known(caller, &tags, limits) {
            return Ok(known);
        }
        let turn = self.turn(caller.address);
        let _turn = turn.lock().await;
        // Of many at once, an earlier one may have failed too often, or shown the right password.
        if let Some(known) = self.known(caller, &tags, limits) {
            return Ok(known);
        }
        let found =
            if password.len() > PASSWORD_BYTES_MAX { None } else { self.hasher.verify(password, hashes).await? };
        let now = self.clock.now();
        if let Some(index) = found {
            self.remember(tags[index], now);
            lock(&self.guard).succeeded(caller, now);
            return Ok(Verdict::Accepted);
        }
        Ok(Verdict::Wrong(limits.map_or(Duration::ZERO, |limits| lock(&self.guard).failed(caller, limits, now))))
    }

    /// Counts a failure of something other than a password, such as a token; returns when to answer it.
    pub fn refused(&self, caller: &Caller<'_>, limits: &Limits) -> Verdict {
        let now = self.clock.now();
        let mut guard = lock(&self.guard);
        match guard.blocked(caller, now) {
            Some(until) => Verdict::Blocked(until),
            None => Verdict::Wrong(guard.failed(caller, limits, now)),
        }
    }

    /// Somebody authenticated without a password.
    pub fn proved(&self, caller: &Caller<'_>) {
        lock(&self.guard).succeeded(caller, self.clock.now());
    }

    /// Partners logged in from these addresses at these times, before this start.
    pub fn trust(&self, came: impl IntoIterator<Item = (IpAddr, Timestamp)>) {
        let (mut guard, now) = (lock(&self.guard), self.clock.now());
        for (address, at) in came {
            guard.trust(address, at, now);
        }
    }

    /// Every block in force.
    pub fn blocks(&self) -> Vec<Block> {
        lock(&self.guard).blocks(self.clock.now())
    }

    /// Until when this caller's password is not checked, if blocked.
    pub fn blocked(&self, caller: &Caller<'_>, limits: Option<&Limits>) -> Option<Timestamp> {
        let by_hand = self.blocked_by_hand(caller);
        by_hand.or_else(|| limits.and_then(|_| lock(&self.guard).blocked(caller, self.clock.now())))
    }

    /// Until when an administrator keeps this caller out, if so; whatever it signs in with.
    pub fn blocked_by_hand(&self, caller: &Caller<'_>) -> Option<Timestamp> {
        lock(&self.guard).blocked_by_hand(caller, self.clock.now())
    }

    /// Blocks an address from the FTP server until then.
    pub fn block(&self, address: IpAddr, until: Timestamp) {
        lock(&self.guard).block(address, until, self.clock.now());
    }

    /// Lifts every block of an address.
    pub fn unblock(&self, address: IpAddr) {
        lock(&self.guard).unblock(address);
    }

    /// The answer, if known without argon2.
    fn known(&self, caller: &Caller<'_>, tags: &[[u8; 32]], limits: Option<&Limits>) -> Option<Verdict> {
        if let Some(until) = self.blocked(caller, limits) {
            return Some(Verdict::Blocked(until));
        }
        tags.iter().any(|tag| self.was_verified(tag)).then(|| {
            lock(&self.guard).succeeded(caller, self.clock.now());
            Verdict::Accepted
        })
    }

    /// The turn of an address, held until its failure is counted.
    fn turn(&self, address: IpAddr) -> Arc<tokio::sync::Mutex<()>> {
        let mut hashing = lock(&self.hashing);
        if hashing.len() >= HASHING_ADDRESSES_MAX {
            hashing.retain(|_, turn| Arc::strong_count(turn) > 1);
        }
        Arc::clone(hashing.entry(address).or_default())
    }

    /// Names and passwords are not kept: only a keyed digest, and only in memory. It includes the stored hash, so a
    /// changed password is forgotten automatically.
    fn tag(&self, name: &str, password: &Secret, hash: &str) -> [u8; 32] {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.key) else { return [0; 32] };
        for part in [name, password.reveal(), hash] {
            mac.update(&(part.len() as u64).to_le_bytes());
            mac.update(part.as_bytes());
        }
        mac.finalize().into_bytes().into()
    }

    fn was_verified(&self, tag: &[u8; 32]) -> bool {
        lock(&self.verified).get(tag).is_some_and(|at| self.clock.now().since(*at) < VERIFIED_FOR)
    }

    fn remember(&self, tag: [u8; 32], now: Timestamp) {
        let mut verified = lock(&self.verified);
        if verified.len() >= VERIFIED_MAX {
            verified.retain(|_, at| now.since(*at) < VERIFIED_FOR);
            if verified.len() >= VERIFIED_MAX {
                verified.clear();
            }
        }
        verified.insert(tag, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::guard::{Door, Known};

    const LIMITS: Limits =
        Limits { failures_max: 3, window: Duration::from_mins(5), block_for: Duration::from_mins(15) };

    #[tokio::test]
    async fn a_right_password_is_remembered_until_its_hash_changes() {
        let clock = Clock::fixed(Timestamp::from_us(0));
        let gate = Gate::new(Hasher::default(), clock.clone());
        let caller =
            Caller { door: Door::Ftp, name: "acme", known: Known::Yes, address: IpAddr::from([203, 0, 113, 1]) };
        let right = Secret::new("correct horse battery");
        let hash = gate.hasher().hash(&right).await.unwrap();
        let ask = |password: &'static str, hash: String| {
            let (gate, caller) = (gate.clone(), caller);
            async move { gate.check(&caller, &Secret::new(password), vec![hash], Some(&LIMITS)).await.unwrap() }
        };
        assert_eq!(ask("correct horse battery", hash.clone()).await, Verdict::Accepted);
        assert!(gate.was_verified(&gate.tag("acme", &right, &hash)));
        let other = gate.hasher().hash(&Secret::new("another password")).await.unwrap();
        assert!(matches!(ask("correct horse battery", other).await, Verdict::Wrong(_)));
        for _ in 0..3 {
            ask("wrong", hash.clone()).await;
        }
        assert!(matches!(ask("correct horse battery", hash.clone()).await, Verdict::Blocked(_)));
        clock.advance(Duration::from_secs(901));
        assert_eq!(ask("correct horse battery", hash).await, Verdict::Accepted);
    }

    #[tokio::test]
    async fn of_many_guesses_at_once_no_more_are_looked_at_than_of_one_after_the_other() {
        let gate = Gate::new(Hasher::default(), Clock::fixed(Timestamp::from_us(0)));
        let hash = gate.hasher().hash(&Secret::new("correct horse battery")).await.unwrap();
        let guesses = (0..12).map(|n| {
            let (gate, hash) = (gate.clone(), hash.clone());
            tokio::spawn(async move {
                let address = IpAddr::from([203, 0, 113, 1]);
                let caller = Caller { door: Door::Ftp, name: "acme", known: Known::Yes, address };
                gate.check(&caller, &Secret::new(format!("guess {n}")), vec![hash], Some(&LIMITS)).await.unwrap()
            })
        });
        let mut looked_at = 0;
        for guess in guesses.collect::<Vec<_>>() {
            looked_at += u32::from(matches!(guess.await.unwrap(), Verdict::Wrong(_)));
        }
        assert_eq!(looked_at, LIMITS.failures_max);
    }
}
