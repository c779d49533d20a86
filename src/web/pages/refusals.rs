//! Refusals: every no with its rule, and one of them in full: why, where it is set, what was said.

use askama::Template;
use axum::extract::{Path, Query};
use axum::response::{IntoResponse, Response};

use super::transfers::Asked;
use crate::base::id::RefusalId;
use crate::store::refusal::{self, Refusal};
use crate::web::context::Context;
use crate::web::error::WebError;
use crate::web::shell::{Nav, Shell, html};
use crate::web::view::{PAGE_SIZE, Time, cursor, cursor_text};

struct Row {
    id: String,
    label: &'static str,
    connector: String,
    remote: String,
    command: String,
    times: u64,
    last: Time,
}

#[derive(Template)]
#[template(path = "refusals.html")]
struct RefusalsPage {
    shell: Shell,
    rows: Vec<Row>,
    older: String,
}

/// The table.
pub async fn show(context: Context, Query(asked): Query<Asked>) -> Result<Response, WebError> {
    let before = cursor(&asked.before);
    let from = before.as_ref().map(|cursor| (cursor.completed_at, cursor.id.as_str()));
    let mut found = refusal::newest_first(&context.state.db, None, from, PAGE_SIZE + 1).await?;
    let more = found.len() > usize::try_from(PAGE_SIZE).unwrap_or(usize::MAX);
    if more {
        found.pop();
    }
    let last = found.last().map(|one| cursor_text(one.last_at, one.id.as_str())).unwrap_or_default();
    let rows = found.into_iter().map(|one| Row {
        id: one.id.to_string(),
        label: one.rule.label(),
        connector: one.connector,
        remote: one.remote,
        command: one.command,
        times: one.times,
        last: one.last_at.into(),
    });
    let page = RefusalsPage {
        shell: Shell::new(&context, "Refusals", Nav::Activity).await?,
        rows: rows.collect(),
        older: if more { format!("/activity/refusals?before={last}") } else { String::new() },
    };
    Ok(html(&page)?.into_response())
}

#[derive(Template)]
#[template(path = "refusal.html")]
struct RefusalPage {
    shell: Shell,
    question: String,
    label: &'static str,
    explain: &'static str,
    refusal: Refusal,
    first: Time,
    last: Time,
    fix: String,
    fix_words: &'static str,
}

/// One refusal.
pub async fn one(context: Context, Path(id): Path<String>) -> Result<Response, WebError> {
    let id = RefusalId::parse(&id).ok_or_else(WebError::not_found)?;
    let refusal = refusal::find(&context.state.db, &id).await?.ok_or_else(WebError::not_found)?;
    let connector = context.state.live.written_id(&refusal.connector);
    let (fix, fix_words) = match (refusal.rule.setting_key(), connector) {
        (Some(("profile", key)), _) => (format!("/profiles/ftp#{key}"), "Open the FTP Server profile"),
        (Some((_, key)), Some(id)) => {
            (format!("/connectors/{id}/{}#{key}", tab_of(key)), "Open this connector’s settings")
        }
        _ => (String::new(), ""),
    };
    let what = if refusal.command.is_empty() { "a connection".to_owned() } else { refusal.command.clone() };
    let question = format!("Why was {what} refused?");
    let page = RefusalPage {
        shell: Shell::new(&context, question.clone(), Nav::Activity).await?,
        question,
        label: refusal.rule.label(),
        explain: refusal.rule.explain(),
        first: refusal.first_at.into(),
        last: refusal.last_at.into(),
        fix,
        fix_words,
        refusal,
    };
    Ok(html(&page)?.into_response())
}

/// The tab of a connector on which a setting is.
pub fn tab_of(key: &str) -> &'static str {
    let settings = [
        "send_read",
        "send_write",
        "receive_read",
        "receive_write",
        "require_tls",
        "allowed_addresses",
        "enabled",
        "valid_from",
        "valid_until",
        "password",
    ];
    if settings.contains(&key) { "settings" } else { "advanced" }
}
