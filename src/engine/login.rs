//! USER and PASS: who may come in. The same words and timing for every name; the administrator sees the rule.

use std::net::IpAddr;

use super::Engine;
use crate::access::admission::Slot;
use crate::access::certificate::Shown;
use crate::access::gate::Verdict;
use crate::access::guard::{Caller, Door, Known, Limits};
use crate::base::clock::Timestamp;
use crate::base::human;
use crate::base::path::VirtualPath;
use crate::base::secret::Secret;
use crate::domain::authorise::No;
use crate::domain::connector::{Connector, ConnectorSettings};
use crate::domain::entrance;
use crate::domain::place::Place;
use crate::domain::refusal::Rule;
use crate::domain::value::ClientCertificate;
use crate::ftp::command::Command;
use crate::ftp::encoding::Encoding;
use crate::ftp::reply::{Code, Reply};
use crate::ftp::session::Outcome;
use crate::store::live::{LiveConnector, Snapshot};
use crate::transfer::transcript::masked;
use crate::workspace::workspaces::Workspace;

/// Characters of an unknown name that are kept: people type passwords there.
const UNKNOWN_NAME_CHARS: usize = 3;

/// The outcome, and the rule that said no.
pub type Answer = (Outcome, Option<No>);

/// Somebody who wants to log in.
#[derive(Clone, Copy, Debug)]
pub struct Visitor<'a> {
    /// The name given.
    pub name: &'a str,
    /// From where.
    pub remote: IpAddr,
    /// Whether the control connection is protected.
    pub secure: bool,
    /// The client's certificate from the handshake.
    pub shown: &'a Shown,
}

/// `USER`: refused in clear if TLS is required, so that no password is sent; logs in if the partner's certificate
/// suffices.
pub fn name(engine: &Engine, visitor: &Visitor<'_>, slot: &mut Slot) -> Answer {
    let snapshot = engine.live.snapshot();
    let named = snapshot.connector(visitor.name).map(|live| &live.connector);
    if let Err(no) = entrance::may_name(&snapshot.profile, named, (visitor.remote, visitor.secure)) {
        let reply = Reply::new(Code::NotLoggedIn, "Please use TLS (AUTH TLS) before you sign in.");
        return (Outcome::Refused(reply), Some(no));
    }
    match snapshot.partner(visitor.name).filter(|live| is_enough(engine, live, visitor)) {
        // All other reasons to refuse are given at PASS, in the same words for everybody.
        None => {
            let encoding = named.map_or(Encoding::UTF_8, |connector| encoding(&connector.settings));
            (Outcome::NameAccepted { encoding }, None)
        }
        Some(live) => {
            let caller = caller(visitor, live.connector.id.key(), Known::Yes);
            if let Some(until) = engine.gate.blocked_by_hand(&caller) {
                return blocked(until);
            }
            engine.gate.proved(&caller);
            admit(engine, &snapshot, &live.connector, (slot, By::Certificate))
        }
    }
}

/// The name as shown in refusals: only the beginning of an unknown one.
pub fn shown_name(snapshot: &Snapshot, name: &str) -> String {
    match snapshot.partner(name) {
        Some(live) => live.connector.id.as_str().to_owned(),
        None => name.chars().take(UNKNOWN_NAME_CHARS).filter(|c| !c.is_control()).collect(),
    }
}

/// A line as shown on pages and in records and transcripts.
pub fn shown_line(snapshot: &Snapshot, line: &str) -> String {
    // Most lines are another command.
    let verb = line.split_whitespace().next().unwrap_or_default();
    if verb.eq_ignore_ascii_case("USER")
        && let Command::User(name) = Command::read(line.trim_start())
        && snapshot.partner(&name).is_none()
    {
        return format!("USER {}****", shown_name(snapshot, &name));
    }
    masked(line).into_owned()
}

/// `PASS`.
pub async fn login(engine: &Engine, visitor: &Visitor<'_>, password: &Secret, slot: &mut Slot) -> Answer {
    let snapshot = engine.live.snapshot();
    let live = snapshot.partner(visitor.name);
    let demand = live.map_or(Ok(()), |live| {
        entrance::may_come_from(&live.connector, visitor.remote)?;
        demanded(engine, &live.connector, visitor).map_err(|why| No::new(Rule::ClientCertificate, why))
    });
    let hashes = match (live, &demand) {
        (Some(live), Ok(())) => live.hashes(engine.depot.clock.now()),
        // Nothing matches, in the time of a wrong password.
        (Some(_), Err(_)) | (None, _) => Vec::new(),
    };
    let key = visitor.name.to_ascii_lowercase();
    let known = if live.is_some() { Known::Yes } else { Known::No };
    let caller = caller(visitor, &key, known);
    let limits = Limits::of(&snapshot.profile, visitor.remote);
    let verdict = match engine.gate.check(&caller, password, hashes, limits.as_ref()).await {
        Ok(verdict) => verdict,
        Err(error) => {
            tracing::error!(%error, "A password could not be checked");
            return (Outcome::Refused(Reply::new(Code::ActionAborted, "Please try again later.")), None);
        }
    };
    match (verdict, live) {
        (Verdict::Blocked(until), _) => blocked(until),
        (Verdict::Wrong(delay), live) => {
            // The session waits; others are served meanwhile.
            tokio::time::sleep(delay).await;
            match (demand, live) {
                (Err(no), _) => wrong(no),
                (Ok(()), Some(live)) => wrong(No::new(Rule::WrongPassword, wrong_password(live, password))),
                (Ok(()), None) => wrong(No::new(Rule::UnknownUser, "there is no such name")),
            }
        }
        (Verdict::Accepted, None) => wrong(No::new(Rule::UnknownUser, "")),
        (Verdict::Accepted, Some(live)) => admit(engine, &snapshot, &live.connector, (slot, By::Password)),
    }
}

/// `PASS` with the one-time pass of *Test connection*: everything except address, certificate and password is judged as
/// for the partner.
pub fn by_test_pass(engine: &Engine, name: &str, slot: &mut Slot) -> Answer {
    let snapshot = engine.live.snapshot();
    match snapshot.partner(name) {
        Some(live) => admit(engine, &snapshot, &live.connector, (slot, By::Password)),
        None => wrong(No::new(Rule::UnknownUser, "")),
    }
}

fn caller<'a>(visitor: &Visitor<'_>, key: &'a str, known: Known) -> Caller<'a> {
    Caller { door: Door::Ftp, name: key, known, address: visitor.remote }
}

/// The credential that let a partner in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    Certificate,
    Password,
}

/// Whether the client's certificate is all that its partner needs.
fn is_enough(engine: &Engine, live: &LiveConnector, visitor: &Visitor<'_>) -> bool {
    let settings = &live.connector.settings;
    matches!(settings.client_certificate, ClientCertificate::OrPassword | ClientCertificate::Only)
        && live.connector.address_allowed(visitor.remote)
        && presented(engine, &live.connector, visitor).is_ok()
}

/// Whether the client presented the partner's certificate; if not, why.
fn presented(engine: &Engine, connector: &Connector, visitor: &Visitor<'_>) -> Result<(), String> {
    match &connector.settings.client_certificate_match {
        Some(wanted) => engine.certificates.judge(visitor.shown, wanted),
        None => Err("no Client certificate match is set".to_owned()),
    }
}

/// Whether a password can succeed at all, as far as the certificate goes.
fn demanded(engine: &Engine, connector: &Connector, visitor: &Visitor<'_>) -> Result<(), String> {
    match connector.settings.client_certificate {
        ClientCertificate::None | ClientCertificate::OrPassword => Ok(()),
        ClientCertificate::AndPassword | ClientCertificate::Only if !visitor.secure => {
            Err("the control connection is in clear, so no certificate can be presented".to_owned())
        }
        ClientCertificate::AndPassword => presented(engine, connector, visitor),
        ClientCertificate::Only => presented(engine, connector, visitor)
            .and(Err("the certificate alone signs in, at USER; a password never does".to_owned())),
    }
}

fn admit(engine: &Engine, snapshot: &Snapshot, connector: &Connector, (slot, by): (&mut Slot, By)) -> Answer {
    let now = engine.depot.clock.now();
    if let Err(no) = entrance::may_sign_in(connector, now) {
        return wrong(no);
    }
    if let Err(rule) = slot.log_in(connector.id.key(), connector.sessions_max(&snapshot.profile)) {
        let reply = Reply::new(Code::ClosingControl, "Too many sessions of this user; please try again later.");
        return (Outcome::RefusedAndClose(reply), Some(No { rule, detail: connector.id.to_string() }));
    }
    let workspace = match engine.depot.workspaces.get(&snapshot.profile, connector) {
        Ok(workspace) => workspace,
        Err(error) => {
            slot.log_out();
            tracing::error!(connector.id = connector.id.as_str(), %error, "A partner's folders could not be opened");
            let reply = Reply::new(Code::ActionAborted, "Storage is failing here; please try again later.");
            return (Outcome::Refused(reply), Some(No { rule: Rule::StorageFailing, detail: error.to_string() }));
        }
    };
    let settings = &connector.settings;
    let outcome = Outcome::LoggedIn {
        start: start(settings, &workspace),
        encoding: encoding(settings),
        by_certificate: by == By::Certificate,
    };
    (outcome, None)
}

/// The encoding of the partner's names and password.
pub fn encoding(settings: &ConnectorSettings) -> Encoding {
    Encoding::parse(settings.name_encoding.as_str()).unwrap_or_default()
}

/// What the administrator should know about a wrong password: whether it was unreadable in the encoding set.
fn wrong_password(live: &LiveConnector, password: &Secret) -> String {
    if !password.reveal().contains(char::REPLACEMENT_CHARACTER) {
        return "the password was wrong".to_owned();
    }
    let encoding = encoding(&live.connector.settings);
    format!("the password was wrong: it did not come in {}, the name encoding that is set", encoding.name())
}

/// The start folder; the root if that no longer exists.
fn start(settings: &ConnectorSettings, workspace: &Workspace) -> VirtualPath {
    let place = Place::of(settings, settings.start_folder.path());
    let there = match &place {
        Place::Within(folder, names) => workspace.folder(*folder).jail().folder(names).is_ok(),
        Place::Root | Place::Outside => false,
    };
    place.path().filter(|_| there).unwrap_or_default()
}

fn wrong(no: No) -> Answer {
    let reply = Reply::new(Code::NotLoggedIn, "Sign-in failed. Please check name and password.");
    (Outcome::Refused(reply), Some(no))
}

fn blocked(until: Timestamp) -> Answer {
    let reply = Reply::new(Code::ClosingControl, "Too many failed sign-ins; please try again later.");
    let no = No { rule: Rule::AddressBlocked, detail: format!("blocked until {} UTC", human::moment(until)) };
    (Outcome::RefusedAndClose(reply), Some(no))
}
