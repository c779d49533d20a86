//! What was said on a control connection, secrets masked: kept in memory while the session lives, stored with each
//! refusal and, depending on the connector's Log Level, with the record of the session.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::fmt;

use crate::base::clock::Timestamp;
use crate::ftp::command::secret_verb;

/// Lines kept: the first and the last of a longer session.
pub const LINES_MAX: usize = 200;
/// How many of them are first lines: who signed in, and how.
const FIRST_LINES: usize = 20;
/// Characters of a line kept.
const LINE_CHARS_MAX: usize = 300;
/// Words that a verb follows: SITE, and what people type to send a verb as it is.
const PREFIXES: [&str; 3] = ["SITE", "QUOTE", "LITERAL"];

/// The first and last lines of a session.
#[derive(Debug, Default)]
pub struct Transcript {
    first: Vec<Line>,
    last: VecDeque<Line>,
    left_out: u64,
}

/// One line. It is seldom read, so it is formatted only then.
#[derive(Debug)]
struct Line {
    at: Timestamp,
    who: char,
    said: String,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.at.time_of_day(), self.who, self.said)
    }
}

impl Transcript {
    /// A line from the client; `PASS` and `ACCT` without their arguments.
    pub fn client(&mut self, at: Timestamp, line: &str) {
        self.push(at, 'C', &masked(line));
    }

    /// A reply to the client.
    pub fn server(&mut self, at: Timestamp, reply: &str) {
        self.push(at, 'S', reply);
    }

    /// Everything kept, a line each: `09:41:52.000 C: NOOP`.
    pub fn text(&self) -> String {
        let gap = (self.left_out > 0).then(|| format!("… {} lines are left out …", self.left_out));
        let first = self.first.iter().map(Line::to_string);
        first.chain(gap).chain(self.last.iter().map(Line::to_string)).collect::<Vec<_>>().join("\n")
    }

    fn push(&mut self, at: Timestamp, who: char, said: &str) {
        let line = Line { at, who, said: printable(said) };
        if self.first.len() < FIRST_LINES {
            return self.first.push(line);
        }
        if self.last.len() >= LINES_MAX - FIRST_LINES {
            self.last.pop_front();
            self.left_out += 1;
        }
        self.last.push_back(line);
    }
}

/// Its first [`LINE_CHARS_MAX`] characters, without control characters. Nearly every line is short and plain.
fn printable(said: &str) -> String {
    if said.len() <= LINE_CHARS_MAX && said.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return said.to_owned();
    }
    said.chars().take(LINE_CHARS_MAX).map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// The line as it may be shown: what follows a verb that takes a secret is left out. A line that is no command because of
/// what stands before the verb, or clings to it, has a secret all the same.
pub fn masked(line: &str) -> Cow<'_, str> {
    let is_prefix = |word: &&str| PREFIXES.iter().any(|prefix| word.eq_ignore_ascii_case(prefix));
    let verb = line.split_whitespace().find(|word| !is_prefix(word));
    let Some(secret) = verb.and_then(secret_verb) else { return Cow::Borrowed(line) };
    let upper = line.to_ascii_uppercase();
    let end = upper.find(secret).map_or(0, |at| at + secret.len());
    Cow::Owned(format!("{} ****", upper[..end].trim_start()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_kept() {
        let (mut transcript, at) = (Transcript::default(), Timestamp::from_us(1_500_000));
        transcript.client(at, "USER acme");
        transcript.client(at, "pass hunter2 and more");
        transcript.server(at, "230 You are logged in.");
        let text = "00:00:01.500 C: USER acme\n00:00:01.500 C: PASS ****\n00:00:01.500 S: 230 You are logged in.";
        assert_eq!(transcript.text(), text);
    }

    #[test]
    fn a_secret_is_masked_however_its_verb_is_written() {
        for (line, shown) in [
            ("PASS", "PASS ****"),
            (" Pass hunter2", "PASS ****"),
            ("\t\u{a0}PASS\thunter2", "PASS ****"),
            ("\u{feff}PASS hunter2", "\u{feff}PASS ****"),
            (r"\xff\xf2PASS hunter2", r"\XFF\XF2PASS ****"),
            ("PASS:hunter2", "PASS ****"),
            ("Site  pass hunter2", "SITE  PASS ****"),
            ("SITE PSWD old hunter2", "SITE PSWD ****"),
            ("quote ACCT hunter2", "QUOTE ACCT ****"),
            ("QUOTE SITE PSWD hunter2", "QUOTE SITE PSWD ****"),
            ("literal pass hunter2", "LITERAL PASS ****"),
            ("STOR PASS 1.pdf", "STOR PASS 1.pdf"),
            ("SITE HELP pass", "SITE HELP pass"),
            ("PASV", "PASV"),
            (" ", " "),
        ] {
            assert_eq!(masked(line), shown, "{line:?}");
        }
    }

    #[test]
    fn a_long_session_keeps_its_beginning_and_its_end() {
        let mut transcript = Transcript::default();
        for number in 0..300 {
            transcript.client(Timestamp::default(), &format!("NOOP {number}"));
        }
        let text = transcript.text();
        assert_eq!(text.lines().count(), LINES_MAX + 1);
        assert!(text.contains("NOOP 0\n") && text.ends_with("NOOP 299"), "{text}");
        assert!(text.contains("NOOP 19\n… 100 lines are left out …\n00:00:00.000 C: NOOP 120\n"), "{text}");
    }
}
