//! Moments, badges and pages of tables, as templates show them.

use std::borrow::Cow;

use crate::base::clock::Timestamp;
use crate::base::human;
use crate::domain::receipt::Status;

/// A moment: always with seconds, in UTC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moment {
    /// For machines.
    pub iso: String,
    /// For people: the time, and the date unless it is today.
    pub text: String,
    /// Date, time and age.
    pub title: String,
}

impl Moment {
    /// How `at` reads at `now`.
    pub fn new(at: Timestamp, now: Timestamp) -> Self {
        let (date, time) = parts(at);
        let text = if parts(now).0 == date { time.clone() } else { format!("{date} {time}") };
        Self { iso: at.to_string(), text, title: format!("{date} {time} UTC, {}", human::ago(at, now)) }
    }

    /// Date and time, whatever the day.
    pub fn whole(at: Timestamp, now: Timestamp) -> Self {
        let (date, time) = parts(at);
        Self { text: format!("{date} {time} UTC"), ..Self::new(at, now) }
    }
}

fn parts(at: Timestamp) -> (String, String) {
    let text = at.to_string();
    let (date, rest) = text.split_once('T').unwrap_or((&text, ""));
    (date.to_owned(), rest.chars().take(8).collect())
}

/// Words on a soft ground.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Badge {
    /// `ok`, `warn`, `bad`, `info` or empty.
    pub class: &'static str,
    /// The words.
    pub text: Cow<'static, str>,
}

impl Badge {
    /// A badge.
    pub fn new(class: &'static str, text: impl Into<Cow<'static, str>>) -> Self {
        Self { class, text: text.into() }
    }

    /// Where a received file is now.
    pub fn of_status(status: Status) -> Self {
        let class = match status {
            Status::InReceive | Status::Removed | Status::Replaced => "",
            Status::Publishing | Status::Waiting => "warn",
            Status::PassedAlong => "ok",
            Status::Gone | Status::Lost => "bad",
        };
        Self::new(class, status.label())
    }
}

/// An option of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Its value.
    pub value: String,
    /// Its words.
    pub words: String,
    /// Words below it; empty for none.
    pub small: String,
    /// Whether it is chosen.
    pub chosen: bool,
}

impl Choice {
    /// An option.
    pub fn new(value: impl Into<String>, words: impl Into<String>, chosen: bool) -> Self {
        Self { value: value.into(), words: words.into(), small: String::new(), chosen }
    }
}

/// Rows on one page of a table.
pub const ROWS: [i64; 4] = [25, 50, 100, 250];
/// Rows unless chosen otherwise.
pub const ROWS_DEFAULT: i64 = 50;

/// The number of rows that was asked for, if it is one of [`ROWS`].
pub fn rows(asked: Option<i64>) -> i64 {
    asked.filter(|n| ROWS.contains(n)).unwrap_or(ROWS_DEFAULT)
}

/// Reads a place in a table: `<unix µs>,<id>`.
pub fn cursor(text: &str) -> Option<(Timestamp, String)> {
    let (us, id) = text.split_once(',')?;
    Some((Timestamp::from_us(us.parse().ok()?), id.to_owned()))
}

/// Writes a place in a table.
pub fn place(at: Timestamp, id: &str) -> String {
    format!("{},{id}", at.us())
}

/// An address with a query; empty values are left out.
pub fn address(path: &str, query: &[(&str, &str)]) -> String {
    let kept: Vec<_> = query.iter().filter(|(_, value)| !value.is_empty()).collect();
    match serde_urlencoded::to_string(kept) {
        Ok(query) if !query.is_empty() => format!("{path}?{query}"),
        _ => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_has_seconds_and_its_date_unless_it_is_today() {
        let now = Timestamp::parse_rfc3339("2026-03-20T09:46:40Z").unwrap();
        let at = |text| Moment::new(Timestamp::parse_rfc3339(text).unwrap(), now);
        assert_eq!(at("2026-03-20T09:41:52.5Z").text, "09:41:52");
        assert_eq!(at("2026-03-19T09:41:52.5Z").text, "2026-03-19 09:41:52");
        assert_eq!(at("2026-03-20T09:41:52.5Z").title, "2026-03-20 09:41:52 UTC, 4 minutes ago");
    }

    #[test]
    fn a_place_reads_back_and_empty_filters_leave_the_address() {
        let at = Timestamp::from_us(5);
        assert_eq!(cursor(&place(at, "a-b")), Some((at, "a-b".to_owned())));
        assert_eq!(cursor("5"), None);
        assert_eq!(address("/a", &[("q", "x y"), ("s", "")]), "/a?q=x+y");
        assert_eq!(address("/a", &[("q", "")]), "/a");
    }
}
