//! What a server presents: the certificate for the name a client asks for. It is immutable; a new one replaces it, and
//! running sessions keep theirs.

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

/// Certificates in the order of the profile; the first is presented if no other fits.
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

    /// Whether there is nothing to present: every handshake would fail.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The certificate for `host` (FTP's HOST, RFC 7151); `None` if there is none.
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

    /// The best for `host`: first what the client can verify, then the name, then the dates, then the profile's order.
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

impl Served {
    /// The best for `host` among those whose signatures the client can verify.
    fn present(&self, hello: &ClientHello<'_>, host: Option<&str>) -> Option<Arc<CertifiedKey>> {
        let usable = |one: &CertifiedKey| one.key.choose_scheme(hello.signature_schemes()).is_some();
        self.best(host, usable).map(|(_, found)| Arc::clone(&found.certified))
    }
}

impl ResolvesServerCert for Served {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.present(&hello, hello.server_name())
    }
}

/// The same for a client that named no host in its handshake, but before: by FTP's HOST (RFC 7151), or in the handshake
/// of its control connection.
#[derive(Debug)]
pub struct ForHost {
    served: Arc<Served>,
    host: String,
}

impl ForHost {
    /// `host` as the client said it.
    pub const fn new(served: Arc<Served>, host: String) -> Self {
        Self { served, host }
    }
}

impl ResolvesServerCert for ForHost {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.served.present(&hello, hello.server_name().or(Some(&self.host)))
    }
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::ServerName;
    use rustls::{
        ClientConfig, ClientConnection, Connection, RootCertStore, ServerConfig, ServerConnection,
        SupportedProtocolVersion,
    };

    use super::*;
    use crate::access::certificate::check::{Material, signer};
    use crate::access::certificate::fixtures::{KINDS, Workshop, now};
    use crate::access::certificate::{provider, read, self_signed};
    use crate::base::clock::Timestamp;

    fn presented(name: &str, material: &Material) -> Presented {
        let key = signer(&material.key).unwrap();
        let certified = Arc::new(CertifiedKey::new(material.chain.clone(), key));
        Presented { name: name.to_owned(), facts: material.facts.clone(), certified }
    }

    fn made(hosts: &[&str], at: Timestamp) -> Material {
        self_signed(&hosts.iter().map(ToString::to_string).collect::<Vec<_>>(), at).unwrap()
    }

    fn named(served: &Served, host: &str) -> Option<String> {
        let found = served.for_host(host)?;
        served.list.iter().find(|one| Arc::ptr_eq(&one.certified, &found)).map(|one| one.name.clone())
    }

    #[test]
    fn a_host_gets_the_certificate_made_for_it() {
        let list = vec![
            presented("default", &made(&["other.example"], now())),
            presented("wild", &made(&["*.example.com", "192.0.2.7", "::1"], now())),
            presented("exact", &made(&["ftp.example.com"], now())),
        ];
        let served = Served::new(list, Clock::System);
        for (host, name) in [
            ("ftp.example.com", Some("exact")),
            ("FTP.Example.COM.", Some("exact")),
            ("www.example.com", Some("wild")),
            ("192.0.2.7", Some("wild")),
            ("[::1]", Some("wild")),
            ("a.b.example.com", None),
            ("example.com", None),
            (".example.com", None),
            ("", None),
        ] {
            assert_eq!(named(&served, host).as_deref(), name, "{host}");
        }
        assert_eq!(served.fingerprints().map(|(name, _)| name).collect::<Vec<_>>(), ["default", "wild", "exact"]);
        assert!(Served::default().is_empty() && Served::default().for_host("x").is_none());
    }

    #[test]
    fn of_two_for_a_host_the_valid_one_is_presented() {
        let early = Timestamp::parse_rfc3339("2020-01-01T00:00:00Z").unwrap();
        let list = vec![presented("old", &made(&["a.b"], early)), presented("new", &made(&["a.b"], now()))];
        assert_eq!(named(&Served::new(list, Clock::System), "a.b").as_deref(), Some("new"));
    }

    /// Does a handshake in memory; returns the certificate that the client saw.
    fn shake(
        served: &Arc<Served>,
        trusted: &[&Material],
        host: &str,
        version: &'static SupportedProtocolVersion,
    ) -> Vec<u8> {
        let (mut client, mut peer) = pair(served, trusted, host, version);
        while client.is_handshaking() || peer.is_handshaking() {
            carry(&mut client, &mut peer);
            carry(&mut peer, &mut client);
        }
        client.peer_certificates().unwrap()[0].to_vec()
    }

    fn carry(from: &mut Connection, to: &mut Connection) {
        let mut bytes = Vec::new();
        while from.wants_write() {
            from.write_tls(&mut bytes).unwrap();
        }
        let mut bytes = bytes.as_slice();
        while !bytes.is_empty() {
            to.read_tls(&mut bytes).unwrap();
            to.process_new_packets().unwrap();
        }
    }

    /// A client that trusts the last certificate of each chain, and a server that presents `served`.
    fn pair(
        served: &Arc<Served>,
        trusted: &[&Material],
        host: &str,
        version: &'static SupportedProtocolVersion,
    ) -> (Connection, Connection) {
        let provider = Arc::new(provider());
        let mut roots = RootCertStore::empty();
        for material in trusted {
            roots.add(material.chain[material.chain.len() - 1].clone()).unwrap();
        }
        let client =
            ClientConfig::builder_with_provider(Arc::clone(&provider)).with_protocol_versions(&[version]).unwrap();
        let client = client.with_root_certificates(roots).with_no_client_auth();
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let resolver: Arc<dyn ResolvesServerCert> = Arc::<Served>::clone(served);
        let config = config.with_no_client_auth().with_cert_resolver(resolver);
        let name = ServerName::try_from(host.to_owned()).unwrap();
        let client = ClientConnection::new(Arc::new(client), name).unwrap();
        let peer = ServerConnection::new(Arc::new(config)).unwrap();
        (Connection::from(client), Connection::from(peer))
    }

    #[test]
    fn clients_of_both_versions_see_the_certificate_for_the_name_they_ask_for() {
        let (one, two) = (made(&["one.example", "127.0.0.1"], now()), made(&["*.two.example"], now()));
        let served = Arc::new(Served::new(vec![presented("one", &one), presented("two", &two)], Clock::System));
        for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
            for (host, wanted) in [("one.example", &one), ("a.two.example", &two), ("127.0.0.1", &one)] {
                assert_eq!(shake(&served, &[&one, &two], host, version), wanted.chain[0].to_vec(), "{host}");
            }
        }
    }

    #[test]
    fn every_kind_of_key_and_a_chain_shake_hands() {
        for (newkey, kind) in KINDS {
            let work = Workshop::new();
            work.self_signed("a", "leaf", newkey);
            let material = read(&work.file("a.pem"), Some(&work.file("a.key")), None, now()).unwrap();
            let served = Arc::new(Served::new(vec![presented("a", &material)], Clock::System));
            let seen = shake(&served, &[&material], "ftp.example.com", &rustls::version::TLS13);
            assert_eq!(seen, material.chain[0].to_vec(), "{kind}");
        }
        let work = Workshop::with_chain();
        work.join(&["root.pem", "inter.pem", "leaf.pem"], "all.pem");
        let material = read(&work.file("all.pem"), Some(&work.file("leaf.key")), None, now()).unwrap();
        let served = Arc::new(Served::new(vec![presented("leaf", &material)], Clock::System));
        shake(&served, &[&material], "any.example.org", &rustls::version::TLS12);
    }
}
