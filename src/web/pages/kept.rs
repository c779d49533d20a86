//! What the retention settings would remove: the preview that forms of settings show before they are saved.

use crate::base::human;
use crate::transfer::retention::Due;

/// A line of the preview.
pub struct Row {
    /// The kind of records or files.
    pub what: &'static str,
    /// How much of it is past its retention.
    pub amount: String,
}

impl Row {
    /// In words for people.
    pub fn of(due: &Due) -> Self {
        let count = human::thousands(due.count);
        let amount = match due.bytes {
            Some(bytes) => format!("{count}, {}", human::size(bytes)),
            None => count,
        };
        Self { what: due.what, amount }
    }
}
