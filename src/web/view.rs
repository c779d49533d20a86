//! Times and pages of tables, as templates show them.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::base::clock::Timestamp;
use crate::base::human;
use crate::store::receipt::Cursor;

/// Rows per page that may be requested.
pub const PAGE_SIZES: [i64; 4] = [25, 50, 100, 250];
/// Rows per page by default.
pub const PAGE_SIZE: i64 = 50;

/// A time: for machines and for people, UTC, with seconds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Time {
    /// RFC 3339.
    pub machine: String,
    /// `25 Nov 2026, 09:41:52`; today's without the date in tables.
    pub words: String,
    /// Date, time and zone, and in tables the age.
    pub title: String,
}

impl Time {
    /// How `at` reads in a table viewed at `now`.
    pub fn seen(at: Timestamp, now: Timestamp) -> Self {
        let whole = Self::from(at);
        let (day, time) = whole.words.split_once(", ").unwrap_or_default();
        let is_today = Self::from(now).words.split_once(", ").is_some_and(|(today, _)| today == day);
        Self {
            title: format!("{}, {}", whole.title, human::ago(at, now)),
            words: if is_today { time.to_owned() } else { whole.words.clone() },
            ..whole
        }
    }
}

impl From<Timestamp> for Time {
    fn from(at: Timestamp) -> Self {
        let words = human::moment(at);
        Self { machine: at.to_string(), title: format!("{words} UTC"), words }
    }
}

/// `before=<microseconds>,<id>`.
pub fn cursor_text(at: Timestamp, id: &str) -> String {
    format!("{},{id}", at.us())
}

/// Reads [`cursor_text`]; anything else is invalid.
pub fn cursor(text: &str) -> Option<Cursor> {
    let (at, id) = text.split_once(',')?;
    Some(Cursor { completed_at: Timestamp::from_us(at.parse().ok()?), id: id.to_owned() })
}

/// Where a page begins: after the row of a [`cursor`], or before a given time.
pub fn place(before: &str) -> Option<Cursor> {
    cursor(before).or_else(|| Some(Cursor { completed_at: moment(before)?, id: String::new() }))
}

/// Reads a time in the form of an HTML input: `2026-11-30T03:00`, UTC.
fn moment(text: &str) -> Option<Timestamp> {
    let at = text.parse::<DateTime>().ok()?.to_zoned(TimeZone::UTC).ok()?;
    Some(Timestamp::from_us(at.timestamp().as_microsecond()))
}

/// The value of the form's input for where the page begins: a time, if one was requested.
pub fn typed_moment(before: &str) -> String {
    moment(before).map(|at| at.calendar().strftime("%Y-%m-%dT%H:%M").to_string()).unwrap_or_default()
}

/// The requested page size, if it is one of [`PAGE_SIZES`].
pub fn page_size(asked: Option<i64>) -> i64 {
    asked.filter(|size| PAGE_SIZES.contains(size)).unwrap_or(PAGE_SIZE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_seconds_and_its_date_unless_it_is_today() {
        let at = |text| Timestamp::parse_rfc3339(text).unwrap();
        let now = at("2026-03-20T09:46:40Z");
        let today = Time::seen(at("2026-03-20T09:41:52.5Z"), now);
        assert_eq!(
            (today.words.as_str(), today.title.as_str()),
            ("09:41:52", "20 Mar 2026, 09:41:52 UTC, 4 minutes ago")
        );
        assert_eq!(Time::seen(at("2026-03-19T09:41:52Z"), now).words, "19 Mar 2026, 09:41:52");
    }

    #[test]
    fn a_cursor_reads_back() {
        let at = Timestamp::from_us(5);
        assert_eq!(cursor(&cursor_text(at, "a-b")), Some(Cursor { completed_at: at, id: "a-b".to_owned() }));
        assert_eq!(cursor("5"), None);
    }

    #[test]
    fn a_page_begins_at_a_time_too() {
        let at = Timestamp::parse_rfc3339("2026-03-29T02:30:00Z").unwrap();
        for typed in ["2026-03-29T02:30", "2026-03-29T02:30:00"] {
            assert_eq!(place(typed), Some(Cursor { completed_at: at, id: String::new() }), "{typed}");
            assert_eq!(typed_moment(typed), "2026-03-29T02:30");
        }
        for none in ["", "yesterday", "2026-02-30T00:00", "2026-03-29T02:30Z", "99999-01-01T00:00"] {
            assert_eq!((place(none), typed_moment(none).as_str()), (None, ""), "{none}");
        }
    }
}
