//! Transfers: every upload and download, complete or broken off.

use askama::Template;
use axum::extract::Query;
use axum::response::{IntoResponse, Response};

use super::list::{self, Asked, Filters};
use super::sla_files::SlaFiles;
use crate::base::clock::Timestamp;
use crate::base::human;
use crate::domain::sla::Counted;
use crate::store::receipt::Cursor;
use crate::store::transfer::{self, Direction, Filter, Transfer};
use crate::store::{Db, StoreError};
use crate::web::context::Context;
use crate::web::csv::{self, Paged};
use crate::web::error::WebError;
use crate::web::shell::{Nav, Shell, html};
use crate::web::table::{Offer, Pager, Select};
use crate::web::view::Time;

const PATH: &str = "/activity/transfers";
const WAYS: [(&str, &str); 2] = [("receive", "Received"), ("send", "Sent")];
const RESULTS: [(&str, &str); 2] = [("complete", "Complete"), ("broken", "Broken off")];

struct Row {
    way: &'static str,
    path: String,
    receipt: String,
    connector: String,
    /// Whether that still exists.
    known: bool,
    moved: String,
    offset: String,
    rate: String,
    complete: bool,
    ending: &'static str,
    reply: String,
    remote: String,
    ended: Time,
}

impl Row {
    fn new(context: &Context, one: Transfer, now: Timestamp) -> Self {
        Self {
            known: context.state.live.written_id(&one.connector).is_some(),
            way: way(one.direction),
            path: one.path,
            receipt: one.receipt_id.map(|id| id.to_string()).unwrap_or_default(),
            connector: one.connector,
            moved: human::size(one.bytes_moved),
            offset: if one.offset_bytes > 0 { human::size(one.offset_bytes) } else { String::new() },
            rate: format!("{}/s", human::size(rate(one.bytes_moved, one.begun_at, one.ended_at))),
            complete: one.complete,
            ending: one.ending.label(),
            reply: one.reply,
            remote: one.remote,
            ended: Time::seen(one.ended_at, now),
        }
    }
}

fn way(direction: Direction) -> &'static str {
    match direction {
        Direction::Receive => "Received",
        Direction::Send => "Sent",
    }
}

/// Bytes per second.
fn rate(bytes: u64, begun: Timestamp, ended: Timestamp) -> u64 {
    let millis = u64::try_from(ended.since(begun).as_millis()).unwrap_or(u64::MAX).max(1);
    bytes.saturating_mul(1_000) / millis
}

/// The query for the database.
pub fn filter(context: &Context, asked: &Asked, files: Option<&SlaFiles>) -> Filter {
    Filter {
        ids: files.map(|files| files.ids.clone()),
        connector: asked.connector(context),
        direction: match asked.way.as_str() {
            "receive" => Some(Direction::Receive),
            "send" => Some(Direction::Send),
            _ => None,
        },
        complete: match asked.result.as_str() {
            "complete" => Some(true),
            "broken" => Some(false),
            _ => None,
        },
        since: asked.since(context.now()),
    }
}

#[derive(Template)]
#[template(path = "transfers.html")]
struct TransfersPage {
    shell: Shell,
    filters: Filters,
    rows: Vec<Row>,
    pager: Pager,
}

/// The table.
pub async fn show(context: Context, Query(asked): Query<Asked>) -> Result<Response, WebError> {
    let now = context.now();
    let files = SlaFiles::find(&context, &asked.sla, Counted::Collected, &asked.connector).await?;
    let filter = filter(&context, &asked, files.as_ref());
    let (found, older) = list::page(&context, &filter, asked.before().as_ref(), asked.size()).await?;
    let own = vec![
        Select::new(("way", "Way"), "Both", Offer::all(WAYS, &asked.way)),
        Select::new(("result", "Result"), "Any", Offer::all(RESULTS, &asked.result)),
    ];
    let mut filters = Filters::new(&context, (PATH, "Ended"), &asked, own).await?;
    if let Some(files) = files {
        filters.put(files.chip(asked.at(PATH, "sla", &[])));
    }
    let page = TransfersPage {
        shell: Shell::new(&context, "Transfers", Nav::Activity).await?,
        filters,
        rows: found.into_iter().map(|one| Row::new(&context, one, now)).collect(),
        pager: asked.pager(PATH, older),
    };
    Ok(html(&page)?.into_response())
}

/// The same as CSV, unlimited.
pub async fn export(context: Context, Query(asked): Query<Asked>) -> Result<Response, WebError> {
    let files = SlaFiles::find(&context, &asked.sla, Counted::Collected, &asked.connector).await?;
    let filter = filter(&context, &asked, files.as_ref());
    Ok(csv::file(&context, "transfers", filter))
}

impl Paged for Filter {
    const COLUMNS: &'static [&'static str] = &[
        "id",
        "direction",
        "connector",
        "path",
        "bytes_moved",
        "offset_bytes",
        "begun_at",
        "ended_at",
        "ending",
        "complete",
        "remote",
        "tls",
        "session_id",
        "receipt_id",
        "reply",
    ];
    type Row = Transfer;

    async fn page(&self, db: &Db, before: Option<&Cursor>, count: i64) -> Result<Vec<Transfer>, StoreError> {
        transfer::page(db, self, before, count).await
    }

    fn place(row: &Transfer) -> (Timestamp, &str) {
        (row.ended_at, row.id.as_str())
    }

    fn cells(one: Transfer) -> Vec<String> {
        vec![
            one.id.to_string(),
            one.direction.name().to_owned(),
            one.connector,
            one.path,
            one.bytes_moved.to_string(),
            one.offset_bytes.to_string(),
            one.begun_at.to_string(),
            one.ended_at.to_string(),
            one.ending.name().to_owned(),
            one.complete.to_string(),
            one.remote,
            one.tls,
            one.session_id,
            one.receipt_id.map(|id| id.to_string()).unwrap_or_default(),
            one.reply,
        ]
    }
}
