//! What the lists of transfers, past sessions, events and refusals share: the query, its form, and paging.

use std::net::IpAddr;

use serde::Deserialize;

use super::receive::{SINCE, since};
use super::saved_views::Views;
use crate::base::clock::Timestamp;
use crate::domain::value;
use crate::store::StoreError;
use crate::store::receipt::Cursor;
use crate::web::context::Context;
use crate::web::csv::Paged;
use crate::web::error::WebError;
use crate::web::table::{Chip, Offer, Pager, Select, address};
use crate::web::view::{cursor_text, page_size, place, typed_moment};

/// Connectors offered in a filter; of more, the id can be typed.
const OFFERED_MAX: usize = 500;

/// The query; each list uses some of it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Asked {
    /// A connector's id.
    pub connector: String,
    /// The direction of transfers.
    pub way: String,
    /// Whether a transfer was completed.
    pub result: String,
    /// A kind of event.
    pub kind: String,
    /// An SLA and a time: the files that count for it then.
    pub sla: String,
    /// A refusing rule.
    pub rule: String,
    /// A client's address.
    pub address: String,
    /// How a session ended.
    pub ending: String,
    /// A time, as in the Receive table.
    pub since: String,
    /// Rows on a page.
    pub size: Option<i64>,
    /// The page begins older than this row.
    pub before: String,
}

impl Asked {
    /// The requested connector, if any, as written in the configuration.
    pub fn connector(&self, context: &Context) -> Option<String> {
        connector(context, &self.connector)
    }

    /// From when.
    pub fn since(&self, now: Timestamp) -> Option<Timestamp> {
        since(&self.since, now)
    }

    /// The row after which the page begins.
    pub fn before(&self) -> Option<Cursor> {
        place(&self.before)
    }

    /// Rows on a page.
    pub fn size(&self) -> i64 {
        page_size(self.size)
    }

    /// What the address says for one of the choices.
    fn value(&self, key: &str) -> &str {
        match key {
            "connector" => &self.connector,
            "way" => &self.way,
            "result" => &self.result,
            "kind" => &self.kind,
            "rule" => &self.rule,
            "ending" => &self.ending,
            "since" => &self.since,
            _ => "",
        }
    }

    /// The address of this filter without one of its parts and with others; the place in the list is left out.
    pub fn at(&self, path: &str, without: &str, with: &[(&str, &str)]) -> String {
        let size = self.size.map(|size| size.to_string()).unwrap_or_default();
        let mut query = vec![
            ("connector", self.connector.trim()),
            ("way", &self.way),
            ("result", &self.result),
            ("kind", &self.kind),
            ("rule", &self.rule),
            ("address", self.address.trim()),
            ("ending", &self.ending),
            ("since", &self.since),
            ("sla", &self.sla),
            ("size", &size),
        ];
        query.retain(|(key, _)| *key != without);
        query.extend(with);
        address(path, &query)
    }

    /// Links to the neighbouring pages; `older` is the place of the last row if there are more.
    pub fn pager(&self, path: &str, older: Option<String>) -> Pager {
        Pager {
            newest: if self.before.is_empty() { String::new() } else { self.at(path, "", &[]) },
            newer: String::new(),
            older: older.map(|place| self.at(path, "", &[("before", &place)])).unwrap_or_default(),
        }
    }
}

/// The form above a list, and the active filters.
#[derive(Clone, Debug)]
pub struct Filters {
    /// Where it leads.
    pub path: &'static str,
    /// Its choices.
    pub selects: Vec<Select>,
    /// The client's address as typed, if the list can filter by it.
    pub address: Option<String>,
    /// The files of an SLA, if requested: the form does not offer this, but keeps it.
    pub sla: String,
    /// The time that the page lies before, if one was requested.
    pub before: String,
    /// Whether nothing is left out before the first row, or between rows.
    pub is_whole: bool,
    /// Sizes of a page.
    pub sizes: Vec<Offer>,
    /// Filters in force.
    pub chips: Vec<Chip>,
    /// The same rows as CSV.
    pub csv: String,
    /// Saved views.
    pub views: Views,
}

fn connector(context: &Context, typed: &str) -> Option<String> {
    let typed = Some(typed.trim()).filter(|typed| !typed.is_empty())?;
    Some(context.state.live.written_id(typed).map_or_else(|| typed.to_owned(), |id| id.to_string()))
}

/// The connectors to choose from, and the chosen one, however its id is written. A deleted one still has its rows; so
/// do names that never existed.
pub fn connectors(context: &Context, chosen: &str) -> Select {
    let snapshot = context.state.live.snapshot();
    let connectors = snapshot.connectors_sorted();
    let ids = connectors.iter().take(OFFERED_MAX).map(|live| live.connector.id.as_str());
    let chosen = connector(context, chosen).unwrap_or_default();
    let mut offers = Offer::all(ids.map(|id| (id, id)), &chosen);
    offer_too(&mut offers, &chosen);
    let is_typed = connectors.len() > OFFERED_MAX;
    Select { is_typed, ..Select::new(("connector", "Connector"), "All connectors", offers) }
}

/// The periods to choose from, and the one in force, in whatever form of the command line it is given.
pub fn periods(label: &'static str, chosen: &str, now: Timestamp) -> Select {
    let mut offers = Offer::all(SINCE, chosen);
    if since(chosen, now).is_some() {
        offer_too(&mut offers, chosen);
    }
    Select::new(("since", label), "Any time", offers)
}

/// Offers what is in force, if it is not offered yet.
fn offer_too(offers: &mut Vec<Offer>, chosen: &str) {
    if !chosen.is_empty() && !offers.iter().any(|offer| offer.chosen) {
        offers.extend(Offer::all([(chosen, chosen)], chosen));
    }
}

impl Filters {
    /// The form of a list: its own choices between those of every list.
    pub async fn new(
        context: &Context,
        (path, label): (&'static str, &'static str),
        asked: &Asked,
        own: Vec<Select>,
    ) -> Result<Self, WebError> {
        let mut selects = vec![connectors(context, &asked.connector)];
        selects.extend(own);
        selects.push(periods(label, &asked.since, context.now()));
        let chip = |select: &Select| {
            let words = select.words(asked.value(select.key))?;
            Some(Chip { words, remove: asked.at(path, select.key, &[]) })
        };
        let chips: Vec<_> = selects.iter().filter_map(chip).collect();
        Ok(Self {
            path,
            views: Views::at(context, path, &asked.at(path, "", &[])).await?,
            before: typed_moment(&asked.before),
            is_whole: chips.is_empty() && asked.before.is_empty(),
            chips,
            selects,
            address: None,
            sla: asked.sla.clone(),
            sizes: Offer::sizes(asked.size()),
            csv: asked.at(&format!("{path}.csv"), "size", &[]),
        })
    }

    /// With a line for the client's address.
    pub fn with_address(mut self, asked: &Asked) -> Self {
        let typed = asked.address.trim().to_owned();
        if !typed.is_empty() {
            let is_one = typed.parse::<IpAddr>().is_ok();
            let words =
                if is_one { typed.clone() } else { format!("{}, which isn’t a whole one", value::typed(&typed)) };
            self.put(Chip { words: format!("Address: {words}"), remove: asked.at(self.path, "address", &[]) });
        }
        self.address = Some(typed);
        self
    }

    /// Puts one more filter among those in force.
    pub fn put(&mut self, chip: Chip) {
        self.chips.push(chip);
        self.is_whole = false;
    }
}

/// The rows of one page, and the place of the last one if there are more.
pub async fn page<S: Paged>(
    context: &Context,
    table: &S,
    before: Option<&Cursor>,
    size: i64,
) -> Result<(Vec<S::Row>, Option<String>), StoreError> {
    let mut rows = table.page(&context.state.db, before, size + 1).await?;
    let older = cut(&mut rows, size, |row| {
        let (at, id) = S::place(row);
        cursor_text(at, id)
    });
    Ok((rows, older))
}

/// Removes the row that only showed that there are more; in that case returns the place of the last one.
pub fn cut<R>(rows: &mut Vec<R>, size: i64, place: impl Fn(&R) -> String) -> Option<String> {
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    let more = rows.len() > size;
    rows.truncate(size);
    rows.last().filter(|_| more).map(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_row_beyond_a_page_tells_that_there_are_more() {
        let mut rows = vec![3, 2, 1];
        assert_eq!(cut(&mut rows, 2, ToString::to_string), Some("2".to_owned()));
        assert_eq!(rows, [3, 2]);
        assert_eq!(cut(&mut rows, 2, ToString::to_string), None);
        let asked = Asked { rule: "idle".to_owned(), before: "5,a".to_owned(), ..Asked::default() };
        let pager = asked.pager("/activity/refusals", Some("4,b".to_owned()));
        assert_eq!(pager.newest, "/activity/refusals?rule=idle");
        assert_eq!(pager.older, "/activity/refusals?rule=idle&before=4%2Cb");
    }
}
