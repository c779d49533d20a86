//! Sessions: who is connected now, and the way to end one; then past sessions.

use std::net::IpAddr;
use std::time::Duration;

use askama::Template;
use axum::extract::{Path, Query};
use axum::response::{IntoResponse, Redirect, Response};

use super::list::{self, Asked, Filters};
use super::session::Past;
use crate::base::clock::Timestamp;
use crate::base::human;
use crate::base::id::SessionId;
use crate::domain::administrator::Role;
use crate::store::receipt::Cursor;
use crate::store::session::{self, Filter, Session, SessionEnd};
use crate::store::{Db, StoreError};
use crate::transfer::presence::LiveSession;
use crate::web::context::Context;
use crate::web::csrf::Posted;
use crate::web::csv::{self, Paged};
use crate::web::error::WebError;
use crate::web::live::Followed;
use crate::web::notes::Note;
use crate::web::shell::{Nav, Shell, html};
use crate::web::table::{Offer, Pager, Select};
use crate::web::tone::Tone;
use crate::web::view::Time;

const PATH: &str = "/activity/sessions";
/// Sessions on the page; active ones are shown first, then the oldest.
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
    /// The client's name for itself.
    pub client: String,
    /// TLS in words.
    pub tls: String,
    /// What it does, in a word.
    pub doing: String,
    /// The tone of that.
    pub tone: Tone,
    /// The file, or the last command.
    pub what: String,
    /// Its progress, in words; empty if nothing moves.
    pub progress: String,
    /// Its progress, if the total is known.
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
                "Receiving" => Tone::Good,
                "Sending" => Tone::Info,
                _ => Tone::Plain,
            },
            what: what.to_owned(),
            progress,
            percent: percent.map(|size| (session.moved_bytes.saturating_mul(100) / size).min(100)),
            since: Time::seen(session.since, now),
        }
    }
}

/// Only the table: it is replaced while somebody looks.
#[derive(Clone, Debug, Template)]
#[template(path = "parts/sessions.html")]
pub struct SessionsTable {
    rows: Vec<Row>,
    total: usize,
    count: String,
    /// Shows a few of them with less about each.
    short: bool,
    may_edit: bool,
    csrf: String,
}

impl SessionsTable {
    /// The present table.
    pub fn now(context: &Context) -> Self {
        Self::of(context, SESSIONS_SHOWN_MAX)
    }

    /// The same for the dashboard: some sessions, active ones first.
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

/// An ended session.
struct Ended {
    past: Past,
    connector: String,
    known: bool,
    remote: String,
}

#[derive(Template)]
#[template(path = "sessions.html")]
struct SessionsPage {
    shell: Shell,
    table: SessionsTable,
    filters: Filters,
    ended: Vec<Ended>,
    pager: Pager,
    /// How long sessions are kept, in words; empty if they are not.
    kept: String,
}

/// The database query for past sessions.
pub fn filter(context: &Context, asked: &Asked) -> Filter {
    let typed = asked.address.trim();
    // However an address is written, it is stored in one form.
    let canonical = |address: IpAddr| address.to_canonical().to_string();
    let address = typed.parse().map_or_else(|_| typed.to_owned(), canonical);
    Filter {
        connector: asked.connector(context).map(|id| id.to_ascii_lowercase()),
        remote: Some(address).filter(|address| !address.is_empty()),
        ending: SessionEnd::parse(&asked.ending),
        since: asked.since(context.now()),
    }
}

/// The page. With a filter, and on further pages, the live sessions would not match the list.
pub async fn show(context: Context, Query(asked): Query<Asked>) -> Result<Response, WebError> {
    let (filter, now) = (filter(&context, &asked), context.now());
    let (found, older) = list::page(&context, &filter, asked.before().as_ref(), asked.size()).await?;
    let endings = SessionEnd::ALL.iter().map(|ending| (ending.name(), ending.label()));
    let own = vec![Select::new(("ending", "How it ended"), "Any way", Offer::all(endings, &asked.ending))];
    let filters = Filters::new(&context, (PATH, "Ended"), &asked, own).await?.with_address(&asked);
    let mut shell = Shell::new(&context, "Sessions", Nav::Activity).await?;
    if filters.is_whole {
        shell.live = Followed::Sessions.address("");
    }
    let ended = found.into_iter().map(|one| Ended {
        past: Past::new(&one, now),
        known: context.state.live.written_id(&one.connector).is_some(),
        connector: one.connector,
        remote: one.remote,
    });
    let days = context.state.live.snapshot().profile.log_keep_days.get();
    let page = SessionsPage {
        shell,
        table: SessionsTable::now(&context),
        filters,
        ended: ended.collect(),
        pager: asked.pager(PATH, older),
        kept: if days == 0 { String::new() } else { human::count(days, "day", "days") },
    };
    Ok(html(&page)?.into_response())
}

/// Past sessions as CSV, unlimited.
pub async fn export(context: Context, Query(asked): Query<Asked>) -> Response {
    let filter = filter(&context, &asked);
    csv::file(&context, "sessions", filter)
}

impl Paged for Filter {
    const COLUMNS: &'static [&'static str] = &[
        "id",
        "connector",
        "remote",
        "client",
        "tls",
        "begun_at",
        "ended_at",
        "ending",
        "received_files",
        "received_bytes",
        "sent_files",
        "sent_bytes",
        "failures",
    ];
    type Row = Session;

    async fn page(&self, db: &Db, before: Option<&Cursor>, count: i64) -> Result<Vec<Session>, StoreError> {
        session::page(db, self, before, count).await
    }

    fn place(row: &Session) -> (Timestamp, &str) {
        (row.ended_at, row.id.as_str())
    }

    fn cells(one: Session) -> Vec<String> {
        vec![
            one.id.to_string(),
            one.connector,
            one.remote,
            one.client,
            one.tls,
            one.begun_at.to_string(),
            one.ended_at.to_string(),
            one.ending.name().to_owned(),
            one.tally.received_files.to_string(),
            one.tally.received_bytes.to_string(),
            one.tally.sent_files.to_string(),
            one.tally.sent_bytes.to_string(),
            one.tally.failures.to_string(),
        ]
    }
}

/// How long *Disconnect and block address* blocks the address.
const BLOCKED_FOR: Duration = Duration::from_hours(1);

/// Ends one session with 421; if requested, its address is blocked from the FTP server for an hour.
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
    // Returns only to pages that offer it.
    let to = if posted.text("to") == "/" { "/" } else { PATH };
    context.leave(to, Note::done(note));
    Ok(Redirect::to(to).into_response())
}
