//! How many sessions may exist: in all, by address, by connector. One place for every listener.
//!
//! Always: a slot is counted exactly as long as its [`Slot`] lives.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use crate::base::lock::lock;
use crate::domain::profile::Profile;
use crate::domain::refusal::Rule;

/// Sessions of one address that have not logged in.
pub const NOT_LOGGED_IN_MAX: usize = 50;

/// The limits at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Sessions in all.
    pub sessions_max: usize,
    /// Sessions from one address.
    pub per_address_max: usize,
}

impl Limits {
    /// From the profile.
    pub fn of(profile: &Profile) -> Self {
        Self { sessions_max: profile.sessions_max.count(), per_address_max: profile.sessions_per_address_max.count() }
    }
}

#[derive(Debug, Default)]
struct Counts {
    all: usize,
    by_address: HashMap<IpAddr, usize>,
    not_logged_in: HashMap<IpAddr, usize>,
    by_connector: HashMap<String, usize>,
}

impl Counts {
    fn room(&self, address: IpAddr, limits: &Limits) -> Result<(), Rule> {
        if self.all >= limits.sessions_max {
            return Err(Rule::TooManySessions);
        }
        let of = |map: &HashMap<IpAddr, usize>| map.get(&address).copied().unwrap_or(0);
        if of(&self.by_address) >= limits.per_address_max {
            return Err(Rule::TooManyFromAddress);
        }
        if of(&self.not_logged_in) >= NOT_LOGGED_IN_MAX {
            return Err(Rule::TooManyNotLoggedIn);
        }
        Ok(())
    }
}

/// Counts sessions.
#[derive(Clone, Debug, Default)]
pub struct Admission {
    counts: Arc<Mutex<Counts>>,
}

impl Admission {
    /// A connection comes in; refused by the returned rule if there are too many.
    pub fn enter(&self, address: IpAddr, limits: &Limits) -> Result<Slot, Rule> {
        let mut counts = self.lock();
        counts.room(address, limits)?;
        counts.all += 1;
        *counts.by_address.entry(address).or_default() += 1;
        *counts.not_logged_in.entry(address).or_default() += 1;
        Ok(Slot { admission: self.clone(), address, connector: None })
    }

    /// Whether a connection could come in now.
    pub fn has_room(&self, address: IpAddr, limits: &Limits) -> Result<(), Rule> {
        self.lock().room(address, limits)
    }

    /// Sessions of a connector, by its id in lower case.
    pub fn of_connector(&self, key: &str) -> usize {
        self.lock().by_connector.get(key).copied().unwrap_or(0)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Counts> {
        lock(&self.counts)
    }
}

/// One counted session.
#[derive(Debug)]
pub struct Slot {
    admission: Admission,
    address: IpAddr,
    connector: Option<String>,
}

impl Slot {
    /// The session logs in as `connector` (its id in lower case), unless that has too many sessions.
    pub fn log_in(&mut self, connector: &str, sessions_max: usize) -> Result<(), Rule> {
        self.log_out();
        let mut counts = self.admission.lock();
        let of_connector = counts.by_connector.entry(connector.to_owned()).or_default();
        if *of_connector >= sessions_max {
            return Err(Rule::TooManyForConnector);
        }
        *of_connector += 1;
        take(&mut counts.not_logged_in, &self.address);
        drop(counts);
        self.connector = Some(connector.to_owned());
        Ok(())
    }

    /// The session is no longer logged in.
    pub fn log_out(&mut self) {
        if let Some(connector) = self.connector.take() {
            let mut counts = self.admission.lock();
            take(&mut counts.by_connector, &connector);
            *counts.not_logged_in.entry(self.address).or_default() += 1;
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.log_out();
        let mut counts = self.admission.lock();
        counts.all = counts.all.saturating_sub(1);
        take(&mut counts.by_address, &self.address);
        take(&mut counts.not_logged_in, &self.address);
    }
}

/// Counts one down; a zero count is removed.
fn take<K: Eq + Hash>(counts: &mut HashMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count = count.saturating_sub(1);
        if *count == 0 {
            counts.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_slot_goes_back() {
        let admission = Admission::default();
        let limits = Limits { sessions_max: 3, per_address_max: 2 };
        let (one, two) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        let mut first = admission.enter(one, &limits).unwrap();
        let mut second = admission.enter(one, &limits).unwrap();
        assert_eq!(admission.enter(one, &limits).err(), Some(Rule::TooManyFromAddress));
        let third = admission.enter(two, &limits).unwrap();
        assert_eq!(admission.enter(two, &limits).err(), Some(Rule::TooManySessions));
        first.log_in("acme", 1).unwrap();
        assert_eq!(second.log_in("acme", 1), Err(Rule::TooManyForConnector));
        drop((first, third));
        second.log_in("acme", 1).unwrap();
        drop(second);
        let counts = admission.lock();
        assert!(counts.all == 0 && counts.by_address.is_empty());
        assert!(counts.by_connector.values().all(|n| *n == 0) && counts.not_logged_in.is_empty());
    }

    #[test]
    fn strangers_of_one_address_have_a_limit_of_their_own() {
        let (admission, address) = (Admission::default(), IpAddr::from([192, 0, 2, 1]));
        let limits = Limits { sessions_max: 1_000, per_address_max: 1_000 };
        let mut slots: Vec<_> = (0..NOT_LOGGED_IN_MAX).map(|_| admission.enter(address, &limits).unwrap()).collect();
        let no = admission.enter(address, &limits).unwrap_err();
        assert_eq!(no, Rule::TooManyNotLoggedIn);
        assert!(no.explain().starts_with(&format!("{NOT_LOGGED_IN_MAX} connections")));
        slots[0].log_in("acme", 1).unwrap();
        admission.enter(address, &limits).unwrap();
    }
}
