//! Limits the browser connections of one address, so that a silent client does not take every place.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard};

use crate::base::lock::lock;

/// Connections at a time from one address; those from this machine, such as from a proxy, do not count.
pub const CONNECTIONS_PER_ADDRESS_MAX: usize = 128;

/// Counts connections by address.
#[derive(Clone, Debug, Default)]
pub struct Crowd {
    counts: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

impl Crowd {
    /// A connection comes from `address`; `None` if it already has as many as allowed.
    pub fn join(&self, address: IpAddr) -> Option<Place> {
        let address = counted(address);
        if !address.is_loopback() {
            let mut counts = self.lock();
            let count = counts.entry(address).or_default();
            if *count >= CONNECTIONS_PER_ADDRESS_MAX {
                return None;
            }
            *count += 1;
            if *count == CONNECTIONS_PER_ADDRESS_MAX {
                tracing::warn!(%address, "As many connections to the web interface as one address may have; more are closed");
            }
        }
        Some(Place { crowd: self.clone(), address })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        lock(&self.counts)
    }
}

/// A connection, counted as long as this lives.
#[derive(Debug)]
pub struct Place {
    crowd: Crowd,
    address: IpAddr,
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Entry::Occupied(mut count) = self.crowd.lock().entry(self.address) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

/// The unit of counting: an IPv4 address, however it is written, or 64 bits of IPv6, which is what one site has (RFC
/// 6177 section 2).
pub(super) fn counted(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(six) if !six.is_loopback() => Ipv6Addr::from_bits(six.to_bits() >> 64 << 64).into(),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_so_many_places_and_takes_none_of_anothers() {
        let crowd = Crowd::default();
        let of = |text: &str| crowd.join(text.parse().unwrap());
        let places: Vec<_> = (0..CONNECTIONS_PER_ADDRESS_MAX).map(|_| of("192.0.2.1").unwrap()).collect();
        assert!(of("192.0.2.1").is_none() && of("::ffff:192.0.2.1").is_none());
        assert!(of("192.0.2.2").is_some());
        drop(places);
        let _one = of("192.0.2.1").unwrap();
        assert_eq!(crowd.lock().len(), 1, "what nobody has is not kept");
    }

    #[test]
    fn a_site_of_ipv6_counts_as_one_and_this_machine_not_at_all() {
        let crowd = Crowd::default();
        let of = |text: String| crowd.join(text.parse().unwrap());
        let places: Vec<_> =
            (0..CONNECTIONS_PER_ADDRESS_MAX).map(|n| of(format!("2001:db8::{n:x}")).unwrap()).collect();
        assert!(of("2001:db8::ffff:1".to_owned()).is_none());
        assert!(of("2001:db8:0:1::1".to_owned()).is_some());
        let here: Vec<_> = (0..=CONNECTIONS_PER_ADDRESS_MAX).map(|_| of("::1".to_owned())).collect();
        assert!(here.iter().all(Option::is_some));
        drop(places);
    }
}
