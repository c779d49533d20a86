//! What needs a person: each matter with what to do about it. Derived from the present state, never from a list of
//! messages, so that it goes away with its cause.
//!
//! Always: a matter keeps the same name while it lasts, so that it can be put off.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use super::tone::Tone;
use crate::access::certificate::Urgency;
use crate::base::clock::Timestamp;
use crate::base::human;
use crate::domain::administrator::Role;
use crate::domain::event::EventKind;
use crate::domain::flow::Target;
use crate::domain::place::Folder;
use crate::domain::receipt::Status;
use crate::domain::refusal::Rule;
use crate::domain::setting::Value as _;
use crate::domain::sla::{SlaSettings, State as SlaState, shown};
use crate::domain::value::{FtpOverTls, PortRange};
use crate::store::listener::{self, Listener, State};
use crate::store::{delivery_page, refusal, sla, snooze, watched};
use crate::transfer::presence::LiveSession;
use crate::web::context::Context;
use crate::web::error::WebError;
use crate::web::pages::acme::Standing;
use crate::web::pages::refusals::fix;
use crate::web::table::address;

/// Computed no more often than this: every page shows their number.
const KEPT_FOR: Duration = Duration::from_secs(2);
/// Refusals in an hour, by one rule for one connector, that are worth a look.
const REFUSED_MIN: u64 = 5;
/// Unusual: this many times the average hour of the last week.
const USUAL_TIMES: u64 = 3;
/// Rules and connectors listed at a time.
const REFUSED_SHOWN_MAX: i64 = 5;
/// How long a violated window is listed.
const VIOLATED_SHOWN_FOR: Duration = Duration::from_hours(24);
/// Lanes with given-up deliveries listed at a time.
const FAILED_SHOWN_MAX: usize = 5;
/// Connectors with failing storage listed at a time.
const FAILING_SHOWN_MAX: usize = 5;
/// Open to admins only.
const CERTIFICATES: &str = "/certificates";
const ACME: &str = "/certificates/acme";
const BACKUP: &str = "/settings/backup";
/// The age limit of the newest backup if one is made every night.
const BACKUP_AGE_MAX: Duration = Duration::from_hours(48);
/// Per cent of the disk in use.
const DISK_WARN: u64 = 85;
/// Per cent of the disk in use that will soon be too much.
const DISK_BAD: u64 = 95;

/// One matter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matter {
    /// Its name: the same while it lasts.
    pub item: String,
    /// `bad` or `warn`.
    pub tone: Tone,
    /// What is the matter.
    pub title: String,
    /// What it means.
    pub text: String,
    /// Words and addresses of the remedies.
    pub actions: Vec<(&'static str, String)>,
    /// Until when it is put off, in words; empty if it is not.
    pub until: String,
}

impl Matter {
    fn new(item: impl Into<String>, tone: Tone, title: impl Into<String>, text: impl Into<String>) -> Self {
        let (item, title, text) = (item.into(), title.into(), text.into());
        Self { item, tone, title, text, actions: Vec::new(), until: String::new() }
    }

    fn with(mut self, words: &'static str, address: impl Into<String>) -> Self {
        self.actions.push((words, address.into()));
        self
    }

    /// Removes remedies that the reader cannot use: not everybody sees every page.
    pub fn open_to(mut self, context: &Context) -> Self {
        let for_admins = [CERTIFICATES, ACME, BACKUP];
        self.actions.retain(|(_, address)| !for_admins.contains(&address.as_str()) || context.may(Role::Admin));
        self
    }

    /// Whether it is put off.
    pub fn is_snoozed(&self) -> bool {
        !self.until.is_empty()
    }
}

/// The matters found a moment ago.
pub type Found = Option<(Timestamp, Arc<Vec<Matter>>)>;

/// Every matter, urgent ones first and those put off last.
pub async fn matters(context: &Context) -> Result<Arc<Vec<Matter>>, WebError> {
    let now = context.now();
    // Others who come meanwhile wait for the same answer.
    let mut found = context.state.attention.lock().await;
    if let Some((at, matters)) = &*found
        && now.since(*at) < KEPT_FOR
        && *at <= now
    {
        return Ok(Arc::clone(matters));
    }
    let mut matters = listener(context).await?;
    matters.extend(storage(context));
    matters.extend(disk(context));
    matters.extend(certificates(context));
    matters.extend(acme(context).await?);
    matters.extend(backups(context));
    matters.extend(passive_address(context));
    matters.extend(passive_ports(context));
    matters.extend(refusals(context).await?);
    matters.extend(deliveries(context).await?);
    matters.extend(slas(context).await?);
    matters.extend(not_seen(context).await?);
    let put_off = snooze::all(&context.state.db, now).await?;
    for matter in &mut matters {
        if let Some(until) = put_off.get(&matter.item) {
            matter.until = super::view::Time::seen(*until, now).words;
        }
    }
    matters.sort_by_key(|matter| (matter.is_snoozed(), matter.tone != Tone::Bad));
    let matters = Arc::new(matters);
    *found = Some((now, Arc::clone(&matters)));
    Ok(matters)
}

/// Computed again when next needed: something was put off or brought back.
pub async fn forget(context: &Context) {
    *context.state.attention.lock().await = None;
}

async fn listener(context: &Context) -> Result<Vec<Matter>, WebError> {
    let state = listener::get(&context.state.db, Listener::Ftp).await?;
    let title = match state.state {
        State::Listening => return Ok(Vec::new()),
        State::Stopped => "The FTP server is stopped",
        State::CouldNotBind => "The FTP server could not listen as it should",
    };
    let text = if state.message.is_empty() { "No partner can connect.".to_owned() } else { state.message };
    Ok(vec![Matter::new("listener", Tone::Bad, title, text).with("Open the profile", "/profiles/ftp#port")])
}

fn storage(context: &Context) -> Vec<Matter> {
    let snapshot = context.state.live.snapshot();
    let mut failing = Vec::new();
    for live in snapshot.partners() {
        let id = &live.connector.id;
        let text = match context.state.depot.workspaces.get(&snapshot.profile, &live.connector) {
            Err(error) => format!("Its folders cannot be opened: {error}. The partner’s transfers are refused."),
            Ok(workspace) if Folder::ALL.iter().any(|side| workspace.folder(*side).is_failing()) => {
                "A write or a sync failed. Uploads are refused until a test write succeeds.".to_owned()
            }
            Ok(_) => continue,
        };
        let matter = Matter::new(format!("storage {}", id.key()), Tone::Bad, format!("{id}: storage fails"), text);
        failing.push(matter.with("Open its folders", format!("/connectors/{id}/advanced#input_folder")));
        if failing.len() == FAILING_SHOWN_MAX {
            break;
        }
    }
    failing
}

fn disk(context: &Context) -> Option<Matter> {
    let snapshot = context.state.live.snapshot();
    let (free, all) = context.state.depot.workspaces.room(&snapshot.profile).ok()?;
    let used = used_percent(free, all);
    let tone = if used > DISK_BAD { Tone::Bad } else { Tone::Warning };
    let text = format!(
        "{} of {} are free beneath the root directory. Below the disk reserve uploads are refused.",
        human::size(free),
        human::size(all)
    );
    (used > DISK_WARN).then(|| {
        let matter = Matter::new("disk", tone, format!("The disk is {used} per cent full"), text);
        matter.with("Open the disk reserve", "/profiles/ftp#disk_reserve")
    })
}

/// Partners that stay away, as announced.
async fn not_seen(context: &Context) -> Result<Vec<Matter>, WebError> {
    let snapshot = context.state.live.snapshot();
    let mut told: Vec<_> = watched::all(&context.state.db).await?.into_iter().collect();
    told.sort_by_key(|(_, at)| *at);
    let matter = |(item, _): (String, Timestamp)| {
        let id = snapshot.partner(item.strip_prefix("not_seen:")?)?.connector.id.to_string();
        let text = "It is enabled and does not sign in. Disable it if it is not to come, or ask the partner.";
        let matter = Matter::new(item, Tone::Warning, format!("{id} has not signed in for long"), text.to_owned());
        Some(
            matter
                .with("Its sessions", format!("/connectors/{id}/logs"))
                .with("Not seen for", format!("/connectors/{id}/alerts#alert_not_seen_days")),
        )
    };
    Ok(told.into_iter().filter_map(matter).take(FAILING_SHOWN_MAX).collect())
}

/// Windows of SLAs that lack files: those ending soon, and those of the last day.
async fn slas(context: &Context) -> Result<Vec<Matter>, WebError> {
    let snapshot = context.state.live.snapshot();
    let bad = sla::bad(&context.state.db, context.now().minus(VIOLATED_SHOWN_FOR)).await?;
    let matter = |one: sla::Bad| {
        let live = snapshot.connector(&one.connector_key)?;
        let (settings, due) = SlaSettings::parse(&one.texts).ok()?;
        let (id, end) = (live.connector.id.to_string(), shown(one.window.end, &settings.zone));
        let so_far = format!("{} of {}", one.files, due.at_least.get());
        let (tone, title) = match one.state {
            SlaState::AtRisk => (Tone::Warning, format!("SLA of {id} at risk: {so_far}, due by {end}")),
            _ => (Tone::Bad, format!("SLA of {id} missed: {so_far} by {end}")),
        };
        let item = format!("sla:{}:{}:{}", one.id, one.window.start.us(), one.state.name());
        let matter = Matter::new(item, tone, title, settings.in_words());
        Some(
            matter
                .with("Show it", format!("/connectors/{id}/slas"))
                .with("What came", format!("/connectors/{id}/receive")),
        )
    };
    Ok(bad.into_iter().filter_map(matter).collect())
}

/// Deliveries given up, lane by lane.
async fn deliveries(context: &Context) -> Result<Vec<Matter>, WebError> {
    let snapshot = context.state.live.snapshot();
    let written =
        |key: &str| snapshot.connector(key).map_or_else(|| key.to_owned(), |live| live.connector.id.to_string());
    let failed = delivery_page::failed(&context.state.db).await?;
    let matter = |lane: delivery_page::Failed| {
        let item = format!("delivery:{}:{}", lane.source_key, lane.target);
        let since = human::ago(lane.since, context.now());
        let to = match Target::parse(&lane.target) {
            Some(Target::Connector(key)) => written(&key),
            Some(Target::AlertMail) => {
                let alerts = human::count(lane.count, "alert", "alerts");
                let text = format!("The first was given up {since}. Send test says what the mail server answers.");
                let matter = Matter::new(item, Tone::Bad, format!("{alerts} could not be sent by mail"), text);
                return matter.with("Mail", "/profiles/mail");
            }
            Some(Target::Events(id)) => {
                let url = snapshot.event_target(&id).map(|target| target.settings.address()).unwrap_or_default();
                let events = human::count(lane.count, "event", "events");
                let text = format!("The first was given up {since}. Send test event says what the receiver answers.");
                let matter = Matter::new(item, Tone::Bad, format!("{events} could not be posted to {url}"), text);
                return matter.with("Event targets", "/profiles/events");
            }
            Some(Target::Action(id)) => {
                let written = written(&lane.source_key);
                let deed = snapshot.action(&id).map(|action| action.settings.deed()).unwrap_or_default();
                let times = human::count(lane.count, "time", "times");
                let text = format!("The first was given up {since}. Each event says why and offers to do it again.");
                let title = format!("An action of {written} could not be done {times}: {deed}");
                let events = address("/activity/events", &[("kind", EventKind::ActionFailed.name())]);
                let automation = format!("/connectors/{written}/automation");
                return Matter::new(item, Tone::Bad, title, text).with("Events", events).with("Automation", automation);
            }
            None => lane.target.clone(),
        };
        let from = written(&lane.source_key);
        let files = human::count(lane.count, "file", "files");
        let title = format!("{files} of {from} could not be passed along to {to}");
        let text = format!(
            "The first was given up {since}. Their bytes are kept: each receipt says why, and offers to pass it along \
             again or to give it up for good."
        );
        let list = address("/activity/receive", &[("connector", &from), ("status", Status::Waiting.name())]);
        Matter::new(item, Tone::Bad, title, text)
            .with("Show them", list)
            .with("Events", address("/activity/events", &[("kind", EventKind::DeliveryFailed.name())]))
    };
    Ok(failed.into_iter().take(FAILED_SHOWN_MAX).map(matter).collect())
}

/// Per cent in use, rounded down.
pub fn used_percent(free: u64, all: u64) -> u64 {
    let used = u128::from(all.saturating_sub(free)) * 100 / u128::from(all.max(1));
    u64::try_from(used).unwrap_or(100)
}

/// The authority did not issue a requested certificate.
async fn acme(context: &Context) -> Result<Option<Matter>, WebError> {
    let standing = Standing::of(context).await?;
    let next = standing.next.map(|next| format!(" It is asked again {}.", next.words)).unwrap_or_default();
    Ok((standing.tone == Tone::Bad).then(|| {
        let text = format!("{}{next}", standing.message);
        Matter::new("acme", Tone::Warning, "No certificate was issued by ACME", text).with("Open ACME", ACME)
    }))
}

fn certificates(context: &Context) -> Vec<Matter> {
    let (snapshot, now) = (context.state.live.snapshot(), context.now());
    if snapshot.profile.ftp_over_tls == FtpOverTls::None {
        return Vec::new();
    }
    let served = context.state.certificates.served();
    let open = |matter: Matter| matter.with("Open certificates", CERTIFICATES);
    if served.is_empty() {
        let text = "Every TLS handshake fails. The log says why it cannot be read.";
        return vec![open(Matter::new("no certificate", Tone::Bad, "There is no certificate to present", text))];
    }
    let mut matters = Vec::new();
    for (name, facts) in served.facts() {
        if let Some(urgency) = Urgency::of(facts.days_left(now)) {
            let tone = if urgency >= Urgency::Days { Tone::Bad } else { Tone::Warning };
            let text = "Partners’ clients refuse a certificate that has expired. Replace it; sessions go on.";
            let title = format!("Certificate {name} {}", facts.expiry(now));
            matters.push(open(Matter::new(format!("expiry {}", facts.sha256), tone, title, text)));
        } else if facts.self_signed {
            let title = "The server certificate is self-signed";
            let text = format!("A partner’s client trusts {name} only when its fingerprint is compared or pinned.");
            matters.push(open(Matter::new(format!("self-signed {}", facts.sha256), Tone::Warning, title, text)));
        }
    }
    matters
}

/// The newest backup is too old, if one is made every night.
fn backups(context: &Context) -> Option<Matter> {
    let snapshot = context.state.live.snapshot();
    snapshot.appliance.backup_at?;
    let newest = context.state.backups.newest(&snapshot.appliance).unwrap_or_default();
    let (title, text) = match newest.map(|made_at| context.now().since(made_at)) {
        Some(age) if age <= BACKUP_AGE_MAX => return None,
        Some(age) => {
            let age = human::duration(age);
            (format!("The newest backup is {age} old"), "One should be made every night; the events tell why none was.")
        }
        None => ("There is no backup yet".to_owned(), "One is made every night, and the first within a minute."),
    };
    Some(Matter::new("backup", Tone::Warning, title, text).with("Open Backup", BACKUP))
}

/// The address that outside clients are told to connect to (227) is unreachable for them: the Passive Address, the
/// address of its name, an exception, or, without any, our own.
fn passive_address(context: &Context) -> Option<Matter> {
    let (state, snapshot) = (&context.state, context.state.live.snapshot());
    let told = |session: &LiveSession| match state.ports.told(&snapshot, session.remote, session.local) {
        IpAddr::V4(told) if is_outside(session.remote) && is_private(told) => Some((told, session.remote)),
        _ => None,
    };
    let (told, remote) = state.presence.sessions().iter().find_map(told)?;
    let title = match snapshot.profile.passive_address {
        Some(_) => format!("The Passive Address {told} is a private one"),
        None => format!("There is no Passive Address, and our own, {told}, is a private one"),
    };
    let text = format!(
        "Clients come from outside, such as {remote}, and cannot reach it: their transfers fail. Hand out the public address."
    );
    let matter = Matter::new(format!("passive {told}"), Tone::Warning, title, text);
    Some(matter.with("Change it", "/profiles/ftp#passive_address"))
}

const fn is_private(address: Ipv4Addr) -> bool {
    address.is_private() || address.is_loopback() || address.is_link_local()
}

fn is_outside(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => !is_private(address),
        // IPv6 clients get only a port, on the address they connected to.
        IpAddr::V6(_) => false,
    }
}

fn passive_ports(context: &Context) -> Option<Matter> {
    let snapshot = context.state.live.snapshot();
    nearly_full(u32::try_from(context.state.ports.leased()).unwrap_or(u32::MAX), snapshot.profile.passive_port_range?)
}

/// The passive port range, if no more than a tenth of it is free.
fn nearly_full(leased: u32, range: PortRange) -> Option<Matter> {
    let ports = range.count();
    (leased * 10 >= ports * 9).then(|| {
        let title = format!("{leased} of {ports} passive ports are taken");
        let text =
            format!("Data connections use nearly all of {}. When none is left, transfers are refused.", range.text());
        Matter::new("passive ports", Tone::Warning, title, text)
            .with("Widen the range", "/profiles/ftp#passive_port_range")
    })
}

async fn refusals(context: &Context) -> Result<Vec<Matter>, WebError> {
    let (db, now) = (&context.state.db, context.now());
    let hour = now.minus(Duration::from_hours(1));
    let week = now.minus(Duration::from_hours(7 * 24));
    let mut matters = Vec::new();
    for one in refusal::frequent(db, hour, REFUSED_SHOWN_MAX).await? {
        let before = refusal::times(db, &one.connector, one.rule, (week, hour)).await?;
        if one.rule == Rule::AbortedByAdministrator || !is_unusual(one.times, before) {
            continue;
        }
        let who = if one.connector.is_empty() { "Before sign-in".to_owned() } else { one.connector.clone() };
        let times = human::count(one.times, "time", "times");
        let title = format!("{who}: {}, {times} in the last hour", human::lower_first(one.rule.label()));
        let item = format!("refusals {} {}", one.rule.name(), one.connector);
        let matter = Matter::new(item, Tone::Bad, title, one.rule.explain());
        let matter = matter.with("Why?", format!("/refusals/{}", one.latest));
        let (address, words) = fix(context, one.rule, &one.connector);
        matters.push(if address.is_empty() { matter } else { matter.with(words, address) });
    }
    Ok(matters)
}

/// Whether an hour with `now` refusals stands out from a week with `before` of them.
const fn is_unusual(now: u64, before: u64) -> bool {
    now >= REFUSED_MIN && now.saturating_mul(7 * 24) > before.saturating_mul(USUAL_TIMES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_stands_out_by_number_and_against_its_week() {
        assert!(is_unusual(5, 0));
        assert!(!is_unusual(4, 0), "a handful is nothing");
        assert!(!is_unusual(10, 168 * 10), "as every hour");
        assert!(is_unusual(31, 168 * 10));
    }

    #[test]
    fn a_disk_is_full_by_what_is_left() {
        assert_eq!((used_percent(15, 100), used_percent(14, 100), used_percent(0, 0)), (85, 86, 0));
    }

    #[test]
    fn a_range_of_ports_is_nearly_full_when_a_tenth_is_free() {
        let range = PortRange { first: 50_000, last: 50_019 };
        assert!(nearly_full(17, range).is_none());
        let matter = nearly_full(18, range).unwrap();
        assert_eq!(matter.title, "18 of 20 passive ports are taken");
        assert!(matter.text.contains("50000-50019"), "{}", matter.text);
    }

    #[test]
    fn inside_and_outside_are_told_apart() {
        assert!(is_private(Ipv4Addr::new(10, 0, 4, 12)) && !is_private(Ipv4Addr::new(203, 0, 113, 80)));
        assert!(is_outside(IpAddr::from([198, 51, 100, 7])) && !is_outside(IpAddr::from([127, 0, 0, 1])));
    }
}
