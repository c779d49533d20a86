//! Wildcards in the last name of a listing's path: `*`, `?`, `[abc]`, `[a-z]`, `[!a-z]`. It never reads a folder.
//! Always: matching takes at most (pattern × name) steps and constant memory; no pattern explodes.

/// Whether `text` contains a wildcard. A bracket that is never closed is a plain bracket.
pub fn has_wildcard(text: &str) -> bool {
    text.contains(['*', '?']) || text.match_indices('[').any(|(at, _)| class(&text[at + 1..]).is_some())
}

/// Whether all of `name` matches `pattern`, case-sensitively. There is no escape character.
pub fn matches(pattern: &str, name: &str) -> bool {
    let (mut pattern, mut name) = (pattern, name);
    // Where to continue when the last star has to take one more character. Earlier stars never need to: whatever they
    // could take, the last one can.
    let mut retry: Option<(&str, &str)> = None;
    loop {
        if let Some(after) = pattern.strip_prefix('*') {
            retry = Some((after, name));
            pattern = after;
            continue;
        }
        let mut rest = name.chars();
        let fits = match rest.next() {
            Some(c) => one(pattern, c),
            None if pattern.is_empty() => return true,
            None => return false,
        };
        if let Some(after) = fits {
            (pattern, name) = (after, rest.as_str());
            continue;
        }
        let Some((after, from)) = retry else { return false };
        let mut longer = from.chars();
        if longer.next().is_none() {
            return false;
        }
        retry = Some((after, longer.as_str()));
        (pattern, name) = (after, longer.as_str());
    }
}

/// The rest of `pattern` if its first part, which is not a star, takes `c`.
fn one(pattern: &str, c: char) -> Option<&str> {
    let mut rest = pattern.chars();
    match rest.next()? {
        '?' => Some(rest.as_str()),
        '[' => match class(rest.as_str()) {
            Some((members, after)) => member(members, c).then_some(after),
            None => (c == '[').then_some(rest.as_str()),
        },
        plain => (plain == c).then_some(rest.as_str()),
    }
}

/// The text within brackets and what follows them; `after_bracket` is what follows `[`. A leading `]` is a member.
fn class(after_bracket: &str) -> Option<(&str, &str)> {
    let lead = after_bracket.len() - unmarked(after_bracket).len();
    let first = after_bracket[lead..].chars().next()?;
    let close = lead + first.len_utf8() + after_bracket[lead + first.len_utf8()..].find(']')?;
    Some((&after_bracket[..close], &after_bracket[close + 1..]))
}

/// Whether `c` is among `members` (or not among them, after `!` or `^`).
fn member(members: &str, c: char) -> bool {
    let plain = unmarked(members);
    let wanted = plain.len() == members.len();
    let mut rest = plain.chars();
    while let Some(low) = rest.next() {
        let mut range = rest.clone();
        let high = match (range.next(), range.next()) {
            (Some('-'), Some(high)) => {
                rest = range;
                high
            }
            _ => low,
        };
        if (low..=high).contains(&c) {
            return wanted;
        }
    }
    !wanted
}

/// The text without the mark that negates a class.
fn unmarked(class: &str) -> &str {
    class.strip_prefix(['!', '^']).unwrap_or(class)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn stars_questions_and_classes() {
        let yes = [
            ("*", ""),
            ("*.edi", "a.edi"),
            ("a*b*c", "a-b-bc"),
            ("?", "ö"),
            ("[abc]x", "bx"),
            ("[a-c]", "b"),
            ("[!a-c]", "d"),
            ("[]x]", "]"),
            ("[!]]", "a"),
            ("[a-]", "-"),
            ("a[b", "a[b"),
            ("", ""),
            ("**a**", "a"),
        ];
        for (pattern, name) in yes {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        let no =
            [("*.edi", "a.edi2"), ("?", ""), ("[!a-c]", "b"), ("[a-c]", "B"), ("a", "ab"), ("a*b", "a"), ("", "a")];
        for (pattern, name) in no {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
        assert!(has_wildcard("a*") && has_wildcard("[ab]") && !has_wildcard("a[b") && !has_wildcard("[]"));
    }

    #[test]
    fn no_pattern_explodes() {
        let pattern = "a*".repeat(120) + "b";
        assert!(!matches(&pattern, &"a".repeat(255)));
        assert!(!matches(&"*[!b]".repeat(50), &"b".repeat(255)));
    }

    /// The plain definition, exponential but correct.
    fn by_the_book(pattern: &str, name: &str) -> bool {
        if pattern.is_empty() {
            return name.is_empty();
        }
        if let Some(after) = pattern.strip_prefix('*') {
            return by_the_book(after, name)
                || name.chars().next().is_some_and(|c| by_the_book(pattern, &name[c.len_utf8()..]));
        }
        name.chars()
            .next()
            .is_some_and(|c| one(pattern, c).is_some_and(|after| by_the_book(after, &name[c.len_utf8()..])))
    }

    proptest! {
        #[test]
        fn it_agrees_with_the_definition(pattern in "[ab*?!\\[\\]-]{0,8}", name in "[ab\\]-]{0,8}") {
            prop_assert_eq!(matches(&pattern, &name), by_the_book(&pattern, &name));
        }

        #[test]
        fn any_text_will_do(pattern in ".{0,60}", name in ".{0,60}") {
            let _ = has_wildcard(&pattern);
            let _ = matches(&pattern, &name);
            prop_assert!(matches("*", &name));
        }
    }
}
