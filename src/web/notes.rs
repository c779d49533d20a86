//! What the next page shows once: "Saved.", or a password that was just generated. A note lives in memory for a few
//! minutes, belongs to one signed-in browser and one page, and is gone once shown.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::tone::Tone;
use crate::base::clock::Timestamp;
use crate::base::lock::lock;
use crate::base::secret::Secret;

/// The most waiting notes; beyond it the oldest is dropped.
pub const NOTES_MAX: usize = 1_000;
/// How long a note waits for its page.
const KEPT_FOR: Duration = Duration::from_mins(10);

/// One note.
#[derive(Clone, Debug)]
pub struct Note {
    /// How it looks.
    pub tone: Tone,
    /// What was done.
    pub text: String,
    /// A password to show only this once.
    pub password: Option<Secret>,
}

impl Note {
    /// A note that something was done.
    pub fn done(text: impl Into<String>) -> Self {
        Self { tone: Tone::Good, text: text.into(), password: None }
    }
}

#[derive(Debug)]
struct Waiting {
    session: String,
    path: String,
    at: Timestamp,
    note: Note,
}

/// The notes waiting for their pages.
#[derive(Clone, Debug, Default)]
pub struct Notes(Arc<Mutex<Vec<Waiting>>>);

impl Notes {
    /// Leaves a note for the page `path` of a session, replacing one that is waiting.
    pub fn leave(&self, session: &str, path: &str, note: Note, now: Timestamp) {
        let mut waiting = lock(&self.0);
        waiting.retain(|w| now.since(w.at) < KEPT_FOR && !(w.session == session && w.path == path));
        if waiting.len() >= NOTES_MAX {
            waiting.remove(0);
        }
        waiting.push(Waiting { session: session.to_owned(), path: path.to_owned(), at: now, note });
    }

    /// Takes the note for that page, if one is waiting.
    pub fn take(&self, session: &str, path: &str, now: Timestamp) -> Option<Note> {
        let mut waiting = lock(&self.0);
        waiting.retain(|w| now.since(w.at) < KEPT_FOR);
        let index = waiting.iter().position(|w| w.session == session && w.path == path)?;
        Some(waiting.remove(index).note)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_shown_once_on_its_page_to_its_session() {
        let notes = Notes::default();
        let now = Timestamp::from_us(0);
        notes.leave("a", "/flows", Note::done("Saved."), now);
        assert!(notes.take("b", "/flows", now).is_none());
        assert!(notes.take("a", "/profiles/ftp", now).is_none());
        assert_eq!(notes.take("a", "/flows", now).unwrap().text, "Saved.");
        assert!(notes.take("a", "/flows", now).is_none());
        notes.leave("a", "/flows", Note::done("Saved."), now);
        assert!(notes.take("a", "/flows", now.plus(KEPT_FOR)).is_none());
    }
}
