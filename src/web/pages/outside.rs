//! *Seen from outside*: what a partner's client meets when it uses the host name, as far as that can be determined from
//! here.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use crate::access::hosts;
use crate::domain::profile::Profile;
use crate::domain::reach;
use crate::domain::setting::Value;
use crate::domain::value::{FtpOverTls, HostOrAddress};
use crate::web::context::Context;
use crate::web::tone::Tone;

/// How long the page waits for the address of a name.
const AT_ONCE: Duration = Duration::from_millis(500);
/// Addresses of a name that are listed.
const ADDRESSES_MAX: usize = 3;
/// The range proposed if there is none.
const RANGE: &str = "50000-50199";

/// One thing that a client meets.
#[derive(Debug, PartialEq, Eq)]
pub struct Line {
    /// `ok`, `warn` or `bad`.
    pub tone: Tone,
    /// What.
    pub text: String,
    /// Its consequence; may be empty.
    pub more: String,
    /// A setting with a better value.
    pub offer: Option<(&'static str, String)>,
}

impl Line {
    fn new(tone: Tone, text: impl Into<String>, more: impl Into<String>) -> Self {
        Self { tone, text: text.into(), more: more.into(), offer: None }
    }

    fn offering(self, key: &'static str, value: impl Into<String>) -> Self {
        Self { offer: Some((key, value.into())), ..self }
    }
}

/// What is known of the way here.
#[derive(Clone, Debug)]
struct Way {
    /// The name or address given to partners.
    host: String,
    /// Its addresses, or why they are unknown.
    addresses: Result<Vec<IpAddr>, String>,
    /// Whether one of the certificates in use is for it.
    certified: bool,
}

impl Way {
    fn public_v4(&self) -> Option<Ipv4Addr> {
        self.addresses.iter().flatten().find_map(|address| match address {
            IpAddr::V4(four) if reach::is_public(*address) => Some(*four),
            _ => None,
        })
    }

    /// The addresses of the name, and whether the certificate agrees.
    fn lines(&self, profile: &Profile) -> Vec<Line> {
        let host = &self.host;
        let mut lines = vec![match &self.addresses {
            Ok(addresses) => {
                let told: Vec<_> = addresses.iter().take(ADDRESSES_MAX).map(ToString::to_string).collect();
                let told = told.join(", ");
                let leads = if told == *host { host.clone() } else { format!("{host} leads to {told}") };
                if addresses.iter().any(|address| reach::is_public(*address)) {
                    Line::new(Tone::Good, leads, "")
                } else {
                    let more = "Only clients of your own network get there.";
                    Line::new(Tone::Warning, format!("{leads}: a private address"), more)
                }
            }
            Err(why) => {
                let more = "Partners cannot find this server by it. Tell its name server of it, or set another name in Settings.";
                Line::new(Tone::Bad, why, more)
            }
        }];
        if profile.ftp_over_tls != FtpOverTls::None {
            lines.push(if self.certified {
                Line::new(Tone::Good, "The certificate is made for that name", "")
            } else {
                let more = format!("Clients that check names refuse it. Certificates makes or takes one for {host}.");
                Line::new(Tone::Warning, "No certificate in use is made for that name", more)
            });
        }
        lines
    }
}

/// What the reply to PASV says.
fn passive(profile: &Profile, way: Option<&Way>) -> Line {
    let public = way.and_then(Way::public_v4);
    let hang = "Clients from outside hang at their first listing.";
    match &profile.passive_address {
        Some(HostOrAddress::Host(name)) => {
            Line::new(Tone::Good, format!("PASV hands out the address of {name}"), "It is looked up again and again.")
        }
        Some(HostOrAddress::Address(address)) if !reach::is_public(IpAddr::V4(*address)) => {
            let offer = public.map(|better| ("passive_address", better.to_string()));
            Line { offer, ..Line::new(Tone::Warning, format!("PASV hands out {address}, a private address"), hang) }
        }
        Some(HostOrAddress::Address(address)) => match public.filter(|public| public != address) {
            Some(better) => Line::new(
                Tone::Warning,
                format!("PASV hands out {address}, and the name leads to {better}"),
                "Data connections go elsewhere than the control connection; that is seldom meant.",
            )
            .offering("passive_address", better.to_string()),
            None => Line::new(Tone::Good, format!("PASV hands out {address}"), ""),
        },
        None => match public {
            Some(better) => Line::new(
                Tone::Warning,
                "PASV hands out the address that this machine has itself",
                format!("Behind a router that is a private one. {hang}"),
            )
            .offering("passive_address", better.to_string()),
            None => Line::new(Tone::Good, "PASV hands out the address that this machine has itself", ""),
        },
    }
}

/// What a firewall must let in.
fn ports(profile: &Profile) -> Line {
    let control: Vec<_> =
        [Some(profile.port), profile.explicit_port].into_iter().flatten().map(|port| port.get().to_string()).collect();
    let control = control.join(" and ");
    match &profile.passive_port_range {
        Some(range) => {
            Line::new(Tone::Good, format!("A firewall must let in {control}, and {} for data", range.text()), "")
        }
        None => Line::new(
            Tone::Warning,
            "Data connections use any free port",
            format!("A firewall cannot be opened for them. It must let in {control} and a Passive Port Range."),
        )
        .offering("passive_port_range", RANGE),
    }
}

/// All of it, for the page.
pub async fn lines(context: &Context) -> Vec<Line> {
    let snapshot = context.state.live.snapshot();
    let way = match &snapshot.appliance.public_host {
        Some(host) => Some(find(context, host).await),
        None => None,
    };
    let mut lines = if let Some(way) = &way {
        way.lines(&snapshot.profile)
    } else {
        let more = "Settings has the host name shown to partners; the certificate and PASV are compared with it.";
        vec![Line::new(Tone::Warning, "No host name is set", more)]
    };
    lines.push(passive(&snapshot.profile, way.as_ref()));
    lines.push(ports(&snapshot.profile));
    lines
}

async fn find(context: &Context, host: &HostOrAddress) -> Way {
    let addresses = match host {
        HostOrAddress::Address(address) => Ok(vec![IpAddr::V4(*address)]),
        HostOrAddress::Host(name) => hosts::look_up(name, AT_ONCE).await.map(|mut all| {
            // The same order each time.
            all.sort_unstable();
            all
        }),
    };
    let host = host.to_string();
    let certified = context.state.certificates.served().for_host(&host).is_some();
    Way { host, addresses, certified }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::setting::Texts;

    fn profile(pairs: &[(&str, &str)]) -> Profile {
        let texts: Texts = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Profile::parse(&texts).unwrap()
    }

    fn way(addresses: &[&str], certified: bool) -> Way {
        let addresses: Vec<_> = addresses.iter().map(|address| address.parse().unwrap()).collect();
        let why = || "No address was found for ftp.example.com".to_owned();
        let addresses = if addresses.is_empty() { Err(why()) } else { Ok(addresses) };
        Way { host: "ftp.example.com".to_owned(), addresses, certified }
    }

    #[test]
    fn the_name_the_certificate_and_where_they_lead_are_told() {
        let defaults = Profile::default();
        let good = way(&["8.8.4.4"], true).lines(&defaults);
        assert_eq!(good.iter().map(|line| line.tone).collect::<Vec<_>>(), [Tone::Good, Tone::Good]);
        assert_eq!(good[0].text, "ftp.example.com leads to 8.8.4.4");
        let bad = way(&[], false).lines(&defaults);
        assert_eq!(bad.iter().map(|line| line.tone).collect::<Vec<_>>(), [Tone::Bad, Tone::Warning]);
        let inside = way(&["10.0.4.12"], true).lines(&defaults);
        assert_eq!((inside[0].tone, inside[0].text.ends_with("a private address")), (Tone::Warning, true));
        let clear = profile(&[("ftp_over_tls", "none"), ("require_tls", "none")]);
        assert_eq!(way(&["8.8.4.4"], false).lines(&clear).len(), 1, "nobody is shown a certificate");
    }

    #[test]
    fn what_pasv_hands_out_is_compared_with_where_the_name_leads() {
        let public = way(&["2001:4860::1", "8.8.4.4"], true);
        let offered = |line: Line| line.offer.map(|(key, value)| format!("{key}={value}"));
        let better = Some("passive_address=8.8.4.4".to_owned());
        let line = passive(&profile(&[("passive_address", "10.0.4.12")]), Some(&public));
        assert!(line.tone == Tone::Warning && line.text.contains("10.0.4.12, a private"), "{line:?}");
        assert_eq!(offered(line), better);
        assert_eq!(offered(passive(&Profile::default(), Some(&public))), better);
        assert_eq!(offered(passive(&profile(&[("passive_address", "8.8.8.8")]), Some(&public))), better);
        assert_eq!(passive(&profile(&[("passive_address", "8.8.4.4")]), Some(&public)).tone, Tone::Good);
        let private = passive(&profile(&[("passive_address", "10.0.4.12")]), None);
        assert_eq!((private.tone, private.offer), (Tone::Warning, None));
        assert_eq!(passive(&Profile::default(), None).tone, Tone::Good);
    }

    #[test]
    fn a_range_is_proposed_where_there_is_none() {
        let line = ports(&Profile::default());
        assert_eq!(line.offer, Some(("passive_port_range", RANGE.to_owned())));
        let line = ports(&profile(&[("passive_port_range", RANGE), ("port", "2121")]));
        assert_eq!(
            (line.tone, line.text.as_str()),
            (Tone::Good, "A firewall must let in 2121, and 50000-50199 for data")
        );
    }
}
