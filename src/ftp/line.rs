//! Bytes to lines: the length limit, line ends, telnet's bytes, control characters. It never reads a socket and never
//! decides what a line means.
//! Always: each byte is looked at once, and no more is kept than was pushed.

use std::collections::VecDeque;
use std::fmt;

use super::reply::{Code, Reply};

/// Bytes in one command line, without its line end (PRODUCT section 12).
pub const LINE_BYTES_MAX: usize = 4_096;
/// The engine stops reading from the control connection while [`LineReader::buffered`] is at least this: commands sent
/// ahead wait in the client's own socket.
pub const PIPELINE_BYTES_MAX: usize = 64 * 1_024;

/// Telnet's "interpret as command" (RFC 854). Clients send it where a line would begin, before `ABOR` and for options;
/// within a line it is a letter of older encodings (windows-1251 and koi8-r have я and Ъ there), which hardly any client
/// doubles. A doubled one is the byte itself everywhere.
pub const IAC: u8 = 0xff;
/// The least byte that is a telnet command after [`IAC`].
const TELNET_COMMAND_MIN: u8 = 0xf0;
/// WILL, WONT, DO and DONT are followed by an option byte.
const TELNET_OPTION_MIN: u8 = 0xfb;
const TELNET_OPTION_MAX: u8 = 0xfe;
/// Interrupt Process and Data Mark, which precede `ABOR`. Their `IAC` may have been sent as urgent data.
const TELNET_INTERRUPT: u8 = 0xf4;
const TELNET_DATA_MARK: u8 = 0xf2;

/// Why a line is not a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineError {
    /// More than [`LINE_BYTES_MAX`] bytes; reported once, as soon as it is known.
    TooLong,
    /// NUL, CR within the line, or another control byte; reported at the line's end.
    ControlByte,
}

impl LineError {
    /// What the client hears.
    pub fn reply(self) -> Reply {
        match self {
            Self::TooLong => Reply::new(Code::SyntaxError, "That line is too long; 4096 bytes at most."),
            Self::ControlByte => Reply::new(Code::ArgumentError, "Control characters cannot be part of a command."),
        }
    }
}

/// Where in telnet's sequences the reader is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Telnet {
    #[default]
    Text,
    /// After an `IAC` at the beginning of a line.
    Iac,
    Option,
    /// After an `IAC` within a line, which was taken as a byte: a second one only doubles it.
    Byte,
}

/// What happens to the line being read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Fate {
    #[default]
    Good,
    /// A carriage return was read; only a line feed may follow.
    Return,
    Bad,
    /// Already answered; everything up to the line end is dropped.
    Dropped,
}

/// Collects what a client sends and returns it line by line (an iterator that may continue after `None`).
#[derive(Default)]
pub struct LineReader {
    ahead: VecDeque<u8>,
    line: Vec<u8>,
    telnet: Telnet,
    fate: Fate,
}

/// Never shows what was read: it may be a password.
impl fmt::Debug for LineReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LineReader").field("buffered", &self.buffered()).finish_non_exhaustive()
    }
}

impl LineReader {
    /// Nothing read yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds bytes from the control connection.
    pub fn push(&mut self, bytes: &[u8]) {
        self.ahead.extend(bytes);
    }

    /// How many bytes are kept.
    pub fn buffered(&self) -> usize {
        self.ahead.len() + self.line.len()
    }

    /// Whether no byte at all came after the last line returned, as is required after `AUTH`.
    pub fn is_empty(&self) -> bool {
        self.buffered() == 0 && self.telnet == Telnet::Text && self.fate == Fate::Good
    }

    /// Forgets everything, partial lines too.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// Strips telnet's sequences from one byte: `Some` if it belongs to the line.
    fn text(&mut self, byte: u8) -> Option<u8> {
        let begins = self.line.is_empty() && self.fate == Fate::Good;
        let (telnet, taken) = match (self.telnet, byte) {
            (Telnet::Text, IAC) if begins => (Telnet::Iac, None),
            (Telnet::Text, IAC) => (Telnet::Byte, Some(byte)),
            // The mark, split from its IAC by the urgent pointer. No command begins with these bytes.
            (Telnet::Text, TELNET_INTERRUPT | TELNET_DATA_MARK) if begins => (Telnet::Text, None),
            (Telnet::Iac, TELNET_OPTION_MIN..=TELNET_OPTION_MAX) => (Telnet::Option, None),
            (Telnet::Iac, TELNET_COMMAND_MIN..TELNET_OPTION_MIN) | (Telnet::Option, _) | (Telnet::Byte, IAC) => {
                (Telnet::Text, None)
            }
            // After an IAC: doubled, so the byte itself; or its command was urgent data and is gone, so this is plain
            // text.
            (Telnet::Text | Telnet::Iac | Telnet::Byte, _) => (Telnet::Text, Some(byte)),
        };
        self.telnet = telnet;
        taken
    }

    /// Adds one byte to the line; returns what is to be reported, if anything.
    fn take(&mut self, byte: u8) -> Option<Result<Vec<u8>, LineError>> {
        if byte == b'\n' {
            let line = std::mem::take(&mut self.line);
            return match std::mem::take(&mut self.fate) {
                Fate::Good | Fate::Return => Some(Ok(line)),
                Fate::Bad => Some(Err(LineError::ControlByte)),
                Fate::Dropped => None,
            };
        }
        if self.fate == Fate::Dropped {
            return None;
        }
        if self.line.len() == LINE_BYTES_MAX && byte != b'\r' {
            self.line = Vec::new();
            self.fate = Fate::Dropped;
            return Some(Err(LineError::TooLong));
        }
        match (self.fate, byte) {
            (Fate::Good, b'\r') => self.fate = Fate::Return,
            // CR NUL is telnet's carriage return within a name (RFC 2640 section 3.1), which no name may contain.
            (Fate::Return, _) => self.fate = Fate::Bad,
            _ if byte.is_ascii_control() => self.fate = Fate::Bad,
            _ => {}
        }
        if !byte.is_ascii_control() {
            self.line.push(byte);
        }
        None
    }
}

impl Iterator for LineReader {
    type Item = Result<Vec<u8>, LineError>;

    fn next(&mut self) -> Option<Self::Item> {
        while let Some(byte) = self.ahead.pop_front() {
            let Some(byte) = self.text(byte) else { continue };
            if let Some(told) = self.take(byte) {
                return Some(told);
            }
        }
        // A client that once sent a lot does not keep the memory.
        if self.ahead.capacity() > LINE_BYTES_MAX {
            self.ahead = VecDeque::new();
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lines(pieces: &[&[u8]]) -> Vec<Result<String, LineError>> {
        let mut reader = LineReader::new();
        let mut out = Vec::new();
        for piece in pieces {
            reader.push(piece);
            out.extend(reader.by_ref().map(|line| line.map(|bytes| String::from_utf8_lossy(&bytes).into_owned())));
        }
        out
    }

    fn texts(input: &[u8]) -> Vec<String> {
        lines(&[input]).into_iter().map(|line| line.unwrap_or_else(|error| format!("{error:?}"))).collect()
    }

    #[test]
    fn crlf_and_bare_lf_end_a_line() {
        assert_eq!(texts(b"NOOP\r\nPWD\nSTOR a b \r\n\r\n"), ["NOOP", "PWD", "STOR a b ", ""]);
        assert_eq!(lines(&[b"NO", b"OP\r", b"\n"]), [Ok("NOOP".to_owned())]);
    }

    #[test]
    fn one_over_the_limit_is_told_once_and_dropped_to_the_newline() {
        let fits = "x".repeat(LINE_BYTES_MAX);
        assert_eq!(texts(format!("{fits}\r\nNOOP\r\n").as_bytes()), [fits.as_str(), "NOOP"]);
        assert_eq!(texts(format!("{fits}x").as_bytes()), ["TooLong"]);
        assert_eq!(texts(format!("{fits}{fits}{fits}\r\nNOOP\r\n").as_bytes()), ["TooLong", "NOOP"]);
        assert_eq!(texts(format!("{fits}\rx\r\nNOOP\r\n").as_bytes()), ["TooLong", "NOOP"]);
    }

    #[test]
    fn control_bytes_spoil_their_own_line_only() {
        let told = texts(b"CWD a\0b\r\nCWD a\rb\r\nCWD a\r\0\r\nCWD \x1b[2J\x7f\nNOOP\n");
        assert_eq!(told, ["ControlByte", "ControlByte", "ControlByte", "ControlByte", "NOOP"]);
    }

    #[test]
    fn telnet_is_swallowed_and_a_doubled_ff_is_a_byte() {
        assert_eq!(texts(b"\xff\xf4\xff\xf2ABOR\r\n"), ["ABOR"]);
        assert_eq!(texts(b"\xf2ABOR\r\n"), ["ABOR"]);
        assert_eq!(texts(b"\xff\xf4\xf2ABOR\r\n"), ["ABOR"]);
        assert_eq!(texts(b"\xff\xf4\xffABOR\r\n"), ["ABOR"]);
        assert_eq!(texts(b"\xff\xfb\x01\xff\xfd\x03NOOP\r\n"), ["NOOP"]);
        let mut reader = LineReader::new();
        reader.push(b"STOR \xff\xff\xf2\r\n");
        assert_eq!(reader.next(), Some(Ok(b"STOR \xff\xf2".to_vec())));
        assert!(reader.is_empty());
    }

    #[test]
    fn within_a_line_an_ff_is_a_letter_whatever_comes_behind_it() {
        for behind in [&b".txt"[..], b"", b"\xf4", b"\xfb\x41", b"\xfd", b" "] {
            let line = [b"DELE \xf1\xf2\xe0\xff", behind].concat();
            let mut reader = LineReader::new();
            for byte in line.iter().chain(b"\r\n\xff\xf4\xff\xf2ABOR\r\n") {
                reader.push(&[*byte]);
            }
            assert_eq!(reader.next(), Some(Ok(line)));
            assert_eq!(reader.next(), Some(Ok(b"ABOR".to_vec())));
            assert!(reader.is_empty());
        }
        let mut reader = LineReader::new();
        reader.push(b"DELE \xff\xff\xff\xff.\xff\xff\xff\n");
        assert_eq!(reader.next(), Some(Ok(b"DELE \xff\xff.\xff\xff".to_vec())), "doubled ones are one each");
    }

    #[test]
    fn a_byte_behind_auth_is_seen() {
        let mut reader = LineReader::new();
        reader.push(b"AUTH TLS\r\n");
        assert!(reader.next().is_some() && reader.is_empty());
        for behind in [&b"U"[..], b"\r", b"\xff", b"\n"] {
            reader.push(b"AUTH TLS\r\n");
            reader.push(behind);
            assert!(reader.next().is_some() && !reader.is_empty(), "{behind:?}");
            reader.clear();
            assert!(reader.is_empty());
        }
        reader.push(b"\r");
        assert!(reader.next().is_none() && !reader.is_empty(), "a half line counts");
    }

    proptest! {
        #[test]
        fn a_line_never_holds_a_control_byte_and_pieces_do_not_matter(
            bytes in prop::collection::vec(prop_oneof![any::<u8>(), Just(b'\n'), Just(b'\r'), Just(IAC)], 0..300),
            cut in 0_usize..300,
        ) {
            let (one, two) = bytes.split_at(cut.min(bytes.len()));
            let whole = lines(&[&bytes]);
            prop_assert_eq!(&whole, &lines(&[one, two]));
            for line in whole.into_iter().flatten() {
                prop_assert!(!line.bytes().any(|byte| byte.is_ascii_control()));
            }
        }

        #[test]
        fn no_letter_is_lost(name in prop::collection::vec(0x80_u8.., 0..40)) {
            let doubled = name.windows(2).any(|two| two == [IAC, IAC]);
            let mut reader = LineReader::new();
            reader.push(&[b"STOR ", &name[..], b"\r\n"].concat());
            let line = reader.next();
            prop_assert!(doubled || line == Some(Ok([b"STOR ", &name[..]].concat())));
        }

        #[test]
        fn endless_input_keeps_no_more_than_a_line(length in 0_usize..40_000) {
            let mut reader = LineReader::new();
            reader.push(&vec![b'x'; length]);
            let told = reader.by_ref().count();
            prop_assert!(told <= 1 && reader.buffered() <= LINE_BYTES_MAX);
        }
    }
}
