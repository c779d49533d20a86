//! Deleting a connector: the page before says in numbers what is lost and asks for the id to be typed.

use askama::Template;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::Response;

use super::{Head, Tab, find};
use crate::base::human;
use crate::store::connector;
use crate::store::receipt::{self, Search};
use crate::web::context::{Ctx, ok, page};
use crate::web::csrf::Posted;
use crate::web::error::WebError;
use crate::web::notes::Note;
use crate::web::shell::{Nav, Shell};

/// Receipts that are counted; more read "more than".
const COUNTED_MAX: i64 = 10_000;

/// The page before.
#[derive(Debug, Template)]
#[template(path = "connector_remove.html")]
pub struct RemovePage {
    shell: Shell,
    head: Head,
    receipts: String,
    passwords: String,
    typed: String,
    mistake: String,
}

impl RemovePage {
    /// A page for tests.
    pub fn sample() -> Self {
        Self {
            shell: Shell::sample(Nav::Flows),
            head: Head::sample(Tab::Settings),
            receipts: "1,284 receipts".to_owned(),
            passwords: "1 password".to_owned(),
            typed: "acme".to_owned(),
            mistake: "acme is not acme-edi".to_owned(),
        }
    }
}

/// Asks.
pub async fn ask(ctx: Ctx, Path(id): Path<String>) -> Result<Response, WebError> {
    ok(&build(&ctx, &id).await?)
}

async fn build(ctx: &Ctx, id: &str) -> Result<RemovePage, WebError> {
    let live = find(ctx, id)?;
    let search = Search { connector_key: Some(live.connector.id.key().to_owned()), ..Search::default() };
    let receipts = receipt::count(&ctx.state.db, &search, COUNTED_MAX + 1).await?;
    let more = if receipts > COUNTED_MAX.unsigned_abs() { "more than " } else { "" };
    let receipts = receipts.min(COUNTED_MAX.unsigned_abs());
    let passwords = u64::try_from(live.passwords.len()).unwrap_or(u64::MAX);
    Ok(RemovePage {
        shell: Shell::of(ctx, Nav::Flows).await?,
        head: Head::of(ctx, &live, Tab::Settings),
        receipts: format!("{more}{}", human::count(receipts, "receipt", "receipts")),
        passwords: human::count(passwords, "password", "passwords"),
        typed: String::new(),
        mistake: String::new(),
    })
}

/// Deletes it if its id was typed, and ends its sessions.
pub async fn submit(ctx: Ctx, Path(id): Path<String>, posted: Posted) -> Result<Response, WebError> {
    let live = find(&ctx, &id)?;
    let id = &live.connector.id;
    let typed = posted.text("typed_id").trim();
    if !typed.eq_ignore_ascii_case(id.as_str()) {
        let shown = if typed.is_empty() { "Nothing".to_owned() } else { typed.to_owned() };
        let mistake = format!("{shown} was typed. Type {id} to delete it.");
        let again = RemovePage { typed: typed.to_owned(), mistake, ..build(&ctx, id.as_str()).await? };
        return page(StatusCode::UNPROCESSABLE_ENTITY, &again);
    }
    let remote = ctx.remote();
    connector::remove(&ctx.state.db, id, &ctx.change(&remote)).await?;
    ctx.state.live.refresh().await?;
    let of_it = |session: &crate::transfer::presence::LiveSession| {
        session.doing.connector.as_deref().is_some_and(|name| name.eq_ignore_ascii_case(id.as_str()))
    };
    let ended = u64::try_from(ctx.state.presence.disconnect_where(of_it)).unwrap_or(u64::MAX);
    let sessions = human::count(ended, "session was ended", "sessions were ended");
    Ok(ctx.go("/flows", Note::done(format!("{id} is deleted; {sessions}. Its files and receipts stay."))))
}
