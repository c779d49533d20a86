//! Transfers: every upload and download, complete or broken off.

use askama::Template;
use axum::extract::Query;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use crate::base::human;
use crate::store::transfer::{self, Direction};
use crate::web::context::Context;
use crate::web::error::WebError;
use crate::web::shell::{Nav, Shell, html};
use crate::web::view::{PAGE_SIZE, Time, cursor, cursor_text};

/// Which page of a table.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Asked {
    /// The row beside it.
    #[serde(default)]
    pub before: String,
}

struct Row {
    direction: &'static str,
    path: String,
    connector: String,
    moved: String,
    rate: String,
    complete: bool,
    ending: &'static str,
    remote: String,
    ended: Time,
}

#[derive(Template)]
#[template(path = "transfers.html")]
struct TransfersPage {
    shell: Shell,
    rows: Vec<Row>,
    older: String,
}

/// The table.
pub async fn show(context: Context, Query(asked): Query<Asked>) -> Result<Response, WebError> {
    let before = cursor(&asked.before);
    let from = before.as_ref().map(|cursor| (cursor.completed_at, cursor.id.as_str()));
    let mut found = transfer::newest_first(&context.state.db, from, PAGE_SIZE + 1).await?;
    let more = found.len() > usize::try_from(PAGE_SIZE).unwrap_or(usize::MAX);
    if more {
        found.pop();
    }
    let last = found.last().map(|one| cursor_text(one.ended_at, one.id.as_str())).unwrap_or_default();
    let rows = found.into_iter().map(|one| {
        let millis = u64::try_from(one.ended_at.since(one.begun_at).as_millis()).unwrap_or(u64::MAX).max(1);
        Row {
            direction: match one.direction {
                Direction::Receive => "Received",
                Direction::Send => "Sent",
            },
            path: one.path,
            connector: one.connector,
            moved: human::size(one.bytes_moved),
            rate: format!("{}/s", human::size(one.bytes_moved.saturating_mul(1_000) / millis)),
            complete: one.complete,
            ending: one.ending.label(),
            remote: one.remote,
            ended: one.ended_at.into(),
        }
    });
    let page = TransfersPage {
        shell: Shell::new(&context, "Transfers", Nav::Activity).await?,
        rows: rows.collect(),
        older: if more { format!("/activity/transfers?before={last}") } else { String::new() },
    };
    Ok(html(&page)?.into_response())
}
