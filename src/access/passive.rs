//! The pool of passive ports. It never opens a socket.
//! Always: a port is free, or leased to exactly one session.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr};
use std::ops::RangeInclusive;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use rand::RngExt;

use super::hosts;
use crate::base::clock::Clock;
use crate::base::id::IdSource;
use crate::base::lock::lock;
use crate::domain::event::EventKind;
use crate::domain::value::{HostOrAddress, PortRange};
use crate::store::commit::Recorder;
use crate::store::event::Event;
use crate::store::live::{Live, Snapshot};

/// How often the host name of the Passive Address is resolved.
const RESOLVE_EVERY: Duration = Duration::from_mins(1);
/// One address may hold one of so many ports of the range, rounded up: none takes every port from the others.
const SHARE_OF_ADDRESS: u32 = 2;
/// Random picks before the pool is searched in order.
const RANDOM_PICKS: u32 = 16;

/// The system's ephemeral ports, read at start.
static EPHEMERAL: LazyLock<Option<Ephemeral>> = LazyLock::new(|| {
    let read = |name: &str| std::fs::read_to_string(format!("/proc/sys/net/ipv4/{name}")).ok();
    Ephemeral::parse(&read("ip_local_port_range")?, &read("ip_local_reserved_ports").unwrap_or_default())
});

/// Ports for sockets that ask for any port.
#[derive(Debug, PartialEq, Eq)]
struct Ephemeral {
    range: RangeInclusive<u16>,
    /// Reserved for others.
    reserved: Vec<RangeInclusive<u16>>,
}

impl Ephemeral {
    /// As in `ip_local_port_range` and `ip_local_reserved_ports` (ip(7)).
    fn parse(range: &str, reserved: &str) -> Option<Self> {
        let span = |(first, last): (&str, &str)| Some(first.trim().parse().ok()?..=last.trim().parse().ok()?);
        let one = |text| span(str::split_once(text, '-').unwrap_or((text, text)));
        let range = span(range.trim().split_once(char::is_whitespace)?).filter(|range| !range.is_empty())?;
        let reserved = reserved.trim().split(',').filter(|text| !text.is_empty()).map(one).collect::<Option<_>>()?;
        Some(Self { range, reserved })
    }

    fn pick(&self) -> Option<u16> {
        let is_free = |port: &u16| !self.reserved.iter().any(|reserved| reserved.contains(port));
        (0..RANDOM_PICKS).map(|_| rand::rng().random_range(self.range.clone())).find(is_free)
    }
}

/// A port for a socket that may have any; 0, the system's own choice, if the system does not tell its range.
///
/// The system looks for a port without a connection in the last minute: after some thousand small downloads, whose
/// connections this side closes first, it searches thousands of ports each time. If asked for by number, such a port is
/// available at once.
pub fn any_port() -> u16 {
    EPHEMERAL.as_ref().and_then(Ephemeral::pick).unwrap_or(0)
}

/// The leased ports.
#[derive(Clone, Debug, Default)]
pub struct Ports {
    leased: Arc<Mutex<HashMap<u16, IpAddr>>>,
    /// The Passive Address's host name and its last resolved address.
    resolved: Arc<Mutex<Option<(String, Ipv4Addr)>>>,
}

/// A port that belongs to this session until dropped.
#[derive(Debug)]
pub struct Lease {
    ports: Ports,
    port: u16,
}

impl Lease {
    /// Which port.
    pub fn port(&self) -> u16 {
        self.port
    }
}

/// Why there is no port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoPort {
    /// The client's address has its share.
    #[error("one address may hold {most} of the {count} ports, and this one does")]
    Share {
        /// How many that is.
        most: u32,
        /// Of how many.
        count: u32,
    },
    /// All are in use.
    #[error("none of the ports {first} to {last} is free")]
    UsedUp {
        /// The first of the range.
        first: u16,
        /// The last of the range.
        last: u16,
    },
}

impl Ports {
    /// A free port of the range that is not in `tried`.
    pub fn lease(&self, range: &PortRange, client: IpAddr, tried: &HashSet<u16>) -> Result<Lease, NoPort> {
        let mut leased = lock(&self.leased);
        let held = leased.values().filter(|holder| **holder == client).count();
        let most = range.count().div_ceil(SHARE_OF_ADDRESS);
        if u32::try_from(held).is_ok_and(|held| held >= most) {
            return Err(NoPort::Share { most, count: range.count() });
        }
        let free = |port: &u16| !leased.contains_key(port) && !tried.contains(port);
        let mut random = rand::rng();
        let picked = (0..RANDOM_PICKS).map(|_| random.random_range(range.first..=range.last)).find(free);
        // A nearly full range is searched from a random place, so that the next port cannot be guessed.
        let start = random.random_range(range.first..=range.last);
        let port = picked.or_else(|| (start..=range.last).chain(range.first..start).find(free));
        let port = port.ok_or(NoPort::UsedUp { first: range.first, last: range.last })?;
        leased.insert(port, client);
        Ok(Lease { ports: self.clone(), port })
    }

    /// The address for `client` in 227: the exception for its network, the Passive Address, otherwise our own.
    pub fn told(&self, snapshot: &Snapshot, client: IpAddr, local: IpAddr) -> IpAddr {
        if let Some(address) = snapshot.profile.passive_address_exceptions.address_for(client) {
            return IpAddr::V4(address);
        }
        match &snapshot.profile.passive_address {
            Some(HostOrAddress::Address(address)) => IpAddr::V4(*address),
            Some(HostOrAddress::Host(host)) => self.last_resolved(host).map_or(local, IpAddr::V4),
            None => local,
        }
    }

    fn last_resolved(&self, host: &str) -> Option<Ipv4Addr> {
        let resolved = lock(&self.resolved);
        resolved.as_ref().filter(|(of, _)| of == host).map(|(_, address)| *address)
    }

    /// Resolves the Passive Address in the background, for ever; the last good answer stays. A failure causes an event,
    /// and no further one until the name resolves again.
    pub async fn follow(self, live: Live, (recorder, ids, clock): (Recorder, IdSource, Clock)) {
        let mut changes = live.watch();
        let mut failing = None;
        loop {
            let now = self.resolve(&live.snapshot()).await.err();
            if let Some((host, why)) = now.as_ref().filter(|(host, _)| Some(host) != failing.as_ref()) {
                let summary = self.stays(host, why);
                tracing::warn!("{summary}");
                let kind = EventKind::PassiveAddressUnresolved;
                recorder.event(Event::new(&ids, kind, clock.now(), summary)).await;
            }
            failing = now.map(|(host, _)| host);
            let _ = tokio::time::timeout(RESOLVE_EVERY, changes.changed()).await;
        }
    }

    /// The error: which host has no address now, and why.
    async fn resolve(&self, snapshot: &Snapshot) -> Result<(), (String, String)> {
        let Some(HostOrAddress::Host(host)) = snapshot.profile.passive_address.clone() else { return Ok(()) };
        self.answered(&host, hosts::look_up(&host, hosts::WITHIN).await).map_err(|why| (host, why))
    }

    fn answered(&self, host: &str, found: Result<Vec<IpAddr>, String>) -> Result<(), String> {
        let address = found?.into_iter().find_map(|address| match address {
            IpAddr::V4(address) => Some(address),
            IpAddr::V6(_) => None,
        });
        let address = address.ok_or_else(|| format!("{host} has IPv6 addresses only"))?;
        *lock(&self.resolved) = Some((host.to_owned(), address));
        Ok(())
    }

    /// The address that clients are told while the host has none.
    fn stays(&self, host: &str, why: &str) -> String {
        let told = match self.last_resolved(host) {
            Some(address) => format!("clients are still told {address}"),
            None => "clients are told the address that they came to".to_owned(),
        };
        format!("The Passive Address {host} could not be resolved; {told}: {why}")
    }

    /// How many are leased.
    pub fn leased(&self) -> usize {
        lock(&self.leased).len()
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        lock(&self.ports.leased).remove(&self.port);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::Timestamp;
    use crate::store::setting::Change;
    use crate::store::{Db, event, profile};

    #[test]
    fn the_last_good_answer_stays() {
        let ports = Ports::default();
        let why = || "No address was found for ftp.example".to_owned();
        let said = ports.stays("ftp.example", &ports.answered("ftp.example", Err(why())).unwrap_err());
        assert!(said.contains("told the address that they came to: No address was found"), "{said}");
        let [six, four] = ["2001:db8::7", "192.0.2.7"].map(|text| text.parse::<IpAddr>().unwrap());
        ports.answered("ftp.example", Ok(vec![six, four])).unwrap();
        for found in [Err(why()), Ok(vec![six])] {
            ports.answered("ftp.example", found).unwrap_err();
            assert_eq!(ports.last_resolved("ftp.example").map(IpAddr::V4), Some(four));
        }
        assert!(ports.stays("ftp.example", &why()).contains("still told 192.0.2.7: No address"));
        assert_eq!(ports.last_resolved("other.example"), None);
    }

    #[tokio::test]
    async fn a_passive_address_that_cannot_be_resolved_is_an_event_once_for_each_name() {
        let (folder, clock) = (tempfile::tempdir().unwrap(), Clock::System);
        let (db, ids) = (Db::open(folder.path()).await.unwrap(), IdSource::random(clock.clone()));
        let live = Live::open(db.clone(), clock.clone()).await.unwrap();
        let (recorder, writer) = Recorder::new(db.clone());
        tokio::spawn(writer.run());
        let following = Ports::default().follow(live.clone(), (recorder, ids.clone(), clock.clone()));
        let following = tokio::spawn(following);
        let kind = Some(EventKind::PassiveAddressUnresolved);
        let told = async || event::oldest_first(&db, kind, Timestamp::default(), None, 9).await.unwrap();
        // The port only shows that something was saved.
        let saved = [("passive_address", "one.invalid"), ("port", "2121"), ("passive_address", "two.invalid")];
        for (index, (key, value)) in saved.into_iter().enumerate() {
            let change = Change { who: "test", remote: "", at: clock.now(), ids: &ids };
            let values = [(key.to_owned(), value.to_owned())].into();
            profile::save(&db, &values, None, &change).await.unwrap();
            live.refresh().await.unwrap();
            while told().await.len() < [1, 1, 2][index] {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        following.abort();
        let hosts: Vec<_> = told().await.into_iter().map(|one| one.summary[20..31].to_owned()).collect();
        assert_eq!(hosts, ["one.invalid", "two.invalid"]);
    }

    #[test]
    fn any_port_is_one_that_the_system_would_give() {
        let ephemeral = Ephemeral::parse("50000\t50009\n", "8080,50001-50008,50000\n").unwrap();
        assert_eq!(ephemeral.reserved, [8_080..=8_080, 50_001..=50_008, 50_000..=50_000]);
        let picked: HashSet<_> = (0..200).filter_map(|_| ephemeral.pick()).collect();
        assert_eq!(picked, HashSet::from([50_009]));
        assert_eq!(Ephemeral::parse("32768\t60999\n", "\n").unwrap().reserved, []);
        for (range, reserved) in [("", ""), ("60999\t32768", ""), ("1\t70000", ""), ("1\t9", "x")] {
            assert_eq!(Ephemeral::parse(range, reserved), None, "{range:?} {reserved:?}");
        }
    }

    #[test]
    fn every_port_of_the_range_is_leased_once_half_of_them_to_one_address_and_comes_back() {
        let ports = Ports::default();
        let range = PortRange { first: 50_000, last: 50_009 };
        let [one, two, three] = [1, 2, 3].map(|last| IpAddr::from([192, 0, 2, last]));
        let leases_of = |client| {
            std::iter::repeat_with(|| ports.lease(&range, client, &HashSet::new()))
                .map_while(Result::ok)
                .collect::<Vec<_>>()
        };
        let mut leases = leases_of(one);
        assert_eq!(leases.len(), 5);
        let refused = |client| ports.lease(&range, client, &HashSet::new()).err();
        assert_eq!(refused(one), Some(NoPort::Share { most: 5, count: 10 }));
        leases.extend(leases_of(two));
        leases.extend(leases_of(three));
        let distinct: HashSet<_> = leases.iter().map(Lease::port).collect();
        assert_eq!((leases.len(), distinct.len()), (10, 10));
        assert_eq!(refused(three), Some(NoPort::UsedUp { first: 50_000, last: 50_009 }));
        drop(leases);
        assert_eq!(ports.leased(), 0);
        assert_eq!(ports.lease(&range, one, &(50_000..50_009).collect()).unwrap().port(), 50_009);
    }
}
