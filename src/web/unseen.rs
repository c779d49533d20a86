//! How the pages show unseen characters (`base::unseen`): names come from outside, and one that looks like another
//! must not fool the reader. Each is marked where it is shown, but kept where it is copied from or sent back: so
//! searching, filtering and removing work with the real name.
//!
//! It processes whole pages, after their templates: no place can be forgotten.

use crate::base::unseen::{code, is_unseen};

/// Attributes with words for the reader.
const READ: &[&str] = &["alt", "aria-label", "placeholder", "title"];
/// Elements that contain words but no elements, and what a form sends back.
const PLAIN: &[&str] = &["option", "text", "title"];
const TYPED: &str = "textarea";

/// The context of a character on a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// In visible content, where an element is allowed.
    Shown,
    /// Where only words are allowed.
    Words,
    /// Where nobody reads it, or where it is sent back from.
    Kept,
}

/// The page, or a part of one, with every unseen character marked. The templates themselves contain none except line
/// ends.
pub fn mark(html: String) -> String {
    let is_marked = |c: char| is_unseen(c) && !matches!(c, '\t' | '\n' | '\r');
    if !html.contains(is_marked) {
        return html;
    }
    let mut out = String::with_capacity(html.len() + 1024);
    let mut from = 0;
    for (at, unseen) in html.match_indices(is_marked) {
        out.push_str(&html[from..at]);
        from = at + unseen.len();
        let code = unseen.chars().map(code).collect::<String>();
        let mark = match place(&html[..at]) {
            // An element of its own, so that its direction ends with it; the code is not part of the text.
            Place::Shown => format!("<bdi class=\"unseen\" data-code=\"{code}\">{unseen}</bdi>"),
            Place::Words => format!("[{code}]"),
            Place::Kept => unseen.to_owned(),
        };
        out.push_str(&mark);
    }
    out.push_str(&html[from..]);
    out
}

/// The context after this much of the page. In texts and values `<`, `>` and `"` are escaped.
fn place(before: &str) -> Place {
    let Some((_, tag)) = before.rsplit_once('<') else { return Place::Shown };
    if tag.contains('>') {
        let element = tag.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default();
        return match element {
            TYPED => Place::Kept,
            _ if PLAIN.contains(&element) => Place::Words,
            _ => Place::Shown,
        };
    }
    let attribute = tag.rsplit_once("=\"").and_then(|(head, _)| head.rsplit(' ').next()).unwrap_or_default();
    if READ.contains(&attribute) { Place::Words } else { Place::Kept }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RLO: char = '\u{202e}';

    fn marks(html: &str) -> String {
        mark(html.replace('~', &RLO.to_string())).replace(RLO, "~")
    }

    #[test]
    fn it_is_shown_by_its_code_and_copied_as_it_is() {
        let bdi = "<bdi class=\"unseen\" data-code=\"U+202E\">~</bdi>";
        assert_eq!(marks("<td>a~b</td>"), format!("<td>a{bdi}b</td>"));
        assert_eq!(marks("~<p title=\"x\">~"), format!("{bdi}<p title=\"x\">{bdi}"));
        assert_eq!(marks("<a href=\"/x\">a</a>~~"), format!("<a href=\"/x\">a</a>{}", bdi.repeat(2)));
    }

    #[test]
    fn where_no_element_may_stand_it_is_told_in_words() {
        assert_eq!(marks("<title>a~b</title>"), "<title>a[U+202E]b</title>");
        assert_eq!(marks("<option value=\"~\">a~b"), "<option value=\"~\">a[U+202E]b");
        assert_eq!(marks("<p id=\"a\" title=\"a~b\">"), "<p id=\"a\" title=\"a[U+202E]b\">");
        assert_eq!(marks("<button aria-label=\"Remove a~b\">"), "<button aria-label=\"Remove a[U+202E]b\">");
    }

    #[test]
    fn what_goes_back_to_the_server_stays_as_it_is() {
        for kept in ["<input name=\"q\" value=\"a~b\">", "<textarea name=\"t\">a~b</textarea>", "<a href=\"?q=~\">"] {
            assert_eq!(marks(kept), kept);
        }
        assert_eq!(mark("<pre>a\tb\r\n</pre>".to_owned()), "<pre>a\tb\r\n</pre>");
    }
}
