//! What a form of settings was made from: their version, and a mark of each value shown. If somebody else has saved
//! meanwhile, this distinguishes what the reader left alone from what they typed.

use std::collections::BTreeMap;
use std::fmt;

use crate::domain::setting::{Setting, Texts};

/// The field for it.
pub const FIELD: &str = "version";

/// The version, and the marks of the values, by key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// The version of the settings.
    pub version: i64,
    marks: BTreeMap<String, u32>,
}

impl Origin {
    /// Of a form that shows `texts`.
    pub fn of(version: i64, texts: &Texts, table: &'static [Setting]) -> Self {
        let marked = |setting: &Setting| {
            let text = texts.get(setting.key).map_or(setting.default, String::as_str);
            (setting.key.to_owned(), mark(text))
        };
        Self { version, marks: table.iter().map(marked).collect() }
    }

    /// From its field; `None` if that has no version, as for something not stored yet.
    pub fn parse(field: &str) -> Option<Self> {
        let mut words = field.split(' ');
        let version = words.next()?.parse().ok()?;
        let one = |word: &str| {
            let (key, mark) = word.split_once('=')?;
            Some((key.to_owned(), u32::from_str_radix(mark, 16).ok()?))
        };
        Some(Self { version, marks: words.filter_map(one).collect() })
    }

    /// Whether the form showed `text`.
    pub fn showed(&self, key: &str, text: &str) -> bool {
        self.marks.get(key).is_some_and(|shown| *shown == mark(text))
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.version)?;
        self.marks.iter().try_for_each(|(key, mark)| write!(out, " {key}={mark:08x}"))
    }
}

/// A text in four bytes: enough to notice a different one.
fn mark(text: &str) -> u32 {
    crc32fast::hash(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::profile::Profile;

    #[test]
    fn it_comes_back_as_it_went_and_knows_what_was_left_alone() {
        let texts = Texts::from([("port".to_owned(), "2100".to_owned())]);
        let origin = Origin::of(7, &texts, Profile::SETTINGS);
        let back = Origin::parse(&origin.to_string()).unwrap();
        assert_eq!(back, origin);
        assert!(back.showed("port", "2100") && back.showed("mode_z", "off"));
        assert!(!back.showed("port", "2121") && !back.showed("elsewhere", ""));
        assert_eq!(Origin::parse("7").unwrap().version, 7);
        assert_eq!(Origin::parse(""), None);
        assert_eq!(Origin::parse("x port=1"), None);
    }
}
