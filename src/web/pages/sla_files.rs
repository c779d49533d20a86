//! The files that count for an SLA within a time: a filter of the tables of received files and of transfers.

use std::ops::ControlFlow;

use crate::base::clock::Timestamp;
use crate::base::human;
use crate::domain::sla::{Counted, SlaSettings, Window, shown};
use crate::domain::value::typed;
use crate::store::sla;
use crate::web::context::Context;
use crate::web::error::WebError;
use crate::web::table::{Chip, address};

/// The most files that the filter finds.
pub const SLA_FILES_MAX: usize = 10_000;
/// How a program may ask for it.
const SAMPLE: &str = "2026-11-27T00:00:00Z,2026-11-27T09:00:00Z,ID";

/// The filter's form in an address: `<microseconds>,<microseconds>,<id>`.
fn text(within: Window, id: &str) -> String {
    format!("{},{},{id}", within.start.us(), within.end.us())
}

/// Reads [`text`]; the times may be as people write them.
fn read(asked: &str) -> Option<(Window, &str)> {
    let (start, rest) = asked.split_once(',')?;
    let (end, id) = rest.split_once(',')?;
    let moment = |text: &str| text.parse().ok().map(Timestamp::from_us).or_else(|| Timestamp::parse_rfc3339(text));
    Some((Window { start: moment(start)?, end: moment(end)? }, id))
}

/// The address of the table of files that count for the SLA within a time.
pub fn place(id: &str, counted: Counted, within: Window) -> String {
    let path = match counted {
        Counted::Received => "/activity/receive",
        Counted::Collected => "/activity/transfers",
    };
    address(path, &[("sla", &text(within, id))])
}

/// The result of a filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlaFiles {
    /// The ids of the files, in the store's form.
    pub ids: String,
    /// The filter in words.
    words: String,
    /// Why it can never find a file, if so: for programs.
    pub never: Option<String>,
}

impl SlaFiles {
    /// The result for `asked`: empty for an SLA that is gone, that counts the other way, or that belongs to another
    /// connector than `connector`. `None`: no SLA is requested.
    pub async fn find(
        context: &Context,
        asked: &str,
        counted: Counted,
        connector: &str,
    ) -> Result<Option<Self>, WebError> {
        if asked.is_empty() {
            return Ok(None);
        }
        let none = |why: String| {
            Ok(Some(Self { ids: "[]".to_owned(), words: "SLA: one that was removed".to_owned(), never: Some(why) }))
        };
        let Some((within, id)) = read(asked) else {
            return none(format!("{} isn't a time and an SLA, such as {SAMPLE}", typed(asked)));
        };
        let Some(stored) = sla::find(&context.state.db, id).await? else {
            return none(format!("There is no SLA {}; the address of its page has its id", typed(id)));
        };
        let Ok((settings, due)) = SlaSettings::parse(&stored.texts) else {
            return none(format!("SLA {id} cannot be judged; its page says what is wrong"));
        };
        let (key, connector) = (stored.connector_key.as_str(), connector.trim());
        let written = context.state.live.written_id(key).map_or_else(|| key.to_owned(), |id| id.to_string());
        let mut ids = Vec::new();
        let never = if due.counted != counted {
            Some(format!("SLA {id} counts files that are {}, which are not in this list", due.counted.name()))
        } else if !connector.is_empty() && !connector.eq_ignore_ascii_case(key) {
            Some(format!("SLA {id} is one of {written}"))
        } else {
            None
        };
        if never.is_none() {
            sla::each_counting(&context.state.db, (key, &written), &due, within, |one| {
                ids.push(serde_json::Value::from(one.id));
                if ids.len() < SLA_FILES_MAX { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            })
            .await?;
        }
        let most = if ids.len() < SLA_FILES_MAX {
            String::new()
        } else {
            format!(", the first {}", human::thousands(SLA_FILES_MAX as u64))
        };
        let (from, until) = (shown(within.start, &settings.zone), shown(within.end, &settings.zone));
        let words = format!("SLA of {written}: {}; counted from {from} until {until}{most}", settings.in_words());
        Ok(Some(Self { ids: serde_json::Value::from(ids).to_string(), words, never }))
    }

    /// The filter as a chip; `remove` is the address without it.
    pub fn chip(self, remove: String) -> Chip {
        Chip { words: self.words, remove }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_reads_back() {
        let within = Window { start: Timestamp::from_us(-5), end: Timestamp::from_us(7) };
        assert_eq!(read(&text(within, "s,1")), Some((within, "s,1")));
        assert_eq!(read("5,s1"), None);
        let (within, id) = read(SAMPLE).unwrap();
        assert_eq!((within.end.since(within.start), id), (std::time::Duration::from_hours(9), "ID"));
    }
}
