//! One key per setting, the same everywhere: form field, command line, audit, export. A group of settings is a struct
//! made by [`settings!`](crate::settings), which also makes the table that pages and command line read.
//!
//! Always: a value is stored as the text an administrator would type, and `parse(texts())` is the same value.

use std::collections::BTreeMap;
use std::fmt;

/// Values by key, as typed.
pub type Texts = BTreeMap<String, String>;

/// What is stored once `values` are saved over what is `stored`.
#[must_use]
pub fn merged(stored: &Texts, values: &Texts) -> Texts {
    let mut all = stored.clone();
    all.extend(values.clone());
    all
}

/// What a page shows for a value to be given in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// One line.
    Line,
    /// Several lines.
    Area,
    /// A whole number, with the unit behind the field (may be empty).
    Number(&'static str),
    /// On or off.
    Check,
    /// One of these: (text, words for people).
    Choice(&'static [(&'static str, &'static str)]),
    /// Any of these, comma-separated: (text, words for people).
    Choices(&'static [(&'static str, &'static str)]),
}

/// One setting as pages, command line and documents show it.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Its key (PRODUCT section 14).
    pub key: &'static str,
    /// Its name for administrators.
    pub label: &'static str,
    /// What the value does, in one or two sentences.
    pub hint: &'static str,
    /// The value when none is stored.
    pub default: &'static str,
    /// Its input on a page.
    pub input: Input,
}

/// A value of one setting.
pub trait Value: Sized {
    /// Its input on a page.
    const INPUT: Input;

    /// Reads what an administrator typed; the error repeats the value and says what is wrong and what would be right.
    fn parse(text: &str) -> Result<Self, String>;

    /// The text that [`Value::parse`] reads as this value.
    fn text(&self) -> String;
}

/// What is wrong with one setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// The setting's key.
    pub key: String,
    /// What is wrong and what would be right: one sentence that repeats the value.
    pub message: String,
}

impl Mistake {
    /// A mistake in `key`.
    pub fn new(key: &str, message: impl Into<String>) -> Self {
        Self { key: key.to_owned(), message: message.into() }
    }
}

/// `port: 70000 isn't …`
impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.message)
    }
}

/// The key of the field `name`: Rust spells fields named like its keywords with `r#`.
pub const fn key_of(name: &'static str) -> &'static str {
    match name.as_bytes() {
        [b'r', b'#', ..] => name.split_at(2).1,
        _ => name,
    }
}

/// The input of the setting `key`: the end of a key tells the unit of its number.
pub const fn input_of(key: &'static str, input: Input) -> Input {
    match (input, key.as_bytes()) {
        (Input::Number(_), [.., b'_', b's']) => Input::Number("seconds"),
        (Input::Number(_), [.., b'_', b'h']) => Input::Number("hours"),
        (Input::Number(_), [.., b'_', b'd', b'a', b'y', b's']) => Input::Number("days"),
        (input, _) => input,
    }
}

/// A known key that `typed` may mean. At least half of what was typed stays: else `x` is near to every short key.
pub fn nearest<'a>(typed: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known
        .map(|key| (distance(typed, key), key))
        .min()
        .filter(|(distance, _)| *distance <= 3.min(typed.chars().count() / 2))
        .map(|(_, key)| key)
}

/// The edit distance of two words (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let cost = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = cost.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

/// Makes a struct of settings, its table, its reader and its writer. Reading reports every mistake at once.
#[macro_export]
macro_rules! settings {
    (
        $(#[$doc:meta])*
        pub struct $name:ident {
            $($key:ident: $type:ty = $default:literal, $label:literal, $hint:literal;)+
        }
    ) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq)]
        pub struct $name {
            $(#[doc = $label] pub $key: $type,)+
        }

        impl $name {
            /// Every setting, in the order of the pages.
            pub const SETTINGS: &'static [$crate::domain::setting::Setting] = &[
                $($crate::domain::setting::Setting {
                    key: $crate::domain::setting::key_of(stringify!($key)),
                    label: $label,
                    hint: $hint,
                    default: $default,
                    input: $crate::domain::setting::input_of(
                        $crate::domain::setting::key_of(stringify!($key)),
                        <$type as $crate::domain::setting::Value>::INPUT,
                    ),
                },)+
            ];

            /// Reads each value by itself: a missing key has its default, an unknown key is a mistake.
            /// The caller checks rules across values.
            pub fn read(
                texts: &$crate::domain::setting::Texts,
            ) -> Result<Self, Vec<$crate::domain::setting::Mistake>> {
                use $crate::domain::setting::{Mistake, Value, key_of, nearest};
                let mut mistakes = Vec::new();
                for key in texts.keys() {
                    let known = || Self::SETTINGS.iter().map(|setting| setting.key);
                    if known().any(|k| k == key.as_str()) {
                        continue;
                    }
                    let hint = nearest(key, known()).map(|near| format!(" Did you mean {near}?")).unwrap_or_default();
                    mistakes.push(Mistake::new(key, format!("There is no setting {key}.{hint}")));
                }
                $(let $key = match <$type as Value>::parse(
                    texts.get(key_of(stringify!($key))).map_or($default, String::as_str),
                ) {
                    Ok(value) => Some(value),
                    Err(message) => {
                        mistakes.push(Mistake::new(key_of(stringify!($key)), message));
                        None
                    }
                };)+
                match ($($key,)+) {
                    ($(Some($key),)+) if mistakes.is_empty() => Ok(Self { $($key,)+ }),
                    _ => Err(mistakes),
                }
            }

            /// Each value as text.
            pub fn texts(&self) -> $crate::domain::setting::Texts {
                use $crate::domain::setting::key_of;
                [$((key_of(stringify!($key)).to_owned(), $crate::domain::setting::Value::text(&self.$key)),)+].into()
            }

            /// The setting `key`, for its label, hint and input.
            pub fn setting(key: &str) -> Option<&'static $crate::domain::setting::Setting> {
                Self::SETTINGS.iter().find(|setting| setting.key == key)
            }
        }

        impl Default for $name {
            /// Every setting at its default.
            fn default() -> Self {
                match Self::read(&$crate::domain::setting::Texts::new()) {
                    Ok(settings) => settings,
                    // the defaults are written above; a test reads them
                    Err(mistakes) => unreachable!("a default is no value of its setting: {mistakes:?}"),
                }
            }
        }
    };
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn a_guess_keeps_half_of_what_was_typed() {
        let near = |typed, known: &[&'static str]| nearest(typed, known.iter().copied());
        assert_eq!(near("tme_zone", &["time_zone", "public_host"]), Some("time_zone"));
        assert_eq!(near("prot", &["port", "root"]), Some("port"));
        assert_eq!(near("onn", &["on", "off"]), Some("on"));
        assert_eq!(near("x", &["id", "q"]), None);
        assert_eq!(near("ftp", &["off", "implicit"]), None);
        assert_eq!(near("", &["on", "off"]), None);
    }
}
