//! The one-time code for the first run. It is printed at start, so only somebody who can read the appliance's output
//! can make the first administrator. It is kept only in memory.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::seq::IndexedRandom;

use super::crowd::counted;
use crate::base::clock::Timestamp;
use crate::base::lock::lock;
use crate::base::secret::Secret;

/// Letters of the code: 12 out of 31, about 59 bits; no two look alike.
const CHARS: usize = 12;
const ALPHABET: &[u8] = b"23456789ABCDEFGHJKLMNPQRSTUVWXYZ";
/// Wrong tries without a penalty.
const FREE_TRIES: u32 = 3;
/// The longest wait after a wrong try.
const WAIT_MAX: Duration = Duration::from_mins(1);

/// Addresses whose tries are counted separately; all others share one count.
const ADDRESSES_MAX: usize = 1_000;

/// The outcome of a try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tried {
    /// It is the code.
    Right,
    /// It is not.
    Wrong,
    /// Too many wrong tries: this one was not checked. The next one counts after this time.
    Wait(Duration),
}

#[derive(Debug, Default)]
struct Tries {
    wrong: u32,
    next_at: Timestamp,
}

/// The code, and the wrong tries by address: a guesser keeps nobody else waiting. Clones share the counts.
#[derive(Clone, Debug)]
pub struct SetupCode {
    code: Secret,
    tries: Arc<Mutex<HashMap<IpAddr, Tries>>>,
}

impl Default for SetupCode {
    fn default() -> Self {
        Self::new()
    }
}

impl SetupCode {
    /// A code that nobody can guess.
    pub fn new() -> Self {
        let mut random = rand::rng();
        let code: String = (0..CHARS).filter_map(|_| ALPHABET.choose(&mut random).copied().map(char::from)).collect();
        Self { code: Secret::new(code), tries: Arc::default() }
    }

    /// The code in printed form: `ABCD-EFGH-JKLM`.
    pub fn printed(&self) -> String {
        let code = self.code.reveal();
        format!("{}-{}-{}", &code[..4], &code[4..8], &code[8..])
    }

    /// Whether `typed` is the code; blanks, dashes and case do not matter. Wrong tries delay the next one.
    pub fn check(&self, typed: &str, (from, now): (IpAddr, Timestamp)) -> Tried {
        let mut all = lock(&self.tries);
        let from = counted(from);
        let is_apart = all.contains_key(&from) || all.len() < ADDRESSES_MAX;
        let tries = all.entry(if is_apart { from } else { Ipv4Addr::UNSPECIFIED.into() }).or_default();
        let wait = tries.next_at.since(now);
        // A longer wait comes from a clock that was ahead.
        if !wait.is_zero() && wait <= WAIT_MAX {
            return Tried::Wait(wait);
        }
        let typed: String = typed.chars().filter(char::is_ascii_alphanumeric).collect();
        if self.code == Secret::new(typed.to_ascii_uppercase()) {
            return Tried::Right;
        }
        tries.wrong = tries.wrong.saturating_add(1);
        let doublings = tries.wrong.saturating_sub(FREE_TRIES);
        if doublings > 0 {
            tries.next_at = now.plus(Duration::from_secs(1 << doublings.min(6)).min(WAIT_MAX));
        }
        Tried::Wrong
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A try from the address whose last part is `number`.
    fn tried(number: u32, seconds: i64) -> (IpAddr, Timestamp) {
        (Ipv4Addr::from_bits(0xcb00_7100 + number).into(), Timestamp::from_us(seconds * 1_000_000))
    }

    #[test]
    fn blanks_dashes_and_case_do_not_matter() {
        let code = SetupCode::new();
        let typed = format!(" {} ", code.printed().to_lowercase().replace('-', " "));
        assert_eq!(code.check(&typed, tried(1, 0)), Tried::Right);
        assert_eq!(code.check("", tried(1, 0)), Tried::Wrong);
    }

    #[test]
    fn wrong_tries_make_the_next_one_wait() {
        let code = SetupCode::new();
        for _ in 0..4 {
            assert_eq!(code.check("wrong", tried(1, 0)), Tried::Wrong);
        }
        assert_eq!(code.check(&code.printed(), tried(1, 1)), Tried::Wait(Duration::from_secs(1)));
        assert_eq!(code.check(&code.printed(), tried(1, 2)), Tried::Right);
    }

    #[test]
    fn who_guessed_while_the_clock_was_ahead_waits_no_longer_than_anybody() {
        let code = SetupCode::new();
        for _ in 0..4 {
            assert_eq!(code.check("wrong", tried(1, 3_600)), Tried::Wrong);
        }
        assert_eq!(code.check(&code.printed(), tried(1, 0)), Tried::Right);
    }

    #[test]
    fn who_guesses_keeps_nobody_else_waiting() {
        let code = SetupCode::new();
        let guess = |number: u32| (0..8).fold(Tried::Wrong, |_, _| code.check("wrong", tried(number, 0)));
        assert!(matches!(guess(1), Tried::Wait(_)));
        assert_eq!(code.check(&code.printed(), tried(2, 0)), Tried::Right);
        // A crowd of guessers waits like a single one, and takes no more memory.
        for number in 3..2_000 {
            guess(number);
        }
        assert!(matches!(code.check(&code.printed(), tried(3_000, 0)), Tried::Wait(_)));
        assert_eq!(code.tries.lock().unwrap().len(), ADDRESSES_MAX + 1);
        assert_eq!(code.check(&code.printed(), tried(2, 0)), Tried::Right);
    }
}
