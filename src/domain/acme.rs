//! Certificates issued by an authority over ACME (RFC 8555): what to request, and when.

use std::net::SocketAddr;
use std::time::Duration;

use url::Url;

use super::appliance::ApplianceSettings;
use super::flow::Retries;
use super::setting::{Mistake, Value};
use super::value::{AcmeChallenge, HostOrAddress};
use crate::base::clock::Timestamp;

/// The least time between two orders, and the first wait after a failed one. Authorities limit failures: Let's Encrypt
/// allows five an hour.
const AGAIN_AFTER: Duration = Duration::from_mins(15);
/// The longest wait.
const AGAIN_AFTER_MAX: Duration = Duration::from_hours(24);

/// What to request from an authority.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// The authority's directory (RFC 8555, section 7.1.1).
    pub directory: Url,
    /// Whom the authority writes to.
    pub contact: Option<String>,
    /// Host names in lower case, at least one.
    pub hosts: Vec<String>,
    /// How the authority verifies that they lead here.
    pub challenge: AcmeChallenge,
    /// Where the challenge is answered.
    pub at: SocketAddr,
}

impl Wish {
    /// What the settings ask for, whether ACME is on or not.
    pub fn of(settings: &ApplianceSettings) -> Result<Self, Mistake> {
        let hosts = hosts(settings)?;
        let directory = settings.acme_directory.url().clone();
        if directory.scheme() != "https" {
            let words = format!("{directory} begins with http://; an authority is asked by https://");
            return Err(Mistake::new("acme_directory", words));
        }
        let port = match (settings.acme_port, settings.acme_challenge) {
            (Some(port), _) => port.port(),
            (None, AcmeChallenge::Http01) => 80,
            (None, AcmeChallenge::TlsAlpn01) => 443,
        };
        Ok(Self {
            directory,
            contact: settings.acme_contact.as_ref().map(|address| address.as_str().to_owned()),
            hosts,
            challenge: settings.acme_challenge,
            at: SocketAddr::new(settings.acme_listen_address.ip(), port),
        })
    }

    /// All of it as text, different for each different wish.
    pub fn text(&self) -> String {
        let contact = self.contact.as_deref().unwrap_or("-");
        let (directory, hosts, challenge, at) = (&self.directory, self.hosts.join(","), self.challenge.text(), self.at);
        format!("{directory} {contact} {hosts} {challenge} {at}")
    }
}

fn hosts(settings: &ApplianceSettings) -> Result<Vec<String>, Mistake> {
    let named: Vec<String> = settings.acme_hosts.iter().map(str::to_owned).collect();
    let hosts = match &settings.public_host {
        Some(HostOrAddress::Host(host)) if named.is_empty() => vec![host.clone()],
        _ => named,
    };
    let wrong = |words: String| Err(Mistake::new("acme_hosts", words));
    if let Some(address) = hosts.iter().find(|host| host.parse::<std::net::IpAddr>().is_ok()) {
        return wrong(format!("{address} is an address; write the host name that partners connect to"));
    }
    if hosts.is_empty() {
        let words = "No host name is known: write at least one here, or the host name shown to partners in Settings";
        return wrong(words.to_owned());
    }
    Ok(hosts)
}

/// The current certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issued<'a> {
    /// The host names it is for.
    pub hosts: &'a [String],
    /// From when it is valid.
    pub not_before: Timestamp,
    /// Until when.
    pub not_after: Timestamp,
}

impl Issued<'_> {
    /// When it is renewed: after two thirds of its lifetime.
    pub fn renewed_at(&self) -> Timestamp {
        self.not_before.plus(self.not_after.since(self.not_before) / 3 * 2)
    }

    fn is_for(&self, hosts: &[String]) -> bool {
        self.hosts.len() == hosts.len() && hosts.iter().all(|host| self.hosts.contains(host))
    }
}

/// The outcome of the last order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tried {
    /// The wish it was for ([`Wish::text`]).
    pub wish: String,
    /// The directory of the authority that issued the certificate; empty when none has.
    pub issued_by: String,
    /// Failed orders since the last success.
    pub failures: u32,
    /// Why the last one failed; empty if it succeeded.
    pub message: String,
    /// When.
    pub at: Timestamp,
    /// The earliest time of the next one.
    pub next_at: Timestamp,
}

impl Tried {
    /// The new state after one more order, which succeeded or failed for that reason.
    #[must_use]
    pub fn after(&self, wish: &Wish, ended: Result<(), String>, now: Timestamp) -> Self {
        let (failures, message, issued_by) = match ended {
            Ok(()) => (0, String::new(), wish.directory.to_string()),
            Err(why) => (self.failures.saturating_add(1), why, self.issued_by.clone()),
        };
        let waits = Retries { most: u32::MAX, first: AGAIN_AFTER, longest: AGAIN_AFTER_MAX };
        let wait = waits.wait(failures.max(1)).unwrap_or(AGAIN_AFTER_MAX);
        Self { wish: wish.text(), issued_by, failures, message, at: now, next_at: now.plus(wait) }
    }

    /// Whether anybody is told of it: of each that was issued, and of failures once, until the next one or another wish.
    pub fn is_told(&self, before: &Self) -> bool {
        self.failures == 0 || before.failures == 0 || self.wish != before.wish
    }

    /// Whether to ask now. Another wish does not wait for what came of the one before, and nothing waits for an order that was
    /// placed while the clock was ahead.
    pub fn is_due(&self, wish: &Wish, issued: Option<&Issued<'_>>, now: Timestamp) -> bool {
        let needed = issued.is_none_or(|issued| {
            !issued.is_for(&wish.hosts) || self.issued_by != wish.directory.as_str() || now >= issued.renewed_at()
        });
        needed && (self.wish != wish.text() || now >= self.next_at || now < self.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::setting::Texts;

    fn settings(pairs: &[(&str, &str)]) -> Result<ApplianceSettings, Vec<Mistake>> {
        let texts: Texts = pairs.iter().map(|(key, text)| ((*key).to_owned(), (*text).to_owned())).collect();
        ApplianceSettings::parse(&texts)
    }

    fn wish(pairs: &[(&str, &str)]) -> Wish {
        settings(&[&[("acme", "on")], pairs].concat()).unwrap().acme_wish().unwrap()
    }

    #[test]
    fn switched_on_it_needs_a_host_name_that_an_authority_can_reach() {
        for (pairs, words) in [
            (&[("acme", "on")][..], "acme_hosts: No host name is known"),
            (&[("acme", "on"), ("public_host", "192.0.2.7")], "acme_hosts: No host name is known"),
            (&[("acme", "on"), ("acme_hosts", "192.0.2.7")], "acme_hosts: 192.0.2.7 is an address"),
            (
                &[("acme", "on"), ("acme_hosts", "a.example"), ("acme_directory", "http://a.example/dir")],
                "acme_directory: http://a.example/dir begins with http://",
            ),
        ] {
            let mistakes = settings(pairs).unwrap_err();
            assert!(mistakes[0].to_string().starts_with(words), "{}", mistakes[0]);
            let off: Vec<_> = pairs.iter().copied().filter(|(key, _)| *key != "acme").collect();
            assert_eq!(settings(&off).unwrap().acme_wish(), None);
        }
        let own = wish(&[("public_host", "FTP.example.com")]);
        assert_eq!(
            (own.hosts.as_slice(), own.at.to_string().as_str()),
            (&["ftp.example.com".to_owned()][..], "[::]:80")
        );
        let named =
            wish(&[("public_host", "a.example"), ("acme_hosts", "b.example"), ("acme_challenge", "tls-alpn-01")]);
        assert_eq!((named.hosts.as_slice(), named.at.port()), (&["b.example".to_owned()][..], 443));
    }

    #[test]
    fn it_is_asked_for_when_something_is_missing_and_renewed_after_two_thirds() {
        let wish = wish(&[("acme_hosts", "a.example,b.example")]);
        let start = Timestamp::parse_rfc3339("2026-01-01T00:00:00Z").unwrap();
        let day = |day: u64| start.plus(Duration::from_hours(24 * day));
        assert!(Tried::default().is_due(&wish, None, start));
        let tried = Tried::default().after(&wish, Ok(()), start);
        let hosts = ["b.example".to_owned(), "a.example".to_owned()];
        let issued = Issued { hosts: &hosts, not_before: start, not_after: day(90) };
        assert!(!tried.is_due(&wish, Some(&issued), day(59)));
        assert!(tried.is_due(&wish, Some(&issued), day(60)));
        assert!(tried.is_due(&wish, Some(&Issued { hosts: &hosts[..1], ..issued.clone() }), day(1)));
        assert!(tried.is_due(&wish, None, day(1)));
        let mut other = wish.clone();
        other.directory = Url::parse("https://other.example/").unwrap();
        assert!(tried.is_due(&other, Some(&issued), start), "another authority is asked at once");
        // A certificate that is there is not requested again and again, even if it is too short-lived.
        let short = Issued { not_after: start.plus(Duration::from_secs(1)), ..issued };
        assert!(!tried.is_due(&wish, Some(&short), start.plus(Duration::from_mins(14))));
        assert!(tried.is_due(&wish, Some(&short), start.plus(Duration::from_mins(15))));
    }

    #[test]
    fn failures_are_waited_out_ever_longer_unless_the_wish_changes() {
        let wish = wish(&[("acme_hosts", "a.example")]);
        let mut now = Timestamp::parse_rfc3339("2026-01-01T00:00:00Z").unwrap();
        let mut tried = Tried::default();
        let mut minutes = Vec::new();
        for _ in 0..9 {
            tried = tried.after(&wish, Err("no".to_owned()), now);
            let wait = tried.next_at.since(now);
            minutes.push(wait.as_secs() / 60);
            assert!(!tried.is_due(&wish, None, now.plus(wait).minus(Duration::from_secs(1))));
            now = now.plus(wait);
            assert!(tried.is_due(&wish, None, now));
        }
        assert_eq!(minutes, [15, 30, 60, 120, 240, 480, 960, 1440, 1440]);
        let tried = tried.after(&wish, Err("no".to_owned()), now);
        assert!(tried.is_due(&wish, None, now.minus(Duration::from_secs(1))), "the clock was ahead");
        let elsewhere = Wish { at: "127.0.0.1:8080".parse().unwrap(), ..wish };
        assert!(tried.is_due(&elsewhere, None, now));
    }
}
