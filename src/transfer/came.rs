//! What is kept with a file uploaded under a temporary name: its eventual receipt tells how its bytes came (PRODUCT
//! section 7); and that it was uploaded at all, whatever names are temporary by then.

use std::os::fd::AsFd;

use crate::base::clock::Timestamp;
use crate::base::path::Name;
use crate::domain::receipt::Ending;
use crate::workspace::download::Source;
use crate::workspace::folder::OpenFolder;
use crate::workspace::temporary;

/// How the bytes of a complete file came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Came {
    /// When its upload began.
    pub begun_at: Timestamp,
    /// How the data connection ended.
    pub ending: Ending,
    /// Whether TLS signed that.
    pub signed: bool,
    /// Whether TYPE A was in force.
    pub ascii: bool,
    /// The offset of its last part.
    pub resumed_from: u64,
}

impl Came {
    /// As it was kept with the file ([`temporary::mark`]); if the file system keeps nothing, the receipt says less.
    pub(super) fn read(file: impl AsFd) -> Option<Self> {
        Self::parse(&temporary::marked(file)?)
    }

    /// The text to keep with the file.
    pub(super) fn text(&self) -> String {
        let Self { begun_at, ending, signed, ascii, resumed_from } = self;
        format!("{} {} {signed} {ascii} {resumed_from}", begun_at.us(), ending.name())
    }

    fn parse(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let mut next = || words.next();
        let came = Self {
            begun_at: Timestamp::from_us(next()?.parse().ok()?),
            ending: Ending::parse(next()?)?,
            signed: next()?.parse().ok()?,
            ascii: next()?.parse().ok()?,
            resumed_from: next()?.parse().ok()?,
        };
        words.next().is_none().then_some(came)
    }
}

/// Whether the file of that name was uploaded under a temporary name and still has no receipt.
pub fn is_uploaded(folder: &OpenFolder, names: &[Name]) -> bool {
    Source::open(folder, names).is_ok_and(|source| temporary::marked(source.file()).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_the_bytes_came_is_kept_with_the_file_and_nothing_else_is_read() {
        let came = Came {
            begun_at: Timestamp::from_us(1_800_000_000_000_001),
            ending: Ending::Unsigned,
            signed: false,
            ascii: true,
            resumed_from: 7,
        };
        assert_eq!(Came::parse(&came.text()), Some(came.clone()));
        for text in
            ["", "1", "1 closed true true", "1 closed true true 7 8", "1 open true true 7", "x closed true true 7"]
        {
            assert_eq!(Came::parse(text), None, "{text}");
        }
        let file = tempfile::tempfile().unwrap();
        assert_eq!(Came::read(&file), None);
        temporary::mark(&file, &came.text()).unwrap();
        // Not every file system keeps it.
        assert!(Came::read(&file).is_none_or(|read| read == came));
    }
}
