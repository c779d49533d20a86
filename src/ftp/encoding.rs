//! A partner's names: bytes on the wire to text and back, at one place for commands, replies and listings. It never
//! normalises: what a partner calls a file in UTF-8 stays the same to the byte.

use encoding_rs::EncoderResult;

/// How one partner's names are written on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoding(&'static encoding_rs::Encoding);

impl Default for Encoding {
    fn default() -> Self {
        Self::UTF_8
    }
}

impl Encoding {
    /// UTF-8, what RFC 2640 asks for.
    pub const UTF_8: Self = Self(&encoding_rs::UTF_8_INIT);

    /// Reads a name such as `utf-8`, `windows-1252`, `iso-8859-15`, `shift_jis`, in any case. As everywhere on the
    /// net, `iso-8859-1` means windows-1252, which has the same letters. Encodings in which a command would not read
    /// as ASCII (UTF-16, ISO-2022-JP) are unknown.
    pub fn parse(label: &str) -> Option<Self> {
        encoding_rs::Encoding::for_label_no_replacement(label.as_bytes())
            .filter(|encoding| encoding.is_ascii_compatible())
            .map(Self)
    }

    /// Its usual name; [`Self::parse`] reads it.
    pub fn name(&self) -> &'static str {
        self.0.name()
    }

    /// Whether it is UTF-8.
    pub fn is_utf_8(&self) -> bool {
        self.0 == encoding_rs::UTF_8
    }

    /// Bytes of the wire as text; `None` if they are no text in this encoding.
    pub fn decode(&self, bytes: &[u8]) -> Option<String> {
        self.0.decode_without_bom_handling_and_without_replacement(bytes).map(std::borrow::Cow::into_owned)
    }

    /// Text as bytes of the wire; what the encoding cannot write becomes a question mark.
    pub fn encode(&self, text: &str) -> Vec<u8> {
        if self.is_utf_8() {
            return text.as_bytes().to_vec();
        }
        let mut encoder = self.0.new_encoder();
        let mut out = Vec::with_capacity(text.len());
        let mut rest = text;
        loop {
            // Four bytes are more than any character takes, so that each round gets on by one at least.
            out.reserve(rest.len().max(16));
            let (result, read) = encoder.encode_from_utf8_to_vec_without_replacement(rest, &mut out, true);
            rest = &rest[read..];
            match result {
                EncoderResult::InputEmpty => return out,
                EncoderResult::OutputFull => {}
                EncoderResult::Unmappable(_) => out.push(b'?'),
            }
        }
    }
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
    fn what_cannot_be_written_becomes_a_question_mark() {
        let latin = Encoding::parse("windows-1252").unwrap();
        assert_eq!(latin.encode("Größe €.edi 日本"), b"Gr\xf6\xdfe \x80.edi ??");
        assert_eq!(Encoding::parse("shift_jis").unwrap().decode(b"\x83\x5c").unwrap(), "ソ");
        assert_eq!(Encoding::default().decode(b"Gr\xf6\xdfe"), None);
        assert_eq!(Encoding::default().decode("\u{feff}a".as_bytes()).unwrap(), "\u{feff}a", "no byte is dropped");
        assert_eq!(latin.encode(&"日".repeat(10_000)), "?".repeat(10_000).as_bytes());
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
