//! Transfers and events: what moved and what happened, newest first.

use askama::Template;
use axum::extract::Query;
use axum::response::{Redirect, Response};
use serde::Deserialize;

use crate::base::clock::Timestamp;
use crate::base::human;
use crate::domain::event::EventKind;
use crate::store::event::{self, Event};
use crate::store::transfer::{self, Direction, Transfer};
use crate::web::context::{Ctx, ok};
use crate::web::error::WebError;
use crate::web::shell::{Nav, Shell};
use crate::web::view::{Badge, Choice, Moment, address, cursor, place, rows};

/// What is asked for.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Asked {
    /// Rows on a page.
    pub n: Option<i64>,
    /// The page begins older than this row.
    pub before: String,
    /// One kind of event.
    pub kind: String,
    /// One connector.
    pub connector: String,
}

impl Asked {
    /// The row that the page begins behind.
    pub fn start(&self) -> Option<(Timestamp, String)> {
        cursor(&self.before)
    }

    /// The address of the page behind a row.
    pub fn older(&self, path: &str, at: Timestamp, id: &str) -> String {
        let n = self.n.map(|n| n.to_string()).unwrap_or_default();
        let before = place(at, id);
        address(path, &[("kind", &self.kind), ("connector", &self.connector), ("n", &n), ("before", &before)])
    }
}

/// Where a table goes on.
#[derive(Clone, Debug, Default)]
pub struct Pager {
    /// The next older page; empty: there is none.
    pub older: String,
    /// The newest page; empty: this is it.
    pub newest: String,
}

/// One transfer.
#[derive(Clone, Debug)]
pub struct TransferRow {
    /// Which way.
    pub way: &'static str,
    /// The client's path.
    pub path: String,
    /// The connector's id.
    pub connector: String,
    /// Bytes moved, and from where.
    pub size: String,
    /// Bytes a second.
    pub rate: String,
    /// How it ended.
    pub ending: Badge,
    /// What the client was told.
    pub reply: String,
    /// When it ended.
    pub at: Moment,
    /// The receipt it led to; empty for none.
    pub receipt: String,
}

impl TransferRow {
    fn new(transfer: &Transfer, now: Timestamp) -> Self {
        let took = transfer.ended_at.since(transfer.begun_at).as_millis().max(1);
        let rate = u128::from(transfer.bytes_moved) * 1_000 / took;
        let moved = human::size(transfer.bytes_moved);
        Self {
            way: if transfer.direction == Direction::Send { "Download" } else { "Upload" },
            path: transfer.path.clone(),
            connector: transfer.connector.clone(),
            size: if transfer.offset_bytes > 0 {
                format!("{moved} from {}", human::size(transfer.offset_bytes))
            } else {
                moved
            },
            rate: format!("{}/s", human::size(u64::try_from(rate).unwrap_or(u64::MAX))),
            ending: if transfer.complete {
                Badge::new("ok", "Complete")
            } else {
                Badge::new("warn", transfer.ending.label())
            },
            reply: transfer.reply.clone(),
            at: Moment::new(transfer.ended_at, now),
            receipt: transfer.receipt_id.as_ref().map(ToString::to_string).unwrap_or_default(),
        }
    }
}

/// The page of transfers.
#[derive(Debug, Template)]
#[template(path = "transfers.html")]
pub struct TransfersPage {
    shell: Shell,
    rows: Vec<TransferRow>,
    pager: Pager,
}

impl TransfersPage {
    /// A page for tests.
    pub fn sample() -> Self {
        let row = TransferRow {
            way: "Upload",
            path: "/Receive/a.x12".to_owned(),
            connector: "acme-edi".to_owned(),
            size: "1.0 MB".to_owned(),
            rate: "1.0 MB/s".to_owned(),
            ending: Badge::new("warn", "Cut off"),
            reply: "426 Broken off.".to_owned(),
            at: Moment::new(Timestamp::default(), Timestamp::default()),
            receipt: "01996a4e-5d4c-7a10-9c3e-2f1b8d7c6a55".to_owned(),
        };
        let pager = Pager { older: "/activity/transfers".to_owned(), newest: "/activity/transfers".to_owned() };
        Self { shell: Shell::sample(Nav::Activity), rows: vec![row], pager }
    }
}

/// `/activity` leads to the Receive table.
pub async fn home() -> Redirect {
    Redirect::to("/activity/receive")
}

/// Whether there are more rows than `count`; the ones too many are cut off.
pub(super) fn cut<T>(found: &mut Vec<T>, count: i64) -> bool {
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    let more = found.len() > count;
    found.truncate(count);
    more
}

/// Shows transfers.
pub async fn transfers(ctx: Ctx, Query(asked): Query<Asked>) -> Result<Response, WebError> {
    let (count, start) = (rows(asked.n), asked.start());
    let before = start.as_ref().map(|(at, id)| (*at, id.as_str()));
    let mut found = transfer::newest_first(&ctx.state.db, before, count + 1).await?;
    let more = cut(&mut found, count);
    let path = "/activity/transfers";
    let older = found.last().filter(|_| more).map(|last| asked.older(path, last.ended_at, last.id.as_str()));
    ok(&TransfersPage {
        shell: Shell::of(&ctx, Nav::Activity).await?,
        rows: found.iter().map(|transfer| TransferRow::new(transfer, ctx.now())).collect(),
        pager: Pager {
            older: older.unwrap_or_default(),
            newest: if start.is_some() { path.to_owned() } else { String::new() },
        },
    })
}

/// One event.
#[derive(Clone, Debug)]
pub struct EventRow {
    /// What happened, in a sentence.
    pub summary: String,
    /// Its kind.
    pub kind: &'static str,
    /// The connector's id; empty when it concerns none.
    pub connector: String,
    /// Where from.
    pub remote: String,
    /// When.
    pub at: Moment,
    /// The receipt it is about; empty for none.
    pub receipt: String,
}

impl EventRow {
    fn new(event: &Event, now: Timestamp) -> Self {
        Self {
            summary: event.summary.clone(),
            kind: event.kind.name(),
            connector: event.connector.clone(),
            remote: event.remote.clone(),
            at: Moment::new(event.at, now),
            receipt: event.receipt_id.as_ref().map(ToString::to_string).unwrap_or_default(),
        }
    }
}

/// The page of events.
#[derive(Debug, Template)]
#[template(path = "events.html")]
pub struct EventsPage {
    shell: Shell,
    kinds: Vec<Choice>,
    rows: Vec<EventRow>,
    pager: Pager,
}

impl EventsPage {
    /// A page for tests.
    pub fn sample() -> Self {
        let row = EventRow {
            summary: "Received /Receive/a.x12 from acme-edi, 1.0 MB".to_owned(),
            kind: "after_receive",
            connector: "acme-edi".to_owned(),
            remote: "198.51.100.7".to_owned(),
            at: Moment::new(Timestamp::default(), Timestamp::default()),
            receipt: "01996a4e-5d4c-7a10-9c3e-2f1b8d7c6a55".to_owned(),
        };
        let kinds = vec![Choice::new("after_receive", "after_receive", true)];
        Self { shell: Shell::sample(Nav::Activity), kinds, rows: vec![row], pager: Pager::default() }
    }
}

/// Shows events.
pub async fn events(ctx: Ctx, Query(asked): Query<Asked>) -> Result<Response, WebError> {
    let (count, start) = (rows(asked.n), asked.start());
    let before = start.as_ref().map(|(at, id)| (*at, id.as_str()));
    let kind = EventKind::parse(&asked.kind);
    let mut found = event::newest_first(&ctx.state.db, kind, before, count + 1).await?;
    let more = cut(&mut found, count);
    let path = "/activity/events";
    let older = found.last().filter(|_| more).map(|last| asked.older(path, last.at, last.id.as_str()));
    let mut kinds = vec![Choice::new("", "Every kind", kind.is_none())];
    kinds.extend(EventKind::ALL.map(|one| Choice::new(one.name(), one.name(), kind == Some(one))));
    ok(&EventsPage {
        shell: Shell::of(&ctx, Nav::Activity).await?,
        kinds,
        rows: found.iter().map(|event| EventRow::new(event, ctx.now())).collect(),
        pager: Pager {
            older: older.unwrap_or_default(),
            newest: if start.is_some() { address(path, &[("kind", &asked.kind)]) } else { String::new() },
        },
    })
}
