//! Who has failed too often (PRODUCT section 11). Pure bookkeeping: times come in as arguments.
//!
//! Failures of a known name count against (name, address), so nobody can lock a partner out from elsewhere. An
//! address as a whole is blocked only for unknown names or many failures, and never if a partner logged in from it
//! within the last days.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::Hash;
use std::net::IpAddr;
use std::time::Duration;

use crate::base::clock::Timestamp;

/// Names and addresses remembered; the least recently seen go first.
pub const REMEMBERED_MAX: usize = 20_000;
/// Distinct unknown names from one address that block it.
pub const UNKNOWN_NAMES_MAX: usize = 3;
/// Failures from one address, whatever the names, that block it.
pub const ADDRESS_FAILURES_MAX: u32 = 30;
/// An address from which a partner logged in is not blocked as a whole for this long.
pub const TRUSTED_FOR: Duration = Duration::from_hours(168);
/// Longest delay of a refusal.
pub const DELAY_MAX: Duration = Duration::from_secs(5);
const DELAY_FIRST: Duration = Duration::from_millis(250);

/// Failures that block, as the profile has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Failures of a (name, address).
    pub failures_max: u32,
    /// Counted over this time.
    pub window: Duration,
    /// Blocked for this time.
    pub block_for: Duration,
}

/// Which door: each counts separately.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Door {
    /// The FTP server.
    Ftp,
    /// The web interface.
    Web,
    /// The API.
    Api,
}

/// Whether the name at the door exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// A connector or administrator has it.
    Yes,
    /// Nobody has it.
    No,
}

/// Somebody at a door.
#[derive(Clone, Copy, Debug)]
pub struct Caller<'a> {
    /// Which door.
    pub door: Door,
    /// The name given, in lower case.
    pub name: &'a str,
    /// Whether it exists.
    pub known: Known,
    /// From where.
    pub address: IpAddr,
}

/// One block, for the page of blocked addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// At which door.
    pub door: Door,
    /// The name; empty when the address as a whole is blocked.
    pub name: String,
    /// The address.
    pub address: IpAddr,
    /// Until when.
    pub until: Timestamp,
    /// Failures that led to it.
    pub failures: u32,
    /// Whether an administrator made it.
    pub by_hand: bool,
}

#[derive(Debug, Default)]
struct Record {
    times: VecDeque<Timestamp>,
    blocked_until: Option<Timestamp>,
    unknown_names: HashSet<String>,
    seen: Timestamp,
}

impl Record {
    fn failures(&self) -> u32 {
        u32::try_from(self.times.len()).unwrap_or(u32::MAX)
    }

    fn fail(&mut self, now: Timestamp, window: Duration) {
        while self.times.front().is_some_and(|then| now.since(*then) > window) {
            self.times.pop_front();
        }
        if self.times.len() < 256 {
            self.times.push_back(now);
        }
        self.seen = now;
    }

    fn blocked(&self, now: Timestamp) -> Option<Timestamp> {
        self.blocked_until.filter(|until| *until > now)
    }
}

/// What the guard remembers.
#[derive(Debug, Default)]
pub struct Guard {
    callers: HashMap<(Door, String, IpAddr), Record>,
    addresses: HashMap<(Door, IpAddr), Record>,
    trusted: HashMap<IpAddr, Timestamp>,
    /// What an administrator said holds for FTP, whatever is trusted or allowed.
    by_hand: HashMap<IpAddr, Timestamp>,
}

impl Guard {
    /// Until when this caller is blocked, if so.
    pub fn blocked(&self, caller: &Caller<'_>, now: Timestamp) -> Option<Timestamp> {
        let of_caller = self.callers.get(&key(caller)).and_then(|record| record.blocked(now));
        if of_caller.is_some() || self.is_trusted(caller.address, now) {
            return of_caller;
        }
        self.addresses.get(&(caller.door, caller.address)).and_then(|record| record.blocked(now))
    }

    /// Until when an administrator keeps this caller out, if so: of the FTP server alone, so that nobody shuts the pages
    /// for themselves.
    pub fn blocked_by_hand(&self, caller: &Caller<'_>, now: Timestamp) -> Option<Timestamp> {
        let until = self.by_hand.get(&caller.address).copied()?;
        (caller.door == Door::Ftp && until > now).then_some(until)
    }

    /// An administrator keeps an address out of the FTP server.
    pub fn block(&mut self, address: IpAddr, until: Timestamp, now: Timestamp) {
        if self.by_hand.len() >= REMEMBERED_MAX {
            self.by_hand.retain(|_, until| *until > now);
        }
        self.by_hand.insert(address, until);
    }

    /// Counts a failure; gives how long the refusal is to be delayed.
    pub fn failed(&mut self, caller: &Caller<'_>, limits: &Limits, now: Timestamp) -> Duration {
        let may_block = !caller.address.is_loopback();
        let trusted = self.is_trusted(caller.address, now);
        trim(&mut self.callers);
        trim(&mut self.addresses);
        let of_address = self.addresses.entry((caller.door, caller.address)).or_default();
        of_address.fail(now, limits.window);
        if caller.known == Known::No && of_address.unknown_names.len() <= UNKNOWN_NAMES_MAX {
            of_address.unknown_names.insert(caller.name.to_owned());
        }
        let too_many =
            of_address.failures() >= ADDRESS_FAILURES_MAX || of_address.unknown_names.len() >= UNKNOWN_NAMES_MAX;
        if too_many && may_block && !trusted {
            of_address.blocked_until = Some(now.plus(limits.block_for));
        }
        let address_failures = of_address.failures();
        let mut failures = address_failures;
        if caller.known == Known::Yes {
            let of_caller = self.callers.entry(key(caller)).or_default();
            of_caller.fail(now, limits.window);
            failures = of_caller.failures();
            if failures >= limits.failures_max && may_block {
                of_caller.blocked_until = Some(now.plus(limits.block_for));
            }
        }
        delay(failures)
    }

    /// A right password: what this caller did wrong before is forgotten.
    pub fn succeeded(&mut self, caller: &Caller<'_>, now: Timestamp) {
        self.callers.remove(&key(caller));
        if caller.door == Door::Ftp {
            if self.trusted.len() >= REMEMBERED_MAX {
                self.trusted.retain(|_, since| now.since(*since) < TRUSTED_FOR);
            }
            self.trusted.insert(caller.address, now);
        }
    }

    /// Every block in force, by the time it ends.
    pub fn blocks(&self, now: Timestamp) -> Vec<Block> {
        let of_callers =
            self.callers.iter().map(|((door, name, address), record)| (*door, name.as_str(), *address, record));
        let of_addresses = self.addresses.iter().map(|((door, address), record)| (*door, "", *address, record));
        let counted = of_callers.chain(of_addresses).filter_map(|(door, name, address, record)| {
            let until = record.blocked(now)?;
            Some(Block { door, name: name.to_owned(), address, until, failures: record.failures(), by_hand: false })
        });
        let by_hand = self.by_hand.iter().filter(|(_, until)| **until > now).map(|(address, until)| Block {
            door: Door::Ftp,
            name: String::new(),
            address: *address,
            until: *until,
            failures: 0,
            by_hand: true,
        });
        let mut blocks: Vec<_> = counted.chain(by_hand).collect();
        blocks.sort_by_key(|block| block.until);
        blocks
    }

    /// Lifts every block of an address.
    pub fn unblock(&mut self, address: IpAddr) {
        self.callers.retain(|(_, _, of), _| *of != address);
        self.addresses.retain(|(_, of), _| *of != address);
        self.by_hand.remove(&address);
    }

    fn is_trusted(&self, address: IpAddr, now: Timestamp) -> bool {
        self.trusted.get(&address).is_some_and(|since| now.since(*since) < TRUSTED_FOR)
    }
}

fn key(caller: &Caller<'_>) -> (Door, String, IpAddr) {
    (caller.door, caller.name.to_owned(), caller.address)
}

/// 250 ms doubling with each failure, at most [`DELAY_MAX`].
fn delay(failures: u32) -> Duration {
    DELAY_FIRST.saturating_mul(1 << failures.saturating_sub(1).min(10)).min(DELAY_MAX)
}

/// Forgets the older half when there are too many.
fn trim<K: Eq + Hash>(records: &mut HashMap<K, Record>) {
    if records.len() < REMEMBERED_MAX {
        return;
    }
    let mut seen: Vec<_> = records.values().map(|record| record.seen).collect();
    seen.sort_unstable();
    let middle = seen[seen.len() / 2];
    records.retain(|_, record| record.seen > middle);
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits =
        Limits { failures_max: 10, window: Duration::from_mins(5), block_for: Duration::from_mins(15) };

    fn caller(name: &str, known: Known, address: [u8; 4]) -> Caller<'_> {
        Caller { door: Door::Ftp, name, known, address: IpAddr::from(address) }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_us(seconds * 1_000_000)
    }

    #[test]
    fn one_stale_password_leaves_the_others_behind_its_address_alone() {
        let mut guard = Guard::default();
        let address = [203, 0, 113, 9];
        for partner in 0..39 {
            guard.succeeded(&caller(&format!("partner-{partner}"), Known::Yes, address), at(0));
        }
        let stale = caller("partner-39", Known::Yes, address);
        for i in 0..40 {
            guard.failed(&stale, &LIMITS, at(i));
        }
        assert!(guard.blocked(&stale, at(41)).is_some());
        for partner in 0..39 {
            assert_eq!(guard.blocked(&caller(&format!("partner-{partner}"), Known::Yes, address), at(41)), None);
        }
        assert_eq!(guard.blocked(&stale, at(40 + 901)), None);
    }

    #[test]
    fn unknown_names_block_their_address_and_nobody_is_locked_out_from_elsewhere() {
        let mut guard = Guard::default();
        for name in ["root", "admin", "test"] {
            guard.failed(&caller(name, Known::No, [198, 51, 100, 1]), &LIMITS, at(0));
        }
        assert!(guard.blocked(&caller("acme", Known::Yes, [198, 51, 100, 1]), at(1)).is_some());
        for i in 0..100 {
            guard.failed(&caller("acme", Known::Yes, [198, 51, 100, 2]), &LIMITS, at(i));
        }
        assert_eq!(guard.blocked(&caller("acme", Known::Yes, [203, 0, 113, 1]), at(50)), None);
        assert_eq!(guard.blocks(at(50)).len(), 3);
        guard.unblock(IpAddr::from([198, 51, 100, 2]));
        assert_eq!(guard.blocked(&caller("acme", Known::Yes, [198, 51, 100, 2]), at(50)), None);
    }

    #[test]
    fn an_administrator_blocks_a_trusted_address_until_it_is_over_or_lifted() {
        let mut guard = Guard::default();
        let partner = caller("acme", Known::Yes, [203, 0, 113, 1]);
        guard.succeeded(&partner, at(0));
        guard.block(partner.address, at(3_600), at(0));
        assert_eq!(guard.blocked_by_hand(&partner, at(1)), Some(at(3_600)));
        let pages = Caller { door: Door::Web, ..partner };
        assert_eq!(guard.blocked_by_hand(&pages, at(1)), None, "the pages stay open");
        assert!(guard.blocks(at(1))[0].by_hand);
        assert_eq!(guard.blocked_by_hand(&partner, at(3_600)), None);
        guard.block(partner.address, at(3_600), at(0));
        guard.unblock(partner.address);
        assert_eq!(guard.blocked_by_hand(&partner, at(1)), None);
    }

    #[test]
    fn loopback_is_delayed_never_blocked() {
        let mut guard = Guard::default();
        let local = caller("acme", Known::Yes, [127, 0, 0, 1]);
        let delays: Vec<_> = (0..40).map(|i| guard.failed(&local, &LIMITS, at(i)).as_millis()).collect();
        assert_eq!(guard.blocked(&local, at(41)), None);
        assert_eq!((delays[0], delays[1], delays[39]), (250, 500, 5_000));
    }
}
