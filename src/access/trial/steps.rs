//! The steps of a trial in order, each timed; the first failure ends it, with a remedy.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::time::Instant;

use super::client::{Agreed, Client};
use super::verifier;
use crate::access::hosts;
use crate::base::clock::Timestamp;
use crate::base::human;
use crate::base::secret::Secret;
use crate::domain::connector::Connector;
use crate::domain::profile::Profile;
use crate::domain::setting::Value as _;
use crate::domain::value::FtpOverTls;

/// The limit of a trial, whatever happens.
pub const WITHIN: Duration = Duration::from_secs(25);
/// How long a connection to an address may take.
const REACH_WITHIN: Duration = Duration::from_secs(4);
/// A certificate that expires within this time is reported.
const EXPIRY_NEAR_DAYS: i64 = 30;

/// How a step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All is well.
    Passed,
    /// It succeeded, but needs attention.
    Warning,
    /// It failed; later steps were not tried.
    Failed,
    /// It does not apply.
    Skipped,
}

/// Where to fix a problem: `profile`, `connector` or `settings`, and the key; `certificates` has none.
pub type Fix = (&'static str, &'static str);

/// One step.
#[derive(Clone, Debug)]
pub struct Step {
    /// What was done.
    pub words: String,
    /// How it ended.
    pub outcome: Outcome,
    /// What was found, and what to do; may be empty.
    pub detail: String,
    /// Where to do it.
    pub fix: Option<Fix>,
    /// How long it took.
    pub took: Duration,
}

/// All steps of one trial.
#[derive(Clone, Debug)]
pub struct Report {
    /// When it began.
    pub at: Timestamp,
    /// Its steps, in their order.
    pub steps: Vec<Step>,
}

impl Report {
    /// The worst of its steps.
    pub fn outcome(&self) -> Outcome {
        let any = |outcome| self.steps.iter().any(|step| step.outcome == outcome);
        if any(Outcome::Failed) {
            Outcome::Failed
        } else if any(Outcome::Warning) {
            Outcome::Warning
        } else {
            Outcome::Passed
        }
    }
}

/// What to try, and how to get in.
#[derive(Clone, Debug)]
pub struct Subject<'a> {
    /// The FTP server's settings.
    pub profile: &'a Profile,
    /// The partner's connector.
    pub connector: &'a Connector,
    /// The host name shown to partners.
    pub public_host: Option<String>,
    /// Where the FTP server listens: `[::]:8021`.
    pub listening: Option<SocketAddr>,
    /// A one-time pass.
    pub pass: Secret,
    /// What time it is.
    pub now: Timestamp,
    /// A part of a file name that nothing else has.
    pub unique: &'a str,
}

/// A trial in progress.
struct Trial<'a> {
    subject: &'a Subject<'a>,
    steps: Vec<Step>,
    since: Instant,
}

/// A step failed and the trial is over; the steps contain it.
struct Over;

/// Runs all steps.
pub async fn run(subject: &Subject<'_>) -> Report {
    let mut trial = Trial { subject, steps: Vec::new(), since: Instant::now() };
    if tokio::time::timeout(WITHIN, trial.all()).await.is_err() {
        let _ = trial.failed("The trial took too long", "It was given up.".to_owned(), None);
    }
    Report { at: subject.now, steps: trial.steps }
}

impl Trial<'_> {
    async fn all(&mut self) -> Result<(), Over> {
        let mut client = self.reach().await?;
        self.greet(&mut client).await?;
        self.sign_in(&mut client).await?;
        self.folders(&mut client).await?;
        self.passive(&mut client).await?;
        self.list(&mut client).await?;
        self.write(&mut client).await?;
        // Whatever the answer: everything was tried.
        let _ = client.say("QUIT").await;
        Ok(())
    }

    /// Through the host that partners use if it leads here, otherwise directly to the listener.
    async fn reach(&mut self) -> Result<Client, Over> {
        let Some(listening) = self.subject.listening else {
            let detail = "The FTP server is not listening: its profile says why.".to_owned();
            return Err(self.failed("Connect", detail, Some(("profile", "port"))));
        };
        let host = self.subject.public_host.clone();
        if let Some(host) = host
            && let Some(client) = self.through(&host, listening.port()).await
        {
            return Ok(client);
        }
        let ip = match listening.ip() {
            ip if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
            ip => ip,
        };
        let here = SocketAddr::new(ip, listening.port());
        match Client::connect(here).await {
            Ok(client) => {
                self.passed(format!("Connected to {here}, on this host"), String::new());
                Ok(client)
            }
            Err(error) => {
                let detail = format!("Could not connect to {here}: {error}.");
                Err(self.failed("Connect", detail, Some(("profile", "port"))))
            }
        }
    }

    /// A connection through the name that partners use, if it leads to this very host.
    async fn through(&mut self, host: &str, port: u16) -> Option<Client> {
        let addresses = match hosts::look_up(host, hosts::WITHIN).await {
            Ok(addresses) => addresses,
            Err(why) => {
                let detail = format!("{why}: partners may not find it either. The rest goes on without it.");
                self.step(Outcome::Warning, format!("Find {host}"), (detail, Some(("settings", "public_host"))));
                return None;
            }
        };
        let all: Vec<_> = addresses.iter().map(ToString::to_string).collect();
        self.passed(format!("Found {host}"), all.join(", "));
        for address in addresses.into_iter().map(|ip| SocketAddr::new(ip, port)) {
            match tokio::time::timeout(REACH_WITHIN, Client::connect(address)).await {
                Ok(Ok(client)) if client.is_here() => {
                    self.passed(format!("Connected to {address}"), String::new());
                    return Some(client);
                }
                Ok(Ok(_)) => {
                    let words = format!("Connected to {address}");
                    self.passed(words, "Something answers there by way of another machine.".to_owned());
                    return None;
                }
                Ok(Err(_)) | Err(_) => {}
            }
        }
        let detail = format!(
            "Nothing answers at {host}, port {port}, when asked from here. Behind a router this may be its doing; from \
             outside it must be forwarded to this host."
        );
        self.step(Outcome::Warning, format!("Connect to {host}"), (detail, Some(("settings", "public_host"))));
        None
    }

    /// The greeting, and TLS if it is offered.
    async fn greet(&mut self, client: &mut Client) -> Result<(), Over> {
        let tls = self.subject.profile.ftp_over_tls;
        if tls == FtpOverTls::Implicit {
            self.secure(client).await?;
        }
        let words = "The server greets";
        match client.answer().await {
            Ok(answer) if answer.code == 220 => self.passed(words.to_owned(), String::new()),
            Ok(answer) => return Err(self.failed(words, format!("It said: {answer}"), None)),
            Err(error) => return Err(self.failed(words, format!("{error}."), None)),
        }
        match tls {
            FtpOverTls::None => {
                self.step(Outcome::Skipped, "TLS".to_owned(), ("The profile offers none.".to_owned(), None));
            }
            FtpOverTls::Explicit => {
                if let Err(error) = client.ask("AUTH TLS").await {
                    return Err(self.failed("AUTH TLS", format!("{error}."), Some(("profile", "ftp_over_tls"))));
                }
                self.secure(client).await?;
            }
            FtpOverTls::Implicit => {}
        }
        if tls != FtpOverTls::None {
            for line in ["PBSZ 0", "PROT P"] {
                if let Err(error) = client.ask(line).await {
                    return Err(self.failed(line, format!("{error}."), None));
                }
            }
        }
        Ok(())
    }

    async fn secure(&mut self, client: &mut Client) -> Result<(), Over> {
        let host = self.subject.public_host.clone().unwrap_or_else(|| "localhost".to_owned());
        let name = ServerName::try_from(host.clone()).ok();
        let config = verifier::config().ok();
        let Some((name, config)) = name.zip(config) else {
            return Err(self.failed(
                "TLS",
                format!("{host} is no host name that TLS knows."),
                Some(("settings", "public_host")),
            ));
        };
        match client.secure(&config, &name).await {
            Ok(agreed) => self.judge(&agreed),
            Err(error) => {
                let detail = format!("The handshake failed: {error}. Look at the certificate and the TLS versions.");
                return Err(self.failed("TLS", detail, Some(("profile", "tls_protocols"))));
            }
        }
        Ok(())
    }

    /// How a partner's client would judge the certificate.
    fn judge(&mut self, agreed: &Agreed) {
        let facts = match &agreed.certificate {
            Ok(facts) => facts,
            Err(why) => {
                let detail = format!("The certificate cannot be read: {why}");
                return self.step(Outcome::Warning, agreed.version.clone(), (detail, Some(("certificates", ""))));
            }
        };
        let (now, names) = (self.subject.now, facts.names.join(", "));
        let mut doubts = Vec::new();
        if !facts.is_valid(now) {
            doubts.push(format!("It {}.", facts.expiry(now)));
        } else if facts.days_left(now) < EXPIRY_NEAR_DAYS {
            doubts.push(format!("It {}: replace it soon.", facts.expiry(now)));
        }
        if facts.self_signed {
            doubts.push("It is self-signed: a partner must be told its SHA-256, or trust it by hand.".to_owned());
        }
        if !facts.chain_complete {
            doubts.push("Its issuer does not come with it: some clients will refuse it.".to_owned());
        }
        match &self.subject.public_host {
            Some(host) if !fits(&facts.names, host) => {
                doubts.push(format!(
                    "It is not for {host}, the name that partners use: clients that check it will refuse."
                ));
            }
            Some(_) | None => {}
        }
        let outcome = if doubts.is_empty() { Outcome::Passed } else { Outcome::Warning };
        let fix = (outcome == Outcome::Warning).then_some(("certificates", ""));
        let detail = format!("Certificate for {names}, {}. {}", facts.expiry(now), doubts.join(" "));
        self.step(outcome, agreed.version.clone(), (detail.trim_end().to_owned(), fix));
    }

    async fn sign_in(&mut self, client: &mut Client) -> Result<(), Over> {
        let id = self.subject.connector.id.clone();
        let words = format!("Sign in as {id}");
        if let Err(why) = self.subject.connector.valid_at(self.subject.now) {
            let rule = why.rule();
            return Err(self.failed(&words, rule.explain().to_owned(), rule.setting_key()));
        }
        let pass = format!("PASS {}", self.subject.pass.reveal());
        for line in [format!("USER {id}"), pass] {
            match client.ask(&line).await {
                Ok(answer) if answer.code == 230 || answer.code == 232 => break,
                Ok(_) => {}
                Err(error) => {
                    let detail = format!("{error}. The Refusals of this connector say which rule it was.");
                    return Err(self.failed(&words, detail, None));
                }
            }
        }
        let detail = "By a one-time pass that works from this host only; the partner’s own password was not tried.";
        self.passed(format!("Signed in as {id}"), detail.to_owned());
        Ok(())
    }

    async fn folders(&mut self, client: &mut Client) -> Result<(), Over> {
        for folder in ["/Send", "/Receive"] {
            if let Err(error) = client.ask(&format!("CWD {folder}")).await {
                let key = if folder == "/Send" { "input_folder" } else { "output_folder" };
                return Err(self.failed(&format!("Enter {folder}"), format!("{error}."), Some(("connector", key))));
            }
        }
        self.passed("Entered /Send and /Receive".to_owned(), String::new());
        Ok(())
    }

    /// The address that a client is told to connect to (RFC 959 section 4.1.2: 227).
    async fn passive(&mut self, client: &mut Client) -> Result<(), Over> {
        let words = "Ask for a passive port";
        let answer = match client.ask("PASV").await {
            Ok(answer) => answer,
            Err(error) => return Err(self.failed(words, format!("{error}."), Some(("profile", "passive_port_range")))),
        };
        let Some(told) = passive_address(&answer.text) else {
            return Err(self.failed(words, format!("What came cannot be read: {answer}"), None));
        };
        let words = format!("Passive connections go to {told}");
        let profile = self.subject.profile;
        let public = self.subject.public_host.is_some();
        if profile.passive_address.is_none() && told.ip().is_loopback() {
            let detail =
                "To the address that a client came in by. Behind a router, set Passive Address to the outer one.";
            self.passed(words, detail.to_owned());
        } else if is_private(*told.ip()) && public {
            let detail = format!("{} is a private address: partners outside your network cannot reach it.", told.ip());
            self.step(Outcome::Warning, words, (detail, Some(("profile", "passive_address"))));
        } else {
            self.passed(words, String::new());
        }
        if profile.passive_port_range.is_none() {
            let detail =
                "Any port from 1024 on: a firewall in between must let all of them in. A range is easier to allow.";
            let fix = Some(("profile", "passive_port_range"));
            self.step(Outcome::Warning, "No Passive Port Range".to_owned(), (detail.to_owned(), fix));
        }
        Ok(())
    }

    async fn list(&mut self, client: &mut Client) -> Result<(), Over> {
        match client.fetch("NLST /Send").await {
            Ok((count, resumed)) => {
                let encrypted = self.subject.profile.ftp_over_tls != FtpOverTls::None;
                let detail = match (encrypted, resumed) {
                    (false, _) => "",
                    (true, true) => "Encrypted, and it resumed the TLS session.",
                    (true, false) => "Encrypted.",
                };
                let what = human::count(count as u64, "name", "names");
                self.passed(format!("Listed /Send: {what}"), detail.to_owned());
                Ok(())
            }
            Err(error) => {
                let detail = format!("{error}. The data connection goes to the Passive Port Range.");
                Err(self.failed("List /Send", detail, Some(("profile", "passive_port_range"))))
            }
        }
    }

    /// A file under a temporary name: stored like any other, but never a receipt.
    async fn write(&mut self, client: &mut Client) -> Result<(), Over> {
        let words = "Write to /Receive and delete again";
        let connector = self.subject.connector;
        if !connector.settings.receive_write {
            let detail = "Receive has no Write for this partner.".to_owned();
            self.step(Outcome::Skipped, words.to_owned(), (detail, Some(("connector", "receive_write"))));
            return Ok(());
        }
        let Some(name) = probe_name(self.subject) else {
            let detail =
                "There is no temporary extension whose names the filter accepts, so the probe would be received.";
            let fix = Some(("connector", "temp_receive_extensions"));
            self.step(Outcome::Skipped, words.to_owned(), (detail.to_owned(), fix));
            return Ok(());
        };
        if let Err(error) = client.put(&format!("STOR /Receive/{name}"), b"A probe of Test connection.\r\n").await {
            return Err(self.failed(words, format!("{error}."), Some(("connector", "output_folder"))));
        }
        if let Err(error) = client.ask(&format!("DELE /Receive/{name}")).await {
            return Err(self.failed(words, format!("{name} was written but not deleted: {error}."), None));
        }
        self.passed(format!("Wrote {name} to /Receive and deleted it"), "It left no receipt.".to_owned());
        Ok(())
    }

    fn passed(&mut self, words: String, detail: String) {
        self.step(Outcome::Passed, words, (detail, None));
    }

    fn failed(&mut self, words: &str, detail: String, fix: Option<Fix>) -> Over {
        self.step(Outcome::Failed, words.to_owned(), (detail, fix));
        Over
    }

    fn step(&mut self, outcome: Outcome, words: String, (detail, fix): (String, Option<Fix>)) {
        let now = Instant::now();
        self.steps.push(Step { words, outcome, detail, fix, took: now - self.since });
        self.since = now;
    }
}

/// Whether one of a certificate's names is for `host`.
fn fits(names: &[String], host: &str) -> bool {
    let host = host.to_ascii_lowercase();
    names.iter().any(|name| {
        let below = name.strip_prefix("*").and_then(|suffix| host.strip_suffix(suffix));
        *name == host || below.is_some_and(|label| !label.is_empty() && !label.contains('.'))
    })
}

/// The address in a 227 reply.
fn passive_address(text: &str) -> Option<std::net::SocketAddrV4> {
    let (_, rest) = text.split_once('(')?;
    let (inside, _) = rest.split_once(')')?;
    let numbers: Vec<u8> = inside.split(',').map(|number| number.trim().parse().ok()).collect::<Option<_>>()?;
    let [a, b, c, d, high, low] = numbers.as_slice() else { return None };
    Some(std::net::SocketAddrV4::new(Ipv4Addr::new(*a, *b, *c, *d), u16::from_be_bytes([*high, *low])))
}

fn is_private(ip: Ipv4Addr) -> bool {
    ip.is_private() || ip.is_loopback() || ip.is_link_local()
}

/// A name that is temporary for this partner and that the filter accepts.
fn probe_name(subject: &Subject<'_>) -> Option<String> {
    let (connector, unique) = (subject.connector, subject.unique);
    let filter = connector.filter(subject.profile);
    let extension = filter.first_extension().map(|extension| format!(".{extension}")).unwrap_or_default();
    let inner = format!("waybill-test-{unique}{extension}");
    let temporary = &connector.settings.temp_receive_extensions;
    let text = temporary.text();
    text.split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .map(|part| match part.strip_suffix('*') {
            Some(prefix) => format!("{prefix}{inner}"),
            None => format!("{inner}{}", part.trim_start_matches('*')),
        })
        .find(|name| temporary.is_temporary(name) && filter.accepts(&inner))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::connector::{ConnectorId, ConnectorSettings};
    use crate::domain::setting::Texts;

    #[test]
    fn the_address_of_a_227_is_read() {
        let told = passive_address("227 Entering Passive Mode (192,0,2,7,195,80).").unwrap();
        assert_eq!(told.to_string(), "192.0.2.7:50000");
        for wrong in ["227 nothing", "227 (1,2,3)", "227 (1,2,3,4,5,256)"] {
            assert_eq!(passive_address(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_certificate_fits_its_names_and_one_label_of_a_wildcard() {
        let names = ["ftp.example.com".to_owned(), "*.example.org".to_owned()];
        assert!(fits(&names, "FTP.example.com") && fits(&names, "a.example.org"));
        assert!(!fits(&names, "example.org") && !fits(&names, "a.b.example.org") && !fits(&names, "example.com"));
    }

    #[test]
    fn the_probe_is_temporary_and_accepted_or_is_not_written() {
        let name = |pairs: &[(&str, &str)]| {
            let texts: Texts = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
            let settings = ConnectorSettings::parse(&texts).unwrap();
            let connector = Connector { id: ConnectorId::parse("acme").unwrap(), version: 0, settings };
            let profile = Profile::default();
            let subject = Subject {
                profile: &profile,
                connector: &connector,
                public_host: None,
                listening: None,
                pass: Secret::new(""),
                now: Timestamp::default(),
                unique: "1",
            };
            probe_name(&subject)
        };
        assert_eq!(name(&[]).as_deref(), Some("waybill-test-1.tmp"));
        assert_eq!(name(&[("allowed_files_filter", "*.x12")]).as_deref(), Some("waybill-test-1.x12.tmp"));
        assert_eq!(name(&[("temp_receive_extensions", ".in.*")]).as_deref(), Some(".in.waybill-test-1"));
        assert_eq!(name(&[("temp_receive_extensions", "")]), None);
        assert_eq!(name(&[("allowed_files_filter", "orders*")]), None);
    }

    #[tokio::test]
    async fn a_server_that_is_not_there_is_the_first_failing_step() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let connector =
            Connector { id: ConnectorId::parse("acme").unwrap(), version: 0, settings: ConnectorSettings::default() };
        let profile = Profile::default();
        let subject = Subject {
            profile: &profile,
            connector: &connector,
            public_host: None,
            listening: Some(address),
            pass: Secret::new(""),
            now: Timestamp::default(),
            unique: "1",
        };
        let report = run(&subject).await;
        assert_eq!((report.outcome(), report.steps.len()), (Outcome::Failed, 1));
        assert_eq!(report.steps[0].fix, Some(("profile", "port")));
    }
}
