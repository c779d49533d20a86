//! Sessions: who is connected now, and the way to end one.

use askama::Template;
use axum::extract::Path;
use axum::response::{IntoResponse, Redirect, Response};

use crate::base::human;
use crate::base::id::SessionId;
use crate::domain::administrator::Role;
use crate::web::context::Context;
use crate::web::csrf::Posted;
use crate::web::error::WebError;
use crate::web::notes::Note;
use crate::web::shell::{Nav, Shell, html};
use crate::web::view::Time;

struct Row {
    id: String,
    connector: String,
    remote: String,
    client: String,
    tls: String,
    doing: String,
    since: Time,
}

#[derive(Template)]
#[template(path = "sessions.html")]
struct SessionsPage {
    shell: Shell,
    rows: Vec<Row>,
    may_edit: bool,
}

/// The table.
pub async fn show(context: Context) -> Result<Response, WebError> {
    let rows = context.state.presence.sessions().into_iter().map(|session| {
        let moved = human::size(session.moved_bytes);
        let doing = match (&session.doing.file, session.doing.size_bytes) {
            (Some(file), Some(size)) => format!("{file}, {moved} of {}", human::size(size)),
            (Some(file), None) => format!("{file}, {moved}"),
            (None, _) => format!("Idle; last command {}", session.doing.command),
        };
        Row {
            id: session.id.to_string(),
            connector: session.doing.connector.unwrap_or_default(),
            remote: session.remote.to_string(),
            client: session.doing.client.unwrap_or_default(),
            tls: if session.doing.tls.is_empty() { "None".to_owned() } else { session.doing.tls },
            doing,
            since: session.since.into(),
        }
    });
    let page = SessionsPage {
        shell: Shell::new(&context, "Sessions", Nav::Activity).await?,
        rows: rows.collect(),
        may_edit: context.may(Role::Editor),
    };
    Ok(html(&page)?.into_response())
}

/// Ends one session with 421.
pub async fn disconnect(context: Context, Path(id): Path<String>, _: Posted) -> Result<Response, WebError> {
    let id = SessionId::parse(&id).ok_or_else(WebError::not_found)?;
    let found = context.state.presence.disconnect(&id);
    let note = if found { "Disconnected." } else { "That session had ended already." };
    context.leave("/activity/sessions", Note::done(note));
    Ok(Redirect::to("/activity/sessions").into_response())
}
