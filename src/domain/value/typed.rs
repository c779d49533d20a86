//! What was typed, as a refusal repeats it; and what most values share: absence, and on or off.

use crate::domain::setting::{Input, Value};

/// The most characters of a typed text in a refusal.
const SHOWN_CHARS_MAX: usize = 60;

/// What was typed, fit to begin a sentence: short, on one line, and never empty.
pub fn typed(text: &str) -> String {
    let text = text.trim();
    if text.is_empty() {
        return "An empty value".to_owned();
    }
    let mut shown: String =
        text.chars().take(SHOWN_CHARS_MAX).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if text.chars().nth(SHOWN_CHARS_MAX).is_some() {
        shown.push('…');
    }
    shown
}

/// The items of a list, one per line or separated by commas: where each stands, for refusals (`line 2: `; empty for a
/// list of one line), and its text.
pub fn list(text: &str) -> impl Iterator<Item = (String, &str)> {
    let lines = text.trim().contains('\n');
    text.lines().enumerate().flat_map(move |(i, line)| {
        let place = if lines { format!("line {}: ", i + 1) } else { String::new() };
        line.split(',').map(str::trim).filter(|item| !item.is_empty()).map(move |item| (place.clone(), item))
    })
}

/// Empty is none.
impl<T: Value> Value for Option<T> {
    const INPUT: Input = T::INPUT;

    fn parse(text: &str) -> Result<Self, String> {
        if text.trim().is_empty() { Ok(None) } else { T::parse(text).map(Some) }
    }

    fn text(&self) -> String {
        self.as_ref().map(T::text).unwrap_or_default()
    }
}

impl Value for bool {
    const INPUT: Input = Input::Check;

    fn parse(text: &str) -> Result<Self, String> {
        match text.trim().to_ascii_lowercase().as_str() {
            "on" | "true" | "yes" | "1" => Ok(true),
            "off" | "false" | "no" | "0" => Ok(false),
            _ => Err(format!("{} is neither on nor off", typed(text))),
        }
    }

    fn text(&self) -> String {
        if *self { "on" } else { "off" }.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::value::Whole;

    #[test]
    fn what_was_typed_stays_short_and_on_one_line() {
        assert_eq!(typed(" a\tb "), "a\u{fffd}b");
        assert_eq!(typed(" \n"), "An empty value");
        assert_eq!(typed(&"x".repeat(61)), format!("{}…", "x".repeat(60)));
    }

    #[test]
    fn a_list_knows_its_lines() {
        let places: Vec<_> = list("a, b\r\n\nc").collect();
        assert_eq!(places, [("line 1: ".to_owned(), "a"), ("line 1: ".to_owned(), "b"), ("line 3: ".to_owned(), "c")]);
        assert_eq!(list("a,,b\n").map(|(place, _)| place).collect::<String>(), "");
    }

    #[test]
    fn on_and_off_have_other_spellings() {
        for text in ["on", "TRUE", " yes", "1"] {
            assert_eq!(bool::parse(text), Ok(true));
        }
        for text in ["off", "false", "No", "0"] {
            assert_eq!(bool::parse(text), Ok(false));
        }
        assert_eq!(bool::parse("maybe"), Err("maybe is neither on nor off".to_owned()));
        assert_eq!((true.text(), false.text()), ("on".to_owned(), "off".to_owned()));
    }

    #[test]
    fn empty_is_none() {
        assert_eq!(Option::<Whole<1, 9>>::parse(" "), Ok(None));
        assert_eq!(Option::<Whole<1, 9>>::parse("3").map(|value| value.text()), Ok("3".to_owned()));
        assert!(Option::<Whole<1, 9>>::parse("10").is_err());
    }
}
