//! The rows of the Receive table with everything around them; a part of two pages.

use super::Asked;
use super::asked::SINCE;
use super::detail::{Detail, tone};
use crate::base::clock::Timestamp;
use crate::base::human;
use crate::domain::receipt::Status;
use crate::store::receipt::{self, Direction, Receipt};
use crate::web::context::Context;
use crate::web::error::WebError;
use crate::web::live::Followed;
use crate::web::table::{Chip, Offer, Pager};
use crate::web::view::{Time, cursor, cursor_text, page_size};

/// Counting stops here: "more than 10,000".
pub const COUNTED_MAX: i64 = 10_000;
/// Connectors offered in the filter.
const OFFERED_MAX: usize = 500;

/// One row.
#[derive(Clone, Debug)]
pub struct Row {
    /// Its id.
    pub id: String,
    /// The client's path below Receive.
    pub name: String,
    /// The stored one, where it differs; else empty.
    pub stored: String,
    /// The connector's id.
    pub connector: String,
    /// Its size.
    pub size: String,
    /// Where the file is now, in words.
    pub status: &'static str,
    /// How that looks.
    pub tone: &'static str,
    /// When it was whole.
    pub received: Time,
    /// The address that opens it, or closes it.
    pub toggle: String,
    /// All of it, when it is open.
    pub open: Option<Detail>,
}

/// The table.
#[derive(Clone, Debug)]
pub struct Table {
    /// Where the filter form leads.
    pub base: String,
    /// What is asked for.
    pub asked: Asked,
    /// How many match, in words.
    pub count: String,
    /// Filters in force.
    pub chips: Vec<Chip>,
    /// Connectors to choose.
    pub connectors: Vec<Offer>,
    /// Statuses to choose.
    pub statuses: Vec<Offer>,
    /// Times to choose.
    pub periods: Vec<Offer>,
    /// Sizes of a page to choose.
    pub sizes: Vec<Offer>,
    /// The rows.
    pub rows: Vec<Row>,
    /// Links to the pages beside.
    pub pager: Pager,
    /// The address of the page's live updates; empty when these are not the newest rows.
    pub live: String,
}

impl Table {
    /// The table that is asked for.
    pub async fn new(context: &Context, base: &str, asked: Asked) -> Result<Self, WebError> {
        let (db, now) = (&context.state.db, context.now());
        let search = asked.search(now);
        let size = page_size(asked.size);
        let from = match (cursor(&asked.before), cursor(&asked.after)) {
            (Some(before), _) => Some((Direction::Older, before)),
            (None, Some(after)) => Some((Direction::Newer, after)),
            (None, None) => None,
        };
        let from = from.as_ref().map(|(direction, cursor)| (*direction, cursor));
        // One more than is shown tells whether there are more.
        let mut receipts = receipt::page(db, &search, from, size + 1).await?;
        let more = i64::try_from(receipts.len()).is_ok_and(|len| len > size);
        let upwards = matches!(from, Some((Direction::Newer, _)));
        if more {
            receipts.remove(if upwards { 0 } else { receipts.len() - 1 });
        }
        let count = receipt::count(db, &search, COUNTED_MAX + 1).await?;
        let live = if from.is_none() { asked.live(receipts.first(), now) } else { String::new() };
        let snapshot = context.state.live.snapshot();
        let connectors = snapshot.connectors_sorted();
        let ids = connectors.iter().take(OFFERED_MAX).map(|live| live.connector.id.as_str());
        let statuses = Status::ALL.iter().filter(|status| **status != Status::Publishing);
        Ok(Self {
            count: counted(count),
            chips: asked.chips(base),
            connectors: Offer::all(ids.map(|id| (id, id)), &asked.connector),
            statuses: Offer::all(statuses.map(|status| (status.name(), status.label())), &asked.status),
            periods: Offer::all(SINCE, &asked.since),
            sizes: Offer::sizes(size),
            rows: receipts.iter().map(|receipt| asked.row(base, receipt, now)).collect(),
            pager: asked.pager(base, &receipts, more),
            live,
            base: base.to_owned(),
            asked,
        })
    }
}

fn counted(count: u64) -> String {
    let most = COUNTED_MAX.unsigned_abs();
    if count > most {
        format!("More than {} files", human::thousands(most))
    } else {
        human::count(count, "file", "files")
    }
}

fn place(receipt: &Receipt) -> String {
    cursor_text(receipt.completed_at, receipt.id.as_str())
}

impl Asked {
    fn row(&self, base: &str, receipt: &Receipt, now: Timestamp) -> Row {
        let open = receipt.id.as_str() == self.open;
        let mut query = vec![("before", self.before.as_str()), ("after", self.after.as_str())];
        if !open {
            query.push(("open", receipt.id.as_str()));
        }
        let below = |path: &str| path.strip_prefix("/Receive/").unwrap_or(path).to_owned();
        let (name, stored) = (below(&receipt.client_path), below(&receipt.stored_path));
        Row {
            id: receipt.id.to_string(),
            stored: if stored == name { String::new() } else { stored },
            name,
            connector: receipt.connector.clone(),
            size: human::size(receipt.size_bytes),
            status: receipt.status.label(),
            tone: tone(receipt.status),
            received: Time::seen(receipt.completed_at, now),
            toggle: self.at(base, "", &query),
            open: open.then(|| Detail::of(receipt)),
        }
    }

    fn pager(&self, base: &str, receipts: &[Receipt], more: bool) -> Pager {
        let upwards = self.before.is_empty() && !self.after.is_empty();
        let moved = upwards || !self.before.is_empty();
        let link = |key: &str, receipt: Option<&Receipt>| {
            receipt.map(|receipt| self.at(base, "", &[(key, &place(receipt))])).unwrap_or_default()
        };
        Pager {
            newest: if moved { self.at(base, "", &[]) } else { String::new() },
            newer: link("after", receipts.first().filter(|_| if upwards { more } else { moved })),
            older: link("before", receipts.last().filter(|_| more || upwards)),
        }
    }

    /// The address of the stream that counts what is newer than the first row.
    fn live(&self, first: Option<&Receipt>, now: Timestamp) -> String {
        let first = first.map_or_else(|| cursor_text(now, ""), place);
        let mut query = vec![("after", first.as_str())];
        if self.at_one {
            query.extend([("connector", self.connector.as_str()), ("at_one", "true")]);
        }
        Followed::Receive.address(self.at("", "", &query).trim_start_matches('?'))
    }
}
