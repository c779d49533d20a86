//! Sessions: who is connected now, and the way to end one.

use std::time::Duration;

use askama::Template;
use axum::extract::Path;
use axum::response::{IntoResponse, Redirect, Response};

use crate::base::clock::Timestamp;
use crate::base::human;
use crate::base::id::SessionId;
use crate::domain::administrator::Role;
use crate::transfer::presence::LiveSession;
use crate::web::context::Context;
use crate::web::csrf::Posted;
use crate::web::error::WebError;
use crate::web::live::Followed;
use crate::web::notes::Note;
use crate::web::shell::{Nav, Shell, html};
use crate::web::view::Time;

/// Sessions on the page; those that move something are shown first, then the oldest.
pub const SESSIONS_SHOWN_MAX: usize = 500;
/// Sessions on the dashboard.
const ON_DASHBOARD_MAX: usize = 8;

/// One live session.
#[derive(Clone, Debug)]
pub struct Row {
    /// Its id.
    pub id: String,
    /// The connector's id; empty before login.
    pub connector: String,
    /// The client's address.
    pub remote: String,
    /// What the client calls itself.
    pub client: String,
    /// TLS in words.
    pub tls: String,
    /// What it does, in a word.
    pub doing: String,
    /// How that looks.
    pub tone: &'static str,
    /// The file, or the last command.
    pub what: String,
    /// How far it is, in words; empty when nothing moves.
    pub progress: String,
    /// How far it is, where the whole is known.
    pub percent: Option<u64>,
    /// Connected since.
    pub since: Time,
}

impl Row {
    fn new(session: LiveSession, now: Timestamp) -> Self {
        let doing = session.doing;
        let moved = human::size(session.moved_bytes);
        let (word, what) = match &doing.file {
            Some(file) => file.split_once(' ').unwrap_or(("Busy", file)),
            None => ("Idle", doing.command.as_str()),
        };
        let progress = match (&doing.file, doing.size_bytes) {
            (Some(_), Some(size)) => format!("{moved} of {}", human::size(size)),
            (Some(_), None) => moved,
            (None, _) => String::new(),
        };
        let percent = doing.size_bytes.filter(|size| *size > 0 && doing.file.is_some());
        Self {
            id: session.id.to_string(),
            connector: doing.connector.unwrap_or_default(),
            remote: session.remote.to_string(),
            client: doing.client.unwrap_or_default(),
            tls: if doing.tls.is_empty() { "in clear text".to_owned() } else { doing.tls },
            doing: word.to_owned(),
            tone: match word {
                "Receiving" => "ok",
                "Sending" => "info",
                _ => "",
            },
            what: what.to_owned(),
            progress,
            percent: percent.map(|size| (session.moved_bytes.saturating_mul(100) / size).min(100)),
            since: Time::seen(session.since, now),
        }
    }
}

/// The table alone: it is replaced while somebody looks.
#[derive(Clone, Debug, Template)]
#[template(path = "parts/sessions.html")]
pub struct SessionsTable {
    rows: Vec<Row>,
    total: usize,
    count: String,
    /// A few of them with less about each.
    short: bool,
    may_edit: bool,
    csrf: String,
}

impl SessionsTable {
    /// The table as it is now.
    pub fn now(context: &Context) -> Self {
        Self::of(context, SESSIONS_SHOWN_MAX)
    }

    /// The same for the dashboard: some sessions, those that move something first.
    pub fn on_dashboard(context: &Context) -> Self {
        Self { short: true, ..Self::of(context, ON_DASHBOARD_MAX) }
    }

    fn of(context: &Context, most: usize) -> Self {
        let (mut sessions, now) = (context.state.presence.sessions(), context.now());
        sessions.sort_by_key(|session| session.doing.file.is_none());
        Self {
            total: sessions.len(),
            count: format!("{} connected", human::thousands(sessions.len() as u64)),
            rows: sessions.into_iter().take(most).map(|session| Row::new(session, now)).collect(),
            short: false,
            may_edit: context.may(Role::Editor),
            csrf: context.visitor.csrf.clone(),
        }
    }
}

#[derive(Template)]
#[template(path = "sessions.html")]
struct SessionsPage {
    shell: Shell,
    table: SessionsTable,
}

/// The page.
pub async fn show(context: Context) -> Result<Response, WebError> {
    let mut shell = Shell::new(&context, "Sessions", Nav::Activity).await?;
    shell.live = Followed::Sessions.address("");
    Ok(html(&SessionsPage { shell, table: SessionsTable::now(&context) })?.into_response())
}

/// How long *Disconnect and block address* keeps the address out.
const BLOCKED_FOR: Duration = Duration::from_hours(1);

/// Ends one session with 421; when asked to, its address is kept out of the FTP server for an hour.
pub async fn disconnect(context: Context, Path(id): Path<String>, posted: Posted) -> Result<Response, WebError> {
    let id = SessionId::parse(&id).ok_or_else(WebError::not_found)?;
    let sessions = context.state.presence.sessions();
    let remote = sessions.iter().find(|session| session.id == id).map(|session| session.remote);
    let note = match remote {
        Some(remote) if posted.text("block") == "1h" => {
            context.state.gate.block(remote, context.now().plus(BLOCKED_FOR));
            let ended = context.state.presence.disconnect_where(|session| session.remote == remote);
            tracing::info!(client.address = %remote, administrator.name = context.who(), "Disconnected and blocked");
            let ended = human::count(ended as u64, "session", "sessions");
            format!("{remote} is blocked for an hour; {ended} of it are being disconnected. Blocked lists it.")
        }
        Some(_) if context.state.presence.disconnect(&id) => {
            tracing::info!(session.id = id.as_str(), administrator.name = context.who(), "Disconnected");
            "The session is being disconnected. The partner can sign in again.".to_owned()
        }
        _ => "That session had ended already.".to_owned(),
    };
    // Only pages that offer it are gone back to.
    let to = if posted.text("to") == "/" { "/" } else { "/activity/sessions" };
    context.leave(to, Note::done(note));
    Ok(Redirect::to(to).into_response())
}
