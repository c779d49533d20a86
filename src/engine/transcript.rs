//! A session's last lines, secrets masked, kept in memory and stored with a refusal.

use std::collections::VecDeque;

/// Lines kept.
pub const LINES_MAX: usize = 200;
/// Characters of a line kept.
const LINE_CHARS_MAX: usize = 300;

/// The last lines of a session.
#[derive(Debug, Default)]
pub struct Transcript {
    lines: VecDeque<String>,
}

impl Transcript {
    /// A line from the client; `PASS` and `ACCT` without their arguments.
    pub fn client(&mut self, line: &str) {
        self.push(&format!("C: {}", masked(line)));
    }

    /// A reply to the client.
    pub fn server(&mut self, reply: &str) {
        self.push(&format!("S: {reply}"));
    }

    /// Everything kept.
    pub fn text(&self) -> String {
        self.lines.iter().map(String::as_str).collect::<Vec<_>>().join("\n")
    }

    fn push(&mut self, line: &str) {
        if self.lines.len() >= LINES_MAX {
            self.lines.pop_front();
        }
        let printable = |c: char| if c.is_control() { '?' } else { c };
        self.lines.push_back(line.chars().take(LINE_CHARS_MAX).map(printable).collect());
    }
}

/// The line as it may be shown: what follows a verb that takes a secret is left out.
pub fn masked(line: &str) -> String {
    let verb = line.split(' ').next().unwrap_or_default();
    if ["PASS", "ACCT"].iter().any(|secret| verb.eq_ignore_ascii_case(secret)) {
        format!("{} ****", verb.to_ascii_uppercase())
    } else {
        line.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_kept() {
        let mut transcript = Transcript::default();
        transcript.client("USER acme");
        transcript.client("pass hunter2 and more");
        transcript.server("230 You are logged in.");
        assert_eq!(transcript.text(), "C: USER acme\nC: PASS ****\nS: 230 You are logged in.");
        for _ in 0..300 {
            transcript.client("NOOP");
        }
        assert_eq!(transcript.text().lines().count(), LINES_MAX);
    }
}
