//! Sessions: who is connected now, and the way to end one.

use askama::Template;
use axum::extract::Path;
use axum::response::{IntoResponse, Redirect, Response};

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

/// Sessions on the page; the oldest are shown.
pub const SESSIONS_SHOWN_MAX: usize = 500;

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
    /// What it does.
    pub doing: String,
    /// The last command.
    pub command: String,
    /// Connected since.
    pub since: Time,
}

impl Row {
    fn new(session: LiveSession) -> Self {
        let doing = session.doing;
        let moved = human::size(session.moved_bytes);
        let what = match (&doing.file, doing.size_bytes) {
            (Some(file), Some(size)) => format!("{file}, {moved} of {}", human::size(size)),
            (Some(file), None) => format!("{file}, {moved}"),
            (None, _) => "Waiting for a command".to_owned(),
        };
        Self {
            id: session.id.to_string(),
            connector: doing.connector.unwrap_or_default(),
            remote: session.remote.to_string(),
            client: doing.client.unwrap_or_default(),
            tls: if doing.tls.is_empty() { "in clear text".to_owned() } else { doing.tls },
            doing: what,
            command: doing.command,
            since: session.since.into(),
        }
    }
}

/// The table alone: it is replaced while somebody looks.
#[derive(Clone, Debug, Template)]
#[template(path = "parts/sessions.html")]
pub struct SessionsTable {
    rows: Vec<Row>,
    count: String,
    may_edit: bool,
    csrf: String,
}

impl SessionsTable {
    /// The table as it is now.
    pub fn now(context: &Context) -> Self {
        let sessions = context.state.presence.sessions();
        Self {
            count: human::count(sessions.len() as u64, "live session", "live sessions"),
            rows: sessions.into_iter().take(SESSIONS_SHOWN_MAX).map(Row::new).collect(),
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

/// Ends one session with 421.
pub async fn disconnect(context: Context, Path(id): Path<String>, _: Posted) -> Result<Response, WebError> {
    let id = SessionId::parse(&id).ok_or_else(WebError::not_found)?;
    let found = context.state.presence.disconnect(&id);
    let note = if found {
        tracing::info!(session.id = id.as_str(), administrator.name = context.who(), "Disconnected");
        "The session is being disconnected. The partner can sign in again."
    } else {
        "That session had ended already."
    };
    context.leave("/activity/sessions", Note::done(note));
    Ok(Redirect::to("/activity/sessions").into_response())
}
