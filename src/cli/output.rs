//! Prints settings and rows: `key=value` lines, JSON with its keys in the order of the pages, aligned columns.

use std::io::{self, Write};

use serde::Serialize;

use super::arguments::Pair;
use super::verb::Failure;
/// Names come from outside: unseen characters would reach the administrator's terminal, and move or hide what is
/// there.
pub(super) use crate::base::unseen::marked as printable;
use crate::domain::setting::{Input, Setting, Texts};
use crate::store::exported;

/// Prints `value` as JSON on a line of its own.
pub(super) fn json_line(out: &mut dyn Write, value: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, value)?;
    writeln!(out)
}

/// Prints every setting with its value in force.
pub(super) fn settings(out: &mut dyn Write, table: &'static [Setting], texts: &Texts, json: bool) -> io::Result<()> {
    let settings = exported::Settings::of(table, texts);
    if json {
        return json_line(out, &settings);
    }
    settings.iter().try_for_each(|(setting, value)| writeln!(out, "{}={}", setting.key, on_one_line(setting, value)))
}

/// The typed `KEY=VALUE` pairs, by key. A repeated key is bad usage: one of the values would be lost.
pub(super) fn texts(table: &'static [Setting], pairs: &[Pair]) -> Result<Texts, Failure> {
    let mut texts = Texts::new();
    for Pair { key, value } in pairs {
        let several_lines = table.iter().any(|s| s.key == key && s.input == Input::Area);
        let value = if several_lines { unescaped(value) } else { value.clone() };
        if texts.insert(key.clone(), value).is_some() {
            return Err(Failure::Usage(format!("{key} is given twice")));
        }
    }
    Ok(texts)
}

/// In multi-line values a line end is written `\n` and a backslash `\\`. Others have no line ends, and their
/// backslashes (in filters and patterns) stay as they are.
fn on_one_line(setting: &Setting, value: &str) -> String {
    if setting.input == Input::Area { value.replace('\\', "\\\\").replace('\n', "\\n") } else { value.to_owned() }
}

/// Undoes [`on_one_line`]; a backslash before anything else stays.
fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let escaped = if c == '\\' { chars.peek().copied() } else { None };
        match escaped {
            Some('n') => out.push('\n'),
            Some('\\') => out.push('\\'),
            _ => {
                out.push(c);
                continue;
            }
        }
        chars.next();
    }
    out
}

/// Prints rows in columns as wide as their widest cell; the last column is not padded.
pub(super) fn columns<const N: usize>(out: &mut dyn Write, head: [&str; N], rows: &[[String; N]]) -> io::Result<()> {
    let mut widths = head.map(str::len);
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut line = |cells: [&str; N]| {
        let mut text = String::new();
        for (cell, width) in cells.iter().zip(widths) {
            text.push_str(cell);
            text.extend(std::iter::repeat_n(' ', width.saturating_sub(cell.chars().count()) + 2));
        }
        writeln!(out, "{}", text.trim_end())
    };
    line(head)?;
    rows.iter().try_for_each(|row| line(row.each_ref().map(String::as_str)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn columns_are_aligned_and_control_characters_do_not_reach_the_terminal() {
        let mut out = Vec::new();
        let rows = [["acme".to_owned(), "1".to_owned()], ["b".to_owned(), printable("x\u{1b}[2J")]];
        columns(&mut out, ["ID", "NAME"], &rows).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "ID    NAME\nacme  1\nb     x[U+001B][2J\n");
    }

    proptest! {
        #[test]
        fn a_value_of_several_lines_is_read_back_from_its_one_line(text in "[a\\\\n\n-]{0,20}") {
            let setting = Setting {
                key: "k",
                label: "",
                hint: "",
                default: "",
                input: Input::Area,
            };
            let line = on_one_line(&setting, &text);
            prop_assert!(!line.contains('\n'));
            prop_assert_eq!(unescaped(&line), text);
        }
    }
}
