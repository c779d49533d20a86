//! Times and pages of tables, as the templates show them.

use crate::base::clock::Timestamp;
use crate::store::receipt::Cursor;

/// Rows of one page that may be asked for.
pub const PAGE_SIZES: [i64; 4] = [25, 50, 100, 250];
/// Rows of a page when nothing is asked for.
pub const PAGE_SIZE: i64 = 50;

/// A time: for machines and for people, UTC, with seconds.
#[derive(Clone, Debug, Default)]
pub struct Time {
    /// RFC 3339.
    pub machine: String,
    /// `25 Nov 2026, 09:41:52`.
    pub words: String,
}

impl From<Timestamp> for Time {
    fn from(at: Timestamp) -> Self {
        let zoned = at.calendar().to_zoned(jiff::tz::TimeZone::UTC);
        Self { machine: at.to_string(), words: zoned.strftime("%-d %b %Y, %H:%M:%S").to_string() }
    }
}

/// `before=<microseconds>,<id>`.
pub fn cursor_text(at: Timestamp, id: &str) -> String {
    format!("{},{id}", at.us())
}

/// Reads [`cursor_text`]; anything else is no cursor.
pub fn cursor(text: &str) -> Option<Cursor> {
    let (at, id) = text.split_once(',')?;
    Some(Cursor { completed_at: Timestamp::from_us(at.parse().ok()?), id: id.to_owned() })
}

/// The size of a page that was asked for, if it is one of [`PAGE_SIZES`].
pub fn page_size(asked: Option<i64>) -> i64 {
    asked.filter(|size| PAGE_SIZES.contains(size)).unwrap_or(PAGE_SIZE)
}
