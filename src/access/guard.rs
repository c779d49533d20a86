//! Who has failed too often (PRODUCT section 11). Pure bookkeeping: times are passed in as arguments.
//!
//! Failures of a known name count against (name, address), so nobody can lock a partner out from elsewhere. An address
//! as a whole is blocked only for unknown names or many failures, and never if a partner logged in from it within the
//! last days.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::net::IpAddr;
use std::time::Duration;

use crate::base::clock::Timestamp;
use crate::domain::profile::Profile;

/// Names and addresses remembered; the least recently seen are forgotten first.
pub const REMEMBERED_MAX: usize = 20_000;
/// Distinct unknown names from one address that block it.
pub const UNKNOWN_NAMES_MAX: usize = 3;
/// Failures from one address, whatever the names, that block it.
pub const ADDRESS_FAILURES_MAX: u32 = 30;
/// An address from which a partner logged in is not blocked as a whole for this long.
pub const TRUSTED_FOR: Duration = Duration::from_hours(168);
/// The longest delay of a refusal.
pub const DELAY_MAX: Duration = Duration::from_secs(5);
const DELAY_FIRST: Duration = Duration::from_millis(250);

/// How many failures block, by the profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Failures of a (name, address).
    pub failures_max: u32,
    /// Counted over this time.
    pub window: Duration,
    /// Blocked for this time.
    pub block_for: Duration,
}

impl Limits {
    /// What blocks at the FTP server, unless the address is exempt.
    pub fn of(profile: &Profile, remote: IpAddr) -> Option<Self> {
        (!profile.guard_allow.contains(remote)).then(|| Self {
            failures_max: u32::try_from(profile.block_after_failures.get()).unwrap_or(u32::MAX),
            window: profile.block_window_s.seconds(),
            block_for: profile.block_for_s.seconds(),
        })
    }
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

/// Whether the given name exists.
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
    /// The name; empty if the address as a whole is blocked.
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
    /// Unknown names with the time of their last use: the latest [`UNKNOWN_NAMES_MAX`].
    unknown_names: HashMap<String, Timestamp>,
    seen: Timestamp,
}

impl Record {
    fn failures(&self) -> u32 {
        u32::try_from(self.times.len()).unwrap_or(u32::MAX)
    }

    fn fail(&mut self, limits: &Limits, now: Timestamp) {
        // A time in the future comes from a clock that was ahead.
        if self.seen > now {
            self.blocked_until = None;
        }
        let is_over = |then: Timestamp| then > now || now.since(then) > limits.window;
        // Only as many of the latest as can block.
        let most = usize::try_from(limits.failures_max.max(ADDRESS_FAILURES_MAX)).unwrap_or(usize::MAX);
        while self.times.len() >= most || self.times.front().is_some_and(|then| is_over(*then)) {
            self.times.pop_front();
        }
        self.times.push_back(now);
        self.unknown_names.retain(|_, then| !is_over(*then));
        self.seen = now;
    }

    fn fail_unknown(&mut self, name: &str, now: Timestamp) {
        if self.unknown_names.len() >= UNKNOWN_NAMES_MAX && !self.unknown_names.contains_key(name) {
            let oldest = self.unknown_names.iter().min_by_key(|(_, then)| **then).map(|(name, _)| name.clone());
            oldest.and_then(|oldest| self.unknown_names.remove(&oldest));
        }
        self.unknown_names.insert(name.to_owned(), now);
    }

    fn blocked(&self, now: Timestamp) -> Option<Timestamp> {
        // If the last failure is in the future, the clock was ahead.
        self.blocked_until.filter(|until| *until > now && self.seen <= now)
    }
}

/// An administrator's decision.
#[derive(Clone, Copy, Debug)]
struct ByHand {
    since: Timestamp,
    until: Timestamp,
}

/// What the guard remembers.
#[derive(Debug, Default)]
pub struct Guard {
    callers: HashMap<(Door, String, IpAddr), Record>,
    addresses: HashMap<(Door, IpAddr), Record>,
    trusted: HashMap<IpAddr, Timestamp>,
    /// An administrator's decisions apply to FTP, whatever is trusted or allowed.
    by_hand: HashMap<IpAddr, ByHand>,
    /// The latest time of a decision: one in the future comes from a clock that was ahead.
    latest: Timestamp,
}

impl Guard {
    /// Decisions made while the clock was ahead count from now on, for their full duration.
    fn set_right(&mut self, now: Timestamp) {
        if self.latest <= now {
            return;
        }
        self.latest = now;
        for since in self.trusted.values_mut() {
            *since = now.min(*since);
        }
        for ByHand { since, until } in self.by_hand.values_mut().filter(|one| one.since > now) {
            (*since, *until) = (now, now.plus(until.since(*since)));
        }
    }

    /// Until when this caller is blocked, if so.
    pub fn blocked(&mut self, caller: &Caller<'_>, now: Timestamp) -> Option<Timestamp> {
        self.set_right(now);
        let of_caller = self.callers.get(&key(caller)).and_then(|record| record.blocked(now));
        if of_caller.is_some() || self.is_trusted(caller.address, now) {
            return of_caller;
        }
        self.addresses.get(&(caller.door, caller.address)).and_then(|record| record.blocked(now))
    }

    /// Until when an administrator keeps this caller out, if so: only from the FTP server, so that nobody locks
    /// themselves out of the pages.
    pub fn blocked_by_hand(&mut self, caller: &Caller<'_>, now: Timestamp) -> Option<Timestamp> {
        self.set_right(now);
        let until = self.by_hand.get(&caller.address)?.until;
        (caller.door == Door::Ftp && until > now).then_some(until)
    }

    /// An administrator blocks an address from the FTP server.
    pub fn block(&mut self, address: IpAddr, until: Timestamp, now: Timestamp) {
        self.set_right(now);
        self.latest = now;
        if self.by_hand.len() >= REMEMBERED_MAX {
            self.by_hand.retain(|_, one| one.until > now);
        }
        self.by_hand.insert(address, ByHand { since: now, until });
    }

    /// Counts a failure; returns the delay of the refusal: it depends on what the address did, not on whether the name
    /// exists, so that timing does not reveal that.
    pub fn failed(&mut self, caller: &Caller<'_>, limits: &Limits, now: Timestamp) -> Duration {
        self.set_right(now);
        let may_block = !caller.address.is_loopback();
        let trusted = self.is_trusted(caller.address, now);
        trim(&mut self.callers);
        trim(&mut self.addresses);
        let of_address = self.addresses.entry((caller.door, caller.address)).or_default();
        of_address.fail(limits, now);
        if caller.known == Known::No {
            of_address.fail_unknown(caller.name, now);
        }
        let too_many =
            of_address.failures() >= ADDRESS_FAILURES_MAX || of_address.unknown_names.len() >= UNKNOWN_NAMES_MAX;
        if too_many && may_block && !trusted {
            of_address.blocked_until = Some(now.plus(limits.block_for));
        }
        let delayed = delay(of_address.failures());
        if caller.known == Known::Yes {
            let of_caller = self.callers.entry(key(caller)).or_default();
            of_caller.fail(limits, now);
            if of_caller.failures() >= limits.failures_max && may_block {
                of_caller.blocked_until = Some(now.plus(limits.block_for));
            }
        }
        delayed
    }

    /// A right password: this caller's earlier failures are forgotten.
    pub fn succeeded(&mut self, caller: &Caller<'_>, now: Timestamp) {
        self.callers.remove(&key(caller));
        if caller.door == Door::Ftp {
            if self.trusted.len() >= REMEMBERED_MAX {
                self.trusted.retain(|_, since| now.since(*since) < TRUSTED_FOR);
            }
            self.trust(caller.address, now, now);
        }
    }

    /// A partner logged in from that address at that time; a time in the future counts as now.
    pub fn trust(&mut self, address: IpAddr, at: Timestamp, now: Timestamp) {
        self.set_right(now);
        self.latest = now;
        let at = at.min(now);
        let since = self.trusted.entry(address).or_insert(at);
        *since = at.max(*since);
    }

    /// Every block in force, by the time it ends.
    pub fn blocks(&mut self, now: Timestamp) -> Vec<Block> {
        self.set_right(now);
        let of_callers =
            self.callers.iter().map(|((door, name, address), record)| (*door, name.as_str(), *address, record));
        let of_addresses = self.addresses.iter().map(|((door, address), record)| (*door, "", *address, record));
        let counted = of_callers.chain(of_addresses).filter_map(|(door, name, address, record)| {
            let until = record.blocked(now)?;
            Some(Block { door, name: name.to_owned(), address, until, failures: record.failures(), by_hand: false })
        });
        let by_hand = self.by_hand.iter().filter(|(_, one)| one.until > now).map(|(address, one)| Block {
            door: Door::Ftp,
            name: String::new(),
            address: *address,
            until: one.until,
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

/// Forgets the older half if there are too many.
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
        assert_eq!(guard.blocked(&caller("acme", Known::Yes, [203, 0, 113, 1]), at(100)), None);
        assert_eq!(guard.blocks(at(100)).len(), 3);
        guard.unblock(IpAddr::from([198, 51, 100, 2]));
        assert_eq!(guard.blocked(&caller("acme", Known::Yes, [198, 51, 100, 2]), at(100)), None);
    }

    #[test]
    fn what_failed_while_the_clock_was_ahead_blocks_nobody() {
        let mut guard = Guard::default();
        let partner = caller("acme", Known::Yes, [203, 0, 113, 1]);
        let fails = |guard: &mut Guard, times: u32, now| {
            for _ in 0..times {
                guard.failed(&partner, &LIMITS, now);
            }
            guard.blocked(&partner, now).is_some()
        };
        assert!(fails(&mut guard, 10, at(1_000_000)));
        assert_eq!((guard.blocked(&partner, at(0)), guard.blocks(at(0)).len()), (None, 0));
        assert!(!fails(&mut guard, 9, at(1)) && fails(&mut guard, 1, at(1)), "they are counted anew");
    }

    #[test]
    fn unknown_names_count_within_the_window_alone() {
        let mut guard = Guard::default();
        let unknown = |name| caller(name, Known::No, [198, 51, 100, 1]);
        let partner = caller("acme", Known::Yes, [198, 51, 100, 1]);
        for (name, second) in [("root", 0), ("admin", 200), ("admin", 299), ("test", 301)] {
            guard.failed(&unknown(name), &LIMITS, at(second));
            assert_eq!(guard.blocked(&partner, at(second)), None, "{name} at {second}");
        }
        guard.failed(&unknown("guest"), &LIMITS, at(302));
        assert!(guard.blocked(&partner, at(302)).is_some());
        // The block is over, and a partner mistypes its password.
        guard.failed(&partner, &LIMITS, at(302 + 901));
        assert_eq!(guard.blocked(&partner, at(302 + 901)), None);
        for n in 0..9 {
            guard.failed(&unknown(["root", "admin"][n % 2]), &LIMITS, at(2_000));
        }
        guard.failed(&unknown("test"), &LIMITS, at(2_301));
        guard.failed(&unknown("guest"), &LIMITS, at(2_301));
        assert_eq!(guard.blocked(&partner, at(2_301)), None, "two names in five minutes");
    }

    #[test]
    fn many_failures_block_when_the_setting_allows_many() {
        let mut guard = Guard::default();
        let limits = Limits { failures_max: 1_000, ..LIMITS };
        let partner = caller("acme", Known::Yes, [203, 0, 113, 1]);
        guard.succeeded(&partner, at(0));
        for n in 1..1_000 {
            guard.failed(&partner, &limits, at(n / 10));
        }
        assert_eq!(guard.blocked(&partner, at(100)), None);
        guard.failed(&partner, &limits, at(100));
        assert!(guard.blocked(&partner, at(100)).is_some());
    }

    #[test]
    fn an_address_is_trusted_for_days_after_its_last_login() {
        let mut guard = Guard::default();
        let partner = caller("acme", Known::Yes, [203, 0, 113, 1]);
        let last = at(1_000_000);
        guard.trust(partner.address, last, last);
        guard.trust(partner.address, at(5), last);
        let fails = |guard: &mut Guard, now| {
            for name in ["root", "admin", "test"] {
                guard.failed(&Caller { name, known: Known::No, ..partner }, &LIMITS, now);
            }
            guard.blocked(&partner, now)
        };
        let over = last.plus(TRUSTED_FOR);
        assert_eq!(fails(&mut guard, over.minus(Duration::from_secs(1))), None);
        assert!(fails(&mut guard, over).is_some());
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
    fn what_was_said_while_the_clock_was_ahead_counts_from_then_on_when_it_is_right() {
        let mut guard = Guard::default();
        let ahead = at(100_000_000);
        let [partner, other] = [[203, 0, 113, 1], [203, 0, 113, 2]].map(|address| caller("acme", Known::Yes, address));
        guard.succeeded(&partner, ahead);
        guard.block(other.address, ahead.plus(Duration::from_hours(1)), ahead);
        guard.block(other.address, ahead.plus(Duration::from_hours(2)), ahead.plus(Duration::from_hours(1)));
        assert_eq!(guard.blocked_by_hand(&other, at(10)), Some(at(3_610)));
        assert_eq!(guard.blocks(at(3_609)).len(), 1);
        assert_eq!((guard.blocked_by_hand(&other, at(3_610)), guard.blocks(at(3_610)).len()), (None, 0));
        let fails = |guard: &mut Guard, address, now| {
            for name in ["root", "admin", "test"] {
                guard.failed(&Caller { name, known: Known::No, address, ..partner }, &LIMITS, now);
            }
            guard.blocked(&Caller { address, ..partner }, now).is_some()
        };
        let over = at(10).plus(TRUSTED_FOR);
        assert!(!fails(&mut guard, partner.address, over.minus(Duration::from_secs(1))));
        assert!(fails(&mut guard, partner.address, over));
        // Records of an earlier run count just the same.
        let from = IpAddr::from([203, 0, 113, 3]);
        guard.trust(from, ahead, over);
        assert!(fails(&mut guard, from, over.plus(TRUSTED_FOR)));
    }

    #[test]
    fn a_name_that_exists_is_answered_no_sooner_than_one_that_does_not() {
        let mut guard = Guard::default();
        let address = [203, 0, 113, 1];
        guard.succeeded(&caller("partner", Known::Yes, address), at(0));
        for second in 0..6 {
            guard.failed(&caller("zzz", Known::No, address), &LIMITS, at(second));
        }
        let first = |guard: &mut Guard, name, known| guard.failed(&caller(name, known, address), &LIMITS, at(6));
        assert_eq!(first(&mut guard, "acme", Known::Yes), DELAY_MAX);
        assert_eq!(first(&mut guard, "nobody", Known::No), DELAY_MAX);
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
