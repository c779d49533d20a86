//! What would go by how long things are kept: the preview that forms of settings show before they are saved.

use crate::base::human;
use crate::transfer::retention::Due;

/// A line of the preview.
pub struct Row {
    /// What is kept.
    pub what: &'static str,
    /// How much of it is older.
    pub amount: String,
}

impl Row {
    /// As people read it.
    pub fn of(due: &Due) -> Self {
        let count = human::thousands(due.count);
        let amount = match due.bytes {
            Some(bytes) => format!("{count}, {}", human::size(bytes)),
            None => count,
        };
        Self { what: due.what, amount }
    }
}
