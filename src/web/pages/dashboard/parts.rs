//! The other parts of the dashboard: what needs attention, the server, the latest files, the first steps.

use askama::Template;

use crate::base::human;
use crate::domain::administrator::Role;
use crate::domain::setting::Value;
use crate::domain::value::FtpOverTls;
use crate::store::listener::{self, Listener, State};
use crate::store::receipt::{self, Search};
use crate::web::attention::{self, Matter, used_percent};
use crate::web::context::Context;
use crate::web::error::WebError;
use crate::web::tone::Tone;
use crate::web::view::Time;

/// Files of the latest list.
const LATEST: i64 = 6;

/// What needs attention.
#[derive(Clone, Debug, Template)]
#[template(path = "parts/attention.html")]
pub struct AttentionPart {
    matters: Vec<Matter>,
    open: usize,
    may_edit: bool,
    csrf: String,
}

impl AttentionPart {
    /// At present.
    pub async fn now(context: &Context) -> Result<Self, WebError> {
        let matters = attention::matters(context).await?;
        Ok(Self {
            open: matters.iter().filter(|matter| !matter.is_snoozed()).count(),
            matters: matters.iter().map(|matter| matter.clone().open_to(context)).collect(),
            may_edit: context.may(Role::Editor),
            csrf: context.visitor.csrf.clone(),
        })
    }
}

/// The server.
#[derive(Clone, Debug, Template)]
#[template(path = "parts/server.html")]
pub struct ServerPart {
    tone: Tone,
    state: &'static str,
    facts: Vec<(&'static str, String)>,
    disk: String,
    disk_used: u64,
    database: String,
}

impl ServerPart {
    /// At present.
    pub async fn now(context: &Context) -> Result<Self, WebError> {
        let state = listener::get(&context.state.db, Listener::Ftp).await?;
        let snapshot = context.state.live.snapshot();
        let profile = &snapshot.profile;
        let (tone, words) = match state.state {
            State::Listening => (Tone::Good, "Listening"),
            State::Stopped => (Tone::Plain, "Stopped"),
            State::CouldNotBind => (Tone::Bad, "Could not bind"),
        };
        let versions = profile.tls_protocols.text().replace(',', " and ");
        let tls = match profile.ftp_over_tls {
            FtpOverTls::None => "None".to_owned(),
            FtpOverTls::Explicit => format!("Explicit, {versions}"),
            FtpOverTls::Implicit => format!("Implicit, {versions}"),
        };
        let passive = profile.passive_port_range.as_ref().map_or_else(|| "Any free".to_owned(), Value::text);
        let address = if state.address.is_empty() { "Nowhere".to_owned() } else { state.address };
        let room = context.state.depot.workspaces.room(profile);
        let (disk, disk_used) = match room {
            Ok((free, all)) => {
                let used = human::size(all.saturating_sub(free));
                (format!("{used} of {} used", human::size(all)), used_percent(free, all))
            }
            Err(error) => (error.to_string(), 0),
        };
        Ok(Self {
            tone,
            state: words,
            facts: vec![
                ("Address", address),
                ("Since", Time::seen(state.since, context.now()).words),
                ("TLS", tls),
                ("Passive ports", passive),
            ],
            disk,
            disk_used,
            database: human::size(context.state.db.size_bytes().await?),
        })
    }
}

/// One of the latest files.
#[derive(Clone, Debug)]
pub struct Latest {
    /// The receipt.
    pub id: String,
    /// The file.
    pub name: String,
    /// Its connector.
    pub connector: String,
    /// Whether that still exists.
    pub known: bool,
    /// Where it is now.
    pub status: &'static str,
    /// Its size.
    pub size: String,
    /// When.
    pub at: Time,
}

/// The latest files.
#[derive(Clone, Debug, Template)]
#[template(path = "parts/latest.html")]
pub struct LatestPart {
    rows: Vec<Latest>,
}

impl LatestPart {
    /// At present.
    pub async fn now(context: &Context) -> Result<Self, WebError> {
        let now = context.now();
        let found = receipt::page(&context.state.db, &Search::default(), None, LATEST).await?;
        let row = |receipt: receipt::Receipt| Latest {
            id: receipt.id.to_string(),
            name: receipt.name,
            known: context.state.live.written_id(&receipt.connector).is_some(),
            connector: receipt.connector,
            status: receipt.status.label(),
            size: human::size(receipt.size_bytes),
            at: Time::seen(receipt.completed_at, now),
        };
        Ok(Self { rows: found.into_iter().map(row).collect() })
    }
}

/// One of the first steps.
#[derive(Clone, Debug)]
pub struct Step {
    /// What.
    pub title: &'static str,
    /// Its present state, or how to do it.
    pub text: String,
    /// Where.
    pub address: String,
    /// Whether it is done, derived from the present state.
    pub done: bool,
}

/// The first steps; they are shown until the first file is received.
#[derive(Clone, Debug, Template)]
#[template(path = "parts/checklist.html")]
pub struct Checklist {
    steps: Vec<Step>,
    done: usize,
}

impl Checklist {
    /// The steps, while there is no file yet.
    pub async fn now(context: &Context) -> Result<Option<Self>, WebError> {
        let db = &context.state.db;
        if receipt::count(db, &Search::default(), 1).await? > 0 {
            return Ok(None);
        }
        let snapshot = context.state.live.snapshot();
        let state = listener::get(db, Listener::Ftp).await?;
        let partner = snapshot.partners().next().map(|live| live.connector.id.to_string());
        let served = context.state.certificates.served();
        let proven = served.facts().any(|(_, facts)| !facts.self_signed);
        let certificate = if proven {
            "The server presents a certificate that an authority signed."
        } else {
            "A self-signed one is there already; one of an authority spares partners a question."
        };
        let step = |title, text: &str, address: String, done| Step { title, text: text.to_owned(), address, done };
        let listening = state.state == State::Listening;
        let listens = if listening { format!("On {}.", state.address) } else { state.message };
        let (first_partner, to_partner) = match &partner {
            Some(id) => (format!("{id} is there."), format!("/connectors/{id}/settings")),
            None => ("Its Connector Id is its user name; a password is generated.".to_owned(), "/flows#add".to_owned()),
        };
        let certificates = if context.may(Role::Admin) { "/certificates" } else { "/profiles/ftp#certificates" };
        let receive = partner.as_ref().map_or_else(|| "/flows".to_owned(), |id| format!("/connectors/{id}/receive"));
        let upload = "It appears here within a second of its upload to Receive.";
        let steps = vec![
            step("The FTP server listens", &listens, "/profiles/ftp#port".to_owned(), listening),
            step("A certificate for encryption", certificate, certificates.to_owned(), proven),
            step("The first partner", &first_partner, to_partner, partner.is_some()),
            step("The first file", upload, receive, false),
        ];
        Ok(Some(Self { done: steps.iter().filter(|step| step.done).count(), steps }))
    }
}
