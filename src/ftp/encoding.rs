//! A partner's names: bytes on the wire to text and back, in one place for commands, replies and listings. It never
//! normalises: a partner's UTF-8 names stay the same to the byte.

use std::borrow::Cow;

use encoding_rs::EncoderResult;

/// The encoding of one partner's names on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoding(&'static encoding_rs::Encoding);

impl Default for Encoding {
    fn default() -> Self {
        Self::UTF_8
    }
}

impl Encoding {
    /// UTF-8, as RFC 2640 demands.
    pub const UTF_8: Self = Self(&encoding_rs::UTF_8_INIT);

    /// Reads a name such as `utf-8`, `windows-1252`, `iso-8859-15`, `shift_jis`, in any case. As everywhere on the net,
    /// `iso-8859-1` means windows-1252, which has the same letters. Encodings in which commands do not read as ASCII
    /// (UTF-16, ISO-2022-JP) are unknown.
    pub fn parse(label: &str) -> Option<Self> {
        encoding_rs::Encoding::for_label_no_replacement(label.as_bytes())
            .filter(|encoding| encoding.is_ascii_compatible())
            .map(Self)
    }

    /// Its usual name, which [`Self::parse`] reads.
    pub fn name(&self) -> &'static str {
        self.0.name()
    }

    /// Whether it is UTF-8.
    pub fn is_utf_8(&self) -> bool {
        self.0 == encoding_rs::UTF_8
    }

    /// Bytes from the wire as text; `None` if they are invalid in this encoding.
    pub fn decode(&self, bytes: &[u8]) -> Option<String> {
        self.0.decode_without_bom_handling_and_without_replacement(bytes).map(Cow::into_owned)
    }

    /// Text as bytes for the wire. A character that the encoding lacks becomes its number, such as `&#26085;`, as in
    /// browsers: each listed name is unique, and [`Self::restored`] finds its file again (RFC 1123 section 4.1.2.7).
    pub fn encode(&self, text: &str) -> Vec<u8> {
        if self.is_utf_8() {
            return text.as_bytes().to_vec();
        }
        let mut encoder = self.0.new_encoder();
        let mut out = Vec::with_capacity(text.len());
        let mut rest = text;
        loop {
            // No character takes more than four bytes, so each round makes progress.
            out.reserve(rest.len().max(16));
            let (result, read) = encoder.encode_from_utf8_to_vec_without_replacement(rest, &mut out, true);
            rest = &rest[read..];
            match result {
                EncoderResult::InputEmpty => return out,
                EncoderResult::OutputFull => {}
                EncoderResult::Unmappable(c) => out.extend_from_slice(numbered(c).as_bytes()),
            }
        }
    }

    /// A name that came in this encoding, with the numbers that [`Self::encode`] makes turned back into characters.
    pub fn restored(&self, text: String) -> String {
        if self.is_utf_8() || !text.contains("&#") {
            return text;
        }
        let mut out = String::with_capacity(text.len());
        let mut rest = text.as_str();
        while let Some(at) = rest.find("&#") {
            out.push_str(&rest[..at]);
            rest = &rest[at..];
            // A number that is never written for a character here is plain text.
            let (piece, length) = self.unwritable(rest).unwrap_or(('&', 1));
            out.push(piece);
            rest = &rest[length..];
        }
        out + rest
    }

    /// The character whose number `text` begins with, if this encoding lacks it, and the length of that number.
    fn unwritable(&self, text: &str) -> Option<(char, usize)> {
        let digits = text.strip_prefix("&#")?;
        let end = digits.find(|c: char| !c.is_ascii_digit())?;
        let c = char::from_u32(digits[..end].parse().ok()?)?;
        let number = numbered(c);
        let is_so = text.starts_with(&number) && self.encode(c.encode_utf8(&mut [0; 4])) == number.as_bytes();
        is_so.then_some((c, number.len()))
    }
}

fn numbered(c: char) -> String {
    format!("&#{};", u32::from(c))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn labels_read_without_regard_to_case_and_unusable_ones_do_not() {
        assert_eq!(Encoding::parse("Windows-1252").unwrap().name(), "windows-1252");
        assert_eq!(Encoding::parse("ISO-8859-15").unwrap().name(), "ISO-8859-15");
        assert_eq!(Encoding::parse("utf8"), Some(Encoding::default()));
        for label in ["utf-16", "iso-2022-jp", "hz-gb-2312", "klingon", ""] {
            assert_eq!(Encoding::parse(label), None, "{label}");
        }
    }

    #[test]
    fn what_cannot_be_written_becomes_its_number() {
        let latin = Encoding::parse("windows-1252").unwrap();
        assert_eq!(latin.encode("Größe €.edi 日本"), b"Gr\xf6\xdfe \x80.edi &#26085;&#26412;");
        assert_eq!(Encoding::parse("shift_jis").unwrap().decode(b"\x83\x5c").unwrap(), "ソ");
        assert_eq!(Encoding::default().decode(b"Gr\xf6\xdfe"), None);
        assert_eq!(Encoding::default().decode("\u{feff}a".as_bytes()).unwrap(), "\u{feff}a", "no byte is dropped");
        assert_eq!(latin.encode(&"日".repeat(10_000)), "&#26085;".repeat(10_000).as_bytes());
    }

    #[test]
    fn a_number_is_a_character_only_where_it_was_made_of_one() {
        let latin = Encoding::parse("windows-1252").unwrap();
        let restored = |text: &str| latin.restored(text.to_owned());
        assert_eq!(restored("a&#26085;&#26412;.edi"), "a日本.edi");
        for plain in
            ["&#47;", "&#65;", "&#246;", "&#026085;", "&#+26085;", "&#26085", "&#;", "&&#x65e5;", "&#99999999;", "&#"]
        {
            assert_eq!(restored(plain), plain);
        }
        assert_eq!(Encoding::default().restored("&#26085;".to_owned()), "&#26085;");
    }

    proptest! {
        #[test]
        fn utf_8_is_exact(text in "\\PC{0,60}") {
            prop_assert_eq!(Encoding::default().decode(&Encoding::default().encode(&text)), Some(text));
        }

        #[test]
        fn single_bytes_come_back(bytes in prop::collection::vec(0x20_u8.., 0..40)) {
            for label in ["windows-1252", "iso-8859-1", "iso-8859-15", "iso-8859-2", "koi8-r"] {
                let encoding = Encoding::parse(label).unwrap();
                prop_assert_eq!(encoding.encode(&encoding.decode(&bytes).unwrap()), bytes.clone());
            }
        }

        #[test]
        fn every_name_comes_back_from_a_listing(name in "[ -%'-~a-zäöя日本\u{1f600}\u{85}&]{0,40}") {
            for label in ["windows-1252", "windows-1251", "koi8-r", "iso-8859-2", "shift_jis", "gbk"] {
                let encoding = Encoding::parse(label).unwrap();
                prop_assert_eq!(encoding.restored(encoding.decode(&encoding.encode(&name)).unwrap()), name.clone());
            }
        }

        #[test]
        fn no_control_byte_comes_of_plain_text(text in "\\PC{0,60}") {
            for label in ["windows-1252", "shift_jis", "euc-jp", "gb18030", "big5", "euc-kr"] {
                let encoding = Encoding::parse(label).unwrap();
                let bytes = encoding.encode(&text);
                prop_assert!(!bytes.iter().any(u8::is_ascii_control), "{} {:?}", label, bytes);
                if let Some(back) = encoding.decode(&bytes) {
                    prop_assert_eq!(encoding.encode(&back), bytes);
                }
            }
        }
    }
}
