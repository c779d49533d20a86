//! Which file names are accepted (PRODUCT section 6), and which are temporary (section 7).
//!
//! Always: only the last component of a name is judged, without regard to case, in time linear in its length.

use regex::{RegexSet, RegexSetBuilder};

use super::glob;
use super::setting::{Input, Value};
use super::value::{Overridable, list, typed};
use crate::base::path::Name;

/// Patterns in one filter.
pub const PATTERNS_MAX: usize = 100;
/// Bytes of one filter, and of one list of temporary extensions.
pub const FILTER_BYTES_MAX: usize = 4_096;
/// Bytes that the compiled patterns of one filter may take.
const COMPILED_BYTES_MAX: usize = 16 << 20;

/// The Allowed Files Filter.
#[derive(Clone, Debug)]
pub struct Filter {
    patterns: Vec<Pattern>,
    /// One expression per pattern, in the same order.
    set: RegexSet,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Pattern {
    /// As typed, without the excluding minus.
    text: String,
    excludes: bool,
}

impl Pattern {
    fn typed(&self) -> String {
        if self.excludes { format!("-{}", self.text) } else { self.text.clone() }
    }
}

/// What a filter says about a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may pass.
    Accepted {
        /// The pattern that matched; none if the filter accepts everything not excluded.
        by: Option<String>,
    },
    /// An excluding pattern matched.
    Excluded {
        /// That pattern, with its minus.
        by: String,
    },
    /// There are accepting patterns, but none matched.
    NoMatch,
}

impl Filter {
    /// The verdict on `name`, and the pattern that decided.
    pub fn judge(&self, name: &str) -> Verdict {
        let matched: Vec<&Pattern> = self.set.matches(name).iter().map(|i| &self.patterns[i]).collect();
        if let Some(pattern) = matched.iter().find(|pattern| pattern.excludes) {
            return Verdict::Excluded { by: pattern.typed() };
        }
        match matched.first() {
            Some(pattern) => Verdict::Accepted { by: Some(pattern.text.clone()) },
            None if self.patterns.iter().all(|pattern| pattern.excludes) => Verdict::Accepted { by: None },
            None => Verdict::NoMatch,
        }
    }

    /// Whether `name` may pass.
    pub fn accepts(&self, name: &str) -> bool {
        let mut accepted = false;
        for i in self.set.matches(name) {
            if self.patterns[i].excludes {
                return false;
            }
            accepted = true;
        }
        accepted || self.patterns.iter().all(|pattern| pattern.excludes)
    }

    /// The extension, without its dot, for a name made for a client: that of the first accepting pattern.
    pub fn first_extension(&self) -> Option<&str> {
        let pattern = self.patterns.iter().find(|pattern| !pattern.excludes)?;
        let (_, rest) = pattern.text.rsplit_once('.')?;
        let extension = rest.trim_start_matches('{').split([',', '}']).next()?;
        (!extension.is_empty() && extension.chars().all(char::is_alphanumeric)).then_some(extension)
    }

    /// Whether it has no patterns and so accepts every name.
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// Whether it excludes every possible name.
    pub fn accepts_nothing(&self) -> bool {
        self.patterns.iter().any(|pattern| pattern.excludes && pattern.text.chars().all(|c| c == '*'))
    }
}

impl PartialEq for Filter {
    fn eq(&self, other: &Self) -> bool {
        self.patterns == other.patterns
    }
}

impl Value for Filter {
    const INPUT: Input = Input::Line;

    fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.len() > FILTER_BYTES_MAX {
            return Err(format!("{} has {} bytes; a filter has {FILTER_BYTES_MAX} at most", typed(text), text.len()));
        }
        if text.chars().any(char::is_control) {
            return Err(format!("{} has a control character; write the patterns on one line", typed(text)));
        }
        let chars: Vec<char> = text.chars().collect();
        let mut patterns = Vec::new();
        let mut regexes = Vec::new();
        for item in if chars.is_empty() { Vec::new() } else { glob::split(&chars)? } {
            let place = item.start + 1;
            let excludes = chars.get(item.start) == Some(&'-') && !item.is_empty();
            let begin = if excludes { item.start + 1 } else { item.start };
            let begin = (begin..item.end).find(|i| !chars[*i].is_whitespace()).unwrap_or(item.end);
            let pattern = &chars[begin..item.end];
            if pattern.is_empty() {
                let what = if excludes { "a minus without a pattern excludes nothing" } else { "an empty pattern" };
                return Err(format!("`{text}` has {what} (character {place}); write one, such as *.x12, or drop it"));
            }
            let pattern_text: String = pattern.iter().collect();
            if pattern_text.contains('/') {
                return Err(format!(
                    "`{pattern_text}` names a folder; patterns are for the names of files, such as *.x12"
                ));
            }
            regexes.push(glob::regex(pattern, begin)?);
            patterns.push(Pattern { text: pattern_text, excludes });
        }
        if patterns.len() > PATTERNS_MAX {
            return Err(format!(
                "{} has {} patterns; a filter has {PATTERNS_MAX} at most",
                typed(text),
                patterns.len()
            ));
        }
        let set = RegexSetBuilder::new(regexes).size_limit(COMPILED_BYTES_MAX).build();
        let set =
            set.map_err(|_| format!("{} is too much for one filter; use fewer or shorter patterns", typed(text)))?;
        Ok(Self { patterns, set })
    }

    fn text(&self) -> String {
        self.patterns.iter().map(Pattern::typed).collect::<Vec<_>>().join(",")
    }
}

impl Overridable for Filter {
    const OWN_INPUT: Input = Input::Line;
    const OWN_EMPTY: &'static str = "*";
}

/// The Temp Receive Extensions: which names are temporary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TempExtensions(Vec<Part>);

/// What makes a name temporary.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    /// The end of a name, its dot included.
    Suffix(String),
    /// The beginning of a name.
    Prefix(String),
}

impl TempExtensions {
    /// `name` without its temporary parts, or `None` if it is not temporary. A name of which nothing would remain, such
    /// as `.tmp`, is not temporary.
    pub fn strip(&self, name: &str) -> Option<String> {
        let mut rest = name;
        while let Some(shorter) = self.strip_once(rest) {
            rest = shorter;
        }
        (rest.len() < name.len()).then(|| rest.to_owned())
    }

    /// Whether `name` is temporary.
    pub fn is_temporary(&self, name: &str) -> bool {
        self.strip_once(name).is_some()
    }

    fn strip_once<'a>(&self, name: &'a str) -> Option<&'a str> {
        self.0
            .iter()
            .filter_map(|part| match part {
                Part::Suffix(suffix) => without_end(name, suffix),
                Part::Prefix(prefix) => without_beginning(name, prefix),
            })
            .find(|rest| Name::parse(rest).is_ok())
    }
}

fn same(a: char, b: char) -> bool {
    a == b || a.to_lowercase().eq(b.to_lowercase())
}

/// `name` without `beginning`, in any case.
fn without_beginning<'a>(name: &'a str, beginning: &str) -> Option<&'a str> {
    let mut rest = name.chars();
    beginning.chars().all(|c| rest.next().is_some_and(|d| same(c, d))).then_some(rest.as_str())
}

/// `name` without `end`, in any case.
fn without_end<'a>(name: &'a str, end: &str) -> Option<&'a str> {
    let mut rest = name.chars();
    end.chars().rev().all(|c| rest.next_back().is_some_and(|d| same(c, d))).then_some(rest.as_str())
}

impl Value for TempExtensions {
    const INPUT: Input = Input::Line;

    fn parse(text: &str) -> Result<Self, String> {
        if text.len() > FILTER_BYTES_MAX {
            return Err(format!("{} has {} bytes; {FILTER_BYTES_MAX} fit here", typed(text), text.len()));
        }
        let mut parts = Vec::new();
        for (place, item) in list(text) {
            let part = match (item.strip_prefix('*'), item.strip_suffix('*')) {
                (None, Some(prefix)) => Part::Prefix(prefix.to_owned()),
                (Some(suffix), None) if suffix.starts_with('.') => Part::Suffix(suffix.to_owned()),
                (None, None) if item.starts_with('.') => Part::Suffix(item.to_owned()),
                (None, None) => Part::Suffix(format!(".{item}")),
                _ => Part::Prefix(String::new()),
            };
            let (Part::Suffix(core) | Part::Prefix(core)) = &part;
            if core.contains(['/', '\\']) {
                return Err(format!("{place}{} holds a slash; temporary names lie in the same folder", typed(item)));
            }
            let plain = !core.contains(['*', '?', '[', ']', '{', '}']) && !core.chars().any(char::is_control);
            if !plain || core.chars().all(|c| c == '.') {
                return Err(format!(
                    "{place}{} isn't an extension such as .tmp, or a beginning such as .in.*",
                    typed(item)
                ));
            }
            if !parts.contains(&part) {
                parts.push(part);
            }
            if parts.len() > PATTERNS_MAX {
                return Err(format!("{} is one too many; {PATTERNS_MAX} extensions fit here", typed(item)));
            }
        }
        Ok(Self(parts))
    }

    fn text(&self) -> String {
        let item = |part: &Part| match part {
            Part::Suffix(suffix) => suffix.clone(),
            Part::Prefix(prefix) => format!("{prefix}*"),
        };
        self.0.iter().map(item).collect::<Vec<_>>().join(",")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn filter(text: &str) -> Filter {
        Filter::parse(text).unwrap()
    }

    fn said(text: &str) -> String {
        Filter::parse(text).unwrap_err()
    }

    #[test]
    fn patterns_accept_and_a_minus_excludes_in_any_order() {
        let both = filter(" *.x12 , *.edi,-draft*");
        assert_eq!(both.judge("PO.X12"), Verdict::Accepted { by: Some("*.x12".to_owned()) });
        assert_eq!(both.judge("Draft.edi"), Verdict::Excluded { by: "-draft*".to_owned() });
        assert_eq!(both.judge("a.zip"), Verdict::NoMatch);
        assert_eq!(filter("").judge("any"), Verdict::Accepted { by: None });
        assert_eq!(filter("-*.tmp").judge("any"), Verdict::Accepted { by: None });
        assert!(filter("-draft*,*.edi").accepts("a.edi") && !filter("-draft*,*.edi").accepts("draft.edi"));
    }

    #[test]
    fn a_pattern_means_what_it_says() {
        for (pattern, yes, no) in [
            ("a?c", "aüc", "ac"),
            ("[a-c]*", "bx", "dx"),
            ("[!a-c]*", "dx", "Ax"),
            ("*.{x12,edi}", "a.edi", "a.x12,edi"),
            ("{a,{b,c}d}", "cd", "ad"),
            ("[]]", "]", "["),
            ("[a,b]", ",", "c"),
            (r"\-x", "-x", "x"),
            (r"a\*", "a*", "ab"),
            (r"a\,b", "a,b", "a"),
            ("*Ä", "xä", "xa"),
            ("a.c", "a.c", "abc"),
            ("**.x", "a.x", "x"),
            (r"[\]-_]", "^", "`"),
        ] {
            assert!(filter(pattern).accepts(yes), "{pattern} should accept {yes}");
            assert!(!filter(pattern).accepts(no), "{pattern} should not accept {no}");
        }
    }

    #[test]
    fn a_bad_pattern_is_refused_with_its_place() {
        assert_eq!(said("[a"), "`[a` has no closing bracket (character 1)");
        assert_eq!(said("*.x12, {a,b"), "`{a,b` has no closing brace (character 8)");
        assert_eq!(said("a}"), "`}` has no opening brace (character 2)");
        assert_eq!(said("*.a,[z-a]"), "`z-a` is reversed; write `a-z` (character 6)");
        assert_eq!(said("a\\"), "`\\` at the end of a pattern stands before nothing (character 2)");
        assert!(said("a,,b").contains("an empty pattern (character 3)"));
        assert!(said("a,").contains("an empty pattern"));
        assert!(said("-").contains("a minus without a pattern"));
        assert!(said("in/*.x").starts_with("`in/*.x` names a folder"));
        assert!(said("a\nb").contains("control character"));
        assert!(said(&"{".repeat(12)).contains("deeper than 10"));
    }

    #[test]
    fn a_filter_has_limits() {
        let patterns = |n: usize| vec!["a"; n].join(",");
        assert!(Filter::parse(&patterns(PATTERNS_MAX)).is_ok());
        assert!(said(&patterns(PATTERNS_MAX + 1)).contains("101 patterns"));
        assert!(Filter::parse(&"?".repeat(FILTER_BYTES_MAX)).is_ok());
        assert!(said(&"a".repeat(FILTER_BYTES_MAX + 1)).contains("4097 bytes"));
    }

    #[test]
    fn a_made_name_gets_the_first_extension() {
        let extension = |text| filter(text).first_extension().map(str::to_owned);
        assert_eq!(extension("-*.tmp,*.x12,*.edi").as_deref(), Some("x12"));
        assert_eq!(extension("*.{edi,x12}").as_deref(), Some("edi"));
        for none in ["", "*", "*.*", "*.x?", "-*.tmp", "a."] {
            assert_eq!(extension(none), None, "{none}");
        }
    }

    #[test]
    fn excluding_everything_is_noticed() {
        assert!(filter("*.x,-*").accepts_nothing() && !filter("-*.x").accepts_nothing());
    }

    fn temp(text: &str) -> TempExtensions {
        TempExtensions::parse(text).unwrap()
    }

    #[test]
    fn temporary_parts_have_many_spellings() {
        for spelling in ["tmp", ".tmp", "*.tmp", " TMP "] {
            assert_eq!(temp(spelling).strip("a.x12.Tmp").as_deref(), Some("a.x12"), "{spelling}");
        }
        let usual = temp(".tmp,.part,.partial,.filepart,.in.*");
        assert_eq!(usual.text(), ".tmp,.part,.partial,.filepart,.in.*");
        assert_eq!(usual.strip(".in.a.x12").as_deref(), Some("a.x12"));
        assert_eq!(usual.strip("a.x12.part.tmp").as_deref(), Some("a.x12"));
        assert_eq!(usual.strip(".IN.a.tmp").as_deref(), Some("a"));
        for whole in ["a.x12", "tmp", ".tmp", "..tmp", ".in.", "a.tmp.x12", "atmp", ""] {
            assert_eq!(usual.strip(whole), None, "{whole}");
            assert!(!usual.is_temporary(whole));
        }
        let compound = temp(".part.tmp");
        assert!(compound.is_temporary("a.part.tmp") && !compound.is_temporary("a.tmp"));
        assert!(!temp("").is_temporary("a.tmp"));
    }

    #[test]
    fn other_patterns_are_no_temporary_extensions() {
        for wrong in ["*", "*.*", "a*b", "*tmp", "a/b", ".", "..", "t?p", "*x*"] {
            let said = TempExtensions::parse(wrong).unwrap_err();
            assert!(said.starts_with(wrong), "{said}");
        }
    }

    proptest! {
        #[test]
        fn any_filter_reads_back_or_is_refused(
            text in "[a-c*?{}\\[\\]\\\\!^, .Äß-]{0,24}",
            name in "[a-cA-C.,Äß-]{0,12}",
        ) {
            if let Ok(filter) = Filter::parse(&text) {
                let again = Filter::parse(&filter.text()).unwrap();
                prop_assert_eq!(&again, &filter);
                let accepted = matches!(filter.judge(&name), Verdict::Accepted { .. });
                prop_assert_eq!(accepted, filter.accepts(&name));
                prop_assert_eq!(accepted, filter.accepts(&name.to_ascii_uppercase()));
            }
        }

        #[test]
        fn a_plain_name_is_its_own_pattern(name in "[a-z0-9_][a-z0-9._ -]{0,20}[a-z0-9]", other in "[a-z0-9]{1,9}") {
            let name = name.as_str();
            prop_assert!(filter(name).accepts(name));
            let (without, dotted) = (format!("-{name}"), format!("{name}.{other}"));
            prop_assert!(!filter(&without).accepts(name));
            prop_assert_eq!(filter(name).accepts(&other), name == other);
            let pattern = format!("*.{other}");
            prop_assert!(filter(&pattern).accepts(&dotted));
        }

        #[test]
        fn what_is_stripped_is_a_name_and_not_temporary(
            name in "\\PC{0,12}",
            end in prop::sample::select(vec![".tmp", ".PART", "", ".part.tmp"]),
        ) {
            let usual = temp(".tmp,.part,.in.*");
            let full = format!("{name}{end}");
            prop_assert_eq!(usual.strip(&full).is_some(), usual.is_temporary(&full));
            if let Some(rest) = usual.strip(&full) {
                prop_assert!(Name::parse(&rest).is_ok() && rest.len() < full.len());
                prop_assert!(!usual.is_temporary(&rest));
                prop_assert!(full.contains(&rest));
            }
        }

        #[test]
        fn temporary_extensions_read_back(text in "[a.*,/ ?-]{0,16}") {
            if let Ok(parts) = TempExtensions::parse(&text) {
                prop_assert_eq!(TempExtensions::parse(&parts.text()), Ok(parts));
            }
        }
    }
}
