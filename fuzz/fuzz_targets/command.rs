//! Lines to commands to steps: no panic, one answer each, no control character in a reply.
#![no_main]

use libfuzzer_sys::fuzz_target;
use waybill::ftp::command::Command;
use waybill::ftp::reply::{Code, Reply};
use waybill::ftp::session::{Outcome, Policy, Session, Step};

fuzz_target!(|text: &str| {
    let policy = Policy { tls_offered: true, active_mode: true, mode_z: true, data_tls_required: false };
    let mut session = Session::new();
    for line in text.lines() {
        let mut step = session.command(Command::read(line), &policy);
        if let Step::Ask(_) = step {
            step = session.outcome(Outcome::Refused(Reply::new(Code::FileUnavailable, "No.")));
        }
        if let Step::Send(reply) | Step::Close(reply) = step {
            assert!(!reply.summary().chars().any(char::is_control));
        }
    }
});
