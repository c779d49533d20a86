//! Names under which files are stored: how any text becomes one, and the next one beside a name that is taken.

use crate::base::path::{NAME_BYTES_MAX, Name};

/// The longest extension that is kept when a name is shortened.
const EXTENSION_BYTES_MAX: usize = 64;

/// A name and its last extension, without the dot; a dot at the beginning or end of a name makes no extension.
pub(super) fn split_extension(name: &str) -> (&str, &str) {
    match name.rsplit_once('.') {
        Some((stem, extension)) if !stem.is_empty() && !extension.is_empty() => (stem, extension),
        _ => (name, ""),
    }
}

/// `text` as a name: slashes become `-`, control characters are dropped, and a long name is shortened before its
/// extension.
pub(super) fn storable(text: &str) -> Option<Name> {
    let clean: String =
        text.chars().filter(|c| !c.is_control()).map(|c| if matches!(c, '/' | '\\') { '-' } else { c }).collect();
    Name::parse(&with_mark(&clean, "")).ok().filter(|name| !name.as_str().eq_ignore_ascii_case(".waybill"))
}

/// `name` with `mark` before its extension, shortened so that it can be stored.
fn with_mark(name: &str, mark: &str) -> String {
    let (stem, extension) = match split_extension(name) {
        (stem, extension) if !extension.is_empty() && extension.len() <= EXTENSION_BYTES_MAX => {
            (stem, format!(".{extension}"))
        }
        _ => (name, String::new()),
    };
    let room = NAME_BYTES_MAX - mark.len() - extension.len();
    format!("{}{mark}{extension}", &stem[..stem.floor_char_boundary(room)])
}

/// The `n`th name beside `name`, for keeping both: `name-1.ext`.
pub fn numbered(name: &Name, n: u32) -> Name {
    marked(name, &n.to_string())
}

/// `name-mark.ext`: what tells it from others stands before the extension, however long the name is.
pub fn marked(name: &Name, mark: &str) -> Name {
    // a stored name with letters and digits before its extension is one too
    Name::parse(&with_mark(name.as_str(), &format!("-{mark}"))).unwrap_or_else(|_| name.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_stands_before_the_extension() {
        let numbered = |text: &str, n| numbered(&Name::parse(text).unwrap(), n).to_string();
        assert_eq!(numbered("a.tar.gz", 1), "a.tar-1.gz");
        assert_eq!(numbered("README", 12), "README-12");
        assert_eq!(numbered(".profile", 2), ".profile-2");
        assert_eq!(numbered(&"x".repeat(255), 1), format!("{}-1", "x".repeat(253)));
        let long = format!("{}.edi", "ü".repeat(125));
        assert_eq!(numbered(&long, u32::MAX), format!("{}-4294967295.edi", "ü".repeat(120)));
    }

    #[test]
    fn an_extension_is_the_last_one() {
        assert_eq!(split_extension("a.tar.gz"), ("a.tar", "gz"));
        for none in ["a", ".a", "a.", ""] {
            assert_eq!(split_extension(none), (none, ""));
        }
    }

    #[test]
    fn what_cannot_be_a_name_is_none() {
        for none in ["", ".", "..", "\n", ".Waybill", "\0"] {
            assert_eq!(storable(none), None, "{none:?}");
        }
        assert_eq!(storable("../a\\b\u{85}").map(|name| name.to_string()).as_deref(), Some("..-a-b"));
        assert_eq!(storable(" a ").map(|name| name.to_string()).as_deref(), Some(" a "), "blanks are part of a name");
    }
}
