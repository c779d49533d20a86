//! The Receive table: of all connectors, of one, and one receipt in full.

use std::time::Duration;

use askama::Template;
use axum::extract::{Path, Query};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::connectors;
use super::head::Head;
use crate::base::human;
use crate::base::id::ReceiptId;
use crate::domain::receipt::Status;
use crate::store::receipt::{self, Direction, Receipt, Search};
use crate::web::context::Context;
use crate::web::error::WebError;
use crate::web::shell::{Nav, Shell, html};
use crate::web::view::{PAGE_SIZES, Time, cursor, cursor_text, page_size};

/// Counting stops here: "more than 10,000".
const COUNTED_MAX: i64 = 10_000;

/// What is looked for, and which page of it.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Asked {
    #[serde(default)]
    q: String,
    #[serde(default)]
    connector: String,
    #[serde(default)]
    status: String,
    #[serde(default)]
    since: String,
    #[serde(default)]
    before: String,
    #[serde(default)]
    after: String,
    size: Option<i64>,
}

/// The choices of "received": what is asked for, its words, and its seconds.
const SINCE: [(&str, &str, u64); 3] = [
    ("24h", "Last 24 hours", 24 * 3_600),
    ("7d", "Last 7 days", 7 * 24 * 3_600),
    ("30d", "Last 30 days", 30 * 24 * 3_600),
];

impl Asked {
    fn search(&self, context: &Context) -> Search {
        let text = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
        let since = SINCE.iter().find(|(name, _, _)| *name == self.since);
        Search {
            connector_key: text(&self.connector).map(|id| id.to_ascii_lowercase()),
            status: Status::parse(&self.status),
            text: text(&self.q),
            since: since.map(|(_, _, seconds)| context.now().minus(Duration::from_secs(*seconds))),
        }
    }

    /// The query without one of its parts and without its place, for chips and links.
    fn without(&self, left_out: &str) -> String {
        let size = self.size.map(|size| size.to_string()).unwrap_or_default();
        let parts = [
            ("q", &self.q),
            ("connector", &self.connector),
            ("status", &self.status),
            ("since", &self.since),
            ("size", &size),
        ];
        let kept = parts.into_iter().filter(|(key, value)| *key != left_out && !value.is_empty());
        serde_urlencoded::to_string(kept.collect::<Vec<_>>()).unwrap_or_default()
    }
}

struct Row {
    id: String,
    name: String,
    connector: String,
    size: String,
    status: &'static str,
    tone: &'static str,
    received: Time,
}

struct Chip {
    words: String,
    remove: String,
}

struct Offer {
    value: String,
    label: String,
    chosen: bool,
}

#[derive(Template)]
#[template(path = "receive.html")]
struct ReceivePage {
    shell: Shell,
    /// Of one connector.
    head: Option<Head>,
    base: String,
    of_connector: String,
    asked: Asked,
    rows: Vec<Row>,
    count: String,
    chips: Vec<Chip>,
    connectors: Vec<Offer>,
    statuses: Vec<Offer>,
    periods: Vec<Offer>,
    sizes: Vec<Offer>,
    older: String,
    newer: String,
}

/// All connectors.
pub async fn show(context: Context, Query(asked): Query<Asked>) -> Result<Response, WebError> {
    let page = page(&context, asked, "/activity/receive".to_owned(), String::new()).await?;
    Ok(html(&page)?.into_response())
}

/// One connector.
pub async fn of_connector(
    context: Context,
    Path(id): Path<String>,
    Query(asked): Query<Asked>,
) -> Result<Response, WebError> {
    let found = connectors::find(&context, &id).await?;
    let base = format!("/connectors/{}/receive", found.id);
    let asked = Asked { connector: found.id.to_string(), ..asked };
    let mut page = page(&context, asked, base, found.id.to_string()).await?;
    page.head = Some(Head::new(&context, &found.id, "receive").await?);
    Ok(html(&page)?.into_response())
}

async fn page(context: &Context, asked: Asked, base: String, of: String) -> Result<ReceivePage, WebError> {
    let db = &context.state.db;
    let search = asked.search(context);
    let size = page_size(asked.size);
    let from = match (cursor(&asked.before), cursor(&asked.after)) {
        (Some(before), _) => Some((Direction::Older, before)),
        (None, Some(after)) => Some((Direction::Newer, after)),
        (None, None) => None,
    };
    let from_ref = from.as_ref().map(|(direction, cursor)| (*direction, cursor));
    // One more than is shown tells whether there are more.
    let mut receipts = receipt::page(db, &search, from_ref, size + 1).await?;
    let more = receipts.len() > usize::try_from(size).unwrap_or(usize::MAX);
    let going_newer = matches!(from_ref, Some((Direction::Newer, _)));
    if more && going_newer {
        receipts.remove(0);
    } else if more {
        receipts.pop();
    }
    let place = |receipt: Option<&Receipt>| {
        receipt.map(|receipt| cursor_text(receipt.completed_at, receipt.id.as_str())).unwrap_or_default()
    };
    let older = if more || going_newer { place(receipts.last()) } else { String::new() };
    let newer =
        if (from.is_some() && !going_newer) || (going_newer && more) { place(receipts.first()) } else { String::new() };
    let count = receipt::count(db, &search, COUNTED_MAX + 1).await?;
    let count = if count > COUNTED_MAX.unsigned_abs() {
        format!("More than {} files", human::thousands(COUNTED_MAX.unsigned_abs()))
    } else {
        human::count(count, "file", "files")
    };
    let link = |kind: &str, at: String| {
        let rest = asked.without("");
        let and = if rest.is_empty() { "" } else { "&" };
        if at.is_empty() { String::new() } else { format!("{base}?{rest}{and}{kind}={at}") }
    };
    let (older, newer) = (link("before", older), link("after", newer));
    let option = |value: &str, label: &str, chosen: &str| Offer {
        value: value.to_owned(),
        label: label.to_owned(),
        chosen: value == chosen,
    };
    let snapshot = context.state.live.snapshot();
    let title = if of.is_empty() { "Receive table".to_owned() } else { format!("{of} receive") };
    Ok(ReceivePage {
        shell: Shell::new(context, title, if of.is_empty() { Nav::Activity } else { Nav::Flows }).await?,
        head: None,
        rows: receipts.iter().map(row).collect(),
        count,
        chips: chips(&asked, &base, &of),
        connectors: snapshot
            .connectors_sorted()
            .iter()
            .map(|live| option(live.connector.id.as_str(), live.connector.id.as_str(), &asked.connector))
            .collect(),
        statuses: Status::ALL
            .iter()
            .filter(|status| **status != Status::Publishing)
            .map(|status| option(status.name(), status.label(), &asked.status))
            .collect(),
        periods: SINCE.iter().map(|(name, words, _)| option(name, words, &asked.since)).collect(),
        sizes: PAGE_SIZES.iter().map(|n| option(&n.to_string(), &n.to_string(), &size.to_string())).collect(),
        older,
        newer,
        base,
        of_connector: of,
        asked,
    })
}

fn chips(asked: &Asked, base: &str, of: &str) -> Vec<Chip> {
    let chip = |key: &str, words: String| Chip { words, remove: format!("{base}?{}", asked.without(key)) };
    let mut chips = Vec::new();
    if !asked.q.is_empty() {
        chips.push(chip("q", format!("Search: {}", asked.q)));
    }
    if !asked.connector.is_empty() && of.is_empty() {
        chips.push(chip("connector", format!("Connector: {}", asked.connector)));
    }
    if let Some(status) = Status::parse(&asked.status) {
        chips.push(chip("status", format!("State: {}", status.label())));
    }
    if let Some((_, words, _)) = SINCE.iter().find(|(name, _, _)| *name == asked.since) {
        chips.push(chip("since", format!("Received: {}", words.to_lowercase())));
    }
    chips
}

fn row(receipt: &Receipt) -> Row {
    Row {
        id: receipt.id.to_string(),
        name: receipt.client_path.trim_start_matches("/Receive/").to_owned(),
        connector: receipt.connector.clone(),
        size: human::size(receipt.size_bytes),
        status: receipt.status.label(),
        tone: tone(receipt.status),
        received: receipt.completed_at.into(),
    }
}

fn tone(status: Status) -> &'static str {
    match status {
        Status::PassedAlong => "ok",
        Status::Lost => "bad",
        Status::Waiting | Status::Gone => "warn",
        Status::Publishing | Status::InReceive | Status::Removed | Status::Replaced => "",
    }
}

#[derive(Template)]
#[template(path = "receipt.html")]
struct ReceiptPage {
    shell: Shell,
    name: String,
    status: &'static str,
    tone: &'static str,
    connector: String,
    facts: Vec<(&'static str, String)>,
    duplicate_of: String,
}

/// One receipt.
pub async fn one(context: Context, Path(id): Path<String>) -> Result<Response, WebError> {
    let id = ReceiptId::parse(&id).ok_or_else(WebError::not_found)?;
    let receipt = receipt::find(&context.state.db, &id).await?.ok_or_else(WebError::not_found)?;
    let page = ReceiptPage {
        shell: Shell::new(&context, receipt.name.clone(), Nav::Activity).await?,
        name: receipt.name.clone(),
        status: receipt.status.label(),
        tone: tone(receipt.status),
        connector: receipt.connector.clone(),
        facts: facts(&receipt),
        duplicate_of: receipt.duplicate_of.as_ref().map(ToString::to_string).unwrap_or_default(),
    };
    Ok(html(&page)?.into_response())
}

fn facts(receipt: &Receipt) -> Vec<(&'static str, String)> {
    let mut facts = vec![
        ("Receipt", receipt.id.to_string()),
        ("Client’s path", receipt.client_path.clone()),
        ("Stored as", receipt.stored_path.clone()),
        ("Size", format!("{} ({} bytes)", human::size(receipt.size_bytes), human::thousands(receipt.size_bytes))),
        ("SHA-256", receipt.sha256.clone()),
        ("Begun", Time::from(receipt.begun_at).words),
        ("Completed", Time::from(receipt.completed_at).words),
        ("From", receipt.remote_address.clone()),
        ("TLS", if receipt.tls.is_empty() { "none".to_owned() } else { receipt.tls.clone() }),
        ("Session", receipt.session_id.to_string()),
        ("Ending", receipt.ending.label().to_owned()),
        ("Proof", format!("{}: {}", receipt.proof.name(), receipt.proof.label())),
        ("TYPE", if receipt.ascii { "A" } else { "I" }.to_owned()),
    ];
    if receipt.resumed_from > 0 {
        facts.push(("Resumed from", format!("byte {}", human::thousands(receipt.resumed_from))));
    }
    for (name, value) in &receipt.headers {
        facts.push(("Header", format!("{name}: {value}")));
    }
    facts
}
