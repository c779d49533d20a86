//! The rows of the Receive table with everything around them; part of two pages.

use std::time::Duration;

use super::asked::COLUMNS;
use super::deliveries;
use super::detail::{Detail, tone};
use super::fetch::{Fetched, fetch, place};
use super::steps::{self, Steps};
use super::{Asked, below};
use crate::base::clock::Timestamp;
use crate::base::human;
use crate::domain::administrator::Role;
use crate::store::receipt::{Cursor, Receipt};
use crate::store::receipt_page::{Column, Order};
use crate::web::context::Context;
use crate::web::error::WebError;
use crate::web::live::Followed;
use crate::web::pages::saved_views::Views;
use crate::web::table::{Chip, Offer, Pager, Select};
use crate::web::tone::Tone;
use crate::web::view::{Time, cursor_text, page_size, place as begins, typed_moment};

/// If their number is unknown.
const ALL: &str = "All files of this filter";

/// The head of a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heading {
    /// Its words.
    pub label: &'static str,
    /// The address that orders by it; empty if it cannot.
    pub address: String,
    /// `ascending`, `descending` or empty.
    pub order: &'static str,
    /// Numbers are right-aligned.
    pub number: bool,
}

/// One row.
#[derive(Clone, Debug)]
pub struct Row {
    /// Its id.
    pub id: String,
    /// The client's path below Receive.
    pub name: String,
    /// The stored one, if it differs; otherwise empty.
    pub stored: String,
    /// The connector's id.
    pub connector: String,
    /// Whether that still exists.
    pub known: bool,
    /// Its size.
    pub size: String,
    /// Where the file is now, in words.
    pub status: &'static str,
    /// The tone of that.
    pub tone: Tone,
    /// When it was complete.
    pub received: Time,
    /// The address that opens it, or closes it.
    pub toggle: String,
    /// What came after it.
    pub steps: Steps,
    /// All about it, if it is open.
    pub open: Option<Detail>,
}

/// The table.
#[derive(Clone, Debug)]
pub struct Table {
    /// The address of the filter form.
    pub base: String,
    /// The query.
    pub asked: Asked,
    /// How many match, in words.
    pub count: String,
    /// How far a search got, in words; empty if it inspected everything.
    pub note: String,
    /// Filters in force.
    pub chips: Vec<Chip>,
    /// The time that the page lies before, if one was requested.
    pub before: String,
    /// Whether nothing is left out before the first row, or between rows.
    pub is_whole: bool,
    /// What can be chosen above it.
    pub selects: Vec<Select>,
    /// Sizes of a page to choose.
    pub sizes: Vec<Offer>,
    /// The heads of the columns.
    pub headings: Vec<Heading>,
    /// The rows.
    pub rows: Vec<Row>,
    /// Links to the pages beside.
    pub pager: Pager,
    /// The same rows as CSV.
    pub csv: String,
    /// The address of the page's live updates; empty if these are not the newest rows.
    pub live: String,
    /// The deliveries of the open row.
    pub deliveries: Vec<deliveries::Row>,
    /// Rows may be chosen to act on.
    pub may_choose: bool,
    /// Every file of the filter, in words; empty if this page has them all.
    pub all: String,
    /// The newest row seen when the page was made.
    pub until: String,
    /// Saved views; none in a table of one connector.
    pub views: Views,
}

impl Table {
    /// The requested table.
    pub async fn new(context: &Context, base: &str, asked: Asked) -> Result<Self, WebError> {
        let now = context.now();
        let files = asked.files(context).await?;
        let Fetched { receipts, count, note, older, newer } =
            fetch(context, &asked, &asked.search_among(files.as_ref(), now)).await?;
        let link =
            |key: &str, place: &str| if place.is_empty() { String::new() } else { asked.at(base, "", &[(key, place)]) };
        let moved = !asked.before.is_empty() || !asked.after.is_empty();
        let has_more = moved || !older.is_empty();
        let all = if note.is_empty() && !count.ends_with("page") {
            format!("All {count} of this filter")
        } else {
            ALL.to_owned()
        };
        let mut after = steps::after(context, &receipts).await?;
        let mut rows: Vec<_> =
            receipts.iter().map(|receipt| asked.row(base, receipt, (now, after.remove(&receipt.id)))).collect();
        for row in &mut rows {
            row.known = context.state.live.written_id(&row.connector).is_some();
            if let Some(detail) = row.open.take() {
                row.open = Some(detail.in_full(context).await?);
            }
        }
        let views =
            if asked.at_one { Views::default() } else { Views::at(context, base, &asked.at(base, "", &[])).await? };
        let selects = asked.selects(context, now);
        let chips = asked.chips(base, &selects, files);
        let before = typed_moment(&asked.before);
        // Everything on a page that begins at a given time came before it, and so does all of its filter.
        let until = match begins(&asked.before).filter(|_| !before.is_empty()) {
            Some(at) => at,
            None => Cursor { completed_at: now.plus(Duration::from_micros(1)), id: String::new() },
        };
        Ok(Self {
            views,
            before,
            is_whole: chips.is_empty() && !moved,
            may_choose: context.may(Role::Editor),
            all: if has_more { all } else { String::new() },
            until: cursor_text(until.completed_at, &until.id),
            count,
            note,
            chips,
            selects,
            sizes: Offer::sizes(page_size(asked.size)),
            headings: asked.headings(base),
            rows,
            deliveries: match receipts.iter().find(|receipt| receipt.id.as_str() == asked.open) {
                Some(receipt) => deliveries::of(context, receipt).await?,
                None => Vec::new(),
            },
            pager: Pager {
                newest: if moved { asked.at(base, "", &[]) } else { String::new() },
                newer: link("after", &newer),
                older: link("before", &older),
            },
            csv: asked.csv(),
            live: if moved || asked.sorted().is_some() { String::new() } else { asked.live(receipts.first(), now) },
            base: base.to_owned(),
            asked,
        })
    }
}

impl Table {
    /// Columns of the table.
    pub fn columns(&self) -> usize {
        self.headings.len() + usize::from(self.may_choose)
    }
}

impl Asked {
    fn row(&self, base: &str, receipt: &Receipt, (now, steps): (Timestamp, Option<Steps>)) -> Row {
        let open = receipt.id.as_str() == self.open;
        let mut query = vec![("before", self.before.as_str()), ("after", self.after.as_str())];
        if !open {
            query.push(("open", receipt.id.as_str()));
        }
        let (name, stored) = (below(&receipt.client_path).to_owned(), below(&receipt.stored_path).to_owned());
        Row {
            id: receipt.id.to_string(),
            stored: if stored == name { String::new() } else { stored },
            name,
            connector: receipt.connector.clone(),
            known: true,
            size: human::size(receipt.size_bytes),
            status: receipt.status.label(),
            tone: tone(receipt.status),
            received: Time::seen(receipt.completed_at, now),
            toggle: self.at(base, "", &query),
            steps: steps.unwrap_or_default(),
            open: open.then(|| Detail::of(receipt)),
        }
    }

    /// Column heads offer the orders that have an index: with a filter, only the plain one.
    fn headings(&self, base: &str) -> Vec<Heading> {
        let (by, order) = self.sorted().unwrap_or((Column::Received, Order::Descending));
        let heading = |(column, name, label): &(Column, &str, &'static str)| {
            let first = if matches!(column, Column::File | Column::Connector) { "asc" } else { "desc" };
            let next = match (*column == by, order) {
                (true, Order::Ascending) => "desc",
                (true, Order::Descending) => "asc",
                (false, _) => first,
            };
            let address = if *column == Column::Received && next == "desc" {
                self.at(base, "sort", &[("dir", "")])
            } else {
                self.at(base, "sort", &[("sort", name), ("dir", next)])
            };
            Heading {
                label,
                address: if self.is_filtered() { String::new() } else { address },
                order: match (*column == by, order) {
                    (true, Order::Ascending) => "ascending",
                    (true, Order::Descending) => "descending",
                    (false, _) => "",
                },
                number: *column == Column::Size,
            }
        };
        let mut headings: Vec<_> =
            COLUMNS.iter().filter(|(column, ..)| !(self.at_one && *column == Column::Connector)).map(heading).collect();
        for label in ["Next step", "After Receive"] {
            let heading = Heading { label, address: String::new(), order: "", number: false };
            headings.insert(headings.len() - 1, heading);
        }
        headings
    }

    /// The address of the stream that counts rows newer than the first.
    fn live(&self, first: Option<&Receipt>, now: Timestamp) -> String {
        let first = first.map_or_else(|| cursor_text(now, ""), place);
        let mut query = vec![("after", first.as_str())];
        if self.at_one {
            query.extend([("connector", self.connector.as_str()), ("at_one", "true")]);
        }
        Followed::Receive.address(self.at("", "", &query).trim_start_matches('?'))
    }
}
