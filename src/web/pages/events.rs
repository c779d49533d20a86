//! Events: what happened, newest first.

use askama::Template;
use axum::extract::Query;
use axum::response::{IntoResponse, Response};

use super::transfers::Asked;
use crate::store::event;
use crate::web::context::Context;
use crate::web::error::WebError;
use crate::web::shell::{Nav, Shell, html};
use crate::web::view::{PAGE_SIZE, Time, cursor, cursor_text};

struct Row {
    kind: &'static str,
    summary: String,
    connector: String,
    receipt: String,
    at: Time,
}

#[derive(Template)]
#[template(path = "events.html")]
struct EventsPage {
    shell: Shell,
    rows: Vec<Row>,
    older: String,
}

/// The table.
pub async fn show(context: Context, Query(asked): Query<Asked>) -> Result<Response, WebError> {
    let before = cursor(&asked.before);
    let from = before.as_ref().map(|cursor| (cursor.completed_at, cursor.id.as_str()));
    let mut found = event::newest_first(&context.state.db, None, from, PAGE_SIZE + 1).await?;
    let more = found.len() > usize::try_from(PAGE_SIZE).unwrap_or(usize::MAX);
    if more {
        found.pop();
    }
    let last = found.last().map(|one| cursor_text(one.at, one.id.as_str())).unwrap_or_default();
    let rows = found.into_iter().map(|one| Row {
        kind: one.kind.name(),
        summary: one.summary,
        connector: one.connector,
        receipt: one.receipt_id.map(|id| id.to_string()).unwrap_or_default(),
        at: one.at.into(),
    });
    let page = EventsPage {
        shell: Shell::new(&context, "Events", Nav::Activity).await?,
        rows: rows.collect(),
        older: if more { format!("/activity/events?before={last}") } else { String::new() },
    };
    Ok(html(&page)?.into_response())
}
