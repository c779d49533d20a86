//! How transcripts write bytes; both players read it.

/// `\xNN` is a byte, `\x20*5` is five of them.
pub(crate) fn unescape(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut pieces = text.split("\\x");
    out.extend(pieces.next().unwrap_or_default().bytes());
    for piece in pieces {
        let byte = u8::from_str_radix(&piece[..2], 16).expect("two hex digits");
        let digits = piece[2..]
            .strip_prefix('*')
            .map_or("", |rest| &rest[..rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len())]);
        out.extend(std::iter::repeat_n(byte, digits.parse().unwrap_or(1)));
        out.extend(piece[2 + if digits.is_empty() { 0 } else { digits.len() + 1 }..].bytes());
    }
    out
}
