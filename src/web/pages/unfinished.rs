//! Unfinished uploads: those that partners may still continue.

use askama::Template;
use axum::extract::Path;
use axum::response::{IntoResponse, Redirect, Response};

use crate::base::human;
use crate::domain::administrator::Role;
use crate::transfer::unfinished;
use crate::web::context::Context;
use crate::web::csrf::Posted;
use crate::web::error::WebError;
use crate::web::notes::Note;
use crate::web::shell::{Nav, Shell, html};
use crate::web::view::Time;

const PATH: &str = "/activity/unfinished";
/// Uploads on the page, oldest first.
const SHOWN_MAX: usize = 500;

struct Row {
    connector: String,
    path: String,
    size: String,
    age: String,
    since: Time,
    until: Time,
    whole: bool,
    part: String,
}

#[derive(Template)]
#[template(path = "unfinished.html")]
struct UnfinishedPage {
    shell: Shell,
    rows: Vec<Row>,
    total: usize,
    may_edit: bool,
}

/// The table.
pub async fn show(context: Context) -> Result<Response, WebError> {
    let (state, now) = (&context.state, context.state.clock.now());
    let all = unfinished::all(&state.depot, &state.live.snapshot()).await;
    let total = all.len();
    let rows = all.into_iter().take(SHOWN_MAX).map(|row| Row {
        connector: row.connector,
        path: row.path,
        size: human::size(row.size_bytes),
        age: human::ago(row.since, now),
        since: Time::seen(row.since, now),
        until: row.until.into(),
        whole: row.whole,
        part: row.part,
    });
    let page = UnfinishedPage {
        shell: Shell::new(&context, "Unfinished uploads", Nav::Activity).await?,
        rows: rows.collect(),
        total,
        may_edit: context.may(Role::Editor),
    };
    Ok(html(&page)?.into_response())
}

/// Drops one.
pub async fn discard(
    context: Context,
    Path((connector, part)): Path<(String, String)>,
    _: Posted,
) -> Result<Response, WebError> {
    let state = &context.state;
    let found = unfinished::discard(&state.depot, &state.live.snapshot(), (&connector, &part), context.who()).await;
    let note = if found { "Removed." } else { "That upload is not unfinished any more." };
    context.leave(PATH, Note::done(note));
    Ok(Redirect::to(PATH).into_response())
}
