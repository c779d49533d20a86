//! What a server presents: the certificate that fits the name a client asks for. It never changes; a new one takes its
//! place, and sessions that run keep theirs.

use std::sync::Arc;

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::check::Facts;
use crate::base::clock::Clock;

/// One certificate with its key at hand.
#[derive(Clone, Debug)]
pub(super) struct Presented {
    pub name: String,
    pub facts: Facts,
    pub certified: Arc<CertifiedKey>,
}

/// Certificates in the order of the profile, the first presented when no other fits.
#[derive(Clone, Debug, Default)]
pub struct Served {
    list: Vec<Presented>,
    clock: Clock,
}

/// How well a certificate fits a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fit {
    Exact,
    Wildcard,
    Not,
}

impl Served {
    pub(super) fn new(list: Vec<Presented>, clock: Clock) -> Self {
        Self { list, clock }
    }

    /// Whether both present the same keys in the same order.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        let same = |(a, b): (&Presented, &Presented)| a.name == b.name && Arc::ptr_eq(&a.certified, &b.certified);
        self.list.len() == other.list.len() && self.list.iter().zip(&other.list).all(same)
    }

    /// Whether there is nothing to present: no handshake can succeed.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The certificate that is made for `host` (FTP's HOST, RFC 7151); `None` when none is.
    pub fn for_host(&self, host: &str) -> Option<Arc<CertifiedKey>> {
        let (fit, found) = self.best(Some(host), |_| true)?;
        (fit != Fit::Not).then(|| Arc::clone(&found.certified))
    }

    /// Name and SHA-256 of each, the default first.
    pub fn fingerprints(&self) -> impl Iterator<Item = (&str, &str)> {
        self.list.iter().map(|one| (one.name.as_str(), one.facts.sha256.as_str()))
    }

    /// Name and facts of each, the default first.
    pub fn facts(&self) -> impl Iterator<Item = (&str, &Facts)> {
        self.list.iter().map(|one| (one.name.as_str(), &one.facts))
    }

    /// The best for `host`: first what the client can check, then the name, then the dates, then the profile's order.
    fn best(&self, host: Option<&str>, usable: impl Fn(&CertifiedKey) -> bool) -> Option<(Fit, &Presented)> {
        let host = host.map(|host| {
            let bare = host.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.');
            bare.to_ascii_lowercase()
        });
        let now = self.clock.now();
        let fit = |one: &Presented| host.as_deref().map_or(Fit::Not, |host| fit(&one.facts.names, host));
        let rank = |one: &&Presented| (!usable(&one.certified), fit(one), !one.facts.is_valid(now));
        // The first of equals.
        self.list.iter().min_by_key(rank).map(|one| (fit(one), one))
    }
}

fn fit(names: &[String], host: &str) -> Fit {
    let parent = host.split_once('.').filter(|(first, _)| !first.is_empty()).map(|(_, parent)| parent);
    let covers = |name: &String| name.strip_prefix("*.").is_some_and(|rest| Some(rest) == parent);
    if names.iter().any(|name| name == host) {
        Fit::Exact
    } else if names.iter().any(covers) {
        Fit::Wildcard
    } else {
        Fit::Not
    }
}

impl ResolvesServerCert for Served {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let usable = |one: &CertifiedKey| one.key.choose_scheme(hello.signature_schemes()).is_some();
        self.best(hello.server_name(), usable).map(|(_, found)| Arc::clone(&found.certified))
    }
}
