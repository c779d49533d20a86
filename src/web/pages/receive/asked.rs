//! The query of the Receive table: all of it is in the address, so that every state of the page can be shared.

use serde::Deserialize;

use crate::base::clock::Timestamp;
use crate::domain::receipt::Status;
use crate::domain::sla::Counted;
use crate::domain::value::Since;
use crate::store::receipt::Search;
use crate::store::receipt_page::{Column, Order};
use crate::web::context::Context;
use crate::web::error::WebError;
use crate::web::pages::list;
use crate::web::pages::sla_files::SlaFiles;
use crate::web::table::{Chip, Offer, Select, address};

/// The filter, and the page of it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Asked {
    /// Part of name or path, or a whole id or SHA-256.
    pub q: String,
    /// A connector's id.
    pub connector: String,
    /// A status.
    pub status: String,
    /// One of [`SINCE`].
    pub since: String,
    /// An SLA and a time: the files that count for it then.
    pub sla: String,
    /// The page begins older than this row.
    pub before: String,
    /// The page ends newer than this row.
    pub after: String,
    /// Rows on a page.
    pub size: Option<i64>,
    /// The order, one of [`COLUMNS`]; empty: received.
    pub sort: String,
    /// `asc` or `desc`.
    pub dir: String,
    /// The open row.
    pub open: String,
    /// The table belongs to one connector, and so does its address.
    pub at_one: bool,
}

/// The choices for "received": value and words.
pub const SINCE: [(&str, &str); 4] =
    [("today", "Today"), ("24h", "Last 24 hours"), ("7d", "Last 7 days"), ("30d", "Last 30 days")];

/// The columns that a table can be ordered by: the column, its name in addresses, its words.
pub const COLUMNS: [(Column, &str, &str); 4] = [
    (Column::File, "file", "File"),
    (Column::Connector, "connector", "Connector"),
    (Column::Size, "size", "Size"),
    (Column::Received, "received", "Received"),
];

/// The beginning of one of [`SINCE`], or any time in the form of the command line; a day begins at midnight UTC, like
/// the times on the pages.
pub fn since(asked: &str, now: Timestamp) -> Option<Timestamp> {
    match asked {
        "today" => Some(Timestamp::from_us(now.us() - now.us().rem_euclid(86_400_000_000))),
        _ => Since::parse(asked).ok().map(|since| since.moment(now)),
    }
}

impl Asked {
    /// The query for the database.
    pub async fn search(&self, context: &Context) -> Result<Search, WebError> {
        Ok(self.search_among(self.files(context).await?.as_ref(), context.now()))
    }

    /// The files of the requested SLA, if any.
    pub async fn files(&self, context: &Context) -> Result<Option<SlaFiles>, WebError> {
        SlaFiles::find(context, &self.sla, Counted::Received, &self.connector).await
    }

    /// [`Self::search`], with those files already found.
    pub fn search_among(&self, files: Option<&SlaFiles>, now: Timestamp) -> Search {
        let text = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
        Search {
            connector_key: text(&self.connector).map(|id| id.to_ascii_lowercase()),
            status: Status::parse(&self.status),
            text: text(&self.q),
            since: since(&self.since, now),
            ids: files.map(|files| files.ids.clone()),
        }
    }

    /// Whether there is a filter.
    pub fn is_filtered(&self) -> bool {
        [&self.q, &self.connector, &self.status, &self.since, &self.sla].iter().any(|filter| !filter.trim().is_empty())
    }

    /// The requested order, if it is not the plain one; with a filter there is none.
    pub fn sorted(&self) -> Option<(Column, Order)> {
        let (column, ..) = COLUMNS.iter().find(|(_, name, _)| *name == self.sort)?;
        let order = if self.dir == "asc" { Order::Ascending } else { Order::Descending };
        let plain = *column == Column::Received && order == Order::Descending;
        (!self.is_filtered() && !plain).then_some((*column, order))
    }

    /// The address of this filter as CSV.
    pub fn csv(&self) -> String {
        let all = Self { at_one: false, sort: String::new(), dir: String::new(), ..self.clone() };
        all.at("/activity/receive.csv", "size", &[])
    }

    /// The address of this filter at `path` without one of its parts and with others; the place in the table and the
    /// open row are left out.
    pub fn at(&self, path: &str, without: &str, with: &[(&str, &str)]) -> String {
        let size = self.size.map(|size| size.to_string()).unwrap_or_default();
        let connector = if self.at_one { "" } else { self.connector.as_str() };
        let mut query = vec![
            ("q", self.q.trim()),
            ("connector", connector),
            ("status", &self.status),
            ("since", &self.since),
            ("sla", &self.sla),
            ("size", &size),
            ("sort", &self.sort),
            ("dir", &self.dir),
        ];
        query.retain(|(key, _)| *key != without && !(without == "sort" && *key == "dir"));
        query.extend(with);
        address(path, &query)
    }

    /// What can be chosen above the table.
    pub fn selects(&self, context: &Context, now: Timestamp) -> Vec<Select> {
        let statuses = Offer::all(Status::ALL.iter().map(|status| (status.name(), status.label())), &self.status);
        let connectors = (!self.at_one).then(|| list::connectors(context, &self.connector));
        let others =
            [Select::new(("status", "State"), "Any state", statuses), list::periods("Received", &self.since, now)];
        connectors.into_iter().chain(others).collect()
    }

    /// The active filters, each with the address without it.
    pub fn chips(&self, path: &str, selects: &[Select], files: Option<SlaFiles>) -> Vec<Chip> {
        let search =
            Some(self.q.trim()).filter(|words| !words.is_empty()).map(|words| ("q", format!("Search: {words}")));
        let chosen = selects.iter().filter_map(|select| {
            let asked = match select.key {
                "status" => &self.status,
                "since" => &self.since,
                _ => &self.connector,
            };
            Some((select.key, select.words(asked)?))
        });
        let chip = |(key, words): (&str, String)| Chip { words, remove: self.at(path, key, &[]) };
        let of_sla = files.map(|files| files.chip(self.at(path, "sla", &[])));
        search.into_iter().chain(chosen).map(chip).chain(of_sla).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chip_removes_its_filter_and_keeps_the_others() {
        let asked = Asked { q: "po 1".to_owned(), status: "in_receive".to_owned(), ..Asked::default() };
        let statuses = Offer::all([("in_receive", "In Receive")], "in_receive");
        let selects = [Select::new(("status", "State"), "Any state", statuses)];
        let chips = asked.chips("/activity/receive", &selects, None);
        assert_eq!(chips[0].remove, "/activity/receive?status=in_receive");
        assert_eq!(chips[1].remove, "/activity/receive?q=po+1");
        let of_one = Asked { connector: "acme".to_owned(), at_one: true, ..Asked::default() };
        assert!(of_one.chips("/connectors/acme/receive", &[], None).is_empty());
        // What is not known is left out, and says so.
        let unknown = Asked { status: "nonsense".to_owned(), ..Asked::default() };
        let chips =
            unknown.chips("/activity/receive", &[Select::new(("status", "State"), "Any state", Vec::new())], None);
        assert_eq!((chips[0].words.as_str(), chips.len()), ("State: nonsense is unknown, so left out", 1));
    }

    #[test]
    fn today_begins_at_midnight() {
        let now = Timestamp::parse_rfc3339("2026-03-20T09:46:40Z").unwrap();
        assert_eq!(since("today", now), Timestamp::parse_rfc3339("2026-03-20T00:00:00Z"));
        assert_eq!(since("24h", now), Timestamp::parse_rfc3339("2026-03-19T09:46:40Z"));
        assert_eq!(since("2026-03-19T09:46:40Z", now), since("24h", now));
        assert_eq!(since("ever", now), None);
    }
}
