//! The last lines of the log, kept in memory so that a page can show them. It never holds more than [`LINES_MAX`].

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use super::lock::lock;
use crate::base::clock::Timestamp;
use crate::base::words::words;

/// Lines kept; the oldest goes first.
pub const LINES_MAX: usize = 5_000;
/// Characters of a line kept.
pub const LINE_CHARS_MAX: usize = 1_000;

words! {
    /// How severe a line is, most severe first.
    pub enum Gravity {
        /// Somebody should act.
        Error = "error";
        /// Something may fail soon.
        Warning = "warning";
        /// What happens.
        Info = "info";
        /// What happens, step by step.
        Debug = "debug";
        /// Everything.
        Trace = "trace";
    }
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// When.
    pub at: Timestamp,
    /// How severe.
    pub gravity: Gravity,
    /// The message and its fields; one line, without control characters.
    pub text: String,
}

/// The last lines; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct AppLog {
    lines: Arc<Mutex<VecDeque<Line>>>,
}

impl AppLog {
    /// Adds a line.
    pub fn push(&self, at: Timestamp, gravity: Gravity, text: &str) {
        let printable = |c: char| if c.is_control() { ' ' } else { c };
        let text = text.chars().take(LINE_CHARS_MAX).map(printable).collect();
        let mut lines = lock(&self.lines);
        if lines.len() >= LINES_MAX {
            lines.pop_front();
        }
        lines.push_back(Line { at, gravity, text });
    }

    /// The newest `most` lines at least as severe as `gravity` that contain `words` in any case, newest first.
    pub fn newest(&self, gravity: Gravity, words: &str, most: usize) -> Vec<Line> {
        let words = words.to_lowercase();
        let lines = lock(&self.lines);
        let fits = |line: &&Line| line.gravity <= gravity && line.text.to_lowercase().contains(&words);
        lines.iter().rev().filter(fits).take(most).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_found_by_gravity_and_words() {
        let log = AppLog::default();
        for number in 0..=LINES_MAX {
            log.push(Timestamp::default(), Gravity::Info, &format!("Line {number}\nand more"));
        }
        log.push(Timestamp::default(), Gravity::Error, "The disk is full");
        let texts = |found: Vec<Line>| found.into_iter().map(|line| line.text).collect::<Vec<_>>();
        assert_eq!(texts(log.newest(Gravity::Warning, "", 9)), ["The disk is full"]);
        assert_eq!(texts(log.newest(Gravity::Trace, "LINE 5000", 9)), ["Line 5000 and more"]);
        assert!(log.newest(Gravity::Trace, "Line 1 and", 9).is_empty(), "the oldest went");
        assert_eq!(log.newest(Gravity::Trace, "", LINES_MAX * 2).len(), LINES_MAX);
    }
}
