//! Patterns for file names: `*` any characters, `?` one, `[a-z]` `[!a]` one of or none of these, `{a,b}` either, `\`
//! makes the next character literal. They become one set of regular expressions, so that matching takes time linear in
//! the length of the name, and `?` and classes match characters, not bytes.
//! Always: a refusal of a pattern tells the position of the mistake.

use std::fmt::Write;
use std::ops::Range;

/// How deep `{}` may nest.
const NESTING_MAX: usize = 10;

/// Splits a comma list; commas within `{}` and `[]`, and after `\`, do not split. Returns the ranges of the items,
/// without blanks around them.
pub(super) fn split(chars: &[char]) -> Result<Vec<Range<usize>>, String> {
    let mut items = Vec::new();
    let mut open = Vec::new();
    let mut begin = 0;
    let mut i = 0;
    while i < chars.len() {
        match chars[i] {
            '\\' => i += 1,
            '[' => i = class_end(chars, i).ok_or_else(|| wrong(chars, i, "has no closing bracket"))?,
            '{' if open.len() == NESTING_MAX => {
                return Err(wrong(chars, i, &format!("nests braces deeper than {NESTING_MAX}")));
            }
            '{' => open.push(i),
            '}' if open.pop().is_none() => {
                return Err(format!("`}}` has no opening brace (character {})", i + 1));
            }
            ',' if open.is_empty() => {
                items.push(trimmed(chars, begin..i));
                begin = i + 1;
            }
            _ => {}
        }
        i += 1;
    }
    if let Some(brace) = open.pop() {
        return Err(wrong(chars, brace, "has no closing brace"));
    }
    items.push(trimmed(chars, begin..chars.len()));
    Ok(items)
}

/// `range` without the blanks at its ends.
fn trimmed(chars: &[char], range: Range<usize>) -> Range<usize> {
    let begin = range.clone().find(|i| !chars[*i].is_whitespace()).unwrap_or(range.end);
    let end = range.rev().find(|i| !chars[*i].is_whitespace()).map_or(begin, |last| last + 1);
    begin..end.max(begin)
}

/// The end of the class that opens at `open`. A leading `]` is one of its characters.
fn class_end(chars: &[char], open: usize) -> Option<usize> {
    let mut i = open + 1;
    if matches!(chars.get(i), Some('!' | '^')) {
        i += 1;
    }
    let first = i;
    while i < chars.len() {
        match chars[i] {
            '\\' => i += 1,
            ']' if i > first => return Some(i),
            _ => {}
        }
        i += 1;
    }
    None
}

/// A mistake at character `at`.
fn wrong(chars: &[char], at: usize, what: &str) -> String {
    let shown: String = chars[at..].iter().take(20).collect();
    format!("`{shown}` {what} (character {})", at + 1)
}

/// The regular expression of the pattern in `chars`, which [`split`] has checked. `offset` is its position in the typed
/// text.
pub(super) fn regex(chars: &[char], offset: usize) -> Result<String, String> {
    let mut out = String::from(r"(?is)\A(?:");
    let mut depth = 0;
    let mut i = 0;
    while i < chars.len() {
        match chars[i] {
            '*' if i > 0 && chars[i - 1] == '*' && out.ends_with(".*") => {}
            '*' => out.push_str(".*"),
            '?' => out.push('.'),
            '{' => {
                depth += 1;
                out.push_str("(?:");
            }
            '}' => {
                depth -= 1;
                out.push(')');
            }
            ',' if depth > 0 => out.push('|'),
            '[' => {
                let end =
                    class_end(chars, i).ok_or_else(|| format!("`[` has no closing bracket ({})", offset + i + 1))?;
                class(&chars[i + 1..end], offset + i + 1, &mut out)?;
                i = end;
            }
            '\\' => {
                i += 1;
                let c = chars.get(i).ok_or_else(|| {
                    format!("`\\` at the end of a pattern stands before nothing (character {})", offset + i)
                })?;
                literal(*c, &mut out);
            }
            c => literal(c, &mut out),
        }
        i += 1;
    }
    out.push_str(r")\z");
    Ok(out)
}

fn literal(c: char, out: &mut String) {
    // as its number, so that no character is special to the regular expression
    let _ = write!(out, r"\x{{{:x}}}", u32::from(c));
}

/// The inside of `[…]`.
fn class(chars: &[char], offset: usize, out: &mut String) -> Result<(), String> {
    let none_of = matches!(chars.first(), Some('!' | '^'));
    out.push_str(if none_of { "[^" } else { "[" });
    let mut i = usize::from(none_of);
    // one character, or the one after `\`; and the index after it
    let one = |i: usize| match chars[i] {
        '\\' if i + 1 < chars.len() => (chars[i + 1], i + 2),
        c => (c, i + 1),
    };
    while i < chars.len() {
        let (first, next) = one(i);
        if chars.get(next) == Some(&'-') && next + 1 < chars.len() {
            let (last, after) = one(next + 1);
            if first > last {
                let place = offset + i + 1;
                return Err(format!("`{first}-{last}` is reversed; write `{last}-{first}` (character {place})"));
            }
            literal(first, out);
            out.push('-');
            literal(last, out);
            i = after;
        } else {
            literal(first, out);
            i = next;
        }
    }
    out.push(']');
    Ok(())
}
