//! How a badge, a mark or a note looks. Its words are always beside it.

use std::fmt;

/// What it says of the matter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tone {
    /// Nothing in particular.
    #[default]
    Plain,
    /// All is well.
    Good,
    /// To be known.
    Info,
    /// It needs attention.
    Warning,
    /// Something is wrong.
    Bad,
    /// It is not in use, or was not reached.
    Off,
}

/// The class of the style sheet.
impl fmt::Display for Tone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plain => "",
            Self::Good => "ok",
            Self::Info => "info",
            Self::Warning => "warn",
            Self::Bad => "bad",
            Self::Off => "off",
        })
    }
}
