//! What the client chooses and asks about the session itself: TYPE, STRU, MODE, OPTS, SITE, STAT.

use super::state::{DataType, Login, Protection, Question, Session};
use super::step::{Ask, Policy, Step};
use crate::ftp::command::{ListArgument, ModeArgument, OptsArgument, SiteArgument, StruArgument, TypeArgument};
use crate::ftp::feature;
use crate::ftp::listing::Format;
use crate::ftp::reply::{Code, Reply};

impl Session {
    /// `STAT`'s reply; `transfer` describes the current one, as the engine knows it.
    pub fn status(&self, transfer: Option<&str>) -> Reply {
        let mut lines = match &self.login {
            Login::In(partner) => vec![format!("Logged in as {}, in {}", partner.name, partner.here)],
            Login::Fresh | Login::Named(..) => vec!["Not logged in".to_owned()],
        };
        let data_type = match self.settings.data_type {
            DataType::Ascii => "A",
            DataType::Image => "I",
        };
        let mode = if self.settings.deflate { "Z" } else { "S" };
        lines.push(format!("TYPE {data_type}, STRU F, MODE {mode}"));
        lines.push(format!("Control connection: {}", if self.is_secured() { "TLS" } else { "in clear" }));
        lines.push(match self.protection() {
            Protection::Clear => "Data connections: in clear".to_owned(),
            Protection::Private => "Data connections: TLS".to_owned(),
        });
        lines.push(transfer.unwrap_or("No transfer under way").to_owned());
        Reply::list(Code::Status, "How things are:", lines, "End")
    }

    pub(super) fn type_(&mut self, argument: TypeArgument) -> Step {
        let (data_type, text) = match argument {
            TypeArgument::Ascii => (DataType::Ascii, "TYPE is A: text."),
            TypeArgument::Image => (DataType::Image, "TYPE is I: bytes."),
            TypeArgument::Local(8) => (DataType::Image, "TYPE is L 8: bytes."),
            TypeArgument::AsciiCarriage | TypeArgument::Ebcdic | TypeArgument::Local(_) => {
                return self.unsupported(Code::ParameterNotImplemented, "TYPE is A, I or L 8 here.");
            }
        };
        self.settings.data_type = data_type;
        Step::Send(Reply::new(Code::Ok, text))
    }

    pub(super) fn stru(&mut self, argument: StruArgument) -> Step {
        match argument {
            StruArgument::File => Step::Send(Reply::new(Code::Ok, "STRU is F.")),
            StruArgument::Record | StruArgument::Page => {
                self.unsupported(Code::ParameterNotImplemented, "STRU is F here.")
            }
        }
    }

    pub(super) fn mode(&mut self, argument: ModeArgument, policy: &Policy) -> Step {
        let (deflate, text) = match argument {
            ModeArgument::Stream => (false, "MODE is S."),
            ModeArgument::Deflate if policy.mode_z => (true, "MODE is Z."),
            ModeArgument::Block | ModeArgument::Compressed | ModeArgument::Deflate => {
                let text = if policy.mode_z { "MODE is S or Z here." } else { "MODE is S here." };
                return self.unsupported(Code::ParameterNotImplemented, text);
            }
        };
        self.settings.deflate = deflate;
        Step::Send(Reply::new(Code::Ok, text))
    }

    pub(super) fn opts(&mut self, argument: OptsArgument, policy: &Policy) -> Step {
        let (code, text) = match argument {
            OptsArgument::Utf8On | OptsArgument::Utf8Off => self.opts_utf_8(argument == OptsArgument::Utf8On),
            OptsArgument::Mlst(facts) => {
                self.settings.facts = facts;
                (Code::Ok, format!("MLST OPTS {facts}").trim_end().to_owned())
            }
            OptsArgument::Hash(algorithm) => {
                self.settings.algorithm = algorithm.unwrap_or(self.settings.algorithm);
                (Code::Ok, self.settings.algorithm.name().to_owned())
            }
            OptsArgument::ModeZ(level) if policy.mode_z => {
                let level = level.unwrap_or(self.settings.deflate_level);
                self.settings.deflate_level = level;
                (Code::Ok, format!("MODE Z LEVEL is {level}."))
            }
            OptsArgument::ModeZ(_) => (Code::ArgumentError, "MODE Z is not offered here.".to_owned()),
        };
        Step::Send(Reply::new(code, text))
    }

    fn opts_utf_8(&mut self, on: bool) -> (Code, String) {
        if !on {
            self.settings.utf_8 = false;
        }
        let encoding = self.encoding();
        match (encoding.is_utf_8(), on) {
            (true, true) => {
                self.settings.utf_8 = true;
                (Code::Ok, "Names are in UTF-8.".to_owned())
            }
            (true, false) => {
                let text = "Names are in UTF-8; the administrator can set another encoding for you.";
                (Code::ParameterNotImplemented, text.to_owned())
            }
            (false, true) => {
                let text = format!("Names are in {}, as the administrator has set.", encoding.name());
                (Code::ParameterNotImplemented, text)
            }
            (false, false) => (Code::Ok, format!("Names are in {}.", encoding.name())),
        }
    }

    /// `LANG`: to clients a 200 means UTF-8 too, since RFC 2640 defines both together.
    pub(super) fn lang(&mut self, tag: Option<&str>) -> Step {
        let english = tag.is_none_or(|tag| {
            let tag = tag.trim().to_ascii_lowercase();
            tag == "en" || tag.starts_with("en-")
        });
        self.settings.utf_8 |= english && self.encoding().is_utf_8();
        Step::Send(if english {
            Reply::new(Code::Ok, "Replies are in English.")
        } else {
            Reply::new(Code::ParameterNotImplemented, "Only English (en) is spoken here.")
        })
    }

    pub(super) fn site(&mut self, argument: SiteArgument) -> Step {
        match argument {
            SiteArgument::Help => Step::Send(feature::site_help()),
            SiteArgument::Utime { to, path } => match self.resolve(&path, Code::FileUnavailable) {
                Ok(path) => self.ask(Ask::Touch { path, to }, Question::Touch),
                Err(reply) => Step::Send(reply),
            },
            SiteArgument::Receipt(path) => match self.resolve(&path, Code::FileUnavailable) {
                Ok(path) => self.ask(Ask::Receipt(path), Question::Receipt),
                Err(reply) => Step::Send(reply),
            },
            SiteArgument::NotNeeded => Step::Send(Reply::new(Code::Superfluous, "That is not needed here.")),
            SiteArgument::Unknown => {
                Step::Send(Reply::new(Code::SyntaxError, "There is no such SITE command; SITE HELP lists all."))
            }
        }
    }

    pub(super) fn stat(&mut self, argument: Option<ListArgument>) -> Step {
        let Some(argument) = argument else { return Step::Status };
        if !self.logged_in() {
            return Step::Send(Reply::new(Code::NotLoggedIn, "Please log in with USER and PASS."));
        }
        match self.listing(argument, Format::List) {
            Ok(listing) => self.ask(Ask::Stat(listing.clone()), Question::Stat(listing)),
            Err(reply) => Step::Send(reply),
        }
    }

    pub(super) fn client_name(&mut self, name: String) -> Step {
        self.ask(Ask::ClientName(name), Question::ClientName)
    }
}
