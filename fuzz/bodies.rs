//! What each fuzz target does with its input. The targets of `fuzz_targets/` and a test on every build share it: an input
//! either holds or panics.

use std::net::SocketAddr;

use waybill::ftp::address::{eprt_argument, parse_eprt, parse_port, port_argument};
use waybill::ftp::command::Command;
use waybill::ftp::line::LineReader;
use waybill::ftp::listing::{has_wildcard, matches};
use waybill::ftp::reply::{Code, Reply};
use waybill::ftp::session::{Outcome, Policy, Session, Step};

/// PORT and EPRT arguments: what is read is written and read back the same.
pub fn address(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(at @ SocketAddr::V4(v4)) = parse_port(&text) {
        assert_eq!(parse_port(&port_argument(v4)), Ok(at));
    }
    if let Ok(at) = parse_eprt(&text) {
        assert_eq!(parse_eprt(&eprt_argument(at)), Ok(at));
    }
}

/// Lines to commands to steps: one answer each, no control character in a reply.
pub fn command(bytes: &[u8]) {
    let policy = Policy { tls_offered: true, active_mode: true, mode_z: true, data_tls_required: false };
    let mut session = Session::new();
    for line in String::from_utf8_lossy(bytes).lines() {
        let mut step = session.command(Command::read(line), &policy);
        if let Step::Ask(_) = step {
            step = session.outcome(Outcome::Refused(Reply::new(Code::FileUnavailable, "No.")));
        }
        if let Step::Send(reply) | Step::Close(reply) = step {
            assert!(!reply.summary().chars().any(char::is_control));
        }
    }
}

/// Bytes to lines: no control byte in a line, and it does not matter how the bytes were cut.
pub fn line(bytes: &[u8]) {
    let mut whole = LineReader::new();
    whole.push(bytes);
    let lines: Vec<_> = whole.by_ref().collect();
    for line in lines.iter().flatten() {
        assert!(!line.iter().any(u8::is_ascii_control));
    }
    let mut piecewise = LineReader::new();
    let mut again = Vec::new();
    for byte in bytes {
        piecewise.push(&[*byte]);
        again.extend(piecewise.by_ref());
    }
    assert_eq!(lines, again);
}

/// Wildcards: no pattern that takes long. The first line is the pattern, the rest the name.
pub fn matcher(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (pattern, name) = text.split_once('\n').unwrap_or((&text, ""));
    let found = matches(pattern, name);
    if !has_wildcard(pattern) {
        assert_eq!(found, pattern == name);
    }
}
