//! A command comes in: first the state is consulted, then the part of the session that the command belongs to.

use super::data::Passive;
use super::state::{Asked, Session};
use super::step::{Algorithm, Forbidden, Policy, Step};
use crate::ftp::command::Command;
use crate::ftp::feature::{self, Needs};
use crate::ftp::reply::{Code, Reply};

/// Unknown commands before the login: the last of them closes the connection.
pub const UNKNOWN_MAX_BEFORE_LOGIN: u32 = 5;
/// The same once logged in.
pub const UNKNOWN_MAX: u32 = 50;

impl Session {
    /// Takes a command.
    pub fn command(&mut self, command: Command, policy: &Policy) -> Step {
        let feature = feature::of(&command);
        match &mut self.asked {
            Asked::Nothing => {}
            Asked::Transfer { aborting, .. } | Asked::Reading { aborting, .. }
                if feature.is_some_and(|feature| feature.at_once) =>
            {
                return match command {
                    Command::Noop => Step::Send(noop()),
                    Command::Stat(None) => Step::Status,
                    Command::Abor if !*aborting => {
                        *aborting = true;
                        Step::Abort
                    }
                    other => Step::Wait(Box::new(other)),
                };
            }
            Asked::Transfer { .. } | Asked::Reading { .. } | Asked::Question(_) => {
                return Step::Wait(Box::new(command));
            }
        }
        if !matches!(command, Command::Rnto(_)) {
            self.renaming = None;
        }
        if let Some(feature) = feature {
            if !feature.before_login && !self.logged_in() {
                return Step::Send(Reply::new(Code::NotLoggedIn, "Please log in with USER and PASS."));
            }
            if !feature.is_offered(self.view(policy)) {
                return not_offered(feature.needs);
            }
        }
        self.dispatch(command, policy)
    }

    /// The reply to a line that cannot be read in the partner's encoding.
    pub fn undecodable(&self) -> Reply {
        let text = if self.encoding().is_utf_8() {
            "Names must be in UTF-8; the administrator can set another encoding for you.".to_owned()
        } else {
            format!("Names must be in {}, as the administrator has set.", self.encoding().name())
        };
        Reply::new(Code::ArgumentError, text)
    }

    /// A line that is not a command: its reply, in turn.
    pub fn invalid(&mut self, reply: Reply) -> Step {
        if self.is_idle() {
            self.renaming = None;
            Step::Send(reply)
        } else {
            Step::Wait(Box::new(Command::Invalid(reply)))
        }
    }

    fn dispatch(&mut self, command: Command, policy: &Policy) -> Step {
        match command {
            Command::User(name) => self.user(name),
            Command::Pass(password) => self.pass(password),
            Command::Acct => Step::Send(Reply::new(Code::Superfluous, "No account is needed here.")),
            Command::Cwd(path) => self.cwd(&path),
            Command::Cdup => self.cwd(".."),
            Command::Rein => self.rein(),
            Command::Quit => Step::Close(Reply::new(Code::Closing, "Goodbye.")),
            Command::Port(at) | Command::Eprt(at) => self.active(at),
            Command::Pasv => self.passive(Passive::Classic),
            Command::Type(argument) => self.type_(argument),
            Command::Stru(argument) => self.stru(argument),
            Command::Mode(argument) => self.mode(argument, policy),
            Command::Retr(path) => self.retr(&path, policy),
            Command::Stor(path) => self.stor(&path, policy),
            Command::Stou(path) => self.stou(path.as_deref(), policy),
            Command::Appe(path) => self.appe(&path, policy),
            Command::Allo(_) => Step::Send(Reply::new(Code::Superfluous, "There is no need to reserve room.")),
            Command::Rest(offset) => self.rest(offset),
            Command::Rnfr(path) => self.rnfr(&path),
            Command::Rnto(path) => self.rnto(&path),
            Command::Abor => self.abor(),
            Command::Dele(path) => self.dele(&path),
            Command::Rmd(path) => self.rmd(&path),
            Command::Mkd(path) => self.mkd(&path),
            Command::Pwd => self.pwd(),
            Command::List(argument) => self.list(argument, policy),
            Command::Nlst(argument) => self.nlst(argument, policy),
            Command::Site(argument) => self.site(argument),
            Command::Syst => Step::Send(Reply::new(Code::System, "UNIX Type: L8")),
            Command::Stat(argument) => self.stat(argument),
            Command::Help(verb) => Step::Send(feature::help(verb.as_deref(), self.view(policy))),
            Command::Noop => Step::Send(noop()),
            Command::Auth(mechanism) => self.auth(mechanism),
            Command::Pbsz => self.pbsz(),
            Command::Prot(level) => self.prot(level),
            Command::Ccc => {
                let reply = Reply::new(Code::PolicyDenied, "The control connection stays protected.");
                Step::Forbid(Forbidden::Protection, reply)
            }
            Command::Feat => Step::Send(feature::feat(self.view(policy))),
            Command::Opts(argument) => self.opts(argument, policy),
            Command::Epsv(argument) => self.epsv(argument),
            Command::Lang(tag) => self.lang(tag.as_deref()),
            Command::Mdtm { path, touch } => self.mdtm(&path, touch),
            Command::Size(path) => self.size(&path),
            Command::Mlst(path) => self.mlst(path.as_deref()),
            Command::Mlsd(path) => self.mlsd(path.as_deref(), policy),
            Command::Host(name) => self.host(name),
            Command::Mfmt { to, path } | Command::Mff { to, path } => self.mfmt(to, path),
            Command::Mfct => {
                Step::Send(Reply::new(Code::ParameterNotImplemented, "There is no time of creation to set; use MFMT."))
            }
            Command::Hash(path) => self.hash(path),
            Command::Rang(range) => self.rang(range),
            Command::Avbl(path) => self.avbl(path.as_deref()),
            Command::Csid(name) | Command::Clnt(name) => self.client_name(name),
            Command::Xcrc(check) => self.check(&check, Algorithm::Crc32),
            Command::Xmd5(check) => self.check(&check, Algorithm::Md5),
            Command::Xsha1(check) => self.check(&check, Algorithm::Sha1),
            Command::Xsha256(check) => self.check(&check, Algorithm::Sha256),
            Command::Xsha512(check) => self.check(&check, Algorithm::Sha512),
            Command::Md5(check) => self.md5(check),
            Command::Unsupported(verb) => {
                Step::Send(Reply::new(Code::NotImplemented, format!("{verb} is not offered here.")))
            }
            Command::Unknown(verb) => self.unknown(&verb),
            Command::Http => Step::Close(Reply::new(Code::ClosingControl, "This is an FTP server, not a web server.")),
            Command::Invalid(reply) => Step::Send(reply),
        }
    }

    fn unknown(&mut self, verb: &str) -> Step {
        self.unknown += 1;
        let most = if self.logged_in() { UNKNOWN_MAX } else { UNKNOWN_MAX_BEFORE_LOGIN };
        if self.unknown >= most {
            return Step::Close(Reply::new(Code::ClosingControl, "Too many commands that are not FTP. Closing."));
        }
        let text = match verb {
            "" => "That is not a command; HELP lists all.".to_owned(),
            verb => format!("There is no command {verb}; HELP lists all."),
        };
        Step::Send(Reply::new(Code::SyntaxError, text))
    }
}

fn not_offered(needs: Needs) -> Step {
    let reply = |text| Reply::new(Code::NotImplemented, text);
    match needs {
        Needs::ActiveMode => {
            Step::Forbid(Forbidden::ActiveMode, reply("Active mode is turned off here; use PASV or EPSV."))
        }
        Needs::Tls => Step::Send(reply("TLS is not offered here.")),
        Needs::Nothing => Step::Send(reply("That is not offered here.")),
    }
}

fn noop() -> Reply {
    Reply::new(Code::Ok, "Here.")
}
