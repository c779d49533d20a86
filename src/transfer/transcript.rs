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
/// Verbs that another verb may follow by mistake, or to ask about it.
const VERBS_BEFORE: [&str; 2] = ["HELP", "AUTH"];
/// Letters of a verb that takes a secret.
const SECRET_CHARS: usize = 4;

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
/// what stands before the verb, clings to it or is between its letters, has a secret all the same.
pub fn masked(line: &str) -> Cow<'_, str> {
    let Some(end) = before_secret(line) else { return Cow::Borrowed(line) };
    Cow::Owned(format!("{} ****", line[..end].to_ascii_uppercase().trim_start()))
}

/// Where the secret of a line begins.
fn before_secret(line: &str) -> Option<usize> {
    let is_one_of = |all: &[&str], word: &str| all.iter().any(|one| word.eq_ignore_ascii_case(one));
    let mut words = line.split_whitespace().skip_while(|word| is_one_of(&PREFIXES, word));
    let (verb, next, more) = (words.next()?, words.next(), words.next());
    // Before another verb, such as one that the client's own program put there, it is only asked about unless it has more.
    let after_another = next.filter(|_| is_one_of(&VERBS_BEFORE, verb) && more.is_some());
    match secret_verb(verb).or_else(|| after_another.and_then(secret_verb)) {
        Some(secret) => Some(line.to_ascii_uppercase().find(secret)? + secret.len()),
        None => spelt(line),
    }
}

/// The end of a verb whose letters stand apart, each by itself.
fn spelt(line: &str) -> Option<usize> {
    let letters = || line.split_whitespace().take(SECRET_CHARS);
    if letters().any(|letter| letter.len() > 1) {
        return None;
    }
    secret_verb(&letters().collect::<String>())?;
    let (last, letter) = line.char_indices().filter(|(_, c)| !c.is_whitespace()).nth(SECRET_CHARS - 1)?;
    Some(last + letter.len_utf8())
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
            ("HELP PASS hunter2", "HELP PASS ****"),
            ("site help  pass hunter2", "SITE HELP  PASS ****"),
            ("AUTH acct hunter2", "AUTH ACCT ****"),
            ("AUTH TLS", "AUTH TLS"),
            ("p a s s hunter2", "P A S S ****"),
            (" P A\tS S  h u n", "P A\tS S ****"),
            ("P A S", "P A S"),
            ("R E T R PASS", "R E T R PASS"),
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
