//! Answers the session's questions, except transfers and TLS: who comes in, where data connections go, files and
//! folders.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use jiff::tz::TimeZone;
use tokio::time::Instant;

use super::connection::Control;
use crate::access::certificate::Shown;
use crate::access::passive::NoPort;
use crate::access::test_pass::Client;
use crate::base::secret::Secret;
use crate::domain::authorise::No;
use crate::domain::event::EventKind;
use crate::domain::refusal::Rule;
use crate::engine::data::{self, Agreed, ListenError, Passive};
use crate::engine::early::Early;
use crate::engine::login::{self, Visitor};
use crate::engine::refusal::{self, About};
use crate::engine::{Engine, LOGIN_DEADLINE, files, listing, rename};
use crate::ftp::reply::{Code, Reply};
use crate::ftp::session::{Ask, Family, Outcome};
use crate::store::event::Event;
use crate::transfer::depot::{Party, TransferError};

/// The lowest client port that is connected to: those below belong to other programs' services (PRODUCT section 3).
const PORT_MIN: u16 = 1024;

impl Control {
    pub(super) fn party(&self) -> Option<Party> {
        let snapshot = self.engine.live.snapshot();
        let connector = Arc::clone(snapshot.connectors.get(self.connector.as_ref()?)?);
        Some(Party::new(snapshot, connector, self.place.id().clone(), self.remote, self.tls_text.clone()))
    }

    /// Answers the session's questions, except transfers.
    pub(super) async fn answer(&mut self, ask: Ask) -> (Outcome, Option<No>) {
        match ask {
            Ask::Name(name) => {
                self.log_out();
                self.shown = login::shown_name(&self.engine.live.snapshot(), &name);
                let visitor = visitor(&name, (self.remote, self.tls.is_some()), &self.certificate);
                let answer = login::name(&self.engine, &visitor, &mut self.slot);
                self.came_in(&name, answer)
            }
            Ask::Login { name, password } => self.login(&name, &password).await,
            Ask::Logout => {
                self.log_out();
                self.host = None;
                (Outcome::Done, None)
            }
            Ask::Host(host) => (self.choose_host(host), None),
            Ask::Passive { family, extended } => self.listen(family, extended),
            Ask::Active(to) => self.active(to),
            Ask::ClientName(name) => {
                self.place.update(|doing| doing.client = Some(name));
                (Outcome::Done, None)
            }
            Ask::Unsupported(reply) => {
                let no = No { rule: Rule::TypeNotSupported, detail: String::new() };
                (Outcome::Refused(reply), Some(no))
            }
            other => self.about_files(other).await,
        }
    }

    /// HOST (RFC 7151): all names share one welcome; the certificate is chosen when TLS begins. After that, other names
    /// can no longer be proven.
    fn choose_host(&mut self, host: String) -> Outcome {
        let bare = |name: &str| name.trim_end_matches('.').to_ascii_lowercase();
        if self.name_of_handshake().is_some_and(|name| bare(name) != bare(&host)) {
            return Outcome::Refused(Reply::new(Code::ParameterNotImplemented, "TLS was set up for another name."));
        }
        self.host = Some(host);
        let snapshot = self.engine.live.snapshot();
        Outcome::Banner(snapshot.profile.welcome_message.lines().collect::<Vec<_>>().join("\n"))
    }

    async fn about_files(&mut self, ask: Ask) -> (Outcome, Option<No>) {
        let Some(party) = self.party() else {
            let reply = Reply::new(Code::NotLoggedIn, "Please sign in with USER and PASS first.");
            return (Outcome::Refused(reply), None);
        };
        let what = match ask {
            Ask::Rename { .. } => About::Name,
            Ask::Stat(_) => About::Listing,
            _ => About::File,
        };
        let path = ask.leads_to().cloned();
        match about(&self.engine, &party, ask).await {
            Ok(outcome) => (outcome, None),
            Err(error) => {
                let error = match path {
                    Some(path) => party.as_seen(&path, error),
                    None => error,
                };
                let (reply, no) = refusal::reply(&error, what);
                (Outcome::Refused(reply), no)
            }
        }
    }

    async fn login(&mut self, name: &str, password: &Secret) -> (Outcome, Option<No>) {
        let visitor = visitor(name, (self.remote, self.tls.is_some()), &self.certificate);
        let is_test = self.redeems(name, password);
        self.address_counts = !is_test;
        let answer = if is_test {
            login::by_test_pass(&self.engine, name, &mut self.slot)
        } else {
            login::login(&self.engine, &visitor, password, &mut self.slot).await
        };
        self.came_in(name, answer)
    }

    /// Remembers who is logged in, if that is the answer.
    fn came_in(&mut self, name: &str, (outcome, no): (Outcome, Option<No>)) -> (Outcome, Option<No>) {
        if matches!(outcome, Outcome::LoggedIn { .. }) {
            let id = self.engine.live.written_id(name);
            self.connector = id.as_ref().map(|id| id.key().to_owned());
            self.whose = id.map(|id| id.to_string());
            let whose = self.whose.clone();
            self.place.update(|doing| doing.connector = whose);
            tracing::info!(
                connector.id = self.shown,
                session.id = self.place.id().as_str(),
                "{} logged in",
                self.shown
            );
        }
        if let Some(no) = no.as_ref().filter(|no| no.rule != Rule::TlsRequiredLogin) {
            self.login_failed(name, no);
        }
        (outcome, no)
    }

    /// Whether this is *Test connection*, which comes from this very host with a pass of its own.
    fn redeems(&self, name: &str, password: &Secret) -> bool {
        let here = self.remote.is_loopback() || self.remote == self.local;
        let client = if here { Client::Here } else { Client::Elsewhere };
        let now = self.engine.depot.clock.now();
        self.engine.gate.test_passes().redeem(&name.to_ascii_lowercase(), password, client, now)
    }

    fn login_failed(&self, name: &str, no: &No) {
        let depot = &self.engine.depot;
        let summary = format!("Login of {} failed: {}", self.shown, no.rule.label());
        let connector = self.engine.live.written_id(name).map(|id| id.to_string()).unwrap_or_default();
        depot.recorder.login_failed(Event {
            session_id: self.place.id().to_string(),
            remote: self.remote.to_string(),
            ..depot.event(EventKind::LoginFailed, summary).of(&connector)
        });
    }

    pub(super) fn log_out(&mut self) {
        self.slot.log_out();
        if self.connector.take().is_some() {
            // Only those who have signed in get the same time again for another name.
            self.login_by = Instant::now() + LOGIN_DEADLINE;
        }
        self.place.update(|doing| doing.connector = None);
    }

    fn listen(&mut self, family: Option<Family>, extended: bool) -> (Outcome, Option<No>) {
        let fits = match family {
            None => true,
            Some(Family::V4) => self.local.is_ipv4(),
            Some(Family::V6) => self.local.is_ipv6(),
        };
        if !fits {
            let supported = if self.local.is_ipv4() { "(1)" } else { "(2)" };
            let text = format!("That network protocol is not the control connection's, use {supported}");
            return (Outcome::Refused(Reply::new(Code::NetworkNotSupported, text)), None);
        }
        let snapshot = self.engine.live.snapshot();
        // One pending port per session: an older one is given back first.
        self.agreed = None;
        match data::listen(&self.engine.ports, &snapshot.profile, (self.local, self.remote)) {
            Ok((passive, at)) => {
                self.agreed = Some(self.passive(passive));
                // 229 tells no address, and 227 has no place for the IPv6 one that is listened on.
                let told = if extended || self.local.is_ipv6() {
                    self.local
                } else {
                    self.engine.ports.told(&snapshot, self.remote, self.local)
                };
                (Outcome::Listening(SocketAddr::new(told, at.port())), None)
            }
            Err(error) => {
                let text = match error {
                    ListenError::NoPort(NoPort::Share { .. }) => {
                        "Your address has as many data ports as it may; please end other transfers and try again."
                    }
                    ListenError::NoPort(NoPort::UsedUp { .. }) | ListenError::Network(_) => {
                        "No port is free for a data connection; please try again."
                    }
                };
                let no = No { rule: Rule::NoPassivePort, detail: error.to_string() };
                (Outcome::Refused(Reply::new(Code::NoDataConnection, text)), Some(no))
            }
        }
    }

    /// With TLS the client may be early.
    fn passive(&self, passive: Passive) -> Agreed {
        match (self.data_tls(), self.party()) {
            (Some(session), Some(party)) => {
                let timeout = party.connector().settings.timeout_s.seconds();
                Agreed::Early(Early::wait(passive, self.remote, session, timeout))
            }
            _ => Agreed::Passive(passive),
        }
    }

    fn active(&mut self, to: SocketAddr) -> (Outcome, Option<No>) {
        // An IPv4 address in IPv6 form is an IPv4 address to the connecting socket.
        let to = SocketAddr::new(to.ip().to_canonical(), to.port());
        let (text, detail) = if to.ip() != self.remote {
            ("Only the address of the control connection is allowed.", to.to_string())
        } else if to.port() < PORT_MIN {
            ("Only ports of 1024 and above are allowed.", format!("{to} has a port below {PORT_MIN}"))
        } else {
            self.agreed = Some(Agreed::Active { to, from: self.port.saturating_sub(1) });
            return (Outcome::Done, None);
        };
        let no = No::new(Rule::DataConnectionWrongAddress, detail);
        (Outcome::Refused(Reply::new(Code::ArgumentError, text)), Some(no))
    }
}

fn visitor<'a>(name: &'a str, (remote, secure): (IpAddr, bool), shown: &'a Shown) -> Visitor<'a> {
    Visitor { name, remote, secure, shown }
}

/// Answers questions about files and folders.
async fn about(engine: &Engine, party: &Party, ask: Ask) -> Result<Outcome, TransferError> {
    match ask {
        Ask::Enter(path) => files::enter(engine, party, &path).map(Outcome::Entered),
        Ask::Stat(listed) => {
            let now = engine.depot.clock.now();
            let entries = listing::few(engine, party, listed).await?;
            Ok(Outcome::Entries { entries, now, list_zone: listing::list_zone(party).clone() })
        }
        Ask::Mlst(path) => {
            let entries = vec![files::entry(engine, party, &path).await?];
            Ok(Outcome::Entries { entries, now: engine.depot.clock.now(), list_zone: TimeZone::UTC })
        }
        Ask::Size { path, ascii: false } => files::size(engine, party, &path).await.map(Outcome::Size),
        Ask::Modified(path) => files::modified(engine, party, &path).await.map(Outcome::Modified),
        Ask::ModifiedOrTouch { whole, path, to } => {
            files::modified_or_touch(engine, party, whole.as_ref(), (&path, to)).await.map(Outcome::Modified)
        }
        Ask::Touch { path, to } => files::touch(engine, party, &path, to).await.map(|()| Outcome::Done),
        Ask::Available(path) => files::available(engine, party, &path).await.map(Outcome::Available),
        Ask::Delete(path) => files::delete(engine, party, &path).await.map(|()| Outcome::Done),
        Ask::MakeFolder(path) => files::make_folder(engine, party, &path).await.map(|()| Outcome::Done),
        Ask::RemoveFolder(path) => files::remove_folder(engine, party, &path).map(|()| Outcome::Done),
        Ask::RenameFrom(path) => rename::from(engine, party, &path).await.map(|()| Outcome::Done),
        Ask::Rename { from, to } => rename::rename(engine, party, &from, &to).await.map(|()| Outcome::Done),
        Ask::Receipt(path) => files::receipt_lines(engine, party, &path).await.map(Outcome::Receipt),
        // Answered before it gets here.
        Ask::Name(_)
        | Ask::Login { .. }
        | Ask::Logout
        | Ask::Host(_)
        | Ask::StartTls
        | Ask::Passive { .. }
        | Ask::Active(_)
        | Ask::Transfer(_)
        | Ask::Digest { .. }
        | Ask::Size { ascii: true, .. }
        | Ask::ClientName(_)
        | Ask::Unsupported(_) => Err(TransferError::NotFound),
    }
}
