//! Replies: a code that is not in the enum cannot be sent, and text cannot smuggle in a line.

use std::fmt::Write as _;

/// Every reply code Waybill sends (RFC 959 section 4.2, 2228, 2428, 4217, 7151).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Code {
    /// 150: file status okay; about to open data connection.
    Opening = 150,
    /// 200.
    Ok = 200,
    /// 202: superfluous here.
    Superfluous = 202,
    /// 211: system status, FEAT.
    Status = 211,
    /// 213: file status, SIZE, MDTM, HASH.
    FileStatus = 213,
    /// 214: help.
    Help = 214,
    /// 215: system type.
    System = 215,
    /// 220: ready for new user.
    Ready = 220,
    /// 221: closing by request.
    Closing = 221,
    /// 225: data connection open, no transfer in progress (idle ABOR).
    NothingToAbort = 225,
    /// 226: closing data connection; for an upload: the file is safe.
    Complete = 226,
    /// 227: entering passive mode.
    Passive = 227,
    /// 229: entering extended passive mode (RFC 2428).
    ExtendedPassive = 229,
    /// 230: logged in.
    LoggedIn = 230,
    /// 232: logged in, no password needed (RFC 2228).
    LoggedInByCertificate = 232,
    /// 234: security exchange begins (RFC 2228).
    StartingTls = 234,
    /// 250: file action completed.
    FileOk = 250,
    /// 251: an MD5 (draft-twine-ftpmd5).
    Md5 = 251,
    /// 257: path name created or current.
    PathName = 257,
    /// 331: password wanted.
    PasswordWanted = 331,
    /// 350: further information wanted.
    Pending = 350,
    /// 421: closing the control connection.
    ClosingControl = 421,
    /// 425: can't open data connection.
    NoDataConnection = 425,
    /// 426: connection closed, transfer aborted.
    TransferAborted = 426,
    /// 431: security resource unavailable (RFC 2228).
    SecurityUnavailable = 431,
    /// 450: file unavailable for now.
    FileBusy = 450,
    /// 451: local error.
    ActionAborted = 451,
    /// 452: no room.
    NoSpace = 452,
    /// 500: unknown command, line too long.
    SyntaxError = 500,
    /// 501: bad argument.
    ArgumentError = 501,
    /// 502: not implemented, or turned off.
    NotImplemented = 502,
    /// 503: bad sequence.
    BadSequence = 503,
    /// 504: not implemented for that parameter.
    ParameterNotImplemented = 504,
    /// 521: data in clear not allowed (PRODUCT section 3).
    DataMustBeProtected = 521,
    /// 522: protocol family not supported (RFC 2428); TLS session not reused.
    NetworkNotSupported = 522,
    /// 530: not logged in.
    NotLoggedIn = 530,
    /// 534: denied for policy reasons (RFC 2228).
    PolicyDenied = 534,
    /// 536: protection level not supported (RFC 2228).
    ProtectionNotSupported = 536,
    /// 550: file unavailable.
    FileUnavailable = 550,
    /// 552: storage allocation exceeded.
    QuotaExceeded = 552,
    /// 553: name not allowed.
    NameRefused = 553,
    /// 554: invalid REST (RFC 3659).
    InvalidRestart = 554,
}

impl Code {
    /// The three digits.
    pub const fn number(self) -> u16 {
        self as u16
    }
}

/// One reply: a code and one or more lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    code: Code,
    lines: Vec<String>,
    /// Lines between first and last begin with a blank and carry no code (FEAT, MLST).
    listed: bool,
}

impl Reply {
    /// A reply of one line.
    pub fn new(code: Code, text: impl Into<String>) -> Self {
        Self { code, lines: vec![one_line(text.into())], listed: false }
    }

    /// Free text of several lines, each with the code: a welcome message. Never empty.
    pub fn text(code: Code, text: &str) -> Self {
        let mut lines: Vec<_> = text.lines().map(|line| one_line(line.to_owned())).collect();
        if lines.is_empty() {
            lines.push(String::new());
        }
        Self { code, lines, listed: false }
    }

    /// `first`, then each of `middle` indented by a blank and without the code, then `last` (RFC 2389 section 3.2).
    pub fn list(code: Code, first: &str, middle: impl IntoIterator<Item = String>, last: &str) -> Self {
        let mut lines = vec![one_line(first.to_owned())];
        lines.extend(middle.into_iter().map(one_line));
        lines.push(one_line(last.to_owned()));
        Self { code, lines, listed: true }
    }

    /// Its code.
    pub const fn code(&self) -> Code {
        self.code
    }

    /// Its text, lines joined by a blank: for records and logs.
    pub fn summary(&self) -> String {
        format!("{} {}", self.code.number(), self.lines.join(" "))
    }

    /// The bytes to send (RFC 959 section 4.2), names already encoded by `encode`.
    pub fn to_wire(&self, encode: impl Fn(&str) -> Vec<u8>) -> Vec<u8> {
        let code = self.code.number();
        let last = self.lines.len() - 1;
        let mut text = String::new();
        for (i, line) in self.lines.iter().enumerate() {
            // Writing to a String cannot fail.
            let _ = match (i == last, self.listed && i > 0) {
                (true, _) => write!(text, "{code} {line}\r\n"),
                (false, true) => write!(text, " {line}\r\n"),
                (false, false) => write!(text, "{code}-{line}\r\n"),
            };
        }
        encode(&text)
    }
}

/// Control characters become question marks: neither a file name nor a setting can begin a second reply.
fn one_line(text: String) -> String {
    if text.chars().any(char::is_control) {
        text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn wire(reply: &Reply) -> String {
        String::from_utf8(reply.to_wire(|text| text.as_bytes().to_vec())).unwrap()
    }

    #[test]
    fn one_line_several_lines_and_lists() {
        assert_eq!(wire(&Reply::new(Code::Ok, "Here.")), "200 Here.\r\n");
        assert_eq!(
            wire(&Reply::text(Code::Ready, "Hello.\n\nBe welcome.")),
            "220-Hello.\r\n220-\r\n220 Be welcome.\r\n"
        );
        assert_eq!(wire(&Reply::text(Code::Ready, "")), "220 \r\n");
        let lines = ["SIZE".to_owned(), "MDTM".to_owned()];
        assert_eq!(
            wire(&Reply::list(Code::Status, "Features:", lines, "End")),
            "211-Features:\r\n SIZE\r\n MDTM\r\n211 End\r\n"
        );
        assert_eq!(wire(&Reply::list(Code::Status, "None:", [], "End")), "211-None:\r\n211 End\r\n");
    }

    #[test]
    fn a_name_cannot_smuggle_a_reply() {
        let reply = Reply::new(Code::FileOk, "Now in /a\r\n226 File received.");
        assert_eq!(wire(&reply), "250 Now in /a??226 File received.\r\n");
        assert_eq!(wire(&Reply::text(Code::Ready, "a\rb")), "220 a?b\r\n");
    }

    proptest! {
        #[test]
        fn every_line_ends_once_and_the_last_has_the_code(first in ".{0,30}", middle in prop::collection::vec(".{0,30}", 0..4)) {
            let count = middle.len();
            let wire = wire(&Reply::list(Code::Status, &first, middle, "End"));
            let lines: Vec<_> = wire.strip_suffix("\r\n").unwrap().split("\r\n").collect();
            prop_assert_eq!(lines.len(), count + 2);
            prop_assert!(lines.iter().all(|line| !line.chars().any(char::is_control)));
            prop_assert!(lines[0].starts_with("211-") && lines[count + 1] == "211 End");
            prop_assert!(lines[1..=count].iter().all(|line| line.starts_with(' ')));
        }
    }
}
