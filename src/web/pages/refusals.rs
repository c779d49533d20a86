//! Refusals: every no with its rule, and one of them in full: why, where it is set, what was said.

use askama::Template;
use axum::extract::{Path, Query};
use axum::response::{IntoResponse, Redirect, Response};

use super::transfers::Asked;
use crate::base::id::RefusalId;
use crate::domain::administrator::Role;
use crate::domain::refusal::Rule;
use crate::domain::setting::Texts;
use crate::domain::value::TlsEnd;
use crate::store::connector::{self, Edit};
use crate::store::refusal::{self, Refusal};
use crate::web::context::Context;
use crate::web::csrf::Posted;
use crate::web::error::WebError;
use crate::web::notes::Note;
use crate::web::shell::{Nav, Shell, html};
use crate::web::view::{PAGE_SIZE, Time, cursor, cursor_text};

/// Unsigned endings of one partner from which on allowing them is offered.
const UNSIGNED_OFFERED_FROM: u64 = 2;

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
    /// How often uploads of this partner ended unsigned, where that may be allowed; 0: nothing is offered.
    unsigned: u64,
}

/// One refusal.
pub async fn one(context: Context, Path(id): Path<String>) -> Result<Response, WebError> {
    let id = RefusalId::parse(&id).ok_or_else(WebError::not_found)?;
    let refusal = refusal::find(&context.state.db, &id).await?.ok_or_else(WebError::not_found)?;
    let written = context.state.live.written_id(&refusal.connector);
    let (fix, fix_words) = match (refusal.rule.setting_key(), written) {
        _ if refusal.rule == Rule::AddressBlocked => ("/activity/blocked".to_owned(), "Open the blocked addresses"),
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
        unsigned: unsigned(&context, &refusal).await?,
        refusal,
    };
    Ok(html(&page)?.into_response())
}

/// How often this partner's uploads ended as this one, when once was no accident and it is not allowed yet (PRODUCT
/// 5.3); else 0.
async fn unsigned(context: &Context, refusal: &Refusal) -> Result<u64, WebError> {
    let snapshot = context.state.live.snapshot();
    let Some(live) = snapshot.connector(&refusal.connector) else { return Ok(0) };
    let strict = *live.connector.settings.tls_end.or(&snapshot.profile.tls_end) == TlsEnd::Strict;
    if refusal.rule != Rule::TlsEndUnsigned || !strict || !context.may(Role::Editor) {
        return Ok(0);
    }
    let times = refusal::times(&context.state.db, &refusal.connector, refusal.rule).await?;
    Ok(if times < UNSIGNED_OFFERED_FROM { 0 } else { times })
}

/// Lets this partner's uploads end without TLS's own close, as the page offered.
pub async fn allow(context: Context, Path(id): Path<String>, _: Posted) -> Result<Response, WebError> {
    let id = RefusalId::parse(&id).ok_or_else(WebError::not_found)?;
    let refusal = refusal::find(&context.state.db, &id).await?.ok_or_else(WebError::not_found)?;
    let place = format!("/refusals/{id}");
    let connector = context.state.live.written_id(&refusal.connector);
    let Some(connector) = connector.filter(|_| refusal.rule == Rule::TlsEndUnsigned) else {
        return Err(WebError::not_found());
    };
    let values = Texts::from([("tls_end".to_owned(), TlsEnd::Tolerant.to_string())]);
    let edit = Edit { values, ..Edit::default() };
    let db = &context.state.db;
    context
        .changing(async |change| connector::save(db, &connector, &edit, change).await)
        .await
        .map_err(WebError::internal)?;
    context.state.live.refresh().await?;
    let note = format!("TLS end of upload is tolerant for {connector} now. It applies to the next upload.");
    context.leave(&place, Note::done(note));
    Ok(Redirect::to(&place).into_response())
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
