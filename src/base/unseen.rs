//! Unseen characters: control characters, marks of direction, characters without width. A name that contains one is
//! not the name it looks like: `invoice\u{202e}fdp.exe` reads `invoiceexe.pdf`. They are shown by their code, never
//! changed.

/// Whether the character is unseen: a control character, one that Unicode lets programs ignore if they cannot
/// display it (`Default_Ignorable_Code_Point`), or a line end of Unicode.
pub const fn is_unseen(c: char) -> bool {
    matches!(
        c,
        '\0'..='\u{1f}'
            | '\u{7f}'..='\u{9f}'
            | '\u{ad}'
            | '\u{34f}'
            | '\u{61c}'
            | '\u{115f}'..='\u{1160}'
            | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}'
            | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

/// How one is shown: `U+202E`.
pub fn code(c: char) -> String {
    format!("U+{:04X}", u32::from(c))
}

/// The text with each of them shown in its place: `invoice[U+202E]fdp.exe`.
pub fn marked(text: &str) -> String {
    let told = |c: char| if is_unseen(c) { format!("[{}]", code(c)) } else { c.to_string() };
    text.chars().map(told).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_sees_is_told_and_what_is_written_stays() {
        assert_eq!(marked("invoice\u{202e}fdp.exe"), "invoice[U+202E]fdp.exe");
        assert_eq!(marked("a\u{200b}b\u{1b}[2J\tc\u{e0041}"), "a[U+200B]b[U+001B][2J[U+0009]c[U+E0041]");
        let written = "Übersicht März (final) – 名前, שלום, e\u{301}, \u{1f680}";
        assert_eq!(marked(written), written);
        assert!(('\0'..=char::MAX).filter(|c| c.is_control()).all(is_unseen));
    }
}
