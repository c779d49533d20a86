//! Who is connected over FTP now, and the way to disconnect one.

use askama::Template;
use axum::extract::Path;
use axum::response::Response;

use crate::base::clock::Timestamp;
use crate::base::human;
use crate::base::id::SessionId;
use crate::transfer::presence::LiveSession;
use crate::web::context::{Ctx, ok};
use crate::web::csrf::Posted;
use crate::web::error::WebError;
use crate::web::notes::{Note, Tone};
use crate::web::shell::{Nav, Shell};

/// Sessions on the page; the oldest are shown.
pub const SESSIONS_SHOWN: usize = 500;

/// One session.
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
    /// Connected for.
    pub since: String,
    /// What it does.
    pub doing: String,
    /// The last command.
    pub command: String,
}

impl Row {
    fn new(session: &LiveSession, now: Timestamp) -> Self {
        let doing = &session.doing;
        let moved = human::size(session.moved_bytes);
        let what = match (&doing.file, doing.size_bytes) {
            (Some(file), Some(size)) => format!("{file}, {moved} of {}", human::size(size)),
            (Some(file), None) => format!("{file}, {moved}"),
            (None, _) => "Waiting for a command".to_owned(),
        };
        Self {
            id: session.id.to_string(),
            connector: doing.connector.clone().unwrap_or_default(),
            remote: session.remote.to_string(),
            client: doing.client.clone().unwrap_or_default(),
            tls: if doing.tls.is_empty() { "in clear text".to_owned() } else { doing.tls.clone() },
            since: human::duration(now.since(session.since)),
            doing: what,
            command: doing.command.clone(),
        }
    }
}

/// The table alone: it is replaced while somebody looks.
#[derive(Debug, Template)]
#[template(path = "parts/sessions.html")]
pub struct SessionsTable {
    /// The rows.
    pub rows: Vec<Row>,
    /// How many there are.
    pub count: String,
    /// Whether Disconnect is offered.
    pub can_edit: bool,
    /// The token of forms.
    pub csrf: String,
}

impl SessionsTable {
    /// The table as it is now.
    pub fn of(ctx: &Ctx, can_edit: bool) -> Self {
        let now = ctx.now();
        let sessions = ctx.state.presence.sessions();
        Self {
            count: human::count(u64::try_from(sessions.len()).unwrap_or(u64::MAX), "live session", "live sessions"),
            rows: sessions.iter().take(SESSIONS_SHOWN).map(|session| Row::new(session, now)).collect(),
            can_edit,
            csrf: ctx.session().csrf_token.clone(),
        }
    }
}

/// The page.
#[derive(Debug, Template)]
#[template(path = "sessions.html")]
pub struct SessionsPage {
    shell: Shell,
    table: SessionsTable,
}

impl SessionsPage {
    /// A page for tests.
    pub fn sample() -> Self {
        let row = Row {
            id: "01996a4e-5d4c-7a10-9c3e-2f1b8d7c6a55".to_owned(),
            connector: "acme-edi".to_owned(),
            remote: "198.51.100.7".to_owned(),
            client: "FileZilla <3>".to_owned(),
            tls: "TLS 1.3".to_owned(),
            since: "3 minutes".to_owned(),
            doing: "Receiving /Receive/a.x12, 1.0 MB".to_owned(),
            command: "STOR a.x12".to_owned(),
        };
        let table =
            SessionsTable { rows: vec![row], count: "1 live session".to_owned(), can_edit: true, csrf: "t".to_owned() };
        Self { shell: Shell::sample(Nav::Activity), table }
    }
}

/// Shows who is connected.
pub async fn show(ctx: Ctx) -> Result<Response, WebError> {
    let mut shell = Shell::of(&ctx, Nav::Activity).await?;
    "table=sessions".clone_into(&mut shell.live);
    let table = SessionsTable::of(&ctx, shell.can_edit);
    ok(&SessionsPage { shell, table })
}

/// Ends a session with 421.
pub async fn disconnect(ctx: Ctx, Path(id): Path<String>, _posted: Posted) -> Result<Response, WebError> {
    let id = SessionId::parse(&id).ok_or_else(WebError::not_found)?;
    let note = if ctx.state.presence.disconnect(&id) {
        tracing::info!(session.id = id.as_str(), administrator.name = ctx.session().administrator.name, "Disconnected");
        Note::done("The session is being disconnected. The partner can sign in again.")
    } else {
        Note { tone: Tone::Warning, text: "That session had ended already.".to_owned(), password: None }
    };
    Ok(ctx.go("/activity/sessions", note))
}
