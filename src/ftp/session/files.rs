//! Files and folders over the control connection: CWD, PWD, MKD, RMD, DELE, RNFR, RNTO, SIZE, MDTM, MFMT, MLST, HASH,
//! AVBL.

use super::state::{Asked, DataType, Question, Restart, Session, Told};
use super::step::{Algorithm, Ask, Step};
use crate::base::clock::Timestamp;
use crate::base::path::VirtualPath;
use crate::ftp::command::Check;
use crate::ftp::reply::{Code, Reply};

impl Session {
    /// Asks about a path, or answers 550 if it is invalid.
    fn ask_of(&mut self, text: &str, make: impl FnOnce(VirtualPath) -> (Ask, Question)) -> Step {
        match self.resolve(text, Code::FileUnavailable) {
            Ok(path) => {
                let (ask, question) = make(path);
                self.ask(ask, question)
            }
            Err(reply) => Step::Send(reply),
        }
    }

    pub(super) fn cwd(&mut self, path: &str) -> Step {
        self.ask_of(path, |path| (Ask::Enter(path.clone()), Question::Enter(path)))
    }

    pub(super) fn pwd(&self) -> Step {
        Step::Send(Reply::new(Code::PathName, format!("{} is where you are.", quoted(&self.here()))))
    }

    pub(super) fn mkd(&mut self, path: &str) -> Step {
        match self.resolve(path, Code::FileUnavailable) {
            Ok(path) => self.ask(Ask::MakeFolder(path.clone()), Question::MakeFolder(path)),
            Err(reply) => Step::Send(reply),
        }
    }

    pub(super) fn rmd(&mut self, path: &str) -> Step {
        self.ask_of(path, |path| (Ask::RemoveFolder(path), Question::RemoveFolder))
    }

    pub(super) fn dele(&mut self, path: &str) -> Step {
        self.ask_of(path, |path| (Ask::Delete(path), Question::Delete))
    }

    pub(super) fn rnfr(&mut self, path: &str) -> Step {
        self.ask_of(path, |path| (Ask::RenameFrom(path.clone()), Question::RenameFrom(path)))
    }

    pub(super) fn rnto(&mut self, path: &str) -> Step {
        let Some(from) = self.renaming.take() else {
            return Step::Send(Reply::new(Code::BadSequence, "Please say RNFR first."));
        };
        match self.resolve(path, Code::NameRefused) {
            Ok(to) => self.ask(Ask::Rename { from, to }, Question::Rename),
            Err(reply) => Step::Send(reply),
        }
    }

    pub(super) fn size(&mut self, path: &str) -> Step {
        if self.settings.data_type == DataType::Ascii {
            return self.read(path, Told::Size, |path| Ask::Size { path, ascii: true });
        }
        self.ask_of(path, |path| (Ask::Size { path, ascii: false }, Question::Size))
    }

    /// `path` is the whole argument; `touch` its reading as a time and a name.
    pub(super) fn mdtm(&mut self, path: &str, touch: Option<(Timestamp, String)>) -> Step {
        let Some((to, name)) = touch else {
            return self.ask_of(path, |path| (Ask::Modified(path), Question::Modified));
        };
        let whole = self.resolve(path, Code::FileUnavailable).ok();
        self.ask_of(&name, |path| (Ask::ModifiedOrTouch { whole, path, to }, Question::Modified))
    }

    pub(super) fn mfmt(&mut self, to: Timestamp, written: String) -> Step {
        match self.resolve(&written, Code::FileUnavailable) {
            Ok(path) => self.ask(Ask::Touch { path, to }, Question::Facts(to, written)),
            Err(reply) => Step::Send(reply),
        }
    }

    pub(super) fn mlst(&mut self, path: Option<&str>) -> Step {
        self.ask_of(path.unwrap_or("."), |path| (Ask::Mlst(path.clone()), Question::Mlst(path)))
    }

    pub(super) fn avbl(&mut self, path: Option<&str>) -> Step {
        self.ask_of(path.unwrap_or("."), |path| (Ask::Available(path), Question::Available))
    }

    /// A range given by `RANG` is used up; an offset given by `REST` is for a transfer and stays.
    pub(super) fn hash(&mut self, written: String) -> Step {
        let algorithm = self.settings.algorithm;
        let range = match self.restart {
            Restart::Range(start, end) => {
                self.restart = Restart::Whole;
                (start, Some(end))
            }
            Restart::Whole | Restart::From(_) => (0, None),
        };
        let text = written.clone();
        self.read(&text, Told::Hash(algorithm, written), |path| Ask::Digest { path, algorithm, range })
    }

    /// Asks for something that a file must be read for, in a task beside the session.
    fn read(&mut self, path: &str, told: Told, make: impl FnOnce(VirtualPath) -> Ask) -> Step {
        match self.resolve(path, Code::FileUnavailable) {
            Ok(path) => {
                self.asked = Asked::Reading { told, aborting: false };
                Step::Ask(make(path))
            }
            Err(reply) => Step::Send(reply),
        }
    }

    pub(super) fn check(&mut self, check: &Check, algorithm: Algorithm) -> Step {
        let range = (check.start, check.end);
        self.read(&check.path, Told::Plain, |path| Ask::Digest { path, algorithm, range })
    }

    pub(super) fn md5(&mut self, check: Check) -> Step {
        let (algorithm, range) = (Algorithm::Md5, (check.start, check.end));
        let text = check.path.clone();
        self.read(&text, Told::Named(check.path), |path| Ask::Digest { path, algorithm, range })
    }
}

/// A path in quotes, quotes within it doubled (RFC 959 appendix II).
pub(super) fn quoted(path: &VirtualPath) -> String {
    format!("\"{}\"", path.to_string().replace('"', "\"\""))
}
