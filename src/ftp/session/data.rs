//! Data connections and what goes over them: PASV, EPSV, PORT, EPRT, REST, RANG, RETR, STOR, STOU, APPE, LIST, NLST,
//! MLSD, ABOR.
//! Always: a transfer command uses up the agreed data connection, the restart offset and the range, whatever its reply
//! is.

use std::net::SocketAddr;

use super::state::{Asked, DataPort, DataType, Ending, Moves, Protection, Question, Restart, Session};
use super::step::{Ask, Family, Forbidden, Listing, Policy, Step, StoreMode, Transfer};
use crate::base::path::NAME_BYTES_MAX;
use crate::ftp::command::{EpsvArgument, ListArgument};
use crate::ftp::listing::{Facts, Format, has_wildcard};
use crate::ftp::reply::{Code, Reply};

/// How the client asked the server to listen.
#[derive(Clone, Copy)]
pub(super) enum Passive {
    /// `PASV`.
    Classic,
    /// `EPSV`, possibly with a family.
    Extended(Option<Family>),
}

impl Session {
    /// ABOR's own reply, after the final reply of the transfer it was meant for: 226, or 225 if that transfer was
    /// already complete and `ABOR` changed nothing (PRODUCT 5.11).
    pub fn aborted(&mut self) -> Reply {
        match std::mem::take(&mut self.last_ending) {
            Ending::Complete => Reply::new(Code::NothingToAbort, "It was complete already."),
            Ending::Cut => Reply::new(Code::Complete, "It is ended as you asked."),
        }
    }

    pub(super) fn abor(&mut self) -> Step {
        self.restart = Restart::Whole;
        Step::Send(match std::mem::take(&mut self.data) {
            DataPort::Agreed => Reply::new(Code::Complete, "The data connection is taken back."),
            DataPort::Unknown => Reply::new(Code::NothingToAbort, "There is no transfer to abort."),
        })
    }

    pub(super) fn passive(&mut self, passive: Passive) -> Step {
        let (family, extended) = match passive {
            Passive::Classic if self.settings.epsv_all => return only_epsv(),
            Passive::Classic => (None, false),
            Passive::Extended(family) => (family, true),
        };
        self.data = DataPort::Unknown;
        self.ask(Ask::Passive { family, extended }, Question::Passive { extended })
    }

    pub(super) fn epsv(&mut self, argument: EpsvArgument) -> Step {
        match argument {
            EpsvArgument::Same => self.passive(Passive::Extended(None)),
            EpsvArgument::Family(family) => self.passive(Passive::Extended(Some(family))),
            EpsvArgument::All => {
                self.settings.epsv_all = true;
                Step::Send(Reply::new(Code::Ok, "Only EPSV from now on."))
            }
        }
    }

    pub(super) fn active(&mut self, at: SocketAddr) -> Step {
        if self.settings.epsv_all {
            return only_epsv();
        }
        self.data = DataPort::Unknown;
        self.ask(Ask::Active(at), Question::Active)
    }

    pub(super) fn rest(&mut self, offset: u64) -> Step {
        self.restart = if offset == 0 { Restart::Whole } else { Restart::From(offset) };
        Step::Send(Reply::new(Code::Pending, format!("The next transfer begins at {offset}.")))
    }

    pub(super) fn rang(&mut self, range: Option<(u64, u64)>) -> Step {
        self.restart = range.map_or(Restart::Whole, |(start, end)| Restart::Range(start, end));
        let text = match range {
            Some((start, end)) => format!("Restarting at {start}. End byte range at {}.", end - 1),
            None => "Restarting at 0. The range is taken back.".to_owned(),
        };
        Step::Send(Reply::new(Code::Pending, text))
    }

    pub(super) fn retr(&mut self, path: &str, policy: &Policy) -> Step {
        self.transfer(Moves::FileOut, policy, |session, restart| {
            let ascii = session.settings.data_type == DataType::Ascii;
            let (offset, end) = match restart {
                Restart::Whole => (0, None),
                _ if ascii => return Err(no_restart_in_text()),
                Restart::From(offset) => (offset, None),
                Restart::Range(start, end) => (start, Some(end)),
            };
            let path = session.resolve(path, Code::FileUnavailable)?;
            Ok(Transfer::Retrieve { path, offset, end, ascii })
        })
    }

    pub(super) fn stor(&mut self, path: &str, policy: &Policy) -> Step {
        let mode = match self.restart {
            Restart::From(offset) => StoreMode::From(offset),
            Restart::Whole | Restart::Range(..) => StoreMode::Replace,
        };
        self.store(path, mode, Code::NameRefused, policy)
    }

    pub(super) fn stou(&mut self, path: Option<&str>, policy: &Policy) -> Step {
        self.store(path.unwrap_or("."), StoreMode::Unique, Code::NameRefused, policy)
    }

    pub(super) fn appe(&mut self, path: &str, policy: &Policy) -> Step {
        self.store(path, StoreMode::Append, Code::FileUnavailable, policy)
    }

    fn store(&mut self, path: &str, mode: StoreMode, bad_name: Code, policy: &Policy) -> Step {
        self.transfer(Moves::FileIn(mode), policy, |session, restart| {
            let ascii = session.settings.data_type == DataType::Ascii;
            if let Restart::Range(..) = restart {
                return Err(Reply::new(Code::InvalidRestart, "RANG is for RETR and HASH only."));
            }
            if ascii && matches!(mode, StoreMode::From(_)) {
                return Err(no_restart_in_text());
            }
            Ok(Transfer::Store { path: session.resolve(path, bad_name)?, mode, ascii })
        })
    }

    pub(super) fn list(&mut self, argument: ListArgument, policy: &Policy) -> Step {
        self.transfer(Moves::Listing, policy, |session, _| Ok(Transfer::List(session.listing(argument, Format::List)?)))
    }

    pub(super) fn nlst(&mut self, argument: ListArgument, policy: &Policy) -> Step {
        self.transfer(Moves::Listing, policy, |session, _| {
            Ok(Transfer::List(session.listing(argument, Format::Names)?))
        })
    }

    pub(super) fn mlsd(&mut self, path: Option<&str>, policy: &Policy) -> Step {
        self.transfer(Moves::Listing, policy, |session, _| {
            let argument = ListArgument { path: path.map(str::to_owned), ..ListArgument::default() };
            Ok(Transfer::List(session.listing(argument, Format::Machine)?))
        })
    }

    /// What a listing command asks for. MLSD has no wildcards (RFC 3659 section 7.1): there a star is part of the name.
    pub(super) fn listing(&self, argument: ListArgument, format: Format) -> Result<Listing, Reply> {
        let ListArgument { all, recursive, path } = argument;
        // Neither `.` nor `..` is a file that could be fetched.
        let all = all && format == Format::List;
        let text = path.unwrap_or_default();
        let (folder, last) = text
            .rsplit_once('/')
            .map_or((".", text.as_str()), |(folder, last)| (if folder.is_empty() { "/" } else { folder }, last));
        let wild = format != Format::Machine && has_wildcard(last);
        if wild && last.len() > NAME_BYTES_MAX {
            return Err(Reply::new(Code::FileUnavailable, "That pattern is too long."));
        }
        let written = if wild { folder } else { text.as_str() };
        let path = self.resolve(written, Code::FileUnavailable)?;
        let written = if matches!(written, "." | "./") { String::new() } else { written.to_owned() };
        let pattern = wild.then(|| last.to_owned());
        let facts: Facts = self.settings.facts;
        Ok(Listing { path, pattern, format, all, recursive, facts, written })
    }

    fn transfer(
        &mut self,
        moves: Moves,
        policy: &Policy,
        make: impl FnOnce(&Self, Restart) -> Result<Transfer, Reply>,
    ) -> Step {
        let data = std::mem::take(&mut self.data);
        let restart = std::mem::take(&mut self.restart);
        if policy.data_tls_required && self.protection() == Protection::Clear {
            let text = "Data must be protected by TLS here; use PBSZ 0 and PROT P.";
            return Step::Forbid(Forbidden::ClearData, Reply::new(Code::DataMustBeProtected, text));
        }
        if data == DataPort::Unknown {
            return Step::Send(Reply::new(Code::NoDataConnection, "Please say PASV or EPSV first."));
        }
        if self.settings.deflate && !policy.mode_z {
            let text = "MODE Z is not offered any more; please use MODE S.";
            return Step::Send(Reply::new(Code::ParameterNotImplemented, text));
        }
        match make(self, restart) {
            Ok(transfer) => {
                self.asked = Asked::Transfer { moves, aborting: false };
                Step::Ask(Ask::Transfer(transfer))
            }
            Err(reply) => Step::Send(reply),
        }
    }
}

fn only_epsv() -> Step {
    Step::Send(Reply::new(Code::BadSequence, "EPSV ALL was said: only EPSV from now on."))
}

fn no_restart_in_text() -> Reply {
    Reply::new(Code::InvalidRestart, "A transfer in TYPE A cannot begin in the middle; use TYPE I.")
}
