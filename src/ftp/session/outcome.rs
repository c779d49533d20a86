//! The outcome of a question or a transfer goes in, the reply comes out.

use jiff::tz::TimeZone;

use super::files::quoted;
use super::state::{Asked, DataPort, Ending, Login, Moves, Partner, Question, Session, Settings, Tls, Told};
use super::step::{Listing, Outcome, STAT_LINES_MAX, Step, StoreMode};
use crate::base::clock::Timestamp;
use crate::base::path::VirtualPath;
use crate::ftp::address;
use crate::ftp::listing::{Entry, Facts, Format, line, time_value};
use crate::ftp::reply::{Code, Reply};

impl Session {
    /// Takes the outcome of [`Step::Ask`].
    pub fn outcome(&mut self, outcome: Outcome) -> Step {
        let asked = std::mem::take(&mut self.asked);
        match (asked, outcome) {
            (asked, Outcome::Refused(reply)) => {
                self.refused(&asked);
                Step::Send(reply)
            }
            (asked, Outcome::RefusedAndClose(reply)) => {
                self.refused(&asked);
                Step::Close(reply)
            }
            (Asked::Transfer { moves, aborting }, Outcome::Opened { unique }) => {
                self.asked = Asked::Transfer { moves, aborting };
                Step::Send(opened(moves, unique))
            }
            (Asked::Transfer { moves, .. }, Outcome::Transferred { note }) => {
                self.last_ending = Ending::Complete;
                Step::Send(transferred(moves, note))
            }
            (Asked::Reading { told: Told::Size, .. }, Outcome::Size(size)) => {
                self.last_ending = Ending::Complete;
                Step::Send(size_reply(size))
            }
            (Asked::Reading { told, .. }, Outcome::Digest { hex, start, end }) => {
                self.last_ending = Ending::Complete;
                Step::Send(digest_reply(told, &hex, start, end))
            }
            (Asked::Question(question), outcome) => Step::Send(self.answered(question, outcome)),
            (Asked::Nothing | Asked::Reading { .. } | Asked::Transfer { .. }, _) => Step::Send(unexpected()),
        }
    }

    fn refused(&mut self, asked: &Asked) {
        if let Asked::Transfer { .. } | Asked::Reading { .. } = asked {
            self.last_ending = Ending::Cut;
        }
    }

    fn answered(&mut self, question: Question, outcome: Outcome) -> Reply {
        match (question, outcome) {
            (Question::Name(name), Outcome::NameAccepted { encoding }) => {
                self.login = Login::Named(name, encoding);
                Reply::new(Code::PasswordWanted, "Now the password, please.")
            }
            (Question::Name(name), outcome @ Outcome::LoggedIn { .. }) => {
                self.logged_in_as(name, outcome, Code::LoggedInByCertificate)
            }
            (Question::Login(name), outcome @ Outcome::LoggedIn { .. }) => {
                self.logged_in_as(name, outcome, Code::LoggedIn)
            }
            (Question::Logout, Outcome::Done) => self.forget_all(),
            (Question::Host, Outcome::Banner(text)) => Reply::text(Code::Ready, &text),
            (Question::StartTls(first), Outcome::Done) => {
                self.tls = Tls::Starting(first);
                Reply::new(Code::StartingTls, "Please begin the TLS handshake.")
            }
            (Question::Passive { extended }, Outcome::Listening(at)) => {
                let reply = if extended { address::extended_passive(at.port()) } else { address::passive(at) };
                self.data = if reply.code() == Code::NotImplemented { DataPort::Unknown } else { DataPort::Agreed };
                reply
            }
            (Question::Active, Outcome::Done) => {
                self.data = DataPort::Agreed;
                Reply::new(Code::Ok, "The server will connect to that address.")
            }
            (Question::Enter(path), Outcome::Done) | (Question::Enter(_), Outcome::Entered(path)) => self.enter(path),
            (Question::Stat(listing), Outcome::Entries { entries, now, list_zone }) => {
                stat_reply(&listing, &entries, now, &list_zone)
            }
            (Question::Mlst(path), Outcome::Entries { entries, now, .. }) => {
                mlst_reply(&path, entries, self.settings.facts, now)
            }
            (Question::Size, Outcome::Size(size)) => size_reply(size),
            (Question::Modified, Outcome::Modified(at)) => Reply::new(Code::FileStatus, time_value(at)),
            (Question::Facts(to, written), Outcome::Done) => {
                Reply::new(Code::FileStatus, format!("Modify={}; {written}", time_value(to)))
            }
            (Question::Touch, Outcome::Done) => Reply::new(Code::FileOk, "The time is set."),
            (Question::Available, Outcome::Available(bytes)) => Reply::new(Code::FileStatus, bytes.to_string()),
            (Question::Delete, Outcome::Done) => Reply::new(Code::FileOk, "Deleted."),
            (Question::MakeFolder(path), Outcome::Done) => {
                Reply::new(Code::PathName, format!("{} created.", quoted(&path)))
            }
            (Question::RemoveFolder, Outcome::Done) => Reply::new(Code::FileOk, "Removed."),
            (Question::RenameFrom(path), Outcome::Done) => {
                self.renaming = Some(path);
                Reply::new(Code::Pending, "Now the new name.")
            }
            (Question::Rename, Outcome::Done) => Reply::new(Code::FileOk, "Renamed."),
            (Question::ClientName, Outcome::Done) => Reply::new(Code::Ok, "Noted."),
            (Question::Receipt, Outcome::Receipt(lines)) => Reply::list(Code::FileStatus, "Receipt:", lines, "End"),
            _ => unexpected(),
        }
    }

    fn logged_in_as(&mut self, name: String, outcome: Outcome, code: Code) -> Reply {
        let Outcome::LoggedIn { start, encoding, .. } = outcome else { return unexpected() };
        self.login = Login::In(Partner { name, here: start, encoding });
        self.unknown = 0;
        Reply::new(
            code,
            match code {
                Code::LoggedInByCertificate => "You are logged in by your certificate; no password is needed.",
                _ => "You are logged in.",
            },
        )
    }

    /// REIN: as if just connected, but TLS stays.
    fn forget_all(&mut self) -> Reply {
        let tls = match self.tls {
            Tls::On { first, .. } => Tls::On { first, agreed: false, protection: first },
            other => other,
        };
        self.log_out();
        self.tls = tls;
        self.settings = Settings::default();
        Reply::new(Code::Ready, "Logged out. Ready for USER.")
    }

    fn enter(&mut self, path: VirtualPath) -> Reply {
        let Login::In(partner) = &mut self.login else { return unexpected() };
        partner.here = path;
        Reply::new(Code::FileOk, format!("Now in {}", partner.here))
    }
}

fn stat_reply(listing: &Listing, entries: &[Entry], now: Timestamp, zone: &TimeZone) -> Reply {
    let more =
        (entries.len() > STAT_LINES_MAX).then(|| format!("(more than {STAT_LINES_MAX} lines: the rest is left out)"));
    let shown = entries.iter().take(STAT_LINES_MAX);
    let lines = shown.map(|entry| listing.line(entry, now, zone)).chain(more);
    Reply::list(Code::FileStatus, &format!("Status of {}:", listing.path), lines, "End")
}

fn mlst_reply(path: &VirtualPath, entries: Vec<Entry>, facts: Facts, now: Timestamp) -> Reply {
    let Some(entry) = entries.into_iter().next() else {
        return Reply::new(Code::FileUnavailable, "There is no such file or folder.");
    };
    let entry = Entry { name: path.to_string(), ..entry };
    let told = line(&entry, Format::Machine, facts, now, &TimeZone::UTC);
    Reply::list(Code::FileOk, &format!("About {path}:"), [told], "End")
}

fn size_reply(size: u64) -> Reply {
    Reply::new(Code::FileStatus, size.to_string())
}

fn digest_reply(told: Told, hex: &str, start: u64, end: u64) -> Reply {
    match told {
        Told::Hash(algorithm, written) => {
            Reply::new(Code::FileStatus, format!("{} {start}-{end} {hex} {written}", algorithm.name()))
        }
        Told::Plain => Reply::new(Code::FileOk, hex.to_ascii_uppercase()),
        Told::Named(written) => Reply::new(Code::Md5, format!("{written} {}", hex.to_ascii_uppercase())),
        Told::Size => unexpected(),
    }
}

fn opened(moves: Moves, unique: Option<String>) -> Reply {
    let text = match (moves, unique) {
        (_, Some(name)) => format!("FILE: {name}"),
        (Moves::FileOut, None) => "Here comes the file.".to_owned(),
        (Moves::FileIn(StoreMode::Append), None) => "Ready for what is to be appended.".to_owned(),
        (Moves::FileIn(_), None) => "Ready for the file.".to_owned(),
        (Moves::Listing, None) => "Here comes the listing.".to_owned(),
    };
    Reply::new(Code::Opening, text)
}

fn transferred(moves: Moves, note: String) -> Reply {
    let text = match moves {
        _ if !note.is_empty() => note,
        Moves::FileOut => "File sent.".to_owned(),
        Moves::FileIn(_) => "File received.".to_owned(),
        Moves::Listing => "Listing sent.".to_owned(),
    };
    Reply::new(Code::Complete, text)
}

/// The engine answered a question that was not asked: our own bug, never the client's.
fn unexpected() -> Reply {
    debug_assert!(false, "an outcome that answers no question");
    Reply::new(Code::ActionAborted, "Something went wrong here; please try again.")
}
