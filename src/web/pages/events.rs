//! Events: what happened, newest first.

use askama::Template;
use axum::extract::{Path, Query};
use axum::response::{IntoResponse, Response};

use super::event_deliveries;
use super::list::{self, Asked, Filters};
use super::receive::{Fact, deliveries};
use crate::base::clock::Timestamp;
use crate::base::human;
use crate::base::id::EventId;
use crate::domain::administrator::Role;
use crate::domain::event::EventKind;
use crate::store::delivery_page;
use crate::store::event::{self, Event, Filter};
use crate::store::receipt::Cursor;
use crate::store::{Db, StoreError};
use crate::web::context::Context;
use crate::web::csv::{self, Paged};
use crate::web::error::WebError;
use crate::web::shell::{Nav, Shell, html};
use crate::web::table::{Offer, Pager, Select};
use crate::web::view::Time;

const PATH: &str = "/activity/events";

struct Row {
    kind: String,
    summary: String,
    connector: String,
    /// Whether that still exists.
    known: bool,
    /// Its receipt's page, or its own.
    link: String,
    at: Time,
}

#[derive(Template)]
#[template(path = "events.html")]
struct EventsPage {
    shell: Shell,
    filters: Filters,
    rows: Vec<Row>,
    pager: Pager,
    /// What can be done to all deliveries of these events: words and address.
    deeds: Vec<(&'static str, String)>,
}

/// The query for the database.
pub fn filter(context: &Context, asked: &Asked) -> Filter {
    Filter {
        kind: EventKind::parse(&asked.kind),
        connector: asked.connector(context),
        since: asked.since(context.now()),
    }
}

/// A kind's name as words: `after_receive` reads `After receive`.
pub fn words(kind: EventKind) -> String {
    let words = kind.name().replace('_', " ");
    let mut chars = words.chars();
    chars.next().into_iter().flat_map(char::to_uppercase).chain(chars).collect()
}

/// The table.
pub async fn show(context: Context, Query(asked): Query<Asked>) -> Result<Response, WebError> {
    let (filter, now) = (filter(&context, &asked), context.now());
    let (found, older) = list::page(&context, &filter, asked.before().as_ref(), asked.size()).await?;
    let kinds = EventKind::ALL.map(|kind| (kind.name(), words(kind)));
    let offers = Offer::all(kinds.iter().map(|(name, words)| (*name, words.as_str())), &asked.kind);
    let own = vec![Select::new(("kind", "Kind"), "Every kind", offers)];
    let rows = found.into_iter().map(|one| Row {
        kind: words(one.kind),
        summary: one.summary,
        known: context.state.live.written_id(&one.connector).is_some(),
        connector: one.connector,
        link: match one.receipt_id.filter(|_| one.kind == EventKind::AfterReceive) {
            Some(receipt) => format!("/activity/receive/{receipt}"),
            None => format!("{PATH}/{}", one.id),
        },
        at: Time::seen(one.at, now),
    });
    let page = EventsPage {
        shell: Shell::new(&context, "Events", Nav::Activity).await?,
        filters: Filters::new(&context, (PATH, "Happened"), &asked, own).await?,
        rows: rows.collect(),
        pager: asked.pager(PATH, older),
        deeds: if context.may(Role::Editor) { event_deliveries::deeds(&asked) } else { Vec::new() },
    };
    Ok(html(&page)?.into_response())
}

#[derive(Template)]
#[template(path = "event.html")]
struct EventPage {
    shell: Shell,
    kind: String,
    summary: String,
    facts: Vec<Fact>,
    deliveries: Vec<deliveries::Row>,
    may_edit: bool,
}

/// One event, and what it set off.
pub async fn one(context: Context, Path(id): Path<String>) -> Result<Response, WebError> {
    let db = &context.state.db;
    let id = EventId::parse(&id).ok_or_else(WebError::not_found)?;
    let event = event::find(db, &id).await?.ok_or_else(WebError::not_found)?;
    let found = delivery_page::of_event(db, &id, event.receipt_id.as_ref()).await?;
    let page = EventPage {
        shell: Shell::new(&context, words(event.kind), Nav::Activity).await?,
        kind: words(event.kind),
        deliveries: deliveries::rows(&context, (&event.connector, event.receipt_id.as_ref()), found).await?,
        may_edit: context.may(Role::Editor),
        facts: facts(&context, &event),
        summary: event.summary,
    };
    Ok(html(&page)?.into_response())
}

fn facts(context: &Context, event: &Event) -> Vec<Fact> {
    let mut facts = Vec::new();
    let mut add = |name: &str, value: &str, mono: bool, link: String| {
        if !value.is_empty() {
            facts.push(Fact { name: name.to_owned(), value: value.to_owned(), mono, link, time: None });
        }
    };
    add("Event Id", event.id.as_str(), true, String::new());
    // One that is gone has no page.
    let known = context.state.live.written_id(&event.connector);
    let link = known.map(|id| format!("/connectors/{id}/settings")).unwrap_or_default();
    add("Connector", &event.connector, false, link);
    if let Some(file) = &event.file {
        add("File", &file.path, true, String::new());
        add("Size", &human::size(file.size_bytes), false, String::new());
    }
    if let Some(receipt) = &event.receipt_id {
        add("Receipt", receipt.as_str(), true, format!("/activity/receive/{receipt}"));
    }
    add("From", &event.remote, false, String::new());
    add("Session", &event.session_id, true, String::new());
    facts.insert(1, Fact::at("Happened", event.at, String::new()));
    facts
}

/// The same as CSV, unlimited.
pub async fn export(context: Context, Query(asked): Query<Asked>) -> Response {
    let filter = filter(&context, &asked);
    csv::file(&context, "events", filter)
}

impl Paged for Filter {
    const COLUMNS: &'static [&'static str] =
        &["id", "kind", "at", "connector", "session_id", "receipt_id", "remote", "summary"];
    type Row = Event;

    async fn page(&self, db: &Db, before: Option<&Cursor>, count: i64) -> Result<Vec<Event>, StoreError> {
        event::page(db, self, before, count).await
    }

    fn place(row: &Event) -> (Timestamp, &str) {
        (row.at, row.id.as_str())
    }

    fn cells(one: Event) -> Vec<String> {
        let receipt = one.receipt_id.map(|id| id.to_string()).unwrap_or_default();
        let (id, kind) = (one.id.to_string(), one.kind.name().to_owned());
        vec![id, kind, one.at.to_string(), one.connector, one.session_id, receipt, one.remote, one.summary]
    }
}
