//! Who is logged in, and how the control connection is protected: USER, PASS, REIN, HOST, AUTH, PBSZ, PROT.

use super::state::{Asked, Login, Protection, Question, Session, Tls};
use super::step::{Ask, Forbidden, Step};
use crate::base::secret::Secret;
use crate::ftp::command::{Mechanism, ProtArgument};
use crate::ftp::reply::{Code, Reply};

impl Session {
    /// Asks the question and waits in a state that names it.
    pub(super) fn ask(&mut self, ask: Ask, question: Question) -> Step {
        self.asked = Asked::Question(question);
        Step::Ask(ask)
    }

    /// Refuses deliberately; the engine records it.
    pub(super) fn unsupported(&mut self, code: Code, text: &str) -> Step {
        self.ask(Ask::Unsupported(Reply::new(code, text)), Question::Unsupported)
    }

    pub(super) fn user(&mut self, name: String) -> Step {
        self.log_out();
        self.ask(Ask::Name(name.clone()), Question::Name(name))
    }

    pub(super) fn pass(&mut self, password: Secret) -> Step {
        match std::mem::take(&mut self.login) {
            Login::Fresh => Step::Send(Reply::new(Code::BadSequence, "Please say USER first.")),
            // A wrong password forgets the name: the next try begins with USER.
            Login::Named(name, _) => self.ask(Ask::Login { name: name.clone(), password }, Question::Login(name)),
            Login::In(partner) => {
                self.login = Login::In(partner);
                Step::Send(Reply::new(Code::Superfluous, "You are logged in already."))
            }
        }
    }

    pub(super) fn rein(&mut self) -> Step {
        self.ask(Ask::Logout, Question::Logout)
    }

    pub(super) fn host(&mut self, name: String) -> Step {
        if !matches!(self.login, Login::Fresh) {
            return Step::Send(Reply::new(Code::BadSequence, "HOST comes before USER."));
        }
        if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte)) {
            return Step::Send(Reply::new(Code::ArgumentError, "That is not a host name."));
        }
        self.ask(Ask::Host(name), Question::Host)
    }

    pub(super) fn auth(&mut self, mechanism: Mechanism) -> Step {
        if self.is_secured() {
            return Step::Send(Reply::new(Code::BadSequence, "TLS is there already."));
        }
        let first = match mechanism {
            Mechanism::Tls => Protection::Clear,
            Mechanism::TlsPrivate => Protection::Private,
            Mechanism::Other => {
                return Step::Send(Reply::new(Code::ParameterNotImplemented, "Please use AUTH TLS."));
            }
        };
        self.ask(Ask::StartTls, Question::StartTls(first))
    }

    pub(super) fn pbsz(&mut self) -> Step {
        let Tls::On { agreed, .. } = &mut self.tls else { return needs_tls() };
        *agreed = true;
        Step::Send(Reply::new(Code::Ok, "PBSZ=0"))
    }

    pub(super) fn prot(&mut self, level: ProtArgument) -> Step {
        let Tls::On { agreed, protection, .. } = &mut self.tls else { return needs_tls() };
        if !*agreed {
            return Step::Send(Reply::new(Code::BadSequence, "Please say PBSZ 0 first."));
        }
        match level {
            ProtArgument::Clear => {
                *protection = Protection::Clear;
                Step::Send(Reply::new(Code::Ok, "Data will go in clear."))
            }
            ProtArgument::Private => {
                *protection = Protection::Private;
                Step::Send(Reply::new(Code::Ok, "Data will be protected."))
            }
            ProtArgument::Safe | ProtArgument::Confidential => {
                let reply = Reply::new(Code::ProtectionNotSupported, "TLS has PROT C and PROT P only.");
                Step::Forbid(Forbidden::Protection, reply)
            }
        }
    }
}

fn needs_tls() -> Step {
    Step::Send(Reply::new(Code::BadSequence, "Please start TLS with AUTH TLS first."))
}
