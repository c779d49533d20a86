//! USER and PASS: who may come in. The same words and time for every name; the administrator sees the rule.

use std::net::IpAddr;

use super::Engine;
use crate::access::admission::Slot;
use crate::access::gate::Verdict;
use crate::access::guard::{Caller, Door, Known, Limits};
use crate::base::clock::Timestamp;
use crate::base::path::VirtualPath;
use crate::base::secret::Secret;
use crate::domain::authorise::No;
use crate::domain::connector::{Connector, ConnectorSettings};
use crate::domain::place::Place;
use crate::domain::profile::Profile;
use crate::domain::refusal::Rule;
use crate::domain::value::RequireTls;
use crate::ftp::encoding::Encoding;
use crate::ftp::reply::{Code, Reply};
use crate::ftp::session::Outcome;
use crate::store::live::Snapshot;
use crate::workspace::workspaces::Workspace;

/// Characters of an unknown name that are kept: people type passwords there.
const UNKNOWN_NAME_CHARS: usize = 3;

/// What came of it, and the rule that said no.
pub type Answer = (Outcome, Option<No>);

/// Who is at the door.
#[derive(Clone, Copy, Debug)]
pub struct Visitor<'a> {
    /// The name given.
    pub name: &'a str,
    /// From where.
    pub remote: IpAddr,
    /// Whether the control connection is protected.
    pub secure: bool,
}

/// `USER`: refused in clear where TLS is required, so that no password is sent.
pub fn name(snapshot: &Snapshot, visitor: &Visitor<'_>) -> Answer {
    let required = snapshot
        .connector(visitor.name)
        .map_or(snapshot.profile.require_tls, |live| live.connector.tls_required(&snapshot.profile, visitor.remote));
    if visitor.secure || required == RequireTls::None {
        return (Outcome::NameAccepted, None);
    }
    let reply = Reply::new(Code::NotLoggedIn, "Please use TLS (AUTH TLS) before you sign in.");
    let no = No { rule: Rule::TlsRequiredLogin, detail: "USER came in clear".to_owned() };
    (Outcome::Refused(reply), Some(no))
}

/// The name as refusals show it: of an unknown one only the beginning.
pub fn shown_name(snapshot: &Snapshot, name: &str) -> String {
    match snapshot.connector(name) {
        Some(live) => live.connector.id.as_str().to_owned(),
        None => name.chars().take(UNKNOWN_NAME_CHARS).filter(|c| !c.is_control()).collect(),
    }
}

/// `PASS`.
pub async fn login(engine: &Engine, visitor: &Visitor<'_>, password: &Secret, slot: &mut Slot) -> Answer {
    let snapshot = engine.live.snapshot();
    let live = snapshot.connector(visitor.name);
    if let Some(live) = live
        && !live.connector.address_allowed(visitor.remote)
    {
        return wrong(Rule::AddressNotAllowed, format!("{} is not among the allowed addresses", visitor.remote));
    }
    let hashes = live.map(|live| live.passwords.iter().map(|one| one.hash.clone()).collect()).unwrap_or_default();
    let key = visitor.name.to_ascii_lowercase();
    let known = if live.is_some() { Known::Yes } else { Known::No };
    let caller = Caller { door: Door::Ftp, name: &key, known, address: visitor.remote };
    let limits = limits(&snapshot.profile, visitor.remote);
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
            let rule = if live.is_some() { Rule::WrongPassword } else { Rule::UnknownUser };
            wrong(rule, "the password was wrong, or there is no such name".to_owned())
        }
        (Verdict::Accepted, None) => wrong(Rule::UnknownUser, String::new()),
        (Verdict::Accepted, Some(live)) => admit(engine, &snapshot, &live.connector, slot),
    }
}

/// `PASS` with the one-time pass of *Test connection*: all but address and password is judged as for the partner.
pub fn by_test_pass(engine: &Engine, name: &str, slot: &mut Slot) -> Answer {
    let snapshot = engine.live.snapshot();
    match snapshot.connector(name) {
        Some(live) => admit(engine, &snapshot, &live.connector, slot),
        None => wrong(Rule::UnknownUser, String::new()),
    }
}

fn admit(engine: &Engine, snapshot: &Snapshot, connector: &Connector, slot: &mut Slot) -> Answer {
    let now = engine.depot.clock.now();
    if let Err(why) = connector.valid_at(now) {
        return wrong(why.rule(), why.rule().label().to_owned());
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
        encoding: Encoding::parse(settings.name_encoding.as_str()).unwrap_or_default(),
        list_offset_s: settings.list_time_zone.offset_s_at(now),
        by_certificate: false,
    };
    (outcome, None)
}

/// The start folder; the root when it is not there any more.
fn start(settings: &ConnectorSettings, workspace: &Workspace) -> VirtualPath {
    let place = Place::of(settings, settings.start_folder.path());
    let there = match &place {
        Place::Within(folder, names) => workspace.folder(*folder).jail().folder(names).is_ok(),
        Place::Root | Place::Outside => false,
    };
    place.path().filter(|_| there).unwrap_or_default()
}

/// What blocks, unless the address is excepted.
fn limits(profile: &Profile, remote: IpAddr) -> Option<Limits> {
    (!profile.guard_allow.contains(remote)).then(|| Limits {
        failures_max: u32::try_from(profile.block_after_failures.get()).unwrap_or(u32::MAX),
        window: profile.block_window_s.seconds(),
        block_for: profile.block_for_s.seconds(),
    })
}

fn wrong(rule: Rule, detail: String) -> Answer {
    let reply = Reply::new(Code::NotLoggedIn, "Sign-in failed. Please check name and password.");
    (Outcome::Refused(reply), Some(No { rule, detail }))
}

fn blocked(until: Timestamp) -> Answer {
    let reply = Reply::new(Code::ClosingControl, "Too many failed sign-ins; please try again later.");
    let no = No { rule: Rule::AddressBlocked, detail: format!("blocked until {until}") };
    (Outcome::RefusedAndClose(reply), Some(no))
}
