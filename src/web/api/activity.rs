//! What happened and is happening: the lists of the Activity pages, with the same filters.

use axum::Json;
use axum::extract::{Path, RawQuery};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::answer::ApiError;
use super::asked::{Whole, read};
use crate::base::id::{ReceiptId, RefusalId};
use crate::domain::setting::Mistake;
use crate::domain::sla::Counted;
use crate::store::receipt::Cursor;
use crate::store::{delivery_page, exported, receipt, receipt_page, refusal};
use crate::transfer::presence::LiveSession;
use crate::web::context::Context;
use crate::web::pages::list::{self, Asked};
use crate::web::pages::sla_files::SlaFiles;
use crate::web::pages::{events, receive, refusals, sessions as session_lists, transfers};
use crate::web::view::{cursor, cursor_text, page_size};

/// Receipts inspected for one answer about newer ones.
const SHOWN_ROWS: i64 = 5_000;
/// Live sessions in one answer; `total` says how many there are.
const SESSIONS_MAX: usize = 1_000;

/// One page of a list; `older` is the place of the next page.
#[derive(Serialize)]
struct Page<R> {
    #[serde(flatten)]
    rows: R,
    older: Option<String>,
}

#[derive(Serialize)]
struct Receipts<'a> {
    receipts: Vec<exported::Receipt<'a>>,
    newer: Option<String>,
}

/// Received files, newest first.
pub async fn receipts(context: Context, query: RawQuery) -> Result<Response, ApiError> {
    let keys = ["q", "connector", "status", "since", "sla", "size", "before", "after"];
    let asked: receive::Asked = read(query, &keys)?;
    let files = possible(asked.files(&context).await?)?;
    let search = asked.search_among(files.as_ref(), context.now());
    if !asked.after.is_empty() && search.is_looking() {
        let words = "after goes with connector and since alone; a search goes backwards, by before";
        return Err(ApiError::Mistakes(vec![Mistake::new("after", words)]));
    }
    if !asked.after.is_empty() && !asked.before.is_empty() {
        let words = "after asks for what has come since and before for what is older; send one of them";
        return Err(ApiError::Mistakes(vec![Mistake::new("after", words)]));
    }
    let (db, is_first) = (&context.state.db, asked.before.is_empty());
    let place = |place: Cursor| cursor_text(place.completed_at, &place.id);
    let (found, newer, older) = if let Some(from) = cursor(&asked.after) {
        let size = page_size(asked.size);
        let looked = receipt_page::shown_since(db, &search, &from, (SHOWN_ROWS, size)).await?;
        (looked.receipts, looked.stopped_at.map(place).or(Some(asked.after)), String::new())
    } else {
        // Before the rows: files that come in between are better reported twice than never.
        let latest = if is_first { receipt_page::latest_shown(db).await? } else { None };
        let found = receive::fetch(&context, &asked, &search).await?;
        // Whatever was complete after the first row became visible after it.
        let newer = latest.map(place).or_else(|| found.receipts.first().map(receive::place));
        (found.receipts, newer, found.older)
    };
    let receipts = found.iter().map(exported::Receipt::of).collect();
    let older = Some(older).filter(|older| !older.is_empty());
    Ok(Json(Page { rows: Receipts { receipts, newer }, older }).into_response())
}

#[derive(Serialize)]
struct WholeReceipt<'a> {
    #[serde(flatten)]
    receipt: exported::Receipt<'a>,
    deliveries: Vec<exported::Delivery<'a>>,
}

/// One received file, with its deliveries.
pub async fn receipt(context: Context, Path(id): Path<String>) -> Result<Response, ApiError> {
    let db = &context.state.db;
    let none = || ApiError::none("receipt", "receipts", &id);
    let id = ReceiptId::parse(&id).ok_or_else(none)?;
    let found = receipt::find(db, &id).await?.filter(|receipt| !receipt.publishing);
    let found = found.ok_or_else(none)?;
    let mut deliveries = Vec::new();
    for one in delivery_page::of_receipt(db, &id).await? {
        let tries = delivery_page::tries(db, one.id).await?;
        deliveries.push((one, tries));
    }
    let deliveries = deliveries.iter().map(|(one, tries)| exported::Delivery::of(one, tries)).collect();
    Ok(Json(WholeReceipt { receipt: exported::Receipt::of(&found), deliveries }).into_response())
}

#[derive(Serialize)]
struct Events<'a> {
    events: Vec<exported::Event<'a>>,
}

/// Events, newest first.
pub async fn events(context: Context, query: RawQuery) -> Result<Response, ApiError> {
    let asked: Asked = read(query, &["connector", "kind", "since", "size", "before"])?;
    let filter = events::filter(&context, &asked);
    let (found, older) = list::page(&context, &filter, asked.before().as_ref(), asked.size()).await?;
    let events = found.iter().map(exported::Event::of).collect();
    Ok(Json(Page { rows: Events { events }, older }).into_response())
}

#[derive(Serialize)]
struct Transfers<'a> {
    transfers: Vec<exported::Transfer<'a>>,
}

/// The files of an SLA, if there can be any: a page shows none, a program is told why.
fn possible(files: Option<SlaFiles>) -> Result<Option<SlaFiles>, ApiError> {
    match files.as_ref().and_then(|files| files.never.as_ref()) {
        Some(why) => Err(ApiError::Mistakes(vec![Mistake::new("sla", why)])),
        None => Ok(files),
    }
}

/// Uploads and downloads, complete or broken off, newest first.
pub async fn transfers(context: Context, query: RawQuery) -> Result<Response, ApiError> {
    let asked: Asked = read(query, &["connector", "way", "result", "since", "sla", "size", "before"])?;
    let files = possible(SlaFiles::find(&context, &asked.sla, Counted::Collected, &asked.connector).await?)?;
    let filter = transfers::filter(&context, &asked, files.as_ref());
    let (found, older) = list::page(&context, &filter, asked.before().as_ref(), asked.size()).await?;
    let transfers = found.iter().map(exported::Transfer::of).collect();
    Ok(Json(Page { rows: Transfers { transfers }, older }).into_response())
}

#[derive(Serialize)]
struct Refusals<'a> {
    refusals: Vec<exported::Refusal<'a>>,
}

/// Refusals, newest first.
pub async fn refusals(context: Context, query: RawQuery) -> Result<Response, ApiError> {
    let asked: Asked = read(query, &["connector", "rule", "since", "size", "before"])?;
    let filter = refusals::filter(&context, &asked);
    let (found, older) = list::page(&context, &filter, asked.before().as_ref(), asked.size()).await?;
    let refusals = found.iter().map(exported::Refusal::of).collect();
    Ok(Json(Page { rows: Refusals { refusals }, older }).into_response())
}

#[derive(Serialize)]
struct Why<'a> {
    #[serde(flatten)]
    refusal: exported::Refusal<'a>,
    label: &'static str,
    /// Its meaning and remedy.
    explained: &'static str,
    /// `profile`, `connector` or `settings`, if there is something to set.
    set_in: Option<&'static str>,
    set_by: Option<&'static str>,
}

/// One refusal, with the rule's explanation.
pub async fn refusal(context: Context, Path(id): Path<String>) -> Result<Response, ApiError> {
    let none = || ApiError::none("refusal", "refusals", &id);
    let id = RefusalId::parse(&id).ok_or_else(none)?;
    let found = refusal::find(&context.state.db, &id).await?.ok_or_else(none)?;
    let (set_in, set_by) = found.rule.setting_key().unzip();
    let (label, explained) = (found.rule.label(), found.rule.explain());
    Ok(Json(Why { refusal: exported::Refusal::of(&found), label, explained, set_in, set_by }).into_response())
}

#[derive(Serialize)]
struct Session {
    id: String,
    connector: Option<String>,
    remote: String,
    client: Option<String>,
    tls: String,
    since: String,
    doing: String,
    file: Option<String>,
    moved_bytes: u64,
    size_bytes: Option<u64>,
    command: String,
}

#[derive(Serialize)]
struct Sessions {
    sessions: Vec<Session>,
    total: usize,
}

impl Session {
    fn of(session: LiveSession) -> Self {
        let doing = session.doing;
        let (word, file) = match &doing.file {
            Some(file) => file.split_once(' ').map_or(("busy", Some(file.as_str())), |(word, path)| (word, Some(path))),
            None => ("idle", None),
        };
        Self {
            id: session.id.to_string(),
            remote: session.remote.to_string(),
            since: session.since.to_string(),
            doing: word.to_lowercase(),
            file: file.map(str::to_owned),
            moved_bytes: session.moved_bytes,
            connector: doing.connector,
            client: doing.client,
            tls: doing.tls,
            size_bytes: doing.size_bytes,
            command: doing.command,
        }
    }
}

/// Who is connected over FTP now, oldest first.
pub async fn sessions(context: Context, _: Whole) -> Json<impl Serialize> {
    let all = context.state.presence.sessions();
    Json(Sessions { total: all.len(), sessions: all.into_iter().take(SESSIONS_MAX).map(Session::of).collect() })
}

#[derive(Serialize)]
struct Past<'a> {
    sessions: Vec<exported::Session<'a>>,
}

/// Ended sessions, newest first.
pub async fn past_sessions(context: Context, query: RawQuery) -> Result<Response, ApiError> {
    let asked: Asked = read(query, &["connector", "address", "ending", "since", "size", "before"])?;
    let filter = session_lists::filter(&context, &asked);
    let (found, older) = list::page(&context, &filter, asked.before().as_ref(), asked.size()).await?;
    let sessions = found.iter().map(exported::Session::of).collect();
    Ok(Json(Page { rows: Past { sessions }, older }).into_response())
}
